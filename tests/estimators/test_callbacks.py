"""Callbacks of scikit-learn 1.9; older versions are unaffected."""

import importlib.util
import pickle
import re

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    maxent_path,
)

HAS_CALLBACKS = importlib.util.find_spec("sklearn.callback") is not None
with_callbacks = pytest.mark.skipif(
    not HAS_CALLBACKS, reason="scikit-learn before 1.9 has no callbacks"
)

IRIS = load_iris(return_X_y=True)
OVERLAPPING = IRIS[0][50:], IRIS[1][50:]
WINE = load_wine(return_X_y=True)
ESTIMATORS = [MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier]


@pytest.mark.skipif(HAS_CALLBACKS, reason="callbacks exist")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_without_callbacks_nothing_changes(estimator):
    assert not hasattr(estimator(), "set_callbacks")
    assert not [name for name in vars(estimator().fit(*OVERLAPPING)) if "callback" in name]


@pytest.mark.skipif(HAS_CALLBACKS, reason="callbacks exist")
def test_a_path_says_which_version_callbacks_need():
    with pytest.raises(ImportError, match=r"callbacks needs scikit-learn 1\.9 or later, found 1\."):
        maxent_path(*IRIS, callbacks=[object()])


def one_fold_lacks_a_class():
    y = np.where(np.arange(150) < 2, 2, IRIS[1] % 2)
    folds = [(np.arange(2, 150), np.arange(2)), (np.arange(0, 150, 2), np.arange(1, 150, 2))]
    MaxentClassifierCV(Cs=[0.1], cv=folds).fit(IRIS[0], y)


@pytest.mark.parametrize(
    "fit, message",
    [
        (lambda: MaxentClassifier(max_iter=1).fit(*IRIS), "max_iter=1 was reached"),
        (lambda: MultilabelMaxentClassifier(max_iter=1).fit(*IRIS), "max_iter=1 was reached"),
        (lambda: maxent_path(*IRIS, Cs=[9.0], max_iter=1), "max_iter=1 was reached at C=9"),
        (one_fold_lacks_a_class, "fold 0 has no rows of"),
    ],
)
def test_warnings_name_the_line_that_fits(fit, message):
    with pytest.warns(match=message) as record:
        fit()
    assert record[0].filename == __file__
    assert record[0].lineno in range(fit.__code__.co_firstlineno, fit.__code__.co_firstlineno + 4)


def lineage(context):
    """From the root to a task: the estimator's name, the task's and its number."""
    above = [] if context.parent is None else lineage(context.parent)
    return [*above, (context.estimator_name, context.task_name, context.task_id)]


class Recorder:
    """Remembers every call; asks to stop, or raises, where it is told to."""

    def __init__(self, stops=lambda context: False, fails_at=None):
        self.stops, self.fails_at = stops, fails_at
        self.calls, self.begins, self.ends = [], [], []

    def _call(self, hook, context):
        self.calls.append((hook, *lineage(context)[-1]))
        if hook == self.fails_at:
            raise RuntimeError(f"failed at {hook}")

    def setup(self, estimator, context):
        self._call("setup", context)

    def teardown(self, estimator, context):
        self._call("teardown", context)

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
        self.begins.append((context, fitted_estimator))
        self._call("begin", context)

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.ends.append((context, fitted_estimator, (X, y, metadata)))
        self._call("end", context)
        return self.stops(context)

    def models(self, task_name):
        """Fitted estimators at the ends of tasks."""
        return [model for context, model, _ in self.ends if context.task_name == task_name]


class Propagated(Recorder):
    """For meta-estimators, whose parts have it too."""

    max_propagation_depth = None


def stop_after(task_name, task_id):
    return lambda context: (context.task_name, context.task_id) == (task_name, task_id)


def objective(clf, X, y):
    """Σ losses and C⁻¹ times the penalty, as scikit-learn has it."""
    log_p = clf.predict_log_proba(X)[np.arange(len(y)), np.searchsorted(clf.classes_, y)]
    l1, ridge = np.abs(clf.coef_).sum(), 0.5 * np.square(clf.coef_).sum()
    penalty = clf.l1_ratio * l1 + (1.0 - clf.l1_ratio) * ridge
    return -log_p.sum() + (penalty / clf.C if np.isfinite(clf.C) else 0.0)


