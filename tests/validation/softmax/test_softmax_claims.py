"""Claims about softmax circuits: opposite tables give opposite verdicts, noise about a threshold gives none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from biospike.ideal.softmax import softmax
from biospike.theory.regularity import biased_renewal_tv
from validation.softmax.claims import CLAIMS
from validation.study.claims import Finding

Row = dict[str, Any]
LOGITS = np.array([[0.0, -1.0, -2.0], [0.0, -0.2, -0.4]])


def row(circuit: str, tv: float = 0.1, half: float = 0.001, **more: Any) -> Row:
    """Row of the longest window; the law of every circuit is 0.1."""
    known = {"circuit": circuit, "tv": tv, "tv_low": tv - half, "tv_high": tv + half, "tv_expected": 0.1}
    known |= {"limit_tv": 0.0, "bias_tv": 0.01, "bias_floor": 0.01, "spikes_per_row": 1000.0, "isi_cv": 1.0}
    return known | {"rows": 2, "trials": 8, "window_ms": 2000.0} | more


def fit(circuit: str, verdict: str) -> Row:
    return {"circuit": circuit, "order": -0.5, "order_low": -0.52, "order_high": -0.48, "verdict": verdict,
            "reason": "few trials" if verdict == "undecided" else ""}  # fmt: skip


def counts(circuits: list[str], logits: np.ndarray = LOGITS) -> xr.Dataset:
    """Counts of 1000 spikes a row, near softmax."""
    p = softmax(logits)
    spikes = np.rint(1000 * p)[None, None, :, :, None].repeat(len(circuits), 0).repeat(2, 1).astype(int)
    return xr.Dataset(
        {"spike_count": (("circuit", "trial", "row", "key", "checkpoint"), spikes),
         "logits": (("row", "key"), logits), "limit": (("circuit", "row", "key"), p[None].repeat(len(circuits), 0))},
        coords={"circuit": circuits},
    )  # fmt: skip


def renewal() -> float:
    """Law of a Poisson code at the counts of `counts`."""
    p = softmax(LOGITS)
    spikes = counts(["race"])["spike_count"].isel(circuit=0, checkpoint=-1).sum("key").values
    return float(biased_renewal_tv(p, spikes, 1.0, p).mean())


def bias(circuit: str, low: float, high: float) -> Row:
    return row(circuit, bias_low=low, bias_high=high)


def fits(verdict: str) -> dict[str, Any]:
    return {"summary": [row("subtractive")], "convergence": [fit("subtractive", verdict)]}


def orders(*verdicts: str) -> dict[str, Any]:
    names = ["race", "escape"]
    return {"summary": [row(name) for name in names],
            "convergence": [fit(name, v) for name, v in zip(names, verdicts, strict=True)]}  # fmt: skip


def keys(*verdicts: str) -> dict[str, Any]:
    names = ["integrate", "divisive"]
    return {"summary": [row(name) for name in names],
            "convergence": [fit(name, v) for name, v in zip(names, verdicts, strict=True)]}  # fmt: skip


def law(tv: float, half: float) -> dict[str, Any]:
    return {"summary": [row("race", tv, half)], "counts": counts(["race"])}


def controls(tv: float, half: float = 1e-5) -> dict[str, Any]:
    return {"summary": [row("self_inhibition", tv, half), row("none", 0.001)], "counts": counts(["none"])}


def floors(*tv: float) -> dict[str, Any]:
    curve = [row("x", one, 1e-4, feedback="mean", w=0.1 * place) for place, one in enumerate(tv, 1)]
    return {"summary": [row("subtractive", 0.2)], "floor_curve": curve}


def member(k: float, ratio: float) -> Row:
    return row("escape", 0.1 * ratio, 0.002, k=k, cv_law=0.1)


def elsewhere(circuits: list[Row], kind: str = "flat") -> list[Row]:
    """Rows of ``row_sets.csv`` of another kind."""
    return [one | {"rows_kind": kind} for one in circuits]


NETWORK, SHARES = "the lateral-inhibition network", "a key that inhibits itself"
CASES = [
    ("lateral inhibition by the mean", "holds", {"summary": [row("subtractive", 0.002)]}),
    ("lateral inhibition by the mean", "does not hold", {"summary": [row("subtractive", 0.2, limit_tv=0.2)]}),
    ("lateral inhibition by the mean", "undecided", {"summary": [row("subtractive", 0.0105, 0.002)]}),
    ("lateral inhibition by the mean", "does not hold", floors(0.0227, 0.187)),
    ("lateral inhibition by the mean", "depends", floors(0.001, 0.187)),
    ("a small error", "does not hold", {"summary": [row("none", 0.0008, 0.0001, rate_spread=0.66)]}),
    ("a small error", "holds", {"summary": [row("none", 0.1, rate_spread=0.66)]}),
    ("a small error", "not measured", {"summary": [row("none", 0.0008, 0.0001, rate_spread=0.01)]}),
    ("a small error", "undecided", {"summary": [row("none", 0.01, rate_spread=0.66)]}),
    ("the same law where nothing", "holds", {"regularity": [member(1.0, 1.01), member(2.0, 0.99)]}),
    ("the same law where nothing", "does not hold", {"regularity": [member(64.0, 1.5)]}),
    ("the same law where nothing", "depends", {"regularity": [member(1.0, 1.01), member(64.0, 1.5)]}),
    ("the same law where nothing", "undecided", {"regularity": [member(1.0, 1.05)]}),
    ("inhibition by a common", "holds", {"summary": [bias("race", 0.0, 0.004), bias("escape", 0.0, 0.005)]}),
    ("inhibition by a common", "does not hold", {"summary": [bias("race", 0.02, 0.03)]}),
    ("inhibition by a common", "depends", {"summary": [bias("race", 0.0, 0.004), bias("escape", 0.02, 0.03)]}),
    ("inhibition by a common", "undecided", {"summary": [bias("race", 0.005, 0.015)]}),
    ("inhibition by a common", "undecided", {"summary": [row("race")]}),
    (NETWORK, "holds", fits("1/sqrt(N)")),
    (NETWORK, "holds", fits("1/N")),
    (NETWORK, "does not hold", fits("floor")),
    (NETWORK, "undecided", fits("undecided")),
    ("spiking softmax errs as 1/sqrt(N)", "holds", orders("1/sqrt(N)", "1/sqrt(N)")),
    ("spiking softmax errs as 1/sqrt(N)", "does not hold", orders("1/N", "floor")),
    ("spiking softmax errs as 1/sqrt(N)", "depends", orders("1/N", "1/sqrt(N)")),
    ("spiking softmax errs as 1/sqrt(N)", "undecided", orders("1/sqrt(N)", "undecided")),
    ("TV = (2 pi N)^-1/2", "holds", law(0.101, 0.002)),
    ("TV = (2 pi N)^-1/2", "does not hold", law(0.12, 0.002)),
    ("TV = (2 pi N)^-1/2", "undecided", law(0.127, 0.05)),
    ("regular keys", "holds", keys("1/N", "1/N")),
    ("regular keys", "does not hold", keys("between", "1/sqrt(N)")),
    ("regular keys", "undecided", keys("1/N", "undecided")),
    ("V(r) = sum", "holds", {"summary": [bias("subtractive", 0.0, 0.002)]}),
    ("V(r) = sum", "does not hold", {"summary": [bias("subtractive", 0.2, 0.21)]}),
    ("V(r) = sum", "undecided", {"summary": [bias("subtractive", 0.0, 0.02)]}),
    ("TV = CV of the intervals", "holds", law(renewal(), 0.01 * renewal())),
    ("TV = CV of the intervals", "does not hold", law(1.4 * renewal(), 0.01 * renewal())),
    ("TV = CV of the intervals", "undecided", law(1.1 * renewal(), 0.05 * renewal())),
    ("keys more than 5 nats", "not measured", {"counts": counts(["race"])}),
    ("keys more than 5 nats", "holds", {"counts": counts(["race"], np.array([[0.0, 0.0, -5.1]] * 2))}),
    ("keys more than 5 nats", "does not hold", {"counts": counts(["race"], np.array([[0.0, *[-5.1] * 9]] * 2))}),
    ("keys more than 5 nats", "depends", {"counts": counts(["race"], np.array([[0.0, *[-5.1] * 9], [0.0] * 10]))}),
    ("shunting", "holds", {"summary": [row("shunting", 0.005)]}),
    ("shunting", "does not hold", {"summary": [row("shunting", 0.13)]}),
    ("shunting", "undecided", {"summary": [row("shunting", 0.01)]}),
    ("noisy LIF", "holds", {"summary": [bias("diffusive", 0.0, 0.008)]}),
    ("noisy LIF", "does not hold", {"summary": [bias("diffusive", 0.11, 0.12)]}),
    ("noisy LIF", "undecided", {"summary": [bias("diffusive", 0.0, 0.05)]}),
    (SHARES, "holds", controls(0.0001)),
    (SHARES, "does not hold", controls(0.0018)),
    (SHARES, "undecided", controls(0.0005, 0.0002)),
]


GATES = {"summary": [bias("race", 0.0, 0.004), bias("escape", 0.0, 0.005)]}
ROOTS = orders("1/sqrt(N)", "1/sqrt(N)")
ON_OTHER_ROWS = [
    # The same there: holds of all.
    ("inhibition by a common", "holds", GATES, [bias("race", 0.0, 0.004)]),
    ("inhibition by a common", "depends: on the rows (", GATES, [bias("race", 0.02, 0.03)]),
    ("inhibition by a common", "undecided: race on flat rows (", GATES, [bias("race", 0.0, 0.03)]),
    ("lateral inhibition by the mean", "depends: on the rows (", {"summary": [row("subtractive", 0.2)]},
     [row("subtractive", 0.002)]),
    (NETWORK, "depends: on the rows (", fits("floor"), [row("subtractive") | fit("subtractive", "1/N")]),
    ("spiking softmax errs as 1/sqrt(N)", "depends: on the rows (", ROOTS, [row("race") | fit("race", "1/N")]),
    ("spiking softmax errs as 1/sqrt(N)", "depends: on the circuit (", orders("1/N", "1/sqrt(N)"), []),
    ("spiking softmax errs as 1/sqrt(N)", "depends: on the circuit and the rows (", orders("1/N", "1/sqrt(N)"),
     [row("race") | fit("race", "1/sqrt(N)")]),
    ("TV = (2 pi N)^-1/2", "depends: on the rows (", law(0.101, 0.002), [row("race", 0.12, 0.002)]),
    ("regular keys", "depends: on the rows (", keys("1/N", "1/N"), [row("divisive") | fit("divisive", "between")]),
    ("V(r) = sum", "depends: on the rows (", {"summary": [bias("subtractive", 0.2, 0.21)]},
     [bias("subtractive", 0.0, 0.002)]),
    ("TV = CV of the intervals", "depends: on the rows (", law(renewal(), 0.01 * renewal()),
     [row("race", 0.1, 0.001, cv_law=0.07)]),
    ("shunting", "depends: on the rows (", {"summary": [row("shunting", 0.13)]}, [row("shunting", 0.005)]),
    ("noisy LIF", "depends: on the rows (", {"summary": [bias("diffusive", 0.11, 0.12)]},
     [bias("diffusive", 0.0, 0.008)]),
    (SHARES, "depends: on the rows (", controls(0.0018), [row("self_inhibition", 0.0001, 1e-5), row("none", 0.001)]),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "begins", "tables", "there"), ON_OTHER_ROWS)
@pytest.mark.parametrize("kind", ["flat", "peaked"])
def test_a_verdict_that_other_rows_turn_over_depends_on_them(
    claim: str, begins: str, tables: Any, there: list[Row], kind: str, read: Callable[..., Finding]
) -> None:
    found = read(CLAIMS, claim, tables | ({"row_sets": elsewhere(there, kind)} if there else {}))
    assert found.verdict.startswith(begins.replace("flat", kind))
    for one in there:
        if one["circuit"] == "none":  # the trivial read-out of those rows
            continue
        assert f"; on {kind} rows" in found.sentence
        assert f"{one['circuit']} TV {one['tv']:.3g}" in found.sentence


def test_a_member_of_the_family_names_its_windows(read: Callable[..., Finding]) -> None:
    windows = [member(2.0, ratio) | {"spikes_per_row": n} for ratio, n in ((1.5, 30.0), (1.0, 500.0), (1.01, 1000.0))]
    found = read(CLAIMS, "the same law where nothing", {"regularity": windows})
    assert found.verdict.endswith("(holds: k = 2 (500/1000); does not hold: k = 2 (30))")


@pytest.mark.parametrize(("claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(claim: str, verdict: str, tables: Any, read: Callable[..., Finding]) -> None:
    assert read(CLAIMS, claim, tables).word == verdict


def test_every_claim_is_tested(covers: Callable[..., None]) -> None:
    covers(CLAIMS, [claim for claim, *_ in CASES])


def test_undecided_names_the_trials_that_would_decide(read: Callable[..., Finding]) -> None:
    # Half an interval of 0.002 over 8 trials must shrink to 0.0005, by a factor of 4: 16 times the trials.
    found = read(CLAIMS, "lateral inhibition by the mean", {"summary": [row("subtractive", 0.0105, 0.002)]})
    assert found.verdict == "undecided: about 128 trials would decide"


def test_trivial_read_outs_stand_beside_the_circuit(read: Callable[..., Finding]) -> None:
    found = read(CLAIMS, "lateral", controls(0.01) | {"summary": [row("subtractive"), row("none", 0.0008)]})
    p = softmax(LOGITS)
    uniform, largest = 0.5 * np.abs(p - 1 / 3).sum(axis=1).mean(), 1 - p.max(axis=1).mean()
    assert (
        found.control == f"uniform shares TV {uniform:.3f}, the largest key alone {largest:.3f}, no inhibition 0.0008"
    )
