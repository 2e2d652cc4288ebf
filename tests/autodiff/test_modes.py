"""no_grad, recording and detect_anomaly: what they do inside, and that nothing of it is left outside.

Holds promise 20 (twenty planted faults, twenty found, with operation, file and line) and the second half of promise 18
(the mode belongs to the thread and the context).
"""

import asyncio
import contextvars
import inspect
import threading

import numpy as np
import pytest

import autodiff as ad
from autodiff import AnomalyError, Tensor, Value, array_op, detect_anomaly, elementwise, no_grad, recording
from autodiff.node import MODES


def records():
    """Return whether operations are recorded here and now."""
    return bool((Value(1.0) * 2.0).parents)


# ---- no_grad ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Value, Tensor])
def test_under_no_grad_results_are_leaves_without_parents(kind):
    x = kind(3.0)
    with no_grad():
        y = x * 2.0 + 1.0
    assert y.is_leaf
    assert y.parents == y.operands == ()
    assert y.params == {}
    assert y.item() == 7.0
    assert (x * 2.0).parents == (x,)


def test_every_kind_of_operation_obeys():
    t = Tensor([[1.0, 2.0], [3.0, 4.0]])
    with no_grad():
        results = [t + t, t.sum(0), t[0], t @ t, np.exp(t), np.concatenate([t, t]), t.T, ad.where(True, t, t), *t]
    assert all(y.is_leaf and not y.parents for y in results)


def test_no_grad_decorates_a_function():
    @no_grad()
    def predict(x, *, scale):
        """Docstring."""
        return x * scale

    assert predict(Value(2.0), scale=3.0).is_leaf
    assert predict(Value(2.0), scale=3.0).data == 6.0
    assert (predict.__name__, predict.__doc__) == ("predict", "Docstring.")
    assert records()


def test_one_decorated_function_may_recurse_and_one_block_may_be_entered_twice():
    block = no_grad()
    with block:
        with block:
            assert not records()
        assert not records()
    assert records()

    @no_grad()
    def countdown(n):
        assert not records()
        return n if n == 0 else countdown(n - 1)

    assert countdown(5) == 0
    assert records()


def test_an_exception_ends_the_block():
    with pytest.raises(ZeroDivisionError), no_grad():
        _ = 1 // 0
    assert records()


def test_recording_inside_no_grad_and_the_other_way_round_the_innermost_rules():
    with no_grad():
        with recording():
            assert records()
            with no_grad():
                assert not records()
            assert records()
        assert not records()
    assert records()


def test_a_detect_anomaly_block_inside_no_grad_still_records_nothing():
    with no_grad(), detect_anomaly():
        assert not records()
    with detect_anomaly(), no_grad():
        assert not records()


# ---- one mode a thread, a context, a task ----------------------------------------------------------------------------


@pytest.mark.promise(18)
def test_no_grad_in_one_thread_is_not_seen_in_another():
    inside, leave, seen = threading.Event(), threading.Event(), {}

    def without():
        with no_grad():
            inside.set()
            leave.wait(10)
            seen["without"] = records()

    def meanwhile():
        inside.wait(10)
        seen["meanwhile"] = records()
        leave.set()

    threads = [threading.Thread(target=target) for target in (without, meanwhile)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"without": False, "meanwhile": True}
    assert records()


@pytest.mark.promise(18)
def test_a_thread_started_inside_no_grad_records():
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(records()))
        thread.start()
        thread.join()
    assert seen == [True]


@pytest.mark.promise(18)
def test_asyncio_tasks_do_not_disturb_each_other():
    async def worker(block, log):
        if block:
            with no_grad():
                for _ in range(3):
                    log.append(records())
                    await asyncio.sleep(0)
        for _ in range(3):
            log.append(records())
            await asyncio.sleep(0)

    async def main():
        logs = [[], []]
        await asyncio.gather(worker(True, logs[0]), worker(False, logs[1]))
        return logs

    assert asyncio.run(main()) == [[False, False, False, True, True, True], [True, True, True]]


@pytest.mark.promise(18)
def test_a_copied_context_keeps_its_own_mode():
    context = contextvars.copy_context()
    context.run(no_grad().__enter__)
    assert records()
    assert context.run(records) is False


# ---- generators ------------------------------------------------------------------------------------------------------


@no_grad()
def decorated(log):
    """Yield twice, noting whether the body records and what it is sent."""
    log.append(records())
    sent = yield "first"
    log.append((sent, records()))
    yield "second"
    log.append(records())
    return "result"


def test_while_a_decorated_generator_is_paused_its_caller_records():
    log = []
    steps = decorated(log)
    assert records()
    assert next(steps) == "first"
    assert records()
    assert steps.send("hello") == "second"
    assert records()
    with pytest.raises(StopIteration) as stopped:
        next(steps)
    assert stopped.value.value == "result"
    assert log == [False, ("hello", False), False]
    assert records()


