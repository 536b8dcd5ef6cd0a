"""Series and frames as arguments: entries are matched by their names, not by their positions."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skmaxent import MaxentClassifier, MultilabelMaxentClassifier

RNG = np.random.default_rng(21)
NAMES = list("abcd")
X = pd.DataFrame(RNG.normal(size=(120, 4)), columns=NAMES)
LOGITS = X.to_numpy() @ RNG.normal(size=(4, 3))
Y = np.array(["x", "y", "z"])[(LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)]
EACH = pd.Series([0.1, 1.0, 10.0, 100.0], index=NAMES)
BY_CLASS = pd.DataFrame(RNG.uniform(0.1, 9.0, (3, 4)), index=["x", "y", "z"], columns=NAMES)


def coef(X=X, y=Y, **parameters):
    return MaxentClassifier(tol=1e-8, **parameters).fit(X, y).coef_


@pytest.mark.parametrize("factors", [EACH, EACH[::-1], EACH[["c", "a", "d", "b"]]])
def test_factors_in_a_series(factors):
    np.testing.assert_allclose(
        coef(penalty_factor=factors), coef(penalty_factor=EACH.to_numpy()), rtol=1e-6
    )


@pytest.mark.parametrize(
    "factors",
    [
        BY_CLASS,
        BY_CLASS.iloc[::-1, ::-1],
        BY_CLASS[["c", "a", "d", "b"]].reset_index(drop=True),
        BY_CLASS.T,
        BY_CLASS.iloc[[1, 0, 2]].T[::-1],
        pl.DataFrame(BY_CLASS.iloc[:, ::-1]),
    ],
)
def test_factors_in_a_frame(factors):
    np.testing.assert_allclose(
        coef(penalty_factor=factors), coef(penalty_factor=BY_CLASS.to_numpy()), rtol=1e-6
    )


def test_a_square_frame_with_features_in_rows():
    of_three = BY_CLASS[NAMES[:3]]
    for factors in (of_three, of_three.T):
        np.testing.assert_allclose(
            coef(X[NAMES[:3]], penalty_factor=factors),
            coef(X[NAMES[:3]], penalty_factor=of_three.to_numpy()),
            rtol=1e-6,
        )


def test_bounds_in_series():
    upper = pd.Series([0.0, 0.1, 0.2, 0.3], index=NAMES)
    expected = coef(bounds=(-upper.to_numpy(), upper.to_numpy()))
    np.testing.assert_allclose(coef(bounds=(-upper[::-1], upper[::-1])), expected, atol=1e-7)
    assert (np.abs(expected) <= upper.to_numpy()).all()


def test_a_prior_in_a_series():
    prior = pd.Series([1.0, -1.0, 2.0, 0.5], index=NAMES)
    y = (Y == "x").astype(int)
    np.testing.assert_allclose(
        coef(y=y, prior_coef=prior[::-1]), coef(y=y, prior_coef=prior.to_numpy()), rtol=1e-6
    )


def test_shares_in_a_series():
    shares = pd.Series(Y).value_counts(normalize=True)
    assert shares.index.tolist() != sorted(shares.index)
    found = MaxentClassifier(class_weight="balanced", prior_correction=shares).fit(X, Y)
    expected = MaxentClassifier(class_weight="balanced", prior_correction="empirical").fit(X, Y)
    np.testing.assert_allclose(found.intercept_, expected.intercept_, rtol=1e-6)
    with pytest.raises(ValueError, match="missing are"):
        MaxentClassifier(prior_correction=shares.rename({"x": "w"})).fit(X, Y)


def test_thresholds_in_a_series():
    labels = pd.DataFrame(np.column_stack([Y == "x", Y != "z"]).astype(int), columns=["p", "q"])
    threshold = pd.Series({"q": 0.9, "p": 0.2})
    found = MultilabelMaxentClassifier(threshold=threshold).fit(X, labels)
    assert found.threshold_.tolist() == [0.2, 0.9]
    with pytest.raises(ValueError, match="threshold is a Series with the index"):
        MultilabelMaxentClassifier(threshold=threshold.rename({"p": "r"})).fit(X, labels)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (EACH.rename({"a": "w"}), "penalty_factor has the names"),
        (EACH.iloc[:2], "expected each of the 4 features of X once"),
        (EACH.iloc[[0, 1, 2, 3, 3]], "expected each of the 4 features of X once"),
        (BY_CLASS.rename({"x": "w"}), "penalty_factor has rows for the classes"),
        (np.ma.masked_array(EACH.to_numpy(), [0, 1, 0, 0]), "penalty_factor is a masked array"),
    ],
)
def test_names_that_do_not_match(value, message):
    with pytest.raises(ValueError, match=message):
        coef(penalty_factor=value)


def test_names_for_rows_without_names():
    with pytest.raises(ValueError, match="X has no names"):
        coef(X.to_numpy(), penalty_factor=EACH)
    numbered = pd.Series([100.0, 10.0, 1.0, 0.1], index=[3, 2, 1, 0])
    np.testing.assert_allclose(
        coef(X.to_numpy(), penalty_factor=numbered), coef(penalty_factor=EACH), rtol=1e-6
    )


def test_a_prior_for_a_feature_called_intercept():
    frame = X.rename(columns={"a": "Intercept"})
    prior = MaxentClassifier(C=10.0).fit(frame, Y)
    found = coef(frame, prior_coef=prior.coef_frame())
    np.testing.assert_allclose(found, coef(frame, prior_coef=prior), rtol=1e-6)
    assert not np.allclose(found, coef(frame, prior_coef=prior.coef_frame().iloc[1:-1]))


def test_a_prior_model_of_other_features():
    prior = MaxentClassifier().fit(X[["a", "b"]], Y)
    with pytest.raises(ValueError, match="prior_coef is a model of 2 features, X has 4"):
        coef(X.to_numpy(), prior_coef=prior)


@pytest.mark.parametrize("factors", [{"a": 0.1, "d": 9.0}, EACH[::-1], BY_CLASS.iloc[:, ::-1]])
def test_names_in_inference_by_split(factors):
    by_position = {dict: [0.1, 1.0, 1.0, 9.0], pd.Series: EACH.to_numpy()}
    expected = by_position.get(type(factors), BY_CLASS.to_numpy())
    tables = [
        MaxentClassifier(l1_ratio=1.0, penalty_factor=given, random_state=0)
        .fit(X, Y)
        .infer(X, Y, method="split")
        .summary()
        for given in (factors, expected)
    ]
    pd.testing.assert_frame_equal(*tables)
