"""$CXX as people set it: with arguments, quotes and blanks, or naming what is no compiler."""

import shlex
import subprocess

import numpy as np
import pytest

from biospike import project, simulate, standalone, toolchain
from biospike.translation_unit import FLAGS
from circuits.softmax import Escape, Race

LOGITS = [[1.0, 0.0, -1.0]]


@pytest.fixture
def program(tmp_path):
    """Make a program of a name, which does what a shell script says."""

    def make(name, script):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


ANSWERS = 'echo "cc of the test 1.2 $*"\necho more'


def test_arguments_quotes_and_blanks(program, monkeypatch):
    path = program("my compilers/g++", ANSWERS)
    launcher = program("launch", 'exec "$@"')
    bare = str(path)
    given = {
        f"{shlex.quote(bare)} -m64 '-D A'": (bare, "-m64", "-D A"),
        bare: (bare,),
        f"  {bare} ": (bare,),
        f"{launcher} {shlex.quote(bare)}": (str(launcher), bare),
    }
    for text, command in given.items():
        monkeypatch.setenv("CXX", text)
        assert toolchain.compiler_command() == command
        assert standalone.compiler() == command[0]
        assert standalone.toolchain()[0].startswith("cc of the test 1.2")
        assert standalone.toolchain()[1] == " ".join([*command[1:], *FLAGS])
        assert standalone.hindrance() is None


