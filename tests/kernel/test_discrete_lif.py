"""Discrete LIF conventions: literal formulas, their Brian2 twins, and how far the first four are from each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from biospike.ideal.framework_lif import BindsNET, Norse, NorseBox, Sinabs
from biospike.ideal.hardware_lif import Loihi, TrueNorth
from biospike.ideal.lif import (
    DiscreteLIF,
    Paper,
    SnnTorch,
    SpikingJellyHard,
    SpikingJellySoft,
    bit_exact,
)

import brian2 as b2

T, N = 100, 1000  # of random inputs, and as many dyadic ones: 10^5 each

CASES: dict[str, DiscreteLIF] = {
    "paper": Paper(beta=0.5),
    "paper_slow": Paper(beta=0.9, v_th=0.7),
    "hard": SpikingJellyHard(),
    "hard_whole_input": SpikingJellyHard(tau=3, v_reset=-0.25, decay_input=False),
    "hard_reset0_whole_input": SpikingJellyHard(tau=3, decay_input=False),
    "soft": SpikingJellySoft(v_th=0.5),
    "soft_whole_input": SpikingJellySoft(tau=3, decay_input=False),
    "snntorch_subtract": SnnTorch(beta=0.9),
    "snntorch_zero": SnnTorch(beta=0.5, reset="zero"),
    "norse": Norse(v_reset=-0.25, v_leak=0.25),
    "norse_box": NorseBox(tau_mem_inv=500),
    "norse_box_subtract": NorseBox(tau_mem_inv=700, v_leak=0.2, reset="subtract"),
    # With this threshold one spike a step, which is what a Brian2 neuron can tell.
    "sinabs": Sinabs(alpha=0.9, v_th=2.5, norm_input=False),
    "sinabs_norm": Sinabs(alpha=0.75, v_th=0.5),
    "bindsnet": BindsNET(decay=0.75, thresh=1, rest=0, v_reset=-0.25, refrac=2),
    "loihi": Loihi(du=700, dv=300, vth=20, bias_mant=-9, bias_exp=3, refractory=3),
    "loihi_wraps": Loihi(du=100, dv=50, vth=2**16, bias_mant=4000, bias_exp=7, input_wraps=True),
    "truenorth": TrueNorth(leak=-2, leak_reversal=True, reset="subtract", alpha=1024, negative=300),
}
WHOLE = {"loihi": 512, "loihi_wraps": 2**20, "truenorth": 512}
"""Conventions of whole numbers, and the factor of their inputs, with which those of the second meet every limit."""
MEMBRANE: dict[type[DiscreteLIF], str] = {Paper: "u", SnnTorch: "mem"}
"""Names of membranes that are not called v."""


def inputs(name: str = "") -> np.ndarray:
    """Random inputs, then multiples of 1/8 that put the membrane exactly on the threshold again and again."""
    rng = np.random.default_rng(20)
    values = np.hstack([rng.uniform(-0.5, 2, (T, N)), rng.integers(-4, 17, (T, N)) / 8])
    return np.rint(WHOLE[name] * values) if name in WHOLE else values


def network() -> tuple[b2.Network, dict[str, tuple[b2.SpikeMonitor, b2.StateMonitor]]]:
    """All cases on the same inputs in one network, spikes and membranes recorded."""
    shared = b2.TimedArray(inputs(), dt=1 * b2.ms)
    net, monitors = b2.Network(), {}
    for name, neuron in CASES.items():
        stimulus = b2.TimedArray(inputs(name), dt=1 * b2.ms) if name in WHOLE else shared
        group = neuron.build(2 * N, stimulus, name=name)
        spikes = b2.SpikeMonitor(group, name=f"{name}_spikes")
        membrane = b2.StateMonitor(
            group, MEMBRANE.get(type(neuron), "v"), record=True, when="thresholds", order=-1, name=f"{name}_membrane"
        )
        net.add(group, spikes, membrane)
        monitors[name] = (spikes, membrane)
    return net, monitors


def recorded(spikes: b2.SpikeMonitor, membrane: b2.StateMonitor) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of shape (T, n)."""
    raster = np.zeros((T, 2 * N), np.uint8)
    np.add.at(raster, (np.round(np.asarray(spikes.t / b2.ms)).astype(int), np.asarray(spikes.i)), 1)
    (variable,) = membrane.record_variables
    return raster, np.asarray(getattr(membrane, variable)).T


