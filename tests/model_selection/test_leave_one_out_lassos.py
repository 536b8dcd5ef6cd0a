"""Leave-one-out along lasso paths whose scores are hard to approximate, against exact fits.

The exact scores are those of fits without each observation by accelerated proximal gradients in
NumPy.
"""

import numpy as np
import pytest

from skmaxent import MaxentClassifierCV


@pytest.mark.parametrize(
    "seed, size, ranks, exact",
    [(329731, 0.2, [7, 14], [-0.98151, -1.25593]), (2, 1.5, [2, 7], [-1.08394, -1.08182])],
)
def test_scores_that_exact_fits_show_to_be_far_below_the_best_are_not_chosen(
    seed, size, ranks, exact
):
    """A row that loses its only observation of a class has a pure class: steps are inaccurate.

    Scores between two Cs whose exact fits showed them to be far below the best were those of steps
    again, and higher than the best score.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(47, 80))
    coef = size * rng.normal(size=(3, 80)) * (rng.random((3, 80)) < 0.5)
    y = (X @ coef.T + rng.gumbel(size=(47, 3))).argmax(axis=1)
    counts = np.eye(3, dtype=int)[y] * rng.integers(1, 4, size=(47, 1))
    counts += rng.integers(0, 2, size=(47, 3))
    cv = MaxentClassifierCV(Cs=20, l1_ratios=[1.0], cv="loo").fit(X, counts)
    errors = cv.scores_[0, 0, ranks] - exact
    assert (np.abs(errors) < [0.1, 0.2] * cv.scores_std_err_[0, ranks]).all()
    assert cv.Cs_[ranks[0]] == cv.C_


def test_groups_of_one_logit_are_a_lasso():
    """With two classes a group is one coefficient, and has the scores of one."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(41, 12))
    y = (X[:, :4].sum(axis=1) + 2.0 * rng.normal(size=41) > 0.0).astype(int)
    lasso, grouped = (
        MaxentClassifierCV(Cs=30, l1_ratios=[1.0], cv="loo", grouped=grouped).fit(X, y)
        for grouped in (False, True)
    )
    errors = np.abs(grouped.scores_ - lasso.scores_)[0, 0, : int(lasso.scores_.argmax()) + 3]
    assert (errors < 0.02 * lasso.scores_std_err_[0, : len(errors)]).all()
