"""A training with everything that has a state: it is stopped, saved and gone on with by the tests of saving."""

import numpy as np

from autodiff import mean
from nn import (
    LBFGS,
    MLP,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    BatchNorm1d,
    DataLoader,
    Dropout,
    GradientDescent,
    Linear,
    NAdam,
    ReduceLROnPlateau,
    RMSprop,
    Sequential,
    Tanh,
    TensorDataset,
    attach,
)
from nn.saving import load, save
from nn.schedules import cosine, step

STEPS, MIDDLE = 23, 9  # an epoch has 5 batches: the middle is not at the end of one

# optimizer, its options, NumPy's bit generator, and what happens to the rate
CASES = {
    "SGD": (SGD, {}, "PCG64", "schedule"),
    "Nesterov": (SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, "MT19937", "schedule"),
    "Adagrad": (Adagrad, {"lr_decay": 0.1}, "SFC64", "plateau"),
    "Adadelta": (Adadelta, {}, "Philox", "schedule"),
    "RMSprop": (RMSprop, {"momentum": 0.5, "centered": True}, "PCG64DXSM", "plateau"),
    "Adam": (Adam, {"amsgrad": True}, "PCG64", "schedule"),
    "AdamW": (AdamW, {}, "MT19937", "plateau"),
    "Adamax": (Adamax, {}, "SFC64", "schedule"),
    "NAdam": (NAdam, {"decoupled_weight_decay": True, "weight_decay": 0.1}, "Philox", "schedule"),
    "LBFGS": (LBFGS, {"max_iter": 2}, "PCG64DXSM", None),
    "GradientDescent": (GradientDescent, {"lr": 0.5}, "PCG64", None),
    "float32": (Adam, {}, "PCG64", "schedule"),
    "scalar": (Adam, {}, "PCG64", "schedule"),
}


def bit_generator(kind, seed):
    return np.random.Generator(getattr(np.random, kind)(seed))


class Training:
    """One of CASES. What the seed decides, a file has to put right."""

    def __init__(self, name, seed):
        self.scalar = name == "scalar"
        kind, options, generator, rate = CASES[name]
        dtype = np.float32 if name == "float32" else np.float64
        self.rng = bit_generator(generator, seed)
        self.model = MLP(3, [2, 1], activation="tanh", rng=seed) if self.scalar else network(generator, seed, dtype)
        groups = [{"params": part.parameters()} for part in (self.model.layers if self.scalar else self.model)]
        groups = [group for group in groups if group["params"]]
        if kind in (LBFGS, GradientDescent):
            groups = self.model.parameters()
        elif rate == "plateau":
            groups[0]["lr"] = 0.003
        self.optimizer = kind(groups, **options)
        self.schedule = None
        if rate == "schedule":
            rates = [cosine(0.01, 20), *[step(0.02, step_size=3, gamma=0.5)] * (len(groups) - 1)]
            self.schedule = attach(self.optimizer, rates)
        elif rate == "plateau":
            self.schedule = ReduceLROnPlateau(self.optimizer, factor=0.5, patience=1)
        data = np.random.default_rng(5)
        dataset = TensorDataset(data.normal(size=(34, 3)).astype(dtype), data.normal(size=(34, 1)).astype(dtype))
        self.loader = DataLoader(dataset, batch_size=8, shuffle=True, rng=seed)
        self.losses = []

    def parts(self):
        return {"optimizer": self.optimizer, "schedule": self.schedule, "loader": self.loader, "rng": self.rng}

    def save(self, path):
        save(path, self.model, **self.parts(), losses=self.losses)

    def load(self, path):
        self.losses = load(path, self.model, **self.parts())["losses"]

    def run(self, in_the_middle=None):
        """Train up to the end, in one loop over the batches; save to a file on the way, if one is named."""
        while True:
            for x, y in self.loader:
                self.step(x + self.rng.normal(scale=0.1, size=x.shape).astype(x.dtype), y)
                if len(self.losses) == MIDDLE and in_the_middle is not None:
                    self.save(in_the_middle)
                if len(self.losses) == STEPS:
                    return

    def step(self, x, y):
        def closure():
            self.optimizer.zero_grad()
            if self.scalar:
                loss = sum((self.model(list(row)) - float(target[0])) ** 2 for row, target in zip(x, y, strict=True))
            else:
                loss = mean((self.model(x) - y) ** 2)
            loss.backward()
            return loss

        self.losses.append(self.optimizer.step(closure))
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(self.losses[-1])
        elif self.schedule is not None:
            self.schedule.step()


def network(generator, seed, dtype):
    shared = bit_generator(generator, seed + 10)
    return Sequential(
        Linear(3, 6, rng=seed, dtype=dtype),
        BatchNorm1d(6, dtype=dtype),
        Tanh(),
        Dropout(0.3, rng=shared),
        Linear(6, 4, rng=seed + 1, dtype=dtype),
        Dropout(0.2, rng=shared),
        Dropout(0.1, rng=seed),
        Linear(4, 1, rng=seed + 2, dtype=dtype),
    )
