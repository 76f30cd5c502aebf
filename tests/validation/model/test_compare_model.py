"""Trained models: what ships, draws against their laws, tables against tables made up, claims, bad input, resuming."""

import hashlib
from pathlib import Path

import attrs
import numpy as np
import pytest
from scipy.stats import binom, spearmanr

from biospike import parts
from biospike.errors import InputError
from biospike.theory.propagation import RATE, jensen_shares, score_variance, train_variance
from validation.data.make_attention_rows import tokenize
from validation.model import measure, models, plan, predict, spiking, tables
from validation.model.claims import CLAIMS
from validation.model.gather import Measured
from validation.model.minilm import read_pairs
from validation.model.options import Config, prepare
from validation.model.study import run

SMALL = Config(samples=4, trials=2, circuits=("escape",), spikes=(4,), by=("shares",), block=("attention",), quiet=True)


def ratios(*values, block="attention", half=0.02, model="vit_digits", **other):
    return {"summary": [
        {"model": model, "circuit": "race", "block": block, "by": "shares", "spikes": 100.0, "timesteps": 1000.0,
         "draws": 20 + place, "ratio": value, "ratio_low": value - half, "ratio_high": value + half} | other
        for place, value in enumerate(values)
    ]}  # fmt: skip


def windows(*values, half=0.02):
    return {"second_order": [
        {"model": "vit_digits", "block": "attention", "shorter": 100.0 + place, "spikes": 1000.0, "first": value,
         "first_low": value - half, "first_high": value + half} for place, value in enumerate(values)
    ]}  # fmt: skip


def changes(*values, half=0.002):
    return {"summary": [
        {"model": f"model {place}", "circuit": "subtractive", "by": "limit", "error": 0.03, "change": value,
         "change_low": value - half, "change_high": value + half} for place, value in enumerate(values)
    ]}  # fmt: skip


def steps(*values):
    rows = [{"model": f"model {place}", "rule_steps": value} for place, value in enumerate(values)]
    return {"budget": [row | {"scale": "token", "steps_99": 1000.0} for row in rows]}


LAW, SECOND, BLOCKS, TASK, RULE = (
    "a first-order law",
    "what the first-order",
    "with the trains",
    "softmax attention",
    "T =",
)
CASES = [
    (LAW, "holds", ratios(1.0, 1.02)),
    (LAW, "does not hold", ratios(1.2)),
    (LAW, "undecided", ratios(1.04)),
    (SECOND, "holds", windows(1.0, 0.98)),
    (SECOND, "does not hold", windows(1.2)),
    (SECOND, "undecided", windows(1.05)),
    (BLOCKS, "holds", ratios(1.0, 1.05, block="all")),
    (BLOCKS, "does not hold", ratios(1.3, block="all")),
    (BLOCKS, "undecided", ratios(1.09, block="all")),
    (TASK, "holds", changes(-0.002)),
    (TASK, "does not hold", changes(-0.1)),
    (TASK, "depends", changes(-0.002, -0.1)),
    (TASK, "undecided", changes(-0.01)),
    (RULE, "holds", steps(900.0)),
    (RULE, "does not hold", steps(9000.0)),
    (RULE, "depends", steps(900.0, 9000.0)),
]


@pytest.mark.parametrize(("claim", "verdict", "tables_"), CASES)
def test_verdicts_follow_the_tables(claim, verdict, tables_, read):
    assert read(CLAIMS, claim, tables_).word == verdict


def test_every_claim_is_tested(covers):
    covers(CLAIMS, [claim for claim, *_ in CASES])


