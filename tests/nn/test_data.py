"""The irises and digits, splitting and standardising, datasets and the batches that a loader deals out."""

import builtins
import hashlib
import json
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiff import Tensor
from nn.data import (
    DataLoader,
    Subset,
    TensorDataset,
    collate,
    load_digits,
    load_iris,
    random_split,
    standardize,
    train_test_split,
)


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


def test_a_part_may_be_held_out_instead_of_a_number():
    for part, size in ((0.25, 5), (np.float64(0.5), 10), (5, 5), (np.int64(7), 7)):
        assert len(train_test_split(np.zeros(20), np.arange(20) % 2, test_size=part, rng=0)[3]) == size


def test_without_stratifying_the_proportions_are_left_to_chance():
    labels = np.repeat([0, 1], 50)
    counts = {train_test_split(labels, labels, test_size=20, rng=s, stratify=False)[3].sum() for s in range(20)}
    assert len(counts) > 1
    assert {train_test_split(labels, labels, test_size=20, rng=s)[3].sum() for s in range(20)} == {10}


@pytest.mark.parametrize("targets", [np.linspace(0.0, 1.0, 10), np.arange(20.0).reshape(10, 2)])
def test_targets_of_a_regression_are_not_stratified(targets):
    x = np.arange(10)
    held = [tuple(sorted(train_test_split(x, targets, test_size=3, rng=seed)[1])) for seed in range(10)]
    assert len(set(held)) > 5
    train_x, test_x, train_y, test_y = train_test_split(x, targets, test_size=3, rng=0)
    np.testing.assert_array_equal(targets[np.concatenate([train_x, test_x])], np.concatenate([train_y, test_y]))
    with pytest.raises(ValueError, match=r"to stratify takes one label an example, got labels of shape \(10, 2\)"):
        train_test_split(x, np.zeros((10, 2)), test_size=3, stratify=True)


def test_chance_decides_among_classes_with_equal_claims():
    labels = np.arange(10)
    held = {tuple(sorted(train_test_split(labels, labels, test_size=2, rng=seed)[1])) for seed in range(10)}
    assert len(held) > 5


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


def test_standardising_keeps_float32():
    assert {x.dtype for x in standardize(np.ones((3, 2), np.float32), np.zeros((1, 2), np.float32))} == {np.dtype("f4")}


# ---- digits ---------------------------------------------------------------------------------------------------


def test_the_digits_are_those_of_scikit_learn():
    pytest.importorskip("sklearn", reason="the digits come from scikit-learn")
    pixels, labels = load_digits()
    assert (pixels.shape, pixels.dtype, labels.shape, labels.dtype) == ((1797, 64), np.float64, (1797,), np.int64)
    assert (pixels.min(), pixels.max()) == (0.0, 16.0)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_without_scikit_learn_the_way_to_it_is_said(monkeypatch):
    load = builtins.__import__

    def refuse(name, *args, **options):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return load(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"load_digits needs scikit-learn: pip install 'autodiff-nn\[sklearn\]'"):
        load_digits()


# ---- datasets -------------------------------------------------------------------------------------------------


def test_an_example_is_a_row_of_every_array():
    dataset = TensorDataset(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), [7, 8, 9], Tensor([0.5, 1.5, 2.5]))
    assert len(dataset) == 3
    x, y, z = dataset[1]
    assert (x.tolist(), y, z) == ([3.0, 4.0], 8, 1.5)
    for rows in (slice(1, None), np.array([1, 2]), [1, 2]):
        assert [part.tolist() for part in dataset[rows]] == [[[3.0, 4.0], [5.0, 6.0]], [8, 9], [1.5, 2.5]]
    assert dataset[-1][1] == 9
    with pytest.raises(IndexError):
        dataset[3]


def test_arrays_of_different_lengths_are_no_dataset():
    with pytest.raises(ValueError, match="TensorDataset takes arrays of one length, got 3, 2, 3"):
        TensorDataset(np.zeros(3), np.zeros(2), np.zeros(3))
    for arrays in ((), (1.0,)):
        with pytest.raises(ValueError, match="takes arrays with one row an example"):
            TensorDataset(*arrays)


