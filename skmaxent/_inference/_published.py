"""The content of tables of coefficients for publications, of one or several models side by side.

A row key identifies a row of such a table: a pair of a column's name and a number. The number is
how many earlier columns of the model have the same name, or -1 for the intercept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skmaxent._inference._covariance_names import covariance_name, interval_name
from skmaxent._inference._numbers import figure, fixed
from skmaxent._inference._results_coefficients import CoefficientMethods
from skmaxent._inference._table_formats import PublishedTable
from skmaxent._input._arguments import check_flag
from skmaxent._input._numbers import is_integer

# Levels of p-values with their stars: a p-value gets the stars of the first level above it.
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
LEGEND = "* p < 0.05, ** p < 0.01, *** p < 0.001."


def published_table(
    models: Sequence[CoefficientMethods],
    names: Sequence[str],
    *,
    exponentiate: bool,
    conf_level: float | None,
    stars: bool,
    decimals: int,
    notes: Sequence[str] = (),
) -> PublishedTable:
    """Return the table of some models side by side, with the outcomes of each as columns.

    Parameters
    ----------
    models : list of InferenceResults
    names : list of str
        Names of the models.
    exponentiate, conf_level, stars, decimals
        As in `InferenceResults.to_latex`.
    notes : list of str
        Further sentences below the table.
    """
    _check(models, stars, decimals)
    row_keys = _all_row_keys(models)
    cells = [
        outcome
        for model in models
        for outcome in _cells(model, exponentiate, conf_level, stars, int(decimals))
    ]
    blank = ("", "", "")
    body = [(key[0], [outcome.get(key, blank) for outcome in cells]) for key in row_keys]
    labels = [
        f"{name} (reference: {_reference(model)})"
        for name, model in zip(names, models, strict=True)
    ]
    sentences = [
        _meaning_of_numbers(models, exponentiate, conf_level),
        *_covariances(models, names),
        *([LEGEND] if stars else []),
    ]
    return PublishedTable(
        [(label, len(model.rows)) for label, model in zip(labels, models, strict=True)],
        [str(row) for model in models for row in model.rows],
        body,
        figures_of_models(models),
        [*sentences, *_cautions(models, names), *notes],
    )


def _check(models: Sequence[CoefficientMethods], stars: bool, decimals: int) -> None:
    """Raise ValueError for invalid `stars` or `decimals`, and for stars without p-values."""
    check_flag("stars", stars)
    untested = [model.cov_type for model in models if not model.has_tests]
    if stars and untested:
        raise ValueError(
            "stars stand for p-values, which results of penalised fits and bootstraps do not have; "
            f"expected stars=False, found cov_type={untested[0]!r}."
        )
    is_whole = is_integer(decimals) and not isinstance(decimals, bool)
    if not is_whole or not 0 <= decimals <= 15:
        raise ValueError(f"decimals must be an integer from 0 to 15, found {decimals!r}.")


def _row_keys(model: CoefficientMethods) -> list[tuple[str, int]]:
    """Return the row key of each column of a model."""
    seen: dict[str, int] = {}
    row_keys = []
    for j, name in enumerate(model.columns):
        # A feature may have the name "Intercept" too.
        is_intercept = model.has_intercept and j == len(model.columns) - 1
        n = -1 if is_intercept else seen.get(name, 0)
        seen[name] = seen.get(name, 0) + 1
        row_keys.append((name, n))
    return row_keys


def _all_row_keys(models: Sequence[CoefficientMethods]) -> list[tuple[str, int]]:
    """Return the row keys of all models in the order of first occurrence, the intercept last."""
    found = dict.fromkeys(key for model in models for key in _row_keys(model))
    return sorted(found, key=lambda key: key[1] < 0)


def _cells(
    model: CoefficientMethods,
    exponentiate: bool,
    conf_level: float | None,
    stars: bool,
    decimals: int,
) -> list[dict[tuple[str, int], tuple[str, str, str]]]:
    """Return the cells of each outcome of a model, by the row keys of the columns.

    A cell is a tuple of the estimate, its stars, and the standard error or interval, all as text.
    """
    table = model.summary(0.95 if conf_level is None else conf_level, exponentiate=exponentiate)
    estimates = table.iloc[:, 0].to_numpy()
    below = [f"({fixed(value, decimals)})" for value in table["std_err"]]
    if conf_level is not None:
        ends = zip(table["lower"], table["upper"], strict=True)
        below = [f"[{fixed(low, decimals)}, {fixed(high, decimals)}]" for low, high in ends]
    marks = [_stars(p) for p in table["p_value"]] if stars else [""] * len(table)
    texts = [fixed(value, decimals) for value in estimates]
    cells = list(zip(texts, marks, below, strict=True))
    row_keys, width = _row_keys(model), len(model.columns)
    return [
        dict(zip(row_keys, cells[k * width : (k + 1) * width], strict=True))
        for k in range(len(model.rows))
    ]


def _stars(p: float) -> str:
    """Return the stars of a p-value."""
    return next((mark for level, mark in STARS if p < level), "")


def _reference(model: CoefficientMethods) -> str:
    """Return what the coefficients of a model are compared with, as text."""
    return "mean of all classes" if model._is_symmetric else str(model.reference)


def figures_of_models(models: Sequence[CoefficientMethods]) -> list[tuple[str, list[str]]]:
    """Return the figures below a table: pairs of a label and a text for each model.

    They are observations, log-likelihood, AIC, BIC and pseudo R². The text is empty if a model does
    not have the figure.
    """
    criteria = [_criteria(model) for model in models]
    return [
        ("Observations", [figure(model.n_obs) for model in models]),
        ("Log-likelihood", [f"{model.log_likelihood:.2f}" for model in models]),
        ("AIC", [aic for aic, _ in criteria]),
        ("BIC", [bic for _, bic in criteria]),
        ("McFadden R²", ["" if m.notes else f"{m.mcfadden_r2:z.4f}" for m in models]),
        ("Nagelkerke R²", [_nagelkerke_r2(model) for model in models]),
    ]


def _nagelkerke_r2(model: CoefficientMethods) -> str:
    """Return Nagelkerke's R² as text, empty for sampling weights and far from the optimum."""
    if model.notes or model.weights == "probability":
        return ""
    return f"{model.nagelkerke_r2:z.4f}"


