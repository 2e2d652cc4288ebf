"""The docstrings of the table: what ``help(autodiff.sin)``, ``help(Value.tanh)`` and editors show.

A row is an object, not a function, and its kernels are lambdas; so its docstring stands here, under a signature with
no body. Each one shows the call, what goes in and comes out, the convention at kinks, the errors, the source of a
formula that is not school calculus, and an example. Users' own rows bring theirs as ``doc=``.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from .node import Node
from .primitive import REGISTRY, Primitive
from .tensor import Tensor

__all__ = ["ROW_DOCS"]

ROW_DOCS: dict[str, str] = {}
"""The docstring of every built-in row by name."""

_METHODS: dict[str, list[FunctionType]] = {}  # those that come from a row and have no docstring of their own, by name
for _kind in (Node, Tensor):
    for _method in vars(_kind).values():
        if isinstance(_method, FunctionType) and _method.__doc__ is None:
            _METHODS.setdefault(_method.__name__, []).append(_method)


def _documents(signature: Callable[..., Any]) -> Primitive:
    """Give a signature's docstring to the row of its name, and to the methods that show that row's."""
    name, doc = signature.__name__, signature.__doc__ or ""  # none under python -OO
    row = REGISTRY[name]
    for method in _METHODS.get(name, ()):
        method.__doc__ = doc
    ROW_DOCS[name] = row.__doc__ = doc
    return row


# ---- choosing --------------------------------------------------------------------------------------------------------


@_documents
def where(condition: Any, a: Any, b: Any) -> Any:
    """where(condition, a, b): a where the condition holds, else b; element by element.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    The condition is boolean, or numeric and true where not 0; it has no derivative.
    The branch not taken contributes 0. If its own derivative is nan there, 0 * nan is nan all the same: guard the
    argument as well, as in ``where(x > 0, log(where(x > 0, x, 1.0)), 0.0)``.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.where([True, False], [1.0, 2.0], 0.0)
    array([1., 0.])
    """


# ---- arithmetic ------------------------------------------------------------------------------------------------------


@_documents
def add(a: Any, b: Any) -> Any:
    """add(a, b): a + b, element by element; what ``+`` calls.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.add(2.0, 3.0), autodiff.grad(autodiff.add, (0, 1))(2.0, 3.0)
    (5.0, (1.0, 1.0))
    """


@_documents
def sub(a: Any, b: Any) -> Any:
    """sub(a, b): a - b, element by element; what ``-`` calls.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.sub(2.0, 3.0), autodiff.grad(autodiff.sub, (0, 1))(2.0, 3.0)
    (-1.0, (1.0, -1.0))
    """


@_documents
def mul(a: Any, b: Any) -> Any:
    """mul(a, b): a * b, element by element; what ``*`` calls.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.mul(2.0, 3.0), autodiff.grad(autodiff.mul, (0, 1))(2.0, 3.0)
    (6.0, (3.0, 2.0))
    """


@_documents
def div(a: Any, b: Any) -> Any:
    """div(a, b): a / b, element by element; what ``/`` calls.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    Division by 0 is IEEE 754's inf or nan, for floats and Values too: nothing raises ZeroDivisionError.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.div(1.0, 4.0), autodiff.grad(autodiff.div, (0, 1))(1.0, 4.0)
    (0.25, (0.25, -0.0625))
    >>> autodiff.div(1.0, 0.0)
    inf
    """


@_documents
def neg(x: Any) -> Any:
    """neg(x): -x, element by element; what unary ``-`` calls.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.neg(2.0), autodiff.grad(autodiff.neg)(2.0)
    (-2.0, -1.0)
    """


@_documents
def power(a: Any, b: Any) -> Any:
    """power(a, b): a**b, element by element; what ``**`` calls.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    As C's pow: nan for a negative a with a fractional b, inf for 0 to a negative power. The derivative by a is b *
    a**(b - 1), exactly 0 for b = 0. The derivative by b is 0 at a = 0 with b > 0, and nan for a < 0 without spoiling
    the one by a.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.power(2.0, 3.0), autodiff.grad(autodiff.power)(2.0, 3.0)
    (8.0, 12.0)
    >>> autodiff.grad(autodiff.power, (0, 1))(-2.0, 3.0)
    (12.0, nan)
    """


@_documents
def square(x: Any) -> Any:
    """square(x): x * x, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.square(3.0), autodiff.grad(autodiff.square)(3.0)
    (9.0, 6.0)
    """


@_documents
def sqrt(x: Any) -> Any:
    """sqrt(x): the square root, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative at 0 is its limit, inf; below 0 the root is nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.sqrt(4.0), autodiff.grad(autodiff.sqrt)(4.0)
    (2.0, 0.25)
    >>> autodiff.grad(autodiff.sqrt)(0.0)
    inf
    """


@_documents
def cbrt(x: Any) -> Any:
    """cbrt(x): the real cube root, element by element, also of negative numbers.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative at 0 is its limit, inf.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.cbrt(-8.0), 6), round(autodiff.grad(autodiff.cbrt)(-8.0), 6)
    (-2.0, 0.083333)
    """


@_documents
def reciprocal(x: Any) -> Any:
    """reciprocal(x): 1 / x, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    At 0 it is inf, with derivative -inf.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.reciprocal(4.0), autodiff.grad(autodiff.reciprocal)(4.0)
    (0.25, -0.0625)
    """


@_documents
def abs(x: Any) -> Any:
    """abs(x): the absolute value, element by element; what the built-in abs and np.abs call.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative at 0, a local optimum, is 0.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.abs(-2.0), autodiff.grad(autodiff.abs)(-2.0)
    (2.0, -1.0)
    >>> autodiff.grad(autodiff.abs)(0.0)
    0.0
    """


@_documents
def hypot(a: Any, b: Any) -> Any:
    """hypot(a, b): sqrt(a**2 + b**2) without overflow, element by element.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    Both derivatives at (0, 0), a local optimum, are 0.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.hypot(3.0, 4.0), autodiff.grad(autodiff.hypot, (0, 1))(3.0, 4.0)
    (5.0, (0.6, 0.8))
    >>> autodiff.grad(autodiff.hypot)(0.0, 0.0)
    0.0
    """


@_documents
def weighted_sum(b: Any, *terms: Any) -> Any:
    """weighted_sum(b, w1, ..., wn, x1, ..., xn): b + w1*x1 + ... + wn*xn as one node: a neuron's sum.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    Raises TypeError for an even number of operands or one that is not numeric, ShapeError for shapes that do not
    broadcast.

    >>> import autodiff
    >>> autodiff.weighted_sum(1.0, 2.0, 3.0, 10.0, 100.0)  # 1 + 2*10 + 3*100
    321.0
    >>> autodiff.grad(autodiff.weighted_sum, (0, 1, 2))(1.0, 2.0, 10.0)
    (1.0, 10.0, 2.0)
    """


# ---- exponentials and logarithms -------------------------------------------------------------------------------------


@_documents
def exp(x: Any) -> Any:
    """exp(x): e to the power of x, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Too large an x gives inf.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.exp(1.0), 6), round(autodiff.grad(autodiff.exp)(1.0), 6)
    (2.718282, 2.718282)
    """


@_documents
def exp2(x: Any) -> Any:
    """exp2(x): 2 to the power of x, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Too large an x gives inf.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.exp2(3.0), 6), round(autodiff.grad(autodiff.exp2)(3.0), 6)
    (8.0, 5.545177)
    """


@_documents
def expm1(x: Any) -> Any:
    """expm1(x): exp(x) - 1, element by element, exact for small x too.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.expm1(1e-20), autodiff.grad(autodiff.expm1)(0.0)
    (1e-20, 1.0)
    """


@_documents
def log(x: Any) -> Any:
    """log(x): the natural logarithm, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    At 0 it is -inf and its derivative the limit inf; below 0 it is nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.log(2.0), 6), round(autodiff.grad(autodiff.log)(2.0), 6)
    (0.693147, 0.5)
    """


@_documents
def log2(x: Any) -> Any:
    """log2(x): the logarithm to base 2, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    At 0 it is -inf and its derivative the limit inf; below 0 it is nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.log2(8.0), 6), round(autodiff.grad(autodiff.log2)(8.0), 6)
    (3.0, 0.180337)
    """


@_documents
def log10(x: Any) -> Any:
    """log10(x): the logarithm to base 10, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    At 0 it is -inf and its derivative the limit inf; below 0 it is nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.log10(100.0), 6), round(autodiff.grad(autodiff.log10)(100.0), 6)
    (2.0, 0.004343)
    """


@_documents
def log1p(x: Any) -> Any:
    """log1p(x): log(1 + x), element by element, exact for small x too.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    At -1 it is -inf and its derivative the limit inf; below it is nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.log1p(1e-20), autodiff.grad(autodiff.log1p)(1.0)
    (1e-20, 0.5)
    """


@_documents
def logaddexp(a: Any, b: Any) -> Any:
    """logaddexp(a, b): log(exp(a) + exp(b)) without overflow, element by element.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    The derivative by a is sigmoid(a - b); where both are -inf it is 0.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.logaddexp(1000.0, 1000.0), 6), autodiff.grad(autodiff.logaddexp)(1000.0, 1000.0)
    (1000.693147, 0.5)
    """


# ---- trigonometric and hyperbolic functions --------------------------------------------------------------------------


@_documents
def sin(x: Any) -> Any:
    """sin(x): the sine, element by element; x in radians.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Infinities give nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.sin(0.5), 6), round(autodiff.grad(autodiff.sin)(0.5), 6)
    (0.479426, 0.877583)
    """


@_documents
def cos(x: Any) -> Any:
    """cos(x): the cosine, element by element; x in radians.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Infinities give nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.cos(0.5), 6), round(autodiff.grad(autodiff.cos)(0.5), 6)
    (0.877583, -0.479426)
    """


@_documents
def tan(x: Any) -> Any:
    """tan(x): the tangent, element by element; x in radians.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Infinities give nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.tan(0.5), 6), round(autodiff.grad(autodiff.tan)(0.5), 6)
    (0.546302, 1.298446)
    """


@_documents
def arcsin(x: Any) -> Any:
    """arcsin(x): the inverse of sin with values in [-pi/2, pi/2], element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative at -1 and 1 is its limit, inf; outside it is nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.arcsin(0.5), 6), round(autodiff.grad(autodiff.arcsin)(0.5), 6)
    (0.523599, 1.154701)
    """


@_documents
def arccos(x: Any) -> Any:
    """arccos(x): the inverse of cos with values in [0, pi], element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative at -1 and 1 is its limit, -inf; outside it is nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.arccos(0.5), 6), round(autodiff.grad(autodiff.arccos)(0.5), 6)
    (1.047198, -1.154701)
    """


@_documents
def arctan(x: Any) -> Any:
    """arctan(x): the inverse of tan with values in (-pi/2, pi/2), element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.arctan(1.0), 6), round(autodiff.grad(autodiff.arctan)(1.0), 6)
    (0.785398, 0.5)
    """


@_documents
def arctan2(a: Any, b: Any) -> Any:
    """arctan2(a, b): the angle of the point (b, a) to the positive first axis, in [-pi, pi], element by element.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    a is the height, as in NumPy. Both derivatives at (0, 0) are nan; the jump across the negative first axis has no
    part in them.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.arctan2(1.0, -1.0), 6), autodiff.grad(autodiff.arctan2, (0, 1))(0.0, 2.0)
    (2.356194, (0.5, -0.0))
    """


@_documents
def sinh(x: Any) -> Any:
    """sinh(x): the hyperbolic sine, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Too large an x gives inf of its sign.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.sinh(1.0), 6), round(autodiff.grad(autodiff.sinh)(1.0), 6)
    (1.175201, 1.543081)
    """


@_documents
def cosh(x: Any) -> Any:
    """cosh(x): the hyperbolic cosine, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Too large an x gives inf.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.cosh(1.0), 6), round(autodiff.grad(autodiff.cosh)(1.0), 6)
    (1.543081, 1.175201)
    """


@_documents
def tanh(x: Any) -> Any:
    """tanh(x): the hyperbolic tangent, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative is sech2(x), exact where 1 - tanh(x)**2 would cancel.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.tanh(0.5), 6), round(autodiff.grad(autodiff.tanh)(0.5), 6)
    (0.462117, 0.786448)
    """


@_documents
def arcsinh(x: Any) -> Any:
    """arcsinh(x): the inverse of sinh, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.arcsinh(1.0), 6), round(autodiff.grad(autodiff.arcsinh)(1.0), 6)
    (0.881374, 0.707107)
    """


@_documents
def arccosh(x: Any) -> Any:
    """arccosh(x): the inverse of cosh for x at least 1, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative at 1 is its limit, inf; below 1 it is nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.arccosh(2.0), 6), round(autodiff.grad(autodiff.arccosh)(2.0), 6)
    (1.316958, 0.57735)
    """


@_documents
def arctanh(x: Any) -> Any:
    """arctanh(x): the inverse of tanh for x between -1 and 1, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    At -1 and 1 it is infinite, with derivative inf; outside it is nan.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.arctanh(0.5), 6), round(autodiff.grad(autodiff.arctanh)(0.5), 6)
    (0.549306, 1.333333)
    """


@_documents
def sech2(x: Any) -> Any:
    """sech2(x): 1 / cosh(x)**2, element by element: the derivative of tanh.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Computed from exp(-2|x|), so no digit cancels for large |x|.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.sech2(0.5), 6), round(autodiff.grad(autodiff.sech2)(0.5), 6)
    (0.786448, -0.726862)
    """


# ---- activations -----------------------------------------------------------------------------------------------------


@_documents
def sigmoid(x: Any) -> Any:
    """sigmoid(x): 1 / (1 + exp(-x)) without overflow, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative is sigmoid(x) * sigmoid(-x), which keeps its digits for large |x|.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.sigmoid(0.0), autodiff.grad(autodiff.sigmoid)(0.0)
    (0.5, 0.25)
    """


@_documents
def log_sigmoid(x: Any) -> Any:
    """log_sigmoid(x): log(sigmoid(x)) without overflow, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.log_sigmoid(0.0), 6), round(autodiff.grad(autodiff.log_sigmoid)(0.0), 6)
    (-0.693147, 0.5)
    """


@_documents
def softplus(x: Any) -> Any:
    """softplus(x): log(1 + exp(x)) without overflow, element by element: a smooth relu.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.softplus(0.0), 6), round(autodiff.grad(autodiff.softplus)(0.0), 6)
    (0.693147, 0.5)
    """


@_documents
def relu(x: Any) -> Any:
    """relu(x): x where positive, else 0; element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative at 0 is 0.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.relu(-3.0), [autodiff.grad(autodiff.relu)(x) for x in (-1.0, 0.0, 1.0)]
    (0.0, [0.0, 0.0, 1.0])
    """


@_documents
def leaky_relu(x: Any, *, negative_slope: float = 0.01) -> Any:
    """leaky_relu(x, *, negative_slope=0.01): x where positive, else negative_slope * x; element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative at 0 is negative_slope.
    Source: Maas et al. 2013, Rectifier Nonlinearities Improve Neural Network Acoustic Models.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.leaky_relu(-3.0, negative_slope=0.5), [autodiff.grad(autodiff.leaky_relu)(x) for x in (-1.0, 0.0, 1.0)]
    (-1.5, [0.01, 0.01, 1.0])
    """


@_documents
def elu(x: Any, *, alpha: float = 1.0) -> Any:
    """elu(x, *, alpha=1.0): x where positive, else alpha * (exp(x) - 1); element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative at 0 is the mean of its sides, (1 + alpha) / 2.
    Source: Clevert et al. 2015, arXiv:1511.07289.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.elu(-1.0), 6), round(autodiff.grad(autodiff.elu)(-1.0), 6)
    (-0.632121, 0.367879)
    """


@_documents
def selu(x: Any) -> Any:
    """selu(x): elu with the scale and alpha that keep mean 0 and variance 1; element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative at 0 is the mean of its sides.
    Source: Klambauer et al. 2017, arXiv:1706.02515.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.selu(-1.0), 6), round(autodiff.grad(autodiff.selu)(-1.0), 6)
    (-1.111331, 0.646769)
    """


@_documents
def normal_cdf(x: Any) -> Any:
    """normal_cdf(x): the probability that a standard normal number is below x, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative is the normal density exp(-x**2 / 2) / sqrt(2 pi). Arrays are computed element by element, as NumPy
    has no erfc.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.normal_cdf(1.0), 6), round(autodiff.grad(autodiff.normal_cdf)(1.0), 6)
    (0.841345, 0.241971)
    """


@_documents
def gelu(x: Any) -> Any:
    """gelu(x): x * normal_cdf(x), the exact form, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.gelu(1.0), 6), round(autodiff.grad(autodiff.gelu)(1.0), 6)
    (0.841345, 1.083315)
    """


@_documents
def silu(x: Any) -> Any:
    """silu(x): x * sigmoid(x), also called swish, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    Source: Elfwing et al. 2017, arXiv:1702.03118.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> round(autodiff.silu(1.0), 6), round(autodiff.grad(autodiff.silu)(1.0), 6)
    (0.731059, 0.927671)
    """


@_documents
def softsign(x: Any) -> Any:
    """softsign(x): x / (1 + |x|), element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    At 0 the first derivative is 1; the second, which jumps there, is 0.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.softsign(3.0), autodiff.grad(autodiff.softsign)(3.0)
    (0.75, 0.0625)
    """


# ---- losses, element by element --------------------------------------------------------------------------------------


@_documents
def squared_error(a: Any, b: Any) -> Any:
    """squared_error(a, b): (a - b)**2, element by element.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.squared_error(1.0, 4.0), autodiff.grad(autodiff.squared_error, (0, 1))(1.0, 4.0)
    (9.0, (-6.0, 6.0))
    """


@_documents
def logistic_error(z: Any, t: Any) -> Any:
    """logistic_error(z, t): sigmoid(z) - t without cancellation, element by element.

    The slope of the binary cross-entropy by its logit z.
    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.logistic_error(0.0, 1.0), autodiff.grad(autodiff.logistic_error, (0, 1))(0.0, 1.0)
    (-0.5, (0.25, -1.0))
    """


@_documents
def binary_cross_entropy_with_logits(z: Any, t: Any) -> Any:
    """binary_cross_entropy_with_logits(z, t): -t log(sigmoid(z)) - (1 - t) log(1 - sigmoid(z)), element by element.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    z is any logit, t a probability; computed as log(1 + exp(z)) - z*t in a form that neither overflows nor cancels.
    The derivative by z is sigmoid(z) - t.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> loss = autodiff.binary_cross_entropy_with_logits
    >>> round(loss(0.0, 1.0), 6), autodiff.grad(loss)(0.0, 1.0)
    (0.693147, -0.5)
    """


# ---- steps, and the larger or smaller of two -------------------------------------------------------------------------


@_documents
def sign(x: Any) -> Any:
    """sign(x): -1, 0 or 1, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative is 0 everywhere, also at 0.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.sign(-2.0), autodiff.grad(autodiff.sign)(-2.0)
    (-1.0, 0.0)
    """


@_documents
def step(x: Any) -> Any:
    """step(x): 1 where x > 0, else 0; element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    At 0 it is 0. The derivative is 0 everywhere, also at 0.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.step(0.0), autodiff.step(2.0), autodiff.grad(autodiff.step)(2.0)
    (0.0, 1.0, 0.0)
    """


@_documents
def floor(x: Any) -> Any:
    """floor(x): the largest integer not above x, as a float, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative is 0 everywhere, also at integers.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.floor(-1.5), autodiff.grad(autodiff.floor)(-1.5)
    (-2.0, 0.0)
    """


@_documents
def ceil(x: Any) -> Any:
    """ceil(x): the smallest integer not below x, as a float, element by element.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative is 0 everywhere, also at integers.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.ceil(-1.5), autodiff.grad(autodiff.ceil)(-1.5)
    (-1.0, 0.0)
    """


@_documents
def round(x: Any) -> Any:
    """round(x): the nearest integer, as a float, element by element; halves go to the even one.

    A float, array or node gives one of the same kind and shape; integers become float64, float32 stays float32.
    The derivative is 0 everywhere, also at halves.
    Raises TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.round(2.5), autodiff.grad(autodiff.round)(2.5)
    (2.0, 0.0)
    """


@_documents
def maximum(a: Any, b: Any) -> Any:
    """maximum(a, b): the larger of the two, element by element; nan if either is nan.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    At a tie each side has derivative 1/2, so maximum(x, x) has 1.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.maximum(2.0, 3.0), autodiff.grad(autodiff.maximum, (0, 1))(2.0, 2.0)
    (3.0, (0.5, 0.5))
    """


@_documents
def minimum(a: Any, b: Any) -> Any:
    """minimum(a, b): the smaller of the two, element by element; nan if either is nan.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    At a tie each side has derivative 1/2, so minimum(x, x) has 1.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.minimum(2.0, 3.0), autodiff.grad(autodiff.minimum, (0, 1))(2.0, 2.0)
    (2.0, (0.5, 0.5))
    """


@_documents
def clip(x: Any, low: Any, high: Any) -> Any:
    """clip(x, low, high): x limited to [low, high], element by element.

    Shapes and dtypes combine as in NumPy; floats give a float, arrays an array, nodes a node.
    The derivative by x is 1 inside and at the bounds, 0 outside, where that of the bound is 1. If low is above high,
    the result is high.
    Raises ShapeError for shapes that do not broadcast, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.clip(5.0, 0.0, 1.0), [autodiff.grad(autodiff.clip)(x, 0.0, 1.0) for x in (0.5, 1.0, 5.0)]
    (1.0, [1.0, 1.0, 0.0])
    """


# ---- layout ----------------------------------------------------------------------------------------------------------


@_documents
def reshape(x: Any, *, shape: Any) -> Any:
    """reshape(x, *, shape): the same elements in another shape, as np.reshape.

    One side may be -1. Gives an array or Tensor of x's dtype.
    Raises ShapeError if the number of elements differs, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.reshape([1.0, 2.0, 3.0, 4.0], shape=(2, -1))
    array([[1., 2.],
           [3., 4.]])
    """


@_documents
def transpose(x: Any, *, axes: Any = None) -> Any:
    """transpose(x, *, axes=None): the axes permuted, or reversed if none are given, as np.transpose.

    Axis i of the result is axis axes[i] of x.
    Raises ShapeError for the wrong number of axes, numpy.exceptions.AxisError for one out of range, TypeError for an
    operand that is not numeric.

    >>> import autodiff
    >>> autodiff.transpose([[1.0, 2.0], [3.0, 4.0]])
    array([[1., 3.],
           [2., 4.]])
    """


@_documents
def broadcast_to(x: Any, *, shape: Any) -> Any:
    """broadcast_to(x, *, shape): x repeated to the shape, as np.broadcast_to.

    The gradient is summed back over the repeated axes. For arrays the result is a read-only view of x.
    Raises ShapeError if x does not broadcast to the shape, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.broadcast_to([1.0, 2.0], shape=(2, 2))
    array([[1., 2.],
           [1., 2.]])
    """


@_documents
def sum_to(x: Any, *, shape: Any) -> Any:
    """sum_to(x, *, shape): x summed over the axes along which ``shape`` would be broadcast to x's shape.

    The transpose of broadcast_to: what a gradient goes through on its way back to a smaller operand.
    Raises ShapeError if the shape does not broadcast to x's, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.sum_to([[1.0, 2.0], [3.0, 4.0]], shape=(2,))
    array([4., 6.])
    """


@_documents
def cast(x: Any, *, dtype: Any) -> Any:
    """cast(x, *, dtype): the same numbers in another floating dtype.

    The gradient has the dtype of x.
    Raises TypeError if a node would get a dtype that is not floating, or for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.cast([1.0, 2.0], dtype="float32").dtype
    dtype('float32')
    """


@_documents
def item(x: Any) -> Any:
    """item(x): the only element of a one-element array as a float; of a Tensor as a Value.

    Raises ShapeError if there is not exactly one element, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.item([[2.0]]), autodiff.item(autodiff.Tensor([3.0]))
    (2.0, Value(data=3.0, grad=0.0))
    """


@_documents
def getitem(x: Any, *, index: Any) -> Any:
    """getitem(x, *, index): x[index] with any NumPy index; what ``tensor[index]`` calls.

    An element picked several times gets the sum of its gradients, one not picked gets 0.
    Raises IndexError for an index out of range or of the wrong type, TypeError for an operand without axes.

    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.getitem([1.0, 2.0, 3.0], index=[2, 2])
    array([3., 3.])
    >>> autodiff.grad(lambda x: autodiff.sum(x[[2, 2]]))(np.ones(3))
    array([0., 0., 2.])
    """


@_documents
def scatter(x: Any, *, index: Any, shape: Any) -> Any:
    """scatter(x, *, index, shape): zeros of the shape with x added at the index.

    The transpose of getitem: what is added to one place several times is summed.
    Raises IndexError for an index out of range, ShapeError if x does not fit the indexed place, TypeError for an
    operand that is not numeric.

    >>> import autodiff
    >>> autodiff.scatter([1.0, 2.0], index=[0, 0], shape=(3,))
    array([3., 0., 0.])
    """


@_documents
def concatenate(*arrays: Any, axis: Any = 0) -> Any:
    """concatenate(*arrays, axis=0): arrays joined along an axis: the row behind ``autodiff.concatenate``.

    Here the arrays are separate operands, of one shape but for that axis; each gets its part of the gradient.
    Raises ShapeError for shapes that do not fit, numpy.exceptions.AxisError for an axis out of range, TypeError for an
    operand that is not numeric.

    >>> import autodiff
    >>> row = autodiff.concatenate([autodiff.Tensor([1.0]), [2.0]]).op
    >>> row, row([1.0], [2.0, 3.0])
    (<arrayop concatenate>, array([1., 2., 3.]))
    """


@_documents
def from_values(*values: Any) -> Any:
    """from_values(*values): a vector of floats or Values: the row behind ``Tensor.from_values``.

    Gives a float64 array, a Tensor if a Value is among them; each Value gets its element of the gradient.
    Raises ShapeError if a value is not a single number, TypeError if it is not numeric.

    >>> import autodiff
    >>> row = autodiff.Tensor.from_values([autodiff.Value(1.0)]).op
    >>> row, row(1.0, autodiff.Value(2.0))
    (<arrayop from_values>, Tensor([1., 2.], shape=(2,)))
    """


# ---- reductions ------------------------------------------------------------------------------------------------------


@_documents
def sum(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """sum(x, *, axis=None, keepdims=False): the sum over the axes, as np.sum.

    The derivative is 1 for each element.
    axis is an integer, a tuple or None for all; keepdims leaves reduced axes with length 1. The dtype stays x's.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([4., 6.])
    """


@_documents
def mean(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """mean(x, *, axis=None, keepdims=False): the mean over the axes, as np.mean.

    Each of n elements has derivative 1/n; the mean of no elements is nan.
    axis is an integer, a tuple or None for all; keepdims leaves reduced axes with length 1. The dtype stays x's.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.mean([1.0, 3.0]), autodiff.grad(autodiff.mean)(np.array([1.0, 3.0]))
    (array(2.), array([0.5, 0.5]))
    """


@_documents
def max(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """max(x, *, axis=None, keepdims=False): the largest element over the axes, as np.max.

    Tied elements share the gradient evenly.
    axis is an integer, a tuple or None for all; keepdims leaves reduced axes with length 1. The dtype stays x's.
    Raises ShapeError if there are no elements, numpy.exceptions.AxisError for an axis out of range, TypeError for an
    operand that is not numeric.

    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.max([1.0, 3.0, 3.0]), autodiff.grad(autodiff.max)(np.array([1.0, 3.0, 3.0]))
    (array(3.), array([0. , 0.5, 0.5]))
    """


@_documents
def min(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """min(x, *, axis=None, keepdims=False): the smallest element over the axes, as np.min.

    Tied elements share the gradient evenly.
    axis is an integer, a tuple or None for all; keepdims leaves reduced axes with length 1. The dtype stays x's.
    Raises ShapeError if there are no elements, numpy.exceptions.AxisError for an axis out of range, TypeError for an
    operand that is not numeric.

    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.min([1.0, 1.0, 3.0]), autodiff.grad(autodiff.min)(np.array([1.0, 1.0, 3.0]))
    (array(1.), array([0.5, 0.5, 0. ]))
    """


@_documents
def var(x: Any, *, axis: Any = None, keepdims: bool = False, ddof: float = 0) -> Any:
    """var(x, *, axis=None, keepdims=False, ddof=0): the variance over the axes, as np.var.

    The mean squared deviation of n elements, divided by n - ddof; the derivative is 2 (x - mean) / (n - ddof).
    axis is an integer, a tuple or None for all; keepdims leaves reduced axes with length 1. The dtype stays x's.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.var([1.0, 3.0]), autodiff.grad(autodiff.var)(np.array([1.0, 3.0]))
    (array(1.), array([-1.,  1.]))
    """


@_documents
def std(x: Any, *, axis: Any = None, keepdims: bool = False, ddof: float = 0) -> Any:
    """std(x, *, axis=None, keepdims=False, ddof=0): the standard deviation over the axes, as np.std.

    The square root of var with its ddof. For constant data, a local optimum, the derivative is 0.
    axis is an integer, a tuple or None for all; keepdims leaves reduced axes with length 1. The dtype stays x's.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.std([1.0, 3.0]), autodiff.grad(autodiff.std)(np.array([1.0, 3.0]))
    (array(1.), array([-0.5,  0.5]))
    """


@_documents
def norm(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """norm(x, *, axis=None, keepdims=False): the Euclidean (Frobenius) norm over the axes.

    The derivative is x / norm; at the zero vector, a local optimum, 0.
    axis is an integer, a tuple or None for all; keepdims leaves reduced axes with length 1. The dtype stays x's.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.norm([3.0, 4.0]), autodiff.grad(autodiff.norm)(np.array([3.0, 4.0]))
    (array(5.), array([0.6, 0.8]))
    """


@_documents
def logsumexp(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """logsumexp(x, *, axis=None, keepdims=False): log(sum(exp(x))) over the axes, without overflow.

    x is shifted by its maximum. The derivative is softmax(x); where all elements are -inf, 0.
    axis is an integer, a tuple or None for all; keepdims leaves reduced axes with length 1. The dtype stays x's.
    Source: Blanchard, Higham and Higham 2021, arXiv:1909.03469.
    Raises ShapeError if there are no elements, numpy.exceptions.AxisError for an axis out of range, TypeError for an
    operand that is not numeric.

    >>> import autodiff
    >>> autodiff.logsumexp([[1000.0, 1000.0]], axis=1).round(4)
    array([1000.6931])
    """


# ---- softmax and the losses made of it -------------------------------------------------------------------------------


@_documents
def softmax(x: Any, *, axis: Any = -1) -> Any:
    """softmax(x, *, axis=-1): exp(x) / sum(exp(x)) along the axis, without overflow.

    x is shifted by its maximum. axis is an integer, a tuple of them or None for all; the result has x's shape and
    dtype.
    Source: Blanchard, Higham and Higham 2021, arXiv:1909.03469; the Jacobian is diag(y) - y y^T.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.softmax([1000.0, 1000.0])
    array([0.5, 0.5])
    """


@_documents
def log_softmax(x: Any, *, axis: Any = -1) -> Any:
    """log_softmax(x, *, axis=-1): x - logsumexp(x) along the axis, without overflow or cancellation.

    axis is an integer, a tuple of them or None for all; the result has x's shape and dtype.
    Source: Blanchard, Higham and Higham 2021, arXiv:1909.03469.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.log_softmax([1000.0, 1000.0]).round(4)
    array([-0.6931, -0.6931])
    """


@_documents
def softmax_cross_entropy(logits: Any, probabilities: Any, *, axis: Any = -1, keepdims: bool = False) -> Any:
    """softmax_cross_entropy(logits, probabilities, *, axis=-1, keepdims=False): the cross-entropy of softmax(logits).

    -sum(probabilities * log_softmax(logits)). Both operands have one shape; the axis (an integer, a tuple or None for
    all) is reduced. A probability of 0 contributes 0 even against a logit of -inf. For probabilities that sum to 1 the
    derivative by the logits is softmax(logits) - probabilities.
    Raises ShapeError for different shapes, numpy.exceptions.AxisError for an axis out of range, TypeError for an
    operand that is not numeric.

    >>> import autodiff
    >>> autodiff.softmax_cross_entropy([[0.0, 0.0]], [[1.0, 0.0]]).round(4)
    array([0.6931])
    """


@_documents
def mean_squared_error(a: Any, b: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """mean_squared_error(a, b, *, axis=None, keepdims=False): the mean of (a - b)**2.

    One node for what would be two. Both operands have one shape.
    axis is an integer, a tuple or None for all; keepdims leaves reduced axes with length 1. The dtype stays theirs.
    Raises ShapeError for different shapes, numpy.exceptions.AxisError for an axis out of range, TypeError for an
    operand that is not numeric.

    >>> import autodiff
    >>> import numpy as np
    >>> a, b = np.array([1.0, 2.0]), np.array([1.0, 4.0])
    >>> autodiff.mean_squared_error(a, b), autodiff.grad(autodiff.mean_squared_error)(a, b)
    (array(2.), array([ 0., -2.]))
    """


@_documents
def mean_binary_cross_entropy_with_logits(z: Any, t: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """mean_binary_cross_entropy_with_logits(z, t, *, axis=None, keepdims=False): the mean binary cross-entropy.

    One node for what would be two. Both operands have one shape.
    axis is an integer, a tuple or None for all; keepdims leaves reduced axes with length 1. The dtype stays theirs.
    Raises ShapeError for different shapes, numpy.exceptions.AxisError for an axis out of range, TypeError for an
    operand that is not numeric.

    >>> import autodiff
    >>> import numpy as np
    >>> z, t = np.zeros(2), np.array([0.0, 1.0])
    >>> autodiff.grad(autodiff.mean_binary_cross_entropy_with_logits)(z, t)
    array([ 0.25, -0.25])
    """


# ---- running sums and products ---------------------------------------------------------------------------------------


@_documents
def cumsum(x: Any, *, axis: Any = None) -> Any:
    """cumsum(x, *, axis=None): running sums along an axis, or of the flattened array, as np.cumsum.

    axis is an integer; the result has x's shape, or one axis for None.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.cumsum([1.0, 2.0, 3.0])
    array([1., 3., 6.])
    """


@_documents
def prod(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """prod(x, *, axis=None, keepdims=False): the product over the axes, as np.prod.

    The derivative is the product of the other elements, built up from both ends without division: right for any number
    of zeros.
    axis is an integer, a tuple or None for all; keepdims leaves reduced axes with length 1. The dtype stays x's.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.prod([2.0, 0.0, 4.0]), autodiff.grad(autodiff.prod)(np.array([2.0, 0.0, 4.0]))
    (array(0.), array([0., 8., 0.]))
    """


# ---- contractions ----------------------------------------------------------------------------------------------------


@_documents
def matmul(a: Any, b: Any) -> Any:
    """matmul(a, b): the matrix product, as np.matmul; what ``@`` calls.

    Shapes (..., n, k) and (..., k, m) give (..., n, m), leading axes broadcast; a vector is a row on the left and a
    column on the right.
    Source of the gradients g @ b.T and a.T @ g: Giles 2008, Collected Matrix Derivative Results for Forward and Reverse
    Mode Algorithmic Differentiation.
    Raises ShapeError for shapes that do not fit, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.matmul([[1.0, 2.0]], [[3.0], [4.0]])
    array([[11.]])
    """


@_documents
def linear(x: Any, weight: Any, bias: Any) -> Any:
    """linear(x, weight, bias): x @ weight.T + bias as one node: a layer's affine map.

    x is (..., in), weight (out, in), bias (out,); the result is (..., out).
    Raises ShapeError for shapes that do not fit, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> autodiff.linear([[1.0, 2.0]], [[3.0, 4.0]], [0.5])
    array([[11.5]])
    """


@_documents
def einsum(*operands: Any, inputs: tuple[str, ...], output: str) -> Any:
    """einsum(*operands, inputs, output): a sum of products over named axes: the row behind ``autodiff.einsum``.

    inputs has one string of letters an operand, with a letter an axis; output has the letters that are kept.
    Raises ShapeError if the letters do not fit the operands, TypeError for an operand that is not numeric.

    >>> import autodiff
    >>> row = autodiff.einsum("ij->i", autodiff.Tensor([[1.0, 2.0]])).op
    >>> row([[1.0, 2.0]], [3.0, 4.0], inputs=("ij", "j"), output="i")
    array([11.])
    """
