"""Audit of anybody's model: what spikes would ask of its attention, and what its spiking nodes bear, on your input.

A layer in a file of weights, a folder of Hugging Face, a module of torch that a function of yours makes, or one of
three models of others with random weights. Spikes and timesteps for an error of the rows, by the law of a circuit and
by its neurons; how much the model's output feels; energy; spikes that survive where an idealisation is given up.
"""

from validation.audit.study import STUDY, Config, main
from validation.study import command_line

__all__ = ["STUDY", "Config", "main"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
