"""Claims about the design rule, as read off the tables of the study.

The sources state a constant of "design rules" and no formula; T = C d_eff/eps^2 is how it is read here.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pandas as pd

from biospike.theory import paper
from validation.rule.record import ENCODING_ONLY
from validation.study.claims import IMPLIED, OURS, PAPER, REPORTED, REVIEWED, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.thresholds import TRIVIAL
from validation.study.verdict import FAILS, HOLDS, UNDECIDED, Case, settle
from validation.study.words import between, conditions

CLAIMS = Claims()
POWER_MARGIN = 0.5
"""Powers so near to 1 and 0 are told from 0 and 1: the middle between a dimension that enters and one that does not."""
PIXELS = 32 * 32 * 3
"""Values of an image of CIFAR-10, if it is the tensor whose dimension is published: no source says so."""
GUESS = 12**-0.5
"""Root mean square error of a constant for values uniform on [0, 1]."""
COVERS = "C's interval is a bootstrap over input sets, nominally 95 %, which covers 79 to 81 % for ten sets"


def _fits(results: Results, read_out: str) -> pd.DataFrame:
    rows = results.table("fits", read_out=read_out, norm="frobenius", encoder="bernoulli").dropna(subset=["C"])
    if rows.empty:
        raise Missing("no fit of this read-out")
    return rows


def _other_rates(results: Results, read_out: str) -> pd.DataFrame:
    """C through the attention at other rates of the row than the study's, which is the largest; empty without them."""
    if not (results.directory / "constant_curve.csv").is_file():
        return pd.DataFrame(columns=["circuit", "row_rate", "C", "low", "high"])
    rows = results.table("constant_curve")
    rows = rows[(rows["read_out"] == read_out) & (rows["row_rate"] < rows["row_rate"].max())]
    return rows.dropna(subset=["C"])


def _at_rate(row: Any) -> str:
    return f"{row.circuit} at {row.row_rate:g} spikes a row and step"


def _power(row: dict[str, Any], name: str, wanted: float) -> Case:
    ends = {end: row[f"{name}_power_{end}"] for end in ("low", "high")}
    return Case(name=f"power of {name}", estimate=row[f"{name}_power"], **ends,
                least=wanted - POWER_MARGIN, most=wanted + POWER_MARGIN)  # fmt: skip


def _rule(results: Results, read_out: str) -> Finding:
    """Whether d_eff enters, n*d does not, and C is the paper's, for every circuit."""
    rows = _fits(results, read_out)
    least, most = paper.C_INTERVAL
    cases, told, all_parts = [], [], []
    for row in rows.to_dict("records"):
        constant = Case(name="C", estimate=row["C"], low=row["C_low"], high=row["C_high"], least=least, most=most)
        parts = [_power(row, "d_eff", 1.0), _power(row, "ambient", 0.0), constant]
        broken = [part.name for part in parts if part.verdict == FAILS]
        word = FAILS if broken else settle(parts, "the part").split(":")[0]
        why = f" ({', '.join(broken)})" if broken else ""
        cases.append(Case(name=f"{row['circuit']}{why}", word=word))
        all_parts.append(constant)
        told.append(f"{row['circuit']} " + ", ".join(
            f"{part.name} {part.estimate:.2g} [{between(part.low, part.high)}]" for part in parts))  # fmt: skip
    elsewhere = _other_rates(results, read_out)
    for row in elsewhere.itertuples():
        constant = Case(name=_at_rate(row), estimate=row.C, low=row.low, high=row.high, least=least, most=most)
        cases.append(constant)
        all_parts.append(constant)
        told.append(f"{constant.name} C {row.C:.2g} [{between(row.low, row.high)}]")
    shown = max(all_parts, key=lambda case: case.excess)
    return judged(
        "; ".join(told),
        cases,
        on="the circuit and the rate of a row" if len(elsewhere) else "the circuit",
        decision="equivalence",
        interval="95 % bootstrap over input sets",
        estimate=shown.estimate,
        low=shown.low,
        high=shown.high,
        threshold=shown.threshold,
        threshold_from=f"powers within {POWER_MARGIN:g} of 1 and 0; C within the stated interval",
        conditions=f"Frobenius norm, Bernoulli encoding, {rows['sets'].min():.0f} input sets; {COVERS}"
        + _spikes(elsewhere),
    )


def _spikes(elsewhere: pd.DataFrame) -> str:
    """What the data fix, and the rate at which C would be the stated one."""
    if elsewhere.empty:
        return ""
    spikes = elsewhere["C"] * elsewhere["row_rate"]
    rates = between(*(ends / paper.C for ends in (spikes.min(), spikes.max())))
    return (
        f"; C times the rate of a row is {between(spikes.min(), spikes.max())} attention spikes, so that "
        f"C = {paper.C:g} is that of {rates} spikes a row and step"
    )


