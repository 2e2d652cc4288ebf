"""What all optimizers share: groups, closures, state, dtype, memory."""

import json
import math
import tracemalloc

import numpy as np
import pytest

from autodiff import Tensor, Value
from nn.optim import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RMSprop

# Every rule with every array it can remember
EVERY = {
    "SGD": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    "Adagrad": (Adagrad, {"weight_decay": 0.1}),
    "Adadelta": (Adadelta, {"weight_decay": 0.1}),
    "RMSprop": (RMSprop, {"momentum": 0.9, "centered": True, "eps": 1e-2}),
    "Adam": (Adam, {"amsgrad": True}),
    "AdamW": (AdamW, {}),
    "Adamax": (Adamax, {}),
    "NAdam": (NAdam, {}),
}


@pytest.mark.parametrize("kind", [Value, Tensor])
@pytest.mark.parametrize("gradient", [1e-3, -5.0, 1e6])
def test_Adams_first_step_is_the_rate_whatever_the_gradient(kind, gradient):
    p = kind(1.0)
    p.grad = kind(gradient).data
    Adam([p], lr=0.1).step()
    # without the correction for the start at zero it would be 0.1 * 0.1 / sqrt(0.001) = 0.316
    assert float(p.data) == pytest.approx(1.0 - math.copysign(0.1, gradient), abs=2e-6)  # eps / 1e-3 of 0.1


@pytest.mark.parametrize("kind", [Value, Tensor])
def test_decoupled_weight_decay_shrinks_by_the_rate_and_coupled_by_the_rule(kind):
    coupled, decoupled, nadam, plain = (kind(2.0) for _ in range(4))
    optimizers = [
        Adam([coupled], lr=0.1, weight_decay=0.5),
        AdamW([decoupled], lr=0.1, weight_decay=0.5),
        NAdam([nadam], lr=0.1, weight_decay=0.5, decoupled_weight_decay=True),
        SGD([plain], lr=0.1, weight_decay=0.5),
    ]
    for p, optimizer in zip((coupled, decoupled, nadam, plain), optimizers, strict=True):
        p.grad = kind(0.0).data
        optimizer.step()
    assert float(decoupled.data) == float(nadam.data) == 2.0 * (1.0 - 0.1 * 0.5)
    assert float(plain.data) == 2.0 - 0.1 * (0.5 * 2.0)
    assert float(coupled.data) == pytest.approx(2.0 - 0.1, abs=1e-8)  # Adam's step has the size of the rate


def test_groups_are_stepped_by_their_own_options():
    a, b, c = Value(1.0), Tensor([1.0]), Value(1.0)
    optimizer = SGD([{"params": [a, b], "lr": 0.5}, {"params": [c], "weight_decay": 1.0}], lr=0.1)
    a.grad, b.grad, c.grad = 1.0, np.array([1.0]), 1.0
    optimizer.step()
    assert (a.data, b.data.tolist(), c.data) == (0.5, [0.5], 1.0 - 0.1 * 2.0)
    assert optimizer.lr == 0.5
    optimizer.lr = 0.25
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
    d = Value(1.0)
    optimizer.add_param_group({"params": [d], "lr": 2.0})
    d.grad = 1.0
    optimizer.step()
    assert d.data == -1.0
    assert optimizer.parameters == [a, b, c, d]


def test_an_option_can_be_changed_between_steps():
    p = Value(0.0)
    p.grad = -1.0
    optimizer = SGD([p], lr=1.0)
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    optimizer.step()
    assert p.data == 1.0 + 1.0 + 1.5
    optimizer.param_groups[0]["momentum"] = 0.0
    optimizer.step()
    assert p.data == 3.5 + 1.0


def test_a_step_can_take_a_closure_and_returns_its_loss():
    p = Value(3.0)
    optimizer = SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = p * p
        loss.backward()
        return loss

    assert [optimizer.step(closure), optimizer.step(closure), optimizer.step()] == [9.0, 0.0, None]


def gradients(parameters, rng):
    """Give every parameter a random gradient."""
    for p in parameters:
        p.grad = rng.normal() if isinstance(p, Value) else rng.normal(size=p.shape).astype(p.dtype)


