"""Data to learn from, and what is done to it before: splitting, standardising, and dealing it out in batches."""

import csv
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from autodiff import Node

__all__ = [
    "DataLoader",
    "Subset",
    "TensorDataset",
    "collate",
    "load_digits",
    "load_iris",
    "random_split",
    "standardize",
    "train_test_split",
]

Rng = np.random.Generator | int | None

# ---- data sets that are at hand ---------------------------------------------------------------------------------


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


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 handwritten digits of 8 x 8 pixels, from scikit-learn, which has them on board.

    Returns:
        pixels: (1797, 64) float64, 0 (paper) to 16 (ink).
        labels: (1797,) int64, the digit.

    Raises ImportError, with the command that installs it, if scikit-learn is missing.

    >>> from importlib.util import find_spec
    >>> if find_spec("sklearn"):
    ...     pixels, labels = load_digits()
    ...     assert pixels.shape == (1797, 64)
    """
    try:
        from sklearn.datasets import load_digits as load
    except ImportError as error:
        raise ImportError("load_digits needs scikit-learn: pip install 'autodiff-nn[sklearn]'") from error
    digits = load()
    return np.asarray(digits.data, np.float64), np.asarray(digits.target, np.int64)


# ---- before the training ----------------------------------------------------------------------------------------


def train_test_split(
    measurements: np.ndarray, labels: np.ndarray, *, test_size: float, rng: Rng = None, stratify: bool | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Hold out a part of the data, at random but with every class in its proportion.

    Args:
        measurements: (n, ...), one row an example.
        labels: (n,), the class of each; or (n, ...), what is to be predicted of each.
        test_size: how many examples to hold out, an int, or which part of them, a float between 0 and 1.
        rng: a numpy Generator or a seed.
        stratify: whether every class gets its proportion; by default if the labels are (n,) and not floats.

    Returns training measurements, test measurements, training labels, test labels, each in random order.
    Raises ValueError if the lengths differ or test_size does not leave an example on either side.

    >>> x, y = np.arange(10.0), np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    >>> _, _, train_y, test_y = train_test_split(x, y, test_size=0.5, rng=0)
    >>> sorted(train_y.tolist()), sorted(test_y.tolist())
    ([0, 0, 0, 0, 1], [0, 0, 0, 0, 1])
    """
    measurements, labels = np.asarray(measurements), np.asarray(labels)
    n = len(labels)
    if len(measurements) != n:
        raise ValueError(f"there are {len(measurements)} examples but {n} labels")
    size = int(test_size) if isinstance(test_size, (int, np.integer)) else round(test_size * n)
    if not 1 <= size < n:
        raise ValueError(f"test_size must be from 1 to {n - 1} for {n} examples, got {test_size}")
    rng = np.random.default_rng(rng)
    if stratify is None:
        stratify = labels.ndim == 1 and labels.dtype.kind != "f"
    test, train = _stratified(labels, size, rng) if stratify else np.split(rng.permutation(n), [size])
    return measurements[train], measurements[test], labels[train], labels[test]


