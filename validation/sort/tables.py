"""Tables of the sorting study: the theorems as identities, and how often every method finds the order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from biospike import parts
from biospike.provenance import code_digest
from biospike.theory.score_schur import (
    RIDGE,
    TOLERANCE,
    causal_order,
    information,
    kernel_information,
    linear_information,
    marginal,
    variance_order,
    violations,
)
from validation.sort import neurons, systems
from validation.sort.systems import Samples

Array = NDArray[np.float64]

ORDERS = ["system", "size", "samples", "method", "exact", "trials", "low", "high", "violated"]
MEANINGS = {
    "system": "where the samples come from",
    "size": "nodes",
    "method": "`score_schur`: leaf by leaf, from the inverse covariance; `blocks`: leaves within 5 % together, ridge "
    "1e-4; `kernel`: from the kernel Stein estimator; `variance`: sorted by variance; `lags`: by who spikes after "
    "whom; `random`: any order",
    "exact": "fraction of trials in which no effect comes before its cause, `low` and `high` its 95 % interval "
    "(Clopper and Pearson)",
    "violated": "fraction of edges whose effect comes first, mean over trials",
}
"""Columns of ``orders.csv``."""
THEOREMS = ["statement", "kind", "value", "expected", "draws"]
THEOREM_MEANINGS = {
    "statement": "`leaf`: fraction of random trees in which a leaf has the smallest diagonal, one after the other; "
    "`marginal`: largest difference of the Schur complement from the information of the rest; `form`: from that of a "
    "linear model without the node, relative; `gap`: information of a cause less its Schur complement "
    "over x2 = a x1^2 + b x1 + e",
    "kind": "over what",
    "value": "found, of `gap` by quadrature",
    "expected": "by the formula",
}
"""Columns of ``theorems.csv``."""
NODES, DRAWS = 20, 20
SIZES = ((20, (100, 200, 500)), (100, (150, 200, 500)))
"""Nodes of linear trees, and numbers of samples."""
SIGMAS = (0.5, 2.0)
"""Of unequal noise, deviations uniform between."""
GAPS = ((0.5, 1.0, 1.0), (1.0, -0.5, 0.5), (0.2, 2.0, 2.0))
"""a, b and s of nonlinear effects."""
SPIKING_MARGIN = 0.15
"""As `systems.MARGIN`, of units that are simulated, of which there are fewer samples."""
TREE, POOR, CURVE, CUBES = "tree, weights 0.5 to 1.5", "tree, weights 0.3 to 0.8", "tree of f-I curves", "tree of cubes"
LEAKY, BLOCK = "chain of LIF neurons", "attention block"


Draw = Callable[[], list[Samples]]
"""Draws the sets of samples of a system."""


class Sizes(NamedTuple):
    """Repetitions of each system, and how long or how many samples each is."""

    trees: int
    large_trees: int
    counts: int
    chains: int
    spiking: int
    spiking_samples: int
    leaky: int
    leaky_steps: int
    block: int
    block_samples: int


def theorems(seed: int) -> pd.DataFrame:
    """What is exact, columns `THEOREMS`."""
    rng = np.random.default_rng([seed, 0])
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(DRAWS):
        B = systems.tree(rng, NODES, systems.STRONG)
        leaves = np.flatnonzero(~B.any(axis=0))
        noise = rng.uniform(*SIGMAS, NODES) ** 2
        for kind, variance in (("equal noise", np.ones(NODES)), ("unequal noise", noise)):
            wrong = violations(causal_order(information(B, variance)), B)
            found.setdefault(("leaf", kind), []).append(float(wrong == 0))
        info, covariance = information(B), np.linalg.inv(information(B))
        for kind, nodes in (("a leaf", leaves), ("an inner node", np.setdiff1d(np.arange(NODES), leaves))):
            node = int(rng.choice(nodes))
            rest = np.delete(np.arange(NODES), node)
            left = marginal(info, [node])
            true, form = np.linalg.inv(covariance[np.ix_(rest, rest)]), information(B[np.ix_(rest, rest)])
            found.setdefault(("marginal", kind), []).append(float(np.abs(left - true).max()))
            found.setdefault(("form", kind), []).append(float(np.abs(left - form).max() / np.abs(form).max()))
    rows: list[list[Any]] = [
        [statement, kind, float(np.mean(values) if statement == "leaf" else np.max(values)),
         1.0 if statement == "leaf" else 0.0, len(values)]
        for (statement, kind), values in found.items()
    ]  # fmt: skip
    rows += [["gap", f"a {a:g}, b {b:g}, s {s:g}", _gap(a, b, s), -4 * a**2 / s**2, 1] for a, b, s in GAPS]
    return pd.DataFrame(rows, columns=THEOREMS)


def _gap(a: float, b: float, s: float) -> float:
    """By quadrature over x1 ~ N(0, 1): information of x1 alone, 1, less the Schur complement of E[-Hessian log p]."""
    x, weights = np.polynomial.hermite_e.hermegauss(40)
    p, slope = weights / weights.sum(), 2 * a * x + b
    # Terms with the curvature of f times the residual vanish in the mean.
    info = np.array([[1 + (p * slope**2).sum() / s**2, -(p * slope).sum() / s**2], [0.0, 1 / s**2]])
    info[1, 0] = info[0, 1]
    return float(1 - marginal(info, [1])[0, 0])


Method = Callable[[Samples], Sequence[int]]
METHODS: dict[str, Method] = {
    "score_schur": lambda sample: causal_order(linear_information(sample.values)),
    "blocks": lambda sample: causal_order(linear_information(sample.values), TOLERANCE, RIDGE),
    "kernel": lambda sample: causal_order(kernel_information(sample.values)),
    "variance": lambda sample: variance_order(sample.values),
}
ALL, LINEAR = tuple(METHODS), ("score_schur", "blocks", "variance")


def orders(sizes: Sizes, seed: int, target: str, tick: Callable[[str], None] = lambda name: None) -> pd.DataFrame:
    """One row a system and method, columns `ORDERS`."""
    rows: list[dict[str, Any]] = []
    known = {"table": "orders", "sizes": sizes, "seed": seed, "code": code_digest()}
    for system, draw, methods in _systems(sizes, seed, target):
        tick(system)
        work = partial(_ordered, system, draw, methods, [seed, len(rows)])
        rows += parts.part(work, parts.PLAIN, **known, first=len(rows), target=target)
    tick(LEAKY)
    work = partial(_ordered_by_lags, sizes, seed)
    rows += parts.part(work, parts.PLAIN, **known, first=len(rows))
    return pd.DataFrame(rows)[ORDERS]


def _ordered(system: str, draw: Draw, methods: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of one system, of all its methods and of random orders."""
    samples, rng = draw(), np.random.default_rng(seeds)
    rows = [_row(system, samples, method, [METHODS[method](one) for one in samples]) for method in methods]
    nodes = len(samples[0].B)
    return [*rows, _row(system, samples, "random", [list(rng.permutation(nodes)) for _ in samples])]


