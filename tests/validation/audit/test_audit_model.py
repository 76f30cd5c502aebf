"""The command of the audit: layers in files, what is refused in one line, and what is written."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from biospike.auditing.measure import COLUMNS
from biospike.auditing.replay import RELAXATIONS
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from validation.audit.claims import CLAIMS
from validation.audit.figures import figure
from validation.audit.layer_files import layer_of_files, layers, read_weights
from validation.audit.study import Config, main, prepare
from validation.inputs.safetensors import read_safetensors
from validation.study.results import Results

RNG = np.random.default_rng(2)
WEIGHTS = {f"{name}_proj.weight": RNG.normal(size=(8, 6)) for name in "qkv"}
BIASES = {f"{name}_proj.bias": RNG.normal(size=8) for name in "qkv"}
WORDS = ("query", "key", "value")
X = RNG.normal(size=(2, 5, 6))


def written(directory: Path, arrays: dict[str, Any], name: str = "weights.npz") -> Path:
    np.savez(directory / name, **arrays)
    np.save(directory / "tokens.npy", X)
    return directory / name


def read(directory: Path, arrays: dict[str, Any], **options: Any) -> Any:
    given: dict[str, Any] = {"layer": None, "heads": 2, "causal": False} | options
    return layer_of_files(written(directory, arrays), directory / "tokens.npy", **given)[0]


def safetensors(arrays: dict[str, tuple[str, Any]], **more: Any) -> bytes:
    """A file as the format says it."""
    header, content = {"__metadata__": {"format": "pt"}} | more, b""
    for name, (kind, values) in arrays.items():
        raw = np.ascontiguousarray(values).tobytes()
        header[name] = {
            "dtype": kind,
            "shape": list(np.shape(values)),
            "data_offsets": [len(content), len(content) + len(raw)],
        }
        content += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def expected_shares(sample: int, head: int) -> Any:
    q, k = (X[sample] @ WEIGHTS[f"{name}_proj.weight"].T + BIASES[f"{name}_proj.bias"] for name in "qk")
    part = slice(4 * head, 4 * head + 4)
    return softmax(q[:, part] @ k[:, part].T / 2)


@pytest.mark.parametrize("form", ["separate", "in_proj", "qkv", "c_attn", "words", "W"])
def test_layers_in_every_naming_have_the_same_rows(tmp_path, form):
    w, b = list(WEIGHTS.values()), list(BIASES.values())
    arrays = {
        "separate": WEIGHTS | BIASES,
        "in_proj": {"in_proj_weight": np.concatenate(w), "in_proj_bias": np.concatenate(b)},
        "qkv": {"a.b.qkv.weight": np.concatenate(w), "a.b.qkv.bias": np.concatenate(b)},
        "c_attn": {"h.0.c_attn.weight": np.concatenate(w).T, "h.0.c_attn.bias": np.concatenate(b)},
        "words": {f"self.{word}.weight": weight for word, weight in zip(WORDS, w, strict=True)}
        | {f"self.{word}.bias": bias for word, bias in zip(WORDS, b, strict=True)},
        "W": {f"W_{stream}": value.T for stream, value in zip("qkv", w, strict=True)}
        | {f"b_{stream}": value for stream, value in zip("qkv", b, strict=True)},
    }[form]  # fmt: skip
    record = read(
        tmp_path, arrays | {"out_proj.weight": np.ones((6, 8))} if form in ("separate", "in_proj") else arrays
    )
    for sample in range(2):
        shares = record.shares(sample, np.arange(5))
        for head in range(2):
            np.testing.assert_allclose(shares[head], expected_shares(sample, head), rtol=1e-12)
    causal = read(tmp_path, arrays, causal=True).shares(0, np.arange(5))
    assert np.array_equal(causal == 0, np.broadcast_to(np.triu(np.ones((5, 5), dtype=bool), 1), causal.shape))


def test_a_layer_of_several_is_chosen(tmp_path):
    several = {f"layer.{number}.{name}": value * (number + 1) for number in range(2) for name, value in WEIGHTS.items()}
    several |= {"layer.0.norm.weight": np.ones(6), "head.weight": np.ones((2, 6))}
    assert list(layers(several)) == ["layer.0", "layer.1"]
    with pytest.raises(InputError, match=r"several layers; give --layer, one of 'layer.0', 'layer.1'"):
        read(tmp_path, several)
    with pytest.raises(InputError, match=r"no layer layer.2; give --layer"):
        read(tmp_path, several, layer="layer.2")
    assert read(tmp_path, several, layer="layer.1").layer == "layer.1"
    with pytest.raises(InputError, match=r"layer.0.norm.weight: not understood here"):
        read(tmp_path, several, layer="layer.0")


@pytest.mark.parametrize(
    ("arrays", "options", "said"),
    [
        ({"x": X}, {}, "no attention layer; understood are names such as q_proj.weight"),
        ({name: WEIGHTS[name] for name in list(WEIGHTS)[:2]}, {}, "W_v missing; found q_proj.weight, k_proj.weight"),
        (WEIGHTS | {"rotary.inv_freq": np.ones(2)}, {}, "rotary.inv_freq: not understood here"),
        (WEIGHTS, {"heads": None}, "does not say how many heads there are: give --heads"),
        (WEIGHTS, {"heads": 3}, "heads must divide the 8 units of W_q, got 3"),
        (WEIGHTS | {"q_proj.weight": np.full((8, 6), np.nan)}, {}, "q_proj.weight"),
        (WEIGHTS | {"q_proj.weight": np.ones((8, 7))}, {}, "the tokens have 6 features"),
        (WEIGHTS | {"k_proj.weight": np.ones((4, 6))}, {}, "grouped queries are not understood"),
        (WEIGHTS | {"q_proj.bias": np.ones(7)}, {}, r"b_q has the shape \(7,\); accepted is \(8,\)"),
    ],
    ids=str,
)
def test_weights_that_are_refused(tmp_path, arrays, options, said):
    with pytest.raises(InputError, match=said):
        read(tmp_path, arrays, **options)


def test_files_with_objects_are_refused_unread(tmp_path):
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    np.savez(tmp_path / "trap.npz", W_q=np.array([Trap()], dtype=object))
    with pytest.raises(InputError, match=r"cannot be read as .npz \(Object arrays cannot be loaded"):
        read_weights(tmp_path / "trap.npz")
    torch = pytest.importorskip("torch")
    (tmp_path / "trap.pt").write_bytes(pickle.dumps(Trap()))
    torch.save(Trap(), tmp_path / "zip.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("trap.pt", "zip.pt"):
        with pytest.raises(InputError, match=r"holds more than weights, .* save model.state_dict\(\)"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(InputError, match=r"expected the state_dict of a model, tensors by name, got list"):
        read_weights(tmp_path / "list.pt")
    torch.save({name: torch.from_numpy(value) for name, value in WEIGHTS.items()}, tmp_path / "good.pt")
    assert set(read_weights(tmp_path / "good.pt")) == set(WEIGHTS)


def test_safetensors_by_its_format(tmp_path):
    values = RNG.normal(size=(2, 3)).astype("<f4")
    halves = (values.view("<u4") >> 16).astype("<u2")
    path = tmp_path / "w.safetensors"
    path.write_bytes(
        safetensors(
            {
                "a": ("F32", values),
                "b": ("I64", np.arange(4)),
                "c": ("BF16", halves),
                "d": ("F16", values.astype("<f2")),
            }
        )
    )
    found = read_safetensors(path, "--weights")
    assert np.array_equal(found["a"], values)
    assert np.array_equal(found["b"], np.arange(4))
    # The first eight bits of the mantissa.
    np.testing.assert_allclose(found["c"], values, rtol=2**-7)
    np.testing.assert_allclose(found["d"], values, rtol=2**-10)


def test_safetensors_of_the_package_itself(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    package.save_file({"a": X, "b": np.arange(3)}, tmp_path / "w.safetensors")
    found = read_safetensors(tmp_path / "w.safetensors", "--weights")
    assert np.array_equal(found["a"], X)
    assert np.array_equal(found["b"], np.arange(3))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "its header would have 0 bytes"),
        (b"\xff" * 20, "its header would have 18446744073709551615 bytes"),
        ((3).to_bytes(8, "little") + b"{]}", "no file of safetensors"),
        (safetensors({}, a={"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}), "from byte 0 to 16 of 0"),
        (safetensors({}, b={"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}), "an array"),
        (safetensors({"a": ("C64", np.ones(2, "<c8"))}), "numbers of C64; accepted are F64"),
        (safetensors({}, a=[]), "no file of safetensors"),
    ],
    ids=range(7),
)  # fmt: skip
def test_files_that_are_no_safetensors(tmp_path, content, said):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"--weights .*{said}"):
        read_safetensors(path, "--weights")
    with pytest.raises(InputError, match="there is no such file"):
        read_safetensors(tmp_path / "none.safetensors", "--weights")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "spikformr"}, "--model spikformr: unknown .*did you mean 'spikformer'"),
        ({"weights": Path("w.npz"), "package": Path("p")}, "--package and --weights name different models: give one"),
        ({"weights": Path("w.npz"), "model": "torch"}, "--weights and --model torch name different models"),
        ({"tokens": Path("x.npy")}, "--tokens belongs to --weights, which is not given"),
        ({"causal": True}, "--causal belongs to --weights"),
        ({"texts": Path("x")}, "--texts belongs to --package"),
        ({"weights": Path("w.npz")}, "needs --tokens FILE.npy"),
        ({"weights": Path("w.csv"), "tokens": Path("x.npy")}, "expected a file that ends in .safetensors, .npz"),
        ({"package": Path("nowhere")}, "expected a folder of Hugging Face, with config.json"),
        ({"module": "model.py"}, "expected FILE.py:FUNCTION, and there is no file"),
        ({"max_rows": 0}, "--max_rows must be at least 1"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        prepare(Config(**options))


def test_a_function_of_the_user(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("def good():\n    return 1, 2\ndef bad():\n    return 3\ndef ugly():\n    1/0\n")
    made = prepare(Config(module=f"{tmp_path}/mine.py:good")).source
    assert made[:2] == (1, 2)
    assert "mine.py is executed, for its function good" in capsys.readouterr().err
    for name, said in (("bad", "must return a module and its input, got int"), ("ugly", "ZeroDivisionError"),
                       ("none", "AttributeError")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            prepare(Config(module=f"{tmp_path}/mine.py:{name}"))


@pytest.mark.long
def test_what_is_written_of_a_shipped_layer(tmp_path, capsys):
    main(Config(out=tmp_path, max_rows=4, check_rows=1, trials=4, target="numpy"))
    table = pd.read_csv(tmp_path / "audit.csv")
    assert list(table.columns) == list(COLUMNS)
    assert table["simulated_tv"].notna().any()
    assert not (tmp_path / "energy.csv").exists(), "a layer has no account of its model's energy"
    assert {path.name for path in tmp_path.iterdir()} >= {"audit.png", "audit.pdf", "report.md"}
    report = (tmp_path / "report.md").read_text()
    assert "the median row of a head asks" in report
    assert "neurons of a circuit make the error" in report.lower()
    assert "spikes_tv_05" in capsys.readouterr().out


def rows_of_table(**changes: Any) -> pd.DataFrame:
    head = {
        "layer": "a",
        "kind": "k",
        "circuit": "escape",
        "rows": 9,
        "spikes_tv_05": 300.0,
        "simulated_tv": 0.05,
        "simulated_low": 0.049,
        "simulated_high": 0.051,
        "law_tv": 0.05,
        "S": 0.1,
        "predicted_error": 1e-3,
    }
    node = {"layer": "b", "kind": "LIFNode", "rows": 9, "note": "replay identical, 5 spikes"}
    node |= {f"survival_{name}{end}": 0.5 for name in RELAXATIONS for end in ("", "_low", "_high")}
    heads = [head | {"head": number} | changes for number in range(2)]
    return pd.DataFrame([*heads, node], columns=list(COLUMNS))


def test_panels_are_those_of_what_was_measured():
    whole = rows_of_table()
    shown = figure(whole)
    titles = [axes.get_title(loc="left") for axes in shown.axes if axes.get_title(loc="left")]
    assert titles == ["a  spikes for a total variation of .05", "b  S of the output", "c  nodes"]
    assert len(figure(whole[whole["head"].isna()]).axes) == 1
    assert len(figure(rows_of_table(S=np.nan).iloc[:2]).axes) == 2  # and its colour bar
    assert not figure(whole.iloc[:0]).axes
    assert figure(rows_of_table(spikes_tv_05=np.inf)).axes


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "holds"),
        ({"simulated_tv": 0.08, "simulated_low": 0.079, "simulated_high": 0.081}, "does not hold"),
        ({"simulated_low": 0.03, "simulated_high": 0.07}, "undecided"),
        ({"simulated_tv": np.nan}, "not measured: no row was simulated"),
    ],
)
def test_the_law_is_judged_by_the_interval_of_its_ratio(tmp_path, changes, verdict):
    rows_of_table(**changes).to_csv(tmp_path / "audit.csv", index=False)
    law, replay = CLAIMS.findings(Results(tmp_path))
    assert law.verdict.startswith(verdict)
    assert replay.verdict == "holds"


def test_a_replay_that_differs_is_judged(tmp_path):
    table = rows_of_table()
    table.loc[2, "note"] = "the replay differs in 1 of 9 steps: nothing survives it"
    table.to_csv(tmp_path / "audit.csv", index=False)
    assert CLAIMS.findings(Results(tmp_path))[1].verdict == "does not hold"
    table.iloc[:2].to_csv(tmp_path / "audit.csv", index=False)
    assert CLAIMS.findings(Results(tmp_path))[1].verdict == "not measured: no node was replayed"
