"""The benchmarks compare like with like: ours and the hand-written yardsticks compute the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

import nn
from autodiff import Value

from . import deep_steps, scalar_steps, tensor_steps
from .__main__ import main


@pytest.mark.parametrize("contestant", [tensor_steps.Ours, tensor_steps.OursCompiled])
@pytest.mark.parametrize("name", tensor_steps.PROBLEMS)
def test_tensor_step_gives_the_loss_and_gradients_of_numpy_by_hand(name: str, contestant: type) -> None:
    problem = tensor_steps.PROBLEMS[name]
    assert tensor_steps.disagreement(problem, contestant(problem)) <= 1e-12


@pytest.mark.parametrize("name", deep_steps.PROBLEMS)
def test_deep_step_gives_the_losses_and_parameters_of_numpy_by_hand(name: str) -> None:
    assert deep_steps.disagreement(name) <= 1e-10


def test_disagreement_notices_one_wrong_gradient() -> None:
    problem = tensor_steps.PROBLEMS["tensor-2-15-1"]
    contestant = tensor_steps.ByHand(problem)
    right = contestant.function

    def wrong(parameters: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[float, list[np.ndarray]]:
        loss, gradients = right(parameters, x, y)
        gradients[1][3] *= 1.0005
        return loss, gradients

    contestant.function = wrong
    assert tensor_steps.disagreement(problem, contestant) > 1e-8


@pytest.mark.parametrize("wrap", [Value, float], ids=["inputs as Values", "inputs as floats"])
def test_scalar_step_gives_the_loss_and_gradients_of_numpy_by_hand(wrap: type) -> None:
    training = scalar_steps.MoonsTraining(nn.MLP, wrap)
    by_hand = scalar_steps.moons_by_hand()
    for _ in range(3):  # the second and third loss also depend on the update
        training.forward()
        training.backward()
        loss, gradients = by_hand()
        got = scalar_steps.split([p.grad for p in training.model.parameters()])
        assert training.loss.data == pytest.approx(loss, rel=1e-12)
        for g, wanted in zip(got, gradients, strict=True):
            np.testing.assert_allclose(g, wanted, rtol=0, atol=1e-12)
        training.update()


def test_chain_gives_the_value_and_gradients_of_the_chain_rule_by_hand() -> None:
    chain = scalar_steps.Chain(Value, 1000)
    chain.forward()
    chain.backward()
    value, gradients = scalar_steps.chain_by_hand(1000)
    assert chain.root.data == pytest.approx(value, rel=1e-12)
    assert [x.grad for x in chain.inputs] == pytest.approx(gradients, rel=1e-12)


def test_one_command_prints_a_table_and_judges_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--only", "tensor-2-4-1", "--rounds", "1", "--seconds", "0", "--no-peers"])
    printed = capsys.readouterr().out
    assert printed.count("tensor-2-4-1") == 1  # the workload is named once, on its first row
    assert "2-4-1: autodiff / NumPy by hand" in printed
