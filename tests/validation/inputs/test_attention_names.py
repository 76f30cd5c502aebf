"""Names of PyTorch and Hugging Face in a file: what attention itself makes of them, or one line."""

import numpy as np
import pytest

from biospike import InputError, load, save
from circuits import SpikingAttention
from validation.attention import study as compare_attention
from validation.compare_softmax import Config, prepare, run
from validation.frameworks import study as compare_frameworks
from validation.frameworks.blocks import read_weights
from validation.inputs.logits import read_rows
from validation.inputs.tokens import read_tokens
from validation.softmax.study import join
from validation.study import command_line

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(4, 3))
W = {stream: RNG.normal(size=(3, 6)) for stream in "qkv"}
B = {stream: RNG.normal(size=6) for stream in "qkv"}
SQUARE = {stream: RNG.normal(size=(3, 3)) for stream in "qkv"}
KEEP = np.array([True, True, False, True])
LOWER = np.tril(np.ones((4, 4), dtype=bool))
ALIASES = [
    *("{}_proj", "to_{}", "{}_lin", "{}", "model.layers.0.self_attn.{}_proj"),
    {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value"},
]


def named(alias, stream):
    return alias[stream] if isinstance(alias, dict) else alias.format(stream)


def read(directory, **arrays):
    return read_of(directory, arrays)


def read_of(directory, arrays, **options):
    np.savez(directory / "t.npz", **({"X": X} | arrays))
    return read_tokens(directory / "t.npz", **options)


def assert_reads(tokens, weights, biases=None):
    for stream in "qkv":
        np.testing.assert_array_equal(getattr(tokens, f"W_{stream}"), weights[stream])
    for stream in biases or {}:
        np.testing.assert_array_equal(tokens.biases[f"b_{stream}"], biases[stream])
    assert set(tokens.biases) == {f"b_{stream}" for stream in biases or {}}


class TestWeights:
    @pytest.mark.parametrize("weights", [W, SQUARE], ids=["wide", "square"])
    @pytest.mark.parametrize("alias", ALIASES)
    def test_names_of_pytorch_are_out_in(self, tmp_path, alias, weights):
        arrays = {f"{named(alias, stream)}.weight": weights[stream].T for stream in "qkv"}
        biases = B if weights is W else {}
        arrays |= {f"{named(alias, stream)}.bias": bias for stream, bias in biases.items()}
        assert_reads(read_of(tmp_path, arrays), weights, biases)

    @pytest.mark.parametrize(("name", "axis"), [("in_proj_weight", 0), ("qkv.weight", 0), ("h.0.c_attn.weight", 1)])
    def test_all_three_in_one(self, tmp_path, name, axis):
        """PyTorch's modules are (3*out, in), GPT-2's convolution (in, 3*out)."""
        joined = np.concatenate([W[stream] if axis else W[stream].T for stream in "qkv"], axis=axis)
        bias = name.replace(".weight", ".bias").replace("_weight", "_bias")
        assert_reads(read_of(tmp_path, {name: joined, bias: np.concatenate([*B.values()])}), W, B)

    def test_the_shape_says_whose_attention_in_one_matrix_it_is(self, tmp_path):
        """GPT-2 stores (in, 3*out), nanoGPT (3*out, in), under the same name."""
        joined = np.concatenate([*W.values()], axis=1)
        for value in (joined, joined.T):
            assert_reads(read_of(tmp_path, {"transformer.h.0.attn.c_attn.weight": value}), W)

    def test_attention_in_one_matrix_that_may_lie_either_way_must_be_told(self, tmp_path):
        square = RNG.normal(size=(3, 3))
        with pytest.raises(InputError, match=r"\(3, 3\) must hold .* \(3, 3\*heads\*width\) and .* say --orientation"):
            read_of(tmp_path, {"c_attn.weight": square})
        columns = {stream: square[:, [at]] for at, stream in enumerate("qkv")}
        assert_reads(read_of(tmp_path, {"c_attn.weight": square}, orientation="in-out"), columns)
        rows = {stream: square[[at]].T for at, stream in enumerate("qkv")}
        assert_reads(read_of(tmp_path, {"c_attn.weight": square}, orientation="out-in"), rows)

    @pytest.mark.parametrize(
        ("name", "shape", "words"),
        [
            ("c_attn.weight", (6, 4), r"\(6, 4\) must hold .* accepted are \(3, 3\*heads\*width\) and"),
            ("c_attn.weight", (6,), "must be"),
            ("qkv.weight", (3, 6), r"\(3, 6\) must hold .* accepted is \(3\*heads\*width, 3\)"),
            ("c_attn.bias", (2, 3), "must hold queries, keys and values"),
        ],
    )
    def test_shapes_of_all_three_in_one_are_said(self, tmp_path, name, shape, words):
        with pytest.raises(InputError, match=f"{name}.*{words}"):
            read_of(tmp_path, {name: np.zeros(shape)})

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_a_weight_that_is_not_finite_is_named_with_its_place(self, tmp_path, value):
        joined = np.concatenate([W[stream].T for stream in "qkv"])
        joined[7, 2] = value
        with pytest.raises(InputError, match=rf"in_proj_weight has {value} at \(7, 2\); accepted are finite"):
            read_of(tmp_path, {"in_proj_weight": joined})
        bias = np.array([0.0, 1, value, value, 0, 0])
        with pytest.raises(InputError, match=rf"b_k has {value} at 2, and 1 more such"):
            read_of(tmp_path, {f"W_{stream}": W[stream] for stream in "qkv"} | {"b_k": bias})
        with pytest.raises(InputError, match=rf"has {value} at \(2, 1\)"):
            SpikingAttention(W["q"], W["k"], joined[5:8, 1:])

    def test_real_modules(self, tmp_path):
        torch = pytest.importorskip("torch")
        module = torch.nn.MultiheadAttention(3, 1, dtype=torch.float64)
        state = {name: value.numpy() for name, value in module.state_dict().items() if not name.startswith("out_proj")}
        tokens = read_of(tmp_path, state)
        expected = torch.nn.functional.linear(torch.tensor(X), module.in_proj_weight, module.in_proj_bias).detach()
        found = [X @ getattr(tokens, f"W_{stream}") + tokens.biases[f"b_{stream}"] for stream in "qkv"]
        np.testing.assert_allclose(np.concatenate(found, axis=1), expected.numpy(), rtol=1e-12)

    def test_own_names_are_in_out(self, tmp_path):
        arrays = {f"W_{stream}": SQUARE[stream] for stream in "qkv"} | {f"b_{s}": np.ones(3) for s in "qk"}
        assert_reads(read_of(tmp_path, arrays), SQUARE, dict.fromkeys("qk", np.ones(3)))

    @pytest.mark.parametrize("name", ["W{}", "w{}", "w_{}", "{}_weight", "{}_proj"])
    def test_a_square_matrix_of_another_name_must_be_told(self, tmp_path, name):
        arrays = {name.format(stream): SQUARE[stream] for stream in "qkv"}
        with pytest.raises(InputError, match=r"\(3, 3\) may be \(in, out\) or \(out, in\): say --orientation"):
            read_of(tmp_path, arrays)
        assert_reads(read_of(tmp_path, arrays, orientation="in-out"), SQUARE)
        turned = {stream: value.T for stream, value in SQUARE.items()}
        assert_reads(read_of(tmp_path, arrays, orientation="out-in"), turned)
        wide = {name.format(stream): W[stream].T for stream in "qkv"}
        assert_reads(read_of(tmp_path, wide), W)  # of 3 features, it can lie in one way only

    @pytest.mark.parametrize(
        ("arrays", "options", "words"),
        [
            ({"W_q": SQUARE["q"]}, {"orientation": "out-in"}, "W_q is in-out by its name"),
            ({"W_q": SQUARE["q"]}, {"orientation": "across"}, "--orientation across: accepted are in-out and out-in"),
            ({"W_q": W["q"].T}, {}, r"W_q \(6, 3\) is read as in-out, but the tokens have 3 features"),
            ({"q": SQUARE["q"]}, {}, "q: not understood here"),
            ({"W_q": SQUARE["q"], "query.weight": SQUARE["q"]}, {}, "W_q and query.weight disagree"),
            ({"out_proj.weight": np.eye(3)}, {}, "out_proj.weight: not understood"),
            ({"q_proj.bias": np.ones(5)}, {}, r"b_q has the shape \(5,\); accepted is \(4,\)"),
            ({"W_q": np.arange(3000).reshape(3, 1000)}, {}, "token ids or quantised"),
            ({"heads": 2, "num_attention_heads": 1}, {}, "heads and num_attention_heads disagree"),
            ({"causal": 1, "is_causal": False}, {}, "disagree"),
            ({"scale": np.inf}, {}, "scale must be a finite number"),
            ({"input_ids": np.arange(4)}, {}, "input_ids: not understood"),
        ],
    )
    def test_what_is_not_certain_is_refused_by_name(self, tmp_path, arrays, options, words):
        with pytest.raises(InputError, match=words):
            read_of(tmp_path, arrays, **options)

    def test_numbers(self, tmp_path):
        tokens = read(tmp_path, num_heads=2, n_head=2, is_causal=True, scaling=0.25)
        assert (tokens.heads, tokens.causal, tokens.score_scale) == (2, True, 0.25)
        study = compare_attention.prepare(compare_attention.Config(tokens=tmp_path / "t.npz", target="numpy"))
        block = study.blocks["staged"]
        assert (block.heads, block.causal, block.score_scale) == (2, True, 0.25)


MASKS = {
    "key_mask": KEEP,
    "key_mask as numbers": KEEP.astype(float),
    "attention_mask": KEEP.astype(int)[None],
    "attention_mask, additive": np.where(KEEP, 0.0, np.finfo(np.float32).min)[None, None, None],
    "key_padding_mask": ~KEEP[None],
    "src_key_padding_mask": np.where(KEEP, 0.0, -np.inf)[None],
    "attn_mask": np.where(KEEP, 0.0, -np.inf)[None].repeat(4, axis=0),
}


class TestMasks:
    @pytest.mark.filterwarnings("ignore::biospike.errors.InputWarning")
    @pytest.mark.parametrize("name", MASKS)
    def test_each_in_its_own_sense(self, tmp_path, name):
        tokens = read_of(tmp_path, {name.split()[0].rstrip(","): MASKS[name]})
        np.testing.assert_array_equal(np.ravel(tokens.key_mask), KEEP)
        assert not tokens.causal
        logits = RNG.normal(size=(1, 2, 4, 4))
        np.savez(tmp_path / "z.npz", logits=logits, **{name.split()[0].rstrip(","): MASKS[name]})
        rows = read_rows(tmp_path / "z.npz")
        np.testing.assert_array_equal(rows.logits, np.where(KEEP, logits, np.nan).reshape(8, 4))

    @pytest.mark.parametrize(
        "mask",
        [LOWER, ~LOWER, np.where(LOWER, 0, -np.inf), np.where(LOWER & KEEP, 0, -np.inf)[None, None]],
        ids=["of scaled_dot_product_attention", "of MultiheadAttention", "additive", "with padding"],
    )
    def test_causal_masks(self, tmp_path, mask):
        tokens = read(tmp_path, attn_mask=mask)
        assert tokens.causal
        assert (tokens.key_mask is None) == (mask.ndim == 2)
        assert tokens.key_mask is None or tokens.key_mask.tolist() == KEEP.tolist()
        logits = RNG.normal(size=(2, 4, 4))
        np.savez(tmp_path / "z.npz", logits, attn_mask=mask.reshape(4, 4))
        allowed = LOWER if mask.ndim == 2 else LOWER & KEEP
        rows = read_rows(tmp_path / "z.npz")
        np.testing.assert_array_equal(rows.logits, np.where(allowed, logits, np.nan).reshape(8, 4))
        assert rows.names == [f"h{head} q{query}" for head in range(2) for query in range(4)]

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"attn_mask": np.tile(KEEP, (4, 1))}, "ignore in nn.MultiheadAttention and attend in"),
            ({"attn_mask": RNG.normal(size=(4, 4))}, "adds .* to scores"),
            ({"attn_mask": np.where(np.eye(4), 0, -np.inf)}, "neither one of keys nor causal"),
            ({"attention_mask": np.zeros(4)}, "0.0 everywhere"),
            ({"attention_mask": [2, 1, 1, 1]}, "attention_mask must be .*1 = attend.*got 2"),
            ({"key_padding_mask": [2, 1, 1, 1]}, "key_padding_mask must be .*True = ignore.*got 2"),
            ({"key_mask": np.ma.masked_array([1.0, np.nan, 1, 1])}, "key_mask must be .*got nan"),
            ({"key_mask": KEEP, "key_padding_mask": KEEP}, "key_mask and key_padding_mask disagree"),
            ({"key_mask": ~KEEP, "attn_mask": np.tile(np.where(KEEP, 0, -np.inf), (4, 1))}, "scores disagree"),
            ({"key_mask": [True, False]}, r"shape \(2,\)"),
        ],
    )
    def test_what_is_not_certain_is_refused_with_its_sense(self, tmp_path, arrays, words):
        with pytest.raises(InputError, match=words):
            read_of(tmp_path, arrays)

    def test_names_that_agree_are_taken(self, tmp_path):
        tokens = read(tmp_path, key_mask=KEEP, key_padding_mask=~KEEP, causal=True, attn_mask=~LOWER)
        assert tokens.key_mask.tolist() == KEEP.tolist()
        assert tokens.causal


