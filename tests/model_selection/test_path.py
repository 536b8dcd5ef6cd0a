"""maxent_path: what it returns is what single fits return, for less."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, maxent_path

IRIS = load_iris(return_X_y=True)
WINE = load_wine(return_X_y=True)


def sparse_problem():
    rng = np.random.default_rng(3)
    X = sp.random(200, 600, 0.03, random_state=rng, format="csr")
    y = (X[:, :5].toarray() * 4 + rng.gumbel(size=(200, 5))).argmax(axis=1)
    return X, y


PROBLEMS = {"wine": lambda: WINE, "sparse": sparse_problem}


@pytest.mark.parametrize(
    ("l1_ratio", "grouped"), [(0.0, False), (0.5, False), (1.0, False), (0.5, True), (1.0, True)]
)
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_path_is_a_fit_at_each_C(name, l1_ratio, grouped):
    X, y = PROBLEMS[name]()
    options = {"l1_ratio": l1_ratio, "grouped": grouped, "tol": 1e-7}
    path = maxent_path(X, y, Cs=8, **options)
    assert path.coefs.shape == (8, len(np.unique(y)), X.shape[1])
    for C, coef, intercept in zip(path.Cs, path.coefs, path.intercepts, strict=True):
        single = MaxentClassifier(C=C, **options).fit(X, y)
        size = 1.0 + np.abs(single.coef_).max()
        np.testing.assert_allclose(coef, single.coef_, atol=1e-4 * size)
        np.testing.assert_allclose(intercept, single.intercept_, atol=1e-3 * size)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_grid_begins_where_the_first_feature_enters(name, grouped):
    X, y = PROBLEMS[name]()
    path = maxent_path(X, y, Cs=30, grouped=grouped)
    assert path.n_nonzero[0] == 0
    assert path.n_nonzero[-1] > 3
    assert (np.diff(path.Cs) > 0).all()
    np.testing.assert_allclose(np.diff(np.log(path.Cs)), np.log(path.Cs[1] / path.Cs[0]))
    just_beyond = maxent_path(X, y, Cs=[path.Cs[0] * 1.001], grouped=grouped, tol=1e-6)
    assert just_beyond.n_nonzero[0] > 0


def test_the_grid_minds_what_is_not_penalised_removed_weighted_or_offset():
    X, y = IRIS
    weights = np.random.default_rng(0).uniform(1, 3, 150)
    offset = np.random.default_rng(1).normal(size=(150, 3))
    path = maxent_path(
        X, y, Cs=4, penalty_factor=[0, 1, np.inf, 2], sample_weight=weights, offset=offset
    )
    assert path.coefs[0][:, 0].any()
    assert not path.coefs[0][:, 1:].any()
    assert not path.coefs[:, :, 2].any()
    beyond = maxent_path(
        X,
        y,
        Cs=path.Cs[:1] * 1.001,
        penalty_factor=[0, 1, np.inf, 2],
        sample_weight=weights,
        offset=offset,
        tol=1e-6,
    )
    assert beyond.coefs[0][:, [1, 3]].any()
    nonnegative = maxent_path(X, y, Cs=4, bounds=(0, None))
    assert not nonnegative.coefs[0].any()
    assert (nonnegative.coefs >= 0).all()


def test_the_grid_does_not_depend_on_units_for_scaled_factors():
    X, y = IRIS
    units = np.array([1e-3, 1.0, 10.0, 1e4])
    path = maxent_path(X, y, Cs=5)
    scaled = maxent_path(X * units, y, Cs=5, penalty_factor=units)
    np.testing.assert_allclose(path.Cs[0], scaled.Cs[0], rtol=1e-9)


def test_Cs_keep_their_order_and_are_checked():
    X, y = IRIS
    path = maxent_path(X, y, Cs=[10.0, 0.01, 1.0])
    np.testing.assert_array_equal(path.Cs, [10.0, 0.01, 1.0])
    assert path.n_nonzero.argmin() == 1
    for Cs in (0, [], [[1.0]], [1.0, -1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match="Cs must be"):
            maxent_path(X, y, Cs=Cs)
    with pytest.raises(TypeError, match="Cs must be an integer or an array"):
        maxent_path(X, y, Cs="ten")
    with pytest.raises(TypeError, match="no parameter 'C'"):
        maxent_path(X, y, C=1.0)


def test_names_and_two_classes():
    X, y = IRIS
    frame = pd.DataFrame(X, columns=[*"abcd"])
    path = maxent_path(frame, y == 1, Cs=6)
    assert path.coefs.shape == (6, 1, 4)
    table = path.coef_frame()
    assert list(table.columns) == ["C", "class", "feature", "coef"]
    assert set(table["feature"]) <= {*"abcd", "Intercept"}
    last = table[(table["C"] == path.Cs[-1]) & (table["feature"] == "b")]
    assert last["coef"].item() == path.coefs[-1, 0, 1]


def test_float32_stays_float32():
    X, y = IRIS
    Cs = [0.01, 0.1, 1.0]
    path = maxent_path(X.astype(np.float32), y, Cs=Cs)
    assert path.coefs.dtype == np.float32
    np.testing.assert_allclose(path.coefs, maxent_path(X, y, Cs=Cs).coefs, rtol=1e-3, atol=1e-3)


def test_a_relaxed_fit_has_the_same_support_and_no_penalty():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(300, 6))
    y = (X[:, :3] + rng.gumbel(size=(300, 3))).argmax(axis=1)
    path = maxent_path(X, y, Cs=[0.05, 0.2], relax=True, tol=1e-7)
    assert path.relaxed_coefs is not None
    np.testing.assert_array_equal(path.relaxed_coefs == 0, path.coefs == 0)
    for coef, relaxed in zip(path.coefs, path.relaxed_coefs, strict=True):
        removed = np.where(coef == 0, np.inf, 0.0)
        free = MaxentClassifier(penalty_factor=removed, tol=1e-7).fit(X, y)
        np.testing.assert_allclose(relaxed, free.coef_, atol=1e-4)
    half = path.blended(0.5, 1)[0]
    np.testing.assert_allclose(half, 0.5 * (path.coefs[1] + path.relaxed_coefs[1]))
    with pytest.raises(ValueError, match="needs a relaxed fit"):
        maxent_path(X, y, Cs=2).blended(0.5, 0)
    with pytest.raises(ValueError, match="gamma must be between 0 and 1"):
        path.blended(2.0, 1)


def test_a_path_takes_far_less_than_its_fits():
    """Counted in rows that are passed over."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 30))
    y = (X[:, :4] + rng.gumbel(size=(2000, 4))).argmax(axis=1)
    path = maxent_path(X, y, Cs=50)
    singles = [MaxentClassifier(C=C, l1_ratio=1.0).fit(X, y).n_iter_[0] for C in path.Cs[1::7]]
    assert path.n_iter[1::7].sum() < 0.7 * sum(singles)


