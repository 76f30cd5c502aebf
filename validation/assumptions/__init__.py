"""The audit of idealised assumptions: one function an assumption, each a list of sweeps of one knob."""

from __future__ import annotations

from collections.abc import Callable

from validation.assumptions.keys import device, encoding, fluctuation, grid, independence, inhibition, logits, membrane
from validation.assumptions.lab import Lab
from validation.assumptions.sweep import Sweep

ASSUMPTIONS: dict[str, Callable[[Lab], list[Sweep]]] = {
    "membrane_leak": membrane.membrane_leak,
    "reset_rule": membrane.reset_rule,
    "threshold_convention": membrane.threshold_convention,
    "refractory_period": membrane.refractory_period,
    "inhibitory_delay": inhibition.inhibitory_delay,
    "inhibitory_time_constant": inhibition.inhibitory_time_constant,
    "inhibitory_strength": inhibition.inhibitory_strength,
    "synaptic_filtering": fluctuation.synaptic_filtering,
    "grid_step": grid.grid_step,
    "grid_ties": grid.grid_ties,
    "saturation": grid.saturation,
    "input_code": encoding.input_code,
    "independence": independence.independence,
    "jensen_bias": fluctuation.jensen_bias,
    "equal_logits": logits.equal_logits,
    "logit_range": logits.logit_range,
    "number_of_keys": logits.number_of_keys,
    "threshold_spread": device.threshold_spread,
    "time_constant_spread": device.time_constant_spread,
    "finite_precision": device.finite_precision,
}
"""By the name that the command line knows, in the order of the report."""
NOT_OF_ROWS = ("input_code", "independence", "equal_logits", "logit_range", "number_of_keys")
"""Those whose inputs are tokens, or rows that are the knob: the others receive rows of attention."""
