"""Approximate functions of token sets by spiking attention heads with a linear read-out, and count what it takes.

Universal approximation by demonstration: heads of spiking attention are features of a set of tokens, a least-squares
read-out makes a permutation-equivariant function of them. Its sup-norm error on tokens it has not seen falls with the
heads H, the window T and the spikes, and stands beside the L, H and T of the paper's Theorem 7. The error of the same
heads in the rate-domain limit, T = infinity, tells what is left to the heads from what is left to the spikes.

A function of your own: `approximate(function, name=..., heads=...)` from Python.
"""

from validation.approximation.study import STUDY, Config, Study, approximate, main, prepare, run
from validation.study import command_line

__all__ = ["STUDY", "Config", "Study", "approximate", "main", "prepare", "run"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
