"""The choice of a preconditioner by its cost and the Hessian products that it saves.

Costs are numbers of multiplications at the speed of a large matrix product. "Worth n products"
means that a preconditioner is built if it costs no more than n Hessian products. F is the
objective: the loss with its penalty.
"""

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
from skmaxent._solvers._row_space_preconditioner import (
    RowSpaceBasis,
    RowSpacePreconditioner,
    cost_of_basis,
    cost_of_row_space,
    suits_row_space_of_ridge,
)

# The cost of a Hessian product, relative to the number of its multiplications.
DENSE_COST = 5.0
SPARSE_COST = 40.0
# With more features d, a factorisation of a d × d matrix costs more than it saves.
FULL_COVARIANCE_FEATURES = 2000
# With more parameters, an assembled Hessian costs more than conjugate gradients.
ASSEMBLED_SIZE = 1200
# Up to this number of parameters, an assembled Hessian costs less than any alternative.
ALWAYS_ASSEMBLED = 120
# The Hessian of all rows is worth this many products, about as many as one of a sample needs.
EXACT_PRODUCTS = 6
# The overhead of assembling a Hessian, in multiplications for each row and parameter.
CALLS = 80
# A sample has at least as many rows as are worth this many Hessian products.
SAMPLE_PRODUCTS = 2
# Near the optimum, an assembled Hessian is worth this many products.
NEAR_PRODUCTS = 8
# If the optimum is still far after this many steps with a preconditioner, the latter is replaced.
OLD = 4
# Far from the optimum the Hessian of all rows is worth this many products at every step.
FAR_PRODUCTS = 100
# Most bytes of the blocks of all classes. 1,000 classes with 256 features need as many.
BLOCKS_BYTES = 1 << 28
# The overhead of the block of a class, in multiplications. With many classes, Hessian products run
# at nearly the speed of a large matrix product: from about FEW_CLASSES on, the cost relative to the
# number of multiplications falls from DENSE_COST to MANY_CLASSES_COST.
BLOCK_CALLS = 3e7
MANY_CLASSES_COST, FEW_CLASSES = 2.0, 30.0
# Blocks are built if the products will have cost as much after the next step. The next step is
# expected to take this many times the products of the last one.
NEXT_STEP = 2.0
# Blocks are built if the mean loss is at most this share of that of equal probabilities. Otherwise
# the curvature of most rows is similar for all classes, and blocks save hardly any products.
SEPARABLE = 0.15
# Blocks are given up if a product does not reduce the residual LEAST_SPEEDUP times as much, on the
# scale of logarithms, as with the preconditioner before.
LEAST_SPEEDUP = 1.25
# Most Hessian products of a step. Preconditioned systems need far fewer; this limits the cost of a
# step if the preconditioner is bad.
MAX_STEP_PRODUCTS = 200
# Before blocks are built, the products of a step cost at most BLOCKS_IN_STEP times as much as the
# blocks, but LEAST_STEP_PRODUCTS are always allowed.
BLOCKS_IN_STEP, LEAST_STEP_PRODUCTS = 2.0, 10
# A full covariance at the start of a fit is worth this many products.
WORTH_PRODUCTS = 200


class _LastPreconditioner:
    """The preconditioner that was built last for any fit to a loss, and its kind."""

    def __init__(self, _objective: MultinomialObjective) -> None:
        self.kind = ""
        self.preconditioner: Preconditioner | None = None


