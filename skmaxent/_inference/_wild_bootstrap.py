"""The score wild cluster bootstrap: a test of linear hypotheses with few clusters."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state

from skmaxent._typing import Array, RandomState

if TYPE_CHECKING:
    import pandas as pd

# Values of the weights of clusters: with mean zero and variance one.
WEIGHTS = {
    "rademacher": np.array([-1.0, 1.0]),
    "webb": np.array([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]) * np.sqrt([1.5, 1.0, 0.5, 0.5, 1.0, 1.5]),
}
# Statistics this close, relative to their size, are equal.
EQUAL = 1e-9


def wild_bootstrap_test(
    influences: Array, name: str, n_bootstrap: int, weights: str, random_state: RandomState
) -> pd.DataFrame:
    """Return the test of restrictions from the influences of clusters under the restrictions.

    With the influences a_g of G clusters, the statistic of weights v is that of Kline & Santos,
    tᵀ V⁻¹ t with t = Σ_g v_g a_g and V the sum of squares of v_g a_g around their mean. The
    statistic of the sample has all weights one.

    Parameters
    ----------
    influences : ndarray of shape (n_groups, n_restrictions)
        The scores of each cluster at the estimates under the restrictions, times the inverse
        information, times the matrix of the restrictions.
    name : str
        The name of the hypothesis, which the table has as its index.
    n_bootstrap : int
        The number of random draws of weights. If there are at most as many patterns of signs
        ("rademacher"), each pattern is used once instead.
    weights : {"rademacher", "webb"}
    random_state : int, RandomState instance or None

    Returns
    -------
    DataFrame
        One row: chi2, df, p_value and n_bootstrap, the patterns of weights that were used.
    """
    import pandas as pd

    if weights not in WEIGHTS:
        raise ValueError(f"weights must be one of {list(WEIGHTS)}, found {weights!r}.")
    if n_bootstrap < 1:
        raise ValueError(f"n_bootstrap must be positive, found {n_bootstrap!r}.")
    G, q = influences.shape
    if q >= G:
        raise ValueError(f"{G} clusters cannot test {q} restrictions: expected fewer of these.")
    known, values = float(statistics(influences, np.ones((1, G)))[0]), WEIGHTS[weights]
    is_whole = weights == "rademacher" and n_bootstrap >= 2**G
    if is_whole:
        draws = np.array(list(itertools.product(values, repeat=G)))
    else:
        draws = check_random_state(random_state).choice(values, (n_bootstrap, G))
    found = statistics(influences, draws)
    extreme = int((found >= known * (1.0 - EQUAL)).sum())
    p_value = extreme / len(draws) if is_whole else (1.0 + extreme) / (1.0 + len(draws))
    table = {"chi2": known, "df": q, "p_value": p_value, "n_bootstrap": len(draws)}
    return pd.DataFrame(table, index=pd.Index([name], name="hypothesis"))


def statistics(influences: Array, weights: Array) -> Array:
    """Return the statistic for each row of `weights` (n_draws, n_groups), (n_draws,)."""
    t = weights @ influences
    products = influences[:, :, None] * influences[:, None, :]
    V = np.tensordot(weights**2, products, axes=1)
    V -= t[:, :, None] * t[:, None, :] / len(influences)
    return np.asarray((t * np.linalg.solve(V, t[:, :, None])[:, :, 0]).sum(axis=1))
