"""What the comparison of softmax circuits means, in plain words made from its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from biospike.ideal.softmax import softmax
from biospike.plots import RASTER_KEYS
from biospike.theory.concentration import multinomial_tv, spikes_for_tv
from biospike.theory.regularity import biased_renewal_tv
from circuits import SOFTMAX_CIRCUITS
from validation.softmax.tables import NO_ERROR, NOT_RUN, UNDECIDED

TARGET_TV = 0.01
"""Error for which the report says how many spikes a row needs."""

AGREE = 0.05
"""A measured figure within this fraction of its law is said to agree with it."""

LATER = 2.0
"""Bias counts as resolved when it exceeds this many times what sampling leaves in the pooled shares."""


def markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, numbers to four digits, empty where there is none."""
    lines = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def plain(table: pd.DataFrame) -> str:
    """Return a table as text for a terminal, with the cells of `markdown`."""
    return table.map(_cell).to_string(index=False)


def _cell(value: object) -> str:
    if value is None or pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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


def report(
    data: xr.Dataset,
    summary: pd.DataFrame,
    convergence: pd.DataFrame,
    steps: pd.DataFrame,
    left_out: Mapping[str, str] | None = None,
) -> str:
    """Return the report as Markdown; `left_out` holds circuits that were not run, and why."""
    last = summary.groupby("circuit", sort=False).tail(1).set_index("circuit")
    fits = convergence.set_index("circuit")
    # Only of a circuit that errs is there something to say.
    told = last[last["tv"] > NO_ERROR]
    law = regularity_law(data, summary[summary["circuit"].isin(data["circuit"].values)])
    parts = [
        "# Spiking circuits against the exact softmax",
        _what_was_run(data, last),
        "![convergence](convergence.png)",
        "## The longest window",
        markdown(last.reset_index().drop(columns=["rows", "trials"])),
        "`tv` is the mean total variation between a row's shares and its softmax, with its 95 % BCa interval over "
        "trials; `tv_expected` the circuit's own error law at the measured spike counts; `limit_tv` the bias that its "
        "limit predicts; `bias_tv` the TV of the shares pooled over trials, and `bias_floor` what sampling alone would "
        "leave of it; `isi_cv` the regularity of the code, 1 for Poisson.",
        "## Order of convergence",
        markdown(convergence),
        "`reason` says why a verdict is undecided.",
        "## What holds",
        *_not_run(left_out or {}),
        *_undecided(convergence),
        *_gate(told),
        *_subtractive(told, fits),
        *_biased(told, fits),
        *_stochastic(data, told, fits),
        *_regular(told, fits),
        "## The law that joins them: error = CV times the multinomial law",
        markdown(law),
        *_law(law),
        "## Effect of halving the step",
        markdown(steps),
        *_steps(steps),
        _raster(data.sizes["key"]),
        "## What made this",
        _provenance(data),
    ]
    return "\n\n".join(parts) + "\n"


def _raster(keys: int) -> str:
    cut = f"\n\nOf a row of more than {RASTER_KEYS} keys the raster shows the {RASTER_KEYS} largest."
    return "![raster](raster.png)" + (cut if keys > RASTER_KEYS else "")


def _what_was_run(data: xr.Dataset, last: pd.DataFrame) -> str:
    z = data["logits"].values
    keys = (~np.isnan(z)).sum(axis=1)
    span = np.nanmax(z, axis=1) - np.nanmin(z, axis=1)
    return (
        f"{len(z)} rows of {keys.min()} to {keys.max()} keys, logits spanning {span.min():.1f} to {span.max():.1f} "
        f"nats a row (median {np.median(span):.1f}); {int(last['trials'].iloc[0])} trials; window "
        f"{last['window_ms'].iloc[0]:g} ms; seed {data.attrs['seed']}."
    )


def _not_run(left_out: Mapping[str, str]) -> list[str]:
    return [f"**Not run.** {line}." for line in left_out.values()]


def _undecided(convergence: pd.DataFrame) -> list[str]:
    mine = convergence[(convergence["verdict"] == UNDECIDED) & (convergence["reason"] != NOT_RUN)]
    if mine.empty:
        return []
    named = ", ".join(f"{name} ({reason})" for name, reason in zip(mine["circuit"], mine["reason"], strict=True))
    return [f"**Undecided.** No order can be told of: {named}."]


