"""Penalised likelihoods of bias_reduction with one maximum, and with two."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier
from skmaxent._inference import _bias_reduction
from skmaxent._solvers import Status

# Found by a search over small data for which brute force finds two maxima: the first are those
# where the maximum that is nearer to zero is the lower one.
FAR_IS_HIGHER = [([-0.77, 1.93, -0.12, -0.26, -0.77], [0, 1, 1, 1, 0])]
NEAR_IS_HIGHER = [
    ([2.0, -0.48, -0.53, -0.54, -0.45], [1, 1, 0, 0, 0]),
    ([-0.52, -0.19, -0.52, 2.22, -0.52, -0.47], [0, 0, 1, 0, 1, 1]),
    ([0.72, 0.28, -1.7, 0.71], [1, 0, 0, 1]),
]


def penalised(x, y, intercept, slope):
    """log L + log |I|/2 for arrays of both; |I| = Σ_{i<j} q_i q_j (x_i - x_j)²."""
    x, y = np.asarray(x), np.asarray(y)
    z = np.asarray(intercept)[..., None] + np.asarray(slope)[..., None] * x
    log_likelihood = -np.logaddexp(0.0, np.where(y == 1, -z, z)).sum(axis=-1)
    log_q = -np.logaddexp(0.0, z) - np.logaddexp(0.0, -z)
    i, j = np.triu_indices(len(x), 1)
    apart = x[i] != x[j]
    i, j = i[apart], j[apart]
    terms = log_q[..., i] + log_q[..., j] + 2 * np.log(np.abs(x[i] - x[j]))
    return log_likelihood + 0.5 * logsumexp(terms, axis=-1)


def maximum_by_brute_force(x, y):
    """The highest of a grid, and a search from there."""
    intercepts, slopes = np.meshgrid(np.linspace(-20, 20, 201), np.linspace(-30, 30, 301))
    best = penalised(x, y, intercepts, slopes).argmax()
    start = [intercepts.flat[best], slopes.flat[best]]
    found = minimize(lambda at: -penalised(x, y, *at), start, method="BFGS", options={"gtol": 1e-9})
    return found.x


@pytest.mark.parametrize(("x", "y"), FAR_IS_HIGHER + NEAR_IS_HIGHER)
def test_of_two_maxima_the_higher_is_found(x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf = MaxentClassifier(C=np.inf, bias_reduction="mean", tol=1e-8).fit(
            np.array(x)[:, None], y
        )
    found = [clf.intercept_[0], clf.coef_[0, 0]]
    truth = maximum_by_brute_force(x, y)
    assert penalised(x, y, *found) >= penalised(x, y, *truth) - 1e-8
    np.testing.assert_allclose(found, truth, atol=1e-3)


@pytest.mark.parametrize(("x", "y"), FAR_IS_HIGHER)
def test_two_maxima_are_said(x, y):
    with pytest.warns(ConvergenceWarning, match="more than one maximum"):
        MaxentClassifier(C=np.inf, bias_reduction="mean").fit(np.array(x)[:, None], y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_enough_rows_have_one_maximum_and_no_warning(n_classes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = rng.integers(0, n_classes, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MaxentClassifier(C=np.inf, bias_reduction="mean").fit(X, y)


def test_float32_columns_far_from_zero_have_the_maximum_of_float64():
    """In float32 the score had too few digits: fits ended 0.005 standard errors away in silence."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) * [1.0, 10.0, 0.02] + [1600.0, 21000.0, 7.0]
    X = X.astype(np.float32)
    y = rng.integers(0, 3, 60)
    fits = [
        MaxentClassifier(C=np.inf, bias_reduction="mean", fit_intercept=False, tol=1e-6).fit(Z, y)
        for Z in (X, X.astype(float))
    ]
    errors = fits[1].infer(X.astype(float), y, reference="symmetric").std_errors
    assert (np.abs(fits[0].coef_ - fits[1].coef_) < 1e-4 * errors).all()


def test_of_two_ends_at_one_maximum_the_nearer_is_taken(monkeypatch):
    """Rounding of the determinant may make the end that rounding stopped look higher."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), rng.integers(2, size=40)
    expected = MaxentClassifier(C=np.inf, bias_reduction="mean").fit(X, y)
    maximum, n_calls = _bias_reduction._Ascents.maximum, iter(range(100))

    def rounded_first(ascents, *arguments, **options):
        found = maximum(ascents, *arguments, **options)
        if next(n_calls):
            return found
        theta = np.asfortranarray(found.point.theta + 1e-3)
        return replace(
            found,
            coef=found.coef + 1e-3,
            value=found.value - 1e-6,
            distance=2e-3,
            status=Status.PRECISION,
            point=found.point.objective.at(theta),
        )

    monkeypatch.setattr(_bias_reduction._Ascents, "maximum", rounded_first)
    monkeypatch.setattr(_bias_reduction._Ascents, "joins_at_once", lambda *_: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = MaxentClassifier(C=np.inf, bias_reduction="mean").fit(X, y)
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-5)
