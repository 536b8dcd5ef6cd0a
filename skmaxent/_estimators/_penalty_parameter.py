"""The parameter `penalty` of scikit-learn before version 1.8."""

from __future__ import annotations

from numbers import Real
from typing import Any

DEFAULT = "deprecated"


class HasPenalty:
    """An estimator with the parameter `penalty`, which `get_params` returns as it was given."""

    @property
    def penalty(self) -> Any:
        """The parameter, or "l1" for a lasso where the parameter is not given.

        `sklearn.feature_selection.SelectFromModel` keeps the features whose coefficients are not
        zero where ``estimator.penalty == "l1"``; of other estimators that it does not know by name
        it keeps those above the mean.
        """
        value = vars(self).get("penalty", DEFAULT)
        ratio = getattr(self, "l1_ratio_", getattr(self, "l1_ratio", 0.0))
        is_lasso = isinstance(ratio, Real) and ratio == 1.0
        return "l1" if is_lasso and isinstance(value, str) and value == DEFAULT else value

    @penalty.setter
    def penalty(self, value: Any) -> None:
        vars(self)["penalty"] = value

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the estimator.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of estimators that are parameters.

        Returns
        -------
        dict
            Values by the names of the parameters.
        """
        params = super().get_params(deep)  # type: ignore[misc]
        return params | {"penalty": vars(self).get("penalty", DEFAULT)}
