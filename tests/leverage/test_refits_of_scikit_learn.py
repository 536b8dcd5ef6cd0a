"""Leave-one-out scores and conformal sets against fits of scikit-learn without each observation."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skmaxent import MaxentClassifier, conformal_sets, leave_one_out

RNG = np.random.default_rng(3)
N = 60
X = RNG.normal(size=(N, 3))
Y = (X @ RNG.normal(size=(3, 3)) + RNG.gumbel(size=(N, 3))).argmax(axis=1)
WEIGHTS = RNG.integers(1, 4, N)
REPEATED = np.repeat(np.arange(N), WEIGHTS)
NEW = RNG.normal(size=(30, 3))


def theirs(weights):
    return LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(X, Y, weights)


@pytest.fixture(scope="module")
def held_out():
    """Log-probabilities of each row by the fit without one of its observations."""
    return np.stack(
        [theirs(WEIGHTS - (np.arange(N) == i)).predict_log_proba(X[[i]])[0] for i in range(N)]
    )


@pytest.fixture(scope="module")
def clf():
    return MaxentClassifier(C=1.0, tol=1e-10).fit(X, Y, WEIGHTS)


def test_scores_are_those_of_the_observations(clf, held_out):
    of_class = held_out[np.arange(N), Y][REPEATED]
    hits = (held_out.argmax(axis=1) == Y)[REPEATED]
    for scores in (  # whose steps towards the fits are not exact
        leave_one_out(clf, X, Y, WEIGHTS),
        clf.infer(X, Y, WEIGHTS).loo(),
        leave_one_out(clf, X, Y, WEIGHTS, max_refits=None),
    ):
        np.testing.assert_allclose(scores.log_proba, held_out, atol=0.01)
        assert abs(scores.log_score - of_class.mean()) <= scores.approximation_error + 1e-6
        error = of_class.std(ddof=1) / np.sqrt(len(of_class))
        assert scores.log_score_std_err == pytest.approx(error, rel=2e-3)
        assert scores.accuracy == pytest.approx(hits.mean())
        assert scores.accuracy_std_err == pytest.approx(
            hits.std(ddof=1) / np.sqrt(len(hits)), rel=1e-6
        )
        np.testing.assert_allclose(scores.to_frame(), np.exp(held_out), atol=0.01)
        assert scores.monte_carlo_error == 0.0  # few coefficients need no random vectors
        assert scores.n_refits == len(scores.refitted)


def test_degrees_of_freedom_are_derivatives():
    """The sum over rows of the derivative of the fitted shares by the observed shares.

    By central differences of fits of scikit-learn, to a row of data for each row and class.
    """
    rows, labels = np.repeat(X, 3, axis=0), np.tile(np.arange(3), N)
    T = np.eye(3)[Y] * WEIGHTS[:, None] + 1.0

    def fitted(T):
        model = LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
        return model.fit(rows, labels, T.ravel()).predict_proba(X)

    total, h = 0.0, 1e-4
    for i in range(N):
        for k in range(3):
            # All classes lose what the class k gains, so that the row keeps its size.
            step = h * (np.eye(3)[k] - 1.0 / 3.0) * (np.arange(N) == i)[:, None]
            change = fitted(T + step)[i, k] - fitted(T - step)[i, k]
            total += T[i].sum() * change / (2.0 * h)
    clf = MaxentClassifier(C=1.0, tol=1e-10).fit(rows, labels, T.ravel())
    found = clf.infer(rows, labels, T.ravel())
    scores = leave_one_out(clf, rows, labels, T.ravel())
    log_likelihood = (T * np.log(fitted(T))).sum()
    for one, aic in ((found, found.effective_aic), (scores, scores.aic)):
        assert one.effective_df == pytest.approx(total, rel=1e-4)
        assert aic == pytest.approx(2.0 * total - 2.0 * log_likelihood, rel=1e-5)


def test_thresholds_and_sets_are_those_of_the_held_out_scores(clf, held_out):
    alpha = 0.2
    scores = (1.0 - np.exp(held_out))[REPEATED]
    observed = np.sort(scores[np.arange(len(REPEATED)), Y[REPEATED]])
    threshold = observed[int(np.ceil((1.0 - alpha) * (len(REPEATED) + 1))) - 1]
    P = theirs(WEIGHTS).predict_proba(NEW)
    for sets in (
        conformal_sets(clf, X, Y, WEIGHTS, alpha=alpha, max_refits=None),
        clf.infer(X, Y, WEIGHTS).conformal(alpha, max_refits=None),
    ):
        np.testing.assert_allclose(sets.thresholds, threshold, atol=5e-3)
        assert sets.mean_size == pytest.approx((scores <= threshold).sum(axis=1).mean(), abs=0.05)
        assert 0 <= sets.n_refits <= N
        clear = np.abs(1.0 - P - threshold) > 0.01
        inside = sets.predict(NEW).to_numpy()
        np.testing.assert_array_equal(inside[clear], (threshold >= 1.0 - P)[clear])
