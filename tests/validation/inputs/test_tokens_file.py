"""Tokens and weights from a user's file."""

from pathlib import Path

import numpy as np
import pytest

import validation
from validation.compare_attention import Config, prepare
from validation.data import token_block
from validation.inputs.tokens import drawn_weights, read_tokens


class TestTokensFiles:
    X = np.random.default_rng(0).uniform(size=(5, 3))

    def write(self, directory, **arrays):
        np.savez(directory / "t.npz", **arrays)
        return directory / "t.npz"

    def test_tokens_alone_take_seeds(self, tmp_path):
        np.save(tmp_path / "t.npy", self.X)
        default = read_tokens(tmp_path / "t.npy")
        np.testing.assert_array_equal(default.W_k, drawn_weights(2, 3, 4))
        given = read_tokens(tmp_path / "t.npy", heads=2, width=5, seeds=(7, 8, 9))
        np.testing.assert_array_equal(given.W_v, drawn_weights(9, 3, 10))
        assert (given.heads, given.labels) == (2, ["0", "1", "2", "3", "4"])
        assert prepare(Config(tokens=tmp_path / "t.npy", target="numpy")).blocks["staged"].width == 4

    def test_seeds_in_the_file(self, tmp_path):
        for names in (("W_q", "W_k", "W_v"), ("seed_q", "seed_k", "seed_v")):
            path = self.write(tmp_path, X=self.X, heads=2, **dict(zip(names, (4, 5, 6), strict=True)))
            read = read_tokens(path, width=3)
            np.testing.assert_array_equal(read.W_q, drawn_weights(4, 3, 6))
            np.testing.assert_array_equal(read.W_v, drawn_weights(6, 3, 6))

    def test_matrices_mask_and_names(self, tmp_path):
        W = np.linspace(-0.5, 0.5, 12).reshape(3, 4)
        path = self.write(tmp_path, X=self.X, W_q=W, W_k=W + 1, W_v=3, heads=2, key_mask=[1, 1, 0, 1, 1],
                          tokens=list("abcde"))  # fmt: skip
        read = read_tokens(path)
        np.testing.assert_array_equal(read.W_k, W + 1)
        np.testing.assert_array_equal(read.W_v, drawn_weights(3, 3, 4))
        assert read.key_mask is not None
        assert read.key_mask.tolist() == [True, True, False, True, True]
        assert read.labels == list("abcde")
        study = prepare(Config(tokens=path, target="numpy"))
        assert not study.plans["staged"].unmasked[0, :, 2].any()

    def test_the_shipped_block_is_a_tokens_file(self):
        path = Path(validation.__file__).parent / "data" / "token_block.npz"
        read = read_tokens(path)
        assert (read.heads, read.labels) == (4, token_block().tokens)
        np.testing.assert_array_equal(read.W_v, token_block().W_v)

    def test_weights_have_unit_variance_for_uniform_features(self):
        x = np.random.default_rng(1).uniform(size=(4000, 30))
        assert (x @ drawn_weights(5, 30, 200)).var() == pytest.approx(1, rel=0.1)

    @pytest.mark.parametrize(
        ("arrays", "options", "words"),
        [
            ({"Y": X}, {}, "named 'X', found Y"),
            ({"X": X + 1}, {}, r"\[0, 1\]"),
            ({"X": X[0]}, {}, r"float64 \(3,\)"),
            ({"X": X * np.nan}, {}, "nan"),
            ({"X": X, "W_q": np.ones((3, 4))}, {}, "W_k is missing"),
            ({"X": X, "W_q": np.ones(3)}, {}, r"W_q must be a matrix .* \(3,\)"),
            ({"X": X, "W_q": 0.5}, {}, "whole number, its seed, got 0.5"),
            ({"X": X, "W_q": 1, "seed_q": 2}, {}, "not both"),
            ({"X": X, "seed_v": -1}, {}, "at least 0, got -1"),
            ({"X": X, "heads": 0}, {}, "heads must be at least 1, got 0"),
            ({"X": X, "heads": 1.5}, {}, "heads must be a whole number"),
            ({"X": X, "key_mask": [0.5] * 5}, {}, "key_mask must be True or False"),
            ({"X": X, "tokens": ["a"]}, {}, "names 1 tokens, X has 5"),
            ({"X": X}, {"width": 0}, "--width .* got 0"),
            ({"X": X, "W_q": 1, "W_k": 2, "W_v": 3}, {"seeds": (1, 2, 3)}, "--weight-seeds"),
            ({"X": X, **dict.fromkeys(("W_q", "W_k", "W_v"), np.ones((3, 4)))}, {"width": 2}, "--width"),
        ],
    )
    def test_bad_content(self, tmp_path, arrays, options, words):
        with pytest.raises(ValueError, match=words):
            read_tokens(self.write(tmp_path, **arrays), **options)

    def test_bad_files(self, tmp_path):
        for name, words in (("t.csv", r"\.npy or \.npz"), ("none.npy", "no such file")):
            with pytest.raises(ValueError, match=words):
                read_tokens(tmp_path / name)
        for name in ("t.npy", "t.npz"):
            (tmp_path / name).write_text("neither")
            with pytest.raises(ValueError, match=name):
                read_tokens(tmp_path / name)
        np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        with pytest.raises(ValueError, match=r"o\.npy"):
            read_tokens(tmp_path / "o.npy")
