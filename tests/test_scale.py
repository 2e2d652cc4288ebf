"""Size: long chains, wide sums, linear time, and memory that comes back by itself.

Holds promises 11 (a million nodes under a recursion limit of 200), 12 (linear time) and 13 (memory back to baseline).
What is measured in bytes or needs a fresh interpreter runs in one of its own, without the cyclic collector.
"""

import gc
import os
import subprocess
import sys
import textwrap
import time
import weakref

import numpy as np
import pytest

import autodiff as ad
import nn
from autodiff import Tensor, Value, elementwise
from autodiff.graph import topological_order

MILLION = 10**6


def run_alone(root, program):
    """Run a program in an interpreter of its own and return what it printed, line by line."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=120,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.splitlines()


# ---- promise 11: a million nodes -------------------------------------------------------------------------------------


@pytest.mark.promise(11)
def test_a_chain_of_a_million_values_works_under_a_recursion_limit_of_200(root, figure):
    lines = run_alone(
        root,
        """
        import copy, gc, pickle, sys, weakref
        import autodiff as ad
        from autodiff.graph import ancestors, topological_order
        gc.disable()
        sys.setrecursionlimit(200)
        x = y = ad.Value(1.0)
        for _ in range(1_000_000):
            y = y + 1.0
        print(y.data)
        y.backward()
        print(x.grad, y.parents[0].grad)
        print(ad.gradients(y, x))
        print(repr(y))
        print(len(topological_order(y)))
        for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
            try:
                duplicate(y)
            except ad.GraphCopyError as error:
                print("Save the leaves" in str(error))
        inner = weakref.ref(y.parents[0].parents[0])
        del y
        print(inner() is None, x.grad)
        """,
    )
    assert lines == [
        "1000001.0",
        "1.0 1.0",
        "1.0",
        "Value(data=1000001.0, grad=1.0)",
        "1000001",
        "True",
        "True",
        "True",
        "True 1.0",
    ]
    figure(f"nodes of a chain built, differentiated and freed under a recursion limit of 200: {int(lines[4]):,}")


@pytest.mark.promise(11)
def test_a_long_chain_of_tensors_and_other_modes_work_too(root):
    lines = run_alone(
        root,
        """
        import sys
        import numpy as np
        import autodiff as ad
        sys.setrecursionlimit(200)

        def chain(x):
            for _ in range(20_000):
                x = x * 1.0
            return x

        t = ad.Tensor([1.0, 2.0])
        chain(t).sum().backward()
        print(t.grad.tolist())
        print(ad.jvp(chain, (1.0,), (2.0,)))
        print(ad.grad(ad.grad(lambda x: chain(x * x)))(3.0))
        print(ad.gradients(chain(t).sum(), t, create_graph=True).data.tolist())
        """,
    )
    assert lines == ["[1.0, 1.0]", "(1.0, 2.0)", "2.0", "[1.0, 1.0]"]


@pytest.mark.promise(11)
@pytest.mark.parametrize(
    ("total", "name"),
    [("sum(leaves)", "one chain of additions"), ("ad.weighted_sum(0.0, *leaves, *ones)", "one node")],
    ids=["chain", "one node"],
)
def test_a_sum_of_a_million_leaves(root, figure, total, name):
    lines = run_alone(
        root,
        f"""
        import gc, sys
        import autodiff as ad
        gc.disable()
        sys.setrecursionlimit(200)
        leaves = [ad.Value(1.0) for _ in range(1_000_000)]
        ones = [1.0] * len(leaves)
        y = {total}
        y.backward(2.0)
        print(y.data, set(leaf.grad for leaf in leaves), "\\n" in repr(y))
        """,
    )
    assert lines == ["1000000.0 {2.0} False"], name
    figure(f"leaves of a sum in {name}, under a recursion limit of 200: {float(lines[0].split()[0]):,.0f}")


@pytest.mark.promise(11)
@pytest.mark.parametrize("step", ["y + 1.0", "y * y", "y.tanh()", "-y"])
def test_a_value_node_takes_at_most_256_bytes_beyond_its_float(root, figure, step):
    (line,) = run_alone(
        root,
        f"""
        import gc, sys, tracemalloc
        import autodiff as ad
        y = ad.Value(0.25)
        for _ in range(1000):
            y = {step}
        gc.disable()
        n = 50_000
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(n):
            y = {step}
        print((tracemalloc.get_traced_memory()[0] - before) / n - sys.getsizeof(0.5))
        """,
    )
    figure(f"bytes of a Value node beyond its float, {step}", round(float(line)), 256)
    assert 0 < float(line) <= 256


# ---- promise 12: linear time -----------------------------------------------------------------------------------------


@pytest.fixture
def without_collector():
    """Collect what there is, then switch the cyclic collector off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def best_time(call, repeats=2):
    """Return the shortest of several times, in seconds of this thread, which others disturb least."""
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return min(times)


