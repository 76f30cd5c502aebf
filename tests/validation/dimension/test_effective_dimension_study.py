"""The study of the effective dimension: data of known dimension in, the right table and words out."""

import importlib.util
import math

import numpy as np
import pandas as pd
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_sample_images

from biospike.theory.effective_dimension import components_for, participation_ratio, pca_dimension
from validation.dimension import tables as dimension_tables
from validation.dimension.data import SETS, read_samples
from validation.dimension.figures import convergence_figure, scree_figure
from validation.dimension.study import data_sets
from validation.dimension.tables import (
    CONVERGENCE,
    ESTIMATORS,
    PROTOCOL,
    SCREE,
    STATED,
    SUMMARY,
    claims,
    half_samples,
    measure,
    scatter,
    sizes,
    steps,
)
from validation.effective_dimension import Config, main, prepare, run


def gaussian(n=300, dimensions=5, ambient=12, seed=1):
    """Isotropic in `dimensions`, turned into more."""
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.normal(size=(ambient, dimensions)))[0]
    return rng.normal(size=(n, dimensions)) @ frame.T


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "known.npy"
    np.save(path, gaussian().reshape(300, 3, 4))
    return path


def test_a_file_of_known_dimension(known):
    tables, photographs = run(Config(data=known, trials=10, quiet=True))
    assert not photographs
    table = tables.summary.set_index("estimator")
    assert list(tables.summary.columns) == SUMMARY
    assert set(table.index) == {*ESTIMATORS, PROTOCOL}
    assert (table["samples"] == 300).all()
    assert (table["ambient"] == 12).all()
    assert table.loc["pca", "dimension"] == table.loc[PROTOCOL, "dimension"] == 5
    # D n/(D + n) = 4.92; sampling error below 0.05 (Wishart), see test_effective_dimension.
    assert table.loc["participation_ratio", "dimension"] == pytest.approx(4.92, abs=0.1)
    assert 4.9 < table.loc["effective_rank", "dimension"] <= 5
    # The relative standard error of TwoNN is 1/sqrt(300) = 6 %: 4 of these.
    assert table.loc["two_nn", "dimension"] == pytest.approx(5, rel=0.24)
    assert table.loc["mle", "dimension"] == pytest.approx(5, rel=0.24)
    assert (table["low"] <= table["dimension"]).all()
    assert (table["high"] >= table["dimension"]).all()

    spectrum = tables.scree
    assert list(spectrum.columns) == SCREE
    assert len(spectrum) == 12
    assert spectrum["share"].sum() == pytest.approx(1)
    assert spectrum["cumulative"].iloc[4] == pytest.approx(1)
    assert list(tables.convergence.columns) == CONVERGENCE
    curve = tables.convergence[tables.convergence["estimator"] == "pca"]
    assert curve["samples"].iloc[-1] == 300
    assert curve["dimension"].is_monotonic_increasing
    assert (tables.claims["verdict"] == "unverified").all()


def test_interval_covers_as_stated():
    # New samples of a known distribution: the interval of the participation ratio has to hold its expectation in about
    # 95 % of the cases. 60 of them: fewer than 51 have a probability below 1e-3.
    n, runs, hits = 120, 60, 0
    scales = 0.8 ** np.arange(6)
    expectation = np.mean(
        [participation_ratio(np.random.default_rng([7, k]).normal(size=(n, 6)) * scales) for k in range(400)]
    )
    for k in range(runs):
        samples = np.random.default_rng([8, k]).normal(size=(n, 6)) * scales
        halves = half_samples(samples, 0.95, 40, seed=k, neighbours=False)
        half = dimension_tables.Z * scatter(halves, n)[1]
        hits += abs(participation_ratio(samples) - expectation) < half
    assert hits >= 51


def test_scatter_of_halves_is_the_standard_error_of_a_mean():
    # Exactly sigma^2/n in expectation, for even n: over all halves of four numbers.
    x = np.array([0.0, 1.0, 5.0, 6.0])
    halves = np.array([[(x[i] + x[j]) / 2] for i in range(4) for j in range(i)])
    exact = halves.std(ddof=0)  # all six halves, not a sample of them
    assert exact * math.sqrt(2 / 2) == pytest.approx(x.std(ddof=1) / 2)
    assert scatter(halves, 4)[0] == pytest.approx(exact * math.sqrt(6 / 5))
    assert np.isnan(scatter(np.array([[1.0], [np.nan]]), 4)[0])


def test_a_set_gives_the_same_numbers_alone_and_in_company():
    samples = gaussian(n=60)
    first = measure("x", samples, variance=0.95, trials=4, seed=3)
    second = measure("x", samples, variance=0.95, trials=4, seed=3)
    for a, b in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(a, b)


@pytest.mark.parametrize("n", [10, 11, 72, 1000])
def test_progress_counts_every_step(n):
    calls = []
    samples = np.random.default_rng(n).normal(size=(n, 3))
    measure("x", samples, variance=0.95, trials=3, seed=1, tick=lambda: calls.append(1))
    assert len(calls) == steps(n, 3)
    assert sizes(n)[-1] == n // 2
    assert sizes(n)[0] >= 3


