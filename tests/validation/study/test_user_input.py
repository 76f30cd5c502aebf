"""Whatever a user gives instead of a number, a time or an array: it is taken, or refused in one line that names it."""

import errno
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

from biospike import LIF
from biospike.encoding import ENCODERS
from biospike.errors import InputError
from biospike.execution import check_jobs
from biospike.ideal.lif import SpikingJellyHard
from biospike.simulation import check_study
from biospike.traces import record
from circuits import SOFTMAX_CIRCUITS, Coincidence, SpikingAttention
from circuits.presentation import plan_presentation
from circuits.softmax import Race
from validation.study import command_line

import brian2 as b2

WRONG = ["x", "", None, -1, 0, True, 1.5, np.nan, np.inf, -np.inf, 10**400, 2**63, [], {}, object(), 3 * b2.mV, 1j]
EYE = np.eye(2)
TOKENS = [[0.8, 0.2], [0.3, 0.7]]
PARAMETERS = [
    *((kind, {}, field.name) for kind in SOFTMAX_CIRCUITS.values() for field in attrs.fields(kind)),
    *((LIF, {}, field.name) for field in attrs.fields(LIF)),
    *((kind, {}, field.name) for kind in ENCODERS.values() for field in attrs.fields(kind)),
    *((SpikingJellyHard, {}, field.name) for field in attrs.fields(SpikingJellyHard)),
    *(
        (kind, {"W_q": EYE, "W_k": EYE} | extra, name)
        for kind, extra in ((SpikingAttention, {"W_v": EYE}), (Coincidence, {}))
        for name in ("heads", "peak_rate", "encoder", "encoders", "delay", "tau_m", "phase", "dt")
    ),
    *(
        (SpikingAttention, {"W_q": EYE, "W_k": EYE, "W_v": EYE}, name)
        for name in (
            "mode",
            "softmax",
            "tau_s",
            "score_scale",
            "causal",
            "w",
            "start",
            "release",
            "first_spikes",
            "settle",
        )
    ),
]


def taken_or_refused(call):
    """Whether it was taken; anything but an `InputError` of one line is a fault of ours."""
    try:
        call()
    except InputError as error:
        text = str(error)
    else:
        return True
    assert text.strip()
    assert "\n" not in text
    return False


@pytest.mark.parametrize(("kind", "options", "name"), PARAMETERS, ids=lambda value: getattr(value, "__name__", None))
def test_parameters(kind, options, name):
    taken = [taken_or_refused(lambda value=value: kind(**options | {name: value})) for value in WRONG]
    assert not all(taken), "nothing was refused"


def is_int(value, number):
    return type(value) is int and value == number


@pytest.mark.parametrize("name", ["duration", "trials", "seed", "checkpoints", "dt", "target"])
def test_arguments_of_simulate(name):
    def taken(value):
        options = {"duration": "10 ms", "target": "numpy"} | {name: value}
        return taken_or_refused(lambda: check_study(Race(), [[1.0, 0.0]], **options))

    for value in WRONG:
        assert taken(value) == ((name == "dt" and value is None) or (name == "seed" and is_int(value, 0))), value


def test_logits_and_circuit():
    for value in WRONG:
        assert not taken_or_refused(lambda value=value: check_study(value, [[1.0, 0.0]], duration="10 ms"))
        assert not taken_or_refused(lambda value=value: check_study(Race(), value, duration="10 ms"))
        assert not taken_or_refused(lambda value=value: record(value, [1.0, 0.0], duration="10 ms"))


@pytest.mark.parametrize("name", ["seed", "row", "traced", "duration"])
def test_arguments_of_record(name):
    values: list[object] = ["x", None, -1, True, np.nan, 2.5, []]
    for value in values:
        options = {"duration": "10 ms"} | {name: value}
        assert not taken_or_refused(lambda options=options: record(Race(), [1.0, 0.0], **options)), value


@pytest.mark.parametrize("name", ["duration", "trials", "seed", "windows"])
def test_arguments_of_present(name):
    block = SpikingAttention(EYE, EYE, EYE)
    for value in WRONG:
        options = {"duration": "10 ms"} | {name: value}
        taken = taken_or_refused(lambda options=options: plan_presentation(block, TOKENS, **options))
        assert taken == (name == "seed" and is_int(value, 0)), value


@pytest.mark.parametrize("value", ["x", 0, -1, True, 1.5, [], np.nan], ids=str)
def test_jobs(value):
    assert not taken_or_refused(lambda: check_jobs(value))


@attrs.frozen
class Config:
    """Options of a study that only fails."""

    out: Path = Path("out")


def fails(monkeypatch, tmp_path, error):
    def work(config):
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("biospike.standalone.scratch_directory", lambda: tmp_path / "scratch")
    monkeypatch.setattr(sys, "argv", ["study", "--out", str(tmp_path / "mine")])
    command_line.run(Config, work, "")


@pytest.mark.parametrize("where", ["mine", "mine/summary.csv", "cache/binaries/x", "scratch/y", "."])
def test_failure_of_a_path_of_the_user_is_one_line(where, tmp_path, monkeypatch, capsys):
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / where))
    with pytest.raises(SystemExit) as stop:
        fails(monkeypatch, tmp_path, error)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert where.strip(".") in printed


def test_full_disk_is_one_line_wherever_it_is(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        fails(monkeypatch, tmp_path, OSError(errno.ENOSPC, "No space left on device"))
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "/usr/share/biospike/style.mplstyle"),
        OSError("of nobody"),
        ValueError("operands could not be broadcast"),
        KeyError("circuit"),
    ],
    ids=["a file of ours", "no file", "ValueError", "KeyError"],
)
def test_error_of_the_program_keeps_its_traceback(error, tmp_path, monkeypatch):
    with pytest.raises(type(error)) as raised:
        fails(monkeypatch, tmp_path, error)
    assert raised.value is error


def test_input_error_is_one_line(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        fails(monkeypatch, tmp_path, InputError("rate must be\nabove 0 Hz, got -1 Hz"))
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: rate must be above 0 Hz, got -1 Hz\n"
