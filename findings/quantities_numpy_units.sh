#!/usr/bin/env bash
# Some numpy functions convert units of quantities, some refuse, and some mix seconds with milliseconds silently.
#
# Package   quantities 0.16.4 (the units of Neo and Elephant), numpy 2.3.5
# Expected  Arrays in ms beside arrays in s: np.clip converts, np.maximum and the method .searchsorted refuse with a
#           line that names both units. So the other functions should do one or the other.
# Seen      np.searchsorted, histogram, digitize, interp, where and concatenate take the bare magnitudes. The spikes at
#           100, 200 and 1500 ms are none before 1 s, and a histogram over 0, 1, 2 s is empty.
#
#               numpy 2.3.5, quantities 0.16.4
#               np.clip to 0..1 s: [100.0, 200.0, 1000.0] ms
#               np.maximum: refused
#               method searchsorted: refused
#               np.searchsorted(spikes, 1 s): 0 (2 expected)
#               np.histogram over 0, 1, 2 s: [0, 0] ([2, 1] expected)
#               np.digitize over 0, 1, 2 s: [3, 3, 3] ([1, 1, 2] expected)
#               np.interp at 500 ms of 0..1 s -> 0..10: 10.0 (5 expected)
#               np.where of 1500 ms and 5 s: [1500.0, 5.0], a ndarray
#               np.concatenate of 1500 ms and 1 s: [1500.0, 1.0] dimensionless
#
# Matters   A spike train in ms and a window in s is what Neo invites. Rescale both to one unit, then pass .magnitude.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 quantities==0.16.4
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import quantities as pq

spikes = np.array([100.0, 200.0, 1500.0]) * pq.ms
edges = np.array([0.0, 1.0, 2.0]) * pq.s


def refused(call):
    """Whether the call refuses arrays of two units."""
    try:
        call()
    except ValueError:
        return True
    return False


print(f"numpy {np.__version__}, quantities {pq.__version__}")
clipped = np.clip(spikes, 0 * pq.s, 1 * pq.s)
print(f"np.clip to 0..1 s: {clipped.magnitude.tolist()} {clipped.dimensionality}")
maximum = refused(lambda: np.maximum(spikes, 1 * pq.s))
method = refused(lambda: spikes.searchsorted(1 * pq.s))
print(f"np.maximum: {'refused' if maximum else 'taken'}")
print(f"method searchsorted: {'refused' if method else 'taken'}")
place = int(np.searchsorted(spikes, 1 * pq.s))
counts = np.histogram(spikes, bins=edges)[0].tolist()
bins = np.digitize(spikes, edges).tolist()
between = float(np.interp(500 * pq.ms, edges[:2], [0.0, 10.0]))
mixed = np.where([True, False], spikes[1:][::-1], np.array([5.0, 5.0]) * pq.s)
joined = np.concatenate([spikes[2:], edges[1:2]])
print(f"np.searchsorted(spikes, 1 s): {place} (2 expected)")
print(f"np.histogram over 0, 1, 2 s: {counts} ([2, 1] expected)")
print(f"np.digitize over 0, 1, 2 s: {bins} ([1, 1, 2] expected)")
print(f"np.interp at 500 ms of 0..1 s -> 0..10: {between} (5 expected)")
print(f"np.where of 1500 ms and 5 s: {np.asarray(mixed).tolist()}, a {type(mixed).__name__}")
print(f"np.concatenate of 1500 ms and 1 s: {joined.magnitude.tolist()} {joined.dimensionality}")
as_recorded = (
    clipped.magnitude.tolist() == [100, 200, 1000]
    and maximum
    and method
    and place == 0
    and counts == [0, 0]
    and bins == [3, 3, 3]
    and between == 10
    and np.asarray(mixed).tolist() == [1500, 5]
    and joined.magnitude.tolist() == [1500, 1]
)
sys.exit(0 if as_recorded else "changed: a numpy function treats two units otherwise than recorded")
PY
