"""Module names of version 0.1.0, whose modules were all in one folder, for its pickles."""

from __future__ import annotations

import sys

from skmaxent._estimators import _classifier, _multilabel
from skmaxent._inference import _detect_separation, _results
from skmaxent._model_selection import _cross_validation, _path

# The former name of each module whose classes are in pickles, and the module that has them now.
_FORMER = {
    "skmaxent._classifier": _classifier,
    "skmaxent._cross_validation": _cross_validation,
    "skmaxent._multilabel": _multilabel,
    "skmaxent._path": _path,
    "skmaxent._results": _results,
    "skmaxent._separation": _detect_separation,
}


def register_former_modules() -> None:
    """Register the former names in `sys.modules`, where pickles of version 0.1.0 find classes."""
    for name, module in _FORMER.items():
        sys.modules.setdefault(name, module)
