"""Module: it finds its parameters, names them, and says what it is."""

import copy
import pickle

import numpy as np
import pytest

from autodiff import Tensor, Value, grad, no_grad
from nn import MLP, SGD, Linear, Module, ReLU, Sequential, Tanh
from nn.module import StateDictError
from nn.normalization import BatchNorm1d


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


def test_results_computed_under_no_grad_are_not_parameters_although_they_are_leaves():
    w, v = Tensor([1.0, 2.0]), Value(3.0)
    with no_grad():
        outputs = [w * 2.0, v * v, w.sum()]
        made = Tensor([5.0])
    assert all(y.is_leaf for y in outputs)
    assert names(Holder(outputs=outputs, w=w, made=made)) == ["w", "made"]


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


# ---- children, names, apply ---------------------------------------------------------------------------------------


def test_named_modules_gives_every_module_once_with_its_dotted_name():
    act = Tanh()
    net = Holder(body=Sequential(Linear(1, 1), act), tail=[act])
    assert list(net.named_modules()) == [("", net), ("body", net.body), ("body.0", net.body[0]), ("body.1", act)]


def test_children_are_the_modules_directly_inside_also_those_in_lists_and_dicts():
    act = Tanh()
    net = Holder(layers=[act, Sequential(ReLU())], table={"a": ReLU(), "b": act})
    assert list(net.named_children()) == [("layers.0", act), ("layers.1", net.layers[1]), ("table.a", net.table["a"])]
    assert list(net.children()) == [act, net.layers[1], net.table["a"]]


def test_apply_visits_every_module_once_outermost_first():
    act, seen = Tanh(), []
    net = Holder(body=Sequential(act, act))
    assert net.apply(seen.append) is net
    assert seen == [net, net.body, act]


# ---- freezing -----------------------------------------------------------------------------------------------------


def network():
    return Sequential(Linear(2, 3, rng=0), Tanh(), Linear(3, 1, rng=1))


def test_frozen_parameters_are_left_alone_by_backward_and_by_an_optimizer():
    net, x = network(), np.random.default_rng(0).normal(size=(4, 2))
    before, expected = net.state_dict(), net(x).data
    net[0].freeze()
    assert names(net) == ["2.weight", "2.bias"]
    optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
    np.testing.assert_array_equal(net(x).data, expected)
    for _ in range(3):
        optimizer.zero_grad()
        (net(x) ** 2).sum().backward()
        optimizer.step()
    after = net.state_dict()
    assert [name for name in before if not np.array_equal(before[name], after[name])] == ["2.weight", "2.bias"]


def test_an_optimizer_made_before_the_freeze_leaves_frozen_tensors_alone():
    net, x = network(), np.ones((4, 2))
    optimizer = SGD(net.parameters(), lr=0.1)
    (net(x) ** 2).sum().backward()
    weight = net[0].weight
    before = weight.data.copy()
    net[0].freeze()
    assert weight.grad is None
    (net(x) ** 2).sum().backward()
    optimizer.step()
    assert weight.grad is None
    np.testing.assert_array_equal(weight.data, before)


def test_gradients_pass_through_frozen_layers_to_those_before():
    net, x = network(), np.ones((1, 2))
    net(x).sum().backward()
    expected = net[0].weight.grad
    net.zero_grad()
    net[2].freeze()
    net(x).sum().backward()
    np.testing.assert_array_equal(net[0].weight.grad, expected)
    inputs = Tensor(x)
    net.freeze()(inputs).sum().backward()
    assert inputs.grad.shape == (1, 2)


def test_unfreeze_puts_the_same_parameters_back():
    net = network()
    before = list(net.named_parameters())
    assert net.freeze() is net
    assert net.freeze().parameters() == []
    assert list(net.named_parameters(frozen=True)) == before
    assert type(net[0].weight) is np.ndarray
    assert net.unfreeze() is net
    assert list(net.named_parameters()) == before
    assert net[0].weight is before[0][1]


def test_part_of_a_frozen_network_can_be_unfrozen():
    net = network().freeze()
    net[2].unfreeze()
    assert names(net) == ["2.weight", "2.bias"]


def test_networks_of_Values_are_frozen_too():
    mlp = MLP(2, [2, 1], activation="tanh", rng=0)
    before = list(mlp.named_parameters())
    expected = mlp([1.0, 2.0]).data
    mlp.layers[0].freeze()
    assert len(mlp.parameters()) == 3
    out = mlp([1.0, 2.0])
    assert out.data == pytest.approx(expected, rel=1e-15)
    out.backward()
    assert [p.grad for name, p in before if name.startswith("layers.0")] == [0.0] * 6
    assert mlp.freeze()([1.0, 2.0]) == pytest.approx(expected, rel=1e-15)
    assert list(mlp.unfreeze().named_parameters()) == before


