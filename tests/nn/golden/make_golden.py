"""Record what PyTorch (2.13, float64) and micrograd (0.1.0) compute, for tests that need neither.

    python tests/nn/golden/make_golden.py

writes the .json files beside it. Numbers are written with all their digits, so the files are exact.
"""

import json
from pathlib import Path

import micrograd.engine
import micrograd.nn
import numpy as np
import torch

HERE = Path(__file__).resolve().parent
RECORDED_STEPS = (1, 2, 3, 10, 30, 100)

ACTIVATIONS = {
    "ReLU": torch.nn.ReLU(),
    "LeakyReLU": torch.nn.LeakyReLU(0.2),
    "ELU": torch.nn.ELU(0.7),
    "SELU": torch.nn.SELU(),
    "GELU": torch.nn.GELU(),
    "SiLU": torch.nn.SiLU(),
    "Sigmoid": torch.nn.Sigmoid(),
    "Tanh": torch.nn.Tanh(),
    "Softplus": torch.nn.Softplus(),
    "Softsign": torch.nn.Softsign(),
}


def network(seed, *modules):
    """Return a float64 Sequential whose parameters are drawn by NumPy and rounded, so that they are short to write."""
    net = torch.nn.Sequential(*modules).double()
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.tensor(rng.normal(size=tuple(p.shape)).round(3)))
    return net


def state(net):
    return {name: p.tolist() for name, p in net.named_parameters()}


def gradients(net):
    return {name: p.grad.tolist() for name, p in net.named_parameters()}


def layers():
    """Linear, activation, Linear: outputs, and the gradients of sum(output * weights) by everything."""
    rng = np.random.default_rng(1)
    x, weights = rng.normal(size=(5, 3)).round(3), rng.normal(size=(5, 2)).round(3)
    made = {"x": x.tolist(), "weights": weights.tolist(), "cases": {}}
    for name, activation in ACTIVATIONS.items():
        net = network(2, torch.nn.Linear(3, 4), activation, torch.nn.Linear(4, 2))
        made["parameters"] = state(net)
        inputs = torch.tensor(x, requires_grad=True)
        y = net(inputs)
        (y * torch.tensor(weights)).sum().backward()
        made["cases"][name] = {"y": y.tolist(), "x_grad": inputs.grad.tolist(), "gradients": gradients(net)}
    return made


def losses():
    """Each loss with its gradient by the predictions, on ordinary and on large numbers."""
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(4, 3)).round(3) * 3
    large = (rng.normal(size=(4, 3)) * 300).round(1)
    targets = rng.uniform(size=(4, 3)).round(3)
    labels, binary = np.array([2, 0, 1, 2]), (targets > 0.5).astype(float)
    mixed = targets / targets.sum(axis=1, keepdims=True)
    mse, bce, ce = torch.nn.MSELoss(), torch.nn.BCEWithLogitsLoss(), torch.nn.CrossEntropyLoss()
    cases = [
        ("MSELoss", mse, scores, targets),
        ("BCEWithLogitsLoss", bce, scores, binary),
        ("BCEWithLogitsLoss", bce, scores, targets),
        ("BCEWithLogitsLoss", bce, large, binary),
        ("CrossEntropyLoss", ce, scores, labels),
        ("CrossEntropyLoss", ce, scores, mixed),
        ("CrossEntropyLoss", ce, large, labels),
    ]
    made = []
    for name, loss, prediction, target in cases:
        p = torch.tensor(prediction, requires_grad=True)
        value = loss(p, torch.tensor(target))
        value.backward()
        made.append(
            {
                "loss": name,
                "prediction": prediction.tolist(),
                "target": target.tolist(),
                "value": value.item(),
                "gradient": p.grad.tolist(),
            }
        )
    return made


def sgd():
    """The parameters and the loss along 100 steps of gradient descent on a small regression."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-1.0, 1.0, (8, 2)).round(3)
    target = np.sin(3.0 * x[:, :1]) * x[:, 1:]
    made = {"x": x.tolist(), "target": target.tolist(), "lr": 0.1, "paths": {}}
    for momentum in (0.0, 0.9):
        net = network(5, torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
        made["parameters"] = state(net)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=momentum)
        path = made["paths"][str(momentum)] = {}
        for step in range(1, 101):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(net(torch.tensor(x)), torch.tensor(target))
            loss.backward()
            optimizer.step()
            if step in RECORDED_STEPS:
                path[step] = {"loss_before": loss.item(), "parameters": state(net)}
    return made


def micrograd_networks():
    """MLPs of micrograd: outputs, and the gradients of the sum of their squares by every parameter and input."""
    made = []
    rng = np.random.default_rng(6)
    for nin, nouts in ((2, [1]), (3, [4, 4, 1]), (2, [3, 2])):
        mlp = micrograd.nn.MLP(nin, nouts)
        for p in mlp.parameters():
            p.data = round(float(rng.normal()), 3)
        x = [micrograd.engine.Value(float(v)) for v in rng.normal(size=nin).round(3)]
        out = mlp(x)
        out = out if isinstance(out, list) else [out]
        sum((y * y for y in out), micrograd.engine.Value(0.0)).backward()
        made.append(
            {
                "nin": nin,
                "nouts": nouts,
                "parameters": [p.data for p in mlp.parameters()],
                "x": [v.data for v in x],
                "out": [y.data for y in out],
                "gradients": [p.grad for p in mlp.parameters()],
                "x_gradients": [v.grad for v in x],
                "repr": repr(mlp),
            }
        )
    return made


def main():
    for name, made in {"layers": layers, "losses": losses, "sgd": sgd, "micrograd": micrograd_networks}.items():
        (HERE / f"{name}.json").write_text(json.dumps(made(), separators=(",", ":")) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
