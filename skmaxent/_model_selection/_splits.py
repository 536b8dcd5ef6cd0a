"""Which rows each fold of a cross-validation trains on and which it holds out, as small numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skmaxent._typing import Array

NEITHER, TRAINED = -1, 0
MOST = np.iinfo(np.int16).max


class Side(NamedTuple):
    """The rows that a fold holds out, or those that it trains on.

    The mark of a row held out is `number`; all others are trained on, except `NEITHER`.
    """

    mark: int
    number: int
    is_held_out: bool

    def holds(self, marks: Array) -> Array:
        """Whether each row is on this side, by marks of shape (n_marks, n_rows)."""
        own = marks[self.mark]
        if self.is_held_out:
            return np.asarray(own == self.number)
        return np.asarray((own != self.number) & (own != NEITHER))


@dataclass(frozen=True)
class Splits:
    """Marks (n_marks, n_samples) of the rows, and the mark and the number of each fold.

    Folds share a mark where they hold out different rows and train on all the others.
    """

    marks: Array
    places: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, folds: Iterable[tuple[Any, Any]], n_samples: int) -> Splits:
        """Of the indices, or masks, of training and test rows."""
        marks: list[Array] = []
        places: list[tuple[int, int]] = []
        number, is_shared = 0, False
        for fold, (train, test) in enumerate(folds):
            own = _own_mark(train, test, n_samples, fold)
            held_out = own == 1
            is_whole = not (own == NEITHER).any()
            is_shared = is_shared and is_whole and number < MOST and not marks[-1][held_out].any()
            if is_shared:
                number += 1
                marks[-1][held_out] = number
            else:
                number, is_shared = 1, is_whole
                marks.append(own)
            places.append((len(marks) - 1, number))
        if not places:
            raise ValueError("cv gives no folds; expected one or more.")
        dtype = np.int8 if max(n for _, n in places) <= np.iinfo(np.int8).max else np.int16
        return cls(np.stack([mark.astype(dtype) for mark in marks]), tuple(places))

    @property
    def n_folds(self) -> int:
        return len(self.places)

    def side(self, fold: int, *, is_held_out: bool) -> Side:
        return Side(*self.places[fold], is_held_out)

    def counts(self, codes: Array, n_classes: int, *, is_held_out: bool) -> Array:
        """Rows of each class on one side of each fold, (n_folds, n_classes)."""
        sides = [self.side(fold, is_held_out=is_held_out) for fold in range(self.n_folds)]
        rows = [codes[side.holds(self.marks)] for side in sides]
        return np.stack([np.bincount(some, minlength=n_classes) for some in rows])


def _own_mark(train: Any, test: Any, n_samples: int, fold: int) -> Array:
    """Marks of the rows of a fold alone, which holds out number 1."""
    out = np.full(n_samples, NEITHER, dtype=np.int16)
    named = 0
    for index, number in ((np.asarray(train), TRAINED), (np.asarray(test), 1)):
        out[index] = number
        named += int(np.count_nonzero(index)) if index.dtype == bool else len(index)
    if np.count_nonzero(out != NEITHER) != named:
        raise ValueError(
            f"fold {fold} of cv has a row twice, in its training part, its test part or both; for "
            "Dask collections expected each row once at most."
        )
    return out
