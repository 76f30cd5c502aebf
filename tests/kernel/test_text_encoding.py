"""Text is UTF-8 whatever the user's locale: no file is read or written with the encoding of the machine."""

import ast
from pathlib import Path

import biospike

ROOT = Path(biospike.__file__).parents[1]
BINARY = ("rb", "wb", "rb+", "wb+", "xb", "ab")


def calls_without_encoding(source):
    """Lines of calls that read or write text in the encoding of the locale."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        given = {keyword.arg for keyword in call.keywords}
        mode = next((one.value for one in call.args if isinstance(one, ast.Constant) and one.value in BINARY), None)
        on_os = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") in (
            "os",
            "tarfile",
            "Image",
        )
        if name in ("read_text", "write_text") and "encoding" not in given and len(call.args) < 2:
            yield call.lineno
        if name == "open" and "encoding" not in given and mode is None and not on_os:
            yield call.lineno
        if any(keyword.arg in ("text", "universal_newlines") for keyword in call.keywords) and name in ("run", "Popen"):
            yield call.lineno


def test_every_text_file_has_an_encoding():
    found, files = [], 0
    for package in ("biospike", "circuits", "validation", "figures"):
        for path in sorted((ROOT / package).rglob("*.py")):
            files += 1
            source = path.read_text(encoding="utf-8")
            found += [f"{path.relative_to(ROOT)}:{line}" for line in calls_without_encoding(source)]
    assert files > 100
    assert not found


def test_the_search_finds_what_it_should():
    source = "p.read_text()\np.write_text(t)\nopen(p)\np.open('w')\nrun(c, text=True)\n"
    assert list(calls_without_encoding(source)) == [1, 2, 3, 4, 5]
    source = "p.read_text(encoding='utf-8')\nopen(p, 'rb')\nos.open(p, 0)\np.open('wb')\nrun(c, encoding='utf-8')\n"
    assert not list(calls_without_encoding(source))
