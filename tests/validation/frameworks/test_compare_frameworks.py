"""The comparison of frameworks: zeros where identity is promised, mutants caught, tables that add up, clear errors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biospike.ideal.attention import LIF, Affine, fire, project
from biospike.theory.energy import AC, MAC
from circuits.transformers.membranes import Volley
from validation.compare_frameworks import Config, prepare, run
from validation.frameworks import neurons
from validation.frameworks import study as compare_frameworks
from validation.frameworks.blocks import INPUT_RATE, MODELS, make_block, read_weights, save_weights
from validation.frameworks.inputs import INPUTS, matched_layer, random_weight, read_input, stem
from validation.frameworks.measures import conventional_macs, differ, synaptic_events, train_distances, trains
from validation.frameworks.report import report
from validation.frameworks.study import Result
from validation.frameworks.tables import COLUMNS
from validation.study.row_kinds import FACTORS

TRAINS = 6
CONFIG = Config(
    blocks=("spikformer", "spike_driven", "spike_softmax"),
    inputs=("digits",),
    size="small",
    frameworks=(),
    trains=TRAINS,
    quiet=True,
)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Narrow blocks, and no more than two steps of the membranes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(compare_frameworks.SIZES, "small", 32)
        patch.setattr(neurons, "STEPS", (1.0, 0.1))
        yield


@pytest.fixture(scope="module")
def result() -> Result:
    return run(prepare(CONFIG))


def rows(result: Result, **which: object) -> pd.DataFrame:
    table = result.summary
    for column, value in which.items():
        table = table[table[column] == value]
    assert len(table)
    return table


def test_columns_are_the_contract(result: Result) -> None:
    assert tuple(result.summary.columns) == COLUMNS


def test_networks_and_membranes_of_one_timestep_are_the_reference(result: Result) -> None:
    same = pd.concat([rows(result, framework="brian2"), rows(result, framework="biophysical", dt_ms=1.0)])
    assert (same["spikes"] > 500).all()
    assert (same["mismatches"] == 0).all()
    assert same["diagnostics"].str.startswith("identical").all()


def test_deliberate_mutants_are_caught(result: Result) -> None:
    mutants = rows(result, framework="mutant")
    assert set(mutants["convention"]) == {"strict >", "soft reset"}
    assert (mutants["mismatches"] > 0).all()
    assert mutants["diagnostics"].str.contains("caught").all()


def test_finer_steps_differ_and_the_reason_is_given(result: Result) -> None:
    finer = rows(result, framework="biophysical")
    finer = finer[finer["dt_ms"] < 1]
    assert (finer["mismatches"] > 0).all()
    assert finer["diagnostics"].str.contains("inside a timestep").all()
    # A refractory timestep leaves no more spikes than the discrete neuron's maximum; without one there are more.
    assert (rows(result, convention="membrane, refractory 1 ms")["rate_biophysical"] <= 1).all()
    more = rows(result, convention="membrane, refractory 0 ms", dt_ms=0.1)
    assert (more["rate_biophysical"] > more["rate_reference"]).all()


def test_stages_add_up_to_the_summary(result: Result) -> None:
    key = ["block", "framework", "convention", "dt_ms"]
    parts = result.stages.groupby(key)[["spikes", "mismatches"]].sum()
    whole = result.summary[result.summary["model"] != "SpikedAttention"].set_index(key)[["spikes", "mismatches"]]
    assert len(parts) == len(whole)
    pd.testing.assert_frame_equal(parts, whole.loc[parts.index], check_dtype=False)


def test_spike_trains_are_compared_and_equal_ones_have_no_distance(result: Result) -> None:
    found = result.stages[result.stages["trains"] > 0]
    coarse, fine = found[found["dt_ms"] == 1], found[found["dt_ms"] == 0.1]
    assert coarse["trains"].max() == TRAINS
    np.testing.assert_allclose(coarse[["van_rossum", "victor_purpura"]], 0, atol=1e-6)
    assert fine["van_rossum"].max() > 0.1


def test_spike_softmax_errs_as_published(result: Result) -> None:
    # 0.015-0.018 at B = 1.15 and 0.036 at B = 1.4 on other rows; rounding of logits to ln B bounds it:
    # TV <= max abs(dp) over shifts of at most ln(B)/2, tanh(ln(B)/4).
    mine = rows(result, model="SpikedAttention")
    for row, (base, _) in zip(mine.itertuples(), itertools.product((1.15, 1.4), FACTORS), strict=True):
        assert f"B = {base:g}" in row.block
        assert row.mismatches == 0
        assert 0.001 < row.attention_error < math.tanh(math.log(base) / 4) + 0.01


def test_energy_is_arithmetic_of_counts(result: Result) -> None:
    table = result.energy[result.energy["device"] == "45 nm arithmetic"]
    np.testing.assert_allclose(table["event_pj"], AC * table["sop"] + MAC * table["updates"])
    np.testing.assert_allclose(table["conventional_pj"], MAC * table["macs"])
    np.testing.assert_allclose(table["canonical_ratio"], MAC / (AC * table["spikes_per_synapse"]))


def test_synaptic_events_of_self_attention_are_those_of_loops() -> None:
    model = MODELS["spikformer"].smaller(8)
    tokens = read_input("digits", 16, 1, 1)
    x = stem(tokens, model.channels, 3, INPUT_RATE, 1)
    block = make_block(model, x, tokens, 1)
    found = block.run(x)._asdict()
    events, width = 0, model.channels // model.heads
    keys, values = (found[stage].reshape(-1, model.heads, width) for stage in "kv")
    for k, v in zip(keys, values, strict=True):
        for head in range(model.heads):
            events += sum(int(a) * int(b) for a in k[head] for b in v[head])
    counted = synaptic_events(block, x, found)
    assert counted["k and v"] == events > 0
    assert counted["x"] == 3 * model.channels * x.sum()
    assert counted["q"] == width * found["q"].sum()
    assert sum(conventional_macs(block, 16).values()) == 4 * 16 * 8**2 + 2 * 16**2 * 8


def test_the_layer_fires_at_the_wanted_rate() -> None:
    for name in INPUTS:
        x = stem(read_input(name, 64, 1, 1), 32, 4, INPUT_RATE, 2)
        assert x.mean() == pytest.approx(INPUT_RATE, abs=2 / x.size + 1e-3)
        layer = matched_layer(random_weight(np.random.default_rng(3), 32, 32), x, 0.1)
        spikes = fire(LIF, project(x, layer))
        # One shift for all units: the mean rate moves by the spikes that meet the threshold at once.
        assert spikes.mean() == pytest.approx(0.1, abs=0.002)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate must be between 0 and 1"):
        matched_layer(np.eye(2), np.ones((1, 1, 1, 2)), rate)


def test_differences_count_entries() -> None:
    mine, yours = np.zeros((4, 3), np.uint8), np.zeros((4, 3), np.uint8)
    mine[0, 0] = mine[1, 0] = mine[2, 1] = 1
    yours[0, 0] = yours[3, 2] = 1
    part = differ(mine, yours)
    assert (part.spikes, part.mismatches) == (3, 3)
    # Rates 1/2, 1/4, 0 against 1/4, 0, 1/4.
    assert part.error == pytest.approx(math.sqrt(3 / 16) / math.sqrt(5 / 16))


def test_trains_are_of_the_neurons_that_fire_most_and_distances_are_the_published_ones() -> None:
    pytest.importorskip("elephant")
    reference = np.zeros((4, 3), np.uint8)
    reference[[0, 2], 1] = 1
    reference[1, 2] = 1
    volley = Volley(np.array([1, 2]), np.array([0.001, 0.0017]))
    pairs = trains(reference, volley, 5)
    assert [list(pair[0]) for pair in pairs] == [[0.001, 0.003], [0.002]]
    assert train_distances(pairs[:1], 0.004) == pytest.approx((1.0, 1.0))  # a missing spike
    shift = 0.3
    expected = (math.sqrt(2 * (1 - math.exp(-shift))), shift)
    assert train_distances(pairs[1:], 0.004) == pytest.approx(expected, rel=1e-6)


def test_saved_weights_are_read_again(tmp_path: Path) -> None:
    model = MODELS["spikformer"].smaller(32)
    tokens = read_input("digits", 16, 1, 1)
    x = stem(tokens, model.channels, 4, INPUT_RATE, 1)
    block = make_block(model, x, tokens, 1)
    np.savez(tmp_path / "own.npz", **save_weights(block))
    again = read_weights(tmp_path / "own.npz", "spikformer")
    assert block.run(x).output.sum() > 50
    for mine, yours in zip(block.run(x), again.run(x), strict=True):
        np.testing.assert_array_equal(mine, yours)


def test_batch_norm_of_a_file_is_folded_in(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = {f"{layer}.weight": rng.normal(size=(4, 4, 1, 1)) for layer in ("q", "k", "v")}
    norm = {"running_mean": rng.normal(size=4), "running_var": rng.random(4), "weight": np.ones(4), "bias": np.zeros(4)}
    arrays |= {f"q.bn.{part}": value for part, value in norm.items()}
    np.savez(tmp_path / "own.npz", **arrays)
    block = read_weights(tmp_path / "own.npz", "spike_driven")
    x = rng.random((5, 4))
    plain = x @ arrays["q.weight"][..., 0, 0].T
    expected = (plain - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
    np.testing.assert_allclose(project(x, block.q), expected, atol=1e-12)
    assert isinstance(block.k, Affine)


@pytest.mark.long
def test_main_writes_every_file_and_the_report_says_what_was_found(tmp_path: Path) -> None:
    config = Config(
        blocks=("spikformer", "spike_softmax"), inputs=("digits",), size="small", frameworks=(), trains=TRAINS,
        save_blocks=True, quiet=True, out=tmp_path,
    )  # fmt: skip
    compare_frameworks.main(config)
    names = {"summary.csv", "stages.csv", "energy.csv", "energy_curve.csv", "report.md", "blocks"}
    names |= {
        f"{name}.{end}"
        for name in ("mismatches", "membranes", "energy", "energy_curve", "raster")
        for end in ("png", "pdf")
    }
    assert {path.name for path in tmp_path.iterdir()} == names
    text = (tmp_path / "report.md").read_text()
    assert "All do: 0 mismatches." in text
    assert "`strict >` is caught in 1 of 1 blocks" in text
    saved = next((tmp_path / "blocks").iterdir())
    assert read_weights(saved, "spikformer").channels == 32


def test_a_broken_identity_is_reported(result: Result) -> None:
    broken = result.summary.copy()
    first = broken.index[broken["framework"] == "brian2"][0]
    broken.loc[first, ["mismatches", "diagnostics"]] = [3, "NOT IDENTICAL, as it should be: q 3"]
    facts = {"seed": 1, "target": "numpy", "weights": "a fixed seed", "versions": {}, "missing": ("snntorch",),
             "distances": True, "options": "{}"}  # fmt: skip
    text = report(broken, result.stages, result.energy, facts)
    assert "**1 do not:** Spikformer" in text
    assert "left out: snntorch" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": ()}, "--blocks needs at least one of spikformer"),
        ({"size": "huge"}, "--size huge: unknown; accepted: published"),
        ({"trains": 0}, "--trains must be at least 1, got 0"),
        ({"frameworks": ("norse",)}, "--frameworks norse: unknown; accepted: spikingjelly, snntorch"),
        ({"blocks": ("spikingbert",), "inputs": ("digits",)}, "suits none of the blocks"),
        ({"weights": Path("none.npz")}, "--weights needs --blocks with exactly one"),
        ({"weights": Path("none.npz"), "blocks": ("spikformer",)}, "a file that exists"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(Config(**options))


def test_a_missing_framework_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("validation.frameworks.neurons.available", lambda name: False)
    with pytest.raises(ValueError, match=r"--frameworks snntorch: it is not installed: pip install 'biospike\[ml\]'"):
        prepare(Config(frameworks=("snntorch",)))
    assert prepare(Config()).missing == ("spikingjelly", "snntorch")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "needs q.weight, k.weight, v.weight; the file has nothing"),
        ({f"{n}.weight": np.ones(3) for n in "qkv"}, r"q.weight must be \(units, features\)"),
        ({f"{n}.weight": np.eye(2) for n in "qkv"} | {"q.bias": np.ones(3)}, "of 2 units"),
        ({f"{n}.weight": np.eye(2) for n in "qkv"} | {"q.bn.weight": np.ones(2)}, "q.bn needs running_mean"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_weights(tmp_path / "own.npz", "spike_driven")


def test_frameworks_equal_the_reference_where_they_promise_to() -> None:
    pytest.importorskip("spikingjelly")
    pytest.importorskip("snntorch")
    config = Config(blocks=("spikformer",), inputs=("digits",), size="small", trains=TRAINS, quiet=True)
    table = run(prepare(config)).summary
    for framework, convention in (
        ("spikingjelly", "its neurons, float64"), ("spikingjelly", "its block, float64"),
        ("snntorch", "Leaky, threshold one float below"),
    ):  # fmt: skip
        row = table[(table["framework"] == framework) & (table["convention"] == convention)].iloc[0]
        assert row["spikes"] > 500
        assert row["mismatches"] == 0
        assert row["version"]
    strict = table[table["convention"] == "Leaky, reset to zero"].iloc[0]
    mutant = table[table["convention"] == "strict >"].iloc[0]
    assert strict["mismatches"] == mutant["mismatches"] > 0
