"""What backward() does to ``grad``: every sentence of the README's and docstrings' semantics, for Value and Tensor.

Holds promises 7 (shape and dtype), 14 (nothing changed, nothing aliased), 15 (staleness), 16 (five defined behaviours)
and 17 (an exception leaves everything as it was).
"""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff import NoGraphError, SeedError, StaleGraphError, Tensor, Value, array_op, elementwise, no_grad
from autodiff.graph import topological_order
from autodiff.testing.strategies import programs

both_kinds = pytest.mark.parametrize("kind", [Value, Tensor])


def number(grad):
    """Return a gradient of one element as a float."""
    return float(np.asarray(grad).item())


def lecture(kind=Value):
    """Return a, b, c, d, e of the lecture: c = a + b, d = b + 1, e = c * d."""
    a, b = kind(2.0), kind(1.0)
    c, d = a + b, b + 1
    return a, b, c, d, c * d


# ---- seeds -----------------------------------------------------------------------------------------------------------


@both_kinds
def test_the_seed_is_1_by_default(kind):
    a, b, c, d, e = lecture(kind)
    e.backward()
    assert [number(x.grad) for x in (a, b, c, d, e)] == [2.0, 5.0, 2.0, 3.0, 1.0]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_tensor_of_one_element_needs_no_seed_whatever_its_axes(shape):
    t = Tensor(np.full(shape, 3.0))
    (t * t).backward()
    assert t.grad.shape == shape
    assert number(t.grad) == 6.0


@both_kinds
def test_a_seed_scales_every_gradient(kind):
    a, b, c, d, e = lecture(kind)
    e.backward(-2)
    assert [number(x.grad) for x in (a, b, c, d, e)] == [-4.0, -10.0, -4.0, -6.0, -2.0]


@pytest.mark.promise(16)
@pytest.mark.parametrize("shape", [(2,), (0,), (2, 3), (1, 2)])
def test_more_or_fewer_than_one_element_need_a_seed_and_the_error_says_what_to_do(shape):
    with pytest.raises(SeedError) as caught:
        (Tensor(np.ones(shape)) * 2.0).backward()
    for words in (str(shape), ".sum()", ".mean()", "seed"):
        assert words in str(caught.value)


@pytest.mark.parametrize("seed", [1.0, [1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]], np.ones((2, 1))], ids=repr)
def test_a_seed_of_another_shape_is_refused_with_both_shapes(seed):
    t = Tensor([1.0, 2.0])
    with pytest.raises(SeedError) as caught:
        (t * 2.0).backward(seed)
    assert "(2,)" in str(caught.value)
    assert str(np.shape(seed)) in str(caught.value)
    assert t.grad is None


@pytest.mark.parametrize("seed", ["a", [1.0, 2.0], 1j])
def test_a_seed_that_is_no_number_is_refused(seed):
    v = Value(1.0)
    with pytest.raises(TypeError, match="real number"):
        v.backward(seed)
    assert v.grad == 0.0


@pytest.mark.promise(7)
def test_a_seed_takes_the_roots_dtype():
    t = Tensor(np.ones(2, np.float32))
    y = t * 2.0
    y.backward([1, 3])
    assert (y.grad.dtype, t.grad.dtype) == (np.float32, np.float32)
    assert t.grad.tolist() == [2.0, 6.0]


# ---- accumulating and overwriting ------------------------------------------------------------------------------------


@pytest.mark.promise(16)
@both_kinds
def test_two_calls_give_leaves_exactly_twice_and_intermediates_once(kind):
    """micrograd gives 3 times, because it sends stale intermediate gradients on."""
    a, b, c, d, e = lecture(kind)
    e.backward()
    e.backward()
    assert [number(x.grad) for x in (a, b, c, d, e)] == [4.0, 10.0, 2.0, 3.0, 1.0]


@given(st.integers(1, 6), st.floats(-3, 3))
def test_n_calls_give_exactly_n_times_the_gradient_of_a_leaf(n, x):
    v = Value(x)
    y = (v * 3.0 + v * v).tanh() * v
    once = ad.gradients(y, v)
    total = 0.0
    for _ in range(n):
        y.backward()
        total += once
    assert v.grad == total


@both_kinds
def test_two_roots_that_share_leaves_add_up(kind):
    a = kind(3.0)
    shared = a * 2.0
    first, second = shared * 5.0, shared + 1.0
    first.backward()
    assert number(shared.grad) == 5.0
    second.backward()
    assert number(shared.grad) == 1.0  # of the last root
    assert number(a.grad) == 12.0  # 2 * 5 + 2 * 1


