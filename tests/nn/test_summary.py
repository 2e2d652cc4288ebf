"""The table of a network's layers, and the trace of what flows through it."""

import numpy as np
import pytest

from autodiff import Tensor, Value
from nn import MLP, Linear, Module, ReLU, Sequential, Tanh
from nn.layers import Dropout, Embedding
from nn.normalization import BatchNorm1d
from nn.recurrent import LSTM
from nn.summary import SummaryRow, summary, trace


def lecture_network():
    return Sequential(Linear(784, 512, rng=0), ReLU(), Linear(512, 512, rng=0), ReLU(), Linear(512, 10, rng=0))


# ---- summary --------------------------------------------------------------------------------------------------


def test_the_network_of_the_lecture_has_669706_parameters_in_three_rows(figure):
    table = summary(lecture_network(), (64, 784))
    learning = [(row.output_shape, row.parameters) for row in table.rows if row.parameters]
    assert learning == [((64, 512), 401_920), ((64, 512), 262_656), ((64, 10), 5_130)]
    assert (table.parameters, table.bytes) == (669_706, 8 * 669_706)
    assert str(table).splitlines()[-1].split() == ["total", "669,706", "5,357,648"]
    figure(f"parameters of 784-512-512-10: {table.parameters:,} in {len(learning)} rows of the summary")


def test_a_row_has_name_type_output_shape_parameters_and_bytes():
    net = Sequential(Linear(2, 3, rng=0, dtype=np.float32), Sequential(Tanh(), Linear(3, 1, bias=False)))
    assert summary(net, (5, 2)).rows == (
        SummaryRow("0", "Linear", (5, 3), 9, 36),
        SummaryRow("1.0", "Tanh", (5, 3), 0, 0),
        SummaryRow("1.1", "Linear", (5, 1), 3, 24),
    )


def test_a_module_with_parameters_of_its_own_has_a_row_beside_those_inside_it():
    class Scaled(Module):
        def __init__(self):
            self.inner = Linear(2, 2)
            self.factors = [Tensor([1.0, 2.0])]

        def forward(self, x):
            return self.inner(x) * self.factors[0]

    names = [(row.name, row.parameters) for row in summary(Scaled(), (1, 2)).rows]
    assert names == [("Scaled", 2), ("inner", 6)]


def test_shared_and_frozen_parameters_are_counted_once_and_as_such():
    layer = Linear(2, 2, rng=0)
    net = Sequential(layer, ReLU(), layer, Linear(2, 1, rng=1))
    net[3].freeze()
    table = summary(net, (1, 2))
    assert (table.parameters, table.frozen) == (9, 3)
    assert str(table).endswith("3 of the parameters are frozen")
    assert "frozen" not in str(summary(lecture_network(), (1, 784)))


def test_summary_leaves_modes_estimates_hooks_and_generators_as_they_were():
    net = Sequential(Linear(2, 3, rng=0), BatchNorm1d(3), Dropout(0.5, rng=0), Tanh())
    net[3].eval()
    random, estimates = net[2].rng.bit_generator.state, net[1].running_mean.copy()
    summary(net, (4, 2))
    assert [module.training for module in net.modules()] == [True, True, True, True, False]
    assert net[2].rng.bit_generator.state == random
    np.testing.assert_array_equal(net[1].running_mean, estimates)
    assert not any(module._hooks for module in net.modules())


def test_a_network_that_does_not_fit_its_input_is_left_as_it_was():
    net = Sequential(Linear(2, 3), Tanh())
    with pytest.raises(ValueError, match=r"takes inputs of shape \(\.\.\., 2\), got \(4, 5\)"):
        summary(net, (4, 5))
    assert all(module.training and not module._hooks for module in net.modules())


def test_embeddings_recurrent_layers_and_networks_of_Values_have_summaries_too():
    assert summary(Embedding(5, 2), (3,), dtype=int).rows[0].output_shape == (3, 2)
    assert summary(LSTM(2, 3), (4, 1, 2)).rows == (SummaryRow("LSTM", "LSTM", (4, 1, 3), 84, 672),)
    table = summary(MLP(2, [3, 1]), (2,))
    assert [row.parameters for row in table.rows] == [3, 3, 3, 4]
    assert table.bytes == 13 * 8


