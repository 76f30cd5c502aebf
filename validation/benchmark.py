"""How fast is biospike: the same circuit, rows, trials, steps and outputs on simulators, frameworks and written loops.

Every peer runs in a process of its own, in turn with the others, and its counts are checked before its time is kept.
The ceiling is a fused C++ loop of the same arithmetic, written by hand. Curves show the cost per neuron and step
against keys, neurons and checkpoints, memory against neurons and duration, and the attention block against its tokens;
the default study of compare_softmax is timed inside and outside of its compiled binaries.
"""

from validation.speed.study import STUDY, Config, Study, main, prepare, run
from validation.study import command_line

__all__ = ["STUDY", "Config", "Study", "main", "prepare", "run"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
