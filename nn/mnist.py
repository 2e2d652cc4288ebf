"""MNIST and Fashion-MNIST: the published files, read from a folder or fetched into one."""

import gzip
import hashlib
import http.client
import math
import os
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

__all__ = ["ImageData", "load_fashion_mnist", "load_mnist", "read_idx"]

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
"""The names of the published files, without .gz: training images and labels, test images and labels."""

MNIST_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
"""A mirror of the original files, which TensorFlow Datasets uses."""
MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
"""Where the authors publish the files. It speaks no https; the checksums below make sure of what comes."""
FASHION_SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}

LARGEST = 1 << 26  # bytes of a file of either kind, unpacked; the published ones have at most 47,040,016
CHUNK = 1 << 16  # bytes read at once
PATIENCE = 30.0  # seconds to wait for a server that says nothing
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class ImageData(NamedTuple):
    """Images to learn from and to test with: uint8 of shape (n, height, width), and labels, int64 of shape (n,).

    >>> images, labels = np.zeros((3, 28, 28), np.uint8), np.arange(3)
    >>> train_images, train_labels, *_ = ImageData(images, labels, images[:1], labels[:1])
    >>> train_images.shape, train_labels.tolist()
    ((3, 28, 28), [0, 1, 2])
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load_mnist(
    folder: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    url: str = MNIST_URL,
    checksums: Mapping[str, str] | None = MNIST_SHA256,
) -> ImageData:
    """MNIST: 60,000 and 10,000 handwritten digits of 28 x 28 pixels (LeCun, Cortes and Burges 1998).

    Args:
        folder: where the four published files are, packed (.gz) or not. By default a cache: ``autodiff-nn/mnist`` in
            XDG_CACHE_HOME or ~/.cache.
        download: fetch files that are not there, and keep them in the folder.
        url: where to fetch from; the names of the files are appended.
        checksums: the SHA-256 of each file, in hexadecimal, by name (with .gz); a fetched file that has another is not
            kept. None checks only that the file is what its header says.

    Returns an ImageData: training images and labels, test images and labels. Pixels are 0 (paper) to 255 (ink).
    Raises FileNotFoundError for a file that is not there, ConnectionError if it cannot be fetched, ValueError for a
    file that is damaged, is not the published one, or has no images or labels in it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as empty:
    ...     load_mnist(empty)  # doctest: +ELLIPSIS, +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    FileNotFoundError: there is no train-images-idx3-ubyte.gz in ...; ... pass download=True ...
    """
    return _load("mnist", folder, download, url, checksums)


def load_fashion_mnist(
    folder: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    url: str = FASHION_URL,
    checksums: Mapping[str, str] | None = FASHION_SHA256,
) -> ImageData:
    """Fashion-MNIST: pictures of clothes in ten classes, in the form of MNIST (Xiao et al. 2017, arXiv:1708.07747).

    The classes are: T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot.

    Args:
        folder, download, url, checksums: as for ``load_mnist``; the cache is ``autodiff-nn/fashion-mnist``.

    Returns and raises what ``load_mnist`` does.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as empty:
    ...     load_fashion_mnist(empty)  # doctest: +ELLIPSIS, +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    FileNotFoundError: there is no train-images-idx3-ubyte.gz in ...; ... pass download=True ...
    """
    return _load("fashion-mnist", folder, download, url, checksums)


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = 1 << 30) -> np.ndarray:
    """The array in an IDX file, packed with gzip or not.

    IDX is the format of MNIST: two zero bytes, a byte for the type of the numbers, a byte for the number of axes, the
    length of each axis in four bytes, then the numbers, all big-endian (yann.lecun.com/exdb/mnist).

    Args:
        path: the file.
        max_bytes: the largest array to read.

    Memory is taken as the numbers come, not as the header promises them.
    Raises ValueError for a file that is damaged, cut off or too long, is no IDX file, or is larger than max_bytes;
    OSError if it cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "three")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7]))
    ...     read_idx(path)
    array([5, 6, 7], dtype=uint8)
    """
    path = Path(path)
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            return _parse(gzip.GzipFile(fileobj=file) if packed else file, path, max_bytes)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is damaged: {error}") from error


def _parse(file: Any, path: Path, max_bytes: int) -> np.ndarray:
    header = file.read(4)
    if len(header) < 4 or header[:2] != b"\0\0" or header[2] not in IDX_TYPES or not 1 <= header[3] <= 8:
        raise ValueError(f"{path} is no IDX file: it begins with {header.hex(' ') or 'nothing'}")
    dtype, ndim = np.dtype(IDX_TYPES[header[2]]), header[3]
    lengths = file.read(4 * ndim)
    if len(lengths) < 4 * ndim:
        raise ValueError(f"{path} is cut off: its header ends after {4 + len(lengths)} bytes")
    shape = tuple(int.from_bytes(lengths[i : i + 4], "big") for i in range(0, 4 * ndim, 4))
    size = math.prod(shape) * dtype.itemsize
    if size > max_bytes:
        raise ValueError(f"{path} claims to hold an array of shape {shape}: {size} bytes, and {max_bytes} are allowed")
    numbers = bytearray()
    while chunk := file.read(min(CHUNK, size + 1 - len(numbers))):  # one more than there should be, to see the end
        numbers += chunk
    if len(numbers) != size:
        what = "is cut off" if len(numbers) < size else "is too long"
        raise ValueError(f"{path} {what}: an array of shape {shape} has {size} bytes, found {len(numbers)} or more")
    return np.frombuffer(numbers, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _load(
    name: str, folder: str | os.PathLike[str] | None, download: bool, url: str, checksums: Mapping[str, str] | None
) -> ImageData:
    place = _cache() / name if folder is None else Path(folder)
    arrays = [read_idx(_find(place, file, download, url, checksums), max_bytes=LARGEST) for file in FILES]
    for images, labels, part in ((arrays[0], arrays[1], "training"), (arrays[2], arrays[3], "test")):
        if images.ndim != 3 or labels.ndim != 1 or images.dtype != np.uint8 or labels.dtype != np.uint8:
            raise ValueError(
                f"the {part} files in {place} hold {images.dtype} of shape {images.shape} and {labels.dtype} of shape "
                f"{labels.shape}, not images (n, height, width) and labels (n,) of type uint8"
            )
        if len(images) != len(labels):
            raise ValueError(f"the {part} files in {place} hold {len(images)} images but {len(labels)} labels")
        if labels.size and labels.max() > 9:
            raise ValueError(f"the {part} labels in {place} must be 0 .. 9, got {labels.max()}")
    return ImageData(arrays[0], arrays[1].astype(np.int64), arrays[2], arrays[3].astype(np.int64))


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autodiff-nn"


def _find(place: Path, file: str, download: bool, url: str, checksums: Mapping[str, str] | None) -> Path:
    """The path of one of the published files, which is fetched if need be and allowed."""
    packed = f"{file}.gz"
    for path in (place / packed, place / file):
        if path.is_file():
            return path
    advice = f"put the four published files there, or pass download=True to fetch them from {url}"
    if not download:
        raise FileNotFoundError(f"there is no {packed} in {place}; {advice}")
    if checksums is not None and packed not in checksums:
        raise ValueError(f"checksums has no entry for {packed}; pass checksums=None to do without")
    _fetch(url.rstrip("/") + "/" + packed, place / packed, None if checksums is None else checksums[packed])
    return place / packed


def _fetch(url: str, path: Path, checksum: str | None) -> None:
    """Fetch a file. It gets its name only when it has come in full and is the right one."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"files are fetched by https or http, got {url}")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            found = _copy(url, file)
        if checksum is None:
            _check_idx(temporary, url)
        elif found != checksum.lower():
            raise ValueError(
                f"{url} is not the published file: its SHA-256 is {found}, not {checksum}; nothing was kept"
            )
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _check_idx(path: str, url: str) -> None:
    """Without a checksum, what was fetched is at least what its header says."""
    try:
        read_idx(path, max_bytes=LARGEST)
    except ValueError as error:
        raise ValueError(f"{url} is no IDX file; nothing was kept: {error}") from error


def _copy(url: str, file: IO[bytes]) -> str:
    """Write what a server sends to a file; returns its SHA-256."""
    digest, size = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            promised = answer.headers.get("Content-Length")
            while chunk := answer.read(CHUNK):
                size += len(chunk)
                if size > LARGEST:
                    raise ValueError(f"{url} sends more than {LARGEST} bytes; nothing was kept")
                digest.update(chunk)
                file.write(chunk)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise ConnectionError(
            f"cannot fetch {url}: {error}; without a network, put the four published files into a folder and pass it"
        ) from error
    if promised is not None and promised.isdigit() and size != int(promised):
        raise ConnectionError(f"cannot fetch {url}: the connection ended after {size} of {promised} bytes; try again")
    return digest.hexdigest()
