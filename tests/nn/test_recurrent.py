"""RNN, GRU and LSTM."""

import numpy as np
import pytest

from autodiff import ShapeError, Tensor
from autodiff.testing import check_gradients
from nn import SGD, Linear
from nn.recurrent import GRU, LSTM, RNN

from .golden_layers import assert_as_recorded, cases, name_of

GATES = {RNN: 1, GRU: 3, LSTM: 4}
EVERY = pytest.mark.parametrize("kind", GATES)


def drawn(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_an_rnn_is_tanh_of_input_and_last_output_at_every_time():
    layer, x = RNN(2, 3, rng=0), drawn(4, 5, 2)
    w_in, w_own = layer.weight_ih_l0.data, layer.weight_hh_l0.data
    h, expected = np.zeros((5, 3)), []
    for now in x:
        h = np.tanh(now @ w_in.T + layer.bias_ih_l0.data + h @ w_own.T + layer.bias_hh_l0.data)
        expected.append(h)
    outputs, last = layer(x)
    np.testing.assert_allclose(outputs.data, expected, rtol=1e-12)
    np.testing.assert_array_equal(last.data, [outputs.data[-1]])


@EVERY
def test_parameters_have_torchs_names_and_layout(kind):
    layer, rows = kind(3, 2, num_layers=2, rng=0), GATES[kind] * 2
    assert {name: p.shape for name, p in layer.named_parameters()} == {
        "weight_ih_l0": (rows, 3),
        "weight_hh_l0": (rows, 2),
        "bias_ih_l0": (rows,),
        "bias_hh_l0": (rows,),
        "weight_ih_l1": (rows, 2),
        "weight_hh_l1": (rows, 2),
        "bias_ih_l1": (rows,),
        "bias_hh_l1": (rows,),
    }
    assert [name for name, _ in kind(3, 2, bias=False).named_parameters()] == ["weight_ih_l0", "weight_hh_l0"]
    assert max(np.abs(p.data).max() for p in layer.parameters()) <= 1.0 / np.sqrt(2.0)
    again = kind(3, 2, num_layers=2, rng=0)
    assert all(np.array_equal(p.data, q.data) for p, q in zip(layer.parameters(), again.parameters(), strict=True))


@EVERY
def test_gradients_through_time_agree_with_difference_quotients(kind):
    layer = kind(2, 2, rng=1)
    check_gradients(lambda x: (layer(x)[0] ** 2).sum(), drawn(3, 1, 2))


@EVERY
def test_a_sequence_in_two_parts_with_the_state_handed_over_is_the_whole_sequence(kind):
    layer, x = kind(2, 3, num_layers=2, rng=0), drawn(6, 4, 2)
    whole, end = layer(x)
    first, state = layer(x[:2])
    second, last = layer(x[2:], state)
    np.testing.assert_allclose(np.concatenate([first.data, second.data]), whole.data, rtol=1e-12)
    for a, b in zip(*(part if kind is LSTM else (part,) for part in (end, last)), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


@EVERY
def test_float32_stays_float32(kind):
    layer = kind(2, 3, rng=0, dtype=np.float32)
    outputs, _ = layer(drawn(3, 2, 2).astype(np.float32))
    outputs.sum().backward()
    assert {outputs.dtype} | {p.grad.dtype for p in layer.parameters()} == {np.dtype(np.float32)}


@EVERY
@pytest.mark.parametrize("shape", [(4, 3), (4, 5, 3), (0, 5, 2), ()])
def test_inputs_of_other_shapes_are_refused(kind, shape):
    with pytest.raises(ShapeError, match=rf"^{kind.__name__}\(2, 3\) takes inputs of shape \(time, batch, 2\), got"):
        kind(2, 3)(np.zeros(shape))


def test_states_of_other_shapes_are_refused():
    x = np.zeros((4, 5, 2))
    with pytest.raises(ShapeError, match=r"takes as its state one array of shape \(1, 5, 3\)"):
        GRU(2, 3)(x, np.zeros((5, 3)))
    for wrong in (np.zeros((1, 5, 3)), (np.zeros((1, 5, 3)), np.zeros((1, 4, 3)))):
        with pytest.raises(ShapeError, match=r"takes as its state 2 arrays of shape \(1, 5, 3\)"):
            LSTM(2, 3)(x, wrong)


def test_sizes_and_nonlinearities_are_checked():
    with pytest.raises(ValueError, match=r"^LSTM needs sizes of at least 1, got 2, 0 and 1$"):
        LSTM(2, 0)
    with pytest.raises(ValueError, match=r"^nonlinearity must be \"tanh\" or \"relu\", got 'sigmoid'$"):
        RNN(2, 2, nonlinearity="sigmoid")


def test_the_repr_shows_the_sizes():
    assert repr(GRU(2, 3)) == "GRU(2, 3)"
    assert repr(LSTM(2, 3, num_layers=2, bias=False)) == "LSTM(2, 3, num_layers=2, bias=False)"


def test_the_gradient_reaches_the_first_state():
    layer, h = RNN(1, 1, rng=0), Tensor(np.zeros((1, 1, 1)))
    outputs, _ = layer(np.zeros((1, 1, 1)), h)
    outputs.sum().backward()
    s = layer.bias_ih_l0.data + layer.bias_hh_l0.data
    np.testing.assert_allclose(h.grad.ravel(), layer.weight_hh_l0.data.ravel() * (1.0 - np.tanh(s) ** 2), rtol=1e-12)


@EVERY
def test_a_recurrent_layer_learns_whether_the_first_number_was_positive(kind):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(5, 64, 1))
    target = np.sign(x[0])
    layer, head = kind(1, 8, rng=0), Linear(8, 1, rng=1)
    optimizer = SGD([*layer.parameters(), *head.parameters()], lr=0.05, momentum=0.9)
    for _ in range(200):
        loss = ((head(layer(x)[0][-1]) - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward(keep_grads=False)
        optimizer.step()
    assert loss.item() < 0.2  # always guessing 0 costs 1


@pytest.mark.parametrize("case", cases("RNN", "GRU", "LSTM"), ids=name_of)
def test_a_layer_computes_and_differentiates_as_PyTorch_did(case):
    assert_as_recorded(case)


@EVERY
def test_a_layer_drawn_at_random_agrees_with_PyTorch_itself(kind):
    torch = pytest.importorskip("torch", reason="compares with PyTorch itself: pip install torch")
    layer, x = kind(4, 5, num_layers=2, rng=0), drawn(6, 3, 4)
    theirs = getattr(torch.nn, kind.__name__)(4, 5, 2).double()
    theirs.load_state_dict({name: torch.tensor(array) for name, array in layer.state_dict().items()})
    outputs, _ = layer(x)
    expected, _ = theirs(torch.tensor(x))
    (outputs * outputs).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(outputs.data, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    for name, p in theirs.named_parameters():
        np.testing.assert_allclose(dict(layer.named_parameters())[name].grad, p.grad.numpy(), rtol=1e-10, atol=1e-10)
