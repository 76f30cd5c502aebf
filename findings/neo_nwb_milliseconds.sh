#!/usr/bin/env bash
# Neo reads a signal in ms from NWB as metres, and one in microseconds as atomic masses.
#
# Package   neo 0.14.6, pynwb 4.2.0, quantities 0.16.4, numpy 2.3.5
# Expected  NWBIO writes the unit of a signal as text and reads it again; a unit that it cannot read becomes
#           dimensionless, with a warning in the log. Signals in ms (intervals, latencies, time constants) come back
#           in ms.
# Seen      A trailing s is taken for a plural and cut: "ms" is then "m", a metre, "us" is "u", the unified atomic mass
#           unit, both of which quantities knows: no warning, and the file itself is right. mS, Hz and mV come back.
#
#               neo 0.14.6: unit in memory, in the file, read again
#               ms    'ms'     m     [length]
#               us    'us'     u     [mass]
#               mS    'mS'     mS    [conductance]
#               mV    'mV'     mV    [potential]
#
# Matters   A rescale to seconds raises later, far from the cause; what takes magnitudes goes on with metres. Read the
#           unit of the file by pynwb: the text there is right.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check \
    numpy==2.3.5 quantities==0.16.4 neo==0.14.6 pynwb==4.2.0
"$folder/venv/bin/python" -W ignore - "$folder/file.nwb" <<'PY'
import sys
from datetime import UTC, datetime

import h5py
import neo
import quantities as pq

KINDS = {"length": pq.m, "mass": pq.kg, "time": pq.s, "conductance": pq.S, "potential": pq.V}
RECORDED = {"ms": ("m", "length"), "us": ("u", "mass"), "mS": ("mS", "conductance"), "mV": ("mV", "potential")}
path = sys.argv[1]

block = neo.Block(session_start_time=datetime(2026, 1, 1, tzinfo=UTC))
segment = neo.Segment(name="trial")
block.segments.append(segment)
for unit in RECORDED:
    segment.analogsignals.append(
        neo.AnalogSignal([[2.0], [3.0]], units=unit, sampling_period=0.1 * pq.ms, name=unit)
    )
neo.NWBIO(path, "w").write_all_blocks([block])
stored = {signal.name: unit for signal, unit in zip(segment.analogsignals, RECORDED)}

print(f"neo {neo.__version__}: unit in memory, in the file, read again")
seen = {}
with h5py.File(path) as file:
    for signal in neo.NWBIO(path, "r").read_all_blocks()[0].segments[0].analogsignals:
        unit = stored[signal.name]
        dimension = signal.dimensionality.simplified
        kind = next(name for name, one in KINDS.items() if dimension == one.dimensionality.simplified)
        text = file[f"acquisition/{signal.name}/data"].attrs["unit"]
        seen[unit] = (signal.units.dimensionality.string, kind, text)
for unit in RECORDED:
    name, kind, text = seen[unit]
    print(f"{unit:4}  {text!r:7}  {name:4}  [{kind}]")
as_recorded = all(seen[unit] == (*RECORDED[unit], unit) for unit in RECORDED)
sys.exit(0 if as_recorded else "changed: units that Neo reads from NWB are others than recorded")
PY
