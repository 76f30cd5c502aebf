"""Calibrate the design rule T = C d_eff/eps^2: the constant, and the dimension that sets the timesteps.

Images, image patches, tokens of a transformer and points of chosen rank become spikes, alone and on their way through
spiking self-attention. The timesteps that reach each of several errors, by a plain read-out and by one that projects on
the principal subspace, are regressed on the effective and on the ambient dimension of the input, and the constants held
against the paper's C = 2.3 [1.9, 2.7] and against inputs that took no part in the fit.
"""

from validation.rule.study import STUDY, Config, Study, main, prepare, run
from validation.study import command_line

__all__ = ["STUDY", "Config", "Study", "main", "prepare", "run"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
