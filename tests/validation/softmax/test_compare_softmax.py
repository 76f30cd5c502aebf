"""The main job end to end, on small input, and its command line."""

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from biospike import load, plots
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from biospike.metrics import pooled_floor
from biospike.recording import load_groups
from biospike.share_verdicts import decide_rows
from biospike.tables import CONVERGENCE, SUMMARY
from circuits.softmax import GROUPS, Integrate, Subtractive
from validation.compare_softmax import Config, main, prepare
from validation.inputs.circuits import named_circuits
from validation.inputs.logits import read_logits
from validation.softmax import controls, figures, regularity, row_sets
from validation.softmax import study as compare_softmax
from validation.softmax.controls import NORMALISATION
from validation.softmax.figures import Raster, drawing, raster_row
from validation.study.redraw import redraw

import brian2 as b2

LOGITS = np.random.default_rng(4).normal(0, 1.2, (4, 7))
LOGITS[1, 5:] = np.nan
FILES = {
    "summary.csv", "convergence.csv", "floor_curve.csv", "regularity.csv", "row_sets.csv", "counts.nc", "traces.nc",
    "report.md", "convergence.png", "convergence.pdf", "raster.png", "raster.pdf", "controls.png", "controls.pdf",
}  # fmt: skip


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    directory = tmp_path_factory.mktemp("study")
    np.save(directory / "logits.npy", LOGITS)
    config = Config(
        logits=directory / "logits.npy",
        circuits=("subtractive", "integrate", "escape"),
        duration="0.4 s",
        trials=6,
        curves=True,
        target="numpy",
        out=directory / "out",
        quiet=True,
    )
    # Processes would start for seconds of work; the one that draws does so all the same.
    with pytest.MonkeyPatch.context() as patch, joblib.parallel_config(backend="sequential"):
        patch.setattr(compare_softmax, "WORTH_A_PROCESS", 0)  # as a large study, which draws while it runs
        patch.setattr(regularity, "REGULARITIES", (4, np.inf))
        patch.setattr(controls, "WEIGHTS", (0.1, 1.0))
        patch.delitem(row_sets.FACTORS, "flat")
        main(config)
    return directory / "out"


def test_writes_every_file_and_nothing_else(out):
    assert {path.name for path in out.iterdir()} == FILES


def test_tables_have_the_promised_columns(out):
    summary, convergence = (pd.read_csv(out / f"{name}.csv") for name in ("summary", "convergence"))
    assert list(summary.columns) == [*SUMMARY, *NORMALISATION]
    assert list(convergence.columns) == CONVERGENCE
    assert list(convergence["circuit"]) == ["subtractive", "integrate", "escape"]
    assert summary["spikes_per_row"].max() > 100
    assert (summary["rows"] == 4).all()
    assert (summary["trials"] == 6).all()


def test_verdicts_are_decided_by_the_data(out):
    table = pd.read_csv(out / "convergence.csv", keep_default_na=False).set_index("circuit")
    assert table.loc["subtractive", "verdict"] == "floor"
    # Four rows of 0.4 s may be too short to tell an order, but not for any other than the right one.
    assert table.loc["integrate", "verdict"] in ("1/N", "undecided")
    assert table.loc["escape", "verdict"] in ("1/sqrt(N)", "undecided")
    data = load(out / "counts.nc")
    for name, row in table.iterrows():
        counts = data["spike_count"].sel(circuit=name).transpose("checkpoint", "trial", "row", "key").values
        found = decide_rows(counts, softmax(data["logits"].values), independent=True)
        assert (row["verdict"], row["reason"]) == (found.verdict, found.reason)


