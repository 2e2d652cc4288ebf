"""``autodiff demo``: a network of single numbers learns to tell three species of iris apart, then its array twin."""

import argparse
import importlib.util
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from autodiff import Value, draw_dot, exp, log, no_grad

from .data import load_iris, standardize
from .losses import CrossEntropyLoss
from .optim import SGD
from .scalar import MLP, vectorize

__all__ = ["Run", "main", "run"]

BATCH = 20
EPOCH = 6  # batches that show every flower once
HIDDEN = 8
STEPS = 400
LEARNING_RATE, MOMENTUM = 0.05, 0.9

READ_NEXT = """\
Read next
  README.md                               what else the engine does
  notebooks/01_gradients_by_hand.ipynb    where the 5 in expression.svg comes from
  nn/scalar.py                            neuron, layer and network in a few lines each
  autodiff/rules.py                       the table of derivatives behind all of it"""


class Data(NamedTuple):
    """Standardised measurements and labels, to learn from and held out, and the order of the batches."""

    train_x: np.ndarray
    test_x: np.ndarray
    train_y: np.ndarray
    test_y: np.ndarray
    batches: list[np.ndarray]


class Training(NamedTuple):
    """How the training of one network went."""

    losses: list[float]
    """The loss of every step."""
    seconds: float
    accuracy: float
    """The part of the held-out flowers that were recognised."""


