"""MNIST from files that the tests write, and from a server that they start. Nothing leaves this machine."""

import gzip
import hashlib
import socket
import struct
import threading
import tracemalloc
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn import mnist
from nn.mnist import FILES, load_fashion_mnist, load_mnist, read_idx

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def idx(array):
    """Return the bytes of an IDX file."""
    code = {np.dtype(dtype).newbyteorder("="): code for code, dtype in TYPES.items()}[array.dtype]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(TYPES[code]).tobytes()


def small():
    """Return the contents of four files as small as can be, unpacked, by name."""
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 256, (5, 28, 28)), rng.integers(0, 256, (3, 28, 28))
    labels = [np.arange(5), np.arange(7, 10)]
    arrays = [train, labels[0], test, labels[1]]
    return {name: idx(array.astype(np.uint8)) for name, array in zip(FILES, arrays, strict=True)}


def packed():
    """Return the same, packed and under the published names."""
    return {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in small().items()}


def write(folder, contents):
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def assert_small(data):
    train, test = small()[FILES[0]], small()[FILES[2]]
    assert data.train_images.shape == (5, 28, 28)
    assert data.train_images.dtype == np.uint8
    assert data.train_images.tobytes() == train[16:]
    assert data.test_images.tobytes() == test[16:]
    assert data.train_labels.dtype == np.int64
    assert (data.train_labels.tolist(), data.test_labels.tolist()) == ([0, 1, 2, 3, 4], [7, 8, 9])


# ---- the IDX format ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES.values())
@pytest.mark.parametrize("shape", [(4,), (2, 3), (0,), (3, 0, 2), (1, 2, 3, 4)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_arrays_of_every_type_and_rank_are_read(tmp_path, dtype, shape, pack):
    array = np.arange(np.prod(shape)).reshape(shape).astype(np.dtype(dtype).newbyteorder("="))
    (tmp_path / "file").write_bytes(pack(idx(array)))
    got = read_idx(tmp_path / "file")
    np.testing.assert_array_equal(got, array)
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    got[...] = 0  # it belongs to the caller


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is no IDX file: it begins with nothing"),
    (b"\0\0\x08", "is no IDX file: it begins with 00 00 08"),
    (b"\0\0\x07\x01\0\0\0\0", "is no IDX file: it begins with 00 00 07 01"),
    (b"\0\x01\x08\x01\0\0\0\0", "is no IDX file"),
    (b"\0\0\x08\x00", "is no IDX file"),
    (b"\0\0\x08\xff" + bytes(4 * 255), "is no IDX file"),
    (b"<!DOCTYPE html>", "is no IDX file: it begins with 3c 21 44 4f"),
    (b"\0\0\x08\x03\0\0\0\x01\0\0", "is cut off: its header ends after 10 bytes"),
    (b"\0\0\x08\x01\0\0\0\x03ab", r"is cut off: an array of shape \(3,\) has 3 bytes, found 2"),
    (b"\0\0\x08\x01\0\0\0\x03abcd", r"is too long: an array of shape \(3,\) has 3 bytes, found 4"),
    (b"\0\0\x0e\x03" + b"\xff" * 12, "bytes, and 1073741824 are allowed"),
])  # fmt: skip
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_is_wrong_is_refused_with_what_is_wrong(tmp_path, content, message, pack):
    (tmp_path / "file").write_bytes(pack(content))
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(tmp_path / "file")
    assert str(tmp_path / "file") in str(caught.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_promises_a_gigabyte_costs_no_memory(tmp_path, pack):
    (tmp_path / "file").write_bytes(pack(struct.pack(">HBBII", 0, 8, 2, 32768, 32767) + b"abc"))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is cut off"):
            read_idx(tmp_path / "file")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_small_file_that_unpacks_to_much_is_read_no_further_than_its_header_says(tmp_path):
    (tmp_path / "bomb").write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, 10) + bytes(50_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is too long"):
            read_idx(tmp_path / "bomb")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_every_truncation_is_refused(tmp_path):
    for content in (idx(np.arange(6, dtype=np.uint8).reshape(2, 3)), gzip.compress(idx(np.arange(6, dtype=np.int32)))):
        for length in range(len(content)):
            (tmp_path / "file").write_bytes(content[:length])
            with pytest.raises(ValueError, match=r"is no IDX file|is cut off|is damaged"):
                read_idx(tmp_path / "file")


@given(st.data())
def test_a_mutated_file_gives_an_array_or_a_ValueError(tmp_path_factory, data):
    content = bytearray(idx(np.arange(12, dtype=np.int16).reshape(3, 4)))
    if data.draw(st.booleans()):
        content = bytearray(gzip.compress(bytes(content), mtime=0))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(content)
    try:
        assert isinstance(read_idx(path, max_bytes=1 << 16), np.ndarray)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017  # either outcome is right


# ---- from a folder -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist])
def test_published_files_are_read_packed_or_not(tmp_path, load):
    assert_small(load(write(tmp_path / "plain", small())))
    assert_small(load(str(write(tmp_path / "packed", packed()))))


@pytest.mark.parametrize(("load", "name"), [(load_mnist, "mnist"), (load_fashion_mnist, "fashion-mnist")])
def test_without_a_folder_the_cache_is_read(tmp_path, monkeypatch, load, name):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "autodiff-nn").mkdir()
    write(tmp_path / "autodiff-nn" / name, packed())
    assert_small(load())
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(FileNotFoundError) as caught:
        load()
    assert str(tmp_path / "home" / ".cache" / "autodiff-nn" / name) in str(caught.value)


