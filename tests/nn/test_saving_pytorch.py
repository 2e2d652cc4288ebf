"""Weights exchanged with PyTorch, both ways, by the names of its state dict."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from nn import BatchNorm1d, Dropout, LayerNorm, Linear, Sequential, Tanh
from nn.saving import LoadError, load, save

from .recorded import GOLDEN

# Sums of 5 products in float32 (24 bits) in another order: a few roundings of 6e-8
FLOAT32 = {"rtol": 2e-6, "atol": 2e-6}


def network(seed=0, dtype=np.float32):
    return Sequential(
        Linear(3, 5, rng=seed, dtype=dtype),
        BatchNorm1d(5, dtype=dtype),
        Tanh(),
        Dropout(0.5, rng=seed),
        Linear(5, 2, rng=seed, dtype=dtype),
        LayerNorm(2, dtype=dtype),
    )


def torch_network(torch):
    nn = torch.nn
    parts = [nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 2), nn.LayerNorm(2)]
    return nn.Sequential(*parts)


def test_a_network_recorded_by_pytorch_gives_its_outputs():
    net = network(seed=3)
    assert load(GOLDEN / "torch_network.safetensors", net) == {}
    recorded = load(GOLDEN / "torch_outputs.safetensors").arrays
    outputs = net.eval()(recorded["x"])
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.data, recorded["y"], **FLOAT32)


def test_a_file_of_pytorch_leaves_random_generators_alone():
    net, same = network(), network()
    load(GOLDEN / "torch_network.safetensors", net)
    assert net[3].rng.random() == same[3].rng.random()


def test_a_float32_file_is_not_converted_for_a_float64_model():
    net = network(dtype=np.float64)
    with pytest.raises(LoadError, match=r"0.weight: dtype float64 here, float32 in the state(.|\n)*numpy.float32"):
        load(GOLDEN / "torch_network.safetensors", net)
    load(GOLDEN / "torch_network.safetensors", net.to(np.float32))
    recorded = load(GOLDEN / "torch_outputs.safetensors").arrays
    np.testing.assert_allclose(net.eval()(recorded["x"]).data, recorded["y"], **FLOAT32)


def test_bfloat16_is_refused_with_the_way_out():
    with pytest.raises(LoadError, match=r"NumPy does not have: 'weight' \(BF16\)\. Convert it once, .*\.float\(\)"):
        load(GOLDEN / "torch_bfloat16.safetensors")


def test_a_file_with_a_model_alone_has_its_state_dict_and_nothing_else(tmp_path):
    """Read by the safetensors library: names, dtypes and numbers."""
    net = network()
    save(tmp_path / "net", net, epoch=3)
    arrays = safetensors.numpy.load_file(tmp_path / "net")
    state = net.state_dict()
    assert arrays.keys() == state.keys() == set(safetensors.numpy.load_file(GOLDEN / "torch_network.safetensors"))
    for name, array in state.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "c8"])
def test_every_type_of_numbers_that_both_have_is_exchanged(tmp_path, dtype):
    array = np.array([[0, 1], [2, 3], [1, 0]]).astype(dtype)
    save(tmp_path / "ours", x=array)
    path = tmp_path / "theirs"
    safetensors.numpy.save_file({"x": array, "empty": array[:0], "number": np.array(array[1, 1])}, path)
    theirs = load(path).arrays
    for got, expected in [
        (load(tmp_path / "ours")["x"], array),
        (safetensors.numpy.load_file(tmp_path / "ours")["@extra.x"], array),
        (theirs["x"], array),
        (theirs["empty"], array[:0]),
        (theirs["number"], np.array(array[1, 1])),
    ]:
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, expected, strict=True)


def test_the_golden_files_are_those_of_the_script():
    header = Path(GOLDEN, "torch_network.safetensors").read_bytes()[8:]
    assert json.JSONDecoder().raw_decode(header.decode("latin-1"))[0]["__metadata__"] == {"format": "pt"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_live_pytorch_and_ours_read_each_other_and_agree(tmp_path, dtype):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    from safetensors.torch import load_file, save_file

    x = np.random.default_rng(0).normal(size=(6, 3)).astype(dtype)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # LayerNorm magnifies the rounding of two outputs that happen to be nearly equal
        theirs, ours = torch_network(torch).to(torch.from_numpy(x).dtype), network(seed=4, dtype=dtype)
    theirs(torch.from_numpy(x))  # moves the running estimates
    # float64: a few roundings of 1e-16 through five layers
    tolerance = FLOAT32 if dtype == np.float32 else {"rtol": 1e-13, "atol": 1e-13}

    save_file(theirs.state_dict(), tmp_path / "theirs")
    load(tmp_path / "theirs", ours)
    expected = theirs.eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(x).data, expected, **tolerance)

    ours = network(seed=5, dtype=dtype)
    ours(x)
    save(tmp_path / "ours", ours)
    theirs.load_state_dict(load_file(tmp_path / "ours"), strict=True)
    expected = theirs.eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(x).data, expected, **tolerance)


def test_a_pickle_of_torch_save_is_refused_with_the_way_out_and_not_run(tmp_path):
    for start in (b"PK\x03\x04", b"\x80\x02", b"\x80\x04"):
        path = tmp_path / "model.pt"
        path.write_bytes(start + b"x" * 100)
        with pytest.raises(LoadError, match=r"torch\.save, a pickle, .* weights_only=True\), \"model\.safetensors\"\)"):
            load(path, network())
