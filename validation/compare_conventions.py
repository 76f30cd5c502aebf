"""Ask the neurons of other packages what one step of theirs means, and hold the answers against a table that ships.

The same questions to every package: does a membrane exactly at the threshold fire, where does a spike leave it and in
which step, does it decay before or after its input, what does an impulse weigh, in which step does it fire, how often
at most, what is rounded, and what is kept between two calls. Packages that cannot share an environment are asked in
one each, with --packages, and their tables joined with --join. A version that answers otherwise than the table that
ships is told of in a line.
"""

from validation.conventions.study import STUDY, Config, Study, main, prepare, run
from validation.study import command_line

__all__ = ["STUDY", "Config", "Study", "main", "prepare", "run"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
