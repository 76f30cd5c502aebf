"""Parameters of circuits from the command line."""

import pytest

from biospike import InputError
from circuits.softmax import Diffusive, Escape, Race
from validation.inputs.parameters import with_parameters
from validation.softmax.study import Config, prepare

import brian2 as b2

CIRCUITS = {"diffusive": Diffusive(), "race": Race(), "escape": Escape()}


def test_values_are_numbers_texts_with_units_and_infinities():
    given = [
        "diffusive.tau_m=10 ms",
        'race.rate = "50 Hz"',
        "escape.w=0.2",
        "escape.regularity=inf",
        "escape.dt=0.1 ms",
    ]
    found = with_parameters("--set", CIRCUITS, given)
    assert found == {
        "diffusive": Diffusive(tau_m=10 * b2.ms),
        "race": Race(rate=50 * b2.Hz),
        "escape": Escape(w=0.2, regularity=float("inf"), dt=0.1 * b2.ms),
    }
    assert with_parameters("--set", CIRCUITS, []) == CIRCUITS


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["race"], "--set race: expected CIRCUIT.PARAMETER=VALUE, such as"),
        (["shunting.w=1"], "no circuit of this run"),
        (["rase.rate=50 Hz"], "did you mean 'race'"),
        (["race.rat=50 Hz"], "unknown parameter of race .did you mean 'rate'"),
        (["race.rate=50"], "--set: .*expected a value such as"),
        (["race.rate=50 mV"], "--set: .*expected a value such as"),
        (["race.rate=-5 Hz"], "Race: rate must be above"),
        (["escape.w=0.1", "escape.w=0.2"], "escape.w is given twice"),
        (["escape.w=[1, 2]"], "is no number and no text with a unit"),
        (["escape.w=true"], "is no number and no text with a unit"),
        (["escape.w="], "'' is not a number"),
        (["escape.name=x"], "unknown parameter of escape"),
    ],
)
def test_what_is_wrong_is_named(given, words):
    with pytest.raises(InputError, match=words):
        with_parameters("--set", CIRCUITS, given)


def test_the_study_runs_what_was_set():
    study = prepare(Config(circuits=("escape", "integrate"), set=("escape.w=0.3",), duration="50 ms", trials=2))
    assert study.circuits["escape"].w == 0.3  # type: ignore[attr-defined]
    assert study.circuits["integrate"].w == 0.1  # type: ignore[attr-defined]
    assert [plan.circuit.w for plan in study.plans] == [0.3, 0.1]  # type: ignore[attr-defined]