@both_kinds
def test_zero_grad_forgets(kind):
    a, b, _, _, e = lecture(kind)
    e.backward()
    a.zero_grad()
    assert a.grad == (0.0 if kind is Value else None)
    e.backward()
    assert (number(a.grad), number(b.grad)) == (2.0, 10.0)


@both_kinds
def test_without_keep_grads_only_leaves_get_a_gradient(kind):
    a, b, c, d, e = lecture(kind)
    e.backward(keep_grads=False)
    assert (number(a.grad), number(b.grad)) == (2.0, 5.0)
    for inner in (c, d, e):
        assert inner.grad == (0.0 if kind is Value else None)
    e.backward()
    e.backward(keep_grads=False)
    assert (number(a.grad), number(c.grad)) == (6.0, 2.0)


@pytest.mark.promise(14)
@settings(max_examples=100)
@given(programs("tensor", max_nodes=20))
def test_letting_go_of_inner_gradients_early_changes_no_bit_of_a_leafs(program):
    """It lets the pass reuse their memory, which must not reach anything that is still needed."""
    kept, dropped = ([Tensor(x) for x in program.inputs] for _ in range(2))
    for leaves, keep in ((kept, True), (dropped, False)):
        y = program(*leaves)
        before = [np.asarray(node.data).tobytes() for node in topological_order(y)]
        y.backward(np.ones(y.shape), keep_grads=keep)
        y.backward(np.ones(y.shape), keep_grads=keep)
        assert [np.asarray(node.data).tobytes() for node in topological_order(y)] == before
    for a, b in zip(kept, dropped, strict=True):
        assert (a.grad is None) == (b.grad is None)
        assert a.grad is None or a.grad.tobytes() == b.grad.tobytes()


def test_a_gradient_that_two_nodes_share_is_not_overwritten_on_its_way():
    """Both operands of + receive one array; tanh could multiply into it only if it were the last to need it."""
    a, b, c, mask = Tensor([0.5, 1.0]), Tensor([0.25, 2.0]), Tensor([1.0, 1.0]), np.array([3.0, 4.0])
    (c * mask + np.tanh(a) + mask * c + np.sin(b) + b.reshape(2).exp().T).backward([1.0, 10.0], keep_grads=False)
    np.testing.assert_array_equal(c.grad, 2.0 * mask * [1.0, 10.0])
    np.testing.assert_array_equal(mask, [3.0, 4.0])
    np.testing.assert_allclose(a.grad, (1 - np.tanh(a.data) ** 2) * [1.0, 10.0], rtol=1e-15)
    np.testing.assert_allclose(b.grad, (np.cos(b.data) + np.exp(b.data)) * [1.0, 10.0], rtol=1e-15)


def test_a_gradient_is_not_overwritten_before_both_factors_have_had_it():
    a, b = Tensor([0.5, 1.0]), Tensor([0.25, 2.0])
    (np.negative(a) * np.negative(b)).backward([1.0, 10.0], keep_grads=False)
    assert (a.grad.tolist(), b.grad.tolist()) == ([0.25, 20.0], [0.5, 10.0])


@both_kinds
def test_backward_on_a_leaf_accumulates_the_seed(kind):
    a = kind(3.0)
    a.backward()
    a.backward(4.0)
    assert number(a.grad) == 5.0


@pytest.mark.promise(14)
def test_a_gradient_that_the_user_set_is_added_to():
    v, t = Value(1.0), Tensor([1.0, 2.0])
    mine = np.array([10.0, 20.0])
    v.grad, t.grad = 10.0, mine
    (v * t).sum().backward()
    assert v.grad == 13.0
    assert t.grad.tolist() == [11.0, 21.0]
    assert mine.tolist() == [10.0, 20.0]


@pytest.mark.promise(17)
def test_a_grad_of_a_wrong_shape_that_the_user_set_is_an_error_and_changes_no_other():
    for swapped in (False, True):
        v, t = Value(1.0), Tensor([1.0, 2.0])
        t.grad = np.ones(3)
        y = t * v if swapped else v * t
        with pytest.raises(ValueError, match="shape"):
            y.backward([1.0, 1.0])
        assert (v.grad, y.grad) == (0.0, None)


# ---- purity ----------------------------------------------------------------------------------------------------------


