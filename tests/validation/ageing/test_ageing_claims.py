"""Claims on attention that ages: opposite tables give opposite verdicts, noise about a threshold gives none."""

import attrs
import numpy as np
import pytest

from biospike.errors import InputError
from biospike.ideal.attention.spikegpt import SpikeGPTBlock, run_blocks
from validation.ageing.claims import CLAIMS
from validation.ageing.measure import PRESETS, _gain_for, shares
from validation.ageing.study import Config, prepare


def errors(*ratios, rows="escape", half=0.02, identity=1e-16):
    """Errors over a law of 0.05."""
    return {"summary": [
        {"rows": rows, "decay": 10.0**k, "tokens": 16, "trials": 32, "spikes": 200.0, "silent": 0.0, "law": 0.05,
         "tv": 0.05 * ratio, "low": 0.05 * (ratio - half), "high": 0.05 * (ratio + half), "identity": identity}
        for k, ratio in enumerate(ratios)
    ]}  # fmt: skip


def differ(*fractions):
    return {"rescaling": [{"gain": 2.0, "aimed": 0.02, "layers": f"{6 * k} to {6 * k + 5}", "rate": 0.02,
                           "rate_rescaled": 0.01, "differ": one} for k, one in enumerate(fractions)]}  # fmt: skip


IDENTITY, JUMP, ALONE, RESCALED = "a channel of", "rows whose inhibition jumps", "the row's own", "dividing weights"
CASES = [
    (IDENTITY, "holds", errors(1.0)),
    (IDENTITY, "does not hold", errors(1.0, identity=1e-6)),
    (JUMP, "holds", errors(1.0, 1.03)),
    (JUMP, "does not hold", errors(2.0, 0.5)),
    (JUMP, "depends", errors(1.0, 2.0)),
    (JUMP, "undecided", errors(1.1)),
    (ALONE, "holds", errors(1.0, rows="servo alone")),
    (ALONE, "does not hold", errors(20.0, rows="servo alone")),
    (ALONE, "depends", errors(1.0, 20.0, rows="servo alone")),
    (ALONE, "undecided", errors(1.1, rows="servo alone")),
    (RESCALED, "holds", differ(0.0, 0.0)),
    (RESCALED, "does not hold", differ(0.9, 1.0)),
    (RESCALED, "depends", differ(0.0, 1.0)),
]


@pytest.mark.parametrize(("claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(claim, verdict, tables, read):
    assert read(CLAIMS, claim, tables).word == verdict


def test_every_claim_is_tested(covers):
    covers(CLAIMS, [claim for claim, *_ in CASES])


@pytest.mark.long
def test_tables_of_a_small_run():
    preset = attrs.evolve(PRESETS["quick"], decays=(0.3, 3.0), tokens=3, trials=2, token_s=0.05)
    table = shares(preset, 1, "numpy", False)
    assert list(dict.fromkeys(table["rows"])) == ["escape", "integrate", "servo alone"]
    assert (table["identity"] < 1e-12).all()
    assert ((table["low"] <= table["tv"]) & (table["tv"] <= table["high"])).all()
    assert (table["spikes"] > 5).all()


@pytest.mark.long
def test_the_gain_that_is_found_has_the_rate():
    x = np.random.default_rng(0).normal(size=(32, 24))

    def stack(gain):
        rng = np.random.default_rng(1)
        return [SpikeGPTBlock.random(rng, 24, gain) for _ in range(6)]

    passed = run_blocks(stack(_gain_for(0.2, stack, x)), x)
    assert np.mean([(one.attention.mean() + one.feed.mean()) / 2 for one in passed]) == pytest.approx(0.2, abs=0.01)


def test_options():
    assert prepare(Config()) is PRESETS["quick"]
    with pytest.raises(InputError, match=r"--seed -1 must be in \[0, 4294967296\)"):
        prepare(Config(seed=-1))
