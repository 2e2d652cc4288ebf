"""Planted faults, as data: wrong gradients written by hand, as students write them; see planted.py.

Beside each stands the function itself, in plain NumPy, whose right gradient autodiff knows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .planted import numbers


class Gradient(NamedTuple):
    """A wrong gradient of f, by the arguments that it returns one for."""

    kind: str
    f: Callable[..., Any]
    args: tuple[Any, ...]
    wrong: Callable[..., Any]
    argnums: tuple[int, ...] | None = None
    says: str = ""


def mean_squares(w: Any, b: Any, x: Any, y: Any) -> Any:
    return np.mean((x @ w + b - y) ** 2)


def residual(w: Any, b: Any, x: Any, y: Any) -> Any:
    """Return the right gradient of mean_squares by x @ w + b."""
    return 2 * (x @ w + b - y) / y.size


def right_mean_squares(w: Any, b: Any, x: Any, y: Any) -> tuple[Any, Any]:
    r = residual(w, b, x, y)
    return x.T @ r, r.sum(axis=0)


def half_square(x: Any) -> Any:
    return np.sum(x**2) / 2


def cosine_sum(x: Any) -> Any:
    return np.sum(np.cos(x))


def cross_entropy(z: Any, t: Any) -> Any:
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - np.sum(z * t, axis=1))


def probabilities(z: Any) -> Any:
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def network(w: Any, v: Any, x: Any) -> Any:
    return np.sum(np.tanh(x @ w) @ v)


def absolute_loss(w: Any, x: Any, y: Any) -> Any:
    return np.sum(np.abs(x @ w - y))


def lookup(table: Any) -> Any:
    return np.sum(table[[0, 2, 0]] ** 2)


def lookup_gradient(table: Any) -> Any:
    found = np.zeros(table.shape)
    found[[0, 2, 0]] = 2 * table[[0, 2, 0]]
    return found


def length(x: Any) -> Any:
    return np.sqrt(np.sum(x**2))


def product(a: Any, b: Any) -> Any:
    return np.sum(a * b)


def ridge(w: Any, x: Any, y: Any) -> Any:
    return np.sum((x @ w - y) ** 2) + 0.05 * np.sum(w**2)


def cube(x: Any) -> Any:
    return x**3


def dropout(x: Any) -> Any:
    return np.sum(x**2 * (np.random.default_rng().random(x.shape) < 0.5))


def centring(x: Any) -> Any:
    """Return a right gradient of half_square, and leave the argument centred."""
    found = np.array(x)
    x -= x.mean()
    return found


def one_wrong(x: Any) -> Any:
    found = -np.sin(x)
    found[17, 23] *= 1.001
    return found


def row_forgotten(x: Any) -> Any:
    found = np.zeros(x.shape)
    for i in range(1, len(x)):
        found[i] = -np.sin(x[i])
    return found


def in_buffer(buffer: Any) -> Callable[..., Any]:
    return lambda x: np.multiply(-1.0, np.sin(x), out=buffer)


def kept(keys: dict[Any, Any]) -> Callable[..., Any]:
    return lambda x: keys.setdefault(x.shape, -np.sin(x)).copy()


def once(first: list[Any]) -> Callable[..., Any]:
    def gradient(x: Any) -> Any:
        if not first:
            first.append(-np.sin(x))
        return first[0].copy()

    return gradient


def coarse(x: Any) -> Any:
    """Return a forward difference with a step of 1e-4."""
    step = 1e-4 * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([(half_square(x + h) - half_square(x)) / 1e-4 for h in step]).reshape(x.shape)


DATA = (numbers(3, 2), numbers(2, seed=1), numbers(5, 3, seed=2), numbers(5, 2, seed=3))
EVEN = (numbers(3, 3), numbers(3, seed=1), numbers(3, 3, seed=2), numbers(3, 3, seed=3))
MANY = (numbers(3, 2), numbers(2, seed=1), numbers(50, 3, seed=2), numbers(50, 2, seed=3))
LABELS = np.eye(3)[[0, 2, 1, 1]]
LOGITS = (numbers(4, 3), LABELS)
LAYERS = (numbers(3, 3), numbers(3, 2, seed=1), numbers(4, 3, seed=2))
LINE = (numbers(3), numbers(5, 3, seed=1), numbers(5, seed=2))
VECTOR, BIG = numbers(4), numbers(40, 40)


def of_data(kind: str, wrong: Any, args: Any = DATA, says: str = "") -> Gradient:
    return Gradient(kind, mean_squares, args, wrong, (0, 1), says)


def of_vector(kind: str, f: Any, wrong: Any, says: str = "", args: Any = (VECTOR,)) -> Gradient:
    return Gradient(kind, f, args, wrong, None, says)


GRADIENTS = [
    of_data("scaled by 1.0005", lambda *args: tuple(1.0005 * g for g in right_mean_squares(*args))),
    of_data("1 / n missing", lambda w, b, x, y: tuple(y.size * g for g in right_mean_squares(w, b, x, y))),
    of_data("sign flipped", lambda *args: (right_mean_squares(*args)[0], -right_mean_squares(*args)[1])),
    of_data(
        "not summed over the batch", lambda *args: (right_mean_squares(*args)[0], residual(*args)),
        says="(b) has shape (5, 2), but the argument has (2,)",
    ),
    of_data("summed over the wrong axis", lambda *args: (right_mean_squares(*args)[0], residual(*args).sum(1)), EVEN),
    of_data("mean for sum", lambda *args: (right_mean_squares(*args)[0], residual(*args).mean(0))),
    of_data("transposed", lambda *args: (right_mean_squares(*args)[0].T, right_mean_squares(*args)[1]), EVEN),
    of_data("transposed product", lambda w, b, x, y: (residual(w, b, x, y).T @ x, residual(w, b, x, y).sum(0)), EVEN),
    of_data("last row dropped", lambda w, b, x, y: (x[:-1].T @ residual(w, b, x, y)[:-1], residual(w, b, x, y).sum(0))),
    of_data(
        "wrong for large batches",
        lambda w, b, x, y: (x[:32].T @ residual(w, b, x, y)[:32], residual(w, b, x, y).sum(0)), MANY,
    ),
    of_data("one gradient for two", lambda *args: right_mean_squares(*args)[0], says="must return one gradient"),
    of_data("a gradient too many", lambda *args: (*right_mean_squares(*args), 0.0), says="must return one gradient"),
    of_data("None", lambda *args: (right_mean_squares(*args)[0], None), says="the gradient by argument 1 (b) is None"),
    Gradient("partials swapped", product, (numbers(3), numbers(3, seed=1)), lambda a, b: (a.copy(), b.copy())),
    Gradient("factor 2", half_square, (numbers(2, 2),), lambda x: 2 * x),
    Gradient("a float", cube, (1.7,), lambda x: 3 * x),
    Gradient("power lowered twice", cube, (-1.3,), lambda x: 3 * x**1),
    Gradient("a term dropped", ridge, LINE, lambda w, x, y: 2 * x.T @ (x @ w - y), (0,)),
    Gradient(
        "1e-5 off, beside a difference", absolute_loss, LINE,
        lambda w, x, y: (1 + 1e-5) * x.T @ np.sign(x @ w - y), (0,),
    ),
    Gradient(
        "rounded to float32", absolute_loss, LINE,
        lambda w, x, y: (x.T @ np.sign(x @ w - y)).astype(np.float32).astype(np.float64), (0,),
    ),
    Gradient("clipped", half_square, (3 * VECTOR,), lambda x: np.clip(x, -1.5, 1.5)),
    Gradient("eps inside", length, (VECTOR,), lambda x: x / (length(x) + 1e-6)),
    Gradient(
        "taken at the output", network, LAYERS,
        lambda w, v, x: x.T @ ((1 - np.tanh(np.tanh(x @ w)) ** 2) * (np.ones((4, 2)) @ v.T)), (0,),
    ),
    Gradient("derivative of tanh missing", network, LAYERS, lambda w, v, x: x.T @ np.ones((4, 2)) @ v.T, (0,)),
    Gradient(
        "softmax element by element", cross_entropy, LOGITS,
        lambda z, t: probabilities(z) * (1 - probabilities(z)) * (probabilities(z) - t) / len(z), (0,),
    ),
    Gradient("label forgotten", cross_entropy, LOGITS, lambda z, t: probabilities(z) / len(z), (0,)),
    Gradient("assigned, not accumulated", lookup, (numbers(3, 2),), lookup_gradient),
    Gradient("one element of 1600", cosine_sum, (BIG,), one_wrong),
    Gradient("a row missing", cosine_sum, (BIG,), row_forgotten),
    Gradient("off by one", cosine_sum, (VECTOR,), lambda x: -np.sin(np.roll(x, 1))),
    Gradient("coarse difference", half_square, (VECTOR,), coarse),
    Gradient("nan", cosine_sum, (VECTOR,), lambda x: np.where(x > 0, -np.sin(x), np.nan)),
    of_vector("wrong shape", cosine_sum, lambda x: -np.sin(x)[None], "has shape (1, 4), but the argument has (4,)"),
    of_vector("integers", cosine_sum, lambda x: (-np.sin(x)).astype(int), "has dtype int64, expected float"),
    of_vector("complex numbers", cosine_sum, lambda x: -np.sin(x + 0j), "has dtype complex128, expected float"),
    of_vector("float32", cosine_sum, lambda x: -np.sin(x.astype(np.float32)), "has dtype float32, expected float64"),
    of_vector(
        "float32 becomes float64", cosine_sum, lambda x: -np.sin(x.astype(np.float64)), "float32, has dtype float64",
        args=(VECTOR.astype(np.float32),),
    ),
    of_vector("argument changed", half_square, centring, says="the arguments were changed in place"),
    of_vector("aliased buffer", cosine_sum, in_buffer(np.empty(4)), says="overwritten by a later call"),
    of_vector("memory of an argument", half_square, lambda x: x, says="shares its memory with an argument"),
    of_vector(
        "not repeatable", cosine_sum, lambda x: -np.sin(x) * (1 + 1e-9 * np.random.default_rng().normal(size=4)),
        says="differs when it is computed again",
    ),
    of_vector(
        "dropout without a seed", half_square, lambda x: x * (np.random.default_rng().random(40) < 0.5),
        says="differs when it is computed again", args=(numbers(40),),
    ),
    of_vector("a random function", dropout, lambda x: x + 0.0, says="fix the seed"),
    Gradient("stale cache", cosine_sum, (VECTOR,), kept({})),
    Gradient("the first answer kept", cosine_sum, (VECTOR,), once([])),
]  # fmt: skip
