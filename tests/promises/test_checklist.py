"""Bugs that real engines had: the checklist, each item with the tests that would find it here.

Some stand in other files; the table says where, and is itself tested. The others follow it.
"""

import ast
import itertools

import numpy as np
import pytest

import autodiff as ad
from autodiff import Node, Tensor, Value
from autodiff.graph import topological_order
from nn.data import train_test_split
from tests.autodiff import array_cases, elementwise_cases
from tests.autodiff.numeric import assert_close, complex_step, gradients, reverse_by, six_point

from .closed_forms import CLOSED_FORMS
from .parity_table import BY_NAME, DOUBLE, SHAPES, asked, operands_of, outcome

HERE = "promises/test_checklist.py"
ROWS, RULES = "autodiff/test_rules.py", "autodiff/test_array_rules.py"
BACKWARD, NODES, MODES = "autodiff/test_backward.py", "autodiff/test_node.py", "autodiff/test_modes.py"
DIFFERENCES = f"{RULES}::test_gradient_is_the_difference_quotient_in_every_coordinate"
CLOSED = f"{HERE}::test_the_gradient_is_the_closed_form"

CHECKLIST = {
    "a node reused: b = a + a, c = b + b gives 4": [
        f"{BACKWARD}::test_a_node_used_twice_and_its_result_used_twice_gives_4"
    ],
    "the same operand twice in every operation of two": [
        f"{ROWS}::test_an_operand_given_several_times_receives_the_sum_over_its_places",
        f"{HERE}::test_an_operand_given_to_every_place_of_an_array_operation_receives_the_sum",
    ],
    "gradients of two inputs sharing one buffer": [
        f"{HERE}::test_no_two_gradients_of_an_elementwise_operation_share_memory",
        f"{RULES}::test_gradients_are_fresh_arrays_like_their_operands_and_nothing_is_changed",
        f"{BACKWARD}::test_gradients_of_random_programs_share_no_memory",
    ],
    "un-broadcasting for every pair of broadcastable shapes": [
        f"{HERE}::test_gradients_of_every_broadcastable_pair_of_shapes_are_summed_over_the_copies",
        f"{ROWS}::test_gradient_of_a_broadcast_operand_is_the_sum_over_its_copies",
    ],
    "0-d arrays": [
        f"{HERE}::test_a_0d_array_is_differentiated_as_one_number",
        f"{ROWS}::test_a_float_and_a_0d_array_give_the_same_value_and_gradient_everywhere",
        DIFFERENCES,
    ],
    "empty arrays through every operation": [
        f"{HERE}::test_empty_arrays_have_gradients_of_nothing_and_give_their_neighbours_the_right_ones"
    ],
    "negative axes, tuple axes, axis=(), keepdims": [
        CLOSED, DIFFERENCES, f"{RULES}::test_any_reduction_over_any_axes_is_differentiated"
    ],
    "repeated indices accumulate": [CLOSED, f"{RULES}::test_any_integer_index_accumulates_over_repeated_elements"],
    "boolean masks all False": [
        CLOSED, f"{RULES}::test_any_boolean_mask_returns_its_gradient_to_the_elements_it_chose"
    ],
    "slices with negative steps": [
        CLOSED, f"{RULES}::test_any_basic_index_returns_its_gradient_to_the_elements_it_named"
    ],
    "einsum 'ii->', 'ii->i', 'iij->ij'": [CLOSED, DIFFERENCES],
    "matmul for ranks 1-4 x 1-4 with broadcast batch dimensions and an inner size 0": [
        f"{HERE}::test_matmul_of_all_ranks_has_its_closed_form_gradients", DIFFERENCES
    ],
    "cumsum along every axis": [CLOSED, DIFFERENCES],
    "pad width 0": [CLOSED, DIFFERENCES],
    "concatenate([x, x]), unequal sizes, axis -1": [
        CLOSED, "autodiff/test_functions.py::test_concatenate_of_an_operand_with_itself_adds_both_gradients"
    ],
    "split with one output used": [
        CLOSED, "autodiff/test_functions.py::test_a_split_of_which_one_part_is_used_has_zeros_elsewhere"
    ],
    "non-contiguous and reversed operands": [
        f"{HERE}::test_layout_in_memory_makes_no_difference_to_an_elementwise_operation",
        f"{RULES}::test_layout_in_memory_makes_no_difference",
    ],
    "np.float64 * node on either side": [
        f"{ROWS}::test_operators_take_numbers_on_either_side",
        f"{NODES}::test_a_numpy_scalar_times_a_value_is_a_value_on_either_side",
    ],
    "node in a list, dict or set": [
        "autodiff/test_value.py::test_values_are_found_in_lists_sets_and_dicts_by_identity",
        "autodiff/test_tensor.py::test_tensors_hash_by_identity",
    ],
    "perturbation confusion in nested grads": [
        "test_higher_order.py::TestConfusion::test_x_times_the_derivative_of_x_plus_y",
        "test_higher_order.py::TestConfusion::test_an_outer_intermediate_result_is_captured",
    ],
    "generator paused inside no_grad": [
        f"{MODES}::test_while_a_decorated_generator_is_paused_its_caller_records",
        f"{MODES}::test_blocks_that_close_out_of_order_leave_no_trace",
    ],
    "NaN upstream must reach active paths": [
        f"{HERE}::test_nan_from_above_reaches_every_operand_that_matters",
        f"{BACKWARD}::test_a_nan_from_above_reaches_every_active_path_and_no_masked_one",
    ],
    "constant operands build no graph": [
        f"{HERE}::test_an_operation_on_constants_gives_plain_numbers",
        f"{HERE}::test_an_operation_on_one_node_records_nothing_of_its_constants",
        f"{ROWS}::test_constant_operands_give_the_same_and_are_not_recorded",
    ],
    # nn
    "softmax shifted by its maximum": [
        "nn/test_losses.py::test_adding_a_number_to_all_logits_of_a_row_changes_nothing",
        "promises/test_stability.py::test_functions_of_a_row_stay_finite_at_ten_thousand",
    ],
    "cross-entropy with logit -inf and label 0": [
        f"{RULES}::test_a_target_of_0_at_a_logit_of_minus_infinity_contributes_nothing",
        "nn/test_losses.py::test_cross_entropy_of_large_logits_is_its_limit",
    ],
    "shuffling by an own Generator, never the global state": [
        f"{HERE}::test_a_split_of_the_data_neither_uses_nor_moves_the_global_generator",
        "nn/test_scalar.py::test_the_global_generators_are_neither_used_nor_moved",
    ],
    "a parameter shared by two layers is stepped once": [
        "nn/test_optim.py::test_a_parameter_shared_by_two_layers_is_stepped_once_by_the_sum_of_its_gradients"
    ],
}  # fmt: skip


