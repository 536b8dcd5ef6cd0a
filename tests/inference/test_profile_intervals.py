"""Ends of profile intervals against direct maximisations with the coefficient held."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers.held_likelihood import (
    LEVEL_95,
    assert_ends,
    least,
    minus_log_likelihood,
    profile_interval,
)
from scipy.optimize import linprog, minimize

from skmaxent import MaxentClassifier
from skmaxent._inference._constrained_minimum import damped_solve

ML = MaxentClassifier(C=np.inf, tol=1e-8)


def with_ones(X):
    return np.column_stack([X, np.ones(len(X))])


def quasi_separated():
    """Every row with x0 = 1 is of class 1."""
    rng = np.random.default_rng(0)
    g = (rng.random(200) < 0.15) * 1.0
    x = rng.normal(size=200)
    y = (x + rng.logistic(size=200) > 0).astype(int)
    y[g == 1] = 1
    return np.column_stack([g, x]), y


@pytest.mark.filterwarnings("ignore")
def test_a_feature_with_one_class_has_an_infinite_end():
    X, y = quasi_separated()
    found = ML.fit(X, y).infer(X, y).profile_conf_int()
    lower, upper = found.loc[(1, "x0")]
    assert upper == np.inf
    assert lower == pytest.approx(2.7836577, abs=1e-5)
    expected = profile_interval(with_ones(X), np.eye(2)[y], 0, 0, 20.0)
    np.testing.assert_allclose((lower, upper), expected, rtol=1e-5)
    for column in (1, 2):
        assert_ends(found.iloc[column], with_ones(X), np.eye(2)[y], 0, column)
    # With the classes exchanged the other end is infinite.
    other = ML.fit(X, 1 - y).infer(X, 1 - y).profile_conf_int(features="x0")
    np.testing.assert_allclose(other.iloc[0], [-upper, -lower], rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_complete_separation_leaves_infinite_intervals_of_what_does_not_separate():
    X, _ = quasi_separated()
    y = (X[:, 1] > 0.1).astype(int)
    found = ML.fit(X, y).infer(X, y).profile_conf_int()
    assert found.loc[(1, "x0")].tolist() == [-np.inf, np.inf]
    lower, upper = found.loc[(1, "x1")]
    assert upper == np.inf
    held = np.array([[False, True, False]])
    fall = 2.0 * least(with_ones(X), np.eye(2)[y], held=held, values=lower)
    assert fall == pytest.approx(LEVEL_95, rel=1e-5)  # of a likelihood whose limit is one


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [1, 4, 7, 8, 13, 17])
def test_intervals_of_small_samples_are_those_of_brute_force(seed):
    """Some separated, with weights or offsets, columns in other units, two or three classes."""
    rng = np.random.default_rng(seed)
    n, K = 40, 2 + seed % 2
    X = rng.normal(size=(n, 2)) * [1.0, 50.0] + [0.0, 300.0]
    X[:, 0] = rng.random(n) < 0.2
    y = ((X - [0, 300]) / [1, 50] @ rng.normal(size=(2, K)) + rng.gumbel(size=(n, K))).argmax(1)
    y[:K] = range(K)
    weights = rng.integers(1, 4, n) if seed % 3 else np.ones(n, int)
    offset = rng.normal(size=(n, K)) if seed % 4 == 0 else np.zeros((n, K))
    found = ML.fit(X, y, weights, offset).infer(X, y, weights, offset)
    ends = found.profile_conf_int()
    # The reference has standardised columns, for its optimiser's sake.
    mean, spread = X.mean(axis=0), X.std(axis=0)
    Z, T = with_ones((X - mean) / spread), weights[:, None] * np.eye(K)[y]
    best = least(Z, T, offset)
    for row in range(K - 1):
        for column in range(2):
            standardised = ends.iloc[3 * row + column] * spread[column]
            assert_ends(standardised, Z, T, row, column, offset, best=best)


def test_intervals_of_any_contrast_of_classes():
    """Against another class an end is the other's negative; "symmetric" by a held contrast."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 1)), rng.integers(0, 3, 60)
    clf = ML.fit(X, y)
    first, second, mean = (
        clf.infer(X, y, reference=reference).profile_conf_int(features="x0")
        for reference in (0, 1, "symmetric")
    )
    np.testing.assert_allclose(first.loc[(1, "x0")], -second.loc[(0, "x0")][::-1], rtol=1e-6)
    # w_0 - (w_0 + w_1 + w_2)/3 = c: in coefficients against class 0, w_1 + w_2 = -3 c.
    Z, T = with_ones(X), np.eye(3)[y]
    best = least(Z, T)

    def held_contrast(c):
        def value(u):
            W = np.array([[u[0], u[1]], [-3.0 * c - u[0], u[2]]])
            return minus_log_likelihood(W, Z, T)[0]

        return minimize(value, np.zeros(3), method="BFGS", options={"gtol": 1e-8}).fun

    for end in mean.loc[(0, "x0")]:
        assert 2.0 * (held_contrast(end) - best) == pytest.approx(LEVEL_95, rel=1e-6)


