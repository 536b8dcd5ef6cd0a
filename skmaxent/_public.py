"""Classes that say that they live in the package, not in the module that defines them."""

from __future__ import annotations

from typing import TypeVar

Class = TypeVar("Class", bound=type)


def public(cls: Class) -> Class:
    """Make a class say that it lives in `skmaxent`; returns it.

    Pickles, tracebacks and skops' lists of trusted types then name `skmaxent.MaxentClassifier`,
    whichever module defines it.
    """
    cls.__module__ = "skmaxent"
    return cls
