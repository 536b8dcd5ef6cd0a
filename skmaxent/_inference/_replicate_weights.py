"""Replicate weights of survey designs: jackknife, balanced half samples and bootstrap.

They are made from strata and their primary sampling units, called units. Each function returns

- factors, (n_units, n_replicates): by which a replicate multiplies the weights of a unit's rows,
- scale, a float, and rscales, (n_replicates,): for estimates b_j of the replicates j, the
  covariance is scale Σ_j rscales_j (b_j - center)(b_j - center)ᵀ.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import hadamard
from sklearn.utils import check_random_state

from skmaxent._inference._survey_units import Units
from skmaxent._typing import Array, RandomState

REPLICATE_TYPES = ("JK1", "JKn", "BRR", "bootstrap")


def replicates_of(
    kind: str, units: Units, n_bootstrap: int, fay_rho: float, random_state: RandomState
) -> tuple[Array, float, Array]:
    """Return the factors, scale and rscales of a kind of replicates.

    Parameters
    ----------
    kind : str
        One of `REPLICATE_TYPES`.
    units : Units
        The units and their strata.
    n_bootstrap, fay_rho, random_state
        Arguments `n_replicates`, `fay_rho` and `random_state` of `SurveyDesign.with_replicates`.

    Raises
    ------
    ValueError
        If the design does not suit the kind.
    """
    sizes = units.sizes
    if kind != "BRR" and (sizes < 2).any():
        raise ValueError(f"{kind!r} needs two units or more in each stratum, found one.")
    if kind == "JK1" and len(sizes) > 1:
        raise ValueError(f"'JK1' is for one stratum, found {len(sizes)}: use 'JKn'.")
    if kind in ("JK1", "JKn"):
        return _jackknife(units)
    if kind == "BRR":
        return _half_samples(units, fay_rho)
    return _bootstrap(units, n_bootstrap, random_state)


def _jackknife(units: Units) -> tuple[Array, float, Array]:
    """Leave out each unit in turn, and increase the weights of the other units of its stratum."""
    size = units.sizes[units.stratum_of]
    is_same = units.stratum_of[:, None] == units.stratum_of
    factors = np.where(is_same, (size / (size - 1.0))[:, None], 1.0)
    np.fill_diagonal(factors, 0.0)
    return factors, 1.0, units.unsampled[units.stratum_of] * (size - 1.0) / size


def _half_samples(units: Units, fay_rho: float) -> tuple[Array, float, Array]:
    """Keep one of the two units of each stratum in each replicate.

    A Hadamard matrix chooses the units, so that each pair of units of different strata is kept
    equally often (McCarthy 1969, Rev. Int. Stat. Inst. 37). With `fay_rho` above 0 the other unit
    keeps a part of its weight.
    """
    sizes = units.sizes
    if (sizes != 2).any():
        raise ValueError(
            f"'BRR' needs exactly two units in each stratum, found {int(sizes[sizes != 2][0])}."
        )
    if not 0.0 <= fay_rho < 1.0:
        raise ValueError(f"fay_rho must be at least 0 and below 1, found {fay_rho!r}.")
    if (units.unsampled < 1.0).any():
        raise ValueError("'BRR' has no finite population correction: expected fpc=None.")
    order = 1 << len(sizes).bit_length()  # more than the strata
    signs = hadamard(order)[:, 1 : len(sizes) + 1].T  # (n_strata, n_replicates)
    is_first = np.zeros(len(units.stratum_of), bool)
    is_first[np.unique(units.stratum_of, return_index=True)[1]] = True
    # A positive sign keeps the first unit of the stratum, a negative sign keeps the second.
    is_kept = (signs[units.stratum_of] > 0) == is_first[:, None]
    factors = np.where(is_kept, 2.0 - fay_rho, fay_rho)
    return factors, 1.0 / (order * (1.0 - fay_rho) ** 2), np.ones(order)


def _bootstrap(
    units: Units, n_replicates: int, random_state: RandomState
) -> tuple[Array, float, Array]:
    """Draw n - 1 of the n units of each stratum with replacement (Rao & Wu 1988, JASA 83)."""
    if n_replicates < 2:
        raise ValueError(f"n_replicates must be 2 or more, found {n_replicates!r}.")
    if (units.unsampled < 1.0).any():
        raise ValueError("'bootstrap' has no finite population correction: expected fpc=None.")
    rng = check_random_state(random_state)
    factors = np.zeros((len(units.stratum_of), n_replicates))
    for stratum, size in enumerate(units.sizes):
        own = np.flatnonzero(units.stratum_of == stratum)
        draws = rng.multinomial(size - 1, np.full(size, 1.0 / size), n_replicates)
        factors[own] = draws.T * (size / (size - 1.0))
    return factors, 1.0 / (n_replicates - 1.0), np.ones(n_replicates)
