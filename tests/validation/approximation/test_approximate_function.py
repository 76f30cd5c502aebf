"""The approximation study end to end, on small input, and its command line."""

import attrs
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from biospike import load
from biospike.errors import InputError
from biospike.theory import universal
from validation.approximate_function import Config, main, prepare
from validation.approximation import figures
from validation.approximation import study as approximate_function
from validation.approximation.readout import fit_readout
from validation.approximation.study import approximate
from validation.approximation.tables import (
    SUMMARY,
    feature_noise,
    limit_readout,
    of_heads,
    spiking_features,
    summarise,
    total_spikes,
)

FILES = {"summary.csv", "counts.nc", "approximation.png", "approximation.pdf", "report.md"}
HEADS, TOKENS, SAMPLES, WINDOWS = 2, 3, 32, 4


def own(x):
    """Largest first feature of the set, times that of the token."""
    return x[..., 0] * x[..., 0].max(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Run a function of the user and a shipped one, small, on the numpy target."""
    directory = tmp_path_factory.mktemp("study")
    options = {"tokens": TOKENS, "features": 1, "samples": SAMPLES, "duration": "0.4 s", "target": "numpy"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approximate_function, "WINDOWS", WINDOWS)  # each is a run of its own
        table = approximate(own, name="own", out=directory, targets=("pairwise_maximum",), heads=HEADS, **options)
    written = pd.read_csv(directory / "summary.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(written, table, check_dtype=False)
    return directory


class TestStudy:
    @pytest.mark.long
    def test_writes_every_file_and_nothing_else(self, out):
        assert {path.name for path in out.iterdir()} == FILES

    @pytest.mark.long
    def test_table(self, out):
        table = pd.read_csv(out / "summary.csv")
        assert list(table.columns) == SUMMARY
        assert list(table["target"].unique()) == ["pairwise_maximum", "own"]
        assert len(table) == 2 * 2 * WINDOWS
        assert set(table["heads"]) == {1, 2}
        assert table["timesteps"].max() == 400
        eps = table["sup_error"].to_numpy()
        np.testing.assert_allclose(table["paper_L"], np.log(1 / eps))
        np.testing.assert_allclose(table["paper_H"], TOKENS**2 / eps**2)
        np.testing.assert_allclose(table["paper_T"], TOKENS**2 * 2**2 / eps**2)
        assert (table["rms_error"] < table["sup_error"]).all()
        assert (table["sup_low"] < table["sup_error"]).all()
        assert (table["sup_error"] < table["sup_high"]).all()
        # The box holds the samples, but its read-out has seen all of them.
        assert (table["limit_box_error"] > 0.7 * table["limit_sup_error"]).all()
        shortest = table[table["timesteps"] == table["timesteps"].min()]
        assert shortest["diagnostics"].str.contains("of rows silent").all()

    @pytest.mark.long
    def test_stored_counts_give_the_table_again(self, out):
        data, table = load(out / "counts.nc"), pd.read_csv(out / "summary.csv")
        again = summarise(data)
        for column in ("sup_error", "rms_error", "limit_rms_error", "spikes_total", "sup_low"):
            np.testing.assert_allclose(again[column], table[column])

    @pytest.mark.long
    def test_errors_by_hand(self, out):
        """Limit error of one target and number of heads, with a read-out for each fold."""
        data, table = load(out / "counts.nc"), pd.read_csv(out / "summary.csv")
        features = (
            data.limit_feature.isel(head=[0]).transpose("sample", "query", ...).values.reshape(SAMPLES, TOKENS, -1)
        )
        values = data.value.sel(function="own").values[..., None]
        worst = 0.0
        for fold in range(5):
            unseen = data.fold.values == fold
            assert unseen.sum() in (6, 7)
            readout = fit_readout(features[~unseen], values[~unseen])
            worst = max(worst, np.abs(readout(features[unseen]) - values[unseen]).max())
        row = table[(table["target"] == "own") & (table["heads"] == 1)].iloc[0]
        assert row["limit_sup_error"] == pytest.approx(worst)
        x = data.x.values
        np.testing.assert_array_equal(values[..., 0], own(x))

    @pytest.mark.long
    def test_spiking_features_scatter_about_the_limit_as_draws_do(self, out):
        """Variance m(1 - m)/N: within 30 %, three standard errors of a variance from some 200 independent outputs."""
        data = load(out / "counts.nc")
        measured, law = feature_noise(data)
        assert 36 < data.attention_count.isel(checkpoint=-1).sum("key").values.mean() < 48
        np.testing.assert_allclose(measured**2, law**2, rtol=0.3)
        order = np.polyfit(np.log(data.timesteps.values), np.log(measured), 1)[0]
        assert -0.6 < order < -0.4

    @pytest.mark.long
    def test_error_approaches_that_of_the_limit(self, out):
        """Least squares does no worse than the read-out of the limit would on the same spikes, but for fitting p of N.

        That one has the mean square error of the limit plus that of its prediction, which falls as 1/T.
        """
        data, table = load(out / "counts.nc"), pd.read_csv(out / "summary.csv")
        readout = limit_readout(data, HEADS)
        exact = readout(of_heads(data.limit_feature.transpose("sample", "query", ...).values, HEADS))
        noisy = np.moveaxis(spiking_features(data)[0], -1, 0)
        noise = ((readout(of_heads(noisy, HEADS)) - exact) ** 2).mean(axis=(1, 2))
        timesteps = data.timesteps.values
        for f, name in enumerate(data.function.values):
            slope = stats.linregress(np.log(timesteps[1:]), np.log(noise[1:, f])).slope
            assert -1.4 < slope < -0.6
            mine = table[(table["target"] == name) & (table["heads"] == HEADS)].sort_values("timesteps")
            limit, measured = mine["limit_rms_error"].to_numpy() ** 2, mine["rms_error"].to_numpy() ** 2
            parameters = 2 * 2 * HEADS + 1
            fitting = 1 + 2 * parameters / (0.8 * SAMPLES * TOKENS)
            assert (measured[1:] < fitting * (limit + noise[:, f])[1:]).all()
            assert measured[-1] < measured[0] / 2
            assert measured[-1] > limit[-1]

    @pytest.mark.long
    def test_spikes_of_all_heads_are_all_spikes(self, out):
        data = load(out / "counts.nc")
        populations = ("encoder", "qkv", "attention", "output")
        together = sum(data[f"spikes_{name}"].mean(("trial", "sample")).values for name in populations)
        np.testing.assert_allclose(total_spikes(data, HEADS), together)
        one = total_spikes(data, 1)
        assert (one < together).all()
        assert (one > data["spikes_encoder"].mean(("trial", "sample")).values).all()
        assert (np.diff(one) > 0).all()

    @pytest.mark.long
    def test_report_says_what_the_numbers_say(self, out):
        text = (out / "report.md").read_text()
        for words in (
            "What limits",
            "Beside the paper",
            "Theorem 7",
            "a function of the user",
            "prove nothing",
            "revision",
        ):
            assert words in text
        assert "nan" not in text.lower().replace("provenance", "")
        table = pd.read_csv(out / "summary.csv")
        last = table[(table["heads"] == HEADS) & (table["timesteps"] == 400)]
        for row in last.itertuples():
            assert f"**{row.target}.** Sup-norm error {row.sup_error:.3f}" in text

    @pytest.mark.long
    def test_figure(self, out):
        table = pd.read_csv(out / "summary.csv")
        figure = figures.approximation_figure(table)
        time, number, spikes = figure.axes
        assert time.get_ylabel() == "sup-norm error on unseen samples"
        assert [axes.get_xlabel() for axes in figure.axes] == ["timesteps, $T$", "heads, $H$", "spikes a sample, $N$"]
        lines = {line.get_label(): line for line in time.lines}
        mine = table[(table["target"] == "own") & (table["heads"] == HEADS)]
        np.testing.assert_array_equal(lines["own"].get_xdata(), mine["timesteps"])
        np.testing.assert_array_equal(lines["own"].get_ydata(), mine["sup_error"])
        np.testing.assert_array_equal(lines["own, limit_sup_error"].get_ydata(), mine["limit_sup_error"])
        paper = lines["paper"]
        np.testing.assert_allclose(paper.get_ydata(), universal.error_of_timesteps(TOKENS, 2, paper.get_xdata()))
        assert sum(line.get_label() == "own" for line in spikes.lines) == 2
        low, high = time.get_ylim()
        assert low < table["limit_sup_error"].min()
        assert table["sup_error"].max() < high
        assert [tick.get_text() for tick in number.get_xticklabels()] == ["1", "2"]
        with pytest.raises(ValueError, match="no sup-norm error above 0"):
            figures.approximation_figure(table.iloc[:0])


def test_main_prints_and_writes_with_one_head_and_window(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(approximate_function, "WINDOWS", 1)
    main(
        Config(
            targets=("deepsets_polynomial",), heads=1, tokens=2, features=1, samples=12, duration="5 ms", trials=2,
            softmax="integrate", target="numpy", out=tmp_path / "new",
        )
    )  # fmt: skip
    assert {path.name for path in (tmp_path / "new").iterdir()} == FILES
    printed = capsys.readouterr()
    assert "deepsets_polynomial" in printed.out
    assert "numpy" in printed.err
    table = pd.read_csv(tmp_path / "new" / "summary.csv")
    assert (table["trials"] == 2).all()
    assert (table["softmax"] == "integrate").all()
    assert table["spikes_total"].min() > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 0}, "--heads must be at least 1, got 0"),
        ({"tokens": 1}, "--tokens must be at least 2, got 1"),
        ({"features": 0}, "--features must be at least 1"),
        ({"width": 0}, "--width must be at least 1"),
        ({"samples": 3}, "--samples must be at least 12, got 3"),
        ({"mode": "both"}, "mode must be one of 'staged', 'streaming'"),
        ({"softmax": "subtractive"}, "--softmax subtractive: unknown; accepted: "),
        ({"duration": "4"}, "'4' is not a number with a unit"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        prepare(attrs.evolve(Config(heads=1), **options))


def test_heads_do_not_depend_on_the_number_of_samples():
    few, more = (prepare(Config(heads=3, samples=samples, target="numpy")) for samples in (12, 30))
    np.testing.assert_array_equal(few.circuit.W_q, more.circuit.W_q)
    np.testing.assert_array_equal(few.x, more.x[:12])
    other = prepare(Config(heads=3, samples=12, seed=2, target="numpy"))
    assert not np.array_equal(few.circuit.W_q, other.circuit.W_q)
    assert not np.array_equal(few.x, other.x)


def test_unknown_option_of_the_api():
    with pytest.raises(ValueError, match="unknown option 'speed'; accepted: targets, heads"):
        approximate(own, speed=2)
