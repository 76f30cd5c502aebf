"""The calibration of the design rule: closed forms of its read-outs, its fits on made-up data, and the study itself."""

import re

import attrs
import numpy as np
import pandas as pd
import pytest

from biospike import load
from biospike.encoding import ENCODERS
from biospike.theory import design_rule
from circuits.softmax import Race
from validation.rule import constant_curve, study
from validation.rule.blocks import attention_of, exact
from validation.rule.constant_curve import at_rate
from validation.rule.errors import READ_OUTS, closed_form, encoding_errors, squared_errors
from validation.rule.fits import FITS, fit, fit_all
from validation.rule.inputs import digit_set, low_rank_set, patch_set, sentence_set
from validation.rule.powers import POWERS, powers
from validation.rule.tables import EPS, KEYS, SUMMARY, timesteps_to_reach

FILES = {"summary.csv", "fits.csv", "orders.csv", "constant_curve.csv", "errors.nc", "counts.nc", "report.md"}
FIGURES = {"rule_frobenius", "rule_rms", "errors", "constants"}
SIZES = ((2, 2, 2), (2, 3, 5), (3, 3, 4), (2, 4, 7))
TINY = study.Preset(
    patches=(), low_rank=SIZES, samples=3, trials=1, regular_with=(), encoding=(1, 2, 4, 11, 23, 47), attention=(11, 23)
)


class TestInputs:
    def test_a_low_rank_set_has_its_rank_and_fills_the_cube(self):
        made = low_rank_set(4, 5, 3, seed=1)
        assert np.linalg.matrix_rank(made.calibration.reshape(-1, 20) - 0.5, tol=1e-9) == 3
        # Three equal variances: two hold two thirds of the total.
        assert made.d_eff == 3
        assert made.basis.shape == (20, 3)
        both = np.concatenate([made.calibration, made.validation])
        assert both.min() >= 0
        assert both.max() <= 1
        assert max(both.max() - 0.5, 0.5 - both.min()) == pytest.approx(0.5)

    def test_digits_have_the_dimension_of_the_whole_set(self):
        # 29 of 64 components hold 95 % of the variance of all 1797 digits; half of them can be off by one.
        assert abs(digit_set(1).d_eff - 29) <= 1

    @pytest.mark.parametrize("make", [digit_set, lambda seed: patch_set(4, seed), sentence_set])
    def test_no_sample_is_in_both_halves(self, make):
        made = make(1)
        halves = [half.reshape(len(half), -1) for half in (made.calibration, made.validation)]
        distance = np.abs(halves[0][:, None, :8] - halves[1][None, :, :8]).max(axis=-1)
        same = np.argwhere(distance == 0)
        assert not any(np.array_equal(halves[0][i], halves[1][j]) for i, j in same)

    def test_no_token_is_in_both_halves(self):
        made = sentence_set(1)
        seen = [{tuple(token) for token in half.reshape(-1, 10)} for half in (made.calibration, made.validation)]
        assert [len(tokens) for tokens in seen] == [6, 5]
        assert not seen[0] & seen[1]

    def test_patches_of_the_halves_come_from_different_photographs(self):
        made = patch_set(4, 1)
        # China has a bright sky, the flower a dark leaf.
        assert made.calibration.mean() > made.validation.mean()

    @pytest.mark.parametrize("rank", [0, 7])
    def test_an_impossible_rank_is_refused(self, rank):
        with pytest.raises(ValueError, match=r"from 1 to 2\*3 = 6"):
            low_rank_set(2, 3, rank, seed=1)


