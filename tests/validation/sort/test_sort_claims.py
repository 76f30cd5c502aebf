"""Claims on sorting: opposite tables give opposite verdicts, noise about a threshold gives none."""

import pytest

from validation.sort.claims import CLAIMS
from validation.sort.tables import BLOCK, CUBES, CURVE, LEAKY, POOR, TREE


def theorem(*rows):
    """Rows of (statement, kind, value, expected)."""
    names = ("statement", "kind", "value", "expected")
    return {"theorems": [dict(zip(names, row, strict=True)) | {"draws": 20} for row in rows]}


def leaf(equal, unequal):
    return theorem(("leaf", "equal noise", equal, 1.0), ("leaf", "unequal noise", unequal, 1.0))


def schur(leaf_form, inner_marginal):
    return theorem(("marginal", "a leaf", 1e-15, 0.0), ("marginal", "an inner node", inner_marginal, 0.0),
                   ("form", "a leaf", leaf_form, 0.0), ("form", "an inner node", 0.3, 0.0))  # fmt: skip


def gaps(*values):
    return theorem(*(("gap", f"a {k}", value, -1.0) for k, value in enumerate(values)))


def found(*rows):
    """Rows of (system, method, exact, half of its interval, violated)."""
    return {"orders": [
        {"system": system, "size": 20, "samples": 500, "method": method, "exact": exact, "trials": 20,
         "low": exact - half, "high": exact + half, "violated": violated}
        for system, method, exact, half, violated in rows
    ]}  # fmt: skip


RIVALS = ((TREE, "variance", 0.0, 0.1, 0.3), (TREE, "random", 0.0, 0.1, 0.5))


def linear(*violated):
    systems = (TREE, POOR)
    rows = [(systems[k], "score_schur", 1.0 - bool(v), 0.1, v) for k, v in enumerate(violated)]
    return found(*rows, *RIVALS)


def both(one, other, half=0.1, methods=("score_schur", "blocks"), system=TREE):
    rows = [(system, method, value, half, 0.0) for method, value in zip(methods, (one, other), strict=True)]
    return found(*rows)


def chains(below, above, half=0.1):
    return found(("Poisson chain, gain below", "score_schur", below, half, 0.0),
                 ("Poisson chain, gain above", "score_schur", above, half, 0.0))  # fmt: skip


def rival(*pairs, half=0.1):
    systems = (TREE, CUBES)
    return found(*((systems[k], method, value, half, 0.0) for k, pair in enumerate(pairs)
                   for method, value in zip(("score_schur", "variance"), pair, strict=True)))  # fmt: skip


def spiking(curve, block, leaky, half=0.1):
    values = ((CURVE, curve), (BLOCK, block), (LEAKY, leaky))
    rows = [(system, "score_schur", value, half, 0.3) for system, value in values]
    return found(*rows, (LEAKY, "lags", 1.0, 0.1, 0.0))


LEAF, SCHUR, GAP = "a leaf has the smallest", "in linear models the Schur", "in nonlinear models"
LINEAR, BLOCKS, CHAIN = "the order of linear models", "the version by blocks", "counts of a chain"
TRIVIAL, CIRCUITS = "sorting by Schur complements", "the order of populations"
CASES = [
    (LEAF, "holds", leaf(1.0, 1.0)),
    (LEAF, "does not hold", leaf(0.9, 0.1)),
    (LEAF, "depends", leaf(1.0, 0.2)),
    (SCHUR, "holds", schur(1e-15, 1e-15)),
    (SCHUR, "depends", schur(1e-3, 1e-15)),
    (SCHUR, "depends", schur(1e-15, 1e-3)),
    (GAP, "holds", gaps(-1.0)),
    (GAP, "does not hold", gaps(-0.5)),
    (GAP, "depends", gaps(-1.0, -0.5)),
    (LINEAR, "holds", linear(0.0, 0.0)),
    (LINEAR, "does not hold", linear(0.1, 0.2)),
    (LINEAR, "depends", linear(0.0, 0.2)),
    (BLOCKS, "holds", both(0.9, 0.85)),
    (BLOCKS, "does not hold", both(1.0, 0.1)),
    (BLOCKS, "undecided", both(1.0, 0.5)),
    (CHAIN, "holds", chains(0.0, 1.0)),
    (CHAIN, "does not hold", chains(1.0, 0.0)),
    (CHAIN, "undecided", chains(0.0, 0.5)),
    (CHAIN, "not measured", linear(0.0, 0.0)),
    (TRIVIAL, "holds", rival((1.0, 0.0))),
    (TRIVIAL, "does not hold", rival((0.0, 1.0))),
    (TRIVIAL, "depends", rival((1.0, 0.0), (1.0, 1.0))),
    (TRIVIAL, "undecided", rival((0.6, 0.5))),
    (CIRCUITS, "holds", spiking(1.0, 1.0, 1.0)),
    (CIRCUITS, "does not hold", spiking(0.0, 0.0, 0.0)),
    (CIRCUITS, "depends", spiking(1.0, 0.0, 0.0)),
    (CIRCUITS, "undecided", spiking(0.5, 0.5, 0.5)),
]


@pytest.mark.parametrize(("claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(claim, verdict, tables, read):
    assert read(CLAIMS, claim, tables).word == verdict


def test_every_claim_is_tested(covers):
    covers(CLAIMS, [claim for claim, *_ in CASES])
