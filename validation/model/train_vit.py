"""
Train the small transformers of ``compare_model`` on scikit-learn's digits, and write the images they are tested on.

``vit`` sees 16 patches of 2 x 2 pixels at once; ``causal`` reads the same patches one after the other and is judged by
what it knows at the last. Both are PyTorch's own encoder layers. Needs the extra ``ml``::

    python -m validation.model.train_vit --kind vit --seed 1 --out validation/data/digits_vit.npz
    python -m validation.model.train_vit --kind causal --seed 1 --out validation/data/digits_causal.npz
    python -m validation.model.train_vit --kind images --out validation/data/digits_images.npz

A minute or two of one core each. Weights are float32 by the names of `biospike.ideal.transformer`; on another processor
or version of torch their last digits differ.

References
----------
E. Alpaydin, C. Kaynak (1998), Optical recognition of handwritten digits, UCI machine learning repository, CC BY 4.0:
the test set of which scikit-learn ships 1797 images of 8 x 8 pixels with 17 levels.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from validation.data.make_attention_rows import run, write

DATE = "2026-11-28"  # a constant, so that two runs write the same bytes
TESTED, CALIBRATED = 500, 100
LEVELS = 16.0
EPOCHS, BATCH, RATE, DECAY = 80, 64, 2e-3, 0.05


class Shape(NamedTuple):
    """Of a model."""

    width: int
    inner: int
    layers: int
    heads: int
    causal: bool


SHAPES = {"vit": Shape(40, 160, 2, 2, False), "causal": Shape(32, 64, 3, 4, True)}
PARTS = {"self_attn.out_proj": "attn.o", "linear1": "mlp.0", "linear2": "mlp.2", "norm1": "norm1", "norm2": "norm2"}
"""Parts of PyTorch's layer, and our names of them."""


def patches(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Patches (images, 16, 4) of 2 x 2 pixels, between 0 and 1, of images (images, 64)."""
    grid = images.reshape(-1, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4)
    return np.asarray(grid.reshape(-1, 16, 4) / LEVELS, dtype=np.float32)


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Images (1797, 64), labels, and their order: the first 500 are tested on, the last 100 calibrate."""
    data = importlib.import_module("sklearn.datasets").load_digits()
    return data.data.astype(np.uint8), data.target, np.random.default_rng(0).permutation(len(data.target))


def train(kind: Literal["vit", "causal"], seed: int) -> tuple[dict[str, NDArray[np.float32]], float]:
    """Train a model; weights by name, and its accuracy in PyTorch on the images that are tested on."""
    torch = importlib.import_module("torch")
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # sums in one order
    shape, nn = SHAPES[kind], torch.nn
    parts = nn.ModuleDict({
        "stem": nn.Linear(4, shape.width),
        "blocks": nn.ModuleList(
            nn.TransformerEncoderLayer(shape.width, shape.heads, shape.inner, 0.1, "gelu", batch_first=True,
                                       norm_first=True)
            for _ in range(shape.layers)
        ),
        "norm": nn.LayerNorm(shape.width),
        "head": nn.Linear(shape.width, 10),
    })  # fmt: skip
    position = nn.Parameter(0.02 * torch.randn(16, shape.width))
    mask = nn.Transformer.generate_square_subsequent_mask(16) if shape.causal else None

    def classes(x: Any) -> Any:
        x = parts["stem"](x) + position
        for block in parts["blocks"]:
            x = block(x, src_mask=mask, is_causal=shape.causal)
        x = parts["norm"](x)
        return parts["head"](x[:, -1] if shape.causal else x.mean(dim=1))

    images, labels, order = digits()
    x, y = torch.tensor(patches(images)), torch.tensor(labels)
    learnt, tested = torch.tensor(order[TESTED:]), order[:TESTED]
    optimiser = torch.optim.AdamW([*parts.parameters(), position], lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * -(-len(learnt) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in learnt[torch.randperm(len(learnt))].split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(classes(x[chosen]), y[chosen], label_smoothing=0.1).backward()
            optimiser.step()
            schedule.step()
    parts.eval()
    with torch.no_grad():
        accuracy = (classes(x[tested]).argmax(dim=1) == y[tested]).double().mean().item()
    return _named(parts, position), accuracy


def _named(parts: Any, position: Any) -> dict[str, NDArray[np.float32]]:
    """Weights by the names of `biospike.ideal.transformer`."""
    weights = {"position": position.detach().numpy()}
    for number, block in enumerate(parts["blocks"]):
        state = {name: value.numpy() for name, value in block.state_dict().items()}
        for end in ("weight", "bias"):
            weights |= {f"blocks.{number}.{ours}.{end}": state[f"{theirs}.{end}"] for theirs, ours in PARTS.items()}
            joined = np.split(state[f"self_attn.in_proj_{end}"], 3)
            weights |= {f"blocks.{number}.attn.{part}.{end}": own for part, own in zip("qkv", joined, strict=True)}
    for part in ("stem", "norm", "head"):
        weights |= {f"{part}.{name}": value.numpy() for name, value in parts[part].state_dict().items()}
    return weights


def make(kind: Literal["vit", "causal", "images"], out: Path, seed: int = 1) -> None:
    """
    Write a model, or the images.

    Parameters
    ----------
    kind : {"vit", "causal", "images"}
        Which.
    out : Path
        The file to write.
    seed : int
        Of the first weights and the order of learning.
    """
    provenance: dict[str, Any] = {"script": "validation/model/train_vit.py", "date": DATE, "kind": kind}
    if kind == "images":
        images, labels, order = digits()
        arrays: dict[str, Any] = {
            "images": images[order[:TESTED]], "labels": labels[order[:TESTED]].astype(np.uint8),
            "calibration": images[order[-CALIBRATED:]],
        }  # fmt: skip
        provenance |= {"data": "scikit-learn load_digits, UCI optical recognition of handwritten digits, CC BY 4.0"}
    else:
        arrays, accuracy = train(kind, seed)
        provenance |= {"seed": seed, "accuracy": accuracy, "torch": importlib.import_module("torch").__version__}
        provenance |= SHAPES[kind]._asdict()
        print(f"accuracy {accuracy:.3f}, {sum(array.size for array in arrays.values())} weights")
    write(out, arrays, provenance)
    print(f"{out.name}: {out.stat().st_size} bytes, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    run(make)
