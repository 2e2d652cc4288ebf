"""Node: what Value and Tensor share. Operators in both directions, refusals, copies, and NumPy's protocols.

What backward() does to ``grad`` is tested in tests/test_gradient_semantics.py.
"""

import copy
import math
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
from autodiff import GraphCopyError, Node, ShapeError, Tensor, Value
from autodiff.graph import topological_order
from autodiff.primitive import REGISTRY, Elementwise

# op: (function, derivative by the left operand, by the right), written out by hand
OPERATORS = {
    "+": (operator.add, lambda a, b: 1.0, lambda a, b: 1.0),
    "-": (operator.sub, lambda a, b: 1.0, lambda a, b: -1.0),
    "*": (operator.mul, lambda a, b: b, lambda a, b: a),
    "/": (operator.truediv, lambda a, b: 1 / b, lambda a, b: -a / b**2),
    "**": (operator.pow, lambda a, b: b * a ** (b - 1), lambda a, b: a**b * np.log(a)),
}
NUMBERS = [2, 2.0, True, np.bool_(True), np.int32(3), np.uint8(3), np.float64(1.5), np.float32(1.5)]
ARRAYS = [[1.0, 3.0], (1, 3), np.array([1.0, 3.0]), np.array([1, 3]), np.array([True, True])]
WEIGHTS = np.array([1.0, 10.0])
each_operator = pytest.mark.parametrize(("op", "by_left", "by_right"), OPERATORS.values(), ids=OPERATORS)


def named(x):
    return f"{type(x).__name__}-{x}"


# ---- the abstract class ----------------------------------------------------------------------------------------------


def test_node_itself_cannot_be_made():
    with pytest.raises(TypeError, match=r"Node is abstract; make a Value.*or a Tensor"):
        Node()


@pytest.mark.parametrize("kind", [Value, Tensor])
def test_both_kinds_share_every_attribute_name_of_node(kind):
    node = kind(1.0) * 2.0
    for name in ("data", "grad", "parents", "operands", "op", "name", "params", "is_leaf", "_prev", "_op", "shape"):
        assert hasattr(node, name)
    for name in ("backward", "zero_grad", "detach", "item"):
        assert callable(getattr(node, name))


# ---- operators -------------------------------------------------------------------------------------------------------


@each_operator
@pytest.mark.parametrize("other", NUMBERS, ids=named)
def test_a_value_and_a_number_on_either_side(op, by_left, by_right, other):
    v, number = Value(1.25), float(other)
    left, right = op(v, other), op(other, v)
    assert type(left) is type(right) is Value
    assert left.data == op(1.25, number)
    assert right.data == op(number, 1.25)
    assert left.operands == (v, number)
    assert right.operands == (number, v)
    left.backward()
    assert math.isclose(v.grad, by_left(1.25, number), rel_tol=1e-15)
    v.zero_grad()
    right.backward()
    assert math.isclose(v.grad, by_right(number, 1.25), rel_tol=1e-15)


@each_operator
@pytest.mark.parametrize("other", [*NUMBERS, *ARRAYS], ids=named)
def test_a_tensor_and_a_number_or_array_on_either_side(op, by_left, by_right, other):
    x = np.array([1.25, 0.5])
    t, constant = Tensor(x), np.asarray(other, dtype=float)
    left, right = op(t, other), op(other, t)
    assert type(left) is type(right) is Tensor
    assert left.parents == right.parents == (t,)
    np.testing.assert_allclose(left.data, op(x, constant), rtol=1e-15)
    np.testing.assert_allclose(right.data, op(constant, x), rtol=1e-15)
    left.backward(WEIGHTS)
    np.testing.assert_allclose(t.grad, by_left(x, constant) * WEIGHTS, rtol=1e-15)
    t.zero_grad()
    right.backward(WEIGHTS)
    np.testing.assert_allclose(t.grad, by_right(constant, x) * WEIGHTS, rtol=1e-15)


@each_operator
@pytest.mark.parametrize("other", ARRAYS, ids=named)
def test_a_value_and_an_array_give_a_tensor_and_the_value_gets_the_sum(op, by_left, by_right, other):
    v, constant = Value(1.25), np.asarray(other, dtype=float)
    left, right = op(v, other), op(other, v)
    assert type(left) is type(right) is Tensor
    left.backward(WEIGHTS)
    assert type(v.grad) is float
    assert math.isclose(v.grad, np.sum(by_left(1.25, constant) * WEIGHTS), rel_tol=1e-14)
    v.zero_grad()
    right.backward(WEIGHTS)
    assert math.isclose(v.grad, np.sum(by_right(constant, 1.25) * WEIGHTS), rel_tol=1e-14)


