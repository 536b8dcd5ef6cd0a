"""Estimate: the fitted coefficients that `infer` works with, and how the data are read again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from skmaxent._input._fitted_columns import FittedColumns
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
        The coefficients; it computes predictions.
    settings : Settings
        The parameters of the fit. `problem` reads the data by them.
    names : ndarray of shape (n_features,)
        Names of the features in tables.
    intercept : ndarray of shape (n_logits,)
        Intercepts before `prior_correction`, in float64.
    gap : float
        `optimality_gap_` of the fit.
    """

    model: FittedModel
    settings: Settings
    names: Array
    intercept: Array
    gap: float

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
        """Return the problem of the fit for its data, which the caller passes again.

        All columns are in it, constant ones too. The arguments are those of `fit`, and must be the
        same data. Leaving the context ends the threads.
        """
        columns = self.model.columns
        data = read(self.settings, columns, X, y, sample_weight, offset, classes=self.model.classes)
        with TrainingProblem.of(data, self.settings, keep_columns=True) as training:
            yield training

    def of_columns(self, kept: Array, coef: Array, intercept: Array) -> Estimate:
        """Return the estimate of a model of some of the columns.

        Parameters
        ----------
        kept : ndarray of int, shape (n_kept,)
            Positions of the columns. X has these columns only, without names.
        coef : ndarray of shape (n_logits, n_kept)
        intercept : ndarray of shape (n_logits,)
            Intercepts before `prior_correction`.
        """
        correction = self.model.intercept - self.intercept
        columns = FittedColumns(len(kept), None, self.model.columns.estimator)
        model = replace(self.model, columns=columns, coef=coef, intercept=intercept + correction)
        settings = replace(self.settings, penalty_factor=None)
        return replace(
            self, model=model, settings=settings, names=self.names[kept], intercept=intercept
        )
