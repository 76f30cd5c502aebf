"""What a run of the softmax comparison left, and what follows from its counts by no code of the study."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from biospike import load
from biospike.ideal.softmax import softmax
from biospike.share_verdicts import decide_rows

NUMBER = r"-?[\d.]+(?:e[-+]?\d+)?"


class Facts:
    """What one run left, and what follows from its counts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data: xr.Dataset = load(directory / "counts.nc")
        self.z = self.data["logits"].values
        self.p = softmax(self.z)
        self.names = list(self.data["circuit"].values)
        self.text = (directory / "report.md").read_text(encoding="utf-8")
        self.tables = {path.stem: pd.read_csv(path) for path in directory.glob("*.csv")}
        self.last = self.tables["summary"].groupby("circuit", sort=False).tail(1).set_index("circuit")
        self.fits = self.tables["convergence"].set_index("circuit")

    def counts(self, name: str) -> np.ndarray:
        """Counts (window, trial, row, key) of a circuit."""
        one = self.data["spike_count"].sel(circuit=name)
        return one.transpose("checkpoint", "trial", "row", "key").values

    def tv(self, name: str) -> np.ndarray:
        """Error of every trial in the longest window, mean over rows that spiked."""
        counts = self.counts(name)[-1].astype(float)
        total = counts.sum(axis=-1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return np.nanmean(np.abs(counts / total - self.p).sum(axis=-1) / 2, axis=-1)

    def rates(self, name: str) -> tuple[float, float, float]:
        """Spread over rows, fall under a nat less, rise at half of the logits, of spikes after the middle."""
        counts, steps = self.counts(name).sum(axis=-1), self.data["timesteps"].sel(circuit=name).values
        late = counts[-1] - counts[np.abs(steps[:-1] - steps[-1] / 2).argmin()]
        chosen = np.unique(np.linspace(0, len(self.z) - 1, min(len(self.z), 8)).round().astype(int))
        own = late.mean(axis=0)[chosen]
        lowered, scaled = (
            self.data[f"late_spikes_{how}"].sel(circuit=name).values for how in ("lowered", "scaled")
        )  # fmt: skip
        scatter = late.var(axis=0, ddof=1).mean() / len(late)
        spread = np.sqrt(max(late.mean(axis=0).var(ddof=1) - scatter, 0)) / late.mean() if len(self.z) > 1 else np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            return spread, np.log(own / lowered).mean(), np.log(scaled / own).mean()

    def held(self, name: str) -> bool:
        return bool((np.abs(self.rates(name)) < 0.05).all())

    def decision(self, name: str) -> Any:
        keys = (~np.isnan(self.z)).sum(axis=1)
        return decide_rows(self.counts(name), self.p, independent=True, keys=keys)


def says(printed: str, value: float) -> bool:
    """Whether a number is printed as it is, to the digits that it has, half a digit of rounding apart."""
    digits = re.sub(r"e.*", "", printed.lstrip("-+").rstrip("%"))
    exponent = int(printed.split("e")[1]) if "e" in printed else 0
    unit = 10.0 ** (exponent - (len(digits.split(".")[1]) if "." in digits else 0))
    if "." not in digits and exponent > 0:  # 1.2e+03 and the like
        unit = 10.0**exponent
    number = float(printed.rstrip("%")) / (100 if printed.endswith("%") else 1)
    return abs(number - value) <= 0.51 * unit / (100 if printed.endswith("%") else 1)


def parts_of(pattern: str, text: str) -> tuple[str, ...]:
    """What the groups of a pattern hold, which must be in the text."""
    match = re.search(pattern, text)
    assert match, f"no {pattern} in {text}"
    return match.groups()


def listed(words: str) -> list[str]:
    return re.split(r", | and ", words)
