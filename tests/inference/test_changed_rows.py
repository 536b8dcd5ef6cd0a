"""Arrays that the caller changes after fit or infer."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier, conformal_sets, infer

RNG = np.random.default_rng(7)
X = RNG.normal(size=(90, 3))
Y = (X @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(90, 3))).argmax(axis=1)
MAKERS = {
    "C": np.array,
    "Fortran": np.asfortranarray,
    "float32": lambda X: X.astype(np.float32),
    "frame": lambda X: pd.DataFrame(X.copy(), columns=["x0", "x1", "x2"]),
    "CSR": sp.csr_array,
}


def change(rows):
    if isinstance(rows, pd.DataFrame):
        rows.iloc[:, :] = rows.to_numpy()[::-1] * 2.0
    elif sp.issparse(rows):
        rows.data *= np.linspace(-1.0, 2.0, rows.nnz)
    else:
        rows[:] = rows[::-1] * 2.0


@pytest.mark.parametrize("kind", MAKERS)
def test_rows_changed_after_infer(kind):
    rows = MAKERS[kind](X.copy())
    results = MaxentClassifier(C=np.inf).fit(rows, Y).infer(rows, Y)
    smaller = MaxentClassifier(C=np.inf).fit(X[:, :2], Y).infer(X[:, :2], Y)
    tests = [
        results.likelihood_ratio_test,
        lambda: results.profile_conf_int(features="x0"),
        lambda: results.score_test(X[:, :1] ** 2),
        lambda: results.likelihood_ratio_test(smaller),
        results.wald_test,
    ]
    before = [test().to_numpy() for test in tests]
    table = str(results)
    change(rows)
    assert str(results) == table
    for test, expected in zip(tests, before, strict=True):
        try:
            found = test().to_numpy()
        except ValueError as error:
            assert "have been changed since" in str(error)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("penalty_factor", np.ones(3)),
        ("prior_coef", np.zeros((3, 3))),
        ("class_weight", {0: 1.0}),
        ("penalty_factor", [1.0, 1.0, 1.0]),
    ],
)
def test_parameters_changed_in_place_after_fit(name, value):
    clf = MaxentClassifier(**{name: value}).fit(X, Y)
    clf.infer(X, Y, **({"method": "bootstrap", "n_bootstrap": 2} if name == "class_weight" else {}))
    if isinstance(value, np.ndarray):
        value += np.arange(3.0)
    else:
        value[0] = 50.0
    with pytest.raises(ValueError, match=rf"(?s)^{name} is .* but was"):
        clf.infer(X, Y)


def test_a_prior_model_whose_coefficients_change():
    prior = MaxentClassifier().fit(X, Y)
    clf = MaxentClassifier(prior_coef=prior).fit(X, Y)
    prior.coef_ *= 2.0
    with pytest.raises(ValueError, match=r"(?s)^prior_coef is .* but was"):
        clf.infer(X, Y)


@pytest.mark.parametrize("restored", [False, True])
def test_effects_are_those_of_the_rows_when_infer_was_called(restored):
    rng = np.random.default_rng(5)
    X = pd.DataFrame(rng.normal(size=(80, 2)), columns=["a", "b"])
    y = (X["a"] + rng.logistic(size=80) > 0).to_numpy().astype(int)
    offset = rng.normal(size=80)
    clf = MaxentClassifier(C=np.inf).fit(X, y, offset=offset)
    results = clf.infer(X, y, offset=offset)
    if restored:
        results = pickle.loads(pickle.dumps(results)).with_data(X, y, None, offset)
    expected = clf.predict_proba(X, offset=offset)
    X.iloc[:, 0] = 5.0 * X.iloc[:, 0]
    offset *= 3.0
    found = results.predictions().set_index(["row", "class"])["estimate"].unstack()
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-12)


def test_results_of_a_pipeline_that_is_fitted_again():
    other = X * [3.0, 0.5, 2.0] + 1.0
    pipe = make_pipeline(StandardScaler(), MaxentClassifier(C=np.inf)).fit(X, Y)
    results, sets = infer(pipe, X, Y), conformal_sets(pipe, X, Y)
    rows = pd.DataFrame(X[:5], columns=["x0", "x1", "x2"])
    expected, expected_sets = pipe.predict_proba(X[:5]), sets.predict(X[:5])
    pipe.fit(other, Y)
    for newdata in (rows, None):
        found = results.predictions(newdata).set_index(["row", "class"])["estimate"].unstack()
        np.testing.assert_allclose(found.to_numpy()[:5], expected, rtol=1e-12)
    intervals = results.predict_proba_interval(X[:5])
    middle = [intervals[label, "probability"] for label in range(3)]
    np.testing.assert_allclose(np.column_stack(middle), expected, rtol=1e-12)
    pd.testing.assert_frame_equal(sets.predict(X[:5]), expected_sets)
