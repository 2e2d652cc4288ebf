"""The reverse pass is a pure, linear function of its seed; and it is the sum over all paths."""

import numpy as np
import pytest
from hypothesis import given, settings

import autodiff
from autodiff import Node, ShapeError, StaleGraphError, Tensor, Value, array_op, elementwise
from autodiff.backward import like, reverse
from autodiff.graph import topological_order
from autodiff.primitive import REGISTRY
from autodiff.testing.strategies import programs

from . import array_cases, elementwise_cases
from .numeric import assert_close, reverse_by

SLOTS = ("_data", "_left", "_origin", "_params", "_rebound", "_recorded", "_right", "grad", "name", "op")


def elementwise_examples(name):
    case = elementwise_cases.CASES[name]
    return [(case.call, elementwise_cases.draw(case, 12))]


def array_examples(name):
    return [(case.call, array_cases.draw(case)) for case in array_cases.BY_NAME[name]]


each_operation = pytest.mark.parametrize(
    ("examples", "name"),
    [(elementwise_examples, name) for name in elementwise_cases.CASES]
    + [(array_examples, name) for name in array_cases.BY_NAME],
    ids=[*elementwise_cases.CASES, *array_cases.BY_NAME],
)


def seeds_like(y):
    """Return two seeds without symmetries, each like the data of a node."""
    waves = [np.cos(k + np.arange(np.size(y.data))).reshape(np.shape(y.data)) for k in (1.0, 5.0)]
    return [float(wave) for wave in waves] if isinstance(y, Value) else waves


# ---- the sum over paths --------------------------------------------------------------------------------------------


def test_the_lecture_graph_sums_two_paths():
    a, b = Value(2.0), Value(1.0)
    c = a + b
    d = b + 1
    e = c * d
    assert reverse(e, 1.0) == {e: 1.0, c: 2.0, d: 3.0, a: 2.0, b: 5.0}


def test_a_node_used_twice_and_its_result_used_twice_gives_4():
    for kind in (Value, Tensor):
        a = kind(3.0)
        b = a + a
        c = b + b
        assert reverse(c, 1.0)[a] == 4.0


# ---- linear, repeatable, pure: for every operation -----------------------------------------------------------------


@pytest.mark.promise(6)
@each_operation
def test_a_pullback_is_linear_zero_for_zero_and_bitwise_repeatable(examples, name, figure):
    for call, xs in examples(name):
        nodes = [Tensor(x) for x in xs]
        y = call(*nodes)
        if not isinstance(y, Node) or y.op is None:
            continue
        first, second = seeds_like(y)
        left, right = reverse_by(y, nodes, first), reverse_by(y, nodes, second)
        again = reverse_by(y, nodes, first)
        remake = float if type(first) is float else np.asarray  # NumPy's arithmetic makes numbers of 0-d arrays
        both, nothing = (reverse_by(y, nodes, remake(seed)) for seed in (2 * first - 3 * second, 0.0 * first))
        for a, b, c, d, e in zip(left, right, both, again, nothing, strict=True):
            scale = np.max(np.abs(a), initial=0) + np.max(np.abs(b), initial=0)
            share = assert_close(c, 2 * a - 3 * b, 1e-12, 1e-13 * scale, label=name)
            figure("deviation of a pullback from linearity / (1e-12 of it + 1e-13 of the terms)", share, 1)
            assert np.asarray(a).tobytes() == np.asarray(d).tobytes()
            assert not np.any(e)


@pytest.mark.promise(14)
@each_operation
def test_the_pass_changes_no_node_and_no_seed(examples, name):
    call, xs = examples(name)[-1]
    nodes = [Tensor(x) for x in xs]
    y = call(*nodes)
    if not isinstance(y, Node) or y.op is None:
        pytest.skip("nothing is recorded")
    graph = topological_order(y)
    before = [[getattr(node, slot) for slot in SLOTS] for node in graph]
    copies = [np.array(node.data) for node in graph]
    seed, _ = seeds_like(y)
    kept = np.array(seed)
    for on_nodes in (False, True):
        reverse_by(y, nodes, seed, on_nodes=on_nodes)
        assert np.array_equal(seed, kept)
        for node, slots, copy in zip(graph, before, copies, strict=True):
            assert all(getattr(node, slot) is old for slot, old in zip(SLOTS, slots, strict=True))
            assert np.array_equal(node.data, copy)


