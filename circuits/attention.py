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

Ties: attention spikes of one row in the same step all route; an output neuron that owes several spikes emits one a
step. Latency: input -> score 2 steps (and the axonal delay), attention spike -> output 1 step.

References: section 3 of arXiv:2604.15769; for the score membrane and the escape rate, Gerstner, Kistler, Naud,
Paninski, *Neuronal Dynamics* (2014), section 9.1.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike.circuit import KEY_STRIDE, Batch, Shape, Source, each_step_of
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from biospike.parameters import choice, flag, number, optional_number, quantity, whole
from biospike.random import MOST_STEPS
from biospike.session import assemble
from biospike.spike_words import COINCIDENCES
from biospike.standalone import RunError
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
from circuits.softmax import COMMON_GATES, CommonGate, Escape
from circuits.streams import Streams, bias_vector, weight_matrix, weights_come_first
from circuits.token_circuit import NEVER, Timing, as_samples, read_marks, read_total

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

KEYS = """
drive = R0_drive*exp(u - reference)*unmasked*attending : Hz
u              : 1                        # score membrane, nats
charge         : 1 (constant)             # nats a coincidence
keep           : 1 (shared, constant)     # exp(-dt/tau_s); 1 in the staged mode
unmasked       : 1 (constant)
R0_drive       : Hz (shared, constant)
reference      : 1 (linked)
attending      : 1 (linked)
bit            : integer (constant)
"""
CHARGE = "u = u*keep + charge*arrived"
ROWS = """
reference      : 1                        # log-domain inhibition of the row, nats
attending      : 1                        # 1 once the attention neurons are let go
attend_from    : integer (shared, constant)
release        : 1 (shared, constant)     # nats a step, until the first few spikes
first_spikes   : integer (shared, constant)
w_reference    : 1 (shared, constant)     # nats a spike
fall           : 1 (shared, constant)     # nats a step, w*R0*dt
"""
ROW_STEP = """
attending = int(t_in_timesteps >= attend_from)
reference -= attending*(fall + release*int(row_spikes < first_spikes))
"""


NEVER_REACHED = 1e300
"""Reference of a row without keys, as in an empty slot: from `start` it would fall until its exponential overflows."""


def score_rows(unmasked: NDArray[np.bool_], shape: BlockShape) -> NDArray[np.bool_]:
    """Whether each row (slot, head, query) has a key, flattened."""
    return np.broadcast_to(
        np.any(unmasked, axis=-1, keepdims=False)[:, None], (shape.slots, shape.heads, shape.tokens)
    ).ravel()


def softmax_circuit(name: str) -> CommonGate:
    """Circuit of the rows at the rate of a block: 0.1 attention spikes a row and step."""
    return COMMON_GATES[name](rate=100 * b2.Hz, dt=1 * b2.ms)


def check_softmax(instance: Any, attribute: Any, value: Any) -> None:
    """Accept circuits whose inhibition is a common gate: their limit is softmax, wherever the drive comes from."""
    if not isinstance(value, CommonGate):
        raise InputError(
            f"{type(instance).__name__}: softmax must be a circuit under a common gate ({', '.join(COMMON_GATES)}), "
            f"got {value!r}"
        )


