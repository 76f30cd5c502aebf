#!/usr/bin/env bash
# Sinabs' MembraneReset(reset_value) adds the value to every neuron in every step, spike or not.
#
# Package   sinabs 3.1.3, torch 2.13.0
# Expected  The argument is documented as the value to which a neuron is reset: one that spiked goes there, others stay
#           where they are. A leaky neuron without input, reset to -.2, then stays at 0, and reset to .2 never fires.
# Seen      The value is added to all membranes, whether they spiked or not, in every step: without any input a neuron
#           drifts to value/(1 - alpha), fires by itself if that is above its threshold, and is silenced by a value
#           below rest. With the default value 0 nothing shows.
#
#               sinabs 3.1.3, LIF(tau_mem=20), no input, 200 steps
#               reset_value  0.00: membrane at the end  0.000, 0 spikes
#               reset_value -0.20: membrane at the end -4.101, 0 spikes
#               reset_value  0.02: membrane at the end  0.410, 0 spikes
#               reset_value  0.20: membrane at the end  0.390, 33 spikes
#
# Matters   Every model whose reset is not 0, as those with a rest of their own or an after-hyperpolarisation: silent
#           neurons get a current that nobody gave them. Reset to 0 and shift threshold and input instead.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 torch==2.13.0 h5py==3.16.0 \
    pbr==7.1.3 matplotlib==3.11.2
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps sinabs==3.1.3 nir==1.0.4 \
    nirtorch==2.0.2 # samna, for chips, is not needed here
"$folder/venv/bin/python" -W ignore - <<'PY'
import importlib.metadata
import sys

import torch
from sinabs.activation import MembraneReset
from sinabs.layers import LIF

print(f"sinabs {importlib.metadata.version('sinabs')}, LIF(tau_mem=20), no input, 200 steps")
found = {}
for value in (0.0, -0.2, 0.02, 0.2):
    layer = LIF(tau_mem=20.0, reset_fn=MembraneReset(reset_value=value))
    with torch.no_grad():
        spikes = int(layer(torch.zeros(1, 200, 1)).sum())
    found[value] = (float(layer.v_mem), spikes)
    print(f"reset_value {value:5.2f}: membrane at the end {found[value][0]:6.3f}, {spikes} spikes")
alpha = 0.951229424500714  # exp(-1/20)
# Before the value is added, the membrane has decayed: v = alpha*v + value in every step.
drift = all(abs(found[value][0] - value / (1 - alpha) * (1 - alpha**200)) < 1e-3 for value in (-0.2, 0.02))
sys.exit(0 if drift and found[0.0] == (0.0, 0) and found[0.2][1] > 0 else "changed: a reset does not touch all neurons")
PY