def test_the_slots_compared_above_are_all_that_a_node_has():
    assert {slot for kind in Tensor.__mro__ for slot in getattr(kind, "__slots__", ())} == {*SLOTS, "__weakref__"}


@pytest.mark.promise(14)
@settings(max_examples=100)
@given(programs("tensor", max_nodes=20))
def test_gradients_of_random_programs_share_no_memory(program):
    """Neither with each other, nor with data, the seed or the arrays of the user."""
    nodes = [Tensor(x) for x in program.inputs]
    constant = np.full((2, 1), 0.25)
    y = autodiff.sum(program(*nodes)) + constant
    seed = np.ones(y.shape)
    y.backward(seed)
    graph = [node for node in topological_order(y) if isinstance(node, Tensor)]  # floats share nothing
    grads = [node.grad for node in graph if node.grad is not None]
    others = [*program.inputs, constant, seed, *(node.data for node in graph)]
    for i, g in enumerate(grads):
        assert not any(np.shares_memory(g, other) for other in others)
        assert not any(np.shares_memory(g, other) for other in grads[:i])
    for node in graph:
        assert node.grad is None or (node.grad.shape == node.shape and node.grad.dtype == node.dtype)
    assert np.all(seed == 1)
    assert np.all(constant == 0.25)


@pytest.mark.promise(14)
def test_two_operands_of_a_sum_get_two_gradients():
    """Both are the upstream gradient; writing into one must not change the other."""
    a, b = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    c = a + b
    c.backward([1.0, 1.0])
    a.grad[0] = 100.0
    assert b.grad.tolist() == [1.0, 1.0]
    assert c.grad.tolist() == [1.0, 1.0]


@pytest.mark.promise(14)
def test_changing_a_gradient_changes_no_later_one():
    x = Tensor([1.0, 2.0])
    y = x.reshape(2, 1)
    y.sum().backward()
    x.grad[:] = 7.0
    assert y.grad.tolist() == [[1.0], [1.0]]
    y.sum().backward()
    assert x.grad.tolist() == [8.0, 8.0]


# ---- options of the pass -------------------------------------------------------------------------------------------


def test_gradients_become_known_from_the_root_to_the_leaves():
    a = Value(2.0)
    b = a * 3
    c = b.sin()
    assert [*reverse(c, 1.0)] == [c, b, a]


def test_without_keep_only_leaves_remain():
    a, b = Value(2.0), Value(1.0)
    grads = reverse((a + b) * (b + 1), 1.0, keep=False)
    assert grads == {a: 2.0, b: 5.0}


def test_only_paths_to_what_is_wanted_are_walked():
    a, b = Tensor([2.0]), Tensor([1.0])
    left, right = a * 2.0, b * 3.0
    y = left + right
    grads = reverse(y, np.ones(1), wanted=[a])
    assert set(grads) == {y, left, a}
    assert grads[a].tolist() == [2.0]


def test_an_inner_node_can_be_wanted():
    a = Value(2.0)
    b = a * a
    y = b * 10.0
    assert reverse(y, 1.0, wanted=[b])[b] == 10.0


def test_every_edge_is_watched_once():
    a, b = Value(2.0), Value(1.0)
    c = a * b
    e = c * c
    seen = []
    reverse(e, 1.0, watch=lambda node, position, contribution: seen.append((node, position, contribution)))
    assert seen == [(e, 0, 2.0), (e, 1, 2.0), (c, 0, 4.0), (c, 1, 8.0)]


def test_a_leaf_reached_only_over_constant_edges_gets_zeros():
    x, v = Tensor([0.5, 1.5]), Value(0.5)
    assert reverse(REGISTRY["floor"](x), np.ones(2))[x].tolist() == [0.0, 0.0]
    assert reverse(REGISTRY["sign"](v), 1.0)[v] == 0.0


