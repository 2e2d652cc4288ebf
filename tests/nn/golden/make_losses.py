"""Record what PyTorch (2.13, float64) computes for every loss, with every option and reduction.

    python tests/nn/golden/make_losses.py

writes loss_options.json beside it. Numbers are written with all their digits, so the file is exact.
"""

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # the name that everybody gives it

HERE = Path(__file__).resolve().parent
REDUCTIONS = ("mean", "sum", "none")


def reduced(terms, reduction):
    return {"mean": torch.mean, "sum": torch.sum, "none": lambda x: x}[reduction](terms)


def classes_second(logits):
    """PyTorch wants (batch, classes, ...), we have (batch, ..., classes)."""
    return logits.movedim(-1, 1) if logits.ndim > 2 else logits


def cross_entropy(logits, target, *, weight=None, **options):
    target = classes_second(target) if target.is_floating_point() else target
    weight = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    return F.cross_entropy(classes_second(logits), target, weight=weight, **options)


def nll_loss(logs, target, *, weight=None, **options):
    weight = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    return F.nll_loss(classes_second(logs), target, weight=weight, **options)


def chi2_loss(prediction, target, sigma, *, reduction):
    return reduced(((prediction - target) / torch.tensor(sigma, dtype=torch.float64)) ** 2, reduction)


LOSSES = {
    "mse_loss": lambda p, t, *, half, reduction: F.mse_loss(p, t, reduction=reduction) * (0.5 if half else 1.0),
    "l1_loss": F.l1_loss,
    "huber_loss": F.huber_loss,
    "chi2_loss": chi2_loss,
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "logistic_loss": F.soft_margin_loss,
    "hinge_loss": lambda z, y, *, reduction: F.margin_ranking_loss(z, torch.zeros_like(z), y, 1.0, reduction=reduction),
    "cross_entropy": cross_entropy,
    "nll_loss": nll_loss,
    "kl_div": F.kl_div,
}
"""PyTorch's name for each of our losses, or its formula where PyTorch has no such loss."""


def draw(seed):
    """Return the operands that the cases name."""
    rng = np.random.default_rng(seed)
    scores = (3.0 * rng.normal(size=(4, 3))).round(3)
    target = (3.0 * rng.normal(size=(4, 3))).round(3)
    target[0, 0] = scores[0, 0]  # the kink of the absolute error
    labels = rng.integers(0, 3, 4)
    ignoring = labels.copy()
    ignoring[[0, 2]] = -100
    high = rng.integers(0, 4, (2, 3))
    high[1, 2] = 2
    probabilities = rng.uniform(0.05, 1.0, (4, 3)).round(3)
    return {
        "scores": scores,
        "target": target,
        "probabilities": rng.uniform(0.01, 0.99, (4, 3)).round(3),
        "shares": rng.uniform(size=(4, 3)).round(3),
        "bits": rng.integers(0, 2, (4, 3)).astype(float),
        "signs": rng.choice([-1.0, 1.0], (4, 3)),
        "distribution": probabilities / probabilities.sum(axis=1, keepdims=True),
        "log_distribution": np.log(probabilities / probabilities.sum(axis=1, keepdims=True)),
        "logs": np.log(rng.dirichlet(np.ones(3), 4)),
        "labels": labels,
        "ignoring": ignoring,
        "large": (300.0 * rng.normal(size=(4, 3))).round(1),
        "cube": rng.normal(size=(2, 3, 4)).round(3),
        "cube_logs": np.log(rng.dirichlet(np.ones(4), (2, 3))),
        "cube_labels": high,
        "cube_distribution": rng.dirichlet(np.ones(4), (2, 3)),
    }


def cases():
    """Yield (loss, prediction, target, options): every option with every reduction."""
    plain = [
        ("mse_loss", "scores", "target", {"half": [False, True]}),
        ("l1_loss", "scores", "target", {}),
        ("huber_loss", "scores", "target", {"delta": [1.0, 0.3, 2.5]}),
        ("chi2_loss", "scores", "target", {"sigma": [0.5, [0.2, 1.0, 3.0], [[0.5], [1.0], [2.0], [0.1]]]}),
        ("binary_cross_entropy", "probabilities", "shares", {}),
        ("binary_cross_entropy", "probabilities", "bits", {}),
        ("binary_cross_entropy_with_logits", "scores", "shares", {}),
        ("binary_cross_entropy_with_logits", "large", "bits", {}),
        ("logistic_loss", "scores", "signs", {}),
        ("hinge_loss", "scores", "signs", {}),
        ("kl_div", "logs", "distribution", {"log_target": [False]}),
        ("kl_div", "logs", "log_distribution", {"log_target": [True]}),
    ]
    weights, smoothing = {"weight": [None, [0.5, 2.0, 1.25]]}, {"label_smoothing": [0.0, 0.1, 1.0]}
    cube = {"weight": [None, [0.5, 2.0, 1.25, 0.0]]}
    plain += [
        ("cross_entropy", "scores", "labels", weights | smoothing),
        ("cross_entropy", "scores", "ignoring", weights | smoothing),
        ("cross_entropy", "scores", "labels", weights | smoothing | {"ignore_index": [0, 2]}),
        ("cross_entropy", "scores", "distribution", weights | smoothing),
        ("cross_entropy", "large", "labels", {}),
        ("cross_entropy", "cube", "cube_labels", cube | smoothing | {"ignore_index": [-100, 2]}),
        ("cross_entropy", "cube", "cube_distribution", cube | smoothing),
        ("nll_loss", "logs", "labels", weights | {"ignore_index": [-100, 1]}),
        ("nll_loss", "logs", "ignoring", weights),
        ("nll_loss", "cube_logs", "cube_labels", cube | {"ignore_index": [-100, 2]}),
    ]
    for loss, prediction, target, options in plain:
        reductions = (*REDUCTIONS, "batchmean") if loss == "kl_div" else REDUCTIONS
        for chosen in itertools.product(*options.values(), reductions):
            yield loss, prediction, target, dict(zip([*options, "reduction"], chosen, strict=True))


def judge(loss, prediction, target, options):
    """Return PyTorch's value and the gradients of sum(value * (1, 2, 3, ...)) by prediction and target."""
    p, t = torch.tensor(prediction, requires_grad=True), torch.tensor(target)
    differentiable = t.is_floating_point() and loss not in {"logistic_loss", "hinge_loss"}
    t.requires_grad_(differentiable)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does not like the mean that kl_div has by default
        value = LOSSES[loss](p, t, **options)
    (value * upstream(value.shape, torch)).sum().backward()
    return {
        "value": value.tolist(),
        "gradient": p.grad.tolist(),
        "target_gradient": t.grad.tolist() if differentiable else None,
    }


def upstream(shape, library):
    """1, 2, 3, ...: a gradient from above that is different for every element."""
    return library.arange(1.0, int(np.prod(shape)) + 1.0, dtype=library.float64).reshape(tuple(shape))


def main():
    operands = draw(0)
    made = {"operands": {name: x.tolist() for name, x in operands.items()}, "cases": []}
    for loss, prediction, target, options in cases():
        found = judge(loss, operands[prediction], operands[target], options)
        case = {"loss": loss, "prediction": prediction, "target": target, "options": options}
        made["cases"].append(case | found)
    text = json.dumps(made, separators=(",", ":"))
    (HERE / "loss_options.json").write_text(text + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
