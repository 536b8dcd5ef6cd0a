"""`alpha`, the strength of the penalty of an observation, in the place of C."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skmaxent import (
    MaxentClassifier,
    MaxentObjective,
    MultilabelMaxentClassifier,
    PathDisplay,
    from_formula,
    maxent_path,
)

ORACLES = Path(__file__).parents[1] / "oracles"
R = json.loads((ORACLES / "glmnet_options.json").read_text())
DATA = np.loadtxt(ORACLES / "multinomial_example.csv", delimiter=",", skiprows=1)
X, Y = DATA[:, :-1], DATA[:, -1].astype(int)
WEIGHTS = 1.0 + np.arange(len(Y)) % 3


@pytest.mark.parametrize("index", range(3))
def test_it_is_glmnets_lambda(index):
    clf = MaxentClassifier(alpha=R["lambda"][index], l1_ratio=1.0, tol=1e-9).fit(X, Y)
    np.testing.assert_allclose(clf.coef_, R["plain"]["coef"][index], atol=2e-4)


@pytest.mark.parametrize("class_weight", [None, "balanced", {1: 3.0}])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
def test_it_is_1_over_C_times_the_sum_of_the_weights(weights, class_weight):
    of_rows = np.ones(len(Y)) if weights is None else weights.copy()
    if isinstance(class_weight, dict):
        of_rows[Y == 1] *= 3.0
    for l1_ratio in (0.0, 0.5):
        params = {"l1_ratio": l1_ratio, "class_weight": class_weight, "tol": 1e-9}
        by_alpha = MaxentClassifier(alpha=0.03, **params).fit(X, Y, weights)
        by_C = MaxentClassifier(C=1.0 / (0.03 * of_rows.sum()), **params).fit(X, Y, weights)
        np.testing.assert_allclose(by_alpha.coef_, by_C.coef_, atol=1e-7)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_it_does_not_depend_on_the_number_of_rows_nor_on_the_scale_of_weights(l1_ratio):
    params = {"alpha": 0.03, "l1_ratio": l1_ratio, "tol": 1e-10}
    expected = MaxentClassifier(**params).fit(X, Y).coef_
    twice = MaxentClassifier(**params).fit(np.vstack([X, X]), np.append(Y, Y)).coef_
    np.testing.assert_allclose(twice, expected, atol=1e-7)
    scaled = MaxentClassifier(**params).fit(X, Y, np.full(len(Y), 1e-3)).coef_
    np.testing.assert_allclose(scaled, expected, atol=1e-7)


def test_counts():
    table = np.eye(3)[Y - 1] * WEIGHTS[:, None]
    clf = MaxentClassifier(alpha=0.03, tol=1e-9).fit(X, table)
    other = MaxentClassifier(C=1.0 / (0.03 * WEIGHTS.sum()), tol=1e-9).fit(X, table)
    np.testing.assert_allclose(clf.coef_, other.coef_, atol=1e-8)


def test_zero_is_no_penalty():
    rows = X[:, :5]
    free = MaxentClassifier(alpha=0.0).fit(rows, Y)
    np.testing.assert_allclose(free.coef_, MaxentClassifier(C=np.inf).fit(rows, Y).coef_)
    found = free.infer(rows, Y)
    assert found.likelihood_ratio_test().shape[0] == 5
    reduced = MaxentClassifier(alpha=0.0, bias_reduction="mean").fit(rows, Y)
    assert np.isfinite(reduced.coef_).all()
    with pytest.raises(ValueError, match=r"prior_coef needs a ridge part.*and no penalty"):
        MaxentClassifier(alpha=0.0, prior_coef=np.ones((3, 5))).fit(rows, Y)
    with pytest.raises(ValueError, match=r"bias_reduction cannot.*found alpha=0\.1"):
        MaxentClassifier(alpha=0.1, bias_reduction="mean").fit(rows, Y)


@pytest.mark.parametrize("C", [0.5, np.inf, 2])
def test_C_and_alpha_exclude_each_other(C):
    message = r"C and alpha cannot be combined.*found C=.* and alpha=0\.1"
    with pytest.raises(ValueError, match=message):
        MaxentClassifier(C=C, alpha=0.1).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        MultilabelMaxentClassifier(C=C, alpha=0.1).fit(X, np.eye(3)[Y - 1])
    for penalty in (None, "none"):
        with pytest.raises(ValueError, match=r"penalty and alpha cannot be combined.*penalty="):
            MaxentClassifier(penalty=penalty, alpha=0.1).fit(X, Y)


@pytest.mark.parametrize("alpha", [-1.0, np.nan, np.inf, "0.1"])
def test_other_values_are_refused(alpha):
    with pytest.raises(ValueError, match="alpha"):
        MaxentClassifier(alpha=alpha).fit(X, Y)


def test_the_strongest():
    with pytest.warns(ConvergenceWarning, match=r"alpha=1e\+200 is above 1e\+100"):
        clf = MaxentClassifier(alpha=1e200).fit(X, Y)
    np.testing.assert_allclose(clf.coef_, 0.0, atol=1e-50)


def test_rows_without_columns():
    nothing = pd.DataFrame(index=range(len(Y)))
    found = MaxentClassifier(alpha=0.1).fit(nothing, Y).intercept_
    np.testing.assert_allclose(found, MaxentClassifier().fit(nothing, Y).intercept_)
    standardised = MaxentClassifier(standardize=True).fit(nothing, Y).intercept_
    np.testing.assert_allclose(found, standardised)


def test_searches_clones_and_pickles():
    search = GridSearchCV(
        MaxentClassifier(l1_ratio=1.0), {"alpha": [1e-3, 0.02, 0.2]}, scoring="neg_log_loss", cv=3
    ).fit(X, Y)
    assert search.best_params_ == {"alpha": 0.02}
    clf = clone(search.best_estimator_)
    assert clf.alpha == 0.02
    np.testing.assert_allclose(clf.fit(X, Y).coef_, search.best_estimator_.coef_)
    assert pickle.loads(pickle.dumps(clf)).alpha == 0.02


def test_inference_refuses_a_changed_alpha():
    clf = MaxentClassifier(alpha=0.02, tol=1e-9).fit(X[:, :4], Y)
    other = MaxentClassifier(C=1.0 / (0.02 * len(Y)), tol=1e-9).fit(X[:, :4], Y)
    found, expected = clf.infer(X[:, :4], Y), other.infer(X[:, :4], Y)
    np.testing.assert_allclose(found.std_errors, expected.std_errors, rtol=1e-6)
    sample = clf.infer(X[:, :4], Y, method="bootstrap", n_bootstrap=5)
    assert np.isfinite(sample.std_errors).all()
    with pytest.raises(ValueError, match=r"alpha is 0\.5, but was 0\.02"):
        clf.set_params(alpha=0.5).infer(X[:, :4], Y)


def test_a_split_that_selects_nothing_names_alpha():
    clf = MaxentClassifier(alpha=10.0, l1_ratio=1.0).fit(X, Y)
    with pytest.raises(ValueError, match=r"one half of the rows at alpha=10\.0; use a weaker"):
        clf.infer(X, Y, method="split")
    weaker = MaxentClassifier(alpha=0.02, l1_ratio=1.0).fit(X, Y)
    assert len(weaker.infer(X, Y, method="split").columns) > 1


def test_several_labels():
    labels = np.column_stack([Y == 1, Y == 2, X[:, 3] > 0]).astype(int)
    labels[::7] = 0
    for link, total in (("sigmoid", len(Y)), ("softmax", labels.any(axis=1).sum())):
        params = {"link": link, "threshold": 0.5, "tol": 1e-9}
        by_alpha = MultilabelMaxentClassifier(alpha=0.03, **params).fit(X, labels)
        by_C = MultilabelMaxentClassifier(C=1.0 / (0.03 * total), **params).fit(X, labels)
        np.testing.assert_allclose(by_alpha.coef_, by_C.coef_, atol=1e-8)


def test_the_objective_for_other_optimisers():
    by_alpha = MaxentObjective(X, Y, alpha=0.03, sample_weight=WEIGHTS)
    by_C = MaxentObjective(X, Y, C=1.0 / (0.03 * WEIGHTS.sum()), sample_weight=WEIGHTS)
    x = np.random.default_rng(0).normal(size=by_C.n_parameters)
    assert by_alpha.fun(x) == pytest.approx(by_C.fun(x), rel=1e-12)


def test_formulas():
    pytest.importorskip("formulaic")
    data = pd.DataFrame(X[:, :2], columns=["a", "b"]).assign(y=Y)
    pipe = from_formula("y ~ a + b", data, alpha=0.1, l1_ratio=0.5)
    expected = MaxentClassifier(alpha=0.1, l1_ratio=0.5).fit(X[:, :2], Y)
    np.testing.assert_allclose(pipe[-1].coef_, expected.coef_, atol=1e-4)
    with pytest.raises(ValueError, match="C and alpha cannot be combined"):
        from_formula("y ~ a + b", data, alpha=0.1, C=2.0)
    with pytest.raises(ValueError, match="standardize=True belongs to a penalty"):
        from_formula("y ~ a + b", data, standardize=True)


def test_displays_mark_the_C_of_alpha():
    pytest.importorskip("matplotlib").use("Agg")
    clf = MaxentClassifier(alpha=0.03, l1_ratio=1.0).fit(X, Y, WEIGHTS)
    display = PathDisplay.from_estimator(clf, X, Y, sample_weight=WEIGHTS, Cs=5)
    np.testing.assert_allclose(display.C, 1.0 / (0.03 * WEIGHTS.sum()))


def test_paths_have_alphas():
    with pytest.raises(TypeError, match="maxent_path has no parameter 'alpha': give Cs or alphas"):
        maxent_path(X, Y, alpha=0.1)


def test_dask_collections():
    da = pytest.importorskip("dask.array")
    lazy = [da.from_array(a, chunks=(130, -1)[: a.ndim]) for a in (X, Y, WEIGHTS)]
    params = {"alpha": 0.03, "class_weight": {1: 3.0}, "tol": 1e-9}
    found = MaxentClassifier(**params).fit(*lazy).coef_
    np.testing.assert_allclose(
        found, MaxentClassifier(**params).fit(X, Y, WEIGHTS).coef_, atol=1e-7
    )
