"""Schedules beside closed forms and beside PyTorch; what sets them on an optimizer; the scan of rates."""

import json
import math

import numpy as np
import pytest

from autodiff import Tensor, Value
from nn import schedules as s
from nn.optim import LBFGS, SGD, Adam

from .recorded import GOLDEN, assert_near

RECORDED = dict(np.load(GOLDEN / "optim.npz"))
PLATEAU = json.loads(str(RECORDED["cases"]))["plateau"]

# The schedules whose rates PyTorch recorded (golden/make_optim.py)
OURS = {
    "constant": s.constant(0.3),
    "step": s.step(0.3, 7, 0.3),
    "multi_step": s.multi_step(0.3, [10, 3, 11], 0.5),
    "exponential": s.exponential(0.3, 0.93),
    "inverse_time": s.inverse_time(0.3, 0.5, every=10),
    "polynomial": s.polynomial(0.3, 20, 1.7),
    "linear": s.linear(0.1, 0.3, 8),
    "cosine": s.cosine(0.3, 20, 0.01),
    "cosine_warm_restarts": s.cosine_warm_restarts(0.3, 7, eta_min=0.01),
    "cosine_warm_restarts_2": s.cosine_warm_restarts(0.3, 5, 2),
    "triangular": s.cyclical(0.1, 0.7, 6, 9),
    "triangular2": s.cyclical(0.1, 0.7, 6, mode="triangular2"),
    "exp_range": s.cyclical(0.1, 0.7, 6, mode="exp_range", gamma=0.97),
    "one_cycle": s.one_cycle(0.6, 50),
    "one_cycle_linear": s.one_cycle(0.6, 50, 0.45, "linear", 10.0, 100.0),
    "one_cycle_three_phase": s.one_cycle(0.6, 50, three_phase=True),
    "beale-decay": s.exponential(0.02, 0.96, every=100),
    "beale-cyclical": s.cyclical(1e-4, 0.1, 100),
    "warmup": s.warmup(s.cosine(0.3, 20), 5, 0.1),
    "chain": s.chain(0.3, [s.exponential(1.0, 0.9), s.step(2.0, 6, 0.5)]),
}


def triangle(t, up, down):
    """Return the height, 0 to 1, of a triangle wave."""
    return np.interp(t % (up + down), [0, up, up + down], [0, 1, 0])


# Each beside its formula, written once more, in NumPy, with the length T of the interval t = 0 .. 2T
CLOSED_FORMS = {
    "constant": (10, lambda t: 0.3),
    "step": (30, lambda t: 0.3 * 0.3 ** np.floor(t / 7)),
    "multi_step": (12, lambda t: 0.3 * 0.5 ** ((t >= 3) + (t >= 10.0) + (t >= 11))),
    "exponential": (50, lambda t: 0.3 * np.exp(t * np.log(0.93))),
    "inverse_time": (20, lambda t: 0.3 / (1 + t / 20)),
    "polynomial": (20, lambda t: 0.3 * max(0.0, 1 - t / 20) ** 1.7),
    "linear": (8, lambda t: np.interp(t, [0, 8], [0.1, 0.3])),
    "cosine": (20, lambda t: 0.01 + 0.29 * np.cos(np.pi * t / 40) ** 2),
    "cosine_warm_restarts": (20, lambda t: 0.01 + 0.29 * np.cos(np.pi * (t % 7) / 14) ** 2),
    "triangular": (30, lambda t: 0.1 + 0.6 * triangle(t, 6, 9)),
    "triangular2": (30, lambda t: 0.1 + 0.6 * triangle(t, 6, 6) / 2 ** np.floor(t / 12)),
    "exp_range": (30, lambda t: 0.1 + 0.6 * triangle(t, 6, 6) * 0.97**t),
    "one_cycle_linear": (50, lambda t: np.interp(t, [0, 21.5, 49], [0.06, 0.6, 0.0006])),
    "warmup": (10, lambda t: np.interp(t, [0, 5], [0.03, 0.3]) if t < 5 else 0.3 * np.cos(np.pi * (t - 5) / 40) ** 2),
    "chain": (20, lambda t: 0.3 * 0.9**t * 0.5 ** np.floor(t / 6)),
}


@pytest.mark.promise(21)
@pytest.mark.parametrize("name", OURS)
def test_the_rates_are_those_of_PyTorchs_scheduler(name):
    expected = RECORDED[f"schedule/{name}"]
    assert_near([OURS[name](t) for t in range(len(expected))], expected)


@pytest.mark.promise(21)
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_rates_are_those_of_the_formula_up_to_twice_the_length(name):
    length, formula = CLOSED_FORMS[name]
    got = [OURS[name](t) for t in range(2 * length + 1)]
    # the same formula in another form: a few roundings, of numbers below 1
    np.testing.assert_allclose(got, [formula(t) for t in range(2 * length + 1)], rtol=1e-12, atol=1e-15)


