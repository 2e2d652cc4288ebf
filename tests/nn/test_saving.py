"""What save writes, load gives back, bit for bit, or says all that is different and changes nothing."""

import copy
import math
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autodiff import Tensor, Value
from nn import (
    MLP,
    SGD,
    Adam,
    BatchNorm1d,
    DataLoader,
    Dropout,
    Linear,
    Module,
    ReduceLROnPlateau,
    Sequential,
    TensorDataset,
    attach,
)
from nn._safetensors import SafetensorsFile
from nn.saving import LoadError, Saved, load, save
from nn.schedules import step


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("saving") / "file.safetensors"


def bits(x):
    """Return nested data with every float replaced by its bits and every array by its content, for comparison."""
    if isinstance(x, np.ndarray):
        return "array", x.dtype.str, x.shape, x.tobytes()
    if isinstance(x, float):
        return "float", struct.pack(">d", x)
    if isinstance(x, (list, tuple)):
        return type(x).__name__, [bits(y) for y in x]
    if isinstance(x, dict):
        return "dict", [(bits(key), bits(y)) for key, y in x.items()]
    return type(x).__name__, x


class Everything:
    """A training in the middle of an epoch."""

    def __init__(self, seed, sizes=(3, 4, 2), dtype=np.float64, optimizer=Adam, batch_size=4):
        first, second, third = sizes
        self.model = Sequential(
            Linear(first, second, rng=seed, dtype=dtype),
            BatchNorm1d(second, dtype=dtype),
            Dropout(0.5, rng=seed),
            Linear(second, third, rng=seed, dtype=dtype),
        )
        self.optimizer = optimizer(self.model.parameters(), lr=0.01)
        self.schedule = attach(self.optimizer, step(0.1, step_size=2))
        data = np.random.default_rng(0).normal(size=(10, first))
        self.loader = DataLoader(TensorDataset(data), batch_size, shuffle=True, rng=seed)
        self.rng = np.random.default_rng(seed)
        for (x,) in self.loader:
            self.optimizer.zero_grad()
            (self.model(x) ** 2).sum().backward()
            self.optimizer.step()
            self.schedule.step()
            self.rng.random()
            break

    def parts(self):
        return {"optimizer": self.optimizer, "schedule": self.schedule, "loader": self.loader, "rng": self.rng}

    def state(self):
        """Return all that loading may change, in a form that compares bit for bit."""
        attributes = {key: x for key, x in vars(self.loader).items() if key != "dataset"}
        grads = [p.grad for p in self.model.parameters()]
        states = [part.state_dict() for part in (self.model, self.optimizer, self.schedule)]
        generators = [self.rng.bit_generator.state, self.model[2].rng.bit_generator.state]
        return bits([*states, attributes, generators, grads])

    def save(self, path, **extra):
        save(path, self.model, **self.parts(), **extra)

    def load(self, path, **options):
        return load(path, self.model, **self.parts(), **options)


# ---- round trips ----


def test_everything_comes_back(path):
    saved, loaded = Everything(0), Everything(1)
    saved.save(path, epoch=3)
    assert loaded.load(path) == {"epoch": 3}
    assert loaded.model.state_dict().keys() == saved.model.state_dict().keys()
    for mine, other in zip(loaded.parts().values(), saved.parts().values(), strict=True):
        if hasattr(mine, "state_dict"):
            assert bits(mine.state_dict()) == bits(other.state_dict())
        else:
            assert mine.bit_generator.state == other.bit_generator.state
    x = np.ones((4, 3))
    assert bits(loaded.model(x).data) == bits(saved.model(x).data)
    rest = zip(loaded.loader, [batch for batch, _ in zip(resumed(saved.loader), range(2), strict=False)], strict=True)
    assert all(bits(a) == bits(b) for a, b in rest)


def resumed(loader):
    state = loader.state_dict()
    loader.load_state_dict(state)
    return loader


def test_a_rate_that_was_set_by_hand_after_the_schedule_comes_back(path):
    saved, loaded = Everything(0), Everything(1)
    saved.optimizer.lr = 0.0123
    saved.save(path)
    loaded.load(path)
    assert loaded.optimizer.lr == 0.0123


