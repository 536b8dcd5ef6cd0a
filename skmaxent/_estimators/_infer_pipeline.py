"""`infer`: inference for a fitted classifier, or for a pipeline that ends in one."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._estimators._inference_kinds import InferenceOptions, UserData, inference
from skmaxent._estimators._linear_classifier import labels_of
from skmaxent._estimators._survey_rows import rows_of_survey
from skmaxent._inference._results import InferenceResults, with_variables
from skmaxent._inference._survey_design import SurveyDesign
from skmaxent._storage._cluster import is_dask
from skmaxent._typing import Array, CovType, InferenceMethod, SmallSample, WeightsKind


def infer(
    model: Any,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    *,
    terms: dict[str, list[str]] | None = None,
    cov_type: CovType | None = None,
    groups: Any = None,
    weights: WeightsKind = "frequency",
    reference: Any = None,
    features: list[str] | None = None,
    method: InferenceMethod | None = None,
    n_bootstrap: int = 200,
    small_sample: SmallSample | None = None,
    use_t: bool | None = None,
    design: SurveyDesign | None = None,
    subpopulation: Any = None,
) -> InferenceResults:
    """Compute standard errors, tests and effects for a fitted classifier or pipeline.

    The transformers of a pipeline are applied to X, and the results keep them. Effects are those of
    the variables of X, and methods of the results take new data with the columns of X.

    Parameters
    ----------
    model : MaxentClassifier, or Pipeline that ends in one
        Fitted.
    X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_variables)
        The data of the fit, as they were given to ``model.fit``.
    y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
        The labels of the rows, or counts or shares of the classes.
    sample_weight : array-like of shape (n_samples,), default=None
        The weights of the fit.
    offset : array-like, default=None
        The offsets of the fit, of shape (n_samples, n_classes), or (n_samples,) for two classes.
    terms : dict of str to list of str, default=None
        Names of terms, with the columns of the model that belong to each. Other columns are terms
        of their own. With None, columns that change with the same variables of X form a term, and a
        `FormulaTransformer` gives the terms of its formula.
    cov_type, groups, weights, reference, features, method, n_bootstrap : object
        As in `MaxentClassifier.infer`. Names of features are those that the transformers give.
    small_sample, use_t : object
        As in `MaxentClassifier.infer`.
    design : SurveyDesign, default=None
        How the rows were sampled, as in `MaxentClassifier.infer`.
    subpopulation : array-like of bool of shape (n_samples,), default=None
        With `design`: the rows that the model was fitted to.

    Returns
    -------
    InferenceResults

    Raises
    ------
    TypeError
        If the model is neither a MaxentClassifier nor a pipeline that ends in one.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        As `MaxentClassifier.infer`, and for terms with unknown columns.

    Warns
    -----
    UserWarning
        If the coefficients are not optimal for the columns that the transformers make of X. This
        happens if ``fit_transform`` of a transformer returns other values than ``transform``, as
        that of scikit-learn's ``TargetEncoder`` does, which encodes each fold by means of the other
        folds. Encode X before the pipeline in this case.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.compose import make_column_transformer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> from skmaxent import MaxentClassifier, infer
    >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 5, "region": [*"NSSNN"] * 4})
    >>> y = [*"abcab", *"cbaca"] * 2
    >>> encode = make_column_transformer(
    ...     (OneHotEncoder(drop="first"), ["region"]), remainder="passthrough"
    ... )
    >>> model = make_pipeline(encode, MaxentClassifier(C=np.inf)).fit(X, y)
    >>> infer(model, X, y).terms
    {'region': ['onehotencoder__region_S'], 'age': ['remainder__age']}
    """
    transformer, classifier = transformer_and_classifier(model, "infer")
    check_is_fitted(classifier)
    options = InferenceOptions(
        cov_type,
        groups,
        weights,
        reference,
        features,
        method,
        n_bootstrap,
        small_sample,
        use_t,
        design,
        subpopulation,
    )
    data, options = rows_of_survey(
        UserData(X, y, sample_weight, offset), options, labels_of(classifier)
    )
    X, y, sample_weight, offset = data
    columns, names = X, None
    if transformer is not None:
        if is_dask(X):
            raise TypeError(
                "infer does not support Dask collections with a pipeline, found X of type "
                f"{type(X).__name__}: transform X, and pass the classifier and the result to infer."
            )
        columns, names = transformer.transform(X), _names(transformer)
    data = UserData(columns, y, sample_weight, offset)
    results = inference(classifier, data, options, names)
    if data.is_lazy and terms is None:
        return results
    return with_variables(results, X, offset, copy_of_transformer(transformer), terms)


def transformer_and_classifier(model: Any, function: str) -> tuple[Any, MaxentClassifier]:
    """Return the transformer of a pipeline, None without one, and its classifier.

    Raises TypeError, which names the public function `function`, if there is no MaxentClassifier,
    and NotFittedError if the last step of a pipeline is not fitted. Callers check whether a
    classifier without a pipeline is fitted.
    """
    transformer, classifier = None, model
    if isinstance(model, Pipeline):
        check_is_fitted(model[-1])
        transformer, classifier = model[:-1] if len(model) > 1 else None, model[-1]
    if not isinstance(classifier, MaxentClassifier):
        raise TypeError(
            f"{function} expects a MaxentClassifier or a Pipeline that ends in one, found "
            f"{type(classifier).__name__}.{_what_to_pass(classifier)}"
        )
    return transformer, classifier


def copy_of_transformer(transformer: Any) -> Any:
    """Return a copy of a fitted transformer, whose later fits to other rows change no results.

    A pipeline fits its transformers in place. Transformers that cannot be copied are returned as
    they are.
    """
    try:
        return copy.deepcopy(transformer)
    except (TypeError, ValueError, AttributeError, NotImplementedError, pickle.PicklingError):
        return transformer


def _what_to_pass(search: Any) -> str:
    """Return a sentence for an error message: which model to pass in place of `search`.

    It is "" if `search` is no fitted search of scikit-learn or of this package, or if no single
    MaxentClassifier has its coefficients.
    """
    if hasattr(search, "best_estimator_"):
        return " Pass its best_estimator_."
    C, l1_ratio = getattr(search, "C_", None), getattr(search, "l1_ratio_", None)
    # With `relax`, the coefficients may be the mean of a fit with the penalty and a fit without,
    # with the weights gamma_ and 1 - gamma_.
    is_mean_of_fits = getattr(search, "gamma_", 1.0) != 1.0
    if is_mean_of_fits or not (isinstance(C, float) and isinstance(l1_ratio, float)):
        return ""
    return (
        f" Fit MaxentClassifier(C={float(C)!r}, l1_ratio={float(l1_ratio)!r}), which are the "
        "chosen C_ and l1_ratio_, to the same data with the other parameters of the search, and "
        "pass that model."
    )


def _names(transformer: Any) -> Array | None:
    """Return the names of the columns of a transformer's output, or None if it has none."""
    try:
        names: Array = transformer.get_feature_names_out()
    except (AttributeError, ValueError, TypeError):
        return None
    return names
