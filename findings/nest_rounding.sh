#!/usr/bin/env bash
# NEST rounds a refractory period and an off-grid spike time up, and a delay to the nearest step.
#
# Package   nest-simulator 3.10.0 (resolution .1 ms)
# Expected  One simulator, one rule: 1.04 ms and 2.04 ms lie nearest to 1.0 and 2.0 ms; the delay 1.04 ms becomes 1.0,
#           and is reported as 1.0.
# Seen      t_ref = 2.01 ms lasts a whole step longer than 2.00, while t_ref still reads 2.01; a spike of a
#           spike_generator (allow_offgrid_times) at 1.01 ms comes at 1.1.
#
#               NEST 3.10.0, resolution 0.1 ms
#               delay 1.04 ms acts as 1.0 ms, is reported as 1
#               delay 1.06 ms acts as 1.1 ms, is reported as 1.1
#               t_ref 2.0 ms: interval 2.1 ms, is reported as 2.0
#               t_ref 2.01 ms: interval 2.2 ms, is reported as 2.01
#               t_ref 2.06 ms: interval 2.2 ms, is reported as 2.06
#               spike at 1.01 ms is sent at 1.1 ms
#
# Matters   Values drawn from a distribution (delays, refractory periods, recorded spike times) are biased differently:
#           delays by 0, the others by half a step on average. Round them to the grid yourself.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 nest-simulator==3.10.0
"$folder/venv/bin/python" -W ignore - <<'PY' | grep -E "^(NEST|delay|t_ref|spike|changed)"
import sys

import nest
import numpy as np

nest.verbosity = nest.VerbosityLevel.ERROR


def arrival(spike, delay):
    """Return when a relay fires that a generator reaches through a delay, and the delay that NEST reports (ms)."""
    nest.ResetKernel()
    source = nest.Create("spike_generator", params={"allow_offgrid_times": True, "spike_times": [spike]})
    relay, recorder = nest.Create("parrot_neuron"), nest.Create("spike_recorder")
    nest.Connect(source, relay, syn_spec={"delay": delay})
    nest.Connect(relay, recorder)
    nest.Simulate(10.0)
    return float(recorder.events["times"][0]), nest.GetConnections(source, relay).delay


def interval(t_ref):
    """Return the interval (ms) of a neuron that fires at every chance, and the period that NEST reports."""
    nest.ResetKernel()
    neuron, recorder = nest.Create("iaf_psc_delta", params={"t_ref": t_ref, "I_e": 1e6}), nest.Create("spike_recorder")
    nest.Connect(neuron, recorder)
    nest.Simulate(50.0)
    return float(np.diff(recorder.events["times"])[1]), neuron.t_ref


print(f"NEST {nest.__version__}, resolution {nest.resolution} ms")
seen = []
for delay in (1.04, 1.06):
    time, said = arrival(1.0, delay)
    seen.append(time - 1.0)
    print(f"delay {delay} ms acts as {time - 1.0:.1f} ms, is reported as {said:.4g}")
for t_ref in (2.0, 2.01, 2.06):
    time, said = interval(t_ref)
    seen.append(time)
    print(f"t_ref {t_ref} ms: interval {time:.1f} ms, is reported as {said}")
sent = arrival(1.01, 1.0)[0] - 1.0
seen.append(sent)
print(f"spike at 1.01 ms is sent at {sent:.1f} ms")
if not np.allclose(seen, [1.0, 1.1, 2.1, 2.2, 2.2, 1.1], rtol=0, atol=1e-9):
    print("changed: NEST rounds otherwise than recorded")
    sys.exit(1)
PY