class Run(NamedTuple):
    """What the demo did."""

    scalar: Training
    tensor: Training
    files: list[Path]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="autodiff demo", description="Train a network on Fisher's iris flowers: number by number, then as arrays."
    )
    parser.add_argument("--steps", type=int, default=STEPS, help=f"how many batches of {BATCH} flowers (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the batches (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("autodiff-demo"), help="where to write (%(default)s)")
    options = parser.parse_args(argv)
    if options.steps < 1 or options.seed < 0:
        parser.error("--steps must be at least 1 and --seed at least 0")
    try:
        run(steps=options.steps, seed=options.seed, out=options.out)
    except OSError as error:
        parser.error(f"cannot write to {options.out}: {error}; choose another --out")
    return 0


def run(*, steps: int = STEPS, seed: int = 0, out: str | Path = "autodiff-demo") -> Run:
    """Train both networks, write the pictures, and print what happened.

    Args:
        steps: how many batches of 20 flowers each network sees.
        seed: of the weights and of the batches.
        out: the directory to write to; it is made if need be.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    data = _prepare(steps, seed)
    mlp = MLP(4, [HIDDEN, 3], activation="tanh", rng=seed)
    net = vectorize(mlp)  # before training, so that both begin with the same weights
    print(
        f"150 irises of 3 species, 4 measurements of each: {len(data.train_y)} to learn from, "
        f"{len(data.test_y)} held out\n"
        f"{len(mlp.parameters())} parameters, {steps} steps of {BATCH} flowers, seed {seed}\n"
    )
    scalar = _train("number by number", mlp.parameters(), _scalar_step(mlp), _scalar_classes(mlp), data)
    tensor = _train("as arrays", net.parameters(), _tensor_step(net), _tensor_classes(net), data)
    _compare(scalar, tensor)
    written = dict(_write_pictures(mlp, data, scalar, out))
    print("Wrote")
    for path, what in written.items():
        print(f"  {path!s:<38}  {what}")
    if importlib.util.find_spec("matplotlib") is None:
        print("  (and with matplotlib it would draw the loss: pip install matplotlib)")
    print(f"\n{READ_NEXT}")
    return Run(scalar, tensor, list(written))


def _prepare(steps: int, seed: int) -> Data:
    rng = np.random.default_rng(seed)
    measurements, labels, _ = load_iris()
    # Every fifth flower, ten of each species, whatever the seed: so runs with different seeds can be compared. Half a
    # dozen of the 150 look like another species, and a random choice may well hold out four of them or none.
    held = np.arange(len(labels)) % 5 == 0
    train_x, test_x = standardize(measurements[~held], measurements[held])
    train_y, test_y = labels[~held], labels[held]
    batches: list[np.ndarray] = []
    while len(batches) < steps:  # every flower once, in a new order, before any comes again
        order = rng.permutation(len(train_y))
        batches += [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    return Data(train_x, test_x, train_y, test_y, batches[:steps])


# ---- two networks, one schedule -----------------------------------------------------------------------------------

Step = Callable[[np.ndarray, np.ndarray], tuple[Any, np.ndarray]]
"""Measurements and labels of a batch to the loss and the class that the network takes each flower for."""


def _scalar_step(mlp: MLP) -> Step:
    def step(x: np.ndarray, y: np.ndarray) -> tuple[Any, np.ndarray]:
        outputs = [mlp(flower) for flower in x.tolist()]
        total = sum(_cross_entropy(logits, label) for logits, label in zip(outputs, y.tolist(), strict=True))
        return total / len(y), np.array([_largest(logits) for logits in outputs])

    return step


def _cross_entropy(logits: list[Any], label: int) -> Any:
    """-log softmax(logits)[label]. The largest logit is taken off first, so that no exponential overflows."""
    largest = max(z.data for z in logits)
    return log(sum(exp(z - largest) for z in logits)) + largest - logits[label]


def _largest(logits: list[Value]) -> int:
    return int(np.argmax([z.data for z in logits]))


def _scalar_classes(mlp: MLP) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.array([_largest(mlp(flower)) for flower in x.tolist()])


def _tensor_step(net: Any) -> Step:
    cross_entropy = CrossEntropyLoss()

    def step(x: np.ndarray, y: np.ndarray) -> tuple[Any, np.ndarray]:
        logits = net(x)
        return cross_entropy(logits, y), logits.data.argmax(axis=1)

    return step


def _tensor_classes(net: Any) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: net(x).data.argmax(axis=1)


def _train(
    title: str, parameters: list[Any], step: Step, classes: Callable[[np.ndarray], np.ndarray], data: Data
) -> Training:
    """Gradient descent with momentum; the rate falls to zero, so that the last batches do not decide."""
    from tqdm import tqdm

    optimizer = SGD(parameters, lr=LEARNING_RATE, momentum=MOMENTUM)
    recent: deque[float] = deque(maxlen=EPOCH)
    losses = []
    start = perf_counter()
    with tqdm(data.batches, desc=f"{title:<16}", unit=" steps") as bar:
        for i, rows in enumerate(bar):
            labels = data.train_y[rows]
            loss, guesses = step(data.train_x[rows], labels)
            optimizer.zero_grad()
            loss.backward(keep_grads=False)
            optimizer.lr = LEARNING_RATE * (1.0 - i / len(data.batches))
            optimizer.step()
            losses.append(loss.item())
            recent.append(float(np.mean(guesses == labels)))
            bar.set_postfix(loss=f"{losses[-1]:.3f}", accuracy=f"{np.mean(recent):.3f}", refresh=False)
    seconds = perf_counter() - start
    with no_grad():
        accuracy = float(np.mean(classes(data.test_x) == data.test_y))
    return Training(losses, seconds, accuracy)


# ---- telling about it ---------------------------------------------------------------------------------------------


def _compare(scalar: Training, tensor: Training) -> None:
    print(f"\n{'':<18}{'seconds':>9}{'last loss':>14}{'held-out accuracy':>20}")
    for title, training in (("number by number", scalar), ("as arrays", tensor)):
        print(f"{title:<18}{training.seconds:>9.2f}{training.losses[-1]:>14.9f}{training.accuracy:>20.3f}")
    apart = np.max(np.abs(np.subtract(scalar.losses, tensor.losses)))
    faster = scalar.seconds / tensor.seconds
    print(f"The same numbers (losses differ by at most {apart:.0e}), {faster:.0f} times as fast.\n")


def _write_pictures(mlp: MLP, data: Data, scalar: Training, out: Path) -> Iterator[tuple[Path, str]]:
    """Write every picture and yield its path with what it shows."""
    a: Any = Value(2.0)
    b: Any = Value(1.0)
    e = (a + b) * (b + 1)
    e.backward()
    yield _draw(e, {"a": a, "b": b, "e": e}, out / "expression.svg"), "e = (a+b)*(b+1) with every derivative"
    flower = data.test_x[0].tolist()
    # the neuron that has decided least: a saturated one shows an output of 1 and gradients of nothing
    neuron = min(mlp.layers[0].neurons, key=lambda unit: abs(unit(flower).data))
    neuron.zero_grad()
    output = neuron(flower)
    output.backward()
    names = {"w": neuron.w, "b": neuron.b, "output": output}
    yield _draw(output, names, out / "neuron.svg"), "a neuron of the trained network, looking at a flower"
    if importlib.util.find_spec("matplotlib") is not None:
        yield _plot(scalar.losses, out / "loss.png"), "the loss, step by step"


def _draw(root: Any, names: dict[str, Any], path: Path) -> Path:
    path.write_bytes(draw_dot(root, names=names).pipe(format="svg"))
    return path


def _plot(losses: list[float], path: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(1, len(losses) + 1), losses, color="lightsteelblue", label="batch")
    ends = range(EPOCH, len(losses) + 1, EPOCH)
    axes.plot(ends, [np.mean(losses[i - EPOCH : i]) for i in ends], color="navy", label="mean over all flowers")
    axes.legend()
    axes.set(xlabel="step", ylabel="cross-entropy", yscale="log", title="Learning the irises")
    figure.savefig(path, dpi=150)
    return path
