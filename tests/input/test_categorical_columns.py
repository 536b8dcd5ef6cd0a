"""Columns of categories and text given directly to a classifier: an error with two ways out."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmaxent import (
    FormulaTransformer,
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
)

RNG = np.random.default_rng(0)
N = 60
NUMBERS = RNG.normal(size=N)
CODES = RNG.integers(1, 4, N)
LETTERS = np.array(["", "a", "b", "c"])[CODES]
Y = RNG.integers(0, 3, N)
PANDAS = {
    "object": pd.Series(LETTERS, dtype=object),
    "string": pd.Series(LETTERS, dtype="string"),
    "category": pd.Categorical(LETTERS),
    "categories that are numbers": pd.Categorical(CODES),
    "ordered categories": pd.Categorical(CODES, ordered=True),
    "text that looks like numbers": pd.Series(CODES.astype(str), dtype=object),
    "strings that look like numbers": pd.Series(CODES.astype(str), dtype="string"),
}
POLARS = {
    "strings": pl.Series(LETTERS.tolist()),
    "strings that look like numbers": pl.Series(CODES.astype(str).tolist()),
    "categories": pl.Series(LETTERS.tolist()).cast(pl.Categorical),
    "an enum": pl.Series(LETTERS.tolist()).cast(pl.Enum(["a", "b", "c"])),
}
FRAMES = {f"pandas, {name}": pd.DataFrame({"x": NUMBERS, "kind": g}) for name, g in PANDAS.items()}
FRAMES |= {f"polars, {name}": pl.DataFrame({"x": NUMBERS, "kind": g}) for name, g in POLARS.items()}


@pytest.mark.parametrize("frame", FRAMES)
def test_the_error_names_the_column_and_both_ways(frame):
    with pytest.raises(ValueError, match=r"X must be numeric.* not: 'kind' \(") as caught:
        MaxentClassifier().fit(FRAMES[frame], Y)
    assert "OneHotEncoder in a ColumnTransformer" in str(caught.value)
    assert "formula: skmaxent.from_formula" in str(caught.value)
    assert "FormulaTransformer" in str(caught.value)


@pytest.mark.parametrize("frame", FRAMES)
def test_both_ways_are_ways(frame):
    X = FRAMES[frame]
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["kind"]), ("passthrough", ["x"])
    )
    one_hot = make_pipeline(encode, MaxentClassifier()).fit(X, Y)
    formula = make_pipeline(FormulaTransformer("0 + kind + x"), MaxentClassifier()).fit(X, Y)
    np.testing.assert_allclose(formula.predict_proba(X), one_hot.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("name", ["category", "categories that are numbers"])
def test_predictions_and_other_estimators(name):
    X = FRAMES[f"pandas, {name}"]
    numbers = X.assign(kind=CODES)
    clf = MaxentClassifier().fit(numbers, Y)
    with pytest.raises(ValueError, match=r"not: 'kind' \("):
        clf.predict_proba(X)
    for other, labels in (
        (MaxentClassifierCV(Cs=2, cv=2), Y),
        (MultilabelMaxentClassifier(), np.eye(3)[Y].astype(int)),
    ):
        with pytest.raises(ValueError, match=r"not: 'kind' \("):
            other.fit(X, labels)


def test_objects_that_are_numbers_and_categories_of_two_numbers_are_numbers():
    expected = MaxentClassifier().fit(np.column_stack([NUMBERS, CODES > 1]), Y).coef_
    for kind in (pd.Series((CODES > 1).astype(int), dtype=object), pd.Categorical(CODES > 1)):
        frame = pd.DataFrame({"x": NUMBERS, "kind": kind})
        np.testing.assert_allclose(MaxentClassifier().fit(frame, Y).coef_, expected)