def test_a_subset_has_its_own_order_and_may_have_subsets():
    subset = Subset(TensorDataset(np.arange(10.0) * 2.0), [7, 3, 3])
    assert [subset[i][0] for i in range(len(subset))] == [14.0, 6.0, 6.0]
    assert Subset(subset, [1, 0])[1][0] == 14.0
    for wrong in ([10], [-1, 2]):
        with pytest.raises(IndexError, match=r"Subset takes numbers in 0 \.\. 9, got"):
            Subset(TensorDataset(np.arange(10.0)), wrong)


@given(st.integers(0, 40), st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4), st.integers(0, 2**32))
def test_a_random_split_deals_out_every_example_once(n, weights, seed):
    parts = random_split(TensorDataset(np.arange(n)), [w / sum(weights) for w in weights], rng=seed)
    assert sorted(row for part in parts for row in part.indices) == list(range(n))
    for part, weight in zip(parts, weights, strict=True):
        assert abs(len(part) - n * weight / sum(weights)) <= len(weights)


def test_a_tuple_of_arrays_is_a_dataset_of_their_rows():
    x, y = np.arange(20.0).reshape(10, 2), Tensor(np.arange(10.0))
    part, rest = random_split((x, y), [0.8, 0.2], rng=0)
    assert (len(part), len(rest)) == (8, 2)
    for row, label in part:
        assert row.tolist() == [2.0 * label, 2.0 * label + 1.0]
    assert [len(batch) for batch, _ in DataLoader((x, y), batch_size=4)] == [4, 4, 2]
    with pytest.raises(ValueError, match="TensorDataset takes arrays of one length, got 10, 9"):
        random_split((x, y[1:]), [0.5, 0.5])


def test_a_random_split_takes_numbers_or_fractions():
    dataset = TensorDataset(np.arange(10))
    assert [len(part) for part in random_split(dataset, [5, 3, 2], rng=0)] == [5, 3, 2]
    assert [len(part) for part in random_split(dataset, [1 / 3, 1 / 3, 1 / 3], rng=0)] == [4, 3, 3]
    first, again, other = (random_split(dataset, [9, 1], rng=seed)[0].indices.tolist() for seed in (1, 1, 2))
    assert first == again != other
    with pytest.raises(ValueError, match=r"lengths that add up to 10, got \[5, 3\], together 8"):
        random_split(dataset, [5, 3])
    with pytest.raises(ValueError, match=r"fractions that add up to 1, got \[0.5, 0.4\]"):
        random_split(dataset, [0.5, 0.4])
    with pytest.raises(ValueError, match="add up to 10"):
        random_split(dataset, [11, -1])


# ---- batches --------------------------------------------------------------------------------------------------


class Squares:
    """A dataset of somebody else: a length and examples by number."""

    def __len__(self):
        return 5

    def __getitem__(self, i):
        assert type(i) is int
        return {"x": float(i), "square": np.array([i * i])}


def dealt(loader):
    """Return the batches of one epoch as lists."""
    return [x.tolist() for x, *_ in loader]


def test_batches_come_in_order_and_the_last_may_be_smaller():
    x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    loader = DataLoader(TensorDataset(x, y), batch_size=2)
    assert len(loader) == 3
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([a for a, _ in loader]), x)
        assert [b.tolist() for _, b in loader] == [[0, 1], [2, 3], [4]]
    whole = DataLoader(TensorDataset(x, y), batch_size=2, drop_last=True)
    assert (len(whole), [b.tolist() for _, b in whole]) == (2, [[0, 1], [2, 3]])
    assert [len(a) for a, _ in DataLoader(TensorDataset(x, y))] == [1] * 5
    assert list(DataLoader(TensorDataset(np.zeros(0)), batch_size=3)) == []


