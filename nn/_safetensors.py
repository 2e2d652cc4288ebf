"""Reading safetensors files, so that no file, whatever is in it, costs more memory than its own size and 1 MiB.

Such a file begins with 8 bytes, the length of the header, least byte first. The header is JSON: for every array its
dtype, its shape and where its bytes are, and under ``__metadata__`` texts by name. Then come the bytes of all arrays,
without gaps. Source: https://github.com/huggingface/safetensors, section "Format".

Why this is not left to the safetensors library, which writes our files: it builds objects for the whole header first,
many times as large as the header if that is made for it, and maps the file into memory, so that the process dies if the
file is cut short meanwhile.
"""

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

DTYPES = {
    name: np.dtype(code)
    for name, code in (
        *(("F64", "<f8"), ("F32", "<f4"), ("F16", "<f2"), ("C64", "<c8"), ("BOOL", "?")),
        *(("I64", "<i8"), ("I32", "<i4"), ("I16", "<i2"), ("I8", "i1")),
        *(("U64", "<u8"), ("U32", "<u4"), ("U16", "<u2"), ("U8", "u1")),
    )
}
"""The types of numbers that NumPy has too."""

OWN = "autodiff"
"""The name of our text in the metadata."""

# Memory in bytes. ROOM leaves an eighth of the 1 MiB for what lives only for a moment. The others were measured, and
# are what the objects take at most: an array with its name and place; an axis of it; and an array of a model that the
# file is to be loaded into, which is the caller's own and not the file's.
ROOM = 896 << 10
PER_ARRAY = 500
PER_AXIS = 64
PER_ARRAY_OF_MODEL = 2048

_SPACE = rb"[ \t\r\n]*+"
_OPEN = re.compile(_SPACE + rb"\{")
_CLOSE = re.compile(_SPACE + rb"\}")
_NEXT = re.compile(_SPACE + rb"[,}]")
_END = re.compile(_SPACE + rb"\Z")
_NAME = re.compile(_SPACE + rb'("(?:[^"\\]|\\.){0,1024}+")' + _SPACE + rb":" + _SPACE, re.DOTALL)
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_PLACE = re.compile(rb"\{[^{}]{0,2048}+\}")

_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_PICKLE = (
    "it looks like a file of torch.save, a pickle, which can run code when it is read and which load() therefore never "
    "reads. Convert a state dict once, where PyTorch is installed: "
    'safetensors.torch.save_file(torch.load("model.pt", weights_only=True), "model.safetensors")'
)


class LoadError(ValueError):
    """A file cannot be loaded: it is no safetensors file, it is damaged, or it does not fit what it is loaded into.

    >>> from tempfile import NamedTemporaryFile
    >>> from nn import load
    >>> with NamedTemporaryFile() as empty:
    ...     try:
    ...         load(empty.name)
    ...     except LoadError as error:
    ...         "safetensors" in str(error)
    True
    """


