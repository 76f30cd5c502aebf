"""`check_circuit` passes what is shipped and names what is wrong in one line."""

import attrs
import numpy as np
import pytest

from biospike import InputError, check_circuit, checking
from circuits.softmax import Escape, Integrate, Shunting

import brian2 as b2


def changed(**methods):
    return type("Changed", (Escape,), {"name": "changed", "__doc__": "Ties: none.", **methods})


def state(change):
    def made(self, batch, dt):
        found = Escape.state(self, batch, dt)
        change(found, batch)
        return found

    return made


def driven(factor):
    """State with the drives, and the rate that inhibition holds, so many times the default."""
    return state(
        lambda found, batch: found.update({"keys.drive": factor * found["keys.drive"], "hub.R0": factor * 500.0})
    )


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(checking.standalone, "hindrance", lambda: "not here")
    monkeypatch.setattr(checking, "STEPS", 200)


def found(kind):
    return {check.name: (check.state, check.line) for check in check_circuit(kind).checks}


@pytest.mark.parametrize(
    "kind", [Integrate, pytest.param(Escape, marks=pytest.mark.long), pytest.param(Shunting, marks=pytest.mark.long)]
)
def test_shipped_circuits_pass(kind, uncompiled):
    report = check_circuit(kind)
    assert report.passed
    assert len(report.checks) == 13
    assert report.table["state"].tolist().count("ok") >= 9  # what 200 steps are too few for is "-"
    assert "not here" in str(report)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found, batch: found.pop("hub.w"), "changed: nobody set hub.w, declared constant"),
        (lambda found, batch: found.update({"hub.W": 1.0}), "changed: the state sets hub.W, a variable that"),
        (lambda found, batch: found.update({"keys.v": np.inf}), "changed: keys.v is not finite"),
    ],
)
def test_a_wrong_state_is_named(change, words):
    [(state_, line)] = found(changed(state=state(change))).values()
    assert state_ == "fails"
    assert line.startswith(words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("drive*gate", "drive*gat", """changed: keys: 'The identifier "gat" could not be resolved.'"""),
        ("drive*gate", "gate", "changed: keys: Expression 'gate' does not have the expected unit hertz (unit is 1)."),
    ],
)
def test_wrong_equations_are_named(old, new, words, monkeypatch):
    import circuits.softmax.escape as module  # noqa: PLC0415

    monkeypatch.setattr(module, "KEYS", module.KEYS.replace(old, new))
    [(state_, line)] = found(Escape).values()
    assert (state_, line) == ("fails", words.replace("changed", "escape"))


@pytest.mark.parametrize(
    ("methods", "check"),
    [
        ({"limit": lambda self, logits: np.where(np.isnan(logits), 0, 0.5)}, "limit is one of shares"),
        (
            {"limit": lambda self, logits: np.where(np.isnan(logits), 0, 1) / (~np.isnan(logits)).sum(1)[:, None]},
            "limit agrees with the run",
        ),
        ({"expected_tv": lambda self, p, spikes, target=None: 3 / spikes**0.5}, "error law"),
        (
            {
                "state": state(
                    lambda found, batch: found.update(
                        {"keys.drive": found["keys.drive"] + 5.0 * np.arange(len(batch.row))[:, None]}
                    )
                )
            },
            "batches do not show",
        ),
    ],
)
def test_what_is_not_true_fails_its_check(methods, check, uncompiled):
    assert found(changed(**methods))[check][0] == "fails"


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"limit": lambda self, logits: 1 / 0}, "ZeroDivisionError: division by zero"),
        ({"state": state(lambda found, batch: found.update({"hub.w": 0.1 * b2.volt}))}, "whose unit is not that of"),
        (
            {"state": state(lambda found, batch: found.update({"keys.drive": 0.0 * found["keys.drive"]}))},
            "silent: rows [0, 1, 2]",
        ),
    ],
)
def test_what_a_circuit_raises_or_leaves_silent_is_a_line(methods, words, uncompiled):
    failed = [line for state_, line in found(changed(**methods)).values() if state_ == "fails"]
    assert len(failed) == 1
    assert words in failed[0]


def test_a_parameter_that_the_network_is_built_from_is_declared(uncompiled, monkeypatch):
    def build(self, shape):
        assert self.w > 0
        return Escape.build(self, shape)

    assert found(changed(build=build))["structure is declared"] == (
        "fails", "build reads w: name it in `structural`, or set it in `state`",
    )  # fmt: skip
    assert found(changed(build=build, structural=("w",)))["structure is declared"][0] == "ok"


def test_too_few_spikes_hold_no_limit(uncompiled):
    kind = changed(
        state=state(lambda found, batch: found.update({"hub.R0": 40.0, "keys.drive": found["keys.drive"] / 12}))
    )
    state_, line = found(kind)["limit agrees with the run"]
    assert state_ == "-"
    assert "too few spikes" in line


def test_without_a_limit_and_a_source(uncompiled):
    kind = changed(limit=lambda self, logits: np.full(logits.shape, np.nan), __doc__="Nothing is said.")
    assert found(kind)["limit is one of shares"] == ("-", "no limit")


def test_a_class_without_a_source_is_not_compiled(monkeypatch):
    monkeypatch.setattr(checking, "STEPS", 50)
    assert checking.standalone.hindrance() is not None or found(changed())["numpy = C++"][0] == "-"


def test_what_is_no_circuit_is_refused():
    for wrong in (3, int, attrs.frozen):
        with pytest.raises(InputError, match="check_circuit takes a Circuit"):
            check_circuit(wrong)
    with pytest.raises(InputError, match="cannot be made with its defaults: TypeError"):
        check_circuit(changed(__init__=lambda self, rate: None))
    with pytest.raises(InputError, match="name must be a word"):
        check_circuit(changed(name=3))
