"""``biospike check``, ``new`` and ``cite``: for those who write their own circuits, and those who publish."""

from __future__ import annotations

import argparse
import keyword
import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import biospike
from biospike.checking import check_circuit
from biospike.errors import InputError
from biospike.files import write_atomically
from circuits.softmax import SOFTMAX_CIRCUITS
from validation.inputs.circuits import chosen_circuits

NAMES = re.compile(r"[a-z][a-z0-9_]*")


def check(arguments: list[str]) -> int:
    """Check circuits, one line a check; status 1 if one fails."""
    parser = argparse.ArgumentParser(prog="biospike check", description=check.__doc__)
    parser.add_argument("circuits", nargs="+", metavar="NAME or FILE.py:CLASS")
    passed = True
    for kind in chosen_circuits("check", parser.parse_args(arguments).circuits).values():
        report = check_circuit(kind)
        print(report)
        passed = passed and report.passed
    return 0 if passed else 1


def cite(arguments: list[str]) -> int:
    """Print the BibTeX of what was used."""
    parser = argparse.ArgumentParser(prog="biospike cite", description=cite.__doc__)
    parser.add_argument("circuits", nargs="*", metavar="NAME or FILE.py:CLASS")
    names = parser.parse_args(arguments).circuits
    print(biospike.cite(*(chosen_circuits("cite", names).values() if names else ())), end="")
    return 0


def new(arguments: list[str]) -> int:
    """Write a circuit to begin with, and its test: `biospike new circuit NAME`."""
    parser = argparse.ArgumentParser(prog="biospike new", description=new.__doc__)
    parser.add_argument("what", choices=["circuit"])
    parser.add_argument("name", help="such as my_circuit")
    parser.add_argument("--to", type=Path, default=Path(), metavar="DIR", help="where (the working directory)")
    options = parser.parse_args(arguments)
    name = options.name
    if not NAMES.fullmatch(name) or keyword.iskeyword(name) or name in SOFTMAX_CIRCUITS:
        raise InputError(
            f"new circuit {name}: a name has small letters, digits and _, such as my_circuit, and is none of "
            f"{', '.join(SOFTMAX_CIRCUITS)}"
        )
    kind = "".join(part.capitalize() for part in name.split("_"))
    targets = {options.to / f"{name}.py": "circuit.txt", options.to / f"test_{name}.py": "test.txt"}
    for target in targets:
        if target.exists():
            raise InputError(f"new circuit {name}: {target} exists; nothing was written")
    if find_spec(name) is not None:
        raise InputError(f"new circuit {name}: a module has this name, which a file {name}.py would hide; take another")
    room = files("validation.bench")
    scaffolds = {target: room.joinpath(file).read_text(encoding="utf-8") for target, file in targets.items()}
    try:
        options.to.mkdir(parents=True, exist_ok=True)
        for target, scaffold in scaffolds.items():
            text = scaffold.replace("NAME", name).replace("CLASS", kind)
            write_atomically(target, lambda path, text=text: path.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise InputError(f"new circuit {name}: --to {options.to} cannot be written to ({error})") from None
    print(f"written: {', '.join(map(str, targets))}; next: biospike check {options.to / name}.py:{kind}")
    return 0
