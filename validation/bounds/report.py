"""What the spike bounds mean, in plain words made from their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from biospike.theory import paper
from validation.bounds import laws
from validation.bounds.curves import BLOCK, COINS, ENCODER, REAL, SIMPLEX, SOFTMAX, UNIFORM, Curve
from validation.bounds.figures import reference_curve
from validation.bounds.measure import TRIANGULAR, UNIFORM_KEYS
from validation.bounds.rate_bands import RATE_BANDS
from validation.bounds.row_sets import ROW_SETS
from validation.bounds.tables import MEANINGS, used
from validation.study.claims import Finding, findings_text
from validation.study.left_out import paragraphs
from validation.study.report import described, made, markdown, origin

EXPONENTS = [
    "family", "code", "metric", "against", "exponent", "exponent_low", "exponent_high", "floor", "limit_error",
    "order_of_law", "order_of_law_low", "order_of_law_high", "bias_resolvable", "trials_needed", "verdict", "reason",
]  # fmt: skip
PAPER_FIT = [
    "code", "metric", "against", "points", "alpha", "r_squared", "r_squared_log", "exponent",
    "ratio_observed_theoretical", "ratio_low", "ratio_high",
]  # fmt: skip


def report(
    raw: Mapping[str, xr.Dataset],
    found: Sequence[Curve],
    tables: Mapping[str, pd.DataFrame],
    findings: Sequence[Finding],
    left_out: Mapping[str, str] | None = None,
) -> str:
    """Return the report as Markdown; `left_out` holds softmax circuits that were not run, and why."""
    fits, bounds = tables["fits"], tables["bounds"]
    sections = [
        "# Spikes that an accuracy costs",
        _what_was_run(raw, found),
        "A spike is what the column `against` says: an input spike of one value for an encoder, an output spike of one "
        "row for a softmax circuit, and for a block every spike of a presentation, from the encoders to the outputs, "
        "with score stage, settling and warm-up, or else the attention spikes of a row inside the window. Errors are "
        "mean absolute and root mean square errors of a value, total variation of a row, and root mean square errors "
        "of an output; intervals of errors are 95 %, of the expectation over trials for these rows or values "
        "(Student's t).",
        "![spikes](spikes.png)",
        "## Exponents",
        "Error as N^exponent. `limit_error` is the bias of the circuit in an infinite window, by its closed form. "
        "Laws of `order_of_law`: Bernoulli and regular trains of the same values, independent and regular spikes of "
        "the same rows, staged blocks without a leak; of others none is known. " + described(MEANINGS),
        markdown(fits[EXPONENTS]),
        *paragraphs((left_out or {}).values()),
        *_floors(fits),
        "## Which bound holds for which code",
        "`enough`: so many spikes or steps are said to suffice, and the margin is the largest ratio of the error to "
        "the promised one, at most 1 if the bound holds; Lemma 3, n^2/eps^2 steps, and Theorem 7, n^2 d_k^2/eps^2 "
        "steps, are orders, taken with constant 1 and the circuit's own step. `needed`: so many are said to be "
        "necessary, and the margin is the "
        "smallest ratio of the spikes to that number (`whole spikes`: of the error to the least possible), at least 1 "
        "if the bound holds. Theorem 8, Omega(L_f^2 n d/eps^2), is judged as an order; its margin is for constant 1.",
        markdown(bounds),
        *_sufficient(bounds),
        *_order(bounds, fits),
        *_constant(bounds),
        "## What information asks for",
        *_information(found, bounds),
        *_rates(tables["rates"]),
        "## Rates within [rho, 1 - rho]",
        "The theory assumes such rates. " + described(RATE_BANDS),
        markdown(tables["rate_bands"]),
        "## On peaked and on flat rows",
        "The softmax circuits on the real rows, on the same with their logits doubled, and with a quarter of them. "
        + described(ROW_SETS),
        markdown(tables["row_sets"]),
        "## Sparse rows",
        "`kept`: so many largest logits, all, or the shares of sparsemax, the limit of threshold-linear keys. `tv` and "
        "`law` are about the keys that stay, at the same rate of the row; `left_out` is their total variation from the "
        "softmax of all keys, which no spike removes.",
        markdown(tables["sparse"]),
        "## The fit of the paper, and coins",
        f"The paper's abstract has R^2 = {paper.R_SQUARED}, here read as that of eps = alpha/sqrt(N_total); "
        f"{paper.DIGEST} reports {paper.SPIKE_RATIO[0]} to {paper.SPIKE_RATIO[1]} times the theoretical number of "
        "spikes. That fit here, "
        "the slope fixed at -1/2; "
        "`r_squared` is that of eps, `r_squared_log` that of its logarithm, `exponent` the slope if it is left free; "
        "the ratio N eps^2/(L_f^2 n d) is given where the verdict is 1/sqrt(N).",
        markdown(fits[fits["metric"] != "rms error"][PAPER_FIT]),
        "![control](control.png)",
        *_control(found, fits),
        "## Claims",
        findings_text(findings),
        _made(raw),
    ]
    return "\n\n".join(sections) + "\n"


def _what_was_run(raw: Mapping[str, xr.Dataset], found: Sequence[Curve]) -> str:
    trials = len(next(c for c in found if c.family == ENCODER).errors)
    softmax = next(data for name, data in raw.items() if name.startswith("softmax"))
    real, simplex = (int((softmax["prior"].values == one).sum()) for one in (REAL, SIMPLEX))
    coins = raw["coins"]
    blocks = {
        str(data.attrs["block"]): (data.attrs["source"], float(data.attrs["lipschitz"]), data.sizes["trial"])
        for name, data in raw.items()
        if name.startswith("block")
    }
    described = "; ".join(f"`{n}`: {s}, L_f = {c:.3g} at this input, {t} trials" for n, (s, c, t) in blocks.items())
    return (
        f"{raw['encoder_bernoulli'].sizes['value']} values uniform on [0, 1] and {trials} trials for every encoder; "
        f"{real} real rows and {simplex} rows of {UNIFORM_KEYS} keys whose shares are uniform on "
        f"the simplex for every softmax circuit; blocks {described}; {coins.sizes['repeat']} runs of coins a trial. "
        f"Seed {coins.attrs['seed']}."
    )


def _floors(fits: pd.DataFrame) -> list[str]:
    stopped = fits[fits["verdict"] == "floor"].drop_duplicates(["family", "code", "metric"])
    if stopped.empty:
        return ["No code stops at a floor in these windows."]
    named = "; ".join(f"{r.code} ({r.family}, {r.metric}): {r.floor:.3g}" for r in stopped.itertuples())
    text = f"**Floors.** More spikes do not help: {named}."
    locked = stopped[(stopped["family"] == BLOCK) & stopped["code"].str.contains("regular")]
    if len(locked):
        text += (
            " Of these, " + ", ".join(sorted(set(locked["code"]))) + " have a limit without bias if their trains are "
            "independent. Regular trains are not: two of equal rates, as a query and the key of its own token under "
            "equal weights, or of rates with a short common period, keep the phases they started with, and a "
            "coincidence count is then no product of rates however long it lasts. A regular code of scores "
            "needs rates that differ."
        )
    return [text]


def _sufficient(bounds: pd.DataFrame) -> list[str]:
    lines = []
    for bound, mine in bounds[bounds["kind"] == "enough"].groupby("bound", sort=False):
        kept = mine[mine["verdict"] == "holds"]
        broken = mine[mine["verdict"] != "holds"]
        text = f"**{bound}.** Holds for {len(kept)} of {len(mine)} curves"
        if len(kept):
            text += f", with errors of {kept['margin'].min():.2g} to {kept['margin'].max():.2g} of what it promises"
        if len(broken):
            named = "; ".join(f"{r.code} ({r.family}, {r.metric}): {r.verdict}" for r in broken.itertuples())
            text += f". Not for {named}"
        lines.append(text + ".")
    return lines


def _order(bounds: pd.DataFrame, fits: pd.DataFrame) -> list[str]:
    theorem = bounds[bounds["bound"] == "Theorem 8"]
    own = fits.drop_duplicates(["family", "code", "metric"], keep="last").set_index(["family", "code", "metric"])

    def named(verdict: str) -> str:
        rows = theorem[(theorem["verdict"] == verdict) & (theorem["family"] != COINS)]
        return "; ".join(
            f"{r.code}, {r.metric} ({own.loc[(r.family, r.code, r.metric), 'exponent']:.3f})" for r in rows.itertuples()
        )

    softmax = fits[(fits["family"] == SOFTMAX) & fits["faster"].astype(bool)]
    text = f"**Theorem 8 as an order.** The order 1/eps^2 holds for: {named('holds') or 'none'}. "
    text += f"Undercut, exponent in brackets, by: {named('undercut') or 'none'}."
    if len(softmax):
        text += (
            " Among the softmax circuits "
            + ", ".join(f"{r.code} ({r.exponent:.3f})" for r in softmax.itertuples())
            + " fall faster than 1/sqrt(N) too, against the O(1/sqrt(T)) of Lemma 3, which is an upper bound and holds."
        )
    return [text]


def _constant(bounds: pd.DataFrame) -> list[str]:
    theorem = bounds[(bounds["bound"] == "Theorem 8") & (bounds["verdict"] == "holds")]
    below = theorem[theorem["margin"] < 1]
    if below.empty:
        return []
    named = "; ".join(f"{r.code}, {r.metric}: {r.margin:.2g}" for r in below.itertuples())
    return [
        "**Theorem 8 as a number.** With the constant 1 it is no lower bound even where the order holds: spikes over "
        f"L_f^2 n d/eps^2 are {named}. Neither the constant of Omega nor the norm of eps is in a source at hand, so "
        "that the number can neither be confirmed nor refuted; only the order can."
    ]


def _information(found: Sequence[Curve], bounds: pd.DataFrame) -> list[str]:
    mine = bounds[bounds["bound"].isin(("information", "whole spikes"))]
    broken = mine[mine["verdict"] != "holds"]
    nearest = mine.loc[mine.groupby("bound")["margin"].idxmin()]
    near = "; ".join(f"{r.bound}: {r.code} ({r.family}, {r.metric}), {r.margin:.3g}" for r in nearest.itertuples())
    lines = [
        "For values uniform on [0, 1], R(D) is at least Shannon's lower bound at the measured mean square error; for "
        "rows uniform on the simplex, at the measured total variation. A read-out of counts cannot carry more bits "
        "than the entropy of geometric counts of the same mean; a triangular window reads times, so that its bound "
        "is the entropy T h(N/T) of a train. Real rows and blocks have no prior, hence no such bound; but N whole "
        "spikes cannot come nearer to given shares than the best rounding of N p (`whole spikes`), whatever the "
        "circuit.",
        f"Nearest to a bound, as a ratio: {near}. "
        + ("No measured point lies below a bound." if broken.empty else
           f"BELOW a bound: {', '.join(broken['code'])}, which a correct measurement cannot be."),
    ]  # fmt: skip
    triangular = next(c for c in found if c.code == TRIANGULAR and c.metric == "rms error")
    by_count = laws.spikes_for_bits(triangular.bits)
    below = triangular.spikes < by_count
    if below.any():
        last = int(np.flatnonzero(below)[-1])
        lines.append(
            f"The triangular read-out needs {triangular.spikes[last]:.0f} spikes for an rms error of "
            f"{triangular.error[last]:.2g}; a read-out of the count alone would need at least {by_count[last]:.0f}. "
            "The times of the spikes carry what the count cannot, and 1/eps is not the end."
        )
    rms, absolute = (_find(found, TRIANGULAR, m) for m in ("rms error", "mean absolute error"))
    off = rms.error / rms.law - 1
    lines.append(
        "Its order depends on the error measure: the root mean square error is dominated by the few values near a "
        "simple fraction and has the exact law 2/(sqrt(3) T^1.5), from which the measurement strays by "
        f"{off.min():+.0%} to {off.max():+.0%}; the mean absolute error is "
        f"{absolute.error[-1] / rms.error[-1]:.2f} times as large at the longest "
        f"window and {absolute.error[0] / rms.error[0]:.2f} times at the shortest, so it falls faster."
    )
    many = [c for c in found if c.family in (ENCODER, UNIFORM) and np.isfinite(c.log_bound).any()]
    short = sorted({c.code for c in many if (c.log_bound > c.spikes)[np.isfinite(c.log_bound)].any()})
    lines.append(
        "One bit a spike, the theory's count, gives R(D) spikes, a logarithm of 1/eps. It is no bound, since rare "
        "spikes carry more than a bit, and "
        + (f"{', '.join(short)} need fewer spikes at some point."
           if short else "all codes here need more; no rate code comes near it, because neighbouring counts are "
           "nearly the same message.")
    )  # fmt: skip
    return lines


def _rates(rates: pd.DataFrame) -> list[str]:
    if rates.empty:
        return []
    return [
        "R(D) = n d log2(L_f/eps) can be read with eps the root mean square error of a value (`bits_per_value`, 1.79 "
        "to 2.05 bits a value above Shannon's R(D) of uniform values) or its Frobenius norm, `eps_frobenius`, as in "
        "the objective (`bits_frobenius`, below R(D) by up to 1/2 log2(n d) - 2.05 bits a value); the sources do not "
        "say which. `bits_shannon` is the lower bound itself. `bits_per_spike` is the largest of the three over the "
        "spikes of a presentation, `bits_per_spike_allowed` what a spike of a Bernoulli train of the mean input rate "
        "can carry: more than one bit wherever the rate is below 0.773.",
        markdown(rates),
    ]


def _find(found: Sequence[Curve], code: str, metric: str) -> Curve:
    return next(c for c in found if c.code == code and c.metric == metric)


def _control(found: Sequence[Curve], fits: pd.DataFrame) -> list[str]:
    coins = next(c for c in found if c.family == COINS)
    coin = fits[fits["family"] == COINS].iloc[0]
    neurons = reference_curve(found)
    block = fits[(fits["code"] == neurons.code) & (fits["metric"] == neurons.metric)].iloc[0]
    lines = []
    if np.isfinite(block["exponent"]):
        n = neurons.spikes[used(neurons)]
        low, high = laws.rivals(n, paper.R_SQUARED)
        lines.append(
            f"**Neurons.** {neurons.code}: alpha = {block['alpha']:.3g}, R^2 = {block['r_squared']:.4f}, free exponent "
            f"{block['exponent']:.3f} ({block['exponent_low']:.3f} to {block['exponent_high']:.3f}). Over its "
            f"{n[-1] / n[0]:.1f}-fold range of spikes, any exact law N^-b with b from {low:.2f} to {high:.2f} gives "
            f"R^2 of at least {paper.R_SQUARED} in the paper's fit."
        )
        lines.append(_ratio(block))
    beats = coin["r_squared"] >= paper.R_SQUARED
    judged = (
        f"above the {paper.R_SQUARED} of the paper. A fit that coins pass better than the neurons of the paper is no "
        "evidence for a theory of spiking attention over its rivals: it holds for every mean of independent trials"
        if beats
        else f"below the {paper.R_SQUARED} of the paper in this run, so the control is too noisy to judge"
    )
    lines.append(
        f"**Coins.** No neuron, no attention, no theory but Bernoulli's: alpha = {coin['alpha']:.4f} (the asymptote, "
        f"sqrt(1/(2 pi)), is {1 / np.sqrt(2 * np.pi):.4f}), free exponent {coin['exponent']:.4f} "
        f"({coin['exponent_low']:.4f} to {coin['exponent_high']:.4f}), R^2 = {coin['r_squared']:.4f}: {judged}."
    )
    regular = fits[(fits["family"] == ENCODER) & (fits["verdict"] == "1/N")]
    if len(regular):
        n = coins.spikes[used(coins)]
        first = regular.iloc[0]
        lines.append(
            f"The fit does tell the regular code apart, if the range is wide: R^2 = {first['r_squared']:.3f} for a "
            f"code whose free exponent is {first['exponent']:.3f}. Over a {n[-1] / n[0]:.0f}-fold range b from "
            f"{laws.rivals(n, paper.R_SQUARED)[0]:.2f} to {laws.rivals(n, paper.R_SQUARED)[1]:.2f} still passes. What "
            "decides is the free exponent with its interval, and the constant, predicted beforehand."
        )
    return lines


def _ratio(block: pd.Series) -> str:
    z = [2 * np.sqrt(ratio) for ratio in paper.SPIKE_RATIO]
    quantiles = [2 * stats.norm.cdf(value) - 1 for value in z]
    own = block["ratio_observed_theoretical"]
    measured = (
        f"Here it is {own:.3g} ({block['ratio_low']:.3g} to {block['ratio_high']:.3g}) with the L_f measured at this "
        "input, "
        + ("inside" if paper.SPIKE_RATIO[0] <= own <= paper.SPIKE_RATIO[1] else "outside")
        + " the paper's range"
        if np.isfinite(own)
        else "Here the error does not fall as 1/sqrt(N), and there is no such constant"
    )
    return (
        f"**The ratio of {paper.SPIKE_RATIO[0]} to {paper.SPIKE_RATIO[1]}.** {measured}. It depends on the norm of eps "
        "and on L_f^2, which the paper does not state, so a ratio near 1 or 2 can be had for any data: fair coins give "
        f"{1 / (2 * np.pi):.3f} for the mean absolute error, 0.25 for the rms error, and {paper.SPIKE_RATIO[0]} to "
        f"{paper.SPIKE_RATIO[1]} if eps is the deviation that {quantiles[0]:.2%} to {quantiles[1]:.2%} of the runs "
        "stay within."
    )


def _made(raw: Mapping[str, xr.Dataset]) -> str:
    lines = []
    for name, data in raw.items():
        if name.startswith("softmax"):
            lines.append(f"{data.attrs['circuit']}: step {data.attrs['dt_ms']:g} ms, {data.attrs['target']}, "
                         f"parameters in SI base units {data.attrs['parameters']}")  # fmt: skip
        elif name.startswith("block"):
            lines.append(f"{name}: {', '.join(sorted(set(map(str, data['target'].values))))}, score scale "
                         f"{data.attrs['score_scale']:.3g}, tau_s {data.attrs['tau_s_ms']:g} ms")  # fmt: skip
    return made(*lines, "encoders: numpy", **origin(raw["coins"]))
