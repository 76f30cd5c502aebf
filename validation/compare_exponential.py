"""Hold the exponentials by coincidence (Lemma 2) and by veto against e^z: bias, and how the error grows with the range.

Neurons in Brian2 read every logit for T timesteps. The Taylor series of Lemma 2 multiplies spikes of copies of an
input; it is run with independent copies, as the lemma needs, and with identical ones, as a shared input gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
import numpy as np
import pandas as pd
import tyro
from matplotlib import style
from matplotlib.figure import Figure

from biospike.errors import InputError
from biospike.plots import BLUE, GREEN, RED, STYLE
from circuits.exponential import Exponential, TaylorExponential, VetoExponential, exponentiate
from validation.study import command_line
from validation.study.claims import PAPER, Claims, Finding, findings_text
from validation.study.options import member
from validation.study.record import StudyRecord
from validation.study.report import made, markdown
from validation.study.results import Missing, Results

LOOK = {"taylor independent": (BLUE, "o"), "taylor identical": (RED, "^"), "veto": (GREEN, "s")}
Z95 = 1.959964
LOGITS = 5
"""Logits that span the range of every circuit."""
TARGETS = ("auto", "numpy", "cython")
ROUNDING = 1e-9
"""Relative difference of a reading without scatter from its closed form: sums of some hundred terms."""


@attrs.frozen
class Config:
    """Options of ``compare_exponential``."""

    ranges: Annotated[tuple[float, ...], tyro.conf.arg(metavar="M ...")] = (1.0, 2.0, 4.0)
    """Half ranges of the logits, nats: z runs from -M to M, and from -2M to 0 for the veto."""
    steps: int = 1000
    """Timesteps T of a reading."""
    trials: int = 64
    """Independent repetitions."""
    seed: int = 1
    """Of the first circuit; the others take the seeds that follow."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto (numpy: these circuits are small), numpy or cython."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_exponential")
    """Directory for table, figure and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show no table."""


