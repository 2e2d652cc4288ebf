"""Saving a model, and all that its training needs to go on, to one file; and loading it again.

The file is a safetensors file, which PyTorch and others read too: the arrays of the model stand in it under the names
of its ``state_dict``. Everything else is an array whose name begins with ``@``, or in a text of JSON in the metadata.
"""

import json
import math
import os
import secrets
import stat
import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autodiff import Node, Tensor

from ._optimizer import Optimizer
from ._safetensors import DTYPES, OWN, LoadError, SafetensorsFile, check_header
from .module import Module, _walk

__all__ = ["LoadError", "Saved", "load", "save"]

StrPath = str | os.PathLike[str]
VERSION = 1


class Saved(dict[str, Any]):
    """What ``load`` returns: the extras by name.

    Attributes:
        arrays: the arrays of the model by name, if they were not loaded into anything; else empty.

    >>> Saved(epoch=3)["epoch"]
    3
    """

    arrays: dict[str, np.ndarray]

    def __init__(self, *extra: Any, **extras: Any) -> None:
        super().__init__(*extra, **extras)
        self.arrays = {}


def save(
    path: StrPath,
    model: Module | None = None,
    *,
    optimizer: Any = None,
    schedule: Any = None,
    loader: Any = None,
    rng: np.random.Generator | None = None,
    **extra: Any,
) -> None:
    """Write a model, and what its training needs to go on, to a safetensors file.

    Args:
        path: of the file. What was there before is replaced in one moment, when the new file is complete and on disk: a
            crash leaves the old file or the new one. A symbolic link stays, and its target is replaced; permissions
            stay. (A process that is killed while it writes leaves a file ``.name.*.tmp`` in the folder.)
        model: its parameters and buffers, in their dtypes, and the states of the random generators in it (of Dropout).
            The arrays are those of ``Module.state_dict``: one of the model's own class is not asked.
        optimizer, schedule, loader: an Optimizer, a Scheduler or ReduceLROnPlateau, a DataLoader, or anything with
            ``state_dict`` and ``load_state_dict``. A loader keeps its place in the middle of an epoch.
        rng: a Generator of NumPy's that the training draws from, over any of NumPy's bit generators.
        extra: anything else by name: numbers, text, None, arrays, and lists, tuples and dicts of these. They come back
            bit for bit (NumPy's numbers as Python's), also nan, infinities, and integers of any size.

    A file with a model alone is what PyTorch calls its state dict: ``net.load_state_dict(safetensors.torch.load_file(
    path))`` takes it. A parameter that has several names is there under the first alone, as safetensors has it: let
    ``safetensors.torch.load_model`` and ``save_model`` exchange such a model. How many children the seed of a generator
    has spawned is not saved.
    Raises TypeError for what cannot be saved, ValueError for names that begin with ``@`` and for what ``load`` would
    refuse: options of an optimizer out of their range, and very large extras (tens of thousands of numbers in lists:
    save these as arrays), OSError if the file cannot be written. Then the old file is as it was.

    >>> from tempfile import TemporaryDirectory
    >>> from nn import Linear
    >>> with TemporaryDirectory() as folder:
    ...     save(f"{folder}/net.safetensors", Linear(2, 1, rng=0), epoch=3)
    ...     other = Linear(2, 1, rng=1)
    ...     load(f"{folder}/net.safetensors", other)
    {'epoch': 3}
    """
    from safetensors.numpy import save as to_bytes

    parts = _checked(model, {"optimizer": optimizer, "schedule": schedule, "loader": loader}, rng)
    arrays = _arrays_of(model)
    number_in_model = len(arrays)
    try:
        content = {
            "version": VERSION,
            "model": model is not None,
            "parts": {name: _part(name, part, arrays) for name, part in parts.items()},
            "random": _random_states(_generators(model, rng)),
            "extra": {name: _encoded(x, f"extra.{name}", arrays) for name, x in extra.items()},
        }
        text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise ValueError("something to save is nested too deeply, or contains itself") from error
    for name, array in arrays.items():
        if array.dtype.newbyteorder("<") not in DTYPES.values():
            raise TypeError(f"save cannot write {name!r}, an array of dtype {array.dtype}")
    data = to_bytes({name: np.asarray(array, order="C") for name, array in arrays.items()}, {OWN: text})
    try:
        check_header(data, number_in_model)
    except ValueError as error:
        raise ValueError(f"load() would refuse this file: {error}") from error
    _write(path, data)


