"""Threads, processes and arrays that belong to others.

Holds promises 14 (nothing of the user's is changed or aliased: every public function), 18 (threads) and 19 (the same
bits in every process).
"""

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import autodiff as ad
from autodiff import Node, Tensor, Value, no_grad
from autodiff.primitive import Primitive

# ---- promise 18: threads ---------------------------------------------------------------------------------------------


def scalar_program(x):
    """Return a function with a derivative of its own inside: nesting, many nodes, both kinds."""
    slope = ad.grad(lambda y: ad.tanh(x * y) * y)(0.5)
    return ad.sin(x) * slope + np.exp(-x * x)


def tensor_program(x):
    return np.sum(np.tanh(np.stack([x, x * 2.0]) * np.array([0.5, -1.0]))) + ad.logsumexp(x * np.arange(3.0))


@pytest.mark.promise(18)
@pytest.mark.parametrize("program", [scalar_program, tensor_program])
def test_grad_from_eight_threads_equals_the_serial_result_bit_for_bit(program, figure):
    points = [k / 500.0 - 1.0 for k in range(1000)]
    derivative = ad.grad(program)
    serial = [derivative(x).hex() for x in points]
    start = threading.Barrier(8)

    def work(shift):
        start.wait(30)
        order = points[shift:] + points[:shift]  # threads do not walk in step
        found = [derivative(x).hex() for x in order]
        return found[len(points) - shift :] + found[: len(points) - shift]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(0, 800, 100)))
    assert results == [serial] * 8
    figure(f"derivatives of {program.__name__} by 8 threads, bit for bit the serial ones: {sum(map(len, results)):,}")


@pytest.mark.promise(18)
def test_threads_may_share_leaves_through_the_query_form():
    """`gradients` writes to no node, so one graph may be differentiated by many threads at once."""
    t = Tensor(np.linspace(-1.0, 1.0, 50))
    y = np.sum(np.tanh(t * t) * t)
    expected = ad.gradients(y, t).tobytes()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ad.gradients(y, t).tobytes(), range(200)))
    assert set(found) == {expected}


@pytest.mark.promise(18)
def test_a_derivative_inside_a_derivative_may_be_taken_in_a_worker_thread():
    """x * d/dy(x * y) is x**2, whose derivative at 3 is 6."""

    def f(x):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: x * ad.grad(lambda y: x * y)(1.0)).result()

    assert ad.grad(f)(3.0) == 6.0


@pytest.mark.promise(18)
def test_threads_with_and_without_no_grad_do_not_disturb_each_other():
    def work(k):
        seen = set()
        for _ in range(300):
            if k % 2:
                with no_grad():
                    seen.add(bool((Value(1.0) * 2.0).parents))
            else:
                seen.add(bool((Value(1.0) * 2.0).parents))
        return seen

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [{True}, {False}] * 4


# ---- promise 19: processes -------------------------------------------------------------------------------------------

TRAINING = """
    import numpy as np
    import autodiff as ad
    import nn
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(12, 2)), rng.integers(0, 2, 12)
    model = nn.MLP(2, [4, 3, 1], activation="tanh", rng=7)
    optimizer = nn.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(5):
        optimizer.zero_grad()
        loss = sum((model(list(row)) - float(label)) ** 2 for row, label in zip(x, y))
        loss.backward()
        optimizer.step()
    print(*[p.data.hex() for p in model.parameters()], loss.data.hex())
    net = nn.Sequential(nn.Linear(2, 5, rng=1), nn.ReLU(), nn.Linear(5, 2, rng=2))
    optimizer = nn.SGD(net.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(net(x), y)
        loss.backward()
        optimizer.step()
    print(*[p.data.tobytes().hex() for p in net.parameters()])
    names = {"b", "a", "ccc", "dd"}  # a set: its order depends on the seed of string hashes
    slopes = ad.grad(lambda p: sum(np.sin(p[k]) * len(k) for k in sorted(p)))({k: len(k) / 7 for k in names})
    print(*[slopes[k].hex() for k in sorted(slopes)])
"""


@pytest.mark.promise(19)
def test_the_same_seed_gives_the_same_bits_in_every_process(root, figure):
    outputs = []
    for seed in range(5):
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(TRAINING)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": str(seed)},
            timeout=120,
        )
        assert run.returncode == 0, run.stderr[-2000:]
        outputs.append(run.stdout)
    assert len(outputs[0].splitlines()) == 3
    assert outputs == [outputs[0]] * 5
    figure(f"processes with the same bits, each with another PYTHONHASHSEED: {len(outputs)}")