def test_tuples_and_dicts_of_parameters_are_frozen_in_place():
    a, b = Tensor([1.0]), Value(2.0)
    holder = Holder(pair=(a, {"deep": [b, 3.0]}), plain={"x": 1.0})
    plain = holder.plain
    holder.freeze()
    np.testing.assert_array_equal(holder.pair[0], [1.0])
    assert holder.pair[1] == {"deep": [2.0, 3.0]}
    assert holder.plain is plain
    assert holder.unfreeze().pair == (a, {"deep": [b, 3.0]})


def test_a_state_is_loaded_into_a_frozen_network():
    net, other = network(), network()
    for p in other.parameters():
        p.data += 1.0
    net.freeze().load_state_dict(other.state_dict())
    x = np.ones((2, 2))
    np.testing.assert_array_equal(net(x), other(x).data)
    np.testing.assert_array_equal(net.unfreeze()(x).data, other(x).data)


def test_what_is_assigned_to_a_frozen_module_is_its_parameter_from_then_on():
    layer, new = Linear(2, 1, rng=0).freeze(), Tensor([[7.0, 7.0]])
    layer.weight, layer.bias = new, None
    assert layer.parameters() == [new]
    assert {name: array.tolist() for name, array in layer.state_dict().items()} == {"weight": [[7.0, 7.0]]}
    assert layer(np.ones((1, 2))).item() == 14.0
    assert layer.unfreeze().weight is new
    assert layer.bias is None


@pytest.mark.parametrize("new", [np.ones((1, 2)), [[1.0, 2.0]], Tensor([[1.0, 2.0]]) * 2.0])
def test_a_frozen_parameter_is_not_replaced_by_numbers_that_nothing_would_save(new):
    layer = Linear(2, 1, rng=0).freeze()
    before = layer.state_dict()
    with pytest.raises(TypeError, match=r"weight of Linear is a parameter, .* if need be after unfreeze"):
        layer.weight = new
    layer.weight = layer.weight  # nothing changes
    np.testing.assert_array_equal(layer.state_dict()["weight"], before["weight"])
    assert layer.parameters() == []


# ---- dtypes -------------------------------------------------------------------------------------------------------


def test_a_network_in_float32_computes_and_trains_in_float32_with_the_rounded_numbers():
    net, x = Sequential(Linear(2, 3, rng=0), BatchNorm1d(3), Tanh(), Linear(3, 1, rng=1)), np.ones((4, 2), np.float32)
    before = net.state_dict()
    assert net.to(np.float32) is net
    for name, array in net.state_dict().items():
        counts = name == "1.num_batches_tracked"
        assert array.dtype == (before[name].dtype if counts else np.float32)
        np.testing.assert_array_equal(array, before[name].astype(array.dtype))
    optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        out = net(x)
        (out**2).sum().backward()
        optimizer.step()
    assert out.dtype == np.float32
    assert {p.data.dtype for p in net.parameters()} == {p.grad.dtype for p in net.parameters()} == {out.dtype}
    assert net[1].running_mean.dtype == np.float32


def test_a_shared_parameter_of_another_dtype_stays_shared_and_one_of_the_same_stays_itself():
    single, shared = Tensor([1.0], dtype=np.float32), Tensor([2.0], name="w")
    holder = Holder(a=shared, b=(shared, {"c": shared}), single=single, value=Value(3.0), result=shared * 2.0)
    value, result = holder.value, holder.result
    holder.to("float32")
    assert holder.a is holder.b[0] is holder.b[1]["c"] is not shared
    assert (holder.a.name, holder.a.data.tolist(), holder.a.dtype) == ("w", [2.0], np.float32)
    assert holder.single is single
    assert holder.value is value
    assert holder.result is result
    assert holder.to(np.float64).a.dtype == np.float64


