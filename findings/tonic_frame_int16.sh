#!/usr/bin/env bash
# Tonic's frames count events in 16 bits: above 32767 in a bin the count turns negative.
#
# Package   tonic 1.7.0, numpy 2.3.5
# Expected  A frame holds the number of events of each pixel and bin. Events are given as 64-bit structured arrays of
#           any length, and one bin for a whole recording is allowed, so 40000 events of a pixel count as 40000.
# Seen      The count is an int16 and wraps: 40000 events of a pixel are -25536, 65536 are 0. No error, no warning;
#           ToFrame and ToImage alike.
#
#               tonic 1.7.0, events of one pixel in one bin
#               32767 events: ToImage 32767, ToFrame 32767 (int16)
#               32768 events: ToImage -32768, ToFrame -32768 (int16)
#               40000 events: ToImage -25536, ToFrame -25536 (int16)
#               65536 events: ToImage 0, ToFrame 0 (int16)
#
# Matters   A flickering or hot pixel passes 10000 events a second, and simulated sensors or downsampled ones with one
#           pixel for a region more: rates per neuron of long recordings are wrong where activity is highest. Count
#           with numpy (np.add.at on int64), or bin finely and sum the bins as int64.
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

print(f"tonic {tonic.__version__}, events of one pixel in one bin")
as_recorded = True
for n in (32767, 32768, 40000, 65536):
    events = make_structured_array(np.zeros(n), np.zeros(n), np.arange(n), np.ones(n))
    image = tonic.transforms.ToImage(sensor_size=(1, 1, 2))(events)
    # a window of n that starts with the first event, closed by one event at its end
    closed = make_structured_array(np.zeros(n + 1), np.zeros(n + 1), np.arange(n + 1), np.ones(n + 1))
    frame = tonic.transforms.ToFrame(sensor_size=(1, 1, 2), time_window=n)(closed)
    print(f"{n} events: ToImage {image.sum()}, ToFrame {frame[0].sum()} ({frame.dtype})")
    wrapped = (n + 2**15) % 2**16 - 2**15
    as_recorded &= int(image.sum()) == wrapped == int(frame[0].sum())
sys.exit(0 if as_recorded else "changed: the counts of a frame are otherwise than recorded")
PY
