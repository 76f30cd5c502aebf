#!/usr/bin/env bash
# Tonic drops the last whole time window of a recording on a grid.
#
# Package   tonic 1.7.0, numpy 2.3.5
# Expected  Windows of time_window = 100 ms over spikes at each ms from 0 to 999: ten windows of 100 events. Left out
#           by default are incomplete windows (include_incomplete=False), and none is incomplete.
# Seen      The number of windows is the time from first to *last event* over the window, rounded down: 999 // 100.
#           The last whole window, [900, 1000), is left out; include_incomplete=True brings it back.
#
#               tonic 1.7.0, events at every ms from 0 to 999, windows of 100 ms
#               ToFrame: 9 windows, 900 of 1000 events (10 and 1000 expected)
#               SliceByTime: 9 windows, 900 of 1000 events (10 and 1000 expected)
#               ToFrame, include_incomplete: 10 windows, 1000 of 1000 events
#
# Matters   A recording of a simulation, or one cropped to a whole number of windows, ends one step before the edge: its
#           last window is always lost. Bins by their number (n_time_bins) lose the last event for the same reason.
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
from tonic.slicers import SliceByTime

N, WINDOW = 1000, 100_000
events = make_structured_array(np.zeros(N), np.zeros(N), 1000 * np.arange(N), np.ones(N))
frames = tonic.transforms.ToFrame(sensor_size=(1, 1, 2), time_window=WINDOW)(events)
slices = SliceByTime(time_window=WINDOW).slice(events, None)[0]
whole = tonic.transforms.ToFrame(sensor_size=(1, 1, 2), time_window=WINDOW, include_incomplete=True)(events)
by_frames = (len(frames), int(frames.sum()))
by_slices = (len(slices), sum(len(part) for part in slices))
by_whole = (len(whole), int(whole.sum()))
print(f"tonic {tonic.__version__}, events at every ms from 0 to 999, windows of 100 ms")
print("ToFrame: {} windows, {} of 1000 events (10 and 1000 expected)".format(*by_frames))
print("SliceByTime: {} windows, {} of 1000 events (10 and 1000 expected)".format(*by_slices))
print("ToFrame, include_incomplete: {} windows, {} of 1000 events".format(*by_whole))
as_recorded = by_frames == by_slices == (9, 900) and by_whole == (10, 1000)
sys.exit(0 if as_recorded else "changed: the windows of a recording are otherwise than recorded")
PY
