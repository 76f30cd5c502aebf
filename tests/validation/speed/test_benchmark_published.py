"""The published blocks of the benchmark: alive, checked against the formula, and the same in every peer."""

import attrs
import numpy as np
import pandas as pd
import pytest

from circuits.transformers import QKTokenCircuit
from validation.speed.process import PeerError
from validation.speed.published import FUSED, PUBLISHED, PUBLISHED_PEERS, Published, missing, run_peer
from validation.speed.report import _published


def smaller(case: Published) -> Published:
    """Few channels and steps; an image of two by two patches."""
    width = 4 if case.heads > 1 else 8
    return attrs.evolve(case, tokens=64, channels=width * case.heads, steps=min(case.steps, 8))


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_block_is_alive_and_the_formula_s(name: str) -> None:
    """The threshold of SpikingBERT is met by a context of 1 only where all values spike: there rounding decides."""
    case = smaller(PUBLISHED[name])
    found = run_peer(FUSED, case, seed=1, calls=1)
    assert found["different"] == 0
    assert 0.02 < found["rate"] < 0.9
    assert found["call_cpu_s"] > 0


def test_wrong_spikes_give_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    run = QKTokenCircuit.run

    def wrong(*arguments: object, **options: object) -> dict[str, np.ndarray]:
        stages = run(*arguments, **options)
        stages["output"][0, 0, 0, 0] ^= 1
        return stages

    monkeypatch.setattr(QKTokenCircuit, "run", wrong)
    with pytest.raises(PeerError, match="output spikes are not those of the formula"):
        run_peer(FUSED, smaller(PUBLISHED["qkta"]), seed=1, calls=1)


@pytest.mark.skipif(bool(missing("float64")), reason="torch or spikingjelly is not installed")
@pytest.mark.parametrize("name", PUBLISHED)
def test_torch_runs_the_same_blocks(name: str) -> None:
    found = run_peer("float64", smaller(PUBLISHED[name]), seed=1, calls=1)
    assert found["different"] <= 1e-4


def test_the_report_has_times_and_memory_of_every_block() -> None:
    rows = [
        {"block": "ssa", "peer": peer, "call_cpu_s": seconds, "above_mib": 7.0}
        for peer, seconds in zip(PUBLISHED_PEERS, (0.002, 0.004, 0.003), strict=True)
    ]
    heading, text, table = _published(pd.DataFrame(rows))
    assert heading == "## Published blocks"
    assert "takes 0.50 to 0.50 times" in text
    assert "fused_ms" in table
    assert "float32_mib" in table
    assert _published(pd.DataFrame()) == []
