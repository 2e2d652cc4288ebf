"""Conv2d, MaxPool2d and AvgPool2d."""

import numpy as np
import pytest

from autodiff import ShapeError, Tensor
from autodiff.testing import check_gradients, check_rule
from nn.conv import AvgPool2d, Conv2d, Geometry, MaxPool2d, folded, windows

from .golden_layers import assert_as_recorded, cases, name_of


def drawn(*shape):
    return np.random.default_rng(0).normal(size=shape)


GEOMETRIES = {
    "plain": Geometry((2, 2), (1, 1), (0, 0)),
    "strided": Geometry((3, 2), (2, 3), (0, 0)),
    "padded": Geometry((3, 3), (2, 1), (1, 2)),
    "dilated": Geometry((2, 2), (1, 1), (1, 0), (2, 3)),
    "one place at a time": Geometry((1, 1), (1, 1), (0, 0)),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_what_windows_show_and_its_transpose_pass_every_check_of_the_kit(name):
    geometry, x = GEOMETRIES[name], drawn(2, 2, 5, 5)
    assert check_rule(windows, x, geometry=geometry).ok
    seen = windows(x, geometry=geometry)
    assert check_rule(folded, drawn(*seen.shape), geometry=geometry, shape=x.shape).ok
    w = drawn(*seen.shape)
    # <windows x, w> = <x, folded w>, up to the rounding of a few hundred additions
    one, other = (seen * w).sum(), (x * folded(w, geometry=geometry, shape=x.shape)).sum()
    np.testing.assert_allclose(one, other, rtol=1e-11)


def loops(x, weight, bias, stride, padding, dilation):
    """Return a convolution as its definition says it, number by number."""
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    n_out, n_in, kh, kw = weight.shape
    rows = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    columns = (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((len(x), n_out, rows, columns))
    for n, o, r, c in np.ndindex(*y.shape):
        total = bias[o]
        for i, a, b in np.ndindex(n_in, kh, kw):
            total += weight[o, i, a, b] * x[n, i, r * sh + a * dh, c * sw + b * dw]
        y[n, o, r, c] = total
    return y


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_a_convolution_is_the_sum_over_the_window(stride, padding, dilation):
    layer, x = Conv2d(2, 3, (2, 3), stride, padding, dilation, rng=1), drawn(2, 2, 5, 6)
    expected = loops(x, layer.weight.data, layer.bias.data, stride, padding, dilation)
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-12, atol=1e-14)


def test_gradients_of_convolution_and_pooling_agree_with_difference_quotients():
    layer = Conv2d(1, 2, 2, padding=1, rng=0)
    for module in (layer, MaxPool2d(2), AvgPool2d(2, 1, 1)):
        check_gradients(lambda x, module=module: (module(x) ** 2).sum(), drawn(1, 1, 4, 4), order=2)


def test_pooling_takes_the_largest_or_the_mean_of_every_window():
    x = np.arange(24.0).reshape(1, 1, 4, 6)
    np.testing.assert_array_equal(MaxPool2d(2)(x)[0, 0], [[7.0, 9.0, 11.0], [19.0, 21.0, 23.0]])
    np.testing.assert_array_equal(AvgPool2d((2, 3))(x)[0, 0], [[4.0, 7.0], [16.0, 19.0]])
    np.testing.assert_array_equal(MaxPool2d(3, 1)(x)[0, 0], [[14.0, 15.0, 16.0, 17.0], [20.0, 21.0, 22.0, 23.0]])


def test_the_border_is_never_the_largest_and_counts_as_zero_in_the_mean():
    x = -np.ones((1, 1, 2, 2))
    np.testing.assert_array_equal(MaxPool2d(2, 1, 1)(x)[0, 0], -np.ones((3, 3)))
    np.testing.assert_array_equal(
        AvgPool2d(2, 1, 1)(x)[0, 0], [[-0.25, -0.5, -0.25], [-0.5, -1.0, -0.5], [-0.25, -0.5, -0.25]]
    )


def test_equal_largest_numbers_share_the_gradient():
    x = Tensor(np.array([[[[2.0, 2.0], [1.0, 0.0]]]]))
    MaxPool2d(2)(x).sum().backward()
    np.testing.assert_array_equal(x.grad, [[[[0.5, 0.5], [0.0, 0.0]]]])


def test_parameters_have_torchs_layout_and_the_seed_decides_them():
    layer = Conv2d(2, 3, (4, 5), rng=0)
    assert {name: p.shape for name, p in layer.named_parameters()} == {"weight": (3, 2, 4, 5), "bias": (3,)}
    bound = 1.0 / np.sqrt(2 * 20)
    assert 0.9 * bound < np.abs(layer.weight.data).max() <= bound
    np.testing.assert_array_equal(Conv2d(2, 3, (4, 5), rng=0).weight.data, layer.weight.data)
    assert [name for name, _ in Conv2d(1, 1, 1, bias=False).named_parameters()] == ["weight"]


def test_float32_stays_float32():
    layer, x = Conv2d(1, 2, 3, rng=0, dtype=np.float32), Tensor(drawn(2, 1, 6, 6), dtype=np.float32)
    y = AvgPool2d(2)(MaxPool2d(2)(layer(x)))
    y.sum().backward()
    assert {y.dtype, x.grad.dtype, layer.weight.grad.dtype, layer.bias.grad.dtype} == {np.dtype(np.float32)}


def test_the_input_is_neither_changed_nor_shared():
    x = drawn(1, 1, 2, 2)
    before = x.copy()
    y = MaxPool2d(1)(Tensor(x))
    y.data[...] = 9.0
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("shape", [(2, 5, 5), (1, 3, 5, 5), (5,), (1, 2, 1, 5)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ShapeError) as caught:
        Conv2d(2, 1, 3)(np.zeros(shape))
    assert str(caught.value).startswith("Conv2d(2, 1, kernel_size=(3, 3)")
    assert str(shape) in str(caught.value)


def test_pooling_refuses_what_is_no_image_and_windows_that_do_not_fit():
    for pool in (MaxPool2d(3), AvgPool2d(3)):
        with pytest.raises(
            ShapeError, match=r"takes inputs of shape \(batch, channels, height, width\), got \(3, 3\)$"
        ):
            pool(np.zeros((3, 3)))
        with pytest.raises(ShapeError, match=r"the window does not fit into an input of shape \(1, 1, 2, 2\)$"):
            pool(np.zeros((1, 1, 2, 2)))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Conv2d(1, 1, 0), "kernel_size"),
        (lambda: Conv2d(1, 1, 3, stride=0), "stride"),
        (lambda: Conv2d(1, 1, 3, padding=-1), "padding"),
        (lambda: Conv2d(1, 1, (3, 3, 3)), "kernel_size"),
        (lambda: Conv2d(1, 1, 3, dilation=(1, 0.5)), "dilation"),
        (lambda: MaxPool2d(0), "kernel_size"),
        (lambda: AvgPool2d(2, padding=2), "padding"),
    ],
)
def test_sizes_out_of_range_are_refused_by_name(make, what):
    with pytest.raises(ValueError, match=f"needs a {what} of"):
        make()


