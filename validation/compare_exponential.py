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
from scipy import stats

from biospike.errors import InputError
from biospike.plots import BLUE, GREEN, RED, STYLE
from circuits.exponential import Exponential, TaylorExponential, VetoExponential, exponentiate
from validation.study import command_line
from validation.study.claims import IMPLIED, REPORTED, Claims, Finding, findings_text, judged
from validation.study.options import member
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.report import made, markdown
from validation.study.results import Missing, Results
from validation.study.thresholds import CLOSE
from validation.study.verdict import FAILS, HOLDS, UNDECIDED, Case

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
GROWTH = 2.0
"""Factor up to which a scatter is said not to grow: a doubling asks for four times the timesteps."""


def _readings(rows: pd.DataFrame) -> list[Case]:
    """Estimates over e^z, with intervals that hold all of them at once (Bonferroni)."""
    rows = rows[rows["relative_sd_predicted"] > 0]
    wider = stats.norm.ppf(1 - 0.025 / max(len(rows), 1)) / Z95
    cases = []
    for row in rows.to_dict("records"):
        estimate, half = row["estimate"] / row["exact"], wider * (row["high"] - row["low"]) / 2 / row["exact"]
        cases.append(Case(estimate=estimate, low=estimate - half, high=estimate + half, least=1 - CLOSE, most=1 + CLOSE,
                          trials=row["trials"]))  # fmt: skip
    return cases


@CLAIMS.add("coincidences of Bernoulli spikes give e^z", REPORTED, kind="reported", place="Lemma 2")
def taylor(results: Results) -> Finding:
    """Estimates of the series, with independent and with identical copies."""
    cases, told = [], []
    for copies in ("independent", "identical"):
        readings = _readings(results.table("summary", circuit=f"taylor {copies}"))
        if not readings:
            raise Missing("no reading scatters")
        found = [case.verdict for case in readings]
        word = FAILS if FAILS in found else UNDECIDED if UNDECIDED in found else HOLDS
        cases.append(Case(name=f"{copies} copies", word=word, trials=readings[0].trials))
        worst = max((case.estimate for case in readings), key=lambda ratio: abs(np.log(max(ratio, 1e-300))))
        told.append(f"{copies} copies: at worst {worst:.3g} of e^z, {found.count(HOLDS)} of {len(found)} readings hold")
    return judged(
        "; ".join(told),
        cases,
        on="independent copies",
        decision="equivalence",
        interval="95 % for all readings of a circuit together",
        threshold_from=f"every reading within {CLOSE:.0%} of e^z",
        conditions=f"half ranges {', '.join(f'{M:g}' for M in results.table('summary')['M'].unique())} nats",
    )


@CLAIMS.add(
    "the error of Lemma 2 does not grow with the range of the logits", IMPLIED, kind="implied",
    place="Lemma 1 grants T_0 = O(1/delta^2) whatever the range, and Lemma 2 reads its rates",
)  # fmt: skip
def taylor_range(results: Results) -> Finding:
    """Ratio of the relative scatters at the largest and the smallest range, each where its closed form is largest."""
    rows = results.table("summary", circuit="taylor independent")
    worst = rows.loc[rows.groupby("M")["relative_sd_predicted"].idxmax()].sort_values("M")
    first, last = worst.iloc[0], worst.iloc[-1]
    if first["M"] == last["M"]:
        raise Missing("one range does not tell")
    ratio = last["relative_sd"] / first["relative_sd"]
    # Of two independent scatters of normal readings the ratio of squares is Fisher's F times that of the variances.
    fisher = stats.f(last["trials"] - 1, first["trials"] - 1)
    low, high = (ratio / np.sqrt(fisher.ppf(tail)) for tail in (0.975, 0.025))
    return judged(
        f"scatter of a reading, relative to e^z, {first['relative_sd']:.3g} at M = {first['M']:g} and "
        f"{last['relative_sd']:.3g} at M = {last['M']:g} nats",
        [Case(estimate=ratio, low=low, high=high, most=GROWTH, trials=last["trials"])],
        threshold_from=f"a factor of {GROWTH:g}",
        conditions=f"T = {last['timesteps']:.0f}; scatter taken as normal",
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


STUDY = StudyRecord(
    "compare_exponential", Config, main, CLAIMS, quick=(), paper=("--trials", "1000"), minutes=(0.3, NOT_TIMED)
)


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
