"""The logits themselves: equal ones, their range, and how many there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.softmax.diffusive import Diffusive
from circuits.softmax.subtractive import Subtractive
from validation.assumptions.keys.hazard_keys import HazardKeys
from validation.assumptions.keys.membrane import TV
from validation.assumptions.lab import Lab
from validation.assumptions.sweep import Sweep

import brian2 as b2

Array = NDArray[np.float64]

KEYS, ROWS = 10, 10
SEPARATIONS = (1.0, 0.5, 0.2, 0.1, 0.0)
RANGES = (0.5, 1.0, 2.0, 4.0, 6.0, 8.0)
NUMBERS = (2, 4, 8, 16, 32)
LAWS = ("0: common gate", "threshold-linear fixed point", "mean field of the noisy LIF f-I curve")


def ramp(separation: float) -> Array:
    """Rows of equally spaced logits, in an order that differs from row to row."""
    return np.stack([np.roll(-separation * np.arange(KEYS), row) for row in range(ROWS)])


def normal_rows(keys: int) -> Array:
    """Rows of normal logits of standard deviation 1."""
    return np.random.default_rng(keys).normal(size=(ROWS, keys))


def _escape() -> HazardKeys:
    return HazardKeys(rate=200 * b2.Hz, dt=0.5 * b2.ms)


def equal_logits(lab: Lab) -> list[Sweep]:
    """Distance between neighbouring logits, down to none."""
    subtractive = Subtractive(w=1.0)
    points = {
        "escape": [lab.point(d, _escape(), ramp(d), 2.5) for d in SEPARATIONS],
        "subtractive": [lab.regular.point(d, subtractive, ramp(d), 4.0) for d in SEPARATIONS],
    }
    return [
        Sweep("equal logits", "separation", "nats", circuit, TV, name, tuple(points[name]), order, law)
        for name, circuit, order, law in (
            ("escape", f"escape keys, {KEYS} keys", 0.5, LAWS[0]),
            ("subtractive", f"subtractive, w = 1, {KEYS} keys", 1.0, LAWS[1]),
        )
    ]


def logit_range(lab: Lab) -> list[Sweep]:
    """Largest minus smallest logit of a row."""
    subtractive, diffusive = Subtractive(w=1.0), Diffusive(dt=0.25 * b2.ms)
    rows = {span: ramp(span / (KEYS - 1)) for span in RANGES}
    return [
        Sweep(
            "logit range", "range", "nats", f"escape keys, {KEYS} keys", TV, "escape",
            tuple(lab.point(s, _escape(), z, 2.5) for s, z in rows.items()), law=LAWS[0],
        ),
        Sweep(
            "logit range", "range", "nats", f"subtractive, w = 1, {KEYS} keys", TV, "subtractive",
            tuple(lab.regular.point(s, subtractive, z, 4.0) for s, z in rows.items()),
            order=1.0, law=LAWS[1],
        ),
        Sweep(
            "logit range", "range", "nats", f"diffusive, 40 Hz a row, {KEYS} keys", TV, "diffusive",
            tuple(lab.point(s, diffusive, z, 2.0) for s, z in rows.items()), law=LAWS[2],
        ),
    ]  # fmt: skip


def number_of_keys(lab: Lab) -> list[Sweep]:
    """Keys of a row; the window grows with them, so that the keys have as many spikes each."""
    subtractive = Subtractive(w=1.0)
    rows = {n: normal_rows(n) for n in NUMBERS}
    return [
        Sweep(
            "number of keys", "n", "", "escape keys", TV, "escape",
            tuple(
                lab.point(float(n), _escape(), z, 2.5 * max(1.0, n / 8)) for n, z in rows.items()
            ),
            law=LAWS[0],
        ),
        Sweep(
            "number of keys", "n", "", "subtractive, w = 1", TV, "subtractive",
            tuple(lab.regular.point(float(n), subtractive, z, 4.0) for n, z in rows.items()),
            order=1.0, law=LAWS[1],
        ),
    ]  # fmt: skip
