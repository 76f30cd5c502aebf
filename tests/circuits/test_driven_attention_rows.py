"""Rows of a block whose inhibition is subtracted: closed forms of their limit, and spikes against them."""

import attrs
import numpy as np
import pytest
from scipy.signal import lfilter

from biospike.encoding import Regular
from biospike.errors import InputError
from circuits.attention import SpikingAttention, softmax_circuit
from circuits.fluctuation import score_variance
from circuits.presentation import present
from circuits.softmax import Diffusive, Escape, NoInhibition, SelfInhibition, Subtractive
from circuits.stack import Stack

TOY = np.array([[0.8, 0.2], [0.3, 0.7]])  # the paper's example
RNG = np.random.default_rng(5)
X = RNG.uniform(0.1, 0.9, (4, 3))
W = RNG.normal(size=(3, 3, 4))
OWN = {
    "subtractive": Subtractive(gain=0.5),
    "sum": Subtractive(gain=0.5, feedback="sum"),
    "none": NoInhibition(gain=0.5),
    "self_inhibition": SelfInhibition(gain=0.5),
}


def toy(name, **options):
    eye = np.eye(2)
    return SpikingAttention(eye, eye, eye, softmax=OWN[name], **({"score_scale": 3.0} | options)).fitted(TOY)


def block(**options):
    return SpikingAttention(*W, **({"heads": 2, "score_scale": 1.5, "softmax": Subtractive(gain=0.1)} | options))


def fixed_point(drive, w):
    """r = [drive - w*mean(r)]_+ of one row, by trying every set of active keys."""
    n = len(drive)
    for active in range(1, 2**n):
        on = np.array([bool(active >> key & 1) for key in range(n)])
        level = w * drive[on].sum() / (n + w * on.sum())
        if (drive[on] > level).all() and (drive[~on] <= level).all():
            return np.where(on, drive - level, 0.0)
    raise AssertionError("no fixed point")


def drives(z, gain=0.5):
    return gain * np.exp(z - z.max(axis=-1, keepdims=True))


@pytest.mark.parametrize(("name", "w"), [("subtractive", 1.0), ("sum", 2.0)])
def test_staged_limit_is_the_fixed_point_of_the_inhibition(name, w):
    one = toy(name, mode="staged")
    rates = np.array([fixed_point(row, w) for row in drives(3 * TOY @ TOY.T)])
    np.testing.assert_allclose(one.row_rates(TOY)[0, 0], rates, atol=1e-12)
    limit = one.limit(TOY)
    shares = rates / rates.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(limit.attention.values[0, 0], shares, atol=1e-12)
    np.testing.assert_allclose(limit.output.values[0, 0], shares @ TOY, atol=1e-12)
    p = one.ordinary(TOY).attention.values[0, 0]
    np.testing.assert_allclose(p.sum(axis=1), 1)
    # While all keys are active the shares are (1 + w)*p - w/n; the sum silences a key of the first row.
    off = np.abs(shares - p).sum(axis=1) / 2
    exact = w * np.abs(p - 0.5).sum(axis=1) / 2
    np.testing.assert_allclose(off, exact if name == "subtractive" else [p[0, 1], exact[1]], atol=1e-12)


def test_without_lateral_inhibition_the_limit_is_softmax_at_another_rate():
    p = toy("none").ordinary(TOY).attention.values
    for name, factor in (("none", 1.0), ("self_inhibition", 2.0)):
        one = toy(name, mode="staged")
        np.testing.assert_allclose(one.limit(TOY).attention.values, p, atol=1e-12)
        np.testing.assert_allclose(one.row_rates(TOY)[0, 0], drives(3 * TOY @ TOY.T) / factor, atol=1e-12)


def test_limit_does_not_know_the_gain_or_masked_keys():
    mask = np.array([True, True, False, True])
    one = block(mode="staged").fitted(X)
    weaker = attrs.evolve(one, softmax=Subtractive(gain=0.01))
    np.testing.assert_allclose(one.limit(X, mask).attention, weaker.limit(X, mask).attention, atol=1e-12)
    kept = one.row_rates(X, mask)[..., mask, :][..., mask]
    fewer = attrs.evolve(one, scales=one.scales).row_rates(X[mask])
    np.testing.assert_allclose(kept, fewer, atol=1e-12)
    assert (one.row_rates(X, mask)[..., ~mask] == 0).all()
    assert (kept > 0).sum() > 10


