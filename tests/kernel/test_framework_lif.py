"""Neurons of Norse, sinabs and BindsNET: closed forms, the packages' own spikes from files, and the packages live."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import golden_neurons as golden

from biospike.errors import InputError
from biospike.ideal.framework_lif import BindsNET, Norse, NorseBox, Sinabs
from biospike.ideal.frameworks import (
    FrameworkMissing,
    available,
    framework_attention,
    framework_conventions,
    framework_neuron,
)
from biospike.ideal.frameworks.installed import require
from biospike.ideal.lif import DiscreteLIF, SnnTorch

import brian2 as b2

NEURONS: dict[str, dict[str, DiscreteLIF]] = {
    "norse": {
        "LIFCell": Norse(), "LIFCell dyadic": Norse(tau_mem_inv=500, tau_syn_inv=500),
        "LIFBoxCell": NorseBox(), "LIFBoxCell dyadic": NorseBox(tau_mem_inv=500),
    },
    "sinabs": {"LIF": Sinabs(), "LIF norm_input=False": Sinabs(norm_input=False),
               "IAF": Sinabs(alpha=1, norm_input=False)},
    "bindsnet": {"LIFNodes": BindsNET()},
}  # fmt: skip
CASES = [(package, name) for package, cases in NEURONS.items() for name in cases]
TIES = {"LIFCell dyadic": 50, "LIFBoxCell dyadic": 500, "IAF": 500, "LIFNodes": 50}
"""Membranes that meet the threshold exactly, at least, in the cases whose numbers are dyadic."""
FIRES_ON_TIE = {"norse": False, "sinabs": True, "bindsnet": True}
SETTINGS: list[tuple[str, DiscreteLIF]] = [
    *((package, kind) for package in NEURONS for kind in framework_conventions(package).values()),
    ("norse", Norse(tau_mem_inv=500, tau_syn_inv=300, v_leak=0.25, v_th=0.7, v_reset=-0.25, step=5e-4)),
    ("norse", NorseBox(tau_mem_inv=250, v_leak=-0.1, v_th=0.7, v_reset=0.1, reset="subtract")),
    ("sinabs", Sinabs(alpha=0.9, v_th=0.7)),
    ("bindsnet", BindsNET(decay=0.75, thresh=1, rest=0.1, v_reset=-0.25, refrac=2)),
]


def threshold(kind: DiscreteLIF) -> float:
    return float(getattr(kind, "thresh", getattr(kind, "v_th", np.nan)))


@pytest.mark.parametrize(("package", "name"), CASES)
def test_formula_gives_the_spikes_of_the_package(package: str, name: str) -> None:
    counts, versions = golden.read(package)
    assert {package, "torch", "numpy"} == versions.keys()
    spikes, membrane = NEURONS[package][name].trace(golden.inputs(golden.SCALES[name]), "float32")
    assert counts[name].size == 10**5
    assert counts[name].sum() > 5000
    assert (spikes != counts[name]).sum() == 0
    tie = membrane == np.float32(threshold(NEURONS[package][name]))
    assert tie.sum() >= TIES.get(name, 0)
    assert np.all((spikes[tie] > 0) == FIRES_ON_TIE[package])


@pytest.mark.parametrize("package", NEURONS)
def test_other_spike_tests_and_resets_are_noticed(package: str) -> None:
    """The files are hard enough: a strict threshold, or another reset, gives other spikes."""
    wrong: dict[str, list[tuple[str, DiscreteLIF]]] = {
        "norse": [("LIFBoxCell dyadic", NorseBox(tau_mem_inv=500, v_th=float(np.nextafter(np.float32(1), 0)))),
                  ("LIFBoxCell", NorseBox(reset="subtract"))],
        "sinabs": [("IAF", Sinabs(alpha=1, norm_input=False, v_th=float(np.nextafter(np.float32(1), 2))))],
        "bindsnet": [("LIFNodes", BindsNET(refrac=4)), ("LIFNodes", BindsNET(thresh=-51.99999))],
    }  # fmt: skip
    counts, _ = golden.read(package)
    for name, kind in wrong[package]:
        assert (kind.run(golden.inputs(golden.SCALES[name]), "float32") != counts[name]).sum() > 20


def impulse(kind: DiscreteLIF, *inputs: float) -> tuple[list[int], list[float]]:
    spikes, membrane = kind.trace(np.array(inputs)[:, None])
    return spikes[:, 0].tolist(), membrane[:, 0].tolist()


def test_closed_forms() -> None:
    assert impulse(Norse(), 1, 0, 0)[1] == pytest.approx([0.1, 0.17, 0.217], rel=1e-14)
    assert impulse(NorseBox(), 1, 0)[1] == pytest.approx([0.1, 0.09], rel=1e-14)
    assert impulse(Sinabs(), 1, 0)[1] == pytest.approx([1 - np.exp(-1 / 20), (1 - np.exp(-1 / 20)) * np.exp(-1 / 20)])
    assert impulse(Sinabs(alpha=1, norm_input=False), 3.5, 0, 0.5) == ([3, 0, 1], [3.5, 0.5, 1.0])
    assert impulse(Sinabs(alpha=1, norm_input=False), -3.5, 3)[1] == [-3.5, -0.5]
    # 13 mV lift a membrane from rest to the threshold; the next spike comes refrac + step later.
    spikes, membrane = impulse(BindsNET(decay=0.5), *[13.0] * 13)
    assert np.flatnonzero(spikes).tolist() == [0, 6, 12]
    assert membrane[:7] == [-52, -65, -65, -65, -65, -65, -52]
    # What comes while it is held is lost.
    assert sum(impulse(BindsNET(decay=1, refrac=2), 13, 12, 12, 12)[0]) == 1


def test_a_brian2_neuron_knows_how_many_spikes_a_sinabs_neuron_emits() -> None:
    inputs = np.random.default_rng(3).integers(-8, 25, (40, 100)) / 8
    kind = Sinabs(alpha=1, norm_input=False)
    group = kind.build(100, b2.TimedArray(inputs, dt=1 * b2.ms))
    emitted = b2.StateMonitor(group, "emitted", record=True, when="end")
    b2.Network(group, emitted).run(40 * b2.ms, namespace={})
    expected = kind.run(inputs)
    assert expected.max() >= 3
    np.testing.assert_array_equal(np.asarray(emitted.emitted).T, expected)


# ---------------------------------------------------------------------------------------------------- packages, live


def needs(package: str) -> None:
    pytest.importorskip("torch")
    if not available(package):
        pytest.skip(f"{package} is not installed")
    require(package)  # which knows what it warns of as it is imported


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("package", "kind"), SETTINGS, ids=str)
def test_neuron_is_its_reference_bit_for_bit(package: str, kind: DiscreteLIF, dtype: str) -> None:
    needs(package)
    span = {"norse": 8, "sinabs": 4, "bindsnet": 2 * (threshold(kind) + 65) / 13 + 1}[package]
    inputs = golden.inputs(span)
    spikes, membrane = framework_neuron(package, kind, inputs, dtype)
    expected, expected_membrane = kind.trace(inputs, dtype)
    assert expected.sum() > 1000
    assert spikes.dtype == expected.dtype
    assert (spikes != expected).sum() == 0
    assert (membrane != expected_membrane).sum() == 0


@pytest.mark.parametrize("package", NEURONS)
def test_files_are_what_the_package_gives(package: str) -> None:
    needs(package)
    counts, _ = golden.read(package)
    for name, drive in golden.MAKERS[package]().items():
        found = drive(golden.inputs(golden.SCALES[name])).numpy()
        assert (found != counts[name]).sum() == 0


# --------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("package", NEURONS)
def test_a_missing_package_is_one_line_that_says_how_it_is_installed(package: str) -> None:
    pytest.importorskip("torch")
    if available(package):
        pytest.skip(f"{package} is installed")
    kind = next(iter(framework_conventions(package).values()))
    with pytest.raises(FrameworkMissing, match=rf"^{package} is not installed: .*pip install.*{package}"):
        framework_neuron(package, kind, np.ones((2, 2)))


@pytest.mark.parametrize("package", NEURONS)
def test_neurons_that_a_package_lacks_and_blocks_are_refused(package: str) -> None:
    with pytest.raises(InputError, match=r"framework must be one of \('spikingjelly', 'snntorch'\)"):
        framework_attention(package, None, np.ones((2, 1, 2, 4)))
    needs(package)
    with pytest.raises(InputError, match="has no neuron SnnTorch"):
        framework_neuron(package, SnnTorch(), np.ones((2, 2)))
