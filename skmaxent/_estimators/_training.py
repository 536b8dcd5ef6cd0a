"""The problem that a classifier's fit poses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skmaxent._estimators._linear_classifier import warn_of_rounding
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._targets import Given
from skmaxent._model._fit import Prepared
from skmaxent._model._settings import Settings
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
        warn_of_rounding(ready.data.inexact, ready.dtype, lambda: columns.all_names)
        yield ready
