from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospike import runtime
from biospike.circuit import KEY_STRIDE
from biospike.random import bernoulli
from circuits.exponential import LATENCY, TaylorExponential, VetoExponential, exponentiate

import brian2 as b2

MARKS = [25, 50, 100, 200]
TRIALS = 400
CASES = {
    "independent": (TaylorExponential(bound=1, order=6), [-0.6, 0.0, 0.5]),
    "identical": (TaylorExponential(bound=1, order=6, copies="identical"), [-0.6, 0.0, 0.5]),
    "veto": (VetoExponential(bound=2, window=5), [-1.6, -1.0, -0.5]),
}


@pytest.fixture(scope="module")
def estimates():
    """Estimates (trial, value, checkpoint) of every case, none of them silent."""
    found = {}
    for name, (circuit, z) in CASES.items():
        found[name] = exponentiate(circuit, z, MARKS, trials=TRIALS, seed=4)
        assert np.all(found[name].std(axis=0) > 0), name
    return found


@pytest.mark.parametrize("name", CASES)
def test_mean(estimates, name):
    circuit, z = CASES[name]
    expected = circuit.mean(z)[:, None]
    standard_error = np.sqrt(circuit.variance(np.array(z)[:, None], MARKS) / TRIALS)
    assert np.all(np.abs(estimates[name].mean(axis=0) - expected) < 4 * standard_error)


@pytest.mark.parametrize("name", CASES)
def test_variance(estimates, name):
    circuit, z = CASES[name]
    expected = circuit.variance(np.array(z)[:, None], MARKS)
    square = (estimates[name] - circuit.mean(z)[:, None]) ** 2
    # About the known mean the variance is a mean of squares, with the standard error of one.
    assert np.all(np.abs(square.mean(axis=0) - expected) < 4 * square.std(axis=0) / np.sqrt(TRIALS))


@pytest.mark.parametrize("name", CASES)
def test_order_of_convergence(estimates, name):
    """The root mean square deviation falls as T^(-1/2), from the limit of the circuit and not always from e^z."""
    circuit, z = CASES[name]
    square = (
        (estimates[name] - circuit.mean(z)[:, None]) ** 2 / circuit.variance(z, 1 * circuit.period)[:, None]
    ).mean(axis=1)
    rms = np.sqrt(square.mean(axis=0))
    # Relative error of a root of a mean; checkpoints share their history, so the errors may add up coherently.
    relative = square.std(axis=0) / np.sqrt(TRIALS) / square.mean(axis=0) / 2
    x = np.log(MARKS) - np.log(MARKS).mean()
    slope = (x * np.log(rms)).sum() / (x**2).sum()
    assert abs(slope + 0.5) < 4 * (np.abs(x) * relative).sum() / (x**2).sum()


def test_identical_copies_are_wrong(estimates):
    """r instead of r^j: the bias at z = 0 is e^-1*(r*(e^2 - 1) - (e - 1)) = 0.54."""
    circuit, z = CASES["identical"]
    measured = estimates["identical"][:, z.index(0.0), -1]
    standard_error = measured.std(ddof=1) / np.sqrt(TRIALS)
    assert measured.mean() - 1 > 100 * standard_error
    # The limit that is reached leaves out the terms above J = 6, 0.9 % of e^2 and so 0.006 of the bias.
    bias = np.exp(-1) * (0.5 * (np.exp(2) - 1) - (np.exp(1) - 1))
    assert abs(circuit.mean(0.0) - 1 - bias) < 0.007


def draws(circuit, z, steps, seed, trial):
    """The Bernoulli inputs (step, value, copy) that the circuit must have received."""
    copies = getattr(circuit, "order", 1)
    rates = circuit.state(np.array(z), (seed, np.full(len(z), trial), np.arange(len(z))))["inputs.x"]
    copy = np.arange(copies) * int(getattr(circuit, "copies", "") == "independent")
    index = np.arange(len(z))[:, None] * KEY_STRIDE + copy
    step = np.arange(steps)[:, None, None]
    return bernoulli(np.reshape(rates, index.shape), seed, trial, index, step).astype(bool)


