"""Claims that are decided by an interval, or not at all."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from validation.softmax.claims import CLAIMS
from validation.study.results import Results

ENOUGH = {"circuit": ["race", "escape"], "spikes_per_row": 500.0, "trials": 8, "tv": 0.05, "tv_expected": 0.05}
ENOUGH |= {"tv_low": 0.049, "tv_high": 0.051, "bias_tv": 0.012, "bias_floor": 0.01}


def verdict(directory, about, **columns):
    """Verdict of a claim on two circuits whose longest windows differ from `ENOUGH` in some columns."""
    pd.DataFrame(ENOUGH | columns).to_csv(directory / "summary.csv", index=False)
    out = Results(directory)
    out.save("counts", xr.Dataset({"logits": (("row", "key"), np.array([[0.0, 1.0]]))}))
    (found,) = (one for one in CLAIMS.findings(out) if about in one.claim)
    assert "nan" not in found.sentence + found.interval
    return found.verdict


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, "holds"),
        ({"tv": [0.05, 0.0505]}, "holds"),
        ({"tv": [0.05, 0.054], "tv_low": [0.049, 0.053], "tv_high": [0.051, 0.055]}, "does not hold"),
        ({"tv": [0.05, 0.045], "tv_low": [0.049, 0.044], "tv_high": [0.051, 0.046]}, "does not hold"),
        ({"tv_low": [0.049, 0.04]}, "undecided: few trials of escape"),
        ({"tv_high": [0.06, 0.06]}, "undecided: few trials of race, escape"),
        ({"tv_low": np.nan, "tv_high": np.nan, "trials": 1}, "undecided: few trials of race, escape"),
        ({"tv": [0.05, 0.054], "tv_low": np.nan, "tv_high": np.nan}, "undecided: few trials of race, escape"),
    ],
)
def test_the_multinomial_law_is_decided_by_intervals(tmp_path, columns, expected):
    """Within 5 % of the law, or beyond it."""
    assert verdict(tmp_path, "for stochastic keys", **columns) == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, "holds: no bias resolved"),
        ({"bias_tv": [0.012, 0.03]}, "does not hold: escape"),
        ({"spikes_per_row": [500.0, 2.0]}, "undecided: too few spikes of escape to scatter"),
        ({"spikes_per_row": 2.0, "bias_tv": 0.3}, "undecided: too few spikes of race, escape to scatter"),
        ({"bias_floor": [0.01, 0.0]}, "undecided: too few spikes of escape to scatter"),
        ({"bias_floor": [0.0, 0.01], "bias_tv": 0.03}, "does not hold: escape"),
    ],
)
def test_a_bias_is_not_told_of_spikes_that_are_too_few_or_do_not_scatter(tmp_path, columns, expected):
    assert verdict(tmp_path, "common factor", **columns) == expected


def test_a_single_trial_measures_no_bias(tmp_path):
    assert verdict(tmp_path, "common factor", bias_floor=np.nan).startswith("not measured: a single trial")
