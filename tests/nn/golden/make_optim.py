"""Record the paths of PyTorch's optimizers and the rates of its schedulers (2.13, float64), for tests without PyTorch.

    python tests/nn/golden/make_optim.py

writes optim.npz beside it: all 100 steps of every case, with all digits, and as JSON what the cases are.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.optim import lr_scheduler

HERE = Path(__file__).resolve().parent
STEPS = 100
START = (np.array([[0.7, -1.2], [0.3, 1.9]]), np.array([-0.4, 0.8, 1.5]))

# name: (optimizer, options). Every option of every optimizer is away from its default at least once.
CASES = {
    "SGD": ("SGD", {"lr": 0.05}),
    "SGD-momentum": ("SGD", {"lr": 0.02, "momentum": 0.9}),
    "SGD-dampening": ("SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.3}),
    "SGD-nesterov": ("SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "SGD-all": ("SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "Adagrad": ("Adagrad", {}),
    "Adagrad-all": (
        "Adagrad",
        {"lr": 0.3, "lr_decay": 0.05, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3},
    ),
    "Adadelta": ("Adadelta", {}),
    "Adadelta-all": ("Adadelta", {"lr": 0.7, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    "RMSprop": ("RMSprop", {}),
    "RMSprop-rate": ("RMSprop", {"lr": 0.05}),
    "RMSprop-momentum": ("RMSprop", {"alpha": 0.9, "eps": 1e-4, "momentum": 0.7}),
    "RMSprop-centered": ("RMSprop", {"alpha": 0.9, "eps": 1e-2, "centered": True}),
    "RMSprop-all": ("RMSprop", {"alpha": 0.9, "eps": 1e-2, "weight_decay": 0.1, "momentum": 0.5, "centered": True}),
    "Adam": ("Adam", {}),
    "Adam-betas": ("Adam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    "Adam-amsgrad": ("Adam", {"lr": 0.1, "betas": (0.9, 0.8), "amsgrad": True}),
    "AdamW": ("AdamW", {}),
    "AdamW-all": ("AdamW", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.3, "amsgrad": True}),
    "Adamax": ("Adamax", {}),
    "Adamax-all": ("Adamax", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.1}),
    "NAdam": ("NAdam", {}),
    "NAdam-all": ("NAdam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.05}),
    "NAdam-decoupled": ("NAdam", {"lr": 0.05, "weight_decay": 0.3, "decoupled_weight_decay": True}),
}

# Lecture 004 on Beale's function; "schedule" is one of SCHEDULES
BEALE = {
    "SGD": ("SGD", {"lr": 0.01}),
    "momentum": ("SGD", {"lr": 0.005, "momentum": 0.9}),
    "nesterov": ("SGD", {"lr": 0.005, "momentum": 0.9, "nesterov": True}),
    "Adagrad": ("Adagrad", {"lr": 0.4}),
    "RMSprop": ("RMSprop", {"lr": 0.1}),
    "Adam": ("Adam", {"lr": 0.2}),
    "Adamax": ("Adamax", {"lr": 0.2}),
    "decay": ("SGD", {"lr": 0.02, "schedule": "beale-decay"}),
    "cyclical": ("SGD", {"lr": 1e-4, "schedule": "beale-cyclical"}),
} | {f"rate-{i}": ("SGD", {"lr": 0.005 * i}) for i in range(10)}

# name: (scheduler, options, first rate, number of rates)
SCHEDULES = {
    "constant": ("ConstantLR", {"factor": 1.0}, 0.3, 20),
    "step": ("StepLR", {"step_size": 7, "gamma": 0.3}, 0.3, 60),
    "multi_step": ("MultiStepLR", {"milestones": [3, 10, 11], "gamma": 0.5}, 0.3, 40),
    "exponential": ("ExponentialLR", {"gamma": 0.93}, 0.3, 100),
    "inverse_time": ("LambdaLR", {"lr_lambda": lambda t: 1.0 / (1.0 + 0.5 * t / 10)}, 0.3, 40),
    "polynomial": ("PolynomialLR", {"total_iters": 20, "power": 1.7}, 0.3, 40),
    "linear": ("LinearLR", {"start_factor": 0.25, "end_factor": 0.75, "total_iters": 8}, 0.4, 16),
    "cosine": ("CosineAnnealingLR", {"T_max": 20, "eta_min": 0.01}, 0.3, 40),
    "cosine_warm_restarts": ("CosineAnnealingWarmRestarts", {"T_0": 7, "eta_min": 0.01}, 0.3, 40),
    "cosine_warm_restarts_2": ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 2}, 0.3, 80),
    "triangular": ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 6, "step_size_down": 9}, 0.1, 60),
    "triangular2": ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 6, "mode": "triangular2"}, 0.1, 60),
    "exp_range": (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 6, "mode": "exp_range", "gamma": 0.97},
        0.1,
        60,
    ),
    "one_cycle": ("OneCycleLR", {"max_lr": 0.6, "total_steps": 50}, 0.6, 50),
    "one_cycle_linear": (
        "OneCycleLR",
        {
            "max_lr": 0.6,
            "total_steps": 50,
            "pct_start": 0.45,
            "anneal_strategy": "linear",
            "div_factor": 10.0,
            "final_div_factor": 100.0,
        },
        0.6,
        50,
    ),
    "one_cycle_three_phase": ("OneCycleLR", {"max_lr": 0.6, "total_steps": 50, "three_phase": True}, 0.6, 50),
    "beale-decay": ("LambdaLR", {"lr_lambda": lambda t: 0.96 ** (t / 100)}, 0.02, 100),
    "beale-cyclical": ("CyclicLR", {"base_lr": 1e-4, "max_lr": 0.1, "step_size_up": 100}, 1e-4, 100),
}

PLATEAU = {
    "default": {"factor": 0.5, "patience": 2},
    "cooldown": {"factor": 0.5, "patience": 1, "cooldown": 3, "min_lr": 0.05, "threshold": 0.1},
    "absolute": {"factor": 0.3, "patience": 1, "threshold": 0.2, "threshold_mode": "abs"},
    "eps": {"factor": 0.5, "patience": 1, "eps": 0.05},
    "max": {"mode": "max", "factor": 0.7, "patience": 3, "threshold": 0.05},
    "max-absolute": {"mode": "max", "factor": 0.7, "patience": 2, "threshold": 0.1, "threshold_mode": "abs"},
}


def metrics():
    """Losses that fall, stall and jump; also negative ones."""
    rng = np.random.default_rng(8)
    return np.concatenate([np.linspace(2.0, -0.5, 15), rng.normal(-0.5, 0.1, 25), np.linspace(-0.7, -3.0, 10)])


def noise():
    """Slopes that change from step to step, as those of batches do: no path comes to rest, where rounding decides."""
    return np.random.default_rng(9).normal(size=(STEPS, 7)).round(3)


def loss_of(step, matrix, vector):
    """A bowl with curvatures 1 and 3, tilted by the step's slopes."""
    slopes = torch.tensor(noise()[step])
    bowl = (matrix * matrix).sum() / 2 + (vector * vector).sum() * 1.5
    return bowl + (matrix.reshape(-1) * slopes[:4]).sum() + (vector * slopes[4:]).sum()


