"""Names of modules in pickles of version 0.1.0, in which all modules were in one folder."""

from __future__ import annotations

import sys

from skmaxent._estimators import _classifier, _multilabel
from skmaxent._inference import _detect_separation, _results
from skmaxent._model_selection import _cross_validation, _path

_FORMER = {
    "skmaxent._classifier": _classifier,
    "skmaxent._cross_validation": _cross_validation,
    "skmaxent._multilabel": _multilabel,
    "skmaxent._path": _path,
    "skmaxent._results": _results,
    "skmaxent._separation": _detect_separation,
}


def register_former_modules() -> None:
    """Let pickles find classes under the names of the modules that they were defined in."""
    for name, module in _FORMER.items():
        sys.modules.setdefault(name, module)