def test_the_root_may_be_a_leaf():
    x = Value(2.0)
    assert reverse(x, 3.0) == {x: 3.0}


def test_on_nodes_the_result_can_be_differentiated_again():
    x = Tensor([1.0, 2.0])
    (first,) = reverse_by(x * x * x, [x], on_nodes=True)
    assert isinstance(first, Tensor)
    assert first.data.tolist() == [3.0, 12.0]
    assert reverse_by(first, [x])[0].tolist() == [6.0, 12.0]


@pytest.mark.promise(15)
@pytest.mark.parametrize("kind", [Value, Tensor])
@pytest.mark.parametrize("on_nodes", [False, True])
def test_data_rebound_after_its_use_is_noticed_and_the_operation_named(kind, on_nodes):
    a, b = kind(2.0), kind(3.0)
    y = (a * b).sin()
    b.data = 4.0
    with pytest.raises(StaleGraphError, match="operand 1 of mul"):
        reverse_by(y, [a], on_nodes=on_nodes)
    fresh = (a * b).sin()
    assert reverse_by(fresh, [a])[0] == pytest.approx(4 * np.cos(8.0), rel=1e-15)


def test_a_nan_from_above_reaches_every_active_path_and_no_masked_one():
    x = Tensor([1.0, 2.0])
    y = REGISTRY["where"](np.array([True, False]), x, 0.0)
    assert_close(reverse(y, np.array([np.nan, np.nan]))[x], np.array([np.nan, 0.0]), 0.0)
    z = x * 2.0
    assert np.isnan(reverse(z, np.array([np.nan, 1.0]))[x]).tolist() == [True, False]


@pytest.mark.promise(17)
@pytest.mark.parametrize("kind", [Value, Tensor])
def test_a_rule_that_raises_leaves_every_gradient_as_it_was(kind):
    def fail(*_):
        raise ZeroDivisionError("a rule failed")

    broken = elementwise("broken_for_test", lambda x: x, lambda x: x + 0, fail)
    x = kind(2.0)
    (x * x).backward()
    before = x.grad
    inner = x * 3
    y = broken(inner) + x
    with pytest.raises(ZeroDivisionError, match="a rule failed"):
        y.backward()
    assert x.grad is before
    assert inner.grad is inner._no_grad_value
    (x * x).backward()
    assert x.grad == 8.0


@pytest.mark.promise(7)
def test_a_pullback_may_return_the_broadcast_shape_and_another_dtype():
    op = array_op("wide_for_test", lambda x: x * 1, lambda g, y, x: np.ones((4, *y.shape)))
    x = Tensor(np.ones((2, 1), dtype=np.float32))
    (g,) = reverse_by(op(x), [x])
    assert g.dtype == np.float32
    assert g.tolist() == [[4.0], [4.0]]


@pytest.mark.promise(7)
@pytest.mark.parametrize(
    ("gradient", "operand", "expected"),
    [
        (np.ones((2, 3)), np.zeros(3), [2.0, 2.0, 2.0]),
        (np.ones((2, 3)), np.zeros((2, 1)), [[3.0], [3.0]]),
        (np.ones((2, 3)), np.zeros(()), 6.0),
        (np.ones((2, 3)), 0.0, 6.0),
        (np.array(4.0), 0.0, 4.0),
        (4.0, np.zeros(()), 4.0),
        (4.0, np.zeros((2,)), [4.0, 4.0]),
        (np.ones((2, 0)), np.zeros((2, 1)), [[0.0], [0.0]]),
        (np.ones(2), np.zeros(2, dtype=np.float32), [1.0, 1.0]),
    ],
)
def test_a_gradient_is_made_like_its_operand(gradient, operand, expected):
    got = like(gradient, operand)
    assert type(got) is type(operand)
    assert getattr(got, "dtype", None) is getattr(operand, "dtype", None)
    assert np.shape(got) == np.shape(operand)
    assert np.asarray(got).tolist() == expected