def path(name, options, parameters, loss):
    """Return the parameters, side by side, after each step."""
    options = dict(options)
    schedule = options.pop("schedule", None)
    parameters = [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in parameters]
    optimizer = getattr(torch.optim, name)(parameters, **options)
    scheduler = scheduled(optimizer, *SCHEDULES[schedule][:2]) if schedule else None
    places = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss(step, *parameters).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        places.append(torch.cat([p.detach().reshape(-1) for p in parameters]).numpy().copy())
    return np.array(places)


def beale(_, x, y):
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def scheduled(optimizer, name, options):
    extra = {"cycle_momentum": False} if name in ("CyclicLR", "OneCycleLR") else {}
    return getattr(lr_scheduler, name)(optimizer, **options, **extra)


def rates(name, options, lr, count):
    optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64, requires_grad=True)], lr=lr)
    return seen(optimizer, scheduled(optimizer, name, options), count)


def seen(optimizer, scheduler, count):
    found = [optimizer.param_groups[0]["lr"]]
    for _ in range(count - 1):
        optimizer.step()
        scheduler.step()
        found.append(optimizer.param_groups[0]["lr"])
    return np.array(found)


def composed():
    """A linear warm-up before a cosine, and an exponential and a step schedule at once."""
    made = {}
    optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64, requires_grad=True)], lr=0.3)
    up = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=5)
    down = lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    made["warmup"] = seen(optimizer, lr_scheduler.SequentialLR(optimizer, [up, down], [5]), 25)
    optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64, requires_grad=True)], lr=0.3)
    both = [lr_scheduler.ExponentialLR(optimizer, 0.9), lr_scheduler.StepLR(optimizer, 6, 0.5)]
    made["chain"] = seen(optimizer, lr_scheduler.ChainedScheduler(both), 40)
    return made


def plateau(options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    found = []
    for metric in metrics():
        scheduler.step(metric)
        found.append(optimizer.param_groups[0]["lr"])
    return np.array(found)


def main():
    torch.set_default_dtype(torch.float64)  # NAdam keeps a number in the default dtype
    warnings.simplefilter("ignore")  # SequentialLR warns of its own calls
    made = {f"path/{case}": path(*CASES[case], START, loss_of) for case in CASES}
    made |= {f"beale/{case}": path(*BEALE[case], (0.8, 1.6), beale) for case in BEALE}
    made |= {f"schedule/{case}": rates(*SCHEDULES[case]) for case in SCHEDULES}
    made |= {f"schedule/{case}": found for case, found in composed().items()}
    made |= {f"plateau/{case}": plateau(options) for case, options in PLATEAU.items()}
    cases = {"path": CASES, "beale": BEALE, "plateau": PLATEAU}
    made |= {
        "start/0": START[0],
        "start/1": START[1],
        "metrics": metrics(),
        "noise": noise(),
        "cases": np.array(json.dumps(cases)),
    }
    np.savez_compressed(HERE / "optim.npz", **made)


if __name__ == "__main__":
    main()
