"""Tables of one or several models for publications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmaxent._inference._covariance_names import covariance_name, interval_name
from skmaxent._inference._numbers import fixed
from skmaxent._inference._results_coefficients import CoefficientMethods
from skmaxent._inference._table_formats import PublishedTable

# P-values below these have so many stars.
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
    """The table of some models side by side.

    Parameters
    ----------
    models : list of InferenceResults
    names : list of str
        Of the models.
    exponentiate, conf_level, stars, decimals
        As in `InferenceResults.to_latex`.
    notes : list of str
        Further sentences below the table.
    """
    _check(models, stars, decimals)
    features = _in_order([(name, j) for name, j in _places(model)] for model in models)
    cells = [_cells(model, exponentiate, conf_level, stars, decimals) for model in models]
    blank = ("", "", "")
    body = [
        (place[0], [of_row.get(place, blank) for of_model in cells for of_row in of_model])
        for place in features
    ]
    labels = [
        f"{name} (reference: {_reference(model)})"
        for name, model in zip(names, models, strict=True)
    ]
    sentences = [_contents(models, exponentiate, conf_level), *_covariances(models, names)]
    sentences += [LEGEND] if stars else []
    return PublishedTable(
        [(label, len(model.rows)) for label, model in zip(labels, models, strict=True)],
        [str(row) for model in models for row in model.rows],
        body,
        figures_of_models(models),
        [*sentences, *_warnings(models, names), *notes],
    )


def _check(models: Sequence[CoefficientMethods], stars: bool, decimals: int) -> None:
    """Raise ValueError for stars without tests, and for impossible decimals."""
    untested = [model.cov_type for model in models if not model.has_tests]
    if stars and untested:
        raise ValueError(
            "stars stand for p-values, which results of penalised fits and bootstraps do not have; "
            f"expected stars=False, found cov_type={untested[0]!r}."
        )
    if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= 15:
        raise ValueError(f"decimals must be an integer from 0 to 15, found {decimals!r}.")


def _places(model: CoefficientMethods) -> list[tuple[str, int]]:
    """Return each column's name with the number of earlier columns of the same name."""
    seen: dict[str, int] = {}
    places = []
    for j, name in enumerate(model.columns):
        # A feature may be called as the intercept is.
        is_intercept = model.has_intercept and j == len(model.columns) - 1
        n = -1 if is_intercept else seen.get(name, 0)
        seen[name] = seen.get(name, 0) + 1
        places.append((name, n))
    return places


def _in_order(lists: Any) -> list[tuple[str, int]]:
    """Return all columns of the models in the order of first occurrence, intercepts last."""
    found = list(dict.fromkeys(place for places in lists for place in places))
    return sorted(found, key=lambda place: place[1] < 0)


def _cells(
    model: CoefficientMethods,
    exponentiate: bool,
    conf_level: float | None,
    stars: bool,
    decimals: int,
) -> list[dict[tuple[str, int], tuple[str, str, str]]]:
    """Return the cells of each row of coefficients."""
    table = model.summary(0.95 if conf_level is None else conf_level, exponentiate=exponentiate)
    estimates = table.iloc[:, 0].to_numpy()
    below = [f"({fixed(value, decimals)})" for value in table["std_err"]]
    if conf_level is not None:
        ends = zip(table["lower"], table["upper"], strict=True)
        below = [f"[{fixed(low, decimals)}, {fixed(high, decimals)}]" for low, high in ends]
    marks = [_stars(p) for p in table["p_value"]] if stars else [""] * len(table)
    texts = [fixed(value, decimals) for value in estimates]
    cells = list(zip(texts, marks, below, strict=True))
    places, width = _places(model), len(model.columns)
    return [
        dict(zip(places, cells[k * width : (k + 1) * width], strict=True))
        for k in range(len(model.rows))
    ]


def _stars(p: float) -> str:
    """Return the stars of a p-value."""
    return next((mark for level, mark in STARS if p < level), "")


def _reference(model: CoefficientMethods) -> str:
    """Return the reference class of a model as text."""
    is_symmetric = len(model.rows) == len(model.classes)
    return "mean of all classes" if is_symmetric else str(model.reference)


def figures_of_models(models: Sequence[CoefficientMethods]) -> list[tuple[str, list[str]]]:
    """Return the observations, likelihoods, criteria and McFadden's R² of each model."""
    criteria = [_criteria(model) for model in models]
    return [
        ("Observations", [f"{model.n_obs:g}" for model in models]),
        ("Log-likelihood", [f"{model.log_likelihood:.2f}" for model in models]),
        ("AIC", [aic for aic, _ in criteria]),
        ("BIC", [bic for _, bic in criteria]),
        ("McFadden R²", ["" if m.notes else f"{m.mcfadden_r2:z.4f}" for m in models]),
        ("Nagelkerke R²", ["" if m.notes else _r2(m) for m in models]),
    ]


def _r2(model: CoefficientMethods) -> str:
    """Return Nagelkerke's R² as text, empty for sampling weights."""
    if model.weights == "probability":
        return ""
    return f"{model.nagelkerke_r2:z.4f}"


def _criteria(model: CoefficientMethods) -> tuple[str, str]:
    """Return AIC and BIC; empty where they do not exist."""
    if not model._has_criteria:
        return "", ""
    return f"{model.aic:.2f}", f"{model.bic:.2f}"


def _contents(
    models: Sequence[CoefficientMethods], exponentiate: bool, conf_level: float | None
) -> str:
    """Return a sentence that says what the numbers are."""
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
    """Return a sentence on the covariance of each model, or one for all."""
    found = [covariance_name(model) for model in models]
    if len(set(found)) == 1:
        return [f"Covariance: {found[0]}."]
    return [f"Covariance of {name}: {kind}." for name, kind in zip(names, found, strict=True)]


def _warnings(models: Sequence[CoefficientMethods], names: Sequence[str]) -> list[str]:
    """The notes and cautions of the results, and the features that have no coefficients."""
    of = [("" if len(models) == 1 else f"{name}: ") for name in names]
    notes = [
        f"{which}{note}"
        for which, model in zip(of, models, strict=True)
        for note in model.notes + model.cautions
    ]
    for which, model in zip(of, models, strict=True):
        if model.aliased:
            left_out = ", ".join(model.aliased)
            notes.append(f"{which}Not defined because of singularities: {left_out}.")
    return notes


def same_data(models: Sequence[CoefficientMethods], names: Sequence[str]) -> str | None:
    """Return a sentence that says in what the data of models differ, or None."""
    found = {
        "observations": [f"{model.n_obs:.10g}" for model in models],
        "classes": [", ".join(map(str, model.classes)) for model in models],
        "meaning of the weights": [model.weights for model in models],
    }
    losses = np.array([model.null_log_likelihood for model in models])
    if np.ptp(losses) > 1e-6 * np.abs(losses).max():
        found["null log-likelihood"] = [f"{value:.6g}" for value in losses]
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
