"""Softmax, sparsemax and 1.5-entmax: properties, and independent solutions by root finding and projection."""

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import brentq

from biospike.ideal.softmax import check_logits, entmax15, softmax, sparsemax

MAPS = pytest.mark.parametrize("share_of", [softmax, sparsemax, entmax15])


def rows(limit=1000.0, minimum_keys=1):
    """Logits (rows, keys) with some keys masked, at least one unmasked in every row."""

    @st.composite
    def draw(draw):
        shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=minimum_keys, max_side=9))
        values = draw(hnp.arrays(float, shape, elements=st.floats(-limit, limit)))
        mask = draw(hnp.arrays(bool, shape))
        mask[:, draw(st.integers(0, shape[1] - 1))] = False
        return np.where(mask, draw(st.sampled_from([np.nan, -np.inf])), values)

    return draw()


@MAPS
@given(rows())
def test_shares_are_on_the_simplex_and_masked_keys_get_exactly_zero(share_of, z):
    p = share_of(z)
    assert p.shape == z.shape
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-12)
    assert (p >= 0).all()
    assert (p[~np.isfinite(z)] == 0).all()


@MAPS
@given(rows(limit=50), st.floats(-1000, 1000))
def test_a_shift_of_the_row_changes_nothing(share_of, z, shift):
    # The shift itself rounds each logit by up to 1050 * 1.1e-16, and no share moves faster than its logits,
    # except near tau in entmax, where the square keeps the move below 2e-13 as well.
    np.testing.assert_allclose(share_of(z + shift), share_of(z), rtol=0, atol=1e-12)


@MAPS
@given(rows(), st.randoms())
def test_shares_follow_a_permutation_of_the_keys(share_of, z, random):
    order = list(range(z.shape[-1]))
    random.shuffle(order)
    np.testing.assert_allclose(share_of(z[:, order]), share_of(z)[:, order], rtol=0, atol=1e-14)


@MAPS
@given(rows())
def test_masking_a_key_equals_deleting_it(share_of, z):
    row = z[0]
    np.testing.assert_allclose(share_of(row)[np.isfinite(row)], share_of(row[np.isfinite(row)]), rtol=0, atol=1e-14)


@MAPS
@given(rows())
def test_a_larger_logit_never_gets_a_smaller_share(share_of, z):
    row = z[0][np.isfinite(z[0])]
    assert (np.diff(share_of(row)[np.argsort(row)]) >= 0).all()


@given(rows(limit=300))
def test_softmax_ratios_are_exponentials_of_logit_differences(z):
    row = z[0][np.isfinite(z[0])]
    p = softmax(row)
    # A logit up to 300 enters exp with the rounding of the difference, 600 * 1.1e-16.
    np.testing.assert_allclose(p / p[np.argmax(row)], np.exp(row - row.max()), rtol=1e-12, atol=0)


def solve_for_tau(z, share):
    """Share of each key for the tau at which they sum to one, by Brent's method: no sorting, no support."""
    tau = brentq(lambda tau: share(z - tau).sum() - 1, z.max() - 1.001, z.max(), xtol=1e-15)
    return share(z - tau)


@given(rows(limit=5))
def test_sparsemax_against_root_finding(z):
    row = z[0][np.isfinite(z[0])]
    expected = solve_for_tau(row, lambda u: np.maximum(u, 0))
    np.testing.assert_allclose(sparsemax(row), expected, rtol=0, atol=1e-12)


@given(rows(limit=5))
def test_entmax15_against_root_finding(z):
    row = z[0][np.isfinite(z[0])]
    expected = solve_for_tau(row / 2, lambda u: np.maximum(u, 0) ** 2)
    np.testing.assert_allclose(entmax15(row), expected, rtol=0, atol=1e-12)


