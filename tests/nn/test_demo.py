"""The demo: both networks learn the same, recognise the irises, and the pictures are written."""

import builtins
import importlib.util
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from nn import MLP, vectorize
from nn import demo as module
from nn.demo import main, run


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Let the default directory be a temporary one."""
    monkeypatch.chdir(tmp_path)


def test_both_networks_learn_the_same():
    done = run(steps=20, seed=3)
    assert len(done.scalar.losses) == len(done.tensor.losses) == 20
    np.testing.assert_allclose(done.scalar.losses, done.tensor.losses, rtol=1e-9)
    assert done.scalar.accuracy == done.tensor.accuracy
    assert done.scalar.losses[-1] < done.scalar.losses[0] / 2


@pytest.mark.promise(19)
def test_the_same_seed_gives_the_same_bits():
    first, again, other = (run(steps=5, seed=seed).scalar.losses for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_it_writes_what_it_says(capsys, tmp_path):
    done = run(steps=3, out=tmp_path / "new" / "place")
    out, err = capsys.readouterr()
    assert [file.name for file in done.files] == ["expression.svg", "neuron.svg", "loss.png"]
    assert sorted((tmp_path / "new" / "place").iterdir()) == sorted(done.files)
    for file in done.files:
        assert str(file) in out
        assert file.suffix != ".svg" or ET.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert "grad 5.0000" in done.files[0].read_text(encoding="utf-8")
    assert "notebooks/01_gradients_by_hand.ipynb" in out
    assert "loss=" in err
    assert "accuracy=" in err


def test_the_default_directory_is_autodiff_demo(tmp_path):
    assert main(["--steps", "2"]) == 0
    assert (tmp_path / "autodiff-demo" / "neuron.svg").exists()


def test_it_works_without_matplotlib(monkeypatch, capsys):
    find, load = importlib.util.find_spec, builtins.__import__

    def refuse(name, *args, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return load(name, *args, **options)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    monkeypatch.setattr(builtins, "__import__", refuse)
    assert [file.suffix for file in run(steps=1).files] == [".svg", ".svg"]
    assert "pip install matplotlib" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--steps", "0"], ["--seed", "-1"], ["--steps", "many"], ["--speed", "9"]])
def test_wrong_options_are_explained(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "autodiff demo: error:" in capsys.readouterr().err


def test_a_directory_that_cannot_be_made_is_explained(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stop:
        main(["--steps", "1", "--out", str(tmp_path / "file" / "out")])
    assert stop.value.code == 2
    assert "choose another --out" in capsys.readouterr().err


def test_ten_flowers_of_each_species_are_held_out_and_all_others_seen():
    data = module._prepare(12, 0)
    assert np.bincount(data.test_y).tolist() == [10, 10, 10]
    assert np.bincount(data.train_y).tolist() == [40, 40, 40]
    for epoch in (data.batches[:6], data.batches[6:]):
        assert sorted(np.concatenate(epoch)) == list(range(120))


def test_held_out_accuracy_with_numbers(figure):
    """The main promise of the demo, for the scalar network with the default number of steps."""
    done = run(seed=0)
    figure(f"demo, seed 0: accuracy {done.scalar.accuracy:.3f} in {done.scalar.seconds:.1f} s, number by number")
    assert done.scalar.accuracy >= 0.93
    assert done.scalar.seconds < 30.0


@pytest.mark.parametrize("seed", range(1, 5))
def test_held_out_accuracy_with_other_seeds(seed):
    """With arrays, which are faster; that both networks learn the same is tested above."""
    data = module._prepare(module.STEPS, seed)
    net = vectorize(MLP(4, [module.HIDDEN, 3], activation="tanh", rng=seed))
    done = module._train("", net.parameters(), module._tensor_step(net), module._tensor_classes(net), data)
    assert done.accuracy >= 0.93
