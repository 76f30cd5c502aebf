"""Verdicts follow from intervals, and the p-values and adjustments that go with them agree with independent ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from validation.study.claims import FEWEST_ADJUSTED, Finding, adjusted, judged
from validation.study.results import Missing
from validation.study.verdict import FAILS, HOLDS, UNDECIDED, Case, joint_p, named, order, settle

NONE = float("nan")


@pytest.mark.parametrize(
    ("low", "high", "bounds", "verdict"),
    [
        (0.1, 0.2, {"most": 0.3}, HOLDS),
        (0.1, 0.3, {"most": 0.3}, HOLDS),
        (0.4, 0.5, {"most": 0.3}, FAILS),
        (0.2, 0.5, {"most": 0.3}, UNDECIDED),
        (0.4, 0.5, {"least": 0.3}, HOLDS),
        (0.1, 0.2, {"least": 0.3}, FAILS),
        (-0.05, 0.05, {"least": -0.1, "most": 0.1}, HOLDS),
        (-0.15, 0.05, {"least": -0.1, "most": 0.1}, UNDECIDED),
        (-0.15, 0.15, {"least": -0.1, "most": 0.1}, UNDECIDED),
        (-0.3, -0.2, {"least": -0.1, "most": 0.1}, FAILS),
        (NONE, NONE, {"most": 0.3}, UNDECIDED),
        (0.1, NONE, {"most": 0.3}, UNDECIDED),
    ],
)
def test_an_interval_decides(low: float, high: float, bounds: dict[str, float], verdict: str) -> None:
    assert Case(estimate=(low + high) / 2, low=low, high=high, **bounds).verdict == verdict


def test_the_point_decides_nothing() -> None:
    for estimate in (0.0, 0.29, 0.31, 9.0):
        assert Case(estimate=estimate, low=0.2, high=0.4, most=0.3).verdict == UNDECIDED


def case(name: str, word: str) -> Case:
    return Case(name=name, word=word)


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ([HOLDS, HOLDS], HOLDS),
        ([FAILS, FAILS], FAILS),
        ([HOLDS, FAILS], "depends: on x (holds: a; does not hold: b)"),
        ([HOLDS, FAILS, UNDECIDED], "depends: on x (holds: a; does not hold: b; undecided: c)"),
        ([FAILS, UNDECIDED], "does not hold: a (undecided: b)"),
        ([HOLDS, UNDECIDED], "undecided: b (holds: a)"),
        ([UNDECIDED, UNDECIDED], UNDECIDED),
    ],
)
def test_cases_are_settled_together(words: list[str], verdict: str) -> None:
    assert settle([case(name, word) for name, word in zip("abc", words, strict=False)], "x") == verdict


def test_no_interval_and_many_names_are_said() -> None:
    assert settle([Case(estimate=1.0, most=2.0)], "x") == "undecided: no interval"
    assert named("abcdefgh") == "a, b, c, d, e, f and 2 more"
    with pytest.raises(Missing, match="no case"):
        judged("", [])


@pytest.mark.parametrize("trials", [3, 8, 64])
def test_the_p_value_is_that_of_the_t_test(trials: int) -> None:
    """Below 5 % just where the interval excludes the threshold."""
    seen = set()
    for seed in range(20):
        sample = np.random.default_rng(seed).normal(0.5, 1.0, trials)
        test = stats.ttest_1samp(sample, 0.0)
        low, high = test.confidence_interval()
        one = Case(estimate=sample.mean(), low=low, high=high, most=0.0, trials=trials)
        assert one.p_value == pytest.approx(test.pvalue, rel=1e-6)
        assert (one.p_value < 0.05) == (one.verdict != UNDECIDED)
        seen.add(one.verdict)
    assert len(seen) > 1


def test_equivalences_orders_and_what_has_no_interval_have_no_p_value() -> None:
    for one in (
        Case(estimate=0.0, low=-1.0, high=1.0, least=-2.0, most=2.0),
        order("", {"verdict": "1/N", "order": -1.0}, holds=["1/N"], fails=[]),
        Case(estimate=1.0, most=0.0),
    ):
        assert np.isnan(one.p_value)
        assert np.isnan(joint_p([one]))


def of_p(p: float, word: str) -> Case:
    """Case of this p-value and verdict, by the normal law."""
    distance = stats.norm.isf(p / 2) / stats.norm.ppf(0.975)
    estimate = distance if word == FAILS else -distance
    return Case(estimate=estimate, low=estimate - 1, high=estimate + 1, most=0.0)


def test_p_values_of_several_cases_are_those_of_what_is_said_of_them() -> None:
    assert joint_p([of_p(0.01, HOLDS), of_p(0.03, HOLDS)]) == pytest.approx(0.03)
    assert joint_p([of_p(0.01, FAILS), of_p(0.03, FAILS)]) == pytest.approx(0.03)
    assert joint_p([of_p(0.01, FAILS), of_p(0.5, HOLDS)]) == pytest.approx(0.02)  # the second is undecided
    assert joint_p([of_p(0.001, FAILS), of_p(0.01, HOLDS)]) == pytest.approx(0.02)
    assert joint_p([of_p(0.01, HOLDS), of_p(0.5, FAILS)]) == pytest.approx(0.5)


def test_orders_are_read_by_their_words_and_shown_by_reference_where_known() -> None:
    row = {"verdict": "between", "order": -0.7, "order_low": -0.8, "order_high": -0.6}
    found = order("", row, holds=["1/N"], fails=["between"])
    assert (found.verdict, found.estimate, found.low, found.high) == (FAILS, -0.7, -0.8, -0.6)
    by_law = row | {"order_of_law": 0.71, "order_of_law_low": 0.65, "order_of_law_high": 0.75}
    by_reference = order("", by_law, holds=["between"], fails=[])
    assert (by_reference.estimate, by_reference.low, by_reference.high) == (-0.71, -0.75, -0.65)
    assert (found.level, by_reference.level) == (0.95, 0.975)
    assert order("", row, holds=["1/N"], fails=["floor"]).verdict == UNDECIDED


def closed(p: list[float]) -> list[float]:
    """Adjusted p-values by the closure of all intersections, each tested by Bonferroni, which is what Holm computes."""
    sets = [s for k in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), k)]
    return [max(min(1.0, len(s) * min(p[i] for i in s)) for s in sets if one in s) for one in range(len(p))]


def finding(p: float, kind: str = "stated", trials: float = 64, verdict: str = HOLDS) -> Finding:
    return Finding("", "", verdict, p_value=p, kind=kind, trials=trials, decision="interval")


def test_the_adjustment_is_holms() -> None:
    p = [0.04, 0.001, 0.012, 0.8, 0.012]
    found = adjusted([finding(one) for one in p])
    np.testing.assert_allclose([one.p_value for one in found], closed(p))
    assert [one.word for one in found] == [UNDECIDED, HOLDS, HOLDS, UNDECIDED, HOLDS]
    assert found[0].verdict == "undecided: among 5 tests (Holm); alone holds"


def test_families_are_of_one_kind_and_of_enough_trials() -> None:
    few = FEWEST_ADJUSTED - 1
    alone = [finding(0.04), finding(0.04, "ours"), finding(0.04, "ours", few), finding(NONE, "stated")]
    assert [one.verdict for one in adjusted(alone)] == [HOLDS] * 4
    # Intervals that are not over trials count as they are.
    both = adjusted([finding(0.04), finding(0.03, trials=NONE)])
    assert [one.word for one in both] == [UNDECIDED, UNDECIDED]
