"""What the comparison of softmax circuits means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from biospike.plots import RASTER_KEYS
from biospike.tables import CONVERGENCE_MEANINGS, NOT_RUN, SUMMARY_MEANINGS
from biospike.verdicts import FLOOR, NO_ERROR, UNDECIDED
from validation.softmax.controls import FLOOR_CURVE, NORMALISATION
from validation.softmax.regularity import REGULARITY
from validation.softmax.row_sets import ROW_SETS
from validation.softmax.tables import regularity_law
from validation.study.claims import Finding, findings_text
from validation.study.left_out import paragraphs
from validation.study.report import described, made, markdown, origin, spikes_by_target
from validation.study.thresholds import CLOSE, SMALL

HELD = 0.05
"""Spread of the row's rate, and nats by which it moves, up to which the circuit is said to hold it."""

SHOWN_OF_SETS = (
    *("rows_kind", "circuit", "spikes_per_row", "tv", "tv_low", "tv_high", "tv_expected", "limit_tv", "tv_fixed"),
    *("rate_spread", "order", "order_of_law", "order_of_law_low", "order_of_law_high", "verdict", "reason"),
)
"""Columns of ``row_sets.csv`` that the report has."""


def report(
    data: xr.Dataset,
    summary: pd.DataFrame,
    convergence: pd.DataFrame,
    steps: pd.DataFrame,
    findings: Sequence[Finding] = (),
    left_out: Mapping[str, str] | None = None,
    curves: Mapping[str, pd.DataFrame] | None = None,
) -> str:
    """Return the report as Markdown; `left_out` holds circuits that were not run, and why, `curves` further tables."""
    curves = curves or {}
    last = summary.groupby("circuit", sort=False).tail(1).set_index("circuit")
    ran = summary[summary["circuit"].isin(data["circuit"].values)]
    parts = [
        "# Spiking circuits against the exact softmax",
        _what_was_run(data, last),
        spikes_by_target({name: data["target"].sel(circuit=name).item() for name in data["circuit"].values}),
        "![convergence](convergence.png)",
        "## The longest window",
        markdown(last.reset_index().drop(columns=["rows", "trials"])),
        described(SUMMARY_MEANINGS),
        "## Shares, and whether the circuit normalises",
        *normalising(last),
        "![controls](controls.png)",
        *_floor_curve(curves.get("floor_curve")),
        *row_sets_text(curves.get("row_sets")),
        *([] if curves else [WITHOUT_CURVES]),
        "## Order of convergence",
        markdown(convergence),
        described(CONVERGENCE_MEANINGS),
        "## What holds",
        *paragraphs((left_out or {}).values()),
        *_undecided(convergence),
        findings_text(findings),
        "## The law that joins them: error = CV times the multinomial law",
        markdown(regularity_law(data, ran)),
        *family_text(curves.get("regularity")),
        "## Effect of halving the step",
        markdown(steps),
        *_steps(steps),
        _raster(data.sizes["key"]),
        _made(data),
    ]
    return "\n\n".join(parts) + "\n"


WITHOUT_CURVES = (
    "With `--curves`, in three times the time, the same circuits also run on rows of doubled and of quartered logits, "
    "Lemma 3 at other weights, and `escape` at other regularities."
)
"""Said of a run without the further tables."""


def normalising(last: pd.DataFrame) -> list[str]:
    """What the shares say of a circuit and what its rates say, from the longest windows, indexed by circuit."""
    ran = last[last["tv"].notna()]
    parts = [
        markdown(ran.reset_index()[["circuit", "tv", *NORMALISATION]]),
        "Shares divide by the row's own count, whatever the circuit does; what the *circuit* normalises is the rate. "
        + "; ".join(f"`{name}`: {meaning}" for name, meaning in NORMALISATION.items())
        + ".",
    ]
    known = ran.dropna(subset=["rate_spread", "rate_shift", "rate_scale"])
    held = (known[["rate_spread", "rate_shift", "rate_scale"]].abs() < HELD).all(axis=1)
    if held.any():
        parts.append(
            f"**The circuit normalises:** the row's rate is the same to {HELD:.0%} over the rows, and when the logits "
            f"of all keys are shifted or scaled, in {', '.join(known.index[held])}."
        )
    # Where the rates err as little as the shares, as of one dominating key, nothing is told apart.
    only = known[~held & (known["tv"] < SMALL) & (known["tv_fixed"] > SMALL)]
    if len(only):
        parts.append(
            "**Only the read-out normalises:** the shares of "
            + "; ".join(
                f"{row.Index} are right to TV {row.tv:.2g} while its rates over one constant err by {row.tv_fixed:.2g}"
                for row in only.itertuples()
            )
            + ". A small error of the shares is no evidence that a circuit normalises."
        )
    return parts


