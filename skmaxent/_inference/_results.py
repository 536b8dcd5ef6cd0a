"""InferenceResults: estimates with their uncertainty, as tables with names."""

from __future__ import annotations

import copy
import html
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy import stats

from skmaxent._inference import _covariance
from skmaxent._inference._delta_method import DeltaMethod, Standardised
from skmaxent._inference._estimate import Estimate
from skmaxent._inference._fit_rows import FitRows
from skmaxent._inference._row_sums import (
    SAME_ROWS,
    ColumnSums,
    Signature,
    means_of_sums,
    relative_to_largest,
    sums_of_rows,
)
from skmaxent._inference._tables import (
    adjusted_p_values,
    chi2_table,
    index_of,
    normal_quantile,
    short_number,
    shown_bound,
    wide_tables,
    z_tests,
)
from skmaxent._input import _frames, _validation
from skmaxent._input._interchange import in_library_of, native
from skmaxent._model._dask_prediction import frame_over_chunks, sums_over_chunks
from skmaxent._model._fitted_model import FittedModel
from skmaxent._storage._cluster import forgetting_on_failure, is_dask
from skmaxent._storage._place import to_host
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


_UNKNOWN_ROWS = (
    "the fit weighed its rows, and whether X has the same rows is not known of Dask collections: "
    "expected sample_weight, which may be 1 for equal weights."
)


