"""Devices that differ from each other, and numbers of few bits."""

from __future__ import annotations

import attrs
import numpy as np

from biospike.ideal.softmax import softmax
from biospike.metrics import shares, total_variation
from validation.assumptions.keys.hazard_keys import HazardKeys
from validation.assumptions.keys.membrane import TV
from validation.assumptions.lab import Lab
from validation.assumptions.sweep import Sweep

import brian2 as b2

SPREADS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
MEMBRANE_BITS = (20, 14, 12, 10, 8, 6)
WEIGHT_BITS = (24, 8, 6, 4, 3, 2)
TAUS = (200.0, 20.0)  # ms
ELSEWHERE = 2**31
"""Bit of the seed that the homogeneous circuit has of its own, with which heterogeneous ones are compared."""


def threshold_spread(lab: Lab) -> list[Sweep]:
    """Standard deviation of the thresholds over keys, in units of their mean; one device."""
    sweeps = []
    for label, k in (("integrate", np.inf), ("escape", 1.0)):
        bench = lab.regular if k == np.inf else lab

        def keys(spread: float, k: float = k) -> HazardKeys:
            return HazardKeys(regularity=k, threshold_spread=spread, rate=200 * b2.Hz, dt=0.5 * b2.ms)

        sweeps.append(
            Sweep(
                "heterogeneity of thresholds", "sd of theta", "of mean", f"{label} keys, 200 Hz a row", TV, label,
                bench.points(SPREADS, keys, 2.5),
                order=1.0 if k == np.inf else 0.5, law="shares as p/theta",
            )
        )  # fmt: skip
    return sweeps


def time_constant_spread(lab: Lab) -> list[Sweep]:
    """Standard deviation of the membrane time constants over leaky keys, against the homogeneous circuit."""
    return [_with_leak(lab, tau) for tau in TAUS]


def _with_leak(lab: Lab, tau: float) -> Sweep:
    rows, spreads = lab.rows, lab.values(SPREADS)

    def keys(spread: float) -> HazardKeys:
        return HazardKeys(
            regularity=np.inf, w=0.02, tau_m=tau / 1e3, tau_spread=spread, rate=500 * b2.Hz, dt=0.2 * b2.ms
        )

    bench = lab.regular
    elsewhere = attrs.evolve(bench, seed=bench.seed ^ ELSEWHERE)
    homogeneous = shares(elsewhere.run(keys(0.0), rows, 1.0)).mean(axis=0)
    law = {spread: keys(spread).limit(rows) for spread in {0.0, *spreads}}
    points = []
    for spread in spreads:
        # What the closed form expects of the spread alone, its own error at no spread left out.
        predicted = float(total_variation(law[spread], law[0.0]).mean())
        point = bench.point(spread, keys(spread), rows, 1.0, target=homogeneous)
        points.append(attrs.evolve(point, predicted=predicted))
    return Sweep(
        "heterogeneity of time constants",
        "sd of tau_m",
        "of mean",
        f"integrate keys with a leak of {tau:g} ms, 500 Hz a row",
        "TV of pooled shares from those with one tau_m",
        f"tau_m = {tau:g} ms",
        tuple(points),
        order=1.0,
        law="f-I curves of leaky neurons with their own tau_m",
    )


def finite_precision(lab: Lab) -> list[Sweep]:
    """Bits of the membrane and of the input weights."""

    def membrane(bits: float) -> HazardKeys:
        return HazardKeys(regularity=np.inf, gated=False, levels=2.0**bits, rate=200 * b2.Hz, dt=0.5 * b2.ms)

    p = softmax(lab.rows)
    drive = p / p.max(axis=1, keepdims=True)
    weights = HazardKeys(regularity=np.inf, rate=200 * b2.Hz, dt=0.5 * b2.ms)
    points = []
    for bits in lab.values(WEIGHT_BITS):
        with np.errstate(divide="ignore"):
            logits = np.log(np.rint(drive * 2.0**bits) / 2.0**bits)
        points.append(lab.regular.point(float(bits), weights, logits, 2.5, target=p))
    return [
        Sweep(
            "finite precision", "resolution", "bits", "membrane of integrate keys, 0.1 spikes a row and step", TV,
            "membrane",
            lab.regular.points(tuple(map(float, MEMBRANE_BITS)), membrane, 2.5),
            order=1.0, law="charge of a step rounded to the resolution",
        ),
        Sweep(
            "finite precision", "resolution", "bits", "input weights exp(z - max z) of integrate keys", TV, "weights",
            tuple(points), order=1.0, law="weights rounded to the resolution",
        ),
    ]  # fmt: skip
