"""Figures of the design rule: T*eps^2 against either dimension, error curves beside closed forms, and constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, NullLocator

from biospike.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, STYLE
from biospike.theory import paper
from validation.rule.record import ENCODING_ONLY

COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, "black", "0.5")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
READ_OUT_STYLE = {"plain": (BLUE, "o"), "projected": (ORANGE, "s"), "inside": (GREEN, "^")}
DIMENSIONS = {"d_eff": "effective dimension, $d_{eff}$", "ambient": "ambient dimension, $n d$"}
NORMS = {"frobenius": "Frobenius", "rms": "per entry"}
CURVES = 4
"""Input sets whose error curves are drawn: the first three and the last."""


def plot(data: xr.Dataset, summary: pd.DataFrame, fits: pd.DataFrame) -> dict[str, Figure]:
    """Draw all figures, each by its name; those without a point are left out."""
    known = summary[(summary["split"] == "calibration") & summary["timesteps"].notna()]
    figures = {f"rule_{norm}": rule_figure(known, fits, norm) for norm in NORMS if (known["norm"] == norm).any()}
    figures["errors"] = error_figure(data)
    if (fits["C"] > 0).any():
        figures["constants"] = constant_figure(fits)
    return figures


def set_styles(names: list[str], kinds: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Marker of every input set: filled for real ones, open for synthetic ones."""
    styles = {}
    for k, name in enumerate(names):
        colour = COLOURS[k % len(COLOURS)]
        inner = colour if kinds[name] == "real" else "white"
        styles[name] = {"color": colour, "marker": MARKERS[k % len(MARKERS)], "mfc": inner, "mew": 0.8, "ls": ""}
    return styles


def rule_figure(known: pd.DataFrame, fits: pd.DataFrame, norm: str) -> Figure:
    """T*eps^2 against d_eff and beside it against n*d: Bernoulli encoding, alone and before the first attention."""
    mine = known[(known["norm"] == norm) & (known["encoder"] == "bernoulli")]
    circuits = list(dict.fromkeys(fits["circuit"]))[:2]
    read_outs = ("plain", "inside")
    names = list(dict.fromkeys(known["input_set"]))
    styles = set_styles(names, dict(zip(known["input_set"], known["kind"], strict=True)))
    rows = -(-(len(names) + 3) // 5)
    columns, height = 2 * len(circuits), 3.3 + 0.13 * rows
    with style.context(STYLE):
        figure = Figure(figsize=(1.75 * columns, height))
        panels = figure.subplots(
            len(read_outs), columns, squeeze=False, sharey=True, sharex="col",
            gridspec_kw={"left": 0.55 / (1.75 * columns), "right": 0.99, "top": 1 - 0.32 / height,
                         "bottom": (0.5 + 0.13 * rows) / height, "wspace": 0.08, "hspace": 0.12},
        )  # fmt: skip
        for row, read_out in enumerate(read_outs):
            for column in range(columns):
                circuit, dimension = circuits[column // 2], list(DIMENSIONS)[column % 2]
                key = {"encoder": "bernoulli", "circuit": circuit, "read_out": read_out, "norm": norm}
                axes = panels[row, column]
                _rule_panel(axes, _select(mine, key), _select(fits, key), dimension, styles)
                if row == 0:
                    title = "Bernoulli encoding" if circuit == ENCODING_ONLY else f"Bernoulli, {circuit}"
                    axes.set_title(f"{chr(ord('a') + column)}  {title}")
                if row == len(read_outs) - 1:
                    axes.set_xlabel(DIMENSIONS[dimension])
                if column == 0:
                    axes.set_ylabel(f"{read_out} read-out\n$T\\,\\epsilon^2$ ({NORMS[norm]})")
        lines = [
            Line2D([], [], color="black", label="$C\\,x$, fitted"),
            Line2D([], [], color=GREY, linestyle="--", label="line with intercept, $R^2$"),
            Patch(color=RED, alpha=0.35, label="paper, 2.3 [1.9, 2.7] $d_{eff}$"),
        ]
        handles = [Line2D([], [], label=name, **styles[name]) for name in names]
        figure.legend(handles=[*lines, *handles], loc="lower center", ncols=5, borderaxespad=0.1, columnspacing=1.0)
    return figure


def _select(table: pd.DataFrame, key: dict[str, str]) -> pd.DataFrame:
    return table[np.logical_and.reduce([table[name] == value for name, value in key.items()])]


def _rule_panel(
    axes: Axes, points: pd.DataFrame, fits: pd.DataFrame, dimension: str, styles: dict[str, dict[str, Any]]
) -> None:
    """All eps of all sets, with the lines fitted to them."""
    for name, one in points.groupby("input_set", sort=False):
        axes.plot(one[dimension], one["t_eps2"], markersize=3.4, zorder=3, **styles[name])
    axes.set(xscale="log", yscale="log")
    x = np.geomspace(1.5, 250, 60)
    fit = fits.iloc[0] if len(fits) else None
    if fit is not None and fit["C"] > 0:
        axes.plot(x, x * (fit["C"] if dimension == "d_eff" else fit["C_ambient"]), color="black", linewidth=0.9)
        chosen = points[["t_eps2", dimension]].to_numpy(dtype=float)
        share = 1 / points.groupby("input_set")["eps"].transform("size").to_numpy()
        slope, offset = np.polyfit(chosen[:, 1], chosen[:, 0], 1, w=np.sqrt(share))
        shown = slope * x + offset > 0
        axes.plot(x[shown], (slope * x + offset)[shown], color=GREY, linestyle="--", linewidth=0.9)
        words = f"$R^2$ = {fit[f'r_squared_{dimension}']:.2f}"
        axes.annotate(words, (0.04, 0.96), xycoords="axes fraction", va="top", size=6.5)
    if dimension == "d_eff":
        axes.fill_between(x, paper.C_INTERVAL[0] * x, paper.C_INTERVAL[1] * x, color=RED, alpha=0.35, linewidth=0)
        axes.plot(x, paper.C * x, color=RED, linewidth=0.5)
    axes.set_xlim(x[0], x[-1])
    _plain_log(axes)


def _plain_log(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())


def error_figure(data: xr.Dataset) -> Figure:
    """Error against T of the encoders alone, plain and projected, with the closed forms drawn through."""
    alone = [run for run in range(data.sizes["run"]) if np.isfinite(data["expected"][run]).any()]
    sets = sorted({*range(min(CURVES - 1, data.sizes["input_set"])), data.sizes["input_set"] - 1})
    read_outs = ("plain", "projected")
    steps = data["timesteps"].values
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, 4.1))
        panels = figure.subplots(
            2, len(alone), squeeze=False, sharex=True, sharey="row",
            gridspec_kw={"left": 0.075, "right": 0.99, "top": 0.94, "bottom": 0.16, "wspace": 0.06, "hspace": 0.1},
        )  # fmt: skip
        for column, run in enumerate(alone):
            for row, read_out in enumerate(read_outs):
                axes = panels[row, column]
                for k, place in enumerate(sets):
                    one = data.isel(run=run, input_set=place).sel(split="calibration", read_out=read_out)
                    for name, look in (("squared_error", {"ls": ""}), ("expected", {"marker": "", "linewidth": 0.9})):
                        error = np.sqrt(one[name].mean("sample").values)
                        shown = np.isfinite(error) & (error > 0)
                        axes.plot(steps[shown], error[shown], **({"color": COLOURS[k], "marker": MARKERS[k]} | look))
                axes.set(xscale="log", yscale="log")
                _plain_log(axes)
                if row == 0:
                    axes.set_title(f"{chr(ord('a') + column)}  {data['encoder'].values[run]}")
                else:
                    axes.set_xlabel("timesteps, $T$")
                if column == 0:
                    axes.set_ylabel(f"{read_out} read-out\nFrobenius error, r.m.s. over inputs")
        names = data["input_set"].values
        handles = [
            Line2D([], [], color=COLOURS[k], marker=MARKERS[k], ls="", label=str(names[place]))
            for k, place in enumerate(sets)
        ]
        handles.append(Line2D([], [], color="black", linewidth=0.9, label="closed form"))
        figure.legend(handles=handles, loc="lower center", ncols=len(handles), borderaxespad=0.2)
    return figure


