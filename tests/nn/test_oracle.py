"""Nothing is public in nn that computes a network, a loss, a step or a rate and was not compared with PyTorch.

The first part walks what is public and asks for a recorded case of every name and of every option. The second repeats
all recorded comparisons, and many more, with PyTorch as it is installed.
"""

import inspect
import itertools
import json

import numpy as np
import pytest

import nn
from autodiff import Tensor, Value
from nn import functional, losses, optim, schedules

from .golden_layers import assert_as_recorded
from .recorded import GOLDEN, assert_near, recorded
from .test_schedules import OURS

LIMIT = 5_000_000  # bytes of recorded numbers

# ---- what must have been compared -----------------------------------------------------------------------------

# What is no layer: bases and containers; the scalar page, which is compared with micrograd (test_scalar.py)
OTHERS = {"Module", "Activation", "Sequential", "ModuleList", "ModuleDict", "Neuron", "Layer", "MLP"}
LAYERS = {
    name: cls
    for name, cls in vars(nn).items()
    if isinstance(cls, type) and issubclass(cls, nn.Module) and name not in OTHERS and name not in losses.__all__
}
OPTIMIZERS = {
    name: cls
    for name, cls in vars(optim).items()
    if isinstance(cls, type) and issubclass(cls, optim.Optimizer) and name in optim.__all__ and name != "Optimizer"
}
SEARCHES = {"LBFGS", "GradientDescent"}  # beside SciPy and the textbook, in test_optim_search.py and test_lectures.py
RULES = sorted(OPTIMIZERS.keys() - SEARCHES)
LOSSES = sorted(set(functional.__all__) - {"l1_penalty", "l2_penalty"})  # PyTorch has no penalties
SCHEDULES = set(schedules.__all__) - {"LRScan", "ReduceLROnPlateau", "Schedule", "Scheduler", "attach", "lr_scan"}
BEGINNING = {"rng", "dtype"}  # options about the beginning and the precision, not about what is computed

RECORDED = dict(np.load(GOLDEN / "optim.npz"))
CASES = {kind: list(cases.values()) for kind, cases in json.loads(str(RECORDED["cases"])).items()}


def parameters_of(function):
    """Return the parameters of a function, or of a class, also those it hands on to a base."""
    chain = [cls.__init__ for cls in function.__mro__[:-1]] if isinstance(function, type) else [function]
    found = {}
    for part in chain:
        found = dict(inspect.signature(part).parameters) | found
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name: p for name, p in found.items() if name != "self" and p.kind not in kinds}


def options_of(function):
    """Return the options that change what is computed, with their defaults."""
    required = inspect.Parameter.empty
    found = {name: p.default for name, p in parameters_of(function).items() if p.default is not required}
    return {name: default for name, default in found.items() if name not in BEGINNING}


def never_varied(function, cases):
    """Return the options that no case sets to anything but the default."""
    options = options_of(function).items()
    same = lambda one, other: json.dumps(one) == json.dumps(other)  # to which tuples and lists are the same
    return {name for name, usual in options if all(same(case.get(name, usual), usual) for case in cases)}


def test_the_registry_sees_what_is_public():
    assert {"Linear", "Dropout", "Conv2d", "LSTM", "Step"} <= LAYERS.keys()
    assert len(LAYERS) >= 28
    assert len(OPTIMIZERS) >= 10
    assert len(LOSSES) >= 11
    assert options_of(nn.RNN).keys() == {"num_layers", "bias", "nonlinearity"}
    assert never_varied(nn.LeakyReLU, [{}, {"negative_slope": 0.01}]) == {"negative_slope"}
    assert never_varied(nn.LeakyReLU, [{"negative_slope": 0.2}]) == set()


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_every_layer_and_every_option_of_it_was_recorded(name):
    cases = [case["options"] for case in recorded("modules") if case["layer"] == name]
    assert cases
    assert never_varied(LAYERS[name], cases) == set()


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_and_every_option_of_it_was_recorded_with_every_reduction(name):
    cases = [case["options"] for case in recorded("loss_options")["cases"] if case["loss"] == name]
    reductions = {"mean", "sum", "none", *["batchmean"] * (name == "kl_div")}
    assert {case["reduction"] for case in cases} == reductions
    assert never_varied(getattr(functional, name), cases) == set()


