"""Directions of recession: along these the likelihood never decreases, and somewhere it grows.

A direction D of the coefficients changes the logits of row i by u = D x̃_i. Where u_c >= u_k for
every class c that row i has and every class k, for all rows, and u_c > u_k for some row, the
classes are separated and the likelihood has no maximum; where no D does so, it has one (Albert &
Anderson 1984, Biometrika 71, 1-10; Geyer 2009, Electron. J. Stat. 3, 259-289). For sigmoids each
label is a problem of its own, with u >= 0 for the rows that have it and u <= 0 for the others.

Two proofs settle which of these is the case:

- A direction that `is_proof` has evaluated on all rows.
- Probabilities q > 0 under which the columns have the same means as under the targets t. Then
  Σ_i s_i (t_i - q_i)·u_i = 0 for every D, while no term is negative for a direction of recession,
  and a term is zero only where u_i is constant over classes. A Newton step Δ from an optimum's
  neighbourhood gives such a q = p - (diag p - p pᵀ) Δ x̃: it has the right means by the definition
  of Δ, and it is positive where (Δ x̃)_k - p·Δ x̃ < 1.

Where neither is at hand, linear programs over few of the rows find a direction, or show that there
is none, adding the rows that the last direction violates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.optimize import linprog

from skmaxent._objective._objective import MultinomialObjective
from skmaxent._storage._block import Block
from skmaxent._storage._device_array import DeviceArray, on_host
from skmaxent._storage._device_blocks import on_host_block
from skmaxent._typing import Array

Raw = tuple[Array, Array, Array]
Scales = tuple[Array, Array]

EPS = float(np.finfo(float).eps)
# Rounding of a change of logits, relative to the sum of the absolute values of its terms.
ROUNDING = 64.0 * EPS
# A difference of logits that is larger than this share of its terms is not rounding.
STRICT = 1e-9
# The most that a Newton step may change a logit for its probabilities to be positive surely.
LARGEST_CHANGE = 0.9
# Pivots of a scaled matrix below which its directions are looked at one by one.
REGULAR = 1e-10
SINGULAR = 1e-12
# Shares of the largest change of a logit below which rows are taken to be tied by a direction.
TIES = (1e-6, 1e-3, 3e-2)
PROJECTIONS = 4
# Matrices over all coefficients have no more rows; larger problems have the checks alone.
MOST_COEFFICIENTS = 2000
# Bytes of the dense rows that are in memory at a time.
PIECE_BYTES = 1 << 23
MAX_ROUNDS = 100
# Rows that may be added to a linear program at a time, and classes of each.
MORE_ROWS = 400
FEW_CLASSES = 8
# Of the constraints of a linear program.
MOST_BYTES = 1 << 29
FEASIBLE = 1e-10
# Gains, in a box of size one, that are none.
NO_GAIN = 1e-7


class Verdict(Enum):
    SEPARATED = "separated"
    OVERLAP = "overlap"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cone:
    """The signs that the coefficients of a direction may have: low <= D <= high, in {-1, 0, 1}.

    A penalised coefficient is fixed, one with a lower bound may only grow. Arrays (R, width), the
    intercepts' in the last column.
    """

    low: Array
    high: Array

    @classmethod
    def of(
        cls, objective: MultinomialObjective, varying: Array, low: Array | None, high: Array | None
    ) -> Cone:
        """For the objective's ridge and constant columns, and bounds (R or 1, width) if given."""
        free = np.append(varying & (objective.penalty.strength == 0.0), objective.fit_intercept)
        shape = objective.shape
        return cls(
            np.broadcast_to(-1.0 if low is None else low, shape) * free,
            np.broadcast_to(1.0 if high is None else high, shape) * free,
        )

    @property
    def is_trivial(self) -> bool:
        """Whether all coefficients but the intercepts are fixed: rows of each class bound these."""
        return not (self.low[:, :-1].any() or self.high[:, :-1].any())

    def nearest(self, D: Array) -> Array:
        """D without the coefficients that may not have their signs."""
        return np.where(D < 0.0, D * (self.low < 0.0), D * (self.high > 0.0))

    def label(self, k: int) -> Cone:
        return Cone(self.low[[k]], self.high[[k]])


