"""The calibration of verdicts: codes have the truth they claim, lists cover, false verdicts are counted as such."""

import itertools
import json

import numpy as np
import pytest

from biospike.errors import InputError
from biospike.theory.concentration import multinomial_tv
from validation.study.redraw import redraw
from validation.study.results import Results
from validation.verdicts import measure as measured
from validation.verdicts.cells import FEWEST, LEVELS, SIZES, Cell, cells, legal, levels_of, pairs_of
from validation.verdicts.claims import CLAIMS
from validation.verdicts.codes import bias_of, draw, shares_of
from validation.verdicts.figures import calibration_figure
from validation.verdicts.measure import measure, measure_all, order_in_windows
from validation.verdicts.study import STUDY, Config, prepare
from validation.verdicts.tables import COLUMNS, holm, is_false, proportion_interval, tabulate

RNG = np.random.default_rng(4)


def cell(**options):
    known = {"order": 0.5, "bias": 0.0, "fall": "none", "rows": 4, "keys": 14, "trials": 4, "spikes": 400}
    return Cell(**known | {"sharing": "independent", "shape": "natural"} | options)


@pytest.fixture(scope="module")
def quick():
    return cells("quick")


def test_the_quick_list_covers_levels_and_legal_pairs(quick):
    assert 100 <= len(quick) <= 150
    assert len(set(quick)) == len(quick)
    assert all(legal(one) for one in quick)
    uses = [level for one in quick for level in levels_of(one)]
    assert all(uses.count((name, level)) >= FEWEST for name, levels in LEVELS.items() for level in levels)
    pairs = {pair for one in quick for pair in pairs_of(one)}
    missing = [
        (a, b)
        for first, second in itertools.combinations(LEVELS, 2)
        for a, b in itertools.product(LEVELS[first], LEVELS[second])
        if ((first, a), (second, b)) not in pairs and there_is_one(**{first: a, second: b})
    ]
    assert len(pairs) > 400
    assert not missing


def there_is_one(**fixed):
    """Whether any legal cell has these two levels."""
    rest = [[fixed[name]] if name in fixed else levels for name, levels in LEVELS.items()]
    return any(legal(Cell(*levels)) for levels in itertools.product(*rest))


def test_illegal_pairs_are_illegal():
    assert not there_is_one(keys=300, shape="natural")
    assert not there_is_one(rows=1, sharing="shared")
    assert there_is_one(rows=72, keys=300)


def test_the_list_is_always_the_same(quick):
    assert SIZES["paper"] >= 600
    assert quick[0] == Cell(0.85, 0.02, "transient", 72, 2, 64, 30, "shared", "peaked")


@pytest.mark.parametrize("sharing", ["independent", "shared"])
@pytest.mark.parametrize("order", [0.5, 0.75, 1.0])
@pytest.mark.parametrize("fall", ["constant", "transient"])
def test_codes_have_their_bias(order, sharing, fall):
    one = cell(order=order, bias=0.02, fall=fall, sharing=sharing, trials=1500)
    p = shares_of(one)
    bias = bias_of(one, p)
    np.testing.assert_allclose(np.abs(bias).sum(axis=1) / 2, 0.02, rtol=1e-12)
    np.testing.assert_allclose(bias.sum(axis=1), 0, atol=1e-15)
    shares = draw(one, p, RNG)
    for window, n in ((0, one.windows[0]), (-1, one.windows[-1])):
        expected = p + bias * (one.spikes / n if fall == "transient" else 1)
        spread = np.sqrt(np.maximum(expected, p) / (n * one.trials))  # of independent spikes, the widest
        # 56 shares at 4.5 standard errors, some of a few spikes in all; a regular code divides by a count that is n to
        # first order only.
        slack = 4.5 * spread + 10 / (n * one.trials) + (2 / n**2 if order == 1 else 0)
        assert (np.abs(shares[window].mean(axis=0) - expected) < slack).all()


@pytest.mark.parametrize("sharing", ["independent", "shared"])
@pytest.mark.parametrize("order", [0.5, 0.85])
def test_errors_are_the_multinomial_law_times_the_power(order, sharing):
    one = cell(order=order, sharing=sharing, trials=2000)
    p, n = shares_of(one), one.windows
    tv = np.abs(draw(one, p, RNG) - p).sum(axis=-1).mean(axis=-1) / 2
    law = np.array([multinomial_tv(p, k).mean() for k in n]) * (n / n[0]) ** (0.5 - order)
    assert (np.abs(tv.mean(axis=1) - law) < 4.5 * tv.std(axis=1) / np.sqrt(one.trials)).all()


def test_rows_share_spikes_or_do_not():
    """Rows of equal shares have equal counts if they share spikes."""
    for sharing in ("independent", "shared"):
        one = cell(shape="flat", sharing=sharing)
        shares = draw(one, shares_of(one), RNG)
        assert (shares[:, :, 0] == shares[:, :, 1]).all() == (sharing == "shared")


def test_shapes():
    never = shares_of(cell(shape="never"))
    assert (never[:, :4] < 1e-8).all()
    assert (shares_of(cell(shape="peaked")).max(axis=1) > 0.9).all()
    assert np.ptp(shares_of(cell(shape="flat"))) < 1e-12
    assert not legal(cell(keys=300, shape="natural"))


