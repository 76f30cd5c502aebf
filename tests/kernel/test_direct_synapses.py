"""Synapses without a queue: which pathways are served directly, and that networks of all kinds keep their spikes."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
import pytest

from biospike import runtime, standalone
from biospike.direct_synapses import serve_directly
from biospike.session import assemble

import brian2 as b2

CODE = """
    {
    std::vector<int> *_spiking_synapses = weights_pre.peek();
    const int _num_spiking_synapses = _spiking_synapses->size();

    {
        for(int _spiking_synapse_idx=0;
            _spiking_synapse_idx<_num_spiking_synapses;
            _spiking_synapse_idx++)
        {
            const size_t _idx = (*_spiking_synapses)[_spiking_synapse_idx];
            const size_t _vectorisation_idx = _idx;

            const int32_t _postsynaptic_idx = _ptr_array_weights__synaptic_post[_idx];
            double current_post = _ptr_array_dendrites_current[_postsynaptic_idx];
            const double w = _ptr_array_weights_w[_idx];
            current_post += w;
            _ptr_array_dendrites_current[_postsynaptic_idx] = current_post;

        }
    }
    }
"""
PUSH = """
    {
        weights_pre.advance();
        weights_pre.push(_ptr_array_encoder__spikespace, _ptr_array_encoder__spikespace[_num_spikespace-1]);
    }
"""
PREPARE = """
    weights_pre.prepare(_n_sources,
                           _n_targets,
                           real_delays_data, n_delays, sources,
                           n_synapses,
                           _ptr_array_defaultclock_dt[0]);
"""
OBJECTS = """
SynapticPathway weights_pre(
    _dynamic_array_weights__synaptic_pre,
    0, 3072);
"""


def project(code: str = CODE, push: str = PUSH, prepare: str = PREPARE) -> dict[str, str]:
    names = ("weights_pre_codeobject", "weights_pre_push_spikes", "before_run_weights_pre_push_spikes")
    return dict(zip(names, (code, push, prepare), strict=True))


def test_a_pathway_is_served_from_the_spikes() -> None:
    made, declared = serve_directly(project(), OBJECTS)
    assert set(made) == set(project())
    assert "static _Direct _direct_weights_pre;" in declared
    code = made["weights_pre_codeobject"]
    assert code.endswith(CODE[5:]), "the queue stays for what it is needed for"
    assert "const int32_t _postsynaptic_idx = _target + _k;" in code
    assert "w = _ptr_array_weights_w[_idx - _shift];" in code
    assert "if (_direct_weights_pre.usable) {" in made["weights_pre_push_spikes"]
    assert "n_synapses, _n_sources)) return;" in made["before_run_weights_pre_push_spikes"]


@pytest.mark.parametrize(
    ("sources", "objects"),
    [
        (project(code=CODE.replace("peek", "look")), OBJECTS),
        (project(code=CODE.replace("current[_postsynaptic_idx] =", "current[_presynaptic_idx] =")), OBJECTS),
        (project(push=PUSH.replace("advance", "go_on")), OBJECTS),
        (project(prepare=""), OBJECTS),
        (project(), OBJECTS.replace("0, 3072", "64, 3072")),
        ({"weights_pre_push_spikes": PUSH}, OBJECTS),
    ],
)
def test_other_forms_are_left_alone(sources: dict[str, str], objects: str) -> None:
    assert serve_directly(sources, objects) == ({}, "")


def test_weights_that_change_are_not_shared() -> None:
    learning = project() | {"other_codeobject": "_ptr_array_weights_w[_idx] = w;"}
    code = serve_directly(learning, OBJECTS)[0]["weights_pre_codeobject"]
    assert "_shift" not in code


@attrs.frozen
class Size:
    """Groups of `tokens` times `features` neurons."""

    tokens: int
    features: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """What is compiled in."""
        return self.tokens, self.features


FAN = 5


@attrs.frozen
class Pathways:
    """Synapses of every kind from one group: rows of a matrix, scattered ones, delayed ones, and unsorted ones."""

    name: ClassVar[str] = "pathways"
    structure: ClassVar[dict[str, Any]] = {}

    def build(self, shape: Size) -> b2.Network:
        """Wire the network."""
        n = shape.tokens * shape.features
        source = b2.NeuronGroup(n, "v : 1\nr : 1 (constant)", threshold="v >= 1", reset="v -= 1", name="source")
        source.run_regularly("v += r", when="groups")
        target = b2.NeuronGroup(
            shape.tokens * FAN, "\n".join(f"sum_{name} : 1" for name in "abcdef"), name="target", namespace={}
        )
        neuron = np.arange(n)
        row = neuron[:, None] // shape.features * FAN + np.arange(FAN)
        scattered = (neuron[:, None] * 7 + 3 * np.arange(FAN)) % len(target)
        every = {"i": neuron.repeat(FAN), "j": row.ravel()}
        backwards = np.arange(n * FAN)[::-1]
        kinds: dict[str, tuple[str, dict[str, Any], int]] = {
            "a": ("sum_a_post += w", every, 0),
            "b": ("sum_b_post = 0.5*sum_b_post + w", {"i": neuron.repeat(FAN), "j": scattered.ravel()}, 0),
            "c": ("sum_c_post = 0.5*sum_c_post + w", every, 2),
            "d": ("sum_d_post += w", {key: value[backwards] for key, value in every.items()}, 0),
            "e": ("sum_e_post = 0.75*sum_e_post + w\nw = 0.9*w", every, 0),
            "f": ("sum_f_post += w", {"i": neuron[1::3], "j": row[1::3, 0]}, 0),
        }
        synapses = []
        for name, (statements, pairs, delay) in kinds.items():
            made = b2.Synapses(
                source, target, "w : 1", on_pre=statements, delay=delay * b2.ms, name=f"to_{name}", namespace={}
            )
            made.connect(**pairs)
            synapses.append(made)
        return assemble(source, *source.contained_objects, target, *synapses)


def state_of(shape: Size, same: bool) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    n = shape.tokens * shape.features
    state: dict[str, Any] = {"source.r": rng.uniform(0.1, 0.6, n)}
    block = rng.normal(size=(shape.tokens, shape.features * FAN))
    weights = np.broadcast_to(block[:1], block.shape) if same else block
    for name in "abcde":
        state[f"to_{name}.w"] = weights.ravel()
    state["to_f.w"] = rng.normal(size=len(range(1, n, 3)))
    return state


@pytest.mark.long
@pytest.mark.compiles
def test_synapses_of_every_kind_add_the_same_bits() -> None:
    """Weights alike for all tokens or not: sums of real numbers in the order of the numpy target."""
    shape = Size(tokens=6, features=4)
    wanted = [f"target.sum_{name}" for name in "abcdef"]
    binary = standalone.build(Pathways(), shape)
    for same in (True, False):
        state = state_of(shape, same)
        found = standalone.run(binary, state, 1e-3, 0.2, wanted)
        expected = runtime.run(Pathways(), shape, state, dt=1e-3, duration=0.2, wanted=wanted, target="numpy")
        for name in wanted:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{name}, {same}")
            assert len(np.unique(found[name])) > 5
