"""ModelAtOffset: a fitted model as the classifier that scorers expect, with the rows' offsets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin

from skmaxent._model._fitted_model import FittedModel
from skmaxent._sklearn import scorer_of_classes
from skmaxent._typing import Array


class ModelAtOffset(ClassifierMixin, BaseEstimator):
    """A fitted model as a classifier, whose predictions need no argument `offset`.

    Scorers call ``predict(X)`` and the like without offsets.

    Parameters
    ----------
    model : FittedModel
    offset : array-like
        The offsets of the rows that the scorer predicts.
    """

    def __init__(self, model: FittedModel, offset: ArrayLike | None) -> None:
        self.model = model
        self.offset = offset

    @property
    def classes_(self) -> Array:
        """Class labels."""
        return self.model.classes

    @property
    def coef_(self) -> Array:
        """Coefficients."""
        return self.model.coef

    @property
    def intercept_(self) -> Array:
        """Intercepts."""
        return self.model.intercept

    def scored_by(self, scorer: Callable[..., float], X: Any, y: Any, **metadata: Any) -> float:
        """Return the result of a scorer for rows."""
        return float(scorer_of_classes(scorer, self.classes_)(self, X, y, **metadata))

    def fit(self, X: Any, y: Any) -> ModelAtOffset:
        """Do nothing, because the model is fitted already; return the classifier."""
        return self

    def decision_function(self, X: Any) -> Any:
        """Return the logits of rows, (n_samples, n_logits), or (n_samples,) for a single logit."""
        Z = self.model.predict("logits", X, self.offset)
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def predict(self, X: Any) -> Any:
        """Return the label of the most probable class of each row."""
        return self.model.predict("most_probable", X, self.offset)

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities of the classes."""
        return self.model.predict("probabilities", X, self.offset)

    def predict_log_proba(self, X: Any) -> Any:
        """Return logarithms of the probabilities."""
        return self.model.predict("log_probabilities", X, self.offset)
