"""Rewritten loops: known forms are rewritten, unknown ones refused; that the numbers stay is shown by compiled runs."""

import numpy as np
import pytest

from biospike import simulate
from biospike.errors import BuildError
from biospike.translation_unit import _fast_loops, _without_clock, unite
from circuits.softmax import Diffusive, Integrate, Race, Shunting

import brian2 as b2

THRESHOLDER = """
    long _count = 0;
    for(size_t _idx=0; _idx<N; _idx++)
    {
        const double v = _ptr_array_keys_v[_idx];
        const char _cond = v >= 1;

        if(_cond) {
            _ptr_array_keys__spikespace[_count++] = _idx;
        }
    }
    _ptr_array_keys__spikespace[N] = _count;
"""
UPDATER = """
    const int _N = N;

    for(int _idx=0; _idx<_N; _idx++)
    {
        const int32_t hub_index = _ptr_array_keys_hub_index[_idx];
        const double gate = _ptr_array_hub_gate[hub_index];
        double v;
        v = gate;
        _ptr_array_keys_v[_idx] = v;
    }
"""
RESETTER = """
        int32_t count_0 = _ptr_array_keys_count_0[_idx];
        int32_t count_1 = _ptr_array_keys_count_1[_idx];
        int32_t other = _ptr_array_keys_other[_idx];
        count_0 += _lio_1;
        count_1 += _lio_2;
        other = count_1;
        _ptr_array_keys_count_0[_idx] = count_0;
        _ptr_array_keys_count_1[_idx] = count_1;
        _ptr_array_keys_other[_idx] = other;
"""
ARRAYS = {"_array_keys_hub_index", "_array_keys_occupied"}


def test_thresholder_collects_bytes_before_spikes():
    text = fast("keys_spike_thresholder_codeobject", THRESHOLDER, ARRAYS)
    condition, scan = text.split("uint64_t _eight[8]")
    assert "_crossed[_idx] = (_cond != 0);" in condition
    assert "_spikespace[_count++]" not in condition
    assert "_spikespace[_count++] = _idx;" in scan
    assert "_array_keys_occupied[0]" in condition


def fast(name, body, arrays):
    return _fast_loops(name, body, arrays, "stateupdater" in name)


@pytest.mark.parametrize("name", ["keys_spike_thresholder_codeobject", "keys_stateupdater_codeobject"])
def test_unknown_form_is_refused(name):
    with pytest.raises(BuildError, match=f"{name} has no .* another form of code"):
        fast(name, "for(auto& neuron : neurons) step(neuron);", ARRAYS)


def test_linked_variables_are_spread_over_the_keys_of_a_row():
    text = fast("keys_stateupdater_codeobject", UPDATER, ARRAYS)
    assert "const double gate = _of_keys_gate[_idx - _first];" in text
    assert "[hub_index]" not in text
    used_otherwise = UPDATER.replace("v = gate;", "v = gate + hub_index;")
    assert "[hub_index]" in fast("keys_stateupdater_codeobject", used_otherwise, ARRAYS)


def test_only_hubs_of_a_group_of_keys_are_limited():
    assert "max_element" in fast("hub_stateupdater_codeobject", UPDATER, ARRAYS)
    assert "max_element" not in fast("hub_stateupdater_codeobject", UPDATER, {"_array_hub_I"})
    assert "max_element" not in fast("other_hub_stateupdater_codeobject", UPDATER, ARRAYS)


def test_a_count_that_something_else_reads_is_always_kept():
    text = fast("keys_spike_resetter_codeobject", RESETTER, ARRAYS)
    assert "if(_lio_1) _ptr_array_keys_count_0[_idx] = count_0;" in text
    assert "if(_lio_2)" not in text


def test_the_clock_is_read_once():
    step = "\n        current = std::clock();\n        elapsed_realtime = (double)(current - start)/CLOCKS_PER_SEC;"
    loop = f"while(running)\n    {{{step}\n    }}\n    _last_run_time = elapsed_realtime;\n"
    text = _without_clock(loop)
    assert text.count("std::clock()") == 1
    assert text.index("std::clock()") > text.index("}")
    assert _without_clock("no clock") == "no clock"
    with pytest.raises(BuildError, match=r"network\.cpp"):
        _without_clock("x = std::clock();")


@pytest.mark.compiles
@pytest.mark.parametrize(("rows", "keys", "trials"), [(7, 13, 8), pytest.param(2, 700, 6, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "circuit",
    # The build of the two last is that of the tests of their limits.
    [Race(), pytest.param(Integrate(), marks=pytest.mark.long), Shunting(), Diffusive()],
    ids=lambda circuit: circuit.name,
)
def test_rewritten_loops_keep_every_spike(circuit, rows, keys, trials):
    """Vectors of eight cross rows, rows cross blocks of 512 keys, some keys are masked, and the last block is short."""
    logits = np.random.default_rng(5).normal(0, 1.5, (rows, keys))
    logits[1, 3:] = np.nan
    options = {"duration": 100 * b2.ms, "trials": trials, "seed": 8, "checkpoints": 5}
    compiled, numpy = (simulate(circuit, logits, target=target, **options) for target in ("cpp_standalone", "numpy"))
    for name in ("spike_count", "gap_sum", "gap_square_sum"):
        np.testing.assert_array_equal(compiled[name], numpy[name])
    assert numpy.spike_count[..., -1].sum() > 50


def project_of(path, loop):
    """A project with one code object, `loop`, in the form in which Brian2 writes the rest."""
    (path / "code_objects").mkdir()
    (path / "objects.h").write_text("")
    (path / "objects.cpp").write_text("")
    code = f"#include <cmath>\n\nvoid _run_keys_each_step_codeobject()\n{{\n    {loop}\n    {{ v[_idx] = 0; }}\n}}\n"
    (path / "code_objects" / "keys_each_step_codeobject.cpp").write_text(code)
    for name in ("network.cpp", "run.cpp", "synapses_classes.cpp"):
        (path / name).write_text("")
    (path / "main.cpp").write_text("_array_defaultclock_dt[0] = 1;\nnetwork.run(1, NULL, 10.0);\n")
    return path


def test_a_loop_of_another_form_is_left_as_it_is_with_one_line(tmp_path):
    """What a newer Brian2 may write makes a slower program, not an error."""
    name = ["keys_each_step_codeobject"]
    known, unknown = "for(int _idx=0; _idx<_N; _idx++)", "for(auto _idx : _neurons)"
    (tmp_path / "known").mkdir()
    assert f"#pragma GCC ivdep\n    {known}" in unite(project_of(tmp_path / "known", known), name)
    (tmp_path / "unknown").mkdir()
    project = project_of(tmp_path / "unknown", unknown)
    with pytest.warns(RuntimeWarning, match="another form of loops .* left as they are in keys_each_step_codeobject"):
        text = unite(project, name)
    assert unknown in text
    assert "ivdep" not in text.split("keys_each_step")[1]


def test_independence_is_a_promise_of_the_object_not_of_its_name(tmp_path):
    loop = "for(int _idx=0; _idx<_N; _idx++)"
    assert "ivdep" not in unite(project_of(tmp_path, loop)).split("unit_0")[1]


def test_a_main_of_another_form_is_an_error_that_auto_survives(tmp_path):
    project = project_of(tmp_path, "for(int _idx=0; _idx<_N; _idx++)")
    (project / "main.cpp").write_text("start(1);\n")
    with pytest.raises(BuildError, match=r"main\.cpp has no place for BIOSPIKE_DT that is known"):
        unite(project)
