"""What all our linear classifiers can do once they have coefficients."""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skmaxent._input import _frames, _targets
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import exact_integers, native, refuse_masked
from skmaxent._model import _dask_prediction, _prediction
from skmaxent._model._fitted_model import FittedModel
from skmaxent._sklearn import SparseCoefMixin
from skmaxent._solvers import NEWTON, Callback, Iteration, Options, Solution, Status, resolve_solver
from skmaxent._storage._cluster import forgetting_on_failure, is_dask
from skmaxent._storage._device_array import on_host
from skmaxent._storage._place import following, place_of, to_host
from skmaxent._typing import Array
from skmaxent._versions import with_versions, without_versions

if TYPE_CHECKING:
    import pandas as pd

# Offsets beyond this leave next to no other class a probability that float64 tells from zero.
LARGE_OFFSET = 700.0
# Names in a warning.
SHOWN = 10


class LinearModel(SparseCoefMixin, ClassifierMixin, BaseEstimator):
    """Rows by `coef_`, `intercept_` and `classes_`, and tables of these."""

    coef_: Any
    intercept_: Array
    classes_: Array
    fit_intercept: bool
    n_jobs: int | None

    # Whether predictions need an offset, as the rows of the fit had one.
    _fitted_with_offset: bool = False
    # The offset of predictions that are asked for without one. Callbacks predict the rows of a fit
    # that is under way; after the fit there is none.
    _default_offset: Any = None

    @classmethod
    @functools.cache
    def _get_param_names(cls) -> list[str]:
        # A class's signature does not change; reading it takes longer than an iteration of a fit.
        return super()._get_param_names()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __sklearn_clone__(self) -> Self:
        """A clone whose parameters that are fitted models, such as `prior_coef`, stay fitted."""
        new: Self = super().__sklearn_clone__()
        for name, value in self.get_params(deep=False).items():
            if hasattr(value, "coef_"):
                setattr(new, name, copy.deepcopy(value))
        return new

    def __getstate__(self) -> dict[str, Any]:
        return with_versions(super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = without_versions(state, type(self).__name__)
        # An older version's state lacks the parameters that have been added since.
        parameters = inspect.signature(type(self)).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        super().__setstate__(defaults | state)

    def _follow(self, X: Any, y: Any) -> None:
        """Move what was learned to where X is, and the classes to where y is."""
        self._set(following(vars(self), X, y))

    def _set(self, attributes: dict[str, Any]) -> None:
        """Set fitted attributes by name."""
        for name, value in attributes.items():
            setattr(self, name, value)

    @property
    def _labels(self) -> Array:
        """The classes, wherever `classes_` are."""
        return np.asarray(to_host(self.classes_))

    @property
    def _link(self) -> str:
        """How logits become probabilities: a key of `LINKS`."""
        return "softmax"

    def _fitted_model(self) -> FittedModel:
        """The model of the present attributes, which users may have changed."""
        check_is_fitted(self)
        coef = self.coef_
        return FittedModel(
            FittedColumns.of(self),
            self._labels,
            _prediction.dense_coef(coef),
            to_host(self.intercept_),
            self._link,
            self._fitted_with_offset,
            self._default_offset,
            self.n_jobs,
            None if isinstance(coef, np.ndarray) else place_of(coef),
        )

    def _feature_names(self) -> Array:
        return FittedColumns.of(self).all_names

    def coef_frame(self) -> pd.DataFrame:
        """Coefficients with names.

        Returns
        -------
        pandas.DataFrame
            Features, then "Intercept", by classes; one column, of ``classes_[1]``, for two
            classes. Features without names are x0, x1, ...
            ``polars.from_pandas(table, include_index=True)`` is that in polars.
        """
        check_is_fitted(self)
        return _frames.coefficient_frame(
            _prediction.dense_coef(self.coef_),
            to_host(self.intercept_) if self.fit_intercept else None,
            self._feature_names(),
            self._labels,
        )


class LinearClassifier(LinearModel):
    """One class a row: predictions from logits, which rows may have offsets of."""

    def decision_function(self, X: Any, offset: Any = None) -> Any:
        """Logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            For two classes the logit of ``classes_[1]`` against ``classes_[0]``.
        """
        Z = self._fitted_model().predict("logits", X, offset)
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def predict(self, X: Any, offset: Any = None) -> Any:
        """The most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels among `classes_`.
        """
        return self._fitted_model().predict("most_probable", X, offset)

    def predict_proba(self, X: Any, offset: Any = None) -> Any:
        """Probabilities of the classes, the softmax of the logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; rows sum to one.
        """
        return self._fitted_model().predict("probabilities", X, offset)

    def predict_log_proba(self, X: Any, offset: Any = None) -> Any:
        """Logarithms of the probabilities, from the logits, finite for every finite X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._fitted_model().predict("log_probabilities", X, offset)

    def score(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: Any = None,
    ) -> float:
        """Share of the observations whose class is predicted.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels; or counts or shares of the classes, of which a row is so many
            observations; or, with `partial_labels`, sets: then the share of the rows whose
            predicted class is possible.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        float
        """
        if is_dask(X):
            return _dask_prediction.accuracy(self._fitted_model(), X, y, sample_weight, offset)
        predicted = to_host(self.predict(X, offset))
        y, sample_weight = exact_integers(native(to_host(y), "y")), to_host(sample_weight)
        refuse_masked(y, "y")
        refuse_masked(sample_weight, "sample_weight")
        partial_labels = getattr(self, "partial_labels", False)
        if not (_targets.is_table(y) or partial_labels):
            return float(accuracy_score(y, predicted, sample_weight=sample_weight))
        observed = _targets.observe(y, self._labels, partial_labels=partial_labels)
        return observed.mean(predicted[:, None] == self._labels, sample_weight)

    def predict_proba_frame(self, X: Any, offset: Any = None) -> Any:
        """Probabilities with names.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        DataFrame
            A row for each of X by class labels, in the library of X: of pandas, with the index of
            X, polars, narwhals, or a Table of pyarrow; of pandas for arrays. Columns are labels in
            pandas, their strings elsewhere.
        """
        return self._fitted_model().probability_frame(X, offset)


def fitted_attributes(
    classes: Array, coef: Array, intercept: Array, n_iter: int, gap: float = np.nan
) -> dict[str, Any]:
    """What a fit leaves on its estimator; the gap of one under way is not known."""
    return {
        "classes_": classes,
        "coef_": coef,
        "intercept_": intercept,
        "n_iter_": np.array([n_iter], dtype=np.int32),
        "optimality_gap_": gap,
    }


@contextmanager
def restored_on_failure(estimator: BaseEstimator) -> Iterator[None]:
    """Leave the estimator as it was if the body raises."""
    before = dict(vars(estimator))
    try:
        with forgetting_on_failure():
            yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def seed_of(random_state: Any) -> int:
    """A seed; that for None is fixed."""
    if random_state is None:
        return 0
    return int(check_random_state(random_state).randint(2**31 - 1))


def options_of(estimator: Any, callback: Callback | None = None, *, quiet: bool = False) -> Options:
    """What an estimator's parameters tell its solver, and who else listens to that."""
    return Options(
        estimator.tol,
        max_iter=estimator.max_iter,
        solver=resolve_solver(estimator.solver),
        seed=seed_of(estimator.random_state),
        callback=_printing(callback) if estimator.verbose > 0 and not quiet else callback,
    )


def _printing(callback: Callback | None) -> Callback:
    """A callback that prints a line before another is called."""

    def told(line: Iteration, theta: Array, is_last: bool) -> bool:
        _print_iteration(line)
        return callback is not None and callback(line, theta, is_last)

    return told


def _print_iteration(iteration: Iteration) -> None:
    print(
        f"iteration {iteration.n_iter:3d}   objective {iteration.value:.10g}   "
        f"distance {iteration.distance:.2e} standard errors   "
        f"{iteration.n_gradients} gradients, {iteration.n_hessian_products} Hessian products",
        flush=True,
    )


def _advice(solution: Solution, estimator: Any) -> str:
    """What to do about large offsets, or the column whose terms are the largest in the logits."""
    offset = _largest_offset(solution)
    if offset > LARGE_OFFSET:
        return (
            f"look at the offset, whose values differ by up to {offset:.2g} between classes, so "
            "that rows have probabilities of 0 and 1 whatever their features"
        )
    sizes = np.abs(solution.coef).max(axis=0, initial=0.0) * solution.point.objective.column_size
    names = estimator._feature_names()
    if not len(sizes) or len(sizes) != len(names):  # columns that say nothing were left out
        return "rescale or centre the columns and look for outliers in them"
    return (
        f"rescale or centre column {str(names[int(np.argmax(sizes))])!r}, whose terms are the "
        "largest in the logits, and look for outliers in it"
    )


def _largest_offset(solution: Solution) -> float:
    """The largest difference that offsets make between logits of a row; 0 where it is not known."""
    blocks = solution.point.objective.blocks
    offset = getattr(blocks, "offset", None)
    if offset is None:
        return 0.0
    offset = np.asarray(on_host(offset), dtype=np.float64)
    if solution.point.objective.likelihood.is_coupled:
        return float(np.ptp(offset, axis=1).max(initial=0.0))
    return float(np.abs(offset).max(initial=0.0))


def _precision_message(solution: Solution, estimator: Any) -> str:
    distance = "at an unknown distance"
    if estimator.tol < solution.distance < np.inf:
        distance = f"about {solution.distance:.2g} standard errors"
    narrow = solution.point.objective.blocks.dtype == np.float32
    return (
        f"The fit ended for lack of floating-point precision, {distance} from the optimum "
        f"(tol={estimator.tol}): {_advice(solution, estimator)}, "
        f"{'pass X in float64, ' if narrow else ''}or set a smaller C."
    )


def warn_unless_converged(
    solution: Solution, estimator: Any, stacklevel: int, labels: Any = ()
) -> None:
    """Say how far a fit is from an optimum that it did not reach, or that there is none or many.

    `labels` are names of those that are separated, where rows may have several.
    """
    if solution.aliased:
        names = [str(name) for name in estimator._feature_names()[list(solution.aliased)]]
        more = f" and {len(names) - SHOWN} others" if len(names) > SHOWN else ""
        warnings.warn(
            f"The features {names[:SHOWN]}{more} are linear combinations of earlier features or of "
            "the intercept, so that without a penalty many coefficients are optimal, of which the "
            "fit has some. Remove these features, or set a finite C.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    if solution.remark:
        warnings.warn(solution.remark, ConvergenceWarning, stacklevel=stacklevel + 1)
    if solution.lacks_precision(estimator.tol):
        warnings.warn(
            _precision_message(solution, estimator), ConvergenceWarning, stacklevel=stacklevel + 1
        )
    elif solution.status is Status.MAX_ITER and solution.distance <= estimator.tol:
        warnings.warn(
            f"max_iter={estimator.max_iter} was reached while steps still change logits by much, "
            f"as where an outlier dominates a column: raise max_iter, or "
            f"{_advice(solution, estimator)}.",
            ConvergenceWarning,
            stacklevel=stacklevel + 1,
        )
    elif solution.status is Status.MAX_ITER:
        is_large = _largest_offset(solution) > LARGE_OFFSET
        more = f", and {_advice(solution, estimator)}" if is_large else ""
        faster = "" if resolve_solver(estimator.solver) in NEWTON else " or set solver='auto'"
        warnings.warn(
            f"max_iter={estimator.max_iter} was reached, about {solution.distance:.2g} standard "
            f"errors from the optimum (tol={estimator.tol}): raise max_iter{faster}{more}.",
            ConvergenceWarning,
            stacklevel=stacklevel + 1,
        )
    elif solution.status in (Status.SEPARATED, Status.QUASI_SEPARATED):
        named = f" This is so for the labels {list(labels)}." if len(labels) else ""
        warnings.warn(
            f"{solution.status.value[0].upper()}{solution.status.value[1:]}.{named} Set a finite "
            "C, or remove the features that separate: skmaxent.detect_separation names them.",
            ConvergenceWarning,
            stacklevel=stacklevel + 1,
        )


def warn_of_rounded_coefficients(excess: float) -> None:
    """Say that coefficients in the dtype of X are not as good as those that were found."""
    if excess > 0.0:
        warnings.warn(
            "Rounding of the coefficients to float32, the dtype of X, puts the objective about "
            f"{excess:.1g} of itself above that of the coefficients before: pass X in float64.",
            ConvergenceWarning,
            stacklevel=3,
        )


def warn_of_rounding(columns: Array, dtype: Any, names: Callable[[], Array]) -> None:
    """Name the columns, at these positions, whose differences are little more than rounding."""
    if not len(columns):
        return
    some = [str(name) for name in names()[columns[:10]]]
    more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    warnings.warn(
        f"The columns {some}{more} of X are so far from zero that {np.dtype(dtype).name} keeps two "
        "digits, or fewer, of the differences between rows: coefficients and predictions are no "
        "more accurate. Subtract a constant, such as the mean, from each of these columns before "
        f"the fit{', or use float64' if dtype == np.float32 else ''}.",
        UserWarning,
        stacklevel=3,
    )