@CLAIMS.add(
    f"T = C d_eff/eps^2 with C = {paper.C:g} [1.9, 2.7], plain read-out", IMPLIED, kind="implied",
    place="abstract: design rules with C = 2.3 [1.9, 2.7]; the formula is our reading",
)  # fmt: skip
def rule_plain(results: Results) -> Finding:
    """Which dimension the plain read-out follows."""
    return _rule(results, "plain")


@CLAIMS.add(f"T = C d_eff/eps^2 with C = {paper.C:g} [1.9, 2.7], read-out inside the principal subspace", OURS)
def rule_projected(results: Results) -> Finding:
    """Which dimension the projecting read-out follows."""
    return _rule(results, "projected")


@CLAIMS.add(f"T = {paper.FEW_STEPS} timesteps suffice", PAPER, kind="stated", place="abstract")
def four(results: Results) -> Finding:
    """Error that the rule grants at T = 4 with the measured and with the paper's constant, in both norms."""
    rows = _fits(results, "projected")
    d_eff, _ = paper.DIMENSIONS["CIFAR-10"]

    def frobenius(C: float) -> float:
        return float(np.sqrt(C * d_eff / paper.FEW_STEPS))

    theirs = frobenius(paper.C)
    told = {row["circuit"]: [frobenius(row[end]) for end in ("C", "C_low", "C_high")]
            for row in rows.to_dict("records")}  # fmt: skip
    told |= {_at_rate(row): [frobenius(end) for end in (row.C, row.low, row.high)]
             for row in _other_rates(results, "projected").itertuples()}  # fmt: skip
    told["the stated C"] = [theirs, *map(frobenius, paper.C_INTERVAL)]
    guess = GUESS * np.sqrt(PIXELS)
    cases = [
        Case(name=name, estimate=eps / guess, low=low / guess, high=high / guess, most=TRIVIAL)
        for name, (eps, low, high) in told.items()
    ]
    found = judged(
        f"with C = {paper.C:g} and d_eff = {d_eff} the rule grants eps = {theirs:.2g} in the Frobenius norm, over "
        f"{PIXELS} values {theirs / np.sqrt(PIXELS):.2g} a value; with the measured C "
        + "; ".join(f"{name} {eps:.2g}, {eps / np.sqrt(PIXELS):.2g} a value" for name, (eps, _, _) in told.items()
                    if name != "the stated C"),
        cases,
        on="C",
        threshold_from=f"{TRIVIAL:g} of the error of a constant",
        control=f"a constant for values uniform on [0, 1]: {guess:.2g}, {GUESS:.2g} a value",
        conditions=f"d_eff of CIFAR-10 as of images of {PIXELS} values; {COVERS}",
    )  # fmt: skip
    # An error below that of a constant is some approximation; whether it suffices is not said.
    unsaid = "depends: on the error that suffices and on its norm, which no source says"
    return attrs.evolve(found, verdict=unsaid) if found.verdict == HOLDS else found


@CLAIMS.add(
    f"predicted timesteps are within {paper.TIMESTEPS_OFF[1]:.0%} of the optimum", REPORTED, kind="reported",
    place="experiments: 2 to 18 %",
)  # fmt: skip
def predicted(results: Results) -> Finding:
    """Timesteps that the rule, with the constant of one half of the inputs, predicts for the other half."""
    rows = results.table("summary", split="validation", read_out="projected", norm="frobenius", encoder="bernoulli")
    rows = rows.dropna(subset=["timesteps", "predicted", "low", "high"])
    off = paper.TIMESTEPS_OFF[1]
    cases = [
        Case(name=f"{row['circuit']}, {row['input_set']}, eps = {row['eps']:.2g}",
             estimate=row["predicted"] / row["timesteps"], low=row["predicted"] / row["high"],
             high=row["predicted"] / row["low"], least=1 - off, most=1 + off)
        for row in rows.to_dict("records")
    ]  # fmt: skip
    count = {word: sum(case.verdict == word for case in cases) for word in (HOLDS, FAILS, UNDECIDED)}
    return judged(
        "predicted over measured timesteps: "
        + ", ".join(f"{number} {word}" for word, number in count.items())
        + f" of {len(cases)}" + (f"; {ENCODING_ONLY} included" if ENCODING_ONLY in set(rows["circuit"]) else ""),
        cases,
        on="the input set and eps",
        interval=f"ratios {between(min(c.low for c in cases), max(c.high for c in cases))}" if cases else "",
        threshold_from="the largest reported miss",
        conditions=conditions(rows.iloc[0][["samples"]] if len(rows) else {}, "the optimum taken as the measured T"),
    )  # fmt: skip


CLAIMS.unread(
    f"the worst case asks for T >= {paper.WORST_STEPS:,}", PAPER, "no source at hand says for which n, d_k and eps",
    kind="stated", place="abstract", decidable=False,
)  # fmt: skip
CLAIMS.unread(
    "C and d_eff come from the data that they are validated on", REVIEWED,
    "how the paper divided its data is in no source at hand", kind="reported", place="its referee report",
    decidable=False,
)  # fmt: skip
