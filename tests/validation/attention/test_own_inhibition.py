"""Studies of rows whose inhibition is subtracted: tables by hand, claims with opposite tables and with noise."""

import attrs
import numpy as np
import pandas as pd
import pytest

from biospike import load
from biospike.errors import InputError
from circuits.softmax import Subtractive, ThresholdLinear
from validation.attention import claims, decay, fixed_point
from validation.attention import study as compare_attention
from validation.attention.decay import DECAY, FITS, Curve, tabulate
from validation.attention.decay_figure import decay_figure
from validation.attention.fixed_point import COLUMNS, reach
from validation.attention.own_report import own_inhibition
from validation.compare_attention import Config, main, prepare
from validation.study.redraw import redraw
from validation.study.results import Missing, Results

TOY = np.array([[0.8, 0.2], [0.3, 0.7]])
P = np.exp(3 * TOY @ TOY.T) / np.exp(3 * TOY @ TOY.T).sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    directory = tmp_path_factory.mktemp("own") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixed_point, "ACCURACIES", (0.5, 0.4))
        patch.setattr(fixed_point, "WINDOWS", 2)
        patch.setattr(decay, "POINTS", 8)
        patch.setattr(compare_attention, "trace", lambda study: {})
        patch.setattr(compare_attention, "plot", lambda *arguments: {})
        main(
            Config(
                toy=True, softmax="subtractive", mode="streaming", duration="60 ms", windows=2, trials=3, tau_s="4 ms",
                target="numpy", out=directory, quiet=True,
            )
        )  # fmt: skip
    return directory


def table(out, name):
    return pd.read_csv(out / f"{name}.csv")


def test_fixed_point_agrees_with_the_counts(out):
    found, data = table(out, "fixed_point"), load(out / "counts.nc")
    assert list(found.columns) == list(COLUMNS)
    mine, row = data.sel(mode="streaming").isel(sample=0, head=0, checkpoint=-1), found.iloc[-1]
    counts = mine["attention_count"].transpose("trial", "query", "key").values
    drive = mine["driven"].transpose("trial", "query", "key").values / 60
    tv = np.abs(counts / counts.sum(axis=-1, keepdims=True) - P).sum(axis=-1).mean(axis=-1) / 2
    assert row["softmax_tv"] == pytest.approx(tv.mean())
    assert row["softmax_low"] < tv.mean() < row["softmax_high"]
    # Both keys active, or the larger alone: r = [drive - mean(r)]_+ and the drive at most 1.
    level = drive.sum(axis=-1, keepdims=True) / 4
    largest = drive == drive.max(axis=-1, keepdims=True)
    rates = np.where(drive.min(axis=-1, keepdims=True) > level, drive - level, np.where(largest, drive / 1.5, 0.0))
    assert drive.max() <= 1
    assert row["spikes_off"] == pytest.approx(np.abs(counts - 60 * rates).max())
    assert counts.sum() > 50


def test_every_table_is_described_and_drawn(out):
    names = {path.name for path in out.iterdir()}
    assert {"fixed_point.csv", "steps.csv", "decay.csv", "decay_fit.csv", "decay.png", "decay.pdf"} <= names
    assert list(table(out, "decay").columns) == list(DECAY)
    assert list(table(out, "decay_fit").columns) == list(FITS)
    text = (out / "report.md").read_text()
    assert "nan" not in text.lower().replace("provenance", "")
    row = table(out, "fixed_point").iloc[-1]
    assert f"TV {row['softmax_tv']:.4f}" in text
    assert "rates of leaky neurons" not in text
    figure = decay_figure(table(out, "decay"), table(out, "decay_fit"))
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log"]
    assert figure.axes[0].get_xlim() == (0, 60)
    assert all(len(axes.lines) >= 4 for axes in figure.axes)