def test_an_unfinished_path_says_so():
    with pytest.warns(ConvergenceWarning, match="max_iter=1 was reached at"):
        maxent_path(*WINE, Cs=5, max_iter=1)


def test_lines_are_printed(capsys):
    maxent_path(*IRIS, Cs=3, verbose=1)
    assert capsys.readouterr().out.count("features") == 3


def test_rows_without_weight_are_absent_however_far_they_are():
    X, y = WINE[0][:, :5], (WINE[1] + (np.arange(178) % 3 == 0)) % 3
    far, labels = np.vstack([X, np.full((1, 5), 1e9)]), np.append(y, 0)
    options = {"Cs": [0.1, 1.0], "relax": True, "tol": 1e-10}
    ours = maxent_path(far, labels, sample_weight=np.append(np.ones(178), 0.0), **options)
    theirs = maxent_path(X, y, **options)
    np.testing.assert_allclose(ours.relaxed_coefs, theirs.relaxed_coefs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "parameter",
    [{"bias_reduction": "mean"}, {"prior_correction": "empirical"}, {"partial_labels": True}],
)
def test_what_a_path_has_not_is_refused(parameter):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=f"a path has no {next(iter(parameter))}"):
        maxent_path(X, y, Cs=3, **parameter)


def test_columns_far_from_zero_are_told_if_coefficients_are_large():
    """float32 keeps steps of 0.001 at 10,000; coefficients of 100 make these steps of logits."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=200) * 0.3
    X = np.column_stack([1e4 + z, rng.normal(size=200)]).astype(np.float32)
    y = z + rng.normal(size=200) * 0.02 > 0.0
    with (
        pytest.warns(UserWarning, match=r"\['x0'\] of X are so far from zero"),
        pytest.warns(ConvergenceWarning, match="Rounding of the coefficients"),
    ):
        path = maxent_path(X, y, Cs=[1.0, 1e5], l1_ratio=0.0)
    assert path.optimality_gaps[1] == 1.0
    maxent_path(X, y, Cs=[0.1, 1.0], l1_ratio=0.0)
