"""Depth: attention blocks with residual connections, or without, layer after layer of the same spikes.

    y_0 = x,    y_l = y_{l-1} + attention_l(y_{l-1}) W^o_l          (without: y_l = attention_l(y_{l-1}) W^o_l)

A residual population of every layer, ON and OFF neurons of y_l (`circuits.projection`), receives the spikes that stand
for y_{l-1} through one synapse each, and the output spikes of block l through W^o_l. Its own spikes are the tokens of
the next block. Nothing is decoded and encoded again in between. Pure attention has no synapses for y_{l-1}.

An output spike stands for 1/(R0*dt) times what a spike a step would stand for, R0 being the rate at which the rows are
pinned, so residual neurons are driven by few large jumps and answer with short bursts. Query and key of a token see the
same bursts: blocks behind the first need an axonal delay that outlasts them, as there are no separate encoders.

Each layer starts where the one before it is in its measured window: membranes without a leak would remember for ever
what they received before.

References: sections 3 and 5 of arXiv:2604.15769 for the composition.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

import attrs
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike import parameters
from biospike.arrays import float_array, positive_array
from biospike.errors import InputError
from biospike.session import assemble
from circuits import projection
from circuits.attention import SpikingAttention
from circuits.attention_rows import PinnedRows
from circuits.projection import MOST_POPULATIONS, BlockShape, Slots, checkpoint_state, pair_state
from circuits.softmax import ThresholdLinear
from circuits.token_circuit import Timing, TokenCircuit, as_samples, read_marks, read_total

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

MOST_BLOCKS = (MOST_POPULATIONS - 1) // 5
"""Populations are numbered: the encoder, up to four of every block, then a residual each."""


def _prefix(layer: int) -> str:
    return f"layer{layer}_" if layer else ""


def _blocks(values: Iterable[SpikingAttention]) -> tuple[SpikingAttention, ...]:
    return tuple(values)


def _matrices(values: Any) -> tuple[NDArray[np.float64], ...]:
    return tuple(float_array(value, "W_o") for value in values)


@attrs.frozen(kw_only=True, eq=False)
class Stack(TokenCircuit):
    """Attention blocks with residual connections, or without.

    Parameters
    ----------
    blocks
        Of one mode, number of heads and width. All but the first have ``encoders="shared"``.
    W_o : arrays (heads*width, features)
        Output projection of every block.
    residual_scales : array (blocks,), optional
        Spikes per step that stand for a residual value of 1. None: `fitted` chooses them.
    peak_rate
        Spikes per step of the largest residual value that `fitted` aims at.
    residual
        Whether a layer adds to its tokens or takes their place.
    """

    name: ClassVar[str] = "stack"
    references: ClassVar[tuple[str, ...]] = ("guo2026",)
    dims: ClassVar[dict[str, tuple[str, ...]]] = {
        "coincidences": ("layer", "head", "query", "key"),
        "attention_count": ("layer", "head", "query", "key"),
        "output_count": ("layer", "head", "query", "unit", "sign"),
        "residual_count": ("layer", "query", "feature", "sign"),
        **dict.fromkeys(("spikes_encoder", "spikes_qkv", "spikes_attention", "spikes_output", "spikes_residual"), ()),
    }
    blocks: tuple[SpikingAttention, ...] = attrs.field(converter=_blocks)
    W_o: tuple[NDArray[np.float64], ...] = attrs.field(converter=_matrices)
    residual_scales: NDArray[np.float64] | None = None
    peak_rate: float = parameters.number(0.5, above=0, maximum=1)
    residual: bool = parameters.flag(True)

    def __attrs_post_init__(self) -> None:
        if not self.blocks or len(self.W_o) != len(self.blocks):
            raise InputError(f"Stack: one W_o for each block, got {len(self.W_o)} for {len(self.blocks)} blocks")
        if len(self.blocks) > MOST_BLOCKS:
            raise InputError(
                f"Stack: at most {MOST_BLOCKS} blocks have random numbers of their own, got {len(self.blocks)}"
            )
        first = self.blocks[0]
        expected = (first.heads * first.width, first.features)
        for number, (block, out) in enumerate(zip(self.blocks, self.W_o, strict=True)):
            same = all(
                getattr(block, name) == getattr(first, name)
                for name in ("mode", "heads", "width", "features", "dt", "phase", "causal")
            )
            if not same:
                raise InputError(f"Stack: block {number} differs from the first in mode, size, dt, phase or causal")
            if number and block.encoders != "shared":
                raise InputError(f"Stack: block {number} reads residual spikes; its encoders must be 'shared'")
            if number and block.tau_m is not None:
                raise InputError(
                    f"Stack: block {number} must not leak, as its input is not Bernoulli; got {block.tau_m}"
                )
            if isinstance(block.softmax, ThresholdLinear):
                raise InputError(f"Stack: rows of {block.softmax.name} in block {number} have a rate that nothing pins")
            if out.shape != expected or not np.isfinite(out).all():
                raise InputError(f"Stack: W_o of block {number} must be finite, of shape {expected}, got {out.shape}")

    @property
    def staged(self) -> bool:  # type: ignore[override]
        """Whether every window is a run of its own."""
        return self.blocks[0].staged

    @property
    def features(self) -> int:  # type: ignore[override]
        """Values of a token."""
        return self.blocks[0].features

    @property
    def heads(self) -> int:  # type: ignore[override]
        """Heads of a block."""
        return self.blocks[0].heads

    @property
    def width(self) -> int:  # type: ignore[override]
        """Units of a head."""
        return self.blocks[0].width

    @property
    def dt(self) -> Quantity:
        """Grid."""
        return self.blocks[0].dt

    @property
    def structure(self) -> dict[str, Any]:
        """Everything that `build` reads besides the size."""
        blocks = {f"block {number}": block.structure for number, block in enumerate(self.blocks)}
        return blocks | {"residual": self.residual}

    def sizes(self, shape: BlockShape) -> dict[str, int]:
        """See `TokenCircuit`; behind the first block every feature is an ON and an OFF neuron."""
        doubled = attrs.evolve(shape, features=2 * shape.features)
        attended = 2 * shape.slots * shape.tokens * shape.units * shape.features
        return self.blocks[0].sizes(doubled) | {"synapses of W_o": attended}

    def check(self, dt: Quantity) -> None:
        """See `TokenCircuit`."""
        for block in self.blocks:
            block.check(dt)

    def fitted(self, x: ArrayLike) -> Self:
        """Return a stack whose blocks and residual populations are scaled to these tokens, layer by layer."""
        y = as_samples(x, self.features)
        blocks: list[SpikingAttention] = []
        scales = []
        for block, out in zip(self.blocks, self.W_o, strict=True):
            fitted = block.fit(y)
            y = self._next(y, fitted.limit_of(y), out)
            blocks.append(fitted)
            scales.append(self.peak_rate / (np.abs(y).max() or 1.0))
        known = np.array(scales) if self.residual_scales is None else self._scales()
        return attrs.evolve(self, blocks=blocks, residual_scales=known)

    def unmasked(self, key_mask: ArrayLike | None, samples: int, tokens: int) -> NDArray[np.bool_]:
        """See `TokenCircuit`; blocks are causal or not together."""
        return self.blocks[0].unmasked(key_mask, samples, tokens)

    def check_input(self, x: NDArray[np.float64]) -> None:
        """See `TokenCircuit`: every layer must do with a spike a step and unit."""
        for number, layer in enumerate(self.layers(x)):
            PinnedRows(self.blocks[number], self.blocks[number].gate).check_logits(layer["logits"].values)
            largest = float(np.abs(layer["residual"]).max() * self._scales()[number])
            if largest > 1:
                raise InputError(f"Stack: residual {number} needs {largest:.3g} spikes a step and can have 1")

    def _scales(self) -> NDArray[np.float64]:
        found = None if self.residual_scales is None else np.shape(self.residual_scales)
        if found != (len(self.blocks),):
            raise InputError(
                f"Stack: residual_scales must have the shape {(len(self.blocks),)}, got {found}; fitted(tokens) "
                "chooses them"
            )
        return positive_array(self.residual_scales, "Stack: residual_scales")

    def layers(self, x: ArrayLike, key_mask: ArrayLike | None = None) -> list[xr.Dataset]:
        """Rate-domain limit of every layer: that of its block, and `residual` (sample, query, feature), y_l."""
        y = as_samples(x, self.features)
        found = []
        for block, out in zip(self.blocks, self.W_o, strict=True):
            layer = block.limit_of(y, key_mask)
            y = self._next(y, layer, out)
            found.append(layer.assign(residual=(("sample", "query", "feature"), y)))
        return found

    def _next(self, y: NDArray[np.float64], layer: xr.Dataset, out: NDArray[np.float64]) -> NDArray[np.float64]:
        """Tokens behind a layer, (samples, tokens, features)."""
        attended = _attended(layer["output"].values, out)
        return y + attended if self.residual else attended

    def limit(self, x: ArrayLike, key_mask: ArrayLike | None = None) -> xr.Dataset:
        """Rate-domain limit, the datasets of `layers` along a dimension `layer`."""
        return xr.concat(self.layers(x, key_mask), dim="layer")

    def describe(self) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]:
        """See `TokenCircuit`."""
        stored: dict[str, Any] = {"residual_scales": (("layer",), self._scales())}
        described = [block.describe() for block in self.blocks]
        for name, (dims, _) in described[0].items():
            stored[name] = (("layer", *dims), np.stack([block[name][1] for block in described]))
        return stored | {"W_out": (("layer", "column", "feature"), np.stack(self.W_o))}

    def read_out(self, data: xr.Dataset) -> xr.Dataset:
        """Residual values, signed spikes per step and scale, (trial, sample, layer, query, feature, checkpoint)."""
        signed = data["residual_count"].isel(sign=0).astype(float) - data["residual_count"].isel(sign=1)
        fired = data["attention_count"].sum("key")
        return xr.Dataset(
            {
                "residual": signed / (data["timesteps"] * data["residual_scales"]),
                "attention": data["attention_count"] / fired.where(fired > 0),
            }
        )

    def build(self, shape: BlockShape) -> b2.Network:
        """Network of all layers; runs nothing."""
        objects: list[Any] = []
        source: b2.NeuronGroup | None = None
        for number, block in enumerate(self.blocks):
            wired, outputs = block.wire(shape, source, _prefix(number))
            before, stride = (
                (wired[0], block.copies * shape.features) if source is None else (source, 2 * shape.features)
            )
            name = f"residual{number}"
            dendrites = projection.dendrites(shape.slots * shape.tokens * shape.features, f"{name}_dendrites")
            source = projection.lif_pairs(dendrites, name, shape.checkpoints)
            attended = projection.connect(outputs, dendrites, 2 * shape.units, shape.features, f"{name}_attended")
            objects += [*wired, dendrites, source, attended]
            if not self.residual:
                continue
            # Of several encoders of a token the residual reads the first.
            sent = np.arange(len(before)).reshape(-1, stride)[:, : (1 if number == 0 else 2) * shape.features]
            skip = b2.Synapses(
                before, dendrites, "w : 1", on_pre="current_post += w", namespace={}, name=f"{name}_skip"
            )
            signs = 1 if number == 0 else 2
            skip.connect(i=sent.ravel(), j=np.arange(len(dendrites)).repeat(signs))
            objects.append(skip)
        return assemble(*objects)

    def _origins(self, window: int, dt: Quantity) -> list[int]:
        """Step from which each layer's tokens spike, and at last the residual of the last layer."""
        origins = [0]
        for block in self.blocks:
            # The first output spikes of the measured window come one step after its onset.
            origins.append(block.timing(window, dt, origins[-1]).onset + 1)
        return origins

    def timing(self, window: int, dt: Quantity, origin: int = 0) -> Timing:
        """See `TokenCircuit`: the window is that of the last residual population."""
        last = origin + self._origins(window, dt)[-1]
        return Timing(last, last, last, last, last + window + 1)

    def state(
        self, shape: BlockShape, slots: Slots, marks: NDArray[np.int64], window: int, dt: Quantity
    ) -> dict[str, Any]:
        """See `TokenCircuit`."""
        origins, scales = self._origins(window, dt), self._scales()
        state = self.blocks[0].encoder_state(shape, slots)
        features = shape.features
        for number, (block, out) in enumerate(zip(self.blocks, self.W_o, strict=True)):
            prefix, name = _prefix(number), f"residual{number}"
            state |= block.block_state(
                shape, slots, marks, window, dt, origin=origins[number], layer=number, prefix=prefix
            )
            scale = scales[number]
            if number:
                # ON and OFF neurons of a residual value carry it with opposite weights.
                signed = np.stack([1.0, -1.0])[:, None] / scales[number - 1]
                weights = np.concatenate(block.scaled_weights(), axis=1)[:, None] * signed
                state[f"{prefix}weights.w"] = projection.synaptic_weights(weights.reshape(2 * features, -1), shape)
                skip = np.tile(scale * signed.ravel(), shape.slots * shape.tokens * features)
            else:
                skip = np.full(slots.x.size, scale / block.encoder.full_count(1))
            state[f"{name}_dendrites.bias"] = 0.0
            if self.residual:
                state[f"{name}_skip.w"] = skip
            row_rate = float(block.gate.rate) * float(dt)
            per_spike = scale * out / (row_rate * block.known_scales[2].repeat(block.width)[:, None])
            both = np.stack([per_spike, -per_spike], axis=1).reshape(2 * shape.units, features)
            state[f"{name}_attended.w"] = projection.synaptic_weights(both, shape)
            start = origins[number + 1]
            state |= pair_state(
                name,
                slots,
                2 * shape.tokens * features,
                1 + 4 * len(self.blocks) + number,
                tau_m=None,
                phase=block.phase,
                from_step=start,
            )
            state |= checkpoint_state([name], start + marks)
        return state

    def wanted(self, checkpoints: int) -> list[str]:
        """See `TokenCircuit`."""
        blocks = [name for k, block in enumerate(self.blocks) for name in block.wanted(checkpoints, _prefix(k))]
        return blocks + [f"residual{k}.count_{c}" for k in range(len(self.blocks)) for c in range(checkpoints)]

    def collect(self, shape: BlockShape, result: dict[str, NDArray[Any]], checkpoints: int) -> dict[str, NDArray[Any]]:
        """See `TokenCircuit`."""
        layers = [block.collect(shape, result, checkpoints, _prefix(k)) for k, block in enumerate(self.blocks)]
        collected = {
            name: np.stack([layer[name] for layer in layers], axis=1)
            for name in ("coincidences", "attention_count", "output_count")
        }
        collected |= {
            name: np.sum([layer[name] for layer in layers if name in layer], axis=0)
            for name in ("spikes_encoder", "spikes_qkv", "spikes_attention", "spikes_output")
        }
        size = (shape.slots, shape.tokens, shape.features, 2)
        names = [f"residual{k}.count" for k in range(len(self.blocks))]
        counts = np.stack([read_marks(result, name, checkpoints, size) for name in names], axis=1)
        collected["residual_count"] = counts[..., 1:] - counts[..., :1]
        totals = np.sum([read_total(result, name, checkpoints, shape.slots) for name in names], axis=0)
        return collected | {"spikes_residual": totals[:, 1:]}


def _attended(output: NDArray[np.float64], out: NDArray[np.float64]) -> NDArray[np.float64]:
    """Outputs (samples, heads, queries, units) through W_o, (samples, queries, features)."""
    joined = np.moveaxis(output, 1, 2)
    return np.asarray(joined.reshape(*joined.shape[:2], -1) @ out)