@pytest.mark.promise(21)
@pytest.mark.parametrize("name", OURS)
def test_a_schedule_is_a_pure_function_of_the_step(name):
    steps = list(range(40))
    forward, backward = [OURS[name](t) for t in steps], [OURS[name](t) for t in reversed(steps)]
    assert forward == backward[::-1]


def test_schedules_begin_with_the_base_rate():
    base = ["constant", "step", "multi_step", "exponential", "inverse_time", "polynomial", "cosine", "chain"]
    for name in [*base, "cosine_warm_restarts"]:
        assert OURS[name](0) == pytest.approx(0.3, rel=1e-15)


def test_restarts_double_in_length_and_begin_at_the_top():
    schedule = s.cosine_warm_restarts(0.3, 5, 2)
    assert [t for t in range(80) if schedule(t) == 0.3] == [0, 5, 15, 35, 75]
    for start, length in ((0, 5), (5, 10), (15, 20), (35, 40)):
        assert schedule(start + length - 1) == s.cosine(0.3, length)(length - 1)


def test_a_schedule_of_a_million_restarts_is_still_quick():
    assert s.cosine_warm_restarts(0.3, 5)(10**12 + 1) == s.cosine(0.3, 5)(1)


@pytest.mark.parametrize("maker", [s.step, s.cosine, s.constant])
def test_what_makes_a_schedule_is_none(maker):
    with pytest.raises(TypeError, match=rf"schedules.{maker.__name__} is not a schedule, but makes one: write"):
        s.attach(SGD([Value(1.0)]), maker)


def test_one_cycle_keeps_the_last_rate():
    schedule = s.one_cycle(0.6, 50)
    assert schedule(49) == schedule(50) == schedule(1000) == pytest.approx(0.6 / 25 / 1e4, rel=1e-9)
    assert s.one_cycle(0.6, 1)(0) == pytest.approx(0.6 / 25 / 1e4, rel=1e-9)  # the difference of two larger numbers


@pytest.mark.parametrize("pct_start", [0.0, 1.0])
def test_one_cycle_without_a_rise_or_without_a_fall(pct_start):
    rates = [s.one_cycle(1.0, 5, pct_start, "linear", div_factor=2.0, final_div_factor=4.0)(t) for t in range(5)]
    assert rates[-1] == (1.0 if pct_start else 0.125)
    assert rates == sorted(rates, reverse=not pct_start)


def test_warmup_begins_at_zero_and_joins_the_schedule_at_its_beginning():
    rates = [s.warmup(s.constant(0.4), 4)(t) for t in range(6)]
    np.testing.assert_allclose(rates, [0.0, 0.1, 0.2, 0.3, 0.4, 0.4], rtol=1e-15)


def test_a_sequence_hands_over_at_its_milestones():
    schedule = s.sequential([s.constant(1.0), s.exponential(2.0, 0.5), s.constant(3.0)], [2, 4])
    assert [schedule(t) for t in range(6)] == [1.0, 1.0, 2.0, 1.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: s.constant(-0.1), "lr must be at least 0, got -0.1"),
        (lambda: s.step(0.1, 0), "step_size must be at least 1, got 0"),
        (lambda: s.exponential(0.1, 0.9, every=0), "every must be at least 1, got 0"),
        (lambda: s.inverse_time(0.1, 0.9, every=0), "every must be at least 1, got 0"),
        (lambda: s.polynomial(0.1, 0), "total must be at least 1, got 0"),
        (lambda: s.linear(0.1, 0.2, 0), "total must be at least 1, got 0"),
        (lambda: s.cosine(0.1, 0), "t_max must be at least 1, got 0"),
        (lambda: s.cosine_warm_restarts(0.1, 0), "t_0 must be at least 1, got 0"),
        (lambda: s.cosine_warm_restarts(0.1, 1, 0), "t_mult must be at least 1, got 0"),
        (lambda: s.cyclical(0.1, 0.2, mode="square"), "mode must be one of triangular, .*, got square"),
        (lambda: s.cyclical(0.1, 0.2, 5, 0), r"step_size_down must be at least 1, got \(5, 0\)"),
        (lambda: s.one_cycle(0.1, 0), "total_steps must be at least 1, got 0"),
        (lambda: s.one_cycle(0.1, 5, 1.5), r"pct_start must be in \[0, 1\], got 1.5"),
        (lambda: s.one_cycle(0.1, 5, anneal_strategy="sine"), "anneal_strategy must be cos or linear, got sine"),
        (lambda: s.warmup(s.constant(1.0), 5, -1.0), "start_factor must be at least 0, got -1.0"),
        (lambda: s.sequential([s.constant(1.0)], [3]), "1 schedules need 0 milestones, got 1"),
        (lambda: s.sequential([s.constant(1.0)] * 3, [3, 3]), r"milestones must be above 0 and .*, got \[3, 3\]"),
        (lambda: s.chain(1.0, [s.linear(0.0, 1.0, 5)]), r"first rate of every schedule must be above 0, got \[0.0\]"),
    ],
)
def test_what_makes_no_schedule_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- on an optimizer ------------------------------------------------------------------------------------------------


