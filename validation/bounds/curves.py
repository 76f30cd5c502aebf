"""Error against spikes, one curve a code and error measure, with what theory says at the same points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from biospike import metrics
from biospike.encoding import ENCODERS, Bernoulli
from biospike.ideal.softmax import softmax
from biospike.order import Laws
from biospike.share_verdicts import evidence_of_rows
from biospike.tables import trial_means
from biospike.theory.rate_distortion import information_bound_spikes, paper_spikes, shannon_lower_bound_uniform
from biospike.verdicts import Evidence
from circuits import SOFTMAX_CIRCUITS
from validation.attention.measures import measure
from validation.attention.tables import FITTED_SPIKES, POPULATIONS, decompose
from validation.attention.verdicts import evidence
from validation.bounds import laws
from validation.bounds.measure import TRIANGULAR

Array = NDArray[np.float64]

ENCODER, SOFTMAX, UNIFORM, BLOCK, COINS = "encoder", "softmax", "softmax, uniform rows", "attention block", "coin flips"
REAL, SIMPLEX = "real", "uniform"
"""Sets of rows: of attention, and uniform on the simplex."""
FIRST_VALUE_SPIKES = 8.0
"""Encoders are fitted from so many spikes a value on: with fewer, the binomial has not reached its asymptote."""
FIRST_ROW_SPIKES = 30.0
COIN = 0.5
NAMES = {"head": "one head", "block": "all heads", "toy": "toy"}


@attrs.frozen(eq=False, kw_only=True)
class Curve:
    """Error of one code against its spikes.

    Attributes
    ----------
    family, code, metric : str
        `metric` is the error measure.
    counted : str
        What a spike is, on the axis of `spikes`.
    timesteps, spikes, spikes_row : ndarray (points,)
        Steps of the window; spikes against which the error is fitted; output spikes a row or value in the window.
    errors : ndarray (trials, points)
    law : ndarray (points,)
        Error that theory expects, NaN where there is no law.
    grid_error : ndarray (points,)
        Least error that any read-out N_i/N of these spikes can have, NaN for others.
    bits, information : ndarray (points,)
        Rate R(D) at the measured distortion, and spikes below which the read-out cannot carry it; NaN without a prior.
    log_bound : ndarray (points,)
        The same rate at one bit a spike, as the theory counts; for blocks its own rate. Not a bound.
    enough_error : dict
        Error that each published bound promises at these points; it is broken by a larger one.
    paper_constant : float
        Spikes times eps^2 in the published bound of the paper, L_f^2 n d or n^2.
    paper_bound : str
    limit_error : float
        Error in the limit of an infinite window, by the closed form.
    first_spikes : float
        Fits leave out what has fewer spikes.
    evidence : Evidence
        On order and floor, against `spikes`.
    """

    family: str
    code: str
    metric: str
    counted: str
    timesteps: Array
    spikes: Array
    spikes_row: Array
    errors: Array
    law: Array
    grid_error: Array
    bits: Array
    information: Array
    log_bound: Array
    enough_error: dict[str, Array]
    paper_constant: float
    paper_bound: str
    limit_error: float = 0.0
    first_spikes: float = FIRST_ROW_SPIKES
    evidence: Evidence

    @property
    def error(self) -> Array:
        """Mean over trials (points,)."""
        return np.asarray(self.errors.mean(axis=0))


def curves(raw: Mapping[str, xr.Dataset]) -> list[Curve]:
    """Curves of everything that was measured; keys start with the family (`spike_bounds.run`)."""
    found: list[Curve] = []
    for key, data in raw.items():
        kind = key.split("_")[0]
        found += {"encoder": _encoder, "softmax": _softmax, "block": _block, "coins": _coins}[kind](data)
    order = [ENCODER, SOFTMAX, UNIFORM, BLOCK, COINS]
    return sorted(found, key=lambda curve: order.index(curve.family))


def _encoder(data: xr.Dataset) -> list[Curve]:
    code = str(data.attrs["code"])
    x, estimate = data["x"].values[..., None], data["estimate"].transpose("trial", "value", "point").values
    steps, full = data["timesteps"].values, data["full_count"].values
    spikes = data["spikes"].mean(("trial", "value")).values
    if code == TRIANGULAR:
        law = np.full(len(steps), np.nan)
        rms_law = np.array([laws.regular_rms(laws.triangular_weights(int(T))) for T in steps])
    else:
        law = ENCODERS[code]().expected_error(x, steps).mean(axis=(0, 1))
        squares = {"bernoulli": (x * (1 - x)).mean() / full, "poisson": x.mean() / full, "regular": 1 / (6 * full**2.0)}
        rms_law = np.sqrt(squares[code])
    rms = np.sqrt(((estimate - x) ** 2).mean(axis=1))
    absolute = np.abs(estimate - x).mean(axis=1)
    reference = [
        Laws(*(ENCODERS[name]().expected_error(x, full).mean(axis=(0, 1)) for name in ("bernoulli", "regular"))),
        Laws(full**-0.5, 1 / full),  # of the mean square over values, x(1 - x)/N and 1/(6 N^2)
    ]
    evidence = [
        _evidence_of_values(estimate - x, errors, spikes, known)
        for errors, known in zip((absolute, rms), reference, strict=True)
    ]
    bits = shannon_lower_bound_uniform((rms**2).mean(axis=0))
    read = laws.train_spikes_for_bits(bits, steps) if code == TRIANGULAR else laws.spikes_for_bits(bits)
    none = np.full(len(steps), np.nan)
    shared: dict[str, Any] = {
        "family": ENCODER, "code": code, "counted": "input spikes a value", "timesteps": steps, "spikes": spikes,
        "spikes_row": spikes, "grid_error": none, "bits": bits, "information": read, "log_bound": bits,
        "paper_constant": 1.0, "paper_bound": "Theorem 8", "first_spikes": FIRST_VALUE_SPIKES,
    }  # fmt: skip
    hoeffding = {"Lemma 1 (Hoeffding)": laws.hoeffding_mean_error(full)}
    return [
        Curve(metric="mean absolute error", errors=absolute, law=law, enough_error=hoeffding, evidence=evidence[0],
              **shared),
        Curve(metric="rms error", errors=rms, law=rms_law, enough_error={}, evidence=evidence[1], **shared),
    ]  # fmt: skip


def _evidence_of_values(deviations: Array, errors: Array, spikes: Array, known: Laws) -> Evidence:
    """Evidence on decoded values, (trial, value, point); every value has a train of its own."""
    return Evidence(
        n=spikes, errors=errors, deviations=lambda point, some: deviations[:, some, point, None], laws=known,
        rows=deviations.shape[1], free=deviations.shape[1], independent=True,
    )  # fmt: skip


def _softmax(data: xr.Dataset) -> list[Curve]:
    return [*curves_of_rows(data, REAL, SOFTMAX), *curves_of_rows(data, SIMPLEX, UNIFORM)]


def curves_of_rows(data: xr.Dataset, prior: str, family: str = SOFTMAX) -> list[Curve]:
    """Curve of a circuit on one of the sets of rows of `validation.bounds.measure.measure_softmax`; none may."""
    mine = data.isel(row=np.flatnonzero(data["prior"].values == prior))
    return [_rows(mine, family)] if mine.sizes["row"] else []


def _rows(data: xr.Dataset, family: str) -> Curve:
    logits, steps = data["logits"].values, data["timesteps"].values.astype(float)
    p, keys = softmax(logits), (~np.isnan(logits)).sum(axis=1)
    circuit = SOFTMAX_CIRCUITS[str(data.attrs["circuit"])]()
    counts = data["spike_count"].transpose("checkpoint", "trial", "row", "key").values
    tv = metrics.total_variation(metrics.shares(counts), p)
    total = counts.sum(axis=-1)
    spikes, errors = total.mean(axis=(1, 2)), trial_means(tv).T
    limit = data["limit"].values
    expected = circuit.expected_tv(limit, total.astype(float), p)
    fired = np.where(total > 0, laws.nearest_counts_tv(p, np.maximum(total, 1)), np.nan)
    none = np.full(len(steps), np.nan)
    bits = information = none
    if family == UNIFORM:
        spoken = np.where((total > 0).all(axis=(1, 2)), errors.mean(axis=0), np.nan)  # silent rows have no TV
        bits = laws.simplex_bits(spoken, int(keys[0]))
        information = laws.spikes_for_bits(bits, int(keys[0]))
    with np.errstate(divide="ignore"):
        worst = np.sqrt((keys.mean() - 1) / (2 * np.pi * spikes))
    return Curve(
        family=family, code=circuit.name, metric="total variation", counted="output spikes a row", timesteps=steps,
        spikes=spikes, spikes_row=spikes, errors=errors,
        law=none if expected is None else trial_means(expected).mean(axis=-1),
        grid_error=trial_means(fired).mean(axis=-1), bits=bits, information=information, log_bound=bits,
        enough_error={"Lemma 3": np.minimum(keys.mean() / np.sqrt(steps), 1.0), "multinomial": worst},
        paper_constant=float((keys**2).mean()), paper_bound="Lemma 3",
        limit_error=float(metrics.total_variation(limit, p).mean()),
        evidence=evidence_of_rows(counts, p, independent=True),
    )  # fmt: skip


def _block(data: xr.Dataset) -> list[Curve]:
    steps = data["timesteps"].values.astype(float)
    tokens, features, width = data.sizes["query"], data.sizes["feature"], data.sizes["unit"]
    none, found = np.full(len(steps), np.nan), []
    for mode in map(str, data["mode"].values):
        mine, parts = measure(data, mode), decompose(data)
        of_mode = evidence(data, mode, mine)
        parts = parts[parts["mode"] == mode]
        total = sum(
            data.sel(mode=mode)[f"spikes_{name}"].mean(("trial", "sample")).values.astype(float) for name in POPULATIONS
        )
        assert isinstance(total, np.ndarray)
        row = mine.spikes.mean(axis=(1, 2))
        fitted = total[row >= FITTED_SPIKES]
        grid = np.where(mine.spikes > 0, laws.nearest_counts_tv(mine.limit_attention, np.maximum(mine.spikes, 1)), 0)
        shared: dict[str, Any] = {
            "family": BLOCK, "counted": "all spikes of a presentation", "timesteps": steps, "spikes": total,
            "code": f"{NAMES[data.attrs['block']]}, {data.attrs['encoder']} + {data.attrs['softmax']}, {mode}",
            "spikes_row": row, "bits": none, "information": none, "paper_bound": "Theorem 8",
            "paper_constant": float(paper_spikes(data.attrs["lipschitz"], tokens, features, 1.0)),
            "enough_error": {"Theorem 7": tokens * width / np.sqrt(steps)},
            "first_spikes": float(fitted[0]) if fitted.size else np.inf,
        }  # fmt: skip
        tv, rmse = mine.tv.T, mine.output_rmse.T
        size = (data.attrs["lipschitz"], tokens, features)
        rate = [_paper_rate(size, errors.mean(axis=0)) for errors in (tv, rmse)]
        found += [
            Curve(metric="attention TV", errors=tv, log_bound=rate[0], law=parts["tv_expected"].to_numpy(),
                  grid_error=grid.mean(axis=(1, 2)), evidence=attrs.evolve(of_mode["attention_tv"], n=total), **shared),
            Curve(metric="output rmse", errors=rmse, log_bound=rate[1], law=parts["output_expected"].to_numpy(),
                  grid_error=none, evidence=attrs.evolve(of_mode["output_rmse"], n=total), **shared),
        ]  # fmt: skip
    return found


def _paper_rate(size: tuple[float, int, int], error: Array) -> Array:
    """Spikes of one bit each that carry the rate of the paper; NaN where a row was silent."""
    known = error > 0
    return np.where(known, information_bound_spikes(*size, np.where(known, error, 1.0)), np.nan)


def _coins(data: xr.Dataset) -> list[Curve]:
    flips = data["flips"].values.astype(float)
    heads = data["heads"].transpose("trial", "repeat", "point").values
    none = np.full(len(flips), np.nan)
    errors = np.abs(heads / flips - COIN).mean(axis=1)
    law = Bernoulli().expected_error(COIN, flips)
    return [
        Curve(
            family=COINS, code="fair coin", metric="mean absolute error", counted="flips", timesteps=flips,
            spikes=flips, spikes_row=flips, errors=errors, law=law, grid_error=none, bits=none, information=none,
            log_bound=none, enough_error={"Lemma 1 (Hoeffding)": laws.hoeffding_mean_error(flips)}, paper_constant=1.0,
            paper_bound="Theorem 8", first_spikes=FIRST_VALUE_SPIKES,
            # A regular coin whose windows end anywhere errs by 1/(6 N) on average.
            evidence=_evidence_of_values(heads / flips - COIN, errors, flips, Laws(law, 1 / (6 * flips))),
        )
    ]  # fmt: skip
