"""The toy data sets: their shapes in the plane, their seeds, and the lectures' forms of them."""

import math

import numpy as np
import pytest

from nn.toys import arcs, blobs, circles, moons, sin_cos, spirals, xor

SEEDED = [xor, moons, circles, spirals, blobs, arcs]
IN_RANDOM_ORDER = [moons, circles, spirals, blobs]


@pytest.mark.promise(19)
@pytest.mark.parametrize("make", SEEDED)
def test_the_seed_or_the_generator_decides_every_point(make):
    options = {} if make in (arcs, blobs) else {"noise": 0.1}
    first, again, other = (make(50, rng=seed, **options) for seed in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        assert a.tobytes() == b.tobytes()
    assert not np.array_equal(first[0], other[0])
    rng = np.random.default_rng(1)
    one, two = make(50, rng=rng, **options), make(50, rng=rng, **options)
    np.testing.assert_array_equal(one[0], first[0])
    assert not np.array_equal(one[0], two[0])


@pytest.mark.promise(19)
@pytest.mark.parametrize("make", SEEDED)
def test_the_global_generator_is_neither_used_nor_moved(make):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002  # the global state is what is tested
    first = make(20)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002  # likewise
    np.random.seed(0)  # noqa: NPY002  # likewise
    assert not np.array_equal(make(20)[0], first[0])


@pytest.mark.parametrize("make", SEEDED)
@pytest.mark.parametrize("n", [2, 7, 100])
def test_points_and_labels_have_their_shapes_and_dtypes(make, n):
    points, labels = make(n, rng=0)
    assert (points.shape, points.dtype) == ((n, 2), np.float64)
    assert (labels.shape, labels.dtype) == ((n,), np.float64 if make is arcs else np.int64)
    if make is not xor:
        counts = np.unique(labels, return_counts=True)[1]
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("make", [xor, *IN_RANDOM_ORDER])
def test_no_points_are_no_error(make):
    points, labels = make(0, rng=0)
    assert (points.shape, labels.shape) == ((0, 2), (0,))


@pytest.mark.parametrize("make", IN_RANDOM_ORDER)
def test_the_classes_come_in_random_order(make):
    assert np.any(np.diff(make(100, rng=0)[1]) < 0)


# ---- each data set ------------------------------------------------------------------------------------------------


def test_xor_is_one_where_the_product_is_positive():
    points, labels = xor(1000, noise=0.7, rng=0)
    np.testing.assert_array_equal(labels == 1, points.prod(axis=1) > 0.0)
    calm, classes = xor(1000, rng=0)
    off = np.abs(calm) - 1.0
    assert abs(off.std() - 0.1) < 5.0 * 0.1 / math.sqrt(2 * off.size)  # five standard deviations of the estimate
    # every quarter of the plane has a quarter of the points, within five standard deviations
    for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        there = np.all(np.sign(calm) == signs, axis=1)
        assert abs(there.mean() - 0.25) < 5.0 * math.sqrt(0.25 * 0.75 / 1000)
        assert set(classes[there]) == {int(signs[0] == signs[1])}


def test_moons_lie_on_two_half_circles():
    points, labels = moons(101, rng=0)
    assert np.bincount(labels).tolist() == [50, 51]
    upper, lower = points[labels == 0], points[labels == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1.0, rtol=1e-14)
    np.testing.assert_allclose(np.hypot(*(lower - [1.0, 0.5]).T), 1.0, rtol=1e-14)
    assert upper[:, 1].min() > -1e-15
    assert lower[:, 1].max() < 0.5 + 1e-15


def test_circles_have_their_radii():
    points, labels = circles(60, factor=0.3, rng=0)
    np.testing.assert_allclose(np.hypot(*points.T), np.where(labels == 0, 1.0, 0.3), rtol=1e-14)


@pytest.mark.parametrize("make", [moons, circles])
def test_they_are_the_points_of_scikit_learn(make):
    datasets = pytest.importorskip("sklearn.datasets", reason="the live comparison needs scikit-learn")
    theirs, classes = getattr(datasets, f"make_{make.__name__}")(51, shuffle=False)
    points, labels = make(51, rng=0)
    together = np.column_stack([labels, points])
    expected = np.column_stack([classes, theirs])
    for rows in (together, expected):
        rows[:] = rows[np.lexsort(rows.round(9).T)]
    np.testing.assert_allclose(together, expected, rtol=0.0, atol=1e-14)


@pytest.mark.parametrize("make", [moons, circles, spirals])
def test_noise_is_added_to_the_same_points(make):
    calm, noisy = make(2000, rng=0)[0], make(2000, rng=0, noise=0.2)[0]
    off = noisy - calm
    assert abs(off.mean()) < 5.0 * 0.2 / math.sqrt(off.size)  # five standard deviations each
    assert abs(off.std() - 0.2) < 5.0 * 0.2 / math.sqrt(2 * off.size)


@pytest.mark.parametrize("classes", [1, 2, 3, 5])
def test_spirals_wind_out_side_by_side(classes):
    points, labels = spirals(60 * classes, classes=classes, turns=1.25, rng=0)
    for k in range(classes):
        arm = points[labels == k]
        arm = arm[np.argsort(np.hypot(*arm.T))]
        radius = np.hypot(*arm.T)
        np.testing.assert_allclose(radius, np.arange(1.0, 61.0) / 60.0, rtol=1e-13)
        angle = 2.0 * np.pi * (1.25 * radius + k / classes)
        np.testing.assert_allclose(arm, np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), atol=1e-13)