def test_a_schedule_sets_the_rate_of_every_step():
    p = Value(0.0)
    p.grad = -1.0
    optimizer = SGD([p], lr=5.0)
    scheduler = s.attach(optimizer, s.exponential(1.0, 0.5))
    places = []
    for _ in range(4):
        optimizer.step()
        scheduler.step()
        places.append(p.data)
    assert places == [1.0, 1.5, 1.75, 1.875]
    assert (scheduler.t, optimizer.lr) == (4, 0.0625)


def test_every_group_can_have_its_schedule():
    optimizer = SGD([{"params": [Value(1.0)]}, {"params": [Value(2.0)], "lr": 0.5}], lr=0.1)
    with pytest.raises(ValueError, match=r"different rates \[0.1, 0.5\]; pass a list of schedules"):
        s.attach(optimizer, s.constant(1.0))
    with pytest.raises(ValueError, match="2 parameter groups need as many schedules, got 1"):
        s.attach(optimizer, [s.constant(1.0)])
    s.attach(optimizer, [s.constant(1.0), s.exponential(2.0, 0.5)]).step()
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 1.0]


def test_one_schedule_serves_groups_of_one_rate():
    optimizer = SGD([{"params": [Value(1.0)]}, {"params": [Value(2.0)], "momentum": 0.5}], lr=0.1)
    s.attach(optimizer, s.constant(0.7))
    assert [group["lr"] for group in optimizer.param_groups] == [0.7, 0.7]


@pytest.mark.promise(21, 22)
@pytest.mark.parametrize("name", OURS)
def test_a_resumed_schedule_goes_on_as_if_never_stopped(name):
    whole, first, second = SGD([Value(1.0)]), SGD([Value(1.0)]), SGD([Value(1.0)])
    uninterrupted, stopped = s.attach(whole, OURS[name]), s.attach(first, OURS[name])
    for _ in range(13):
        uninterrupted.step()
        stopped.step()
    resumed = s.attach(second, OURS[name])
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    for _ in range(20):
        assert second.lr == whole.lr
        uninterrupted.step()
        resumed.step()


def test_what_is_no_state_of_a_scheduler_is_refused_and_changes_nothing():
    scheduler = s.attach(SGD([Value(1.0)]), s.exponential(1.0, 0.5))
    scheduler.step()
    with pytest.raises(ValueError, match="nothing was changed:\n  t: missing\n  step: unexpected"):
        scheduler.load_state_dict({"step": 3})
    for t in (-1, 1.5, "3", math.nan):
        with pytest.raises(ValueError, match="nothing was changed"):
            scheduler.load_state_dict({"t": t})
    assert (scheduler.t, scheduler.optimizer.lr) == (1, 0.5)


def test_only_functions_are_attached_and_only_to_optimizers_with_a_rate():
    with pytest.raises(TypeError, match="an optimizer with a learning rate is needed, got LBFGS"):
        s.attach(LBFGS([Value(1.0)]), s.constant(0.1))
    with pytest.raises(TypeError, match=r"a schedule is a function of the step, got \[0.1\]"):
        s.attach(SGD([Value(1.0)]), [0.1])


@pytest.mark.promise(21)
@pytest.mark.parametrize("case", PLATEAU)
def test_a_plateau_lowers_the_rate_where_PyTorchs_does(case):
    optimizer = SGD([Value(1.0)], lr=1.0)
    plateau = s.ReduceLROnPlateau(optimizer, **PLATEAU[case])
    rates = []
    for metric in RECORDED["metrics"].tolist():
        plateau.step(metric)
        rates.append(optimizer.lr)
    assert_near(rates, RECORDED[f"plateau/{case}"])
    assert len(set(rates)) > 3


@pytest.mark.promise(22)
def test_a_resumed_plateau_goes_on_as_if_never_stopped():
    metrics, rates = RECORDED["metrics"].tolist(), []
    optimizer = SGD([Value(1.0)], lr=1.0)
    plateau = s.ReduceLROnPlateau(optimizer, **PLATEAU["cooldown"])
    for metric in metrics:
        saved, plateau = plateau.state_dict(), s.ReduceLROnPlateau(optimizer, **PLATEAU["cooldown"])
        plateau.load_state_dict(saved)
        plateau.step(metric)
        rates.append(optimizer.lr)
    assert_near(rates, RECORDED["plateau/cooldown"])
    with pytest.raises(ValueError, match="best: missing\n  bad_steps: missing\n  cooling: missing\n  t: unexpected"):
        plateau.load_state_dict({"t": 3})


