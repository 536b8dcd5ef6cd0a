"""MultilabelMaxentClassifier: rows that have several labels."""

from __future__ import annotations

import warnings
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from sklearn.model_selection import KFold, check_cv

from skmaxent._callbacks import (
    CallbackSupport,
    Iterations,
    Task,
    with_callbacks,
    without_callbacks,
)
from skmaxent._estimators._linear_classifier import (
    LinearModel,
    fitted_attributes,
    options_of,
    restored_on_failure,
    seed_of,
    warn_of_rounded_coefficients,
    warn_of_rounding,
    warn_unless_converged,
)
from skmaxent._estimators._removed_parameters import REMOVED_PARAMETERS, names_replacements
from skmaxent._estimators._thresholds import best_threshold, label_sets
from skmaxent._input import _targets, _validation
from skmaxent._input._dask_indicator import read_indicator
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._indicator import check_indicator, indicator_data
from skmaxent._input._interchange import (
    exact_integers,
    names_of_series,
    native,
    numbers_of_frame,
    refuse_masked,
)
from skmaxent._input._read import check_rows
from skmaxent._input._settings import Settings
from skmaxent._input._training_data import TrainingData, data_in_memory
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._sklearn import HasMethods, Interval, StrOptions, safe_indexing
from skmaxent._solvers import SOLVERS, Iteration, Solution, Status, minimise
from skmaxent._storage._cluster import is_dask
from skmaxent._storage._place import moved_to, place_of, to_host
from skmaxent._typing import Array

N_FOLDS = 5
# Logit of a label that all rows have; its negative is that of one that none has.
CERTAIN_LOGIT = 100.0


