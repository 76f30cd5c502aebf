"""What the rank study means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from validation.rank import kernel, operations, trains
from validation.rank.collapse import NETWORK_DEPTH, Sizes
from validation.rank.tables import COLLAPSE_MEANINGS, MEANINGS
from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown


def report(
    sizes: Sizes, seed: int, origin: str, tables: Mapping[str, pd.DataFrame], findings: Sequence[Finding]
) -> str:
    """Return the report as Markdown."""
    parts = [
        "# Rank of tokens and of heads",
        f"{sizes.tokens} tokens of {sizes.features} features, {sizes.depth} layers of pure attention, "
        f"{sizes.trials} trials, seed {seed}; MiniLM's W_O {origin}. The statements on LayerNorm, residuals and heads "
        "are those of a third-party digest; the work itself is not at hand.",
        "![rank](rank.png)",
        "Left: how far tokens are from equal behind every layer, in the longest window. Middle: behind the last layer, "
        "against the attention spikes of a row. Right: what the intervals of a merged train tell of the share of the "
        "two heads that make it.",
        "## Collapse",
        "Exact attention cubes what is left of the tokens' differences. Shares of N spikes keep a part of them, about "
        "1/sqrt(N) a layer, for ever: noise on the shares sees nothing but differences. Value spikes bring noise of "
        "their own, which every query draws again, so that tokens stop becoming equal; what is then left is no "
        "information about them: the rank that noise does not explain is what `rank_corrected` says. Values are "
        "encoded again in every layer; in `network` they are not, for "
        f"{min(NETWORK_DEPTH, sizes.depth)} layers, and its outputs are decoded by the clock.",
        markdown(tables["collapse"]),
        markdown(tables["rank"]),
        "`rank.csv`: " + described(MEANINGS),
        "`collapse.csv`: " + described(COLLAPSE_MEANINGS),
        "## LayerNorm, residuals, an MLP",
        "Affine rank behind LayerNorm is rank[X C, s] - 1, C the centring of features and s the tokens' standard "
        "deviations. Under the listed hypotheses that is rank X; it is the affine rank of X only if the flat of the "
        "tokens passes through the origin, which is not listed.",
        markdown(tables["operations"]),
        described(operations.MEANINGS),
        "## Heads",
        markdown(tables["kernel"]),
        described(kernel.MEANINGS),
        "## Spike times of heads",
        "Two neurons fire into one train at rates p and 1 - p of a fixed sum, p from "
        f"{trains.SHARES[0]:g} to {trains.SHARES[1]:g}. `independent`: no inhibition; `one gate`: the row's own; "
        "`routed`: every spike routes a value spike with probability 1/2; `dead time`: silent for half a mean interval "
        "after a spike.",
        markdown(tables["heads"]),
        described(trains.MEANINGS),
        "## Claims",
        findings_text(findings),
        made(f"seed {seed}"),
    ]
    return "\n\n".join(parts) + "\n"
