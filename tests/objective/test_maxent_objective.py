"""MaxentObjective: values and derivatives by other means, and optima that the classifier finds."""

import warnings

import mpmath
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import check_grad, minimize
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.linear_model._linear_loss import LinearModelLoss

from skmaxent import MaxentClassifier, MaxentObjective, cross_entropy
from skmaxent._estimators import _maxent_objective

X, Y = load_iris(return_X_y=True)
RNG = np.random.default_rng(0)
WEIGHTS = RNG.uniform(0.0, 3.0, 150)
OFFSET = RNG.normal(size=(150, 3))
PRIOR = np.outer([1.0, -2.0, 0.5], [0.1, 0.2, 0.3, 0.4])
PROBLEMS = {
    "ridge": {},
    "no penalty": {"C": np.inf},
    "no intercept": {"fit_intercept": False},
    "weights": {"sample_weight": WEIGHTS},
    "offset": {"offset": OFFSET},
    "factors": {"penalty_factor": [0.0, 1.0, 2.0, 0.5]},
    "factors per class": {"penalty_factor": np.arange(12.0).reshape(3, 4)},
    "prior": {"C": 0.1, "prior_coef": PRIOR},
    "class weights": {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}},
    "smoothing": {"label_smoothing": 0.2},
    "all": {
        "C": 0.3,
        "penalty_factor": np.arange(12.0).reshape(3, 4),
        "prior_coef": PRIOR,
        "class_weight": "balanced",
        "label_smoothing": 0.1,
        "sample_weight": WEIGHTS,
        "offset": OFFSET,
    },
}


