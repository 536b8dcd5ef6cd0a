"""What reported coefficients are compared with: a class, or the mean of all classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmaxent._typing import Array


@dataclass(frozen=True)
class Reference:
    """The class whose coefficients are zero in what is reported, or the mean of all classes.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        All labels.
    position : int or None
        Where the class is among these; None is the mean, "symmetric".
    """

    classes: Array
    position: int | None

    @classmethod
    def of(cls, reference: Any, classes: Array) -> Reference:
        """Return the reference for an argument of `infer`: a label, "symmetric" or None."""
        if isinstance(reference, str) and reference == "symmetric":
            if "symmetric" in classes.tolist():
                raise ValueError(
                    "reference='symmetric' is the mean of all classes, but also the name of a "
                    "class: rename the class."
                )
            return cls(classes, None)
        reference = classes[0] if reference is None else reference
        found = np.flatnonzero(classes == reference)
        if not len(found):
            raise ValueError(
                f"reference is {reference!r}; expected 'symmetric' or one of {classes.tolist()}."
            )
        return cls(classes, int(found[0]))

    @property
    def label(self) -> Any:
        """The label of the class, or "symmetric"."""
        return "symmetric" if self.position is None else self.classes[self.position]

    @property
    def rows(self) -> list[Any]:
        """Labels of the classes that coefficients are reported of."""
        rows = self.classes if self.position is None else np.delete(self.classes, self.position)
        return rows.tolist()

    @property
    def contrasts(self) -> Array:
        """The matrix from free to reported coefficients, (n_rows, n_classes - 1).

        The free coefficients are those against the last class, or, of two classes, those of the
        second against the first.
        """
        K, position = len(self.classes), self.position
        if K == 2:
            both = np.array([[-0.5], [0.5]])
            return both if position is None else np.array([[1.0 - 2.0 * position]])
        whole = np.eye(K, K - 1)
        if position is None:
            return whole - whole.mean(axis=0)
        return np.delete(whole - whole[position], position, axis=0)
