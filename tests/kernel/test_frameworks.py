"""Frameworks' own neurons against the references, and what is said where a framework is missing."""

from __future__ import annotations

import importlib.util
import math
import sys
from typing import Any

import numpy as np
import pytest

from biospike.ideal.attention import (
    IF,
    LIF,
    LIF_HALF,
    Affine,
    QKChannelAttention,
    SpikeSoftmax,
)
from biospike.ideal.frameworks import (
    FRAMEWORKS,
    NEURON_FRAMEWORKS,
    FrameworkMissing,
    available,
    difference,
    framework_attention,
    framework_conventions,
    framework_neuron,
    shipped_attention,
    versions,
)
from biospike.ideal.frameworks.installed import one_thread
from biospike.ideal.frameworks.snntorch import nearest
from biospike.ideal.lif import DiscreteLIF, Paper, SnnTorch, SpikingJellyHard, SpikingJellySoft

T, N = 60, 300
BOTH = ["float32", "float64"]


@pytest.fixture(scope="module")
def ml() -> None:
    for package in ("torch", "spikingjelly", "snntorch"):
        pytest.importorskip(package)


needs_ml = pytest.mark.usefixtures("ml")


def dyadic(seed: int = 0) -> np.ndarray:
    """Multiples of 1/8, as attention currents are: membranes meet the threshold exactly again and again."""
    return np.random.default_rng(seed).integers(-4, 17, (T, N)) / 8


def real(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 2.0, (T, N))


def threshold(kind: DiscreteLIF) -> float:
    return float(getattr(kind, "thr", getattr(kind, "v_th", math.nan)))


def mismatches(a: np.ndarray, b: np.ndarray) -> int:
    return int((a != b).sum())


