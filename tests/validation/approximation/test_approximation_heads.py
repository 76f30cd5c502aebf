"""Parts of the approximation study that need no simulation: targets, heads in the rate domain, read-out."""

import numpy as np
import pytest

from validation.approximate_function import Config, prepare
from validation.approximation.heads import (
    SHARPNESS,
    block,
    candidates,
    choose,
    draw_tokens,
    largest_units,
    limit_features,
    with_constant,
)
from validation.approximation.readout import PIVOT, RIDGES, TOP, climb, fit_readout, sup_interval
from validation.approximation.study import approximate
from validation.approximation.tables import head_counts, of_heads
from validation.approximation.targets import TARGETS, check_target


@pytest.fixture(scope="module")
def heads():
    """Sixteen heads chosen for the shipped targets, without a simulation."""
    return prepare(Config(heads=16, samples=20, target="numpy")).circuit


class TestTargets:
    def test_values_by_hand(self):
        x = np.array([[[0.2, 0.5], [0.6, 0.1]]])
        np.testing.assert_allclose(TARGETS["pairwise_maximum"](x), [[0.4, 0.6]])
        # Means: first feature 0.4, last 0.3.
        np.testing.assert_allclose(TARGETS["deepsets_polynomial"](x), [[(0.06 + 0.16) / 2, (0.18 + 0.16) / 2]])
        same = np.full((1, 5, 3), 0.3)
        np.testing.assert_allclose(TARGETS["softmax_attention"](same), np.full((1, 5), 0.3))

    @pytest.mark.parametrize("name", TARGETS)
    @pytest.mark.parametrize(("tokens", "features"), [(4, 2), (7, 1), (2, 5)])
    def test_shipped_ones_are_equivariant_and_within_one(self, name, tokens, features):
        check_target(name, TARGETS[name], tokens, features)
        values = TARGETS[name](draw_tokens(200, tokens, features, np.random.default_rng(1)))
        assert values.min() >= 0
        assert values.max() <= 1
        assert values.std() > 0.05

    @pytest.mark.parametrize(
        ("function", "words"),
        [
            (lambda x: x[..., 0] * np.arange(x.shape[1]), "'f' is not permutation-equivariant: .* the order"),
            (lambda x: np.cumsum(x[..., 0], axis=1), "not permutation-equivariant"),
            (lambda x: x, r"must return numbers of the shape \(samples, tokens\) = \(16, 4\)"),
            (lambda x: x.sum(axis=(1, 2)), "must return numbers of the shape"),
            (lambda x: np.log(x[..., 0] - x[..., 0].max(axis=1, keepdims=True)), "must be finite"),
            (lambda x: 1e-200 * x[..., 0], r"spans .*e-20\d, the square of which double precision does not hold"),
            (lambda x: 1e200 * x[..., 0], r"spans .*e\+199, the square of which double precision does not hold"),
            (lambda x: np.ones(x.shape[:2]), "is constant"),
            (lambda x: x[..., 0] - x[..., 0].mean(), "mixes samples"),
        ],
    )
    def test_others_are_refused(self, function, words):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match=words):
            approximate(function, name="f", target="numpy")

    def test_a_target_cannot_change_the_tokens(self):
        def spoils(x):
            x[:] = np.sort(x, axis=1)
            return x[..., 0]

        with pytest.raises(ValueError, match="not permutation-equivariant"):
            check_target("spoils", spoils, 4, 2)


