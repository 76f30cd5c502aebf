"""Tables of ``compare_model``: what a condition did to outputs and task, beside the law."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from biospike.metrics import t_interval
from biospike.theory import design_rule
from biospike.theory.effective_dimension import pca_dimension
from biospike.theory.propagation import RATE, WITHIN
from validation.model.models import Model, Task, spearman
from validation.model.predict import SLOW, Terms
from validation.model.spiking import SCALES, Condition

Array = NDArray[Any]

RESAMPLES = 1000
ALL_PAIRS = 200
"""Samples whose pairs the rank correlation is over."""
FEWEST = 30
"""Images or pairs below which a task has no metric."""
COS = 0.99
SUMMARY = {
    "model": "trained model",
    "circuit": "whose spikes the attention is",
    "block": "attention: spikes of rows; values: they read trains of values; scores: from trains of queries and "
    "keys; all: all of it",
    "scale": "where the largest value of a train is taken; empty without trains",
    "by": "shares: counts drawn from the circuit's code at N; limit: its limit, N infinite; simulate: Brian2",
    "spikes": "N of a row, mean",
    "timesteps": "T of trains",
    "silent": "fraction of rows without a spike, which give nothing",
    "samples": "images, or sentences",
    "pairs": "pairs of sentences, where the task is of pairs",
    "draws": "repetitions",
    "error": "1 - cos of the output in front of the head to that of the exact model, mean over samples and draws; "
    "`low`, `high` its 95 % interval over draws (Student's t)",
    "cos": "mean cosine",
    "cos_5": "5 % quantile of the cosine over samples and draws",
    "rank": f"Spearman's correlation of the cosines of all pairs of the first {ALL_PAIRS} samples with those of the "
    "exact model, mean over draws",
    "task": "accuracy, or Spearman's correlation with people; `task_low`, `task_high` its 95 % interval over images or "
    "pairs (bootstrap)",
    "task_sd": "its standard deviation over draws",
    "change": "of the task from the exact model on the same images or pairs; `change_low`, `change_high` the 95 % "
    "interval of the paired difference (bootstrap)",
    "mcnemar": "p-value of McNemar's exact test of the first draw, of classes",
    "law": "1 - cos by the first-order law at the same N and T",
    "law_error": "standard error of the law from its probes, a fraction of it; 0 if they are all directions",
    "ratio": "error/law; `ratio_low`, `ratio_high` its 95 % interval over draws",
    "outside": f"law above {WITHIN}: beyond its first order",
}
"""Columns of ``summary.csv``; all numbers without a unit."""
SUMMARY_COLUMNS = (
    "model", "circuit", "block", "scale", "by", "spikes", "timesteps", "silent", "samples", "pairs", "draws", "error",
    "low", "high", "cos", "cos_5", "rank", "task", "task_low", "task_high", "task_sd", "change", "change_low",
    "change_high", "mcnemar", "law", "law_error", "ratio", "ratio_low", "ratio_high", "outside",
)  # fmt: skip
SHOWN = (
    "model",
    "circuit",
    "block",
    "by",
    "spikes",
    "error",
    "law",
    "ratio",
    "ratio_low",
    "ratio_high",
    "task",
    "change",
)
"""Columns that are printed."""
SECOND = {
    "spikes": "N of the longer of two windows, `shorter` of the other",
    "first": "A/law, of error = A/N + B/N^2 through both; `first_low`, `first_high` its 95 % interval over draws",
    "second": "B/A, spikes",
    "explained": "error/law that the two terms give at N",
}
LAYERS = {
    "layer": "alone with spikes, all others exact; `all` together; `sum` of those alone",
    "S_a": "sum of S_a over its heads and rows, mean over samples; S_v, S_vx, S_s likewise",
    "error": "measured 1 - cos at N spikes a row, with its 95 % interval over draws",
    "law": "S_a/(2N)",
}
LAYERS_COLUMNS = ["model", "layer", "spikes", "S_a", "S_v", "S_vx", "S_s", "error", "low", "high", "law", "ratio"]
HEADS = {
    "S_a": "of the head, mean over samples; S_v, S_vx, S_s likewise",
    "part": "of the model's S_a",
}
BUDGET = {
    "scale": "of trains", "samples": "images or sentences", "S_a": "per row spike; S_v likewise",
    "S_vx": "per step; S_s likewise",
    "spikes_99": "N at which attention spikes alone have a mean cos of .99: S_a/.02",
    "steps_99": "T at which everything by trains has it, at the row spikes a step `rate`",
    "clipped": "fraction of queries, keys and values beyond what a spike a step can say",
    "streaming": f"1 - cos, to first order, that a streaming gate of {SLOW:g} steps keeps for ever: Jensen's term",
    "d_eff": "principal components that hold 95 % of the variance of samples' tokens",
    "rule_steps": "T of 2.3 d_eff/eps^2 for the same error, eps^2 = |de|^2 = .02",
    "error_4": "1 - cos that the law gives four steps: beyond its first order",
}  # fmt: skip


@attrs.frozen(eq=False)
class Exact:
    """The exact model on some samples: outputs, their directions, and what the task makes of them."""

    z: Array
    e: Array
    places: Array
    each: Array
    task: Task

    @classmethod
    def of(cls, z: Array, places: Array, task: Task) -> Exact:
        """Return what follows from the outputs of the samples at these places."""
        return cls(z, unit(z), places, task.each(z, places), task)


def unit(z: Array) -> Array:
    """Outputs of length one."""
    return np.asarray(z / np.linalg.norm(z, axis=-1, keepdims=True), dtype=float)


def errors(z: Array, exact: Exact) -> Array:
    """1 - cos (draws, samples) of outputs (draws, samples, width), as half the square of the distance."""
    return np.asarray(((unit(z) - exact.e) ** 2).sum(axis=-1) / 2)


def summary_row(
    model: Model,
    condition: Condition,
    exact: Exact,
    drawn: Mapping[str, Array],
    law: Array,
    law_error: float,
    seed: int,
) -> dict[str, Any]:
    """One row of ``summary.csv``.

    Parameters
    ----------
    drawn
        ``z`` (draws, samples, width), and by simulate ``spikes`` and ``silent`` (draws,).
    law
        (draws, samples) or (samples,).
    """
    z, trained, simulated = drawn["z"], condition.block != "attention", condition.by == "simulate"
    one = errors(z, exact)
    mean = one.mean(axis=1)
    low, high = (float(end) for end in t_interval(mean))
    expected = float(np.mean(law))
    spikes = np.nan if condition.block == "scores" else condition.spikes
    return {
        "model": model.name, "circuit": condition.circuit, "block": condition.block, "scale": condition.scale,
        "by": condition.by, "spikes": drawn["spikes"].mean() if simulated else spikes,
        "timesteps": condition.steps if trained else np.nan, "silent": drawn["silent"].mean() if simulated else np.nan,
        "samples": z.shape[1], **_task(exact, z, seed), "draws": len(z), "error": mean.mean(), "low": low, "high": high,
        "cos": 1 - mean.mean(), "cos_5": np.quantile(1 - one, 0.05), "rank": np.mean([_rank(own, exact) for own in z]),
        "law": expected, "law_error": law_error if np.isfinite(expected) else np.nan, "ratio": mean.mean() / expected,
        "ratio_low": low / expected, "ratio_high": high / expected,
        "outside": bool(expected > WITHIN) if np.isfinite(expected) else "",
    }  # fmt: skip


def _rank(z: Array, exact: Exact) -> float:
    pairs = np.triu_indices(min(len(z), ALL_PAIRS), 1)
    mine, theirs = (x[:ALL_PAIRS] @ x[:ALL_PAIRS].T for x in (unit(z), exact.e))
    return spearman(mine[pairs], theirs[pairs])


def _task(exact: Exact, z: Array, seed: int) -> dict[str, Any]:
    """The metric, mean over draws, and its paired difference; nothing of few units."""
    task, units = exact.task, len(exact.each)
    found: dict[str, Any] = {"pairs": units if task.name == "Spearman" else np.nan}
    if units < FEWEST:
        return found
    each = [task.each(own, exact.places) for own in z]
    of_draws = [task.metric(own) for own in each]
    rng = np.random.default_rng([seed, 3])
    resampled = np.empty((RESAMPLES, 2))
    for place in range(RESAMPLES):
        chosen = rng.integers(units, size=units)
        own = np.mean([task.metric(own[chosen]) for own in each])
        resampled[place] = own, own - task.metric(exact.each[chosen])
    (low, change_low), (high, change_high) = np.quantile(resampled, [0.025, 0.975], axis=0)
    found |= {
        "task": np.mean(of_draws), "task_low": low, "task_high": high,
        "task_sd": np.std(of_draws, ddof=1) if len(z) > 1 else np.nan,
        "change": np.mean(of_draws) - task.metric(exact.each), "change_low": change_low, "change_high": change_high,
    }  # fmt: skip
    if task.name == "accuracy":
        found["mcnemar"] = mcnemar(exact.each, each[0])
    return found


def mcnemar(before: Array, after: Array) -> float:
    """P-value of McNemar's exact test: of the images that changed, as many for the better as for the worse."""
    better, worse = int((after > before).sum()), int((after < before).sum())
    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def exact_row(model: Model, exact: Exact, seed: int) -> dict[str, Any]:
    """The row of the exact model."""
    task = _task(exact, exact.z[None], seed)
    kept: dict[str, Any] = {name: task[name] for name in ("pairs", "task", "task_low", "task_high") if name in task}
    return {"model": model.name, "circuit": "exact", "by": "exact", "samples": len(exact.z), "draws": 1, "error": 0.0,
            "cos": 1.0, "cos_5": 1.0, "rank": 1.0, **kept}  # fmt: skip


