"""The estimators as members of scikit-learn's world: its checks, its tools, its data; and what is inside."""
# ruff: noqa: E402  # the rest is imported after scikit-learn, which it comes with or needs, was seen to be there

import itertools
import os
import pickle
import re
import subprocess
import sys
import time

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", reason="nn.sklearn is made of scikit-learn's base classes")

import joblib
import scipy.sparse
import threadpoolctl
from sklearn.base import clone
from sklearn.datasets import load_digits, make_moons, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import nn
from autodiff import Tensor, no_grad
from nn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # short trainings are wanted

POINTS, LABELS = make_moons(100, noise=0.1, random_state=0)
X, TARGET = make_regression(100, 4, noise=1.0, random_state=0)
TARGET /= 100.0
BOTH = [(MLPClassifier, POINTS, LABELS), (MLPRegressor, X, TARGET)]


@pytest.fixture(autouse=True)
def _one_thread():
    """Let BLAS use one thread: matrices this small lose time on more."""
    with threadpoolctl.threadpool_limits(1):
        yield


# ---- scikit-learn's own judgement -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # the checks provoke warnings, and judge them
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_every_check_of_scikit_learn_passes(name, figure):
    from sklearn import neural_network

    outcomes = []
    for estimator in (getattr(nn.sklearn, name)(), getattr(neural_network, name)(max_iter=5)):
        results = check_estimator(estimator, on_skip=None, on_fail=None)
        outcomes.append([(result["check_name"], result["status"]) for result in results])
    our, their = outcomes
    passed = [check for check, status in our if status == "passed"]
    skipped = [check for check, status in our if status == "skipped"]
    figure(f"check_estimator({name}()): {len(passed)} passed, {len(skipped)} skipped, {len(our)} in all")
    assert [check for check, status in our if status not in ("passed", "skipped")] == []
    assert len(passed) >= 50
    # What is skipped (pandas, array API, a method that there is not) is skipped for scikit-learn's own estimator, too
    assert skipped == [check for check, status in their if status == "skipped"]


PRIVATE = {
    "test_fit": "a method _loss_grad_lbfgs",
    "test_gradient": "a method _loss_grad_lbfgs",
    "test_learning_rate_warmstart": "an attribute of its optimizer",
    "test_adaptive_learning_rate": "an attribute of its optimizer",
    "test_early_stopping_stratified": "the name True, in a message, for a label that was 1",
}


@pytest.mark.skipif(not sklearn.__version__.startswith("1.9."), reason="its tests are those of scikit-learn 1.9")
def test_the_tests_of_scikit_learn_s_own_networks_pass(root, tmp_path, figure):
    """All but those that look for something private; they run on our classes under the names of scikit-learn's."""
    swap = "import sklearn.neural_network as own, nn.sklearn as ours\n"
    swap += "own.MLPClassifier, own.MLPRegressor = ours.MLPClassifier, ours.MLPRegressor\n"
    (tmp_path / "swap.py").write_text(swap, encoding="ascii")
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "swap", "-p", "no:cacheprovider"]
    command += ["--pyargs", "sklearn.neural_network.tests.test_mlp"]
    path = os.pathsep.join([str(tmp_path), str(root)])
    environment = {**os.environ, "PYTHONPATH": path, "LOKY_MAX_CPU_COUNT": "1"}  # one thread for BLAS, as here
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    failed = set(re.findall(r"^FAILED \S*::(\w+)", run.stdout, re.MULTILINE))
    passed = int(re.search(r"(\d+) passed", run.stdout)[1])
    figure(
        f"scikit-learn's own tests of its networks, on ours: {passed} passed, {len(failed)} ask for something private"
    )
    assert failed == set(PRIVATE), run.stdout
    assert passed >= 50


def test_without_scikit_learn_the_error_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; import nn; import nn.sklearn"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.splitlines()[-1] == (
        "ImportError: nn.sklearn needs scikit-learn 1.7 or later: pip install 'autodiff-nn[sklearn]'"
    )