def vectors(objective, n=1, size=0.3):
    found = np.random.default_rng(1).normal(size=(n, objective.n_parameters)) * size
    return found if n > 1 else found[0]


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("preconditioned", [False, True])
def test_derivatives_are_those_of_finite_differences(preconditioned, name):
    objective = MaxentObjective(X, Y, **PROBLEMS[name])
    objective = objective.preconditioned() if preconditioned else objective
    x, v = vectors(objective, 2)
    size = np.linalg.norm(objective.grad(x))
    assert check_grad(objective.fun, objective.grad, x) < 1e-6 * max(size, 1.0)
    value, gradient = objective.fun_and_grad(x)
    assert value == objective.fun(x)
    np.testing.assert_array_equal(gradient, objective.grad(x))
    step = 1e-5
    change = (objective.grad(x + step * v) - objective.grad(x - step * v)) / (2 * step)
    product = objective.hessp(x, v)
    np.testing.assert_allclose(product, change, atol=1e-7 * max(np.abs(product).max(), 1.0))
    H = objective.hess(x)
    np.testing.assert_allclose(H @ v, product, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(H, H.T, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_classifier_is_at_the_minimum(name):
    options = dict(PROBLEMS[name])
    rows = {key: options.pop(key) for key in ("sample_weight", "offset") if key in options}
    labels = np.where(np.arange(150) % 7 == 0, (Y + 1) % 3, Y)  # without separation
    objective = MaxentObjective(X, labels, **PROBLEMS[name])
    clf = MaxentClassifier(tol=1e-9, **options).fit(X, labels, **rows)
    x = objective.flatten(clf.coef_, clf.intercept_)
    np.testing.assert_allclose(objective.grad(x), 0.0, atol=1e-8)
    found = minimize(
        objective.fun,
        objective.x0,
        jac=objective.grad,
        hessp=objective.hessp,
        method="trust-ncg",
        options={"gtol": 1e-9},
    )
    coef, intercept = objective.unflatten(found.x)
    if name == "no penalty":  # a shift of all classes changes nothing
        coef, intercept = coef - coef.mean(axis=0), intercept - intercept.mean()
    np.testing.assert_allclose(coef, clf.coef_, atol=1e-5)
    u = objective.preconditioned()
    found = minimize(u.fun_and_grad, u.x0, jac=True, options={"gtol": 1e-9})
    np.testing.assert_allclose(u.unflatten(found.x)[0], clf.coef_, atol=1e-5)
    assert u.fun(found.x) == pytest.approx(objective.fun(x), rel=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [0.1, 10.0])
def test_equal_to_scikit_learns_loss(C, fit_intercept, n_classes):
    labels = Y if n_classes == 3 else Y % 2
    objective = MaxentObjective(X, labels, C=C, fit_intercept=fit_intercept, sample_weight=WEIGHTS)
    x = vectors(objective)
    coef, intercept = objective.unflatten(x)
    base = HalfMultinomialLoss(n_classes=3) if n_classes == 3 else HalfBinomialLoss()
    loss = LinearModelLoss(base_loss=base, fit_intercept=fit_intercept)
    theirs = np.column_stack([coef, intercept]) if fit_intercept else coef
    value, gradient = loss.loss_gradient(
        coef=theirs if n_classes == 3 else theirs[0],
        X=X,
        y=labels.astype(float),
        sample_weight=WEIGHTS,
        l2_reg_strength=1.0 / (C * WEIGHTS.sum()),
    )
    assert objective.fun(x) == pytest.approx(value, rel=1e-12)
    gradient = np.reshape(gradient, theirs.shape, order="F")
    columns = np.split(gradient, [4], axis=1)
    ours = objective.unflatten(objective.grad(x))
    np.testing.assert_allclose(ours[0], columns[0], atol=1e-12)
    if fit_intercept:
        np.testing.assert_allclose(ours[1], columns[1][:, 0], atol=1e-12)


def test_values_and_hessian_in_fifty_digits():
    rows = [0, 10, 60, 75, 120, 149]
    data, labels, weights, offset = X[rows], Y[rows], WEIGHTS[rows], OFFSET[rows]
    factors = np.arange(12.0).reshape(3, 4)
    objective = MaxentObjective(
        data,
        labels,
        C=0.7,
        penalty_factor=factors,
        prior_coef=PRIOR,
        label_smoothing=0.1,
        sample_weight=weights,
        offset=offset,
    )
    x = vectors(objective)
    with mpmath.workdps(50):
        total = mpmath.fsum(map(float, weights))

        def value(*flat):
            W = [flat[4 * k : 4 * k + 4] for k in range(3)]
            losses = []
            for i in range(len(rows)):
                z = [
                    mpmath.fsum(w * float(entry) for w, entry in zip(W[k], data[i], strict=True))
                    + flat[12 + k]
                    + float(offset[i, k])
                    for k in range(3)
                ]
                targets = [
                    mpmath.mpf("0.1") / 3 + (labels[i] == k) * mpmath.mpf("0.9") for k in range(3)
                ]
                normaliser = mpmath.log(mpmath.fsum(map(mpmath.exp, z)))
                own = mpmath.fsum(t * zk for t, zk in zip(targets, z, strict=True))
                losses.append(float(weights[i]) * (normaliser - own))
            penalty = mpmath.fsum(
                float(factors[k, j]) * (W[k][j] - float(PRIOR[k, j])) ** 2
                for k in range(3)
                for j in range(4)
            )
            return mpmath.fsum(losses) / total + penalty / (2 * mpmath.mpf("0.7") * total)

        point = [mpmath.mpf(float(entry)) for entry in x]
        assert objective.fun(x) == pytest.approx(float(value(*point)), rel=1e-13)
        step = mpmath.mpf(10) ** -15
        gradient = objective.grad(x)
        H = objective.hess(x)

        def moved(*changes):
            there = list(point)
            for index, change in changes:
                there[index] += change
            return value(*there)

        for i in (0, 5, 11, 12, 14):
            slope = (moved((i, step)) - moved((i, -step))) / (2 * step)
            assert gradient[i] == pytest.approx(float(slope), rel=1e-11, abs=1e-13)
            for j in (0, 6, 11, 13):
                mixed = (
                    moved((i, step), (j, step))
                    - moved((i, step), (j, -step))
                    - moved((i, -step), (j, step))
                    + moved((i, -step), (j, -step))
                ) / (4 * step**2)
                assert H[i, j] == pytest.approx(float(mixed), rel=1e-9, abs=1e-12)


def test_two_classes_have_one_logit():
    data, labels = load_breast_cancer(return_X_y=True)
    objective = MaxentObjective(data, labels, C=2.0)
    assert objective.n_parameters == 31
    clf = MaxentClassifier(C=2.0, tol=1e-9).fit(data, labels)
    x = objective.flatten(clf.coef_, clf.intercept_)
    logits = clf.decision_function(data)
    loss = cross_entropy(np.column_stack([np.zeros_like(logits), logits]), labels).mean()
    penalty = np.square(clf.coef_).sum() / (2 * 2.0 * len(labels))
    assert objective.fun(x) == pytest.approx(loss + penalty, rel=1e-12)
    size = np.append(np.abs(data).mean(axis=0), 1.0)
    np.testing.assert_allclose(objective.grad(x) / size, 0.0, atol=1e-9)


def test_the_start_is_the_model_without_features():
    objective = MaxentObjective(X, Y, sample_weight=WEIGHTS)
    coef, intercept = objective.unflatten(objective.x0)
    assert not coef.any()
    shares = np.bincount(Y, WEIGHTS) / WEIGHTS.sum()
    np.testing.assert_allclose(np.exp(intercept) / np.exp(intercept).sum(), shares)
    assert objective.fun(objective.x0) == pytest.approx(-(shares * np.log(shares)).sum())
    u = objective.preconditioned()
    assert u.fun(u.x0) == pytest.approx(objective.fun(objective.x0), rel=1e-12)


def test_vectors_are_coefficients_by_class_and_then_intercepts():
    objective = MaxentObjective(X, Y)
    coef, intercept = np.arange(12.0).reshape(3, 4), np.array([20.0, 21.0, 22.0])
    x = objective.flatten(coef, intercept)
    np.testing.assert_array_equal(x, [*range(12), 20, 21, 22])
    for ours, expected in zip(objective.unflatten(x), (coef, intercept), strict=True):
        np.testing.assert_array_equal(ours, expected)
    without = MaxentObjective(X, Y, fit_intercept=False)
    assert without.n_parameters == 12
    assert not without.unflatten(without.flatten(coef))[1].any()


@pytest.mark.parametrize("store", [np.asfortranarray, sp.csr_array, pd.DataFrame])
def test_every_storage_has_the_same_values(store, small_blocks):
    expected = MaxentObjective(X, Y, sample_weight=WEIGHTS)
    objective = MaxentObjective(store(X), Y, sample_weight=WEIGHTS)
    x, v = vectors(objective, 2)
    assert objective.fun(x) == pytest.approx(expected.fun(x), rel=1e-13)
    np.testing.assert_allclose(objective.grad(x), expected.grad(x), atol=1e-13)
    np.testing.assert_allclose(objective.hessp(x, v), expected.hessp(x, v), atol=1e-13)
    np.testing.assert_allclose(objective.hess(x), expected.hess(x), atol=1e-13)


def test_float32_rows():
    expected = MaxentObjective(X, Y)
    objective = MaxentObjective(X.astype(np.float32), Y)
    x = vectors(objective)
    assert objective.fun(x) == pytest.approx(expected.fun(x), rel=1e-6)
    gradient = objective.grad(x)
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, expected.grad(x), atol=1e-5)


def test_tables_of_counts_are_so_many_rows():
    table = np.random.default_rng(2).integers(0, 4, (150, 3)) + (np.arange(3) == 0)
    rows, labels = np.nonzero(table)
    expected = MaxentObjective(X[rows], labels, sample_weight=table[rows, labels])
    objective = MaxentObjective(X, table)
    x = vectors(objective)
    assert objective.fun(x) == pytest.approx(expected.fun(x), rel=1e-12)
    np.testing.assert_allclose(objective.hess(x), expected.hess(x), atol=1e-12)


def test_names_of_features_and_classes():
    frame, labels = load_wine(return_X_y=True, as_frame=True)
    names = np.array(["barolo", "grignolino", "barbera"])[labels]
    objective = MaxentObjective(frame, names, penalty_factor={"alcohol": 0.0}, C=1e-3)
    assert objective.classes.tolist() == sorted(set(names))
    x = np.zeros(objective.n_parameters)
    ridge = np.diag(objective.hess(x) - MaxentObjective(frame, names, C=np.inf).hess(x))
    ridge = ridge[:39].reshape(3, 13)
    np.testing.assert_allclose(ridge[:, 0], 0.0, atol=1e-6)
    np.testing.assert_allclose(ridge[:, 1], 1e3 / 178)


def test_preconditioned_gradient_descent_does_not_feel_units():
    units = 10.0 ** np.array([-3.0, 0.0, 2.0, 4.0])
    values = []
    for data in (X, X * units + 7.0 * units):
        objective = MaxentObjective(data, Y, C=np.inf).preconditioned()
        u = objective.x0
        for _ in range(50):
            u = u - 0.5 * objective.grad(u)
        values.append(objective.fun(u))
    assert values[0] == pytest.approx(values[1], rel=1e-9)
    assert values[0] < 0.2


def test_a_point_is_evaluated_once(monkeypatch):
    objective = MaxentObjective(X, Y)
    evaluated, at = [], _maxent_objective.MultinomialObjective.at
    monkeypatch.setattr(
        _maxent_objective.MultinomialObjective,
        "at",
        lambda self, theta: evaluated.append(1) or at(self, theta),
    )
    x = vectors(objective)
    objective.fun(x), objective.grad(x), objective.hessp(x, x), objective.fun_and_grad(x)
    assert len(evaluated) == 1
    x[0] += 1.0  # the caller's array is not kept
    assert objective.fun(x) != objective.fun(x - np.eye(15)[0])


def test_what_is_refused():
    with pytest.raises(ValueError, match="penalty_factor is infinite for some coefficients"):
        MaxentObjective(X, Y, penalty_factor=[1.0, np.inf, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"the classes \[2\] have no row of positive weight"):
        MaxentObjective(X, Y, sample_weight=(Y < 2) * 1.0)
    with pytest.raises(ValueError, match="'C' parameter of MaxentClassifier"):
        MaxentObjective(X, Y, C=-1.0)
    with pytest.raises(ValueError, match="contains NaN"):
        MaxentObjective(np.where(X > 7.0, np.nan, X), Y)
    with pytest.raises(TypeError, match="l1_ratio"):
        MaxentObjective(X, Y, l1_ratio=1.0)
    objective = MaxentObjective(X, Y)
    for function in (objective.fun, objective.grad, objective.hess, objective.unflatten):
        with pytest.raises(ValueError, match=r"x has the shape \(3,\); expected \(15,\)"):
            function(np.zeros(3))
    with pytest.raises(ValueError, match=r"p has the shape \(3,\)"):
        objective.hessp(objective.x0, np.zeros(3))
    with pytest.raises(ValueError, match=r"coef has the shape \(4,\); expected \(3, 4\)"):
        objective.flatten(np.zeros(4))
    with pytest.raises(ValueError, match=r"intercept has the shape \(4,\); expected \(3,\)"):
        objective.flatten(np.zeros((3, 4)), np.zeros(4))
    with pytest.raises(ValueError, match="fit_intercept=False: expected intercept=0"):
        MaxentObjective(X, Y, fit_intercept=False).flatten(np.zeros((3, 4)), 1.0)


def test_columns_whose_squares_overflow():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objective = MaxentObjective(X * 1e200, Y, C=np.inf)
        value, gradient = objective.fun_and_grad(objective.x0)
    expected = MaxentObjective(X, Y, C=np.inf)
    assert value == pytest.approx(expected.fun(expected.x0), rel=1e-12)
    np.testing.assert_allclose(gradient[:12] / 1e200, expected.grad(expected.x0)[:12], rtol=1e-9)
    with pytest.raises(ValueError, match="squares are not finite"):
        objective.preconditioned()


def test_a_hessian_that_memory_has_no_room_for(monkeypatch):
    monkeypatch.setattr(_maxent_objective, "memory_bytes", lambda: 1000.0)
    with pytest.raises(MemoryError, match=r"15 parameters needs 5,400 bytes"):
        MaxentObjective(X, Y).hess(np.zeros(15))
