"""The objective that an estimator has to minimise for a problem, by the documentation of `fit`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .reference import WIDE, Objective
from .wide import WideObjective

# Weights of rows below this share of the largest count as zero, as `fit` documents.
NEGLIGIBLE = 1e-30


def penalty_factors(problem):
    """The penalty factors of the problem, (1 or R, d)."""
    d = problem.X.shape[1]
    value = problem.parameters.get("penalty_factor")
    if value is None:
        return np.ones((1, d))
    if isinstance(value, dict):
        return np.array([[value.get(f"f{j}", 1.0) for j in range(d)]])
    return np.atleast_2d(value)


def _bounds(problem):
    """The lower and the upper bounds of the problem, which broadcast to (R, d)."""
    value = problem.parameters.get("bounds")
    d = problem.X.shape[1]
    if value is None:
        return -np.inf, np.inf
    if isinstance(value, dict):
        pairs = np.array([value[f"f{j}"] for j in range(d)]).T
        return pairs[0], pairs[1]
    lower, upper = value
    return -np.inf if lower is None else lower, np.inf if upper is None else upper


def row_weights(problem):
    """The weight of each class in each row before smoothing, (n, K), and the largest row weight.

    The weights are divided by the largest row weight, and are long doubles.
    """
    weights = np.asarray(problem.counts, WIDE)
    if problem.sample_weight is not None:
        weights = weights * np.asarray(problem.sample_weight, WIDE)
    top = weights.max()
    table = weights[:, None] / top * problem.shares
    factors = class_factors(problem, table)
    return (table if factors is None else table * factors), top


def class_factors(problem, table):
    """The class weights (K,) of the problem, or None; `table` (n, K) are weights without them."""
    given = problem.parameters.get("class_weight")
    if given is None:
        return None
    if given == "balanced":
        totals = table.sum(axis=0)
        present = totals > 0
        balanced = totals.sum() / (present.sum() * np.where(present, totals, 1))
        return np.where(present, balanced, 1)
    return np.array([given.get(label, 1.0) for label in problem.labels], WIDE)


def active_classes(problem):
    """Which classes have a row of positive weight, (K,)."""
    table, _ = row_weights(problem)
    return (table > NEGLIGIBLE * table.sum(axis=1).max()).any(axis=0)


def intercept_correction(problem):
    """What the parameter `prior_correction` adds to the intercepts of the fit."""
    given = problem.parameters.get("prior_correction")
    if given is None:
        return 0.0
    table, _ = row_weights(problem)
    fitted = table.sum(axis=0) / table.sum()
    if isinstance(given, str):
        weights = np.asarray(problem.counts, WIDE)
        if problem.sample_weight is not None:
            weights = weights * problem.sample_weight
        shares = weights @ problem.shares / weights.sum()
    elif isinstance(given, dict):
        shares = np.array([given[label] for label in problem.labels], WIDE)
    else:
        shares = np.asarray(given, WIDE)
    change = np.log(shares) - np.log(fitted)
    return change[1:] - change[:1] if len(change) == 2 else change - change.mean()


@dataclass
class ExpectedObjective:
    """The objective that a fit has to minimise.

    Attributes
    ----------
    objective : Objective
    active : ndarray of bool of shape (R,)
        The rows of `coef_` that have coefficients in the objective.
    unit : longdouble
        The number by which the weights of the user are divided in the objective.
    """

    objective: Objective
    active: Any
    unit: Any


def expected_objective(problem):
    """The objective of a problem, from the documentation of its parameters."""
    given = problem.parameters
    K = problem.n_classes
    smoothing = given.get("label_smoothing", 0.0)
    if problem.is_multilabel:
        weights = np.ones(len(problem.X), WIDE)
        if problem.sample_weight is not None:
            weights = np.asarray(problem.sample_weight, WIDE)
        unit = weights.max()
        s = weights / unit
        T = problem.shares
        link = "sigmoids" if given["link"] == "sigmoid" else "softmax"
        if link == "softmax":
            many = T.sum(axis=1)
            s = s * (many > 0)
            T = T / np.maximum(many, 1)[:, None]
        T = (1 - smoothing) * T + smoothing / (2 if link == "sigmoids" else K)
        active = np.ones(K, bool)
        offset = None
    else:
        table, unit = row_weights(problem)
        s = table.sum(axis=1)
        active = active_classes(problem) | (smoothing > 0)
        T = table / np.where(s > 0, s, 1)[:, None]
        T = (1 - smoothing) * T + WIDE(smoothing) / K
        link = "sigmoids" if K == 2 else "softmax"
        T = T[:, 1:] if K == 2 else T[:, active]
        offset = problem.offset
        if K == 2:
            active = np.ones(1, bool)
        elif offset is not None:
            offset = offset[:, active]
    s = np.where(s < NEGLIGIBLE * s.max(), 0, s)
    strength = 1 / (WIDE(given["C"]) * s.sum() * unit) if np.isfinite(given["C"]) else WIDE(0)
    ratio = WIDE(given.get("l1_ratio", 0.0))
    factors = penalty_factors(problem).astype(WIDE)
    R, d = len(active), problem.X.shape[1]

    def rows(value):
        return np.broadcast_to(np.asarray(value, WIDE), (R, d))[active]

    removed = rows(np.isinf(factors)) > 0
    factors = np.where(removed, 0, rows(factors))
    lower, upper = (np.where(removed, 0, rows(bound)) for bound in _bounds(problem))
    objective = (WideObjective if problem.kind == "wide" else Objective)(
        problem.X,
        T,
        s,
        link,
        l1=factors * ratio * strength,
        ridge=factors * (1 - ratio) * strength,
        target=np.where(removed, 0, rows(given.get("prior_coef", 0.0))),
        lower=lower,
        upper=upper,
        offset=offset,
        grouped=bool(given.get("grouped")) and ratio > 0 and strength > 0,
        fit_intercept=given["fit_intercept"],
    )
    return ExpectedObjective(objective, active, unit * s.max())
