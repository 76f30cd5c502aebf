"""Models as files of the Neuromorphic Intermediate Representation (NIR): read, run and written, spike train and all.

A file of NIR says which layers follow each other and their physical parameters, not what one step does: whether a
membrane at the threshold fires, what a spike leaves of it, and the timestep itself. So the user names them, or the file
has them from `to_nir`; what is not certain is refused. `biospike.nir_sources` has what each exporter means.

    layers = from_nir("model.nir", dt=1e-4, reset="subtract", source="snntorch")
    spikes = run(layers, inputs)
    to_nir(layers, "again.nir")
    from_nir("again.nir")  # the same layers

Only chains of layers are read: branches, recurrent and convolutional nodes are refused by name. There is no NIR for an
attention block, since NIR has no product of two spike trains.

Files are read without the package ``nir``, in all of its versions: 1.0.4 has no v_reset, and a newer one fills in 0
silently. Writing needs the extra ``nir``.

References
----------
J. E. Pedersen et al. (2024), Nat. Commun. 15, 8122, doi:10.1038/s41467-024-52259-9.
"""

from __future__ import annotations

import importlib
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.arrays import float_array, refuse_not_finite
from biospike.errors import InputError
from biospike.ideal.attention.layers import Affine
from biospike.ideal.framework_lif import FRAMEWORK_LIF, Norse, NorseBox, Sinabs
from biospike.ideal.lif import DISCRETE_LIF, DiscreteLIF, Paper, SnnTorch, SpikingJellyHard, SpikingJellySoft
from biospike.nir_sources import SOURCES
from biospike.recording import write_atomically

__all__ = ["Neurons", "affine_nodes", "from_nir", "run", "to_nir"]

RESETS = ("zero", "subtract")
OURS = "biospike"
"""Name of the metadata of a node that `to_nir` wrote."""
CONVENTIONS = DISCRETE_LIF | FRAMEWORK_LIF
PARAMETERS = {
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "IF": ("r", "v_threshold", "v_reset"),
    "CubaLIF": ("tau_mem", "tau_syn", "r", "v_leak", "w_in", "v_threshold", "v_reset"),
}
"""Neurons that are read, and their parameters; files of nir 1.0.4 have no v_reset."""
MATRICES = ("Linear", "Affine")
RELATIVE = 1e-5
"""By so much parameters differ that another program keeps in single precision."""
MISSING = "nir is not installed; install the extra: pip install 'biospike[nir]'"


def _kinds(kinds: Iterable[DiscreteLIF]) -> tuple[DiscreteLIF, ...]:
    return tuple(kinds)


@attrs.frozen(eq=False)
class Neurons:
    """A layer of neurons, each of a convention with parameters of its own.

    Attributes
    ----------
    kinds : tuple of DiscreteLIF
        One a neuron.
    """

    kinds: tuple[DiscreteLIF, ...] = attrs.field(converter=_kinds)

    def run(self, currents: ArrayLike, dtype: Any = np.float64) -> NDArray[Any]:
        """Spikes (T, n) under currents (T, n), by the formulas of the conventions."""
        rows = float_array(currents, "currents")
        if rows.shape[-1] != len(self.kinds):
            raise InputError(f"the layer has {len(self.kinds)} neurons, the input has {rows.shape[-1]}")
        spikes = np.zeros(rows.shape, np.int64)
        for kind in dict.fromkeys(self.kinds):
            chosen = [place for place, one in enumerate(self.kinds) if one == kind]
            spikes[:, chosen] = kind.run(rows[:, chosen], dtype)
        return spikes


Layers = Sequence[Affine | Neurons]