def assert_bit_identical(results: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Spikes and membranes equal those of the formulas, and the inputs were hard enough."""
    assert results.keys() == CASES.keys()
    for name, (spikes, membrane) in results.items():
        neuron = CASES[name]
        expected_spikes, expected_membrane = neuron.trace(inputs(name))
        expected_spikes = np.minimum(expected_spikes, 1)
        assert 0.05 < expected_spikes.mean() < 0.95, name
        np.testing.assert_array_equal(spikes, expected_spikes, err_msg=name)
        np.testing.assert_array_equal(membrane, expected_membrane, err_msg=name)


@pytest.mark.parametrize("name", ["paper", "hard", "soft", "snntorch_zero"])
def test_dyadic_inputs_hit_the_threshold_exactly(name: str) -> None:
    neuron = CASES[name]
    spikes, membrane = neuron.trace(inputs()[:, N:])
    tie = membrane == getattr(neuron, "thr", getattr(neuron, "v_th", None))
    assert tie.sum() > 100
    assert np.all(spikes[tie] == (0 if isinstance(neuron, SnnTorch) else 1))


def test_numpy_target_is_bit_identical_to_the_formulas() -> None:
    net, monitors = network()
    with bit_exact():
        net.run(T * b2.ms, namespace={})
    assert_bit_identical({name: recorded(*pair) for name, pair in monitors.items()})


# As one translation unit, which takes a quarter of the time of Brian2's own build of some fifty.
STANDALONE = """
import os
import subprocess
import sys
from pathlib import Path

import brian2 as b2
import numpy as np
from biospike.standalone import compiler, unite
from test_discrete_lif import T, bit_exact, network, recorded

project = Path(sys.argv[1])
b2.set_device("cpp_standalone", build_on_run=False)
net, monitors = network()
with bit_exact():
    net.run(T * b2.ms, namespace={})
    b2.device.build(directory=str(project), compile=False, run=False)
    flags = list(b2.prefs["codegen.cpp.extra_compile_args_gcc"])
assert "-O3" in flags and "-ffp-contract=off" in flags
updaters = [path.stem for path in project.glob("code_objects/*_stateupdater_codeobject.cpp")]
Path(project, "united.cpp").write_text(unite(project, updaters))
sources = ["united.cpp", "objects.cpp"]
subprocess.run([compiler(), *flags, "-w", "-I.", "-Ibrianlib", *sources, "-o", "main"], cwd=project, check=True)
os.environ |= {"BIOSPIKE_DT": "1e-3", "BIOSPIKE_DURATION": str(T * 1e-3)}
b2.device.run(str(project))
arrays = {}
for name, pair in monitors.items():
    arrays[name + "/spikes"], arrays[name + "/membrane"] = recorded(*pair)
np.savez(sys.argv[2], **arrays)
"""


@pytest.mark.long
@pytest.mark.compiles
def test_compiled_target_is_bit_identical_to_the_formulas(tmp_path: Path) -> None:
    here = Path(__file__).parent
    subprocess.run(
        [sys.executable, "-c", STANDALONE, str(tmp_path / "build"), str(tmp_path / "results.npz")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(here.parents[1]), str(here)])},
        check=True,
    )
    with np.load(tmp_path / "results.npz") as stored:
        assert_bit_identical({name: (stored[f"{name}/spikes"], stored[f"{name}/membrane"]) for name in CASES})


def test_bit_exact_restores_the_preferences() -> None:
    flags = list(b2.prefs["codegen.cpp.extra_compile_args_gcc"])

    def fail_inside() -> None:
        with bit_exact():
            assert not b2.prefs["codegen.loop_invariant_optimisations"]
            assert "-ffast-math" not in b2.prefs["codegen.cpp.extra_compile_args_gcc"]
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert b2.prefs["codegen.loop_invariant_optimisations"]
    assert b2.prefs["codegen.cpp.extra_compile_args_gcc"] == flags


def coincidences(T: int, n: int, keys: int = 32, rate: float = 0.3, scale: float = 0.25) -> np.ndarray:
    """Input of attention neurons: how many of `keys` pairs of query and key spikes coincide, times a dyadic scale."""
    return np.random.default_rng(1).binomial(keys, rate**2, (T, n)) * scale


def test_soft_resets_cannot_be_mapped_onto_each_other() -> None:
    # Same decay, same threshold, same input: what differs is whether the subtracted threshold decays.
    I = coincidences(1000, 200)  # noqa: E741
    paper = Paper(beta=0.5).run(I)
    soft = SpikingJellySoft(tau=2, decay_input=False).run(I)
    assert paper.mean() > 0.2
    assert np.mean(paper != soft) == pytest.approx(0.202, abs=0.005)
    # Rescaling does not help: the ratio of threshold to reset stays 1 in one, and beta in the other.
    scales = np.arange(0.5, 2.01, 0.05)
    differing = [np.mean(paper != SpikingJellySoft(tau=2, decay_input=False, v_th=scale).run(I)) for scale in scales]
    assert min(differing) == pytest.approx(0.146, abs=0.01)
    # In SpikingJelly's place the paper's reset is v_th/beta.
    u, s = np.zeros(I.shape[1]), np.zeros_like(I)
    for t, row in enumerate(I):
        u = 0.5 * u + row
        s[t] = u >= 1
        u = u - s[t] * 1 / 0.5
    assert np.array_equal(s, paper)


def test_snntorch_is_the_paper_but_for_ties() -> None:
    random, dyadic = inputs()[:, :N], inputs()[:, N:]
    spikes, membrane = Paper(beta=0.5).trace(random)
    assert spikes.mean() > 0.1
    assert not np.any(membrane == 1)
    assert np.array_equal(SnnTorch(beta=0.5).run(random), spikes)
    assert not np.array_equal(SnnTorch(beta=0.5).run(dyadic), Paper(beta=0.5).run(dyadic))


@pytest.mark.parametrize(("rate", "flipped"), [(0.043, 0.266), (0.08, 0.168), (0.144, 0.036)])
def test_strict_threshold_flips_gates_and_nextafter_restores_them(rate: float, flipped: float) -> None:
    # A QKFormer gate: LIF with threshold 1/2 on the number of query spikes of a token, T = 4, head width 32.
    X = np.random.default_rng(2).binomial(32, rate, (4, 100_000)).astype(float)
    gate = SpikingJellyHard(tau=2, v_th=0.5).run(X)
    assert np.array_equal(gate, X > 0)  # the OR of the spikes
    strict = SnnTorch(beta=0.5, thr=0.5, reset="zero").run(X / 2)
    # 4e5 gates: four standard errors of the fraction.
    assert np.mean(gate != strict) == pytest.approx(flipped, abs=4 * 0.5 / np.sqrt(4e5))
    restored = SnnTorch(beta=0.5, thr=np.nextafter(0.5, 0), reset="zero").run(X / 2)
    assert np.array_equal(restored, gate)


def test_perfect_integrator_stays_within_one_spike_and_a_hard_reset_does_not() -> None:
    x = np.random.default_rng(3).uniform(0.05, 0.95, 200)
    drive = np.tile(x, (4096, 1))
    elapsed = np.arange(1, 4097)[:, None]
    for neuron in (Paper(beta=1), SnnTorch(beta=1)):
        counts = np.cumsum(neuron.run(drive), axis=0, dtype=int)
        assert np.all(counts[-1] > 100)
        assert np.max(np.abs(counts - elapsed * x)) < 1
    hard = np.cumsum(SnnTorch(beta=1, reset="zero").run(drive), axis=0, dtype=int)
    assert np.all(hard[-1] > 100)
    # Every interval is rounded up to ceil(1/x) steps: exactly one spike in that many.
    np.testing.assert_array_equal(hard, elapsed // np.ceil(1 / x).astype(int))
    assert np.max(np.abs(hard - elapsed * x)) > 1000


def test_single_precision_is_that_of_the_frameworks() -> None:
    X = inputs()
    spikes, membrane = SpikingJellyHard(tau=3).trace(X, dtype=np.float32)
    assert membrane.dtype == np.float32
    assert spikes.mean() > 0.05
    assert not np.array_equal(membrane, SpikingJellyHard(tau=3).trace(X)[1])


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match=r"beta must be at most 1, got 1\.5"):
        Paper(beta=1.5)
    with pytest.raises(ValueError, match=r"shape \(T, n\), got \(3,\)"):
        Paper().run([1, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        Paper().run([[np.nan]])
    with pytest.raises(ValueError, match="finite"):
        Paper().run(np.ma.masked_array([[1.0, 2.0]], [[0, 1]]))
    with pytest.raises(ValueError, match=r"shape \(T, 3\), got \(5, 2\)"):
        Paper().build(3, b2.TimedArray(np.zeros((5, 2)), dt=1 * b2.ms))
