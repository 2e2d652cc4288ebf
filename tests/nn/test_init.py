"""Initialisation: distributions, fans, seeds."""

import math

import numpy as np
import pytest

from autodiff import Tensor, Value
from nn import Linear, init

SHAPE = (400, 300)  # fan-in 300, fan-out 400

# What each should be: (arguments, standard deviation, bound or None)
CASES = {
    "uniform_": ((-2.0, 2.0), 2.0 / math.sqrt(3.0), 2.0),
    "normal_": ((0.0, 0.7), 0.7, None),
    "fan_in_uniform_": ((), 1.0 / math.sqrt(900.0), 1.0 / math.sqrt(300.0)),
    "xavier_uniform_": ((), math.sqrt(2.0 / 700.0), math.sqrt(6.0 / 700.0)),
    "xavier_normal_": ((5.0 / 3.0,), 5.0 / 3.0 * math.sqrt(2.0 / 700.0), None),
    "kaiming_uniform_": ((), math.sqrt(2.0 / 300.0), math.sqrt(6.0 / 300.0)),
    "kaiming_normal_": ((0.5, "fan_out"), math.sqrt(2.0 / 1.25 / 400.0), None),
    "orthogonal_": ((), 1.0 / math.sqrt(400.0), None),
}


def filled(name, shape=SHAPE, rng=0, **options):
    return getattr(init, name)(Tensor(np.zeros(shape)), *CASES[name][0], rng=rng, **options)


@pytest.mark.parametrize("name", CASES)
def test_mean_deviation_and_bound_are_as_stated(name):
    numbers, (_, std, bound) = filled(name).data, CASES[name]
    n = numbers.size
    # Five standard deviations of the mean, and of the deviation of normal numbers (that of uniform ones is smaller)
    assert abs(numbers.mean()) < 5.0 * std / math.sqrt(n)
    assert abs(numbers.std() - std) < 5.0 * std / math.sqrt(2.0 * n)
    if bound is not None:
        assert 0.999 * bound < np.abs(numbers).max() <= bound


@pytest.mark.parametrize("name", CASES)
def test_the_seed_or_the_generator_decides(name):
    first = filled(name, (3, 4), 1).data
    np.testing.assert_array_equal(filled(name, (3, 4), 1).data, first)
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(filled(name, (3, 4), rng).data, first)
    assert np.any(filled(name, (3, 4), rng).data != first)
    assert np.any(filled(name, (3, 4), None).data != filled(name, (3, 4), None).data)


@pytest.mark.parametrize("name", CASES)
def test_numpys_global_state_is_neither_used_nor_moved(name):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002  # it is what must not change
    filled(name)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002  # likewise


@pytest.mark.parametrize("name", CASES)
def test_a_parameter_keeps_its_dtype_and_identity(name):
    p = Tensor(np.zeros((3, 4)), dtype=np.float32)
    assert getattr(init, name)(p, *CASES[name][0], rng=0) is p
    assert p.dtype == np.float32
    assert np.all(p.data != 0.0)


def test_constants_fill_with_one_number():
    p = Tensor(np.full((2, 3), 7.0))
    assert init.zeros_(p) is p
    np.testing.assert_array_equal(p.data, np.zeros((2, 3)))
    np.testing.assert_array_equal(init.ones_(p).data, np.ones((2, 3)))
    np.testing.assert_array_equal(init.constant_(p, 0.3).data, np.full((2, 3), 0.3))


def test_the_fans_of_a_convolution_count_its_window():
    p = Tensor(np.zeros((8, 4, 3, 5)))
    bound = math.sqrt(3.0) * math.sqrt(2.0) / math.sqrt(4 * 15)
    assert 0.98 * bound < np.abs(init.kaiming_uniform_(p, rng=0).data).max() <= bound
    bound = math.sqrt(6.0 / (12 * 15))
    assert 0.98 * bound < np.abs(init.xavier_uniform_(p, rng=0).data).max() <= bound


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (2, 3, 4)])
def test_orthogonal_rows_or_columns_are_orthonormal_times_the_gain(shape):
    q = init.orthogonal_(Tensor(np.zeros(shape)), 2.0, rng=0).data.reshape(shape[0], -1)
    product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, 4.0 * np.eye(len(product)), atol=1e-14)


def test_all_orthogonal_matrices_are_equally_likely():
    """Without the choice of signs a QR decomposition prefers some: the mean of an entry would not be 0."""
    entries = [init.orthogonal_(Tensor(np.zeros((2, 2))), rng=seed).data[0, 0] for seed in range(2000)]
    assert abs(np.mean(entries)) < 5.0 * math.sqrt(0.5 / 2000)  # the variance of an entry is 1/2


def test_glorot_and_he_are_other_names_of_the_same_functions():
    assert (init.glorot_uniform_, init.glorot_normal_) == (init.xavier_uniform_, init.xavier_normal_)
    assert (init.he_uniform_, init.he_normal_) == (init.kaiming_uniform_, init.kaiming_normal_)


def test_the_default_of_linear_is_fan_in_uniform():
    rng = np.random.default_rng(4)
    layer, weight = Linear(5, 3, rng=4), init.fan_in_uniform_(Tensor(np.zeros((3, 5))), rng=rng)
    np.testing.assert_array_equal(layer.weight.data, weight.data)
    np.testing.assert_array_equal(layer.bias.data, init.fan_in_uniform_(Tensor(np.zeros(3)), fan_in=5, rng=rng).data)


def test_gains_are_those_of_PyTorch():
    expected = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
    assert {name: init.calculate_gain(name) for name in expected} == expected
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2.0 / 1.04)
    with pytest.raises(ValueError, match=r"^no gain is known for 'swish'; choose from linear, .*leaky_relu$"):
        init.calculate_gain("swish")


@pytest.mark.parametrize("wrong", [np.zeros((2, 2)), Value(1.0), [1.0], None])
def test_only_a_tensor_is_filled(wrong):
    for function in (init.zeros_, init.uniform_, init.xavier_normal_, init.orthogonal_):
        with pytest.raises(TypeError, match=r"^init fills a Tensor, such as layer\.weight, got"):
            function(wrong)


def test_a_vector_has_no_fans_and_a_mode_must_be_known():
    for function in (init.xavier_uniform_, init.kaiming_normal_, init.orthogonal_, init.fan_in_uniform_):
        with pytest.raises(ValueError, match=r"^a parameter of shape \(3,\) has no fan-in and fan-out"):
            function(Tensor(np.zeros(3)))
    with pytest.raises(ValueError, match=r'^mode must be "fan_in" or "fan_out", got \'sideways\'$'):
        init.kaiming_uniform_(Tensor(np.zeros((2, 2))), mode="sideways")


def test_empty_parameters_are_filled_with_nothing():
    for name in ("xavier_uniform_", "kaiming_normal_", "fan_in_uniform_", "orthogonal_"):
        assert filled(name, (0, 3)).shape == (0, 3)
        assert filled(name, (3, 0)).shape == (3, 0)
