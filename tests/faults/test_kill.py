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
    return {path.name: path.stat().st_mtime_ns for path in (directory / POINTS).glob("[!.]*.nc")}


@pytest.mark.long
def test_sigkill_at_random_moments(tmp_path, unbroken):
    """At least 24 kills, in as many sweeps as that takes, each of which is started again until it is complete."""
    rng = np.random.default_rng()
    unbroken = {name: unbroken[name] for name in (f"{point.key()}.nc" for point in points((1,)))}
    for name in ("first", "timed"):  # the first child waits until the process it is forked from is ready
        start = time.monotonic()
        child = processes.Process(target=run, args=(tmp_path / name, (1,)))
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
        child = processes.Process(target=run, args=(directory, (1,)))
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
    assert between >= 2, "no kill fell between the first and the last point"
    if (directory := tmp_path / f"sweep{finished}").exists():
        run(directory, (1,))
        assert content(directory) == unbroken
        assert not [path for path in (directory / POINTS).iterdir() if path.suffix != ".nc" or path.name[0] == "."]


@pytest.mark.long
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
        assert is_complete(path, path.stem)
        middle = len(whole) * (number + 1) // (len(damaged) + 1)
        path.chmod(0o644)
        path.write_bytes([whole[:middle], b"", whole + b"more", whole[:-1]][number % 4])
        assert not is_complete(path, path.stem)
    run(tmp_path, seeds=(1,))
    for path in damaged:
        assert path.read_bytes() == unbroken[path.name]
    # A file under another point's name is not that point's.
    damaged[0].chmod(0o644)
    damaged[0].write_bytes(damaged[1].read_bytes())
    assert not is_complete(damaged[0], damaged[0].stem)


def test_every_flipped_bit_is_noticed(tmp_path):
    """200 single-bit errors anywhere in the file; HDF5 alone misses some, and with others it never returns."""
    run(tmp_path, seeds=(1,))
    path = min((tmp_path / POINTS).glob("[!.]*.nc"))
    whole = path.read_bytes()
    copy = tmp_path / "copy.nc"
    for bit in np.random.default_rng(5).integers(0, 8 * len(whole), 200):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << (bit % 8)
        copy.write_bytes(bytes(broken))
        assert not is_complete(copy, path.stem), f"bit {bit}"
    copy.write_bytes(whole)
    assert is_complete(copy, path.stem)


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


@pytest.mark.long
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
    # A generator or compiler whose parent was killed writes on for some seconds.
    deadline = time.monotonic() + 60
    while list((tmp_path / "cache").glob("building-*")) and time.monotonic() < deadline:
        time.sleep(0.2)
        remove_abandoned(tmp_path / "cache")
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