def test_stored_results_draw_the_decay_again(out, tmp_path):
    redraw(compare_attention.TOY, out, tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["attention_decay.pdf", "attention_decay.png"]
    with pytest.raises(InputError, match="was not run"):
        redraw(compare_attention.TOY, tmp_path, tmp_path / "none")


def test_report_says_beyond_and_disagrees_where_it_does(out):
    tables = {name: table(out, name) for name in ("fixed_point", "decay", "decay_fit", "steps")}
    data = load(out / "counts.nc")
    tables["fixed_point"] = tables["fixed_point"].assign(spikes_off=1.0, share_off=1.0, rate_off=1.0)
    said = "\n".join(own_inhibition(data, tables))
    assert "beyond 2" not in said
    assert "do not agree" not in said
    tables["fixed_point"] = tables["fixed_point"].assign(spikes_off=3.0, share_off=4.0)
    said = "\n".join(own_inhibition(data, tables))
    assert "within 2" not in said
    assert "do not agree" in said


def test_steps_to_an_accuracy():
    steps = np.array([10, 100, 1000])
    assert reach(steps, [0.5, 0.05, 0.005], 0.05) == pytest.approx(100)
    assert reach(steps, [0.4, 0.1, 0.025], 0.05) == pytest.approx(np.sqrt(1e5))
    assert reach(steps, [0.04, 0.01, 0.01], 0.05) == 10
    assert np.isnan(reach(steps, [0.04, 0.01, 0.06], 0.05))
    assert reach(steps, [0.04, 0.2, 0.0], 0.05) > 100


def falling(law, floor=0.0, rate=0.7, noise=0.0):
    """Counts (trial, row, key, point) of two keys whose V about p = (1/2, 1/2) falls as told."""
    times = np.unique(np.rint(np.geomspace(1, 12 if law == "exponential" else 300, 14))).astype(int)
    wanted = floor + 0.4 * (np.exp(-rate * times) if law == "exponential" else times ** (-rate * 2.0))
    rng = np.random.default_rng(3)
    shift = np.sqrt(wanted / 2) * (1 + noise * rng.normal(size=(3, 1, len(times))))
    total = 1e9 * times
    counts = np.rint(np.stack([(0.5 + shift) * total, (0.5 - shift) * total], axis=2))
    counts = np.maximum(counts, 0)
    return Curve("fitted", times, counts, np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]]) + np.sqrt(floor / 2))


@pytest.mark.parametrize(("law", "rate"), [("exponential", 0.7), ("power", 1.4)])
@pytest.mark.parametrize("floor", [0.0, 0.05])
def test_decays_are_told_apart(law, rate, floor):
    curve, fits = tabulate([falling(law, floor, noise=0.01)])
    found = fits[fits["reading"] == "V"].set_index("law")
    assert found.loc[law, "rate"] == pytest.approx(rate, rel=0.05)
    assert found.loc[law, "low"] < rate < found.loc[law, "high"]
    assert found["r_squared"].idxmax() == law
    assert found.loc[law, "floor"] == pytest.approx(floor, abs=2e-3)
    assert curve["V"].iloc[0] == pytest.approx(floor + 0.4 * (np.exp(-0.7) if law == "exponential" else 1), rel=0.1)


def recorded(tmp_path, curves, softmax="subtractive"):
    curve, fits = tabulate(curves)
    for name, frame in {"decay": curve, "decay_fit": fits, "summary": pd.DataFrame({"softmax": [softmax]})}.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    return Results(tmp_path)


POWER = falling("power", noise=0.01)


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        (falling("exponential", noise=0.01), "holds"),
        (falling("exponential", 0.05, noise=0.01), "does not hold"),
        (POWER, "does not hold"),
        # A floor about the threshold, in noise that does not tell.
        (falling("exponential", 0.0018, noise=0.3), "undecided"),
    ],
)
def test_claim_of_an_exponential_decay(tmp_path, curve, verdict):
    found = claims.exponential_decay(recorded(tmp_path, [curve]))
    assert found.word == verdict
    assert found.low < found.estimate < found.high
    # What is left decides, unless there is nothing left and a power of time fits as well.
    assert found.threshold == (claims.CLOSE if curve is POWER else claims.DECAYED)


def test_claim_depends_on_the_drive_or_is_not_about_these_rows(tmp_path):
    both = [falling("exponential", noise=0.01), attrs.evolve(falling("power", noise=0.01), drive="scores")]
    assert claims.exponential_decay(recorded(tmp_path, both)).verdict.startswith("depends: on the drive (")
    with pytest.raises(Missing):
        claims.exponential_decay(recorded(tmp_path, both, "none"))