def test_frozen_parameters_get_the_dtype_too():
    net = network()
    net[0].freeze()
    net.to(np.float32)
    assert net[0].weight.dtype == np.float32
    assert {p.dtype for p in net.unfreeze().parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("dtype", [int, bool, complex])
def test_a_dtype_that_is_not_floating_is_refused(dtype):
    net = network()
    before = net.parameters()
    with pytest.raises(TypeError, match="floating numbers, so it cannot get dtype"):
        net.to(dtype)
    assert net.parameters() == before


# ---- state ----------------------------------------------------------------------------------------------------------


def test_the_state_has_every_parameter_and_buffer_as_a_copy():
    net = Sequential(Linear(2, 3, rng=0), BatchNorm1d(3))
    state = net.state_dict()
    assert list(state) == [
        *("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked")
    ]
    assert state["1.num_batches_tracked"].dtype == np.int64
    state["0.weight"][...] = 7.0
    assert not np.any(net[0].weight.data == 7.0)


def test_a_state_loaded_gives_the_same_outputs_and_is_copied():
    net, other = Sequential(Linear(2, 3, rng=0), BatchNorm1d(3)), Sequential(Linear(2, 3, rng=1), BatchNorm1d(3))
    x = np.random.default_rng(0).normal(size=(5, 2))
    net(x)
    state = net.state_dict()
    assert other.load_state_dict(state) == ([], [])
    np.testing.assert_array_equal(other.eval()(x).data, net.eval()(x).data)
    for array in state.values():
        array[...] = 0
    np.testing.assert_array_equal(other(x).data, net(x).data)


def test_Values_and_Tensors_in_a_state_are_loaded_alike():
    holder = Holder(v=Value(1.0), t=Tensor([1.0, 2.0]))
    holder.load_state_dict({"v": 3.0, "t": Tensor([4.0, 5.0])})
    assert holder.v.data == 3.0
    assert type(holder.v.data) is float
    np.testing.assert_array_equal(holder.t.data, [4.0, 5.0])
    holder.load_state_dict(holder.state_dict())


@pytest.mark.promise(23)
def test_all_differences_of_key_shape_and_dtype_are_listed_at_once_and_nothing_changes():
    net = Sequential(Linear(2, 3, rng=0), BatchNorm1d(3), Linear(3, 1, rng=1))
    before, wrong = net.state_dict(), net.state_dict()
    wrong["0.weight"] = np.ones((3, 3))
    wrong["0.bias"] = np.ones(3, np.float32)
    wrong["1.running_mean"] = np.ones((3, 1), np.float32)
    wrong["2.weight"] += 1.0  # this one would fit
    del wrong["2.bias"]
    wrong["3.weight"] = np.ones(1)
    with pytest.raises(StateDictError) as caught:
        net.load_state_dict(wrong)
    assert str(caught.value).splitlines() == [
        "the state does not fit Sequential:",
        "  0.weight: shape (3, 2) here, (3, 3) in the state",
        "  0.bias: dtype float64 here, float32 in the state",
        "  1.running_mean: shape (3,) here, (3, 1) in the state",
        "  1.running_mean: dtype float64 here, float32 in the state",
        "  2.bias: missing in the state",
        "  3.weight: not in the module",
    ]
    after = net.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.promise(23)
def test_a_state_that_would_have_to_be_broadcast_is_refused():
    layer = Linear(64, 32, rng=0)
    before = layer.state_dict()
    with pytest.raises(StateDictError, match=r"weight: shape \(32, 64\) here, \(1, 64\) in the state"):
        layer.load_state_dict({**before, "weight": np.ones((1, 64))})
    with pytest.raises(StateDictError, match=r"bias: shape \(32,\) here, \(\) in the state"):
        layer.load_state_dict({**before, "bias": 1.0}, strict=False)
    np.testing.assert_array_equal(layer.weight.data, before["weight"])


@pytest.mark.promise(23)
def test_a_state_of_other_keys_is_loaded_only_if_asked_to():
    net = network()
    state = {"0.weight": np.ones((3, 2)), "extra": np.ones(1)}
    keys = net.load_state_dict(state, strict=False)
    assert keys.missing_keys == ["0.bias", "2.weight", "2.bias"]
    assert keys.unexpected_keys == ["extra"]
    np.testing.assert_array_equal(net[0].weight.data, np.ones((3, 2)))


def test_a_buffer_is_in_the_state_and_not_a_parameter():
    holder = Holder(w=Tensor([1.0]))
    holder.register_buffer("seen", np.array([1, 2]))
    holder.register_buffer("seen", np.array([3, 4]))
    assert (names(holder), list(holder.state_dict())) == (["w"], ["w", "seen"])
    outer = Holder(inner=holder)
    outer.load_state_dict({"inner.w": np.array([2.0]), "inner.seen": np.array([5, 6])})
    np.testing.assert_array_equal(holder.seen, [5, 6])


def test_a_shared_parameter_is_in_the_state_once():
    layer = Linear(2, 2, rng=0)
    assert list(Sequential(layer, layer).state_dict()) == ["0.weight", "0.bias"]


def test_weights_are_exchanged_with_PyTorch_by_name():
    torch = pytest.importorskip("torch", reason="compares with PyTorch itself: pip install torch")
    ours = Sequential(Linear(2, 3, rng=0), BatchNorm1d(3), ReLU(), Linear(3, 1, rng=1))
    theirs = torch.nn.Sequential(
        torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU(), torch.nn.Linear(3, 1)
    ).double()
    x = np.random.default_rng(0).normal(size=(5, 2))
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(ours(x).data, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-12)
    ours[0].weight.data += 1.0
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    np.testing.assert_allclose(ours.eval()(x).data, theirs.eval()(torch.tensor(x)).detach().numpy(), rtol=1e-12)


def test_a_module_is_copied_and_pickled_with_its_parameters_buffers_and_frozen_parts():
    net = Sequential(Linear(2, 3, rng=0), BatchNorm1d(3), Tanh())
    net[0].freeze()
    x = np.random.default_rng(0).normal(size=(4, 2))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):  # noqa: S301  # of what is pickled right here
        np.testing.assert_array_equal(twin(x).data, net(x).data)
        for p in twin.unfreeze().parameters():
            p.data += 1.0
        assert not np.any(twin.state_dict()["0.weight"] == net.state_dict()["0.weight"])