@given(st.integers(1, 30), st.integers(1, 12), st.booleans(), st.integers(0, 2**32))
def test_shuffled_every_example_comes_once_an_epoch_with_its_label(n, size, drop_last, seed):
    x = np.arange(n)
    loader = DataLoader(TensorDataset(x, x * 10), size, shuffle=True, drop_last=drop_last, rng=seed)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert all(len(a) == size for a, _ in batches[: len(batches) if drop_last else -1])
    seen = [row for a, _ in batches for row in a.tolist()]
    assert len(set(seen)) == len(seen) == (n - n % size if drop_last else n)
    for a, b in batches:
        np.testing.assert_array_equal(b, a * 10)


@pytest.mark.promise(19)
def test_the_seed_decides_the_order_of_every_epoch():
    data = TensorDataset(np.arange(50))
    first, again, other = (DataLoader(data, 7, shuffle=True, rng=seed) for seed in (1, 1, 2))
    epochs = [dealt(first) for _ in range(3)]
    assert [dealt(again) for _ in range(3)] == epochs
    assert dealt(other) != epochs[0]
    assert epochs[0] != epochs[1] != epochs[2]
    assert dealt(DataLoader(data, 7, shuffle=True, rng=np.random.default_rng(1))) == epochs[0]
    assert dealt(DataLoader(data, 7, shuffle=True)) != dealt(DataLoader(data, 7, shuffle=True))


@pytest.mark.promise(19)
def test_shuffling_is_by_an_own_generator_never_the_global_state():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002  # the global state is what is tested
    rng = np.random.default_rng(3)
    loader = DataLoader(TensorDataset(np.arange(20)), 5, shuffle=True, rng=rng)
    first = dealt(loader)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002  # likewise
    other = DataLoader(TensorDataset(np.arange(20)), 5, shuffle=True, rng=3)
    np.random.seed(7)  # noqa: NPY002  # likewise
    assert dealt(other) == first
    rng.normal(size=1000)  # somebody else draws from the same generator
    assert dealt(loader) == dealt(other)


@pytest.mark.promise(14)
def test_batches_are_copies():
    x = np.arange(6.0)
    for shuffle in (False, True):
        for (batch,) in DataLoader(TensorDataset(x), 3, shuffle, rng=0):
            batch[:] = -1.0
    np.testing.assert_array_equal(x, np.arange(6.0))


def test_subsets_and_foreign_datasets_are_dealt_out_too():
    train, _ = random_split(TensorDataset(np.arange(10), np.arange(10) * 10), [6, 4], rng=0)
    batches = list(DataLoader(Subset(train, [5, 0, 2]), 2))
    assert [a.tolist() for a, _ in batches] == [train.indices[[5, 0]].tolist(), train.indices[[2]].tolist()]
    first, *_, last = DataLoader(Squares(), 2)
    assert (first["x"].tolist(), first["square"].tolist()) == ([0.0, 1.0], [[0], [1]])
    assert (last["x"].tolist(), last["square"].tolist()) == ([4.0], [[16]])


def test_a_function_of_ones_own_may_make_the_batches():
    longest = lambda samples: max(len(text) for text in samples)
    assert list(DataLoader(["a", "bcd", "ef"], 2, collate_fn=longest)) == [3, 2]
    pairs = DataLoader(
        TensorDataset([1, 2, 3], [4, 5, 6]), 2, collate_fn=lambda samples: [int(a) * int(b) for a, b in samples]
    )
    assert list(pairs) == [[4, 10], [18]]


def test_collating_goes_into_tuples_and_dicts():
    batch = collate([(np.zeros((2, 1)), {"k": 1}, [True, 2.0]), (np.ones((2, 1)), {"k": 2}, [False, 3.0])])
    assert batch[0].tolist() == [[[0.0], [0.0]], [[1.0], [1.0]]]
    assert batch[1]["k"].tolist() == [1, 2]
    assert [part.tolist() for part in batch[2]] == [[True, False], [2.0, 3.0]]
    assert collate([np.float32(1.0)] * 2).dtype == np.float32
    with pytest.raises(ValueError, match=r"a batch takes examples of one shape, got \(2,\), \(3,\)"):
        collate([np.zeros(3), np.zeros(2)])
    with pytest.raises(ValueError, match="a batch takes examples with the same keys"):
        collate([{"a": 1}, {"b": 1}])
    with pytest.raises(ValueError, match="zip"):
        collate([(1, 2), (1,)])


