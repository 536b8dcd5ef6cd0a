"""Posterior covariances under ridges of any shape, against finite differences of the objective."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp

from skmaxent import MaxentClassifier

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 3)) * [1.0, 5.0, 0.2] + [0.0, 3.0, 1.0]
WEIGHTS = RNG.uniform(0.5, 3.0, len(X))
FACTORS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.1, 0.2, 0.3]])
PRIOR = np.array([[1.0, 0.1, 2.0], [-1.0, 0.3, 0.0], [0.5, 0.0, -1.0]])
C = 0.7


def labels_of(n_classes):
    W = np.random.default_rng(1).normal(size=(n_classes, 3)) * [1.0, 0.2, 5.0]
    noise = np.random.default_rng(2).gumbel(size=(len(X), n_classes))
    return (X @ W.T - (X @ W.T).mean(axis=0) + noise).argmax(axis=1)


def objective(coef, intercept, y, factors, prior):
    """The sum of losses and the penalty; two classes have one logit."""
    Z = X @ coef.T + intercept
    Z = np.column_stack([np.zeros(len(Z)), Z]) if len(coef) == 1 else Z
    loss = logsumexp(Z, axis=1) - Z[np.arange(len(y)), y]
    return WEIGHTS @ loss + (factors * (coef - prior) ** 2).sum() / (2 * C)


def hessian(function, at, step=1e-3):
    unit = np.eye(len(at)) * step
    H = np.empty((len(at), len(at)))
    for i in range(len(at)):
        for j in range(len(at)):
            H[i, j] = (
                function(at + unit[i] + unit[j])
                - function(at + unit[i] - unit[j])
                - function(at - unit[i] + unit[j])
                + function(at - unit[i] - unit[j])
            ) / (4 * step**2)
    return H


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("prior", [None, PRIOR])
@pytest.mark.parametrize("factors", [None, FACTORS[0], FACTORS, FACTORS * [[1], [1], [0]]])
def test_three_classes(factors, prior, fit_intercept):
    y = labels_of(3)
    model = MaxentClassifier(
        C=C, penalty_factor=factors, prior_coef=prior, fit_intercept=fit_intercept, tol=1e-8
    )
    model.fit(X, y, WEIGHTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of the coefficients being no optimum
        results = model.infer(X, y, WEIGHTS)
    width = 3 + fit_intercept

    def of_vector(v):
        coef = v.reshape(3, width)
        intercept = coef[:, 3] if fit_intercept else np.zeros(3)
        return objective(
            coef[:, :3],
            intercept,
            y,
            np.ones(3) if factors is None else factors,
            np.zeros(3) if prior is None else prior,
        )

    at = np.column_stack([model.coef_, model.intercept_])[:, :width].ravel()
    # Coefficients of all classes, of which the intercepts' common shift changes nothing.
    whole = np.linalg.pinv(hessian(of_vector, at), rcond=1e-7, hermitian=True)
    contrast = np.kron([[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]], np.eye(width))
    np.testing.assert_allclose(
        results.covariance, contrast @ whole @ contrast.T, rtol=1e-4, atol=1e-6
    )
    some = model.infer(X, y, WEIGHTS, features=["x2", "x0"])
    index = some.cov_params().index
    np.testing.assert_allclose(
        some.covariance, results.cov_params().loc[index, index], rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("prior", [None, PRIOR[:1]])
@pytest.mark.parametrize("factors", [None, FACTORS[0]])
def test_two_classes(factors, prior):
    y = labels_of(2)
    model = MaxentClassifier(C=C, penalty_factor=factors, prior_coef=prior, tol=1e-8)
    model.fit(X, y, WEIGHTS)
    results = model.infer(X, y, WEIGHTS)
    used = np.ones(3) if factors is None else factors, np.zeros(3) if prior is None else prior
    H = hessian(
        lambda v: objective(v[None, :3], v[3], y, *used), np.append(model.coef_, model.intercept_)
    )
    np.testing.assert_allclose(results.covariance, np.linalg.inv(H), rtol=1e-4, atol=1e-7)


def test_names_of_classes_do_not_matter():
    y = labels_of(3)
    options = {"reference": "symmetric"}
    model = MaxentClassifier(C=C, penalty_factor=FACTORS).fit(X, y)
    other = MaxentClassifier(C=C, penalty_factor=FACTORS[::-1]).fit(X, 2 - y)
    np.testing.assert_allclose(
        model.infer(X, y, **options).std_errors,
        other.infer(X, 2 - y, **options).std_errors[::-1],
        rtol=1e-5,
    )


def test_the_optimum_under_a_prior_is_known_and_other_rows_are_not():
    y = labels_of(3)
    frame = pd.DataFrame(X, columns=list("abc"))
    first = MaxentClassifier(C=C).fit(frame[:50], y[:50])
    model = MaxentClassifier(C=0.05, prior_coef=first).fit(frame, y)
    model.infer(frame, y)
    with pytest.warns(UserWarning, match="standard errors from the optimum"):
        model.infer(frame, np.roll(y, 40))


def with_unpenalised(column, n_classes):
    """A frame with a column without a penalty, and the posterior with the others alone."""
    y = labels_of(n_classes)
    few = pd.DataFrame(X, columns=["a", "b", "c"])
    whole = few.assign(d=column)[["a", "d", "b", "c"]]
    prior = PRIOR[:n_classes] if n_classes > 2 else PRIOR[:1]
    factors = {"b": 2.0, "c": 0.0, "d": 0.0}
    others = {name: factor for name, factor in factors.items() if name != "d"}
    padded = np.insert(prior, 1, 0.0, axis=1)
    fits = [
        MaxentClassifier(C=C, penalty_factor=factor, prior_coef=target, tol=1e-8).fit(data, y)
        for data, factor, target in ((whole, factors, padded), (few, others, prior))
    ]
    return fits, whole, few, y


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_constant_without_a_penalty_is_left_out(n_classes):
    # As without a penalty, a column that earlier ones and the intercept determine is aliased.
    (fit, fit_of_few), whole, few, y = with_unpenalised(np.full(len(X), 3.0), n_classes)
    found, expected = fit.infer(whole, y), fit_of_few.infer(few, y)
    assert (found.aliased, found.columns) == (("d",), ["a", "b", "c", "Intercept"])
    assert not found.notes
    np.testing.assert_allclose(found.coef, expected.coef, rtol=1e-5)
    np.testing.assert_allclose(found.std_errors, expected.std_errors, rtol=1e-6)
    tables = [r.predict_proba_interval(D) for r, D in ((found, whole), (expected, few))]
    np.testing.assert_allclose(*tables, rtol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_later_of_two_collinear_columns_without_a_penalty_is_left_out(n_classes):
    (fit, fit_of_few), whole, few, y = with_unpenalised(2.0 * X[:, 2] - 1.0, n_classes)
    found, expected = fit.infer(whole, y), fit_of_few.infer(few, y)
    assert (found.aliased, found.columns) == (("c",), ["a", "d", "b", "Intercept"])
    errors = [found.std_errors[:, :3] * [1.0, 2.0, 1.0], expected.std_errors[:, [0, 2, 1]]]
    np.testing.assert_allclose(*errors, rtol=1e-6)
    tables = [r.predict_proba_interval(D) for r, D in ((found, whole), (expected, few))]
    np.testing.assert_allclose(*tables, rtol=1e-6)


def test_columns_that_a_penalty_determines_are_not_left_out():
    y = labels_of(3)
    whole = np.column_stack([X, X[:, 0] + X[:, 1], X[:, 2]])
    results = MaxentClassifier(C=C, penalty_factor=[1.0, 0.0, 0.0, 0.0, 0.0]).fit(whole, y)
    results = results.infer(whole, y)
    assert results.aliased == ("x4",)
    with pytest.raises(ValueError, match=r"\['x3'\] are constant .* give them a positive penalty"):
        # The coefficient of class 0 alone has no penalty.
        factors = np.ones((3, 4))
        factors[0, 3] = 0.0
        constant = np.column_stack([X, np.ones(len(X))])
        MaxentClassifier(C=C, penalty_factor=factors).fit(constant, y).infer(constant, y)