def test_a_decorated_generator_passes_exceptions_in_and_closes():
    events = []

    @no_grad()
    def generator():
        try:
            yield 1
        except KeyError:
            events.append(("caught", records()))
            yield 2
        finally:
            events.append(("closed", records()))

    steps = generator()
    next(steps)
    assert steps.throw(KeyError()) == 2
    steps.close()
    assert events == [("caught", False), ("closed", False)]
    assert records()


def test_an_abandoned_decorated_generator_leaves_nothing_behind():
    steps = decorated([])
    next(steps)
    del steps
    assert records()
    assert MODES.get() == ()


def plain(n):
    """Yield with a no_grad block open: what the docstring advises against."""
    with no_grad():
        yield from range(n)


def test_blocks_that_close_out_of_order_leave_no_trace():
    first, second = plain(2), plain(2)
    next(first)
    next(second)
    assert not records()
    first.close()  # closes the outer block while the inner is open
    assert not records()
    second.close()
    assert records()
    assert MODES.get() == ()


def test_blocks_that_close_out_of_order_restore_a_surrounding_block():
    with no_grad():
        inner = recording()
        inner.__enter__()
        outer = no_grad()
        outer.__enter__()
        inner.__exit__(None, None, None)
        assert not records()
        outer.__exit__(None, None, None)
        assert not records()
    assert records()


# ---- detect_anomaly: twenty planted faults ---------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


def log_of_zero():
    return Value(0.0).log()  # log


def log_of_a_negative_element():
    t = Tensor([1.0, -1.0]) * 1.0
    return np.log(t)  # log


def division_by_zero():
    a, b = Value(1.0), Value(0.0)
    c = a + b
    return c / b  # div


def zero_times_infinity():
    big = Tensor([1e308, 1.0])
    return big * 10.0  # mul


def overflowing_exponential():
    return ad.exp(Value(710.0))  # exp


def overflowing_sum():
    t = Tensor([1e308, 1e308])
    return t.sum()  # sum


def overflowing_mean_of_squares():
    t = Tensor([1e200, 1.0])
    return (
        t.var()  # var
    )


def overflowing_matrix_product():
    t = Tensor([[1e200, 1.0], [1.0, 1.0]])
    return t @ t  # matmul


def nan_from_the_user():
    t = Tensor([1.0, 2.0])
    return t + np.array([0.0, NAN])  # add


def a_nan_leaf():
    t = Tensor([1.0, NAN])
    u = Tensor([1.0, 2.0])
    v = u * 3.0
    return v - t  # sub


def root_of_zero():
    v = Value(0.0)
    return ad.sqrt(v).backward()  # sqrt


def root_of_a_zero_element_inside_a_longer_program():
    t = Tensor([4.0, 0.0])
    r = t**0.5  # power
    y = (r * 2.0).sum() + t.sum()
    return y.backward()


def the_branch_not_taken():
    t = Tensor([0.0, 4.0])
    r = np.sqrt(t)  # sqrt
    return np.where(t > 0, r, 0.0).sum().backward()


def overflow_on_the_way_back():
    t = Tensor([1.0, 2.0])
    y = t * 1e200  # mul
    z = y * 1e-150
    return z.backward([1e300, 1e300])


def an_infinite_seed():
    v = Value(2.0)
    y = v * 3.0  # mul
    return y.backward(INF)


def a_users_rule_gives_nan():
    bad = elementwise("bad_kernel", lambda x: NAN, lambda x: x * NAN, lambda y, x: 1.0)
    return bad(Value(1.0))  # bad_kernel


def a_users_partial_gives_nan():
    bad = elementwise("bad_partial", lambda x: x, lambda x: x + 0, lambda y, x: ad.mul(x, NAN))
    return (bad(Value(1.0)) * 2.0).backward()  # bad_partial


def a_users_pullback_gives_inf():
    bad = array_op("bad_pullback", lambda x: x + 0, lambda g, y, x: g * INF)
    y = bad(Tensor([1.0, 2.0]))  # bad_pullback
    return y.sum().backward()


def a_leafs_array_is_written_into():
    t = Tensor([1.0, 2.0])
    y = ad.square(t)  # square
    t.data[0] = 7.0
    return y.sum().backward()


def a_constants_array_is_written_into():
    t, constant = Tensor([1.0, 2.0]), np.array([3.0, 4.0])
    y = t * constant  # mul
    constant[:] = 0.0
    return y.sum().backward()


def an_inner_array_is_written_into():
    t = Tensor([1.0, 2.0])
    inner = t + 1.0
    y = np.exp(inner)  # exp
    inner.data[1] = 5.0
    return y.sum().backward()


def inside_a_transform():
    def f(x):
        return np.sum(np.sqrt(x))  # sqrt

    return ad.grad(f)(np.array([1.0, 0.0]))


