"""Shares at every decay, a block, and spikes of 18 blocks with and without rescaling, as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike.ideal.attention.spikegpt import Passed, SpikeGPTBlock, ageing_logits, normalised, run_blocks, wkv
from biospike.ideal.softmax import softmax
from biospike.metrics import t_interval
from circuits.softmax import Escape, Integrate
from circuits.transformers.spikegpt import AgeingAttention, read_tokens

import brian2 as b2

Array = NDArray[np.float64]

RATE, STEP = 400 * b2.Hz, 0.25 * b2.ms
BONUS = np.log(0.3)
LAYERS, EVERY = 18, 6
"""Blocks of the released model, and after how many the code for inference divides by two."""
CONTEXT = 128
RATES = (0.02, 0.2)
"""Spikes a token and neuron for which gains of the output weights are sought."""
GAIN_STEPS = 8
KINDS = {"escape": Escape, "integrate": Integrate}
SUMMARY = {
    "rows": "circuit of the rows; `servo alone` is escape without the jump",
    "decay": "w, nats a token",
    "spikes": "of a row in a token, mean",
    "silent": "fraction of tokens in which a row did not spike",
    "tv": "total variation of a token's shares from the softmax of ageing logits, 1 of a silent one, mean over tokens "
    "from the second on; `low` and `high` its 95 % interval over trials (Student's t)",
    "law": "of the circuit at these spikes",
    "identity": "largest difference of the recursion from that softmax times the values",
}
BLOCK = {"channel": "of a block of 768", "decay": "w", "law": "expected total variation at R0 times a token, mean over "
         "tokens", "tv": "measured, for channels that are simulated"}  # fmt: skip
RESCALED = {
    "gain": "of the output weights, found for `aimed` spikes a token and neuron; empty: given",
    "layers": "blocks", "rate": "spikes a token and neuron", "rate_rescaled": "with the rescaling",
    "differ": "spikes that come with one and not with the other, over those without rescaling",
}  # fmt: skip


@attrs.frozen
class Preset:
    """Decays, tokens, trials and duration of a token; channels of the stack."""

    decays: tuple[float, ...]
    tokens: int
    trials: int
    token_s: float
    block: int
    block_tokens: int
    simulated: int
    channels: int


PRESETS = {
    "quick": Preset((0.02, 0.05, 0.3, 1.0, 3.0, 6.0, 20.0), 16, 32, 0.5, 768, 64, 16, 96),
    "paper": Preset((0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 6.0, 10.0, 20.0), 24, 128, 0.5, 768, 64, 16, 768),
}


def circuits(preset: Preset) -> dict[str, AgeingAttention]:
    """Rows by name."""
    token = preset.token_s * b2.second
    jumping = {name: AgeingAttention(softmax=kind(rate=RATE, dt=STEP), token=token) for name, kind in KINDS.items()}
    return jumping | {"servo alone": attrs.evolve(jumping["escape"], jump=False)}


def shares(preset: Preset, seed: int, target: str, progress: bool) -> pd.DataFrame:
    """Error of the shares at every decay, of every kind of rows."""
    decay = np.array(preset.decays)
    k, v = np.random.default_rng([seed, 0]).normal(size=(2, preset.tokens, decay.size))
    bonus = np.full(decay.size, BONUS)
    logits = ageing_logits(k, decay, bonus)
    p = softmax(logits.reshape(-1, preset.tokens)).reshape(logits.shape)
    identity = np.abs(np.einsum("cti,ic->tc", p, v) - wkv(k, v, decay, bonus)[0]).max(axis=0)
    rows = []
    for name, circuit in circuits(preset).items():
        data = read_tokens(circuit, k, v, decay, bonus, trials=preset.trials, seed=seed, target=target,
                           progress=progress)  # fmt: skip
        spikes = data["spike_count"].sum("key").transpose("channel", "trial", "token").values
        tv, law = _errors(circuit, data["share"].transpose("channel", "trial", "token", "key").values, p, spikes)
        low, high = t_interval(tv)
        for channel, w in enumerate(decay):
            rows.append({
                "rows": name, "decay": w, "tokens": preset.tokens, "trials": preset.trials,
                "spikes": spikes[channel].mean(), "silent": (spikes[channel] == 0).mean(), "tv": tv[channel].mean(),
                "low": low[channel], "high": high[channel], "law": law[channel], "identity": identity[channel],
            })  # fmt: skip
    return pd.DataFrame(rows)


def _errors(circuit: AgeingAttention, found: Array, p: Array, spikes: Array) -> tuple[Array, Array]:
    """TV by channel and trial, and its law by channel, mean over tokens from the second on."""
    tv = np.where(spikes > 0, np.abs(found - p[:, None]).sum(axis=-1) / 2, 1.0)  # a silent row has nothing right
    law = circuit.expected_tv(np.broadcast_to(p[:, None], found.shape), np.maximum(spikes, 1))
    return tv[..., 1:].mean(axis=-1), law[..., 1:].mean(axis=(1, 2))


def block(preset: Preset, seed: int, target: str, progress: bool) -> pd.DataFrame:
    """Law of every channel of a block, and simulation of some at quantiles of the decay."""
    rng = np.random.default_rng([seed, 1])
    one = SpikeGPTBlock.random(rng, preset.block)
    passed, _ = one.run(normalised(rng.normal(size=(preset.block_tokens, preset.block))))
    circuit = attrs.evolve(circuits(preset)["escape"], token=preset.token_s / 2 * b2.second)
    p = circuit.limit(passed.k, one.decay, one.bonus)
    spikes = np.full(p.shape[:2], float(RATE * circuit.token))
    law = circuit.expected_tv(p, spikes)[:, 1:].mean(axis=1)
    chosen = np.linspace(0, preset.block - 1, preset.simulated).round().astype(int)  # decays rise with the channel
    data = read_tokens(circuit, passed.k[:, chosen], passed.v[:, chosen], one.decay[chosen], one.bonus[chosen],
                       seed=seed, target=target, progress=progress)  # fmt: skip
    tv, _ = _errors(circuit, data["share"].transpose("channel", "trial", "token", "key").values, p[chosen],
                    data["spike_count"].sum("key").transpose("channel", "trial", "token").values)  # fmt: skip
    table = pd.DataFrame({"channel": np.arange(preset.block), "decay": one.decay, "law": law, "tv": np.nan})
    table.loc[chosen, "tv"] = tv.mean(axis=1)
    return table


def rescaling(preset: Preset, seed: int) -> pd.DataFrame:
    """Spikes of 18 blocks with and without the rescaling of the code for inference, at several gains."""
    x = np.random.default_rng([seed, 2]).normal(size=(CONTEXT, preset.channels))

    def stack(gain: float) -> list[SpikeGPTBlock]:
        rng = np.random.default_rng([seed, 3])
        return [SpikeGPTBlock.random(rng, preset.channels, gain) for _ in range(LAYERS)]

    def spikes(passed: Sequence[Passed]) -> Array:
        return np.stack([np.concatenate([one.attention, one.feed], axis=1) for one in passed]).astype(float)

    rows = []
    for aimed, gain in [(np.nan, 0.0), *((rate, _gain_for(rate, stack, x)) for rate in RATES)]:
        blocks = stack(gain)
        plain = spikes(run_blocks(blocks, x))
        scaled = [attrs.evolve(one, rescale=2.0 ** (number // EVERY)) for number, one in enumerate(blocks)]
        other = spikes(run_blocks(scaled, x, halve_every=EVERY))
        for first in range(0, LAYERS, EVERY):
            mine, theirs = plain[first : first + EVERY], other[first : first + EVERY]
            rows.append({"gain": gain, "aimed": aimed, "layers": f"{first} to {first + EVERY - 1}", "rate": mine.mean(),
                         "rate_rescaled": theirs.mean(),
                         "differ": (mine != theirs).sum() / mine.sum() if mine.any() else np.nan})  # fmt: skip
    return pd.DataFrame(rows)


def _gain_for(rate: float, stack: Callable[[float], list[SpikeGPTBlock]], x: Array) -> float:
    """Gain at which so many spikes come, by bisection of its logarithm on the first blocks, which are alike."""
    low, high = 0.5, 32.0
    for _ in range(GAIN_STEPS):
        middle = float(np.sqrt(low * high))
        passed = run_blocks(stack(middle)[:EVERY], x)
        found = np.mean([(one.attention.mean() + one.feed.mean()) / 2 for one in passed])
        low, high = (middle, high) if found < rate else (low, middle)
    return float(np.sqrt(low * high))
