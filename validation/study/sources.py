"""What the sources say, in our words, and which claims answer to it.

Places: A, the abstract with its contributions as listed on the listing pages; D, a third-party digest of 28 April 2026;
R, a machine-written review page. What the works themselves have besides is not at hand.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd


class Statement(NamedTuple):
    """A statement, where it stands, and how the claims begin that answer to it."""

    words: str
    place: str
    claims: tuple[str, ...]


SOURCES = {
    "lif": Statement(
        "u = beta u + I - v_th s, a spike at u >= v_th, beta in (0, 1)", "D",
        ("the LIF neurons of papers and frameworks", "a discrete LIF is a membrane"),
    ),
    "rate": Statement(
        "over T steps a value x in [0, 1] is x T spikes in the mean", "D",
        ("rate coding errs as", "idealised: membrane leak", "idealised: input code"),
    ),
    "ssa": Statement(
        "scores are coincidences of query and key spikes over T", "D",
        ("idealised: independence of Q and K", "staged spiking attention converges"),
    ),
    "assumptions": Statement(
        "compact domain, Lipschitz, rates within [rho, 1 - rho]", "D", ("rates within [rho", "idealised: logit range")
    ),
    "toy": Statement(
        "two LIF neurons with cross-inhibition find the weights of a row of two keys in O(n^2/eps^2) steps", "D",
        ("the two neurons of the toy", "the toy needs", "O(n^2/eps^2) timesteps"),
    ),
    "objective": Statement(
        "the supremum over inputs of a Frobenius norm below eps, with the fewest spikes", "D",
        ("spiking transformers approximate every", "N_total = Omega"),
    ),
    "lemma1": Statement("O(1/delta^2) steps for an error delta, by Hoeffding", "D", ("T = ln(2/alpha)", "rate coding")),
    "lemma2": Statement(
        "e^z by a Taylor series of coincidences", "D", ("coincidences of Bernoulli", "the error of Lemma 2")
    ),
    "lemma3": Statement(
        "softmax by lateral inhibition with global feedback", "D",
        ("lateral inhibition by the mean", "idealised: inhibitory strength"),
    ),
    "convergence": Statement(
        "O(1/sqrt T) for the lateral-inhibition network", "A", ("the lateral-inhibition network converges",)
    ),
    "lyapunov": Statement("V decays exponentially", "D", ("V(r) = sum", "V = sum")),
    "theorem7": Statement(
        "universal; counts of layers, heads and steps that suffice", "A, D",
        ("spiking transformers approximate every", "L = O(log", "T = O(n^2 d_k^2", "H = O(n^2 d"),
    ),
    "rd": Statement(
        "R(D) = n d log2(L_f/eps); Omega(L_f^2 n d/eps^2) spikes", "D, A",
        ("R(D) =", "N_total = Omega", "the bound of Omega"),
    ),
    "deff": Statement("47, 68 and 89 dimensions for 95 % of the variance", "A, D", ("effective dimension 47",
                      "effective dimension 68", "effective dimension 89", "one effective dimension")),
    "t4": Statement("T = 4 suffices although the worst case asks for 10,000", "A", ("T = 4", "the worst case")),
    "rule": Statement("design rules with C = 2.3", "A, D", ("T = C d_eff",)),
    "fit": Statement(
        "R^2 = .97, p < .001, ratios 2.08 to 2.63, ten seeds, timesteps within 2 to 18 %", "A, D",
        ("R^2 =", "p <", "observed/theoretical", "ten seeds", "predicted timesteps"),
    ),
    "energy": Statement("38 to 57 times less", "A, D", ("38 to 57 times less", "softmax attention by spikes costs")),
    "models": Statement(
        "Spikformer, QKFormer, SpikingResformer, SpikingBERT; vision and language", "A, D",
        ("the frameworks run", "QKFormer's mask", "spiking transformers keep"),
    ),
    "limits": Statement(
        "ideal rates, inputs that differ, compact domain, LIF only, one d_eff", "D",
        ("winner-take-all needs", "the effective dimension may vary"),
    ),
    "open": Statement(
        "temporal codes and plasticity; spikes of sparse attention", "D",
        ("SpikedAttention's one-spike softmax", "spike-timing-dependent", "lateral inhibition spends fewer"),
    ),
    "referee": Statement(
        "bits and spikes; C and d_eff come from the data that they are validated on", "R",
        ("C and d_eff come from", "no code beats the information"),
    ),
    "falsifiers": Statement(
        "inhibition without 1/sqrt T; a timestep count from the formula alone", "R",
        ("the lateral-inhibition network converges", "predicted timesteps"),
    ),
    "suggested": Statement(
        "inhibition of itself; one bit a spike; saturation up to a small constant", "R, a simulated rebuttal: nobody's",
        ("a key that inhibits itself", "a spike carries at most", "inhibition saturates"),
    ),
    "rank": Statement(
        "LayerNorm, residuals, identifiability of heads, gates, the bottleneck of aligned heads", "D",
        ("LayerNorm keeps the affine rank of", "tokens have codimension", "residual connections raise",
         "heads are not identifiable", "gates of PG-OP", "gates on aligned", "aligned heads leave"),
    ),
    "sort": Statement(
        "a leaf has the smallest diagonal, Schur complements marginalise, the gap of nonlinear models", "D",
        ("a leaf has the smallest", "in linear models the Schur", "in nonlinear models it is", "the version by blocks",
         "the order of linear models", "488.6 of 500", "on post-nonlinear models"),
    ),
}  # fmt: skip


def answers(table: pd.DataFrame) -> pd.DataFrame:
    """One row a statement, from the table of all claims: its place, and the verdicts of the claims that answer."""
    rows = []
    for name, statement in SOURCES.items():
        mine = table[table["claim"].str.startswith(statement.claims)]
        words = mine["verdict"].str.split(":").str[0].value_counts()
        told = ", ".join(f"{number} {word}" for word, number in words.items())
        rows.append({"id": name, "statement": statement.words, "place": statement.place, "claims": told})
    return pd.DataFrame(rows)
