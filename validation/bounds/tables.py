"""Tables of the spike bounds: every point, the fits, and which published bound holds for which code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike import metrics
from biospike.errors import InputError
from biospike.tables import CONVERGENCE_MEANINGS, FEW_TRIALS, NOT_RUN, columns_of
from biospike.theory.information import bits_per_spike
from biospike.theory.rate_distortion import rate_readings
from biospike.verdicts import FLOOR, HALF, UNDECIDED, Decision, decide, undecided
from validation.bounds import laws
from validation.bounds.curves import BLOCK, SOFTMAX, Curve, curves

Array = NDArray[np.float64]

SUMMARY = [
    "family", "code", "metric", "timesteps", "spikes", "spikes_row", "error", "error_low", "error_high", "law",
    "grid_error", "limit_error", "bound_hoeffding_or_paper", "bound_source", "rate_bits", "information_bound",
    "log_bound", "diagnostics",
]  # fmt: skip
FITS = [
    "family", "code", "metric", "against", "points", "exponent", "exponent_low", "exponent_high", "r_squared_free",
    "floor", "floor_low", "floor_high", "limit_error", "order_of_law", "order_of_law_low", "order_of_law_high",
    "bias_resolvable", "trials_needed", "alpha", "r_squared", "r_squared_log", "ratio_observed_theoretical",
    "ratio_low", "ratio_high", "faster", "verdict", "reason", "holds",
]  # fmt: skip
NOT_DECIDED = "not decided"
ORDERS = ("Lemma 3", "Theorem 7")
"""Bounds whose constant is not known and stands at 1."""
MEANINGS = {name: meaning for name, meaning in CONVERGENCE_MEANINGS.items() if name not in ("order", "floor_tv")} | {
    "exponent": "slope of log error on log spikes, a local slope; `exponent_low` and `exponent_high` its 95 % interval",
    "floor": "error left in an infinite window by a fit; `floor_low` and `floor_high` its 95 % interval",
    "faster": "whether the order is above that of independent spikes, whatever its law",
}
"""Columns of ``fits.csv`` that need words."""
CURVE = ["family", "code", "metric"]
BOUNDS = ["family", "code", "metric", "bound", "kind", "margin", "verdict"]
RATES = ["code", "values", "error", "eps_frobenius", "bits_per_value", "bits_frobenius", "bits_shannon", "spikes",
         "bits_per_spike", "input_rate", "bits_per_spike_allowed"]  # fmt: skip
"""Of ``rates.csv``, one row a block, at its longest window. `values`: n*d, inputs of the block; `error`: root mean
square error e of an output; `eps_frobenius`: e*sqrt(n d); `bits_per_value`, `bits_frobenius`: n d log2(L_f/eps) with
eps = e and with that norm; `bits_shannon`: Shannon's lower bound on R(D) of so many uniform values at the mean square
error e^2/L_f^2; `spikes`: of the presentation; `bits_per_spike`: the largest of the bits over them; `input_rate`: mean
spikes a step of an input, p; `bits_per_spike_allowed`: h(p)/p, the most that a spike of a Bernoulli train carries."""
ROUNDING = 1e-9
PROPORTIONAL = 0.9
"""Below this ratio of the ranges of their logarithms, a presentation's spikes are mostly from before the window."""


def summarise(found: Sequence[Curve]) -> pd.DataFrame:
    """One row a curve and point, with the columns of ``summary.csv``."""
    return pd.concat([_summarise(curve) for curve in found], ignore_index=True)


def _summarise(curve: Curve) -> pd.DataFrame:
    low, high = metrics.t_interval(curve.errors.T)
    error, enough = curve.error, curve.enough_error.get("Lemma 1 (Hoeffding)")
    positive = np.where(error > 0, error, np.nan)
    if enough is None:
        bound, source = curve.paper_constant / positive**2, curve.paper_bound
    else:
        # Spikes scale as steps, and the error that Lemma 1 allows falls as their root.
        bound, source = curve.spikes * (enough / positive) ** 2, "Lemma 1 (Hoeffding)"
    table = pd.DataFrame(
        {
            "family": curve.family,
            "code": curve.code,
            "metric": curve.metric,
            "timesteps": curve.timesteps,
            "spikes": curve.spikes,
            "spikes_row": curve.spikes_row,
            "error": error,
            "error_low": low,
            "error_high": high,
            "law": curve.law,
            "grid_error": curve.grid_error,
            "limit_error": curve.limit_error,
            "bound_hoeffding_or_paper": bound,
            "bound_source": source,
            "rate_bits": curve.bits,
            "information_bound": curve.information,
            "log_bound": curve.log_bound,
            "diagnostics": [_diagnose(curve, point) for point in range(len(error))],
        }
    )
    return table[SUMMARY]


