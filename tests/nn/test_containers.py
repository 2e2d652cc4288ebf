"""Sequential, ModuleList and ModuleDict."""

import math

import numpy as np
import pytest

import autodiff as ad
from nn import Linear, Module, ReLU, Sequential, Tanh
from nn.containers import ModuleDict, ModuleList


def filled(weight, bias=None):
    """Return a Linear with these numbers."""
    weight = np.array(weight, dtype=float)
    layer = Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.data = weight
    if bias is not None:
        layer.bias.data = np.array(bias, dtype=float)
    return layer


def test_a_sequential_applies_its_modules_in_order():
    net = Sequential(filled([[1.0, 1.0]], [-4.0]), ReLU(), filled([[2.0]], [1.0]))
    np.testing.assert_array_equal(net(np.array([[1.0, 2.0], [3.0, 4.0]])).data, [[1.0], [7.0]])


def test_an_empty_sequential_is_the_identity():
    x = np.ones(2)
    assert Sequential()(x) is x
    assert Sequential().parameters() == []
    assert repr(Sequential()) == "Sequential()"


def test_parameters_are_named_by_position():
    net = Sequential(Linear(2, 4), Sequential(ReLU(), Linear(4, 3, bias=False)), Tanh(), Linear(3, 1))
    names = [name for name, _ in net.named_parameters()]
    assert names == ["0.weight", "0.bias", "1.1.weight", "3.weight", "3.bias"]
    assert net.parameters() == [net[0].weight, net[0].bias, net[1][1].weight, net[3].weight, net[3].bias]


def test_indexing_gives_a_module_from_either_end():
    first, act, last = Linear(2, 4), ReLU(), Linear(4, 1)
    net = Sequential(first, act, last)
    assert (net[0], net[1], net[2], net[-1]) == (first, act, last, last)
    assert net[2].weight.shape == (1, 4)
    for index in (3, -4):
        with pytest.raises(IndexError):
            net[index]


def test_slicing_gives_a_sequential_that_shares_the_modules():
    net = Sequential(filled([[2.0]]), ReLU(), filled([[3.0]]))
    head = net[:2]
    assert type(head) is Sequential
    assert list(head) == [net[0], net[1]]
    assert list(net[::-1]) == [net[2], net[1], net[0]]
    assert len(net[5:]) == 0
    np.testing.assert_array_equal(net[2:](head(np.array([[1.5]]))).data, net(np.array([[1.5]])).data)
    net[0].weight.data = np.array([[-2.0]])
    np.testing.assert_array_equal(head(np.array([[-1.5]])).data, [[3.0]])


def test_an_error_says_in_which_module_it_was():
    net = Sequential(Linear(2, 3), Sequential(Tanh(), Linear(2, 1)))
    with pytest.raises(ad.ShapeError) as caught:
        net(np.ones((4, 2)))
    assert caught.value.__notes__ == ["in module 1 of a Sequential: Linear", "in module 1 of a Sequential: Sequential"]


def test_length_and_iteration():
    modules = [Linear(2, 2), ReLU(), Tanh()]
    assert len(Sequential(*modules)) == 3
    assert list(Sequential(*modules)) == modules


@pytest.mark.parametrize("other", [ad.relu, ReLU, [ReLU()], None, math.tanh])
def test_what_is_no_module_is_refused(other):
    hint = r"write Sequential\(\*modules\)" if isinstance(other, list) else "wrap functions in Activation"
    hint = r"write ReLU\(\) to make one" if other is ReLU else hint
    with pytest.raises(TypeError, match=f"^Sequential takes modules, got .*: {hint}$"):
        Sequential(ReLU(), other)


def test_a_module_of_ones_own_is_as_good():
    class Double(Module):
        def forward(self, x):
            return x * 2.0

    np.testing.assert_array_equal(Sequential(Double(), Double())(np.array([1.5])), [6.0])


def test_the_repr_of_a_network_shows_its_layers():
    assert repr(Sequential(Linear(8, 4), ReLU(), Linear(4, 2))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=8, out_features=4, bias=True)\n"
        "  (1): ReLU()\n"
        "  (2): Linear(in_features=4, out_features=2, bias=True)\n"
        ")"
    )


