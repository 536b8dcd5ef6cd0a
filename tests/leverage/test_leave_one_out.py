"""Leave-one-out scores against fits without each row."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.special import log_softmax
from sklearn.datasets import load_iris, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier, from_formula, infer, leave_one_out
from skmaxent._leverage import _refit_choice

IRIS = load_iris(return_X_y=True)
WINE = StandardScaler().fit_transform(load_wine().data), load_wine().target


def simulated(n, d, n_classes, seed, size=0.3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    coef = size * rng.normal(size=(n_classes, d))
    return X, (X @ coef.T + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


WIDE = simulated(60, 30, 3, 0)
# As many rows as birthwt of R's MASS, and about as many columns.
BIRTHS = simulated(189, 8, 2, 1, size=0.5)


def refitted(X, y, rows=None, **parameters):
    """Log-probabilities of each row by the fit without it."""
    rows = np.arange(len(y)) if rows is None else rows
    out = []
    clf = MaxentClassifier(tol=1e-6, max_iter=500, warm_start=True, **parameters)
    for i in rows:
        kept = np.arange(len(y)) != i
        clf.fit(X[kept], y[kept])
        out.append(clf.predict_log_proba(X[[i]])[0])
    return np.array(out)


@pytest.mark.parametrize(
    ("data", "parameters"),
    [
        (IRIS, {"C": 1.0}),
        (IRIS, {"C": 1.0, "l1_ratio": 0.5}),
        (WINE, {"C": 10.0}),
        (WINE, {"C": 1.0, "l1_ratio": 1.0}),
        (BIRTHS, {"C": np.inf}),
        (BIRTHS, {"C": 1.0, "l1_ratio": 1.0}),
        (BIRTHS, {"C": 1.0, "bounds": (-0.3, 0.4)}),
        (WIDE, {"C": 0.3}),
        (WIDE, {"C": 0.5, "l1_ratio": 1.0}),
        (WIDE, {"C": 0.5, "l1_ratio": 1.0, "grouped": True}),
    ],
)
def test_scores_are_those_of_refits_to_a_tenth_of_their_standard_error(data, parameters):
    X, y = data
    exact = refitted(X, y, **parameters)
    of_class = exact[np.arange(len(y)), y]
    clf = MaxentClassifier(tol=1e-8, **parameters).fit(X, y)
    scores = leave_one_out(clf, X, y)
    error = of_class.std(ddof=1) / np.sqrt(len(y))
    assert abs(scores.log_score - of_class.mean()) < 0.1 * error
    if parameters.get("l1_ratio", 0.0) == 0.0 and "bounds" not in parameters:
        assert abs(scores.log_score - of_class.mean()) <= scores.approximation_error + 1e-6
    assert scores.log_score_std_err == pytest.approx(error, rel=0.05)
    assert scores.n_refits == len(scores.refitted) < len(y)
    np.testing.assert_allclose(
        scores.log_proba[scores.refitted], exact[scores.refitted], rtol=2e-3, atol=1e-4
    )
    assert scores.accuracy == pytest.approx((exact.argmax(axis=1) == y).mean(), abs=0.017)
    np.testing.assert_allclose(np.exp(scores.log_proba).sum(axis=1), 1.0)


@pytest.mark.parametrize("grouped", [False, True])
def test_one_step_is_nearer_the_smaller_the_changes_are(grouped):
    """For a ridge the error of one Newton step is of second order in the change."""
    X, y = simulated(150, 4, 3, 3)
    parameters = {"C": 1.0, "l1_ratio": 1.0 if grouped else 0.0, "grouped": grouped}
    rows = np.arange(0, 150, 10)
    exact = refitted(X, y, rows, **parameters)
    clf = MaxentClassifier(tol=1e-9, **parameters).fit(X, y)
    fitted = clf.predict_log_proba(X[rows])
    held_out = leave_one_out(clf, X, y, max_refits=0).log_proba[rows]
    error, change = np.abs(held_out - exact).max(axis=1), np.abs(fitted - exact).max(axis=1)
    assert (error < 0.1 * change).all()


def test_without_a_penalty_degrees_of_freedom_are_the_coefficients():
    X, y = simulated(300, 4, 3, 2)
    clf = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
    scores = leave_one_out(clf, X, y, max_refits=0)
    assert scores.effective_df == pytest.approx(10.0, rel=1e-10)
    assert scores.aic == pytest.approx(clf.infer(X, y).aic, rel=1e-10)


def test_degrees_of_freedom_of_a_ridge_are_those_of_the_whole_hessian():
    X, y = simulated(80, 5, 3, 4)
    clf = MaxentClassifier(C=0.2, tol=1e-9).fit(X, y)
    P = clf.predict_proba(X)
    rows = np.column_stack([X, np.ones(len(X))])
    curvature = np.einsum("ik,kl->ikl", P, np.eye(3)) - np.einsum("ik,il->ikl", P, P)
    H = np.einsum("ikl,ia,ib->kalb", curvature, rows, rows).reshape(18, 18)
    penalty = np.kron(np.eye(3), np.diag([5.0] * 5 + [0.0]))
    expected = np.trace(np.linalg.pinv(H + penalty) @ H)
    assert leave_one_out(clf, X, y).effective_df == pytest.approx(expected, rel=1e-8)


def test_lasso_has_as_many_degrees_of_freedom_as_free_coefficients():
    X, y = WINE
    clf = MaxentClassifier(C=0.3, l1_ratio=1.0, tol=1e-9).fit(X, y)
    free = np.count_nonzero(clf.coef_) + 2  # one of three intercepts is redundant
    assert leave_one_out(clf, X, y, max_refits=0).effective_df == pytest.approx(free, rel=1e-9)


def test_storage_threads_and_blocks_do_not_matter(stored, small_blocks):
    X, y = simulated(200, 6, 3, 5)
    X[np.abs(X) < 0.5] = 0.0
    expected = leave_one_out(MaxentClassifier(C=1.0, tol=1e-9).fit(X, y), X, y, max_refits=0)
    X = stored(X)
    clf = MaxentClassifier(C=1.0, tol=1e-9, n_jobs=2).fit(X, y)
    scores = leave_one_out(clf, X, y, max_refits=0)
    np.testing.assert_allclose(scores.log_proba, expected.log_proba, rtol=1e-6, atol=1e-8)
    for l1_ratio in (0.5, 1.0):
        clf = MaxentClassifier(C=1.0, l1_ratio=l1_ratio, tol=1e-9).fit(X, y)
        few = leave_one_out(clf, X, y, max_refits=3)
        assert few.n_refits == 3


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_frequency_weights_leave_out_one_of_equal_rows(n_classes, l1_ratio):
    X, y = simulated(60, 3, n_classes, 6)
    count = np.random.default_rng(7).integers(1, 4, size=len(y))
    clf = MaxentClassifier(C=1.0, l1_ratio=l1_ratio, tol=1e-9)
    repeated = np.repeat(np.arange(len(y)), count)
    clf.fit(X[repeated], y[repeated])
    many = leave_one_out(clf, X[repeated], y[repeated], max_refits=0)
    few = leave_one_out(clf.fit(X, y, count), X, y, count, max_refits=0)
    assert few.log_score == pytest.approx(many.log_score, abs=1e-6)
    assert few.log_score_std_err == pytest.approx(many.log_score_std_err, abs=1e-6)
    assert few.accuracy == pytest.approx(many.accuracy)
    assert few.accuracy_std_err == pytest.approx(many.accuracy_std_err)
    assert few.effective_df == pytest.approx(many.effective_df, rel=1e-6)
    np.testing.assert_allclose(few.log_proba[repeated], many.log_proba, rtol=1e-5, atol=1e-7)


def test_sampling_weights_leave_out_whole_rows():
    X, y = simulated(60, 3, 3, 8)
    weight = np.random.default_rng(9).uniform(0.5, 4.0, size=len(y))
    clf = MaxentClassifier(C=1.0, tol=1e-9).fit(X, y, weight)
    scores = leave_one_out(clf, X, y, weight, weights="probability", max_refits=0)
    fitted = clf.predict_log_proba(X)
    for i in (0, 20, 40):
        kept = np.arange(len(y)) != i
        # The strength of the penalty is 1/C whatever the weights sum to.
        exact = MaxentClassifier(C=1.0, tol=1e-8).fit(X[kept], y[kept], weight[kept])
        exact = exact.predict_log_proba(X[[i]])[0]
        error = np.abs(scores.log_proba[i] - exact).max()
        assert error < 0.15 * np.abs(fitted[i] - exact).max()
    of_class = scores.log_proba[np.arange(len(y)), y]
    assert scores.log_score == pytest.approx(np.average(of_class, weights=weight))
    # The scale of sampling weights does not matter, except for the strength of the penalty.
    clf = MaxentClassifier(C=0.1, tol=1e-9).fit(X, y, 10.0 * weight)
    scaled = leave_one_out(clf, X, y, 10.0 * weight, weights="probability", max_refits=0)
    assert scaled.log_score_std_err == pytest.approx(scores.log_score_std_err, rel=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("max_refits", [0, None])
def test_tables_of_counts_leave_out_one_observation(monkeypatch, n_classes, max_refits):
    monkeypatch.setattr(_refit_choice, "SCORE_TOLERANCE", 0.0)  # None makes all fits
    rng = np.random.default_rng(10)
    X = rng.normal(size=(12, 2))
    counts = rng.integers(0, 5, size=(12, n_classes))
    counts[:, 0] += 1
    clf = MaxentClassifier(C=1.0, tol=1e-10).fit(X, counts)
    scores = leave_one_out(clf, X, counts, max_refits=max_refits)
    assert scores.n_refits == (0 if max_refits == 0 else np.count_nonzero(counts))
    row, label = np.repeat(np.indices(counts.shape).reshape(2, -1), counts.ravel(), axis=1)
    long = MaxentClassifier(C=1.0, tol=1e-10).fit(X[row], label)
    expected = leave_one_out(long, X[row], label, max_refits=max_refits)
    of_class = expected.log_proba[np.arange(len(row)), label]
    np.testing.assert_allclose(scores.log_proba[row, label], of_class, rtol=1e-5)
    for name in ("log_score", "log_score_std_err", "accuracy", "accuracy_std_err", "aic"):
        assert getattr(scores, name) == pytest.approx(getattr(expected, name), rel=1e-6)


def test_rows_of_shares_are_left_out_as_a_whole():
    rng = np.random.default_rng(16)
    X, shares = rng.normal(size=(40, 2)), rng.dirichlet(np.ones(3), size=40)
    clf = MaxentClassifier(C=1.0, tol=1e-9).fit(X, shares)
    scores = leave_one_out(clf, X, shares, max_refits=0)
    other = leave_one_out(clf, X, shares, weights="probability", max_refits=0)
    np.testing.assert_array_equal(scores.log_proba, other.log_proba)
    kept = np.arange(40) != 3
    exact = MaxentClassifier(C=1.0, tol=1e-9).fit(X[kept], shares[kept]).predict_log_proba(X[[3]])
    change = np.abs(clf.predict_log_proba(X[[3]]) - exact).max()
    assert np.abs(scores.log_proba[3] - exact).max() < 0.1 * change
    expected = (shares * scores.log_proba).sum(axis=1)
    assert scores.log_score == pytest.approx(expected.mean())


def test_class_weights_do_not_weigh_the_scores_of_shares():
    """Without features the fit without a row has the weighted shares of the other rows."""
    rng = np.random.default_rng(0)
    counts, factors = rng.multinomial(4, [0.5, 0.3, 0.2], size=30), np.array([0.3, 1.0, 4.0])
    X = pd.DataFrame(index=range(30))
    clf = MaxentClassifier(class_weight=dict(enumerate(factors))).fit(X, counts)
    found = leave_one_out(clf, X, counts, weights="probability", max_refits=None)
    others = (counts.sum(axis=0) - counts) * factors
    log_proba = np.log(others / others.sum(axis=1, keepdims=True))
    expected = (counts * log_proba).sum() / counts.sum()
    assert found.log_score == pytest.approx(expected, abs=0.1 * found.log_score_std_err)


def test_offsets_and_prior_correction_are_in_the_held_out_logits():
    X, y = simulated(150, 2, 3, 11)
    offset = np.random.default_rng(12).normal(size=(150, 3))
    clf = MaxentClassifier(C=1.0, prior_correction=[0.2, 0.3, 0.5], tol=1e-9).fit(
        X, y, None, offset
    )
    scores = leave_one_out(clf, X, y, offset=offset, max_refits=0)
    exact = leave_one_out(clf, X, y, offset=offset, max_refits=None)
    i, kept = 5, np.arange(150) != 5
    one = MaxentClassifier(C=1.0, tol=1e-9).fit(X[kept], y[kept], None, offset[kept])
    shares = np.bincount(y) / 150
    logits = one.decision_function(X[[i]], offset=offset[[i]])[0] + np.log([0.2, 0.3, 0.5] / shares)
    change = np.abs(clf.predict_log_proba(X[[i]], offset=offset[[i]])[0] - log_softmax(logits))
    assert np.abs(scores.log_proba[i] - log_softmax(logits)).max() < 0.2 * change.max()
    assert exact.log_score == pytest.approx(scores.log_score, abs=1e-3)


def test_the_model_of_intercepts_has_a_closed_form():
    """Without an observation the shares are (n_k - 1)/(n - 1) for its class."""
    rng = np.random.default_rng(17)
    frame = pd.DataFrame({"x": np.zeros(60), "y": rng.choice(list("abc"), size=60)})
    model = from_formula("y ~ 1", frame)
    scores = infer(model, frame, frame["y"]).loo(max_refits=None)
    counts = frame["y"].map(frame["y"].value_counts())
    exact = np.log((counts - 1) / 59)
    error = exact.std() / np.sqrt(60)
    assert abs(scores.log_score - exact.mean()) < 0.1 * error
    assert scores.effective_df == pytest.approx(2.0)


def test_redundant_columns_do_not_matter():
    X, y = simulated(100, 3, 3, 13)
    expected = leave_one_out(MaxentClassifier(C=np.inf, tol=1e-9).fit(X, y), X, y, max_refits=0)
    twice = np.column_stack([X, X[:, :1] - X[:, 1:2]])
    with pytest.warns(UserWarning, match="linear combinations"):
        clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(twice, y)
    scores = leave_one_out(clf, twice, y, max_refits=0)
    np.testing.assert_allclose(scores.log_proba, expected.log_proba, rtol=1e-5, atol=1e-7)
    assert scores.effective_df == pytest.approx(8.0, rel=1e-6)


def test_pipelines_and_frames_keep_the_names_of_rows():
    X, y = IRIS
    frame = pd.DataFrame(X, index=[f"flower {i}" for i in range(150)])
    labels = np.array(["a", "b", "c"])[y]
    model = make_pipeline(StandardScaler(), MaxentClassifier(C=1.0)).fit(frame, labels)
    table = leave_one_out(model, frame, labels).to_frame()
    assert table.index.equals(frame.index)
    assert table.columns.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("C", [0.5, np.inf])
def test_results_have_the_same_scores(C):
    X, y = BIRTHS
    frame = pd.DataFrame(X, index=np.arange(189) + 1000)
    clf = MaxentClassifier(C=C).fit(frame, y)
    results, expected = clf.infer(frame, y), leave_one_out(clf, frame, y)
    scores = results.loo()
    np.testing.assert_array_equal(scores.log_proba, expected.log_proba)
    assert scores.to_frame().index.equals(frame.index)
    assert results.effective_df == pytest.approx(expected.effective_df)
    assert results.effective_aic == pytest.approx(expected.aic)
    with pytest.raises(ValueError, match="max_refits must be None or an integer"):
        results.loo(max_refits=-1)


def test_results_follow_their_kind_of_weights():
    X, y = simulated(60, 3, 3, 8)
    weight = np.random.default_rng(9).uniform(0.5, 4.0, size=len(y))
    clf = MaxentClassifier(C=np.inf).fit(X, y, weight)
    for weights in ("frequency", "probability"):
        results = clf.infer(X, y, weight, weights=weights)
        expected = leave_one_out(clf, X, y, weight, weights=weights)
        np.testing.assert_array_equal(results.loo().log_proba, expected.log_proba)


def test_results_of_a_bootstrap_have_scores_of_the_lasso():
    X, y = BIRTHS
    clf = MaxentClassifier(C=0.1, l1_ratio=1.0, random_state=0).fit(X, y)
    results = clf.infer(X, y, method="bootstrap", n_bootstrap=3)
    expected = leave_one_out(clf, X, y)
    np.testing.assert_array_equal(results.loo().log_proba, expected.log_proba)
    assert results.effective_df == pytest.approx(np.count_nonzero(clf.coef_) + 1)


def test_fits_that_have_no_leave_one_out_are_refused():
    X, y = IRIS
    clf = MaxentClassifier(C=1.0).fit(X, y)
    with pytest.raises(TypeError, match="leave_one_out expects a MaxentClassifier"):
        leave_one_out(StandardScaler().fit(X), X, y)
    with pytest.raises(ValueError, match="weights must be"):
        leave_one_out(clf, X, y, weights="sampling")
    rare = np.where(np.arange(150) == 0, 3, y)
    with pytest.raises(ValueError, match=r"classes \[3\] have a single observation"):
        leave_one_out(MaxentClassifier().fit(X, rare), X, rare)
    two = X[50:], y[50:]
    reduced = MaxentClassifier(C=np.inf, bias_reduction="jeffreys").fit(*two)
    with pytest.raises(ValueError, match="not available with bias_reduction"):
        leave_one_out(reduced, *two)
    counts = np.ones((4, 2)) + np.eye(4)[:, :2]
    balanced = MaxentClassifier(class_weight={0: 1.0, 1: 2.0}).fit(X[:4], counts)
    with pytest.raises(ValueError, match="class_weight has no single observations"):
        leave_one_out(balanced, X[:4], counts)
    offset = MaxentClassifier().fit(X, y, offset=np.zeros((150, 3)))
    with pytest.raises(ValueError, match="leave_one_out needs the offset"):
        leave_one_out(offset, X, y)


def test_separated_leave_outs_are_counted():
    X = np.array([[0.0], [1.0], [2.0], [1.5], [2.0], [3.0], [0.5], [2.5]])
    y = np.array([0, 0, 0, 1, 1, 1, 0, 1])
    clf = MaxentClassifier(C=np.inf).fit(X, y)
    with pytest.warns(UserWarning, match="separated without one of"):
        scores = leave_one_out(clf, X, y)
    # Without the third row, or without the fourth, some x separates the classes.
    assert 2 in scores.separated
    assert set(scores.separated) <= {2, 3}


def test_sparse_wide_lasso_reads_the_columns_that_vary_alone():
    rng = np.random.default_rng(14)
    X = sp.csr_array(sp.random(120, 500, density=0.05, random_state=rng, format="csr"))
    y = (X[:, :5].sum(axis=1) + 0.1 * rng.normal(size=120) > 0.05).astype(int)
    clf = MaxentClassifier(C=1.0, l1_ratio=1.0, tol=1e-6).fit(X, y)
    assert 0 < np.count_nonzero(clf.coef_) < 100
    scores = leave_one_out(clf, X, y, max_refits=0)
    dense = leave_one_out(clf, X.toarray(), y, max_refits=0)
    np.testing.assert_allclose(scores.log_proba, dense.log_proba, rtol=1e-7)


def test_sampling_weights_have_no_information_criterion():
    X, y = load_iris(return_X_y=True)
    weights = 1.0 + np.arange(len(y)) % 2
    clf = MaxentClassifier(C=np.inf).fit(X[:, [1]], y, weights)
    results = clf.infer(X[:, [1]], y, weights, weights="probability")
    assert np.isnan(results.loo(max_refits=0).aic)
    with pytest.raises(ValueError, match="effective_aic needs independent rows"):
        _ = results.effective_aic


@pytest.mark.parametrize("parameters", [{"C": 1.0}, {"C": np.inf}, {"C": 1.0, "l1_ratio": 0.5}])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_of_another_fit_are_warned_of(n_classes, parameters):
    X, y = simulated(80, 3, n_classes, 4)
    weights = np.full(80, 4.0)
    clf = MaxentClassifier(tol=1e-8, **parameters).fit(X, y, weights)
    leave_one_out(clf, X, y, weights)  # no warning
    with pytest.warns(UserWarning, match="standard errors from the optimum for X and y: leave_one"):
        leave_one_out(clf, X, np.roll(y, 1), weights)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_distance_to_the_optimum_is_that_of_infer(n_classes):
    X, y = simulated(80, 3, n_classes, 4)
    clf = MaxentClassifier(C=1.0, tol=1e-8).fit(X, y)
    other = np.roll(y, 1)
    distances = []
    for function in (clf.infer, lambda X, y: leave_one_out(clf, X, y)):
        with pytest.warns(UserWarning, match="standard errors from the optimum") as caught:
            function(X, other)
        distances.append(str(caught[0].message).split(" standard errors")[0].split()[-1])
    assert distances[0] == distances[1]


@pytest.mark.parametrize(
    ("data", "C"), [(BIRTHS, 0.059), (BIRTHS, 0.253), (WINE, 0.1), (WIDE, 0.2), (IRIS, 0.2)]
)
def test_one_step_finds_the_zeros_that_change(data, C):
    """With an L1 penalty, fits without a row have other zeros, which one step finds."""
    X, y = data
    parameters = {"C": C, "l1_ratio": 1.0}
    scores = leave_one_out(MaxentClassifier(tol=1e-6, **parameters).fit(X, y), X, y, max_refits=0)
    exact = refitted(X, y, **parameters)[np.arange(len(y)), y]
    assert scores.n_refits == 0
    assert abs(scores.log_score - exact.mean()) < 0.04 * scores.log_score_std_err
    ours = scores.log_proba[np.arange(len(y)), y]
    assert np.quantile(np.abs(ours - exact), 0.9) < 0.05
