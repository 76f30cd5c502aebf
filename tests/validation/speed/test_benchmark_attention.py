"""The check of what the benchmark times: outputs counted by hand, and wrong ones that it finds."""

import attrs
import pytest

from circuits.presentation import present
from validation.speed.attention import block_of, count_outputs, options, record_attention, verify_outputs


def test_outputs_counted_by_hand():
    """Query 0 attends to keys 0 and 40 at once, whose ON values spike: two spikes, one a step from the next step on."""
    attention = [[(0, 0), (0, 40)], [(1, 40)], [], []]
    values = [[(0, 0, 0), (40, 0, 0), (33, 0, 0)], [(40, 0, 1), (0, 0, 0)], [(40, 0, 0)], []]
    first, second, third = count_outputs(attention, values, 0, [1, 2, 3])
    assert first == {(0, 0, 0): 1}
    assert second == {(0, 0, 0): 2, (1, 0, 1): 1}
    assert third == second
    # What was emitted up to the onset does not count, what was owed then does.
    [later] = count_outputs(attention, values, 1, [2])
    assert +later == {(0, 0, 0): 1, (1, 0, 1): 1}


@pytest.mark.long
def test_a_wrong_output_is_found(monkeypatch):
    block, x = block_of(33, 1)
    block = attrs.evolve(block, tau_s="20 ms")
    given = options(150, 2, 1, block.dt)
    data = present(block, x, target="numpy", **given)
    recorded = record_attention(block, x, given)
    monkeypatch.setattr("validation.speed.attention.record_attention", lambda *_: recorded)
    assert verify_outputs(block, x, given, data) == ""
    for name in ("output_count", "attention_count"):
        wrong = data.copy(deep=True)
        wrong[name][0, 0, 0, -1, -1] += 1
        assert "not those of an independent loop" in verify_outputs(block, x, given, wrong)
    assert (
        verify_outputs(block, x, given, data.assign(output_count=0 * data["output_count"])) == "no output neuron spiked"
    )