def load(
    path: StrPath,
    model: Module | None = None,
    *,
    optimizer: Any = None,
    schedule: Any = None,
    loader: Any = None,
    rng: np.random.Generator | None = None,
    strict: bool = True,
) -> Saved:
    """Read a file that ``save`` wrote, or any other safetensors file, into a model and what belongs to its training.

    Args:
        path: of the file.
        model: takes the arrays and the states of its random generators. From a file of PyTorch's it takes the arrays.
        optimizer, schedule, loader, rng: take what was saved as such. If one of them is given, training is to go on,
            and all that the file has must be given; with a model alone the rest of the file is left alone.
        strict: refuse what is missing, in the file or here. Shapes, dtypes and kinds (the class of an optimizer, say)
            must be equal in any case: nothing is broadcast or converted.

    Returns the extras, a dict by name. With a path alone nothing is changed, and ``.arrays`` of what is returned has
    the arrays of the model by name.

    No code in a file is ever run, and no more memory is used than the file's size and 1 MiB, beside up to 2 KiB for
    each array of the model, and the copies that an optimizer makes of its state when a file fits.
    Raises LoadError, a ValueError, with all differences at once, or with what is wrong with the file; then nothing has
    changed. Raises OSError, such as FileNotFoundError, if there is no file to read, TypeError for an argument of
    another kind.

    >>> from tempfile import TemporaryDirectory
    >>> from nn import Linear
    >>> with TemporaryDirectory() as folder:
    ...     save(f"{folder}/net.safetensors", Linear(2, 1, rng=0), losses=[0.5, 0.25])
    ...     saved = load(f"{folder}/net.safetensors")
    >>> saved["losses"], saved.arrays["weight"].shape
    ([0.5, 0.25], (1, 2))
    """
    parts = _checked(model, {"optimizer": optimizer, "schedule": schedule, "loader": loader}, rng)
    training = bool(parts) or rng is not None
    with SafetensorsFile(path, 0 if model is None else len(model._state())) as file, ExitStack() as undo:
        content = _content(file)
        saved = Saved(content.extra)
        if model is None and not training:
            saved.arrays = {name: file.read(name) for name in file.arrays}
            return saved
        asked = {*parts, *(["model"] if model is not None else []), *(["rng"] if rng is not None else [])}
        wrong = _absent(content, asked, training) if strict else []
        if model is not None and content.model:
            wrong += _misfits(model, file, strict)
        states, differences = _restored(_generators(model, rng), content, model is not None, strict)
        wrong += differences
        # A schedule sets the rate of its optimizer; so it is loaded, and if need be put back, before that
        for part in _touched(optimizer, schedule, loader):
            undo.callback(getattr(part, "__dict__", {}).update, dict(getattr(part, "__dict__", {})))
            if isinstance(part, Optimizer):
                undo.callback(part.snapshot())
            else:
                undo.callback(part.load_state_dict, part.state_dict())
        for name in ("schedule", "optimizer", "loader"):
            if name in parts and name in content.parts:
                wrong += _loaded(name, parts[name], content.parts[name])
        if wrong:
            raise file.error("\n  ".join(["it does not fit, and nothing was changed:", *wrong]))
        for generator, state in states:
            undo.callback(setattr, generator, "state", generator.state)
            generator.state = state
        if model is not None:
            _install(model, file, undo)
        undo.pop_all()
    return saved


def _checked(model: Any, parts: dict[str, Any], rng: Any) -> dict[str, Any]:
    """The parts that were given. Raises TypeError for one that is not what it should be."""
    if model is not None and not isinstance(model, Module):
        raise TypeError(f"model must be a Module, got {type(model).__name__}")
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator, got {type(rng).__name__}; numpy.random.default_rng(...)"
        )
    given = {name: part for name, part in parts.items() if part is not None}
    for name, part in given.items():
        if not (hasattr(part, "state_dict") and hasattr(part, "load_state_dict")):
            raise TypeError(f"{name} needs state_dict and load_state_dict, got {type(part).__name__}")
    return given


# ---- the text in the metadata ----


