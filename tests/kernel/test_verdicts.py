"""Verdicts on codes of known truth, each with its opposite; no other place decides by a slope."""

import ast
import re
from collections import Counter
from pathlib import Path

import attrs
import numpy as np
import pytest

import biospike
import validation
from biospike.order import Laws, Order
from biospike.share_verdicts import decide_rows, evidence_of_rows, window_biases
from biospike.verdicts import REASONS, Decision, Evidence, decide, earlier_window, trials_that_decide

ROOTS = [Path(package.__file__).parent for package in (biospike, validation)]
RNG = np.random.default_rng(5)
N = np.unique(np.rint(np.geomspace(30, 2000, 13)).astype(int))
P = RNG.dirichlet(np.ones(8) * 2, 20)
Q = P + 0.03 * (np.eye(8)[RNG.integers(0, 8, 20)] - P)


def poisson_code(q, trials, start=0.0):
    """Counts (window, trial, row, key) of independent spikes; `start` spikes too many of the first key."""
    counts = RNG.multinomial(np.diff(N, prepend=0)[:, None, None] * np.ones((1, trials, len(q)), int), q)
    counts = counts.cumsum(axis=0).astype(float)
    counts[..., 0] += start
    return counts


def regular_code(q, trials, start=0.0):
    counts = np.floor(q * N[:, None, None, None] + RNG.random((trials, *q.shape)))
    counts[..., 0] += start
    return counts


@pytest.mark.parametrize(
    ("make", "options", "verdict"),
    [
        (poisson_code, {"q": P}, "1/sqrt(N)"),
        (regular_code, {"q": P}, "1/N"),
        (poisson_code, {"q": Q}, "floor"),
        (regular_code, {"q": Q}, "floor"),
        (regular_code, {"q": P, "start": 3.0}, "transient bias"),
    ],
)
def test_codes_of_known_truth(make, options, verdict):
    found = [decide_rows(make(trials=8, **options), P, independent=True) for _ in range(10)]
    words = Counter(one.reason or one.verdict for one in found)
    assert words[verdict] >= 8, words
    assert all(one.bias_resolvable > 0 for one in found)


def test_a_small_bias_of_the_start_leaves_the_order():
    found = [decide_rows(regular_code(P, 16, start=0.25), P, independent=True) for _ in range(10)]
    assert all(one.verdict == "1/N" for one in found)
    assert sum(one.reason == "transient bias" for one in found) >= 8
    assert all(one.bias is not None and one.bias.high < 0.5 * one.bias.error for one in found)


def test_a_code_between_the_laws_and_its_margins():
    counts, scale = poisson_code(P, 8), (N / N[0])[:, None, None, None] ** -0.25
    shares = P + scale * (counts / N[:, None, None, None] - P)
    found = decide_rows(shares, P, independent=True, spikes=np.broadcast_to(N[:, None, None], counts.shape[:3]))
    assert found.verdict == "between"
    assert found.order.low < 0.75 < found.order.high


def test_rows_that_share_spikes_need_seven_trials():
    counts = poisson_code(P, 6)
    assert decide_rows(counts, P, independent=True).verdict == "1/sqrt(N)"
    found = decide_rows(counts, P, independent=False)
    assert (found.verdict, found.reason, found.trials_needed) == ("undecided", "few trials", 7)


@pytest.mark.parametrize(
    ("counts", "p", "reason"),
    [
        (np.zeros((13, 8, 1, 2)), [[0.5, 0.5]], "silent"),
        (N[:, None, None, None] * np.ones((1, 8, 1, 1)), [[1.0]], "few keys"),
        (N[:, None, None, None] * np.array([1.0, 0]) * np.ones((1, 8, 1, 1)), [[1 - 1e-9, 1e-9]], "saturated"),
        (N[:, None, None, None] * np.array([0.5, 0.5]) * np.ones((1, 8, 1, 1)), [[0.5, 0.5]], "error below 1e-6"),
        (N[:, None, None, None] * np.array([0.6, 0.4]) * np.ones((1, 8, 9, 1)), [[0.5, 0.5]] * 9, "few trials"),
        (poisson_code(P, 8)[-2:], P, "few windows"),
        (poisson_code(P, 1), P, "few trials"),
        (regular_code(P[:1, :2] / P[:1, :2].sum(), 16), P[:1, :2] / P[:1, :2].sum(), "few keys"),
    ],
)
def test_why_nothing_is_decided(counts, p, reason):
    found = decide_rows(counts, np.asarray(p, dtype=float), independent=True)
    assert (found.verdict, found.reason) == ("undecided", reason)
    assert reason in REASONS


def test_no_law_and_orders_that_are_of_none():
    known = evidence_of_rows(poisson_code(P, 8), P, independent=True)
    assert decide(known).verdict == "1/sqrt(N)"
    assert decide(attrs.evolve(known, laws=None)).reason == "no law"
    n = N.astype(float)
    steep = RNG.normal(0, 1, (16, len(N), 30)) / n[:, None] ** 1.5
    errors = np.abs(steep).mean(axis=-1)
    found = decide(
        Evidence(n=n, errors=errors, deviations=lambda w, some: steep[:, w, some, None], laws=Laws(n**-0.5, 1 / n),
                 rows=30, free=30, independent=True)
    )  # fmt: skip
    assert (found.verdict, found.reason) == ("undecided", "no law")
    assert found.faster
    assert not decide(known).faster


