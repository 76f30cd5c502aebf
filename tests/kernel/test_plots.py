"""The artists of the two figures, on tables and traces of the shape that the comparison writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.collections import EventCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from scipy.special import softmax

from biospike import plots

Tables = tuple[pd.DataFrame, pd.DataFrame]

CURVES = {  # tv^2 = bias^2 + (constant*N^order)^2
    "subtractive": (0.6, -1.0, 0.31), "shunting": (0.9, -0.5, 0.24), "diffusive": (0.8, -0.5, 0.06),
    "race": (0.8, -0.5, 0.0), "escape": (0.8, -0.5, 0.0), "integrate": (2.0, -1.0, 0.0), "divisive": (3.0, -1.0, 0.0),
}  # fmt: skip
WITHOUT_LAW = ("subtractive", "shunting", "divisive")
CHECKPOINTS, KEYS, SILENT = 24, 14, 9


@pytest.fixture
def tables() -> Tables:
    rng = np.random.default_rng(1)
    blocks, fits = [], []
    for name, (constant, order, bias) in CURVES.items():
        spikes = np.geomspace(2.0, 1000.0, CHECKPOINTS)
        law = np.minimum(np.hypot(bias, constant * spikes**order), 0.95)
        tv = law * (1 + 0.02 * rng.standard_normal(CHECKPOINTS))
        block = {"spikes_per_row": spikes, "tv": tv, "tv_low": 0.9 * tv, "tv_high": 1.1 * tv, "limit_tv": bias}
        block |= {"circuit": name, "tv_expected": np.nan if name in WITHOUT_LAW else law, "window_ms": 2 * spikes}
        blocks.append(pd.DataFrame(block))
        verdict = "floor" if bias else "1/N" if order == -1 else "1/sqrt(N)"
        fits.append({"circuit": name, "order": order, "floor_tv": bias + 1e-3, "limit_tv": bias, "verdict": verdict})
    return pd.concat(blocks, ignore_index=True), pd.DataFrame(fits)


def make_trace(name: str, keys: int = KEYS, recorded: tuple[int, ...] = (0, 1, SILENT)) -> xr.Dataset:
    """Poisson trains of softmax rates in which the key SILENT never fires."""
    rng = np.random.default_rng(2)
    p = softmax(rng.normal(0, 1.5, keys))
    counts = rng.poisson(80 * p)
    counts[SILENT] = 0
    spike_key = np.repeat(np.arange(keys), counts)
    time = np.arange(0, 200, 0.5)
    variables = {
        "spike_time_ms": ("spike", rng.uniform(0, 199, spike_key.size)),
        "spike_key": ("spike", spike_key),
        "membrane": (("trace_key", "time"), rng.normal(-60, 4, (len(recorded), time.size))),
        "inhibition": ("time", rng.gamma(2, size=time.size)),
        "time_ms": ("time", time),
        "share": ("key", counts / counts.sum()),
        "softmax": ("key", p),
        "limit": ("key", softmax(0.5 * np.log(p))),
    }
    units = {"membrane_units": "mV", "inhibition_units": "1", "inhibition_name": "g_inh"}
    attrs = {"circuit": name, "threshold": -50.0} | units
    return xr.Dataset(variables, coords={"trace_key": list(recorded)}, attrs=attrs)


def draw(trace: xr.Dataset) -> plots.RasterAxes:
    return plots.raster(plots.RasterAxes(*Figure(figsize=(3.5, 4)).subplots(4, 1)), trace)


def line(axes: Axes, label: str) -> Line2D:
    (found,) = [artist for artist in axes.lines if artist.get_label() == label]
    return found


def points(axes: Axes, label: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = line(axes, label).get_data()
    return np.asarray(x, dtype=float), np.asarray(y, dtype=float)


def labels(axes: Axes) -> set[str]:
    return {str(artist.get_label()) for artist in axes.lines}


def texts(artists: Iterable[Text]) -> list[str]:
    return [text.get_text() for text in artists]


def trains(axes: Axes) -> list[EventCollection]:
    return [artist for artist in axes.collections if isinstance(artist, EventCollection)]


def overlap(names: Sequence[Text]) -> bool:
    boxes = [name.get_window_extent().shrunk(1, 0.9) for name in names]
    return any(box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[i + 1 :])


def test_convergence_draws_every_checkpoint_on_log_axes(tables: Tables) -> None:
    summary, fits = tables
    axes = Figure().subplots()
    assert plots.convergence(axes, summary, fits) is axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("output spikes per row, $N$", "total variation from softmax")
    for name in CURVES:
        curve = summary[summary["circuit"] == name]
        np.testing.assert_allclose(points(axes, name), [curve["spikes_per_row"], curve["tv"]])
        assert (f"{name}, error law" in labels(axes)) == (name not in WITHOUT_LAW)
        assert name in texts(axes.texts)
    for band, (_, curve) in zip(axes.collections, summary.groupby("circuit", sort=False), strict=True):
        assert band.get_datalim(axes.transData).ymin == pytest.approx(curve["tv_low"].min())
        assert band.get_datalim(axes.transData).ymax == pytest.approx(curve["tv_high"].max())
    assert len({line(axes, name).get_marker() for name in CURVES}) == len(CURVES)  # told apart without colour
    low, high = axes.get_ylim()
    assert low < summary["tv"].min() < summary["tv"].max() < high


def test_guides_have_slopes_of_a_half_and_one(tables: Tables) -> None:
    summary, fits = tables
    axes = plots.convergence(Figure().subplots(), summary, fits)
    for slope in (-0.5, -1.0):
        x, y = points(axes, f"slope {slope:g}")
        assert np.diff(np.log(y)) / np.diff(np.log(x)) == pytest.approx(slope)
        assert axes.get_ylim()[0] < y.min()
        # Below every curve, so that nothing is hidden.
        for name in CURVES:
            curve = summary[summary["circuit"] == name]
            assert (y < np.interp(x, curve["spikes_per_row"], curve["tv"])).all()
    assert {"$N^{-1/2}$", "$N^{-1}$"} <= set(texts(axes.texts))


def test_floor_is_the_bias_else_the_fit(tables: Tables) -> None:
    summary, fits = tables
    assert plots.floor("shunting", summary, fits) == pytest.approx(0.24)
    assert plots.floor("race", summary, fits) is None  # the fit gives 0.001, but the verdict is not a floor
    unknown = summary.assign(limit_tv=np.nan)
    assert plots.floor("shunting", unknown, fits) == pytest.approx(0.241)
    assert plots.floor("shunting", unknown, fits.iloc[:0]) is None  # too few checkpoints for a fit


def test_figure_parts_floors_from_softmax(tables: Tables) -> None:
    figure = plots.convergence_figure(*tables)
    left, right = figure.axes
    biased = {name for name, (_, _, bias) in CURVES.items() if bias}
    assert labels(left) & set(CURVES) == biased
    assert labels(right) & set(CURVES) == set(CURVES) - biased
    assert {f"{name}, floor" for name in biased} <= labels(left)
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    (legend,) = figure.legends
    assert texts(legend.get_texts()) == ["measured, 95 % band", "error law", "floor"]
    figure.draw_without_rendering()
    assert not overlap(left.texts)
    assert not overlap(right.texts)


def test_figure_of_one_circuit_has_one_panel(tables: Tables) -> None:
    figure = plots.convergence_figure(*(table[table["circuit"] == "race"] for table in tables))
    (axes,), (legend,) = figure.axes, figure.legends
    assert labels(axes) & set(CURVES) == {"race"}
    assert texts(legend.get_texts()) == ["measured, 95 % band", "error law"]


def test_missing_laws_intervals_and_silent_checkpoints_are_left_out(tables: Tables) -> None:
    summary, fits = tables
    summary = summary.assign(tv_expected=np.nan, tv_low=np.nan, tv_high=np.nan)
    unheard = (summary["window_ms"] < 5) | summary["circuit"].isin(["shunting", "subtractive", "diffusive"])
    summary.loc[unheard, ["spikes_per_row", "tv"]] = [0.0, np.nan]  # early checkpoints, and all of the left panel
    figure = plots.convergence_figure(summary, fits)
    figure.draw_without_rendering()
    assert all(np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all() for axes in figure.axes)
    assert not any("law" in label for axes in figure.axes for label in labels(axes))


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one trace"):
        plots.raster_figure({})


def test_spread_keeps_gaps_order_and_what_is_free() -> None:
    heights = np.array([0.1, 0.5, 0.5, 0.52, 0.9])
    apart = plots.spread(heights, 0.05)
    assert (np.diff(apart) >= 0.05 - 1e-12).all()
    np.testing.assert_allclose(apart[[0, 4]], heights[[0, 4]])
    assert apart[1:4].mean() == pytest.approx(heights[1:4].mean())  # a crowd is moved apart about its centre


def test_raster_shows_every_key_and_its_spikes_or_silence() -> None:
    trace = make_trace("race")
    axes = draw(trace)
    drawn = trains(axes.spikes)
    assert [train.get_lineoffset() for train in drawn] == list(range(KEYS))
    counts = np.bincount(trace["spike_key"], minlength=KEYS)
    assert counts.sum() > 40
    assert [len(train.get_positions()) for train in drawn] == counts.tolist()
    first = trace["spike_time_ms"][trace["spike_key"] == 0]
    np.testing.assert_allclose(np.sort(drawn[0].get_positions()), np.sort(first))
    bottom, top = axes.spikes.get_ylim()
    assert top < 0 < KEYS - 1 < bottom  # the first key on top, none cut off
    # Silent keys keep their line and their number, and are marked.
    (lines,) = [artist for artist in axes.spikes.collections if not isinstance(artist, EventCollection)]
    assert len(lines.get_paths()) == KEYS
    assert counts[SILENT] == 0
    np.testing.assert_array_equal(points(axes.spikes, "silent")[1], np.flatnonzero(counts == 0))
    assert str(SILENT) in texts(axes.spikes.get_yticklabels())


@pytest.mark.parametrize("keys", [23, 24, 25, 300, 50_257])
def test_raster_shows_the_largest_keys_of_a_long_row_and_says_so(keys: int) -> None:
    trace = make_trace("race", keys)
    largest = np.argsort(-trace["softmax"].to_numpy(), kind="stable")[:3]
    trace = trace.assign_coords(trace_key=largest)
    axes = draw(trace)
    expected = np.sort(np.argsort(-trace["softmax"].to_numpy(), kind="stable")[: plots.RASTER_KEYS])
    assert len(expected) == min(24, keys)
    counts = np.bincount(trace["spike_key"], minlength=keys)[expected]
    assert counts.sum() > 1
    assert [len(train.get_positions()) for train in trains(axes.spikes)] == counts.tolist()
    for bars, name in zip(axes.share.containers, ("softmax", "share"), strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in bars], trace[name].to_numpy()[expected])
    numbers = [int(text) for text in texts(axes.spikes.get_yticklabels())]
    assert [expected[int(place)] for place in axes.spikes.get_yticks()] == numbers
    assert set(largest) <= set(expected)
    assert set(largest) & set(numbers)
    assert axes.spikes.get_title(loc="right") == (f"24 largest of {keys} keys" if keys > 24 else "")


@pytest.mark.parametrize("keys", [1, 2])
def test_raster_of_a_short_row(keys: int) -> None:
    trace = make_trace("race", 14, recorded=tuple(range(keys))).isel(key=slice(keys))
    trace = trace.isel(spike=np.flatnonzero(trace["spike_key"] < keys))
    axes = draw(trace)
    assert [train.get_lineoffset() for train in trains(axes.spikes)] == list(range(keys))
    assert texts(axes.spikes.get_yticklabels()) == [str(key) for key in range(keys)]
    assert trace.sizes["spike"] > 0


def test_recorded_keys_have_one_colour_throughout() -> None:
    trace = make_trace("diffusive", recorded=(0, 6, SILENT))
    axes = draw(trace)
    tick_colour = {label.get_text(): label.get_color() for label in axes.spikes.get_yticklabels()}
    for place, key in enumerate((0, 6, SILENT)):
        np.testing.assert_array_equal(points(axes.membrane, f"key {key}")[1], trace["membrane"][place])
        colour = line(axes.membrane, f"key {key}").get_color()
        assert tick_colour[str(key)] == colour
        assert mpl.colors.same_color(trains(axes.spikes)[key].get_color(), colour)
    assert texts(axes.membrane.texts) == ["key 0", "key 6", f"key {SILENT}"]


def test_traces_are_aligned_in_time_and_carry_units() -> None:
    trace = make_trace("diffusive")
    axes = draw(trace)
    assert axes.spikes.get_xlim() == axes.membrane.get_xlim() == axes.inhibition.get_xlim() == (0.0, 199.5)
    assert axes.inhibition.get_xlabel() == "time (ms)"
    assert axes.membrane.get_ylabel() == "v\n(mV)"
    assert axes.inhibition.get_ylabel() == "g_inh"  # a pure number
    np.testing.assert_array_equal(axes.inhibition.lines[0].get_ydata(), trace["inhibition"])
    np.testing.assert_array_equal(points(axes.membrane, "threshold")[1], [-50, -50])
    assert "threshold" not in labels(draw(trace.assign_attrs(threshold=np.nan)).membrane)


def test_shares_stand_beside_softmax_and_limit() -> None:
    trace = make_trace("race")
    axes = draw(trace).share
    for bars, name in zip(axes.containers, ("softmax", "share"), strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in bars], trace[name])
    np.testing.assert_allclose(points(axes, "limit")[0], trace["limit"])
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlim()[1] > max(float(trace[name].max()) for name in ("softmax", "share", "limit"))


@pytest.mark.parametrize("keys", [10, 14, 32])
def test_numbers_of_keys_never_touch(keys: int) -> None:
    figure = plots.raster_figure({"race": make_trace("race", keys, recorded=(0, 1, SILENT))})
    figure.draw_without_rendering()
    shown = figure.axes[0].get_yticklabels()
    assert len(shown) >= 5
    assert not overlap(shown)


@pytest.mark.parametrize("names", [["race"], ["race", "escape"], list(CURVES)])
def test_page_has_every_circuit_and_one_legend(names: list[str]) -> None:
    figure = plots.raster_figure({name: make_trace(name) for name in names})
    assert len(figure.axes) == 4 * len(names) + 1
    titles = [title.split()[-1] for axes in figure.axes if (title := axes.get_title(loc="left")) not in ("", "share")]
    assert titles == names
    assert (legend := figure.axes[-1].get_legend())
    assert {"spike", "silent key", "softmax", "threshold"} <= set(texts(legend.get_texts()))
    assert max(figure.get_size_inches()) < 9.2
    figure.draw_without_rendering()
    drawn = Bbox.union([figure.bbox, *(box for axes in figure.axes if (box := axes.get_tightbbox()))])
    np.testing.assert_allclose(drawn.extents, figure.bbox.extents)  # nothing is cut off at the edge of the page


def test_row_that_never_fires_is_drawn_silent() -> None:
    trace = make_trace("shunting")
    trace = trace.isel(spike=slice(0)).assign(share=("key", np.full(KEYS, np.nan)))
    figure = plots.raster_figure({"shunting": trace})
    figure.draw_without_rendering()
    np.testing.assert_array_equal(points(figure.axes[0], "silent")[1], range(KEYS))


def test_files_are_the_same_bytes_and_nothing_is_left(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = {"diffusive": make_trace("diffusive")}
    settings, open_figures, written = dict(mpl.rcParams), pyplot.get_fignums(), []
    # Another day and another user's configuration: neither may show.
    for epoch, size in (("0", 10), ("1000000000", 20)):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        with mpl.rc_context({"font.size": size, "savefig.dpi": 10 * size}):
            figures = {"convergence": plots.convergence_figure(*tables), "raster": plots.raster_figure(traces)}
            for name, figure in figures.items():
                paths = plots.save_figure(figure, tmp_path / epoch, name)
                assert paths == (tmp_path / epoch / f"{name}.png", tmp_path / epoch / f"{name}.pdf")
        written.append({path.name: path.read_bytes() for path in (tmp_path / epoch).iterdir()})
    assert set(written[0]) == {"convergence.png", "convergence.pdf", "raster.png", "raster.pdf"}
    assert written[0] == written[1]
    assert all(content.startswith((b"\x89PNG", b"%PDF")) for content in written[0].values())
    assert (dict(mpl.rcParams), pyplot.get_fignums()) == (settings, open_figures)