@pytest.mark.promise(8)
def test_nothing_comes_back_through_a_step_not_even_from_infinity():
    v, t = Value(0.5), Tensor(0.5)
    (1.0 / v.floor()).backward()
    with np.errstate(divide="ignore"):
        (1.0 / t.floor()).backward()
    assert v.grad == 0.0
    assert t.grad == 0.0


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_binary_cross_entropy_with_logits"])
def test_a_mean_loss_refuses_to_broadcast(loss):
    with pytest.raises(ShapeError, match="one shape"):
        getattr(autodiff, loss)(Tensor(np.ones((3, 1))), np.ones(3))


def test_a_value_can_be_the_logit_of_an_array_of_targets():
    z = Value(0.5)
    autodiff.sum(autodiff.binary_cross_entropy_with_logits(z, np.array([0.0, 1.0]))).backward()
    assert z.grad == pytest.approx(2 * autodiff.sigmoid(0.5) - 1, rel=1e-14)


def test_gradients_through_a_linear_layer_can_be_recorded():
    x, w, b = Tensor(np.arange(8.0).reshape(4, 2)), Tensor([[2.0, 3.0]]), Tensor([1.0])
    slope = autodiff.gradients(autodiff.sum(autodiff.linear(x, w, b)), x, create_graph=True)
    assert slope.data.tolist() == [[2.0, 3.0]] * 4
    assert autodiff.gradients(autodiff.sum(slope), w).tolist() == [[4.0, 4.0]]


@pytest.mark.promise(14)
def test_a_variadic_rule_or_a_kernel_cannot_hand_out_a_users_array_either():
    mine = np.ones(2)
    pulled = array_op("hands_out", lambda *xs: sum(xs), lambda g, y, *xs: [mine for _ in xs], variadic=True)
    computed = array_op("computes", lambda x: mine, lambda g, y, x: g)
    t = Tensor([1.0, 2.0])
    pulled(t, t).backward([1.0, 1.0])
    t.grad[0] = 7.0
    computed(t).data[0] = 9.0
    assert mine.tolist() == [1.0, 1.0]


def test_an_axis_of_length_one_in_einsum_passes_gradients_both_ways():
    a, b = Tensor([2.0]), Tensor([1.0, 2.0, 3.0])
    autodiff.einsum("i,i->", a, b).backward()
    assert a.grad.tolist() == [6.0]
    assert b.grad.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.promise(8)
def test_a_nan_operand_gives_a_nan_derivative_of_maximum_and_relu():
    nan = float("nan")
    assert np.isnan(autodiff.grad(autodiff.maximum, (0, 1))(nan, 1.0)).all()
    assert np.isnan(autodiff.grad(autodiff.relu)(nan))
    assert np.isnan(autodiff.grad(autodiff.relu)(np.array(nan)))


@pytest.mark.promise(8)
def test_the_derivative_of_std_is_zero_for_constant_data_whose_mean_rounds():
    assert autodiff.grad(autodiff.std)(np.full(3, 0.1)).tolist() == [0.0, 0.0, 0.0]


def test_arctan2_has_its_derivative_at_tiny_operands():
    by_a, by_b = autodiff.grad(autodiff.arctan2, (0, 1))(0.0, 1e-200)
    assert by_a == pytest.approx(1e200, rel=1e-15)
    assert by_b == 0.0


def test_a_linear_layer_without_inputs_has_gradients_for_stacked_rows():
    x, w, b = np.ones((2, 3, 0)), Tensor(np.ones((4, 0))), Tensor(np.zeros(4))
    autodiff.sum(autodiff.linear(x, w, b)).backward()
    assert w.grad.shape == (4, 0)
    assert b.grad.tolist() == [6.0] * 4


def test_metadata_that_is_a_node_is_refused_by_name():
    with pytest.raises(TypeError, match="negative_slope of leaky_relu"):
        autodiff.leaky_relu(Value(1.0), negative_slope=Value(0.2))
