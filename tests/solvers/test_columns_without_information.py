"""Empty and constant columns cost nothing; the penalty alone decides on their coefficients."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    maxent_path,
)
from skmaxent._input._read import read
from skmaxent._input._settings import Settings
from skmaxent._model._training_problem import TrainingProblem

# Fits without penalty name such columns, which have coefficients of zero all the same.
pytestmark = pytest.mark.filterwarnings("ignore:The features .* are linear combinations")

STORED = {"dense": np.asarray, "csr": sp.csr_array, "float32": np.float32}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.poisson(0.7, size=(100, 3)) * rng.normal(size=(100, 3))
    y = (X + rng.gumbel(size=(100, 3))).argmax(axis=1)
    return X, y


# The columns with information are 1, 3 and 5.
INFORMATIVE = [1, 3, 5]


def with_others(X, values=(0.0, 0.1, -3.0, 1e6)):
    n = len(X)
    others = [np.full(n, value) for value in values]
    return np.column_stack([others[0], X[:, 0], others[1], X[:, 1], others[2], X[:, 2], others[3]])


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"C": np.inf},
        {"l1_ratio": 1.0},
        {"l1_ratio": 0.5, "grouped": True},
        {"solver": "newton-cg"},
        {"solver": "newton-cholesky"},
        {"C": np.inf, "bias_reduction": "mean"},
        {"bounds": (-0.3, 0.3)},
    ],
    ids=str,
)
def test_their_coefficients_are_zero(rows, stored, parameters):
    X, y = rows
    atol = 1e-4 if stored == "float32" else 1e-7
    expected = MaxentClassifier(tol=1e-8, **parameters).fit(STORED[stored](X), y)
    clf = MaxentClassifier(tol=1e-8, **parameters).fit(STORED[stored](with_others(X)), y)
    others = np.delete(clf.coef_, INFORMATIVE, axis=1)
    np.testing.assert_array_equal(others, np.zeros_like(others))
    np.testing.assert_allclose(clf.coef_[:, INFORMATIVE], expected.coef_, atol=atol)
    np.testing.assert_allclose(clf.intercept_, expected.intercept_, atol=atol)
    if not parameters.get("bias_reduction"):
        assert clf.optimality_gap_ < 1e-5


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_columns", [1, 2])
def test_bias_reduction_of_constant_columns_is_that_of_the_intercepts(n_classes, n_columns):
    """Jeffreys' prior of a multinomial adds half an observation to each class."""
    counts = np.array([12, 5, 3])[:n_classes]
    y = np.repeat(np.arange(n_classes), counts)
    X = np.full((len(y), n_columns), 3.0)
    clf = MaxentClassifier(C=np.inf, bias_reduction="jeffreys", tol=1e-8).fit(X, y)
    assert not clf.coef_.any()
    expected = (counts + 0.5) / (counts.sum() + 0.5 * n_classes)
    np.testing.assert_allclose(clf.predict_proba(X[:1])[0], expected, rtol=1e-7)


def test_sums_of_rounding_do_not_make_a_constant_column_vary():
    rng = np.random.default_rng(1)
    n = 1001
    X = np.column_stack([np.full(n, 0.1), rng.normal(size=n), np.full(n, 1e300)])
    y = (X[:, 1] + rng.logistic(size=n) > 0).astype(int)
    weights = rng.uniform(0.1, 2.0, n)
    expected = LogisticRegression(C=np.inf, tol=1e-10).fit(X[:, 1:2], y, weights)
    for stored in (X, sp.csr_array(X)):
        clf = MaxentClassifier(C=np.inf, tol=1e-8).fit(stored, y, weights)
        assert clf.coef_[0, 0] == 0.0 == clf.coef_[0, 2]
        assert clf.coef_[0, 1] == pytest.approx(expected.coef_[0, 0], rel=1e-5)
        assert clf.optimality_gap_ < 1e-8


def test_rows_without_weight_do_not_make_a_column_vary(rows):
    X, y = rows
    X = np.column_stack([X, np.ones(100)])
    X[90:, 3] = 7.0
    weights = (np.arange(100) < 90) * 1.0
    for stored in (X, sp.csr_array(X)):
        assert (MaxentClassifier().fit(stored, y, weights).coef_[:, 3] == 0.0).all()


