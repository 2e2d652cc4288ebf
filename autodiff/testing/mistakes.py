"""Planted mistakes: the reverse pass of a function, run again with one mistake in it.

Two arrays alone do not show that the derivative of an activation was left out, or that a contribution was
overwritten. The graph of the function does: make the mistake on purpose, at one operation or at every use of it, and
look whether the result is the wrong gradient. What each kind of mistake is called, `diagnose` says.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..array_rules import like, shape_of, size_of, softmax
from ..backward import pull, reverse
from ..graph import ancestors, topological_order
from ..modes import recording
from ..node import Node
from ..primitive import REGISTRY, Elementwise, Primitive, Reduction
from ..rules import sigmoid
from ..shapes import broadcast_axes
from ..tensor import Tensor
from ..transforms import grad, jvp
from ..value import Value

__all__ = ["AT_INPUT", "AT_OUTPUT", "Guess", "ReversePass", "floating", "plain"]

Send = Callable[[Any], list[tuple[Node, Any]]]  # from the gradient of a node to what goes where
Change = Callable[[Any, Any], Any]  # from that gradient and a contribution to a wrong contribution

# Mistakes at a single operation are looked for in graphs of up to so many: each costs a reverse pass, and there are
# six to eleven an operation. In a larger graph a mistake is looked for at all uses of an operation at once.
FEW = 100
MANY_CONTRIBUTIONS = 8  # of more than so many contributions to one node, only the first and the last are tried alone
RATES = (1.0, 0.1, 0.01, 0.001)  # learning rates that people choose; from the best, Gauss and Newton go on
STEPS = 10  # of theirs; each doubles the number of right digits, so a few are enough

AT_OUTPUT = "activation derivative taken at the output instead of the input"
AT_INPUT = "activation derivative taken at the input instead of the output"

# Functions that are often written out in simpler operations, such as 1 / (1 + exp(-z)), and recognised by their values
RECOGNISED = ("sigmoid", "tanh", "relu", "softplus", "silu")
# Operations on logits, and the probabilities in their derivatives
PROBABILITIES: dict[str, Callable[[Any, Any], Any]] = {
    "softmax": lambda x, y: y,
    "log_softmax": lambda x, y: np.exp(y),
    "softmax_cross_entropy": lambda x, y: softmax(x),
    "binary_cross_entropy_with_logits": lambda x, y: sigmoid(x),
    "mean_binary_cross_entropy_with_logits": lambda x, y: sigmoid(x),
}
# Derivatives written in the output, where the table has them written in the input
IN_THE_OUTPUT: dict[str, Callable[[Any], Any]] = {"tanh": lambda y: 1 - y * y, "sigmoid": lambda y: y * (1 - y)}


class Guess(NamedTuple):
    """One explanation of a wrong gradient, still to be compared with it."""

    mistake: str
    evidence: str
    predicted: Any
    """What a backward pass with this mistake gives; None if the evidence is complete without it."""
    seen: Any = None
    """What that is to be compared with; by default the wrong gradient itself."""
    fitted: int = 0
    """How many numbers in the prediction were chosen so that it fits."""


class Planted(NamedTuple):
    """A wrong rule for one operation."""

    mistake: str
    what: str
    """What the wrong reverse pass does, to go between "A reverse pass that" and the name of the operation."""
    rule: tuple[Any, ...]
    """Equal for the same mistake in other uses of the operation."""
    node: Node
    send: Send


def plain(x: Any) -> Any:
    """The data of a node, everything else as it is."""
    return x.data if isinstance(x, Node) else x


def floating(x: Any) -> bool:
    """Whether x is something to differentiate by: a float or an array of floats."""
    return isinstance(x, (float, np.floating)) or (isinstance(x, np.ndarray) and x.dtype.kind == "f")


class ReversePass:
    """The reverse pass from a number f(*args) to one of its arguments, open to mistakes.

    Args:
        f: a function written for autodiff's nodes.
        args: its arguments.
        argnum: the argument to differentiate by, a number or an array.
    """

    def __init__(self, f: Callable[..., Any], args: Sequence[Any], argnum: int) -> None:
        self.f, self.args, self.argnum = f, [plain(arg) for arg in args], argnum % len(args)
        x = self.args[self.argnum]
        self.x: Node = Tensor(x) if isinstance(x, np.ndarray) else Value(x)
        with recording():
            root = f(*[self.x if j == self.argnum else arg for j, arg in enumerate(self.args)])
        self.order: list[Node] = []
        self.seed: Any = None
        if isinstance(root, Node):
            self.seed = root._seed(None)
            through = {self.x}
            for node in topological_order(root, stop=through.copy()):
                if node is self.x or not through.isdisjoint(node.parents):
                    self.order.append(node)
                    through.add(node)
        if not self.order or self.order[-1] is not root:
            self.order = []  # f does not depend on the argument
        count = len(self.order) - 1
        self.place = {
            node: f"{node.op.name} (operation {k} of {count})" for k, node in enumerate(self.order) if node.op
        }
        self.place[self.x] = "the argument"

    # ---- the pass ----

    def run(
        self,
        sends: Mapping[Node, Send] | None = None,
        keep: Callable[[Node, list[Any]], Any] | None = None,
        instead: Mapping[int, Any] | None = None,
    ) -> Any:
        """The gradient: right, or with a mistake.

        Args:
            sends: what these nodes send on, instead of the right contributions.
            keep: from a node and its contributions, (sender, contribution) each, those that count.
            instead: values that the local derivatives see in place of others, by the id of these.
        """
        inbox: dict[Node, list[Any]] = {node: [] for node in self.order}
        if self.order:
            inbox[self.order[-1]].append((None, self.seed))
        for node in reversed(self.order):
            letters = inbox[node]
            if keep is not None and len(letters) > 1:
                letters = keep(node, letters)
            if not letters:
                continue
            g = letters[0][1]
            for _, c in letters[1:]:
                g = g + c
            if node is self.x:
                return g
            for target, c in sends[node](g) if sends and node in sends else self._right(node, g, instead):
                inbox[target].append((node, like(c, target.data)))
        return self.x._zero()

    def _contributions(
        self, node: Node, g: Any, instead: Mapping[int, Any] | None = None
    ) -> list[tuple[int, Node, Any]]:
        """(position, operand, contribution) for every operand through which the argument is reached."""
        found: list[tuple[int, Node, Any]] = []
        if node.op is not None and node.op.arity is None:
            wanted = {x for x in node.parents if x in self.place}
            note = lambda sender, i, c: found.append((i, node.operands[i], c)) if sender is node else None
            reverse(node, g, wanted=wanted, stop=wanted, watch=note)
            return found
        y, xs, params = _facts(node)
        if instead:
            xs = [instead.get(id(x), x) for x in xs]
        for i, x in enumerate(node.operands):
            if isinstance(x, Node) and x in self.place:
                c = pull(node.op, g, y, xs, params, i)
                if c is not None:
                    found.append((i, x, like(c, x.data)))
        return found

    def _right(self, node: Node, g: Any, instead: Mapping[int, Any] | None) -> list[tuple[Node, Any]]:
        return [(x, c) for _, x, c in self._contributions(node, g, instead)]

    # ---- with a mistake ----

    def guesses(self) -> Iterator[Guess]:
        """Every mistake that can be planted, with the gradient it gives."""
        few = len(self.order) <= FEW
        with np.errstate(all="ignore"):
            yield from self._overwritten(few)
            planted = [p for node in self.order if node is not self.x for p in self._planted(node)]
            planted += [p for link in self._unary(few) for p in _wrong_unary(*link)]
            uses: dict[tuple[Any, ...], list[Planted]] = {}
            for p in planted:
                uses.setdefault((p.mistake, p.what, *p.rule), []).append(p)
            for group in uses.values():
                mistake, what = group[0][:2]
                for p in group if few or len(group) == 1 else ():
                    place = self.place[p.node]
                    predicted = self.run({p.node: p.send})
                    yield Guess(mistake, f"A reverse pass that {what}, at {place}, gives these numbers", predicted)
                if len(group) > 1:
                    place = f"at all {len(group)} places"
                    predicted = self.run({p.node: p.send for p in group})
                    yield Guess(mistake, f"A reverse pass that {what}, {place}, gives these numbers", predicted)

    def _overwritten(self, few: bool) -> Iterator[Guess]:
        """Assigned where it should be added: at every node, or at one."""
        mistake = "overwritten instead of accumulated"
        counts: dict[Node, list[Any]] = {}
        self.run(keep=lambda node, letters: counts.setdefault(node, letters))
        if not counts:
            return
        for k, which in ((-1, "last"), (0, "first")):
            predicted = self.run(keep=partial(_chosen, None, k))
            what = f"keeps only the {which} contribution to every node that is used several times"
            yield Guess(mistake, f"A reverse pass that {what} gives these numbers", predicted)
        for node, letters in counts.items() if few else ():
            n = len(letters)
            for k in range(n) if n <= MANY_CONTRIBUTIONS else (0, n - 1):
                sender = self.place[letters[k][0]]
                what = f"keeps only one of the {n} contributions to {self.place[node]}, the one from {sender},"
                predicted = self.run(keep=partial(_chosen, node, k))
                yield Guess(mistake, f"A reverse pass that {what} gives these numbers", predicted)

    def _planted(self, node: Node) -> Iterator[Planted]:
        """Every wrong rule for one operation."""
        op = node.op
        assert op is not None  # the only leaf is the argument
        if isinstance(op, Elementwise) and op.arity == 2 and op.name not in ("add", "sub"):
            what = f"exchanges the local derivatives of the operands of {op.name}"
            yield Planted("local derivatives exchanged", what, (op,), node, partial(self._exchanged, node))
        for i, x in enumerate(node.operands):
            if isinstance(x, Node) and x in self.place:
                for mistake, what, change in _wrong_edges(node, i):
                    yield Planted(mistake, what, (op, i), node, partial(self._changed, node, i, change))

    def _changed(self, node: Node, i: int, change: Change, g: Any) -> list[tuple[Node, Any]]:
        return [(x, change(g, c) if j == i else c) for j, x, c in self._contributions(node, g)]

    def _exchanged(self, node: Node, g: Any) -> list[tuple[Node, Any]]:
        y, xs, params = _facts(node)
        swapped = [(x, pull(node.op, g, y, xs, params, 1 - i)) for i, x, _ in self._contributions(node, g)]
        return [(x, c) for x, c in swapped if c is not None]

    def _unary(self, few: bool) -> Iterator[tuple[Node, Node, Elementwise, dict[str, Any]]]:
        """(y, x, row, params) wherever y is a function of x alone: one operation, or several recognised as one."""
        for y in self.order:
            if isinstance(y.op, Elementwise) and y.op.arity == 1 and callable(y.op.partials[0]):
                yield y, y.parents[0], y.op, y.params
        below = {y: ancestors(y) for y in self.order} if few else {}
        for name in RECOGNISED:
            row: Any = REGISTRY[name]
            for x in self.order if few else ():
                value = row(x.data)
                others = [y for y in self.order if y.op is not row and x in below[y] and shape_of(y) == shape_of(value)]
                for y in others:
                    if np.allclose(plain(y), value, rtol=1e-9, atol=0):  # the same function, rounded differently
                        yield y, x, row, {}

    # ---- what else the graph tells ----

    def sizes(self) -> dict[int, str]:
        """Lengths of which a factor may be made, and what each is the length of."""
        found: dict[int, str] = {}
        for node in self.order:
            op, place = node.op, self.place[node]
            if isinstance(op, Reduction):
                count = _ratio(plain(node.operands[0]), node.data)
                found.setdefault(count, f"the number of elements that {place} takes together")
            for i, x in enumerate(node.operands):
                if isinstance(x, np.ndarray):
                    for axis, n in enumerate(x.shape):
                        found.setdefault(n, f"the length of axis {axis} of operand {i} of {place}")
        return found

    def averages(self) -> dict[float, str]:
        """The numbers that the function divides by, and where."""
        found: dict[float, str] = {}
        for node in self.order:
            op, place = node.op, self.place[node]
            constants = [x for x in node.operands if isinstance(x, float) and x]
            if isinstance(op, Reduction) and op.averaged:
                found.setdefault(float(_ratio(plain(node.operands[0]), node.data)), place)
            elif op is not None and op.name in ("div", "mul") and constants:
                found.setdefault(constants[0] if op.name == "div" else round(1 / constants[0], 9), place)
        return found

    def elsewhere(self, mine: Any) -> Iterator[Guess]:
        """The gradient at other values: after a step of gradient descent that came too early, or before the last one.

        How long the step was is fitted; if only the reverse pass saw it, its length enters linearly.
        """
        right, numbers = self.run(), [j for j, arg in enumerate(self.args) if floating(arg)]
        slopes = {j: grad(self.f, j)(*self.args) for j in numbers}
        # one argument, or the first few, which are usually the parameters
        steps = [((j,), slopes) for j in numbers] + [(tuple(numbers[:k]), slopes) for k in range(2, len(numbers) + 1)]
        for moved, directions in [*steps, ((self.argnum,), {self.argnum: mine})]:
            name = "your gradient" if directions is not slopes else "the gradient by it"
            used = {j: plain(self.x) if j == self.argnum else self.args[j] for j in moved}
            slope = self.run(instead={id(x): x + directions[j] for j, x in used.items()}) - right
            if t := _projected(mine - right, slope):
                what = f"The gradient with {_moved(moved, t, name)} in the reverse pass, but not in the forward pass"
                yield Guess("taken at other values", what, right + t * slope, fitted=1)
            path = partial(self._gradient_at, {j: directions[j] for j in moved})
            if t := _nearest(path, mine):
                yield Guess("taken at other values", f"The gradient at {_moved(moved, t, name)}", path(t), fitted=1)

    def _gradient_at(self, directions: Mapping[int, Any], t: Any) -> Any:
        moved = [arg + t * directions[j] if j in directions else arg for j, arg in enumerate(self.args)]
        return grad(self.f, self.argnum)(*moved)


def _moved(moved: Sequence[int], t: float, name: str) -> str:
    which = ", ".join(f"args[{j}]" for j in moved)
    return f"{which} {'-' if t < 0 else '+'} {abs(t):.6g} * {name} instead of {which}"


def _projected(difference: Any, slope: Any) -> float:
    """The t for which t * slope is closest to the difference; 0 if there is none."""
    steepness = float(np.sum(slope * slope))
    t = float(np.sum(slope * difference)) / steepness if steepness else 0.0
    return t if np.isfinite(t) else 0.0


def _nearest(path: Callable[[Any], Any], mine: Any) -> float:
    """The t at which the path comes closest to mine, by the method of Gauss and Newton."""
    starts = [0.0, *(sign * rate for sign in (-1.0, 1.0) for rate in RATES)]
    distances = [float(np.sum((mine - path(t)) ** 2)) for t in starts]
    t = starts[int(np.argmin(np.nan_to_num(distances, nan=np.inf)))]
    for _ in range(STEPS):
        value, slope = jvp(path, (t,), (1.0,))
        step = _projected(mine - value, slope)
        if abs(step) <= 1e-15 * abs(t):
            break
        t += step
    return t


def _chosen(only: Node | None, k: int, node: Node, letters: list[Any]) -> list[Any]:
    """The k-th contribution alone, at one node or at all."""
    return [letters[k]] if only is None or node is only else letters


def _facts(node: Node) -> tuple[Any, list[Any], dict[str, Any]]:
    """Output, operands and metadata of an operation, all of them plain data."""
    return node.data, [plain(x) for x in node.operands], node.params


def _ratio(x: Any, y: Any) -> int:
    """How many elements of x there are to one of y."""
    return size_of(x) // max(size_of(y), 1)


def _wrong_edges(node: Node, i: int) -> Iterator[tuple[str, str, Change]]:
    """(mistake, what is done, wrong contribution) for one operand of one operation, the likeliest first."""
    op, (y, xs, params) = node.op, _facts(node)
    assert op is not None  # only operations have operands
    x, name = xs[i], op.name
    if name in ("matmul", "linear") and shape_of(x):
        yield from _transposed_products(name, y, xs, i)
    if op.arity is not None:
        yield from _partly_summed(op, y, xs, params, i)
    if isinstance(op, Reduction):
        yield from _wrong_reduction(op, y, xs, params, i)
    if i == 0 and name in PROBABILITIES:
        yield from _wrong_probabilities(name, PROBABILITIES[name](x, y), xs)
    if name == "getitem":
        assign = lambda g, c: _assigned(x, params, g)
        yield "overwritten instead of accumulated", "assigns where an index occurs twice", assign
    if name == "transpose":
        yield "reshaped instead of transposed", "reshapes", lambda g, c: np.reshape(g, shape_of(x))
    if name == "power" and i == 0:
        yield "exponent not lowered", "multiplies by x**n instead of x**(n - 1)", lambda g, c: c * x
        yield "off by a factor at one place", "leaves out the n of n * x**(n - 1)", lambda g, c: c / xs[1]
    if isinstance(op, Elementwise) and op.arity is not None and op.arity > 1 and callable(op.partials[i]):
        yield "missing local derivative", f"leaves out the local derivative of {name}", lambda g, c: g
    yield "a term left out", f"leaves out what goes to operand {i}", lambda g, c: c * 0.0
    yield "sign flipped at one place", f"flips the sign of what goes to operand {i}", lambda g, c: -c
    factor = "off by a factor at one place"
    yield factor, f"doubles what goes to operand {i}", lambda g, c: 2.0 * c
    yield factor, f"halves what goes to operand {i}", lambda g, c: 0.5 * c


def _wrong_probabilities(name: str, p: Any, xs: list[Any]) -> Iterator[tuple[str, str, Change]]:
    """What goes wrong with softmax, and with the losses whose gradient is the famous p - t."""
    if name in ("softmax", "log_softmax"):
        own = (lambda g, c: g * p * (1 - p)) if name == "softmax" else (lambda g, c: g * (1 - p))
        what = f"differentiates {name} as if every output depended on its own input only"
        yield "softmax differentiated element by element", what, own
    if name == "log_softmax":
        yield "a term left out", "leaves out the probabilities p in p - t", lambda g, c: g
        yield "a term left out", "leaves out the targets t in p - t", lambda g, c: c - g
    elif name != "softmax":
        yield "a term left out", "leaves out the probabilities p in p - t", lambda g, c: c * (xs[1] / (xs[1] - p))
        yield "a term left out", "leaves out the targets t in p - t", lambda g, c: c * (p / (p - xs[1]))
    if name != "softmax":
        yield "activation derivative applied twice", "multiplies p - t by p * (1 - p)", lambda g, c: c * p * (1 - p)


def _transposed_products(name: str, y: Any, xs: list[Any], i: int) -> Iterator[tuple[str, str, Change]]:
    """Every product of g and the other matrix that has the right shape; one of them is right, which does no harm."""
    other: Any = xs[1 - i] if i < 2 else 0.0
    if not 1 <= np.ndim(other) <= 2 or not 1 <= np.ndim(y) <= 2:
        return
    label = ("xw" if name == "linear" else "ab")[1 - i]
    for turned, first, back in itertools.product((False, True), repeat=3):
        factors = ["g", f"{label}.T" if turned else label]
        what = " @ ".join(factors if first else factors[::-1])
        product = partial(_product, other.T if turned else other, first, back)
        try:
            shape = np.shape(product(np.ones_like(y), None))
        except ValueError:  # these shapes do not fit; nobody could have written this
            continue
        if shape == shape_of(xs[i]):
            yield "transposed product", f"computes {f'({what}).T' if back else what} from what arrives, g", product


def _product(other: Any, first: bool, back: bool, g: Any, c: Any) -> Any:  # noqa: ARG001  # a Change
    product = g @ other if first else other @ g
    return product.T if back else product


def _partly_summed(
    op: Primitive, y: Any, xs: list[Any], params: dict[str, Any], i: int
) -> Iterator[tuple[str, str, Change]]:
    """Only one of the terms, or their mean, where contributions of several samples are to be summed."""
    axis = None
    if (isinstance(op, Elementwise) or (op.name, i) == ("linear", 2)) and shape_of(xs[i]) != shape_of(y):
        axis = broadcast_axes(shape_of(xs[i]), shape_of(y))[0]
    elif (op.name, i) == ("linear", 1) and np.ndim(y) == 2:
        axis = 0
    elif (op.name, i) == ("matmul", 1) and np.ndim(xs[0]) >= 2:
        axis = np.ndim(y) - min(np.ndim(xs[1]), 2)
    if axis is None or (n := shape_of(y)[axis]) < 2:
        return
    for k, which in ((-1, "last"), (0, "first")):
        what = f"keeps only the {which} of {n} contributions that are to be summed"
        at = (slice(None),) * axis + (k,)
        yield "not summed over the batch", what, partial(_only_of, op, at, (y, xs, params, i))
    yield "mean instead of sum", f"takes the mean of {n} contributions", lambda g, c: c / n


def _only_of(op: Primitive, at: tuple[Any, ...], facts: tuple[Any, ...], g: Any, c: Any) -> Any:  # noqa: ARG001  # a Change
    """What comes back if g is 0 everywhere else."""
    masked = np.zeros_like(g)
    masked[at] = g[at]
    return pull(op, masked, *facts)


def _wrong_reduction(
    op: Reduction, y: Any, xs: list[Any], params: dict[str, Any], i: int
) -> Iterator[tuple[str, str, Change]]:
    shape, count = shape_of(xs[i]), _ratio(xs[i], y)
    if op.averaged:
        yield "sum instead of mean", f"does not divide by {count}", lambda g, c: c * count
    if op.name == "sum":
        yield "mean instead of sum", f"divides by {count}", lambda g, c: c / count
    if callable(op.weights[i]):
        kept = op.kept(params, shape)
        spread = lambda g, c: np.broadcast_to(np.reshape(g, kept), shape) / (count if op.averaged else 1)
        yield "missing local derivative", f"leaves out the local derivative of {op.name}", spread


def _assigned(x: Any, params: dict[str, Any], g: Any) -> Any:
    """Rows chosen by number: the last gradient of a row that was chosen twice."""
    found = np.zeros_like(x)
    found[params["index"]] = g
    return found


def _wrong_unary(y: Node, x: Node, row: Elementwise, params: dict[str, Any]) -> Iterator[Planted]:
    """The derivative of y = row(x) left out, taken at the wrong argument, or applied wrongly."""
    name, out, into = row.name, y.data, plain(x)

    def slope(v: Any) -> Any:
        return row.partials[0](row(v, **params), v, **params)

    in_the_output = IN_THE_OUTPUT.get(name, lambda v: row.partials[0](v, v, **params))
    kinds: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
        ("missing activation derivative", f"leaves out the derivative of {name}", lambda g: g),
        (AT_OUTPUT, f"takes the derivative of {name} at its output", lambda g: g * slope(out)),
        (AT_INPUT, f"puts the input into the formula of {name}' for the output", lambda g: g * in_the_output(into)),
        ("activation instead of its derivative", f"multiplies by {name}, not {name}'", lambda g: g * out),
        ("activation derivative applied twice", f"multiplies by {name}' twice", lambda g: g * slope(into) ** 2),
        ("mask taken from the gradient", "asks whether the gradient is positive, not the input", lambda g: g * (g > 0)),
    )
    for mistake, what, wrong in kinds:
        if mistake != "mask taken from the gradient" or name == "relu":
            yield Planted(mistake, what, (row,), y, partial(_along, x, wrong))


def _along(x: Node, wrong: Callable[[Any], Any], g: Any) -> list[tuple[Node, Any]]:
    return [(x, wrong(g))]
