"""Whether a peer ran the circuit that it is timed for: its counts are held against the hand-written loop's.

Who draws other random numbers is held against softmax, and against the loop's spikes a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biospike.ideal.softmax import softmax
from validation.speed.peers import IDENTICAL
from validation.speed.problem import Counts, Problem

SIGMAS = 5.0
"""Standard errors by which the law may be missed: one in 3.5 million by chance, for each of two tests a window."""
FEWEST = 5.0
"""Expected spikes of a key below which it is not tested alone but with the other rare keys of its row."""
DETERMINISTIC = 2
"""Spikes by which keys of integrate may differ that start alike and are rounded otherwise. Each strays from its drive
times the common integral of its row by less than one spike, and the integrals differ by less than a spike's worth."""


def verify(problem: Problem, counts: Counts, reference: Counts, agreement: str) -> str:
    """Return what is wrong with the counts (slots, keys, checkpoints) of a peer; empty if nothing is.

    Parameters
    ----------
    problem
        What was run.
    counts, reference
        Cumulative spike counts of the peer and of the hand-written loop.
    agreement
        Of the peer: the same integers, or the same law. The law of race and escape is that the spikes of a row, over
        its trials and in every window, are independent draws from the softmax of its logits (chi-square, of which keys
        that spike in one step leave a little less), at the loop's mean spikes a row. integrate has no chance in it: see
        `DETERMINISTIC`.
    """
    if broken := _broken(problem, counts, reference):
        return broken
    if agreement == IDENTICAL:
        wrong = int((counts != reference).sum())
        return f"{wrong} of {counts.size} counts are not the loop's" if wrong else ""
    if problem.regularity == 0 and problem.circuit != "race":
        apart = int(np.abs(counts.astype(np.int64) - reference).max())
        return f"a key is {apart} spikes from the loop's, more than {DETERMINISTIC}" if apart > DETERMINISTIC else ""
    for window, mark in enumerate(problem.marks):
        if broken := _law(problem, counts[..., window], reference[..., window]):
            return f"{broken} in {mark} steps"
    return ""


def _broken(problem: Problem, counts: Counts, reference: Counts) -> str:
    if counts.shape != reference.shape:
        return f"counts of shape {counts.shape}, expected {reference.shape}"
    if not counts[..., -1].any():
        return "nothing spiked"
    if np.any(np.diff(counts.astype(np.int64), axis=-1) < 0):
        return "cumulative counts fall"
    return "a masked key spiked" if np.any(counts[~problem.unmasked]) else ""


def _law(problem: Problem, counts: NDArray[np.int32], reference: NDArray[np.int32]) -> str:
    rows = len(problem.logits)
    mine, theirs = (each.reshape(problem.trials, rows, -1).sum(axis=0) for each in (counts, reference))
    off = share_deviation(softmax(problem.logits), mine)
    if off > SIGMAS:
        return f"shares are {off:.1f} standard errors from softmax, more than {SIGMAS:g}"
    off = rate_deviation(counts.sum(axis=1), reference.sum(axis=1))
    if abs(off) > SIGMAS:
        ratio = mine.sum() / max(theirs.sum(), 1)
        return f"spikes a row are {ratio:.3f} of the loop's, {abs(off):.1f} standard errors away, more than {SIGMAS:g}"
    return ""


def share_deviation(p: NDArray[np.float64], spikes: NDArray[np.int64]) -> float:
    """Excess of the chi-square of spikes (rows, keys) under shares p, in standard deviations of a normal number.

    Wilson and Hilferty's cube root has the right tail also where few keys are left. Keys that expect fewer than
    `FEWEST` spikes are taken together, row by row, and left out if even so they are few.
    """
    expected = p * spikes.sum(axis=1, keepdims=True)
    rare = expected < FEWEST
    pairs = [(spikes[~rare], expected[~rare])]
    pairs.append(((spikes * rare).sum(axis=1), (expected * rare).sum(axis=1)))
    chi, cells = 0.0, 0
    for found, wanted in pairs:
        enough = wanted >= FEWEST
        chi += float(((found[enough] - wanted[enough]) ** 2 / wanted[enough]).sum())
        cells += int(enough.sum())
    # Every row has lost one degree of freedom to its total.
    freedom = max(cells - int((expected.sum(axis=1) >= FEWEST).sum()), 1)
    spread = 2 / (9 * freedom)
    return float((np.cbrt(chi / freedom) - (1 - spread)) / np.sqrt(spread))


def rate_deviation(mine: NDArray[np.int64], theirs: NDArray[np.int64]) -> float:
    """Difference of the total spikes of slots, in standard errors of a Poisson code, which no circuit here exceeds."""
    return float((mine.sum() - theirs.sum()) / np.sqrt(max(mine.sum() + theirs.sum(), 1)))
