"""The values of the parameter `solver`, and what they stand for."""

from __future__ import annotations

from skmaxent._solvers._scipy import METHODS

# Solvers of this package: trust-region Newton, with its linear systems solved in either way.
NEWTON = {"auto", "newton-cg", "newton-cholesky"}
# scikit-learn's names of solvers that do not exist here; they stand for "auto".
STAND_FOR_AUTO = {"sag", "saga"}
# "liblinear" is accepted so that an error can say what to write instead.
SOLVER_NAMES = NEWTON | set(METHODS) | STAND_FOR_AUTO | {"liblinear"}


def resolve_solver(solver: str) -> str:
    """The solver for a name that may be scikit-learn's."""
    if solver == "liblinear":
        raise ValueError(
            "solver='liblinear' penalises the intercept, which skmaxent never does; "
            "write solver='auto' for the fit that scikit-learn's other solvers give."
        )
    return "auto" if solver in STAND_FOR_AUTO else solver
