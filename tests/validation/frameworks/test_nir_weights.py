"""Weights of an attention block from the Linear and Affine nodes of a file of NIR."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from biospike.errors import InputError
from validation.frameworks.blocks import MODELS, read_weights, save_weights
from validation.frameworks.study import Config, prepare

LAYERS = ("q", "k", "v", "projection")


def written(path: Path, layers: tuple[str, ...], bias: bool = True) -> dict[str, np.ndarray]:
    """A file whose nodes are joined as in an attention block, and the arrays in it."""
    n = MODELS["spikformer"].heads * 4
    arrays = {}
    with h5py.File(path, "w") as file:
        for number, name in enumerate(layers):
            node = file.create_group(f"node/nodes/{name}")
            node["type"] = "Affine" if bias else "Linear"
            node["weight"] = arrays[f"{name}.weight"] = np.random.default_rng(number).normal(size=(n, n))
            if bias:
                node["bias"] = arrays[f"{name}.bias"] = np.random.default_rng(number + 9).normal(size=n)
        file["node/edges"] = np.array([("input", name) for name in layers], dtype="S")
    return arrays


@pytest.mark.parametrize("bias", [True, False])
def test_named_nodes_are_the_layers_of_a_block(bias: bool, tmp_path: Path) -> None:
    arrays = written(tmp_path / "own.nir", LAYERS, bias)
    block = read_weights(tmp_path / "own.nir", "spikformer")
    for name, array in arrays.items():
        np.testing.assert_array_equal(save_weights(block)[name], array)
    np.savez(tmp_path / "own.npz", **arrays)
    same = read_weights(tmp_path / "own.npz", "spikformer")
    for name in LAYERS:
        np.testing.assert_array_equal(getattr(block, name).weight, getattr(same, name).weight)
        np.testing.assert_array_equal(getattr(block, name).bias, getattr(same, name).bias)
    pytest.importorskip("sklearn")  # which has the images
    assert prepare(Config(blocks=("spikformer",), weights=tmp_path / "own.nir", frameworks=())).own.channels == len(
        arrays["q.weight"]
    )


def test_a_file_that_lacks_a_layer_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "some.nir", LAYERS[:2])
    with pytest.raises(InputError, match=r"spikformer needs .*v.weight"):
        read_weights(tmp_path / "some.nir", "spikformer")
    written(tmp_path / "other.nir", ("0", "2"))
    with pytest.raises(
        InputError, match=r"other.nir: it has no Linear or Affine node named q, k, v.*; its own are 0, 2"
    ):
        read_weights(tmp_path / "other.nir", "spikformer")
    (tmp_path / "text.nir").write_text("")
    with pytest.raises(InputError, match="no file of NIR that can be read"):
        read_weights(tmp_path / "text.nir", "spikformer")
    with pytest.raises(InputError, match=r"ends in .npz or .nir"):
        read_weights(tmp_path / "none.nir", "spikformer")
