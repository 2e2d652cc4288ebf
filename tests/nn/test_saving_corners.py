"""Saving in the corners: parts in unusual states, names that meet, file systems that cannot do everything."""

import enum
import errno
import io
import json
import os
import stat
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from autodiff import Tensor, Value
from nn import (  # fmt: skip
    MLP,
    SGD,
    Adam,
    AdamW,
    BatchNorm1d,
    DataLoader,
    Dropout,
    Linear,
    Module,
    ReduceLROnPlateau,
    Sequential,
    Tanh,
    TensorDataset,
    attach,
    optim,
)
from nn import _safetensors as safetensors_reader
from nn._safetensors import SafetensorsFile
from nn.saving import LoadError, Saved, load, save
from nn.schedules import constant, linear

from .saving_files import entry, file_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


class Holder(Module):
    """Whatever it is given, as attributes."""

    def __init__(self, **parts):
        vars(self).update(parts)


def stepped(kind=Adam, seed=0, sizes=(2, 2), **options):
    """Return a layer and its optimizer after one step."""
    model = Linear(*sizes, rng=seed)
    optimizer = kind(model.parameters(), **options)
    model(np.ones((1, sizes[0]))).sum().backward()
    optimizer.step()
    return model, optimizer


def contents(optimizer):
    """Return all that an optimizer holds, whatever it is, in a form that compares."""
    groups = [{key: repr(x) for key, x in group.items() if key != "params"} for group in optimizer.param_groups]
    states = [{key: repr(x) for key, x in state.items()} for _, units in optimizer._walk for _, state, _ in units]
    return groups, states


# ---- optimizers ----


@pytest.mark.promise(23)
@pytest.mark.parametrize("rate", [-1.0, np.array(0.1), float("nan"), "a text", None])
def test_a_refused_load_leaves_an_optimizer_with_odd_options_exactly_as_it_was(path, rate):
    save(path, *stepped()[:1], optimizer=stepped()[1])
    model, optimizer = stepped(seed=1)
    optimizer.param_groups[0]["lr"] = rate
    before, arrays = contents(optimizer), [id(x) for x in optimizer._walk[0][1][0][1].values()]
    with pytest.raises(LoadError, match="nothing was changed"):
        load(path, Linear(3, 2), optimizer=optimizer)
    assert contents(optimizer) == before
    assert [id(x) for x in optimizer._walk[0][1][0][1].values()] == arrays
    assert optimizer.param_groups[0]["lr"] is rate
    load(path, model, optimizer=optimizer)
    assert optimizer.lr == 0.001


@pytest.mark.promise(25)
@pytest.mark.parametrize("content", ["nothing", "another optimizer", "another model"])
def test_a_refused_file_costs_no_copy_of_the_state_of_an_optimizer(path, content):
    sizes = (400, 300)
    model, optimizer = stepped(sizes=sizes)
    if content == "nothing":
        path.write_bytes(file_of("{}"))
    elif content == "another optimizer":
        save(path, Linear(*sizes), optimizer=SGD(Linear(1, 1).parameters()))
    else:
        save(path, Linear(1, 1), optimizer=Adam(Linear(1, 1).parameters()))
    tracemalloc.start()
    try:
        with pytest.raises(LoadError):
            load(path, model, optimizer=optimizer)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # What Adam remembers has 1,924,800 bytes; beyond the file 1 MiB is promised, and far less is needed
    assert peak < path.stat().st_size + (1 << 18)


@pytest.mark.parametrize("kind", [SGD, optim.RMSprop, Adam, AdamW])
def test_an_option_switched_on_after_a_step_is_saved_and_goes_on_bit_for_bit(path, kind):
    switch = {"amsgrad": True} if kind in (Adam, AdamW) else {"momentum": 0.9}
    (model, optimizer), (other, resumed) = stepped(kind, lr=0.1), stepped(kind, seed=1, lr=0.1)
    optimizer.param_groups[0].update(switch)
    save(path, model, optimizer=optimizer)
    resumed.param_groups[0].update(switch)
    load(path, other, optimizer=resumed)
    for _ in range(3):
        for net, stepping in ((model, optimizer), (other, resumed)):
            stepping.zero_grad()
            (net(np.ones((1, 2))) ** 2).sum().backward()
            stepping.step()
    np.testing.assert_array_equal(other.weight.data, model.weight.data)


