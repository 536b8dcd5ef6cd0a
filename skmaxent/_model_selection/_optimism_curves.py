"""Interpolation of leave-one-out scores along a path, by curves of their optimism."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from skmaxent._model_selection._maxent_path import MaxentPath
from skmaxent._solvers import Problem
from skmaxent._typing import Array

# The powers of the number of nonzero coefficients by which the optimism is divided; the one whose
# interpolated score is nearest halfway between two Cs is that of the Cs between them.
POWERS = 0.0, 0.5, 1.0


def interpolated_scores(
    in_sample: Array, scores: Array, at: Array, n_coefficients: Array | None
) -> Array:
    """Return interpolated scores and their standard errors, (n_curves, 2, n_ranks).

    There is one curve for a smooth penalty, else one for each of `POWERS`. The curve of a smooth
    penalty is cubic in the rank, of the logarithm of the optimism divided by minus the in-sample
    score: with many coefficients both change fast with C, and their sum changes slowly. If the
    in-sample score is not negative or the optimism not positive, it is of the optimism or its
    logarithm. If the penalty is not smooth, the optimism divided by powers of the number of nonzero
    coefficients is interpolated. This number estimates the degrees of freedom of a lasso (Zou,
    Hastie & Tibshirani 2007, Ann. Stat. 35, 2173-2192), and explains most kinks of the optimism.
    The difference of the two standard errors is interpolated too.

    Parameters
    ----------
    in_sample, scores : ndarray of shape (2, n_ranks)
        The in-sample scores and those of leave-one-out, with their standard errors.
    at : ndarray of bool, shape (n_ranks,)
        The ranks with scores of leave-one-out, between which they are interpolated.
    n_coefficients : ndarray of shape (n_ranks,) or None
        The numbers of nonzero coefficients for a penalty that is not smooth.
    """
    place, (means, std_errs), is_smooth = np.arange(len(at)), in_sample, n_coefficients is None
    if n_coefficients is not None:
        sizes = n_coefficients ** np.array(POWERS)[:, None]
    else:
        sizes = (-means if (means < 0.0).all() else np.ones_like(means))[None]
    optimism = (means[at] - scores[0, at]) / sizes[:, at]
    in_logarithms = is_smooth and bool((optimism > 0.0).all())
    known = np.vstack(
        [np.log(optimism) if in_logarithms else optimism, scores[1, at] - std_errs[at]]
    )
    # A cubic spline oscillates near kinks.
    curve = CubicSpline if is_smooth else PchipInterpolator
    *curves, more = curve(place[at], known, axis=1)(place)
    curves = np.exp(curves) if in_logarithms else np.array(curves)
    std_errs = np.maximum(std_errs + more, 0.0)
    return np.stack([(means - each, std_errs) for each in sizes * curves])


def n_coefficients(path: MaxentPath, order: Array, problem: Problem) -> Array:
    """Return the most nonzero coefficients at ranks up to each, (n_ranks,), intercepts included.

    At single Cs some coefficients are zero on their way to the other sign. `order` has the position
    in the path of the C at each rank.
    """
    counts = [np.count_nonzero(path.coefs[i]) for i in order]
    n_intercepts = problem.objective.likelihood.n_free
    return n_intercepts + np.maximum.accumulate(np.array(counts, dtype=float))
