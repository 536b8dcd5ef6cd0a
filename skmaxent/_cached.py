"""Attributes that are computed once, without the lock that they have up to Python 3.11."""

from __future__ import annotations

import sys
from functools import cached_property as _LockedProperty  # noqa: TID251
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or sys.version_info >= (3, 12):
    cached_property = _LockedProperty
else:

    class cached_property(_LockedProperty):
        """`functools.cached_property` as in Python 3.12 and later.

        Up to Python 3.11, a thread holds a lock while it computes the attribute, the same for all
        objects of a class. Fits in several threads would wait for each other. A process that is
        forked meanwhile would wait for ever, because it does not have the thread that holds the
        lock.
        """

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            """Return the attribute of an instance; compute it at the first access."""
            if instance is None:
                return self
            value = self.func(instance)
            instance.__dict__[self.attrname] = value
            return value