class MultilabelMaxentClassifier(CallbackSupport, LinearModel):
    """Linear classifier for rows with several labels, by a softmax or by independent sigmoids.

    All labels are fitted together, with the same passes over X. With ``link="sigmoid"`` each has a
    logistic regression of its own, and the penalty of `MaxentClassifier`, with the sum over labels
    of their losses. With ``link="softmax"`` the labels of a row share its target alike and compete
    for its probability [1]_. A label is assigned where its probability is above a threshold.

    Parameters
    ----------
    link : {"sigmoid", "softmax"}, default="sigmoid"
        "sigmoid": labels are independent given X. "softmax": one distribution over all labels;
        rows without labels do not count.
    threshold : "auto", "f1_micro", "f1_macro", float or array-like of shape (n_labels,), \
            default="auto"
        Probability above which a label is assigned. "f1_micro" is a common one that makes micro F1
        largest on the rows left out in cross-validation, "f1_macro" one for each label that makes
        its own F1, and so macro F1, largest. "auto" is 0.5 for sigmoids and "f1_micro" for softmax,
        whose probabilities depend on how many labels a row has.
    allow_empty : bool, default=False
        Whether a row may have no label; otherwise the one nearest to its threshold is assigned.
    cv : int, cross-validation generator or iterable, default=None
        Folds for learned thresholds; None is 5, shuffled.
    C : float, default=1.0
        Inverse strength of the penalty, positive; ``np.inf`` is no penalty.
    l1_ratio : float, default=0.0
        Share of the L1 penalty: 0 is ridge, 1 the lasso.
    grouped : bool, default=False
        Whether the L1 penalty is on the Euclidean length of the coefficients that a feature has for
        all labels.
    penalty_factor : array-like of shape (n_features,) or dict, default=None
        Factors of the penalty of each feature, as in `MaxentClassifier`.
    fit_intercept : bool, default=True
        Whether each logit has an intercept; it is never penalised.
    label_smoothing : float, default=0.0
        Share of the target that is spread evenly: over all labels for softmax, over having a label
        and not for sigmoids. From 0 to below 1.
    solver : str, default="auto"
        As in `MaxentClassifier`, like the next ones.
    tol : float, default=1e-4
        Distance to the optimum in standard errors at which to stop.
    max_iter : int, default=100
        Most iterations of the solver; 0 leaves all coefficients zero.
    n_jobs : int, default=None
        Threads.
    verbose : int, default=0
        Print a line per iteration where positive.
    random_state : int, RandomState instance or None, default=None
        Seeds the folds, and the choice of rows for preconditioners. None is a fixed seed.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        Labels: the columns of a DataFrame y, their positions in an array, or, for y of one label a
        row, these.
    coef_ : ndarray of shape (n_labels, n_features)
        Coefficients; for y of one label a row and two classes (1, n_features).
    intercept_ : ndarray of shape (n_labels,)
        Intercepts. Labels that all rows have, or none, have no coefficients and ±100.
    threshold_ : ndarray of shape (n_labels,)
        Thresholds. Only where y was an indicator matrix.
    multilabel_ : bool
        Whether y was an indicator matrix.
    n_iter_, n_features_in_, feature_names_in_, optimality_gap_
        As in `MaxentClassifier`.

    Notes
    -----
    With scikit-learn 1.9 or later, ``set_callbacks`` attaches callbacks as to `MaxentClassifier`.
    Where thresholds are learned they are 0.5 during the iterations, and each fold is a subtask of
    the fit after these; after a stop the folds' models have no more iterations than the classifier.

    References
    ----------
    .. [1] Mahajan et al. (2018), Exploring the limits of weakly supervised pretraining, ECCV.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from skmaxent import MultilabelMaxentClassifier
    >>> X, Y = make_multilabel_classification(random_state=0)
    >>> clf = MultilabelMaxentClassifier(threshold="f1_micro").fit(X, Y)
    >>> clf.predict(X[:2])
    array([[0, 1, 1, 1, 1],
           [0, 1, 1, 0, 0]])
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "link": [StrOptions({"sigmoid", "softmax"})],
        "threshold": [StrOptions({"auto", "f1_micro", "f1_macro"}), Real, "array-like"],
        "allow_empty": ["boolean"],
        "cv": [None, "cv_object"],
        "C": [Interval(Real, 0, None, closed="right")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "grouped": ["boolean"],
        "penalty_factor": [dict, HasMethods("items"), "array-like", None],
        "fit_intercept": ["boolean"],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "solver": [StrOptions(SOLVERS)],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    @names_replacements(REMOVED_PARAMETERS)
    def __init__(
        self,
        *,
        link: str = "sigmoid",
        threshold: Any = "auto",
        allow_empty: bool = False,
        cv: Any = None,
        C: float = 1.0,
        l1_ratio: float = 0.0,
        grouped: bool = False,
        penalty_factor: Any = None,
        fit_intercept: bool = True,
        label_smoothing: float = 0.0,
        solver: str = "auto",
        tol: float = 1e-4,
        max_iter: int = 100,
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.link = link
        self.threshold = threshold
        self.allow_empty = allow_empty
        self.cv = cv
        self.C = C
        self.l1_ratio = l1_ratio
        self.grouped = grouped
        self.penalty_factor = penalty_factor
        self.fit_intercept = fit_intercept
        self.label_smoothing = label_smoothing
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.array_api_support = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MultilabelMaxentClassifier:
        """Fit the model, then learn thresholds.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or a Dask array or data frame; then `threshold` is numbers, or "auto" for sigmoids.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,)
            Indicator matrix of the labels that each row has, or one label a row; with X of Dask, an
            indicator matrix of Dask.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        MultilabelMaxentClassifier
            Itself.

        Raises
        ------
        ValueError
            For input that cannot be fitted; an earlier fit stays as it was.
        TypeError
            For Dask collections where thresholds are to be learned.

        Warns
        -----
        ConvergenceWarning
            As in `MaxentClassifier`.
        UserWarning
            For labels that all rows have, or none.
        """
        with restored_on_failure(self):
            self._validate_params()
            solution, constant, active = self._fit(X, y, sample_weight)
            separated = self._labels[active[list(solution.separated)]] if self.multilabel_ else ()
            warn_unless_converged(
                solution, self, stacklevel=2, labels=np.asarray(separated).tolist()
            )
            if len(constant):
                warnings.warn(
                    f"the labels {constant.tolist()} are those of all rows or of none: nothing is "
                    "learned of them.",
                    UserWarning,
                    stacklevel=2,
                )
        return self

    @with_callbacks
    def _fit(self, X: Any, y: Any, sample_weight: Any) -> tuple[Solution, Array, Array]:
        """What the solver found, labels that all rows have, or none, and positions of the others.

        The solver knows the others alone.
        """
        is_lazy = any(map(is_dask, (X, y, sample_weight)))
        read: Any = self._read_chunks if is_lazy else self._read_arrays
        data, Y, weights = read(X, y, sample_weight)
        classes = data.classes
        solution, task = self._solve(data, (X, y, sample_weight))
        constant = np.zeros(0, dtype=np.intp)
        if self.multilabel_:
            constant = np.setdiff1d(np.arange(len(classes)), data.active)
            self.threshold_ = self._thresholds(
                X, Y, weights, task, is_stopped=solution.status is Status.STOPPED
            )
        self._follow(X, y)
        if task is not None:
            task.end({})
        return solution, classes[constant], data.active

    def _read_arrays(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[TrainingData, Any, Array | None]:
        """Rows checked, with the indicator matrix and the weights that thresholds are learned by.

        Sets what y was.
        """
        X, y = check_rows(self, native(X, "X"), y)
        weights = _validation.check_sample_weight(sample_weight, X.shape[0])
        self.multilabel_ = _targets.is_table(y)
        Y = None
        if self.multilabel_:
            Y, classes = check_indicator(y)
            self._sparse_output = bool(sp.issparse(y))
        else:
            observed = _targets.observe(y)
            classes, self._sparse_output = observed.classes, False
        self._has_sigmoids = self.link == "sigmoid" and (self.multilabel_ or len(classes) > 2)
        if not self.multilabel_ and self._has_sigmoids:
            Y = observed.codes[:, None] == np.arange(len(classes))  # type: ignore[index]
        names, smoothing = FittedColumns.of(self).names, self.label_smoothing
        if self.multilabel_ or self._has_sigmoids:
            data = indicator_data(
                X, Y, classes, names, weights, link=self.link, smoothing=smoothing
            )
        else:
            data = data_in_memory(X, observed, names, weights, smoothing=smoothing)
        return data, Y, weights

    def _read_chunks(self, X: Any, y: Any, sample_weight: Any) -> tuple[TrainingData, None, None]:
        kind = self._threshold_kind
        if isinstance(kind, str):
            raise TypeError(
                f"threshold={self.threshold!r} with link={self.link!r} is learned from rows in "
                "memory: for Dask collections expected a number, or one for each label."
            )
        self.multilabel_, self._sparse_output = True, False
        self._has_sigmoids = self.link == "sigmoid"
        given = read_indicator(
            self, X, y, sample_weight, link=self.link, smoothing=self.label_smoothing
        )
        return given, None, None

    def _solve(
        self, data: TrainingData, given: tuple[Any, Any, Any]
    ) -> tuple[Solution, Task | None]:
        """Set the coefficients; callbacks are given X, y and weights as the user gave them."""
        classes = data.classes
        settings = Settings(
            C=self.C,
            l1_ratio=self.l1_ratio,
            grouped=self.grouped,
            penalty_factor=self.penalty_factor,
            fit_intercept=self.fit_intercept,
            n_jobs=self.n_jobs,
        )
        with TrainingProblem.of(data, settings) as ready:
            warn_of_rounding(ready.inexact, ready.dtype, self._feature_names)
            problem = ready.problem
            absent = np.setdiff1d(np.arange(len(classes)), data.active)
            always = np.setdiff1d(np.flatnonzero(data.totals > 0.0), data.active)

            def fitted(
                coef: Array, intercept: Array, n_iter: int, gap: float = np.nan
            ) -> dict[str, Any]:
                coef, intercept = ready.known_coefficients(coef, intercept)
                if self._has_sigmoids and self.multilabel_:
                    intercept[absent] = -CERTAIN_LOGIT
                    intercept[always] = CERTAIN_LOGIT
                return fitted_attributes(classes, coef, intercept, n_iter, gap)

            def attributes(line: Iteration, theta: Array) -> dict[str, Any]:
                return fitted(*problem.coefficients(theta), line.n_iter) | thresholds

            kind = self._threshold_kind
            is_learned = self.multilabel_ and isinstance(kind, str)
            thresholds = {}
            if self.multilabel_:
                thresholds["threshold_"] = _check_threshold(0.5 if is_learned else kind, classes)
            is_bounded = problem.terms.is_smooth and not is_learned
            task = Task.of_fit(
                self, *given, max_subtasks=max(self.max_iter, 1) if is_bounded else None
            )
            iterations = None if task is None else Iterations(task, attributes)
            solution = minimise(problem, options_of(self, iterations))
            excess = ready.rounding_excess(solution)
            solution = solution.rounded(excess)
            n_iter = solution.n_iter if self.max_iter else 0
            found = fitted(solution.coef, solution.intercept, n_iter, solution.gap)
            self._set(found)
            blurred = ready.blurred(self.coef_)
            warn_of_rounding(blurred, ready.dtype, self._feature_names)
            warn_of_rounded_coefficients(excess)
            if iterations is not None:
                iterations.close(found | thresholds)
        return solution, task

    @property
    def _link(self) -> str:
        if not self._has_sigmoids:
            return "softmax"
        return "sigmoids" if self.multilabel_ else "normalised sigmoids"

    @property
    def _threshold_kind(self) -> Any:
        """How thresholds are learned, or these themselves."""
        if isinstance(self.threshold, str) and self.threshold == "auto":
            return "f1_micro" if self.link == "softmax" else 0.5
        return self.threshold

    def _thresholds(
        self, X: Any, Y: Any, weights: Array | None, task: Task | None, *, is_stopped: bool
    ) -> Array:
        n_labels = len(self._labels)
        kind = self._threshold_kind
        if not isinstance(kind, str):
            return _check_threshold(kind, self._labels)
        Y = Y.toarray() if sp.issparse(Y) else Y
        X = _validation.canonical(X.tocsr()) if sp.issparse(X) else native(X, "X")
        P = self._out_of_fold(X, Y, weights, task, is_stopped=is_stopped)
        seen = ~np.isnan(P[:, 0])
        P, Y = P[seen], Y[seen]
        weights = None if weights is None else weights[seen]
        if kind == "f1_micro":
            each = None if weights is None else np.repeat(weights, n_labels)
            return np.full(n_labels, best_threshold(P.ravel(), Y.ravel(), each))
        found = [best_threshold(P[:, k], Y[:, k], weights) for k in range(n_labels)]
        return np.maximum(found, np.finfo(P.dtype).tiny)

    def _out_of_fold(
        self, X: Any, Y: Array, weights: Array | None, task: Task | None, *, is_stopped: bool
    ) -> Array:
        """Probabilities of rows by models that have not seen them, NaN where there are none."""
        cv = KFold(N_FOLDS, shuffle=True, random_state=seed_of(self.random_state))
        folds = cv if self.cv is None else check_cv(self.cv, Y)
        P = np.full(Y.shape, np.nan)
        if self.cv is None and len(Y) < N_FOLDS:
            raise ValueError(
                f"learned thresholds need {N_FOLDS} rows or more, found {len(Y)}: give threshold a "
                "number, or cv."
            )
        model = without_callbacks(clone(self)).set_params(threshold=0.5, verbose=0)
        if is_stopped:
            model.set_params(max_iter=int(self.n_iter_[0]))
        for train, test in folds.split(np.zeros(len(Y)), Y):
            part = None if weights is None else weights[train]
            rows, fold = safe_indexing(X, train), None
            if task is not None:
                fold = task.subtask("threshold-fold").with_rows(rows, Y[train], part).begun()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(rows, Y[train], part)
            P[test] = to_host(model.predict_proba(safe_indexing(X, test)))
            if fold is not None and fold.end():
                break
        return P

    def decision_function(self, X: Any) -> Any:
        """Logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels), or (n_samples,) for one label a row and two classes
        """
        Z = self._fitted_model().predict("logits", X)
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
            In the order of `classes_`. With ``link="softmax"``, or for y of one label a row, rows
            sum to one.
        """
        return self._fitted_model().predict("probabilities", X)

    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities, from the logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
        """
        return self._fitted_model().predict("log_probabilities", X)

    def predict(self, X: Any) -> Any:
        """The labels of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        {ndarray, CSR matrix} of shape (n_samples, n_labels), or ndarray of shape (n_samples,)
            Indicator matrix of integers, sparse if that of the fit was; for y of one label a row
            the most probable one.
        """
        model = self._fitted_model()
        if not self.multilabel_:
            return model.predict("most_probable", X)
        P = model.predict("probabilities", X)
        as_sets = partial(
            label_sets, thresholds=to_host(self.threshold_), allow_empty=self.allow_empty
        )
        if is_dask(P):
            return P.map_blocks(as_sets, dtype=int, meta=np.zeros((0, 0), dtype=int))
        sets = as_sets(to_host(P))
        if self._sparse_output:
            return sp.csr_matrix(sets)
        return moved_to(place_of(P), sets)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the rows all of whose labels are predicted, and no others.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,)
            Indicator matrix, or one label a row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        float
        """
        predicted = to_host(self.predict(X))
        y, sample_weight = native(to_host(y), "y"), to_host(sample_weight)
        refuse_masked(y, "y")
        refuse_masked(sample_weight, "sample_weight")
        y = numbers_of_frame(exact_integers(y))
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def predict_proba_frame(self, X: Any) -> Any:
        """Probabilities with names.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        DataFrame
            A row for each of X by labels, in the library of X: of pandas, with the index of X,
            polars, narwhals, or a Table of pyarrow; of pandas for arrays. Columns are labels in
            pandas, their strings elsewhere.
        """
        return self._fitted_model().probability_frame(X)


def _check_threshold(threshold: Any, labels: Array) -> Array:
    """Thresholds, (n_labels,), of one number, of one for each label, or of a Series by label."""
    n_labels, names = len(labels), names_of_series(threshold)
    if names is not None:
        if sorted(map(str, names)) != sorted(map(str, labels)):
            raise ValueError(
                f"threshold is a Series with the index {names}; expected the labels "
                f"{labels.tolist()}, each once."
            )
        order = [list(map(str, names)).index(str(label)) for label in labels]
        threshold = threshold.to_numpy()[order]
    try:
        thresholds = np.asarray(threshold, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"threshold must hold numbers, found {threshold!r}.") from error
    if thresholds.shape not in ((), (n_labels,)):
        raise ValueError(
            f"threshold has the shape {thresholds.shape}; expected a number, or one for each of "
            f"the {n_labels} labels."
        )
    if not ((thresholds > 0.0) & (thresholds < 1.0)).all():
        raise ValueError(f"threshold must be between 0 and 1, found {threshold!r}.")
    return np.broadcast_to(thresholds, (n_labels,)).copy()
