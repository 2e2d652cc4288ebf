"""Tensor: a floating array that remembers how it was computed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiff import SeedError, ShapeError, Tensor, Value

# ---- construction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (3, np.float64),
        ([1, 2], np.float64),
        ([True, False], np.float64),
        (np.arange(3, dtype=np.int8), np.float64),
        (np.ones(2, np.uint64), np.float64),
        (np.ones(2, np.float64), np.float64),
        (np.ones(2, np.float32), np.float32),
        (np.float32(2), np.float32),
        (np.ones(2, np.float16), np.float16),
        ([], np.float64),
    ],
    ids=repr,
)
def test_integers_and_bools_become_float64_and_floating_dtypes_stay(data, dtype):
    t = Tensor(data)
    assert type(t.data) is np.ndarray
    assert t.dtype == dtype
    assert t.shape == np.shape(data)
    assert np.array_equal(t.data, data)


def test_foreign_byte_order_becomes_the_machines():
    t = Tensor(np.array([1.0, 2.0], dtype=np.dtype(float).newbyteorder("S")))
    assert t.dtype == np.float64
    (t * t).sum().backward()
    assert t.grad.dtype == t.dtype
    assert t.grad.tolist() == [2.0, 4.0]


def test_a_dtype_can_be_asked_for():
    assert Tensor([1, 2], dtype=np.float32).dtype == np.float32
    assert Tensor(np.ones(2, np.float32), dtype=float).dtype == np.float64


def test_a_dtype_that_is_not_floating_is_refused():
    with pytest.raises(TypeError, match="dtype must be floating, got int64"):
        Tensor([1], dtype=np.int64)


@pytest.mark.promise(14)
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_users_array_is_copied(order):
    mine = np.array([[1.0, 2.0], [3.0, 4.0]], order=order)
    t = Tensor(mine)
    assert not np.shares_memory(t.data, mine)
    mine[:] = 0.0
    assert t.data.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    t.data[0, 0] = 9.0
    assert mine.tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("data", "got"),
    [
        ("a", "got str"),
        (None, "got NoneType"),
        ([1j], "of dtype complex128"),
        (["a", "b"], "of dtype <U1"),
        (np.array([{}]), "of dtype object"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "datetime64"),
    ],
    ids=repr,
)
def test_what_is_no_array_of_real_numbers_is_refused(data, got):
    with pytest.raises(TypeError, match="a Tensor holds real numbers") as caught:
        Tensor(data)
    assert got in str(caught.value)


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (Value(1.0), r"use \.detach\(\)"),
        (Tensor([1.0]), r"use \.detach\(\)"),
        ([Value(1.0), 2.0], "Tensor.from_values"),
        ([Tensor([1.0])], "stack"),
        ([[Value(1.0)]], "Tensor.from_values"),
        ((Value(1.0),), "Tensor.from_values"),
    ],
    ids=repr,
)
def test_nodes_are_not_silently_cut_off_from_their_graph(data, remedy):
    with pytest.raises(TypeError, match=remedy):
        Tensor(data)


def test_a_fresh_tensor_is_a_leaf_without_gradient():
    t = Tensor([1.0, 2.0])
    assert t.is_leaf
    assert t.grad is None
    assert t.parents == t.operands == t._prev == ()
    assert (t.name, t.op, t._op, t.params) == (None, None, "", {})


def test_the_shape_properties_are_numpys():
    t = Tensor(np.zeros((2, 3, 4), np.float32))
    assert (t.shape, t.ndim, t.size, len(t)) == ((2, 3, 4), 3, 24, 2)
    assert t.dtype == np.float32


# ---- name and repr ---------------------------------------------------------------------------------------------------


def test_repr_shows_numbers_shape_dtype_and_name():
    assert repr(Tensor([1.0, 2.5])) == "Tensor([1. , 2.5], shape=(2,))"
    assert repr(Tensor(2.0, name="a")) == "Tensor(2., shape=(), name='a')"
    assert repr(Tensor(np.ones(1, np.float32))) == "Tensor([1.], shape=(1,), dtype=float32)"


@pytest.mark.promise(11)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (1000, 1000), (10**6,), (3, 0, 2), (5,) * 6, (2,) * 16], ids=str)
def test_repr_is_one_short_line(shape, figure):
    text = repr(Tensor(np.full(shape, -0.123456789), name="two\nlines"))
    assert "\n" not in text
    figure("characters of the repr of a Tensor", len(text), 1000)
    assert len(text) <= 1000  # some lines on a terminal: at most 7 by 7 numbers
    assert f"shape={shape}" in text


def test_a_format_specification_formats_the_number_of_a_0d_tensor():
    assert f"{Tensor(1 / 3):.3f}" == "0.333"
    assert f"{Tensor([1.0])}" == "Tensor([1.], shape=(1,))"


# ---- comparisons, truth, iteration -----------------------------------------------------------------------------------


def test_equality_is_elementwise_and_plain():
    t = Tensor([1.0, 2.0])
    for got, expected in [
        (t == [1, 5], [True, False]),
        (t == Tensor([1.0, 2.0]), [True, True]),
        (t != 2.0, [True, False]),
        (t == Value(2.0), [False, True]),
    ]:
        assert type(got) is np.ndarray
        assert got.dtype == bool
        assert got.tolist() == expected


@given(st.lists(st.floats(), min_size=3, max_size=3), st.lists(st.floats(), min_size=3, max_size=3))
def test_comparisons_give_plain_bool_arrays(xs, ys):
    t, u, a, b = Tensor(xs), Tensor(ys), np.array(xs), np.array(ys)
    for got, expected in [
        (t < u, a < b),
        (t <= ys, a <= b),
        (t > b, a > b),
        (a >= u, a >= b),
        (t == u, a == b),
        (t != b, a != b),
    ]:
        assert type(got) is np.ndarray
        assert got.dtype == bool
        assert np.array_equal(got, expected)


def test_tensors_hash_by_identity():
    a, b = Tensor([1.0]), Tensor([1.0])
    assert {a: 1, b: 2}[b] == 2
    assert len({a, b, a}) == 2
    assert a in [a]


def test_truth_is_numpys():
    assert bool(Tensor([2.0])) is True
    assert bool(Tensor(0.0)) is False
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Tensor([1.0, 2.0]))


def test_iteration_gives_rows_that_are_recorded():
    t = Tensor([[1.0, 2.0], [3.0, 4.0]])
    first, second = t
    (first * 10.0 + second).sum().backward()
    assert t.grad.tolist() == [[10.0, 10.0], [1.0, 1.0]]


def test_a_0d_tensor_has_no_length_and_is_not_iterable():
    with pytest.raises(TypeError):
        len(Tensor(1.0))
    with pytest.raises(TypeError):
        list(Tensor(1.0))


@pytest.mark.promise(14)
def test_item_and_numpy_give_plain_copies():
    t = Tensor([[3.0]])
    assert type(t.item()) is float
    assert t.item() == 3.0
    copy = t.numpy()
    copy[0, 0] = 7.0
    assert t.data.tolist() == [[3.0]]
    with pytest.raises(ValueError, match="size 1"):
        Tensor([1.0, 2.0]).item()


# ---- data ------------------------------------------------------------------------------------------------------------


def test_rebinding_data_copies_converts_and_keeps_the_dtype():
    t = Tensor(np.zeros(2, np.float32))
    mine = np.array([1.0, 2.0])
    t.data = mine
    assert t.dtype == np.float32
    assert t.data.tolist() == [1.0, 2.0]
    assert not np.shares_memory(t.data, mine)
    t.data = [3, 4]
    assert t.data.tolist() == [3.0, 4.0]
    t.data -= np.float32(0.5)
    assert t.data.tolist() == [2.5, 3.5]


@pytest.mark.parametrize(
    ("data", "shape"), [([1.0], (1,)), ([[1.0, 2.0]], (1, 2)), (1.0, ()), (np.ones((2, 1)), (2, 1))]
)
def test_rebinding_data_to_another_shape_is_refused_even_if_it_broadcasts(data, shape):
    t = Tensor([1.0, 2.0])
    with pytest.raises(ShapeError) as caught:
        t.data = data
    assert "(2,)" in str(caught.value)
    assert str(shape) in str(caught.value)
    assert t.data.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("data", ["ab", None, Tensor([1.0, 2.0]), [1j, 2j]])
def test_rebinding_data_to_no_numbers_is_refused(data):
    t = Tensor([1.0, 2.0])
    with pytest.raises(TypeError, match="a Tensor holds"):
        t.data = data
    assert t.data.tolist() == [1.0, 2.0]


# ---- indexing --------------------------------------------------------------------------------------------------------

INDICES = [
    0,
    -1,
    np.int64(1),
    (1, 2),
    slice(None),
    slice(None, None, -1),
    (slice(None), slice(3, 0, -2)),
    Ellipsis,
    (Ellipsis, 1),
    None,
    (slice(None), None, 0),
    [0, 0, 2],
    [[0, 1], [2, 0]],
    ([0, 2], [1, 1]),
    (np.array([2, 2]), slice(1, None)),
    (slice(None), [0, 0]),
    [True, False, True],
    (np.array([False, False, False])),
    (slice(None), np.array([True, False, False, True])),
    np.arange(12).reshape(3, 4) % 2 == 0,
    np.zeros((3, 4), bool),
    slice(5, 9),
    (),
]


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_an_index_picks_as_numpy_does_and_its_gradient_counts_how_often(index):
    x = np.arange(12.0).reshape(3, 4)
    t = Tensor(x)
    picked = t[index]
    assert isinstance(picked, Tensor)
    assert np.array_equal(picked.data, x[index])
    assert not np.shares_memory(picked.data, t.data)
    weights = np.arange(1.0, 1.0 + picked.size).reshape(picked.shape)
    picked.backward(weights)
    expected = np.zeros_like(x)
    np.add.at(expected, index, weights)
    assert np.array_equal(t.grad, expected)


@pytest.mark.parametrize("index", [[0, 1], np.array([0, 1]), np.array([True, True])], ids=repr)
def test_an_index_that_is_changed_after_use_was_copied(index):
    t = Tensor([1.0, 2.0])
    y = t[index]
    index[0] = index[1] = 0
    y.backward([1.0, 10.0])
    assert t.grad.tolist() == [1.0, 10.0]


def test_an_index_out_of_range_is_numpys_error():
    with pytest.raises(IndexError, match="index 5 is out of bounds"):
        Tensor([1.0, 2.0])[5]


@pytest.mark.parametrize("index", [Value(0.0), Tensor([0.0]), (0, Tensor([0.0])), Tensor([1.0, 0.0]) > 0.5])
def test_nodes_are_no_indices_but_comparisons_of_nodes_are(index):
    t = Tensor([[1.0, 2.0], [3.0, 4.0]])
    if isinstance(index, np.ndarray):
        assert t[index].data.tolist() == [[1.0, 2.0]]
    else:
        with pytest.raises(TypeError, match=r"an index has no derivative.*use \.data"):
            t[index]


# ---- methods ---------------------------------------------------------------------------------------------------------

M = np.array([[1.0, 5.0, 2.0], [4.0, 3.0, 7.0]])


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.sum(),
        lambda t: t.sum(0),
        lambda t: t.sum(axis=(0, 1), keepdims=True),
        lambda t: t.mean(1, keepdims=True),
        lambda t: t.prod(-1),
        lambda t: t.max(0),
        lambda t: t.min(axis=1),
        lambda t: t.var(0, ddof=1),
        lambda t: t.std(1),
        lambda t: t.cumsum(1),
        lambda t: t.cumprod(0),
        lambda t: t.reshape(3, 2),
        lambda t: t.reshape((3, -1)),
        lambda t: t.reshape(-1),
        lambda t: t.transpose(),
        lambda t: t.transpose(1, 0),
        lambda t: t.transpose((1, 0)),
        lambda t: t.T,
        lambda t: t.ravel(),
        lambda t: t.squeeze(),
        lambda t: t.swapaxes(0, 1),
        lambda t: t.repeat(2, axis=1),
        lambda t: t.diagonal(),
        lambda t: t.trace(),
        lambda t: t.take([0, 2], axis=1),
        lambda t: t.dot(np.ones(3)),
        lambda t: t.clip(2.0, 4.0),
        lambda t: t.astype(np.float32),
    ],
)
def test_a_method_computes_what_the_arrays_method_does_and_is_recorded(call):
    t = Tensor(M)
    got, expected = call(t), call(M)
    assert isinstance(got, Tensor)
    assert not got.is_leaf
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got.data, expected, rtol=1e-15)  # one rounding in a different order


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda t: t.norm(axis=1), np.linalg.norm(M, axis=1)),
        (lambda t: t.logsumexp(1), np.log(np.exp(M).sum(1))),
        (lambda t: t.softmax(), np.exp(M) / np.exp(M).sum(1, keepdims=True)),
        (lambda t: t.softmax(0), np.exp(M) / np.exp(M).sum(0)),
        (lambda t: t.log_softmax(axis=1), M - np.log(np.exp(M).sum(1, keepdims=True))),
    ],
)
def test_methods_that_arrays_do_not_have(call, expected):
    np.testing.assert_allclose(call(Tensor(M)).data, expected, rtol=1e-14)  # the formulas here cancel a little


def test_methods_refuse_what_they_do_not_support():
    with pytest.raises(TypeError, match="where"):
        Tensor(M).sum(where=M > 2)
    with pytest.raises(TypeError, match="floating numbers, got dtype int64"):
        Tensor(M).astype(np.int64)
    with pytest.raises(ShapeError, match=r"reshape.*\(2, 3\)"):
        Tensor(M).reshape(4)


# ---- bridges ---------------------------------------------------------------------------------------------------------


def test_from_values_joins_values_and_numbers_and_gradients_flow_back():
    a, b = Value(2.0), Value(3.0)
    t = Tensor.from_values([a, 5, b, a, np.float64(1.0)])
    assert t.data.tolist() == [2.0, 5.0, 3.0, 2.0, 1.0]
    (t * [1.0, 2.0, 3.0, 4.0, 5.0]).sum().backward()
    assert (a.grad, b.grad) == (5.0, 3.0)
    assert type(a.grad) is float


def test_from_values_takes_any_iterable():
    a = Value(2.0)
    t = Tensor.from_values(v for v in (a, a, 1.0))
    assert isinstance(t, Tensor)
    assert t.data.tolist() == [2.0, 2.0, 1.0]


def test_from_values_of_plain_numbers_is_a_leaf():
    assert Tensor.from_values([1, 2.5]).is_leaf
    assert Tensor.from_values([]).shape == (0,)


def test_from_values_refuses_tensors_and_words():
    with pytest.raises(ShapeError, match=r"use autodiff\.stack"):
        Tensor.from_values([Tensor([1.0, 2.0]), Tensor([1.0, 2.0])])
    with pytest.raises(TypeError, match="got str: 'a'"):
        Tensor.from_values([Value(1.0), "a"])


def test_to_values_gives_nested_lists_and_gradients_flow_back():
    t = Tensor([[1.0, 2.0], [3.0, 4.0]])
    values = t.to_values()
    assert [[type(v) for v in row] for row in values] == [[Value, Value], [Value, Value]]
    (values[0][1] * values[1][0] * values[1][0]).backward()
    assert t.grad.tolist() == [[0.0, 9.0], [12.0, 0.0]]
    assert type(Tensor(2.0).to_values()) is Value
    assert Tensor(np.zeros((0, 2))).to_values() == []


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=5))
def test_a_round_trip_through_both_bridges_is_the_identity(xs):
    t = Tensor(xs)
    back = Tensor.from_values(t.to_values())
    assert back.data.tolist() == xs
    weights = np.arange(1.0, 1.0 + len(xs))
    (back * weights).sum().backward()
    assert t.grad.tolist() == weights.tolist()


def test_the_bridges_keep_float32_gradients_float32():
    t = Tensor(np.ones(2, np.float32))
    first, second = t.to_values()
    (first * second).backward()
    assert t.grad.dtype == np.float32


def test_a_seed_is_needed_and_the_error_says_how_to_avoid_it():
    with pytest.raises(SeedError) as caught:
        Tensor([1.0, 2.0]).backward()
    for words in ("(2,)", ".sum()", ".mean()", "seed"):
        assert words in str(caught.value)


@pytest.mark.promise(14)
def test_an_index_is_copied_so_that_its_owner_may_reuse_it():
    index, t = np.array([0, 1]), Tensor([1.0, 2.0])
    picked = t[index]
    index[:] = 0
    picked.backward([1.0, 10.0])
    assert t.grad.tolist() == [1.0, 10.0]


def test_an_empty_list_picks_nothing():
    assert Tensor([1.0, 2.0])[[]].shape == (0,)
    assert Tensor(np.ones((2, 3)))[:, []].shape == (2, 0)


def test_data_of_foreign_byte_order_becomes_native_as_its_gradient_is():
    t = Tensor(np.ones(2, ">f8"))
    (t * t).sum().backward()
    assert t.dtype == t.grad.dtype == np.dtype("=f8")
