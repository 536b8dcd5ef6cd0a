"""What reported coefficients are compared with: a class, or the mean of all classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmaxent._input._labels import position_of
from skmaxent._typing import Array


@dataclass(frozen=True)
class Reference:
    """The reference class, whose reported coefficients are zero, or the mean of all classes.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels of all classes.
    position : int or None
        Position of the reference class in `classes`. None stands for symmetric coding, in which
        coefficients are compared with their mean over all classes.
    """

    classes: Array
    position: int | None

    @classmethod
    def of(cls, reference: Any, classes: Array) -> Reference:
        """Return the reference that the argument `reference` of `infer` describes.

        The argument is a label, "symmetric", or None for the first class.
        """
        if isinstance(reference, str) and reference == "symmetric":
            if "symmetric" in classes.tolist():
                raise ValueError(
                    "reference='symmetric' is the mean of all classes, but also the name of a "
                    "class: rename the class."
                )
            return cls(classes, None)
        reference = classes[0] if reference is None else reference
        position = position_of(reference, classes)
        if position is None:
            raise ValueError(
                f"reference is {reference!r}; expected 'symmetric' or one of {classes.tolist()}."
            )
        return cls(classes, position)

    @property
    def label(self) -> Any:
        """The label of the reference class, or "symmetric"."""
        return "symmetric" if self.position is None else self.classes[self.position]

    @property
    def rows(self) -> list[Any]:
        """Labels of the classes whose coefficients are reported: all but the reference class."""
        rows = self.classes if self.position is None else np.delete(self.classes, self.position)
        return rows.tolist()

    @property
    def contrasts(self) -> Array:
        """The matrix C for which C f are the reported coefficients of a feature.

        C has the shape (n_rows, n_classes - 1). The free coefficients f of a feature are those of
        each class but the last minus that of the last class, or for two classes the coefficient of
        the second class minus that of the first.
        """
        of_class, position = free_to_classes(len(self.classes)), self.position
        if position is None:
            return np.asarray(of_class - of_class.mean(axis=0))
        return np.delete(of_class - of_class[position], position, axis=0)


def free_to_classes(n_classes: int) -> Array:
    """Return the matrix from free coefficients f of a feature to those of all classes.

    It has the shape (n_classes, n_classes - 1). The coefficient of the last class is zero, or of
    two classes that of the first.
    """
    return np.eye(n_classes, n_classes - 1) if n_classes > 2 else np.array([[0.0], [1.0]])
