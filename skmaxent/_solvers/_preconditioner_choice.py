"""Which preconditioner to use when: what it costs against the Hessian products that it saves."""

from __future__ import annotations

import numpy as np

from skmaxent._objective._objective import MultinomialObjective, Point
from skmaxent._solvers._class_blocks import (
    LEAST_ROWS,
    ROWS_PER_COLUMN,
    ClassBlockPreconditioner,
)
from skmaxent._solvers._preconditioners import (
    AssembledPreconditioner,
    DiagonalPreconditioner,
    KroneckerPreconditioner,
    Preconditioner,
    n_free_parameters,
)

# Cost of a Hessian product, for each multiplication in it.
DENSE_COST = 5.0
SPARSE_COST = 40.0
# A d × d factorisation beyond this costs more than it saves.
FULL_COVARIANCE_FEATURES = 2000
# An assembled Hessian beyond this costs more than conjugate gradients.
ASSEMBLED_SIZE = 1200
# Up to this size the Hessian costs less than anything else.
ALWAYS_ASSEMBLED = 120
# The Hessian of all rows is worth this many Hessian products: about what a sampled one asks for.
EXACT_PRODUCTS = 6
# Multiplications of a row and a parameter that a Hessian costs besides those of products.
CALLS = 80
# Sampled rows are as many as this many Hessian products pay for, or more.
SAMPLE_PRODUCTS = 2
# Near the optimum, an assembled Hessian is worth this many products.
NEAR_PRODUCTS = 8
# If the optimum is still far after this many steps with a preconditioner, it is replaced.
OLD = 4
# Far from the optimum the Hessian of all rows is worth this many products at every step.
FAR_PRODUCTS = 100
# Most bytes of the blocks of all classes: of 1,000 classes with 256 features.
BLOCKS_BYTES = 1 << 28
# Multiplications that a block of a class costs besides those of matrices. The products of many
# classes run at the speed of a large matrix product: the cost of one is then a multiple of
# MANY_CLASSES_COST, from about FEW_CLASSES on.
BLOCK_CALLS = 3e7
MANY_CLASSES_COST, FEW_CLASSES = 2.0, 30.0
# Until the products of a step have cost as much as new blocks, they increase from step to step:
# blocks are built if the next step is expected to reach that, at this many times the last step.
NEXT_STEP = 2.0
# Hessian products of a step. Preconditioned systems need far fewer; this bounds the cost of a step
# where the preconditioner fails.
MAX_STEP_PRODUCTS = 200
# Before there are blocks, a step takes no more products than so many times what the blocks cost,
# and not less than the second number.
BLOCKS_IN_STEP, LEAST_STEP_PRODUCTS = 2.0, 10
# Products that a full covariance is trusted to save.
WORTH_PRODUCTS = 200


