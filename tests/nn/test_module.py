"""Module: it finds its parameters, names them, and says what it is."""

import numpy as np
import pytest

from autodiff import Tensor, Value
from nn import Linear, Module, ReLU, Sequential, Tanh


class Scale(Module):
    """One factor, which times the input is the output."""

    def __init__(self, factor):
        self.factor = Tensor(factor)

    def forward(self, x):
        return x * self.factor


class Holder(Module):
    """Whatever it is given, as attributes."""

    def __init__(self, **parts):
        vars(self).update(parts)


def names(module):
    return [name for name, _ in module.named_parameters()]


def test_parameters_come_in_the_order_of_assignment():
    second, first = Tensor([2.0]), Tensor([1.0])
    holder = Holder(second=second, inner=Scale([3.0]), first=first)
    assert names(holder) == ["second", "inner.factor", "first"]
    assert [p.data.tolist() for p in holder.parameters()] == [[2.0], [3.0], [1.0]]


def test_named_parameters_are_the_parameters_themselves():
    w = Tensor([1.0])
    assert list(Holder(w=w).named_parameters()) == [("w", w)]
    assert Holder(w=w).parameters()[0] is w


def test_parameters_are_found_in_lists_tuples_and_dicts_inside_each_other():
    a, b, c, d, e = (Value(i) for i in range(5))
    holder = Holder(row=[a, (b, [c])], table={"left": d, "right": {"deep": Holder(w=e)}})
    assert names(holder) == ["row.0", "row.1.0", "row.1.1.0", "table.left", "table.right.deep.w"]
    assert holder.parameters() == [a, b, c, d, e]


def test_Values_and_Tensors_are_parameters_alike():
    v, t = Value(1.0), Tensor([1.0, 2.0])
    assert Holder(v=v, t=t).parameters() == [v, t]


def test_arrays_numbers_functions_and_None_are_not_parameters():
    assert Holder(array=np.ones(2), number=1.0, text="w", function=np.tanh, nothing=None).parameters() == []


def test_results_of_operations_are_not_parameters():
    w = Tensor([1.0, 2.0])
    assert names(Holder(w=w, last_output=w * 2.0, history=[w.sum()])) == ["w"]


def test_a_shared_parameter_comes_once_under_its_first_name():
    w = Value(2.0)
    assert list(Holder(a=w, b=[w], c=Holder(w=w)).named_parameters()) == [("a", w)]


def test_equal_but_different_parameters_come_both():
    a, b = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    found = Holder(a=a, b=b).parameters()
    assert len(found) == 2
    assert found[0] is a
    assert found[1] is b


def test_a_shared_module_has_its_parameters_once():
    layer = Linear(2, 2, rng=0)
    net = Sequential(layer, ReLU(), layer)
    assert names(net) == ["0.weight", "0.bias"]
    assert list(net.modules()) == [net, layer, net[1]]


def test_a_parameter_added_later_is_found():
    holder = Holder(a=Value(1.0))
    holder.b = Value(2.0)
    assert names(holder) == ["a", "b"]
    del holder.a
    assert names(holder) == ["b"]


def test_a_module_may_know_the_one_it_is_in():
    child = Scale([1.0])
    parent = Holder(child=child, w=Value(2.0))
    child.parent = parent
    assert names(parent) == ["child.factor", "w"]
    assert names(child) == ["factor", "parent.w"]
    assert list(parent.modules()) == [parent, child]
    assert child.eval() is child
    assert not parent.training
    assert repr(parent) == "Holder(\n  (child): Scale(\n    (parent): ...\n  )\n)"


def test_a_list_that_contains_itself_is_walked_once():
    parts = [Value(1.0)]
    parts.append(parts)
    assert names(Holder(parts=parts)) == ["parts.0"]


def test_many_modules_inside_each_other_need_no_recursion():
    module = Scale([1.0])
    for _ in range(5000):
        module = Holder(inner=module)
    assert names(module) == ["inner." * 5000 + "factor"]


def test_modules_lists_the_module_itself_first_then_those_inside():
    inner = Scale([1.0])
    outer = Holder(parts=[inner], act=Tanh())
    assert list(outer.modules()) == [outer, inner, outer.act]


def test_zero_grad_forgets_the_gradients_of_all_parameters():
    v, scale = Value(2.0), Scale([1.0, 3.0])
    net = Holder(v=v, scale=scale)
    (scale(np.array([1.0, 2.0])).sum() * 2.0).backward()
    (v * v).backward()
    assert v.grad == 4.0
    np.testing.assert_array_equal(scale.factor.grad, [2.0, 4.0])
    net.zero_grad()
    assert v.grad == 0.0
    assert scale.factor.grad is None


def test_train_and_eval_switch_every_module_inside_and_return_the_module():
    net = Holder(layers=[Scale([1.0])], act=Tanh())
    everything = [net, net.layers[0], net.act]
    assert [module.training for module in everything] == [True, True, True]
    assert net.eval() is net
    assert [module.training for module in everything] == [False, False, False]
    net.act.train()
    assert [module.training for module in everything] == [False, False, True]
    assert net.train() is net
    assert [module.training for module in everything] == [True, True, True]


def test_eval_of_one_module_leaves_others_in_training():
    one, other = Tanh(), Tanh()
    one.eval()
    assert (one.training, other.training) == (False, True)


def test_a_call_passes_positional_and_keyword_arguments_to_forward():
    class Power(Module):
        def forward(self, x, *, exponent):
            return x**exponent

    assert Power()(3.0, exponent=2) == 9.0


def test_a_module_without_forward_says_so():
    with pytest.raises(TypeError, match=r"^Holder does not define forward\(\)$"):
        Holder()(1.0)


def test_an_error_inside_forward_comes_through_unchanged():
    class Broken(Module):
        def forward(self, x):
            raise KeyError(x)

    with pytest.raises(KeyError, match="7"):
        Broken()(7)


def test_the_repr_shows_the_modules_inside_indented():
    net = Holder(body=Sequential(Linear(2, 3), ReLU()), head=Linear(3, 1, bias=False))
    assert repr(net) == (
        "Holder(\n"
        "  (body): Sequential(\n"
        "    (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "    (1): ReLU()\n"
        "  )\n"
        "  (head): Linear(in_features=3, out_features=1, bias=False)\n"
        ")"
    )


def test_the_repr_shows_modules_in_containers_with_their_names():
    net = Holder(layers=[Tanh(), ReLU()], heads={"a": Linear(1, 1)})
    assert repr(net) == (
        "Holder(\n"
        "  (layers.0): Tanh()\n"
        "  (layers.1): ReLU()\n"
        "  (heads.a): Linear(in_features=1, out_features=1, bias=True)\n"
        ")"
    )


def test_the_repr_shows_a_shared_module_wherever_it_stands():
    act = Tanh()
    assert repr(Sequential(act, act)) == "Sequential(\n  (0): Tanh()\n  (1): Tanh()\n)"


def test_the_repr_of_a_module_without_modules_is_one_line():
    assert repr(Scale([1.0])) == "Scale()"
