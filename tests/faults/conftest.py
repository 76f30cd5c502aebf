"""What the fault tests share: the results of a run that nothing disturbed."""

import os
import sys
from multiprocessing import forkserver

import pytest
from small_sweep import content, points

from biospike import load
from biospike.sweep import sweep


@pytest.fixture(scope="session", autouse=True)
def _prepared_processes():
    """Start the process from which children are forked with this one's path, so that it imports everything."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    forkserver.ensure_running()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory):
    """Files of an unbroken run, by name."""
    directory = tmp_path_factory.mktemp("unbroken")
    files = sweep(points(), directory, jobs=1)
    assert len(set(files)) == len(points()) == 8
    for file in files:
        counts = load(file)["spike_count"]
        assert counts[..., -1].sum() > 5, "hardly anything fired"
    return content(directory)
