"""What a transformer circuit is: a size that is compiled in, a reference that holds the weights, and a run."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike import execution, runtime, standalone
from biospike.arrays import plain_array
from biospike.circuit import check_indices
from biospike.errors import InputError
from biospike.spike_words import BITS, words
from circuits.transformers.replay import replay_once
from circuits.transformers.tape import DT, Spikes, pack, unpack

import brian2 as b2


@attrs.frozen(kw_only=True)
class BlockSize:
    """Size of a circuit: what is compiled in.

    Attributes
    ----------
    batch, tokens, channels, heads : int
    tape : int
        Words of recorded steps: 64 steps each.
    patches : int
        Patches of an image, or 0.
    """

    batch: int
    tokens: int
    channels: int
    heads: int
    tape: int
    patches: int = 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """What is compiled in."""
        return tuple(attrs.astuple(self))

    @property
    def width(self) -> int:
        """Channels of a head."""
        return self.channels // self.heads

    @property
    def rows(self) -> int:
        """Tokens of all samples."""
        return self.batch * self.tokens

    def grid(self, *axes: int) -> NDArray[np.int64]:
        """Indices 0, 1, 2, ... of a population with these axes."""
        return np.arange(int(np.prod(axes))).reshape(axes)


SECONDS_A_SYNAPSE = 1.5e-7
"""Of the numpy target, before the first step."""


def check_word(length: int, what: str) -> None:
    """Raise `InputError` if a word of 64 bits is too short to gate one synapse each."""
    if length > BITS:
        raise InputError(f"the circuit takes at most {BITS} {what}, got {length}")


@attrs.frozen(eq=False)
class TransformerCircuit(abc.ABC):
    """A published block as a network; `run` returns the stages that `block.run` has, if they are spikes.

    Attributes
    ----------
    block
        The reference, which holds all weights; they are read when a run starts.
    latency : dict
        Steps from an input spike to the spikes of a stage that belong to it.
    populations : tuple of str
        Groups whose spikes are recorded.
    """

    name: ClassVar[str]
    latency: ClassVar[dict[str, int]]
    populations: ClassVar[tuple[str, ...]]
    fused: ClassVar[str | None] = None
    block: Any

    @property
    def structure(self) -> dict[str, Any]:
        """Nothing but the size is compiled in."""
        return {}

    @abc.abstractmethod
    def synapses(self, shape: BlockSize) -> int:
        """Synapses of the largest projection; no group has more neurons than that."""

    def check(self, shape: BlockSize) -> None:
        """Raise `InputError` if the network has more synapses than can be numbered, or its words are too short."""
        check_indices(self.synapses(shape), f"{self.name}: synapses of one projection")

    @abc.abstractmethod
    def build(self, shape: BlockSize) -> b2.Network:
        """Wire the network of this size, which `check` has accepted; runs nothing."""

    @abc.abstractmethod
    def state(self, shape: BlockSize) -> dict[str, Any]:
        """Weights and constants, by variable."""

    @abc.abstractmethod
    def read(self, spikes: dict[str, Spikes], shape: BlockSize) -> dict[str, Spikes]:
        """Stages of the spikes (T, neurons) of every group in `populations`."""

    @abc.abstractmethod
    def stages(self, x: Spikes) -> dict[str, Spikes]:
        """What `by_network` returns, by the kernels of `biospike.fused`: the same sums in the same order."""

    def size(self, x: Spikes) -> BlockSize:
        """Size of the network for an input (T, batch, tokens, channels)."""
        steps, batch, tokens, channels = x.shape
        return BlockSize(
            batch=batch,
            tokens=tokens,
            channels=channels,
            heads=getattr(self.block, "heads", 1),
            tape=words(steps),
        )

    def run(self, x: ArrayLike, target: str = "numpy", *, check: bool = True) -> dict[str, Spikes]:
        """Spikes of all stages, with the latency of each taken off.

        Parameters
        ----------
        x
            Input spikes, 0 or 1, (T, batch, tokens, channels).
        target
            ``"numpy"``, ``"cython"`` or ``"cpp_standalone"``: the network. ``"fused"``: kernels that find the same
            spikes. ``"auto"``: kernels where numpy would take seconds, or a network.
        check
            On target ``fused``, replay a few channels on the numpy target first, once a circuit and process: it takes
            about a second.

        Raises
        ------
        InputError
            If the input is not binary, is empty, has another shape, or is larger than the circuit takes.
        biospike.standalone.BuildError, biospike.errors.RunError
            If the target cannot be built here, or fails.
        """
        spikes = plain_array(x, "x")
        if spikes.ndim != 4 or spikes.shape[-1] != self.block.channels:
            raise InputError(f"x must have the shape (T, batch, tokens, {self.block.channels}), got {spikes.shape}")
        if spikes.size == 0:
            raise InputError(f"x must hold at least one step, sample and token, got {spikes.shape}")
        if not np.all((spikes == 0) | (spikes == 1)):
            raise InputError("x must be 0 or 1: an axon carries one spike a step")
        shape = self.size(spikes)
        self.check(shape)
        chosen, _ = execution.choose_target(Work(self, shape, len(spikes)), target)
        if chosen != "fused":
            return self.by_network(spikes, shape, chosen)
        if check:
            replay_once(self, spikes)
        return self.stages(spikes.astype(np.uint8))

    def by_network(self, spikes: Spikes, shape: BlockSize, target: str) -> dict[str, Spikes]:
        """`run` on a target of Brian2, for an input that was checked."""
        state = self.state(shape) | {f"x.spikes_{w}": tape for w, tape in enumerate(pack(spikes, shape.tape))}
        return self.read(self.simulate(shape, state, len(spikes), target), shape)

    def simulate(self, shape: BlockSize, state: dict[str, Any], steps: int, target: str) -> dict[str, Spikes]:
        """Recorded spikes (steps, neurons) of every population."""
        names = {group: [f"{group}.record_{w}" for w in range(shape.tape)] for group in self.populations}
        wanted = [name for group in names.values() for name in group]
        dt, duration = float(DT), (steps + max(self.latency.values())) * float(DT)
        if target == "cpp_standalone":
            binary = standalone.build(self, shape)
            result = standalone.run(binary, state, dt, duration, wanted)
        else:
            result = runtime.run(self, shape, state, dt=dt, duration=duration, wanted=wanted, target=target)
        return {group: unpack([result[name] for name in tapes], steps) for group, tapes in names.items()}


@attrs.frozen
class Work:
    """A run, as far as the choice of its target asks for it."""

    circuit: TransformerCircuit
    size: BlockSize
    steps: int

    def shape(self) -> BlockSize:
        """Size of the network."""
        return self.size

    @property
    def numpy_seconds(self) -> float:
        """Rough time on the numpy target: synapses are listed, set, and some of them cross in every step."""
        return 0.2 + SECONDS_A_SYNAPSE * self.circuit.synapses(self.size) * (1 + 0.02 * self.steps)