@pytest.mark.parametrize("stored", [*STORED, "csr of float32"])
@pytest.mark.parametrize("columns", [[1], [0, 1, 2]])
def test_rows_without_weight_may_have_numbers_whose_squares_overflow(rows, stored, columns):
    X, y = rows
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    weights[7] = 0.0
    options = {"C": 1.0, "tol": 1e-8}
    kept = np.arange(len(X)) != 7
    expected = LogisticRegression(**options, max_iter=1000)
    expected.fit(X[kept], y[kept], sample_weight=weights[kept])
    far = X.copy()
    far[7, columns] = 1e30 if "float32" in stored else 1e200
    far = sp.csr_array(far.astype(np.float32)) if " of " in stored else STORED[stored](far)
    clf = MaxentClassifier(**options).fit(far, y, weights)
    atol = 1e-5 if "float32" in stored else 1e-6
    np.testing.assert_allclose(clf.coef_, expected.coef_, atol=atol)
    # The other rows have zeros in all columns.
    only = np.zeros((4, 1), far.dtype)
    only[0] = far[[7]].max()
    clf = MaxentClassifier().fit(only, [0, 0, 1, 1], [0.0, 1.0, 1.0, 1.0])
    assert clf.coef_[0, 0] == 0.0
    np.testing.assert_allclose(clf.intercept_, np.log(2.0), rtol=1e-4)


@pytest.mark.parametrize("stored", ["dense", "csr"])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_their_coefficients_are_where_the_penalty_is_least(rows, stored, l1_ratio):
    X, y = rows
    X = STORED[stored](with_others(X))
    prior = np.linspace(-2.0, 2.0, 21).reshape(3, 7)
    clf = MaxentClassifier(l1_ratio=l1_ratio, prior_coef=prior, tol=1e-8).fit(X, y)
    # argmin l1 |w| + (1 - l1)/2 (w - m)²
    pull = (1.0 - l1_ratio) * prior
    least = np.sign(pull) * np.maximum(np.abs(pull) - l1_ratio, 0.0) / (1.0 - l1_ratio)
    others = np.delete(np.arange(7), INFORMATIVE)
    np.testing.assert_allclose(clf.coef_[:, others], least[:, others], atol=1e-12)
    # Without those columns the other coefficients and all logits are the same.
    some = MaxentClassifier(l1_ratio=l1_ratio, prior_coef=prior[:, INFORMATIVE], tol=1e-8)
    some.fit(X[:, INFORMATIVE], y)
    np.testing.assert_allclose(clf.coef_[:, INFORMATIVE], some.coef_, atol=1e-6)
    np.testing.assert_allclose(
        clf.predict_proba(X), some.predict_proba(X[:, INFORMATIVE]), atol=1e-6
    )


@pytest.mark.parametrize("stored", ["dense", "csr"])
@pytest.mark.parametrize("max_iter", [1, 100])
@pytest.mark.filterwarnings("ignore:max_iter")
def test_weak_penalties_decide_on_them_too(rows, stored, max_iter):
    X, y = rows
    X = STORED[stored](with_others(X))
    factors = np.logspace(-6, 0, 21).reshape(3, 7)
    prior = np.linspace(-2.0, 2.0, 21).reshape(3, 7)
    clf = MaxentClassifier(
        l1_ratio=0.1, prior_coef=prior, penalty_factor=factors, max_iter=max_iter
    )
    clf.fit(X, y)
    # argmin 0.1 |w| + 0.9/2 (w - m)², whatever the factor of both
    least = np.sign(prior) * np.maximum(np.abs(prior) - 0.1 / 0.9, 0.0)
    others = np.delete(np.arange(7), INFORMATIVE)
    np.testing.assert_allclose(clf.coef_[:, others], least[:, others], atol=1e-9)


@pytest.mark.parametrize("stored", ["dense", "csr"])
def test_their_coefficients_are_within_their_bounds(rows, stored):
    X, y = rows
    X = STORED[stored](with_others(X))
    lower = np.array([0.5, -1.0, 0.5, -1.0, -2.0, -1.0, -1.0])
    upper = np.array([2.0, 1.0, 2.0, 1.0, -0.25, 1.0, 1.0])
    clf = MaxentClassifier(bounds=(lower, upper), tol=1e-8).fit(X, y)
    np.testing.assert_array_equal(clf.coef_[:, [0, 2, 4, 6]], [[0.5, 0.5, -0.25, 0.0]] * 3)
    some = MaxentClassifier(bounds=(-1.0, 1.0), tol=1e-8).fit(X[:, INFORMATIVE], y)
    np.testing.assert_allclose(
        clf.predict_proba(X), some.predict_proba(X[:, INFORMATIVE]), atol=1e-6
    )


