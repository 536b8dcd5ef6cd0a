"""The problem that a classifier's fit poses, and its solution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from skmaxent._estimators._linear_classifier import warn_of_rounding
from skmaxent._inference._bias_reduction import bias_reduced
from skmaxent._inference._covariance import SingularInformation
from skmaxent._inference._covariance_types import dependent_columns
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._targets import Given
from skmaxent._input._validation import class_shares
from skmaxent._model._fit import Prepared
from skmaxent._model._fitted_model import FittedModel
from skmaxent._model._settings import Settings
from skmaxent._solvers import NEWTON, Options, Solution, minimise
from skmaxent._solvers._expectation_maximisation import fit_sets
from skmaxent._typing import Array


@contextmanager
def training_problem(
    estimator: Any,
    settings: Settings,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    offset: Any = None,
    *,
    classes: Array | None = None,
    given: Given | None = None,
) -> Iterator[Prepared]:
    """The problem that rows pose to a classifier in its `fit`, while there are threads.

    Parameters
    ----------
    estimator : MaxentClassifier
        It learns the columns of X.
    settings : Settings
        Its settings, or those of a path.
    X, y, sample_weight, offset
        As in `fit`.
    classes : ndarray of shape (n_classes,), default=None
        All labels, some of which may be absent from y.
    given : Given, default=None
        Rows that have been read before; the others are not looked at then.

    Yields
    ------
    Prepared

    Warns
    -----
    UserWarning
        Where columns are so far from zero that rounding has left little of their differences.
    """
    if given is None:
        given = settings.read(estimator, X, y, sample_weight, offset, classes)
    columns = FittedColumns.of(estimator)
    with settings.prepared(given, columns.names) as ready:
        if settings.partial_labels:
            _refuse_with_partial_labels(estimator)
        warn_of_rounding(ready.data.inexact, ready.dtype, lambda: columns.all_names)
        yield ready


def solve(estimator: Any, settings: Settings, ready: Prepared, options: Options) -> Solution:
    """The solution of the problem, by the solver that the settings need.

    Parameters
    ----------
    estimator : MaxentClassifier
        With `warm_start` the solver begins at its coefficients.
    settings : Settings
    ready : Prepared
    options : Options

    Raises
    ------
    ValueError
        For parameters that cannot be combined.
    """
    problem = ready.problem
    if settings.partial_labels and not ready.data.blocks.has_codes:
        solution = fit_sets(problem, options)
    elif settings.bias_reduction is None:
        solution = minimise(problem, options, _warm_start(estimator, ready))
    else:
        return _bias_reduced(estimator, settings, ready, options)
    is_free = problem.terms.is_smooth and not problem.terms.ridge.any()
    if settings.bias_reduction is None and not settings.is_penalised and is_free:
        return replace(solution, aliased=tuple(ready.aliased()))
    return solution


def _warm_start(estimator: Any, ready: Prepared) -> Array | None:
    """θ of the last fit's coefficients, where they belong to the same classes and features."""
    if not (estimator.warm_start and hasattr(estimator, "coef_")) or ready.has_absent_classes:
        return None
    last: FittedModel = estimator._fitted_model()
    is_same = last.coef.shape[1] == estimator.n_features_in_
    if not (is_same and np.array_equal(last.classes, ready.classes)):
        return None
    columns, intercept = ready.data.columns, estimator._uncorrected_intercept()
    return ready.problem.start_at(*columns.to_problem(last.coef.astype(float), intercept))


def _bias_reduced(
    estimator: Any, settings: Settings, ready: Prepared, options: Options
) -> Solution:
    if settings.is_penalised or not ready.problem.terms.is_smooth:
        raise ValueError(
            "bias_reduction is a penalty of its own: expected C=np.inf and no bounds or "
            f"infinite penalty_factor, found C={settings.C}."
        )
    if options.solver not in NEWTON:
        raise ValueError(
            "bias_reduction maximises by Fisher scoring: expected solver='auto', found "
            f"solver={estimator.solver!r}."
        )
    try:
        return bias_reduced(ready.problem, options, ready.rows.scale)
    except SingularInformation as error:
        raise dependent_columns(error, FittedColumns.of(estimator).all_names) from error


def intercept_correction(estimator: Any, ready: Prepared) -> Array:
    """What `prior_correction` adds to the intercepts of the fit, (n_logits,)."""
    if estimator.prior_correction is None:
        return np.zeros(ready.shape[0], ready.dtype)
    if not estimator.fit_intercept or ready.has_absent_classes:
        raise ValueError(
            "prior_correction moves intercepts: expected fit_intercept=True and rows of "
            "positive weight in every class."
        )
    shares = class_shares(estimator.prior_correction, ready.classes, ready.rows.totals)
    change = np.log(shares) - np.log(ready.class_shares)
    change = change[1:] - change[:1] if len(change) == 2 else change - change.mean()
    return np.asarray(change, dtype=ready.dtype)


def _refuse_with_partial_labels(estimator: Any) -> None:
    names = ("class_weight", "prior_correction", "bias_reduction", "label_smoothing")
    given = [name for name in names if getattr(estimator, name)]
    if given:
        raise ValueError(
            f"partial_labels=True has no {' or '.join(given)}: the class of a row is not known."
        )
