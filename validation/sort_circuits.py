"""Is the order of causes found from counts: score, Schur complements, and trivial rivals, on models and on neurons.

Two theorems are held against matrices, and the sort they give against random trees, chains of Poisson units, f-I
curves, a chain of LIF neurons and the populations of the attention block, beside sorting by variance, lags of spike
times and random orders.
"""

from validation.sort.study import STUDY, Config, main
from validation.study import command_line

__all__ = ["STUDY", "Config", "main"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