class TestReadOuts:
    @pytest.mark.parametrize("name", list(ENCODERS))
    def test_simulated_encoders_meet_the_closed_forms(self, name):
        made, trials, marks = low_rank_set(2, 4, 3, seed=2), 200, (11, 47)
        measured, expected, counts, _ = encoding_errors(name, [made], 4, trials, marks, seed=3)
        assert counts.sum() > 1000
        # The noise of a sample is a sum of squares, whose standard deviation is at most sqrt(2) times its mean if it
        # lies in one dimension and less in more; 5 standard errors of the mean over trials and 8 samples. The set lies
        # in its subspace, so that the projection loses nothing.
        expected, measured = expected[0].mean(axis=(0, 1)), measured[0].mean(axis=(0, 1))
        assert np.all(np.abs(measured / expected - 1) < 5 * np.sqrt(2 / (trials * 8)))

    def test_bernoulli_closed_forms_are_those_of_the_theory(self):
        made = low_rank_set(2, 4, 3, seed=2)
        x = made.validation[:5].reshape(5, -1)
        plain, projected, inside = closed_form(ENCODERS["bernoulli"](), x, 13, made.mean, made.basis)
        assert plain == pytest.approx(design_rule.error_without_projection(x, 13))
        assert inside == pytest.approx(design_rule.error_with_projection(x, made.basis, 13))
        assert projected == pytest.approx(inside + design_rule.projection_loss(x, made.mean, made.basis))

    def test_errors_of_a_projection_by_hand(self):
        # The first axis is kept: of the error (0.3, 0.4) it holds 0.3, and x lies 0.2 off the axis.
        errors = squared_errors(
            np.array([0.8, 1.1]), np.array([0.5, 0.7]), np.array([0.0, 0.5]), np.array([[1.0], [0.0]])
        )
        assert dict(zip(READ_OUTS, errors, strict=True)) == pytest.approx(
            {"plain": 0.25, "projected": 0.09 + 0.04, "inside": 0.09}
        )

    def test_without_projection_the_error_grows_with_the_ambient_dimension_and_not_with_the_rank(self):
        """T*eps^2 = sum x(1 - x): regressed on n*d its slope is the mean variance of a coin."""
        sets = [low_rank_set(2, d, rank, seed=4) for d, rank in ((2, 2), (4, 8), (6, 2), (8, 9), (10, 3), (12, 16))]
        trials, samples, steps = 20, 8, 8
        measured = encoding_errors("bernoulli", sets, samples, trials, (steps,), seed=5)[0]
        y = steps * measured[:, 0, :, READ_OUTS.index("plain"), 0].mean(axis=1)
        ambient = np.array([one.ambient for one in sets])
        coins = np.mean([(one.calibration * (1 - one.calibration)).mean() for one in sets])
        slope = (ambient @ y) / (ambient @ ambient)
        # y is a mean over samples, trials and entries of squares: relative standard error sqrt(2/(8*20*ambient)), at
        # most 6 % a set; the coins of the sets differ by 2 %. 5 standard errors of the fit, and that.
        assert slope == pytest.approx(coins, rel=5 * np.sqrt(2 / (samples * trials * ambient.sum())) + 0.02)
        residual = y - slope * ambient
        assert abs(np.corrcoef([one.d_eff for one in sets], residual / ambient)[0, 1]) < 0.95
        assert 1 - residual.var() / y.var() > 0.95

    def test_exact_outputs_keep_the_size_of_the_input(self):
        made = low_rank_set(2, 3, 2, seed=1)
        block = attention_of(made, 3, (4, 5), seed=1)
        assert block.x.shape == (6, 4, 6)
        assert block.truth.shape == (6, 6)
        assert block.key_mask.tolist() == [True, True, False, False]
        # Padding changes nothing: the block of the padded set says the same of its tokens.
        padded = block.block.limit(block.x, block.key_mask)["output"].isel(head=0, query=slice(2), unit=slice(3))
        assert padded.values.reshape(6, -1) == pytest.approx(block.truth)
        # Attention averages tokens, and the values are an orthonormal image of them.
        inputs = made.simulated(3).reshape(6, -1)
        assert np.all((block.truth**2).sum(axis=1) <= (inputs**2).sum(axis=1) * 2)
        assert np.ptp(exact(block.block, made.calibration, made), axis=0).max() > 0.05


