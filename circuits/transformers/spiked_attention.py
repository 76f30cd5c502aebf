"""SpikedAttention's spike softmax as a network: a falling threshold reads the keys of a row in their order.

Key neurons hold v = B^(T-1)*(s - max s); the threshold of all falls by B^(T-1)*ln(B) a step, from half of that. A key
spikes once, when it is met. Beside it decays a trace, B^-k, which the spike adds to its row: the denominator. Maximum
and division are outside, as in the paper.

Membranes, ramp and trace are the floating-point operations of the reference in the same order, and a row receives its
spikes by step and then by key: steps, and shares, are bit-exact.

Latency: none; step k of the run is step k of the code.

Reference: `biospike.ideal.attention.SpikeSoftmax`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import ArrayLike

from biospike import runtime, standalone
from biospike.circuit import check_indices
from biospike.ideal.attention import SpikeSoftmax
from biospike.ideal.attention.spiked_attention import OneSpike
from biospike.session import assemble
from biospike.wiring import each_step_of
from circuits.transformers.layers import synapses
from circuits.transformers.tape import DT

import brian2 as b2

KEYS = """
v        : 1 (constant)
waiting  : 1                    # 1 until the spike
step     : integer              # of the spike, or -1
worth    : 1                    # trace at the spike
theta    : 1 (shared)
trace    : 1 (shared)
ramp     : 1 (shared, constant)
decay    : 1 (shared, constant)   # 1/B
"""
THRESHOLD = "v >= theta and waiting > 0"
SPIKE = """
waiting = 0
step = t_in_timesteps
worth = trace
"""
FALL = """
theta = theta - ramp
trace = trace*decay
"""
ROWS = "total : 1               # traces of the row's spikes"


@attrs.frozen
class RowSize:
    """Size of the network: rows and keys of a row."""

    rows: int
    keys: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """What is compiled in."""
        return self.rows, self.keys


@attrs.frozen(eq=False)
class SpikeSoftmaxCircuit:
    """Groups ``keys`` -> ``rows``."""

    name: ClassVar[str] = "spike_softmax"
    latency: ClassVar[dict[str, int]] = {"spikes": 0}
    block: SpikeSoftmax

    @property
    def structure(self) -> dict[str, Any]:
        """Nothing but the size is compiled in: base and number of steps are given when a run starts."""
        return {}

    def build(self, shape: RowSize) -> b2.Network:
        """Wire the network; runs nothing."""
        keys = b2.NeuronGroup(
            shape.rows * shape.keys, KEYS, threshold=THRESHOLD, reset=SPIKE, namespace={}, name="keys"
        )
        each_step_of(keys, FALL, when="end", name="keys_fall_each_step")
        rows = b2.NeuronGroup(shape.rows, ROWS, namespace={}, name="rows")
        key = np.arange(shape.rows * shape.keys)
        return assemble(keys, rows, synapses(keys, rows, "total_post += trace_pre", key, key // shape.keys))

    def run(self, scores: ArrayLike, target: str = "numpy") -> OneSpike:
        """Spikes and shares of scores (rows, keys) in nats; see `SpikeSoftmax.run`."""
        v = self.block.membrane(scores)
        check_indices(v.size, f"{self.name}: keys of all rows")
        shape, steps = RowSize(*v.shape), self.block.steps
        state = {
            "keys.v": v,
            "keys.waiting": 1.0,
            "keys.step": -1,
            "keys.theta": self.block.ramp / 2,
            "keys.trace": 1.0,
            "keys.ramp": self.block.ramp,
            "keys.decay": 1 / self.block.base,
        }
        dt, duration = float(DT), steps * float(DT)
        wanted = ["keys.step", "keys.worth", "rows.total"]
        if target == "cpp_standalone":
            result = standalone.run(standalone.build(self, shape), state, dt, duration, wanted)
        else:
            result = runtime.run(self, shape, state, dt=dt, duration=duration, wanted=wanted, target=target)
        step = result["keys.step"].reshape(v.shape).astype(np.int64)
        spikes = (np.arange(steps)[:, None, None] == step).astype(np.uint8)
        return OneSpike(spikes, step, result["keys.worth"].reshape(v.shape) / result["rows.total"][:, None])