def second_order(model: str, found: Iterable[tuple[Condition, Array, float]]) -> pd.DataFrame:
    """First and second order of independent spikes from neighbouring windows.

    Parameters
    ----------
    found
        Conditions by shares of rising N, mean 1 - cos of every draw, and the law.
    """
    rows, last = [], dict[tuple[str, str], tuple[float, Array]]()
    for condition, means, law in found:
        group = (condition.circuit, condition.block)
        if group in last:
            shorter, before = last[group]
            n = condition.spikes
            A = (n**2 * means - shorter**2 * before) / (n - shorter)
            B = n**2 * means.mean() - A.mean() * n
            low, high = t_interval(A / (n * law))
            rows.append({
                "model": model, "circuit": condition.circuit, "block": condition.block, "shorter": shorter, "spikes": n,
                "first": (A / (n * law)).mean(), "first_low": float(low), "first_high": float(high),
                "second": B / A.mean(), "explained": means.mean() / law,
            })  # fmt: skip
        last[group] = (condition.spikes, means)
    return pd.DataFrame(rows)


def at_scale(of: Terms, place: int) -> Terms:
    """S (layers, batch, heads) of rows summed, at one of the scales."""
    each = {"a": of["a"], "v": of["v"][place], "vx": of["vx"][place], "s": of["s"][place]}
    return {f"S_{name}": own if own.ndim == 3 else own.sum(axis=-1) for name, own in each.items()}