class Search:
    """Looks for a direction of recession of one likelihood, or of one label's.

    Parameters
    ----------
    objective : MultinomialObjective
    cone : Cone
        Of the directions, in the coordinates of θ.
    label : int, optional
        Position of the label, for sigmoids with several.
    scales : callable, optional
        Returns what `column_scales` gives; for searches that share it.
    """

    def __init__(
        self,
        objective: MultinomialObjective,
        cone: Cone,
        label: int | None = None,
        *,
        scales: Callable[[], Scales] | None = None,
    ) -> None:
        self.objective = objective
        self.cone = cone if label is None else cone.label(label)
        self._label = label
        self._is_coupled = objective.likelihood.is_coupled
        # Directions whose strict gains are known, summed up; pairs that they separate do not count.
        self.face = np.zeros(self.cone.low.shape)
        self._index = self._variables()
        self.scales = scales or functools.cache(lambda: column_scales(objective))

    @property
    def is_possible(self) -> bool:
        """Whether some direction could be one of recession."""
        return not (self.cone.is_trivial or self.objective.likelihood.smoothing)

    @property
    def is_dense(self) -> bool:
        """Whether matrices over all coefficients are small enough."""
        return len(self._index) <= MOST_COEFFICIENTS

    def verdict(
        self, theta: Array, candidates: tuple[Array, ...] = ()
    ) -> tuple[Verdict, Array | None]:
        """Whether there is a direction, and one; θ is best near the optimum."""
        if not self.is_possible:
            return Verdict.OVERLAP, None
        for D in candidates:
            found = self.confirmed(self.own(D))
            if found is not None:
                return Verdict.SEPARATED, found
        if not self.is_dense:
            return Verdict.UNKNOWN, None
        if self.proves_overlap(self.own(theta)):
            return Verdict.OVERLAP, None
        return self.by_linear_programs(self.own(theta))

    def maximal(self, theta: Array, D: Array) -> tuple[Array, bool]:
        """The sum of directions that separates every pair that any direction separates.

        Whether that is known to be so is returned too: not where a linear program failed. Pairs
        that are separated already do not restrict the next direction, for enough of the last one
        makes up for what it takes from them.
        """
        self.face = D
        for _ in range(MAX_ROUNDS if self.is_dense and not self.is_complete(D) else 0):
            if self.proves_overlap(self.own(theta)):
                return self.face, True
            verdict, more = self.by_linear_programs(None)
            if more is None:
                return self.face, verdict is Verdict.OVERLAP
            self.face = self.joined(self.face, more)
        return self.face, False

    def span(self) -> tuple[Array, Array]:
        """Directions, (n, R, width), that span all directions of recession, for a maximal face.

        These are those in which no logits change of the pairs that the face does not separate: a
        little of any of them may be added to the face. The columns whose coefficients any of them
        changes are marked, the intercept last.
        """
        center, scale = self.scales()
        nothing = self._raw(np.zeros_like(self.face))
        H, _ = self.objective.blocks.map_reduce(
            _ties, *self._arguments(), nothing, 0.0, nothing, center, scale, True
        )
        null = _Pseudoinverse(self._part(H)).null
        basis: list[Array] = []
        changes: list[Array] = []
        for v in null.T:
            v = v / np.abs(v).max()
            basis.append(self._unscaled(v))
            _, intercept, size = self._raw(basis[-1])
            changes.append(np.abs(self._whole(v)).max(axis=0))
            changes[-1][-1] = np.abs(intercept).max() / max(float(size.max()), 1e-300)
        marks = np.max(changes, axis=0, initial=0.0) > NO_GAIN
        return np.array(basis).reshape(-1, *self.face.shape), marks

    def separated_rows(self) -> Array:
        """Which rows the face separates from some class."""
        blocks = self.objective.blocks
        rows = blocks.where(_are_separated, *self._arguments(), at_most=blocks.n_samples)
        out = np.zeros(blocks.n_samples, dtype=bool)
        out[rows] = True
        return out

    def own(self, D: Array) -> Array:
        """The label's row of coefficients, or all of them."""
        return D if self._label is None else D[[self._label]]

    def _variables(self) -> Array:
        """Positions, class-major, of coefficients that may change.

        Where those of a column are all free, the last class's may be fixed: logits enter through
        their differences alone.
        """
        may = (self.cone.low < 0.0) | (self.cone.high > 0.0)
        if self._is_coupled:
            may[-1, self._all_free] = False
        return np.flatnonzero(may)

    @property
    def _all_free(self) -> NDArray[np.bool_]:
        """Columns whose coefficients may change in any way for all classes."""
        return np.asarray(((self.cone.low < 0.0) & (self.cone.high > 0.0)).all(axis=0))

    def _whole(self, x: Array) -> Array:
        D = np.zeros(self.cone.low.size)
        D[self._index] = x
        return D.reshape(self.cone.low.shape)

    def _raw(self, D: Array) -> Raw:
        """A direction's coefficients and intercepts for the rows as they are stored.

        Beside them the sums of the absolute values of the terms that the intercepts are.
        """
        coef, intercept = (np.asarray(a, float) for a in self.objective.coefficients(D))
        size = np.abs(D[:, -1]) + np.abs(coef) @ np.abs(self.objective.center)
        return coef, intercept, size

    def _arguments(self) -> tuple[Any, ...]:
        return self.objective.likelihood, self._label, self._raw(self.face)

    def _all_pairs(self) -> tuple[Any, ...]:
        return self.objective.likelihood, self._label, self._raw(np.zeros_like(self.face))

    # Proofs of separation.

    def confirmed(self, D: Array) -> Array | None:
        """A direction near D that is proved, or None."""
        D = self.cone.nearest(D)
        size = float(np.abs(D).max())
        if not (0.0 < size < np.inf):
            return None
        D = D / size
        if self.is_proof(D):
            return D
        if not self.is_dense:
            return None
        for share in TIES:
            tied = self._tied(D, share)
            if tied is not None and self.is_proof(tied):
                return tied
        return None

    def is_proof(self, D: Array) -> bool:
        """Whether D is a direction of recession, up to the rounding of its logits.

        A row's own classes must not fall behind others by more than the rounding of the sums that
        its logits are, and a difference of some row's logits must be far above that: a direction in
        which no logits change, as in columns that depend on each other, is no separation.
        """
        worst, best = self.objective.blocks.map_reduce(
            _evidence, *self._arguments(), self._raw(D), combine=np.maximum
        )
        return bool(worst <= ROUNDING and best > STRICT)

    def is_complete(self, D: Array) -> bool:
        """Whether D ranks every row's own class strictly first."""
        least, worst = self.objective.blocks.map_reduce(
            _least_gain, *self._all_pairs(), self._raw(D), combine=np.minimum
        )
        return bool(least > STRICT and worst >= 0.0)

    def _tied(self, D: Array, share: float) -> Array | None:
        """D without what changes the logits of rows that it nearly ties.

        These are pairs of a row and a class whose difference of logits changes by no more than a
        share of the largest change.
        """
        center, scale = self.scales()
        (largest,) = self.objective.blocks.map_reduce(
            _largest_gain, *self._arguments(), self._raw(D), center, scale, combine=np.maximum
        )
        limit = share * float(largest)
        if not limit > 0.0:
            return None
        start = self._raw(D)
        x = self._scaled(D)
        inverse: _Pseudoinverse | None = None
        for _ in range(PROJECTIONS):
            out = self.objective.blocks.map_reduce(
                _ties,
                *self._arguments(),
                start,
                limit,
                self._raw(D),
                center,
                scale,
                inverse is None,
            )
            if inverse is None:
                inverse = _Pseudoinverse(self._part(out[0]))
            x = x - inverse.solve(out[1].ravel()[self._index])
            D = self.cone.nearest(self._unscaled(x))
        size = float(np.abs(D).max())
        return D / size if size > 1e-6 else None

    # Proofs of overlap.

    def proves_overlap(self, theta: Array) -> bool:
        """Whether a Newton step from θ gives positive probabilities with the means of the targets.

        θ has the label's row alone, where there is a label. Directions without curvature must be
        those in which no logits change.
        """
        center, scale = self.scales()
        at = self._raw(theta)
        H, g, n_pairs = self.objective.blocks.map_reduce(
            _information, *self._arguments(), at, center, scale
        )
        if n_pairs == 0.0:
            return True
        if not (np.isfinite(H).all() and np.isfinite(g).all()):
            return False
        index, g = self._index, g.ravel()
        low, high = (bound.ravel()[index] for bound in (self.cone.low, self.cone.high))
        # Where a coefficient may move to one side, the gradient need not vanish on the other.
        held = ((low == 0.0) & (g[index] >= 0.0)) | ((high == 0.0) & (g[index] <= 0.0))
        moved = index[~held]
        inverse = _Pseudoinverse(H[np.ix_(moved, moved)])
        step = inverse.solve(g[moved])
        whole = np.zeros(len(g))
        whole[moved] = step
        left = (g - H @ whole)[index[held]]
        if ((low[held] == 0.0) & (left < 0.0)).any() or ((high[held] == 0.0) & (left > 0.0)).any():
            return False
        (change,) = self.objective.blocks.map_reduce(
            _largest_change,
            *self._arguments(),
            at,
            self._raw(self._from_scaled(whole)),
            combine=np.maximum,
        )
        if not change < LARGEST_CHANGE:
            return False
        if held.any():
            # The proof says that no logits change along what is left; that must be nothing.
            inverse = _Pseudoinverse(H[np.ix_(index, index)])
            moved = index
        if inverse.null.shape[1]:
            # A random direction of a space changes no logits only where none of the space does.
            mixture = np.random.default_rng(0).normal(size=inverse.null.shape[1])
            whole = np.zeros(len(g))
            whole[moved] = inverse.null @ mixture
            return self._is_null(self._from_scaled(whole))
        return True

    def winners(self, D: Array) -> list[int]:
        """Positions of the classes with rows that a direction separates from another class.

        For sigmoids with several labels that of the label.
        """
        if self._label is not None:
            return [self._label]
        (gains,) = self.objective.blocks.map_reduce(
            _gains_of_classes, *self._all_pairs(), self._raw(D), combine=np.maximum
        )
        return [int(k) for k in np.flatnonzero(np.atleast_1d(gains) > STRICT)]

    def _is_null(self, D: Array) -> bool:
        """Whether no difference of logits changes along D, among pairs that are not separated."""
        (change,) = self.objective.blocks.map_reduce(
            _relative_change, *self._arguments(), self._raw(D), combine=np.maximum
        )
        return bool(change <= STRICT)

    # Linear programs.

    def by_linear_programs(self, start: Array | None) -> tuple[Verdict, Array | None]:
        """A direction that is proved, or the verdict that there is none, or neither.

        The gains of all rows are summed up and made largest, for coefficients in a box, where a few
        rows do not lose; rows that lose are added until no row does or no gain is left. Rows and
        columns are scaled to be alike.
        """
        center, scale = self.scales()
        blocks = self.objective.blocks
        (total,) = blocks.map_reduce(_gain_sums, *self._arguments(), center, scale)
        cost = total.ravel()[self._index]
        norm = float(np.abs(cost).max(initial=0.0))
        if norm == 0.0:
            return Verdict.UNKNOWN, None
        bounds = np.column_stack(
            [self.cone.low.ravel()[self._index], self.cone.high.ravel()[self._index]]
        )
        known = np.empty(0, dtype=np.int64)
        A = np.empty((0, len(self._index)))
        D = self._unscaled(cost / norm) if start is None or not start.any() else start
        for n_programs in range(MAX_ROUNDS):
            keys, more = self._constraints(self._violated(D, MORE_ROWS), D)
            fresh = ~np.isin(keys, known)
            if not fresh.any():
                found = self.confirmed(D)
                if found is not None or n_programs:
                    return (Verdict.UNKNOWN if found is None else Verdict.SEPARATED), found
            known = np.concatenate([known, keys[fresh]])
            A = np.vstack([A, more[fresh]])
            if A.nbytes > MOST_BYTES:
                return Verdict.UNKNOWN, None
            result = linprog(
                -cost / norm,
                A_ub=-A,
                b_ub=np.zeros(len(A)),
                bounds=bounds,
                method="highs",
                options={
                    "primal_feasibility_tolerance": FEASIBLE,
                    "dual_feasibility_tolerance": FEASIBLE,
                },
            )
            if result.x is None:
                return Verdict.UNKNOWN, None
            if float(cost @ result.x) <= NO_GAIN:
                return Verdict.OVERLAP, None
            D = self._unscaled(result.x)
        return Verdict.UNKNOWN, None

    def _violated(self, D: Array, at_most: int) -> Array:
        """Positions of rows that D violates, among them those that it violates most."""
        center, scale = self.scales()
        arguments = (*self._arguments(), self._raw(D), center, scale)
        blocks = self.objective.blocks
        (worst,) = blocks.map_reduce(_worst_violation, *arguments, combine=np.maximum)
        if not worst > FEASIBLE:
            return np.empty(0, dtype=np.intp)
        limit = max(0.1 * float(worst), FEASIBLE)
        rows = blocks.where(_are_violated, *arguments, limit, at_most=blocks.n_samples)
        assert rows is not None
        if len(rows) > at_most:
            rows = rows[np.linspace(0, len(rows) - 1, at_most).astype(np.intp)]
        return rows

    def _constraints(self, rows: Array, D: Array) -> tuple[Array, Array]:
        """Pairs of classes of some rows, numbered, and what their gains are of the coefficients.

        Where classes are many, those of a row that D violates most.
        """
        center, scale = self.scales()
        d = self.objective.blocks.n_features
        R, width = self.cone.low.shape
        if not len(rows):
            return np.empty(0, dtype=np.int64), np.empty((0, len(self._index)))
        taken = self.objective.blocks.take(rows, np.zeros(d), np.ones(d), np.float64)
        block = on_host_block(Block(0, 0, len(rows), *taken))
        S, M = _pairs_of(block, *self._arguments())
        margins = np.where(M > 0.0, _margins(_changes(block, self._raw(D)), S, self._is_coupled), 0)
        (X,) = (X for _, X in _pieces(block, center, scale, len(rows)))
        keys, out = [], []
        for i, row in enumerate(rows):
            others = np.flatnonzero(M[:, i])
            if len(others) > FEW_CLASSES:
                others = np.argsort(margins[:, i], kind="stable")[:FEW_CLASSES]
            for c in np.flatnonzero(S[:, i] != 0.0):
                if not self._is_coupled:
                    for sign in (S[c, i],) if abs(S[c, i]) == 1.0 else (1.0, -1.0):
                        line = np.zeros((R, width))
                        line[c] = sign * X[i]
                        keys.append((row * R + c) * 2 + (sign > 0.0))
                        out.append(line.ravel()[self._index])
                    continue
                for k in others[others != c]:
                    line = np.zeros((R, width))
                    line[c], line[k] = X[i], -X[i]
                    keys.append((row * R + c) * R + k)
                    out.append(line.ravel()[self._index])
        return np.array(keys, dtype=np.int64), np.array(out).reshape(-1, len(self._index))

    def joined(self, D: Array, more: Array) -> Array:
        """`more` and as much of D as it takes for every pair to gain that D separates."""
        (ratio,) = self.objective.blocks.map_reduce(
            _largest_ratio,
            *self._all_pairs(),
            self._raw(D),
            self._raw(more),
            combine=np.maximum,
        )
        joined = (1.0 + 2.0 * max(float(ratio), 0.0)) * D + more
        return np.asarray(joined / np.abs(joined).max())

    # Coordinates in which rows and columns are alike.

    def _from_scaled(self, x: Array) -> Array:
        """A direction in the coordinates of θ from one in these, both of all coefficients."""
        center, scale = self.scales()
        objective = self.objective
        d = x.reshape(self.cone.low.shape) / scale
        D = np.empty_like(d)
        D[:, :-1] = d[:, :-1] * objective.scale
        D[:, -1] = d[:, -1] + d[:, :-1] @ (objective.center - center)
        return D

    def _unscaled(self, x: Array) -> Array:
        return self._from_scaled(self._whole(x).ravel())

    def _scaled(self, D: Array) -> Array:
        """The inverse of `_unscaled`."""
        center, scale = self.scales()
        objective = self.objective
        d = np.empty_like(D)
        d[:, :-1] = D[:, :-1] / objective.scale
        d[:, -1] = D[:, -1] - d[:, :-1] @ (objective.center - center)
        d *= np.where(np.isfinite(scale), scale, 0.0)
        if self._is_coupled:
            d -= np.where(self._all_free, d[-1], 0.0)
        return d.ravel()[self._index]

    def _part(self, H: Array) -> Array:
        return H[np.ix_(self._index, self._index)]


