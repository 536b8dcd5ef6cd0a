"""Inference where rounding is large: outliers, float32, classes that are all but certain."""

import warnings

import numpy as np
import pytest

from skmaxent import MaxentClassifier

WIDE = np.longdouble


def laplace_errors(X, coef, intercept, C, offset=0.0):
    """Of a single logit under a ridge, by its second derivative in extended precision."""
    Z = X.astype(WIDE) @ coef.astype(WIDE) + WIDE(intercept) + offset
    rows = np.column_stack([X.astype(WIDE), np.ones(len(X), WIDE)])
    small = np.exp(-abs(Z))
    curvature = small / (1 + small) ** 2
    H = (rows * curvature[:, None]).T @ rows
    H[range(X.shape[1]), range(X.shape[1])] += 1 / WIDE(C)
    size = np.sqrt(H.diagonal())
    return np.sqrt(np.linalg.inv((H / np.outer(size, size)).astype(float)).diagonal()) / size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("label", [0, 1])
def test_an_outlier_leaves_the_standard_errors_right(dtype, label):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 80)
    group = rng.integers(0, 2, 80)
    X = np.column_stack([group, 1 - group, np.ones(80)])
    X[7] *= 10**6
    y[7] = label
    X = X.astype(dtype)
    clf = MaxentClassifier(C=2.5, tol=1e-8).fit(X, y)
    found = clf.infer(X, y).std_errors[0]
    expected = laplace_errors(X, clf.coef_[0], clf.intercept_[0], 2.5)
    np.testing.assert_allclose(found, expected.astype(float), rtol=1e-5)