def test_the_repr_shows_the_sizes():
    assert repr(Conv2d(1, 2, 3, padding=1)) == (
        "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), dilation=(1, 1), bias=True)"
    )
    assert repr(MaxPool2d(2)) == "MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))"


def test_an_empty_batch_is_a_batch():
    layer = Conv2d(1, 2, 3, rng=0)
    y = layer(Tensor(np.zeros((0, 1, 5, 5))))
    assert y.shape == (0, 2, 3, 3)
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad, np.zeros((2, 1, 3, 3)))
    assert MaxPool2d(2)(np.zeros((0, 1, 4, 4))).shape == (0, 1, 2, 2)


@pytest.mark.parametrize("case", cases("Conv2d", "MaxPool2d", "AvgPool2d"), ids=name_of)
def test_a_layer_computes_and_differentiates_as_PyTorch_did(case):
    assert_as_recorded(case)


@pytest.mark.parametrize("seed", range(5))
def test_a_convolution_drawn_at_random_agrees_with_PyTorch_itself(seed):
    torch = pytest.importorskip("torch", reason="compares with PyTorch itself: pip install torch")
    rng = np.random.default_rng(seed)
    n_in, n_out, *kernel = rng.integers(1, 4, 4).tolist()
    stride, padding, dilation = (tuple(rng.integers(low, 3, 2).tolist()) for low in (1, 0, 1))
    layer, x = Conv2d(n_in, n_out, tuple(kernel), stride, padding, dilation, rng=seed), rng.normal(size=(2, n_in, 8, 7))
    theirs = torch.nn.Conv2d(n_in, n_out, kernel, stride, padding, dilation).double()
    theirs.load_state_dict({name: torch.tensor(array) for name, array in layer.state_dict().items()})
    node, tensor = Tensor(x), torch.tensor(x, requires_grad=True)
    y, expected = layer(node), theirs(tensor)
    (y * y).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(node.grad, tensor.grad.numpy(), rtol=1e-10, atol=1e-10)
    for name, p in theirs.named_parameters():
        np.testing.assert_allclose(dict(layer.named_parameters())[name].grad, p.grad.numpy(), rtol=1e-10, atol=1e-10)
