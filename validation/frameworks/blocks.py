"""The published blocks at their published sizes and firing rates, with weights of a fixed seed or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.ideal.attention import (
    IF,
    LIF,
    Affine,
    DualSpikeAttention,
    QKChannelAttention,
    QKFormerSSA,
    QKTokenAttention,
    SpikeDrivenAttention,
    SpikformerSSA,
    SpikingBertAttention,
    fold_batch_norm,
)
from biospike.nir import affine_nodes
from circuits.transformers import (
    DualSpikeCircuit,
    QKChannelCircuit,
    QKFormerCircuit,
    QKTokenCircuit,
    SpikeDrivenCircuit,
    SpikformerCircuit,
    SpikingBertCircuit,
)
from circuits.transformers.block import TransformerCircuit
from validation.frameworks.inputs import Tokens, matched_layer, random_weight
from validation.inputs.archive import HEADS, Archive, whole_number
from validation.inputs.array_files import load_arrays
from validation.inputs.weight_names import STREAMS, check_orientation, matrix, take_bias, take_weight

INPUT_RATE = 0.2
UNPUBLISHED = 0.1
"""Firing rate of a population for which none is published."""
LARGEST_PATCH = 4
FEWER_TOKENS = 64


@attrs.frozen(kw_only=True)
class Model:
    """A block of a published model.

    Attributes
    ----------
    model, block : str
        Names, as in the tables.
    reference, circuit : type
        Classes of the reference and of the Brian2 network.
    channels, heads : int
        As published.
    tokens : int
        Tokens that an image is cut into, as published for 32 by 32 pixels.
    steps : int
        T, as published.
    rates : dict
        Published firing rates, by layer; `UNPUBLISHED` for the others.
    inputs : tuple of str
        What it is run on.
    attention : str
        Stage that is called attention in the tables.
    """

    model: str
    block: str
    reference: type
    circuit: type[TransformerCircuit]
    channels: int
    heads: int
    tokens: int = 64
    steps: int = 4
    rates: dict[str, float] = attrs.field(factory=dict)
    inputs: tuple[str, ...] = ("patches",)
    attention: str = "attention"

    def smaller(self, channels: int) -> Model:
        """The same block with at most so many channels, in heads no wider than published, and 64 tokens."""
        if channels >= self.channels:
            return self
        width = self.channels // self.heads
        heads = max(1, channels // width)
        tokens = min(self.tokens, FEWER_TOKENS)
        return attrs.evolve(self, channels=heads * min(width, channels), heads=heads, tokens=tokens)


MODELS: dict[str, Model] = {
    "spikformer": Model(
        model="Spikformer 4-384", block="SSA", reference=SpikformerSSA, circuit=SpikformerCircuit,
        channels=384, heads=12, rates={"q": 0.144, "k": 0.104, "v": 0.081}, inputs=("patches", "digits", "tokens"),
    ),
    "qkformer_token": Model(
        model="QKFormer HST-4-384", block="QKTA stage 1", reference=QKTokenAttention, circuit=QKTokenCircuit,
        channels=96, heads=8, tokens=1024, rates={"q": 0.043, "k": 0.178}, attention="mask",
    ),
    "qkformer_channel": Model(
        model="QKFormer HST-4-384", block="QKCA stage 2", reference=QKChannelAttention, circuit=QKChannelCircuit,
        channels=192, heads=8, tokens=256, rates={"q": 0.023, "k": 0.085}, inputs=("digits",), attention="mask",
    ),
    "qkformer_ssa": Model(
        model="QKFormer HST-4-384", block="SSA stage 3", reference=QKFormerSSA, circuit=QKFormerCircuit,
        channels=384, heads=8, inputs=("patches", "tokens"),
    ),
    "spike_driven": Model(
        model="Spike-driven Transformer 8-768", block="SDSA", reference=SpikeDrivenAttention,
        circuit=SpikeDrivenCircuit, channels=768, heads=8, rates={"q": 0.215, "k": 0.0215, "v": 0.026},
        inputs=("digits", "tokens"), attention="mask",
    ),
    "spikingresformer": Model(
        model="SpikingResformer-Ti", block="DSSA stage 1", reference=DualSpikeAttention, circuit=DualSpikeCircuit,
        channels=64, heads=1, inputs=("patches", "digits"),
    ),
    "spikingbert": Model(
        model="SpikingBERT", block="attention", reference=SpikingBertAttention, circuit=SpikingBertCircuit,
        channels=768, heads=12, steps=100, inputs=("tokens",), attention="probabilities",
    ),
}  # fmt: skip
"""Blocks by the name that `--blocks` takes."""


def layer_names(model: Model) -> tuple[str, ...]:
    """Layers of which the block takes weights."""
    fields = (field.name for field in attrs.fields(model.reference))
    return tuple(name for name in fields if name in ("q", "k", "v", "projection", "y"))


def make_block(model: Model, x: NDArray[np.uint8], tokens: Tokens, seed: int) -> Any:
    """Block with weights of a fixed seed whose layers, fitted to the input, fire at the published rates.

    Parameters
    ----------
    model
        Which block.
    x
        Input spikes, (T, batch, tokens, channels).
    tokens
        Where they come from.
    seed
        Of the weights.
    """
    rng = np.random.default_rng(seed)
    channels = model.channels
    if model.reference is DualSpikeAttention:
        return _dual_block(model, x, tokens, rng)
    kind = IF if model.reference is SpikingBertAttention else LIF
    made: dict[str, Any] = {
        name: matched_layer(random_weight(rng, channels, channels), x, model.rates.get(name, UNPUBLISHED), kind)
        for name in layer_names(model)
        if name != "projection"
    }
    if "heads" in {field.name for field in attrs.fields(model.reference)}:
        made["heads"] = model.heads
    if "projection" not in layer_names(model):
        return model.reference(**made)
    weight = random_weight(rng, channels, channels)
    before = model.reference(**made, projection=Affine(weight, np.zeros(channels))).run(x)[-2]
    # The layer of a silent attention is left as it is.
    last = matched_layer(weight, before, UNPUBLISHED) if before.any() else Affine(weight, np.zeros(channels))
    return model.reference(**made, projection=last)


def _dual_block(model: Model, x: NDArray[np.uint8], tokens: Tokens, rng: np.random.Generator) -> DualSpikeAttention:
    """DSSA with a batch norm of its convolution, and with the firing rates of this input for its scales."""
    if tokens.size is None:
        raise InputError(f"{model.model} convolves images; {tokens.source} are none")
    p, channels = min(LARGEST_PATCH, tokens.size[0] // 2), model.channels
    weight = random_weight(rng, p * p * channels, 2 * channels)

    def block(y: Affine, rate_a: NDArray[np.float64]) -> DualSpikeAttention:
        rate_x = x.reshape(-1, model.heads, channels // model.heads).mean(axis=(0, 2))
        return DualSpikeAttention(y=y, heads=model.heads, p=p, size=tokens.size, rate_x=rate_x, rate_a=rate_a)  # type: ignore[arg-type]

    plain = block(Affine(weight, np.zeros(2 * channels)), np.ones(model.heads)).run(x)
    currents = np.concatenate([plain.y1, plain.y2], axis=-1)
    every = (0, 1, 3)
    mean, variance = (part.ravel() for part in (currents.mean(axis=every), currents.var(axis=every)))
    y = fold_batch_norm(weight, 0.0, mean, variance, np.ones(2 * channels), np.zeros(2 * channels))
    attention = block(y, np.ones(model.heads)).run(x).attention
    return block(y, np.maximum(attention.mean(axis=(0, 1, 3, 4)), 1 / attention.size))


def read_weights(path: Path, name: str, orientation: str | None = None) -> Any:
    """Block with the weights of a file.

    Parameters
    ----------
    path
        ``.nir``, of which the Linear and Affine nodes are taken that have the names of layers; or ``.npz`` with
        `LAYER.weight` (units, features) and optionally `LAYER.bias` (units,), as PyTorch stores them, for every layer
        of the block; optionally its batch norm `LAYER.bn.weight`, `.bias`, `.running_mean` and `.running_var`, to be
        folded in; `heads`; and for DSSA `p`, `size`, `rate_x` and `rate_a`. Queries, keys and values also under the
        names of `validation.inputs.weight_names`. What `save_weights` and ``--save-blocks`` write besides, `x` and
        `spikes.*`, is left alone.
    name
        Key of `MODELS`.
    orientation
        "in-out" or "out-in", for matrices whose name does not say it.

    Raises
    ------
    InputError
        If the file is missing or unreadable, lacks an array, or has one of another shape or that is not understood,
        naming it.
    """
    model = MODELS[name]
    check_orientation(orientation)
    if path.suffix.lower() not in (".npz", ".nir") or not path.is_file():
        raise InputError(f"--weights {path}: expected a file that exists and ends in .npz or .nir")
    try:
        if path.suffix.lower() == ".nir":
            return _block(Archive(_of_nir(path, model)), model, name, None)
        loaded = load_arrays(path, "--weights", (".npz",))
        if isinstance(loaded, np.ndarray):
            raise InputError("it is a single array under the name of an archive")
        return _block(Archive(loaded), model, name, orientation)
    except InputError as error:
        raise InputError(f"--weights {path}: {error}") from None


def _of_nir(path: Path, model: Model) -> dict[str, Any]:
    """Weights and biases of the nodes that have names of the block's layers, under the names of an archive.

    NIR has no product of two spike trains, so a file holds the layers of an attention block, never the block.
    """
    nodes = affine_nodes(path)
    found = {f"{layer}.weight": nodes[layer].weight.T for layer in layer_names(model) if layer in nodes}
    found |= {f"{layer}.bias": nodes[layer].bias for layer in layer_names(model) if layer in nodes}
    if not found:
        raise InputError(
            f"it has no Linear or Affine node named {', '.join(layer_names(model))}; its own are "
            f"{', '.join(nodes) or 'none'}"
        )
    return found


def _block(file: Archive, model: Model, name: str, orientation: str | None) -> Any:
    for key in list(file.left):
        if key == "x" or key.startswith("spikes.") or key.endswith(".num_batches_tracked"):
            del file.left[key]
    given: dict[str, Any] = {layer: _folded(file, layer, model, name, orientation) for layer in layer_names(model)}
    heads = file.take({"heads": whole_number, **HEADS})
    others = {field.name for field in attrs.fields(model.reference)} - set(given)
    if "heads" in others:
        given["heads"] = model.heads if heads is None else heads
    for key in sorted(others & set(file.left)):
        value = file.left.pop(key)
        given[key] = value if key.startswith("rate") else tuple(map(int, value)) if key == "size" else value.item()
    layers = [f"{layer}.weight, {layer}.bias, {layer}.bn.*" for layer in layer_names(model)]
    file.require_nothing_left([*layers, *others])
    try:
        return model.reference(**given)
    except (TypeError, ValueError) as error:
        raise InputError(f"it does not make a block {name}: {error}") from None


def _folded(file: Archive, layer: str, model: Model, name: str, orientation: str | None) -> Affine:
    norm = [file.left.pop(f"{layer}.bn.{part}", None) for part in ("running_mean", "running_var", "weight", "bias")]
    weight, bias = _projection(file, layer, orientation)
    if weight is None:
        raise InputError(
            f"{name} needs {', '.join(f'{needed}.weight' for needed in layer_names(model))}; the file has "
            f"{', '.join(sorted(file.names)) or 'nothing'}"
        )
    units = weight.shape[1]
    bias = np.zeros(units) if bias is None else bias
    missing = [array is None for array in norm]
    if any(missing) and not all(missing):
        raise InputError(f"{layer}.bn needs running_mean, running_var, weight and bias")
    for array in [bias, *norm]:
        if array is not None and array.shape != (units,):
            raise InputError(f"what belongs to {layer} must be of {units} units, got {array.shape}")
    if all(missing):
        return Affine(weight, bias)
    return fold_batch_norm(weight, bias, *norm)  # type: ignore[arg-type]


def _projection(
    file: Archive, layer: str, orientation: str | None
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Weights (features, units) and biases of a layer, or None."""
    if layer in STREAMS:
        return take_weight(file, layer, orientation), take_bias(file, layer)
    weight, bias = (file.left.pop(f"{layer}.{part}", None) for part in ("weight", "bias"))
    return None if weight is None else matrix(f"{layer}.weight", weight).T, bias


def save_weights(block: Any) -> dict[str, NDArray[Any]]:
    """Arrays of a block in the form that `read_weights` reads: those of every layer, and what else it holds."""
    arrays: dict[str, NDArray[Any]] = {}
    for field in attrs.fields(type(block)):
        value = getattr(block, field.name)
        if isinstance(value, Affine):
            arrays |= {f"{field.name}.weight": value.weight.T, f"{field.name}.bias": value.bias}
        else:
            arrays[field.name] = np.asarray(value)
    return arrays
