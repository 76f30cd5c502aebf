"""Options of the attention comparison: what they choose, and those that are refused."""

from pathlib import Path

import numpy as np
import pytest

from biospike.errors import InputError
from circuits import streams
from circuits.softmax import CommonGate
from validation.compare_attention import Config, prepare
from validation.data import token_block


def test_default_input_is_the_shipped_block():
    study = prepare(Config(target="numpy"))
    assert set(study.blocks) == {"staged", "streaming"}
    block = study.blocks["staged"]
    assert (block.heads, block.width, block.mode) == (4, 32, "staged")
    assert isinstance(block.softmax, CommonGate)
    assert float(block.softmax.rate * block.softmax.dt) == pytest.approx(0.1)
    assert study.tokens.labels == token_block().tokens
    assert study.plans["streaming"].marks[-1] == 4000


def test_options_reach_the_block(monkeypatch):
    # Rates with a leak take minutes at this size.
    monkeypatch.setattr(streams, "leaky_lif_rate", lambda weights, x, beta: np.clip(x @ weights, 0, 1))
    config = Config(
        toy=True, mode="streaming", softmax="integrate", encoders="shared", encoder="bernoulli", delay="2 ms",
        tau_s="0.3 s", tau_m="20 ms", causal=True, score_scale=2.0, duration="0.2 s", target="numpy",
    )  # fmt: skip
    study = prepare(config)
    (block,) = study.blocks.values()
    assert (block.softmax.name, block.encoders, block.causal, block.score_scale) == ("integrate", "shared", True, 2.0)
    assert [float(time) for time in (block.delay, block.tau_s, block.tau_m)] == pytest.approx([2e-3, 0.3, 20e-3])
    assert study.plans["streaming"].unmasked[0].tolist() == [[True, False], [True, True]]
    assert prepare(Config(heads=2, target="numpy", duration="0.2 s")).blocks["staged"].width == 64


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tokens": Path("none.npy")}, "none.npy: there is no such file"),
        ({"tokens": Path("none.npy"), "toy": True}, "leave out --tokens none.npy"),
        ({"mode": "stagd"}, r"--mode stagd: unknown \(did you mean 'staged'\?\); accepted: staged, streaming, both"),
        (
            {"softmax": "diffusive"},
            r"\(did you mean 'divisive'\?\); accepted: divisive, escape, integrate, race, none",
        ),
        ({"softmax": "subtractiv"}, "did you mean 'subtractive'"),
        ({"gain": 0.2}, "--gain is for none, self_inhibition, subtractive; the rate of --softmax escape is held"),
        ({"softmax": "none", "gain": 2.0}, "gain"),
        ({"softmax": "none", "gain": 1.0}, "an output would have to relay"),
        ({"encoder": "bernouli"}, "did you mean 'bernoulli'"),
        ({"encoders": "twin"}, "'separate', 'shared'"),
        ({"heads": 3}, "heads must divide the 128 columns"),
        ({"toy": True, "width": 3}, "--width is for a file"),
        ({"weight_seeds": (1, 2, 3)}, "--weight-seeds is for a file"),
        ({"duration": "0 s"}, "duration must be above 0 s"),
        ({"duration": "2 ms"}, "at least three timesteps"),
        ({"duration": "2"}, "'2' is not a number with a unit"),
        ({"delay": "0.5 ms"}, "delay"),
        ({"tau_s": "0 s"}, "tau_s"),
        ({"tau_m": "-1 ms"}, "tau_m"),
        ({"tau_m": "20 ms", "encoder": "regular"}, "Bernoulli input, got regular"),
        ({"score_scale": float("nan")}, "--score-scale"),
        ({"score_scale": 100.0, "toy": True}, "logits"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        prepare(Config(**options))


def test_a_single_token_has_nothing_to_attend_to(tmp_path):
    np.save(tmp_path / "t.npy", np.full((1, 2), 0.5))
    with pytest.raises(ValueError, match="no query may attend to more than one token"):
        prepare(Config(tokens=tmp_path / "t.npy", target="numpy"))