class TestHeads:
    def test_candidates_keep_to_their_bounds_and_cross_the_box(self):
        rng = np.random.default_rng(2)
        weights = candidates(64, 2, 3, rng)
        x = with_constant(np.concatenate([draw_tokens(60, 4, 2, rng), rng.integers(0, 2, (60, 4, 2)).astype(float)]))
        q, k, v = (np.einsum("snf,fhe->snhe", x, one) for one in weights)
        scores = np.abs(np.einsum("snhe,smhe->hsnm", q, k) / np.sqrt(3)).max(axis=(1, 2, 3))
        assert scores.max() <= max(SHARPNESS) * (1 + 1e-9)
        assert (scores > min(SHARPNESS) / 10).all()
        largest = largest_units(weights)
        for units, bound in zip((q, k, v), largest, strict=True):
            # The corners are among the samples, and a form has its maximum at one of them.
            np.testing.assert_allclose(np.abs(units).max(axis=(0, 1)), bound)
            assert (units.min(axis=(0, 1)) < 0).all()
            assert (units.max(axis=(0, 1)) > 0).all()

    def test_rates_reach_the_peak_at_a_corner_of_the_box(self, heads):
        corners = with_constant(np.indices((2, 2)).reshape(2, -1).T.astype(float)[None])
        rates = heads.rates(corners)
        np.testing.assert_allclose(rates.max(axis=(0, 1, 4, 5)), heads.peak_rate)

    def test_limit_features_are_those_of_the_block(self, heads):
        x = draw_tokens(5, 4, 2, np.random.default_rng(3))
        both = limit_features(heads, x)
        signed = (both[..., 0] - both[..., 1]) / heads.scales[2][:, None]
        np.testing.assert_allclose(signed, heads.limit(with_constant(x))["output"].transpose("sample", "query", ...))

    def test_choice_is_nested_and_finds_the_head_that_makes_the_target(self, heads):
        rng = np.random.default_rng(4)
        pool = block(candidates(24, 2, 2, rng), heads)
        features = limit_features(pool, draw_tokens(100, 4, 2, rng))
        values = np.stack([features[:, :, 7, 0, 0], features[:, :, 7, 1, 1]], axis=-1)
        assert choose(features, values, 1) == [7]
        several = np.stack([features[:, :, 2:9, 0, 0].sum(axis=2), features[:, :, 5, 1, 1]], axis=-1)
        chosen = choose(features, several, 8)
        assert len(set(chosen)) == 8
        assert choose(features, several, 3) == chosen[:3]

    def test_error_in_the_limit_falls_with_the_heads(self, heads):
        """For every target, on 400 samples that nothing was fitted to."""
        rng = np.random.default_rng(5)
        seen, unseen = draw_tokens(200, 4, 2, rng), draw_tokens(400, 4, 2, rng)
        numbers = head_counts(16)
        assert numbers == [1, 2, 4, 8, 16]
        errors = []
        for number in numbers:
            values, wanted = (np.stack([f(x) for f in TARGETS.values()], axis=-1) for x in (seen, unseen))
            readout = fit_readout(of_heads(limit_features(heads, seen), number), values)
            errors.append(np.abs(readout(of_heads(limit_features(heads, unseen), number)) - wanted))
        rms = np.sqrt((np.array(errors) ** 2).mean(axis=(1, 2)))
        sup = np.array(errors).max(axis=(1, 2))
        # Heads are added for all targets together, so that one of them may have to wait.
        assert (np.diff(rms, axis=0) < 0.05 * rms[:-1]).all()
        assert (rms[-1] < rms[0] / 2).all()
        assert (sup[-1] < 0.75 * sup[0]).all()
        orders = np.polyfit(np.log(numbers), np.log(rms), 1)[0]
        assert (orders < -0.25).all()


