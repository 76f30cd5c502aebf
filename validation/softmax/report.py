"""What the comparison of softmax circuits means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from biospike.plots import RASTER_KEYS
from biospike.tables import NOT_RUN, UNDECIDED
from validation.softmax.tables import regularity_law
from validation.study.claims import Finding, findings_text
from validation.study.report import made, markdown, origin


def report(
    data: xr.Dataset,
    summary: pd.DataFrame,
    convergence: pd.DataFrame,
    steps: pd.DataFrame,
    findings: Sequence[Finding] = (),
    left_out: Mapping[str, str] | None = None,
) -> str:
    """Return the report as Markdown; `left_out` holds circuits that were not run, and why."""
    last = summary.groupby("circuit", sort=False).tail(1).set_index("circuit")
    ran = summary[summary["circuit"].isin(data["circuit"].values)]
    parts = [
        "# Spiking circuits against the exact softmax",
        _what_was_run(data, last),
        _targets(data),
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
        findings_text(findings),
        "## The law that joins them: error = CV times the multinomial law",
        markdown(regularity_law(data, ran)),
        "## Effect of halving the step",
        markdown(steps),
        *_steps(steps),
        _raster(data.sizes["key"]),
        _made(data),
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


def _targets(data: xr.Dataset) -> str:
    by_target: dict[str, list[str]] = {}
    for name in data["circuit"].values:
        by_target.setdefault(data["target"].sel(circuit=name).item(), []).append(name)
    named = "; ".join(f"`{target}`: {', '.join(names)}" for target, names in by_target.items())
    return f"Spikes by target: {named}." + (
        " Target `fused` is kernels that find the spikes of the Brian2 network, every one."
        if "fused" in by_target
        else ""
    )


def _not_run(left_out: Mapping[str, str]) -> list[str]:
    return [f"**Not run.** {line}." for line in left_out.values()]


def _undecided(convergence: pd.DataFrame) -> list[str]:
    mine = convergence[(convergence["verdict"] == UNDECIDED) & (convergence["reason"] != NOT_RUN)]
    if mine.empty:
        return []
    named = ", ".join(f"{name} ({reason})" for name, reason in zip(mine["circuit"], mine["reason"], strict=True))
    return [f"**Undecided.** No order can be told of: {named}."]


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


def _made(data: xr.Dataset) -> str:
    lines = [
        f"{name}: step {float(data['dt_ms'].sel(circuit=name)):g} ms, "
        f"{data['target'].sel(circuit=name).item()} ({data['target_reason'].sel(circuit=name).item()}), "
        f"parameters in SI base units {data['parameters'].sel(circuit=name).item()}"
        for name in data["circuit"].values
    ]
    return made(*lines, **origin(data) | {"compiler": data.attrs["compilers"]})