def test_saturated_keys_are_clipped_and_the_others_settle_about_them():
    drive = np.array([[3.0, 0.9, 0.2]])
    rates = Subtractive(w=0.6).settled(drive, np.array([3]))
    np.testing.assert_allclose(rates, np.clip(drive - 0.6 * rates.mean(), 0, 1), atol=1e-12)
    assert rates[0, 0] == 1
    total = Subtractive(w=0.2, feedback="sum").settled(drive, np.array([3]))
    np.testing.assert_allclose(total, rates, atol=1e-12)
    np.testing.assert_allclose(SelfInhibition(alpha=1).settled(drive, np.array([3])), [[1, 0.45, 0.1]])


def test_variance_of_a_score_membrane_of_the_toy():
    """Each unit relays the Bernoulli spikes of one feature: coincidences are coins of p = x_id*x_jd, step by step."""
    one, keep = toy("subtractive", tau_s="20 ms"), np.exp(-1 / 20)
    coin = TOY[:, None] * TOY[None]
    expected = 9 * (coin * (1 - coin)).sum(axis=-1) * (1 - keep) / (1 + keep)
    found = score_variance(one, TOY[None], one.keep, one.nats)
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-12)
    logits = 3 * TOY @ TOY.T
    drive = 0.5 * np.exp(logits - logits.max(axis=1, keepdims=True) + expected / 2)
    np.testing.assert_allclose(one.row_rates(TOY)[0, 0], [fixed_point(row, 1.0) for row in drive], atol=1e-12)
    assert (score_variance(attrs.evolve(one, encoder=Regular()), TOY[None], one.keep, one.nats) == 0).all()


@pytest.mark.long
def test_variance_of_score_membranes_of_mixed_features():
    """Against membranes computed directly, 400 copies: the noise of both trains at once is taken at lag 0 only."""
    one, steps, tau, copies = block(tau_s="40 ms").fitted(X), 400, 40, 400
    rng = np.random.default_rng(2)
    signed = []
    for stream in (0, 1):
        coins = (rng.random((copies, steps, *X.shape)) < X) @ one.scaled_weights()[stream]
        # ON and OFF membranes with a threshold subtracted, from a random phase: counts are whole parts of running sums.
        v = np.cumsum(coins, axis=1)
        trains = []
        for sign in (1, -1):
            crossed = np.maximum.accumulate(np.floor(sign * v + rng.random((copies, 1, *coins.shape[2:]))), axis=1)
            trains.append(np.diff(np.maximum(crossed, 0), axis=1, prepend=0))
        signed.append((trains[0] - trains[1]).reshape(copies, steps, len(X), 2, 2))
    products = np.einsum("ctihe,ctjhe->cthij", *signed)
    keep = np.exp(-1 / tau)
    z = lfilter([1 - keep], [1, -keep], products * one.nats[:, None, None], axis=1)[:, -1]
    expected = score_variance(one, X[None], one.keep, one.nats)[0]
    # The standard error of a variance of 400 is 7 %; of the mean of 32 that share trains at most as much.
    assert z.var(axis=0).mean() / expected.mean() == pytest.approx(1, abs=0.25)
    assert np.corrcoef(z.var(axis=0).ravel(), expected.ravel())[0, 1] > 0.9


def measured(one, x, steps, trials, target, **options):
    """Counts and mean drives (trial, query, key) of one head, and how far counts are from the fixed point."""
    data = present(one, x, duration=steps * one.dt, windows=1, trials=trials, target=target, **options)
    counts, drive = (data[name].values[:, 0, 0, ..., -1] for name in ("attention_count", "driven"))
    settled = one.rows.settled(drive / steps, np.ones(drive.shape, dtype=bool))
    return counts, drive / steps, np.abs(counts - steps * settled).max()


