"""Any bytes end in LoadError or in success, take no more memory than they have, and change nothing when refused."""

import json
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes

from nn import SGD, Adam, BatchNorm1d, DataLoader, Dropout, Linear, Sequential, TensorDataset, attach
from nn._safetensors import SafetensorsFile
from nn.saving import LoadError, load, save
from nn.schedules import constant

from .recorded import GOLDEN
from .saving_files import damaged, entry, file_of, memory_files, tiny_arrays, with_extra, with_text

MUTANTS = 10_000
PROMISED = 1 << 20  # bytes beyond the file's size


class Small:
    """A model with all parts, and its file."""

    def __init__(self, folder, generator=np.random.MT19937):
        self.model = Sequential(Linear(2, 2, rng=0), BatchNorm1d(2), Dropout(0.5, rng=0))
        self.optimizer = SGD(self.model.parameters(), momentum=0.9)
        self.schedule = attach(self.optimizer, constant(0.1))
        self.loader = DataLoader(TensorDataset(np.ones(6)), 2, shuffle=True, rng=0)
        self.rng = np.random.Generator(generator(0))
        (self.model(np.array([[1.0, 2.0], [3.0, 5.0]])) ** 2).sum().backward()
        self.optimizer.step()
        self.path = folder / "small.safetensors"
        save(self.path, self.model, **self.parts(), losses=[0.5, 0.25], note=("a", {1: None}), x=np.arange(3))
        self.bytes = self.path.read_bytes()

    def parts(self):
        return {"optimizer": self.optimizer, "schedule": self.schedule, "loader": self.loader, "rng": self.rng}

    def state(self):
        arrays = [*self.model.state_dict().values()]
        steps = [x for x in self.optimizer.state_dict().values() if isinstance(x, np.ndarray)]
        numbers = [x for x in self.optimizer.state_dict().values() if not isinstance(x, np.ndarray)]
        generators = [_bytes_of(rng.bit_generator.state) for rng in (self.rng, self.model[2].rng)]
        others = [self.schedule.state_dict(), self.loader.state_dict()]
        return [x.tobytes() for x in arrays + steps], numbers, generators, others

    def restore(self):
        load(self.path, self.model, **self.parts())


