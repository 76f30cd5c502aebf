"""The spike bounds: their laws against closed forms and brute force, the study end to end at a small size."""

import itertools
import math
from pathlib import Path

import attrs
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import comb, factorial

from biospike.encoding import Regular, encode
from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from biospike.recording import load_groups
from biospike.theory.information import binary_entropy
from biospike.theory.rate_distortion import blahut_arimoto
from circuits.softmax import Subtractive
from validation.bounds import laws
from validation.bounds import study as spike_bounds
from validation.bounds.curves import BLOCK, COINS, ENCODER, SOFTMAX, UNIFORM, curves
from validation.bounds.figures import bounds_figure
from validation.bounds.measure import (
    TRIANGULAR,
    flip_coins,
    measure_encoder,
    measure_softmax,
    uniform_rows,
    uniform_values,
)
from validation.bounds.row_sets import rows_of, tabulate_row_sets
from validation.bounds.study import Sizes
from validation.bounds.tables import BOUNDS, FITS, RATES, SUMMARY, fit, judge, summarise
from validation.data import attention_rows
from validation.spike_bounds import Config, main, prepare
from validation.study.row_kinds import FACTORS

TINY = Sizes(
    values=64, full=64, rows=2, uniform_rows=3, duration="40 ms", windows=5, blocks=("toy",), block_duration="60 ms",
    block_windows=2, tau_s="5 ms", flips=2**10, repeats=256, trials=3, compile_rows=False,
)  # fmt: skip
FULL = 2 ** np.arange(3, 9)


@pytest.fixture(scope="module")
def encoders():
    """Curves of every encoder, by code and metric, over 8 trials of 128 values."""
    x = uniform_values(128, 8, seed=4)  # of seed 3 a regular code is one of the 2.5 % in which a bias is found
    names = ("bernoulli", "regular", TRIANGULAR)
    found = curves({f"encoder_{name}": measure_encoder(name, x, FULL, seed=4) for name in names})
    assert all(c.spikes[-1] > 100 for c in found)
    return {(c.code, c.metric): c for c in found}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(spike_bounds.PRESETS, "quick", TINY)
        patch.setattr(spike_bounds, "check_jobs", lambda _: 1)
        directory = tmp_path_factory.mktemp("bounds") / "out"
        main(Config(target="numpy", out=directory, quiet=True))
    return directory


def test_coins_pass_the_fit_of_the_paper():
    """Slope -1/2 and R^2 > 0.97 without a neuron."""
    flips = 2 ** np.arange(3, 15)
    (coins,) = curves({"coins": flip_coins(flips, trials=8, repeats=512, seed=5)})
    row = fit([coins]).iloc[0]
    # A mean of 4096 half-normal deviations has the relative error sqrt(pi/2 - 1)/64; the points are independent.
    relative = np.sqrt(np.pi / 2 - 1) / 64
    logs = np.log(flips) - np.log(flips).mean()
    assert abs(row["exponent"] + 0.5) < 4 * relative / np.sqrt((logs**2).sum()) + 0.005  # 0.4 % off at 8 flips
    assert row["r_squared"] > 0.97
    assert row["verdict"] == "1/sqrt(N)"
    # alpha = sqrt(1/(2 pi)), and N eps^2 its square; 4 standard errors and the 4 % by which 8 flips fall short of it.
    assert row["alpha"] == pytest.approx(1 / np.sqrt(2 * np.pi), rel=4 * relative + 0.04)
    assert row["ratio_observed_theoretical"] == pytest.approx(row["alpha"] ** 2)
    np.testing.assert_allclose(coins.error, coins.law, rtol=4 * relative)  # de Moivre


def test_bernoulli_meets_de_moivre(encoders):
    curve = encoders["bernoulli", "mean absolute error"]
    # 1024 trains; the deviation relative to its mean scatters by about 0.85, half-normal of unequal widths.
    np.testing.assert_allclose(curve.error, curve.law, rtol=4 * 0.85 / 32)
    assert np.isfinite(curve.law).all()