def test_only_backward_writes_gradients():
    t, v = Tensor([1.0, 2.0]), Value(3.0)
    y = (t * v).sum()
    assert ad.gradients(y, [t, v])[1] == 3.0
    ad.grad(lambda x: (x * t).sum())(2.0)
    ad.jvp(lambda x: x * v, (1.0,), (1.0,))
    for node in topological_order(y):
        assert node.grad is None or node.grad == 0.0


@pytest.mark.promise(14)
def test_backward_changes_no_data_no_seed_and_no_constant():
    x, constant, seed = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0])
    t = Tensor(x)
    y = ad.tanh(t * constant) + constant
    before = [node.data.copy() for node in topological_order(y)]
    y.backward(seed)
    y.backward(seed)
    assert (x.tolist(), constant.tolist(), seed.tolist()) == ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])
    for node, data in zip(topological_order(y), before, strict=True):
        assert np.array_equal(node.data, data)


# ---- shape, dtype, memory of its own ---------------------------------------------------------------------------------


PROGRAMS = {
    "sum of two": lambda t, u: t + u,
    "the same twice": lambda t, u: t + t,
    "difference": lambda t, u: t - u,
    "identity": lambda t, u: t * 1.0,
    "views": lambda t, u: (t.T.T.reshape(6).reshape(2, 3) + u)[::-1],
    "broadcast": lambda t, u: ad.broadcast_to(t[0], shape=(2, 3)) + u,
    "joined": lambda t, u: ad.concatenate([t, u])[:2] + ad.stack([t, u])[0],
    "cast": lambda t, u: t.astype(np.float32) + u.astype(np.float64),
    "where": lambda t, u: ad.where(np.eye(2, 3, dtype=bool), t, u),
    "sums": lambda t, u: t.sum() + u,
    "the operand itself": lambda t, u: ad.maximum(t, -np.inf) + 0.0 * u,
}


@pytest.mark.promise(7, 14)
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("dtypes", [("f8", "f8"), ("f4", "f4"), ("f4", "f8")], ids="-".join)
def test_gradients_have_their_nodes_shape_and_dtype_and_memory_of_their_own(program, dtypes):
    xs = [np.arange(6, dtype=dtype).reshape(2, 3) + 1 for dtype in dtypes]
    t, u = map(Tensor, xs)
    y = program(t, u)
    seed = np.ones(y.shape, y.dtype)
    y.backward(seed)
    nodes = topological_order(y)
    for node in nodes:
        assert type(node.grad) is np.ndarray
        assert (node.grad.shape, node.grad.dtype) == (node.shape, node.dtype)
    arrays = [*xs, seed, *(node.data for node in nodes), *(node.grad for node in nodes)]
    copies = [array.copy() for array in arrays]
    for i, array in enumerate(arrays):
        array += 1
        for j, (other, copy) in enumerate(zip(arrays, copies, strict=True)):
            assert np.array_equal(other, copy) == (i != j), f"writing into array {i} changed array {j}"
        array[...] = copies[i]


@pytest.mark.promise(14)
def test_accumulated_gradients_are_new_arrays():
    """Whoever kept the first gradient keeps it."""
    t = Tensor([1.0, 2.0])
    (t * 2.0).sum().backward()
    first = t.grad
    (t * 2.0).sum().backward()
    assert first.tolist() == [2.0, 2.0]
    assert t.grad.tolist() == [4.0, 4.0]


@pytest.mark.promise(7)
def test_a_value_next_to_tensors_gets_a_float():
    v = Value(2.0)
    (Tensor(np.ones((2, 3), np.float32)) * v).sum().backward()
    assert type(v.grad) is float
    assert v.grad == 6.0


@pytest.mark.promise(7)
def test_leaves_reached_only_through_zero_derivatives_get_zeros_not_none():
    t, other, empty = Tensor(np.array([1.5, 2.5], np.float32)), Tensor([3.0]), Tensor(np.ones((0, 2)))
    y = ad.sign(t).sum() + ad.where(False, other, 0.0).sum() + empty.sum()
    y.backward()
    assert t.grad.tolist() == [0.0, 0.0]
    assert t.grad.dtype == np.float32
    assert other.grad.tolist() == [0.0]
    assert empty.grad.shape == (0, 2)


def test_a_leaf_that_is_not_reached_keeps_what_it_had():
    a, b, t = Value(1.0), Value(2.0), Tensor([1.0])
    (a * 2.0).backward()
    assert b.grad == 0.0
    assert t.grad is None


