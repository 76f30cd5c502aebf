"""Integer neurons: Loihi's against two simulators of the chip, TrueNorth's against a loop.

`test_discrete_lif` has their Brian2 neurons.
"""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import pytest
from oracles import golden_loihi as golden

from biospike.errors import InputError
from biospike.ideal.hardware_lif import Loihi, TrueNorth, shares_of_levels
from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from validation.data import attention_rows

T, N = 60, 300
LARGE = 2**21


def large(seed: int = 3) -> np.ndarray:
    """Inputs that meet every limit of 24 bits, (T, N)."""
    return np.random.default_rng(seed).integers(-LARGE, int(1.3 * LARGE), (T, N))


# --------------------------------------------------------------------------------------------------------------- loihi


@pytest.mark.parametrize("name", golden.CASES)
def test_loihi_emits_the_spikes_of_lava(name: str) -> None:
    spikes, versions = golden.read()
    assert versions["lava-nc"] == "0.10.0"
    given = 64 * golden.inputs()
    found, membrane = Loihi(**golden.CASES[name]).trace(given)
    assert spikes[name].sum() > 3000
    assert (found != spikes[name]).sum() == 0
    if name == "integrator":
        tie = membrane == 64 * golden.CASES[name]["vth"]
        assert tie.sum() > 20
        assert not found[tie].any()


EMULATED = [
    Loihi(du=700, dv=300, vth=400, bias_mant=-9, bias_exp=3, input_wraps=True),
    Loihi(du=700, dv=300, vth=400, refractory=5, input_wraps=True),
    Loihi(dv=1024, vth=60, vmin=0, refractory=1, input_wraps=True),
    Loihi(du=100, dv=50, vth=2**16, bias_mant=4000, bias_exp=7, input_wraps=True),
]


@pytest.mark.parametrize("kind", EMULATED, ids=str)
@pytest.mark.filterwarnings("ignore:Overflow", "ignore:invalid value encountered in cast")
def test_loihi_emits_the_spikes_of_nengo_loihi(kind: Loihi) -> None:
    if importlib.util.find_spec("nengo_loihi") is None:
        pytest.skip("nengo-loihi is not installed")
    parameters = {name: getattr(kind, name) for name in ("du", "dv", "vth", "bias_mant", "bias_exp")}
    total = 0
    for given in (64 * golden.inputs(), large()):
        expected = golden.emulate(given, vmin=kind.vmin, refractory=kind.refractory, **parameters)
        assert (kind.run(given) != expected).sum() == 0
        total += expected.sum()
    assert total > 1000


def test_the_further_wraps_of_nengo_loihi_show() -> None:
    for other in (Loihi(vth=400), Loihi(vth=400, vmin=0)):
        assert (other.run(2 * large()) != Loihi(vth=400, input_wraps=True).run(2 * large())).sum() > 100


def test_loihi_by_hand() -> None:
    def membrane(kind: Loihi, *inputs: int) -> list[float]:
        return kind.trace(np.array(inputs)[:, None])[1][:, 0].tolist()

    # Cut towards zero: 3*3072/4096 = 2.25, and of -3 the same.
    assert membrane(Loihi(dv=1024), 3, 0, 0) == [3, 2, 1]
    assert membrane(Loihi(dv=1024), -3, 0, 0) == [-3, -2, -1]
    # The current of an impulse decays by (4095 - du)/4096 and is summed by the membrane.
    assert membrane(Loihi(du=2047), 1000, 0, 0) == [1000, 1500, 1750]
    assert membrane(Loihi(bias_mant=-3, bias_exp=4), 0, 0) == [-48, -96]
    # A membrane at the threshold is silent; of an input at every chance each max(r, 1)-th step spikes.
    assert Loihi(vth=1).run(np.array([[64], [1]])).tolist() == [[0], [1]]
    for refractory, interval in ((0, 1), (1, 1), (2, 2), (5, 5)):
        times = np.flatnonzero(Loihi(vth=1, refractory=refractory).run(np.full((40, 1), 65)))
        assert set(np.diff(times)) == {interval}
    # 24 bits: the current wraps, the membrane stops.
    assert membrane(Loihi(vth=2**17 - 1), 2**23) == [1 - 2**23]
    assert membrane(Loihi(vth=2**17 - 1), 2**23 - 1, 5) == [2**23 - 1, 5]
    # 2^22*4095/4096 + 3*2^21 is 2^24 too much.
    assert membrane(Loihi(du=0, vth=2**17 - 1), 2**22, 3 * 2**21)[1] == 2**22 + 2**22 - 2**10 + 3 * 2**21 - 2**24


# ----------------------------------------------------------------------------------------------------------- truenorth