def test_orders_of_the_codes(encoders):
    table = fit(list(encoders.values())).set_index(["code", "metric"])
    absolute = table.xs("mean absolute error", level="metric")
    assert absolute["verdict"].to_dict() == {
        "bernoulli": "1/sqrt(N)", "regular": "1/N", TRIANGULAR: "undecided",
    }  # fmt: skip
    assert absolute["reason"].to_dict() == {"bernoulli": "", "regular": "", TRIANGULAR: "no law"}
    assert absolute["faster"].to_dict() == {"bernoulli": False, "regular": True, TRIANGULAR: True}
    # Exact: 1/(3 T) for uniform x. Intervals of 95 % may miss it: twice their width.
    row = absolute.loc["regular"]
    assert abs(row["exponent"] + 1) < row["exponent_high"] - row["exponent_low"]
    assert row["exponent_high"] - row["exponent_low"] < 0.2
    bounds = judge(list(encoders.values()), table.reset_index()).set_index(["code", "metric", "bound"])["verdict"]
    assert bounds["bernoulli", "mean absolute error", "Theorem 8"] == "holds"
    assert bounds["bernoulli", "mean absolute error", "Lemma 1 (Hoeffding)"] == "holds"
    assert bounds["regular", "mean absolute error", "Theorem 8"] == "undercut"
    assert bounds[TRIANGULAR, "rms error", "Theorem 8"] == "undercut"


def test_rms_of_the_regular_code_is_exact(encoders):
    """Both read-outs, against 1/(sqrt(6) T) and 2/(sqrt(3) T^1.5)."""
    assert laws.regular_rms(np.full(64, 1 / 64)) == pytest.approx(1 / (np.sqrt(6) * 64))
    assert laws.regular_rms(laws.triangular_weights(4096)) == pytest.approx(2 / np.sqrt(3) * 4096**-1.5, rel=1e-3)
    count = encoders["regular", "rms error"]
    np.testing.assert_allclose(count.error, count.law, rtol=4 * 0.5 / 32)
    triangular = encoders[TRIANGULAR, "rms error"]
    # Squared errors are heavy-tailed: near fractions with small denominators. Short windows hold enough of them.
    np.testing.assert_allclose(triangular.error[:3], triangular.law[:3], rtol=0.15)


def test_triangular_counts_are_those_of_the_encoder():
    """The recorded spikes are those that `encode` counts."""
    x = uniform_values(16, 2, seed=1)
    data = measure_encoder(TRIANGULAR, x, np.array([8, 64]), seed=1)
    expected = encode(Regular(), x.ravel(), [8, 64], seed=1)[0].reshape(2, 16, 2)
    np.testing.assert_array_equal(data["spikes"], expected)
    assert expected[..., -1].sum() > 500


def test_simplex_bound_of_two_keys_is_shannons():
    for d in (0.01, 0.1):
        assert laws.simplex_bits(d, 2) == pytest.approx(np.log2(1 / (2 * math.e * d)))
    cells = (np.arange(200) + 0.5) / 200
    exact = blahut_arimoto(np.full(200, 1 / 200), np.abs(cells[:, None] - cells), target=0.05, tolerance=1e-3)
    bound = laws.simplex_bits(0.05, 2)
    assert bound - 0.02 < exact.rate < bound + 0.3  # a bound, near for small D; 200 cells blur it by 0.01 bits


def test_simplex_bound_uses_the_right_volume():
    """Errors of TV at most 1 fill C(2m, m)/m!; by Monte Carlo for three and four keys."""
    for keys in (3, 4):
        m = keys - 1
        free = np.random.default_rng(keys).uniform(-1, 1, (200_000, m))
        tv = (np.abs(free).sum(axis=1) + np.abs(free.sum(axis=1))) / 2
        share = (tv <= 1).mean()
        error = 2**m * np.sqrt(share * (1 - share) / 200_000)
        assert abs(2**m * share - comb(2 * m, m) / factorial(m)) < 4 * error
        # h(P) minus the largest entropy of an error whose TV is Gamma(m, D/m).
        d = 0.01
        entropy = np.log2(comb(2 * m, m)) + m * np.log2(math.e * d / m)
        assert laws.simplex_bits(d, keys) == pytest.approx(-np.log2(factorial(m)) - entropy)