def prepare(config: Config) -> dict[tuple[str, float], Exponential]:
    """Check the configuration and make its circuits, by name and range.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    if not config.ranges or min(config.ranges) <= 0 or max(config.ranges) > 8:
        raise InputError(f"--ranges must be above 0 and at most 8 nats, got {' '.join(map(str, config.ranges))}")
    command_line.at_least(steps=(config.steps, 10), trials=(config.trials, 2), seed=(config.seed, 0))
    member("--target", config.target, TARGETS)
    made: dict[tuple[str, float], Exponential] = {}
    for M in config.ranges:
        # The series is truncated where what is left out of e^M is below 1e-6.
        order = next(J for J in range(1, 200) if TaylorExponential(bound=M, order=J).truncation_error(M) < 1e-6)
        for copies in ("independent", "identical"):
            made[f"taylor {copies}", M] = TaylorExponential(bound=M, order=order, copies=copies)
        made["veto", M] = VetoExponential(bound=2 * M)
    return made


def run(config: Config, made: dict[tuple[str, float], Exponential]) -> pd.DataFrame:
    """One row a circuit, range and logit: mean estimate with its interval, and what the closed forms say."""
    target = "numpy" if config.target == "auto" else config.target
    rows = []
    for number, ((name, M), circuit) in enumerate(made.items()):
        z = np.linspace(-2 * M, 0.0, LOGITS) if name == "veto" else np.linspace(-M, M, LOGITS)
        steps = config.steps
        # A seed each: half of every range is the same rate, and would be the same draws.
        seed = config.seed + number
        found = exponentiate(circuit, z, [steps], trials=config.trials, seed=seed, target=target)[..., 0]
        mean, sd = found.mean(axis=0), found.std(axis=0, ddof=1)
        half = Z95 * sd / np.sqrt(config.trials)
        predicted, spread = circuit.mean(z), circuit.relative_sd(z, np.array(steps)) * np.exp(z)
        rows += [
            {"circuit": name, "M": M, "z": z[k], "timesteps": steps, "trials": config.trials, "estimate": mean[k],
             "low": mean[k] - half[k], "high": mean[k] + half[k], "exact": np.exp(z[k]), "predicted": predicted[k],
             "relative_sd": sd[k] / np.exp(z[k]), "relative_sd_predicted": spread[k] / np.exp(z[k])}
            for k in range(len(z))
        ]  # fmt: skip
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> Figure:
    """Estimate over e^z, and relative scatter of one reading, against the logit; lines are the closed forms."""
    ranges = list(dict.fromkeys(table["M"]))
    with style.context(STYLE):
        made = Figure(figsize=(7.0, 3.6))
        grid = made.subplots(2, len(ranges), squeeze=False, sharey="row")
        made.subplots_adjust(left=0.09, right=0.99, bottom=0.11, top=0.88, wspace=0.12, hspace=0.28)
        for column, M in zip(grid.T, ranges, strict=True):
            for name, rows in table[table["M"] == M].groupby("circuit", sort=False):
                z, exact, (colour, marker) = rows["z"], rows["exact"], LOOK[str(name)]
                error = (rows["estimate"] - rows["low"]) / exact
                column[0].errorbar(
                    z, rows["estimate"] / exact, yerr=error, fmt=marker, color=colour, mfc="white", label=str(name)
                )
                column[0].plot(z, rows["predicted"] / exact, color=colour, linewidth=0.8)
                # Where a rate is 0 or 1 nothing scatters, and nothing has no place on a logarithmic axis.
                seen = rows["relative_sd_predicted"] > 0
                column[1].plot(z[seen], rows["relative_sd"][seen], marker, color=colour, mfc="white")
                column[1].plot(z[seen], rows["relative_sd_predicted"][seen], color=colour, linewidth=0.8)
            column[0].set_title(f"M = {M:g}")
            column[1].set_xlabel("logit $z$, nats")
            for axes in column:
                axes.set_yscale("log")
        grid[0, 0].set_ylabel("estimate / $e^z$")
        grid[1, 0].set_ylabel("scatter of a reading / $e^z$")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        made.legend(handles, labels, loc="upper right", ncols=3)
    return made


def _distance(ratio: Any) -> Any:
    """How far a ratio is from 1, in nats; infinite for a reading without a spike."""
    with np.errstate(divide="ignore"):
        return np.abs(np.log(ratio))


def _closed_form(rows: pd.DataFrame) -> str:
    """Where the closed form of the mean lies: readings without scatter have no interval, and are equal to it or not."""
    scatters = rows["relative_sd_predicted"] > 0
    random, exact = rows[scatters], rows[~scatters]
    outside = int(((random["low"] > random["predicted"]) | (random["high"] < random["predicted"])).sum())
    said = []
    if len(random):
        said.append(
            f"the closed form of the mean lies outside the 95 % interval in {outside} of {len(random)} readings that "
            "scatter"
        )
    if len(exact):
        equal = int(np.isclose(exact["estimate"], exact["predicted"], rtol=ROUNDING, atol=0).sum())
        said.append(f"{equal} of {len(exact)} readings without scatter equal it to rounding")
    return "; ".join(said)


def report(config: Config, table: pd.DataFrame, findings: Sequence[Finding]) -> str:
    """Return the report as Markdown."""
    lines = []
    for name, rows in table.groupby("circuit", sort=False):
        worst = rows.loc[_distance(rows["estimate"] / rows["exact"]).idxmax()]
        lines.append(
            f"* **{name}:** at worst {worst['estimate'] / worst['exact']:.3g} of e^z (M = {worst['M']:g}, z = "
            f"{worst['z']:g}); {_closed_form(rows)}; scatter of one reading up to {rows['relative_sd'].max():.3g} of "
            "e^z."
        )
    parts = [
        "# Exponentials of spikes",
        f"{config.trials} readings of {config.steps} timesteps each, seed {config.seed}.",
        "\n".join(lines), "![exponential](exponential.png)", markdown(table),
        "## Claims", findings_text(findings), made(),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


CLAIMS = Claims()


@CLAIMS.add("coincidences of Bernoulli spikes give e^z", f"{PAPER}, Lemma 2")
def taylor(results: Results) -> Finding:
    """Worst estimate of the series, with independent and with identical copies."""
    worst = {}
    for copies in ("independent", "identical"):
        rows = results.table("summary", circuit=f"taylor {copies}")
        rows = rows[rows["relative_sd_predicted"] > 0]
        off = (rows["estimate"] / rows["exact"]).to_numpy()
        inside = rows["exact"].between(rows["low"], rows["high"])
        worst[copies] = off[_distance(off).argmax()], int(inside.sum()), len(rows)
    (independent, inside, of), (identical, _, _) = worst["independent"], worst["identical"]
    return Finding(
        f"independent copies: at worst {independent:.3g} of e^z; identical copies: {identical:.3g} of e^z",
        f"e^z within the 95 % interval in {inside} of {of} readings of independent copies",
        "depends: on independent copies" if _distance(identical) > 0.1 else "holds",
    )


@CLAIMS.add("the error of Lemma 2 does not grow with the range of the logits", f"{PAPER}, Lemma 2")
def taylor_range(results: Results) -> Finding:
    """Relative scatter of a reading at the smallest and the largest range."""
    rows = results.table("summary", circuit="taylor independent").groupby("M")["relative_sd"].max()
    if not rows.iloc[0] > 0:
        raise Missing("readings of the smallest range do not scatter")
    ratio = rows.iloc[-1] / rows.iloc[0]
    return Finding(
        f"scatter of a reading, relative to e^z, {rows.iloc[0]:.3g} at M = {rows.index[0]:g} and {rows.iloc[-1]:.3g} "
        f"at M = {rows.index[-1]:g} nats",
        "",
        "does not hold" if ratio > 2 else "holds",
    )


def main(config: Config) -> None:
    """Check, run, plot and write."""
    circuits = prepare(config)
    with Results.of(config) as out:
        table = run(config, circuits)
        out.tables(summary=table)
        out.show(table)
        out.figures(exponential=figure(table))
        out.report(report(config, table, CLAIMS.findings(out)))


STUDY = StudyRecord("compare_exponential", Config, main, CLAIMS, quick=(), paper=("--trials", "1000"))


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
