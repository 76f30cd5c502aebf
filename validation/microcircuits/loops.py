"""Onset of oscillations between keys and interneurons: spectra of simulated inhibition against linear response.

Inhibition is the spikes of interneurons and, through them, those of keys, filtered; a loop of gain G amplifies their
power by 1/abs(1 + G*H(w)*exp(-i w d))^2. At the frequency of the onset the loop turns by half a period, so that the
root of the power grows as 1/(1 - G/onset), from which the onset is extrapolated.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike import record
from biospike.theory.linear_response import FREQUENCIES, low_pass
from circuits.softmax import Interneurons
from validation.microcircuits.rungs import Preset

import brian2 as b2

Array = NDArray[np.float64]

BAND = 0.2
"""Of the frequency of the onset, to either side, over which power is averaged."""
SETTLE = 0.2
"""Seconds that are left out."""
TRIALS = 4


def onset_table(circuit: Interneurons, preset: Preset, *, seed: int, target: str) -> pd.DataFrame:
    """One row a gain, of a key alone in its row."""
    critical, frequency = circuit.onset()
    rows = []
    for part in preset.onset:
        one = attrs.evolve(circuit, gain=part * critical, unstable=True)
        rows.append(_measured(one, critical, frequency, preset, seed, target))
    return pd.DataFrame(rows)


def _measured(
    circuit: Interneurons, critical: float, frequency: float, preset: Preset, seed: int, target: str
) -> dict[str, Any]:
    seconds = preset.onset_seconds
    data = record(circuit, [[0.0]], duration=seconds * b2.second, trials=range(TRIALS), variables=("hub.I",),
                  window=(SETTLE * b2.second, seconds * b2.second), seed=seed, target=target)  # fmt: skip
    inhibition = data["hub_I"].transpose("row", "trial", "time").values[0] * 1e-3
    length = (seconds - SETTLE) * TRIALS
    rate = data.sizes["spike"] / length / circuit.members
    pool = data.sizes["interneuron_spike"] / length / circuit.interneurons
    omega, power = _power(inhibition, float(circuit.dt), frequency)
    without = _uncoupled(circuit, omega, rate, pool)
    return {
        "gain": circuit.gain, "deviation": float(inhibition.std() * 1e3),
        "amplification": float(np.sqrt((power / without).mean())),
        "predicted": 1 / (1 - circuit.gain / critical) if circuit.gain < critical else np.nan,
        "rate": rate, "interneuron_rate": pool, "onset_predicted": critical, "frequency": frequency,
    }  # fmt: skip


def _power(values: Array, dt: float, frequency: float) -> tuple[Array, Array]:
    """Angular frequencies of the band, and two-sided spectral density there, mean over trials."""
    steps = values.shape[1]
    transformed = np.fft.rfft(values - values.mean(axis=1, keepdims=True), axis=1) * dt
    found = np.fft.rfftfreq(steps, dt)
    band = np.abs(found / frequency - 1) <= BAND
    return 2 * np.pi * found[band], (np.abs(transformed[:, band]) ** 2).mean(axis=0) / (steps * dt)


def _uncoupled(circuit: Interneurons, omega: Array, rate: float, pool: float) -> Array:
    """Spectral density of inhibition if keys and interneurons fired as Poisson processes, V^2/Hz."""
    dt = float(circuit.dt)
    of_spike = float(circuit.inhibition_level / circuit.interneuron_rate) / circuit.interneurons
    slow = np.abs(low_pass(omega, float(circuit.tau_gaba))) ** 2
    # G = M*S times what a spike of a key adds to the rate of an interneuron, S how much that slows its neurons down.
    nominal = np.array([float(circuit.interneuron_rate)])
    slowed = float(circuit.sensitivities(np.zeros((1, 1)), nominal, dt)[0, 0])
    of_key = circuit.gain * of_spike * circuit.interneurons / (circuit.members * slowed)
    response = np.interp(np.log(omega), np.log(FREQUENCIES), np.abs(circuit.pool_response(nominal, dt)[:, 0]))
    through = response**2
    own = of_spike**2 * circuit.interneurons * pool
    return np.asarray(slow * (own + of_key**2 * through * circuit.members * rate))


def extrapolated(table: pd.DataFrame) -> float:
    """Gain from which the loop oscillates: 1/amplification = 1 - G/onset, least squares over gains up to the onset."""
    some = table[table["predicted"].notna()]
    gain, missing = some["gain"].to_numpy(), 1 - 1 / some["amplification"].to_numpy()
    return float((gain**2).sum() / (gain * missing).sum())