@pytest.mark.promise(22)
@pytest.mark.parametrize("case", EVERY)
def test_a_resumed_optimizer_goes_on_bit_for_bit(case):
    cls, options = EVERY[case]

    def fresh():
        never, small = Tensor([5.0]), Tensor([[1.0, -2.0]], dtype=np.float32)
        parameters = [Value(1.0), never, small, Value(0.5), Tensor([1.0, 2.0, 3.0])]
        return parameters, cls([{"params": parameters[:3]}, {"params": parameters[3:], "lr": 0.3}], **options)

    def walk(parameters, optimizer, seed):
        rng = np.random.default_rng(seed)
        for _ in range(5):
            gradients([p for i, p in enumerate(parameters) if i != 1], rng)
            optimizer.step()

    parameters, optimizer = fresh()
    walk(parameters, optimizer, 1)
    saved, data = optimizer.state_dict(), [p.data for p in parameters]
    data = [x if isinstance(x, float) else x.copy() for x in data]
    assert all(isinstance(x, (int, float, np.ndarray)) for x in saved.values())
    numbers = {k: v for k, v in saved.items() if not isinstance(v, np.ndarray)}
    saved |= json.loads(json.dumps(numbers))  # as they come back from a file
    walk(parameters, optimizer, 2)
    again, resumed = fresh()
    for p, x in zip(again, data, strict=True):
        p.data = x
    resumed.load_state_dict(saved)
    walk(again, resumed, 2)
    for p, q in zip(parameters, again, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    np.testing.assert_equal(resumed.state_dict(), optimizer.state_dict())


def test_a_saved_state_does_not_change_with_the_optimizer_nor_with_what_was_loaded_from_it():
    p = Tensor([1.0])
    p.grad = np.array([1.0])
    optimizer = SGD([p], lr=0.1, momentum=0.9)
    optimizer.step()
    saved = optimizer.state_dict()
    optimizer.step()
    np.testing.assert_array_equal(saved["state.0.0.momentum_buffer"], [1.0])
    optimizer.load_state_dict(saved)
    optimizer.step()
    np.testing.assert_array_equal(saved["state.0.0.momentum_buffer"], [1.0])


@pytest.mark.promise(23)
def test_a_state_that_does_not_fit_is_refused_with_all_differences_and_changes_nothing():
    p, q = Tensor([1.0, 2.0]), Tensor([1.0])
    optimizer = Adam([p, q], lr=0.1)
    gradients([p, q], np.random.default_rng(0))
    optimizer.step()
    good = optimizer.state_dict()
    bad = dict(good) | {
        "param_groups.0.eps": -1.0,
        "state.0.0.exp_avg": np.zeros(3),
        "state.0.0.exp_avg_sq": np.zeros(2, np.float32),
        "state.0.1.exp_avg": 0.5,
        "state.0.2.step": 1,
        "param_groups.1.lr": 0.1,
        "param_groups.0.lr": "0.1",
    }
    del bad["param_groups.0.betas.1"], bad["state.0.1.step"]
    with pytest.raises(ValueError, match="does not fit this Adam; nothing was changed") as error:
        optimizer.load_state_dict(bad)
    assert sorted(str(error.value).split("\n  ")[1:]) == sorted(
        [
            "param_groups.0.lr: got str, expected a number",
            "param_groups.0.betas.1: missing, expected a number",
            "param_groups.0: eps must be at least 0, got -1.0",
            "state.0.0.exp_avg: got an array of shape (3,) and dtype float64, "
            "expected an array of shape (2,) and dtype float64",
            "state.0.0.exp_avg_sq: got an array of shape (2,) and dtype float32, "
            "expected an array of shape (2,) and dtype float64",
            "state.0.1.step: missing, expected a number",
            "state.0.1.exp_avg: got a number, expected an array of shape (1,) and dtype float64",
            "state.0.2.step: unexpected",
            "param_groups.1.lr: unexpected",
        ]
    )
    np.testing.assert_equal(optimizer.state_dict(), good)


def test_a_state_of_another_optimizer_is_refused():
    sgd, adam = (cls([Value(1.0)]) for cls in (SGD, Adam))
    with pytest.raises(ValueError, match=r"(?s)betas\.0: missing.*param_groups\.0\.momentum: unexpected"):
        adam.load_state_dict(sgd.state_dict())


@pytest.mark.promise(7)
@pytest.mark.parametrize("case", EVERY)
def test_a_snapshot_undoes_a_load_whatever_the_options_are_and_without_a_copy(case):
    kind, options = EVERY[case]
    state = kind([Tensor([1.0, 2.0]), Value(3.0)], **options).state_dict()
    p = Tensor([1.0, 2.0])
    optimizer = kind([p, Value(3.0)], **options)
    (p * p).sum().backward()
    optimizer.step()
    optimizer.param_groups[0]["lr"] = -1.0  # no state with it could be loaded
    before = {key: x for _, units in optimizer._walk for _, memory, _ in units for key, x in memory.items()}
    put_back = optimizer.snapshot()
    optimizer.load_state_dict(state)
    assert optimizer.lr >= 0.0
    assert optimizer.state_dict() == state
    put_back()
    after = {key: x for _, units in optimizer._walk for _, memory, _ in units for key, x in memory.items()}
    assert optimizer.lr == -1.0
    assert before.keys() == after.keys()
    assert all(after[key] is x for key, x in before.items())


@pytest.mark.parametrize("case", EVERY)
def test_a_snapshot_from_before_the_first_step_knows_of_no_memory(case):
    kind, options = EVERY[case]
    p, q = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    stepped, fresh = kind([p], **options), kind([q], **options)
    (p * p).sum().backward()
    stepped.step()
    put_back = fresh.snapshot()
    fresh.load_state_dict(stepped.state_dict())
    put_back()
    assert [memory for _, units in fresh._walk for _, memory, _ in units] == [fresh.counters]


@pytest.mark.parametrize("case", EVERY)
def test_a_state_has_what_an_option_needs_that_was_switched_on_after_a_step(case):
    """As the next step would make it."""
    kind, options = EVERY[case]
    for switch in ({"momentum": 0.9}, {"centered": True}, {"amsgrad": True}):
        p = Tensor([1.0, 2.0])
        optimizer = kind([p], **options)
        (p * p).sum().backward()
        optimizer.step()
        optimizer.param_groups[0].update({key: x for key, x in switch.items() if key in optimizer.defaults})
        state, q = optimizer.state_dict(), Tensor(p.data)
        resumed = kind([q], **options)
        resumed.load_state_dict(state)
        for x, stepping in ((p, optimizer), (q, resumed)):
            stepping.zero_grad()
            (x * x).sum().backward()
            stepping.step()
        np.testing.assert_array_equal(q.data, p.data)


@pytest.mark.parametrize("case", EVERY)
def test_every_optimizer_keeps_float32(case):
    cls, options = EVERY[case]
    single, double = Tensor([1.0, -2.0], dtype=np.float32), Tensor([1.0, -2.0])
    first = cls([single], **options | {"lr": np.float64(0.01)})
    second = cls([double], **options | {"lr": 0.01})
    for i in range(10):
        single.grad, double.grad = np.array([0.5, i - 4.0], np.float32), np.array([0.5, i - 4.0])
        first.step()
        second.step()
        assert single.dtype == np.float32
    arrays = [x for x in first.state_dict().values() if isinstance(x, np.ndarray)]
    assert {x.dtype for x in arrays} <= {np.dtype(np.float32)}
    np.testing.assert_allclose(single.data, double.data, rtol=2e-5)  # ten steps, a few roundings of 6e-8 each


@pytest.mark.parametrize("case", EVERY)
def test_a_large_array_is_stepped_in_place_as_its_parts_are_and_without_large_temporaries(case):
    cls, options = EVERY[case]
    rng = np.random.default_rng(3)
    start, slope = rng.normal(size=(1000, 1000)), np.asfortranarray(rng.normal(size=(1000, 1000)))
    large, rows = Tensor(start), [Tensor(row) for row in start[:3]]
    whole, parts = cls([large], **options), cls(rows, **options)
    for step in range(3):
        large.grad = slope * (step + 1)
        for row, g in zip(rows, slope, strict=False):
            row.grad = g * (step + 1)
        data = large.data
        if step == 2:  # what is remembered exists
            tracemalloc.start()
        whole.step()
        if step == 2:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            # Half a megabyte for every term of the longest formula, where the array has 8 MB
            assert peak < 4e6, f"{peak} bytes"
        assert large.data is data
        parts.step()
    np.testing.assert_array_equal(large.data[:3], [row.data for row in rows])
    np.testing.assert_array_equal(large.grad, slope * 3)


@pytest.mark.promise(14)
@pytest.mark.parametrize("case", EVERY)
def test_no_optimizer_writes_into_the_gradients(case):
    cls, options = EVERY[case]
    v, t = Value(1.0), Tensor([1.0, 2.0])
    v.grad, t.grad = 3.0, np.array([4.0, 5.0])
    optimizer = cls([v, t], **options)
    optimizer.step()
    optimizer.step()
    assert (v.grad, t.grad.tolist()) == (3.0, [4.0, 5.0])


def test_a_repr_shows_the_options():
    assert repr(Adagrad([Value(1.0)], lr=0.5)) == (
        "Adagrad(lr=0.5, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10)"
    )
    assert repr(Optimizer([{"params": [Value(1.0)]}, {"params": [Value(1.0)]}], lr=1.0)) == (
        "Optimizer(2 groups, the first with lr=1.0)"
    )
