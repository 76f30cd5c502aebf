"""Claims about exponentials, softmax circuits and attention, as read off the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from biospike.ideal.softmax import softmax
from biospike.theory.energy import CLAIMED_RATIO
from biospike.theory.lyapunov import V, sampling_floor
from circuits import SOFTMAX_CIRCUITS
from validation.softmax.report import regularity_law
from validation.study.claims import Finding, Missing, Results, between, claim

SHEET = "biospike"
PAPER = "arXiv:2604.15769"
GATES = [name for name, circuit in SOFTMAX_CIRCUITS.items() if circuit.common_gate]
LATER = 2.0
"""A bias is resolved above this many times what sampling leaves of it."""
CLOSE = 0.05
"""A law holds if the measurement is within this fraction of it."""


def last(results: Results, study: str, by: str, **where: object) -> pd.DataFrame:
    """Longest window of every group, indexed by it."""
    table = results.table(study, "summary", **where)
    return table.groupby(by, sort=False).tail(1).set_index(by)


# Exponential, Lemma 2


@claim("coincidences of Bernoulli spikes give e^z", f"{PAPER}, Lemma 2", "compare_exponential")
def taylor(results: Results) -> Finding:
    """Worst estimate of the series, with independent and with identical copies."""
    worst = {}
    for copies in ("independent", "identical"):
        rows = results.table("compare_exponential", circuit=f"taylor {copies}")
        rows = rows[rows["relative_sd_predicted"] > 0]
        off = (rows["estimate"] / rows["exact"]).to_numpy()
        inside = rows["exact"].between(rows["low"], rows["high"])
        worst[copies] = off[np.abs(np.log(off)).argmax()], int(inside.sum()), len(rows)
    (independent, inside, of), (identical, _, _) = worst["independent"], worst["identical"]
    return Finding(
        f"independent copies: at worst {independent:.3g} of e^z; identical copies: {identical:.3g} of e^z",
        f"e^z within the 95 % interval in {inside} of {of} readings of independent copies",
        "depends: on independent copies" if abs(np.log(identical)) > 0.1 else "holds",
    )


@claim("the error of Lemma 2 does not grow with the range of the logits", f"{PAPER}, Lemma 2", "compare_exponential")
def taylor_range(results: Results) -> Finding:
    """Relative scatter of a reading at the smallest and the largest range."""
    rows = results.table("compare_exponential", circuit="taylor independent").groupby("M")["relative_sd"].max()
    ratio = rows.iloc[-1] / rows.iloc[0]
    return Finding(
        f"scatter of a reading, relative to e^z, {rows.iloc[0]:.3g} at M = {rows.index[0]:g} and {rows.iloc[-1]:.3g} "
        f"at M = {rows.index[-1]:g} nats",
        "",
        "does not hold" if ratio > 2 else "holds",
    )


# Softmax, Lemma 3


@claim("subtractive lateral inhibition normalises exactly", f"{PAPER}, Lemma 3", "compare_softmax")
def subtractive(results: Results) -> Finding:
    """Error of the circuit as printed in the longest window."""
    row = last(results, "compare_softmax", "circuit").loc["subtractive"]
    return Finding(
        f"TV {row['tv']:.4f} after {row['spikes_per_row']:.0f} spikes a row; its fixed point predicts "
        f"{row['limit_tv']:.4f}",
        between(row["tv_low"], row["tv_high"]),
        "does not hold: a threshold-linear function" if row["tv_low"] > 0.01 else "holds",
    )


@claim("inhibition by a common factor gives softmax exactly, whatever its delay", SHEET, "compare_softmax")
def common_gate(results: Results) -> Finding:
    """Bias of the shares pooled over trials against what sampling leaves."""
    rows = last(results, "compare_softmax", "circuit", circuit=GATES)
    ratio = rows["bias_tv"] / rows["bias_floor"]
    biased = ", ".join(ratio[ratio >= LATER].index)
    return Finding(
        "; ".join(f"{name} {row.bias_tv:.4f}" for name, row in rows.iterrows()),
        "sampling leaves " + "; ".join(f"{row.bias_floor:.4f}" for _, row in rows.iterrows()),
        f"does not hold: {biased}" if biased else "holds: no bias resolved",
    )


@claim("the error of softmax circuits falls as 1/sqrt(T)", f"{PAPER}, Theorem 1", "compare_softmax")
def orders(results: Results) -> Finding:
    """Orders of every circuit."""
    rows = results.table("compare_softmax", "convergence").dropna(subset=["order"])
    verdicts = rows.groupby("verdict", sort=False)["circuit"].agg(", ".join)
    root = rows[rows["verdict"] == "1/sqrt(N)"]
    return Finding(
        "; ".join(f"{verdict}: {names}" for verdict, names in verdicts.items()),
        "; ".join(f"{row.circuit} {row.order_low:.2f} to {row.order_high:.2f}" for row in root.itertuples()),
        "holds" if len(root) == len(rows) else "depends: true of Poisson codes under a common gate only",
    )


@claim("TV = (2 pi N)^-1/2 sum sqrt(p(1-p)) for stochastic keys, nothing fitted", SHEET, "compare_softmax")
def multinomial(results: Results) -> Finding:
    """Race and escape against the multinomial law."""
    rows = last(results, "compare_softmax", "circuit", circuit=["race", "escape"])
    off, low, high = (rows[column] / rows["tv_expected"] - 1 for column in ("tv", "tv_low", "tv_high"))
    return Finding(
        "; ".join(f"{name} {value:+.1%}" for name, value in off.items()),
        "; ".join(f"{low[name]:+.1%} to {high[name]:+.1%}" for name in rows.index),
        "holds" if (off.abs() < CLOSE).all() else "does not hold",
    )


@claim("regular keys under a common gate reach 1/N", SHEET, "compare_softmax")
def regular_keys(results: Results) -> Finding:
    """Integrate and divisive."""
    rows = results.table("compare_softmax", "convergence", circuit=["integrate", "divisive"])
    return Finding(
        "; ".join(f"{row.circuit} order {row.order:.3f}" for row in rows.itertuples()),
        "; ".join(between(row.order_low, row.order_high) for row in rows.itertuples()),
        "holds" if (rows["verdict"] == "1/N").all() else "does not hold",
    )


@claim("V(r) = sum (r_i - p_i)^2 decays to zero under lateral inhibition", f"{PAPER}, Lemma 3", "compare_softmax")
def decay(results: Results) -> Finding:
    """Lyapunov function of the rates between the last two windows, and what sampling leaves of it."""
    data = results.dataset("compare_softmax", "counts")
    p, found = softmax(data["logits"].values), {}
    for name in ("subtractive", "race"):
        if name not in data["circuit"]:
            raise Missing(f"{name} was not run")
        counts = data["spike_count"].sel(circuit=name).transpose("trial", "row", "key", "checkpoint").values
        late = (counts[..., -1] - counts[..., 0]).sum(axis=0)
        spikes = late.sum(axis=-1)
        fired = spikes > 0
        rates = late[fired] / spikes[fired, None]
        found[name] = V(rates, p[fired]).mean(), sampling_floor(p[fired], spikes[fired]).mean()
    (stuck, floor), (race, race_floor) = found["subtractive"], found["race"]
    return Finding(
        f"V = {stuck:.3g} with subtraction (sampling leaves {floor:.1g}), {race:.2g} in a race ({race_floor:.2g})", "",
        "does not hold: V stays at the distance of the fixed point" if stuck > LATER * floor else "holds",
    )  # fmt: skip


@claim("exponential, threshold-linear and quadratic f-I curves give softmax, sparsemax and 1.5-entmax", SHEET,
       "compare_transfer")  # fmt: skip
def transfer(results: Results) -> Finding:
    """Distance of every f-I curve from its own limit and from the nearest other one."""
    rows, names = results.table("compare_transfer"), ("softmax", "sparsemax", "entmax15")
    own = np.array([row[f"tv_{row['limit']}"] for row in rows.to_dict("records")])
    others = [min(row[f"tv_{n}"] for n in names if n != row["limit"]) for row in rows.to_dict("records")]
    return Finding(
        "; ".join(
            f"{row.transfer} TV {tv:.2g} from {row.limit}" for row, tv in zip(rows.itertuples(), own, strict=True)
        ),
        "from the nearest other " + "; ".join(f"{tv:.2g}" for tv in others),
        "holds" if (own < 2 * rows["grid_floor"]).all() else "does not hold",
    )


@claim("TV = CV of the intervals times the multinomial law, about the circuit's limit", SHEET, "compare_softmax")
def regularity(results: Results) -> Finding:
    """Ratio of the measured error to the law with the measured CV."""
    table = regularity_law(results.dataset("compare_softmax", "counts"), results.table("compare_softmax"))
    ratio = table.set_index("circuit")["tv/cv_law"].dropna()
    off = ratio[(ratio - 1).abs() > 2 * CLOSE]
    return Finding(
        "; ".join(f"{name} {value:.2f}" for name, value in ratio.items()), "measured / law",
        "holds" if off.empty else f"depends: not in {', '.join(off.index)}",
    )  # fmt: skip


@claim("keys more than 5 nats below the maximum may be silenced", "threshold codes", "compare_softmax")
def dynamic_range(results: Results) -> Finding:
    """What silencing costs on the rows, arithmetic."""
    logits = results.dataset("compare_softmax", "counts")["logits"].values
    p, below = softmax(logits), np.nanmax(logits, axis=1, keepdims=True) - logits
    cost = {}
    for nats in (5, 6):
        kept = np.where(below <= nats, p, 0.0)
        cost[nats] = float(np.abs(kept / kept.sum(axis=1, keepdims=True) - p).sum(axis=1).mean())
    return Finding(
        "; ".join(f"{nats} nats: mean L1 {value:.3f}" for nats, value in cost.items()), "exact on these rows",
        "depends: on the error allowed" if cost[5] > 0.01 else "holds",
    )  # fmt: skip


@claim("shunting inhibition divides rates", "textbooks; against it Holt and Koch 1997", "compare_softmax")
def shunting(results: Results) -> Finding:
    """Floor of the conductance circuit."""
    row = last(results, "compare_softmax", "circuit").loc["shunting"]
    return Finding(f"TV {row['tv']:.4f}", between(row["tv_low"], row["tv_high"]),
                   "does not hold" if row["tv_low"] > 0.01 else "holds")  # fmt: skip


@claim("noisy LIF neurons with global inhibition compute softmax", f"{SHEET}: where the f-I curve is exponential",
       "compare_softmax")  # fmt: skip
def diffusive(results: Results) -> Finding:
    """Bias of the diffusive circuit against its mean field."""
    row = last(results, "compare_softmax", "circuit").loc["diffusive"]
    predicted = float(np.hypot(row["limit_tv"], row["bias_floor"]))
    return Finding(
        f"pooled bias TV {row['bias_tv']:.4f}; mean field {row['limit_tv']:.4f}, {predicted:.4f} with sampling",
        f"TV of a window {between(row['tv_low'], row['tv_high'])}",
        "does not hold: not at this rate" if row["limit_tv"] > 0.01 else "holds",
    )


# Attention


def _attention(results: Results, mode: str, metric: str) -> Finding:
    fit = results.table("compare_attention", "convergence", mode=mode, metric=metric).iloc[0]
    row = last(results, "compare_attention", "mode").loc[mode]
    error = row["attention_tv"] if metric == "attention_tv" else row["output_rmse"]
    near = abs(fit["order"] + 0.5) < 0.1
    return Finding(
        f"order {fit['order']:.3f} in T, error {error:.4f} at {row['window_ms']:g} ms; limit {fit['limit']:.2g} from "
        "ordinary attention",
        between(fit["order_low"], fit["order_high"]),
        "holds" if near and fit["verdict"] != "floor" else "does not hold",
    )


@claim("staged spiking attention approximates softmax attention as 1/sqrt(T)", f"{PAPER}, Theorem 1",
       "compare_attention")  # fmt: skip
def staged(results: Results) -> Finding:
    """Order of the attention of the theorem's arrangement."""
    return _attention(results, "staged", "attention_tv")