def test_storage_and_precision_of_the_columns_do_not_matter():
    rng = np.random.default_rng(0)
    X, y = rng.normal([0.0, 5.0, -2.0], 1.0, (200, 3)), rng.integers(0, 3, 200)
    expected = ML.fit(X, y).infer(X, y).profile_conf_int()
    for rows, rtol in (
        (sp.csr_array(X), 1e-7),
        (X.astype(np.float32), 1e-4),
        (sp.csr_array(X.astype(np.float32)), 1e-4),
    ):
        found = ML.fit(rows, y).infer(rows, y).profile_conf_int()
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)
    some = ML.fit(X, y).infer(X, y, features=["x2"]).profile_conf_int()
    np.testing.assert_allclose(some, expected.xs("x2", level=1), rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_tables_of_counts_have_the_intervals_of_their_observations():
    x = np.array([[0.0], [0.0], [1.0], [1.0]])
    table = np.array([[3, 2], [2, 2], [0, 4], [0, 3]])
    found = ML.fit(x, table).infer(x, table).profile_conf_int()
    assert found.loc[(1, "x0"), "upper"] == np.inf
    expected = profile_interval(with_ones(x), table, 0, 0, 5.0)
    np.testing.assert_allclose(found.loc[(1, "x0")], expected, rtol=1e-6)


def test_intervals_of_pneumoconiosis_by_exposure():
    """VGAM's pneumo data, whose counts are a table."""
    path = Path(__file__).parents[1] / "oracles" / "multinom_pneumo.json"
    data = pd.DataFrame(json.loads(path.read_text())["pneumo"]["data"])
    X, table = data[["let"]], data[["normal", "mild", "severe"]]
    table = table.rename(columns={"normal": "a", "mild": "b", "severe": "c"})
    found = ML.fit(X, table).infer(X, table).profile_conf_int(features="let")
    Z, T = with_ones(X.to_numpy()), table.to_numpy()
    for row in range(2):
        assert_ends(found.iloc[row], Z, T, row, 0)


def test_intervals_with_bias_reduction_are_of_the_penalised_likelihood():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(40, 1))
    X[:, 0] = X[:, 0] > 1
    y = rng.integers(0, 3, 40)
    y[X[:, 0] == 1] = 2
    clf = MaxentClassifier(C=np.inf, bias_reduction="mean", tol=1e-8).fit(X, y)
    results = clf.infer(X, y)
    ends = results.profile_conf_int(features="x0")
    assert np.isfinite(ends).all(axis=None)
    Z, T = with_ones(X), np.eye(3)[y]
    best = least(Z, T, penalised=True, start=results.coef)
    for row in range(2):
        held = np.zeros((2, 2), bool)
        held[row, 0] = True
        for end in ends.iloc[row]:
            value = least(Z, T, 0.0, held, end, penalised=True, start=results.coef)
            assert 2.0 * (value - best) == pytest.approx(LEVEL_95, rel=1e-5)


def test_robust_covariances_have_no_profiles():
    X, y = quasi_separated()
    results = ML.fit(X[:, 1:], y).infer(X[:, 1:], y, cov_type="HC0")
    with pytest.raises(ValueError, match="profiles need cov_type='nonrobust'"):
        results.profile_conf_int()


@pytest.mark.parametrize(
    "params",
    [
        {"C": 1.0},
        {"C": 1e9},
        {"alpha": 1e-9},
        {"standardize": True},
        {"penalty_factor": [0.0, 1.0]},
        {"prior_coef": np.ones((1, 2))},
    ],
)
def test_a_ridge_has_no_profiles(params):
    """The penalised likelihood has no chi-squared distribution, however weak the penalty is."""
    X, _ = quasi_separated()
    y = np.arange(len(X)) % 2
    results = MaxentClassifier(**params).fit(X, y).infer(X, y)
    with pytest.raises(ValueError, match="profiles are for fits without a penalty"):
        results.profile_conf_int()


