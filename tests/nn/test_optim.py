"""SGD step by step, and what every optimizer refuses."""

import math

import numpy as np
import pytest

from autodiff import StaleGraphError, Tensor, Value
from nn import MLP, Linear, MSELoss, Sequential, Tanh
from nn.optim import SGD, Adadelta, Adagrad, Adam, NAdam, Optimizer, RMSprop

from .recorded import assert_near, install, recorded


def reference(gradient, p, lr, momentum, steps):
    """Return the path of gradient descent with momentum, written independently of the package."""
    velocity = np.zeros_like(p)
    path = []
    for step in range(steps):
        velocity = momentum * velocity + gradient(p, step)
        p = p - lr * velocity
        path.append(p)
    return path


def one_step(p, loss, **options):
    """Return an optimizer of p that has made one step."""
    optimizer = SGD([p], **options)
    loss(p).backward()
    optimizer.step()
    return optimizer


# ---- the step -------------------------------------------------------------------------------------------------------


def test_a_step_goes_against_the_gradient_by_the_rate():
    p = Value(3.0)
    one_step(p, lambda p: p * p, lr=0.25)
    assert p.data == 3.0 - 0.25 * 6.0
    t = Tensor([1.0, -2.0])
    one_step(t, lambda t: (t * t).sum(), lr=0.25)
    np.testing.assert_array_equal(t.data, [0.5, -1.0])


def test_momentum_adds_a_part_of_the_last_change():
    p = Value(0.0)
    optimizer = SGD([p], lr=1.0, momentum=0.5)
    places = []
    for _ in range(4):
        optimizer.zero_grad()
        (p * -8.0).backward()
        optimizer.step()
        places.append(p.data)
    # The velocities are -8, -8 - 4, -8 - 6, -8 - 7
    assert places == [8.0, 20.0, 34.0, 49.0]


def test_momentum_goes_on_when_the_gradient_is_zero():
    p = Tensor([1.0])
    optimizer = one_step(p, lambda p: (p * 2.0).sum(), lr=1.0, momentum=0.5)
    optimizer.zero_grad()
    (p * 0.0).sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(p.data, [1.0 - 2.0 - 1.0])


@pytest.mark.promise(21)
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("kind", [Value, Tensor])
def test_a_thousand_steps_are_those_of_the_reference(kind, momentum):
    curvature, slope = np.array([0.1, 1.0, 3.0]), np.random.default_rng(0).normal(size=(1000, 3))
    start, lr = np.array([2.0, -1.0, 0.5]), 0.01
    path = reference(lambda p, i: np.sin(p) * curvature + slope[i], start, lr, momentum, 1000)
    parameters = [Value(x) for x in start] if kind is Value else [Tensor(start[:2]), Tensor(start[2:])]
    optimizer = SGD(parameters, lr, momentum)
    for i in range(1000):
        optimizer.zero_grad()
        if kind is Value:
            terms = zip(parameters, curvature.tolist(), slope[i].tolist(), strict=True)
            sum(p * s - p.cos() * c for p, c, s in terms).backward()
        else:
            for p, part in zip(parameters, (slice(2), slice(2, 3)), strict=True):
                (p * slope[i, part] - np.cos(p) * curvature[part]).sum().backward()
        optimizer.step()
        now = np.hstack([p.data for p in parameters])
        np.testing.assert_allclose(now, path[i], rtol=1e-12, atol=1e-12)
    assert np.abs(path[-1] - start).min() > 0.1


@pytest.mark.promise(21)
@pytest.mark.parametrize("momentum", ["0.0", "0.9"])
def test_a_hundred_steps_are_those_that_PyTorch_made(momentum):
    golden = recorded("sgd")
    net = Sequential(Linear(2, 3), Tanh(), Linear(3, 1))
    install(net, golden["parameters"])
    x, target = np.array(golden["x"]), np.array(golden["target"])
    optimizer, loss = SGD(net.parameters(), lr=golden["lr"], momentum=float(momentum)), MSELoss()
    compared = 0
    for step in range(1, 101):
        optimizer.zero_grad()
        value = loss(net(x), target)
        value.backward()
        optimizer.step()
        if expected := golden["paths"][momentum].get(str(step)):
            assert_near(value.item(), expected["loss_before"])
            for name, p in net.named_parameters():
                assert_near(p.data, expected["parameters"][name])
            compared += 1
    assert compared == 6


