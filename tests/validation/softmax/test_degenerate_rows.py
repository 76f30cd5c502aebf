"""Rows that have no error to follow a law: tables, report and figures are written, say why, and never say nan."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from biospike import plots
from biospike.errors import InputError
from biospike.packing import MOMENTS
from biospike.simulation import _dataset, plan
from biospike.tables import CONVERGENCE, SUMMARY, converge, summarise
from circuits.softmax import Escape, Integrate, Race, Shunting, Subtractive
from validation.compare_softmax import Config, main, prepare
from validation.softmax import regularity
from validation.softmax import study as compare_softmax
from validation.softmax.claims import CLAIMS
from validation.softmax.control_figure import control_figure
from validation.softmax.controls import NORMALISATION, chosen_rows, late_spikes, late_window, normalisation
from validation.softmax.report import report
from validation.softmax.study import join
from validation.softmax.tables import halving, not_run
from validation.study.report import plain
from validation.study.results import Results

import brian2 as b2

NAN = np.nan
CIRCUITS = [Race(), Escape(), Integrate(), Subtractive(), Shunting()]
RNG = np.random.default_rng(2)


def counted(circuit, logits, counts):
    """Result of `simulate` with these counts (trials, rows, keys, checkpoints)."""
    trials, rows, keys, windows = counts.shape
    work = plan(circuit, logits, duration="1 s", trials=trials, checkpoints=np.linspace(0.1, 1, windows) * b2.second)
    gaps = np.maximum(counts[..., -1].reshape(trials * rows, keys) - 1.0, 0)
    moments = dict(zip(MOMENTS, (3 * gaps, 12 * gaps), strict=True))  # of mean 3 and variance 3
    joined = {"spike_count": counts.reshape(trials * rows, keys, windows), **moments}
    data = _dataset(work, joined, "numpy", "made up")
    halved = data["spike_count"].isel(checkpoint=-1).drop_vars(("window_ms", "timesteps"))
    data["spike_count_halved"] = halved.rename(trial="trial_halved")
    again = None
    if windows > 1:
        # The same rows again, as if nothing had been shifted or scaled.
        some = counts[:, chosen_rows(rows)][..., [late_window(data["timesteps"].values), -1]]
        dims = ("trial", "row", "key", "checkpoint")
        again = xr.Dataset({"spike_count": (dims, np.concatenate([some, some], axis=1))})
    return data.assign(late_spikes(again, rows)).assign_coords(window_halved_ms=1000.0)


def study(logits, counts, left_out=None):
    """Everything that is written of five circuits with the same counts, and its text."""
    logits = np.asarray(logits, dtype=float)
    results = [counted(circuit, logits, counts) for circuit in CIRCUITS]
    summaries = [
        summarise(data, circuit).assign(**normalisation(data)) for data, circuit in zip(results, CIRCUITS, strict=True)
    ]
    fits = [converge(data, summary) for data, summary in zip(results, summaries, strict=True)]
    for name in left_out or {}:
        rows, fit = not_run(name, summaries[0])
        summaries.append(rows)
        fits.append(fit)
    summary = pd.concat([table.astype(object) for table in summaries], ignore_index=True).infer_objects()
    convergence = pd.DataFrame(fits)[CONVERGENCE]
    data, steps = join(results), pd.DataFrame([halving(data) for data in results])
    with tempfile.TemporaryDirectory() as place:
        out = Results(Path(place))
        out.save("counts", data)
        out.tables(summary=summary, convergence=convergence)
        assert control_figure(summary, {}).axes
        text = report(data, summary, convergence, steps, CLAIMS.findings(out), left_out)
    written = [summary.to_csv(index=False), convergence.to_csv(index=False), plain(summary), plain(convergence), text]
    return summary, convergence, written


def words_in(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text")))


def poisson(logits, spikes, trials=4, windows=8):
    """Counts that grow as those of a Poisson code."""
    z = np.where(np.isnan(logits), -np.inf, logits)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    rate = spikes / windows * p / p.sum(axis=1, keepdims=True)
    return RNG.poisson(np.broadcast_to(rate[..., None], (trials, *rate.shape, windows))).cumsum(axis=-1)


def silent(trials=3):
    return np.zeros((trials, 1, 3, 8), dtype=np.int64)


ONE_KEY, SATURATED, ORDINARY = [[0.3, NAN, NAN]], [[900.0, 0.0, 0.0]], [[1.0, 0.0, -1.0]]
ONE_SPIKE = silent(1)
ONE_SPIKE[0, 0, 1, -1] = 1
HALF_SILENT = poisson(np.array(ORDINARY), 400)
HALF_SILENT[0] = 0
CASES = {
    "one key": (ONE_KEY, poisson(np.array(ONE_KEY), 400), "few keys"),
    "every row one key": ([[0.0, NAN], [NAN, 1.0]], poisson(np.array([[0.0, NAN], [NAN, 1.0]]), 400), "few keys"),
    "saturated": (SATURATED, poisson(np.array(SATURATED), 400), "saturated"),
    "dominating": ([[12.0, 0.0, 0.0]], np.array([[[[400] * 8, [0] * 8, [0] * 8]]]) * np.arange(1, 9), "few keys"),
    "never errs": ([[0.0, 0.0]], np.arange(100, 900, 100) * np.ones((2, 1, 2, 1), dtype=np.int64), "error below 1e-6"),
    "silent": (ORDINARY, silent(), "silent"),
    "a silent trial": (ORDINARY, HALF_SILENT, "silent"),
    "one spike": (ORDINARY, ONE_SPIKE, "few keys"),
    "one trial": (ORDINARY, poisson(np.array(ORDINARY), 400, trials=1), "few trials"),
    "one row of two keys": ([[0.0, 1.0]], poisson(np.array([[0.0, 1.0]]), 400), "few trials"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", CASES)
def test_tables_report_and_figure_are_made_and_never_say_nan(case):
    logits, counts, reason = CASES[case]
    summary, convergence, written = study(logits, counts)
    assert list(summary.columns) == [*SUMMARY, *NORMALISATION]
    assert list(convergence.columns) == CONVERGENCE
    for text in written:
        assert not re.search(r"\b(nan|inf)\b|nan%", text, re.IGNORECASE), text
    figure = plots.convergence_figure(summary, convergence)
    assert "race" in words_in(figure)
    if reason:
        assert (convergence["verdict"] == "undecided").all()
        assert (convergence["reason"] == reason).all()
        assert convergence[["order_of_law", "order_of_law_low", "order_of_law_high"]].isna().all(axis=None)
        # Whatever it is of, a slope has been measured in several trials.
        assert convergence["order"].isna().all() == (case != "one row of two keys")
        assert re.search(rf"race \({reason}(; about 7 trials would decide)?\)", written[-1])


@pytest.mark.filterwarnings("error")
def test_circuit_that_was_not_run_is_named_everywhere():
    line = "race: row 7 has too many keys"
    logits = np.array(ORDINARY)
    summary, convergence, written = study(logits, poisson(logits, 400), {"wide": line})
    mine = summary[summary["circuit"] == "wide"]
    assert len(mine) == (summary["circuit"] == "race").sum() == 8
    assert (mine["diagnostics"] == "not run").all()
    assert mine[["spikes_per_row", "tv", "tv_expected"]].isna().all(axis=None)
    last = convergence.set_index("circuit").loc["wide"]
    assert (last["verdict"], last["reason"]) == ("undecided", "not run")
    assert line in written[-1]
    assert "wide: not run" in words_in(plots.convergence_figure(summary, convergence))


WIDE = np.zeros((2, 60))
WIDE[0, 1:] = NAN


class TestRowsThatACircuitCannotTake:
    def prepared(self, tmp_path, *circuits, **options):
        np.save(tmp_path / "wide.npy", WIDE)
        return Config(logits=tmp_path / "wide.npy", circuits=circuits, target="numpy", out=tmp_path / "out", **options)

    def test_the_others_are_run(self, tmp_path):
        study = prepare(self.prepared(tmp_path, "race", "escape"))
        assert list(study.circuits) == ["escape"]
        assert [work.circuit.name for work in study.plans] == ["escape"]
        assert study.left_out["race"].startswith("race: row 1 has rate*dt*sum_i")

    def test_named_alone_it_is_refused(self, tmp_path):
        with pytest.raises(InputError, match=r"^race: row 1 has rate\*dt\*sum_i exp\(z_i - max z\) = 1.2,"):
            prepare(self.prepared(tmp_path, "race"))

    @pytest.mark.long
    def test_study_is_written_without_it(self, tmp_path, capsys):
        out = tmp_path / "out"
        out.mkdir()
        for name in ("sweep.csv", "sweep.png"):  # of an older run
            (out / name).touch()
        main(self.prepared(tmp_path, "integrate", "race", duration="60 ms", trials=2))
        printed = capsys.readouterr()
        assert "left out: race: row 1" in printed.err
        assert "not run" in printed.out
        summary = pd.read_csv(out / "summary.csv")
        assert (summary.loc[summary["circuit"] == "race", "diagnostics"] == "not run").all()
        assert summary.loc[summary["circuit"] == "integrate", "spikes_per_row"].max() > 20
        assert "**Not run.** race: row 1" in (out / "report.md").read_text()
        assert (out / "raster.png").exists()
        assert not list(out.glob("sweep.*"))


def test_directory_of_a_sweep_is_refused(tmp_path):
    (tmp_path / "points").mkdir()
    with pytest.raises(ValueError, match="holds the points of a sweep"):
        main(Config(circuits=("escape",), duration="10 ms", trials=1, target="numpy", out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["points"]
    assert {"raster.png", "traces.nc", "sweep.csv"} <= set(compare_softmax.FILES)


@pytest.mark.long
def test_curves_of_rows_that_have_no_error(tmp_path, monkeypatch):
    """Lemma 3 has no floor there, and the family nothing to scatter about: tables, figure and report all the same."""
    monkeypatch.setattr(regularity, "REGULARITIES", (1, np.inf))
    np.save(tmp_path / "logits.npy", np.array([[0.3, np.nan]]))
    options = {"logits": tmp_path / "logits.npy", "duration": "30 ms", "trials": 2, "target": "numpy", "quiet": True}
    main(Config(circuits=("subtractive", "escape"), curves=True, out=tmp_path / "out", **options))
    floors, family = (pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("floor_curve", "regularity"))
    assert floors["tv_law"].max() < 1e-9
    assert floors["spikes_per_row"].min() > 2
    assert len(family) > 6
    assert "nan" not in (tmp_path / "out" / "report.md").read_text().lower().replace("provenance", "")
