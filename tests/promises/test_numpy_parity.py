"""Promise 10: value, shape, dtype and kind of error are NumPy's for every operation, axis, keepdims and shape.

The calls stand in parity_table.py. Each is made four times and compared with NumPy on plain arrays: our function on
arrays, on Tensors, on one Tensor among arrays, and NumPy's own function on Tensors.
"""

import itertools
import warnings

import numpy as np
import pytest

from autodiff import Node, ShapeError, Tensor, Value
from autodiff.functions import __all__ as composites
from autodiff.primitive import REGISTRY

from .parity_table import BY_NAME, asked, operands_of, outcome

pytestmark = pytest.mark.promise(10)


def kinds(error):
    """Return the built-in classes of an exception: for an AxisError of NumPy's both ValueError and IndexError."""
    wide = (Exception, BaseException, object)
    return [kind for kind in type(error).__mro__ if kind.__module__ == "builtins" and kind not in wide]


def plain(y):
    return [plain(part) for part in y] if isinstance(y, (list, tuple)) else y.data if isinstance(y, Node) else y


def differs(got, expected, tolerance):
    """Return what is wrong, or None. The tolerance is relative to the larger of 1 and the value."""
    if isinstance(expected, Exception):
        if isinstance(got, Exception) and all(isinstance(got, kind) for kind in kinds(expected)):
            return None
        return "another kind of error" if isinstance(got, Exception) else "no error"
    if isinstance(got, Exception):
        return "an error"
    if isinstance(expected, (list, tuple)):
        if not isinstance(got, list) or len(got) != len(expected):
            return "another number of parts"
        return next((what for pair in zip(got, expected, strict=True) if (what := differs(*pair, tolerance))), None)
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        return "another shape"
    if got.dtype != expected.dtype:
        return "another dtype"
    if got.tobytes() == expected.tobytes():
        return None
    if tolerance:
        same = np.abs(got - expected) <= tolerance * np.maximum(np.abs(expected), 1)
    else:  # bits, but that a nan may carry any sign
        same = (got == expected) & (np.signbit(got) == np.signbit(expected))
    return None if np.all(same | (np.isnan(got) & np.isnan(expected))) else "another value"


def ways(entry, xs, number):
    """Yield (description, function, operands) for each way to make a call that is compared with NumPy."""
    tensors = [Tensor(x) for x in xs]
    yield "arrays", entry.ours, xs
    yield "Tensors", entry.ours, tensors
    if len(xs) > 1:
        i = number % len(xs)
        yield f"arrays, operand {i} a Tensor", entry.ours, [*xs[:i], tensors[i], *xs[i + 1 :]]
    if entry.takes_tensors:
        yield "NumPy's function on Tensors", entry.numpys, tensors


def compare(entry, dtypes):
    """Yield, for every way of every call, what differs from NumPy (None if nothing does)."""
    tolerance = entry.ulps * max(np.finfo(dtype).eps for dtype in dtypes)
    for number, call in enumerate(asked(entry, dtypes)):
        xs = operands_of(entry, call, dtypes)
        expected = outcome(entry.numpys, xs, call)
        for way, f, operands in ways(entry, xs, number):
            got = outcome(f, operands, call)
            what = differs(plain(got), expected, tolerance)
            if what is None and "Tensor" in way and not isinstance(got, Exception):
                parts = got if isinstance(got, list) else [got]
                what = None if all(isinstance(part, (Tensor, Value)) for part in parts) else "not recorded"
            yield what and f"{entry.name}({call}), {way}: {what}: {got!r}, NumPy {expected!r}"


@pytest.mark.parametrize(
    ("got", "expected", "what"),
    [
        (np.zeros((1, 2)), np.zeros(2), "another shape"),
        (np.zeros(2), np.zeros(2, np.float32), "another dtype"),
        (np.array([1.0, 2.0]), np.array([1.0, np.nextafter(2.0, 3.0)]), "another value"),
        (np.array([0.0]), np.array([-0.0]), "another value"),
        (np.array([np.nan, 0.0]), np.array([0.0, np.nan]), "another value"),
        ([np.zeros(2)], [np.zeros(2), np.zeros(0)], "another number of parts"),
        ([np.zeros(2), np.zeros(1)], [np.zeros(2), np.zeros(0)], "another shape"),
        (np.zeros(2), ValueError(), "no error"),
        (ValueError(), np.zeros(2), "an error"),
        (TypeError(), ValueError(), "another kind of error"),
        (ValueError(), np.exceptions.AxisError("also an IndexError"), "another kind of error"),
        (IndexError(), np.exceptions.AxisError("also a ValueError"), "another kind of error"),
        (ShapeError(), ValueError(), None),
        (np.array([-np.nan, np.inf]), np.array([np.nan, np.inf]), None),
    ],
)
def test_the_comparison_sees_every_difference(got, expected, what):
    assert differs(got, expected, 0) == what


def test_every_operation_is_compared_with_numpy(figure):
    assert set(BY_NAME) == {name for name, row in REGISTRY.items() if row.built_in} | set(composites)
    comparisons = sum(
        (2 + (len(call.shapes) > 1) + entry.takes_tensors)
        for entry in itertools.chain(*BY_NAME.values())
        for dtypes in entry.dtypes
        for call in asked(entry, dtypes)
    )
    figure(f"comparisons with NumPy: {comparisons:,}")
    assert comparisons > 1_500_000


@pytest.mark.parametrize("name", BY_NAME)
def test_value_shape_dtype_and_kind_of_error_are_those_of_numpy(name):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's "Mean of empty slice" and its like
        results = [found for entry in BY_NAME[name] for dtypes in entry.dtypes for found in compare(entry, dtypes)]
    different = [found for found in results if found]
    assert results
    assert not different, f"{len(different)} of {len(results)} differ, the first: " + "\n".join(different[:5])