def _arrays_of(model: Module | None) -> dict[str, Any]:
    """The arrays of a model by name. Raises ValueError or TypeError for those that could not be loaded again."""
    arrays = {} if model is None else Module.state_dict(model)
    if wrong := [name for name in arrays if name.startswith("@") or name == "__metadata__"]:
        raise ValueError(f"names that begin with @, and __metadata__, are not for arrays of a model: {wrong}")
    if wrong := [name for name, array in arrays.items() if not array.dtype.isnative]:
        raise TypeError(f"save cannot write arrays of a model in another order of bytes than this machine's: {wrong}")
    return arrays


def _part(name: str, part: Any, arrays: dict[str, Any]) -> dict[str, Any]:
    """The class and the state of an optimizer, a schedule or a loader."""
    try:
        for group in part.param_groups if isinstance(part, Optimizer) else []:
            part._checked({option: group[option] for option in part.defaults})  # schedules set them without a check
    except (TypeError, ValueError) as error:
        raise type(error)(f"save cannot write {name}, load() would refuse it: {error}") from error
    return {"class": type(part).__name__, "state": _encoded(part.state_dict(), name, arrays)}


def _encoded(x: Any, where: str, arrays: dict[str, Any]) -> Any:
    """What JSON can say that means x; arrays are put aside by name."""
    if isinstance(x, np.generic) and not isinstance(x, np.void):
        x = x.item()
    if x is None or isinstance(x, (bool, str)):
        return x
    if isinstance(x, int):  # larger ones are not exact for other readers of JSON; Python reads at most 4,300 digits
        return int(x) if abs(x) < 1 << 53 else {"@int": hex(x)}
    if isinstance(x, float):
        return float(x) if math.isfinite(x) else {"@float": struct.pack(">d", x).hex()}
    if isinstance(x, np.ndarray) and not isinstance(x, np.ma.MaskedArray):
        name = f"@{where}"
        if name in arrays or len(name) > 200 or not (name.isascii() and name.isprintable()):
            name = f"@{len(arrays)}"
        arrays[name] = np.asarray(x)
        return {"@array": name}
    if isinstance(x, (list, tuple)):
        items = [_encoded(item, f"{where}.{i}", arrays) for i, item in enumerate(x)]
        return {"@tuple": items} if isinstance(x, tuple) else items
    if isinstance(x, dict):
        if all(isinstance(key, str) and not key.startswith("@") for key in x):
            return {str.__str__(key): _encoded(item, f"{where}.{key}", arrays) for key, item in x.items()}
        return {"@dict": [[_encoded(y, f"{where}.{key}", arrays) for y in (key, item)] for key, item in x.items()]}
    hint = " (pass its .data, or .item())" if isinstance(x, Node) else ""
    expected = "numbers, text, None, arrays, and lists, tuples and dicts of these"
    raise TypeError(f"save cannot write {where}, a {type(x).__name__}{hint}; it takes {expected}")


def _decoder(file: SafetensorsFile) -> Callable[[list[tuple[str, Any]]], Any]:
    """A function that gives what a JSON object, as a list of pairs, stands for; each array is read once."""

    def taken(name: Any) -> np.ndarray:
        if not (isinstance(name, str) and name.startswith("@") and name in file.arrays):
            raise ValueError(f"its text asks for an array {name!r:.200} that is not there, or for the second time")
        array = file.read(name)
        del file.arrays[name]
        return array

    def listed(items: Any) -> list[Any]:
        if not isinstance(items, list):
            raise TypeError("a list was expected")
        return items

    meanings: dict[str, Callable[[Any], Any]] = {
        "@int": lambda digits: int(digits, 16),
        "@float": lambda digits: struct.unpack(">d", bytes.fromhex(digits))[0],
        "@tuple": lambda items: tuple(listed(items)),
        "@dict": lambda items: dict(map(listed, listed(items))),
        "@array": taken,
    }

    def decoded(pairs: list[tuple[str, Any]]) -> Any:
        if len(pairs) == 1 and pairs[0][0].startswith("@"):
            return meanings[pairs[0][0]](pairs[0][1])
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise ValueError("its text has a name twice")
        return fields

    return decoded


class _Content(NamedTuple):
    """What is in a file beside the arrays of the model."""

    model: bool
    parts: dict[str, Any]
    random: dict[str, Any] | None  # None: the file was not written by save
    extra: dict[str, Any]


