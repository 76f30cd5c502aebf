import attrs
import pytest

from biospike.parameters import choice, number, parse_quantity, quantity, to_plain

import brian2 as b2


@attrs.frozen(kw_only=True)
class Example:
    tau: object = quantity(20 * b2.ms, above=0 * b2.ms, maximum=1 * b2.second)
    level: object = quantity(-50 * b2.mV, minimum=-80 * b2.mV)
    k: float = number(1, minimum=1)
    mode: str = choice("a", "a", "b")


@pytest.mark.parametrize(
    ("text", "like", "value"),
    [
        ("12 ms", 1 * b2.second, 0.012),
        ("12ms", 1 * b2.second, 0.012),
        (" -5.5e1 mV ", 1 * b2.volt, -0.055),
        ("2 s", 1 * b2.ms, 2.0),
        (".5 kHz", 1 * b2.Hz, 500.0),
        (3 * b2.nS, 1 * b2.siemens, 3e-9),
    ],
)
def test_reads_quantities(text, like, value):
    assert float(parse_quantity(text, like)) == pytest.approx(value)


@pytest.mark.parametrize("text", ["12", "ms", "12 parsec", "1e ms", "nan ms", "5 mV", 5, [1, 2] * b2.ms, None, ""])
def test_refuses_anything_else_with_an_example(text):
    with pytest.raises(ValueError, match=r"expected a value such as '20\. ms'"):
        parse_quantity(text, 20 * b2.ms)


def test_infinite_quantities_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        parse_quantity(float("inf") * b2.ms, 20 * b2.ms)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tau": "0 ms"}, r"Example: tau must be above 0\. s, got 0"),
        ({"tau": "2 s"}, r"Example: tau must be at most 1\. s, got 2"),
        ({"level": "-90 mV"}, r"Example: level must be at least -80\. mV, got -90"),
        ({"k": 0.5}, "Example: k must be at least 1, got 0.5"),
        ({"k": "many"}, "'many' is not a number"),
        ({"mode": "c"}, "Example: mode must be one of 'a', 'b', got 'c'"),
    ],
)
def test_range_errors_name_field_and_value(values, words):
    with pytest.raises(ValueError, match=words):
        Example(**values)


def test_equal_parameters_are_equal_and_hash_alike():
    assert Example(tau="20 ms") == Example()
    assert hash(Example(tau=0.02 * b2.second)) == hash(Example())
    assert Example(tau="21 ms") != Example()


def test_plain_values_are_in_base_units():
    assert to_plain(Example()) == {"tau": 0.02, "level": -0.05, "k": 1.0, "mode": "a"}
