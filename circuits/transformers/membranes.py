"""Neurons with a membrane in the place of a block's discrete ones, and how their constants are mapped.

A discrete LIF neuron with a hard reset to zero is the exact solution of a membrane equation, looked at once a timestep
of 1 ms in which its current is held:

    tau_m dv/dt = v_inf - v,    tau_m = -step/ln(1 - 1/tau),    v_inf = X*v_th       (decay_input; else tau*X*v_th)

The integrate-and-fire neuron is C dv/dt = I. Membranes are in volt above rest, and a current of 1 drives to `UNIT`.
With dt = step, these neurons give the spikes of the discrete ones. With a finer dt they cross the threshold inside a
timestep, where the discrete neuron sees only its end: they fire early, reset early, and then either fire again in
the same timestep or, with a refractory period, sit out a part of the next.

Currents are those of the spikes of one timestep, held for the next: what a clocked implementation does. A neuron that
fires twice in a timestep sends twice the current. `Membranes` is made to be the ``neurons`` of a reference's ``run``.

A value is at the threshold if it is above or within `TIE` of it. The discrete comparison is >=, and with attention's
integer currents exact ties are routine, but the exponentials of a membrane equation round.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike import runtime
from biospike.circuit import check_indices
from biospike.errors import InputError
from biospike.ideal.attention.layers import Reals, Spikes
from biospike.ideal.lif import DiscreteLIF, SpikingJellyHard, SpikingJellySoft
from biospike.neurons import LIF
from biospike.parameters import quantity
from biospike.session import assemble
from circuits.transformers.tape import DT as STEP

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

UNIT = b2.volt / 64
"""Membrane above rest for a current of 1: 15.6 mV, a power of two so that dyadic currents stay exact."""
TIE = 1e-9
"""Fraction of the threshold within which a membrane counts as having reached it."""

INTEGRATOR = """
dv/dt = v_inf/step : volt (unless refractory)
v_inf              : volt
"""


class Volley(NamedTuple):
    """Spikes of a population, in the order of time.

    Attributes
    ----------
    neuron : ndarray (spikes,)
        Index in the flattened population.
    time : ndarray (spikes,)
        End of the step in which the threshold was crossed, second.
    """

    neuron: NDArray[np.int64]
    time: NDArray[np.float64]


def mapped(kind: DiscreteLIF, refractory: Quantity = 0 * b2.ms) -> LIF:
    """Membrane of a discrete neuron.

    Raises
    ------
    InputError
        If the neuron has another reset than to zero, or no leak.
    """
    if not isinstance(kind, SpikingJellyHard) or kind.v_reset != 0 or not 1 < kind.tau < math.inf:
        raise InputError(f"expected a leaky neuron with a hard reset to 0, got {kind}")
    return LIF(
        tau_m=-STEP / math.log(1 - 1 / kind.tau),
        v_rest=0 * b2.mV,
        v_reset=0 * b2.mV,
        v_threshold=kind.v_th * (1 - TIE) * UNIT,
        refractory=refractory,
    )


def gain(kind: SpikingJellyHard) -> float:
    """Drive of a current of 1, in `UNIT`, so that a timestep adds what it adds to the discrete neuron.

    (1 - exp(-step/tau_m))*gain is 1/tau with ``decay_input`` and 1 without.
    """
    return 1.0 if kind.decay_input else kind.tau


def integrators(n: int, dt: Quantity, v_th: float, refractory: Quantity) -> b2.NeuronGroup:
    """Neurons without leak whose reset subtracts the threshold; Euler is exact for a current that is held."""
    held = refractory > 0 * b2.ms
    return b2.NeuronGroup(
        n,
        INTEGRATOR if held else INTEGRATOR.replace("(unless refractory)", ""),
        threshold="v >= v_reached",
        reset="v -= v_th",
        refractory=refractory if held else False,
        method="euler",
        dt=dt,
        namespace={"step": STEP, "v_th": v_th * UNIT, "v_reached": v_th * (1 - TIE) * UNIT},
    )


@attrs.frozen(kw_only=True)
class Membranes:
    """Membranes that answer the currents of a block; call it as ``block.run(x, neurons=Membranes(...))``.

    Parameters
    ----------
    dt
        Step of the integration; it must divide the timestep of 1 ms.
    refractory
        By default a timestep: no more spikes than the discrete neuron can fire.

    Attributes
    ----------
    volleys : list of Volley
        Spikes of every population, in the order of the calls.

    Raises
    ------
    InputError
        If `dt` does not divide the timestep.
    """

    dt: Quantity = quantity(0.1 * b2.ms, above=0 * b2.ms)
    refractory: Quantity = quantity(STEP, minimum=0 * b2.ms)
    volleys: list[Volley] = attrs.field(factory=list, init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if abs(float(STEP / self.dt) - self.substeps) > 1e-6:
            raise InputError(f"Membranes: dt must divide the timestep of {STEP}, got {self.dt}")

    @property
    def substeps(self) -> int:
        """Steps of the integration in a timestep."""
        return max(1, round(float(STEP / self.dt)))

    def __call__(self, kind: DiscreteLIF, currents: Reals) -> Spikes:
        """Spikes in every timestep, of the shape of `currents` (T, ...), for a population at rest."""
        drive = np.asarray(currents, dtype=float).reshape(len(currents), -1)
        volley = self._simulate(kind, drive)
        frames = np.round(volley.time / float(self.dt)).astype(np.int64) - 1
        counts = np.zeros(drive.shape, np.int64)
        np.add.at(counts, (frames // self.substeps, volley.neuron), 1)
        if counts.max(initial=0) > np.iinfo(np.uint8).max:
            raise InputError(f"a neuron fired {counts.max()} times in a timestep; expected at most 255")
        self.volleys.append(volley)
        return counts.astype(np.uint8).reshape(np.shape(currents))

    def _simulate(self, kind: DiscreteLIF, drive: NDArray[np.float64]) -> Volley:
        check_indices(drive.size, "currents of all timesteps")
        steps, n = drive.shape
        with runtime.preferences("numpy", float(self.dt)):
            if isinstance(kind, SpikingJellySoft) and kind.tau == math.inf and not kind.decay_input:
                group, factor = integrators(n, self.dt, kind.v_th, self.refractory), 1.0
            else:
                cell = mapped(kind, self.refractory)
                group, factor = cell.build(n, self.dt), gain(kind)  # type: ignore[arg-type]
            stimulus = b2.TimedArray(drive * factor * UNIT, dt=STEP)
            group.namespace["stimulus"] = stimulus
            # Before the update of the membrane in the first step of a timestep.
            group.run_regularly("v_inf = stimulus(t, i)", dt=STEP, when="start")
            monitor = b2.SpikeMonitor(group)
            network = assemble(group, *group.contained_objects, monitor)
            network.run(steps * STEP, namespace={})
            return Volley(np.array(monitor.i, dtype=np.int64), np.array(monitor.t / b2.second) + float(self.dt))