@dataclass(frozen=True)
class InferenceResults:
    """Coefficients with standard errors, and tests.

    It is made by `MaxentClassifier.infer`. Probabilities and effects are those of the classifier as
    it was then; with ``method="split"``, those of the fit to the second half of the rows. The rows
    of the fit are held by reference, and a pickle does not have them: see `with_data`.

    Attributes
    ----------
    coef : ndarray of shape (n_rows, n_columns)
        Coefficients of each class against the reference, the intercept last, before
        `prior_correction`; with symmetric coding against the mean of all classes.
    covariance : ndarray of shape (n_rows * n_columns, n_rows * n_columns)
        Of the coefficients, class by class.
    rows : list
        Labels of the classes that the rows belong to.
    columns : list of str
        Names of the features, and "Intercept".
    classes : list
        All labels.
    reference : label or "symmetric"
    cov_type : {"nonrobust", "HC0", "HC1", "cluster", "laplace", "bootstrap"}
        "laplace" is the posterior covariance under a ridge penalty, seen as a normal prior.
    weights : {"frequency", "probability"}
        What `sample_weight` meant.
    n_obs : float
        Rows, or the sum of frequency weights.
    log_likelihood, null_log_likelihood : float
        At the coefficients, and of the model with intercepts and offsets alone; of that with
        offsets alone where there are no intercepts and no combination of the columns is constant.
    n_groups : int or None
        Clusters with rows of positive weight.
    fit_intercept : bool
        Whether the model has intercepts.
    optimality_gap : float
        The fit's; see `MaxentClassifier`.
    replicates : ndarray of shape (n_bootstrap, n_rows, n_columns) or None
        Coefficients of the bootstrap samples.
    n_columns : int or None
        Columns of the model where these are some of them, without those that are combinations of
        others; else None.
    replicate_counts : dict or None
        Of a bootstrap: how many samples had separated classes ("separated"), how many fits did not
        converge ("not converged"), how many fits without penalty had a constant feature
        ("constant"), and how many samples were drawn again because they lacked a class ("drawn
        again").
    notes : tuple of str
        What is to be known before the numbers are read, at the top of what is printed: that the
        classes are separated, or that the coefficients are far from the optimum.
    aliased : tuple of str
        Features that are linear combinations of earlier ones and of the intercept: they have no
        coefficients here, as in R.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> X = X[:, [1]]
    >>> results = MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)
    >>> results.std_errors.round(2).tolist()
    [[0.99, 3.06], [0.84, 2.69]]
    >>> round(results.mcfadden_r2, 2)
    0.23
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
    _base: tuple[Array, Array] = field(repr=False)
    _model: FittedModel = field(repr=False)
    _estimate: Estimate = field(repr=False)
    _rows: FitRows | None = field(repr=False)
    replicates: Array | None = field(default=None, repr=False)
    n_columns: int | None = None
    replicate_counts: dict[str, int] | None = None
    notes: tuple[str, ...] = ()
    aliased: tuple[str, ...] = ()
    _standardised: Standardised | None = field(default=None, repr=False)
    _weighed: Signature | None = field(default=None, repr=False)
    _positions: Array | None = field(default=None, repr=False)
    _chosen: Array | None = field(default=None, repr=False)
    _constant: Array | None = field(default=None, repr=False)
    _sums: ColumnSums | None = field(default=None, repr=False)
    _n_units: int | None = field(default=None, repr=False)
    _penalised_ratio: float | None = field(default=None, repr=False)
    _is_maximal: bool = field(default=True, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # A pickle has no training rows: they may be many, and private.
        return vars(self) | {"_rows": None}

    def __copy__(self) -> InferenceResults:
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> InferenceResults:
        # The rows of the fit are not written to: the copy shares them.
        whole = {name: copy.deepcopy(value, memo) for name, value in self.__getstate__().items()}
        return type(self)(**whole | {"_rows": self._rows})

    def with_data(
        self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None
    ) -> InferenceResults:
        """The same results with the rows of the fit, which a pickle of results does not hold.

        Likelihood-ratio tests of features, score tests and profile intervals need these rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows that were given to `infer`.
        y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
            Their labels or counts.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights.
        offset : array-like, default=None
            Their offsets.

        Returns
        -------
        InferenceResults

        Raises
        ------
        ValueError
            Where the log-likelihood of these rows is not that of the results.
        """
        if self.aliased:
            raise ValueError(
                f"with_data cannot find the columns without {list(self.aliased)} again, which are "
                "combinations of the others: call infer on the fit to the other features."
            )
        if self._positions is not None:
            raise ValueError(
                "results of method='split' are of rows that were drawn at random: with_data cannot "
                "give them back. Call infer again."
            )
        is_symmetric = len(self.rows) == len(self.classes)
        position = None if is_symmetric else self.classes.index(self.reference)
        with forgetting_on_failure():
            rows = FitRows.read(self._estimate, X, y, sample_weight, offset, position)
        found, expected = rows.log_likelihood, self.log_likelihood
        if not self._is_log_likelihood(found):
            raise ValueError(
                "X, y, sample_weight and offset are not those that were given to infer: their "
                f"log-likelihood is {found:.10g}, expected {expected:.10g}."
            )
        return replace(self, _rows=rows)

    def _rows_for(self, what: str) -> FitRows:
        if self._rows is None:
            raise ValueError(
                f"{what} need the rows of the fit, which a pickle of results does not hold: call "
                "results.with_data(X, y, sample_weight, offset) with what was given to infer, and "
                "use the results that it returns."
            )
        found = self._rows.log_likelihood
        if not self._is_log_likelihood(found):
            raise ValueError(
                f"{what} need the rows of the fit, but the arrays that were given to infer have "
                f"been changed since: their log-likelihood is {found:.10g}, expected "
                f"{self.log_likelihood:.10g}. Call infer again with what was fitted."
            )
        return self._rows

    def _is_log_likelihood(self, value: float) -> bool:
        """Whether this is the log-likelihood of the rows of the fit, but for rounding."""
        expected = self.log_likelihood
        return bool(abs(value - expected) <= SAME_ROWS * max(abs(expected), 1.0))

    @property
    def std_errors(self) -> Array:
        """Standard errors, in the shape of `coef`."""
        variances = np.maximum(self.covariance.diagonal(), 0.0)  # rounding may be below zero
        return np.asarray(np.sqrt(variances).reshape(self.coef.shape))

    @property
    def n_parameters(self) -> int:
        """Free coefficients: (n_classes - 1) times columns."""
        return (len(self.classes) - 1) * (self.n_columns or len(self.columns))

    @property
    def has_tests(self) -> bool:
        """Whether there are p-values: not of a posterior or a bootstrap."""
        return self.cov_type not in ("laplace", "bootstrap")

    @property
    def has_intercept(self) -> bool:
        """Whether the last column is that of the intercepts."""
        return self.fit_intercept and self.n_columns is None

    @property
    def df_model(self) -> int:
        """Free coefficients besides those of the null model."""
        null = self.fit_intercept or self._constant is not None
        return self.n_parameters - (len(self.classes) - 1) * null

    @property
    def df_resid(self) -> float:
        """Observations less free coefficients."""
        return self.n_obs - self.n_parameters

    @property
    def aic(self) -> float:
        """Akaike's information criterion, -2 log L + 2 p, with the largest likelihood L.

        NaN, with a warning, after a bootstrap of a fit that does not maximise the likelihood (with
        a penalty, bounds, `bias_reduction`, `label_smoothing` or `partial_labels`); and where the
        coefficients are not optimal (see `notes`) in results that were pickled, which have no rows
        to maximise the likelihood of.
        """
        self._refuse_pseudo_likelihood("AIC")
        return -2.0 * self._criterion_likelihood("AIC") + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's information criterion, -2 log L + p log n; NaN where `aic` is."""
        self._refuse_pseudo_likelihood("BIC")
        size = self.n_parameters * float(np.log(self.n_obs))
        return -2.0 * self._criterion_likelihood("BIC") + size

    @property
    def mcfadden_r2(self) -> float:
        """1 - log L / log L of the null model."""
        return 1.0 - self.log_likelihood / self.null_log_likelihood

    def _index(self) -> pd.MultiIndex:
        return index_of(self.rows, self.columns)

    def cov_params(self) -> pd.DataFrame:
        """The covariance with names.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        return pd.DataFrame(self.covariance, index=self._index(), columns=self._index())

    def conf_int(self, level: float = 0.95) -> pd.DataFrame:
        """Intervals from the normal distribution: confidence, or credible for a posterior.

        Those of a bootstrap are percentiles of its replicates.

        Parameters
        ----------
        level : float, default=0.95
            Of the intervals.

        Returns
        -------
        pandas.DataFrame
            The columns lower and upper.

        Raises
        ------
        ValueError
            Where `level` is not between 0 and 1.
        """
        import pandas as pd

        half = normal_quantile(level) * self.std_errors
        lower, upper = self.coef - half, self.coef + half
        if self.replicates is not None:
            shares = [0.5 - 0.5 * level, 0.5 + 0.5 * level]
            lower, upper = np.quantile(self.replicates, shares, axis=0)
        table = {"lower": lower.ravel(), "upper": upper.ravel()}
        return pd.DataFrame(table, index=self._index())

    def profile_conf_int(self, level: float = 0.95, features: Any = None) -> pd.DataFrame:
        """Confidence intervals from the profile likelihood, penalised where the fit was.

        Each end is found by some fits with the coefficient held; an end is infinite where the
        likelihood does not fall enough.

        Parameters
        ----------
        level : float, default=0.95
            Of the intervals.
        features : str or list of str, default=None
            Columns to do this for; None is all of them.

        Returns
        -------
        pandas.DataFrame
            The columns lower and upper.

        Raises
        ------
        ValueError
            For unknown features, and unless ``cov_type="nonrobust"``.
        """
        import pandas as pd

        self._refuse_posterior("profiles")
        if self.cov_type != "nonrobust":
            raise ValueError("profiles need cov_type='nonrobust'.")
        quantile = normal_quantile(level)
        positions = sorted({j for _, term in self._terms(features) for j in term})
        rows = self._rows_for("profile intervals")
        places = [(row, j) for row in range(len(self.rows)) for j in positions]
        ends = [rows.profile(row, self._in_model([j])[0], quantile) for row, j in places]
        index = self._index()[[row * len(self.columns) + j for row, j in places]]
        return pd.DataFrame(ends, index=index, columns=["lower", "upper"])

    def summary(self, level: float = 0.95, adjust: str | None = None) -> pd.DataFrame:
        """The table.

        Parameters
        ----------
        level : float, default=0.95
            Of the intervals.
        adjust : str, default=None
            A method of `statsmodels.stats.multitest.multipletests` ("holm", "fdr_bh", ...) for
            another column of p-values, adjusted over all coefficients but the intercepts.

        Returns
        -------
        pandas.DataFrame
            A row for each class and feature: coef, std_err, z, p_value, lower, upper and
            relative_risk_ratio, exp(coef). A posterior has no z and no p_value.

        Raises
        ------
        ImportError
            Where `adjust` is asked for and statsmodels is missing.
        """
        import pandas as pd

        estimate, error = self.coef.ravel(), self.std_errors.ravel()
        table = {"coef": estimate, "std_err": error}
        if self.has_tests:
            table |= z_tests(estimate, error)
        frame = pd.DataFrame(table, index=self._index())
        # By position: two features may have the same name.
        frame[["lower", "upper"]] = self.conf_int(level).to_numpy()
        with np.errstate(over="ignore"):
            frame["relative_risk_ratio"] = np.exp(estimate)
        if adjust is not None:
            if not self.has_tests:
                raise ValueError("adjust is for p-values, which a penalised fit does not have.")
            width = len(self.columns)
            slopes = np.arange(len(frame)) % width < width - self.has_intercept
            p_values = np.full(len(frame), np.nan)
            p_values[slopes] = adjusted_p_values(frame["p_value"].to_numpy()[slopes], adjust)
            frame["p_adjusted"] = p_values
        return frame

    def wald_test(self, features: str | list[str] | None = None) -> pd.DataFrame:
        """Wald tests that all coefficients of a feature are zero.

        Parameters
        ----------
        features : str or list of str, default=None
            A test for each; None is all of them. A list of lists tests each inner list jointly.

        Returns
        -------
        pandas.DataFrame
            A row for each test: chi2, df and p_value.

        Raises
        ------
        ValueError
            For unknown features, or a penalised fit.
        """
        self._refuse_posterior("Wald tests")
        theta, V = self._base
        width = len(self.columns)
        tests = []
        for name, positions in self._terms(features):
            index = (np.arange(len(theta))[:, None] * width + positions).ravel()
            try:
                chi2 = self._wald(theta.ravel()[index], V[np.ix_(index, index)])
            except _covariance.DeficientCovariance as error:
                raise ValueError(
                    f"the Wald test of {name!r} has {len(index)} restrictions, but their "
                    f"covariance of type {self.cov_type!r}{self._from_units()} has rank "
                    f"{error.rank}, which cannot test more than {error.rank}: test fewer features "
                    "together."
                ) from error
            tests.append((name, chi2, len(index)))
        return chi2_table(tests)

    def _wald(self, x: Array, V: Array) -> float:
        return _covariance.wald(x, V, None if self._n_units is None else self._n_units - 1)

    def _from_units(self) -> str:
        return "" if self.n_groups is None else f" from {self.n_groups} clusters"

    def likelihood_ratio_test(
        self, other: InferenceResults | None = None, features: Any = None
    ) -> pd.DataFrame:
        """Likelihood-ratio tests against smaller models.

        With `bias_reduction` the ratios are of penalised likelihoods, both with the prior of the
        whole model (Heinze & Schemper 2002, Stat. Med. 21).

        Parameters
        ----------
        other : InferenceResults, default=None
            Results of a nested model on the same rows. None refits without each of `features`.
        features : str or list of str, default=None
            Where `other` is None: terms to leave out, as in `wald_test`; None is each feature.

        Returns
        -------
        pandas.DataFrame
            A row for each test: chi2, df and p_value.

        Raises
        ------
        ValueError
            Where the other model is not nested in this one, has other rows, or either is
            penalised; where both arguments are given; for robust covariances and probability
            weights, under which likelihood ratios have no chi-squared distribution: `wald_test`
            is valid there.
        """
        what = "likelihood-ratio tests"
        self._refuse_posterior(what)
        self._refuse_robust(what)
        if other is None:
            rows = self._rows_for("likelihood-ratio tests of features")
            terms = self._terms(features, with_intercept=False)
            return chi2_table(
                [(name, *rows.ratio(self._in_model(positions))) for name, positions in terms]
            )
        if features is not None:
            raise ValueError("give other, or features to leave out, not both.")
        if not isinstance(other, InferenceResults):
            raise TypeError(
                f"other must be results of infer, found an object of type {type(other).__name__}."
            )
        other._refuse_posterior(what)
        other._refuse_robust(what)
        missing = self._missing_from(other)
        if self._penalised_ratio is None:
            chi2 = 2.0 * (self._maximum() - other._maximum())
            if chi2 < -1e-3:
                raise ValueError(
                    f"the log-likelihood of other is {other.log_likelihood:.10g}, above that of "
                    f"this larger model, {self.log_likelihood:.10g}: one of the fits has not "
                    "converged."
                )
            df = self.n_parameters - other.n_parameters
            return chi2_table([("other", max(chi2, 0.0), df)])
        if self.fit_intercept != other.fit_intercept:
            raise ValueError("with bias_reduction other must have intercepts as this model has.")
        rows = self._rows_for("likelihood-ratio tests of penalised likelihoods")
        return chi2_table([("other", *rows.ratio(missing))])

    def _maximum(self) -> float:
        """The log-likelihood at its maximum or limit, nearer than the fit where rows are known."""
        if self._rows is None:
            return self.log_likelihood
        return self._rows_for("likelihood-ratio tests").maximum

    def _largest(self) -> float:
        """The log-likelihood at its maximum, or its limit for separated classes; NaN if unknown."""
        if not self.notes:
            return self.log_likelihood
        return float("nan") if self._rows is None else self._rows.maximum

    def _criterion_likelihood(self, what: str) -> float:
        """The largest log-likelihood, or NaN with a warning that says why."""
        value = self._largest() if self._is_maximal else float("nan")
        if np.isnan(value):
            why = (
                "the coefficients are not optimal, and pickled results have no rows to maximise "
                "the likelihood of: call results.with_data"
                if self._is_maximal
                else "it needs the largest likelihood of free coefficients, which this fit does "
                "not look for: expected C=np.inf, and neither bounds nor bias_reduction, "
                "label_smoothing or partial_labels"
            )
            warnings.warn(f"{what} is NaN: {why}.", UserWarning, stacklevel=3)
        return value

    def _missing_from(self, other: InferenceResults) -> list[int]:
        """Positions in this model of the features that a model lacks which is nested in it."""
        if other.n_obs != self.n_obs or other.classes != self.classes:
            raise ValueError(
                "other must be of the same rows and classes: found "
                f"{other.n_obs:g} rows and the classes {other.classes}, here {self.n_obs:g} and "
                f"{self.classes}."
            )
        if (self._penalised_ratio is None) != (other._penalised_ratio is None):
            raise ValueError(
                "other must be a fit with bias_reduction where this one is, and only there: their "
                "likelihoods are not the same function."
            )
        assert self._sums is not None
        assert other._sums is not None
        ours, theirs = self._sums.names, other._sums.names
        unknown = [name for name in theirs if name not in ours]
        if other.fit_intercept and not (self.fit_intercept or self._constant is not None):
            unknown.append("Intercept")
        if unknown or other.n_parameters >= self.n_parameters:
            raise ValueError(
                f"other must be nested in this model: it has the columns {unknown} that this one "
                "has not, or no fewer."
            )
        ambiguous = sorted({name for name in theirs if ours.count(name) > 1})
        if ambiguous:
            raise ValueError(
                f"several features of this model are called {ambiguous}: rename them, so that "
                "those of other can be found."
            )
        if not other._sums.are_of_rows_of(self._sums):
            raise ValueError(
                "other must be of the same rows: its features, labels, weights or offsets have "
                "other sums than here."
            )
        return [j for j, name in enumerate(ours) if name not in theirs]

    def score_test(self, X: Any) -> pd.DataFrame:
        """Rao's score tests of features that the model has not.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples,) or (n_samples, n_features)
            The features, for the rows of the fit; a test for each, and one for all of them.

        Returns
        -------
        pandas.DataFrame
            A row for each test: chi2, df and p_value.

        Raises
        ------
        ValueError
            For other rows, features that depend on those of the model, or a penalised fit.
        """
        self._refuse_posterior("score tests")
        self._refuse_robust("score tests")
        if self._penalised_ratio is not None:
            raise ValueError(
                "score tests are for maximum-likelihood fits: with bias_reduction fit the larger "
                "model and use its likelihood_ratio_test."
            )
        X = native(X, "X")
        names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
        columns = to_host(X)
        columns = np.asarray(columns.toarray() if sp.issparse(columns) else columns, dtype=float)
        columns = columns[:, None] if columns.ndim == 1 else columns
        if not np.isfinite(columns).all():
            raise ValueError("X contains NaN or infinity; expected finite numbers.")
        names = _frames.default_names(columns.shape[1]).tolist() if names is None else names
        rows = self._rows_for("score tests")
        tests = [(name, *rows.score(columns[:, [j]])) for j, name in enumerate(names)]
        if len(names) > 1:
            tests.append((" + ".join(names), *rows.score(columns)))
        return chi2_table(tests)

    def marginal_effects(
        self,
        X: Any,
        at: Any = "overall",
        *,
        offset: Any = None,
        discrete: str | list[str] | tuple[str, ...] = (),
        sample_weight: Any = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Effects of the features on the probabilities, with delta-method standard errors.

        The probabilities are those of the classifier's `predict_proba`, with the intercepts after
        `prior_correction`. Standard errors take the correction and the offsets as known.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to average over; taken in blocks. Columns are matched as in `predict_proba`.
        at : {"overall", "mean"} or DataFrame, default="overall"
            Means of the effects of all rows, or effects at the mean row, whose offset is the mean
            of the offsets; or a table of rows to average over instead of X.
        offset : array-like, default=None
            Offsets of the rows as in `predict_proba`: those of `at` where this is a table.
        discrete : str or list of str, default=()
            Features whose effect is the difference between 1 and 0 instead of a derivative.
        sample_weight : float or array-like of shape (n_samples,), default=None
            Weights of the rows in the means. None gives the rows of the fit, in their order, the
            weights that they had there, the number of observations times `sample_weight`, and
            other rows equal weights; 1 gives all rows equal weights.
        level : float, default=0.95
            Of the intervals.

        Returns
        -------
        pandas.DataFrame
            A row for each class and feature: effect, std_err, z, p_value, lower and upper; z and
            p_value not for a posterior.

        Raises
        ------
        ValueError
            For unknown features in `discrete`, another `at`, and rows or offsets that
            `predict_proba` would not take.
        """
        if isinstance(at, str) and at not in ("overall", "mean"):
            raise ValueError(f"at must be 'overall', 'mean' or a DataFrame, found {at!r}.")
        names = self.columns[: len(self.columns) - self.has_intercept]
        discrete = [discrete] if isinstance(discrete, str) else list(discrete)
        unknown = [name for name in discrete if name not in names]
        if unknown:
            raise ValueError(f"discrete has {unknown}, no features of the model; expected {names}.")
        X = X if isinstance(at, str) else at
        at_mean = isinstance(at, str) and at == "mean"
        if is_dask(X):
            with forgetting_on_failure():
                effects, J, total = self._effects_over_chunks(
                    X, offset, sample_weight, discrete, at_mean=at_mean
                )
        else:
            rows, offset = self._delta.read(X, offset)
            weights = self._weights_of(rows, sample_weight)
            if at_mean:
                *sums, total = sums_of_rows(rows, offset, weights)
                rows, offset = means_of_sums(sums, total, offset is not None)
                weights = None
            effects, J, total = self._delta.effect_sums(rows, offset, weights, discrete)
        if not total > 0.0:
            raise ValueError("sample_weight has no positive number to average with.")
        errors = self._delta.errors(J / total)
        return _effects_table(effects / total, errors, self, names, level)

    def _effects_over_chunks(
        self, X: Any, offset: Any, sample_weight: Any, discrete: list[str], *, at_mean: bool
    ) -> tuple[Array, Array, Array]:
        """Sums over the rows of a Dask collection, as `effect_sums` gives them."""
        if sample_weight is None and self._weighed is not None:
            raise ValueError(_UNKNOWN_ROWS)
        arguments, delta = {"offset": offset, "sample_weight": sample_weight}, self._delta
        if at_mean:
            *sums, total = sums_over_chunks(delta.chunk_means, self._model.columns, X, arguments)
            rows, known = means_of_sums(sums, total, offset is not None)
            return delta.effect_sums(rows, known, None, discrete)
        function = partial(delta.chunk_effects, discrete)
        effects, J, total = sums_over_chunks(function, self._model.columns, X, arguments)
        return effects, J, total

    @property
    def _delta(self) -> DeltaMethod:
        """What computes functions of the probabilities, with their standard errors."""
        if self.n_columns is not None:
            raise ValueError("probabilities need all features: infer without features=.")
        assert self._standardised is not None
        return DeltaMethod(
            self._model,
            self._standardised,
            self._base[0],
            self.columns[: len(self.columns) - self.has_intercept],
            self._positions,
        )

    def predict_proba_interval(self, X: Any, level: float = 0.95, *, offset: Any = None) -> Any:
        """Probabilities with intervals, from the delta method for their log-odds.

        The probabilities are those of the classifier's `predict_proba`, with the intercepts after
        `prior_correction`. Intervals take the correction and the offsets as known.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; columns are matched as in `predict_proba`.
        level : float, default=0.95
            Of the intervals.
        offset : array-like, default=None
            Offsets of the rows as in `predict_proba`.

        Returns
        -------
        DataFrame
            A row for each of X, by class and probability, lower and upper; in the library of X,
            as `predict_proba_frame` gives, where names are class_probability and so on, or in
            pandas for arrays.

        Raises
        ------
        ValueError
            For rows or offsets that `predict_proba` would not take.
        """
        import pandas as pd

        normal_quantile(level)
        columns = pd.MultiIndex.from_product([self.classes, ["probability", "lower", "upper"]])
        if is_dask(X):
            function = partial(self._delta.intervals, level)
            names = ["_".join(map(str, column)) for column in columns]
            return frame_over_chunks(function, self._model.columns, names, X, offset)
        values = self._delta.intervals(level, X, offset)
        index = _frames.row_index(native(X, "X"))
        return in_library_of(X, pd.DataFrame(values, index=index, columns=columns))

    def _weights_of(self, rows: Any, sample_weight: Any) -> Array | None:
        """Weights of rows in a mean; None for equal ones."""
        if sample_weight is not None:
            return relative_to_largest(
                _validation.check_sample_weight(sample_weight, rows.shape[0])
            )
        if self._weighed is None or not self._weighed.is_of(rows):
            return None
        if not self._weighed.is_known:
            raise ValueError(_UNKNOWN_ROWS)
        rows_of_fit = self._rows_for("weights of the effects, unless sample_weight is given,")
        return relative_to_largest(rows_of_fit.observations)

    def _refuse_posterior(self, what: str) -> None:
        if not self.has_tests:
            raise ValueError(
                f"{what} are for fits without a penalty (C=np.inf) and without bootstrap: shrunken "
                "coefficients do not have the distributions that these tests rely on."
            )

    def _refuse_robust(self, what: str) -> None:
        if self.cov_type != "nonrobust":
            raise ValueError(
                f"{what} need cov_type='nonrobust' and frequency weights, found "
                f"cov_type={self.cov_type!r} and weights={self.weights!r}: where the likelihood is "
                "not that of independent rows from the model, use wald_test, which has the robust "
                "covariance."
            )

    def _refuse_pseudo_likelihood(self, what: str) -> None:
        if self.cov_type == "laplace":
            raise ValueError(
                f"{what} counts free coefficients, and those of a penalised fit are not free: "
                "expected a fit with C=np.inf."
            )
        if self.weights == "probability" or self.n_groups is not None:
            raise ValueError(
                f"{what} needs the likelihood of independent rows, which sampling weights and "
                "clusters do not have: compare nested models by wald_test."
            )

    def _terms(self, features: Any, with_intercept: bool = True) -> list[tuple[str, list[int]]]:
        """Names of tests, and the columns that each is of; each column where none are given."""
        if features is None:
            last = len(self.columns) - (self.has_intercept and not with_intercept)
            return [(self.columns[j], [j]) for j in range(last)]
        features = [features] if isinstance(features, str) else list(features)
        unnamed = [term for term in features if not isinstance(term, (str, list, tuple))]
        if unnamed:
            raise ValueError(
                f"features must be names, or lists of names of features that are tested together: "
                f"found {unnamed}; expected names among {self.columns}."
            )
        terms = [[term] if isinstance(term, str) else list(term) for term in features]
        if not terms or not all(terms):
            raise ValueError(f"features must name features of the model, found {features}.")
        found = []
        for term in terms:
            positions = list(dict.fromkeys(self._position(name) for name in term))
            if not with_intercept and self.has_intercept and len(self.columns) - 1 in positions:
                raise ValueError("['Intercept'] are no features of the model.")
            found.append((" + ".join(map(str, term)), positions))
        return found

    def _position(self, name: str) -> int:
        if name not in self.columns:
            raise ValueError(
                f"{name!r} is no feature of the model; expected one of {self.columns}."
            )
        if self.columns.count(name) > 1:
            raise ValueError(
                f"{self.columns.count(name)} columns are called {name!r}: rename the features, or "
                "leave features out, which gives all columns in their order."
            )
        return self.columns.index(name)

    def _in_model(self, positions: list[int]) -> list[int]:
        """Positions among all columns of the model."""
        return positions if self._chosen is None else [int(self._chosen[j]) for j in positions]

    def _key_figures(self) -> list[tuple[str, str]]:
        is_symmetric = len(self.rows) == len(self.classes)
        reference = "mean of all classes" if is_symmetric else self.reference
        what = {
            "nonrobust": "inverse Fisher information",
            "laplace": "Laplace approximation of the posterior under the ridge",
            "bootstrap": f"bootstrap, {len(self.replicates) if self.replicates is not None else 0}",
        }.get(self.cov_type, f"robust, {self.cov_type}")
        figures = [
            ("Observations", f"{self.n_obs:g}"),
            ("Classes", ", ".join(map(str, self.classes))),
            ("Reference", str(reference)),
            ("Log-likelihood", f"{self.log_likelihood:.6g}"),
            ("Null log-likelihood", f"{self.null_log_likelihood:.6g}"),
            ("McFadden R²", f"{self.mcfadden_r2:.4f}"),
            ("Covariance", what),
            ("Optimality gap", shown_bound(self.optimality_gap)),
        ]
        if self.has_tests:
            figures[6:6] = [
                ("Degrees of freedom", f"{self.df_model} (residual {self.df_resid:g})"),
                self._test_of_all(),
            ]
            is_known = self.weights == "frequency" and self.n_groups is None
            if is_known and not np.isnan(self._largest()):
                figures[8:8] = [("AIC, BIC", f"{self.aic:.6g}, {self.bic:.6g}")]
        if self.n_groups is not None:
            figures.append(("Clusters", str(self.n_groups)))
        told = [f"{n} {what}" for what, n in (self.replicate_counts or {}).items() if n]
        if told:
            figures.append(("Bootstrap samples", ", ".join(told)))
        if self.notes:  # a good fit by these figures would be none
            figures = [figure for figure in figures if figure[0] != "McFadden R²"]
            figures[:0] = [("Warning", note) for note in self.notes]
        if self.aliased:
            names = ", ".join(self.aliased)
            count = f"{len(self.aliased)} not defined because of singularities"
            figures.append(("Aliased features", f"{names} ({count})"))
        return figures

    def _test_of_all(self) -> tuple[str, str]:
        """The test against the null model that is valid for this covariance."""
        df = self.df_model
        if self.cov_type == "nonrobust":
            name = "Likelihood ratio"
            if self._penalised_ratio is not None:
                chi2, name = self._penalised_ratio, "Penalised likelihood ratio"
            else:
                chi2 = 2.0 * (self._largest() - self.null_log_likelihood)
            if np.isnan(chi2):
                return name, "not available: the maximum of the likelihood is not known"
        else:
            name = "Wald test, all slopes"
            theta, V = self._base
            width = len(self.columns)
            of_class = np.asarray(np.eye(width - self.has_intercept, width))
            if self._constant is not None:
                of_class = _covariance.complement(self._constant)
            A = np.kron(np.eye(len(theta)), of_class)
            try:
                chi2 = self._wald(A @ theta.ravel(), A @ V @ A.T)
            except _covariance.DeficientCovariance as error:
                found = f"rank {error.rank}{self._from_units()}"
                return name, f"not available: {df} restrictions, covariance of {found}"
        p = stats.chi2.sf(chi2, df) if df else np.nan
        return name, f"χ² = {chi2:.5g}, p = {p:.3g}"

    def __str__(self) -> str:
        figures = self._key_figures()
        width = max(len(name) for name, _ in figures) + 2
        head = "\n".join(f"{name:<{width}}{value}" for name, value in figures)
        with wide_tables():
            return f"{head}\n\n{self.summary().to_string(float_format=short_number)}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._key_figures()
        )
        return f"<table>{rows}</table>{self.summary().to_html(float_format=short_number)}"


def _effects_table(
    effects: Array, errors: Array, results: InferenceResults, names: list[str], level: float
) -> pd.DataFrame:
    import pandas as pd

    index = index_of(results.classes, names)
    effect, error = effects.ravel(), errors.ravel()
    table = {"effect": effect, "std_err": error}
    if results.has_tests:
        table |= z_tests(effect, error)
    half = normal_quantile(level) * error
    return pd.DataFrame(table | {"lower": effect - half, "upper": effect + half}, index=index)
