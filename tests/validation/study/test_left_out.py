"""Circuits that cannot take a row are left out of every study of several, said, and refused alone."""

import numpy as np
import pytest
from scipy import stats

from biospike import InputError
from circuits.softmax import Escape, Race
from validation.bounds import study as spike_bounds
from validation.simulators import study as compare_simulators
from validation.softmax import study as compare_softmax
from validation.study.left_out import paragraphs, say, those_that_take
from validation.study.welch import welch

import brian2 as b2

WIDE = np.zeros((2, 60))
WIDE[0, 1:] = np.nan
LARGEST = 1 / (60 * 1e-4)
"""Hertz at which 60 equal keys have one input spike a step of 0.1 ms."""


def test_the_largest_rate_is_said_and_is_taken():
    taken, left_out = those_that_take({"race": Race(), "escape": Escape()}, WIDE, "set {name}")
    assert list(taken) == ["escape"]
    (line,) = left_out.values()
    assert line.startswith("race: row 1 has rate*dt*sum_i exp(z_i - max z) = 1.2,")
    said = float(line.split("Race(rate=...) of at most ")[1].split(" Hz")[0])
    assert LARGEST - 0.1 <= said <= LARGEST
    assert line.endswith("; set race")
    assert those_that_take({"race": Race(rate=said * b2.Hz)}, WIDE, "")[1] == {}


def test_none_that_takes_them_is_refused():
    with pytest.raises(InputError, match=r"race: row 1 .*; set race$"):
        those_that_take({"race": Race()}, WIDE, "set {name}")


def test_lines_of_terminal_and_report(capsys):
    say({"race": "a"})
    assert capsys.readouterr().err == "left out: a\n"
    assert paragraphs(["a"]) == ["**Not run.** a."]


STUDIES = {
    "compare_softmax": (compare_softmax, "--set race.PARAMETER=VALUE sets it"),
    "compare_simulators": (compare_simulators, "here it is run as it ships"),
    "spike_bounds": (spike_bounds, "here it is run as it ships"),
}


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_of_rows_runs_the_others(name, tmp_path, monkeypatch):
    study, advice = STUDIES[name]
    monkeypatch.setattr(compare_simulators.simulators_nest, "load_nest", lambda: None)
    np.save(tmp_path / "z.npy", WIDE)
    options = {"logits": tmp_path / "z.npy", "target": "numpy", "out": tmp_path / "out"}
    if name == "compare_simulators":
        options["rows"] = 2
    prepared = study.prepare(study.Config(**options))
    assert list(prepared.left_out) == ["race"]
    assert "race" not in prepared.circuits
    assert len(prepared.circuits) > 1
    with pytest.raises(InputError, match=advice):
        raise InputError(prepared.left_out["race"])
    if name != "spike_bounds":
        with pytest.raises(InputError, match=r"^race: row 1"):
            study.prepare(study.Config(circuits=("race",), **options))


class TestWelch:
    def test_is_scipys(self):
        random = np.random.default_rng(0)
        for sizes in ((2, 2), (3, 9), (40, 5)):
            a, b = (random.normal(2 * k, 1 + k, n) for k, n in enumerate(sizes))
            found, expected = welch(a, b), stats.ttest_ind(a, b, equal_var=False)
            interval = expected.confidence_interval()
            np.testing.assert_allclose(found, [interval.low, interval.high, expected.pvalue], rtol=1e-10)

    def test_one_group_that_does_not_scatter_is_no_warning(self):
        found = welch(np.array([1.0, 1.0, 1.0]), np.array([0.0, 1.0]))
        # One degree of freedom: t = 12.706, the error of the mean 1/2.
        np.testing.assert_allclose(found[:2], [0.5 - 12.7062 / 2, 0.5 + 12.7062 / 2], rtol=1e-5)

    @pytest.mark.parametrize(("a", "b"), [([1], [1, 2]), ([1, 1], [2, 2]), ([1, np.nan], [1, 2])])
    def test_nothing_is_told_without_scatter(self, a, b):
        assert np.isnan(welch(np.array(a, dtype=float), np.array(b, dtype=float))).all()
