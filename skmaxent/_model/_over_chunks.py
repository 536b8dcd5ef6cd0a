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
    """Return the lazy Dask array of the results of a function of each chunk of rows of X.

    Parameters
    ----------
    function : callable
        `function(X)` or `function(X, offset=offset)` of a chunk returns an array with an entry or a
        row for each row of X.
    columns : FittedColumns
        The columns that X must have.
    X : Dask collection of shape (n_samples, n_features)
    offset : object, default=None
        The offsets of the rows, as in `chunks_like`.
    """
    import dask
    import dask.array as da

    X, parts, rows = _row_chunks(columns, X, {} if offset is None else {"offset": offset})
    example = _result_of_one_row(function, columns, X, has_offset=offset is not None)
    shared = dask.delayed(function, pure=False)
    call = dask.delayed(_apply_to_chunk, pure=False)
    lengths = (np.nan,) * len(parts) if is_frame(X) else X.chunks[0]
    chunks = [
        da.from_delayed(
            call(shared, example, part, *more),
            shape=(length, *example.shape[1:]),
            meta=example[:0],
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
    """Return the lazy Dask data frame of the results of a function of each chunk of rows of X.

    `names` are the names of its columns. If X is a data frame, the result has the index of X, and
    the offset must be None or 0; the TypeError for another offset contains `method`. See
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
    few = _as_frame(X._meta_nonempty, function, names)
    return X.map_partitions(_as_frame, function, names, meta=few.iloc[:0])


def _as_frame(X: Any, function: Callable[..., Array], names: Any) -> Any:
    """Return `function(X)` of a pandas data frame X as a data frame with the index of X."""
    import pandas as pd

    if not len(X):  # the function needs a row
        one_row = pd.DataFrame(np.ones((1, X.shape[1])), columns=X.columns)
        return _as_frame(one_row, function, names).iloc[:0]
    return pd.DataFrame(function(X), index=X.index, columns=names)


def sums_over_chunks(
    function: Callable[..., tuple[Array, ...]],
    columns: FittedColumns,
    X: Any,
    arguments: dict[str, Any],
) -> tuple[Array, ...]:
    """Compute the sums, over chunks of rows of X, of the arrays that a function returns.

    The arguments of the function are a chunk of rows of X, and the same rows of each value of
    `arguments`, whose keys are names for errors. `columns` are the columns that X must have.
    """
    import dask

    X, parts, rows = _row_chunks(columns, X, arguments)
    call = dask.delayed(_call_with_chunk, pure=False)
    shared = dask.delayed(function, pure=False)
    scheduler = current_scheduler(X)
    found = [call(shared, part, *more) for part, *more in zip(parts, *rows, strict=True)]
    totals = scheduler.gather(scheduler.start(found))
    return tuple(np.sum(arrays, axis=0) for arrays in zip(*totals, strict=True))


def _call_with_chunk(
    function: Callable[..., tuple[Array, ...]], X: Any, *arguments: Any
) -> tuple[Array, ...]:
    """Return `function(X, *arguments)` for a chunk of rows, which may be sparse of any package."""
    return function(_as_scipy_sparse(X), *arguments)


def _row_chunks(
    columns: FittedColumns, X: Any, arguments: dict[str, Any]
) -> tuple[Any, list[Any], list[Any]]:
    """Return X in chunks of whole rows, the list of chunks, and for each argument its chunks."""
    X = in_row_chunks(X)
    columns.check(column_metadata(X))
    parts = chunks_of(X)
    rows = [chunks_like(array, X, len(parts), name) for name, array in arguments.items()]
    return X, parts, rows


def _result_of_one_row(
    function: Callable[..., Array], columns: FittedColumns, X: Any, *, has_offset: bool
) -> Array:
    """Return the result of a function for one row of zeros, which shows its shape and dtype."""
    dtypes = set(X.dtypes) if is_frame(X) else {X.dtype}
    dtype = np.float32 if dtypes == {np.dtype("f4")} else np.float64
    row: Any = np.zeros((1, columns.n_features), dtype=dtype)
    if columns.names is not None:
        import pandas as pd

        row = pd.DataFrame(row, columns=columns.names)
    zero = {"offset": 0} if has_offset else {}
    return np.asarray(function(row, **zero))


def _apply_to_chunk(
    function: Callable[..., Array], example: Array, X: Any, offset: ArrayLike | None = None
) -> Array:
    """Return the result of a function for a chunk X; an empty one like `example` if X is empty."""
    if not X.shape[0]:
        return example[:0]
    keywords = {} if offset is None else {"offset": offset}
    return np.asarray(function(_as_scipy_sparse(X), **keywords))


def _as_scipy_sparse(X: Any) -> Any:
    """Return sparse rows of other packages as a SciPy CSR matrix, and other rows unchanged."""
    return X.tocsr() if hasattr(X, "tocsr") else X
