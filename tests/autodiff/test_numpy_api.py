"""NumPy's own functions called on nodes: the same values as on arrays, and recorded. The composites' derivatives are
tested with the structural rows in test_array_rules.py."""

import numpy as np
import pytest

from autodiff import Tensor, Value, functions
from autodiff.node import NUMPY_FUNCTIONS

from .numeric import assert_close

X = np.arange(6.0).reshape(2, 3) / 3 - 0.7
SQUARE = np.arange(9.0).reshape(3, 3) / 4 - 1
MASK = np.array([[True, False, True], [False, False, True]])

# Every function of the table, called as NumPy's users call it
CALLS = {
    np.sum: [lambda x: np.sum(x), lambda x: np.sum(x, 1), lambda x: np.sum(x, axis=(0, 1), keepdims=True)],
    np.mean: [lambda x: np.mean(x), lambda x: np.mean(x, 0), lambda x: np.mean(x, axis=-1, keepdims=True)],
    np.prod: [lambda x: np.prod(x), lambda x: np.prod(x, axis=1)],
    np.max: [lambda x: np.max(x), lambda x: np.max(x, 0), lambda x: np.max(x, axis=1, keepdims=True)],
    np.amax: [lambda x: np.amax(x, axis=1, keepdims=True)],
    np.min: [lambda x: np.min(x), lambda x: np.min(x, axis=0), lambda x: np.min(x)],
    np.amin: [lambda x: np.amin(x)],
    np.var: [lambda x: np.var(x), lambda x: np.var(x, axis=0, ddof=1), lambda x: np.var(x, 1, keepdims=True)],
    np.std: [lambda x: np.std(x), lambda x: np.std(x, axis=1, ddof=1)],
    np.cumsum: [lambda x: np.cumsum(x), lambda x: np.cumsum(x, 0), lambda x: np.cumsum(x, axis=-1)],
    np.cumprod: [lambda x: np.cumprod(x), lambda x: np.cumprod(x, axis=1)],
    np.reshape: [lambda x: np.reshape(x, (3, 2)), lambda x: np.reshape(x, -1), lambda x: np.reshape(x, shape=(6,))],
    np.transpose: [
        lambda x: np.transpose(x),
        lambda x: np.transpose(x, (1, 0)),
        lambda x: np.transpose(x, axes=(0, 1)),
    ],
    np.broadcast_to: [lambda x: np.broadcast_to(x, (4, 2, 3))],
    np.where: [lambda x: np.where(MASK, x, 0.0), lambda x: np.where(MASK, 1.0, x), lambda x: np.where(MASK, x, x * x)],
    np.clip: [
        lambda x: np.clip(x, -0.5, 0.5),
        lambda x: np.clip(x, None, 0.5),
        lambda x: np.clip(x, a_min=0.0, a_max=None),
        lambda x: np.clip(x, min=-0.1, max=0.1),
    ],
    np.round: [lambda x: np.round(x)],
    np.around: [lambda x: np.around(x)],
    np.pad: [lambda x: np.pad(x, 1), lambda x: np.pad(x, ((0, 1), (2, 0)), "constant", constant_values=2.0)],
    np.take: [lambda x: np.take(x, [0, 5]), lambda x: np.take(x, [1, 1], axis=1), lambda x: np.take(x, 1, 0)],
    np.linalg.norm: [
        lambda x: np.linalg.norm(x),
        lambda x: np.linalg.norm(x, axis=1),
        lambda x: np.linalg.norm(x, "fro"),
        lambda x: np.linalg.norm(x, 2, 0, keepdims=True),
    ],
    np.ravel: [lambda x: np.ravel(x)],
    np.swapaxes: [lambda x: np.swapaxes(x, 0, 1)],
    np.moveaxis: [lambda x: np.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, source=0, destination=1)],
    np.expand_dims: [lambda x: np.expand_dims(x, 0), lambda x: np.expand_dims(x, axis=(0, -1))],
    np.squeeze: [lambda x: np.squeeze(x[:1]), lambda x: np.squeeze(x[:1], axis=0)],
    np.repeat: [lambda x: np.repeat(x, 2), lambda x: np.repeat(x, [1, 2], axis=0)],
    np.tile: [lambda x: np.tile(x, 2), lambda x: np.tile(x, (2, 1, 1))],
    np.flip: [lambda x: np.flip(x), lambda x: np.flip(x, axis=1)],
    np.roll: [lambda x: np.roll(x, 1), lambda x: np.roll(x, shift=-1, axis=1)],
    np.triu: [lambda x: np.triu(x), lambda x: np.triu(x, k=1)],
    np.tril: [lambda x: np.tril(x), lambda x: np.tril(x, -1)],
    np.diagonal: [lambda x: np.diagonal(x), lambda x: np.diagonal(x, offset=1)],
    np.trace: [lambda x: np.trace(x), lambda x: np.trace(x, offset=1)],
    np.sort: [lambda x: np.sort(x), lambda x: np.sort(x, axis=0), lambda x: np.sort(x, axis=None)],
    np.concatenate: [lambda x: np.concatenate([x, x]), lambda x: np.concatenate((x, np.ones((2, 1))), axis=1)],
    np.stack: [lambda x: np.stack([x, x]), lambda x: np.stack([x, np.ones((2, 3))], axis=-1)],
    np.split: [lambda x: np.split(x, 3, axis=1)[2], lambda x: np.split(x, [1])[1]],
    np.tensordot: [lambda x: np.tensordot(x, x, axes=([0], [0])), lambda x: np.tensordot(x, np.ones((2, 3)))],
    np.dot: [lambda x: np.dot(x, SQUARE), lambda x: np.dot(np.ones(2), x)],
    np.inner: [lambda x: np.inner(x, np.ones(3))],
    np.outer: [lambda x: np.outer(x, [1.0, 2.0])],
    np.vdot: [lambda x: np.vdot(x, X)],
    np.einsum: [lambda x: np.einsum("ij,kj->ik", x, X), lambda x: np.einsum("ij->j", x)],
}
# Functions whose answer has no derivative: they see the plain numbers
PLAIN = {
    *(np.shape, np.ndim, np.size, np.argmax, np.argmin, np.argsort, np.nonzero, np.count_nonzero, np.any, np.all),
    *(np.allclose, np.isclose, np.array_equal, np.zeros_like, np.ones_like, np.empty_like, np.full_like),
}
each_call = pytest.mark.parametrize(
    "call", [call for calls in CALLS.values() for call in calls], ids=[f.__name__ for f, c in CALLS.items() for _ in c]
)


