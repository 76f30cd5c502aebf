"""Run every study but the benchmark, and write one index of claims, their sources and what was measured.

Studies that a missing extra forbids are skipped with the line that says so. What is complete is not run again: a study
is known by its options, seed, code and versions. Interrupt at any time, and start again.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Annotated, NamedTuple

import attrs
import numpy as np
import pandas as pd
import tyro
from tqdm import tqdm

from biospike.execution import OF_BRIAN2
from biospike.ideal.frameworks import versions as framework_versions
from biospike.provenance import code_digest
from biospike.recording import git_revision, versions, write_atomically
from validation import compare_exponential, compare_transfer
from validation.ageing import study as ageing
from validation.approximation import study as approximation
from validation.assumptions import study as assumptions
from validation.attention import study as attention
from validation.bounds import study as bounds
from validation.dimension import study as dimension
from validation.frameworks import study as frameworks
from validation.microcircuits import study as microcircuits
from validation.model import study as model
from validation.rank import study as rank
from validation.rule import study as rule
from validation.simulators import study as simulators
from validation.softmax import study as softmax
from validation.sort import study as sort
from validation.study import command_line
from validation.study.claims import FEWEST_ADJUSTED, KINDS, Finding, adjusted, claims_table, headline
from validation.study.options import member
from validation.study.record import StudyRecord
from validation.study.report import made, markdown
from validation.study.results import Results
from validation.study.sources import answers
from validation.verdicts import study as verdicts

MARK = "complete.json"
COLUMNS = ("claim", "kind", "source", "place", "study", "measured", "interval", "verdict", "conditions", "control")


ADJUSTED = {
    "quick": "and not adjusted for their number",
    "paper": f"and the tests of one study and kind with at least {FEWEST_ADJUSTED} trials adjusted for their number "
    "(Holm)",
}
PRESETS = tuple(ADJUSTED)
STUDIES: dict[str, StudyRecord] = {
    study.name: study
    for study in (
        assumptions.STUDY,
        rule.STUDY,
        bounds.STUDY,
        approximation.STUDY,
        simulators.STUDY,
        frameworks.STUDY,
        verdicts.STUDY,
        rank.STUDY,
        microcircuits.STUDY,
        ageing.STUDY,
        model.STUDY,
        attention.STUDY,
        attention.TOY,
        softmax.STUDY,
        compare_transfer.STUDY,
        compare_exponential.STUDY,
        sort.STUDY,
        dimension.STUDY,
    )
}
"""Studies by name, the longest first."""


@attrs.frozen
class Config:
    """Options of ``all``."""

    preset: Annotated[str, tyro.conf.arg(metavar="NAME")] = "quick"
    """quick: a first look, minutes. paper: intervals for a publication, hours."""
    studies: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = tuple(STUDIES)
    """Studies to run. The index covers what is complete of all of them."""
    jobs: int = 2
    """Studies that run side by side."""
    seed: int = 1
    """Seed of every study."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython or numpy."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results")
    """Directory of all results, one below it a study."""
    list: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Run nothing: print the studies with their options at the preset and the minutes that each takes."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor the table."""


class Outcome(NamedTuple):
    """What became of a study.

    Attributes
    ----------
    name : str
    state : {"complete", "kept", "failed"}
        ``kept`` is complete from before.
    seconds : float
    line : str
        Last line of what went wrong.
    """

    name: str
    state: str
    seconds: float
    line: str


def prepare(config: Config) -> dict[str, list[str]]:
    """Command line of every study that was asked for.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    member("--preset", config.preset, PRESETS)
    member("--target", config.target, OF_BRIAN2)
    command_line.at_least(jobs=(config.jobs, 1), seed=(config.seed, 0))
    for name in config.studies:
        member("--studies", name, STUDIES)
    common = ["--seed", str(config.seed), "--target", config.target, "--quiet"]
    return {
        name: [*getattr(study, config.preset), *common] for name, study in STUDIES.items() if name in config.studies
    }


def listing(config: Config, commands: dict[str, list[str]]) -> str:
    """Table of the studies: options, and minutes as measured here before, else as the study's record has them."""
    rows = []
    for name, options in commands.items():
        mark, known = config.out / name / MARK, STUDIES[name].minutes
        facts = json.loads(mark.read_text(encoding="utf-8")) if mark.is_file() else {}
        here = facts["seconds"] / 60 if facts.get("options") == options else np.nan
        there = np.nan if known is None else known[PRESETS.index(config.preset)]
        rows.append({"study": name, "options": " ".join(getattr(STUDIES[name], config.preset)) or "-",
                     "minutes": there, "minutes here": here})  # fmt: skip
    table = pd.DataFrame(rows)
    total = table["minutes here"].fillna(table["minutes"]).sum()
    text = table.to_string(index=False, na_rep="not known", float_format=lambda value: f"{value:.1f}")
    unknown = " besides what is not known" if table[["minutes", "minutes here"]].isna().all(axis=1).any() else ""
    return f"{text}\n{total:.0f} minutes of one after the other{unknown}; {config.jobs} run side by side."


