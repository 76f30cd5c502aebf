"""`auto` runs wherever some target does, and says why; a target that is asked for by name says what is wrong."""

import os
import subprocess
import sys

import numpy as np
import pytest

from biospike import execution, simulate, standalone
from biospike.sweep import grid
from circuits import SpikingAttention, present
from circuits.softmax import Race

LOGITS = [1.0, 0.0, -1.0]


def counts(circuit, target="auto"):
    data = simulate(circuit, LOGITS, duration="100 ms", seed=5, target=target, checkpoints=1)
    assert data.spike_count.sum() > 10, "hardly anything fired"
    return data


@pytest.fixture(scope="module")
def expected():
    return counts(Race(), "numpy").spike_count.values


@pytest.fixture
def worth_a_build(monkeypatch, tmp_path):
    """Everything is worth a build, and nothing was built."""
    monkeypatch.setattr(execution, "WORTH_A_BUILD", 0.0)
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path / "cache"))


def compiler(directory, *lines):
    """Compiler that tells its version and does nothing else but what `lines` say."""
    path = directory / "g++"
    path.write_text("\n".join(["#!/bin/sh", '[ "$1" = --version ] && echo broken 1.0 && exit 0', *lines, ""]))
    path.chmod(0o755)
    return str(path)


def without_source():
    """As a notebook defines it: no module of this name holds it, and no file."""
    names = {"Race": Race}
    exec("class Own(Race):\n    pass\n", names)
    return names["Own"]()


def of_a_notebook():
    """A class of ``__main__``, which has no file."""
    kind = type(without_source())
    kind.__module__ = "__main__"
    return kind()


def of_a_function():
    class Own(Race):
        pass

    return Own()


@pytest.mark.usefixtures("worth_a_build")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (without_source, "the source of Own cannot be found"),
        pytest.param(of_a_notebook, "the source of Own cannot be found", marks=pytest.mark.long),
        pytest.param(of_a_function, "Own is defined in the script that runs or in a function", marks=pytest.mark.long),
    ],
)
def test_a_class_that_no_other_process_can_import(make, reason, expected):
    data = counts(make())
    assert data.attrs["target"] == "numpy"
    assert data.attrs["target_reason"].startswith(reason)
    np.testing.assert_array_equal(data.spike_count, expected)
    with pytest.raises(standalone.BuildError, match=reason):
        counts(make(), "cpp_standalone")
    with pytest.warns(UserWarning, match=reason):
        [point] = grid([make()], LOGITS, durations=["10 ms"])
    assert point.target == "numpy"


def test_classes_of_one_name_without_source_have_no_key():
    """A sweep finds results by the source: with none it would find those of another class."""
    [point] = grid([without_source()], LOGITS, durations=["10 ms"], target="numpy")
    with pytest.raises(standalone.BuildError, match="source of Own cannot be found"):
        point.key()


@pytest.mark.usefixtures("worth_a_build")
def test_a_compiler_that_does_not_answer(monkeypatch, expected):
    monkeypatch.setenv("CXX", "/bin/false")
    data = counts(Race())
    assert data.attrs["target"] == "numpy"
    assert "compiler" in data.attrs["target_reason"]
    np.testing.assert_array_equal(data.spike_count, expected)
    with pytest.raises(standalone.BuildError, match="compiler"):
        counts(Race(), "cpp_standalone")


@pytest.mark.long
@pytest.mark.usefixtures("worth_a_build")
def test_a_compiler_that_fails(monkeypatch, tmp_path, expected):
    """auto goes on and gives the compiler's last line as its reason; by name that line is the error."""
    monkeypatch.setenv("CXX", compiler(tmp_path, "echo something >&2", "echo no space left >&2", "exit 1"))
    data = counts(Race())
    assert data.attrs["target"] == "numpy"
    assert data.attrs["target_reason"].endswith("no space left")
    np.testing.assert_array_equal(data.spike_count, expected)
    weights = np.array([[0.5], [0.3]])
    block = SpikingAttention(weights, weights, weights, mode="staged")
    shown = present(block, [[0.5, 1.0]], duration="20 ms", windows=1)
    assert shown.attrs["target"] == "numpy"
    assert shown.attrs["target_reason"].endswith("no space left")
    for target in ("cpp_standalone", "cython"):
        with pytest.raises(standalone.BuildError, match=r"no space left$"):
            counts(Race(), target)
    with pytest.warns(UserWarning, match=r"no space left$"):
        [point] = grid([Race()], LOGITS, durations=["10 ms"])
    assert point.target == "numpy"


@pytest.mark.long
@pytest.mark.usefixtures("worth_a_build")
def test_code_generation_that_fails(monkeypatch, tmp_path, expected):
    """A circuit of a module, whose network cannot be built in the process that generates code."""
    (tmp_path / "own_circuit.py").write_text(
        "import os\n"
        "from circuits.softmax import Race\n"
        "class Own(Race):\n"
        "    def build(self, shape):\n"
        "        if 'PYTEST_CURRENT_TEST' not in os.environ:\n"
        "            raise RuntimeError('it cannot be generated')\n"
        "        return super().build(shape)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import own_circuit  # noqa: PLC0415

    data = counts(own_circuit.Own())
    assert data.attrs["target"] == "numpy"
    assert data.attrs["target_reason"].endswith("it cannot be generated")
    np.testing.assert_array_equal(data.spike_count, expected)
    with pytest.raises(standalone.BuildError, match=r"it cannot be generated$"):
        counts(own_circuit.Own(), "cpp_standalone")


@pytest.mark.long
def test_a_script_with_a_circuit_of_its_own_on_a_standalone_device(tmp_path, expected):
    """All at once, as a user has it: a class of the script, a device that he has set, a compiler that fails."""
    (tmp_path / "script.py").write_text(
        "from brian2 import *\n"
        "set_device('cpp_standalone', build_on_run=False)\n"
        "from biospike import execution, simulate\n"
        "from circuits.softmax import Race\n"
        "class Own(Race):\n"
        "    pass\n"
        "execution.WORTH_A_BUILD = 0.0\n"
        f"data = simulate(Own(), {LOGITS}, duration='100 ms', seed=5, checkpoints=1)\n"
        "print(data.spike_count.values.ravel().tolist(), data.attrs['target'], data.attrs['target_reason'])\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(execution.__file__)))
    for command in ("/bin/false", "g++"):
        environment = os.environ | {"CXX": command, "PYTHONPATH": root, "BIOSPIKE_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{expected.ravel().tolist()} numpy ")
