"""f-I curves of keys that no formula gives, measured by ``validation/data/measure_curves.py``.

A table is ``curves/NAME.csv``: lines of ``# parameter = value``, in SI units, for which it was measured, then drive in
volt, rate in Hz, and the spikes that were counted. What is read is a polynomial of ln(rate) in the drive, fitted with
the weights of Poisson counts.
"""

from __future__ import annotations

import functools
import math
from importlib.resources import files

import numpy as np
from numpy.polynomial import Chebyshev

from biospike.parameters import to_plain
from circuits.softmax.subtracted import Curve, Subtracted

LOOP = ("members", "rate", "kappa", "w", "tau_inh", "delay")
"""Parameters of the row, which the curve of a key does not depend on."""
DEGREES = range(3, 9)
"""Of the polynomial: that of the least chi square and twice the degree (Akaike)."""
POINTS = 400


@functools.cache
def read(name: str) -> tuple[dict[str, float], Curve] | None:
    """Parameters and curve of a stored table; None if there is none."""
    path = files(__package__) / "curves" / f"{name}.csv"
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    told = [line[1:].partition(" = ") for line in lines if line.startswith("#") and " = " in line]
    drive, rate, spikes = np.array([line.split(",") for line in lines if line[0] in "-0123456789"], dtype=float).T
    fits = [Chebyshev.fit(drive, np.log(rate), degree, w=np.sqrt(spikes)) for degree in DEGREES]
    fit = min(fits, key=lambda one: float(((np.log(rate) - one(drive)) ** 2 * spikes).sum()) + 2 * one.degree())
    fine = np.linspace(drive[0], drive[-1], POINTS)
    return {key.strip(): float(value) for key, _, value in told}, Curve(fine, np.asarray(fit(fine), dtype=float))


def cell_parameters(circuit: Subtracted) -> dict[str, float]:
    """Parameters of a key in SI units."""
    return {name: float(value) for name, value in to_plain(circuit).items() if name not in LOOP}


def stored_curve(circuit: Subtracted) -> Curve | None:
    """Stored f-I curve of a key, if it was measured for these very parameters."""
    found = read(circuit.name)
    return None if found is None or differing(circuit) else found[1]


def differing(circuit: Subtracted) -> str:
    """Parameters of the stored table from which those of the circuit differ, with the values of the table."""
    found = read(circuit.name)
    if found is None:
        return "there is none"
    own = cell_parameters(circuit)
    other = {name: v for name, v in found[0].items() if not math.isclose(own[name], v, rel_tol=1e-9, abs_tol=1e-15)}
    return ", ".join(f"{name} = {value:g}" for name, value in other.items())