def _bytes_of(state):
    if isinstance(state, dict):
        return {key: _bytes_of(x) for key, x in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Small(tmp_path_factory.mktemp("damage"))


def outcomes(small, path, before):
    """Load a file alone and into everything; return how both ended, and check that a refusal changed nothing."""
    ends = []
    for options in ({}, {"model": small.model, **small.parts()}):
        try:
            load(path, **options)
        except LoadError:
            ends.append("refused")
        else:
            ends.append("loaded")
    if ends[1] == "loaded":
        small.restore()
    assert small.state() == before
    return ends


@pytest.mark.promise(25, 23)
def test_mutated_files_are_loaded_or_refused_and_a_refusal_changes_nothing(small, tmp_path, figure):
    rng = random.Random(0)
    sources = [small.bytes, small.bytes, (GOLDEN / "torch_network.safetensors").read_bytes(), with_extra("[1.5]")]
    path, before, ends = tmp_path / "file", small.state(), Counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(MUTANTS):
            content = damaged(rng, sources)
            os.pwrite(file.fileno(), content, 0)  # into the same file: emptying it first takes the disk's time
            os.truncate(path, len(content))
            ends.update(zip(("alone", "into everything"), outcomes(small, path, before), strict=True))
    said = ", ".join(f"{count:,} {end} {how}" for (how, end), count in sorted(ends.items()))
    figure(f"mutated files: {MUTANTS:,}; {said}; ended in another way", MUTANTS - sum(ends.values()) // 2, 0)
    assert sum(ends.values()) == 2 * MUTANTS
    assert min(ends.values()) > MUTANTS // 100  # each of the four outcomes is tested


@pytest.mark.promise(25)
def test_a_file_cut_short_at_any_byte_is_refused(tmp_path, figure):
    small = Small(tmp_path, np.random.PCG64)  # has the shortest state
    path, before = tmp_path / "file", small.state()
    path.write_bytes(small.bytes)
    loaded = 0
    for length in reversed(range(len(small.bytes))):
        os.truncate(path, length)
        loaded += outcomes(small, path, before).count("loaded")
    figure(f"files cut short at every byte: {len(small.bytes):,}; not refused", loaded, 0)
    assert loaded == 0


HOSTILE = {
    "empty": b"",
    "seven bytes": b"1234567",
    "text": b"hello, this is no safetensors file at all",
    "no header": file_of(""),
    "an empty list": file_of("[]"),
    "a number": file_of("1"),
    "nothing but a brace": file_of("{"),
    "two objects": file_of("{}{}"),
    "a huge header": (2**64 - 1).to_bytes(8, "little") + b"{}",
    "a negative header": (-1).to_bytes(8, "little", signed=True) + b"{}",
    "deep lists": file_of('{"a":' + "[" * 100_000),
    "deep objects": file_of('{"a":' * 100_000),
    "deep metadata": file_of('{"__metadata__":' * 100_000),
    "deep text": with_text("[" * 100_000),
    "deep extra": with_extra("[" * 10_000 + "]" * 10_000),
    "invalid UTF-8": file_of(b'{"\xff":{"dtype":"F64","shape":[0],"data_offsets":[0,0]}}'),
    "a lone surrogate": file_of({"\ud800": entry()}),
    "UTF-16": file_of("{}".encode("utf-16")),
    "a control character": file_of(b'{"a\x00":{"dtype":"F64","shape":[0],"data_offsets":[0,0]}}'),
    "NaN as a size": file_of('{"a":{"dtype":"F64","shape":[NaN],"data_offsets":[0,0]}}'),
    "Infinity as a place": file_of('{"a":{"dtype":"F64","shape":[0],"data_offsets":[0,Infinity]}}'),
    "a fraction": file_of({"a": entry(shape=(1.0,), end=8)}, bytes(8)),
    "true as a size": file_of({"a": entry(shape=(True,), end=8)}, bytes(8)),
    "a negative size": file_of({"a": entry(shape=(-1,), end=8)}, bytes(8)),
    "two negative sizes": file_of({"a": entry(shape=(-1, -1), end=8)}, bytes(8)),
    "a negative place": file_of({"a": entry(start=-8)}, bytes(8)),
    "a giant shape": file_of({"a": entry(shape=(2**40, 2**40), end=8)}, bytes(8)),
    "a product that overflows to 8": file_of({"a": entry(shape=(2**32, 2**32, 1), end=8)}, bytes(8)),
    "a giant empty shape": file_of({"a": entry(shape=(0, 2**70))}),
    "a side of 2**63 bytes and an empty one": file_of({"a": entry(shape=(0, 2**60))}),
    "two giant sides and an empty one": file_of({"a": entry(shape=(2**31, 2**31, 0))}),
    "65 axes": file_of({"a": entry(shape=[1] * 65, end=8)}, bytes(8)),
    "an integer of 5,000 digits": file_of('{"a":{"dtype":"F64","shape":[' + "9" * 5000 + '],"data_offsets":[0,0]}}'),
    "a shape that is a text": file_of({"a": {**entry(), "shape": "0"}}),
    "no shape": file_of({"a": {"dtype": "F64", "data_offsets": [0, 0]}}),
    "a fourth field": file_of({"a": {**entry(), "more": 1}}),
    "three places": file_of({"a": {**entry(), "data_offsets": [0, 0, 0]}}),
    "an unknown dtype": file_of({"a": entry(dtype="object")}),
    "a dtype that is a list": file_of({"a": entry(dtype=["F64"])}),
    "arrays on top of one another": file_of({"a": entry(shape=(1,), end=8), "b": entry(shape=(1,), end=8)}, bytes(8)),
    "arrays that overlap": file_of(
        {"a": entry(shape=(2,), end=16), "b": entry(shape=(2,), start=8, end=24)}, bytes(24)
    ),
    "a gap": file_of({"a": entry(shape=(1,), end=8), "b": entry(shape=(1,), start=16, end=24)}, bytes(24)),
    "a place of another size": file_of({"a": entry(shape=(1,), end=16)}, bytes(16)),
    "a place behind the end": file_of({"a": entry(shape=(2,), end=16)}, bytes(8)),
    "bytes left over": file_of({"a": entry(shape=(1,), end=8)}, bytes(16)),
    "a name twice": file_of('{"a":%s,"a":%s}' % ((json.dumps(entry()),) * 2)),
    "a field twice": file_of('{"a":{"dtype":"F64","dtype":"F64","shape":[0],"data_offsets":[0,0]}}'),
    "metadata twice": file_of('{"__metadata__":{},"__metadata__":{}}'),
    "our text twice": file_of('{"__metadata__":{"autodiff":"{}","autodiff":"{}"}}'),
    "metadata that is a list": file_of('{"__metadata__":[]}'),
    "metadata with a number": file_of('{"__metadata__":{"a":1}}'),
    "a truth value of 2": file_of({"a": entry("BOOL", (2,), 0, 2)}, b"\x01\x02"),
    "text that is no JSON": with_text("import os"),
    "text that is a list": with_text("[]"),
    "text without parts": with_text("{}"),
    "text of a later version": with_text('{"version":2,"model":false,"parts":{},"random":{},"extra":{}}'),
    "parts that are a list": with_text('{"version":1,"model":false,"parts":[],"random":{},"extra":{}}'),
    "an array that is not there": with_extra('{"@array":"@a"}'),
    "an array of the model": with_extra('{"@array":"a"}', a=np.ones(1)),
    "an array twice": with_extra('[{"@array":"@a"},{"@array":"@a"}]', **{"@a": np.ones(1)}),
    "an array that nothing refers to": with_extra("1", **{"@a": np.ones(1)}),
    "an array of a model that is not there": with_extra("1", a=np.ones(1)),
    "a part without a class": with_text('{"version":1,"model":false,"parts":{"loader":{}},"random":{},"extra":{}}'),
    "a part that is a number": with_text('{"version":1,"model":false,"parts":{"loader":1},"random":{},"extra":{}}'),
    "a part whose class is an array": to_bytes(
        {"@a": np.ones(2)},
        {
            "autodiff": '{"version":1,"model":false,"parts":{"loader":{"class":{"@array":"@a"},"state":{}}},'
            '"random":{},"extra":{}}'
        },
    ),
    "more than is known": with_text('{"version":1,"model":false,"parts":{},"random":{},"extra":{},"more":1}'),
    "a version of true": with_text('{"version":true,"model":false,"parts":{},"random":{},"extra":{}}'),
    "a version of 1.0": with_text('{"version":1.0,"model":false,"parts":{},"random":{},"extra":{}}'),
    "text that is a text": with_text('"version"'),
    "text that is an array": to_bytes({"@a": np.ones(1)}, {"autodiff": '{"@array":"@a"}'}),
    "an unknown mark": with_extra('{"@eval":"1+1"}'),
    "an integer of letters": with_extra('{"@int":"xyz"}'),
    "an integer of integers": with_extra('{"@int":7}'),
    "a short float": with_extra('{"@float":"00"}'),
    "a tuple of a text": with_extra('{"@tuple":"ab"}'),
    "a dict of texts": with_extra('{"@dict":["ab"]}'),
    "a dict with a list as key": with_extra('{"@dict":[[[],1]]}'),
    "a name twice in an extra": with_extra('{"a":1,"a":2}'),
    "NaN in an extra": with_extra("NaN"),
}


@pytest.mark.promise(25)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_its_name(small, tmp_path, name, figure):
    path, before = tmp_path / "hostile.safetensors", small.state()
    path.write_bytes(HOSTILE[name])
    assert outcomes(small, path, before) == ["refused", "refused"]
    with pytest.raises(LoadError, match=r"^cannot load '.*hostile\.safetensors': .{10}"):
        load(path)
    figure("hostile files refused")


def text_of(content):
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["autodiff"])


STATES = [
    ("rng", ["state", "pos"], 625),
    ("rng", ["state", "pos"], -1),
    ("rng", ["state", "pos"], {"@int": "0x" + "f" * 40}),
    ("rng", ["state", "pos"], True),
    ("rng", ["state", "key"], [0] * 623),
    ("rng", ["state", "key"], [1 << 32] * 624),
    ("rng", ["state", "key"], 0),
    ("rng", ["state"], {}),
    ("rng", ["bit_generator"], "PCG64"),
    ("rng", [], "model.2.rng"),
    ("rng", [], None),
    ("model.2.rng", ["has_uint32"], 2),
    ("model.2.rng", ["uinteger"], 1 << 32),
    ("model.2.rng", ["state", "state"], {"@int": hex(1 << 128)}),
]


@pytest.mark.promise(25)
@pytest.mark.parametrize(("name", "keys", "value"), STATES)
def test_the_state_of_a_generator_is_checked_before_numpy_uses_it_as_an_index(
    small, tmp_path, name, keys, value, figure
):
    """NumPy takes any position in MT19937's block, and reads there."""
    content = text_of(small.bytes)
    inside = content["random"]
    *way, last = [name, *keys]
    for key in way:
        inside = inside[key]
    inside[last] = value
    path, before = tmp_path / "file", small.state()
    length = int.from_bytes(small.bytes[:8], "little")
    header = json.loads(small.bytes[8 : 8 + length])
    header["__metadata__"]["autodiff"] = json.dumps(content)
    path.write_bytes(file_of(header, small.bytes[8 + length :]))
    assert outcomes(small, path, before)[1] == "refused"
    figure("impossible states of generators refused")


@pytest.mark.promise(25)
def test_a_folder_and_a_pipe_are_refused_without_waiting(tmp_path, figure):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LoadError, match="it is a folder"):
        load(tmp_path)
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(LoadError, match="it is no ordinary file"):
            load(path)
    figure("folders and devices refused", 3)


