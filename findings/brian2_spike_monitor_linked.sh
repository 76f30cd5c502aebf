#!/usr/bin/env bash
# Brian2's SpikeMonitor records of a linked variable what another neuron sees.
#
# Package   Brian2 2.9.0, numpy 2.3.5
# Expected  SpikeMonitor(group, variables=["g"]) keeps the value that the spiking neuron reads, also of a variable that
#           is linked with an index of its own, linked_var(hub, "g", index="row"): as StateMonitor and group.g do.
# Seen      It takes the *number of the neuron* for the index into the linked group: neuron 0 is given hub.g[0], not
#           hub.g[row[0]]. Where the linked group is smaller the numpy target stops with an IndexError; where it is as
#           large the numbers are silently those of others, on the targets cython and cpp_standalone as well.
#
#               Brian2 2.9.0: neurons 0 to 3 read hubs 3, 3, 2, 0, whose g is 10, 20, 30, 40
#               group.g       40 40 30 10
#               StateMonitor  40 40 30 10
#               SpikeMonitor  10 20 30 40
#
# Matters   To whom records at spikes what a shared inhibition, a common gate or a population signal was. Record it with
#           a StateMonitor at the spikes' times, or keep it in a variable of the neuron's own by the reset.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 brian2==2.9.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import brian2
import numpy as np
from brian2 import NeuronGroup, SpikeMonitor, StateMonitor, linked_var, ms, prefs, run

prefs.codegen.target = "numpy"
hub = NeuronGroup(4, "g : 1")
hub.g = [10, 20, 30, 40]
neurons = NeuronGroup(4, "g : 1 (linked)\nrow : integer (constant)\nv : 1", threshold="v > 0", reset="v = 0")
neurons.row = [3, 3, 2, 0]
neurons.g = linked_var(hub, "g", index="row")
neurons.v = 1
spikes, states = SpikeMonitor(neurons, variables=["g"]), StateMonitor(neurons, "g", record=True)
run(0.1 * ms)
print(f"Brian2 {brian2.__version__}: neurons 0 to 3 read hubs 3, 3, 2, 0, whose g is 10, 20, 30, 40")
seen = {"group.g": neurons.g[:], "StateMonitor": states.g[:, 0], "SpikeMonitor": spikes.g[np.argsort(spikes.i[:])]}
for name, values in seen.items():
    print(f"{name:13s} {' '.join(f'{value:.0f}' for value in values)}")
right, wrong = [40, 40, 30, 10], [10, 20, 30, 40]
as_recorded = [list(values) for values in seen.values()] == [right, right, wrong]
sys.exit(0 if as_recorded else "changed: a linked variable is recorded at spikes otherwise than recorded here")
PY
