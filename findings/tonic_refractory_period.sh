#!/usr/bin/env bash
# Tonic's refractory period is prolonged by the events that it drops, and begins before the recording.
#
# Package   tonic 1.7.0, numpy 2.3.5
# Expected  Events of a pixel within delta after one that was kept are dropped, as a neuron's refractory period does:
#           of a Poisson train of rate r the rate r/(1 + r*delta) is left; of one event a ms with delta = 5 ms every
#           sixth (an event must come later than delta).
# Seen      Each dropped event starts the period anew (a paralysable counter): r*exp(-r*delta) is left. Of the regular
#           train one event is left, however long it is; and none if it starts at 0, since a period is taken to start
#           at 0, before any event.
#
#               tonic 1.7.0, delta = 5 ms
#               1000 events a ms apart, from 1 s: 1 left (167 expected)
#               1000 events a ms apart, from 0: 0 left (167 expected)
#               Poisson, 1000 Hz for 100 s: 6.6 Hz left; 166.7 expected, r*exp(-r*delta) 6.7
#
# Matters   The same setting in a simulator's neuron and in the preprocessing differ by 25 times here, and the more
#           active a pixel is, the fewer events it keeps. The documented rule, t_n - t_(n-1), counts dropped events
#           as well, which the words around it do not say.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 scipy==1.17.1 h5py==3.16.0 \
    tqdm==4.70.1 typing_extensions==4.16.0 requests==2.34.2 importRosbag==1.0.4 expelliarmus==1.1.12
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps tonic==1.7.0  # librosa is not needed here
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import tonic
from tonic.io import make_structured_array

DELTA = 5000  # microseconds


def kept(times):
    """Return how many events of one pixel are left."""
    n = len(times)
    events = make_structured_array(np.zeros(n), np.zeros(n), times, np.ones(n))
    return len(tonic.transforms.RefractoryPeriod(delta=DELTA)(events))


print(f"tonic {tonic.__version__}, delta = 5 ms")
later = kept(1_000_000 + 1000 * np.arange(1000))
at_once = kept(1000 * np.arange(1000))
print(f"1000 events a ms apart, from 1 s: {later} left (167 expected)")
print(f"1000 events a ms apart, from 0: {at_once} left (167 expected)")
times = np.cumsum(np.random.default_rng(0).exponential(1000.0, size=100_000)).astype(int)
rate = kept(times) / (times[-1] * 1e-6)
r, delta = 1000.0, DELTA * 1e-6
law = r * np.exp(-r * delta)
print(
    f"Poisson, 1000 Hz for 100 s: {rate:.1f} Hz left; {r / (1 + r * delta):.1f} expected, r*exp(-r*delta) {law:.1f}"
)
as_recorded = later == 1 and at_once == 0 and abs(rate - law) < 5 * np.sqrt(law / 100)
sys.exit(0 if as_recorded else "changed: the refractory period of events is otherwise than recorded")
PY
