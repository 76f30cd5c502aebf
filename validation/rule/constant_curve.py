"""The constant of the rule through the attention, over the rate of a row.

With T in timesteps a constant C belongs to a rate: a row that spikes half as often needs twice the timesteps for the
same spikes. What the data fix is C times the rate, attention spikes for an effective dimension and 1/eps^2, and the
rate is chosen here: any C above the least can be had by a choice of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import numpy as np
import pandas as pd
import xarray as xr

from validation.rule.fits import fit
from validation.rule.tables import crossings

if TYPE_CHECKING:
    from validation.rule.study import Study

RATES = (0.025, 0.05)
"""Spikes of a row and step besides that of the study, which is the largest that the circuits take."""
CIRCUITS = ("escape", "integrate")
"""One Poisson and one regular code: the others are between or like them."""
READ_OUTS, NORM, ENCODER = ("plain", "projected"), "frobenius", "bernoulli"
"""The decoded outputs, and those in which the dimension can enter; the norm of the rule."""

FITTED = ("C", "C_low", "C_high")

CONSTANT_CURVE = {
    "circuit": "softmax circuit of the attention",
    "row_rate": "attention spikes of a row and timestep, set before the run",
    "C": f"constant of T = C d_eff/eps^2, {NORM} norm, {ENCODER} input; least squares through the origin, every input "
    "set with the same weight; empty where too few sets reach any eps",
    "low, high": "95 % percentile interval of the bootstrap over input sets and inputs; over ten sets it covers about "
    "80 %",
    "read_out": "of the outputs: plain, or projected on the principal subspace",
}
"""Columns of ``constant_curve.csv``."""

Run = Callable[["Study"], tuple[xr.Dataset, xr.Dataset, pd.DataFrame]]


def at_rate(study: Study, circuit: str, rate: float, of_study: float) -> Study:
    """The study with one circuit at another rate of the row, in its windows and one of as many spikes as the last."""
    longer = of_study / rate
    preset = attrs.evolve(
        study.preset,
        regular_with=(),
        encoding=study.preset.encoding[:1],  # the encoders alone are known
        attention=(*study.preset.attention, round(study.preset.attention[-1] * longer)),
    )
    blocks = [attrs.evolve(block, row_rate=rate) for block in study.blocks]
    return attrs.evolve(
        study, config=attrs.evolve(study.config, circuits=(circuit,), quiet=True), preset=preset, blocks=blocks
    )  # fmt: skip


def constant_curve(study: Study, fits: pd.DataFrame, of_study: float, run: Run) -> pd.DataFrame:
    """Rows of ``constant_curve.csv``: those of the fits at the study's rate, and of runs at others.

    Parameters
    ----------
    study
        Whose sets and blocks are run again.
    fits
        ``fits.csv`` of the study.
    of_study
        Spikes of a row and step there.
    run
        Of `validation.rule.study`.
    """
    own = fits[(fits["norm"] == NORM) & (fits["encoder"] == ENCODER)]
    rows = []
    for circuit in (name for name in study.config.circuits if name in CIRCUITS):
        for rate in RATES:
            data, *_ = run(at_rate(study, circuit, rate, of_study))
            table, replicates = crossings(data, seed=study.config.seed)
            mine = (table["circuit"] == circuit) & (table["norm"] == NORM) & (table["split"] == "calibration")
            for read_out in READ_OUTS:
                chosen = mine & (table["read_out"] == read_out)
                found = fit(table[chosen], replicates[chosen.to_numpy()], study.config.seed)
                rows.append([circuit, rate, *(found.get(name, np.nan) for name in FITTED), read_out])
        known = own[(own["circuit"] == circuit) & own["read_out"].isin(READ_OUTS)]
        rows += [[circuit, of_study, *row] for row in known[[*FITTED, "read_out"]].itertuples(index=False)]
    return pd.DataFrame(rows, columns=["circuit", "row_rate", "C", "low", "high", "read_out"])
