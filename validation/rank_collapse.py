"""What is left of the rank of tokens and of heads: LayerNorm, residuals, the mixing by W_O, depth, and spikes.

Exact statements are held against ranks of random and of real matrices. Attention after attention, and nothing beside
it, is run exactly, with the shares of a circuit, and with value spikes too: tokens become equal, and the noise of the
values is where that stops. Spike times of merged trains are asked which head sent how much.
"""

from validation.rank.study import STUDY, Config, main
from validation.study import command_line

__all__ = ["STUDY", "Config", "main"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
