"""Which normalisation shared inhibition computes: the f-I curve of the neurons decides.

Deterministic integrate-and-fire keys charge at f(u - I), with one inhibition I that is subtracted from all keys of a
row and holds the row's rate at R0:

    dv_i/dt = R0*f(u_i - I),  v_i >= 1: v_i -> v_i - 1 and I -> I + w,      dI/dt = -w*R0

In balance sum_i f(u_i - I) = 1. An exponential f then gives softmax, a threshold-linear one sparsemax, and a quadratic
one, of u = z/2, 1.5-entmax.

References
----------
A. F. T. Martins, R. F. Astudillo (2016), From softmax to sparsemax, ICML, arXiv:1602.02068.
B. Peters, V. Niculae, A. F. T. Martins (2019), Sparse sequence-to-sequence models, ACL, arXiv:1905.05702 (entmax).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import attrs
import numpy as np
import pandas as pd
import tyro
from matplotlib import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

from biospike import runtime
from biospike.errors import InputError
from biospike.ideal.softmax import entmax15, softmax, sparsemax
from biospike.metrics import total_variation
from biospike.plots import BLUE, GREEN, RED, STYLE
from biospike.session import assemble
from biospike.theory.regularity import regular_tv
from validation.data import attention_rows
from validation.study import command_line
from validation.study.claims import OURS, Claims, Finding, findings_text, judged
from validation.study.options import member
from validation.study.record import StudyRecord
from validation.study.report import made, markdown
from validation.study.results import Results
from validation.study.thresholds import LATER
from validation.study.verdict import Case
from validation.study.words import conditions

import brian2 as b2

Array = NDArray[np.float64]

KEYS = """
dv/dt = R0*f   : 1
f = {curve}    : 1
x = u - I      : 1
u              : 1 (constant)
I              : 1 (linked)
count          : integer
row            : integer (constant)
"""
HUB = "dI/dt = -w*R0 : 1"
RATE, STEP, GAIN = 200 * b2.Hz, 0.5 * b2.ms, 0.01
TARGETS = ("auto", "numpy", "cython")


class Transfer(NamedTuple):
    """An f-I curve: its expression, the scale of u in nats, its limit, and the inverse of f."""

    curve: str
    scale: float
    limit: Callable[[Array], Array]
    inverse: Callable[[Array], Array]


TRANSFERS = {
    "exponential": Transfer("exp(x)", 1.0, softmax, np.log),
    "threshold-linear": Transfer("clip(x, 0, inf)", 1.0, sparsemax, lambda f: f),
    "quadratic": Transfer("clip(x, 0, inf)**2", 0.5, entmax15, np.sqrt),
}
LIMITS = {"softmax": softmax, "sparsemax": sparsemax, "entmax15": entmax15}


@attrs.frozen
class Config:
    """Options of ``compare_transfer``."""

    rows: int = 12
    """How many of the shipped attention rows are run, spread evenly over all of them."""
    spikes: int = 2000
    """Spikes of a row in the window."""
    trials: int = 8
    """Initial phases."""
    seed: int = 1
    """Of the initial phases."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto (numpy), numpy or cython."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_transfer")
    """Directory for table, figure and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show no table."""


