#!/usr/bin/env bash
# Norse's LIFCell comes back from NIR with an input that is five times weaker.
#
# Package   norse 1.1.0, nir 1.0.8, nirtorch 2.6, torch 2.13.0
# Expected  norse.torch.to_nir and from_nir are a pair. With dt=1 in the export, which writes time constants in seconds,
#           and the default dt in the import, a LIFCell that went through a file should emit its own spikes.
# Seen      LIFCell adds its whole input to the current, and is exported as nir.CubaLIF with w_in = 1; in NIR's
#           equation, which the importer follows, a step adds dt/tau_syn = .2 of it. No warning, and no option of
#           either function makes them a pair: the cell that is imported needs inputs five times larger.
#
#               norse 1.1.0, nir 1.0.8, an impulse of 1, then 0
#               LIFCell:          membrane 0.1000 0.1700 0.2170 0.2465
#               through the file: membrane 0.0200 0.0340 0.0434 0.0493
#               400 steps of a random input: 149 spikes, through the file 9
#
# Matters   Networks of Norse's default neuron that are exchanged or deployed by NIR fall nearly silent. Multiply w_in
#           of every CubaLIF by tau_syn/dt before the file is written: 149 spikes again.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 torch==2.13.0 h5py==3.16.0
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps norse==1.1.0 nir==1.0.8 \
    nirtorch==2.6 # torchvision is not needed here
"$folder/venv/bin/python" -W ignore - <<'PY'
import importlib.metadata
import sys

import nir
import norse.torch as norse
import torch

fill = {"tau_syn_inv": 200.0, "tau_mem_inv": 100.0, "v_leak": 0.0, "v_th": 1.0, "v_reset": 0.0}
cell = norse.LIFCell(norse.LIFParameters(**{name: torch.full((1,), value) for name, value in fill.items()}))
linear = torch.nn.Linear(1, 1)
linear.weight.data[:], linear.bias.data[:] = 1, 0
model = norse.SequentialState(linear, cell)
imported = norse.from_nir(norse.to_nir(model, torch.zeros(1, 1), dt=1.0))


def run(net, inputs, keep):
    """Spikes, and what `keep` reads off the state, of every step."""
    state, spikes, seen = None, 0, []
    with torch.no_grad():
        for value in inputs:
            z, state = net(torch.full((1, 1), float(value)), state)
            spikes, seen = spikes + int(z.sum()), [*seen, keep(state)]
    return spikes, seen


def membrane(state):
    """The one membrane in a nested state: the last v of it."""
    found = []

    def walk(part):
        if hasattr(part, "v"):
            found.append(float(part.v.reshape(-1)[0]))
        elif isinstance(part, dict):
            [walk(one) for one in part.values()]
        elif hasattr(part, "__dict__") and not isinstance(part, torch.Tensor):
            [walk(one) for one in vars(part).values()]
        elif isinstance(part, (tuple, list)):
            [walk(one) for one in part]

    walk(state)
    return found[-1] if found else float("nan")


print(f"norse {importlib.metadata.version('norse')}, nir {nir.version}, an impulse of 1, then 0")
impulse = [1, 0, 0, 0]
own, other = (run(net, impulse, membrane)[1] for net in (model, imported))
print("LIFCell:          membrane", *(f"{v:.4f}" for v in own))
print("through the file: membrane", *(f"{v:.4f}" for v in other))
torch.manual_seed(0)
noise = (2 * torch.rand(400)).tolist()
before, after = (run(net, noise, membrane)[0] for net in (model, imported))
print(f"400 steps of a random input: {before} spikes, through the file {after}")
weaker = all(abs(b - a / 5) < 1e-6 for a, b in zip(own, other))
sys.exit(0 if weaker and before > 50 and after < before / 5 else "changed: the pair is otherwise than recorded")
PY
