"""Random programs over the whole table, for tests that compare one way of differentiating with another.

A program is a list of steps; a step applies a row to earlier results or constants. Every operand is first brought
into the row's domain by a bounded function, so that nothing overflows however long the program is.
"""

import numpy as np
from hypothesis import strategies as st

from autodiff import cumprod, einsum
from autodiff.primitive import REGISTRY

from .elementwise_cases import ROWS

SIN, EXP, ADD, MUL = (REGISTRY[name] for name in ("sin", "exp", "add", "mul"))
SHAPES = [(1,), (3,), (2, 1), (2, 3)]  # they broadcast with each other and keep a last axis

numbers = st.floats(-3, 3).map(lambda x: round(x, 6))  # without subnormal ones, whose products lose digits

STRUCTURAL = {
    "sum": lambda x: REGISTRY["sum"](x, axis=-1, keepdims=True),
    "mean": lambda x: REGISTRY["mean"](x, axis=-1, keepdims=True),
    "logsumexp": lambda x: REGISTRY["logsumexp"](x, axis=-1, keepdims=True),
    "prod": lambda x: REGISTRY["prod"](x, axis=-1, keepdims=True),
    "max": lambda x: REGISTRY["max"](x, axis=-1, keepdims=True),
    "norm": lambda x: REGISTRY["norm"](x, axis=-1, keepdims=True),
    "softmax": lambda x: REGISTRY["softmax"](x),
    "cumsum": lambda x: REGISTRY["cumsum"](x, axis=-1),
    "cumprod": lambda x: cumprod(x, axis=-1),
    "reversed": lambda x: REGISTRY["getitem"](x, index=(..., slice(None, None, -1))),
    "einsum": lambda x: einsum("...i,...i->...i", x, x),
}


def into(interval, x):
    """Bring any number into an open interval, or into [-2, 2] for the whole line."""
    low, high = interval
    if np.isinf(low) and np.isinf(high):
        return MUL(2.0, SIN(x))
    if np.isinf(high):
        return ADD(low, EXP(SIN(x)))
    return ADD((low + high) / 2, MUL(0.4 * (high - low), SIN(x)))


def run(program, inputs):
    """Return the last result of a program; inputs may be floats, arrays or nodes."""
    results = list(inputs)
    for name, refs in program:
        operands = [results[ref] if isinstance(ref, int) else ref for ref in refs]
        if name in STRUCTURAL and name not in ROWS:
            results.append(STRUCTURAL[name](into((-np.inf, np.inf), operands[0])))
            continue
        row = ROWS[name]
        domain = row.domain * len(operands) if row.arity is None else row.domain
        results.append(row(*[into(interval, x) for interval, x in zip(domain, operands, strict=True)]))
    return results[-1]


@st.composite
def programs(draw, inputs, max_steps, structural=True):
    """Draw a program on so many inputs whose last step depends on a drawn one."""
    steps = []
    names = [*ROWS, *(STRUCTURAL if structural else ())]
    for i in range(draw(st.integers(1, max_steps))):
        name = draw(st.sampled_from(names))
        arity = 1 if name not in ROWS else ROWS[name].arity or 3
        # recent results are likelier, so that programs are deep as well as wide
        reference = st.integers(0, inputs + i - 1) | st.just(inputs + i - 1)
        refs = [draw(reference | numbers) for _ in range(arity)]
        refs[0] = draw(reference)
        steps.append((name, tuple(refs)))
    return steps


def arrays(draw, count):
    """Draw so many arrays of mutually broadcastable shapes."""
    found = []
    for _ in range(count):
        shape = draw(st.sampled_from(SHAPES))
        found.append(np.array(draw(st.lists(numbers, min_size=6, max_size=6)))[: int(np.prod(shape))].reshape(shape))
    return found