def truenorth(inputs: list[int], kind: TrueNorth) -> list[int]:
    """The neuron of the paper in Python's whole numbers, one after the other."""
    v, spikes = 0, []
    for x in inputs:
        v += x
        v += kind.leak * ((v > 0) - (v < 0)) if kind.leak_reversal else kind.leak
        if v < -kind.negative:
            v = -kind.v_reset if kind.negative_resets else -kind.negative
        spikes.append(int(v >= kind.alpha))
        if spikes[-1]:
            v = {"value": kind.v_reset, "subtract": v - kind.alpha, "none": v}[kind.reset]
    return spikes


CHIPS = [
    TrueNorth(leak=leak, leak_reversal=reversal, reset=reset, v_reset=-3, alpha=40, negative=25, negative_resets=resets)
    for leak, reversal, reset, resets in itertools.product(
        (-2, 1), (False, True), ("value", "subtract", "none"), (False, True)
    )
]


def test_truenorth_is_the_neuron_of_the_paper() -> None:
    inputs = np.random.default_rng(2).integers(-15, 20, (200, 40))
    ties = 0
    for kind in CHIPS:
        spikes, membrane = kind.trace(inputs)
        expected = np.array([truenorth(column, kind) for column in inputs.T.tolist()]).T
        assert expected.sum() > 100
        assert (spikes != expected).sum() == 0
        tie = membrane == kind.alpha
        assert spikes[tie].all()
        ties += int(tie.sum())
    assert ties > 100


# ------------------------------------------------------------------------------------------------- range, and bad input


def test_range_of_noise_with_few_levels() -> None:
    """Mean total variation on the shipped rows, as another code found it, and none for very many levels."""
    logits = attention_rows()
    exact = softmax(logits)
    found = {M: float(total_variation(shares_of_levels(logits, M), exact).mean()) for M in (255, 128, 64, 32, 16, 8)}
    known = {255: 0.0045, 128: 0.0080, 64: 0.0160, 32: 0.0305, 16: 0.0555, 8: 0.0990}
    for levels, value in known.items():
        assert found[levels] == pytest.approx(value, abs=5e-5)
    assert total_variation(shares_of_levels(logits, 10**9), exact).max() < 1e-7
    # A key that is less than half a level never wins: ln(2*255) nats.
    assert shares_of_levels([[0.0, -6.2]], 255)[0, 1] > 0 == shares_of_levels([[0.0, -6.3]], 255)[0, 1]


def test_compartments_that_noise_fires_share_a_row_as_their_levels_do() -> None:
    """A membrane that forgets at once fires when uniform noise of 8 bits is above its distance from the threshold."""
    logits = attention_rows()[:3]
    limit = shares_of_levels(logits, 255)
    for row, expected in zip(logits, limit, strict=True):
        keys = ~np.isnan(row)
        levels = np.rint(255 * np.exp(row[keys] - row[keys].max()))
        # Of -127 to 127, 255 values, m are above 127 - m. A membrane below 4096 leaves nothing to the next step.
        draws = np.random.default_rng(7).integers(-127, 128, (3000, keys.sum()))
        given = draws - 127 + levels + 64
        counts = Loihi(dv=4095, vth=1).run(given).sum(axis=0)
        assert counts.sum() > 3000 / 2
        assert (counts[levels == 0] == 0).all()
        # Counts are binomial and independent: 5 standard errors of each, and those of the total.
        spread = 5 * np.sqrt(levels / 255 * (1 - levels / 255) * 3000) + 1e-9
        np.testing.assert_array_less(abs(counts - 3000 * levels / 255), spread + 1e-9)
        assert abs(counts / counts.sum() - expected[keys]).sum() / 2 < 0.05


def test_what_a_chip_cannot_be_is_refused() -> None:
    for name in ("stochastic_synapse", "stochastic_leak", "stochastic_threshold"):
        with pytest.raises(InputError, match=f"TrueNorth: {name} draws random numbers and is not modelled"):
            TrueNorth(**{name: True})
    with pytest.raises(InputError, match="Loihi: du must be at most 4095, got 4096"):
        Loihi(du=4096)
    with pytest.raises(InputError, match=r"Loihi: vth must be a whole number, got 1\.5"):
        Loihi(vth=1.5)
    for inputs, dtype in ((np.array([[0.5]]), np.float64), (np.array([[1]]), np.float32)):
        with pytest.raises(InputError, match="inputs of a chip must be whole numbers, in double precision"):
            Loihi().run(inputs, dtype)
    with pytest.raises(InputError, match="levels must be above 0, got 0"):
        shares_of_levels([[0.0]], 0)
