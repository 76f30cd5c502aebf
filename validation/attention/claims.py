"""Claims about the attention block, as read off the tables of the study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from biospike.theory import paper
from validation.study.claims import IMPLIED, OURS, REPORTED, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.thresholds import CLOSE, SMALL
from validation.study.verdict import FAILS, FASTER, HOLDS, ROOT, SLOWER, UNDECIDED, Case, number, order
from validation.study.words import between, conditions

CLAIMS, TOY_CLAIMS = Claims(), Claims()
"""Of a run of the defaults, and of one of the toy whose inhibition is subtracted."""
TOY = "the toy, score scale 3, no leak, w = 1 threshold a spike of the mean (2 of the sum), gain as in the run"
READING = "r the shares of all spikes since the attention neurons were let go, no leak"
DECAYED = 0.01
"""Part of its first value below which V is said to have decayed."""


def _attention(results: Results, mode: str, metric: str) -> Finding:
    fit = results.table("convergence", mode=mode, metric=metric).iloc[0]
    row = results.last("mode").loc[mode]
    error = row["attention_tv"] if metric == "attention_tv" else row["output_rmse"]
    if np.isnan(error):
        raise Missing(f"no attention spikes in the longest window of {mode}")
    why = f" ({fit['reason']})" if isinstance(fit["reason"], str) and fit["reason"] else ""
    slope = "" if np.isnan(fit["order"]) else f", local slope {fit['order']:.3f} in T"
    # An order of the distance from a limit that is further from softmax than that says nothing of softmax.
    near = fit["limit"] < error
    return judged(
        f"{fit['verdict']}{why}{slope}, error {error:.4f}; limit {fit['limit']:.2g} from ordinary attention",
        [order("", fit, holds=(*ROOT, *FASTER), fails=SLOWER) if near else Case(word=FAILS)],
        decision="order",
        threshold=-0.5,
        threshold_from="an upper bound, so that faster holds too",
        conditions=conditions(row, f"softmax by {row['softmax']}"),
    )


@CLAIMS.add(
    "staged spiking attention converges to softmax attention as O(1/sqrt(T))", IMPLIED, kind="implied",
    place="Theorem 7 takes T = O(1/eps^2) from its attention",
)  # fmt: skip
def staged(results: Results) -> Finding:
    """Order of the attention whose stages run one after the other."""
    return _attention(results, "staged", "attention_tv")


@CLAIMS.add("streaming spiking attention converges to softmax attention as O(1/sqrt(T))", OURS)
def streaming(results: Results) -> Finding:
    """Order of the attention when all stages run at once."""
    return _attention(results, "streaming", "attention_tv")


@CLAIMS.add(
    "the output of staged spiking attention converges as O(1/sqrt(T))", IMPLIED, kind="implied",
    place="Theorem 7 takes T = O(1/eps^2) from it",
)  # fmt: skip
def output(results: Results) -> Finding:
    """Order of the staged output."""
    return _attention(results, "staged", "output_rmse")


@CLAIMS.add(
    f"softmax attention by spikes costs {paper.ENERGY_RATIO[0]:g} times less than the ordinary one", IMPLIED,
    kind="implied", place="the energy of the abstract is of transformers whose softmax the theory makes of spikes",
)  # fmt: skip
def attention_energy(results: Results) -> Finding:
    """Energy of the recorded spikes of the staged block, in every window and on every device."""
    if results.table("convergence", mode="staged", metric="attention_tv")["limit"].iloc[0] > SMALL:
        raise Missing("rows whose limit is not softmax attention")
    found = results.table("energy", mode="staged")
    found = found[found["canonical_ratio"] > 0]
    arithmetic = found[found["device"] == found["device"].iloc[0]]
    need = paper.ENERGY_RATIO[0]
    cases = [
        Case.exact(f"additions alone at T = {row.timesteps}", row.canonical_ratio, least=need)
        for row in arithmetic.itertuples()
    ]
    cases += [
        Case.exact(f"events on {row.device} at T = {row.timesteps}", row.event_ratio, least=need)
        for row in found.itertuples()
    ]
    row, best = arithmetic.iloc[-1], max(case.estimate for case in cases)
    accuracy = f"attention TV {row['attention_tv']:.3f}" if np.isfinite(row["attention_tv"]) else "no attention spikes"
    return judged(
        f"{1 / row['canonical_ratio']:.3g} times the energy by additions alone, {1 / row['event_ratio']:.3g} with "
        f"neuron updates, with {accuracy} (T = {row['timesteps']}); at best "
        f"{1 / best:.3g} times",
        cases,
        on="the window and the comparator",
        decision="every case",
        interval=f"{1 / best:.3g} to {1 / min(case.estimate for case in cases):.3g} times over windows and devices",
        threshold_from="the lower end of the stated range",
        conditions="spikes recorded in this block; multiply-accumulates of ordinary attention without its softmax",
    )


@TOY_CLAIMS.add(
    "the two neurons of the toy under cross-inhibition converge to the softmax weights",
    REPORTED, kind="reported", place="its toy example",
)  # fmt: skip
def toy_converges(results: Results) -> Finding:
    """TV from softmax attention after n^2/eps^2 timesteps, with inhibition by the mean and by the sum."""
    table = _toy(results)
    last = table[table["bound"] == table["bound"].max()]
    return judged(
        f"after {last['bound'].max():.0f} timesteps "
        + "; ".join(
            f"{row.mode}, {row.feedback}: TV {row.tv:.4f} ({between(row.low, row.high)}), limit {row.limit_tv:.4f}"
            for row in last.itertuples()
        ),
        [_within(f"{row['mode']}, {row['feedback']}", row, SMALL) for row in last.to_dict("records")],
        on="the mode and the feedback",
        threshold_from=f"{SMALL:g}: below it a circuit is said to compute softmax",
        conditions=TOY,
    )


@TOY_CLAIMS.add(
    "the toy needs O(n^2/eps^2) steps: it is within eps after n^2/eps^2", REPORTED, kind="reported",
    place="its toy example",
)  # fmt: skip
def toy_steps(results: Results) -> Finding:
    """TV from softmax attention after n^2/eps^2 timesteps, and how many there are until it stays at eps or below."""
    table, said, cases = _toy(results), [], []
    for row in table.to_dict("records"):
        name = f"{row['mode']}, {row['feedback']}, eps = {row['eps']:g}"
        # In units of eps, so that accuracies can be held against each other.
        cases.append(_within(name, row, 1.0, scale=row["eps"]))
        reached, own = (
            "never" if np.isnan(row[column]) else f"{row[column]:.0f}" for column in ("steps", "steps_to_limit")
        )
        said.append(f"{name}: {reached} of {row['bound']:.0f} (to its own limit: {own})")
    return judged(
        f"timesteps until the TV stays within eps, of n^2/eps^2: {'; '.join(said)}",
        cases,
        on="the mode, the feedback and eps",
        threshold_from="eps; the number is the TV after n^2/eps^2 timesteps in units of it",
        conditions=TOY,
    )


@TOY_CLAIMS.add("V = sum (r_i - alpha_i)^2 decays exponentially", REPORTED, kind="reported", place="Lemma 3")
def exponential_decay(results: Results) -> Finding:
    """V of the shares since the attention was let go: what is left of it, and by which law it falls."""
    _own(results, "decay")
    curve, fits = results.table("decay"), results.table("decay_fit", reading="V")
    if results.table()["softmax"].iloc[0] != "subtractive":
        raise Missing("rows without lateral inhibition")
    said, cases = [], []
    for drive, mine in curve.groupby("drive", sort=False):
        known = mine[mine["V"].notna()]
        two = fits[fits["drive"] == drive].set_index("law")
        if known.empty or two["rate"].isna().any():
            raise Missing("too few windows in which every row has spiked")
        first, last = known.iloc[0], known.iloc[-1]
        one, rates = two.loc["exponential"], mine[mine["V_rate"].notna()]
        cases.append(decays_exponentially(str(drive), first["V"], last, one))
        then, now = rates.iloc[0], rates.iloc[-1]
        said.append(
            f"{drive} drive: V {first['V']:.3g} at {first['timesteps']:.0f}, {last['V']:.3g} "
            f"({between(last['low'], last['high'])}) at {last['timesteps']:.0f} timesteps, {last['V_limit']:.3g} at "
            f"the fixed point; rate to a floor of {one['floor']:.3g}: {one['rate']:.3g} a timestep "
            f"({between(one['low'], one['high'])}), R^2 of ln V {one['r_squared']:.3f}, of a power of time "
            f"{two.loc['power', 'r_squared']:.3f}; V of the rates at that time goes from {then['V_rate']:.2g} at "
            f"{then['timesteps']:.0f} (sampling leaves {then['sampling']:.1g}) to {now['V_rate']:.3g}"
        )
    return judged(
        "; ".join(said),
        cases,
        on="the drive",
        threshold_from=f"{DECAYED:g} of its first value, below which V must fall, and R^2 of ln V better by {CLOSE:g} "
        "than that of a power of time: of the two that which fails, or is least sure",
        conditions=f"subtractive rows, {READING}",
    )


def decays_exponentially(name: str, first: float, last: Mapping[str, Any], fit: Mapping[str, Any]) -> Case:
    """Case of one curve: V must fall below `DECAYED` of its first value, and as an exponential rather than a power.

    Parameters
    ----------
    name
        Of the curve.
    first
        First value of V.
    last, fit
        Last row of ``decay.csv`` and row of the exponential in ``decay_fit.csv``, with their intervals.
    """
    trials = number(last, "trials")
    left, low, high = (last[column] / first for column in ("V", "low", "high"))
    small = Case(name=name, estimate=left, low=low, high=high, most=DECAYED, trials=trials)
    ends = {"estimate": fit["better"], "low": fit["better_low"], "high": fit["better_high"]}
    told = [small, Case(name=name, **ends, least=CLOSE, trials=trials)]
    # Both are asked for: one that fails decides, and what is undecided stays so.
    return min(told, key=lambda case: (FAILS, UNDECIDED, HOLDS).index(case.verdict))


def _within(name: str, row: Mapping[str, Any], most: float, scale: float = 1.0) -> Case:
    """TV of a row of ``steps.csv`` in units of `scale`."""
    estimate, low, high = (row[column] / scale for column in ("tv", "low", "high"))
    return Case(name=name, estimate=estimate, low=low, high=high, most=most, trials=number(row, "trials"))


def _toy(results: Results) -> pd.DataFrame:
    """Rows of ``steps.csv`` with lateral inhibition."""
    _own(results, "steps")
    return results.table("steps", feedback=["mean", "sum"])


def _own(results: Results, table: str) -> None:
    """Require a table that only some runs have."""
    if not (results.directory / f"{table}.csv").is_file():
        raise Missing("it needs a run with --softmax subtractive --toy")
