"""Errors of values within bands of rates: the encoder's own law over the band, and Hoeffding's promise at all."""

import numpy as np
import pytest

from biospike.encoding import Bernoulli
from validation.bounds.laws import hoeffding_mean_error
from validation.bounds.measure import measure_encoder, uniform_values
from validation.bounds.rate_bands import COLUMNS, RHO, rate_bands

FULL = 2 ** np.arange(3, 8)
TRIALS = 16


def test_bands_of_a_bernoulli_code_follow_its_law():
    x = uniform_values(64, TRIALS, 1)
    table = rate_bands({"encoder_bernoulli": measure_encoder("bernoulli", x, FULL, 1)})
    assert list(table.columns) == COLUMNS
    assert list(table["rho"]) == list(RHO)
    expected = Bernoulli().expected_error(x[..., None], FULL)
    for row in table.itertuples():
        inside = (x >= row.rho) & (x <= 1 - row.rho)
        assert row.values == inside.sum() / TRIALS
        law = expected[inside]
        # Four standard errors over trials: the interval is 2.13 of them on either side.
        assert abs(row.error - law[:, -1].mean()) < 4 * (row.high - row.low) / (2 * 2.13)
        ratio = (law.mean(axis=0) / hoeffding_mean_error(FULL)).max()
        assert row.margin == pytest.approx(ratio, rel=0.15)
        assert row.margin_low < row.margin < row.margin_high < 1
    # The middle errs most, and rare values most of what they are.
    assert table["error"].iloc[-1] > 1.2 * table["error"].iloc[0] > 0.01
    assert (np.diff(table["relative"]) < 0).all()


def test_bands_without_a_value_are_left_out():
    x = np.full((2, 3), 0.2)
    table = rate_bands({"encoder_regular": measure_encoder("regular", x, FULL, 1), "coins": measure_encoder(
        "regular, triangular", x, FULL, 1)})  # fmt: skip
    assert list(table["rho"]) == [rho for rho in RHO if rho <= 0.2]