@attrs.frozen(eq=False, field_transformer=weights_come_first)
class SpikingAttention(Streams):
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
        Circuit that normalises the rows, with its grid `dt` and rate R0. R0*dt is the attention spikes a row and step.
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
    streams: ClassVar[tuple[str, ...]] = ("query", "key", "value")
    dims: ClassVar[dict[str, tuple[str, ...]]] = {
        "coincidences": SCORE_DIMS,
        "attention_count": SCORE_DIMS,
        "output_count": ("head", "query", "unit", "sign"),
        **dict.fromkeys(("spikes_encoder", "spikes_qkv", "spikes_attention", "spikes_output"), ()),
    }
    W_v: NDArray[np.float64] = attrs.field(converter=weight_matrix)  # type: ignore[misc]  # those before are keywords
    b_v: NDArray[np.float64] | None = attrs.field(default=None, converter=bias_vector)
    mode: str = choice("streaming", "staged", "streaming")
    softmax: CommonGate = attrs.field(factory=lambda: Escape(rate=100 * b2.Hz, dt=1 * b2.ms), validator=check_softmax)
    tau_s: Quantity = quantity(1 * b2.second, above=0 * b2.ms)
    score_scale: float | None = optional_number(None)
    causal: bool = flag(False)
    w: float = number(0.1, above=0)
    start: float = number(12.0)
    release: float = number(0.2, above=0)
    first_spikes: int = whole(3, minimum=1, maximum=MOST_STEPS)
    settle: int = whole(128, minimum=0, maximum=MOST_STEPS)

    @property
    def matrices(self) -> tuple[NDArray[np.float64], ...]:
        """Weights of the streams."""
        return self.W_q, self.W_k, self.W_v

    @property
    def given_biases(self) -> tuple[NDArray[np.float64] | None, ...]:
        """Biases of the streams, None for none."""
        return self.b_q, self.b_k, self.b_v

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
        self.softmax.check_pinned(self.w, dt)

    @property
    def nats(self) -> NDArray[np.float64]:
        """Logit that one coincidence a step stands for, (heads,)."""
        q, k = self.known_scales[:2]
        return (self.width**-0.5 if self.score_scale is None else self.score_scale) / (q * k)

    def unmasked(self, key_mask: ArrayLike | None, samples: int, tokens: int) -> NDArray[np.bool_]:
        """As of `Streams`, without what comes after a token if the block is causal."""
        allowed = super().unmasked(key_mask, samples, tokens)
        allowed = allowed & np.tril(np.ones((tokens, tokens), dtype=bool)) if self.causal else allowed
        if not allowed.any(axis=-1).all():
            sample, query = np.argwhere(~allowed.any(axis=-1))[0]
            raise InputError(f"query {query} of sample {sample} may attend to no key: unmask at least one")
        return allowed

    def check_input(self, x: NDArray[np.float64]) -> None:
        """See `TokenCircuit`: rates within reach, and logits that the falling reference meets before the window."""
        super().check_input(x)
        self.check_logits(self.limit(x)["logits"].values)

    def check_logits(self, logits: NDArray[np.float64]) -> None:
        """Raise `InputError` unless the largest logit of every row lies where the reference passes in time."""
        top = np.nanmax(logits, axis=-1)
        lowest = self.start - self.release * self.settle
        if top.max() >= self.start or top.min() <= lowest:
            raise InputError(
                f"{self.name}: the largest logits of the rows, {top.min():.3g} to {top.max():.3g} nats, must lie "
                f"between start - settle*release = {lowest:.3g} and start = {self.start:.3g}"
            )

    def limit(self, x: ArrayLike, key_mask: ArrayLike | None = None) -> xr.Dataset:
        """Rate-domain attention to which the spikes converge: the exact softmax of products of `rates`.

        Parameters
        ----------
        x : array (tokens, features) or (samples, tokens, features)
            Values in [0, 1].
        key_mask
            As of `unmasked`.

        Returns
        -------
        xarray.Dataset
            `logits` in nats, NaN where masked, and `attention` (sample, head, query, key); `output` (sample, head,
            query, unit).
        """
        return self.limit_of(as_samples(x, self.features), key_mask)

    def limit_of(self, y: NDArray[np.float64], key_mask: ArrayLike | None = None) -> xr.Dataset:
        """As `limit`, for inputs (samples, tokens, features) of any sign, such as residual values."""
        return self._attention(self.signed_rates(y), key_mask)

    def ordinary(self, x: ArrayLike, key_mask: ArrayLike | None = None) -> xr.Dataset:
        """Ordinary softmax attention of the same weights; variables as of `limit`."""
        return self._attention(self.units(as_samples(x, self.features)), key_mask)

    def _attention(self, units: NDArray[np.float64], key_mask: ArrayLike | None) -> xr.Dataset:
        """Softmax attention of queries, keys and values (samples, tokens, streams, heads, width)."""
        q, k, v = np.moveaxis(units, 2, 0)
        products = np.einsum("sihe,sjhe->shij", q, k)
        samples, _, tokens, _ = products.shape
        scale = self.width**-0.5 if self.score_scale is None else self.score_scale
        logits = np.where(self.unmasked(key_mask, samples, tokens)[:, None], products * scale, np.nan)
        attention = softmax(logits.reshape(-1, tokens)).reshape(logits.shape)
        output = np.einsum("shij,sjhe->shie", attention, v)
        dims = ("sample", "head", "query", "key")
        return xr.Dataset(
            {"logits": (dims, logits), "attention": (dims, attention), "output": ((*dims[:3], "unit"), output)}
        )

    def read_out(self, data: xr.Dataset) -> xr.Dataset:
        """Scores, attention and outputs of the counts that `circuits.presentation.present` returns.

        Returns
        -------
        xarray.Dataset
            `logits` in nats and `attention`, (trial, sample, head, query, key, checkpoint); `output` (..., unit,
            checkpoint): signed routed spikes per attention spike of the row, in units of the values. NaN where a row
            has not spiked.
        """
        block = attrs.evolve(self, scales=data["scales"].values)
        spikes = data["attention_count"].sum("key")
        fired = spikes.where(spikes > 0)
        signed = data["output_count"].isel(sign=0).astype(float) - data["output_count"].isel(sign=1)
        return xr.Dataset(
            {
                "logits": data["coincidences"] * xr.DataArray(block.nats, dims="head") / data["timesteps"],
                "attention": data["attention_count"] / fired,
                "output": signed / (fired * xr.DataArray(block.known_scales[2], dims="head")),
            }
        ).transpose("trial", "sample", "head", "query", "key", "unit", "checkpoint")

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
                source=Source(
                    keys=KEYS + equations,
                    hub=ROWS,
                    on_spike="reference_post += w_reference_post",
                    linked=("reference", "attending"),
                ),
                prefix=prefix,
            )
        )
        keys, hub = attention[f"{prefix}keys"], attention[f"{prefix}hub"]
        keys.namespace.update(COINCIDENCES)
        read_words(keys, axons, vocabulary, shape)
        each_step_of(keys, f"{count}\n{CHARGE}", when="before_groups", name=f"{prefix}score_each_step")
        each_step_of(hub, ROW_STEP, when="before_groups", name=f"{prefix}row_each_step")
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
        batch = Batch(
            np.zeros((rows.size, shape.tokens)),
            slots.trial.repeat(shape.heads * shape.tokens),
            rows.ravel() + (2 + 2 * layer) * POPULATION_STRIDE // KEY_STRIDE,
            slots.seed,
        )
        softmax_circuit = attrs.evolve(self.softmax, dt=dt)
        own: dict[str, Any] = softmax_circuit.state(batch, dt)
        del own["keys.drive"]
        if self.phase is not None:
            own["keys.v"] = self.phase
        keep = 1.0 if self.staged else float(np.exp(-float(dt / self.tau_s)))
        charge = self.nats / window if self.staged else self.nats * (1 - keep)
        rate = float(self.softmax.rate)
        if "hub.w" in own:
            own["hub.w"] = 0.0  # the reference takes the place of the circuit's own integral inhibition
        own |= {
            "keys.seed": slots.seed,
            "keys.trial": batch.trial.repeat(shape.tokens),
            "keys.index": batch.index.ravel(),
            "keys.R0_drive": rate,
            "keys.keep": keep,
            "keys.charge": np.broadcast_to(charge[:, None, None], score_size(shape)),
            "keys.unmasked": np.broadcast_to(slots.unmasked[:, None], score_size(shape)).astype(float),
            "keys.score_from": timing.score_from,
            "keys.score_to": timing.score_to,
            "hub.reference": np.where(score_rows(slots.unmasked, shape), self.start, NEVER_REACHED),
            "hub.attend_from": timing.attend_from,
            "hub.release": self.release,
            "hub.first_spikes": self.first_spikes,
            "hub.w_reference": self.w,
            "hub.fall": self.w * rate * float(dt),
        }
        state = {f"{prefix}{name}": value for name, value in own.items()}
        state |= self.stream_state(shape, slots, from_step=origin, population=1 + 2 * layer, prefix=prefix)
        before_outputs = [*(["encoder"] if not prefix else []), f"{prefix}neurons", f"{prefix}keys"]
        state |= checkpoint_state(before_outputs, timing.onset + marks)
        return state | checkpoint_state([f"{prefix}outputs"], timing.onset + marks + 1)

    def wanted(self, checkpoints: int, prefix: str = "") -> list[str]:
        """Variables that `collect` reads."""
        counted = [f"{prefix}{name}" for name in ("neurons.count", "keys.count", "keys.A", "outputs.count")]
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
        return {
            "coincidences": scored,
            "attention_count": attention[..., 1:] - attention[..., :1],
            "output_count": outputs[..., 1:] - outputs[..., :1],
            **{name: values[:, 1:] for name, values in totals.items()},
        }
