"""Sentences of the design rule's report, each built from the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from biospike.theory import design_rule, paper
from biospike.verdicts import BETWEEN, FLOOR, HALF, ONE
from validation.rule.record import ENCODING_ONLY

WELL = 0.9
"""R squared from which a line is said to describe the points."""
FIRST_STEPS = 10
"""Timesteps before which a Poisson train of at most one spike a step is short of spikes."""


def _name(row: pd.Series) -> str:
    return f"{row['encoder']}, {row['circuit']}"


def _interval(row: pd.Series, name: str) -> str:
    return f"{row[name]:.3g} [{row[f'{name}_low']:.3g}, {row[f'{name}_high']:.3g}]"


def _run(data: xr.Dataset, encoder: str, circuit: str) -> int:
    """Place of an encoder and circuit among the runs."""
    return int(np.flatnonzero(((data["encoder"] == encoder) & (data["circuit"] == circuit)).values)[0])


def agreement(data: xr.Dataset) -> list[str]:
    """Measured over expected squared error of the encoders alone, over all windows of a set."""
    found = []
    for run in range(data.sizes["run"]):
        one = data.isel(run=run)
        if not np.isfinite(one["expected"]).any():
            continue
        # Windows differ in size of the error by decades: each is compared before they are averaged.
        later = one.isel(checkpoint=one["timesteps"].values > FIRST_STEPS)
        measured, expected = (later[name].mean("sample") for name in ("squared_error", "expected"))
        ratio = (measured / expected.where(expected > 0)).mean(("split", "checkpoint"))
        words = [
            f"{name} {float(ratio.sel(read_out=name).mean()):.3f} ({float(ratio.sel(read_out=name).min()):.2f} to "
            f"{float(ratio.sel(read_out=name).max()):.2f})"
            for name in ("plain", "inside")
        ]
        found.append(f"* {one['encoder'].item()}: {'; '.join(words)}")
    return [
        "Independent values of variance v_i have the expected squared error sum v_i plain, and tr(P diag(v)) inside "
        "the subspace; v is x(1 - x)/T for Bernoulli, x/(rate T) for Poisson, f(1 - f)/T^2 for regular spikes, f the "
        f"fraction of x T. Measured over expected beyond {FIRST_STEPS} steps, mean over input sets (least to most):",
        "\n".join(found),
    ]


def prefer(fits: pd.DataFrame) -> list[str]:
    """For every read-out, on which dimension T*eps^2 depends."""
    mine = fits[(fits["norm"] == "frobenius") & fits["C"].notna()]
    lines = []
    for read_out, of_read_out in mine.groupby("read_out", sort=False):
        count = of_read_out["verdict"].value_counts()
        told = ", ".join(f"{verdict} ({number})" for verdict, number in count.items())
        d_eff, ambient, rank = (of_read_out[f"r_squared_{name}"] for name in ("d_eff", "ambient", "rank"))
        lines.append(
            f"**{read_out} read-out, Frobenius.** AICc prefers, of {len(of_read_out)} fits: {told}. R^2 on d_eff "
            f"{d_eff.min():.2f} to {d_eff.max():.2f} (median {d_eff.median():.2f}), on n*d {ambient.min():.2f} to "
            f"{ambient.max():.2f} (median {ambient.median():.2f}), on the axes kept {rank.min():.2f} to "
            f"{rank.max():.2f} (median {rank.median():.2f}); of the rule itself, through the origin, "
            f"{of_read_out['r_squared_rule'].min():.2f} to {of_read_out['r_squared_rule'].max():.2f}. "
            f"{_winner(of_read_out)}"
        )
    alone = mine[(mine["encoder"] == "bernoulli") & (mine["circuit"] == ENCODING_ONLY)].set_index("read_out")
    if {"plain", "inside"} <= set(alone.index):
        lines.append(_bernoulli(alone))
    return lines


def _winner(fits: pd.DataFrame) -> str:
    better = (fits["r_squared_d_eff"] > fits["r_squared_ambient"]).mean()
    described = (fits["r_squared_rule"] >= WELL).sum()
    words = "d_eff" if better > 0.5 else "the ambient dimension" if better < 0.5 else "neither more often"
    return (
        f"Of the two, {words} explains more in {max(better, 1 - better):.0%} of the fits; the rule reaches "
        f"R^2 = {WELL} in {described} of {len(fits)}."
    )


def _bernoulli(alone: pd.DataFrame) -> str:
    plain, inside = alone.loc["plain"], alone.loc["inside"]
    text = "For Bernoulli encoding the powers of T are "
    text += "; ".join(
        f"{name}: " + ", ".join(f"{label} {_interval(row, key)}" for key, label in
                                (("d_eff_power", "d_eff"), ("ambient_power", "n*d")))
        for name, row in (("plain", plain), ("inside", inside)) if np.isfinite(row["d_eff_power"])
    )  # fmt: skip
    better = [
        name for name, row in (("plain", plain), ("inside", inside))
        if row["r_squared_d_eff"] > row["r_squared_ambient"]
    ]  # fmt: skip
    told = {
        (): "neither: n*d explains more with both",
        ("inside",): "the projecting one, once what it loses is left out",
        ("plain",): "the plain one",
        ("plain", "inside"): "both, as far as these sets tell",
    }[tuple(better)]
    return f"{text}. So the read-out that the rule's dimension describes is {told}."


def per_entry(fits: pd.DataFrame) -> list[str]:
    """Whether the error per entry depends on any dimension."""
    plain = fits[(fits["norm"] == "rms") & (fits["read_out"] == "plain") & fits["C"].notna()]
    if plain.empty:
        return []
    constant = plain["verdict"].str.contains("none")
    text = (
        f"**Per entry.** With the plain read-out T*eps^2 is then a constant by AICc, or not told from one, in "
        f"{constant.sum()} of {len(plain)} fits; the rule through the origin has R^2 "
        f"{plain['r_squared_rule'].min():.2f} to {plain['r_squared_rule'].max():.2f}. "
    )
    known = plain.dropna(subset=["d_eff_power"])
    if len(known):
        text += (
            f"Powers of d_eff {known['d_eff_power'].min():.2f} to {known['d_eff_power'].max():.2f}, of n*d "
            f"{known['ambient_power'].min():.2f} to {known['ambient_power'].max():.2f} (the rule: 1 and 0). "
        )
    return [
        text + "A mean over entries divides by n*d, and so hides the ambient dimension of the sum; who measures eps "
        "per entry sees no dimension in the plain read-out, and d_eff/(n*d) in the projecting one."
    ]


def truncation(data: xr.Dataset, summary: pd.DataFrame) -> list[str]:
    """What the projection loses, and what it cannot reach."""
    mine = summary[(summary["norm"] == "frobenius") & (summary["split"] == "calibration")]
    missed = {}
    for read_out in ("plain", "projected", "inside"):
        one = mine[mine["read_out"] == read_out]
        missed[read_out] = int(one["diagnostics"].str.contains("not reached").sum())
    alone = int(np.flatnonzero((data["circuit"] == ENCODING_ONLY).values)[0])
    errors = data["squared_error"].isel(run=alone).mean("sample")
    loss = ((errors.sel(read_out="projected") - errors.sel(read_out="inside")).max(dim="checkpoint")) ** 0.5
    here, there = (loss.sel(split=split).values for split in ("calibration", "validation"))
    return [
        f"**What a projection loses.** Outside the subspace lies an error of {here.min():.2f} to {here.max():.2f} in "
        f"the calibration half and {there.min():.2f} to {there.max():.2f} in the validation half (Frobenius, encoding "
        "only, over the input sets), whatever T. Below it the rule has no T at all. Of "
        f"{(mine['read_out'] == 'plain').sum()} cases, {missed['plain']} were not reached by the plain, "
        f"{missed['projected']} by the projected, {missed['inside']} by the inside read-out within the longest "
        "window."
    ]


def constants(data: xr.Dataset, fits: pd.DataFrame) -> list[str]:
    """C beside the paper's, for the projecting read-out."""
    mine = fits[(fits["norm"] == "frobenius") & (fits["read_out"] == "inside") & (fits["C"] > 0)]
    low, high = paper.C_INTERVAL
    lines = []
    for _, row in mine.iterrows():
        overlap = row["C_low"] <= high and row["C_high"] >= low
        ratio = row["C"] / paper.C
        factor = f"{ratio:.2g} times" if ratio >= 1 else f"{1 / ratio:.2g} times below"
        relation = "overlaps" if overlap else "does not overlap"
        lines.append(f"* {_name(row)}: C = {_interval(row, 'C')}, {factor} the paper's; its interval {relation}.")
    text = [
        f"The paper's abstract has C = {paper.C} [{low}, {high}]. Inside the subspace, Frobenius:",
        "\n".join(lines),
    ]
    alone = mine[(mine["encoder"] == "bernoulli") & (mine["circuit"] == ENCODING_ONLY)]
    for _, row in alone.iterrows():
        lipschitz = np.sqrt(paper.C / row["C"])
        text.append(
            "For Bernoulli spikes theory gives C = L_f^2 times the mean x(1 - x) inside the subspace, at most L_f^2/4: "
            f"measured {row['C']:.3f}, {'within' if row['C_low'] <= 0.25 else 'above'} that bound for L_f = 1. The "
            f"paper's C would need an L_f of {lipschitz:.1f} behind such a read-out. Set by set the closed form is "
            f"{_closed_constants(data)}, which is why one C does not fit all of them."
        )
    rates, per_spike = [], []
    for _, row in mine[mine["circuit"] != ENCODING_ONLY].iterrows():
        one = data["row_spikes"].values[_run(data, row["encoder"], row["circuit"])] / data["timesteps"].values
        by_window = one[..., np.isfinite(one).all(axis=(0, 1))].mean(axis=(0, 1))
        rates.append(by_window)
        per_spike.append(float(by_window.mean()) * row["C"])
    if rates:
        first, last = np.mean(rates, axis=0)[[0, -1]]
        text.append(
            f"In the attention a row had {first:.3f} spikes a step in the shortest and {last:.3f} in the longest "
            "window. In attention spikes N instead of timesteps, at the mean rate over windows, the constants are "
            f"{min(per_spike):.2f} to {max(per_spike):.2f}: the noise of N routed values falls as 1/N, so that C in "
            "timesteps goes with the rate at which rows spike."
        )
    return text


