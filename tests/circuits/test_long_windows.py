"""Windows so long that log-domain inhibition which no spike raises would have left the range of numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from biospike import simulate
from biospike.circuit import Circuit
from circuits.softmax import Escape, Integrate
from validation.assumptions.keys.grid import CoinKeys
from validation.assumptions.keys.hazard_keys import HazardKeys

import brian2 as b2

OWN = {"rate": 500 * b2.Hz, "w": 6.0, "dt": 0.2 * b2.ms}
LIMIT = np.log(np.finfo(float).max)
"""Inhibition of minus so much, and its exponential overflows."""
STEPS = 1500
ROWS = np.array([[0.3, -1.2, 0.9, np.nan], [0.0, np.nan, np.nan, np.nan]])


CIRCUITS = (Escape(**OWN), Integrate(**OWN), HazardKeys(**OWN), CoinKeys(**OWN))


@pytest.mark.parametrize(
    ("circuit", "target"),
    [
        *((circuit, "numpy") for circuit in CIRCUITS),
        *((circuit, "fused") for circuit in CIRCUITS[:2]),
        *(pytest.param(circuit, "cpp_standalone", marks=pytest.mark.long) for circuit in CIRCUITS),
    ],
    ids=str,
)
def test_what_pads_a_batch_stays_silent_for_ever(circuit: Circuit, target: str) -> None:
    """Every batch has a row without keys. The others keep the rate: inhibition is w*(N - R0*T), and stays bounded."""
    duration = STEPS * circuit.dt
    assert OWN["w"] * OWN["rate"] * duration > 1.2 * LIMIT
    data = simulate(circuit, ROWS, duration=duration, trials=2, checkpoints=2, target=target)
    expected = OWN["rate"] * duration
    # A silent row's inhibition falls by .6 nats a step, so that a key may charge e thresholds in the step it spikes in.
    np.testing.assert_allclose(data["spike_count"][..., -1].sum("key"), expected, atol=math.e * ROWS.shape[1])