def test_without_an_intercept_constant_columns_stand_for_it(rows):
    X, y = rows
    whole = with_others(X, values=(0.0, 1.0, 0.0, 0.0))
    expected = LogisticRegression(fit_intercept=False, tol=1e-10).fit(whole, y)
    for stored in (whole, sp.csr_array(whole)):
        clf = MaxentClassifier(fit_intercept=False, tol=1e-8).fit(stored, y)
        np.testing.assert_allclose(clf.coef_, expected.coef_, atol=1e-5)
        assert (clf.coef_[:, 2] != 0.0).all()


def test_in_paths_cross_validation_labels_warm_starts_and_inference(rows):
    X, y = rows
    whole = sp.csr_array(with_others(X, values=(0.0, 0.1, 2.0, 0.0)))
    path, expected = (maxent_path(stored, y, Cs=5, tol=1e-8) for stored in (whole, X))
    np.testing.assert_allclose(path.Cs, expected.Cs)
    np.testing.assert_allclose(path.coefs[..., INFORMATIVE], expected.coefs, atol=1e-6)
    models = [MaxentClassifierCV(cv=3, Cs=4).fit(stored, y) for stored in (whole, X)]
    np.testing.assert_allclose(models[0].C_, models[1].C_)
    Y = np.eye(3, dtype=int)[y]
    models = [MultilabelMaxentClassifier(tol=1e-8).fit(stored, Y) for stored in (whole, X)]
    np.testing.assert_allclose(models[0].coef_[:, INFORMATIVE], models[1].coef_, atol=1e-6)
    clf = MaxentClassifier(warm_start=True, tol=1e-8).fit(whole, y)
    clf.set_params(C=10.0).fit(whole, y)
    np.testing.assert_allclose(
        clf.coef_, MaxentClassifier(C=10.0, tol=1e-8).fit(whole, y).coef_, atol=1e-6
    )
    results = MaxentClassifier(C=np.inf).fit(whole, y).infer(whole, y)
    assert results.aliased == ("x0", "x2", "x4", "x6")


def test_hashed_columns_that_are_mostly_empty_make_no_problem_larger():
    """The solver sees the columns that have entries alone."""
    rng = np.random.default_rng(0)
    words = np.sort(rng.choice(2**18, 50, replace=False))
    some = sp.csr_array(rng.poisson(0.2, size=(60, 50)) * 1.0)
    whole = sp.csr_array((some.data, words[some.indices], some.indptr), shape=(60, 2**18))
    y = rng.integers(0, 3, 60)
    clf = MaxentClassifier(tol=1e-8)
    settings = Settings.of(clf)
    with TrainingProblem.of(read(settings, clf, whole, y), settings) as ready:
        n_filled = np.count_nonzero(np.diff(sp.csc_array(some).indptr))
        assert ready.problem.objective.shape == (3, n_filled + 1)
        assert ready.shape == (3, 2**18)
    clf.fit(whole, y)
    expected = MaxentClassifier(tol=1e-8).fit(some, y)
    np.testing.assert_allclose(clf.coef_[:, words], expected.coef_, atol=1e-7)
    assert np.count_nonzero(clf.coef_) == np.count_nonzero(clf.coef_[:, words])


@pytest.mark.parametrize(
    "fit",
    [
        lambda X, y: MaxentClassifier().fit(X, y),
        lambda X, y: MaxentClassifierCV(cv=2).fit(X, y),
        lambda X, y: maxent_path(X, y),
        lambda X, y: MultilabelMaxentClassifier().fit(X, np.eye(3, dtype=int)[y]),
    ],
    ids=["fit", "cross-validation", "path", "labels"],
)
def test_more_columns_than_memory_are_refused_with_the_number_of_bytes(fit):
    d = 2**45
    indices = np.array([0, 5, d - 1, 3, 2, 1], np.int64)
    X = sp.csr_array((np.ones(6), indices, np.arange(7, dtype=np.int64)), shape=(6, d))
    # The coefficients of three classes, the means and the scales are float64.
    with pytest.raises(MemoryError, match=f"{8 * (3 + 2) * d:,} bytes"):
        fit(X, np.array([0, 1, 2, 0, 1, 2]))