def column_scales(objective: MultinomialObjective) -> Scales:
    """Centers (sparse rows: zeros) and scales of the columns, the scale of the intercept's last.

    A column's scale is about the mean of its entries' absolute values where each row is divided by
    its largest entry, so that few huge entries do not make all others small.
    """
    is_centred = objective.fit_intercept and not objective.blocks.is_sparse
    center = objective.center if is_centred else np.zeros(len(objective.center))
    scale = np.append(
        np.asarray(objective.scale, float), 1.0 if objective.fit_intercept else np.inf
    )
    for _ in range(3):
        sums, total = objective.blocks.map_reduce(_column_sizes, center, scale)
        size = sums / max(float(total), 1.0)
        scale = scale * np.where(size > 0.0, size, 1.0)
    return center, scale


class _Pseudoinverse:
    """Solves with a positive semidefinite matrix; `null` are its directions without curvature."""

    def __init__(self, H: Array) -> None:
        size = np.sqrt(np.maximum(H.diagonal(), 0.0))
        self._some = np.flatnonzero(size > 0.0)
        self._size = size[self._some]
        A = H[np.ix_(self._some, self._some)] / np.multiply.outer(self._size, self._size)
        self._factor: Array | None = None
        self._root = np.zeros((len(A), 0))
        self.null = np.eye(len(H))[:, size == 0.0]
        if not len(A):
            return
        L, info = lapack.dpotrf(A, lower=1)
        if info == 0 and np.square(L.diagonal()).min() > REGULAR:
            self._factor = L
            return
        values, vectors = np.linalg.eigh(A)
        some = values > SINGULAR * float(values[-1])
        self._root = vectors[:, some] / np.sqrt(values[some])
        null = np.zeros((len(H), np.count_nonzero(~some)))
        null[self._some] = vectors[:, ~some] / self._size[:, None]
        self.null = np.column_stack([self.null, null])

    def solve(self, g: Array) -> Array:
        x = np.zeros(len(g))
        if not len(self._some):
            return x
        scaled = g[self._some] / self._size
        if self._factor is not None:
            scaled, _ = lapack.dpotrs(self._factor, scaled, lower=1)
        else:
            scaled = self._root @ (self._root.T @ scaled)
        x[self._some] = scaled / self._size
        return x