def _ordered_by_lags(sizes: Sizes, seed: int) -> list[dict[str, Any]]:
    recorded = neurons.leaky_chain(sizes.leaky, sizes.leaky_steps, seed)
    samples = [one.samples for one in recorded]
    rows = [
        _row(LEAKY, samples, method, [METHODS[method](one) for one in samples])
        for method in ("score_schur", "variance")
    ]
    return [*rows, _row(LEAKY, samples, "lags", [neurons.lag_order(one.lags) for one in recorded])]


def _systems(sizes: Sizes, seed: int, target: str) -> Iterator[tuple[str, Draw, tuple[str, ...]]]:
    """Name, what draws the sets of samples, and the methods that are asked."""

    def repeated(number: int, make: Callable[[np.random.Generator], Samples], *place: int) -> Draw:
        return lambda: [make(np.random.default_rng([seed, *place, one])) for one in range(number)]

    for which, (name, weights) in enumerate(((TREE, systems.STRONG), (POOR, systems.WEAK))):
        for nodes, counts in SIZES:
            sets, methods = (sizes.trees, ALL) if nodes <= NODES else (sizes.large_trees, LINEAR)
            for size in counts:
                tree = partial(systems.linear, nodes=nodes, size=size, weights=weights)
                yield name, repeated(sets, tree, which, nodes, size), methods
    for name, curve in ((CURVE, systems.f_i_curve), (CUBES, systems.cube)):
        yield name, repeated(sizes.trees, partial(systems.nonlinear, nodes=10, size=500, curve=curve), 2), ALL
    for edges in systems.LENGTHS:
        for side, gain in zip(("below", "above"), systems.gains(edges), strict=True):
            units = partial(systems.poisson_chain, edges=edges, gain=gain, size=sizes.counts)
            yield f"Poisson chain, gain {side}", repeated(sizes.chains, units, 3, edges), LINEAR
    for edges in systems.LENGTHS[:3:2]:
        for side, gain in zip(("below", "above"), systems.gains(edges, SPIKING_MARGIN), strict=True):
            made = partial(neurons.poisson_units, edges, gain, sizes.spiking_samples, sizes.spiking, seed)
            yield f"spiking Poisson chain, gain {side}", made, LINEAR
    yield BLOCK, partial(_blocks, sizes, seed, target), LINEAR


def _blocks(sizes: Sizes, seed: int, target: str) -> list[Samples]:
    whole = neurons.attention_block(sizes.block * sizes.block_samples, seed, target)
    return [Samples(one, whole.B) for one in np.split(whole.values, sizes.block)]


def _row(system: str, samples: list[Samples], method: str, found: Sequence[Sequence[int]]) -> dict[str, Any]:
    wrong = [violations(order, one.B) for order, one in zip(found, samples, strict=True)]
    exact = sum(number == 0 for number in wrong)
    interval = stats.binomtest(exact, len(wrong)).proportion_ci(0.95)
    size, nodes = samples[0].values.shape
    return {
        "system": system, "size": nodes, "samples": size, "method": method, "exact": exact / len(wrong),
        "trials": len(wrong), "low": float(interval.low), "high": float(interval.high),
        "violated": float(np.mean(wrong) / (samples[0].B != 0).sum()),
    }  # fmt: skip
