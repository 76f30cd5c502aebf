"""Order of work of ``audit_model``: options, checks, the model, the audit, and what is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import attrs
import tyro

from biospike.auditing.measure import COLUMNS
from biospike.auditing.run import Audit, audit
from biospike.circuit import Circuit
from biospike.execution import TARGETS
from validation.audit.claims import CLAIMS
from validation.audit.figures import figure
from validation.audit.random_models import MODELS
from validation.audit.report import ATTENTION, NODES, report
from validation.audit.sources import SHIPPED, Source, source
from validation.inputs.circuits import chosen_circuits
from validation.study import command_line
from validation.study.options import member
from validation.study.record import StudyRecord
from validation.study.results import Results


@attrs.frozen
class Config:
    """Options of ``audit_model``."""

    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = SHIPPED
    """tokens (a layer of MiniLM that ships with the package), or with random weights and the extra ml: torch,
    spikformer, snntorch."""
    module: Annotated[str | None, tyro.conf.arg(metavar="FILE.py:FUNCTION")] = None
    """A function of yours that returns a module of torch and what it is called with; the file is executed."""
    package: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """A folder of Hugging Face: config.json, model.safetensors, a tokenizer. Needs the extra hf."""
    texts: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Texts for --package, one a line; default eight sentences."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights of an attention layer: .safetensors, .npz, or .pt (weights only)."""
    tokens: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npy")] = None
    """What the layer of --weights is handed: (tokens, features) or (samples, tokens, features)."""
    layer: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """Which layer of --weights, where there are several, by the path before its names."""
    heads: int | None = None
    """Heads of the layer of --weights, where the file does not say it."""
    causal: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """A token of --weights attends only to itself and those before it."""
    circuits: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ("escape",)
    """Whose laws and neurons the rows are held against, or FILE.py:CLASS."""
    max_rows: int = 256
    """Rows of a head that are measured, evenly through all of them."""
    check_rows: int = 2
    """Rows of a head that are simulated; 0 for none."""
    trials: int = 8
    """Trials of each of them."""
    probes: int = 4
    """Directions of the output over which S is a mean; 0 for none."""
    batch_size: int | None = None
    """Samples on which the model is run at a time; default all at once."""
    batch_axis: int = 0
    """Axis of the samples in the input."""
    op_counter: bool = True
    """Ask SpikingJelly's op_counter too, where it is installed: a second run, and slow."""
    seed: int = 1
    """Same seed, same weights of random models, probes, noise and spikes."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython, numpy, fused or continuous."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/audit_model")
    """Directory for tables, figure and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither table nor notes."""


class Study(NamedTuple):
    """A checked configuration."""

    config: Config
    circuits: list[Circuit]
    source: Source


def prepare(config: Config) -> Study:
    """Check the options, and load the model.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    member("--model", config.model, (SHIPPED, *MODELS))
    member("--target", config.target, TARGETS)
    command_line.at_least(
        seed=(config.seed, 0), trials=(config.trials, 1), max_rows=(config.max_rows, 1), probes=(config.probes, 0),
        check_rows=(config.check_rows, 0),
    )  # fmt: skip
    circuits = [kind() for kind in chosen_circuits("--circuits", config.circuits).values()]
    made = source(
        config.model, seed=config.seed, module=config.module, package=config.package, texts=config.texts,
        weights=config.weights, token_file=config.tokens, layer=config.layer, heads=config.heads, causal=config.causal,
    )  # fmt: skip
    return Study(config, circuits, made)


def run(study: Study) -> Audit:
    """Audit the model."""
    config = study.config
    return audit(
        study.source.module, study.source.inputs, circuits=study.circuits, max_rows=config.max_rows,
        check_rows=config.check_rows, trials=config.trials, probes=config.probes, batch_size=config.batch_size,
        batch_axis=config.batch_axis, op_counter=config.op_counter, seed=config.seed, target=config.target,
    )  # fmt: skip


def main(config: Config) -> None:
    """Check, audit, plot and write."""
    study = prepare(config)
    with Results.of(config) as out:
        found = run(study)
        out.tables(audit=found.table[list(COLUMNS)])
        for columns in (ATTENTION, NODES):
            shown = found.table[found.table[columns[-1]].notna()][columns].dropna(axis=1, how="all")
            if len(shown):
                out.show(shown)
        if len(found.energy):
            out.tables(energy=found.energy)
            out.show(found.energy.drop(columns="why"))
        out.figures(audit=figure(found.table))
        out.report(
            report(study.source.text, found, CLAIMS.findings(out), f"seed {config.seed}, target {config.target}")
        )
        for note in () if config.quiet else found.notes:
            print(f"note: {note}", file=sys.stderr)


STUDY = StudyRecord("audit_model", Config, main, CLAIMS)