def many_features(n_samples=200, n_features=4000, density=0.02):
    rng = np.random.default_rng(3)
    X = sp.random(n_samples, n_features, density, random_state=rng, format="csr")
    return X, (X[:, :5].toarray() * 4 + rng.gumbel(size=(n_samples, 5))).argmax(axis=1)


FITS = {
    "small": ({}, IRIS),
    "two classes, no penalty": ({"C": np.inf}, OVERLAPPING),
    "conjugate gradients": ({"solver": "newton-cg"}, WINE),
    "lasso": ({"l1_ratio": 1.0, "C": 0.1}, WINE),
    "SciPy's quasi-Newton": ({"solver": "lbfgs"}, WINE),
    "SciPy's trust region": ({"solver": "trust-krylov"}, WINE),
}


@with_callbacks
@pytest.mark.parametrize("options, data", FITS.values(), ids=FITS)
def test_each_iteration_is_a_task_and_lowers_the_objective(options, data):
    recorder = Recorder()
    clf = MaxentClassifier(**options).set_callbacks(recorder).fit(*data)
    plain = MaxentClassifier(**options).fit(*data)
    np.testing.assert_allclose(clf.coef_, plain.coef_, rtol=1e-9, atol=1e-12)
    n_iter = int(clf.n_iter_[0])
    assert n_iter == plain.n_iter_[0] > 2
    root = ("MaxentClassifier", "fit", 0)
    tasks = [("MaxentClassifier", "newton-iteration", k) for k in range(n_iter)]
    expected = [(hook, *task) for task in tasks for hook in ("begin", "end")]
    expected = [("setup", *root), ("begin", *root), *expected, ("end", *root), ("teardown", *root)]
    assert recorder.calls == expected
    models = recorder.models("newton-iteration")
    assert [int(model.n_iter_[0]) for model in models] == [*range(1, n_iter + 1)]
    assert np.isnan([model.optimality_gap_ for model in models]).all()
    values = [objective(model, *data) for model in models]
    # The last iterations gain less than rounding.
    assert (np.diff(values) < 1e-9 * values[-1]).all()
    assert values[0] > 1.01 * values[-1]
    for last in (models[-1], *recorder.models("fit")):
        np.testing.assert_allclose(last.coef_, clf.coef_, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(last.intercept_, clf.intercept_, rtol=1e-9, atol=1e-12)


@with_callbacks
@pytest.mark.parametrize("options, data", FITS.values(), ids=FITS)
def test_an_iteration_begins_with_what_the_one_before_left(options, data):
    recorder = Recorder()
    MaxentClassifier(**options).set_callbacks(recorder).fit(*data)
    begins = [m for context, m in recorder.begins if context.task_name == "newton-iteration"]
    ends = recorder.models("newton-iteration")
    assert begins[0] is None
    for begun, ended in zip(begins[1:], ends[:-1], strict=True):
        np.testing.assert_allclose(begun.coef_, ended.coef_, rtol=1e-12)
        np.testing.assert_allclose(begun.intercept_, ended.intercept_, rtol=1e-12)


@with_callbacks
def test_no_iterations_are_one_task_without_a_model():
    for options in ({}, {"l1_ratio": 1.0}):
        recorder = Recorder()
        clf = MaxentClassifier(max_iter=0, **options).set_callbacks(recorder)
        with pytest.warns(ConvergenceWarning, match="max_iter=0 was reached"):
            clf.fit(*IRIS)
        assert [call[2] for call in recorder.calls].count("newton-iteration") == 2
        (model,) = recorder.models("fit")
        assert not model.coef_.any()


@with_callbacks
def test_iterations_over_a_working_set_know_all_features(capsys):
    X, y = many_features()
    recorder = Recorder()
    clf = MaxentClassifier(l1_ratio=1.0, C=3.0, verbose=1).set_callbacks(recorder).fit(X, y)
    models = recorder.models("newton-iteration")
    assert all(model.coef_.shape == (5, 4000) for model in models)
    n_iter = int(clf.n_iter_[0])
    assert [int(model.n_iter_[0]) for model in models[:n_iter]] == [*range(1, n_iter + 1)]
    assert len(models) - n_iter in (0, 1)  # the last look at all features
    np.testing.assert_allclose(models[-1].coef_, clf.coef_, rtol=1e-9, atol=1e-12)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == n_iter
    for line, model in zip(lines, models[:n_iter], strict=True):
        _, number, _, value, *_ = line.split()
        assert int(number) == model.n_iter_[0]
        assert float(value) == pytest.approx(objective(model, X, y) / len(y), rel=1e-9)


@with_callbacks
@pytest.mark.parametrize("options, data", FITS.values(), ids=FITS)
def test_a_stop_leaves_what_as_many_iterations_give(options, data):
    recorder = Recorder(stop_after("newton-iteration", 1))
    stopped = MaxentClassifier(**options).set_callbacks(recorder).fit(*data)
    assert recorder.calls[-3:-1] == [
        ("end", "MaxentClassifier", "newton-iteration", 1),
        ("end", "MaxentClassifier", "fit", 0),
    ]
    with pytest.warns(ConvergenceWarning, match="max_iter=2 was reached"):
        short = MaxentClassifier(max_iter=2, **options).fit(*data)
    np.testing.assert_allclose(stopped.coef_, short.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(stopped.intercept_, short.intercept_, rtol=1e-9, atol=1e-12)
    assert stopped.n_iter_[0] == 2
    best = objective(MaxentClassifier(tol=1e-7, **options).fit(*data), *data)
    value = objective(stopped, *data)
    assert 1e-7 * value < value - best <= stopped.optimality_gap_ * value


@with_callbacks
@pytest.mark.parametrize("C, task_id", [(3.0, 2), (3.0, 5), (30.0, 0), (30.0, 12)])
def test_a_stop_among_many_features_has_an_honest_gap(C, task_id):
    # Starts of wide data are so near to the optimum that no stop would be far from it.
    X, y = many_features(600, 450, 0.1)
    recorder = Recorder(stop_after("newton-iteration", task_id))
    stopped = MaxentClassifier(l1_ratio=1.0, C=C).set_callbacks(recorder).fit(X, y)
    assert stopped.n_iter_[0] == task_id + 1 == len(recorder.models("newton-iteration"))
    model = recorder.models("newton-iteration")[-1]
    np.testing.assert_allclose(stopped.coef_, model.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(stopped.intercept_, model.intercept_, rtol=1e-9, atol=1e-12)
    best = objective(MaxentClassifier(l1_ratio=1.0, C=C, tol=1e-6).fit(X, y), X, y)
    value = objective(stopped, X, y)
    assert 1e-4 * value < value - best <= stopped.optimality_gap_ * value


@with_callbacks
def test_a_stop_of_other_likelihoods():
    X, y = IRIS
    sets = [{label, (label + 1) % 3} if i % 4 == 0 else {label} for i, label in enumerate(y)]
    fits = [({"partial_labels": True}, sets), ({"bias_reduction": "jeffreys", "C": np.inf}, y)]
    for options, targets in fits:
        recorder = Recorder()
        whole = MaxentClassifier(**options).set_callbacks(recorder).fit(X, targets)
        models = recorder.models("newton-iteration")
        assert len(models) - whole.n_iter_[0] in (0, 1)  # a step that gained nothing
        np.testing.assert_allclose(models[-1].coef_, whole.coef_, rtol=1e-9, atol=1e-12)
        stopping = Recorder(stop_after("newton-iteration", 1))
        stopped = MaxentClassifier(**options).set_callbacks(stopping).fit(X, targets)
        assert stopped.n_iter_[0] == 2 < whole.n_iter_[0]
        np.testing.assert_allclose(stopped.coef_, models[1].coef_, rtol=1e-9, atol=1e-12)
        assert np.isnan(stopped.optimality_gap_)


@with_callbacks
def test_lines_are_printed_too(capsys):
    def lines_without_seconds(clf):
        clf.fit(*IRIS)
        return re.sub(r"\d+\.\d s$", "", capsys.readouterr().out, flags=re.MULTILINE)

    alone = lines_without_seconds(MaxentClassifier(verbose=1))
    assert lines_without_seconds(MaxentClassifier(verbose=1).set_callbacks(Recorder())) == alone
    assert alone.count("standard errors") > 5


@with_callbacks
def test_a_start_at_the_optimum_is_one_iteration():
    clf = MaxentClassifier(warm_start=True).fit(*IRIS)
    recorder = Recorder()
    clf.set_callbacks(recorder).fit(*IRIS)
    (model,) = recorder.models("newton-iteration")
    assert model.n_iter_ == clf.n_iter_ == [1]
    np.testing.assert_allclose(model.coef_, clf.coef_, rtol=1e-9, atol=1e-12)


@with_callbacks
@pytest.mark.parametrize("options", [{}, {"l1_ratio": 1.0}])
def test_classes_without_weight_are_in_models_too(options):
    recorder = Recorder()
    clf = MaxentClassifier(**options).set_callbacks(recorder)
    clf.fit(*IRIS, sample_weight=np.where(IRIS[1] == 2, 0.0, 1.0))
    for model in recorder.models("newton-iteration"):
        assert model.predict_proba(IRIS[0]).shape == (150, 3)
        assert not (model.predict(IRIS[0]) == 2).any()


@with_callbacks
def test_models_of_an_iteration_have_names_offsets_and_corrections():
    X, y = OVERLAPPING
    frame = pd.DataFrame(X, columns=[*"abcd"])
    labels = np.array(["no", "yes"])[y - 1]
    offset = np.random.default_rng(0).normal(size=100)
    weights = np.random.default_rng(1).uniform(1, 2, 100)
    recorder = Recorder()
    clf = MaxentClassifier(prior_correction=[0.9, 0.1]).set_callbacks(recorder)
    clf.fit(frame, labels, weights, offset)
    for model in (recorder.models("newton-iteration")[-1], *recorder.models("fit")):
        np.testing.assert_allclose(
            model.predict_proba(frame), clf.predict_proba(frame, offset), rtol=1e-12
        )
        assert model.score(frame, labels) == pytest.approx(
            clf.score(frame, labels, offset=offset), rel=1e-12
        )
    with pytest.raises(ValueError, match="was fitted with an offset"):
        clf.predict(frame)
    for _, _, (given_X, given_y, metadata) in recorder.ends:
        assert given_X is frame
        assert given_y is labels
        assert metadata["sample_weight"] is weights


@with_callbacks
def test_a_scoring_monitor_has_a_score_for_each_iteration():
    from sklearn.callback import ScoringMonitor

    X, y = IRIS
    offset = np.random.default_rng(0).normal(size=(150, 3))
    monitor = ScoringMonitor(scoring="neg_log_loss")
    clf = MaxentClassifier(C=np.inf, tol=1e-6).set_callbacks(monitor)
    clf.fit(X[50:], y[50:], np.linspace(1, 2, 100), offset=offset[50:, 0])
    rows = monitor.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit"] + ["newton-iteration"] * clf.n_iter_[0]
    scores = [row["neg_log_loss"] for row in rows[1:]]
    assert (np.diff(scores) > -1e-12).all()
    assert scores[-1] == pytest.approx(rows[0]["neg_log_loss"], rel=1e-9)


@with_callbacks
def test_tasks_are_nested_in_pipelines_and_searches():
    recorder = Propagated()
    pipe = make_pipeline(StandardScaler(), MaxentClassifier())
    search = GridSearchCV(pipe, {"maxentclassifier__C": [0.1, 1.0]}, cv=3)
    search.set_callbacks(recorder).fit(*IRIS)
    paths = [lineage(context) for context, *_ in recorder.ends]
    iterations = [path for path in paths if path[-1][1] == "newton-iteration"]
    assert iterations[0] == [
        ("GridSearchCV", "fit", 0),
        ("GridSearchCV", "search", 0),
        ("Pipeline", "fit", 0),
        ("MaxentClassifier", "fit", 1),
        ("MaxentClassifier", "newton-iteration", 0),
    ]
    fits = {tuple(path[:-1]) for path in iterations}
    assert len(fits) == 2 * 3 + 1
    assert recorder.calls.count(("setup", "GridSearchCV", "fit", 0)) == 1
    assert [call for call in recorder.calls if call[0] in ("setup", "teardown")] == [
        (hook, "GridSearchCV", "fit", 0) for hook in ("setup", "teardown")
    ]
    assert search.score(*IRIS) > 0.95


@with_callbacks
@pytest.mark.parametrize("fails_at", ["setup", "begin", "end", "teardown"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_callback_that_raises_leaves_the_fit_before(estimator, fails_at):
    clf = estimator().fit(*OVERLAPPING)
    before = dict(vars(clf))
    recorder = Recorder(fails_at=fails_at)
    clf.set_callbacks(recorder)
    with pytest.raises(RuntimeError, match=f"failed at {fails_at}"):
        clf.fit(*IRIS)
    assert [call[0] for call in recorder.calls].count("teardown") == 1
    clf.set_callbacks()
    assert vars(clf) == before
    assert set(clf.predict(OVERLAPPING[0])) == {1, 2}


@with_callbacks
def test_callbacks_go_with_clones_and_leave_nothing_behind():
    from sklearn.callback import ScoringMonitor

    recorder = Recorder()
    clf = MaxentClassifier(C=2.0).set_callbacks(recorder).fit(*IRIS)
    plain = MaxentClassifier(C=2.0).fit(*IRIS)
    assert set(vars(clf)) - set(vars(plain)) == {"_skl_callbacks"}
    assert clf.get_params() == plain.get_params()
    n_calls = len(recorder.calls)
    clone(clf).fit(*IRIS)
    assert len(recorder.calls) == 2 * n_calls
    clf.set_callbacks(ScoringMonitor(scoring="neg_log_loss")).fit(*IRIS)
    copy = pickle.loads(pickle.dumps(clf))
    np.testing.assert_allclose(copy.fit(*IRIS).coef_, plain.coef_, rtol=1e-9, atol=1e-12)
    with pytest.raises(TypeError, match="FitCallback"):
        clf.set_callbacks(print)


@with_callbacks
def test_fits_that_nobody_asked_for_are_not_followed():
    recorder = Recorder()
    X, y = WINE[0][:, :4], (WINE[1] + (np.arange(178) % 5 == 0)) % 3
    clf = MaxentClassifier(C=1.0, l1_ratio=1.0).set_callbacks(recorder).fit(X, y)
    n_calls = len(recorder.calls)
    clf.infer(X, y, method="bootstrap", n_bootstrap=3)
    clf.infer(X, y, method="split")
    assert len(recorder.calls) == n_calls


@with_callbacks
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_fits_without_callbacks_make_no_context(estimator, monkeypatch):
    monkeypatch.delattr("sklearn.callback.CallbackSupportMixin._init_callback_context")
    monkeypatch.delattr("sklearn.callback.CallbackContext.subcontext")
    estimator().fit(*OVERLAPPING)
    maxent_path(*OVERLAPPING, Cs=2)


@with_callbacks
@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_several_labels(link):
    X, Y = make_multilabel_classification(random_state=0)
    Y[:, 1] = link == "sigmoid"  # all rows have it, or none
    recorder = Recorder()
    clf = MultilabelMaxentClassifier(link=link, cv=3).set_callbacks(recorder)
    with pytest.warns(UserWarning, match=r"Labels \[1\] are constant in y: all rows") as record:
        clf.fit(X, Y)
    assert {warning.filename for warning in record} == {__file__}
    models = recorder.models("newton-iteration")
    assert len(models) == clf.n_iter_[0]
    np.testing.assert_allclose(models[-1].predict_proba(X), clf.predict_proba(X), rtol=1e-12)
    assert all(model.predict(X).shape == Y.shape for model in models)
    np.testing.assert_array_equal(models[-1].threshold_, 0.5)
    folds = [given for context, _, given in recorder.ends if context.task_name == "threshold-fold"]
    assert len(folds) == (3 if link == "softmax" else 0)
    assert all(len(fold_X) in (66, 67) for fold_X, *_ in folds)
    (last,) = recorder.models("fit")
    np.testing.assert_array_equal(last.predict(X), clf.predict(X))


@with_callbacks
def test_thresholds_of_a_stopped_fit_are_those_of_as_many_iterations():
    X, Y = make_multilabel_classification(random_state=0)
    recorder = Recorder(stop_after("newton-iteration", 0))
    clf = MultilabelMaxentClassifier(threshold="f1_macro").set_callbacks(recorder).fit(X, Y)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 was reached"):
        short = MultilabelMaxentClassifier(threshold="f1_macro", max_iter=1).fit(X, Y)
    np.testing.assert_allclose(clf.coef_, short.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(clf.threshold_, short.threshold_, rtol=1e-9, atol=1e-12)
    whole = MultilabelMaxentClassifier(threshold="f1_macro").fit(X, Y)
    assert (clf.threshold_ != whole.threshold_).any()


@with_callbacks
def test_a_path_has_a_task_for_each_penalty():
    Cs = [1.0, 0.01, 0.1]
    recorder = Recorder()
    path = maxent_path(*IRIS, Cs=Cs, callbacks=[recorder])
    root = ("MaxentClassifier", "path", 0)
    assert recorder.calls[:2] == [("setup", *root), ("begin", *root)]
    assert recorder.calls[-2:] == [("end", *root), ("teardown", *root)]
    models = recorder.models("penalty")
    assert [model.C for model in models] == sorted(Cs)
    for model in models:
        index = Cs.index(model.C)
        np.testing.assert_allclose(model.coef_, path.coefs[index], rtol=1e-9, atol=1e-12)
        assert model.optimality_gap_ == path.optimality_gaps[index]
        assert model.score(*IRIS) >= 1 / 3
    assert recorder.models("path") == [None]


@with_callbacks
def test_a_path_that_is_stopped_has_the_fits_so_far():
    Cs = [1.0, 0.01, 0.1]
    recorder = Recorder(stop_after("penalty", 1))
    # Without a penalty the classes of iris are separated, which relaxed fits warn of.
    with pytest.warns(ConvergenceWarning, match="relaxed fits are optimal at 2 values"):
        short = maxent_path(*IRIS, Cs=Cs, relax=True, callbacks=[recorder])
    with pytest.warns(ConvergenceWarning, match="relaxed fits are optimal at 3 values"):
        whole = maxent_path(*IRIS, Cs=Cs, relax=True)
    np.testing.assert_array_equal(short.Cs, [0.01, 0.1])
    for name in ("coefs", "intercepts", "n_iter", "relaxed_coefs", "relaxed_intercepts"):
        np.testing.assert_allclose(
            getattr(short, name), getattr(whole, name)[1:], rtol=1e-9, atol=1e-12
        )
    assert recorder.calls[-2:] == [
        (hook, "MaxentClassifier", "path", 0) for hook in ("end", "teardown")
    ]


@with_callbacks
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_cross_validation_has_paths_of_penalties(n_jobs):
    options = {"Cs": [0.01, 0.1, 1.0], "l1_ratios": [0.0, 1.0], "cv": 3, "n_jobs": n_jobs}
    recorder = Propagated()
    clf = MaxentClassifierCV(**options).set_callbacks(recorder)
    with joblib.parallel_config(backend="threading"):
        clf.fit(*IRIS)
    plain = MaxentClassifierCV(cv_tol=0, **(options | {"n_jobs": None})).fit(*IRIS)
    np.testing.assert_allclose(clf.scores_, plain.scores_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(clf.coef_, plain.coef_, rtol=1e-9, atol=1e-12)
    ends = [(lineage(context), model, given) for context, model, given in recorder.ends]
    points = [end for end in ends if end[0][-1][1] == "penalty"]
    assert len(points) == 3 * 2 * 3
    for path, model, (X, y, _) in points:
        (_, fit, _), (_, name, number), (_, _, k) = path
        assert (fit, name) == ("fit", "path")
        fold, ratio = divmod(number, 2)
        assert (model.C_, model.l1_ratio_) == (clf.Cs_[k], clf.l1_ratios_[ratio])
        np.testing.assert_allclose(
            model.coef_, clf.coefs_paths_[fold, ratio, k, :, :-1], rtol=1e-9, atol=1e-12
        )
        assert len(X) == len(y) == 100
        assert model.score(X, y) < 0.0
    parts = [path[-1] for path, *_ in ends if len(path) == 2]
    assert sorted(parts[:-1]) == [("MaxentClassifierCV", "path", k) for k in range(6)]
    assert parts[-1] == ("MaxentClassifier", "fit", 6)
    refit = [path for path, *_ in ends if path[-1][1] == "newton-iteration"]
    assert refit[0][:2] == [("MaxentClassifierCV", "fit", 0), ("MaxentClassifier", "fit", 6)]
    (last,) = recorder.models("fit")[-1:]
    assert last.score(*IRIS) == pytest.approx(clf.score(*IRIS), rel=1e-12)


@with_callbacks
def test_a_stop_in_cross_validation_leaves_out_weaker_penalties():
    recorder = Recorder(stop_after("penalty", 1))
    options = {"Cs": [0.01, 0.1, 1.0], "cv": 3, "relax": True, "l1_ratios": [1.0]}
    clf = MaxentClassifierCV(**options).set_callbacks(recorder).fit(*IRIS)
    assert np.isnan(clf.scores_[:, :, 2]).all()
    assert not clf.n_iter_[:, :, 2].any()
    assert not clf.coefs_paths_[:, :, 2].any()
    whole = MaxentClassifierCV(**options).fit(*IRIS)
    np.testing.assert_allclose(
        clf.relaxed_scores_[:, :, :2], whole.relaxed_scores_[:, :, :2], rtol=1e-9, atol=1e-12
    )
    assert clf.C_ == 0.1
    assert clf.score(*IRIS) > -0.5


@with_callbacks
def test_cross_validation_without_a_last_fit():
    recorder = Recorder()
    clf = MaxentClassifierCV(Cs=[0.1, 1.0], cv=3, refit=False).set_callbacks(recorder)
    clf.fit(*IRIS)
    assert len(recorder.models("path")) == 3
    assert not recorder.models("refit")
    (whole,) = recorder.models("fit")
    np.testing.assert_allclose(whole.coef_, clf.coef_, rtol=1e-9, atol=1e-12)


@with_callbacks
def test_cross_validation_with_offsets_is_scored_with_them():
    from sklearn.callback import ScoringMonitor

    offset = np.random.default_rng(0).normal(size=(150, 3))
    monitor = ScoringMonitor(scoring="neg_log_loss")
    clf = MaxentClassifierCV(Cs=[0.1, 1.0], cv=3).set_callbacks(monitor)
    clf.fit(*IRIS, offset=offset)
    rows = monitor.get_logs().data
    expected = clf.score(*IRIS, offset=offset)
    scores = {row["task_id_path"]: row["neg_log_loss"] for row in rows}
    assert [scores[0,], scores[0, 3]] == pytest.approx([expected] * 2, rel=1e-12)
    assert len(rows) == 1 + 1 + 3 * 2


@with_callbacks
def test_processes_tell_a_scoring_monitor():
    from sklearn.callback import ScoringMonitor

    logs = []
    for n_jobs in (1, 2):
        monitor = ScoringMonitor(scoring="neg_log_loss")
        clf = MaxentClassifierCV(Cs=[0.1, 1.0], cv=3, n_jobs=n_jobs).set_callbacks(monitor)
        logs.append(clf.fit(*IRIS) and monitor.get_logs().data_as_pandas)
    pd.testing.assert_frame_equal(*logs)
    assert len(logs[0]) == 1 + 1 + 3 * 2