def test_spikes_for_bits_inverts_the_largest_entropy():
    """No distribution of counts of that mean has more bits: the geometric one, summed term by term."""
    mean = laws.spikes_for_bits(5.0)
    k = np.arange(2000)
    p = (1 / (1 + mean)) * (mean / (1 + mean)) ** k
    assert -(p[p > 0] * np.log2(p[p > 0])).sum() == pytest.approx(5.0, abs=1e-6)
    assert (k * p).sum() == pytest.approx(mean)
    assert laws.spikes_for_bits(10.0, counts=2) == pytest.approx(2 * mean)
    assert laws.spikes_for_bits(0.0) == 0
    spikes = laws.train_spikes_for_bits(30.0, 100)
    assert 100 * binary_entropy(spikes / 100) == pytest.approx(30.0)
    assert laws.train_spikes_for_bits(101.0, 100) == np.inf


def test_nearest_counts_by_brute_force():
    generator = np.random.default_rng(2)
    for _ in range(20):
        p, n = generator.dirichlet(np.ones(4)), int(generator.integers(1, 8))
        ways = [c for c in itertools.product(range(n + 1), repeat=4) if sum(c) == n]
        best = min(np.abs(np.array(c) / n - p).sum() / 2 for c in ways)
        assert laws.nearest_counts_tv(p, n) == pytest.approx(best)
    assert laws.nearest_counts_tv([0.5, 0.25, 0.25, 0], 8) == 0


def test_hoeffding_in_the_mean():
    delta = np.linspace(0, 4, 400_001)
    assert laws.hoeffding_mean_error(1) == pytest.approx(np.trapezoid(np.minimum(1, 2 * np.exp(-2 * delta**2)), delta))


def test_paper_fit_on_exact_laws():
    n = np.geomspace(10, 1000, 9)
    exact = laws.paper_fit(n, 3 / np.sqrt(n))
    assert exact.alpha == pytest.approx(3)
    assert exact.r_squared == pytest.approx(1)
    assert exact.r_squared_log == pytest.approx(1)
    assert laws.paper_fit(n, 1 / n).r_squared < 0.97
    low, high = laws.rivals(n, 0.97)
    assert low < 0.5 < high
    for b in (low, high):
        assert laws.paper_fit(n, n**-b).r_squared == pytest.approx(0.97)


def test_floor_codes_get_the_verdict_floor():
    """Subtractive inhibition on real rows: the threshold-linear fixed point, not softmax."""
    data = measure_softmax(
        "subtractive", rows_of(Subtractive(), attention_rows()[:4], uniform_rows(4, 8, 1)), 1, duration="1 s",
        trials=3, target="numpy", checkpoints=8,
    )  # fmt: skip
    found = curves({"softmax_subtractive": data})
    assert [c.family for c in found] == [SOFTMAX, UNIFORM]
    assert all(c.spikes[-1] > 100 for c in found)
    table = fit(found)
    assert (table["verdict"] == "floor").all()
    # A deterministic circuit: within one spike a key of its closed form.
    for curve in found:
        assert abs(curve.error[-1] - curve.limit_error) < 32 / curve.spikes[-1]
    lemma = judge(found, table).query("bound == 'Lemma 3'")["verdict"]
    assert lemma.str.startswith("fails for eps <").all()
    sets = tabulate_row_sets({"softmax_subtractive": data})
    assert list(sets["rows_kind"]) == list(FACTORS)
    assert sets["enough"].str.startswith("fails for eps <").all()
    assert sets["tv"].iloc[0] == found[0].error[-1]
    for row in sets.itertuples():  # each about the fixed point of its own rows
        z = FACTORS[row.rows_kind] * attention_rows()[:4]
        assert row.tv == pytest.approx(total_variation(Subtractive().limit(z), softmax(z)).mean(), abs=32 / row.spikes)