def test_the_parameters_and_defaults_are_those_of_scikit_learn():
    from sklearn import neural_network

    for estimator in (MLPClassifier, MLPRegressor):
        their = getattr(neural_network, estimator.__name__)
        assert estimator().get_params() == their().get_params()
        assert estimator._get_param_names() == their._get_param_names()


# ---- its tools ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("estimator", "x", "y"), BOTH)
def test_a_clone_has_the_parameters_and_nothing_learnt(estimator, x, y):
    original = estimator(hidden_layer_sizes=(3,), alpha=0.5, max_iter=2).fit(x, y)
    copy = clone(original)
    assert copy.get_params() == original.get_params()
    assert not hasattr(copy, "model_")
    assert not hasattr(copy, "coefs_")
    with pytest.raises(NotFittedError):
        copy.predict(x)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize(("estimator", "x", "y"), BOTH)
def test_what_joblib_saved_predicts_the_same_and_goes_on_learning_the_same(estimator, x, y, solver, tmp_path):
    original = estimator(hidden_layer_sizes=(5,), solver=solver, random_state=0, max_iter=3).fit(x, y)
    joblib.dump(original, tmp_path / "estimator.joblib")
    copy = joblib.load(tmp_path / "estimator.joblib")
    np.testing.assert_array_equal(copy.predict(x), original.predict(x))
    for either in (original, copy):
        either.partial_fit(x, y)
    assert copy.loss_curve_ == original.loss_curve_
    assert len(copy.loss_curve_) == 4
    for ours, expected in zip(copy.coefs_, original.coefs_, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_it_is_a_step_of_a_pipeline_that_a_grid_search_tunes():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((8,), solver="lbfgs", random_state=0))
    grid = {"mlpclassifier__alpha": [1e-3, 1e3], "mlpclassifier__activation": ["tanh", "relu"]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(POINTS, LABELS)
    assert search.best_params_["mlpclassifier__alpha"] == 1e-3  # a penalty of 1e3 leaves only the mean
    assert search.best_score_ >= 0.95
    assert search.score(POINTS, LABELS) >= 0.95


def test_cross_validation_in_two_processes_gives_the_scores_of_one():
    regressor = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0)
    scores = cross_val_score(regressor, X, TARGET, cv=3)
    assert scores.min() > 0.9
    # Each process has one thread for BLAS, as this one has; the last bits depend on their number
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        np.testing.assert_array_equal(cross_val_score(regressor, X, TARGET, cv=3, n_jobs=2), scores)
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)


def test_set_params_is_checked_when_fit_is_called():
    classifier = MLPClassifier().set_params(alpha=-1.0)
    with pytest.raises(ValueError, match=r"The 'alpha' parameter of MLPClassifier must be a float in the range"):
        classifier.fit(POINTS, LABELS)
    with pytest.raises(ValueError, match="The 'activation' parameter"):
        MLPRegressor(activation="nosuch").fit(X, TARGET)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes must be > 0 and whole, got \[4, 0\]"):
        MLPRegressor(hidden_layer_sizes=(4, 0)).fit(X, TARGET)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes must be > 0 and whole, got \[4\.5\]"):
        MLPRegressor(hidden_layer_sizes=[4.5]).fit(X, TARGET)
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\), got 1"):
        MLPRegressor(solver="sgd", momentum=1.0).fit(X, TARGET)


def test_lbfgs_has_no_partial_fit():
    assert hasattr(MLPRegressor(), "partial_fit")
    assert not hasattr(MLPRegressor(solver="lbfgs"), "partial_fit")
    with pytest.raises(AttributeError) as caught:
        MLPClassifier(solver="lbfgs").partial_fit(POINTS, LABELS, classes=[0, 1])
    assert "only available for the solvers sgd and adam" in str(caught.value.__cause__)