def _closed_constants(data: xr.Dataset) -> str:
    """Range of T*eps^2/d_eff inside the subspace that the closed form gives for Bernoulli encoding."""
    run = _run(data, "bernoulli", ENCODING_ONLY)
    law = data["expected"].isel(run=run).sel(read_out="inside", split="calibration").mean("sample")
    constant = (law * data["timesteps"]).mean("checkpoint") / data["d_eff"]
    values, names = constant.values, data["input_set"].values
    low, high = int(values.argmin()), int(values.argmax())
    return f"{values[low]:.3f} ({names[low]}) to {values[high]:.3f} ({names[high]})"


def speeds(fits: pd.DataFrame, orders: pd.DataFrame) -> list[str]:
    """Power of eps by encoder and circuit, 2 for the rule, and the order that is told of the error in T."""
    mine = fits[(fits["norm"] == "frobenius") & (fits["read_out"] == "inside")].dropna(subset=["eps_power"])
    told = orders.set_index(["encoder", "circuit"])
    lines = []
    for _, row in mine.iterrows():
        order = told.loc[(row["encoder"], row["circuit"])]
        words = {
            HALF: "the 1/sqrt(T) that the rule needs",
            ONE: "the 1/T of a regular code, not the rule's 1/sqrt(T)",
            BETWEEN: "between the rule's 1/sqrt(T) and the 1/T of a regular code",
            FLOOR: "it stops at a floor",
        }.get(order["verdict"], f"undecided ({order['reason']})")
        lines.append(f"* {_name(row)}: T ~ eps^-{_interval(row, 'eps_power')}, a local power; order in T: {words}.")
    if not lines:
        return ["Too few errors were reached to tell."]
    return [
        "Where the order is not 1/sqrt(T), no constant C exists: T*eps^2 moves with eps, and a C fitted over several "
        "eps is one of those eps. The order is that of the plain read-out.",
        "\n".join(lines),
    ]