@pytest.mark.long
def test_writes_every_file_with_its_columns(out):
    figures = {f"{name}.{kind}" for name in ("spikes", "control") for kind in ("png", "pdf")}
    assert {path.name for path in out.iterdir()} == figures | {
        "summary.csv", "fits.csv", "bounds.csv", "rates.csv", "rate_bands.csv", "row_sets.csv", "sparse.csv", "raw.nc",
        "report.md",
    }  # fmt: skip
    summary, fits, bounds = (pd.read_csv(out / f"{name}.csv") for name in ("summary", "fits", "bounds"))
    assert list(summary.columns) == SUMMARY
    assert list(fits.columns) == FITS
    assert list(bounds.columns) == BOUNDS
    assert set(summary["family"]) == {ENCODER, SOFTMAX, UNIFORM, BLOCK, COINS}
    assert summary.groupby("family")["spikes"].max().min() > 1
    report = (out / "report.md").read_text()
    for words in ("2.08", "2.63", "0.97", "Coins", "No measured point lies below a bound"):
        assert words in report


@pytest.mark.long
def test_both_readings_of_the_rate_are_told(out):
    """The toy: 2 tokens of 2 features, whose mean is 1/2; e from the summary, L_f from the stored data."""
    rates, summary = (pd.read_csv(out / f"{name}.csv") for name in ("rates", "summary"))
    assert list(rates.columns) == RATES
    assert len(rates) >= 2
    steep = {curve.code: curve for curve in curves(load_groups(out / "raw.nc")) if curve.metric == "output rmse"}
    for row in rates.itertuples():
        error = summary[(summary["code"] == row.code) & (summary["metric"] == "output rmse")]["error"].iloc[-1]
        relative = error / np.sqrt(steep[row.code].paper_constant / 4)  # L_f^2 n d
        assert row.values == 4
        assert row.input_rate == pytest.approx(0.5)
        assert row.bits_per_value == pytest.approx(max(0, -4 * np.log2(relative)))
        assert row.bits_frobenius == pytest.approx(max(0, -4 * np.log2(2 * relative)))
        assert row.bits_shannon <= row.bits_per_value
        assert row.bits_per_spike_allowed == pytest.approx(2)  # h(1/2) = 1 bit a step
    assert (rates["bits_per_value"] > 0).any()
    text = (out / "report.md").read_text()
    assert "bits_frobenius" in text
    assert "0.773" in text


@pytest.mark.long
def test_no_point_lies_below_a_bound(out):
    """Information and whole spikes bound every code from below: a violation would be an error of ours."""
    summary = pd.read_csv(out / "summary.csv")
    informed = summary[summary["information_bound"] > 0]
    assert set(informed["family"]) == {ENCODER, UNIFORM}
    assert (informed["spikes"] > informed["information_bound"]).all()
    whole = summary[summary["grid_error"].notna() & summary["error"].notna()]
    assert set(whole["family"]) == {SOFTMAX, UNIFORM, BLOCK}
    assert (whole["error"] >= whole["grid_error"] - 1e-12).all()
    assert (pd.read_csv(out / "bounds.csv")["verdict"] != "VIOLATED").all()


@pytest.mark.long
def test_raw_data_give_the_tables_again(out):
    found = curves(load_groups(out / "raw.nc"))
    again = fit(found)
    stored = pd.read_csv(out / "fits.csv")
    merged = again.merge(stored, on=["family", "code", "metric", "against"], suffixes=("", "_stored"))
    assert len(merged) == len(stored)
    np.testing.assert_allclose(merged["exponent"].astype(float), merged["exponent_stored"], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trials": 1}, "--trials must be at least 2"),
        ({"logits": Path("nowhere.npy")}, "nowhere.npy"),
    ],
)
def test_bad_input_names_the_value(options, words):
    with pytest.raises(ValueError, match=words):
        prepare(attrs.evolve(Config(), **options))


