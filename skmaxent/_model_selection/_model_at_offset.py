"""ModelAtOffset: a fitted model of rows with offsets, as the classifier that scorers expect."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin

from skmaxent._model._fitted_model import FittedModel
from skmaxent._typing import Array


class ModelAtOffset(ClassifierMixin, BaseEstimator):
    """A fitted model of rows with an offset, as the classifier that scorers expect.

    Parameters
    ----------
    model : FittedModel
    offset : array-like
        Of the rows that it will be asked to predict.
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

    def fit(self, X: Any, y: Any) -> ModelAtOffset:
        """The model is fitted already."""
        return self

    def decision_function(self, X: Any) -> Any:
        """Return the logits of rows; a single column is a vector."""
        Z = self.model.predict("logits", X, self.offset)
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def predict(self, X: Any) -> Any:
        """The label of the most probable class of each row."""
        return self.model.predict("most_probable", X, self.offset)

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities of the classes."""
        return self.model.predict("probabilities", X, self.offset)

    def predict_log_proba(self, X: Any) -> Any:
        """Return logarithms of the probabilities."""
        return self.model.predict("log_probabilities", X, self.offset)
