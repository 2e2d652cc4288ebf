"""Programs as data: they run on every kind of number, and print as Python that does the same."""

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings

import autodiff as ad
from autodiff import Tensor, Value
from autodiff.testing.assembly import SHAPES, Builder, known_operations
from autodiff.testing.programs import Program, Step
from autodiff.testing.strategies import programs

LECTURE = Program((2.0, 1.0), (Step("add", (0, 1)), Step("add", (1, 1.0)), Step("mul", (2, 3))))
WITH_ARRAYS = Program(
    (np.array([[0.1, -0.2, 1 / 3]]), np.array(2.0)),
    (
        Step("mul", (0, np.array([[1.0], [2.5]]))),
        Step("getitem", (2,), {"index": (slice(None, None, -1), (0, 2, 0))}),
        Step("where", (np.array([True, False, True]), 3, 1)),
        Step("concatenate", (4, 2), {"axis": -1}),
        Step("einsum", (5, 5), {"subscripts": "ij,kj->ik"}),
    ),
)


def run(script):
    """Return the variables that a printed script leaves behind."""
    names = {}
    exec(script, names)  # noqa: S102  # the printed script is what is tested
    return names


def bits(x):
    """Return the bytes of a number or an array; None of None."""
    return x if x is None else np.asarray(x).tobytes()


def assert_script_gives_the_same_bits(program):
    leaves = [Tensor(x) if isinstance(x, np.ndarray) else Value(x) for x in program.inputs]
    y = program(*leaves)
    y.backward(np.ones(y.shape))
    names = run(program.source())
    last = names[f"x{len(leaves) + len(program.steps) - 1}"]
    assert type(last) is type(y)
    assert bits(last.data) == bits(y.data)
    for i, leaf in enumerate(leaves):
        assert bits(names[f"x{i}"].grad) == bits(leaf.grad)


# ---- running -------------------------------------------------------------------------------------------------------


def test_a_program_runs_on_floats_arrays_values_and_tensors():
    assert LECTURE(2.0, 1.0) == 6.0
    assert LECTURE(Value(2.0), Value(1.0)).data == 6.0
    assert LECTURE(np.array([2.0, 0.0]), np.array([1.0, 1.0])).tolist() == [6.0, 2.0]
    assert LECTURE(Tensor([2.0, 0.0]), 1.0).data.tolist() == [6.0, 2.0]


def test_the_results_are_the_inputs_and_then_one_for_every_step():
    assert LECTURE.results(2.0, 1.0) == [2.0, 1.0, 3.0, 2.0, 6.0]


def test_a_program_is_a_function_to_every_transform():
    assert ad.grad(LECTURE, (0, 1))(2.0, 1.0) == (2.0, 5.0)
    assert ad.jvp(LECTURE, (2.0, 1.0), (0.0, 1.0)) == (6.0, 5.0)
    x, factor = WITH_ARRAYS.inputs
    assert ad.jacobian(WITH_ARRAYS)(x, factor).shape == (2, 2, 1, 3)


def test_another_number_of_inputs_is_refused():
    with pytest.raises(TypeError, match="the program has 2 inputs, got 1"):
        LECTURE(2.0)


# ---- printing ------------------------------------------------------------------------------------------------------


def test_a_program_prints_with_its_own_inputs_or_with_others():
    assert str(LECTURE) == LECTURE.source()
    assert LECTURE.source(0.5, np.array([1.0, -2.0])).splitlines()[3:5] == [
        "x0 = ad.Value(0.5)",
        "x1 = ad.Tensor(np.array([1.0, -2.0]))",
    ]


def test_metadata_and_constants_print_as_python():
    assert WITH_ARRAYS.source().splitlines()[3:] == [
        "x0 = ad.Tensor(np.array([[0.1, -0.2, 0.3333333333333333]]))",
        "x1 = ad.Tensor(np.array(2.0))",
        "x2 = ad.mul(x0, np.array([[1.0], [2.5]]))",
        "x3 = ad.getitem(x2, index=(slice(None, None, -1), (0, 2, 0)))",
        "x4 = ad.where(np.array([True, False, True]), x3, x1)",
        "x5 = ad.concatenate([x4, x2], axis=-1)",
        "x6 = ad.einsum('ij,kj->ik', x5, x5)",
        "x6.backward(np.ones(x6.shape))",
        "print(x6.data, x0.grad, x1.grad)",
    ]


@pytest.mark.parametrize("kind", ["scalar", "tensor"])
def test_the_printed_script_gives_the_same_bits(kind):
    @settings(max_examples=200)
    @given(programs(kind))
    def compare(program):
        assert_script_gives_the_same_bits(program)

    compare()


