"""How the neurons and circuits of biospike are said in NEST: parameters only, nothing is run.

Voltages are counted from rest in mV, and C_m in pF has the value of tau_m in ms, so that 1 pA holds the membrane at
1 mV. The conventions that differ, and what is done about each:

* **Time stamps.** NEST stamps a spike with the end of its step, Brian2 with the start: one step later, inputs and
  outputs alike. Steps are counted from 0 here, and the stamp of NEST is the step plus one.
* **Refractory period.** NEST holds the membrane for t_ref/dt steps after the step of the spike, Brian2 for one step
  less. So t_ref = refractory - dt makes the same neuron; the same number makes every interval one step longer.
* **Threshold.** NEST fires at ``>=``, biospike's LIF at ``>``: the next larger float as threshold makes them one.
* **Delay.** The shortest delay of NEST is one step, and the input is there *before* the threshold of the next step. In
  Brian2 a spike that reaches a row's hub between threshold and reset acts at the same time. One that moves a membrane
  has to be delivered before the thresholds of the next step; in the default slot it leaks for a step before it counts.

References
----------
Diesmann, Gewaltig, Rotter, Aertsen (2001), Neurocomputing 38-40, 565 (refractoriness on the grid).
Rotter, Diesmann (1999), Biol. Cybern. 81, 381, doi:10.1007/s004220050570 (exact integration in NEST).
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Circuit
from biospike.errors import InputError
from biospike.neurons import LIF
from circuits.softmax.diffusive import Diffusive
from circuits.softmax.escape import Escape
from circuits.softmax.race import Race

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

CLOSED = 1000.0
"""How far below the threshold a closed row of `race` is held, in nats: exp(-CLOSED) is exactly zero."""

SLOW = 1e9
"""A time constant in ms that stands for no decay, in `escape` and `diffusive`: 1e-4 of a value is lost in 100 s. NEST
computes 1 - exp(-dt/SLOW), which at 0.1 ms is right to 1e-6; a longer one would lose more there than it gains."""

SHORTEST = 1e-3
"""Steps of NEST are multiples of this many ms."""


@attrs.frozen(eq=False, kw_only=True)
class Wiring:
    """Rows of key neurons as NEST has them.

    Attributes
    ----------
    model : str
        Neuron model of the keys.
    keys : dict
        Parameters and initial state; numbers, or arrays (rows, keys) of one number a key.
    synapses : tuple of (weight in mV, delay in ms)
        From every key to every key of its row, itself included.
    relay_ms : float or None
        Delay from the keys to a relay neuron a row, which the synapses then start from; None if there is none.
    noise_std : float
        Standard deviation of a current that is drawn afresh for every key and step, pA.
    drift : ndarray (steps,) or None
        Current that all keys receive in each step, pA.
    carries : bool
        Whether a further spike of a key within one step counts for the next step, as in biospike.
    """

    model: str
    keys: dict[str, Any]
    synapses: tuple[tuple[float, float], ...]
    relay_ms: float | None = None
    noise_std: float = 0.0
    drift: Array | None = None
    carries: bool = False


def milliseconds(value: Quantity) -> float:
    """A time as NEST takes it; rounded to its tics, which floats in seconds miss."""
    return round(float(value / b2.ms), 9)


def check_resolution(dt: Quantity) -> None:
    """Raise `InputError` if NEST cannot run at the step `dt`."""
    tics = milliseconds(dt) / SHORTEST
    if tics < 1 or abs(tics - round(tics)) > 1e-6:
        raise InputError(f"NEST needs a step that is a multiple of {SHORTEST * b2.ms}, got dt = {dt}")


def lif_parameters(
    cell: LIF, dt: Quantity, v_inf: Quantity, *, same_refractory: bool = False, same_threshold: bool = False
) -> dict[str, Any]:
    """Parameters of ``iaf_psc_delta`` and ``iaf_psc_exp`` that make the neuron of `LIF.build`.

    Parameters
    ----------
    cell
        With ``reset="zero"`` and spikes on the grid.
    dt
        Step.
    v_inf
        Drive v_rest + R*I, one voltage or one a neuron.
    same_refractory
        Take t_ref as it stands, not one step less: every interval is then one step longer.
    same_threshold
        Take V_th as it stands: a membrane exactly on the threshold then fires, which it does not in biospike.

    Raises
    ------
    InputError
        If the neuron has no counterpart in NEST.
    """
    if cell.reset != "zero" or cell.spike_timing != "grid":
        raise InputError(
            f"NEST's iaf neurons reset to a value, on the grid: expected reset='zero' and spike_timing='grid', got "
            f"{cell.reset!r} and {cell.spike_timing!r}"
        )
    cell.check_grid(dt)
    check_resolution(dt)
    threshold = float((cell.v_threshold - cell.v_rest) / b2.mV)
    steps = round(float(cell.refractory / dt))
    held = steps if same_refractory else max(steps - 1, 0)
    return {
        "E_L": 0.0,
        "V_m": 0.0,
        "V_reset": float((cell.v_reset - cell.v_rest) / b2.mV),
        "V_th": threshold if same_threshold else float(np.nextafter(threshold, np.inf)),
        "tau_m": milliseconds(cell.tau_m),
        "C_m": milliseconds(cell.tau_m),
        "t_ref": milliseconds(held * dt),
        "I_e": np.asarray((v_inf - cell.v_rest) / b2.mV, dtype=float),
    }


def noise_amplitude(sigma: Quantity, tau_m: Quantity, dt: Quantity) -> float:
    """Standard deviation in pA of a current held for a step that gives v at the grid points the variance sigma^2/2.

    The one of `biospike.neurons.NOISY_EQUATIONS`: an Ornstein-Uhlenbeck process, exactly, at any step.
    """
    return float(sigma / b2.mV) / math.sqrt(2 * math.tanh(float(dt / tau_m) / 2))


def wire(circuit: Circuit, batch: Batch, steps: int) -> Wiring:
    """How NEST makes the keys of `circuit` for the rows of `batch`, for a run of so many steps.

    Raises
    ------
    InputError
        If the circuit, or one of its values, has no counterpart in NEST.
    """
    check_resolution(circuit.dt)
    for kind, make in WIRINGS.items():
        if isinstance(circuit, kind):
            return make(circuit, batch, steps)
    raise InputError(f"{circuit.name} has no counterpart in NEST; expected one of {', '.join(names())}")


def race(circuit: Race, batch: Batch, steps: int) -> Wiring:
    """Escape-rate neurons of constant rate, which every spike of the row silences for t_inh.

    ``pp_psc_delta`` fires with the rate c_2*exp(c_3*V), here at V = 0, and so with the probability 1 - exp(-c_2*dt) a
    step: c_2 is set such that this is R0*e_i*dt, the probability of an input spike in biospike. A spike lowers the
    membranes of its row to about -1000, where exp is exactly zero, from the next step on, and a second synapse lifts
    them by the same, less what has leaked, when the row opens. Keys that spike in one step all count, and add up below
    and above alike. The process is the same in law.
    """
    h, closed = milliseconds(circuit.dt), round(float(circuit.t_inh / circuit.dt))
    if closed < 1:
        raise InputError(f"NEST's shortest inhibition is one step: t_inh must be at least {circuit.dt}, got 0 s")
    probability = float(circuit.rate * circuit.dt) * batch.drive
    tau_m = 10.0
    return Wiring(
        model="pp_psc_delta",
        keys={
            "c_1": 0.0,
            "c_2": -np.log1p(-probability) / (h * 1e-3),
            "c_3": 1.0,
            "with_reset": False,
            # Above zero, NEST draws no second spike within a step; the row is closed for longer than this.
            "dead_time": h,
            "tau_m": tau_m,
            "V_m": 0.0,
        },
        synapses=((-CLOSED, h), (CLOSED * math.exp(-closed * h / tau_m), (1 + closed) * h)),
    )


def escape(circuit: Escape, batch: Batch, steps: int) -> Wiring:
    """Escape-rate neurons whose membrane is minus the inhibition.

    ``pp_psc_delta`` with the rate R0*e_i*exp(V), V in nats. Every spike of the row lowers V by w from the next step
    on, and a constant current lifts it by w*R0 a second, which is the linear decay of I: the membrane does not leak. V
    starts one step of this below zero, since NEST integrates before it looks at V. Without dead time NEST draws a
    Poisson number of spikes a step, biospike emits one a step and keeps the surplus charge for the next: so a second
    spike, of probability (rate*dt)^2/2, is counted a step later. That it inhibits a step early is all that differs.
    """
    if circuit.regularity != 1:
        raise InputError(f"pp_psc_delta is escape noise, regularity 1, got {circuit.regularity:g}")
    slope = circuit.w * float(circuit.rate / b2.kHz)  # nats, which stand for mV, per ms
    return Wiring(
        model="pp_psc_delta",
        keys={
            "c_1": 0.0,
            "c_2": float(circuit.rate / b2.Hz) * batch.drive,
            "c_3": 1.0,
            "with_reset": False,
            "dead_time": 0.0,
            "tau_m": SLOW,
            "C_m": 1.0,
            "I_e": slope,
            "V_m": -slope * milliseconds(circuit.dt),
        },
        synapses=((-circuit.w, milliseconds(circuit.dt)),),
        carries=True,
    )


def diffusive(circuit: Diffusive, batch: Batch, steps: int) -> Wiring:
    """LIF neurons with white noise, and inhibition through one relay neuron a row.

    A spike adds w*(1 - exp(-t/tau_inh)) to I, in the end w: in ``iaf_psc_exp`` a negative synaptic current that does
    not decay, and a positive one with the time constant tau_inh. What does not depend on spikes, the fall of I by
    w*R0 a second and the activity R0 that the row starts with, is a current given for every step. Brian2 takes I as
    constant within a step and NEST integrates it exactly: half a step of a current that changes by microvolts a step.
    """
    h, tau_inh = milliseconds(circuit.dt), milliseconds(circuit.tau_inh)
    delay = round(float(circuit.delay / circuit.dt))
    if delay < 2:
        raise InputError(
            f"NEST's relay needs a step each way: delay must be at least {2 * circuit.dt}, got {circuit.delay}"
        )
    state = circuit.state(batch, circuit.dt)
    rest, w = float(circuit.v_rest / b2.mV), float(circuit.w / b2.mV)
    drive = 1e3 * (state["keys.mean"] - state["hub.I"][:, None]) - rest
    end = h * np.arange(1, steps + 1)
    rate = float(circuit.rate / b2.kHz)
    return Wiring(
        model="iaf_psc_exp",
        keys={
            **lif_parameters(circuit.cell, circuit.dt, circuit.v_rest),
            "I_e": drive,
            "V_m": 1e3 * state["keys.v"] - rest,
            "tau_syn_ex": tau_inh,
            "tau_syn_in": SLOW,
        },
        synapses=tuple((weight, (delay - delay // 2) * h) for weight in (-w, w)),
        relay_ms=delay // 2 * h,
        noise_std=noise_amplitude(circuit.siegert_sigma, circuit.tau_m, circuit.dt),
        drift=w * rate * (end - tau_inh * -np.expm1(-end / tau_inh)),
    )


WIRINGS: dict[type[Circuit], Any] = {Race: race, Escape: escape, Diffusive: diffusive}


def names() -> list[str]:
    """Circuits that have a counterpart in NEST."""
    return [kind.name for kind in WIRINGS]
