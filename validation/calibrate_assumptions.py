"""Audit the idealised assumptions: for each one a knob, turned from ideal to realistic, and the bias that it causes.

Every knob is turned on the circuits where it matters, the bias is separated from sampling error and held against its
closed form where there is one, and the table says from which value on the bias exceeds 0.01.
"""

from validation.assumptions.study import STUDY, Config, main, prepare, run
from validation.study import command_line

__all__ = ["STUDY", "Config", "main", "prepare", "run"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
