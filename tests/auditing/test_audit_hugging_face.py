"""Attention of Hugging Face: what is taken out of default implementations is what eager ones return."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import biospike
from biospike.auditing.model import listen
from circuits.softmax import Escape

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

MASK = torch.ones(2, 7, dtype=torch.long)
MASK[1, 5:] = 0
IDS = torch.arange(14).reshape(2, 7) % 11


def model(kind: str, implementation: str) -> Any:
    torch.manual_seed(1)
    small = {"vocab_size": 11, "attn_implementation": implementation}
    if kind == "bert":
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
        return transformers.BertModel(transformers.BertConfig(**sizes, **small, initializer_range=0.3))
    if kind == "gpt2":
        sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
        return transformers.GPT2Model(transformers.GPT2Config(**sizes, **small, initializer_range=0.3))
    if kind == "distilbert":
        sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 8}
        return transformers.DistilBertModel(transformers.DistilBertConfig(**sizes, **small, initializer_range=0.3))
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    sizes |= {"image_size": 8, "patch_size": 4, "num_channels": 1}
    config = transformers.ViTConfig(**sizes, attn_implementation=implementation, initializer_range=0.3)
    return transformers.ViTModel(config)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "distilbert", "vit"])
@pytest.mark.parametrize("mask", [None, MASK, MASK.flip(1)], ids=["whole", "right", "left"])
def test_rows_are_the_attention_that_the_eager_implementation_returns(kind, mask):
    inputs: dict[str, Any] = {"pixel_values": torch.rand(2, 1, 8, 8)} if kind == "vit" else {"input_ids": IDS}
    if mask is not None and kind == "vit":
        pytest.skip("images have no padding")
    if mask is not None:
        inputs["attention_mask"] = mask
    eager = model(kind, "eager").eval()
    with torch.no_grad():
        returned = eager(**inputs, output_attentions=True).attentions
    assert len(returned) == 2
    real = np.ones((2, returned[0].shape[2]), dtype=bool) if mask is None else mask.numpy() == 1
    for implementation in ("sdpa", "eager"):
        found = listen(torch, model(kind, implementation).eval(), (), inputs, max_rows=99, probes=1, seed=0)
        assert len(found.rows) == 2
        for rows, expected in zip(found.rows, returned, strict=True):
            logits = rows.logits - np.nanmax(rows.logits, axis=-1, keepdims=True)
            shares = np.nan_to_num(np.exp(logits)) / np.nansum(np.exp(logits), axis=-1, keepdims=True)
            wanted = expected.numpy().swapaxes(0, 1)[:, real]
            np.testing.assert_allclose(shares, wanted, atol=2e-6)
            assert rows.S is not None
            assert (rows.S >= 0).all()
            assert rows.S.max() > 0


def test_a_model_is_audited_in_one_call():
    table = biospike.audit(model("bert", "sdpa"), {"input_ids": IDS, "attention_mask": MASK}, circuits=[Escape()],
                           check_rows=0).table  # fmt: skip
    assert list(table["layer"].unique()) == ["encoder.layer.0.attention.self", "encoder.layer.1.attention.self"]
    assert (table["rows"] == 12).all()
    assert (table["S"] > 0).all()
    assert table["note"].eq("2 padded or wholly masked queries left out").all()


def test_rotary_positions_and_grouped_queries_are_refused():
    sizes = {
        "vocab_size": 11,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
    }
    for groups, said in ((2, "rotary or relative positions"), (1, "grouped queries are not understood")):
        config = transformers.LlamaConfig(**sizes, num_key_value_heads=groups, bos_token_id=0, eos_token_id=0)
        llama = transformers.LlamaModel(config)
        with pytest.raises(biospike.InputError, match=said):
            biospike.audit(llama, IDS, circuits=[Escape()])
