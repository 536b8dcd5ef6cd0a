"""MaxentPath: the coefficients of a regularisation path."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from skmaxent._input import _frames
from skmaxent._model_selection._penalty_grid import alphas_of
from skmaxent._public import public
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


@public
@dataclass(frozen=True)
class MaxentPath:
    """Coefficients of a regularisation path, as `maxent_path` returns them.

    Attributes
    ----------
    Cs : ndarray of shape (n_Cs,)
        Inverse strengths of the penalty.
    coefs : ndarray of shape (n_Cs, n_classes, n_features), or (n_Cs, 1, n_features)
        Coefficients at each C. With two classes there is a single logit, that of ``classes[1]``.
    intercepts : ndarray of shape (n_Cs, n_classes) or (n_Cs, 1)
        Intercepts at each C.
    n_iter : ndarray of shape (n_Cs,)
        Number of iterations of the solver at each C.
    optimality_gaps : ndarray of shape (n_Cs,)
        Upper bound on (F - F*)/F at each C, where F is the objective and F* its minimum.
    classes : ndarray of shape (n_classes,)
        Class labels, sorted.
    feature_names : ndarray of shape (n_features,)
        Names of the features. They are x0, x1, ... if X has no names.
    l1_ratio : float
        Share of the L1 penalty.
    total_weight : float
        Sum S of the weights of the rows.
    relaxed_coefs, relaxed_intercepts : ndarray or None
        Coefficients and intercepts of fits without a penalty, in which coefficients or, with
        ``relax="union"``, features that are zero in `coefs` stay zero. The shapes are those of
        `coefs` and `intercepts`. None without `relax`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import maxent_path
    >>> path = maxent_path(*load_iris(return_X_y=True), Cs=[0.01, 0.1, 1.0])
    >>> path.coefs.shape
    (3, 3, 4)
    """

    Cs: Array
    coefs: Array = field(repr=False)
    intercepts: Array = field(repr=False)
    n_iter: Array = field(repr=False)
    optimality_gaps: Array = field(repr=False)
    classes: Array
    feature_names: Array = field(repr=False)
    l1_ratio: float
    total_weight: float = field(default=np.nan, repr=False)
    relaxed_coefs: Array | None = field(default=None, repr=False)
    relaxed_intercepts: Array | None = field(default=None, repr=False)

    def blended(self, gamma: float, index: int) -> tuple[Array, Array]:
        """Return weighted means of the penalised and the relaxed fit at ``Cs[index]``.

        Parameters
        ----------
        gamma : float
            Weight of the penalised fit, from 0 to 1. The weight of the relaxed fit is 1 - `gamma`.
        index : int
            Position in `Cs`.

        Returns
        -------
        coef : ndarray of shape (n_classes, n_features) or (1, n_features)
        intercept : ndarray of shape (n_classes,) or (1,)

        Raises
        ------
        ValueError
            If `gamma` is not between 0 and 1, or is below 1 for a path without relaxed fits.
        """
        if not 0.0 <= gamma <= 1.0:
            raise ValueError(f"gamma must be between 0 and 1, found {gamma!r}.")
        coef, intercept = self.coefs[index], self.intercepts[index]
        if gamma == 1.0:
            return coef, intercept
        if self.relaxed_coefs is None or self.relaxed_intercepts is None:
            raise ValueError(f"gamma={gamma} needs a relaxed fit: maxent_path(..., relax=True).")
        relaxed = self.relaxed_coefs[index], self.relaxed_intercepts[index]
        coef = gamma * coef + (1.0 - gamma) * relaxed[0]
        return coef, gamma * intercept + (1.0 - gamma) * relaxed[1]

    @property
    def alphas(self) -> Array:
        """Strength of the penalty of an observation at each C, 1/(C S), shape (n_Cs,)."""
        return alphas_of(self.Cs, self.total_weight)

    @property
    def n_nonzero(self) -> Array:
        """Number of features with a nonzero coefficient at each C, shape (n_Cs,)."""
        return np.asarray((self.coefs != 0.0).any(axis=1).sum(axis=1))

    def coef_frame(self) -> pd.DataFrame:
        """Return the nonzero coefficients as a table.

        Returns
        -------
        pandas.DataFrame
            The columns C, class, feature and coef, with a row for each nonzero coefficient and
            intercept. The feature of an intercept is "Intercept".
        """
        return _frames.path_frame(
            self.Cs, self.coefs, self.intercepts, self.classes, self.feature_names
        )


def path_at(path: MaxentPath, kept: Array) -> MaxentPath:
    """Return a path with some of the Cs of a path; `kept` are positions or a mask."""
    names = ["Cs", "coefs", "intercepts", "n_iter", "optimality_gaps"]
    if path.relaxed_coefs is not None:
        names += ["relaxed_coefs", "relaxed_intercepts"]
    return replace(path, **{name: getattr(path, name)[kept] for name in names})