def test_other_rows_stand_beside_the_given_ones(out):
    """The given rows as in the other tables, and peaked ones whose floor is that of twice the logits."""
    table = pd.read_csv(out / "row_sets.csv", keep_default_na=False).set_index(["rows_kind", "circuit"])
    assert list(table.reset_index().columns) == row_sets.COLUMNS
    assert [list(table.loc[kind].index) for kind in ("given", "peaked")] == [["subtractive", "integrate", "escape"]] * 2
    last = pd.read_csv(out / "summary.csv").groupby("circuit").tail(1).set_index("circuit")
    verdicts = pd.read_csv(out / "convergence.csv", keep_default_na=False).set_index("circuit")["verdict"]
    for name in last.index:
        assert float(table.loc[("given", name), "tv"]) == pytest.approx(last.loc[name, "tv"])
        assert table.loc[("given", name), "verdict"] == verdicts[name]
    limit = Subtractive().limit(2 * LOGITS)
    floor = np.abs(limit - softmax(2 * LOGITS)).sum(axis=1).mean() / 2
    assert float(table.loc[("peaked", "subtractive"), "limit_tv"]) == pytest.approx(floor)
    # T = 400 spike times of whole spikes: half a spike of each of 7 keys in about 100.
    assert float(table.loc[("peaked", "subtractive"), "tv"]) == pytest.approx(floor, abs=0.03)
    assert float(table.loc[("peaked", "escape"), "spikes_per_row"]) > 100


def test_summary_agrees_with_the_counts(out):
    """TV of one circuit and window, recomputed by hand from the stored counts."""
    data, summary = load(out / "counts.nc"), pd.read_csv(out / "summary.csv")
    counts = data.spike_count.sel(circuit="escape").isel(checkpoint=-1).transpose("trial", "row", "key").values
    z = data.logits.values
    e = np.where(np.isnan(z), 0, np.exp(z - np.nanmax(z, axis=1, keepdims=True)))
    tv = np.abs(counts / counts.sum(-1, keepdims=True) - e / e.sum(-1, keepdims=True)).sum(-1) / 2
    row = summary[summary["circuit"] == "escape"].iloc[-1]
    assert row["tv"] == pytest.approx(tv.mean())
    assert row["tv_low"] < row["tv"] < row["tv_high"]
    assert row["window_ms"] == pytest.approx(400)
    assert row["timesteps"] == 4000
    assert row["limit_tv"] == 0


def test_report_says_what_the_numbers_say(out):
    text = (out / "report.md").read_text()
    for words in ("common factor", "Lemma 3", "1/sqrt(T)", "reach 1/N", "CV", "halving", "revision"):
        assert words.lower() in text.lower()
    assert "nan" not in text.lower().replace("provenance", "")
    summary = pd.read_csv(out / "summary.csv")
    floor = summary[summary["circuit"] == "subtractive"].iloc[-1]
    assert f"{floor['limit_tv']:.4f}" in text


@pytest.mark.long
def test_stored_results_draw_the_same_figures_again(out, tmp_path):
    traces = load_groups(out / "traces.nc")
    assert set(traces) == {"subtractive", "integrate", "escape"}
    assert all(trace.sizes["spike"] > 10 for trace in traces.values())
    ordered = {name: traces[name] for name in ("subtractive", "integrate", "escape")}
    redraw(compare_softmax.STUDY, out, tmp_path / "gallery")
    drawn = {f"softmax_{name}.png" for name in ("convergence", "controls", "raster")}
    assert drawn <= {path.name for path in (tmp_path / "gallery").iterdir()}
    plots.save_figure(plots.raster_figure(ordered), tmp_path, "raster")
    assert (tmp_path / "raster.png").stat().st_size > 10_000
    # Drawn in a process of its own there, and in this one here.
    assert (tmp_path / "raster.png").read_bytes() == (out / "raster.png").read_bytes()


def test_small_study_draws_in_this_process_and_only_what_succeeded(tmp_path, monkeypatch):
    raster = Raster({"integrate": Integrate()}, LOGITS, 20 * b2.ms, seed=1)
    monkeypatch.setattr(figures, "draw_raster", lambda raster, out: (out / "raster").touch())
    with drawing(raster, tmp_path, beside=False) as draw:
        draw(Path.touch, tmp_path / "asked for")
        assert {path.name for path in tmp_path.iterdir()} == {"asked for"}
    assert {path.name for path in tmp_path.iterdir()} == {"asked for", "raster"}
    failed = tmp_path / "failed"
    failed.mkdir()
    with pytest.raises(RuntimeError, match="run failed"), drawing(raster, failed, beside=False):
        raise RuntimeError("the run failed")
    assert not list(failed.iterdir())


