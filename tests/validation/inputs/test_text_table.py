"""Text as programs write it: the numbers that were meant, or one line that names what was found."""

import bz2
import gzip
import io
import lzma

import numpy as np
import pandas as pd
import pytest

from biospike import InputError, InputWarning
from validation.data import attention_rows
from validation.dimension.data import read_samples
from validation.inputs.logits import read_logits
from validation.inputs.text_table import read_text

Z = np.array([[0.5, -1.25, 2.0], [0.25, 3.0, -4.5]])
ROWS = attention_rows()


def read(directory, content, name="z.csv", **options):
    (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_logits(directory / name, **options)


class TestFrames:
    @pytest.mark.parametrize("header", [None, "numbers", "text"])
    @pytest.mark.parametrize("index", [None, "numbers", "text"])
    def test_a_whole_frame_gives_the_rows_it_holds(self, tmp_path, header, index):
        """As pandas writes it, each part alone and both together, on the shipped rows."""
        frame = pd.DataFrame(ROWS)
        frame.columns = frame.columns if header != "text" else [f"key {key}" for key in frame.columns]
        frame.index = frame.index if index != "text" else [f"row {row}" for row in frame.index]
        frame.to_csv(tmp_path / "z.csv", header=header is not None, index=index is not None)
        if header is None and index is None:
            np.testing.assert_array_equal(read_logits(tmp_path / "z.csv"), ROWS)
            return
        with pytest.warns(InputWarning, match="left out, as of a data frame; --no-frame reads all of it") as said:
            np.testing.assert_array_equal(read_logits(tmp_path / "z.csv"), ROWS)
        assert len(said) == 1
        assert ("first line" in str(said[0].message)) == (header is not None)
        assert ("first column" in str(said[0].message)) == (index is not None)

    def test_no_frame_keeps_every_number(self, tmp_path):
        frame = pd.DataFrame(Z)
        whole = np.vstack([[np.nan, 0, 1, 2], np.column_stack([[0, 1], Z])])
        np.testing.assert_array_equal(read(tmp_path, frame.to_csv(), frame=False), whole)
        with pytest.raises(InputError, match=r"'a' is not a number .line 1"):
            read(tmp_path, "a,b\n1,2\n3,4\n", frame=False)

    def test_tables_of_r(self, tmp_path):
        with pytest.warns(InputWarning, match="first line .* first column"):
            np.testing.assert_array_equal(read(tmp_path, '"V1","V2"\n"a",1,2\n"b",3,4\n'), [[1, 2], [3, 4]])

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (",0,1,2\n3,.5,-1,2\n7,.25,3,-4\n", "header of a data frame, but the first column .* is not its index"),
            (",a,b\n.5,1,2\n.25,3,4\n", "header of a data frame, but"),
            (",0,1,2\n0,.5,-1,2\n", "fewer than two rows"),
            (",1,2,3\n0,.5,-1,2\n1,.25,3,-4\n", "index of a data frame, but the first line .* is not its header"),
            (",1,2,3\n1,.5,-1.0,2.5\n2,.25,3.5,-4.5\n", "but the first line .* is not its header"),
            (",101,7,9\n0,.5,-1.5,2.5\n", "but the first line .* is not its header"),
            ("0,1,2\n1,5,6\n2,7,8\n", "may each be the header or the index"),
            ("a,1\n2,3\n4,5\n", "'a' is not a number .line 1"),
            ("1,2\na,3\n4,5\n", "'a' is not a number .line 2"),
            ("a,b,c\n1,2,x\n4,5,6\n", "'x' is not a number .line 2"),
        ],
    )
    @pytest.mark.filterwarnings("ignore::biospike.errors.InputWarning")
    def test_part_of_a_frame_is_refused(self, tmp_path, text, words):
        with pytest.raises(InputError, match=words):
            read(tmp_path, text)

    def test_rows_that_only_resemble_a_frame_stay(self, tmp_path):
        for text, rows in (
            ("0.0,1.0\n2.0,3.5\n4.0,5.0\n", [[0, 1], [2, 3.5], [4, 5]]),
            ("0 5\n1 6\n", [[0, 5], [1, 6]]),  # two columns are an index and one of numbers
            ("2,1,0\n5,4,3\n8,7,6\n", [[2, 1, 0], [5, 4, 3], [8, 7, 6]]),
        ):
            np.testing.assert_array_equal(read(tmp_path, text), rows)
        with pytest.warns(InputWarning, match="leave it out if it is a header"):
            np.testing.assert_array_equal(read(tmp_path, "0 1\n3 2\n"), [[0, 1], [3, 2]])

    @pytest.mark.parametrize("labels", [[1, 2, 3], [101, 2054, 102], [2, 0, 1]])
    def test_numbers_that_may_be_labels_are_said(self, tmp_path, labels):
        """Columns counted from 1, token ids, an index that was shuffled: they stay, as rows of logits may be whole."""
        frame = pd.DataFrame(Z.T[:, [0, 1, 0]] + 0.125, columns=labels, index=labels)
        for header, index, end in ((True, False, "line"), (False, True, "column")):
            text = frame.to_csv(header=header, index=index)
            with pytest.warns(InputWarning, match=f"first {end} .* is read as numbers; leave it out if it is a"):
                assert read(tmp_path, text).shape == (3 + header, 3 + index)


