"""A fold of a cross-validation: a path on its training rows, scored on the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, _safe_indexing

from skmaxent import _callbacks, _prediction, _validation
from skmaxent._classifier import MaxentClassifier
from skmaxent._device_array import on_host
from skmaxent._linear_classifier import LinearClassifier
from skmaxent._path import MaxentPath, fit_path
from skmaxent._place import to_host
from skmaxent._prediction import Linear
from skmaxent._targets import Observed, is_table, observe
from skmaxent._threads import Workers

Array = NDArray[Any]


class AtOffset(LinearClassifier):
    """A fitted classifier whose rows have offsets, as a scorer sees it."""

    @classmethod
    def of(cls, coef: Array, intercept: Array, like: LinearClassifier, offset: Any) -> AtOffset:
        """With coefficients, for the features and classes of another classifier."""
        self = cls()
        self.coef_, self.intercept_, self.classes_ = coef, intercept, like._labels
        self.fit_intercept, self.n_jobs = like.fit_intercept, None
        self.n_features_in_ = like.n_features_in_
        if hasattr(like, "feature_names_in_"):
            self.feature_names_in_ = like.feature_names_in_
        self._offset = offset
        return self

    def fit(self, X: Any, y: Any) -> AtOffset:
        """It is fitted already."""
        return self


@dataclass(frozen=True)
class Fold:
    """A path, and scores (n_cs, n_gammas) of the rows that it did not see."""

    path: MaxentPath
    scores: Array


@dataclass(frozen=True)
class Task:
    """What all folds have in common; `scorer` None is the mean log-likelihood."""

    X: Any
    y: Any
    observed: Observed
    sample_weight: Array | None
    offset: Array | None
    Cs: Array
    gammas: Array
    scorer: Callable[..., float] | None
    routed: Bunch

    def run(
        self,
        model: MaxentClassifier,
        train: Array,
        test: Array,
        followed: _callbacks.Task | None = None,
    ) -> Fold:
        """Fit and score; callbacks follow, and may end the path: its last scores are then NaN."""
        X, y = _safe_indexing(self.X, train), _safe_indexing(self.y, train)
        sample_weight = None if self.sample_weight is None else self.sample_weight[train]
        if followed is not None:
            followed = followed.with_rows(X, y, sample_weight).begun()
        path = fit_path(
            model,
            X,
            y,
            self.Cs,
            sample_weight,
            None if self.offset is None else self.offset[train],
            self.observed.classes,
            relax=bool((self.gammas < 1.0).any()),
            task=followed,
            at_C=lambda C: {"C_": C, "l1_ratio_": model.l1_ratio, "gamma_": 1.0},
        )
        # What a model has never seen tells nothing about its penalty.
        unseen = self.observed.rows(train).totals() == 0.0
        known, kept = self.observed.rows(test).without(unseen)
        test = np.asarray(test)[kept]
        scores = np.full((len(self.Cs), len(self.gammas)), np.nan)
        if len(test) and self.scorer is None:
            self._log_likelihood(model, path, test, known, scores)
        elif len(test):
            self._by_scorer(model, path, test, scores)
        if followed is not None:
            followed.end()
        return Fold(path, scores)

    def _log_likelihood(
        self,
        model: MaxentClassifier,
        path: MaxentPath,
        test: Array,
        known: Observed,
        scores: Array,
    ) -> None:
        """Fill in scores from logits, which are as linear in gamma as coefficients are."""
        X = _validation.check_data(model, _safe_indexing(self.X, test), reset=False)
        weights = self.routed.scorer.score.get("sample_weight")
        weights = None if weights is None else np.asarray(to_host(weights))[test]
        offset = None if self.offset is None else self.offset[test].astype(X.dtype)

        def logits(coef: Array, intercept: Array) -> Array:
            Z = _prediction.logits(X, Linear(coef, intercept, offset), workers=Workers())
            return np.asarray(on_host(Z), dtype=float)

        for i in path.n_iter.nonzero()[0].tolist():
            Z = logits(path.coefs[i], path.intercepts[i])
            relaxed = Z
            if path.relaxed_coefs is not None and path.relaxed_intercepts is not None:
                relaxed = logits(path.relaxed_coefs[i], path.relaxed_intercepts[i])
            for j, gamma in enumerate(self.gammas):
                blend = Z if gamma == 1.0 else gamma * Z + (1.0 - gamma) * relaxed
                log_p = _prediction.log_softmax(blend.copy(), 1)
                scores[i, j] = known.mean(log_p, weights)

    def _by_scorer(
        self, model: MaxentClassifier, path: MaxentPath, test: Array, scores: Array
    ) -> None:
        assert self.scorer is not None
        model.classes_ = self.observed.classes
        # Scorers are for NumPy's arrays.
        X, y = to_host(_safe_indexing(self.X, test)), _safe_indexing(self.y, test)
        offset = 0 if self.offset is None else self.offset[test]
        given = {name: to_host(value) for name, value in self.routed.scorer.score.items()}
        metadata = {
            name: _safe_indexing(value, test) if np.ndim(value) else value
            for name, value in given.items()
        }
        for i in path.n_iter.nonzero()[0].tolist():
            for j, gamma in enumerate(self.gammas):
                at = AtOffset.of(*path.blended(gamma, i), model, offset)
                scores[i, j] = self.scorer(at, X, y, **metadata)


def mean_log_likelihood(
    model: LinearClassifier, X: Any, y: Any, sample_weight: Any = None
) -> float:
    """The score "neg_log_loss", for any subset of the classes in y."""
    log_p = np.asarray(to_host(model.predict_log_proba(X)), dtype=float)
    y = to_host(y)
    if not is_table(y):
        _validation.refuse_unknown(y, model._labels, "y")
    return observe(y, model._labels).mean(log_p, sample_weight)
