"""Hold the spiking circuits against the exact softmax: which compute it, how fast, and where does each fail.

Every circuit of `circuits.softmax` receives the same rows of attention logits. Its spike counts become shares, the
shares are held against the exact softmax in every window of one run, and the table says for each circuit its bias, its
order of convergence and the law it follows.
"""

from validation.softmax.study import STUDY, Config, Study, main, prepare, run
from validation.study import command_line

__all__ = ["STUDY", "Config", "Study", "main", "prepare", "run"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
