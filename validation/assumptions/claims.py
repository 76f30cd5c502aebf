"""Claims about idealised assumptions, as read off the tables of the study."""

from __future__ import annotations

import numpy as np
import pandas as pd

from validation.assumptions import ASSUMPTIONS
from validation.study.claims import PAPER, Claim, Claims, Finding
from validation.study.results import Missing, Results
from validation.study.words import between

CLAIMS = Claims()


def _audit(assumption: str) -> Claim:
    """Claim that one idealised assumption does not matter, read off all its sweeps."""

    def read(results: Results) -> Finding:
        rows = results.table("assumptions", assumption=assumption)
        measured: list[str] = []
        by: dict[str, list[str]] = {}
        for (circuit, knob), sweep in rows.groupby(["circuit", "knob"], sort=False):
            worst = sweep.loc[sweep["bias"].idxmax()]
            unit = "" if pd.isna(worst["unit"]) else f" {worst['unit']}"
            limit = pd.to_numeric(worst["exceeds_0_01_at"], errors="coerce")
            from_there = f", above 0.01 from {limit:.3g}{unit}" if np.isfinite(limit) else ""
            measured.append(f"{circuit}: {worst['bias']:.2g} at {knob} = {worst['value']}{unit}{from_there}")
            by.setdefault(str(worst["verdict"]), []).append(str(circuit))
        worst = rows.loc[rows["bias"].idxmax()]
        words = "; ".join(f"{verdict} in {', '.join(circuits)}" for verdict, circuits in by.items())
        return Finding(
            "; ".join(measured),
            f"worst {between(float(worst['bias_low']), float(worst['bias_high']))}",
            (f"holds: {words}" if "costs spikes" in by else "holds") if "breaks" not in by
            else f"does not hold: {words}" if set(by) == {"breaks"}
            else f"depends: {words}",
            conditions=_conditions(results, assumption),
        )  # fmt: skip

    return Claim(f"idealised: {assumption} does not matter", f"{PAPER}, assumptions", read)


def _conditions(results: Results, assumption: str) -> str:
    """Where the closed form passes the limit, from its least to its largest value over rates and rows."""
    try:
        found = results.table("crossings", assumption=assumption).dropna(subset=["value"])
    except Missing:
        return ""
    if found.empty:
        return ""
    return "; ".join(
        f"closed form passes 0.01 at {row.knob} = {row.value:.3g} {row.unit} ({row.rows_kind} rows, {row.rate_hz:g} Hz)"
        for row in (found.loc[found["value"].idxmin()], found.loc[found["value"].idxmax()])
    )


TITLES = {
    "independence": "independence of Q and K",
    "jensen_bias": "Jensen bias",
    "threshold_spread": "heterogeneity of thresholds",
    "time_constant_spread": "heterogeneity of time constants",
}
"""Names in the table of the audit that are not those of its command line."""
CLAIMS.extend(_audit(TITLES.get(name, name.replace("_", " "))) for name in ASSUMPTIONS)
