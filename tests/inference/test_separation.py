"""detect_separation: its verdicts, and a direction that proves them."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, detect_separation

X, y = load_iris(return_X_y=True, as_frame=True)


def proves(found, features, labels, fit_intercept=True):
    """No row's own class falls behind another along the direction; separated rows gain."""
    D = found.direction.to_numpy()
    Z = np.asarray(features) @ D[: features.shape[1]] + (D[-1] if fit_intercept else 0.0)
    own = Z[np.arange(len(Z)), np.searchsorted(found.direction.columns, labels)]
    gain = own[:, None] - Z
    assert gain.min() > -1e-6 * np.abs(Z).max()
    np.testing.assert_array_equal(found.separated, gain.max(axis=1) > 1e-6 * np.abs(gain).max())
    return gain


def test_overlapping_separated_and_partly_separated_classes():
    assert detect_separation(X.iloc[:, :1], y).kind == "none"
    complete = detect_separation(X, y == 0)
    assert complete.kind == "complete"
    assert complete.separated.all()
    partly = detect_separation(X, y)
    assert partly.kind == "quasi-complete"
    proves(partly, X, y)
    assert "Separation is quasi-complete" in str(partly)
    assert "overlap" in str(detect_separation(X.iloc[:, :1], y))


def test_a_rare_category_is_the_culprit():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"u": rng.normal(size=200), "rare": 0.0})
    labels = rng.integers(0, 3, 200)
    frame.loc[np.flatnonzero(labels == 2)[:3], "rare"] = 1.0
    found = detect_separation(frame, labels)
    assert found.kind == "quasi-complete"
    assert found.features == ["rare"]
    assert found.classes == [2]
    assert found.separated.sum() == 3
    # Without the rows that weigh nothing there is none.
    weights = 1.0 - frame["rare"]
    assert detect_separation(frame, labels, sample_weight=weights).kind == "none"
    assert detect_separation(sp.csr_array(frame.to_numpy()), labels).features == ["x1"]


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.booleans())
def test_directions_prove_separation(seed, K, fit_intercept):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(15, 3)) * 10.0 ** rng.integers(-3, 4, size=3)
    labels = np.concatenate([np.arange(K), rng.integers(0, K, 15 - K)])
    found = detect_separation(Z, labels, fit_intercept=fit_intercept)
    if found.kind == "none":
        assert not found.direction.to_numpy().any()
    else:
        gain = proves(found, Z, labels, fit_intercept)
        if found.kind == "complete":
            others = gain + np.where(gain == 0.0, np.inf, 0.0)
            assert others.min() > 0.0


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="contains NaN"):
        detect_separation(X.where(X > 1), y)
    for flag in (-3, "no", None):
        with pytest.raises(ValueError, match="fit_intercept must be True or False, found"):
            detect_separation(X, y, fit_intercept=flag)
    with pytest.raises(ValueError, match="at least 2 classes"):
        detect_separation(X, np.zeros(150))
    with pytest.raises(ValueError, match="minimum of 1 is required by detect_separation"):
        detect_separation(np.empty((0, 2)), [])


def test_tables_of_separated_fits_have_the_notes():
    X = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0, 1.5, 1.2]})
    for y, is_separated in (([0, 1, 0, 1, 0, 1], False), ([0, 0, 1, 1, 1, 0], True)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
            tables = [
                results.summary(),
                results.conf_int(),
                results.cov_params(),
                results.wald_test(),
                results.hypotheses("x = 0"),
                results.marginal_effects(X),
                results.average_slopes(),
                results.predictions(),
                results.predict_proba_interval(X),
                results.relative_to("symmetric").summary(exponentiate=True),
                pickle.loads(pickle.dumps(results)).summary(),
            ]
        assert bool(results.notes) == is_separated
        expected = {"notes": results.notes} if is_separated else {}
        assert [table.attrs for table in tables] == [expected] * len(tables)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_what_the_error_of_separated_nearly_equal_columns_advises_works(n_classes):
    rng = np.random.default_rng(0)
    Z, y = rng.normal(size=(60, 2)), rng.integers(n_classes, size=60)
    # Only the first three rows tell the columns apart, and all of these are of the last class.
    y[:3] = n_classes - 1
    X = np.column_stack([Z, Z[:, 0] + 1e-9 * (np.arange(60) < 3)])
    with pytest.warns(ConvergenceWarning, match="separated"):
        model = MaxentClassifier(C=np.inf).fit(X, y)
    with pytest.raises(ValueError, match="Use a finite C or bias_reduction='jeffreys', or remove"):
        model.infer(X, y)
    assert detect_separation(X, y).features == ["x0", "x2"]
    for other in (MaxentClassifier(C=1.0), MaxentClassifier(C=np.inf, bias_reduction="jeffreys")):
        errors = other.fit(X, y).infer(X, y).std_errors
        assert np.isfinite(errors).all()
    kept = MaxentClassifier(C=np.inf).fit(X[:, :2], y).infer(X[:, :2], y)
    assert np.isfinite(kept.std_errors).all()
