"""Hostile files, generated: every one gives the right numbers or one clear error, and nothing else happens."""

import io
import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biospike.ideal.softmax import check_logits
from circuits.softmax import Race
from validation.inputs.logits import read_logits
from validation.softmax.sweep_file import KEYS, points_of, read_sweep

EXAMPLES = 150
thorough = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

# What is taken with a note is not the subject here.
pytestmark = pytest.mark.filterwarnings("ignore::biospike.errors.InputWarning")

finite = st.floats(-1e6, 1e6)
entries = finite | st.sampled_from([math.nan, -math.inf])
rows = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=entries)


def read(path, content):
    """Rows of a file, or the one line of the error it deserves."""
    path.write_bytes(content)
    try:
        return read_logits(path), ""
    except ValueError as error:
        return None, str(error)


def expected(array):
    """What rows of logits must be read as, or None if they must be refused."""
    if array.ndim < 2 or array.size == 0 or np.isposinf(array).any():
        return None
    masked = np.where(np.isneginf(array), np.nan, array).astype(float).reshape(-1, array.shape[-1])
    above = masked[masked > -5e3] if (masked > -5e3).any() else masked[~np.isnan(masked)]
    if np.isnan(masked).all(axis=1).any() or (array.dtype.kind in "iu" and np.ptp(above) > 1000):
        return None
    padded = [np.nanmax(row) <= -5e3 for row in masked]
    if any(padded) and not all(padded):
        return None
    for row in masked:
        drive = np.exp(row - np.nanmax(row))
        row[(row <= -5e3) & (drive / np.nansum(drive) == 0)] = np.nan
    return masked


def judge(path, values, words, array):
    right = expected(array)
    if right is None:
        assert values is None
        assert str(path) in words
        assert len(words) > len(str(path)) + 10
    else:
        assert values is not None, words
        np.testing.assert_array_equal(values, right)


@thorough
@given(
    array=hnp.arrays(
        st.sampled_from([np.float64, np.float32, ">f8", np.int16, np.uint8]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    fortran=st.booleans(),
)
def test_arrays_of_any_type_and_shape(tmp_path, array, fortran):
    """Big-endian, Fortran-ordered, integer, empty, scalar, three-dimensional, with infinities and NaN."""
    buffer = io.BytesIO()
    array = np.asfortranarray(array) if fortran else array
    np.save(buffer, array)
    values, words = read(tmp_path / "z.npy", buffer.getvalue())
    if array.ndim == 1:
        array = array[None]
    judge(tmp_path / "z.npy", values, words, array)


@thorough
@given(array=rows, cut=st.floats(0, 1), flip=st.integers(0, 2**20), kind=st.sampled_from(["npy", "npz"]))
def test_cut_and_flipped_arrays(tmp_path, array, cut, flip, kind):
    """A file that is cut or has a wrong bit is refused, or still rows of logits; a checksum guards those of .npz."""
    buffer = io.BytesIO()
    np.save(buffer, array) if kind == "npy" else np.savez(buffer, logits=array)
    whole = bytearray(buffer.getvalue())
    whole[(flip // 8) % len(whole)] ^= 1 << (flip % 8)
    for content in (bytes(whole), buffer.getvalue()[: int(cut * len(whole))]):
        values, words = read(tmp_path / f"z.{kind}", content)
        assert (values is None) == bool(words)
        if values is not None:
            np.testing.assert_array_equal(check_logits(values), values)
            if kind == "npz" and expected(array) is not None:
                np.testing.assert_array_equal(values, expected(array))


@thorough
@given(array=rows)
def test_text_of_numbers_is_read_to_the_last_bit(tmp_path, array):
    lines = [",".join("" if math.isnan(value) else repr(float(value)) for value in line) for line in array]
    # A line of one empty field is an empty line, which is skipped.
    kept = array if array.shape[1] > 1 else array[~np.isnan(array[:, 0])]
    values, words = read(tmp_path / "z.csv", "\n".join(lines).encode())
    judge(tmp_path / "z.csv", values, words, kept)


@thorough
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz"])
def test_garbage(tmp_path, content, suffix):
    values, words = read(tmp_path / f"z{suffix}", content)
    assert (values is None) == bool(words)
    if values is not None:
        np.testing.assert_array_equal(check_logits(values), values)


words = st.sampled_from(["race", "escape", "2 s", "0 s", "-1 ms", "1e99 s", "100 Hz", "../../etc/passwd", "auto"])
scalars = words | st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars
    | st.sampled_from(["race", "escape", "2 s", "0 s", "-1 ms", "1e99 s", "100 Hz", "../../etc/passwd", "auto"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*KEYS, "race", "escape", "integrate", "rate", "equations", "__class__"]) | st.text(max_size=6)


def attempt(read_points):
    """Points, or the error they deserve."""
    try:
        return read_points(), ""
    except ValueError as error:
        return [], str(error)


@thorough
@given(table=st.dictionaries(names, anything, max_size=4))
def test_configurations_of_anything(tmp_path, table):
    points, complaint = attempt(lambda: points_of(table, tmp_path))
    assert bool(points) != bool(complaint)
    for point in points[:3]:
        point.check()


@thorough
@given(content=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_garbage_is_no_configuration(tmp_path, content):
    path = tmp_path / "s.toml"
    path.write_bytes(content)
    points, complaint = attempt(lambda: read_sweep(path))
    assert bool(points) != (str(path) in complaint)


@thorough
@given(
    rates=st.lists(st.integers(1, 1000), min_size=1, max_size=3, unique=True),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4, unique=True),
    durations=st.lists(st.integers(1, 500), min_size=1, max_size=3, unique=True),
    trials=st.integers(1, 9),
)
def test_good_configurations_give_every_combination(tmp_path, rates, seeds, durations, trials):
    path = tmp_path / "s.toml"
    path.write_text(
        f"circuits = ['race', 'integrate']\nseed = {seeds}\ntrials = {trials}\ntarget = 'numpy'\n"
        f"duration = {json.dumps([f'{ms} ms' for ms in durations])}\n"
        f"[race]\nrate = {json.dumps([f'{rate} Hz' for rate in rates])}\n"
    )
    points = read_sweep(path)
    assert len(points) == (len(rates) + 1) * len(seeds) * len(durations)
    assert {point.seed for point in points} == set(seeds)
    found = {round(float(point.circuit.rate)) for point in points if isinstance(point.circuit, Race)}
    assert found == set(rates)
    assert all(point.trials == trials for point in points)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("duraton = '2 s'", "duraton.*did you mean 'duration'"),
        ("circuits = ['rase']", "rase.*did you mean 'race'"),
        ("equations = 'dv/dt = 1'", "key equations: unknown"),
        ("circuits = ['race']\n[race]\nrates = '1 Hz'", "unknown parameter 'rates'"),
        ("circuits = ['race']\n[race]\nrate = '-1 Hz'", "rate must be above"),
        ("circuits = ['race']\n[escape]\nw = 0.1", "circuits does not name it"),
        ("trials = 0", "trials .* got 0"),
        ("trials = true", "whole number"),
        ("no_frame = 1", "no_frame must be true or false, got 1"),
        ("seed = [1, 1]", "twice"),
        ("seed = {first = 1, count = 10000000}", "count must be"),
        ("seed = {first = 1, count = 100000}\nduration = ['1 s', '2 s']", "are more than 100000"),
        ("duration = '2'", "not a number with a unit"),
        ("logits = 'none.npy'", "no such file"),
        ("target = 'gpu'", "gpu"),
        ("a = ", "Invalid value"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        read_sweep(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