# Kernels. Each has the likelihood, the label or None, and the face's coefficients first.


def _pairs_of(block: Block, likelihood: Any, label: int | None, face: Raw) -> tuple[Array, Array]:
    """Which classes each row has, and which of the others are not separated from these, (R, rows).

    For sigmoids the first is 1 for a row that has the label, -1 for one that has not, 0.5 for one
    that is both; it is 0 where the face separates the row.
    """
    targets = _targets(block, likelihood, label)
    if likelihood.is_coupled:
        S = (targets > 0.0).astype(float)
    else:
        S = np.where(targets == 1.0, 1.0, np.where(targets == 0.0, -1.0, 0.5))
    if not any(part.any() for part in face):
        return S, np.ones_like(S)
    M = _margins(_changes(block, face), S, likelihood.is_coupled) <= STRICT * _sizes(block, face)
    if likelihood.is_coupled:
        return S, M.astype(float)
    return S * M, M.astype(float)


def _targets(block: Block, likelihood: Any, label: int | None) -> Array:
    """Targets in the shape of the logits, or those of one label."""
    return np.asarray(
        likelihood.dense_targets(block.targets if label is None else block.targets[:, [label]])
    )


def _changes(block: Block, direction: Raw) -> Array:
    """Changes of the logits, (R, rows), in float64 whatever the rows are in."""
    coef, intercept, _ = direction
    if block.is_sparse:
        Z = np.ascontiguousarray(np.asarray(block.X @ np.ascontiguousarray(coef.T)).T)
    else:
        Z = coef @ block.X.T
    return np.asarray(Z + intercept[:, None])


