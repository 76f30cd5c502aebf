"""SIGKILL at random moments: what is there is whole, what was done is not done again, and the end is the same."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_sweep import content, points, processes, run

from biospike.files import remove_abandoned
from biospike.sweep import POINTS, is_complete

KILLS = 24


def stamps(directory):
    return {path.name: path.stat().st_mtime_ns for path in (directory / POINTS).glob("*.nc")}


def test_sigkill_at_random_moments(tmp_path, unbroken):
    """At least 24 kills, in as many sweeps as that takes, each of which is started again until it is complete."""
    rng = np.random.default_rng()
    for name in ("first", "timed"):  # the first child waits until the process it is forked from is ready
        start = time.monotonic()
        child = processes.Process(target=run, args=(tmp_path / name,))
        child.start()
        child.join()
        seconds = time.monotonic() - start
        assert content(tmp_path / name) == unbroken
    kills, finished, between = 0, 0, 0
    for _ in range(4 * KILLS):
        if kills >= KILLS and finished > 0:
            break
        directory = tmp_path / f"sweep{finished}"
        kept = stamps(directory)
        child = processes.Process(target=run, args=(directory,))
        child.start()
        time.sleep(rng.uniform(0.0, 0.8 * seconds))
        child.kill()
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL)
        kills += child.exitcode == -signal.SIGKILL
        found = content(directory)
        assert found.items() <= unbroken.items(), "a file that an unbroken run would not have written"
        assert kept.items() <= stamps(directory).items(), "what was complete was written again"
        between += 0 < len(found) < len(unbroken)
        if child.exitcode == 0:
            assert found == unbroken
            finished += 1
    assert kills >= KILLS
    assert finished > 0
    assert between >= 3, "no kill fell between the first and the last point"
    if (directory := tmp_path / f"sweep{finished}").exists():
        run(directory)
        assert content(directory) == unbroken
        assert not [path for path in (directory / POINTS).iterdir() if path.suffix != ".nc" or path.name[0] == "."]


def test_killing_the_command_with_its_workers_at_work(tmp_path, unbroken):
    """The command is killed alone: its worker processes must not go on to write anything else."""
    script = f"from small_sweep import run; run({str(tmp_path)!r}, jobs=2)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(stamps(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    command.send_signal(signal.SIGKILL)
    command.wait()
    assert 3 <= len(stamps(tmp_path)) <= len(unbroken)
    run(tmp_path)
    assert content(tmp_path) == unbroken


def test_a_damaged_file_of_a_point_is_not_taken_for_a_result(tmp_path, unbroken):
    run(tmp_path, seeds=(1,))
    damaged = sorted((tmp_path / POINTS).glob("*.nc"))
    for number, path in enumerate(damaged):
        whole = path.read_bytes()
        middle = len(whole) * (number + 1) // (len(damaged) + 1)
        path.chmod(0o644)
        path.write_bytes([whole[:middle], b"", whole + b"more"][number % 3])
        # What follows the end of a netCDF file is not read, hence no damage.
        assert is_complete(path, path.stem) == (number % 3 == 2)
    run(tmp_path, seeds=(1,))
    for path in damaged[:2]:
        assert path.read_bytes() == unbroken[path.name]
    # A file under another point's name is not that point's.
    damaged[0].chmod(0o644)
    damaged[0].write_bytes(damaged[1].read_bytes())
    assert not is_complete(damaged[0], damaged[0].stem)


def test_flipped_bits_are_noticed_or_do_not_matter(tmp_path):
    """200 single-bit errors: either the file is refused, or all its counts are those that were written."""
    from biospike.sweep import read  # noqa: PLC0415

    run(tmp_path, seeds=(1,))
    path = min((tmp_path / POINTS).glob("*.nc"))
    whole, before = path.read_bytes(), read(path)
    rng = np.random.default_rng(5)
    copy = tmp_path / "copy.nc"
    refused = 0
    for bit in rng.integers(0, 8 * len(whole), 200):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << (bit % 8)
        copy.write_bytes(bytes(broken))
        if is_complete(copy, path.stem):
            np.testing.assert_array_equal(read(copy)["spike_count"], before["spike_count"])
        else:
            refused += 1
    assert refused > 10


def test_remove_abandoned_leaves_the_living_alone(tmp_path):
    from biospike.files import owned_prefix  # noqa: PLC0415

    mine = tmp_path / owned_prefix("mine")
    mine.write_text("")
    child = processes.Process(target=_leave, args=(tmp_path,))
    child.start()
    child.join()
    (tmp_path / "other").write_text("")
    assert len(list(tmp_path.iterdir())) == 4
    remove_abandoned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {mine.name, "other"}


def _leave(directory):
    from biospike.files import owned_prefix  # noqa: PLC0415

    (directory / owned_prefix("file")).write_text("")
    (directory / owned_prefix("folder")).mkdir()


@pytest.mark.compiles
def test_sigkill_while_compiling(tmp_path, unbroken, monkeypatch):
    """Kills in code generation, compilation and compiled runs; the counts are those of the numpy target."""
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng()
    kills = 0
    for window in (2.0, 6.0, 12.0):
        child = processes.Process(target=_run_compiled, args=(tmp_path / "out", tmp_path / "cache"))
        child.start()
        time.sleep(rng.uniform(0.5, window))
        child.kill()
        child.join()
        kills += child.exitcode == -signal.SIGKILL
    assert kills > 0
    _run_compiled(tmp_path / "out", tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("building-*"))
    _same_counts(tmp_path / "out", points((1,), "cpp_standalone"), unbroken, tmp_path)


def _run_compiled(directory, cache):
    os.environ["BIOSPIKE_CACHE"] = str(cache)
    run(directory, seeds=(1,), target="cpp_standalone")


def _same_counts(directory, compiled, unbroken, scratch):
    from biospike import load  # noqa: PLC0415

    for ours, theirs in zip(compiled, points((1,)), strict=True):
        (scratch / "reference.nc").write_bytes(unbroken[f"{theirs.key()}.nc"])
        reference = load(scratch / "reference.nc")
        counts = load(directory / POINTS / f"{ours.key()}.nc")["spike_count"]
        np.testing.assert_array_equal(counts, reference["spike_count"])
