#!/usr/bin/env bash
# Brian2's smooth_rate halves a constant rate at both ends, and returns more samples than there are times.
#
# Package   Brian2 2.9.0, numpy 2.3.5
# Expected  A constant rate stays constant under smoothing, and smooth_rate returns one value for each time of the
#           monitor.
# Seen      Outside the recording the rate is taken to be 0, so that the first and last values are about half the true
#           rate. When the window (41 to 801 steps here) is longer than the recording, the result has the length of the
#           *window*: more values than monitor.t, at times that nothing tells, none of them the true rate.
#
#               Brian2 2.9.0: 10 neurons that fire at 10000 Hz, 200 steps of .1 ms
#               flat      5 ms: 200 values, first 5098, middle 10000, last 5098, mean 9363 Hz
#               flat     30 ms: 301 values, first 3322, middle 6645, last 3355, mean 5541 Hz
#               gaussian  1 ms: 200 values, first 5208, middle 10000, last 5208, mean 9635 Hz
#               gaussian  5 ms: 201 values, first 4958, middle 9989, last 5042, mean 8173 Hz
#               gaussian 20 ms: 801 values, first 459, middle 4011, last 466, mean 2448 Hz
#
# Matters   Means over smoothed rates are too low, by a share that grows with the window: transients "rise" at the start
#           of every run, and short runs read a fraction of their rate. Drop two widths at each end; check lengths.
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
from brian2 import Hz, NeuronGroup, PopulationRateMonitor, ms, prefs, run

prefs.codegen.target = "numpy"
neurons = NeuronGroup(10, "v : 1", threshold="True", reset="")  # every neuron fires in every step
monitor = PopulationRateMonitor(neurons)
run(20 * ms)
print(f"Brian2 {brian2.__version__}: 10 neurons that fire at 10000 Hz, {len(monitor.t)} steps of .1 ms")
seen = {}
for window, width in (("flat", 5), ("flat", 30), ("gaussian", 1), ("gaussian", 5), ("gaussian", 20)):
    rate = np.asarray(monitor.smooth_rate(window=window, width=width * ms) / Hz)
    seen[window, width] = rate
    print(
        f"{window:8s} {width:2d} ms: {len(rate)} values, first {rate[0]:.0f}, middle {rate[len(rate) // 2]:.0f},"
        f" last {rate[-1]:.0f}, mean {rate.mean():.0f} Hz"
    )
as_recorded = (
    bool(np.all(np.asarray(monitor.rate / Hz) == 10000))
    and [len(rate) for rate in seen.values()] == [200, 301, 200, 201, 801]
    and 5000 <= seen["flat", 5][0] < 5200
    and 5000 <= seen["gaussian", 1][0] < 5250
    and seen["gaussian", 20].max() < 5000
)
sys.exit(0 if as_recorded else "changed: the ends or the length of a smoothed rate are otherwise than recorded")
PY
