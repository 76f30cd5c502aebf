"""Claims about the attention block, as read off the tables of the study."""

from __future__ import annotations

import numpy as np
import pandas as pd

from biospike.theory import paper
from validation.study.claims import IMPLIED, OURS, REPORTED, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.thresholds import CLOSE, SMALL
from validation.study.verdict import FAILS, FASTER, ROOT, SLOWER, Case, order
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
    last = table.groupby(["mode", "feedback"], sort=False).first().reset_index()
    verdicts = {
        row.feedback: "does not hold" if row.low > SMALL else "holds" if row.high < SMALL else "undecided"
        for row in last.itertuples()
    }
    worst = last.loc[last["tv"].idxmax()]
    said = "; ".join(
        f"{row.mode}, {row.feedback}: TV {row.tv:.4f} ({between(row.low, row.high)}), limit {row.limit_tv:.4f}"
        for row in last.itertuples()
    )
    return Finding(
        f"after {int(table['bound'].max())} timesteps {said}",
        between(worst["low"], worst["high"]),
        _joined(verdicts, "the feedback"),
        estimate=worst["tv"], low=worst["low"], high=worst["high"], level=0.95, threshold=SMALL,
        threshold_from="TV below which a circuit is said to compute softmax", conditions=TOY,
    )  # fmt: skip


@TOY_CLAIMS.add(
    "the toy needs O(n^2/eps^2) steps: it is within eps after n^2/eps^2", REPORTED, kind="reported",
    place="its toy example",
)  # fmt: skip
def toy_steps(results: Results) -> Finding:
    """Timesteps from which the TV from softmax attention stays at eps or below."""
    table = _toy(results)
    verdicts, said = {}, []
    for row in table.itertuples():
        late = np.isnan(row.steps) or row.steps > row.bound
        verdict = "does not hold" if row.low > row.eps else "holds" if row.high < row.eps and not late else "undecided"
        verdicts[f"{row.mode}, {row.feedback}, eps = {row.eps:g}"] = verdict
        reached = "never" if np.isnan(row.steps) else f"{row.steps:.0f}"
        own = "never" if np.isnan(row.steps_to_limit) else f"{row.steps_to_limit:.0f}"
        said.append(f"{row.mode}, {row.feedback}, eps = {row.eps:g}: {reached} of {row.bound} (its own limit: {own})")
    return Finding(
        f"timesteps to eps of n^2/eps^2: {'; '.join(said)}", "", _joined(verdicts, "feedback and eps"), conditions=TOY
    )


@TOY_CLAIMS.add("V = sum (r_i - alpha_i)^2 decays exponentially", REPORTED, kind="reported", place="Lemma 3")
def exponential_decay(results: Results) -> Finding:
    """V of the shares since the attention was let go: what is left of it, and by which law it falls."""
    _own(results, "decay")
    curve, fits = results.table("decay"), results.table("decay_fit", reading="V")
    if results.table()["softmax"].iloc[0] != "subtractive":
        raise Missing("rows without lateral inhibition")
    verdicts, said = {}, []
    for drive, mine in curve.groupby("drive", sort=False):
        known = mine[mine["V"].notna()]
        two = fits[fits["drive"] == drive].set_index("law")
        if known.empty or two["rate"].isna().any():
            raise Missing("too few windows in which every row has spiked")
        first, last = known.iloc[0], known.iloc[-1]
        verdicts[str(drive)] = decays_exponentially(first["V"], last["low"], last["high"], *two["r_squared"])
        one, rates = two.loc["exponential"], mine[mine["V_rate"].notna()]
        then, now = rates.iloc[0], rates.iloc[-1]
        said.append(
            f"{drive} drive: V {first['V']:.3g} at {first['timesteps']:.0f}, {last['V']:.3g} "
            f"({between(last['low'], last['high'])}) at {last['timesteps']:.0f} timesteps, {last['V_limit']:.3g} at "
            f"the fixed point; rate to a floor of {one['floor']:.3g}: {one['rate']:.3g} a timestep "
            f"({between(one['low'], one['high'])}), R^2 of ln V {one['r_squared']:.3f}, of a power of time "
            f"{two.loc['power', 'r_squared']:.3f}; V of the rates at that time goes from {then['V_rate']:.2g} at "
            f"{then['timesteps']:.0f} (sampling leaves {then['sampling']:.1g}) to {now['V_rate']:.3g}"
        )
    one = fits[fits["law"] == "exponential"].iloc[0]
    return Finding(
        "; ".join(said), between(one["low"], one["high"]), _joined(verdicts, "the drive"),
        estimate=one["rate"], low=one["low"], high=one["high"], level=0.95, threshold=DECAYED,
        threshold_from="part of its first value that V must fall below", conditions=f"subtractive rows, {READING}",
    )  # fmt: skip


def decays_exponentially(first: float, low: float, high: float, exponential: float, power: float) -> str:
    """Verdict of one curve: V must fall below `DECAYED` of its first value, and better as an exponential.

    Parameters
    ----------
    first, low, high
        First value of V, and the interval of the last.
    exponential, power
        R squared of ln V of both laws, each with a floor.
    """
    if low > DECAYED * first:
        return "does not hold"
    if not high < DECAYED * first:
        return "undecided"
    if power - exponential > CLOSE:
        return "does not hold"
    return "holds" if exponential - power > CLOSE else "undecided"


def _toy(results: Results) -> pd.DataFrame:
    """Rows of ``steps.csv`` with lateral inhibition."""
    _own(results, "steps")
    return results.table("steps", feedback=["mean", "sum"])


def _own(results: Results, table: str) -> None:
    """Require a table that only some runs have."""
    if not (results.directory / f"{table}.csv").is_file():
        raise Missing("it needs a run with --softmax subtractive --toy")


def _joined(verdicts: dict[str, str], choice: str) -> str:
    """One verdict of several: theirs if they agree, else what it depends on, if none is undecided."""
    found = set(verdicts.values())
    if len(found) == 1:
        return found.pop()
    return "undecided" if "undecided" in found else f"depends: on {choice}"
