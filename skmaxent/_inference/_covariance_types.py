"""CovarianceKind: the checked arguments of `infer` that say how the covariance is computed."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmaxent._inference._covariance_names import DEFAULT_FACTORS
from skmaxent._inference._survey_units import Units
from skmaxent._input._arguments import check_choice
from skmaxent._input._validation import check_groups
from skmaxent._storage._place import to_host
from skmaxent._typing import Array

ROW_TYPES = ("HC0", "HC1", "HC2", "HC3")
CLUSTER_TYPES = ("cluster", "CV2", "CV3", "CV3L")
COV_TYPES = ("nonrobust", *ROW_TYPES, *CLUSTER_TYPES, "laplace")
# Covariances with t and F tests, if the user does not set `use_t`.
T_TYPES = ("CV2", "CV3", "CV3L", "survey")
# The values of `small_sample` that each `cov_type` allows; other types allow None only.
ALLOWED_FACTORS = {
    "HC0": ("none", "units"),
    "HC1": ("coefficients",),
    "cluster": ("coefficients", "units", "none"),
}


@dataclass(frozen=True)
class CovarianceKind:
    """How to compute a covariance: the arguments of `infer` after checks.

    Attributes
    ----------
    cov_type : str
        One of `COV_TYPES`, or "survey".
    weights : {"frequency", "probability"}
        Whether sample weights count equal rows, or are inverse probabilities of sampling.
    small_sample : str or None
        Name of the factor that corrects for small samples; None if `cov_type` has none.
    codes : ndarray of int of shape (n_samples, n_ways) or None
        The cluster of each row, for clusters in one or two ways; None without clusters.
    use_t : bool
        Whether tests are t and F tests, instead of normal and chi-squared ones.
    units : Units or None
        The primary sampling units of a survey.
    """

    cov_type: str
    weights: str
    small_sample: str | None = None
    codes: Array | None = None
    use_t: bool = False
    units: Units | None = None

    @classmethod
    def resolve(
        cls,
        *,
        cov_type: str | None,
        weights: str,
        small_sample: str | None,
        groups: Any,
        use_t: bool | None,
        units: Units | None,
        n_samples: int,
        is_penalised: bool,
    ) -> CovarianceKind:
        """Check arguments of `MaxentClassifier.infer` and replace None by defaults.

        `units` are those of the argument `design`, and `n_samples` is the number of rows.
        `is_penalised` tells whether the fit has a ridge penalty.
        """
        if use_t not in (None, True, False):
            raise ValueError(f"use_t must be None, True or False, found {use_t!r}.")
        use_t = use_t if use_t is None else bool(use_t)
        if units is not None:
            if is_penalised:
                raise ValueError(
                    "design is for fits without a penalty: expected a fit with C=np.inf."
                )
            return cls("survey", "probability", use_t=use_t is not False, units=units)
        cov_type = resolve_cov_type(cov_type, weights, is_penalised)
        codes = resolve_groups(groups, cov_type, n_samples)
        if use_t and cov_type in ("nonrobust", "laplace"):
            raise ValueError(
                f"use_t=True is for robust covariances and surveys, found cov_type={cov_type!r}."
            )
        return cls(
            cov_type,
            weights,
            resolve_small_sample(small_sample, cov_type),
            codes,
            cov_type in T_TYPES if use_t is None else use_t,
        )


def resolve_cov_type(cov_type: str | None, weights: str, is_penalised: bool) -> str:
    """Return the user's `cov_type` after checks; None becomes the default of the fit.

    `is_penalised` tells whether the fit has a ridge penalty.
    """
    check_choice("weights", weights, ("frequency", "probability"))
    if cov_type is None:
        robust = "HC0" if weights == "probability" else "nonrobust"
        cov_type = "laplace" if is_penalised else robust
    if cov_type not in COV_TYPES:
        raise ValueError(
            f"cov_type must be one of {COV_TYPES}, found {cov_type!r}.{_guess(cov_type)}"
        )
    if is_penalised != (cov_type == "laplace"):
        raise ValueError(
            f"cov_type={cov_type!r} does not go with this fit, which has "
            f"{'a ridge' if is_penalised else 'no'} penalty; expected "
            f"{'laplace, or a fit with C=np.inf' if is_penalised else COV_TYPES[:-1]}."
        )
    if weights == "probability" and cov_type in ("nonrobust", "laplace"):
        raise ValueError(
            f"cov_type={cov_type!r} is not valid with weights='probability'; use cov_type='HC0', "
            "'HC1' or 'cluster'."
        )
    return cov_type


def _guess(cov_type: Any) -> str:
    """Return a sentence with the covariance that an unknown `cov_type` may mean, or ""."""
    name = str(cov_type).casefold()
    if name in ("robust", "sandwich", "white"):
        return " Robust (sandwich) covariances are 'HC0' and, with the factor n/(n - p), 'HC1'."
    known = {known.casefold(): known for known in COV_TYPES}
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f" Did you mean {known[near[0]]!r}?" if near else ""


def resolve_small_sample(small_sample: str | None, cov_type: str) -> str | None:
    """Return the user's small-sample factor after checks; None becomes the default.

    The result is None if covariances of this type have no such factor.
    """
    allowed = ALLOWED_FACTORS.get(cov_type, ())
    if small_sample is None:
        return DEFAULT_FACTORS.get(cov_type)
    if small_sample not in allowed:
        hint = " Write cov_type='HC1' for n/(n - p)." if cov_type == "HC0" else ""
        raise ValueError(
            f"small_sample={small_sample!r} does not go with cov_type={cov_type!r}; expected "
            f"{' or '.join(map(repr, (None, *allowed)))}.{hint}"
        )
    return small_sample


def resolve_groups(groups: Any, cov_type: str, n_samples: int) -> Array | None:
    """Return the codes of the clusters of the rows, (n_samples, n_ways), or None without clusters.

    `groups` is the argument of `infer`: labels of shape (n_samples,), or (n_samples, 2).
    """
    if (groups is None) != (cov_type not in CLUSTER_TYPES):
        raise ValueError(
            f"groups and cov_type='cluster' go together, found cov_type={cov_type!r} "
            f"{'without' if groups is None else 'with'} groups. The other types for clusters are "
            f"{list(CLUSTER_TYPES[1:])}. method='bootstrap' takes groups without cov_type."
        )
    if groups is None:
        return None
    ways = _ways(groups)
    if len(ways) > 1 and cov_type != "cluster":
        raise ValueError(
            f"groups has two columns, which are for cov_type='cluster', found {cov_type!r}."
        )
    return np.column_stack([check_groups(way, n_samples) for way in ways])


def _ways(groups: Any) -> list[Any]:
    """Return a list with the labels of one or two ways of clustering, each (n_samples,)."""
    given = to_host(groups)
    if np.ndim(given) != 2 or np.shape(given)[1] < 2:
        return [groups]
    # A column of a data frame keeps its dtype.
    if hasattr(given, "columns"):
        given = [given[name] for name in given.columns]
    else:
        given = list(np.asarray(given, dtype=object).T)
    if len(given) > 2:
        raise ValueError(f"groups has {len(given)} columns; expected one, or two for two-way.")
    return list(given)