def test_options_out_of_their_range_are_refused_when_they_are_saved_not_when_they_are_loaded(path):
    save(path, x=1)
    model, optimizer = stepped()
    schedule = attach(optimizer, linear(0.1, -0.5, 3))
    schedule.step()
    schedule.step()
    assert optimizer.lr < 0.0
    with pytest.raises(
        ValueError, match=r"save cannot write optimizer, load\(\) would refuse it: lr must be at least 0"
    ):
        save(path, model, optimizer=optimizer, schedule=schedule)
    assert load(path) == {"x": 1}


def test_an_option_of_another_type_is_refused_when_it_is_saved(path):
    model, optimizer = stepped()
    optimizer.param_groups[0]["lr"] = np.array(0.1)
    with pytest.raises(TypeError, match=r"save cannot write optimizer, .*: lr must be at least 0, got ndarray"):
        save(path, model, optimizer=optimizer)
    assert not path.exists()


@pytest.mark.promise(23)
def test_the_ten_optimizers_are_told_apart(path):
    kinds = [SGD, optim.Adagrad, optim.Adadelta, optim.RMSprop, Adam, AdamW, optim.Adamax, optim.NAdam, optim.LBFGS]
    kinds.append(optim.GradientDescent)
    for saved in kinds:
        save(path, optimizer=saved(Linear(1, 1).parameters()))
        for loaded in kinds:
            optimizer = loaded(Linear(1, 1).parameters())
            if loaded is saved:
                load(path, optimizer=optimizer)
                continue
            before = contents(optimizer)
            with pytest.raises(LoadError, match=f"optimizer: {loaded.__name__} here, '{saved.__name__}' in the file"):
                load(path, optimizer=optimizer, strict=False)
            assert contents(optimizer) == before


@pytest.mark.promise(23)
@pytest.mark.parametrize("strict", [True, False])
def test_the_kinds_of_schedules_and_loaders_are_told_apart(path, strict):
    class Own(DataLoader):
        pass

    _, optimizer = stepped()
    saved = {"schedule": attach(optimizer, constant(0.1)), "loader": DataLoader(TensorDataset(np.ones(3)), 2)}
    other = {"schedule": ReduceLROnPlateau(optimizer), "loader": Own(TensorDataset(np.ones(3)), 2)}
    for name, part in saved.items():
        save(path, **{name: part})
        expected = f"{name}: {type(other[name]).__name__} here, '{type(part).__name__}' in the file"
        with pytest.raises(LoadError, match=expected):
            load(path, **{name: other[name]}, strict=strict)


@pytest.mark.promise(23)
def test_a_schedule_alone_that_is_refused_leaves_the_rate_that_was_set_by_hand(path):
    _, optimizer = stepped()
    schedule = attach(optimizer, constant(0.1))
    save(path, schedule=schedule)
    optimizer.lr = 0.777
    with pytest.raises(LoadError, match="rng: missing in the file"):
        load(path, schedule=schedule, rng=np.random.default_rng(0))
    assert optimizer.lr == 0.777


@pytest.mark.promise(25)
@pytest.mark.parametrize("count", [-1, 10**400, float("nan"), float("inf")])
def test_an_impossible_number_of_steps_is_refused(path, count):
    model, optimizer = stepped()
    optimizer._walk[0][1][0][1]["step"] = count
    save(path, model, optimizer=optimizer)
    model, optimizer = stepped()
    with pytest.raises(LoadError, match=r"state\.0\.0\.step: must be finite and at least 0"):
        load(path, model, optimizer=optimizer)
    assert optimizer.state_dict()["state.0.0.step"] == 1


# ---- models ----


