"""Order of work of ``compare_simulators``: options, checks, run, and what is written."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import attrs
import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from biospike import simulate
from biospike.circuit import Batch, Circuit
from biospike.errors import InputError, InputWarning
from biospike.execution import count_steps
from biospike.parameters import parse_quantity
from biospike.plots import save_figure
from biospike.simulation import check_study
from circuits import SOFTMAX_CIRCUITS
from validation.data import attention_rows
from validation.inputs.logits import read_logits
from validation.simulators import brian2 as simulators_brian2
from validation.simulators import nest as simulators_nest
from validation.simulators.cases import Case, constant_cases, frozen_cases, noise_cases
from validation.simulators.claims import CLAIMS
from validation.simulators.controls import circuit_controls, neuron_controls
from validation.simulators.data import Recorded, load_results, save_results
from validation.simulators.figures import draw
from validation.simulators.mapping import Wiring, lif_parameters, names, noise_amplitude, wire
from validation.simulators.report import report
from validation.simulators.tables import CaseResult, CircuitResult, neurons_table, not_run, summary_table
from validation.study.left_out import say, those_that_take
from validation.study.options import members
from validation.study.record import StudyRecord
from validation.study.results import Results

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

OTHER_TRIALS = 2**20
"""Initial membranes of NEST are drawn with the trial numbers from here on, which Brian2 does not use."""
SHOWN = ["circuit", "measure", "brian2", "nest", "difference", "low", "high", "seed_to_seed", "rank", "verdict"]

ADVICE = "here it is run as it ships"
MOST_NAMED = 12
"""Rows that a note names."""


@attrs.frozen
class Config:
    """Options of ``compare_simulators``."""

    logits: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Rows of logits in nats: .npy, .npz (array 'logits') or .csv; NaN, -inf or an empty field masks a key.
    Default: real attention rows of a trained transformer, shipped with biospike."""
    no_frame: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Read all of a text file as logits, also what looks like header and index of a data frame."""
    rows: int = 12
    """How many of the rows are run, spread evenly over all of them."""
    circuits: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = tuple(names())
    """Circuits to run."""
    duration: Annotated[str, tyro.conf.arg(metavar="TIME")] = "2 s"
    """Length of every run of a circuit, with its unit."""
    trials: int = 8
    """Seeds of each simulator; at least 7 each for a difference to be called significant."""
    neurons: int = 1000
    """Neurons under white noise."""
    seed: int = 1
    """Brian2's seed, and what those of NEST are derived from."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython or numpy: of biospike.simulate, which counts again what was recorded on numpy."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_simulators")
    """Directory for tables, spikes, figures and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor tables."""


@attrs.frozen(eq=False)
class Study:
    """A checked configuration: what `run` needs."""

    config: Config
    nest: Any
    logits: NDArray[np.float64]
    circuits: dict[str, Circuit]
    """Those that are run."""
    left_out: dict[str, str]
    """Those that cannot take a row, and why, in a line each."""
    duration: Quantity
    cases: list[Case]

    def steps(self, circuit: Circuit) -> int:
        """Length of a run of `circuit`."""
        return count_steps(self.duration, circuit.dt, like=self.duration)


def prepare(config: Config) -> Study:
    """Check the whole configuration, read its input and load NEST.

    Raises
    ------
    InputError
        Naming the value and what is accepted, or the extra that is missing.
    """
    logits = attention_rows() if config.logits is None else read_logits(config.logits, frame=not config.no_frame)
    if not 1 <= config.rows <= len(logits):
        raise InputError(f"--rows {config.rows}: expected 1 to {len(logits)}, the rows there are")
    if config.trials < 2:
        raise InputError(f"--trials {config.trials}: expected at least 2, for a distance between seeds")
    if config.neurons < 2:
        raise InputError(f"--neurons {config.neurons}: expected at least 2, for an error of their mean")
    members("--circuits", config.circuits, names(), otherwise="has no counterpart in NEST")
    chosen = np.linspace(0, len(logits) - 1, config.rows).astype(int)
    if config.logits is not None and len(chosen) < len(logits):
        shown = ", ".join(map(str, chosen[:MOST_NAMED])) + (", ..." if len(chosen) > MOST_NAMED else "")
        text = f"{len(chosen)} of {len(logits)} rows of --logits are run, {shown}; --rows {len(logits)} runs them all"
        warnings.warn(text, InputWarning, stacklevel=2)
    logits = logits[chosen]
    circuits, left_out = those_that_take({name: SOFTMAX_CIRCUITS[name]() for name in config.circuits}, logits, ADVICE)
    duration = parse_quantity(config.duration, like=2 * b2.second)
    study = Study(config, None, logits, circuits, left_out, duration, [])
    for circuit in circuits.values():
        check_study(circuit, logits, **_options(study))
    cases = [*constant_cases(), *frozen_cases(config.seed), *noise_cases(config.neurons)]
    return attrs.evolve(study, cases=cases, nest=simulators_nest.load_nest())


def _options(study: Study) -> dict[str, Any]:
    config = study.config
    return {
        "duration": study.duration,
        "trials": config.trials,
        "seed": config.seed,
        "target": config.target,
        "checkpoints": 1,
    }


def nest_seed(seed: int, *numbers: int) -> int:
    """Seed of NEST, from 1 to 2**32 - 1, for one run of many: independent of all others."""
    return int(np.random.SeedSequence([seed, *numbers]).generate_state(1)[0]) or 1