numbers = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.integers(-(2**200), 2**200))
arrays = st.builds(
    lambda dtype, shape, seed: np.random.default_rng(seed).integers(0, 256, (*shape, 8), np.uint8).view(dtype),
    st.sampled_from(["f8", "f4", "f2", "i8", "i2", "u4", "u1"]),
    st.sampled_from([(), (0,), (2,), (1, 3)]),
    st.integers(0, 100),
)
keys = st.one_of(st.text(), st.integers(), st.sampled_from(["@array", "@int", "@tuple", "a.0", "a"]))
extras = st.recursive(
    st.one_of(numbers, arrays),
    lambda inside: st.one_of(
        st.lists(inside, max_size=4),
        st.lists(inside, max_size=4).map(tuple),
        st.dictionaries(st.text(), inside, max_size=4),
        st.dictionaries(keys, inside, max_size=4),
    ),
    max_leaves=12,
)
NAN_WITH_PAYLOAD = struct.unpack(">d", bytes.fromhex("fff8000000000123"))[0]


@pytest.mark.promise(22)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([math.nan, NAN_WITH_PAYLOAD, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1])
@example([2**53, -(2**53) - 1, 10**5000, True, 1, 1.0])
@example({"a": {"b": np.ones(1)}, "a.b": np.zeros(1), 3: (), "": [], "@float": "00"})
@example(["\ud800", "\0", "é\U0001f600", "@array"])
@given(extras)
def test_extras_come_back_bit_for_bit(path, x):
    save(path, x=x)
    assert bits(load(path)["x"]) == bits(x)


def test_numbers_of_numpy_come_back_as_those_of_python(path):
    save(path, a=np.float32(0.1), b=np.int8(-3), c=np.bool_(True), d=np.float64(math.nan), e=np.str_("x"))
    assert bits(dict(load(path))) == bits({"a": float(np.float32(0.1)), "b": -3, "c": True, "d": math.nan, "e": "x"})


def test_arrays_of_any_layout_come_back_in_c_order(path):
    x = np.arange(12.0).reshape(3, 4)
    given = {
        "a": x.T,
        "b": x[::-1, ::2],
        "c": np.asfortranarray(x),
        "d": x.astype(">f4"),
        "e": np.broadcast_to(x, (2, 3, 4)),
    }
    save(path, **given)
    for name, got in load(path).items():
        np.testing.assert_array_equal(got, given[name])
        assert got.flags.c_contiguous
        assert got.flags.writeable
        assert got.dtype == given[name].dtype.newbyteorder("=")


def test_a_network_of_values_comes_back(path):
    saved, loaded = (MLP(2, [3, 1], rng=seed) for seed in (0, 1))
    saved.layers[0].neurons[0].w[0].data = -0.0
    save(path, saved)
    load(path, loaded)
    assert bits(loaded.state_dict()) == bits(saved.state_dict())
    assert all(type(p.data) is float for p in loaded.parameters())
    assert load(path).arrays["layers.0.neurons.0.b"].shape == ()


def test_a_network_of_very_many_values_comes_back_into_its_model(path):
    """More arrays than a file may have of itself, each far smaller than the objects it needs."""
    saved, loaded = (MLP(100, [30, 10], rng=seed) for seed in (0, 1))
    save(path, saved)
    load(path, loaded)
    assert bits(loaded.state_dict()) == bits(saved.state_dict())
    with pytest.raises(LoadError, match=r"very many small arrays, give load\(\) the model that they belong to"):
        load(path)


def test_frozen_parameters_are_saved_and_loaded(path):
    saved, loaded = (Linear(2, 3, rng=seed).freeze() for seed in (0, 1))
    save(path, saved)
    load(path, loaded)
    np.testing.assert_array_equal(loaded.weight, saved.weight)
    assert bits(loaded.unfreeze().state_dict()) == bits(saved.state_dict())


def test_a_path_alone_shows_what_is_in_the_file(path):
    everything = Everything(0)
    everything.save(path, note="x")
    saved = load(path)
    assert isinstance(saved, Saved)
    assert saved == {"note": "x"}
    state = everything.model.state_dict()
    assert {name: bits(x) for name, x in saved.arrays.items()} == {name: bits(x) for name, x in state.items()}


def test_a_model_alone_is_taken_out_of_a_file_with_a_whole_training(path):
    saved, loaded = Everything(0), Everything(1)
    saved.save(path)
    before = bits(loaded.optimizer.state_dict())
    assert load(path, loaded.model).arrays == {}
    assert bits(loaded.model.state_dict()) == bits(saved.model.state_dict())
    assert bits(loaded.optimizer.state_dict()) == before


def test_a_loaded_model_shares_nothing_with_what_it_had(path):
    model = Linear(2, 3, rng=0)
    save(path, model)
    weight = model.weight.data
    weight[0, 0] = 7.0
    load(path, model)
    assert model.weight.data is not weight
    assert weight[0, 0] == 7.0
    assert model.weight.data[0, 0] != 7.0


# ---- differences ----


