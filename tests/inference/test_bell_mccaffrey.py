"""Degrees of freedom of CV2 with many clusters, from the covariance matrix of all scores."""

import pickle

import numpy as np
import pytest

from skmaxent import MaxentClassifier
from skmaxent._inference._bell_mccaffrey import BellMcCaffrey

P = 3


def _clusters(n_groups):
    """Shares of the information that sum to I, and C_g and V_g of the definition."""
    rng = np.random.default_rng(n_groups)
    A = rng.normal(size=(n_groups, P, 2 * P))
    shares = A @ A.transpose(0, 2, 1)
    values, U = np.linalg.eigh(shares.sum(axis=0))
    root = (U / np.sqrt(values)) @ U.T
    shares = root @ shares @ root
    values, U = np.linalg.eigh(shares)
    Ut = U.transpose(0, 2, 1)
    C = (U * (values / np.sqrt(1.0 - values))[:, None, :]) @ Ut
    V = (U * (values / (1.0 - values))[:, None, :]) @ Ut
    return C, V


@pytest.mark.parametrize("n_groups", [4, 6, 7, 60])
def test_degrees_of_freedom_are_those_of_the_scores_of_all_clusters(n_groups):
    C, V = _clusters(n_groups)
    root = np.random.default_rng(0).normal(size=(P, P))
    found = BellMcCaffrey.of_clusters(root, C, V)
    jacobian = np.random.default_rng(1).normal(size=(2, P))
    expected = []
    for c in jacobian @ root:
        covariance = -np.einsum("i,gij,hjk,k->gh", c, C, C, c)
        covariance += np.diag(np.einsum("i,gij,j->g", c, V, c))
        expected.append(np.trace(covariance) ** 2 / np.trace(covariance @ covariance))
    np.testing.assert_allclose(found.of(jacobian), expected, rtol=1e-9)


@pytest.mark.parametrize("n_groups", [4, 60])
def test_joint_tests_are_those_of_the_scores_of_all_clusters(n_groups):
    # Pustejovsky & Tipton (2018), equation (13), with restrictions whose covariance is expected
    # to be the identity.
    C, V = _clusters(n_groups)
    root = np.random.default_rng(2).normal(size=(P, P))
    A = np.random.default_rng(3).normal(size=(2, P))
    R = A @ root
    blocks = -np.einsum("si,gij,hjk,tk->ghst", R, C, C, R)
    blocks[range(n_groups), range(n_groups)] += R @ V @ R.T
    mean = np.einsum("ggst->st", blocks)
    values, vectors = np.linalg.eigh(mean)
    W = (vectors / np.sqrt(values)) @ vectors.T
    blocks = W @ blocks @ W
    total = sum(
        blocks[g, h, s, t] * blocks[g, h, t, s] + blocks[g, h, s, s] * blocks[g, h, t, t]
        for g in range(n_groups)
        for h in range(n_groups)
        for s in range(2)
        for t in range(2)
    )
    eta = 2 * 3 / total
    factor, df = BellMcCaffrey.of_clusters(root, C, V).joint(A)
    np.testing.assert_allclose([factor, df], [(eta - 1.0) / (2.0 * eta), eta - 1.0], rtol=1e-9)


def test_pickles_of_results_do_not_grow_with_the_clusters():
    rng = np.random.default_rng(4)
    sizes = []
    for n_groups in (50, 500):
        X = rng.normal(size=(3 * n_groups, 2))
        y = rng.integers(0, 3, size=3 * n_groups)
        clf = MaxentClassifier(C=np.inf).fit(X, y)
        results = clf.infer(X, y, cov_type="CV2", groups=np.arange(3 * n_groups) // 3)
        loaded = pickle.loads(pickle.dumps(results))
        assert str(loaded) == str(results)
        sizes.append(len(pickle.dumps(results)))
    assert sizes[1] < 1.1 * sizes[0]
