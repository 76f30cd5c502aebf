"""Sweeps: the grid, the keys, and the command that runs one."""

import attrs
import numpy as np
import pandas as pd
import pytest

from biospike import load, simulate, standalone
from biospike import sweep as module
from biospike.sweep import Point, grid, sweep, vary
from circuits.softmax import Escape, Race
from validation.compare_softmax import Config
from validation.softmax import study as compare_softmax
from validation.softmax.sweep import swept_columns, tabulate
from validation.softmax.sweep_figure import sweep_figure
from validation.softmax.sweep_file import read_sweep

import brian2 as b2

LOGITS = np.random.default_rng(8).normal(0, 1.3, (3, 5))
LOGITS[2, 4] = np.nan
FILE = """
circuits = ["race", "escape"]
logits = "z.npy"
duration = ["40 ms", "0.1 s"]
seed = {first = 3, count = 2}
trials = 4
target = "numpy"

[race]
rate = ["500 Hz", "1 kHz"]
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Directory of a sweep that the command ran, and its points."""
    directory = tmp_path_factory.mktemp("sweep")
    np.save(directory / "z.npy", LOGITS)
    (directory / "s.toml").write_text(FILE)
    compare_softmax.main(Config(sweep=directory / "s.toml", out=directory / "out", jobs=1, quiet=True))
    return directory / "out", read_sweep(directory / "s.toml")


def test_grid_is_every_combination_in_order():
    points = grid(
        [*vary(Race, {"rate": ["100 Hz", "200 Hz"], "t_inh": ["1 ms", "2 ms"]}), Escape()],
        {"a": LOGITS, "b": LOGITS + 1},
        durations=["1 s", "2 s"],
        seeds=range(3),
        target="numpy",
    )
    assert len(points) == 5 * 2 * 2 * 3
    assert [point.seed for point in points[:4]] == [0, 1, 2, 0]
    assert {(float(p.circuit.rate), float(p.circuit.t_inh)) for p in points if isinstance(p.circuit, Race)} == {
        (100, 1e-3), (100, 2e-3), (200, 1e-3), (200, 2e-3),
    }  # fmt: skip
    assert len({point.key() for point in points}) == len(points)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: vary(Race, {"rates": [1]}), "unknown parameter 'rates'; accepted: dt, rate, t_inh"),
        (lambda: vary(Race, {"rate": "100 Hz"}), "rate needs a list"),
        (lambda: vary(Race, {"rate": []}), "rate needs a list"),
        (lambda: vary(Race, {"rate": ["-1 Hz"]}), "rate must be above"),
        (lambda: grid([], LOGITS, durations=["1 s"]), "at least one circuit"),
        (lambda: grid([Race()], LOGITS, durations=[]), "at least one"),
        (lambda: grid([Race()], LOGITS, durations=["0 s"]), "duration must be above"),
        (lambda: grid([Race()], LOGITS, durations=["1 s"], trials=0), "trials"),
        (lambda: grid([Race()], [[np.inf]], durations=["1 s"]), "inf"),
        (lambda: grid([Race()], LOGITS, durations=["1 s"], target="gpu"), "gpu"),
    ],
)
def test_bad_grids_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_key_changes_with_all_that_the_numbers_depend_on_and_nothing_else(monkeypatch):
    point = Point(circuit=Race(), logits=LOGITS, duration="1 s", trials=2, seed=1, labels={"seed": 1})
    key = point.key()
    assert len(key) == 64
    assert attrs.evolve(point, duration=1000 * b2.ms, labels={}).key() == key
    assert attrs.evolve(point, dt=0.1 * b2.ms).key() == key, "its own step"
    changed = LOGITS.copy()
    changed[0, 0] = np.nextafter(changed[0, 0], 9)
    others = [
        attrs.evolve(point, circuit=Race(rate=201 * b2.Hz)),
        attrs.evolve(point, circuit=Escape()),
        attrs.evolve(point, logits=changed),
        attrs.evolve(point, duration="1.0001 s"),
        attrs.evolve(point, trials=3),
        attrs.evolve(point, seed=2),
        attrs.evolve(point, checkpoints=3),
        attrs.evolve(point, dt=0.05 * b2.ms),
        attrs.evolve(point, target="cython"),
    ]
    assert len({key, *(other.key() for other in others)}) == 1 + len(others)
    for name in ("code_digest", "compiler_version"):
        with monkeypatch.context() as patch:
            patch.setattr(standalone, name, lambda *_: "another")
            compiled = attrs.evolve(point, target="cpp_standalone")
            assert compiled.key() != key
            assert name == "compiler_version" or point.key() != key
    monkeypatch.setattr(module.recording, "versions", lambda: {"brian2": "another"})
    assert point.key() != key


def test_files_are_those_of_simulate(study):
    out, points = study
    assert len(points) == 12
    for point in points[::5]:
        stored = load(out / "points" / f"{point.key()}.nc")
        direct = simulate(point.circuit, LOGITS, target="numpy", duration=point.duration, trials=4, seed=point.seed)
        np.testing.assert_array_equal(stored["spike_count"], direct["spike_count"])
        assert stored["spike_count"][..., -1].sum() > 50
        assert stored.attrs["key"] == point.key()
        assert stored.attrs["target_reason"] == "asked for"


