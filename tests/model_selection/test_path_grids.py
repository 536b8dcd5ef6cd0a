"""Values of C that a path chooses itself, and those that it cannot fit."""

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, MaxentClassifierCV, maxent_path

IRIS = load_iris(return_X_y=True)


@pytest.mark.parametrize(
    ("options", "nearest"),
    [
        ({"bounds": (0.1, 1.0)}, 0.1),
        ({"bounds": (-2.0, -0.1)}, -0.1),
        ({"bounds": (0.0, np.inf)}, 0.0),
        ({"bounds": (0.1, np.inf), "penalty_factor": [0.0, 1.0, 1.0, 2.0]}, 0.1),
        ({}, 0.0),
    ],
)
def test_a_grid_begins_where_the_first_penalised_coefficient_leaves_its_end(options, nearest):
    """By fits of one C each, a little below the first C and a little above."""
    X, y = IRIS
    first = maxent_path(X, y, Cs=3, **options).Cs[0]
    penalised = np.array(options.get("penalty_factor", np.ones(4))) > 0.0

    def coef(C):
        fit = MaxentClassifier(C=C, l1_ratio=1.0, tol=1e-9, **options).fit(X, y)
        return fit.coef_[:, penalised]

    np.testing.assert_allclose(coef(0.999 * first), nearest, atol=1e-9)
    assert np.abs(coef(1.01 * first) - nearest).max() > 1e-6


@pytest.mark.parametrize("factors", [[0.0, 0.0, 0.0, 0.0], [0.0, np.inf, 0.0, np.inf]])
def test_no_grid_without_a_penalised_feature(factors):
    with pytest.raises(ValueError, match=r"Cs: no feature is penalised.*give the values in Cs"):
        maxent_path(*IRIS, Cs=3, penalty_factor=factors)
    with pytest.raises(ValueError, match="give the values in Cs"):
        MaxentClassifierCV(Cs=3, penalty_factor=factors).fit(*IRIS)


@pytest.mark.parametrize("options", [{"bounds": (0.5, 0.5)}, {"bounds": (0.0, 0.0)}])
def test_a_grid_where_no_coefficient_moves_is_of_ordinary_size(options):
    path = maxent_path(*IRIS, Cs=3, **options)
    np.testing.assert_allclose(path.Cs, [1e-4, 1.0, 1e4])


def test_a_grid_for_constant_columns():
    X, y = np.ones((150, 2)), IRIS[1]
    path = maxent_path(X, y, Cs=3)
    assert 1e-10 < path.Cs[0] < path.Cs[-1] < 1e10
    np.testing.assert_array_equal(path.coefs, 0.0)


def test_a_C_too_small_to_be_fitted_is_named():
    with pytest.warns(ConvergenceWarning, match="C=1e-200 is below 1e-100"):
        path = maxent_path(*IRIS, Cs=[1e-200, 1.0])
    assert not path.coefs[0].any()
    with pytest.warns(ConvergenceWarning, match="C=1e-300 is below 1e-100"):
        MaxentClassifier(C=1e-300).fit(*IRIS)


def test_separated_relaxed_fits_are_named():
    with pytest.warns(
        ConvergenceWarning, match="relaxed fits are optimal at 2 values of C from 0.1 to 10,"
    ):
        maxent_path(*IRIS, Cs=[0.1, 10.0], relax=True)


def test_relaxed_fits_that_max_iter_ends_are_named():
    X, y = load_wine(return_X_y=True)
    y = np.where(np.arange(178) % 3 == 0, (y + 1) % 3, y)
    with pytest.warns(ConvergenceWarning) as caught:
        maxent_path(X, y, Cs=[1.0], relax=True, max_iter=1)
    assert any("by relaxed fits" in str(warning.message) for warning in caught)


@pytest.mark.parametrize("exponent", [-530, -400, 400])
def test_a_lasso_has_the_first_C_and_the_coefficients_of_its_units(exponent):
    """A column times 2^e has the coefficients divided by that, at values of C divided by it."""
    X, y = IRIS
    unit = 2.0**exponent
    path = maxent_path(X, y, Cs=4, tol=1e-8)
    np.testing.assert_allclose(maxent_path(X * unit, y, Cs=2).Cs[0] * unit, path.Cs[0], rtol=1e-9)
    scaled = maxent_path(X * unit, y, Cs=path.Cs / unit, tol=1e-8)
    np.testing.assert_allclose(scaled.coefs * unit, path.coefs, rtol=1e-5, atol=1e-7)


def test_no_grid_for_a_ridge_whose_squares_are_beyond_floating_point():
    with pytest.raises(ValueError, match="Cs: some columns of X are so small"):
        maxent_path(IRIS[0] * 2.0**-530, IRIS[1], Cs=4, l1_ratio=0.5)
