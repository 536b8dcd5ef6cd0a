"""Predictions for Dask collections: lazy, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import accuracy_score

from skmaxent._input._dask_chunks import (
    chunks_like,
    chunks_of,
    column,
    in_row_chunks,
    is_frame,
    nothing_like,
)
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._labels import refuse_unknown
from skmaxent._storage._cluster import current_scheduler
from skmaxent._typing import Array

if TYPE_CHECKING:
    from skmaxent._model._fitted_model import FittedModel, Quantity


def predicted(model: FittedModel, quantity: Quantity, X: Any, offset: Any = None) -> Any:
    """A Dask array of a quantity that the model predicts, chunk by chunk of rows of X."""
    return array_over_chunks(partial(model.predict, quantity), model.columns, X, offset)


def array_over_chunks(
    function: Callable[..., Array], columns: FittedColumns, X: Any, offset: Any = None
) -> Any:
    """A Dask array with what a function makes of each chunk of rows of X.

    The function takes rows, with an `offset` if there is one, and gives an array with a row for
    each of them.
    """
    import dask
    import dask.array as da

    X, parts, rows = _parts(columns, X, {} if offset is None else {"offset": offset})
    one = _row_like(function, columns, X, has_offset=offset is not None)
    shared = dask.delayed(function, pure=False)
    call = dask.delayed(_of_rows, pure=False)
    lengths = (np.nan,) * len(parts) if is_frame(X) else X.chunks[0]
    chunks = [
        da.from_delayed(
            call(shared, one, part, *more),
            shape=(length, *one.shape[1:]),
            meta=one[:0],
        )
        for length, part, *more in zip(lengths, parts, *rows, strict=True)
    ]
    return da.concatenate(chunks, allow_unknown_chunksizes=True)


def probability_frame(model: FittedModel, X: Any, offset: Any) -> Any:
    """A Dask data frame of the probabilities, with the index of X where X is one."""
    import dask.dataframe as dd

    if not is_frame(X):
        P = predicted(model, "probabilities", X, offset)
        return dd.from_dask_array(P, columns=model.classes)
    return _frame_over_chunks(
        model.probability_frame, model.columns, X, offset, "predict_proba_frame"
    )


def frame_over_chunks(
    function: Callable[..., Array], columns: FittedColumns, names: list[str], X: Any, offset: Any
) -> Any:
    """A Dask data frame of what a function makes of each chunk of rows of X.

    It has the index of X where X is a data frame. The function is that of `array_over_chunks`, and
    gives a column for each of the names.
    """
    import dask.dataframe as dd

    if not is_frame(X):
        return dd.from_dask_array(array_over_chunks(function, columns, X, offset), columns=names)
    named = partial(_named, function, names)
    return _frame_over_chunks(named, columns, X, offset, "predict_proba_interval")


def _frame_over_chunks(
    function: Callable[[Any], Any], columns: FittedColumns, X: Any, offset: Any, method: str
) -> Any:
    """A function from data frames to data frames, of each part of a Dask data frame."""
    if offset is not None:
        raise TypeError(f"{method} takes no offset for a Dask data frame.")
    columns.check(nothing_like(X))
    few = _of_part(X._meta_nonempty, function)
    return X.map_partitions(_of_part, function, meta=few.iloc[:0])


def _of_part(X: Any, function: Callable[[Any], Any]) -> Any:
    if len(X):
        return function(X)
    import pandas as pd

    one = pd.DataFrame(np.ones((1, X.shape[1])), columns=X.columns)
    return function(one).iloc[:0]


def _named(function: Callable[..., Array], names: list[str], X: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(function(X), index=X.index, columns=names)


def sums_over_chunks(
    function: Callable[..., tuple[Array, ...]],
    columns: FittedColumns,
    X: Any,
    arguments: dict[str, Any],
) -> tuple[Array, ...]:
    """Sums over the chunks of rows of X of the arrays that a function makes of each.

    The function takes the rows and then what `arguments` has for these.
    """
    import dask

    X, parts, rows = _parts(columns, X, arguments)
    call = dask.delayed(_of_chunk, pure=False)
    shared = dask.delayed(function, pure=False)
    scheduler = current_scheduler(X)
    found = [call(shared, part, *more) for part, *more in zip(parts, *rows, strict=True)]
    totals = scheduler.gather(scheduler.start(found))
    return tuple(np.sum(arrays, axis=0) for arrays in zip(*totals, strict=True))


def _of_chunk(
    function: Callable[..., tuple[Array, ...]], X: Any, *arguments: Any
) -> tuple[Array, ...]:
    return function(_rows(X), *arguments)


def accuracy(model: FittedModel, X: Any, y: Any, sample_weight: Any, offset: Any) -> float:
    """Share of the weight of the rows whose class is predicted."""
    return _mean(_is_right, model, X, y, sample_weight, offset)


def log_likelihood(model: FittedModel, X: Any, y: Any, sample_weight: Any, offset: Any) -> float:
    """Weighted mean of the log-probability of the class of each row."""
    return _mean(_log_probability, model, X, y, sample_weight, offset)


def _mean(
    value: Callable[..., Array],
    model: FittedModel,
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
) -> float:
    """Weighted mean over rows of a value of the model, the rows and their labels."""
    offset = model.needed_offset(offset)
    arguments = {"y": y, "sample_weight": sample_weight, "offset": offset}
    total, weight = sums_over_chunks(partial(_total, value, model), model.columns, X, arguments)
    if not weight > 0.0:
        raise ValueError("X has no rows of positive weight to score.")
    return float(total / weight)


def _parts(
    columns: FittedColumns, X: Any, arguments: dict[str, Any]
) -> tuple[Any, list[Any], list[Any]]:
    """X in chunks of whole rows, these chunks, and the same rows of each argument."""
    X = in_row_chunks(X)
    columns.check(nothing_like(X))
    parts = chunks_of(X)
    rows = [chunks_like(array, X, len(parts), name) for name, array in arguments.items()]
    return X, parts, rows


def _row_like(
    function: Callable[..., Array], columns: FittedColumns, X: Any, *, has_offset: bool
) -> Array:
    """What the function makes of a row of zeros of the dtype of X: its shape and dtype."""
    dtypes = set(X.dtypes) if is_frame(X) else {X.dtype}
    dtype = np.float32 if dtypes == {np.dtype("f4")} else np.float64
    row: Any = np.zeros((1, columns.n_features), dtype=dtype)
    if columns.names is not None:
        import pandas as pd

        row = pd.DataFrame(row, columns=columns.names)
    zero = {"offset": 0} if has_offset else {}
    return np.asarray(function(row, **zero))


def _of_rows(function: Callable[..., Array], one: Array, X: Any, offset: Any = None) -> Array:
    """The function of a chunk; `one` is that of a row."""
    if not X.shape[0]:
        return one[:0]
    given = {} if offset is None else {"offset": offset}
    return np.asarray(function(_rows(X), **given))


def _total(
    value: Callable[..., Array], model: FittedModel, X: Any, y: Any, weights: Any, offset: Any
) -> tuple[Array, Array]:
    """Weighted sum of a value of the rows of a chunk, and the sum of their weights."""
    if not X.shape[0]:
        return np.zeros(()), np.zeros(())
    values = value(model, X, column(y, "y"), offset)
    if weights is None or isinstance(weights, Real):
        weights = np.full(len(values), 1.0 if weights is None else weights)
    weights = column(weights, "sample_weight")
    return np.asarray(weights @ values, dtype=float), np.asarray(weights.sum(), dtype=float)


def _is_right(model: FittedModel, X: Any, y: Array, offset: Any) -> Array:
    predicted = model.predict("most_probable", X, offset)
    accuracy_score(y, predicted)  # refuses labels of another kind
    return np.asarray(predicted == y)


def _log_probability(model: FittedModel, X: Any, y: Array, offset: Any) -> Array:
    refuse_unknown(y, model.classes, "y")
    log_p = model.predict("log_probabilities", X, offset).astype(float)
    return np.asarray(log_p[np.arange(len(y)), np.searchsorted(model.classes, y)])


def _rows(X: Any) -> Any:
    """Sparse rows of other packages as SciPy's."""
    return X.tocsr() if hasattr(X, "tocsr") else X