def heads_table(model: Model, of: Terms, place: int) -> pd.DataFrame:
    """S of every layer and head, mean over samples; `place` of the scale."""
    means = {name: own.mean(axis=1) for name, own in at_scale(of, place).items()}
    rows = [
        {"model": model.name, "layer": layer, "head": head} | {name: own[layer, head] for name, own in means.items()}
        for layer, head in np.ndindex(means["S_a"].shape)
    ]
    table = pd.DataFrame(rows)
    return table.assign(part=table["S_a"] / table["S_a"].sum())


def layers_table(
    model: Model,
    heads: pd.DataFrame,
    found: Iterable[tuple[Condition, Array, float]],
    chosen: tuple[tuple[int, int], ...],
) -> pd.DataFrame:
    """Every layer alone, their sum, and all that are `chosen` at once."""
    terms = ["S_a", "S_v", "S_vx", "S_s"]
    rows = []
    for condition, means, law in found:
        name = "all" if condition.chosen == chosen else str(condition.chosen[0][0])
        mine = heads[[cell in condition.chosen for cell in zip(heads["layer"], heads["head"], strict=True)]]
        low, high = (float(end) for end in t_interval(means))
        rows.append({
            "model": model.name, "layer": name, "spikes": condition.spikes, **mine[terms].sum(), "error": means.mean(),
            "low": low, "high": high, "law": law, "ratio": means.mean() / law,
        })  # fmt: skip
    alone = pd.DataFrame([row for row in rows if row["layer"] != "all"], columns=LAYERS_COLUMNS)
    if len(alone) > 1:
        total = alone[[*terms, "error", "law"]].sum()
        rows.append({"model": model.name, "layer": "sum", "spikes": alone["spikes"].iloc[0], **total,
                     "ratio": total["error"] / total["law"]})  # fmt: skip
    return pd.DataFrame(rows, columns=LAYERS_COLUMNS)


def budget_row(model: Model, place: int, of: Terms, clipped: float, rate: float) -> dict[str, Any]:
    """What every stage costs, at one scale of the trains."""
    S = {name: own.sum(axis=(0, 2)).mean() for name, own in at_scale(of, place).items()}
    per_step = (S["S_a"] + S["S_v"]) / rate + S["S_vx"] + S["S_s"]
    d_eff = pca_dimension(np.concatenate([chunk.tokens.reshape(-1, chunk.tokens.shape[-1]) for chunk in model.chunks]))
    loss = 2 * (1 - COS)
    return {
        "model": model.name, "scale": SCALES[place], "samples": of["a"].shape[1], **S, "rate": rate,
        "spikes_99": S["S_a"] / loss, "steps_99": per_step / loss, "clipped": clipped,
        "streaming": of["streaming"][place].mean(), "d_eff": d_eff,
        "rule_steps": float(design_rule.timesteps(d_eff, np.sqrt(loss))), "error_4": per_step / 8,
    }  # fmt: skip


def clipped_fraction(model: Model, calibrated: Array) -> float:
    """Fraction of queries, keys and values beyond what a spike a step can say, at the calibrated scale."""
    beyond, number = 0, 0
    for chunk in model.chunks:
        for taped in model.transformer.run(chunk.tokens).tape:
            for largest, x in zip(calibrated, (taped.heads.q, taped.heads.k, taped.heads.v), strict=True):
                beyond += int((np.abs(x) > largest[taped.heads.layer][:, None, None] / RATE).sum())
                number += x.size
    return beyond / number
