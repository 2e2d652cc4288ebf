"""Functions of functions: grad, jvp, hessian and the like, over floats, arrays and nested containers of them.

A transform makes fresh nodes of the arguments, runs the function and reads the graph that this leaves behind.
Called inside another transform its arguments are nodes already; then its own results are recorded too, which is
all that nesting needs: every level differentiates by its own fresh nodes, so levels cannot be confused.

A node that the function closes over is a constant to a transform, as any other number. To differentiate by it as
well, pass it as an argument, or use ``gradients(..., create_graph=True)`` on a graph of one's own.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .array_rules import reshape, shape_of
from .backward import reverse
from .errors import SeedError, ShapeError
from .forward import tangents
from .functions import stack
from .graph import topological_order
from .modes import recording
from .node import Node, watcher
from .rules import mul
from .tensor import Tensor
from .value import Value

__all__ = ["elementwise_grad", "grad", "gradients", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

Function = Callable[..., Any]


def flatten(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of a tree in order, and a function that builds a tree of the same form from new leaves.

    Lists, tuples (named ones too) and dicts are containers; everything else, None included, is a leaf.

    >>> leaves, rebuild = flatten({"w": [1.0, 2.0], "b": (3.0,)})
    >>> leaves, rebuild([x * 10 for x in leaves])
    ([1.0, 2.0, 3.0], {'w': [10.0, 20.0], 'b': (30.0,)})
    """
    leaves: list[Any] = []
    form = _form(tree, leaves)
    return leaves, lambda new: form(iter(new))


def _form(tree: Any, leaves: list[Any]) -> Callable[[Any], Any]:
    kind: Any = type(tree)
    if isinstance(tree, dict):
        keys = list(tree)
        forms = [_form(tree[key], leaves) for key in keys]
        return lambda new: kind(zip(keys, [form(new) for form in forms], strict=True))
    if isinstance(tree, (list, tuple)):
        forms = [_form(branch, leaves) for branch in tree]
        if hasattr(kind, "_fields"):  # a named tuple takes its fields one by one
            return lambda new: kind(*[form(new) for form in forms])
        return lambda new: kind([form(new) for form in forms])
    leaves.append(tree)
    return next


# The inputs of all runs that are under way, in any thread. A result that depends on one of them must be a node, for
# the run around it; other nodes that a function closes over are constants to a transform.
_RUNNING: set[Node] = set()


class _Run:
    """One evaluation of a function on fresh nodes.

    ``nested`` says whether its results must be nodes: because the arguments are, or for a run around this one.
    """

    def __init__(self, f: Function, args: Sequence[Any], argnums: Sequence[int], kwargs: dict[str, Any]) -> None:
        flat, rebuild = flatten([args[i] for i in argnums])
        with recording():
            self.inputs = [fresh(x) for x in flat]
            self.rebuild = rebuild
            call = list(args)
            for i, arg in zip(argnums, rebuild(self.inputs), strict=True):
                call[i] = arg
            _RUNNING.update(self.inputs)
            try:
                self.outputs, self.rebuild_output = flatten(f(*call, **kwargs))
            finally:
                _RUNNING.difference_update(self.inputs)
        for y in self.outputs:
            if not isinstance(y, (Node, float, int, np.ndarray, np.number)):
                raise TypeError(f"the function returned {y!r}; expected numbers, arrays or nodes (a return forgotten?)")
        roots = [y for y in self.outputs if isinstance(y, Node)]
        self.nested = any(isinstance(x, Node) for x in flatten([args, kwargs])[0]) or (
            bool(_RUNNING) and any(node in _RUNNING for node in topological_order(*roots, stop=set(self.inputs)))
        )

    def pull(self, y: Any, seed: Any, on_nodes: bool | None = None) -> list[Any]:
        """The gradients of one output by every input."""
        if not isinstance(y, Node):
            return [x._zero() for x in self.inputs]
        with recording():
            grads = reverse(
                y,
                seed,
                wanted=self.inputs,
                stop=set(self.inputs),
                on_nodes=self.nested if on_nodes is None else on_nodes,
                watch=watcher(),
            )
        return [grads[x] if x in grads else x._zero() for x in self.inputs]

    def pull_all(self, seeds: Sequence[Any], on_nodes: bool | None = None) -> list[Any]:
        """The gradients of all outputs together, each weighted by its seed."""
        total = [x._zero() for x in self.inputs]
        for y, seed in zip(self.outputs, seeds, strict=True):
            total = [a + b for a, b in zip(total, self.pull(y, seed, on_nodes), strict=True)]
        return total

    def push(self, seeds: Sequence[Any], nested: bool) -> list[Any]:
        """The tangents of every output for tangents of the inputs."""
        roots = [y for y in self.outputs if isinstance(y, Node)]
        with recording(), np.errstate(all="ignore"):
            found = tangents(roots, dict(zip(self.inputs, seeds, strict=True)), on_nodes=nested)
        return [found[y] if isinstance(y, Node) and y in found else _zero_like(y) for y in self.outputs]

    def value(self) -> Any:
        """The output, as plain data unless an outer transform or node needs it."""
        return self.rebuild_output(self.outputs if self.nested else _plain(self.outputs))


