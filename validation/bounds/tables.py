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
from biospike.tables import FEW_TRIALS, NO_ERROR, NOT_RUN, UNDECIDED
from biospike.theory.information import bits_per_spike
from biospike.theory.rate_distortion import rate_readings
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
    "floor", "limit_error", "alpha", "r_squared", "r_squared_log", "ratio_observed_theoretical", "ratio_low",
    "ratio_high", "verdict", "reason", "holds",
]  # fmt: skip
FEW_POINTS, SILENT = "few windows", "silent"
BEFORE = "spikes before the window"
UNKNOWN = (UNDECIDED, BEFORE)
NOT_DECIDED = "not decided"
ORDERS = ("Lemma 3", "Theorem 7")
"""Bounds whose constant is not known and stands at 1."""
CURVE = ["family", "code", "metric"]
BOUNDS = ["family", "code", "metric", "bound", "kind", "margin", "verdict"]
RATES = ["code", "values", "error", "eps_frobenius", "bits_per_value", "bits_frobenius", "bits_shannon", "spikes",
         "bits_per_spike", "input_rate", "bits_per_spike_allowed"]  # fmt: skip
"""Of ``rates.csv``, one row a block, at its longest window. `values`: n*d, inputs of the block; `error`: root mean
square error e of an output; `eps_frobenius`: e*sqrt(n d); `bits_per_value`, `bits_frobenius`: n d log2(L_f/eps) with
eps = e and with that norm; `bits_shannon`: Shannon's lower bound on R(D) of so many uniform values at the mean square
error e^2/L_f^2; `spikes`: of the presentation; `bits_per_spike`: the largest of the bits over them; `input_rate`: mean
spikes a step of an input, p; `bits_per_spike_allowed`: h(p)/p, the most that a spike of a Bernoulli train carries."""
FASTER = -1.25
"""Orders whose interval lies below are nearer -3/2 than -1."""
CLEAR, NEAR_ONE = 0.05, 0.1
"""Distances from -1/2 and from -1 beyond which an interval that excludes them counts. Finite windows shift an order,
that of regular codes more, since keys of small shares have yet to spike."""
ROUNDING = 1e-9
WIDE = 0.5
"""Width of an interval of an exponent that no longer tells -1/2 from -1."""
PROPORTIONAL = 0.9
"""Below this ratio of the ranges of their logarithms, a presentation's spikes are mostly from before the window."""


def summarise(found: Sequence[Curve]) -> pd.DataFrame:
    """One row a curve and point, with the columns of ``summary.csv``."""
    return pd.concat([_summarise(curve) for curve in found], ignore_index=True)


def _summarise(curve: Curve) -> pd.DataFrame:
    low, high = metrics.bca_interval(curve.errors.T)
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
                _fit(attrs.evolve(curve, spikes=curve.spikes_row, counted="attention spikes a row", first_spikes=first))
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
    row |= {"against": curve.counted, "points": int(used(curve).sum()), "verdict": UNDECIDED, "reason": ""}
    try:
        free = metrics.fit_order(curve.spikes, curve.errors, minimum_spikes=curve.first_spikes)
    except InputError:
        return row | {"reason": _why_not_fitted(curve)}
    n, eps = curve.spikes[used(curve)], curve.error[used(curve)]
    paper = laws.paper_fit(n, eps)
    row_spikes = curve.spikes_row[used(curve)]
    before = np.log(n[-1] / n[0]) < PROPORTIONAL * np.log(row_spikes[-1] / row_spikes[0])
    verdict = BEFORE if before else _verdict(free)
    if curve.limit_error >= eps[-1] / 2:  # as `metrics.fit_order` asks of a fitted floor, but known in closed form
        verdict = "floor"
    ratio = n * eps**2 / curve.paper_constant
    row |= {
        "exponent": free.order, "exponent_low": free.order_low, "exponent_high": free.order_high,
        "r_squared_free": free.r_squared, "floor": free.floor_tv, "verdict": verdict, "alpha": paper.alpha,
        "r_squared": paper.r_squared, "r_squared_log": paper.r_squared_log,
    }  # fmt: skip
    if verdict == UNDECIDED:
        row["reason"] = "few trials"
    if verdict == "1/sqrt(N)":  # only then is the ratio a constant of the code
        constant = paper.alpha**2 / curve.paper_constant
        row |= {"ratio_observed_theoretical": constant, "ratio_low": ratio.min(), "ratio_high": ratio.max()}
    return row


def _why_not_fitted(curve: Curve) -> str:
    """Why too few points of a curve have an error that a law could be fitted to."""
    last = curve.errors[:, -1]
    if not curve.spikes[-1] or np.isnan(last).any():
        return SILENT
    return "error below 1e-6" if last.mean() < NO_ERROR else FEW_POINTS


def _verdict(free: metrics.OrderFit) -> str:
    if free.verdict == "floor":
        return "floor"
    if free.order_high - free.order_low > WIDE:
        return UNDECIDED
    if free.order_high < FASTER:
        return "faster than 1/N"
    if free.order_high < -0.5 - CLEAR and free.order_low > -1 + NEAR_ONE:
        return "between 1/sqrt(N) and 1/N"
    if free.order_low > -0.5 + CLEAR:
        return "slower than 1/sqrt(N)"
    return free.verdict


def judge(found: Sequence[Curve], fits: pd.DataFrame) -> pd.DataFrame:
    """Which bound holds for which code: one row a curve and bound, with the columns of ``bounds.csv``.

    `kind` is "enough" for a number of spikes or steps that is said to suffice, with `margin` the largest ratio of the
    error to the promised one, and "needed" for one that is said to be necessary, with `margin` the smallest ratio of
    the spikes to that number, or of the error to the least possible. The first holds up to 1, the second from 1 on.
    Theorem 8 is an order: it is undercut by an exponent whose interval lies below -1/2, of a block against the
    attention spikes of a row, which do not count what is spent before the window; its margin has constant 1.
    """
    own = fits.drop_duplicates(CURVE, keep="last")
    tables = [_judge(curve_of(found, row), row) for row in own.to_dict("records")]
    return pd.concat(tables, ignore_index=True)[BOUNDS]


def _judge(curve: Curve, row: dict[str, object]) -> pd.DataFrame:
    verdicts = []
    error, floor = curve.error, row["verdict"] == "floor"
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
        high = row["exponent_high"]
        word = (
            NOT_DECIDED if row["verdict"] in UNKNOWN
            else "does not converge" if floor
            else "undercut" if float(high) < -0.5 - CLEAR  # type: ignore[arg-type]
            else "holds"
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