@each_operator
@pytest.mark.parametrize("kinds", [(Value, Value), (Value, Tensor), (Tensor, Value), (Tensor, Tensor)])
def test_two_nodes_of_either_kind(op, by_left, by_right, kinds):
    a, b = kinds[0](1.25), kinds[1](0.5)
    y = op(a, b)
    assert type(y) is (Value if kinds == (Value, Value) else Tensor)
    assert y.parents == (a, b)
    assert y.item() == op(1.25, 0.5)
    y.backward()
    assert math.isclose(float(np.asarray(a.grad)), by_left(1.25, 0.5), rel_tol=1e-15)
    assert math.isclose(float(np.asarray(b.grad)), by_right(1.25, 0.5), rel_tol=1e-15)
    for node in (a, b):
        assert type(node.grad) is (float if isinstance(node, Value) else np.ndarray)


@each_operator
@pytest.mark.parametrize("kind", [Value, Tensor])
def test_the_same_node_on_both_sides_gets_both_shares(op, by_left, by_right, kind):
    x = kind(1.25)
    op(x, x).backward()
    expected = by_left(1.25, 1.25) + by_right(1.25, 1.25)
    assert math.isclose(float(np.asarray(x.grad)), expected, rel_tol=1e-15, abs_tol=1e-15)


@pytest.mark.parametrize("kind", [Value, Tensor])
def test_sign_operators(kind):
    x = kind(-2.0)
    assert +x is x
    y = -x
    y.backward()
    assert (y.item(), float(np.asarray(x.grad))) == (2.0, -1.0)
    x.zero_grad()
    z = abs(x)
    z.backward()
    assert (z.item(), float(np.asarray(x.grad))) == (2.0, -1.0)