class TestText:
    @pytest.mark.parametrize(
        "text",
        [
            "0.5,-1.25,2\n0.25,3,-4.5\n",
            "0.5;-1.25;2\n0.25;3;-4.5\n",
            "0,5;-1,25;2\n0,25;3;-4,5\n",
            "0.5\t-1.25\t2\n0.25\t3\t-4.5\n",
            "0,5\t-1,25\t2\r\n0,25\t3\t-4,5\r\n",
            "  0.5 -1.25   2\n0.25 3 -4.5\n",
            "0,5 -1,25 2,0\n0,25 3,0 -4,5\n",
            '"0,5","-1,25","2,0"\n"0,25","3,0","-4,5"\n',
            "# logits\n% of a layer\n0.5, -1.25, 2\n\n0.25, 3, -4.5\n\n",
            "\ufeff0.5,-1.25,2\n0.25,3,-4.5\n",
            "0.5,-1.25,2\n0.25,3,-4.5\n".encode("utf-16"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:line . is blank")
    def test_separators_decimal_commas_comments_and_encodings(self, tmp_path, text):
        np.testing.assert_array_equal(read(tmp_path, text), Z)

    @pytest.mark.parametrize(("packed", "pack"), [("gz", gzip.compress), ("xz", lzma.compress), ("bz2", bz2.compress)])
    def test_compressed(self, tmp_path, packed, pack):
        np.testing.assert_array_equal(read(tmp_path, pack(b"0.5,-1.25,2\n0.25,3,-4.5\n"), f"z.csv.{packed}"), Z)
        buffer = io.BytesIO()
        np.save(buffer, Z)
        np.testing.assert_array_equal(read(tmp_path, pack(buffer.getvalue()), f"z.npy.{packed}"), Z)
        with pytest.raises(InputError, match=f"z.csv.{packed}: cannot be read as .csv"):
            read(tmp_path, b"0.5,1\n", f"z.csv.{packed}")

    def test_a_file_of_two_arrays_is_not_read_as_the_first(self, tmp_path):
        buffer = io.BytesIO()
        for one in (Z, 2 * Z):
            np.save(buffer, one)
        with pytest.raises(InputError, match=r"176 bytes follow the first array; several arrays need \.npz"):
            read(tmp_path, buffer.getvalue(), "z.npy")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("1;2\t3\n", "separated by semicolons and by tabs"),
            ("1|2|3\n", r"'1\|2\|3' is not a number .line 1.*separated by blanks"),
            ("1.5;2,5\n", "commas and points in numbers .*separated by semicolons"),
            ("1,234;5,678\n", "may part decimals or thousands .*separated by semicolons"),
            ("1_0,2\n", "'1_0' is not a number .line 1.*separated by commas"),
            ('"1,2\n3,4\n', "cannot be told apart|quotation mark"),
            ("0\n50256\n1012\n", "token ids"),
            ("101,2054,102\n101,,102\n", "integers from 101 to 2054, which look like token ids"),
            ("0,05\n2,5\n", "'0,05' may be one number with a decimal comma or two"),
            ("0,5,1,2\n-0,5,3,1\n", "'-0,5' may be one number with a decimal comma or two"),
            ("0,5,1,2\n2,5,3,05\n", "'3,05' may be one number with a decimal comma or two"),
            ("1\u00a0000 2\n3 4\n", r"line 1 holds the blank U\+00A0, which may part fields or thousands"),
            ("1 2\n3\u202f4\n", r"line 2 holds the blank U\+202F"),
            ("1,\u00a02\n3,4\u00a0000\n", "is not a number .line 2"),
            ("1, 2 3\n4, 5 6\n", "'2 3' is not a number .line 1"),
            ("123456789012345678901234567890,2,3\n", r"up to 1.23457e\+29, which double precision does not hold"),
        ],
    )
    def test_what_is_ambiguous_is_named(self, tmp_path, text, words):
        with pytest.raises(InputError, match=words):
            read(tmp_path, text)

    def test_a_ragged_line_is_masked_and_said(self, tmp_path):
        with pytest.warns(InputWarning, match="line 2 has fewer than 3 fields, .* NaN, and so for 1 more"):
            rows = read(tmp_path, "1,2,3\n4,5\n6\n")
        np.testing.assert_array_equal(rows, [[1, 2, 3], [4, 5, np.nan], [6, np.nan, np.nan]])
        with pytest.raises(InputError, match="line 3 has more than 2 fields"):
            read(tmp_path, "1.5,2\n1,2\n1,2,3\n")
        np.testing.assert_array_equal(read(tmp_path, "1,,3\n4,NA,nan\n"), [[1, np.nan, 3], [4, np.nan, np.nan]])

    @pytest.mark.filterwarnings("ignore:lines differ in length")
    def test_ragged_lines_of_token_ids_are_no_logits(self, tmp_path):
        with pytest.raises(InputError, match="integers from 101 to 2054, which look like token ids"):
            read(tmp_path, "101 2054 2003 102\n101 102\n")

    @pytest.mark.parametrize(
        ("text", "end", "hidden"),
        [
            ("1,2,3,\n4,5,6,\n", "last", 3),
            ("\t1\t2\n\t3\t4\n", "first", 0),
            ("1;2;\n", "last", 2),
        ],
    )
    def test_a_separator_too_many_is_said(self, tmp_path, text, end, hidden):
        with pytest.warns(InputWarning, match=f"the {end} field of every line is empty, and so NaN"):
            rows = read(tmp_path, text)
        assert np.isnan(rows[:, hidden]).all()
        assert not np.isnan(np.delete(rows, hidden, axis=1)).any()

    def test_an_end_that_is_empty_in_some_lines_is_a_mask(self, tmp_path):
        np.testing.assert_array_equal(read(tmp_path, "1,2,\n,5,6\n"), [[1, 2, np.nan], [np.nan, 5, 6]])

    def test_lines_that_may_be_one_number_with_a_decimal_comma_are_said(self, tmp_path):
        with pytest.warns(InputWarning, match="two whole numbers, such as '1,5'; if the comma is a decimal sign"):
            np.testing.assert_array_equal(read(tmp_path, "1,5\n-2,25\n"), [[1, 5], [-2, 25]])
        with pytest.warns(InputWarning, match="only whole numbers, such as '0,25,1,75'"):
            np.testing.assert_array_equal(read(tmp_path, "0,25,1,75\n2,50,0,10\n"), [[0, 25, 1, 75], [2, 50, 0, 10]])
        for text in ("1, 5\n2, 25\n", "1,5.0\n2,25\n", "1,-5\n2,25\n", "1,5,1\n2,25,1\n", "1,5,3,4\n2,25,1,0\n"):
            assert read(tmp_path, text)[1, 1] == 25

    def test_a_row_that_is_left_out_is_said(self, tmp_path):
        with pytest.warns(InputWarning, match="line 2 is blank, and left out"):
            read(tmp_path, "1.5\n\n2.5\n")


def test_samples_are_read_by_the_same_reader(tmp_path):
    samples = np.random.default_rng(0).normal(size=(12, 3))
    pd.DataFrame(samples).to_csv(tmp_path / "a.csv", sep=";", decimal=",")
    with pytest.warns(InputWarning, match="first line .* first column"):
        np.testing.assert_array_equal(read_samples(tmp_path / "a.csv"), samples)
    (tmp_path / "a.csv").write_text("1.5,2\n3\n" * 10)
    with pytest.warns(InputWarning, match="fewer"), pytest.raises(InputError, match="finite, got nan"):
        read_samples(tmp_path / "a.csv")
    np.savez(tmp_path / "a.npz", samples=samples, mask=samples > 0)
    with pytest.raises(InputError, match="mask: not understood"):
        read_samples(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (",[CLS],play,##ing\n[CLS],1,2,3\nplay,3,1,2\n##ing,1,0,5\n", "line 4 begins with '#' as a comment does"),
        ("a,1,2\n%,3,4\nb,5,6\n", "line 2 begins with '%' as a comment does"),
        ("row,k0,k1,k2\n1,1,2,3\n2,4,5,6\n3,7,8,9\n", "may be its index or a key"),
        ("index,a,b\n3,1,2\n7,3,4\n9,5,6\n", "may be its index or a key"),
        ("head,query,k0,k1\n0,0,1,2\n0,1,3,4\n1,0,5,6\n", "may be its index or a key"),
        ("a,b\n11,1,2\n12,3,4\n", "may be its index or a key"),
    ],
)
def test_what_may_be_a_label_is_never_read_as_numbers_or_lost(text, words):
    with pytest.raises(InputError, match=words):
        read_text(text.encode())


def test_an_index_that_counts_from_one_below_a_short_header_is_dropped():
    """As R writes a table with row names."""
    with pytest.warns(InputWarning, match="first line .* and the first column"):
        values = read_text(b'"V1","V2"\n"1",0.5,0.2\n"2",1.1,0.2\n"3",0.1,0.2\n')
    np.testing.assert_array_equal(values, [[0.5, 0.2], [1.1, 0.2], [0.1, 0.2]])


@pytest.mark.parametrize("comment", ["# k0,k1", "#k0,k1", "# 1,2", "% made by hand"])
def test_comments_stay_comments(comment):
    np.testing.assert_array_equal(read_text(f"{comment}\n1,2.5\n3,4\n".encode()), [[1, 2.5], [3, 4]])
