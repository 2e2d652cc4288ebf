"""Promises 4, 5 and 6 on random programs: two modes, two kinds of node, and the sum over paths agree.

A few hundred programs a test; with HYPOTHESIS_PROFILE=thorough ten thousand.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff import Node, Tensor, Value
from autodiff.backward import reverse
from autodiff.forward import push, tangents
from autodiff.graph import topological_order
from autodiff.primitive import REGISTRY, ArrayOp, Elementwise, Reduction
from autodiff.testing.assembly import known_operations
from autodiff.testing.strategies import arrays, floats_for, programs

from ..autodiff.numeric import assert_within_ulps, complex_step

EXAMPLES = max(300, settings.default.max_examples)
many = settings(max_examples=EXAMPLES)
both_kinds = pytest.mark.parametrize("kind", ["scalar", "tensor"])


def leaves_of(program):
    """Return fresh nodes of the program's inputs."""
    return [Tensor(x) if isinstance(x, np.ndarray) else Value(x) for x in program.inputs]


def units_like(x):
    """Return every unit vector of the space of x."""
    return [1.0] if type(x) is float else [unit.reshape(np.shape(x)) for unit in np.eye(np.size(x))]


def flat(found, nodes):
    """Return the entries of a {node: gradient or tangent} for the nodes in one row, zero where there is none."""
    return np.concatenate([np.ravel(found[n]) if n in found else np.zeros(np.size(n.data)) for n in nodes])


def by_reverse_mode(y, leaves):
    """Return the Jacobian, one reverse pass for each of its rows."""
    return np.array([flat(reverse(y, unit), leaves) for unit in units_like(y.data)])


def by_forward_mode(y, leaves):
    """Return the Jacobian, one forward pass for each of its columns."""
    return np.array([flat(tangents([y], {x: unit}), [y]) for x in leaves for unit in units_like(x.data)]).T


# ---- the sum over paths, as the lecture defines it -----------------------------------------------------------------


def plain_operands(node):
    return [x.data if isinstance(x, Node) else x for x in node.operands]


def moved(node, i, unit):
    """Return by how much a node's result moves when operand i moves along a unit vector: one operation alone.

    By complex step where the kernel takes complex numbers, by the operation itself where it is linear in the operand,
    otherwise by the row's own derivative.
    """
    op, xs = node.op, plain_operands(node)
    if isinstance(op, Elementwise) and op.analytic:
        return complex_step(op.array, xs, i) * unit
    linear = isinstance(op, ArrayOp) and op.pushforwards[0 if op.arity is None else i] is None
    if linear and op.arity is None:
        return op(*(unit if k == i else 0.0 * x for k, x in enumerate(xs)), **node.params)
    if linear:
        return op(*xs[:i], unit, *xs[i + 1 :], **node.params)
    t = push(op, [unit if k == i else None for k in range(len(xs))], node.data, xs, node.params)
    return np.zeros(np.shape(node.data)) if t is None else t


def edge(node, i):
    """Return the Jacobian of a node by its operand i."""
    units = units_like(node.operands[i].data)
    return np.stack([np.ravel(moved(node, i, unit)) for unit in units], axis=1)


def edges(node):
    return [(x, i) for i, x in enumerate(node.operands) if isinstance(x, Node)]


def paths(node, leaf):
    """Yield every path from a node down to a leaf, as a list of (node, position of the operand taken)."""
    if node is leaf:
        yield []
    for x, i in edges(node):
        for rest in paths(x, leaf):
            yield [(node, i), *rest]


def sum_over_paths(y, leaf):
    """Return (the derivative of y by a leaf, the same with the absolute value of every factor)."""
    known = {}
    total = size = np.zeros((np.size(y.data), np.size(leaf.data)))
    for path in paths(y, leaf):
        product = magnitude = np.eye(np.size(y.data))
        for node, i in path:
            if (node, i) not in known:
                known[node, i] = edge(node, i)
            product, magnitude = product @ known[node, i], magnitude @ np.abs(known[node, i])
        total, size = total + product, size + magnitude
    return total, size