def _content(file: SafetensorsFile) -> _Content:
    """Read the text of a file, and take the arrays that belong to it out of those of the model."""
    text, file.text = file.text, None
    if text is None:
        return _Content(True, {}, None, {})
    try:
        content = json.loads(text, object_pairs_hook=_decoder(file), parse_constant=_refused)
        version = content.pop("version")
        if type(version) is not int or version != VERSION:
            raise file.error(f"its version is {_shown(version)}, and this program reads version {VERSION}")
        found = _Content(**content)
        if not all(isinstance(x, kind) for x, kind in zip(found, (bool, dict, dict, dict), strict=True)):
            raise TypeError("a part of it is of another kind")
        for part in found.parts.values():
            if part.keys() != {"class", "state"} or not isinstance(part["class"], str):
                raise TypeError("a part has the name of a class, and a state")
        if strangers := [name for name in file.arrays if name.startswith("@") or not found.model]:
            raise ValueError(f"nothing refers to {strangers}")
    except LoadError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, struct.error) as error:
        raise file.error(f"the text in its metadata is damaged: {type(error).__name__}: {error}") from error
    return found


def _shown(x: Any) -> str:
    """The beginning of what a file has in the place of something else."""
    try:
        return f"{x!r:.50}"
    except ValueError:  # Python writes no integers of more than 4,300 digits
        return "an integer of very many digits"


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


# ---- what fits and what does not ----


def _absent(content: _Content, asked: set[str], training: bool) -> list[str]:
    """Parts that were asked for and are not in the file, or the other way round if training is to go on."""
    there = {
        *content.parts,
        *(["model"] if content.model else []),
        *(["rng"] if "rng" in (content.random or {}) else []),
    }
    wrong = [f"{name}: missing in the file" for name in sorted(asked - there)]
    if training:
        wrong += [f"{name}: in the file, but not asked for; pass {name}=..." for name in sorted(there - asked)]
    return wrong


def _misfits(model: Module, file: SafetensorsFile, strict: bool) -> list[str]:
    """The differences between a model and the arrays in a file."""
    _, wrong = model._compare(file.arrays, strict=strict)
    lines = [f"model: {line}" for line in wrong]
    if any(": dtype " in line for line in wrong):
        lines.append(
            "(model.to(dtype) gives a model another one, before its optimizer is made; PyTorch's is numpy.float32)"
        )
    return lines


def _loaded(name: str, part: Any, saved: dict[str, Any]) -> list[str]:
    """Let a part load its state; returns what it, or its class, says against it."""
    own = type(part).__name__
    wrong = [] if saved["class"] == own else [f"{name}: {own} here, {_shown(saved['class'])} in the file"]
    try:
        part.load_state_dict(saved["state"])
    except Exception as error:  # noqa: BLE001  # whatever a state that anybody may have written makes it raise
        said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        wrong.append(f"{name}: " + said.replace("\n", "\n  "))
    return wrong


def _touched(optimizer: Any, schedule: Any, loader: Any) -> list[Any]:
    """Everything that loading may change, each once; the last is put back first."""
    parts = {id(x): x for x in (optimizer, getattr(schedule, "optimizer", None), schedule, loader)}
    return [part for part in parts.values() if hasattr(part, "load_state_dict")]


def _install(model: Module, file: SafetensorsFile, undo: ExitStack) -> None:
    """Read the arrays in a file, which fit, into the parameters and buffers of a model."""
    for name, (holder, attribute) in model._state().items():
        if name not in file.arrays:
            continue
        undo.callback(setattr, holder, attribute, getattr(holder, attribute))
        if isinstance(holder, Tensor):
            # A Tensor copies what it is given. So it is given one number many times, and its own copy is then filled
            holder.data = np.broadcast_to(np.zeros((), holder.dtype), holder.shape)
            file.fill(name, holder.data)
        else:
            setattr(holder, attribute, file.read(name))
    model._refreeze()


# ---- random generators ----

# The largest values of what NumPy takes unchecked from a state and then uses as an index or a flag
_LARGEST = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "uinteger": (1 << 32) - 1}
_KNOWN = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


