"""Target `continuous`: without a grid, with the law that grids come to as they get finer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biospike import execution, simulate, simulation
from biospike.circuit import Circuit
from biospike.errors import InputError
from circuits.softmax import Divisive, Escape, Integrate, Race

import brian2 as b2


def assert_law(circuit: Circuit, options: dict[str, Any], trials: int) -> None:
    """Spikes of the row and shares of `continuous` and of a fine grid, each within 5 standard errors."""
    logits = np.array([[2.0, 1.0, 0.0, np.nan, -1.0], [0.0, 0.0, 0.0, 0.0, np.nan]])
    free, grid = (
        simulate(circuit, logits, target=target, trials=trials, seed=seed, check=False, **options)
        for target, seed in (("continuous", 1), ("fused", 2))
    )
    assert free.attrs["target"] == "continuous"
    for mark in range(free.sizes["checkpoint"]):
        counts = [data.spike_count[..., mark].values.astype(float) for data in (free, grid)]
        for of in (lambda c: c.sum(axis=-1), lambda c: c[..., ~np.isnan(logits).any(axis=0)]):
            a, b = (of(c) for c in counts)
            error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / trials)
            assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < 5 * error + 1e-12)
    assert counts[0].sum() > 2000


@pytest.mark.parametrize("circuit", [Race(t_inh=1 * b2.ms), Escape(), Escape(regularity=4), Integrate()])
def test_continuous_time_has_the_law_of_a_fine_grid(circuit: Circuit) -> None:
    """At a twentieth of the step that is usual the bias of the grid is below the standard errors."""
    assert_law(circuit, {"duration": "200 ms", "dt": "5 us", "checkpoints": [20, 200] * b2.ms}, 100)


def test_continuous_is_by_name_and_of_race_and_escape_only() -> None:
    with pytest.raises(InputError, match="target 'continuous' has no kernel for divisive"):
        simulate(Divisive(), [[0.0, 1.0]], duration="10 ms", target="continuous")
    work = simulation.plan(Race(), np.random.default_rng(1).normal(0, 1.2, (100, 16)), duration="20 s", trials=10)
    assert execution.choose_target(work, "auto")[0] == "fused"


def test_moments_of_continuous_race_are_those_of_draws() -> None:
    """The intervals of a key of share p, counted in spikes of the row, are geometric: mean 1/p, variance (1-p)/p^2."""
    data = simulate(Race(), [[1.0, 0.0]], duration="20 s", trials=20, target="continuous", checkpoints=1)
    p = data.limit.values[0]
    counts = data.spike_count.values[:, 0, :, -1].sum(axis=0)
    gaps = counts - 20
    mean = data.gap_sum.values[:, 0].sum(axis=0) / gaps
    square = data.gap_square_sum.values[:, 0].sum(axis=0) / gaps
    np.testing.assert_allclose(counts / counts.sum(), p, atol=5 * np.sqrt(p[0] * p[1] / counts.sum()))
    np.testing.assert_allclose(mean, 1 / p, rtol=0.03)
    np.testing.assert_allclose(square - mean**2, (1 - p) / p**2, rtol=0.1)


@pytest.mark.long
def test_the_bias_of_the_grid_is_of_first_order_in_the_rate_of_race() -> None:
    """Of n equal keys of total input L: the rate is L/(1 + L*t_inh) without a grid.

    A step adds half of itself to every wait, and a tie a spike; together (L*dt/2)*(1 - 1/n - 1/(1 + L*t_inh)) of it.
    """
    keys, total, t_inh, seconds = 8, 400.0, 1.6e-3, 1000 * 20
    circuit = Race(rate=total / keys * b2.Hz, t_inh=t_inh * b2.second)
    options: dict[str, Any] = {"duration": "20 s", "trials": 50, "checkpoints": 1, "check": False}

    def rate(**more: Any) -> float:
        data = simulate(circuit, np.zeros((20, keys)), **options, **more)
        return float(data.spike_count[..., -1].sum()) / seconds

    law = total / (1 + total * t_inh)
    # Winning takes renewals more regular than a Poisson process, of law*seconds spikes.
    error = np.sqrt(law / seconds)
    free = rate(target="continuous", seed=1)
    assert abs(free - law) < 5 * error
    steps = np.array([1e-4, 2e-4, 4e-4, 8e-4])
    bias = np.array([rate(target="fused", seed=2, dt=dt * b2.second) - free for dt in steps])
    first = law * total * steps / 2 * (1 - 1 / keys - 1 / (1 + total * t_inh))
    assert np.all(first > 10 * error)
    # What comes next is of the order of L*dt more.
    assert np.all(np.abs(bias - first) < 7 * error + first * total * steps)
    assert 0.8 < np.polyfit(np.log(steps), np.log(bias), 1)[0] < 1.2, bias


@pytest.mark.long
@pytest.mark.parametrize("dt", ["50 us", "200 us"])
def test_the_grid_has_no_bias_in_escape_that_could_be_resolved(dt: str) -> None:
    """Neither the row's spikes nor its shares differ from continuous time in eight million spikes, up to rate*dt = 0.1.

    An order of the bias can therefore not be fitted; that there is none is what the common gate says.
    """
    logits = np.random.default_rng(3).normal(0, 1.5, (20, 8))
    options: dict[str, Any] = {"duration": "2 s", "trials": 400, "checkpoints": [0.02, 2] * b2.second, "check": False}
    free = simulate(Escape(), logits, target="continuous", seed=1, **options).spike_count
    grid = simulate(Escape(), logits, target="fused", seed=2, dt=dt, **options).spike_count
    assert free[..., -1].sum() > 8e6
    for mark in (0, 1):
        a, b = (counts.values[..., mark].astype(float) for counts in (free, grid))
        for x, y in ((a.sum(axis=-1), b.sum(axis=-1)), (a, b)):
            error = np.sqrt((x.var(axis=0) + y.var(axis=0)) / 400)
            assert np.all(np.abs(x.mean(axis=0) - y.mean(axis=0)) < 5 * error)
