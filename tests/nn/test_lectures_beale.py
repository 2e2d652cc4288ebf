"""Lecture 004: optimizers on Beale's function from (0.8, 1.6), 100 steps, beside PyTorch."""

import json

import mpmath
import numpy as np
import pytest

from autodiff import Tensor, Value
from nn import optim
from nn.schedules import attach, cyclical, exponential

from .recorded import GOLDEN

RECORDED = dict(np.load(GOLDEN / "optim.npz"))
CASES = json.loads(str(RECORDED["cases"]))["beale"]
SCHEDULES = {"beale-decay": exponential(0.02, 0.96, every=100), "beale-cyclical": cyclical(1e-4, 0.1, 100)}
RUNAWAYS = {"rate-8": 5, "rate-9": 4}  # the steps that these rates make before the numbers overflow


def beale(x, y):
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def walk(case, kind, start=(0.8, 1.6)):
    """Return x and y after each of 100 steps; rates that are too large run away to infinity and nan."""
    name, options = CASES[case]
    x, y = map(kind, start)
    optimizer = getattr(optim, name)([x, y], **{key: options[key] for key in options if key != "schedule"})
    scheduler = attach(optimizer, SCHEDULES[options["schedule"]]) if "schedule" in options else None
    path = []
    with np.errstate(all="ignore"):
        for _ in range(100):
            optimizer.zero_grad()
            beale(x, y).backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            path.append([x.item(), y.item()])
    return np.array(path)


def rounding_of_PyTorch(expected):
    """Return how far PyTorch's path under the cyclical rate is, relatively, from that of 50-digit arithmetic.

    As the rate nears 0.1, every step across the valley multiplies the rounding of all steps before.
    """
    with mpmath.workdps(50):
        x, y = mpmath.mpf(0.8), mpmath.mpf(1.6)
        off = []
        for t in range(100):
            rate = mpmath.mpf("1e-4") + (mpmath.mpf("0.1") - mpmath.mpf("1e-4")) * t / 100
            u, v, w = 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3
            dx, dy = u * (y - 1) + v * (y**2 - 1) + w * (y**3 - 1), x * (u + 2 * v * y + 3 * w * y**2)
            x, y = x - 2 * rate * dx, y - 2 * rate * dy
            off.append([float(abs(x - expected[t, 0])), float(abs(y - expected[t, 1]))])
    return np.array(off) / np.abs(expected)


def assert_same_path(case, path, expected):
    """Compare relatively to 1e-10 until both overflow, and allow of rounding what PyTorch's own has come to."""
    finite = np.isfinite(expected).all(axis=1)
    assert finite.sum() == RUNAWAYS.get(case, 100)
    np.testing.assert_array_equal(np.isfinite(path).all(axis=1), finite)
    path, expected = path[finite], expected[finite]
    allowed = 1e-10 + (rounding_of_PyTorch(expected) if case == "cyclical" else 0.0)
    assert np.all(np.abs(path - expected) <= allowed * np.abs(expected))


def test_the_lectures_optimizers_are_all_there():
    names = ["SGD", "decay", "momentum", "nesterov", "Adagrad", "RMSprop", "Adam", "Adamax", "cyclical"]
    assert set(CASES) == {*names, *(f"rate-{i}" for i in range(10))}
    assert [CASES[f"rate-{i}"][1]["lr"] for i in (0, 9)] == [0.0, 0.045]


@pytest.mark.promise(21)
@pytest.mark.parametrize("kind", [Value, Tensor])
@pytest.mark.parametrize("case", CASES)
def test_the_path_is_the_one_that_PyTorch_took(case, kind):
    assert_same_path(case, walk(case, kind), RECORDED[f"beale/{case}"])


@pytest.mark.promise(21)
@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("kind", [Value, Tensor])
@pytest.mark.parametrize("case", CASES)
def test_the_path_is_the_one_that_PyTorch_takes(case, kind):
    from .golden import make_optim

    assert_same_path(case, walk(case, kind), make_optim.path(*CASES[case], (0.8, 1.6), make_optim.beale))


def test_under_the_cyclical_rate_rounding_is_all_that_parts_the_paths():
    expected = RECORDED["beale/cyclical"]
    rounding = rounding_of_PyTorch(expected)
    assert rounding[:75].max() < 1e-12
    assert rounding[-1].max() > 1e-6
    assert np.all(np.abs(walk("cyclical", Value) / expected - 1.0)[:85] < 1e-10)


def test_every_rate_of_the_lecture_that_does_not_run_away_comes_nearer_to_the_minimum():
    distance = {case: np.hypot(*(walk(case, Value)[-1] - (3.0, 0.5))) for case in CASES if case not in RUNAWAYS}
    start = np.hypot(0.8 - 3.0, 1.6 - 0.5)
    assert distance["rate-0"] == pytest.approx(start, rel=1e-15)
    assert max(d for case, d in distance.items() if case != "rate-0") < start / 2
    rates = [distance[f"rate-{i}"] for i in range(8)]
    assert rates == sorted(rates, reverse=True)  # the larger the rate, the nearer, until it runs away
