"""MultilabelMaxentClassifier: rows that have several labels."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score

from skmaxent._callbacks import CallbackSupport, Task, with_callbacks
from skmaxent._estimators._fit_steps import fit_coefficients, restored_on_failure, set_attributes
from skmaxent._estimators._fit_warnings import warn_unless_converged
from skmaxent._estimators._linear_classifier import (
    LinearModel,
    fitted_model,
    labels_of,
    move_to_input,
)
from skmaxent._estimators._removed_parameters import accepts_removed
from skmaxent._estimators._thresholds import check_threshold, label_sets, learned_thresholds
from skmaxent._input import _indicator, _targets, _validation
from skmaxent._input._dask_indicator import read_indicator
from skmaxent._input._fitted_columns import FittedColumns
from skmaxent._input._interchange import native
from skmaxent._input._read import check_has_coefficients, check_rows
from skmaxent._input._settings import (
    PENALTIES,
    Settings,
    warn_of_groups_without_l1,
)
from skmaxent._input._training_data import TrainingData, data_in_memory
from skmaxent._model._training_problem import TrainingProblem
from skmaxent._public import public
from skmaxent._sklearn import VALID_N_JOBS, HasMethods, Interval, StrOptions, check_parameters
from skmaxent._solvers import SOLVER_NAMES, Solution, Status, minimise
from skmaxent._storage._cluster import is_dask
from skmaxent._storage._place import moved_to, place_of, to_host
from skmaxent._typing import Array, Link, PenaltyName, RandomState, SolverName
from skmaxent._warnings import warn_user

# Logit of a label that all rows have; its negative is that of one that none has.
CERTAIN_LOGIT = 100.0


@public
class MultilabelMaxentClassifier(CallbackSupport, LinearModel):
    """Linear classifier for rows with several labels, by a softmax or by independent sigmoids.

    All labels are fitted together, with the same passes over X. With ``link="sigmoid"`` each label
    has a logistic regression of its own. The loss is the sum over labels, and the penalty is that
    of `MaxentClassifier`. With ``link="softmax"`` each label of a row has the same share of the
    target, and labels compete for probability [1]_. A row gets the labels above a threshold.

    Parameters
    ----------
    link : {"sigmoid", "softmax"}, default="sigmoid"
        "sigmoid": labels are independent given X. "softmax": one distribution over all labels;
        rows without labels do not count.
    threshold : "auto", "f1_micro", "f1_macro", float or array-like of shape (n_labels,), \
            default="auto"
        Probability above which a row gets a label. "f1_micro" is one threshold for all labels, with
        the largest micro F1 on the rows left out in cross-validation. "f1_macro" is a threshold for
        each label, with the largest F1 of the label. "auto" is 0.5 for sigmoids, and "f1_micro" for
        softmax, whose probabilities depend on the number of labels of a row.
    allow_empty : bool, default=False
        Whether a row may have no label. If not, it gets the label nearest to its threshold.
    cv : int, cross-validation generator or iterable, default=None
        Folds for learned thresholds. None makes five shuffled folds.
    penalty : {"l1", "l2", "elasticnet", None}, default="deprecated"
        As in `MaxentClassifier`; prefer `C` and `l1_ratio`.
    C : float, default=1.0
        Inverse strength of the penalty, positive; ``np.inf`` is no penalty.
    alpha : float, default=None
        Instead of `C`, the strength of the penalty of an observation, 0 or more: 1/(C S), where S
        is the sum of the weights of the rows that count.
    l1_ratio : float, default=0.0
        Share of the L1 penalty: 0 is ridge, 1 the lasso.
    grouped : bool, default=False
        Whether the L1 penalty is on the Euclidean length of the coefficients that a feature has for
        all labels.
    standardize : bool, default=False
        Whether the penalty is that of the coefficients of standardised columns, as in
        `MaxentClassifier`. The standard deviations are those of the rows that count.
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
        Print each iteration where positive: in a line that is written over in a terminal, and in
        one of its own elsewhere.
    random_state : int, RandomState instance or None, default=None
        Seeds the folds, and the choice of rows for preconditioners. None is a fixed seed.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        Labels: the names of the columns of a DataFrame y, the positions of the columns of an array,
        or the sorted labels if y has one label a row.
    coef_ : ndarray of shape (n_labels, n_features)
        Coefficients. (1, n_features) if y has one label a row and two classes.
    intercept_ : ndarray of shape (n_labels,)
        Intercepts. A label of all rows has 100, a label of no row -100, and both zero coefficients.
    threshold_ : ndarray of shape (n_labels,)
        Thresholds. Only if y was an indicator matrix.
    multilabel_ : bool
        Whether y was an indicator matrix.
    n_iter_, n_features_in_, feature_names_in_, optimality_gap_
        As in `MaxentClassifier`.

    Notes
    -----
    With scikit-learn 1.9 or later, ``set_callbacks`` attaches callbacks as to `MaxentClassifier`.
    Thresholds that are learned are 0.5 during the iterations. Each fold for them is a subtask after
    the iterations. After a stop, the fits of the folds have no more iterations than the classifier.

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
        "penalty": [StrOptions(PENALTIES), None],
        "C": [Interval(Real, 0, None, closed="right")],
        "alpha": [Interval(Real, 0, None, closed="left"), None],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "grouped": ["boolean"],
        "standardize": ["boolean"],
        "penalty_factor": [dict, HasMethods("items"), "array-like", None],
        "fit_intercept": ["boolean"],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "solver": [StrOptions(SOLVER_NAMES)],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_jobs": VALID_N_JOBS,
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    @accepts_removed
    def __init__(
        self,
        *,
        link: Link = "sigmoid",
        threshold: Any = "auto",
        allow_empty: bool = False,
        cv: Any = None,
        penalty: PenaltyName | None = "deprecated",
        C: float = 1.0,
        alpha: float | None = None,
        l1_ratio: float | None = 0.0,
        grouped: bool = False,
        standardize: bool = False,
        penalty_factor: Any = None,
        fit_intercept: bool = True,
        label_smoothing: float = 0.0,
        solver: SolverName = "auto",
        tol: float = 1e-4,
        max_iter: int = 100,
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: RandomState = None,
    ) -> None:
        self.link = link
        self.threshold = threshold
        self.allow_empty = allow_empty
        self.cv = cv
        self.penalty = penalty
        self.C = C
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.grouped = grouped
        self.standardize = standardize
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

    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None
    ) -> MultilabelMaxentClassifier:
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
            check_parameters(self)
            solution, data = self._fit(X, y, sample_weight)
            separated = constant = data.classes[:0]
            if self.multilabel_:
                active = data.active
                separated = data.classes[active[list(solution.separated)]]
                constant = np.delete(data.classes, active)
            warn_unless_converged(solution, self, separated.tolist())
            if len(constant):
                warn_user(
                    f"Labels {constant.tolist()} are constant in y: all rows have them, or no row "
                    "has them. No coefficients are fitted for them."
                )
        return self

    @with_callbacks
    def _fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None
    ) -> tuple[Solution, TrainingData]:
        """Set the fitted attributes; return the solution for the labels that vary, and the data."""
        is_lazy = any(map(is_dask, (X, y, sample_weight)))
        read: Any = self._read_chunks if is_lazy else self._read_arrays
        data, Y, weights = read(X, y, sample_weight)
        solution, task = self._solve(data, X, y, sample_weight)
        kind = self._threshold_kind
        if self.multilabel_ and isinstance(kind, str):
            is_stopped = solution.status is Status.STOPPED
            self.threshold_ = learned_thresholds(
                self, kind, X, Y, weights, task, max_iter=self.n_iter_[0] if is_stopped else None
            )
        move_to_input(self, X, y)
        if task is not None:
            task.end({})
        return solution, data

    def _read_arrays(
        self, X: Any, y: Any, sample_weight: ArrayLike | None
    ) -> tuple[TrainingData, Any, Array | None]:
        """Return the checked data, the indicator matrix and the weights for learned thresholds.

        Sets the attributes that describe y: `multilabel_`, `_sparse_output` and `_has_sigmoids`.
        """
        X, y = check_rows(self, native(X, "X"), y)
        check_has_coefficients(X, fit_intercept=self.fit_intercept)
        weights = _validation.check_sample_weight(sample_weight, X.shape[0])
        self.multilabel_ = _targets.is_table(y)
        Y = None
        if self.multilabel_:
            Y, classes = _indicator.check_indicator(y)
            self._sparse_output = bool(sp.issparse(y))
        else:
            observed = _targets.observe(y)
            classes, self._sparse_output = observed.classes, False
        self._has_sigmoids = self.link == "sigmoid" and (self.multilabel_ or len(classes) > 2)
        # With one label a row and sigmoids, each class is a label of its own against the others.
        if not self.multilabel_ and self._has_sigmoids:
            Y = observed.codes[:, None] == np.arange(len(classes))  # type: ignore[index]
        names, smoothing = FittedColumns.of(self).names, self.label_smoothing
        if self.multilabel_ or self._has_sigmoids:
            data = _indicator.indicator_data(
                X, Y, classes, names, weights, link=self.link, smoothing=smoothing
            )
        else:
            data = data_in_memory(X, observed, names, weights, smoothing=smoothing)
        return data, Y, weights

    def _read_chunks(
        self, X: Any, y: Any, sample_weight: ArrayLike | None
    ) -> tuple[TrainingData, None, None]:
        """Return the results of `_read_arrays` for Dask collections, whose thresholds are given."""
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
        self, data: TrainingData, X: Any, y: Any, sample_weight: ArrayLike | None
    ) -> tuple[Solution, Task | None]:
        """Set the coefficients and the thresholds; thresholds that `fit` learns later are 0.5.

        The result is that of `fit_coefficients`. Callbacks receive X, y and `sample_weight`.
        """
        settings = Settings.with_strength_of(
            self,
            grouped=self.grouped,
            standardize=self.standardize,
            penalty_factor=self.penalty_factor,
            fit_intercept=self.fit_intercept,
            n_jobs=self.n_jobs,
        )
        warn_of_groups_without_l1(self.grouped, settings.l1_ratio)
        # The problem has no labels that all rows have, or none. They get their coefficients later.
        with TrainingProblem.of(data, settings) as training:
            has_label = np.delete(data.totals > 0.0, data.active)

            def with_constant_labels(coef: Array, intercept: Array) -> tuple[Array, Array]:
                coef, intercept = training.user_coefficients(coef, intercept)
                if self._link == "sigmoids":
                    constant = np.delete(np.arange(len(data.classes)), data.active)
                    intercept[constant] = np.where(has_label, CERTAIN_LOGIT, -CERTAIN_LOGIT)
                return coef, intercept

            thresholds, kind = {}, self._threshold_kind
            is_learned = self.multilabel_ and isinstance(kind, str)
            if self.multilabel_:
                first = 0.5 if is_learned else kind
                thresholds["threshold_"] = check_threshold(first, data.classes)
            solution, task = fit_coefficients(
                self,
                training,
                (X, y, sample_weight),
                partial(minimise, training.problem),
                with_constant_labels,
                thresholds,
                is_bounded=not is_learned,
            )
            set_attributes(self, thresholds)
        return solution, task

    @property
    def _link(self) -> str:
        if not self._has_sigmoids:
            return "softmax"
        return "sigmoids" if self.multilabel_ else "normalised sigmoids"

    @property
    def _threshold_kind(self) -> Any:
        """The parameter `threshold`, with the value that "auto" stands for."""
        if isinstance(self.threshold, str) and self.threshold == "auto":
            return "f1_micro" if self.link == "softmax" else 0.5
        return self.threshold

    def decision_function(self, X: Any) -> Any:
        """Return the logits of the rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels), or (n_samples,) for one label a row and two classes
        """
        Z = fitted_model(self).predict("logits", X)
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
            In the order of `classes_`. With ``link="softmax"``, or for y of one label a row, rows
            sum to one.
        """
        return fitted_model(self).predict("probabilities", X)

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of the probabilities, computed from the logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
        """
        return fitted_model(self).predict("log_probabilities", X)

    def predict(self, X: Any) -> Any:
        """Return the labels of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        {ndarray, CSR matrix} of shape (n_samples, n_labels), or ndarray of shape (n_samples,)
            Indicator matrix of integers, sparse if y of the fit was sparse. The most probable label
            of each row if y of the fit had one label a row.
        """
        model = fitted_model(self)
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

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of the rows whose predicted labels are exactly the labels in y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : {array-like, sparse matrix} of shape (n_samples, n_labels), or (n_samples,)
            Indicator matrix, or one label a row. The columns of a DataFrame are matched by name.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        float
        """
        predicted, y = to_host(self.predict(X)), native(to_host(y), "y")
        if self.multilabel_:
            return _indicator.share_of_equal_rows(y, predicted, labels_of(self), sample_weight)
        weights = _validation.relative_weights(sample_weight, len(predicted))
        y = _indicator.numbers_in_order(y, None)
        return float(accuracy_score(y, predicted, sample_weight=weights))

    def predict_proba_frame(self, X: Any) -> Any:
        """Return the probabilities with the index of X and the names of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        DataFrame
            A row for each row of X and a column for each label, in the library of X: pandas, with
            the index of X, polars, narwhals, or pyarrow; pandas for arrays. Columns are labels in
            pandas, and strings of the labels in other libraries.
        """
        return fitted_model(self).probability_frame(X)
