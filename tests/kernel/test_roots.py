"""Roots of all rows at once, against functions whose roots are known."""

import numpy as np
import pytest

from biospike.roots import row_roots


def test_each_row_has_its_own_function():
    a = np.array([0.25, 1.0, 2.0, 1e-12, 1e6])
    found = row_roots(lambda x, row: x * x - a[row], np.zeros(5), 2000.0)
    np.testing.assert_allclose(found, np.sqrt(a), rtol=4e-16)
    falling = row_roots(lambda x, row: a[row] - x, np.zeros(5), 2e6)
    np.testing.assert_allclose(falling, a, rtol=4e-16)


def test_a_root_at_an_end_or_just_beyond_it():
    a = np.array([0.0, -1e-17, 1.0, 1.0 + 1e-15])
    np.testing.assert_allclose(row_roots(lambda x, row: x - a[row], np.zeros(4), np.ones(4)), a, atol=2e-15)


def test_no_row():
    assert row_roots(lambda x, row: x, np.zeros(0), np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("steps", [3, 7])
def test_a_staircase_ends_at_its_step(steps):
    """As the mean field of tabulated rates may be: no value is zero, and the jump is found."""
    found = row_roots(lambda x, row: np.floor(x * steps) - 0.5, np.zeros(1), np.ones(1))
    np.testing.assert_allclose(found, 1 / steps, rtol=1e-15)