def _sizes(block: Block, direction: Raw) -> Array:
    """The largest sum, over logits, of the absolute values of the terms that a logit is."""
    coef, _, size = direction
    Z = _changes(_absolute(block), (np.abs(coef), size, size))
    return np.asarray(np.maximum(Z.max(axis=0), np.finfo(float).tiny))


def _absolute(block: Block) -> Block:
    return Block(
        block.index, block.start, block.stop, abs(block.X), block.targets, block.weights, None
    )


def _margins(U: Array, S: Array, is_coupled: bool) -> Array:
    """By how much each row's classes gain on each class: the least of them, where there are more.

    Negative where they lose.
    """
    if is_coupled:
        return np.asarray(np.where(S > 0.0, U, np.inf).min(axis=0) - U)
    return np.asarray(np.where(np.abs(S) == 1.0, S * U, np.where(S == 0.0, 0.0, -np.abs(U))))


def _counts(block: Block) -> Array:
    if block.weights is None:
        return np.ones(block.stop - block.start, dtype=bool)
    return np.asarray(block.weights > 0.0)


def _host(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_host(arg) if isinstance(arg, tuple) else on_host(arg) for arg in args)


def _evidence(block: Block, *args: Any) -> tuple[Any, Any]:
    """The largest loss and the largest gain, relative to the sizes of the rows' terms."""
    block, args = on_host_block(block), _host(args)
    *pairs, direction = args
    S, M = _pairs_of(block, *pairs)
    margins = _margins(_changes(block, direction), S, pairs[0].is_coupled)
    margins = np.where(M > 0.0, margins, 0.0) / _sizes(block, direction)
    margins = margins[:, _counts(block)]
    return -margins.min(initial=0.0), margins.max(initial=0.0)


