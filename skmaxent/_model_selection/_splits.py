"""The training and test rows of the folds of a cross-validation, as a few small integers per row.

Chunks of rows contain these integers, which are called marks, so that a fold needs no copy of X.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skmaxent._typing import Array

# Marks of rows that no fold of an array of marks uses, and of rows that all its folds train on.
NEITHER, TRAINED = -1, 0
# The most folds that can share one array of marks, which are int16.
MOST_SHARED = np.iinfo(np.int16).max


class Side(NamedTuple):
    """The test rows of a fold, or its training rows.

    Attributes
    ----------
    mark : int
        Position of the fold's array of marks among all arrays.
    number : int
        The mark of the fold's test rows. Its training rows have other marks, except `NEITHER`.
    is_held_out : bool
        Whether this side is the test rows.
    """

    mark: int
    number: int
    is_held_out: bool

    def holds(self, marks: Array) -> Array:
        """Return which rows are on this side, for marks of shape (n_marks, n_rows)."""
        own = marks[self.mark]
        if self.is_held_out:
            return np.asarray(own == self.number)
        return np.asarray((own != self.number) & (own != NEITHER))


@dataclass(frozen=True)
class Splits:
    """The folds of a cross-validation.

    Folds share an array of marks if their test rows are different and each trains on all other
    rows, as in k-fold cross-validation.

    Attributes
    ----------
    marks : ndarray of int of shape (n_marks, n_samples)
        The arrays of marks.
    places : tuple of pairs of int
        For each fold, `Side.mark` and `Side.number`.
    """

    marks: Array
    places: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, folds: Iterable[tuple[Any, Any]], n_samples: int) -> Splits:
        """Return the splits for pairs of indices, or masks, of training rows and of test rows.

        Raises ValueError if there are no folds, or if a fold contains a row twice.
        """
        marks: list[Array] = []
        places: list[tuple[int, int]] = []
        number, is_shared = 0, False
        for fold, (train, test) in enumerate(folds):
            # The fold joins the last array of marks if it trains on every row that it does not
            # hold out, as the folds of that array do, and holds out rows that none of them does.
            own = _own_mark(train, test, n_samples, fold)
            held_out = own == 1
            is_whole = not (own == NEITHER).any()
            has_room = number < MOST_SHARED
            is_shared = is_shared and is_whole and has_room and not marks[-1][held_out].any()
            if is_shared:
                number += 1
                marks[-1][held_out] = number
            else:
                number, is_shared = 1, is_whole
                marks.append(own)
            places.append((len(marks) - 1, number))
        if not places:
            raise ValueError(
                "cv gives no folds; expected one or more pairs of indices (train, test)."
            )
        dtype = np.int8 if max(n for _, n in places) <= np.iinfo(np.int8).max else np.int16
        return cls(np.stack([mark.astype(dtype) for mark in marks]), tuple(places))

    @property
    def n_folds(self) -> int:
        """The number of folds."""
        return len(self.places)

    def side(self, fold: int, *, is_held_out: bool) -> Side:
        """Return the test rows of a fold if `is_held_out`, else its training rows."""
        return Side(*self.places[fold], is_held_out)

    def counts(self, codes: Array, n_classes: int, *, is_held_out: bool) -> Array:
        """Return the number of rows of each class on one side of each fold, (n_folds, n_classes).

        `codes` (n_samples,) are the positions of the classes of the rows among all classes.
        """
        sides = [self.side(fold, is_held_out=is_held_out) for fold in range(self.n_folds)]
        rows = [codes[side.holds(self.marks)] for side in sides]
        return np.stack([np.bincount(some, minlength=n_classes) for some in rows])


def _own_mark(train: Any, test: Any, n_samples: int, fold: int) -> Array:
    """Return an array of marks (n_samples,) for a single fold, whose test rows have the mark 1.

    `train` and `test` are positions or masks of rows. Raises ValueError, which names the number
    `fold`, if the fold contains a row twice.
    """
    out = np.full(n_samples, NEITHER, dtype=np.int16)
    named = 0
    for index, number in ((np.asarray(train), TRAINED), (np.asarray(test), 1)):
        out[index] = number
        named += int(np.count_nonzero(index)) if index.dtype == bool else len(index)
    if np.count_nonzero(out != NEITHER) != named:
        raise ValueError(
            f"fold {fold} of cv has a row twice, in its training part, its test part or both; "
            "expected each row at most once, which Dask collections need."
        )
    return out
