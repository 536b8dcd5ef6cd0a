"""InferenceResults: estimates with their uncertainty, as tables with names."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from skmaxent import _frames, _inference
from skmaxent._interchange import in_library_of, native
from skmaxent._place import to_host
from skmaxent._softmax import softmax

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

ROWS = 4096


class Rows(Protocol):
    """The rows of a fit, for tests that need them again."""

    def without(self, names: list[str]) -> tuple[float, int]:
        """log-likelihood and number of coefficients of the model without some features."""

    def score(self, columns: Array) -> tuple[float, int]:
        """Rao's statistic for features that the model has not, and its degrees of freedom."""

    def profile(self, index: int, quantile: float) -> tuple[float, float]:
        """Interval for the reported coefficient with that position."""


@dataclass(frozen=True)
class InferenceResults:
    """Coefficients with standard errors, and tests.

    It is made by `MaxentClassifier.infer`.

    Attributes
    ----------
    coef : ndarray of shape (n_rows, n_columns)
        Coefficients of each class against the reference, the intercept last; with symmetric coding
        against the mean of all classes.
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
        At the coefficients, and of the model with intercepts alone.
    n_groups : int or None
        Clusters.
    optimality_gap : float
        The fit's; see `MaxentClassifier`.
    replicates : ndarray of shape (n_bootstrap, n_rows, n_columns) or None
        Coefficients of the bootstrap samples.
    n_columns : int or None
        Columns of the model where these are some of them, else None.

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
    _base: tuple[Array, Array] = field(repr=False)
    _rows: Rows = field(repr=False)
    replicates: Array | None = field(default=None, repr=False)
    n_columns: int | None = None

    @property
    def std_errors(self) -> Array:
        """Standard errors, in the shape of `coef`."""
        return np.asarray(np.sqrt(self.covariance.diagonal()).reshape(self.coef.shape))

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
        return bool(self.columns) and self.columns[-1] == "Intercept"

    @property
    def df_model(self) -> int:
        """Free coefficients besides the intercepts."""
        return self.n_parameters - (len(self.classes) - 1) * self.has_intercept

    @property
    def df_resid(self) -> float:
        """Observations less free coefficients."""
        return self.n_obs - self.n_parameters

    @property
    def aic(self) -> float:
        """Akaike's information criterion, -2 log L + 2 p."""
        return -2.0 * self.log_likelihood + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's information criterion, -2 log L + p log n."""
        return -2.0 * self.log_likelihood + self.n_parameters * float(np.log(self.n_obs))

    @property
    def mcfadden_r2(self) -> float:
        """1 - log L / log L of the null model."""
        return 1.0 - self.log_likelihood / self.null_log_likelihood

    def _index(self) -> pd.MultiIndex:
        return _index_of(self.rows, self.columns)

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

        half = _quantile(level) * self.std_errors
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
        quantile = _quantile(level)
        terms = [name for term in self._terms(features) for name in term]
        positions = sorted(self._position(name) for name in terms)
        width = len(self.columns)
        chosen = [row * width + j for row in range(len(self.rows)) for j in positions]
        ends = [self._rows.profile(index, quantile) for index in chosen]
        return pd.DataFrame(ends, index=self._index()[chosen], columns=["lower", "upper"])

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
            table |= _z_tests(estimate, error)
        frame = pd.DataFrame(table, index=self._index()).join(self.conf_int(level))
        with np.errstate(over="ignore"):
            frame["relative_risk_ratio"] = np.exp(estimate)
        if adjust is not None:
            if not self.has_tests:
                raise ValueError("adjust is for p-values, which a penalised fit does not have.")
            slopes = frame.index.get_level_values("feature") != "Intercept"
            frame["p_adjusted"] = np.nan
            frame.loc[slopes, "p_adjusted"] = _adjusted(frame["p_value"][slopes], adjust)
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
        tests = {}
        for term in self._terms(features):
            at = [self._position(name) for name in term]
            index = (np.arange(len(theta))[:, None] * width + at).ravel()
            x = theta.ravel()[index]
            tests[" + ".join(term)] = (
                float(x @ np.linalg.solve(V[np.ix_(index, index)], x)),
                len(index),
            )
        return _chi2_table(tests)

    def likelihood_ratio_test(
        self, other: InferenceResults | None = None, features: Any = None
    ) -> pd.DataFrame:
        """Likelihood-ratio tests against smaller models.

        Parameters
        ----------
        other : InferenceResults, default=None
            Results of a nested model on the same rows. None refits without each of `features`.
        features : str or list of str, default=None
            Where `other` is None: terms to leave out, as in `wald_test`.

        Returns
        -------
        pandas.DataFrame
            A row for each test: chi2, df and p_value.

        Raises
        ------
        ValueError
            Where the other model is not smaller, has other rows, or either is penalised.
        """
        self._refuse_posterior("likelihood-ratio tests")
        if other is None:
            tests = {}
            for term in self._terms(features, with_intercept=False):
                log_likelihood, n_parameters = self._rows.without(term)
                tests[" + ".join(term)] = (
                    2.0 * (self.log_likelihood - log_likelihood),
                    self.n_parameters - n_parameters,
                )
            return _chi2_table(tests)
        other._refuse_posterior("likelihood-ratio tests")
        if other.n_obs != self.n_obs or other.classes != self.classes:
            raise ValueError(
                "other must be of the same rows and classes: found "
                f"{other.n_obs:g} rows and the classes {other.classes}, here {self.n_obs:g} and "
                f"{self.classes}."
            )
        df = self.n_parameters - other.n_parameters
        if df <= 0 or not set(other.columns) <= set(self.columns):
            raise ValueError(
                "other must be nested in this model: it has the columns "
                f"{[c for c in other.columns if c not in self.columns]} that this one has not, or "
                "no fewer."
            )
        return _chi2_table({"other": (2.0 * (self.log_likelihood - other.log_likelihood), df)})

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
        X = native(X, "X")
        names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
        columns = np.asarray(to_host(X), dtype=float)
        columns = columns[:, None] if columns.ndim == 1 else columns
        names = _frames.default_names(columns.shape[1]).tolist() if names is None else names
        tests = {name: self._rows.score(columns[:, [j]]) for j, name in enumerate(names)}
        if len(names) > 1:
            tests[" + ".join(names)] = self._rows.score(columns)
        return _chi2_table(tests)

    def marginal_effects(
        self,
        X: Any,
        at: Any = "overall",
        *,
        discrete: list[str] | tuple[str, ...] = (),
        sample_weight: Any = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Effects of the features on the probabilities, with delta-method standard errors.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to average over; taken in blocks.
        at : {"overall", "mean"} or DataFrame, default="overall"
            Means of the effects of all rows, or effects at the mean row or at the rows of a table.
        discrete : list of str, default=()
            Features whose effect is the difference between 1 and 0 instead of a derivative.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the means.
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
            For unknown features in `discrete`, or another `at`.
        """
        X = native(X, "X")
        names = self.columns[: len(self.columns) - self.has_intercept]
        positions = [self._position(name) for name in discrete]
        X, sample_weight = to_host(X), to_host(sample_weight)
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=float)
        if isinstance(at, str) and at == "mean":
            X = np.average(_dense(X, 0, X.shape[0]), axis=0, weights=weights)[None]
            weights = None
        elif not isinstance(at, str):
            X, weights = native(at, "at"), None
        elif at != "overall":
            raise ValueError(f"at must be 'overall', 'mean' or a DataFrame, found {at!r}.")
        K, d, width = len(self.classes), len(names), len(self.columns)
        coef = self._all_coef()
        effects, J = np.zeros((K, d)), np.zeros((K, d, K, width))
        total = 0.0
        for start in range(0, X.shape[0], ROWS):
            rows = _dense(X, start, start + ROWS)
            w = None if weights is None else weights[start : start + ROWS]
            total += len(rows) if w is None else float(w.sum())
            Z = self._with_ones(rows)
            effect, slope = _inference.effect_sums(softmax(Z @ coef.T), Z, coef[:, :d], w)
            for j in positions:
                high, low = Z.copy(), Z.copy()
                high[:, j], low[:, j] = 1.0, 0.0
                ends = [
                    _inference.probability_sums(softmax(end @ coef.T), end, w)
                    for end in (high, low)
                ]
                effect[:, j] = ends[0][0] - ends[1][0]
                slope[:, j] = ends[0][1] - ends[1][1]
            effects += effect
            J += slope
        J = J[:, :, self._free()].reshape(K * d, -1) / total
        V = self._base[1]
        errors = np.sqrt(np.einsum("ab,bc,ac->a", J, V, J)).reshape(K, d)
        return _effects_table(effects / total, errors, self, names, level)

    def predict_proba_interval(self, X: Any, level: float = 0.95) -> Any:
        """Probabilities with intervals, from the delta method for their log-odds.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        level : float, default=0.95
            Of the intervals.

        Returns
        -------
        DataFrame
            A row for each of X, by class and probability, lower and upper; in the library of X,
            as `predict_proba_frame` gives, where names are class_probability and so on, or in
            pandas for arrays.
        """
        import pandas as pd

        given, X = X, native(X, "X")
        quantile, coef, V = _quantile(level), self._all_coef(), self._base[1]
        X, parts = to_host(X), []
        for start in range(0, X.shape[0], ROWS):
            Z = self._with_ones(_dense(X, start, start + ROWS))
            P = softmax(Z @ coef.T)
            part = np.empty((len(Z), len(self.classes), 3))
            for k in range(len(self.classes)):
                slopes = (np.arange(len(self.classes)) == k) - P
                slopes = slopes[:, self._free()] / (1.0 - P[:, k])[:, None].clip(1e-300)
                G = (slopes[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)
                half = quantile * np.sqrt(np.einsum("ij,ij->i", G @ V, G))
                log_odds = np.log(P[:, k].clip(1e-300)) - np.log1p(-P[:, k].clip(0, 1 - 1e-16))
                part[:, k, 0] = P[:, k]
                part[:, k, 1], part[:, k, 2] = expit(log_odds - half), expit(log_odds + half)
            parts.append(part)
        columns = pd.MultiIndex.from_product([self.classes, ["probability", "lower", "upper"]])
        values = np.concatenate(parts).reshape(X.shape[0], -1)
        table = pd.DataFrame(values, index=_frames.row_index(X), columns=columns)
        return in_library_of(given, table)

    def _free(self) -> list[int]:
        """Classes whose coefficients are not fixed at zero in `_base`."""
        K = len(self.classes)
        return [1] if K == 2 else list(range(K - 1))

    def _all_coef(self) -> Array:
        coef = np.zeros((len(self.classes), len(self.columns)))
        coef[self._free()] = self._base[0]
        return coef

    def _with_ones(self, rows: Array) -> Array:
        if self.n_columns is not None:
            raise ValueError("probabilities need all features: infer without features=.")
        d = len(self.columns) - self.has_intercept
        if rows.shape[1] != d:
            raise ValueError(f"X has {rows.shape[1]} features, expected {d}.")
        return np.column_stack([rows, np.ones(len(rows))]) if self.has_intercept else rows

    def _refuse_posterior(self, what: str) -> None:
        if not self.has_tests:
            raise ValueError(
                f"{what} are for fits without a penalty (C=np.inf) and without bootstrap: shrunken "
                "coefficients do not have the distributions that these tests rely on."
            )

    def _terms(self, features: Any, with_intercept: bool = True) -> list[list[str]]:
        if features is None:
            features = [name for name in self.columns if with_intercept or name != "Intercept"]
        features = [features] if isinstance(features, str) else list(features)
        return [[term] if isinstance(term, str) else list(term) for term in features]

    def _position(self, name: str) -> int:
        if name not in self.columns:
            raise ValueError(
                f"{name!r} is no feature of the model; expected one of {self.columns}."
            )
        return self.columns.index(name)

    def _key_figures(self) -> list[tuple[str, str]]:
        reference = "mean of all classes" if self.reference == "symmetric" else self.reference
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
            ("Optimality gap", _bound(self.optimality_gap)),
        ]
        if self.has_tests:
            chi2 = 2.0 * (self.log_likelihood - self.null_log_likelihood)
            p = stats.chi2.sf(chi2, max(self.df_model, 1))
            figures[6:6] = [
                ("Degrees of freedom", f"{self.df_model} (residual {self.df_resid:g})"),
                ("Likelihood ratio", f"χ² = {chi2:.5g}, p = {p:.3g}"),
                ("AIC, BIC", f"{self.aic:.6g}, {self.bic:.6g}"),
            ]
        if self.n_groups is not None:
            figures.append(("Clusters", str(self.n_groups)))
        return figures

    def __str__(self) -> str:
        figures = self._key_figures()
        width = max(len(name) for name, _ in figures) + 2
        head = "\n".join(f"{name:<{width}}{value}" for name, value in figures)
        with _wide():
            return f"{head}\n\n{self.summary().to_string(float_format=_short)}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._key_figures()
        )
        return f"<table>{rows}</table>{self.summary().to_html(float_format=_short)}"


def _dense(X: Any, start: int, stop: int) -> Array:
    if hasattr(X, "iloc"):
        return np.asarray(X.iloc[start:stop], dtype=float)
    rows = X[start:stop]
    return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=float)


def _index_of(labels: list[Any], names: list[str]) -> pd.MultiIndex:
    import pandas as pd

    return pd.MultiIndex.from_product([labels, names], names=["class", "feature"])


def _z_tests(estimate: Array, error: Array) -> dict[str, Array]:
    z = estimate / error
    return {"z": z, "p_value": 2.0 * stats.norm.sf(np.abs(z))}


def _effects_table(
    effects: Array, errors: Array, results: InferenceResults, names: list[str], level: float
) -> pd.DataFrame:
    import pandas as pd

    index = _index_of(results.classes, names)
    effect, error = effects.ravel(), errors.ravel()
    table = {"effect": effect, "std_err": error}
    if results.has_tests:
        table |= _z_tests(effect, error)
    half = _quantile(level) * error
    return pd.DataFrame(table | {"lower": effect - half, "upper": effect + half}, index=index)


def _bound(gap: float) -> str:
    return "not bounded" if np.isnan(gap) else f"below {max(gap, 1e-16):.1g}"


def _short(value: float) -> str:
    return f"{value:.4g}"


def _wide() -> Any:
    import pandas as pd

    return pd.option_context("display.width", None, "display.max_rows", None)


def _quantile(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, found {level}.")
    return float(stats.norm.ppf(0.5 + 0.5 * level))


def _chi2_table(tests: dict[str, tuple[float, int]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame.from_dict(tests, orient="index", columns=["chi2", "df"])
    frame.index.name = "term"
    frame["p_value"] = stats.chi2.sf(frame["chi2"], frame["df"])
    return frame


def _adjusted(p_values: Any, method: str) -> Array:
    try:
        from statsmodels.stats.multitest import multipletests
    except ImportError as error:
        raise ImportError("adjust needs statsmodels: pip install statsmodels.") from error
    return np.asarray(multipletests(p_values, method=method)[1])


def symmetric_or_reference(reference: Any, classes: Array) -> tuple[Any, int | None]:
    """What to report, and its position; None is the first class."""
    if isinstance(reference, str) and reference == "symmetric":
        return "symmetric", None
    reference = classes[0] if reference is None else reference
    found = np.flatnonzero(classes == reference)
    if not len(found):
        raise ValueError(
            f"reference is {reference!r}; expected 'symmetric' or one of {classes.tolist()}."
        )
    return classes[found[0]], int(found[0])
