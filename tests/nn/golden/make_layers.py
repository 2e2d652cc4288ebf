"""Record what PyTorch (2.13, float64) computes with its layers, for tests that do not need it.

    python tests/nn/golden/make_layers.py

writes modules.json beside it: for every case the layer's name and options as ours takes them, its state before and
after, inputs, outputs, and the gradients of sum(output * weight) by everything. And batch_norm.json: what its running
estimates are after each of several batches. All drawn numbers are rounded, so that they are short to write; computed
ones have all their digits.
"""

import json
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent


class Function(torch.nn.Module):
    """A function of PyTorch's that is no layer there."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def cases(seed=11):
    """Yield (name of our layer, its options, torch's layer, inputs, whether in training)."""
    rng = np.random.default_rng(seed)

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
    yield from activations(nn, draw)
    yield from corners(nn, draw)


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


def activations(nn, draw):
    """Every activation, with and without its options; the last number of the input is far out."""
    functions = {
        "ReLU": nn.ReLU(),
        "SELU": nn.SELU(),
        "GELU": nn.GELU(),
        "SiLU": nn.SiLU(),
        "Sigmoid": nn.Sigmoid(),
        "Tanh": nn.Tanh(),
        "Softplus": nn.Softplus(threshold=1000.0),  # by default it is cut off at 20, where it differs by 2e-9
        "Softsign": nn.Softsign(),
        "LogSigmoid": nn.LogSigmoid(),
        "Arctan": Function(torch.arctan),
        "Step": Function(lambda x: (x > 0.0) + 0.0 * x),  # with a derivative, which is zero
        "Identity": nn.Identity(),
        "LeakyReLU": nn.LeakyReLU(),
        "ELU": nn.ELU(),
        "Softmax": nn.Softmax(-1),
        "LogSoftmax": nn.LogSoftmax(-1),
    }
    chosen = [(name, {}, function) for name, function in functions.items()]
    chosen += [("LeakyReLU", {"negative_slope": 0.2}, nn.LeakyReLU(0.2)), ("ELU", {"alpha": 0.7}, nn.ELU(0.7))]
    for name, options, function in chosen:
        x = 3.0 * draw(2, 3)
        x[1, 2] = 30.0
        yield name, options, function, [x], True


def corners(nn, draw):
    """Options together, and inputs of other ranks."""
    yield "Linear", {"in_features": 3, "out_features": 2}, nn.Linear(3, 2), [draw(3)], True
    for p, training in ((0.0, True), (1.0, True), (0.3, False)):
        yield "Dropout", {"p": p}, nn.Dropout(p), [draw(4, 3)], training
    yield "Flatten", {"start_axis": -2, "end_axis": -1}, nn.Flatten(-2, -1), [draw(2, 3, 2, 2)], True
    for options in ({"kernel_size": 1}, {"kernel_size": 2, "stride": 2, "padding": 1, "dilation": 2, "bias": False}):
        yield (
            "Conv2d",
            {"in_channels": 2, "out_channels": 2, **options},
            nn.Conv2d(2, 2, **options),
            [draw(2, 2, 5, 4)],
            True,
        )
    for name in ("RNN", "GRU", "LSTM"):
        options = {"input_size": 2, "hidden_size": 3, "num_layers": 3, "bias": False}
        states = [draw(3, 2, 3) for _ in range(2 if name == "LSTM" else 1)]
        yield name, options, getattr(nn, name)(**options), [draw(3, 2, 2), *states], True
    options = {"input_size": 2, "hidden_size": 3, "num_layers": 2, "nonlinearity": "relu"}
    yield "RNN", options, nn.RNN(**options), [draw(3, 2, 2), draw(2, 2, 3)], True


def batch_norms():
    """Yield the options of a batch norm, and the batches that come one after the other."""
    rng = np.random.default_rng(13)
    for shape in ((6, 3), (4, 3, 2)):
        for options in ({}, {"momentum": 0.3, "eps": 0.01}, {"momentum": None}, {"affine": False}):
            yield {"num_features": 3, **options}, rng.normal(0.5, 2.0, (5, *shape)).round(3)


def follow(options, batches):
    """Return the state and the outputs after each batch, and what the last batch gives in evaluation."""
    layer = torch.nn.BatchNorm1d(**options).double()
    seen = []
    for batch in torch.tensor(batches):
        y = layer(batch)
        seen.append({"output": y.tolist(), "state": state(layer)})
    evaluated = layer.eval()(torch.tensor(batches[-1])).tolist()
    return {"options": options, "batches": batches.tolist(), "seen": seen, "evaluated": evaluated}


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
    followed = [follow(*case) for case in batch_norms()]
    for name, content in (("modules", made), ("batch_norm", followed)):
        (HERE / f"{name}.json").write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