def _interval(row: pd.Series, digits: int) -> str:
    """Error with its interval, if there is one."""
    interval = "" if np.isnan(row["tv_low"]) else f" ({row['tv_low']:.{digits}f} to {row['tv_high']:.{digits}f})"
    return f"{row['tv']:.{digits}f}{interval}"


def _off(row: pd.Series, digits: int) -> str:
    """Law of the error, and how far the error is from it."""
    law = row["tv_expected"]
    return f"law {law:.{digits}f} ({row['tv'] / law - 1:+.1%})" if law > 0 else "without a law here"


def _gate(last: pd.DataFrame) -> list[str]:
    mine = [name for name in last.index if SOFTMAX_CIRCUITS[name].common_gate]
    if not mine:
        return []
    resolved = [name for name in mine if last.loc[name, "bias_tv"] > LATER * last.loc[name, "bias_floor"]]
    if last.loc[mine, "bias_floor"].isna().any():
        return ["**Common gate.** A single trial does not tell how much of a deviation of the shares is sampling."]
    figures = ", ".join(f"{n} {last.loc[n, 'bias_tv']:.4f} ({last.loc[n, 'bias_floor']:.4f})" for n in mine)
    verdict = (
        "so no bias is resolved: the criterion holds to this accuracy"
        if not resolved
        else f"so a bias is resolved in {', '.join(resolved)}, which the criterion does not predict"
    )
    return [
        "**Common gate.** Inhibition that multiplies the intensities of a row by one common factor leaves the expected "
        "shares exactly softmax, whatever its delay or time constant. TV of the pooled shares, and in brackets what "
        f"sampling leaves: {figures}; {verdict}."
    ]


def _subtractive(last: pd.DataFrame, fits: pd.DataFrame) -> list[str]:
    if "subtractive" not in last.index:
        return []
    row = last.loc["subtractive"]
    predicted = f"predicts {row['limit_tv']:.4f}"
    if row["limit_tv"] > NO_ERROR:
        off = row["tv"] / row["limit_tv"] - 1
        agrees = "as its closed form says" if abs(off) < AGREE else "which its closed form does not explain"
        predicted = f"{predicted} ({off:+.2%} off), {agrees}"
    return [
        "**Subtractive inhibition (Lemma 3 of the paper as printed).** The error stops falling at TV "
        f"{_interval(row, 4)} after {row['spikes_per_row']:.0f} spikes a "
        f"row; the threshold-linear fixed point {predicted}. "
        f"Verdict of the fit: {_verdict(fits.loc['subtractive'])}. "
        "More timesteps do not help: this circuit computes a thresholded linear function of the drive."
    ]


def _biased(last: pd.DataFrame, fits: pd.DataFrame) -> list[str]:
    lines = []
    for name in ("shunting", "diffusive"):
        if name not in last.index:
            continue
        row = last.loc[name]
        scatter = ""
        if not np.isnan(row["bias_floor"]):
            with_scatter = np.hypot(row["limit_tv"], row["bias_floor"])
            scatter = f", and {with_scatter:.4f} with the {row['bias_floor']:.4f} that sampling leaves"
        lines.append(
            f"**{name.capitalize()}.** The pooled shares stray from softmax by TV {row['bias_tv']:.4f}; the "
            f"self-consistent limit predicts {row['limit_tv']:.4f}{scatter}. In this window, at "
            f"{row['spikes_per_row']:.0f} spikes a row, the error is {_interval(row, 4)}. Verdict of the fit: "
            f"{_verdict(fits.loc[name])}."
        )
    return lines


def _stochastic(data: xr.Dataset, last: pd.DataFrame, fits: pd.DataFrame) -> list[str]:
    mine = [name for name in ("race", "escape") if name in last.index]
    if not mine:
        return []
    p = softmax(data["logits"].values)
    figures = "; ".join(f"{n}: TV {last.loc[n, 'tv']:.4f}, {_off(last.loc[n], 4)}, {_order(fits.loc[n])}" for n in mine)
    needed = spikes_for_tv(p, TARGET_TV).mean()
    return [
        "**The 1/sqrt(N) circuits.** Their spikes are independent draws from softmax, so their counts are multinomial "
        f"with no free constant: {figures}. For TV {TARGET_TV:g} such a code needs {needed:.0f} spikes a row on "
        "average over these rows, N = (sum sqrt(p(1-p)))^2/(2 pi eps^2); it does not grow as n^2."
    ]


