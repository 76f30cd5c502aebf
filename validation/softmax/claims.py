"""Claims about softmax circuits, as read off the tables of the study."""

from __future__ import annotations

import numpy as np
import pandas as pd

from biospike.ideal.softmax import softmax
from biospike.theory.concentration import spikes_for_tv
from biospike.theory.lyapunov import V, sampling_floor
from biospike.verdicts import HALF, NO_ERROR, ONE, UNDECIDED
from circuits.softmax import COMMON_GATES
from validation.softmax.tables import regularity_law
from validation.study.claims import OURS, PAPER, Claims, Finding
from validation.study.results import Missing, Results
from validation.study.thresholds import CLOSE, LATER, SMALL
from validation.study.words import between

CLAIMS = Claims()
GATES = list(COMMON_GATES)


def _erring(results: Results, circuits: list[str]) -> pd.DataFrame:
    """Longest windows of those of the circuits that err: of the others there is nothing to say."""
    rows = results.last("circuit", circuit=circuits)
    rows = rows[rows["tv"] > NO_ERROR]
    if rows.empty:
        raise Missing(f"no error of {', '.join(circuits)} to explain")
    return rows


@CLAIMS.add("subtractive lateral inhibition normalises exactly", f"{PAPER}, Lemma 3")
def subtractive(results: Results) -> Finding:
    """Error of the circuit in the longest window, beside the fixed point of its closed form."""
    row = _erring(results, ["subtractive"]).iloc[0]
    predicted = f"{row['limit_tv']:.4f}"
    if row["limit_tv"] > NO_ERROR:
        off = row["tv"] / row["limit_tv"] - 1
        agrees = "as its closed form says" if abs(off) < CLOSE else "which its closed form does not explain"
        predicted += f" ({off:+.2%} off), {agrees}"
    return Finding(
        f"TV {row['tv']:.4f} after {row['spikes_per_row']:.0f} spikes a row; its threshold-linear fixed point predicts "
        f"{predicted}. More timesteps do not help: this circuit computes a thresholded linear function of the drive",
        between(row["tv_low"], row["tv_high"]),
        "does not hold: a threshold-linear function" if row["tv_low"] > SMALL else "holds",
        estimate=row["tv"],
        low=row["tv_low"],
        high=row["tv_high"],
        level=0.95,
        threshold=SMALL,
    )


@CLAIMS.add("inhibition by a common factor gives softmax exactly, whatever its delay", OURS)
def common_gate(results: Results) -> Finding:
    """Bias of the shares pooled over trials against what sampling leaves."""
    rows = _erring(results, GATES)
    if rows["bias_floor"].isna().any():
        raise Missing("a single trial does not tell how much of a deviation of the shares is sampling")
    ratio = rows["bias_tv"] / rows["bias_floor"]
    biased = ", ".join(ratio[ratio >= LATER].index)
    return Finding(
        "TV of the shares pooled over trials: "
        + "; ".join(f"{name} {row.bias_tv:.4f}" for name, row in rows.iterrows()),
        "sampling leaves " + "; ".join(f"{row.bias_floor:.4f}" for _, row in rows.iterrows()),
        f"does not hold: {biased}" if biased else "holds: no bias resolved",
        estimate=ratio.max(),
        threshold=LATER,
    )


@CLAIMS.add("the error of softmax circuits falls as 1/sqrt(T)", f"{PAPER}, Theorem 1")
def orders(results: Results) -> Finding:
    """Orders of every circuit."""
    rows = results.table("convergence").dropna(subset=["order"])
    rows = rows[rows["verdict"] != UNDECIDED]
    if rows.empty:
        raise Missing("every order is undecided")
    verdicts = rows.groupby("verdict", sort=False)["circuit"].agg(", ".join)
    root = rows[rows["verdict"] == HALF]
    return Finding(
        "; ".join(f"{verdict}: {names}" for verdict, names in verdicts.items()),
        "order by reference, 97.5 %: "
        + "; ".join(
            f"{row.circuit} {between(row.order_of_law_low, row.order_of_law_high)}" for row in root.itertuples()
        ),
        "holds" if len(root) == len(rows) else "depends: true of Poisson codes under a common gate only",
    )


@CLAIMS.add("TV = (2 pi N)^-1/2 sum sqrt(p(1-p)) for stochastic keys, nothing fitted", OURS)
def multinomial(results: Results) -> Finding:
    """Race and escape against the multinomial law, and the spikes that it asks for."""
    rows = _erring(results, ["race", "escape"])
    rows = rows[rows["tv_expected"] > 0]
    if rows.empty:
        raise Missing("no error that the law could be held against")
    off, low, high = (rows[column] / rows["tv_expected"] - 1 for column in ("tv", "tv_low", "tv_high"))
    p = softmax(results.dataset("counts")["logits"].values)
    return Finding(
        "; ".join(f"{name} TV {rows.loc[name, 'tv']:.4f}, {value:+.1%} from the law" for name, value in off.items())
        + f"; for TV {SMALL:g} such a code needs {spikes_for_tv(p, SMALL).mean():.0f} spikes a row on average over "
        "these rows, N = (sum sqrt(p(1-p)))^2/(2 pi eps^2), which does not grow as n^2",
        "; ".join(f"{low[name]:+.1%} to {high[name]:+.1%}" for name in rows.index if np.isfinite(low[name])),
        "holds" if (off.abs() < CLOSE).all() else "does not hold",
        estimate=off[off.abs().idxmax()],
        threshold=CLOSE,
    )