@pytest.mark.parametrize(("kind", "sha256"), [("vit", "8dcd25df9d404401"), ("causal", "198321124579aad3")])
def test_models_that_ship(kind, sha256):
    """The forward pass of NumPy has the accuracy that PyTorch measured on the same images."""
    model = models.digits(kind, 500)
    z = np.concatenate([model.transformer.run(chunk.tokens).z for chunk in model.chunks])
    assert model.task.each(z, np.arange(500)).mean() == model.told["accuracy"] > 0.95
    path = models.__file__.replace("model/models.py", f"data/digits_{kind}.npz")
    with open(path, "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest().startswith(sha256)


def test_trains_have_the_mean_and_variance_of_their_values():
    x = np.array([[0.0, 0.3, -0.7, 1.0, -2.0, 1e-3]])  # the fifth spikes at every step, with a scale of 1 in .5
    steps = 200_000
    found = spiking._trains(np.random.default_rng(1), x, np.ones((1, 1)), steps)[0] / RATE
    variance = train_variance(x, 1.0)[0]
    assert (np.abs(found.mean(axis=0) - x[0]) <= 5 * np.sqrt(variance / steps)).all()
    assert (np.abs(found.var(axis=0) - variance) <= 5 * np.sqrt(4 * variance / steps)).all()
    assert set(np.unique(found)) == {-2.0, 0.0, 2.0}


def test_counts_are_those_of_their_codes():
    rng, p = np.random.default_rng(2), np.broadcast_to([0.123, 0.377, 0.5], (4000, 3))
    drawn = spiking._counts(rng, p, 10, regular=False)
    assert (drawn.sum(axis=-1) == 10).all()
    assert np.abs(drawn.var(axis=0) / (10 * p[0] * (1 - p[0])) - 1).max() < 5 * np.sqrt(2.2 / 4000)
    steady = spiking._counts(rng, p, 10, regular=True)
    assert (np.abs(steady - 10 * p) < 1).all()
    assert (np.abs(steady.mean(axis=0) - 10 * p[0]) < 5 * 0.5 / np.sqrt(4000)).all()


def test_every_spike_reads_a_step_of_its_own():
    """One key, so every spike reads it: with as many spikes as steps the mean of the whole train, each step once."""
    p, v = np.ones((1, 2, 1)), np.full((1, 1, 3), 0.4)
    read = spiking._read(np.random.default_rng(3), p, v, np.ones((1, 1, 1)), 50, 50)
    whole = spiking._trains(np.random.default_rng(3), v, np.ones((1, 1, 1)), 50).mean(axis=-2) / RATE
    np.testing.assert_allclose(read, np.broadcast_to(whole, read.shape))
    assert 0 < read.min() < read.max() < 2


def test_heads_that_are_not_chosen_stay_exact():
    model = models.digits("vit", 3)
    given = model.transformer.run(model.chunks[0].tokens).tape[1].heads
    condition = spiking.Condition("race", "attention", "", "shares", 5, 0, "", ((1, 1),))
    out = spiking.Attention(condition, models.largest(model), (1,))(given)
    exact = given.p @ given.v
    np.testing.assert_array_equal(out[:, 0], exact[:, 0])
    assert np.abs(out[:, 1] - exact[:, 1]).max() > 0.01


@pytest.mark.parametrize("scale", spiking.SCALES)
def test_scales_are_the_largest_of_what_they_say(scale):
    model = models.digits("causal", 3)
    calibrated = models.largest(model)
    given = model.transformer.run(model.calibration[0].tokens).tape[1].heads
    for part, (x, c) in enumerate(
        zip((given.q, given.k, given.v), spiking.scales_of(scale, given, calibrated), strict=True)
    ):
        assert (np.abs(x) <= c + 1e-12).all()
        assert np.isclose(np.abs(x), c).any()
        assert c.shape == {"token": (50, 4, 16, 1), "sentence": (50, 4, 1, 1), "calibrated": (4, 1, 1)}[scale], part


def test_floor_of_a_slow_gate(monkeypatch):
    """Shares of a streaming gate in every layer: the first-order floor is 1 - cos where they are nearly softmax."""
    monkeypatch.setattr(predict, "SLOW", 1e4)
    model = models.digits("vit", 8)
    chunk, calibrated = model.chunks[0], models.largest(model)
    cells = tuple((layer, head) for layer in range(2) for head in range(2))
    of = predict.terms(model, chunk, calibrated=calibrated, probes=40, key=(1,), chosen=cells)

    def slow(given):
        c_q, c_k, _ = spiking.scales_of("calibrated", given, calibrated)
        return jensen_shares(given.p, score_variance(given.q, given.k, c_q, c_k), 1e4) @ given.v

    e = tables.unit(of["z"])
    found = ((tables.unit(model.transformer.run(chunk.tokens, slow).z) - e) ** 2).sum(axis=-1) / 2
    np.testing.assert_allclose(of["streaming"][spiking.SCALES.index("calibrated")], found, rtol=0.05)
    assert found.min() > 1e-12


def test_two_windows_give_both_orders():
    law, A, B = 2.0, 2.2, 5.0
    conditions = [spiking.Condition("race", "attention", "", "shares", n, 0, "", ()) for n in (10, 30, 100)]
    rows = [(own, np.full(3, A / own.spikes + B / own.spikes**2), law / own.spikes) for own in conditions]
    table = tables.second_order("model", rows)
    np.testing.assert_allclose(table["first"], A / law)
    np.testing.assert_allclose(table["second"], B / A)


def test_mcnemar_by_hand():
    before, after = np.array([1, 1, 1, 1, 0, 1.0]), np.array([0, 0, 0, 1, 1, 1.0])
    assert tables.mcnemar(before, after) == pytest.approx(2 * binom.cdf(1, 4, 0.5))
    assert tables.mcnemar(before, before) == 1


def test_pairs_of_sentences_that_are_there():
    z = np.random.default_rng(4).normal(size=(4, 3))
    task = models.Pairs(np.array([0, 1, 2]), np.array([1, 2, 3]), np.array([0.0, 3.0, 5.0]))
    e = z / np.linalg.norm(z, axis=1, keepdims=True)
    each = task.each(z, np.arange(4))
    np.testing.assert_allclose(each[:, 0], [e[0] @ e[1], e[1] @ e[2], e[2] @ e[3]])
    assert task.metric(each) == pytest.approx(spearmanr(each[:, 0], each[:, 1]).statistic)
    some = task.each(z[[3, 1, 2]], np.array([3, 1, 2]))  # in another order, without the first
    np.testing.assert_allclose(some, each[1:])


def test_lines_of_the_benchmark(tmp_path):
    file = tmp_path / "sts-test.csv"
    file.write_text('a\tb\tc\t1\t2.5\tHe said "no.\tNo?\na\tb\tc\t2\t5.0\tA, b\tB\tfrom\tthere\n')
    first, second, gold = read_pairs(file)
    assert (first, second, gold.tolist()) == (['He said "no.', "A, b"], ["No?", "B"], [2.5, 5.0])
    file.write_text("a\tb\n")
    with pytest.raises(InputError, match=r"sts-test.csv, line 1: expected at least 7 fields"):
        read_pairs(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "other.csv")


def test_words_without_pieces():
    vocabulary = dict.fromkeys(("[CLS]", "[SEP]", "[UNK]", "un", "##do", "do"))
    assert tokenize("undo unx do", vocabulary, "[UNK]") == ["[CLS]", "un", "##do", "[UNK]", "do", "[SEP]"]
    with pytest.raises(ValueError, match="no WordPiece"):
        tokenize("unx", vocabulary)


def test_work_that_is_done_is_kept(tmp_path, monkeypatch):
    [model] = prepare(attrs.evolve(SMALL, model=("vit_digits",)))
    jobs = Measured(attrs.evolve(SMALL, model=("vit_digits",)), model).jobs()
    assert len({job.key for job in jobs}) == len(jobs) >= 3
    done = []

    def do(job, key=""):
        done.append(job)
        return {"z": np.zeros(2)}

    monkeypatch.setattr(measure, "do", do)
    with parts.kept_in(tmp_path / "parts"):
        options = {"workers": 1, "scheduler": None, "progress": False}
        first = [job for job, _ in measure.run(jobs[:2], **options)]
        (tmp_path / "parts" / f"{jobs[0].key}.npz").write_bytes(b"damaged")
        assert len(list(measure.run(jobs, **options))) == len(jobs)
    assert [job.key for job in done] == [job.key for job in (*first, jobs[0], *jobs[2:])]


@pytest.mark.long
def test_the_cut_does_not_show():
    """Two processes give the bytes of one, and so does a smaller set of circuits."""
    config = attrs.evolve(SMALL, model=("causal_digits",), samples=60)
    one, two = (run(own, prepare(own))[0] for own in (attrs.evolve(config, jobs=1), attrs.evolve(config, jobs=2)))
    for name, table in one.items():
        assert table.to_csv() == two[name].to_csv(), name
    more = attrs.evolve(config, circuits=("escape", "integrate"))
    rows = run(more, prepare(more))[0]["summary"]
    assert rows[rows["circuit"] == "escape"].to_csv(index=False) == (
        one["summary"][one["summary"]["circuit"] == "escape"].to_csv(index=False)
    )


@pytest.mark.long
def test_long_windows_obey_the_law():
    """Of one layer at N = 1000 the second order is below .01 of the first; heads add up."""
    config = attrs.evolve(SMALL, model=("causal_digits",), samples=100, trials=24, spikes=(1000,), layers=(2,))
    [row] = run(config, prepare(config))[0]["summary"].query("by == 'shares' and spikes == 1000").to_dict("records")
    half = (row["ratio_high"] - row["ratio_low"]) / 2
    assert half < 0.1
    assert abs(row["ratio"] - 1) < 1.5 * half + 0.01  # three standard errors


def test_conditions_of_the_default():
    config = Config()
    [model, _] = prepare(config)
    found = list(plan.conditions(config, model))
    assert {own.by for own in found} == {"shares", "limit", "simulate"}
    assert {own.circuit for own in found if own.by == "limit"} == {"subtractive", "shunting", "diffusive"}
    assert {own.block for own in found} == set(spiking.BLOCKS)
    assert all(own.steps == 10 * own.spikes for own in found if own.block != "attention")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": ("bert",)}, "--model bert"),
        ({"circuits": ("rac",)}, "--circuits rac: unknown (did you mean 'race'?)"),
        ({"by": ("hand",)}, "--by hand"),
        ({"block": ("rows",)}, "--block rows"),
        ({"scale": "row"}, "--scale row"),
        ({"seed": -1}, "--seed -1 must be in"),
        ({"trials": 1}, "--trials must be at least 2, got 1"),
        ({"probes": 0}, "--probes must be at least 1, got 0"),
        ({"spikes": (0,)}, "--spikes must be 1 to 1000000 a row, got 0"),
        ({"samples": 501}, "--samples must be 2 to 500 of vit_digits, got 501"),
        ({"layers": (2,)}, "--layers must be 0 to 1 of vit_digits, got 2"),
        ({"heads": (0, 9)}, "--heads must be 0 to 1 of vit_digits, got 9"),
        ({"model": ("minilm",)}, "--model minilm needs --package DIR"),
        ({"model": ("minilm",), "package": "/nowhere", "pairs": "/nowhere"}, "--package: /nowhere does not hold"),
        ({"weights": "/nowhere", "model": ("minilm",)}, "--weights is of one of"),
        ({"weights": "/nowhere", "model": ("vit_digits",)}, "/nowhere is no .npz file of weights"),
        ({"duration": "2 mV"}, "mV"),
    ],
)
def test_refused(options, says):
    paths = {name: Path(options[name]) for name in ("package", "pairs", "weights") if name in options}
    with pytest.raises(InputError) as error:
        prepare(attrs.evolve(Config(), **options | paths))
    assert says in str(error.value)
    assert "\n" not in str(error.value)
