"""What the approximation study means, in plain words made from its numbers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from biospike.verdicts import FLOOR, UNDECIDED, decide
from validation.approximation.tables import feature_noise, noise_evidence, slope
from validation.approximation.targets import TARGETS
from validation.study.claims import Finding, findings_text
from validation.study.report import made, markdown, origin

POPULATIONS = ("encoder", "qkv", "attention", "output")
MOSTLY = 0.5
"""Share of the mean square error above which one cause is said to dominate."""
BUDGET = 0.25
"""Part of the spikes for which the report names the best use."""
SHOWN = [
    "target",
    "spikes_total",
    "sup_error",
    "sup_low",
    "sup_high",
    "rms_error",
    "limit_sup_error",
    "limit_rms_error",
    "limit_box_error",
    "constant_sup_error",
    "diagnostics",
]


def report(data: xr.Dataset, table: pd.DataFrame, findings: Sequence[Finding]) -> str:
    """Return the report as Markdown."""
    heads, timesteps = table["heads"].max(), table["timesteps"].max()
    of_time, of_heads = table[table["heads"] == heads], table[table["timesteps"] == timesteps]
    last = of_time[of_time["timesteps"] == timesteps].set_index("target")
    fits, demands = orders(of_time, of_heads), demanded(last)
    sections = [
        "# Functions of token sets, approximated by spiking heads",
        _what_was_run(data, table),
        "\n".join(f"* `{name}`: {_in_words(name)}" for name in last.index),
        "![approximation](approximation.png)",
        f"## All {heads} heads, {timesteps} timesteps",
        markdown(last.reset_index()[SHOWN]),
        f"`sup_error` is the largest error over the {table['samples'].iloc[0]} samples and their tokens, none of which "
        "its read-out has seen; `sup_low` to `sup_high` a 95 % interval of what as many other samples would give on "
        "average; `limit_` the same for the same heads in the rate-domain limit, with a read-out of its own; "
        "`limit_box_error` the largest error that a search of the whole box finds in that limit; `constant_sup_error` "
        "the error of a constant; `spikes_total` all spikes of a sample, from the encoders to the outputs, score stage "
        "or warm-up included.",
        "## What falls, and how fast",
        markdown(fits),
        "Local slopes of log(error), with 95 % intervals of the fit, which say nothing of a law: "
        "`_T` against the timesteps with all heads, `_H` against "
        "the heads in the longest window, `limit_` against the heads in the rate-domain limit.",
        _speeds(of_time, fits),
        _noise(data),
        "## What limits",
        *[_limits(name, row) for name, row in last.iterrows()],
        _budget(table),
        "## Beside the paper",
        markdown(demands),
        *_paper(demands, data),
        "## What this shows, and what not",
        *_caveats(last),
        "## Claims",
        findings_text(findings),
        _made(data),
    ]
    return "\n\n".join(sections) + "\n"


def orders(of_time: pd.DataFrame, of_heads: pd.DataFrame) -> pd.DataFrame:
    """Slopes of log(error) against log(timesteps) and log(heads), one row a target."""
    fitted = {
        "sup_T": (of_time, "timesteps", "sup_error"),
        "rms_T": (of_time, "timesteps", "rms_error"),
        "sup_H": (of_heads, "heads", "sup_error"),
        "rms_H": (of_heads, "heads", "rms_error"),
        "limit_sup_H": (of_heads, "heads", "limit_sup_error"),
        "limit_rms_H": (of_heads, "heads", "limit_rms_error"),
    }
    rows = []
    for name in of_time["target"].unique():
        row = {"target": name}
        for column, (table, x, error) in fitted.items():
            mine = table[table["target"] == name]
            row[column] = _slope(mine[x].to_numpy(dtype=float), mine[error].to_numpy(dtype=float))
        rows.append(row)
    return pd.DataFrame(rows)


def _slope(x: np.ndarray, error: np.ndarray) -> str:
    found, low, high = slope(x, error)
    return "" if np.isnan(found) else f"{found:.2f} ({low:.2f} to {high:.2f})"


def demanded(last: pd.DataFrame) -> pd.DataFrame:
    """What was used beside what the paper's formulas ask for at the error reached, and the ratios used/asked."""
    used = {"H": last["heads"], "T": last["timesteps"], "spikes": last["spikes_total"]}
    table = pd.DataFrame({"target": last.index, "eps": last["sup_error"].to_numpy()})
    table["L"], table["paper_L"] = 1, last["paper_L"].to_numpy()
    for name, values in used.items():
        table[name], table[f"paper_{name}"] = values.to_numpy(), last[f"paper_{name}"].to_numpy()
        table[f"{name} used/asked"] = table[name] / table[f"paper_{name}"]
    return table


