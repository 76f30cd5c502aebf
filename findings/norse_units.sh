#!/usr/bin/env bash
# Norse documents rates in 1/ms and counts in 1/s: its own parameters of a biological neuron never fire.
#
# Package   norse 1.1.0, torch 2.13.0
# Expected  LIFParameters documents tau_mem_inv and tau_syn_inv "in 1/ms" and potentials in mV, and norse ships
#           default_bio_parameters with tau_mem_inv = 1/20, tau_syn_inv = 1/.5, -65 and -50 mV. With them a LIFCell has
#           a membrane of 20 ms, and an input that lifts it far above the threshold makes it fire.
# Seen      A step is dt = .001 by default, in seconds, and rates are multiplied by it as they stand: the membrane of
#           20 ms takes 20 s. After a second of an input whose steady state is 65 mV above the threshold it has moved by
#           4 of the 15 mV. With the rates times 1000 it fires.
#
#               norse 1.1.0, default_bio_parameters, a second of a steady input of 80 mV
#               as shipped:        -61.1 mV, 0 spikes
#               rates times 1000:  200 spikes
#               with dt=1 (in ms): 200 spikes
#
# Matters   Who takes rates from the documentation, or the shipped parameters, gets neurons a thousand times too slow,
#           silent or nearly so, and no error. Give rates in 1/s, or pass dt=1 to every cell.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 torch==2.13.0 h5py==3.16.0
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps norse==1.1.0 nir==1.0.8 \
    nirtorch==2.6 # torchvision is not needed here
"$folder/venv/bin/python" -W ignore - <<'PY'
import importlib.metadata
import inspect
import sys

import norse.torch as norse
import torch
from norse.torch.functional import lif
from norse.torch.functional.lif import default_bio_parameters as bio
from norse.torch.functional.lif import LIFFeedForwardState


def run(parameters, dt):
    """Membrane after 1000 steps, and spikes, of a current that is held at 80 mV."""
    cell = norse.LIFCell(parameters, dt=dt)
    state = LIFFeedForwardState(v=torch.full((1,), -65.0), i=torch.full((1,), 80.0))
    spikes = 0
    with torch.no_grad():
        for _ in range(1000):
            z, state = cell(80.0 - state.i, state)  # the current decays in every step, and is filled up again
            spikes += int(z)
    return float(state.v), spikes


print(f"norse {importlib.metadata.version('norse')}, default_bio_parameters, a second of a steady input of 80 mV")
per_second = bio._replace(tau_mem_inv=1000 * bio.tau_mem_inv, tau_syn_inv=1000 * bio.tau_syn_inv)
v, shipped = run(bio, 0.001)
_, times_1000 = run(per_second, 0.001)
_, in_ms = run(bio, 1.0)
print(f"as shipped:        {v:.1f} mV, {shipped} spikes")
print(f"rates times 1000:  {times_1000} spikes")
print(f"with dt=1 (in ms): {in_ms} spikes")
documented = "in 1/ms" in inspect.getsource(lif)
recorded = documented and shipped == 0 and times_1000 == in_ms > 100
sys.exit(0 if recorded else "changed: units are otherwise than recorded")
PY