def test_a_relative_program_is_found_from_everywhere(program, monkeypatch, tmp_path):
    program("bin/launch", 'exec "$@"')
    program("bin/g++", ANSWERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", "bin/launch ./bin/g++ -Ibin")
    assert toolchain.compiler_command() == (str(tmp_path / "bin/launch"), str(tmp_path / "bin/g++"), "-Ibin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "~/bin/g++")
    assert toolchain.compiler_command() == (str(tmp_path / "bin/g++"),)


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_variable_is_none(monkeypatch, text):
    monkeypatch.delenv("CXX", raising=False)
    usual = standalone.compiler()
    monkeypatch.setenv("CXX", text)
    assert standalone.compiler() == usual


def test_identity_has_version_arguments_and_program(program, monkeypatch):
    path = program("g++", ANSWERS)
    digests = set()
    for command in ((), ("-m64",), ("-m64", "-g"), ("-m64 -g",)):
        digests.add(toolchain.compiler_digest(str(path), *command))
        digests.add(toolchain.compiler_digest(str(program("other", f"{ANSWERS} # -ffast-math")), *command))
    assert len(digests) == 8
    again = program("elsewhere/g++", ANSWERS)
    monkeypatch.setattr(toolchain, "compiler_version", lambda *_: "same")
    assert toolchain.compiler_digest.__wrapped__(str(path)) == toolchain.compiler_digest.__wrapped__(str(again))
    monkeypatch.setattr(toolchain, "compiler_version", lambda *_: "newer")
    assert toolchain.compiler_digest.__wrapped__(str(path)) != toolchain.compiler_digest(str(path))


BROKEN = {
    "nowhere/g++ -m64": "there is no program 'nowhere/g",
    "'unfinished": "no command",
    "exit_1": "failed on --version with status 1",
    "empty": "cannot be started",
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_compiler_is_named_with_the_variable(program, monkeypatch, tmp_path, text):
    """One line by name; with `auto` the other target, and the line as its reason."""
    program("exit_1", "echo cannot execute cc1plus >&2; exit 1")
    (tmp_path / "empty").write_bytes(b"\x7fELF")
    (tmp_path / "empty").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / text) if text in ("exit_1", "empty") else text)
    with pytest.raises(standalone.BuildError, match=BROKEN[text]) as error:
        simulate(Race(), LOGITS, duration="20 ms", target="cpp_standalone")
    assert "$CXX" in str(error.value)
    assert "\n" not in str(error.value)
    assert standalone.compiler() is None
    data = simulate(Race(), LOGITS, duration="20 ms", target="auto")
    assert data.attrs["target"] == "numpy"
    assert BROKEN[text] in data.attrs["target_reason"]
    assert standalone.toolchain() == ("none", "none")


def test_garbage_is_a_version(program, monkeypatch):
    """Whatever a compiler prints is kept as printable text, and nothing as well."""
    monkeypatch.setenv("CXX", str(program("binary", r"printf '\000\377g++\t1\001\n'")))
    assert standalone.toolchain()[0].isprintable()
    assert "g++" in standalone.toolchain()[0]
    monkeypatch.setenv("CXX", str(program("mute", "exit 0")))
    assert "version unknown" in standalone.toolchain()[0]


@pytest.mark.parametrize(
    ("script", "words"), [("exit 0", "failed to link"), ('[ "$1" = --version ] || exit 7', "failed on")]
)
def test_a_compiler_that_leaves_nothing(program, monkeypatch, tmp_path, script, words):
    (tmp_path / "project").mkdir()
    with pytest.raises(standalone.BuildError, match=rf"\$CXX\) {words}"):
        project.compile_project((str(program("g++", script)), "-m64"), tmp_path / "project", "")


def test_arguments_that_change_the_arithmetic_are_overridden_or_refused(tmp_path):
    """Fast arithmetic is taken back by our flags; what they cannot take back does not compile."""
    command = toolchain.compiler_command()
    if "g++" not in toolchain.compiler_version(*command):
        pytest.skip("the arguments are those of g++")
    line = "static_assert(FLT_EVAL_METHOD == 0 && sizeof(1.0) == 8"
    text = next(one for one in standalone.unite.__globals__["SUPPORT"].splitlines() if one.startswith(line))
    source = tmp_path / "support.cpp"
    source.write_text(f"#include <cfloat>\n{text}\n#ifdef __FAST_MATH__\n#error fast\n#endif\n")
    for argument, accepted in {"-Ofast": True, "-ffast-math": True, "-fsingle-precision-constant": False}.items():
        flags = toolchain.compiler_flags(*command, argument)
        done = subprocess.run([command[0], *flags, "-fsyntax-only", str(source)], capture_output=True, check=False)
        assert (done.returncode == 0) == accepted, done.stderr


@pytest.mark.compiles
@pytest.mark.long
def test_a_launcher_and_arguments_give_the_same_spikes(program, monkeypatch, tmp_path):
    """Fast arithmetic asked for, a launcher, blanks, a colon and letters of another alphabet in every path."""
    launcher = program("my launchers: é/launch", 'exec "$@"')
    logits = np.random.default_rng(0).normal(0, 2, (3, 9))
    work = {"duration": "0.2 s", "trials": 2}
    expected = simulate(Escape(), logits, target="numpy", **work)["spike_count"]
    assert expected[..., -1].sum() > 100
    compiler = standalone.compiler()
    monkeypatch.setenv("CXX", f"'{launcher}' {compiler} -Ofast")
    monkeypatch.setenv("BIOSPIKE_CACHE", "caches: é/c")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp: é").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp: é"))
    data = simulate(Escape(), logits, target="cpp_standalone", **work)
    np.testing.assert_array_equal(data["spike_count"], expected)
    assert data.attrs["compiler_flags"].split()[:2] == [compiler, "-Ofast"]
    assert list((tmp_path / "caches: é/c/binaries").iterdir())


@pytest.mark.compiles
@pytest.mark.long
def test_source_that_changed_since_it_was_imported_is_not_built(monkeypatch, tmp_path):
    """What is generated from it would be kept under the name of the old."""
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path))
    for module in (standalone, project):
        monkeypatch.setattr(module, "code_digest", lambda _: "of an hour ago")
    with pytest.raises(standalone.BuildError, match="changed since it was imported"):
        simulate(Race(), LOGITS, duration="20 ms", target="cpp_standalone")
    assert not list((tmp_path / "binaries").iterdir())
