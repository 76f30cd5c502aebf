"""A number's key covers the source that it passes through, and nothing else: no word of a report changes one."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xarray

import biospike
import circuits
from biospike import source
from circuits import SOFTMAX_CIRCUITS

import brian2

ROOT = Path(biospike.__file__).parents[1]
PACKAGES = ("biospike", "circuits", "validation")

# One file of every room, and whether the key of a compiled race, and of a key neuron of the audit, hangs on it.
TOUCHED = {
    "biospike/fused/rows.py": (True, True),
    "biospike/random.py": (True, True),
    "biospike/generate.py": (True, True),
    "biospike/translation_unit.py": (True, True),
    "biospike/theory/race.py": (True, True),
    "biospike/auditing/run.py": (False, False),
    "biospike/plots.py": (False, False),
    "biospike/style.mplstyle": (False, False),
    "biospike/provenance.py": (False, False),
    "circuits/softmax/race.py": (True, True),
    "circuits/transformers/qkformer.py": (False, False),
    "validation/compare_softmax.py": (False, False),
    "validation/bench/circuit.txt": (False, False),
    "validation/study/claims.py": (False, False),
    "validation/study/command_line.py": (False, False),
    "validation/inputs/logits.py": (False, False),
    "validation/data/attention_rows.npz": (False, False),
    "validation/softmax/report.py": (False, False),
    "validation/softmax/figures.py": (False, False),
    "validation/attention/tables.py": (False, False),
    "validation/frameworks/study.py": (False, False),
    "validation/conventions/conventions.csv": (False, False),
    "validation/conventions/packages/of_nest.py": (False, False),
    "validation/simulators/mapping.py": (False, False),
    "validation/bounds/claims.py": (False, False),
    "validation/rule/figures.py": (False, False),
    "validation/rank/tables.py": (False, False),
    "validation/sort/tables.py": (False, False),
    "validation/audit/report.py": (False, False),
    "validation/ageing/report.py": (False, False),
    "validation/model/report.py": (False, False),
    "validation/microcircuits/ladder.py": (False, False),
    "validation/dimension/report.py": (False, False),
    "validation/approximation/targets.py": (False, False),
    "validation/assumptions/report.py": (False, False),
    "validation/verdicts/codes.py": (False, False),
    "validation/assumptions/claims.py": (False, False),
    "validation/assumptions/keys/hazard_keys.py": (False, True),
    "validation/speed/peers/loop.cpp": (False, False),
    "validation/speed/report.py": (False, False),
}
LOOK = """
import json, sys
from pathlib import Path
from biospike import provenance, source, standalone
from circuits.softmax import Race
from validation.assumptions.keys.hazard_keys import HazardKeys

def keys():
    source._digests.clear()  # classes are asked for again, as in another process
    return [standalone.code_digest(Race), standalone.code_digest(HazardKeys), provenance.code_digest()]

before, changed = keys(), {}
for name in sys.argv[1:]:
    path = Path(name)
    content = path.read_bytes()
    path.write_bytes(content + b"\\n")
    changed[name] = [now != then for now, then in zip(keys(), before, strict=True)]
    path.write_bytes(content)
