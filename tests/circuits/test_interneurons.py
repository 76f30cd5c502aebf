"""Circuits with spiking interneurons: spikes against a loop, mean field and closed form, stability, refusals."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import pytest
from oracles import rows_loop as loop
from oracles.interneuron_loop import Cells, Inputs, pooled

from biospike import InputError, record, simulate, simulation
from biospike.circuit import Batch
from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from circuits.softmax import InterneuronPool, Interneurons, Populations, Presynaptic
from validation.data import attention_rows

import brian2 as b2

SEED = 2**32 - 1
LOGITS = np.array([[0.4, np.nan, 0.0, -0.3, 0.2], [np.nan, 1.0, 0.3, np.nan, 0.9]])
FAST: dict[str, Any] = {"members": 2, "interneurons": 3, "refractory": 0.3 * b2.ms, "refractory_i": 0.4 * b2.ms,
                        "interneuron_rate": 200 * b2.Hz}  # fmt: skip
SMALL = {
    "interneurons": Interneurons(rate=1000 * b2.Hz, gain=1.0, delay=0.3 * b2.ms, **FAST),
    "presynaptic": Presynaptic(rate=200 * b2.Hz, gain=4.0, delay=0.3 * b2.ms, dt=0.05 * b2.ms, **FAST),
}


def expected(circuit: Any, row: int, trial: int, steps: int) -> tuple[Any, Any, tuple[float, float]]:
    """Spikes (step, key, member) of a row and (step, member) of its interneurons, A and the inhibition in the end."""
    keys, dt, members = np.flatnonzero(~np.isnan(LOGITS[row])), float(circuit.dt), circuit.members
    state = circuit.state(Batch(LOGITS[[row]], np.array([trial]), np.array([row]), SEED), circuit.dt)
    cells = [(int(key), member) for key in keys for member in range(members)]
    at = [(SEED, trial, row * 2**20 + key + member * 2**44) for key, member in cells]
    of_pool = [(SEED, trial, row * 2**20 + 2**20 - 1 + member * 2**44) for member in range(circuit.interneurons)]

    def noisy(sigma: Any, tau: Any, places: list[tuple[int, int, int]]) -> Any:
        kick = float(sigma) / math.sqrt(math.tanh(dt / float(tau) / 2))
        return lambda one, step: kick * loop.normal(*places[one], step)

    def steps_of(time: Any) -> int:
        return round(float(time) / dt)

    threshold = {"v_threshold": float(circuit.v_threshold), "dt": dt}
    pool = Cells(state["interneurons.v"][0].tolist(), noisy(circuit.sigma_i, circuit.tau_i, of_pool),
                 threshold | {"tau_m": float(circuit.tau_i), "v_rest": float(circuit.v_rest_i)},
                 steps_of(circuit.refractory_i))  # fmt: skip
    hub = {"A": float(state["hub.A"][0]), "tau_ampa": float(circuit.tau_ampa), "J_EI": float(state["hub.J_EI"]),
           "tau_i": float(circuit.tau_gaba), "bias": float(state["interneurons.drive"]), "dt": dt}  # fmt: skip
    when = {"delay": steps_of(circuit.delay), "steps": steps}
    some: Any
    if isinstance(circuit, Interneurons):
        mean = [float(state["keys.mean"][0, key]) for key, _ in cells]
        some = Cells([float(state["keys.v"][0][cell]) for cell in cells], noisy(circuit.sigma, circuit.tau_m, at),
                     threshold | {"tau_m": float(circuit.tau_m), "v_rest": float(circuit.v_rest)},
                     steps_of(circuit.refractory))  # fmt: skip
        hub |= {"I": float(state["hub.I"][0]), "J_IE": float(state["hub.J_IE"])}
        end = pooled(some, pool, lambda i: [own - i for own in mean], hub, **when)
    else:
        hazard = [float(state["keys.hazard"][0, key]) for key, _ in cells]
        some = Inputs(lambda one, step: loop.uniform(*at[one], step), dt, steps_of(circuit.refractory))
        hub |= {"I": float(state["hub.X"][0]), "J_IE": float(state["hub.x"])}
        end = pooled(some, pool, lambda x: [own / (1 + x) for own in hazard], hub, **when)
    return sorted((step, *cells[one]) for one, step in some.spikes), sorted((s, j) for j, s in pool.spikes), end


def assert_counted(counts: Any, row: int, spikes: Any, others: Any) -> None:
    """Counts of trial 1 by key, and of the interneurons, are those of the spikes."""
    for c, mark in enumerate(counts.timesteps.values):
        tally = np.bincount([key for step, key, _ in spikes if step < mark], minlength=LOGITS.shape[1])
        np.testing.assert_array_equal(counts.spike_count.values[1, row, :, c], tally)
        assert int(counts.interneuron_count[1, row, c]) == sum(step < mark for step, _ in others)


def test_counts_are_those_of_a_loop() -> None:
    circuit, steps = SMALL["interneurons"], 40
    counts = simulate(circuit, LOGITS, trials=2, checkpoints=2, duration=steps * circuit.dt, seed=SEED, target="numpy")
    for row in (0, 1):
        spikes, others, _ = expected(circuit, row, 1, steps)
        assert_counted(counts, row, spikes, others)
        assert len(spikes) > 5
        assert len(others) > 1


@pytest.mark.long
@pytest.mark.parametrize("name", SMALL)
def test_every_spike_is_that_of_a_loop(name: str) -> None:
    circuit, steps = SMALL[name], 80 if name == "interneurons" else 500
    options: dict[str, Any] = {"duration": steps * circuit.dt, "seed": SEED, "target": "numpy"}
    variables = ["hub.A", f"hub.{circuit.inhibition}"]
    found = record(circuit, LOGITS, rows=[0, 1], trials=1, variables=variables, **options)
    counts = simulate(circuit, LOGITS, trials=2, checkpoints=np.array([30, steps]) * circuit.dt, **options)
    assert found.sizes["spike"] > 20
    assert found.sizes["interneuron_spike"] > 10
    for row in (0, 1):
        spikes, others, _ = expected(circuit, row, 1, steps)
        for prefix, names, theirs in (("", ("step", "key", "member"), spikes),
                                      ("interneuron_", ("step", "member"), others)):  # fmt: skip
            own = found[f"{prefix}spike_row"].values == row
            columns = (found[f"{prefix}spike_{one}"].values[own].tolist() for one in names)
            assert sorted(zip(*columns, strict=True)) == theirs
        assert_counted(counts, row, spikes, others)
        # What is recorded is from before the spikes of a step act: the loop's end is one decay before the next value.
        last = [float(found[f"hub_{one.partition('.')[2]}"][0, list(found.row.values).index(row), -1])
                for one in variables]  # fmt: skip
        shorter = expected(circuit, row, 1, steps - 1)[2]
        taus = (circuit.tau_ampa, getattr(circuit, "tau_gaba"))  # noqa: B009  (of both, and not of their base)
        decays = [math.exp(-float(circuit.dt) / float(tau)) for tau in taus]
        scale = 1e3 if name == "interneurons" else 1.0
        assert last[0] == pytest.approx(1e3 * shorter[0] * decays[0], rel=1e-9)
        assert last[1] == pytest.approx(scale * shorter[1] * decays[1], rel=1e-9)


@pytest.mark.long
@pytest.mark.compiles
@pytest.mark.parametrize("name", SMALL)
def test_compiled_rows_spike_like_numpy_however_they_are_cut(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, options = SMALL[name], {"duration": 300 * SMALL[name].dt, "trials": 3, "seed": 2}
    compiled = simulate(circuit, LOGITS, target="cpp_standalone", **options)
    monkeypatch.setattr(simulation, "NEURONS_PER_BATCH", 8)
    cut = simulate(circuit, LOGITS, target="numpy", **options)
    assert int(cut.spike_count[..., -1].sum()) > 40
    np.testing.assert_array_equal(compiled.spike_count, cut.spike_count)
    np.testing.assert_array_equal(compiled.interneuron_count, cut.interneuron_count)


@pytest.mark.parametrize("kind", [Interneurons, Presynaptic])
def test_a_key_alone_is_at_the_operating_point(kind: type[InterneuronPool]) -> None:
    circuit = kind()
    rates, pool = circuit.mean_field(np.array([[2.0, np.nan]]))
    assert rates[0] == pytest.approx([float(circuit.rate), 0.0], rel=1e-3)
    assert pool[0] == pytest.approx(float(circuit.interneuron_rate), rel=1e-3)


@pytest.mark.parametrize("kind", [Interneurons, Presynaptic])
def test_the_gain_is_that_of_the_loop(kind: type[InterneuronPool]) -> None:
    """Open loop: the interneurons' answer to what the keys do when the interneurons change, by finite differences."""
    circuit, dt = kind(), float(kind().dt)
    mu, log_rate, _, _ = circuit.table(dt)
    point, row = circuit.point(), np.zeros((1, 1))

    def answer(pool: float) -> float:
        rates = circuit.rates(row, np.array([pool]), dt)
        drive = point.bias + point.j_ei * circuit.members * rates.sum()
        return float(np.exp(np.interp(drive, mu, log_rate)))

    small = 0.05 * float(circuit.interneuron_rate)
    at = float(circuit.interneuron_rate)
    slope = (answer(at + small) - answer(at - small)) / (2 * small)
    assert -slope == pytest.approx(circuit.gain, rel=0.02)