# ---- which parameters -----------------------------------------------------------------------------------------------


def test_a_parameter_that_occurs_twice_is_stepped_once():
    p = Value(1.0)
    optimizer = SGD([p, p], lr=0.5)
    assert optimizer.parameters == [p]
    (p * 3.0).backward()
    optimizer.step()
    assert p.data == 1.0 - 0.5 * 3.0


def test_a_parameter_shared_by_two_layers_is_stepped_once_by_the_sum_of_its_gradients():
    layer = Linear(1, 1, bias=False)
    layer.weight.data = np.array([[2.0]])
    optimizer = SGD(Sequential(layer, layer).parameters(), lr=0.5, momentum=0.5)
    layer(layer(np.array([[1.0]]))).backward()  # w**2
    optimizer.step()
    np.testing.assert_array_equal(layer.weight.data, [[2.0 - 0.5 * 4.0]])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_parameter_without_a_gradient_is_left_alone(momentum):
    used, unused = Tensor([1.0]), Tensor([5.0])
    optimizer = SGD([unused, used], lr=0.5, momentum=momentum)
    for _ in range(3):
        optimizer.zero_grad()
        (used * 2.0).sum().backward()
        optimizer.step()
        assert unused.grad is None
    np.testing.assert_array_equal(unused.data, [5.0])
    assert used.data[0] < -1.5


def test_a_step_before_any_backward_changes_nothing():
    v, t = Value(1.0), Tensor([1.0])
    SGD([v, t], lr=0.5, momentum=0.9).step()
    assert (v.data, t.data.tolist()) == (1.0, [1.0])


