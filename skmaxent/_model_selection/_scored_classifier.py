"""ScoredClassifier: a classifier whose `score` is the one that its parameter `scoring` names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike
from sklearn.metrics import check_scoring
from sklearn.utils.metadata_routing import MetadataRouter

from skmaxent._estimators._linear_classifier import LinearClassifier, fitted_model
from skmaxent._model import _dask_scores
from skmaxent._model_selection._dask_folds import refuse_scorer
from skmaxent._model_selection._folds import mean_log_likelihood
from skmaxent._model_selection._metadata import routed_metadata, router_of
from skmaxent._model_selection._model_at_offset import ModelAtOffset
from skmaxent._storage._cluster import is_dask
from skmaxent._storage._place import to_host

LOG_LOSS = "neg_log_loss"


class ScoredClassifier(LinearClassifier):
    """A classifier with the parameter `scoring`; None stands for "neg_log_loss"."""

    scoring: Any

    @property
    def _scorer(self) -> Callable[..., float] | None:
        """The scorer of `scoring`; None for the log-likelihood, which needs no scorer."""
        if self.scoring is None or self.scoring == LOG_LOSS:
            return None
        scorer: Callable[..., float] = check_scoring(self, scoring=self.scoring)
        return scorer

    def score(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: Any = None,
        **params: Any,
    ) -> float:
        """Return the score that `scoring` defines.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features. A Dask array or data frame is possible if `scoring` is "neg_log_loss".
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels, or a table with counts or shares of the classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like, default=None
            Offsets as in `fit`. 0 means no offset.
        **params
            With metadata routing enabled, the metadata that the scorer requests.

        Returns
        -------
        float
            The score. Larger is better.
        """
        routed = routed_metadata(self, "score", sample_weight, params)
        weights = routed.scorer.score
        model = fitted_model(self)
        if is_dask(X):
            refuse_scorer(self.scoring, self._scorer)
            weights = weights.get("sample_weight")
            return _dask_scores.log_likelihood(model, X, y, weights, offset)
        weights = {name: to_host(value) for name, value in weights.items()}
        if self._scorer is None:
            return mean_log_likelihood(model, X, y, offset=offset, **weights)
        # scikit-learn's scorers do not accept arrays on a device.
        model = ModelAtOffset(replace(model, place=None), offset)
        return model.scored_by(self._scorer, to_host(X), to_host(y), **weights)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata to the splitter and the scorer.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            The router of this estimator.
        """
        return router_of(self, self.scoring)
