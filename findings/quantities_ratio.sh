#!/usr/bin/env bash
# A ratio or product of units that cancel is not a number in quantities, and numpy's generators do not notice.
#
# Package   quantities 0.16.4 (the units of Neo and Elephant), numpy 2.3.5
# Expected  (10 Hz)*(500 ms) is 5. np.exp and np.sin refuse such a product until it is simplified, so it looks guarded:
#           a generator, int(), float() and a comparison with a number should convert it or refuse it, as adding a
#           number does (1 + 10 Hz*500 ms is 6).
# Seen      They take the bare magnitude, 5000: a Poisson count with mean 5 has mean 5000, and 10 ms / 1 s is "above 1".
#
#               numpy 2.3.5, quantities 0.16.4
#               rate*duration = 5000.0 ms*Hz, simplified 5.0 dimensionless
#               1 + rate*duration, simplified: 6.0
#               np.exp refuses: quantity must be dimensionless
#               mean of 10000 Poisson counts: 5000.4 (5 expected)
#               float: 5000.0, int: 5000
#               (10 ms)/(1 s) > 1: True; simplified: False
#
# Matters   Poisson inputs drawn as rng.poisson(rate*dt) are 1000 times too many with Hz and ms, and nothing is said.
#           Write float((rate*dt).simplified), or .rescale("dimensionless") before a plain number is needed.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 quantities==0.16.4
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import quantities as pq

rate, duration = 10 * pq.Hz, 500 * pq.ms
mean = rate * duration
short = (10 * pq.ms) / (1 * pq.s)
print(f"numpy {np.__version__}, quantities {pq.__version__}")
print(f"rate*duration = {mean}, simplified {mean.simplified}")
print(f"1 + rate*duration, simplified: {float((1 + mean).simplified)}")
try:
    np.exp(mean)
    guarded = False
except ValueError as error:
    guarded = True
    print(f"np.exp refuses: {error}")
counts = np.random.default_rng(0).poisson(mean, size=10000)
print(f"mean of 10000 Poisson counts: {counts.mean():.1f} (5 expected)")
print(f"float: {float(mean)}, int: {int(mean)}")
print(f"(10 ms)/(1 s) > 1: {bool(short > 1)}; simplified: {bool(short.simplified > 1)}")
as_recorded = (
    guarded
    and float((1 + mean).simplified) == 6
    and abs(counts.mean() - 5000) < 5 * np.sqrt(5000 / 10000)
    and float(mean) == 5000
    and bool(short > 1)
    and not bool(short.simplified > 1)
)
sys.exit(0 if as_recorded else "changed: units that cancel are no longer taken by their bare magnitude")
PY