def test_modules_of_a_sequential_can_be_replaced_added_and_removed():
    net = Sequential(Linear(2, 4), ReLU(), Linear(4, 10))
    head = Linear(4, 3)
    net[-1] = head
    assert net[2] is head
    assert net.append(Tanh()) is net
    net.insert(1, Linear(4, 4))
    assert [type(module).__name__ for module in net] == ["Linear", "Linear", "ReLU", "Linear", "Tanh"]
    del net[1]
    assert len(net) == 4
    with pytest.raises(TypeError, match=r"^Sequential takes modules, got 3"):
        net[0] = 3
    with pytest.raises(TypeError, match=r"^Sequential takes modules"):
        net.append(math.tanh)


def test_a_subclass_of_sequential_may_have_parameters_of_its_own():
    class Scaled(Sequential):
        def __init__(self, *modules):
            super().__init__(*modules)
            self.factor = ad.Tensor([2.0])

        def forward(self, x):
            return super().forward(x) * self.factor

    net = Scaled(filled([[3.0]]))
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "factor"]
    np.testing.assert_array_equal(net(np.array([[1.0]])).data, [[6.0]])


# ---- ModuleList and ModuleDict ----------------------------------------------------------------------------------


class Tower(Module):
    """Layers in a ModuleList, and heads in a ModuleDict."""

    def __init__(self):
        self.layers = ModuleList([Linear(2, 2, rng=0), Linear(2, 2, rng=1)])
        self.heads = ModuleDict({"left": Linear(2, 1, rng=2)})

    def forward(self, x, head):
        for layer in self.layers:
            x = layer(x)
        return self.heads[head](x)


def test_a_module_list_and_dict_are_walked_by_index_and_by_name():
    tower = Tower()
    names = [name for name, _ in tower.named_parameters()]
    assert names == [
        *(
            "layers.0.weight",
            "layers.0.bias",
            "layers.1.weight",
            "layers.1.bias",
            "heads.left.weight",
            "heads.left.bias",
        )
    ]
    assert [type(module).__name__ for module in tower.children()] == ["ModuleList", "ModuleDict"]
    assert tower(np.ones((3, 2)), "left").shape == (3, 1)


def test_the_repr_of_a_module_list_and_dict_is_nested():
    assert repr(Tower()) == (
        "Tower(\n"
        "  (layers): ModuleList(\n"
        "    (0): Linear(in_features=2, out_features=2, bias=True)\n"
        "    (1): Linear(in_features=2, out_features=2, bias=True)\n"
        "  )\n"
        "  (heads): ModuleDict(\n"
        "    (left): Linear(in_features=2, out_features=1, bias=True)\n"
        "  )\n"
        ")"
    )


def test_a_module_list_is_a_list_of_modules():
    a, b, c = Tanh(), ReLU(), Linear(1, 1)
    modules = ModuleList([a])
    assert modules.append(b) is modules
    modules.extend([c])
    assert (len(modules), modules[-1], list(modules)) == (3, c, [a, b, c])
    assert type(modules[1:]) is ModuleList
    assert list(modules[1:]) == [b, c]
    modules[0] = c
    modules.insert(0, b)
    assert list(modules) == [b, c, b, c]
    del modules[0]
    assert len(modules) == 3
    with pytest.raises(TypeError, match=r"^ModuleList does not define forward\(\)$"):
        modules(1.0)
    with pytest.raises(TypeError, match=r"^ModuleList takes modules, got 1"):
        ModuleList([1])


def test_a_module_dict_is_a_dict_of_modules():
    a, b = Tanh(), ReLU()
    modules = ModuleDict({"a": a})
    modules["b"] = b
    assert (len(modules), list(modules), "a" in modules, "c" in modules) == (2, ["a", "b"], True, False)
    assert list(modules.items()) == [("a", a), ("b", b)]
    assert (list(modules.keys()), list(modules.values())) == (["a", "b"], [a, b])
    del modules["a"]
    assert list(modules) == ["b"]
    with pytest.raises(KeyError):
        modules["a"]
    with pytest.raises(TypeError, match=r"^ModuleDict takes modules"):
        modules["c"] = 1
    for name in ("a.b", "", 3):
        with pytest.raises(ValueError, match=r"^ModuleDict takes names without a dot, got"):
            modules[name] = a