# ---- promise 14: what belongs to the user ----------------------------------------------------------------------------

X = np.array([[0.5, 0.25, 0.125], [0.75, 0.375, 0.625]])
SPECIAL = {
    "broadcast_to": lambda x: ad.broadcast_to(x, shape=(1, 2, 3)),
    "cast": lambda x: ad.cast(x, dtype=np.float64),
    "clip": lambda x: ad.clip(x, 0.0, 1.0),
    "concatenate": lambda x: ad.concatenate([x]),
    "cumprod": lambda x: ad.cumprod(x, 0),
    "diagonal": ad.diagonal,
    "einsum": lambda x: ad.einsum("ij->ij", x),
    "expand_dims": lambda x: ad.expand_dims(x, 0),
    "getitem": lambda x: ad.getitem(x, index=...),
    "item": lambda x: ad.item(x[:1, :1]),
    "linear": lambda x: ad.linear(x, x, np.zeros(2)),
    "matmul": lambda x: ad.matmul(x, np.eye(3)),
    "moveaxis": lambda x: ad.moveaxis(x, 0, 0),
    "pad": lambda x: ad.pad(x, 0),
    "repeat": lambda x: ad.repeat(x, 1, 0),
    "reshape": lambda x: ad.reshape(x, shape=(2, 3)),
    "roll": lambda x: ad.roll(x, 0),
    "scatter": lambda x: ad.scatter(x, index=..., shape=(2, 3)),
    "split": lambda x: ad.split(x, 1)[0],
    "stack": lambda x: ad.stack([x]),
    "sum_to": lambda x: ad.sum_to(x, shape=(2, 3)),
    "swapaxes": lambda x: ad.swapaxes(x, 0, 0),
    "take": lambda x: ad.take(x, [0, 1], axis=0),
    "tensordot": lambda x: ad.tensordot(x, np.eye(3), 1),
    "tile": lambda x: ad.tile(x, 1),
    "vdot": lambda x: ad.vdot(x, x),
    "weighted_sum": lambda x: ad.weighted_sum(0.0, x, 1.0),
    "where": lambda x: ad.where(True, x, 0.0),
    "inner": lambda x: ad.inner(x, np.eye(3)),
    "dot": lambda x: ad.dot(x, np.eye(3)),
    "outer": lambda x: ad.outer(x, 1.0),
}
HOMES = {"autodiff.array_rules", "autodiff.functions"}


def array_functions():
    """Yield (name, a call on one array) for every public function of arrays, an identity where there is one."""
    for name in ad.__all__:
        thing = getattr(ad, name)
        if name in SPECIAL:
            yield name, SPECIAL[name]
        elif isinstance(thing, Primitive) or getattr(thing, "__module__", None) in HOMES:
            shift = 1.0 if name == "arccosh" else 0.0
            arity = getattr(thing, "arity", 1)
            yield name, (lambda x, f=thing, n=arity, shift=shift: f(*[x + shift] * n))


FUNCTIONS = dict(array_functions())


@pytest.mark.promise(14)
def test_nearly_all_of_the_public_surface_is_judged_here():
    assert len(FUNCTIONS) >= 90


@pytest.mark.promise(14)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_neither_changes_nor_aliases_what_it_is_given(name, figure):
    """Writing into a node's data, or into its gradients, must reach no array of the user, and the other way round."""
    mine, seed_of_mine = X.copy(), None
    t = Tensor(mine)
    y = FUNCTIONS[name](t)
    assert isinstance(y, Node)
    if isinstance(y, Tensor):
        seed_of_mine = np.ones(y.shape)
        assert not np.shares_memory(y.data, t.data)
    with np.errstate(all="ignore"):
        y.backward(seed_of_mine)
    assert np.array_equal(mine, X)
    assert np.array_equal(t.data, X)
    assert seed_of_mine is None or np.all(seed_of_mine == 1.0)
    held = [a for a in (mine, seed_of_mine, t.data, t.grad, *map(np.asarray, (y.data, y.grad))) if a is not None]
    for i, one in enumerate(held):
        assert not any(np.shares_memory(one, other) for other in held[:i])
    figure("public function that changes nothing and aliases nothing")
