"""What a run starts from and ends with is checked on every target: with the same words."""

import attrs
import numpy as np
import pytest

from biospike import circuit, simulate, wiring
from biospike.circuit import Circuit
from biospike.errors import RunError
from biospike.ideal.softmax import softmax
from biospike.state import check_finite, fitting
from biospike.traces import record
from biospike.wiring import rows_of_keys
from circuits import SpikingAttention, present
from circuits.presentation import check_masked
from circuits.softmax import Race, register

LOGITS = np.array([[0.5, 0.0, np.nan], [0.0, 1.0, -1.0]])
TARGETS = [
    "numpy",
    pytest.param("cython", marks=[pytest.mark.compiles, pytest.mark.long]),
    pytest.param("cpp_standalone", marks=[pytest.mark.compiles, pytest.mark.long]),
]
KEYS = """
dv/dt = drive*gain + growth*Hz : 1
gain                           : 1 (shared, constant)
growth                         : 1 (shared, constant)
"""
HUB = """
level                          : 1
step                           : 1 (shared, constant)
"""


@attrs.frozen(kw_only=True)
class Faulty(Circuit):
    """Keys that may lack a constant, or diverge, or whose hub does."""

    name = "faulty"
    inhibition = "level"
    left_out: tuple[str, ...] = ()
    growth: float = 0.0
    step: float = 0.0

    def build(self, shape):
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike="level_post += step_post",
            threshold="v >= 1",
            reset="v -= 1",
            shape=shape,
            driven=True,
        )

    def state(self, batch, dt):
        values = {
            "keys.drive": 100.0 * batch.drive,
            "keys.gain": 1.0,
            "keys.growth": self.growth,
            "keys.v": 0.5 * np.ones(batch.logits.shape),
            "hub.step": self.step,
            "hub.level": 0.0,
        }
        return {name: value for name, value in values.items() if name not in self.left_out}

    def limit(self, logits):
        return softmax(logits)


def run(target, **parameters):
    return simulate(Faulty(**parameters), LOGITS, duration="60 ms", trials=2, target=target)


@pytest.mark.parametrize("target", TARGETS)
class TestEveryTarget:
    def test_without_a_fault_it_runs(self, target):
        assert run(target).spike_count[..., -1].sum() > 20

    @pytest.mark.parametrize("names", [("keys.gain",), ("hub.step",), ("keys.drive",), ("hub.step", "keys.growth")])
    def test_constant_that_the_state_leaves_out_is_named(self, target, names):
        with pytest.raises(RunError, match=f"faulty: nobody set {', '.join(names)}, declared constant"):
            run(target, left_out=names)

    def test_variable_that_changes_may_start_at_zero(self, target):
        assert run(target, left_out=("keys.v", "hub.level")).spike_count[..., -1].sum() > 20

    def test_membrane_that_diverges_is_named(self, target):
        with pytest.raises(RunError, match=r"faulty: keys\.v is not finite at the end of the run: inf in"):
            run(target, growth=np.inf)

    def test_hub_that_diverges_is_named(self, target):
        with pytest.raises(RunError, match=r"faulty: hub\.level is not finite"):
            run(target, step=np.inf)


def test_raster_asks_the_same():
    with pytest.raises(RunError, match=r"faulty: nobody set keys\.gain"):
        record(Faulty(left_out=("keys.gain",)), LOGITS[1], duration="60 ms")
    with pytest.raises(RunError, match=r"faulty: keys\.v is not finite"):
        record(Faulty(growth=np.inf), LOGITS[1], duration="60 ms")


class Unknown(Race):
    """A race whose state sets a variable that does not exist."""

    name = "unknown"

    def state(self, batch, dt):
        return super().state(batch, dt) | {"keys.drvie": 1.0}


def test_unknown_variable_is_named():
    with pytest.raises(RunError, match=r"unknown: the state sets keys\.drvie"):
        simulate(Unknown(), LOGITS, duration="10 ms", target="numpy")


