"""Claims about the rank of tokens and heads, as read off the tables of the study."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from biospike.theory import paper
from validation.rank import operations
from validation.study.claims import OURS, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.verdict import Case

CLAIMS = Claims()
REPORTED = f"{paper.RANK}, by {paper.DIGEST}"
IMPLIED = f"{paper.RANK}, in whose theory it is a step"
DONG = "arXiv:2103.03404"

CUBED = 0.5
"""Near equal tokens softmax cubes their differences: an exponent so near 3 is neither that of a square nor a fourth."""
CLOSE = 0.1
"""A law of noise holds if the interval is within a tenth of it: a fifth of the spikes is then accounted for."""
TOLD = 0.25
"""Correlation of estimate and truth that explains a sixteenth of the variance: below nothing is told, above it is."""
GATES = 0.016
"""Parameters of gates over those of what they gate, as reported: below 1.6 %."""


def _operations(results: Results, operation: str) -> pd.DataFrame:
    return results.table("operations", operation=operation)


def _drawn(row: pd.Series) -> str:
    return f"{row['tokens']:.0f} tokens of {row['features']:.0f} features, {row['samples']:.0f} random draws each"


@CLAIMS.add("LayerNorm keeps the affine rank of tokens under the listed non-degeneracy", REPORTED, kind="reported",
            place="LayerNorm theorem")  # fmt: skip
def layer_norm(results: Results) -> Finding:
    """Affine ranks before and after, of tokens for which all listed hypotheses hold."""
    rows = _operations(results, operations.LAYER_NORM)
    rows = rows[rows["listed"].astype(str) == "True"]
    if rows.empty:
        raise Missing("no tokens fulfil the hypotheses")
    return judged(
        "affine rank before and after: " + _before_after(rows),
        [_equal(row.kind, row.affine_rank_after - row.affine_rank) for row in rows.itertuples()],
        on="whether the tokens' flat passes through the origin, which no listed hypothesis asks",
        decision="identity",
        conditions=_drawn(rows.iloc[0]) + "; tokens of full rank fulfil the hypotheses nowhere",
    )


@CLAIMS.add("LayerNorm keeps the affine rank if, besides, the tokens' flat passes through the origin", OURS)
def through_origin(results: Results) -> Finding:
    """The same, with the hypothesis that was missing."""
    rows = _operations(results, operations.LAYER_NORM)
    rows = rows[(rows["listed"].astype(str) == "True") & (rows["through_origin"].astype(str) == "True")]
    if rows.empty:
        raise Missing("no tokens fulfil the hypotheses")
    return judged(
        "affine rank before and after: " + _before_after(rows),
        [_equal(row.kind, row.affine_rank_after - row.affine_rank) for row in rows.itertuples()],
        on="the tokens",
        decision="identity",
        conditions=_drawn(rows.iloc[0]),
    )


def _before_after(rows: pd.DataFrame) -> str:
    return "; ".join(f"{row.kind}: {row.affine_rank:.0f} to {row.affine_rank_after:.0f}" for row in rows.itertuples())


def _equal(name: str, difference: float) -> Case:
    return Case.exact(str(name), float(difference), least=0.0, most=0.0)


@CLAIMS.add("tokens have codimension (n - r)(d - r) of at least 1", IMPLIED, kind="implied",
            place="the LayerNorm theorem is generic in tokens of such rank")  # fmt: skip
def codimension(results: Results) -> Finding:
    """Codimension of matrices of the rank of the tokens."""
    rows = _operations(results, operations.LAYER_NORM)
    cases = [Case.exact(row.kind, (row.tokens - row.rank) * (row.features - row.rank), least=1.0)
             for row in rows.itertuples()]  # fmt: skip
    return judged(
        "; ".join(f"{case.name}: {case.estimate:.0f}" for case in cases),
        cases,
        on="the rank r of the tokens: at full rank it is 0",
        decision="closed form",
        conditions=_drawn(rows.iloc[0]),
    )


@CLAIMS.add("residual connections raise the rank of tokens generically", REPORTED, kind="reported",
            place="residual theorem")  # fmt: skip
def residual(results: Results) -> Finding:
    """Rank before and after attention that is added to the tokens."""
    rows = _operations(results, operations.RESIDUAL)
    return judged(
        "rank before and after: "
        + "; ".join(f"{row.kind}: {row.rank:.0f} to {row.rank_after:.0f}" for row in rows.itertuples()),
        [Case.exact(row.kind, row.rank_after - row.rank, least=1.0) for row in rows.itertuples()],
        on="the tokens: a collapse that has happened is not undone",
        decision="every case",
        threshold_from="one more",
        conditions=_drawn(rows.iloc[0]) + f", {rows.iloc[0]['heads']:.0f} heads",
    )


@CLAIMS.add("heads are not identifiable in n(H - 1)d_k dimensions: 8 of the toy, 360,448 of BERT-base", REPORTED,
            kind="reported", place="identifiability of heads")  # fmt: skip
def kernel(results: Results) -> Finding:
    """Kernel of the mixing by W_O over what is reported."""
    rows = results.table("kernel", gates="none")
    rows = rows[rows["weights"] != "aligned behind gates"]
    worst = rows["condition"].max()
    return judged(
        "dimensions found of those reported: "
        + "; ".join(f"{row.weights}: {row.kernel_found} of {row.kernel_stated}" for row in rows.itertuples()),
        [Case.exact(row.weights, row.kernel_found / row.kernel_stated, least=1.0, most=1.0)
         for row in rows.itertuples()],
        on="the weights: it takes heads that all write to the same d_k dimensions, rank W_O = d_k",
        decision="closed form",
        control=f"a W_O of full rank may still be ill conditioned, here up to {worst:.3g}",
        conditions="reading: kernel of (Y_h) to sum_h Y_h W_h, n(H d_k - rank W_O); that of Y to the single Y_h W_h "
        "where they sum to 0 is "
        + ("0 everywhere" if not rows["kernel_literal"].any() else "not 0 either"),
    )  # fmt: skip


@CLAIMS.add("gates of PG-OP take less than 1.6 % of the parameters of W_O", REPORTED, kind="reported", place="PG-OP")
def gate_size(results: Results) -> Finding:
    """The two readings of the gates, at the shape of BERT-base."""
    row = results.table("kernel", weights="BERT-base shape, generic").iloc[0]
    features = row["heads"] * row["width"]
    fractions = {"scalar": 1 / row["width"], "channels": features / row["width"]}
    return judged(
        "; ".join(f"{gates} gates {fraction:.4%}" for gates, fraction in fractions.items()),
        [Case.exact(f"{gates} gates", fraction, most=GATES) for gates, fraction in fractions.items()],
        on="the reading",
        decision="closed form",
        threshold_from="as reported",
        conditions="gates read off the tokens by one linear map; their formula is in no source at hand",
    )


@CLAIMS.add("gates on aligned heads make them identifiable", REPORTED, kind="reported",
            place="PG-OP, which is meant to")  # fmt: skip
def gates(results: Results) -> Finding:
    """Kernel that gates leave."""
    rows = results.table("kernel", weights="aligned behind gates")
    before = rows[rows["gates"] == "none"]["kernel_found"].iloc[0]
    rows = rows[rows["gates"] != "none"]
    return judged(
        "; ".join(f"{row.gates} gates: {before} to {row.kernel_found}" for row in rows.itertuples()),
        [Case.exact(f"{row.gates} gates", row.kernel_found, most=0.0) for row in rows.itertuples()],
        on="the gates: one a head and token scales what is lost, one an output feature turns it",
        decision="closed form",
        threshold_from="no dimension left",
        conditions=f"{rows.iloc[0]['heads']:.0f} aligned heads of width {rows.iloc[0]['width']:.0f}",
    )


@CLAIMS.add("aligned heads leave tokens of rank at most 2, which the MLP must expand", REPORTED, kind="reported",
            place="bottleneck of aligned heads")  # fmt: skip
def bottleneck(results: Results) -> Finding:
    """Rank of the outputs of aligned heads of width 2, and behind an MLP."""
    aligned, behind = (_operations(results, name) for name in (operations.ALIGNED, operations.MLP))
    return judged(
        "; ".join(f"{row.kind}: {row.rank_after:.0f} dimensions, {after.rank_after:.0f} behind an MLP of width 4d"
                  for row, after in zip(aligned.itertuples(), behind.itertuples(), strict=True)),
        [
            *(Case.exact(f"heads, {row.kind}", row.rank_after, most=2.0) for row in aligned.itertuples()),
            *(Case.exact(f"MLP, {row.kind}", row.rank_after - row.rank, least=1.0) for row in behind.itertuples()),
        ],
        on="the size",
        decision="every case",
        threshold_from="2 dimensions, and more behind the MLP",
        conditions="heads of width 2, as in the toy; ReLU, biases, random weights",
    )  # fmt: skip


@CLAIMS.add(
    "pure softmax attention loses rank doubly exponentially with depth", DONG, kind="stated", place="theorem 2.2"
)
def doubly_exponential(results: Results) -> Finding:
    """Exponent of the dispersion from layer to layer."""
    rows = results.table("collapse", quantity="exponent")
    return judged(
        "a layer raises the dispersion to the power "
        + "; ".join(f"{r.value:.2f} ({r.stack})" for r in rows.itertuples()),
        [_case(row, least=3 - CUBED, most=3 + CUBED) for row in rows.to_dict("records")],
        on="the layer norm",
        threshold_from=f"3, within {CUBED:g}",
        conditions="exact attention, random weights, in the last layer above rounding",
    )


@CLAIMS.add("sampled shares make tokens equal by a factor sqrt((1 - 1/n)/N) a layer, without a floor", OURS)
def shares(results: Results) -> Finding:
    """Factor from layer to layer over its law."""
    rows = results.table("collapse", stack="shares")
    return _law(
        rows, "factor over its law", "values known exactly, shares of the circuit's spikes, behind the second layer"
    )


@CLAIMS.add("value spikes leave tokens a floor of sqrt((1 - 1/n) sum x(1 - x)/(N sum x^2))", OURS)
def floor(results: Results) -> Finding:
    """Dispersion behind the first layer over its floor."""
    rows = results.table("collapse", stack=["values", "network"])
    return _law(rows, "dispersion over its floor",
                "`values`: decoded and encoded again between layers; `network`: never")  # fmt: skip


def _law(rows: pd.DataFrame, what: str, conditions: str) -> Finding:
    cases = [_case(row, least=1 - CLOSE, most=1 + CLOSE) for row in rows.to_dict("records")]
    return judged(
        f"{what}: " + "; ".join(f"{case.name} {case.estimate:.3f}" for case in cases),
        cases,
        on="the stack and the window",
        threshold_from=f"the law, within {CLOSE:g} of it",
        conditions=conditions + "; pure attention, 1 head",
    )


def _case(row: dict[str, Any], least: float, most: float) -> Case:
    name = str(row["stack"]) if pd.isna(row["window"]) else f"{row['stack']}, N {row['spikes']:.0f}"
    values = {key: row[column] for key, column in (("estimate", "value"), ("low", "low"), ("high", "high"))}
    return Case(name=name, **values, trials=row["trials"], least=least, most=most)


HEADS = ["independent", "one gate", "routed"]


@CLAIMS.add("spike times of Poisson trains do not tell how two heads share an output", OURS)
def poisson(results: Results) -> Finding:
    """Held-out correlation at CV = 1, where no estimator can have any."""
    return _correlations(results.table("heads", regularity=1.0, coupling=HEADS), least=-TOLD, most=TOLD)


@CLAIMS.add("spike times of regular trains tell how two heads share an output", OURS)
def regular(results: Results) -> Finding:
    """Held-out correlation of neurons more regular than Poisson."""
    rows = results.table("heads", coupling=HEADS)
    return _correlations(rows[rows["regularity"] > 1], least=TOLD)


def _correlations(rows: pd.DataFrame, least: float, most: float = np.inf) -> Finding:
    if rows.empty:
        raise Missing("no such trains were recorded")
    first = rows.iloc[0]
    return judged(
        "correlation of true and estimated share: "
        + "; ".join(f"{row.coupling}, CV {row.cv:.2f}: {row.correlation:.2f}" for row in rows.itertuples()),
        [
            Case(name=f"{row.coupling}, k = {row.regularity:g}", estimate=row.correlation, low=row.low, high=row.high,
                 least=least, most=most)
            for row in rows.itertuples()
        ],
        on="the trains",
        threshold_from=f"a correlation of {TOLD:g}",
        control="a dead time of half an interval tells it of Poisson-like trains as well",
        conditions=f"{first['trains']:.0f} merged trains of {first['intervals']:.0f} mean intervals, half held out; "
        f"ridge regression on {first['features']:.0f} features; intervals by bootstrap over trains",
    )  # fmt: skip
