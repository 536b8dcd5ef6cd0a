"""Chunks of rows of Dask collections: how X is cut, and the same cuts of y, weights and offsets."""

from __future__ import annotations

import itertools
from numbers import Real
from typing import Any

import numpy as np

from skmaxent._input._interchange import native
from skmaxent._storage._cluster import has_chunks, is_dask
from skmaxent._typing import Array


def is_frame(X: Any) -> bool:
    """Return whether X is a Dask data frame."""
    return hasattr(X, "columns") and hasattr(X, "_meta")


def column_metadata(X: Any) -> Any:
    """Return a frame without rows that has the columns of a Dask frame, or a Dask array itself.

    scikit-learn's checks of the names and the number of columns take it.
    """
    return X._meta if is_frame(X) else X


def in_row_chunks(X: Any) -> Any:
    """Return X with chunks that contain all columns.

    Raises TypeError or ValueError if X is not a two-dimensional Dask collection with a known number
    of columns.
    """
    _refuse_without_chunks(X, "X")
    if getattr(X, "ndim", None) != 2:
        raise ValueError(
            f"Expected 2D array, got {getattr(X, 'ndim', 0)}D array instead: X must be a Dask "
            "array of shape (n_samples, n_features), or a Dask data frame."
        )
    if is_frame(X):
        return X
    if np.isnan(X.shape[1]):
        raise ValueError(
            f"X has the shape {X.shape}, with a number of columns that is not known; expected "
            "(n_samples, n_features), of which n_samples may be unknown."
        )
    return X if X.numblocks[1] == 1 else X.rechunk({1: -1})


def _refuse_without_chunks(array: Any, name: str) -> None:
    """Raise TypeError if the argument with this name is not a Dask array or data frame."""
    if not has_chunks(array):
        raise TypeError(
            f"{name} is a {type(array).__name__}; expected a Dask array or data frame, which for "
            "instance dask.array.from_delayed makes of delayed objects."
        )


def chunks_of(X: Any) -> list[Any]:
    """Return the chunks of rows of a Dask collection as delayed objects, in order.

    The graph is not optimised. If Dask optimised X and y apart, they could get different chunks,
    because Dask reads several parquet files at once if few columns are wanted; and what X and y
    share would be computed twice.
    """
    return list(np.asarray(X.to_delayed(optimize_graph=False), dtype=object).ravel())


def _lengths(X: Any) -> tuple[float, ...]:
    """Return the number of rows of each chunk, NaN where it is unknown."""
    return (np.nan,) * X.npartitions if is_frame(X) or not hasattr(X, "chunks") else X.chunks[0]


def chunks_like(array: Any, X: Any, n_chunks: int, name: str) -> list[Any]:
    """Return the part of an argument with the rows of each chunk of X, a list of `n_chunks`.

    Parameters
    ----------
    array : Dask collection, array-like, number or None
        Numbers and None are repeated for each chunk.
    X : Dask array or data frame
    n_chunks : int
        The number of chunks of X.
    name : str
        The name of the argument, for errors.

    Raises
    ------
    TypeError, ValueError
        If the rows of the argument cannot be matched with those of X.
    """
    if array is None or isinstance(array, Real):
        return [array] * n_chunks
    lengths = _lengths(X)
    is_known = not np.isnan(lengths).any()
    if not is_dask(array):
        if not is_known:
            raise TypeError(
                f"{name} is in memory, but the lengths of X's chunks are not known; expected "
                f"{name} as a Dask collection with the chunks of X. Otherwise call "
                "X.compute_chunk_sizes() first."
            )
        whole = native(array, name)
        whole = whole if hasattr(whole, "columns") or hasattr(whole, "iloc") else np.asarray(whole)
        if not getattr(whole, "ndim", 1):
            raise TypeError(f"{name} is a {type(array).__name__}; expected an array or data frame.")
        _refuse_other_length(len(whole), sum(lengths), name)
        edges = np.concatenate([[0], np.cumsum(lengths)]).astype(int)
        by_position = getattr(whole, "iloc", whole)  # a pandas object itself slices by its index
        return [by_position[a:b] for a, b in itertools.pairwise(edges)]
    _refuse_without_chunks(array, name)
    own = _lengths(array) if hasattr(array, "npartitions") else ()
    if is_known and own and not np.isnan(own).any():
        _refuse_other_length(sum(own), sum(lengths), name)
        if tuple(own) != tuple(lengths):
            array = array.rechunk({0: tuple(lengths)})
    if getattr(array, "ndim", 1) == 2 and not is_frame(array) and array.numblocks[1] > 1:
        array = array.rechunk({1: -1})
    parts = chunks_of(array)
    if len(parts) != n_chunks:
        raise ValueError(
            f"{name} has {len(parts)} chunks and X has {n_chunks}, of unknown lengths: expected "
            "the same chunks. Select both as columns of one data frame (not of its `values`, whose "
            "chunks may differ), or call compute_chunk_sizes() on both and rechunk one like the "
            "other."
        )
    return parts


def _refuse_other_length(found: float, expected: float, name: str) -> None:
    """Raise ValueError, in scikit-learn's words, if an argument has not as many rows as X."""
    if found != expected:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {expected}, {name} "
            f"has {found}."
        )


def column(array: Any, name: str) -> Array:
    """Return an array, a series or a frame of one column as an array of shape (n_rows,)."""
    array = np.asarray(array)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        instead = ": tables of counts and sets of labels are for y in memory" if name == "y" else ""
        raise ValueError(f"{name} has the shape {array.shape}; expected (n_samples,){instead}.")
    return array
