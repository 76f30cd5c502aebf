"""The study of sorting: samples have the law they claim, neurons the counts, and tables and figure what was found."""

import numpy as np
import pytest

from biospike import parts
from biospike.errors import InputError
from biospike.theory.score_schur import variance_order
from validation.sort import neurons, systems, tables
from validation.sort.figures import sort_figure
from validation.sort.study import Config, prepare
from validation.sort.tables import BLOCK, DRAWS, LEAKY, METHODS, ORDERS, POOR, TREE, Sizes, orders, theorems

SMALL = Sizes(3, 1, 300, 3, 2, 40, 2, 1000, 2, 6)


def test_theorems_hold_and_need_equal_noise():
    table = theorems(5)
    found = table.set_index(["statement", "kind"])["value"]
    assert found["leaf", "equal noise"] == 1
    assert found["leaf", "unequal noise"] < 0.5
    assert found["marginal", "an inner node"] < 1e-11
    assert found["form", "a leaf"] < 1e-12
    assert found["form", "an inner node"] > 0.01
    gap = table[table["statement"] == "gap"]
    np.testing.assert_allclose(gap["value"], gap["expected"], rtol=1e-9)
    assert (table["draws"].max(), len(gap)) == (DRAWS, 3)


def test_trees_are_trees():
    for deepest in (None, 2):
        B = systems.tree(np.random.default_rng(1), 40, systems.STRONG, deepest)
        assert (np.count_nonzero(B, axis=1) <= 1).all()
        assert np.count_nonzero(B) == 39
        size = np.abs(B[B != 0])
        assert size.min() >= 0.5
        assert size.max() <= 1.5
        depth = np.count_nonzero([np.linalg.matrix_power(B != 0, k).any() for k in range(1, 40)])
        assert depth == 2 if deepest else depth > 2


def test_effects_follow_their_causes():
    for curve in (systems.cube, systems.f_i_curve):
        values, B = systems.nonlinear(np.random.default_rng(2), 6, 4000, curve)
        for node in range(6):
            causes = np.flatnonzero(B[node])
            residual = values[:, node] - curve(values[:, causes]) @ B[node, causes]
            assert residual.std() == pytest.approx(1, abs=4.5 / np.sqrt(2 * 4000))
    assert systems.f_i_curve(np.array([-1.0]))[0] == 0
    assert (np.diff(systems.f_i_curve(np.linspace(0.1, 3, 20))) > 0).all()


def test_spiking_units_have_the_counts_of_their_law():
    """Mean m gain^l, and each count Poisson about gain times the one before: of variance its own mean."""
    (sample,) = neurons.poisson_units(2, 0.8, 1500, 1, seed=3)
    counts = sample.values
    assert counts.shape == (1500, 3)
    mean = systems.MEAN * 0.8 ** np.arange(3)
    assert (np.abs(counts.mean(axis=0) - mean) < 4.5 * counts.std(axis=0) / np.sqrt(1500)).all()
    for unit in (1, 2):
        noise = counts[:, unit] - 0.8 * counts[:, unit - 1]
        # The square of a Poisson deviation scatters by sqrt(2 + 1/m) of its mean.
        assert noise.var() == pytest.approx(mean[unit], rel=4.5 * np.sqrt((2 + 1 / mean[unit]) / 1500))
        assert abs(np.corrcoef(noise, counts[:, unit - 1])[0, 1]) < 4.5 / np.sqrt(1500)


def test_lags_of_a_known_order():
    lags = np.zeros((4, 4))
    for cause, effect in ((2, 0), (0, 3), (3, 1)):
        lags[cause, effect], lags[effect, cause] = 5.0, -5.0
    assert neurons.lag_order(lags) == [2, 0, 3, 1]


@pytest.mark.long
def test_leaky_neurons_spike_after_their_causes():
    recorded = neurons.leaky_chain(1, 6000, seed=1)[0]
    assert recorded.samples.values.sum() > 200
    np.testing.assert_array_equal(recorded.lags, -recorded.lags.T)
    onward = recorded.lags[np.arange(4), np.arange(1, 5)]
    # Followers and forerunners without a synapse differ by the root of their number, about 10.
    assert (onward > 5).all()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The table, which an interrupted run has made but for the end, and the next one goes on with."""
    directory, names = tmp_path_factory.mktemp("sort") / "parts", list[str]()

    def stop(name):
        names.append(name)
        if name == LEAKY:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "WORTH_KEEPING", 0.0)
        with pytest.raises(KeyboardInterrupt), parts.kept_in(directory):
            orders(SMALL, 1, "numpy", stop)
        assert names.pop() == LEAKY
        assert names.pop() == BLOCK
        assert len(names) > 10
        with parts.kept_in(directory):
            patch.setattr(tables, "METHODS", {"score_schur": METHODS["score_schur"], "variance": METHODS["variance"]})
            return orders(SMALL, 1, "numpy")


@pytest.mark.long
def test_every_system_is_asked_with_every_rival(table):
    assert list(table.columns) == ORDERS
    assert not table.duplicated(["system", "size", "samples", "method"]).any()
    assert {TREE, POOR, BLOCK, LEAKY} <= set(table["system"])
    for system, mine in table.groupby("system"):
        assert {"score_schur", "variance"} <= set(mine["method"]), system
    assert ((table["low"] <= table["exact"]) & (table["exact"] <= table["high"])).all()
    random = table[table["method"] == "random"]
    assert 0.35 < random["violated"].mean() < 0.65
    chains = table[(table["method"] == "score_schur") & table["system"].str.startswith("spiking")]
    by_side = chains.groupby("system")["violated"].mean()
    assert by_side["spiking Poisson chain, gain below"] > by_side["spiking Poisson chain, gain above"]


@pytest.mark.long
def test_the_figure_shows_every_system(table):
    left, right = sort_figure(table).axes
    assert len(left.containers) == 2 * 5
    names = table[~table["system"].isin([TREE, POOR])]
    assert len(right.get_yticks()) == len(set(zip(names["system"], names["size"], strict=True)))


def test_variance_grows_along_a_chain_above_its_threshold():
    sample = systems.poisson_chain(np.random.default_rng(1), 3, systems.gains(3)[1], 20_000)
    assert variance_order(sample.values) == [0, 1, 2, 3]


def test_bad_options_are_named():
    with pytest.raises(InputError, match=r"--seed 4294967296 must be in \[0, 4294967296\)"):
        prepare(Config(seed=2**32))