class TestTimesteps:
    def test_a_power_law_is_interpolated_exactly(self):
        steps = np.array([10.0, 30.0, 100.0])
        # squared error 4/T reaches eps at 4/eps^2
        assert timesteps_to_reach(4 / steps, steps, 0.3) == pytest.approx(4 / 0.09)
        assert timesteps_to_reach(4 / steps, steps, 0.25) == pytest.approx(64)

    def test_what_is_out_of_the_windows_is_censored(self):
        steps = np.array([10.0, 30.0, 100.0])
        assert timesteps_to_reach(4 / steps, steps, 0.7) == 0
        assert timesteps_to_reach(4 / steps, steps, 0.19) == np.inf
        both = timesteps_to_reach(np.stack([4 / steps, 0.01 / steps]), steps, 0.3)
        assert both.tolist() == pytest.approx([4 / 0.09, 0])

    def test_a_dip_does_not_count(self):
        assert timesteps_to_reach([1.0, 0.0, 0.5, 0.01], [1, 2, 4, 8], 0.2) > 4

    @pytest.mark.parametrize(
        ("squared", "steps", "eps", "words"),
        [
            ([1.0, 0.5], [1, 2], 0.0, "eps must be above 0, got 0"),
            ([1.0, 0.5], [2, 2], 0.1, "increase"),
            ([1.0, np.nan], [1, 2], 0.1, "numbers for 2 windows"),
            ([1.0], [1, 2], 0.1, "numbers for 2 windows"),
        ],
    )
    def test_bad_curves_are_refused(self, squared, steps, eps, words):
        with pytest.raises(ValueError, match=words):
            timesteps_to_reach(squared, steps, eps)


def made_up(t_eps2, scatter=0.0, seed=1):
    """Crossings of sets whose T*eps^2 is a given function of d_eff and ambient, in both halves."""
    rng, rows = np.random.default_rng(seed), []
    dimensions = [(2, 64), (4, 12), (5, 48), (14, 30), (28, 64), (45, 70), (4, 96), (20, 25)]
    for split in ("calibration", "validation"):
        for place, (d_eff, ambient) in enumerate(dimensions):
            for eps in (0.5, 1.0, 2.0):
                timesteps = t_eps2(d_eff, ambient) / eps**2 * np.exp(scatter * rng.standard_normal())
                row = {"encoder": "bernoulli", "circuit": "escape", "read_out": "inside", "norm": "frobenius"}
                given = {"input_set": f"set {place}", "split": split, "eps": eps, "d_eff": d_eff, "ambient": ambient}
                rows.append({**row, **given, "rank": d_eff, "timesteps": timesteps, "t_eps2": timesteps * eps**2})
    table = pd.DataFrame(rows)
    return table, table["timesteps"].to_numpy()[:, None] * np.ones(200)


class TestFits:
    def test_a_known_constant_is_recovered(self):
        table, replicates = made_up(lambda d, n: 2.3 * d, scatter=0.1)
        found = fit_all(table, replicates, pd.DataFrame(columns=[*KEYS])).iloc[0]
        # 24 points of 10 % scatter: 5 standard errors are 10 %, and those of large d_eff weigh most.
        assert found["C"] == pytest.approx(2.3, rel=0.1)
        assert found["C_low"] < 2.3 < found["C_high"]
        assert found["verdict"] == "d_eff"
        assert found["r_squared_rule"] > 0.95
        assert found["factor_d_eff"] < 1.15 < found["factor_ambient"]
        assert list(found.index) == FITS

    def test_without_scatter_it_is_exact(self):
        table, replicates = made_up(lambda d, n: 0.7 * d)
        found = fit(table[table["split"] == "calibration"], replicates[:24])
        assert found["C"] == pytest.approx(0.7)
        assert found["intercept"] == pytest.approx(0, abs=1e-9)
        assert found["C_low"] == pytest.approx(0.7) == found["C_high"]

    @pytest.mark.parametrize(
        ("law", "verdict"),
        [(lambda d, n: 0.2 * n, "ambient"), (lambda d, n: 5.0, "none"), (lambda d, n: 0.2 * n + 0.9 * d, "both")],
    )
    def test_the_data_decide(self, law, verdict):
        table, replicates = made_up(law, scatter=0.05)
        assert verdict in fit(table[table["split"] == "calibration"], replicates[:24])["verdict"]

    def test_censored_sets_are_named_and_left_out(self):
        table, replicates = made_up(lambda d, n: 2.3 * d)
        calibration = table[table["split"] == "calibration"].copy()
        calibration.loc[calibration["input_set"] == "set 3", ["timesteps", "t_eps2"]] = np.nan
        found = fit(calibration, replicates[:24])
        assert found["sets"] == 7
        assert "set 3" in found["diagnostics"]
        assert found["C"] == pytest.approx(2.3)
        calibration.loc[calibration["input_set"] > "set 2", ["timesteps", "t_eps2"]] = np.nan
        assert fit(calibration, replicates[:24])["verdict"] == "too few sets"

    def test_powers_of_a_known_law(self):
        steps, d, n = np.array([3, 10, 40, 90]), np.array([2, 4, 9, 20, 5]), np.array([64, 12, 30, 48, 20])
        squared = 3 * steps**-1.6 * (d**0.8 * n**0.4)[:, None]
        found = powers(squared, steps, d, n, np.ones(5))
        assert dict(zip(POWERS, found, strict=True)) == pytest.approx(
            {"eps_power": 2 / 1.6, "d_eff_power": 0.5, "ambient_power": 0.25}
        )
        assert np.isnan(powers(squared, steps, d, d, np.ones(5))).all()