@claim("the same in one streaming network", SHEET, "compare_attention")
def streaming(results: Results) -> Finding:
    """Order of the attention when all stages run at once."""
    return _attention(results, "streaming", "attention_tv")


@claim("its output approximates as 1/sqrt(T)", f"{PAPER}, Theorem 1", "compare_attention")
def output(results: Results) -> Finding:
    """Order of the staged output."""
    return _attention(results, "staged", "output_rmse")


@claim("the same of softmax attention by spikes, at the accuracy of its window", PAPER, "compare_attention")
def attention_energy(results: Results) -> Finding:
    """Energy of the recorded spikes of the attention block in its longest window."""
    found = results.table("compare_attention", "energy", device="45 nm arithmetic", mode="staged")
    row, least = found.iloc[-1], found["canonical_ratio"].max()
    return Finding(
        f"{1 / row['canonical_ratio']:.3g} times the energy by additions alone, {1 / row['event_ratio']:.3g} with "
        f"neuron updates, at attention TV {row['attention_tv']:.3f} (T = {row['timesteps']})",
        f"at best {1 / least:.3g} times, in the shortest window",
        "holds" if row["canonical_ratio"] >= CLAIMED_RATIO[0] else "does not hold",
    )


@claim("self-attention heads with O(n^2 d/eps^2) heads and O(n^2 d_k^2/eps^2) steps approximate any function",
       f"{PAPER}, Theorem 7", "approximate_function")  # fmt: skip
def universal(results: Results) -> Finding:
    """Error of spiking heads with a linear read-out."""
    found = results.table("approximate_function")
    final = found[(found["heads"] == found["heads"].max()) & (found["timesteps"] == found["timesteps"].max())]
    better = (final["sup_error"] < final["constant_sup_error"]).all()
    return Finding(
        f"sup error with {int(final['heads'].iloc[0])} heads and T = {int(final['timesteps'].iloc[0])}: "
        + "; ".join(f"{row.target} {row.sup_error:.3f}" for row in final.itertuples()),
        "; ".join(between(row.sup_low, row.sup_high) for row in final.itertuples()),
        "holds: on these targets; constants and order are unverified" if better else "does not hold",
    )
