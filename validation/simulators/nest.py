"""Running NEST: single neurons, and rows of key neurons as `validation.simulators.mapping` says them.

Every function starts from an empty kernel of one thread. Spikes come back as the step in which the threshold was
crossed, counted from 0: NEST's time stamp is the end of that step.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.neurons import LIF
from validation.simulators.cases import FrozenInput, Spikes
from validation.simulators.mapping import Wiring, milliseconds

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

MISSING = "NEST is not installed; install the extra: pip install 'biospike[nest]'"
DIFFUSED = 1e-6
"""Change of NEST's own Siegert rate, relative, at which it has settled."""


def load_nest() -> Any:
    """Import NEST, silently.

    Raises
    ------
    InputError
        If it is not installed, naming the extra.
    """
    with _quiet_import():
        try:
            nest = importlib.import_module("nest")
        except ImportError as error:
            reason = "" if error.name == "nest" else f" ({error})"
            raise InputError(f"{MISSING}{reason}") from None
    _hush(nest)
    return nest


@contextmanager
def _quiet_import() -> Iterator[None]:
    """NEST prints a banner and reads the command line when it is imported; ours is none of its business."""
    arguments, quiet = sys.argv, os.environ.get("PYNEST_QUIET")
    sys.argv, os.environ["PYNEST_QUIET"] = sys.argv[:1], "1"
    try:
        yield
    finally:
        sys.argv = arguments
        if quiet is None:
            del os.environ["PYNEST_QUIET"]
        else:
            os.environ["PYNEST_QUIET"] = quiet


def _hush(nest: Any) -> None:
    # set_verbosity is deprecated since 3.10, which has a level for it instead.
    if hasattr(nest, "VerbosityLevel"):
        nest.verbosity = nest.VerbosityLevel.ERROR
    else:
        nest.set_verbosity("M_ERROR")


def _reset(nest: Any, dt: Quantity, seed: int) -> None:
    nest.ResetKernel()
    _hush(nest)
    nest.local_num_threads = 1
    nest.resolution = milliseconds(dt)
    nest.rng_seed = seed


def run_neurons(
    nest: Any,
    parameters: dict[str, Any],
    n: int,
    *,
    dt: Quantity,
    steps: int,
    frozen: FrozenInput | None = None,
    noise_std: float = 0.0,
    seed: int = 1,
) -> Spikes:
    """Run `n` unconnected LIF neurons.

    Parameters
    ----------
    nest
        The module.
    parameters
        Of `validation.simulators.mapping.lif_parameters`.
    n, dt, steps
        Number of neurons, step, number of steps.
    frozen
        Input spikes, one step later than in Brian2 by their stamp, as are the spikes they cause.
    noise_std
        Standard deviation of a current drawn afresh for every neuron and step, pA.
    seed
        Of NEST, at least 1.
    """
    _reset(nest, dt, seed)
    exponential = frozen is not None and frozen.tau_syn is not None
    neurons = nest.Create("iaf_psc_exp" if exponential else "iaf_psc_delta", n, _listed(parameters))
    if frozen is not None:
        if frozen.tau_syn is not None:
            neurons.set(tau_syn_ex=milliseconds(frozen.tau_syn), tau_syn_in=milliseconds(frozen.tau_syn))
        times = [_stamps(frozen.step[frozen.source == source] + 1, dt) for source in range(len(frozen.weight))]
        sources = nest.Create("spike_generator", len(times), [{"spike_times": t} for t in times])
        synapse = {"weight": frozen.weight.T, "delay": milliseconds(dt)}
        nest.Connect(sources, neurons, "all_to_all", synapse)
    if noise_std > 0:
        _add_noise(nest, neurons, noise_std, dt)
    return _simulate(nest, neurons, dt, steps)