@pytest.mark.promise(21)
@pytest.mark.parametrize("name", RULES)
def test_every_optimizer_and_every_option_of_it_was_recorded(name):
    cases = [options for optimizer, options in CASES["path"] if optimizer == name]
    assert never_varied(OPTIMIZERS[name], cases) == set()
    assert any(set(options) <= {"lr"} for options in cases)  # all defaults, too
    lengths = {len(RECORDED[key]) for key in RECORDED if key.startswith("path/")}
    assert lengths == {100}


@pytest.mark.promise(21)
def test_every_schedule_was_recorded():
    # A schedule is a function inside the function that made it; warmup and sequential are both called sequential
    recorded_schedules = {OURS[name].__qualname__.partition(".")[0] for name in OURS if f"schedule/{name}" in RECORDED}
    assert recorded_schedules | {"warmup"} == SCHEDULES
    assert never_varied(schedules.ReduceLROnPlateau, CASES["plateau"]) == set()


def test_the_golden_files_are_at_most_5_MB_and_each_has_the_script_that_made_it(figure):
    files = [path for path in GOLDEN.iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    figure("recorded numbers of other libraries, in bytes", size, LIMIT)
    assert size <= LIMIT
    scripts = "".join(path.read_text(encoding="utf-8") for path in files if path.suffix == ".py")
    assert [path.name for path in files if path.suffix != ".py" and path.stem not in scripts] == []


# ---- layers -----------------------------------------------------------------------------------------------------


@pytest.mark.promise(24)
@pytest.mark.parametrize("case", recorded("batch_norm"), ids=lambda case: f"{case['options']}")
def test_batch_norm_follows_several_batches_as_PyTorch_did(case):
    layer = nn.BatchNorm1d(**case["options"])
    for batch, seen in zip(case["batches"], case["seen"], strict=True):
        assert_near(
            layer(np.array(batch)).data if case["options"].get("affine", True) else layer(np.array(batch)),
            seen["output"],
        )
        state = layer.state_dict()
        assert list(state) == list(seen["state"])
        for name, entry in seen["state"].items():
            assert_near(state[name], entry["data"])
    assert_near(layer.eval()(Tensor(case["batches"][-1])).data, case["evaluated"])


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("seed", [21, 22, 23])
def test_layers_compute_and_differentiate_as_PyTorch_does(seed):
    from .golden import make_layers

    seen = set()
    for case in make_layers.cases(seed):
        assert_as_recorded(make_layers.record(*case))
        seen.add(case[0])
    assert seen == LAYERS.keys()


# ---- optimizers -------------------------------------------------------------------------------------------------

# For every option one value beside its default; all combinations are tried
OTHER = {
    "lr": 0.05,
    "momentum": 0.8,
    "dampening": 0.3,
    "weight_decay": 0.1,
    "nesterov": True,
    "lr_decay": 0.05,
    "initial_accumulator_value": 0.5,
    "eps": 1e-3,
    "rho": 0.8,
    "alpha": 0.9,
    "centered": True,
    "betas": (0.8, 0.9),
    "amsgrad": True,
    "momentum_decay": 0.05,
    "decoupled_weight_decay": True,
}


def combinations(name):
    """Yield every choice between the default and the other value of every option."""
    options = options_of(OPTIMIZERS[name])
    for chosen in itertools.product(*[(default, OTHER[option]) for option, default in options.items()]):
        options = dict(zip(options, chosen, strict=True))
        if not options.get("nesterov") or (options["momentum"] and not options["dampening"]):
            yield options


@pytest.mark.promise(21)
@pytest.mark.parametrize("name", RULES)
def test_a_hundred_steps_with_every_combination_of_options_are_those_that_PyTorch_makes(name, torch):
    from .golden import make_optim

    everything = list(combinations(name))
    assert len(everything) >= 16
    slopes, start = make_optim.noise()[:, :3], np.array([0.7, -1.2, 1.9])
    for options in everything:
        ours, theirs = Tensor(start), torch.tensor(start, requires_grad=True)
        optimizer, other = OPTIMIZERS[name]([ours], **options), getattr(torch.optim, name)([theirs], **options)
        for slope in slopes:
            ours.grad, theirs.grad = ours.data + slope, theirs.detach() + torch.tensor(slope)
            optimizer.step()
            other.step()
            np.testing.assert_allclose(ours.data, theirs.detach().numpy(), 1e-10, 1e-10, err_msg=str(options))
        assert np.abs(ours.data - start).min() > 1e-3


@pytest.mark.promise(21)
@pytest.mark.parametrize("kind", [Value, Tensor])
@pytest.mark.parametrize("name", RULES)
def test_parameter_groups_under_changing_rates_are_stepped_as_by_PyTorch(name, kind, torch):
    from .golden import make_optim

    start = [0.7, -1.2, 1.9]
    ours = [kind(x) for x in start]
    theirs = [torch.tensor(x, requires_grad=True) for x in start]
    optimizer, other = (
        library([{"params": p[:1]}, {"params": p[1:], "lr": 0.03, "weight_decay": 0.2}], lr=0.01)
        for library, p in ((OPTIMIZERS[name], ours), (getattr(torch.optim, name), theirs))
    )
    for step, slopes in enumerate(make_optim.noise()[:, :3]):
        for mine, group in zip(optimizer.param_groups, other.param_groups, strict=True):
            mine["lr"] = group["lr"] = 0.02 / (1.0 + step / 30.0)
        for p, q, slope in zip(ours, theirs, slopes.tolist(), strict=True):
            p.grad = p.data + slope
            q.grad = q.detach() + slope
        optimizer.step()
        other.step()
        assert_near([p.item() for p in ours], [q.item() for q in theirs])


# ---- schedules --------------------------------------------------------------------------------------------------


def drawn_schedules(rng):
    """Yield (name, our schedule, the name of PyTorch's scheduler, its options, its first rate, a length T)."""
    lr, gamma = rng.uniform(0.1, 1.0), rng.uniform(0.3, 0.99)
    n, m = (int(k) for k in rng.integers(2, 25, 2))
    low, milestones = 0.1 * lr, sorted(rng.choice(40, 3, replace=False).tolist())
    s = schedules
    yield "constant", s.constant(lr), "ConstantLR", {"factor": 1.0}, lr, n
    yield "step", s.step(lr, n, gamma), "StepLR", {"step_size": n, "gamma": gamma}, lr, 3 * n
    options = {"milestones": [k + 1 for k in milestones], "gamma": gamma}
    yield "multi_step", s.multi_step(lr, options["milestones"], gamma), "MultiStepLR", options, lr, 45
    yield "exponential", s.exponential(lr, gamma), "ExponentialLR", {"gamma": gamma}, lr, n
    slower, lower = {"lr_lambda": lambda t: gamma ** (t / m)}, {"lr_lambda": lambda t: 1.0 / (1.0 + gamma * t / m)}
    yield "exponential every", s.exponential(lr, gamma, every=m), "LambdaLR", slower, lr, n
    yield "inverse_time", s.inverse_time(lr, gamma, every=m), "LambdaLR", lower, lr, n
    power = rng.uniform(0.5, 3.0)
    yield "polynomial", s.polynomial(lr, n, power), "PolynomialLR", {"total_iters": n, "power": power}, lr, n
    ending = {"lr_lambda": lambda t: 0.1 + 0.9 * max(0.0, 1.0 - t / n) ** power}
    yield "polynomial end", s.polynomial(lr, n, power, end=low), "LambdaLR", ending, lr, n
    options = {"start_factor": 0.2, "end_factor": gamma, "total_iters": n}
    yield "linear", s.linear(0.2 * lr, gamma * lr, n), "LinearLR", options, lr, n
    yield "cosine", s.cosine(lr, n, low), "CosineAnnealingLR", {"T_max": n, "eta_min": low}, lr, n
    restarts = {"T_0": n, "T_mult": int(rng.integers(1, 4)), "eta_min": low}
    warm = s.cosine_warm_restarts(lr, n, restarts["T_mult"], low)
    yield "cosine_warm_restarts", warm, "CosineAnnealingWarmRestarts", restarts, lr, 4 * n
    for mode in ("triangular", "triangular2", "exp_range"):
        options = {"step_size_up": n, "step_size_down": m, "mode": mode, "gamma": gamma}
        limits = {"base_lr": low, "max_lr": lr}
        yield f"cyclical {mode}", s.cyclical(low, lr, n, m, mode, gamma), "CyclicLR", limits | options, low, 2 * (n + m)
    for strategy, three_phase in itertools.product(("cos", "linear"), (False, True)):
        options = {"total_steps": 40 + n, "pct_start": rng.uniform(0.1, 0.45), "anneal_strategy": strategy}
        options |= {"div_factor": 10.0 * gamma + 5.0, "final_div_factor": 30.0, "three_phase": three_phase}
        name = f"one_cycle {strategy}{' three phases' if three_phase else ''}"
        # PyTorch's ends at the last step, so 2T + 1 rates must not be more than the steps there are
        yield name, s.one_cycle(lr, **options), "OneCycleLR", {"max_lr": lr, **options}, lr, (39 + n) // 2


@pytest.mark.promise(21)
@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("seed", range(10))
def test_schedules_with_options_drawn_at_random_are_PyTorchs_up_to_twice_their_length(seed):
    from .golden import make_optim

    seen = []
    for name, ours, scheduler, options, lr, length in drawn_schedules(np.random.default_rng(seed)):
        expected = make_optim.rates(scheduler, options, lr, 2 * length + 1)
        got = [ours(t) for t in range(2 * length + 1)]
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12, err_msg=f"{name} {options}")
        seen.append(name)
    assert len(seen) == len(set(seen)) == 18
    assert {name.partition(" ")[0] for name in seen} == SCHEDULES - {"warmup", "sequential", "chain"}