class TestReadout:
    def test_penalty_is_that_of_explicit_leave_one_sample_out(self):
        rng = np.random.default_rng(6)
        x = rng.normal(size=(12, 3, 5)) @ np.diag([1, 0.5, 0.1, 0.02, 0.01]) + 2.0
        y = np.stack([x.sum(axis=-1), np.sin(3 * x[..., 1])], axis=-1) + rng.normal(0, 0.3, (12, 3, 2))
        largest = np.linalg.svd((x - x.mean(axis=(0, 1))).reshape(-1, 5))[1][0]

        def fit(seen, ridge):
            flat, values = x[seen].reshape(-1, 5), y[seen].reshape(-1, 2)
            centred = flat - flat.mean(axis=0)
            gram = centred.T @ centred + ridge * largest**2 * np.eye(5)
            weights = np.linalg.solve(gram, centred.T @ (values - values.mean(axis=0)))
            return weights, values.mean(axis=0) - flat.mean(axis=0) @ weights

        errors = np.zeros((len(RIDGES), 2))
        for place, ridge in enumerate(RIDGES):
            for left_out in range(12):
                weights, offset = fit(np.arange(12) != left_out, ridge)
                errors[place] += ((x[left_out] @ weights + offset - y[left_out]) ** 2).mean(axis=0) / 12
        readout = fit_readout(x, y)
        np.testing.assert_array_equal(readout.ridge, np.array(RIDGES)[errors.argmin(axis=0)])
        assert (readout.ridge > 0).any()
        for column, ridge in enumerate(readout.ridge):
            weights, offset = fit(np.arange(12) >= 0, ridge)
            np.testing.assert_allclose(readout.weights[:, column], weights[:, column])
            np.testing.assert_allclose(readout.offset[column], offset[column])

    def test_recovers_a_target_that_is_an_output_of_the_heads(self, heads):
        rng = np.random.default_rng(7)
        x = draw_tokens(150, 4, 2, rng)
        features = of_heads(limit_features(heads, x), 16)
        values = np.stack([features[..., 11], 2 * features[..., 3] - features[..., 40] + 0.7], axis=-1)
        readout = fit_readout(features[:100], values[:100])
        assert np.abs(readout(features[100:]) - values[100:]).max() < 1e-9
        assert values.std(axis=(0, 1)).min() > 0.02

    def test_without_features_it_is_the_mean(self):
        values = np.random.default_rng(8).normal(size=(6, 2, 3))
        readout = fit_readout(np.zeros((6, 2, 0)), values)
        np.testing.assert_allclose(readout(np.zeros((1, 0)))[0], values.mean(axis=(0, 1)))
        silent = fit_readout(np.zeros((6, 2, 4)), values)
        np.testing.assert_allclose(silent(np.zeros((1, 4)))[0], values.mean(axis=(0, 1)))

    def test_a_weight_of_one_sample_alone_is_not_decided_by_rounding(self):
        """Features of one sample each, as under silent rows: without a penalty what is left out is 0/0."""
        x, y = np.zeros((9, 2, 4)), np.random.default_rng(10).normal(size=(9, 2, 1))
        x[[1, 4, 6], :, [0, 2, 3]] = [[1.0, -1.0]] * 3
        for rounding in np.random.default_rng(11).normal(0, 1e-16, (50, *x.shape)):
            readout = fit_readout(x + rounding * (x != 0), y)
            assert (readout.ridge > 0).all()
            np.testing.assert_allclose(readout.weights, fit_readout(x, y).weights, rtol=1e-6, atol=1e-9)

    def test_interval_holds_the_mean_maximum(self):
        """Exponential errors: the mean maximum of M is the harmonic number. Coverage within 5 standard errors, 2 %."""
        rng = np.random.default_rng(9)
        samples, repeats = 80, 4000
        errors = rng.exponential(size=(repeats, samples))
        low, high = sup_interval(errors)
        truth = (1 / np.arange(1, samples + 1)).sum()
        assert abs(((low < truth) & (truth < high)).mean() - 0.95) < 5 * np.sqrt(0.95 * 0.05 / repeats) + 0.003
        largest = errors.max(axis=-1)
        assert ((low < largest) & (largest < high)).all()
        np.testing.assert_allclose(sup_interval(3 * errors[0]), [3 * low[0], 3 * high[0]])
        assert np.isnan(sup_interval(errors[0, :TOP])).all()

    def test_pivot_is_that_of_an_exponential_tail(self):
        rng = np.random.default_rng(10)
        terms, repeats = 300, 100_000
        spacings = rng.exponential(size=(repeats, TOP))
        rest = np.zeros(repeats)
        for j in range(TOP + 1, terms):
            rest += (rng.exponential(size=repeats) - 1) / j
        pivot = (((spacings - 1) / np.arange(1, TOP + 1)).sum(axis=1) + rest) / spacings.mean(axis=1)
        # Fractions beyond the points, within 4 standard errors, and what the last digit of a point may shift them.
        allowed = 4 * np.sqrt(0.025 * 0.975 / repeats) + 5e-4
        assert abs((pivot < PIVOT[0]).mean() - 0.025) < allowed
        assert abs((pivot > PIVOT[1]).mean() - 0.025) < allowed

    def test_climb_reaches_a_corner_and_an_inner_maximum(self):
        starts, slopes = np.full((2, 4, 3, 2), 0.5), np.array([[1.0, -0.3], [0.5, 0.8], [-0.6, 0.1]])

        def errors(x):
            corner = np.abs((x[0] * slopes).sum(axis=(-2, -1)))
            inner = 1 - ((x[1] - 0.6) ** 2).sum(axis=(-2, -1))
            return np.stack([corner, inner])

        found = climb(errors, starts, np.random.default_rng(11))
        assert found[0] == pytest.approx(1.0 + 0.5 + 0.8 + 0.1)
        assert 0.995 < found[1] <= 1