def _diagnose(curve: Curve, point: int) -> str:
    found = {
        "too few spikes to be fitted": curve.spikes[point] < curve.first_spikes,
        f"trials < {FEW_TRIALS}": len(curve.errors) < FEW_TRIALS,
        "no spike in any row": not np.isfinite(curve.error[point]),
    }
    return "; ".join(words for words, holds in found.items() if holds)


def fit(found: Sequence[Curve]) -> pd.DataFrame:
    """One row a curve, with the columns of ``fits.csv``: free exponent, and the paper's fit with its slope fixed.

    `reason` says why a verdict is `UNDECIDED`, of which the numbers of the fit are empty where there is none.

    Blocks have two, against all spikes of a presentation, as in the paper, and against the attention spikes of a row:
    the former include what is spent before the window opens.
    """
    rows = []
    for curve in found:
        rows.append(_fit(curve))
        if curve.family == BLOCK:
            enough = curve.spikes_row[curve.spikes >= curve.first_spikes]
            first = float(enough[0]) if enough.size else np.inf
            rows.append(
                _fit(
                    attrs.evolve(
                        curve,
                        spikes=curve.spikes_row,
                        counted="attention spikes a row",
                        first_spikes=first,
                        evidence=attrs.evolve(curve.evidence, n=curve.spikes_row),
                    )
                )
                | dict.fromkeys(("ratio_observed_theoretical", "ratio_low", "ratio_high"), np.nan)
            )
    table = pd.DataFrame(rows)
    verdicts = judge(found, table).groupby(CURVE, sort=False)
    words = {key: "; ".join(f"{b.bound}: {b.verdict}" for b in mine.itertuples()) for key, mine in verdicts}
    table["holds"] = [words.get(tuple(row[name] for name in CURVE), "") for row in table.to_dict("records")]
    return table[FITS]


def not_run(names: Iterable[str]) -> pd.DataFrame:
    """Rows of ``fits.csv`` of softmax circuits that were left out."""
    rows = [{"family": SOFTMAX, "code": name, "metric": "total variation", "verdict": UNDECIDED, "reason": NOT_RUN}
            for name in names]  # fmt: skip
    return pd.DataFrame(rows, columns=FITS, dtype=object)