@pytest.mark.parametrize(
    ("value", "dtype", "length", "words"),
    [
        (2**31, np.int32, 1, "2147483648 is no value of the type int32"),
        ([0, -(2**31) - 1], np.int32, 2, "-2147483649 is no value"),
        (1.5, np.int64, 4, "1.5 is no value"),
        (np.nan, np.int32, 4, "nan is no value"),
        (2, bool, 4, "2 is no value of the type bool"),
        (np.nan, float, 4, "nan is no value"),
        ([1.0, 2.0, 3.0], float, 4, "expected 1 or 4 values, got 3"),
        ([], float, 4, "expected 1 or 4 values, got 0"),
    ],
)
def test_values_that_do_not_fit(value, dtype, length, words):
    with pytest.raises(RunError, match=f"keys.x: .*{words}"):
        fitting("keys.x", value, dtype, length)


@pytest.mark.parametrize(
    ("value", "dtype", "length"),
    [
        (2**31 - 1, np.int32, 3),
        (True, bool, 2),
        (np.inf, float, 2),
        (3.0, np.int32, 1),
        ([1, 2], float, 2),
        ([7], int, 0),
    ],
)
def test_values_that_fit_are_kept(value, dtype, length):
    found = fitting("keys.x", value, dtype, length)
    assert found.dtype == dtype
    assert found.size == (length or 1)
    assert np.all(found == value)


def test_first_neuron_that_is_not_finite_is_told():
    with pytest.raises(RunError, match=r"name: keys\.v is not finite .*: nan in neuron 1, and in 2 of 4"):
        check_finite("name", {"keys.v": np.array([0.0, np.nan, 1.0, np.inf])})
    check_finite("name", {"keys.v": np.zeros(3), "hub.g": np.zeros(0)})


@pytest.mark.parametrize("layers", [(), (2,)], ids=["block", "stack"])
def test_masked_key_of_a_block_that_spikes_is_named(layers):
    spikes = np.zeros((3, *layers, 2, 4, 5, 6), dtype=np.int64)
    unmasked = np.ones((3, 4, 5), dtype=bool)
    unmasked[1, 2, 4] = False
    spikes[1, ..., 2, 3, :] = spikes[0, ..., 2, 4, :] = 7
    check_masked("attention", spikes, unmasked)
    spikes[1, ..., 1, 2, 4, 5] = 1
    with pytest.raises(RunError, match="attention: key 4, which is masked for query 2, spiked in head 1"):
        check_masked("attention", spikes, unmasked)


@pytest.mark.long
def test_attention_asks_about_masked_keys(monkeypatch):
    weights = np.eye(2)
    block = SpikingAttention(weights, weights, weights, score_scale=1.0, tau_s="5 ms", settle=80)
    options = {"duration": "60 ms", "target": "numpy", "key_mask": [True, False]}
    data = present(block, [[0.8, 0.2], [0.3, 0.7]], **options)
    assert data["attention_count"].isel(checkpoint=-1).sum() > 5
    original = SpikingAttention.block_state

    def forgetful(self, *arguments, **words):
        return original(self, *arguments, **words) | {"keys.unmasked": 1.0}

    monkeypatch.setattr(SpikingAttention, "block_state", forgetful)
    with pytest.raises(RunError, match="attention: key 1, which is masked for query 0, spiked"):
        present(block, [[0.8, 0.2], [0.3, 0.7]], **options)


def test_two_circuits_of_one_name_are_refused():
    again, other = (type(name, (Race,), {"name": name.lower()}) for name in ("Race", "Other"))
    unnamed = type("Unnamed", (Race,), {})
    assert register([Race, Race, other]) == {"race": Race, "other": other}
    for other in (again, unnamed):
        with pytest.raises(TypeError, match=f"named 'race': circuits.softmax.race.Race and .*{other.__name__}"):
            register([Race, other])


@pytest.mark.long
def test_empty_slots_of_a_batch_stay_finite():
    """Three samples fill four slots: the rows of the fourth have no key, and their reference falls for seconds."""
    weights = np.eye(2)
    block = SpikingAttention(weights, weights, weights, score_scale=1.0, mode="staged", settle=80)
    data = present(block, np.tile([[0.8, 0.2], [0.3, 0.7]], (3, 1, 1)), duration="4 s", windows=1, target="numpy")
    assert data["attention_count"].sum() > 1000


def test_circuits_of_before_find_the_wiring_where_it_was():
    assert getattr(circuit, "rows_of_keys") is wiring.rows_of_keys  # noqa: B009  (type checkers know the new place)
    assert getattr(circuit, "each_step_of") is wiring.each_step_of  # noqa: B009
    assert not hasattr(circuit, "rows_of_locks")
