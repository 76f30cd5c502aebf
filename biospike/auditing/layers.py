"""Attention layers of models of torch: what they are called, and their queries, keys and values on an input.

========================================= ===========================================================================
layer                                     how its queries, keys and values are taken
========================================= ===========================================================================
``nn.MultiheadAttention``                 its inputs, by a hook, times `in_proj`: it fires no hook of a submodule
others that project by modules            outputs of their modules, by hooks, of the names in `SEPARATE` and `FUSED`
========================================= ===========================================================================

Returned attention is not used: default implementations return none. Masks are those that the layer was handed; where a
layer masks what comes after a token by itself (`is_causal`), that is tried too, and the layer's own output decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import attrs
import numpy as np

from biospike.auditing.records import Array, Attention, Flags, check_outputs
from biospike.errors import InputError
from biospike.multihead import multihead_projections, plain

SEPARATE = (
    ("query", "key", "value"),
    ("q_proj", "k_proj", "v_proj"),
    ("to_q", "to_k", "to_v"),
    ("q_lin", "k_lin", "v_lin"),
)
FUSED = ("c_attn", "qkv", "to_qkv", "qkv_proj", "in_proj")
PROJECTIONS = ("out_proj", "o_proj", "c_proj", "proj", "to_out", "out_lin")
HEADS = ("num_attention_heads", "num_heads", "n_heads", "n_head", "heads")
SCALES = ("scaling", "scale")
MASKS = ("attention_mask", "attn_mask", "mask")


def first_tensor(torch: Any, value: Any) -> Any:
    """First tensor of floating point in an output: itself, of a tuple or a list, or of a dict; None for none."""
    if isinstance(value, torch.Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return next((found for one in value if (found := first_tensor(torch, one)) is not None), None)
    return None


def attention_layers(torch: Any, module: Any) -> dict[str, Any]:
    """Layers by name that are audited as softmax attention, each once."""
    return {
        name or type(one).__name__: one
        for name, one in module.named_modules()
        if isinstance(one, torch.nn.MultiheadAttention) or (_names(one) and _heads(one))
    }


def _names(module: Any) -> tuple[str, ...]:
    """Names of the modules that project: three, or one for all, or none."""
    children = dict(module.named_children())
    for names in (*SEPARATE, *((name,) for name in FUSED)):
        if all(name in children and hasattr(children[name], "weight") for name in names):
            return names
    return ()


def _heads(module: Any) -> int:
    """Number of heads, as the layer or its configuration says it; 0 if neither does."""
    places = [module, getattr(module, "config", None)]
    found = next((getattr(one, name) for one in places for name in HEADS if hasattr(one, name)), 0)
    return found if isinstance(found, int) else 0


@attrs.define(eq=False)
class Watch:
    """Hooks on one attention layer, and what they have seen of every call."""

    torch: Any
    layer: str
    module: Any
    calls: list[dict[str, Any]] = attrs.field(factory=list)
    streams: dict[str, Any] = attrs.field(factory=dict)

    def hooks(self) -> Iterator[Any]:
        """Put the hooks on; yield their handles."""
        for name in () if self.is_multihead else _names(self.module):
            child = getattr(self.module, name)
            yield child.register_forward_hook(partial(self._after_projection, name))
        yield self.module.register_forward_hook(self._after, with_kwargs=True)

    @property
    def is_multihead(self) -> bool:
        """Whether it is torch's own."""
        return isinstance(self.module, self.torch.nn.MultiheadAttention)

    def _after_projection(self, name: str, module: Any, args: Any, output: Any) -> None:
        self.streams[name] = self._copied(output, {})

    def _after(self, module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        tensor = first_tensor(self.torch, output)
        same: dict[int, Any] = {}
        # The model goes on with a copy: what is changed in place, or is a view, loses its place in the graph.
        known = tensor is not None and tensor.requires_grad
        copied = known and (output is tensor or type(output) is tuple)
        handed = tensor.clone() if copied else tensor
        self.calls.append(
            {
                "args": [self._copied(one, same) for one in args],
                "kwargs": {name: self._copied(one, same) for name, one in kwargs.items()},
                "output": None if tensor is None else self._copied(tensor, {}),
                "streams": self.streams,
                "edge": self.torch.autograd.graph.get_gradient_edge(handed) if known else None,
            }
        )
        self.streams = {}
        if not copied:
            return None
        return handed if output is tensor else tuple(handed if one is tensor else one for one in output)

    def _copied(self, value: Any, same: dict[int, Any]) -> Any:
        """A tensor as it is now, whatever is done to it in place afterwards; what was one tensor stays one."""
        if not isinstance(value, self.torch.Tensor):
            return value
        return same.setdefault(id(value), value.detach().clone())

    def arranged(self, tensor: Any) -> Array:
        """An input or output of the layer as (batch, tokens, features)."""
        values = plain(tensor)
        if values.ndim == 2:
            return values[None]
        return values.swapaxes(0, 1) if self.is_multihead and not self.module.batch_first else values

    def found(self, pads: Flags | None) -> Iterator[tuple[Attention, str, Any]]:
        """Every call, as it was extracted and held against its output, what is left to say, and its gradient's edge.

        Parameters
        ----------
        pads : bool array (batch, tokens), optional
            Tokens of the model's input that are padding.

        Raises
        ------
        InputError
            If a call is not understood, or its output not reproduced.
        """
        for number, call in enumerate(self.calls):
            layer = self.layer if len(self.calls) == 1 else f"{self.layer}#{number + 1}"
            extract = _multihead if self.is_multihead else _projecting
            refused: InputError | None = None
            for tried in extract(self, layer, call, pads):
                try:
                    said = check_outputs(tried)
                except InputError as error:
                    refused = refused or error
                    continue
                yield tried, said, (call["edge"], call["output"])
                break
            else:
                raise refused or InputError(f"{layer}: nothing was extracted")


def _multihead(watch: Watch, layer: str, call: dict[str, Any], pads: Flags | None) -> Iterator[Attention]:
    module = watch.module
    names = (
        "query",
        "key",
        "value",
        "key_padding_mask",
        "need_weights",
        "attn_mask",
        "average_attn_weights",
        "is_causal",
    )
    given = dict(zip(names, call["args"], strict=False)) | call["kwargs"]
    weights = multihead_projections(module)
    units: list[Array] = []
    for stream, name in zip("qkv", names, strict=False):
        matrix, bias = weights[f"W_{stream}"], weights[f"b_{stream}"]
        units.append(watch.arranged(given[name]) @ matrix + (0.0 if bias is None else bias))
    q, k, v = (_split(one, module.num_heads) for one in units)
    (batch, heads, queries, width), keys = q.shape, k.shape[2]
    bias = np.zeros((1, 1, 1, keys))
    if (mask := given.get("attn_mask")) is not None:
        nats = _nats(mask, attends=False)
        bias = bias + (nats.reshape(batch, heads, queries, keys) if nats.ndim == 3 else nats[None, None])
    real = np.ones((batch, queries), dtype=bool)
    if (mask := given.get("key_padding_mask")) is not None:
        nats = _nats(mask, attends=False).reshape(batch, 1, 1, keys)
        bias = bias + nats
        if queries == keys and given["query"] is given["key"]:
            real &= np.isfinite(nats[:, 0, 0])
    yield Attention(
        layer=layer, kind=type(module).__name__, q=q, k=k, v=v, scale=width**-0.5, bias=bias,
        real=_real(real, pads), output=watch.arranged(call["output"]), W_out=plain(module.out_proj.weight).T,
        b_out=None if module.out_proj.bias is None else plain(module.out_proj.bias),
    )  # fmt: skip


def _projecting(watch: Watch, layer: str, call: dict[str, Any], pads: Flags | None) -> Iterator[Attention]:
    """One reading for every mask that the layer may have had."""
    torch, module = watch.torch, watch.module
    kind, heads = type(module).__name__, _heads(module)
    seen = [call["streams"].get(name) for name in _names(module)]
    if any(one is None for one in seen) or call["output"] is None:
        raise InputError(
            f"{layer} ({kind}): {', '.join(_names(module))} were not called, or nothing of floating point returned; "
            "understood are layers that call the modules that they project with, without a cache of keys"
        )
    if len(seen) == 1:
        if seen[0].shape[-1] % 3:
            raise InputError(
                f"{layer} ({kind}): {_names(module)[0]} has {seen[0].shape[-1]} units, not three times as many"
            )
        seen = list(seen[0].chunk(3, dim=-1))
    if any(one.dim() not in (2, 3) for one in seen):
        raise InputError(f"{layer} ({kind}): projections (batch, tokens, units) expected, got {tuple(seen[0].shape)}")
    arrays = [watch.arranged(one) for one in seen]
    if len({one.shape[-1] for one in arrays[:2]}) > 1 or arrays[0].shape[-1] % heads:
        raise InputError(
            f"{layer} ({kind}): queries of {arrays[0].shape[-1]} units and keys of {arrays[1].shape[-1]} in {heads} "
            "heads: grouped queries are not understood"
        )
    q, k, v = (_split(one, heads) for one in arrays)
    output = watch.arranged(call["output"])
    scale = next((float(value) for name in SCALES if isinstance(value := getattr(module, name, None), float)), None)
    projection = _output_projection(module)
    given = [one for name in MASKS if (one := call["kwargs"].get(name)) is not None]
    given += [one for one in call["args"][1:2] if isinstance(one, torch.Tensor) and one.dim() in (2, 4)]
    (batch, _, queries, width), keys = q.shape, k.shape[2]
    bias = _handed(given[0], keys) if given else np.zeros((1, 1, 1, keys))
    causal = np.where(np.tri(queries, keys, keys - queries, dtype=bool), 0.0, -np.inf)[None, None]
    for nats in (bias + causal, bias) if getattr(module, "is_causal", False) else (bias, bias + causal):
        full = np.broadcast_to(nats, (*q.shape[:3], keys))
        own = np.isfinite(np.diagonal(full, axis1=-2, axis2=-1)).all(axis=1) if queries == keys else True
        yield Attention(
            layer=layer, kind=kind, q=q, k=k, v=v, scale=width**-0.5 if scale is None else scale, bias=nats,
            real=_real(np.ones((batch, queries), dtype=bool) & own, pads), output=output, **projection,
        )  # fmt: skip


def _output_projection(module: Any) -> dict[str, Any]:
    children = dict(module.named_children())
    found = next((children[name] for name in PROJECTIONS if name in children), None)
    while found is not None and not hasattr(found, "weight") and list(found.children()):
        found = next(iter(found.children()))  # to_out is a list of a projection and a dropout
    if found is None:
        return {}
    weight = plain(found.weight)
    return {
        "W_out": weight if type(found).__name__ == "Conv1D" else weight.T,  # that of GPT-2 is (in, out)
        "b_out": None if found.bias is None else plain(found.bias),
    }


def _split(units: Array, heads: int) -> Array:
    batch, tokens, columns = units.shape
    return units.reshape(batch, tokens, heads, columns // heads).swapaxes(1, 2)


def _nats(mask: Any, *, attends: bool) -> Array:
    """Nats that a mask adds; of truth values, True attends or is left out."""
    values = mask.detach().cpu().numpy() if not mask.is_floating_point() else plain(mask)
    if values.dtype.kind in "biu":
        return np.where(values.astype(bool) == attends, 0.0, -np.inf)
    return np.where(values < 0.5 * np.finfo(np.float32).min, -np.inf, values)


def _handed(mask: Any, keys: int) -> Array:
    """Nats of a mask (batch, keys) or (batch, heads or 1, queries, keys), in which what attends is True or 0 nats."""
    nats = _nats(mask, attends=True)
    return nats[:, None, None, :keys] if nats.ndim == 2 else nats[..., :keys]


def _real(real: Flags, pads: Flags | None) -> Flags:
    return real & ~pads if pads is not None and pads.shape == real.shape else real