@pytest.mark.parametrize(
    "parts",
    [
        {"a": {1: Tensor([1.0]), "1": Tensor([2.0])}},
        {"a": {"b": {"c": Value(1.0)}, "b.c": Value(2.0)}},
        {"a": {"b.weight": Tensor([1.0]), "b": Linear(1, 1)}},
    ],
)
def test_two_parameters_of_one_name_are_refused(path, parts):
    for use in (Module.state_dict, lambda model: save(path, model), lambda model: model.load_state_dict({})):
        with pytest.raises(ValueError, match=r"two arrays of Holder have the name 'a\.(1|b\.c|b\.weight)'; rename one"):
            use(Holder(**parts))
    assert not path.exists()


@pytest.mark.promise(22)
@pytest.mark.parametrize("data", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_network_is_loaded_again_whatever_the_dtype_of_its_data(path, data, dtype):
    saved, loaded = (Sequential(Linear(2, 3, dtype=dtype), BatchNorm1d(3, dtype=dtype)) for _ in range(2))
    saved(np.arange(6).reshape(3, 2).astype(data))
    save(path, saved)
    load(path, loaded)
    loaded(np.arange(6).reshape(3, 2).astype(data))
    load(path, loaded)
    for name, array in saved.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], array, strict=True)


def test_a_model_without_arrays_takes_a_file_of_pytorch_without_arrays(path):
    from safetensors.numpy import save_file

    save_file({}, path)
    assert load(path, Sequential(Tanh())) == {}
    with pytest.raises(LoadError, match="model: weight: missing in the state"):
        load(path, Linear(1, 1))


def test_a_model_with_a_state_dict_of_its_own_is_saved_and_loaded_by_its_arrays(path):
    class Own(Linear):
        def state_dict(self):
            return {"own": np.ones(3)}

    saved, loaded = Own(2, 3, rng=0), Own(2, 3, rng=1)
    save(path, saved)
    load(path, loaded)
    np.testing.assert_array_equal(loaded.weight.data, saved.weight.data)


def test_arrays_of_a_model_in_another_order_of_bytes_are_refused(path):
    model = Module()
    model.register_buffer("mean", np.arange(3.0).astype(np.dtype(float).newbyteorder()))
    with pytest.raises(TypeError, match=r"another order of bytes than this machine's: \['mean'\]"):
        save(path, model)


def test_a_network_of_values_has_floats_after_a_load(path):
    save(path, MLP(2, [1], rng=0))
    model = MLP(2, [1], rng=1)
    load(path, model)
    assert {type(p.data) for p in model.parameters()} == {float}


# ---- random generators ----


@pytest.mark.promise(22)
def test_a_bit_generator_in_a_model_goes_on_where_it_was_and_a_random_state_is_refused(path):
    saved, loaded = (Holder(bits=np.random.PCG64(seed)) for seed in (0, 1))
    saved.bits.random_raw()
    save(path, saved)
    load(path, loaded)
    assert loaded.bits.random_raw() == saved.bits.random_raw()
    with pytest.raises(TypeError, match=r"save knows the bit generators PCG64.*; model\.old is a RandomState"):
        save(path, Holder(old=np.random.RandomState(0)))
    with pytest.raises(LoadError, match=r"model\.bits: .*"):  # a file gives nothing to what cannot be saved
        load(path, Holder(bits=np.random.RandomState(0)))


def test_very_many_generators_are_refused_with_the_way_out(path):
    layers = [Dropout(rng=np.random.Generator(np.random.MT19937(i))) for i in range(50)]
    with pytest.raises(ValueError, match="because of very many random generators, let layers share one"):
        save(path, Sequential(*layers))
    shared = np.random.Generator(np.random.MT19937(0))
    save(path, Sequential(*[Dropout(rng=shared) for _ in layers]))


@pytest.mark.promise(25)
@pytest.mark.parametrize("position", [5, -1, 1 << 40, pytest.param(10**5000, id="very many digits")])
def test_a_place_in_the_buffer_of_philox_that_does_not_exist_is_refused(path, position):
    """NumPy would read there."""
    rng = np.random.Generator(np.random.Philox(0))
    save(path, rng=rng)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    text = json.loads(header["__metadata__"]["autodiff"])
    text["random"]["rng"]["buffer_pos"] = {"@int": hex(position)}
    header["__metadata__"]["autodiff"] = json.dumps(text)
    path.write_bytes(file_of(header))
    with pytest.raises(LoadError, match=r"rng: buffer_pos must be an integer in 0 \.\. 4, got (-|5|1|an integer of)"):
        load(path, rng=rng)


