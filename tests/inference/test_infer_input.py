"""What `infer` is given: labels, columns and parameters of the fit, or an error."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from skmaxent import MaxentClassifier

X, Y = load_wine(return_X_y=True, as_frame=True)
X, Y = X[["alcohol", "malic_acid", "hue"]], Y.to_numpy()
NAMES = np.array(["barbera", "barolo", "grignolino"])[Y]
METHODS = {
    "analytic": {},
    "robust": {"cov_type": "HC0"},
    "features": {"features": ["hue"]},
    "bootstrap": {"method": "bootstrap", "n_bootstrap": 2},
    "split": {"method": "split"},
}


@pytest.fixture(scope="module")
def model():
    return MaxentClassifier(C=np.inf).fit(X, NAMES)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("labels", "unknown"),
    [
        (np.where(NAMES == "barolo", "barossa", NAMES), "['barossa']"),
        (np.where(NAMES == "barolo", "zweigelt", NAMES), "['zweigelt']"),
        (np.where(NAMES == "barolo", "a", NAMES).astype(object), "['a']"),
        (Y, "[0, 1, 2]"),
        (Y + 0.5, "[0.5, 1.5, 2.5]"),
    ],
)
def test_labels_that_the_fit_has_not_seen_are_named(model, labels, unknown, method):
    with pytest.raises(ValueError, match="which the fit has not seen") as error:
        model.infer(X, labels, **METHODS[method])
    found = str(error.value)
    assert all(label in found.split("expected")[0] for label in unknown.strip("[]").split(", "))
    assert "expected labels among ['barbera', 'barolo', 'grignolino']" in found


@pytest.mark.parametrize("missing", [np.nan, None])
def test_missing_labels_are_said_to_be_missing(model, missing):
    labels = NAMES.astype(object)
    labels[3] = missing
    with pytest.raises(ValueError, match="contains NaN or other missing labels"):
        model.infer(X, labels)


@pytest.mark.parametrize("method", ["analytic", "features"])
def test_classes_without_rows_are_named(model, method):
    some = NAMES != "barolo"
    with pytest.raises(ValueError, match=r"none of the classes \['barolo'\]"):
        model.infer(X[some], NAMES[some], **METHODS[method])
    with pytest.raises(ValueError, match=r"none of the classes \['barolo'\]"):
        model.infer(X, NAMES, some.astype(float), **METHODS[method])


def test_columns_of_a_table_are_found_by_name():
    counts = pd.get_dummies(NAMES).astype(int) + np.random.default_rng(0).integers(0, 3, (178, 3))
    model = MaxentClassifier(C=np.inf).fit(X, counts)
    expected = model.infer(X, counts).summary()
    pd.testing.assert_frame_equal(model.infer(X, counts.iloc[:, ::-1]).summary(), expected)
    for table in (counts.iloc[:, :2], counts.rename(columns={"barolo": "merlot"})):
        with pytest.raises(ValueError, match=r"expected a column for each of \['barbera', "):
            model.infer(X, table)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rows", [X.iloc[:, ::-1], X.iloc[:, :2], X.rename(columns={"hue": "h"})])
def test_columns_are_refused_in_the_words_of_predict(model, rows, method):
    with pytest.raises(ValueError, match="feature names should match") as expected:
        model.predict(rows)
    with pytest.raises(ValueError, match="feature names should match") as found:
        model.infer(rows, NAMES, **METHODS[method])
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("method", METHODS)
def test_parameters_of_another_fit_are_refused(method):
    model = MaxentClassifier(C=np.inf).fit(X, Y)
    expected = model.infer(X, Y, **METHODS["analytic"]).covariance
    for name, value in (
        ("C", 2.0),
        ("fit_intercept", False),
        ("penalty_factor", [1.0, 2.0, 3.0]),
        ("class_weight", "balanced"),
        ("bounds", (0.0, None)),
    ):
        before = getattr(model, name)
        model.set_params(**{name: value})
        with pytest.raises(
            ValueError, match=rf"{name} is .* but was .* when this .* infer needs the parameters"
        ):
            model.infer(X, Y, **METHODS[method])
        model.set_params(**{name: before})
    model.set_params(tol=1e-2, max_iter=3, verbose=0, warm_start=True)
    np.testing.assert_array_equal(model.infer(X, Y).covariance, expected)


def test_equal_parameters_are_the_same():
    table = pd.DataFrame(np.ones((3, 3)), index=X.columns, columns=[0, 1, 2])
    params = {"penalty_factor": np.ones(3), "prior_coef": table, "class_weight": {0: 1.0}}
    model = MaxentClassifier(**params).fit(X, Y)
    model.set_params(penalty_factor=np.ones(3), prior_coef=table.copy(), class_weight={0: 1}, C=1)
    with pytest.warns(UserWarning, match="class_weight"):
        model.infer(X, Y)
    loaded = pickle.loads(pickle.dumps(model))
    with pytest.warns(UserWarning, match="class_weight"):
        loaded.infer(X, Y)
    loaded.set_params(prior_coef=2.0 * table)
    with pytest.raises(ValueError, match=r"(?s)prior_coef is .* but was"):
        loaded.infer(X, Y)


def test_a_prior_that_was_fitted_again_is_another():
    prior = MaxentClassifier().fit(X[::2], Y[::2])
    model = MaxentClassifier(prior_coef=prior).fit(X, Y)
    expected = model.infer(X, Y).covariance
    for same in (model, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_allclose(same.infer(X, Y).covariance, expected, rtol=1e-9)
    prior.fit(X[1::2], Y[1::2])
    with pytest.raises(ValueError, match=r"(?s)prior_coef is .* but was"):
        model.infer(X, Y)


def test_single_precision():
    narrow, y = X.astype(np.float32), Y
    model = MaxentClassifier(C=np.inf).fit(narrow, y)
    assert model.coef_.dtype == np.float32
    errors = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y).std_errors
    np.testing.assert_allclose(model.infer(narrow, y).std_errors, errors, rtol=1e-4)
    np.testing.assert_allclose(model.infer(X, y).std_errors, errors, rtol=1e-4)
