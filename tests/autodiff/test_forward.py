"""The forward pass, on graphs small enough to read; tests/promises/test_random_programs.py has random ones."""

import numpy as np
import pytest

from autodiff import StaleGraphError, Tensor, Value, where
from autodiff.backward import reverse
from autodiff.forward import tangents
from autodiff.primitive import REGISTRY, array_op


def test_the_lecture_graph_has_tangent_5_along_b():
    a, b = Value(2.0), Value(1.0)
    c = a + b
    d = b + 1
    e = c * d
    found = tangents([e], {b: 1.0})
    assert {node.op.name: t for node, t in found.items() if node.op} == {"add": 1.0, "mul": 5.0}
    assert found[c] == found[d] == 1.0
    assert tangents([e], {a: 1.0, b: 1.0})[e] == 7.0


def test_only_what_depends_on_a_seed_has_a_tangent():
    a, b = Value(2.0), Value(1.0)
    c, d = a * 2, b * 3
    e = c + d
    found = tangents([e], {a: 1.0})
    assert set(found) == {a, c, e}
    assert found[e] == 2.0


def test_what_is_constant_along_the_seed_has_no_tangent():
    x = Tensor([0.5, 1.5])
    y = REGISTRY["floor"](x)
    assert tangents([y], {x: np.ones(2)}).get(y) is None


def test_an_inner_node_may_be_seeded_and_is_not_overwritten():
    a = Value(3.0)
    b = a * a
    c = b * 10
    found = tangents([c], {a: 1.0, b: 1.0})
    assert found[b] == 1.0
    assert found[c] == 10.0


@pytest.mark.promise(7)
def test_a_tangent_has_the_shape_and_dtype_of_its_node():
    x = Tensor(np.ones((3, 1), dtype=np.float32))
    y = x + np.zeros((2, 1, 4), dtype=np.float32)
    found = tangents([y], {x: np.full((3, 1), 2.0, dtype=np.float32)})
    assert found[y].shape == (2, 3, 4)
    assert found[y].dtype == np.float32
    assert np.all(found[y] == 2.0)


@pytest.mark.parametrize("subset", [(0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_joined_operands_without_a_tangent_count_as_constant(subset):
    xs = [Tensor([1.0]), Tensor([2.0, 3.0]), Tensor([4.0])]
    y = REGISTRY["concatenate"](*xs)
    ts = [np.array([1.0]), np.array([2.0, 3.0]), np.array([4.0])]
    got = tangents([y], {xs[i]: ts[i] for i in subset})[y]
    assert got.tolist() == np.concatenate([t if i in subset else 0 * t for i, t in enumerate(ts)]).tolist()


def test_tangents_on_nodes_can_be_differentiated():
    """The second derivative of x**3 at 2 is 12: forward over forward, and reverse over forward."""
    x = Value(2.0)
    y = x * x * x
    first = tangents([y], {x: Value(1.0)}, on_nodes=True)[y]
    assert first.data == 12.0
    assert tangents([first], {x: 1.0})[first] == 12.0
    assert reverse(first, 1.0)[x] == 12.0


def test_a_linear_operation_of_the_user_is_its_own_pushforward():
    double = array_op("double_for_test", lambda x: 2 * x, lambda g, y, x: 2 * g)
    x = Tensor([1.0, 2.0])
    y = double(x)
    assert tangents([y], {x: np.array([1.0, 10.0])})[y].tolist() == [2.0, 20.0]


@pytest.mark.promise(14)
def test_the_pass_changes_no_node_and_no_seed():
    x = Tensor([1.0, 2.0])
    y = (x * x).sum()
    seed = np.array([1.0, -1.0])
    tangents([y], {x: seed})
    assert seed.tolist() == [1.0, -1.0]
    assert x.grad is None
    assert y.grad is None
    assert x.data.tolist() == [1.0, 2.0]


@pytest.mark.promise(15)
def test_rebound_data_is_noticed():
    x = Value(2.0)
    y = x * x
    x.data = 3.0
    with pytest.raises(StaleGraphError, match="mul"):
        tangents([y], {x: 1.0})


def test_a_condition_that_is_a_node_has_no_tangent():
    """`where` is never differentiated by its condition, in either mode."""
    x = Value(2.0)
    y = where(x, x * x, 0.0)
    assert tangents([y], {x: 1.0})[y] == 4.0
    assert reverse(y, 1.0)[x] == 4.0