@pytest.mark.parametrize("name", known_operations(scalar=False))
def test_every_operation_prints_as_a_script_that_gives_the_same_bits(name):
    """Programs of one operation, so that each is met with many of its metadata."""
    choices, rng, printed = random.Random(5), np.random.default_rng(5), 0
    for _ in range(20):
        inputs = [np.round(rng.uniform(-3, 3, shape), 3) for shape in choices.sample(SHAPES, 2)]
        builder = Builder(inputs, choices.choice)
        for _ in range(3):
            builder.grow(name, 12)
        if builder.steps:
            program = builder.program()
            assert name in {step.name for step in program.steps}
            assert_script_gives_the_same_bits(program)
            printed += 1
    assert printed >= 3


@pytest.mark.parametrize("program", [LECTURE, WITH_ARRAYS], ids=["scalar", "tensor"])
def test_the_printed_script_runs_by_itself_and_shows_value_and_gradients(program):
    out = subprocess.run([sys.executable, "-c", program.source()], check=True, capture_output=True, text=True)
    names = run(program.source())
    grads = " ".join(str(names[f"x{i}"].grad) for i in range(2))
    assert out.stdout.strip() == f"{program(*program.inputs)} {grads}"
    if program is LECTURE:
        assert out.stdout == "6.0 2.0 5.0\n"


def test_numbers_without_a_literal_print_all_the_same():
    program = Program(
        (float("inf"), -0.0), (Step("mul", (0, float("-inf"))), Step("add", (2, np.array([np.nan, 1.0]))))
    )
    assert_script_gives_the_same_bits(program)
    assert np.signbit(run(program.source())["x1"].data)


def test_an_operation_of_ones_own_prints_by_its_place_in_the_registry():
    ad.elementwise("cube_for_test", lambda x: x**3, None, lambda y, x: 3 * ad.square(x))
    program = Program((2.0,), (Step("cube_for_test", (0,)),))
    assert "x1 = ad.primitive.REGISTRY['cube_for_test'](x0)" in program.source()
    assert_script_gives_the_same_bits(program)


@pytest.mark.parametrize("program", [LECTURE, WITH_ARRAYS], ids=["scalar", "tensor"])
def test_the_repr_of_a_program_is_the_program_again(program):
    again = eval(repr(program))  # noqa: S307  # that it can be pasted into @example(...) is what is tested
    assert again.source() == program.source()


def test_hypothesis_reports_a_failing_program_as_a_script_and_as_an_example_to_paste():
    @settings(max_examples=200, database=None, derandomize=True)
    @given(programs("tensor", max_nodes=10, inputs=[(3,)], operations=["exp", "mul", "tanh"]))
    def fails(program):
        assert not any(step.name == "tanh" for step in program.steps)

    with pytest.raises(AssertionError) as caught:
        fails()
    script, example = caught.value.__notes__[0], "\n".join(caught.value.__notes__[1:])
    assert run(script)["x1"].op.name == "tanh"
    assert "Program((np.array([0.0, 0.0, 0.0]),), (Step('tanh', (0,)),))" in example


# ---- kinks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "x", "expected"),
    [
        (Step("sin", (0,)), 0.0, np.inf),
        (Step("relu", (0,)), -0.25, 0.25),
        (Step("maximum", (0, 1.0)), 0.5, 0.5),
        (Step("leaky_relu", (0,), {"negative_slope": 0.5}), np.array([0.5, -0.125]), 0.125),
        (Step("floor", (0,)), np.array([0.5, 2.875]), 0.125),
        (Step("max", (0,), {"axis": None}), np.array([[1.0, 3.0], [2.5, 0.0]]), 0.5),
        (Step("max", (0,), {"axis": 0, "keepdims": True}), np.array([[1.0, 3.0], [2.5, 0.0]]), 1.5),
        (Step("min", (0,), {"axis": (0, 1)}), np.array([[1.0, 3.0], [2.5, 0.25]]), 0.75),
        (Step("max", (0,), {"axis": ()}), np.array([1.0, 1.0]), np.inf),
        (Step("max", (0,)), np.array([1.0, 1.0]), 0.0),
        (Step("sort", (0,)), np.array([[1.0, 0.0, 3.0], [2.0, 2.25, 9.0]]), 0.25),
        (Step("sort", (0,), {"axis": None}), np.array([[1.0, 0.0], [0.75, 9.0]]), 0.25),
        (Step("norm", (0,)), np.array([3.0, 4.0]), 5.0),
        (Step("std", (0,)), np.array([1.0, 3.0]), 1.0),
        (Step("pad", (0,), {"pad_width": 1}), np.array([1.0, 3.0]), np.inf),
    ],
    ids=str,
)
def test_a_step_says_how_far_it_is_from_a_kink(step, x, expected):
    program = Program((x,), (step,))
    assert program.clearance() == expected
    assert program.clearance(Tensor(x) if isinstance(x, np.ndarray) else Value(x)) == expected


def test_a_program_is_as_near_to_a_kink_as_its_nearest_step():
    program = Program((0.5,), (Step("relu", (0,)), Step("sub", (1, 0.375)), Step("abs", (2,))))
    assert program.clearance() == 0.125
    assert program.clearance(0.375) == 0.0
    assert Program((0.5,), (Step("exp", (0,)),)).clearance() == np.inf
