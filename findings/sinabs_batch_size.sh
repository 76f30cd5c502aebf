#!/usr/bin/env bash
# A sinabs layer that meets a smaller batch goes on from randomly drawn samples of the last one.
#
# Package   sinabs 3.1.3, torch 2.13.0
# Expected  State belongs to a sample. Where the last batch of a data set is smaller, layers of other packages start
#           from rest, or raise an error; the k-th sample of a stream goes on from its own membrane at best.
# Seen      Every sample of the new batch goes on from the membrane of a sample of the old one that torch.randint drew.
#           Outputs of a model in eval mode then depend on the state of the random numbers, and two runs of one model on
#           one batch differ. No warning.
#
#               sinabs 3.1.3, IAF, batch of 4 with membranes 0.0, 0.2, 0.4, 0.6, then a batch of 3
#               seed 0: membranes go on from 0.0, 0.6, 0.2
#               seed 1: membranes go on from 0.2, 0.6, 0.0
#               20 seeds: 15 different starts
#
# Matters   Accuracy and spike counts of the last batch of every epoch, and of single samples shown after a batch, are
#           not reproducible. Call reset_states() before every batch, or drop the last.
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
from sinabs.layers import IAF

start = torch.tensor([0.0, 0.2, 0.4, 0.6])


def goes_on_from(seed):
    """Membranes from which a batch of 3 goes on after one of 4."""
    layer = IAF()
    with torch.no_grad():
        layer(start[:, None, None])
        torch.manual_seed(seed)
        layer(torch.zeros(3, 1, 1))
    return tuple(round(float(v), 1) for v in layer.v_mem[:, 0])


version = importlib.metadata.version("sinabs")
print(f"sinabs {version}, IAF, batch of 4 with membranes 0.0, 0.2, 0.4, 0.6, then a batch of 3")
for seed in (0, 1):
    print(f"seed {seed}: membranes go on from {', '.join(map(str, goes_on_from(seed)))}")
different = {goes_on_from(seed) for seed in range(20)}
print(f"20 seeds: {len(different)} different starts")
sys.exit(0 if len(different) > 1 else "changed: the state after another batch size does not depend on the seed")
PY