def test_order_in_windows_is_that_of_the_code():
    one = cell()
    law = np.array([multinomial_tv(shares_of(one), n).mean() for n in one.windows])
    assert order_in_windows(one, np.stack([0.9 * law, 1.1 * law])) == pytest.approx(0.5)
    fallen = law * (one.windows / one.windows[0]) ** -0.25
    assert 0.7 < order_in_windows(one, fallen[None]) < 0.85  # the slope of the regular law is not yet -1 here


def studies(verdict, low, high, error=0.01, limit=1.0):
    row = {"verdict": verdict, "reason": "", "alpha": (low + high) / 2, "low": low, "high": high, "limit": limit}
    n = cell().windows
    return [row | {"needed": float("nan"), "errors": (error * (n / n[-1]) ** -0.5).tolist()}] * 4


@pytest.mark.parametrize(
    ("code", "rows", "false"),
    [
        ({}, studies("1/sqrt(N)", 0.45, 0.55), False),
        ({}, studies("1/sqrt(N)", 0.53, 0.58), True),  # misses
        ({}, studies("undecided", 0.53, 0.58), False),
        ({}, studies("floor", np.nan, np.nan), True),
        ({"bias": 0.02, "fall": "constant"}, studies("floor", np.nan, np.nan), False),
        ({"bias": 0.02, "fall": "transient"}, studies("floor", np.nan, np.nan), True),
        ({"bias": 0.003, "fall": "constant"}, studies("1/sqrt(N)", 0.45, 0.55), False),
        ({"bias": 0.02, "fall": "constant"}, studies("1/sqrt(N)", 0.45, 0.55), True),  # hidden: above half of the error
        ({"bias": 0.003, "fall": "constant"}, studies("1/sqrt(N)", 0.45, 0.55, limit=1e-4), True),  # above the limit
    ],
)
def test_what_counts_as_false(code, rows, false):
    verdicts, by_cell = tabulate([(cell(**code), rows)])
    assert list(verdicts.columns) == list(COLUMNS)
    assert by_cell["false"].item() == float(false)
    assert verdicts["fraction"].sum() == 1
    assert verdicts.set_index("verdict")["false"][rows[0]["verdict"]] == float(false)
    assert is_false.__doc__


def test_holm_and_proportions_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])
    low, high = proportion_interval(0, 200)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 200))


def test_cells_are_kept_and_read_again(tmp_path, monkeypatch):
    chosen = [cell(trials=3), cell(order=1.0, rows=1, keys=4, shape="flat")]

    def all_of(chosen):
        found = measure_all(chosen, 2, 1, tmp_path, jobs=1, progress=False)
        return [(one, json.dumps(rows)) for one, rows in found]

    first = all_of(chosen[:1])
    made = []

    def spy(one, *rest):
        made.append(one)
        return measure(one, *rest)

    monkeypatch.setattr(measured, "measure", spy)
    second = all_of(chosen)
    assert made == chosen[1:]
    assert second[0] == first[0]
    for path in (tmp_path / "parts").iterdir():
        path.write_text("{")
    assert all_of(chosen) == second
    assert made[1:] == sorted(chosen, key=measured._size, reverse=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"preset": "fast"}, "--preset fast"), ({"target": "cython"}, "--target cython"), ({"seed": -1}, "--seed must"),
     ({"jobs": 0}, "--jobs must")],
)  # fmt: skip
def test_bad_options_are_named(options, words):
    with pytest.raises(InputError, match=words):
        prepare(Config(**options))


@pytest.mark.parametrize(("p_holm", "verdict"), [(0.5, "holds"), (0.06, "holds"), (0.01, "does not hold")])
def test_claim_follows_the_test_of_all_codes(p_holm, verdict, read):
    """What decides is the test of all codes together, not the worst of them, which lies above by chance."""
    cell = {"false": 0.07, "low": 0.04, "high": 0.12, "repetitions": 200, "p_holm": p_holm}
    found = read(CLAIMS, "verdicts on order", {"cells": [cell, cell | {"false": 0.0, "low": 0.0, "p_holm": 1.0}]})
    assert (found.verdict, found.p_value) == (verdict, p_holm)
    assert (found.estimate, found.threshold) == (0.07, 0.05)


def test_the_figure_shows_every_truth_and_cell(tmp_path):
    """Widths of a truth add up to 1, and false verdicts are drawn in order of size; from what is stored."""
    codes = [
        (cell(), studies("1/sqrt(N)", 0.45, 0.55)),
        (cell(order=1.0), studies("1/sqrt(N)", 0.45, 0.55)),
        (cell(bias=0.02, fall="constant"), studies("floor", np.nan, np.nan)),
    ]
    calibration, by_cell = tabulate(codes)
    figure = calibration_figure(calibration, by_cell)
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["$N^{-0.5}$", "$N^{-1}$", "$N^{-0.5}$, bias"]
    widths = np.array([[bar.get_width() for bar in bars] for bars in left.containers])
    np.testing.assert_allclose(widths.sum(axis=0), 1)
    np.testing.assert_array_equal(right.lines[0].get_ydata(), sorted(by_cell["false"]))
    stored = Results(tmp_path / "stored")
    stored.directory.mkdir()
    stored.tables(calibration=calibration, cells=by_cell)
    redraw(STUDY, stored.directory, tmp_path / "gallery")
    assert {path.name for path in (tmp_path / "gallery").iterdir()} == {
        "verdicts_calibration.png", "verdicts_calibration.pdf",
    }  # fmt: skip