def run_tiny(directory, rates):
    """Run the study, tiny, with one circuit on the numpy target, and its constant at these further rates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(study.PRESETS, "quick", TINY)
        patch.setattr(constant_curve, "RATES", rates)
        patch.setattr(study, "input_sets", lambda preset, seed: [low_rank_set(*size, seed) for size in SIZES])
        study.main(study.Config(circuits=("integrate",), target="numpy", out=directory, quiet=True))
    return directory


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return run_tiny(tmp_path_factory.mktemp("study"), ())


class TestStudy:
    @pytest.mark.long
    def test_writes_every_file_and_nothing_else(self, out):
        figures = {f"{name}{kind}" for name in FIGURES for kind in (".png", ".pdf")}
        assert {path.name for path in out.iterdir()} == FILES | figures

    @pytest.mark.long
    def test_summary(self, out):
        table = pd.read_csv(out / "summary.csv")
        assert list(table.columns) == SUMMARY
        runs, norms = len(ENCODERS) + 1, sum(map(len, EPS.values()))
        assert len(table) == len(SIZES) * runs * len(READ_OUTS) * norms * 2
        known = table[table["timesteps"].notna()]
        assert set(known["circuit"]) == {study.ENCODING_ONLY, "integrate"}
        assert np.allclose(known["t_eps2"], known["timesteps"] * known["eps"] ** 2)
        censored = table[table["timesteps"].isna()]
        assert censored["diagnostics"].str.contains("reached").all()

    @pytest.mark.long
    def test_predictions_are_those_of_the_rule(self, out):
        joined = pd.read_csv(out / "summary.csv").merge(pd.read_csv(out / "fits.csv")[[*KEYS, "C"]], on=KEYS)
        known = joined[joined["predicted"].notna()]
        assert len(known)
        assert np.allclose(known["predicted"], known["C"] * known["d_eff"] / known["eps"] ** 2)

    @pytest.mark.long
    def test_fits(self, out):
        table = pd.read_csv(out / "fits.csv")
        assert list(table.columns) == FITS
        alone = table[table["circuit"] == study.ENCODING_ONLY].set_index(["encoder", "read_out", "norm"])
        # Coins give T ~ eps^-2 and perfect integrators T ~ eps^-1; interpolated on few samples to a tenth.
        assert alone.loc[("bernoulli", "plain", "frobenius"), "eps_power"] == pytest.approx(2, abs=0.2)
        assert alone.loc[("regular", "plain", "frobenius"), "eps_power"] == pytest.approx(1, abs=0.2)
        # Inside the subspace C is a mean x(1 - x), which no coin takes above 1/4; 3 samples and 5 sets: 30 %.
        assert alone.loc[("bernoulli", "inside", "frobenius"), "C"] < 0.25 * 1.3

    @pytest.mark.long
    def test_stored_errors_and_counts(self, out):
        errors, counts = load(out / "errors.nc"), load(out / "counts.nc")
        assert errors.sizes["run"] == len(ENCODERS) + 1
        assert errors["timesteps"].values.tolist() == [1, 2, 4, 11, 23, 47]
        attended = errors["squared_error"].isel(run=-1)
        assert np.isfinite(attended.isel(checkpoint=slice(3, 5))).all()
        assert np.isnan(attended.isel(checkpoint=slice(0, 3))).all()
        assert int(counts["output_count"].sum()) > 100
        assert int(counts["encoder_count"].sum()) > 1000
        # A tenth of a spike a row and step; rows start above their rate, so that short windows have more.
        rows = errors["row_spikes"].isel(run=-1, checkpoint=4).mean()
        assert 2.3 * 0.7 < float(rows) < 2.3 * 3
        first = counts["row_spikes"].isel(attention_run=0, window=-1, query=slice(SIZES[0][0]))
        assert float(first.mean()) == pytest.approx(float(errors["row_spikes"][-1, 0, :, 4].mean()))

    @pytest.mark.long
    def test_constant_at_the_rate_of_the_study_is_that_of_its_fits(self, out):
        curve, fits = pd.read_csv(out / "constant_curve.csv"), pd.read_csv(out / "fits.csv")
        assert list(curve.columns) == ["circuit", "row_rate", "C", "low", "high", "read_out"]
        assert list(curve["row_rate"]) == [0.1, 0.1]
        own = fits[(fits["circuit"] == "integrate") & (fits["norm"] == "frobenius")].set_index("read_out")
        for row in curve.itertuples():
            assert pytest.approx(own.loc[row.read_out, "C"], nan_ok=True) == row.C
        assert curve["C"].notna().any()

    @pytest.mark.long
    def test_constant_rises_as_the_rate_falls(self, tmp_path):
        """Half of the rate needs twice the timesteps where the attention is what errs, the same where the input is."""
        curve = pd.read_csv(run_tiny(tmp_path, (0.05,)) / "constant_curve.csv")
        plain = curve[curve["read_out"] == "plain"]
        assert list(plain["row_rate"]) == [0.05, 0.1]
        slow, fast = plain["C"]
        assert 1.2 * fast < slow < 2.8 * fast
        assert "C = " in (tmp_path / "report.md").read_text().split("Over the row's rate")[1]

    @pytest.mark.long
    def test_report_says_what_was_found(self, out):
        text = (out / "report.md").read_text()
        fits = pd.read_csv(out / "fits.csv").set_index(["encoder", "circuit", "read_out", "norm"])
        assert f"C = {fits.loc[('bernoulli', study.ENCODING_ONLY, 'inside', 'frobenius'), 'C']:.3g}" in text
        for title in ("Which dimension, which read-out", "Four timesteps", "Inputs that took no part"):
            assert f"## {title}" in text
        assert not re.search(r"\bnan\b", text)


def test_rows_of_another_rate_have_a_window_of_as_many_spikes():
    inputs = low_rank_set(2, 3, 2, seed=1)
    block = attention_of(inputs, 3, (2, 3), seed=1)
    made = study.Study(study.Config(), TINY, 1, [inputs], [block])
    slow = at_rate(made, "race", 0.025, 0.1)
    assert slow.preset.attention == (11, 23, 92)
    assert slow.runs[-1] == ("bernoulli", "race")
    assert len(slow.runs) == len(ENCODERS) + 1
    for one, expected in ((slow.blocks[0], 0.025), (block, 0.1)):
        circuit = one.of("race", "bernoulli").softmax
        assert isinstance(circuit, Race)
        assert float(circuit.rate * circuit.dt) == pytest.approx(expected)


class TestConfig:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"circuits": ("subtractive",)}, "unknown or not a softmax"),
            ({"circuits": ("race", "race")}, "each once"),
        ],
    )
    def test_bad_options_are_refused_before_anything_runs(self, change, words):
        with pytest.raises(ValueError, match=words):
            study.prepare(attrs.evolve(study.Config(), **change))

    def test_presets_avoid_windows_in_which_pixels_are_exact(self):
        for preset in study.PRESETS.values():
            for steps in (*preset.encoding[3:], *preset.attention):
                assert steps % 2 == 1
