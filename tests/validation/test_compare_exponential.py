"""The study of the exponentials: its estimates meet the closed forms, and it refuses what it cannot run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from validation import compare_exponential
from validation.compare_exponential import CLAIMS, Config, _closed_form, prepare, report, run
from validation.study.results import Results


def test_estimates_are_those_of_the_closed_forms() -> None:
    config = Config(ranges=(1.0,), steps=200, trials=40, quiet=True)
    table = run(config, prepare(config))
    assert set(table["circuit"]) == {"taylor independent", "taylor identical", "veto"}
    scattering = table[table["relative_sd_predicted"] > 0]
    assert len(scattering) == 3 + 3 + 4
    # Means within 4.5 standard errors of their expectation, with the closed-form variance: 10 values, p below 1e-4.
    error = scattering["relative_sd_predicted"] * scattering["exact"] / np.sqrt(config.trials)
    assert (np.abs(scattering["estimate"] - scattering["predicted"]) < 4.5 * error).all()
    # What nothing scatters is exact up to the truncation of the series, 1e-6.
    rest = table[table["relative_sd_predicted"] == 0]
    np.testing.assert_allclose(rest["estimate"], rest["predicted"], rtol=1e-12)
    np.testing.assert_allclose(rest["estimate"], rest["exact"], rtol=2e-6)
    # A standard deviation of 40 readings has a relative error of about 1/sqrt(80): 4.5 of them.
    ratio = scattering["relative_sd"] / scattering["relative_sd_predicted"]
    assert ((ratio > 1 - 4.5 / np.sqrt(80)) & (ratio < 1 + 4.5 / np.sqrt(80))).all()


def test_main_writes_its_files(tmp_path: Path) -> None:
    compare_exponential.main(Config(ranges=(0.5,), steps=20, trials=2, out=tmp_path, quiet=True))
    names = {"summary.csv", "report.md", "exponential.png", "exponential.pdf"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert "taylor identical" in (tmp_path / "report.md").read_text()


def test_a_reading_without_a_spike_is_told(tmp_path: Path) -> None:
    """An estimate of 0 is infinitely far from e^z, and no number is taken of its logarithm."""
    row = {"M": 8.0, "z": -8.0, "estimate": 0.0, "low": 0.0, "high": 0.0, "exact": np.exp(-8.0)}
    row |= {"predicted": np.exp(-8.0), "relative_sd": 0.0, "relative_sd_predicted": 10.0}
    row |= {"trials": 100, "timesteps": 50}
    near = row | {"z": 0.0, "estimate": 1.1, "exact": 1.0, "predicted": 1.0}
    names = ("taylor independent", "taylor identical", "veto")
    table = pd.DataFrame([one | {"circuit": name} for name in names for one in (near, row)])
    text = report(Config(), table, [])
    assert text.count("at worst 0 of e^z (M = 8, z = -8)") == 3
    table.to_csv(tmp_path / "summary.csv", index=False)
    found, of_range = CLAIMS.findings(Results(tmp_path))
    assert of_range.verdict == "not measured: one range does not tell"
    assert found.verdict == "does not hold"
    assert "independent copies: at worst 0 of e^z" in found.sentence
    assert "nan" not in text + found.sentence


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranges": ()}, "--ranges must be above 0"),
        ({"ranges": (9.0,)}, "at most 8 nats, got 9.0"),
        ({"steps": 9}, "--steps must be at least 10, got 9"),
        ({"trials": 1}, "--trials must be at least 2, got 1"),
        ({"target": "cpp_standalone"}, "--target cpp_standalone: unknown; accepted: auto, numpy"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(Config(**options))


def test_readings_without_scatter_are_not_counted_as_outside_their_interval():
    """A rate of 0 or 1 has no interval: of two such readings one is the closed form, one is off."""
    rows = pd.DataFrame({
        "estimate": [1.0 + 1e-12, 2.0, 3.0, 4.0], "predicted": [1.0, 2.1, 3.0, 5.0],
        "low": [1.0 + 1e-12, 2.0, 2.9, 3.9], "high": [1.0 + 1e-12, 2.0, 3.1, 4.1],
        "relative_sd_predicted": [0.0, 0.0, 0.1, 0.1],
    })  # fmt: skip
    said = _closed_form(rows)
    assert "in 1 of 2 readings that scatter" in said
    assert "1 of 2 readings without scatter equal it" in said
    assert "readings that scatter" not in _closed_form(rows[:2])
    assert "without scatter" not in _closed_form(rows[2:])