# ---- hooks ----------------------------------------------------------------------------------------------------------


def test_a_forward_hook_sees_module_inputs_and_output_until_it_is_removed():
    scale, seen = Scale([2.0]), []
    hook = scale.register_forward_hook(lambda module, inputs, output: seen.append((module, inputs, output)))
    y = scale(np.array([3.0]))
    assert seen == [(scale, (np.array([3.0]),), y)]
    hook.remove()
    hook.remove()
    scale(np.array([3.0]))
    assert len(seen) == 1


def test_what_a_forward_hook_returns_replaces_the_output():
    scale = Scale([2.0])
    scale.register_forward_hook(lambda module, inputs, output: output + 1.0)
    scale.register_forward_hook(lambda module, inputs, output: output * 10.0)
    np.testing.assert_array_equal(scale(np.array([3.0])).data, [70.0])


def test_a_backward_hook_sees_the_whole_gradient_of_the_output():
    scale, seen = Scale([2.0, 3.0]), []
    hook = scale.register_backward_hook(lambda module, gradient: seen.append((module, gradient)))
    y = scale(np.array([1.0, 1.0]))
    (y * y + 5.0 * y).sum().backward()
    ((module, gradient),) = seen
    assert module is scale
    np.testing.assert_array_equal(gradient, [9.0, 11.0])
    np.testing.assert_array_equal(scale.factor.grad, [9.0, 11.0])
    hook.remove()
    scale(np.array([1.0, 1.0])).sum().backward()
    assert len(seen) == 1


def test_what_a_backward_hook_returns_replaces_the_gradient():
    scale = Scale([2.0])
    scale.register_backward_hook(lambda module, gradient: 10.0 * gradient)
    scale(np.array([3.0])).sum().backward()
    np.testing.assert_array_equal(scale.factor.grad, [30.0])


def test_hooks_belong_to_one_module_and_not_to_its_class():
    hooked, other, seen = Scale([1.0]), Scale([1.0]), []
    hooked.register_forward_hook(lambda module, inputs, output: seen.append(1))
    other(np.array([1.0]))
    assert seen == []


def test_the_gradient_of_a_module_that_returns_several_nodes_is_that_of_the_first():
    class Pair(Module):
        def forward(self, x):
            return [1.0, (x * 2.0, x * 3.0)]

    pair, seen = Pair(), []
    pair.register_backward_hook(lambda module, gradient: seen.append(gradient))
    _, (first, second) = pair(Value(1.0))
    (first * 4.0 + second).backward()
    assert seen == [4.0]


def test_a_hooked_module_is_differentiated_to_any_order_and_in_forward_mode():
    scale = Scale([1.0])
    scale.register_backward_hook(lambda module, gradient: None)
    assert grad(grad(lambda x: scale(x * x * x).sum()))(np.array([2.0])) == pytest.approx([12.0])


def test_a_module_without_nodes_in_its_output_has_hooks_that_do_nothing():
    act, seen = Tanh(), []
    act.register_backward_hook(lambda module, gradient: seen.append(gradient))
    assert act(0.0) == 0.0
    assert seen == []


def test_a_parameter_is_not_replaced_by_the_result_of_an_operation():
    layer = Linear(2, 1, rng=0)
    with pytest.raises(TypeError, match=r"weight of Linear is a parameter, .* write weight.data -= "):
        layer.weight = layer.weight - 0.1 * layer.weight.data
    with pytest.raises(TypeError, match=r"take its place is of type ndarray; .* a new parameter, Tensor\(\.\.\.\)$"):
        layer.weight = np.ones((1, 2))
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    layer.weight = Tensor(np.ones((1, 2)))  # another parameter
    layer.last = layer(np.ones(2))
    layer.last = layer(np.zeros(2))  # a result in the place of a result
    with no_grad():
        layer.last = layer(np.zeros(2))
    layer.last = layer(np.ones(2))
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