def best_ratio(measure, limit, attempts=4):
    """Return the smallest of several ratios, or the first that is within the limit: other processes only add."""
    ratios = []
    for _ in range(attempts):
        ratios.append(measure())
        if ratios[-1] <= limit:
            break
    return min(ratios)


def chain(n):
    x = y = Value(1.0)
    for _ in range(n):
        y = y * 1.0 + x
    return y


@pytest.mark.promise(12)
@pytest.mark.usefixtures("without_collector")  # how often it runs depends on what other tests left alive
def test_backward_of_twice_the_nodes_takes_at_most_two_and_a_half_times_as_long(figure):
    small, large = chain(50_000), chain(100_000)  # of 100,000 and 200,000 nodes
    ratio = best_ratio(lambda: best_time(large.backward, 3) / best_time(small.backward, 3), 2.5, attempts=6)
    figure("seconds of backward of 200,000 nodes / of 100,000 nodes", ratio, 2.5)
    assert ratio <= 2.5


@pytest.mark.promise(12)
def test_doubling_sixty_times_gives_2_to_the_60_in_sixty_steps(figure):
    """A walk over paths instead of nodes would take 2**60 steps: counted, not timed."""
    calls = []

    one = lambda y, a, b: calls.append(1) or 1.0
    plus = elementwise("counted_addition", lambda a, b: a + b, np.add, one, one)
    for kind in (Value, Tensor):
        calls.clear()
        x = y = kind(1.0)
        for _ in range(60):
            y = plus(y, y)
        assert len(topological_order(y)) == 61
        y.backward()
        assert y.item() == 2.0**60
        assert float(np.asarray(x.grad)) == 2.0**60
        figure("derivatives computed for sixty doublings, in reverse mode", len(calls), 120)
        assert len(calls) == 120  # two operands a node
        calls.clear()
        y.backward()
        assert len(calls) == 120
        assert float(np.asarray(x.grad)) == 2.0**61


@pytest.mark.promise(12)
def test_forward_mode_visits_every_node_once(figure):
    calls = []

    one = lambda y, a, b: calls.append(1) or 1.0
    plus = elementwise("counted_addition", lambda a, b: a + b, np.add, one, one)

    def double(x):
        for _ in range(60):
            x = plus(x, x)
        return x

    assert ad.jvp(double, (1.0,), (1.0,)) == (2.0**60, 2.0**60)
    figure("derivatives computed for sixty doublings, in forward mode", len(calls), 120)
    assert len(calls) == 120


def scalar_forward():
    model = nn.MLP(3, [8, 8, 1], rng=0)
    return lambda: model([0.5, -1.0, 2.0])


def small_tensor_forward():
    """Small matrices, so that the linear algebra library starts no threads of its own."""
    w = Tensor(np.random.default_rng(0).normal(size=(32, 32)))

    def forward():
        y = w
        for _ in range(10):
            y = np.tanh(y @ w)
        return y.mean()

    return forward


def large_tensor_forward():
    x, w = Tensor(np.linspace(-1.0, 1.0, 200_000)), Value(0.5)
    return lambda: np.sum(np.tanh(x * w) * ad.sigmoid(x) + np.sqrt(x * x + 1.0))


@pytest.mark.promise(12)
@pytest.mark.parametrize("make", [scalar_forward, small_tensor_forward, large_tensor_forward])
@pytest.mark.parametrize("keep_grads", [True, False])
def test_backward_costs_at_most_four_forwards(figure, make, keep_grads):
    forward = make()
    y = forward()
    ratio = best_ratio(
        lambda: best_time(lambda: y.backward(keep_grads=keep_grads), 7) / best_time(forward, 7), limit=4.0
    )
    figure(f"seconds of backward / of forward, {make.__name__}", ratio, 4)
    assert ratio <= 4


# ---- promise 13: memory comes back without the cyclic collector ------------------------------------------------------

TRAINING = {
    "scalar network": """
        model = nn.MLP(2, [4, 1], activation="tanh", rng=0)
        optimizer = nn.SGD(model.parameters(), lr=0.01, momentum=0.9)
        def loss():
            return (model([1.0, -2.0]) - 0.5) ** 2 + (model([0.3, 0.7]) + 0.5) ** 2
        """,
    "tensor network": """
        model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.Tanh(), nn.Linear(8, 3, rng=1))
        optimizer = nn.SGD(model.parameters(), lr=0.01, momentum=0.9)
        x, labels = np.ones((16, 4)), np.arange(16) % 3
        def loss():
            return nn.CrossEntropyLoss()(model(x), labels)
        """,
    "both, under detect_anomaly, with an exception each step": """
        a, t = ad.Value(1.0), ad.Tensor([1.0, 2.0])
        optimizer = nn.SGD([a, t], lr=1e-3)
        def loss():
            try:
                (t * t).backward()
            except ad.SeedError:
                pass
            with ad.detect_anomaly():
                return (np.exp(t * a) * ad.Tensor.from_values([a, 2.0])).sum()
        """,
}