def first_mismatch(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step and neuron of every neuron's first mismatch: later ones follow from the membranes that it left behind."""
    differ = a != b
    neurons = np.flatnonzero(differ.any(axis=0))
    return differ.argmax(axis=0)[neurons], neurons


# ---------------------------------------------------------------------------------------------------- what is installed


def identity(n: int) -> Affine:
    return Affine(np.eye(n), np.zeros(n))


BLOCK = QKChannelAttention(q=identity(4), k=identity(4), projection=identity(4))


def demand(framework: str) -> list[Any]:
    """Everything that needs the framework."""
    kind = next(iter(framework_conventions(framework).values()))
    return [
        lambda: framework_neuron(framework, kind, np.ones((2, 2))),
        lambda: framework_attention(framework, BLOCK, np.ones((2, 1, 2, 4))),
        lambda: shipped_attention(framework),
    ]


@pytest.mark.parametrize("torch_too", [False, True])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_missing_framework_is_one_line_that_names_the_extra(
    framework: str, torch_too: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in (framework, "torch") if torch_too else (framework,):
        monkeypatch.setitem(sys.modules, package, None)
    assert not available(framework)
    for call in demand(framework):
        with pytest.raises(FrameworkMissing) as error:
            call()
        assert isinstance(error.value, ValueError)
        assert str(error.value) == f"{framework} is not installed: pip install 'biospike[ml]'"
    # What needs no package still answers.
    assert framework_conventions(framework)
    assert isinstance(difference(framework, BLOCK), str)


@needs_ml
def test_missing_torch_is_named_where_the_framework_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(FrameworkMissing, match=r"^torch is not installed: pip install 'biospike\[ml\]'$"):
        framework_neuron("snntorch", SnnTorch(), np.ones((2, 2)))


def test_versions_are_those_of_what_is_installed() -> None:
    found = versions()
    known = ("torch", *NEURON_FRAMEWORKS)
    assert set(found) == {package for package in known if importlib.util.find_spec(package) is not None}
    for package, version in found.items():
        if package in ("torch", "snntorch", "sinabs"):  # others do not say
            assert sys.modules.get(package, importlib.import_module(package)).__version__ == version
    assert FRAMEWORKS == ("spikingjelly", "snntorch")


@needs_ml
def test_torch_is_left_as_it_was() -> None:
    import snntorch  # noqa: PLC0415
    import torch  # noqa: PLC0415

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    before = torch.random.get_rng_state(), torch.is_grad_enabled(), len(snntorch.SpikingNeuron.instances)
    for framework in FRAMEWORKS:
        for call in demand(framework):
            call()
        with pytest.raises(ZeroDivisionError), one_thread(framework):
            _ = 1 // (torch.get_num_threads() - 1)
    after = torch.random.get_rng_state(), torch.is_grad_enabled(), len(snntorch.SpikingNeuron.instances)
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)


# -------------------------------------------------------------------------------------------------------------- neurons

SETTINGS: list[tuple[str, DiscreteLIF]] = [
    *((framework, kind) for framework in FRAMEWORKS for kind in framework_conventions(framework).values()),
    ("spikingjelly", SpikingJellyHard(tau=3.0, v_th=0.7, v_reset=-0.25)),
    ("spikingjelly", SpikingJellyHard(tau=3.0, v_reset=-0.25, decay_input=False)),
    ("spikingjelly", SpikingJellyHard(v_th=0.5)),
    ("spikingjelly", SpikingJellySoft(tau=3.0, v_th=0.7)),
    ("spikingjelly", SpikingJellyHard(tau=3.0, decay_input=False)),
    ("spikingjelly", SpikingJellySoft(tau=3.0, decay_input=False)),
    ("snntorch", SnnTorch(beta=0.9, thr=0.7)),
    ("snntorch", SnnTorch(beta=0.9, thr=0.7, reset="zero")),
    ("snntorch", SnnTorch(beta=1.0)),
]


@needs_ml
@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize(("framework", "kind"), SETTINGS, ids=str)
def test_neuron_is_its_reference_bit_for_bit(framework: str, kind: DiscreteLIF, dtype: str) -> None:
    inputs = np.hstack([dyadic(), real()])
    spikes, membrane = framework_neuron(framework, kind, inputs, dtype)
    expected, expected_membrane = kind.trace(inputs, dtype)
    assert spikes.dtype == np.uint8
    assert membrane.dtype == dtype
    assert expected.sum() > 2000
    assert mismatches(spikes, expected) == 0
    assert mismatches(membrane, expected_membrane) == 0


@needs_ml
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_ties_fire_in_spikingjelly_and_are_silent_in_snntorch(framework: str) -> None:
    for kind in framework_conventions(framework).values():
        spikes, membrane = framework_neuron(framework, kind, dyadic(), "float64")
        tie = membrane == threshold(kind)
        assert tie.sum() >= 20
        assert np.all(spikes[tie] == (framework == "spikingjelly"))


@needs_ml
@pytest.mark.parametrize("kind", [SpikingJellyHard, SpikingJellySoft])
def test_charge_without_decay_input_is_written_with_a_division(kind: type[SpikingJellyHard | SpikingJellySoft]) -> None:
    # Version 2.0.0 has V - (V - 0)/tau + X. With tau = 3 that is not V*(1 - 1/3) + X in floating point: inputs that
    # bring the second exactly to the threshold leave the first below it for some of these membranes.
    V = np.random.default_rng(2).uniform(0.76, 0.99, 5000)
    inputs = np.stack([V, 1 - V * (1 - 1 / 3)])
    assert np.all(V * (1 - 1 / 3) + inputs[1] == 1)
    spikes, membrane = framework_neuron("spikingjelly", kind(tau=3.0, decay_input=False), inputs, "float64")
    assert mismatches(membrane[1], V - V / 3 + inputs[1]) == 0
    assert 0.05 < spikes[1].mean() < 0.95


@needs_ml
def test_mutants_are_caught() -> None:
    inputs = np.hstack([dyadic(), real()])
    hard, _ = framework_neuron("spikingjelly", SpikingJellyHard(), inputs, "float64")
    delayed, _ = framework_neuron("snntorch", SnnTorch(beta=0.9), inputs, "float64")
    assert mismatches(hard, SpikingJellyHard().run(inputs)) == 0
    assert mismatches(delayed, SnnTorch(beta=0.9).run(inputs)) == 0
    # A strict threshold: that of the next number above. It shows on the dyadic half only.
    strict = mismatches(hard, SpikingJellyHard(v_th=np.nextafter(1, 2)).run(inputs))
    assert strict > 100
    assert mismatches(hard[:, N:], SpikingJellyHard(v_th=np.nextafter(1, 2)).run(real())) == 0
    assert mismatches(hard, SpikingJellySoft().run(inputs)) > 500
    assert mismatches(delayed, subtract_before_decay(inputs, beta=0.9)) > 1000
    assert mismatches(delayed, SnnTorch(beta=0.9, reset="zero").run(inputs)) > 1000


def subtract_before_decay(inputs: np.ndarray, beta: float) -> np.ndarray:
    """snnTorch's Leaky up to version 0.7.0: mem = beta*(mem - R*thr) + I."""
    mem, spikes = np.zeros(inputs.shape[1]), np.zeros(inputs.shape, np.uint8)
    for t, I in enumerate(inputs):  # noqa: E741
        mem = beta * (mem - (mem > 1)) + I
        spikes[t] = mem > 1
    return spikes


@needs_ml
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_single_precision_differs_only_at_the_threshold(framework: str) -> None:
    # Every second input puts the float64 membrane within 3e-7 of the threshold.
    rng = np.random.default_rng(3)
    inputs, V = np.zeros((T, N)), np.zeros(N)
    for t in range(T):
        near = 2 * (1 + rng.uniform(-3e-7, 3e-7, N)) - V
        inputs[t] = near if t % 2 else rng.uniform(0, 1.5, N)
        H = V + (inputs[t] - V) / 2
        V = np.where(H >= 1, 0, H)
    kind, gain = (LIF, 1.0) if framework == "spikingjelly" else nearest(LIF)
    spikes, _ = framework_neuron(framework, kind, gain * inputs, "float32")
    expected, membrane = kind.trace(gain * inputs)
    steps, neurons = first_mismatch(spikes, expected)
    assert len(neurons) > 50
    # u = 2^-24, and all numbers are at most M. SpikingJelly: X is rounded (uM), so is X - V (2uM), which is halved,
    # and the sum (uM): e' = e/2 + 2.5uM, at most 5uM. snnTorch: I = X/2 is rounded (uM/2), and so is the sum (uM), the
    # halving is exact: e' = e/2 + 1.5uM. Until its first mismatch a neuron has been reset in the same steps.
    M = np.abs(inputs).max()
    assert np.abs(membrane[steps, neurons] - 1).max() <= 5 * 2**-24 * M


@needs_ml
def test_strict_threshold_is_all_that_separates_leaky_from_the_published_neuron() -> None:
    leaky, gain = nearest(LIF)
    assert (leaky, gain) == (SnnTorch(beta=0.5, reset="zero"), 0.5)
    expected, membrane = LIF.trace(dyadic())
    spikes, _ = framework_neuron("snntorch", leaky, gain * dyadic(), "float64")
    steps, neurons = first_mismatch(spikes, expected)
    assert len(neurons) > 100
    assert np.all(membrane[steps, neurons] == 1)
    below = SnnTorch(beta=0.5, thr=np.nextafter(1, 0), reset="zero")
    restored, _ = framework_neuron("snntorch", below, gain * dyadic(), "float64")
    assert expected.sum() > 1000
    assert mismatches(restored, expected) == 0
    real_spikes, _ = framework_neuron("snntorch", leaky, gain * real(), "float64")
    assert mismatches(real_spikes, LIF.run(real())) == 0


def test_nearest_leaky_keeps_decay_gain_and_reset() -> None:
    assert nearest(LIF_HALF, "subtract") == (SnnTorch(beta=0.5, thr=0.5), 0.5)
    assert nearest(IF) == (SnnTorch(beta=1.0), 1.0)
    assert nearest(SpikingJellySoft(tau=4.0)) == (SnnTorch(beta=0.75), 0.25)
    with pytest.raises(ValueError, match="reset must be one of"):
        nearest(LIF, "none")
    with pytest.raises(ValueError, match="rests at zero"):
        nearest(SpikingJellyHard(v_reset=-0.5))
    with pytest.raises(ValueError, match="rests at zero"):
        nearest(Paper())


@needs_ml
def test_leaky_rounds_parameters_that_are_python_numbers() -> None:
    # The reason why the adapter hands over tensors of one element.
    import snntorch  # noqa: PLC0415
    import torch  # noqa: PLC0415

    scalar = snntorch.Leaky(beta=0.9, threshold=0.7).double()
    assert float(scalar.beta) == float(np.float32(0.9)) != 0.9
    double = torch.tensor(0.7, dtype=torch.float64)
    for given, kept in ((double, np.float32(0.7)), (double[None], 0.7)):
        leaky = snntorch.Leaky(beta=torch.tensor(1.0, dtype=torch.float64), threshold=given)
        start = torch.tensor([1.0], dtype=torch.float64)
        _, membrane = leaky(torch.zeros_like(start), start)
        assert float(membrane) == 1 - float(kept)
    snntorch.SpikingNeuron.instances.clear()


# ------------------------------------------------------------------------------------------------------------ bad input


def test_unknown_names_are_refused() -> None:
    for call in (
        lambda: available("nengo"),
        lambda: framework_conventions("nengo"),
        lambda: framework_neuron("nengo", SnnTorch(), np.ones((2, 2))),
        lambda: framework_attention("nengo", BLOCK, np.ones((2, 1, 2, 4))),
        lambda: shipped_attention("nengo"),
        lambda: difference("nengo", BLOCK),
    ):
        with pytest.raises(ValueError, match=r"framework must be one of .*'nengo'"):
            call()
    with pytest.raises(ValueError, match=r"dtype must be one of .*'float16'"):
        framework_neuron("snntorch", SnnTorch(), np.ones((2, 2)), "float16")
    for call in (
        lambda: framework_attention("snntorch", SpikeSoftmax(), np.ones((2, 1, 2, 4))),
        lambda: difference("spikingjelly", SpikeSoftmax()),
    ):
        with pytest.raises(ValueError, match=r"no framework runs SpikeSoftmax: expected one of .*SpikformerSSA"):
            call()
    with pytest.raises(ValueError, match="x must have the shape"):
        framework_attention("snntorch", BLOCK, np.ones((2, 1, 2, 5)))
    for inputs in (np.ones(3), np.array([[np.nan]])):
        with pytest.raises(ValueError, match="inputs must be finite, of shape"):
            framework_neuron("snntorch", SnnTorch(), inputs)


@needs_ml
def test_neurons_that_a_framework_lacks_are_refused() -> None:
    ones = np.ones((2, 2))
    with pytest.raises(ValueError, match=r"SpikingJelly has no neuron Paper.*SpikingJellyHard and SpikingJellySoft"):
        framework_neuron("spikingjelly", Paper(), ones)
    with pytest.raises(ValueError, match=r"snnTorch has no neuron SpikingJellyHard.*its Leaky is SnnTorch"):
        framework_neuron("snntorch", SpikingJellyHard(), ones)
    for kind in (SpikingJellyHard(tau=1.0), SpikingJellySoft(tau=math.inf)):
        with pytest.raises(ValueError, match="no neuron with tau"):
            framework_neuron("spikingjelly", kind, ones)