def run(study: Study) -> Recorded:
    """Run everything in both simulators."""
    jobs: list[tuple[str, Callable[[], Any]]] = [
        (case.name, lambda case=case, number=number: run_case(study, case, number))  # type: ignore[misc]
        for number, case in enumerate(study.cases)
    ]
    jobs += [(name, lambda name=name: run_circuit(study, name)) for name in study.circuits]  # type: ignore[misc]
    done = [work() for work in _shown(jobs, study.config.quiet)]
    cases, circuits = done[: len(study.cases)], dict(zip(study.circuits, done[len(study.cases) :], strict=True))
    return Recorded(cases, circuits, study.logits, study.config.seed, study.config.neurons)


def _shown(jobs: list[tuple[str, Callable[[], Any]]], quiet: bool) -> Iterator[Callable[[], Any]]:
    with tqdm(jobs, unit="run", disable=quiet, leave=False) as bar:
        for name, work in bar:
            bar.set_description(name)
            yield work


def run_case(study: Study, case: Case, number: int) -> CaseResult:
    """Run single neurons in both simulators; a constant current with both values of t_ref, where they differ."""
    n, seed = len(case.v_inf), study.config.seed
    options: dict[str, Any] = {"dt": case.dt, "steps": case.steps, "frozen": case.frozen}
    if case.sigma is not None:
        options |= {
            "noise_std": noise_amplitude(case.sigma, case.cell.tau_m, case.dt),
            "seed": nest_seed(seed, 0, number),
        }
    found = [
        simulators_nest.run_neurons(
            study.nest, lif_parameters(case.cell, case.dt, case.v_inf, same_refractory=same), n, **options
        )
        for same in ((False, True) if case.kind == "constant" and case.cell.refractory > 0 * b2.ms else (False,))
    ]
    return CaseResult(
        case,
        simulators_brian2.run_neurons(case, seed=seed + number),
        found[0],
        found[1] if len(found) > 1 else None,
        float("nan")
        if case.sigma is None
        else simulators_nest.siegert_rate(study.nest, case.cell, case.v_inf[0], case.sigma),
    )


def run_circuit(study: Study, name: str) -> CircuitResult:
    """Run a circuit in both simulators, and count with `simulate` what was recorded."""
    circuit, config = study.circuits[name], study.config
    brian2 = simulators_brian2.run_rows(
        circuit, study.logits, steps=study.steps(circuit), trials=config.trials, seed=config.seed
    )
    counted = simulate(circuit, study.logits, **_options(study))
    total = counted["spike_count"].isel(checkpoint=-1).transpose("trial", "row", "key").values
    unmasked = ~np.isnan(study.logits)
    recorded = np.stack([np.bincount(spikes.neuron, minlength=unmasked.sum()) for spikes in brian2])
    differing = int(np.abs(total[:, unmasked] - recorded).sum())
    return CircuitResult(
        circuit, study.steps(circuit), brian2, nest_rows(study, name), differing, str(counted.attrs["target"])
    )


def nest_rows(
    study: Study, name: str, change: Callable[[Wiring], Wiring] | None = None
) -> list[simulators_nest.Spikes]:
    """Spikes of a circuit in NEST, one recording a seed; `change` may alter the wiring."""
    circuit, rows = study.circuits[name], len(study.logits)
    place, steps = names().index(name), study.steps(circuit)
    recordings = []
    for number in range(study.config.trials):
        trial = np.full(rows, OTHER_TRIALS + number)
        wiring = wire(circuit, Batch(study.logits, trial, np.arange(rows), study.config.seed), steps)
        recordings.append(
            simulators_nest.run_rows(
                study.nest,
                wiring if change is None else change(wiring),
                ~np.isnan(study.logits),
                dt=circuit.dt,
                steps=steps,
                seed=nest_seed(study.config.seed, 1 + place, number, int(change is not None)),
            )
        )
    return recordings


def tabulate(study: Study, results: Recorded) -> dict[str, pd.DataFrame]:
    """Tables by name: neurons, summary, controls. The controls run NEST again, with errors in it."""

    def rerun(name: str, change: Callable[[Wiring], Wiring]) -> CircuitResult:
        return results.circuits[name]._replace(nest=nest_rows(study, name, change))

    summary = summary_table(results.circuits, study.logits)
    controls = [neuron_controls(study.nest, results.cases), circuit_controls(summary, rerun, study.logits)]
    return {
        "neurons": neurons_table(results.cases),
        "summary": pd.concat([summary, not_run(study.left_out, summary)], ignore_index=True),
        "controls": pd.concat([table for table in controls if len(table)], ignore_index=True),
    }


def main(config: Config) -> None:
    """Check, run, tabulate, plot and write."""
    study = prepare(config)
    say(study.left_out)
    with Results.of(config) as out:
        results = run(study)
        tables = tabulate(study, results)
        save_results(results, out.directory / "spikes.npz")
        out.tables(**tables)
        out.show(tables["summary"][SHOWN], tables["controls"])
        out.figures(**draw(results, tables))
        version, findings = str(study.nest.__version__), CLAIMS.findings(out)
        out.report(report(results, tables, version=version, findings=findings, left_out=study.left_out))


def redraw(results: Results, out: Path) -> None:
    """Draw ``simulators_neurons``, ``simulators_raster``, ``simulators_shares`` and ``simulators_isi`` again."""
    recorded = load_results(results.directory / "spikes.npz")
    for name, figure in draw(recorded, {"neurons": results.table("neurons"), "summary": results.table()}).items():
        save_figure(figure, out, f"simulators_{name}")


STUDY = StudyRecord(
    "compare_simulators",
    Config,
    main,
    CLAIMS,
    redraw,
    quick=("--trials", "8", "--rows", "6", "--duration", "1 s"),
    paper=("--trials", "24"),
)
