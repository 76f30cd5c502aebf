"""How often is a verdict on order, floor or bias false: codes of known truth through the function that decides.

Every study of this package that says `1/sqrt(N)`, `1/N`, `between`, `floor` or `undecided` asks one function. Here it
is fed with synthetic codes of known order and bias, of many sizes, again and again, and the table says how often each
verdict comes out, and how often it is false.
"""

from validation.study import command_line
from validation.verdicts.study import STUDY, Config, main

__all__ = ["STUDY", "Config", "main"]

if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