def test_small_samples_are_flagged_and_have_no_interval():
    tables, _ = run(Config(sets=("tokens", "head-0-q"), trials=4, quiet=True))
    table = tables.summary.set_index(["data", "estimator"])
    assert (table["samples"] == 11).all()
    spectral = table.drop(index=["two_nn", "mle"], level="estimator")
    assert spectral["diagnostics"].str.contains("n < 100").all()
    assert spectral["diagnostics"].str.contains("no interval").all()
    assert table[["low", "high"]].isna().all(axis=None)
    assert table.loc[("tokens", "mle"), "diagnostics"] == "fewer than 40 different samples"
    # 11 tokens written in their 10 principal axes: PCA finds no more, and the constant feature none.
    assert table.loc[("tokens", "pca"), "dimension"] <= 10


def test_built_in_sets():
    sets = data_sets(["digits", "patches-4", "attention", "tokens", "head-3-v"], seed=2, patches=50)
    assert {name: x.shape for name, x in sets.items()} == {
        "digits": (1797, 64),
        "patches-4": (50, 48),
        "attention": (72, 32),
        "tokens": (11, 11),
        "head-3-v": (11, 32),
    }
    np.testing.assert_allclose(sets["attention"].sum(axis=1), 1)
    assert np.array_equal(data_sets(["patches-4"], 2, 50)["patches-4"], sets["patches-4"])
    assert len(SETS) == 18
    with pytest.raises(ValueError, match=r"set digit: unknown \(did you mean 'digits'\?\)"):
        data_sets(["digit"], 1)


@pytest.mark.long
def test_patches_against_the_census_of_all_places():
    # Covariance over every second place of both photographs, exact: 5 components of 192. Samples of it scatter by 1.
    total, square, n = 0.0, 0.0, 0
    for image in load_sample_images().images:
        view = sliding_window_view(image / 255, (8, 8), axis=(0, 1))[::2, ::2]  # type: ignore[call-overload]  # one axis
        for row in view:
            x = row.reshape(len(row), -1)
            total, square, n = total + x.sum(axis=0), square + x.T @ x, n + len(x)
    covariance = square / n - np.outer(total / n, total / n)
    everywhere = components_for(np.linalg.eigvalsh(covariance)[::-1])
    assert everywhere == 5
    assert abs(pca_dimension(data_sets(["patches-8"], 1)["patches-8"]) - everywhere) <= 1


def test_verdicts_on_the_published_figures():
    def tables(dimension, low, high):
        summary = pd.DataFrame([("mine", 500, 3072, PROTOCOL, dimension, low, high, "")], columns=SUMMARY)
        cumulative = np.linspace(0.02, 1.0, 50)
        return summary, pd.DataFrame({"data": "mine", "cumulative": cumulative})

    found = claims(*tables(197, 190, 204), "mine", "CIFAR-10").set_index("claim")
    assert found["verdict"].to_dict() == {
        "CIFAR-10": "contradicted",
        "CIFAR-100": "unverified",
        "ImageNet": "unverified",
    }
    assert found.loc["CIFAR-10", "held"] == pytest.approx(0.94)  # the 47th of 50
    assert found.loc["CIFAR-10", "claimed"] == 47
    assert np.isnan(found.loc["ImageNet", "measured"])
    assert claims(*tables(51, 49, 53), "mine", "CIFAR-10").set_index("claim").loc["CIFAR-10", "verdict"] == "consistent"
    assert (claims(*tables(51, 49, 53), "mine", None)["verdict"] == "unverified").all()
    assert set(STATED) == {"CIFAR-10", "CIFAR-100", "ImageNet"}


def test_a_protocol_without_variance_is_undecided():
    """Eleven of twelve are equal: this seed draws a subsample without the other."""
    samples = np.ones((12, 3))
    samples[11] = 0.0
    table = measure("x", samples, variance=0.95, trials=2, seed=1)[0].set_index("estimator")
    assert table.loc["pca", "dimension"] == 1
    assert np.isnan(table.loc["pca_subsampled", "dimension"])
    assert table.loc["pca_subsampled", "diagnostics"].startswith("undecided: a subsample holds equal samples only")


@pytest.mark.long
def test_samples_of_which_a_part_are_equal_are_measured_as_far_as_they_can_be(tmp_path):
    """The last of twelve differs, which a subsample of this seed has not drawn."""
    samples = np.ones((12, 3))
    samples[11] = 0.0
    np.save(tmp_path / "x.npy", samples)
    main(Config(data=tmp_path / "x.npy", trials=2, out=tmp_path / "out", quiet=True))
    table = pd.read_csv(tmp_path / "out" / "summary.csv").set_index("estimator")
    assert table.loc["pca", "dimension"] == 1
    protocol = table.loc["pca_subsampled"]
    assert np.isnan(protocol["dimension"])
    assert "undecided: a subsample holds equal samples only" in protocol["diagnostics"]
    for path in (tmp_path / "out").glob("*.[cm]*"):
        assert "nan" not in path.read_text()