def test_a_metric_that_is_nan_is_no_progress():
    optimizer = SGD([Value(1.0)], lr=1.0)
    plateau = s.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    for metric in (1.0, math.nan):
        plateau.step(metric)
    assert (optimizer.lr, plateau.best) == (0.5, 1.0)


@pytest.mark.parametrize("options", [{"mode": "lowest"}, {"factor": 1.0}, {"threshold_mode": "log"}])
def test_a_plateau_with_an_option_out_of_range_is_refused(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must be"):
        s.ReduceLROnPlateau(SGD([Value(1.0)]), **options)


# ---- the scan -------------------------------------------------------------------------------------------------------


def scanned(optimizer, p, **options):
    """Scan the rates of p**2 and return the result with the state before and after."""

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    return s.lr_scan(optimizer, closure, **options)


def test_rates_grow_by_a_constant_factor_and_half_the_best_is_set():
    p = Tensor([1.0])
    optimizer = SGD([p], lr=0.123)
    scan = scanned(optimizer, p, steps=101, end=0.9)
    np.testing.assert_allclose(scan.rates, np.geomspace(1e-6, 0.9, 101), rtol=1e-12)
    # p shrinks by 1 - 2 lr; each loss is that before its step
    factors = np.cumprod([1.0, *(1.0 - 2.0 * np.array(scan.rates[:-1]))]) ** 2
    np.testing.assert_allclose(scan.losses, factors, rtol=1e-10, atol=1e-30)
    assert scan.suggestion == optimizer.lr == scan.rates[np.argmin(scan.losses)] / 2


def test_a_scan_puts_parameters_and_state_back_and_clears_gradients():
    p = Tensor([1.0, -2.0])
    optimizer = Adam([p])
    (p * p).sum().backward()
    optimizer.step()
    data, state = p.data.copy(), optimizer.state_dict()
    scan = scanned(optimizer, p)
    np.testing.assert_array_equal(p.data, data)
    after = optimizer.state_dict()
    assert after.pop("param_groups.0.lr") == scan.suggestion
    del state["param_groups.0.lr"]
    assert {k: np.array(v).tolist() for k, v in after.items()} == {k: np.array(v).tolist() for k, v in state.items()}
    assert p.grad is None


def test_a_scan_ends_when_the_loss_is_ten_times_the_first():
    p = Tensor([1.0])
    scan = scanned(SGD([p]), p, start=1.0, end=1000.0, steps=50)
    assert len(scan.rates) < 50
    assert scan.losses[-1] > 10.0 >= max(scan.losses[:-1])


def test_a_scan_puts_the_buffers_of_a_model_back():
    class Counting:
        calls = 0

        def state_dict(self):
            return {"calls": self.calls}

        def load_state_dict(self, state):
            self.calls = state["calls"]

    p, model = Value(1.0), Counting()
    optimizer = SGD([p])

    def closure():
        model.calls += 1
        optimizer.zero_grad()
        loss = p * p
        loss.backward()
        return loss

    s.lr_scan(optimizer, closure, model=model)
    assert (model.calls, p.data) == (0, 1.0)


def test_a_scan_whose_closure_raises_puts_everything_back():
    p = Value(1.0)
    optimizer = SGD([p], lr=0.3)
    losses = iter([p * p])

    def closure():
        loss = next(losses)
        loss.backward()
        return loss

    with pytest.raises(StopIteration):
        s.lr_scan(optimizer, closure)
    assert (p.data, p.grad, optimizer.lr) == (1.0, 0.0, 0.3)


def test_a_first_loss_that_is_nan_is_refused():
    optimizer = SGD([Value(1.0)], lr=0.3)
    with pytest.raises(ValueError, match="the first loss must be finite, got nan; look at the data"):
        s.lr_scan(optimizer, lambda: math.nan)
    assert optimizer.lr == 0.3


@pytest.mark.parametrize("options", [{"start": 0.0}, {"start": 1.0, "end": 0.5}, {"steps": 1}])
def test_a_range_of_rates_that_does_not_grow_is_refused(options):
    with pytest.raises(ValueError, match="must be"):
        s.lr_scan(SGD([Value(1.0)]), lambda: 1.0, **options)


def test_a_scan_without_gradients_is_refused_and_changes_nothing():
    p = Value(1.0)
    optimizer = SGD([p], lr=0.25)
    with pytest.raises(ValueError, match=r"gave no gradients; does it call loss.backward"):
        s.lr_scan(optimizer, lambda: p * p)
    assert (p.data, optimizer.lr) == (1.0, 0.25)


def test_the_repr_of_a_scan_is_short():
    assert repr(s.LRScan([0.1] * 100, [1.0] * 100, 0.05)) == "LRScan(suggestion=0.05)"
