"""The attention block in torch, batched over samples, in single precision on one thread, as a user would write it.

The same law in the same order of a step, with torch's own random numbers: inputs are Bernoulli, membranes have no leak,
rows are those of `escape` under the reference potential of `circuits.attention`, and the mode is streaming.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.ideal.frameworks.installed import load
from circuits.attention import SpikingAttention
from circuits.token_circuit import Timing

Tensor = Any


def run(
    block: SpikingAttention, x: NDArray[np.float64], *, timing: Timing, marks: NDArray[np.int64], trials: int, seed: int
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Present tokens (tokens, features) and count.

    Returns
    -------
    dict
        At the end of every window, (trials, ..., windows): `coincidences` and `attention_count` (head, query, key),
        `output_count` (head, query, unit, sign), from the onset; `spikes_encoder` and `spikes_qkv`, from the start.
    float
        Processor time of the loop, second.

    Raises
    ------
    biospike.ideal.frameworks.installed.FrameworkMissing
        If torch is not installed.
    """
    torch = load("torch")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    with torch.no_grad():
        cpu = time.process_time()
        kept = _loop(torch, block, x, timing, [0, *(int(mark) for mark in marks)], trials)
        took = time.process_time() - cpu
    counts = {name: np.stack([one.numpy() for one in some], axis=-1).astype(float) for name, some in kept.items()}
    whole = ("spikes_encoder", "spikes_qkv")
    return {
        name: values[..., 1:] if name in whole else values[..., 1:] - values[..., :1] for name, values in counts.items()
    }, took


class _Rows:
    """Scores and attention neurons (trials, heads, queries, keys), with the reference potential of every row."""

    def __init__(self, torch: Any, block: SpikingAttention, trials: int, tokens: int) -> None:
        size = (trials, block.heads, tokens, tokens)
        self.torch, self.block = torch, block
        self.step_charge = float(block.gate.rate * block.dt)
        charge = block.nats * (1 - block.keep)
        self.charge = torch.as_tensor(charge, dtype=torch.float32).reshape(block.heads, 1, 1)
        self.u, self.v, self.theta = torch.zeros(size), torch.zeros(size), torch.empty(size).exponential_()
        self.reference, self.spikes = torch.full((*size[:-1], 1), block.start), torch.zeros((*size[:-1], 1))
        self.scores, self.attention = torch.zeros(size), torch.zeros(size)

    def charge_scores(self, arrived: Tensor) -> None:
        """Take the coincidences of a step."""
        self.scores += arrived
        self.u = self.block.keep * self.u + self.charge * arrived

    def step(self) -> Tensor:
        """Attention spikes of a step."""
        block = self.block
        self.reference -= block.w * self.step_charge + block.release * (self.spikes < block.first_spikes)
        self.v += self.step_charge * self.torch.exp(self.u - self.reference)
        fired = self.v >= self.theta
        self.v -= self.theta * fired
        self.theta[fired] = self.torch.empty(int(fired.sum())).exponential_()
        of_row = fired.sum(dim=-1, keepdim=True)
        self.spikes += of_row
        self.reference += block.w * of_row
        self.attention += fired
        return fired.float()


def _loop(
    torch: Any, block: SpikingAttention, x: NDArray[np.float64], timing: Timing, marks: list[int], trials: int
) -> dict[str, list[Tensor]]:
    def tensor(values: Any) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32)

    tokens, heads, width = len(x), block.heads, block.width
    rate, weights, bias = tensor(x), tensor(block.scaled_weights()), tensor(block.scaled_biases())[:, None]
    signs = tensor([1.0, -1.0]).reshape(2, 1, 1, 1, 1)
    rows = _Rows(torch, block, trials, tokens)
    v = torch.rand((2, trials, 3, tokens, heads * width))
    current = torch.zeros((trials, 3, tokens, heads * width))
    query, key = (torch.zeros((trials, heads, tokens, width)) for _ in range(2))
    routed, owed, outputs = (torch.zeros((trials, heads, tokens, 2 * width)) for _ in range(3))
    inputs_sent, streams_sent = torch.zeros(trials), torch.zeros(trials)
    counted = {"coincidences": rows.scores, "attention_count": rows.attention}
    counted |= {"spikes_encoder": inputs_sent, "spikes_qkv": streams_sent, "output_count": outputs}
    kept: dict[str, list[Tensor]] = {name: [] for name in counted}
    before = {timing.onset + mark for mark in marks}
    for step in range(timing.end + 1):
        for name, counts in counted.items():
            if step - (name == "output_count") in before:
                kept[name].append(counts.clone())
        owed += routed
        emitted = (owed >= 1).float()
        owed -= emitted
        outputs += emitted
        if step >= timing.score_from:
            rows.charge_scores(query @ key.transpose(-1, -2))
        spikes = rows.step() if step >= timing.attend_from else None
        v += signs * current
        fired = (v >= 1).float()
        v -= fired
        streams_sent += fired.sum(dim=(0, 2, 3, 4))
        by_head = fired.reshape(2, trials, 3, tokens, heads, width).transpose(3, 4)
        query, key = (by_head[0, :, stream] - by_head[1, :, stream] for stream in (0, 1))
        if spikes is not None:
            routed = spikes @ torch.cat([by_head[0, :, 2], by_head[1, :, 2]], dim=-1)
        sent = (torch.rand((trials, 3, *rate.shape)) < rate).float()
        inputs_sent += sent.sum(dim=(1, 2, 3))
        current = bias + sent @ weights
    kept["output_count"] = [one.unflatten(-1, (2, width)).transpose(-1, -2) for one in kept["output_count"]]
    return kept
