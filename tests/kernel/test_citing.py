"""References of circuits: every key has an entry, and what is cited is what was used."""

import re
from typing import Any

import numpy as np
import pytest

from biospike import InputError, cite
from biospike.citing import ALWAYS, bibliography
from circuits import SOFTMAX_CIRCUITS, SpikingAttention
from circuits.softmax import Escape, Race, Shunting


def test_every_key_of_a_circuit_has_an_entry_and_every_entry_a_key():
    from circuits import Coincidence, Stack, TaylorExponential, VetoExponential  # noqa: PLC0415

    kinds: list[Any] = [
        *SOFTMAX_CIRCUITS.values(),
        SpikingAttention,
        Coincidence,
        Stack,
        TaylorExponential,
        VetoExponential,
    ]
    named = {key for kind in kinds for key in kind.references}
    assert named | set(ALWAYS) == set(bibliography())
    for key, entry in bibliography().items():
        assert entry.count("{") == entry.count("}"), key
        assert re.search(r"^  (year|version) = ", entry, re.MULTILINE), key


def test_what_a_block_is_made_of_is_cited_too_and_each_once():
    ones = np.ones((2, 2))
    block = SpikingAttention(ones, ones, ones, softmax=Race())
    found = re.findall(r"^@\w+\{(\w+)", cite(block, Race, Escape()), re.MULTILINE)
    assert found == [*ALWAYS, "guo2026", "gerstner2014", "luce1959"]
    assert "10.1162/neco.1997.9.5.1001" in cite(Shunting)
    assert "VERSION" not in cite()


def test_what_has_no_references_is_refused():
    with pytest.raises(InputError, match="no circuit"):
        cite(3)
