"""The two figures of the spike bounds: error against spikes beside every bound, and the fit of the paper on coins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from biospike import metrics
from biospike.plots import BLUE, CIRCUIT_STYLE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, STYLE
from biospike.tables import NOT_RUN
from biospike.theory import paper
from biospike.theory.rate_distortion import shannon_lower_bound_uniform
from validation.bounds import laws
from validation.bounds.curves import BLOCK, COINS, ENCODER, SOFTMAX, UNIFORM, Curve
from validation.bounds.measure import TRIANGULAR, UNIFORM_KEYS
from validation.bounds.tables import used

CODE_STYLE = CIRCUIT_STYLE | {
    "bernoulli": (BLUE, "o"), "poisson": (SKY, "v"), "regular": (GREEN, "P"), TRIANGULAR: (ORANGE, "D"),
    "fair coin": (PURPLE, "o"),
}  # fmt: skip
BLOCK_STYLE = {
    ("bernoulli + escape", "staged"): (BLUE, "o"), ("bernoulli + escape", "streaming"): (SKY, "v"),
    ("regular + integrate", "staged"): (GREEN, "P"), ("regular + integrate", "streaming"): (ORANGE, "D"),
}  # fmt: skip
BOUND: dict[str, Any] = {"color": "black", "linestyle": "-.", "linewidth": 0.9}
ONE_BIT: dict[str, Any] = {"color": RED, "linestyle": (0, (1, 1)), "linewidth": 0.9}
PANELS = (
    (ENCODER, "mean absolute error", "encoders", "mean absolute error"),
    (ENCODER, "rms error", "encoders, rms", "root mean square error"),
    (SOFTMAX, "total variation", "softmax circuits, real rows", "total variation from softmax"),
    (UNIFORM, "total variation", "softmax circuits, uniform rows", "total variation from softmax"),
    (BLOCK, "attention TV", "attention block, attention", "total variation from the limit"),
    (BLOCK, "output rmse", "attention block, output", "rms error, units of the values"),
)
NARROW = 100.0
"""Axes that span less are labelled at 1, 2 and 5 of every decade."""
EXPONENTS = np.linspace(0.05, 1.75, 120)


def bounds_figure(found: Sequence[Curve], fits: pd.DataFrame) -> Figure:
    """Six panels, log-log: markers and band measured, dashed the law, dotted the floor, dash-dotted the bounds."""
    left_out = fits.loc[fits["reason"] == NOT_RUN, "code"]
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, 8.0))
        cells = figure.subplots(3, 2, gridspec_kw={"left": 0.075, "right": 0.985, "bottom": 0.085, "top": 0.975,
                                                   "wspace": 0.2, "hspace": 0.3}).ravel()  # fmt: skip
        for axes, letter, (family, metric, title, label) in zip(cells, "abcdef", PANELS, strict=True):
            mine = [c for c in found if (c.family, c.metric) == (family, metric) and not c.code.startswith("toy")]
            panel(axes, mine, fits)
            axes.set_title(f"{letter}  {title}")
            axes.set_ylabel(label)
            if family == SOFTMAX and len(left_out):
                axes.annotate(f"not run: {', '.join(left_out)}", (0.97, 0.97), xycoords="axes fraction", ha="right",
                              va="top", zorder=5)  # fmt: skip
        grey = Line2D([], [], color=GREY, marker="o", markeredgewidth=0)
        signs: dict[str, Any] = {
            "measured, 95 % band": (Patch(color=GREY, alpha=0.4, linewidth=0), grey),
            "error law": Line2D([], [], color=GREY, linestyle="--", linewidth=0.8),
            "floor": Line2D([], [], color=GREY, linestyle=":", linewidth=0.8),
            "least of any count (b, d: information; c, e: whole spikes)": Line2D([], [], **BOUND),
            "one bit a spike": Line2D([], [], **ONE_BIT),
        }
        figure.legend(signs.values(), signs.keys(), loc="lower center", ncols=5, borderaxespad=0.3, columnspacing=1.0,
                      handlelength=1.6)  # fmt: skip
    return figure


def panel(axes: Axes, found: Sequence[Curve], fits: pd.DataFrame) -> Axes:
    """One family: its curves, their laws and floors, the bounds that hold for it, and slopes of -1/2 and -1."""
    seen = [point for c in found for point in zip(c.spikes, c.error, strict=True) if point[0] >= 1 and point[1] > 0]
    spikes, errors = np.array(seen).T if seen else (np.ones(1), np.ones(1))
    axes.set(xscale="log", yscale="log", xlim=(spikes.min() / 1.3, 1.3 * spikes.max()))
    axes.set(ylim=(errors.min() / 3, 1.6 * errors.max()), xlabel=found[0].counted + ", $N$" if found else "$N$")
    for curve in found:
        draw(axes, curve, fits)
    family = found[0].family if found else ""
    eps = np.geomspace(errors.min() / 3, 0.6, 100)
    if family == ENCODER and found[0].metric == "rms error":
        bits = shannon_lower_bound_uniform(eps**2)
        axes.plot(laws.spikes_for_bits(bits), eps, label="information", **BOUND)
        axes.plot(bits, eps, label="one bit a spike", **ONE_BIT)
    if family == UNIFORM:
        bits = laws.simplex_bits(eps, UNIFORM_KEYS)
        axes.plot(laws.spikes_for_bits(bits, UNIFORM_KEYS), eps, label="information", **BOUND)
        axes.plot(bits, eps, label="one bit a spike", **ONE_BIT)
    if family in (SOFTMAX, BLOCK) and np.isfinite(found[0].grid_error).any():
        least = max(found, key=lambda c: float(c.spikes[-1]) if family == SOFTMAX else -len(c.code))
        axes.plot(least.spikes, least.grid_error, label="whole spikes", **BOUND)
    _guides(axes)
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        narrow = high / low < NARROW
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=12))
        axis.set_minor_locator(NullLocator())
        if narrow:
            axis.set_major_formatter("{x:g}" if high < 1e4 else EngFormatter(sep=""))
    handles = [Line2D([], [], color=colour, marker=marker, label=_short(c.code), markeredgewidth=0)
               for c in found for colour, marker in [_style(c)]]  # fmt: skip
    axes.legend(handles=handles, loc="lower left", fontsize=5.8, handlelength=1.6, labelspacing=0.25, borderaxespad=0.2)
    return axes


def draw(axes: Axes, curve: Curve, fits: pd.DataFrame) -> None:
    """One curve with its band, its law, and its floor if that is its verdict."""
    colour, marker = _style(curve)
    low, high = metrics.t_interval(curve.errors.T)
    known = (curve.spikes > 0) & (curve.error > 0)
    n = curve.spikes[known]
    axes.fill_between(n, low[known], high[known], color=colour, alpha=0.25, linewidth=0)
    axes.plot(n, curve.error[known], color=(colour, 0.5), marker=marker, markerfacecolor=colour, label=curve.code,
              markeredgecolor="white", markeredgewidth=0.2, markersize=3, zorder=3)  # fmt: skip
    law = np.minimum(curve.law[known], 1.0)
    if np.isfinite(law).any():
        axes.plot(n, law, color=colour, linestyle="--", linewidth=0.8, label=f"{curve.code}, law", zorder=4)
    mine = fits[(fits["family"] == curve.family) & (fits["code"] == curve.code) & (fits["metric"] == curve.metric)]
    level = curve.limit_error if curve.limit_error > laws.FEWEST else np.nan
    if not np.isfinite(level) and (mine["verdict"] == "floor").any():
        level = float(mine["floor"].iloc[0])
    if np.isfinite(level):
        axes.axhline(level, color=colour, linestyle=":", linewidth=0.8, label=f"{curve.code}, floor", zorder=1.5)


def control_figure(found: Sequence[Curve], fits: pd.DataFrame) -> Figure:
    """The paper's fit on neurons, on coins, and on exact power laws of any exponent."""
    neurons = reference_curve(found)
    coins = next(c for c in found if c.family == COINS)
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, 2.5))
        panels = figure.subplots(1, 3, gridspec_kw={"left": 0.07, "right": 0.985, "bottom": 0.17, "top": 0.9,
                                                    "wspace": 0.34})  # fmt: skip
        for axes, letter, curve, name in zip(panels, "ab", (neurons, coins), ("neurons", "coin flips"), strict=False):
            keep = used(curve)
            n, eps = curve.spikes[keep], curve.error[keep]
            axes.set(xscale="log", yscale="log", xlabel=f"{curve.counted}, $N$", ylabel=curve.metric)
            axes.set_title(f"{letter}  {name}")
            colour, marker = _style(curve)
            low, high = metrics.t_interval(curve.errors[:, keep].T)
            axes.errorbar(n, eps, yerr=(eps - low, high - eps), color=colour, linestyle="", marker=marker,
                          linewidth=0.7, label=curve.code)  # fmt: skip
            if keep.sum() >= 3:
                fitted = laws.paper_fit(n, eps)
                axes.plot(n, fitted.alpha / np.sqrt(n), color="black", linewidth=0.9, label="fit")
                axes.annotate(f"$\\epsilon = {fitted.alpha:.3g}/\\sqrt{{N}}$\n$R^2 = {fitted.r_squared:.4f}$",
                              (0.96, 0.95), xycoords="axes fraction", ha="right", va="top")  # fmt: skip
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
                axis.set_major_formatter("{x:g}")
                axis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_locator(LogLocator(numticks=8))
            if n.size and n[-1] / n[0] < 30:
                axes.set_xticks([n[0], n[-1]], [f"{n[0]:,.0f}", f"{n[-1]:,.0f}"])
                axes.set_yticks([eps[0], eps[-1]], [f"{eps[0]:.2g}", f"{eps[-1]:.2g}"])
        _rivals(panels[2], {"neurons": neurons, "coin flips": coins})
    return figure