def steps(tmp_path, **tv):
    """Results with a table of steps: (tv, low, high, steps) by feedback, for eps of 0.1 and 0.05."""
    rows = [
        {"mode": "staged", "feedback": feedback, "eps": eps, "bound": round(4 / eps**2), "trials": 8,
         "steps": reached, "steps_to_limit": 50.0, "tv": mean, "low": low, "high": high, "limit_tv": mean}
        for feedback, (mean, low, high, reached) in tv.items() for eps in (0.1, 0.05)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "steps.csv", index=False)
    return Results(tmp_path)


FAR, NEAR, UNKNOWN = (0.2, 0.19, 0.21, np.nan), (0.004, 0.003, 0.005, 90.0), (0.06, 0.0, 0.12, 90.0)


@pytest.mark.parametrize(
    ("tv", "converges", "in_time"),
    [
        ({"mean": FAR, "sum": FAR}, "does not hold", "does not hold"),
        ({"mean": NEAR, "sum": NEAR}, "holds", "holds"),
        ({"mean": NEAR, "sum": FAR}, "depends", "depends"),
        ({"mean": UNKNOWN}, "undecided", "undecided"),
        # What fails in one case and is undecided in the other does not hold of all.
        ({"mean": UNKNOWN, "sum": FAR}, "does not hold", "does not hold"),
    ],
)
def test_claims_of_the_toy(tmp_path, tv, converges, in_time):
    results = steps(tmp_path, **tv)
    assert claims.toy_converges(results).word == converges
    assert claims.toy_steps(results).word == in_time
    if converges == "depends":
        assert "on the mode and the feedback (holds: staged, mean; does not hold: staged, sum)" in (
            claims.toy_converges(results).verdict
        )


def test_no_mode_of_the_toy_hides_another(tmp_path):
    """Each mode is a case of its own: a later one takes the place of none."""
    results = steps(tmp_path, mean=FAR)
    table = results.table("steps")
    near = dict(zip(("tv", "low", "high", "steps"), NEAR, strict=True))
    both = pd.concat([table, table.assign(mode="streaming", **near)])
    results.tables(steps=both)
    assert "holds: streaming, mean; does not hold: staged, mean" in claims.toy_converges(results).verdict


def test_claims_of_lateral_inhibition_are_not_read_off_rows_without_it(tmp_path):
    with pytest.raises(Missing, match="--softmax subtractive --toy"):
        claims.toy_steps(Results(tmp_path))
    results = steps(tmp_path, own=NEAR)
    for claim in (claims.toy_converges, claims.toy_steps):
        with pytest.raises(Missing):
            claim(results)


def test_a_limit_that_is_not_softmax_is_not_said_to_approximate_it(tmp_path):
    fit = {"mode": "staged", "metric": "attention_tv", "order": -0.5, "order_low": -0.52, "order_high": -0.48,
           "verdict": "1/sqrt(N)", "reason": ""}  # fmt: skip
    last = {"mode": ["staged"], "attention_tv": [0.02], "output_rmse": [0.01], "window_ms": [4000.0]}
    last |= {"softmax": ["subtractive"], "trials": [8], "timesteps": [4000]}
    pd.DataFrame(last).to_csv(tmp_path / "summary.csv", index=False)
    for limit, verdict in ((1e-15, "holds"), (0.18, "does not hold")):
        pd.DataFrame([fit | {"limit": limit}]).to_csv(tmp_path / "convergence.csv", index=False)
        assert claims.staged(Results(tmp_path)).word == verdict


def test_options_of_these_rows_reach_the_block():
    for softmax, toy, gain in (("subtractive", True, 0.5), ("none", False, 0.1), ("self_inhibition", False, 0.1)):
        block = prepare(Config(softmax=softmax, toy=toy, target="numpy", duration="0.2 s")).blocks["streaming"]
        assert isinstance(block.softmax, ThresholdLinear)
        assert (block.softmax.name, block.softmax.gain) == (softmax, gain)
    chosen = prepare(Config(softmax="subtractive", toy=True, gain=0.2, target="numpy", duration="0.2 s"))
    assert chosen.blocks["staged"].softmax == Subtractive(gain=0.2)