def _what_was_run(data: xr.Dataset, table: pd.DataFrame) -> str:
    row, folds = table.iloc[0], len(np.unique(data["fold"]))
    trials = "" if row["trials"] == 1 else f", {row['trials']} trials of each"
    return (
        f"{data.sizes['sample']} random sets of {row['tokens']} tokens with {row['features']} features in [0, 1]"
        f"{trials} went through {data.sizes['head']} spiking attention heads of width {row['width']} (mode "
        f"{row['mode']}, softmax by `{row['softmax']}`, R0 a tenth of a spike a row and step). The heads were "
        "chosen in the rate domain from random ones, most useful first, for all targets together; the first H of them "
        "are the network of H heads. Features are the ON and OFF output spikes of a token per attention spike. A "
        f"linear read-out predicts the samples of each of {folds} parts; it is fitted to the others by least squares, "
        "with a penalty found by leaving out one sample after the other, for every number of heads and window anew."
    )


def _in_words(name: str) -> str:
    if name not in TARGETS:
        return "a function of the user."
    return " ".join((inspect.getdoc(TARGETS[name]) or "").split("\n\n", maxsplit=1)[0].split())


def _speeds(of_time: pd.DataFrame, fits: pd.DataFrame) -> str:
    first, last = of_time["timesteps"].min(), of_time["timesteps"].max()
    ridge = of_time.groupby("timesteps")["ridge"].median()
    text = (
        "The theorem's formulas mean order -1/2 in both T and H. The error of the read-out is bias and noise traded "
        f"against each other: the penalty chosen is {ridge[first]:.2g} of the largest squared singular value at "
        f"{first} timesteps and {ridge[last]:.2g} at {last} (median over targets)."
    )
    if ridge[last] < ridge[first]:
        text += " So a longer window is spent on both, less noise in a feature and more features that stand out of it."
    known = fits.loc[fits["rms_T"] != "", ["target", "rms_T"]]
    return (
        f"{text} Order of the root mean square error in T: "
        + ", ".join(f"{name} {told}" for name, told in known.itertuples(index=False))
        + ("." if len(known) else "too few windows.")
    )


def _noise(data: xr.Dataset) -> str:
    measured, law = feature_noise(data)
    timesteps = data["timesteps"].values
    slope = _slope(timesteps.astype(float), measured)
    found = decide(noise_evidence(data))
    told = f"undecided ({found.reason})" if found.verdict == UNDECIDED else found.verdict.replace("N", "T")
    seen = (
        f", where a constant bias of {found.bias_resolvable:.2g} (rms L2 length of a token's bias) would have been seen"
    )
    return (
        "Were attention spikes independent draws that find a value spike with probability m, an output would stray "
        f"from its limit by sqrt(m(1 - m)/N). Over all outputs at {timesteps[-1]} timesteps this law gives "
        f"{law[-1]:.4f} root mean square; measured is {measured[-1]:.4f}"
        + (f"; local slope in T {slope}" if slope else "")
        + f". Order in T, the theorem's being 1/sqrt(T): {told}"
        + (seen if np.isfinite(found.bias_resolvable) and found.verdict != FLOOR else "")
        + ". The sup norm has no order: the largest of noisy errors is biased upwards, the more the fewer spikes."
    )