# ---- data -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, scipy.sparse.csr_array])
@pytest.mark.parametrize(("estimator", "x", "y"), BOTH)
def test_a_sparse_matrix_is_as_good_as_a_dense_one(estimator, x, y, form, solver):
    x = np.where(np.abs(x) < 0.4, 0.0, x)
    options = {"hidden_layer_sizes": (5,), "solver": solver, "random_state": 0, "max_iter": 5, "batch_size": 32}
    dense, sparse = estimator(**options).fit(x, y), estimator(**options).fit(form(x), y)
    assert sparse.loss_ == dense.loss_
    np.testing.assert_array_equal(sparse.predict(form(x)), dense.predict(x))


@pytest.mark.parametrize(("solver", "early_stopping"), [("adam", True), ("sgd", False), ("lbfgs", False)])
@pytest.mark.parametrize(("estimator", "x", "y"), BOTH)
def test_float32_stays_float32(estimator, x, y, solver, early_stopping):
    options = {"hidden_layer_sizes": (5,), "random_state": 0, "max_iter": 5, "early_stopping": early_stopping}
    options["solver"] = solver
    small = estimator(**options).fit(x.astype(np.float32), y)
    assert {array.dtype for array in small.coefs_ + small.intercepts_} == {np.dtype(np.float32)}
    assert getattr(small, "predict_proba", small.predict)(x.astype(np.float32)).dtype == np.float32
    large = estimator(**options).fit(x, y)
    assert large.coefs_[0].dtype == np.float64
    assert small.loss_ == pytest.approx(large.loss_, rel=1e-4)  # five epochs in single precision, 6e-8 each operation


def test_labels_may_be_words():
    words = np.array(["crescent", "bow"])[LABELS]
    classifier = MLPClassifier((8,), "tanh", solver="lbfgs", random_state=0).fit(POINTS, words)
    assert classifier.classes_.tolist() == ["bow", "crescent"]
    assert classifier.predict(POINTS[:3]).tolist() == words[:3].tolist()
    p = classifier.predict_proba(POINTS)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-15)
    np.testing.assert_array_equal(classifier.classes_[p.argmax(axis=1)], classifier.predict(POINTS))
    np.testing.assert_array_equal(classifier.predict_log_proba(POINTS), np.log(p))


def test_an_example_may_have_several_labels():
    several = np.column_stack([LABELS, POINTS[:, 0] > 0.5]).astype(int)
    classifier = MLPClassifier((10,), solver="lbfgs", random_state=0, max_iter=500).fit(POINTS, several)
    assert classifier.out_activation_ == "logistic"
    assert classifier.n_outputs_ == 2
    np.testing.assert_array_equal(classifier.predict(POINTS), several)
    assert classifier.score(POINTS, several) == 1.0


def test_several_outputs_are_learnt_at_once():
    targets = np.column_stack([TARGET, -2.0 * TARGET + 1.0])
    options = {"hidden_layer_sizes": (10,), "solver": "lbfgs", "random_state": 0, "alpha": 0.0, "max_iter": 1000}
    regressor = MLPRegressor(**options).fit(X, targets)
    assert regressor.predict(X).shape == (100, 2)
    assert regressor.score(X, targets) > 0.999
    assert regressor.loss_ == pytest.approx(0.5 * np.mean((regressor.predict(X) - targets) ** 2), rel=1e-12)


def test_counts_are_predicted_by_the_poisson_loss():
    rate = np.exp(1.0 + X[:, 0])
    counts = np.random.default_rng(0).poisson(rate)
    options = {"hidden_layer_sizes": (1,), "activation": "identity", "solver": "lbfgs", "random_state": 0}
    regressor = MLPRegressor("poisson", **options).fit(X, counts)
    assert regressor.out_activation_ == "exp"
    assert (regressor.predict(X) > 0.0).all()
    assert np.corrcoef(np.log(regressor.predict(X)), X[:, 0])[0, 1] > 0.99
    with pytest.raises(ValueError, match="loss='poisson' needs targets of at least 0, got -"):
        regressor.fit(X, TARGET)


