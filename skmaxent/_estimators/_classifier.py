"""MaxentClassifier: its parameters, its fit and what it infers."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from skmaxent._callbacks import CallbackSupport
from skmaxent._estimators._fit_classifier import fit_classifier
from skmaxent._estimators._linear_classifier import LinearClassifier
from skmaxent._estimators._removed_parameters import accepts_removed
from skmaxent._input._settings import PENALTIES, warn_of_groups_without_l1
from skmaxent._public import public
from skmaxent._sklearn import VALID_N_JOBS, HasMethods, Interval, StrOptions
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

if TYPE_CHECKING:
    from skmaxent._inference._results import InferenceResults
    from skmaxent._inference._survey_design import SurveyDesign


@public
class MaxentClassifier(CallbackSupport, LinearClassifier):
    """Multinomial logistic regression, the maximum-entropy classifier.

    Minimises, over coefficients W and intercepts b, with S the sum of the row weights s_i,

        1/S Σ_i s_i [logsumexp(W x_i + b) - (W x_i + b)_{y_i}]
            + 1/(C S) Σ_kj f_kj [l1_ratio |w_kj| + (1 - l1_ratio)/2 (w_kj - m_kj)²].

    With factors f of 1 and a prior m of 0 this is the objective of scikit-learn's
    `LogisticRegression`. Two classes have a single logit z_i = w·x_i + b, that of ``classes_[1]``.
    The loss of row i is then log(1 + exp(z_i)), minus z_i if its class is ``classes_[1]``. Units
    and correlation of the features and unequal shares of the classes hardly change the number of
    iterations.

    Parameters
    ----------
    penalty : {"l1", "l2", "elasticnet", None}, default="deprecated"
        Accepted so that code for scikit-learn 1.8 and earlier runs. "l1" means ``l1_ratio=1``, "l2"
        ``l1_ratio=0``, "elasticnet" leaves `l1_ratio` as it is, and None means ``C=np.inf``.
        Prefer `C` and `l1_ratio`.
    C : float, default=1.0
        Inverse strength of the penalty, positive; ``np.inf`` is no penalty.
    alpha : float, default=None
        Instead of `C`, the strength of the penalty relative to the mean loss, 0 or more: the factor
        1/(C S) of the penalty above, which R's glmnet calls `lambda`. Unlike C, it does not change
        with the number of rows. S is the sum of the s_i, which are `sample_weight` times
        `class_weight`, and times the sum of the row for tables with counts of the classes. With
        `partial_labels`, rows for which all classes are possible do not count, unless a class
        occurs in such rows only.
    l1_ratio : float, default=0.0
        Share of the L1 penalty: 0 is ridge, 1 the lasso, between them the elastic net. The L1
        penalty sets coefficients to exactly zero.
    grouped : bool, default=False
        Whether the L1 penalty is a group lasso: on the Euclidean length of the coefficients of a
        feature for all classes, which are then zero together or not at all.
    standardize : bool, default=False
        Whether the penalty is that of the coefficients of standardised columns, as in R's glmnet.
        The L1 penalty of a coefficient is then multiplied by the standard deviation of its column,
        and the ridge penalty by its square. `coef_`, `bounds` and `prior_coef` stay those of the
        columns as they are. The weights of the standard deviations are the row weights s_i, their
        divisor is S; constant columns have standard deviation 1. It has no effect without penalty.
    penalty_factor : array-like of shape (n_features,) or (n_classes, n_features), or dict, \
            default=None
        Factors of the penalty of each feature, or of each class and feature. A dict maps names of
        features to factors; other features have the factor 1. 0 leaves a coefficient unpenalised.
        ``np.inf`` removes it: the coefficient is 0 at every C, `bounds` must include 0, and
        `prior_coef` must be 0. A factor / C above 1e100 counts as 1e100, whose penalty is least up
        to rounding. Names of features in a Series or DataFrame, here and in `bounds`, are matched.
    prior_coef : array-like, DataFrame or fitted model, default=None
        Coefficients that the ridge part of the penalty shrinks towards instead of zero: an array
        in the shape of `coef_`, a table as `coef_frame` gives, or a fitted linear classifier. Names
        of features and classes are matched; missing ones have zeros, and intercepts do not count. A
        fitted classifier stays fitted in clones of this one. If a search tries fitted classifiers
        as values of `prior_coef`, wrap them in `sklearn.frozen.FrozenEstimator`.
    bounds : (lower, upper) or dict, default=None
        Bounds of the coefficients, each a number, an array of shape (n_features,) or (n_classes,
        n_features), or None; a dict maps names of features to pairs of numbers. They cannot be
        combined with ``grouped=True``, and do not hold for a class that has no weight in the fit.
    bias_reduction : {"jeffreys", "mean"}, default=None
        Penalise the likelihood by Jeffreys' prior, which gives finite estimates also for separated
        classes. For this model both values are the same: mean bias reduction [3]_ [4]_. Needs
        ``C=np.inf``. Weights count rows. With few rows, the penalised likelihood may have several
        maxima. `fit` tries several starts and takes the best result, but a maximum that none of
        them leads to may be higher.
    fit_intercept : bool, default=True
        Whether each logit has an intercept; it is never penalised.
    class_weight : dict or "balanced", default=None
        Weights of the classes, multiplied with `sample_weight`. "balanced" gives every class the
        same total weight.
    prior_correction : "empirical", dict or array-like of shape (n_classes,), default=None
        Shares of the classes in the population, if the rows or `class_weight` have other shares.
        The logarithm of the ratio is added to the intercepts, which makes the probabilities right
        if rows were sampled, or weighted, by class alone [5]_. "empirical" takes the shares in y,
        before `class_weight`. A dict or a Series maps labels to shares.
    label_smoothing : float, default=0.0
        Share ε of each observation that is spread evenly over all K classes [6]_: targets are
        (1 - ε) times those of y, plus ε/K. From 0 to below 1.
    partial_labels : bool, default=False
        Whether a row of y is the set of the classes that are possible for it, one of which is true.
        y then contains sets, or is a table with True for possible classes. The loss is the mean of
        -log P(set), which is not convex. The fit starts at the minimum for targets that are spread
        evenly over the sets, and converges by expectation maximisation to a stationary point [7]_,
        which need not be the lowest.
    solver : {"auto", "newton-cg", "newton-cholesky", "lbfgs", "trust-krylov", "trust-ncg", "sag", \
            "saga"}, default="auto"
        "newton-cg" is trust-region Newton with preconditioned conjugate gradients.
        "newton-cholesky" assembles and factors the Hessian. "auto" chooses the cheaper of the two.
        With an L1 penalty, bounds, a prior or factors per class, "auto", "newton-cg" and
        "newton-cholesky" are all proximal Newton methods.
        "lbfgs", "trust-krylov" and "trust-ncg" are methods of `scipy.optimize.minimize`, in
        preconditioned coordinates, without L1 penalty, bounds and `bias_reduction`. "sag" and
        "saga" stand for "auto". All solvers converge to the same optimum.
    tol : float, default=1e-4
        Distance to the optimum, in standard errors of the coefficients, at which to stop. It does
        not depend on the units of the features.
    max_iter : int, default=100
        Maximum number of iterations, without those that find the start for a weak L1 penalty. 0
        leaves all coefficients zero, or, with `warm_start`, those of before.
    warm_start : bool, default=False
        Whether to start from the coefficients of the last fit, if it had the same classes and
        features and these coefficients have a lower objective than zeros. No effect with
        `bias_reduction` or `partial_labels`.
    n_jobs : int, default=None
        Number of threads. None is as many as BLAS may use, and -1 all processors.
    verbose : int, default=0
        Print each iteration if positive. A terminal shows the last iteration only, other outputs
        have a line for each.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of the rows from which preconditioners are computed. It changes the
        result by less than `tol`. None is a fixed seed.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    coef_ : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
        Coefficients. For two classes they are those of ``classes_[1]``. With three or more
        classes and a ridge penalty or a group lasso, the coefficients of each feature sum to zero
        over the classes, unless `prior_coef`, `bounds` or factors per class make them differ.
    intercept_ : ndarray of shape (n_classes,) or (1,)
        Intercepts. A class that has no weight in the fit has coefficients of zero, and an intercept
        next to the most negative number, so that its probability is 0 for every row.
    n_iter_ : ndarray of shape (1,)
        Number of iterations of the solver, at least 1 unless ``max_iter=0``.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of features, if X had names that are strings.
    optimality_gap_ : float
        Upper bound in [0, 1] on (F - F*)/F, the share of the objective F that lies above its
        minimum F*. The smaller of two bounds: the duality gap, if there is a penalty, and one from
        the Newton decrement by generalised self-concordance [1]_ [2]_. It is 1 if nothing is known,
        and NaN with `bias_reduction` or `partial_labels`.

    Notes
    -----
    With scikit-learn 1.9 or later, ``set_callbacks`` attaches callbacks (`sklearn.callback`). Each
    Newton iteration, or step of expectation maximisation, is a subtask of the fit. At the end of
    each subtask, and at the beginning of all but the first, callbacks may ask for the classifier
    with the coefficients at that time, whose `optimality_gap_` is NaN. Proximal Newton methods may
    have one subtask more, for a pass that checks all features. A callback that asks to stop ends
    the fit after the iteration. Callbacks receive X, y and `sample_weight` as given to `fit`.
    Predictions of the classifier use the `offset` of the fit.

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
        "n_jobs": VALID_N_JOBS,
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
            Features. Dense and CSR matrices of float32 and float64 are not copied, unless columns
            are constant or their mean is much larger than their spread. X is never written to.
            DataFrames of pandas, polars and narwhals, and tables of pyarrow, name the features.
            The chunks of a Dask array or data frame stay where Dask keeps them. y, which then has
            labels only, `sample_weight` and `offset` are Dask collections too, or in memory if the
            lengths of the chunks are known. A pandas DataFrame with rows and without columns fits
            the intercepts alone.
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels; or a table with the number of observations of each class in a row, or with
            their shares: an array, a sparse matrix, or a DataFrame whose columns name the classes
            (they are sorted). A row of counts is that many rows with one label each, and a row that
            sums to one is a single observation. With `partial_labels`, sets of labels, or a boolean
            table.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows: 2 counts as two equal rows, less than 1e-30 of the largest as 0.
        offset : array-like of shape (n_samples, n_classes), or (n_samples,) for two classes
            Known part of the logits, which is added to W x_i + b; for two classes the part of
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
            If `max_iter` is reached, if floating-point precision ends the fit more than 0.01
            standard errors (or `tol`) from the optimum, if rounding of the coefficients to float32
            raises the objective by more than 1e-6 of itself, if `bias_reduction` finds several
            maxima, or if there is no penalty and the classes are separated, completely or
            quasi-completely, so that no optimum exists.
        UserWarning
            Without a penalty, if features are linear combinations of earlier features and the
            intercept. Infinitely many coefficients are optimal then, and `coef_` is one choice. X
            with more than 500 features is not checked. Also if ``grouped=True`` has no effect,
            because there is no L1 penalty.
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

        For p = (n_classes - 1)(n_features + 1) coefficients, the covariance needs memory for about
        four matrices of p² numbers, and time in proportion to p² times the number of rows. Below, n
        is the sum of frequency weights, or the number of rows with probability weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of the fit.
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Class labels, or counts or shares of the classes. With ``weights="probability"`` each
            row of a table is one unit, as for fractional responses; else each observation counts.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights of the fit.
        offset : array-like, default=None
            The offsets of the fit.
        cov_type : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster", "CV2", "CV3", "CV3L", \
                "laplace"}, default=None
            "nonrobust" is the inverse Fisher information. "HC0" is the sandwich with the outer
            product of the scores [1]_, and "HC1" is "HC0" times n/(n - p). "HC2" divides the
            residual of a row with the leverage h by √(1 - h), and "HC3" by 1 - h; h is a matrix for
            several classes. "cluster" sums scores by `groups`, with the factor
            G/(G - 1) (n - 1)/(n - p), and is also called CV1. "CV3" is the jackknife over clusters
            [2]_, by a fit without each cluster; "CV3L" replaces each fit by one Newton step. "CV2"
            has the correction and the degrees of freedom of Bell & McCaffrey [4]_. These three are
            more reliable with few or unequal clusters. "laplace" is the inverse Hessian of loss and
            ridge: the covariance of the posterior with a normal prior, without p-values. None is
            "laplace" with a ridge penalty, else "nonrobust", or "HC0" for probability weights.
        groups : array-like of shape (n_samples,), default=None
            Clusters, for ``cov_type="cluster"``, "CV2", "CV3" and "CV3L". With one of these,
            ``method="split"`` keeps each cluster in one half. ``method="bootstrap"`` takes groups
            without `cov_type`, and draws whole clusters. Two columns, only for "cluster", are two
            ways of clustering [3]_.
        weights : {"frequency", "probability"}, default="frequency"
            With "frequency", a weight is a number of equal rows. With "probability", it is the
            inverse of the probability with which the row was sampled, and has no scale.
        reference : label or "symmetric", default=None
            The class from which coefficients are differences. None is the first of `classes_`, or
            the first category that occurs if y is a pandas Categorical, as in R. "symmetric" is the
            mean of all classes, as in `coef_`.
        features : list of str, default=None
            Names of features (x0, x1, ... if X has none) whose covariance alone is computed, for
            models with too many: by a linear system over the rows for each feature and class.
        method : {"bootstrap", "split"}, default=None
            "split" selects features with this estimator on a random half of the rows, and fits the
            selected features without penalty to the other half, for which standard errors and tests
            are valid. New rows for predictions have all columns of X.
            "bootstrap" fits this estimator, with any penalty, to samples drawn with replacement.
            Standard errors and percentile intervals include the effects of shrinkage and selection;
            there are no p-values. It uses `n_jobs` processes, and prints progress if `verbose`. It
            draws clusters if there are `groups`, rows if weights are probabilities, else single
            observations, whose number is the sum of weights or counts, rounded. Samples that lack a
            class are drawn again. `random_state` is the seed of both methods.
        n_bootstrap : int, default=200
            Number of bootstrap samples, for ``method="bootstrap"`` only.
        small_sample : {"none", "units", "coefficients"}, default=None
            Factor of a robust covariance, with G the number of clusters. "units" is G/(G - 1) for
            clusters and n/(n - 1) for "HC0", as in Stata's mlogit and logit; G/(G - 1) is also the
            factor of ``vcovCL(type="HC0")`` in R's sandwich. "coefficients" is the factor of
            `cov_type`, as in statsmodels and ``vcovCL(type="HC1")``. "none" is the factor 1, as in
            ``vcovCL(type="HC0", cadjust=FALSE)``. None is "coefficients" for "cluster" and "HC1",
            "none" for "HC0".
        use_t : bool, default=None
            Whether intervals and tests of robust covariances use Student's t and F distributions.
            Degrees of freedom are G - 1 for clusters (the smaller G of two ways of clustering),
            those of Bell & McCaffrey for "CV2", n - p for rows, and those of the design for
            surveys. False means normal and chi-squared distributions. None is True for "CV2",
            "CV3", "CV3L" and surveys, else False.
        design : SurveyDesign, default=None
            How the rows were sampled, which determines the covariance: `cov_type`, `groups`,
            `features`, `method` and `small_sample` must then be None, and "probability" replaces
            `weights`. `sample_weight` may be left out if the design has weights.
        subpopulation : array-like of bool of shape (n_samples,), default=None
            With `design`: the rows that the model was fitted to. X, y and the design have all rows
            of the survey.

        Returns
        -------
        InferenceResults
            The coefficients with their covariance, and methods for tables, tests and effects.

        Raises
        ------
        ValueError
            For L1 penalties and bounds without `method`, for an information that is singular, for
            arguments that cannot be combined, for labels that the fit does not know, and if
            parameters that define the objective were changed after `fit`.
        MemoryError
            If the covariance exceeds the memory; the message has the number of bytes.

        Warns
        -----
        UserWarning
            If the coefficients are not optimal for X and y, and if bootstrap samples have separated
            classes or fits to them do not converge.

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
        from skmaxent._estimators._infer_pipeline import infer  # late, because seldom needed

        return infer(
            self,
            X,
            y,
            sample_weight,
            offset,
            cov_type=cov_type,
            groups=groups,
            weights=weights,
            reference=reference,
            features=features,
            method=method,
            n_bootstrap=n_bootstrap,
            small_sample=small_sample,
            use_t=use_t,
            design=design,
            subpopulation=subpopulation,
        )
