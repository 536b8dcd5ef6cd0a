"""The delta method for probabilities: effects of features and intervals, over rows.

Conventions
-----------
K classes, R logits with free coefficients (K - 1; for two classes one), d features, w columns of
the design (the standardised features and, if there is an intercept, ones), n rows. P are the
probabilities (n, K), Z the design (n, w). Coefficients have the shape (R, w), and their covariance
(R·w, R·w), logit by logit. J are derivatives of estimates by the coefficients.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logsumexp, softmax
from sklearn.utils import check_random_state

from skmaxent._effects._covariance_root import Covariance
from skmaxent._effects._effect_sums import effect_sums, probability_sums
from skmaxent._effects._estimates import check_level
from skmaxent._effects._rows import dense_blocks, sums_of_rows
from skmaxent._effects._student_t import NORMAL, StudentT, t_quantile
from skmaxent._input import _validation
from skmaxent._model._fitted_model import FittedModel
from skmaxent._storage._device_array import on_host
from skmaxent._typing import Array, RandomState


def unstandardising_map(center: Array, scale: Array, has_intercept: bool) -> Array:
    """Return T, (w, w), that maps the coefficients of one logit to those of the columns of X.

    T @ b are the coefficients of the columns x if b are those of (x - center)/scale. The intercept,
    if there is one, comes last in both.
    """
    d = len(scale)
    T = np.eye(d + has_intercept)
    T[np.arange(d), np.arange(d)] = 1.0 / scale
    if has_intercept:
        T[d, :d] = -center / scale
    return T


@dataclass(frozen=True)
class Standardised:
    """The standardised columns (x - center)/scale, and the covariance of their coefficients.

    Standard errors of predictions are computed from this covariance. Computed from the covariance
    of the coefficients of X itself, they would be small differences of large numbers if the means
    of columns are far above their standard deviations. Coefficients are against the last class, or
    those of the single logit; the intercept is the last of each logit.

    Attributes
    ----------
    center, scale : ndarray of shape (d,)
    covariance : ndarray of shape (R * w, R * w)
        Covariance of the coefficients, logit by logit.
    deviations : ndarray of shape (n_bootstrap, R, w) or None
        Differences between the coefficients of bootstrap samples and those of the fit.
    root : ndarray of shape (R * w, m) or None
        A root of `covariance` if columns are nearly collinear; see `Covariance`.
    """

    center: Array
    scale: Array
    covariance: Array
    deviations: Array | None = None
    root: Array | None = None


@dataclass(frozen=True)
class DeltaMethod:
    """A model with the covariance of its coefficients: errors of probabilities and of effects.

    Attributes
    ----------
    model : FittedModel
        Computes predictions from rows with all columns of the model.
    standardised : Standardised
    coef : ndarray of shape (R, w)
        Coefficients of the columns of X against the last class, or of the single logit.
    names : list of str
        Names of the features, which may be some of the columns of the model.
    positions : ndarray of shape (d,) or None
        Positions of the features among the columns of the model; None stands for all columns.
    transformer : object or None
        The transformer that computes the columns of the model from the user's rows, if any.
    distribution : StudentT
        The distribution of estimates divided by their standard errors.
    """

    model: FittedModel
    standardised: Standardised
    coef: Array
    names: list[str]
    positions: Array | None = None
    transformer: Any = None
    distribution: StudentT = NORMAL

    @property
    def covariance(self) -> Covariance:
        """Covariance of the coefficients of the standardised features, (R·w, R·w)."""
        return Covariance(self.standardised.covariance, self.standardised.root)

    @property
    def slope_coefficients(self) -> Array:
        """The coefficients (R, w) of the standardised features, with the intercepts unchanged."""
        coef = self.coef.copy()
        coef[:, : len(self.names)] *= self.standardised.scale
        return coef

    def direction(self, rows: Array) -> Array:
        """Return the derivatives of the design (n, w) by a variable.

        `rows` are the derivatives of the columns of the model by the variable, one row each.
        """
        rows = rows if self.positions is None else rows[:, self.positions]
        rows = rows / self.standardised.scale
        has_intercept = self.coef.shape[1] > len(self.names)
        return np.column_stack([rows, np.zeros(len(rows))]) if has_intercept else rows

    def simulated(self, n_draws: int, random_state: RandomState) -> Array:
        """Return deviations of coefficients from the fit's, drawn from their normal distribution.

        Returns
        -------
        ndarray of shape (n_draws, R, w)
        """
        rng = check_random_state(random_state)
        root = self.standardised.root
        if root is None:
            values, vectors = np.linalg.eigh(self.standardised.covariance)
            # A covariance from few clusters or bootstrap samples has no Cholesky factor.
            root = vectors * np.sqrt(values.clip(0.0))
        draws = rng.standard_normal((n_draws, root.shape[1])) @ root.T
        return np.asarray(draws.reshape(n_draws, *self.coef.shape))

    @classmethod
    def of(
        cls,
        model: FittedModel,
        names: Array,
        standardised: Standardised,
        coef: Array,
        distribution: StudentT = NORMAL,
    ) -> DeltaMethod:
        """Return the delta method of a fit whose features are all columns of the model.

        The arguments are the attributes of the class; `names` is an array of shape (d,).
        """
        return cls(model, standardised, coef, [*map(str, names)], distribution=distribution)

    def read(self, X: Any, offset: ArrayLike | None) -> tuple[Any, Array | None]:
        """Return the user's rows and offsets as the classifier reads them, in host memory.

        Rows are an ndarray or a CSR matrix with the columns of the model. Offsets are an array
        (n, n_logits) or None.
        """
        return self.model_rows(
            X if self.transformer is None else self.transformer.transform(X), offset
        )

    def model_rows(self, X: Any, offset: ArrayLike | None) -> tuple[Any, Array | None]:
        """Return what `read` returns, for X that the transformer has already transformed."""
        with warnings.catch_warnings():
            # Arrays have no names to match: their columns are those of the fit, in order.
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            rows, known = self.model.read(X, offset)
        return on_host(rows), known

    def effect_sums(
        self, rows: Any, offset: Array | None, weights: Array | None, discrete: list[str]
    ) -> tuple[Array, Array, Array]:
        """Return sums over rows of effects on probabilities, of their derivatives, and of weights.

        Effects have the shape (K, d), their derivatives by the coefficients of each class
        (K, d, K, w). The effect of a feature is a derivative; for features named in `discrete` it
        is the change of the probability from 0 to 1.
        """
        K, d, width = len(self.model.classes), len(self.names), self.coef.shape[1]
        coef = np.zeros((K, d))
        coef[self.free] = self.coef[:, :d]
        effects, J = np.zeros((K, d)), np.zeros((K, d, K, width))
        total = 0.0
        # Sparse rows become dense here, because effects need all features: one block at a time.
        for at, part, known in dense_blocks(rows, offset):
            w = None if weights is None else weights[at]
            total += len(part) if w is None else float(w.sum())
            P, Z = self.probabilities(part, known), self.design(part)
            effect, slope = effect_sums(P, Z, coef, w, self.standardised.scale)
            for j in map(self.names.index, discrete):
                ends = []
                for value in (1.0, 0.0):
                    end = part.copy()
                    end[:, self._column(j)] = value
                    P, Z = self.probabilities(end, known), self.design(end)
                    ends.append(probability_sums(P, Z, w))
                effect[:, j] = ends[0][0] - ends[1][0]
                slope[:, j] = ends[0][1] - ends[1][1]
            effects += effect
            J += slope
        return effects, J, np.array(total)

    def errors(self, slopes: Array) -> tuple[Array, float | Array]:
        """Return the standard errors of effects (K, d), and their degrees of freedom.

        `slopes` are the derivatives of the effects that `effect_sums` returns. Degrees of freedom
        have the shape (K, d) too, or are one number.
        """
        J = slopes[:, :, self.free].reshape(slopes.shape[0] * slopes.shape[1], -1)
        errors = np.sqrt(self.covariance.variances(J)).reshape(slopes.shape[:2])
        degrees = self.distribution.degrees(J)
        return errors, np.reshape(degrees, slopes.shape[:2]) if np.ndim(degrees) else degrees

    def intervals(self, conf_level: float, X: Any, offset: ArrayLike | None = None) -> Array:
        """Return the probability and the ends of its interval for each row and class, (n, 3 K).

        The three numbers of a class are next to each other.
        """
        rows, known = self.read(X, offset)
        check_level(conf_level)
        P = self.model.evaluate("probabilities", rows, known)
        values = np.empty((*P.shape, 3), P.dtype)
        # Intervals of log-odds, mapped to probabilities, stay between 0 and 1.
        values[:, :, 0] = P
        for at_rows, part, shift in dense_blocks(rows, known):
            for k, log_odds, error, df in self._log_odds(part, shift):
                half = t_quantile(conf_level, df) * error
                values[at_rows, k, 1] = expit(log_odds - half)
                values[at_rows, k, 2] = expit(log_odds + half)
        return values.reshape(len(P), -1)

    def chunk_effects(
        self, discrete: list[str], X: Any, offset: ArrayLike | None, sample_weight: ArrayLike | None
    ) -> tuple[Array, Array, Array]:
        """Return the sums of `effect_sums` over a chunk of rows, which may be empty."""
        if not X.shape[0]:
            # Transformers and validation refuse empty input, which chunks may be.
            rows: Any = np.empty((0, X.shape[1]))
            return self.effect_sums(rows, None, None, discrete)
        rows, known = self.read(X, offset)
        weights = _chunk_weights(sample_weight, rows.shape[0])
        return self.effect_sums(rows, known, weights, discrete)

    def chunk_means(
        self, X: Any, offset: ArrayLike | None, sample_weight: ArrayLike | None
    ) -> tuple[Array, Array, Array]:
        """Return sums of the rows of a chunk, of their offsets and of their weights."""
        if not X.shape[0]:
            return np.zeros(X.shape[1]), np.zeros(1), np.zeros(())
        rows, known = self.read(X, offset)
        return sums_of_rows(rows, known, _chunk_weights(sample_weight, rows.shape[0]))

    def _log_odds(
        self, rows: Array, offset: Array | None
    ) -> Iterator[tuple[int, Array, Array, float | Array]]:
        """Yield each class, its log-odds at dense rows, their errors and degrees of freedom.

        The log-odds of class k are z_k - logsumexp(z_others). Their derivative by the logits z is
        e_k - q, with q the probabilities of the other classes given that the class is not k.
        """
        Z, K, V = self.design(rows), len(self.model.classes), self.covariance
        logits = self.model.evaluate("logits", rows, offset)
        if K == 2:
            logits = np.column_stack([np.zeros(len(logits)), logits])
        for k in range(K):
            others = logits.copy()
            # q comes from the logits and not from 1 - p_k, which loses digits if p_k is nearly 1.
            others[:, k] = -np.inf
            slopes = -softmax(others, axis=1)
            slopes[:, k] = 1.0
            G = (slopes[:, self.free, None] * Z[:, None, :]).reshape(len(Z), -1)
            log_odds = logits[:, k] - logsumexp(others, axis=1)
            degrees = self.distribution.degrees(G)
            yield k, log_odds, np.sqrt(V.variances(G)), degrees

    def probabilities(self, rows: Array, offset: Array | None) -> Array:
        """Return the probabilities of all classes for dense rows in float64, (n, K)."""
        return np.asarray(self.model.evaluate("probabilities", rows, offset))

    @property
    def free(self) -> list[int]:
        """The positions of the R classes whose coefficients are not fixed at zero."""
        K = len(self.model.classes)
        return [1] if K == 2 else list(range(K - 1))

    def _column(self, j: int) -> int:
        """Return the position of feature j among the columns of X."""
        return j if self.positions is None else int(self.positions[j])

    def design(self, rows: Array) -> Array:
        """Return the design Z (n, w) of dense rows: standardised features, and ones at the end."""
        rows = rows if self.positions is None else rows[:, self.positions]
        rows = (rows - self.standardised.center) / self.standardised.scale
        has_intercept = self.coef.shape[1] > len(self.names)
        return np.column_stack([rows, np.ones(len(rows))]) if has_intercept else rows


def _chunk_weights(sample_weight: ArrayLike | None, n_samples: int) -> Array | None:
    """Return the weights of the rows of a chunk, (n_samples,), or None if `sample_weight` is None.

    Unlike the weights of all rows, those of a chunk may all be zero.
    """
    if sample_weight is not None and not np.any(sample_weight):
        return np.zeros(n_samples)
    return _validation.check_sample_weight(sample_weight, n_samples)
