"""Claims about function approximation, as read off the tables of the study."""

from __future__ import annotations

from validation.study.claims import PAPER, Claims, Finding
from validation.study.results import Results
from validation.study.words import between

CLAIMS = Claims()


@CLAIMS.add("self-attention heads with O(n^2 d/eps^2) heads and O(n^2 d_k^2/eps^2) steps approximate any function",
       f"{PAPER}, Theorem 7")  # fmt: skip
def universal(results: Results) -> Finding:
    """Error of spiking heads with a linear read-out."""
    found = results.table("summary")
    final = found[(found["heads"] == found["heads"].max()) & (found["timesteps"] == found["timesteps"].max())]
    better = (final["sup_error"] < final["constant_sup_error"]).all()
    return Finding(
        f"sup error with {int(final['heads'].iloc[0])} heads and T = {int(final['timesteps'].iloc[0])}: "
        + "; ".join(f"{row.target} {row.sup_error:.3f}" for row in final.itertuples()),
        "; ".join(between(row.sup_low, row.sup_high) for row in final.itertuples()),
        "holds: on these targets; constants and order are unverified" if better else "does not hold",
    )
