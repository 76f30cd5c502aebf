"""Imported by the process from which the children are forked: one run fills Brian2's caches for all of them."""

import tempfile

from small_sweep import run

with tempfile.TemporaryDirectory() as directory:
    run(directory, seeds=(9,))
