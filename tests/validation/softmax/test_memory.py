"""Memory of the main job on rows of the length of a vocabulary."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import validation
from circuits.softmax import GROUPS

SCRIPT = Path(validation.__file__).with_name("compare_softmax.py")
KEYS = 50_257
PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_of_session(session):
    """Bytes that all processes of a session have in memory, shared ones counted for each."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        total += int(fields[21]) * PAGE if int(fields[3]) == session else 0
    return total


def run_and_watch(command, **options):
    """Run a command in a session of its own; its status and the most memory that all its processes had at a time."""
    process, most = subprocess.Popen(command, start_new_session=True, **options), 0
    while process.poll() is None:
        most = max(most, memory_of_session(process.pid))
        time.sleep(0.1)
    return process.returncode, most


def test_the_memory_of_children_is_seen():
    program = "import subprocess, sys, time; x = bytes(5*10**7); subprocess.run([sys.executable, '-c', sys.argv[1]])"
    child = "import time; x = b'1'*10**8; time.sleep(0.5)"
    status, most = run_and_watch([sys.executable, "-S", "-c", program, child])
    assert status == 0
    assert 10**8 < most < 5 * 10**8


@pytest.mark.compiles
@pytest.mark.long
def test_two_rows_of_a_vocabulary(tmp_path):
    """All circuits, 4 trials of 0.2 s, in less than 4 GiB of all processes together."""
    logits = np.random.default_rng(1).normal(0, 2, (2, KEYS))
    logits[:, :300] += 4
    np.save(tmp_path / "z.npy", logits)
    options = ["--logits", str(tmp_path / "z.npy"), "--duration", "0.2 s", "--trials", "4", "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
    command = [sys.executable, str(SCRIPT), *options, "--out", str(tmp_path / "out")]
    status, most = run_and_watch(command, env=environment)
    assert status == 0
    assert 2 * KEYS * 24 * 4 * 4 < most < 4 * 2**30
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert summary["circuit"].nunique() == len(GROUPS["circuit"]) + len(GROUPS["control"])
    assert summary.groupby("circuit")["spikes_per_row"].max().min() > 1
    assert "24 largest" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