def run(layers: Layers, inputs: ArrayLike, dtype: Any = np.float32) -> NDArray[Any]:
    """Run a chain of layers from rest.

    Parameters
    ----------
    layers
        As `from_nir` gives them.
    inputs
        Shape (T, features).
    dtype
        "float32", in which the packages compute, or "float64".

    Returns
    -------
    ndarray (T, units)
        Spikes, if neurons are last.

    Raises
    ------
    InputError
        If inputs are not finite numbers, or a layer does not take what the one before it gives.
    """
    x: NDArray[Any] = float_array(inputs, "inputs").astype(dtype)
    refuse_not_finite(x, "inputs")
    for layer in layers:
        if isinstance(layer, Neurons):
            x = layer.run(x, dtype).astype(dtype)
        elif x.shape[-1] != layer.features:
            raise InputError(f"the layer has {layer.features} features, the input has {x.shape[-1]}")
        else:
            x = x @ layer.weight.astype(dtype) + layer.bias.astype(dtype)
    return x.astype(np.int64) if layers and isinstance(layers[-1], Neurons) else x


# --------------------------------------------------------------------------------------------------------------- read


def from_nir(
    path: str | Path, *, dt: float | None = None, reset: str | None = None, source: str | None = None
) -> list[Affine | Neurons]:
    """Read a chain of layers.

    Parameters
    ----------
    path
        File of any version of nir.
    dt
        Timestep that the exporter was given, in s; 1 for sinabs, which counts in steps.
    reset
        "zero" or "subtract": what a spike does in the model that was exported.
    source
        One of `biospike.nir_sources.SOURCES`. All three are left out for a file that `to_nir` wrote.

    Returns
    -------
    list
        `Affine` and `Neurons`, in the order of the chain.

    Raises
    ------
    InputError
        If the file is not a chain of Linear, Affine, LIF, IF and CubaLIF nodes, naming the node, or if what it means
        is not certain, saying what to pass.
    """
    path = Path(path)
    nodes, edges = _read(path)
    order = _chain(path, nodes, edges)
    given = {"dt": dt, "reset": reset, "source": source}
    layers: list[Affine | Neurons] = []
    for name in order:
        try:
            if nodes[name]["type"] in MATRICES:
                layers.append(_matrix(nodes[name]))
            else:
                layers.append(_neurons(nodes[name], given, _units(layers)))
        except InputError as error:
            raise InputError(f"{path}: node {name!r} ({nodes[name]['type']}): {error}") from None
    return layers


def affine_nodes(path: str | Path) -> dict[str, Affine]:
    """Every Linear and Affine node of a file by its name, however the nodes are joined.

    Raises
    ------
    InputError
        If it is no file of NIR.
    """
    nodes, _ = _read(Path(path))
    return {name: _matrix(node) for name, node in nodes.items() if node["type"] in MATRICES}


