"""Questions to a neuron that only its spikes answer, so that the same are put to every package and to a formula.

A neuron is a function from inputs (T, n) to numbers of spikes (T, n), from rest in every call. All questions but the
first are put in units of x1, the smallest input to a neuron at rest that makes it fire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Drive = Callable[[Array], Array]

WAIT = 16
"""Steps within which a neuron fires if an impulse makes it fire at all."""
LONG = 1000
BRANCHES = 64
"""Inputs that are tried at once while the smallest is looked for that fires."""
LARGEST = 2.0**7
"""Largest input in natural units."""
NEVER = "no spike"
CLOSE = 1e-3
"""Numbers in units of the threshold that are one: bisection is exact, what is divided by it is rounded to float32."""


@attrs.frozen(kw_only=True)
class Neuron:
    """One neuron of one package, or the formula of a convention in its place.

    Attributes
    ----------
    name : str
        As a user of the package makes it.
    drive : callable
        Inputs (T, n) -> numbers of spikes (T, n); every call begins at rest.
    dtype : str
        Of the inputs: "float32", "float64", or "int64" for hardware.
    unit : float
        Input of about the size that makes it fire.
    tie : float
        Input to a neuron at rest that brings the membrane exactly to its threshold; NaN if none certainly does.
    facts : dict
        What no spike tells: probe -> answer.
    """

    name: str
    drive: Drive
    dtype: str = "float32"
    unit: float = 1.0
    tie: float = np.nan
    facts: dict[str, str] = attrs.field(factory=dict)


def _key(values: Array) -> NDArray[np.int64]:
    """Integers in the order of the numbers, one a number."""
    if values.dtype.kind == "i":
        return values.astype(np.int64)
    return values.view(np.int32 if values.dtype.itemsize == 4 else np.int64).astype(np.int64)


def _value(keys: NDArray[np.int64], dtype: Any) -> Array:
    kind = np.dtype(dtype)
    if kind.kind == "i":
        return keys.astype(kind)
    return keys.astype(np.int32 if kind.itemsize == 4 else np.int64).view(kind)


def smallest(neuron: Neuron, before: list[float], steps: slice) -> float:
    """Smallest last input, after inputs `before`, that makes the neuron fire in `steps`; NaN if none does.

    Exact: the search is over all numbers of the neuron's precision, to the last bit.
    """
    kind = np.dtype(neuron.dtype)
    low, high = (int(_key(np.array([end], kind))[0]) for end in (0, LARGEST * neuron.unit))
    known = False
    while high - low > 1 or not known:
        # By Python's integers: those of numbers in double precision are too large for anything else.
        tried = np.unique([low + (high - low) * part // BRANCHES for part in range(1, BRANCHES + 1)])
        inputs = np.zeros((len(before) + WAIT, len(tried)), kind)
        inputs[: len(before)] = np.array(before, kind)[:, None]
        inputs[len(before)] = _value(tried, kind)
        fires = neuron.drive(inputs)[steps].sum(axis=0) > 0
        if not fires[-1]:
            return np.nan
        first = int(np.argmax(fires))
        low, high, known = int(tried[first - 1]) if first else low, int(tried[first]), True
    return float(_value(np.array([high]), kind)[0])


def _fired(neuron: Neuron, *inputs: float) -> Array:
    """Numbers of spikes in every step, (T + WAIT,)."""
    kind = np.dtype(neuron.dtype)
    padded = np.array([*inputs, *[0.0] * WAIT])[:, None]
    return neuron.drive(padded.astype(kind))[:, 0]


def spike_test(neuron: Neuron, x1: float) -> str:
    """Whether a membrane exactly at the threshold fires."""
    if np.isnan(neuron.tie):
        return ""
    kind = np.dtype(neuron.dtype)
    tie = np.array([neuron.tie], kind)
    above = _value(_key(tie) + 1, kind)
    if np.array([x1], kind) == tie:
        return ">="
    return ">" if np.array([x1], kind) == above else f"neither: fires from {x1:.9g}, not {neuron.tie:.9g}"


def weight(neuron: Neuron, x1: float) -> str:
    """What share of the way to the threshold an impulse of one natural unit lifts the membrane, at its peak."""
    return f"{neuron.unit / x1:.4g}"


def delay(neuron: Neuron, x1: float) -> str:
    """Steps from an input of 64 times x1 to the first spike; 0 is the step of the input."""
    spikes = _fired(neuron, 64 * x1)
    return str(int(np.argmax(spikes > 0))) if spikes.any() else NEVER


def per_step(neuron: Neuron, x1: float) -> str:
    """Spikes that an input of 3.5 times x1 gives in the step of the first."""
    spikes = _fired(neuron, 3.5 * x1)
    return str(int(spikes[np.argmax(spikes > 0)]))


def saturation(neuron: Neuron, x1: float) -> str:
    """Steps between spikes under an input of 64 times x1 in every step."""
    kind = np.dtype(neuron.dtype)
    spikes = neuron.drive(np.full((LONG // 5, 1), 64 * x1, kind))[:, 0]
    intervals = np.diff(np.flatnonzero(spikes))
    return " or ".join(str(one) for one in np.unique(intervals)) if len(intervals) else NEVER


def left_of(neuron: Neuron, x1: float, share: float) -> float:
    """What a later input finds of an input of `share` times x1 in the step before, in thresholds.

    NaN if the membrane goes on rising after an input, as with a synaptic current, or cannot fire in that step.
    """
    early, late = (int(np.argmax(_fired(neuron, many * x1) > 0)) for many in (4, 1))
    if early != late:
        return np.nan
    return 1 - smallest(neuron, [share * x1], slice(1 + late, 2 + late)) / x1


def decay(neuron: Neuron, x1: float) -> float:
    """What a step leaves of a membrane."""
    return left_of(neuron, x1, 0.5) / 0.5


def left_after_spike(neuron: Neuron, x1: float) -> float:
    """What is left, in thresholds, in the step after a spike by 1.5 times x1."""
    return left_of(neuron, x1, 1.5)


def order(neuron: Neuron, x1: float) -> str:
    """Whether the membrane decays before it takes its input, or its input decays with it."""
    left, gain = decay(neuron, x1), neuron.unit / x1
    if not np.isfinite(left) or left > 1 - CLOSE:
        return ""
    for value, words in ((1.0, "decay, then input"), (1 - left, "input times 1 - decay"), (left, "input, then decay")):
        if abs(gain - value) < CLOSE:
            return f"{words} (decay {left:.4g})"
    return f"input times {gain:.4g} (decay {left:.4g})"


def reset(neuron: Neuron, x1: float) -> str:
    """Where a spike leaves the membrane, and in which step."""
    left, kept = left_after_spike(neuron, x1), decay(neuron, x1)
    if not np.isfinite([left, kept]).all():
        return ""
    kinds = [(0.0, "to rest"), (0.5 * kept, "subtracted at once"), (1.5 * kept - 1, "subtracted a step later")]
    if kept > 1 - CLOSE:
        kinds = [(0.0, "to rest"), (0.5, "subtracted")]
    named = [words for value, words in kinds if abs(left - value) < CLOSE]
    return f"{named[0] if named else 'otherwise'} (of 1.5 thresholds {round(left, 4) + 0.0:.4g} in the next step)"


def while_refractory(neuron: Neuron, x1: float) -> str:
    """Whether an input of the step after a spike, in which the neuron cannot fire, is there when it can again."""
    interval = saturation(neuron, x1)
    if not interval.isdigit() or int(interval) < 2 or delay(neuron, x1) == NEVER:
        return ""
    first, wait = int(delay(neuron, x1)), int(interval)
    inputs = [0.0] * (wait + 1)
    # The second comes in a step in which the neuron is held, the third as soon as it is not.
    inputs[0], inputs[1 + first], inputs[wait] = 2 * x1, 0.95 * x1, 0.9 * x1
    spikes = _fired(neuron, *inputs)
    return "kept" if spikes[first + 1 :].any() else "lost"


def constant(neuron: Neuron, x1: float) -> str:
    """Spikes in 1000 steps under an input of .375 x1, of which a threshold is no multiple."""
    kind = np.dtype(neuron.dtype)
    return str(int(neuron.drive(np.full((LONG, 1), 0.375 * x1, kind)).sum()))


PROBES: dict[str, Callable[[Neuron, float], str]] = {
    "spike test": spike_test,
    "reset": reset,
    "order of decay and input": order,
    "weight of an impulse": weight,
    "steps from input to spike": delay,
    "interval at saturation": saturation,
    "spikes in one step": per_step,
    "input while refractory": while_refractory,
    "spikes of a constant input": constant,
}
"""Probe -> its function; the docstring says what is asked."""
SAME = "differences from the formula"
"""Probe of a neuron that is a convention: spikes that differ under random and dyadic inputs."""
FACTS = {
    "rounding of parameters": "what a parameter of .9, handed over as a number, is inside",
    "precision of the membrane": "type of the state under an input in float64",
    "state between calls": "does a second call go on where the first stopped?",
}
"""Probes that a package answers in its own way."""


def differences(neuron: Neuron, formula: Drive, seed: int) -> str:
    """Steps and neurons in which the number of spikes differs, under random inputs and multiples of x1/8."""
    x1, draws = smallest(neuron, [], slice(None)), np.random.default_rng(seed)
    shape = (LONG // 20, 100)
    inputs = np.hstack([draws.uniform(-0.5, 2, shape), draws.integers(-4, 17, shape) / 8])
    unit = x1 if np.isnan(neuron.tie) else neuron.tie
    given = (unit * inputs).astype(neuron.dtype)
    found = neuron.drive(given)
    return f"{int((found != formula(given)).sum())} of {found.size}, {int(found.sum())} spikes"


def answers(neuron: Neuron) -> dict[str, str]:
    """Answer of every probe that says something of the neuron, in the order of `PROBES` and `FACTS`."""
    x1 = smallest(neuron, [], slice(None))
    if np.isnan(x1):
        return {"weight of an impulse": "0: no input makes it fire"}
    found = {name: ask(neuron, x1) for name, ask in PROBES.items()}
    return {name: answer for name, answer in (found | neuron.facts).items() if answer}
