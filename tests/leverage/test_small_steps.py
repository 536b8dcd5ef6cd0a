"""One Newton step to the fits without single rows, for several penalties of small data together."""

from contextlib import ExitStack

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import log_softmax

from skmaxent import MaxentClassifier
from skmaxent._estimators._leave_one_out import fitted_rows
from skmaxent._leverage import _small_steps
from skmaxent._leverage._left_out_units import left_out_units
from skmaxent._leverage._refits import Refits
from skmaxent._leverage._small_refits import SmallRefits
from skmaxent._leverage._small_steps import small_units


def simulated(n_classes, n=60, d=6, seed=1):
    """Return rows of which a column is constant and two are equal, classes, weights and offsets."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    X[:, 1], X[:, 2] = X[:, 0], 3.0
    Z = 0.3 * X @ rng.normal(size=(d, n_classes))
    y = (Z + rng.gumbel(size=Z.shape)).argmax(axis=1)
    offset = rng.normal(size=Z.shape)
    return X, y, rng.integers(1, 4, size=n).astype(float), offset if n_classes > 2 else offset[:, 0]


CS = 0.02, 0.3, 5.0


@pytest.fixture
def fits():
    """Return a function that returns the rows of fits at `CS`."""
    with ExitStack() as stack:

        def fitted(X, y, weights, offset, **parameters):
            found = []
            for C in CS:
                clf = MaxentClassifier(C=C, tol=1e-10, **parameters).fit(X, y, weights, offset)
                given = fitted_rows(clf, X, y, weights, offset, "leave_one_out")
                found.append(stack.enter_context(given)[0])
            return found

        yield fitted


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"fit_intercept": False},
        {"l1_ratio": 0.5},
        {"l1_ratio": 1.0},
        {"l1_ratio": 1.0, "fit_intercept": False},
        {"l1_ratio": 0.5, "standardize": True},
    ],
)
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_steps_are_those_of_single_fits(monkeypatch, fits, n_classes, parameters, make):
    X, y, weights, offset = simulated(n_classes)
    some = fits(make(X), y, weights, offset, **parameters)
    assert all(SmallRefits.suits(fit.training.problem) for fit in some)
    for entries in (1 << 20, 1):
        monkeypatch.setattr(_small_steps, "ENTRIES_TOGETHER", entries)
        for fit, units in zip(some, small_units(some), strict=True):
            expected = left_out_units(fit, fit.leverages("frequency"), "frequency")
            for name, values in (vars(expected) | {"shifts": units.shifts}).items():
                np.testing.assert_allclose(getattr(units, name), values, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("parameters", [{}, {"l1_ratio": 0.5}, {"l1_ratio": 1.0}])
def test_shifts_are_those_of_the_coefficients_that_give_the_logits(fits, n_classes, parameters):
    X, y, weights, offset = simulated(n_classes)
    some = fits(X, y, weights, offset, **parameters)
    for fit, units in zip(some, small_units(some), strict=True):
        training = fit.training
        for row, shift in enumerate(units.shifts):
            theta = fit.theta + shift.reshape(fit.theta.shape)
            coef, intercept = training.user_coefficients(*training.problem.coefficients(theta))
            z = coef @ X[row] + intercept + offset[row]
            np.testing.assert_allclose(
                z - z.mean() * (n_classes > 2),
                units.logits[row] - units.logits[row].mean() * (n_classes > 2),
                atol=1e-6,
            )


@pytest.mark.parametrize("parameters", [{}, {"l1_ratio": 0.5}, {"l1_ratio": 1.0}])
def test_exact_fits_of_several_penalties_are_made_together(fits, parameters):
    X, y, weights, offset = simulated(3)
    some = fits(X, y, weights, offset, **parameters)
    refits = [Refits(fit.training.problem, fit.theta, None) for fit in some]
    which = [np.array([0, 7]), np.array([3]), np.array([7, 30, 59])]
    found = Refits.logits_without(refits, small_units(some), which)
    for C, rows, logits in zip(CS, which, found, strict=True):
        clf = MaxentClassifier(C=C, tol=1e-9, **parameters)
        for row, z in zip(rows, logits, strict=True):
            kept = weights - (np.arange(len(y)) == row)
            log_proba = clf.fit(X, y, kept, offset).predict_log_proba(
                X[[row]], offset=offset[[row]]
            )
            np.testing.assert_allclose(log_softmax(z), log_proba[0], atol=1e-5)
