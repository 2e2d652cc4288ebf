"""Names of nodes, and short texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiff import Value
from autodiff.draw.names import names_of, plain_text, short_array, short_number


def test_names_come_from_the_mapping_before_the_node():
    a, b = Value(1.0, name="own a"), Value(2.0, name="own b")
    assert names_of([a, b], {"a": a}) == {a: "a", b: "own b"}


def test_the_first_of_several_names_counts():
    a = Value(1.0)
    assert names_of([a], {"first": a, "second": a}) == {a: "first"}


def test_private_names_are_ignored():
    a = Value(1.0)
    assert names_of([a], {"_": a, "_12": a, "__": [a]}) == {}


def test_things_that_are_no_nodes_are_ignored():
    a = Value(1.0)
    assert names_of([a], {"number": 3, "array": np.ones(3), "Out": {1: a}, "text": "a", "a": a}) == {a: "a"}


def test_elements_of_nested_lists_are_named_by_index():
    w = [[Value(1.0), Value(2.0)], (Value(3.0),)]
    found = names_of([*w[0], *w[1]], {"w": w})
    assert list(found.values()) == ["w[0][0]", "w[0][1]", "w[1][0]"]


def test_a_name_of_its_own_wins_over_a_place_in_a_list():
    a, b = Value(1.0), Value(2.0)
    assert names_of([a, b], {"both": [a, b], "a": a}) == {a: "a", b: "both[1]"}


def test_a_list_that_contains_itself_is_no_trap():
    a = Value(1.0)
    loop = [a]
    loop.append(loop)
    assert names_of([a], {"loop": loop}) == {a: "loop[0]"}


def test_an_empty_name_is_none():
    assert names_of([Value(1.0, name="")]) == {}


def test_nodes_that_are_not_drawn_get_no_name():
    assert names_of([], {"a": Value(1.0)}) == {}


def test_numbers_of_every_size_stay_short():
    numbers = (1e300, -1e300, 5e-324, 123456.0, 0.05, -0.0, float("nan"), float("-inf"))
    expected = ["1.0000e+300", "-1.0000e+300", "4.9407e-324", "123456.0000", "0.0500", "-0.0000", "nan", "-inf"]
    assert [short_number(x) for x in numbers] == expected


def test_arrays_of_every_kind_have_a_summary():
    cases = {
        "[]": np.zeros(0),
        "2.5": np.array(2.5),
        "[True, False]": np.array([True, False]),
        "3 of 5 true": np.array([True, True, True, False, False]),
        "1 of 5 not finite": np.array([1.0, 2.0, np.nan, 3.0, 4.0]),
        "1e+308 to 1e+308, mean 1e+308": np.full(5, 1e308),
        "0 to 4, mean 2": np.arange(5.0, dtype=np.float32),
    }
    assert {short_array(x): x.shape for x in cases.values()} == {text: x.shape for text, x in cases.items()}


@pytest.mark.promise(27)
@given(st.text(st.characters()))
def test_plain_text_is_one_short_line_that_xml_can_hold(figure, text):
    plain = plain_text(text)
    assert len(plain) <= 40
    assert all(c == " " or (c >= "!" and c not in "\x7f\ufffe\uffff") for c in plain)
    plain.encode()  # no half of a surrogate pair is left
    figure("text made one short line that XML can hold")
