"""What a run says of rows whose inhibition is subtracted, in plain words made from its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from validation.attention.decay import DECAY, FITS
from validation.attention.fixed_point import COLUMNS, STEPS
from validation.study.report import described, markdown
from validation.study.words import between

BOUND = 2.0
"""Spikes by which a count may stray from T times the fixed point while no key changes between spiking and silence."""
ERRORS = 3.0
"""Standard errors within which a mean over trials is said to agree."""
ROUNDING = 1e-9
OWN_PARTS = (
    "Here the scores ask for the shares of the circuit's fixed point at the measured mean drive, which take the place "
    "of softmax(measured scores): `sampling_tv` is the TV of the attention from them, and the law of sampling that of "
    "regular keys at random phases, in which what a key inhibits in another is left out."
)


def own_inhibition(data: xr.Dataset, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Sections on the distance from softmax and from the circuit's own fixed point, the steps, and V in time."""
    last = tables["fixed_point"].groupby("mode", sort=False).tail(1)
    sections = [
        f"The drive of key j of row i is {data.attrs['gain']:g}*exp(z_ij - m_i), m_i the largest logit of the row in "
        "the limit, fixed before the run. Rows have the inhibition of the circuit and no other: no reference "
        "potential holds their rate. Their limit is the fixed point of that inhibition at the mean drive.",
        markdown(last),
        described(COLUMNS),
        *[_distances(row) for row in last.itertuples()],
    ]
    if "steps" in tables:
        sections += ["### Steps of the toy", markdown(tables["steps"]), described(STEPS)]
    sections += [
        "### The Lyapunov function in time",
        markdown(tables["decay_fit"]),
        described(FITS),
        *_decays(tables["decay"], tables["decay_fit"]),
        "`decay.csv`: " + described(DECAY),
    ]
    return sections


def _distances(row: Any) -> str:
    """Of a row of ``fixed_point.csv``."""
    interval = f" ({between(row.softmax_low, row.softmax_high)})" if np.isfinite(row.softmax_low) else ""
    limit = (
        f"its limit is TV {row.limit_tv:.4g} away, which no number of timesteps removes"
        if row.limit_tv > ROUNDING
        else "its limit is softmax, by the read-out N_i/N, to rounding"
    )
    within = "within" if row.spikes_off <= BOUND else "beyond"
    text = (
        f"**{str(row.mode).capitalize()}**, T = {row.timesteps}: the attention is TV {row.softmax_tv:.4f}{interval} "
        f"from softmax attention; {limit}. Counts stray from T times the fixed point at their measured mean drive by "
        f"at most {row.spikes_off:.2f} spikes, {within} {BOUND:g}"
    )
    if np.isnan(row.share_off):
        return f"{text}."
    agree = "agree" if max(row.share_off, row.rate_off) <= ERRORS else "do not agree"
    return (
        f"{text}. Means over trials {agree} with the limit: shares are at most {row.share_off:.2f} and rates "
        f"{row.rate_off:.2f} standard errors away, that of a share at most {row.share_se:.2g}."
    )


def _decays(curve: pd.DataFrame, fits: pd.DataFrame) -> list[str]:
    lines = []
    for drive, mine in curve.groupby("drive", sort=False):
        known = mine[mine["V"].notna()]
        if known.empty:
            lines.append(f"With {drive} drive a row was silent in some trial throughout.")
            continue
        last = known.iloc[-1]
        found = fits[(fits["drive"] == drive) & fits["rate"].notna()]
        laws = "; ".join(
            f"{row.reading} as {'an exponential' if row.law == 'exponential' else 'a power'}: {row.rate:.3g} "
            f"({between(row.low, row.high)}) to a floor of {row.floor:.3g}, R^2 {row.r_squared:.3f}"
            for row in found.itertuples()
        )
        lines.append(
            f"With {drive} drive V is {last['V']:.4g} ({between(last['low'], last['high'])}) after "
            f"{last['timesteps']:.0f} timesteps, and {last['V_limit']:.4g} at the fixed point. {laws or 'No fit'}."
        )
    return lines
