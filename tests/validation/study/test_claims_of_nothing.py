"""A claim whose reading rests on a number that is not there has no verdict."""

import numpy as np
import pytest

from validation.study.claims import Claims, Finding, findings_text
from validation.study.results import Results


@pytest.mark.parametrize(
    ("sentence", "interval", "measured"),
    [
        (f"{np.nan:.2f} of the law", "", False),
        ("one of them", f"{np.nan:.0%} to 3%", False),
        ("governance of nanoseconds", "1 to 2", True),
    ],
)
def test_verdict(tmp_path, sentence, interval, measured):
    claims = Claims()
    claims.add("it", "biospike")(lambda results: Finding(sentence, interval, "holds"))
    findings = claims.findings(Results(tmp_path))
    expected = "holds" if measured else "not measured: a number that it rests on is not known"
    assert findings[0].verdict == expected
    assert ("holds" in findings_text(findings)) == measured
