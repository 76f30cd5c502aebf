"""Claims about bounds: opposite tables give opposite verdicts, noise about a threshold gives none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from validation.bounds.claims import CLAIMS
from validation.study.claims import Finding

Row = dict[str, Any]
MEAN = "mean absolute error"


def fit(code: str, verdict: str, exponent: float = -0.5, half: float = 0.01, **more: Any) -> Row:
    row = {"family": "encoder", "code": code, "metric": MEAN, "points": 6, "verdict": verdict, "exponent": exponent}
    row |= {"exponent_low": exponent - half, "exponent_high": exponent + half, "r_squared": 0.99}
    return row | dict.fromkeys(("ratio_observed_theoretical", "ratio_low", "ratio_high"), np.nan) | more


def bound(bound: str, margin: float, verdict: str, family: str = "encoder", code: str = "bernoulli") -> Row:
    return {"family": family, "code": code, "metric": MEAN, "bound": bound, "margin": margin, "verdict": verdict}


def errors(
    half: float, family: str = "encoder", code: str = "bernoulli", order: float = -0.5, **more: Any
) -> list[Row]:
    """Errors of a power law, with intervals of this half width relative to them."""
    rows = []
    for n in 2.0 ** np.arange(4, 12):
        row = {"family": family, "code": code, "metric": MEAN, "spikes": n, "error": n**order, "diagnostics": ""}
        rows.append(row | {"error_low": n**order * (1 - half), "error_high": n**order * (1 + half)} | more)
    return rows


def margin(name: str, value: float, half: float, verdict: str = "holds", family: str = "encoder") -> dict[str, Any]:
    return {"bounds": [bound(name, value, verdict, family)], "summary": errors(half, family)}


def enough(value: float, half: float, word: str = "holds", **elsewhere: str) -> dict[str, Any]:
    """Row sets with this margin to Lemma 3; `elsewhere`: what follows on rows of another kind."""
    row = {"code": "escape", "rows": 5, "trials": 8, "margin": value, "margin_low": value * (1 - half)}
    row |= {"margin_high": value * (1 + half)}
    kinds = {"given": word} | elsewhere
    return {"row_sets": [row | {"rows_kind": kind, "enough": kinds[kind]} for kind in kinds]}


def saturates(estimate: float, low: float, high: float, **elsewhere: float) -> dict[str, Any]:
    """Row sets with this constant, and another one on rows of another kind."""
    row = {"code": "escape", "rows": 5, "trials": 8, "verdict": "1/sqrt(N)"}
    ends = {"given": (estimate, low, high)} | {kind: (one, 0.9 * one, 1.1 * one) for kind, one in elsewhere.items()}
    names = ("ratio_observed_theoretical", "ratio_low", "ratio_high")
    return {"row_sets": [row | dict(zip(names, ends[kind], strict=True)) | {"rows_kind": kind} for kind in ends]}


STOPS = {"row_sets": [{"rows_kind": "given", "code": "subtractive", "rows": 5, "trials": 8, "verdict": "floor"}
                      | dict.fromkeys(("ratio_observed_theoretical", "ratio_low", "ratio_high"), np.nan)]}  # fmt: skip


def bands(*margins: float) -> dict[str, Any]:
    """Margins to Lemma 1 of rates within bands of rising rho, beside those of all rates."""
    row = {"code": "bernoulli", "trials": 8, "relative": 0.1}
    rows = [row | {"rho": 0.1 * place, "margin": one, "margin_low": 0.9 * one, "margin_high": 1.1 * one}
            for place, one in enumerate((2.0, *margins))]  # fmt: skip
    return {"rate_bands": rows}


WITHIN = "rates within"


def regular(verdict: str, **more: Any) -> dict[str, Any]:
    return {"fits": [fit("regular", verdict, **more), fit("bernoulli", "1/sqrt(N)")]}


def ratio(family: str, estimate: float, low: float, high: float) -> dict[str, Any]:
    known = {"ratio_observed_theoretical": estimate, "ratio_low": low, "ratio_high": high}
    return {"fits": [fit("escape", "1/sqrt(N)", family=family, metric="total variation", **known)]}


def coins(half: float, order: float = -0.5) -> dict[str, Any]:
    return {"fits": [fit("fair coin", "1/sqrt(N)", order, family="coin flips")],
            "summary": errors(half, "coin flips", "fair coin", order)}  # fmt: skip


def alternating(half: float) -> list[Row]:
    """Errors that do not fall: every second is twice the others."""
    ends = ("error", "error_low", "error_high")
    rows = errors(half, "coin flips", "fair coin", 0.0)
    return [row | {end: row[end] * (1 + place % 2) for end in ends} for place, row in enumerate(rows)]


def rates(per_value: float, frobenius: float) -> dict[str, Any]:
    return {"rates": [{"code": "toy", "values": 4, "bits_per_value": per_value, "bits_frobenius": frobenius,
                       "bits_shannon": 2.0}]}  # fmt: skip


BERNOULLI, NO_CODE, TRIANGLE = "rate coding errs", "no spike code", "the rms error of a regular code"
HOEFFDING, ENOUGH, NEEDED, TIGHT = "T = ln(2/alpha)", "O(n^2/eps^2)", "N_total = Omega", "the bound of Omega"
SQUARED, RATIO, BIT, CONSTANT = "R^2", "observed/theoretical", "a spike carries", "inhibition saturates"


def sparse(*errors: float, half: float = 0.02, kind: str = "given") -> dict[str, Any]:
    """Errors of two and four keys that stay, where all have 1."""
    rows = []
    for kept, error in zip(("all", "2", "4"), (1.0, *errors), strict=False):
        row = {
            "rows_kind": kind,
            "code": "escape",
            "kept": kept,
            "keys": 2.0,
            "rows": 5,
            "trials": 8,
            "spikes": 200.0,
            "law": 1.0,
        }
        rows.append(row | {"tv": error, "low": error * (1 - half), "high": error * (1 + half), "left_out": 0.1})
    return {"sparse": rows}


SPARSE = "lateral inhibition spends fewer"
CASES = [
    (SPARSE, "holds", sparse(0.5, 0.7)),
    (SPARSE, "does not hold", sparse(1.5, 1.2)),
    (SPARSE, "depends", sparse(0.5, 1.5)),
    (SPARSE, "depends", {"sparse": sparse(0.5)["sparse"] + sparse(1.5, kind="peaked")["sparse"]}),
    (SPARSE, "undecided", sparse(1.0)),
    (BERNOULLI, "holds", {"fits": [fit("bernoulli", "1/sqrt(N)")]}),
    (BERNOULLI, "does not hold", {"fits": [fit("bernoulli", "1/N")]}),
    (BERNOULLI, "undecided", {"fits": [fit("bernoulli", "undecided")]}),
    (NO_CODE, "holds", regular("1/sqrt(N)")),
    (NO_CODE, "does not hold", regular("1/N")),
    (NO_CODE, "does not hold", regular("undecided", faster=True)),
    (NO_CODE, "undecided", regular("undecided", faster=False)),
    (TIGHT, "holds", regular("1/sqrt(N)")),
    (TIGHT, "does not hold", regular("between")),
    (TIGHT, "undecided", regular("undecided")),
    (TRIANGLE, "holds", {"fits": [fit("regular, triangular", "x", -1.46, metric="rms error")]}),
    (TRIANGLE, "does not hold", {"fits": [fit("regular, triangular", "x", -1.0, metric="rms error")]}),
    (TRIANGLE, "undecided", {"fits": [fit("regular, triangular", "x", -1.45, 0.1, metric="rms error")]}),
    (HOEFFDING, "holds", margin("Lemma 1 (Hoeffding)", 0.5, 0.1)),
    (HOEFFDING, "does not hold", margin("Lemma 1 (Hoeffding)", 1.5, 0.1)),
    (HOEFFDING, "undecided", margin("Lemma 1 (Hoeffding)", 0.98, 0.1)),
    (ENOUGH, "holds", enough(0.5, 0.1)),
    (ENOUGH, "does not hold", enough(0.5, 0.1, "fails for eps < 0.18")),
    (ENOUGH, "depends", enough(0.5, 0.1, "fails for eps < 0.18", flat="holds")),
    (ENOUGH, "undecided", enough(0.98, 0.1)),
    (ENOUGH, "undecided", enough(2.0, 0.1, "not with constant 1")),
    (WITHIN, "holds", bands(0.4, 0.6)),
    (WITHIN, "does not hold", bands(1.4, 1.6)),
    (WITHIN, "depends", bands(0.4, 1.6)),
    (WITHIN, "undecided", bands(0.4, 0.98)),
    (NEEDED, "holds", {"bounds": [bound("Theorem 8", 0.1, "holds")]}),
    (NEEDED, "does not hold", {"bounds": [bound("Theorem 8", 0.1, "undercut")]}),
    (NEEDED, "depends", {"bounds": [bound("Theorem 8", 0.1, "undercut"), bound("Theorem 8", 1.0, "holds")]}),
    (NEEDED, "undecided", {"bounds": [bound("Theorem 8", 0.1, "not decided")]}),
    ("no code beats", "holds", margin("information", 2.0, 0.1)),
    ("no code beats", "does not hold", margin("information", 0.5, 0.1)),
    ("no code beats", "undecided", margin("information", 1.02, 0.1)),
    ("no code beats", "holds", margin("whole spikes", 1.0, 0.1)),
    ("no code beats", "does not hold", margin("whole spikes", 0.999, 0.1)),
    ("R(D) =", "holds", rates(2.4, 1.6)),
    ("R(D) =", "does not hold", rates(10.0, -6.0)),
    ("R(D) =", "depends", rates(10.0, 2.4)),
    (BIT, "holds", {"summary": errors(0.05, rate_bits=3.0)}),
    (BIT, "does not hold", {"summary": errors(0.05, rate_bits=30.0)}),
    (BIT, "undecided", {"summary": errors(0.4, rate_bits=16.2)}),
    (CONSTANT, "holds", saturates(0.5, 0.4, 0.6)),
    (CONSTANT, "does not hold", saturates(0.05, 0.04, 0.06, peaked=0.01)),
    (CONSTANT, "depends", saturates(0.5, 0.4, 0.6, peaked=0.01)),
    (CONSTANT, "does not hold", STOPS),
    (CONSTANT, "undecided", saturates(9.0, 5.0, 15.0)),
    (SQUARED, "does not hold", coins(0.01)),
    (SQUARED, "holds", coins(0.01, -1.2)),
    (SQUARED, "undecided", coins(0.5, -0.55)),
    ("p < 0.001", "does not hold", coins(0.01)),
    ("p < 0.001", "holds", coins(0.01) | {"summary": alternating(0.01)}),
    ("p < 0.001", "undecided", coins(0.4, -0.2)),
    (RATIO, "holds", ratio("attention block", 2.3, 2.2, 2.5)),
    (RATIO, "does not hold", ratio("attention block", 0.5, 0.4, 0.6)),
    (RATIO, "undecided", ratio("attention block", 2.3, 1.9, 2.5)),
]


@pytest.mark.parametrize(("claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(claim: str, verdict: str, tables: Any, read: Callable[..., Finding]) -> None:
    assert read(CLAIMS, claim, tables).word == verdict


def test_every_claim_is_tested(covers: Callable[..., None]) -> None:
    covers(CLAIMS, [claim for claim, *_ in CASES])


def test_the_r_squared_of_the_fit_is_that_of_its_definition(read: Callable[..., Finding]) -> None:
    """Errors n^-0.6 without scatter: one minus residual over total sum of squares of the best alpha/sqrt(n)."""
    found = read(CLAIMS, SQUARED, coins(1e-9, -0.6))
    n = 2.0 ** np.arange(4, 12)
    x, y = n**-0.5, n**-0.6
    alpha = np.linalg.lstsq(x[:, None], y, rcond=None)[0]
    assert found.estimate == pytest.approx(1 - ((y - alpha * x) ** 2).sum() / ((y - y.mean()) ** 2).sum(), rel=1e-6)


def test_the_control_needs_coins_and_mentions_blocks(read: Callable[..., Finding]) -> None:
    flips = coins(0.01)
    for verdict, words in (("1/sqrt(N)", "; attention blocks 0.500 to 0.500"), ("floor", "R^2 = 0.9900")):
        block = fit("toy", verdict, family="attention block", r_squared=0.5)
        assert read(CLAIMS, SQUARED, flips | {"fits": [*flips["fits"], block]}).sentence.endswith(words)
    unfitted = fit("fair coin", "undecided", np.nan, family="coin flips")
    assert read(CLAIMS, SQUARED, flips | {"fits": [unfitted]}).verdict == "not measured: no fit of these curves"
