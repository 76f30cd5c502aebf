"""What attention spikes tend to, the ordinary attention of the same weights, and what counts of spikes stand for."""

from __future__ import annotations

import abc

import attrs
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from circuits.attention_rows import Rows
from circuits.streams import Streams
from circuits.token_circuit import as_samples


class AttentionLimit(Streams):
    """Streams of queries, keys and values, and what becomes of them; `circuits.attention` makes it of neurons.

    Attributes
    ----------
    score_scale : float or None
        Factor of the scores, in nats per query times key; None for width**-0.5.
    causal : bool
        Whether a token attends only to itself and those before it.
    rows : Rows
        How the keys of the rows are driven.
    """

    score_scale: float | None
    causal: bool

    @property
    @abc.abstractmethod
    def rows(self) -> Rows:
        """How the keys of the rows are driven."""

    @property
    def nats(self) -> NDArray[np.float64]:
        """Logit that one coincidence a step stands for, (heads,)."""
        q, k = self.known_scales[:2]
        return (self.width**-0.5 if self.score_scale is None else self.score_scale) / (q * k)

    def unmasked(self, key_mask: ArrayLike | None, samples: int, tokens: int) -> NDArray[np.bool_]:
        """As of `Streams`, without what comes after a token if the block is causal."""
        allowed = super().unmasked(key_mask, samples, tokens)
        allowed = allowed & np.tril(np.ones((tokens, tokens), dtype=bool)) if self.causal else allowed
        if not allowed.any(axis=-1).all():
            sample, query = np.argwhere(~allowed.any(axis=-1))[0]
            raise InputError(f"query {query} of sample {sample} may attend to no key: unmask at least one")
        return allowed

    def limit(self, x: ArrayLike, key_mask: ArrayLike | None = None) -> xr.Dataset:
        """Rate-domain attention to which the spikes converge.

        Under a common gate that is the exact softmax of products of `rates`; else the shares of the fixed point of the
        circuit's inhibition at the mean drive of such scores.

        Parameters
        ----------
        x : array (tokens, features) or (samples, tokens, features)
            Values in [0, 1].
        key_mask
            As of `unmasked`.

        Returns
        -------
        xarray.Dataset
            `logits` in nats, NaN where masked, and `attention` (sample, head, query, key); `output` (sample, head,
            query, unit).
        """
        return self.limit_of(as_samples(x, self.features), key_mask)

    def limit_of(self, y: NDArray[np.float64], key_mask: ArrayLike | None = None) -> xr.Dataset:
        """As `limit`, for inputs (samples, tokens, features) of any sign, such as residual values."""
        carried = self.signed_rates(y)
        logits = self.masked(self.logits_of(carried), key_mask)
        return self._attention(carried, logits, self.rows.shares(logits, y))

    def row_rates(self, x: ArrayLike, key_mask: ArrayLike | None = None) -> NDArray[np.float64]:
        """Attention spikes a step of every key in the limit, (samples, heads, queries, keys)."""
        y = as_samples(x, self.features)
        return self.rows.rates(self.masked(self.logits_of(self.signed_rates(y)), key_mask), y)

    def ordinary(self, x: ArrayLike, key_mask: ArrayLike | None = None) -> xr.Dataset:
        """Ordinary softmax attention of the same weights; variables as of `limit`."""
        units = self.units(as_samples(x, self.features))
        logits = self.masked(self.logits_of(units), key_mask)
        return self._attention(units, logits, softmax(logits.reshape(-1, logits.shape[-1])).reshape(logits.shape))

    def logits_of(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Queries times keys of (samples, tokens, streams, heads, width), nats, (samples, heads, queries, keys)."""
        scale = self.width**-0.5 if self.score_scale is None else self.score_scale
        return np.einsum("sihe,sjhe->shij", units[:, :, 0], units[:, :, 1]) * scale

    def masked(self, logits: NDArray[np.float64], key_mask: ArrayLike | None) -> NDArray[np.float64]:
        """Logits with NaN where a query may not attend."""
        samples, _, tokens, _ = logits.shape
        return np.where(self.unmasked(key_mask, samples, tokens)[:, None], logits, np.nan)

    def _attention(
        self, units: NDArray[np.float64], logits: NDArray[np.float64], attention: NDArray[np.float64]
    ) -> xr.Dataset:
        """Attention to values (samples, tokens, streams, heads, width), with the logits that it comes from."""
        output = np.einsum("shij,sjhe->shie", attention, units[:, :, 2])
        dims = ("sample", "head", "query", "key")
        return xr.Dataset(
            {"logits": (dims, logits), "attention": (dims, attention), "output": ((*dims[:3], "unit"), output)}
        )

    def read_out(self, data: xr.Dataset) -> xr.Dataset:
        """Scores, attention and outputs of the counts that `circuits.presentation.present` returns.

        Returns
        -------
        xarray.Dataset
            `logits` in nats and `attention`, (trial, sample, head, query, key, checkpoint); `output` (..., unit,
            checkpoint): signed routed spikes per attention spike of the row, in units of the values. NaN where a row
            has not spiked.
        """
        block = attrs.evolve(self, scales=data["scales"].values)
        spikes = data["attention_count"].sum("key")
        fired = spikes.where(spikes > 0)
        signed = data["output_count"].isel(sign=0).astype(float) - data["output_count"].isel(sign=1)
        return xr.Dataset(
            {
                "logits": data["coincidences"] * xr.DataArray(block.nats, dims="head") / data["timesteps"],
                "attention": data["attention_count"] / fired,
                "output": signed / (fired * xr.DataArray(block.known_scales[2], dims="head")),
            }
        ).transpose("trial", "sample", "head", "query", "key", "unit", "checkpoint")
