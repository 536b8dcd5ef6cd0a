"""Fitted models as priors, and numbers that arrays would silently convert."""

import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator

from skmaxent import MaxentClassifier, leave_one_out, maxent_path

RNG = np.random.default_rng(9)
X = RNG.normal(size=(60, 3))
Y = (X @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(60, 3))).argmax(axis=1)
PRIOR = MaxentClassifier(C=0.1).fit(X, Y)


@pytest.mark.parametrize("prior", [copy.deepcopy(PRIOR).sparsify(), FrozenEstimator(PRIOR)])
def test_inference_of_fits_with_wrapped_priors(prior):
    # They were taken for other parameters than those of the fit, or raised an error of NumPy.
    clf = MaxentClassifier(prior_coef=prior, tol=1e-9).fit(X, Y)
    plain = MaxentClassifier(prior_coef=PRIOR.coef_, tol=1e-9).fit(X, Y)
    np.testing.assert_allclose(clf.coef_, plain.coef_, atol=1e-8)
    np.testing.assert_allclose(clf.infer(X, Y).std_errors, plain.infer(X, Y).std_errors, rtol=1e-6)
    found, expected = (leave_one_out(each, X, Y, max_refits=0) for each in (clf, plain))
    np.testing.assert_allclose(found.log_proba, expected.log_proba, atol=1e-6)
    clf.set_params(prior_coef=MaxentClassifier(C=1.0).fit(X, Y))
    with pytest.raises(ValueError, match="prior_coef is"):
        clf.infer(X, Y)


@pytest.mark.parametrize("name", ["penalty_factor", "prior_coef"])
def test_complex_numbers_are_refused(name):
    with pytest.raises(TypeError, match=name):
        MaxentClassifier(**{name: np.ones(3) + 1j}).fit(X, Y)


def test_grids_of_complex_and_masked_numbers_are_refused():
    with pytest.raises(TypeError, match="Cs must be"):
        maxent_path(X, Y, Cs=[1j, 2.0])
    with pytest.raises(ValueError, match="Cs is a masked array"):
        maxent_path(X, Y, Cs=np.ma.masked_array([1.0, 2.0], [True, False]))


def test_effects_of_variables_that_are_named_by_tuples():
    named = pd.DataFrame(X, columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]))
    clf = MaxentClassifier(C=np.inf).fit(named, Y)
    found = clf.infer(named, Y).average_slopes()
    expected = MaxentClassifier(C=np.inf).fit(X, Y).infer(X, Y).average_slopes()
    assert found["variable"].tolist() == [name for name in named.columns for _ in range(3)]
    np.testing.assert_allclose(found["estimate"], expected["estimate"], atol=1e-8)
