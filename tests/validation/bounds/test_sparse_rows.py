"""Sparse rows: which keys stay, what they leave out, and that their error follows the law of the circuit."""

import numpy as np
import pytest

from biospike.ideal.softmax import softmax, sparsemax
from validation.bounds.sparse import ALL, CODES, KEPT, SPARSE, SPARSEMAX, masked, measure
from validation.study.row_kinds import GIVEN

LOGITS = np.array([[3.0, 1.0, 2.0, 2.0, 0.5], [0.0, 0.1, 4.0, np.nan, np.nan]])


def test_the_largest_keys_stay():
    kept = ~np.isnan(masked(LOGITS, 2))
    np.testing.assert_array_equal(kept, [[True, False, True, False, False], [False, True, True, False, False]])
    np.testing.assert_array_equal(masked(LOGITS, 4)[1], LOGITS[1])  # it has three
    assert masked(LOGITS, ALL) is LOGITS


def test_sparsemax_rows_are_a_softmax_of_its_shares():
    np.testing.assert_allclose(softmax(masked(LOGITS, SPARSEMAX)), sparsemax(LOGITS), atol=1e-15)


@pytest.mark.long
def test_errors_follow_their_law_and_fall_with_the_keys():
    rows = np.random.default_rng(1).normal(size=(6, 12))
    every = measure(rows, 4, 1, "numpy")
    assert list(every.columns) == SPARSE
    left_out = every[every["kept"] == "2"].groupby("rows_kind")["left_out"].mean()
    assert left_out["peaked"] < left_out["given"] < left_out["flat"]
    table = every[every["rows_kind"] == GIVEN]
    assert len(table) == len(CODES) * (len(KEPT) + 2)
    assert (table["spikes"] > 150).all()
    escape = table[table["code"] == "escape"].set_index("kept")
    # 24 rows of several keys, each error within a factor of about 2: a standard error of a tenth.
    np.testing.assert_allclose(escape["tv"], escape["law"], rtol=0.4)
    assert escape.loc["2", "tv"] < escape.loc["all", "tv"]
    assert escape.loc["all", "left_out"] == 0
    by_keys = escape.loc[[str(k) for k in KEPT], "left_out"]
    assert (np.diff(by_keys) < 0).all()
