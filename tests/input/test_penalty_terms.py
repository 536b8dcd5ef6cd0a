"""Factors, priors, bounds and offsets as the user gives them, by position and by name."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmaxent import MaxentClassifier

X, y = load_iris(return_X_y=True)
NAMES = ["a", "b", "c", "d"]
FRAME = pd.DataFrame(X, columns=NAMES)
SPECIES = np.array(["setosa", "versicolor", "virginica"])[y]
RNG = np.random.default_rng(0)
OFFSET = RNG.normal(size=(150, 3))
TIGHT = {"tol": 1e-8}


def coef(features=X, labels=y, **options):
    rows = {name: options.pop(name, None) for name in ("sample_weight", "offset")}
    return MaxentClassifier(**(TIGHT | options)).fit(features, labels, **rows).coef_


@pytest.mark.parametrize("l1_ratio", [0.0, 0.7, 1.0])
def test_factors_by_name_are_those_by_position(l1_ratio):
    by_name = coef(FRAME, penalty_factor={"b": 0.0, "a": 3.0}, l1_ratio=l1_ratio)
    by_position = coef(penalty_factor=[3.0, 0.0, 1.0, 1.0], l1_ratio=l1_ratio)
    per_class = coef(penalty_factor=np.tile([3.0, 0.0, 1.0, 1.0], (3, 1)), l1_ratio=l1_ratio)
    np.testing.assert_allclose(by_name, by_position, atol=1e-6)
    np.testing.assert_allclose(per_class, by_position, atol=1e-6)


@pytest.mark.filterwarnings("ignore:grouped=True has no effect")
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.7])
def test_an_infinite_factor_removes_a_feature(l1_ratio, grouped):
    options = {"l1_ratio": l1_ratio, "grouped": grouped}
    found = coef(penalty_factor=[1.0, np.inf, 1.0, 1.0], **options)
    assert (found[:, 1] == 0.0).all()
    np.testing.assert_allclose(found[:, [0, 2, 3]], coef(X[:, [0, 2, 3]], **options), atol=1e-6)


def test_a_factor_of_zero_is_no_penalty():
    found = coef(X[:, :1], C=1e-3, penalty_factor=[0.0])
    np.testing.assert_allclose(found, coef(X[:, :1], C=np.inf), atol=1e-5)


def test_a_factor_for_a_single_class():
    factor = np.ones((3, 4))
    factor[1] = np.inf
    found = coef(penalty_factor=factor)
    assert (found[1] == 0.0).all()
    assert found[[0, 2]].all()


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_a_prior_is_pulled_towards(l1_ratio):
    prior = RNG.normal(size=(3, 4))
    strong = coef(prior_coef=prior, C=1e-7, l1_ratio=0.0)
    np.testing.assert_allclose(strong, prior, atol=1e-4)
    # A prior of zero is the usual penalty.
    np.testing.assert_allclose(
        coef(prior_coef=np.zeros((3, 4)), l1_ratio=l1_ratio), coef(l1_ratio=l1_ratio), atol=1e-6
    )


def test_a_prior_is_matched_by_names_of_features_and_classes():
    yesterday = MaxentClassifier(**TIGHT).fit(FRAME[["c", "a"]], SPECIES)
    expected = np.zeros((3, 4))
    expected[:, [2, 0]] = yesterday.coef_
    options = {"features": FRAME, "labels": SPECIES, "C": 0.1}
    by_array = coef(prior_coef=expected, **options)
    for prior in (yesterday, yesterday.coef_frame(), yesterday.coef_frame()[SPECIES[[149, 0, 60]]]):
        np.testing.assert_allclose(coef(prior_coef=prior, **options), by_array, atol=1e-6)
    theirs = LogisticRegression(max_iter=5000, tol=1e-10).fit(FRAME, SPECIES)
    np.testing.assert_allclose(
        coef(prior_coef=theirs, **options), coef(prior_coef=theirs.coef_, **options), atol=1e-6
    )


def test_a_prior_of_two_classes_serves_two():
    two = SPECIES != "setosa"
    model = MaxentClassifier(**TIGHT).fit(FRAME[two], SPECIES[two])
    found = coef(FRAME[two], SPECIES[two], prior_coef=model, C=1e-8)
    np.testing.assert_allclose(found, model.coef_, atol=1e-4)
    np.testing.assert_allclose(
        coef(FRAME[two], SPECIES[two], prior_coef=model.coef_frame(), C=1e-8), found, atol=1e-6
    )


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_bounds_hold_exactly(l1_ratio):
    for features in (X, sp.csr_array(X)):
        found = coef(features, bounds=(-0.1, 0.3), C=10.0, l1_ratio=l1_ratio)
        assert found.min() == -0.1
        assert found.max() == 0.3
    by_name = coef(FRAME, bounds={"b": (0, None), "d": (None, 0.5)}, l1_ratio=l1_ratio)
    arrays = ([-np.inf, 0, -np.inf, -np.inf], [np.inf, np.inf, np.inf, 0.5])
    np.testing.assert_allclose(by_name, coef(bounds=arrays, l1_ratio=l1_ratio), atol=1e-6)
    assert (by_name[:, 1] >= 0.0).all()
    assert by_name[:, 3].max() == 0.5


def test_a_feature_without_a_name_has_its_position_in_messages():
    with pytest.raises(ValueError, match=r"found \(1.0, 0.0\) for feature 'x2'\.$"):
        MaxentClassifier(bounds=([0, 0, 1, 0], [1, 1, 0, 1])).fit(X, y)


def test_bounds_that_do_not_bind_change_nothing():
    np.testing.assert_allclose(coef(bounds=(-100, 100)), coef(), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"penalty_factor": [1, 2]}, ValueError, r"penalty_factor has the shape \(2,\); expected"),
        ({"penalty_factor": [1, -1, 1, 1]}, ValueError, "zero or more .* found -1"),
        ({"penalty_factor": [1, np.nan, 1, 1]}, ValueError, "penalty_factor contains NaN"),
        ({"penalty_factor": {"e": 1}}, ValueError, r"names \['e'\], which are not features"),
        ({"penalty_factor": {"a": "x"}}, TypeError, "penalty_factor must hold numbers"),
        ({"bounds": (1, 0)}, ValueError, "lower <= upper, found \\(1.0, 0.0\\) for feature 'a'"),
        ({"bounds": (0, 1, 2)}, TypeError, "must be a pair"),
        ({"bounds": {"a": 1}}, TypeError, r"bounds\['a'\] must be a pair"),
        ({"bounds": (None, [1, 2])}, ValueError, r"bounds\[1\] has the shape \(2,\)"),
        ({"bounds": (np.inf, None)}, ValueError, "room for a finite coefficient"),
        ({"prior_coef": np.ones((2, 4))}, ValueError, "prior_coef has the shape"),
        ({"prior_coef": np.full((3, 4), np.inf)}, ValueError, "prior_coef must be finite"),
        ({"prior_coef": np.ones((3, 4)), "l1_ratio": 1.0}, ValueError, "ridge part of the penalty"),
        ({"prior_coef": np.ones((3, 4)), "C": np.inf}, ValueError, "and no penalty"),
        (
            {"grouped": True, "l1_ratio": 1.0, "bounds": (0, None)},
            ValueError,
            "grouped=True and bounds cannot be combined",
        ),
        (
            {"grouped": True, "l1_ratio": 1.0, "penalty_factor": np.ones((3, 4))},
            ValueError,
            "a number for each feature",
        ),
    ],
)
def test_what_cannot_be_is_named(options, error, message):
    fitted = MaxentClassifier().fit(FRAME, y)
    before = fitted.coef_
    with pytest.raises(error, match=message):
        fitted.set_params(**options).fit(FRAME, y)
    assert fitted.coef_ is before


def test_names_need_names():
    with pytest.raises(ValueError, match="X has no names"):
        MaxentClassifier(penalty_factor={"a": 0}).fit(X, y)
    unknown = MaxentClassifier().fit(FRAME, SPECIES)
    with pytest.raises(ValueError, match="prior_coef has the classes"):
        MaxentClassifier(prior_coef=unknown).fit(FRAME, y)


def test_an_offset_moves_what_the_features_explain():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(300, 2))
    labels = (features @ rng.normal(size=(2, 3)) + rng.gumbel(size=(300, 3))).argmax(axis=1)
    truth = MaxentClassifier(C=np.inf, tol=1e-9).fit(features, labels)
    # Half of the logits known: the other half is found.
    Z = truth.decision_function(features)
    rest = MaxentClassifier(C=np.inf, tol=1e-9).fit(features, labels, offset=0.5 * Z)
    np.testing.assert_allclose(rest.coef_, 0.5 * truth.coef_, atol=1e-6)
    np.testing.assert_allclose(
        rest.predict_proba(features, offset=0.5 * Z), truth.predict_proba(features), atol=1e-7
    )


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_a_separating_feature_without_penalty_is_told(l1_ratio):
    clf = MaxentClassifier(penalty_factor=[1, 1, 0, 1], l1_ratio=l1_ratio)
    with pytest.warns(ConvergenceWarning, match="quasi-complete"):
        clf.fit(X, y)
    assert np.isfinite(clf.coef_).all()


@pytest.mark.parametrize("l1_ratio", [0.0, 0.8])
@pytest.mark.parametrize("solver", ["newton-cg", "newton-cholesky"])
def test_offsets_are_columns_with_known_coefficients(stored, solver, l1_ratio):
    """A column whose coefficients are fixed by bounds is an offset."""
    fixed = np.array([[0.5], [-1.0], [0.25]])
    whole = np.full((3, 4), -np.inf), np.full((3, 4), np.inf)
    for bound in whole:
        bound[:, 3:] = fixed
    factor = np.tile([1.0, 1.0, 1.0, 0.0], (3, 1))
    bounded = MaxentClassifier(bounds=whole, penalty_factor=factor, l1_ratio=l1_ratio, **TIGHT)
    expected = bounded.fit(X, y).coef_[:, :3]
    found = coef(stored(X[:, :3]), offset=X[:, 3:] @ fixed.T, solver=solver, l1_ratio=l1_ratio)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_offsets_of_two_classes():
    two = (y == 1).astype(int)
    one = RNG.normal(size=150)
    expected = coef(labels=two, offset=one)
    np.testing.assert_allclose(
        coef(labels=two, offset=np.column_stack([np.zeros(150), one])), expected, atol=1e-6
    )
    model = MaxentClassifier(**TIGHT).fit(X, two, offset=one)
    np.testing.assert_allclose(
        model.decision_function(X, offset=one), X @ model.coef_[0] + model.intercept_ + one
    )


def test_offsets_are_matched_to_classes_by_name():
    labels = ["setosa", "versicolor", "virginica"]
    frame = pd.DataFrame(OFFSET, columns=labels)[["virginica", "setosa", "versicolor"]]
    np.testing.assert_allclose(
        coef(labels=SPECIES, offset=frame), coef(labels=SPECIES, offset=OFFSET), atol=1e-8
    )
    with pytest.raises(ValueError, match="no columns for the classes"):
        coef(labels=SPECIES, offset=frame[["virginica", "versicolor"]])


def test_a_fit_with_offset_asks_for_it_again():
    model = MaxentClassifier().fit(X, y, offset=OFFSET)
    with pytest.raises(ValueError, match="was fitted with an offset"):
        model.predict(X)
    assert model.predict(X, offset=0).shape == (150,)
    assert model.score(X, y, offset=OFFSET) > 0.9
    with pytest.raises(ValueError, match=r"offset has the shape \(150, 2\); expected \(150, 3\)"):
        model.predict(X, offset=OFFSET[:, :2])
    with pytest.raises(ValueError, match="offset contains NaN"):
        MaxentClassifier().fit(X, y, offset=np.full((150, 3), np.nan))


def test_offsets_are_routed_through_pipelines_and_searches():
    with config_context(enable_metadata_routing=True):
        model = (
            MaxentClassifier(**TIGHT)
            .set_fit_request(offset=True)
            .set_predict_proba_request(offset=True)
            .set_score_request(offset=True)
        )
        pipeline = make_pipeline(FunctionTransformer(), model)
        P = pipeline.fit(X, y, offset=OFFSET).predict_proba(X, offset=OFFSET)
        np.testing.assert_allclose(P, pipeline[-1].predict_proba(X, OFFSET), rtol=1e-12)
        if sklearn.__version__ < "1.8":  # there a search loses what a pipeline's score asks for
            return
        search = GridSearchCV(pipeline, {"maxentclassifier__C": [0.1, 1.0]}, cv=3)
        search.fit(X, y, offset=OFFSET)
        C = search.best_params_["maxentclassifier__C"]
        np.testing.assert_allclose(
            search.best_estimator_[-1].coef_, coef(C=C, offset=OFFSET), atol=1e-6
        )
        assert search.score(X, y, offset=OFFSET) > 0.9