# ---- promise 16: five defined behaviours -----------------------------------------------------------------------------


@pytest.mark.promise(16)
def test_backward_twice_on_a_non_scalar_on_a_constant_under_no_grad_and_after_an_exception(figure):
    t = Tensor([1.0, 2.0])
    y = t * t
    with pytest.raises(SeedError):  # non-scalar
        y.backward()
    assert t.grad is None  # after an exception: as if nothing had been
    y.backward([1.0, 1.0])
    y.backward([1.0, 1.0])  # twice
    assert t.grad.tolist() == [4.0, 8.0]
    constant = ad.exp(ad.mul(2.0, 3.0))
    assert type(constant) is float  # a constant is a plain number: there is nothing to call backward on
    with no_grad():
        z = t * t
    with pytest.raises(NoGraphError, match=r"under no_grad\(\).*outside the block"):
        z.backward([1.0, 1.0])
    with no_grad():
        y.backward([1.0, 1.0])  # recorded before: no_grad is about recording
    assert t.grad.tolist() == [6.0, 12.0]
    figure("as defined: twice, on a non-scalar, on a constant, under no_grad, after an exception")


@pytest.mark.promise(16)
@both_kinds
def test_a_result_of_no_grad_may_be_used_as_a_constant_leaf(kind):
    a = kind(3.0)
    with no_grad():
        fixed = a * 2.0
    (a * fixed).backward()
    assert number(a.grad) == 6.0
    assert number(fixed.grad) == 3.0


# ---- promise 17: exceptions ------------------------------------------------------------------------------------------


class PlantedError(Exception):
    """Raised by the rules below."""


def fail(*_args, **_params):
    raise PlantedError


def faulty_operations():
    """Return {what fails: an operation of one operand that fails there}."""
    return {
        "forward": elementwise("faulty_forward", fail, fail, lambda y, x: 1.0),
        "partial": elementwise("faulty_partial", lambda x: x, lambda x: x + 0, lambda y, x: fail()),
        "pullback": array_op("faulty_pullback", lambda x: np.asarray(x) + 0, lambda g, y, x: fail()),
    }


@pytest.mark.promise(17)
@pytest.mark.parametrize("where", ["forward", "partial", "pullback"])
@pytest.mark.parametrize("keep_grads", [True, False])
@both_kinds
def test_an_exception_in_a_rule_leaves_every_grad_unchanged_and_the_engine_usable(kind, keep_grads, where, figure):
    faulty = faulty_operations()[where]
    a, b = kind(2.0), kind(3.0)
    inner = a * b
    inner.backward()
    before = {x: x.grad for x in (a, b, inner)}

    def program():
        # The faulty edge is walked last: gradients of everything else are known by then
        return (faulty(a) * 2.0 + inner * 5.0) * b

    with pytest.raises(PlantedError):
        program().backward(keep_grads=keep_grads)
    for x, grad in before.items():
        assert x.grad is grad
    assert (number(a.grad), number(b.grad)) == (3.0, 2.0)
    (inner * 10.0).backward()
    assert (number(a.grad), number(b.grad), number(inner.grad)) == (33.0, 22.0, 10.0)
    figure("failing rule after which every grad was as before and the next backward right")


@pytest.mark.promise(17)
def test_a_pullback_of_a_wrong_shape_is_an_error_and_changes_nothing():
    wrong = array_op("wrong_shape", lambda x: x + 0, lambda g, y, x: np.ones(3))
    t, u = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="shape"):
        (wrong(t) * u).sum().backward()
    assert t.grad is None
    assert u.grad is None


@pytest.mark.promise(17)
def test_an_exception_inside_a_transform_leaves_the_engine_usable():
    faulty = faulty_operations()["partial"]
    with pytest.raises(PlantedError):
        ad.grad(faulty)(2.0)
    with no_grad(), pytest.raises(PlantedError):
        ad.grad(faulty)(2.0)
    assert ad.grad(lambda x: x * x)(3.0) == 6.0
    assert not (Value(1.0) * 2.0).is_leaf


# ---- promise 15: staleness -------------------------------------------------------------------------------------------


@pytest.mark.promise(15)
@both_kinds
def test_rebinding_a_leaf_that_was_used_is_noticed_and_the_error_names_operation_and_operand(kind, figure):
    a, b = kind(2.0), kind(3.0, name="weight")
    y = ad.exp(a) * b
    b.data = 4.0
    with pytest.raises(StaleGraphError, match=r"operand 1 \(weight\) of mul.*Run the forward computation again"):
        y.backward()
    assert a.grad == (0.0 if kind is Value else None)
    figure("rebound data noticed")


