"""Deterministic exponential integrate-and-fire keys under integral inhibition.

The limit k = infinity of `circuits.softmax.escape`: the same charge and the same inhibition with the fixed threshold
theta = 1. Key i then spikes once for every unit of its integrated intensity, so its count strays from exp(z_i) times
the row's common integral by less than one spike for ever, and the shares converge to softmax with order 1/N.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
import numpy as np

from biospike.parameters import real
from circuits.softmax.escape import Escape, check_regularity


@attrs.frozen(kw_only=True)
class Integrate(Escape):
    """`Escape` with regularity infinity; the parameters are the same."""

    name: ClassVar[str] = "integrate"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "gerstner2014")
    fused: ClassVar[str | None] = "pinned"
    regularity: float = attrs.field(default=np.inf, converter=real, validator=check_regularity)