@pytest.mark.promise(13)
@pytest.mark.parametrize("setup", TRAINING.values(), ids=TRAINING)
def test_a_thousand_training_steps_leave_no_more_memory_than_a_hundred(root, figure, request, setup):
    head = "import gc, tracemalloc\nimport numpy as np\nimport autodiff as ad\nimport nn\n"
    steps = """
        def train(steps):
            for _ in range(steps):
                optimizer.zero_grad()
                loss().backward(keep_grads=False)
                optimizer.step()
        # Python keeps dead tuples for reuse, up to 2,000 of each length, and forgets them in gc.collect(). That it
        # returns 0 says that it found nothing else to do.
        gc.disable()
        gc.collect()
        tracemalloc.start()
        train(100)
        cycles = gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        train(900)
        cycles += gc.collect()
        print(tracemalloc.get_traced_memory()[0] - before)
        print(cycles)
        """
    more, cycles = run_alone(root, head + textwrap.dedent(setup) + textwrap.dedent(steps))
    figure(f"bytes after 1,000 steps beyond those after 100, {request.node.callspec.id}", int(more), 65536)
    figure("cycles found by the collector", int(cycles), 0)
    assert int(more) <= 65536
    assert int(cycles) == 0


def build_and_differentiate():
    t, v = Tensor([1.0, 2.0]), Value(3.0)
    y = (np.tanh(t * v) + Tensor.from_values([v, 1.0])).sum()
    y.backward()
    return y


GRAPHS = {
    "backward": build_and_differentiate,
    "create_graph": lambda: ad.gradients(build_and_differentiate() * 1.0, [], create_graph=True),
    "grad": lambda: ad.grad(ad.grad(lambda x: np.tanh(x * x)))(0.5),
    "hessian": lambda: ad.hessian(lambda x: np.prod(np.sin(x)))(np.ones(3)),
    "jvp and vjp": lambda: (ad.jvp(np.tanh, (0.5,), (1.0,)), ad.vjp(np.tanh, 0.5)[1](1.0)),
    "no_grad": lambda: ad.no_grad()(build_and_differentiate),
    "a scalar network": lambda: nn.MLP(2, [3, 1], rng=0)([1.0, 2.0]).backward(),
    "a drawing": lambda: repr(build_and_differentiate()),
}


@pytest.mark.promise(13)
@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.usefixtures("without_collector")
def test_nothing_is_left_for_the_cyclic_collector(make, figure):
    make()  # imports and caches of a first call
    gc.collect()
    for _ in range(10):
        make()
    left = gc.collect()
    figure("objects left for the cyclic collector", left, 0)
    assert left == 0


@pytest.mark.promise(13)
@pytest.mark.usefixtures("without_collector")
def test_a_graph_dies_the_moment_its_root_does(figure):
    y = build_and_differentiate()
    watched = [weakref.ref(node) for node in topological_order(y)]
    assert all(ref() is not None for ref in watched)
    del y
    alive = sum(ref() is not None for ref in watched)
    figure("nodes of a graph alive after its root", alive, 0)
    assert alive == 0


@pytest.mark.usefixtures("without_collector")
def test_a_leaf_does_not_keep_the_graphs_that_used_it():
    leaf = Value(2.0)
    y = leaf * 3.0
    gone = weakref.ref(y)
    y.backward()
    del y
    assert gone() is None
    assert leaf.grad == 3.0


@pytest.mark.promise(13)
@pytest.mark.usefixtures("without_collector")
def test_an_exception_in_backward_keeps_no_graph_alive():
    t = Tensor([1.0, 2.0])
    y = t * 2.0
    gone = weakref.ref(y)
    with pytest.raises(ad.SeedError) as caught:
        y.backward()
    del y, caught
    gc.collect()  # pytest's own traceback is a cycle
    assert gone() is None


def test_letting_go_of_inner_gradients_lowers_the_peak_of_memory(root, figure):
    lines = run_alone(
        root,
        """
        import tracemalloc
        import numpy as np
        import autodiff as ad
        leaf = y = ad.Tensor(np.full(50_000, 0.5))
        for _ in range(40):
            y = np.tanh(y + 0.1)
        for keep in (False, True):
            y.backward(np.ones(50_000), keep_grads=False)
            tracemalloc.start()
            y.backward(np.ones(50_000), keep_grads=keep)
            print(tracemalloc.get_traced_memory()[1] // leaf.data.nbytes)
            tracemalloc.stop()
        """,
    )
    early, kept = map(int, lines)
    figure(f"peak of backward over 80 arrays: {early} arrays when let go early, {kept} when kept")
    assert kept >= 80
    assert early <= 10
