"""The rules of a trust region: which steps are taken, and how its radius changes."""

from __future__ import annotations

import math

# The constants η₁, η₂ and γ of Conn, Gould & Toint (2000), Trust-Region Methods, chapter 6. A step
# is accepted if the decrease of F is at least LEAST_AGREEMENT times the predicted one.
LEAST_AGREEMENT = 1e-4
# If the agreement is below POOR_AGREEMENT, the radius becomes SHRINKAGE times the step's length. If
# it is above GOOD_AGREEMENT and the step ends on the boundary, the radius grows by GROWTH.
POOR_AGREEMENT, SHRINKAGE = 0.25, 0.25
GOOD_AGREEMENT, GROWTH = 0.75, 3.0
LARGEST_RADIUS = 1e100
# An agreement this close to one says that the quadratic model still holds after the step.
MODEL_ERROR = 0.1
# A step inside the region is too short if the decrease is more than this many times the predicted
# one. That happens where rounding errors enlarge the curvature of the Hessian.
TOO_SHORT = 1.5
# More successive steps than this that are too short are a sign of such rounding errors.
MAX_SHORT = 3


class TrustRegion:
    """The radius of a trust region, and how the last step agreed with the quadratic model.

    Lengths are in the norm of the preconditioner.

    Attributes
    ----------
    radius : float
        Infinite at first: Newton steps of a convex function are tried whole.
    agreement : float
        Actual over predicted decrease of the last step; zero before the first step.
    is_steady : bool
        Whether the last step was neither shortened nor in poor agreement.
    """

    def __init__(self) -> None:
        self.radius = math.inf
        self.agreement = 0.0
        self.is_steady = False
        self._n_short = 0

    @property
    def model_holds(self) -> bool:
        """Whether the quadratic model predicted the decrease by the last step accurately."""
        return abs(self.agreement - 1.0) < MODEL_ERROR

    @property
    def steps_are_short(self) -> bool:
        """Whether more than `MAX_SHORT` successive steps were too short."""
        return self._n_short > MAX_SHORT

    def judge(
        self,
        agreement: float,
        length: float,
        *,
        on_boundary: bool,
        share: float = 1.0,
        is_possible: bool = True,
    ) -> bool:
        """Update the radius after a step, and return whether the step is accepted.

        Parameters
        ----------
        agreement : float
            Actual over predicted decrease.
        length : float
            Length of the step.
        on_boundary : bool
            Whether the trust region made the step shorter.
        share : float, default=1
            The share of the step after which a line search ended.
        is_possible : bool, default=True
            Whether the predicted decrease is at most F. F is never negative, so a model that
            predicts a larger decrease is wrong at the end of the step. The step is then accepted
            only if its agreement is not poor, because it may end far from the optimum, where
            probabilities are 0 and 1 and rows have no curvature.
        """
        self.agreement = agreement
        self.is_steady = agreement > POOR_AGREEMENT and share == 1.0 and not on_boundary
        self._n_short = self._n_short + 1 if agreement > TOO_SHORT and not on_boundary else 0
        if agreement < POOR_AGREEMENT:
            self.radius = SHRINKAGE * share * length
        elif share < 1.0:
            self.radius = 2.0 * share * length
        elif agreement > GOOD_AGREEMENT and on_boundary:
            self.radius = min(GROWTH * self.radius, LARGEST_RADIUS)
        is_known = is_possible or share < 1.0
        return agreement > (LEAST_AGREEMENT if is_known else POOR_AGREEMENT)