MATRIX = [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("other", [MATRIX, np.array(MATRIX), np.array(MATRIX, dtype=int), Tensor(MATRIX)], ids=repr)
def test_matrix_products_with_arrays_lists_and_tensors_on_either_side(other):
    t = Tensor([[0.0, 1.0], [1.0, 1.0]])
    left, right = t @ other, other @ t
    assert type(left) is type(right) is Tensor
    assert left.data.tolist() == [[3.0, 4.0], [4.0, 6.0]]
    assert right.data.tolist() == [[2.0, 3.0], [4.0, 7.0]]
    left.backward([[1.0, 0.0], [0.0, 0.0]])
    assert t.grad.tolist() == [[1.0, 3.0], [0.0, 0.0]]
    t.zero_grad()
    right.backward([[1.0, 0.0], [0.0, 0.0]])
    assert t.grad.tolist() == [[1.0, 0.0], [2.0, 0.0]]


def test_a_matrix_product_with_a_number_is_a_shape_error_with_both_shapes():
    with pytest.raises(ShapeError, match=r"\(2,\), \(\)|\(2,\)"):
        Tensor([1.0, 2.0]) @ Value(1.0)


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(ShapeError, match=r"add.*\(2,\), \(3,\)"):
        Tensor([1.0, 2.0]) + Tensor([1.0, 2.0, 3.0])


REFUSED = ["a", b"a", None, {}, {1.0}, object, 1j, np.complex128(1j), np.array([1j, 2j]), np.array(["a", "b"]),
           np.array([None, 1]), np.datetime64("2020-01-01"), ["a", "b"]]  # fmt: skip


@pytest.mark.parametrize("op", [operator.add, operator.mul, operator.truediv, operator.pow], ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", REFUSED, ids=named)
@pytest.mark.parametrize("node", [Value(2.0), Tensor([1.0, 2.0])], ids=["Value", "Tensor"])
def test_operands_that_are_not_real_numbers_are_a_type_error(node, other, op):
    with pytest.raises(TypeError):
        op(node, other)
    with pytest.raises(TypeError):
        op(other, node)


@pytest.mark.parametrize("op", [operator.floordiv, operator.mod, divmod, operator.and_, operator.lshift])
@pytest.mark.parametrize("node", [Value(2.0), Tensor([1.0, 2.0])], ids=["Value", "Tensor"])
def test_operators_without_a_derivative_do_not_exist(node, op):
    for left, right in ((node, 2), (2, node), (node, node)):
        with pytest.raises(TypeError):
            op(left, right)


def test_a_list_that_hides_a_node_is_refused_with_a_remedy():
    with pytest.raises(TypeError, match="from_values"):
        _ = Tensor([1.0, 2.0]) * [Value(1.0), 2.0]


def test_augmented_assignment_makes_a_new_node():
    """Python falls back on +; nothing is computed in place."""
    a = Value(2.0)
    b = a
    b += 1.0
    assert (a.data, b.data, b.parents) == (2.0, 3.0, (a,))
    t = Tensor([1.0])
    u = t
    u *= 3.0
    assert (t.data.tolist(), u.data.tolist(), u.parents) == ([1.0], [3.0], (t,))


def test_writing_a_node_into_an_array_is_refused():
    x = np.zeros(2)
    with pytest.raises(TypeError, match="drop its graph"):
        x[:] = Tensor([1.0, 2.0])
    with pytest.raises(TypeError):
        x += Tensor([1.0, 2.0])
    assert x.tolist() == [0.0, 0.0]


# ---- parents and operands --------------------------------------------------------------------------------------------


def test_operands_are_in_order_and_parents_are_those_that_are_nodes():
    a, b, c = Value(2.0), Value(3.0), Value(4.0)
    assert (a * a).parents == (a, a)
    assert (3 - a).operands == (3.0, a)
    assert (3 - a).parents == (a,)
    clipped = ad.clip(a, b, 10.0)
    assert clipped.operands == (a, b, 10.0)
    assert clipped.parents == (a, b)
    chosen = ad.where(True, c, a)
    assert chosen.parents == (c, a)
    assert chosen._prev == chosen.parents


def test_the_operation_its_symbol_and_its_metadata_are_kept():
    t = Tensor(MATRIX)
    total = t.sum(axis=0)
    assert total.op is ad.sum
    assert total._op == "Σ"
    assert total.params == {"axis": 0}
    total.params["axis"] = 1  # a copy
    assert total.params == {"axis": 0}
    assert (t * t)._op == "*"
    assert not total.is_leaf


def test_an_operation_on_constants_only_builds_no_graph():
    assert type(ad.exp(ad.mul(2.0, 3.0))) is float
    assert type(ad.sum(np.ones(3) * 2)) is np.ndarray


def test_graphs_of_names_keep_the_order_of_first_use():
    a, b = Value(2.0, name="a"), Value(1.0, name="b")
    order = topological_order((a + b) * (b + 1))
    assert [node.name or node.op.name for node in order] == ["a", "b", "add", "add", "mul"]


# ---- every elementwise row is a method -------------------------------------------------------------------------------

METHODS = [
    name
    for name, op in REGISTRY.items()
    if isinstance(op, Elementwise) and op.arity is not None and name not in ("weighted_sum", "where")
]


@pytest.mark.parametrize("name", METHODS)
def test_every_elementwise_row_is_a_method(name):
    op = REGISTRY[name]
    others = [1.5, 2.5][: op.arity - 1]
    start = 1.25 if name == "arccosh" else 0.25
    for x in (Value(start), Tensor([start, start])):
        got, expected = getattr(x, name)(*others), op(x.data, *others)
        assert type(got) is type(x)
        assert got.op is op
        assert got.parents[0] is x
        assert np.array_equal(got.data, expected)


def test_there_are_at_least_fifty_of_them():
    assert len(METHODS) >= 50


def test_methods_take_metadata_by_keyword():
    assert Value(-2.0).leaky_relu(negative_slope=0.5).data == -1.0
    assert Tensor([-2.0]).elu(alpha=0.0).data.tolist() == [0.0]
    with pytest.raises(TypeError):
        Value(1.0).exp(3.0)


# ---- refusals: nothing loses its graph unnoticed ---------------------------------------------------------------------


@pytest.mark.parametrize("convert", [float, math.sin, math.sqrt, complex])
def test_float_is_refused_with_a_remedy(convert):
    with pytest.raises(TypeError, match=r"use \.item\(\).*autodiff's functions"):
        convert(Value(2.0))


@pytest.mark.parametrize("node", [Value(2.0), Tensor([1.0, 2.0])], ids=["Value", "Tensor"])
@pytest.mark.parametrize("convert", [np.asarray, np.array, lambda x: np.array([x, x]), lambda x: np.asarray(x, float)])
def test_conversion_to_an_array_is_refused_with_a_remedy(node, convert):
    with pytest.raises(TypeError, match=r"would drop its graph: use \.data.*(stack|from_values)"):
        convert(node)


def test_int_and_index_are_refused():
    with pytest.raises(TypeError):
        int(Value(2.0))
    with pytest.raises(TypeError):
        [1, 2, 3][Value(1.0)]


# ---- copies ----------------------------------------------------------------------------------------------------------


def leaves():
    a, t = Value(2.0, name="a"), Tensor(np.ones(2, np.float32), name="t")
    (a * t).sum().backward()
    return [a, t]


@pytest.mark.promise(11)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])  # noqa: S301  # our own bytes
@pytest.mark.parametrize("position", [0, 1], ids=["Value", "Tensor"])
def test_a_leaf_is_copied_with_data_gradient_and_name_and_shares_nothing(duplicate, position):
    leaf = leaves()[position]
    twin = duplicate(leaf)
    assert twin is not leaf
    assert type(twin) is type(leaf)
    assert twin.is_leaf
    assert twin.name == leaf.name
    assert np.array_equal(twin.data, leaf.data)
    assert np.array_equal(twin.grad, leaf.grad)
    if position:
        assert twin.dtype == twin.grad.dtype == np.float32
        assert not np.shares_memory(twin.data, leaf.data)
        assert not np.shares_memory(twin.grad, leaf.grad)
    (twin * 2.0).backward(None if position == 0 else [1.0, 1.0])
    assert np.array_equal(np.asarray(twin.grad), np.asarray(leaf.grad) + 2.0)


