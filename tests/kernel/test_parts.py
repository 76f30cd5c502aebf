"""Batches of an interrupted study are read again: the same numbers, and never those of something else."""

import numpy as np
import pytest

from biospike import execution, parts, simulate, simulation, standalone
from circuits.softmax import Escape, Integrate

LOGITS = np.random.default_rng(3).normal(0, 1, (6, 20))


@pytest.fixture
def runs(monkeypatch):
    """Batches that were made, of networks small enough for three of a study."""
    made = []
    make = execution._make

    def counted(plan, target, binary, number, state, duration):
        made.append(number)
        return make(plan, target, binary, number, state, duration)

    monkeypatch.setattr(execution, "_make", counted)
    monkeypatch.setattr(parts, "WORTH_KEEPING", 0.0)
    monkeypatch.setattr(simulation, "NEURONS_PER_BATCH", 400)
    return made


def study(circuit=None, **options):
    chosen = {"duration": "4 ms", "trials": 8, "target": "numpy", "jobs": 1, "seed": 1} | options
    return simulate(circuit or Integrate(rate="1 kHz"), LOGITS, **chosen).spike_count.values


def interrupted(directory):
    with parts.kept_in(directory):
        study()


def test_an_interrupted_study_goes_on_where_it_was(tmp_path, runs, monkeypatch):
    whole = study()
    batches = len(runs)
    assert batches >= 3
    assert whole[..., -1].sum() > 10
    directory = tmp_path / "parts"
    collect = execution.parts.kept

    def stop(place, name, make):
        if len(runs) == batches + 2:
            raise KeyboardInterrupt
        return collect(place, name, make)

    monkeypatch.setattr(parts, "kept", stop)
    with pytest.raises(KeyboardInterrupt):
        interrupted(directory)
    monkeypatch.setattr(parts, "kept", collect)
    assert len(list(directory.iterdir())) == 2
    runs.clear()
    with parts.kept_in(directory):
        np.testing.assert_array_equal(study(), whole)
        assert len(runs) == batches - 2
        runs.clear()
        study()
        assert runs == []
    assert not directory.exists()
    assert parts.place() is None


def test_a_worker_process_keeps_where_its_study_does(tmp_path, runs):
    for again in (False, True):
        with parts.used(tmp_path / "parts"):
            study()
        assert (runs == []) is again
        runs.clear()
    with parts.used(None):
        assert parts.place() is None


@pytest.mark.parametrize(
    "other",
    ["value", "damage", *(pytest.param(one, marks=pytest.mark.long) for one in ("seed", "window", "circuit", "code"))],
)
def test_what_is_another_batch_is_made(tmp_path, runs, monkeypatch, other):
    with parts.kept_in(tmp_path / "parts"):
        study()
        runs.clear()
        if other == "code":
            monkeypatch.setattr(standalone, "code_digest", lambda kind: "changed")
        elif other == "damage":
            for path in (tmp_path / "parts").iterdir():
                path.write_bytes(path.read_bytes()[:-100])
        different = {
            "seed": {"seed": 2},
            "window": {"duration": "5 ms"},
            "value": {"circuit": Integrate(rate="0.7 kHz")},
        }
        different["circuit"] = {"circuit": Escape(rate="1 kHz")}
        found = study(**different.get(other, {}))
        assert len(runs) >= 3
    np.testing.assert_array_equal(found, study(**different.get(other, {})))


def test_short_batches_and_full_disks_keep_nothing(tmp_path, runs, monkeypatch):
    monkeypatch.setattr(parts, "WORTH_KEEPING", 1e9)
    with parts.kept_in(tmp_path / "parts"):
        study()
        assert not (tmp_path / "parts").exists()
        monkeypatch.setattr(parts, "WORTH_KEEPING", 0.0)
        (tmp_path / "parts").write_text("in the way")
        assert study().sum() > 0


def test_a_view_is_known_by_what_it_repeats_and_how_often():
    once = np.arange(6.0).reshape(2, 3)
    views = [np.broadcast_to(once, (4, 2, 3)), np.broadcast_to(once, (5, 2, 3)), np.broadcast_to(once + 1, (4, 2, 3))]
    assert len({parts.key(Escape(), {"w": view}) for view in views}) == 3