@pytest.mark.promise(25)
def test_a_file_that_shrinks_while_it_is_read_is_refused(small, tmp_path, monkeypatch, figure):
    path, before, real = tmp_path / "file", small.state(), SafetensorsFile.fill

    def shrinking(self, name, array):
        os.truncate(self.path, 100)
        real(self, name, array)

    path.write_bytes(small.bytes)
    monkeypatch.setattr(SafetensorsFile, "fill", shrinking)
    with pytest.raises(LoadError, match="it is shorter than it was when it was opened"):
        load(path, small.model, **small.parts())
    assert small.state() == before
    figure("files that shrink refused")


class Bomb:
    """A pickle of it writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (Path(self.path), "code was run")


@pytest.mark.promise(25)
@pytest.mark.parametrize("place", ["a file", "a zip archive", "a text", "an array"])
def test_no_code_in_a_file_is_run(tmp_path, place, figure):
    bomb, path = pickle.dumps(Bomb(tmp_path / "traces")), tmp_path / "model.pt"
    if place == "a file":
        path.write_bytes(bomb)
    elif place == "a zip archive":
        with path.open("wb") as file:
            np.savez(file, x=np.array([Bomb(tmp_path / "traces")], object))
    elif place == "a text":
        path.write_bytes(with_extra(json.dumps(bomb.decode("latin-1"))))
    else:
        path.write_bytes(file_of({"a": entry("U8", (len(bomb),), 0, len(bomb))}, bomb))
    if place in ("a file", "a zip archive"):
        with pytest.raises(LoadError, match="a pickle, which can run code when it is read"):
            load(path)
    else:
        load(path)
    assert not (tmp_path / "traces").exists()
    pickle.loads(bomb)  # noqa: S301  # it is a bomb indeed
    assert (tmp_path / "traces").exists()
    figure("pickles not run")


@pytest.mark.promise(25)
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resets the high-water mark of memory in /proc")
def test_memory_stays_below_the_size_of_the_file_and_a_mebibyte(root, tmp_path, figure):
    sizes = {}
    save(tmp_path / "small.safetensors", Linear(2, 2), x=np.ones(3))
    for i, (name, content) in enumerate(memory_files()):
        path = tmp_path / f"{i:03} {name}.bin"
        path.write_bytes(content)
        sizes[path.name] = len(content)
    for name, options in (("one", {}), ("compared", {"x": np.ones(300_000)})):
        path = tmp_path / f"{name}, into a model.bin"
        save(path, Linear(500, 600, rng=1), **options)
        sizes[path.name] = path.stat().st_size
    for name, kind in (("another optimizer", SGD), ("another size", Adam)):  # refused: its state is not copied for that
        path = tmp_path / f"{name}, into a training.bin"
        model = Linear(3, 2)
        save(path, model, optimizer=kind(model.parameters()))
        sizes[path.name] = path.stat().st_size
    (tmp_path / "nothing, into a training.bin").write_bytes(file_of("{}"))
    sizes["nothing, into a training.bin"] = 10
    run = subprocess.run(
        [sys.executable, "-m", "tests.nn.saving_child", "memory", str(tmp_path)],
        cwd=root,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    measured = [json.loads(line) for line in run.stdout.splitlines()]
    assert {name for name, *_ in measured} == set(sizes)
    assert {outcome for _, outcome, *_ in measured} == {"success", "LoadError"}
    asked = {name: asked - sizes[name] for name, _, asked, _ in measured}
    grown = {name: grown - sizes[name] for name, _, _, grown in measured}
    figure(f"bytes asked for beyond the file's size, {len(sizes)} files", max(asked.values()), PROMISED)
    figure(f"bytes the process grew by beyond the file's size, {len(sizes)} files", max(grown.values()), PROMISED)
    assert {name: x for name, x in asked.items() if x > PROMISED} == {}
    assert {name: x for name, x in grown.items() if x > PROMISED} == {}


def test_names_of_any_kind_are_read_as_they_are(tmp_path):
    names = ["", "é", "\U0001f600", 'a"b\\c', "a\nb", "x" * 1000, " "]
    path = tmp_path / "file"
    for ascii_only in (True, False):
        header = {name: entry("U8", (1,), i, i + 1) for i, name in enumerate(names)}
        path.write_bytes(file_of(json.dumps(header, ensure_ascii=ascii_only, indent=1), bytes(range(len(names)))))
        assert {name: x.item() for name, x in load(path).arrays.items()} == {name: i for i, name in enumerate(names)}


def test_as_many_arrays_as_the_documentation_speaks_of_are_read_without_a_model(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(tiny_arrays(1500))
    assert len(load(path).arrays) == 1500
