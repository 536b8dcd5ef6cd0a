"""Columns whose mean is large against their spread: years, time stamps, map coordinates."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    maxent_path,
)

SHIFT = np.array([2000.0, 1.7e9, 5.2e6, 0.0])
SPREAD = np.array([10.0, 25000.0, 300.0, 1.0])


@pytest.fixture(scope="module")
def rows():
    """X of float64, and the standardised columns, of which X are exact multiples and sums."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 4))
    X = np.round(SHIFT + SPREAD * z, 1)
    X[:, 1] = np.round(X[:, 1] / 128.0) * 128.0  # which float32 has
    X[:, 2] = np.round(2.0 * X[:, 2]) / 2.0
    y = (z[:, :3] + rng.gumbel(size=(300, 3))).argmax(axis=1)
    return X, (X - SHIFT) / SPREAD, y


STORED = {
    "dense": lambda X: X,
    "csr": sp.csr_array,
    "dense of float32": lambda X: X.astype(np.float32),
    "csr of float32": lambda X: sp.csr_array(X.astype(np.float32)),
}


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("solver", ["auto", "newton-cg", "newton-cholesky"])
def test_coefficients_are_those_of_scikit_learn_for_standardised_columns(rows, stored, solver):
    X, Z, y = rows
    expected = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(Z, y)
    clf = MaxentClassifier(C=np.inf, tol=1e-8, solver=solver).fit(STORED[stored](X), y)
    is_narrow = stored.endswith("float32")
    coef = expected.coef_ - expected.coef_.mean(axis=0)
    np.testing.assert_allclose(clf.coef_ * SPREAD, coef, atol=2e-4 if is_narrow else 2e-5)
    # Float32 has intercepts of 1e5 to the second digit after the point.
    atol = 0.02 if is_narrow else 1e-5
    found = clf.predict_proba(STORED[stored](X))
    np.testing.assert_allclose(found, expected.predict_proba(Z), atol=atol)
    assert clf.optimality_gap_ < (1e-4 if is_narrow else 1e-7)


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize(
    "parameters", [{"l1_ratio": 1.0}, {"l1_ratio": 0.5, "grouped": True}, {"bounds": (-1.0, 1.0)}]
)
def test_other_penalties_do_not_see_the_shift(rows, stored, parameters):
    X, _, y = rows
    model = MaxentClassifier(C=0.5, tol=1e-8, **parameters)
    expected = model.fit(X - SHIFT, y).coef_ * SPREAD
    found = model.fit(STORED[stored](X), y).coef_ * SPREAD
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("stored", STORED)
def test_labels_paths_and_cross_validation_do_not_see_the_shift(rows, stored):
    X, _, y = rows
    Y = np.eye(3, dtype=int)[y]
    centred, X = X - SHIFT, STORED[stored](X)
    labels = MultilabelMaxentClassifier(tol=1e-8)
    expected = labels.fit(centred, Y).coef_ * SPREAD
    np.testing.assert_allclose(labels.fit(X, Y).coef_ * SPREAD, expected, atol=1e-4)
    paths = [maxent_path(rows, y, Cs=4, tol=1e-8) for rows in (X, centred)]
    np.testing.assert_allclose(paths[0].Cs, paths[1].Cs, rtol=1e-4)
    np.testing.assert_allclose(paths[0].coefs * SPREAD, paths[1].coefs * SPREAD, atol=1e-3)
    models = [MaxentClassifierCV(Cs=4, cv=3).fit(rows, y) for rows in (X, centred)]
    np.testing.assert_allclose(models[0].scores_, models[1].scores_, atol=2e-3)


@pytest.mark.parametrize("stored", STORED)
def test_inference_does_not_see_the_shift(rows, stored):
    X, _, y = rows
    model = MaxentClassifier(C=np.inf, tol=1e-8)
    expected = model.fit(X - SHIFT, y).infer(X - SHIFT, y)
    X = STORED[stored](X)
    found = model.fit(X, y).infer(X, y)
    is_narrow = stored.endswith("float32")
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, abs=0.02)
    for errors, others in zip(found.std_errors, expected.std_errors, strict=True):
        features = slice(0, 4)
        np.testing.assert_allclose(
            errors[features], others[features], rtol=1e-3 if is_narrow else 1e-7
        )


@pytest.mark.parametrize("is_sparse", [False, True])
def test_chunks_of_dask_do_not_see_the_shift(rows, is_sparse):
    da = pytest.importorskip("dask.array")
    X, _, y = rows
    chunks = da.from_array(X.astype(np.float32), chunks=(70, -1))
    chunks = chunks.map_blocks(sp.csr_matrix) if is_sparse else chunks
    model = MaxentClassifier(tol=1e-8)
    expected = model.fit(X - SHIFT, y).coef_ * SPREAD
    model.fit(chunks, da.from_array(y, chunks=70))
    np.testing.assert_allclose(model.coef_ * SPREAD, expected, atol=1e-4)
    assert model.optimality_gap_ < 1e-4


def test_a_warm_start_knows_the_shift(rows):
    X, _, y = rows
    for stored in STORED.values():
        clf = MaxentClassifier(warm_start=True, tol=1e-8).fit(stored(X), y)
        clf.set_params(C=10.0).fit(stored(X), y)
        cold = MaxentClassifier(C=10.0, tol=1e-8).fit(stored(X), y)
        np.testing.assert_allclose(clf.coef_ * SPREAD, cold.coef_ * SPREAD, atol=1e-4)


