#!/usr/bin/env bash
# Sinabs' IAF comes back from NIR with a floor under its membrane that it never had.
#
# Package   sinabs 3.1.3, nir 1.0.4, nirtorch 2.0.2, torch 2.13.0
# Expected  IAF() has no lower bound (min_v_mem=None), nir.IF has none either, so that a model that is exported and
#           imported again by the same package emits the same spikes.
# Seen      The importer gives every nir.IF a floor at minus its threshold. Inhibition that went deeper is forgotten,
#           and the neuron fires where the exported one was still paying it back.
#
#               sinabs 3.1.3, nir 1.0.4
#               exported: min_v_mem None, 25 spikes in 200 steps
#               imported: min_v_mem -1.0, 81 spikes in 200 steps
#
# Matters   Converted networks with signed weights, that is nearly all: rates go up where inhibition is strong. Set
#           layer.min_v_mem = None after the import: 25 spikes again.
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

import nir
import torch
from sinabs.layers import IAF, IAFSqueeze
from sinabs.nir import from_nir, to_nir

STEPS = 200
# Ten steps of excitation, five of inhibition: on average .1 a step.
inputs = torch.tensor([0.75 if step % 15 < 10 else -1.2 for step in range(STEPS)])
model = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), IAF(spike_threshold=torch.ones(1)))
model[0].weight.data[:] = 1
graph = to_nir(model, torch.zeros(1, 1, 1))
model[1].reset_states()
imported = from_nir(graph, batch_size=1)
again = next(layer for layer in imported.modules() if isinstance(layer, IAFSqueeze))
linear = next(layer for layer in imported.modules() if isinstance(layer, torch.nn.Linear))
with torch.no_grad():
    before = int(model(inputs[None, :, None]).sum())
    after = int(again(linear(inputs[:, None])).sum())
print(f"sinabs {importlib.metadata.version('sinabs')}, nir {nir.version}")
print(f"exported: min_v_mem {model[1].min_v_mem}, {before} spikes in {STEPS} steps")
print(f"imported: min_v_mem {float(again.min_v_mem)}, {after} spikes in {STEPS} steps")
recorded = model[1].min_v_mem is None and float(again.min_v_mem) == -1 and after > 1.5 * before
sys.exit(0 if recorded else "changed: a neuron comes back from NIR otherwise than recorded")
PY
