"""Promise 28, first half: the kit catches every planted fault with its default settings, and says where it is.

The faults stand in planted.py and the files beside it. Of each it is held that the report names the operation, and
either says what the fault is or names the argument, the place and both numbers; and that the derivative really is
wrong at that place.
"""

import re

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientError
from autodiff.testing import check_gradients, check_rule

from .planted import ELEMENTWISE
from .planted_arrays import ARRAYS
from .planted_gradients import GRADIENTS

pytestmark = pytest.mark.promise(28)

FEWEST = 40  # promised
# The reference of an elementwise row is a difference of the order below; the digits of the other numbers are all good.
DIFFERENCE = 1e-6


def params_of(fault):
    return fault.params or {}


def caught(check, *args, **params):
    """Return the report with which a check fails."""
    with pytest.raises(GradientError) as failure:
        check(*args, **params)
    report = failure.value.report
    assert str(failure.value) == str(report)
    return report


def shown(report):
    """Return the wrong derivative that the report shows, with its numbers."""
    worst = report.worst
    assert worst.verdict == "wrong"
    text = str(report)
    for part in (worst.part, worst.place, f"mine       {worst.mine:.12g}", f"reference  {worst.reference.value:.12g}"):
        assert part in text
    return worst


def differs(mine, reference):
    return not abs(mine - reference) <= 1e-9 * abs(reference)


@pytest.mark.parametrize("fault", ELEMENTWISE, ids=lambda fault: fault.kind)
def test_a_wrong_elementwise_row_is_caught(fault, figure):
    row = fault.build()
    report = caught(check_rule, row)
    assert str(report).startswith(f"{row.name}: ")
    figure("planted faults caught")
    if fault.says:
        assert fault.says in str(report)
        return
    worst = shown(report)
    if "where all operands are one" in worst.argument:  # a tie: each side got the whole gradient
        assert worst.mine == pytest.approx(2 * worst.reference.value)
        return
    path, point = re.fullmatch(rf"operands? ([\d, ]+) at {row.name}\((.+)\)", worst.place).groups()
    mine, right = row, fault.right
    for i in path.split(", "):
        mine, right = ad.elementwise_grad(mine, int(i)), ad.elementwise_grad(right, int(i))
    at = [np.array([float(x)]) for x in point.split(", ")]
    with np.errstate(all="ignore"):
        assert worst.mine == pytest.approx(mine(*at)[0], rel=1e-12)
        assert worst.reference.value == pytest.approx(right(*at)[0], rel=DIFFERENCE, abs=DIFFERENCE)
        assert differs(mine(*at)[0], right(*at)[0])


@pytest.mark.parametrize("fault", ARRAYS, ids=lambda fault: fault.kind)
def test_a_wrong_row_of_an_operation_on_arrays_is_caught(fault, figure):
    row = fault.build()
    report = caught(check_rule, row, *fault.operands, **params_of(fault))
    assert str(report).startswith(f"{row.name}: ")
    figure("planted faults caught")
    if fault.says:
        assert fault.says in str(report)
        return
    worst = shown(report)
    if "with ties" in worst.argument:
        assert worst.mine == pytest.approx(2 * worst.reference.value)
        return
    elsewhere = {
        "second order lost": "second derivative",
        "third order lost": "third derivative",
        "stale cache": "gradient at another point (kept from an earlier call?)",
    }
    if fault.kind in elsewhere:
        assert worst.part == elsewhere[fault.kind]
        return
    operand = int(re.fullmatch(r"argument (\d)", worst.argument)[1])
    column = pushed if worst.part == "forward mode" else pulled
    mine, right = (column(f, fault, operand, worst.index) for f in (row, fault.right))
    assert any(differs(a, b) for a, b in zip(mine, right, strict=True))


def pulled(f, fault, operand, index):
    """Return what three gradients of the output give at one element of an operand, in reverse mode."""
    y, back = ad.vjp(lambda *xs: f(*xs, **params_of(fault)), *fault.operands)
    return [back(np.random.default_rng(seed).uniform(1, 2, np.shape(y)))[operand][index] for seed in range(3)]


def pushed(f, fault, operand, index):
    """Return the derivatives of all outputs by one element of an operand, in forward mode."""
    tangents = [np.zeros(np.shape(x)) for x in fault.operands]
    tangents[operand][index] = 1.0
    return np.ravel(ad.jvp(lambda *xs: f(*xs, **params_of(fault)), fault.operands, tangents)[1])


@pytest.mark.parametrize("fault", [fault for fault in ARRAYS if not fault.params], ids=lambda fault: fault.kind)
def test_a_wrong_row_is_caught_on_operands_that_the_kit_chooses_too(fault, figure):
    report = caught(check_rule, fault.build())
    assert report.wrong or (fault.says and fault.says in str(report))
    figure("planted faults caught on operands that the kit chose")


@pytest.mark.parametrize("fault", GRADIENTS, ids=lambda fault: f"{fault.kind} in {fault.f.__name__}")
def test_a_wrong_gradient_written_by_hand_is_caught(fault, figure):
    arguments = [np.array(x) for x in fault.args]
    report = caught(check_gradients, fault.f, *fault.args, gradient=fault.wrong, argnums=fault.argnums)
    assert str(report).startswith(f"{fault.f.__name__}: ")
    assert all(np.array_equal(old, new) for old, new in zip(arguments, fault.args, strict=True))
    figure("planted faults caught")
    if fault.says:
        assert fault.says in str(report)
        return
    worst = shown(report)
    at_another_point = "another point" in worst.part
    assert at_another_point == ("cache" in fault.kind or "first" in fault.kind)
    if at_another_point:
        assert "kept from an earlier call?" in worst.part
        return
    number = int(re.match(r"argument (\d)", worst.argument)[1])
    right = np.asarray(ad.grad(fault.f, number)(*fault.args))[worst.index]
    mine = fault.wrong(*fault.args)
    mine = np.asarray(mine[number] if isinstance(mine, tuple) else mine)[worst.index]
    assert worst.mine == pytest.approx(mine, rel=1e-12, nan_ok=True)
    assert worst.reference.value == pytest.approx(right, rel=1e-9)
    assert differs(mine, right)


def test_there_are_as_many_faults_of_as_many_kinds_as_promised(figure):
    faults = [*ELEMENTWISE, *ARRAYS, *GRADIENTS]
    kinds = {fault.kind for fault in faults}
    figure(f"{len(faults)} planted faults of {len(kinds)} kinds")
    assert len(kinds) >= FEWEST
