"""The values of the estimators' parameter `solver`, and the solvers that they select."""

from __future__ import annotations

from skmaxent._solvers._scipy import METHODS

# Newton's method of this package, whose linear systems are solved by conjugate gradients, by
# Cholesky factors, or by what costs less.
NEWTON = {"auto", "newton-cg", "newton-cholesky"}
# scikit-learn's names of solvers that do not exist here; they stand for "auto".
STAND_FOR_AUTO = {"sag", "saga"}
# "liblinear" is accepted so that an error can say what to write instead.
SOLVER_NAMES = NEWTON | set(METHODS) | STAND_FOR_AUTO | {"liblinear"}


def resolve_solver(solver: str) -> str:
    """Return the solver for a value of the parameter `solver`; "liblinear" raises ValueError."""
    if solver == "liblinear":
        raise ValueError(
            "solver='liblinear' penalises the intercept, which skmaxent never does; "
            "write solver='auto' for the fit that scikit-learn's other solvers give."
        )
    return "auto" if solver in STAND_FOR_AUTO else solver
