#!/usr/bin/env bash
# Tonic's voxel grid counts OFF events as ON events when polarity is a bool, as in Tonic's own event type.
#
# Package   tonic 1.7.0, numpy 2.3.5
# Expected  A voxel grid adds +1 for an ON event and -1 for an OFF event. Tonic's standard event type
#           (tonic.io.make_structured_array) holds polarity as bool, so 10 OFF events in a bin weigh -10, and as many
#           ON as OFF events at one pixel cancel.
# Seen      OFF is replaced by -1 *in the array of polarities*; in a bool array that is True, which weighs +1. With
#           polarity as a signed integer the same events have the right sign. (The grid also leaves out part of the
#           events near its end: 14.74 of 20.)
#
#               tonic 1.7.0; 20 ON and 20 OFF events of one pixel, 2 bins
#               polarity bool : ON 14.74, OFF 14.74, both 29.74
#               polarity int8 : ON 14.74, OFF -14.74, both 0.51
#
# Matters   A network that is trained on such grids never sees the sign of a change of brightness, and no shape, type
#           or range tells so. Give `p` a signed integer type before the transform.
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
from tonic.io import events_struct, make_structured_array


def total(polarity, kind):
    """Return the sum of the voxel grid of events of one pixel, one a microsecond."""
    n = len(polarity)
    events = make_structured_array(np.zeros(n), np.zeros(n), np.arange(n), polarity)
    assert events.dtype == events_struct
    events = events.astype([(name, kind if name == "p" else events_struct[name]) for name in events_struct.names])
    return float(tonic.transforms.ToVoxelGrid(sensor_size=(1, 1, 2), n_time_bins=2)(events).sum())


print(f"tonic {tonic.__version__}; 20 ON and 20 OFF events of one pixel, 2 bins")
on, off = np.ones(20), np.zeros(20)
both = np.tile([1, 0], 20)
seen = {}
for kind in (bool, np.int8):
    seen[kind] = [total(polarity, kind) for polarity in (on, off, both)]
    print("polarity {:5s}: ON {:.2f}, OFF {:.2f}, both {:.2f}".format(np.dtype(kind).name, *seen[kind]))
as_recorded = (
    events_struct["p"] == np.bool_
    and seen[bool][0] == seen[bool][1] > 0
    and seen[bool][2] > 20
    and seen[np.int8][1] == -seen[np.int8][0] < 0
    and abs(seen[np.int8][2]) < 1
)
sys.exit(0 if as_recorded else "changed: the sign of OFF events in a voxel grid is otherwise than recorded")
PY