def test_mean_field_solves_its_equations_with_the_closed_form() -> None:
    circuit, logits = Interneurons(), attention_rows()[:6]
    rates, pool = circuit.mean_field(logits)
    point, step = circuit.point(), circuit.dt
    mean = circuit.state(Batch(logits, np.zeros(6, int), np.arange(6), 1), step)["keys.mean"]
    per_hz = float(circuit.inhibition_level / circuit.interneuron_rate)
    drive = (mean - per_hz * pool[:, None]) * b2.volt
    exact = np.where(np.isnan(logits), 0, np.asarray(circuit.cell.siegert_rate(drive, circuit.siegert_sigma, dt=step)))
    np.testing.assert_allclose(rates, exact, rtol=2e-4)
    pool_drive = (point.bias + point.j_ei * circuit.members * exact.sum(axis=1)) * b2.volt
    noise = math.sqrt(2) * circuit.sigma_i
    np.testing.assert_allclose(
        pool, np.asarray(circuit.interneuron.siegert_rate(pool_drive, noise, dt=step)), rtol=1e-3
    )


@pytest.mark.long
def test_bias_is_that_of_the_curvature() -> None:
    """As two independent programs found it, .0731, .0428, .0304 on the shipped rows; that of a hub at the rate."""
    logits = attention_rows()
    p = softmax(logits)
    for rate, members, tv in ((15, 16, 0.0731), (5, 64, 0.0428), (2, 160, 0.0304)):
        found = Interneurons(rate=rate * b2.Hz, members=members, gain=1.8, unstable=True).mean_field(logits)[0]
        shares = found / found.sum(axis=1, keepdims=True)
        assert total_variation(shares, p).mean() == pytest.approx(tv, abs=0.001)
    hub = total_variation(Populations().limit(logits), p).mean()
    tight = Interneurons(gain=50, unstable=True).mean_field(logits)[0]
    assert total_variation(tight / tight.sum(axis=1, keepdims=True), p).mean() == pytest.approx(hub, abs=0.001)