def test_Values_and_Tensors_are_stepped_together():
    v, t = Value(2.0), Tensor([1.0, 3.0])
    optimizer = SGD([v, t], lr=0.5)
    (t * v).sum().backward()
    optimizer.step()
    assert v.data == 2.0 - 0.5 * 4.0
    np.testing.assert_array_equal(t.data, [0.0, 2.0])


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_parameters_of_any_shape_and_dtype_are_stepped_side_by_side(momentum):
    shapes = [(), (3,), (2, 3), (0,), (1, 1, 2)]
    tensors = [Tensor(np.full(shape, 2.0), dtype=dtype) for shape in shapes for dtype in (np.float64, np.float32)]
    optimizer = SGD(tensors, lr=0.5, momentum=momentum)
    for i, t in enumerate(tensors):
        (t * (i + 1.0)).sum().backward()
    optimizer.step()
    optimizer.step()
    for i, t in enumerate(tensors):
        assert (t.shape, t.dtype) == (shapes[i // 2], [np.float64, np.float32][i % 2])
        np.testing.assert_array_equal(t.data, 2.0 - 0.5 * (i + 1) * (2.0 + momentum))


def test_parameters_may_come_from_a_generator_and_more_than_one_step():
    values = [Value(1.0), Value(2.0)]
    optimizer = SGD((v for v in values), lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        (values[0] + values[1]).backward()
        optimizer.step()
    assert [v.data for v in values] == [-1.0, 0.0]


def test_zero_grad_forgets_the_gradients_of_the_parameters_it_steps():
    v, t, other = Value(2.0), Tensor([1.0]), Value(1.0)
    (v * other).backward()
    (t * t).sum().backward()
    SGD([v, t], lr=0.1).zero_grad()
    assert (v.grad, t.grad, other.grad) == (0.0, None, 2.0)


# ---- rate, dtype, memory --------------------------------------------------------------------------------------------


def test_the_rate_can_be_read_and_set_between_steps():
    p = Value(10.0)
    optimizer = one_step(p, lambda p: p * 1.0, lr=1.0)
    assert (optimizer.lr, p.data) == (1.0, 9.0)
    optimizer.lr = 0.25
    optimizer.step()
    assert (optimizer.lr, p.data) == (0.25, 8.75)


def test_a_new_rate_scales_the_whole_velocity():
    p = Value(0.0)
    optimizer = one_step(p, lambda p: p * -1.0, lr=1.0, momentum=0.5)
    optimizer.lr = 10.0
    optimizer.step()  # the gradient is still there: the velocity is -0.5 - 1
    assert p.data == 1.0 + 15.0


def test_the_rate_zero_changes_nothing():
    p = Value(1.5)
    one_step(p, lambda p: p * p, lr=0.0, momentum=0.9)
    assert p.data == 1.5


@pytest.mark.promise(7)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("lr", [0.1, np.float64(0.1)])
def test_float32_parameters_stay_float32(lr, momentum):
    p = Tensor([1.0, 2.0], dtype=np.float32)
    optimizer = SGD([p], lr, momentum=momentum)
    for _ in range(10):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
        assert (p.dtype, p.grad.dtype) == (np.float32, np.float32)
    path = reference(lambda p, _: 2.0 * p, np.array([1.0, 2.0]), 0.1, momentum, 10)
    np.testing.assert_allclose(p.data, path[-1], rtol=0.0, atol=2e-6)  # ten roundings of numbers up to 2


@pytest.mark.promise(14)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_leaves_the_gradient_as_it_is(momentum):
    p = Tensor([1.0, 2.0])
    optimizer = one_step(p, lambda p: (p * p).sum(), lr=0.1, momentum=momentum)
    np.testing.assert_array_equal(p.grad, [2.0, 4.0])
    optimizer.step()
    np.testing.assert_array_equal(p.grad, [2.0, 4.0])


def test_the_velocity_is_not_the_gradient_itself():
    p = Tensor([0.0])
    optimizer = one_step(p, lambda p: p.sum(), lr=1.0, momentum=0.5)
    p.grad[:] = 100.0  # a change of the gradient after the step is none of the velocity
    p.grad = np.array([0.0])
    optimizer.step()
    np.testing.assert_array_equal(p.data, [-1.5])


@pytest.mark.promise(14)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_arrays_that_made_the_parameters_are_not_stepped(momentum):
    numbers = np.array([1.0, 2.0])
    p = Tensor(numbers)
    one_step(p, lambda p: (p * p).sum(), lr=0.1, momentum=momentum)
    np.testing.assert_array_equal(numbers, [1.0, 2.0])
    assert p.data[0] != 1.0


@pytest.mark.promise(15)
@pytest.mark.parametrize("p", [Value(2.0), Tensor([2.0])], ids=["Value", "Tensor"])
def test_a_step_makes_older_graphs_stale(p):
    loss = (p * p).sum() if isinstance(p, Tensor) else p * p
    loss.backward()
    SGD([p], lr=0.1).step()
    with pytest.raises(StaleGraphError):
        loss.backward()


def test_two_optimizers_do_not_share_their_velocities():
    p = Value(0.0)
    one_step(p, lambda p: p * 1.0, lr=1.0, momentum=0.5)
    SGD([p], lr=1.0, momentum=0.5).step()
    assert p.data == -2.0


@pytest.mark.promise(19)
def test_the_same_seed_walks_the_same_path_bit_by_bit():
    paths = []
    for _ in range(2):
        mlp = MLP(2, [4, 1], activation="tanh", rng=1)
        optimizer = SGD(mlp.parameters(), 0.1, 0.9)
        for _ in range(20):
            optimizer.zero_grad()
            ((mlp([0.5, -1.0]) - 1.0) ** 2 + (mlp([1.0, 1.0]) + 1.0) ** 2).backward()
            optimizer.step()
        paths.append([p.data for p in mlp.parameters()])
    assert paths[0] == paths[1]


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_no_parameters_are_refused():
    with pytest.raises(ValueError, match=r"got no parameters; pass model\.parameters\(\)$"):
        SGD(Tanh().parameters(), lr=0.1)


@pytest.mark.parametrize("other", [1.0, np.ones(2), "w", None, ("weight", Tensor([1.0]))], ids=type)
def test_what_is_no_node_is_refused(other):
    with pytest.raises(TypeError, match=r"^SGD steps leaves \(Value or Tensor\), got .*model\.parameters\(\)$"):
        SGD([Value(1.0), other], lr=0.1)


@pytest.mark.parametrize("model", [Linear(2, 3), Value(1.0)], ids=type)
def test_a_model_instead_of_its_parameters_is_refused_with_the_way_out(model):
    with pytest.raises(TypeError, match=rf"got {type(model).__name__}; pass model\.parameters\(\)$"):
        SGD(model, lr=0.1)


def test_the_result_of_an_operation_is_refused():
    with pytest.raises(TypeError, match=r"SGD steps leaves \(Value or Tensor\), got Value\(data=6\.0"):
        SGD([Value(2.0) * 3.0], lr=0.1)


@pytest.mark.parametrize("lr", [-0.1, -math.inf, math.nan])
def test_a_rate_below_zero_is_refused(lr):
    with pytest.raises(ValueError, match=f"^lr must be at least 0, got {lr}$"):
        SGD([Value(1.0)], lr=lr)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, 2.0, math.nan])
def test_a_momentum_outside_zero_to_one_is_refused(momentum):
    with pytest.raises(ValueError, match=rf"^momentum must be in \[0, 1\), got {momentum}$"):
        SGD([Value(1.0)], lr=0.1, momentum=momentum)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, nesterov=True), "nesterov needs a momentum above 0 and no dampening, got momentum 0.0 and"),
        (lambda p: SGD(p, momentum=0.5, dampening=0.1, nesterov=True), "momentum 0.5 and dampening 0.1$"),
        (lambda p: SGD(p, weight_decay=-1.0), "weight_decay must be at least 0, got -1.0"),
        (lambda p: SGD(p, weight_decay=10**400), "weight_decay must be at least 0, got 1000"),  # no float is that large
        (lambda p: Adam(p, betas=(0.9, 1.0)), r"betas must be in \[0, 1\), got \(0.9, 1.0\)"),
        (lambda p: Adam(p, betas=(0.9,)), r"betas must be two numbers, got \(0.9,\)"),
        (lambda p: Adam(p, eps=-1e-8), "eps must be at least 0, got -1e-08"),
        (lambda p: RMSprop(p, alpha=1.0), r"alpha must be in \[0, 1\), got 1.0"),
        (lambda p: Adadelta(p, rho=-0.1), r"rho must be in \[0, 1\), got -0.1"),
        (lambda p: Adagrad(p, lr_decay=-0.1), "lr_decay must be at least 0, got -0.1"),
        (lambda p: NAdam(p, momentum_decay=math.nan), "momentum_decay must be at least 0, got nan"),
        (lambda p: SGD([{"params": p, "rate": 0.1}]), "SGD has no option rate; it has lr, momentum, dampening"),
        (lambda p: SGD([{"params": []}]), r"SGD got no parameters; pass model\.parameters\(\)"),
        (lambda p: SGD([{"params": p}, {"params": p}]), "a parameter of SGD is in two groups: Value.*; leave it out"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make([Value(1.0)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, lr="0.1"), "lr must be at least 0, got str: '0.1'"),
        (lambda p: SGD(p, lr=None), "lr must be at least 0, got NoneType: None"),
        (lambda p: SGD([{"params": p}, p]), 'a parameter group of SGD is a dict with "params", got '),
        (lambda p: SGD([{"lr": 0.1}]), 'a parameter group of SGD is a dict with "params", got '),
        (lambda p: SGD({"params": p}), r"SGD takes parameters, got dict; pass model\.parameters\(\)"),
        (lambda p: Optimizer(p).step(), r"Optimizer does not define update\(\)"),
        (lambda p: SGD(p).step(lambda: None), "the closure must return the loss, got NoneType; end it with"),
    ],
)
def test_things_of_another_type_are_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make([Value(1.0)])


def test_a_rate_out_of_range_cannot_be_set():
    optimizer = SGD([Value(1.0)], lr=0.5)
    with pytest.raises(ValueError, match="lr must be at least 0, got -1"):
        optimizer.lr = -1
    assert optimizer.lr == 0.5