def test_every_function_of_the_table_is_called_here():
    assert set(CALLS) == set(NUMPY_FUNCTIONS) - PLAIN
    assert {getattr(np, name) for name in functions.__all__} <= set(NUMPY_FUNCTIONS)
    assert set(NUMPY_FUNCTIONS) >= PLAIN


@pytest.mark.promise(10)
@each_call
def test_a_numpy_function_of_a_tensor_has_its_value_and_is_recorded(call, figure):
    x = Tensor(X)
    y = call(x)
    assert type(y) is Tensor
    share = assert_close(y.data, np.asarray(call(X)), 1e-15, 1e-15)
    figure("difference from NumPy / (1e-15 of the value + 1e-15)", share, 1)
    assert y.parents
    y.backward(np.ones(y.shape))
    assert x.grad.shape == X.shape
    assert np.all(np.isfinite(x.grad))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sum(x, where=MASK),
        lambda x: np.sum(x, dtype=np.float32),
        lambda x: np.sum(x, initial=1.0),
        lambda x: np.mean(x, out=np.zeros(())),
        lambda x: np.max(x, initial=3.0),
        lambda x: np.cumsum(x, out=np.zeros(6)),
        lambda x: np.reshape(x, (3, 2), order="F"),
        lambda x: np.pad(x, 1, mode="edge"),
        lambda x: np.linalg.norm(x, 1),
        lambda x: np.linalg.norm(x, 2),
        lambda x: np.linalg.norm(x, np.inf, axis=0),
        lambda x: np.linalg.inv(x @ x.T),
        lambda x: np.fft.fft(x),
        lambda x: np.take(x, [0], mode="wrap"),
        lambda x: np.add.reduce(x),
        lambda x: np.sin(x, out=np.zeros((2, 3))),
        lambda x: np.arctan2(x, 1.0, where=MASK),
        lambda x: np.gcd(x, 2),
        lambda x: np.asarray(x),
        lambda x: np.array([x, x]),
        lambda x: float(x),
    ],
)
def test_what_would_be_ignored_or_lose_the_graph_is_refused(call):
    with pytest.raises(TypeError):
        call(Tensor(X))


