"""Claims on rank: opposite tables give opposite verdicts, noise about a threshold gives none."""

import pytest

from validation.rank.claims import CLAIMS


def operation(name, *rows, **common):
    """Rows of (kind, rank, rank_after, affine_rank, affine_rank_after)."""
    names = ("kind", "rank", "rank_after", "affine_rank", "affine_rank_after")
    base = {"operation": name, "tokens": 16, "features": 12, "heads": 3, "samples": 8, "listed": True,
            "through_origin": True}  # fmt: skip
    return {"operations": [base | dict(zip(names, row, strict=True)) | common for row in rows]}


def norm(*pairs, **common):
    return operation("layer norm", *((f"tokens {k}", b, a, b, a) for k, (b, a) in enumerate(pairs)), **common)


def residual(*pairs):
    return operation("residual attention", *((f"tokens {k}", b, a, b, a) for k, (b, a) in enumerate(pairs)))


def aligned(out, behind):
    heads = operation("aligned heads", ("n 4", 4, out, 3, out))["operations"]
    return {"operations": heads + operation("mlp behind aligned heads", ("n 4", out, behind, out, 3))["operations"]}


def kernels(*found, gates="none", name="toy"):
    return [
        {"weights": f"{name}, {k}", "gates": gates, "n": 4, "heads": 12, "width": 64, "kernel_stated": 8,
         "kernel_found": one, "kernel_literal": 0, "condition": 5.0}
        for k, one in enumerate(found)
    ]  # fmt: skip


def mixing(*found):
    return {"kernel": kernels(*found)}


def shape(width):
    row = {"weights": "BERT-base shape, generic", "gates": "none", "heads": 12, "width": width}
    return {"kernel": [row]}


def gated(scalar, channels):
    base = {"weights": "aligned behind gates", "heads": 4, "width": 4}
    left = {"none": 96, "scalar": scalar, "channels": channels}
    return {"kernel": [base | {"gates": gates, "kernel_found": found} for gates, found in left.items()]}


def fell(stack, quantity, *values):
    """Rows of (value, half of its interval)."""
    rows = [
        {"stack": stack, "window": 100.0 * (k + 1), "quantity": quantity, "value": value, "low": value - half,
         "high": value + half, "trials": 16, "spikes": 10.0 * (k + 1)}
        for k, (value, half) in enumerate(values)
    ]  # fmt: skip
    return {"collapse": rows}


def told(regularity, *values):
    rows = [
        {"coupling": coupling, "regularity": regularity, "cv": regularity**-0.5, "trains": 300, "intervals": 200,
         "features": 21, "correlation": value, "low": value - half, "high": value + half}
        for coupling, (value, half) in zip(("independent", "one gate", "routed"), values, strict=False)
    ]  # fmt: skip
    return {"heads": rows}


LISTED, ADDED = "LayerNorm keeps the affine rank of tokens under", "LayerNorm keeps the affine rank if"
CODIMENSION, RESIDUAL = "tokens have codimension", "residual connections raise"
KERNEL, SIZE, GATES, ALIGNED = "heads are not identifiable", "gates of PG-OP", "gates on aligned", "aligned heads leave"
DONG, SHARES, FLOOR = "pure softmax attention", "sampled shares", "value spikes leave"
POISSON, REGULAR = "spike times of Poisson", "spike times of regular"
CASES = [
    (LISTED, "holds", norm((2, 2), (3, 3))),
    (LISTED, "does not hold", norm((2, 3), (3, 4))),
    (LISTED, "depends", norm((2, 2), (2, 3))),
    (LISTED, "not measured", norm((2, 2), listed=False)),
    (ADDED, "holds", norm((2, 2))),
    (ADDED, "does not hold", norm((2, 3))),
    (ADDED, "not measured", norm((2, 3), through_origin=False)),
    (CODIMENSION, "holds", norm((2, 2))),
    (CODIMENSION, "does not hold", norm((12, 12))),
    (CODIMENSION, "depends", norm((2, 2), (12, 11))),
    (RESIDUAL, "holds", residual((1, 4), (2, 8))),
    (RESIDUAL, "does not hold", residual((1, 1))),
    (RESIDUAL, "depends", residual((1, 1), (1, 4))),
    (KERNEL, "holds", mixing(8)),
    (KERNEL, "does not hold", mixing(0)),
    (KERNEL, "depends", mixing(0, 8)),
    (SIZE, "depends", shape(64)),
    (SIZE, "does not hold", shape(32)),
    (GATES, "holds", gated(0, 0)),
    (GATES, "does not hold", gated(96, 96)),
    (GATES, "depends", gated(96, 0)),
    (ALIGNED, "holds", aligned(2, 4)),
    (ALIGNED, "does not hold", aligned(3, 3)),
    (ALIGNED, "depends", aligned(2, 2)),
    (DONG, "holds", fell("exact", "exponent", (3.0, 0.1))),
    (DONG, "does not hold", fell("exact", "exponent", (1.2, 0.1))),
    (DONG, "undecided", fell("exact", "exponent", (2.5, 0.1))),
    (SHARES, "holds", fell("shares", "factor over law", (1.0, 0.05))),
    (SHARES, "does not hold", fell("shares", "factor over law", (1.3, 0.05))),
    (SHARES, "undecided", fell("shares", "factor over law", (1.1, 0.05))),
    (FLOOR, "holds", fell("values", "floor over law", (1.0, 0.05))),
    (FLOOR, "does not hold", fell("values", "floor over law", (0.2, 0.05))),
    (FLOOR, "depends", fell("values", "floor over law", (1.0, 0.05), (0.2, 0.05))),
    (FLOOR, "undecided", fell("values", "floor over law", (0.9, 0.05))),
    (POISSON, "holds", told(1.0, (0.0, 0.1))),
    (POISSON, "does not hold", told(1.0, (0.8, 0.1))),
    (POISSON, "undecided", told(1.0, (0.2, 0.1))),
    (REGULAR, "holds", told(4.0, (0.8, 0.1))),
    (REGULAR, "does not hold", told(4.0, (0.0, 0.1))),
    (REGULAR, "depends", told(4.0, (0.8, 0.1), (0.0, 0.1))),
    (REGULAR, "undecided", told(4.0, (0.25, 0.1))),
    (REGULAR, "not measured", told(1.0, (0.8, 0.1))),
]


@pytest.mark.parametrize(("claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(claim, verdict, tables, read):
    assert read(CLAIMS, claim, tables).word == verdict


def test_every_claim_is_tested(covers):
    covers(CLAIMS, [claim for claim, *_ in CASES])