class PreconditionerChoice:
    """The choice of a preconditioner for the points of a fit, and the preconditioner in use.

    There are four kinds, for d features, R logits and p free parameters:

    - "diagonal": the diagonal of the Hessian, or at the null model a Kronecker product with the
      variances of the columns. It costs little, and is used if all other kinds cost too much.
    - "full": a Kronecker product with the covariance of the columns, for up to
      `FULL_COVARIANCE_FEATURES` features. It costs n·d² + 2·d³ for n sampled rows, and is exact at
      the null model.
    - "assembled": the Hessian as a matrix, for up to `ASSEMBLED_SIZE` parameters. It costs
      n·p² + p³/3, and is the closest approximation away from the null model. For more parameters
      and few rows it is a `RowSpacePreconditioner`, for which n R takes the place of p.
    - "blocks": the d × d block of the Hessian for each class, if they cost less than "assembled".
      They cost about R·d²·(n + d)/2.

    The cost of "assembled" is set to 0 for "newton-cholesky", and for "auto" with up to
    `ALWAYS_ASSEMBLED` parameters. The first preconditioner of a fit is "assembled" if its cost is
    0, or at most `NEAR_PRODUCTS` Hessian products with `is_near`. Otherwise it is "full" if that
    costs no more than `WORTH_PRODUCTS` products, else "diagonal". A later one is built when the
    last step's products, or half of the products so far, have cost as much as it. "blocks" are
    built when the products so far and the expected ones of the next step cost as much.

    Parameters
    ----------
    objective : MultinomialObjective
    solver : {"auto", "newton-cg", "newton-cholesky"}
        "newton-cg" never assembles a Hessian, "newton-cholesky" always does.
    seed : int
        Seed for the samples of rows from which preconditioners are built.
    is_near : bool
        Whether the start is much nearer to the optimum than the null model.
    continues : bool, default=False
        Whether to begin with the preconditioner that the last fit to the same loss ended with.

    Attributes
    ----------
    preconditioner : Preconditioner or None
        The preconditioner in use, if there is one.
    """

    def __init__(
        self,
        objective: MultinomialObjective,
        *,
        solver: str = "auto",
        seed: int = 0,
        is_near: bool = False,
        continues: bool = False,
    ) -> None:
        self._is_near = is_near
        self._seed = seed
        self._objective = objective
        self._samples: dict[int, MultinomialObjective] = {}
        blocks = objective.blocks
        p = float(n_free_parameters(objective))
        d = float(blocks.n_features)
        # At least 1, because X without entries has no multiplications, and costs are divided by it.
        product = (SPARSE_COST if blocks.is_sparse else DENSE_COST) * max(blocks.work, 1)
        self._product_cost = product
        # The number of rows from which each kind is built, and the cost of building it.
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
        self._costs = _costs(objective, self._rows)
        is_large = p > ASSEMBLED_SIZE
        self._is_wide = solver == "auto" and is_large and suits_row_space_of_ridge(objective)
        self._basis: RowSpaceBasis | None = None
        if solver == "newton-cg" or is_large:
            self._costs["assembled"] = np.inf
        self._exact_cost = blocks.n_samples * p * (p + CALLS) + self._costs["assembled"]
        if self._is_wide:
            self._exact_cost = cost_of_row_space(objective)
            self._costs["assembled"] = cost_of_basis(objective) + self._exact_cost
        if solver == "newton-cholesky" or (solver == "auto" and p <= ALWAYS_ASSEMBLED):
            self._costs["assembled"] = 0.0
        if self._costs["assembled"] <= self._costs["blocks"]:
            self._costs["blocks"] = np.inf
        # `_spent` is the cost of all Hessian products so far. `_age` is the number of steps since
        # the last preconditioner was built, and `_since` the cost of their products and gradients.
        self._spent = 0.0
        self._age, self._since = 0, 0.0
        # Whether the loss is small enough for blocks, and the logarithmic reduction of the residual
        # for each product before blocks were built.
        self._is_separable, self._rate_without_blocks = False, 0.0
        self._last = objective.computed_once(_LastPreconditioner)
        self._kind = self._last.kind if continues else ""
        self.preconditioner = self._last.preconditioner if continues else None

    @property
    def max_products(self) -> int:
        """The most Hessian products that the next step may take."""
        cost = self._costs["blocks"]
        if self._kind not in ("diagonal", "full") or not (cost < np.inf and self._is_separable):
            return MAX_STEP_PRODUCTS
        most = max(BLOCKS_IN_STEP * cost / self._product_cost, LEAST_STEP_PRODUCTS)
        return int(min(most, MAX_STEP_PRODUCTS))

    def at(
        self,
        point: Point,
        last_products: int,
        *,
        reduction: float = 0.0,
        is_far: bool = False,
        is_steady: bool = False,
    ) -> tuple[Preconditioner, bool]:
        """Return the preconditioner to use at a point, and whether it is new.

        Parameters
        ----------
        point : Point
        last_products : int
            The number of Hessian products of the last step.
        reduction : float, default=0.0
            The logarithm of the factor by which these products reduced the residual of the Newton
            equation.
        is_far : bool, default=False
            Whether the point is so far from the optimum that F is not nearly quadratic between
            them. If it still is after OLD steps with one preconditioner, the Hessian of all rows is
            assembled at every step from then on, if this costs at most `FAR_PRODUCTS` products.
            Otherwise a preconditioner of the same kind is built again when it is old.
        is_steady : bool, default=False
            Whether the Hessian changes little from step to step: the last step agreed with its
            quadratic model, was not limited by the trust region, and lowered F by a small share.
            Blocks are built only then, because they are used for several steps.
        """
        last = last_products * self._product_cost
        self._spent += last
        # A step also takes a gradient, which costs about as much as a product.
        self._age, self._since = self._age + 1, self._since + last + self._product_cost
        self._is_separable = point.loss <= SEPARABLE * _loss_of_equal_probabilities(point)
        rate = reduction / max(last_products, 1)
        if self._kind == "blocks" and self._age == 1:
            self._judge_blocks(rate)
        if is_far and self._age > OLD and self._exact_cost <= FAR_PRODUCTS * self._product_cost:
            self._rows["assembled"] = self._objective.blocks.n_samples
            self._costs["assembled"] = 0.0
        if not self._kind:  # the first preconditioner of the fit
            self._spent = WORTH_PRODUCTS * self._product_cost
            kind = self._last_affordable(("diagonal", "full"), self._spent)
            worth = NEAR_PRODUCTS * self._product_cost if self._is_near else 0.0
            kind = "assembled" if self._costs["assembled"] <= worth else kind
            self._spent = 0.0
        else:
            kind = self._last_affordable(
                ("diagonal", "full", "assembled"), max(last, self._spent / 2)
            )
            if is_steady and self._blocks_pay_off(last):
                if self._kind != "blocks":
                    self._rate_without_blocks = rate
                return self._build("blocks", point)
            if self._kind == "blocks":
                if self._costs["blocks"] < np.inf:
                    return self._present(), False
                return self._build(kind, point)
            if is_far and kind == self._kind and self._is_old():
                return self._build(kind, point)
            # The present preconditioner stays if it is of this kind and a new one costs at least as
            # much as the products of the last step, or if it is of a more expensive kind, which
            # approximates the Hessian better.
            is_expensive = last <= self._costs[kind] and self._costs[kind] > 0.0
            is_cheaper_kind = self._costs[kind] < self._costs[self._kind]
            if (kind == self._kind and is_expensive) or is_cheaper_kind:
                return self._present(), False
        return self._build(kind, point)

    def _present(self) -> Preconditioner:
        """Return the preconditioner in use."""
        assert self.preconditioner is not None
        return self.preconditioner

    def _blocks_pay_off(self, last: float) -> bool:
        """Return whether to build blocks, for the first time or again; only if the loss is small.

        `last` is the cost of the products of the last step. Blocks are built for the first time if
        the products so far and those expected of the next step cost as much as the blocks. They are
        built again if the steps since then have cost as much as blocks, and the products of the
        last step half as much.
        """
        cost = self._costs["blocks"]
        if self._kind == "assembled" or not self._is_separable:
            return False
        if self._kind == "blocks":
            return self._since >= cost and last >= cost / 2
        return self._spent + NEXT_STEP * last >= cost

    def _judge_blocks(self, rate: float) -> None:
        """Give up blocks if the first step with them was not faster than the one before.

        `rate` is the logarithmic reduction of the residual for each Hessian product.
        """
        if rate < LEAST_SPEEDUP * self._rate_without_blocks:
            self._costs["blocks"] = np.inf

    def _is_old(self) -> bool:
        """Return whether more than OLD steps used the preconditioner, and cost as much as it."""
        return self._age > OLD and self._since >= self._costs[self._kind]

    def _build(self, kind: str, point: Point) -> tuple[Preconditioner, bool]:
        """Build a preconditioner of a kind at a point, and return it and True."""
        self._age, self._since = 0, 0.0
        sample = self._sample(self._rows["full" if kind == "blocks" else kind])
        is_null = point.probabilities.are_common
        built: Preconditioner
        if kind == "diagonal" and point.objective.likelihood.is_coupled and not is_null:
            built = DiagonalPreconditioner(point, sample)
        elif kind == "blocks":
            if isinstance(self.preconditioner, ClassBlockPreconditioner):
                built = self.preconditioner
                built.build(point, sample, seed=self._seed)
            else:
                built = ClassBlockPreconditioner(point, sample, seed=self._seed)
        elif kind == "assembled" and self._is_wide:
            if self._basis is None:
                self._basis = RowSpaceBasis(point.objective)
                self._costs["assembled"] = 0.0  # from now on it is built at every step
            built = RowSpacePreconditioner(point, self._basis)
        elif kind == "assembled":
            built = AssembledPreconditioner(point, sample)
        else:
            built = KroneckerPreconditioner(point, sample, full=kind == "full")
        self._kind = self._last.kind = kind
        self.preconditioner = self._last.preconditioner = built
        return built, True

    def _sample(self, n_rows: int) -> MultinomialObjective:
        """Return the objective over `n_rows` sampled rows, or over all if there are no more."""
        if n_rows >= self._objective.blocks.n_samples:
            return self._objective
        if n_rows not in self._samples:
            self._samples[n_rows] = self._objective.standardised(n_rows, seed=self._seed)
        return self._samples[n_rows]

    def _last_affordable(self, kinds: tuple[str, ...], budget: float) -> str:
        """Return the last of `kinds` whose cost is within `budget`; "diagonal" if none is."""
        return ["diagonal", *(kind for kind in kinds if self._costs[kind] <= budget)][-1]


