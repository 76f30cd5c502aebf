"""Claims about idealised assumptions, as read off the tables of the study."""

from __future__ import annotations

import numpy as np
import pandas as pd

from validation.assumptions import ASSUMPTIONS
from validation.assumptions.sweep import LIMIT
from validation.study.claims import IMPLIED, OURS, REPORTED, Claims, Finding, judged
from validation.study.results import Results
from validation.study.row_kinds import GIVEN
from validation.study.row_sets import judged_by_rows
from validation.study.verdict import Case

CLAIMS = Claims()
TITLES = {
    "independence": "independence of Q and K",
    "jensen_bias": "Jensen bias",
    "threshold_spread": "heterogeneity of thresholds",
    "time_constant_spread": "heterogeneity of time constants",
}
"""Names in the table of the audit that are not those of its command line."""
STEPS = {
    "membrane_leak": "Lemma 1 counts x T spikes for a value x, which neurons with beta < 1 do not fire",
    "inhibitory_strength": "Lemma 3 leaves the strength free",
    "input_code": "Lemma 1 is of independent steps, the rate code of any train",
    "independence": "the scores are coincidences, which multiply the rates of independent trains only",
    "jensen_bias": "keys are driven by exp(q.k) of scores that spikes make fluctuate",
    "logit_range": "the domain is compact, whatever its size",
    "number_of_keys": "n enters as n^2/eps^2 only",
}
"""Steps of the theory that need an assumption not to matter; of the others nobody says that they do not."""
EQUAL = "equal_logits"
"""Of which the digest says that they do matter."""


def _title(assumption: str) -> str:
    return TITLES.get(assumption, assumption.replace("_", " "))


def _unit(row: pd.Series) -> str:
    return "" if pd.isna(row["unit"]) else f" {row['unit']}"


def _decisive(sweep: pd.DataFrame) -> pd.Series:
    """Value of a knob that decides: the surest above the limit, or else that which may be farthest above it."""
    above = sweep["bias_low"].max() > LIMIT
    return sweep.loc[sweep["bias_low" if above else "bias_high"].fillna(-1.0).idxmax()]


def _case(name: str, row: pd.Series, *, least: float = -np.inf, most: float = np.inf) -> Case:
    return Case(name=name, estimate=row["bias"], low=row["bias_low"], high=row["bias_high"], least=least, most=most)


def _crossings(results: Results, assumption: str) -> str:
    """Where the closed form passes the limit, from its least to its largest value over rates and rows, if known."""
    if not (results.directory / "crossings.csv").is_file():
        return ""
    found = results.table("crossings")
    found = found[found["assumption"] == _title(assumption)].dropna(subset=["value"])
    if found.empty:
        return ""
    return "".join(
        f"; closed form passes {LIMIT:g} at {row.knob} = {row.value:.3g} {row.unit} ({row.rows_kind} rows, "
        f"{row.rate_hz:g} Hz)"
        for row in (found.loc[found["value"].idxmin()], found.loc[found["value"].idxmax()])
    )


def _elsewhere(results: Results, assumption: str) -> pd.DataFrame:
    """Realistic ends of the sweeps on other rows, if they were measured."""
    if not (results.directory / "row_sets.csv").is_file():
        return pd.DataFrame()
    rows = results.table("row_sets")
    return rows[(rows["rows_kind"] != GIVEN) & (rows["assumption"] == _title(assumption))]


def _at(row: pd.Series) -> str:
    return f"{row['circuit']}: {row['bias']:.2g} at {row['knob']} = {row['value']}{_unit(row)}"


def _read(results: Results, assumption: str) -> Finding:
    """Whether any value of a knob biases what is computed by more than the limit, in every sweep, on any rows."""
    rows = results.table("assumptions", assumption=_title(assumption))
    measured, decisive, ideal, costly = [], [], [], []
    for (circuit, _), sweep in rows.groupby(["circuit", "knob"], sort=False):
        row = _decisive(sweep)
        limit = pd.to_numeric(row["exceeds_0_01_at"], errors="coerce")
        from_there = f", above {LIMIT:g} from {limit:.3g}{_unit(row)}" if pd.notna(limit) else ""
        measured.append(_at(row) + from_there)
        decisive.append(row.to_dict() | {"rows_kind": GIVEN})
        ideal.append(f"{sweep['bias'].iloc[0]:.2g} ({circuit})")
        costly += [str(circuit)] if row["verdict"] == "costs spikes" else []
    elsewhere = _elsewhere(results, assumption)
    return judged_by_rows(
        "; ".join(measured) + (f"; costs spikes in {', '.join(costly)}" if costly else ""),
        pd.concat([pd.DataFrame(decisive), elsewhere], ignore_index=True),
        lambda name, row: _case(name, row, most=LIMIT),
        say=_at,
        threshold_from=f"bias {LIMIT:g}",
        control=f"at the ideal end {', '.join(ideal)}",
        conditions="one knob at a time, the worst of its values; intervals over trials on these rows"
        + ("; other rows at the realistic end of the knob" if len(elsewhere) else "")
        + _crossings(results, assumption),
    )


@CLAIMS.add("winner-take-all needs inputs that differ", REPORTED, kind="reported", place="limits")
def separation(results: Results) -> Finding:
    """Bias at the smallest separation of the logits."""
    rows = results.table("assumptions", assumption=_title(EQUAL))
    last = rows.groupby("circuit", sort=False).tail(1)
    # Softmax of equal logits is uniform: what needs them to differ is biased there.
    cases = [_case(str(row["circuit"]), row, least=LIMIT) for _, row in last.iterrows()]
    return judged(
        "; ".join(f"{row.circuit}: bias {row.bias:.2g} at {row.knob} = {row.value}" for row in last.itertuples()),
        cases,
        on="the circuit",
        threshold_from=f"a bias above {LIMIT:g}",
        conditions="softmax of the logits as what is to be computed",
    )


for _name in ASSUMPTIONS:
    if _name != EQUAL:
        _implied = _name in STEPS
        CLAIMS.add(
            f"idealised: {_title(_name)} does not matter",
            IMPLIED if _implied else OURS,
            kind="implied" if _implied else "ours",
            place=STEPS.get(_name, ""),
        )(lambda results, name=_name: _read(results, name))  # type: ignore[misc]