def _stratified(labels: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are held out and the others: no class is off its share by a whole example."""
    if labels.ndim != 1:
        raise ValueError(f"to stratify takes one label an example, got labels of shape {labels.shape}")
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * size / len(labels)
    held = np.floor(shares).astype(int)
    if left := size - held.sum():
        order = rng.permutation(len(classes))  # among equal remainders chance decides
        held[order[np.argsort((held - shares)[order], kind="stable")[:left]]] += 1  # the largest remainders
    members = [rng.permutation(np.flatnonzero(labels == c)) for c in classes]
    test = rng.permutation(np.concatenate([rows[:k] for rows, k in zip(members, held, strict=True)]))
    train = rng.permutation(np.concatenate([rows[k:] for rows, k in zip(members, held, strict=True)]))
    return test, train


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


# ---- data sets and batches --------------------------------------------------------------------------------------


class TensorDataset:
    """Arrays of one length; an example is a row of each.

    Args:
        arrays: arrays, lists or Tensors (of which the numbers are taken), with one row an example.

    ``dataset[i]`` is a tuple with one row of each array; i may also be a slice or an array of row numbers, and then all
    those rows come at once. As in NumPy, rows and slices look into the arrays; they are no copies.
    Raises ValueError if the lengths differ or there are no arrays, IndexError for a row that does not exist.

    >>> dataset = TensorDataset(np.array([[1.0, 2.0], [3.0, 4.0]]), [0, 1])
    >>> len(dataset), dataset[1]
    (2, (array([3., 4.]), np.int64(1)))
    """

    def __init__(self, *arrays: Any) -> None:
        self.arrays: tuple[Any, ...] = tuple(x.data if isinstance(x, Node) else np.asarray(x) for x in arrays)
        if not arrays or any(x.ndim == 0 for x in self.arrays):
            raise ValueError("TensorDataset takes arrays with one row an example")
        if len({len(x) for x in self.arrays}) > 1:
            lengths = ", ".join(str(len(x)) for x in self.arrays)
            raise ValueError(f"TensorDataset takes arrays of one length, got {lengths}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, rows: Any) -> tuple[Any, ...]:
        return tuple(x[rows] for x in self.arrays)


def _dataset(data: Any) -> Any:
    """A tuple of arrays as a dataset of their rows; anything else as it is."""
    is_arrays = isinstance(data, tuple) and data and all(isinstance(x, (np.ndarray, Node)) for x in data)
    return TensorDataset(*data) if is_arrays else data


class Subset:
    """Some of the examples of a dataset, in a given order.

    Args:
        dataset: anything with a length and examples by number.
        indices: the numbers of the examples.

    Raises IndexError for a number that is not in the dataset.

    >>> subset = Subset(TensorDataset(np.arange(10.0)), [7, 3])
    >>> len(subset), subset[0]
    (2, (np.float64(7.0),))
    """

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = np.array(indices, dtype=np.int64)
        n = len(dataset)
        if self.indices.size and not (self.indices.min() >= 0 and self.indices.max() < n):
            raise IndexError(f"Subset takes numbers in 0 .. {n - 1}, got {self.indices.min()} .. {self.indices.max()}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, row: Any) -> Any:
        return self.dataset[self.indices[row]]


def random_split(dataset: Any, lengths: Sequence[float], *, rng: Rng = None) -> list[Subset]:
    """Deal out the examples of a dataset at random.

    Args:
        dataset: anything with a length and examples by number, or a tuple of arrays, as for TensorDataset.
        lengths: of the parts: ints that add up to the length of the dataset, or floats that add up to 1. What
            rounding leaves over goes to the first parts, one example each.
        rng: a numpy Generator or a seed.

    Returns one Subset a length. Raises ValueError if the lengths do not add up.

    >>> train, validation = random_split(TensorDataset(np.arange(10.0)), [0.7, 0.3], rng=0)
    >>> len(train), len(validation)
    (7, 3)
    """
    dataset = _dataset(dataset)
    n = len(dataset)
    sizes: list[Any] = list(lengths)
    if any(isinstance(size, (float, np.floating)) for size in sizes):
        if abs(sum(sizes) - 1.0) > 1e-9 or min(sizes) < 0.0:  # 1e-9: parts such as 1/3 are rounded
            raise ValueError(f"random_split takes fractions that add up to 1, got {sizes}")
        sizes = [int(n * size + 1e-9) for size in sizes]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
    if sum(sizes) != n or min(sizes, default=0) < 0:
        raise ValueError(f"random_split takes lengths that add up to {n}, got {sizes}, together {sum(sizes)}")
    parts = np.split(np.random.default_rng(rng).permutation(n), np.cumsum(sizes)[:-1])
    return [Subset(dataset, part) for part in parts]


def collate(samples: Sequence[Any]) -> Any:
    """Examples made into a batch: numbers and arrays are stacked; tuples, lists and dicts go part by part.

    Raises ValueError if the examples differ in shape or in their parts.

    >>> collate([(np.zeros(2), 0), (np.ones(2), 1)])
    (array([[0., 0.],
           [1., 1.]]), array([0, 1]))
    """
    first = samples[0]
    if isinstance(first, dict):
        if any(sample.keys() != first.keys() for sample in samples):
            raise ValueError("a batch takes examples with the same keys")
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        return tuple(collate(parts) for parts in zip(*samples, strict=True))
    arrays = [np.asarray(sample) for sample in samples]
    if len(shapes := {x.shape for x in arrays}) > 1:
        raise ValueError(f"a batch takes examples of one shape, got {', '.join(map(str, sorted(shapes)))}")
    return np.stack(arrays)


class DataLoader:
    """Deals out a dataset in batches, epoch after epoch; each ``for`` loop over it is one epoch.

    Args:
        dataset: a TensorDataset or a Subset of one, of which whole batches are taken at once; or anything with a length
            and examples by number, which are put together by ``collate_fn``. A tuple of arrays becomes a TensorDataset.
        batch_size: examples in a batch.
        shuffle: a new random order every epoch.
        drop_last: leave out a last batch that is smaller than the others.
        rng: a numpy Generator or a seed. One number is drawn from it, at once; the order of an epoch depends on that
            number and the number of the epoch alone, whatever else is drawn elsewhere in the meantime.
        collate_fn: makes a batch of a list of examples; by default ``collate``.

    Attributes:
        epoch: the number of the epoch that is under way or comes next, from 0.

    Batches are copies. ``state_dict()`` says where the loader is, also in the middle of an epoch: a loader that has
    loaded it goes on with the next batch of that epoch. A loop that is left early and begun again begins a new epoch.
    Raises ValueError for a batch size less than 1, TypeError for a dataset without a length.

    >>> loader = DataLoader(TensorDataset(np.arange(5.0)), batch_size=2, shuffle=True, rng=0)
    >>> [len(x) for x, in loader], len(loader), loader.epoch
    ([2, 2, 1], 3, 1)
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        rng: Rng = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        dataset = _dataset(dataset)
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(f"DataLoader takes a dataset with a length and examples by number, got {dataset!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.collate_fn = collate_fn
        self.epoch = 0
        self._seed = int(np.random.default_rng(rng).integers(2**63))
        self._batch = 0  # how many batches of the epoch were dealt out
        self._resumed = False

    def __len__(self) -> int:
        """How many batches an epoch has."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if self._batch and not self._resumed:  # the last loop was left early
            self.epoch, self._batch = self.epoch + 1, 0
        self._resumed = False
        epoch, order = self.epoch, self._order()
        for batch in range(self._batch, len(self)):
            self.epoch, self._batch = epoch, batch + 1
            yield self._take(order[batch * self.batch_size : (batch + 1) * self.batch_size])
        self.epoch, self._batch = epoch + 1, 0

    def _order(self) -> np.ndarray:
        n = len(self.dataset)
        return np.random.default_rng([self._seed, self.epoch]).permutation(n) if self.shuffle else np.arange(n)

    def _take(self, rows: np.ndarray) -> Any:
        dataset = self.dataset
        while self.collate_fn is None and isinstance(dataset, Subset):
            dataset, rows = dataset.dataset, dataset.indices[rows]
        if self.collate_fn is None and isinstance(dataset, TensorDataset):
            return dataset[rows]
        return (self.collate_fn or collate)([dataset[int(row)] for row in rows])

    def state_dict(self) -> dict[str, int]:
        """Where the loader is: a few numbers, enough to go on from here in another process."""
        return {
            "seed": self._seed,
            "epoch": self.epoch,
            "batch": self._batch,
            "batch_size": self.batch_size,
            "examples": len(self.dataset),
            "shuffle": bool(self.shuffle),
            "drop_last": bool(self.drop_last),
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from where another loader was; the next loop gives the rest of its epoch.

        Raises ValueError, which lists all that is wrong, if keys are missing or unknown, or the state is that of a
        loader of another batch size or number of examples, or one that differs in ``shuffle`` or ``drop_last``; then
        nothing is changed.
        """
        own = self.state_dict()
        wrong = [f"{key} is missing" for key in own if key not in state]
        wrong += [f"{key} is unknown" for key in state if key not in own]
        wrong += [
            f"{key} must be an integer of at least 0, got {state[key]!r}"
            for key in own
            if key in state and (not isinstance(state[key], (int, np.integer)) or state[key] < 0)
        ]
        if not wrong:
            wrong = [
                f"{key} is {own[key]} here but {state[key]} in the state"
                for key in ("batch_size", "examples", "shuffle", "drop_last")
                if own[key] != state[key]
            ]
            if not wrong and state["batch"] > len(self):
                wrong = [f"batch is {state['batch']} but an epoch has {len(self)}"]
        if wrong:
            raise ValueError(f"DataLoader cannot load this state: {'; '.join(wrong)}")
        self._seed, self.epoch, self._batch = int(state["seed"]), int(state["epoch"]), int(state["batch"])
        self._resumed = True
