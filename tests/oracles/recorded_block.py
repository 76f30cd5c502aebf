"""Every spike of a network of tokens, on the numpy target, as lists over steps of places."""

import attrs
import numpy as np

from biospike import runtime
from circuits.presentation import plan_presentation

import brian2 as b2


def record_block(circuit, x, steps, *, slots=1, seed=1, layout=None, **options):
    """Spikes of the groups that `layout` names, and the counts of the same run.

    Parameters
    ----------
    layout
        Function (shape, circuit) -> {group: (slots, ...)}, the axes of its neurons.

    Returns
    -------
    tuple
        The plan, {group: list over steps of sets of places}, and what `collect` returns.
    """
    plan = plan_presentation(circuit, x, duration=steps * circuit.dt, seed=seed, **options)
    # Checkpoints that are not read cost code.
    plan = attrs.evolve(plan, slots=slots, room=1 + max(len(run) for run in plan.runs))
    end = round(plan.duration(0) / plan.dt)
    with runtime.preferences("numpy", plan.dt):
        network = plan.circuit.build(plan.shape())
        runtime.assign(network, plan.state(0))
        axes = (layout or block_layout)(plan.shape(), plan.circuit)
        monitors = {name: b2.SpikeMonitor(network[name], name=f"{name}_spikes") for name in axes}
        network.add(*monitors.values())
        network.run(plan.duration(0) * b2.second, namespace={})
        result = {
            name: np.array(getattr(network[name.split(".")[0]], f"{name.split('.')[1]}_")) for name in plan.wanted
        }
        spikes: dict[str, list[set[tuple[int, ...]]]] = {}
        for name, monitor in monitors.items():
            spikes[name] = [set() for _ in range(end)]
            places = np.stack(np.unravel_index(np.asarray(monitor.i[:]), axes[name]), axis=1).tolist()
            for step, place in zip(np.rint(np.asarray(monitor.t_) / plan.dt).astype(int), places, strict=True):
                spikes[name][step].add(tuple(place))
    return plan, spikes, plan.collect(0, result)


def block_layout(shape, circuit, prefix=""):
    """Axes of the populations of an attention block, as `circuits.projection` and `circuits.routing` state them."""
    r, n, h, d = shape.slots, shape.tokens, shape.heads, shape.width
    axes: dict[str, tuple[int, ...]] = {f"{prefix}neurons": (r, n, len(circuit.streams), h, d, 2)}
    if len(circuit.streams) == 3:
        axes |= {f"{prefix}keys": (r, h, n, n), f"{prefix}outputs": (r, n, h, d, 2)}
    return axes if prefix else axes | {"encoder": (r, n, circuit.copies, shape.features)}


def stack_layout(shape, stack):
    """The same of a stack: two blocks, and a residual population behind each."""
    residual = (shape.slots, shape.tokens, shape.features, 2)
    first, second = stack.blocks
    return {
        **block_layout(shape, first),
        **block_layout(shape, second, "layer1_"),
        "residual0": residual,
        "residual1": residual,
    }
