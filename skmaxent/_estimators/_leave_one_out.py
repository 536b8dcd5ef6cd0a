"""`leave_one_out`: held-out scores of a fitted classifier, or of a pipeline that ends in one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from skmaxent._estimators._infer_pipeline import transformer_and_classifier
from skmaxent._estimators._inference_kinds import check_offset_given, estimate_of
from skmaxent._estimators._parameters_of_fit import refuse_other_parameters
from skmaxent._input._frames import row_index
from skmaxent._input._interchange import native
from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._leave_one_out import LeaveOneOutScores
from skmaxent._leverage._leave_one_out import leave_one_out as scores_of_fit
from skmaxent._model._fitted_model import FittedModel
from skmaxent._typing import WeightsKind


def leave_one_out(
    model: Any,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    *,
    weights: WeightsKind = "frequency",
    max_refits: int | None = 100,
) -> LeaveOneOutScores:
    """Return held-out probabilities and scores of the rows of a fit, mostly without refits.

    One Newton step leads from the fit to all rows to the fit without an observation [1]_ [2]_. The
    steps for all observations cost about as much as one evaluation of the Hessian. Any penalty of
    the fit is possible, and so are bounds; coefficients that are zero or at a bound stay there in
    the step. If the step is not accurate enough, an exact fit without the observation replaces it;
    see `max_refits`. C, the weights of the classes, the standard deviations of `standardize` and
    the constants of `prior_correction` are those of all rows. `cross_val_score` computes them again
    in each fold if there is ``class_weight="balanced"``, `standardize` or a `prior_correction`.
    This changes scores by a share of about one over the number of rows of a class.

    The transformers of a pipeline are not fitted again: they remain those of all rows.

    Parameters
    ----------
    model : MaxentClassifier, or Pipeline that ends in one
        Fitted.
    X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_variables)
        The data of the fit, in memory.
    y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
        The labels of the rows, or counts or shares of the classes.
    sample_weight : array-like of shape (n_samples,), default=None
        The weights of the fit.
    offset : array-like, default=None
        The offsets of the fit.
    weights : {"frequency", "probability"}, default="frequency"
        With "frequency", a weight counts equal rows, of which one observation is left out; the same
        holds for a table of whole counts. With "probability", weights are sampling weights, and
        whole rows are left out. Rows of a table of shares are always left out as a whole.
    max_refits : int or None, default=100
        The largest number of exact fits. They replace approximations in the order of the change of
        the logits, until a cautious estimate of the error of `log_score` is below a twentieth of
        its standard error. They end earlier, after some twenty fits, if `max_refits` fits would
        clearly not be enough. None makes as many as necessary, and 0 makes none.

    Returns
    -------
    LeaveOneOutScores

    Raises
    ------
    TypeError
        For other models and for Dask collections.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        For models with `bias_reduction` or `partial_labels`; if a class has a single observation;
        for tables of counts with `class_weight` and ``weights="frequency"``.

    References
    ----------
    .. [1] Rad & Maleki (2020), A scalable estimate of the out-of-sample prediction error via
       approximate leave-one-out cross-validation, J. R. Stat. Soc. B 82, 965-996.
    .. [2] Obuchi & Kabashima (2018), Accelerating cross-validation in multinomial logistic
       regression with l1-regularization, J. Mach. Learn. Res. 19, 1-30.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier, leave_one_out
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MaxentClassifier(C=1.0).fit(X, y)
    >>> scores = leave_one_out(model, X, y)
    >>> round(scores.log_score, 2), round(scores.log_score_std_err, 2)
    (-0.13, 0.02)
    >>> scores.n_refits
    0
    """
    with fitted_rows(model, X, y, sample_weight, offset, "leave_one_out") as (fit, _, _):
        index = row_index(native(X, "X"))
        return scores_of_fit(fit, weights=weights, max_refits=max_refits, index=index)


@contextmanager
def fitted_rows(
    model: Any, X: Any, y: Any, sample_weight: Any, offset: Any, function: str
) -> Iterator[tuple[FittedRows, FittedModel, Any]]:
    """Yield a fit with its rows, its model, and the transformer of a pipeline, None without one.

    The data are those of the fit, as the user gives them. `function` is the name of the public
    function, for errors. The threads that read the rows end with the context.
    """
    transformer, classifier = transformer_and_classifier(model, function)
    check_is_fitted(classifier)
    refuse_other_parameters(classifier, getattr(classifier, "_fitted_with", {}))
    check_offset_given(classifier, offset, function)
    estimate = estimate_of(classifier)
    columns = X if transformer is None else transformer.transform(X)
    with estimate.problem(columns, y, sample_weight, offset) as training:
        fit = FittedRows(
            training,
            estimate.settings,
            estimate.coef.astype(float),
            estimate.intercept,
            estimate.model.intercept - estimate.intercept,
            estimate.gap,
            function,
        )
        yield fit, estimate.model, transformer