@pytest.mark.promise(23)
def test_all_differences_of_all_parts_are_listed_at_once_and_nothing_is_changed(path, figure):
    Everything(0).save(path)
    other = Everything(1, sizes=(3, 5, 2), dtype=np.float32, optimizer=SGD, batch_size=5)
    other.model[1] = Linear(5, 5, rng=0)
    other.model[2].rng = np.random.Generator(np.random.MT19937(0))
    before = other.state()
    with pytest.raises(LoadError) as caught:
        load(path, other.model, optimizer=other.optimizer, loader=other.loader, rng=other.rng)
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert lines[0] == f"cannot load {str(path)!r}: it does not fit, and nothing was changed:"
    expected = [
        "schedule: in the file, but not asked for; pass schedule=...",
        "model: 0.weight: shape (5, 3) here, (4, 3) in the state",
        "model: 0.weight: dtype float32 here, float64 in the state",
        "model: 0.bias: shape (5,) here, (4,) in the state",
        "model: 0.bias: dtype float32 here, float64 in the state",
        "model: 1.weight: shape (5, 5) here, (4,) in the state",
        "model: 1.bias: shape (5,) here, (4,) in the state",
        "model: 3.weight: shape (2, 5) here, (2, 4) in the state",
        "model: 3.weight: dtype float32 here, float64 in the state",
        "model: 3.bias: dtype float32 here, float64 in the state",
        "model: 1.num_batches_tracked: not in the module",
        "model: 1.running_mean: not in the module",
        "model: 1.running_var: not in the module",
        "model.2.rng: MT19937 here, 'PCG64' in the file",
        "param_groups.0.nesterov: missing, expected a number",
        "state.0.0.exp_avg: unexpected",
        "loader: DataLoader cannot load this state: batch_size is 5 here but 4 in the state",
    ]
    assert [line for line in expected if line not in lines] == []
    assert other.state() == before
    figure("differences listed at once", len(lines) - 1)


@pytest.mark.promise(23)
@pytest.mark.parametrize("part", ["model", "optimizer", "schedule", "loader", "rng", "dropout"])
def test_one_part_that_does_not_fit_leaves_all_the_others_as_they_were(path, part, figure):
    Everything(0).save(path)
    other = Everything(1)
    other.optimizer.lr = 0.0123  # by hand: no state of the schedule gives this rate
    if part == "model":
        other.model[3] = Linear(4, 3, rng=0)
    elif part == "optimizer":
        other.optimizer = SGD(other.model.parameters())
    elif part == "schedule":
        other.schedule = ReduceLROnPlateau(other.optimizer)
    elif part == "loader":
        other.loader.batch_size = 3
    elif part == "rng":
        other.rng = np.random.Generator(np.random.SFC64(0))
    else:
        other.model[2].rng = np.random.Generator(np.random.SFC64(0))
    before, batches = other.state(), [bits(batch) for batch in copy.copy(other.loader)]
    with pytest.raises(LoadError, match="nothing was changed:\n"):
        other.load(path)
    assert other.state() == before
    assert [bits(batch) for batch in other.loader] == batches
    figure("parts that do not fit, all others unchanged")


@pytest.mark.promise(23)
def test_parts_that_are_missing_on_either_side_are_named(path):
    everything = Everything(0)
    save(path, everything.model, optimizer=everything.optimizer)
    with pytest.raises(LoadError) as caught:
        load(path, loader=everything.loader, rng=everything.rng)
    assert str(caught.value).splitlines()[1:] == [
        "  loader: missing in the file",
        "  rng: missing in the file",
        "  model: in the file, but not asked for; pass model=...",
        "  optimizer: in the file, but not asked for; pass optimizer=...",
    ]
    assert load(path, loader=everything.loader, rng=everything.rng, strict=False) == {}


@pytest.mark.promise(23)
def test_not_strict_takes_what_there_is_and_still_converts_nothing(path):
    save(path, Sequential(Linear(2, 3, rng=0)))
    larger = Sequential(Linear(2, 3, rng=1), Dropout(rng=0), Linear(3, 3, rng=1))
    load(path, larger, strict=False)
    np.testing.assert_array_equal(larger[0].weight.data, Linear(2, 3, rng=0).weight.data)
    with pytest.raises(LoadError, match=r"0.weight: shape \(1, 2\) here, \(3, 2\) in the state"):
        load(path, Sequential(Linear(2, 1)), strict=False)


