"""The artists of the figures of an attention block, on tables and spikes of the shape that the comparison writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import EventCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from validation.attention import drawing

MODES = ("staged", "streaming")
STEPS = np.unique(np.rint(np.geomspace(62, 4000, 12)).astype(int))
TOKENS = ["[CLS]", "the", "last", "train", "[SEP]"]
HEADS, WIDTH, FEATURES, SHOWN = 2, 12, 6, 60

Tables = dict[str, pd.DataFrame]


@pytest.fixture
def tables() -> Tables:
    rng = np.random.default_rng(1)
    summaries, parts, fits = [], [], []
    for mode in MODES:
        law = 2.3 * STEPS**-0.5
        tv = law * (1 + 0.03 * rng.standard_normal(STEPS.size))
        errors = {"attention_tv": tv, "tv_low": 0.9 * tv, "tv_high": 1.1 * tv}
        errors |= {"output_rmse": 0.8 * tv, "rmse_low": 0.7 * tv, "rmse_high": 0.9 * tv}
        summaries.append(pd.DataFrame({"mode": mode, "window_ms": 1.0 * STEPS} | errors))
        laws = {"timesteps": STEPS, "tv_sampling": 0.9 * law, "tv_expected": law}
        laws |= {"output_sampling": 0.7 * law, "output_expected": 0.75 * law}
        parts.append(pd.DataFrame({"mode": mode, "window_ms": 1.0 * STEPS} | laws))
        fits += [{"mode": mode, "metric": m, "floor": 0.01, "verdict": "1/sqrt(N)"} for m in drawing.METRICS]
    joined = (pd.concat(several, ignore_index=True) for several in (summaries, parts))
    return dict(zip(("summary", "decomposition", "fits"), (*joined, pd.DataFrame(fits)), strict=True))


def make_trace(seed: int, off: bool = True) -> xr.Dataset:
    """Bernoulli spikes of every neuron, in all populations."""
    rng = np.random.default_rng(seed)
    axes = {
        "encoder": {"token": len(TOKENS), "copy": 3, "feature": FEATURES},
        "neurons": {"token": len(TOKENS), "stream": 3, "head": HEADS, "unit": WIDTH, "sign": 2},
        "keys": {"head": HEADS, "query": len(TOKENS), "key": len(TOKENS)},
        "outputs": {"query": len(TOKENS), "head": HEADS, "unit": WIDTH, "sign": 2},
    }
    data = xr.Dataset(attrs={"shown_ms": 1.0 * SHOWN, "window_ms": 4000.0, "dt_ms": 1.0, "seed": seed})
    for group, lengths in axes.items():
        spikes = rng.random((*lengths.values(), SHOWN)) < 0.15
        if "sign" in lengths and not off:
            spikes[..., 1, :] = False
        *places, step = np.nonzero(spikes)
        named = {f"{group}_{axis}": (f"{group}_spike", place) for axis, place in zip(lengths, places, strict=True)}
        data = data.assign({f"{group}_time_ms": (f"{group}_spike", 1.0 * step)} | named)
        data.attrs |= {f"{group}_{axis}": length for axis, length in lengths.items()}
    return data


def labels(axes: Axes) -> set[str]:
    return {str(artist.get_label()) for artist in axes.lines}


def texts(artists: Iterable[Text]) -> list[str]:
    return [text.get_text() for text in artists]


def overlap(names: Sequence[Text]) -> bool:
    boxes = [name.get_window_extent().shrunk(1, 0.9) for name in names if name.get_text()]
    return any(box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[i + 1 :])


def nothing_is_cut_off(figure: Figure) -> bool:
    figure.draw_without_rendering()
    drawn = Bbox.union([figure.bbox, *(box for axes in figure.axes if (box := axes.get_tightbbox()))])
    return bool(np.allclose(drawn.extents, figure.bbox.extents, atol=1))


def test_convergence_draws_every_window_of_every_mode(tables: Tables) -> None:
    for metric, (low, high, expectation, sampling, label, _) in drawing.METRICS.items():
        axes = Figure().subplots()
        assert drawing.convergence(axes, *tables.values(), metric) is axes
        assert axes.get_xscale() == axes.get_yscale() == "log"
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("timesteps $T$", label)
        for number, mode in enumerate(MODES):
            curve = tables["summary"][tables["summary"]["mode"] == mode]
            lines = {line.get_label(): np.asarray(line.get_xydata()) for line in axes.lines}
            np.testing.assert_allclose(lines[mode], np.stack([STEPS, curve[metric]], axis=1))
            expected = tables["decomposition"][tables["decomposition"]["mode"] == mode]
            np.testing.assert_allclose(lines[f"{mode}, expected"][:, 1], expected[expectation])
            np.testing.assert_allclose(lines["sampling alone"][:, 1], expected[sampling])
            band = axes.collections[number].get_datalim(axes.transData)
            assert (band.ymin, band.ymax) == pytest.approx((curve[low].min(), curve[high].max()))
        bottom, top = axes.get_ylim()
        assert bottom < tables["summary"][low].min() < tables["summary"][high].max() < top


def test_guides_have_slopes_of_a_half_and_one_below_the_curves(tables: Tables) -> None:
    axes = drawing.convergence(Figure().subplots(), *tables.values(), "attention_tv")
    for slope in (-0.5, -1.0):
        (line,) = [line for line in axes.lines if line.get_label() == f"slope {slope:g}"]
        x, y = np.asarray(line.get_data(), dtype=float)
        assert np.diff(np.log(y)) / np.diff(np.log(x)) == pytest.approx(slope)
        curve = tables["summary"].iloc[: STEPS.size]
        assert (y < np.interp(x, STEPS, curve["attention_tv"])).all()


def test_floor_is_drawn_where_it_is_the_verdict(tables: Tables) -> None:
    assert not any("floor" in label for axes in drawing.convergence_figure(*tables.values()).axes
                   for label in labels(axes))  # fmt: skip
    fits = tables["fits"]
    fits.loc[(fits["mode"] == "streaming") & (fits["metric"] == "output_rmse"), "verdict"] = "floor"
    figure = drawing.convergence_figure(*tables.values())
    attention, output = figure.axes
    assert "streaming, floor" in labels(output)
    assert "streaming, floor" not in labels(attention)
    assert texts(figure.legends[0].get_texts())[-1] == "fitted floor"
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a  attention", "b  output"]
    assert nothing_is_cut_off(figure)


def test_single_trials_and_silent_windows_are_drawn_without_bands(tables: Tables) -> None:
    summary = tables["summary"].assign(tv_low=np.nan, tv_high=np.nan, rmse_low=np.nan, rmse_high=np.nan)
    summary.loc[summary["window_ms"] < 100, ["attention_tv", "output_rmse"]] = np.nan
    figure = drawing.convergence_figure(summary, tables["decomposition"], tables["fits"])
    figure.draw_without_rendering()
    assert all(np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all() for axes in figure.axes)
    empty = drawing.convergence_figure(summary.assign(attention_tv=np.nan), *list(tables.values())[1:])
    empty.draw_without_rendering()
    assert [text.get_text() for text in empty.axes[0].texts] == ["no window with an error above 0"]


def attention_maps() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(2)
    exact = rng.dirichlet(np.ones(len(TOKENS)), (HEADS, len(TOKENS)))
    exact[:, :, 3] = np.nan
    return exact, {mode: exact + 0.05 * rng.standard_normal(exact.shape) for mode in MODES}


@pytest.mark.parametrize("modes", [MODES, MODES[1:]])
def test_maps_stand_beside_each_other_on_common_scales(modes: Sequence[str]) -> None:
    exact, measured = attention_maps()
    measured = {mode: measured[mode] for mode in modes}
    figure = drawing.attention_figure(exact, measured, TOKENS, "what it is")
    columns = 1 + 2 * len(modes)
    maps, bars = figure.axes[: HEADS * columns], figure.axes[HEADS * columns :]
    assert len(bars) == 2
    for head in range(HEADS):
        row = maps[head * columns : (head + 1) * columns]
        images = [axes.images[0] for axes in row]
        shown = [exact[head]]
        for mode in modes:
            shown += [measured[mode][head], measured[mode][head] - exact[head]]
        for number, (image, values) in enumerate(zip(images, shown, strict=True)):
            array = image.get_array()
            assert array is not None
            np.testing.assert_allclose(np.ma.filled(array, np.nan), values)
            low, high = image.get_clim()
            difference = number > 0 and number % 2 == 0
            assert low == pytest.approx(-high if difference else 0)
            assert np.nanmax(np.abs(values)) <= high
        # Masked keys are neither white nor an extreme.
        assert mpl.colors.same_color(images[0].get_cmap().get_bad(), drawing.NOTHING)
        tv = np.nansum(np.abs(shown[2]), axis=-1).mean() / 2
        assert row[2].get_title() == f"difference, TV {tv:.3f}"
        assert row[0].get_ylabel() == f"head {head + 1}"
    assert texts(maps[0].get_yticklabels()) == TOKENS
    assert {axes.get_xlabel() for axes in bars} == {"share of the row", "spiking minus exact"}
    assert texts(figure.texts) == ["what it is"]
    assert nothing_is_cut_off(figure)


def test_names_of_many_tokens_never_touch() -> None:
    exact = np.full((1, 64, 64), 1 / 64)
    figure = drawing.attention_figure(exact, {"staged": exact}, [f"token{i}" for i in range(64)])
    figure.draw_without_rendering()
    names = figure.axes[0].get_yticklabels()
    assert 5 <= len(names) < 64
    assert not overlap(names)


def trains(axes: Axes) -> list[EventCollection]:
    return [artist for artist in axes.collections if isinstance(artist, EventCollection)]


def test_raster_shows_all_populations_aligned_in_time() -> None:
    traces = {mode: make_trace(seed) for seed, mode in enumerate(MODES)}
    head, tokens = 1, [0, 3]
    figure = drawing.raster_figure(traces, head, tokens, TOKENS, "head 2")
    grid = np.array(figure.axes).reshape(len(drawing.BANDS), len(MODES))
    units = drawing.SHOWN["unit"]
    for column, trace in enumerate(traces.values()):
        panels = dict(zip(drawing.BANDS, grid[:, column], strict=True))
        assert {axes.get_xlim() for axes in panels.values()} == {(-1.0, SHOWN + 1.0)}
        keys = (trace["keys_head"] == head) & np.isin(trace["keys_query"], tokens)
        inputs = (trace["encoder_copy"] == 0) & np.isin(trace["encoder_token"], tokens)
        drawn = {band: trains(axes) for band, axes in panels.items()}
        assert sum(len(train.get_positions()) for train in drawn["keys"]) == int(keys.sum()) > 10
        assert sum(len(train.get_positions()) for train in drawn["encoder"]) == int(inputs.sum()) > 10
        assert len(drawn["keys"]) == len(tokens) * len(TOKENS)
        for stream in range(3):
            chosen = (trace["neurons_stream"] == stream) & (trace["neurons_head"] == head)
            chosen &= np.isin(trace["neurons_token"], tokens) & (trace["neurons_unit"] < units)
            for sign, colour in enumerate(drawing.SIGNS):
                own = drawn[stream][sign * len(tokens) * units : (sign + 1) * len(tokens) * units]
                assert all(mpl.colors.same_color(train.get_color(), colour) for train in own)
                assert sum(len(train.get_positions()) for train in own) == int(
                    (chosen & (trace["neurons_sign"] == sign)).sum()
                )
    # The first key of the second query stands below the last key of the first, by a gap.
    offsets = [train.get_lineoffset() for train in trains(grid[4, 0])]
    assert offsets == [*range(5), *range(5 + drawing.GAP, 10 + drawing.GAP)]


def test_raster_names_tokens_queries_and_keys_once() -> None:
    traces = {mode: make_trace(seed) for seed, mode in enumerate(MODES)}
    figure = drawing.raster_figure(traces, 0, [1, 4], TOKENS, "head 1")
    assert nothing_is_cut_off(figure)
    grid = np.array(figure.axes).reshape(len(drawing.BANDS), len(MODES))
    assert [axes.get_ylabel() for axes in grid[:, 0]] == list(drawing.BANDS.values())
    assert texts(grid[0, 0].get_yticklabels()) == ["the", "[SEP]"]
    assert texts(grid[4, 0].get_yticklabels()) == TOKENS * 2
    assert texts(grid[4, 0].texts) == ["the →", "[SEP] →"]
    assert not overlap(grid[4, 0].get_yticklabels())
    assert not overlap([*grid[4, 0].texts, grid[4, 0].yaxis.get_label()])
    assert grid[-1, 0].get_xlabel() == "time in the window (ms)"
    assert [axes.get_title(loc="left") for axes in grid[0]] == ["a  staged", "b  streaming"]
    assert texts(figure.legends[0].get_texts()) == ["spike", "spike of an OFF unit"]
    assert max(figure.get_size_inches()) < 9.2


def test_signs_that_never_occur_are_not_explained() -> None:
    figure = drawing.raster_figure({"staged": make_trace(0, off=False)}, 0, [0], TOKENS)
    assert texts(figure.legends[0].get_texts()) == ["spike"]
    with pytest.raises(ValueError, match="at least one trace"):
        drawing.raster_figure({}, 0, [0], TOKENS)
