"""The parameter `penalty` of scikit-learn before version 1.8."""

from __future__ import annotations

from numbers import Real
from typing import Any

DEFAULT = "deprecated"


class Penalty:
    """The attribute `penalty`: the parameter, or "l1" for a lasso where the parameter is not given.

    `sklearn.feature_selection.SelectFromModel` keeps the features whose coefficients are not zero
    where ``estimator.penalty == "l1"``; of other estimators that it does not know by name it keeps
    those above the mean.
    """

    def __get__(self, estimator: Any, owner: type) -> Any:
        if estimator is None:
            return self
        value = vars(estimator).get("penalty", DEFAULT)
        ratio = getattr(estimator, "l1_ratio_", getattr(estimator, "l1_ratio", 0.0))
        is_lasso = isinstance(ratio, Real) and ratio == 1.0
        return "l1" if is_lasso and isinstance(value, str) and value == DEFAULT else value

    def __set__(self, estimator: Any, value: Any) -> None:
        vars(estimator)["penalty"] = value


class HasPenalty:
    """An estimator with the parameter `penalty`, which `get_params` returns as it was given."""

    penalty = Penalty()

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
