"""Tables of the softmax comparison, computed from its counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from biospike import metrics
from biospike.ideal.softmax import softmax
from biospike.tables import CONVERGENCE, NOT_RUN, SUMMARY, trial_means
from biospike.theory.concentration import multinomial_tv
from biospike.theory.regularity import biased_renewal_tv
from biospike.verdicts import NO_ERROR, UNDECIDED
from validation.study.welch import welch


def not_run(name: str, summary: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, object]]:
    """Rows of both tables for a circuit that was left out of a study whose others have this summary."""
    first = summary[summary["circuit"] == summary["circuit"].iloc[0]]
    rows = first[["window_ms", "rows", "trials"]].reset_index(drop=True).assign(circuit=name, diagnostics=NOT_RUN)
    fit = dict.fromkeys(CONVERGENCE) | {"circuit": name, "verdict": UNDECIDED, "reason": NOT_RUN}
    return rows.reindex(columns=SUMMARY), fit


def halving(data: xr.Dataset) -> dict[str, object]:
    """Effect of halving a circuit's step, in one window: the change with its 95 % Welch interval."""
    p = softmax(data["logits"].values)
    window = float(data["window_halved_ms"])
    at = int(np.argmin(np.abs(data["window_ms"].values - window)))
    full = data["spike_count"].isel(checkpoint=at).transpose("trial", "row", "key").values
    half = data["spike_count_halved"].transpose("trial_halved", "row", "key").values
    tv, tv_half = (trial_means(metrics.total_variation(metrics.shares(c), p)) for c in (full, half))
    change = welch(tv_half, tv)
    return {
        "circuit": data.attrs["circuit"],
        "dt_ms": data.attrs["dt_ms"],
        "window_ms": window,
        "spikes_per_row": full.sum(axis=-1).mean(),
        "spikes_halved": half.sum(axis=-1).mean(),
        "tv": tv.mean(),
        "tv_halved": tv_half.mean(),
        "change_low": change.low,
        "change_high": change.high,
    }


def regularity_law(data: xr.Dataset, summary: pd.DataFrame) -> pd.DataFrame:
    """Error in the longest window beside what the measured regularity predicts, one row a circuit.

    `multinomial` is the law of a Poisson code at the same spike counts; `cv_law` that of a code with the measured CV
    that scatters about the circuit's own limit, `biospike.theory.regularity.biased_renewal_tv`.
    """
    p = softmax(data["logits"].values)
    rows = []
    for name, mine in summary.groupby("circuit", sort=False):
        last = mine.iloc[-1]
        one = data.sel(circuit=name)
        spikes = one["spike_count"].isel(checkpoint=-1).sum("key").values
        fired = spikes > 0
        multinomial = multinomial_tv(np.broadcast_to(p, (*spikes.shape, p.shape[-1]))[fired], spikes[fired])
        law = biased_renewal_tv(one["limit"].values, spikes, last["isi_cv"], p)[fired]
        rows.append(
            {
                "circuit": name,
                "spikes_per_row": last["spikes_per_row"],
                "isi_cv": last["isi_cv"],
                "multinomial": multinomial.mean() if fired.any() else np.nan,
                "limit_tv": last["limit_tv"],
                "cv_law": law.mean() if fired.any() else np.nan,
                "tv": last["tv"],
                "tv/cv_law": last["tv"] / law.mean() if fired.any() and law.mean() > NO_ERROR else np.nan,
            }
        )
    return pd.DataFrame(rows)
