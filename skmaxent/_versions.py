"""The versions that an estimator was pickled with."""

from __future__ import annotations

import warnings
from typing import Any

import sklearn
from sklearn.exceptions import InconsistentVersionWarning

__version__ = "0.1.0"

_OURS, _SKLEARNS = "_skmaxent_version", "_sklearn_version"


def with_versions(state: dict[str, Any]) -> dict[str, Any]:
    """Return an estimator's state with the versions of the packages that made it."""
    return state | {_OURS: __version__, _SKLEARNS: sklearn.__version__}


def without_versions(state: dict[str, Any], estimator_name: str) -> dict[str, Any]:
    """The state alone; warn, in the name of who loads it, where another version made it.

    scikit-learn does so for its own estimators only. States before 0.1.0's release have no
    versions, and of these nothing is known.
    """
    state = dict(state)
    then, now = state.pop(_OURS, __version__), __version__
    if then != now:
        _warn(estimator_name, f"{then} of skmaxent", f"{now} of skmaxent")
    then, now = state.pop(_SKLEARNS, sklearn.__version__), sklearn.__version__
    if then != now:
        _warn(estimator_name, then, now)
    return state


def _warn(estimator_name: str, then: str, now: str) -> None:
    """Warn that a model was pickled with another version of scikit-learn."""
    warning = InconsistentVersionWarning(
        estimator_name=estimator_name, current_sklearn_version=now, original_sklearn_version=then
    )
    warnings.warn(warning, stacklevel=4)
