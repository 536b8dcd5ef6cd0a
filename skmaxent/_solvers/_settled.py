"""Whether an estimated distance to the optimum is reliable: Newton steps may be far too short."""

from __future__ import annotations

import math

import numpy as np

from skmaxent._existence import largest_range_of_logits
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import Penalty
from skmaxent._solvers._record import Outcome
from skmaxent._solvers._solution import NEGLIGIBLE, NOISY_TOTAL, root_size
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array, KernelResult

# If a Newton step changes no difference of logits by more than this, the curvatures of the rows at
# its start and its end agree up to a factor of exp(0.1).
SETTLED = 0.1
# For nonsmooth penalties: if the certificate allows a distance to the optimum of more than this
# multiple of the requested one, a step along the gradient tests whether F still falls.
DOUBTFUL_DISTANCE = 10.0
# A step that gains less than this share of the decrease that its length promises was cut.
SHORT_GAIN = 0.05
# exp(-z) underflows to zero for larger z.
UNDERFLOW = 745.0


def is_settled(objective: MultinomialObjective, theta: Array, newton_step: Array) -> bool:
    """Return whether the length of the Newton step at θ estimates the distance to the optimum.

    It does if the step changes the logits of each row so little that the curvature of the row stays
    nearly the same. Without this test, an outlier could dominate the Hessian of a column. Each
    Newton step, which is short in standard errors, then divides the loss of the outlier by e, and
    the other rows determine the optimum only after the outlier has lost its curvature. Rows whose
    probabilities are 0 and 1 to the last bit do not count.

    `theta` and `newton_step` have the shape (R, d + 1).
    """
    if is_tiny(objective, newton_step):
        return True
    is_coupled, step = objective.likelihood.is_coupled, objective.for_blocks(newton_step)
    blocks = objective.blocks
    (most,) = blocks.map_reduce(largest_range_of_logits, is_coupled, *step, combine=np.maximum)
    if most <= SETTLED:
        return True
    at = objective.for_blocks(theta)
    (change,) = blocks.map_reduce(_block_change, is_coupled, at, step, combine=np.maximum)
    return bool(change <= SETTLED)


def is_tiny(objective: MultinomialObjective, step: Array) -> bool:
    """Return whether a bound without a pass over the rows shows that a step is short.

    An entry of a column whose mean square is one is at most √(S/s), for the sum S of the weights
    and the weight s of the row. `step` (R, d + 1) then changes no logit by more than `bound`.
    """
    sums = objective.blocks.weight_sums
    sizes = np.abs(step).max(axis=0)
    bound = sizes[-1] + sizes[:-1].sum() * np.sqrt(sums.total / sums.least)
    return bool(2.0 * bound <= SETTLED)


def share_left(change: float) -> float:
    """Return a bound on the length of the Newton step at the end of another, as a share of it.

    The first step, proximal or not, changes no difference of two logits of a row by more than
    `change`, δ. The curvature along the step then stays within factors of exp(±δ) (Bach 2010,
    Electron. J. Stat. 4, 384-414). In the norm of the inverse Hessian at the start, the gradient at
    the end is thus at most (exp(δ) - 1 - δ)/δ times as long as the step; in that of the end, it is
    at most exp(δ/2) times longer than this. The length of an earlier step gives no such bound,
    because the penalty, which the model of a step contains exactly, may have made it long.
    """
    if not change > 0.0:
        return 0.0
    return (math.expm1(change) - change) / change * math.exp(0.5 * change)


def logit_changes(Z: Array, D: Array, is_coupled: bool) -> Array:
    """Return the largest change of a difference of two logits of each row, shape (rows,).

    Logits Z change by D, both of shape (R, rows). If logits are not coupled, each logit counts for
    itself. The result is zero for rows whose probabilities are 0 and 1 before and after the change.
    """
    if not is_coupled:
        beyond = (np.minimum(np.abs(Z), np.abs(Z + D)) > UNDERFLOW) & ((Z > 0.0) == (Z + D > 0.0))
        return np.asarray(np.where(beyond, 0.0, np.abs(D)).max(axis=0))
    change = D.max(axis=0) - D.min(axis=0)
    top, gap = _top_and_margin(Z)
    other, other_gap = _top_and_margin(Z + D)
    beyond = (np.minimum(gap, other_gap) > UNDERFLOW) & (top == other)
    return np.asarray(np.where(beyond, 0.0, change))


def _block_change(
    block: Block, is_coupled: bool, at: tuple[Array, Array], step: tuple[Array, Array]
) -> KernelResult:
    """Return the largest entry of `logit_changes` over the rows of a block.

    `at` and `step` are coefficients (R, d) and intercepts (R,) of the columns of X.
    """
    block = on_host_block(block)
    Z = block.logits_with_offset(*map(on_host, at)).astype(np.float64)
    D = block.logits_without_offset(*map(on_host, step)).astype(np.float64)
    return (block.largest(logit_changes(Z, D, is_coupled)),)


def _top_and_margin(Z: Array) -> tuple[Array, Array]:
    """Return the class with the largest logit of each row, and the margin to the next one.

    Z are the logits (R, rows), and both results have the shape (rows,).
    """
    second, first = np.partition(Z, len(Z) - 2, axis=0)[-2:]
    return Z.argmax(axis=0), first - second


def ended_in_a_short_step(outcome: Outcome) -> bool:
    """Return whether the last step gained far less than its distance to the optimum had promised.

    The curvature along the step was then wrong, and the distance at its end may be wrong as well.
    """
    if len(outcome.history) < 2:
        return False
    before, last = outcome.history[-2:]
    root_n = root_size(outcome.point.objective.blocks.effective_size, before.value)
    promised = 0.5 * (before.distance / root_n) ** 2
    return before.distance > NEGLIGIBLE and before.value - last.value < SHORT_GAIN * promised


def is_far_from_minimum(outcome: Outcome, penalty: Penalty, gap: float, tol: float) -> bool:
    """Return whether a proximal gradient step shows that the optimum is further away than `tol`.

    The step is tried only if `gap`, the certificate, leaves such a distance possible. Newton steps
    do not show this distance if rows have probabilities near 0 and 1, because these rows have no
    curvature. A proximal gradient step of size t needs only an upper bound 1/t of the curvature;
    for standardised columns, half their number is one (Böhning 1992, Ann. Inst. Stat. Math. 44,
    197-200). Such a step Δ lowers F by ‖Δ‖²/(2t) or more (Beck & Teboulle 2009, SIAM J. Imaging
    Sci. 2, 183-202). The result is True if the certificate leaves the distance possible and the
    total loss is so small that gradients are mostly rounding errors, and if F overflows.
    """
    point, value = outcome.point, outcome.value
    if not value < np.inf:
        return True
    root_n = root_size(point.objective.blocks.effective_size, value)
    limit = max(tol, NEGLIGIBLE)
    if not root_n * np.sqrt(2.0 * gap * value) > DOUBTFUL_DISTANCE * limit:
        return False
    if point.objective.blocks.effective_size * value < NOISY_TOTAL:
        return True
    size = 2.0 / point.theta.shape[1]
    end = penalty.prox(
        point.theta - size * point.gradient, np.full((1, point.theta.shape[1]), size)
    )
    return bool(root_n * np.sqrt(np.sum(np.square(end - point.theta)) / size) > limit)