def run_rows(nest: Any, wiring: Wiring, unmasked: NDArray[np.bool_], *, dt: Quantity, steps: int, seed: int) -> Spikes:
    """Run rows of key neurons once.

    Parameters
    ----------
    nest
        The module.
    wiring
        Of `validation.simulators.mapping.wire`.
    unmasked : ndarray (rows, keys) of bool
        Keys that exist.
    dt, steps, seed
        Step, number of steps, seed of NEST.

    Returns
    -------
    Spikes
        `neuron` counts the unmasked keys, row after row.
    """
    _reset(nest, dt, seed)
    values = {name: value[unmasked] if np.ndim(value) else value for name, value in wiring.keys.items()}
    keys = nest.Create(wiring.model, int(unmasked.sum()), _listed(values))
    ends = np.cumsum(unmasked.sum(axis=1))
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        row = keys[int(start) : int(end)]
        sender = row
        if wiring.relay_ms is not None:
            sender = nest.Create("parrot_neuron")
            nest.Connect(row, sender, "all_to_all", {"delay": wiring.relay_ms})
        for weight, delay in wiring.synapses:
            nest.Connect(sender, row, "all_to_all", {"weight": weight, "delay": delay})
    if wiring.noise_std > 0:
        _add_noise(nest, keys, wiring.noise_std, dt)
    if wiring.drift is not None and steps > 2:
        # What is set at the end of step k-2 arrives one step later and acts in step k.
        device = nest.Create(
            "step_current_generator",
            params={"amplitude_times": _stamps(np.arange(1, steps - 1), dt), "amplitude_values": wiring.drift[2:]},
        )
        nest.Connect(device, keys, syn_spec={"delay": milliseconds(dt)})
    spikes = _simulate(nest, keys, dt, steps)
    return carry_over(spikes, steps) if wiring.carries else spikes


def carry_over(spikes: Spikes, steps: int) -> Spikes:
    """Leave one spike a neuron and step, and move further ones to the next step that is free, if the run has one."""
    order = np.lexsort((spikes.step, spikes.neuron))
    step, neuron = spikes.step[order], spikes.neuron[order]
    # Within a neuron step - number must not fall; between neurons an offset that no step exceeds keeps them apart.
    number = np.arange(len(step)) + neuron * -(steps + len(step))
    step = np.maximum.accumulate(step - number) + number
    inside = step < steps
    step, neuron = step[inside], neuron[inside]
    order = np.lexsort((neuron, step))
    return Spikes(step[order], neuron[order])


def siegert_rate(nest: Any, cell: LIF, mu: Quantity, sigma: Quantity) -> float:
    """Rate in Hz that NEST's own ``siegert_neuron`` gives, in continuous time; NaN where it was built without it."""
    if "siegert_neuron" not in nest.node_models:
        return float("nan")
    _reset(nest, 0.1 * b2.ms, 1)
    nest.use_wfr = False
    source, target = (
        nest.Create(
            "siegert_neuron",
            params={
                "mean": mean,
                "tau_m": milliseconds(cell.tau_m),
                "t_ref": milliseconds(cell.refractory),
                "theta": float((cell.v_threshold - cell.v_rest) / b2.mV),
                "V_reset": float((cell.v_reset - cell.v_rest) / b2.mV),
            },
        )
        for mean in (1.0, 0.0)
    )
    drift, diffusion = float((mu - cell.v_rest) / b2.mV), float(sigma / b2.mV) ** 2
    synapse = {"synapse_model": "diffusion_connection", "drift_factor": drift, "diffusion_factor": diffusion}
    nest.Connect(source, target, "all_to_all", synapse)
    before = -1.0
    while abs(target.rate - before) > DIFFUSED * abs(before):
        before = float(target.rate)
        nest.Simulate(50.0)
    return float(target.rate)


def _listed(parameters: dict[str, Any]) -> dict[str, Any]:
    """Arrays as lists, which is what gives every node its own value."""
    return {name: np.asarray(value).tolist() if np.ndim(value) else value for name, value in parameters.items()}


def _stamps(steps: NDArray[np.int64], dt: Quantity) -> list[float]:
    return [round(float(step) * milliseconds(dt), 9) for step in steps]


def _add_noise(nest: Any, neurons: Any, std: float, dt: Quantity) -> None:
    """One device, but every target gets a current of its own."""
    device = nest.Create("noise_generator", params={"std": std, "dt": milliseconds(dt)})
    nest.Connect(device, neurons, syn_spec={"delay": milliseconds(dt)})


def _simulate(nest: Any, neurons: Any, dt: Quantity, steps: int) -> Spikes:
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder, syn_spec={"delay": milliseconds(dt)})
    nest.Simulate(round(steps * milliseconds(dt), 9))
    events = recorder.events
    step = np.rint(np.asarray(events["times"]) / milliseconds(dt)).astype(np.int64) - 1
    neuron = np.asarray(events["senders"], dtype=np.int64) - int(neurons[0].global_id)
    order = np.lexsort((neuron, step))
    return Spikes(step[order], neuron[order])