@pytest.mark.parametrize("item", CHECKLIST)
def test_the_tests_that_hold_an_item_exist(item, root):
    for address in CHECKLIST[item]:
        file, *names = address.split("::")
        scope = ast.parse((root / "tests" / file).read_text(encoding="utf-8"))
        for name in names:
            found = [node for node in scope.body if getattr(node, "name", None) == name]
            assert found, f"{address} does not exist"
            (scope,) = found


def test_every_test_of_this_file_belongs_to_an_item():
    named = {address.rpartition("::")[2] for addresses in CHECKLIST.values() for address in addresses}
    tests = {name for name in globals() if name.startswith("test_")}
    about_the_table = {"test_the_tests_that_hold_an_item_exist", "test_every_test_of_this_file_belongs_to_an_item"}
    assert tests - about_the_table == {name for name in named if name in tests}


# ---- references ------------------------------------------------------------------------------------------------------


def seed_like(y):
    """Return an upstream gradient without symmetries."""
    return np.asarray(np.cos(1.0 + np.arange(np.size(y)))).reshape(np.shape(y))


def differences(f, xs, i, seed):
    """Return the six-point differences of <f(xs), seed> by every coordinate of operand i, and the noise in them."""
    found, noise = np.zeros(xs[i].shape), 0.0
    for at in np.ndindex(xs[i].shape):
        unit = np.zeros(xs[i].shape)
        unit[at] = 1.0
        found[at], bound = six_point(lambda *xs: np.sum(f(*xs) * seed), xs, i, unit)
        noise = max(noise, float(bound))
    return found, noise


def summed_over_copies(g, shape):
    """Return g, of the broadcast shape, added up at the element of the operand that each of its elements came from."""
    size = int(np.prod(shape))
    origin = np.broadcast_to(np.arange(size).reshape(shape), g.shape)
    return np.bincount(origin.ravel(), g.ravel(), size).reshape(shape)


