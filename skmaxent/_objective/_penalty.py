"""Penalties and bounds on coefficients; the intercept has neither.

`Ridge` is smooth and treats all classes alike; `Elementwise` and `Grouped` have corners. Theirs is
one interface: `value`; `prox`, the minimiser of the penalty and a quadratic; `residual`, the
shortest subgradient of the objective; `tangent`, the manifold on which the penalty is smooth at a
point; `conjugate`, for the dual. All work on arrays (R, width), of which parameters of shape
(1, width) serve every row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skmaxent._typing import Array

# A penalty as strong as this leaves nothing of a coefficient; its square is still a number.
STRONGEST = 1e100
EPS = float(np.finfo(float).eps)
# Halvings of an interval, to the last digit.
BISECTIONS = 60


class Ridge:
    """r(W) = Σ_j strength_j/2 · ‖w_·j‖².

    Parameters
    ----------
    strength : ndarray of shape (n_features,)
        1/(C·S) for each column of X as the solver sees it; 0 leaves a column unpenalised.
    """

    def __init__(self, strength: Array) -> None:
        self.strength = strength

    def value(self, coef: Array) -> float:
        return float(0.5 * np.einsum("kj,kj->j", coef, coef) @ self.strength)

    def gradient(self, coef: Array) -> Array:
        return np.asarray(coef * self.strength)

    hessian_product = gradient

    @property
    def is_strict(self) -> bool:
        """Whether every coefficient is penalised."""
        return bool(np.all(self.strength > 0))

    def conjugate(self, V: Array) -> float:
        """sup_W ⟨V, W⟩ - penalty(W)."""
        squares = np.einsum("kj,kj->j", V, V)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(0.5 * np.sum(np.where(squares > 0.0, squares / self.strength, 0.0)))

    def finite_share(self, V: Array) -> float:
        """The largest share of V, at most 1, whose conjugate is finite."""
        return float(not V[:, self.strength == 0.0].any())


@dataclass(frozen=True)
class Terms:
    """What is asked of the coefficients of the columns, before it is known how to meet it.

    Penalty Σ_kj l1_kj |w_kj| + ridge_kj/2 (w_kj - target_kj)², or l1_j ‖w_·j‖ for the first term
    where `grouped`; bounds lower <= w <= upper. The loss is unchanged where all coefficients of a
    column change alike if it `is_coupled`. Arrays (R, n_features), or (1, n_features) for all
    rows alike; `target` and the bounds are None where there are none. A group's bounds are none, or
    both zero, which removes it.
    """

    l1: Array
    ridge: Array
    target: Array | None = None
    lower: Array | None = None
    upper: Array | None = None
    grouped: bool = False
    is_coupled: bool = True

    def times(self, strength: float) -> Terms:
        """The same with a penalty so many times as strong."""
        l1, ridge = (np.minimum(w * strength, STRONGEST) for w in (self.l1, self.ridge))
        return replace(self, l1=l1, ridge=ridge)

    def without_penalty(self, held: Array) -> Terms:
        """The bounds alone, both zero for the coefficients that are `held`.

        Groups are groups of an L1 penalty: without it each coefficient is on its own.
        """
        l1, ridge = np.zeros_like(self.l1), np.zeros_like(self.ridge)
        terms = replace(self, l1=l1, ridge=ridge, target=None, grouped=False)
        if not held.any():
            return terms
        shape = np.broadcast_shapes(held.shape, self.l1.shape)
        lower, upper = (
            np.where(held, 0.0, np.full(shape, default) if bound is None else bound)
            for bound, default in ((self.lower, -np.inf), (self.upper, np.inf))
        )
        return replace(terms, lower=lower, upper=upper)

    def pull(self, gradient: Array) -> Array:
        """What an L1 penalty must be no less than to hold coefficients at zero, (1 or R, n)."""
        return _norms(gradient)[None] if self.grouped else np.abs(gradient)

    def scaled(self, scale: Array) -> Terms:
        """The same for the coefficients of columns divided by `scale`."""

        def times(bound: Array | None) -> Array | None:
            return None if bound is None else bound * scale

        return replace(
            self,
            l1=self.l1 / scale,
            ridge=self.ridge / scale**2,
            target=times(self.target),
            lower=times(self.lower),
            upper=times(self.upper),
        )

    @property
    def is_smooth(self) -> bool:
        """Whether a ridge that treats all classes alike is all there is."""
        return (
            not self.l1.any()
            and len(self.ridge) == 1
            and self.target is None
            and self.lower is None
            and self.upper is None
        )

    def rows(self, index: Array) -> Terms:
        """The same for some of the rows."""
        return self._each(lambda array: array if len(array) == 1 else array[index])

    def columns(self, index: Array) -> Terms:
        """The same for some of the columns."""
        return self._each(lambda array: array[:, index])

    def _each(self, change: Callable[[Array], Array]) -> Terms:
        names = ("l1", "ridge", "target", "lower", "upper")
        arrays: dict[str, Any] = {name: getattr(self, name) for name in names}
        arrays = {name: None if a is None else change(a) for name, a in arrays.items()}
        return replace(self, **arrays)

    @property
    def moves_at_rest(self) -> bool:
        """Whether coefficients may be other than zero that the loss does not depend on."""
        return self.target is not None or self.lower is not None or self.upper is not None

    def at_rest(self, n_rows: int) -> Array:
        """Coefficients (n_rows, n_features) within the bounds at which the penalty is least."""
        pull = self.ridge * (0.0 if self.target is None else self.target)
        pull = _shorten(pull, self.l1[0]) if self.grouped else _soften(pull, self.l1)
        ridge = np.broadcast_to(self.ridge, pull.shape)
        coef = np.divide(pull, ridge, out=np.zeros(pull.shape), where=ridge > 0.0)
        lower = -np.inf if self.lower is None else self.lower
        upper = np.inf if self.upper is None else self.upper
        return np.broadcast_to(np.clip(coef, lower, upper), (n_rows, coef.shape[1]))

    def onto_bounds(self, coef: Array) -> Array:
        """Coefficients that rounding took off a bound, back on it."""
        for bound in (self.lower, self.upper):
            if bound is not None:
                near = np.abs(coef - bound) <= 8.0 * EPS * np.abs(coef)
                coef = np.where(near, bound, coef)
        return coef

    def smooth(self) -> Ridge:
        """The penalty where it is smooth; where it is not, none."""
        return Ridge(self.ridge[0] if self.is_smooth else np.zeros(self.ridge.shape[1]))

    def with_corners(self) -> Penalty:
        """The penalty of θ, with a column for the intercepts, which have none."""

        def widened(array: Array | None, default: float) -> Array:
            array = np.full_like(self.l1[:1], default) if array is None else array
            return np.column_stack([array, np.full(len(array), default)])

        terms = (widened(self.l1, 0.0), widened(self.ridge, 0.0), widened(self.target, 0.0))
        if self.grouped:
            if self.lower is not None and self.upper is not None:  # features that are removed
                removed = (self.lower == 0.0) & (self.upper == 0.0)
                terms[0][:, :-1][removed] = STRONGEST
            return Grouped(*terms, self.is_coupled)
        lower, upper = widened(self.lower, -np.inf), widened(self.upper, np.inf)
        return Elementwise(*terms, lower, upper, self.is_coupled)


def ridge_terms(strength: Array) -> Terms:
    """A ridge of so much strength for each column, and nothing else."""
    return Terms(np.zeros((1, len(strength))), strength[None])


@dataclass(frozen=True)
class Tangent:
    """Where a penalty is smooth about a point: the coefficients that are free to move, the
    penalty's gradient there, and its second derivative.

    The second derivative is `diagonal`, and for groups besides, for each column j with the unit
    vector u_j = `unit[:, j]`, `bend[j]` (I - u_j u_jᵀ).
    """

    free: NDArray[np.bool_]
    gradient: Array
    diagonal: Array
    bend: Array | None = None
    unit: Array | None = None
    is_coupled: bool = True

    def curvature(self, V: Array) -> Array:
        """Second derivative times a direction within the manifold."""
        out = V * self.diagonal
        if self.bend is not None and self.unit is not None:
            out += self.bend * (V - self.unit * np.einsum("kj,kj->j", self.unit, V))
        return np.asarray(out)


class Penalty(Protocol):
    """What a solver for penalties with corners asks of them."""

    @property
    def signs(self) -> tuple[Array, Array]:
        """The signs of the changes of coefficients that neither penalty nor bounds ever stop.

        Two arrays (1 or R, width): the lower, -1 or 0, and the upper, 0 or 1.
        """

    @property
    def l1(self) -> Array:
        """Strengths of the L1 part, (1 or R, width)."""

    @property
    def ridge(self) -> Array:
        """Strengths of the ridge part, (1 or R, width)."""

    @property
    def target(self) -> Array:
        """Where the ridge part is zero, (1 or R, width)."""

    def value(self, W: Array) -> float:
        """The penalty."""

    def prox(self, V: Array, step: Array) -> Array:
        """argmin_W Σ (w - v)²/(2 step) + penalty(W), `step` alike for all rows of a column."""

    def residual(self, W: Array, G: Array) -> Array:
        """The shortest of G + ∂penalty(W): what is left of the gradient where W may still move."""

    def balanced_residual(self, W: Array, G: Array) -> Array:
        """The shortest of G + ∂penalty(W) whose sums over the rows vanish, where one does."""

    def tangent(self, W: Array) -> Tangent:
        """The manifold of W."""

    def retract(self, W: Array, onto: Array) -> Array:
        """W brought back to the manifold of `onto`: what left it stays on its edge."""

    def edge(self, W: Array, step: Array) -> float:
        """The largest t <= 1 to which W + t step stays on W's manifold, 0 where not known."""

    def inside(self, W: Array) -> Array:
        """The nearest W within the bounds."""

    def recentre(self, W: Array) -> Array:
        """W with each column shifted to where the penalty is least.

        Where logits are coupled, the loss does not change where the coefficients of a feature
        change by the same for all classes: the penalty alone decides on that.
        """

    def conjugate(self, V: Array) -> float:
        """sup_W ⟨V, W⟩ - penalty(W)."""

    def finite_share(self, V: Array) -> float:
        """The largest share of V, at most 1, whose conjugate is finite."""

    def columns(self, index: Array) -> Penalty:
        """The penalty of some columns alone."""


