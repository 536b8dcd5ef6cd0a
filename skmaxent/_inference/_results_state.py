"""The fields of InferenceResults, and the private objects that compute from the fields."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from skmaxent._effects._delta_method import DeltaMethod, unstandardising_map
from skmaxent._effects._effects import Effects
from skmaxent._effects._student_t import NORMAL, StudentT
from skmaxent._effects._variables import Variables
from skmaxent._inference._coefficient_tables import CoefficientTables
from skmaxent._inference._covariance import Coding
from skmaxent._inference._estimate import Estimate
from skmaxent._inference._feature_names import FeatureNames
from skmaxent._inference._fit_rows import FitRows, HeldRows
from skmaxent._inference._fitted_likelihood import FittedLikelihood
from skmaxent._inference._notes import cautions_of_size, cautions_of_weights
from skmaxent._inference._reference import Reference
from skmaxent._inference._row_sums import ColumnSums, Signature
from skmaxent._inference._terms import Terms
from skmaxent._inference._validity import Validity
from skmaxent._inference._wald_tests import WaldTests
from skmaxent._typing import Array


@dataclass(frozen=True)
class ResultsState:
    """The fields of `InferenceResults`, whose docstring describes the public ones.

    The public methods are in subclasses, one for each family of methods. A method calls one of the
    objects that the private properties below make from the fields.
    """

    coef: Array
    covariance: Array = field(repr=False)
    rows: list[Any]
    columns: list[str]
    classes: list[Any]
    reference: Any
    cov_type: str
    weights: str
    n_obs: float
    log_likelihood: float
    null_log_likelihood: float
    n_groups: int | None
    optimality_gap: float
    fit_intercept: bool
    _estimate: Estimate = field(repr=False)
    _rows: FitRows | None = field(repr=False)
    _wald: WaldTests = field(repr=False)
    _sums: ColumnSums = field(repr=False)
    replicates: Array | None = field(default=None, repr=False)
    n_columns: int | None = None
    replicate_counts: dict[str, int] | None = None
    notes: tuple[str, ...] = ()
    aliased: tuple[str, ...] = ()
    # Computes probabilities with their standard errors. None with features= in `infer`, because
    # probabilities need the covariance of all coefficients.
    _delta: DeltaMethod | None = field(default=None, repr=False)
    # Recognises the rows of the fit; None if these have equal weights.
    _signature: Signature | None = field(default=None, repr=False)
    # With features= in `infer`: positions of the columns among all columns of the model.
    _chosen: Array | None = field(default=None, repr=False)
    # In models without intercepts: the coefficients of a combination of the columns that is 1 in
    # all rows; None if there is no such combination.
    _constant: Array | None = field(default=None, repr=False)
    # With bias reduction: the penalised likelihood-ratio statistic against the null model.
    _penalised_ratio: float | None = field(default=None, repr=False)
    # The variables of the data that `infer` got, and the terms of the model. The variables are None
    # for Dask collections and large sparse matrices.
    _variables: Variables | None = field(default=None, repr=False)
    _terms: Terms | None = field(default=None, repr=False)
    # Whether the fit maximises the likelihood, without a penalty or other restrictions.
    _is_maximal: bool = field(default=True, repr=False)
    # Whether each row stands for a whole number of observations, up to rounding.
    _has_whole_counts: bool = field(default=True, repr=False)
    small_sample: str | None = None
    design_name: str | None = None
    # The distribution of estimates divided by their standard errors.
    _distribution: StudentT = field(default=NORMAL, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # The rows of the fit may be many and confidential, so that a pickle does not have them.
        return vars(self) | {"_rows": None}

    def __copy__(self) -> Self:
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # A copy shares the rows of the fit and the user's data, because nothing changes them.
        state = self.__getstate__() | {"_variables": None}
        whole = {name: copy.deepcopy(value, memo) for name, value in state.items()}
        return type(self)(**whole | {"_rows": self._rows, "_variables": self._variables})

    @property
    def n_parameters(self) -> int:
        """Number of free coefficients: (n_classes - 1) times the number of columns."""
        return (len(self.classes) - 1) * (self.n_columns or len(self.columns))

    @property
    def has_tests(self) -> bool:
        """Whether there are p-values: not for a posterior covariance or after a bootstrap."""
        return self._validity.has_tests

    @property
    def cautions(self) -> tuple[str, ...]:
        """Reasons not to trust tests and intervals though the estimates are optimal.

        With ``weights="frequency"`` there is a sentence if the weights are not whole numbers, as
        sampling weights are not. A fit without penalty gets a sentence if the number of
        coefficients of a logit, including the intercept, is more than a tenth of the number of
        observations [1]_. There is no such sentence with ``bias_reduction`` or ``cov_type="HC3"``,
        because in simulations their tests do not reject too often, and none if `notes` have more
        serious warnings. The sentences are printed above the table.

        References
        ----------
        .. [1] Sur & Candès (2019), A modern maximum-likelihood theory for high-dimensional
           logistic regression, PNAS 116, 14516-14525.
        """
        of_weights = cautions_of_weights(self._has_whole_counts, self.weights)
        settings = self._estimate.settings
        is_unpenalised = settings.C is not None and np.isinf(settings.C)
        is_robust = self.cov_type == "HC3" or self._estimate.is_bias_reduced
        if self.notes or not self.has_tests or not is_unpenalised or is_robust:
            return of_weights
        return of_weights + cautions_of_size(self.n_columns or len(self.columns), self.n_obs)

    @property
    def df_tests(self) -> float:
        """Degrees of freedom of t and F tests; infinite if tests are normal and chi-squared."""
        return self._distribution.df

    @property
    def has_intercept(self) -> bool:
        """Whether the last column is that of the intercepts."""
        return self.fit_intercept and self.n_columns is None

    @property
    def _is_symmetric(self) -> bool:
        """Whether coefficients are compared with the mean of all classes."""
        return len(self.rows) == len(self.classes)

    @property
    def _validity(self) -> Validity:
        """Checks which statistics are valid."""
        return Validity(self.cov_type, self.weights, self.n_groups)

    @property
    def _names(self) -> FeatureNames:
        """Finds the columns that users name."""
        return FeatureNames(self.columns, self.has_intercept, self._chosen, self._terms)

    @property
    def _held(self) -> HeldRows:
        """The rows of the fit, if the results have them."""
        return HeldRows(self._rows, self.log_likelihood)

    @property
    def _tables(self) -> CoefficientTables:
        """Makes the tables of coefficients."""
        return CoefficientTables(
            self.coef,
            self.covariance,
            self.rows,
            self.columns,
            n_features=len(self.columns) - self.has_intercept,
            has_tests=self.has_tests,
            replicates=self.replicates,
            distribution=self._distribution,
            from_standardised=self._from_standardised,
            root=self._root,
        )

    @property
    def _contrasts(self) -> Array:
        """The matrix (n_rows, n_classes - 1) that maps free coefficients to reported ones."""
        return Reference.of(self.reference, np.asarray(self.classes)).contrasts

    @property
    def _root(self) -> Array | None:
        """A root of `covariance`, (size of coef, m), if columns are nearly collinear, or None."""
        if self._wald.root is None:
            return None
        return Coding(self._contrasts, np.eye(len(self.columns))).matrix @ self._wald.root

    @property
    def _from_standardised(self) -> Array | None:
        """The matrix from coefficients of standardised columns to the reported coefficients.

        It has the shape (size of coef, n_coefficients), and is None unless the degrees of freedom
        depend on the coefficient.
        """
        if self._distribution.by_contrast is None or self._delta is None:
            return None
        columns = self._delta.standardised
        map_of_columns = unstandardising_map(columns.center, columns.scale, self.has_intercept)
        return Coding(self._contrasts, map_of_columns).matrix

    @property
    def _likelihood(self) -> FittedLikelihood:
        """Computes information criteria and likelihood ratios."""
        return FittedLikelihood(
            self.log_likelihood,
            self.null_log_likelihood,
            n_obs=self.n_obs,
            n_parameters=self.n_parameters,
            classes=self.classes,
            fit_intercept=self.fit_intercept,
            has_constant=self.fit_intercept or self._constant is not None,
            sums=self._sums,
            rows=self._held,
            is_at_optimum=not self.notes,
            is_maximal=self._is_maximal,
            penalised_ratio=self._penalised_ratio,
        )

    @property
    def _probabilities(self) -> DeltaMethod:
        """Computes probabilities and their errors; raises ValueError with features= in `infer`."""
        if self._delta is None:
            raise ValueError("probabilities need all features: infer without features=.")
        return self._delta

    @property
    def _effects(self) -> Effects:
        """Computes effects of variables; raises ValueError if the results have no variables."""
        delta = self._probabilities
        if self._variables is None:
            raise ValueError(
                "effects of variables need the data of infer in memory, as a DataFrame or an array "
                "(sparse matrices up to 10 million entries): Dask collections have "
                "marginal_effects and predict_proba_interval."
            )
        return Effects(delta, self._variables, self.has_tests)