def test_division_before_the_threshold_is_a_gate_but_for_dead_time() -> None:
    """TV .0007, .0028, .0056, .0144 at 5, 20, 40, 100 Hz, in the limit of a loop that pins the row."""
    logits = attention_rows()
    p = softmax(logits)
    for rate, tv in ((5, 0.0007), (20, 0.0028), (40, 0.0056), (100, 0.0144)):
        circuit = Presynaptic(rate=rate * b2.Hz, gain=50, unstable=True)  # which its mean field does not mind
        rates, _ = circuit.mean_field(logits)
        assert total_variation(rates / rates.sum(axis=1, keepdims=True), p).mean() == pytest.approx(tv, rel=0.05)
    # Without dead time it is softmax, whatever the loop does.
    free = Presynaptic(refractory=0.1 * b2.ms)
    np.testing.assert_allclose(free.limit(logits), p, atol=1e-12)


def test_a_loop_near_its_oscillations_is_refused_with_both_numbers() -> None:
    circuit = Interneurons(gain=4.0)
    critical, frequency = circuit.onset()
    words = rf"gain = 4 must be at most half of {critical:.3g}, from which the loop oscillates, at {frequency:.0f} Hz"
    with pytest.raises(InputError, match=words):
        simulate(circuit, LOGITS, duration="10 ms", target="numpy")
    unstable = attrs.evolve(circuit, unstable=True)
    unstable.check(unstable.dt)
    assert not unstable.stable
    unstable.check_rows(LOGITS, unstable.dt)
    assert np.isnan(unstable.limit(LOGITS)).all()
    assert Interneurons().stable


def test_rows_whose_loop_is_not_stable_are_refused_by_name() -> None:
    """A key alone has the gain G; many weak keys have a larger one together."""
    circuit, rows = Interneurons(gain=1.5), np.where(np.arange(20) < np.array([[2], [20]]), 0.0, np.nan)
    gain, onset, _ = circuit.loop(rows)
    assert gain[0] < onset[0] / 2 < onset[1] / 2 < gain[1]
    with pytest.raises(InputError, match=rf"the loop of row 1 has the gain {gain[1]:.3g}, .* half of {onset[1]:.3g}"):
        circuit.check_rows(rows, circuit.dt)
    limit = circuit.limit(rows)
    assert np.isfinite(limit[0]).all()
    assert np.isnan(limit[1]).all()
    assert circuit.loop(np.full((1, 3), 0.0), circuit.dt)[0] > circuit.gain
    assert circuit.loop(np.zeros((1, 1)))[0] == pytest.approx(circuit.gain, rel=1e-2)