@CLAIMS.add("regular keys under a common gate reach 1/N", OURS)
def regular_keys(results: Results) -> Finding:
    """Integrate and divisive."""
    rows = results.table("convergence", circuit=["integrate", "divisive"]).dropna(subset=["order"])
    rows = rows[rows["verdict"] != UNDECIDED]
    if rows.empty:
        raise Missing("no order was told")
    errors = results.last("circuit", circuit=list(rows["circuit"]))
    return Finding(
        "; ".join(
            f"{row.circuit} order {row.order_of_law:.3f} by reference, local slope {row.order:.3f}, "
            f"TV {errors.loc[row.circuit, 'tv']:.5f} at "
            f"{errors.loc[row.circuit, 'spikes_per_row']:.0f} spikes a row, law "
            f"{errors.loc[row.circuit, 'tv_expected']:.5f}"
            for row in rows.itertuples()
        ),
        "; ".join(between(row.order_of_law_low, row.order_of_law_high) for row in rows.itertuples()),
        "holds" if (rows["verdict"] == ONE).all() else "does not hold",
    )


@CLAIMS.add("V(r) = sum (r_i - p_i)^2 decays to zero under lateral inhibition", f"{PAPER}, Lemma 3")
def decay(results: Results) -> Finding:
    """Lyapunov function of the rates between the last two windows, and what sampling leaves of it."""
    data = results.dataset("counts")
    p, found = softmax(data["logits"].values), {}
    for name in ("subtractive", "race"):
        if name not in data["circuit"]:
            raise Missing(f"{name} was not run")
        counts = data["spike_count"].sel(circuit=name).transpose("trial", "row", "key", "checkpoint").values
        late = (counts[..., -1] - counts[..., 0]).sum(axis=0)
        spikes = late.sum(axis=-1)
        fired = spikes > 0
        if not fired.any():
            raise Missing(f"{name} was silent")
        rates = late[fired] / spikes[fired, None]
        found[name] = V(rates, p[fired]).mean(), sampling_floor(p[fired], spikes[fired]).mean()
    (stuck, floor), (race, race_floor) = found["subtractive"], found["race"]
    return Finding(
        f"V = {stuck:.3g} with subtraction (sampling leaves {floor:.1g}), {race:.2g} in a race ({race_floor:.2g})", "",
        "does not hold: V stays at the distance of the fixed point" if stuck > LATER * floor else "holds",
    )  # fmt: skip


@CLAIMS.add("TV = CV of the intervals times the multinomial law, about the circuit's limit", OURS)
def regularity(results: Results) -> Finding:
    """Ratio of the measured error to the law with the measured CV."""
    counts = results.dataset("counts")
    table = regularity_law(counts, results.table("summary", circuit=list(counts["circuit"].values)))
    ratio = table.set_index("circuit")["tv/cv_law"].dropna()
    if ratio.empty:
        raise Missing("no error that the law could be held against")
    off = ratio[(ratio - 1).abs() > 2 * CLOSE]
    return Finding(
        "measured / law: "
        + "; ".join(f"{name} {value:.2f}" for name, value in ratio.items())
        + ". The law knows nothing of a circuit but its limit, its spike count and the measured CV of its intervals; "
        "codes in which a long interval is followed by a short one stray less than it says",
        "",
        "holds" if off.empty else f"depends: not in {', '.join(off.index)}",
    )


@CLAIMS.add("keys more than 5 nats below the maximum may be silenced", "threshold codes")
def dynamic_range(results: Results) -> Finding:
    """What silencing costs on the rows, arithmetic."""
    logits = results.dataset("counts")["logits"].values
    p, below = softmax(logits), np.nanmax(logits, axis=1, keepdims=True) - logits
    cost = {}
    for nats in (5, 6):
        kept = np.where(below <= nats, p, 0.0)
        cost[nats] = float(np.abs(kept / kept.sum(axis=1, keepdims=True) - p).sum(axis=1).mean())
    return Finding(
        "; ".join(f"{nats} nats: mean L1 {value:.3f}" for nats, value in cost.items()), "exact on these rows",
        "depends: on the error allowed" if cost[5] > 0.01 else "holds",
    )  # fmt: skip


@CLAIMS.add("shunting inhibition divides rates", "textbooks; against it Holt and Koch 1997")
def shunting(results: Results) -> Finding:
    """Floor of the conductance circuit."""
    row = _erring(results, ["shunting"]).iloc[0]
    return Finding(
        f"TV {row['tv']:.4f}; its self-consistent limit predicts {row['limit_tv']:.4f}",
        between(row["tv_low"], row["tv_high"]),
        "does not hold" if row["tv_low"] > SMALL else "holds",
        estimate=row["tv"],
        low=row["tv_low"],
        high=row["tv_high"],
        level=0.95,
        threshold=SMALL,
    )


@CLAIMS.add("noisy LIF neurons with global inhibition compute softmax", f"{OURS}: where the f-I curve is exponential")
def diffusive(results: Results) -> Finding:
    """Bias of the diffusive circuit against its mean field."""
    row = _erring(results, ["diffusive"]).iloc[0]
    scatter = (
        "" if np.isnan(row["bias_floor"]) else f", {np.hypot(row['limit_tv'], row['bias_floor']):.4f} with sampling"
    )
    return Finding(
        f"pooled bias TV {row['bias_tv']:.4f}; mean field {row['limit_tv']:.4f}{scatter}",
        f"TV of a window {between(row['tv_low'], row['tv_high'])}",
        "does not hold: not at this rate" if row["limit_tv"] > SMALL else "holds",
    )