class TestLogits:
    Z = RNG.normal(size=(2, 3, 4, 4))

    def read(self, directory, **arrays):
        np.savez(directory / "z.npz", **arrays)
        return read_rows(directory / "z.npz")

    def test_dumps_are_flattened_and_named(self, tmp_path):
        rows = self.read(tmp_path, scores=self.Z, num_heads=3, is_causal=True)
        np.testing.assert_array_equal(rows.logits[21], np.where(LOWER[1], self.Z[1, 2, 1], np.nan))
        assert rows.names[21] == "b1 h2 q1"
        np.save(tmp_path / "z.npy", self.Z[0])
        names = read_rows(tmp_path / "z.npy").names
        assert names is not None
        assert names[4] == "h1 q0"
        np.save(tmp_path / "z.npy", self.Z[0, 0])
        assert read_rows(tmp_path / "z.npy").names is None

    def test_a_row_that_is_padding_is_named(self, tmp_path):
        masked = self.Z.copy()
        masked[1, 0, 3] = -1e4
        with pytest.raises(InputError, match="row b1 h0 q3 has no value above -5000"):
            self.read(tmp_path, logits=masked)

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"logits": Z, "scale": 0.5}, "scale: logits are taken as they stand"),
            ({"logits": Z, "temperature": 2.0}, "temperature: not understood"),
            ({"logits": Z, "heads": 2}, "2 heads, but logits have the shape"),
            ({"logits": Z[..., :3], "causal": True}, "as many queries as keys"),
            ({"logits": Z, "key_mask": np.ones((3, 4))}, "does not fit logits"),
            ({"key_mask": np.ones(4)}, "expected an array named 'logits', found key_mask"),
            ({"X": np.ones((2, 3))}, "expected an array named 'logits', found X"),
            ({"W_q": np.ones((2, 3))}, "expected an array named 'logits', found W_q"),
            ({"input_ids": np.array([[101, 102]])}, "expected an array named 'logits', found input_ids"),
            ({"logits": np.zeros((2, 3), "V2")}, "bfloat16"),
            ({"logits": np.arange(24 * 100).reshape(2, 3, 4, 100)}, "token ids"),
            ({"logits": np.arange(24 * 100).reshape(2, 3, 4, 100), "key_mask": np.arange(100) > 0}, "token ids"),
            ({"logits": np.array([[0, 50256, 7]]), "key_mask": [1, 1, 0]}, "token ids"),
        ],
    )
    def test_what_is_not_certain_is_refused_by_name(self, tmp_path, arrays, words):
        with pytest.raises(InputError, match=words):
            self.read(tmp_path, **arrays)


