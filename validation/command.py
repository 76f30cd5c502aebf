"""The command ``biospike``: every study, and what a bench needs besides, under one name.

``biospike compare_softmax --trials 16`` is ``python -m validation.compare_softmax --trials 16``.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

from biospike.errors import InputError
from biospike.recording import versions
from validation.bench import claims, doctor, own
from validation.study.options import member

STUDIES = tuple(
    sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "command"))
)
OWN: dict[str, Callable[[list[str]], int]] = {
    "check": own.check,
    "cite": own.cite,
    "claims": claims.main,
    "doctor": doctor.main,
    "new": own.new,
}
MODULES = {"audit": "validation.audit_model", "provenance": "biospike.provenance"}


def usage() -> str:
    """Text of ``biospike --help``."""
    lines = ["usage: biospike [--version] COMMAND ...", "", str(__doc__).replace("``", "").strip(), "", "studies:"]
    lines += [f"  {name}" for name in STUDIES]
    lines += ["  audit: audit_model", "  sweep FILE.toml: compare_softmax over a grid", "", "bench:"]
    lines += [f"  {name}: {_first_line(work)}" for name, work in OWN.items()]
    lines += [
        "  provenance: say what made a file of results, and how to make it again",
        "",
        "COMMAND --help says more.",
    ]
    return "\n".join(lines)


def _first_line(work: Callable[[list[str]], int]) -> str:
    line = str(work.__doc__).splitlines()[0].rstrip(".")
    return line[0].lower() + line[1:]


def _of_sweep(rest: list[str]) -> list[str]:
    if rest in (["-h"], ["--help"]):
        return rest
    if not rest or rest[0].startswith("-"):
        raise InputError("biospike sweep needs a file first: biospike sweep FILE.toml")
    return ["--sweep", *rest]


def main() -> None:
    """Run the command that the first argument names."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        raise SystemExit(0)
    if arguments[0] == "--version":
        print(f"biospike {versions()['biospike']}")
        raise SystemExit(0)
    name, *rest = arguments
    try:
        if name == "sweep":
            name, rest = "compare_softmax", _of_sweep(rest)
        member("biospike", name, (*STUDIES, "sweep", *OWN, *MODULES), otherwise="unknown command")
        if name in OWN:
            raise SystemExit(OWN[name](rest))
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    module = MODULES.get(name, f"validation.{name}")
    sys.argv = [f"biospike {name}", *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
