"""Marks of rows say on which side of each fold they are."""

import numpy as np
import pytest
from sklearn.model_selection import (
    KFold,
    LeaveOneOut,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)

from skmaxent._model_selection._splits import Splits

N = 300
CODES = np.arange(N) % 3


@pytest.mark.parametrize(
    "splitter, n_marks, itemsize",
    [
        (KFold(7, shuffle=True, random_state=0), 1, 1),
        (RepeatedKFold(n_splits=3, n_repeats=4, random_state=0), 4, 1),
        (LeaveOneOut(), 1, 2),
        (ShuffleSplit(5, test_size=0.6, random_state=0), 5, 1),
        (TimeSeriesSplit(4), 4, 1),
    ],
)
def test_sides_are_those_of_the_splitter(splitter, n_marks, itemsize):
    folds = list(splitter.split(np.zeros((N, 1))))
    splits = Splits.of(folds, N)
    assert splits.marks.shape == (n_marks, N)
    assert splits.marks.dtype.itemsize == itemsize
    assert splits.n_folds == len(folds)
    trained, held_out = (
        splits.counts(CODES, 3, is_held_out=is_held_out) for is_held_out in (False, True)
    )
    for fold, (train, test) in enumerate(folds):
        for is_held_out, rows, counts in ((False, train, trained), (True, test, held_out)):
            side = splits.side(fold, is_held_out=is_held_out)
            np.testing.assert_array_equal(np.flatnonzero(side.holds(splits.marks)), np.sort(rows))
            np.testing.assert_array_equal(counts[fold], np.bincount(CODES[rows], minlength=3))


def test_folds_of_both_kinds_are_told_apart():
    whole = list(KFold(2).split(np.zeros(6)))
    some = [(np.array([0, 1]), np.array([5]))]
    splits = Splits.of([*whole, *some, *whole], 6)
    assert splits.places == ((0, 1), (0, 2), (1, 1), (2, 1), (2, 2))
    expected = [[1, 1, 1, 2, 2, 2], [0, 0, -1, -1, -1, 1], [1, 1, 1, 2, 2, 2]]
    np.testing.assert_array_equal(splits.marks, expected)


@pytest.mark.parametrize("fold", [([0, 1], [1, 2]), ([0, 0], [1]), ([0, 1], [2, 2])])
def test_rows_named_twice_are_refused(fold):
    with pytest.raises(ValueError, match="fold 1 of cv has a row twice"):
        Splits.of([([0], [1]), fold], 4)
    with pytest.raises(ValueError, match="cv gives no folds"):
        Splits.of([], 4)
