"""ChosenPenalty: a classifier whose penalty is chosen by scores of folds, and their table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmaxent._input import _frames
from skmaxent._input._arguments import is_flag
from skmaxent._model_selection._folds import Fold, Folds, stacked_paths, warn_of_absent_classes
from skmaxent._model_selection._left_out_rows import LeftOutRows
from skmaxent._model_selection._maxent_path import MaxentPath
from skmaxent._model_selection._penalty_grid import alphas_of
from skmaxent._model_selection._scored_classifier import ScoredClassifier
from skmaxent._model_selection._selection import chosen_index, mean_and_error, mean_coefficients
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


class ChosenPenalty(ScoredClassifier):
    """The attributes of `MaxentClassifierCV` that follow from the scores of the folds."""

    Cs_: Array
    alphas_: Array
    l1_ratios_: Array
    gammas_: Array
    fold_weights_: Array
    coefs_paths_: Array
    n_features_in_: int
    alphas: Any
    relax: Any
    selection: str
    fold_weights: str
    fit_intercept: bool
    max_iter: int
    _total_weight: float

    @staticmethod
    def _added_since(state: dict[str, Any]) -> dict[str, Any]:
        """Return the attributes that an old pickle with this state lacks, with their values."""
        if "scores_" not in state:
            return {}
        # Folds always had equal weights before `fold_weights_` was added.
        weights = state.get("fold_weights_", np.ones(len(state["scores_"])))
        errors = mean_and_error(state["scores_"][..., None], weights)[1][..., 0]
        return {"fold_weights_": weights, "scores_std_err_": errors}

    def _set_results(self, folds: Folds, found: list[Fold]) -> Array:
        """Set the attributes with the results of the folds, and choose the penalty.

        The result are the scores, of shape (n_folds, n_l1_ratios, n_cs, n_gammas).
        """
        shape = folds.n_folds, len(self.l1_ratios_), len(self.Cs_)
        self.classes_ = folds.classes
        self.alphas_ = alphas_of(self.Cs_, self._total_weight)
        sizes = np.reshape([result.scored_weight for result in found], shape[:2]).max(axis=1)
        self.fold_weights_ = self._weights_of_folds(sizes)
        scores = np.reshape([result.scores for result in found], (*shape, len(self.gammas_)))
        n_iter = np.reshape([result.path.n_iter for result in found], shape)
        self.n_iter_ = n_iter if self.max_iter else np.zeros_like(n_iter)
        self.coefs_paths_ = stacked_paths(found, shape, with_intercept=self.fit_intercept)
        if isinstance(folds, LeftOutRows):
            folds.warn_of_single_observations()
            rows: Any = found
            self.n_refits_ = np.stack([result.n_refits for result in rows])
            errors = np.stack([result.std_errs for result in rows])
        else:
            warn_of_absent_classes(folds)
            errors = mean_and_error(scores, self.fold_weights_)[1]
        self._choose(scores, errors)
        return scores

    def _weights_of_folds(self, sizes: Array) -> Array:
        """Return the weights of folds, (n_folds,).

        `sizes` (n_folds,) are the sums of the weights of their scored rows.
        """
        return np.ones(len(sizes)) if self.fold_weights == "uniform" else sizes

    def _choose(self, scores: Array, errors: Array) -> None:
        """Choose the penalty; set `C_`, `alpha_`, `l1_ratio_`, `gamma_` and the scores.

        `scores` have the shape (n_folds, n_l1_ratios, n_cs, n_gammas), and `errors`, the standard
        errors of their means over folds, the shape (n_l1_ratios, n_cs, n_gammas).
        """
        mean = mean_and_error(scores, self.fold_weights_)[0]
        self._chosen = ratio, c, gamma = chosen_index(mean, errors, self.Cs_, self.selection)
        self.l1_ratio_ = float(self.l1_ratios_[ratio])
        self.C_, self.alpha_ = float(self.Cs_[c]), float(self.alphas_[c])
        self.gamma_ = float(self.gammas_[gamma])
        self.scores_, self.scores_std_err_ = scores[..., gamma], errors[..., gamma]
        if len(self.gammas_) > 1 or not is_flag(self.relax, False):
            self.relaxed_scores_ = scores

    def _average(self, paths: list[MaxentPath], scores: Array) -> None:
        """Set the coefficients and the penalty to means over folds, each at its best penalty.

        `paths` are those of all folds and l1_ratios; the l1_ratio changes fastest. `scores` have
        the shape (n_folds, n_l1_ratios, n_cs, n_gammas). Folds without a score do not count.
        """
        no_error = np.zeros(scores.shape[1:])
        best = [
            (0, 0, 0) if np.isnan(fold).all() else chosen_index(fold, no_error, self.Cs_, "best")
            for fold in scores
        ]
        ratios, cs, gammas = np.transpose(best)
        weights = np.where(np.isnan(scores).all(axis=(1, 2, 3)), 0.0, self.fold_weights_)
        if self.alphas is None:
            self.C_ = float(np.average(self.Cs_[cs], weights=weights))
            self.alpha_ = float(alphas_of(np.array(self.C_), self._total_weight))
        else:
            self.alpha_ = float(np.average(self.alphas_[cs], weights=weights))
            self.C_ = float(alphas_of(np.array(self.alpha_), self._total_weight))
        self.l1_ratio_ = float(np.average(self.l1_ratios_[ratios], weights=weights))
        self.gamma_ = float(np.average(self.gammas_[gammas], weights=weights))
        n_ratios = len(self.l1_ratios_)
        parts = [
            paths[fold * n_ratios + ratio].blended(self.gammas_[gamma], c)
            for fold, (ratio, c, gamma) in enumerate(zip(ratios, cs, gammas, strict=True))
        ]
        coefs, intercepts = map(np.stack, zip(*parts, strict=True))
        self.coef_, self.intercept_ = mean_coefficients(coefs, intercepts, weights)

    def _take(self, path: MaxentPath) -> None:
        """Set the coefficients to those at the chosen C of a path, which was fitted to all rows."""
        at = self._chosen[1]
        self.coef_, self.intercept_ = path.coefs[at].copy(), path.intercepts[at].copy()
        self.optimality_gap_ = float(path.optimality_gaps[at])

    def cv_results_frame(self) -> pd.DataFrame:
        """Return the results of the cross-validation as a table.

        Returns
        -------
        pandas.DataFrame
            A row for each l1_ratio, C and, with `relax`, gamma. Its columns are the mean score over
            folds, the standard error of this mean, the mean number of features with nonzero
            coefficients, the score of each fold (split0_score, ...) and whether the row was
            `chosen`.
        """
        check_is_fitted(self)
        scores = getattr(self, "relaxed_scores_", self.scores_[..., None])
        mean, errors = mean_and_error(scores, self.fold_weights_)
        if scores.shape[-1] == 1:
            errors = self.scores_std_err_[..., None]
        coefs = self.coefs_paths_[..., : self.n_features_in_]
        n_features = np.array(
            [[(path != 0.0).any(axis=1).sum(axis=1) for path in fold] for fold in coefs]
        )
        frame = _frames.results_frame(
            scores,
            mean,
            errors,
            n_features.mean(axis=0),
            (self.l1_ratios_, self.Cs_, self.gammas_),
            self._chosen,
        )
        return frame if hasattr(self, "relaxed_scores_") else frame.drop(columns="gamma")
