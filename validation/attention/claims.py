"""Claims about the attention block, as read off the tables of the study."""

from __future__ import annotations

import numpy as np

from biospike.theory import paper
from validation.study.claims import IMPLIED, OURS, REPORTED, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.verdict import FASTER, ROOT, SLOWER, Case, order
from validation.study.words import conditions

CLAIMS = Claims()


def _attention(results: Results, mode: str, metric: str) -> Finding:
    fit = results.table("convergence", mode=mode, metric=metric).iloc[0]
    row = results.last("mode").loc[mode]
    error = row["attention_tv"] if metric == "attention_tv" else row["output_rmse"]
    if np.isnan(error):
        raise Missing(f"no attention spikes in the longest window of {mode}")
    why = f" ({fit['reason']})" if isinstance(fit["reason"], str) and fit["reason"] else ""
    slope = "" if np.isnan(fit["order"]) else f", local slope {fit['order']:.3f} in T"
    return judged(
        f"{fit['verdict']}{why}{slope}, error {error:.4f}; limit {fit['limit']:.2g} from ordinary attention",
        [order("", fit, holds=(*ROOT, *FASTER), fails=SLOWER)],
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


NO_TOY = "no table has a block whose inhibition is subtracted, on the toy"
CLAIMS.unread(
    "two LIF neurons excited in proportion to exp(q.k) and inhibited by their sum converge to the normalised weights",
    REPORTED, NO_TOY, kind="reported", place="toy example",
)  # fmt: skip
CLAIMS.unread(
    "n^2/eps^2 steps suffice for those two neurons, eps = 0.1 and 0.05", REPORTED, NO_TOY, kind="reported",
    place="toy example",
)  # fmt: skip
