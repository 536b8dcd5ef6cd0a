"""LinearModel and LinearClassifier: methods of fitted classifiers that need coefficients only."""

from __future__ import annotations

import copy
import functools
import inspect
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from skmaxent._estimators._documentation import documentation_link
from skmaxent._estimators._fit_steps import set_attributes
from skmaxent._estimators._penalty_parameter import HasPenalty
from skmaxent._estimators._removed_parameters import AcceptsRemoved
from skmaxent._input import _frames, _targets, _validation
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import exact_integers, native, refuse_masked
from skmaxent._model import _dask_scores, _prediction
from skmaxent._model._fitted_model import FittedModel
from skmaxent._sklearn import SparseCoefMixin
from skmaxent._storage._cluster import is_dask
from skmaxent._storage._place import attributes_on_devices_of, place_of, to_host
from skmaxent._typing import Array
from skmaxent._versions import with_versions, without_versions

if TYPE_CHECKING:
    import pandas as pd


class LinearModel(AcceptsRemoved, HasPenalty, SparseCoefMixin, ClassifierMixin, BaseEstimator):
    """Base class of all classifiers: parameters, clones, pickles and the table of coefficients."""

    coef_: Any
    intercept_: Array
    classes_: Array
    n_features_in_: int
    feature_names_in_: Array
    n_iter_: Array
    optimality_gap_: float
    fit_intercept: bool
    n_jobs: int | None

    # Whether the rows of the fit had an offset. Predictions then need one too.
    _fitted_with_offset: bool = False
    # The offset of predictions without the argument `offset`. Only the estimators that callbacks
    # receive during a fit have one, because callbacks predict the rows of the fit.
    _default_offset: Any = None
    # The numbers that `prior_correction` has added to the intercepts.
    _correction: Any = 0.0

    @classmethod
    @functools.cache
    def _get_param_names(cls) -> list[str]:
        # Reading the signature takes longer than an iteration of a small fit, so it is read once.
        return super()._get_param_names()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __sklearn_clone__(self) -> Self:
        """Return a clone; parameters that are fitted models, such as `prior_coef`, stay fitted."""
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
        super().__setstate__(defaults | self._added_since(state) | state)

    @staticmethod
    def _added_since(state: dict[str, Any]) -> dict[str, Any]:
        """Return the fitted attributes that the pickled state of an older version may lack."""
        return {}

    @property
    def _link(self) -> str:
        """How logits become probabilities: a key of `LINKS`."""
        return "softmax"

    def coef_frame(self, feature_names: Any = None) -> pd.DataFrame:
        """Return the coefficients with the names of classes and features.

        Parameters
        ----------
        feature_names : array-like of str of shape (n_features,), or transformer, default=None
            Names of the features, or a fitted transformer or pipeline that gives them by its method
            ``get_feature_names_out``, such as a vectorizer of texts or ``pipe[:-1]``. None takes
            the names that X had in `fit`.

        Returns
        -------
        pandas.DataFrame
            A row for each feature, and one for "Intercept"; a column for each class, or for
            ``classes_[1]`` if there are two. Features without names are x0, x1, ... If `fit` warned
            that it did not converge, that classes are separated or that coefficients are rounded,
            these texts are in ``attrs["notes"]``, as in the tables of results.
            ``polars.from_pandas(table, include_index=True)`` converts the table to polars.

        Raises
        ------
        ValueError
            If the number of names is not the number of features.
        """
        check_is_fitted(self)
        table = _frames.coefficient_frame(
            _prediction.dense_coef(self.coef_),
            to_host(self.intercept_) if self.fit_intercept else None,
            FittedColumns.of(self).named(feature_names),
            labels_of(self),
        )
        # Estimators of earlier versions, and those whose coefficients are means, have no notes.
        if notes := getattr(self, "_notes", ()):
            table.attrs["notes"] = notes
        return table

    def _get_doc_link(self) -> str:
        return documentation_link(type(self).__name__)


def labels_of(estimator: LinearModel) -> Array:
    """Return the labels of a fitted estimator as an ndarray, wherever `classes_` is stored."""
    return np.asarray(to_host(estimator.classes_))


def fitted_model(estimator: LinearModel) -> FittedModel:
    """Return a model for predictions from the present attributes, which the user may have changed.

    Raises NotFittedError before a fit.
    """
    check_is_fitted(estimator)
    coef = estimator.coef_
    return FittedModel(
        FittedColumns.of(estimator),
        labels_of(estimator),
        _prediction.dense_coef(coef),
        to_host(estimator.intercept_),
        estimator._link,
        estimator._fitted_with_offset,
        estimator._default_offset,
        estimator.n_jobs,
        None if isinstance(coef, np.ndarray) else place_of(coef),
    )


def uncorrected_intercept(estimator: LinearModel) -> Array:
    """Return the intercepts (n_logits,) before `prior_correction`, in float64."""
    correction = to_host(estimator._correction)
    return np.asarray(to_host(estimator.intercept_) - correction, dtype=float)


def move_to_input(estimator: LinearModel, X: Any, y: Any) -> None:
    """Move the fitted attributes to the device of X, and `classes_` to that of y."""
    set_attributes(estimator, attributes_on_devices_of(vars(estimator), X, y))


class LinearClassifier(LinearModel):
    """A classifier for rows of one class each, with predictions and scores."""

    def decision_function(self, X: Any, offset: ArrayLike | None = None) -> Any:
        """Return the logits of the rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            For two classes the logit of ``classes_[1]`` against ``classes_[0]``. Offsets far above
            the logits that all classes share hide digits of the differences of logits;
            `predict_proba` and `predict_log_proba` keep these digits.
        """
        Z = fitted_model(self).predict("logits", X, offset)
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def predict(self, X: Any, offset: ArrayLike | None = None) -> Any:
        """Return the most probable class of each row.

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
        return fitted_model(self).predict("most_probable", X, offset)

    def predict_proba(self, X: Any, offset: ArrayLike | None = None) -> Any:
        """Return the probabilities of the classes, which are the softmax of the logits.

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
        return fitted_model(self).predict("probabilities", X, offset)

    def predict_log_proba(self, X: Any, offset: ArrayLike | None = None) -> Any:
        """Return the logarithms of the probabilities, which are finite for every finite X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return fitted_model(self).predict("log_probabilities", X, offset)

    def score(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> float:
        """Return the share of the observations whose class is predicted.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels, or counts or shares of the classes; a row of counts is that many
            observations. With `partial_labels`, sets of classes; the score is then the share of the
            rows whose predicted class is in the set.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        float
        """
        if is_dask(X):
            return _dask_scores.accuracy(fitted_model(self), X, y, sample_weight, offset)
        predicted = to_host(self.predict(X, offset))
        y = exact_integers(native(to_host(y), "y"))
        refuse_masked(y, "y")
        partial_labels = getattr(self, "partial_labels", False)
        if not (_targets.is_table(y) or partial_labels):
            weights = _validation.relative_weights(sample_weight, len(predicted))
            return float(accuracy_score(y, predicted, sample_weight=weights))
        observed = _targets.observe(y, labels_of(self), partial_labels=partial_labels)
        return observed.mean(predicted[:, None] == labels_of(self), sample_weight)

    def predict_proba_frame(self, X: Any, offset: ArrayLike | None = None) -> Any:
        """Return the probabilities with the index of X and the names of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        DataFrame
            A row for each row of X and a column for each class, in the library of X: pandas, with
            the index of X, polars, narwhals, or pyarrow; pandas for arrays. Columns are labels in
            pandas, and strings of the labels in other libraries.
        """
        return fitted_model(self).probability_frame(X, offset)
