"""Hypothesis strategies for testing gradients: operands, arrays, shapes, and whole random programs.

A program that makes a test fail is reported as a script that runs by itself.

>>> from hypothesis import given
>>> import autodiff as ad
>>> @given(programs("tensor", max_nodes=10))
... def test_tensors_hold_the_numbers_that_arrays_hold(program):
...     assert np.all(program(*map(ad.Tensor, program.inputs)).data == program(*program.inputs))
>>> test_tensors_hold_the_numbers_that_arrays_hold()
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ..primitive import Elementwise, Primitive
from .assembly import CLEARANCE, SHAPES, Builder, Pick, UnfitError, interior, known_operations
from .programs import Program

try:
    from hypothesis import note, reject
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as numpy_strategies
except ImportError as error:
    raise ImportError(
        "autodiff.testing.strategies needs Hypothesis; pip install 'autodiff-nn[test]', or pip install hypothesis"
    ) from error

__all__ = ["arrays", "broadcastable_shapes", "floats_for", "programs"]

Shape = tuple[int, ...]
LEFT_OUT, END = "left out", "the end"  # picked among the operations, the end once in thirty


def _numbers(low: float = -3.0, high: float = 3.0) -> st.SearchStrategy[float]:
    """Numbers with few digits, which read well; none is subnormal, for products of those lose digits."""
    return st.floats(low, high, allow_subnormal=False).map(lambda x: min(max(round(x, 6), low), high) + 0.0)


def floats_for(
    primitive: Primitive, *, largest: float = 20.0, operands: int = 3
) -> st.SearchStrategy[tuple[float, ...]]:
    """Floats at which an elementwise operation is smooth, as a tuple with one for each operand.

    They lie inside its domain, at least 0.1 from the ends (or an eighth of it), and clear of its kinks by 0.05.

    Args:
        primitive: an operation with a domain, as ``autodiff.log`` or one of your own from ``autodiff.elementwise``.
        largest: the largest distance from 0, or from the end of a domain that has only one.
        operands: how many operands to draw for an operation that takes any number.

    Raises TypeError for an operation that is not elementwise.

    >>> import autodiff as ad
    >>> from hypothesis import given
    >>> @given(floats_for(ad.log))
    ... def test_exp_undoes_log(xs):
    ...     assert abs(ad.exp(ad.log(xs[0])) - xs[0]) < 1e-14 * xs[0]
    >>> test_exp_undoes_log()
    """
    if not isinstance(primitive, Elementwise):
        raise TypeError(f"floats_for needs an elementwise operation, which has a domain; got {primitive!r}")
    domain = primitive.domain * operands if primitive.arity is None else primitive.domain
    kinks = primitive.kinks
    drawn = st.tuples(*(_numbers(*interior(interval, largest)) for interval in domain))
    return drawn if kinks is None else drawn.filter(lambda xs: bool(abs(kinks(*xs)) >= CLEARANCE))


def broadcastable_shapes(
    count: int, *, min_side: int = 0, max_side: int = 3, max_dims: int = 3
) -> st.SearchStrategy[tuple[Shape, ...]]:
    """A tuple of so many shapes that broadcast with each other.

    Args:
        count: how many shapes.
        min_side: the shortest axis; 0 makes arrays without elements possible.
        max_side: the longest axis.
        max_dims: the most axes of one shape.

    >>> from hypothesis import given
    >>> @given(broadcastable_shapes(2))
    ... def test_arrays_add_up(shapes):
    ...     assert np.add(*map(np.ones, shapes)).shape == np.broadcast_shapes(*shapes)
    >>> test_arrays_add_up()
    """
    shapes = numpy_strategies.mutually_broadcastable_shapes(
        num_shapes=count, min_side=min_side, max_side=max_side, max_dims=max_dims
    )
    return shapes.map(lambda found: found.input_shapes)


def arrays(
    shape: Shape | st.SearchStrategy[Shape] | None = None,
    *,
    special: bool = False,
    nonfinite: bool = False,
    dtype: Any = np.float64,
) -> st.SearchStrategy[np.ndarray]:
    """Floating arrays that often have equal elements, as maxima and sorting must survive.

    Args:
        shape: one shape, or a strategy of shapes; by default up to three axes of length 0 to 3.
        special: mixes in 0, -0, and the smallest and largest numbers, subnormal ones too, of either sign.
        nonfinite: mixes in infinities and nan.
        dtype: a floating dtype.

    >>> import autodiff as ad
    >>> from hypothesis import given
    >>> @given(arrays((3,), special=True))
    ... def test_the_gradient_of_max_adds_up_to_1(x):
    ...     assert np.isclose(np.sum(ad.grad(ad.max)(x)), 1.0)
    >>> test_the_gradient_of_max_adds_up_to_1()
    """
    limits = np.finfo(dtype)
    extremes = [0.0, *(float(x) for x in (limits.smallest_subnormal, limits.tiny, limits.eps, limits.max))]
    elements = st.integers(-2, 2).map(float) | _numbers().map(lambda x: float(limits.dtype.type(x)))
    if special:
        elements |= st.sampled_from([*extremes, *(-x for x in extremes)])
    if nonfinite:
        elements |= st.sampled_from([math.inf, -math.inf, math.nan])
    if shape is None:
        shape = numpy_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    return numpy_strategies.arrays(limits.dtype, shape, elements=elements)


def programs(
    kind: Literal["scalar", "tensor"] = "scalar",
    max_nodes: int = 40,
    *,
    inputs: int | Sequence[Shape] | None = None,
    operations: Sequence[str] | None = None,
) -> st.SearchStrategy[Program]:
    """Random expression programs over the whole registry, your own elementwise operations and reductions included.

    Results are used several times, also as both operands of one operation; operands broadcast; constants stand on
    either side. At its own inputs a program stays inside every domain, clear of every kink, and far from overflow. It
    shrinks to few steps on small numbers, and a failing one is reported as a script.

    Args:
        kind: "scalar" for programs of floats and Values, "tensor" for programs of arrays and Tensors.
        max_nodes: the most steps of a program.
        inputs: how many, by default one to three; or for tensors their shapes.
        operations: only these, by name; by default all.

    Raises ValueError for another kind, operations that programs of it cannot use, shapes of scalars, no node or input.

    >>> import autodiff as ad
    >>> from hypothesis import given
    >>> @given(programs("scalar", max_nodes=5, inputs=2))
    ... def test_one_step_of_forward_mode_is_one_entry_of_reverse_mode(program):
    ...     _, tangent = ad.jvp(program, program.inputs, (1.0, 0.0))
    ...     assert np.isclose(tangent, ad.grad(program)(*program.inputs))
    >>> test_one_step_of_forward_mode_is_one_entry_of_reverse_mode()
    """
    if kind not in ("scalar", "tensor"):
        raise ValueError(f'kind must be "scalar" or "tensor", got {kind!r}')
    if kind == "scalar" and not (inputs is None or isinstance(inputs, int)):
        raise ValueError(f"programs of scalars have inputs without shapes: give their number, not {inputs!r}")
    known = known_operations(kind == "scalar")
    chosen = known if operations is None else list(operations)
    if not chosen or not set(chosen) <= set(known):
        raise ValueError(f"random {kind} programs have no use for {sorted(set(chosen) - set(known))}")
    if max_nodes < 1 or (inputs is not None and not inputs):
        raise ValueError(f"a program needs a node and an input, got max_nodes={max_nodes} and inputs={inputs}")
    return _programs(kind == "scalar", max_nodes, inputs, chosen)


@st.composite
def _programs(
    draw: st.DrawFn, scalar: bool, max_nodes: int, inputs: int | Sequence[Shape] | None, operations: Sequence[str]
) -> Program:
    if inputs is None:
        inputs = draw(st.integers(1, 3))
    if scalar:
        assert isinstance(inputs, int)  # programs() has looked
        values: list[Any] = [draw(_numbers()) for _ in range(inputs)]
    else:
        shapes = [draw(st.sampled_from(SHAPES)) for _ in range(inputs)] if isinstance(inputs, int) else inputs
        values = [draw(numpy_strategies.arrays(np.float64, shape, elements=_numbers())) for shape in shapes]
    builder = Builder(values, _pick_by(draw))
    several = [*operations] * math.ceil(30 / len(operations))
    options = [LEFT_OUT, *[END] * (len(several) // 30), *several]
    one_more = _operation(builder, options, max_nodes)
    for _ in range(10 * max_nodes):  # while it shrinks, most are left out
        if len(builder.steps) == max_nodes or not draw(one_more):
            break
    if not builder.steps:
        draw(_operation(builder, operations, max_nodes))
    try:
        program = builder.program()
    except UnfitError:
        reject()
    note(str(program))
    return program


@st.composite
def _operation(draw: st.DrawFn, builder: Builder, options: Sequence[str], max_nodes: int) -> bool:
    """One more operation, or none; False at the end of the program.

    A strategy of its own, because shrinking tries to make all choices of one strategy zero: that leaves the operation
    out, and what follows keeps its meaning.
    """
    builder.pick = _pick_by(draw)
    name: str = builder.pick(options)
    if name not in (LEFT_OUT, END):
        builder.grow(name, max_nodes)
    return name != END


def _pick_by(draw: st.DrawFn) -> Pick:
    """One choice for one pick, also from a single option: so shrinking an operation shifts the meaning of no other."""
    return lambda options: options[draw(_below(max(len(options), 2))) % len(options)]


@functools.lru_cache
def _below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)
