"""The lateral inhibition: its delay, its time constant, its strength."""

from __future__ import annotations

from circuits.softmax.race import Race
from circuits.softmax.shunting import Shunting
from circuits.softmax.subtractive import Subtractive
from validation.assumptions.keys.hazard_keys import HazardKeys
from validation.assumptions.keys.membrane import TV
from validation.assumptions.lab import Lab
from validation.assumptions.sweep import Point, Sweep

import brian2 as b2

DELAY = (0.0, 1.0, 2.0, 5.0)
TAU = (0.0, 2.0, 10.0, 50.0, 100.0)
CLOSED = (0.0, 1.0, 2.0, 5.0, 10.0)
W_GATE = (0.02, 0.1, 0.5, 1.0)
W_SUBTRACTIVE = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
W_SHUNT = (0.0, 0.03, 0.1, 0.4)
TAU_SHUNT = (200.0, 50.0, 20.0, 5.0)
SHUNT = 5.0  # nS ms, what a spike of the row opens in all
GATE = "0: a gate that is common to the row and predictable leaves the shares alone"
STEP = 0.5 * b2.ms
RATE = 200 * b2.Hz


def inhibitory_delay(lab: Lab) -> list[Sweep]:
    """Delay between a spike and its inhibition, under a common gate."""

    def keys(delay: float) -> HazardKeys:
        return HazardKeys(rate=RATE, delay=delay * b2.ms, dt=STEP)

    return [
        Sweep(
            "inhibitory delay", "delay", "ms", "escape keys, 200 Hz a row", TV, "escape",
            lab.points(DELAY, keys, 2.5), law=GATE,
        )
    ]  # fmt: skip


def inhibitory_time_constant(lab: Lab) -> list[Sweep]:
    """Time constant of the common gate, and the time for which a race stays closed."""

    def keys(tau: float) -> HazardKeys:
        return HazardKeys(rate=RATE, tau_inh=tau * b2.ms, dt=STEP)

    def shunting(tau: float) -> Shunting:
        # The same mean conductance: what is left is how much it fluctuates.
        return Shunting(tau_inh=tau * b2.ms, w=SHUNT / tau * b2.nS)

    def race(closed: float) -> Race:
        return Race(t_inh=closed * b2.ms, rate=200 * b2.Hz, dt=STEP)

    lab.prebuild([race(0.0), shunting(50.0)], lab.rows, 2.5)
    return [
        Sweep(
            "inhibitory time constant", "tau_inh", "ms", "escape keys, 200 Hz a row", TV, "escape",
            lab.points(TAU, keys, 2.5), law=GATE,
        ),
        Sweep(
            "inhibitory time constant", "t_inh", "ms", "race, inputs of 200 Hz", TV, "race",
            lab.points(CLOSED, race, lambda closed: 500 * (closed + 2) * 1e-3),
            law=GATE,
        ),
        Sweep(
            "inhibitory time constant", "tau_inh", "ms", "shunting conductance, from its own mean field",
            "TV of pooled shares from the mean field", "shunting",
            tuple(fluctuating_shunt(lab, tau, shunting(tau)) for tau in lab.values(TAU_SHUNT)), order=1.0,
        ),
    ]  # fmt: skip


def fluctuating_shunt(lab: Lab, tau: float, circuit: Shunting) -> Point:
    """Distance of the shares from their mean field, which takes the conductance as constant."""
    return lab.regular.point(tau, circuit, lab.rows, 1.0, target=circuit.limit(lab.rows), predict=False)


def inhibitory_strength(lab: Lab) -> list[Sweep]:
    """Inhibition by one spike: subtracted, shunting, and as a common gate."""

    def gate(w: float) -> HazardKeys:
        return HazardKeys(rate=RATE, w=w, dt=STEP)

    def subtractive(w: float) -> Subtractive:
        return Subtractive(w=w)

    def shunting(w: float) -> Shunting:
        return Shunting(w=w * b2.nS)

    lab.regular.prebuild([Subtractive(), Shunting()], lab.rows, 1.0)
    return [
        Sweep(
            "inhibitory strength", "w", "thresholds", "subtractive, beta = 1 (Lemma 3)", TV, "subtractive",
            lab.regular.points(W_SUBTRACTIVE, subtractive, 4.0),
            order=1.0, law="threshold-linear fixed point: w*TV(p, uniform) while all keys are active",
        ),
        Sweep(
            "inhibitory strength", "w", "nats", "escape keys, 200 Hz a row", TV, "escape",
            lab.points(W_GATE, gate, 2.5), law=GATE,
        ),
        Sweep(
            "inhibitory strength", "w", "nS", "shunting conductance", TV, "shunting",
            lab.regular.points(W_SHUNT, shunting, 1.0),
            order=1.0, law="mean field of the conductance",
        ),
    ]  # fmt: skip
