"""Module names of version 0.1.0, whose modules were all in one folder, for its pickles."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

# The former name of each module whose classes are in pickles, and the module that has them now.
_FORMER = {
    "skmaxent._classifier": "skmaxent._estimators._classifier",
    "skmaxent._cross_validation": "skmaxent._model_selection._cross_validation",
    "skmaxent._multilabel": "skmaxent._estimators._multilabel",
    "skmaxent._path": "skmaxent._model_selection._path",
    "skmaxent._results": "skmaxent._inference._results",
    "skmaxent._separation": "skmaxent._inference._detect_separation",
}


class _FormerModule(ModuleType):
    """A module under its former name, imported when a class of it is looked up."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(_FORMER[self.__name__]), name)


def register_former_modules() -> None:
    """Register the former names in `sys.modules`, where pickles of version 0.1.0 find classes."""
    for name in _FORMER:
        sys.modules.setdefault(name, _FormerModule(name))
