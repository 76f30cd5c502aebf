import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospike import execution, load, save, simulate, simulation, standalone
from biospike.circuit import Shape
from biospike.packing import cut
from biospike.traces import record
from circuits.softmax import Escape, Integrate, Race, Subtractive

import brian2 as b2

LOGITS = np.random.default_rng(3).normal(0, 1.5, (3, 6))
LOGITS[1, 4:] = np.nan
WINDOW = 60 * b2.ms
SIZES = (simulation.ROWS_PER_BATCH, simulation.NEURONS_PER_BATCH, simulation.CHECKPOINTS)


def counts(circuit, logits=LOGITS, **options):
    options = {"duration": WINDOW, "trials": 2, "seed": 5, "target": "numpy", "checkpoints": 4} | options
    data = simulate(circuit, logits, **options)
    assert data.spike_count[..., -1].sum() > 20, "hardly anything fired"
    return data


def same(a, b):
    return np.array_equal(a.spike_count, b.spike_count) and np.array_equal(a.gap_square_sum, b.gap_square_sum)


@pytest.mark.parametrize("kind", [Race, Escape, Integrate, Subtractive])
def test_same_seed_same_spikes_and_another_seed_others(kind):
    kwargs = {"duration": 200 * b2.ms} if kind is Subtractive else {}
    first = counts(kind(), **kwargs)
    assert same(first, counts(kind(), **kwargs))
    assert not same(first, counts(kind(), seed=6, **kwargs))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.integers(1, 5), st.integers(2, 9), st.integers(20, 50))
def test_batches_cover_every_slot_and_fit(keys, trials, hubs, neurons):
    keys = np.array(keys)
    starts = cut(keys, trials, hubs, neurons)
    assert starts[0] == 0
    assert starts[-1] == trials * len(keys)
    for first, end in itertools.pairwise(starts):
        assert 0 < end - first < hubs
        assert np.tile(keys, trials)[first:end].sum() <= neurons


@pytest.mark.parametrize("kind", [Race, Escape])
def test_batching_never_shows(kind, monkeypatch):
    whole = counts(kind(), trials=4)
    monkeypatch.setattr(simulation, "NEURONS_PER_BATCH", 16)
    assert same(whole, counts(kind(), trials=4))


def test_masked_keys_and_other_trials_never_show():
    """A row keeps its spikes when masked keys are added; so does a trial when there are more of them."""
    whole = counts(Race(), trials=3)
    padded = np.full((3, 20), np.nan)
    padded[:, :6] = LOGITS
    wide = counts(Race(), padded, trials=1)
    np.testing.assert_array_equal(wide.spike_count[0, :, :6], whole.spike_count[0])
    assert wide.spike_count[..., 6:, :].sum() == 0


@pytest.mark.long  # a sweep in two processes is not
def test_parallel_processes_give_the_same(monkeypatch):
    whole = counts(Escape(), trials=4)
    monkeypatch.setattr(simulation, "NEURONS_PER_BATCH", 20)
    monkeypatch.setattr(execution, "WORTH_PROCESSES", 0.0)
    assert same(whole, counts(Escape(), trials=4, jobs=2))


def test_cumulative_counts():
    data = counts(Race(), checkpoints=7)
    assert data.sizes == {"trial": 2, "row": 3, "key": 6, "checkpoint": 7}
    assert (data.spike_count.diff("checkpoint") >= 0).all()
    assert float(data.window_ms[-1]) == pytest.approx(60)
    early = counts(Race(), duration=data.window_ms[-2].item() * b2.ms, checkpoints=1)
    np.testing.assert_array_equal(early.spike_count[..., -1], data.spike_count[..., -2])


def test_explicit_checkpoints():
    data = counts(Race(), checkpoints=[20, 60] * b2.ms)
    np.testing.assert_allclose(data.window_ms, [20, 60])
    np.testing.assert_array_equal(data.timesteps, [200, 600])


def test_gap_moments_against_the_spike_train():
    """The running moments are those of the intervals taken from the recorded spikes."""
    logits = LOGITS[0]
    data = counts(Race(), logits, trials=1, duration=300 * b2.ms)
    trace = record(Race(), logits, duration=300 * b2.ms, seed=5)
    key, step = trace.spike_key.values, np.rint(trace.spike_time_ms.values / 0.1)
    np.testing.assert_array_equal(np.bincount(key, minlength=6), data.spike_count[0, 0, :, -1])
    for i in range(6):
        at = np.array([(step <= step[k]).sum() for k in np.flatnonzero(key == i)])
        gaps = np.diff(at)
        assert data.gap_sum[0, 0, i] == gaps.sum()
        assert data.gap_square_sum[0, 0, i] == (gaps**2).sum()


