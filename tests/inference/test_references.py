"""The reference class: changed without a new fit, and the first category by default."""

import numpy as np
import pandas as pd
import pytest

import skmaxent
from skmaxent import MaxentClassifier
from tests.helpers.beps import DATA, VOTE, pipeline

X = DATA[["age", "Blair", "Europe"]]
CLF = MaxentClassifier(C=np.inf, tol=1e-10).fit(X, VOTE)
KINDS = {
    "nonrobust": {},
    "HC1": {"cov_type": "HC1"},
    "features": {"features": ["Blair", "age"]},
    "bootstrap": {"method": "bootstrap", "n_bootstrap": 10},
}


@pytest.mark.parametrize("reference", ["Labour", "Liberal Democrat", "symmetric"])
@pytest.mark.parametrize("kind", KINDS)
def test_other_references_are_those_of_infer(kind, reference):
    before = "symmetric" if kind == "bootstrap" else "Conservative"
    clf = MaxentClassifier(C=np.inf, tol=1e-10, random_state=0).fit(X, VOTE)
    results = clf.infer(X, VOTE, reference=before, **KINDS[kind])
    found = results.relative_to(reference)
    expected = clf.infer(X, VOTE, reference=reference, **KINDS[kind])
    assert (found.rows, found.reference) == (expected.rows, expected.reference)
    pd.testing.assert_frame_equal(found.summary(), expected.summary(), rtol=1e-8, atol=1e-12)
    scale = np.sqrt(np.multiply.outer(*2 * (expected.covariance.diagonal(),)))
    np.testing.assert_allclose(found.covariance / scale, expected.covariance / scale, atol=1e-9)
    if kind == "bootstrap":
        np.testing.assert_allclose(found.replicates, expected.replicates, rtol=1e-8, atol=1e-12)
    else:
        pd.testing.assert_frame_equal(found.wald_test(), expected.wald_test(), rtol=1e-8)
    assert results.reference == before


def test_profile_intervals_and_effects_follow():
    model = pipeline().fit(DATA, VOTE)
    results = skmaxent.infer(model, DATA, VOTE)
    found = results.relative_to("Labour")
    expected = skmaxent.infer(model, DATA, VOTE, reference="Labour")
    both = [one.profile_conf_int(features="Blair") for one in (found, expected)]
    pd.testing.assert_frame_equal(*both, rtol=1e-6)
    ratios = [one.likelihood_ratio_test(features=["Blair"]) for one in (found, results)]
    pd.testing.assert_frame_equal(*ratios, rtol=1e-6)
    assert "Reference            Labour" in str(found)


def test_two_classes_and_wrong_references():
    y = np.where(VOTE == "Labour", "yes", "no")
    results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    np.testing.assert_allclose(results.relative_to("yes").coef, -results.coef)
    for wrong in ("maybe", None):
        with pytest.raises(ValueError, match="reference is"):
            results.relative_to(wrong)


@pytest.mark.parametrize("ordered", [True, False])
def test_the_first_category_that_occurs_is_the_default_reference(ordered):
    levels = ["Green", "Liberal Democrat", "Conservative", "Labour"]
    y = pd.Series(pd.Categorical(VOTE, levels, ordered=ordered))
    clf = MaxentClassifier(C=np.inf, tol=1e-10).fit(X, y)
    assert clf.classes_.tolist() == sorted(levels[1:])
    found = clf.infer(X, y)
    assert found.reference == "Liberal Democrat"
    np.testing.assert_allclose(found.coef, CLF.infer(X, VOTE, reference=levels[1]).coef, rtol=1e-6)
    assert clf.infer(X, y, reference="Labour").reference == "Labour"
    assert skmaxent.infer(clf, X, y.to_frame()["vote"] if y.name else y).reference == levels[1]
