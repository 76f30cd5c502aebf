"""Laws of the spike bounds: what information and whole numbers ask for at least, Lemma 1 in the mean, the paper's fit.

A bound on spikes needs three things: the prior of the target, the distortion, and what the read-out sees. Here the
read-out sees spike counts (`spikes_for_bits`) or the whole train (`train_spikes_for_bits`). Both are bounds for every
code with that read-out, since the information about the target cannot exceed the entropy of what is read, and that not
the largest entropy at the given mean number of spikes.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import gammaln

from biospike.errors import InputError
from biospike.theory.concentration import hoeffding_tail
from biospike.theory.information import binary_entropy

Array = NDArray[np.float64]

FEWEST, MOST = 1e-9, 1e12
"""Mean spikes between which the bounds are looked for."""


def simplex_bits(tv: ArrayLike, keys: int) -> Array:
    """Shannon's lower bound on R(D) in bits, total variation, for shares uniform on the simplex of `keys` keys.

    ``h(P) = -log2 (m!)``, m = keys - 1; the error q - p sums to zero, and among errors of mean TV D the density
    exp(-m TV/D) has the largest entropy, ``log2 C(2m, m) + m log2(e D/m)``, because the errors of TV at most 1 are the
    difference body of the simplex, whose volume is C(2m, m)/m! (Rogers and Shephard, Arch. Math. 8, 220, 1957). For two
    keys it is ``log2(1/(2 e D))``, the bound of a uniform value at the mean absolute error D.

    Parameters
    ----------
    tv
        Mean total variation D, above 0.
    keys
        At least 2.

    Returns
    -------
    array
        0 where the bound says nothing.

    Raises
    ------
    InputError
        If an argument is out of range.
    """
    distortion, m = _positive("tv", tv), keys - 1
    if m < 1:
        raise InputError(f"keys must be at least 2, got {keys}")
    volume = gammaln(2 * m + 1) - gammaln(m + 1)  # of C(2m, m) m!, nats
    return np.asarray(np.maximum(-(volume + m * (1 + np.log(distortion / m))) / np.log(2), 0.0))


def spikes_for_bits(bits: ArrayLike, counts: int = 1) -> Array:
    """Mean number of spikes, of all together, below which `counts` spike counts cannot carry so many bits.

    Among counts of mean a the geometric one has the largest entropy, ``(1 + a) h(1/(1 + a))`` bits, h the binary
    entropy. Whatever the times, the rates or the length of the window: only the counts are read.

    Parameters
    ----------
    bits
        At least 0.
    counts
        How many counts are read.

    Raises
    ------
    InputError
        If the bits are negative.
    """
    each = _not_negative("bits", bits) / counts
    return counts * _invert(lambda mean: float((1 + mean) * binary_entropy(1 / (1 + mean))), each, MOST)


def train_spikes_for_bits(bits: ArrayLike, steps: ArrayLike) -> Array:
    """Mean number of spikes below which a train of `steps` steps, one spike a step at most, cannot carry so many bits.

    A train of N spikes on average has an entropy of at most ``T h(N/T)``: all that the times of the spikes can tell.

    Parameters
    ----------
    bits
        At least 0.
    steps
        T, at least 1; broadcasts.

    Returns
    -------
    array
        Infinite where the bits exceed T, one a step: no train of that length carries them.

    Raises
    ------
    InputError
        If an argument is out of range.
    """
    bits, steps = np.broadcast_arrays(_not_negative("bits", bits), _positive("steps", steps))
    p = _invert(lambda p: float(binary_entropy(p)), np.minimum(bits / steps, 1.0), 0.5)
    return np.asarray(np.where(bits > steps, np.inf, steps * p))


def nearest_counts_tv(p: ArrayLike, n: ArrayLike) -> Array:
    """Least TV from p of any n whole spikes: no read-out N_i/N of n spikes is nearer, whatever the circuit.

    The best counts are floor(n p_i), the spikes left over going to the largest remainders (Hamilton's apportionment,
    which minimises the sum of absolute errors).

    Parameters
    ----------
    p : array (..., keys)
        Shares; 0 at masked keys.
    n : array (...)
        Whole numbers of spikes, at least 1.

    Raises
    ------
    InputError
        If n is not a whole number of at least 1.
    """
    n = np.asarray(n, dtype=float)
    if not ((n >= 1) & (n == np.floor(n))).all():
        raise InputError(f"n must be whole numbers of at least 1, got {n.ravel()[:3]}")
    charge = np.asarray(p, dtype=float) * n[..., np.newaxis]
    remainder = np.sort(charge - np.floor(charge), axis=-1)
    left_over = np.rint(remainder.sum(axis=-1)).astype(int)
    without = remainder.shape[-1] - left_over  # the smallest remainders get no spike
    rank = np.arange(remainder.shape[-1])
    return np.asarray(np.where(rank < without[..., np.newaxis], remainder, 0.0).sum(axis=-1) / n)


def hoeffding_mean_error(steps: ArrayLike) -> Array:
    """Mean absolute error that Hoeffding's tail allows at most, the integral of `hoeffding_tail`: 0.888/sqrt(T)."""
    one, _ = quad(lambda delta: float(hoeffding_tail(1, delta)), 0, 10, points=[np.sqrt(np.log(2) / 2)])
    return np.asarray(one / np.sqrt(_positive("steps", steps)))