def _floor_curve(floors: pd.DataFrame | None) -> list[str]:
    if floors is None:
        return []
    worst = (floors["tv"] - floors["tv_law"]).abs().max()
    return [
        "## The floor of Lemma 3 against its weight",
        markdown(floors),
        described(FLOOR_CURVE),
        "The weight w, in thresholds, is free in the sources, which give the feedback once as the mean and once as the "
        "sum of the row's spikes. `tv_law` is the closed form of the fixed point for beta = 1, from which the "
        f"simulated floors differ by at most {worst:.2g}.",
    ]


def row_sets_text(table: pd.DataFrame | None) -> list[str]:
    """The main table on every set of rows, and what they turn over."""
    if table is None or table["rows_kind"].nunique() < 2:
        return []
    told = table[table["verdict"] != UNDECIDED]
    turned = [
        f"{name} ({', '.join(f'{row.rows_kind} {row.verdict}' for row in mine.itertuples())})"
        for name, mine in told.groupby("circuit", sort=False)
        if mine["verdict"].nunique() > 1
    ]
    text = f"The verdict turns with the rows of: {'; '.join(turned)}." if turned else "No verdict turns with the rows."
    open_ = ", ".join(f"{row.circuit} on {row.rows_kind} rows ({row.reason})" for row in
                      table[table["verdict"] == UNDECIDED].itertuples())  # fmt: skip
    return [
        "## The same on peaked and on flat rows",
        markdown(table[[name for name in SHOWN_OF_SETS if name in table]]),
        described(ROW_SETS),
        text + (f" Undecided: {open_}." if open_ else ""),
    ]


def family_text(table: pd.DataFrame | None) -> list[str]:
    """Where the law of the CV holds in the family of known CV, member by member."""
    if table is None:
        return []
    lines = []
    for k, rows in table.groupby("k", sort=False):
        held, failed = (rows[rows["verdict"] == verdict] for verdict in ("holds", "does not hold"))
        said = [
            f"{words} at {', '.join(f'{n:.0f}' for n in some['spikes_per_row'])} spikes a row"
            for words, some in (("holds", held), ("does not hold", failed))
            if len(some)
        ]
        law = rows["family_law"].iloc[-1]
        own = ""
        if law > NO_ERROR:
            off = rows["tv"].iloc[-1] / law - 1
            own = f"; in the longest window the error is {off:+.1%} from the family's own law"
        lines.append(f"* **k = {k:g}**, CV {rows['cv'].iloc[0]:.3g}: {'; '.join(said) or 'no window decides'}{own}.")
    return [
        "Members of one family, `escape` with thresholds of Gamma(k), differ in nothing but their CV, so that the law "
        "can fail there: it leaves out that counts are whole, which is all there is at k = infinity, and what a few "
        f"intervals do not average. Within {CLOSE:.0%} of the law, by the 95 % interval of the error:",
        "\n".join(lines),
        markdown(table),
        described(REGULARITY),
    ]


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


def _undecided(convergence: pd.DataFrame) -> list[str]:
    """What is undecided and why, and what no bias means."""
    lines = []
    mine = convergence[(convergence["verdict"] == UNDECIDED) & (convergence["reason"] != NOT_RUN)]
    if len(mine):
        named = ", ".join(f"{row.circuit} ({row.reason}{_needed(row.trials_needed)})" for row in mine.itertuples())
        lines.append(f"**Undecided.** No order can be told of: {named}.")
    told = convergence[~convergence["verdict"].isin((UNDECIDED, FLOOR))]
    fading = told[told["reason"] != ""]
    told = told[told["reason"] == ""]
    if len(fading):
        lines.append(
            f"**A bias that falls as 1/N** was found of {', '.join(fading['circuit'])}: it does not last, and makes "
            "less than half of the error."
        )
    if len(told):
        seen = ", ".join(f"{row.circuit} {row.bias_resolvable:.2g}" for row in told.itertuples())
        lines.append(
            f"**No bias was found of** {', '.join(told['circuit'])}. A constant one would have been, in 95 % of such "
            f"runs, from an rms L2 length of a row's bias of: {seen}."
        )
    return lines


def _needed(trials: float) -> str:
    return f"; about {trials:.0f} trials would decide" if pd.notna(trials) else ""


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
    untold = steps[steps["change_low"].isna() & steps["tv"].notna() & steps["tv_halved"].notna()]
    if len(untold):
        each = ", ".join(f"{row.circuit} ({row.tv:.4f} to {row.tv_halved:.4f})" for row in untold.itertuples())
        text += f" Without an interval, since nothing scatters over these trials, or there is one: {each}."
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