def test_pooled_floor_is_the_tv_that_sampling_leaves():
    """Multinomial shares pooled over trials have exactly this expected TV; five standard errors."""
    rng = np.random.default_rng(0)
    p = np.array([0.5, 0.3, 0.2])
    shares = rng.multinomial(400, p, size=(1, 12, 3000)) / 400
    floor = pooled_floor(shares)[0]
    pooled = np.abs(shares[0].mean(axis=0) - p).sum(-1) / 2
    error = np.hypot(floor.std(), pooled.std()) / np.sqrt(3000)
    assert abs(floor.mean() - pooled.mean()) < 5 * error


def test_raster_row_is_one_that_can_be_shown():
    logits = np.full((3, 40), np.nan)
    logits[0, :40], logits[1, :6], logits[2, :9] = 0.0, np.arange(6), 0.0
    assert raster_row(logits) in (1, 2)


def test_duration_is_not_cut_by_rounding():
    assert float(prepare(Config(target="numpy", duration="0.3 s")).duration) == pytest.approx(0.3)


def test_default_input_is_the_shipped_rows():
    study = prepare(Config(target="numpy"))
    assert study.logits.shape[0] >= 64
    assert list(study.circuits) == [*GROUPS["circuit"], *GROUPS["control"]]
    assert len(study.plans[0].marks) > 15


def test_circuits_by_name_and_by_group():
    assert named_circuits("--circuits", ["integrate", "control", "integrate"]) == [
        "integrate",
        "none",
        "self_inhibition",
    ]
    with pytest.raises(ValueError, match="--circuits needs at least one of adex"):
        named_circuits("--circuits", [])


class TestLogitsFiles:
    def test_formats_agree(self, tmp_path):
        np.save(tmp_path / "a.npy", LOGITS)
        np.savez(tmp_path / "b.npz", logits=LOGITS, key_mask=np.ones(LOGITS.shape[1]))
        np.savez(tmp_path / "c.npz", LOGITS)
        (tmp_path / "d.csv").write_text(
            "\n".join(",".join("" if np.isnan(x) else repr(float(x)) for x in row) for row in LOGITS)
        )
        for name in ("a.npy", "b.npz", "c.npz", "d.csv"):
            np.testing.assert_array_equal(read_logits(tmp_path / name), LOGITS)

    def test_csv_masks(self, tmp_path):
        (tmp_path / "z.csv").write_text("1, -inf, nan\n2,3,\n")
        np.testing.assert_array_equal(read_logits(tmp_path / "z.csv"), [[1, np.nan, np.nan], [2, 3, np.nan]])

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("a.txt", "1", r"\.npy, \.npz, \.csv"),
            ("a.csv", "", "empty"),
            ("a.csv", "z1,z2\n1,2\n", "'z1' is not a number"),
            ("a.csv", "1,2\n1,2,3\n", "differ in length"),
            ("a.csv", "nan,nan\n", "unmasked"),
            ("a.csv", "1,inf\n", "inf"),
            ("a.csv", "\x00\x01\x02", "number|read"),
            ("a.npy", "not numpy", "a.npy"),
            ("a.npz", "not a zip", "a.npz"),
        ],
    )
    def test_bad_files(self, tmp_path, name, content, words):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=words):
            read_logits(tmp_path / name)

    def test_missing_and_pickled(self, tmp_path):
        with pytest.raises(ValueError, match="no such file"):
            read_logits(tmp_path / "none.npy")
        np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        with pytest.raises(ValueError, match=r"o\.npy"):
            read_logits(tmp_path / "o.npy")
        np.savez(tmp_path / "two.npz", a=LOGITS, b=LOGITS)
        with pytest.raises(ValueError, match="named 'logits', found a, b"):
            read_logits(tmp_path / "two.npz")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"logits": Path("none.npy")}, "none.npy"),
        ({"circuits": ("rac",)}, r"rac: unknown circuit \(did you mean 'race'\?\); accepted: "),
        ({"circuits": ("microcircuits",)}, "microcircuits: unknown circuit"),
        ({"duration": "0 s"}, "0 s"),
        ({"duration": "2"}, "'2' is not a number with a unit"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        prepare(Config(**options))
