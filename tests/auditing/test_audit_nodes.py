"""Spiking nodes in models of SpikingJelly and snnTorch: the replay of their own currents is their spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import biospike
from biospike import InputError
from circuits.softmax import Escape

torch = pytest.importorskip("torch")
nn: Any = torch.nn


def audit(module, inputs, **options):
    return biospike.audit(module, inputs, **({"circuits": [Escape()], "op_counter": False} | options))


def rows(module, inputs):
    """Rows of layers, without that of the whole model."""
    return audit(module, inputs).table.iloc[:-1]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(4)


@pytest.fixture
def jelly():
    return pytest.importorskip("spikingjelly.activation_based.neuron")


@pytest.fixture
def snn():
    return pytest.importorskip("snntorch")


def several(jelly, step_mode):
    """Nodes of every reset and leak, one after the other, with gains that make them fire."""
    nodes = [
        jelly.LIFNode(step_mode=step_mode),
        jelly.LIFNode(tau=3.0, decay_input=False, v_threshold=1.2, v_reset=None, step_mode=step_mode),
        jelly.IFNode(v_reset=-0.2, step_mode=step_mode),
        jelly.IFNode(v_reset=None, step_mode=step_mode),
    ]
    layers = []
    for place, node in enumerate(nodes):
        linear = nn.Linear(12, 12)
        nn.init.normal_(linear.weight, 0.3 if place else 0.6, 0.3)
        layers += [linear, node]
    return nn.Sequential(*layers)


class Steps(nn.Module):
    """A single-step model, driven by steps."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return torch.stack([self.inner(step) for step in x])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_replay_is_identical_in_both_step_modes(jelly, dtype):
    x = torch.rand(9, 3, 12, dtype=getattr(torch, dtype)) * 3
    many = several(jelly, "m").to(x.dtype)
    few = Steps(several(jelly, "s")).to(x.dtype)
    few.inner.load_state_dict(many.state_dict())
    first, second = rows(many, x), rows(few, x)
    for table in (first, second):
        assert list(table["kind"]) == ["LIFNode", "LIFNode", "IFNode", "IFNode"]
        assert table["note"].str.startswith("replay identical, ").all()
        assert (table["rows"] == x.numel()).all()
    columns = [name for name in first.columns if name.startswith("survival")] + ["note"]
    assert first[columns].equals(second[columns])
    numbers = first[[name for name in columns[:-1] if not name.endswith(("low", "high"))]]
    assert numbers.to_numpy().min() >= 0
    assert 0 < numbers.to_numpy().mean() < 1


def test_state_inside_is_where_the_replay_begins_and_where_it_is_left(jelly):
    x = torch.rand(9, 3, 12) * 3
    model = several(jelly, "m").eval()
    with torch.no_grad():
        model(x)
    before = [one.v.clone() for one in model.modules() if hasattr(one, "v")]
    table = rows(model, x)
    assert table["note"].str.fullmatch(r"(state carried over from before; )?replay identical, \d+ spikes").all()
    after = [one.v for one in model.modules() if hasattr(one, "v")]
    assert len(before) == 4
    assert all(map(torch.equal, before, after))
    # A layer of which every neuron spiked last is at rest.
    assert table["note"].str.contains("carried").any()
    fresh = rows(several(jelly, "m"), x)
    assert not fresh["note"].str.contains("carried").any()


def test_parts_of_the_batch_are_one_layer(jelly):
    x, model = torch.rand(9, 5, 12) * 3, several(jelly, "m")
    whole, parts = audit(model, x), audit(model, x, batch_size=2, batch_axis=1)
    assert parts.table.equals(whole.table)
    assert np.allclose(parts.energy["nJ"], whole.energy["nJ"])


def test_nodes_that_are_not_replayed_called_or_firing_are_said(jelly):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.unknown, self.never = jelly.ParametricLIFNode(step_mode="m"), jelly.IFNode()
            self.silent = jelly.IFNode(step_mode="m")

        def forward(self, x):
            return self.silent(0.001 * self.unknown(x))

    table = rows(Model(), torch.rand(5, 2, 4)).set_index("layer")["note"]
    assert table["unknown"] == "ParametricLIFNode is not replayed: LIFNode and IFNode are"
    assert table["never"] == "never called on this input"
    assert table["silent"] == "silent on this input"


def test_currents_of_low_precision_are_refused(jelly):
    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.node = jelly.LIFNode(tau=100.0, step_mode="m")

        def forward(self, x):
            return self.node(x.bfloat16())

    with pytest.raises(InputError, match=r"node: currents of torch.bfloat16; accepted are float32 and float64"):
        audit(Cast(), torch.rand(5, 2, 4))


def leaky_model(snn, hidden, **options):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.node = nn.Linear(12, 12), snn.Leaky(beta=0.8, init_hidden=hidden, **options)
            nn.init.normal_(self.linear.weight, 0.1, 0.2)

        def forward(self, x):
            spikes, mem = [], None if hidden else self.node.init_leaky()
            for step in x:
                found = self.node(self.linear(step)) if hidden else self.node(self.linear(step), mem)
                if hidden:
                    spikes.append(found)
                else:
                    spikes.append(found[0])
                    mem = found[1]
            return torch.stack(spikes)

    model = Model()
    snn.SpikingNeuron.instances.remove(model.node)
    return model


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("delay", [True, False])
def test_leaky_is_replayed_with_each_reset_and_state(snn, hidden, reset, delay):
    model = leaky_model(snn, hidden, reset_mechanism=reset, reset_delay=delay)
    x = torch.rand(20, 3, 12) * 2
    table = rows(model, x)
    assert list(table["kind"]) == ["Leaky"]
    assert table["note"].str.fullmatch(r"replay identical, [1-9]\d+ spikes").all()
    kept = model.node.mem
    if hidden:
        assert kept.numel() == 0  # as before
        with torch.no_grad():
            model(x)
        again = rows(model, x)
        assert again["note"].str.startswith("state carried over from before; replay identical").all()


