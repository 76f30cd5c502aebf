"""Order by reference: exact on the laws, the regular law by enumeration, its interval by hand."""

import itertools

import numpy as np
import pytest

from biospike.order import Laws, laws_of_rows, order_of_law, usable_windows
from biospike.theory.concentration import multinomial_tv

N = np.geomspace(50, 2000, 9)
P = np.array([[0.37, 0.29, 0.19, 0.15], [0.61, 0.21, 0.11, 0.07]])


def regular_by_enumeration(p, n):
    """Exact mean TV of counts floor(n p_i + u_i) over every outcome, u_i independent and uniform."""
    x = n * p
    f = x - np.floor(x)
    total = 0.0
    for up in itertools.product((0, 1), repeat=len(p)):
        counts = np.floor(x) + up
        chance = np.prod(np.where(up, f, 1 - f))
        total += chance * np.abs(counts / counts.sum() - p).sum() / 2
    return total


def test_regular_law_is_the_mean_over_ends_of_windows():
    n = np.arange(700, 1300)
    exact = np.mean([n_ * np.mean([regular_by_enumeration(p, n_) for p in P]) for n_ in n])
    law = laws_of_rows(P, np.full((1, 2), 1000.0)).one[0] * 1000
    # Fractions of n p are spread evenly to 1/600; shares are of n spikes only to first order in 1/n.
    assert law == pytest.approx(exact, rel=0.01)


def test_regular_law_of_keys_that_have_not_spiked():
    p = np.array([0.6, 0.3, 0.0985, 0.0005, 0.001])
    n = np.arange(400, 600)
    exact = np.mean([n_ * regular_by_enumeration(p, n_) for n_ in n])
    law = laws_of_rows(p[None], np.full((1, 1), 500.0)).one[0] * 500
    assert law == pytest.approx(exact, rel=0.03)
    spread = len(p) / 6  # what all keys would leave that had spiked
    assert abs(exact - spread) > 0.1 * exact


def test_two_keys_by_closed_form():
    """Two keys: 7/(30 N), and 1/(6 N) if they are equal; the mean over windows that end anywhere."""
    generic, equal = (laws_of_rows(np.array([[p, 1 - p]]), np.array([[1000.0]])).one[0] for p in (0.49, 0.5))
    assert generic == pytest.approx(7 / 30e3, rel=0.015)
    assert equal == pytest.approx(1 / 6e3, rel=0.015)


def test_the_laws_have_their_own_orders_and_what_lies_between():
    spikes = np.repeat(N[:, None], 2, axis=1)
    laws = laws_of_rows(P, spikes)
    np.testing.assert_allclose(laws.half, multinomial_tv(np.broadcast_to(P, (9, 2, 4)), spikes).mean(axis=1))
    for part, alpha in ((0.0, 0.5), (0.5, 0.75), (1.0, 1.0)):
        error = laws.half ** (1 - part) * laws.one**part
        assert order_of_law(N, np.stack([error, 3 * error]), laws).alpha == pytest.approx(alpha, abs=1e-9)


def test_interval_is_that_of_the_jackknife():
    rng = np.random.default_rng(3)
    laws = Laws(N**-0.5, 1 / N)
    errors = N**-0.7 * rng.lognormal(0, 0.1, (5, 9))

    def alpha(some):
        return -np.polyfit(np.log(N), np.log(some.mean(axis=0)), 1)[0]

    found = order_of_law(N, errors, laws)
    assert found.alpha == pytest.approx(alpha(errors), abs=1e-12)
    without = np.array([alpha(np.delete(errors, a, axis=0)) for a in range(5)])
    half = 3.4954059325164417 * np.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum())  # t of 97.5 %, 4 degrees
    assert found.high - found.alpha == pytest.approx(half, rel=1e-9)
    assert found.alpha - found.low == pytest.approx(half, rel=1e-9)
    assert np.isnan(order_of_law(N, errors[:1], laws)[1:]).all()


def test_windows_before_the_laws_are_near_their_order_are_not_used():
    n = np.geomspace(1, 3000, 24)
    laws = laws_of_rows(P, np.repeat(n[:, None], 2, axis=1))
    used = usable_windows(n, laws)
    assert not used[n < 5].any()
    assert used[n > 500].all()
    assert not usable_windows(n, Laws(np.full(24, 0.1), 1 / n)).any()
    assert not usable_windows(np.ones(3), Laws(np.ones(3), np.ones(3))).any()
