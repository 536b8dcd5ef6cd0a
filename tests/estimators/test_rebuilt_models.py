"""Models whose coefficients and classes the user has set, without a fit."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from skmaxent import MaxentClassifier, leave_one_out

X, y = load_iris(return_X_y=True)


def rebuilt(fitted):
    """Return a new estimator of the same class with the three arrays of a fitted one."""
    new = type(fitted)()
    new.coef_, new.intercept_, new.classes_ = fitted.coef_, fitted.intercept_, fitted.classes_
    return new


@pytest.mark.parametrize("labels", [y, y == 1, np.array([*"abc"])[y]])
def test_a_rebuilt_model_predicts(labels):
    fitted = MaxentClassifier().fit(X, labels)
    new = rebuilt(fitted)
    np.testing.assert_array_equal(new.predict(X), fitted.predict(X))
    np.testing.assert_array_equal(new.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(new.predict(X.tolist()), fitted.predict(X))
    assert new.score(X, labels) == fitted.score(X, labels)
    pd.testing.assert_frame_equal(new.coef_frame(), fitted.coef_frame())
    np.testing.assert_array_equal(new.sparsify().predict(X), fitted.predict(X))


def test_a_rebuilt_model_still_checks_the_columns():
    new = rebuilt(MaxentClassifier().fit(X, y))
    with pytest.raises(ValueError, match="X has 2 features, but MaxentClassifier is expecting 4"):
        new.predict(X[:, :2])
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        new.predict(pd.DataFrame(X, columns=[*"abcd"]))


def test_inference_for_a_rebuilt_model():
    fitted = MaxentClassifier().fit(X, y)
    new = rebuilt(fitted)
    results = new.infer(X, y)
    pd.testing.assert_frame_equal(results.summary(), fitted.infer(X, y).summary())
    assert np.isnan(results.optimality_gap)
    expected = leave_one_out(fitted, X, y).log_score
    assert leave_one_out(new, X, y).log_score == pytest.approx(expected, rel=1e-12)
    new.coef_ = 2.0 * new.coef_
    with pytest.warns(UserWarning, match="standard errors from the optimum"):
        new.infer(X, y)