def fresh(x: Any) -> Node:
    """A node of one's own with the value of x; recorded if x is a node."""
    if isinstance(x, Node):
        return mul(x, 1.0)  # type: ignore[no-any-return]  # exact, also for -0.0, inf and nan
    return Tensor(x) if isinstance(x, np.ndarray) else Value(x)


def _zero_like(y: Any) -> Any:
    return np.zeros(shape_of(y)) if shape_of(y) else 0.0


def _plain(results: Sequence[Any]) -> list[Any]:
    """Results without a graph, each array with memory of its own."""
    return [np.array(x, order="C") if isinstance(x, np.ndarray) else x for x in map(_data, results)]


def _data(x: Any) -> Any:
    return x.data if isinstance(x, Node) else x


def _scalar(run: _Run, name: str) -> Any:
    """The one output of a function that must return a number, and its seed."""
    if len(run.outputs) != 1 or np.prod(shape_of(run.outputs[0])) != 1:
        shapes = [shape_of(y) for y in run.outputs]
        raise SeedError(f"{name} needs a function that returns one number, got shapes {shapes}; use jacobian or vjp")
    return run.outputs[0]


def _one(y: Any) -> Any:
    return np.ones_like(y.data) if isinstance(y, Tensor) else 1.0


def _numbers(argnums: int | Sequence[int], args: Sequence[Any]) -> tuple[int, ...]:
    chosen = tuple(argnums) if isinstance(argnums, (tuple, list)) else (operator.index(argnums),)  # type: ignore[arg-type]  # refuses what is no integer
    if any(not -len(args) <= i < len(args) for i in chosen):
        raise IndexError(f"argnums={argnums}, but the function was called with {len(args)} positional arguments")
    numbers = tuple(i % len(args) for i in chosen)
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"argnums={argnums} names an argument twice")
    return numbers


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """A function that returns (f(*args), gradient by args[argnums]).

    Args:
        f: returns one number; written in plain NumPy, autodiff's functions or Python arithmetic.
        argnums: which positional argument, or a tuple of several; then the gradient is a tuple.

    The gradient has the form of the argument: a float, an array of its shape and dtype, or nested lists, tuples
    and dicts of these. Raises SeedError if f does not return one number.

    >>> value_and_grad(lambda x: x * x)(3.0)
    (9.0, 6.0)
    """

    @functools.wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        run = _Run(f, args, _numbers(argnums, args), kwargs)
        y = _scalar(run, "grad")
        found = run.pull(y, _one(y))
        slots = run.rebuild(found if run.nested else _plain(found))
        return run.value(), tuple(slots) if isinstance(argnums, (tuple, list)) else slots[0]

    return wrapper


def grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """A function that returns the gradient of f by args[argnums]; see value_and_grad.

    A node that f closes over is a constant; to differentiate by it too, pass it as an argument.
    Raises SeedError if f does not return one number, IndexError for argnums out of range, ValueError for one given
    twice, TypeError for arguments or results that are not numeric (also where a ``return`` was forgotten).

    >>> grad(lambda x: x**3)(2.0)
    12.0
    >>> grad(grad(lambda x: x**3))(2.0)
    12.0
    >>> grad(lambda p: p["w"] * p["b"])({"w": 2.0, "b": 5.0})
    {'w': 5.0, 'b': 2.0}
    """
    both = value_and_grad(f, argnums)

    @functools.wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return wrapper