@pytest.mark.filterwarnings("ignore:The columns")
@pytest.mark.parametrize("value", [0.0, 0.1, 1e300, 1e-200])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"C": np.inf},
        {"l1_ratio": 1.0},
        {"l1_ratio": 0.5, "grouped": True},
        {"bounds": (0.5, 1.0)},
        {"prior_coef": np.full((3, 2), 3.0)},
    ],
    ids=lambda parameters: "-".join(parameters) or "ridge",
)
def test_nothing_but_constant_columns(value, parameters, capfd):
    X, y = np.full((10, 2), value), np.array([0, 1, 2, 0, 1, 1, 1, 2, 0, 1])
    expected = 0.5 if "bounds" in parameters else 3.0 if "prior_coef" in parameters else 0.0
    for stored in (X, sp.csr_array(X)):
        clf = MaxentClassifier(**parameters).fit(stored, y)
        np.testing.assert_allclose(clf.coef_, np.full((3, 2), expected), atol=1e-12)
        if expected * value < 1e15:
            np.testing.assert_allclose(clf.predict_proba(stored)[0], [0.3, 0.5, 0.2], atol=1e-6)
            assert clf.optimality_gap_ < 1e-9
        else:  # no intercept makes up for it, which is said
            assert clf.optimality_gap_ == 1.0
    out, errors = capfd.readouterr()
    assert not out + errors  # LAPACK complains there
    empty = sp.csr_array((10, 1000))
    clf = MaxentClassifier(C=np.inf).fit(empty, y)
    np.testing.assert_allclose(clf.predict_proba(empty)[0], [0.3, 0.5, 0.2], atol=1e-6)


def test_bounds_of_columns_out_of_range_are_kept_exactly():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(80, 3))
    y = (Z + rng.gumbel(size=(80, 3))).argmax(axis=1)
    scale = np.array([1e200, 1e-200, 1.0])
    expected = MaxentClassifier(C=np.inf, bounds=(-0.1, 0.2), tol=1e-8).fit(Z, y)
    bounds = (-0.1 / scale, 0.2 / scale)
    for stored in (Z * scale, sp.csr_array(Z * scale)):
        clf = MaxentClassifier(C=np.inf, bounds=bounds, tol=1e-8).fit(stored, y)
        np.testing.assert_allclose(clf.coef_ * scale, expected.coef_, atol=1e-6)
        assert (clf.coef_ >= bounds[0]).all() and (clf.coef_ <= bounds[1]).all()


def test_columns_that_are_too_small_for_their_penalty_have_no_coefficient():
    """The objective is least at zero there, and is that of the other columns."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(80, 3))
    y = (Z + rng.gumbel(size=(80, 3))).argmax(axis=1)
    expected = MaxentClassifier(tol=1e-8).fit(Z[:, 1:], y)
    X = Z * np.array([1e-150, 1.0, 1.0])
    for stored in (X, sp.csr_array(X)):
        clf = MaxentClassifier(tol=1e-8).fit(stored, y)
        np.testing.assert_array_equal(clf.coef_[:, 0], 0.0)
        np.testing.assert_allclose(clf.coef_[:, 1:], expected.coef_, atol=1e-6)
        free = MaxentClassifier(C=np.inf, tol=1e-8).fit(stored, y)
        plain = MaxentClassifier(C=np.inf, tol=1e-8).fit(Z, y)
        np.testing.assert_allclose(free.coef_ * [1e-150, 1.0, 1.0], plain.coef_, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The columns")
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"l1_ratio": 1.0},
        {"l1_ratio": 0.5, "grouped": True},
        {"bounds": (-0.3, 0.3)},
        {"prior_coef": np.linspace(-2.0, 2.0, 21).reshape(3, 7)},
        {"solver": "newton-cg"},
    ],
    ids=lambda parameters: "-".join(parameters) or "ridge",
)
def test_where_there_is_no_room_to_leave_them_out(rows, stored, parameters, monkeypatch):
    X, y = rows
    X = STORED[stored](with_others(X, values=(0.0, 0.1, -3.0, 50.0)))
    expected = MaxentClassifier(tol=1e-8, **parameters).fit(X, y)
    monkeypatch.setattr(
        "skmaxent._storage._row_blocks.RowBlocks.pays_to_drop", lambda self, n_columns: False
    )
    clf = MaxentClassifier(tol=1e-8, **parameters).fit(X, y)
    atol = 1e-3 if stored == "float32" else 1e-7
    np.testing.assert_allclose(clf.coef_, expected.coef_, atol=atol)
    others = np.delete(clf.coef_ - expected.coef_, INFORMATIVE, axis=1)
    if "prior_coef" not in parameters:  # which the solver comes near
        np.testing.assert_array_equal(others, np.zeros_like(others))
    assert clf.optimality_gap_ < (0.2 if stored == "float32" else 1e-6)