def _criteria(model: CoefficientMethods) -> tuple[str, str]:
    """Return AIC and BIC as text, empty if they do not exist."""
    if not model._has_criteria:
        return "", ""
    return f"{model.aic:.2f}", f"{model.bic:.2f}"


def _meaning_of_numbers(
    models: Sequence[CoefficientMethods], exponentiate: bool, conf_level: float | None
) -> str:
    """Return the sentence that says what the numbers in the cells are."""
    what = "Coefficients"
    if exponentiate:
        kinds = {model._ratio.replace("_", " ") for model in models}
        what = " and ".join(sorted(f"{kind}s" for kind in kinds)).capitalize()
    if conf_level is None:
        return f"{what} with standard errors in parentheses."
    names = dict.fromkeys(
        interval_name(model.cov_type, conf_level, model._distribution) for model in models
    )
    return f"{what} with {' and '.join(names)} in brackets."


def _covariances(models: Sequence[CoefficientMethods], names: Sequence[str]) -> list[str]:
    """Return a sentence on the covariance of each model, or one if all have the same kind."""
    found = [covariance_name(model) for model in models]
    if len(set(found)) == 1:
        return [f"Covariance: {found[0]}."]
    return [f"Covariance of {name}: {kind}." for name, kind in zip(names, found, strict=True)]


def _cautions(models: Sequence[CoefficientMethods], names: Sequence[str]) -> list[str]:
    """Return the notes and cautions of the models, and the features without coefficients.

    Each sentence begins with the name of its model if there are several models.
    """
    prefixes = [("" if len(models) == 1 else f"{name}: ") for name in names]
    notes = [
        f"{prefix}{note}"
        for prefix, model in zip(prefixes, models, strict=True)
        for note in model.notes + model.cautions
    ]
    for prefix, model in zip(prefixes, models, strict=True):
        if model.aliased:
            left_out = ", ".join(model.aliased)
            notes.append(f"{prefix}Not defined because of singularities: {left_out}.")
    return notes


def difference_of_data(models: Sequence[CoefficientMethods], names: Sequence[str]) -> str | None:
    """Return a sentence that says how the data of the models differ, or None if nothing shows it.

    `names` are those of the models.
    """
    found = {
        "observations": [f"{model.n_obs:.10g}" for model in models],
        "classes": [", ".join(map(str, model.classes)) for model in models],
        "meaning of the weights": [model.weights for model in models],
    }
    losses = np.array([model.null_log_likelihood for model in models])
    if np.ptp(losses) > 1e-6 * np.abs(losses).max():
        found["null log-likelihood"] = [f"{value:.10g}" for value in losses]
    differing = [
        f"{what}: "
        + ", ".join(f"{value} ({name})" for value, name in zip(values, names, strict=True))
        for what, values in found.items()
        if len(set(values)) > 1
    ]
    if not differing:
        return None
    return (
        "These results are not of the same data, so that their log-likelihoods, AIC and BIC cannot "
        f"be compared. They differ in {'; '.join(differing)}."
    )
