"""Record what PyTorch (2.13, float64) computes with its layers, for tests that do not need it.

    python tests/nn/golden/make_layers.py

writes modules.json beside it: for every case the layer's name and options as ours takes them, its state before and
after, inputs, outputs, and the gradients of sum(output * weight) by everything. All drawn numbers are rounded, so that
they are short to write; computed ones have all their digits.
"""

import json
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent


def cases():
    """Yield (name of our layer, its options, torch's layer, inputs, whether in training)."""
    rng = np.random.default_rng(11)

    def draw(*shape):
        return rng.normal(size=shape).round(3)

    nn = torch.nn
    yield "Linear", {"in_features": 3, "out_features": 2}, nn.Linear(3, 2), [draw(4, 3)], True
    yield "Linear", {"in_features": 3, "out_features": 2, "bias": False}, nn.Linear(3, 2, False), [draw(2, 4, 3)], True
    yield "Embedding", {"num_embeddings": 6, "embedding_dim": 3}, nn.Embedding(6, 3), [np.array([[1, 5], [1, 0]])], True
    padded = nn.Embedding(6, 2, padding_idx=2)
    options = {"num_embeddings": 6, "embedding_dim": 2, "padding_idx": 2}
    yield "Embedding", options, padded, [np.array([1, 2, 2, 1, 4])], True
    yield "Flatten", {}, nn.Flatten(), [draw(2, 3, 4)], True
    yield "Flatten", {"start_axis": 0, "end_axis": 1}, nn.Flatten(0, 1), [draw(2, 3, 4)], True
    yield "Softmax", {"axis": 1}, nn.Softmax(1), [draw(2, 3, 4)], True
    yield "LogSoftmax", {"axis": 0}, nn.LogSoftmax(0), [draw(2, 3)], True
    yield "LogSigmoid", {}, nn.LogSigmoid(), [draw(2, 3)], True
    yield from normalizations(nn, draw)
    yield from convolutions(nn, draw)
    yield from recurrences(nn, draw)


def normalizations(nn, draw):
    for training in (True, False):
        for shape in ((5, 3), (4, 3, 2)):
            yield "BatchNorm1d", {"num_features": 3}, nn.BatchNorm1d(3), [draw(*shape)], training
        options = {"num_features": 3, "eps": 0.1, "momentum": 0.3, "affine": False}
        yield "BatchNorm1d", options, nn.BatchNorm1d(3, 0.1, 0.3, affine=False), [draw(5, 3)], training
        cumulative = nn.BatchNorm1d(3, momentum=None)
        yield "BatchNorm1d", {"num_features": 3, "momentum": None}, cumulative, [draw(5, 3)], training
        untracked = nn.BatchNorm1d(3, track_running_stats=False)
        yield "BatchNorm1d", {"num_features": 3, "track_running_stats": False}, untracked, [draw(5, 3)], training
    yield "LayerNorm", {"normalized_shape": 4}, nn.LayerNorm(4), [draw(2, 3, 4)], True
    options = {"normalized_shape": [3, 4], "eps": 0.01}
    yield "LayerNorm", options, nn.LayerNorm([3, 4], 0.01), [draw(2, 3, 4)], True
    yield "LayerNorm", {"normalized_shape": 4, "bias": False}, nn.LayerNorm(4, bias=False), [draw(3, 4)], True
    plain = nn.LayerNorm(4, elementwise_affine=False)
    yield "LayerNorm", {"normalized_shape": 4, "elementwise_affine": False}, plain, [draw(3, 4)], True


def convolutions(nn, draw):
    for options in (
        {"kernel_size": 3},
        {"kernel_size": [2, 3], "stride": 2, "bias": False},
        {"kernel_size": 3, "padding": 1, "stride": [1, 2]},
        {"kernel_size": 2, "dilation": [2, 1], "padding": [1, 0]},
    ):
        tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        layer = nn.Conv2d(2, 3, **tuples)
        yield "Conv2d", {"in_channels": 2, "out_channels": 3, **options}, layer, [draw(2, 2, 6, 5)], True
    for options in (
        {"kernel_size": 2},
        {"kernel_size": [3, 2], "stride": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1},
    ):
        tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        for name in ("MaxPool2d", "AvgPool2d"):
            yield name, options, getattr(nn, name)(**tuples), [draw(2, 2, 6, 5)], True


def recurrences(nn, draw):
    for name in ("RNN", "GRU", "LSTM"):
        for more in ({}, {"num_layers": 2}, {"bias": False}):
            options = {"input_size": 3, "hidden_size": 2, **more}
            layers = more.get("num_layers", 1)
            states = [draw(layers, 2, 2) for _ in range(2 if name == "LSTM" else 1)]
            yield name, options, getattr(nn, name)(**options), [draw(4, 2, 3), *states], True
        options = {"input_size": 3, "hidden_size": 2}
        yield name, options, getattr(nn, name)(3, 2), [draw(3, 1, 3)], True
    options = {"input_size": 3, "hidden_size": 2, "nonlinearity": "relu"}
    yield "RNN", options, nn.RNN(3, 2, nonlinearity="relu"), [draw(4, 2, 3)], True


def flat(x):
    return [x] if isinstance(x, torch.Tensor) else [tensor for part in x for tensor in flat(part)]


def state(layer):
    return {name: {"dtype": str(p.numpy().dtype), "data": p.tolist()} for name, p in layer.state_dict().items()}


def record(name, options, layer, inputs, training):
    """Fill the layer with rounded numbers, and note what it does."""
    layer = layer.double().train(training)
    rng = np.random.default_rng(12)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.tensor(rng.normal(size=tuple(p.shape)).round(3)))
        if getattr(layer, "running_mean", None) is not None:
            layer.running_mean.copy_(torch.tensor(rng.normal(size=3).round(3)))
            layer.running_var.copy_(torch.tensor(rng.uniform(0.5, 2.0, 3).round(3)))
            layer.num_batches_tracked.fill_(3)
    before = state(layer)
    tensors = [torch.tensor(x, requires_grad=x.dtype == np.float64) for x in inputs]
    given = tensors if name not in ("LSTM",) or len(tensors) == 1 else [tensors[0], tuple(tensors[1:])]
    outputs = flat(layer(*given))
    weights = [rng.normal(size=tuple(y.shape)).round(3) for y in outputs]
    sum((y * torch.tensor(w)).sum() for y, w in zip(outputs, weights, strict=True)).backward()
    return {
        "layer": name,
        "options": options,
        "training": training,
        "state": before,
        "state_after": state(layer),
        "inputs": [x.tolist() for x in inputs],
        "weights": [w.tolist() for w in weights],
        "outputs": [y.tolist() for y in outputs],
        "gradients": {key: p.grad.tolist() for key, p in layer.named_parameters()},
        "input_gradients": [None if t.grad is None else t.grad.tolist() for t in tensors],
    }


def main():
    made = [record(*case) for case in cases()]
    (HERE / "modules.json").write_text(json.dumps(made, separators=(",", ":")) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
