"""MaxentClassifier: input to problem, Solution to attributes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import SparseCoefMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skmaxent import _frames, _prediction, _validation
from skmaxent._blocks import THREAD_WORK
from skmaxent._fit import Data
from skmaxent._penalty import STRONGEST
from skmaxent._penalty_input import Columns, terms_of
from skmaxent._solvers import Iteration, Solution, Status, solve
from skmaxent._threads import Workers, effective_threads

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

# Logit of a class without weight. The others sum to zero, so that one of them is at least 0 and
# this one's probability below exp(-100).
_ABSENT_LOGIT = -100.0


class MaxentClassifier(SparseCoefMixin, ClassifierMixin, BaseEstimator):
    """Multinomial logistic regression, the maximum-entropy classifier.

    Minimises, over coefficients W and intercepts b, with S the sum of the row weights s_i,

        1/S Σ_i s_i [logsumexp(W x_i + b) - (W x_i + b)_{y_i}]
            + 1/(C S) Σ_kj f_kj [l1_ratio |w_kj| + (1 - l1_ratio)/2 (w_kj - m_kj)²],

    which is scikit-learn's `LogisticRegression` objective where the factors f are 1 and the prior m
    is 0; two classes have a single logit.
    The solver is indifferent to the units, the correlation and the balance of the data.

    Parameters
    ----------
    penalty : {"l2", None}, default="deprecated"
        Accepted so that code for scikit-learn 1.8 and earlier runs; None means ``C=np.inf``.
        Prefer `C`.
    C : float, default=1.0
        Inverse strength of the ridge penalty, positive; ``np.inf`` is no penalty.
    l1_ratio : float, default=0.0
        Share of the L1 penalty: 0 is ridge, 1 the lasso, between them the elastic net. L1 sets
        coefficients to exactly zero.
    grouped : bool, default=False
        Whether the L1 penalty is on the Euclidean length of the coefficients that a feature has
        for all classes, the group lasso, so that they are zero together or not at all.
    penalty_factor : array-like of shape (n_features,) or (n_classes, n_features), or dict, \
            default=None
        Factors of the penalty of each feature, or of each class and feature; a dict maps names of
        features to factors, 1 for the others. 0 leaves a coefficient unpenalised, ``np.inf``
        removes it. They are not rescaled.
    prior_coef : array-like, DataFrame or fitted model, default=None
        Coefficients that the ridge part of the penalty pulls towards instead of zero: an array
        in the shape of `coef_`, a table as `coef_frame` gives, or a fitted linear classifier. Names
        of features and classes are matched, what is missing is zero; intercepts do not count.
    bounds : (lower, upper) or dict, default=None
        Bounds of the coefficients, each a number, an array of shape (n_features,) or (n_classes,
        n_features), or None; a dict maps names of features to pairs of numbers. They cannot be
        combined with ``grouped=True``.
    fit_intercept : bool, default=True
        Whether each logit has an intercept; it is never penalised.
    class_weight : dict or "balanced", default=None
        Weights of the classes, multiplied with `sample_weight`. "balanced" gives every class the
        same total weight.
    solver : {"auto", "newton-cg", "newton-cholesky", "lbfgs", "sag", "saga"}, default="auto"
        "newton-cg" is trust-region Newton with preconditioned conjugate gradients,
        "newton-cholesky" assembles and factors the Hessian, "auto" takes what is cheaper. The
        other names of scikit-learn lead to the same optimum and stand for "auto". With an L1
        penalty, bounds, a prior or factors per class there is one solver, proximal Newton.
    tol : float, default=1e-4
        Distance to the optimum, in standard errors of the coefficients, at which to stop. It does
        not depend on units; here alone a shared parameter differs from scikit-learn's.
    max_iter : int, default=100
        Most Newton iterations.
    warm_start : bool, default=False
        Start from the coefficients of the last fit, if it had the same classes and features.
    n_jobs : int, default=None
        Threads; None is as many as BLAS may use, -1 all processors.
    verbose : int, default=0
        Print a line per iteration where positive.
    random_state : int, RandomState instance or None, default=None
        Seeds the choice of rows for preconditioners, which affects the result within `tol` only.
        None is a fixed seed.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    coef_ : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
        Coefficients. With a ridge penalty they sum to zero over three or more classes.
    intercept_ : ndarray of shape (n_classes,) or (1,)
        Intercepts.
    n_iter_ : ndarray of shape (1,)
        Newton iterations, at least 1.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of features, where X had names that are strings.
    optimality_gap_ : float
        Upper bound on (F - F*)/F, in [0, 1]: at most this share of the objective can still be
        gained. From the duality gap where there is a penalty, and from the Newton decrement by
        generalised self-concordance [1]_ [2]_ otherwise, or where that is better.

    References
    ----------
    .. [1] Bach (2010), Self-concordant analysis for logistic regression, Electron. J. Stat. 4.
    .. [2] Marteau-Ferey, Bach & Rudi (2019), Globally convergent Newton methods for
       ill-conditioned generalized self-concordant losses, NeurIPS 32.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmaxent import MaxentClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = MaxentClassifier().fit(X, y)
    >>> clf.predict(X[:3])
    array([0, 0, 0])
    >>> bool(clf.optimality_gap_ < 1e-6)
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "penalty": [StrOptions({"l1", "l2", "elasticnet", "deprecated"}), None],
        "C": [Interval(Real, 0, None, closed="right")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "grouped": ["boolean"],
        "penalty_factor": [Mapping, "array-like", None],
        "prior_coef": ["array-like", HasMethods("predict"), None],
        "bounds": [tuple, list, Mapping, None],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "solver": [StrOptions(_validation.SOLVERS)],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    _doc_link_module = "skmaxent"
    _doc_link_template = "https://skmaxent.readthedocs.io/en/stable/parameters.html"

    coef_: Any
    intercept_: Array
    classes_: Array

    def __new__(cls, *args: Any, **kwargs: Any) -> MaxentClassifier:
        """Name what to write instead of parameters that scikit-learn has or had."""
        for name, advice in _validation.REMOVED_PARAMETERS.items():
            if name in kwargs:
                raise TypeError(f"{cls.__name__} has no parameter {name!r}: {advice}.")
        return super().__new__(cls)

    def __init__(
        self,
        *,
        penalty: str | None = "deprecated",
        C: float = 1.0,
        l1_ratio: float | None = 0.0,
        grouped: bool = False,
        penalty_factor: Any = None,
        prior_coef: Any = None,
        bounds: Any = None,
        fit_intercept: bool = True,
        class_weight: Any = None,
        solver: str = "auto",
        tol: float = 1e-4,
        max_iter: int = 100,
        warm_start: bool = False,
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.penalty = penalty
        self.C = C
        self.l1_ratio = l1_ratio
        self.grouped = grouped
        self.penalty_factor = penalty_factor
        self.prior_coef = prior_coef
        self.bounds = bounds
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    # __new__ takes anything; what may be written is what __init__ takes.
    __signature__ = inspect.signature(__init__)
    __signature__ = __signature__.replace(parameters=[*__signature__.parameters.values()][1:])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: Any = None,
    ) -> MaxentClassifier:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 and float64 are used as they are, without a copy where dense or CSR.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a weight of 2 is the row twice.
        offset : array-like of shape (n_samples, n_classes), or (n_samples,) for two classes
            Known part of the logits, added to what the features give; for two classes that of
            ``classes_[1]``. The columns of a DataFrame are matched to `classes_` by name.

        Returns
        -------
        self : MaxentClassifier

        Raises
        ------
        ValueError
            For input that cannot be fitted; an earlier fit stays as it was.

        Warns
        -----
        ConvergenceWarning
            Where `max_iter` is reached, or where there is no penalty and the classes are
            separated, perfectly or in part (quasi-completely), so that no optimum exists.
        """
        with _restored_on_failure(self):
            self._validate_params()
            C, l1_ratio = _validation.resolve_penalty(self.penalty, self.C, self.l1_ratio)
            solver = _validation.resolve_solver(self.solver)
            X, y = _validation.check_data(self, X, y)
            classes, codes = _validation.encode_labels(y)
            sample_weight = _validation.check_sample_weight(sample_weight, X.shape[0])
            class_weight = _validation.check_class_weight(
                self.class_weight, classes, codes, sample_weight
            )
            rows = _validation.combine_weights(codes, classes, sample_weight, class_weight)
            logits = _validation.check_offset(offset, X.shape[0], classes, X.dtype)
            with (
                Workers(effective_threads(self.n_jobs)) as workers,
                np.errstate(over="ignore", under="ignore", invalid="ignore"),
            ):
                part = logits if logits is None else _validation.offset_of(logits, rows.active)
                data = Data.prepare(X, rows, part, workers)
                terms = terms_of(
                    strength=min(1.0 / C, STRONGEST) / rows.scale / data.total_weight,
                    l1_ratio=l1_ratio,
                    grouped=self.grouped,
                    penalty_factor=self.penalty_factor,
                    prior_coef=self.prior_coef,
                    bounds=self.bounds,
                    columns=Columns(getattr(self, "feature_names_in_", None), X.shape[1], classes),
                )
                if len(rows.active) < len(classes):
                    terms = terms.rows(rows.active)
                solution = solve(
                    data.blocks,
                    data.model,
                    data.terms(terms),
                    data.moments,
                    fit_intercept=self.fit_intercept,
                    tol=self.tol,
                    max_iter=self.max_iter,
                    solver=solver,
                    seed=_seed(self.random_state),
                    start=None if data.exponents is not None else self._warm_start(classes, rows),
                    callback=_print_iteration if self.verbose > 0 else None,
                )
                coef = data.coefficients(solution.coef)
            self._warn(solution)
            self._store(solution, coef, classes, rows.active, X.dtype)
            self._fitted_with_offset = offset is not None
        return self

    def _warm_start(
        self, classes: Array, rows: _validation.ClassCodes
    ) -> tuple[Array, Array] | None:
        if not (self.warm_start and hasattr(self, "coef_")) or len(rows.active) < len(classes):
            return None
        coef = _prediction.dense_coef(self.coef_)
        if not np.array_equal(self.classes_, classes) or coef.shape[1] != self.n_features_in_:
            return None
        return coef.astype(float), np.asarray(self.intercept_, dtype=float)

    def _store(
        self, solution: Solution, coef: Array, classes: Array, active: Array, dtype: Any
    ) -> None:
        intercept = solution.intercept
        if len(classes) > len(active):
            full_coef = np.zeros((len(classes), coef.shape[1]))
            full_intercept = np.full(len(classes), _ABSENT_LOGIT)
            full_coef[active], full_intercept[active] = coef, intercept
            coef, intercept = full_coef, full_intercept
        self.classes_ = classes
        top = float(np.finfo(dtype).max)
        self.coef_ = np.clip(coef, -top, top).astype(dtype)
        self.intercept_ = np.clip(intercept, -top, top).astype(dtype)
        self.n_iter_ = np.array([solution.n_iter], dtype=np.int32)
        self.optimality_gap_ = solution.gap

    def _warn(self, solution: Solution) -> None:
        if solution.status is Status.MAX_ITER:
            warnings.warn(
                f"max_iter={self.max_iter} was reached, about {solution.distance:.2g} standard "
                f"errors from the optimum (tol={self.tol}): raise max_iter.",
                ConvergenceWarning,
                stacklevel=4,
            )
        elif solution.status in (Status.SEPARATED, Status.QUASI_SEPARATED):
            warnings.warn(
                f"{solution.status.value[0].upper()}{solution.status.value[1:]}. Set a finite C, "
                "or remove the features that separate.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _from_rows(self, X: Any, offset: Any, function: Callable[..., Array]) -> Array:
        """What a function of `_prediction` makes of the rows and the coefficients."""
        check_is_fitted(self)
        if offset is None and getattr(self, "_fitted_with_offset", False):
            raise ValueError(
                "this MaxentClassifier was fitted with an offset: predictions need the offset of "
                "the rows of X too (offset=0 for none)."
            )
        X = _validation.check_data(self, X, reset=False)
        offset = _validation.check_offset(offset, X.shape[0], self.classes_, X.dtype)
        model = _prediction.Linear(_prediction.dense_coef(self.coef_), self.intercept_, offset)
        if X.shape[0] * model.coef.size < THREAD_WORK:
            return function(X, model, workers=Workers())
        with Workers(effective_threads(self.n_jobs)) as workers:
            return function(X, model, workers=workers)

    def decision_function(self, X: Any, offset: Any = None) -> Array:
        """Logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            For two classes the logit of ``classes_[1]`` against ``classes_[0]``.
        """
        Z = self._from_rows(X, offset, _prediction.logits)
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def predict(self, X: Any, offset: Any = None) -> Array:
        """The most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels among `classes_`.
        """
        codes = self._from_rows(X, offset, _prediction.codes)
        return np.asarray(self.classes_[codes])

    def predict_proba(self, X: Any, offset: Any = None) -> Array:
        """Probabilities of the classes, the softmax of the logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; rows sum to one.
        """
        return self._from_rows(X, offset, _prediction.probabilities)

    def predict_log_proba(self, X: Any, offset: Any = None) -> Array:
        """Logarithms of the probabilities, from the logits, finite for every finite X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._from_rows(X, offset, _prediction.log_probabilities)

    def _feature_names(self) -> Array:
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            names = np.array([f"x{j}" for j in range(self.n_features_in_)], dtype=object)
        return np.asarray(names)

    def coef_frame(self) -> pd.DataFrame:
        """Coefficients with names.

        Returns
        -------
        pandas.DataFrame
            Features, then "Intercept", by classes; one column, of ``classes_[1]``, for two
            classes. Features without names are x0, x1, ...
        """
        check_is_fitted(self)
        return _frames.coefficient_frame(
            _prediction.dense_coef(self.coef_),
            self.intercept_ if self.fit_intercept else None,
            self._feature_names(),
            self.classes_,
        )

    def score(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: Any = None,
    ) -> float:
        """Share of the rows whose class is predicted.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        float
        """
        return float(accuracy_score(y, self.predict(X, offset), sample_weight=sample_weight))

    def predict_proba_frame(self, X: Any, offset: Any = None) -> pd.DataFrame:
        """Probabilities with names.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        offset : array-like, default=None
            Offsets as in `fit`; 0 is none.

        Returns
        -------
        pandas.DataFrame
            X's index (where it is a pandas object) by class labels.
        """
        return _frames.probability_frame(
            self.predict_proba(X, offset), _frames.row_index(X), self.classes_
        )


def _seed(random_state: Any) -> int:
    if random_state is None:
        return 0
    return int(check_random_state(random_state).randint(2**31 - 1))


def _print_iteration(iteration: Iteration) -> None:
    print(
        f"iteration {iteration.n_iter:3d}   objective {iteration.value:.10g}   "
        f"distance {iteration.distance:.2e} standard errors   "
        f"{iteration.n_gradients} gradients, {iteration.n_hessian_products} Hessian products",
        flush=True,
    )


@contextmanager
def _restored_on_failure(estimator: BaseEstimator) -> Iterator[None]:
    """Leave the estimator as it was if the body raises."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
