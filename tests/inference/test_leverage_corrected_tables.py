"""HC2 and HC3 of tables of counts whose classes have weights, against sums over observations."""

import numpy as np
import pytest

from skmaxent import MaxentClassifier

RNG = np.random.default_rng(8)


def corrected_errors(X, codes, class_weight, P, power):
    """Return standard errors from a corrected score of each observation, as R's sandwich has them.

    An observation of a class with a weight above one is that many observations; one with a lower
    weight has that weight.
    """
    n, K = P.shape
    ones = np.column_stack([np.ones(n), X])
    weights = class_weight[codes]
    one = np.minimum(weights, 1.0)
    hessian, basis, curvatures = 0.0, [], []
    for row, p in zip(ones, P, strict=True):
        S = np.diag(p[1:]) - np.outer(p[1:], p[1:])
        basis.append(np.kron(np.eye(K - 1), row[:, None]))
        curvatures.append(S)
    for B, S, weight in zip(basis, curvatures, weights, strict=True):
        hessian = hessian + weight * B @ S @ B.T
    inverse = np.linalg.inv(hessian)
    middle = 0.0
    for i in range(n):
        values, vectors = np.linalg.eigh(curvatures[i])
        root = vectors * np.sqrt(values) @ vectors.T
        hat = one[i] * root @ basis[i].T @ inverse @ basis[i] @ root
        values, vectors = np.linalg.eigh(np.eye(K - 1) - hat)
        corrected = root @ (vectors * values**power) @ vectors.T @ np.linalg.inv(root)
        score = basis[i] @ corrected @ (P[i] - np.eye(K)[codes[i]])[1:]
        middle = middle + weights[i] * np.outer(score, score)
    return np.sqrt(np.diag(inverse @ middle @ inverse)).reshape(K - 1, -1)


@pytest.mark.filterwarnings("ignore:class_weight multiplies")
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(("cov_type", "power"), [("HC2", -0.5), ("HC3", -1.0)])
@pytest.mark.parametrize("weights", [{0: 0.3}, {0: 3.0, 1: 0.5}, {0: 2.0, 1: 4.0}])
def test_of_classes_with_weights(n_classes, cov_type, power, weights):
    # Leverages of observations were those of weight one, whatever the weight of their class.
    X = RNG.normal(size=(30, 2))
    counts = RNG.integers(0, 3, (30, n_classes))
    counts[:, 0] += counts.sum(axis=1) == 0
    rows, codes = (
        np.repeat(index, counts.ravel()) for index in np.indices(counts.shape).reshape(2, -1)
    )
    clf = MaxentClassifier(C=np.inf, class_weight=weights, tol=1e-9).fit(X, counts)
    class_weight = np.array([weights.get(k, 1.0) for k in range(n_classes)])
    expected = corrected_errors(X[rows], codes, class_weight, clf.predict_proba(X[rows]), power)
    results = clf.infer(X, counts, cov_type=cov_type, reference=0)
    found = results.std_errors[
        :, [results.columns.index(name) for name in ("Intercept", "x0", "x1")]
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    long = MaxentClassifier(C=np.inf, class_weight=weights, tol=1e-9).fit(X[rows], codes)
    of_rows = long.infer(X[rows], codes, cov_type=cov_type, reference=0)
    np.testing.assert_allclose(results.std_errors, of_rows.std_errors, rtol=1e-5)
