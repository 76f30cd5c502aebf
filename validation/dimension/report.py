"""What the effective dimensions mean, in plain words made from their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from validation.dimension.data import ORIGIN, kind
from validation.dimension.tables import ESTIMATORS, FEW_SAMPLES, NEIGHBOUR, PROTOCOL, STEADY, Tables, wide
from validation.study.claims import Finding, findings_text
from validation.study.report import made, markdown

NAMES = {
    "pca": "principal components",
    "participation_ratio": "participation ratio",
    "effective_rank": "effective rank",
    "two_nn": "TwoNN",
    "mle": "maximum likelihood",
}


def report(
    tables: Tables,
    photographs: dict[str, tuple[int, int]],
    config: Any,
    file: str | None,
    findings: Sequence[Finding],
) -> str:
    """Return the report as Markdown."""
    overview = wide(tables.summary)
    values = overview.set_index("data")
    size = values[["samples", "ambient"]]
    large = [name for name in values.index if size.loc[name, "samples"] >= FEW_SAMPLES]
    parts = [
        "# Effective dimension of real data",
        _what_was_run(size, config, file),
        "## Every estimate",
        markdown(overview),
        "With intervals, for the sets of at least 100 samples (the others are in `summary.csv`):",
        markdown(tables.summary[tables.summary["data"].isin(large)]),
        _how(config),
        "![scree](scree.png)",
        "## What holds",
        *_spread(values, large),
        *_protocol(values, large),
        *_photographs(photographs, values),
        *_small(size, large),
        "## Convergence with the sample size",
        *_convergence(tables.convergence, large),
        "![convergence](convergence.png)",
        "Means over subsamples of each size; the bands are their range.",
        "## The published figures",
        markdown(tables.claims),
        *_claims(tables.claims, config),
        "## Claims",
        findings_text(findings),
        made(f"seed {config.seed}, {config.trials} halves, {config.variance:g} of the variance"),
    ]
    return "\n\n".join(parts) + "\n"


def _what_was_run(size: pd.DataFrame, config: Any, file: str | None) -> str:
    lines = []
    for family in dict.fromkeys(kind(name) for name in size.index if name != file):
        names = [name for name in size.index if name != file and kind(name) == family]
        lines.append(f"- {', '.join(f'`{name}`' for name in names)}: {ORIGIN[family]}")
    if file is not None:
        n, ambient = size.loc[file]
        lines.insert(0, f"- `{file}`: {n} samples of {ambient} features, from {config.data.name}")
    return "\n".join(lines)


def _how(config: Any) -> str:
    return (
        f"`pca` is the number of principal components that hold {config.variance:g} of the variance of the centred, "
        f"flattened samples, not scaled; `{PROTOCOL}` its mean over five random subsamples of 80 %, the protocol of "
        "arXiv:2604.15769, with their standard deviation under `diagnostics`; `participation_ratio` "
        "(sum lam)^2/sum lam^2 and `effective_rank` exp(entropy of lam/sum lam) of the eigenvalues lam of the "
        "covariance matrix; `two_nn` and `mle` the dimension of the surface on which the samples lie, from the "
        f"distances to the nearest neighbours. `low` to `high` is the 95 % interval, from the scatter over "
        f"{config.trials} random halves without replacement: a bootstrap repeats samples, which gives neighbours at "
        "distance 0. It says how another sample of the same size would differ, not what more samples would change: "
        "that is the curve of convergence. A count of components that no half changes has an interval of width 0. "
        "Over subsamples of 80 % the standard deviation of a mean is half of its standard error, so that a figure such "
        "as 47 +- 3 looks surer than it is."
    )


def _spread(values: pd.DataFrame, large: list[str]) -> list[str]:
    lines = []
    for name in large:
        row = values.loc[name, [e for e in ESTIMATORS if np.isfinite(values.loc[name, e])]]
        figures = ", ".join(f"{NAMES[e]} {row[e]:.3g}" for e in row.index)
        top, bottom = row.idxmax(), row.idxmin()
        lines.append(
            f"- **{name}** ({values.loc[name, 'ambient']:.0f} features): {figures}. The largest, {NAMES[top]}, is "
            f"{row.max() / row.min():.1f} times the smallest, {NAMES[bottom]}."
        )
    if not lines:
        return []
    ratio = (values.loc[large, "pca"] / values.loc[large, "participation_ratio"]).to_numpy()
    closing = (
        f"The count of components is {ratio.min():.1f} to {ratio.max():.1f} times the participation ratio over these "
        "sets. A rule that multiplies d_eff by one constant means something only with the estimator that it was "
        "calibrated with."
        if len(large) > 1
        else "A rule that multiplies d_eff by one constant means something only with the estimator that it was "
        "calibrated with."
    )
    return ["\n".join(lines), closing]


def _protocol(values: pd.DataFrame, large: list[str]) -> list[str]:
    apart = [
        f"{name} {values.loc[name, PROTOCOL]:.1f} against {values.loc[name, 'pca']:.0f}"
        for name in large
        if abs(values.loc[name, PROTOCOL] - values.loc[name, "pca"]) >= 0.5
    ]
    if not large:
        return []
    if not apart:
        return ["The five subsamples give the same figure as all samples, within half a component."]
    return [
        f"The five subsamples read otherwise than all samples by half a component or more for: {', '.join(apart)}. "
        "A threshold on a sum of eigenvalues moves by whole components, and with the sample size."
    ]


def _photographs(photographs: dict[str, tuple[int, int]], values: pd.DataFrame) -> list[str]:
    if not photographs:
        return []
    figures = "; ".join(
        f"{name}: {first} and {second}, together {values.loc[name, 'pca']:.0f}"
        for name, (first, second) in photographs.items()
    )
    worst = max(max(pair) / min(pair) for pair in photographs.values())
    return [
        f"**Natural patches.** Components for each photograph alone: {figures}. From one photograph to the other the "
        f"figure changes up to {worst:.1f} times, far beyond the intervals above, which are about places in these two: "
        "natural images have no one dimension that two photographs could tell."
    ]


def _small(size: pd.DataFrame, large: list[str]) -> list[str]:
    small = [name for name in size.index if name not in large]
    if not small:
        return []
    by_size = [
        f"{', '.join(name for name in small if size.loc[name, 'samples'] == n)} ({n} samples)"
        for n in sorted({int(size.loc[name, "samples"]) for name in small})
    ]
    return [
        f"**Few samples.** {'; '.join(by_size)}: n samples span at most n - 1 dimensions, so that these figures are "
        "bounded by the sample. They say what a read-out of exactly these tokens can drop, and nothing about tokens "
        "in general. The data that ship hold one layer with four heads in full, and one attention row of every head."
    ]


def _convergence(table: pd.DataFrame, large: list[str]) -> list[str]:
    if not large:
        return [f"No set has {FEW_SAMPLES} samples."]
    moving: dict[str, list[str]] = {}
    steady: dict[str, list[str]] = {}
    for (name, estimator), mine in table[table["data"].isin(large)].groupby(["data", "estimator"], sort=False):
        last, before = mine["dimension"].iloc[-1], mine["dimension"].iloc[-2]
        if abs(last - before) > STEADY * last:
            moving.setdefault(name, []).append(f"{NAMES[estimator]} {before:.3g} to {last:.3g}")
        else:
            steady.setdefault(name, []).append(NAMES[estimator])
    lines = []
    for name in large:
        parts = [f"steady within {STEADY:.0%}: {', '.join(steady[name])}"] if name in steady else []
        parts += [f"still moving: {', '.join(moving[name])}"] if name in moving else []
        lines.append(f"- **{name}**: {'; '.join(parts)}")
    closing = [
        "Nearest-neighbour estimates that keep rising see, with more samples, a finer scale on which there is more "
        "noise and more structure: they have a scale, not a value."
    ]
    rising = any(NAMES[e] in words for words in (" ".join(w) for w in moving.values()) for e in NEIGHBOUR)
    return ["Change from half of the samples to all:\n\n" + "\n".join(lines), *(closing if rising else [])]


def _claims(claims: pd.DataFrame, config: Any) -> list[str]:
    text = [
        "Source: arXiv:2604.15769, which does not state the tensor it analyses (pixels, patches, tokens, which layer). "
        "A verdict is about the tensor that was measured here."
    ]
    known = claims[claims["verdict"] != "unverified"]
    for row in known.itertuples():
        text.append(
            f"**{row.claim}: {row.verdict}** for this tensor. Measured {row.measured:.1f} ({row.low:.1f} to "
            f"{row.high:.1f}) of {row.ambient:.0f} features on {row.samples:.0f} samples, stated {row.claimed:.0f} +- "
            f"{row.claimed_sd:.0f}; {row.claimed:.0f} components hold {row.held:.1%} of the variance here, not "
            f"{config.variance:.1%}."
            if row.verdict == "contradicted"
            else f"**{row.claim}: {row.verdict}** for this tensor. Measured {row.measured:.1f} ({row.low:.1f} to "
            f"{row.high:.1f}) on {row.samples:.0f} samples, stated {row.claimed:.0f} +- {row.claimed_sd:.0f}."
        )
    missing = list(claims.loc[claims["verdict"] == "unverified", "claim"])
    if missing:
        text.append(
            f"Unverified, since no file of theirs was given: {', '.join(missing)}. Measure one with "
            "`--data FILE --claim NAME`."
        )
    return text
