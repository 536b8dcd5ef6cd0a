"""Solvers: a Problem and Options go in, a Solution comes out."""

from skmaxent._solvers._conjugate_gradients import steihaug as conjugate_gradients
from skmaxent._solvers._path import Path
from skmaxent._solvers._problem import Problem
from skmaxent._solvers._solution import Callback, Iteration, Options, Solution, Status
from skmaxent._solvers._strategy import minimise

__all__ = [
    "Callback",
    "Iteration",
    "Options",
    "Path",
    "Problem",
    "Solution",
    "Status",
    "conjugate_gradients",
    "minimise",
]
