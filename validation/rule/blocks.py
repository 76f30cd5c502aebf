"""Spiking attention blocks for input sets of any size, all of one shape, so that a circuit is compiled once.

A set is padded with tokens to which nobody attends and with features without spikes. One more feature, always 1,
carries the biases that centre queries and keys.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.encoding import ENCODERS
from circuits.attention import SpikingAttention, softmax_circuit
from validation.rule.inputs import InputSet, subspace

Array = NDArray[np.float64]

LOGIT_SPAN = 3.0
"""Nats between the largest and the smallest logit of a row, on average over rows."""
LARGEST_LOGIT = 8.0
"""The rows' reference potential starts at 12 nats and must pass the largest logit; where rows differ more from each
other than within, this bounds the weights instead of the span."""
VALUES = 2
"""Place of the values among queries, keys and values."""


@attrs.frozen(eq=False)
class Padded:
    """An input set in the shape of its block, and what the block would say in endless windows.

    Attributes
    ----------
    inputs : InputSet
    block : SpikingAttention
        One head, as wide as a token of the largest set; its scales are fitted to what is simulated.
    x : ndarray (2 * samples, tokens, features)
        Calibration inputs, then validation inputs.
    key_mask : ndarray of bool (tokens,)
    span : float
        Nats between the largest and the smallest logit, mean over rows.
    truth : ndarray (2 * samples, n*d)
        Exact outputs of `x`.
    mean, basis : ndarray
        Principal subspace of the exact outputs of the calibration half.
    row_rate : float, optional
        Attention spikes of a row and step; default that of `circuits.attention.softmax_circuit`.
    """

    inputs: InputSet
    block: SpikingAttention
    x: Array
    key_mask: NDArray[np.bool_]
    span: float
    truth: Array
    mean: Array
    basis: Array
    row_rate: float | None = None

    def of(self, softmax: str, encoder: str) -> SpikingAttention:
        """Block with another softmax circuit and encoder, by their names."""
        circuit = softmax_circuit(softmax)
        if self.row_rate is not None:
            circuit = attrs.evolve(circuit, rate=self.row_rate / circuit.dt)
        return attrs.evolve(self.block, softmax=circuit, encoder=ENCODERS[encoder]())


def pad(x: Array, shape: tuple[int, int]) -> Array:
    """Samples (samples, n, d) in the first tokens and features of (samples, *shape), and 1 as their last feature."""
    padded = np.zeros((len(x), shape[0], shape[1] + 1))
    padded[:, : x.shape[1], : x.shape[2]] = x
    padded[:, : x.shape[1], -1] = 1.0
    return padded


def attention_of(inputs: InputSet, samples: int, shape: tuple[int, int], seed: int) -> Padded:
    """Attention of one set with random weights, in the staged mode of the theorem.

    Queries and keys are random projections of the centred tokens, scaled so that the logits of a row span a few nats.
    The values are the tokens in a random orthonormal basis: the output has the size n*d of the input, and a change of
    the values changes it by no more, L_f = 1.

    Parameters
    ----------
    samples
        Simulated inputs of each half.
    shape
        Tokens and features to pad to.
    """
    d, rng = inputs.features, np.random.default_rng([seed, 3, inputs.tokens, inputs.features])
    simulated = inputs.simulated(samples).reshape(-1, inputs.tokens, d)
    seen = np.concatenate([inputs.calibration, simulated])
    mean = inputs.calibration.mean(axis=(0, 1))
    query, key = rng.standard_normal((2, d, d))
    z = np.einsum("sie,sje->sij", (seen - mean) @ query, (seen - mean) @ key)
    span = np.ptp(z, axis=-1).mean()
    factor = min(LOGIT_SPAN / span, LARGEST_LOGIT / np.abs(z).max())
    value = np.linalg.qr(rng.standard_normal((d, d)))[0]
    weights = np.zeros((3, shape[1] + 1, shape[1]))
    # Half of the factor each, so that neither queries nor keys are faint.
    for stream, matrix in enumerate((query * np.sqrt(factor), key * np.sqrt(factor), value)):
        weights[stream, :d, :d] = matrix
        weights[stream, -1, :d] = 0.0 if stream == VALUES else -mean @ matrix
    x = pad(simulated, shape)
    block = SpikingAttention(
        W_q=weights[0], W_k=weights[1], W_v=weights[2], mode="staged", score_scale=1.0,
        softmax=softmax_circuit("escape"),
    ).fitted(x)  # fmt: skip
    outputs = subspace(exact(block, inputs.calibration, inputs))
    return Padded(
        inputs, block, x, np.arange(shape[0]) < inputs.tokens, float(span * factor),
        exact(block, simulated, inputs), *outputs,
    )  # fmt: skip


def exact(block: SpikingAttention, x: Array, inputs: InputSet) -> Array:
    """Outputs of the block for endless windows, flattened: (samples, n*d); `x` is not padded."""
    output = block.ordinary(pad(x, (inputs.tokens, block.features - 1)))["output"].isel(head=0).values
    return np.asarray(output[..., : inputs.features].reshape(len(x), -1))
