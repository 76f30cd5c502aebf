"""What the calibration of the design rule stores: labels of its errors, and the spike counts behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from biospike.encoding import ENCODERS
from validation.rule.blocks import Padded
from validation.rule.errors import READ_OUTS, SPLITS

ENCODING_ONLY = "encoding only"
"""In the place of a circuit: values read back from their own spikes."""

Runs = Sequence[tuple[str, str]]


def coordinates(runs: Runs, windows: NDArray[np.int64], blocks: Sequence[Padded]) -> dict[str, Any]:
    """Labels of runs (encoder, circuit), windows and input sets."""
    inputs = [block.inputs for block in blocks]
    coins = [float((one.calibration * (1 - one.calibration)).mean()) for one in inputs]
    norms = [float(np.sqrt((one.calibration**2).sum(axis=(1, 2)).mean())) for one in inputs]
    return {
        "encoder": ("run", [encoder for encoder, _ in runs]),
        "circuit": ("run", [circuit for _, circuit in runs]),
        "input_set": [one.name for one in inputs],
        "split": list(SPLITS),
        "read_out": list(READ_OUTS),
        "timesteps": ("checkpoint", windows),
        "kind": ("input_set", [one.kind for one in inputs]),
        "ambient": ("input_set", [one.ambient for one in inputs]),
        "d_eff": ("input_set", [one.d_eff for one in inputs]),
        "logit_span": ("input_set", [block.span for block in blocks], {"units": "nats"}),
        "coin_variance": ("input_set", coins),
        "input_norm": ("input_set", norms),
    }


def counted(data: xr.Dataset) -> xr.Dataset:
    """Spikes of the outputs and of the rows, out of what `circuits.presentation.present` returns."""
    rows = data["attention_count"].sum("key").isel(head=0)
    counts = {"output_count": data["output_count"].isel(head=0), "row_spikes": rows}
    return xr.Dataset({name: values.astype(np.int32).drop_vars("window_ms") for name, values in counts.items()})


def raw(
    runs: Runs,
    encoding: Sequence[int],
    blocks: Sequence[Padded],
    encoded: Sequence[NDArray[np.int64]],
    attended: Sequence[xr.Dataset],
) -> xr.Dataset:
    """All counts: of the encoders (encoder, encoder_trial, value, encoder_window), and of the attention.

    Values are those of the sets in their order, in each half after half and sample after sample; `attention_run` goes
    through encoders and circuits, and in each through the sets. Samples of the attention are those of the calibration
    half, then those of the validation half.
    """
    counts = np.stack(encoded).astype(np.int32)
    data = xr.Dataset(
        {"encoder_count": (("encoder", "encoder_trial", "value", "encoder_window"), counts)},
        coords={"encoder": list(ENCODERS), "encoder_window": list(encoding)},
    )
    if not attended:
        return data
    joined = xr.concat(attended, dim="attention_run").rename(checkpoint="window", timesteps="window_steps")
    named = [(*pair, block.inputs.name) for pair in runs if pair[1] != ENCODING_ONLY for block in blocks]
    labels = ("attention_encoder", "attention_circuit", "attention_input_set")
    columns = zip(labels, zip(*named, strict=True), strict=True)
    return data.merge(joined.assign_coords({name: ("attention_run", list(values)) for name, values in columns}))