@dataclass(frozen=True)
class Elementwise:
    """Σ_kj l1_kj |w_kj| + ridge_kj/2 (w_kj - target_kj)², for lower <= w <= upper.

    Bounds contain zero wherever l1 is positive and both are finite, or not: any box will do.
    """

    l1: Array
    ridge: Array
    target: Array
    lower: Array
    upper: Array
    is_coupled: bool = True

    @property
    def signs(self) -> tuple[Array, Array]:
        free = (self.l1 == 0.0) & (self.ridge == 0.0)
        low, high = free & np.isinf(self.lower), free & np.isinf(self.upper)
        return -low.astype(float), high.astype(float)

    @cached_property
    def _has_bounds(self) -> bool:
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    @cached_property
    def _has_ridge(self) -> bool:
        return bool(self.ridge.any())

    def _smooth_gradient(self, W: Array) -> Array | float:
        return self.ridge * (W - self.target) if self._has_ridge else 0.0

    def value(self, W: Array) -> float:
        value = float(np.einsum("kj,kj->", np.broadcast_to(self.l1, W.shape), np.abs(W)))
        if self._has_ridge:
            value += 0.5 * float(np.sum(self.ridge * np.square(W - self.target)))
        return value

    def prox(self, V: Array, step: Array) -> Array:
        if self._has_ridge:
            V = V + step * self.ridge * self.target
        W = _soften(V, step * self.l1)
        if self._has_ridge:
            W /= 1.0 + step * self.ridge
        return self.inside(W)

    def residual(self, W: Array, G: Array) -> Array:
        smooth = G + self._smooth_gradient(W)
        if not self._has_bounds:
            out = _soften(smooth, self.l1)
            some = W.nonzero()
            l1 = np.broadcast_to(self.l1, W.shape)[some]
            out[some] = smooth[some] + np.copysign(l1, W[some])
            return out
        up = smooth + np.where(W >= 0.0, self.l1, -self.l1)
        down = smooth + np.where(W > 0.0, self.l1, -self.l1)
        up[self.upper <= W] = 0.0
        down[self.lower >= W] = 0.0
        return np.minimum(up, 0.0) + np.maximum(down, 0.0)

    def balanced_residual(self, W: Array, G: Array) -> Array:
        """clip(ν, low, high) for subgradients from low to high, with ν for which the sum is 0."""
        smooth = G + self._smooth_gradient(W)
        low = smooth + np.where(W > 0.0, self.l1, -self.l1)
        high = smooth + np.where(W >= 0.0, self.l1, -self.l1)
        low[self.lower >= W] = -np.inf
        high[self.upper <= W] = np.inf
        low, high = np.minimum(low, high), np.maximum(low, high)
        ends = np.abs(np.stack([low, high]))
        most = len(W) * np.max(ends, axis=(0, 1), where=np.isfinite(ends), initial=0.0)
        below, above = -most, most
        for _ in range(BISECTIONS):
            middle = 0.5 * (below + above)
            is_low = np.clip(middle, low, high).sum(axis=0) < 0.0
            below, above = np.where(is_low, middle, below), np.where(is_low, above, middle)
        out = np.clip(0.5 * (below + above), low, high)
        # Of bounds on bisection, what is left is spread over the entries that may move.
        slack = (out > low) & (out < high)
        rest = out.sum(axis=0) / np.maximum(slack.sum(axis=0), 1)
        return np.asfortranarray(np.clip(out - np.where(slack, rest, 0.0), low, high))

    def tangent(self, W: Array) -> Tangent:
        free = (W != 0.0) | (self.l1 == 0.0)
        if self._has_bounds:
            free &= (self.lower < W) & (self.upper > W)
        gradient = self.l1 * np.sign(W) + self._smooth_gradient(W)
        return Tangent(free, gradient, self.ridge, is_coupled=self.is_coupled)

    def retract(self, W: Array, onto: Array) -> Array:
        crossed = (np.sign(W) != np.sign(onto)) & (self.l1 > 0.0)
        return self.inside(np.where(crossed, 0.0, W))

    def edge(self, W: Array, step: Array) -> float:
        end = W + step
        at_zero = (self.l1 > 0.0) & (np.sign(end) != np.sign(W))
        limit = np.where(step > 0.0, self.upper, self.lower)
        limit = np.where(at_zero, 0.0, limit)
        beyond = (step != 0.0) & (at_zero | (end > self.upper) | (end < self.lower))
        if not beyond.any():
            return 1.0
        t = float(((limit - W)[beyond] / step[beyond]).min())
        return min(max(t, 0.0) * (1.0 + 1e-14), 1.0)

    def inside(self, W: Array) -> Array:
        return np.clip(W, self.lower, self.upper) if self._has_bounds else W

    def recentre(self, W: Array) -> Array:
        """The slope of the penalty along the shift c is, right of the i-th smallest w,
        2 Σ_{k<=i} l1_k - Σ l1_k + Σ ridge_k (target_k - w_k + c): c is where it turns positive.
        """
        if not self.is_coupled:
            return W
        order = np.argsort(W, axis=0)
        ascending = np.take_along_axis(W, order, axis=0)
        l1 = np.take_along_axis(np.broadcast_to(self.l1, W.shape), order, axis=0)
        ridge = np.broadcast_to(self.ridge, W.shape)
        curvature = ridge.sum(axis=0)
        pull = (ridge * (W - self.target)).sum(axis=0)
        right = 2.0 * np.cumsum(l1, axis=0) - l1.sum(axis=0) + curvature * ascending - pull
        left = right - 2.0 * l1
        flat = 1e-12 * (l1.sum(axis=0) + np.abs(pull))
        # The first at which the slope is positive to the right, and where it is not negative.
        beyond = right[-1] <= flat
        after = np.where(beyond, len(W) - 1, np.argmax(right > flat, axis=0))
        column = np.arange(W.shape[1])
        c = ascending[after, column]
        slope = np.where(beyond, right[-1], left[after, column])
        between = (beyond | (slope > flat)) & (curvature > 0.0)
        c = c - np.divide(slope, curvature, out=np.zeros_like(c), where=between)
        # Where the slope is zero over an interval, that end of it which leaves the shorter W: one
        # more coefficient is zero there, and the choice does not depend on the way here.
        first = np.argmax(right >= -flat, axis=0)
        low, high, mean = ascending[first, column], ascending[after, column], W.mean(axis=0)
        is_flat = (first < after) & (curvature == 0.0)
        c = np.where(is_flat, np.where(mean - low <= high - mean, low, high), c)
        c = np.where((l1.sum(axis=0) == 0.0) & (curvature == 0.0), W.mean(axis=0), c)
        c = np.clip(c, (W - self.upper).max(axis=0), (W - self.lower).min(axis=0))
        return np.asarray(W - c)

    def conjugate(self, V: Array) -> float:
        pull = V + self.ridge * self.target
        with np.errstate(divide="ignore", invalid="ignore"):
            W = _soften(pull, self.l1) / self.ridge
        # Without a ridge, sup ⟨v, w⟩ - l1 |w| is at zero or at a bound.
        W = np.clip(np.where(np.isnan(W), 0.0, W), self.lower, self.upper)
        if not np.isfinite(W).all():
            return np.inf
        return _or_infinite(float(np.vdot(V, W)) - self.value(W))

    def finite_share(self, V: Array) -> float:
        unbounded = np.isinf(np.where(V > 0.0, self.upper, self.lower))
        free = (self.ridge == 0.0) & unbounded
        return _share(np.where(free, np.abs(V), 0.0), self.l1)

    def columns(self, index: Array) -> Elementwise:
        arrays = (self.l1, self.ridge, self.target, self.lower, self.upper)
        l1, ridge, target, lower, upper = (array[:, index] for array in arrays)
        return Elementwise(l1, ridge, target, lower, upper, self.is_coupled)