def test_wrong_loaders_are_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        DataLoader(TensorDataset(np.zeros(3)), 0)
    with pytest.raises(TypeError, match="takes a dataset with a length and examples by number, got 3"):
        DataLoader(3)


# ---- promise 22: the position in the data ------------------------------------------------------------------------


@pytest.mark.promise(22)
@given(st.integers(1, 20), st.integers(1, 7), st.booleans(), st.booleans(), st.integers(0, 25))
def test_a_loader_resumed_anywhere_gives_the_same_batches(n, size, shuffle, drop_last, stop):
    def loader(seed):
        return DataLoader(TensorDataset(np.arange(n)), size, shuffle, drop_last=drop_last, rng=seed)

    def endless(source):
        for _ in range(40):
            yield from (x.tolist() for (x,) in source)

    one, whole = loader(1), [batch for _, batch in zip(range(40), endless(loader(1)), strict=False)]
    head = [batch for _, batch in zip(range(min(stop, len(whole))), endless(one), strict=False)]
    state = json.loads(json.dumps(one.state_dict()))
    other = loader(2)
    other.load_state_dict(state)
    tail = [batch for _, batch in zip(range(len(whole) - len(head)), endless(other), strict=False)]
    assert head + tail == whole


@pytest.mark.promise(22)
def test_after_the_rest_of_an_epoch_the_next_is_whole():
    loader = DataLoader(TensorDataset(np.arange(10)), 2, shuffle=True, rng=0)
    epochs = [dealt(loader) for _ in range(3)]
    again = DataLoader(TensorDataset(np.arange(10)), 2, shuffle=True, rng=0)
    dealt(again)
    for _ in zip(range(3), again, strict=False):
        state = again.state_dict()
    with pytest.raises(ValueError, match="shuffle is False here but True in the state"):  # it would deal some twice
        DataLoader(TensorDataset(np.arange(10)), 2).load_state_dict(state)
    resumed = DataLoader(TensorDataset(np.arange(10)), 2, shuffle=True)
    resumed.load_state_dict(state)
    assert resumed.epoch == 1
    assert [dealt(resumed), dealt(resumed)] == [epochs[1][3:], epochs[2]]


def test_a_loop_that_is_left_and_begun_again_is_a_new_epoch():
    one, other = (DataLoader(TensorDataset(np.arange(10)), 2, shuffle=True, rng=0) for _ in range(2))
    next(iter(one))
    dealt(other)
    assert dealt(one) == dealt(other)
    assert one.epoch == 2


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing():
    loader = DataLoader(TensorDataset(np.arange(10)), 2, rng=0)
    good = loader.state_dict()
    for wrong, message in (
        (
            {**good, "batch_size": 3, "examples": 9},
            "batch_size is 2 here but 3 in the state; examples is 10 here but 9",
        ),
        ({key: x for key, x in good.items() if key != "batch_size"}, "batch_size is missing"),
        ({**good, "shuffle": True}, "shuffle is False here but True in the state"),
        ({**good, "drop_last": True}, "drop_last is False here but True in the state"),
        ({**good, "worker": 1}, "worker is unknown"),
        ({**good, "epoch": -1, "seed": "x"}, "seed must be an integer of at least 0, got 'x'; epoch must be .* got -1"),
        ({**good, "batch": 6}, "batch is 6 but an epoch has 5"),
    ):
        with pytest.raises(ValueError, match=f"DataLoader cannot load this state: {message}"):
            loader.load_state_dict(wrong)
        assert loader.state_dict() == good
    assert len(dealt(loader)) == 5
