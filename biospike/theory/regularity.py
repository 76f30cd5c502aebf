"""Error laws of codes more regular than Poisson, up to the counter that starts at a random phase."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, erf

from biospike.distributions import binomial_pmf

Array = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
PHASES, PHASE_WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
"""Gauss-Legendre rule on [0, 1] for the fractional part of a charge."""
MOST_TIED = 16
"""Keys of equal share whose spikes are counted one by one; those of more are nearly normal."""
MOST_RARE = 48
"""Spikes of keys that have yet to spike which are counted one by one."""


def regular_tv(p: ArrayLike, n: ArrayLike) -> Array:
    """Expected TV from p of the shares of regular keys that start at independent uniform phases.

    A fixed clock charges key i by x_i = n*p_i, and its count is floor(x_i + phase): x_i plus an error d_i that is
    1 - f_i with the chance f_i and -f_i otherwise, f_i the fractional part of x_i. The row's count then errs by the sum
    of the d_j, and its shares, to first order in 1/n, by (d_i - p_i*sum_j d_j)/n::

        E[TV] = 1/(2n) sum_i E abs(d_i - p_i*sum_j d_j)

    At one end of the window this is exact to first order, and jumps with n; here it is the mean over ends. Of a key
    that has spiked, x_i >= 1, f_i is uniform, and the same number for keys of equal share; before, f_i is x_i itself.
    Two keys of nearly equal share give 7/(30n), two of equal share 1/(6n), and a row of one key that takes all but q of
    the share 2*q while n*q is far below one: q in nearly every window, 1/n in the few in which another key spikes.

    The spikes of the other keys are taken as normal, but those of equal share (up to `MOST_TIED`) and, where one key
    alone has spiked, of all others (up to `MOST_RARE`), which are counted. Within 1.5 % of the law above for two keys
    that have spiked, and 0.3 % for many. Integrators that all start empty lag behind instead: about keys/(8n) if all
    keys are equal and their leftover charges independent, up to keys/(2n) if one key dominates.

    Parameters
    ----------
    p : array (..., keys)
        Shares; 0 for masked keys.
    n : array (...)
        Charge of the row in spikes, or the spikes themselves: they are the same to first order.

    Returns
    -------
    ndarray (...)
        Expected TV; NaN where n is 0.
    """
    shares, spikes = np.asarray(p, dtype=float), np.asarray(n, dtype=float)[..., None]
    x = shares * spikes
    p_i, tied = (np.broadcast_to(values, x.shape) for values in (shares, tied_keys(shares)))
    counted = x >= 1
    variance = np.where(counted, 1 / 6, x * (1 - x))  # of d_i; 1/6 is the mean of f*(1 - f)
    # While x_i < 1 the sign of the error of the share is that of d_i.
    error = np.where(counted, 0.0, 2 * x * (1 - x) * (1 - p_i))
    alone = counted & (counted.sum(axis=-1, keepdims=True) == 1) & (x.sum(axis=-1, keepdims=True) - x < MOST_RARE / 3)
    several = counted & ~alone
    others = (variance.sum(axis=-1, keepdims=True) - np.where(tied <= MOST_TIED, tied, 1) * variance)[several]
    error[several] = _among_others(p_i[several], tied[several], np.maximum(others, 0.0))
    if alone.any():
        rows = alone.any(axis=-1)
        error[alone] = _alone(p_i[alone], np.where(alone, 0.0, x)[rows])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(error.sum(axis=-1) / (2 * spikes[..., 0]))


def tied_keys(p: Array) -> NDArray[np.int64]:
    """How many keys of its row have the share of a key, itself included; shape of `p`."""
    order = np.argsort(p, axis=-1, kind="stable")
    ordered = np.take_along_axis(p, order, axis=-1)
    place = np.broadcast_to(np.arange(p.shape[-1]), p.shape)
    edge = np.ones((*p.shape[:-1], 1), dtype=bool)
    differs = ordered[..., 1:] != ordered[..., :-1]
    first = np.maximum.accumulate(np.where(np.concatenate([edge, differs], axis=-1), place, 0), axis=-1)
    end = np.where(np.concatenate([differs, edge], axis=-1), place, p.shape[-1])
    last = np.minimum.accumulate(end[..., ::-1], axis=-1)[..., ::-1]
    tied = np.empty(p.shape, dtype=np.int64)
    np.put_along_axis(tied, order, last - first + 1, axis=-1)
    return tied


def _among_others(p: Array, tied: NDArray[np.int64], variance: Array) -> Array:
    """E abs(d - p*sum d) of keys (keys,) that have spiked, among `tied` of their share and others of this variance."""
    mean = np.zeros(p.shape)
    mates = np.where(tied <= MOST_TIED, tied - 1, 0)
    for f, weight in zip(PHASES, PHASE_WEIGHTS, strict=True):
        # A larger group is normal, with the variance that it has at this f.
        sd = p * np.sqrt(variance + (tied - 1 - mates) * (f * (1 - f) - 1 / 6))
        for fired in range(mates.max(initial=0) + 1):
            some = mates >= fired
            own, spread = p[some], sd[some]
            chance = weight * binomial_pmf(fired, mates[some], f)
            drift = own * (fired - mates[some] * f)
            mean[some] += chance * f * _folded_normal((1 - own) * (1 - f) - drift, spread)
            mean[some] += chance * (1 - f) * _folded_normal((1 - own) * -f - drift, spread)
    return mean


def _alone(p: Array, x: Array) -> Array:
    """The same of keys (rows,) that alone have spiked, beside others of charges x (rows, keys), each below 1."""
    chance = np.zeros((len(p), min(x.shape[-1], MOST_RARE) + 1))
    chance[:, 0] = 1
    for key in x.T[..., None]:  # the Poisson binomial distribution, key by key
        chance[:, 1:] = (1 - key) * chance[:, 1:] + key * chance[:, :-1]
        chance[:, :1] *= 1 - key
    drift = p[:, None] * (np.arange(chance.shape[1]) - x.sum(axis=-1, keepdims=True))
    own, mean = (1 - p)[:, None], np.zeros(p.shape)
    for f, weight in zip(PHASES, PHASE_WEIGHTS, strict=True):
        error = f * np.abs(own * (1 - f) - drift) + (1 - f) * np.abs(own * f + drift)
        mean += weight * (chance * error).sum(axis=-1)
    return mean


def _folded_normal(mean: Array, sd: Array) -> Array:
    """E abs(X) of a normal number X (Leone, Nelson, Nottingham, Technometrics 3 (1961) 543-550)."""
    mean = np.abs(mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(sd > 0, mean / sd, np.inf)
    return np.asarray(sd * np.sqrt(2 / np.pi) * np.exp(-0.5 * ratio**2) + mean * erf(ratio / np.sqrt(2)))


def binomial_deviation_mean(p: ArrayLike, n: ArrayLike, ratio: ArrayLike, target: ArrayLike) -> Array:
    """E abs(s - target) of a share s = p + ratio*(K/n - p), K binomial of n draws of chance p; exact for ratio 1.

    `ratio` is that of the standard deviation of s to a Poisson code's. The law knows that counts are whole: a key that
    hardly ever spikes errs by its share or by a spike, and a normal number of the same variance by far more.

    With K*b(K; n, p) = n*p*b(K - 1; n - 1, p) the mean of abs(K - c) is c*(2*F_n(m) - 1) + n*p*(1 - 2*F_(n-1)(m - 1)),
    m the whole part of c and F_n the distribution function, which the incomplete beta function continues to any n.

    Parameters
    ----------
    p, ratio, target : array (...)
    n : array (...)
        Spikes of the row; below one it counts as one, and 0 gives NaN.

    Returns
    -------
    ndarray (...)
    """
    p, n, ratio, target = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (p, n, ratio, target)))
    draws = np.maximum(n, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        # abs(s - target) = ratio/n*abs(K - c)
        c = np.where(ratio > 0, draws * (p + (target - p) / ratio), 0.0)
    inside = np.clip(c, 0.0, draws)
    m = np.floor(inside)
    below, above = np.maximum(draws - m, 1e-12), np.maximum(m, 1e-12)
    at_most = np.where(m >= draws, 1.0, betainc(below, m + 1, 1 - p))
    one_less = np.where(m < 1, 0.0, np.where(m >= draws, 1.0, betainc(below, above, 1 - p)))
    mean = inside * (2 * at_most - 1) + draws * p * (1 - 2 * one_less) + np.abs(c - inside)
    return np.asarray(np.where(n == 0, np.nan, np.where(ratio > 0, ratio * mean / draws, np.abs(p - target))))


def biased_renewal_tv(limit: ArrayLike, n: ArrayLike, cv: ArrayLike, target: ArrayLike) -> Array:
    """Expected TV from `target` of shares that scatter about another `limit` with the variance of a renewal code.

    The deviations of the share of key i from q_i are those of a multinomial count times cv, `binomial_deviation_mean`.
    It joins the two laws that the circuits show: with p = q it is the multinomial law times cv; for n to infinity, or
    cv = 0, it is the bias TV(q, p).

    Parameters
    ----------
    limit, target : array (..., keys)
        Shares q and p, 0 for masked keys.
    n : array (...)
        Spikes of the row.
    cv : array (...)
        Coefficient of variation of a key's intervals counted in spikes of the row, 1 for a Poisson code.

    Returns
    -------
    ndarray (...)
        NaN where n is 0.
    """
    n, cv = np.asarray(n, dtype=float)[..., None], np.asarray(cv, dtype=float)[..., None]
    return np.asarray(binomial_deviation_mean(limit, n, cv, target).sum(axis=-1) / 2)


def renewal_shares_tv(
    p: ArrayLike, n: ArrayLike, dispersion: ArrayLike, weight: ArrayLike, target: ArrayLike | None = None
) -> Array:
    """Expected TV of shares whose keys count independently, and give back together what the row counts too much.

    N_i has the variance D_i*N_i, and key i gives back the part w_i of it: its share has the variance
    ((1 - w_i)^2*D_i*p_i + w_i^2*sum_{j != i} D_j*p_j)/n. The mean deviation is that of a binomial count times the ratio
    of the standard deviations, since a key of few spikes is not normal.

    Parameters
    ----------
    p, target : array (..., keys)
        Shares about which they scatter, and what they are compared with, the same by default; 0 for masked keys.
    n : array (...)
        Spikes of the row.
    dispersion : array (..., keys)
        D_i, variance of a key's count over its mean: CV^2 of a renewal process.
    weight : array (..., keys)
        w_i, which sum to one: p_i where the count of the row is divided by, or that of inhibition on top of it.

    Returns
    -------
    ndarray (...)
        At most 1.
    """
    p, weight = np.asarray(p, dtype=float), np.asarray(weight, dtype=float)
    noise = p * np.asarray(dispersion, dtype=float)
    others = np.maximum(noise.sum(axis=-1, keepdims=True) - noise, 0)
    poisson = p * (1 - p)
    variance = (1 - weight) ** 2 * noise + weight**2 * others
    ratio = np.sqrt(np.where(poisson > 0, variance / np.where(poisson > 0, poisson, 1), 1))
    drawn = np.asarray(n, dtype=float)[..., None]
    law = binomial_deviation_mean(p, drawn, ratio, p if target is None else target).sum(axis=-1) / 2
    return np.asarray(np.minimum(law, 1.0))
