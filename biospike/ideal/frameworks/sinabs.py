"""Sinabs' own neurons `LIF` and `IAF`, read in version 3.1.3. Sinabs ships no attention layer.

With their defaults they emit floor(v/threshold) spikes a step if v >= threshold, subtract as many thresholds, and have
no floor. `LIF` multiplies its input by 1 - exp(-1/tau_mem) unless ``norm_input=False``.

tau_mem is kept in float32, and so are the numbers of spikes, whatever precision the input has; a threshold without a
dimension is then rounded to float32 when it is subtracted. The layer is given alpha = exp(-1/tau_mem) itself here
(``train_alphas``), and parameters as tensors in the precision to compute in.
"""

from __future__ import annotations

from typing import Any

from biospike.errors import InputError
from biospike.ideal.framework_lif import Sinabs
from biospike.ideal.frameworks.installed import load
from biospike.ideal.lif import DiscreteLIF

Tensor = Any

CONVENTIONS: dict[str, DiscreteLIF] = {
    "LIF": Sinabs(),
    "LIF, norm_input=False": Sinabs(norm_input=False),
    "IAF": Sinabs(alpha=1.0, norm_input=False),
}


def _layer(torch: Any, kind: DiscreteLIF, dtype: Any, v_th: float) -> Any:
    """Sinabs' layer of a convention, with another threshold."""
    if not isinstance(kind, Sinabs):
        raise InputError(f"sinabs has no neuron {kind}: its LIF and IAF are Sinabs")
    layers = load("sinabs.layers")
    threshold = torch.tensor([v_th], dtype=dtype)
    if kind.alpha == 1 and not kind.norm_input:
        return layers.IAF(spike_threshold=threshold, record_states=True)
    layer = layers.LIF(
        20.0, spike_threshold=threshold, train_alphas=True, norm_input=kind.norm_input, record_states=True
    )
    layer.alpha_mem.data = torch.tensor(kind.alpha, dtype=dtype)
    return layer


def drive(torch: Any, kind: DiscreteLIF, currents: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of spikes, and the membrane that was compared with the threshold, both (T, n), for currents (T, n)."""
    layer = _layer(torch, kind, currents.dtype, getattr(kind, "v_th", 1.0))
    spikes = layer(currents[None])[0]
    # The layer records the membrane after the reset. What was compared is read from a second layer, in which every
    # step is a sample of its own that starts where the first layer stood, and whose threshold is out of reach.
    start = torch.cat([torch.zeros_like(currents[:1]), layer.recordings["v_mem"][0, :-1]])
    twin = _layer(torch, kind, currents.dtype, torch.finfo(currents.dtype).max)
    twin.init_state_with_shape(start.shape)
    twin.v_mem = start
    twin(currents[:, None])
    return spikes, twin.recordings["v_mem"][:, 0]
