"""The public Hypothesis strategies: what they promise to stay clear of, what they are sure to meet, how they shrink."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import autodiff as ad
from autodiff import Tensor, Value
from autodiff.backward import reverse
from autodiff.forward import tangents
from autodiff.primitive import REGISTRY, Elementwise
from autodiff.testing.assembly import SHAPES, Builder, UnfitError, known_operations
from autodiff.testing.strategies import arrays, broadcastable_shapes, floats_for, programs

ROWS = {name: row for name, row in REGISTRY.items() if isinstance(row, Elementwise)}
# Without the phase that explains an example by varying it: `find` would return the last variation
SHRINKING = [phase for phase in settings.default.phases if phase is not Phase.explain]
searching = settings(max_examples=3000, derandomize=True, database=None, phases=SHRINKING)
quick = settings(searching, phases=[Phase.generate])  # without shrinking, which takes long for a large program
both_kinds = pytest.mark.parametrize("kind", ["scalar", "tensor"])


def found(strategy, condition):
    """Return the simplest example that Hypothesis finds."""
    return find(strategy, condition, settings=searching)


# ---- operands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_operands_lie_inside_the_domain_and_clear_of_the_kinks(name):
    row = ROWS[name]

    @settings(max_examples=50)
    @given(floats_for(row))
    def check(xs):
        assert isinstance(xs, tuple)
        assert len(xs) == (row.arity or 3)
        for x, (low, high) in zip(xs, row.domain if row.arity else row.domain * 3, strict=True):
            margin = min(0.1, (high - low) / 8)
            assert type(x) is float
            assert max(low + margin, -20.0) <= x <= min(high - margin, low + 20.0 if np.isfinite(low) else 20.0)
        assert row.kinks is None or abs(row.kinks(*xs)) >= 0.05
        leaves = [Value(x) for x in xs]
        y = row(*leaves)
        assert np.isfinite([y.data, *(g for node, g in reverse(y, 1.0).items() if node in leaves)]).all()

    check()


def test_operands_of_ones_own_operation_keep_to_its_domain():
    half = ad.elementwise(
        "half_line_for_test", lambda x: x, lambda x: x, 1.0, domain=[(-np.inf, 1.0)], kinks=lambda x: x + 1
    )
    assert found(floats_for(half, largest=5.0), lambda xs: xs[0] < -3.5)[0] >= -4.0
    with pytest.raises(NoSuchExample):
        found(floats_for(half), lambda xs: xs[0] > 0.9 or abs(xs[0] + 1) < 0.05)


def test_a_domain_narrower_than_the_margin_is_drawn_from_all_the_same():
    narrow = ad.elementwise("narrow_for_test", lambda x: x, lambda x: x, 1.0, domain=[(0.0, 0.08)])
    assert 0.01 <= found(floats_for(narrow), lambda xs: xs[0] > 0.04)[0] <= 0.07


def test_the_number_of_operands_can_be_chosen_where_any_will_do():
    assert len(found(floats_for(ad.weighted_sum, operands=5), lambda xs: True)) == 5


def test_only_elementwise_operations_have_a_domain_to_draw_from():
    with pytest.raises(TypeError, match="needs an elementwise operation"):
        floats_for(ad.sum)


# ---- shapes and arrays ---------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.integers(1, 4).flatmap(lambda n: st.tuples(st.just(n), broadcastable_shapes(n))))
def test_shapes_broadcast_with_each_other(case):
    count, shapes = case
    assert len(shapes) == count
    np.broadcast_shapes(*shapes)
    assert all(0 <= side <= 3 for shape in shapes for side in shape)
    assert all(len(shape) <= 3 for shape in shapes)


@pytest.mark.parametrize(
    "condition",
    [
        lambda a, b: 0 in a and b == (),
        lambda a, b: 3 in a and 1 in b,
        lambda a, b: len(a) == 3 and len(b) == 1,
        lambda a, b: a == (1, 2),
        lambda a, b: len(a) == len(b) == 2 and 1 in a and 1 in b and a != b,
    ],
)
def test_all_ways_of_broadcasting_are_met(condition):
    assert condition(*found(broadcastable_shapes(2), lambda shapes: condition(*shapes)))


def test_sides_and_axes_can_be_limited():
    @settings(max_examples=50)
    @given(broadcastable_shapes(2, min_side=1, max_side=2, max_dims=2))
    def check(shapes):
        assert all(len(shape) <= 2 and set(shape) <= {1, 2} for shape in shapes)

    check()


@settings(max_examples=100)
@given(arrays())
def test_arrays_hold_moderate_numbers_unless_asked_otherwise(x):
    assert x.dtype == np.float64
    assert x.ndim <= 3
    assert np.all(np.isfinite(x))
    assert np.all(np.abs(x) <= 3)


SPECIAL = {
    "minus zero": lambda x: x == 0 and np.signbit(x),
    "a subnormal": lambda x: 0 < abs(x) < np.finfo(np.float64).tiny,
    "the largest": lambda x: x == np.finfo(np.float64).max,
    "the largest, negative": lambda x: x == -np.finfo(np.float64).max,
}
NONFINITE = {"inf": np.isposinf, "-inf": np.isneginf, "nan": np.isnan}


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_numbers_are_met_on_demand(kind):
    assert SPECIAL[kind](found(arrays((2,), special=True), lambda x: SPECIAL[kind](x[1]))[1])


@pytest.mark.parametrize("kind", NONFINITE)
def test_infinities_and_nan_are_met_on_demand(kind):
    assert NONFINITE[kind](found(arrays((), nonfinite=True), lambda x: NONFINITE[kind](x)))


@settings(max_examples=100)
@given(arrays(special=True))
def test_special_numbers_are_finite(x):
    assert np.all(np.isfinite(x))


def test_equal_elements_are_common():
    counts = []

    @settings(max_examples=100, derandomize=True, database=None)
    @given(arrays((3,)))
    def count(x):
        counts.append(len(set(x.tolist())) < 3)

    count()
    assert sum(counts) >= 20


def test_the_dtype_and_the_shape_can_be_chosen():
    x = found(
        arrays(st.sampled_from([(2,), (2, 2)]), special=True, dtype=np.float32), lambda x: x.ndim == 2 and x.any()
    )
    assert x.dtype == np.float32
    assert x.shape == (2, 2)


# ---- programs ------------------------------------------------------------------------------------------------------


@both_kinds
def test_a_program_stays_inside_every_domain_clear_of_kinks_and_far_from_overflow(kind, figure):
    @settings(max_examples=200)
    @given(programs(kind))
    def check(program):
        with np.errstate(all="raise", under="ignore"):  # nan, infinity and division by zero raise
            results = program.results(*program.inputs)
        assert 1 <= len(program.steps) <= 40
        assert program.clearance() >= 0.05
        largest = max(np.max(np.abs(y)) for y in results)
        figure(f"largest number in a random {kind} program", float(largest), 1e7)
        assert largest <= 1e7
        for y in results:
            assert kind == "tensor" or type(y) is float
            assert 0 < np.size(y) <= 24

    check()


@both_kinds
def test_every_step_is_needed_and_uses_an_earlier_result(kind):
    @settings(max_examples=100)
    @given(programs(kind))
    def check(program):
        first = len(program.inputs)
        used = {x for step in program.steps for x in step.operands if type(x) is int}
        assert set(range(first, first + len(program.steps) - 1)) <= used
        for i, step in enumerate(program.steps, first):
            references = [x for x in step.operands if type(x) is int]
            assert references
            assert max(references) < i

    check()


def references(step):
    return [x for x in step.operands if type(x) is int]


def is_number(x):
    return type(x) is float


TRAITS = {
    "a node used by several": lambda p: any(
        sum(i in references(step) for step in p.steps) > 1 for i in range(len(p.inputs), len(p.inputs) + len(p.steps))
    ),
    "both operands the same": lambda p: any(len(references(s)) > len(set(references(s))) for s in p.steps),
    "a constant on the left": lambda p: any(s.name == "sub" and is_number(s.operands[0]) for s in p.steps),
    "a constant on the right": lambda p: any(s.name == "sub" and is_number(s.operands[1]) for s in p.steps),
    "an input that is not used": lambda p: any(all(i not in s.operands for s in p.steps) for i in range(len(p.inputs))),
    "thirty steps": lambda p: len(p.steps) >= 30,
}
TENSOR_TRAITS = TRAITS | {
    "an array as a constant": lambda p: any(isinstance(x, np.ndarray) for s in p.steps for x in s.operands),
    "both operands stretched": lambda p: any(
        s.name in ROWS and np.shape(y) not in {np.shape(p.results(*p.inputs)[x]) for x in references(s)}
        for s, y in zip(p.steps, p.results(*p.inputs)[len(p.inputs) :], strict=True)
    ),
    "a mask as an index": lambda p: any("True" in str(s.params.get("index")) for s in p.steps),
    "several axes": lambda p: any(isinstance(s.params.get("axis"), tuple) and s.params["axis"] for s in p.steps),
}


@pytest.mark.parametrize(
    ("kind", "trait"), [*(("scalar", trait) for trait in TRAITS), *(("tensor", trait) for trait in TENSOR_TRAITS)]
)
def test_programs_have_every_trait_that_engines_have_stumbled_over(kind, trait):
    holds = TENSOR_TRAITS[trait]
    assert holds(find(programs(kind), holds, settings=quick))


def test_the_number_of_nodes_the_inputs_and_the_operations_can_be_chosen():
    @settings(max_examples=50)
    @given(programs("tensor", max_nodes=3, inputs=[(2,), (4, 1)], operations=["mul", "sum"]))
    def check(program):
        assert [x.shape for x in program.inputs] == [(2,), (4, 1)]
        assert len(program.steps) <= 3
        assert {"mul", "sum"} & {step.name for step in program.steps}
        # what brings large operands back
        assert {step.name for step in program.steps} <= {"mul", "sum", "add", "arctan"}

    check()
    assert len(found(programs("scalar", inputs=4), lambda program: True).inputs) == 4
    large = find(programs("tensor", inputs=[(8, 1, 2, 1, 5)]), lambda program: len(program.steps) == 3, settings=quick)
    assert large.results(*large.inputs)[0].shape == (8, 1, 2, 1, 5)


def test_operations_of_ones_own_take_part():
    own = {"twice_for_test", "total_for_test"}
    ad.elementwise("twice_for_test", lambda x: 2 * x, lambda x: 2 * x, 2.0)
    ad.reduction("total_for_test", lambda x, axis=None, keepdims=False: np.sum(x, axis, keepdims=keepdims), 1.0)
    assert own <= set(known_operations(scalar=True)) & set(known_operations(scalar=False))
    program = found(programs("tensor", operations=sorted(own)), lambda p: own <= {step.name for step in p.steps})
    assert len(program.steps) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "vector"}, "kind must be"),
        ({"kind": "scalar", "inputs": [(2,)]}, "inputs without shapes"),
        ({"kind": "scalar", "operations": ["sin", "matmul"]}, r"no use for \['matmul'\]"),
        ({"kind": "tensor", "operations": ["fft"]}, r"no use for \['fft'\]"),
        ({"operations": []}, "no use for"),
        ({"max_nodes": 0}, "a program needs a node"),
        ({"inputs": 0}, "an input"),
        ({"kind": "tensor", "inputs": []}, "an input"),
    ],
)
def test_a_wrong_request_is_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        programs(**arguments)


def test_where_nothing_fits_there_is_no_program():
    builder = Builder([np.array(1.0)], lambda options: options[0])
    builder.grow("matmul", 5)
    with pytest.raises(UnfitError):
        builder.program()


def test_all_inputs_broadcast_with_each_other():
    assert np.broadcast_shapes(*SHAPES) == (2, 2, 3)


# ---- shrinking -----------------------------------------------------------------------------------------------------


def leaves_of(program):
    return [Tensor(x) if isinstance(x, np.ndarray) else Value(x) for x in program.inputs]


def differs_from_a_difference_quotient(program):
    """Whether the gradient is wrong by more than 1e-4 of it: the quotient is good to some 1e-6."""
    leaves = leaves_of(program)
    y = program(*leaves)
    grads = reverse(y, np.ones(y.shape) if y.shape else 1.0)
    for i, x in enumerate(program.inputs):
        step = 1e-5 * np.ones(np.shape(x))
        moved = [x + 1e-5, x - 1e-5] if type(x) is float else [np.asarray(x + step), np.asarray(x - step)]
        up, down = (program(*program.inputs[:i], z, *program.inputs[i + 1 :]) for z in moved)
        numeric = np.sum(np.subtract(up, down)) / 2e-5
        got = np.sum(grads.get(leaves[i], 0.0))
        if abs(got - numeric) > 1e-4 * abs(numeric) + 1e-6:
            return True
    return False


def differs_from_forward_mode(program):
    leaves = leaves_of(program)
    y = program(*leaves)
    seed = np.cos(np.arange(np.size(y.data))).reshape(y.shape) if y.shape else 1.0
    grads = reverse(y, seed)
    for leaf in leaves:
        t = np.sin(1.0 + np.arange(np.size(leaf.data))).reshape(leaf.shape) if leaf.shape else 1.0
        left, right = np.sum(grads.get(leaf, 0.0) * t), np.sum(seed * tangents([y], {leaf: t}).get(y, 0.0))
        if abs(left - right) > 1e-8 * (1 + abs(left)):
            return True
    return False


@pytest.mark.parametrize(
    ("kind", "name"),
    [("scalar", "tanh"), ("scalar", "power"), ("scalar", "arccosh"), ("tensor", "div"), ("tensor", "silu")],
)
def test_a_wrong_partial_shrinks_to_one_or_two_steps(kind, name, monkeypatch):
    row, partial = REGISTRY[name], REGISTRY[name].partials[0]
    monkeypatch.setattr(row, "partials", (lambda *args: 1.01 * partial(*args), *row.partials[1:]))
    program = found(programs(kind, max_nodes=15), differs_from_a_difference_quotient)
    assert name in {step.name for step in program.steps}
    assert len(program.steps) <= 2
    assert len(program.inputs) == 1
    assert np.all(np.isin(program.inputs[0], [0.0, 1.0]))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("cumsum", lambda g, y, x, axis=None: ad.reshape(ad.cumsum(g, axis=axis), shape=x.shape)),  # runs the wrong way
        ("reshape", lambda g, y, x, shape: 0.5 * ad.reshape(g, shape=x.shape)),
        ("softmax", lambda g, y, x, axis=-1: y * g),  # its second term dropped
        ("sort", None),
    ],
)
def test_a_wrong_pullback_shrinks_to_one_or_two_steps(name, wrong, monkeypatch):
    row = REGISTRY["getitem" if name == "sort" else name]
    wrong = wrong or (lambda g, y, x, index: ad.reshape(ad.sum(g), shape=()) + 0.0 * x)
    monkeypatch.setattr(row, "pullbacks", (wrong,))
    program = found(programs("tensor", inputs=[(3,)], operations=[name, "mul", "exp"]), differs_from_forward_mode)
    assert name in {step.name for step in program.steps}
    assert len(program.steps) <= 2


@both_kinds
def test_the_simplest_program_is_one_step_on_zero(kind):
    program = found(programs(kind, max_nodes=10), lambda program: True)
    assert len(program.steps) == 1
    assert [np.sum(np.abs(x)) for x in program.inputs] == [0.0]


# ---- without Hypothesis --------------------------------------------------------------------------------------------


def test_without_hypothesis_the_error_names_the_command_and_the_rest_works():
    code = """
import sys
sys.modules["hypothesis"] = None
import autodiff.testing
from autodiff.testing.programs import Program, Step
assert Program((2.0,), (Step("square", (0,)),))(3.0) == 9.0
try:
    import autodiff.testing.strategies
except ImportError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "pip install 'autodiff-nn[test]'" in out.stdout
