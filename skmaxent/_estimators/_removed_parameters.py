"""Parameters of scikit-learn's LogisticRegression that the estimators here do not have."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, cast

Init = TypeVar("Init", bound=Callable[..., None])


class Removed(NamedTuple):
    """A parameter that estimators do not have.

    Attributes
    ----------
    advice : str
        What to write instead, as the end of an error message.
    accepted : tuple
        Values with which scikit-learn does what the estimators here always do. They are accepted.
    """

    advice: str
    accepted: tuple[Any, ...] = ()


REMOVED_PARAMETERS = {
    "multi_class": Removed(
        "the fit is always multinomial (one logit for two classes): leave it out, and "
        "for one-vs-rest use sklearn.multiclass.OneVsRestClassifier(MaxentClassifier())",
        ("auto", "multinomial", "deprecated"),
    ),
    "dual": Removed("there is no dual formulation to choose: leave it out", (False, "auto")),
    "intercept_scaling": Removed(
        "the intercept is never penalised, so that it needs no scaling: leave it out", (1,)
    ),
}


def without_removed(
    estimator: Any, removed: Mapping[str, Removed], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `parameters` without the removed ones.

    Raises TypeError, with the advice, for a removed parameter whose value is not accepted.
    """
    for name in parameters.keys() & removed:
        value, (advice, accepted) = parameters[name], removed[name]
        if not any(value is known or value == known for known in accepted):
            raise TypeError(
                f"{type(estimator).__name__} has no parameter {name!r}, found "
                f"{name}={value!r}: {advice}."
            )
    return {name: value for name, value in parameters.items() if name not in removed}


def accepts_removed(init: Init) -> Init:
    """Decorate the ``__init__`` of an `AcceptsRemoved`: it accepts removed parameters.

    Their values must be accepted ones. The signature does not contain these parameters, so that
    `get_params` does not return them.
    """

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **parameters: Any) -> None:
        init(self, *args, **without_removed(self, self._removed, parameters))

    return cast(Init, checked)


class AcceptsRemoved:
    """An estimator whose `set_params` accepts the parameters in `_removed`, for parameter grids."""

    _removed: ClassVar[Mapping[str, Removed]] = REMOVED_PARAMETERS

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the estimator.

        Parameters
        ----------
        **params : dict
            Values by the names of the parameters.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        TypeError
            For a parameter of scikit-learn's LogisticRegression that this estimator does not have,
            unless its value stands for what the estimator always does.
        ValueError
            For a name that is no parameter.
        """
        super().set_params(**without_removed(self, self._removed, params))  # type: ignore[misc]
        return self