@given(rows(limit=5), st.integers(0, 2**32 - 1))
def test_sparsemax_is_the_projection_on_the_simplex(z, seed):
    row = z[0][np.isfinite(z[0])]
    p = sparsemax(row)
    # Variational characterisation of a projection on a convex set: no point of it lies at an acute angle.
    others = np.random.default_rng(seed).dirichlet(np.full(len(row), 0.5), size=50)
    assert ((others - p) @ (row - p)).max() <= 1e-12


def test_known_values():
    np.testing.assert_allclose(softmax([0.0, np.log(3)]), [0.25, 0.75], rtol=1e-15)
    np.testing.assert_allclose(sparsemax([0.5, 0.2, -3]), [0.65, 0.35, 0], rtol=1e-15)
    # Two keys, a apart: sqrt(p1) - sqrt(p2) = a/2. With p1 = 0.64, p2 = 0.36, a = 0.4.
    np.testing.assert_allclose(entmax15([0.4, 0.0]), [0.64, 0.36], rtol=1e-15)


@MAPS
def test_extreme_rows(share_of):
    np.testing.assert_array_equal(share_of([0.0, -1e3, 1e3, -np.inf]), [0, 0, 1, 0])
    np.testing.assert_array_equal(share_of([-1.7e308, 1.7e308]), [0, 1])
    np.testing.assert_array_equal(share_of([[-1e300, np.nan]]), [[1, 0]])
    np.testing.assert_array_equal(share_of(np.full((2, 3, 4), -7)), np.full((2, 3, 4), 0.25))


@MAPS
def test_errors_name_row_and_value(share_of):
    with pytest.raises(ValueError, match="row 1 has inf at key 2"):
        share_of([[0, 1, 2], [0, 1, np.inf]])
    with pytest.raises(ValueError, match=r"row \(0, 1\) has no unmasked key .*nan, -inf"):
        share_of([[[0, 1], [np.nan, -np.inf]]])
    with pytest.raises(ValueError, match="single number 3"):
        share_of(3.0)


@pytest.mark.filterwarnings("ignore::biospike.errors.InputWarning")
@given(rows())
def test_check_logits_makes_masks_nan_and_copies(z):
    before = z.copy()
    checked = check_logits(z)
    np.testing.assert_array_equal(np.isnan(checked), ~np.isfinite(z))
    np.testing.assert_array_equal(checked[np.isfinite(z)], z[np.isfinite(z)])
    checked[:] = 0
    np.testing.assert_array_equal(z, before)


def test_check_logits_accepts_a_row_and_whole_numbers():
    checked = check_logits([1, 2, 3])
    assert checked.shape == (1, 3)
    assert checked.dtype == np.float64
    assert check_logits(np.float16([[1, -np.inf]])).dtype == np.float64


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (5.0, "single number 5.0"),
        (np.zeros((2, 2, 2)), "shape (2, 2, 2)"),
        ([], "empty, with shape (0,)"),
        (np.zeros((0, 4)), "empty, with shape (0, 4)"),
        (np.zeros((4, 0)), "empty, with shape (4, 0)"),
        ([["a", "b"]], "data type <U1"),
        ([[None, 1.0]], "data type object"),
        ([[1j, 1.0]], "data type complex128"),
        ([[True, False]], "data type bool"),
        ([[1.0], [1.0, 2.0]], "not a rectangular array: [[1.0], [1.0, 2.0]]"),
        ([[0.0, 1.0], [np.inf, 0.0]], "row 1 has inf at key 0"),
        ([[0.0, 1.0], [np.nan, -np.inf]], "row 1 has no unmasked key (it begins [nan, -inf])"),
    ],
)
def test_check_logits_rejects_in_one_line(bad, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        check_logits(bad)
    message = str(error.value)
    assert "accepted" in message
    assert "\n" not in message


@given(rows(minimum_keys=2, limit=3))
def test_softmax_moves_by_at_most_half_the_change_of_the_logits(z):
    assume(np.isfinite(z).all())
    moved = z + 0.1 * np.sin(np.arange(z.size)).reshape(z.shape)
    assert np.abs(softmax(moved) - softmax(z)).max() <= 0.5 * np.abs(moved - z).max() + 1e-15