def test_result_survives_the_disk(tmp_path):
    data = counts(Race())
    save(data, tmp_path / "counts.nc")
    again = load(tmp_path / "counts.nc")
    assert again.identical(data) or same(again, data)
    assert again.attrs["seed"] == 5
    assert '"rate": 200.0' in again.attrs["parameters"]
    assert [path.name for path in tmp_path.iterdir()] == ["counts.nc"]
    with pytest.raises(FileNotFoundError, match=r"none\.nc"):
        load(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("no")
    with pytest.raises(ValueError, match=r"text\.nc"):
        load(tmp_path / "text.nc")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"duration": 0 * b2.ms}, "duration must be above 0 s, got 0"),
        ({"duration": "-2 s"}, "duration must be above 0 s, got -2"),
        ({"duration": "2"}, "'2' is not a number with a unit"),
        ({"duration": 2 * b2.mV}, "has the unit"),
        ({"trials": 0}, "trials must be a whole number .* got 0"),
        ({"trials": 1.5}, "trials .* got 1.5"),
        ({"seed": -1}, "seed .* got -1"),
        ({"seed": 2**32}, "seed .* got 4294967296"),
        ({"target": "gpu"}, "target must be one of auto, cpp_standalone, cython, numpy, fused, continuous, got 'gpu'"),
        ({"dt": 1 * b2.ms}, "too coarse for rate = 200"),
        ({"dt": 1e-300 * b2.second}, r"duration = 60. ms is 6e\+298 steps of .*; at most 2147483647"),
        ({"duration": 1e200 * b2.second, "dt": 1e-200 * b2.second}, "is inf steps of"),
        ({"dt": 0.3 * b2.ms}, "t_inh = .* must be a multiple of dt"),
        ({"checkpoints": 0}, "checkpoints must be at least 1 and at most 10000, got 0"),
        ({"checkpoints": [70] * b2.ms}, "checkpoints must be"),
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
        ({"logits": [[1.0, np.inf]]}, "inf"),
        ({"logits": [[np.nan, np.nan]]}, "unmasked"),
        ({"logits": [[[1.0]]]}, "rows"),
        ({"logits": [["a"]]}, "a"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(change, words, monkeypatch):
    monkeypatch.setattr(execution, "execute_each", None)
    options = {"logits": LOGITS, "duration": WINDOW, "target": "numpy"} | change
    with pytest.raises(ValueError, match=words):
        simulate(Race(), options.pop("logits"), **options)


def test_no_compiler(monkeypatch):
    def none():
        raise standalone.BuildError("no C++ compiler was found")

    monkeypatch.setattr(standalone, "compiler", lambda: None)
    monkeypatch.setattr(standalone, "compiler_command", none)
    with pytest.raises(standalone.BuildError, match="needs a C\\+\\+ compiler"):
        simulate(Race(), LOGITS, duration=WINDOW, target="cpp_standalone")
    data = simulate(Race(), LOGITS, duration=WINDOW, target="auto")
    assert data.attrs["target"] == "numpy"
    assert "no C++ compiler" in data.attrs["target_reason"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A build cache of this module's own, so that builds really happen."""
    directory = tmp_path_factory.mktemp("cache")
    before = os.environ.get("BIOSPIKE_CACHE")
    os.environ["BIOSPIKE_CACHE"] = str(directory)
    yield directory
    if before is None:
        del os.environ["BIOSPIKE_CACHE"]
    else:
        os.environ["BIOSPIKE_CACHE"] = before


@pytest.mark.compiles
def test_compiled_and_numpy_agree_spike_for_spike_and_compile_once(cache, monkeypatch):
    """The same spikes on both targets, and one build for other logits, seeds, rows, trials, windows, steps, values."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert same(counts(Escape(), target="cpp_standalone"), counts(Escape()))

    def refuse(*_):
        raise AssertionError("compiled again")

    monkeypatch.setattr(standalone, "write_project", refuse)
    monkeypatch.setattr(standalone, "compile_project", refuse)
    variations = [
        {"seed": 9},
        {"trials": 5},
        {"logits": LOGITS[:1] * 3},
        {"logits": np.zeros((400, 8))},
        {"logits": np.zeros((3, 40))},
        {"duration": 100 * b2.ms, "checkpoints": 5},
        {"dt": 0.05 * b2.ms},
    ]
    for variation in variations:
        assert same(counts(Escape(), target="cpp_standalone", **variation), counts(Escape(), **variation)), variation
    for circuit in (Escape(w=0.3, rate=300 * b2.Hz), Escape(regularity=4)):
        assert same(counts(circuit, target="cpp_standalone"), counts(circuit)), circuit


@pytest.mark.long
@pytest.mark.compiles
def test_studies_in_one_queue_give_what_each_gives_alone(cache, monkeypatch):
    """In their order, on both targets, with several batches each; and no more binaries at a time than processors."""
    monkeypatch.setattr(execution, "processors", threading.Semaphore(1))
    running, most = [], []

    def run(*arguments):
        running.append(1)
        most.append(len(running))
        try:
            return original(*arguments)
        finally:
            running.pop()

    original = standalone.run
    monkeypatch.setattr(standalone, "run", run)
    studies = [(Escape(), 200), (Escape(regularity=4), 2), (Escape(), 180)]
    plans = [simulation.plan(one, LOGITS, duration=WINDOW, trials=trials, seed=5) for one, trials in studies]
    assert [work.batches for work in plans] == [2, 1, 2]
    alone = [counts(one, trials=trials, checkpoints=simulation.CHECKPOINTS) for one, trials in studies]
    for target, some in (("cpp_standalone", slice(None)), ("numpy", slice(1, None))):
        found = list(simulation.simulate_each(plans[some], target=target, jobs=3))
        assert [data.attrs["target"] for data in found] == [target] * len(found)
        assert all(same(*both) for both in zip(found, alone[some], strict=True))
    assert most == [1] * 5
    assert list(simulation.simulate_each([])) == []


@pytest.mark.long
@pytest.mark.compiles
def test_damaged_cache_entry_is_built_again(cache):
    whole = counts(Escape(), target="cpp_standalone")
    (main,) = cache.glob("binaries/*/main")
    main.write_bytes(main.read_bytes()[:-1000])
    assert not standalone.is_built(Escape(), Shape(*SIZES))
    assert same(whole, counts(Escape(), target="cpp_standalone"))


@pytest.mark.long
@pytest.mark.compiles
def test_two_processes_at_once(cache, tmp_path):
    """Two studies started together, with nothing in the cache, both get the right numbers."""
    script = (
        "import sys, numpy as np\n"
        "from biospike import simulate, save\n"
        "from circuits.softmax import Race\n"
        "z = np.random.default_rng(3).normal(0, 1.5, (3, 6))\n"
        "save(simulate(Race(), z, duration='60 ms', trials=2, seed=int(sys.argv[1]), target='cpp_standalone',"
        " checkpoints=4), sys.argv[2])\n"
    )
    environment = os.environ | {"BIOSPIKE_CACHE": str(tmp_path / "shared")}
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(seed), str(tmp_path / f"{seed}.nc")], env=environment)
        for seed in (1, 2)
    ]
    assert [process.wait() for process in running] == [0, 0]
    logits = np.random.default_rng(3).normal(0, 1.5, (3, 6))
    for seed in (1, 2):
        assert same(load(tmp_path / f"{seed}.nc"), counts(Race(), logits, seed=seed))
    assert not list((tmp_path / "shared").glob("building-*"))


@pytest.mark.compiles
def test_failing_binary_is_an_error_not_a_number(cache):
    counts(Escape(), target="cpp_standalone")
    binary = standalone.build(Escape(), Shape(*SIZES))
    assert binary.reused
    main = binary.directory / "main"
    whole = main.read_bytes()
    empty = "; ".join(f": > {file}" for file, *_ in binary.arrays.values())
    state = dict.fromkeys(binary.constants, 0)
    faults = {
        "trouble": "echo trouble >&2",
        "status 3": "exit 3",
        "stopped after 50.0%": "echo 1.0 0.5 > $2/last_run_info.txt",
        r"0 of \d+ values": f"echo 1.0 1.0 > $2/last_run_info.txt; cd $2; {empty}",
    }
    for words, command in faults.items():
        main.write_text(f"#!/bin/sh\n{command}\n")
        with pytest.raises(standalone.RunError, match=words):
            standalone.run(binary, state, 1e-4, 0.01, ["keys.spike_count"])
    main.write_bytes(whole)
    assert standalone.run(binary, state, 1e-4, 0.01, ["keys.spike_count"])["keys.spike_count"].size == SIZES[1]


@pytest.mark.long
@pytest.mark.compiles
def test_compiler_failure_is_one_clear_error(cache, monkeypatch, tmp_path):
    broken = tmp_path / "g++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo broken 1.0 && exit 0\necho no space left >&2\nexit 1\n')
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(standalone.BuildError, match="no space left"):
        simulate(Race(), LOGITS, duration=WINDOW, target="cpp_standalone")