def test_blobs_lie_around_their_centers():
    centers = [[0.0, 1.0, 2.0], [50.0, -50.0, 0.0]]
    points, labels = blobs(4000, centers=centers, spread=0.5, rng=0)
    assert points.shape == (4000, 3)
    for k, center in enumerate(centers):
        cloud = points[labels == k]
        np.testing.assert_allclose(cloud.mean(axis=0), center, atol=5.0 * 0.5 / math.sqrt(2000))
        np.testing.assert_allclose(cloud.std(axis=0), 0.5, atol=5.0 * 0.5 / math.sqrt(4000))
    drawn, classes = blobs(9, centers=3, spread=0.0, rng=0)
    assert len(np.unique(drawn, axis=0)) == len(set(classes)) == 3
    assert np.abs(drawn).max() <= 10.0


def test_arcs_are_those_of_lecture_003():
    points, labels = arcs(400, rng=0)
    # Built a second time, as the lecture says it: the negative class shifted by (1, -0.7 - 2y)
    rng = np.random.default_rng(0)
    r, angle = 1.0 + 0.1 * rng.uniform(size=400), np.pi / 2.0 + np.pi * rng.uniform(size=400)
    x, y = r * np.sin(angle), r * np.cos(angle)
    negative = labels < 0
    x[negative] += 1.0
    y[negative] += -0.7 - 2.0 * y[negative]
    for column, coordinate in enumerate((x, y)):
        low, high = coordinate.min(), coordinate.max()
        np.testing.assert_allclose(points[:, column], 0.2 + 0.6 * (coordinate - low) / (high - low), rtol=1e-14)
    assert labels.tolist() == [1.0] * 200 + [-1.0] * 200
    np.testing.assert_allclose([points.min(axis=0), points.max(axis=0)], [[0.2, 0.2], [0.8, 0.8]], rtol=1e-14)


def test_no_line_parts_the_arcs_and_yet_they_do_not_touch():
    points, labels = arcs(400, rng=0)
    design = np.column_stack([points, np.ones(400)])
    line = np.linalg.lstsq(design, labels, rcond=None)[0]
    assert np.mean(np.sign(design @ line) == labels) < 0.95
    distances = np.hypot(*(points[labels > 0][:, None] - points[labels < 0][None]).T)
    assert distances.min() > 0.05  # the arcs do not touch


def test_sin_cos_is_that_of_lecture_002():
    inputs, targets = sin_cos()
    t = np.linspace(0.0, 10.0, 100)
    np.testing.assert_array_equal(inputs, np.column_stack([np.sin(t), np.cos(t)]))
    np.testing.assert_allclose(targets[:, 0], np.sin(2.0 * t) / 2.0, atol=1e-15)


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [xor, moons, circles, spirals])
def test_negative_numbers_are_refused(make):
    for options in ({"n": -1}, {"noise": -0.1}, {"noise": np.nan}):
        with pytest.raises(ValueError, match="the number of points and the noise must be at least 0, got"):
            make(**options)


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"factor must be in \[0, 1\), got 1.5"):
        circles(factor=1.5)
    for make, options in ((spirals, {"classes": 0}), (blobs, {"centers": 0})):
        with pytest.raises(ValueError, match="there must be at least one class, got 0"):
            make(**options)
    with pytest.raises(
        ValueError, match=r"centers must be a number or an array \(classes, coordinates\), got shape \(2,\)"
    ):
        blobs(centers=[1.0, 2.0])
    with pytest.raises(ValueError, match="two arcs take at least 2 points, got 1"):
        arcs(1)
