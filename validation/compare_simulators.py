"""Hold Brian2 against NEST: the same neurons and softmax circuits in both, spike for spike where nothing is random.

Single neurons under constant current and frozen input spikes must fire in the same steps. Under white noise, and in the
circuits race, escape and diffusive on real attention rows, the two simulators must differ by no more than two seeds of
one of them. Deliberate errors show how small a difference would be seen.
"""

from validation.simulators.study import STUDY, Config, Study, main, prepare, run
from validation.study import command_line

__all__ = ["STUDY", "Config", "Study", "main", "prepare", "run"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
