"""Real inhibition, rung by rung: what of the circuits survives spiking interneurons, populations and presynaptic gates.

Every rung of the ladder is a microcircuit beside its mean field: bias against softmax and against its own limit, how
nearly its inhibition multiplies rates, spikes for an error of .05 against exact integration, the best rate of a neuron,
and the gain of the loop from which it oscillates, by linear response and by simulation.

References
----------
N. Brunel (2000), J. Comput. Neurosci. 8, 183, doi:10.1023/A:1008925309027.
X.-J. Wang (2002), Neuron 36, 955, doi:10.1016/S0896-6273(02)01092-9.
S. R. Olsen, R. I. Wilson (2008), Nature 452, 956, doi:10.1038/nature06864.
"""

from validation.microcircuits.study import STUDY, Config, main
from validation.study import command_line

__all__ = ["STUDY", "Config", "main"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
