"""FormulaTransformer among the other objects of scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from helpers.saving import by_joblib, by_pickle
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import estimator_checks

from skmaxent import FormulaTransformer, MaxentClassifier

FORMULA = "age + C(region) * bs(income, 4)"


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    n = 150
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "region": rng.choice(["north", "south", "west"], n),
            "income": rng.lognormal(3.0, 1.0, n),
            "is member": rng.random(n) < 0.5,
        }
    )
    score = 0.05 * frame["age"] + (frame["region"] == "west") + rng.logistic(size=n)
    return frame.assign(vote=np.where(score > 3.5, "yes", "no"))


# The checks of scikit-learn that do not pass arrays, which have no names of columns.
@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_get_params_invariance",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_checks_of_scikit_learn(check):
    getattr(estimator_checks, check)("FormulaTransformer", FormulaTransformer("age"))


def test_parameters_are_kept_and_cloned(data):
    context = {"double": lambda x: 2 * x}
    columns = FormulaTransformer("double(age)", context=context, sparse_output=True)
    assert columns.get_params() == {
        "formula": "double(age)",
        "context": context,
        "sparse_output": True,
    }
    other = clone(columns).set_params(sparse_output=False)
    assert_array_equal(other.fit_transform(data).to_numpy()[:, 0], 2.0 * data["age"])
    assert repr(FormulaTransformer("age")) == "FormulaTransformer(formula='age')"
    assert columns.sparse_output and not hasattr(columns, "terms_")


def test_attributes_of_a_fit(data):
    columns = FormulaTransformer("C(region)*age + scale(`is member`)").fit(data)
    assert columns.terms_ == {
        "C(region)": ["C(region)[T.south]", "C(region)[T.west]"],
        "age": ["age"],
        "scale(`is member`)": ["scale(`is member`)"],
        "C(region):age": ["C(region)[T.south]:age", "C(region)[T.west]:age"],
    }
    assert columns.term_variables_ == {
        "C(region)": ["region"],
        "age": ["age"],
        "scale(`is member`)": ["is member"],
        "C(region):age": ["age", "region"],
    }
    assert columns.has_intercept_
    assert columns.n_features_in_ == 5
    assert columns.feature_names_in_.tolist() == data.columns.tolist()
    names = [name for term in columns.terms_.values() for name in term]
    assert columns.get_feature_names_out().tolist() == names
    assert columns.get_feature_names_out(data.columns).tolist() == names
    assert columns.transform(data).columns.tolist() == names
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        columns.get_feature_names_out(["age"])


def test_before_a_fit(data):
    with pytest.raises(NotFittedError):
        FormulaTransformer("age").transform(data)
    with pytest.raises(NotFittedError):
        FormulaTransformer("age").get_feature_names_out()


def test_a_failed_fit_leaves_the_earlier_one(data):
    columns = FormulaTransformer("age + region").fit(data)
    expected = columns.transform(data)
    columns.set_params(formula="nobody")
    with pytest.raises(ValueError, match="nobody"):
        columns.fit(data)
    pd.testing.assert_frame_equal(columns.transform(data), expected)
    assert list(columns.terms_) == ["age", "region"]


@pytest.mark.parametrize("save", [by_pickle, by_joblib])
def test_pickles_make_the_same_columns(data, save):
    columns = FormulaTransformer(FORMULA + " + poly(age, 2) + `is member`").fit(data)
    loaded = save(columns)
    pd.testing.assert_frame_equal(loaded.transform(data[::3]), columns.transform(data[::3]))
    assert loaded.terms_ == columns.terms_


@pytest.mark.parametrize("library", ["default", "pandas"])
def test_set_output(data, library):
    columns = FormulaTransformer(FORMULA).set_output(transform=library)
    made = columns.fit_transform(data.set_index("vote"))
    assert isinstance(made, pd.DataFrame)
    assert made.index.tolist() == data["vote"].tolist()
    with config_context(transform_output="pandas"):
        pd.testing.assert_frame_equal(
            FormulaTransformer(FORMULA).fit(data).transform(data), made.set_axis(data.index)
        )


def test_sparse_output_has_no_frames(data):
    columns = FormulaTransformer("age", sparse_output=True).set_output(transform="pandas")
    with pytest.raises(ValueError, match="sparse"):
        columns.fit_transform(data)


def test_levels_and_knots_are_those_of_the_training_folds(data):
    """A column of the test fold that the training folds would not make shows a leak."""
    pipe = make_pipeline(FormulaTransformer(FORMULA + " + scale(age)"), MaxentClassifier())
    found = cross_validate(
        pipe, data, data["vote"], cv=KFold(3), return_estimator=True, error_score="raise"
    )
    for (train, test), fitted in zip(KFold(3).split(data), found["estimator"], strict=True):
        alone = FormulaTransformer(FORMULA + " + scale(age)").fit(data.iloc[train])
        expected = alone.transform(data.iloc[test])
        assert_array_equal(fitted[0].transform(data.iloc[test]), expected)
        leaky = FormulaTransformer(FORMULA + " + scale(age)").fit(data).transform(data.iloc[test])
        assert np.abs(leaky.to_numpy() - expected.to_numpy()).max() > 1e-3
        moments = data["age"].iloc[train]
        scaled = (data["age"].iloc[test] - moments.mean()) / moments.std()
        assert_allclose(expected["scale(age)"], scaled, rtol=1e-12)


def test_a_level_of_the_test_fold_alone_is_an_error(data):
    data.loc[0, "region"] = "east"
    pipe = make_pipeline(FormulaTransformer("region"), MaxentClassifier())
    with pytest.raises(ValueError, match=r"region has the levels \['east'\]"):
        cross_validate(pipe, data, data["vote"], cv=KFold(3), error_score="raise")
    levels = ["north", "south", "west", "east"]
    for formula, frame in (
        ("region", data.astype({"region": pd.CategoricalDtype(levels)})),
        (f"C(region, levels={levels})", data),
    ):
        pipe.set_params(formulatransformer__formula=formula)
        scores = cross_validate(pipe, frame, data["vote"], cv=KFold(3), error_score="raise")
        assert np.isfinite(scores["test_score"]).all()


def test_a_search_over_formulas(data):
    pipe = make_pipeline(FormulaTransformer("age"), MaxentClassifier())
    formulas = ["income", "age + C(region)"]
    search = GridSearchCV(pipe, {"formulatransformer__formula": formulas}, error_score="raise")
    assert search.fit(data, data["vote"]).best_params_ == {
        "formulatransformer__formula": "age + C(region)"
    }


def test_a_formula_is_the_one_hot_pipeline(data):
    """Without an intercept in the formula the factor is coded by all levels, as OneHotEncoder."""
    formula = make_pipeline(FormulaTransformer("0 + region + age"), MaxentClassifier(C=0.5))
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["region"]), ("passthrough", ["age"])
    )
    by_hand = make_pipeline(encode, MaxentClassifier(C=0.5))
    assert_allclose(
        formula.fit(data, data["vote"]).predict_proba(data),
        by_hand.fit(data, data["vote"]).predict_proba(data),
        rtol=1e-10,
    )


def test_scaled_columns_keep_their_names(data):
    pipe = make_pipeline(FormulaTransformer("age + region"), StandardScaler(), MaxentClassifier())
    pipe.set_output(transform="pandas").fit(data, data["vote"])
    names = ["age", "region[T.south]", "region[T.west]", "Intercept"]
    assert pipe[-1].coef_frame().index.tolist() == names


def test_names_reach_the_coefficients(data):
    pipe = make_pipeline(FormulaTransformer("age + region"), MaxentClassifier())
    table = pipe.fit(data, data["vote"])[-1].coef_frame()
    assert table.index.tolist() == ["age", "region[T.south]", "region[T.west]", "Intercept"]


def test_without_formulaic_the_error_names_the_extra(data, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "formulaic", None)
    monkeypatch.delitem(sys.modules, "skmaxent._formula._formulaic", raising=False)
    monkeypatch.delattr("skmaxent._formula._formulaic", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'skmaxent\[formula\]'"):
        FormulaTransformer("age").fit(data)
