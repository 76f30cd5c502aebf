"""Claims about the attention block, as read off the tables of the study."""

from __future__ import annotations

import numpy as np

from biospike.theory import paper
from biospike.verdicts import HALF, UNDECIDED
from validation.study.claims import OURS, PAPER, Claims, Finding
from validation.study.results import Missing, Results
from validation.study.words import between

CLAIMS = Claims()


def _attention(results: Results, mode: str, metric: str) -> Finding:
    fit = results.table("convergence", mode=mode, metric=metric).iloc[0]
    if np.isnan(fit["order"]):
        raise Missing(f"no order of {mode} {metric} can be told: {fit['reason']}")
    row = results.last("mode").loc[mode]
    error = row["attention_tv"] if metric == "attention_tv" else row["output_rmse"]
    return Finding(
        f"local slope {fit['order']:.3f} in T, error {error:.4f} at {row['window_ms']:g} ms; limit "
        f"{fit['limit']:.2g} from ordinary attention",
        between(fit["order_low"], fit["order_high"]),
        "holds" if fit["verdict"] == HALF
        else f"undecided: {fit['reason']}" if fit["verdict"] == UNDECIDED
        else f"does not hold: {fit['verdict']}",
    )  # fmt: skip


@CLAIMS.add("staged spiking attention approximates softmax attention as 1/sqrt(T)", f"{PAPER}, Theorem 1")  # fmt: skip
def staged(results: Results) -> Finding:
    """Order of the attention of the theorem's arrangement."""
    return _attention(results, "staged", "attention_tv")


@CLAIMS.add("the same in one streaming network", OURS)
def streaming(results: Results) -> Finding:
    """Order of the attention when all stages run at once."""
    return _attention(results, "streaming", "attention_tv")


@CLAIMS.add("its output approximates as 1/sqrt(T)", f"{PAPER}, Theorem 1")
def output(results: Results) -> Finding:
    """Order of the staged output."""
    return _attention(results, "staged", "output_rmse")


@CLAIMS.add("the same of softmax attention by spikes, at the accuracy of its window", PAPER)
def attention_energy(results: Results) -> Finding:
    """Energy of the recorded spikes of the attention block in its longest window."""
    found = results.table("energy", device="45 nm arithmetic", mode="staged")
    row, least = found.iloc[-1], found["canonical_ratio"].max()
    return Finding(
        f"{1 / row['canonical_ratio']:.3g} times the energy by additions alone, {1 / row['event_ratio']:.3g} with "
        f"neuron updates, at attention TV {row['attention_tv']:.3f} (T = {row['timesteps']})",
        f"at best {1 / least:.3g} times, in the shortest window",
        "holds" if row["canonical_ratio"] >= paper.ENERGY_RATIO[0] else "does not hold",
    )
