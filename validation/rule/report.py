"""What the calibration of the design rule means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from biospike.tables import CONVERGENCE_MEANINGS
from biospike.theory import design_rule, paper
from validation.rule.claims import PIXELS
from validation.rule.constant_curve import CONSTANT_CURVE
from validation.rule.orders import ORDERS
from validation.rule.record import ENCODING_ONLY
from validation.rule.verdicts import (
    agreement,
    constants,
    four_steps,
    per_entry,
    predictions,
    prefer,
    speeds,
    truncation,
)
from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown, origin

FIT_COLUMNS = [
    "encoder", "circuit", "read_out", "sets", "C", "C_low", "C_high", "r_squared_rule", "r_squared_d_eff",
    "r_squared_ambient", "r_squared_rank", "eps_power", "d_eff_power", "ambient_power", "factor_d_eff",
    "factor_ambient", "verdict",
]  # fmt: skip
FEW_STEPS = 4


def report(
    data: xr.Dataset,
    summary: pd.DataFrame,
    fits: pd.DataFrame,
    orders: pd.DataFrame,
    findings: Sequence[Finding],
    curve: pd.DataFrame | None = None,
) -> str:
    """Return the report as Markdown; `curve` is the table of `constant_curve`."""
    norms = {norm: fits[fits["norm"] == norm][FIT_COLUMNS] for norm in ("frobenius", "rms")}
    figures = "\n\n".join(f"![{name}]({name}.png)" for name in ("rule_frobenius", "rule_rms", "constants"))
    sections = [
        "# The design rule T = C d_eff/eps^2, calibrated",
        _what_was_run(data),
        "## Which error",
        _definitions(),
        "## Inputs",
        markdown(_inputs(data)),
        "`d_eff`: principal components for 95 % of the variance of the calibration half, mean over five subsamples of "
        "80 %; `rank`: axes on which the decoded input is projected, and the output of the attention; "
        "`coin_variance`: mean x(1 - x); `logit_span`: nats between the largest and smallest logit of a row, on "
        "average; `input_norm`: root mean square of the Frobenius norm.",
        "## Closed forms",
        *agreement(data),
        "![errors](errors.png)",
        "## Constants and powers, Frobenius norm",
        markdown(norms["frobenius"]),
        _columns(),
        "## The same per entry",
        markdown(norms["rms"]),
        figures,
        "## Which dimension, which read-out",
        *prefer(fits),
        *per_entry(fits),
        *truncation(data, summary),
        "## The constant",
        *constants(data, fits),
        *_over_the_rate(curve),
        "## The power of eps",
        *speeds(fits, orders),
        markdown(orders),
        described({name: CONVERGENCE_MEANINGS[name] for name in ORDERS if name in CONVERGENCE_MEANINGS}),
        "## Inputs that took no part",
        *predictions(fits),
        "## Four timesteps",
        *_few_steps(data, fits),
        "## What this shows, and what not",
        _caveats(data),
        "## Claims",
        findings_text(findings),
        _made(data),
    ]
    return "\n\n".join(sections) + "\n"


def _over_the_rate(curve: pd.DataFrame | None) -> list[str]:
    if curve is None or curve["C"].isna().all():
        return []
    lines = []
    for (circuit, read_out), rows in curve.dropna(subset=["C"]).groupby(["circuit", "read_out"], sort=False):
        per_spike = rows["C"] * rows["row_rate"]
        lines.append(
            f"* `{circuit}`, {read_out}: "
            + ", ".join(f"C = {row.C:.3g} at {row.row_rate:g}" for row in rows.itertuples())
            + f" attention spikes a row and step; C times the rate {per_spike.min():.3g} to {per_spike.max():.3g}."
        )
    return [
        "**Over the row's rate.** T counts timesteps, and the rate of a row, which is chosen here, says how many "
        "spikes a timestep has. The constant per attention spike, C times the rate, is what the data fix where the "
        "attention is what errs:",
        "\n".join(lines),
        markdown(curve),
        described(CONSTANT_CURVE),
    ]


def _what_was_run(data: xr.Dataset) -> str:
    samples, kinds = data.sizes["sample"], pd.Series(data["kind"].values).value_counts()
    circuits = [name for name in dict.fromkeys(data["circuit"].values.tolist()) if name != ENCODING_ONLY]
    text = (
        f"{data.sizes['input_set']} sets of inputs ({kinds.get('real', 0)} real, {kinds.get('synthetic', 0)} of chosen "
        f"rank), {samples} inputs of either half each, {data.attrs['preset']} preset. Values in [0, 1] were encoded by "
        f"{', '.join(dict.fromkeys(data['encoder'].values.tolist()))} spikes in Brian2 and read back as rates: "
        "*encoding only*. "
    )
    if circuits:
        text += (
            "The same inputs went through one head of spiking self-attention, staged as in the theorem (T steps for "
            f"the scores, T for the attention), with {', '.join(f'`{name}`' for name in circuits)} as softmax; its "
            "output, as large as its input, was held against exact softmax attention of the same weights. A row has "
            f"about {data.attrs['spikes_per_step']:g} attention spikes a step. "
        )
    return text + (
        "The T at which an error stays below eps is interpolated in log-log between windows; where the first window "
        "is good enough already, or the last is not, it is censored and takes no part in a fit."
    )


def _definitions() -> str:
    return (
        "The rule does not say which error eps is, and its dimension depends on it. *Frobenius*: eps^2 is the mean "
        "over inputs of the squared error summed over the n*d values, which a third-party digest has in the objective. "
        "*Per entry* (`rms`): the same divided by n*d. The effective dimension cancels from neither by itself: with "
        "independent noise the first grows with n*d and the second with nothing. Read-outs: *plain*, the decoded "
        "values; *projected*, their projection on the principal subspace of the calibration half, held against the "
        "values themselves; *inside*, the same held against the projection of the values, which leaves out what a "
        "projection loses at every T."
    )


def _inputs(data: xr.Dataset) -> pd.DataFrame:
    names = ["kind", "ambient", "d_eff", "coin_variance", "logit_span", "input_norm"]
    table = pd.DataFrame({"input_set": data["input_set"].values} | {name: data[name].values for name in names})
    alone = (data["circuit"] == ENCODING_ONLY).values
    table["rank"] = data["rank"].values[alone][0]
    if not alone.all():
        table["rank of outputs"] = data["rank"].values[~alone][0]
    return table


def _columns() -> str:
    return (
        "`C`: slope of T*eps^2 on d_eff through the origin, as the rule has it, with its 95 % bootstrap interval over "
        "input sets and inputs, for the slope over other such sets: of ten sets such an interval covers "
        "79 to 81 %; `r_squared_rule`: what that line explains about the mean (negative: worse than a "
        "constant); `r_squared_`: the same for lines with an intercept, on d_eff, on n*d, and on the axes that the "
        "read-out keeps; `_power`: exponents of T ~ eps^-a d_eff^b (n*d)^c, fitted to "
        "the whole error curves, of which the rule is 2, 1, 0; "
        "`factor_`: typical factor between the T of the validation half and the T predicted from the calibration half "
        "by C d_eff/eps^2 and by C' n*d/eps^2; `verdict`: dimensions of the line that AICc prefers, several if none "
        "is better by 2."
    )


def _few_steps(data: xr.Dataset, fits: pd.DataFrame) -> list[str]:
    steps = data["timesteps"].values
    low, high = (float(design_rule.eps(47, FEW_STEPS, C)) for C in paper.C_INTERVAL)
    at = float(design_rule.eps(47, FEW_STEPS))
    text = [
        f"With the paper's C, T = {FEW_STEPS} and d_eff = 47 (CIFAR-10) go together only for eps of at least {at:.2f} "
        f"({low:.2f} to {high:.2f}); eps = 0.1 asks for {float(design_rule.timesteps(47, 0.1)):,.0f} steps. As a "
        f"Frobenius norm of {PIXELS} values, {at:.2f} is {at / np.sqrt(PIXELS):.3f} per entry. With C "
        "as measured, inside the subspace:",
        markdown(_granted(fits)),
    ]
    if FEW_STEPS in steps:
        table = four_steps(data, fits, int(np.flatnonzero(steps == FEW_STEPS)[0]))
        worst = table.loc[table["relative"].idxmax()]
        held = int((table["inside"] <= table["rule, paper"]).sum())
        text += [
            f"Measured at T = {FEW_STEPS} with Bernoulli spikes, encoding only, Frobenius (per entry in `rms`):",
            markdown(table),
            f"The plain read-out misses an input by {table['relative'].min():.0%} to {worst['relative']:.0%} of its "
            f"norm (most: {worst['input_set']}). Inside the subspace {held} of {len(table)} sets stay within what the "
            f"rule with the paper's C grants to {FEW_STEPS} steps, so it holds as an upper bound "
            + ("for all of them" if held == len(table) else "for these only")
            + f", {(table['rule, paper'] / table['inside']).median():.1f} times too wide in the median.",
        ]
    attended = fits[(fits["norm"] == "frobenius") & (fits["read_out"] == "inside") & (fits["circuit"] != ENCODING_ONLY)]
    if len(attended) and attended["C"].max() > 0:
        granted = design_rule.eps(data["d_eff"].values, FEW_STEPS, attended["C"].median())
        useless = int((granted >= data["input_norm"].values).sum())
        text.append(
            f"Through the attention a row has {FEW_STEPS * data.attrs['spikes_per_step']:g} spikes in {FEW_STEPS} "
            "steps, and windows so short were not run. With the median C of its circuits the rule grants an error of "
            f"{granted.min():.1f} to {granted.max():.1f} there, no less than the norm of the input itself for "
            f"{useless} of {len(granted)} sets."
        )
    return text


def _granted(fits: pd.DataFrame) -> pd.DataFrame:
    """Error that the rule with each C grants to four steps."""
    mine = fits[(fits["norm"] == "frobenius") & (fits["read_out"] == "inside") & (fits["C"] > 0)]
    rows = [{"C of": "paper", "C": paper.C}]
    rows += [{"C of": f"{row.encoder}, {row.circuit}", "C": row.C} for row in mine.itertuples()]
    for row in rows:
        for name, (dimension, _) in paper.DIMENSIONS.items():
            row[f"eps, {name} ({dimension})"] = float(design_rule.eps(dimension, FEW_STEPS, row["C"]))  # type: ignore[arg-type]
    return pd.DataFrame(rows)


def _caveats(data: xr.Dataset) -> str:
    halves = (
        "The halves of a set share no pixel and no token: digits and synthetic points are split, patches come from one "
        "photograph for calibration and from the other for validation, and sentence tokens alternate. So what is "
        "predicted for patches and tokens is predicted for another scene and other words."
    )
    spans = data["logit_span"].values
    return (
        f"{halves} The weights of the attention are random; where the tokens of an input resemble each other more "
        f"than those of another, the span of the logits is smaller ({spans.min():.2f} to {spans.max():.2f} nats). "
        "The gains of the neurons are fitted to the inputs shown, both halves. A regression on "
        f"{data.sizes['input_set']} sets tells large effects from none, not small ones; C is the constant of these "
        "sets, and moves with their x(1 - x), with the attention spikes a step, and with L_f, which is 1 here for the "
        "values. d_eff is taken as known: its own sampling error is not in the intervals. The paper does not name the "
        "tensor whose dimension it used."
    )


def _made(data: xr.Dataset) -> str:
    return made(
        f"seed {data.attrs['seed']}, trials {data.attrs['trials']}, attention on {data.attrs['target']} "
        f"({data.attrs['target_reason']}), encoders alone on numpy",
        f"windows, timesteps: {', '.join(map(str, data['timesteps'].values))}",
        **origin(data),
    )
