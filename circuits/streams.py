"""Queries, keys and values of several heads: parameters, rates and wiring that circuits of tokens share."""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar, Self

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.arrays import float_array, positive_array, refuse_not_finite
from biospike.circuit import check_multiple
from biospike.encoding import Bernoulli, Encoder
from biospike.errors import InputError
from biospike.parameters import choice, number, optional_number, parse_quantity, quantity, whole
from biospike.theory.leaky_rate import leaky_lif_rate
from circuits import projection
from circuits.projection import BlockShape, Slots, Vocabulary
from circuits.token_circuit import TokenCircuit, as_samples

import brian2 as b2
from brian2.units.fundamentalunits import Quantity


def no_leak_or_time(value: Any) -> Quantity | None:
    """Converter of tau_m: a time above 0, or None or "inf" for no leak."""
    if value is None or (isinstance(value, str) and value.strip() == "inf"):
        return None
    tau = parse_quantity(value, like=20 * b2.ms)
    if tau <= 0 * b2.second:
        raise InputError(f"tau_m must be above 0 s, or None for no leak, got {tau}")
    return tau


def check_encoder(instance: Any, attribute: Any, value: Any) -> None:
    """Accept encoders."""
    if not isinstance(value, Encoder):
        raise InputError(f"{type(instance).__name__}: encoder must be one such as Bernoulli(), got {value!r}")


def weight_matrix(value: ArrayLike) -> NDArray[np.float64]:
    """Converter of weights."""
    matrix = float_array(value, "weights")
    if matrix.ndim != 2 or matrix.size == 0:
        raise InputError(f"weights must be a finite matrix (features, heads*width), got shape {matrix.shape}")
    refuse_not_finite(matrix, "a matrix of weights")
    return matrix


def bias_vector(value: ArrayLike | None) -> NDArray[np.float64] | None:
    """Converter of biases."""
    if value is None:
        return None
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"biases must be numbers (heads*width,), or None for none, got {value!r}") from None


