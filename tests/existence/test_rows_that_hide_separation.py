"""Separation where rounding, or rows that weigh nothing, could hide it from fit, infer and search.

That the classes of each case are separated can be seen from its few rows; the expected features
are those of a linear program over the rows.
"""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from skmaxent import MaxentClassifier, detect_separation
from skmaxent._existence._scaled_rows import column_scales
from skmaxent._objective._likelihood import Softmax
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import Ridge
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._standardisation import Standardisation


def messages(function, *args, **kwargs):
    """Return the result of a function and the texts of its warnings."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = function(*args, **kwargs)
    return result, " ".join(str(warning.message) for warning in found)


def test_rows_of_a_table_whose_only_class_is_not_fitted():
    # Class 1 occurs in a row of weight zero alone. Of the others, x0 = 0 means class 0.
    X = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    T = np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [1.0, 0.0, 3.0], [0.0, 0.0, 2.0]])
    w = np.array([1.0, 0.0, 2.0, 2.0])
    found = detect_separation(X, T, sample_weight=w)
    assert (found.kind, found.features, found.classes) == (
        "quasi-complete",
        ["x0", "Intercept"],
        [0],
    )
    np.testing.assert_array_equal(found.separated, [True, False, False, False])
    _, said = messages(MaxentClassifier(C=np.inf).fit, X, T, w)
    assert "quasi-complete" in said


def test_rows_of_a_table_without_a_fitted_class_do_not_hide_overlap():
    X = np.array([[3.0], [1.0], [1.0], [2.0], [2.0]])
    T = np.array([[0.0, 0.0, 1.0], [1.0, 2.0, 0.0], [1.0, 0.0, 0.0], [1.0, 3.0, 0.0], [0, 2.0, 0]])
    w = np.array([0.0, 1.0, 2.0, 1.0, 1.0])
    assert detect_separation(X, T, sample_weight=w).kind == "none"


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_results_of_a_separated_table_in_float32(container):
    # The share 1/3 has no exact value in float32, and the likelihood rises for ever.
    X = np.array([[1, 0, 1, 0], [1, 0, 1, 2], [1, 1, 2, 1]], dtype=np.float32)
    T = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 2.0], [3.0, 0.0, 0.0]])
    clf, said = messages(MaxentClassifier(C=np.inf).fit, container(X), T)
    assert "separated" in said
    results, said = messages(clf.infer, container(X), T)
    assert "separated" in said
    assert "Warning" in str(results).splitlines()[0]
    # The supremum of the likelihood is that of the row with two classes.
    supremum = 2.0 * np.log(2 / 3) + np.log(1 / 3)
    assert results._rows.maximum == pytest.approx(supremum, abs=1e-7)


def test_a_separated_fit_whose_offset_makes_all_rows_certain():
    # Along x0 + 2 x1 the last row gains and no other changes. Its offset makes it certain already.
    X = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 2.0]], dtype=np.float32)
    y, w, offset = [0, 1, 1], [1.0, 2.0, 2.0], [182.0, -104.0, 89.0]
    clf, said = messages(MaxentClassifier(C=np.inf, fit_intercept=False).fit, X, y, w, offset)
    assert "separated" in said
    assert clf.optimality_gap_ == 1.0
    results, said = messages(clf.infer, X, y, w, offset)
    assert results.aliased == ("x1",)
    assert "separated" in said
    assert "separated" in results.notes[0]


def test_infer_says_that_a_fit_with_an_offset_is_separated():
    # The feature is 1 in a single row, whose class is certain by its offset. The information keeps
    # curvature along it, since the others are not certain.
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=40), np.arange(40) == 3])
    y = rng.integers(0, 3, 40)
    offset = np.zeros((40, 3))
    offset[3, y[3]] = 20.0
    clf, said = messages(MaxentClassifier(C=np.inf).fit, X, y, offset=offset)
    assert "separated" in said
    assert clf.optimality_gap_ == 1.0
    results, said = messages(clf.infer, X, y, offset=offset)
    assert "separated" in said
    assert "separated" in results.notes[0]


def test_bounds_that_leave_directions_to_one_side():
    # All coefficients may grow. Those of the classes 1 to 3 grow together, against class 0, which
    # no row with x0 = 1 has.
    X, y = np.array([[1.0], [1.0], [1.0], [0.0]]), [3, 1, 2, 0]
    offset = np.array([[-6, -12, 14, -4], [-2, 17, 28, 7], [9, -3, -12, -3], [2, 0, 0, 2]]) * 1.0
    clf = MaxentClassifier(C=np.inf, bounds=(-50.0, None), fit_intercept=False)
    assert "quasi-complete" in messages(clf.fit, X, y, offset=offset)[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_and_probabilities_lost_in_rounding(dtype):
    # Class 3 alone may not fall for ever; the classes 1 and 2 rise together against it.
    X = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=dtype)
    clf = MaxentClassifier(C=np.inf, bounds=([-50.0, -np.inf], None), fit_intercept=False)
    fit = messages(clf.fit, X, [1, 3, 2, 0], [2.0, 2.0, 2.0, 0.0])
    assert "quasi-complete" in fit[1]


def test_factors_of_classes_that_free_a_coefficient():
    # x1 is 1 in one row, of class 2. Its coefficient is free for class 2 alone, and so may grow.
    rng = np.random.default_rng(0)
    X, y = np.column_stack([rng.normal(size=30), np.arange(30) == 4]), np.arange(30) % 3
    y[4] = 2
    factors = np.ones((3, 2))
    clf = MaxentClassifier(penalty_factor=factors)
    _, said = messages(clf.fit, X, y)
    assert said == ""
    factors[2, 1] = 0.0
    _, said = messages(clf.fit, X, y)
    assert "quasi-complete" in said
    results, _ = messages(clf.infer, X, y)
    assert "separated" in results.notes[0]


def test_centers_of_linear_programs_are_values_of_the_columns():
    # The weight of the only other value moves the mean by less than HiGHS counts as a number.
    X = np.array([[0.0, 7.0], [0.0, 8.0], [0.0, 7.0], [1.0, 9.0]])
    blocks = RowBlocks(X, np.array([0, 1, 2, 2]), np.array([1.0, 1.0, 1.0, 1e-13]), n_logits=3)
    mean = np.average(X, axis=0, weights=blocks.weights)
    columns = Standardisation.of(2, center=mean, scale=np.array([3e-7, 0.5]))
    objective = MultinomialObjective(blocks, Softmax(3), Ridge(np.zeros(2)), columns)
    np.testing.assert_array_equal(column_scales(objective).center, [0.0, 7.0])


@pytest.mark.parametrize("seed", [115, 158, 342, 371])
def test_a_row_apart_from_nearly_equal_columns(seed):
    # x3 is x0 but in one row. Rounding hides that x3 - x0 changes no other row.
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(48, 4))
    X[:, 3] = X[:, 0]
    X[26, 3] += 1.5e-4
    found = detect_separation(X, rng.integers(0, 3, 48))
    assert (found.kind, found.features) == ("quasi-complete", ["x0", "x3"])
    np.testing.assert_array_equal(np.flatnonzero(found.separated), [26])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("size", [1.0, 10.0, 30.0, 100.0])
def test_offsets_do_not_change_what_is_separated(n_classes, size):
    # Whether maxima exist depends on X and y alone. The offsets of all rows, or of the only row
    # that is separated, may favour the row's own class.
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(60, 3))
        y = rng.integers(0, n_classes, 60)
        offset = size * np.abs(rng.normal(size=60))
        if seed % 2:
            X[:, 2] = np.arange(60) == 7
            offset[np.arange(60) != 7] *= seed % 3
        offset = np.eye(n_classes)[y] * offset[:, None]
        offset = offset[:, 1] - offset[:, 0] if n_classes == 2 else offset
        _, said = messages(MaxentClassifier(C=np.inf).fit, X, y, offset=offset)
        assert ("separated" in said) == (detect_separation(X, y).kind != "none")
