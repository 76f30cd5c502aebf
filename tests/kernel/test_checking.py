"""`check_circuit` passes what is shipped and names what is wrong in one line."""

import attrs
import numpy as np
import pytest

from biospike import InputError, check_circuit, checking
from circuits.softmax import Escape, Integrate, Shunting


def changed(**methods):
    return type("Changed", (Escape,), {"name": "changed", "__doc__": "Ties: none.", **methods})


def state(change):
    def made(self, batch, dt):
        found = Escape.state(self, batch, dt)
        change(found, batch)
        return found

    return made


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(checking.standalone, "hindrance", lambda: "not here")
    monkeypatch.setattr(checking, "STEPS", 500)


def found(kind):
    return {check.name: (check.state, check.line) for check in check_circuit(kind).checks}


@pytest.mark.parametrize(
    "kind", [Integrate, pytest.param(Escape, marks=pytest.mark.long), pytest.param(Shunting, marks=pytest.mark.long)]
)
def test_shipped_circuits_pass(kind, uncompiled):
    report = check_circuit(kind)
    assert report.passed
    assert len(report.checks) == 11
    assert report.table["state"].tolist().count("ok") >= 8
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