def test_leaky_with_more_is_said(snn):
    model = leaky_model(snn, True)
    model.node.inhibition = True  # its constructor warns
    assert rows(model, torch.rand(3, 2, 12))["note"].iloc[0].startswith("Leaky with inhibition or quantised")
    wide = leaky_model(snn, True)
    wide.node.beta = torch.full((12,), 0.8)
    assert "one beta or threshold a neuron" in rows(wide, torch.rand(3, 2, 12))["note"].iloc[0]


def test_energy_by_events_is_that_of_spikes_and_shapes(jelly):
    """Sums by hand: a layer of real numbers, one of spikes, updates."""
    model = nn.Sequential(
        nn.Linear(12, 7), jelly.IFNode(step_mode="m"), nn.Linear(7, 5), jelly.IFNode(step_mode="m")
    ).eval()
    nn.init.constant_(model[0].weight, 0.2)
    x = torch.rand(6, 2, 12)
    with torch.no_grad():
        spikes = int(model[:2](x).sum())
    model[1].reset()
    found = audit(model, x)
    lines = found.energy.set_index("line")
    assert spikes > 10
    assert lines.loc["spikes at synapses", "ac"] == spikes * 5
    assert lines.loc["numbers at synapses", "mac"] == 6 * 2 * 12 * 7
    assert lines.loc["updates of nodes", "mac"] == 6 * 2 * (7 + 5)
    assert lines.loc["total", "nJ"] == pytest.approx((0.9 * spikes * 5 + 4.6 * (1008 + 144)) / 1e3)
    # 6 steps of 2 samples of 7 inputs, 5 synapses each.
    assert lines.loc["total at 0.3 spikes a step", "ac"] == pytest.approx(0.3 * 420)
    whole = found.table.iloc[-1]
    assert tuple(whole[["layer", "kind", "rows"]]) == ("all", "Sequential", 2)
    assert whole["energy_low"] == pytest.approx(lines.loc["total at 0.02 spikes a step", "nJ"] / 2)
    assert whole["energy_high"] == pytest.approx(lines.loc["total at 0.3 spikes a step", "nJ"] / 2)


def test_convolutions_count_the_synapses_that_a_spike_reaches(jelly):
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    model = nn.Sequential(
        jelly.IFNode(v_threshold=0.5, step_mode="m"), layer.Conv2d(1, 2, 3, stride=2, padding=1, step_mode="m")
    )
    image = torch.zeros(1, 1, 1, 5, 5)
    image[..., 2, 2] = image[..., 1, 1] = 1  # one kernel has the former, four the latter, in two channels each
    assert audit(model, image).energy.set_index("line").loc["spikes at synapses", "ac"] == (1 + 4) * 2


def test_op_counter_line_by_line(jelly):
    """What its documentation and its code say of Linear(10, 5): a real image of ones is 50 ACs to it."""
    model = nn.Sequential(nn.Linear(10, 5), jelly.LIFNode(step_mode="m")).eval()
    lines = audit(model, torch.ones(1, 1, 10), op_counter=True).energy
    assert list(lines["by"].unique()) == ["events", "op_counter"]
    theirs, ours = (lines[lines["by"] == by].set_index("line") for by in ("op_counter", "events"))
    assert ours.loc["numbers at synapses", "mac"] == 50
    assert ours.loc["spikes at synapses", "ac"] == 0
    assert theirs.loc["synapses", "ac"] == theirs.loc["of these: real inputs of 0 and 1", "ac"] == 50
    assert theirs.loc["synapses", "mac"] == 0
    assert ours.loc["updates of nodes", "mac"] == 5
    assert theirs.loc["steps of nodes", "ac"] > 0
    assert theirs.loc["steps of nodes", "mac"] == 0
    parts = ["synapses", "products of functions", "steps of nodes", "norms, sums, additions"]
    assert theirs.loc[parts, "ac"].sum() == theirs.loc["total", "ac"]
    assert theirs.loc["total", "nJ"] == pytest.approx(theirs.loc[[*parts, "memory"], "nJ"].sum())
    # 55 numbers of weights and biases, read once, at least.
    assert theirs.loc["memory", "nJ"] >= 55 * 4 * 24.96e-3


def test_attention_of_spikes_is_a_row_beside_its_nodes(jelly):
    class Attention(nn.Module):
        """Queries, keys and values are spikes of projections, and there is no softmax."""

        def __init__(self):
            super().__init__()
            self.num_heads = 2
            self.q_proj, self.k_proj, self.v_proj = (nn.Linear(8, 8) for _ in range(3))
            self.q, self.k, self.v = (jelly.LIFNode(v_threshold=0.2) for _ in range(3))

        def forward(self, x):
            q, k, v = self.q(self.q_proj(x)), self.k(self.k_proj(x)), self.v(self.v_proj(x))
            return q @ (k.mT @ v)

    table = rows(nn.Sequential(Attention()), torch.rand(2, 5, 8))
    assert list(table["layer"]) == ["0", "0.q", "0.k", "0.v"]
    assert table["note"].iloc[0].startswith("no softmax attention of its projections: 0 (Attention): its own output")
    assert table["note"].iloc[1:].str.startswith("replay identical").all()
