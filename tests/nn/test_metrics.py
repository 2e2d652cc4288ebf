"""Metrics against their definitions, example by example, and against what scikit-learn gives."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiff import ShapeError, Tensor
from nn.metrics import F1, R2, Accuracy, ConfusionMatrix, Metric, Precision, Recall, TopKAccuracy

TRUTH, GUESS = [0, 1, 2, 2, 1, 0, 4, 4, 2], [0, 2, 2, 2, 1, 1, 4, 0, 2]
AVERAGES = ["macro", "micro", None]
EVERY_METRIC = [
    Accuracy(),
    TopKAccuracy(2),
    ConfusionMatrix(),
    *(metric(average) for metric in (Precision, Recall, F1) for average in AVERAGES),
]


def batches(metric, prediction, target, cuts):
    """Return the result of data that come in pieces."""
    metric.reset()
    for rows in np.split(np.arange(len(target)), cuts):
        metric.update(np.asarray(prediction)[rows], np.asarray(target)[rows])
    return metric.compute()


def of_class(k, guess, truth):
    """Return precision, recall and F1 of one class, by counting."""
    pairs = list(zip(guess, truth, strict=True))
    right = sum(g == t == k for g, t in pairs)
    guessed, there = sum(g == k for g, _ in pairs), sum(t == k for _, t in pairs)
    precision, recall = right / guessed if guessed else 0.0, right / there if there else 0.0
    return precision, recall, 2.0 * precision * recall / (precision + recall) if right else 0.0


# ---- definitions -------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40), st.data())
def test_every_ratio_is_what_counting_gives_however_the_data_are_cut(pairs, data):
    guess, truth = map(list, zip(*pairs, strict=True))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(pairs)), max_size=3)))
    seen = sorted({*guess, *truth})
    for i, metric in enumerate((Precision, Recall, F1)):
        each = [of_class(k, guess, truth)[i] for k in range(max(seen) + 1)]
        np.testing.assert_allclose(batches(metric(None), guess, truth, cuts), each, rtol=1e-15)
        assert batches(metric("macro"), guess, truth, cuts) == pytest.approx(
            np.mean([each[k] for k in seen]), rel=1e-14
        )
        five = [of_class(k, guess, truth)[i] for k in range(5)]
        assert batches(metric("macro", classes=5), guess, truth, cuts) == pytest.approx(np.mean(five), rel=1e-14)
        accuracy = np.mean(np.equal(guess, truth))
        assert batches(metric("micro"), guess, truth, cuts) == pytest.approx(accuracy, rel=1e-15)
    matrix = batches(ConfusionMatrix(5), guess, truth, cuts)
    assert matrix.tolist() == [[pairs.count((g, t)) for g in range(5)] for t in range(5)]
    assert batches(Accuracy(), guess, truth, cuts) == np.trace(matrix) / len(pairs)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_class_is_among_the_k_first_of_the_sorted_scores(seed, k):
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(20, 5)), rng.integers(0, 5, 20)
    expected = np.mean([label in np.argsort(-row)[:k] for row, label in zip(scores, labels, strict=True)])
    assert batches(TopKAccuracy(k), scores, labels, [3, 3, 11]) == expected


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.sampled_from([0.0, 1e6]))
def test_r2_is_that_of_all_data_at_once_however_they_are_cut(seed, n, offset):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, 3)) + offset
    guess = truth + 0.5 * rng.normal(size=(n, 3))
    each = 1.0 - np.square(truth - guess).sum(axis=0) / np.square(truth - truth.mean(axis=0)).sum(axis=0)
    cuts = np.sort(rng.integers(0, n + 1, 3))
    # an offset of 1e6 leaves ten digits of numbers around 1
    np.testing.assert_allclose(batches(R2(average=False), guess, truth, cuts), each, rtol=1e-8 if offset else 1e-12)
    assert batches(R2(), guess[:, 0], truth[:, 0], cuts) == pytest.approx(each[0], rel=1e-8 if offset else 1e-12)
    np.testing.assert_allclose(batches(R2(), guess, truth, cuts), each.mean(), rtol=1e-8 if offset else 1e-12)


def test_r2_of_constant_targets_is_one_if_perfect_and_otherwise_zero():
    assert R2()([2.0, 2.0], [2.0, 2.0]) == 1.0
    assert R2()([2.0, 2.5], [2.0, 2.0]) == 0.0
    np.testing.assert_array_equal(R2(average=False)([[2.0, 1.0], [2.5, 1.0]], [[2.0, 1.0], [2.0, 1.0]]), [0.0, 1.0])


# ---- scikit-learn ------------------------------------------------------------------------------------------------


def test_the_numbers_are_those_that_scikit_learn_gave():
    """Recorded from scikit-learn 1.9.1, its metrics of the same names with zero_division=0."""
    seen = [0, 1, 2, 4]
    assert ConfusionMatrix()(GUESS, TRUTH)[np.ix_(seen, seen)].tolist() == [
        [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 3, 0], [1, 0, 0, 1],
    ]  # fmt: skip
    for metric, macro, each in (
        (Precision, 0.6875, [0.5, 0.5, 0.75, 1.0]),
        (Recall, 0.625, [0.5, 0.5, 1.0, 0.5]),
        (F1, 0.6309523809523809, [0.5, 0.5, 0.8571428571428571, 0.6666666666666666]),
    ):
        assert metric("macro")(GUESS, TRUTH) == pytest.approx(macro, rel=1e-15)
        assert metric("micro")(GUESS, TRUTH) == pytest.approx(0.6666666666666666, rel=1e-15)
        np.testing.assert_allclose(metric(None)(GUESS, TRUTH)[seen], each, rtol=1e-15)
    truth, guess = [[1.0, -2.0], [3.0, 0.5], [-1.0, 4.0], [2.5, 1.0]], [[1.5, -1.0], [2.0, 0.0], [0.0, 3.0], [2.0, 2.0]]
    assert R2()(guess, truth) == pytest.approx(0.7816206628976832, rel=1e-14)
    np.testing.assert_allclose(R2(average=False)(guess, truth), [0.7419354838709677, 0.8213058419243986], rtol=1e-14)
    scores = [[0.5, 0.2, 0.2, 0.1], [0.3, 0.4, 0.2, 0.1], [0.2, 0.4, 0.3, 0.1], [0.7, 0.2, 0.1, 0.0]]
    assert TopKAccuracy(2)(scores, [0, 1, 2, 2]) == 0.75


def test_the_numbers_are_those_that_scikit_learn_gives():
    theirs = pytest.importorskip("sklearn.metrics", reason="the live comparison needs scikit-learn")
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth, guess = rng.integers(0, 6, 15), rng.integers(0, 6, 15)
        seen = np.union1d(truth, guess)
        for average in AVERAGES:
            for metric, function in (
                (Precision, theirs.precision_score),
                (Recall, theirs.recall_score),
                (F1, theirs.f1_score),
            ):
                mine = metric(average)(guess, truth)
                mine = mine[seen] if average is None else mine
                np.testing.assert_allclose(mine, function(truth, guess, average=average, zero_division=0), rtol=1e-14)
        np.testing.assert_array_equal(
            ConfusionMatrix()(guess, truth)[np.ix_(seen, seen)], theirs.confusion_matrix(truth, guess)
        )
        x, y = rng.normal(size=(15, 2)), rng.normal(size=(15, 2))
        assert R2()(x, y) == pytest.approx(theirs.r2_score(y, x), rel=1e-13)


def test_with_a_threshold_the_numbers_are_of_the_positive_class_as_in_scikit_learn():
    scores, labels = np.array([0.9, 0.2, 0.7, 0.6, 0.1, 0.8]), np.array([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    # 4 are taken for positive, 2 of them rightly, of 3 that are
    for metric, number in ((Precision, 1 / 2), (Recall, 2 / 3), (F1, 4 / 7)):
        assert metric(threshold=0.5)(scores, labels) == pytest.approx(number, rel=1e-15)
        assert metric("binary")(scores > 0.5, labels.astype(int)) == pytest.approx(number, rel=1e-15)
        assert metric(threshold=0.5)(np.zeros(3), np.zeros(3)) == 0.0  # none is positive, neither guessed nor true
    theirs = pytest.importorskip("sklearn.metrics", reason="the live comparison needs scikit-learn")
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, labels = rng.random(15), rng.integers(0, 2, 15)
        for metric, function in (
            (Precision, theirs.precision_score),
            (Recall, theirs.recall_score),
            (F1, theirs.f1_score),
        ):
            expected = function(labels, scores > 0.5, zero_division=0)
            assert metric(threshold=0.5)(scores, labels) == pytest.approx(expected, rel=1e-14)


# ---- what a batch may be -----------------------------------------------------------------------------------------


def test_scores_probabilities_class_numbers_and_Tensors_are_compared():
    scores, labels = np.array([[0.1, 2.0, 0.3], [3.0, 1.0, 2.0], [0.0, 0.5, 1.0]]), np.array([1, 0, 1])
    for prediction, target in (
        (scores, labels),
        (Tensor(scores), labels.tolist()),
        (scores.argmax(axis=1), labels.astype(np.uint8)),
        (scores, np.eye(3)[labels]),
        (scores[None], labels[None]),
    ):
        assert Accuracy()(prediction, target) == pytest.approx(2.0 / 3.0, rel=1e-15)
        assert ConfusionMatrix(3)(prediction, target).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_a_threshold_makes_two_classes_of_one_score():
    logits = np.array([[2.0], [-1.0], [0.5], [-3.0]])
    for target in ([[1.0], [1.0], [0.0], [0.0]], [[1], [1], [-1], [-1]]):
        assert Accuracy(threshold=0.0)(logits, target) == 0.5
        assert ConfusionMatrix(threshold=0.0)(logits, target).tolist() == [[1, 1], [1, 1]]
        assert Precision(None, threshold=1.0)(logits, target).tolist() == [2.0 / 3.0, 1.0]
    assert Accuracy(threshold=0.5)(np.array([0.6, 0.4]), np.array([1, 0])) == 1.0


def test_ties_for_the_last_place_are_right():
    assert TopKAccuracy(1)([[0.5, 0.5, 0.0]], [1]) == 1.0
    assert TopKAccuracy(2)([[0.5, 0.3, 0.3, 0.3]], [3]) == 1.0
    assert TopKAccuracy(1)([[0.5, 0.3, 0.3, 0.3]], [3]) == 0.0
    assert TopKAccuracy(3)([[np.nan, np.nan, np.nan]], [1]) == 0.0


# ---- streaming ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", EVERY_METRIC, ids=repr)
def test_a_reset_forgets_and_a_call_counts_alone(metric):
    scores, labels = np.random.default_rng(0).normal(size=(12, 4)), np.arange(12) % 4
    metric.reset()
    metric.update(scores, labels)
    first = metric.compute()
    np.testing.assert_array_equal(metric(scores[:2], labels[:2]), metric(scores[:2], labels[:2]))
    np.testing.assert_array_equal(metric.compute(), first)
    metric.update(scores[:5], labels[:5])
    metric.reset()
    metric.update(scores, labels)
    np.testing.assert_array_equal(metric.compute(), first)
    metric.reset()
    empty = metric.compute()
    assert np.size(empty) == 0 or math.isnan(empty)


def test_a_result_does_not_change_with_later_batches():
    metric = ConfusionMatrix(2)
    metric.update([0, 1], [0, 1])
    result = metric.compute()
    metric.update([0, 1], [0, 1])
    assert result.tolist() == [[1, 0], [0, 1]]
    assert metric.compute().tolist() == [[2, 0], [0, 2]]


def test_an_empty_batch_changes_nothing():
    for metric in EVERY_METRIC:
        metric.reset()
        metric.update(np.eye(3), [0, 1, 1])
        before = metric.compute()
        metric.update(np.zeros((0, 3)), np.zeros(0, int))
        np.testing.assert_array_equal(metric.compute(), before)
    r2 = R2()
    r2.update([1.0, 3.0], [1.0, 2.0])
    r2.update(np.zeros(0), np.zeros(0))
    assert r2.compute() == -1.0


def test_the_matrix_grows_with_the_classes_that_come():
    metric = ConfusionMatrix()
    metric.update([0], [0])
    metric.update([3], [1])
    assert metric.compute().tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_r2_needs_two_examples():
    r2 = R2()
    r2.update([1.0], [2.0])
    assert math.isnan(r2.compute())


def test_metrics_have_names_for_tables():
    names = [
        metric.name for metric in (Accuracy(), TopKAccuracy(3), ConfusionMatrix(), Precision(), Recall(), F1(), R2())
    ]
    assert names == ["accuracy", "top_3_accuracy", "confusion_matrix", "precision", "recall", "f1", "r2"]
    assert repr(Precision(None, classes=3)) == "Precision(None, classes=3)"
    assert repr(Accuracy(threshold=0.5)) == "Accuracy(threshold=0.5)"
    assert (repr(TopKAccuracy(3)), repr(R2(average=False)), repr(F1())) == (
        "TopKAccuracy(3)",
        "R2(average=False)",
        "F1('macro')",
    )


def test_a_metric_of_ones_own_needs_three_methods():
    with pytest.raises(TypeError, match="abstract"):
        Metric()


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [Accuracy(), ConfusionMatrix(), Precision()])
def test_shapes_that_do_not_fit_are_refused_with_both(metric):
    with pytest.raises(ShapeError, match=r"got \(2,\) and \(3,\)"):
        metric.update(np.zeros((2, 4)), [0, 1, 2])
    with pytest.raises(ShapeError, match=r"got \(3, 1\) and \(2,\)|got \(3,\) and \(2,\)"):
        metric.update(np.zeros((3, 1)), [0, 1])
    with pytest.raises(ShapeError, match="for one score an example give a threshold"):
        metric.update(np.zeros(2), [0, 1])
    with pytest.raises(TypeError, match="class numbers must be integers, got float64"):
        metric.update(np.zeros((2, 3)), [0.0, 1.0])


@pytest.mark.parametrize("metric", [Accuracy(), ConfusionMatrix(), Precision(), Recall(), F1()])
@pytest.mark.parametrize("dtype", [float, int])
def test_one_column_of_scores_is_no_table_of_classes(metric, dtype):
    """It would always be right: there is but one class to take."""
    with pytest.raises(ShapeError, match="for one score an example give a threshold"):
        metric.update(np.zeros((3, 1)), np.array([[0], [1], [1]]).astype(dtype))


def test_several_labels_an_example_are_no_probabilities():
    with pytest.raises(
        ValueError, match=r"Accuracy takes .* that add up to 1 as targets; for several labels an example"
    ):
        Accuracy().update(np.zeros((2, 3)), np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]))
    assert Accuracy()(np.array([[1.0, 2.0]]), np.array([[0.3332, 0.6664]])) == 1.0


def test_scores_and_labels_with_a_threshold_need_one_shape():
    with pytest.raises(ShapeError, match=r"Accuracy needs scores and labels of one shape, got \(3, 1\) and \(3,\)"):
        Accuracy(threshold=0.0).update(np.zeros((3, 1)), np.zeros(3))


@pytest.mark.parametrize("wrong", [-1, 3])
def test_class_numbers_out_of_range_are_refused_and_not_counted(wrong):
    for metric in (ConfusionMatrix(3), F1(classes=3)):
        with pytest.raises(
            ValueError, match=rf"class numbers must be in 0 \.\. 2, got {min(wrong, 0)} \.\. {max(wrong, 0)}"
        ):
            metric.update([0, 1], [0, wrong])
        assert not metric._counts.any()
    with pytest.raises(ValueError, match=r"TopKAccuracy: class numbers must be in 0 \.\. 2"):
        TopKAccuracy(2).update(np.zeros((1, 3)), [wrong])


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        TopKAccuracy(0)
    with pytest.raises(ValueError, match="average must be 'auto', 'binary', 'macro', 'micro' or None, got 'weighted'"):
        Precision("weighted")
    with pytest.raises(ShapeError, match=r"TopKAccuracy takes scores \(n, classes\) and class numbers \(n,\)"):
        TopKAccuracy(1).update([0.5, 0.5], [0, 1])
    with pytest.raises(ShapeError, match=r"R2 takes predictions and targets of one shape, .* got \(2, 1\) and \(2,\)"):
        R2().update(np.zeros((2, 1)), np.zeros(2))
    r2 = R2()
    r2.update(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"R2 got targets of shape \(2, 4\) after some with outputs \(3,\)"):
        r2.update(np.zeros((2, 4)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="average='binary' is for the classes 0 and 1, got 3; try 'macro'"):
        Precision("binary")([0, 1, 2], [0, 1, 1])