@pytest.mark.parametrize("kind", ["factors", "class_weight", "no intercept", "correction"])
def test_parameters_that_leave_a_likelihood_have_its_profile(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2)) * [1.0, 2.0] + [0.0, 1.0]
    y = (X @ rng.normal(size=(2, 3)) * 0.5 + rng.gumbel(size=(80, 3))).argmax(axis=1)
    params, factor = {
        "factors": ({"C": 1.0, "penalty_factor": [0.0, 0.0]}, np.ones(3)),
        "class_weight": ({"class_weight": {0: 2.0, 1: 1.0, 2: 0.5}}, np.array([2.0, 1.0, 0.5])),
        "no intercept": ({"fit_intercept": False}, np.ones(3)),
        "correction": ({"prior_correction": [0.2, 0.3, 0.5]}, np.ones(3)),
    }[kind]
    clf = MaxentClassifier(**({"C": np.inf, "tol": 1e-8} | params)).fit(X, y)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "class_weight multiplies")
        ends = clf.infer(X, y).profile_conf_int(features=["x0", "x1"])
    Z, T = X if kind == "no intercept" else with_ones(X), factor * np.eye(3)[y]
    for i in range(4):
        assert_ends(ends.iloc[i], Z, T, i // 2, i % 2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [9, 23, 37])
def test_few_rows_of_many_classes_have_ends_that_linear_programs_confirm(seed):
    """An end is infinite if and only if a·θ grows along a direction in which no row loses."""
    rng = np.random.default_rng(seed)
    n, d, K = int(rng.integers(8, 20)), int(rng.integers(1, 4)), int(rng.integers(3, 5))
    X = np.round(2.0 * rng.normal(size=(n, d))) / 2.0
    y = (3.0 * X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)
    y[:K] = range(K)
    found = ML.fit(X, y).infer(X, y).profile_conf_int()
    Z, W = with_ones(X), np.eye(K)
    gains = [
        np.kron(W[c] - W[k], z)[d + 1 :]  # class 0 has no coefficients
        for z, c in zip(Z, y, strict=True)
        for k in range(K)
        if k != c
    ]
    for i, ends in enumerate(found.to_numpy()):
        for side, end in zip((-1.0, 1.0), ends, strict=True):
            one = np.eye(1, len(found), i)
            program = linprog(
                np.zeros(len(found)),
                A_ub=-np.array(gains),
                b_ub=np.zeros(len(gains)),
                A_eq=one,
                b_eq=[side],
                bounds=(None, None),
            )
            assert np.isinf(end) == (program.status == 0), (i, side)


def test_a_small_overlap_has_a_finite_end_far_away():
    """Two rows that overlap by a thousandth of a standard deviation."""
    x = np.array([-2.0, -1.5, -1.0, -0.5, 0.001, 0.0, 0.5, 1.0, 1.5, 2.0])[:, None]
    y = np.array([0] * 5 + [1] * 5)
    found = MaxentClassifier(C=np.inf, tol=1e-8, max_iter=1000).fit(x, y).infer(x, y)
    lower, upper = found.profile_conf_int(features="x0").iloc[0]
    assert 1.0 < lower < found.coef[0, 0] < upper < np.inf
    assert_ends((lower, upper), with_ones(x), np.eye(2)[y], 0, 0, far=1e9)


def test_steps_along_directions_without_curvature_are_not_rounding():
    """Steps of 1e7 in such directions left logits without digits: searches for ends never ended.

    Along (1, -1) the curvature is zero but for rounding, and so is the slope.
    """
    H = (
        30.0
        * np.array([[1.0, 1.0], [1.0, 1.0 + 2e-16]])
        * np.multiply.outer([1.0, 1e3], [1.0, 1e3])
    )
    x, damping = damped_solve(H, np.array([30.0, 30.0e3 * (1.0 + 1e-15)]), 0.0)
    assert damping == 0.0
    assert np.abs(x * [1.0, 1e3]).max() < 1.0
    assert x @ [1.0, 1e3] == pytest.approx(1.0, rel=1e-12)
    # A small curvature of a column by itself is no rounding.
    x, _ = damped_solve(np.diag([30.0, 3e-30]), np.array([30.0, 3e-20]), 0.0)
    np.testing.assert_allclose(x, [1.0, 1e10], rtol=1e-12)