def _limits(name: object, row: pd.Series) -> str:
    spikes = 1 - (row["limit_rms_error"] / row["rms_error"]) ** 2 if row["rms_error"] > 0 else 0.0
    text = (
        f"**{name}.** Sup-norm error {row['sup_error']:.3f} ({row['sup_low']:.3f} to {row['sup_high']:.3f}), "
        f"{row['limit_sup_error']:.3f} in the limit, {row['constant_sup_error']:.3f} for a constant; root mean square "
        f"error {row['rms_error']:.4f}, {row['limit_rms_error']:.4f} in the limit. "
    )
    if spikes > MOSTLY:
        return text + (
            f"Spikes make {spikes:.0%} of the mean square error: a longer window would help more than more heads."
        )
    return text + (
        f"The limit of these heads makes {1 - max(spikes, 0):.0%} of the mean square error: more heads would help "
        "more than a longer window."
    )


def _budget(table: pd.DataFrame) -> str:
    """Best number of heads and window for a part of the spikes."""
    most = table["spikes_total"].max() * BUDGET
    affordable = table[table["spikes_total"] <= most]
    best = affordable.loc[affordable.groupby("target", sort=False)["rms_error"].idxmin()]
    found = "; ".join(
        f"{row.target} {row.rms_error:.4f} with H = {row.heads}, T = {row.timesteps}" for row in best.itertuples()
    )
    return (
        f"**Spending spikes.** The least root mean square errors with at most {most:,.0f} spikes a sample, "
        f"{BUDGET:.0%} of the most used: {found}."
    )


def _paper(demands: pd.DataFrame, data: xr.Dataset) -> list[str]:
    populations = {name: float(data[f"spikes_{name}"][..., -1].mean()) for name in POPULATIONS}
    qkv = populations["qkv"] / sum(populations.values())
    low, high = demands["eps"].min(), demands["eps"].max()
    return [
        "Theorem 7 asks for L = ln(1/eps) layers, H = n^2 d/eps^2 heads, T = n^2 d_k^2/eps^2 timesteps, and Theorem 8 "
        "for at least n d/eps^2 spikes (L_f = 1), all with constants that the paper does not give and that are 1 here. "
        f"At the errors reached, {low:.3f} to {high:.3f}:",
        f"* layers: one with a linear read-out, where the formula gives {_span(demands['paper_L'])};\n"
        f"* heads: {_ratio(demands['H used/asked'])};\n"
        f"* timesteps: {_ratio(demands['T used/asked'])};\n"
        f"* spikes: {_ratio(demands['spikes used/asked'])}. {qkv:.0%} of them are queries, keys and values, and every "
        "head has its own; a bound from the information in a code counts no such copies.",
        "An order of magnitude with a constant of 1 is refuted by none of these ratios; they say how loose it is here.",
    ]


def _span(values: pd.Series) -> str:
    low, high = (f"{value:.2g}" if value < 10 else f"{value:,.0f}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _ratio(used: pd.Series) -> str:
    """Ratios used/asked in words."""
    if used.max() < 1:
        return f"{_span(1 / used)} times fewer than the formula asks for"
    if used.min() > 1:
        return f"{_span(used)} times as many as the formula asks for"
    return f"{_span(used)} times what the formula asks for"


def _caveats(last: pd.DataFrame) -> list[str]:
    worse = last["limit_box_error"] / last["limit_sup_error"]
    return [
        "**The sup norm.** The theorem's eps is a supremum over the whole box, samples give the largest of their own. "
        f"Of read-outs in the limit a search of the box finds errors {_span(worse)} times larger "
        f"({', '.join(f'{name} {value:.3f}' for name, value in last['limit_box_error'].items())}), and these are lower "
        "bounds too: least squares minimises the mean square, and corners of the box are rare in samples.",
        "**A demonstration.** Random heads with a least-squares read-out show that spiking attention can approximate "
        "these functions, and what it costs this way; they prove nothing about all functions, nor that fewer heads, "
        "trained ones, could not do better. There is one layer, no residual path and no network behind the read-out.",
    ]


def _made(data: xr.Dataset) -> str:
    return made(
        f"step {float(data.attrs['dt_ms']):g} ms, seed {data.attrs['seed']}, {data.attrs['target']} "
        f"({data.attrs['target_reason']})",
        f"parameters in SI base units {data.attrs['parameters']}",
        **origin(data),
    )
