"""A block whose reference never spikes: nothing is told of it, and the report is made."""

import numpy as np
import pandas as pd

from validation.frameworks.report import _membranes, _reasons


def rows(framework, convention, steps=(1.0,)):
    """Rows of a silent block in ``summary.csv``."""
    return [
        {"model": "spike_driven", "block": "one", "framework": framework, "convention": convention, "dt_ms": dt}
        | {"mismatches": 0, "spikes": 0, "mismatch_fraction": np.nan, "diagnostics": "another neuron: silent"}
        | {"rate_biophysical": 0.0, "rate_reference": 0.0, "output_error": np.nan}
        for dt in steps
    ]


def test_of_a_silent_block_nothing_is_told():
    summary = pd.DataFrame(rows("snntorch", "subtract") + rows("biophysical", "LIF", (0.1, 0.5, 1.0)))
    (reasons,) = _reasons(summary)
    assert reasons == "* **snntorch, subtract:** the reference is silent in every block, so nothing is told."
    (text,) = _membranes(summary, pd.DataFrame({"van_rossum": []}), {"distances": True})
    assert "**LIF:** undecided, since the reference is silent in every block." in text
    assert "coarse version" not in text
    assert "nan" not in text


def test_a_silent_block_does_not_hide_one_that_fires():
    fires = rows("snntorch", "subtract")[0] | {"block": "two", "mismatches": 1, "spikes": 4, "mismatch_fraction": 0.25}
    (text,) = _reasons(pd.DataFrame([*rows("snntorch", "subtract"), fires]))
    assert "1 mismatches in 4 spikes of 2 blocks, at most 25.00% (spike_driven, two)" in text
