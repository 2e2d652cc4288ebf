"""Record how PyTorch (2.13, float64) trains two networks of the lectures, for tests that do not need it.

    python tests/nn/golden/make_lectures.py

writes lectures.npz beside it: the data, the starting weights and the order of the batches, and what came of them.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # the name that everybody gives it

HERE = Path(__file__).resolve().parent
XOR_SEEDS = range(20)
XOR_STEPS, XOR_BATCH = 2500, 64
EPOCHS, BATCH = 500, 10


def start(seed, *sizes):
    """Return weights and biases, uniform in +-1/sqrt(n_in) and rounded, of linear layers between these sizes."""
    rng = np.random.default_rng(seed)
    drawn = []
    for n_in, n_out in pairwise(sizes):
        bound = n_in**-0.5
        drawn += [rng.uniform(-bound, bound, shape).round(4) for shape in ((n_out, n_in), (n_out,))]
    return drawn


def network(parameters, *modules):
    net = torch.nn.Sequential(*modules).double()
    with torch.no_grad():
        for p, numbers in zip(net.parameters(), parameters, strict=True):
            p.copy_(torch.tensor(numbers))
    return net


def xor():
    """Return 200 points of lecture 000, the rows of every batch, and the first weights for every seed."""
    rng = np.random.default_rng(0)
    points = np.sign(rng.normal(size=(200, 2))) + 0.1 * rng.normal(size=(200, 2))
    rows = np.array([rng.choice(200, XOR_BATCH, replace=False) for _ in range(XOR_STEPS)], np.uint8)
    made = {"points": points, "labels": (points.prod(axis=1) > 0.0).astype(float), "rows": rows}
    return made | {f"start/{seed}/{i}": p for seed in XOR_SEEDS for i, p in enumerate(start(seed, 2, 4, 1))}


def learn_xor(made, seed):
    """Return the loss of every step, and the scores of all points after the last."""
    points, labels = torch.tensor(made["points"]), torch.tensor(made["labels"][:, None])
    first = [made[f"start/{seed}/{i}"] for i in range(4)]
    net = network(first, torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = []
    for rows in torch.tensor(made["rows"].astype(np.int64)):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(net(points[rows]), labels[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses), net(points).detach().numpy()


def sin_cos():
    """Return 100 examples of lecture 002, the rows to learn from in the order of every epoch, and those held out."""
    t = np.linspace(0.0, 10.0, 100)
    inputs = np.column_stack([np.sin(t), np.cos(t)])
    rng = np.random.default_rng(0)
    mixed = rng.permutation(100).astype(np.uint8)
    rows = np.array([rng.permutation(mixed[:80]) for _ in range(EPOCHS)])
    made = {"inputs": inputs, "targets": inputs.prod(axis=1, keepdims=True), "rows": rows, "held_out": mixed[80:]}
    return made | {f"start/{i}": p for i, p in enumerate(start(0, 2, 3, 1))}


def fit_sin_cos(made):
    """Return the mean loss of the batches and the validation loss, epoch by epoch."""
    inputs, targets = torch.tensor(made["inputs"]), torch.tensor(made["targets"])
    held_out = torch.tensor(made["held_out"].astype(np.int64))
    first = [made[f"start/{i}"] for i in range(4)]
    net = network(first, torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    optimizer = torch.optim.Adam(net.parameters())
    curves = []
    for epoch in torch.tensor(made["rows"].astype(np.int64)):
        losses = []
        for rows in epoch.split(BATCH):
            optimizer.zero_grad()
            loss = F.mse_loss(net(inputs[rows]), targets[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves.append([np.mean(losses), F.mse_loss(net(inputs[held_out]), targets[held_out]).item()])
    return np.array(curves)


def main():
    plane, curve = xor(), sin_cos()
    made = {f"xor/{name}": x for name, x in plane.items()}
    for seed in XOR_SEEDS:
        losses, scores = learn_xor(plane, seed)
        made |= {f"xor/losses/{seed}": losses[99::100], f"xor/scores/{seed}": scores}
    made |= {f"sin_cos/{name}": x for name, x in curve.items()} | {"sin_cos/losses": fit_sin_cos(curve)}
    np.savez_compressed(HERE / "lectures.npz", **made)


if __name__ == "__main__":
    main()
