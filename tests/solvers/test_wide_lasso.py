"""What a lasso with many more columns than rows costs, in counts that no machine changes."""

import numpy as np
import pytest
import scipy.sparse as sp

from skmaxent import maxent_path
from skmaxent._objective._objective import Point


@pytest.mark.parametrize("is_sparse", [True, False])
def test_a_weak_lasso_of_few_rows_takes_few_products(is_sparse, monkeypatch):
    rng = np.random.default_rng(0)
    X = sp.random(60, 3000, density=0.05, random_state=rng, format="csr")
    y = rng.integers(3, size=60)
    products, product = [], Point.hessian_product

    def counted(*args, **kwargs):
        products.append(1)
        return product(*args, **kwargs)

    monkeypatch.setattr(Point, "hessian_product", counted)
    path = maxent_path(X if is_sparse else X.toarray(), y, alphas=[0.001])
    # Fits that take the products of the Hessian where a matrix is small need over twenty thousand.
    assert len(products) < 500
    assert path.optimality_gaps[0] < 1e-3
    assert_is_optimal(X.toarray(), y, path, 0.001)


def assert_is_optimal(X, y, path, alpha):
    """Assert the optimality conditions of the lasso, in the units of the penalty."""
    coef = path.coefs[0]
    Z = X @ coef.T + path.intercepts[0]
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    residual = P - np.eye(3)[y]
    gradient = residual.T @ X / len(y)
    assert np.abs(residual.mean(axis=0)).max() < 0.01 * alpha
    assert np.abs(gradient).max() < 1.01 * alpha
    some = coef != 0.0
    np.testing.assert_allclose(gradient[some], -alpha * np.sign(coef[some]), atol=0.01 * alpha)
