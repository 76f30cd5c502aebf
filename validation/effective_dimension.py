"""Measure the effective dimension of real data: which estimator, how sure, how many samples, which published claims.

Principal components at a variance threshold (with the five 80 % subsamples of arXiv:2604.15769), participation ratio,
effective rank and two nearest-neighbour estimators, on built-in real data or a file of samples. Every estimate has a
95 % interval and its curve of convergence with the sample size.
"""

from validation.dimension.study import STUDY, Config, Study, main, prepare, run
from validation.study import command_line

__all__ = ["STUDY", "Config", "Study", "main", "prepare", "run"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