class TestBlocks:
    """Files of ``compare_frameworks --weights``."""

    def read(self, directory, arrays, **options):
        np.savez(directory / "own.npz", **arrays)
        return read_weights(directory / "own.npz", "spike_driven", **options)

    def test_orientations_agree(self, tmp_path):
        blocks = [
            self.read(tmp_path, {f"{stream}.weight": SQUARE[stream].T for stream in "qkv"}),
            self.read(tmp_path, {f"W_{stream}": SQUARE[stream] for stream in "qkv"}),
            self.read(tmp_path, {f"w{stream}": SQUARE[stream] for stream in "qkv"}, orientation="in-out"),
            self.read(tmp_path, {"in_proj_weight": np.concatenate([SQUARE[s].T for s in "qkv"])}),
        ]
        for block in blocks:
            for stream in "qkv":
                np.testing.assert_array_equal(getattr(block, stream).weight, SQUARE[stream])

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({f"w{stream}": np.eye(3) for stream in "qkv"}, "say --orientation"),
            ({f"{s}.weight": np.eye(3) for s in "qkv"} | {"key_mask": [1, 1]}, "key_mask: not understood"),
            ({f"{s}.weight": np.eye(3) for s in "qkv"} | {"W_q": 2 * np.eye(3)}, "disagree"),
        ],
    )
    def test_what_is_not_certain_is_refused(self, tmp_path, arrays, words):
        with pytest.raises(InputError, match=words):
            self.read(tmp_path, arrays)

    def test_options_without_a_file(self):
        with pytest.raises(InputError, match="--orientation is for a file given by --weights"):
            compare_frameworks.prepare(compare_frameworks.Config(orientation="in-out"))
        with pytest.raises(InputError, match="--orientation is for a file given by --tokens"):
            compare_attention.prepare(compare_attention.Config(orientation="in-out"))


