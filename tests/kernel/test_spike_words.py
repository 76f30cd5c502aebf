import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from biospike.spike_words import BITS, bit, coincidences, words

NEURONS = st.sets(st.integers(0, BITS - 1))


def word(neurons):
    return np.bitwise_or.reduce(bit(np.array(sorted(neurons), dtype=int)), initial=0)


@given(NEURONS, NEURONS)
def test_shared_bits_count_shared_neurons(a, b):
    assert coincidences(word(a), word(b)) == len(a & b)


def test_spikes_add_up_to_a_word_with_the_sign_bit():
    everyone = bit(np.arange(BITS))
    total = np.int64(0)
    with np.errstate(over="ignore"):
        for one in everyone:
            total = total + one
    assert coincidences(total, total) == BITS
    assert coincidences(total, everyone[-1]) == 1
    assert coincidences(np.array([total, 0]), np.array([total, total])).tolist() == [BITS, 0]


def test_number_of_words():
    assert [words(n) for n in (1, 63, 64, 65, 128, 129)] == [1, 1, 1, 2, 2, 3]
    assert bit(70) == bit(6) == 64