def prepare(config: Config) -> Array:
    """Check the configuration and choose the rows, (rows, keys) in nats with NaN for no key.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    every = attention_rows()
    command_line.at_least(
        rows=(config.rows, 1), spikes=(config.spikes, 100), trials=(config.trials, 1), seed=(config.seed, 0)
    )
    if config.rows > len(every):
        raise InputError(f"--rows must be at most {len(every)}, got {config.rows}")
    member("--target", config.target, TARGETS)
    return every[np.linspace(0, len(every) - 1, config.rows).round().astype(int)]


def simulate(transfer: Transfer, logits: Array, config: Config) -> Array:
    """Shares (trials, rows, keys) of one f-I curve, 0 where there is no key."""
    tiled = np.broadcast_to(logits, (config.trials, *logits.shape)).reshape(-1, logits.shape[-1])
    there = ~np.isnan(tiled)
    row = np.nonzero(there)[0]
    u = transfer.scale * (tiled - np.nanmax(tiled, axis=1, keepdims=True))
    # The inhibition starts where it will balance: u - I of the strongest key is the inverse of its share.
    balance = -transfer.inverse(np.nanmax(transfer.limit(tiled), axis=1))
    with runtime.preferences("cython" if config.target == "cython" else "numpy", float(STEP)):
        hub = b2.NeuronGroup(len(tiled), HUB, method="euler", dt=STEP, namespace={"w": GAIN, "R0": RATE})
        hub.I = balance
        keys = b2.NeuronGroup(
            len(row), KEYS.format(curve=transfer.curve), threshold="v >= 1", reset="v -= 1\ncount += 1",
            method="euler", dt=STEP, namespace={"R0": RATE},
        )  # fmt: skip
        keys.row, keys.u = row, u[there]
        keys.v = np.random.default_rng(config.seed).random(len(row))
        keys.I = b2.linked_var(hub, "I", index=row)
        inhibit = b2.Synapses(keys, hub, on_pre="I_post += w", dt=STEP, namespace={"w": GAIN})
        inhibit.connect(i=np.arange(len(row)), j=row)
        assemble(hub, keys, inhibit).run(config.spikes / RATE, namespace={})
        counts = np.zeros(tiled.shape)
        counts[there] = keys.count[:]
    return np.asarray((counts / counts.sum(axis=1, keepdims=True)).reshape(config.trials, *logits.shape))


def run(config: Config, logits: Array) -> pd.DataFrame:
    """One row an f-I curve: TV from every normalisation, with the interval of that from its own limit."""
    exact = {name: limit(logits) for name, limit in LIMITS.items()}
    rows = []
    for name, transfer in TRANSFERS.items():
        shares = simulate(transfer, logits, config)
        own = total_variation(shares, transfer.limit(logits))
        rows.append(
            {"transfer": name, "limit": next(k for k, f in LIMITS.items() if f is transfer.limit), "rows": len(logits),
             "trials": config.trials, "spikes_per_row": config.spikes}
            | {f"tv_{limit}": float(total_variation(shares, p).mean()) for limit, p in exact.items()}
            | {"tv_low": float(own.min()), "tv_high": float(own.max()),
               "grid_floor": float(regular_tv(transfer.limit(logits), config.spikes).mean()),
               "silent_fraction": float((shares[:, ~np.isnan(logits)] == 0).mean())}
        )  # fmt: skip
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> Figure:
    """TV of every f-I curve from every normalisation; the line is what whole spikes leave."""
    with style.context(STYLE):
        made = Figure(figsize=(3.5, 2.2))
        axes = made.add_axes((0.16, 0.17, 0.6, 0.76))
        for number, (limit, colour) in enumerate(zip(LIMITS, (BLUE, RED, GREEN), strict=True)):
            place = np.arange(len(table)) + 0.2 * (number - 1)
            axes.plot(place, table[f"tv_{limit}"], "osD"[number], color=colour, label=limit)
        axes.plot(range(len(table)), table["grid_floor"], "_", color="0.5", markersize=22, label="whole spikes")
        axes.set(yscale="log", ylabel="total variation from", xlim=(-0.5, len(table) - 0.5))
        axes.set_xticks(range(len(table)), table["transfer"])
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return made


def report(config: Config, table: pd.DataFrame, findings: Sequence[Finding]) -> str:
    """Return the report as Markdown."""
    lines = []
    for row in table.to_dict("records"):
        others = {limit: row[f"tv_{limit}"] for limit in LIMITS if limit != row["limit"]}
        lines.append(
            f"* **{row['transfer']}** keys compute {row['limit']} to TV {row['tv_' + row['limit']]:.2g} "
            f"({row['tv_low']:.1g} to {row['tv_high']:.1g} over rows and phases; whole spikes leave about "
            f"{row['grid_floor']:.1g}); they are {', '.join(f'{tv:.2g} from {name}' for name, tv in others.items())}."
        )
    parts = [
        "# What the f-I curve selects",
        f"{config.rows} attention rows, {config.spikes} spikes a row, {config.trials} initial phases, "
        f"seed {config.seed}.",
        "\n".join(lines), "![transfer](transfer.png)", markdown(table), "## Claims", findings_text(findings), made(),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


CLAIMS = Claims()


@CLAIMS.add("exponential, threshold-linear and quadratic f-I curves give softmax, sparsemax and 1.5-entmax", OURS)
def transfer(results: Results) -> Finding:
    """Distance of every f-I curve from its own limit, in units of what whole spikes leave."""
    rows, names = results.table("summary").to_dict("records"), ("softmax", "sparsemax", "entmax15")
    others = [min(row[f"tv_{n}"] for n in names if n != row["limit"]) for row in rows]
    return judged(
        "; ".join(
            f"{row['transfer']} TV {row['tv_' + row['limit']]:.2g} from {row['limit']}, {other:.2g} from the next"
            for row, other in zip(rows, others, strict=True)
        ),
        [
            Case(name=row["transfer"], estimate=row[f"tv_{row['limit']}"] / row["grid_floor"],
                 low=row["tv_low"] / row["grid_floor"], high=row["tv_high"] / row["grid_floor"], most=LATER)
            for row in rows
        ],
        on="the f-I curve",
        decision="range",
        threshold_from=f"{LATER:g} times what whole spikes leave",
        control="the nearest other normalisation: " + "; ".join(f"{other:.2g}" for other in others),
        conditions=conditions(rows[0]) + "; range over rows and phases",
    )  # fmt: skip


def main(config: Config) -> None:
    """Check, run, plot and write."""
    logits = prepare(config)
    with Results.of(config) as out:
        table = run(config, logits)
        out.tables(summary=table)
        out.show(table, digits=3)
        out.figures(transfer=figure(table))
        out.report(report(config, table, CLAIMS.findings(out)))


STUDY = StudyRecord(
    "compare_transfer",
    Config,
    main,
    CLAIMS,
    quick=("--rows", "6"),
    paper=("--spikes", "20000"),
    minutes=(0.1, 2.5),
)


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
