"""Damage to the build cache: every damaged part is noticed, and the binary is built again."""

import shutil

import numpy as np
import pytest
from small_sweep import points

from biospike import simulation, standalone


def simulate(target):
    point = points((1,), target)[-1]
    return simulation.simulate(point.circuit, point.logits, target=target, **point.options)["spike_count"]


@pytest.mark.long
@pytest.mark.compiles
def test_every_damage_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path))
    point = points((1,), "cpp_standalone")[-1]
    plan = simulation.plan(point.circuit, point.logits, **point.options)
    counts = simulate("cpp_standalone")
    assert counts[..., -1].sum() > 5
    (entry,) = tmp_path.glob("binaries/*")
    (request,) = tmp_path.glob("requests/*")
    parts = [entry / "main", entry / "arrays.json", entry / "seal.json", *(entry / "static_arrays").iterdir(), request]
    assert len(parts) >= 4
    rng = np.random.default_rng(2)
    for part in parts:
        whole = part.read_bytes()
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1
        for damage in (whole[: len(whole) // 2], b"", bytes(flipped)):
            part.write_bytes(damage)
            assert not standalone.is_built(plan.circuit, plan.shape()), f"{part.name} was damaged unnoticed"
        part.unlink()
        assert not standalone.is_built(plan.circuit, plan.shape()), f"{part.name} is missing unnoticed"
        part.write_bytes(whole)
        shutil.copymode(entry / "seal.json" if part.name != "main" else shutil.which("true"), part)
        assert standalone.is_built(plan.circuit, plan.shape())
    (entry / "main").write_bytes(b"")
    np.testing.assert_array_equal(simulate("cpp_standalone"), counts)
    np.testing.assert_array_equal(simulate("numpy"), counts)
