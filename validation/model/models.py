"""Trained models: their tokens in chunks of one length, their transformer, and the task that they are judged by."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from biospike.errors import InputError
from biospike.ideal.transformer import Linear, Transformer
from validation.model.train_vit import SHAPES, patches

Array = NDArray[Any]

CHUNK = 50
"""Samples that are run at once, of one length: part of what a draw is keyed by."""


class Task(Protocol):
    """What a model is judged by."""

    @property
    def name(self) -> str:
        """Of the metric."""

    def each(self, z: Array, places: Array) -> Array:
        """What every unit, an image or a pair of sentences, gives.

        Parameters
        ----------
        z
            Outputs (samples, width).
        places
            Which samples they are of.

        Returns
        -------
        array (units, ...)
        """

    def metric(self, each: Array) -> float:
        """Return the metric over some units, with repetition."""


@attrs.frozen(eq=False)
class Classes:
    """Accuracy of a linear head."""

    head: Linear
    labels: Array
    name: str = "accuracy"

    def each(self, z: Array, places: Array) -> Array:
        """Whether every image is right."""
        return (self.head(z).argmax(axis=-1) == self.labels[places]).astype(float)

    def metric(self, each: Array) -> float:
        """Accuracy."""
        return float(each.mean())


@attrs.frozen(eq=False)
class Pairs:
    """Spearman's rank correlation of the cosines of pairs with what people say."""

    first: Array
    second: Array
    gold: Array
    name: str = "Spearman"

    def each(self, z: Array, places: Array) -> Array:
        """Cosine of every pair whose sentences are there, and what people say."""
        whole = np.full((max(self.first.max(), self.second.max(), places.max()) + 1, z.shape[-1]), np.nan)
        whole[places] = z / np.linalg.norm(z, axis=-1, keepdims=True)
        cosines = (whole[self.first] * whole[self.second]).sum(axis=-1)
        return np.stack([cosines, self.gold], axis=-1)[~np.isnan(cosines)]

    def metric(self, each: Array) -> float:
        """Rank correlation, ties at their mean rank."""
        return spearman(*each.T)


def spearman(a: Array, b: Array) -> float:
    """Rank correlation of two lists."""
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


@attrs.frozen(eq=False)
class Chunk:
    """Samples of one length: their places in the list of all, and their tokens (samples, tokens, width)."""

    places: Array
    tokens: Array


@attrs.frozen(eq=False, kw_only=True)
class Model:
    """A trained model with the samples that it is measured on.

    Parameters
    ----------
    name
        As of ``--model``.
    transformer
        Its layers.
    chunks
        All samples.
    calibration
        Samples that no number is taken from but the scales of trains.
    task
        What it is judged by.
    told
        Facts for the report, by their name.
    """

    name: str
    transformer: Transformer
    chunks: tuple[Chunk, ...]
    calibration: tuple[Chunk, ...]
    task: Task
    told: dict[str, Any]

    @property
    def samples(self) -> int:
        """How many."""
        return sum(len(chunk.places) for chunk in self.chunks)


def chunks_of(tokens: Array, size: int = CHUNK) -> tuple[Chunk, ...]:
    """Chunks of samples of one length."""
    ends = range(size, len(tokens), size)
    return tuple(
        Chunk(places, own) for places, own in zip(np.split(np.arange(len(tokens)), ends), np.split(tokens, ends),
                                                   strict=True)
    )  # fmt: skip


def largest(model: Model) -> NDArray[np.float64]:
    """Largest absolute query, key and value of every layer and head over the calibration, (3, layers, heads)."""
    found: NDArray[np.float64] = np.zeros((3, len(model.transformer.layers), model.transformer.heads))
    for chunk in model.calibration:
        for taped in model.transformer.run(chunk.tokens).tape:
            for part, values in enumerate((taped.heads.q, taped.heads.k, taped.heads.v)):
                own = np.abs(values).max(axis=(0, 2, 3))
                found[part, taped.heads.layer] = np.maximum(found[part, taped.heads.layer], own)
    return found


def digits(kind: str, samples: int, weights: Path | None = None) -> Model:
    """Return a model of digits on the first `samples` images.

    Parameters
    ----------
    kind
        ``vit`` or ``causal``.
    samples
        At most 500.
    weights
        Of another training by `validation.model.train_vit`; by default what ships.

    Raises
    ------
    InputError
        If there are fewer images, or the file has no weights of such a model.
    """
    shape = SHAPES[kind]
    arrays, told = _read(f"digits_{kind}.npz") if weights is None else _load(weights)
    images, _ = _read("digits_images.npz")
    if not 2 <= samples <= len(images["images"]):
        raise InputError(f"--samples must be 2 to {len(images['images'])} of {kind}_digits, got {samples}")
    own = {name: values.astype(np.float64) for name, values in arrays.items()}
    transformer = Transformer.from_weights(
        own, heads=shape.heads, pre=True, causal=shape.causal, pool="last" if shape.causal else "mean"
    )
    for part in ("stem", "head"):
        if f"{part}.weight" not in own or f"{part}.bias" not in own:
            raise InputError(f"{weights}: weights have no {part}")
    stem, head = (Linear(own[f"{part}.weight"], own[f"{part}.bias"]) for part in ("stem", "head"))

    def tokens(of: Array) -> Array:
        return np.asarray(stem(patches(of).astype(np.float64)) + own["position"])

    return Model(
        name=f"{kind}_digits",
        transformer=transformer,
        chunks=chunks_of(tokens(images["images"][:samples])),
        calibration=chunks_of(tokens(images["calibration"])),
        task=Classes(head, images["labels"][:samples]),
        told=told,
    )


def _read(name: str) -> tuple[dict[str, Array], dict[str, Any]]:
    with as_file(files("validation.data") / name) as path:
        return _load(path)


def _load(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and provenance of a file; nothing in it is executed."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no .npz file of weights ({error})") from None
    return arrays, json.loads(str(arrays.pop("provenance", "{}")))
