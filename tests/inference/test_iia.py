"""Tests of the independence of irrelevant alternatives, against R."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from helpers.beps import DATA, ORACLES, VOTE

from skmaxent import MaxentClassifier

MADE = json.loads((ORACLES / "tests_beps.json").read_text())
ML = MaxentClassifier(C=np.inf, tol=1e-10)
X = DATA[["age", "Europe", "Blair"]].assign(male=(DATA["gender"] == "male") * 1.0)


def infer(X, y, clf=ML, sample_weight=None, offset=None, **options):
    return clf.fit(X, y, sample_weight, offset).infer(X, y, sample_weight, offset, **options)


@pytest.fixture(scope="module")
def beps():
    return infer(X, VOTE)


def test_hausman_and_mcfadden_as_in_r(beps):
    expected = pd.DataFrame(MADE["hausman"]).set_index("omitted")
    found = beps.iia_test()
    assert found.index.tolist() == expected.index.tolist()
    # Digits are lost in the difference of the covariances.
    np.testing.assert_allclose(found["chi2"], expected["chi2"], rtol=2e-5)
    assert found["df"].tolist() == expected["df"].tolist()
    is_definite = expected["least"] > 0.0
    assert (found["note"] == "").tolist() == is_definite.tolist()
    assert "chi2 is negative" in found.loc["Conservative", "note"]
    assert found["p_value"].isna().tolist() == (expected["chi2"] < 0.0).tolist()


def test_small_and_hsiao_as_in_r(beps):
    expected = pd.DataFrame(MADE["small_hsiao"]).set_index("omitted")
    found = beps.iia_test("small-hsiao", random_state=0)
    np.testing.assert_allclose(found["chi2"], expected["chi2"], rtol=1e-6)
    assert found["df"].tolist() == expected["df"].tolist()
    assert (found["note"] == "").all()
    other = beps.iia_test("small-hsiao", random_state=1)
    assert not np.allclose(found["chi2"], other["chi2"])


def test_the_tests_do_not_depend_on_the_coding(beps):
    expected = beps.iia_test()
    for options in ({"reference": "Labour"}, {"reference": "symmetric"}):
        pd.testing.assert_frame_equal(infer(X, VOTE, **options).iia_test(), expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:The features")
def test_weights_offsets_and_aliased_features():
    rng = np.random.default_rng(0)
    W, offset = rng.integers(1, 3, len(X)), 0.1 * rng.normal(size=(len(X), 3))
    many = np.repeat(np.arange(len(X)), W)
    found = infer(X, VOTE, ML, W, offset).iia_test()
    expected = infer(X.iloc[many], VOTE.iloc[many], ML, None, offset[many]).iia_test()
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4)
    # Offsets that are a feature move its coefficients, in all models alike.
    moved = np.outer(X["age"], [0.0, 0.01, -0.02])
    plain = infer(X, VOTE).iia_test()
    pd.testing.assert_frame_equal(infer(X, VOTE, ML, None, moved).iia_test(), plain, rtol=1e-4)
    counts = pd.get_dummies(VOTE).to_numpy(float)
    table = MaxentClassifier(C=np.inf, tol=1e-10).fit(X, counts).infer(X, counts).iia_test()
    np.testing.assert_allclose(table["chi2"], plain["chi2"], rtol=1e-4)
    twice = infer(X.assign(twice=2.0 * X["age"]), VOTE)
    assert twice.aliased == ("twice",)
    pd.testing.assert_frame_equal(twice.iia_test(), plain, rtol=1e-4)


def test_rows_without_weight_do_not_count():
    rows = np.arange(len(VOTE)) % 7 > 0
    whole = infer(X, VOTE, sample_weight=rows.astype(float))
    part = infer(X[rows], VOTE[rows])
    pd.testing.assert_frame_equal(whole.iia_test(), part.iia_test(), rtol=1e-4)
    tables = [of.iia_test("small-hsiao", random_state=0) for of in (whole, part)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


def test_more_than_three_outcomes():
    """Data of the model: the statistic has the moments of its distribution, roughly."""
    rng = np.random.default_rng(3)
    Z = rng.normal(size=(2000, 2))
    logits = np.column_stack([np.zeros(2000), Z @ [1.0, -0.5], Z @ [0.2, 0.3], 0.4 * Z[:, 0]])
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    found = infer(Z, y).iia_test("small-hsiao", random_state=0)
    assert found["df"].tolist() == [6] * 4
    assert (found["chi2"] > 0.0).all()
    assert (found["p_value"] > 1e-4).all()
    assert infer(Z, y).iia_test()["df"].tolist() == [6] * 4


def test_models_without_an_outcome_may_have_no_estimates():
    """Without class "a" the others are separated."""
    rng = np.random.default_rng(0)
    x, is_first = rng.normal(size=400), rng.random(400) < 0.5
    y = np.where(is_first, "a", np.where(x > 0.0, "c", "b"))
    Z = pd.DataFrame({"x": x})
    found = infer(Z, y).iia_test()
    assert found.loc["a", ["chi2", "df", "p_value"]].isna().all()
    assert found.loc["a", "note"] == "no estimates without it: the outcomes are separated"


def test_intercepts_alone_tell_nothing():
    """The estimates with and without an outcome are the same, and so are their covariances."""
    constant = pd.DataFrame({"one": np.ones(len(VOTE))})
    clf = MaxentClassifier(C=np.inf, fit_intercept=False, tol=1e-10)
    found = infer(constant, VOTE, clf).iia_test()
    assert found["df"].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found["chi2"], 0.0, atol=1e-8)
    assert found["p_value"].isna().all()
    assert (found["note"] == "the difference of the covariances has rank 0").all()


def test_what_the_tests_need(beps):
    with pytest.raises(ValueError, match=r"method must be one of \['hausman', 'small-hsiao'\]"):
        beps.iia_test("lr")
    with pytest.raises(ValueError, match="random_state is for 'small-hsiao'"):
        beps.iia_test(random_state=0)
    robust = infer(X, VOTE, cov_type="cluster", groups=np.arange(len(X)) % 60)
    with pytest.raises(ValueError, match=r"expected cov_type='nonrobust'.* found 'cluster'"):
        robust.iia_test()
    reduced = infer(X[["age"]], VOTE, MaxentClassifier(C=np.inf, bias_reduction="mean"))
    with pytest.raises(ValueError, match="found 'bias_reduction'"):
        reduced.iia_test()
    with pytest.raises(ValueError, match="are for fits without a penalty"):
        infer(X, VOTE, MaxentClassifier(C=1.0)).iia_test()
    with pytest.raises(ValueError, match="expected three classes or more, found 2"):
        infer(X, VOTE == "Labour").iia_test()
    loaded = pickle.loads(pickle.dumps(beps))
    with pytest.raises(ValueError, match="which a pickle of results does not hold"):
        loaded.iia_test()
    pd.testing.assert_frame_equal(loaded.with_data(X, VOTE).iia_test(), beps.iia_test())
