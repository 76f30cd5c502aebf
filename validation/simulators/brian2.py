"""The Brian2 side: single neurons of `biospike.neurons`, and the circuits of `biospike.simulation`, spike by spike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biospike import neurons, runtime
from biospike.circuit import Circuit
from biospike.ideal.softmax import check_logits
from biospike.packing import Plan, fitted
from validation.simulators.cases import Case, Spikes

import brian2 as b2

# A LIF whose input current decays: what synapses start acts on the membrane through `synaptic`.
EXPONENTIAL = (
    neurons.CONSTANTS
    + neurons.GRID_EQUATIONS.replace("v_inf - v", "v_inf + synaptic - v")
    + """
dsynaptic/dt = -synaptic/tau_syn : volt
tau_syn                          : second (shared, constant)
"""
)

AT_ONCE = "before_thresholds"
"""Slot in which input spikes act such that the threshold of the same step sees them, as in NEST."""


def run_neurons(case: Case, *, seed: int = 1, slot: str = AT_ONCE) -> Spikes:
    """Run the neurons of a case.

    Parameters
    ----------
    case
        Of `validation.simulators.cases`.
    seed
        Of the noise.
    slot
        When input spikes act. In Brian2's own ``synapses``, after the thresholds, a jump of the membrane has leaked for
        a step before it is compared with the threshold, and one that arrives in the step of a spike is discarded.
    """
    n = len(case.v_inf)
    with runtime.preferences("numpy", float(case.dt)):
        group = (
            _exponential(case, n)
            if case.kind == "exponential"
            else case.cell.build(n, case.dt, noise=case.sigma is not None)
        )
        group.v_inf = case.v_inf
        if case.sigma is not None:
            b2.seed(seed)
            group.sigma = case.sigma
        monitor = b2.SpikeMonitor(group)
        network = b2.Network(group, monitor)
        if case.frozen is not None:
            network.add(*_inputs(case, group, slot))
        network.run(case.steps * case.dt, namespace={})
        return _spikes(monitor, float(case.dt))


def _exponential(case: Case, n: int) -> b2.NeuronGroup:
    cell, frozen = case.cell, case.frozen
    assert frozen is not None
    group = b2.NeuronGroup(
        n,
        EXPONENTIAL,
        threshold=neurons.THRESHOLD,
        reset=neurons.RESETS[cell.reset],
        refractory="t_ref",
        method="exact",
        namespace={},
        dt=case.dt,
    )
    group.tau_m, group.t_ref, group.tau_syn = cell.tau_m, cell.refractory, frozen.tau_syn
    group.v_reset, group.v_threshold, group.v = cell.v_reset, cell.v_threshold, cell.v_rest
    return group


def _inputs(case: Case, group: b2.NeuronGroup, slot: str) -> tuple[b2.SpikeGeneratorGroup, b2.Synapses]:
    frozen = case.frozen
    assert frozen is not None
    sources = b2.SpikeGeneratorGroup(len(frozen.weight), frozen.source, frozen.step * case.dt, dt=case.dt)
    target = "v" if frozen.tau_syn is None else "synaptic"
    synapses = b2.Synapses(sources, group, "w : volt (constant)", on_pre=f"{target}_post += w", namespace={})
    synapses.connect()
    synapses.w = frozen.weight.ravel() * b2.mV
    synapses.pre.when = slot
    return sources, synapses


def _spikes(monitor: b2.SpikeMonitor, dt: float) -> Spikes:
    step = np.rint(np.asarray(monitor.t_) / dt).astype(np.int64)
    neuron = np.asarray(monitor.i[:], dtype=np.int64)
    order = np.lexsort((neuron, step))
    return Spikes(step[order], neuron[order])


def run_rows(circuit: Circuit, logits: NDArray[np.float64], *, steps: int, trials: int, seed: int) -> list[Spikes]:
    """Run a circuit as `biospike.simulation.simulate` does, with the same random numbers, and keep every spike.

    Parameters
    ----------
    circuit
        From `circuits`.
    logits : ndarray (rows, keys)
        Nats; NaN masks a key.
    steps, trials, seed
        Length, repetitions, seed.

    Returns
    -------
    list of Spikes
        One a trial; `neuron` counts the unmasked keys, row after row.
    """
    values = check_logits(logits)
    slots = trials * len(values)
    plan = fitted(
        Plan(
            circuit=circuit,
            logits=values,
            trials=trials,
            seed=seed,
            dt=float(circuit.dt),
            steps=steps,
            marks=np.array([steps]),
            sizes=(slots + 1, slots * values.shape[1], 1),
            starts=np.array([0, slots]),
        )
    )
    with runtime.preferences("numpy", plan.dt):
        network = circuit.build(plan.shape(0))
        runtime.assign(network, plan.state(0))
        monitor = b2.SpikeMonitor(network["keys"])
        network.add(monitor)
        network.run(steps * circuit.dt, namespace={})
        spikes = _spikes(monitor, plan.dt)
    keys = int((~np.isnan(values)).sum())
    trial, neuron = np.divmod(spikes.neuron, keys)
    return [Spikes(spikes.step[trial == number], neuron[trial == number]) for number in range(trials)]
