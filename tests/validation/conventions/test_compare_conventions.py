"""Questions to neurons find what formulas say, and their answers are the shipped table's where a package is there."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from biospike.errors import InputError
from biospike.ideal.framework_lif import BindsNET, Norse, NorseBox, Sinabs
from biospike.ideal.lif import DiscreteLIF, Paper, SnnTorch, SpikingJellyHard, SpikingJellySoft
from validation.conventions import packages, study
from validation.conventions.figures import SHOWN, figure
from validation.conventions.packages import PACKAGES
from validation.conventions.packages.of_brian2 import neurons as of_brian2
from validation.conventions.probes import SAME, Neuron, answers, differences, smallest, spike_test
from validation.conventions.study import Config, main, prepare
from validation.conventions.tables import COLUMNS, KEY, ask, by_neuron, joined, lines_of_changes, noise_levels, shipped

FORMULAS: dict[tuple[str, str], tuple[DiscreteLIF, dict[str, Any]]] = {
    ("spikingjelly", "LIFNode(tau=4)"): (SpikingJellyHard(tau=4), {"tie": 4.0}),
    ("spikingjelly", "LIFNode(tau=4, v_reset=None)"): (SpikingJellySoft(tau=4), {"tie": 4.0}),
    ("spikingjelly", "IFNode()"): (SpikingJellyHard(tau=math.inf, decay_input=False), {"tie": 1.0}),
    ("snntorch", "Leaky(beta=0.75)"): (SnnTorch(beta=0.75), {"tie": 1.0}),
    ("norse", "LIFCell()"): (Norse(), {}),
    ("norse", "LIFBoxCell(tau_mem_inv=250)"): (NorseBox(tau_mem_inv=250), {"tie": 4.0}),
    ("sinabs", "LIF(tau_mem=20)"): (Sinabs(), {}),
    ("sinabs", "IAF()"): (Sinabs(alpha=1, norm_input=False), {"tie": 1.0}),
    ("bindsnet", "LIFNodes(n)"): (BindsNET(), {"unit": 13.0}),
}  # fmt: skip


def neuron(kind: DiscreteLIF, **options: Any) -> Neuron:
    return Neuron(name=str(kind), drive=lambda inputs: kind.run(inputs, inputs.dtype), **options)


# ---------------------------------------------------------------------------------------------------- what ships


def test_shipped_table_has_every_package_with_its_version() -> None:
    table = shipped()
    assert list(table) == list(COLUMNS)
    assert set(table["package"]) == set(PACKAGES)
    assert (table[["version", "seen", "date"]] != "").all(axis=None)
    assert (table["changed"] == "").all()
    assert not table.duplicated(KEY).any()
    # Every formula answers as the package does, and differs from it in no spike.
    formula = table[table["numpy"] != ""]
    assert len(formula) > 100
    assert (formula["numpy"] == formula["seen"]).all()
    same = table[table["probe"] == SAME]["seen"]
    assert len(same) >= 15
    assert same.str.startswith("0 of 10000, ").all()
    assert (same.str.extract(r"(\d+) spikes")[0].astype(int) > 1000).all()


@pytest.mark.parametrize("name", FORMULAS, ids=str)
def test_formula_answers_as_the_shipped_table_says(name: tuple[str, str]) -> None:
    kind, options = FORMULAS[name]
    table = shipped()
    rows = table[(table["package"] == name[0]) & (table["model"] == name[1])].set_index("probe")["numpy"]
    assert answers(neuron(kind, **options)) == rows[rows != ""].to_dict()


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "brian2"])
def test_package_answers_as_the_shipped_table_says(package: str) -> None:
    if not packages.available(package):
        pytest.skip(f"{package} is not installed")
    table = joined([pd.DataFrame(ask(package, seed=1))], shipped())
    assert set(table["model"]) == set(shipped().query("package == @package")["model"])
    assert lines_of_changes(table) == []


@pytest.mark.long
def test_brian2_answers_as_the_shipped_table_says() -> None:
    asked = next(iter(of_brian2())).neuron
    rows = shipped().query("package == 'brian2' and model == @asked.name").set_index("probe")["seen"]
    assert answers(asked) == rows.to_dict()


# ------------------------------------------------------------------------------------------------------ questions


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_smallest_input_is_exact_to_the_last_bit(dtype: str) -> None:
    for kind, tie, fires_at_tie in ((SpikingJellyHard(tau=4), 4.0, True), (SnnTorch(beta=0.75), 1.0, False)):
        asked = neuron(kind, dtype=dtype, tie=tie)
        x1 = smallest(asked, [], slice(None))
        number = np.dtype(dtype).type
        assert x1 == (tie if fires_at_tie else np.nextafter(number(tie), number(9)))
        assert spike_test(asked, x1) == (">=" if fires_at_tie else ">")


def test_questions_tell_conventions_apart() -> None:
    """Each differs from the paper's neuron in what is known of it."""
    paper = answers(neuron(Paper(beta=0.75), tie=1.0))
    assert paper["reset"].startswith("subtracted a step later")
    # 1.5 thresholds decay to 1.125, from which 1 is then taken.
    assert "0.125" in paper["reset"]
    others: list[tuple[DiscreteLIF, dict[str, Any], dict[str, str]]] = [
        (SnnTorch(beta=0.75), {"tie": 1.0}, {"spike test": ">"}),
        (SpikingJellySoft(tau=4, decay_input=False), {"tie": 1.0}, {"reset": "subtracted at once (of 1.5"}),
        (SpikingJellyHard(tau=4, decay_input=False), {"tie": 1.0}, {"reset": "to rest"}),
        (Sinabs(alpha=0.75, norm_input=False), {"tie": 1.0}, {"spikes in one step": "3"}),
        (BindsNET(decay=0.75, thresh=1, rest=0, v_reset=0, refrac=3), {"tie": 1.0},
         {"interval at saturation": "4", "input while refractory": "lost"}),
    ]  # fmt: skip
    for kind, options, expected in others:
        found = answers(neuron(kind, **options))
        for probe, answer in expected.items():
            assert found[probe].startswith(answer), (kind, probe)
            assert paper.get(probe) != found[probe]