def test_a_column_that_is_one_in_all_rows_but_few(rows):
    """It is the complement of an indicator, however the rows are weighed."""
    _, Z, y = rows
    indicator = (np.arange(300) % 60 == 0) * 1.0
    weights = np.where(indicator > 0.0, 1e-4, 1.0)
    design = [np.column_stack([Z[:, 0], column]) for column in (indicator, 1.0 - indicator)]
    expected = LogisticRegression(C=1e3, tol=1e-12, max_iter=1000, solver="newton-cg")
    expected.fit(design[0], y, weights)
    for stored in (design[1], sp.csr_array(design[1])):
        clf = MaxentClassifier(C=1e3, tol=1e-8).fit(stored, y, weights)
        np.testing.assert_allclose(clf.coef_ * [1.0, -1.0], expected.coef_, atol=1e-4)


def test_collinear_columns_in_sparse_storage(rows):
    """The certificate holds the fit to the optimum of the sum, which is known."""
    _, Z, y = rows
    rng = np.random.default_rng(1)
    twin = 100.0 + Z[:, 0] * (1.0 + 1e-8 * rng.normal(size=300))
    X = np.column_stack([100.0 + Z[:, 0], twin, Z[:, 1]])
    # Two columns that are the same share a coefficient: its penalty is half of that of one.
    expected = LogisticRegression(C=1.0, tol=1e-10).fit(
        np.column_stack([np.sqrt(2.0) * Z[:, 0], Z[:, 1]]), y
    )
    for stored in (X, sp.csr_array(X)):
        clf = MaxentClassifier(tol=1e-8).fit(stored, y)
        assert clf.optimality_gap_ < 1e-8
        shared = expected.coef_[:, 0] / np.sqrt(2.0)
        np.testing.assert_allclose(clf.coef_[:, 0], shared, atol=1e-5)
        np.testing.assert_allclose(clf.coef_[:, 1], shared, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Rounding of the coefficients to float32")
@pytest.mark.parametrize("stored", [np.asarray, sp.csr_array])
@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (lambda z: 1e14 + z, np.float64),
        (lambda z: 1e9 + 100.0 * z, np.float32),
        (lambda z: 1e9 + z, np.float32),  # the same number in all rows
        (lambda z: 0.3 + 1e-16 * z, np.float64),
    ],
)
def test_what_rounding_has_left_little_of_is_named(rows, stored, column, dtype):
    _, Z, y = rows
    X = np.column_stack([Z[:, 0], column(Z[:, 1])]).astype(dtype)
    for model, labels in (
        (MaxentClassifier(), y),
        (MultilabelMaxentClassifier(), np.eye(3, dtype=int)[y]),
    ):
        with pytest.warns(UserWarning, match=r"The columns \['x1'\] of X are so far from zero"):
            model.fit(stored(X), labels)
    frame = pd.DataFrame(X, columns=["near", "far"])
    with pytest.warns(UserWarning, match=r"\['far'\].*two digits"):
        maxent_path(frame, y, Cs=2)


@pytest.mark.filterwarnings("ignore:Rounding of the coefficients to float32")
def test_coefficients_that_a_prior_makes_too_large_for_the_precision_are_named(rows):
    X, _, y = rows
    prior = np.full((3, 4), 0.1)
    with pytest.warns(UserWarning, match=r"\['x1'"):
        MaxentClassifier(prior_coef=prior).fit(X.astype(np.float32), y)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e12, 1e300])
def test_constant_columns_are_not_named(rows, value):
    _, Z, y = rows
    X = np.column_stack([Z, np.full(len(Z), value)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for stored in (X, sp.csr_array(X)):
            MaxentClassifier().fit(stored, y)


def test_one_in_1e14_is_still_found(rows):
    """X is what float64 has of it; the fit loses nothing more."""
    _, Z, y = rows
    X = 1e14 + Z
    expected = LogisticRegression(C=np.inf, tol=1e-10).fit(X - 1e14, y).coef_
    with pytest.warns(UserWarning, match="so far from zero"):
        clf = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(clf.coef_, expected - expected.mean(axis=0), atol=1e-5)


def test_the_optimality_gap_is_one_if_rounding_makes_logits_inexact():
    rng = np.random.default_rng(0)
    z, e = rng.normal(size=(2, 60))
    X = 1e10 + np.column_stack([z, z + 1e-5 * e])
    y = (3.0 * e + rng.logistic(size=60) > 0.0).astype(int)
    # The differences from 1e10 are exact, and so are these columns.
    near = X - 1e10
    Z = np.column_stack([near[:, 0], 1e5 * (near[:, 1] - near[:, 0])])
    best = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(Z, y)
    least = log_loss(y, best.predict_proba(Z))
    with pytest.warns(UserWarning, match="so far from zero"):
        clf = MaxentClassifier(C=np.inf).fit(X, y)
    with pytest.warns(UserWarning, match="so far from zero"):
        path = maxent_path(X, y, Cs=[1e30])
    for coef, intercept, gap in (
        (clf.coef_, clf.intercept_, clf.optimality_gap_),
        (path.coefs[0], path.intercepts[0], path.optimality_gaps[0]),
    ):
        logits = X.astype(np.longdouble) @ coef[0].astype(np.longdouble) + intercept[0]
        value = np.logaddexp(0.0, np.where(y == 1, -logits, logits)).mean()
        assert gap == 1.0 > (value - least) / value > 1e-3