def _regular(last: pd.DataFrame, fits: pd.DataFrame) -> list[str]:
    mine = [name for name in ("integrate", "divisive") if name in last.index]
    if not mine:
        return []
    figures = "; ".join(
        f"{n}: TV {last.loc[n, 'tv']:.5f} at {last.loc[n, 'spikes_per_row']:.0f} spikes a row, "
        f"{_off(last.loc[n], 5)}, {_order(fits.loc[n])}"
        for n in mine
    )
    return [
        "**The 1/N circuits.** Deterministic keys under a common gate stray from softmax by less than a spike each: "
        f"{figures}. The 1/sqrt(T) of the theory is a property of Poisson codes, not of spikes."
    ]


def _verdict(fit: pd.Series) -> str:
    return f"{fit['verdict']} ({fit['reason']})" if fit["reason"] else str(fit["verdict"])


def _order(fit: pd.Series) -> str:
    if fit["verdict"] == UNDECIDED:
        return f"order undecided ({fit['reason']})"
    return f"order {fit['order']:.3f} ({fit['order_low']:.3f} to {fit['order_high']:.3f})"


def _law(law: pd.DataFrame) -> list[str]:
    ratio = law.set_index("circuit")["tv/cv_law"].dropna()
    holds = [name for name in ratio.index if abs(ratio[name] - 1) <= 2 * AGREE]
    below = [f"{name} ({ratio[name]:.2f})" for name in ratio.index if ratio[name] < 1 - 2 * AGREE]
    above = [f"{name} ({ratio[name]:.2f})" for name in ratio.index if ratio[name] > 1 + 2 * AGREE]
    text = [
        "The law knows nothing of the circuit but its limit, its spike count and the measured CV of its intervals. "
        f"It predicts the measured error within {2 * AGREE:.0%} for: {', '.join(holds) or 'none'}."
    ]
    if below:
        text.append(
            f"The error is below the law for {', '.join(below)}. Intervals are whole numbers of row spikes, so even a "
            "clock shows some CV; but a long interval is followed by a short one, and the count strays less than that "
            "of a renewal code of the same CV. These codes obey the 1/N law above instead."
        )
    if above:
        text.append(f"The error is above the law for {', '.join(above)}: successive intervals are not independent.")
    return text


def _steps(steps: pd.DataFrame) -> list[str]:
    moved = steps[(steps["change_low"] > 0) | (steps["change_high"] < 0)]
    names = ", ".join(
        f"{row.circuit} ({row.tv:.4f} to {row.tv_halved:.4f}, spikes a row {row.spikes_per_row:.0f} to "
        f"{row.spikes_halved:.0f})"
        for row in moved.itertuples()
    )
    text = "`change_low` to `change_high` is the 95 % interval of the change in TV (Welch). " + (
        f"Halving the step moves the error significantly in: {names}." if names else "No error moves significantly."
    )
    if "subtractive" in set(steps["circuit"]):
        text += " For `subtractive` a step is a timestep of the paper, so half of it doubles T, not the accuracy."
    return [text]


def _provenance(data: xr.Dataset) -> str:
    lines = [
        f"- {name}: step {float(data['dt_ms'].sel(circuit=name)):g} ms, "
        f"{data['target'].sel(circuit=name).item()} ({data['target_reason'].sel(circuit=name).item()}), "
        f"parameters in SI base units {data['parameters'].sel(circuit=name).item()}"
        for name in data["circuit"].values
        if name in SOFTMAX_CIRCUITS
    ]
    versions = ", ".join(f"{k} {v}" for k, v in json.loads(data.attrs["versions"]).items())
    lines += [f"- {versions}", f"- revision {data.attrs['git_revision']}; compiler {data.attrs['compilers']}"]
    return "\n".join(lines)