def _least_gain(block: Block, *args: Any) -> tuple[Any, Any]:
    """The least gain of a row's class on another, and the same with ties of classes that it has."""
    block, args = on_host_block(block), _host(args)
    *pairs, direction = args
    S, _ = _pairs_of(block, *pairs)
    margins = _margins(_changes(block, direction), S, pairs[0].is_coupled)
    margins = (margins / _sizes(block, direction))[:, _counts(block)]
    if pairs[0].is_coupled:
        S = S[:, _counts(block)]
        single = S.sum(axis=0) == 1.0
        others = np.where(S == 0.0, margins, np.inf)
        return others.min(initial=np.inf), np.where(single, 0.0, -1.0).min(initial=0.0)
    return margins.min(initial=np.inf), 0.0


def _gains_of_classes(block: Block, *args: Any) -> tuple[Any]:
    """The largest gain of the rows of each class; for sigmoids of all rows together."""
    block, args = on_host_block(block), _host(args)
    *pairs, direction = args
    S, M = _pairs_of(block, *pairs)
    margins = _margins(_changes(block, direction), S, pairs[0].is_coupled)
    margins = np.where(M > 0.0, margins, 0.0) / _sizes(block, direction) * _counts(block)
    if not pairs[0].is_coupled:
        return (margins.max(initial=0.0),)
    return ((S * margins.max(axis=0)).max(axis=1, initial=0.0),)


def _relative_change(block: Block, *args: Any) -> tuple[Any]:
    block, args = on_host_block(block), _host(args)
    *pairs, direction = args
    S, M = _pairs_of(block, *pairs)
    margins = _margins(_changes(block, direction), S, pairs[0].is_coupled)
    margins = np.where(M > 0.0, np.abs(margins), 0.0) / _sizes(block, direction)
    return (margins[:, _counts(block)].max(initial=0.0),)