assert keys() == before
print(json.dumps(changed))
"""


def test_touching_a_file_of_every_room_changes_a_key_or_none(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    found = subprocess.run(
        [sys.executable, "-c", LOOK, *TOUCHED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    changed = json.loads(found.stdout)
    assert {name: tuple(made[:2]) for name, made in changed.items()} == TOUCHED
    assert all(made[2] for made in changed.values()), "the digest of the whole source covers every file"


def test_every_room_is_touched() -> None:
    rooms = {
        path.relative_to(ROOT).parent.as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    }
    beside = {"biospike/ideal", "biospike/ideal/attention", "biospike/ideal/frameworks", "circuits"}
    assert rooms - beside == {Path(name).parent.as_posix() for name in TOUCHED}


@pytest.mark.long
@pytest.mark.parametrize("module", sorted({kind.__module__ for kind in SOFTMAX_CIRCUITS.values()}))
def test_what_a_fresh_process_imports_is_covered(module: str) -> None:
    script = f"import sys, biospike.generate, biospike.sweep, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    files = {
        Path(sys.modules[name].__file__ or "") for name in loaded if name in sys.modules and name.startswith(PACKAGES)
    }
    registry = {Path(sys.modules[kind.__module__].__file__ or "") for kind in SOFTMAX_CIRCUITS.values()}
    assert len(files) > 20
    # The registry imports every circuit beside the one that is asked for.
    assert files - registry <= source.files_behind(module)


def parsed(text, module, is_package):
    """Names that Python itself finds imported in a source."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".") if is_package else module.split(".")[:-1]
            base = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
            name = ".".join(part for part in (base, node.module) if part)
            yield from (name, *(f"{name}.{alias.name}" for alias in node.names if alias.name != "*"))


@pytest.mark.long
def test_no_import_is_missed():
    """The pattern finds what the parser finds, in our sources and in those of large packages."""
    seen = 0
    for package in (biospike, circuits, brian2, xarray):
        root = Path(package.__file__).parent
        for path in root.rglob("*.py"):
            module = ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
            found = set(parsed(path.read_bytes(), module, path.name == "__init__.py"))
            assert found <= source._imports(path, module, 0), path
            seen += len(found)
    assert seen > 5000


def test_every_form_of_an_import_is_found(tmp_path):
    text = (
        "x = 1; import a.b as c, d\nfrom . import e\nfrom ..f import (\n    g,  # not h\n    i as j,\n)\n"
        "def load():\n\tfrom\tk.l  import \\\n  m, n as o\n    # from here import\n"
    )
    path = tmp_path / "some.py"
    path.write_text(text)
    expected = {"a.b", "d", "top.in", "top.in.e", "top.f", "top.f.g", "top.f.i", "k.l", "k.l.m", "k.l.n"}
    assert expected <= source._imports(path, "top.in.some", 0)


@pytest.mark.parametrize(
    "beside", ["helper_of_mine.py", "__init__.py and helper_of_mine.py", "other/helper_of_mine.py"]
)
def test_what_a_circuit_of_a_file_imports_is_part_of_its_digest(
    beside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside it, in a folder that is a package as well, and in another folder of the path."""
    (tmp_path / "other").mkdir()
    helper = tmp_path / beside.rsplit(" and ", maxsplit=1)[-1]
    if "__init__" in beside:
        (tmp_path / "__init__.py").write_text("")
    (tmp_path / "circuit_of_a_file.py").write_text("from helper_of_mine import FACTOR\n")
    helper.write_text("FACTOR = 1\n")
    for folder in (tmp_path, helper.parent):
        monkeypatch.syspath_prepend(folder)
    before = source.digest("circuit_of_a_file")
    assert helper in source.files_behind("circuit_of_a_file")
    helper.write_text("FACTOR = 27\n")
    assert source.digest("circuit_of_a_file") != before


def test_installed_packages_are_not_read() -> None:
    found = source.files_behind("circuits.softmax.escape")
    assert len(found) > 20
    assert not any("site-packages" in path.parts or path.is_relative_to(Path(os.__file__).parent) for path in found)


def test_a_source_of_another_encoding_and_a_folder_that_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is imported is found in a file that is not UTF-8, and once its folder is on the path."""
    (tmp_path / "later").mkdir()
    (tmp_path / "circuit_of_latin.py").write_bytes(
        "# -*- coding: latin-1 -*-\n# Müller\nimport helper_later\n".encode("latin-1")
    )
    (tmp_path / "later" / "helper_later.py").write_text("FACTOR = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert tmp_path / "circuit_of_latin.py" in source.files_behind("circuit_of_latin")
    assert tmp_path / "later" / "helper_later.py" not in source.files_behind("circuit_of_latin")
    monkeypatch.syspath_prepend(tmp_path / "later")
    assert tmp_path / "later" / "helper_later.py" in source.files_behind("circuit_of_latin")