def sizes_of_terms(y, leaves):
    """Return the sum over paths of absolute values without walking each path: what rounding errors are relative to."""
    found = {y: np.eye(np.size(y.data))}
    for node in reversed(topological_order(y)):
        for x, i in edges(node) if node in found else ():
            found[x] = found.get(x, 0.0) + found[node] @ np.abs(edge(node, i))
    return np.concatenate([found.get(x, np.zeros((np.size(y.data), np.size(x.data)))) for x in leaves], axis=1)


def relative(difference, scale, sizes):
    """Return the largest difference in units of the scale.

    A softmax of a sum has gradient 0 in exact arithmetic, and something like 1e-17 otherwise. There a difference can
    only be compared with the terms that cancelled, which are computed only where that is so.
    """
    if np.any(np.abs(difference) > 1e-13 * scale):
        scale = np.maximum(scale, sizes())
    return float(np.max(np.abs(difference) / np.where(difference == 0.0, 1.0, scale), initial=0.0))


# ---- promise 4 -----------------------------------------------------------------------------------------------------


@pytest.mark.promise(4)
@both_kinds
def test_reverse_mode_equals_forward_mode_on_random_graphs(kind, figure):
    seen = set()

    def compare(program):
        leaves = leaves_of(program)
        y = program(*leaves)
        graph = topological_order(y)
        seen.update(node.op.name for node in graph if node.op)
        left, right = by_reverse_mode(y, leaves), by_forward_mode(y, leaves)
        assert np.all(np.isfinite(left))
        scale = np.maximum(np.abs(left), np.abs(right))
        difference = relative(left - right, scale, lambda: sizes_of_terms(y, leaves))
        figure(f"nodes of a random {kind} graph", len(graph))
        figure(f"relative difference of reverse and forward mode on random {kind} graphs", difference, 1e-10)
        assert difference <= 1e-10

    many(given(programs(kind))(compare))()
    rows = REGISTRY.keys() & set(known_operations(kind == "scalar"))
    figure(f"rows of the table that chance has left out of random {kind} graphs", len(rows - seen))
    few = settings(max_examples=5, suppress_health_check=[HealthCheck.filter_too_much])
    for name in sorted(rows - seen):  # what chance has left out is drawn on purpose
        few(given(programs(kind, max_nodes=10, operations=[name]))(compare))()
    assert rows - seen == set()
    assert kind == "scalar" or rows == {name for name, row in REGISTRY.items() if row.built_in}


@pytest.mark.promise(4)
@both_kinds
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_reverse_mode_equals_the_sum_over_all_paths_on_small_graphs(figure, kind, data):
    program = data.draw(programs(kind, max_nodes=10))
    leaves = leaves_of(program)
    y = program(*leaves)
    got = by_reverse_mode(y, leaves)
    total, size = (np.concatenate(parts, axis=1) for parts in zip(*(sum_over_paths(y, x) for x in leaves), strict=True))
    difference = relative(got - total, np.maximum(np.abs(got), np.abs(total)), lambda: size)
    figure(f"paths through a small random {kind} graph", sum(1 for x in leaves for _ in paths(y, x)))
    figure(f"relative difference of reverse mode and the sum over paths on {kind} graphs", difference, 1e-10)
    assert difference <= 1e-10


# ---- promise 5 -----------------------------------------------------------------------------------------------------

LANES = 17  # as many equal elements: the vector kernels of NumPy and what they leave over
ROWS = {name: row for name, row in REGISTRY.items() if isinstance(row, Elementwise)}


def two_ulp_each(y, seed):
    """Return how far apart two computations may end that differ by 2 ulp after every operation.

    NumPy's kernels and those of the math module differ in the last bits, so 2 ulp are what a single operation can
    promise. What they make of the last result is each operation's derivative: this is the first-order error bound.
    """
    grads = reverse(y, seed)
    inner = [node for node in grads if node.op is not None]
    return sum(np.sum(np.abs(grads[node]) * 2 * np.spacing(np.abs(node.data))) for node in inner)


