"""Squared errors of decoded inputs and of attention outputs, by three read-outs, and their closed forms.

Read-outs of an estimate X_hat of X, flattened; P projects on the principal subspace of the calibration half:

``plain``      X_hat
``projected``  mean + P(X_hat - mean); its error is the next one's plus what X has outside the subspace, at every T
``inside``     P X_hat, held against P X: the noise inside the subspace alone
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike.encoding import ENCODERS, Encoder, encode
from biospike.theory.design_rule import projection_loss
from circuits.presentation import present
from validation.rule.blocks import Padded
from validation.rule.inputs import InputSet

Array = NDArray[np.float64]

READ_OUTS = ("plain", "projected", "inside")
SPLITS = ("calibration", "validation")


def squared_errors(estimate: Array, truth: Array, mean: Array, basis: Array) -> Array:
    """Squared errors of the read-outs, summed over the values of a sample.

    Parameters
    ----------
    estimate, truth : array (..., values)
    mean, basis
        Of `rule_inputs.subspace`.

    Returns
    -------
    ndarray (len(READ_OUTS), ...)
    """
    noise = estimate - truth
    inside = ((noise @ basis) ** 2).sum(axis=-1)
    loss = np.broadcast_to(projection_loss(truth, mean, basis), inside.shape)
    return np.stack([(noise**2).sum(axis=-1), inside + loss, inside])


def count_variance(encoder: Encoder, x: ArrayLike, timesteps: ArrayLike) -> Array:
    """Variance of a value read from its spikes: x(1 - x)/T, x/(rate*T) or f(1 - f)/T^2, f the fraction of x*T.

    Bernoulli counts are binomial, Poisson counts have their mean as variance, and a regular train of random phase has
    one of the two whole numbers next to x*T. All are unbiased, so this is the mean squared error.
    """
    x, full = np.asarray(x, dtype=float), encoder.full_count(timesteps)
    if encoder.name == "bernoulli":
        return np.asarray(x * (1 - x) / full)
    if encoder.name == "poisson":
        return np.asarray(x / full)
    f = np.mod(x * full, 1.0)
    return np.asarray(f * (1 - f) / full**2)


def closed_form(encoder: Encoder, x: Array, timesteps: int, mean: Array, basis: Array) -> Array:
    """Expected squared errors of the read-outs of independently encoded values (samples, values).

    sum v, tr(P diag(v)) + the loss of the projection, and tr(P diag(v)), v being `count_variance`.

    Returns
    -------
    ndarray (len(READ_OUTS), samples)
    """
    variance = count_variance(encoder, x, timesteps)
    inside = variance @ (basis**2).sum(axis=1)
    return np.stack([variance.sum(axis=-1), inside + projection_loss(x, mean, basis), inside])


def encoding_errors(
    name: str, inputs: Sequence[InputSet], samples: int, trials: int, marks: Sequence[int], seed: int
) -> tuple[Array, Array, NDArray[np.int64], list[Array]]:
    """Encode the simulated inputs of all sets, and read them back.

    Returns
    -------
    measured, expected : ndarrays (sets, splits, samples, read_outs, checkpoints)
        Mean over trials; the closed forms.
    counts : ndarray (trials, values, checkpoints)
        Spikes of all values, set after set, in each half after half, sample after sample.
    deviations : list of ndarray (trial, checkpoint, sample, value)
        Of the values of every set, both halves.
    """
    encoder = ENCODERS[name]()
    sets = [one.simulated(samples).reshape(2, samples, -1) for one in inputs]
    counts = encode(encoder, np.concatenate([x.ravel() for x in sets]), marks, trials=trials, seed=seed)
    pieces = np.split(counts, np.cumsum([x.size for x in sets])[:-1], axis=1)
    measured, expected, deviations = [], [], []
    for one, x, piece in zip(inputs, sets, pieces, strict=True):
        estimate = np.moveaxis(piece.reshape(trials, *x.shape, len(marks)), -1, 1) / encoder.full_count(
            np.array(marks)[:, None, None, None]
        )
        deviations.append((estimate - x).reshape(trials, len(marks), 2 * samples, -1))
        errors = squared_errors(estimate, x, one.mean, one.basis)  # (read_outs, trials, checkpoints, splits, samples)
        measured.append(errors.mean(axis=1).transpose(2, 3, 0, 1))
        laws = np.stack([closed_form(encoder, x, steps, one.mean, one.basis) for steps in marks])
        expected.append(laws.transpose(2, 3, 1, 0))
    return np.stack(measured), np.stack(expected), counts, deviations


def attention_errors(
    study: Padded, softmax: str, encoder: str, trials: int, marks: Sequence[int], seed: int, target: str
) -> tuple[Array, Array, Array, xr.Dataset, Array]:
    """Run the attention of one set in windows of `marks` steps, each a run of its own.

    A row without attention spikes reads 0.

    Returns
    -------
    errors : ndarray (splits, samples, read_outs, checkpoints)
        Of the outputs against exact attention, mean over trials.
    spikes, silent : ndarrays (splits, checkpoints)
        Attention spikes of a row, and the fraction of rows without one.
    data : xarray.Dataset
        As of `circuits.presentation.present`.
    deviations : ndarray (trial, checkpoint, sample, value)
        Of the outputs.
    """
    n, d, block = study.inputs.tokens, study.inputs.features, study.of(softmax, encoder)
    windows = np.asarray(marks) * block.dt
    options = {"duration": windows[-1], "windows": windows, "trials": trials, "seed": seed}
    data = present(block, study.x, target=target, key_mask=study.key_mask, **options)
    output = block.read_out(data)["output"].isel(head=0, query=slice(n), unit=slice(d))
    read = output.transpose("checkpoint", "trial", "sample", "query", "unit").fillna(0.0).values
    read = read.reshape(*read.shape[:3], n * d)
    errors = squared_errors(read, study.truth, study.mean, study.basis)
    by_split = errors.mean(axis=2).reshape(*errors.shape[:2], len(SPLITS), -1).transpose(2, 3, 0, 1)
    spikes = data["attention_count"].isel(head=0, query=slice(n)).sum("key")
    by_row = spikes.transpose("sample", "trial", "query", "checkpoint").values
    by_row = by_row.reshape(len(SPLITS), -1, len(windows))
    return by_split, by_row.mean(axis=1), (by_row == 0).mean(axis=1), data, (read - study.truth).swapaxes(0, 1)