def test_rows_of_nothing_but_one_key_are_refused(tmp_path):
    np.save(tmp_path / "one.npy", np.array([[0.3, np.nan], [np.nan, 0.2]]))
    with pytest.raises(ValueError, match="no row has two keys"):
        prepare(Config(logits=tmp_path / "one.npy"))
    np.save(tmp_path / "one.npy", np.array([[0.3, np.nan], [0.1, 0.2]]))
    assert prepare(Config(logits=tmp_path / "one.npy", target="numpy")).real.shape == (2, 2)


def counted(logits, spikes):
    """Curves of `escape` on real rows whose largest keys spike so often (trials, windows)."""
    logits = np.array(logits)
    counts = np.zeros((*np.shape(spikes)[:1], *logits.shape, np.shape(spikes)[1]), dtype=int)
    counts[:, np.arange(len(logits)), np.nanargmax(logits, axis=1)] = np.array(spikes)[:, None]
    data = xr.Dataset(
        {
            "spike_count": (("trial", "row", "key", "checkpoint"), counts),
            "logits": (("row", "key"), logits),
            "limit": (("row", "key"), softmax(logits)),
        },
        coords={
            "timesteps": ("checkpoint", 100 * np.arange(1, counts.shape[-1] + 1)),
            "prior": ("row", ["real"] * len(logits)),
        },
        attrs={"circuit": "escape"},
    )  # fmt: skip
    return curves({"softmax_escape": data})


GROWING = [[40, 80, 160, 320], [41, 82, 164, 328]]
UNTOLD = {
    "saturated": ([[900.0, 0, 0]], GROWING, "few keys"),
    "silent": ([[1.0, 0, -1]], np.zeros((2, 4)), "silent"),
    "a silent trial": ([[1.0, 0, -1]], [GROWING[0], [0, 0, 0, 0]], "silent"),
    "few spikes": ([[1.0, 0, -1]], [[1, 2, 3, 4]] * 2, "few keys"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", UNTOLD)
def test_a_curve_that_no_law_can_be_fitted_to_is_undecided_and_says_why(name):
    logits, spikes, reason = UNTOLD[name]
    (curve,) = counted(logits, spikes)
    assert curve.spikes.tolist() == np.asarray(spikes, dtype=float).mean(axis=0).tolist()
    row = fit([curve]).iloc[0]
    assert (row["verdict"], row["reason"]) == ("undecided", reason)
    assert pd.isna(row[["exponent", "exponent_low", "r_squared", "alpha"]]).all()
    bounds = judge([curve], fit([curve]))
    assert "nan" not in bounds.to_csv() + summarise([curve]).to_csv()


def test_a_circuit_that_was_not_run_is_a_row_of_the_fits_and_named_in_the_figure(encoders):
    found = [*encoders.values(), *counted([[1.0, 0, -1]], GROWING)]
    fits = spike_bounds.tabulate(found, ["race"])["fits"]
    row = fits[fits["code"] == "race"].iloc[0]
    assert (row["family"], row["verdict"], row["reason"]) == (SOFTMAX, "undecided", "not run")
    assert row[["exponent", "alpha", "ratio_low"]].isna().all()
    assert len(fits) == len(fit(found)) + 1
    words = [text.get_text() for axes in bounds_figure(found, fits).axes for text in axes.texts]
    assert words.count("not run: race") == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: laws.simplex_bits(0.1, 1), "at least 2"),
        (lambda: laws.simplex_bits(0.0, 3), "tv must be above 0"),
        (lambda: laws.spikes_for_bits(-1.0), "bits must be at least 0"),
        (lambda: laws.nearest_counts_tv([0.5, 0.5], 1.5), "whole numbers"),
        (lambda: laws.paper_fit([1, 2], [1, 2]), "at least 3 points"),
    ],
)
def test_laws_name_the_bad_value(call, words):
    with pytest.raises(ValueError, match=words):
        call()
