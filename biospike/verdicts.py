"""The one place that decides order, floor and bias of an error that falls with spikes or timesteps.

A verdict is `FLOOR`, `HALF`, `ONE`, `BETWEEN` or `UNDECIDED`, and the latter has a reason out of `REASONS`. A floor is
a bias that is found and that lasts (`biospike.bias`). An order is told where the interval of the order by
reference (`biospike.order`) lies inside its band, and a bias either is not found or falls as 1/N, as one of the start
does, and makes less than half of the error; the reason is then ``transient bias``. How often either is wrong is
measured with codes of known truth by ``validation/calibrate_verdicts.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.bias import FEWEST_TRIALS, Bias, bias_of_products, products, why_untestable
from biospike.distributions import student_quantile
from biospike.order import CONFIDENCE, FEWEST_WINDOWS, Laws, Order, order_of_law, usable_windows

Array = NDArray[np.float64]

FLOOR, HALF, ONE, BETWEEN, UNDECIDED = "floor", "1/sqrt(N)", "1/N", "between", "undecided"
Reason = Literal[
    "", "few keys", "saturated", "silent", "few trials", "few windows", "transient bias", "error below 1e-6", "no law",
    "not run",
]  # fmt: skip
REASONS = Reason.__args__[1:]  # type: ignore[attr-defined]
BANDS = {HALF: (0.4, 0.6), BETWEEN: (0.6, 0.9), ONE: (0.9, 1.1)}
"""Orders by reference of each verdict: the whole interval lies inside."""
NO_ERROR = 1e-6
"""Error below which it is that of rounding, or of a spike that may never come: it has no law."""
LASTS = 0.05
"""Chance with which a bias that does not last may be said to, and the other way round."""
MOST_BIAS = 0.5
"""Part of the error that an unseen bias may make while an order is told."""
QUARTER, EARLIER = 4.0, (2.5, 8.0)
"""Ratio of the spikes of the two windows that tell what lasts: the nearest to a quarter between these."""
FEWEST_FREE = 4
"""Free shares, rows times keys less one, below which a regular code repeats itself too much for sign flips."""
MOST_TRIALS = 4096

UNKNOWN = Order(np.nan, np.nan, np.nan)

Deviations = Callable[[int, slice], Array]
"""From the number of a window and rows to deviations (trial, row, entry)."""


@attrs.frozen
class Decision:
    """What is known of the order, the floor and the bias of an error, by `decide`.

    Attributes
    ----------
    verdict, reason : str
        Why it is undecided; of an order, ``transient bias`` or nothing.
    order : Order
        By reference; NaN where it was not asked for.
    bias : Bias or None
        Of the longest window.
    trials_needed : float
        Trials that would probably decide, if this is undecided for want of trials; else NaN.
    """

    verdict: str
    reason: str = ""
    order: Order = UNKNOWN
    bias: Bias | None = None
    trials_needed: float = np.nan

    @property
    def bias_resolvable(self) -> float:
        """How small a constant bias would have been seen, rms L2 over rows; NaN where none was looked for."""
        return np.nan if self.bias is None else self.bias.resolvable

    @property
    def faster(self) -> bool:
        """Whether the whole interval of the order lies above the band of independent spikes, whatever the law."""
        return bool(self.order.low >= BANDS[HALF][1])


def undecided(reason: Reason, **known: object) -> Decision:
    """Return the decision that nothing can be told, and why."""
    return Decision(UNDECIDED, reason, **known)  # type: ignore[arg-type]


@attrs.frozen(eq=False, kw_only=True)
class Evidence:
    """Errors of one code in several windows, and what they are held against.

    Attributes
    ----------
    n : ndarray (windows,)
        Spikes or timesteps, not decreasing; the last window is the longest.
    errors : ndarray (trials, windows)
        Mean over rows; NaN where a trial has none.
    deviations : callable
        From a window and a slice of rows to deviations (trial, row, entry) from the limit that the error is about.
        Trials have their own seeds and phases.
    laws : Laws or None
        Expected errors in these windows; None where there is no exact law.
    rows, free
        Rows of the deviations, and free entries of all of them together.
    independent
        Whether rows of a trial are independent.
    nothing
        Reason for which there is no error that could follow a law; empty if there is one.
    block
        Rows that are looked at together; default all.
    """

    n: Array
    errors: Array
    deviations: Deviations
    laws: Laws | None
    rows: int
    free: int
    independent: bool
    nothing: Reason = ""
    block: int | None = None


def decide(evidence: Evidence) -> Decision:
    """Decide on the order, the floor and the bias of an error."""
    reason = _without_error(evidence)
    if reason:
        return undecided(reason)
    trials, rows, earlier = len(evidence.errors), evidence.rows, earlier_window(evidence.n)
    last = len(evidence.n) - 1
    here, across = products_by_blocks(evidence.deviations, last, earlier, rows, evidence.block or rows)
    if trials > 1 and _repeated(here) and (across is None or _repeated(across)):
        return undecided("few trials")  # as one: they have no seeds and phases of their own
    ratio = QUARTER if earlier is None else float(evidence.n[-1] / evidence.n[earlier])
    bias = bias_of_products(here, across, ratio, rows, independent=evidence.independent)
    if why_untestable(trials, rows, evidence.independent):
        # More trials may tell of few keys that they are too few.
        needed = FEWEST_TRIALS if evidence.free >= FEWEST_FREE else np.nan
        return undecided("few trials", bias=bias, trials_needed=needed)
    if earlier is None:
        return undecided("few windows", bias=bias)
    lasting = _of_bias(bias, evidence.free, trials) if bias.found else None
    return lasting or _of_order(evidence, bias)


def _without_error(evidence: Evidence) -> Reason:
    """Why there is no error that could follow a law; empty if there is one."""
    last = evidence.errors[:, -1]
    found: dict[Reason, bool] = {
        "silent": not np.isfinite(last).all(),
        "error below 1e-6": last.mean() < NO_ERROR,
        "few keys": evidence.rows < 1 or evidence.free < 1,
    }
    return evidence.nothing or next((reason for reason, holds in found.items() if holds), "")


def earlier_window(n: Array) -> int | None:
    """Window with about a quarter of the spikes of the last; None if there is none."""
    with np.errstate(divide="ignore"):
        ratio = np.where(n > 0, n[-1] / np.maximum(n, 1e-300), np.inf)
    possible = np.flatnonzero((ratio >= EARLIER[0]) & (ratio <= EARLIER[1]))
    return int(possible[np.abs(np.log(ratio[possible] / QUARTER)).argmin()]) if possible.size else None


def products_by_blocks(
    deviations: Deviations, last: int, earlier: int | None, rows: int, block: int
) -> tuple[Array, Array | None]:
    """`biospike.bias.products` of a window, and of an earlier one with it, `block` rows at a time."""
    here, across = [], []
    for first in range(0, rows, block):
        some = slice(first, min(first + block, rows))
        found = deviations(last, some)
        here.append(products(found, found))
        if earlier is not None:
            across.append(products(deviations(earlier, some), found))
    join = np.concatenate if len(here[0][0]) < FEWEST_TRIALS else sum
    return np.asarray(join(here)), np.asarray(join(across)) if across else None


def _repeated(made: Array) -> bool:
    """Whether all trials are the same, hence all products."""
    total = made.sum(axis=0)
    return bool(total.max() - total.min() <= 1e-12 * np.abs(total).max())


def _of_bias(bias: Bias, free: int, trials: int) -> Decision | None:
    """Decide where a bias is found; None if it fades and is so small that there may be an order beside it."""
    if free < FEWEST_FREE:
        return undecided("few keys", bias=bias)
    if bias.lasting <= LASTS:
        return Decision(FLOOR, bias=bias)
    if bias.fading > LASTS:
        return undecided("few trials", bias=bias, trials_needed=4.0 * trials)  # which halves the scatter
    return None if bias.high <= MOST_BIAS * bias.error else undecided("transient bias", bias=bias)


def _of_order(evidence: Evidence, bias: Bias) -> Decision:
    """Decide on the order where no bias is found, or one that fades."""
    laws, errors = evidence.laws, evidence.errors
    if laws is None:
        return undecided("no law", bias=bias)
    used = usable_windows(evidence.n, laws) & (np.isfinite(errors) & (errors > 0)).all(axis=0)
    if used.sum() < FEWEST_WINDOWS:
        return undecided("few windows", bias=bias)
    order = order_of_law(evidence.n[used], errors[:, used], Laws(laws.half[used], laws.one[used]))
    verdict = next((word for word, (low, high) in BANDS.items() if low <= order.low and order.high <= high), "")
    seen = bias.high if np.isfinite(bias.high) else bias.resolvable
    reasons: dict[Reason, bool] = {
        "few keys": evidence.free < FEWEST_FREE and verdict != HALF,
        "no law": order.low > BANDS[ONE][1] or order.high < BANDS[HALF][0],
        "few trials": not verdict or not seen <= MOST_BIAS * bias.error,
    }
    reason: Reason = next((reason for reason, holds in reasons.items() if holds), "")
    if not reason:
        return Decision(verdict, "transient bias" if bias.found else "", order=order, bias=bias)
    needed = trials_that_decide(order, bias, len(errors)) if reason == "few trials" else np.nan
    return undecided(reason, order=order, bias=bias, trials_needed=needed)


def trials_that_decide(order: Order, bias: Bias, trials: int) -> float:
    """Trials that would probably decide on an order; NaN if more than `MOST_TRIALS`.

    The interval of the order would lie inside a band, if the estimate stands, and a bias of half of the error would
    have been seen.
    """
    edges = np.array([edge for band in BANDS.values() for edge in band])
    margin = np.abs(edges - order.alpha).min()
    many = np.arange(max(trials, 2), MOST_TRIALS + 1)
    now, then = (student_quantile(number - 1, CONFIDENCE) for number in (trials, many))
    width = (order.high - order.alpha) * then / now * np.sqrt(trials / many)
    # Both the scatter of B and what flips leave of it fall as 1/T.
    seen = np.full(many.shape, bias.resolvable**2)
    if np.isfinite(bias.high):
        seen = bias.high**2 * student_quantile(many - 1) / student_quantile(trials - 1)
    enough = (width <= margin) & (seen * trials / many <= (MOST_BIAS * bias.error) ** 2)
    return float(many[enough][0]) if enough.any() else np.nan
