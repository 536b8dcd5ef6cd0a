"""Functions of the rows of Dask collections, evaluated chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._input._dask_chunks import (
    chunks_like,
    chunks_of,
    column_metadata,
    in_row_chunks,
    is_frame,
)
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._validation import is_no_offset
from skmaxent._storage._cluster import current_scheduler
from skmaxent._typing import Array


def array_over_chunks(
    function: Callable[..., Array], columns: FittedColumns, X: Any, offset: ArrayLike | None = None
) -> Any:
    """Return a lazy Dask array of the results of a function of each chunk of rows of X.

    Parameters
    ----------
    function : callable
        From rows, and their `offset` if there is one, to an array with a row for each of them.
    columns : FittedColumns
        The columns that X must have.
    X : Dask collection of shape (n_samples, n_features)
    offset : object, default=None
        The offsets of the rows, as in `chunks_like`.
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


def frame_over_chunks(
    function: Callable[..., Array],
    columns: FittedColumns,
    names: Any,
    X: Any,
    offset: ArrayLike | None,
    method: str,
) -> Any:
    """Return a lazy Dask data frame of the results of a function of each chunk of rows of X.

    If X is a data frame, the result has its index, and the offset must be None or 0. `names` are
    the names of the columns, `method` is the name of the method in the error. See
    `array_over_chunks` for the other parameters.
    """
    import dask.dataframe as dd

    if not is_frame(X):
        return dd.from_dask_array(array_over_chunks(function, columns, X, offset), columns=names)
    if not is_no_offset(offset):
        raise TypeError(
            f"{method} takes no offset but 0 for a Dask data frame: pass X as a Dask array."
        )
    if offset is not None:
        function = partial(function, offset=0)
    columns.check(column_metadata(X))
    few = _named(X._meta_nonempty, function, names)
    return X.map_partitions(_named, function, names, meta=few.iloc[:0])


def _named(X: Any, function: Callable[..., Array], names: Any) -> Any:
    """Return the results of a function of a pandas data frame as a data frame."""
    import pandas as pd

    if not len(X):  # the function needs a row
        one = pd.DataFrame(np.ones((1, X.shape[1])), columns=X.columns)
        return _named(one, function, names).iloc[:0]
    return pd.DataFrame(function(X), index=X.index, columns=names)


def sums_over_chunks(
    function: Callable[..., tuple[Array, ...]],
    columns: FittedColumns,
    X: Any,
    arguments: dict[str, Any],
) -> tuple[Array, ...]:
    """Compute the sums over chunks of rows of X of the arrays that a function returns.

    The arguments of the function are a chunk of rows, and the same rows of each entry of
    `arguments`.
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
    """Call a function with a chunk of rows, and the same rows of other arguments."""
    return function(_rows(X), *arguments)


def _parts(
    columns: FittedColumns, X: Any, arguments: dict[str, Any]
) -> tuple[Any, list[Any], list[Any]]:
    """Return X in chunks of whole rows, these chunks, and the same rows of each argument."""
    X = in_row_chunks(X)
    columns.check(column_metadata(X))
    parts = chunks_of(X)
    rows = [chunks_like(array, X, len(parts), name) for name, array in arguments.items()]
    return X, parts, rows


def _row_like(
    function: Callable[..., Array], columns: FittedColumns, X: Any, *, has_offset: bool
) -> Array:
    """Return the result for a row of zeros of the dtype of X, for its shape and dtype."""
    dtypes = set(X.dtypes) if is_frame(X) else {X.dtype}
    dtype = np.float32 if dtypes == {np.dtype("f4")} else np.float64
    row: Any = np.zeros((1, columns.n_features), dtype=dtype)
    if columns.names is not None:
        import pandas as pd

        row = pd.DataFrame(row, columns=columns.names)
    zero = {"offset": 0} if has_offset else {}
    return np.asarray(function(row, **zero))


def _of_rows(
    function: Callable[..., Array], one: Array, X: Any, offset: ArrayLike | None = None
) -> Array:
    """Return the result for a chunk, which may be empty; `one` is the result for a row."""
    if not X.shape[0]:
        return one[:0]
    given = {} if offset is None else {"offset": offset}
    return np.asarray(function(_rows(X), **given))


def _rows(X: Any) -> Any:
    """Return sparse rows of other packages as SciPy's, and other rows as they are."""
    return X.tocsr() if hasattr(X, "tocsr") else X
