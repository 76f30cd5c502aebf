"""Arrays as people have them, fills and rows of dumps: the numbers that a plain array would give, or one line."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biospike import InputError, InputWarning, rows_of, simulate
from biospike.arrays import bool_array, float_array, plain_array
from biospike.ideal.fills import LARGEST_FILL
from biospike.ideal.softmax import check_logits, softmax
from biospike.metrics import shares, smoothed_shares
from circuits import SOFTMAX_CIRCUITS, SpikingAttention
from circuits.softmax import Subtractive
from validation.data import attention_rows

import brian2 as b2

Z = np.array([[0.5, -1.0, 2.0], [0.25, 3.0, -4.0]])
HIDE = np.array([[False, True, False], [False, False, False]])
MASKED = np.where(HIDE, np.nan, Z)
FILLS = (-1e4, -65504.0, -1e9, float(np.finfo(np.float32).min), float(np.finfo(np.float64).min))


class Tensor:
    """The part of a torch tensor that is read: it has a gradient, is on a device, and may be bfloat16."""

    def __init__(self, values, kind="float32", steps=()):
        self.values, self.kind, self.steps = np.asarray(values), kind, steps

    def __array__(self, *_, **__):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.\nUse tensor.detach().numpy() instead.")

    def is_floating_point(self):
        return "float" in self.kind

    def detach(self):
        return Tensor(self.values, self.kind, (*self.steps, "detach"))

    def cpu(self):
        return Tensor(self.values, self.kind, (*self.steps, "cpu"))

    def double(self):
        return Tensor(self.values.astype(np.float64), "float64", self.steps)

    def numpy(self):
        if self.kind == "bfloat16" or self.steps != ("detach", "cpu"):
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.values


HOLDERS = {
    "numpy.ma": np.ma.masked_array(Z, HIDE),
    "numpy.ma of float16": np.ma.masked_array(Z.astype(np.float16), HIDE),
    "list of numpy.ma": [np.ma.masked_array(row, mask) for row, mask in zip(Z, HIDE, strict=True)],
    "list with numpy.ma.masked": [[0.5, np.ma.masked, 2.0], [0.25, 3.0, -4.0]],
    "torch with a gradient": Tensor(MASKED),
    "torch bfloat16": Tensor(MASKED.astype(np.float32), "bfloat16"),
    "list of tensors": [Tensor(row) for row in MASKED],
    "pandas": pd.DataFrame(MASKED, columns=list("abc")),
    "pandas of nullable floats": pd.DataFrame(MASKED).astype("Float64"),
    "list": MASKED.tolist(),
    "float16": MASKED.astype(np.float16),
    "big-endian": MASKED.astype(">f4"),
}


@pytest.mark.parametrize("held", HOLDERS.values(), ids=HOLDERS)
def test_every_holder_gives_the_numbers_of_a_plain_array_wherever_arrays_are_taken(held):
    np.testing.assert_array_equal(check_logits(held), MASKED)
    np.testing.assert_array_equal(softmax(held), softmax(MASKED))
    np.testing.assert_array_equal(plain_array(held, "it"), MASKED)
    with pytest.raises(InputError, match="finite"):
        SpikingAttention(held, Z, Z)
    with pytest.raises(InputError, match="got nan"):
        shares(held)


@pytest.mark.parametrize(
    "integers", [np.array([[1, 0], [3, 2]]), Tensor([[1, 0], [3, 2]], "int64"), np.ma.masked_array([[1, 0], [3, 2]])]
)
def test_whole_numbers_stay_whole(integers):
    assert plain_array(integers, "it").dtype == np.int64


def test_real_tensors():
    torch = pytest.importorskip("torch")
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        tensor = torch.tensor(Z, dtype=kind, requires_grad=True)
        np.testing.assert_array_equal(check_logits(tensor), Z)
    with pytest.raises(InputError, match="cannot be read as an array"):
        check_logits(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((2, 3), "V2"), "|V2, bytes of which nobody knows the meaning (bfloat16"),
        (pd.DataFrame({"a": [1.0], "b": ["x"]}), "data type object"),
        (pd.DataFrame({"a": ["1.5", "2"]}), "data type object|data type str"),
        ([1.0, 2.0] * b2.mV, "have a unit"),
        ([[1.0 * b2.mV, 2.0 * b2.mV]], "have a unit"),
        (pd.DataFrame({"a": [True, False], "b": [1.0, 2.0]}), "data type object"),
        ([np.ones((2, 2)), np.ones(2)], "not a rectangular array"),
        (np.array([[0, 50256]]), "integers from 0 to 50256, which look like token ids or quantised values"),
        (np.array([[-32768, 3], [32767, 4]], np.int16), "look like token ids or quantised values"),
        (np.ma.masked_array([[0, 50256, 7]], [[0, 0, 1]]), "integers from 0 to 50256"),
        (np.ma.masked_array([[1.0, 2.0]], True), "no unmasked key"),
        (np.array([[True, False]]), "data type bool; accepted"),
        (np.ma.masked_array([[True, False]], [[False, True]]), "data type object; accepted"),
        (np.array([(1.0, 2.0)], [("a", float), ("b", float)]), "structured array with the fields a, b; make"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_has_no_certain_meaning_is_refused_in_one_line(values, words):
    with pytest.raises(InputError) as error:
        check_logits(values)
    assert any(part in str(error.value) for part in words.split("|data")) or re.search(words, str(error.value))
    assert "\n" not in str(error.value)
    assert "accepted" in str(error.value) or "may span" in str(error.value)


def test_integers_that_span_no_more_than_logits_may_are_taken():
    np.testing.assert_array_equal(check_logits([[1000.0, 0]]), [[1000.0, 0.0]])
    with pytest.warns(InputWarning, match="from 0 to 1000, read as they stand"):
        np.testing.assert_array_equal(check_logits([[1000, 0]]), [[1000.0, 0.0]])
    with pytest.raises(InputError, match="integers from 0 to 1001"):
        check_logits([[1001, 0]])
    np.testing.assert_array_equal(check_logits([[1001.0, 0.0]]), [[1001.0, 0.0]])


@pytest.mark.parametrize("kind", [np.int8, np.int64])
def test_integers_that_may_be_codes_of_a_byte_are_said(kind):
    with pytest.warns(InputWarning, match="integers from -128 to 127, read as they stand; multiply quantised"):
        np.testing.assert_array_equal(check_logits(np.array([[-128, 127]]).astype(kind)), [[-128, 127]])
    check_logits(np.array([[-50, 50]]).astype(kind))
    check_logits(np.array([[-128.0, 127.0]]))


SENSE = "True is a key that is attended to"


@pytest.mark.parametrize("mask", [[True, False], [1, 0], [1.0, 0.0], np.ma.masked_array([1, 0]), Tensor([1.0, 0.0])])
def test_masks_of_ones_and_zeros(mask):
    np.testing.assert_array_equal(bool_array(mask, "key_mask", SENSE), [True, False])


@pytest.mark.parametrize("mask", [[True, False, True], [1, 0, 1], np.float32([1, 0, 1]), Tensor([1.0, 0.0, 1.0])])
def test_a_block_takes_key_masks_of_ones_and_zeros(mask):
    unmasked = SpikingAttention(Z, Z, Z).unmasked(mask, 1, 3)
    np.testing.assert_array_equal(unmasked, np.broadcast_to([True, False, True], (1, 3, 3)))


@pytest.mark.parametrize(
    "mask",
    [
        *([0.5, 1], [2, 1], [-1e9, 0], [np.nan, 1], ["a"]),
        *(np.ma.masked_array([1, 0], [0, 1]), np.ma.masked_array([True, False], [0, 1])),
    ],
)
def test_every_other_mask_is_refused_with_its_sense(mask):
    with pytest.raises(InputError, match=f"key_mask must be .*{SENSE}"):
        bool_array(mask, "key_mask", SENSE)


def test_a_masked_or_missing_count_is_not_a_silent_row():
    with pytest.raises(InputError, match="got nan"):
        shares(np.ma.masked_array([[3, 4]], [[False, True]]))
    with pytest.raises(InputError, match=r"unmasked must be .*got 0.5"):
        smoothed_shares([[3, 4]], [[0.5, 1]])
    with pytest.raises(InputError, match="data type"):
        float_array(["a"], "it")


def fills_by_loop(rows):
    """The rule, key by key: at most -5e3, and a share that underflows."""
    out = np.array(rows, dtype=float)
    for row in out:
        known = [float(value) for value in row if not np.isnan(value)]
        with np.errstate(over="ignore"):
            drive = [np.exp(np.float64(value) - max(known)) for value in known]
        for key, value in enumerate(row.copy()):
            if not np.isnan(value):
                with np.errstate(over="ignore"):
                    share = np.exp(np.float64(value) - max(known)) / sum(drive)
                if value <= -5000.0 and share == 0.0:
                    row[key] = np.nan
    return out


class TestFills:
    @pytest.mark.parametrize("fill", FILLS)
    def test_a_fill_is_a_mask_and_is_said_once_with_its_count(self, fill):
        rows = np.where(HIDE, fill + Z, Z)  # as a model adds it to the logits
        with pytest.warns(InputWarning, match=r"1 key of -.* is masked") as said:
            np.testing.assert_array_equal(check_logits(rows), MASKED)
        assert len(said) == 1

    @pytest.mark.parametrize("fill", [-1e4, -65504.0])
    @pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
    def test_every_precision_gives_the_same_shares(self, fill, kind):
        rows = np.where(np.isnan(attention_rows()), fill, attention_rows().astype(np.float16)).astype(kind)
        with pytest.warns(InputWarning, match="918 keys"):
            np.testing.assert_array_equal(softmax(check_logits(rows)), softmax(np.where(rows == fill, np.nan, rows)))

    @pytest.mark.filterwarnings("ignore::biospike.errors.InputWarning")
    @settings(max_examples=60)
    @given(
        hnp.arrays(
            float,
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
            elements=st.floats(-1e5, 2.0) | st.sampled_from([-5e3, np.nextafter(-5e3, 0), -4e3, -5.7e3, -1e300, 900.0]),
        )
    )
    def test_the_rule_key_by_key(self, rows):
        padded = (rows <= -5e3).all(axis=1)
        if padded.any() and not padded.all():
            with pytest.raises(InputError, match=f"rows? {np.flatnonzero(padded)[0]}"):
                check_logits(rows)
        else:
            np.testing.assert_array_equal(check_logits(rows), fills_by_loop(rows))

    def test_saturated_rows_and_rows_far_below_zero_stay(self):
        np.testing.assert_array_equal(check_logits([[900.0, 0, 0]]), [[900.0, 0, 0]])
        far = [[-1e4, -9999.0], [-2e4, -2e4 + 1]]
        np.testing.assert_array_equal(check_logits(far), far)
        assert LARGEST_FILL == -5e3

    def test_padded_rows_are_refused_and_named(self):
        rows = np.full((3, 2, 1, 4), -1e4) + np.arange(4)
        rows[1:] = np.arange(4.0)
        with pytest.raises(InputError, match="rows b0 h0 q0, b0 h1 q0 have no value above -5000"):
            check_logits(rows_of(rows))
        with pytest.raises(InputError, match="row 1 has no value above -5000"):
            SOFTMAX_CIRCUITS["race"]().limit(np.array([[1.0, 2.0], [-1e4, -1e4]]))
        masked = np.array([[1.0, 2.0], [np.nan, -1e9]])
        with pytest.raises(InputError, match="row 1"):
            check_logits(masked)

    def test_what_is_no_larger_than_a_logit_stays_and_is_said_if_it_comes_again(self):
        rows = np.array([[2.0, -999.0, 1.0], [1.0, -999.0, 2.0]])
        with pytest.warns(InputWarning, match="-999 has share 0 in 2 rows and stays a key; it looks like a fill"):
            np.testing.assert_array_equal(check_logits(rows), rows)
        np.testing.assert_array_equal(check_logits(rows[:1]), rows[:1])

    @pytest.mark.filterwarnings("ignore::biospike.errors.InputWarning")
    @pytest.mark.parametrize("name", SOFTMAX_CIRCUITS)
    def test_limits_do_not_see_fills(self, name):
        circuit, rows = SOFTMAX_CIRCUITS[name](), attention_rows()[:3]
        np.testing.assert_array_equal(circuit.limit(np.where(np.isnan(rows), -1e4, rows)), circuit.limit(rows))

    def test_subtractive_inhibition_would_see_them(self):
        """The threshold-linear fixed point of raw rows is another: that is the wrong number which a fill gave."""
        circuit, rows = Subtractive(), attention_rows()[:3]
        rates = circuit.rates(np.where(np.isnan(rows), -1e4, rows))
        assert np.abs(rates / rates.sum(axis=1, keepdims=True) - circuit.limit(rows)).max() > 0.01


class TestProbabilities:
    @pytest.mark.parametrize("kind", [np.float16, np.float64])
    def test_rows_that_sum_to_one_are_said_once(self, kind):
        with pytest.warns(InputWarning, match=r"look like probabilities; log\(p\) has the same softmax") as said:
            check_logits(softmax(attention_rows()).astype(kind))
        assert len(said) == 1

    def test_rows_of_padding_hide_nothing(self):
        rows = np.nan_to_num(softmax(attention_rows()))
        rows[::3] = 0.0
        with pytest.warns(InputWarning, match="every row sums to 1 or is 0 throughout: these look like probabilities"):
            check_logits(rows)

    def test_other_rows_are_not(self):
        for rows in ([[1, 0, 0]], [[0.5, 0.4]], [[1.5, -0.5]], [[0.5, 0.5], [1.0, 0.5]], [[0.0, 0.0]]):
            check_logits(rows)


class TestDumps:
    DUMP = np.random.default_rng(1).normal(size=(2, 3, 4, 5))

    def test_rows_and_names_by_loop(self):
        rows = rows_of(self.DUMP)
        names = rows.row_name.values.tolist()
        seen = set()
        for b in range(2):
            for h in range(3):
                for q in range(4):
                    at = names.index(f"b{b} h{h} q{q}")
                    np.testing.assert_array_equal(rows.values[at], self.DUMP[b, h, q])
                    seen.add(at)
        assert seen == set(range(24))
        assert rows_of(self.DUMP[0]).row_name.values[5] == "h1 q1"
        assert rows_of([Tensor(self.DUMP), Tensor(self.DUMP)]).row_name.values[-1] == "l1 b1 h2 q3"

    def test_dimensions_that_are_named_name_the_rows(self):
        turned = xr.DataArray(self.DUMP.swapaxes(1, 2), dims=("batch", "query", "head", "key"))
        rows = rows_of(turned)
        np.testing.assert_array_equal(rows.sel(row=rows.row_name == "b1 q3 h2").values[0], self.DUMP[1, 2, 3])
        assert rows_of(turned[:, 0]).row_name.values[-1] == "b1 h2"
        assert rows_of(turned.rename(query="i")).row_name.values[-1] == "b1 h3 q2"
        with pytest.raises(InputError, match="do not end with that of the keys"):
            rows_of(xr.DataArray(self.DUMP[0, 0], dims=("k", "q")))

    @pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((1,) * 6), [["a"]], np.zeros((0, 3))])
    def test_no_dump(self, bad):
        with pytest.raises(InputError, match="accepted are numbers"):
            rows_of(bad)

    def test_names_reach_results_and_messages(self):
        data = simulate(SOFTMAX_CIRCUITS["race"](), rows_of(self.DUMP[:1, :1]), duration="50 ms", target="numpy")
        assert data["row_name"].values.tolist() == ["b0 h0 q0", "b0 h0 q1", "b0 h0 q2", "b0 h0 q3"]
        assert data["spike_count"].sum() > 0
        holed = self.DUMP.copy()
        holed[1, 2, 3] = np.nan
        with pytest.raises(InputError, match="row b1 h2 q3 has no unmasked key"):
            check_logits(rows_of(holed))
        with pytest.raises(InputError, match=r"biospike\.rows_of"):
            check_logits(self.DUMP)
