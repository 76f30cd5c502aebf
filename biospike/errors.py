"""Errors with a message of one line: what a user can mend, and what a run came to. All others keep their traceback."""

from __future__ import annotations


class InputError(ValueError):
    """Input that is refused: the message names the value and what is accepted.

    Raised for arguments, options, parameters and files, before anything is simulated. A command line prints it as one
    line and exits with status 2; any other `ValueError` is an error of the program and is shown with its traceback.
    """


class InputWarning(UserWarning):
    """Input that is taken, and what it was taken for: a command line prints it as one line."""


class RunError(RuntimeError):
    """A run failed, was stopped, complained, wrote less than it was asked for, or came to a state that cannot be."""


class BuildError(RuntimeError):
    """No compiler, or code generation or compilation failed."""
