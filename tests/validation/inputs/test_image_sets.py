import numpy as np
import pytest

from validation.inputs.images import digits, natural_patches


def test_digits_are_the_published_set():
    images = digits()
    assert images.shape == (1797, 8, 8)
    assert images.min() == 0
    assert images.max() == 1
    # The first sample of the set is a zero: its corners are empty, and so is its centre.
    assert images[0, 0, 0] == images[0, 4, 3] == 0


def test_patches_come_from_both_photographs_and_repeat_with_the_seed():
    patches = natural_patches(8, 200, seed=1)
    assert patches.shape == (200, 8, 8, 3)
    assert patches.min() >= 0
    assert patches.max() <= 1
    assert np.array_equal(patches, natural_patches(8, 200, seed=1))
    assert not np.array_equal(patches, natural_patches(8, 200, seed=2))
    # China has a bright sky, the flower a dark leaf.
    assert patches[::2].mean() > patches[1::2].mean()


@pytest.mark.parametrize(("size", "count"), [(0, 1), (428, 1), (8, 0)])
def test_what_does_not_fit_is_refused(size, count):
    with pytest.raises(ValueError, match="must be"):
        natural_patches(size, count, seed=1)
