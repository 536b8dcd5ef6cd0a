"""Tables of estimates and of tests, and the names in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd


def index_of(labels: list[Any], names: list[str]) -> pd.MultiIndex:
    import pandas as pd

    return pd.MultiIndex.from_product([labels, names], names=["class", "feature"])


def z_tests(estimate: Array, error: Array) -> dict[str, Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        z = estimate / error
    return {"z": z, "p_value": 2.0 * stats.norm.sf(np.abs(z))}


def shown_bound(gap: float) -> str:
    return "not bounded" if np.isnan(gap) else f"below {max(gap, 1e-16):.1g}"


def short_number(value: float) -> str:
    return f"{value:.4g}"


def wide_tables() -> Any:
    import pandas as pd

    return pd.option_context("display.width", None, "display.max_rows", None)


def normal_quantile(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, found {level}.")
    return float(stats.norm.ppf(0.5 + 0.5 * level))


def chi2_table(tests: list[tuple[str, float, int]]) -> pd.DataFrame:
    """A row for each test, whose names need not differ."""
    import pandas as pd

    index = pd.Index([name for name, _, _ in tests], name="term")
    frame = pd.DataFrame([test[1:] for test in tests], index=index, columns=["chi2", "df"])
    frame["p_value"] = stats.chi2.sf(frame["chi2"], frame["df"])
    return frame


def adjusted_p_values(p_values: Any, method: str) -> Array:
    try:
        from statsmodels.stats.multitest import multipletests
    except ImportError as error:
        raise ImportError("adjust needs statsmodels: pip install statsmodels.") from error
    return np.asarray(multipletests(p_values, method=method)[1])
