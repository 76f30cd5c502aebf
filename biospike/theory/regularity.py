"""Error laws of codes more regular than Poisson, up to the counter that starts at a random phase."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf


def phase_tv(p: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Expected TV from p of the shares of regular keys that start at independent uniform phases.

    Key i spikes once for every unit of its charge x = n*p_i, so its count is floor(x + phase) and its mean absolute
    error 2*f*(1 - f), f the fractional part of x. Once a key has spiked its f is spread evenly over the rows and
    windows that are averaged, and the mean is 1/3; before that f is x itself. TV is half the sum over keys, divided by
    n: keys/(6n) when every key has spiked.

    Parameters
    ----------
    p : array (..., keys)
        Shares; 0 for masked keys.
    n : array (...)
        Spikes of the row.

    Returns
    -------
    ndarray (...)
        Expected TV; NaN where n is 0.
    """
    n = np.asarray(n, dtype=float)
    x = np.asarray(p, dtype=float) * n[..., None]
    per_key = np.where(x >= 1.0, 1 / 6, x * (1 - x))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(per_key.sum(axis=-1) / n)


def biased_renewal_tv(limit: ArrayLike, n: ArrayLike, cv: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Expected TV from `target` of shares that scatter about another `limit` with the variance of a renewal code.

    The share of key i is normal about q_i with variance cv^2*q_i*(1 - q_i)/n, and the mean of abs(q_i + noise - p_i)
    is that of a folded normal. It joins the two laws that the circuits show: with p = q it is the multinomial law
    times cv, `biospike.theory.concentration.renewal_tv`; for n to infinity, or cv = 0, it is the bias TV(q, p).

    Parameters
    ----------
    limit, target : array (..., keys)
        Shares q and p, 0 for masked keys.
    n : array (...)
        Spikes of the row; large, since the law is asymptotic.
    cv : array (...)
        Coefficient of variation of a key's intervals counted in spikes of the row, 1 for a Poisson code.

    Returns
    -------
    ndarray (...)

    References
    ----------
    Leone, Nelson, Nottingham, *The folded normal distribution*, Technometrics 3 (1961) 543-550.
    """
    q, p = np.asarray(limit, dtype=float), np.asarray(target, dtype=float)
    n, cv = np.asarray(n, dtype=float)[..., None], np.asarray(cv, dtype=float)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        sd = cv * np.sqrt(np.maximum(q * (1 - q), 0.0) / n)
        shift = np.abs(q - p)
        folded = sd * np.sqrt(2 / np.pi) * np.exp(-0.5 * (shift / sd) ** 2) + shift * erf(shift / sd / np.sqrt(2))
    return np.asarray(np.where(sd > 0, folded, shift).sum(axis=-1) / 2)