@pytest.mark.long
def test_everything_is_written(known, tmp_path, capsys):
    main(Config(data=known, claim="CIFAR-10", sets=("patches-4",), patches=120, trials=4, out=tmp_path, quiet=True))
    assert capsys.readouterr().out == ""
    names = {path.name for path in tmp_path.iterdir()}
    tables = {"summary.csv", "convergence.csv", "scree.csv", "claims.csv"}
    assert names == tables | {"scree.png", "scree.pdf", "convergence.png", "convergence.pdf", "report.md"}
    text = (tmp_path / "report.md").read_text()
    assert "**CIFAR-10: contradicted** for this tensor. Measured 5.0" in text
    assert "Unverified, since no file of theirs was given: CIFAR-100, ImageNet" in text
    assert "300 samples of 12 features" in text
    assert "nan" not in text
    table = pd.read_csv(tmp_path / "summary.csv")
    assert list(table["data"].unique()) == ["known", "patches-4"]


def test_artists_of_the_figures(known):
    tables, _ = run(Config(data=known, sets=("tokens",), trials=4, quiet=True))
    figure = scree_figure(tables.scree, tables.summary, 0.95)
    shares, left = figure.axes
    assert shares.get_xscale() == shares.get_yscale() == "log"
    legend = shares.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["known: 5 of 12", "n < 100 (1 sets)"]
    assert [
        np.asarray(line.get_ydata())[0] for line in left.get_lines() if line.get_linestyle() == ":"
    ] == pytest.approx([0.05])

    figure = convergence_figure(tables.convergence, tables.summary, {"known": STATED["CIFAR-10"]})
    (axes,) = figure.axes
    assert axes.get_xlabel() == "samples"
    assert axes.get_ylim()[1] > 50
    curves = {str(line.get_label()): np.asarray(line.get_xdata()) for line in axes.get_lines()}
    curves = {label: x for label, x in curves.items() if not label.startswith("_")}
    assert len(curves) == len(ESTIMATORS)
    assert curves["principal components"].max() == 300
    assert curves["TwoNN"].min() >= 40


def test_without_the_library_the_rest_is_measured(known, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "skdim" else find(name, *rest))
    tables, _ = run(Config(data=known, trials=3))
    table = tables.summary.set_index("estimator")
    assert table.loc["pca", "dimension"] == 5
    assert np.isnan(table.loc["two_nn", "dimension"])
    assert "pip install 'biospike[dimension]'" in table.loc["two_nn", "diagnostics"]
    assert "pip install 'biospike[dimension]'" in capsys.readouterr().err


def test_files_of_every_kind(tmp_path):
    samples = gaussian(n=12)
    np.savez(tmp_path / "a.npz", samples=samples, labels=np.arange(12))
    np.savetxt(tmp_path / "a.csv", samples, delimiter=",")
    np.save(tmp_path / "a.npy", (samples * 1e4).astype(np.int16))
    for name in ("a.npz", "a.csv"):
        np.testing.assert_allclose(read_samples(tmp_path / name), samples)
    assert read_samples(tmp_path / "a.npy").dtype == float


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.ones((20, 3)), "all 20 samples are equal"),
        (np.ones((9, 3)), r"at least 10 samples, the first axis of \(samples, ...\), got \(9, 3\)"),
        (np.ones(20), r"got \(20,\)"),
        (np.where(np.eye(20) > 0, np.inf, 0.0), "finite, got inf"),
        (np.ones((20, 2), dtype=complex), "real numbers, got complex128"),
        (1e300 * np.eye(20), r"from 0 to 1e\+300, the squares of whose differences double precision does not hold"),
        (1.7e308 * (np.eye(20)[::-1] - np.eye(20)), r"from -1.7e\+308 to 1.7e\+308, the squares"),
        (1e-200 * np.eye(20), "from 0 to 1e-200, the squares"),
    ],
)
def test_bad_arrays(tmp_path, content, words):
    np.save(tmp_path / "bad.npy", content)
    with pytest.raises(ValueError, match=rf"--data .*bad.npy: .*{words}"):
        read_samples(tmp_path / "bad.npy")


def test_bad_files(tmp_path):
    (tmp_path / "words.csv").write_text("1,2\n3,x\n")
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    np.savez(tmp_path / "two.npz", a=np.ones(3), b=np.ones(3))
    for name, words in (
        ("words.csv", "'x' is not a number"),
        ("broken.npy", "broken.npy"),
        ("two.npz", "expected one array, or one named samples, data, X; found a, b"),
        ("missing.npy", "there is no such file"),
        ("image.png", "ends in .npy, .npz, .csv"),
    ):
        with pytest.raises(ValueError, match=words):
            read_samples(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variance": 1.5}, "--variance 1.5 must be above 0 and at most 1"),
        ({"trials": 1}, "--trials 1 must be at least 2"),
        ({"patches": 3}, "--patches 3 must be at least 20"),
        ({"sets": ("digit",)}, r"--sets: set digit: unknown \(did you mean 'digits'"),
        ({"claim": "CIFAR10"}, r"--claim CIFAR10: unknown \(did you mean 'CIFAR-10'"),
        ({"claim": "CIFAR-10"}, "--claim CIFAR-10 needs --data FILE"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        prepare(Config(**options))
