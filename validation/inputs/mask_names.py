"""Masks of attention under the names of PyTorch and Hugging Face, each with its own sense, as what may be attended to.

===========================  =========================================================================
`key_mask`                   ours: True or 1 = attend
`attention_mask`             Hugging Face: 1 = attend; as floats of 0 and fills, additive
`key_padding_mask` and so    PyTorch: True = ignore; as floats, additive
on
`attn_mask`, `src_mask`      PyTorch, (queries, keys): additive. As bool it means ignore in
                             `nn.MultiheadAttention` and attend in `scaled_dot_product_attention`: taken
                             if only one of these leaves every query a key
===========================  =========================================================================
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biospike.arrays import bool_array
from biospike.errors import InputError
from biospike.ideal.fills import mask_fills

BoolArray = NDArray[np.bool_]


class Mask(NamedTuple):
    """What may be attended to.

    Attributes
    ----------
    attend : ndarray of bool
        Of keys (keys,) or (samples, keys), or of scores (..., queries, keys).
    of_scores : bool
        Which of the two.
    """

    attend: BoolArray
    of_scores: bool


def _key_mask(name: str, value: NDArray[Any]) -> Mask:
    sense = "True or 1 = attend"
    attend = bool_array(value, name, sense)
    if attend.ndim not in (1, 2):
        raise InputError(f"{name} must be (keys,) or (samples, keys), where {sense}; got {attend.shape}")
    return Mask(attend, of_scores=False)


def _attention_mask(name: str, value: NDArray[Any]) -> Mask:
    sense = "True or 1 = attend, or floats of 0 = attend and fills such as -inf"
    if value.dtype.kind == "f" and (value < 0).any():
        return _shaped(name, _of_additive(name, value), sense)
    if value.dtype.kind == "f" and not value.any():
        raise InputError(f"{name} is 0.0 everywhere, which as 0 or 1 masks all and as an additive mask nothing")
    return _shaped(name, bool_array(value, name, sense), sense)


def _padding_mask(name: str, value: NDArray[Any]) -> Mask:
    sense = "True = ignore, or floats of 0 = attend and fills such as -inf"
    ignore = ~_of_additive(name, value) if value.dtype.kind == "f" else bool_array(value, name, sense)
    return _shaped(name, ~ignore, sense)


def _score_mask(name: str, value: NDArray[Any]) -> Mask:
    if value.ndim < 2:
        raise InputError(f"{name} must be (queries, keys), with leading dimensions or without; got {value.shape}")
    if value.dtype.kind == "f":
        return Mask(_of_additive(name, value), of_scores=True)
    given = bool_array(value, name, "True = ignore in nn.MultiheadAttention, attend in scaled_dot_product_attention")
    senses = [attend for attend in (given, ~given) if attend.any(axis=-1).all()]
    if len(senses) != 1:
        raise InputError(
            f"{name} as {value.dtype}: True means ignore in nn.MultiheadAttention and attend in "
            "scaled_dot_product_attention, and both are possible here: give key_mask (True = attend), or floats of 0 "
            "and -inf"
        )
    return Mask(senses[0], of_scores=True)


def _of_additive(name: str, value: NDArray[Any]) -> BoolArray:
    """Where floats that are added to scores leave them alone."""
    added = np.where(np.isneginf(value), np.nan, value.astype(np.float64))
    whole = np.isnan(added) | (added == 0)
    if not whole.all():  # fills: the same decision as of logits
        added = mask_fills(added, name)
    if (added[~np.isnan(added)] != 0).any():
        biased = added[~np.isnan(added) & (added != 0)].flat[0]
        raise InputError(
            f"{name} adds {biased:g} to scores; as floats it must be 0 = attend, and NaN, -inf or a fill "
            "such as -1e4 where a key is masked"
        )
    return np.asarray(added == 0)


def _shaped(name: str, attend: BoolArray, sense: str) -> Mask:
    """Of keys in one or two dimensions; of scores in (samples, queries, keys) or (samples, heads, queries, keys)."""
    if attend.ndim not in (1, 2, 3, 4):
        raise InputError(
            f"{name} must be (samples, keys) or (samples, 1, queries, keys), where {sense}; got {attend.shape}"
        )
    if attend.ndim < 3:
        return Mask(attend, of_scores=False)
    if all(size == 1 for size in attend.shape[1:-1]):
        return Mask(attend.reshape(len(attend), -1), of_scores=False)
    return Mask(attend, of_scores=True)


PADDING = ("key_padding_mask", "src_key_padding_mask", "tgt_key_padding_mask", "memory_key_padding_mask")
KEY_MASKS = {"key_mask": _key_mask, "attention_mask": _attention_mask, **dict.fromkeys(PADDING, _padding_mask)}
SCORE_MASKS = dict.fromkeys(("attn_mask", "src_mask"), _score_mask)


def as_block_mask(mask: Mask, tokens: int, samples: int) -> tuple[BoolArray | None, bool]:
    """Split a mask into one of keys and whether it is causal, which is what an attention block knows.

    Returns
    -------
    key_mask : ndarray of bool (tokens,) or (samples, tokens), or None
    causal : bool

    Raises
    ------
    InputError
        If it is another mask, differs between heads, or does not fit the tokens.
    """
    if not mask.of_scores:
        return mask.attend, False
    attend = mask.attend
    if attend.shape[-2:] != (tokens, tokens):
        raise InputError(f"a mask of scores has the shape {attend.shape}; accepted is (..., {tokens}, {tokens})")
    if attend.ndim == 3 and len(attend) == samples > 1 and not (attend == attend[:1]).all():
        raise InputError(
            f"a mask of scores of the shape {attend.shape} may be one a sample or one a head; write it as (samples, 1, "
            "queries, keys)"
        )
    attend = attend.reshape(-1, tokens, tokens)
    if attend.shape[0] % samples == 0:
        attend = attend.reshape(samples, -1, tokens, tokens)
        attend = attend[:, :1] if (attend == attend[:, :1]).all() else attend
    attend = attend.reshape(-1, tokens, tokens)
    keys = attend[:, -1]
    if len(attend) not in (1, samples):
        raise InputError(
            f"a mask of scores of the shape {mask.attend.shape} differs between heads: accepted is one of all"
        )
    whole = np.broadcast_to(keys[:, None], attend.shape)
    lower = np.tril(np.ones((tokens, tokens), dtype=bool))
    causal = not np.array_equal(attend, whole)
    if causal and not np.array_equal(attend, whole & lower):
        raise InputError("a mask of scores is neither one of keys nor causal, the two that an attention block knows")
    if keys.all():
        return None, causal
    return keys if len(keys) > 1 else keys[0], causal