def test_a_module_that_is_not_called_has_no_output_shape():
    net = Sequential(Linear(2, 1))
    net.spare = Linear(3, 1)
    assert [row.output_shape for row in summary(net, (1, 2)).rows] == [(1, 1), None]


# ---- trace ----------------------------------------------------------------------------------------------------


def test_trace_prints_shapes_on_the_way_forward_and_back(capsys):
    net = Sequential(Linear(8, 4, rng=0), ReLU(), Linear(4, 3, rng=1))
    with trace(net, verbose=True):
        net(np.ones((100, 8))).sum().backward()
    assert capsys.readouterr().out.splitlines() == [
        "0: IN (100, 8) OUT (100, 4)",
        "1: IN (100, 4) OUT (100, 4)",
        "2: IN (100, 4) OUT (100, 3)",
        "2: GRAD (100, 3)",
        "1: GRAD (100, 4)",
        "0: GRAD (100, 4)",
    ]


def test_trace_keeps_input_output_and_gradient_of_every_module_inside(capsys):
    rng = np.random.default_rng(0)
    net, x, weights = (
        Sequential(Linear(3, 4, rng=0), Tanh(), Linear(4, 2, rng=1)),
        *map(rng.normal, (0, 0), (1, 1), ((5, 3), (5, 2))),
    )
    with trace(net) as flows:
        (net(x) * weights).sum().backward()
    assert capsys.readouterr().out == ""
    assert list(flows) == ["0", "1", "2"]
    np.testing.assert_array_equal(flows["0"].input, x)
    np.testing.assert_array_equal(flows["1"].input, flows["0"].output)
    np.testing.assert_array_equal(flows["1"].output, np.tanh(flows["0"].output))
    np.testing.assert_array_equal(flows["2"].gradient, weights)
    behind = weights @ net[2].weight.data
    np.testing.assert_allclose(flows["1"].gradient, behind, rtol=1e-13)
    np.testing.assert_allclose(flows["0"].gradient, behind * (1.0 - np.tanh(flows["0"].output) ** 2), rtol=1e-12)
    np.testing.assert_allclose(net[0].weight.grad, flows["0"].gradient.T @ x, rtol=1e-12, atol=1e-14)


def test_a_traced_network_computes_the_same_gradients_and_is_left_without_hooks():
    net, x = Sequential(Linear(3, 4, rng=0), ReLU(), Linear(4, 1, rng=1)), np.random.default_rng(0).normal(size=(5, 3))
    (net(x) ** 2).sum().backward()
    before = [p.grad for p in net.parameters()]
    net.zero_grad()
    with trace(net):
        loss = (net(x) ** 2).sum()
    assert not any(module._hooks for module in net.modules())
    loss.backward()
    for p, g in zip(net.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.grad, g)


def test_a_backward_pass_after_the_block_is_still_seen():
    net = Sequential(Linear(2, 1, rng=0))
    with trace(net) as flows:
        y = net(np.ones((3, 2)))
    assert flows["0"].gradient is None
    y.backward(np.full((3, 1), 2.0))
    np.testing.assert_array_equal(flows["0"].gradient, np.full((3, 1), 2.0))


def test_of_a_module_called_twice_the_last_call_is_kept():
    layer = Linear(1, 1, rng=0)
    layer.weight.data, layer.bias.data = np.array([[3.0]]), np.array([0.0])
    net = Sequential(layer, layer)
    with trace(net) as flows:
        net(np.array([[2.0]])).sum().backward()
    flow = flows["0"]
    assert (flow.input.item(), flow.output.item(), flow.gradient.item()) == (6.0, 18.0, 1.0)


def test_a_module_without_modules_inside_is_traced_itself():
    layer = Linear(2, 1, rng=0)
    with trace(layer) as flows:
        layer(np.ones((1, 2)))
    assert list(flows) == ["Linear"]


def test_networks_of_Values_are_traced_too():
    mlp = MLP(2, [2, 1], activation="tanh", rng=0)
    with trace(mlp) as flows:
        mlp([Value(1.0), 2.0]).backward()
    hidden = flows["layers.0"]
    assert hidden.input == [1.0, 2.0]
    assert hidden.output == [flows[f"layers.0.neurons.{i}"].output for i in range(2)]
    last = mlp.layers[1].neurons[0]
    assert flows["layers.0.neurons.1"].gradient == pytest.approx(last.w[1].data, rel=1e-14)
