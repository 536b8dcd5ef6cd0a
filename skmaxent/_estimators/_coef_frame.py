"""`coef_frame`: the coefficients of a classifier, or of a pipeline that ends in one, with names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmaxent._estimators._linear_classifier import LinearModel

if TYPE_CHECKING:
    import pandas as pd


def coef_frame(model: LinearModel | Pipeline) -> pd.DataFrame:
    """Return the coefficients of a fitted model with the names of classes and features.

    Parameters
    ----------
    model : MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier or Pipeline
        Fitted. In a pipeline that ends in one of these, the features have the names that its
        transformers give them (`get_feature_names_out`).

    Returns
    -------
    pandas.DataFrame
        A row for each feature, and one for "Intercept"; a column for each class, as in the method
        `coef_frame`.

    Raises
    ------
    TypeError
        If the model, or the last step of the pipeline, is another estimator.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmaxent import MaxentClassifier, coef_frame
    >>> pipe = make_pipeline(CountVectorizer(), MaxentClassifier())
    >>> pipe = pipe.fit(["good film", "bad film", "good", "bad"], [1, 0, 1, 0])
    >>> list(coef_frame(pipe).index)
    ['bad', 'film', 'good', 'Intercept']
    """
    classifier = model[-1] if isinstance(model, Pipeline) else model
    if not isinstance(classifier, LinearModel):
        kind = "last step of the pipeline" if isinstance(model, Pipeline) else "model"
        raise TypeError(
            f"The {kind} must be a classifier of skmaxent, found {type(classifier).__name__}."
        )
    check_is_fitted(classifier)
    has_transformers = isinstance(model, Pipeline) and len(model) > 1
    return classifier.coef_frame(model[:-1] if has_transformers else None)
