"""Value: a Python float that remembers how it was computed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff import Node, Tensor, Value

# ---- construction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (3, 3.0),
        (True, 1.0),
        (2.5, 2.5),
        (np.int8(-4), -4.0),
        (np.bool_(True), 1.0),
        (np.float64(0.1), 0.1),
        (np.float32(0.1), 0.10000000149011612),  # the float32 nearest to 0.1, exactly
        (np.array(7), 7.0),
        (np.array(1.5), 1.5),
    ],
    ids=repr,
)
def test_every_real_number_becomes_a_python_float(data, expected):
    v = Value(data)
    assert type(v.data) is float
    assert v.data == expected
    assert type(v.item()) is float
    assert v.item() == expected


def test_nan_infinity_and_negative_zero_are_kept():
    assert math.isnan(Value(math.nan).data)
    assert Value(-math.inf).data == -math.inf
    assert math.copysign(1.0, Value(-0.0).data) == -1.0


@pytest.mark.parametrize(
    ("data", "got"),
    [
        ("1", "got str: '1'"),
        (None, "got NoneType"),
        (1j, "got complex"),
        (np.complex128(1j), "got complex128"),
        ([1.0], "got list"),
        (np.array([1.0]), "got ndarray"),
        (np.array("a"), "got ndarray"),
        ({}, "got dict"),
    ],
    ids=repr,
)
def test_what_is_not_a_real_number_is_refused_with_what_was_got_and_what_to_do(data, got):
    with pytest.raises(TypeError) as caught:
        Value(data)
    assert got in str(caught.value)
    assert "a Value holds one real number" in str(caught.value)
    assert "for arrays use Tensor" in str(caught.value)


@pytest.mark.parametrize("node", [Value(1.0), Tensor([1.0])])
def test_a_value_of_a_node_is_refused_and_detach_suggested(node):
    with pytest.raises(TypeError, match=r"got a (Value|Tensor); use \.detach\(\)"):
        Value(node)


def test_a_fresh_value_is_a_leaf_without_gradient_name_or_parents():
    v = Value(2.0)
    assert v.is_leaf
    assert v.grad == 0.0
    assert type(v.grad) is float
    assert v.name is None
    assert v.op is None
    assert v.parents == v.operands == v._prev == ()
    assert v._op == ""
    assert v.params == {}
    assert (v.shape, v.ndim) == ((), 0)


# ---- name and repr ---------------------------------------------------------------------------------------------------


def test_a_name_is_given_at_construction_or_later():
    assert Value(1.0, "a").name == Value(1.0, name="a").name == "a"
    v = Value(1.0)
    v.name = "b"
    assert repr(v) == "Value(data=1.0, grad=0.0, name='b')"


def test_a_name_that_is_no_string_is_refused():
    with pytest.raises(TypeError, match="name must be a string, got int: 3"):
        Value(1.0, name=3)


def test_repr_shows_data_and_gradient_as_micrograd_does():
    v = Value(-4)
    (v * 3).backward()
    assert repr(v) == str(v) == f"{v}" == "Value(data=-4.0, grad=3.0)"


def test_repr_is_one_line_whatever_the_name():
    assert "\n" not in repr(Value(1.0, name="two\nlines"))


def test_a_format_specification_formats_the_number():
    assert f"{Value(1 / 3):.3f}" == "0.333"
    assert f"{Value(1e6):>12,.1f}" == " 1,000,000.0"


# ---- identity --------------------------------------------------------------------------------------------------------


def test_equality_is_identity():
    a, b = Value(1.0), Value(1.0)
    assert a == a
    assert a != b
    assert a != 1.0
    assert (a == b) is False
    assert (a == None) is False  # noqa: E711  # the operator, not the identity


def test_values_are_found_in_lists_sets_and_dicts_by_identity():
    a, b, twin = Value(1.0), Value(2.0), Value(1.0)
    assert a in [b, a]
    assert twin not in [a, b]
    assert [b, a].index(a) == 1
    assert len({a, b, twin, a}) == 3
    assert {a: "first", twin: "second"}[a] == "first"


def test_a_hash_survives_new_data_and_a_backward():
    v = Value(1.0)
    before = hash(v)
    v.data = 5.0
    v.backward()
    assert hash(v) == before


# ---- comparisons, truth ----------------------------------------------------------------------------------------------


@given(st.floats(allow_nan=True), st.floats(allow_nan=True))
def test_comparisons_compare_data_and_give_plain_bools(x, y):
    a, b = Value(x), Value(y)
    for got, expected in [
        (a < b, x < y),
        (a <= b, x <= y),
        (a > b, x > y),
        (a >= b, x >= y),
        (a < y, x < y),
        (x >= b, x >= y),
    ]:
        assert got is expected


def test_a_value_is_true_unless_it_is_zero():
    assert bool(Value(0.1)) is True
    assert bool(Value(0.0)) is False


def test_values_sort_and_have_a_maximum():
    values = [Value(x) for x in (3.0, 1.0, 2.0)]
    assert [v.data for v in sorted(values)] == [1.0, 2.0, 3.0]
    assert max(values) is values[0]


# ---- data ------------------------------------------------------------------------------------------------------------


def test_rebinding_data_converts_as_construction_does():
    v = Value(1.0)
    v.data = 3
    assert type(v.data) is float
    assert v.data == 3.0
    v.data -= 0.5
    assert v.data == 2.5


@pytest.mark.parametrize("data", ["a", None, Value(1.0), np.ones(2), 1j])
def test_rebinding_data_to_no_number_is_refused_and_changes_nothing(data):
    v = Value(1.0)
    with pytest.raises(TypeError, match="a Value holds"):
        v.data = data
    assert v.data == 1.0


def test_a_value_has_no_other_attributes():
    v = Value(1.0)
    with pytest.raises(AttributeError):
        v.weight = 1.0
    with pytest.raises(AttributeError):
        v.parents = ()
    with pytest.raises(AttributeError):
        _ = v.wieght
    assert not hasattr(v, "__dict__")


def test_detach_gives_a_leaf_with_the_same_number():
    a = Value(3.0)
    product = a * 2.0
    free = product.detach()
    assert free.is_leaf
    assert free.data == 6.0
    (free * a).backward()
    assert a.grad == 6.0


def test_a_sum_of_values_starts_from_the_integer_zero():
    a, b = Value(1.0), Value(2.0)
    total = sum([a, b, a])
    total.backward()
    assert isinstance(total, Node)
    assert (total.data, a.grad, b.grad) == (4.0, 2.0, 1.0)


def test_the_slope_of_a_power_at_0_is_that_of_its_exponent_also_where_the_exponent_is_differentiated():
    slope = lambda b: ad.grad(lambda a: a**b)(0.0)
    assert [ad.value_and_grad(slope)(b)[0] for b in (0.0, 1.0, 2.0)] == [0.0, 1.0, 0.0]
