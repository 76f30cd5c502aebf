"""Spiking self-attention: tokens in, attention spikes and routed values out, nothing but neurons in between.

    S^Q, S^K, S^V = LIF(S^X W_Q), LIF(S^X W_K), LIF(S^X W_V)
    u_ij += charge * S^Q_i . S^K_j              score membrane, charged by coincidences (`circuits.coincidence`)
    drive_ij = R0*exp(u_ij - reference_i)       into a softmax circuit: row i of attention neurons under its inhibition
    O_id += sum_j S^A_ij S^V_jd                 an attention spike i -> j routes the value spikes of token j to output i

All products of spikes are coincidences within a step, so scores and outputs are the matrix products S^Q (S^K)^T and
S^A S^V. Queries, keys and values are signed, as ON and OFF populations; so are the outputs, of which the ON neurons
relay the ON values and the OFF neurons the OFF values. The read-out divides a row's output spikes by its attention
spikes.

Modes
-----
staged
    The theorem: coincidences of T steps charge a membrane that does not leak, which is then held while the attention
    neurons spike for another T steps.
streaming
    The biophysics: the membrane leaks with tau_s, and everything happens at once. Its fluctuations bias the attention:
    a fast inhibition normalises every moment by itself, E[softmax(u)], a slow one only the mean intensities,
    E[exp(u_i)]/sum E[exp(u_j)], which exceed exp(E u) by exp(var/2) (Jensen). Both vanish as tau_s grows.

The level of the logits is not known beforehand. Each row has a reference potential, its integral inhibition: it starts
so high that the row is silent, falls by `release` a step until the row has spiked a few times, and from then on falls
at w*R0 and rises by w a spike, which pins the row's rate to R0. It is one factor exp(-reference) for the whole row, a
common gate, and leaves the shares alone. `escape` and `integrate` have no other inhibition here. The window is measured
from `settle` steps after the attention neurons are let go.

Circuits whose inhibition is subtracted (`circuits.softmax.threshold_linear`) have no such factor to use. Their drive is
gain*exp(u_ij - m_i), m_i the largest logit of the row in the limit, fixed before the run, and their rows have the
circuit's own inhibition alone: see `circuits.attention_rows`. Their limit is the fixed point of that inhibition.

Ties: attention spikes of one row in the same step all route; an output neuron that owes several spikes emits one a
step. Latency: input -> score 2 steps (and the axonal delay), attention spike -> output 1 step.

References: section 3 of arXiv:2604.15769; for the score membrane and the escape rate, Gerstner, Kistler, Naud,
Paninski, *Neuronal Dynamics* (2014), section 9.1.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import attrs
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike.circuit import KEY_STRIDE, Batch, Shape
from biospike.errors import InputError
from biospike.multihead import multihead_projections
from biospike.parameters import choice, flag, number, optional_number, quantity, whole
from biospike.random import MOST_STEPS
from biospike.session import assemble
from biospike.spike_words import COINCIDENCES
from biospike.standalone import RunError
from circuits.attention_limit import AttentionLimit
from circuits.attention_rows import DrivenRows, PinnedRows, Rows
from circuits.coincidence import SCORE_DIMS, read_words, score_equations, score_size
from circuits.projection import (
    POPULATION_STRIDE,
    BlockShape,
    Slots,
    Vocabulary,
    checkpoint_state,
    spell,
)
from circuits.routing import route
from circuits.softmax import COMMON_GATES, THRESHOLD_LINEAR, CommonGate, Escape, ThresholdLinear
from circuits.spike_record import record_block
from circuits.streams import bias_vector, weight_matrix, weights_come_first
from circuits.token_circuit import NEVER, Timing, read_marks, read_total

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

RowCircuit = CommonGate | ThresholdLinear
ROW_CIRCUITS: tuple[str, ...] = (*COMMON_GATES, *THRESHOLD_LINEAR)
"""Names of the circuits that a block can have in its rows."""
GAIN = 0.1
"""Drive of the largest logit, thresholds a step, at which outputs can relay what a row of some ten keys routes."""


def softmax_circuit(name: str, gain: float = GAIN) -> RowCircuit:
    """Circuit of the rows at the rate of a block.

    Parameters
    ----------
    name
        One of `ROW_CIRCUITS`.
    gain
        Thresholds a step of the largest logit, of those whose inhibition is subtracted. The others are held at 0.1
        attention spikes a row and step.
    """
    if name in THRESHOLD_LINEAR:
        return THRESHOLD_LINEAR[name](gain=gain, dt=1 * b2.ms)
    return COMMON_GATES[name](rate=100 * b2.Hz, dt=1 * b2.ms)


def check_softmax(instance: Any, attribute: Any, value: Any) -> None:
    """Accept circuits that `circuits.attention_rows` knows how to drive."""
    if not isinstance(value, RowCircuit):
        raise InputError(
            f"{type(instance).__name__}: softmax must be a circuit under a common gate or one whose inhibition is "
            f"subtracted ({', '.join(ROW_CIRCUITS)}), got {value!r}"
        )


@attrs.frozen(eq=False, field_transformer=weights_come_first)
class SpikingAttention(AttentionLimit):
    """Spiking self-attention of several heads; see also the parameters of `circuits.streams.Streams`.

    Parameters
    ----------
    W_v : array (features, heads*width)
        Weights of the values, of any sign.
    b_v : array (heads*width,), optional
        Biases of the values.
    mode
        ``staged`` or ``streaming``.
    softmax
        Circuit of the rows: under a common gate, with its grid `dt` and rate R0, R0*dt the attention spikes a row and
        step; or one whose inhibition is subtracted, with its gain. `w`, `start`, `release` and `first_spikes` are of
        the former alone.
    tau_s
        Time constant of the score membrane in the streaming mode.
    score_scale
        Factor of the scores, in nats per query times key; None for width**-0.5.
    causal
        Whether a token attends only to itself and those before it.
    w
        Nats by which a spike of the row raises its reference potential.
    start
        Reference potential at which rows start, in nats: above the logits, so that they are silent.
    release
        Nats by which it falls a step until the row has spiked `first_spikes` times. It then has a hazard of about
        release*first_spikes a step, which must be below 1, or the row would owe spikes.
    first_spikes
        A single spike may come by chance long before the reference reaches the logits.
    settle
        Steps between letting the attention neurons go and the measured window.
    """

    name: ClassVar[str] = "attention"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "gerstner2014")
    fused: ClassVar[str | None] = "attention"
    streams: ClassVar[tuple[str, ...]] = ("query", "key", "value")
    dims: ClassVar[dict[str, tuple[str, ...]]] = {
        "coincidences": SCORE_DIMS,
        "attention_count": SCORE_DIMS,
        "driven": SCORE_DIMS,
        "output_count": ("head", "query", "unit", "sign"),
        **dict.fromkeys(("spikes_encoder", "spikes_qkv", "spikes_attention", "spikes_output"), ()),
    }
    W_v: NDArray[np.float64] = attrs.field(converter=weight_matrix)  # type: ignore[misc]  # those before are keywords
    b_v: NDArray[np.float64] | None = attrs.field(default=None, converter=bias_vector)
    mode: str = choice("streaming", "staged", "streaming")
    softmax: RowCircuit = attrs.field(factory=lambda: Escape(rate=100 * b2.Hz, dt=1 * b2.ms), validator=check_softmax)
    tau_s: Quantity = quantity(1 * b2.second, above=0 * b2.ms)
    score_scale: float | None = optional_number(None)
    causal: bool = flag(False)
    w: float = number(0.1, above=0)
    start: float = number(12.0)
    release: float = number(0.2, above=0)
    first_spikes: int = whole(3, minimum=1, maximum=MOST_STEPS)
    settle: int = whole(128, minimum=0, maximum=MOST_STEPS)

    @classmethod
    def from_torch(cls, module: Any, tokens: ArrayLike, **parameters: Any) -> Self:
        """Block with the projections of an ``nn.MultiheadAttention``, its scales fitted to tokens.

        The block has no output projection: `ordinary` gives what the module hands to its own.

        Parameters
        ----------
        module
            Of torch, with queries, keys and values of one width.
        tokens
            Values (tokens, features) or (samples, tokens, features) in [0, 1], whatever `batch_first`.
        parameters
            Of the block, besides weights, biases and heads.

        Raises
        ------
        InputError
            If it is no such module, or the tokens do not fit.
        """
        return cls(**multihead_projections(module), heads=module.num_heads, **parameters).fitted(tokens)

    @property
    def matrices(self) -> tuple[NDArray[np.float64], ...]:
        """Weights of the streams."""
        return self.W_q, self.W_k, self.W_v

    @property
    def given_biases(self) -> tuple[NDArray[np.float64] | None, ...]:
        """Biases of the streams, None for none."""
        return self.b_q, self.b_k, self.b_v

    @property
    def fused_parts(self) -> tuple[Any, ...]:
        """See `TokenCircuit`: inputs and rows."""
        return self.encoder, self.softmax

    def cut(self, features: int, heads: int) -> Self:
        """See `TokenCircuit`: scores forget within 20 steps, and rows settle within 128."""
        units, streams = heads * self.width, [stream[0] for stream in self.streams]
        small: dict[str, Any] = {
            "heads": heads,
            "scales": self.known_scales[:, :heads],
            "tau_s": min(self.tau_s, 20 * self.dt),
            "settle": min(self.settle, 128),
        }
        for stream, matrix, bias in zip(streams, self.matrices, self.given_biases, strict=True):
            small |= {f"W_{stream}": matrix[:features, :units], f"b_{stream}": None if bias is None else bias[:units]}
        return attrs.evolve(self, **small)

    @property
    def staged(self) -> bool:  # type: ignore[override]
        """Whether every window is a run of its own."""
        return self.mode == "staged"

    @property
    def structure(self) -> dict[str, Any]:
        """Everything that `build` reads besides the size."""
        return super().structure | {"softmax": self.softmax.name, "of softmax": self.softmax.structure}

    def check(self, dt: Quantity) -> None:
        """Require a grid that the softmax circuit accepts, and a delay on it."""
        super().check(dt)
        self.softmax.check(dt)
        self.rows.check(dt)

    @property
    def rows(self) -> Rows:
        """How the keys of the rows are driven."""
        if isinstance(self.softmax, ThresholdLinear):
            return DrivenRows(self, self.softmax)
        return PinnedRows(self, self.softmax)

    @property
    def gate(self) -> CommonGate:
        """The circuit of rows whose rate is pinned; for any other an `InputError`."""
        if not isinstance(self.softmax, CommonGate):
            raise InputError(f"{self.name}: rows of {self.softmax.name} have a rate that nothing pins")
        return self.softmax

    @property
    def keep(self) -> float:
        """What a score membrane keeps in a step."""
        return 1.0 if self.staged else float(np.exp(-float(self.dt / self.tau_s)))

    def check_input(self, x: NDArray[np.float64]) -> None:
        """See `TokenCircuit`: rates within reach, and logits that the rows can make attention of."""
        super().check_input(x)
        self.rows.check_input(x)

    def record(self, tokens: ArrayLike, **options: Any) -> xr.Dataset:
        """Spikes and variables of one presentation; options as of `circuits.spike_record.record_block`."""
        return record_block(self, tokens, **options)

    def build(self, shape: BlockShape) -> b2.Network:
        """Network from ``encoder`` to ``outputs``; runs nothing."""
        return assemble(*self.wire(shape)[0])

    def wire(
        self, shape: BlockShape, source: b2.NeuronGroup | None = None, prefix: str = ""
    ) -> tuple[list[Any], b2.NeuronGroup]:
        """Wire the block behind a source of token spikes, and return it with its outputs.

        Parameters
        ----------
        source
            Neurons (slot, token, feature); None makes an encoder.
        prefix
            Put before the names of the groups.
        """
        vocabulary = Vocabulary.of(shape)
        front, axons = self.wire_streams(shape, vocabulary, source, prefix)
        equations, count = score_equations(shape)
        rows = shape.slots * shape.heads * shape.tokens
        attention = self.softmax.build(
            Shape(
                rows,
                rows * shape.tokens,
                shape.checkpoints,
                hub_index=np.arange(rows).repeat(shape.tokens),
                source=self.rows.source(equations, shape.checkpoints),
                prefix=prefix,
            )
        )
        keys, hub = attention[f"{prefix}keys"], attention[f"{prefix}hub"]
        keys.namespace.update(COINCIDENCES)
        read_words(keys, axons, vocabulary, shape)
        self.rows.wire(keys, hub, count, shape.checkpoints, prefix)
        place, keys.bit = vocabulary.of_attention(shape)
        routing = spell(keys, axons, place, f"{prefix}routing")
        outputs = route(shape, vocabulary, axons, prefix)
        return [*front, axons, *attention.objects, routing, outputs], outputs

    def timing(self, window: int, dt: Quantity, origin: int = 0) -> Timing:
        """Score stage or warm-up of five tau_s, then `settle` steps, then the window."""
        start = origin + self.latency(dt)
        attend = start + (window if self.staged else int(np.ceil(5 * float(self.tau_s / dt))))
        onset = attend + self.settle
        # The last attention spikes reach the outputs one step later.
        return Timing(start, attend if self.staged else NEVER, attend, onset, onset + window + 1)

    def state(
        self, shape: BlockShape, slots: Slots, marks: NDArray[np.int64], window: int, dt: Quantity
    ) -> dict[str, Any]:
        """Initial state of the network; counts are read `marks` steps after the onset."""
        return self.encoder_state(shape, slots) | self.block_state(shape, slots, marks, window, dt)

    def block_state(
        self,
        shape: BlockShape,
        slots: Slots,
        marks: NDArray[np.int64],
        window: int,
        dt: Quantity,
        *,
        origin: int = 0,
        layer: int = 0,
        prefix: str = "",
    ) -> dict[str, Any]:
        """Initial state of what `wire` makes behind the source."""
        timing = self.timing(window, dt, origin)
        rows = slots.sample[:, None] * shape.heads * shape.tokens + np.arange(shape.heads * shape.tokens)
        unmasked = np.broadcast_to(slots.unmasked[:, None], score_size(shape))
        batch = Batch(
            self.rows.blank(unmasked.reshape(-1, shape.tokens)),
            slots.trial.repeat(shape.heads * shape.tokens),
            rows.ravel() + (2 + 2 * layer) * POPULATION_STRIDE // KEY_STRIDE,
            slots.seed,
        )
        own: dict[str, Any] = attrs.evolve(self.softmax, dt=dt).state(batch, dt)
        del own["keys.drive"]
        if self.phase is not None:
            own[f"keys.{self.softmax.membrane}"] = self.phase
        if "hub.w" in own:
            own["hub.w"] = 0.0  # the reference takes the place of the circuit's own integral inhibition
        charge = self.nats / window if self.staged else self.nats * (1 - self.keep)
        own |= self.rows.state(shape, slots, dt) | {
            "keys.seed": slots.seed,
            "keys.trial": batch.trial.repeat(shape.tokens),
            "keys.index": batch.index.ravel(),
            "keys.keep": self.keep,
            "keys.charge": np.broadcast_to(charge[:, None, None], score_size(shape)),
            "keys.unmasked": unmasked.astype(float),
            "keys.score_from": timing.score_from,
            "keys.score_to": timing.score_to,
            "hub.attend_from": timing.attend_from,
        }
        state = {f"{prefix}{name}": value for name, value in own.items()}
        state |= self.stream_state(shape, slots, from_step=origin, population=1 + 2 * layer, prefix=prefix)
        before_outputs = [*(["encoder"] if not prefix else []), f"{prefix}neurons", f"{prefix}keys"]
        state |= checkpoint_state(before_outputs, timing.onset + marks)
        return state | checkpoint_state([f"{prefix}outputs"], timing.onset + marks + 1)

    def wanted(self, checkpoints: int, prefix: str = "") -> list[str]:
        """Variables that `collect` reads."""
        counted = [f"{prefix}{name}" for name in ("neurons.count", "keys.count", "keys.A", "outputs.count")]
        counted += [f"{prefix}keys.{name}" for name in self.rows.counted]
        counted += [] if prefix else ["encoder.count"]
        totals = [f"{prefix}keys.spike_count", f"{prefix}hub.row_spikes"]
        return [*totals, *(f"{name}_{c}" for c in range(checkpoints) for name in counted)]

    def collect(
        self, shape: BlockShape, result: dict[str, NDArray[Any]], checkpoints: int, prefix: str = ""
    ) -> dict[str, NDArray[Any]]:
        """Counts of the window, and spikes of all populations since the start of the run.

        Raises
        ------
        biospike.standalone.RunError
            If keys and rows disagree.
        """
        keys = score_size(shape)
        attention = read_marks(result, f"{prefix}keys.count", checkpoints, keys)
        if not np.array_equal(
            result[f"{prefix}keys.spike_count"].reshape(-1, shape.tokens).sum(axis=1), result[f"{prefix}hub.row_spikes"]
        ):
            raise RunError(f"{self.name}: the rows did not count the spikes of their keys")
        size = (shape.slots, shape.tokens, shape.heads, shape.width, 2)
        outputs = np.moveaxis(read_marks(result, f"{prefix}outputs.count", checkpoints, size), 1, 2)
        scores = read_marks(result, f"{prefix}keys.A", checkpoints, keys)
        # In the staged mode the scores were complete before the window began.
        scored = scores[..., 1:] - (0 if self.staged else scores[..., :1])
        totals = {
            "spikes_qkv": read_total(result, f"{prefix}neurons.count", checkpoints, shape.slots),
            "spikes_attention": attention.sum(axis=(1, 2, 3)),
            "spikes_output": outputs.sum(axis=(1, 2, 3, 4)),
        }
        if not prefix:
            totals["spikes_encoder"] = read_total(result, "encoder.count", checkpoints, shape.slots)
        sums = {name: read_marks(result, f"{prefix}keys.{name}", checkpoints, keys) for name in self.rows.counted}
        return {
            **{name: values[..., 1:] - values[..., :1] for name, values in sums.items()},
            "coincidences": scored,
            "attention_count": attention[..., 1:] - attention[..., :1],
            "output_count": outputs[..., 1:] - outputs[..., :1],
            **{name: values[:, 1:] for name, values in totals.items()},
        }
