"""Norse's own neurons `LIFCell` and `LIFBoxCell`, read in version 1.1.0. Norse ships no attention layer.

Both test v > v_th, strictly. `LIFCell` adds its input to the synaptic current and uses the current in the same step, so
an impulse of 1 moves the membrane by .1 at once and to .17 in the next step; `LIFBoxCell` has no current: .1, then .09.

Defaults are tensors of float32 without a dimension, and stay so beside an input in float64: .001*100 is then
0.10000000149. Parameters are given here in the precision to compute in.
"""

from __future__ import annotations

from typing import Any

from biospike.errors import InputError
from biospike.ideal.framework_lif import Norse, NorseBox
from biospike.ideal.frameworks.installed import load
from biospike.ideal.lif import DiscreteLIF

Tensor = Any

CONVENTIONS: dict[str, DiscreteLIF] = {
    "LIFCell": Norse(),
    "LIFBoxCell": NorseBox(),
    "LIFBoxCell, subtract": NorseBox(reset="subtract"),
}


def _cell(torch: Any, kind: DiscreteLIF, dtype: Any, v_th: float) -> Any:
    """Norse's cell of a convention, with another threshold."""
    if not isinstance(kind, Norse | NorseBox):
        raise InputError(f"Norse has no neuron {kind}: its LIFCell and LIFBoxCell are Norse and NorseBox")
    values = {"tau_mem_inv": kind.tau_mem_inv, "v_leak": kind.v_leak, "v_th": v_th, "v_reset": kind.v_reset}
    if isinstance(kind, Norse):
        values["tau_syn_inv"] = kind.tau_syn_inv
    parameters: dict[str, Any] = {name: torch.tensor(value, dtype=dtype) for name, value in values.items()}
    norse = load("norse.torch")
    if isinstance(kind, Norse):
        return norse.LIFCell(norse.LIFParameters(**parameters), dt=kind.step)
    if kind.reset == "subtract":
        parameters["reset_method"] = load("norse.torch.functional.reset").reset_subtract
    return norse.LIFBoxCell(norse.LIFBoxParameters(**parameters), dt=kind.step)


def drive(torch: Any, kind: DiscreteLIF, currents: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes, and the membrane that was compared with the threshold, both (T, n), for currents (T, n)."""
    cell = _cell(torch, kind, currents.dtype, getattr(kind, "v_th", 0.0))
    # A cell keeps the membrane after the reset: what was compared is read from one that cannot reach its threshold.
    twin = _cell(torch, kind, currents.dtype, torch.finfo(currents.dtype).max)
    state = cell.initial_state(currents[0])
    spikes, membranes = torch.empty_like(currents), torch.empty_like(currents)
    for t, current in enumerate(currents):
        membranes[t] = twin(current, state)[1].v
        spikes[t], state = cell(current, state)
    return spikes, membranes
