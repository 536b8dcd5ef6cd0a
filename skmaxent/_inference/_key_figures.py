"""The figures at the top of printed results."""

from __future__ import annotations

import html
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from skmaxent._inference import _covariance
from skmaxent._inference._covariance_names import covariance_name, interval_name
from skmaxent._inference._fitted_likelihood import FittedLikelihood
from skmaxent._inference._numbers import figure, shortened
from skmaxent._inference._printed import MOST_CHARACTERS, html_table, text_table
from skmaxent._inference._results_coefficients import CoefficientMethods
from skmaxent._inference._tables import shown_bound
from skmaxent._inference._wald_tests import WaldTests
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# Pairs of a name and a value, both as text.
Figures = list[tuple[str, str]]
# Largest number of classes whose labels are printed.
MOST_CLASSES = 20
# The level of the intervals that are printed.
CONF_LEVEL = 0.95
# Longer lines above the table, such as the names of many classes, are wrapped.
MOST_LINE_CHARACTERS = 100


def key_figures(
    results: CoefficientMethods, overall_test: tuple[str, str] | None, has_criteria: bool
) -> Figures:
    """Return the lines above a printed table as pairs of a name and a value, in their order.

    Parameters
    ----------
    results : InferenceResults
        Only public attributes are read.
    overall_test : (str, str) or None
        Name and result of the test against the null model; None for results without tests, and for
        the null model itself.
    has_criteria : bool
        Whether AIC and BIC exist.
    """
    is_symmetric = len(results.rows) == len(results.classes)
    figures = [
        ("Observations", figure(results.n_obs)),
        ("Classes", _in_one_line(results.classes)),
        ("Reference", "mean of all classes" if is_symmetric else _in_one_line([results.reference])),
        ("Log-likelihood", figure(results.log_likelihood)),
        ("Null log-likelihood", figure(results.null_log_likelihood)),
    ]
    if results.notes:
        figures[:0] = [("Warning", note) for note in results.notes]
    else:  # a large R² would mislead where a note warns, for instance of separated classes
        figures.append(("McFadden R²", f"{results.mcfadden_r2:z.4f}"))
    figures[:0] = [("Caution", caution) for caution in results.cautions]
    if results.has_tests:
        df = f"{results.df_model} (residual {figure(results.df_resid)})"
        figures.append(("Degrees of freedom", df))
    if overall_test is not None:
        figures.append(overall_test)
    if has_criteria:
        figures.append(("AIC, BIC", f"{figure(results.aic)}, {figure(results.bic)}"))
    figures += [
        ("Covariance", covariance_name(results)),
        ("Intervals", interval_name(results.cov_type, CONF_LEVEL, results._distribution)),
        ("Optimality gap", shown_bound(results.optimality_gap)),
    ]
    if results.n_groups is not None:
        figures.append(("Clusters", str(results.n_groups)))
    counts = [f"{n} {what}" for what, n in (results.replicate_counts or {}).items() if n]
    if counts:
        figures.append(("Bootstrap samples", ", ".join(counts)))
    if results.aliased:
        names = ", ".join(results.aliased)
        count = f"{len(results.aliased)} not defined because of singularities"
        figures.append(("Aliased features", f"{names} ({count})"))
    return figures


def _in_one_line(labels: list[Any]) -> str:
    """Return labels separated by commas; if there are many, the first ones and their number."""
    shown = [shortened(str(label), MOST_CHARACTERS) for label in labels[:MOST_CLASSES]]
    more = f", … ({len(labels)} classes)" if len(labels) > MOST_CLASSES else ""
    return ", ".join(shown) + more


def likelihood_ratio_to_null(likelihood: FittedLikelihood, df: int) -> tuple[str, str]:
    """Return the name and the printed result of the likelihood-ratio test against the null model.

    `df` are its degrees of freedom, the number of slopes.
    """
    name, chi2 = likelihood.ratio_to_null()
    if np.isnan(chi2):
        return name, "not available: the maximum of the likelihood is not known"
    return name, _chi2_text(chi2, df)


def wald_test_of_slopes(
    tests: WaldTests, df: int, has_intercept: bool, constant: Array | None
) -> tuple[str, str]:
    """Return the name and the printed result of the Wald test that all slopes are zero.

    Parameters
    ----------
    tests : WaldTests
        Has the coefficients and their covariance.
    df : int
        Degrees of freedom, for the p-value.
    has_intercept : bool
        Whether the last column of the coefficients is that of the intercepts.
    constant : ndarray of shape (n_columns,) or None
        Weights of a combination of columns that is constant over the rows and takes the place of
        the intercept, in a model without intercepts; None if there is none.
    """
    name = "Wald test, all slopes"
    n_rows, width = tests.coef.shape
    slopes = np.asarray(np.eye(width - has_intercept, width))
    if constant is not None:
        slopes = _covariance.complement(constant)
    try:
        A = np.kron(np.eye(n_rows), slopes)
        chi2 = tests.of_restrictions(A)
    except _covariance.DeficientCovariance as error:
        found = f"rank {error.rank}{tests.from_clusters}"
        return name, f"not available: {df} restrictions, covariance of {found}"
    if tests.distribution.is_normal:
        return name, _chi2_text(chi2, df)
    F, _, df_denom = tests.f_test(chi2, df, A)
    p = stats.f.sf(F, df, df_denom)
    return name, f"F({df}, {df_denom:.4g}) = {F:.5g}, p = {p:.3g}"


def _chi2_text(chi2: float, df: int) -> str:
    """Return a chi-squared statistic and its p-value as text."""
    return f"χ² = {chi2:.5g}, p = {stats.chi2.sf(chi2, df):.3g}"


def as_text(figures: Figures, table: pd.DataFrame) -> str:
    """Return the text of printed results: the figures, then the table of coefficients."""
    width = max(len(name) for name, _ in figures) + 2
    wrapper = textwrap.TextWrapper(
        MOST_LINE_CHARACTERS,
        subsequent_indent=" " * width,
        break_long_words=False,
        break_on_hyphens=False,
    )
    head = "\n".join(wrapper.fill(f"{name:<{width}}{value}") for name, value in figures)
    return f"{head}\n\n{text_table(table, CONF_LEVEL)}"


def as_html(figures: Figures, table: pd.DataFrame) -> str:
    """Return the HTML of printed results: a table of the figures, then one of the coefficients."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in figures
    )
    return f"<table>{rows}</table>{html_table(table, CONF_LEVEL)}"
