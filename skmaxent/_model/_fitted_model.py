"""FittedModel: the coefficients of a fit with all that predictions need, and the predictions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from skmaxent._input import _frames
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._read import check_data
from skmaxent._input._validation import check_offset
from skmaxent._model import _prediction
from skmaxent._model._over_chunks import array_over_chunks, frame_over_chunks
from skmaxent._model._prediction import Function, absent_logit
from skmaxent._storage._arrays import empty
from skmaxent._storage._cluster import is_dask
from skmaxent._storage._device_array import DeviceArray, on_host, unwrapped
from skmaxent._storage._device_blocks import DeviceBlocks
from skmaxent._storage._place import Place, check_same_place, to_host
from skmaxent._storage._row_blocks import THREAD_WORK, RowBlocks
from skmaxent._storage._threads import Workers, effective_threads
from skmaxent._typing import Array

Quantity = Literal["logits", "probabilities", "log_probabilities", "most_probable"]
# The public method that returns each quantity, for error messages.
PREDICTING_METHODS: dict[Quantity, str] = {
    "logits": "decision_function",
    "probabilities": "predict_proba",
    "log_probabilities": "predict_log_proba",
    "most_probable": "predict",
}
# With at least this many logits, NumPy's inner loops run along the logits of a row.
MANY_LOGITS = 32
# Larger intercepts are a sign of columns far from zero, whose products with coefficients the
# intercepts cancel. In float32 the difference would have few correct digits.
LARGE_INTERCEPT = 1024.0


@dataclass(frozen=True)
class Link:
    """The functions from logits to probabilities and to log-probabilities.

    `n_columns` returns the number of probabilities of a row from the number of its logits.
    """

    probabilities: Function
    log_probabilities: Function
    n_columns: Callable[[int], int]


# A softmax makes two probabilities of a single logit. Sigmoids make one of each logit.
LINKS = {
    "softmax": Link(_prediction.softmax, _prediction.log_softmax, lambda n: max(n, 2)),
    "sigmoids": Link(_prediction.sigmoids, _prediction.log_sigmoids, lambda n: n),
    "normalised sigmoids": Link(
        _prediction.normalised_sigmoids, _prediction.log_normalised_sigmoids, lambda n: n
    ),
}


@dataclass(frozen=True)
class FittedModel:
    """A fitted linear model of classes or labels, which never changes.

    Attributes
    ----------
    columns : FittedColumns
        Names and number of the columns that X must have.
    classes : ndarray of shape (n_classes,)
        The labels of the classes.
    coef : ndarray of shape (n_logits, n_features)
    intercept : ndarray of shape (n_logits,)
    link : {"softmax", "sigmoids", "normalised sigmoids"}, default="softmax"
        A key of `LINKS`.
    expects_offset : bool, default=False
        Whether predictions need an offset, because the rows of the fit had one.
    default_offset : array-like, default=None
        The offset if none is passed: during a fit, that of its rows, which callbacks may predict.
    n_jobs : int, default=None
        Threads, as in `MaxentClassifier`.
    place : Place, default=None
        The device that X must be on if scikit-learn dispatches on array namespaces; None stands for
        host memory.
    """

    columns: FittedColumns
    classes: Array
    coef: Array
    intercept: Array
    link: str = "softmax"
    expects_offset: bool = False
    default_offset: ArrayLike | None = None
    n_jobs: int | None = None
    place: Place | None = None

    def detached(self) -> FittedModel:
        """Return a copy with its own arrays and without a default offset."""
        return replace(
            self,
            classes=self.classes.copy(),
            coef=self.coef.copy(),
            intercept=self.intercept.copy(),
            default_offset=None,
        )

    def predict(self, quantity: Quantity, X: Any, offset: ArrayLike | None = None) -> Any:
        """Return a quantity, such as probabilities, for the rows X that a user passed.

        Parameters
        ----------
        quantity : {"logits", "probabilities", "log_probabilities", "most_probable"}
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            As in `MaxentClassifier.fit`.

        Returns
        -------
        array of shape (n_samples, n_logits), (n_samples, n_classes) or (n_samples,)
            For "most_probable", the labels (n_samples,). The result is a lazy Dask array if X is a
            Dask collection, an array of the library of X if scikit-learn dispatches on array
            namespaces, and an ndarray otherwise.
        """
        if is_dask(X):
            function = partial(self.predict, quantity)
            return array_over_chunks(function, self.columns, X, self.offset_or_default(offset))
        check_same_place(X, self.place, f"{self.columns.estimator}.{PREDICTING_METHODS[quantity]}")
        found = self.evaluate(quantity, *self.read(X, offset, keep_shared=quantity == "logits"))
        return self._labels(found) if quantity == "most_probable" else unwrapped(found)

    def probability_frame(self, X: Any, offset: ArrayLike | None = None) -> Any:
        """Return the probabilities as a data frame of the library of X, with a column per class."""
        if is_dask(X):
            return frame_over_chunks(
                partial(self.predict, "probabilities"),
                self.columns,
                _frames.class_index(self.classes),
                X,
                self.offset_or_default(offset),
                "predict_proba_frame",
            )
        P = to_host(self.predict("probabilities", X, offset))
        return _frames.probability_frame(P, X, self.classes)

    def read(
        self, X: Any, offset: ArrayLike | None = None, *, keep_shared: bool = False
    ) -> tuple[Any, Array | None]:
        """Check X and its offset against the fit and return them as arrays.

        With `keep_shared`, offsets keep a large number that all classes share, as logits need it;
        see `check_offset`.

        Returns
        -------
        X : ndarray, CSR matrix or DeviceArray of shape (n_samples, n_features)
        offset : ndarray of shape (n_samples, n_logits) or None
        """
        offset = self.offset_or_default(offset)
        if not self.columns.needs_no_validation(X):
            X = check_data(self.columns, X)
        if offset is not None:
            offset = check_offset(
                offset, X.shape[0], self.classes, X.dtype, keep_shared=keep_shared
            )
        return X, offset

    def offset_or_default(self, offset: ArrayLike | None) -> Any:
        """Return `offset`, or `default_offset` for None; ValueError if a needed one is None."""
        offset = self.default_offset if offset is None else offset
        if offset is None and self.expects_offset:
            raise ValueError(
                f"this {self.columns.estimator} was fitted with an offset: predictions need the "
                "offset of the rows of X too (offset=0 for none)."
            )
        return offset

    def evaluate(self, quantity: Quantity, X: Any, offset: Array | None = None) -> Any:
        """Return a quantity for rows X and offsets that `read` returned, on the device of X.

        For "most_probable", the result has the positions of the classes, (n_samples,).
        """
        coef, intercept = self._coefficients_for(X)
        function, n_columns = self._function(quantity)
        n, dtype = X.shape[0], coef.dtype
        out = empty((n,), np.intp, X) if n_columns is None else empty((n, n_columns), dtype, X)
        storage = DeviceBlocks if isinstance(X, DeviceArray) else RowBlocks
        is_small = n * coef.size < THREAD_WORK
        threads = nullcontext(Workers()) if is_small else Workers(effective_threads(self.n_jobs))
        with threads as workers:
            blocks = storage(X, None, None, offset, n_logits=len(coef), workers=workers)
            by_row = blocks.is_sparse or len(coef) >= MANY_LOGITS
            kernel = _prediction.evaluate_by_row if by_row else _prediction.evaluate_by_logit
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                out = blocks.map_rows(kernel, out, coef, intercept, function)
        narrow = np.result_type(X.dtype, self.coef.dtype)
        return out if dtype == narrow or n_columns is None else _narrowed(out, narrow)

    def _coefficients_for(self, X: Any) -> tuple[Array, Array]:
        """Return coefficients and intercepts in the dtype in which logits of X are computed."""
        dtype = np.result_type(X.dtype, self.coef.dtype)
        intercept = self.intercept
        absent = intercept < 0.5 * absent_logit(intercept.dtype)
        if (
            dtype == np.float32
            and not isinstance(X, DeviceArray)
            and np.abs(intercept[~absent]).max(initial=0.0) > LARGE_INTERCEPT
        ):
            dtype = np.dtype(np.float64)
        if dtype != intercept.dtype:
            intercept = intercept.astype(dtype)
            intercept[absent] = absent_logit(dtype)
        return np.asfortranarray(self.coef, dtype=dtype), intercept

    def _function(self, quantity: Quantity) -> tuple[Function, int | None]:
        """Return the function from logits to a quantity, and the number of its values for a row.

        The number is None for the positions of the most probable classes, an array of one axis.
        """
        if quantity == "logits":
            return _prediction.unchanged, len(self.coef)
        if quantity == "most_probable":
            return _prediction.most_probable, None
        link = LINKS[self.link]
        function: Function = getattr(link, quantity)
        return function, link.n_columns(len(self.coef))

    def _labels(self, codes: Any) -> Any:
        """Return the labels at positions `codes`, on the device of `codes` if they are numbers."""
        if isinstance(codes, DeviceArray) and self.classes.dtype.kind in "biuf":
            return unwrapped(DeviceArray(codes.place.put(self.classes), codes.place)[codes])
        return np.asarray(self.classes[on_host(codes)])


def _narrowed(out: Array, dtype: DTypeLike) -> Array:
    """Return results in a narrower dtype, clipped to its range; absent logits stay below all."""
    limit = float(np.finfo(dtype).max) / 4
    least = np.where(out < 0.5 * absent_logit(out.dtype), absent_logit(dtype), -limit)
    return np.clip(out, least, limit).astype(dtype)
