"""Residuals, leverages and influence of the rows of a fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import xlogy

from skmaxent._leverage._fitted_rows import FittedRows
from skmaxent._leverage._leave_one_out import held_out
from skmaxent._leverage._leverages import RowLeverages
from skmaxent._model import _prediction
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Residuals:
    """Residuals of the rows of a fit.

    In the methods, p are the probabilities and t the shares.

    Attributes
    ----------
    probabilities : ndarray of shape (n_samples, n_classes)
        Fitted probabilities of the classes.
    shares : ndarray of shape (n_samples, n_classes)
        Observed shares of the classes in each row.
    size : ndarray of shape (n_samples,)
        The number of observations that each row stands for.
    """

    probabilities: Array
    shares: Array
    size: Array

    @property
    def deviance_of_classes(self) -> Array:
        """Deviance residuals of each class against all others, (n_samples, n_classes)."""
        t, p = self.shares, self.probabilities
        with np.errstate(divide="ignore"):
            deviance = _relative_entropy(t, p) + _relative_entropy(1.0 - t, sums_of_others(p))
        return np.asarray(np.sign(t - p) * np.sqrt(2.0 * self.size[:, None] * deviance))

    @property
    def pearson_of_classes(self) -> Array:
        """Pearson residuals of each class against all others, (n_samples, n_classes)."""
        t, p = self.shares, self.probabilities
        variance = p * sums_of_others(p)
        with np.errstate(divide="ignore", invalid="ignore"):
            residual = (t - p) * np.sqrt(self.size[:, None] / variance)
        return np.asarray(np.where(t == p, 0.0, residual))

    @property
    def deviance(self) -> Array:
        """The root of each row's deviance, (n_samples,)."""
        with np.errstate(divide="ignore"):
            entropy = _relative_entropy(self.shares, self.probabilities).sum(axis=1)
        return np.asarray(np.sqrt(2.0 * self.size * np.maximum(entropy, 0.0)))

    @property
    def pearson(self) -> Array:
        """The root of each row's term of Pearson's X², (n_samples,)."""
        t, p = self.shares, self.probabilities
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(t == p, 0.0, np.square(t - p) / p)
        return np.asarray(np.sqrt(self.size * terms.sum(axis=1)))


def sums_of_others(p: Array) -> Array:
    """Return for each class the sum of the probabilities of the others, (n_samples, n_classes).

    It is 1 - p, with all digits also where p rounds to one.
    """
    is_top = p > 0.5
    of_top = np.where(is_top, 0.0, p).sum(axis=1, keepdims=True)
    return np.where(is_top, of_top, p.sum(axis=1, keepdims=True) - p)


def _relative_entropy(t: Array, p: Array) -> Array:
    """Return t log(t/p) - t + p, which is nonnegative and sums to the relative entropy."""
    return np.asarray(np.maximum(xlogy(t, t) - xlogy(t, p) - t + p, 0.0))


def diagnostics(
    fit: FittedRows, *, weights: str, max_refits: int | None, index: Any
) -> pd.DataFrame:
    """Return a table of fitted and held-out probabilities, residuals, leverages and influence.

    `InferenceResults.diagnostics` documents the columns.

    Parameters
    ----------
    fit : FittedRows
        A fit to rows in memory.
    weights : {"frequency", "probability"}
        What the weights of rows mean; see `FittedRows.leverages`.
    max_refits : int or None
        The largest number of exact fits for held-out probabilities; None sets no limit.
    index : pandas.Index or None
        The index of the table.
    """
    import pandas as pd

    held = held_out(
        fit, weights=weights, max_refits=max_refits, refuse_single=False, is_rough=False
    )
    training, n = fit.training, fit.training.blocks.n_samples
    logits = np.empty((n, fit.training.blocks.n_logits))
    leverage, cook, weight = np.empty(n), np.empty(n), np.empty(n)
    leverages = held.leverages
    assert leverages is not None
    leverages.map_reduce(_write_influence, logits, leverage, cook, weight)
    # Predictions contain the prior correction; residuals are those of the fit without it.
    probabilities = _prediction.softmax(logits + fit.correction, 1)
    size, scale = weight * training.data.scale, training.data.scale
    if weights == "probability":
        # Sampling weights have no scale: each row is one observation, and their mean is made one.
        size = (weight > 0.0).astype(float)
        scale = size.sum() / weight.sum()
    residuals = Residuals(_prediction.softmax(logits.copy(), 1), fit.class_shares, size)
    fitted = np.exp(xlogy(residuals.shares, probabilities).sum(axis=1))
    columns: dict[tuple[str, Any], Array] = {
        ("fitted", ""): fitted,
        ("held_out", ""): np.exp(held.log_scores_of_rows),
        ("deviance_residual", ""): residuals.deviance,
        ("pearson_residual", ""): residuals.pearson,
        ("leverage", ""): leverage,
        ("cooks_distance", ""): cook * scale / max(leverages.inverse.rank, 1),
    }
    for name, values in (
        ("probability_of", probabilities),
        ("deviance_residual_of", residuals.deviance_of_classes),
        ("pearson_residual_of", residuals.pearson_of_classes),
    ):
        columns |= dict(zip([(name, k) for k in training.classes.tolist()], values.T, strict=True))
    frame = pd.DataFrame(dict(enumerate(columns.values())), index=index)
    frame.columns = pd.MultiIndex.from_tuples(list(columns), names=["quantity", "class"])
    return frame


def _write_influence(
    rows: RowLeverages, logits: Array, leverage: Array, cook: Array, weight: Array
) -> tuple[Array]:
    """Write figures of the rows i of a block to arrays of all rows (a kernel).

    In the notation of `Leverages`, with whole rows left out: `logits` (n_samples, n_logits) are
    z_i, `leverage` (n_samples,) is tr(A_i Λ_i), `cook` (n_samples,) is
    (θ^(-i) - θ)ᵀ H (θ^(-i) - θ), and `weight` (n_samples,) is s_i. The result is not used;
    `map_reduce` needs one.
    """
    logits[rows.at], leverage[rows.at], weight[rows.at] = rows.logits, rows.trace, rows.weights
    residual = rows.weights[:, None] * rows.adjusted(-1.0, whole=True)
    cook[rows.at] = np.einsum("mk,mkl,ml->m", residual, rows.leverage, residual)
    return (np.zeros(()),)


def coefficient_changes(fit: FittedRows, weights: str) -> Array:
    """Return θ - θ^(-i), the influence of each row i on the coefficients, (n_samples, r, d + 1).

    θ^(-i) is one Newton step towards the fit without the whole row. The coefficients are those of d
    standardised columns with the intercept last, for r classes against the last class.
    """
    fit.rows_in_memory()
    leverages = fit.leverages(weights)
    r, width = fit.training.data.likelihood.n_free, fit.training.problem.objective.shape[1]
    out = np.empty((fit.training.blocks.n_samples, r, width))
    leverages.map_reduce(_write_changes, out)
    return out


def _write_changes(rows: RowLeverages, out: Array) -> tuple[Array]:
    """Write θ - θ^(-i) of the rows i of a block to `out` of `coefficient_changes` (a kernel)."""
    out[rows.at] = -rows.change(rows.weights[:, None] * rows.adjusted(-1.0, whole=True))
    return (np.zeros(()),)
