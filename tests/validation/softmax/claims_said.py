"""What the findings of the softmax comparison say, claim by claim, held against the facts of a run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from run_facts import NUMBER, Facts, parts_of, says

from circuits import SOFTMAX_CIRCUITS
from validation.softmax.tables import regularity_law


def interval(values: np.ndarray) -> tuple[float, float]:
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean() - half, values.mean() + half


def other_rows(facts: Facts, names: list[str]) -> pd.DataFrame:
    table = facts.tables["row_sets"]
    return table[(table["rows_kind"] != "given") & table["circuit"].isin(names) & (table["tv"] > 1e-6)]


def word_of(ends: list[tuple[float, float]], least: float, most: float) -> str:
    """What intervals say together of a range that a claim allows."""
    words = {
        "holds" if least <= low and high <= most else "does not hold" if high < least or low > most else "undecided"
        for low, high in ends
    }
    if {"holds", "does not hold"} <= words:
        return "depends"
    return next(word for word in ("does not hold", "undecided", "holds") if word in words)


def first_words(finding: Any) -> str:
    return str(finding.verdict).split(":")[0]


def of_errors(names: list[str], least: float, most: float, scale: str = "") -> Callable[[Facts, Any], None]:
    """Claim that the error of circuits lies in a range, in units of a column; and the numbers of its sentence."""

    def check(facts: Facts, finding: Any) -> None:
        ran = [name for name in names if name in facts.names and facts.tv(name).mean() > 1e-6]
        ends = []
        for name in ran:
            unit = facts.last.loc[name, scale] if scale else 1.0
            if facts.last["tv_low"].notna().all():
                ends.append(tuple(end / unit for end in interval(facts.tv(name))))
            (tv,) = parts_of(rf"{name + ' ' if len(names) > 1 else ''}TV ({NUMBER})", finding.sentence)
            assert says(tv, facts.tv(name).mean())
        for _, row in other_rows(facts, ran).iterrows():
            unit = row[scale] if scale else 1.0
            ends.append((row["tv_low"] / unit, row["tv_high"] / unit))
            assert f"on {row['rows_kind']} rows" in finding.sentence
        if names == ["subtractive"] and "floor_curve" in facts.tables:
            ends += [(row.tv_low, row.tv_high) for row in facts.tables["floor_curve"].itertuples()]
        if np.isfinite(ends).all() and len(ends):
            assert first_words(finding) == word_of(ends, least, most)

    return check


def of_biases(names: list[str]) -> Callable[[Facts, Any], None]:
    """Claim that the bias of circuits is below 0.01."""

    def check(facts: Facts, finding: Any) -> None:
        ran = [name for name in names if name in facts.names and facts.tv(name).mean() > 1e-6]
        rows = [facts.last.loc[name] for name in ran] + [row for _, row in other_rows(facts, ran).iterrows()]
        ends = [(row["bias_low"], row["bias_high"]) for row in rows]
        assert ends
        assert first_words(finding) == word_of(ends, -0.01, 0.01)

    return check


def of_orders(names: list[str], holds: set[str], fails: set[str]) -> Callable[[Facts, Any], None]:
    """Claim about verdicts on orders."""

    def check(facts: Facts, finding: Any) -> None:
        ran = [name for name in names if name in facts.names and facts.tv(name).mean() > 1e-6]
        verdicts = {facts.decision(name).verdict for name in ran} | set(other_rows(facts, ran)["verdict"])
        assert verdicts <= holds | fails | {"undecided"}
        words = {"holds": bool(verdicts & holds), "does not hold": bool(verdicts & fails)}
        if all(words.values()):
            assert first_words(finding) == "depends"
        elif words["does not hold"]:
            assert first_words(finding) == "does not hold"
        else:
            assert first_words(finding) == ("undecided" if "undecided" in verdicts else "holds")
        for name in ran:
            assert facts.decision(name).verdict in finding.sentence

    return check


def of_readout(facts: Facts, finding: Any) -> None:
    low, high = interval(facts.tv("none"))
    spread = facts.rates("none")[0]
    assert spread > 0.05
    assert first_words(finding) == word_of([(low, high)], 0.01, np.inf)
    tv, of_rates = parts_of(rf"TV ({NUMBER}), and the rows' rates a spread of ({NUMBER})", finding.sentence)
    assert says(tv, facts.tv("none").mean())
    assert says(of_rates, spread)


def of_cv(facts: Facts, finding: Any) -> None:
    summary = facts.tables["summary"]
    law = regularity_law(facts.data, summary[summary["circuit"].isin(facts.names)]).set_index("circuit")["cv_law"]
    (told,) = parts_of(r"^measured / law: (.*?)\. The law", finding.sentence)
    for name, ratio in (one.split(" ") for one in told.split("; ")):
        assert says(ratio, facts.tv(name).mean() / law[name])
    ends = [interval(facts.tv(name) / law[name]) for name in law.index[law > 1e-6] if facts.tv(name).mean() > 1e-6]
    others = other_rows(facts, facts.names)
    others = others[others["cv_law"] > 1e-6]
    ends += [(row.tv_low / row.cv_law, row.tv_high / row.cv_law) for row in others.itertuples()]
    if np.isfinite(ends).all() and facts.last["tv_low"].notna().all():
        assert first_words(finding) == word_of(ends, 0.9, 1.1)


def of_family(facts: Facts, finding: Any) -> None:
    table = facts.tables["regularity"]
    table = table[(table["tv"] > 1e-6) & (table["cv_law"] > 1e-6)]
    ends = [(row.tv_low / row.cv_law, row.tv_high / row.cv_law) for row in table.itertuples()]
    inside = sum(low >= 0.95 and high <= 1.05 for low, high in ends)
    assert f"in {inside} of {len(ends)} windows" in finding.sentence
    if np.isfinite(ends).all():
        assert first_words(finding) == word_of(ends, 0.95, 1.05)


def of_silence(facts: Facts, finding: Any) -> None:
    below = np.nanmax(facts.z, axis=1, keepdims=True) - facts.z
    lost = {nats: np.where(below > nats, facts.p, 0).sum(axis=1) for nats in (5, 6)}
    for nats, tv in re.findall(rf"(\d) nats: TV ({NUMBER})", finding.sentence):
        assert says(tv, lost[int(nats)].mean())
    assert f"in {(lost[5] > 0.01).sum()} of {len(facts.z)} rows" in finding.sentence
    assert first_words(finding) == word_of([(lost[5].min(),) * 2, (lost[5].max(),) * 2], -np.inf, 0.01)


def of_self_inhibition(facts: Facts, finding: Any) -> None:
    uniform = np.abs(facts.p - (facts.p > 0) / (facts.p > 0).sum(axis=1, keepdims=True)).sum(axis=1).mean() / 2
    best = min(uniform, (1 - facts.p.max(axis=1)).mean(), facts.tv("none").mean())
    tv, times = parts_of(rf"^TV ({NUMBER}), ({NUMBER}) times the best", finding.sentence)
    assert says(tv, facts.tv("self_inhibition").mean())
    assert says(times, facts.tv("self_inhibition").mean() / best)


GATES = ["race", "escape", "integrate", "divisive"]
EVERY = [name for name, circuit in SOFTMAX_CIRCUITS.items() if circuit.group == "circuit"]
FAST, SLOW, ROOT = {"between", "1/N"}, {"floor"}, {"1/sqrt(N)"}
OF_CLAIMS: dict[str, Callable[[Facts, Any], None]] = {
    "lateral inhibition by the mean": of_errors(["subtractive"], -np.inf, 0.01),
    "inhibition by a common factor": of_biases(GATES),
    "a small error of the shares": of_readout,
    "the lateral-inhibition network": of_orders(["subtractive"], ROOT | FAST, SLOW),
    "spiking softmax errs": of_orders(EVERY, ROOT, FAST | SLOW),
    "TV = (2 pi N)^-1/2": of_errors(["race", "escape"], 0.95, 1.05, "tv_expected"),
    "regular keys under": of_orders(["integrate", "divisive"], {"1/N"}, ROOT | SLOW | {"between"}),
    "V(r) = sum": of_biases(["subtractive"]),
    "TV = CV of the intervals": of_cv,
    "the same law where nothing": of_family,
    "keys more than 5 nats": of_silence,
    "shunting inhibition": of_errors(["shunting"], -np.inf, 0.01),
    "noisy LIF neurons": of_biases(["diffusive"]),
    "a key that inhibits itself": of_self_inhibition,
}
