#!/usr/bin/env bash
# A Neo block that went through NWB has its signals in the order of the alphabet: channel 10 comes third.
#
# Package   neo 0.14.6, pynwb 4.2.0, quantities 0.16.4, numpy 2.3.5
# Expected  A block that is written and read with NWBIO has the same signals at the same places of its list, with their
#           annotations; writing a block leaves it as it is.
# Seen      Signals come back sorted by name as text: of 12 channels the third is number 10. What would tell them apart
#           is lost or changed as well: annotations are dropped without a word, of signals and of spike trains, and the
#           names are replaced ("channel 2" is "trial channel 2 2"), in the file *and* in the block in memory. Spike
#           trains keep their order.
#
#               neo 0.14.6: 12 signals, the value of each its number
#               before, by place        0 1 2 3 4 5 6 7 8 9 10 11
#               after, by place         0 1 10 11 2 3 4 5 6 7 8 9
#               spike trains, by place  0 1 2 3 4 5 6 7 8 9 10 11
#               annotations left        0 of 24
#               name in memory          channel 2 -> trial channel 2 2
#
# Matters   Who reads signals by their place gets those of other channels, as soon as there are more than ten. Write
#           numbers with leading zeros, and find a signal by name: the old name stands between segment and number.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check \
    numpy==2.3.5 quantities==0.16.4 neo==0.14.6 pynwb==4.2.0
"$folder/venv/bin/python" -W ignore - "$folder/file.nwb" 2>/dev/null <<'PY'
import sys
from datetime import UTC, datetime

import neo
import numpy as np
import quantities as pq

path = sys.argv[1]
NUMBERS = list(range(12))

block = neo.Block(session_start_time=datetime(2026, 1, 1, tzinfo=UTC))
segment = neo.Segment(name="trial")
block.segments.append(segment)
for number in NUMBERS:
    segment.analogsignals.append(
        neo.AnalogSignal(np.full((3, 1), float(number)), units="mV", sampling_period=0.1 * pq.ms,
                         name=f"channel {number}", number=number)
    )
    segment.spiketrains.append(
        neo.SpikeTrain([1.0 + number], units="ms", t_stop=100.0, name=f"unit {number}", number=number)
    )


def values(segment):
    """Return the numbers of the signals by their place, from their values."""
    return [int(signal.magnitude[0, 0]) for signal in segment.analogsignals]


before, name = values(segment), segment.analogsignals[2].name
neo.NWBIO(path, "w").write_all_blocks([block])
again = neo.NWBIO(path, "r").read_all_blocks()[0].segments[0]
after = values(again)
trains = [round(float(train.rescale("ms").magnitude[0])) - 1 for train in again.spiketrains]
kept = sum("number" in thing.annotations for thing in [*again.analogsignals, *again.spiketrains])
renamed = segment.analogsignals[2].name

print(f"neo {neo.__version__}: 12 signals, the value of each its number")
print("before, by place       ", *before)
print("after, by place        ", *after)
print("spike trains, by place ", *trains)
print(f"annotations left        {kept} of {2 * len(NUMBERS)}")
print(f"name in memory          {name} -> {renamed}")
as_recorded = (
    before == trains == NUMBERS
    and after == sorted(NUMBERS, key=str)
    and kept == 0
    and renamed == "trial channel 2 2"
)
if not as_recorded:
    print("changed: order, names or annotations of a block that went through NWB are otherwise than recorded")
sys.exit(not as_recorded)
PY
