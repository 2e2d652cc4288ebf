"""Module: what every neuron, layer, network and loss is. It finds its own parameters and says what it is."""

from collections.abc import Iterator
from reprlib import recursive_repr
from typing import Any, Self

from autodiff import Node

__all__ = ["Module"]


class Module:
    """A function with parameters.

    Subclasses assign parameters (leaves: Value or Tensor), modules, and lists, tuples or dicts of these to
    attributes, and define ``forward``. Attributes are walked in the order of assignment, each module once, so a
    module may know the one it is in. Results of operations and plain arrays are not parameters.

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

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Call ``forward``."""
        return self.forward(*inputs, **options)

    def forward(self, *inputs: Any, **options: Any) -> Any:  # noqa: ARG002  # the signature that subclasses fill in
        """What the module computes; every subclass defines it."""
        raise TypeError(f"{type(self).__name__} does not define forward()")

    def parameters(self) -> list[Any]:
        """Every parameter once, in the order of assignment; a shared one where it is met first."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        """(dotted name, parameter) pairs, such as ``("0.weight", Tensor)``; a shared parameter comes once."""
        seen: set[Any] = set()
        for name, part in _walk(self):
            if isinstance(part, Node) and part.is_leaf and part not in seen:
                seen.add(part)
                yield name, part

    def modules(self) -> Iterator["Module"]:
        """This module and every module inside it, each once."""
        seen: set[int] = set()
        for _, part in _walk(self):
            if isinstance(part, Module) and id(part) not in seen:
                seen.add(id(part))
                yield part

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all inside it to training mode (or, with False, out of it)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and all inside it to evaluation mode."""
        return self.train(False)

    def _parts(self) -> Iterator[tuple[str, Any]]:
        """(name, attribute) pairs to look for parameters and modules in."""
        yield from vars(self).items()

    def _describe(self) -> str:
        """The arguments shown between the brackets of the repr."""
        return ""

    @recursive_repr()
    def __repr__(self) -> str:
        inside = [(name, part) for name, part in _walk(self, deep=False) if name and isinstance(part, Module)]
        lines = [f"  ({name}): " + repr(part).replace("\n", "\n  ") for name, part in inside]
        body = "\n" + "\n".join(lines) + "\n" if lines else self._describe()
        return f"{type(self).__name__}({body})"


def _walk(root: Module, *, deep: bool = True) -> Iterator[tuple[str, Any]]:
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
            inside = list(part._parts()) if deep or part is root else []
        elif isinstance(part, dict):
            inside = list(part.items())
        elif isinstance(part, (list, tuple)):
            inside = list(enumerate(part))
        else:
            continue
        entered[id(part)] = part
        found += reversed([(f"{name}.{key}" if name else str(key), x) for key, x in inside])
