"""record() keeps the spikes that simulate() counts, on every target, and variables that mean what they say."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from biospike import InputError, record, simulate
from biospike.memory import COPIES
from circuits.softmax import NoInhibition, Race, Subtractive

import brian2 as b2

LOGITS = np.array([[2.0, 0.5, -1.0, 0.3], [0.0, 0.0, np.nan, 1.0], [0.2, 0.1, 0.0, -0.1]])
ROWS, TRIALS, SEED = [0, 1], [0, 2], 5
COMPILED = pytest.param("cpp_standalone", marks=[pytest.mark.compiles, pytest.mark.long])


def counted(data, shape):
    found = np.zeros(shape, dtype=int)
    np.add.at(found, tuple(data[f"spike_{axis}"].values for axis in ("trial", "row", "key")), 1)
    return found


@pytest.mark.parametrize("target", ["numpy", COMPILED])
@pytest.mark.parametrize("circuit", [Race(), Subtractive()], ids=lambda circuit: circuit.name)
def test_spikes_are_those_that_are_counted(circuit, target):
    data = record(circuit, LOGITS, duration="80 ms", rows=ROWS, trials=TRIALS, seed=SEED, target=target)
    known = simulate(circuit, LOGITS, duration="80 ms", trials=3, seed=SEED, target="numpy", checkpoints=4, limit=False)
    last = known["spike_count"].transpose("checkpoint", "trial", "row", "key").values
    found = counted(data, last[-1].shape)
    assert found.sum() > 30
    assert_array_equal(found[np.ix_(TRIALS, ROWS)], last[-1][np.ix_(TRIALS, ROWS)])
    # In every window, so that the times are right and not only their number.
    for window, mark in zip(last, known["timesteps"].values, strict=True):
        early = counted(data.isel(spike=data["spike_step"].values < mark), last[-1].shape)
        assert_array_equal(early[np.ix_(TRIALS, ROWS)], window[np.ix_(TRIALS, ROWS)])


@pytest.mark.compiles
@pytest.mark.long
@pytest.mark.parametrize("circuit", [Race(), Subtractive()], ids=lambda circuit: circuit.name)
def test_compiled_and_numpy_record_the_same(circuit):
    names = (circuit.membrane, f"hub.{circuit.inhibition}", "spike_count")
    options = {"duration": "60 ms", "rows": ROWS, "trials": TRIALS, "seed": SEED, "window": ("10 ms", "50 ms")}
    found, known = (
        record(circuit, LOGITS, target=target, neurons=[1, 2], variables=names, **options)
        for target in ("cpp_standalone", "numpy")
    )
    assert known.sizes["spike"] > 10
    assert float(known["keys_spike_count"].max()) > 0
    for name in known.variables:
        assert_array_equal(found[name], known[name], err_msg=str(name))
        assert found[name].attrs == known[name].attrs


def test_membrane_without_inhibition_is_its_closed_form():
    """u(t) = u(0) + drive*t - spikes before t: read after the thresholds, so that the crossing is in it."""
    circuit = NoInhibition()
    data = record(
        circuit, LOGITS, duration="200 ms", rows=0, seed=SEED, variables=("u", "drive", "spike_count"), target="numpy"
    )
    assert data.sizes["spike"] > 100
    u, count = data["keys_u"][0, 0].values, data["keys_spike_count"][0, 0].values
    drive = circuit.gain * np.exp(LOGITS[0] - LOGITS[0].max())
    start = u[:, 0] - drive
    assert ((start >= 0) & (start < 1)).all()
    steps = np.arange(1, u.shape[1] + 1)
    # Of 200 additions, each of which rounds a number below 2.
    np.testing.assert_allclose(u, start[:, None] + drive[:, None] * steps - count, atol=200 * 4.5e-16)
    for key, crossed in enumerate(u >= 1):
        assert_array_equal(np.flatnonzero(crossed), data["spike_step"].values[data["spike_key"].values == key])


def test_parts_are_parts_of_the_whole():
    options = {"duration": "60 ms", "rows": [1, 2], "trials": [1], "seed": SEED, "target": "numpy"}
    whole = record(Race(), LOGITS, variables=("v", "hub.closed"), **options)
    part = record(
        Race(),
        LOGITS,
        variables=("hub.closed", "v"),
        neurons=[3, 0],
        window=(10 * b2.ms, 30 * b2.ms),
        every="2 ms",
        **options,
    )
    kept = (whole["time_ms"].values >= 10) & (whole["time_ms"].values < 30)
    assert_array_equal(part["time_ms"], whole["time_ms"][kept][::20])
    assert_array_equal(part["keys_v"], whole["keys_v"].sel(key=[0, 3])[..., kept][..., ::20])
    assert_array_equal(part["hub_closed"], whole["hub_closed"][..., kept][..., ::20])
    assert 0 < float(whole["hub_closed"].mean()) < 1
    inside = (whole["spike_step"].values >= 100) & (whole["spike_step"].values < 300)
    assert inside.any()
    assert_array_equal(part["spike_step"], whole["spike_step"][inside])
    assert np.isnan(whole["keys_v"].sel(row=1, key=2)).all()
    assert all({"units", "long_name"} <= set(data.attrs) for data in part.variables.values())


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "rows": ({"rows": 3}, r"rows must be whole numbers in \[0, 3\), got 3"),
    "trials": ({"trials": [-1]}, "trials must be whole numbers in"),
    "neurons": ({"neurons": [0, 4]}, r"neurons must be whole numbers in \[0, 4\), got 4"),
    "variable": ({"variables": ["w"]}, "there is no variable 'keys.w': keys has .*drive.* v$"),
    "group": ({"variables": ["axon.v"]}, "variables must be those of keys and hub"),
    "one string": ({"variables": "v"}, "variables must be names such as"),
    "window": ({"window": ("5 ms", "30 ms")}, "within the duration of 0.02 s"),
    "every": ({"every": "0.15 ms"}, "every must be a multiple of dt = 0.1 ms"),
    "target": ({"target": "fused"}, "target must be one of auto, cpp_standalone, cython, numpy, got 'fused'"),
    "memory": ({"max_memory": 1000}, "max_memory is .* MiB: record fewer neurons"),
    "circuit": ({"circuit": 3}, "circuit must be a circuit such as Race"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_refused(name):
    options, message = WRONG[name]
    options = {"circuit": Race(), "inputs": LOGITS, "duration": "20 ms", **options}
    with pytest.raises(InputError, match=message):
        record(options.pop("circuit"), options.pop("inputs"), **options)


def test_memory_is_what_is_kept(capsys):
    """Four keys and a hub, 200 times, 8 bytes each: so much is said, and a little less is refused."""
    size = 8 * 5 * 200
    options = {"duration": "20 ms", "target": "numpy", "progress": True}
    data = record(Race(), LOGITS, max_memory=COPIES * size, **options)
    assert data["keys_v"].nbytes + data["hub_closed"].nbytes == size
    assert f"{size / 2**20:.4g} MiB" in capsys.readouterr().err
    with pytest.raises(InputError, match="max_memory"):
        record(Race(), LOGITS, max_memory=COPIES * size - 1, **options)