def rates(raw: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Bits that the errors of the blocks ask for, in both readings of the paper's R(D); columns `RATES`."""
    rows = []
    for name, data in raw.items():
        if not name.startswith("block"):
            continue
        tokens, features, p = data.sizes["query"], data.sizes["feature"], float(data["tokens"].mean())
        for curve in curves({name: data}):
            error = float(curve.error[-1])
            if curve.metric != "output rmse" or not error > 0:
                continue
            bits = rate_readings(data.attrs["lipschitz"], tokens, features, error)
            spikes = float(curve.spikes[-1])
            rows.append([curve.code, tokens * features, error, error * np.sqrt(tokens * features), *map(float, bits),
                         spikes, max(map(float, bits)) / spikes, p, float(bits_per_spike(p))])  # fmt: skip
    return pd.DataFrame(rows, columns=RATES)


def curve_of(found: Sequence[Curve], row: dict[str, object]) -> Curve:
    """Return the curve of a row of the fits."""
    return next(c for c in found if all(getattr(c, name) == row[name] for name in CURVE))


def used(curve: Curve) -> NDArray[np.bool_]:
    """Return the points that are fitted: enough spikes, and errors that are known and not 0."""
    return np.asarray((curve.spikes >= curve.first_spikes) & (curve.errors > laws.FEWEST).all(axis=0))


def _fit(curve: Curve) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(FITS)
    row |= {name: getattr(curve, name) for name in ("family", "code", "metric", "limit_error")}
    row |= {"against": curve.counted, "points": int(used(curve).sum())}
    found = _decide(curve)
    row |= columns_of(found) | {"faster": found.faster}
    try:
        free = metrics.fit_order(curve.spikes, curve.errors, minimum_spikes=curve.first_spikes)
    except InputError:
        return row
    n, eps = curve.spikes[used(curve)], curve.error[used(curve)]
    paper = laws.paper_fit(n, eps)
    row |= {
        "exponent": free.order, "exponent_low": free.order_low, "exponent_high": free.order_high,
        "r_squared_free": free.r_squared, "floor": free.floor_tv, "floor_low": free.floor_low,
        "floor_high": free.floor_high, "alpha": paper.alpha, "r_squared": paper.r_squared,
        "r_squared_log": paper.r_squared_log,
    }  # fmt: skip
    if found.verdict == HALF:  # only then is the ratio a constant of the code
        ratio = n * eps**2 / curve.paper_constant
        constant = paper.alpha**2 / curve.paper_constant
        row |= {"ratio_observed_theoretical": constant, "ratio_low": ratio.min(), "ratio_high": ratio.max()}
    return row


def _decide(curve: Curve) -> Decision:
    """Decide on a curve; undecided where what is counted is mostly from before the window."""
    row_spikes = curve.spikes_row[used(curve)]
    n = curve.spikes[used(curve)]
    if n.size and np.log(n[-1] / n[0]) < PROPORTIONAL * np.log(row_spikes[-1] / row_spikes[0]):
        return undecided("no law")
    return decide(curve.evidence)


def judge(found: Sequence[Curve], fits: pd.DataFrame) -> pd.DataFrame:
    """Which bound holds for which code: one row a curve and bound, with the columns of ``bounds.csv``.

    `kind` is "enough" for a number of spikes or steps that is said to suffice, with `margin` the largest ratio of the
    error to the promised one, and "needed" for one that is said to be necessary, with `margin` the smallest ratio of
    the spikes to that number, or of the error to the least possible. The first holds up to 1, the second from 1 on.
    Theorem 8 is an order: it is undercut by a code whose order by reference is above that of independent spikes, of a
    block against the attention spikes of a row, which do not count what is spent before the window; its margin has
    constant 1.
    """
    own = fits.drop_duplicates(CURVE, keep="last")
    tables = [_judge(curve_of(found, row), row) for row in own.to_dict("records")]
    return pd.concat(tables, ignore_index=True)[BOUNDS]


def _judge(curve: Curve, row: dict[str, object]) -> pd.DataFrame:
    verdicts = []
    error, floor = curve.error, row["verdict"] == FLOOR
    stops = max(curve.limit_error, float(row["floor"] or 0.0) if floor else 0.0)  # type: ignore[arg-type]
    for bound, promised in curve.enough_error.items():
        ratio = error / promised
        margin = np.max(ratio[np.isfinite(ratio)], initial=-np.inf)
        if not np.isfinite(margin):  # silent in every window
            verdicts.append((bound, "enough", np.nan, NOT_DECIDED))
            continue
        word = (
            f"fails for eps < {stops:.2g}" if stops > laws.FEWEST
            else "holds" if margin <= 1
            else "not with constant 1" if bound in ORDERS
            else "fails"
        )  # fmt: skip
        verdicts.append((bound, "enough", margin, word))
    ratio = curve.spikes * error**2 / curve.paper_constant
    if curve.paper_bound == "Theorem 8":
        word = (
            "does not converge" if floor
            else "undercut" if row["faster"]
            else "holds" if row["verdict"] == HALF
            else NOT_DECIDED
        )  # fmt: skip
        known = ratio[np.isfinite(ratio)]
        verdicts.append(("Theorem 8", "needed", known.min() if known.size else np.nan, word))
    for bound, needed, measured in (
        ("information", curve.information, curve.spikes),
        ("whole spikes", curve.grid_error, error),
    ):
        known = np.isfinite(needed) & np.isfinite(measured) & (needed > 0)
        if known.any():
            margin = (measured[known] / needed[known]).min()
            verdicts.append((bound, "needed", margin, "holds" if margin >= 1 - ROUNDING else "VIOLATED"))
    names = {name: getattr(curve, name) for name in CURVE}
    return pd.DataFrame(verdicts, columns=["bound", "kind", "margin", "verdict"]).assign(**names)