@pytest.mark.promise(21)
@pytest.mark.filterwarnings("ignore::UserWarning")  # SequentialLR warns of calls of its own
@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("name", ["warmup", "chain"])
def test_composed_schedules_are_PyTorchs(name):
    from .golden import make_optim

    expected = make_optim.composed()[name]
    assert_near([OURS[name](t) for t in range(len(expected))], expected)


@pytest.mark.promise(21)
@pytest.mark.parametrize("seed", range(5))
def test_a_plateau_with_every_combination_of_options_is_PyTorchs(seed, torch):
    rng = np.random.default_rng(seed)
    metrics = np.concatenate([np.linspace(2.0, -0.5, 15), rng.normal(-0.5, 0.1, 40), np.linspace(-0.7, -3.0, 10)])
    choices = {"mode": ("min", "max"), "threshold_mode": ("rel", "abs"), "cooldown": (0, 3), "min_lr": (0.0, 0.05)}
    choices |= {"eps": (1e-8, 0.04), "threshold": (1e-4, 0.1), "factor": (0.1, 0.6), "patience": (1, 4)}
    assert choices.keys() == options_of(schedules.ReduceLROnPlateau).keys()
    for chosen in itertools.product(*choices.values()):
        options = dict(zip(choices, chosen, strict=True))
        ours, theirs = optim.SGD([Value(1.0)], lr=1.0), torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        here = schedules.ReduceLROnPlateau(ours, **options)
        there = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
        for metric in metrics.tolist():
            here.step(metric)
            there.step(metric)
            assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-10), options
