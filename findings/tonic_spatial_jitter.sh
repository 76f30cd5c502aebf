#!/usr/bin/env bash
# Tonic's spatial jitter moves every event half a pixel towards the origin, however small the jitter is.
#
# Package   tonic 1.7.0, numpy 2.3.5
# Expected  SpatialJitter adds Gaussian noise of mean (0, 0): the mean position stays, and noise of a standard deviation
#           of .01 pixels leaves every event where it is.
# Seen      The noisy position is cut to an integer, not rounded. The mean moves by -.5 pixels in x and y, and of jitter
#           of .01 pixels half of all events move by one whole pixel, always down.
#
#               tonic 1.7.0, 100000 events at x = 50
#               standard deviation 0.01: mean shift -0.50, moved 50 %, upwards 0 %
#               standard deviation 0.50: mean shift -0.50, moved 52 %, upwards 2 %
#               standard deviation 3.00: mean shift -0.49, moved 87 %, upwards 37 %
#
# Matters   An augmentation that should blur also shifts training data against test data. Draw the shifts yourself and
#           round them.
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

N = 100000
np.random.seed(0)
print(f"tonic {tonic.__version__}, {N} events at x = 50")
as_recorded = True
for deviation in (0.01, 0.5, 3.0):
    events = make_structured_array(np.full(N, 50), np.full(N, 50), np.arange(N), np.ones(N))
    jitter = tonic.transforms.SpatialJitter(sensor_size=(100, 100, 2), var_x=deviation**2, var_y=deviation**2)
    shift = jitter(events)["x"].astype(int) - 50
    print(
        f"standard deviation {deviation:.2f}: mean shift {shift.mean():.2f}, moved {np.mean(shift != 0):.0%},"
        f" upwards {np.mean(shift > 0):.0%}".replace("%", " %")
    )
    # 5 standard errors of the mean of noise that is cut to an integer (variance at most deviation^2 + 1/4)
    as_recorded &= abs(shift.mean() + 0.5) < 5 * np.sqrt((deviation**2 + 0.25) / N)
sys.exit(0 if as_recorded else "changed: the mean shift of a spatial jitter is otherwise than recorded")
PY
