"""The same sweep on a real scheduler and workers that are processes of their own, one of which is killed."""

import contextlib
import os
import socket
import subprocess
import sys
import time

import attrs
import pytest
from small_sweep import content as files_of
from small_sweep import points

from biospike import sweep as module
from biospike.standalone import RunError
from biospike.sweep import sweep
from validation.model.options import Config, prepare
from validation.model.study import run

pytest.importorskip("distributed", reason="needs the extra 'cluster'")


@contextlib.contextmanager
def cluster(directory, workers):
    """Start a scheduler and its workers; yields the address and the workers' processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    # Nothing but what is installed, and these tests' own modules: workers do not share this process's directory.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    common = {"cwd": directory, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = ["worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny", "--local-directory", str(directory)]
    started = [
        subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]], **common)
        for arguments in (scheduler, *([worker] * workers))
    ]
    try:
        yield address, started[1:]
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


@pytest.mark.long
def test_chunks_of_a_model_on_a_worker(tmp_path):
    config = Config(model=("causal_digits",), samples=60, trials=2, circuits=("escape",), spikes=(4,), by=("shares",),
                    block=("attention",), jobs=1, quiet=True)  # fmt: skip
    models = prepare(config)
    here, _ = run(config, models)
    with cluster(tmp_path, workers=1) as (address, _):
        there, _ = run(attrs.evolve(config, scheduler=address), models)
    assert {name: table.to_csv() for name, table in here.items()} == {
        name: table.to_csv() for name, table in there.items()
    }


@pytest.mark.long
def test_a_worker_that_dies_loses_nothing(tmp_path, unbroken, monkeypatch):
    """One of two workers is killed while points are running; all files are those of one process on one machine."""
    kept = []
    with cluster(tmp_path, workers=2) as (address, workers):

        def keep(data, path, write=module._keep):
            write(data, path)
            kept.append(path)
            if len(kept) == 2:
                workers[0].kill()

        monkeypatch.setattr(module, "_keep", keep)
        files = sweep(points(), tmp_path / "out", scheduler=address)
        workers[0].wait()
        assert workers[1].poll() is None
    assert len(kept) == len(unbroken)
    assert workers[0].returncode == -9
    assert files_of(tmp_path / "out") == unbroken
    assert [file.name for file in files] == [f"{point.key()}.nc" for point in points()]


def test_a_worker_with_other_code_is_refused(monkeypatch):
    point = points()[0]
    key = point.key()
    monkeypatch.setattr(module.recording, "versions", lambda: {"brian2": "0.0"})
    with pytest.raises(RunError, match="other code or versions"):
        module.compute(point, key)


def test_nobody_at_the_address(tmp_path, monkeypatch):
    from biospike import cluster as dask  # noqa: PLC0415

    monkeypatch.setattr(dask, "PATIENCE", 0.5)
    start = time.monotonic()
    with pytest.raises(ValueError, match="no Dask scheduler answers"):
        sweep(points(), tmp_path, scheduler="tcp://127.0.0.1:9")
    assert time.monotonic() - start < 60
    with pytest.raises(ValueError, match="no Dask scheduler answers"):
        sweep(points(), tmp_path, scheduler="nonsense://x y")
    assert files_of(tmp_path) == {}


def test_counts_do_not_depend_on_the_threads_of_a_worker(unbroken, tmp_path):
    """Workers may run several points in threads of one process, where Brian2 has one device for all."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    def keep(point):
        module._keep(module.compute(point, point.key()), tmp_path / "points" / f"{point.key()}.nc")

    (tmp_path / "points").mkdir()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(keep, points((1,))))
    assert len(files_of(tmp_path)) == 4
    assert files_of(tmp_path).items() <= unbroken.items()


FAILING = """
import sys
from small_sweep import points
from biospike import sweep as module

module.Point.key = lambda point, key=module.Point.key: key(point)[::-1]
try:
    module.sweep(points(), sys.argv[1], scheduler=sys.argv[2])
except module.SweepError as error:
    print(error)
"""


@pytest.mark.long
def test_a_point_that_fails_on_a_worker_ends_the_sweep_with_one_error(tmp_path):
    """Here every key is wrong, as if the workers had other code; the process must come to its end."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with cluster(tmp_path, workers=1) as (address, _):
        command = [sys.executable, "-c", FAILING, str(tmp_path / "out"), address]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "other code or versions" in done.stdout
    assert os.listdir(tmp_path / "out" / "points") == []
