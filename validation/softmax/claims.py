"""Claims about softmax circuits, as read off the tables of the study."""

from __future__ import annotations

import attrs
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike.ideal.softmax import softmax
from biospike.theory.concentration import spikes_for_tv
from biospike.verdicts import NO_ERROR
from circuits.softmax import COMMON_GATES, GROUPS
from validation.softmax.by_rows import on_all_rows
from validation.softmax.tables import regularity_law
from validation.study.claims import OURS, PAPER, REPORTED, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.row_kinds import FACTORS, GIVEN
from validation.study.row_sets import judged_by_rows
from validation.study.thresholds import CLOSE, SMALL, TRIVIAL
from validation.study.verdict import FASTER, HOLDS, ROOT, SLOWER, Case, number, order
from validation.study.words import between, conditions

CLAIMS = Claims()
CONTROLS = GROUPS["control"]
"""Circuits that no inhibition joins: what they read is due to the read-out N_i/N."""
OF_SMALL = f"{SMALL:g}: below it a circuit is said to compute softmax"
FREE_WEIGHT = "at the study's inhibition in units of the threshold, which the sources leave free"


def _given(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of the study's own rows, by circuit: what a sentence says first."""
    return rows[rows["rows_kind"] == GIVEN].set_index("circuit")


def _tv(name: str, row: pd.Series, scale: float = 1.0, *, least: float = -np.inf, most: float = np.inf) -> Case:
    """Total variation in units of `scale`."""
    estimate, low, high = (row[column] / scale for column in ("tv", "tv_low", "tv_high"))
    return Case(name=name, estimate=estimate, low=low, high=high, least=least, most=most, trials=number(row, "trials"))


def _bias(name: str, row: pd.Series) -> Case:
    """Rms L2 bias of a row, held against none."""
    low, high = number(row, "bias_low"), number(row, "bias_high")
    return Case(name=name, low=low, high=high, least=-SMALL, most=SMALL, trials=number(row, "trials"))


def _seen(rows: pd.DataFrame) -> str:
    """How small a bias would have been seen."""
    told = [f"{name} {number(row, 'bias_resolvable'):.2g}" for name, row in rows.iterrows()
            if np.isfinite(number(row, "bias_resolvable"))]  # fmt: skip
    return f"; a constant bias would have been seen from {', '.join(told)}" if told else ""


def _trivial(results: Results) -> str:
    """Error of what is known to be trivial: uniform shares, all to the largest key, and no inhibition at all."""
    told = []
    if (results.directory / "counts.nc").is_file():
        p = softmax(results.dataset("counts")["logits"].values)
        keys = (p > 0).sum(axis=1, keepdims=True)
        told.append(f"uniform shares TV {0.5 * np.abs(p - (p > 0) / keys).sum(axis=1).mean():.3f}")
        told.append(f"the largest key alone {(1 - p.max(axis=1)).mean():.3f}")
    rows = results.table("summary")
    if "none" in set(rows["circuit"]):
        told.append(f"no inhibition {results.last('circuit', circuit=['none'])['tv'].iloc[0]:.4f}")
    return ", ".join(told)


@CLAIMS.add(
    "lateral inhibition by the mean of the last spikes, subtracted, computes softmax",
    REPORTED, kind="reported", place="Lemma 3",
)  # fmt: skip
def subtractive(results: Results) -> Finding:
    """Error of the circuit in the longest window, beside the fixed point of its closed form."""
    rows, curve, on = on_all_rows(results, ["subtractive"]), [], "the rows"
    row = _given(rows).iloc[0]
    predicted = f"{row['limit_tv']:.4f}"
    if (results.directory / "floor_curve.csv").is_file():
        # The weight and the kind of feedback are free in the sources, which have the mean and the sum.
        curve = [
            _tv(f"{one['feedback']}, w = {one['w']:g}", one, most=SMALL)
            for _, one in results.table("floor_curve").iterrows()
        ]
        on = "the weight, the kind of feedback and the rows"
    if row["limit_tv"] > NO_ERROR:
        predicted += f" ({row['tv'] / row['limit_tv'] - 1:+.2%} off)"
    return judged_by_rows(
        f"TV {row['tv']:.4f} after {row['spikes_per_row']:.0f} spikes a row; its threshold-linear fixed point has "
        f"{predicted}",
        rows,
        lambda name, one: _tv(name, one, most=SMALL),
        more=curve,
        on=on,
        threshold_from=OF_SMALL,
        control=_trivial(results),
        conditions=conditions(row, FREE_WEIGHT),
    )


@CLAIMS.add("inhibition by a common factor gives softmax without bias, whatever its delay", OURS)
def common_gate(results: Results) -> Finding:
    """Bias of the shares in the longest window."""
    every = on_all_rows(results, list(COMMON_GATES))
    rows = _given(every)
    return judged_by_rows(
        "TV of the shares pooled over trials, with what sampling leaves of it: "
        + "; ".join(
            f"{name} {row.bias_tv:.4f}" + (f" ({row.bias_floor:.4f})" if np.isfinite(row.bias_floor) else "")
            for name, row in rows.iterrows()
        )
        + _seen(rows),
        every,
        _bias,
        threshold_from=f"rms L2 bias of a row within {SMALL:g}",
        control=_trivial(results),
        conditions=conditions(rows.iloc[0], "each at its own delay"),
    )


@CLAIMS.add("a small error of the shares shows that a circuit normalises", OURS)
def shares(results: Results) -> Finding:
    """The control without inhibition: its shares are right, and the rates of its rows differ."""
    row = results.last("circuit", circuit=["none"]).iloc[0]
    spread = number(row, "rate_spread")
    if np.isnan([spread, row["tv_low"], row["tv_high"]]).any():
        raise Missing("one row, or one trial, does not tell")
    if spread <= CLOSE:
        raise Missing("the drives of these rows add up to the same, so that rates without inhibition differ by nothing")
    told = f"without any inhibition the shares have TV {row['tv']:.4f}, and the rows' rates a spread of {spread:.2f}"
    return judged(
        told,
        [_tv("", row, least=SMALL)],
        threshold_from=f"{OF_SMALL}; rates that differ by more than {CLOSE:.0%}",
        control=told,
        conditions=conditions(row),
    )


@CLAIMS.add(
    "the lateral-inhibition network converges to softmax as O(1/sqrt(T))", PAPER, kind="stated", place="abstract",
)  # fmt: skip
def convergence(results: Results) -> Finding:
    """Whether the error of the circuit of Lemma 3 falls at least so fast."""
    rows = on_all_rows(results, ["subtractive"])
    last = _given(rows).iloc[0]
    return judged_by_rows(
        f"the network of Lemma 3: {last['verdict']}{_reason(last)}, TV {last['tv']:.4f} in the longest window",
        rows,
        lambda name, row: order(name, row, holds=(*ROOT, *FASTER), fails=SLOWER),
        decision="order",
        threshold=-0.5,
        threshold_from="an upper bound, so that faster holds too",
        control=_trivial(results),
        conditions=conditions(last, FREE_WEIGHT, "the network as a digest gives it"),
    )


def _reason(row: pd.Series) -> str:
    return f" ({row['reason']})" if isinstance(row["reason"], str) and row["reason"] else ""


@CLAIMS.add("spiking softmax errs as 1/sqrt(N), whatever the circuit", OURS)
def orders(results: Results) -> Finding:
    """Orders of every circuit with inhibition."""
    ran = results.table("convergence")
    ran = ran[~ran["circuit"].isin(CONTROLS) & ~ran["reason"].isin(["not run"])]
    if ran.empty:
        raise Missing("no circuit of compare_softmax was run")
    rows = on_all_rows(results, list(ran["circuit"]), erring=False)
    verdicts = _given(rows).reset_index().groupby("verdict", sort=False)["circuit"].agg(", ".join)
    return judged_by_rows(
        "; ".join(f"{verdict}: {names}" for verdict, names in verdicts.items()),
        rows,
        lambda name, row: order(name, row, holds=ROOT, fails=(*FASTER, *SLOWER)),
        decision="order",
        threshold=-0.5,
        conditions=conditions(results.last("circuit").iloc[0]),
    )


@CLAIMS.add("TV = (2 pi N)^-1/2 sum sqrt(p(1-p)) for stochastic keys, nothing fitted", OURS)
def multinomial(results: Results) -> Finding:
    """Race and escape against the multinomial law, and the spikes that it asks for."""
    every = on_all_rows(results, ["race", "escape"])
    every = every[every["tv_expected"] > 0]
    rows = _given(every)
    if rows.empty:
        raise Missing("no error that the law could be held against")
    p = softmax(results.dataset("counts")["logits"].values)
    return judged_by_rows(
        "; ".join(f"{name} TV {row.tv:.4f}, {row.tv / row.tv_expected - 1:+.1%} from the law"
                  for name, row in rows.iterrows())
        + f"; for TV {SMALL:g} such a code needs {spikes_for_tv(p, SMALL).mean():.0f} spikes a row on average over "
        "these rows, N = (sum sqrt(p(1-p)))^2/(2 pi eps^2), which does not grow as n^2",
        every,
        lambda name, row: _tv(name, row, row["tv_expected"], least=1 - CLOSE, most=1 + CLOSE),
        threshold_from=f"within {CLOSE:.0%} of the law",
        conditions=conditions(rows.iloc[0]),
    )  # fmt: skip


@CLAIMS.add("regular keys under a common gate reach 1/N", OURS)
def regular_keys(results: Results) -> Finding:
    """Integrate and divisive."""
    rows = on_all_rows(results, ["integrate", "divisive"])
    given = _given(rows)
    if "verdict" not in given:
        raise Missing("no order was told")
    fails = (*ROOT, *SLOWER, "between", "between 1/sqrt(N) and 1/N")
    return judged_by_rows(
        "; ".join(
            f"{name}: {row.verdict}, TV {row.tv:.5f} at {row.spikes_per_row:.0f} spikes a row, law "
            f"{row.tv_expected:.5f}"
            for name, row in given.iterrows()
        ),
        rows,
        lambda name, row: order(name, row, holds=["1/N"], fails=fails),
        decision="order",
        threshold=-1.0,
        conditions=conditions(given.iloc[0]),
    )


@CLAIMS.add(
    "V(r) = sum (r_i - p_i)^2 decays to zero under lateral inhibition", REPORTED, kind="reported", place="Lyapunov",
)  # fmt: skip
def decay(results: Results) -> Finding:
    """What is left of V in the longest window, without what sampling adds: the mean square bias of a row."""
    rows = on_all_rows(results, ["subtractive"])
    row = _given(rows).iloc[0]
    V = [number(row, end) ** 2 for end in ("bias_low", "bias_high")]
    return judged_by_rows(
        f"V of the shares of the longest window lies between {V[0]:.3g} and {V[1]:.3g} without sampling"
        if np.isfinite(V).all() else "these tables have no interval of the bias, whose square V is",
        rows,
        _bias,
        threshold_from=f"the root of V within {SMALL:g}",
        control=_trivial(results),
        conditions=conditions(row, FREE_WEIGHT),
    )  # fmt: skip


@CLAIMS.add("TV = CV of the intervals times the multinomial law, about the circuit's limit", OURS)
def regularity(results: Results) -> Finding:
    """Measured error over the law with the measured CV."""
    counts = results.dataset("counts")
    table = regularity_law(counts, results.table("summary", circuit=list(counts["circuit"].values)))
    laws, every = table.set_index("circuit")["cv_law"], on_all_rows(results, list(table["circuit"]))
    own = every["circuit"].map(laws)
    # What is measured on the study's own rows, and what is stored of the others.
    every["cv_law"] = own.where(every["rows_kind"] == GIVEN, every.get("cv_law", own))
    every = every[every["cv_law"] > NO_ERROR]
    rows = _given(every)
    if rows.empty:
        raise Missing("no error that the law could be held against")
    return judged_by_rows(
        "measured / law: "
        + "; ".join(f"{name} {row.tv / row.cv_law:.2f}" for name, row in rows.iterrows())
        + ". The law knows nothing of a circuit but its limit, its spike count and the measured CV of its intervals; "
        "codes in which a long interval is followed by a short one stray less than it says",
        every,
        lambda name, row: _tv(name, row, row["cv_law"], least=1 - 2 * CLOSE, most=1 + 2 * CLOSE),
        threshold_from=f"within {2 * CLOSE:.0%} of the law, which is of renewal codes and to first order",
        conditions=conditions(rows.iloc[0], "the measured CV taken as exact"),
    )


@CLAIMS.add("the same law where nothing but the CV differs: escape keys, k = 1 to infinity", OURS)
def family(results: Results) -> Finding:
    """Every window of every member."""
    rows = results.table("regularity")
    rows = rows[(rows["tv"] > NO_ERROR) & (rows["cv_law"] > NO_ERROR)]
    if rows.empty:
        raise Missing("no member errs")
    ratios: list[Case] = []
    cases: list[Case] = []
    for k, mine in rows.groupby("k", sort=False):
        windows = {
            f"{row['spikes_per_row']:.0f}": _tv("", row, row["cv_law"], least=1 - CLOSE, most=1 + CLOSE)
            for _, row in mine.iterrows()
        }
        ratios += windows.values()
        # Of the windows of a member with one verdict the farthest from the law stands for all, which it names.
        for word in dict.fromkeys(case.verdict for case in windows.values()):
            same = {spikes: case for spikes, case in windows.items() if case.verdict == word}
            worst = max(same.values(), key=lambda case: case.excess)
            cases.append(attrs.evolve(worst, name=f"k = {k:g} ({'/'.join(same)})"))
    count = sum(case.verdict == HOLDS for case in ratios)
    return judged(
        f"within {CLOSE:.0%} of the law in {count} of {len(ratios)} windows",
        cases,
        on="the CV and the spikes of a row, in brackets",
        interval=f"ratios {between(min(case.low for case in ratios), max(case.high for case in ratios))}",
        threshold_from=f"within {CLOSE:.0%} of the law",
        conditions=f"{rows['spikes_per_row'].min():.0f} to {rows['spikes_per_row'].max():.0f} spikes a row",
    )


@CLAIMS.add("keys more than 5 nats below the maximum may be silenced", OURS, place="threshold codes need it")
def dynamic_range(results: Results) -> Finding:
    """What silencing costs on every row, arithmetic."""
    logits = results.dataset("counts")["logits"].values
    p, below = softmax(logits), np.nanmax(logits, axis=1, keepdims=True) - logits
    if not (below > 5).any():
        raise Missing("no key of these rows lies 5 nats below its maximum")
    lost = {nats: np.where(below > nats, p, 0.0).sum(axis=1) for nats in (5, 6)}
    few, many = lost[5].min(), lost[5].max()
    return judged(
        "; ".join(f"{nats} nats: TV {cost.mean():.4f} (mean of the rows)" for nats, cost in lost.items())
        + f"; above {SMALL:g} at 5 nats in {(lost[5] > SMALL).sum()} of {len(p)} rows",
        [Case.exact("rows that lose least", few, most=SMALL), Case.exact("rows that lose most", many, most=SMALL)],
        on="the rows",
        decision="closed form",
        threshold_from=OF_SMALL,
        conditions=f"{len(p)} rows",
    )


@CLAIMS.add(
    "shunting inhibition divides rates", "Holt and Koch 1997", kind="reported", place="whose authors argue against it",
)  # fmt: skip
def shunting(results: Results) -> Finding:
    """Floor of the conductance circuit."""
    rows = on_all_rows(results, ["shunting"])
    row = _given(rows).iloc[0]
    return judged_by_rows(
        f"TV {row['tv']:.4f}; its self-consistent limit predicts {row['limit_tv']:.4f}",
        rows,
        lambda name, one: _tv(name, one, most=SMALL),
        threshold_from=OF_SMALL,
        control=_trivial(results),
        conditions=conditions(row),
    )


@CLAIMS.add(
    "noisy LIF neurons with global inhibition compute softmax", OURS, place="where the f-I curve is exponential"
)
def diffusive(results: Results) -> Finding:
    """Bias of the diffusive circuit, beside its mean field."""
    rows = on_all_rows(results, ["diffusive"])
    row = _given(rows).iloc[0]
    return judged_by_rows(
        f"pooled bias TV {row['bias_tv']:.4f}; mean field {row['limit_tv']:.4f}{_seen(row.to_frame('it').T)}",
        rows,
        _bias,
        threshold_from=f"rms L2 bias of a row within {SMALL:g}",
        control=_trivial(results),
        conditions=conditions(row),
    )


@CLAIMS.add(
    "a key that inhibits itself alone, w_ij = -alpha delta_ij, computes softmax", OURS,
    place="suggested by a machine-written page",
)  # fmt: skip
def self_inhibition(results: Results) -> Finding:
    """Its error over the best of uniform shares, the largest key and no inhibition: the read-out makes shares too."""
    rows = on_all_rows(results, ["self_inhibition"])
    none = on_all_rows(results, ["none"], erring=False).set_index("rows_kind")["tv"]
    logits = results.dataset("counts")["logits"].values
    best = {kind: _best(softmax(FACTORS[kind] * logits), none[kind]) for kind in rows["rows_kind"] if kind in none}
    rows = rows[rows["rows_kind"].isin(best)]
    row = _given(rows).iloc[0]
    return judged_by_rows(
        f"TV {row['tv']:.4f}, {row['tv'] / best[GIVEN]:.3g} times the best trivial read-out's",
        rows,
        lambda name, one: _tv(name, one, best[one["rows_kind"]], most=TRIVIAL),
        threshold_from=f"{TRIVIAL:g} of the best trivial read-out",
        control=_trivial(results),
        conditions=conditions(row),
    )


def _best(p: NDArray[np.float64], none: float) -> float:
    """Error of the best of uniform shares, the largest key and no inhibition."""
    keys = (p > 0).sum(axis=1, keepdims=True)
    uniform = 0.5 * np.abs(p - (p > 0) / keys).sum(axis=1).mean()
    return float(min(none, uniform, (1 - p.max(axis=1)).mean()))