def _row_sizes(block: Block, center: Array, scale: Array) -> Array:
    """The largest entry of each row, in scaled columns."""
    largest = np.full(block.stop - block.start, 1.0 / scale[-1])
    if block.is_sparse:
        X = abs(block.X) @ sp.diags(1.0 / scale[:-1], format="csr")
        largest = np.maximum(largest, X.max(axis=1).toarray().ravel())
    elif len(center):
        X = np.abs((block.X - center) / scale[:-1])
        largest = np.maximum(largest, X.max(axis=1))
    return np.asarray(np.where(largest > 0.0, largest, 1.0))


def _column_sizes(block: Block, *args: Any) -> tuple[Array, Any]:
    block, (center, scale) = on_host_block(block), _host(args)
    weights = _counts(block) / _row_sizes(block, center, scale)
    X = abs(block.X if block.is_sparse else block.X - center)
    sums = X.T @ weights
    out = np.append(np.asarray(sums) / scale[:-1], weights.sum() / scale[-1])
    return out, float(_counts(block).sum())


def _scaled_margins(block: Block, args: tuple[Any, ...]) -> Array:
    """Gains of the pairs that count, relative to the sizes of the scaled rows; 0 for the others."""
    *pairs, direction, center, scale = args
    S, M = _pairs_of(block, *pairs)
    margins = _margins(_changes(block, direction), S, pairs[0].is_coupled)
    weights = _counts(block) / _row_sizes(block, center, scale)
    return np.asarray(np.where(M > 0.0, margins, 0.0) * weights)


def _largest_gain(block: Block, *args: Any) -> tuple[Any]:
    margins = _scaled_margins(on_host_block(block), _host(args))
    return (np.abs(margins).max(initial=0.0),)


def _worst_violation(block: Block, *args: Any) -> tuple[Any]:
    margins = _scaled_margins(on_host_block(block), _host(args))
    return (-margins.min(initial=0.0),)


def _are_violated(block: Block, *args: Any) -> Array:
    *rest, limit = _host(args)
    margins = _scaled_margins(on_host_block(block), tuple(rest))
    return _beside(block, (margins < -limit).any(axis=0))


def _are_separated(block: Block, *args: Any) -> Array:
    rows, pairs = on_host_block(block), _host(args)
    _, M = _pairs_of(rows, *pairs)
    return _beside(block, (M == 0.0).any(axis=0) & _counts(rows))


def _beside(block: Block, values: Array) -> Any:
    """Values where the rows are."""
    if isinstance(block.X, DeviceArray):
        return DeviceArray(block.X.place.put(values), block.X.place)
    return values


