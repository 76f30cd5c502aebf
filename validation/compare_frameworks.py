"""Hold published spiking transformers, ML frameworks and membranes against each other, spike for spike.

Every attention block is run on real input by its reference, by Brian2 neurons and synapses, by the neurons and layers
of SpikingJelly and snnTorch, and with membranes in the place of its discrete neurons, integrated at 1, 0.1 and 0.01 ms.
The table counts the spikes that differ, and says why. Two deliberate mutants show that the comparison would notice.
"""

from validation.frameworks.study import STUDY, Config, Study, main, prepare, run
from validation.study import command_line

__all__ = ["STUDY", "Config", "Study", "main", "prepare", "run"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
