"""Module: what every neuron, layer, network and loss is. It finds its own parameters and says what it is."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from reprlib import recursive_repr
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np

from autodiff import CompileError, Node, NoGraphError, SeedError, Tensor, array_op, gradients, is_compiling, retrace

__all__ = ["Hook", "LoadedKeys", "Module", "StateDictError"]


class StateDictError(ValueError):
    """A state does not fit the module: a name is missing or unknown, or a shape or dtype differs.

    >>> try:
    ...     Module().load_state_dict({"weight": 1.0})
    ... except StateDictError as error:
    ...     "weight" in str(error)
    True
    """


class LoadedKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` met: names without a number in the state, and names unknown to the module.

    >>> LoadedKeys([], ["extra"]).unexpected_keys
    ['extra']
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


class Hook:
    """A registered hook; ``remove()`` takes it off again.

    >>> module = Module()
    >>> module.register_forward_hook(lambda module, inputs, output: None).remove()
    """

    def __init__(self, hooks: dict["Hook", Callable[..., Any]], *, backward: bool) -> None:
        self._hooks = hooks
        self._backward = backward

    def remove(self) -> None:
        """Call the hook no more; doing this twice does no harm."""
        self._hooks.pop(self, None)
        retrace()


_BOOKKEEPING = frozenset({"training", "_buffers", "_frozen", "_hooks"})
_DATA = attrgetter("data")


class Module:
    """A function with parameters.

    Subclasses assign parameters (leaves: Value or Tensor), modules, and lists, tuples or dicts of these to
    attributes, and define ``forward``. Attributes are walked in the order of assignment, each module once, so a
    module may know the one it is in. Results of operations, recorded or not, and plain arrays are not parameters.

    >>> from autodiff import Tensor
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Tensor([2.0, 3.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> scale = Scale()
    >>> [name for name, _ in scale.named_parameters()]
    ['factor']
    """

    training: bool = True
    """Whether layers that differ in training and use (dropout, batch norm) are in training mode."""

    # What most modules never need is kept here, on the class, so that a subclass need not call super().__init__()
    _buffers: tuple[str, ...] = ()
    _frozen: Mapping[str, Any] = MappingProxyType({})
    _hooks: Mapping[Hook, Callable[..., Any]] = MappingProxyType({})

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign an attribute. Raises TypeError if anything but a parameter or None would take a parameter's place."""
        held = vars(self).get(name, _BOOKKEEPING)
        old = self._frozen.get(name, held)
        if isinstance(old, Node) and held is not value:
            _check_successor(self, name, old, value)
        if name in self._frozen and held is not value:  # what is assigned now is not frozen
            self._frozen = {key: part for key, part in self._frozen.items() if key != name}
        if name not in self._buffers and held is not value:
            if is_compiling():
                raise CompileError(
                    f"{type(self).__name__} assigns {name} in a function that is being compiled, which would happen no "
                    "more later; leave the module outside the compiled function"
                )
            retrace()  # compiled functions that call this module may have to compute something else from now on
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        """Delete an attribute."""
        object.__delattr__(self, name)
        retrace()

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Call ``forward``, and the hooks if there are any."""
        output = self.forward(*inputs, **options) if options else self.forward(*inputs)
        return self._through_hooks(inputs, output) if self._hooks else output

    def forward(self, *inputs: Any, **options: Any) -> Any:  # noqa: ARG002  # the signature that subclasses fill in
        """What the module computes; every subclass defines it."""
        raise TypeError(f"{type(self).__name__} does not define forward()")

    # ---- what is inside ----

    def parameters(self, *, frozen: bool = False) -> list[Any]:
        """Every parameter once, in the order of assignment; a shared one where it is met first.

        A step by hand is ``p.data -= lr * p.grad`` for every p of them; ``p -= ...`` would only rename p.

        Args:
            frozen: list those that ``freeze`` made constant as well.
        """
        return [parameter for _, parameter in self.named_parameters(frozen=frozen)]

    def named_parameters(self, *, frozen: bool = False) -> Iterator[tuple[str, Any]]:
        """(dotted name, parameter) pairs, such as ``("0.weight", Tensor)``; a shared parameter comes once.

        Args:
            frozen: list those that ``freeze`` made constant as well.
        """
        seen: set[Any] = set()
        for name, part in _walk(self, frozen=frozen):
            if isinstance(part, Node) and part not in seen and _is_parameter(part):
                seen.add(part)
                yield name, part

    def named_modules(self) -> Iterator[tuple[str, "Module"]]:
        """(dotted name, module) pairs: this module under "" and every module inside it, each once."""
        seen: set[int] = set()
        for name, part in _walk(self):
            if isinstance(part, Module) and id(part) not in seen:
                seen.add(id(part))
                yield name, part

    def modules(self) -> Iterator["Module"]:
        """This module and every module inside it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """(name, module) pairs of the modules directly inside this one, also in its lists and dicts, each once."""
        seen: set[int] = set()
        for name, part in _walk(self, deep=False):
            if name and isinstance(part, Module) and id(part) not in seen:
                seen.add(id(part))
                yield name, part

    def children(self) -> Iterator["Module"]:
        """The modules directly inside this one, each once."""
        return (module for _, module in self.named_children())

    def apply(self, function: Callable[["Module"], Any]) -> Self:
        """Call a function with this module and every module inside it, each once, outermost first; returns the module.

        >>> seen = []
        >>> _ = Module().apply(seen.append)
        >>> seen
        [Module()]
        """
        for module in list(self.modules()):
            function(module)
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    # ---- modes ----

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all inside it to training mode (or, with False, out of it)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and all inside it to evaluation mode."""
        return self.train(False)

    def freeze(self) -> Self:
        """Make every parameter of this module and those inside it a constant; returns the module.

        The engine differentiates nodes, and plain numbers are its constants. So a frozen parameter is replaced by its
        plain array (a Value by its float), and no gradient is computed for it. ``parameters()`` leaves it out, so an
        optimizer made from now on leaves it alone, also when it is no longer frozen; one made before finds no gradient
        (for a Value, 0). The state dict still has it. ``unfreeze`` puts the same parameter back. Where nothing is left
        to differentiate, a module returns plain arrays.

        >>> from autodiff import Tensor
        >>> module = Module()
        >>> module.weight = Tensor([1.0, 2.0])
        >>> module.freeze().parameters(), module.weight
        ([], array([1., 2.]))
        >>> module.unfreeze().parameters() == [module.weight]
        True
        """
        for module in self.modules():
            for name, part in list(vars(module).items()):
                constant = _replaced(part, _DATA)
                if constant is not part and name not in _BOOKKEEPING:
                    module._frozen = {**module._frozen, name: part}
                    vars(module)[name] = constant
        for parameter in self.parameters(frozen=True):
            parameter.zero_grad()
        return self

    def unfreeze(self) -> Self:
        """Undo ``freeze`` for this module and those inside it; returns the module.

        An optimizer that was made in between does not have these parameters: make a new one, or give them to it with
        ``add_param_group``.
        """
        for module in self.modules():
            vars(module).update(module._frozen)
            module._frozen = {}
        return self

    def to(self, dtype: Any) -> Self:
        """Give every Tensor and every floating buffer of this module and those inside it a dtype; returns the module.

        A Tensor never changes its dtype. So a parameter of another dtype is replaced by a new Tensor, without a
        gradient (a shared one stays shared): make the optimizer afterwards. Values stay; they are Python's floats.

        Args:
            dtype: floating, such as np.float32, PyTorch's default.

        Raises TypeError for a dtype that is not floating.

        >>> from autodiff import Tensor
        >>> module = Module()
        >>> module.weight = Tensor([1.0, 2.0])
        >>> module.to(np.float32).state_dict()
        {'weight': array([1., 2.], dtype=float32)}
        """
        dtype = np.dtype(dtype)
        if dtype.kind != "f":
            raise TypeError(f"the parameters of a module are floating numbers, so it cannot get dtype {dtype}")
        twins: dict[Any, Any] = {}

        def twin(parameter: Any) -> Any:
            if not isinstance(parameter, Tensor) or parameter.dtype == dtype:
                return parameter
            if parameter not in twins:
                twins[parameter] = Tensor(parameter.data, parameter.name, dtype=dtype)
            return twins[parameter]

        for module in self.modules():
            module._frozen = {name: _replaced(part, twin) for name, part in module._frozen.items()}
            for name, part in list(vars(module).items()):
                if name in module._buffers:
                    array = np.asarray(part)
                    new = array.astype(dtype, copy=False) if array.dtype.kind == "f" else part
                else:
                    new = _replaced(part, twin)
                if new is not part and name not in _BOOKKEEPING:
                    setattr(module, name, new)
        self._refreeze()
        return self

    # ---- state ----

    def register_buffer(self, name: str, array: Any) -> None:
        """Assign an array that belongs to the state but is not trained, such as a running mean.

        Args:
            name: of the attribute.
            array: of any dtype; copied.

        >>> module = Module()
        >>> module.register_buffer("count", 3)
        >>> module.state_dict()
        {'count': array(3)}
        """
        setattr(self, name, np.array(array))
        if name not in self._buffers:
            self._buffers = (*self._buffers, name)

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter, frozen or not, and every buffer, by dotted name.

        Names and layout are PyTorch's, so that weights can be exchanged.
        """
        return {name: np.array(getattr(*place)) for name, place in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> LoadedKeys:
        """Copy a state, as ``state_dict`` returns it, into the parameters and buffers.

        Args:
            state: arrays (or numbers, or Tensors) by name.
            strict: refuse a state that lacks a name or has one more. Shapes and dtypes must be equal in any case:
                nothing is broadcast or converted.

        Returns the names that were missing and those that were unexpected. Raises StateDictError with all differences
        at once; then nothing has changed.

        >>> from autodiff import Tensor
        >>> module = Module()
        >>> module.weight = Tensor([1.0, 2.0])
        >>> module.load_state_dict({"weight": np.array([3.0, 4.0])})
        LoadedKeys(missing_keys=[], unexpected_keys=[])
        >>> module.load_state_dict({"weight": np.ones((1, 2)), "extra": np.ones(1)})
        Traceback (most recent call last):
        nn.module.StateDictError: the state does not fit Module:
          weight: shape (2,) here, (1, 2) in the state
          extra: not in the module
        """
        places = self._state()
        found = {name: _as_array(x) for name, x in state.items() if name in places}
        keys, wrong = self._compare({**state, **found}, strict=strict)
        if wrong:
            raise StateDictError("\n  ".join([f"the state does not fit {type(self).__name__}:", *wrong]))
        for name, new in found.items():
            holder, attribute = places[name]
            setattr(holder, attribute, new if isinstance(holder, Module) or new.ndim else new.item())
        self._refreeze()
        return keys

    def _compare(self, state: Mapping[str, Any], *, strict: bool) -> tuple[LoadedKeys, list[str]]:
        """Which names a state lacks or has too many, and all that is wrong; of arrays only shape and dtype are read."""
        places = self._state()
        missing = [name for name in places if name not in state]
        unexpected = [name for name in state if name not in places]
        wrong = []
        for name, place in places.items():
            if name in state:
                differences = _differences(np.asarray(getattr(*place)), state[name])
                wrong += [f"{name}: {difference}" for difference in differences]
        if strict:
            wrong += [f"{name}: missing in the state" for name in missing]
            wrong += [f"{name}: not in the module" for name in unexpected]
        return LoadedKeys(missing, unexpected), wrong

    def _refreeze(self) -> None:
        """Let the constants that stand for frozen parameters have the numbers of these."""
        for module in self.modules():
            vars(module).update({name: _replaced(part, _DATA) for name, part in module._frozen.items()})
        retrace()

    def _state(self) -> dict[str, tuple[Any, str]]:
        """Where each array of the state is found: {dotted name: (a parameter and "data", or a module and a name)}."""
        places: dict[str, tuple[Any, str]] = {}
        buffers: dict[str, tuple[Any, str]] = {}
        parameters = dict(self.named_parameters(frozen=True))
        for name, part in _walk(self, frozen=True):
            if isinstance(part, Module):
                buffers |= {f"{name}.{key}" if name else key: (part, key) for key in part._buffers}
            elif name in places and (name in buffers or name in parameters):
                raise ValueError(f"two arrays of {type(self).__name__} have the name {name!r}; rename one")
            elif name in buffers:
                places[name] = buffers[name]
            elif name in parameters:
                places[name] = (part, "data")
        return places

    # ---- hooks ----

    def register_forward_hook(self, hook: Callable[["Module", tuple[Any, ...], Any], Any]) -> Hook:
        """Call ``hook(module, inputs, output)`` after every forward; what it returns, unless None, replaces the output.

        Returns a Hook, whose ``remove()`` ends it.
        """
        return self._register(hook, backward=False)

    def register_backward_hook(self, hook: Callable[["Module", Any], Any]) -> Hook:
        """Call ``hook(module, gradient)`` when a backward pass reaches the output of this module.

        ``gradient`` is that of the output (of the first node, if the module returns several), as a plain array or
        float, complete: summed over everything that used the output. What the hook returns, unless None, replaces it.
        The hook belongs to outputs computed while it is registered. Returns a Hook, whose ``remove()`` ends it.
        """
        return self._register(hook, backward=True)

    def _register(self, hook: Callable[..., Any], *, backward: bool) -> Hook:
        hooks = vars(self).setdefault("_hooks", {})
        handle = Hook(hooks, backward=backward)
        hooks[handle] = hook
        retrace()
        return handle

    def _through_hooks(self, inputs: tuple[Any, ...], output: Any) -> Any:
        if is_compiling():
            raise CompileError(
                f"{type(self).__name__} has hooks, which a compiled function would not call (nn.trace and nn.summary "
                "set some, too): remove them, or use the function that was compiled instead of the compiled one"
            )
        for handle, hook in list(self._hooks.items()):
            if handle._backward:
                output = _watched(output, partial(hook, self))
            else:
                replaced = hook(self, inputs, output)
                output = output if replaced is None else replaced
        return output

    # ---- description ----

    def _parts(self, *, frozen: bool) -> Iterator[tuple[str, Any]]:
        """(name, attribute) pairs to look for parameters and modules in; ``frozen``: as if nothing were frozen."""
        for name, part in vars(self).items():
            if name not in _BOOKKEEPING:
                yield name, self._frozen.get(name, part) if frozen else part

    def _describe(self) -> str:
        """The arguments shown between the brackets of the repr."""
        return ""

    @recursive_repr()
    def __repr__(self) -> str:
        inside = [(name, part) for name, part in _walk(self, deep=False) if name and isinstance(part, Module)]
        lines = [f"  ({name}): " + repr(part).replace("\n", "\n  ") for name, part in inside]
        body = "\n" + "\n".join(lines) + "\n" if lines else self._describe()
        return f"{type(self).__name__}({body})"


@contextmanager
def modes_kept(module: Module) -> Iterator[None]:
    """Put a module and all inside it back into the modes they were in."""
    modes = {inside: inside.training for inside in module.modules()}
    try:
        yield
    finally:
        for inside, mode in modes.items():
            inside.training = mode


def _walk(root: Module, *, deep: bool = True, frozen: bool = False) -> Iterator[tuple[str, Any]]:
    """A module and everything reachable from it through attributes and containers, with its dotted name.

    What is reached twice is named twice but entered once. Unless ``deep``, modules inside the root are not entered.
    """
    entered: dict[int, Any] = {}
    found: list[tuple[str, Any]] = [("", root)]
    while found:
        name, part = found.pop()
        yield name, part
        inside: list[tuple[Any, Any]]
        if id(part) in entered:
            continue
        elif isinstance(part, Module):
            inside = list(part._parts(frozen=frozen)) if deep or part is root else []
        elif isinstance(part, dict):
            inside = list(part.items())
        elif isinstance(part, (list, tuple)):
            inside = list(enumerate(part))
        else:
            continue
        entered[id(part)] = part
        found += reversed([(f"{name}.{key}" if name else str(key), x) for key, x in inside])


def _is_parameter(part: Node) -> bool:
    """Whether a node is a leaf that was made, not the result of an operation under no_grad, which has no graph."""
    if part.is_leaf:
        try:
            gradients(part, [])
        except NoGraphError:
            return False
        except SeedError:  # it has more than one element, and a graph
            pass
    return part.is_leaf


def _check_successor(module: Module, name: str, old: Node, new: Any) -> None:
    """Raise TypeError unless what takes the place of a parameter is one, or None."""
    if new is None or (isinstance(new, Node) and new.is_leaf) or not _is_parameter(old):
        return
    got = "the result of an operation" if isinstance(new, Node) else f"of type {type(new).__name__}"
    raise TypeError(
        f"{name} of {type(module).__name__} is a parameter, and what would take its place is {got}; to change its "
        f"numbers write {name}.data -= ..., if need be after unfreeze(), or assign a new parameter, "
        f"{type(old).__name__}(...)"
    )


def _replaced(part: Any, replacement: Callable[[Any], Any]) -> Any:
    """An attribute with every parameter in it replaced by something; the very same object if nothing has changed."""
    if isinstance(part, Node):
        return replacement(part) if _is_parameter(part) else part
    if isinstance(part, dict):
        items = {key: _replaced(x, replacement) for key, x in part.items()}
        return items if any(items[key] is not x for key, x in part.items()) else part
    if type(part) in (list, tuple):
        found = [_replaced(x, replacement) for x in part]
        return type(part)(found) if any(a is not b for a, b in zip(found, part, strict=True)) else part
    return part


def _as_array(x: Any) -> np.ndarray:
    return np.array(np.asarray(x.data if isinstance(x, Node) else x))  # asarray also takes a torch tensor


def _differences(own: np.ndarray, new: Any) -> Iterator[str]:
    if own.shape != new.shape:
        yield f"shape {own.shape} here, {new.shape} in the state"
    if own.dtype != new.dtype:
        yield f"dtype {own.dtype} here, {new.dtype} in the state"


# ---- watching gradients ---------------------------------------------------------------------------------------


def _show(g: Any, seen: Callable[[Any], Any]) -> Any:
    replaced = seen(g.data if isinstance(g, Node) else g)
    return g if replaced is None else replaced


_output_of_module = array_op(
    "output_of_module",
    lambda y, *, seen: y,
    lambda g, y, x, *, seen: _show(g, seen),
    scalar=lambda y, *, seen: y,
    symbol="=",
    latex="{0}",
    doc="The output of a module, unchanged; on the way back its gradient is shown to a backward hook.",
)


def _watched(output: Any, seen: Callable[[Any], Any]) -> Any:
    """The output with its first node, if it has one, behind an identity that shows the gradient it receives."""
    if isinstance(output, Node):
        return _output_of_module(output, seen=seen)
    if isinstance(output, (list, tuple)):
        for i, part in enumerate(output):
            watched = _watched(part, seen)
            if watched is not part:
                return type(output)((*output[:i], watched, *output[i + 1 :]))
    return output
