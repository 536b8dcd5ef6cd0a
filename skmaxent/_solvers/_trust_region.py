"""The rules of a trust region: which steps are taken, and how its radius changes."""

from __future__ import annotations

import math

# Conn, Gould & Toint (2000), Trust-Region Methods, chapter 6, call these η₁, η₂ and γ. A step is
# taken if the decrease of F is at least this share of the predicted one.
LEAST_AGREEMENT = 1e-4
# The region shrinks to a share of the step if the agreement is below the first number. It grows
# by a factor if the agreement is above the second one and the step ends on the boundary.
POOR_AGREEMENT, SHRINKAGE = 0.25, 0.25
GOOD_AGREEMENT, GROWTH = 0.75, 3.0
LARGEST_RADIUS = 1e100
# An agreement this close to one says that the quadratic model still holds after the step.
MODEL_ERROR = 0.1
# A step inside the region that gains more than this many times the predicted decrease is too
# short. That happens where rounding adds to the curvature of the Hessian itself.
TOO_SHORT = 1.5
# So many steps in a row that are too short are a sign of such rounding.
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
        """Whether the last step did what the quadratic model said."""
        return abs(self.agreement - 1.0) < MODEL_ERROR

    @property
    def steps_are_short(self) -> bool:
        """Whether one step after another was too short."""
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
        """Update the radius after a step, and return whether the step is to be taken.

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
            Whether the predicted decrease is at most F, which is never negative. A model that
            predicts more knows nothing of where the step ends. Without agreement that may be among
            rows whose probabilities are 0 and 1, which have no curvature, far from the optimum.
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
