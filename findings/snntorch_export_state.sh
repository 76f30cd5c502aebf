#!/usr/bin/env bash
# Exporting a snnTorch model to NIR leaves the sample in its membranes: the next spikes are others.
#
# Package   snntorch 1.0.0, nir 1.0.8, nirtorch 2.6, torch 2.13.0
# Expected  An export reads a model. It is given sample data to find shapes, as torch.onnx is, and the model that was
#           exported goes on as before, or from the rest to which it was just reset.
# Seen      The model is run on the sample, and with init_hidden=True, with which layers are put into Sequential, its
#           membranes keep what that did. The first spikes after an export are shifted for as long as the membranes
#           remember, here for ever; after a sample of zeros too, if a layer has a bias.
#
#               snntorch 1.0.0, nir 1.0.8
#               steps with a spike before the export:        [3, 8, 12, 16]
#               reset, exported with a sample of one, again: [0, 4, 8, 13, 17]
#               reset, exported, reset, again:               [3, 8, 12, 16]
#
# Matters   Whoever holds a file against the model that it was made from, in one session, compares two different starts,
#           and accuracy of the first sample after an export is wrong. Reset every layer after the export.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 torch==2.13.0 h5py==3.16.0
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps snntorch==1.0.0 nir==1.0.8 nirtorch==2.6
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import nir
import snntorch
import torch
from snntorch.export_nir import export_to_nir

leaky = snntorch.Leaky(beta=0.9 * torch.ones(1), threshold=torch.ones(1), init_hidden=True)
model = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), leaky)
model[0].weight.data[:] = 1


def spikes():
    """Steps with a spike of 20 under a constant input, from where the membrane is."""
    return [step for step in range(20) if model(torch.full((1,), 0.3)) > 0]


print(f"snntorch {snntorch.__version__}, nir {nir.version}")
before = spikes()
print("steps with a spike before the export:       ", before)
leaky.reset_mem()
export_to_nir(model, torch.ones(1))
after = spikes()
print("reset, exported with a sample of one, again:", after)
leaky.reset_mem()
export_to_nir(model, torch.ones(1))
leaky.reset_mem()
mended = spikes()
print("reset, exported, reset, again:              ", mended)
recorded = before == mended == [3, 8, 12, 16] and after == [0, 4, 8, 13, 17]
sys.exit(0 if recorded else "changed: what an export leaves behind is otherwise than recorded")
PY
