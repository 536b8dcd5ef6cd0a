"""Predictions for Dask collections: lazy, chunk by chunk."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted, validate_data

from skmaxent._input._dask_input import (
    chunks_like,
    chunks_of,
    column,
    in_row_chunks,
    is_frame,
    nothing_like,
)
from skmaxent._input._validation import refuse_unknown
from skmaxent._storage._cluster import current_scheduler, is_dask
from skmaxent._typing import Array

Method = TypeVar("Method", bound=Callable[..., Any])


def lazy_for_dask(method: Method) -> Method:
    """A method of the rows that gives a lazy Dask array for a Dask collection."""
    name = method.__name__

    @functools.wraps(method)
    def along(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        if is_dask(X):
            return predicted(self, name, X, *args, **kwargs)
        return method(self, X, *args, **kwargs)

    return cast(Method, along)


def predicted(model: Any, method: str | Callable[..., Array], X: Any, offset: Any = None) -> Any:
    """A Dask array with what a method of a fitted model makes of each chunk of rows of X.

    A function of the model and the rows may take the place of a method's name. The model is the one
    of now: a later fit changes nothing in the array.
    """
    import dask
    import dask.array as da

    check_is_fitted(model)
    X, parts, rows = _parts(model, X, {} if offset is None else {"offset": offset})
    one = _row_like(model, method, X, has_offset=offset is not None)
    snapshot = dask.delayed(copy.copy(model), pure=False)
    call = dask.delayed(_predicted, pure=False)
    lengths = (np.nan,) * len(parts) if is_frame(X) else X.chunks[0]
    chunks = [
        da.from_delayed(
            call(snapshot, method, one, part, *more),
            shape=(length, *one.shape[1:]),
            meta=one[:0],
        )
        for length, part, *more in zip(lengths, parts, *rows, strict=True)
    ]
    return da.concatenate(chunks, allow_unknown_chunksizes=True)


def predicted_frame(model: Any, X: Any, offset: Any) -> Any:
    """A Dask data frame of the probabilities, with the index of X where X is one."""
    import dask.dataframe as dd

    check_is_fitted(model)
    if not is_frame(X):
        P = predicted(model, "predict_proba", X, offset)
        return dd.from_dask_array(P, columns=model.classes_)
    if offset is not None:
        raise TypeError("predict_proba_frame takes no offset for a Dask data frame.")
    validate_data(model, nothing_like(X), reset=False, skip_check_array=True)
    snapshot = copy.copy(model)
    few = _predicted_frame(X._meta_nonempty, snapshot)
    return X.map_partitions(_predicted_frame, snapshot, meta=few.iloc[:0])


def function_frame(
    model: Any, function: Callable[..., Array], names: list[str], X: Any, offset: Any
) -> Any:
    """A Dask data frame of what a function makes of the model and each chunk of rows of X.

    It has the index of X where X is a data frame; `function` gives an array with a column for each
    of the names.
    """
    import dask.dataframe as dd

    check_is_fitted(model)
    if not is_frame(X):
        return dd.from_dask_array(predicted(model, function, X, offset), columns=names)
    if offset is not None:
        raise TypeError("predict_proba_interval takes no offset for a Dask data frame.")
    validate_data(model, nothing_like(X), reset=False, skip_check_array=True)
    few = _named(X._meta_nonempty, model, function, names)
    return X.map_partitions(_named, model, function, names, meta=few.iloc[:0])


def _named(X: Any, model: Any, function: Callable[..., Array], names: list[str]) -> Any:
    import pandas as pd

    if not len(X):
        return _named(_ones_like(X), model, function, names).iloc[:0]
    return pd.DataFrame(function(model, X), index=X.index, columns=names)


def sums_over_chunks(
    model: Any, function: Callable[..., tuple[Array, ...]], X: Any, arguments: dict[str, Any]
) -> tuple[Array, ...]:
    """Sums over the chunks of rows of X of the arrays that a function makes of each.

    The function takes the rows and then what `arguments` has for these.
    """
    import dask

    check_is_fitted(model)
    X, parts, rows = _parts(model, X, arguments)
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


def accuracy(model: Any, X: Any, y: Any, sample_weight: Any, offset: Any) -> float:
    """Share of the weight of the rows whose class is predicted."""
    return _mean(_is_right, model, X, y, sample_weight, offset)


def log_likelihood(model: Any, X: Any, y: Any, sample_weight: Any, offset: Any) -> float:
    """Weighted mean of the log-probability of the class of each row."""
    return _mean(_log_probability, model, X, y, sample_weight, offset)


def _mean(
    value: Callable[..., Array], model: Any, X: Any, y: Any, sample_weight: Any, offset: Any
) -> float:
    """Weighted mean over rows of a value of the model, the rows and their labels."""
    import dask

    check_is_fitted(model)
    given = {"y": y, "sample_weight": sample_weight, "offset": offset}
    X, parts, rows = _parts(model, X, given)
    snapshot = dask.delayed(copy.copy(model), pure=False)
    total_of = dask.delayed(_total, pure=False)
    scheduler = current_scheduler(X)
    totals = [
        total_of(value, snapshot, part, *more) for part, *more in zip(parts, *rows, strict=True)
    ]
    total, weight = np.sum(scheduler.gather(scheduler.start(totals)), axis=0)
    if not weight > 0.0:
        raise ValueError("X has no rows of positive weight to score.")
    return float(total / weight)


def _parts(model: Any, X: Any, arguments: dict[str, Any]) -> tuple[Any, list[Any], list[Any]]:
    X = in_row_chunks(X)
    validate_data(model, nothing_like(X), reset=False, skip_check_array=True)
    parts = chunks_of(X)
    rows = [chunks_like(array, X, len(parts), name) for name, array in arguments.items()]
    return X, parts, rows


def _called(model: Any, method: str | Callable[..., Array], X: Any, **offset: Any) -> Array:
    if isinstance(method, str):
        return np.asarray(getattr(model, method)(X, **offset))
    return np.asarray(method(model, X, **offset))


def _row_like(model: Any, method: str | Callable[..., Array], X: Any, *, has_offset: bool) -> Array:
    """What the method makes of a row of zeros of the dtype of X: its shape and dtype."""
    dtypes = set(X.dtypes) if is_frame(X) else {X.dtype}
    row: Any = np.zeros(
        (1, model.n_features_in_), dtype=np.float32 if dtypes == {np.dtype("f4")} else np.float64
    )
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        import pandas as pd

        row = pd.DataFrame(row, columns=names)
    zero = {"offset": 0} if has_offset else {}
    return _called(model, method, row, **zero)


def _predicted(
    model: Any, method: str | Callable[..., Array], one: Array, X: Any, offset: Any = None
) -> Array:
    if not X.shape[0]:
        return one[:0]
    given = {} if offset is None else {"offset": offset}
    return _called(model, method, _rows(X), **given)


def _predicted_frame(X: Any, model: Any) -> Any:
    if not len(X):
        return model.predict_proba_frame(_ones_like(X)).iloc[:0]
    return model.predict_proba_frame(X)


def _ones_like(X: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(np.ones((1, X.shape[1])), columns=X.columns)


def _total(
    value: Callable[..., Array], model: Any, X: Any, y: Any, weights: Any, offset: Any = None
) -> Array:
    if not X.shape[0]:
        return np.zeros(2)
    given = {} if offset is None else {"offset": offset}
    values = value(model, _rows(X), column(y, "y"), given)
    if weights is None or isinstance(weights, Real):
        weights = np.full(len(values), 1.0 if weights is None else weights)
    weights = column(weights, "sample_weight")
    return np.array([weights @ values, weights.sum()], dtype=float)


def _is_right(model: Any, X: Any, y: Array, given: dict[str, Any]) -> Array:
    predicted = model.predict(X, **given)
    accuracy_score(y, predicted)  # refuses labels of another kind
    return np.asarray(predicted == y)


def _log_probability(model: Any, X: Any, y: Array, given: dict[str, Any]) -> Array:
    refuse_unknown(y, model.classes_, "y")
    log_p = model.predict_log_proba(X, **given).astype(float)
    return np.asarray(log_p[np.arange(len(y)), np.searchsorted(model.classes_, y)])


def _rows(X: Any) -> Any:
    """Sparse rows of other packages as SciPy's."""
    return X.tocsr() if hasattr(X, "tocsr") else X