def _rivals(axes: Axes, shown: dict[str, Curve]) -> None:
    axes.set_title("c  exact laws $N^{-b}$, same fit")
    for name, curve in shown.items():
        n = curve.spikes[used(curve)]
        if n.size < 3:
            continue
        values = [laws.paper_fit(n, n**-b).r_squared for b in EXPONENTS]
        colour, _ = _style(curve)
        axes.plot(EXPONENTS, values, color=colour, label=f"spikes of b, {n[-1] / n[0]:.0f}-fold" if name != "neurons"
                  else f"spikes of a, {n[-1] / n[0]:.1f}-fold")  # fmt: skip
    axes.axhline(paper.R_SQUARED, color=RED, linestyle=":", linewidth=0.8)
    axes.annotate(f"$R^2 = {paper.R_SQUARED}$", (1.0, paper.R_SQUARED), (0, 2), xycoords=("axes fraction", "data"),
                  textcoords="offset points", ha="right", color=RED)  # fmt: skip
    axes.axvline(0.5, color=GREY, linewidth=0.6)
    axes.set(xlabel="exponent $b$ of the law", ylabel="$R^2$ of $\\epsilon = \\alpha/\\sqrt{N}$", ylim=(0.5, 1.02))
    axes.set_xlim(0, EXPONENTS[-1])
    axes.legend(loc="lower left")


