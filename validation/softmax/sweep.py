"""``compare_softmax --sweep``: a grid of circuits, parameters, logits, seeds and durations, point by point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import pandas as pd
from tqdm import tqdm

from biospike import execution
from biospike.parameters import to_plain
from biospike.recording import git_revision, versions
from biospike.sweep import Point, read, sweep
from biospike.tables import converge, summarise
from validation.softmax.sweep_figure import sweep_figure
from validation.softmax.sweep_file import read_sweep
from validation.study import command_line
from validation.study.report import markdown
from validation.study.results import Results

SHOWN = ["spikes_per_row", "tv", "tv_expected", "limit_tv", "order"]
MOST_SHOWN = 60
"""Lines of a table that is printed or put into the report; the files have all of them."""


STALE = (
    *("convergence.csv", "counts.nc", "traces.nc"),
    *(f"{figure}.{kind}" for figure in ("sweep", "convergence", "raster") for kind in ("png", "pdf")),
)
"""What an older run may have left that this one does not write again."""

FEW = 10
"""Points whose tables are made one after another: even new processes would not be worth it."""


class Options(NamedTuple):
    """Options of a sweep besides its file."""

    out: Path
    jobs: int | None
    scheduler: str | None
    quiet: bool


def main(file: Path, options: Options) -> None:
    """Check the file, run what is missing, and write the tables of all points."""
    points = read_sweep(file)
    with Results.of(options) as out:
        progress = not options.quiet
        files = sweep(points, out.directory, jobs=options.jobs, scheduler=options.scheduler, progress=progress)
        windows, table = tabulate(points, files, jobs=options.jobs, progress=progress)
        swept = swept_columns(points)
        merged = over_seeds(table, swept)
        command_line.remove(out.directory, STALE)
        out.tables(summary=windows, sweep=table)
        figure = sweep_figure(table, [name for name in swept if name not in ("circuit", "logits")])
        if figure is not None:
            out.figures(sweep=figure)
        out.report(report(file, merged, table, drawn=figure is not None))
        out.show(merged.head(MOST_SHOWN))
        if progress:
            print(f"{len(set(files))} points in {out.directory / 'points'}")


def labels(point: Point) -> dict[str, Any]:
    """Values that tell points apart: circuit, logits, window in s, seed, and every parameter in SI base units."""
    parameters = {name: value for name, value in to_plain(point.circuit).items() if name != "dt"}
    configuration = point.configuration()
    return {
        "circuit": point.circuit.name,
        "logits": point.labels["logits"],
        "duration_s": configuration["steps"] * configuration["dt"],
        "dt_s": configuration["dt"],
        "seed": point.seed,
        **parameters,
    }


def swept_columns(points: list[Point]) -> list[str]:
    """Columns of `labels` that differ among the points of one circuit, or between circuits the circuit itself."""
    table = pd.DataFrame([labels(point) for point in points])
    varied = {
        name for _, mine in table.groupby("circuit") for name in mine.columns if mine[name].nunique(dropna=True) > 1
    }
    return [name for name in table.columns if name in varied or (name == "circuit" and table[name].nunique() > 1)]


def tabulate(
    points: list[Point], files: list[Path], *, jobs: int | None, progress: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of all points: one row a point and window, and one row a point.

    Columns are `key`, those of `labels`, then those of ``summary.csv``; the second table has the longest window and the
    fit of ``convergence.csv``.
    """
    # Those that ran the points are there still, and cost nothing to start.
    processes = execution.check_jobs(jobs) if len(points) > FEW else 1
    workers = joblib.Parallel(n_jobs=processes, return_as="generator")
    one = joblib.delayed(_tabulate)
    bar = tqdm(total=len(points), desc="tables", unit="point", disable=not progress, leave=False)
    windows, rows = [], []
    with bar:
        for mine, row in workers(one(point, file) for point, file in zip(points, files, strict=True)):
            windows.append(mine)
            rows.append(row)
            bar.update()
    return pd.concat(windows, ignore_index=True), pd.DataFrame(rows)


def _tabulate(point: Point, file: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    data = read(file)
    summary = summarise(data, point.circuit)
    named = {"key": file.stem, **labels(point)}
    fit = converge(data, summary)
    others = summary.drop(columns=[name for name in summary.columns if name in named])
    front = pd.DataFrame([named] * len(others))
    last = {**named, **others.iloc[-1].to_dict(), **{name: value for name, value in fit.items() if name not in named}}
    return pd.concat([front, others.reset_index(drop=True)], axis=1), last


def over_seeds(table: pd.DataFrame, swept: list[str]) -> pd.DataFrame:
    """Mean over the seeds of every combination of what else is swept, with the scatter of TV between seeds."""
    names = [name for name in swept if name != "seed"] or ["circuit"]
    groups = table.groupby(names, sort=False, dropna=False)
    means = groups[SHOWN].mean()
    means.insert(0, "seeds", groups["seed"].nunique())
    means.insert(3, "tv_sd", groups["tv"].std())
    return means.reset_index()


def report(file: Path, merged: pd.DataFrame, table: pd.DataFrame, *, drawn: bool) -> str:
    """Return what was run and found, as Markdown."""
    seeds = table["seed"].nunique()
    shown = merged.head(MOST_SHOWN)
    more = [] if len(shown) == len(merged) else [f"The first {len(shown)} of {len(merged)}; `sweep.csv` has them all."]
    best = table.loc[table["tv"].idxmin()]
    parts = [
        f"# Sweep of {file.name}",
        f"{len(table)} points: {', '.join(f'{n} of {name}' for name, n in table['circuit'].value_counts().items())}; "
        f"{seeds} seed{'s' * (seeds > 1)}, {int(table['trials'].iloc[0])} trials a point. Parameters are in SI base "
        "units. TV is the mean total variation between shares and softmax in the longest window; `tv_sd` its standard "
        "deviation between seeds, `tv_expected` the circuit's error law at the same spike counts, `limit_tv` its bias "
        "in closed form, `order` the slope of log TV on log spikes.",
        markdown(shown),
        *more,
        f"Least TV: {best['tv']:.4g} by `{best['circuit']}` with {best['spikes_per_row']:.0f} spikes a row, point "
        f"`{best['key'][:12]}`.",
        *(["![TV against what was swept](sweep.png)"] if drawn else []),
        f"Revision {git_revision()}; {json.dumps(versions())}.",
    ]
    return "\n\n".join(parts) + "\n"
