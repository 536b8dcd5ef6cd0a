"""Estimate: a fit as inference knows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._read import read
from skmaxent._input._settings import Settings
from skmaxent._model._fitted_model import FittedModel
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._typing import Array


@dataclass(frozen=True)
class Estimate:
    """A fitted classifier as it was when `infer` was called, with the settings of its fit.

    Attributes
    ----------
    model : FittedModel
        It predicts.
    settings : Settings
        They tell how rows of the fit are read, and what was minimised over them.
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
        self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None
    ) -> Iterator[TrainingProblem]:
        """The problem that the rows of the fit pose, given again, over all columns."""
        columns = self.model.columns
        data = read(self.settings, columns, X, y, sample_weight, offset, classes=self.model.classes)
        with TrainingProblem.of(data, self.settings, as_given=True) as training:
            yield training

    def of_columns(self, kept: Array, coef: Array, intercept: Array) -> Estimate:
        """The estimate for rows with some of the columns, which have no names.

        `coef` and `intercept` are the coefficients of these, before `prior_correction`.
        """
        correction = self.model.intercept - self.intercept
        columns = FittedColumns(len(kept), None, self.model.columns.estimator)
        model = replace(self.model, columns=columns, coef=coef, intercept=intercept + correction)
        settings = replace(self.settings, penalty_factor=None)
        return replace(
            self, model=model, settings=settings, names=self.names[kept], intercept=intercept
        )