def constant_figure(fits: pd.DataFrame) -> Figure:
    """C of every encoder, circuit and read-out in the Frobenius norm, with its interval, beside the paper's."""
    mine = fits[(fits["norm"] == "frobenius") & (fits["C"] > 0)]
    pairs = list(dict.fromkeys(zip(mine["encoder"], mine["circuit"], strict=True)))
    with style.context(STYLE):
        figure = Figure(figsize=(3.5, 0.75 + 0.21 * len(pairs)))
        bottom = 0.62 / figure.get_figheight()
        axes = figure.subplots(gridspec_kw={"left": 0.36, "right": 0.97, "top": 0.98, "bottom": bottom})
        axes.axvspan(*paper.C_INTERVAL, color=RED, alpha=0.25, linewidth=0)
        axes.axvline(paper.C, color=RED, linewidth=0.6)
        axes.axvline(0.25, color=GREY, linestyle=":", linewidth=0.9)
        for k, (read_out, (colour, marker)) in enumerate(READ_OUT_STYLE.items()):
            for place, (encoder, circuit) in enumerate(pairs):
                key = {"encoder": encoder, "circuit": circuit, "read_out": read_out}
                for _, one in _select(mine, key).iterrows():
                    y = place + 0.22 * (k - 1)
                    axes.plot([one["C_low"], one["C_high"]], [y, y], color=colour, linewidth=0.8)
                    axes.plot(one["C"], y, color=colour, marker=marker, markersize=3)
        axes.set_yticks(range(len(pairs)), [f"{encoder}, {circuit}" for encoder, circuit in pairs])
        axes.set(xscale="log", ylim=(len(pairs) - 0.5, -0.5), xlabel="$C = T\\,\\epsilon^2/d_{eff}$ (Frobenius)")
        _plain_log(axes)
        handles: list[Line2D | Patch] = [
            Line2D([], [], color=colour, marker=marker, markersize=3, linewidth=0.8, label=read_out)
            for read_out, (colour, marker) in READ_OUT_STYLE.items()
        ]
        handles.append(Patch(color=RED, alpha=0.25, label="paper"))
        handles.append(Line2D([], [], color=GREY, linestyle=":", linewidth=0.9, label="1/4"))
        figure.legend(handles=handles, loc="lower center", ncols=5, borderaxespad=0.1, columnspacing=0.9,
                      handlelength=1.4)  # fmt: skip
    return figure