def reference_curve(found: Sequence[Curve]) -> Curve:
    """Return the block whose fit is compared with the paper's: all chance, staged, of real tokens if there are any."""
    blocks = [c for c in found if c.family == BLOCK and c.metric == "attention TV" and "bernoulli" in c.code]
    staged = [c for c in blocks if c.code.endswith("staged")]
    return min(staged, key=lambda c: c.code.startswith("toy"))


def _style(curve: Curve) -> tuple[str, str]:
    if curve.family == BLOCK:
        _, code, mode = curve.code.split(", ")
        return BLOCK_STYLE[(code, mode)]
    return CODE_STYLE.get(curve.code, (GREY, "s"))


def _short(code: str) -> str:
    return code.split(", ", 1)[1] if code.count(", ") == 2 else code


def _guides(axes: Axes) -> None:
    """Slopes of -1/2 and -1 in the upper right corner."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    length = min(8.0, (right / left) ** 0.35, (top / bottom) ** 0.35)
    spikes = np.array([right / 1.7 / length, right / 1.7])
    for slope, text in ((-0.5, "$N^{-1/2}$"), (-1.0, "$N^{-1}$")):
        error = top / 1.15 * (spikes / spikes[0]) ** slope
        axes.plot(spikes, error, color=GREY, linewidth=0.8, label=f"slope {slope:g}", zorder=1)
        axes.annotate(text, (spikes[1], error[1]), (1, 0), textcoords="offset points", color="0.35", va="center",
                      size=5.5)  # fmt: skip