def predictions(fits: pd.DataFrame) -> list[str]:
    """How well the calibration half predicts the other."""
    mine = fits[(fits["norm"] == "frobenius")].dropna(subset=["factor_d_eff", "factor_ambient", "factor_none"])
    if mine.empty:
        return ["No T of the validation half is known."]
    lines = []
    for read_out, one in mine.groupby("read_out", sort=False):
        medians = {name: one[f"factor_{name}"].median() for name in ("d_eff", "ambient", "none")}
        best = min(medians, key=lambda name: medians[name])
        words = {"d_eff": "C d_eff/eps^2", "ambient": "C' n*d/eps^2", "none": "C''/eps^2"}
        told = ", ".join(f"{words[name]} by a factor of {value:.2f}" for name, value in medians.items())
        lines.append(f"* {read_out}: {told}; best {words[best]}.")
    return [
        "The T of the validation half misses what the calibration half predicts, in the median over encoders and "
        "circuits of the typical factor (Frobenius):",
        "\n".join(lines),
    ]


def four_steps(data: xr.Dataset, fits: pd.DataFrame, at: int) -> pd.DataFrame:
    """Errors measured in window `at` with Bernoulli encoding alone, beside what the rule grants."""
    run = _run(data, "bernoulli", ENCODING_ONLY)
    errors = data["squared_error"].isel(run=run, checkpoint=at).sel(split="calibration").mean("sample") ** 0.5
    steps = float(data["timesteps"].values[at])
    table = pd.DataFrame({"input_set": data["input_set"].values, "d_eff": data["d_eff"].values})
    for read_out in ("plain", "inside"):
        table[read_out] = errors.sel(read_out=read_out).values
    table["rms"] = table["plain"] / np.sqrt(data["ambient"].values)
    table["relative"] = table["plain"] / data["input_norm"].values
    table["rule, paper"] = design_rule.eps(table["d_eff"], steps)
    mine = fits[(fits["norm"] == "frobenius") & (fits["read_out"] == "inside") & (fits["encoder"] == "bernoulli")]
    constant = mine[mine["circuit"] == ENCODING_ONLY]["C"].to_numpy()
    if constant.size and constant[0] > 0:
        table["rule, measured C"] = design_rule.eps(table["d_eff"], steps, constant[0])
    return table
