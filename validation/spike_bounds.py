"""How many spikes does an accuracy cost: measured for every code, beside 1/eps^2, 1/eps and what information asks for.

Values are encoded, rows of logits are normalised and tokens attend, in windows of growing length. The error against
the spikes gives each code its exponent, and says which published bound holds for it and which it undercuts. The fit
that the paper offers as evidence, eps = alpha/sqrt(N), is made on the neurons and on coins, which have no neurons.
"""

from validation.bounds.study import STUDY, Config, Study, main, prepare, run
from validation.study import command_line

__all__ = ["STUDY", "Config", "Study", "main", "prepare", "run"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