def key(name: str, options: list[str]) -> str:
    """What a complete study is known by: SHA-256 of its options, the code and the versions."""
    parts = {"study": name, "options": options, "code": code_digest(), "versions": versions() | framework_versions()}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run_study(name: str, options: list[str], out: Path) -> Outcome:
    """Run one study in a process of its own, unless it is complete."""
    mark, known = out / name / MARK, key(name, options)
    if mark.is_file() and json.loads(mark.read_text(encoding="utf-8")).get("key") == known:
        return Outcome(name, "kept", 0.0, "")
    start = time.monotonic()
    command = [sys.executable, "-m", f"validation.{STUDIES[name].script or name}", *options, "--out", str(out / name)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Outcome(name, "failed", seconds, lines[-1])
    facts = {"key": known, "options": options, "revision": git_revision(), "seconds": round(seconds, 1)}
    write_atomically(mark, lambda path: path.write_text(json.dumps(facts, indent=1), encoding="utf-8"))
    return Outcome(name, "complete", seconds, "")


def run(config: Config, commands: dict[str, list[str]]) -> list[Outcome]:
    """Run the studies, some side by side, and say how each ended."""
    outcomes = []
    progress = tqdm(total=len(commands), desc="studies", disable=config.quiet, file=sys.stderr)
    with progress, ThreadPoolExecutor(config.jobs) as pool:
        started = [pool.submit(run_study, name, options, config.out) for name, options in commands.items()]
        for future in started:
            outcome = future.result()
            outcomes.append(outcome)
            progress.update()
            if not config.quiet:
                line = f"{outcome.name}: {outcome.state}, {outcome.seconds:.0f} s {outcome.line}"
                progress.write(line.rstrip(), file=sys.stderr)
    return outcomes


def findings(root: Path, preset: str = "quick") -> Iterator[tuple[str, Finding]]:
    """Every claim of every study, read off the results below `root`; adjusted for their number in the preset paper."""
    for name, study in STUDIES.items():
        found = study.claims.findings(Results(root / name))
        yield from ((name, finding) for finding in (adjusted(found) if preset == "paper" else found))


def index(config: Config, table: pd.DataFrame, outcomes: list[Outcome]) -> str:
    """Return the index of the claims in `table` as Markdown."""
    studies = [
        f"- [{name}]({name}/report.md)" if (config.out / name / "report.md").is_file() else f"- {name}: not run"
        for name in STUDIES
    ]
    failed = [f"- {outcome.name}: {outcome.line}" for outcome in outcomes if outcome.state == "failed"]
    parts = [
        "# Claims, and what was measured",
        f"Preset {config.preset}, seed {config.seed}, {date.today():%Y-%m-%d}. {len(table)} claims, by their kind:",
        headline(table),
        ". ".join(f"{kind}: {words}" for kind, words in KINDS.items())
        + f". Intervals are nominally 95 %, {ADJUSTED[config.preset]}.",
        markdown(table[list(COLUMNS)]),
        "## What the sources say",
        markdown(answers(table)),
        "## Studies",
        "\n".join(studies),
        *(["## Not run, or failed", "\n".join(failed)] if failed else []),
        made(f"source {code_digest()[:16]}", packages=versions() | framework_versions()),
    ]
    return "\n\n".join(parts) + "\n"


def main(config: Config) -> None:
    """Check, run, and write the index."""
    commands = prepare(config)
    if config.list:
        print(listing(config, commands))
        raise SystemExit(0)  # nothing was made, of which a record could be kept
    out = command_line.writable(config.out)
    outcomes = run(config, commands)
    told = {"preset": config.preset, "date": date.today().isoformat(), "revision": git_revision()}
    table = claims_table(findings(out, config.preset)).assign(**told)
    text = index(config, table, outcomes)
    write_atomically(out / "index.md", lambda path: path.write_text(text, encoding="utf-8"))
    write_atomically(out / "claims.csv", lambda path: table.to_csv(path, index=False))
    if not config.quiet:
        print(table[["claim", "measured", "verdict"]].to_string(index=False, max_colwidth=70))
        print(f"written to {out}: index.md, claims.csv")
    if any(outcome.state == "failed" for outcome in outcomes):
        names = ", ".join(outcome.name for outcome in outcomes if outcome.state == "failed")
        print(f"not complete: {names}; see {out / 'index.md'}", file=sys.stderr)


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