@pytest.mark.promise(5)
@many
@given(st.sampled_from(list(ROWS)).flatmap(lambda name: st.tuples(st.just(name), floats_for(ROWS[name]))))
def test_an_operation_gives_values_and_tensors_the_same_number_to_2_ulp(figure, case):
    name, xs = case
    expected = ROWS[name](*map(Value, xs))
    assert expected.data == ROWS[name](*xs)
    for shape in [(), (LANES,)]:
        plain = [np.full(shape, x) for x in xs]
        with np.errstate(all="ignore"):
            tensor, array = ROWS[name](*map(Tensor, plain)), ROWS[name](*plain)
        assert tensor.data.tobytes() == array.tobytes()
        ulps = assert_within_ulps(np.full(shape, expected.data), tensor.data, 2, label=f"{name}{xs}")
        figure("units in the last place between an operation on floats and on arrays", ulps, 2)


@pytest.mark.promise(5)
@many
@given(programs("scalar"))
def test_values_and_tensors_agree_on_whole_programs_to_2_ulp_an_operation(figure, program):
    values, tensors = leaves_of(program), [Tensor(x) for x in program.inputs]
    v, t = program(*values), program(*tensors)
    assert (type(v), type(t), t.shape) == (Value, Tensor, ())
    by_values, by_tensors = reverse(v, Value(1.0), on_nodes=True), reverse(t, np.ones(()))
    pairs = [(v, t.data)] + [
        (by_values[x], by_tensors[z]) for x, z in zip(values, tensors, strict=True) if x in by_values
    ]
    assert [x in by_values for x in values] == [z in by_tensors for z in tensors]
    for a, b in pairs:
        limit = two_ulp_each(a, 1.0) if isinstance(a, Node) else 0.0
        difference = abs(getattr(a, "data", a) - float(b))
        figure("difference of Value and Tensor on a program / 2 ulp an operation", difference and difference / limit, 1)
        assert difference <= limit


