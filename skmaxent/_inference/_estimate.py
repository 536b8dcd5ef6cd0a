"""Estimate: the fitted coefficients and settings that `infer` copies from a classifier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._penalty_terms import Columns
from skmaxent._input._read import read
from skmaxent._input._settings import Settings
from skmaxent._model._fitted_model import FittedModel
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._typing import Array


@dataclass(frozen=True)
class Estimate:
    """A copy of what `infer` needs of a classifier, so that a later `fit` changes no results.

    Attributes
    ----------
    model : FittedModel
        Has the coefficients and computes predictions.
    settings : Settings
        The parameters of the fit, which tell how to read the data again.
    names : ndarray of shape (n_features,)
        Names of the features in tables.
    intercept : ndarray of shape (n_logits,)
        Intercepts before `prior_correction`, in float64.
    gap : float
        The attribute `optimality_gap_` of the classifier, or NaN if it has none.
    tol : float
        The parameter `tol` of the classifier.
    """

    model: FittedModel
    settings: Settings
    names: Array
    intercept: Array
    gap: float
    tol: float

    @property
    def coef(self) -> Array:
        """Coefficients, (n_logits, n_features)."""
        return self.model.coef

    @property
    def is_bias_reduced(self) -> bool:
        """Whether the likelihood was penalised by Jeffreys' prior."""
        return self.settings.bias_reduction is not None

    @contextmanager
    def problem(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> Iterator[TrainingProblem]:
        """Return a context with the training problem of the fit, from the data of the fit.

        The arguments are the data that `fit` got. The problem has all columns, including constant
        ones. The end of the context ends its threads.
        """
        columns = self.model.columns
        data = read(self.settings, columns, X, y, sample_weight, offset, classes=self.model.classes)
        with TrainingProblem.of(data, self.settings, keep_columns=True) as training:
            yield training

    def of_columns(self, kept: Array, coef: Array, intercept: Array) -> Estimate:
        """Return the estimate for a model with some of the columns and other coefficients.

        Its data have these columns only, without names.

        Parameters
        ----------
        kept : ndarray of int, shape (n_kept,)
            Positions of the columns among those of this model.
        coef : ndarray of shape (n_logits, n_kept)
            Coefficients of the other model.
        intercept : ndarray of shape (n_logits,)
            Intercepts of the other model, before `prior_correction`.
        """
        correction = self.model.intercept - self.intercept
        old = self.model.columns
        settings = self.settings.of_columns(
            kept, Columns(old.names, old.n_features, self.model.classes)
        )
        columns = FittedColumns(len(kept), None, old.estimator)
        model = replace(self.model, columns=columns, coef=coef, intercept=intercept + correction)
        return replace(
            self, model=model, settings=settings, names=self.names[kept], intercept=intercept
        )