class TestCommandLine:
    def test_row_names_are_kept_with_the_counts(self, tmp_path):
        np.save(tmp_path / "z.npy", RNG.normal(size=(1, 2, 2, 3)))
        config = Config(
            logits=tmp_path / "z.npy", circuits=("integrate",), duration="30 ms", trials=1, target="numpy", quiet=True
        )
        study = prepare(config)
        save(join(list(run(study))), tmp_path / "counts.nc")
        data = load(tmp_path / "counts.nc")
        assert data["row_name"].values.tolist() == ["b0 h0 q0", "b0 h0 q1", "b0 h1 q0", "b0 h1 q1"]
        assert data["spike_count"].sum() > 0

    def test_what_was_taken_for_what_is_said_once_in_one_line_each(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "z.csv").write_text(",0,1,2\n0,.5,1,-1e4\n1,2,1,0\n")
        monkeypatch.setattr("sys.argv", ["compare_softmax", "--logits", str(tmp_path / "z.csv"), "--target", "numpy"])
        monkeypatch.setattr(command_line, "_keep_provenance", lambda *_: None)
        studies = []
        command_line.run(Config, lambda config: studies.append(prepare(config)), "")
        np.testing.assert_array_equal(studies[0].logits, [[0.5, 1, np.nan], [2, 1, 0]])
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 2
        assert said[0].startswith("note: the first line (blank, 0, 1, ...) and the first column (0, 1) are left out")
        assert said[1].startswith("note: logits: 1 key of -10000 is masked")


def test_a_mask_of_batches_or_heads_is_refused_where_both_fit(tmp_path):
    logits, attend = np.zeros((2, 2, 4, 4)), np.ones((2, 4, 4), dtype=int)
    attend[1, :, 3] = 0
    np.savez(tmp_path / "both.npz", logits=logits, attention_mask=attend)
    with pytest.raises(InputError, match="may be one a batch or one a head"):
        read_rows(tmp_path / "both.npz")
    np.savez(tmp_path / "said.npz", logits=logits, attention_mask=attend[:, None])
    rows = read_rows(tmp_path / "said.npz")
    masked = np.isnan(rows.logits).any(axis=1)
    assert [name.split()[0] for name, one in zip(rows.names, masked, strict=True) if one] == ["b1"] * 8