def _loss_of_equal_probabilities(point: Point) -> float:
    """Return the loss of a row for equal probabilities of its classes, or of its labels."""
    likelihood = point.objective.likelihood
    if likelihood.is_coupled:
        return float(np.log(likelihood.n_logits))
    return float(likelihood.n_logits * np.log(2.0))


def _costs(objective: MultinomialObjective, n_rows: dict[str, int]) -> dict[str, float]:
    """Return the cost of each kind of preconditioner, built from `n_rows` rows or from all."""
    blocks = objective.blocks
    p, d = float(n_free_parameters(objective)), float(blocks.n_features)
    rows = {kind: min(number, blocks.n_samples) for kind, number in n_rows.items()}
    products = d**2
    if blocks.is_sparse:
        # Pairs of nonzero entries of a row, each of which costs as much as 100 multiplications.
        products = min(products, 100.0 * (blocks.size / max(blocks.n_samples, 1)) ** 2)
    affords_full = d <= FULL_COVARIANCE_FEATURES
    return {
        "diagonal": 0.0,
        "full": rows["full"] * products + 2.0 * d**3 if affords_full else np.inf,
        "blocks": _cost_of_blocks(objective) if affords_full else np.inf,
        "assembled": rows["assembled"] * p * (p + CALLS) + p**3 / 3.0,
    }


def _cost_of_blocks(objective: MultinomialObjective) -> float:
    """Return the cost of a `ClassBlockPreconditioner`; infinite if its blocks are too large.

    Only half of the second moments is computed, because they are symmetric. The result is scaled
    for comparison with a Hessian product whose cost is DENSE_COST times its multiplications.
    """
    R, width = objective.shape
    if 4 * R * width**2 > BLOCKS_BYTES:
        return float("inf")
    n_rows = max(LEAST_ROWS, ROWS_PER_COLUMN * width)
    few = min(1.0, FEW_CLASSES / R)
    product = few * DENSE_COST + (1.0 - few) * MANY_CLASSES_COST
    return float(R * (BLOCK_CALLS + width**2 * (n_rows + width) / 2.0) * DENSE_COST / product)
