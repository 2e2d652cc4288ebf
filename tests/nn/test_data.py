"""The irises, splitting and standardising."""

import hashlib
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn.data import load_iris, standardize, train_test_split


def test_the_irises_are_150_of_three_species():
    measurements, labels, names = load_iris()
    assert (measurements.shape, measurements.dtype) == ((150, 4), np.float64)
    assert names == ("setosa", "versicolor", "virginica")
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, np.repeat([0, 1, 2], 50))


def test_the_irises_are_those_of_the_paper():
    measurements, _, _ = load_iris()
    # The two flowers that the UCI repository has wrong: the 35th and the 38th
    np.testing.assert_array_equal(measurements[34], [4.9, 3.1, 1.5, 0.2])
    np.testing.assert_array_equal(measurements[37], [4.9, 3.6, 1.4, 0.1])
    # The published means of the species, and minimum and maximum of each measurement
    means = [[5.006, 3.428, 1.462, 0.246], [5.936, 2.770, 4.260, 1.326], [6.588, 2.974, 5.552, 2.026]]
    np.testing.assert_allclose(measurements.reshape(3, 50, 4).mean(axis=1), means, rtol=1e-12)
    np.testing.assert_array_equal(measurements.min(axis=0), [4.3, 2.0, 1.0, 0.1])
    np.testing.assert_array_equal(measurements.max(axis=0), [7.9, 4.4, 6.9, 2.5])


def test_the_file_is_plain_and_unchanged():
    text = (files("nn") / "iris.csv").read_text(encoding="ascii")
    assert text.splitlines()[0] == "sepal_length,sepal_width,petal_length,petal_width,species"
    digest = hashlib.sha256("\n".join(text.split()).encode()).hexdigest()
    assert digest == "4caebe29d75a210f6b8b5fb3bd45fb0a7ad6f7a3d4aaf4cc4c7550748093bc7f"


def test_every_call_gives_new_arrays():
    load_iris()[0][:] = 0.0
    assert load_iris()[0].all()


def test_a_split_keeps_every_example_once_and_every_class_in_its_share():
    measurements, labels, _ = load_iris()
    rows = np.column_stack([np.arange(150.0), measurements])
    train_x, test_x, train_y, test_y = train_test_split(rows, labels, test_size=30, rng=0)
    assert (train_x.shape, test_x.shape) == ((120, 5), (30, 5))
    assert sorted([*train_x[:, 0], *test_x[:, 0]]) == list(range(150))
    assert np.bincount(test_y).tolist() == [10, 10, 10]
    for x, y in ((train_x, train_y), (test_x, test_y)):
        np.testing.assert_array_equal(labels[x[:, 0].astype(int)], y)
        assert np.any(np.diff(y) < 0)  # in random order, not class by class


def test_a_split_is_decided_by_its_seed():
    x, y = np.arange(20.0), np.repeat([0, 1], 10)
    first, again, other = (train_test_split(x, y, test_size=6, rng=seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.data())
def test_no_class_is_off_its_share_by_a_whole_example(labels, data):
    labels = np.array(labels)
    size = data.draw(st.integers(1, len(labels) - 1))
    _, _, train_y, test_y = train_test_split(np.arange(len(labels)), labels, test_size=size, rng=0)
    assert (len(train_y), len(test_y)) == (len(labels) - size, size)
    shares = np.bincount(labels, minlength=4) * size / len(labels)
    assert np.all(np.abs(np.bincount(test_y, minlength=4) - shares) < 1.0)


def test_wrong_splits_say_what_is_possible():
    with pytest.raises(ValueError, match="from 1 to 3 for 4 examples, got 4"):
        train_test_split(np.zeros(4), np.zeros(4, int), test_size=4)
    with pytest.raises(ValueError, match="3 examples but 4 labels"):
        train_test_split(np.zeros(3), np.zeros(4, int), test_size=1)


def test_standardising_takes_mean_and_deviation_from_the_training_data_alone():
    train, test = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 6.0]])
    before = train.copy(), test.copy()
    new_train, new_test = standardize(train, test)
    np.testing.assert_array_equal(new_train, [[-1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(new_test, [[3.0, 1.0]])
    np.testing.assert_array_equal(train, before[0])
    np.testing.assert_array_equal(test, before[1])


def test_standardised_irises_have_mean_0_and_deviation_1():
    (x,) = standardize(load_iris()[0])
    np.testing.assert_allclose(x.mean(axis=0), 0.0, atol=1e-14)
    np.testing.assert_allclose(x.std(axis=0), 1.0, rtol=1e-14)
