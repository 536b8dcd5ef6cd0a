"""Weights as small or as large as floats can be, in means of marginal effects."""

import numpy as np
import pytest

from skmaxent import MaxentClassifier

RNG = np.random.default_rng(3)
X = RNG.normal(size=(100, 3))
Y = (X @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(100, 3))).argmax(axis=1)
WEIGHTS = RNG.integers(0, 4, 100).astype(float)


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-200, 1e300, 4e307])
def test_effects_do_not_depend_on_the_scale_of_weights(scale):
    weights = WEIGHTS * scale
    clf = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, Y, WEIGHTS)
    results = clf.infer(X, Y, WEIGHTS)
    expected = results.marginal_effects(X)["effect"]
    np.testing.assert_allclose(
        results.marginal_effects(X, sample_weight=weights)["effect"], expected, rtol=1e-9
    )
    P = clf.predict_proba(X)
    slopes = P[:, :, None] * (clf.coef_[None] - (P @ clf.coef_)[:, None])
    by_hand = np.average(slopes, axis=0, weights=WEIGHTS)
    np.testing.assert_allclose(expected.to_numpy().reshape(3, 3), by_hand, rtol=1e-6)


def test_effects_of_a_fit_with_subnormal_weights():
    weights = WEIGHTS * 5e-324
    results = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, Y, weights).infer(X, Y, weights)
    expected = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, Y, WEIGHTS).infer(X, Y, WEIGHTS)
    np.testing.assert_allclose(
        results.marginal_effects(X)["effect"], expected.marginal_effects(X)["effect"], rtol=1e-5
    )


@pytest.mark.parametrize("scale", [1e-290, 1e-200, 1e200, 1e290])
@pytest.mark.parametrize("cov_type", ["HC0", "HC1", "HC2", "HC3", "cluster", "CV2", "CV3"])
def test_standard_errors_do_not_depend_on_the_scale_of_sampling_weights(cov_type, scale):
    options = {"cov_type": cov_type, "weights": "probability"}
    if cov_type[:2] != "HC":
        options["groups"] = np.arange(100) // 5
    errors = [
        MaxentClassifier(C=np.inf, tol=1e-9)
        .fit(X, Y, sample_weight=weights)
        .infer(X, Y, sample_weight=weights, **options)
        .summary()["std_err"]
        for weights in (WEIGHTS, WEIGHTS * scale)
    ]
    np.testing.assert_allclose(errors[1], errors[0], rtol=1e-6)