def test_only_what_is_missing_is_run(study, tmp_path, monkeypatch):
    out, points = study
    ran = []
    compute = module.compute

    def spy(point, key):
        ran.append(key)
        return compute(point, key)

    monkeypatch.setattr(module, "compute", spy)
    assert sweep(points, out, jobs=1) == [out / "points" / f"{point.key()}.nc" for point in points]
    assert ran == []
    lost = out / "points" / f"{points[4].key()}.nc"
    before = lost.read_bytes()
    lost.unlink()
    sweep([*points, points[4]], out, jobs=1)
    assert ran == [points[4].key()]
    assert lost.read_bytes() == before
    assert lost.stat().st_mode & 0o222 == 0, "results are immutable"


def test_a_point_that_fails_is_named_and_the_others_are_kept(tmp_path, monkeypatch):
    points = grid([Race()], LOGITS, durations=["10 ms"], seeds=[1, 2], target="numpy")

    def fail(circuit, logits, *, seed, **options):
        if seed == 2:
            raise standalone.RunError("no luck")
        return simulate(circuit, logits, seed=seed, **options)

    monkeypatch.setattr(module.simulation, "simulate", fail)
    with pytest.raises(module.SweepError, match=r"'seed': 2.*no luck"):
        sweep(points, tmp_path, jobs=1)
    assert [path.stem for path in (tmp_path / "points").iterdir()] == [points[0].key()]


def test_tables(study):
    out, points = study
    table, windows = pd.read_csv(out / "sweep.csv"), pd.read_csv(out / "summary.csv")
    assert len(table) == 12
    for point in points:
        stored = load(out / "points" / f"{point.key()}.nc")
        mine = windows[windows["key"] == point.key()]
        np.testing.assert_allclose(mine["window_ms"], stored["window_ms"])
    assert set(table["rate"][table["circuit"] == "race"]) == {500, 1000}
    assert table["w"][table["circuit"] == "race"].isna().all()
    assert set(table["duration_s"]) == {0.04, 0.1}
    # TV of one point by hand.
    row = table.iloc[7]
    counts = load(out / "points" / f"{row['key']}.nc")["spike_count"][..., -1].values
    p = np.exp(np.nan_to_num(LOGITS, nan=-np.inf))
    p /= p.sum(axis=1, keepdims=True)
    tv = np.abs(counts / counts.sum(axis=-1, keepdims=True) - p).sum(axis=-1) / 2
    assert row["tv"] == pytest.approx(tv.mean())
    assert row["spikes_per_row"] == pytest.approx(counts.sum(axis=-1).mean())
    assert swept_columns(points) == ["circuit", "duration_s", "seed", "rate"]
    report = (out / "report.md").read_text()
    assert "12 points" in report
    assert "nan" not in report.lower()
    assert (out / "sweep.png").stat().st_size > 5000


def test_processes_make_the_same_tables(study):
    out, points = study
    files = [out / "points" / f"{point.key()}.nc" for point in points]
    _, table = tabulate(points, files, jobs=1, progress=False)
    table.to_csv(out / "again.csv", index=False)
    assert (out / "again.csv").read_bytes() == (out / "sweep.csv").read_bytes()
    (out / "again.csv").unlink()


def test_figure(study):
    table = pd.read_csv(study[0] / "sweep.csv")
    figure = sweep_figure(table, ["duration_s", "rate", "seed"])
    assert figure is not None
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert [axes.get_xlabel() for axes in panels] == ["duration (s)", "rate (Hz)"]
    lines = {str(line.get_label()): line for line in panels[1].get_lines()}
    lines = {label: line for label, line in lines.items() if not label.startswith("_")}
    assert list(lines) == ["race"]
    race = table[table["circuit"] == "race"]
    np.testing.assert_allclose(lines["race"].get_ydata(), race.groupby("rate")["tv"].mean())
    assert sweep_figure(table, ["seed"]) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sweep": "s.toml", "trials": 3}, "--trials is given by --sweep"),
        ({"sweep": "s.toml", "circuits": ("race",)}, "--circuits is given by --sweep"),
        ({"jobs": 2}, "--jobs and --scheduler belong to a sweep"),
        ({"scheduler": "tcp://host:1"}, "--jobs and --scheduler belong to a sweep"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        compare_softmax.main(Config(out=tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


@pytest.mark.long
@pytest.mark.compiles
def test_compiled_points_are_the_same_with_two_processes(tmp_path):
    points = {
        target: grid([Race()], LOGITS, durations=["50 ms"], seeds=range(4), trials=2, target=target)
        for target in ("cpp_standalone", "numpy")
    }
    files = {target: sweep(mine, tmp_path, jobs=2) for target, mine in points.items()}
    for compiled, plain in zip(*files.values(), strict=True):
        assert compiled != plain
        np.testing.assert_array_equal(load(compiled)["spike_count"], load(plain)["spike_count"])
        assert load(plain)["spike_count"].sum() > 20