def subtract_in_place(p):
    p.data -= 0.5


def double(p):
    p.data = p.data * 2


@pytest.mark.promise(15)
@both_kinds
@pytest.mark.parametrize("update", [subtract_in_place, double])
def test_an_update_step_makes_the_old_graph_stale_and_a_new_graph_is_fine(kind, update, figure):
    p = kind([1.0, 2.0] if kind is Tensor else 1.0)
    loss = (p * p).sum() if kind is Tensor else p * p
    loss.backward()
    update(p)
    with pytest.raises(StaleGraphError):
        loss.backward()
    p.zero_grad()
    loss = (p * p).sum() if kind is Tensor else p * p
    loss.backward()
    assert np.array_equal(p.grad, 2 * p.data)
    figure("rebound data noticed")


@pytest.mark.promise(15)
@both_kinds
def test_rebinding_an_intermediate_result_is_noticed(kind, figure):
    a = kind(2.0)
    b = a * a
    c = b * 3.0
    b.data = 10.0
    with pytest.raises(StaleGraphError):
        c.backward()
    figure("rebound data noticed")


@pytest.mark.promise(15)
@both_kinds
def test_rebinding_the_root_is_noticed(kind, figure):
    y = kind(2.0).exp()
    y.data = 1.0
    with pytest.raises(StaleGraphError, match="the result of exp"):
        y.backward()
    figure("rebound data noticed")


@pytest.mark.promise(15)
def test_forward_mode_and_queries_notice_too():
    a = Value(2.0)
    y = a * a
    a.data = 3.0
    with pytest.raises(StaleGraphError):
        ad.gradients(y, a)
    with pytest.raises(StaleGraphError):
        ad.gradients(y, a, create_graph=True)


@pytest.mark.promise(15)
@both_kinds
def test_rebinding_something_else_is_no_matter(kind, figure):
    a, b, unrelated = kind(2.0), kind(3.0), kind(4.0)
    used = unrelated * 5.0
    y = a * b
    unrelated.data = 0.0
    used.data = 1.0
    y.backward()
    assert (number(a.grad), number(b.grad)) == (3.0, 2.0)
    figure("unrelated data rebound without an alarm")


@pytest.mark.promise(15)
@both_kinds
def test_rebinding_before_use_is_no_matter(kind):
    a = kind(2.0)
    a.data = 5.0
    y = a * a
    y.backward()
    assert number(a.grad) == 10.0


def test_a_parameter_that_no_part_of_this_root_uses_may_change_between_roots():
    """Two losses over two models: stepping the first leaves the second's graph good."""
    p, q = Tensor([1.0]), Tensor([2.0])
    first, second = p * p, q * q
    first.backward()
    p.data -= 0.1 * p.grad
    second.backward()
    assert q.grad.tolist() == [4.0]


def test_a_new_gradient_or_name_makes_nothing_stale():
    a = Value(2.0)
    y = a * a
    a.grad, a.name = 7.0, "a"
    y.backward()
    assert a.grad == 11.0


@pytest.mark.promise(15)
def test_writing_into_an_array_behind_our_back_is_documented_not_noticed():
    t = Tensor([1.0, 2.0])
    y = (t * t).sum()
    t.data[0] = 7.0
    y.backward()
    assert t.grad.tolist() == [14.0, 4.0]
    assert "is not noticed outside ``detect_anomaly``" in Tensor.__doc__


@pytest.mark.promise(15)
def test_other_threads_that_rebind_their_own_nodes_raise_no_false_alarm():
    stop, failures = threading.Event(), []

    def step_forever():
        p = Value(1.0)
        while not stop.is_set():
            p.data += 1.0

    def differentiate():
        try:
            for k in range(300):
                x = Value(float(k))
                y = x
                for _ in range(10):
                    y = y * 1.0 + x
                y.backward()
                assert x.grad == 11.0
        except Exception as error:  # noqa: BLE001  # reported by the main thread
            failures.append(error)

    steppers = [threading.Thread(target=step_forever) for _ in range(2)]
    workers = [threading.Thread(target=differentiate) for _ in range(2)]
    for thread in (*steppers, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    for thread in steppers:
        thread.join()
    assert failures == []