def test_a_hidden_bias_leaves_no_order():
    """An order is not told while a bias of half of the error could be there."""
    known = evidence_of_rows(poisson_code(P[:1], 8), P[:1], independent=True)
    found = decide(known)
    assert found.bias is not None
    if found.bias.high > 0.5 * found.bias.error:
        assert found.verdict != "1/sqrt(N)"
    wide = [decide_rows(poisson_code(P[:1], 3), P[:1], independent=True) for _ in range(20)]
    assert all(one.reason == "few trials" for one in wide)  # one row and 3 trials have too few flips


def test_trials_that_decide_scale_as_the_interval_does():
    found = decide_rows(poisson_code(P, 8), P, independent=True).bias
    assert found is not None
    bias = attrs.evolve(found, high=0.0)
    wide = Order(0.5, 0.3, 0.7)
    needed = trials_that_decide(wide, bias, 8)
    # Student's t of 97.5 % and T - 1 degrees of freedom: 2.8412 of 8 trials, 2.4053 of 23, 2.4138 of 22.
    assert needed == 23
    assert 0.2 * 2.4053 / 2.8412 * np.sqrt(8 / 23) <= 0.1 < 0.2 * 2.4138 / 2.8412 * np.sqrt(8 / 22)
    assert np.isnan(trials_that_decide(Order(0.6, 0.4, 0.8), bias, 8))  # on an edge


def test_a_quarter_of_the_spikes_is_looked_for():
    assert earlier_window(np.array([10.0, 26.0, 50.0, 100.0])) == 1
    assert earlier_window(np.array([0.0, 90.0, 100.0])) is None


def test_biases_of_every_window_are_those_of_its_own_pooling():
    counts = poisson_code(Q, 8)
    biases = window_biases(counts.astype(np.int32), P, independent=True)
    assert len(biases) == len(N)
    truth = float(np.sqrt(((Q - P) ** 2).sum(axis=1).mean()))
    assert biases[-1].low <= truth <= biases[-1].high
    assert biases[-1].resolvable < biases[0].resolvable


def test_decisions_say_nothing_by_default():
    assert np.isnan(Decision("undecided", "silent").bias_resolvable)


SLOPE = re.compile(r"(order|exponent|slope|eps_power)(_low|_high|_of_law|_of_law_low|_of_law_high)?")
PLAIN = ("order", "exponent", "slope")
"""As names of variables these are what `argsort` returns, a power of ten of an axis, and a slope of a line drawn."""
EXEMPT = {
    ("verdicts.py", "biospike"),
    ("claims.py", "bounds"),  # holds a slope against a stated value, with its interval
}


def names_in(node):
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id not in PLAIN:
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def is_threshold(node):
    """A number, or a constant by its name, or what is made of them."""
    kinds = (ast.Constant, ast.Name, ast.UnaryOp, ast.BinOp, ast.unaryop, ast.operator, ast.expr_context)
    parts = list(ast.walk(node))
    numbers = [
        part for part in parts
        if (isinstance(part, ast.Name) and part.id.isupper())
        or (isinstance(part, ast.Constant) and isinstance(part.value, int | float))
    ]  # fmt: skip
    names = [part for part in parts if isinstance(part, ast.Name) and not part.id.isupper()]
    return bool(numbers) and not names and all(isinstance(part, kinds) for part in parts)


def thresholds(source):
    """Comparisons of a slope with a number."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(
            isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in node.ops
        ):
            sides = [node.left, *node.comparators]
            slopes = any(SLOPE.fullmatch(name) for side in sides for name in names_in(side))
            if slopes and any(is_threshold(side) for side in sides):
                yield ast.unparse(node)


def test_no_other_place_holds_a_slope_against_a_number():
    assert list(thresholds("fit['order'] < -0.75"))
    assert list(thresholds("abs(fit.exponent_high + 0.5) < NEAR"))
    assert not list(thresholds("row.order_low <= expected <= row.order_high"))
    found, files = {}, 0
    for root in ROOTS:
        for path in root.rglob("*.py"):
            files += 1
            if (path.name, path.parent.name) not in EXEMPT and path.parent.name != "theory":
                lines = list(thresholds(path.read_text(encoding="utf-8")))
                if lines:
                    found[str(path)] = lines
    assert files > 100
    assert not found


def test_more_trials_are_not_promised_to_decide_on_few_keys():
    """Regular codes need rows times keys that are free: seven trials would say few keys."""
    p = P[:1]
    p = np.where(np.arange(p.shape[1]) < 3, 1 / 3, 0.0)[None, :]
    counts = np.rint(
        N[:, None, None, None] * p + np.random.default_rng(5).uniform(-0.5, 0.5, (len(N), 6, 1, p.shape[1]))
    )
    found = decide_rows(np.where(p > 0, counts, 0).astype(np.int32), p, independent=False)
    assert (found.verdict, found.reason) == ("undecided", "few trials")
    assert np.isnan(found.trials_needed)
