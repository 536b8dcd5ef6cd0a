"""The versions that an estimator was pickled with."""

from __future__ import annotations

import warnings
from typing import Any

import sklearn
from sklearn.exceptions import InconsistentVersionWarning

__version__ = "0.1.0"

# The keys of the two versions in the state of an estimator.
_SKMAXENT_KEY, _SKLEARN_KEY = "_skmaxent_version", "_sklearn_version"


def with_versions(state: dict[str, Any]) -> dict[str, Any]:
    """Return an estimator's state with the present versions of skmaxent and scikit-learn added."""
    return state | {_SKMAXENT_KEY: __version__, _SKLEARN_KEY: sklearn.__version__}


def without_versions(state: dict[str, Any], estimator_name: str) -> dict[str, Any]:
    """Return a copy of an estimator's pickled state without the versions.

    Warns if the estimator was pickled with another version of skmaxent or of scikit-learn, which
    itself warns for its own estimators only. A state without versions, from before the release of
    0.1.0, gives no warning.
    """
    state = dict(state)
    pickled, present = state.pop(_SKMAXENT_KEY, __version__), __version__
    if pickled != present:
        _warn(estimator_name, f"{pickled} of skmaxent", f"{present} of skmaxent")
    pickled, present = state.pop(_SKLEARN_KEY, sklearn.__version__), sklearn.__version__
    if pickled != present:
        _warn(estimator_name, pickled, present)
    return state


def _warn(estimator_name: str, pickled: str, present: str) -> None:
    """Warn that an estimator was pickled with the version `pickled` and is loaded in `present`."""
    warning = InconsistentVersionWarning(
        estimator_name=estimator_name,
        current_sklearn_version=present,
        original_sklearn_version=pickled,
    )
    warnings.warn(warning, stacklevel=4)  # the line that called `pickle.loads`
