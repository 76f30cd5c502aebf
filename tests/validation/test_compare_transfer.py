"""Each f-I curve reaches its own normalisation to within whole spikes, and no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biospike.metrics import total_variation
from validation import compare_transfer
from validation.compare_transfer import LIMITS, TRANSFERS, Config, prepare, simulate

CONFIG = Config(rows=3, spikes=600, trials=1, quiet=True)


@pytest.mark.long
@pytest.mark.parametrize("name", list(TRANSFERS))
def test_every_curve_reaches_its_own_limit_within_a_spike_a_key(name: str) -> None:
    logits, transfer = prepare(CONFIG), TRANSFERS[name]
    shares = simulate(transfer, logits, CONFIG)[0]
    keys = (~np.isnan(logits)).sum(axis=1)
    # A deterministic count strays from its expectation by less than one spike a key: TV below n/(2N).
    assert (total_variation(shares, transfer.limit(logits)) < keys / (2 * CONFIG.spikes)).all()
    for limit in LIMITS.values():
        if limit is not transfer.limit:
            assert total_variation(shares, limit(logits)).mean() > 0.05


def test_main_writes_its_files(tmp_path: Path) -> None:
    compare_transfer.main(Config(rows=1, spikes=100, trials=1, out=tmp_path, quiet=True))
    assert {path.name for path in tmp_path.iterdir()} == {"summary.csv", "report.md", "transfer.png", "transfer.pdf"}
    assert "compute sparsemax" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "--rows must be at least 1, got 0"),
        ({"rows": 1000}, "--rows must be at most 72, got 1000"),
        ({"spikes": 10}, "--spikes must be at least 100, got 10"),
        ({"target": "cpp_standalone"}, "--target cpp_standalone: unknown; accepted: auto"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(Config(**options))
