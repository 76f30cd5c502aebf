"""The block of the benchmark and its peers: the same numbers, or the same law, and what is found if they are not."""

from pathlib import Path

import attrs
import numpy as np
import pytest

from circuits.presentation import plan_presentation, present
from validation.speed import block as benchmark_block
from validation.speed.block import FUSED, TORCH, BlockSize, digest_of, disagreement, missing, run_peer, summary
from validation.speed.process import PeerError

SIZE = BlockSize(tokens=3, features=4, heads=2, width=4, steps=100, trials=3, seed=1)


def test_a_single_count_changes_the_digest():
    attention, x = SIZE.block()
    attention = attrs.evolve(attention, tau_s="10 ms")
    data = present(attention, x, target="fused", check=False, **SIZE.options(attention))
    digest = digest_of(data)
    assert digest == digest_of(data.copy(deep=True))
    for name in benchmark_block.TOTALS:
        wrong = data.copy(deep=True)
        wrong[name][(0,) * wrong[name].ndim] += 1
        assert digest_of(wrong) != digest
    assert summary(attention, x, {name: data[name].values[:, 0] for name in benchmark_block.TOTALS})["rows"] == 6


def test_target_fused_is_timed():
    found = run_peer(FUSED, SIZE, Path())
    assert found["loop_cpu_s"] > 0
    assert found["steps"] == 250 + 2 + 128 + 100 + 1
    assert disagreement(found, found) == ""
    assert disagreement(found | {"digest": 0}, found) == "its counts are not those of target fused"


@pytest.mark.long
def test_what_is_not_the_loops_is_not_timed(monkeypatch):
    """Outputs that both targets had wrong would agree."""
    monkeypatch.setattr(benchmark_block, "present", lambda *args, **given: swapped(present(*args, **given)))
    with pytest.raises(PeerError, match="counts of the outputs are not those of an independent loop"):
        run_peer(FUSED, SIZE, Path())


def swapped(data):
    """The second head's outputs wrong, and every total right."""
    return data.assign(output_count=data["output_count"].where(data["head"] == 0, data["output_count"][..., ::-1, :]))


def test_another_law_is_found():
    figures = {f"{name}_mean": 100.0 for name in benchmark_block.TOTALS}
    figures |= {f"{name}_error": 3.0 for name in benchmark_block.TOTALS}
    figures |= {"digest": 5, "distance": 0.1, "rows": 400}
    other = figures | {"digest": -1}
    assert disagreement(other, figures) == ""
    assert disagreement(other | {"output_count_mean": 125.0}, figures) == ""
    assert disagreement(other | {"output_count_mean": 126.0}, figures).startswith("output_count is 26 from")
    assert disagreement(other | {"distance": 0.114}, figures) == ""
    assert disagreement(other | {"distance": 0.116}, figures).startswith("its attention is 0.116 from")


@pytest.mark.skipif(missing(TORCH), reason="torch is not installed")
def test_torch_keeps_the_law():
    from validation.speed.peers import torch_block  # noqa: PLC0415

    size = attrs.evolve(SIZE, steps=300, trials=20)
    found, fused = (run_peer(peer, size, Path()) for peer in (TORCH, FUSED))
    assert fused["output_count_mean"] > 100
    assert disagreement(found, fused) == ""
    attention, x = size.block()
    plan = plan_presentation(attention, x, **size.options(attention))
    given = {"timing": attention.timing(size.steps, attention.dt), "marks": plan.marks, "seed": 1}
    counts, _ = torch_block.run(attention, x, trials=2, **given)
    assert counts["output_count"].shape == (2, 2, 3, 4, 2, len(plan.marks))
    assert np.all(np.diff(counts["attention_count"], axis=-1) >= 0)
