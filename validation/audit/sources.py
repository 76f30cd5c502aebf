"""Where an audited model comes from: a shipped layer, files, a folder of Hugging Face, a function, models of others."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, NamedTuple

from biospike.errors import InputError
from biospike.ideal.frameworks.installed import load
from validation.audit.layer_files import STREAMS, as_record, layer_of_files
from validation.audit.random_models import MODELS, random_model
from validation.inputs import tokens

SHIPPED = "tokens"
TEXTS = (
    "A neuron that is driven by a constant current fires at a constant rate.",
    "The committee postponed its decision until the spring.",
    "Two children are playing with a ball in the park.",
    "Kids play with a ball outside.",
    "Rain is expected in the north.",
    "She returned the book without having read it.",
    "No spikes were recorded during the first second of the experiment.",
    "He bought bread, milk and a newspaper on his way home.",
)
"""Sentences on which a folder of Hugging Face is audited by default."""


class Source(NamedTuple):
    """A model, what it is called with, and where both come from in words."""

    module: Any
    inputs: Any
    text: str


def source(
    model: str,
    *,
    seed: int,
    module: str | None,
    package: Path | None,
    texts: Path | None,
    weights: Path | None,
    token_file: Path | None,
    layer: str | None,
    heads: int | None,
    causal: bool,
) -> Source:
    """Model and input of the options of ``audit_model``; at most one of `module`, `package` and `weights` is given.

    Raises
    ------
    InputError
        If the options do not go together, or what they name cannot be read.
    """
    given = [name for name, value in (("--module", module), ("--package", package), ("--weights", weights)) if value]
    if len(given) > 1 or (given and model != SHIPPED):
        named = given if model == SHIPPED else [*given, f"--model {model}"]
        raise InputError(f"{' and '.join(named)} name different models: give one")
    beside = {"--texts": (texts, "--package"), "--tokens": (token_file, "--weights"), "--layer": (layer, "--weights"),
              "--heads": (heads, "--weights"), "--causal": (causal or None, "--weights")}  # fmt: skip
    for name, (value, needed) in beside.items():
        if value is not None and needed not in given:
            raise InputError(f"{name} belongs to {needed}, which is not given")
    if module:
        return _of_function(module)
    if package:
        return _of_package(package, texts)
    if weights:
        record, text = layer_of_files(weights, token_file, layer=layer, heads=heads, causal=causal)
        return Source([record], None, text)
    if model in MODELS:
        return Source(*random_model(model, seed), f"{MODELS[model]}, random weights of seed {seed}")
    return _shipped()


def _shipped() -> Source:
    given = tokens.shipped()
    projections = {f"W_{stream}": getattr(given, f"W_{stream}") for stream in STREAMS}
    record = as_record("token_block", "shipped", given.X[None], projections, given.heads, causal=False)
    return Source([record], None, given.source)


def _of_function(named: str) -> Source:
    """What ``FILE.py:FUNCTION`` returns: a module and its input. The file is executed."""
    place, _, name = named.rpartition(":")
    path = Path(place).expanduser().resolve()
    if not place or not path.is_file():
        raise InputError(f"--module {named}: expected FILE.py:FUNCTION, and there is no file {path}")
    print(f"note: {path} is executed, for its function {name}", file=sys.stderr)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"--module {named}: {path.name} is no file of Python")
    loaded = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(loaded)
        made = getattr(loaded, name)()
    except Exception as error:
        raise InputError(f"--module {named}: {type(error).__name__}: {error}") from error
    if not isinstance(made, tuple) or len(made) != 2:
        raise InputError(f"--module {named}: {name}() must return a module and its input, got {type(made).__name__}")
    return Source(*made, f"{name}() of {path.name}")


def _of_package(folder: Path, texts: Path | None) -> Source:
    """A folder of Hugging Face: ``config.json``, weights, and a tokenizer; nothing is downloaded, no code in it run."""
    if not (folder / "config.json").is_file():
        raise InputError(
            f"--package {folder}: expected a folder of Hugging Face, with config.json, weights and a tokenizer"
        )
    transformers = load("transformers")
    transformers.utils.logging.disable_progress_bar()
    sentences = _sentences(texts)
    try:
        local = {"local_files_only": True, "trust_remote_code": False}
        model = transformers.AutoModel.from_pretrained(folder, dtype="float32", use_safetensors=True, **local)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
        inputs = dict(tokenizer(sentences, padding=True, truncation=True, return_tensors="pt"))
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"--package {folder}: cannot be read: {type(error).__name__}: {said}") from error
    return Source(model, inputs, f"{folder.name}, {len(sentences)} sentences")


def _sentences(texts: Path | None) -> list[str]:
    if texts is None:
        return list(TEXTS)
    if not texts.is_file():
        raise InputError(f"--texts {texts}: there is no such file")
    found = [line.strip() for line in texts.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not found:
        raise InputError(f"--texts {texts}: no line has a text")
    return found
