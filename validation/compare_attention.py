"""Hold the spiking self-attention block against exact attention: how far, by which law, and where does the error arise.

Tokens become spikes, spikes become queries, keys and values, their coincidences charge score membranes, and a softmax
circuit turns these into attention spikes, which route the values to the outputs. Scores, attention and outputs of the
spikes are held against the limit of the block and against ordinary softmax attention, in windows of T timesteps, with
all stages one after another (staged, as in the theorem) and all at once (streaming).
"""

from validation.attention.study import STUDY, Config, Study, main, prepare, run
from validation.study import command_line

__all__ = ["STUDY", "Config", "Study", "main", "prepare", "run"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
