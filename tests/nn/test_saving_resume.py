"""Saved in the middle, loaded in another process, gone on with: bit for bit the run that was never interrupted."""

import os
import subprocess
import sys

import numpy as np
import pytest

from nn import Dropout, Linear, Sequential
from nn.saving import LoadError, load, save

from .saving_training import CASES, STEPS, Training, bit_generator


@pytest.fixture(scope="module")
def folder(tmp_path_factory, root):
    """Return a folder with the files of each case from the middle, from the end, and from the end after a resume."""
    folder = tmp_path_factory.mktemp("resume")
    for name in CASES:
        training = Training(name, seed=0)
        training.run(in_the_middle=folder / f"{name}.middle")
        training.save(folder / f"{name}.end")
    command = [sys.executable, "-W", "error", "-m", "tests.nn.saving_child", "resume", str(folder)]
    run = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONHASHSEED": "3"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return folder


@pytest.mark.promise(22)
@pytest.mark.parametrize("name", CASES)
def test_training_goes_on_in_another_process_bit_for_bit(folder, name, figure):
    """The file at the end has the model, all states, all generators, the place in the data, and every loss."""
    assert (folder / f"{name}.resumed").read_bytes() == (folder / f"{name}.end").read_bytes()
    assert (folder / f"{name}.end").read_bytes() != (folder / f"{name}.middle").read_bytes()
    losses = load(folder / f"{name}.resumed")["losses"]
    assert len(set(losses)) == len(losses) == STEPS
    figure("trainings resumed in a new process, every bit of the end equal")


@pytest.mark.promise(22)
@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_a_generator_goes_on_where_it_was(tmp_path, kind, figure):
    """Also with half of a 64-bit number used up, and in the middle of a block of numbers."""
    saved, resumed = bit_generator(kind, 0), bit_generator(kind, 1)
    saved.random(3, dtype=np.float32)
    path = tmp_path / "file"
    save(path, rng=saved)
    load(path, rng=resumed)
    for _ in range(2):
        np.testing.assert_array_equal(resumed.random(1001, dtype=np.float32), saved.random(1001, dtype=np.float32))
        np.testing.assert_array_equal(resumed.normal(size=1001), saved.normal(size=1001))
    figure("bit generators resumed")


@pytest.mark.promise(22)
def test_a_generator_that_several_share_is_saved_once_and_stays_shared(tmp_path, figure):
    def network(*generators):
        return Sequential(*(Dropout(0.5, rng=rng) for rng in generators))

    shared = np.random.default_rng(0)
    path = tmp_path / "file"
    save(path, network(shared, np.random.default_rng(1), shared), rng=shared)
    other = np.random.default_rng(5)
    net = network(other, np.random.default_rng(6), other)
    load(path, net, rng=other)
    assert other.random() == shared.random()
    with pytest.raises(LoadError) as caught:
        load(path, network(*map(np.random.default_rng, (5, 6, 7))), rng=np.random.default_rng(8))
    assert str(caught.value).splitlines()[1:] == [
        "  model.2.rng: the generator of model.0.rng in the file, of model.2.rng here",
        "  rng: the generator of model.0.rng in the file, of rng here",
    ]
    figure("shared generators found", 2)


def test_a_generator_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "file"
    save(path, Sequential(Linear(1, 1, rng=0), Dropout(rng=0)), rng=np.random.default_rng(0))
    with pytest.raises(LoadError) as caught:
        load(
            path,
            Sequential(Linear(1, 1, rng=0), Dropout(rng=bit_generator("MT19937", 0))),
            rng=bit_generator("Philox", 0),
        )
    assert str(caught.value).splitlines()[1:] == [
        "  model.1.rng: MT19937 here, 'PCG64' in the file",
        "  rng: Philox here, 'PCG64' in the file",
    ]


def test_a_foreign_bit_generator_is_not_saved(tmp_path):
    class Foreign(np.random.PCG64):
        pass

    with pytest.raises(TypeError, match=r"knows the bit generators PCG64, .*; rng is a Foreign"):
        save(tmp_path / "file", rng=np.random.Generator(Foreign(0)))
    assert list(tmp_path.iterdir()) == []
