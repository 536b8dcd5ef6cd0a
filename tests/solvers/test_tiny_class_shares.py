"""Classes of which next to nothing weighs anything."""

import warnings

import numpy as np
import pytest

from skmaxent import MaxentClassifier
from skmaxent._objective._likelihood import likelihood


@pytest.mark.parametrize("share", [1e-9, 1e-12])
@pytest.mark.parametrize("rare", [0, 1])
def test_a_correction_of_a_rare_class(share, rare):
    # Without features the intercept of the fit is the log odds of the shares, which the correction
    # replaces by those of the population.
    y = np.array([0, 1, 1, 0])
    weights = np.where(y == rare, share, 1.0)
    model = MaxentClassifier(C=1.0, prior_correction=[0.4, 0.6])
    model.fit(np.ones((4, 1)), y, sample_weight=weights)
    np.testing.assert_allclose(model.intercept_, np.log(0.6 / 0.4), atol=1e-3)


@pytest.mark.parametrize("share", [1e-17, 1e-22])
@pytest.mark.parametrize("rare", [0, 1])
def test_shares_that_round_to_one(share, rare):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8, 2)), np.arange(8) % 2
    weights = np.where(y == rare, share, 1.0)
    model = MaxentClassifier(C=1.0, prior_correction=[0.4, 0.6])
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model.fit(X, y, sample_weight=weights)
    assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()
    assert 0.0 <= model.optimality_gap_ <= 1.0
    # Where a class is as likely as rounding allows, the correction has the exact share.
    plain = MaxentClassifier(C=1.0).fit(X, y, sample_weight=weights)
    odds = np.log(weights[y == 1].sum()) - np.log(weights[y == 0].sum())
    expected = plain.intercept_ + np.log(0.6 / 0.4) - odds
    np.testing.assert_allclose(model.intercept_, expected, rtol=1e-6)


@pytest.mark.parametrize("rare", [1e-3, 1e-10, 1e-20, 1e-40])
def test_the_inverse_curvature_is_positive_for_tiny_shares(rare):
    shares = np.array([rare, 0.4, 0.6 - rare])
    root = likelihood(3).root_of_inverse_curvature(shares)
    # For a contrast u, that is Σ u_k²/π_k.
    for u in ([0.0, 1.0, -1.0], [1.0, -1.0, 0.0]):
        assert np.square(root @ u).sum() == pytest.approx((np.square(u) / shares).sum(), rel=1e-12)


def test_bounds_on_the_curvature_at_a_share_that_underflows():
    model, shares = likelihood(3), np.array([0.0, 0.4, 0.6])
    A = np.diag(shares) - np.outer(shares, shares)
    root = model.root_of_inverse_curvature(shares)
    assert np.square(root @ [0.0, 1.0, -1.0]).sum() == pytest.approx(1 / 0.4 + 1 / 0.6, rel=1e-12)
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(3), 20).T
    P[:, 0] = shares
    factors = model.least_curvature(P, shares)
    assert (factors >= 0.0).all()
    for p, factor in zip(P.T, factors, strict=True):
        least = np.linalg.eigvalsh(np.diag(p) - np.outer(p, p) - factor * A).min()
        assert least > -1e-14
    assert model.largest_range(shares) > 1e100
