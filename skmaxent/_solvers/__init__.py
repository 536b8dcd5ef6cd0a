"""Solvers: a Problem and Options go in, a Solution comes out."""

from skmaxent._solvers._conjugate_gradients import conjugate_gradients
from skmaxent._solvers._names import NEWTON, SOLVER_NAMES, resolve_solver
from skmaxent._solvers._path import Path
from skmaxent._solvers._preconditioned import Evaluation, PreconditionedProblem
from skmaxent._solvers._predicted_path import PredictedPath, polynomial_factors
from skmaxent._solvers._problem import Problem
from skmaxent._solvers._record import Outcome, Record
from skmaxent._solvers._small import TOL_WITH_RIDGE, SmallRows
from skmaxent._solvers._small_batch import SmallBatch, suits_small_batch
from skmaxent._solvers._small_nonsmooth import MOST_STRENGTH
from skmaxent._solvers._solution import (
    NEGLIGIBLE,
    UNBOUNDED,
    Callback,
    Iteration,
    Options,
    Solution,
    Status,
)
from skmaxent._solvers._strategy import descend, minimise

__all__ = [
    "MOST_STRENGTH",
    "NEGLIGIBLE",
    "NEWTON",
    "SOLVER_NAMES",
    "TOL_WITH_RIDGE",
    "UNBOUNDED",
    "Callback",
    "Evaluation",
    "Iteration",
    "Options",
    "Outcome",
    "Path",
    "PreconditionedProblem",
    "PredictedPath",
    "Problem",
    "Record",
    "SmallBatch",
    "SmallRows",
    "Solution",
    "Status",
    "conjugate_gradients",
    "descend",
    "minimise",
    "polynomial_factors",
    "resolve_solver",
    "suits_small_batch",
]