def test_deepcopy_of_a_container_keeps_shared_leaves_shared():
    a = Value(1.0)
    twins = copy.deepcopy([a, {"again": a}])
    assert twins[0] is twins[1]["again"]
    assert twins[0] is not a


@pytest.mark.promise(11)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("leaf", [Value(2.0), Tensor([1.0])], ids=["Value", "Tensor"])
def test_a_node_inside_a_graph_is_refused_and_the_error_says_what_to_save(duplicate, leaf):
    with pytest.raises(GraphCopyError, match=r"result of mul.*Save the leaves.*\.data.*\.detach\(\)"):
        duplicate(leaf * 2.0)
    with pytest.raises(GraphCopyError):
        duplicate({"deep": [leaf * 2.0]}) if duplicate is not copy.copy else duplicate(leaf * 2.0)
    assert duplicate((leaf * 2.0).detach())


# ---- NumPy's protocols, beyond those in test_numpy_api.py ------------------------------------------------------------


@pytest.mark.parametrize("number", [np.float64(2.0), np.float32(2.0), np.int64(2)], ids=named)
def test_a_numpy_scalar_times_a_value_is_a_value_on_either_side(number):
    v = Value(3.0)
    for y in (number * v, v * number):
        assert type(y) is Value
        assert y.data == 6.0
        v.zero_grad()
        y.backward()
        assert v.grad == 2.0


def test_numpy_scalars_do_not_widen_a_float32_tensor():
    t = Tensor(np.ones(2, np.float32))
    for y in (t * 2.0, 2.0 * t, np.float64(2.0) * t, t * np.float64(2.0), t + np.int64(1)):
        assert y.dtype == np.float32


def test_an_array_times_a_value_is_one_tensor_not_an_array_of_objects():
    v = Value(3.0)
    y = np.array([1.0, 2.0]) * v
    assert type(y) is Tensor
    assert y.data.tolist() == [3.0, 6.0]
    y.sum().backward()
    assert v.grad == 3.0


def test_numpy_comparisons_and_questions_give_plain_answers():
    v, t = Value(3.0), Tensor([1.0, np.nan])
    assert not np.greater(v, 5.0)
    assert np.isnan(t).tolist() == [False, True]
    assert np.isfinite(v)
    assert (np.array([1.0, 5.0]) < v).tolist() == [True, False]
    assert np.argmax(a=Tensor([1.0, 3.0, 2.0])) == 1
    assert np.allclose([1.0, 2.0], b=Tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda t: np.sin(t, out=np.zeros(2)), "np.sin with out"),
        (lambda t: np.add(t, 1.0, where=[True, False]), "np.add with where"),
        (lambda t: np.exp(t, dtype=np.float32), "np.exp with dtype"),
        (lambda t: np.add.reduce(t), r"np\.add\.reduce"),
        (lambda t: np.multiply.outer(t, t), r"np\.multiply\.outer"),
        (lambda t: np.add.accumulate(t), r"np\.add\.accumulate"),
        (lambda t: np.floor_divide(t, 2.0), "np.floor_divide"),
        (lambda t: np.logical_and(t, t), "np.logical_and"),
        (lambda t: np.modf(t), "np.modf"),
    ],
)
def test_a_ufunc_we_cannot_differentiate_is_refused_by_name_with_a_remedy(call, name):
    with pytest.raises(TypeError, match=rf"{name}.*use \.data.*autodiff\.elementwise"):
        call(Tensor([1.0, 2.0]))


@pytest.mark.parametrize("function", [np.median, np.linalg.det, np.linalg.inv, np.diff, np.gradient, np.unique])
def test_a_function_we_do_not_know_is_refused_by_name_with_a_remedy(function):
    with pytest.raises(TypeError, match=rf"np\.{function.__name__}.*not supported; use \.data"):
        function(Tensor([[1.0, 2.0], [3.0, 4.0]]))


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=4))
def test_the_same_numpy_code_runs_on_arrays_and_tensors_with_equal_results(xs):
    def program(x):
        y = np.stack([np.exp(x), np.where(x > 0, x, -x)])
        return np.sum(np.clip(y, 0.5, 4.0), axis=0) / np.linalg.norm(np.concatenate([x, np.ones(1)]))

    t = Tensor(xs)
    y = program(t)
    np.testing.assert_allclose(y.data, program(np.array(xs)), rtol=1e-14)  # norm rounds differently from np.linalg's
    y.sum().backward()
    assert np.all(np.isfinite(t.grad))