class Stored(NamedTuple):
    """An array in a file: what it is and where its bytes begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int

    @property
    def nbytes(self) -> int:
        """How many bytes it has."""
        return math.prod(self.shape) * self.dtype.itemsize


class SafetensorsFile:
    """An open safetensors file, the header of which has been read and found in order.

    Args:
        path: of the file.
        arrays_of_model: how many arrays the model has that the file is meant for.

    Attributes:
        arrays: {name: Stored}.
        text: our text in the metadata, or None.

    Raises LoadError for any other file, and what ``open`` raises.
    """

    def __init__(self, path: str | os.PathLike[str], arrays_of_model: int = 0) -> None:
        self.path = os.fspath(path)
        if not stat.S_ISREG(Path(path).stat().st_mode):  # opening a pipe would wait for somebody to write
            raise self.error("it is a folder" if Path(path).is_dir() else "it is no ordinary file")
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115  # closed by __exit__
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            header = self._header()
            self._data = 8 + len(header)
            self.arrays, self.text = read_header(header, self._size - self._data, arrays_of_model)
        except (ValueError, RecursionError) as error:
            self._file.close()
            raise (error if isinstance(error, LoadError) else self.error(str(error))) from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._file.close()

    def error(self, why: str) -> LoadError:
        """A LoadError that names the file."""
        return LoadError(f"cannot load {self.path!r}: {why}")

    def read(self, name: str) -> np.ndarray:
        """The array of this name."""
        stored = self.arrays[name]
        array = np.empty(stored.shape, stored.dtype)
        self.fill(name, array)
        return array

    def fill(self, name: str, array: np.ndarray) -> None:
        """Read the array of this name into one of its shape and dtype that lies in C order."""
        self._read_into(self.arrays[name].start + self._data, array.reshape(-1).view(np.uint8))
        if array.dtype == bool and array.view(np.uint8).max(initial=0) > 1:
            raise self.error(f"{name!r} is to be of truth values and has a byte that is neither 0 nor 1")

    def _read_into(self, start: int, buffer: Any) -> None:
        self._file.seek(start)
        left = memoryview(buffer)
        while left:  # one call reads at most 2 GiB
            if not (count := self._file.readinto(left)):
                raise self.error("it is shorter than it was when it was opened")
            left = left[count:]

    def _header(self) -> bytearray:
        first = bytearray(min(8, self._size))
        self._read_into(0, first)
        length = int.from_bytes(first, "little")
        if self._size < 8 or length > self._size - 8:
            if first.startswith(_PICKLES):
                raise self.error(_PICKLE)
            announced = f"it announces a header of {length:,} bytes and" if self._size >= 8 else "it"
            raise self.error(f"it is no safetensors file, or cut short: {announced} has {self._size:,} bytes in all")
        header = bytearray(length)
        self._read_into(8, header)
        return header


def check_header(data: bytes, arrays_of_model: int) -> None:
    """Raise ValueError if the header of a file's bytes is one that would be refused."""
    end = 8 + int.from_bytes(data[:8], "little")
    read_header(bytearray(data[8:end]), len(data) - end, arrays_of_model)


def read_header(header: bytearray, data_size: int, arrays_of_model: int) -> tuple[dict[str, Stored], str | None]:
    """The arrays that a header lists, and our text. Raises ValueError if they do not cover the data exactly."""
    room = ROOM + min(len(header), data_size) + PER_ARRAY_OF_MODEL * arrays_of_model
    arrays, text = _Header(header, room).read()
    at = 0
    for name in sorted(arrays, key=lambda name: (arrays[name].start, arrays[name].nbytes)):
        if arrays[name].start != at:
            raise ValueError(f"the header is damaged: {name!r} begins at {arrays[name].start} instead of {at}")
        at += arrays[name].nbytes
    if at != data_size:
        raise ValueError(f"its arrays have {at:,} bytes, and there are {data_size:,} for them")
    return arrays, text