@dataclass(frozen=True)
class Grouped:
    """Σ_j l1_j ‖w_·j‖ + ridge_j/2 ‖w_·j - target_·j‖²: a feature's coefficients enter together."""

    l1: Array
    ridge: Array
    target: Array
    is_coupled: bool = True

    @property
    def signs(self) -> tuple[Array, Array]:
        free = ((self.l1 == 0.0) & (self.ridge == 0.0)).astype(float)
        return -free, free

    def value(self, W: Array) -> float:
        ridge = 0.5 * np.sum(self.ridge * np.square(W - self.target))
        return float(_norms(W) @ self.l1[0] + ridge)

    def prox(self, V: Array, step: Array) -> Array:
        V = V + step * self.ridge * self.target
        return _shorten(V, step * self.l1) / (1.0 + step * self.ridge)

    def residual(self, W: Array, G: Array) -> Array:
        smooth = G + self.ridge * (W - self.target)
        norms = _norms(W)
        at_zero = norms == 0.0
        unit = W / np.where(at_zero, 1.0, norms)
        return np.where(at_zero, _shorten(smooth, self.l1), smooth + self.l1 * unit)

    def balanced_residual(self, W: Array, G: Array) -> Array:
        """A group at zero has the subgradients within l1 of G: its mean must be within that."""
        smooth = G + self.ridge * (W - self.target)
        mean = smooth.mean(axis=0)
        left = self.l1[0] ** 2 - len(W) * mean**2
        balanced = _shorten(smooth - mean, np.sqrt(np.maximum(left, 0.0)))
        at_zero = (_norms(W) == 0.0) & (left >= 0.0)
        return np.where(at_zero, balanced, self.residual(W, G))

    def tangent(self, W: Array) -> Tangent:
        norms = _norms(W)
        some = (norms > 0.0) | (self.l1[0] == 0.0)
        safe = np.where(norms > 0.0, norms, 1.0)
        unit = W / safe
        gradient = self.l1 * unit + self.ridge * (W - self.target)
        free = np.broadcast_to(some, W.shape)
        bend = np.where(some, self.l1[0] / safe, 0.0)
        return Tangent(free, gradient, self.ridge, bend, unit, self.is_coupled)

    def retract(self, W: Array, onto: Array) -> Array:
        # A group that turned by more than a right angle went through zero.
        turned = (np.einsum("kj,kj->j", W, onto) <= 0.0) & (self.l1[0] > 0.0)
        return np.where(turned, 0.0, W)

    def edge(self, W: Array, step: Array) -> float:
        return 0.0

    def inside(self, W: Array) -> Array:
        return W

    def recentre(self, W: Array) -> Array:
        if not self.is_coupled or self.target.any():
            return W
        return np.asarray(W - W.mean(axis=0))

    def conjugate(self, V: Array) -> float:
        pull = V + self.ridge * self.target
        short = _shorten(pull, self.l1)
        with np.errstate(divide="ignore", invalid="ignore"):
            W = short / self.ridge
        W = np.where(np.isnan(W), 0.0, W)
        if not np.isfinite(W).all():
            return np.inf
        return _or_infinite(float(np.vdot(V, W)) - self.value(W))

    def finite_share(self, V: Array) -> float:
        return _share(np.where(self.ridge[0] == 0.0, _norms(V), 0.0), self.l1[0])

    def columns(self, index: Array) -> Grouped:
        arrays = (self.l1, self.ridge, self.target)
        l1, ridge, target = (array[:, index] for array in arrays)
        return Grouped(l1, ridge, target, self.is_coupled)


def _or_infinite(value: float) -> float:
    """A supremum, for which overflow on the way to it is no excuse to be small."""
    return value if np.isfinite(value) else np.inf


def _share(sizes: Array, limits: Array) -> float:
    """The largest share of sizes, at most 1, within their limits."""
    over = sizes > limits
    if not over.any():
        return 1.0
    limits = np.broadcast_to(limits, sizes.shape)
    return float((limits[over] / sizes[over]).min() * (1.0 - 1e-14))


def _soften(V: Array, threshold: Array) -> Array:
    """sign(v) max(|v| - threshold, 0)."""
    return np.asarray(V - np.clip(V, -threshold, threshold))


def _norms(W: Array) -> Array:
    return np.asarray(np.sqrt(np.einsum("kj,kj->j", W, W)))


def _shorten(V: Array, threshold: Array) -> Array:
    """Columns shortened by a threshold, to nothing where they are shorter."""
    norms = _norms(V)
    factor = np.maximum(1.0 - threshold / np.where(norms > 0.0, norms, 1.0), 0.0)
    return np.asarray(V * factor)