def test_names_of_columns_are_kept_and_compared():
    pandas = pytest.importorskip("pandas", reason="scikit-learn takes names of columns from pandas")
    frame = pandas.DataFrame(POINTS, columns=["a", "b"])
    classifier = MLPClassifier((3,), solver="lbfgs", random_state=0).fit(frame, LABELS)
    assert classifier.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="The feature names should match"):
        classifier.predict(frame.rename(columns={"b": "c"}))


def test_an_example_that_weighs_nothing_is_as_good_as_absent():
    weight = np.repeat([1.0, 0.0], [60, 40])
    options = {"hidden_layer_sizes": (5,), "random_state": 0, "shuffle": False, "batch_size": 20, "max_iter": 5}
    weighted = MLPRegressor(**options).fit(X, TARGET, weight)  # the last two batches weigh nothing at all
    absent = MLPRegressor(**options).fit(X[:60], TARGET[:60])
    for ours, expected in zip(weighted.coefs_, absent.coefs_, strict=True):
        np.testing.assert_array_equal(ours, expected)


# ---- the network and its training -----------------------------------------------------------------------------------


def test_the_network_inside_is_a_sequential_of_ours():
    classifier = MLPClassifier((5, 4), "gelu", max_iter=2, random_state=0).fit(POINTS, LABELS)
    assert isinstance(classifier.model_, nn.Sequential)
    assert [repr(module) for module in classifier.model_] == [
        "Linear(in_features=2, out_features=5, bias=True)",
        "Activation(gelu)",
        "Linear(in_features=5, out_features=4, bias=True)",
        "Activation(gelu)",
        "Linear(in_features=4, out_features=1, bias=True)",
    ]
    p = 1.0 / (1.0 + np.exp(-classifier.model_(POINTS).data))
    np.testing.assert_allclose(classifier.predict_proba(POINTS)[:, 1:], p, rtol=1e-14)


def test_the_weights_can_be_read_and_written():
    regressor = MLPRegressor(hidden_layer_sizes=(3,), activation="identity", max_iter=1).fit(X, TARGET)
    assert [coef.shape for coef in regressor.coefs_] == [(4, 3), (3, 1)]
    assert [intercept.shape for intercept in regressor.intercepts_] == [(3,), (1,)]
    regressor.coefs_ = [np.ones((4, 3)), np.ones((3, 1))]
    regressor.intercepts_ = [np.zeros(3), [0.5]]
    np.testing.assert_allclose(regressor.predict(X), 3.0 * X.sum(axis=1) + 0.5, rtol=1e-12)
    regressor.coefs_[1][...] = 0.0  # in place, too
    np.testing.assert_array_equal(regressor.predict(X), np.full(100, 0.5))
    with pytest.raises(TypeError):
        regressor.coefs_[1] = np.ones((3, 1))  # would change a list that nobody looks at
    with pytest.raises(ValueError, match="shorter"):
        regressor.coefs_ = [np.ones((4, 3))]
    first, bias = regressor.coefs_[0], regressor.intercepts_[0]
    regressor.coefs_ = [coef + 1.0 for coef in regressor.coefs_]
    assert first[0, 0] == 2.0  # a view stays one
    regressor.coefs_, regressor.intercepts_ = regressor.coefs_, regressor.intercepts_
    assert first[0, 0] == 2.0
    assert bias is regressor.intercepts_[0]


