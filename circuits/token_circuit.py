"""What `circuits.presentation.present` runs: circuits that read tokens, and how their windows and counts are told."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.arrays import bool_array, float_array
from biospike.errors import InputError
from biospike.random import MOST_STEPS
from circuits.projection import BlockShape, Slots

import brian2 as b2
from brian2.units.fundamentalunits import Quantity


class Timing(NamedTuple):
    """Steps at which things begin.

    Attributes
    ----------
    score_from, score_to
        Coincidences count in steps score_from <= t < score_to.
    attend_from
        From here attention neurons may spike.
    onset, end
        The measured window.
    """

    score_from: int
    score_to: int
    attend_from: int
    onset: int
    end: int


NEVER = MOST_STEPS
ATTEND = "True or 1 is a key that is attended to, as in Hugging Face's attention_mask"


def read_marks(result: dict[str, NDArray[Any]], name: str, checkpoints: int, size: tuple[int, ...]) -> NDArray[Any]:
    """Cumulative values at every checkpoint, (*size, checkpoints)."""
    return np.stack([result[f"{name}_{c}"].reshape(size) for c in range(checkpoints)], axis=-1)


def read_total(result: dict[str, NDArray[Any]], name: str, checkpoints: int, slots: int) -> NDArray[np.int64]:
    """Cumulative spikes of a whole population at every checkpoint, (slots, checkpoints)."""
    return read_marks(result, name, checkpoints, (slots, -1)).sum(axis=1)


class TokenCircuit(abc.ABC):
    """What `circuits.presentation.present` runs: a network that reads tokens.

    Attributes
    ----------
    name : str
    staged : bool
        Whether every window is a run of its own.
    dims : dict
        What `collect` returns, and its dimensions between that of the slots and that of the checkpoints.
    features, heads, width : int
        Values of a token, heads, and units of a head (d_k).
    dt : Quantity
        Grid.
    fused : str or None
        Kernel of `biospike.fused`, as of `biospike.circuit.Circuit`.
    """

    name: ClassVar[str]
    fused: ClassVar[str | None] = None
    staged: bool
    dims: ClassVar[dict[str, tuple[str, ...]]]
    features: int
    heads: int
    width: int
    dt: Quantity

    @property
    @abc.abstractmethod
    def structure(self) -> dict[str, Any]:
        """Everything that `build` reads besides the size."""

    @property
    def fused_parts(self) -> tuple[Any, ...]:
        """What must have a kernel of its own if the circuit has one."""
        return ()

    def cut(self, features: int, heads: int) -> Self:
        """Return the circuit of the first features and heads that is fast at its window: one that has a kernel."""
        raise NotImplementedError(f"{self.name} has no kernel")

    @abc.abstractmethod
    def sizes(self, shape: BlockShape) -> dict[str, int]:
        """Neurons of the largest groups, and synapses between two, by what they are."""

    @abc.abstractmethod
    def check(self, dt: Quantity) -> None:
        """Raise `InputError` if the parameters do not fit together or the step `dt` is too coarse for them."""

    @abc.abstractmethod
    def fitted(self, x: ArrayLike) -> Self:
        """Return the circuit with scales fitted to these tokens, unless they are set."""

    @abc.abstractmethod
    def check_input(self, x: NDArray[np.float64]) -> None:
        """Raise `InputError` if these tokens (samples, tokens, features) are out of reach of the circuit."""

    @abc.abstractmethod
    def describe(self) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
        """Weights and scales that a result stores: name -> (dimensions, array)."""

    @abc.abstractmethod
    def build(self, shape: BlockShape) -> b2.Network:
        """Network of this size; runs nothing."""

    @abc.abstractmethod
    def state(
        self, shape: BlockShape, slots: Slots, marks: NDArray[np.int64], window: int, dt: Quantity
    ) -> dict[str, Any]:
        """Initial values of the network by ``group.name``; counts are read `marks` steps after the onset."""

    @abc.abstractmethod
    def wanted(self, checkpoints: int) -> list[str]:
        """Variables that `collect` reads."""

    @abc.abstractmethod
    def collect(self, shape: BlockShape, result: dict[str, NDArray[Any]], checkpoints: int) -> dict[str, NDArray[Any]]:
        """Counts by slot, (slots, ..., checkpoints - 1), from the first checkpoint, the onset, to each other."""

    @abc.abstractmethod
    def timing(self, window: int, dt: Quantity, origin: int = 0) -> Timing:
        """Steps of a measured window of so many steps, if the input spikes from step `origin` on."""

    def unmasked(self, key_mask: ArrayLike | None, samples: int, tokens: int) -> NDArray[np.bool_]:
        """Which keys each query may attend to, (samples, queries, keys).

        Parameters
        ----------
        key_mask : array (tokens,) or (samples, tokens) of bool, or of 0 and 1, optional
            True for tokens that are attended to; False for padding tokens, to which nobody attends.
        """
        given = np.ones((samples, tokens), dtype=bool) if key_mask is None else key_mask
        keys = bool_array(given, "key_mask", ATTEND)
        if keys.shape not in ((tokens,), (samples, tokens)):
            raise InputError(
                f"key_mask must be bool of shape ({tokens},) or ({samples}, {tokens}), where {ATTEND}; got {keys.shape}"
            )
        return np.broadcast_to(np.broadcast_to(keys, (samples, tokens))[:, None, :], (samples, tokens, tokens))


def as_samples(x: ArrayLike, features: int) -> NDArray[np.float64]:
    """Inputs (samples, tokens, features) from one or several.

    Raises
    ------
    InputError
        If the shape does not fit or a value is outside [0, 1].
    """
    values = float_array(x, "tokens")
    samples = values[None] if values.ndim == 2 else values
    if samples.ndim != 3 or samples.size == 0 or samples.shape[2] != features:
        raise InputError(
            f"tokens must have the shape (tokens, {features}) or (samples, tokens, {features}), as the weights say; "
            f"got {values.shape}"
        )
    outside = ~((samples >= 0) & (samples <= 1))
    if outside.any():
        raise InputError(f"tokens must lie in [0, 1], the rates of the encoders; got {samples[outside][0]}")
    return samples
