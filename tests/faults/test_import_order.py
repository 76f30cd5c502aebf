"""biospike and Brian2 in one process, in both orders of import, beside files of preferences."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import validation
from biospike import simulate
from circuits.softmax import Race

PREFERENCES = """
codegen.target = open('evaluated', 'w').close() or 'numpy'
core.default_float_dtype = float32
core.network.default_schedule = ['start', 'synapses', 'groups', 'resets', 'thresholds', 'end']
codegen.loop_invariant_optimisations = False
"""
LOGITS = [1.0, 0.0, -1.0]
SHOWN = f"""
from biospike import simulate
from circuits.softmax import Race
counts = lambda target: simulate(Race(dt='0.25 ms'), {LOGITS}, duration='100 ms', seed=5, target=target, checkpoints=1)
"""
BANNER = "Brian 2 encountered an unexpected error"


def python(directory, text, *, script=False, **environment):
    root = str(Path(validation.__file__).parent.parent)
    (directory / "script.py").write_text(text)
    return subprocess.run(
        [sys.executable, *(["script.py"] if script else ["-c", text])],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": root} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def expected():
    data = simulate(Race(dt="0.25 ms"), LOGITS, duration="100 ms", seed=5, target="numpy", checkpoints=1)
    assert data.spike_count.sum() > 10, "hardly anything fired"
    return data.spike_count.values.ravel().tolist()


@pytest.mark.long
def test_biospike_first(tmp_path):
    """The file is not read, the names of pylab are there, nothing is a stub, and an error of ours is plainly ours."""
    (tmp_path / "brian_preferences").write_text(PREFERENCES)
    text = (
        "import sys\n"
        "hook = sys.excepthook\n"
        f"{SHOWN}"
        "assert sys.excepthook is hook is sys.__excepthook__\n"
        "from brian2 import *\n"
        "import brian2, matplotlib.pyplot\n"
        "assert plot is matplotlib.pyplot.plot and figure is matplotlib.pyplot.figure\n"
        "assert prefs['core.default_float_dtype'] is float64\n"
        "assert all(getattr(one, '__spec__', 1) for name, one in sys.modules.items() if name != '__main__')\n"
        "print(counts('numpy').spike_count.values.ravel().tolist())\n"
        "counts('gpu')\n"
    )
    done = python(tmp_path, text, script=True)
    assert done.stdout.split("\n")[0] == str(expected()), done.stderr
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.rstrip().split("\n")[-1].startswith("biospike.errors.InputError: target must be one of")
    assert BANNER not in done.stderr
    assert not (tmp_path / "evaluated").exists()


@pytest.mark.long
def test_an_error_at_the_prompt_has_no_banner(tmp_path):
    done = python(tmp_path, f"{SHOWN}counts('gpu')\n")
    assert done.stderr.rstrip().split("\n")[-1].startswith("biospike.errors.InputError: target must be one of")
    assert BANNER not in done.stderr


@pytest.mark.long
@pytest.mark.compiles
def test_brian2_first(tmp_path):
    """He who imports it himself has its file read and keeps its hook; our numbers are what they are."""
    (tmp_path / "brian_preferences").write_text(PREFERENCES)
    text = (
        "import sys, brian2\n"
        "hook = sys.excepthook\n"
        f"{SHOWN}"
        "for target in ('numpy', 'cpp_standalone'):\n"
        "    print(counts(target).spike_count.values.ravel().tolist())\n"
        "assert sys.excepthook is hook is not sys.__excepthook__\n"
        "assert brian2.prefs['core.default_float_dtype'] is brian2.float32\n"
    )
    done = python(tmp_path, text)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "evaluated").exists()
    assert done.stdout.split("\n")[:2] == [str(expected())] * 2


@pytest.mark.long
@pytest.mark.compiles
def test_preferences_of_the_users_home_do_not_reach_the_generator(tmp_path):
    """Nor those of the working directory: the binary has the name, which is a digest, that it has without them."""
    (tmp_path / "home" / ".brian").mkdir(parents=True)
    for file in (tmp_path / "home" / ".brian" / "user_preferences", tmp_path / "brian_preferences"):
        file.write_text(PREFERENCES.replace("open('evaluated', 'w').close() or ", ""))
    shown = f"{SHOWN}print(counts('cpp_standalone').spike_count.values.ravel().tolist())\n"
    found = []
    for number, home in enumerate((tmp_path / "home", tmp_path / "empty")):
        cache = tmp_path / f"cache{number}"
        done = python(tmp_path, shown, HOME=str(home), BIOSPIKE_CACHE=str(cache))
        assert done.stdout.split("\n")[0] == str(expected()), done.stderr
        found.append([path.name for path in (cache / "binaries").iterdir()])
    assert len(found[0]) == 1
    assert found[0] == found[1]


@pytest.mark.long
def test_nothing_is_imported_before_it_is_needed(tmp_path):
    """Of the packages that take a tenth of a second and more, those that Brian2 or a result needs."""
    late = {"scipy.optimize", "scipy.stats", "scipy.integrate", "dask", "distributed", "numba", "torch"}
    done = python(tmp_path, f"import sys, validation.softmax.study; print(*({late} & sys.modules.keys()))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
