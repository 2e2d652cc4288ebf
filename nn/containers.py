"""Modules that hold modules: one after the other, in a list, in a dict."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self

from .module import Module

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


def _checked(holder: object, module: Any) -> Module:
    if not isinstance(module, Module):
        name = type(holder).__name__
        hint = f"write {name}(*modules)" if isinstance(module, (list, tuple)) else "wrap functions in Activation"
        if isinstance(module, type):
            hint = f"write {module.__name__}() to make one"
        raise TypeError(f"{name} takes modules, got {module!r}: {hint}")
    return module


# What is inside is replaced, never changed in place: an assignment is noticed by compiled functions


class ModuleList(Module):
    """A list of modules, whose parameters are named "0.weight", "1.weight", ...

    A plain list in an attribute is found just as well; this one checks what it is given and shows itself in a repr.
    Raises TypeError for anything but modules, IndexError for an index out of range. It has no ``forward``.

    >>> from nn import Linear
    >>> layers = ModuleList([Linear(2, 3, rng=0), Linear(3, 1, rng=0)])
    >>> len(layers), layers[-1], [name for name, _ in layers.named_parameters()]
    (2, Linear(in_features=3, out_features=1, bias=True), ['0.weight', '0.bias', '1.weight', '1.bias'])
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self._chain = [_checked(self, module) for module in modules]

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns the list."""
        return self.extend([module])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end; returns the list."""
        self._chain = [*self._chain, *(_checked(self, module) for module in modules)]
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at this index."""
        chain = self._chain.copy()
        chain.insert(index, _checked(self, module))
        self._chain = chain

    def _parts(self, *, frozen: bool) -> Iterator[tuple[str, Any]]:
        yield from ((str(i), module) for i, module in enumerate(self._chain))
        yield from (pair for pair in super()._parts(frozen=frozen) if pair[0] != "_chain")

    def __len__(self) -> int:
        return len(self._chain)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._chain)

    def __getitem__(self, index: Any) -> Any:
        return self._of(self._chain[index]) if isinstance(index, slice) else self._chain[index]

    def __setitem__(self, index: int, module: Module) -> None:
        chain = self._chain.copy()
        chain[index] = _checked(self, module)
        self._chain = chain

    def __delitem__(self, index: Any) -> None:
        chain = self._chain.copy()
        del chain[index]
        self._chain = chain

    @staticmethod
    def _of(modules: list[Module]) -> "ModuleList":
        """What a slice gives."""
        return ModuleList(modules)


class Sequential(ModuleList):
    """Modules one after the other.

    Indexing gives a module, slicing a Sequential; parameters are named "0.weight", "0.bias", ...
    Raises TypeError for anything but modules; a call raises what they raise.

    >>> from nn import Linear, ReLU
    >>> net = Sequential(Linear(2, 4, rng=0), ReLU(), Linear(4, 1, rng=1))
    >>> net[0].weight.shape, len(net), [name for name, _ in net.named_parameters()]
    ((4, 2), 3, ['0.weight', '0.bias', '2.weight', '2.bias'])
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        """x through every module in turn. An error says in which it was."""
        for i, module in enumerate(self._chain):
            try:
                x = module(x)
            except Exception as error:
                error.add_note(f"in module {i} of a Sequential: {type(module).__name__}")
                raise
        return x

    @staticmethod
    def _of(modules: list[Module]) -> "Sequential":
        return Sequential(*modules)


class ModuleDict(Module):
    """A dict of modules, whose parameters are named "key.weight", ...

    Args:
        modules: by name; names are strings without a dot, which separates the parts of a parameter's name.

    Raises TypeError for anything but modules, ValueError for other names, KeyError for an unknown one. It has no
    ``forward``.

    >>> from nn import Linear
    >>> heads = ModuleDict({"left": Linear(2, 1, rng=0)})
    >>> heads["right"] = Linear(2, 3, rng=0)
    >>> list(heads), [name for name, _ in heads.named_parameters()]
    (['left', 'right'], ['left.weight', 'left.bias', 'right.weight', 'right.bias'])
    """

    def __init__(self, modules: Mapping[str, Module] = MappingProxyType({})) -> None:
        self._table: dict[str, Module] = {}
        for name, module in modules.items():
            self[name] = module

    def keys(self) -> Iterable[str]:
        """The names, in the order in which they were added."""
        return self._table.keys()

    def values(self) -> Iterable[Module]:
        """The modules, in the order in which they were added."""
        return self._table.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """(name, module) pairs, in the order in which they were added."""
        return self._table.items()

    def _parts(self, *, frozen: bool) -> Iterator[tuple[str, Any]]:
        yield from self._table.items()
        yield from (pair for pair in super()._parts(frozen=frozen) if pair[0] != "_table")

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __getitem__(self, name: str) -> Module:
        return self._table[name]

    def __setitem__(self, name: Any, module: Module) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"ModuleDict takes names without a dot, got {name!r}")
        self._table = {**self._table, name: _checked(self, module)}

    def __delitem__(self, name: str) -> None:
        table = self._table.copy()
        del table[name]
        self._table = table
