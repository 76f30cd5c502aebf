"""What the ladder means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from validation.microcircuits import gate
from validation.microcircuits.in_nest import NEST
from validation.microcircuits.tables import LADDER, ONSET, OPERATING
from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown

FIRST = ["circuit", "rows_kind", "rows", "trials", "neurons_per_key", "interneurons", "rate_per_neuron", "rate_row",
         "tv", "tv_low", "tv_high", "limit_tv", "bias", "bias_low", "bias_high", "verdict", "reason"]  # fmt: skip
SECOND = ["circuit", "rows_kind", "neurons_per_key", "from_limit", "from_limit_low", "from_limit_high", "law_ratio",
          "spikes_for_tv_05", "energy_ratio", "interneuron_rate", "interneuron_limit", "loop_gain", "onset_predicted",
          "stable"]  # fmt: skip
ONCE = ["circuit", "neurons_per_key", "multiplicativity", "multiplicativity_low", "multiplicativity_high", "spread",
        "kappa", "onset_gain"]  # fmt: skip


def report(preset: str, seed: int, tables: dict[str, pd.DataFrame], findings: Sequence[Finding]) -> str:
    """Return the report as Markdown."""
    ladder = tables["ladder"]
    once = ladder.groupby(["circuit", "neurons_per_key"], sort=False).head(1)
    parts = [
        "# Microcircuits: real inhibition, rung by rung",
        f"Preset {preset}, seed {seed}. Every rung relaxes one idealisation of the circuits; its limit is a mean field "
        "or a closed form, and nothing in it is fitted.",
        "![raster](raster.png)",
        "A natural row: spikes of all neurons of every key, of the interneurons, and the row's inhibition.",
        "![ladder](ladder.png)",
        "Left: bias of every rung, simulated and by its limit, on three kinds of rows. Middle: log-ratio of the "
        "limit's shares with and without competitors that halve them; a level line is a common gate. Right: bias and "
        "expected error against the rate of a neuron, with what was simulated.",
        "## Bias", markdown(ladder[FIRST]),
        "## Limits, laws and spikes", markdown(ladder[SECOND]),
        "## Gates and loops", markdown(once[ONCE]), described(LADDER),
        "## Operating point", markdown(tables["operating"]), described(OPERATING),
    ]  # fmt: skip
    if "onset" in tables:
        parts += ["## Onset of oscillations", markdown(tables["onset"]), described(ONSET)]
    if "gate" in tables:
        shown = tables["gate"][tables["gate"]["loop"] != "mean field"].dropna(axis=1, how="all")
        parts += [
            "## Where a barrage is a gate",
            "The reversal potential of a barrage of inhibition and balanced excitation, at a distance under the "
            "threshold. Mean field: best distances, and where the bias is below "
            f"{gate.STANDS:g}, on three kinds of rows together. Its rates are read off stored surfaces, which are "
            "smoothed: at 40 Hz another smoothing moved the least bias from .007 to above .01, at 20 and 10 Hz the "
            "gate stood under both.",
            markdown(tables["gate_widths"]), described(gate.WIDTHS),
            f"Closed loops with {len(shown)} biases of their own (all of them, and the whole sweep, in `gate.csv`):",
            markdown(shown), described(gate.GATE),
        ]  # fmt: skip
    if "nest" in tables:
        parts += ["## NEST", markdown(tables["nest"]), described(NEST)]
    parts += ["## Claims", findings_text(findings), made(f"seed {seed}")]
    return "\n\n".join(parts) + "\n"