class _Header:
    """Goes through a header from left to right and keeps only what it needs, within the memory it may use."""

    def __init__(self, header: bytearray, room: int) -> None:
        self.header = header
        self.at = 0
        self.room = room
        self.arrays: dict[str, Stored] = {}
        self.text: str | None = None

    def read(self) -> tuple[dict[str, Stored], str | None]:
        unknown: dict[str, str] = {}
        metadata = False
        for token in self._members():
            name = _parsed(token)
            if name in self.arrays or name in unknown or (metadata and name == "__metadata__"):
                raise ValueError(f"the header has {name!r} twice")
            if name == "__metadata__":
                metadata = True
                self._metadata()
                continue
            self._spend(PER_ARRAY + (1 if token.isascii() and b"\\" not in token else 4) * len(token))
            start, end = self._span(_PLACE, f"the place of {name!r}")
            place = str(self.header[start:end], "utf-8")
            dtype, stored = _place(name, json.loads(place, object_pairs_hook=list))
            if stored is None:
                unknown[name] = dtype
            else:
                self._spend(PER_AXIS * len(stored.shape))
                self.arrays[name] = stored
        self._span(_END, "nothing more")
        if unknown:
            names = ", ".join(f"{name!r} ({dtype})" for name, dtype in unknown.items())
            raise ValueError(
                f"it has numbers of types that NumPy does not have: {names}. Convert it once, where PyTorch is "
                "installed, by calling .float() on these tensors between safetensors.torch.load_file and save_file"
            )
        return self.arrays, self.text

    def _metadata(self) -> None:
        for token in self._members():
            start, end = self._span(_TEXT, "a text in the metadata")
            if _parsed(token) == OWN:
                if self.text is not None:
                    raise ValueError(f"the header has {OWN!r} twice")
                self._check_room((2 if self.header.find(b"\\u", start, end) < 0 else 5) * (end - start))
                with memoryview(self.header) as view:
                    self.text = json.loads(str(view[start:end], "ascii"))
                self._check_room(parsed_size(self.text))

    def _members(self) -> Iterator[bytes]:
        """The names of an object's members, as they stand there; the caller takes each value before the next."""
        self._span(_OPEN, "an opening brace")
        if found := _CLOSE.match(self.header, self.at):
            self.at = found.end()
            return
        separator = ord(",")
        while separator != ord("}"):
            found = _NAME.match(self.header, self.at)
            if found is None:
                raise ValueError(f"the header is damaged: expected a name of at most 1,024 bytes at byte {self.at}")
            self.at = found.end()
            yield bytes(found[1])
            separator = self.header[self._span(_NEXT, "a comma or a closing brace")[1] - 1]

    def _span(self, pattern: re.Pattern[bytes], what: str) -> tuple[int, int]:
        found = pattern.match(self.header, self.at)
        if found is None:
            raise ValueError(f"the header is damaged: expected {what} at byte {self.at}")
        self.at = found.end()
        return found.span()

    def _spend(self, size: int) -> None:
        self.room -= size
        self._check_room(0)

    def _check_room(self, size: int) -> None:
        if size > self.room:
            raise ValueError(
                "its header would take more memory than the file's size and 1 MiB. If that is because of very many "
                "small arrays, give load() the model that they belong to; if it is because of long lists of numbers, "
                "save them as NumPy arrays; if it is because of very many random generators, let layers share one"
            )


def _parsed(token: bytes) -> str:
    """The text that a JSON string stands for. Raises ValueError for one that is no Unicode."""
    text: str = json.loads(str(token, "utf-8"))
    text.encode("utf-8")
    return text


def _place(name: str, pairs: Any) -> tuple[str, Stored | None]:
    """The dtype's name and the place that an entry of the header gives; None for a dtype that NumPy does not have."""
    fields = dict(pairs)
    dtype, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if not (
        len(pairs) == len(fields) == 3
        and type(dtype) is str
        and type(shape) is type(offsets) is list
        and len(offsets) == 2
        and all(type(x) is int and x >= 0 for x in shape + offsets)
    ):
        expected = "a dtype, a shape and two data_offsets"
        raise ValueError(f"the header is damaged: {name!r} needs {expected}, got {fields!r:.200}")
    if dtype not in DTYPES:
        return dtype, None
    stored = Stored(DTYPES[dtype], tuple(shape), offsets[0])
    if len(shape) > 64 or math.prod(max(n, 1) for n in shape) * stored.dtype.itemsize >= 1 << 63:
        raise ValueError(f"NumPy has no arrays of the shape of {name!r}, {shape!r:.200}")
    if offsets[1] - offsets[0] != stored.nbytes:
        raise ValueError(f"{name!r} needs {stored.nbytes} bytes, and its place has {offsets[1] - offsets[0]}")
    return dtype, stored


def parsed_size(text: str) -> int:
    """How many bytes the objects take, at most, that a text of JSON is parsed into.

    A number or another element takes 41 bytes with its place in a list, and has a comma; a container 200, also as a
    pair that becomes the item of a dict; a member of an object, with tables that grow as it is filled, 300; and a
    string 64, and a byte a character, or 4 if there may be one beyond ASCII in it.
    """
    characters = len(text) * (4 if "\\u" in text else 1)
    containers = text.count("{") + text.count("[")
    return characters + 41 * text.count(",") + 200 * containers + 300 * text.count(":") + 32 * text.count('"')
