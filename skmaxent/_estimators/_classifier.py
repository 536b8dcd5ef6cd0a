"""MaxentClassifier: its parameters, its fit and what it infers."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from skmaxent._callbacks import CallbackSupport
from skmaxent._estimators import _inference_kinds
from skmaxent._estimators._fit_classifier import fit_classifier
from skmaxent._estimators._linear_classifier import LinearClassifier
from skmaxent._estimators._removed_parameters import accepts_removed
from skmaxent._estimators._survey_rows import rows_of_survey
from skmaxent._inference._results import InferenceResults, with_variables
from skmaxent._inference._survey_design import SurveyDesign
from skmaxent._input._settings import PENALTIES, warn_of_groups_without_l1
from skmaxent._sklearn import HasMethods, Interval, StrOptions
from skmaxent._solvers import SOLVER_NAMES
from skmaxent._typing import (
    BiasReduction,
    CovType,
    InferenceMethod,
    PenaltyName,
    RandomState,
    SmallSample,
    SolverName,
    WeightsKind,
)


class MaxentClassifier(CallbackSupport, LinearClassifier):
    """Multinomial logistic regression, the maximum-entropy classifier.

    Minimises, over coefficients W and intercepts b, with S the sum of the row weights s_i,

        1/S Σ_i s_i [logsumexp(W x_i + b) - (W x_i + b)_{y_i}]
            + 1/(C S) Σ_kj f_kj [l1_ratio |w_kj| + (1 - l1_ratio)/2 (w_kj - m_kj)²],

    which is scikit-learn's `LogisticRegression` objective where the factors f are 1 and the prior m
    is 0; two classes have a single logit.
    The solver is indifferent to the units, the correlation and the balance of the data.

    Parameters
    ----------
    penalty : {"l1", "l2", "elasticnet", None}, default="deprecated"
        Accepted so that code for scikit-learn 1.8 and earlier runs. "l1" means ``l1_ratio=1``, "l2"
        ``l1_ratio=0``, "elasticnet" leaves `l1_ratio` as it is, and None means ``C=np.inf``.
        Prefer `C` and `l1_ratio`.
    C : float, default=1.0
        Inverse strength of the penalty, positive; ``np.inf`` is no penalty.
    alpha : float, default=None
        Instead of `C`, the strength of the penalty of an observation, 0 or more: the factor 1/(C S)
        of the penalty above, glmnet's `lambda`. Unlike `C`, alpha does not depend on the number of
        rows. S is the sum of the s_i: of `sample_weight` times `class_weight` times, for tables
        with counts of the classes, the sum of the row. With `partial_labels`, rows for which all
        classes are possible do not count, unless a class occurs in such rows only.
    l1_ratio : float, default=0.0
        Share of the L1 penalty: 0 is ridge, 1 the lasso, between them the elastic net. L1 sets
        coefficients to exactly zero.
    grouped : bool, default=False
        Whether the L1 penalty is on the Euclidean length of the coefficients that a feature has
        for all classes, the group lasso, so that they are zero together or not at all.
    standardize : bool, default=False
        Whether the penalty is that of the coefficients of standardised columns, as in R's glmnet.
        The L1 penalty of a coefficient is then multiplied by the standard deviation of its column,
        and the ridge penalty by its square. `coef_`, `bounds` and `prior_coef` stay those of the
        columns as they are. The weights of the standard deviations are the row weights s_i, their
        divisor is S, and constant columns have the standard deviation 1. Without a penalty there is
        no effect.
    penalty_factor : array-like of shape (n_features,) or (n_classes, n_features), or dict, \
            default=None
        Factors of the penalty of each feature, or of each class and feature; a dict maps names of
        features to factors, 1 for the others. 0 leaves a coefficient unpenalised. ``np.inf``
        removes it: the coefficient is 0, whatever C; `bounds` that exclude 0 for it are an error.
        Factors are not rescaled. A Series or DataFrame with names of features, here and in
        `bounds`, is matched by these names.
    prior_coef : array-like, DataFrame or fitted model, default=None
        Coefficients that the ridge part of the penalty shrinks towards instead of zero: an array
        in the shape of `coef_`, a table as `coef_frame` gives, or a fitted linear classifier. Names
        of features and classes are matched, what is missing is zero; intercepts do not count. A
        fitted classifier stays fitted in clones of this one. Where it is itself one of the values
        that a search tries, wrap it in `sklearn.frozen.FrozenEstimator`.
    bounds : (lower, upper) or dict, default=None
        Bounds of the coefficients, each a number, an array of shape (n_features,) or (n_classes,
        n_features), or None; a dict maps names of features to pairs of numbers. They cannot be
        combined with ``grouped=True``.
    bias_reduction : {"jeffreys", "mean"}, default=None
        Penalise the likelihood by Jeffreys' prior, which gives finite estimates for separated
        classes too; for this model it is mean bias reduction under another name [3]_ [4]_. Only
        with ``C=np.inf``, and weights count rows.
    fit_intercept : bool, default=True
        Whether each logit has an intercept; it is never penalised.
    class_weight : dict or "balanced", default=None
        Weights of the classes, multiplied with `sample_weight`. "balanced" gives every class the
        same total weight.
    prior_correction : "empirical", dict or array-like of shape (n_classes,), default=None
        Shares of the classes in the population, where the rows or `class_weight` have others:
        intercepts are moved by the logarithm of the ratio, which makes the probabilities right if
        rows were sampled, or weighted, by class alone [5]_. "empirical" takes the shares in y,
        before `class_weight`; a dict or a Series maps labels to shares.
    label_smoothing : float, default=0.0
        Share ε of each observation that is spread evenly over all classes [6]_: targets are (1 - ε)
        times those of y, plus ε/K. From 0 to below 1.
    partial_labels : bool, default=False
        Whether a row of y is the set of the classes that are possible for it, of which one is true:
        sets, or a table with True for these. Minimised is then the mean of
        logsumexp(W x_i + b) - logsumexp over the set, which is not convex: the fit begins at that
        with targets spread evenly over the sets, which is, and goes down from there by expectation
        maximisation to a stationary point [7]_.
    solver : {"auto", "newton-cg", "newton-cholesky", "lbfgs", "trust-krylov", "trust-ncg", "sag", \
            "saga"}, default="auto"
        "newton-cg" is trust-region Newton with preconditioned conjugate gradients,
        "newton-cholesky" assembles and factors the Hessian, "auto" takes what is cheaper; with an
        L1 penalty, bounds, a prior or factors per class these three are proximal Newton. "lbfgs",
        "trust-krylov" and "trust-ncg" are those methods of `scipy.optimize.minimize`, in
        preconditioned coordinates; they have no L1 penalty, bounds or `bias_reduction`. "sag" and
        "saga" stand for "auto". All solvers lead to the same optimum.
    tol : float, default=1e-4
        Distance to the optimum, in standard errors of the coefficients, at which to stop. It does
        not depend on units; here alone a shared parameter differs from scikit-learn's.
    max_iter : int, default=100
        Most iterations of the solver; "lbfgs" needs many more of them than the others. 0 leaves
        all coefficients zero, or, with `warm_start`, those of the last fit.
    warm_start : bool, default=False
        Start from the coefficients of the last fit, if it had the same classes and features and
        these coefficients have a lower objective than zeros. With `bias_reduction` or
        `partial_labels` every fit starts anew.
    n_jobs : int, default=None
        Threads; None is as many as BLAS may use, -1 all processors.
    verbose : int, default=0
        Print each iteration where positive: in a line that is written over in a terminal, and in
        one of its own elsewhere.
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
        Intercepts. A class that has no weight in the fit has coefficients of zero, and an intercept
        next to the most negative number, so that its probability is 0 for every row.
    n_iter_ : ndarray of shape (1,)
        Iterations of the solver, at least 1 unless ``max_iter=0``.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of features, where X had names that are strings.
    optimality_gap_ : float
        Upper bound on (F - F*)/F, in [0, 1]: at most this share of the objective can still be
        gained. From the duality gap where there is a penalty, and from the Newton decrement by
        generalised self-concordance [1]_ [2]_ otherwise, or where that is better. NaN with
        `bias_reduction` or `partial_labels`.

    Notes
    -----
    With scikit-learn 1.9 or later, ``set_callbacks`` attaches callbacks (`sklearn.callback`). Each
    Newton iteration, or step of expectation maximisation, is a subtask of the fit. At its end, and
    at its begin but for the first, they may have the classifier as it is then, its
    `optimality_gap_` not known (NaN); where a fit with an L1 penalty, bounds, a prior or factors
    per class looks through many features, that may be one more. A callback that asks to stop ends
    the fit after the iteration. X, y and `sample_weight` are those given to `fit`, whose `offset`,
    too, counts in predictions.

    References
    ----------
    .. [1] Bach (2010), Self-concordant analysis for logistic regression, Electron. J. Stat. 4.
    .. [2] Marteau-Ferey, Bach & Rudi (2019), Globally convergent Newton methods for
       ill-conditioned generalized self-concordant losses, NeurIPS 32.
    .. [3] Firth (1993), Bias reduction of maximum likelihood estimates, Biometrika 80.
    .. [4] Kosmidis & Firth (2011), Multinomial logit bias reduction via the Poisson log-linear
       model, Biometrika 98.
    .. [5] King & Zeng (2001), Logistic regression in rare events data, Polit. Anal. 9.
    .. [6] Szegedy et al. (2016), Rethinking the Inception architecture for computer vision, CVPR.
    .. [7] Jin & Ghahramani (2002), Learning with multiple labels, NeurIPS 15.

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
        "penalty": [StrOptions(PENALTIES), None],
        "C": [Interval(Real, 0, None, closed="right")],
        "alpha": [Interval(Real, 0, None, closed="left"), None],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "grouped": ["boolean"],
        "standardize": ["boolean"],
        "penalty_factor": [Mapping, "array-like", None],
        "prior_coef": ["array-like", HasMethods("predict"), None],
        "bounds": [tuple, list, Mapping, None],
        "bias_reduction": [StrOptions({"jeffreys", "mean"}), None],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "prior_correction": [StrOptions({"empirical"}), dict, "array-like", None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "partial_labels": ["boolean"],
        "solver": [StrOptions(SOLVER_NAMES)],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    @accepts_removed
    def __init__(
        self,
        *,
        penalty: PenaltyName | None = "deprecated",
        C: float = 1.0,
        alpha: float | None = None,
        l1_ratio: float | None = 0.0,
        grouped: bool = False,
        standardize: bool = False,
        penalty_factor: Any = None,
        prior_coef: Any = None,
        bounds: Any = None,
        bias_reduction: BiasReduction | None = None,
        fit_intercept: bool = True,
        class_weight: Any = None,
        prior_correction: Any = None,
        label_smoothing: float = 0.0,
        partial_labels: bool = False,
        solver: SolverName = "auto",
        tol: float = 1e-4,
        max_iter: int = 100,
        warm_start: bool = False,
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: RandomState = None,
    ) -> None:
        self.penalty = penalty
        self.C = C
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.grouped = grouped
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.prior_coef = prior_coef
        self.bounds = bounds
        self.bias_reduction = bias_reduction
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.prior_correction = prior_correction
        self.label_smoothing = label_smoothing
        self.partial_labels = partial_labels
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> MaxentClassifier:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            float32 and float64 are used as they are, without a copy where dense or CSR, unless
            columns are constant or their mean is large against their spread. X is never written to.
            DataFrames of pandas, polars and narwhals, and tables of pyarrow, name the features.
            Or a Dask array or data frame, whose chunks stay where Dask keeps them; then y, of
            labels alone, `sample_weight` and `offset` are Dask collections too, or in memory where
            the lengths of the chunks are known. A pandas DataFrame with rows and without columns
            fits the intercepts alone.
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels; or how many observations of each class a row stands for, or their shares:
            an array, a sparse matrix, or a DataFrame whose columns name the classes (they are
            sorted). A row of counts is that many rows with a label each; one that sums to one is a
            single observation. With `partial_labels`, sets of labels, or a boolean table.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, times the sums of the rows of a table; 2 is the row twice.
        offset : array-like of shape (n_samples, n_classes), or (n_samples,) for two classes
            Known part of the logits, added to what the features give; for two classes that of
            ``classes_[1]``. The columns of a DataFrame are matched to `classes_` by name.

        Returns
        -------
        MaxentClassifier
            Itself.

        Raises
        ------
        ValueError
            For input that cannot be fitted; an earlier fit stays as it was.

        Warns
        -----
        ConvergenceWarning
            Where `max_iter` is reached, where floating-point precision ends the fit more than
            0.01 standard errors (or `tol`) from the optimum, where rounding of the coefficients
            to float32 raises the objective by more than 1e-6 of itself, where `bias_reduction`
            finds several maxima, or where there is no penalty and the classes are separated,
            perfectly or in part (quasi-completely), so that no optimum exists.
        UserWarning
            Without a penalty, for features that are linear combinations of earlier ones or of the
            intercept: one minimal set of them. Many coefficients are optimal then, of which the fit
            keeps those that it found. More than 500 features are not looked at.
        """
        fit_classifier(self, X, y, sample_weight, offset)
        warn_of_groups_without_l1(self.grouped, self.l1_ratio, self.penalty == "l1")
        return self

    def infer(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        *,
        cov_type: CovType | None = None,
        groups: ArrayLike | None = None,
        weights: WeightsKind = "frequency",
        reference: Any = None,
        features: list[str] | None = None,
        method: InferenceMethod | None = None,
        n_bootstrap: int = 200,
        small_sample: SmallSample | None = None,
        use_t: bool | None = None,
        design: SurveyDesign | None = None,
        subpopulation: ArrayLike | None = None,
    ) -> InferenceResults:
        """Compute standard errors, intervals and tests of the coefficients.

        The covariance takes memory for the square of (n_classes - 1)(n_features + 1) numbers, four
        times over, and time for that many multiplied by the rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of the fit.
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels, or counts or shares of the classes. A table's observations count one by
            one where weights are frequencies; with ``weights="probability"`` each row is one unit,
            as for fractional responses.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights of the fit.
        offset : array-like, default=None
            The offsets of the fit.
        cov_type : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster", "CV2", "CV3", "CV3L", \
                "laplace"}, default=None
            "nonrobust" is the inverse Fisher information; "HC0" the sandwich with the outer product
            of the scores [1]_, "HC1" that times n/(n - p); "HC2" and "HC3"
            divide the residuals of rows by roots of one less their leverage, and by one less it, as
            matrices for several classes; "cluster" sums scores by `groups`, times
            G/(G - 1) (n - 1)/(n - p), which is called CV1. "CV3" is the jackknife over clusters
            [2]_, by a fit without each of them, and "CV3L" the same by one Newton step in place of
            each fit; "CV2" has the correction and the degrees of freedom of Bell & McCaffrey [4]_.
            All three are more reliable with few or unequal clusters. "laplace" is the inverse of
            the information and the ridge's second derivative: the covariance of the posterior with
            a normal prior, for which there are no p-values. None is "laplace" with a
            ridge penalty, else "nonrobust", or "HC0" for probability weights.
        groups : array-like of shape (n_samples,), default=None
            Clusters, for ``cov_type="cluster"``, "CV2", "CV3" and "CV3L", and
            ``method="bootstrap"``,
            which draws whole clusters; ``method="split"`` puts each into one half. For "cluster"
            two columns are two ways of clustering [3]_.
        weights : {"frequency", "probability"}, default="frequency"
            Whether a weight counts equal rows, or is the inverse of a row's probability to have
            been sampled; such weights have no scale.
        reference : label or "symmetric", default=None
            The class that coefficients are against; None is the first: of a pandas Categorical y
            the first category that occurs, as in R, else the first of `classes_`. "symmetric" is
            the mean of all classes, as in `coef_`.
        features : list of str, default=None
            Names of some features (x0, x1, ... where X has none), for models whose covariance is
            too large: theirs alone is found, by solving a system over the rows for each of them and
            each class.
        method : {"bootstrap", "split"}, default=None
            "split" selects features with this estimator on a random half of the rows and fits them
            without penalty to the other half, whose standard errors and tests are valid for them;
            columns are the selected features, and new rows to predict have all columns of X.
            "bootstrap" refits to samples drawn with replacement, for any penalty, in `n_jobs`
            processes, with progress where `verbose`: standard errors and percentile intervals of
            the estimator as it is, shrinkage and selection included; no p-values. What is drawn are
            clusters where there are `groups`, rows where weights are probabilities, and else single
            observations: of rows that frequency weights or a table of counts stand for, as many as
            their sum, rounded. A sample without a row of some class is drawn again. Both methods
            are seeded by `random_state`.
        n_bootstrap : int, default=200
            Number of bootstrap samples, with ``method="bootstrap"`` alone.
        small_sample : {"none", "units", "coefficients"}, default=None
            Factor of a robust covariance, where G is the number of clusters. "units" is G/(G - 1)
            for clusters, n/(n - 1) for "HC0": both as Stata's mlogit and logit, the former also as
            ``vcovCL(type="HC0")`` of R's sandwich. "coefficients" is the factor above, as
            statsmodels and ``vcovCL(type="HC1")``. "none" is ``vcovCL(type="HC0", cadjust=FALSE)``.
            None is "coefficients" for "cluster" and "HC1", "none" for "HC0".
        use_t : bool, default=None
            Whether intervals and tests of robust covariances are those of Student's t and F
            distributions: with G - 1 degrees of freedom for clusters (of the way with fewer of
            them), those of Bell & McCaffrey for each estimate with "CV2", n - p for rows, and those
            of the design for surveys. None is True for "CV2", "CV3", "CV3L" and surveys, else
            False: normal and chi-squared distributions.
        design : SurveyDesign, default=None
            How the rows were sampled. It takes the place of the arguments from `cov_type` to
            `small_sample`, except `reference`, and `weights` are probabilities; `sample_weight`
            may be left out where the design has the weights.
        subpopulation : array-like of bool of shape (n_samples,), default=None
            With `design`: which rows the fit was made of. X, y and the design have all rows, so
            that the design is not changed by leaving rows out.

        Returns
        -------
        InferenceResults

        Raises
        ------
        ValueError
            For L1 penalties and bounds, whose estimates have no such distributions; for linearly
            dependent features; for arguments that do not go together, none of which is ignored; for
            labels that the fit has not seen; where parameters that define the objective were
            changed after `fit`.
        MemoryError
            Where the covariance would not fit; the message has the number of bytes.

        Warns
        -----
        UserWarning
            Where the coefficients are not optimal for X and y, and where bootstrap samples have
            separated classes or fits to them do not converge.

        References
        ----------
        .. [1] White (1982), Maximum likelihood estimation of misspecified models, Econometrica 50.
        .. [2] MacKinnon, Nielsen & Webb (2023), Fast and reliable jackknife and bootstrap methods
           for cluster-robust inference, Journal of Applied Econometrics 38.
        .. [3] Cameron, Gelbach & Miller (2011), Robust inference with multiway clustering, Journal
           of Business & Economic Statistics 29.
        .. [4] Bell & McCaffrey (2002), Bias reduction in standard errors for linear regression with
           multi-stage samples, Survey Methodology 28; for joint tests Pustejovsky & Tipton (2018),
           Journal of Business & Economic Statistics 36.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skmaxent import MaxentClassifier
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> clf = MaxentClassifier(C=np.inf).fit(X[["sepal width (cm)"]], y)
        >>> table = clf.infer(X[["sepal width (cm)"]], y).summary()
        >>> table.loc[1, "coef"].round(2).tolist()
        [-6.12, 18.86]
        """
        data = _inference_kinds.UserData(X, y, sample_weight, offset)
        options = _inference_kinds.InferenceOptions(
            cov_type,
            groups,
            weights,
            reference,
            features,
            method,
            n_bootstrap,
            small_sample,
            use_t,
            design,
            subpopulation,
        )
        check_is_fitted(self)
        data, options = rows_of_survey(data, options, self.classes_)
        results = _inference_kinds.inference(self, data, options)
        return results if data.is_lazy else with_variables(results, data.X, data.offset)