def _pieces(
    block: Block, center: Array, scale: Array, n_rows: int = 0
) -> Iterator[tuple[Block, Array]]:
    """Parts of a block with their rows, dense, scaled, divided by their largest entry.

    Of so many rows each, or of as many as there is room for.
    """
    width = len(scale)
    step = n_rows or max(1, PIECE_BYTES // (8 * width))
    size = _row_sizes(block, center, scale)
    for start in range(0, block.stop - block.start, step):
        stop = min(start + step, block.stop - block.start)
        part = slice(start, stop)
        some = Block(
            block.index,
            block.start + start,
            block.start + stop,
            block.X[part],
            block.targets[part],
            None if block.weights is None else block.weights[part],
            None if block.offset is None else block.offset[part],
        )
        X = np.empty((stop - start, width))
        X[:, :-1] = some.X.toarray() if some.is_sparse else some.X
        X[:, :-1] -= center
        X[:, :-1] /= scale[:-1]
        X[:, -1] = 1.0 / scale[-1]
        X /= size[part, None]
        yield some, X


def _gain_sums(block: Block, *args: Any) -> tuple[Array]:
    """The sum of the gains of all pairs, as a function of the scaled coefficients."""
    block, args = on_host_block(block), _host(args)
    *pairs, center, scale = args
    total = 0.0
    for some, X in _pieces(block, center, scale):
        S, M = _pairs_of(some, *pairs)
        if pairs[0].is_coupled:
            G = M.sum(axis=0) * S - S.sum(axis=0) * M
        else:
            G = np.where(np.abs(S) == 1.0, S, 0.0)
        total = total + (G * _counts(some)) @ X
    return (np.asarray(total),)


def _curvature_sums(P: Array, X: Array, weights: Array, is_coupled: bool) -> Array:
    """Σ weights (diag p - p pᵀ) ⊗ x xᵀ, class-major; of sigmoids with diag p alone."""
    R, width = len(P), X.shape[1]
    H = np.zeros((R, width, R, width))
    for k in range(R):
        for m in range(k, R):
            if k != m and not is_coupled:
                continue
            spread = P[k] * ((k == m) - P[m]) if is_coupled else P[k]
            H[k, :, m, :] = H[m, :, k, :] = (X * (weights * spread)[:, None]).T @ X
    return H.reshape(R * width, R * width)


def _ties(block: Block, *args: Any) -> tuple[Array, Array]:
    """Σ over pairs that a direction nearly ties of squared differences: its matrix, and that times
    another direction."""
    block, args = on_host_block(block), _host(args)
    *pairs, direction, limit, other, center, scale, with_matrix = args
    is_coupled = pairs[0].is_coupled
    H: Any = 0.0
    product: Any = 0.0
    for some, X in _pieces(block, center, scale):
        tied = np.abs(_scaled_margins(some, (*pairs, direction, center, scale))) <= limit
        _, M = _pairs_of(some, *pairs)
        T = tied * M
        weights = _counts(some).astype(float)
        U = _changes(some, other) / _row_sizes(some, center, scale)
        if is_coupled:
            count = T.sum(axis=0)
            P = T / count
            G = T * (U - (P * U).sum(axis=0))
            weights = weights * count
        else:
            P, G = T, T * U
        product = product + (G * (weights > 0.0)) @ X
        if with_matrix:
            H = H + _curvature_sums(P, X, weights, is_coupled)
    return np.asarray(H), np.asarray(product)


def _probabilities(block: Block, pairs: tuple[Any, ...], at: Raw) -> tuple[Array, Array, Array]:
    """Probabilities p, targets, and which classes count: those not separated from a row's own.

    The others' probabilities are zero for softmax, their targets for sigmoids.
    """
    likelihood, label = pairs[:2]
    _, M = _pairs_of(block, *pairs)
    Z = _changes(block, at)
    targets = _targets(block, likelihood, label)
    if block.offset is not None:
        offset = block.offset.T
        Z = Z + (offset if label is None else offset[[label]])
    if likelihood.is_coupled:
        Z = np.where(M > 0.0, Z, -np.inf)
        likelihood.probabilities(Z)
        return Z, targets, M
    e = np.exp(-np.abs(Z))
    return np.where(M > 0.0, np.where(Z >= 0.0, 1.0, e) / (1.0 + e), targets), targets, M


def _information(block: Block, *args: Any) -> tuple[Array, Array, Any]:
    """Information and gradient of the loss, in scaled columns, and the number of pairs."""
    block, args = on_host_block(block), _host(args)
    *pairs, at, center, scale = args
    is_coupled = pairs[0].is_coupled
    H: Any = 0.0
    g: Any = 0.0
    n_pairs = 0.0
    for some, X in _pieces(block, center, scale):
        size = _row_sizes(some, center, scale)
        weights = np.asarray(some.weights_or_ones(), dtype=float)
        P, T, M = _probabilities(some, tuple(pairs), at)
        curvature = P if is_coupled else P * (1.0 - P)
        H = H + _curvature_sums(curvature, X, weights * size**2, is_coupled)
        g = g + ((P - T) * (weights * size)) @ X
        n_pairs += float(((M.sum(axis=0) - is_coupled) * _counts(some)).sum())
    return np.asarray(H), np.asarray(g), n_pairs


def _largest_change(block: Block, *args: Any) -> tuple[Any]:
    """The largest u_k - p·u of classes that count; for sigmoids what p (1 - p) makes of u."""
    block, args = on_host_block(block), _host(args)
    *pairs, at, step = args
    P, _, M = _probabilities(block, tuple(pairs), at)
    U = _changes(block, step)
    if pairs[0].is_coupled:
        change = np.where(M > 0.0, U - (P * U).sum(axis=0), 0.0)
    else:
        # q = p - p (1 - p) u is between 0 and 1 where u (1 - p) < 1 and -u p < 1.
        change = np.where(M > 0.0, np.maximum(U * (1.0 - P), -U * P), 0.0)
    return (change[:, _counts(block)].max(initial=0.0),)


def _largest_ratio(block: Block, *args: Any) -> tuple[Any]:
    """How much of a direction makes up for what another takes from the pairs that it separates."""
    block, args = on_host_block(block), _host(args)
    *pairs, direction, other = args
    S, _ = _pairs_of(block, *pairs)
    is_coupled = pairs[0].is_coupled
    gains = _margins(_changes(block, direction), S, is_coupled)
    losses = -_margins(_changes(block, other), S, is_coupled)
    strict = gains > STRICT * _sizes(block, direction)
    ratio = np.where(strict, losses / np.where(strict, gains, 1.0), 0.0)
    return (ratio[:, _counts(block)].max(initial=0.0),)
