"""Results of all chunks of a model, put together as tables."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import xarray as xr

from biospike.recording import versions
from validation.model import measure, tables
from validation.model.models import Array, Model, largest
from validation.model.options import Config
from validation.model.plan import LAYERS_AT, RATE, cells, chunks, conditions, draws, first_independent
from validation.model.predict import Terms, expected
from validation.model.spiking import SCALES, Condition

AXES = {"a": 1, "v": 2, "vx": 2, "s": 2, "regular": 2, "floor": 1, "streaming": 1, "by_probe": 1, "z": 0}
"""Terms of the law, and their axis of samples."""


class Measured:
    """Everything of one model, as it comes in."""

    def __init__(self, config: Config, model: Model) -> None:
        self.config, self.model, self.chosen = config, model, cells(config, model)
        self.conditions = list(dict.fromkeys(conditions(config, model)))
        self.biased = tuple(dict.fromkeys(own.circuit for own in self.conditions if own.biased))
        regular = {own.spikes for own in self.conditions if own.regular and own.by == "shares"}
        self.spikes = tuple(sorted(regular))
        self.calibrated = largest(model)
        self.laws: dict[int, Terms] = {}
        self.drawn: dict[tuple[Condition, int], dict[str, Array]] = {}

    def jobs(self) -> list[measure.Job]:
        """All work, the law first."""
        law = measure.Job(
            self.model,
            0,
            None,
            1,
            self.config.seed,
            self.calibrated,
            self.config.probes,
            self.chosen,
            self.spikes,
            self.biased,
        )
        found = [law._replace(chunk=chunk) for chunk in range(len(self.model.chunks))]
        for condition in dict.fromkeys(map(self.drawn_as, self.conditions)):
            own = law._replace(condition=condition, draws=draws(self.config, condition), spikes=(), biased=())
            found += [own._replace(chunk=chunk) for chunk in chunks(self.config, self.model, condition)]
        return found

    def drawn_as(self, condition: Condition) -> Condition:
        """Return the condition whose draws these are: by shares, circuits of one code and limit have the same."""
        if condition.by != "shares" or condition.biased:
            return condition
        names = (own.circuit for own in self.conditions if not own.biased and own.regular == condition.regular)
        return condition._replace(circuit=next(names))

    def add(self, job: measure.Job, result: dict[str, Array]) -> None:
        """Take a result."""
        if job.condition is None:
            self.laws[job.chunk] = result
        else:
            self.drawn[job.condition, job.chunk] = result

    def law(self, own: tuple[int, ...]) -> Terms:
        """Terms of some chunks, one after the other in the axis of samples; rows of shorter ones are padded with 0."""
        parts = [self.laws[chunk] for chunk in own]
        tokens = max(part["a"].shape[-1] for part in parts)

        def joined(name: str, axis: int) -> Array:
            values = [part[name] for part in parts]
            if name in ("a", "v", "regular"):
                values = [np.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, tokens - x.shape[-1])]) for x in values]
            return np.concatenate(values, axis=axis)

        return {name: joined(name, axis) for name, axis in AXES.items()}

    def exact(self, own: tuple[int, ...]) -> tables.Exact:
        """Return the exact model on some chunks."""
        z = np.concatenate([self.laws[chunk]["z"] for chunk in own])
        return tables.Exact.of(z, np.concatenate([self.model.chunks[chunk].places for chunk in own]), self.model.task)

    def outputs(self, condition: Condition, own: tuple[int, ...]) -> dict[str, Array]:
        """Draws of a condition over its chunks: samples one after the other, counts as means."""
        parts = [self.drawn[self.drawn_as(condition), chunk] for chunk in own]
        return {
            name: np.concatenate([part[name] for part in parts], axis=1) if parts[0][name].ndim > 1
            else np.mean([part[name] for part in parts], axis=0)
            for name in parts[0]
        }  # fmt: skip

    def predicted(self, condition: Condition, own: tuple[int, ...]) -> Array:
        """1 - cos of every sample by the law, by shares."""
        place = self.spikes.index(condition.spikes) if condition.regular and condition.by == "shares" else -1
        floor = self.biased.index(condition.circuit) if condition.biased else -1
        return expected(condition, self.law(own), None, place, floor)

    @property
    def law_error(self) -> float:
        """Standard error of the law from its probes, a fraction of it."""
        every = tuple(range(len(self.model.chunks)))
        width = self.laws[0]["z"].shape[-1]
        means = self.law(every)["by_probe"].mean(axis=1)
        if self.config.probes >= width or len(means) < 2:
            return 0.0
        return float(means.std(ddof=1) / np.sqrt(len(means)) / means.mean())


def tabulate(found: Measured) -> tuple[dict[str, pd.DataFrame], xr.Dataset]:
    """All tables of a model, and 1 - cos of every sample."""
    config, model = found.config, found.model
    every = tuple(range(len(model.chunks)))
    rows = [tables.exact_row(model, found.exact(every), config.seed)]
    law_error, independent = found.law_error, first_independent(config)
    layers, orders, samples = [], [], {}
    for condition in found.conditions:
        own = chunks(config, model, condition)
        exact, drawn = found.exact(own), found.outputs(condition, own)
        law = drawn["law"] if condition.by == "simulate" else found.predicted(condition, own)
        one = tables.errors(drawn["z"], exact)
        point = (condition, one.mean(axis=1), float(np.mean(law)))
        whole = condition.chosen == found.chosen
        if whole:
            rows.append(tables.summary_row(model, condition, exact, drawn, law, law_error, config.seed))
            samples[condition] = (exact.places, one.mean(axis=0), law if law.ndim == 1 else law.mean(axis=0))
        if condition.by == "shares" and condition.circuit == independent:
            if condition.block == "attention" and condition.spikes == LAYERS_AT:
                layers.append(point)
            if whole:
                orders.append(point)
    of = found.law(every)
    heads = tables.heads_table(model, of, SCALES.index(config.scale))
    clipped = tables.clipped_fraction(model, found.calibrated)
    budget = [
        tables.budget_row(model, place, of, clipped if scale == "calibrated" else 0.0, RATE)
        for place, scale in enumerate(SCALES)
    ]
    made = {
        "summary": pd.DataFrame(rows, columns=list(tables.SUMMARY_COLUMNS)), "heads": heads,
        "second_order": tables.second_order(model.name, sorted(orders, key=lambda point: point[0].spikes)),
        "layers": tables.layers_table(model, heads, layers, found.chosen), "budget": pd.DataFrame(budget),
    }  # fmt: skip
    return made, dataset(model, samples)


def dataset(model: Model, samples: dict[Condition, tuple[Array, Array, Array]]) -> xr.Dataset:
    """1 - cos of every sample and condition, mean over draws, and by the law; NaN where it was not run."""
    values = np.full((2, len(samples), model.samples), np.nan)
    for number, (places, error, law) in enumerate(samples.values()):
        values[:, number, places] = error, law
    named = {
        name: ("condition", [getattr(own, name) for own in samples]) for name in ("circuit", "block", "by", "spikes")
    }
    data = xr.Dataset(
        {"error": (("condition", "sample"), values[0]), "law": (("condition", "sample"), values[1])}, coords=named,
        attrs={"model": model.name, "versions": json.dumps(versions()), "biospike": "compare_model"},
    )  # fmt: skip
    data["error"].attrs = {"long_name": "1 - cos of the output, mean over draws", "units": "1"}
    data["law"].attrs = {"long_name": "1 - cos by the first-order law", "units": "1"}
    data["spikes"].attrs = {"long_name": "spikes of a row, by shares; 0 by simulate", "units": "spikes"}
    return data
