"""Two studies at once in one directory: neither disturbs the other."""

import os

import pytest
from small_sweep import content, processes, run

from biospike.sweep import POINTS


@pytest.mark.long
def test_two_sweeps_in_one_directory(tmp_path, unbroken):
    """The same points in both, and one that overlaps: every file is that of an undisturbed run."""
    children = [processes.Process(target=run, args=(tmp_path, seeds)) for seeds in ((1, 2), (1, 2), (2,))]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert content(tmp_path) == unbroken
    assert set(os.listdir(tmp_path / POINTS)) == set(unbroken), "temporary files are left"


def test_order_and_number_of_processes_never_show(tmp_path, unbroken):
    run(tmp_path / "reversed", seeds=(2, 1))
    run(tmp_path / "two processes", jobs=2)
    assert content(tmp_path / "reversed") == content(tmp_path / "two processes") == unbroken
