"""Gradients of layout, indexing and reduction operations, written down without differentiating anything."""

import numpy as np

import autodiff as ad

V = np.array([0.5, -1.0, 2.0])
M = np.arange(6.0).reshape(2, 3) / 4 - 0.5
S = np.arange(9.0).reshape(3, 3) / 4 - 1
C = np.arange(18.0).reshape(3, 3, 2) / 8 - 1
K = np.arange(12.0).reshape(2, 3, 2) / 8 - 0.7


def placed(shape, index, g):
    """Return zeros, with g added at the index, however often it names an element."""
    out = np.zeros(shape)
    np.add.at(out, index, g)
    return out


def reversed_sums(g, axis):
    """Return at every place the sum of g from there to the end, written as a product with a triangle of ones."""
    triangle = np.triu(np.ones((g.shape[axis], g.shape[axis])))
    return np.moveaxis(np.tensordot(triangle, g, (1, axis)), 0, axis)


def wide(g, shape, axes):
    """Return the gradient of a sum over the axes: g at every element that was added up."""
    return np.broadcast_to(np.reshape(g, [1 if i in axes else n for i, n in enumerate(shape)]), shape)


def spread(g):
    """Return an array whose diagonal over the first two axes is g, and which is 0 elsewhere."""
    return np.einsum("i...,ij->ij...", g, np.eye(len(g)))


# (what, function, operand, its gradient for the upstream gradient g)
CLOSED_FORMS = [
    ("einsum ii->", lambda x: ad.einsum("ii->", x), S, lambda g: g * np.eye(3)),
    ("einsum ii->i", lambda x: ad.einsum("ii->i", x), S, np.diag),
    ("einsum iij->ij", lambda x: ad.einsum("iij->ij", x), C, spread),
    ("einsum ii->i of one", lambda x: ad.einsum("ii->i", x), S[:1, :1], np.diag),
    *((f"sum over {axis}", lambda x, a=axis: ad.sum(x, axis=a), K, lambda g, n=axes: wide(g, K.shape, n))
      for axis, axes in ((None, (0, 1, 2)), (-1, (2,)), (-3, (0,)), ((0, 2), (0, 2)), ((-1, 0), (0, 2)), ((), ()))),
    *((f"sum over {axis}, axes kept", lambda x, a=axis: ad.sum(x, axis=a, keepdims=True), K,
       lambda g: np.broadcast_to(g, K.shape)) for axis in (None, -2, (1, -1), ())),
    ("mean over (-1, 0)", lambda x: ad.mean(x, axis=(-1, 0)), K, lambda g: wide(g, K.shape, (0, 2)) / 4),
    ("mean over ()", lambda x: ad.mean(x, axis=()), K, lambda g: g),
    ("max over ()", lambda x: ad.max(x, axis=()), K, lambda g: g),
    ("max over (0, -1)", lambda x: ad.max(x, axis=(0, -1)), K, lambda g: placed(K.shape, (1, [0, 1, 2], 1), g)),
    ("prod over -1", lambda x: ad.prod(x, axis=-1), K, lambda g: g[..., None] * K[..., ::-1]),
    ("indices repeated", lambda x: x[[0, 2, 0, 0]], V, lambda g: placed(3, [0, 2, 0, 0], g)),
    ("indices repeated in pairs", lambda x: x[[0, 1, 0], [1, 1, 1]], M, lambda g: [[0, g[0] + g[2], 0], [0, g[1], 0]]),
    ("take repeated", lambda x: ad.take(x, [[1, 1], [0, 1]], axis=1), M,
     lambda g: placed((2, 3), (slice(None), [[1, 1], [0, 1]]), g)),
    ("mask all False", lambda x: x[np.zeros(3, bool)], V, lambda g: np.zeros(3)),
    ("mask of rows all False", lambda x: x[np.zeros(2, bool)], M, lambda g: np.zeros((2, 3))),
    ("mask of elements all False", lambda x: x[np.zeros((2, 3), bool)], M, lambda g: np.zeros((2, 3))),
    ("slice ::-1", lambda x: x[::-1], V, lambda g: g[::-1]),
    ("slice ::-2", lambda x: x[::-2], V, lambda g: [g[1], 0, g[0]]),
    ("slice 2:0:-1, ::-1", lambda x: x[2:0:-1, ::-1], S, lambda g: [[0, 0, 0], g[1][::-1], g[0][::-1]]),
    *((f"cumsum along {axis}", lambda x, a=axis: ad.cumsum(x, axis=a), K, lambda g, a=axis: reversed_sums(g, a))
      for axis in (0, 1, 2, -1, -2, -3)),
    ("cumsum of all", ad.cumsum, K, lambda g: reversed_sums(g, 0).reshape(K.shape)),
    ("pad width 0", lambda x: ad.pad(x, 0), M, lambda g: g),
    ("pad width 0 on one side", lambda x: ad.pad(x, ((0, 0), (0, 2)), constant_values=7.0), M, lambda g: g[:, :3]),
    ("concatenate([x, x])", lambda x: ad.concatenate([x, x]), M, lambda g: g[:2] + g[2:]),
    ("concatenate([x, x], -1)", lambda x: ad.concatenate([x, x], axis=-1), M, lambda g: g[:, :3] + g[:, 3:]),
    ("concatenate unequal", lambda x: ad.concatenate([x[:, :1], np.ones((2, 4)), x], -1), M,
     lambda g: g[:, 5:] + placed((2, 3), (slice(None), [0]), g[:, :1])),
    ("split, second part", lambda x: ad.split(x, 3)[1], C, lambda g: np.concatenate([0 * g, g, 0 * g])),
    ("split, first part along -1", lambda x: ad.split(x, [1], -1)[0], M,
     lambda g: placed((2, 3), (slice(None), [0]), g)),
    ("split, an empty part", lambda x: ad.split(x, [2, 2])[1], V, lambda g: np.zeros(3)),
]  # fmt: skip
