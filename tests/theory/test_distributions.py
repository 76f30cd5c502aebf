"""Distributions by special functions are those of scipy.stats."""

import numpy as np
import pytest
from scipy import stats

from biospike.distributions import binomial_pmf, student_quantile, student_tail


@pytest.mark.parametrize("n", [0, 1, 7, 300, 10**6])
def test_binomial_chances(n):
    """Logarithms of factorials cancel: of n*log(n), about 1e7 for a million draws, a rounding error is 2e-9."""
    p = np.array([0.0, 1e-6, 0.3, 0.5, 0.999, 1.0])[:, None]
    k = np.unique(np.concatenate([np.linspace(0, n + 2, 9).round(), np.rint(n * p.ravel())]))
    found, known = binomial_pmf(k, n, p), stats.binom.pmf(k, n, p)
    np.testing.assert_allclose(found, known, rtol=4e-9 if n > 300 else 2e-12, atol=1e-300)
    assert found.max() > 0.9
    assert (found[:, k > n] == 0).all()


def test_students_t():
    freedom = np.array([1, 2, 7.3, 1000, np.inf])
    np.testing.assert_allclose(student_quantile(freedom), stats.t.ppf(0.975, freedom), rtol=1e-10)
    np.testing.assert_allclose(student_tail(2.5, freedom), stats.t.sf(2.5, freedom), rtol=1e-10)