@pytest.mark.long
def test_longer_delays_oscillate_at_a_smaller_gain_and_more_slowly() -> None:
    """On real rows as another program found them, to the scatter over rows: 9.4, 7.1, 4.9, 3.2, at 42 to 21 Hz."""
    loops = [Interneurons(delay=delay * b2.ms).loop(attention_rows()[:24])[1:] for delay in (0.5, 1, 2, 4)]
    onsets = np.array([(onset.mean(), frequency.mean()) for onset, frequency in loops])
    assert np.all(np.diff(onsets, axis=0) < 0)
    np.testing.assert_allclose(onsets[:, 0], (9.4, 7.1, 4.9, 3.2), rtol=0.15)
    np.testing.assert_allclose(onsets[[0, -1], 1], (42, 21), rtol=0.15)
    # One slow synapse in the loop: its cut-off lies far below the frequency at which the rest has turned.
    assert Presynaptic().onset()[0] > 4 * onsets[1, 0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Interneurons(rate=300 * b2.Hz), r"rate must be at most 250. Hz"),
        (lambda: Presynaptic(rate=300 * b2.Hz), r"rate must be at most 250. Hz"),
        (lambda: Interneurons(interneuron_rate=200 * b2.Hz), r"interneuron_rate must be at most 100. Hz"),
        (lambda: Interneurons(v_threshold="-68 mV"), r"v_threshold must be above v_rest_i = -65. mV"),
        (lambda: Interneurons(interneurons=0), r"interneurons must be at least 1, got 0"),
        (lambda: Interneurons(members=2.5), r"members must be a whole number, got 2.5"),
        (lambda: Interneurons().check(1 * b2.ms), r"dt = 1. ms is too coarse: it must be at most tau_i/20 = 0.5 ms"),
        (lambda: Interneurons(delay="0.25 ms").check(0.1 * b2.ms), r"delay = 250. us must be a multiple of dt"),
        (lambda: Presynaptic(rate=240 * b2.Hz).check(0.1 * b2.ms), r"presynaptic: dt = .* is too coarse for rate"),
    ],
)  # fmt: skip
def test_bad_parameters_name_the_value(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.long
@pytest.mark.compiles
@pytest.mark.parametrize(("kind", "slack"), [(Interneurons, 0.012), (Presynaptic, 0.004)])
def test_shares_are_those_of_the_mean_field(kind: type[InterneuronPool], slack: float) -> None:
    """Five standard errors of a pooled share, and what the mean field leaves out.

    That is the fluctuation of inhibition, which an independent program found to change a row by L2 .006, hence at most
    .012 of a share (twice that), where it is subtracted, and by .002 where it divides.
    """
    logits, trials = np.array([[0.0, -0.7, -1.5, -2.5], [0.0, 0.0, 0.0, 0.0]]), 12
    circuit = kind()
    data = simulate(circuit, logits, duration="2 s", trials=trials, seed=6)
    counts = data.spike_count.values[..., -1]
    fired = counts.sum(axis=-1, keepdims=True)
    pooled_shares = counts.sum(axis=0) / fired.sum(axis=0)
    error = (counts - pooled_shares * fired).std(axis=0, ddof=1) / fired.mean(axis=0) / np.sqrt(trials)
    rates, pool = circuit.mean_field(logits)
    assert fired.sum(axis=0).min() > 10000
    assert np.isfinite(circuit.limit(logits)).all()
    assert np.all(np.abs(pooled_shares - circuit.limit(logits)) <= 5 * error + slack)
    # Rates of keys and interneurons: shot noise makes the latter fire 3 to 8 % more than the mean field says.
    assert fired.mean(axis=0)[:, 0] / 2 / circuit.members == pytest.approx(rates.sum(axis=1), rel=0.06)
    measured = data.interneuron_count.values[..., -1].mean(axis=0) / 2 / circuit.interneurons
    assert measured == pytest.approx(pool, rel=0.1)
    # The scatter of shares about them is that of the law, but for what inhibition does to all keys at once.
    law = circuit.expected_tv(circuit.limit(logits), fired[..., 0].mean(axis=0))
    tv = total_variation(counts / fired, pooled_shares).mean(axis=0) * np.sqrt(trials / (trials - 1))
    assert tv == pytest.approx(law, rel=0.45)
