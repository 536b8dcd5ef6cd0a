"""The score wild cluster bootstrap: a test of linear hypotheses with few clusters."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state

from skmaxent._input._arguments import check_choice, check_count
from skmaxent._typing import Array, RandomState

if TYPE_CHECKING:
    import pandas as pd

# The equally likely values of the random weights of clusters, with mean zero and variance one.
WEIGHTS = {
    "rademacher": np.array([-1.0, 1.0]),
    "webb": np.array([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]) * np.sqrt([1.5, 1.0, 0.5, 0.5, 1.0, 1.5]),
}
# Statistics whose relative difference is at most this count as equal.
EQUAL = 1e-9


def wild_bootstrap_test(
    influences: Array, name: str, n_bootstrap: int, weights: str, random_state: RandomState
) -> pd.DataFrame:
    """Return a table with the test of a joint hypothesis.

    The influence of a cluster is the effect of its scores on the restricted combinations of
    coefficients. For influences a_g of G clusters and weights v_g, the statistic is
    tᵀ V⁻¹ t with t = Σ_g v_g a_g and V = Σ_g v_g² a_g a_gᵀ - t tᵀ/G (Kline & Santos 2012, J.
    Econom. Methods 1, 23-41). The observed statistic has weights of one; the p-value is the share
    of statistics with random weights that are at least as large.

    Parameters
    ----------
    influences : ndarray of shape (n_groups, n_restrictions)
        The sum of the scores of each cluster at the estimates under the restrictions, times the
        inverse information, times the transposed matrix of the restrictions.
    name : str
        Name of the hypothesis, for the index of the table.
    n_bootstrap : int
        Number of random draws of weights. With "rademacher" there are 2^G patterns of signs; if
        these are no more than `n_bootstrap`, each pattern is used once instead.
    weights : {"rademacher", "webb"}
        The distribution of the weights, see `WEIGHTS`.
    random_state : int, RandomState instance or None
        Draws the weights.

    Returns
    -------
    DataFrame
        One row: chi2, df, p_value and n_bootstrap, the number of patterns of weights in use.
    """
    import pandas as pd

    check_choice("weights", weights, WEIGHTS)
    check_count("n_bootstrap", n_bootstrap, 1)
    G, q = influences.shape
    if q >= G:
        raise ValueError(f"{G} clusters cannot test {q} restrictions: expected fewer of these.")
    observed, values = float(_statistics(influences, np.ones((1, G)))[0]), WEIGHTS[weights]
    has_all_patterns = weights == "rademacher" and n_bootstrap >= 2**G
    if has_all_patterns:
        draws = np.array(list(itertools.product(values, repeat=G)))
    else:
        draws = check_random_state(random_state).choice(values, (n_bootstrap, G))
    n_extreme = int((_statistics(influences, draws) >= observed * (1.0 - EQUAL)).sum())
    # All patterns include that of the sample; random draws do not, so that it is added to them.
    n_added = 0 if has_all_patterns else 1
    p_value = (n_extreme + n_added) / (len(draws) + n_added)
    table = {"chi2": observed, "df": q, "p_value": p_value, "n_bootstrap": len(draws)}
    return pd.DataFrame(table, index=pd.Index([name], name="hypothesis"))


def _statistics(influences: Array, weights: Array) -> Array:
    """Return the statistic, (n_draws,), for each row of `weights`, (n_draws, n_groups)."""
    t = weights @ influences
    products = influences[:, :, None] * influences[:, None, :]
    V = np.tensordot(weights**2, products, axes=1)
    V -= t[:, :, None] * t[:, None, :] / len(influences)
    return np.asarray((t * np.linalg.solve(V, t[:, :, None])[:, :, 0]).sum(axis=1))