@pytest.mark.promise(23)
def test_a_generator_on_one_side_alone_is_a_difference(path):
    for saved, loaded, line in [
        ([Linear(1, 1), Dropout()], [Linear(1, 1)], "model.1.rng: a random generator in the file, none here"),
        ([Linear(1, 1)], [Linear(1, 1), Dropout()], "model.1.rng: a random generator here, none in the file"),
    ]:
        save(path, Sequential(*saved))
        with pytest.raises(LoadError) as caught:
            load(path, Sequential(*loaded))
        assert str(caught.value).splitlines()[1:] == ["  " + line]
        load(path, Sequential(*loaded), strict=False)


class Stubborn:
    """A part of the user's that fails in an own way, after it has changed itself."""

    def __init__(self, error):
        self.number, self.error = 1, error

    def state_dict(self):
        return {"number": self.number}

    def load_state_dict(self, state):
        self.number = state["number"]
        if self.number == 2:
            raise self.error


@pytest.mark.promise(23)
@pytest.mark.parametrize("error", [KeyError("x"), OverflowError("too large"), KeyboardInterrupt()])
def test_a_part_that_fails_half_way_is_put_back_too(path, error):
    saved, loaded = Everything(0), Everything(1)
    stubborn, good = Stubborn(error), Stubborn(None)
    good.number = 2
    save(path, saved.model, optimizer=saved.optimizer, loader=good)
    before = loaded.state()
    kind = LoadError if isinstance(error, Exception) else KeyboardInterrupt
    with pytest.raises(kind) as caught:
        load(path, loaded.model, optimizer=loaded.optimizer, loader=stubborn)
    assert kind is not LoadError or f"loader: {type(error).__name__}: " in str(caught.value)
    assert stubborn.number == 1
    assert loaded.state() == before


@pytest.mark.promise(23)
def test_an_error_while_the_arrays_are_read_puts_everything_back(path, monkeypatch):
    saved, loaded = Everything(0), Everything(1)
    saved.save(path)
    before, real, reads = loaded.state(), SafetensorsFile.fill, []

    def failing(self, name, array):
        reads.append(name)
        if name == "3.bias":
            raise OSError("the disk is broken")
        real(self, name, array)

    monkeypatch.setattr(SafetensorsFile, "fill", failing)
    with pytest.raises(OSError, match="the disk is broken"):
        loaded.load(path)
    assert "0.weight" in reads
    assert loaded.state() == before


# ---- what is refused when it is saved ----


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"x": {"y": [object()]}}, r"save cannot write extra.x.y.0, a object; it takes numbers, text"),
        ({"loss": Tensor(1.0)}, r"extra.loss, a Tensor \(pass its .data, or .item\(\)\)"),
        ({"loss": [Value(1.0)]}, r"extra.loss.0, a Value \(pass its .data"),
        ({"x": {1, 2}}, "extra.x, a set"),
        ({"x": 1j}, "extra.x, a complex"),
        ({"x": np.array(["a"])}, "'@extra.x', an array of dtype <U1"),
        ({"x": np.array([None])}, "'@extra.x', an array of dtype object"),
        ({"x": np.zeros(2, np.complex128)}, "'@extra.x', an array of dtype complex128"),
        ({"rng": 3}, "rng must be a numpy.random.Generator, got int"),
        ({"rng": np.random.RandomState(0)}, "rng must be a numpy.random.Generator, got RandomState"),
        ({"model": {"w": 1.0}}, "model must be a Module, got dict"),
        ({"optimizer": 0.1}, "optimizer needs state_dict and load_state_dict, got float"),
    ],
)
def test_what_cannot_be_saved_is_named_and_no_file_is_written(tmp_path, extra, message):
    with pytest.raises(TypeError, match=message):
        save(tmp_path / "file", **extra)
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_needed_for_other_things_are_refused(path):
    class Holder(Module):
        def __init__(self, name):
            self.table = {}
            setattr(self, name, Value(1.0))

    for name in ("@extra", "__metadata__"):
        with pytest.raises(ValueError, match="names that begin with @, and __metadata__, are not for arrays"):
            save(path, Holder(name))


def test_extras_that_contain_themselves_are_refused(path):
    x = []
    x.append(x)
    with pytest.raises(ValueError, match="nested too deeply, or contains itself"):
        save(path, x=x)


def test_long_lists_are_saved_up_to_the_size_that_is_loaded_and_arrays_without_limit(path):
    losses = np.random.default_rng(0).random(100_000)
    save(path, losses=losses[:10_000].tolist())
    assert load(path)["losses"] == losses[:10_000].tolist()
    with pytest.raises(
        ValueError, match=r"load\(\) would refuse this file: .* long lists of numbers, save them as NumPy"
    ):
        save(path, losses=losses.tolist())
    assert len(load(path)["losses"]) == 10_000
    save(path, losses=losses)
    np.testing.assert_array_equal(load(path)["losses"], losses)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing", Linear(1, 1))
