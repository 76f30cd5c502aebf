"""The membrane of a key: leak, reset rule, threshold convention, refractory period."""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike import runtime
from biospike.circuit import relative_exponential
from biospike.ideal.lif import DiscreteLIF, SpikingJellyHard, SpikingJellySoft, bit_exact
from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from circuits.softmax.subtractive import Subtractive
from validation.assumptions.keys.hazard_keys import HazardKeys
from validation.assumptions.lab import Lab
from validation.assumptions.sweep import Point, Sweep

import brian2 as b2

TV = "TV of pooled shares from softmax"
GAP = "TV between shares with > and with >="

LEAK = (math.inf, 1000.0, 200.0, 50.0, 20.0, 10.0)
BETA = (1.0, 0.999, 0.99, 0.95, 0.9)
KEPT = (1.0, 0.75, 0.5, 0.25, 0.0)
BITS = (24, 8, 6, 4, 3, 2)
REFRACTORY = (0.0, 0.5, 1.0, 2.0, 5.0)


def membrane_leak(lab: Lab) -> list[Sweep]:
    """Regular keys with a leak, and the paper's discrete neuron without inhibition."""

    def leaky(tau: float) -> HazardKeys:
        # Near rheobase the response is steep: the ripple of the gate is kept small.
        return HazardKeys(regularity=np.inf, w=0.02, tau_m=tau / 1e3, rate=500 * b2.Hz, dt=0.1 * b2.ms)

    def paper(beta: float) -> Point:
        circuit, rows = Subtractive(beta=beta, w=0.0), lab.rows
        # `limit` would look for the inhibition at which the rates agree, and there is none.
        rates = circuit.response(relative_exponential(rows))
        predicted = total_variation(_shares(rates), softmax(rows)).mean()
        return attrs.evolve(lab.regular.point(beta, circuit, rows, 4.0, predict=False), predicted=float(predicted))

    lab.regular.prebuild([leaky(math.inf), Subtractive()], lab.rows, 4.0)
    return [
        Sweep(
            "membrane leak", "tau_m", "ms", "integrate keys with a leak, 500 Hz a row", TV, "integrate",
            lab.regular.points(LEAK, leaky, 0.5),
            order=1.0, law="the f-I curve of the leaky neuron at the gate that holds the row's rate",
        ),
        Sweep(
            "membrane leak", "beta", "per step", "subtractive without inhibition (w = 0)", TV, "discrete LIF",
            tuple(map(paper, lab.values(BETA))),
            order=1.0, law="the rates of the discrete map under constant drive",
        ),
    ]  # fmt: skip


def reset_rule(lab: Lab) -> list[Sweep]:
    """Part of the surplus that a reset keeps, where a step charges up to a quarter of a threshold."""
    sweeps = []
    for dt in (0.1, 0.5):

        def keys(kept: float, dt: float = dt) -> HazardKeys:
            return HazardKeys(regularity=np.inf, w=0.02, kept=kept, rate=500 * b2.Hz, dt=dt * b2.ms)

        sweeps.append(
            Sweep(
                "reset rule", "surplus kept", "", f"integrate keys, {0.5 * dt:g} spikes a row and step", TV,
                f"{0.5 * dt:g} spikes a step",
                lab.regular.points(KEPT, keys, 1.0),
                order=1.0, law="half a step's charge lost an interval, the mean over phases",
            )
        )  # fmt: skip
    return sweeps


def refractory_period(lab: Lab) -> list[Sweep]:
    """A dead time of every key, at two rates of the row."""
    sweeps = []
    for rate in (50, 200):

        def keys(t_ref: float, rate: int = rate) -> HazardKeys:
            return HazardKeys(w=0.02, refractory=t_ref * b2.ms, rate=rate * b2.Hz, dt=0.5 * b2.ms)

        sweeps.append(
            Sweep(
                "refractory period", "t_ref", "ms", f"escape keys, {rate} Hz a row", TV, f"{rate} Hz a row",
                lab.points(REFRACTORY, keys, 300 / rate),
                law="rate/(1 + rate*t_ref) of every key at the gate that holds the row's rate",
            )
        )  # fmt: skip
    return sweeps


def threshold_convention(lab: Lab) -> list[Sweep]:
    """Spike test > against >=, for inputs that are multiples of 2**-bits of the threshold."""
    p, resolutions = softmax(lab.rows), lab.values(BITS)
    drive = 0.8 * p / p.max(axis=1, keepdims=True)
    steps = round(2000 * lab.stretch)
    quantised = np.stack([np.rint(drive * 2.0**bits) / 2.0**bits for bits in resolutions])
    conventions: dict[str, tuple[DiscreteLIF, DiscreteLIF]] = {}
    for name, kind in (("hard reset", SpikingJellyHard), ("soft reset", SpikingJellySoft)):
        # Without a leak. v >= the next number above 1 is v > 1.
        conventions[name] = (
            kind(tau=np.inf, decay_input=False, v_th=1.0),
            kind(tau=np.inf, decay_input=False, v_th=float(np.nextafter(1.0, 2.0))),
        )
    with np.errstate(divide="ignore"):
        interval = 1 / quantised
        hard = [1 / np.maximum(steps_to, 1) for steps_to in (np.ceil(interval), np.floor(interval) + 1)]
    sweeps = []
    for name, pair in conventions.items():
        reached, exceeded = (_shares(spike_counts(one, quantised, steps)) for one in pair)
        expected = [_shares(rate) for rate in hard] if name == "hard reset" else [quantised, quantised]
        law = "intervals ceil(1/I) and floor(1/I) + 1" if name == "hard reset" else "0: the surplus stays"
        points = []
        for k, bits in enumerate(resolutions):
            predicted = float(np.abs(expected[0][k] - expected[1][k]).sum(axis=-1).mean() / 2)
            gap = float(np.abs(exceeded[k] - reached[k]).sum(axis=-1).mean() / 2)
            points.append(Point(float(bits), gap, gap, gap, predicted))
        sweeps.append(
            Sweep(
                "threshold convention", "input resolution", "bits", f"discrete LIF, {name}", GAP, name, tuple(points),
                order=1.0, law=law,
            )
        )  # fmt: skip
    return sweeps


def _shares(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rates / rates.sum(axis=-1, keepdims=True))


def spike_counts(cell: DiscreteLIF, drive: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Spikes of neurons under constant drive, in the shape of `drive`, run in Brian2 on the numpy target."""
    dt = 1e-3
    with runtime.preferences("numpy", dt), bit_exact():
        stimulus = b2.TimedArray(drive.reshape(1, -1), dt=dt * b2.second)
        group = cell.build(drive.size, stimulus)
        monitor = b2.SpikeMonitor(group, record=False)
        b2.Network(group, monitor).run(steps * dt * b2.second, namespace={})
        return np.asarray(monitor.count[:], dtype=float).reshape(drive.shape)