def _leaky_rates(weights: NDArray[np.float64], x: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
    """`leaky_lif_rate`, remembered: a minute for large blocks, and every check and limit asks for the same."""
    return _remembered_rates(np.ascontiguousarray(weights).tobytes(), np.ascontiguousarray(x).tobytes(), len(x), beta)


@functools.lru_cache(maxsize=64)
def _remembered_rates(weights: bytes, x: bytes, inputs: int, beta: float) -> NDArray[np.float64]:
    values = np.frombuffer(x).reshape(inputs, -1)
    return leaky_lif_rate(np.frombuffer(weights).reshape(values.shape[1], -1), values, beta)


def weights_come_first(cls: type, fields: list[Any]) -> list[Any]:
    """Let weights, not biases, be positional arguments and nothing else, in base and derived classes."""
    return [field if field.name.startswith("W_") else field.evolve(kw_only=True) for field in fields]


@attrs.frozen(eq=False, field_transformer=weights_come_first)
class Streams(TokenCircuit):
    """Populations of queries, keys and values of several heads, driven by the spikes of tokens.

    Parameters
    ----------
    W_q, W_k : array (features, heads*width)
        Weights, of any sign.
    heads
        Number of heads.
    b_q, b_k : array (heads*width,), optional
        Biases: constant input of every unit at every step, beside its synapses and scaled as they are.
    scales : array (streams, heads), optional
        Spikes per step that stand for a query, key (or value) of 1. None: `fitted` chooses them.
    peak_rate
        Spikes per step, at most 1, of the largest query and key that `fitted` aims at.
    encoder
        How values in [0, 1] become spikes.
    encoders
        ``separate``: every stream has input spikes of its own; ``shared``: one spike drives them all.
    delay
        Axonal delay of the keys, a multiple of `dt`.
    tau_m
        Membrane time constant; None for no leak.
    phase
        Initial phase in [0, 1) of all membranes; None draws each of them. With a regular encoder a fixed phase makes
        the network deterministic.
    dt
        Grid: the steps that T counts.
    """

    streams: ClassVar[tuple[str, ...]] = ("query", "key")
    W_q: NDArray[np.float64] = attrs.field(converter=weight_matrix)
    W_k: NDArray[np.float64] = attrs.field(converter=weight_matrix)
    heads: int = whole(1, minimum=1)
    b_q: NDArray[np.float64] | None = attrs.field(default=None, converter=bias_vector)
    b_k: NDArray[np.float64] | None = attrs.field(default=None, converter=bias_vector)
    scales: NDArray[np.float64] | None = None
    peak_rate: float = number(0.8, above=0, maximum=1)
    encoder: Encoder = attrs.field(factory=Bernoulli, validator=check_encoder)
    encoders: str = choice("separate", "separate", "shared")
    delay: Quantity = quantity(0 * b2.ms, minimum=0 * b2.ms)
    tau_m: Quantity | None = attrs.field(default=None, converter=no_leak_or_time)
    phase: float | None = optional_number(None, minimum=0, below=1)
    dt: Quantity = quantity(1 * b2.ms, above=0 * b2.ms)

    def __attrs_post_init__(self) -> None:
        name, shapes = type(self).__name__, {matrix.shape for matrix in self.matrices}
        if len(shapes) > 1:
            raise InputError(f"{name}: the weights must have one shape, got {sorted(shapes)}")
        if self.heads < 1 or self.W_q.shape[1] % self.heads:
            raise InputError(f"{name}: heads must divide the {self.W_q.shape[1]} columns of W_q, got {self.heads}")
        columns = self.W_q.shape[1]
        for stream, bias in zip(self.streams, self.given_biases, strict=True):
            if bias is not None and (bias.shape != (columns,) or not np.isfinite(bias).all()):
                found = f"shape {bias.shape}" if bias.shape != (columns,) else f"{bias[~np.isfinite(bias)][0]}"
                raise InputError(f"{name}: b_{stream[0]} must be finite, one of each of {columns} columns, got {found}")

    @property
    def matrices(self) -> tuple[NDArray[np.float64], ...]:
        """Weights of the streams."""
        return self.W_q, self.W_k

    @property
    def given_biases(self) -> tuple[NDArray[np.float64] | None, ...]:
        """Biases of the streams, None for none."""
        return self.b_q, self.b_k

    @property
    def biases(self) -> NDArray[np.float64]:
        """Biases (streams, heads*width), 0 for none."""
        none = np.zeros(self.W_q.shape[1])
        return np.stack([none if bias is None else bias for bias in self.given_biases])

    @property
    def features(self) -> int:  # type: ignore[override]
        """Values of a token."""
        return int(self.W_q.shape[0])

    @property
    def width(self) -> int:  # type: ignore[override]
        """Units of a head, d_k."""
        return int(self.W_q.shape[1] // self.heads)

    @property
    def copies(self) -> int:
        """Encoders of a token."""
        return len(self.streams) if self.encoders == "separate" else 1

    @property
    def structure(self) -> dict[str, Any]:
        """Everything that `build` reads besides the size."""
        return {"encoder": self.encoder.name, "copies": self.copies, "delay": float(self.delay)}

    def sizes(self, shape: BlockShape) -> dict[str, int]:
        """See `TokenCircuit`."""
        tokens, streams = shape.slots * shape.tokens, len(self.streams)
        return {
            "input neurons": tokens * self.copies * shape.features,
            "neurons of queries, keys and values": 2 * tokens * streams * shape.units,
            "synapses of the weights": tokens * shape.features * streams * shape.units,
            "score neurons": tokens * shape.heads * shape.tokens,
            "spike words": sum(map(math.prod, Vocabulary.layout(shape))),
        }

    def check(self, dt: Quantity) -> None:
        """Require a delay on the grid."""
        check_multiple(self.name, "delay", self.delay, dt)

    def units(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Signed queries, keys (and values) X @ W + b, shape (samples, tokens, streams, heads, width)."""
        size = (*x.shape[:-1], self.heads, self.width)
        pairs = zip(self.matrices, self.biases, strict=True)
        return np.stack([(x @ matrix + bias).reshape(size) for matrix, bias in pairs], axis=2)

    def fitted(self, x: ArrayLike) -> Self:
        """Return a block whose `scales` give the largest query, key and value of each head the peak rate.

        Data-based weight normalisation (Diehl et al. 2015), over these tokens. Scales that are set are kept.
        """
        return self.fit(as_samples(x, self.features))

    def fit(self, y: NDArray[np.float64]) -> Self:
        """As `fitted`, for inputs (samples, tokens, features) of any sign."""
        if self.scales is not None:
            return self
        largest = np.abs(self.units(y)).max(axis=(0, 1, 4))
        return attrs.evolve(self, scales=self.peak_rate / np.where(largest > 0, largest, 1.0))

    @property
    def known_scales(self) -> NDArray[np.float64]:
        """Scales (streams, heads), which must be set."""
        if self.scales is None or np.shape(self.scales) != (len(self.streams), self.heads):
            raise InputError(
                f"{self.name}: scales must have the shape {(len(self.streams), self.heads)}, got "
                f"{None if self.scales is None else np.shape(self.scales)}; fitted(tokens) chooses them"
            )
        return positive_array(self.scales, f"{self.name}: scales")

    def scaled_weights(self) -> NDArray[np.float64]:
        """Weights in thresholds for an input of one spike a step, (streams, features, heads*width)."""
        return np.stack(self.matrices) * self._scale_per_unit[:, None, :]

    def scaled_biases(self) -> NDArray[np.float64]:
        """Biases in thresholds a step, (streams, heads*width)."""
        return self.biases * self._scale_per_unit

    @property
    def _scale_per_unit(self) -> NDArray[np.float64]:
        return self.known_scales.repeat(self.width, axis=1)

    def rates(self, x: ArrayLike) -> NDArray[np.float64]:
        """Spikes per step of the ON and OFF neurons, shape (samples, tokens, streams, heads, width, 2).

        Without a leak the positive and the negative part of the scaled units; with one, the stationary rates of leaky
        membranes under Bernoulli input.

        Raises
        ------
        InputError
            If a unit needs more than a spike a step, or there is a leak and the input is not Bernoulli.
        """
        return self.rates_of(as_samples(x, self.features))

    def rates_of(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `rates`, for inputs (samples, tokens, features) of any sign, which only leakless membranes can have."""
        drive = self.units(y) * self.known_scales[:, :, None]
        if np.abs(drive).max() > 1 + 1e-9:
            raise InputError(
                f"{self.name}: a unit needs {np.abs(drive).max():.3g} spikes a step and can have 1; lower its scale"
            )
        if self.tau_m is None:
            return np.maximum(np.stack([drive, -drive], axis=-1), 0.0)
        if not isinstance(self.encoder, Bernoulli):
            raise InputError(f"{self.name}: rates with a leak are known for Bernoulli input, got {self.encoder.name}")
        beta = float(np.exp(-float(self.dt / self.tau_m)))
        # To the membranes a bias is a feature that spikes at every step.
        flat = np.pad(y.reshape(-1, self.features), ((0, 0), (0, 1)), constant_values=1.0)
        streams = np.concatenate([self.scaled_weights(), self.scaled_biases()[:, None]], axis=1)
        both = [
            np.stack([_leaky_rates(polarity * stream, flat, beta) for stream in streams], axis=1)
            for polarity in (1, -1)
        ]
        return np.stack([one.reshape(drive.shape) for one in both], axis=-1)

    def signed_rates(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """What ON and OFF rates stand for: `units` as far as the neurons carry them, in the same shape."""
        rates = self.rates_of(y)
        return np.asarray((rates[..., 0] - rates[..., 1]) / self.known_scales[:, :, None])

    def products(self, x: ArrayLike) -> NDArray[np.float64]:
        """Limit of A/T, in queries times keys, (samples, heads, queries, keys): what independent trains give."""
        carried = self.signed_rates(as_samples(x, self.features))
        return np.einsum("sihe,sjhe->shij", carried[:, :, 0], carried[:, :, 1])

    def wire_streams(
        self, shape: BlockShape, vocabulary: Vocabulary, source: b2.NeuronGroup | None = None, prefix: str = ""
    ) -> tuple[list[Any], b2.NeuronGroup]:
        """Wire the path from input spikes to spike words, and return it with the group of the words.

        Parameters
        ----------
        source
            Neurons (slot, token, feature) that drive the streams; None makes an encoder.
        prefix
            Put before the names of the groups.
        """
        copies, streams = self.copies, len(self.streams)
        front: list[Any] = []
        if source is None:
            size = shape.slots * shape.tokens * copies * shape.features
            source = self.encoder.build(size, "encoder", shape.checkpoints)
            front.append(source)
        else:
            copies = 1
        dendrites = projection.dendrites(shape.slots * shape.tokens * streams * shape.units, f"{prefix}dendrites")
        neurons = projection.lif_pairs(dendrites, f"{prefix}neurons", shape.checkpoints)
        place, neurons.bit = vocabulary.of_projections(shape, streams)
        axons = projection.word_group(vocabulary.size, f"{prefix}axons")
        fan = streams * shape.units // copies
        features = len(source) // (shape.slots * shape.tokens * copies)
        weights = projection.connect(source, dendrites, features, fan, f"{prefix}weights")
        spelling = projection.spell(neurons, axons, place, f"{prefix}spelling")
        if self.delay > 0 * b2.second:
            neurons_of = (shape.slots, shape.tokens, streams, shape.heads, shape.width, 2)
            is_key = np.broadcast_to((np.arange(streams) == 1).reshape(-1, 1, 1, 1), neurons_of)
            spelling.delay = np.where(is_key.ravel(), float(self.delay), 0.0) * b2.second
        return [*front, dendrites, neurons, weights, spelling], axons

    def latency(self, dt: Quantity) -> int:
        """Steps from an input spike to the count of the spikes it causes."""
        return 2 + round(float(self.delay / dt))

    def encoder_state(self, shape: BlockShape, slots: Slots) -> dict[str, Any]:
        """Initial state of the encoder of `wire_streams`, and the weights behind it."""
        weights = self.scaled_weights() / self.encoder.full_count(1)
        if self.copies == 1:
            weights = np.concatenate(weights, axis=1)
        state = projection.encoder_state(self.encoder, slots, shape, self.copies, self.phase)
        return state | {"weights.w": projection.synaptic_weights(weights, shape)}

    def stream_state(
        self, shape: BlockShape, slots: Slots, *, from_step: int = 0, population: int = 1, prefix: str = ""
    ) -> dict[str, Any]:
        """Initial state of the dendrites and membranes of `wire_streams`."""
        biases = np.broadcast_to(self.scaled_biases().ravel(), (shape.slots * shape.tokens, self.biases.size))
        return {f"{prefix}dendrites.bias": biases} | projection.pair_state(
            f"{prefix}neurons",
            slots,
            2 * shape.tokens * len(self.streams) * shape.units,
            population,
            tau_m=self.tau_m,
            phase=self.phase,
            from_step=from_step,
        )

    def check_input(self, x: NDArray[np.float64]) -> None:
        """See `TokenCircuit`: every unit must do with a spike a step."""
        self.rates(x)

    def describe(self) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
        """See `TokenCircuit`: scales in spikes per step, weights and biases, 0 for none."""
        stored: dict[str, Any] = {"scales": (("stream", "head"), self.known_scales)}
        for stream, matrix, bias in zip(self.streams, self.matrices, self.biases, strict=True):
            stored |= {f"W_{stream}": (("feature", "column"), matrix), f"b_{stream}": (("column",), bias)}
        return stored