class PreconditionerChoice:
    """The choice of a preconditioner, from what it costs to build and what a product costs.

    A diagonal costs next to nothing. The full Kronecker product is exact at the model without
    features. Elsewhere, an assembled Hessian is closest, and for many parameters the blocks of its
    classes are. A preconditioner is built as soon as the
    Hessian products of the fit have cost as much as it costs. Costs are in multiplications at the
    speed of a large matrix product.

    Parameters
    ----------
    objective : MultinomialObjective
    solver : {"auto", "newton-cg", "newton-cholesky"}
        "newton-cg" never assembles a Hessian, "newton-cholesky" always does.
    seed : int
        For the samples of rows that preconditioners are built from.
    is_near : bool
        Whether the start is much nearer to the optimum than the model without features.
    """

    def __init__(
        self,
        objective: MultinomialObjective,
        *,
        solver: str = "auto",
        seed: int = 0,
        is_near: bool = False,
    ) -> None:
        self._is_near = is_near
        self._seed = seed
        self._objective = objective
        self._samples: dict[int, MultinomialObjective] = {}
        blocks = objective.blocks
        p = float(n_free_parameters(objective))
        d = float(blocks.n_features)
        # X without entries has no work, and is divided by.
        product = (SPARSE_COST if blocks.is_sparse else DENSE_COST) * max(blocks.work, 1)
        self._product_cost = product
        self._rows = {
            "diagonal": 20_000,
            "full": max(int(10 * d), 4000),
            "assembled": max(int(5 * p), 2000, int(SAMPLE_PRODUCTS * product / (p * (p + CALLS)))),
        }
        if (
            solver == "newton-cholesky"
            or blocks.n_samples * p * (p + CALLS) <= EXACT_PRODUCTS * product
        ):
            self._rows["assembled"] = blocks.n_samples
        rows = {kind: min(number, blocks.n_samples) for kind, number in self._rows.items()}
        self._costs = {
            "diagonal": 0.0,
            "full": rows["full"] * d**2 + 2.0 * d**3,
            "blocks": _cost_of_blocks(objective),
            "assembled": rows["assembled"] * p * (p + CALLS) + p**3 / 3.0,
        }
        if blocks.is_sparse:
            per_row = blocks.size / max(blocks.n_samples, 1)
            self._costs["full"] = rows["full"] * min(d**2, 100.0 * per_row**2) + 2.0 * d**3
        if d > FULL_COVARIANCE_FEATURES:
            self._costs["full"] = self._costs["blocks"] = np.inf
        if solver == "newton-cg" or p > ASSEMBLED_SIZE:
            self._costs["assembled"] = np.inf
        else:
            self._costs["blocks"] = np.inf
        self._exact_cost = blocks.n_samples * p * (p + CALLS) + self._costs["assembled"]
        if solver == "newton-cholesky" or (solver == "auto" and p <= ALWAYS_ASSEMBLED):
            self._costs["assembled"] = 0.0
        self._spent = 0.0
        self._age, self._since = 0, 0.0
        self._kind = ""
        self._preconditioner: Preconditioner

    @property
    def max_products(self) -> int:
        """Most Hessian products of the next step."""
        cost = self._costs["blocks"]
        if self._kind not in ("diagonal", "full") or not cost < np.inf:
            return MAX_STEP_PRODUCTS
        most = max(BLOCKS_IN_STEP * cost / self._product_cost, LEAST_STEP_PRODUCTS)
        return int(min(most, MAX_STEP_PRODUCTS))

    def at(
        self,
        point: Point,
        last_products: int,
        *,
        is_far: bool = False,
        is_steady: bool = False,
    ) -> tuple[Preconditioner, bool]:
        """Return the preconditioner to use at a point, and whether it is new.

        `last_products` is the number of Hessian products of the last step. If the optimum is still
        far after OLD steps, the sample of rows is too small for long steps. From then on the
        Hessian of all rows is assembled at every step, if it is affordable. `is_steady` tells
        that the last step ended inside the trust region and left most of F, and that the optimum is
        not reached: only then the blocks of this point serve for the next ones too.
        """
        last = last_products * self._product_cost
        self._spent += last
        # A step costs a gradient too, which is about a product.
        self._age, self._since = self._age + 1, self._since + last + self._product_cost
        if is_far and self._age > OLD and self._exact_cost <= FAR_PRODUCTS * self._product_cost:
            self._rows["assembled"] = self._objective.blocks.n_samples
            self._costs["assembled"] = 0.0
        if not self._kind:
            self._spent = WORTH_PRODUCTS * self._product_cost
            kind = self._last_affordable(("diagonal", "full"), self._spent)
            worth = NEAR_PRODUCTS * self._product_cost if self._is_near else 0.0
            kind = "assembled" if self._costs["assembled"] <= worth else kind
            self._spent = 0.0
        else:
            kind = self._last_affordable(
                ("diagonal", "full", "assembled"), max(last, self._spent / 2)
            )
            if self._blocks_pay_off(last, is_steady):
                return self._build("blocks", point)
            if self._kind == "blocks":
                return self._preconditioner, False
            if is_far and kind == self._kind and self._is_old():
                return self._build(kind, point)
            dear = last <= self._costs[kind] and self._costs[kind] > 0.0
            if (kind == self._kind and dear) or self._costs[kind] < self._costs[self._kind]:
                return self._preconditioner, False
        return self._build(kind, point)

    def _blocks_pay_off(self, last: float, is_steady: bool) -> bool:
        """Return whether to build blocks, or to build them again. `last` is the last step's cost.

        New blocks replace old ones if products have cost as much since then, and half of that in
        the last step.
        """
        cost = self._costs["blocks"]
        if not is_steady:
            return False
        if self._kind == "blocks":
            return self._since >= cost and last >= cost / 2
        return self._spent + NEXT_STEP * last >= cost

    def _is_old(self) -> bool:
        """Return whether the steps with a preconditioner have cost what a new one costs."""
        return self._age > OLD and self._since >= self._costs[self._kind]

    def _build(self, kind: str, point: Point) -> tuple[Preconditioner, bool]:
        """Return a new preconditioner of a kind at a point, and True."""
        self._age, self._since = 0, 0.0
        sample = self._sample(self._rows["full" if kind == "blocks" else kind])
        is_null = point.probabilities.are_common
        if kind == "diagonal" and point.objective.likelihood.is_coupled and not is_null:
            self._preconditioner = DiagonalPreconditioner(point, sample)
        elif kind == "blocks":
            if self._kind == "blocks" and isinstance(
                self._preconditioner, ClassBlockPreconditioner
            ):
                self._preconditioner.build(point, sample, seed=self._seed)
            else:
                self._preconditioner = ClassBlockPreconditioner(point, sample, seed=self._seed)
        elif kind == "assembled":
            self._preconditioner = AssembledPreconditioner(point, sample)
        else:
            self._preconditioner = KroneckerPreconditioner(point, sample, full=kind == "full")
        self._kind = kind
        return self._preconditioner, True

    def _sample(self, n_rows: int) -> MultinomialObjective:
        """Return the objective over so many sampled rows, or over all if there are no more."""
        if n_rows >= self._objective.blocks.n_samples:
            return self._objective
        if n_rows not in self._samples:
            self._samples[n_rows] = self._objective.standardised(n_rows, seed=self._seed)
        return self._samples[n_rows]

    def _last_affordable(self, kinds: tuple[str, ...], budget: float) -> str:
        """Return the last of `kinds` that costs no more than `budget`, or "diagonal"."""
        return ["diagonal", *(kind for kind in kinds if self._costs[kind] <= budget)][-1]


def _cost_of_blocks(objective: MultinomialObjective) -> float:
    """Return the multiplications that a `ClassBlockPreconditioner` costs, infinite if too large.

    Half of the second moments is computed, in float32. The result is relative to DENSE_COST for a
    Hessian product.
    """
    R, width = objective.shape
    if 4 * R * width**2 > BLOCKS_BYTES:
        return float("inf")
    n_rows = max(LEAST_ROWS, ROWS_PER_COLUMN * width)
    few = min(1.0, FEW_CLASSES / R)
    product = few * DENSE_COST + (1.0 - few) * MANY_CLASSES_COST
    return float(R * (BLOCK_CALLS + width**2 * (n_rows + width) / 2.0) * DENSE_COST / product)