def numbers_like(shape, first):
    """Return an array of numbers between 1 and 2, all different."""
    return 1 + np.modf((first + np.arange(int(np.prod(shape)))) * 0.6180339887498949)[0].reshape(shape)


# ---- two operands ----------------------------------------------------------------------------------------------------


def at_every_place(f, places):
    return lambda x: f(*[x] * places)


OF_EQUAL_SHAPES = [case for case in array_cases.CASES if len(case.shapes) > 1 and len(set(case.shapes)) == 1]


@pytest.mark.promise(2)
@pytest.mark.parametrize("name", {case.name: None for case in OF_EQUAL_SHAPES})
def test_an_operand_given_to_every_place_of_an_array_operation_receives_the_sum(name):
    for case in OF_EQUAL_SHAPES:
        if case.name == name:
            x, places = array_cases.draw(case)[0], len(case.shapes)
            ours, reference = at_every_place(case.call, places), at_every_place(case.reference, places)
            seed = seed_like(reference(x))
            (got,) = gradients(ours, [x], seed)
            expected, noise = differences(reference, [x], 0, seed)
            assert_close(got, expected, 1e-7, noise + 1e-10, label=case.label)  # 1e-10: terms that cancel within f


@pytest.mark.promise(14)
@pytest.mark.parametrize("name", [name for name, row in elementwise_cases.ROWS.items() if row.arity != 1])
def test_no_two_gradients_of_an_elementwise_operation_share_memory(name):
    case = elementwise_cases.CASES[name]
    shared = np.concatenate(elementwise_cases.draw(case, 4))
    nodes = [Tensor(x) for x in np.split(shared, len(case.domain))]
    seed = np.ones(4)
    y = case.call(*nodes)
    y.backward(seed)
    arrays = [seed, y.data, y.grad, *(node.data for node in nodes), *(node.grad for node in nodes)]
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(arrays, 2))
    before = [node.grad.copy() for node in nodes]
    nodes[0].grad += 100.0
    assert all(np.array_equal(node.grad, g) for node, g in zip(nodes[1:], before[1:], strict=True))


# Partial derivatives by both operands, in plain NumPy
BROADCAST = {
    "add": (ad.add, lambda a, b: (1.0, 1.0)),
    "sub": (ad.sub, lambda a, b: (1.0, -1.0)),
    "mul": (ad.mul, lambda a, b: (b, a)),
    "div": (ad.div, lambda a, b: (1 / b, -a / b**2)),
    "maximum": (ad.maximum, lambda a, b: (a > b, a < b)),
    "power": (ad.power, lambda a, b: (b * a ** (b - 1), a**b * np.log(a))),
}


@pytest.mark.promise(2)
@pytest.mark.parametrize("name", BROADCAST)
def test_gradients_of_every_broadcastable_pair_of_shapes_are_summed_over_the_copies(name):
    f, partials = BROADCAST[name]
    pairs = 0
    for shapes in itertools.product(SHAPES, SHAPES):
        try:
            big = np.broadcast_shapes(*shapes)
        except ValueError:
            continue
        pairs += 1
        xs = [numbers_like(shape, 100 * i) for i, shape in enumerate(shapes)]
        seed = seed_like(np.zeros(big))
        for x, got, partial in zip(xs, gradients(f, xs, seed), partials(*xs), strict=True):
            expected = summed_over_copies(np.asarray(seed * partial), x.shape)
            assert_close(got, expected, 1e-13, 1e-13, label=f"{name} of {shapes}")
    # of two sides out of four 10 pairs fit: 10 for each axis that both have, 4 for each that one has alone
    assert pairs == sum(10 ** min(p, q) * 4 ** abs(p - q) for p, q in itertools.product(range(4), repeat=2))


# ---- no axes, and no elements ----------------------------------------------------------------------------------------


@pytest.mark.promise(2)
@pytest.mark.parametrize("name", elementwise_cases.CASES)
def test_a_0d_array_is_differentiated_as_one_number(name):
    case = elementwise_cases.CASES[name]
    for point in zip(*elementwise_cases.draw(case, 10), strict=True):
        xs = [np.array(x) for x in point]
        for i, got in enumerate(gradients(case.call, xs)):
            assert type(got) is np.ndarray
            assert got.shape == ()
            if case.complex_kernel is not None:
                assert_close(got, complex_step(case.complex_kernel, xs, i), 1e-12, label=name)
            else:
                expected, noise = six_point(case.call, xs, i)
                assert_close(got, np.asarray(expected), 1e-7, noise, label=name)


