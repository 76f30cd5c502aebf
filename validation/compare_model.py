"""Trained transformers whose attention is done by spikes: what the error of a row does to the output and the task.

The attention of a trained model is replaced, in all layers and heads or in some, by counts of spikes of a circuit, and
the output is held against that of the exact model: its cosine, the task, and a first-order law without any fitted
constant that takes the gradients of the output through the layers. Two transformers of handwritten digits ship; with
two packages of PyPI the model is all-MiniLM-L6-v2 and the task the test set of STS-B.

References
----------
W. Wang et al. (2020), MiniLM, arXiv:2002.10957. D. Cer et al. (2017), STS benchmark, arXiv:1708.00055.
"""

from validation.model.study import STUDY, Config, main
from validation.study import command_line

__all__ = ["STUDY", "Config", "main"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