def test_a_missing_file_is_named_with_two_ways_out(tmp_path):
    contents = packed()
    del contents["t10k-labels-idx1-ubyte.gz"]
    with pytest.raises(FileNotFoundError) as caught:
        load_mnist(write(tmp_path, contents))
    assert str(caught.value) == (
        f"there is no t10k-labels-idx1-ubyte.gz in {tmp_path}; put the four published files there, "
        f"or pass download=True to fetch them from {mnist.MNIST_URL}"
    )


@pytest.mark.parametrize(("name", "array", "message"), [
    (FILES[0], np.zeros((4, 28, 28), np.uint8), "the training files in .* hold 4 images but 5 labels"),
    (FILES[3], np.zeros(2, np.uint8), "the test files in .* hold 3 images but 2 labels"),
    (FILES[1], np.array([0, 1, 2, 3, 10], np.uint8), "the training labels in .* must be 0 .. 9, got 10"),
    (FILES[2], np.zeros((3, 784), np.uint8), r"hold uint8 of shape \(3, 784\) and uint8 of shape \(3,\), not images"),
    (FILES[0], np.zeros((5, 28, 28), np.float32), r"hold float32 of shape \(5, 28, 28\)"),
])  # fmt: skip
def test_files_that_do_not_go_together_are_refused(tmp_path, name, array, message):
    with pytest.raises(ValueError, match=message):
        load_mnist(write(tmp_path, small() | {name: idx(array)}))


# ---- from a server -------------------------------------------------------------------------------------------------


@contextmanager
def server(contents, cut=0):
    """Serve files on a free port of this machine; `cut` bytes of each are promised but not sent."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.lstrip("/")
            asked.append(name)
            if name not in contents:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(contents[name])))
            self.end_headers()
            self.wfile.write(contents[name][: len(contents[name]) - cut])

        def log_message(self, *args):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/", asked
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    """Let nothing between the tests and their own server."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


def sums(contents):
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def test_files_are_fetched_once_and_kept(tmp_path):
    contents = packed()
    with server(contents) as (url, asked):
        for _ in range(2):
            assert_small(load_mnist(tmp_path / "new", download=True, url=url, checksums=sums(contents)))
        assert asked == list(contents)
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == contents
    assert_small(load_mnist(tmp_path / "new"))  # the server is gone


def test_only_what_is_missing_is_fetched(tmp_path):
    contents = packed()
    write(tmp_path, {name: contents[name] for name in list(contents)[:3]})
    with server(contents) as (url, asked):
        assert_small(load_fashion_mnist(tmp_path, download=True, url=url.rstrip("/"), checksums=sums(contents)))
        assert asked == ["t10k-labels-idx1-ubyte.gz"]


def test_a_file_with_another_checksum_is_not_kept(tmp_path):
    contents = packed()
    with server(contents) as (url, asked), pytest.raises(ValueError, match="is not the published file") as caught:
        load_mnist(tmp_path, download=True, url=url)  # the published checksums are those of the whole data
    name = "train-images-idx3-ubyte.gz"
    assert asked == [name]
    for part in (url + name, sums(contents)[name], mnist.MNIST_SHA256[name], "nothing was kept"):
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_checksums_a_file_must_be_what_its_header_says(tmp_path):
    contents = packed()
    with server(contents) as (url, _):
        assert_small(load_mnist(tmp_path / "good", download=True, url=url, checksums=None))
    contents["t10k-images-idx3-ubyte.gz"] = b"<html>Moved</html>"
    with server(contents) as (url, _), pytest.raises(ValueError, match="is no IDX file; nothing was kept"):
        load_mnist(tmp_path / "bad", download=True, url=url, checksums=None)
    assert sorted(path.name for path in (tmp_path / "bad").iterdir()) == sorted(contents)[2:]


def test_a_checksum_that_was_forgotten_is_missed(tmp_path):
    with pytest.raises(ValueError, match=r"checksums has no entry for train-images-idx3-ubyte.gz; pass checksums=None"):
        load_mnist(tmp_path, download=True, url="http://127.0.0.1:1/", checksums={})


def test_a_connection_that_breaks_off_leaves_nothing(tmp_path):
    contents = packed()
    with server(contents, cut=10) as (url, _), pytest.raises(ConnectionError, match="cannot fetch"):
        load_mnist(tmp_path, download=True, url=url, checksums=sums(contents))
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_the_files_is_named(tmp_path):
    with server({}) as (url, _), pytest.raises(ConnectionError, match=rf"cannot fetch {url}train-images.*404"):
        load_mnist(tmp_path, download=True, url=url)


def test_without_a_network_the_way_out_is_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(ConnectionError) as caught:
            load_mnist(tmp_path, download=True, url=url)
    assert f"cannot fetch {url}train-images-idx3-ubyte.gz" in str(caught.value)
    assert "without a network, put the four published files into a folder and pass it" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_files_can_be_is_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "LARGEST", 1000)
    with server(packed()) as (url, _), pytest.raises(ValueError, match="sends more than 1000 bytes; nothing was kept"):
        load_mnist(tmp_path, download=True, url=url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///etc", "ftp://127.0.0.1", "/etc"])
def test_only_http_is_fetched(tmp_path, url):
    with pytest.raises(ValueError, match="files are fetched by https or http, got"):
        load_mnist(tmp_path, download=True, url=url)


def test_every_published_file_has_a_checksum():
    for checksums in (mnist.MNIST_SHA256, mnist.FASHION_SHA256):
        assert list(checksums) == [f"{name}.gz" for name in FILES]
        assert all(len(bytes.fromhex(checksum)) == 32 for checksum in checksums.values())
    assert len({*mnist.MNIST_SHA256.values(), *mnist.FASHION_SHA256.values()}) == 8
