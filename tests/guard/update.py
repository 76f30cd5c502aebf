"""Pin the tables and help texts again, or write all of them elsewhere.

``python tests/guard/update.py`` rewrites ``tests/guard/pinned``: read the difference before it is committed.
``python tests/guard/update.py --to DIR`` writes whole tables, reports and help texts of this checkout: `diff -r` of two
such directories, made on one machine, shows every byte that a change of the source has changed.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this checkout, whatever is installed
sys.path.insert(0, str(Path(__file__).resolve().parent))

import pins
import studies
import tyro

from biospike.provenance import code_digest
from biospike.recording import git_revision


def pin(case: studies.Case, made: Path) -> None:
    """Replace the pinned tables of a case."""
    target = pins.PINNED / case.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, table in pins.read(made, case.left_out).items():
        (target / name).write_text(pins.text(pins.shortened(table)))


def copy(case: studies.Case, made: Path, target: Path) -> None:
    """Copy whole tables and the report, without what names the source."""
    target.mkdir(parents=True, exist_ok=True)
    for name, table in pins.read(made, case.left_out).items():
        (target / name).write_text(pins.text(table))
    report = (made / "report.md").read_text()
    for of_source in (git_revision(), code_digest()[:16]):
        report = report.replace(of_source, "SOURCE")
    (target / "report.md").write_text(report)


def main() -> None:
    """Run the studies that are named, all by default, and write what they give."""
    names = [case.name for case in studies.CASES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"help, {', '.join(names)}; all by default")
    parser.add_argument("--to", type=Path, metavar="DIR", help="write everything there, and pin nothing")
    options = parser.parse_args()
    if unknown := set(options.names) - {*names, "help"}:
        parser.error(f"{', '.join(sorted(unknown))}: accepted are help, {', '.join(names)}")
    gc.collect()
    gc.freeze()  # Brian2 collects garbage before every run
    for case in studies.CASES:
        if case.name in (options.names or names):
            began = time.process_time()
            with tempfile.TemporaryDirectory() as made:
                studies.run(case, Path(made))
                if options.to is None:
                    pin(case, Path(made))
                else:
                    copy(case, Path(made), options.to / case.name)
            print(f"{case.name}: {time.process_time() - began:.1f} s of one core", flush=True)
    if not options.names or "help" in options.names:
        texts = (options.to or pins.PINNED) / "help"
        shutil.rmtree(texts, ignore_errors=True)
        texts.mkdir(parents=True)
        (texts / pins.LAYOUT).write_text(tyro.__version__ + "\n")
        for command in studies.COMMANDS:
            (texts / f"{command}.txt").write_text(studies.help_of(command))
        print("help", flush=True)


if __name__ == "__main__":
    main()
