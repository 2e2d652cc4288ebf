"""Small made-up data sets: points of the plane to tell apart, and a function to fit. All come from a seed."""

import numpy as np

__all__ = ["arcs", "blobs", "circles", "moons", "sin_cos", "spirals", "xor"]

Rng = np.random.Generator | int | None


def xor(n: int = 200, *, noise: float = 0.1, rng: Rng = None) -> tuple[np.ndarray, np.ndarray]:
    """Four clouds around (+-1, +-1); the class is 1 where the product of the coordinates is positive.

    Args:
        n: how many points.
        noise: the standard deviation of each coordinate around +-1.
        rng: a numpy Generator or a seed.

    Returns points, (n, 2) float64, and labels, (n,) int64, 0 or 1. Raises ValueError if n or noise is negative.

    >>> points, labels = xor(4, rng=0)
    >>> points.round(1).tolist(), labels.tolist()
    ([[0.9, -1.1], [0.9, 1.0], [-1.2, 1.0], [0.9, 0.9]], [0, 1, 0, 1])
    """
    rng = _check(n, noise, rng)
    points = np.sign(rng.normal(size=(n, 2))) + noise * rng.normal(size=(n, 2))
    return points, (points.prod(axis=1) > 0.0).astype(np.int64)


def moons(n: int = 100, *, noise: float = 0.0, rng: Rng = None) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles of radius 1, one upside down, each with an end in the middle of the other.

    The points lie evenly on the half circles, as those of scikit-learn's ``make_moons``, in random order.

    Args:
        n: how many points; the first class gets n // 2.
        noise: the standard deviation of what is added to each coordinate.
        rng: a numpy Generator or a seed.

    Returns points, (n, 2) float64, and labels, (n,) int64, 0 or 1. Raises ValueError if n or noise is negative.

    >>> points, labels = moons(4, rng=0)
    >>> points[labels == 0].round(1).tolist(), points[labels == 1].round(1).tolist()
    ([[1.0, 0.0], [-1.0, 0.0]], [[0.0, 0.5], [2.0, 0.5]])
    """
    rng = _check(n, noise, rng)
    upper, lower = np.linspace(0.0, np.pi, n // 2), np.linspace(0.0, np.pi, n - n // 2)
    first = np.column_stack([np.cos(upper), np.sin(upper)])
    second = np.column_stack([1.0 - np.cos(lower), 0.5 - np.sin(lower)])
    return _shuffled([first, second], noise, rng)


def circles(n: int = 100, *, noise: float = 0.0, factor: float = 0.8, rng: Rng = None) -> tuple[np.ndarray, np.ndarray]:
    """A circle of radius 1 and a smaller one inside it; no line parts them.

    The points lie evenly on the circles, as those of scikit-learn's ``make_circles``, in random order.

    Args:
        n: how many points; the outer circle, class 0, gets n // 2.
        noise: the standard deviation of what is added to each coordinate.
        factor: the radius of the inner circle, between 0 and 1.
        rng: a numpy Generator or a seed.

    Returns points, (n, 2) float64, and labels, (n,) int64, 0 or 1. Raises ValueError if n or noise is negative or the
    factor is out of range.

    >>> points, labels = circles(8, factor=0.5, rng=0)
    >>> np.hypot(*points.T)[np.argsort(labels)].round(3).tolist()
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
    """
    rng = _check(n, noise, rng)
    if not 0.0 <= factor < 1.0:
        raise ValueError(f"factor must be in [0, 1), got {factor}")
    angles = [np.linspace(0.0, 2.0 * np.pi, k, endpoint=False) for k in (n // 2, n - n // 2)]
    rings = [np.column_stack([np.cos(a), np.sin(a)]) for a in angles]
    return _shuffled([rings[0], factor * rings[1]], noise, rng)


def spirals(
    n: int = 200, *, classes: int = 2, turns: float = 1.5, noise: float = 0.0, rng: Rng = None
) -> tuple[np.ndarray, np.ndarray]:
    """Spiral arms that leave the origin side by side and reach radius 1 after some turns; each arm is a class.

    Args:
        n: how many points; all arms get as many, give or take one.
        classes: how many arms.
        turns: how often an arm goes round.
        noise: the standard deviation of what is added to each coordinate.
        rng: a numpy Generator or a seed.

    Returns points, (n, 2) float64, and labels, (n,) int64, from 0, in random order. Raises ValueError if n or noise is
    negative or there is no class.

    >>> points, labels = spirals(300, classes=3, rng=0)
    >>> points.shape, np.bincount(labels).tolist(), bool(np.hypot(*points.T).max() <= 1.0)
    ((300, 2), [100, 100, 100], True)
    """
    rng = _check(n, noise, rng)
    arms = []
    for k, size in enumerate(_shares(n, classes)):
        radius = np.linspace(0.0, 1.0, size + 1)[1:]  # the origin belongs to no arm
        angle = 2.0 * np.pi * (turns * radius + k / classes)
        arms.append(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]))
    return _shuffled(arms, noise, rng)


def blobs(n: int = 100, *, centers: object = 3, spread: float = 1.0, rng: Rng = None) -> tuple[np.ndarray, np.ndarray]:
    """Clouds of normally distributed points, each a class.

    Args:
        n: how many points; all clouds get as many, give or take one.
        centers: how many clouds, which then lie at random in [-10, 10]^2; or where they lie, (classes, coordinates).
        spread: the standard deviation of each coordinate around its center.
        rng: a numpy Generator or a seed.

    Returns points, (n, coordinates) float64, and labels, (n,) int64, from 0, in random order. Raises ValueError if n or
    spread is negative or there is no center.

    >>> points, labels = blobs(6, centers=[[0.0, 0.0], [5.0, 5.0]], spread=0.1, rng=0)
    >>> np.bincount(labels).tolist(), bool((points[labels == 1] > 4.0).all())
    ([3, 3], True)
    """
    rng = _check(n, spread, rng)
    if isinstance(centers, (int, np.integer)):
        centers = rng.uniform(-10.0, 10.0, (centers, 2))
    places = np.asarray(centers, dtype=np.float64)
    if places.ndim != 2:
        raise ValueError(f"centers must be a number or an array (classes, coordinates), got shape {places.shape}")
    clouds = [np.tile(place, (size, 1)) for place, size in zip(places, _shares(n, len(places)), strict=True)]
    return _shuffled(clouds, spread, rng)


def arcs(n: int = 400, *, rng: Rng = None) -> tuple[np.ndarray, np.ndarray]:
    """Two interlaced arcs in the square from 0.2 to 0.8, with labels 1 and -1.

    An arc is the half circle of angles pi/2 + pi u and radii 1 + 0.1 v, with u and v uniform in [0, 1). The second, -1,
    is turned upside down and shifted by (1, -0.7), so that each has an end inside the other; then both are scaled.

    Args:
        n: how many points; the first n // 2 are of the arc with label 1.
        rng: a numpy Generator or a seed.

    Returns points, (n, 2) float64, and labels, (n,) float64. Raises ValueError if n is less than 2.

    >>> points, labels = arcs(rng=0)
    >>> points.min().round(12).item(), points.max().round(12).item(), labels[[0, -1]].tolist()
    (0.2, 0.8, [1.0, -1.0])
    """
    rng = _check(n, 0.0, rng)
    if n < 2:
        raise ValueError(f"two arcs take at least 2 points, got {n}")
    radius, angle = 1.0 + 0.1 * rng.uniform(size=n), np.pi / 2.0 + np.pi * rng.uniform(size=n)
    points = np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])
    labels = np.where(np.arange(n) < n // 2, 1.0, -1.0)
    second = labels < 0.0
    points[second] = points[second] * [1.0, -1.0] + [1.0, -0.7]
    low, high = points.min(axis=0), points.max(axis=0)
    return 0.2 + 0.6 * (points - low) / (high - low), labels


def sin_cos(n: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """The function sin(t) cos(t) to be learnt from sin(t) and cos(t), at n even steps of t from 0 to 10.

    Args:
        n: how many examples.

    Returns inputs, (n, 2) float64, and targets, (n, 1) float64. Raises ValueError if n is negative.

    >>> inputs, targets = sin_cos()
    >>> inputs.shape, targets.shape, bool(np.all(targets[:, 0] == inputs.prod(axis=1)))
    ((100, 2), (100, 1), True)
    """
    _check(n, 0.0, 0)
    t = np.linspace(0.0, 10.0, n)
    inputs = np.column_stack([np.sin(t), np.cos(t)])
    return inputs, inputs.prod(axis=1, keepdims=True)


def _check(n: int, noise: float, rng: Rng) -> np.random.Generator:
    if n < 0 or not noise >= 0.0:
        raise ValueError(f"the number of points and the noise must be at least 0, got {n} and {noise}")
    return np.random.default_rng(rng)


def _shares(n: int, classes: int) -> list[int]:
    """n dealt out to the classes as evenly as can be."""
    if classes < 1:
        raise ValueError(f"there must be at least one class, got {classes}")
    return [n // classes + (k < n % classes) for k in range(classes)]


def _shuffled(parts: list[np.ndarray], noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The points of all classes in random order, with noise, and their labels."""
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    points = np.concatenate(parts)
    points = points + noise * rng.normal(size=points.shape)
    order = rng.permutation(len(points))
    return points[order], labels[order]
