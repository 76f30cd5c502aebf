"""Files of four exporters give the spike trains of the models that were exported, and what is uncertain is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from oracles import nir_files as exported

from biospike.errors import InputError
from biospike.ideal.attention.layers import Affine
from biospike.ideal.framework_lif import BindsNET, Norse, NorseBox, Sinabs
from biospike.ideal.lif import DiscreteLIF, Paper, SnnTorch, SpikingJellyHard, SpikingJellySoft
from biospike.nir import MISSING, Neurons, affine_nodes, from_nir, run, to_nir

FILES: dict[str, dict[str, Any]] = {
    "snntorch_subtract_nir-1.0.8": {"dt": 1e-4, "reset": "subtract", "source": "snntorch"},
    "snntorch_zero_nir-1.0.8": {"dt": 1e-4, "reset": "zero", "source": "snntorch"},
    "spikingjelly_nir-1.0.8": {"dt": 1e-4, "reset": "zero", "source": "spikingjelly"},
    "spikingjelly_whole_input_nir-1.0.8": {"dt": 1e-4, "reset": "zero", "source": "spikingjelly"},
    "norse_box_nir-1.0.8": {"dt": 1e-3, "reset": "zero", "source": "norse"},
    "norse_box_dt1_nir-1.0.8": {"dt": 1e-3, "reset": "zero", "source": "norse dt=1"},
    "norse_cell_nir-1.0.8": {"dt": 1e-3, "reset": "zero", "source": "norse"},
    "sinabs_norm_nir-1.0.4": {"dt": 1, "reset": "subtract", "source": "sinabs norm_input=True"},
    "sinabs_whole_input_nir-1.0.4": {"dt": 1, "reset": "subtract", "source": "sinabs norm_input=False"},
}
FIRST = {
    "snntorch_subtract_nir-1.0.8": SnnTorch(beta=0.9),
    "spikingjelly_whole_input_nir-1.0.8": SpikingJellyHard(tau=3, v_reset=-0.25, decay_input=False),
    "norse_box_nir-1.0.8": NorseBox(tau_mem_inv=500),
    "norse_box_dt1_nir-1.0.8": NorseBox(tau_mem_inv=500),
    "norse_cell_nir-1.0.8": Norse(),
}
"""Neurons of the first layer, as they were made."""


def path_of(name: str) -> Path:
    return exported.FILES / f"{name}.nir"


def expected(name: str) -> np.ndarray:
    with np.load(exported.FILES / f"{name}.npz", allow_pickle=False) as archive:
        assert {"nir", "torch"} <= json.loads(str(archive["versions"])).keys()
        return archive["spikes"]


# ----------------------------------------------------------------------------------------------------------- reading


def test_every_file_is_here() -> None:
    assert {path.stem for path in exported.FILES.glob("*.nir")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_the_spike_train_is_that_of_the_model_that_was_exported(name: str) -> None:
    layers = from_nir(path_of(name), **FILES[name])
    assert [type(layer).__name__ for layer in layers] == ["Affine", "Neurons"] * 2
    spikes = run(layers, exported.inputs())
    assert expected(name).sum() > 150
    assert (spikes != expected(name)).sum() == 0
    if name in FIRST:
        assert isinstance(layers[1], Neurons)
        assert set(layers[1].kinds) == {FIRST[name]}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("snntorch_subtract_nir-1.0.8", {"reset": "zero"}),
        ("snntorch_zero_nir-1.0.8", {"reset": "subtract"}),
        ("norse_box_dt1_nir-1.0.8", {"dt": 5e-4}),
        ("sinabs_norm_nir-1.0.4", {"source": "sinabs norm_input=False"}),
    ],
)
def test_another_reset_or_timestep_gives_another_train(name: str, wrong: dict[str, Any]) -> None:
    """The files are hard enough to tell."""
    layers = from_nir(path_of(name), **FILES[name] | wrong)
    assert (run(layers, exported.inputs()) != expected(name)).sum() > 50


def test_matrices_are_read_by_name_however_nodes_are_joined() -> None:
    found = affine_nodes(path_of("snntorch_zero_nir-1.0.8"))
    assert list(found) == ["0", "2"]
    np.testing.assert_array_equal(found["0"].weight, exported.weights(0).T)
    assert set(found["2"].bias) == {0.125}


# ----------------------------------------------------------------------------------------------------------- writing

KINDS: list[DiscreteLIF] = [
    Paper(beta=0.9), Paper(beta=1, v_th=0.7), SnnTorch(beta=0.9, reset="zero"), SnnTorch(beta=1.0),
    SpikingJellyHard(tau=3, v_reset=-0.25, decay_input=False), SpikingJellyHard(tau=math.inf, decay_input=False),
    SpikingJellySoft(tau=3), Norse(tau_syn_inv=250, v_leak=0.1), NorseBox(v_th=0.3, reset="subtract"),
    Sinabs(alpha=0.75), Sinabs(alpha=1, norm_input=False),
]  # fmt: skip


def model(kind: DiscreteLIF) -> list[Affine | Neurons]:
    first = Affine(4 * exported.weights(0).T, np.full(exported.SIZES[1], 0.1))
    return [first, Neurons([kind] * exported.SIZES[1]), Affine(4 * exported.weights(1).T, np.zeros(exported.SIZES[2]))]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_round_trip_keeps_the_spike_train(kind: DiscreteLIF, tmp_path: Path) -> None:
    nir = pytest.importorskip("nir")
    layers = [*model(kind), Neurons([kind] * exported.SIZES[2])]
    to_nir(layers, tmp_path / "model.nir")
    again = from_nir(tmp_path / "model.nir")
    spikes = run(layers, exported.inputs())
    assert spikes.sum() > 100
    np.testing.assert_array_equal(run(again, exported.inputs()), spikes)
    assert isinstance(again[1], Neurons)
    assert again[1].kinds == (kind,) * exported.SIZES[1]
    assert list(nir.read(tmp_path / "model.nir").nodes) == ["0", "1", "2", "3", "input", "output"]


def test_parameters_that_another_program_has_changed_are_not_those_we_wrote(tmp_path: Path) -> None:
    """It keeps our metadata, by which the neurons would be the old ones."""
    pytest.importorskip("nir")
    for parameter, change in (("v_threshold", lambda v: 2 * v), ("tau", lambda v: 2 * v), ("r", lambda v: v[:1])):
        to_nir(model(Paper(beta=0.9)), tmp_path / "model.nir")
        with h5py.File(tmp_path / "model.nir", "a") as file:
            node = file["node/nodes/1"]
            values = node[parameter][()]
            node[parameter][...] = values.astype(np.float32)
            from_nir(tmp_path / "model.nir")
            del node[parameter]
            node[parameter] = change(values)
        with pytest.raises(InputError, match=f"'1' .LIF.: its {parameter} is .* another program has changed the file"):
            from_nir(tmp_path / "model.nir")


@pytest.mark.parametrize("name", [name for name in FILES if "1.0.4" not in name])
def test_what_is_written_means_to_the_exporter_what_it_wrote_itself(name: str, tmp_path: Path) -> None:
    """Parameters that we write are those of the file, to float32; our metadata is not needed to read them."""
    nir = pytest.importorskip("nir")
    if "v_reset" not in nir.LIF.__dataclass_fields__:
        pytest.skip("this nir has no v_reset")
    layers = from_nir(path_of(name), **FILES[name])
    to_nir(layers, tmp_path / "model.nir", dt=1e-4)
    with h5py.File(tmp_path / "model.nir", "a") as ours, h5py.File(path_of(name)) as theirs:
        names = sorted(key for key in theirs["node/nodes"] if "put" not in key)
        for mine, other in zip("0123", names, strict=True):
            a, b = ours["node/nodes"][mine], theirs["node/nodes"][other]
            for parameter in set(b) - {"type", "metadata"}:
                # Norse's exporter multiplies time constants by a dt, and leaves out the weight of the current.
                seconds = 1e-3 if "norse" in name and "dt1" not in name and parameter.startswith("tau") else 1
                weight = 5 if parameter == "w_in" else 1
                np.testing.assert_allclose(a[parameter][()] * seconds, b[parameter][()] * weight, rtol=1e-5)
            if "metadata" in a:
                del a["metadata"]
    if name.startswith(("snntorch", "spikingjelly")):
        again = from_nir(tmp_path / "model.nir", **FILES[name])
        assert (run(again, exported.inputs()) != expected(name)).sum() == 0


def test_every_neuron_of_a_layer_may_have_parameters_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("nir")
    kinds = [
        SnnTorch(beta=beta, thr=thr) for beta, thr in zip(np.linspace(0.2, 0.9, 8), np.linspace(1, 2, 8), strict=True)
    ]
    first = model(kinds[0])[0]
    assert isinstance(first, Affine)
    layers = [first, Neurons(kinds)]
    to_nir(layers, tmp_path / "model.nir")
    spikes = run(from_nir(tmp_path / "model.nir"), exported.inputs(), np.float64)
    one_by_one = [
        run([Affine(first.weight[:, [n]], first.bias[[n]]), Neurons([kind])], exported.inputs(), np.float64)
        for n, kind in enumerate(kinds)
    ]
    assert (spikes.sum(axis=0) > 10).sum() >= 4
    np.testing.assert_array_equal(spikes, np.hstack(one_by_one))


# ---------------------------------------------------------------------------------------------------------- refusals


def graph(path: Path, nodes: dict[str, dict[str, Any]], edges: list[tuple[str, str]]) -> Path:
    """Write a file of NIR by hand."""
    with h5py.File(path, "w") as file:
        for name, node in nodes.items():
            for key, value in node.items():
                file[f"node/nodes/{name}/{key}"] = value
        file["node/edges"] = np.array(edges, dtype="S")
    return path


ENDS: dict[str, dict[str, Any]] = {"in": {"type": "Input", "shape": [2]}, "out": {"type": "Output", "shape": [2]}}
W = {"type": "Linear", "weight": np.eye(2)}
NEURON = {"type": "LIF", **{name: np.ones(2) for name in ("tau", "r", "v_threshold")}, "v_leak": np.zeros(2)}
ASK = {"dt": 1e-4, "reset": "zero", "source": "snntorch"}


@pytest.mark.parametrize(
    ("nodes", "edges", "line"),
    [
        ({"w": W, "u": W}, [("in", "w"), ("in", "u"), ("w", "out"), ("u", "out")],
         r"node 'in' goes to 'w', 'u'; accepted is a chain without branches"),
        ({"w": W, "u": W}, [("in", "w"), ("w", "u"), ("u", "w"), ("w", "out")], r"node 'w' goes to 'u', 'out'"),
        ({"w": W, "u": W}, [("in", "w"), ("w", "out"), ("u", "u")], r"node 'u' is not on the way"),
        ({"c1": {"type": "Conv2d"}}, [("in", "c1"), ("c1", "out")],
         r"node 'c1' is a Conv2d; accepted are Linear, Affine, LIF, IF, CubaLIF in a chain"),
        ({"rec": {"type": "NIRGraph"}}, [("in", "rec"), ("rec", "out")], r"node 'rec' is a NIRGraph; accepted"),
        ({"n": NEURON}, [("in", "n"), ("n", "out")], r"node 'n' \(LIF\): it comes before any Linear"),
        ({"w": W, "n": NEURON | {"tau": np.ones(3)}}, [("in", "w"), ("w", "n"), ("n", "out")],
         r"node 'n' \(LIF\): tau has the shape \(3,\), and there are 2 neurons"),
    ],
)  # fmt: skip
def test_what_is_no_chain_is_refused_by_the_name_of_the_node(
    nodes: dict[str, Any], edges: list[tuple[str, str]], line: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=line):
        from_nir(graph(tmp_path / "model.nir", ENDS | nodes, edges), **ASK)


@pytest.mark.parametrize(
    ("name", "changes", "line"),
    [
        ("snntorch_zero_nir-1.0.8", {"source": None}, r"node '1' \(LIF\): .* pass the exporter as source="),
        ("snntorch_zero_nir-1.0.8", {"dt": None}, "pass the timestep that the exporter was given as dt="),
        ("snntorch_zero_nir-1.0.8", {"reset": None}, "pass what a spike does in that model as reset="),
        ("snntorch_zero_nir-1.0.8", {"source": "brian"}, "source must be one of snntorch, .*'brian'"),
        ("snntorch_zero_nir-1.0.8", {"reset": "none"}, "reset must be one of zero, subtract, got 'none'"),
        ("snntorch_zero_nir-1.0.8", {"dt": -1}, "dt must be a time above 0, in s, got -1"),
        ("snntorch_zero_nir-1.0.8", {"dt": 1e-3}, "r is 10, and tau/dt 1: pass the dt of the export, which is 1e-4"),
        ("spikingjelly_nir-1.0.8", {"source": "snntorch"}, "r is 1, and tau/dt 2"),
        ("spikingjelly_nir-1.0.8", {"reset": "subtract"}, "cannot have reset='subtract'; pass reset='zero'"),
        ("spikingjelly_nir-1.0.8", {"dt": 1e-3}, "tau/dt is 0.2 and must be above 1: pass the dt of the export"),
        ("norse_box_nir-1.0.8", {"source": "norse dt=1"}, "makes a step 500 time constants: pass the timestep"),
        ("norse_cell_nir-1.0.8", {"reset": "subtract"}, "cannot have reset='subtract'"),
        ("sinabs_norm_nir-1.0.4", {"source": "sinabs"}, "sinabs does not write norm_input: pass source='sinabs norm"),
        ("sinabs_norm_nir-1.0.4", {"dt": 1e-3}, "time constants in steps: pass dt=1, got 0.001"),
        ("sinabs_norm_nir-1.0.4", {"source": "spikingjelly", "reset": "zero"}, "it has no v_reset, so nir below 1.0.7"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_refused_with_what_to_pass(name: str, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line):
        from_nir(path_of(name), **FILES[name] | changes)


def test_what_cannot_be_read_or_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.nir").write_text("no file of NIR")
    for path in (tmp_path / "none.nir", tmp_path / "text.nir"):
        with pytest.raises(InputError, match="is no file of NIR that can be read"):
            from_nir(path, **ASK)
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "nir", None)
        with pytest.raises(InputError, match=MISSING.split(";")[0]):
            to_nir(model(Paper()), tmp_path / "model.nir")
    pytest.importorskip("nir")
    with pytest.raises(InputError, match="layers must begin with an Affine"):
        to_nir([Neurons([Paper()])], tmp_path / "model.nir")
    with pytest.raises(InputError, match="NIR has no node for BindsNET: it has no refractory period"):
        to_nir(model(BindsNET()), tmp_path / "model.nir")
    with pytest.raises(InputError, match="layer 1 has neurons of several node types: IF, LIF"):
        to_nir([model(Paper())[0], Neurons([Paper(), Paper(beta=1)] * 4)], tmp_path / "model.nir")
    to_nir(model(Paper()), tmp_path / "model.nir")
    with pytest.raises(InputError, match="biospike wrote it, with all that is needed: pass neither dt"):
        from_nir(tmp_path / "model.nir", **ASK)


def test_layers_that_do_not_fit_are_refused() -> None:
    for layers in (model(Paper()), [Neurons([Paper()])]):
        with pytest.raises(InputError, match="the input has 3"):
            run(layers, np.ones((4, 3)))


def test_inputs_that_are_no_numbers_are_refused() -> None:
    """A masked or missing current would be no spike."""
    for inputs in (np.ma.masked_array(np.ones((4, 2)), np.eye(4, 2)), np.full((4, 2), np.nan)):
        with pytest.raises(InputError, match=r"inputs has nan at \(0, 0\)"):
            run(model(Paper()), inputs)