def triangular_weights(steps: int) -> Array:
    """Weights (steps,) of a triangular window that sum to one."""
    step = np.arange(1, steps + 1)
    weights = np.minimum(step, steps + 1 - step).astype(float)
    return np.asarray(weights / weights.sum())


def regular_rms(weights: ArrayLike) -> float:
    """Root mean square error of a regular train read with `weights` (steps,), exact for uniform x and phase.

    The spike of step t is x - e_t + e_(t-1), e_t = frac(t x + phase), so the error is the sum of e_t times the
    differences of the weights. For uniform x and phase any two e_t are independent, with variance 1/12. Equal weights
    1/T give 1/(sqrt(6) T), a triangle 2/(sqrt(3) T^1.5): the order -3/2 of Gray (IEEE Trans. Commun. 37, 588, 1989).
    """
    return float(np.sqrt((np.diff(np.pad(np.asarray(weights, dtype=float), 1)) ** 2).sum() / 12))


@attrs.frozen
class PaperFit:
    """The fit ``eps = alpha/sqrt(N)`` of the paper; `r_squared` of eps itself, `r_squared_log` of its logarithm."""

    alpha: float
    r_squared: float
    r_squared_log: float


def paper_fit(spikes: ArrayLike, error: ArrayLike) -> PaperFit:
    """Fit ``eps = alpha/sqrt(N)`` by least squares, the slope fixed; the paper does not say on which scale.

    alpha is that of the fit on the linear scale; `r_squared_log` has the alpha that is best on the logarithmic one. R
    squared is 1 - residual/total sum of squares about the mean, negative where the mean fits better, and NaN where all
    errors are equal.

    Raises
    ------
    InputError
        If there are fewer than 3 points, or one is not above 0.
    """
    n, eps = _positive("spikes", spikes), _positive("error", error)
    if n.ndim != 1 or n.shape != eps.shape or n.size < 3:
        raise InputError(f"expected at least 3 points, spikes and errors alike, got {n.shape} and {eps.shape}")
    x = n**-0.5
    alpha = float((x * eps).sum() / (x**2).sum())
    log_residual = np.log(eps / x)
    if np.ptp(eps) == 0:
        return PaperFit(alpha, np.nan, np.nan)
    return PaperFit(
        alpha=alpha,
        r_squared=float(1 - ((eps - alpha * x) ** 2).sum() / ((eps - eps.mean()) ** 2).sum()),
        r_squared_log=float(1 - log_residual.var() / np.log(eps).var()),
    )


def rivals(spikes: ArrayLike, r_squared: float) -> tuple[float, float]:
    """Exponents b between which an exact law N^-b reaches at least `r_squared` in the paper's fit at these spikes."""
    n = _positive("spikes", spikes)

    def short(b: float) -> float:
        return paper_fit(n, n**-b).r_squared - r_squared

    def edge(inside: float, outside: float) -> float:
        return float(brentq(short, inside, outside)) if short(outside) < 0 else outside

    return edge(0.5, 0.01), edge(0.5, 5.0)


def _invert(entropy: object, bits: Array, most: float) -> Array:
    """Where the increasing `entropy` reaches the bits, by bisection in the logarithm; 0 where there are none."""

    def root(target: float) -> float:
        if target <= entropy(FEWEST):  # type: ignore[operator]
            return 0.0
        if target >= entropy(most):  # type: ignore[operator]
            return most
        return float(np.exp(brentq(lambda u: entropy(np.exp(u)) - target, np.log(FEWEST), np.log(most), xtol=1e-12)))  # type: ignore[operator]

    return np.asarray(np.vectorize(root, otypes=[float])(np.where(np.isnan(bits), 0.0, bits))) + 0.0 * bits


def _positive(name: str, value: ArrayLike) -> Array:
    values = np.asarray(value, dtype=float)
    if (values <= 0).any():
        raise InputError(f"{name} must be above 0, got {values[values <= 0][0]}")
    return values


def _not_negative(name: str, value: ArrayLike) -> Array:
    values = np.asarray(value, dtype=float)
    if (values < 0).any():
        raise InputError(f"{name} must be at least 0, got {values[values < 0][0]}")
    return values
