"""Examine the problem of a kind and a seed."""

import numpy as np

from .bias_reduction import BiasReduction
from .checks import Examination, Outcome
from .cross_validation import CrossValidation
from .partial_labels import PartialLabels
from .problems import random_problem

EXAMINATIONS = {"cv": CrossValidation, "partial": PartialLabels, "jeffreys": BiasReduction}


def examine(kind, seed):
    """The outcome of the problem with that seed, and the problem."""
    problem = random_problem(kind, seed)
    outcome = Outcome()
    with np.errstate(all="ignore"):
        EXAMINATIONS.get(problem.kind, Examination)(problem, outcome).run()
    return outcome, problem
