#!/usr/bin/env bash
# In half precision SpikingJelly's Poisson encoder makes silent pixels fire, .2 % of all steps in bfloat16.
#
# Package   spikingjelly 2.0.0, torch 2.13.0
# Expected  The encoder fires with probability x. Zero and .01 are (nearly) exact in every floating-point type, so an
#           image cast to bfloat16 or float16 fires as in float32: never at 0, in 1 % of the steps at .01.
# Seen      torch.rand is below 1: a draw that would round to 1 comes out as 0 instead, so that 0 has probability 2^-9
#           in bfloat16 and 2^-12 in float16. The encoder fires if a draw is *at most* x, so a zero fires with that
#           probability, and .01 about a fifth more often in bfloat16. torch.bernoulli has no such error.
#
#               torch 2.13.0, 4000000 draws
#               float32   x = 0: 0.000 %, x = 0.01: 1.00 %; torch.bernoulli(0.01) 0.99 %
#               float16   x = 0: 0.024 %, x = 0.01: 1.03 %; torch.bernoulli(0.01) 1.00 %
#               bfloat16  x = 0: 0.194 %, x = 0.01: 1.20 %; torch.bernoulli(0.01) 1.00 %
#
# Matters   Sparsity, counts of spikes and energies of an otherwise silent input are set by the type. Encode in float32
#           and cast the spikes, or use torch.bernoulli.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.3.5 torch==2.13.0 loguru==0.7.3 tqdm==4.70.1
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps spikingjelly==2.0.0  # enough for encoders
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import torch
from spikingjelly.activation_based.encoding import PoissonEncoder

N = 4_000_000
torch.manual_seed(0)
print(f"torch {torch.__version__.split('+')[0]}, {N} draws")
encode = PoissonEncoder()
as_recorded = True
for kind, zero in ((torch.float32, 2.0**-25), (torch.float16, 2.0**-12), (torch.bfloat16, 2.0**-9)):
    share = {x: encode(torch.full((N,), x, dtype=kind)).double().mean().item() for x in (0.0, 0.01)}
    fair = torch.bernoulli(torch.full((N,), 0.01, dtype=kind)).double().mean().item()
    print(
        f"{str(kind)[6:]:9s} x = 0: {100 * share[0.0]:.3f} %, x = 0.01: {100 * share[0.01]:.2f} %;"
        f" torch.bernoulli(0.01) {100 * fair:.2f} %"
    )
    as_recorded &= abs(share[0.0] - zero) < 5 * (zero / N) ** 0.5 + 2e-6
    as_recorded &= (share[0.01] > 0.0115) == (kind is torch.bfloat16)
    as_recorded &= abs(fair - 0.01) < 5 * (0.01 / N) ** 0.5 + 3e-5  # .01 itself is rounded, by 2e-5 in bfloat16
sys.exit(0 if as_recorded else "changed: zeros fire otherwise than recorded")
PY
