"""Data to learn from, and what is done to it before: splitting and standardising."""

import csv
from importlib.resources import files

import numpy as np

__all__ = ["load_iris", "standardize", "train_test_split"]

Rng = np.random.Generator | int | None


def load_iris() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Fisher's 150 flowers: four measurements in centimetres, and which of three species of iris each one is.

    The numbers are those of the paper (R. A. Fisher, The use of multiple measurements in taxonomic problems,
    Annals of Eugenics 7, 1936). The copy of the UCI repository has errors in its 35th and 38th flower; this has not.

    Returns:
        measurements: (150, 4) float64: sepal length, sepal width, petal length, petal width.
        labels: (150,) int64, the number of the species.
        names: of the species.

    >>> measurements, labels, names = load_iris()
    >>> measurements.shape, names
    ((150, 4), ('setosa', 'versicolor', 'virginica'))
    """
    text = (files("nn") / "iris.csv").read_text(encoding="ascii")
    _, *rows = csv.reader(text.splitlines())
    names = tuple(dict.fromkeys(row[-1] for row in rows))
    measurements = np.array([[float(x) for x in row[:-1]] for row in rows])
    labels = np.array([names.index(row[-1]) for row in rows], dtype=np.int64)
    return measurements, labels, names


def train_test_split(
    measurements: np.ndarray, labels: np.ndarray, *, test_size: int, rng: Rng = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Hold out a part of the data, at random but with every class in its proportion.

    Args:
        measurements: (n, ...), one row an example.
        labels: (n,) ints, the class of each.
        test_size: how many examples to hold out.
        rng: a numpy Generator or a seed.

    Returns training measurements, test measurements, training labels, test labels, each in random order.
    Raises ValueError if the lengths differ or test_size is not between 1 and n - 1.

    >>> x, y = np.arange(10.0), np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    >>> _, _, train_y, test_y = train_test_split(x, y, test_size=5, rng=0)
    >>> sorted(train_y.tolist()), sorted(test_y.tolist())
    ([0, 0, 0, 0, 1], [0, 0, 0, 0, 1])
    """
    n = len(labels)
    if len(measurements) != n:
        raise ValueError(f"there are {len(measurements)} examples but {n} labels")
    if not 1 <= test_size < n:
        raise ValueError(f"test_size must be from 1 to {n - 1} for {n} examples, got {test_size}")
    rng = np.random.default_rng(rng)
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * test_size / n
    held = np.floor(shares).astype(int)
    held[np.argsort(held - shares, kind="stable")[: test_size - held.sum()]] += 1  # largest remainders first
    members = [rng.permutation(np.flatnonzero(labels == c)) for c in classes]
    test = rng.permutation(np.concatenate([rows[:k] for rows, k in zip(members, held, strict=True)]))
    train = rng.permutation(np.concatenate([rows[k:] for rows, k in zip(members, held, strict=True)]))
    return measurements[train], measurements[test], labels[train], labels[test]


def standardize(train: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Shift and scale every column so that in the training data its mean is 0 and its standard deviation 1.

    Args:
        train: (n, columns), the examples that mean and deviation are taken from.
        others: (m, columns), shifted and scaled like train, so that nothing is learned from them.

    Returns all of them in order, as new arrays. A constant column becomes 0.

    >>> train, test = standardize(np.array([[1.0], [3.0]]), np.array([[4.0]]))
    >>> train.ravel(), test.ravel()
    (array([-1.,  1.]), array([2.]))
    """
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    scale = np.where(deviation == 0.0, 1.0, deviation)
    return tuple((x - mean) / scale for x in (train, *others))
