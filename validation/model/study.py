"""Order of work of ``compare_model``: checks, runs, and what is written."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from validation.model import measure
from validation.model.claims import CLAIMS
from validation.model.figures import model_figure
from validation.model.gather import Measured, tabulate
from validation.model.models import Model
from validation.model.options import Config, prepare
from validation.model.report import report
from validation.model.tables import SHOWN
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results


def run(config: Config, models: list[Model]) -> tuple[dict[str, pd.DataFrame], dict[str, xr.Dataset]]:
    """Every table, by the name of its file, and the datasets by model."""
    found = {model.name: Measured(config, model) for model in models}
    work = [job for one in found.values() for job in one.jobs()]
    for job, result in measure.run(work, workers=config.jobs, scheduler=config.scheduler, progress=not config.quiet):
        found[job.model.name].add(job, result)
    made = {name: tabulate(one) for name, one in found.items()}
    names = next(iter(made.values()))[0]
    joined = {name: pd.concat([own[name] for own, _ in made.values()], ignore_index=True) for name in names}
    return joined, {name: data for name, (_, data) in made.items()}


def main(config: Config) -> None:
    """Check, run, plot and write."""
    models = prepare(config)
    with Results.of(config) as out:
        made, data = run(config, models)
        out.tables(**made)
        out.save("model", data)
        out.show(made["summary"][list(SHOWN)], digits=3)
        out.figures(**{f"model_{name}": model_figure(name, made) for name in data})
        out.report(report(config, models, made, CLAIMS.findings(out)))


STUDY = StudyRecord("compare_model", Config, main, CLAIMS, quick=(), paper=("--full",), minutes=(5.3, NOT_TIMED))
