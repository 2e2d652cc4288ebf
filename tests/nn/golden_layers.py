"""How our layers are judged by what golden/make_layers.py recorded of PyTorch's."""

from importlib import import_module

import numpy as np

from autodiff import Node, Tensor

from .recorded import assert_near, recorded

HOMES = ("layers", "activations", "normalization", "conv", "recurrent")


def layer_class(name):
    """Return our layer of this name."""
    return next(getattr(module, name) for module in map(_home, HOMES) if hasattr(module, name))


def _home(name):
    return import_module(f"nn.{name}")


def cases(*names):
    """Return the recorded cases of some layers."""
    return [case for case in recorded("modules") if case["layer"] in names]


def name_of(case):
    """Return a short name for a test's id."""
    options = [f"{key}={value}" for key, value in case["options"].items()]
    return " ".join([case["layer"], *options, "" if case["training"] else "eval"]).strip()


def arrays(state):
    """Return a recorded state as arrays."""
    return {name: np.array(entry["data"], entry["dtype"]) for name, entry in state.items()}


def flat(x):
    """Return the nodes of nested tuples in a row."""
    return [node for part in x for node in flat(part)] if isinstance(x, tuple) else [x]


def assert_as_recorded(case):
    """Give the layer the recorded state and inputs, and compare outputs, all gradients, and the state afterwards."""
    layer = layer_class(case["layer"])(**case["options"]).train(case["training"])
    layer.load_state_dict(arrays(case["state"]))
    inputs = [np.array(x) for x in case["inputs"]]
    inputs = [Tensor(x) if x.dtype == np.float64 else x for x in inputs]
    outputs = flat(layer(inputs[0], tuple(inputs[1:])) if len(inputs) > 2 else layer(*inputs))
    total = sum((y * np.array(w)).sum() for y, w in zip(outputs, case["weights"], strict=True))
    total.backward()
    for y, expected in zip(outputs, case["outputs"], strict=True):
        assert_near(y.data, expected)
    for x, expected in zip(inputs, case["input_gradients"], strict=True):
        if isinstance(x, Node):
            assert_near(x.grad, expected)
    parameters = dict(layer.named_parameters())
    assert set(parameters) == set(case["gradients"])
    for name, expected in case["gradients"].items():
        assert_near(parameters[name].grad, expected)
    after = layer.state_dict()
    assert list(after) == list(case["state_after"])
    for name, expected in arrays(case["state_after"]).items():
        assert after[name].dtype == expected.dtype
        assert_near(after[name], expected)
