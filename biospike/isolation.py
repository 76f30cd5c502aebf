"""Import Brian2 before anything else of this project does, from an empty directory.

Brian2 evaluates a file ``brian_preferences`` of the working directory when it is first imported, so that whoever can
leave a file there can run code, and change every number. It also puts a hook in the way of uncaught errors, which calls
each of them a bug of Brian2's: who imports biospike keeps the hook that he has. Who has imported Brian2 himself before
has chosen both, the file and the hook, and keeps them.
"""

from __future__ import annotations

import os
import sys
import tempfile

if "brian2" not in sys.modules:
    _working, _hook = os.open(".", os.O_RDONLY), sys.excepthook
    # Brian2 writes the arguments into its log as UTF-8, whatever bytes a path among them has.
    _arguments = sys.argv
    sys.argv = [argument.encode(errors="backslashreplace").decode() for argument in _arguments]
    with tempfile.TemporaryDirectory() as _empty:
        os.chdir(_empty)
        try:
            import brian2  # noqa: F401
        finally:
            sys.argv = _arguments
            os.fchdir(_working)
            os.close(_working)
            sys.excepthook = _hook