def _generators(model: Module | None, rng: np.random.Generator | None) -> dict[str, Any]:
    """The bit generators of all random generators in a model, and of one more, by name; a shared one several times."""
    found = {} if model is None else {f"model.{name}": part for name, part in _walk(model)}
    if rng is not None:
        found["rng"] = rng
    kinds = (np.random.Generator, np.random.RandomState, np.random.BitGenerator)
    return {name: getattr(x, "bit_generator", x) for name, x in found.items() if isinstance(x, kinds)}


def _owners(generators: dict[str, Any]) -> dict[str, str]:
    """For each name the first name of the same generator."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(generator), name) for name, generator in generators.items()}


def _random_states(generators: dict[str, Any]) -> dict[str, Any]:
    """The state of each generator; for one that is there under another name already, that name."""
    for name, generator in generators.items():
        if type(generator).__name__ not in _KNOWN:
            raise TypeError(
                f"save knows the bit generators {', '.join(_KNOWN)}; {name} is a {type(generator).__name__}"
            )
    owners = _owners(generators)
    return {
        name: _listed(generator.state) if owners[name] == name else owners[name]
        for name, generator in generators.items()
    }


def _listed(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _listed(x) for key, x in state.items()}
    return _encoded(state.tolist() if isinstance(state, np.ndarray) else state, "random", {})


def _restored(
    generators: dict[str, Any], content: _Content, has_model: bool, strict: bool
) -> tuple[list[tuple[Any, Any]], list[str]]:
    """(bit generator, state to give it) pairs; and the differences between the generators here and in the file."""
    states: list[tuple[Any, Any]] = []
    wrong: list[str] = []
    given, owners = content.random or {}, _owners(generators)
    for name, generator in generators.items():
        if name not in given:
            if strict and name != "rng" and content.random is not None:
                wrong.append(f"{name}: a random generator here, none in the file")
            continue
        owner = given[name] if isinstance(given[name], str) else name
        if owner != owners[name]:
            wrong.append(f"{name}: the generator of {owner} in the file, of {owners[name]} here")
        elif owner == name:
            try:
                states.append((generator, _like(generator.state, given[name])))
            except (AttributeError, TypeError, ValueError) as error:
                wrong.append(f"{name}: {error}")
    if strict and has_model:
        strangers = [name for name in given if name != "rng" and name not in generators]
        wrong += [f"{name}: a random generator in the file, none here" for name in strangers]
    return states, wrong


def _like(own: Any, given: Any, key: str = "") -> Any:
    """A state from a file in the form of a generator's own. Raises ValueError if it is none of this generator's."""
    if isinstance(own, dict):
        if not isinstance(given, dict) or given.get("bit_generator") != own.get("bit_generator"):
            kind = given.get("bit_generator") if isinstance(given, dict) else given
            raise ValueError(f"{own.get('bit_generator')} here, {kind!r:.50} in the file")
        if given.keys() != own.keys():
            raise ValueError(f"a state has {', '.join(own)}")
        return {name: _like(x, given[name], name) for name, x in own.items()}
    if isinstance(own, str):
        return own
    if isinstance(own, np.ndarray):
        if not isinstance(given, list) or len(given) != own.size:
            raise ValueError(f"{key} has {own.size} numbers")
        largest = int(np.iinfo(own.dtype).max)
        return np.array([_within(x, largest, key) for x in given], own.dtype)
    return _within(given, _LARGEST.get(key, (1 << 128) - 1), key)


def _within(x: Any, largest: int, key: str) -> int:
    if type(x) is not int or not 0 <= x <= largest:
        raise ValueError(f"{key} must be an integer in 0 .. {largest}, got {_shown(x)}")
    return x


# ---- writing ----


def _write(path: StrPath, data: bytes) -> None:
    """Replace a file in one moment, when the new one is on disk."""
    target = Path(os.path.realpath(path))
    mode = None
    if target.exists():
        mode = target.stat().st_mode
        if not stat.S_ISREG(mode):
            raise IsADirectoryError(f"{target} is a folder") if target.is_dir() else OSError(f"{target} is no file")
        if not os.access(target, os.W_OK):
            raise PermissionError(f"{target} may not be written")
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(stat.S_IMODE(mode))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere folders cannot be opened
        with suppress(OSError):  # the new file is in place; and not every file system, nor every user, can do this
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