# One empty array in, and a number, a Value or an error out
NEVER_EMPTY = {"item", "from_values"}


@pytest.mark.promise(2, 7)
@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in NEVER_EMPTY])
def test_empty_arrays_have_gradients_of_nothing_and_give_their_neighbours_the_right_ones(name):
    checked = 0
    for entry in BY_NAME[name]:
        for call in asked(entry, DOUBLE):
            if not any(0 in shape for shape in call.shapes) or any(len(shape) > 2 for shape in call.shapes):
                continue
            xs = operands_of(entry, call, DOUBLE)
            nodes = [Tensor(x) for x in xs]
            with np.errstate(all="ignore"):
                y = outcome(entry.ours, nodes, call)
                if isinstance(y, list) and y:
                    y = y[-1]  # of a split, the last part
                if not isinstance(y, Tensor) or not np.all(np.isfinite(y.data)):
                    continue  # refused, as NumPy does; or the mean of nothing
                checked += 1
                found = reverse_by(y, nodes, seed_like(y.data))
                label = f"{name}({call})"
                check_gradients_beside_empty_ones(entry, call, xs, y, found, label)
    assert checked > 0


def check_gradients_beside_empty_ones(entry, call, xs, y, found, label):
    for i, (x, g) in enumerate(zip(xs, found, strict=True)):
        assert g.shape == x.shape, label
        assert g.dtype == x.dtype, label
        if y.size == 0:
            assert not np.any(g), label
        elif x.size:
            numpys = lambda *xs: np.asarray(entry.numpys(*xs, *call.args, **call.params))
            expected, noise = differences(numpys, xs, i, seed_like(y.data))
            assert_close(g, expected, 1e-7, noise + 1e-10, label=label)


# ---- one item, one closed form ---------------------------------------------------------------------------------------


@pytest.mark.promise(2)
@pytest.mark.parametrize(
    ("f", "x", "gradient"), [row[1:] for row in CLOSED_FORMS], ids=[row[0] for row in CLOSED_FORMS]
)
def test_the_gradient_is_the_closed_form(f, x, gradient):
    seed = seed_like(f(x))
    (got,) = gradients(f, [x], seed)
    assert_close(got, np.broadcast_to(gradient(seed), x.shape), 1e-14, 1e-15)


# ---- matmul ----------------------------------------------------------------------------------------------------------

BATCHES = {3: [(3,), (1,)], 4: [(2, 3), (2, 1), (1, 3), (1, 1)]}


def operands_of_matmul(rank, rows, columns):
    """Return shapes of so many axes for a factor; a vector has no rows on the left and no columns on the right."""
    return [(rows or columns,)] if rank == 1 else [(*batch, rows, columns) for batch in BATCHES.get(rank, [()])]


@pytest.mark.promise(2)
@pytest.mark.parametrize("left", [1, 2, 3, 4])
@pytest.mark.parametrize("right", [1, 2, 3, 4])
@pytest.mark.parametrize("inner", [0, 1, 2])
def test_matmul_of_all_ranks_has_its_closed_form_gradients(left, right, inner):
    """The gradient of a is g times the transpose of b, of b the transpose of a times g; both summed over copies."""
    firsts = [(inner,)] if left == 1 else operands_of_matmul(left, 4, inner)
    seconds = [(inner,)] if right == 1 else operands_of_matmul(right, inner, 5)
    for shapes in itertools.product(firsts, seconds):
        a, b = (numbers_like(shape, 100 * i) for i, shape in enumerate(shapes))
        seed = seed_like(np.matmul(a, b))
        rows = a[None] if left == 1 else a
        columns = b[:, None] if right == 1 else b
        g = seed.reshape(np.matmul(rows, columns).shape)
        wide_a = np.einsum("...ik,...jk->...ij", g, np.broadcast_to(columns, (*g.shape[:-2], *columns.shape[-2:])))
        wide_b = np.einsum("...ki,...kj->...ij", np.broadcast_to(rows, (*g.shape[:-2], *rows.shape[-2:])), g)
        expected = [
            summed_over_copies(wide_a, rows.shape).reshape(a.shape),
            summed_over_copies(wide_b, columns.shape).reshape(b.shape),
        ]
        for got, right_one in zip(gradients(ad.matmul, [a, b], seed), expected, strict=True):
            assert_close(got, right_one, 1e-13, 1e-13, label=f"matmul of {shapes}")


