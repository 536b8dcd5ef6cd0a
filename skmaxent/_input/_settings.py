"""The parameters of a classifier that define its objective, and the choice of its penalty."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from skmaxent._input._penalty_terms import Columns, penalty_factors, prior_of, terms_of
from skmaxent._input._training_data import TrainingData
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

# The C of estimators whose users give none.
DEFAULT_C = 1.0
# Parameters that need to know the class of each row.
NEEDING_LABELS = ("class_weight", "prior_correction", "bias_reduction", "label_smoothing")
# Values of the parameter `penalty` beside None; "deprecated" is its default.
PENALTIES = {"l1", "l2", "elasticnet", "none", "deprecated"}
NO_PENALTY = (None, "none")


@dataclass(frozen=True)
class Settings:
    """A copy of those parameters of a `MaxentClassifier` that define its objective.

    The attributes have the names and the meaning of the parameters, with these exceptions:

    - `C` and `l1_ratio` are the values that `resolve_penalty` returns;
    - `alpha` is None or positive, and C is None if `alpha` is given;
    - both are None for a regularisation path, on which the strength of the penalty varies.
    """

    C: float | None = np.inf
    alpha: float | None = None
    l1_ratio: float = 0.0
    standardize: bool = False
    grouped: bool = False
    penalty_factor: Any = None
    prior_coef: Any = None
    bounds: Any = None
    bias_reduction: str | None = None
    fit_intercept: bool = True
    class_weight: Any = None
    label_smoothing: float = 0.0
    partial_labels: bool = False
    n_jobs: int | None = None

    @classmethod
    def of(cls, estimator: Any) -> Settings:
        """Return the settings of a `MaxentClassifier` with its present parameters.

        Raises ValueError if parameters cannot be combined with ``partial_labels=True``, and warns
        if `penalty` overrides other parameters.
        """
        if estimator.partial_labels:
            given = [name for name in NEEDING_LABELS if getattr(estimator, name)]
            if given:
                raise ValueError(
                    f"partial_labels=True cannot be combined with {' or '.join(given)}, because "
                    "the class of a row is not known: leave out one of them."
                )
        others = {
            field.name: getattr(estimator, field.name)
            for field in fields(cls)
            if field.name not in ("C", "alpha", "l1_ratio")
        }
        return cls.with_strength_of(estimator, **others)

    @classmethod
    def with_strength_of(cls, estimator: Any, **others: Any) -> Settings:
        """Return settings with the estimator's C, alpha, l1_ratio and penalty; `others` are fields.

        Raises ValueError if `alpha` is given together with a C that is not the default, or with a
        `penalty` that stands for none.
        """
        alpha = estimator.alpha
        if alpha is not None and (estimator.C != DEFAULT_C or estimator.penalty in NO_PENALTY):
            name = "C" if estimator.C != DEFAULT_C else "penalty"
            raise ValueError(
                f"{name} and alpha cannot be combined, because both say how strong the penalty is: "
                f"leave out one of them; found {name}={getattr(estimator, name)!r} and "
                f"alpha={alpha!r}."
            )
        C, l1_ratio = resolve_penalty(estimator.penalty, estimator.C, estimator.l1_ratio)
        if alpha is None:
            return cls(C, l1_ratio=l1_ratio, **others)
        alpha = float(alpha)  # zero means no penalty, which is C = infinity
        return cls(None if alpha else np.inf, alpha or None, l1_ratio=l1_ratio, **others)

    def for_path(self) -> Settings:
        """Return the same settings without C and alpha, for a regularisation path."""
        return replace(self, C=None, alpha=None)

    @property
    def is_path(self) -> bool:
        """Whether the strength of the penalty varies, on a regularisation path."""
        return self.C is None and self.alpha is None

    @property
    def is_penalised(self) -> bool:
        """Whether there is a penalty: C is finite, alpha is given, or they vary on a path."""
        return self.C is None or bool(np.isfinite(self.C))

    @property
    def strength(self) -> str:
        """How the user gave the strength of the penalty, such as "C=1.0"."""
        return f"C={self.C}" if self.alpha is None else f"alpha={self.alpha}"

    def terms(self, data: TrainingData) -> PenaltyTerms:
        """Return the penalty and bounds as arrays, for the features and classes of the data.

        The penalty has strength one; the solver multiplies it by the strength that C stands for.
        """
        return terms_of(
            l1_ratio=self.l1_ratio,
            is_penalised=self.is_penalised,
            grouped=self.grouped,
            penalty_factor=self.penalty_factor,
            prior_coef=self.prior_coef,
            bounds=self.bounds,
            columns=Columns(data.names, data.n_features, data.classes),
        )

    def of_columns(self, kept: Array, columns: Columns) -> Settings:
        """Return the settings of a fit to the features at the positions `kept`, without names.

        `columns` are all features of the fit. Bounds are not supported, and are None.
        """
        factors, prior = self.penalty_factor, prior_of(self.prior_coef, columns)
        if factors is not None:
            factors = penalty_factors(factors, columns)[:, kept]
            factors = factors[0] if len(factors) == 1 else factors
        prior = None if prior is None else prior[:, kept]
        return replace(self, penalty_factor=factors, prior_coef=prior, bounds=None)


def resolve_penalty(penalty: str | None, C: float, l1_ratio: float | None) -> tuple[float, float]:
    """Return C and l1_ratio for parameters in the style of any version of scikit-learn.

    Before version 1.8 of scikit-learn, the parameter `penalty` chose between ridge, lasso, elastic
    net and no penalty; since then C and l1_ratio do. No penalty is C = infinity. Issues a
    UserWarning if `penalty` overrides other parameters, and raises ValueError for
    ``penalty="elasticnet"`` without l1_ratio. Before version 1.2 None was written "none".
    """
    ratio = 0.0 if l1_ratio is None else float(l1_ratio)
    if penalty in ("l1", "l2"):
        # No warning for the defaults of l1_ratio, None and 0, nor for 1 with penalty="l1".
        if ratio not in ((0.0, 1.0) if penalty == "l1" else (0.0,)):
            warn_user(
                f"Inconsistent values: penalty={penalty} with l1_ratio={l1_ratio}. The l1_ratio "
                f"parameter is only used when penalty is 'elasticnet'. Got (penalty={penalty}): "
                "leave penalty out, l1_ratio alone chooses between ridge and lasso.",
                UserWarning,
            )
        return float(C), 1.0 if penalty == "l1" else 0.0
    if penalty == "elasticnet" and l1_ratio is None:
        raise ValueError("penalty='elasticnet' needs l1_ratio, a number from 0 to 1; found None.")
    if penalty not in NO_PENALTY:
        return float(C), ratio
    if C not in (1.0, np.inf) or ratio != 0.0:
        warn_user(
            "Setting penalty=None will ignore the C and l1_ratio parameters: no penalty overrides "
            f"C={C} and l1_ratio={l1_ratio}. Leave penalty out to have a penalty, or write "
            "C=np.inf for none.",
            UserWarning,
        )
    return np.inf, 0.0


def warn_of_groups_without_l1(grouped: bool, *l1_ratios: float | None) -> None:
    """Issue a UserWarning if no share of the L1 penalty is positive, and grouped=True."""
    if grouped and not any(l1_ratios):
        warn_user(
            "grouped=True has no effect, because there is no L1 penalty: write l1_ratio above 0 "
            "for a group lasso, or leave grouped out."
        )