def test_functions_without_a_derivative_see_the_plain_numbers():
    x = Tensor(X)
    assert np.shape(x) == (2, 3)
    assert np.ndim(x) == 2
    assert np.size(x) == 6
    assert np.argmax(x) == 5
    assert np.argmin(x, axis=1).tolist() == [0, 0]
    assert np.argsort(x, axis=None).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.allclose(x, X)
    assert np.isclose(x, X).all()
    assert np.array_equal(x, X)
    assert np.any(x > 0)
    assert np.all(x) == np.all(X)
    assert np.count_nonzero(x) == np.count_nonzero(X)
    assert [part.tolist() for part in np.nonzero(x)] == [part.tolist() for part in np.nonzero(X)]
    for f in (np.zeros_like, np.ones_like):
        assert type(f(x)) is np.ndarray
        assert f(x).tolist() == f(X).tolist()
    assert np.full_like(x, 2.5).tolist() == np.full_like(X, 2.5).tolist()
    assert np.empty_like(x).shape == (2, 3)
    assert np.isnan(x).tolist() == np.isnan(X).tolist()


UFUNCS = [np.sin, np.exp, np.tanh, np.sqrt, np.log, np.negative, np.abs, np.square, np.positive, np.cbrt, np.expm1,
          np.log1p, np.arctan, np.sign, np.floor, np.ceil, np.rint, np.reciprocal]  # fmt: skip
BINARY_UFUNCS = [np.add, np.subtract, np.multiply, np.divide, np.power, np.float_power, np.maximum, np.minimum,
                 np.hypot,
                 np.arctan2, np.logaddexp]  # fmt: skip


@pytest.mark.parametrize("ufunc", UFUNCS)
def test_a_numpy_ufunc_of_a_node_is_recorded(ufunc):
    for x in (Value(0.7), Tensor([0.3, 0.7])):
        y = ufunc(x)
        assert type(y) is type(x)
        assert_close(np.asarray(y.data), ufunc(np.asarray(x.data)), 1e-15)
        y.backward(1.0 if isinstance(y, Value) else np.ones(2))
        assert np.all(np.isfinite(x.grad))


@pytest.mark.parametrize("ufunc", BINARY_UFUNCS)
def test_a_numpy_ufunc_takes_nodes_and_numbers_on_either_side(ufunc):
    for x, other in ((Value(0.7), np.float64(2.0)), (Tensor([0.3, 0.7]), np.array([2.0, 0.5])), (Tensor([0.3]), 2.0)):
        for y, expected in ((ufunc(x, other), ufunc(x.data, other)), (ufunc(other, x), ufunc(other, x.data))):
            assert type(y) is type(x)
            assert y.parents == (x,)
            assert_close(np.asarray(y.data), np.asarray(expected), 1e-15)


def test_plain_numpy_code_is_differentiable():
    def loss(w):
        return np.mean(np.square(np.tanh(X @ w) - np.ones(2))) + 0.1 * np.linalg.norm(w)

    w = Tensor([0.1, -0.2, 0.3])
    y = loss(w)
    y.backward()
    assert_close(y.data, loss(w.data), 1e-15)
    for i in range(3):
        step = 1e-3 * np.eye(3)[i]
        assert_close(w.grad[i], (loss(w.data + step) - loss(w.data - step)) / 2e-3, 1e-5)


def test_the_spectral_norm_of_a_matrix_is_refused_not_confused_with_frobenius():
    with pytest.raises(TypeError, match="Euclidean"):
        np.linalg.norm(Tensor(np.eye(2)), ord=2, axis=(0, 1))