def _read(path: Path) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    """Nodes by name, each a dict with its type, its parameters and its metadata; and the edges."""
    try:
        with h5py.File(path, "r") as file:
            graph = file["node"]
            nodes = {str(name): _values(node) for name, node in graph["nodes"].items()}
            edges = [(_text(a), _text(b)) for a, b in graph["edges"][()]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no file of NIR that can be read ({error})") from None
    return nodes, list(dict.fromkeys(edges))


def _values(group: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            found[str(name)] = _values(item)
        else:
            value = item[()]
            found[str(name)] = _text(value) if isinstance(value, bytes) else value
    return found


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _chain(path: Path, nodes: dict[str, dict[str, Any]], edges: list[tuple[str, str]]) -> list[str]:
    """Names of the nodes between input and output, in their order."""
    for name, node in nodes.items():
        if node.get("type") not in (*MATRICES, *PARAMETERS, "Input", "Output"):
            raise InputError(
                f"{path}: node {name!r} is a {node.get('type')}; accepted are {', '.join((*MATRICES, *PARAMETERS))} in "
                "a chain: export the part of the model that is one"
            )
        for side, words in ((0, "goes to"), (1, "comes from")):
            ends = [edge[1 - side] for edge in edges if edge[side] == name]
            if len(ends) > 1:
                raise InputError(
                    f"{path}: node {name!r} {words} {', '.join(map(repr, ends))}; accepted is a chain without branches "
                    "and loops: export the part of the model that is one"
                )
    follows = dict(edges)
    inputs = [name for name, node in nodes.items() if node["type"] == "Input"]
    if len(inputs) != 1:
        raise InputError(f"{path} has {len(inputs)} Input nodes; accepted is a chain from one")
    order, here = [], inputs[0]
    while here in follows and follows[here] not in order:
        here = follows[here]
        order.append(here)
    left = set(nodes) - {inputs[0], *order}
    if left or nodes[here]["type"] != "Output":
        raise InputError(
            f"{path}: node {sorted(left)[0] if left else here!r} is not on the way from the input to the output; "
            "accepted is a chain without branches and loops"
        )
    return order[:-1]


def _matrix(node: dict[str, Any]) -> Affine:
    weight = np.asarray(node["weight"], dtype=float)
    if weight.ndim != 2:
        raise InputError(f"its weight has the shape {weight.shape}; accepted is (units, features)")
    return Affine(weight.T, np.asarray(node.get("bias", np.zeros(len(weight))), dtype=float))


def _units(layers: Layers) -> int:
    if not layers:
        raise InputError("it comes before any Linear or Affine; accepted is a chain that begins with one")
    last = layers[-1]
    return last.units if isinstance(last, Affine) else len(last.kinds)


def _neurons(node: dict[str, Any], given: dict[str, Any], units: int) -> Neurons:
    """Neurons of a node, one parameter each."""
    own = node.get("metadata", {}).get(OURS)
    if own is not None:
        if any(value is not None for value in given.values()):
            raise InputError("biospike wrote it, with all that is needed: pass neither dt, reset nor source")
        return _as_described(json.loads(own), node, units)
    for name, words in (
        ("source", f"the exporter as source=, one of {', '.join(SOURCES)}"),
        ("dt", "the timestep that the exporter was given as dt=, in s"),
        ("reset", "what a spike does in that model as reset=, 'zero' or 'subtract'"),
    ):
        if given[name] is None:
            raise InputError(f"the file does not say what a step of it does: pass {words}")
    if given["source"] not in SOURCES:
        raise InputError(f"source must be one of {', '.join(SOURCES)}, got {given['source']!r}")
    if given["reset"] not in RESETS:
        raise InputError(f"reset must be one of {', '.join(RESETS)}, got {given['reset']!r}")
    dt = given["dt"]
    if not isinstance(dt, int | float) or not 0 < dt < math.inf:
        raise InputError(f"dt must be a time above 0, in s, got {dt!r}")
    there = {name: np.asarray(node[name]) for name in PARAMETERS[node["type"]] if name in node}
    for name, value in there.items():
        if value.size not in (1, units):
            raise InputError(f"{name} has the shape {value.shape}, and there are {units} neurons")
    filled = {name: np.broadcast_to(value.reshape(-1), units) for name, value in there.items()}
    return Neurons(SOURCES[given["source"]](node["type"], filled, float(dt), given["reset"]))


def _as_described(own: Any, node: dict[str, Any], units: int) -> Neurons:
    """Neurons of our metadata, which other programs keep: parameters must still be those that we wrote beside it."""
    if not isinstance(own, dict):
        raise InputError("an older biospike wrote it, which did not say its dt; write the file again")
    kinds = [CONVENTIONS[one.pop("convention")](**_finite(one)) for one in own["neurons"]]
    for name in PARAMETERS[node["type"]]:
        wrote = np.array([_written(kind, own["dt"])[1].get(name, np.nan) for kind in kinds])
        found = np.ravel(node.get(name, wrote)).astype(float)
        if len(kinds) != units or found.shape != wrote.shape or not np.allclose(found, wrote, RELATIVE, equal_nan=True):
            raise InputError(
                f"its {name} is {found[:3]}, and biospike wrote {wrote[:3]}: another program has changed the file; "
                f"take the metadata {OURS!r} away, and pass dt, reset and source"
            )
    return Neurons(kinds)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Infinities were written as text: JSON has none."""
    return {name: float(value) if value in ("inf", "-inf") else value for name, value in values.items()}


# -------------------------------------------------------------------------------------------------------------- write


def to_nir(layers: Layers, path: str | Path, *, dt: float = 1e-4) -> None:
    """Write a chain of layers, with metadata from which `from_nir` makes the same again.

    Other packages read the physical parameters, and make of them what they do: see ``validation/conventions``.

    Parameters
    ----------
    layers
        `Affine` and `Neurons`, in the order of the chain; an `Affine` first.
    path
        File to write.
    dt
        Timestep in s, for conventions that have none of their own.

    Raises
    ------
    InputError
        If nir is not installed, or a layer cannot be written.
    """
    try:
        nir = importlib.import_module("nir")
    except ImportError:
        raise InputError(MISSING) from None
    if not layers or not isinstance(layers[0], Affine):
        raise InputError("layers must begin with an Affine")
    nodes: dict[str, Any] = {"input": nir.Input(np.array([layers[0].features]))}
    for number, layer in enumerate(layers):
        if isinstance(layer, Affine):
            nodes[str(number)] = nir.Affine(weight=layer.weight.T.copy(), bias=layer.bias.copy())
            continue
        written = [_written(kind, dt) for kind in layer.kinds]
        if len({name for name, _ in written}) != 1:
            raise InputError(
                f"layer {number} has neurons of several node types: {', '.join(sorted({n for n, _ in written}))}"
            )
        values = {name: np.array([one[name] for _, one in written]) for name in written[0][1]}
        if not _has_v_reset(nir):
            values.pop("v_reset", None)
        node = getattr(nir, written[0][0])(**values)
        node.metadata = {OURS: json.dumps({"dt": dt, "neurons": [_described(kind) for kind in layer.kinds]})}
        nodes[str(number)] = node
    nodes["output"] = nir.Output(np.array([_units(layers)]))
    names = list(nodes)
    graph = nir.NIRGraph(nodes=nodes, edges=list(itertools.pairwise(names)))
    write_atomically(Path(path), lambda temporary: nir.write(str(temporary), graph))


def _has_v_reset(nir: Any) -> bool:
    return "v_reset" in getattr(nir.LIF, "__dataclass_fields__", {})


def _described(kind: DiscreteLIF) -> dict[str, Any]:
    name = next((name for name, convention in CONVENTIONS.items() if convention is type(kind)), None)
    if name is None:
        raise InputError(
            f"{type(kind).__name__} is no convention that can be written; accepted are {', '.join(CONVENTIONS)}"
        )
    values = attrs.asdict(kind)
    return {"convention": name} | {k: str(v) if v in (math.inf, -math.inf) else v for k, v in values.items()}


def _written(kind: DiscreteLIF, dt: float) -> tuple[str, dict[str, float]]:
    """Type of the node of a neuron, and its parameters."""
    if isinstance(kind, Norse | NorseBox):
        membrane = {"r": 1.0, "v_leak": kind.v_leak, "v_threshold": kind.v_th, "v_reset": kind.v_reset}
        if isinstance(kind, NorseBox):
            return "LIF", {"tau": 1 / kind.tau_mem_inv} | membrane
        # NIR's current takes dt/tau_syn of its input in a step, LIFCell's all of it.
        synapse = {"tau_syn": 1 / kind.tau_syn_inv, "w_in": 1 / (kind.tau_syn_inv * kind.step)}
        return "CubaLIF", {"tau_mem": 1 / kind.tau_mem_inv} | synapse | membrane
    if isinstance(kind, SnnTorch | Paper):
        decay, threshold, gain, rest = kind.beta, kind.thr if isinstance(kind, SnnTorch) else kind.v_th, 1.0, 0.0
    elif isinstance(kind, Sinabs):
        decay, threshold, rest = kind.alpha, kind.v_th, 0.0
        gain = 1 - kind.alpha if kind.norm_input else 1.0
    elif isinstance(kind, SpikingJellyHard | SpikingJellySoft):
        decay, threshold = 1 - 1 / kind.tau, kind.v_th
        gain = 1 / kind.tau if kind.decay_input else 1.0
        rest = kind.v_reset if isinstance(kind, SpikingJellyHard) else 0.0
    else:
        raise InputError(f"NIR has no node for {type(kind).__name__}: it has no refractory period and no integers")
    if decay == 1:
        return "IF", {"r": gain / dt, "v_threshold": threshold, "v_reset": rest}
    tau = dt / (1 - decay)
    return "LIF", {"tau": tau, "r": gain * tau / dt, "v_leak": rest, "v_threshold": threshold, "v_reset": rest}
