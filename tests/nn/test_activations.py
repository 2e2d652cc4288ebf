"""The activation functions as modules."""

import math

import numpy as np
import pytest

import autodiff as ad
from autodiff import Tensor, Value
from nn import Linear, Sequential, activations
from nn.activations import Activation

from .golden_layers import assert_as_recorded, cases, name_of
from .recorded import assert_near, install, recorded

# The options that golden/make_golden.py gave to PyTorch's modules
OPTIONS = {"LeakyReLU": {"negative_slope": 0.2}, "ELU": {"alpha": 0.7}}

FORMULAS = {
    "ReLU": lambda x: max(0.0, x),
    "LeakyReLU": lambda x: x if x > 0.0 else 0.01 * x,
    "ELU": lambda x: x if x > 0.0 else math.exp(x) - 1.0,
    "SELU": lambda x: 1.0507009873554805 * (x if x > 0.0 else 1.6732632423543772 * (math.exp(x) - 1.0)),
    "GELU": lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2.0)),
    "SiLU": lambda x: x / (1.0 + math.exp(-x)),
    "Sigmoid": lambda x: 1.0 / (1.0 + math.exp(-x)),
    "Tanh": math.tanh,
    "Softplus": lambda x: math.log(1.0 + math.exp(x)),
    "Softsign": lambda x: x / (1.0 + abs(x)),
    "LogSigmoid": lambda x: -math.log(1.0 + math.exp(-x)),
    "Arctan": math.atan,
    "Step": lambda x: float(x > 0.0),
}


def test_every_activation_module_is_in_these_tests():
    modules = {name for name in activations.__all__ if issubclass(getattr(activations, name), Activation)}
    assert modules == {"Activation", "Softmax", "LogSoftmax", *FORMULAS}


@pytest.mark.parametrize("name", FORMULAS)
def test_an_activation_module_computes_its_formula_element_by_element(name):
    x = np.array([[-3.0, -1.0, -0.25], [0.5, 1.0, 2.75]])
    expected = np.vectorize(FORMULAS[name])(x)
    module = getattr(activations, name)()
    np.testing.assert_allclose(module(Tensor(x)).data, expected, rtol=1e-13)
    np.testing.assert_allclose(module(x), expected, rtol=1e-13)
    assert module(Value(-0.25)).data == pytest.approx(expected[0, 2], rel=1e-13)
    assert module.parameters() == []


def test_an_activation_has_options_and_shows_them():
    x = np.array([-2.0, 3.0])
    np.testing.assert_array_equal(activations.LeakyReLU(0.5)(x), [-1.0, 3.0])
    np.testing.assert_allclose(activations.ELU(2.0)(x), [2.0 * math.expm1(-2.0), 3.0], rtol=1e-15)
    assert repr(activations.LeakyReLU(0.5)) == "LeakyReLU(negative_slope=0.5)"
    assert repr(activations.ELU()) == "ELU(alpha=1.0)"
    assert [repr(module) for module in (activations.ReLU(), activations.Tanh(), activations.SiLU())] == [
        "ReLU()",
        "Tanh()",
        "SiLU()",
    ]


def test_any_function_becomes_a_module():
    np.testing.assert_array_equal(Activation(ad.arctan)(np.array([0.0, np.inf])), [0.0, math.pi / 2])
    np.testing.assert_array_equal(Activation(ad.leaky_relu, negative_slope=0.25)(np.array([-4.0])), [-1.0])
    assert repr(Activation(ad.arctan)) == "Activation(arctan)"
    assert repr(Activation(ad.leaky_relu, negative_slope=0.25)) == "Activation(leaky_relu, negative_slope=0.25)"

    def squared(x):
        return x * x

    x = Tensor([1.0, 3.0])
    Activation(squared)(x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 6.0])
    assert repr(Activation(squared)) == "Activation(squared)"


def test_softmax_adds_up_to_1_along_its_axis_and_log_softmax_is_its_logarithm():
    x = np.array([[2.0, -1.0, 3.0], [1000.0, 0.0, -1000.0]])
    y = activations.Softmax()(x)
    # The lecture's numbers; the second row would overflow without the shift by its maximum
    np.testing.assert_allclose(y[0], [0.26538793, 0.01321289, 0.72139918], atol=5e-9)
    np.testing.assert_array_equal(y[1], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(activations.LogSoftmax()(x)[1], [0.0, -1000.0, -2000.0], rtol=1e-15)
    np.testing.assert_allclose(activations.Softmax(0)(x).sum(axis=0), [1.0, 1.0, 1.0], rtol=1e-15)
    assert repr(activations.Softmax()) == "Softmax(axis=-1)"


def test_the_step_unit_has_derivative_zero():
    x = Tensor([-1.0, 0.0, 2.0])
    y = activations.Step()(x)
    y.sum().backward()
    np.testing.assert_array_equal(y.data, [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(x.grad, [0.0, 0.0, 0.0])


@pytest.mark.parametrize("name", recorded("layers")["cases"])
def test_a_network_computes_and_differentiates_as_PyTorch_did(name):
    golden = recorded("layers")
    case = golden["cases"][name]
    net = Sequential(Linear(3, 4), getattr(activations, name)(**OPTIONS.get(name, {})), Linear(4, 2))
    install(net, golden["parameters"])
    x = Tensor(golden["x"])
    y = net(x)
    (y * np.array(golden["weights"])).sum().backward()
    assert_near(y.data, case["y"])
    assert_near(x.grad, case["x_grad"])
    for parameter, p in net.named_parameters():
        assert_near(p.grad, case["gradients"][parameter])


@pytest.mark.parametrize("case", cases("Softmax", "LogSoftmax", "LogSigmoid"), ids=name_of)
def test_an_activation_computes_and_differentiates_as_PyTorch_did(case):
    assert_as_recorded(case)


@pytest.mark.parametrize("function", [activations.ReLU, 3.0])
def test_an_activation_is_made_of_a_function(function):
    with pytest.raises(TypeError, match=r"Activation takes a function of arrays, as autodiff.sin, got"):
        Activation(function)