def test_a_neuron_that_never_fires_says_so() -> None:
    silent = Neuron(name="silent", drive=lambda inputs: np.zeros(inputs.shape, int))
    assert answers(silent) == {"weight of an impulse": "0: no input makes it fire"}


def test_differences_are_counted() -> None:
    asked = neuron(SpikingJellyHard(tau=4), tie=4.0)
    assert differences(asked, asked.drive, 1).startswith("0 of 10000, ")
    strict = neuron(SpikingJellyHard(tau=4, v_th=float(np.nextafter(np.float32(1), 2))))
    assert int(differences(asked, strict.drive, 1).split(" of ")[0]) > 20


# ----------------------------------------------------------------------------------------------------------- study


def test_tables_of_several_environments_are_joined_and_what_changed_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {name: tmp_path / name for name in ("one", "two")}
    table = shipped()
    table.loc[(table["package"] == "norse") & (table["probe"] == "spike test"), "seen"] = ">="
    for path, rows in zip(parts.values(), (table["package"] == "norse", table["package"] != "norse"), strict=True):
        path.mkdir()
        table[rows].to_csv(path / "conventions.csv", index=False)
    main(Config(join=tuple(parts.values()), out=tmp_path / "all", quiet=True))
    made = pd.read_csv(tmp_path / "all/conventions.csv", dtype=str, keep_default_na=False)
    assert len(made) == len(shipped())
    changed = made[made["changed"] != ""]
    assert set(changed["package"]) == {"norse"}
    assert set(changed["changed"]) == {">"}
    told = capsys.readouterr().err.splitlines()
    assert len(told) == len(changed) == 2
    assert told[0].startswith("changed: norse 1.1.0, LIFCell(tau_mem_inv=250, tau_syn_inv=1000), spike test: >=; ")
    report = (tmp_path / "all/report.md").read_text()
    assert told[0] in report
    assert "0 differences in" in report
    assert {path.suffix for path in (tmp_path / "all").iterdir()} == {".csv", ".md", ".png", ".pdf"}


def test_noise_of_eight_bits_leaves_what_another_code_found() -> None:
    table = noise_levels()
    assert table["tv"].tolist() == pytest.approx([0.0045, 0.0080, 0.0160, 0.0305, 0.0555, 0.0990, 0.089], abs=6e-5)
    assert (table["levels"].iloc[-1], table["spikes_per_step"].iloc[-1]) == (255, 0.1)


def test_figure_has_a_row_a_neuron_and_a_column_a_question() -> None:
    table = shipped()
    (axes,) = figure(table).axes
    assert len(axes.get_yticklabels()) == len(by_neuron(table)) >= 25
    assert [label.get_text() for label in axes.get_xticklabels()] == list(SHOWN.values())


def test_bad_options_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(line: str, **options: Any) -> None:
        with pytest.raises(InputError, match=line):
            prepare(Config(**options))

    refused(r"--packages nore: unknown \(did you mean 'norse'\?\); accepted: spikingjelly", packages=("nore",))
    refused("--packages needs at least one of", packages=())
    refused("--seed must be at least 0, got -1", seed=-1)
    refused(r"--join .*none: conventions.csv cannot be read", join=(tmp_path / "none",))
    (tmp_path / "conventions.csv").write_text("package,version\nnorse,1\n")
    refused(r"--join .*: conventions.csv has no column model, probe", join=(tmp_path,))
    monkeypatch.setattr(packages, "available", lambda name: False)
    refused(r"--packages sinabs: it is not installed; .* --no-deps sinabs", packages=("sinabs",))


def test_what_is_joined_is_not_asked_again(tmp_path: Path) -> None:
    shutil.copy(Path(study.__file__).with_name("conventions.csv"), tmp_path)
    assert prepare(Config(join=(tmp_path,))).packages == ()
    assert prepare(Config(join=(tmp_path,), packages=("brian2",))).packages == ("brian2",)
    assert "brian2" in prepare(Config()).packages