# ---- extras ----


@pytest.mark.parametrize(
    ("x", "kind"), [(np.ma.array([1.0, 2.0], mask=[1, 0]), "MaskedArray"), (np.zeros((), "i4,f8")[()], "void")]
)
def test_what_would_lose_its_meaning_is_refused(path, x, kind):
    with pytest.raises(TypeError, match=f"save cannot write extra.x, a {kind}"):
        save(path, x=x)


def test_a_key_that_is_a_member_of_an_enumeration_of_texts_comes_back_as_its_text(path):
    class Split(str, enum.Enum):  # noqa: UP042  # str() of a member of StrEnum is its text in any case
        TRAIN = "train"

    save(path, x={Split.TRAIN: Split.TRAIN})
    assert load(path)["x"] == {"train": "train"}
    assert type(next(iter(load(path)["x"]))) is str


def test_an_array_under_a_very_long_name_comes_back(path):
    save(path, **{"x" * 1100: np.arange(3), "y": {"é" * 300: np.arange(2)}})
    np.testing.assert_array_equal(load(path)["x" * 1100], np.arange(3))
    np.testing.assert_array_equal(load(path)["y"]["é" * 300], np.arange(2))


def test_what_was_saved_has_arrays_from_the_start():
    assert Saved(epoch=3).arrays == {}


def test_saving_takes_twice_the_memory_of_the_model(path):
    model = Linear(500, 400, rng=0)
    save(path, model)  # what the first call imports is not the model's doing
    tracemalloc.start()
    try:
        save(path, model)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The state dict is a copy, and the bytes of the file are another, of 1,603,200 bytes each; beside them some objects
    assert peak < 2 * 1_603_200 + (1 << 16)


# ---- reading ----


def test_an_empty_array_may_begin_where_another_does_and_be_listed_after_it(path):
    path.write_bytes(file_of({"full": entry(shape=(1,), end=8), "empty": entry()}, np.ones(1).tobytes()))
    assert {name: x.tolist() for name, x in load(path).arrays.items()} == {"full": [1.0], "empty": []}


class Slow(io.FileIO):
    """A file that gives three bytes at a time, as a pipe or a network may."""

    def readinto(self, buffer):
        return super().readinto(memoryview(buffer)[:3])


def test_a_file_that_gives_a_few_bytes_at_a_time_is_read_to_the_end(path, monkeypatch):
    saved, loaded = Linear(2, 3, rng=0), Linear(2, 3, rng=1)
    save(path, saved, x=1)
    monkeypatch.setattr(Path, "open", lambda self, *_mode, **_options: Slow(self))
    assert load(path, loaded) == {"x": 1}
    np.testing.assert_array_equal(loaded.weight.data, saved.weight.data)


def test_a_file_is_closed_when_reading_its_header_is_interrupted(path, monkeypatch):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    save(path, x=1)
    monkeypatch.setattr(safetensors_reader, "read_header", interrupted)
    file = SafetensorsFile.__new__(SafetensorsFile)
    with pytest.raises(KeyboardInterrupt):
        file.__init__(path)
    assert file._file.closed


# ---- writing ----


@pytest.mark.skipif(os.name != "posix", reason="elsewhere folders are not synchronised")
@pytest.mark.parametrize("code", [errno.EINVAL, errno.EACCES])
def test_a_folder_that_cannot_be_synchronised_is_no_failure(path, monkeypatch, code):
    """As on network file systems, or without the right to read the folder; the new file is in place by then."""
    real = os.fsync

    def partly(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, "cannot")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", partly)
    save(path, x=1)
    assert load(path) == {"x": 1}


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "\U0001f600" * 63])
def test_names_as_long_as_the_file_system_allows_can_be_saved(tmp_path, name):
    for version in (1, 2):
        save(tmp_path / name, x=version)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert load(tmp_path / name) == {"x": 2}