# ---- layout in memory ------------------------------------------------------------------------------------------------


def views_of(x):
    """Return arrays equal to x (12 numbers as 3 x 4): reversed, every other element, columns first, read-only."""
    x = x.reshape(3, 4)
    every_other = np.zeros((6, 8))
    every_other[::2, ::2] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    return [x[::-1, ::-1].copy()[::-1, ::-1], every_other[::2, ::2], np.asfortranarray(x), x.T.copy().T, read_only]


@pytest.mark.promise(2)
@pytest.mark.parametrize("name", elementwise_cases.CASES)
def test_layout_in_memory_makes_no_difference_to_an_elementwise_operation(name):
    case = elementwise_cases.CASES[name]
    flat = elementwise_cases.draw(case, 12)
    plain = [x.reshape(3, 4) for x in flat]
    seed = seed_like(plain[0])
    expected, expected_gradients = case.call(*plain), gradients(case.call, plain, seed)
    for remade in zip(*map(views_of, flat), strict=True):
        # NumPy's kernels for adjacent numbers may round another way than those for scattered ones
        assert_close(case.call(*remade), expected, 1e-15, 1e-15, label=name)
        for remade_seed in views_of(seed):
            for got, right in zip(gradients(case.call, remade, remade_seed), expected_gradients, strict=True):
                assert_close(got, right, 1e-14, 1e-14, label=name)


# ---- for every operation ---------------------------------------------------------------------------------------------


def examples():
    """Yield (label, function, operands) for every operation of the table and every composite."""
    for case in elementwise_cases.CASES.values():
        yield case.name, case.call, elementwise_cases.draw(case, 6)
    for case in array_cases.CASES:
        yield case.label, case.call, array_cases.draw(case)


def test_nan_from_above_reaches_every_operand_that_matters(figure):
    """Wherever an element has an influence on the result, a gradient of nan makes its gradient nan."""
    reached = 0
    for label, f, xs in examples():
        y = f(*map(Tensor, xs))
        seed = seed_like(y.data)
        clean = gradients(f, xs, float(seed) if isinstance(y, Value) else seed)
        poisoned = gradients(f, xs, np.nan if isinstance(y, Value) else np.full(y.shape, np.nan))
        for g, bad in zip(clean, poisoned, strict=True):
            assert np.all(np.isnan(bad[g != 0])), label
            reached += np.count_nonzero(g)
    figure(f"elements that a nan from above reached: {reached:,}")
    assert reached > 8_000


def test_an_operation_on_constants_gives_plain_numbers():
    for label, f, xs in examples():
        y = f(*xs)
        assert not isinstance(y, Node), label
        assert isinstance(y, (float, np.ndarray)), label


def test_an_operation_on_one_node_records_nothing_of_its_constants():
    """Every node of the graph depends on the node; the gradient is the one among nodes alone."""
    for label, f, xs in examples():
        nodes = [Tensor(x) for x in xs]
        y = f(*nodes)
        seed = float(seed_like(0.0)) if isinstance(y, Value) else seed_like(y.data)
        expected = reverse_by(y, nodes, seed)
        for i, node in enumerate(nodes):
            y = f(*[node if k == i else x for k, x in enumerate(xs)])
            if not isinstance(y, Node):  # the condition of a choice
                assert not np.any(expected[i]), label
                continue
            assert [inner for inner in topological_order(y) if inner.is_leaf] == [node], label
            assert_close(reverse_by(y, [node], seed)[0], expected[i], 1e-15, 1e-15, label=label)


# ---- nn --------------------------------------------------------------------------------------------------------------


@pytest.mark.promise(19)
def test_a_split_of_the_data_neither_uses_nor_moves_the_global_generator():
    x, labels = np.arange(20.0), np.arange(20) % 2
    np.random.seed(1)  # noqa: NPY002  # the global state is what is tested
    before = np.random.get_state()[1].tolist()  # noqa: NPY002  # likewise
    first = train_test_split(x, labels, test_size=6, rng=3)
    train_test_split(x, labels, test_size=6)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002  # likewise
    np.random.seed(2)  # noqa: NPY002  # likewise
    second = train_test_split(x, labels, test_size=6, rng=np.random.default_rng(3))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