def test_every_presentation_is_at_the_fixed_point_of_its_measured_drive():
    """Within two spikes; the drive itself is that of the scores, which a staged membrane holds."""
    one, steps = toy("subtractive", mode="staged"), 100
    data = present(one, TOY, duration=steps * one.dt, windows=1, trials=8, seed=1, target="numpy")
    counts, drive = (data[name].values[:, 0, 0, ..., -1] for name in ("attention_count", "driven"))
    z = one.read_out(data)["logits"].isel(checkpoint=-1, sample=0, head=0).values
    np.testing.assert_allclose(drive / steps, 0.5 * np.exp(z - (3 * TOY @ TOY.T).max(axis=1)[:, None]), rtol=1e-9)
    settled = np.array([[fixed_point(row, 1.0) for row in trial] for trial in drive / steps])
    assert np.abs(counts - steps * settled).max() <= 2
    # The tolerance would notice another w: w = 1.5 moves the largest count by more.
    other = np.array([[fixed_point(row, 1.5) for row in trial] for trial in drive / steps])
    assert np.abs(counts - steps * other).max() > 4
    assert counts.sum(axis=-1).min() > 20


STEPS = 20_000
TRIALS = dict.fromkeys(OWN, 64) | {"sum": 192}
"""The sum leaves the second key so little that its share follows the scores most closely."""


@pytest.mark.long
@pytest.mark.compiles
@pytest.mark.parametrize("mode", ["staged", "streaming"])
@pytest.mark.parametrize("name", OWN)
def test_shares_and_rates_of_the_toy_are_those_of_the_limit(name, mode):
    """Means over trials within 3 standard errors, those of shares below 1e-3."""
    one = toy(name, mode=mode, tau_s="20 ms")
    trials = TRIALS[name]
    counts, drive, off = measured(one, TOY, STEPS, trials, "cpp_standalone", seed=4)
    expected = one.row_rates(TOY)[0, 0]
    for values, limit, largest in (
        (counts / counts.sum(axis=-1, keepdims=True), expected / expected.sum(axis=-1, keepdims=True), 1e-3),
        (counts / STEPS, expected, 2e-3),
        (drive, one.rows.mean_drive(3 * (TOY @ TOY.T)[None, None], TOY[None])[0, 0], 4e-3),
    ):
        error = values.std(axis=0, ddof=1) / np.sqrt(trials)
        assert error.max() < largest
        assert (np.abs(values.mean(axis=0) - limit) <= 3 * error + 1e-9).all(), (values.mean(axis=0), limit, error)
    # A key whose net drive changes its sign falls below threshold and comes back: counts are then further off.
    crossing = mode == "streaming" and name in ("subtractive", "sum")
    assert crossing or off <= 2
    if mode == "streaming":  # the test would notice the fluctuation term
        flat = attrs.evolve(one, mode="staged").row_rates(TOY)[0, 0]
        error = (counts / STEPS).std(axis=0, ddof=1) / np.sqrt(trials)
        assert (np.abs((counts / STEPS).mean(axis=0) - flat) > 3 * error).any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: block(softmax=Diffusive()), "divisive, escape, integrate, race, none, self_inhibition, subtractive"),
        (lambda: present(block(softmax=Subtractive(beta=0.9)), X, duration="50 ms"), "need beta = 1.*got 0.9"),
        (lambda: present(block(softmax=NoInhibition()), X, duration="50 ms"), "take a gain of at most .*, got 1"),
        (lambda: Stack(blocks=[block()], W_o=[np.eye(4, 3)]), "rows of subtractive in block 0"),
        (lambda: block().gate, "rows of subtractive have a rate that nothing pins"),
    ],
)
def test_what_these_rows_cannot_do_is_refused_in_a_line(make, words, monkeypatch):
    monkeypatch.setattr("biospike.execution.execute", None)
    with pytest.raises(InputError, match=words) as refused:
        make()
    assert "\n" not in str(refused.value)


def test_circuits_of_a_block_by_name():
    assert softmax_circuit("subtractive", 0.3) == Subtractive(gain=0.3)
    gate = softmax_circuit("escape", 0.3)
    assert isinstance(gate, Escape)
    assert float(gate.rate) == 100