@pytest.mark.parametrize(
    "coefs",
    [
        [np.full((4, 3), 7.0), np.ones((1, 3))],
        [np.full((4, 3), 7.0), np.ones(3)],
        [np.full((4, 3), 7.0), [["a"]] * 3],
        [np.ones((1, 3)), np.full((3, 1), 7.0)],
        [np.full((4, 3), 7.0)],
        [np.full((4, 3), 7.0)] * 3,
    ],
)
def test_weights_that_do_not_fit_are_refused_all_together(coefs):
    regressor = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1).fit(X, TARGET)
    before = [array.copy() for array in regressor.coefs_ + regressor.intercepts_]
    with pytest.raises(ValueError, match=r"the layers take shapes|could not convert|is shorter|is longer"):
        regressor.coefs_ = coefs
    with pytest.raises(ValueError, match=r"the layers take shapes \[\(3,\), \(1,\)\], got \[\(3,\), \(\)\]"):
        regressor.intercepts_ = [np.full(3, 7.0), 7.0]
    for array, expected in zip(regressor.coefs_ + regressor.intercepts_, before, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_weights_of_a_network_that_is_not_there_cannot_be_set():
    for name in ("coefs_", "intercepts_"):
        with pytest.raises(NotFittedError, match="This MLPRegressor instance is not fitted yet"):
            setattr(MLPRegressor(), name, [np.ones((4, 3))])


def test_it_is_trained_where_nothing_else_is_recorded():
    for solver in ("adam", "lbfgs"):
        options = {"hidden_layer_sizes": (3,), "solver": solver, "max_iter": 2, "random_state": 0}
        with no_grad():
            inside = MLPRegressor(**options).fit(X, TARGET)
            assert Tensor(1.0).exp().is_leaf  # and here it is as before
        assert inside.loss_ == MLPRegressor(**options).fit(X, TARGET).loss_


def test_the_best_weights_are_kept_only_where_they_are_needed():
    sizes = {}
    for early_stopping in (True, False):
        options = {"hidden_layer_sizes": (400,), "early_stopping": early_stopping, "max_iter": 1}
        sizes[early_stopping] = len(pickle.dumps(MLPRegressor(**options).fit(X, TARGET)))
    weights = 8 * (4 * 400 + 400 + 400 + 1)
    assert sizes[True] - sizes[False] > 0.99 * weights


@pytest.mark.parametrize("activation", ["arctan", "elu", "gelu", "leaky_relu", "selu", "sigmoid", "silu", "softplus"])
def test_elementwise_functions_of_ours_are_activations(activation):
    assert (
        MLPClassifier((8,), activation, solver="lbfgs", random_state=0).fit(POINTS, LABELS).score(POINTS, LABELS) > 0.9
    )


def test_early_stopping_keeps_the_best_weights():
    options = {"hidden_layer_sizes": (8,), "learning_rate_init": 0.05, "random_state": 0}
    classifier = MLPClassifier(early_stopping=True, validation_fraction=0.3, **options).fit(POINTS, LABELS)
    scores = classifier.validation_scores_
    assert classifier.best_validation_score_ == max(scores) >= 0.8
    assert classifier.best_loss_ is None
    assert len(scores) == classifier.n_iter_ < 200
    held_out = train_test_split(POINTS, LABELS, random_state=_after_the_weights(0, 8), test_size=0.3, stratify=LABELS)
    assert classifier.score(held_out[1], held_out[3]) == classifier.best_validation_score_


def _after_the_weights(seed, units):
    """Return the generator as it is when the weights of a 2-units-1 network were drawn."""
    random = np.random.RandomState(seed)
    random.uniform(size=2 * units + units + units + 1)
    return random


def test_verbose_prints_every_epoch_and_why_it_ended(capsys):
    options = {"hidden_layer_sizes": (3,), "random_state": 0, "verbose": True, "tol": 1.0, "n_iter_no_change": 2}
    regressor = MLPRegressor(**options).fit(X, TARGET)
    *epochs, end = capsys.readouterr().out.splitlines()
    expected = [f"Iteration {i}, loss = {loss:.8f}" for i, loss in enumerate(regressor.loss_curve_, 1)]
    assert epochs == expected
    assert end == "Training loss did not improve more than tol=1.000000 for 2 consecutive epochs. Stopping."


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ctrl_c_keeps_what_was_learnt(solver, monkeypatch):
    calls = itertools.count(1)
    original = MLPRegressor._losses

    def interrupted(self, *data):
        if next(calls) == 8:
            raise KeyboardInterrupt
        return original(self, *data)

    options = {"hidden_layer_sizes": (5,), "activation": "tanh", "solver": solver, "random_state": 0}
    expected = MLPRegressor(**options, max_iter=1).fit(X, TARGET)  # the loss after the first step is higher than ours
    monkeypatch.setattr(MLPRegressor, "_losses", interrupted)
    with pytest.warns(UserWarning, match=r"Training interrupted by user\."):
        regressor = MLPRegressor(**options).fit(X, TARGET)
    assert regressor.loss_ < expected.loss_
    if solver == "adam":
        assert regressor.n_iter_ == len(regressor.loss_curve_) == 7
    reached = 0.5 * np.mean((regressor.predict(X) - TARGET) ** 2)
    assert reached < 0.5 * np.mean((expected.predict(X) - TARGET) ** 2)


def test_weights_that_explode_are_an_error():
    regressor = MLPRegressor(hidden_layer_sizes=(3,), solver="sgd", learning_rate_init=1e100, random_state=0)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        regressor.fit(X, TARGET)


def test_a_warm_start_keeps_the_layers():
    regressor = MLPRegressor(hidden_layer_sizes=(3,), warm_start=True, max_iter=1).fit(X, TARGET)
    model = regressor.model_
    assert regressor.fit(X, TARGET).model_ is model
    with pytest.raises(ValueError, match=r"has layers of \[3, 1\] units; to change them to \[4, 1\], set warm_start"):
        regressor.set_params(hidden_layer_sizes=(4,)).fit(X, TARGET)
    assert regressor.set_params(warm_start=False).fit(X, TARGET).model_ is not model
    # Another solver, or validation from now on, starts a record of its own
    regressor.set_params(warm_start=True, solver="lbfgs").fit(X, TARGET)
    regressor.set_params(solver="sgd", early_stopping=True).fit(X, TARGET)
    assert len(regressor.validation_scores_) == len(regressor.loss_curve_) == 1


def test_partial_fit_cannot_stop_early_and_refuses_new_labels():
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        MLPClassifier(early_stopping=True).partial_fit(POINTS, LABELS, classes=[0, 1])
    classifier = MLPClassifier((3,)).partial_fit(POINTS, LABELS, classes=[0, 1])
    with pytest.raises(ValueError, match=r"`y` has classes not in `self\.classes_`"):
        classifier.partial_fit(POINTS, LABELS + 1)
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        MLPClassifier().partial_fit(POINTS, LABELS)


def test_too_large_a_batch_is_clipped_with_a_warning():
    with pytest.warns(UserWarning, match="batch_size 101 is more than the 100 examples"):
        clipped = MLPRegressor(hidden_layer_sizes=(3,), batch_size=101, max_iter=2, random_state=0).fit(X, TARGET)
    assert clipped.loss_ == MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit(X, TARGET).loss_


def test_an_unfinished_training_warns():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        MLPClassifier(max_iter=2).fit(POINTS, LABELS)
    with pytest.warns(ConvergenceWarning, match=r"lbfgs failed to converge after 2 iteration\(s\)"):
        MLPClassifier(max_iter=2, solver="lbfgs").fit(POINTS, LABELS)


def test_digits_are_recognised(figure):
    """1,347 handwritten digits to learn from, 450 held out; at least 0.96 of these must be right."""
    pixels, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(pixels / 16.0, labels, random_state=0, stratify=labels)
    start = time.perf_counter()
    classifier = MLPClassifier((64,), learning_rate_init=0.01, max_iter=60, random_state=0).fit(x, y)
    seconds = time.perf_counter() - start
    accuracy = classifier.score(x_test, y_test)
    figure(f"digits, 64-64-10: held-out accuracy {accuracy:.4f} after {classifier.n_iter_} epochs, {seconds:.1f} s")
    assert accuracy >= 0.96