@pytest.mark.parametrize("name", CASES)
def test_every_estimate_follows_from_its_random_numbers(name):
    """Latency and windows to the step: the estimates equal those computed from the inputs with NumPy."""
    circuit, z = CASES[name]
    marks = [5, 9, 10, 58]
    measured = exponentiate(circuit, z, marks, trials=2, seed=9)
    for trial, (m, steps) in product(range(2), enumerate(marks)):
        spikes = draws(circuit, z, steps, 9, trial)
        if name == "veto":
            windows = spikes[: steps // 5 * 5, :, 0].reshape(-1, 5, len(z))
            expected = (~windows.any(axis=1)).mean(axis=0)
        else:
            assert isinstance(circuit, TaylorExponential)
            coincidences = np.logical_and.accumulate(spikes, axis=-1).mean(axis=0)
            expected = np.exp(-1) + coincidences @ circuit.weights
        np.testing.assert_allclose(measured[trial, :, m], expected, rtol=1e-12)
    assert measured.std(axis=0).max() > 0


def raster(circuit, z, steps):
    """Spikes (step, neuron) of inputs and outputs in a run of `steps` + LATENCY steps."""
    dt = 1e-3
    with runtime.preferences("numpy", dt):
        network = circuit.build(len(z))
        value = np.arange(len(z))
        runtime.assign(network, circuit.state(np.array(z), (2, 0 * value, value)))
        monitors = [b2.SpikeMonitor(network[name]) for name in ("inputs", "outputs")]
        network.add(monitors)
        network.run((steps + LATENCY) * dt * b2.second, namespace={})
        spikes = np.zeros((2, steps + LATENCY, network["outputs"].N), dtype=bool)
        for side, monitor in zip(spikes, monitors, strict=True):
            side[np.rint(monitor.t_[:] / dt).astype(int), monitor.i[:]] = True
    return spikes


@pytest.mark.parametrize("copies", ["independent", "identical"])
def test_detectors_are_the_and_of_their_copies(copies):
    circuit, z = TaylorExponential(bound=2, order=5, copies=copies), [-0.5, 1.2]
    inputs, outputs = (side.reshape(-1, len(z), 5) for side in raster(circuit, z, 300))
    assert not outputs[0].any()
    for j in range(5):
        np.testing.assert_array_equal(outputs[LATENCY:, :, j], inputs[:-LATENCY, :, : j + 1].all(axis=-1))
    assert np.all(outputs.sum(axis=0) > 0)
    assert np.all(inputs == inputs[..., :1]) == (copies == "identical")


def test_survivors_are_the_windows_without_inhibition():
    circuit, z = VetoExponential(window=4), [-1.5, -0.4]
    inputs, outputs = raster(circuit, z, 400)
    expected = np.zeros_like(outputs)
    expected[4::4] = ~inputs[:400].reshape(100, 4, len(z)).any(axis=1)
    np.testing.assert_array_equal(outputs, expected)
    # The tie: inhibition in the step of the candidate alone is enough.
    last = inputs[:400].reshape(100, 4, len(z))
    assert (last[:, 3] & ~last[:, :3].any(axis=1)).any()
    assert 0 < outputs.sum() < 200


@pytest.mark.parametrize("copies", ["independent", "identical"])
def test_deterministic_ends_of_the_series(copies):
    """Silence gives e^-M; copies that always fire give T products of every detector, hence the truncated series."""
    for order in (1, 8):
        circuit = TaylorExponential(bound=2, order=order, copies=copies)
        bottom, top = exponentiate(circuit, [-2.0, 2.0], [1, 7])[0]
        assert np.all(bottom == np.exp(-2))
        np.testing.assert_allclose(top, circuit.mean(2.0), rtol=1e-12)
        np.testing.assert_allclose(1 - top / np.exp(2), circuit.truncation_error(2.0), rtol=1e-9)
        assert np.all(circuit.variance([-2.0, 2.0], 1) == 0)


def test_deterministic_ends_of_the_veto():
    """No inhibition and every candidate survives, a hundred nats and none does; readings wait for a window's end."""
    circuit = VetoExponential(bound=100, window=3)
    np.testing.assert_array_equal(exponentiate(circuit, [0.0, -100.0], [3, 5, 6, 40])[0], [[1] * 4, [0] * 4])
    assert circuit.variance(0.0, 3) == 0


def test_variance_of_the_series_explodes_with_the_bound():
    """At z = 0 and T = 200 the relative spread of the series grows with M; that of a veto at c = 1 has no M in it."""
    spreads = []
    for bound, order in ((1, 8), (2, 11), (4, 18)):
        circuit = TaylorExponential(bound=bound, order=order)
        sample = exponentiate(circuit, [0.0], [200], trials=300, seed=6)[:, 0, 0]
        square = (sample - circuit.mean(0.0)) ** 2
        assert abs(square.mean() - circuit.variance(0.0, 200)) < 4 * square.std() / np.sqrt(300)
        spreads.append(sample.std())
    # Theory: a factor of 1.92 and 2.44. The relative error of a spread of 300 estimates is 4 %.
    assert np.all(np.diff(np.log(spreads)) > np.log(1.5))
    vetoes = [exponentiate(VetoExponential(bound=m), [-1.0], [200], trials=300, seed=6) for m in (1, 4)]
    assert vetoes[0].std() > 0
    np.testing.assert_array_equal(*vetoes)


@pytest.mark.parametrize("bound", [10, 20, 40])
def test_worst_relative_spread_of_the_series(bound):
    """Laplace's method: sqrt(3/2)*pi^(-1/4)*M^(-1/4)*e^(M/2) at T = 1 and z = -M/2, with corrections of order 1/M."""
    z = np.linspace(-1, 1, 81)
    spread = TaylorExponential(bound=bound, order=4 * bound).relative_sd(bound * z, 1)
    expected = np.sqrt(1.5) * (np.pi * bound) ** -0.25 * np.exp(bound / 2)
    assert abs(spread.max() / expected - 1) < 0.5 / bound
    assert abs(z[spread.argmax()] + 0.5) < 1 / bound


@given(st.floats(0.1, 10), st.floats(0, 1))
def test_series_is_a_veto_averaged(bound, place):
    """Same reference and steps: the series is never noisier than a veto every step, nor a veto than a longer one."""
    series, z = TaylorExponential(bound=bound, order=80), bound * (2 * place - 1)
    scaled = np.exp(-2 * bound) * series.variance(z, 100)
    veto = [VetoExponential(bound=2 * bound, window=k).variance(z - bound, 100) for k in (1, 10)]
    # At the end of the range both are zero, but for the rounding of 80 terms of one over 100 steps.
    assert 0 <= scaled <= veto[0] * (1 + 1e-9) + 80 * np.finfo(float).eps / 100
    np.testing.assert_allclose(veto[1], 10 * veto[0])


@given(st.floats(0.1, 10), st.floats(0, 1))
def test_series_tends_to_the_exponential(bound, place):
    z = bound * (2 * place - 1)
    left = [TaylorExponential(bound=bound, order=order).truncation_error(z) for order in (1, 2, 5, 20, 80)]
    assert np.all(np.diff(left) <= 0)
    for order, error in zip((1, 2, 5, 20, 80), left, strict=True):
        np.testing.assert_allclose(
            TaylorExponential(bound=bound, order=order).mean(z), np.exp(z) * (1 - error), rtol=1e-9
        )
    np.testing.assert_allclose(TaylorExponential(bound=bound, order=80).mean(z), np.exp(z), rtol=1e-9)


@pytest.mark.parametrize("copies", ["independent", "identical"])
def test_moments_by_enumeration(copies):
    """All patterns of three copies, weighted by their probability."""
    circuit = TaylorExponential(bound=1.5, order=3, copies=copies)
    for z in (-1.5, -0.7, 0.0, 1.1):
        r = float(circuit.rate(z))
        patterns = [p for p in product((0, 1), repeat=3) if copies == "independent" or len(set(p)) == 1]
        drawn = [p if copies == "independent" else p[:1] for p in patterns]
        probability = np.array([np.prod([r if s else 1 - r for s in p]) for p in drawn])
        outcome = np.exp(-1.5) * np.array(
            [1 + sum(3.0**j / (1, 1, 2, 6)[j] * all(p[:j]) for j in (1, 2, 3)) for p in patterns]
        )
        mean = probability @ outcome
        np.testing.assert_allclose(circuit.mean(z), mean)
        np.testing.assert_allclose(circuit.variance(z, 10), probability @ (outcome - mean) ** 2 / 10, atol=1e-15)


@pytest.mark.parametrize(
    ("z", "options", "words"),
    [
        ([0.0, 2.5], {}, r"taylor: z must be in \[-2, 2\] nats, got 2.5"),
        ([np.nan], {}, "nan"),
        ([[0.0]], {}, "one list"),
        ([0.0], {"checkpoints": [0]}, "increase"),
        ([0.0], {"checkpoints": [5, 5]}, "increase"),
        ([0.0], {"trials": 0}, "trials .* got 0"),
        ([0.0], {"seed": -1}, "seed .* got -1"),
        ([0.0], {"target": "fortran"}, "fortran"),
        ([0.1], {"circuit": VetoExponential()}, r"veto: z must be in \[-4, 0\] nats, got 0.1"),
        ([-1.0], {"circuit": VetoExponential(), "checkpoints": [9]}, "at least 10 steps, got 9"),
    ],
)
def test_bad_input_names_the_value(z, options, words):
    options = {"circuit": TaylorExponential(bound=2), "checkpoints": [10]} | options
    with pytest.raises(ValueError, match=words):
        exponentiate(options.pop("circuit"), z, options.pop("checkpoints"), **options)


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        (TaylorExponential, {"bound": 0}, "bound must be above 0, got 0"),
        (TaylorExponential, {"bound": np.inf}, "bound must be at most 100, got inf"),
        (TaylorExponential, {"order": 0}, "taylor: order .* got 0"),
        (TaylorExponential, {"order": 2.5}, "order .* got 2.5"),
        (TaylorExponential, {"copies": "same"}, "'identical', got 'same'"),
        (VetoExponential, {"window": 0}, "veto: window .* got 0"),
    ],
)
def test_bad_parameter_names_the_value(kind, parameters, words):
    with pytest.raises(ValueError, match=words):
        kind(**parameters)