def inside_forward_through_a_transform():
    def f(x):
        y = x * x
        return ad.log(y - 1.0)  # log

    return ad.value_and_grad(f)(1.0)


def in_a_query():
    v = Value(0.0)
    y = ad.cbrt(v)  # cbrt
    return ad.gradients(y, v)


FAULTS = [
    log_of_zero, log_of_a_negative_element, division_by_zero, zero_times_infinity, overflowing_exponential,
    overflowing_sum, overflowing_mean_of_squares, overflowing_matrix_product, nan_from_the_user, a_nan_leaf,
    root_of_zero, root_of_a_zero_element_inside_a_longer_program, the_branch_not_taken, overflow_on_the_way_back,
    an_infinite_seed, a_users_rule_gives_nan, a_users_partial_gives_nan, a_users_pullback_gives_inf,
    a_leafs_array_is_written_into, a_constants_array_is_written_into, an_inner_array_is_written_into,
    inside_a_transform, inside_forward_through_a_transform, in_a_query,
]  # fmt: skip


def planted(fault):
    """Return (name of the operation, line) of a fault, from the comment on its line."""
    lines, start = inspect.getsourcelines(fault)
    ((name, line),) = [(text.split("  # ")[1].strip(), start + i) for i, text in enumerate(lines) if "  # " in text]
    return name, line


@pytest.mark.promise(20)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found_with_operation_file_and_line(fault, figure):
    name, line = planted(fault)
    with np.errstate(all="ignore"), detect_anomaly(), pytest.raises(AnomalyError) as caught:
        fault()
    message = str(caught.value)
    assert f"{name} " in message
    assert message.endswith(f"{__file__}:{line}")
    figure("planted fault found, with operation, file and line")


@pytest.mark.promise(20)
def test_at_least_twenty_faults_are_planted(figure):
    figure(f"planted faults: {len(FAULTS)}, at least 20")
    assert len(FAULTS) >= 20


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_outside_the_block_the_same_program_runs_through(fault):
    with np.errstate(all="ignore"):
        fault()


def test_the_message_has_the_operands_and_says_whether_they_were_finite():
    with detect_anomaly():
        with pytest.raises(AnomalyError, match=r"^log gave nan for operand -1\.0, at "):
            Value(-1.0).log()
        with pytest.raises(AnomalyError, match=r"^div gave inf for operands 1\.0, 0\.0, at "):
            _ = Value(1.0) / 0.0
        with pytest.raises(AnomalyError, match=r"^add gave nan for operands nan, 1\.0 \(an operand was not finite"):
            _ = Value(NAN) + 1.0


@pytest.mark.promise(20)
def test_the_first_fault_is_named_not_those_that_follow_from_it():
    def program(x):
        bad = np.log(x)
        return np.exp(bad * 2.0) - bad

    with np.errstate(all="ignore"), detect_anomaly(), pytest.raises(AnomalyError, match=r"^log gave inf"):
        program(Tensor([0.0, 1.0]))


def test_an_anomaly_in_backward_changes_no_gradient():
    a, b = Value(0.0), Value(3.0)
    with detect_anomaly():
        y = ad.sqrt(a) + b * 2.0
        with pytest.raises(AnomalyError, match=r"^the gradient of operand 0 of sqrt is inf; sqrt was called at "):
            y.backward()
    assert (a.grad, b.grad, y.grad) == (0.0, 0.0, 0.0)


def test_a_healthy_program_gives_the_same_numbers_inside_and_outside():
    def program():
        t = Tensor([[0.5, -1.0], [2.0, 0.1]])
        loss = np.mean(np.tanh(t @ t) ** 2) + ad.logsumexp(t[0]) * Value(2.0)
        loss.backward()
        return loss.item(), t.grad.tolist()

    outside = program()
    with detect_anomaly():
        inside = program()
    assert inside == outside


def test_detect_anomaly_decorates_and_ends():
    @detect_anomaly()
    def program(x):
        return ad.log(x)

    with pytest.raises(AnomalyError):
        program(Value(0.0))
    assert ad.log(Value(0.0)).data == -INF


def test_it_is_an_arithmetic_error_for_those_who_do_not_know_us():
    with pytest.raises(ArithmeticError), detect_anomaly():
        Value(-1.0).sqrt()


def test_a_graph_made_outside_is_checked_going_back_as_far_as_is_known():
    v = Value(0.0)
    y = ad.sqrt(v)
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"operand 0 of sqrt is inf; .* outside detect_anomaly"):
        y.backward()


def test_a_decorated_coroutine_runs_inside_the_mode():
    @no_grad()
    async def double(x):
        return x * 2

    assert asyncio.run(double(Value(1.0))).is_leaf


def test_an_asynchronous_generator_is_refused():
    async def steps():
        yield 1

    with pytest.raises(TypeError, match="asynchronous generator"):
        no_grad()(steps)