@pytest.mark.promise(5)
@settings(max_examples=EXAMPLES // 3)
@given(programs("scalar", operations=sorted(ROWS)))
def test_every_element_of_an_array_is_computed_as_a_value_is(figure, program):
    v = program(*leaves_of(program))
    t = program(*(Tensor(np.full(LANES, x)) for x in program.inputs))
    worst = np.max(np.abs(t.data - v.data))
    limit = two_ulp_each(v, 1.0)
    figure("difference of Value and an element of a Tensor / 2 ulp an operation", worst and worst / limit, 1)
    assert worst <= limit


def number_calls():
    """Return {label: a function of one number}, for every operation that may be given a number."""
    found = {name: (lambda x, row=row: row(*[x] * (row.arity or 3))) for name, row in ROWS.items()}
    found |= {f"{name} with 2": (lambda x, row=row: row(x, 2.0)) for name, row in ROWS.items() if row.arity == 2}
    found |= {f"{name} of 2": (lambda x, row=row: row(2.0, x)) for name, row in ROWS.items() if row.arity == 2}
    for name, row in REGISTRY.items():
        if isinstance(row, Reduction):
            for params in [{}, {"axis": None}, {"axis": ()}, {"keepdims": True}, {"axis": 0}, {"axis": (0, 1)}]:
                text = ", ".join(f"{key}={value}" for key, value in params.items())
                found[f"{name}({text})"] = lambda x, row=row, params=params: row(*[x] * row.arity, **params)
    row, c = REGISTRY, np.ones((2, 2))
    return found | {
        "where": lambda x: ad.where(1.0, x, 2.0),
        "where not": lambda x: ad.where(0.0, x, x),
        "reshape": lambda x: ad.reshape(x, shape=(1, 1)),
        "reshape to ()": lambda x: ad.reshape(x, shape=()),
        "reshape to too many": lambda x: ad.reshape(x, shape=(2,)),
        "transpose": ad.transpose,
        "broadcast_to": lambda x: ad.broadcast_to(x, shape=(2,)),
        "sum_to": lambda x: ad.sum_to(x, shape=()),
        "cast": lambda x: ad.cast(x, dtype="float64"),
        "item": ad.item,
        "getitem ()": lambda x: row["getitem"](x, index=()),
        "getitem None": lambda x: row["getitem"](x, index=(None,)),
        "getitem 0": lambda x: row["getitem"](x, index=0),
        "scatter": lambda x: ad.scatter(x, index=(1,), shape=(2,)),
        "from_values": lambda x: row["from_values"](x, x),
        "softmax": ad.softmax,
        "softmax over nothing": lambda x: ad.softmax(x, axis=()),
        "log_softmax": ad.log_softmax,
        "log_softmax over nothing": lambda x: ad.log_softmax(x, axis=()),
        "log_softmax over all": lambda x: ad.log_softmax(x, axis=None),
        "cumsum": ad.cumsum,
        "cumsum along 1": lambda x: ad.cumsum(x, axis=1),
        "cumprod": ad.cumprod,
        "cumprod along 0": lambda x: ad.cumprod(x, axis=0),
        "matmul": lambda x: ad.matmul(x, c),
        "linear": lambda x: ad.linear(x, c, c[0]),
        "einsum": lambda x: ad.einsum(",->", x, x),
        "einsum of an axis": lambda x: ad.einsum("i->", x),
        "concatenate": lambda x: ad.concatenate([x, x]),
        "concatenate flattened": lambda x: ad.concatenate([x, x], axis=None),
        "stack": lambda x: ad.stack([x, x]),
        "split": lambda x: ad.split(x, 1),
        "ravel": ad.ravel,
        "swapaxes": lambda x: ad.swapaxes(x, 0, 0),
        "moveaxis": lambda x: ad.moveaxis(x, (), ()),
        "expand_dims": lambda x: ad.expand_dims(x, 0),
        "squeeze": ad.squeeze,
        "squeeze axis 0": lambda x: ad.squeeze(x, 0),
        "repeat": lambda x: ad.repeat(x, 2),
        "tile": lambda x: ad.tile(x, 2),
        "pad": lambda x: ad.pad(x, 1),
        "flip": ad.flip,
        "flip axis 0": lambda x: ad.flip(x, 0),
        "roll": lambda x: ad.roll(x, 1),
        "triu": ad.triu,
        "tril": ad.tril,
        "diagonal": ad.diagonal,
        "trace": ad.trace,
        "take": lambda x: ad.take(x, [0, 0]),
        "take element 1": lambda x: ad.take(x, 1),
        "sort": ad.sort,
        "sort flattened": lambda x: ad.sort(x, axis=None),
        "tensordot": lambda x: ad.tensordot(x, x, 0),
        "dot": lambda x: ad.dot(x, c),
        "inner": lambda x: ad.inner(x, x),
        "outer": lambda x: ad.outer(x, x),
        "vdot": lambda x: ad.vdot(x, x),
        "two operands too many": lambda x: ad.sin(x, x, x),
        "an unknown parameter": lambda x: ad.sum(x, axes=0),
    }


CALLS = number_calls()
each_call = pytest.mark.parametrize("label", CALLS)


def outcome(call, x):
    """Return (kind of error, None, None), or (None, the numbers computed, the gradient)."""
    try:
        with np.errstate(all="ignore"):
            y = call(x)
            if not isinstance(y, Node):
                return None, y, None
            return None, y.data, reverse(y, 1.0 if isinstance(y, Value) else np.ones(y.shape)).get(x, 0.0)
    except Exception as error:  # noqa: BLE001  # the kind of the error is what is compared
        return type(error), None, None


def slopes(label, x):
    """Return the larger of the derivatives by each of the two operands, if an operation has both of them equal to x."""
    row = ROWS.get(label)
    if row is None or len(row.domain) != 2:
        return 0.0
    a, b = Value(x), Value(x)
    return max(abs(outcome(lambda z: row(z, x), a)[2] or 0.0), abs(outcome(lambda z: row(x, z), b)[2] or 0.0))


@pytest.mark.promise(5)
@each_call
def test_a_float_and_a_0d_array_never_behave_differently(figure, label):
    """Not in the kind of error, nor in shape, nan, infinity or number; and a number computed of floats is a float."""

    @settings(max_examples=max(30, EXAMPLES // 100))
    @given(arrays((), special=True, nonfinite=True))
    def compare(x):
        call, number = CALLS[label], x.item()
        for one, other in [(number, x), (Value(number), Tensor(x))]:
            error, y, g = outcome(call, one)
            other_error, other_y, other_g = outcome(call, other)
            assert error == other_error
            if error is None:
                assert np.shape(y) == np.shape(other_y)
                assert type(g) is float or g is None
                figure("units in the last place between a float and a 0-d array", assert_within_ulps(y, other_y, 2), 2)
                if g is not None:
                    # a derivative is up to four operations of half an ulp or more each; where x is an operand twice, it
                    # is the sum of two such, which may cancel
                    with np.errstate(all="ignore"):
                        cancelled = np.nan_to_num(np.float64(slopes(label, number)) / abs(g), nan=1.0, posinf=1.0)
                    allowed = 4 * max(1.0, float(cancelled))
                    ulps = assert_within_ulps(g, other_g, allowed, label="gradient") * 4 / allowed
                    figure("units in the last place between the gradients of a float and of a 0-d array", ulps, 4)

    compare()
    if isinstance(REGISTRY.get(label.partition("(")[0].partition(" ")[0]), (Elementwise, Reduction)):
        y = outcome(CALLS[label], 2.0)[1]
        assert y is None or type(y) is float


# ---- promise 6 -----------------------------------------------------------------------------------------------------


def waves(like, phase):
    """Return numbers without symmetries, in the shape and kind of others."""
    wave = np.cos(phase + np.arange(np.size(like)))
    return float(wave[0]) if isinstance(like, float) else wave.reshape(np.shape(like))


def weighted(a, x, b, z):
    """Return a*x + b*z in the kind of x: NumPy's arithmetic makes numbers of 0-d arrays."""
    return a * x + b * z if isinstance(x, float) else np.asarray(a * x + b * z)


def row_of(parts):
    """Return numbers and arrays one after the other."""
    return np.concatenate([np.ravel(part) for part in parts])


@pytest.mark.promise(6)
@both_kinds
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_pullbacks_are_linear_repeatable_and_the_transpose_of_forward_mode(figure, kind, data):
    program = data.draw(programs(kind))
    xs = program.inputs
    y, back = ad.vjp(program, *xs)
    first, second = waves(y, 1.0), waves(y, 5.0)
    left, right = row_of(back(first)), row_of(back(second))

    def sizes():
        leaves = leaves_of(program)
        return sizes_of_terms(program(*leaves), leaves)

    both = row_of(back(weighted(2.0, first, -3.0, second)))
    terms = 2 * np.abs(left) + 3 * np.abs(right)
    upstream = np.abs(row_of([2.0 * first])) + np.abs(row_of([3.0 * second]))
    share = relative(both - (2 * left - 3 * right), terms, lambda: upstream @ sizes())
    figure(f"deviation of a pullback from linearity on random {kind} programs", share, 1e-12)
    assert share <= 1e-12

    assert not np.any(row_of(back(weighted(0.0, first, 0.0, second))))

    assert row_of(back(first)).tobytes() == left.tobytes()
    y_again, back_again = ad.vjp(program, *xs)
    assert np.asarray(y_again).tobytes() == np.asarray(y).tobytes()
    assert row_of(back_again(first)).tobytes() == left.tobytes()

    directions = [waves(x, 2.0 + i) for i, x in enumerate(xs)]
    _, tangent = ad.jvp(program, xs, directions)
    t, g = row_of(directions), row_of([first])
    along_inputs, along_output = t * left, row_of([tangent]) * g
    terms = np.sum(np.abs(along_inputs)) + np.sum(np.abs(along_output))
    difference = np.sum(along_inputs) - np.sum(along_output)
    share = relative(difference, terms, lambda: np.abs(g) @ sizes() @ np.abs(t))
    figure(f"<t, vjp(g)> - <jvp(t), g> on random {kind} programs, relative to the terms", share, 1e-12)
    assert share <= 1e-12
