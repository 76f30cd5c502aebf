#!/usr/bin/env bash
# NEST's tsodyks2_synapse starts from a release probability of 0.5, whatever U is.
#
# Package   nest-simulator 3.10.0
# Expected  U is the release probability of a rested synapse. Of the two implementations of short-term plasticity,
#           tsodyks_synapse and tsodyks2_synapse, given the same U, both should pass weight*U with the first spike;
#           without facilitation (tau_fac = 0) the release probability is U at every spike.
# Seen      U sets only what u relaxes to; u itself keeps its default .5 unless it is given too. With weight 100 and
#           U = .1 the first spike passes 50 instead of 10, even with tau_fac = 0. With tau_fac = 1000 ms a
#           facilitating synapse hardly facilitates at all: 50, 54.6, 58.1 instead of 10, 18.8, 26.7.
#
#               NEST 3.10.0; U = 0.1, weight 100, spikes at 10, 20, 40 ms
#               tau_fac    0 ms  tsodyks_synapse             10.0 9.9 10.0
#               tau_fac    0 ms  tsodyks2_synapse            50.0 10.0 10.0
#               tau_fac    0 ms  tsodyks2_synapse, u = U     10.0 10.0 10.0
#               tau_fac 1000 ms  tsodyks_synapse             10.0 18.8 26.7
#               tau_fac 1000 ms  tsodyks2_synapse            50.0 54.6 58.1
#               tau_fac 1000 ms  tsodyks2_synapse, u = U     10.0 18.9 26.7
#
# Matters   Exchanging the model changes the first response fivefold, and facilitation for seconds. Pass u=U as well.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 nest-simulator==3.10.0
"$folder/venv/bin/python" -W ignore - <<'PY' | grep -E "^(NEST|tau_fac|changed)"
import sys

import nest
import numpy as np

nest.verbosity = nest.VerbosityLevel.ERROR


def jumps(model, **synapse):
    """Return the steps of the membrane of a neuron without leak or threshold, one for each of three spikes."""
    nest.ResetKernel()
    source = nest.Create("spike_generator", params={"spike_times": [10.0, 20.0, 40.0]})
    relay = nest.Create("parrot_neuron")  # generators cannot have plastic synapses
    state = {"E_L": 0.0, "V_m": 0.0, "V_th": 1e9, "V_reset": -1.0, "tau_m": 1e12}
    neuron = nest.Create("iaf_psc_delta", params=state)
    meter = nest.Create("multimeter", params={"record_from": ["V_m"], "interval": 0.1})
    nest.Connect(source, relay)
    nest.Connect(relay, neuron, syn_spec={"synapse_model": model, "weight": 100.0, "tau_rec": 1.0, **synapse})
    nest.Connect(meter, neuron)
    nest.Simulate(60.0)
    steps = np.diff(meter.events["V_m"])
    return steps[np.abs(steps) > 1e-6]


print(f"NEST {nest.__version__}; U = 0.1, weight 100, spikes at 10, 20, 40 ms")
first = {}
for tau_fac in (0.0, 1000.0):
    for name, model, more in (
        ("tsodyks_synapse", "tsodyks_synapse", {}),
        ("tsodyks2_synapse", "tsodyks2_synapse", {}),
        ("tsodyks2_synapse, u = U", "tsodyks2_synapse", {"u": 0.1}),
    ):
        seen = jumps(model, U=0.1, tau_fac=tau_fac, **more)
        first[tau_fac, name] = seen
        print(f"tau_fac {tau_fac:4.0f} ms  {name:26s} ", *(f"{step:.1f}" for step in seen))
as_recorded = all(
    len(first[tau_fac, name]) == 3 and abs(first[tau_fac, name][0] - value) < 1e-6
    for tau_fac in (0.0, 1000.0)
    for name, value in (("tsodyks_synapse", 10), ("tsodyks2_synapse", 50), ("tsodyks2_synapse, u = U", 10))
)
if not as_recorded:
    print("changed: the first release of a tsodyks synapse is otherwise than recorded")
    sys.exit(1)
PY
