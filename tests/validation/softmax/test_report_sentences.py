"""Every sentence that the report of the softmax comparison prints is true, on rows of six kinds.

A sentence is told by its pattern, and held against what is computed here from the counts, or against the tables; one
that no pattern knows fails, and so does a pattern that no report has printed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from claims_said import OF_CLAIMS
from made_up_run import LATE, made_up, rewritten, turned
from matplotlib.figure import Figure
from run_facts import NUMBER, Facts, listed, parts_of, says

from biospike.ideal.softmax import softmax
from biospike.plots import shown_keys
from biospike.tables import CONVERGENCE_MEANINGS, SUMMARY_MEANINGS
from circuits.softmax import GROUPS
from validation.compare_softmax import Config, main
from validation.data import attention_rows
from validation.softmax import study as compare_softmax
from validation.softmax.claims import CLAIMS
from validation.softmax.controls import FLOOR_CURVE, NORMALISATION
from validation.softmax.regularity import REGULARITY
from validation.softmax.row_sets import ROW_SETS
from validation.study.claims import findings_text
from validation.study.results import Results

Match = re.Match[str]
CIRCUITS = ("subtractive", "integrate", "escape", "none", "self_inhibition")
RNG = np.random.default_rng(11)


def natural(rows: int) -> np.ndarray:
    every = attention_rows()
    return every[np.linspace(0, len(every) - 1, rows).astype(int)]


PEAKED = np.concatenate([np.full((4, 1), 4.0), RNG.normal(0, 0.5, (4, 7))], axis=1)
ROWS: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {
    "natural": (natural(5), (*GROUPS["circuit"], *GROUPS["control"])),
    "peaked": (PEAKED, CIRCUITS),
    "flat": (0.05 * RNG.normal(size=(4, 8)), CIRCUITS),
    "two keys": (np.array([[0.0, 0.7], [0.0, -1.3], [0.2, 0.1]]), CIRCUITS),
    "one row": (RNG.normal(size=(1, 9)), CIRCUITS),
    "300 keys": (RNG.normal(size=(2, 300)), CIRCUITS[:4]),
}


CHECKS: list[tuple[str, Callable[[Facts, Match], None]]] = []


def sentence(pattern: str) -> Callable[[Callable[[Facts, Match], None]], Callable[[Facts, Match], None]]:
    """Register what holds if a paragraph that matches the whole pattern is printed."""

    def register(check: Callable[[Facts, Match], None]) -> Callable[[Facts, Match], None]:
        CHECKS.append((pattern, check))
        return check

    return register


def columns(meanings: dict[str, str], table: str) -> None:
    """Descriptions of columns: every one is there."""

    def check(facts: Facts, match: Match) -> None:
        names = [name for several in re.findall(r"(?:^|; )`([^`]+)`: ", match[0]) for name in several.split(", ")]
        assert set(names) == {one for several in meanings for one in several.split(", ")}
        assert set(names) <= set(facts.tables[table].columns)

    CHECKS.append((re.escape("; ".join(f"`{name}`: {meaning}" for name, meaning in meanings.items())) + r"\.", check))


for _meanings, _table in (
    (SUMMARY_MEANINGS, "summary"), (CONVERGENCE_MEANINGS, "convergence"), (FLOOR_CURVE, "floor_curve"),
    (REGULARITY, "regularity"), (ROW_SETS, "row_sets"),
):  # fmt: skip
    columns(_meanings, _table)


@sentence(rf"(\d+) rows of (\d+) to (\d+) keys, logits spanning ({NUMBER}) to ({NUMBER}) nats a row \(median "
          rf"({NUMBER})\); (\d+) trials; window ({NUMBER}) ms; seed (\d+)\.")  # fmt: skip
def what_was_run(facts: Facts, match: Match) -> None:
    keys = (~np.isnan(facts.z)).sum(axis=1)
    span = np.nanmax(facts.z, axis=1) - np.nanmin(facts.z, axis=1)
    found = [*facts.z.shape[:1], keys.min(), keys.max(), span.min(), span.max(), np.median(span)]
    found += [facts.data.sizes["trial"], facts.data["window_ms"].values[-1], facts.data.attrs["seed"]]
    assert all(says(printed, value) for printed, value in zip(match.groups(), found, strict=True))


@sentence(
    r"Spikes by target: (.*?)\.( Target `fused` is kernels that find the spikes of the Brian2 network, every one\.)?"
)
def targets(facts: Facts, match: Match) -> None:
    told = {name: target for target, names in re.findall(r"`(\w+)`: ([^;]+)", match[1]) for name in listed(names)}
    assert told == dict(zip(facts.names, facts.data["target"].values, strict=True))
    assert ("fused" in told.values()) == bool(match[2])


@sentence(r"Shares divide by the row's own count, whatever the circuit does; what the \*circuit\* normalises is the "
          r"rate\. (`.*)")  # fmt: skip
def shares_and_rates(facts: Facts, match: Match) -> None:
    assert re.findall(r"(?:^|; )`(\w+)`", match[1]) == list(NORMALISATION)
    for name in facts.names:
        known = [facts.last.loc[name, column] for column in ("rate_spread", "rate_shift", "rate_scale")]
        np.testing.assert_allclose(known, facts.rates(name), rtol=1e-9, atol=1e-12, equal_nan=True)


@sentence(r"\*\*The circuit normalises:\*\* the row's rate is the same to 5% over the rows, and when the logits of all "
          r"keys are shifted or scaled, in (.*)\.")  # fmt: skip
def circuits_that_normalise(facts: Facts, match: Match) -> None:
    assert set(listed(match[1])) == {name for name in facts.names if facts.held(name)}


@sentence(r"\*\*Only the read-out normalises:\*\* the shares of (.*)\. A small error of the shares is no evidence "
          r"that a circuit normalises\.")  # fmt: skip
def read_outs_that_normalise(facts: Facts, match: Match) -> None:
    told = re.findall(
        rf"(\w+) are right to TV ({NUMBER}) while its rates over one constant err by ({NUMBER})", match[1]
    )
    assert told
    for name, tv, fixed in told:
        counts = facts.counts(name)[-1]
        apart = np.abs(counts / counts.sum(axis=-1).mean() - facts.p).sum(axis=-1).mean() / 2
        assert says(tv, facts.tv(name).mean())
        assert says(fixed, apart)
        assert facts.tv(name).mean() < 0.01 < apart
        assert not facts.held(name)


@sentence(r"The weight w, in thresholds, is free in the sources, .* the simulated floors differ by "
          rf"at most ({NUMBER})\.")  # fmt: skip
def floors_agree(facts: Facts, match: Match) -> None:
    table = facts.tables["floor_curve"]
    assert set(table["feedback"]) == {"mean", "sum"}
    assert says(match[1], (table["tv"] - table["tv_law"]).abs().max())


@sentence(r"(?:No verdict turns with the rows|The verdict turns with the rows of: (?P<turned>.*?))\."
          r"(?: Undecided: (?P<open>.*)\.)?")  # fmt: skip
def rows_that_turn_a_verdict(facts: Facts, match: Match) -> None:
    table = facts.tables["row_sets"].fillna({"reason": ""})
    told = table[table["verdict"] != "undecided"].groupby("circuit")["verdict"].agg(set)
    names = set(re.findall(r"(?:^|; )(\w+) \(", match["turned"] or ""))
    assert names == set(told.index[told.map(len) > 1])
    for name, words in re.findall(r"(\w+) \(([^)]*\)?[^;]*)\)(?:;|$)", match["turned"] or ""):
        for kind, verdict in (word.split(" ", 1) for word in words.split(", ")):
            assert (table[(table["circuit"] == name) & (table["rows_kind"] == kind)]["verdict"] == verdict).all()
    found = {(row.circuit, row.rows_kind, row.reason) for row in table.itertuples() if row.verdict == "undecided"}
    assert set(re.findall(r"(\w+) on (\w+) rows \(([^)]*)\)", match["open"] or "")) == found


@sentence(r"\*\*Not run\.\*\* (\w+): .*")
def not_run(facts: Facts, match: Match) -> None:
    assert match[1] not in facts.names
    assert facts.last.loc[match[1], "diagnostics"] == "not run"


@sentence(r"\*\*Undecided\.\*\* No order can be told of: (.*)\.")
def undecided(facts: Facts, match: Match) -> None:
    told = re.findall(r"(\w+) \(([^;)]*)(?:; about (\d+) trials would decide)?\)", match[1])
    assert {name for name, *_ in told} == {name for name in facts.names if facts.decision(name).verdict == "undecided"}
    for name, reason, trials in told:
        found = facts.decision(name)
        assert reason == found.reason
        assert says(trials, found.trials_needed) if trials else np.isnan(found.trials_needed)


@sentence(
    r"\*\*A bias that falls as 1/N\*\* was found of (.*): it does not last, and makes less than half of the error\."
)
def fading_bias(facts: Facts, match: Match) -> None:
    for name in listed(match[1]):
        bias = facts.decision(name).bias
        assert bias.p_value <= 0.025
        assert bias.lasting > 0.05  # nothing says that it lasts
        assert bias.fading <= 0.05
        assert bias.high <= bias.error / 2


@sentence(r"\*\*No bias was found of\*\* (.*)\. A constant one would have been, in 95 % of such runs, from an rms L2 "
          r"length of a row's bias of: (.*)\.")  # fmt: skip
def no_bias(facts: Facts, match: Match) -> None:
    names = listed(match[1])
    resolved = dict(one.split(" ") for one in match[2].split(", "))
    assert set(names) == set(resolved)
    for name in names:
        found = facts.decision(name)
        assert found.bias.p_value > 0.025
        assert found.verdict not in ("undecided", "floor")
        assert says(resolved[name], found.bias_resolvable)


@sentence(r"Members of one family, `escape` with thresholds of Gamma\(k\), differ in nothing but their CV, .* Within "
          r"5% of the law, by the 95 % interval of the error:")  # fmt: skip
def the_family(facts: Facts, match: Match) -> None:
    table = facts.tables["regularity"]
    np.testing.assert_allclose(table["cv"], table["k"] ** -0.5)
    # That counts are whole is all there is at k = infinity: the law has nothing, and the error is not 0.
    assert (table[np.isinf(table["k"])]["cv_law"] == 0).all()


@sentence(r"(?:\* \*\*k = [^\n]*(?:\n|$))+")
def members_of_the_family(facts: Facts, match: Match) -> None:
    table = facts.tables["regularity"]
    for line in match[0].splitlines():
        k, cv, rest = parts_of(r"^\* \*\*k = (\w+)\*\*, CV (\S+): (.*)\.$", line)
        mine = table[table["k"] == float(k)]
        assert says(cv, mine["cv"].iloc[0])
        inside = (mine["tv_low"] >= 0.95 * mine["cv_law"]) & (mine["tv_high"] <= 1.05 * mine["cv_law"])
        outside = (mine["tv_low"] > 1.05 * mine["cv_law"]) | (mine["tv_high"] < 0.95 * mine["cv_law"])
        for words, which in (("holds", inside), ("does not hold", outside)):
            told = re.search(rf"(?:^|; ){words} at ([\d, ]+) spikes a row", rest)
            spikes = [f"{n:.0f}" for n in mine[which & (mine["tv_high"] > 1e-6)]["spikes_per_row"]]
            assert (told[1].split(", ") if told else []) == spikes
        if "no window decides" in rest:
            assert not (inside | outside)[mine["tv_high"] > 1e-6].any()
        own = re.search(r"the error is (\S+) from the family's own law", rest)
        last = mine.iloc[-1]
        assert own is None or says(own[1], last["tv"] / last["family_law"] - 1)


@sentence(r"`change_low` to `change_high` is the 95 % interval of the change in TV \(Welch\)\. (?P<moved>.*?)\."
          r"(?: Without an interval, since nothing scatters over these trials, or there is one: (?P<untold>.*?)\.)?"
          r"(?P<lemma3> For `subtractive` a step is a timestep of the paper, so half of it doubles T, not the "
          r"accuracy\.)?")  # fmt: skip
def halved_steps(facts: Facts, match: Match) -> None:
    told = re.findall(rf"(\w+) \(({NUMBER}) to ({NUMBER}), spikes a row ({NUMBER}) to ({NUMBER})\)", match["moved"])
    untold = re.findall(rf"(\w+) \(({NUMBER}) to ({NUMBER})\)", match["untold"] or "")
    still = {}
    moved, at = {}, int(np.abs(facts.data["window_ms"].values - float(facts.data["window_halved_ms"])).argmin())
    for name in facts.names:
        halved = facts.data["spike_count_halved"].sel(circuit=name).transpose("trial_halved", "row", "key").values
        errors, spikes = [], []
        for counts in (facts.counts(name)[at], halved):
            total = counts.sum(axis=-1, keepdims=True)
            with np.errstate(invalid="ignore"):
                errors.append(np.nanmean(np.abs(counts / total - facts.p).sum(axis=-1) / 2, axis=-1))
            spikes.append(total.sum(axis=(1, 2)).mean() / len(facts.z))
        if max(np.ptp(one) for one in errors) < 1e-9:
            still[name] = (errors[0].mean(), errors[1].mean())
        else:
            low, high = welch_interval(errors[1], errors[0])
            if low > 0 or high < 0:
                moved[name] = (errors[0].mean(), errors[1].mean(), *spikes)
        if name == "subtractive":
            assert match["lemma3"]
            # T is doubled: so many spikes, up to whole ones of a key and row.
            assert spikes[1] == pytest.approx(2 * spikes[0], abs=2 * facts.z.shape[1])
    for words, found in ((told, moved), (untold, still)):
        assert {name for name, *_ in words} == set(found)
        for name, *numbers in words:
            assert all(says(printed, value) for printed, value in zip(numbers, found[name], strict=True))
    assert told or "No error moves" in match["moved"]


@sentence(r"Of a row of more than (\d+) keys the raster shows the \1 largest\.")
def long_rows(facts: Facts, match: Match) -> None:
    """Of a falling row the first keys are the largest, which are also those whose membrane is recorded."""
    most = int(match[1])
    assert facts.z.shape[1] > most
    row = xr.Dataset({"softmax": ("key", softmax(np.linspace(3, 0, 2 * most)[None])[0])}, {"trace_key": [0, 1, 2]})
    assert list(shown_keys(row)) == list(range(most))


def welch_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """95 % interval of the difference of two means, of which one may not scatter."""
    parts = np.array([values.var(ddof=1) / len(values) for values in (a, b)])
    freedom = parts.sum() ** 2 / (parts**2 / [len(a) - 1, len(b) - 1]).sum()
    half = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(parts.sum())
    return a.mean() - b.mean() - half, a.mean() - b.mean() + half


@sentence(r"(?:\* \*\*[^\n]*\((?:[^\n]*); (?:stated|reported|implied|ours)\): [^\n]*(?:\n|$))+")
def findings(facts: Facts, match: Match) -> None:
    """What is printed are the findings that the tables give, and each is true of them."""
    found = CLAIMS.findings(Results(facts.directory))
    assert match[0].strip() == findings_text(found)
    for one in found:
        if one.sentence:
            (check,) = (check for begins, check in OF_CLAIMS.items() if one.claim.startswith(begins))
            check(facts, one)
            claims_seen.add(one.claim)


seen: set[str] = set()
"""Patterns that a report has printed."""
claims_seen: set[str] = set()


def sentences(text: str) -> Iterator[str]:
    """Paragraphs of a report that say something: neither tables, headings, figures, nor what made it."""
    body, made = text.split("## What made this")
    assert made
    for paragraph in body.strip().split("\n\n"):
        if not re.match(r"\||#|!\[", paragraph):
            yield paragraph


def hold(facts: Facts) -> None:
    """Fail unless every sentence of a report is known, and true."""
    found = list(sentences(facts.text))
    assert len(found) > 10
    for paragraph in found:
        known = [(pattern, check, re.fullmatch(pattern, paragraph, re.DOTALL)) for pattern, check in CHECKS]
        matches = [(pattern, check, match) for pattern, check, match in known if match]
        assert len(matches) == 1, f"{len(matches)} patterns know: {paragraph}"
        for pattern, check, match in matches:
            check(facts, match)
            seen.add(pattern)


@contextlib.contextmanager
def without_raster(*_: object, **__: object) -> Iterator[Callable[..., object]]:
    """In the place of `drawing`: records and draws nothing."""
    yield lambda *_: None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Facts]:
    """Run the study on rows of one kind, once."""
    made: dict[str, Facts] = {}

    def of(kind: str) -> Facts:
        if kind not in made:
            logits, circuits = ROWS[kind]
            place = tmp_path_factory.mktemp("rows")
            np.save(place / "logits.npy", logits)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(compare_softmax, "drawing", without_raster)
                patch.setattr(Figure, "savefig", lambda figure, path, **_: Path(path).touch())
                patch.setattr("validation.softmax.regularity.REGULARITIES", (2, np.inf))
                patch.setattr("validation.softmax.controls.WEIGHTS", (0.1, 1.0))
                patch.delitem(compare_softmax.row_sets.FACTORS, "flat" if kind != "flat" else "peaked")
                options = {"duration": "0.2 s", "trials": 8, "target": "numpy", "quiet": True, "out": place / "out"}
                options["curves"] = True
                main(Config(logits=place / "logits.npy", circuits=circuits, **options))
            made[kind] = Facts(place / "out")
            assert all(facts > 20 for facts in made[kind].last["spikes_per_row"].drop("diffusive", errors="ignore"))
        return made[kind]

    return of


@pytest.mark.long
@pytest.mark.parametrize("kind", ROWS)
def test_every_sentence_is_true(kind: str, run: Callable[[str], Facts]) -> None:
    hold(run(kind))


@pytest.mark.long
def test_sentences_that_no_such_run_needs(run: Callable[[str], Facts], tmp_path: Path) -> None:
    """A bias that fades, a kernel, a circuit that was left out, and verdicts that turn."""
    flat = run("flat")
    made = {"escape": made_up(flat, LATE), "none": made_up(flat, 0)}
    (tmp_path / "one").mkdir()
    found = rewritten(flat, tmp_path / "one", made, fused="escape", left_out="race", sets=turned)
    assert found.fits.loc["escape", "reason"] == "transient bias"
    assert found.fits.loc["none", "verdict"] == "1/sqrt(N)"
    hold(found)
    assert {pattern for pattern, _ in CHECKS} - seen == set()
    assert {claim.claim for claim in CLAIMS} == claims_seen