def test_probabilities_that_are_nearly_one_have_a_curvature():
    # p (1 - p) = 1.1e-14 at the outlier, whose square is 1e18: 1 - p from p would be off by 1 %.
    X = np.array([[1e9], *[[x] for x in np.linspace(-1, 1, 20)]])
    y = np.array([1] + [0, 1] * 10)
    clf = MaxentClassifier(C=1.0, tol=1e-10).fit(X, y)
    clf.coef_ = np.array([[32.1e-9]])
    clf.intercept_ = np.array([0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that these are not the optimum
        found = clf.infer(X, y).std_errors[0]
    expected = laplace_errors(X, clf.coef_[0], 0.0, 1.0)
    np.testing.assert_allclose(found, expected.astype(float), rtol=1e-6)


def test_robust_standard_errors_that_hang_on_one_cluster_are_told():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    X = np.column_stack([rng.normal(size=200), np.zeros(200)])
    X[:3], y[:3] = [0, 0.5], [0, 1, 1]
    groups = np.arange(200)
    groups[:3] = 0  # alone in what it says of x1: its score is zero at the optimum
    clf = MaxentClassifier(C=np.inf, tol=1e-8, fit_intercept=False).fit(X, y)
    with pytest.warns(UserWarning, match=r"robust standard errors of 'x1' of class 1 are"):
        results = clf.infer(X, y, cov_type="cluster", groups=groups)
    assert "mean nothing" in results.notes[0]
    text = str(results)
    assert text.index("robust standard errors") < text.index("Observations")
    # The scores of single rows do not cancel.
    assert clf.infer(X, y, cov_type="HC0").notes == ()


def nearly_aliased():
    """A column that differs from another by 1e-11 of the outlier that both have."""
    rng = np.random.default_rng(1)
    signal = rng.normal(size=100)
    X = np.column_stack([rng.normal(size=100), rng.normal(size=100)])
    X = np.column_stack([X, X[:, 0] + signal, X[:, 0] + signal + X[:, 1]])
    y = (2 * signal + rng.logistic(size=100) > 0).astype(int)
    return X, y


def test_results_without_an_aliased_column_predict_as_the_classifier():
    X, y = nearly_aliased()
    with pytest.warns(UserWarning, match="linear combinations"):
        clf = MaxentClassifier(C=np.inf).fit(X, y)
    results = clf.infer(X, y)
    assert results.aliased == ("x3",)
    found = np.asarray(results.predict_proba_interval(X).xs("probability", axis=1, level=1))
    np.testing.assert_allclose(found, clf.predict_proba(X), atol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_columns_that_the_fit_depends_on_are_not_called_aliased():
    X, y = nearly_aliased()
    X = X[:, :3] * 1.0
    X[:, 2] = X[:, 0] * 1e10 + X[:, 2]
    X[0, [0, 2]] *= 1e3
    clf = MaxentClassifier(C=np.inf).fit(X, y)
    try:
        results = clf.infer(X, y)
    except ValueError as error:
        assert "no covariance" in str(error)
        return
    found = np.asarray(results.predict_proba_interval(X).xs("probability", axis=1, level=1))
    np.testing.assert_allclose(found, clf.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("rare", [0, 1])
@pytest.mark.parametrize("exponent", [6, 12, 16, 19, 25])
@pytest.mark.parametrize("solver", ["auto", "newton-cg", "newton-cholesky", "lbfgs"])
def test_a_class_of_next_to_no_weight_has_the_log_odds_of_its_weight(rare, exponent, solver):
    y = np.arange(40) % 2
    weights = np.where(y == rare, 10.0**-exponent, 1.0)
    clf = MaxentClassifier(solver=solver, tol=1e-10, prior_correction=[0.3, 0.7])
    clf.fit(np.ones((40, 1)), y, weights)
    np.testing.assert_allclose(clf.intercept_, np.log(0.7 / 0.3), rtol=1e-8)


def by_orthogonal_columns(D, y):
    """Coefficients and standard errors of two classes, by Newton's method on the columns of Q."""
    Q, R = np.linalg.qr(D)
    gamma = np.zeros(D.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-Q @ gamma))
        H = (Q * (p * (1 - p))[:, None]).T @ Q
        gamma += np.linalg.solve(H, Q.T @ (y - p))
    T = np.linalg.inv(R)
    return T @ gamma, np.sqrt((T @ np.linalg.inv(H) @ T.T).diagonal())


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_nearly_collinear_columns_have_their_standard_errors(distance, fit_intercept):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    X = np.column_stack([X, X[:, 0] - X[:, 1] + distance * rng.normal(size=300)])
    y = (X[:, 0] + rng.logistic(size=300) > 0).astype(int)
    clf = MaxentClassifier(C=np.inf, tol=1e-8, fit_intercept=fit_intercept).fit(X, y)
    results = clf.infer(X, y)
    D = np.column_stack([X, np.ones(300)]) if fit_intercept else X
    coef, std_errors = by_orthogonal_columns(D, y)
    np.testing.assert_allclose(results.std_errors[0], std_errors, rtol=1e-10 / distance)
    np.testing.assert_allclose((results.coef[0] - coef) / std_errors, 0.0, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_columns_far_from_zero_without_intercept(seed):
    # Two functions of the year, whose combination is nearly lost beside their lengths, and an
    # aliased column: only this one is left out, and the others have their standard errors.
    rng = np.random.default_rng(seed)
    year, age = rng.integers(1990, 2020, 200), rng.integers(20, 70, 200)
    X = np.column_stack([year, age, 10 * year + 3, rng.integers(0, 9, 200), year - age]) * 0.1
    y = ((year - 2005) / 10 + rng.logistic(size=200) > 0).astype(int)
    with pytest.warns(UserWarning, match=r"The features \['x4'\] are linear combinations"):
        clf = MaxentClassifier(C=np.inf, tol=1e-8, fit_intercept=False).fit(X, y)
    results = clf.infer(X, y)
    assert results.aliased == ("x4",)
    _, expected = by_orthogonal_columns(X[:, :4], y)
    np.testing.assert_allclose(results.std_errors[0], expected, rtol=1e-7)


@pytest.mark.parametrize("seed", [1, 4, 10])
def test_robust_standard_errors_of_an_outlier_that_is_nearly_certain(seed):
    """The residual of its row, p - 1, is 1e-6: a difference has six digits less."""
    rng = np.random.default_rng(seed)
    x, y = 5.0 * rng.integers(0, 2, 150), rng.integers(0, 2, 150)
    x[7], y[7] = 5e6, 1
    X = x[:, None]
    clf = MaxentClassifier(C=np.inf).fit(X, y)
    found = clf.infer(X, y, cov_type="HC0").std_errors.ravel()
    rows = np.column_stack([x, np.ones(150)])
    z = np.where(y == 1, -1, 1) * (rows @ np.append(clf.coef_[0], clf.intercept_))
    missing = 1 / (1 + np.exp(-z))  # the probability of the other class
    A = (rows * (missing * (1 - missing))[:, None]).T @ rows
    B = (rows * (missing**2)[:, None]).T @ rows
    det = A[0, 0] * A[1, 1] - A[0, 1] ** 2
    inverse = np.array([[A[1, 1], -A[0, 1]], [-A[0, 1], A[0, 0]]]) / det
    expected = np.sqrt((inverse @ B @ inverse).diagonal())
    assert missing[7] < 1e-5
    np.testing.assert_allclose(found, expected, rtol=1e-13)