def elementwise_grad(f: Function, argnums: int = 0) -> Function:
    """The derivative of a function that works element by element, at every element of its argument.

    It is the gradient of sum(f(x)), so it is right only where output i depends on input i alone.
    Raises IndexError for argnums out of range, TypeError if it is not one integer or the data are not numeric.

    >>> elementwise_grad(np.tanh)(np.array([0.0, 1.0]))
    array([1.        , 0.41997434])
    """

    @functools.wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        run = _Run(f, args, _numbers(operator.index(argnums), args), kwargs)
        found = run.pull_all([_one(y) for y in run.outputs])
        return run.rebuild(found if run.nested else _plain(found))[0]

    return wrapper


def vjp(f: Function, *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """(f(*args), vjp_fn): vjp_fn(g) pulls a gradient of the output back to a tuple, one entry an argument.

    Raises ShapeError if g does not have the form and shapes of the output.

    >>> y, back = vjp(lambda x, z: x * z, 2.0, 5.0)
    >>> y, back(1.0)
    (10.0, (5.0, 2.0))
    """
    run = _Run(f, args, range(len(args)), {})

    def vjp_fn(g: Any) -> tuple[Any, ...]:
        seeds = _matching(g, run.rebuild_output(run.outputs), "the gradient given to vjp_fn")
        on_nodes = run.nested or any(isinstance(seed, Node) for seed in seeds)
        found = run.pull_all(seeds, on_nodes)
        return tuple(run.rebuild(found if on_nodes else _plain(found)))

    return run.value(), vjp_fn


def jvp(f: Function, args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """(f(*args), its derivative in the direction of the tangents), by forward mode.

    Args:
        f: any function.
        args: a tuple of arguments.
        tangents: a tuple with one tangent an argument, of the same form and shapes.

    Raises ShapeError if a tangent does not fit its argument.

    >>> jvp(lambda x, y: x * y, (2.0, 5.0), (1.0, 0.0))
    (10.0, 5.0)
    """
    run = _Run(f, args, range(len(args)), {})
    seeds = _matching(list(tangents), run.rebuild(run.inputs), "the tangents given to jvp")
    nested = run.nested or any(isinstance(t, Node) for t in seeds)
    found = run.push(seeds, nested)
    return run.value(), run.rebuild_output(found if nested else _plain(found))


def _matching(tree: Any, like: Any, what: str) -> list[Any]:
    """The leaves of a tree of the same form as another, as floats and arrays; errors say what differs."""
    if isinstance(like, dict):
        if not isinstance(tree, dict) or set(tree) != set(like):
            raise ShapeError(f"{what} must have the keys {list(like)}, got {tree!r}")
        return [leaf for key in like for leaf in _matching(tree[key], like[key], f"{what}[{key!r}]")]
    if isinstance(like, (list, tuple)):
        if not isinstance(tree, (list, tuple)) or len(tree) != len(like):
            raise ShapeError(f"{what} must have {len(like)} entries, got {tree!r}")
        pairs = enumerate(zip(tree, like, strict=True))
        return [leaf for i, (a, b) in pairs for leaf in _matching(a, b, f"{what}[{i}]")]
    if np.shape(_data(tree)) != shape_of(like):
        raise ShapeError(f"{what} needs shape {shape_of(like)}, got {np.shape(_data(tree))}")
    if isinstance(tree, Node):
        return [tree]
    return [np.array(tree, dtype=like.dtype) if isinstance(like, (Tensor, np.ndarray)) else float(tree)]


def jacobian(f: Function, argnums: int = 0) -> Function:
    """A function that returns all derivatives of f's output by its argument: shape output.shape + input.shape.

    Runs forward or reverse mode, whichever needs fewer passes. For a nested argument or output the result is
    nested alike, outputs outside. Raises IndexError for argnums out of range, TypeError if it is not one integer or
    the data are not numeric.

    >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    @functools.wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        run = _Run(f, args, _numbers(operator.index(argnums), args), kwargs)
        width = sum(int(np.prod(shape_of(x))) for x in run.inputs)
        height = sum(int(np.prod(shape_of(y))) for y in run.outputs)
        blocks = _by_columns(run) if width < height else _by_rows(run)
        rows = [run.rebuild(row if run.nested else _plain(row))[0] for row in blocks]
        return run.rebuild_output(rows)

    return wrapper


def _units(x: Any) -> list[Any]:
    """Every unit vector of the space of x."""
    if not shape_of(x):
        return [_one(x)]
    size = int(np.prod(shape_of(x)))
    return list(np.eye(size, dtype=getattr(x, "dtype", None)).reshape(size, *shape_of(x)))


def _by_rows(run: _Run) -> list[list[Any]]:
    """One reverse pass an output element."""
    return [
        [
            _assembled(parts, shape_of(y) + shape_of(x), axis=0)
            for x, parts in zip(run.inputs, zip(*(run.pull(y, unit) for unit in _units(y)), strict=True), strict=True)
        ]
        if np.prod(shape_of(y))
        else [np.zeros(shape_of(y) + shape_of(x)) for x in run.inputs]
        for y in run.outputs
    ]


def _by_columns(run: _Run) -> list[list[Any]]:
    """One forward pass an input element."""
    columns = []
    for i, x in enumerate(run.inputs):
        others = [z._zero() for z in run.inputs]
        passes = [run.push([*others[:i], unit, *others[i + 1 :]], run.nested) for unit in _units(x)]
        columns.append(
            [
                _assembled([p[j] for p in passes], shape_of(y) + shape_of(x), axis=-1)
                if passes
                else np.zeros(shape_of(y) + shape_of(x))
                for j, y in enumerate(run.outputs)
            ]
        )
    return [list(row) for row in zip(*columns, strict=True)]


def _assembled(parts: Sequence[Any], shape: tuple[int, ...], axis: int) -> Any:
    """The rows or columns of a Jacobian block in one array (or float)."""
    if shape == ():
        return parts[0]
    if any(isinstance(part, Node) for part in parts):
        return reshape(
            stack([p if isinstance(p, Tensor) else Tensor.from_values([p])[0] for p in parts], axis), shape=shape
        )
    return np.stack([np.asarray(part) for part in parts], axis).reshape(shape)


def hessian(f: Function, argnums: int = 0) -> Function:
    """A function that returns all second derivatives of f, which returns one number: shape (*x.shape, *x.shape).

    Raises SeedError if f does not return one number, IndexError for argnums out of range.

    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Function, x: Any, v: Any) -> Any:
    """The Hessian of f at x times v, without ever making the Hessian: forward mode over reverse mode.

    Raises SeedError if f does not return one number, ShapeError if v does not have the form and shapes of x.

    >>> hvp(lambda x: x[0] ** 2 * x[1], np.array([3.0, 5.0]), np.array([1.0, 0.0]))
    array([10.,  6.])
    """
    return jvp(grad(f), (x,), (v,))[1]


def gradients(output: Node, inputs: Any, *, seed: Any = None, create_graph: bool = False) -> Any:
    """The gradients of a node by other nodes of its graph, without touching any ``grad``.

    Args:
        output: the node to differentiate.
        inputs: a node, or nested containers of nodes, leaves or not; the result has the same form.
        seed: the gradient of the output; 1 by default, as for ``backward``.
        create_graph: return nodes, which can be differentiated again, instead of plain data.

    An input that the output does not depend on has gradient zero. Raises TypeError for inputs that are not
    nodes, SeedError and StaleGraphError as ``backward`` does.

    >>> x = Value(3.0)
    >>> y = x**3
    >>> (slope,) = gradients(y, [x], create_graph=True)
    >>> slope.data, gradients(slope, x)
    (27.0, 18.0)
    """
    wanted, rebuild = flatten(inputs)
    if not all(isinstance(x, Node) for x in [output, *wanted]):
        raise TypeError("gradients takes an output node and input nodes (Value or Tensor)")
    output._require_graph()
    checked = output._seed(seed)
    seed = seed if isinstance(seed, Node) and create_graph else checked
    with recording():
        grads = reverse(output, seed, wanted=wanted, on_nodes=create_graph, watch=watcher())
    found = [grads[x] if x in grads else x._zero() for x in wanted]
    if create_graph:
        return rebuild([g if isinstance(g, Node) else type(x)(g) for g, x in zip(found, wanted, strict=True)])
    return rebuild(_plain(found))
