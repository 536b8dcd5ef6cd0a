"""Conformal sets against their definition, fits without each row, and their coverage."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import softmax
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier, conformal_sets, from_formula, infer, leave_one_out


def simulated(rng, n, coef):
    X = rng.normal(size=(n, coef.shape[1]))
    return X, (X @ coef.T + rng.gumbel(size=(n, len(coef)))).argmax(axis=1)


X_FLOWERS, Y_FLOWERS = simulated(np.random.default_rng(10), 150, np.eye(3, 2))
FRAME = pd.DataFrame(X_FLOWERS, columns=["length", "width"])


def cumulative(P):
    """The total of all more probable classes and half of the class."""
    return np.array([[row[row > p].sum() + 0.5 * p for p in row] for row in P])


SCORES = {"probability": lambda P: 1.0 - P, "cumulative": cumulative}


def ranks(scores, alpha):
    """⌈(1 - α)(n + 1)⌉."""
    return int(np.ceil((1.0 - alpha) * (len(scores) + 1) - 1e-9))


@pytest.mark.parametrize("parameters", [{"C": np.inf}, {"C": 0.5}, {"C": 0.5, "l1_ratio": 1.0}])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_thresholds_are_quantiles_of_the_scores_of_fits_without_each_row(parameters, n_classes):
    """But for two ranks: steps towards the fits without a row are not exact."""
    n, alpha = 60, 0.15
    X, y = simulated(np.random.default_rng(0), n, np.eye(n_classes, 3))
    clf = MaxentClassifier(tol=1e-6, max_iter=500, warm_start=True, **parameters).fit(X, y)
    P = np.empty((n, n_classes))
    for i in range(n):
        P[i] = clf.fit(np.delete(X, i, 0), np.delete(y, i)).predict_proba(X[[i]])[0]
    clf.fit(X, y)
    new = np.random.default_rng(1).normal(size=(40, 3))
    for score, function in SCORES.items():
        exact, of_new = function(P), function(clf.predict_proba(new))
        observed = exact[np.arange(n), y]
        sets = conformal_sets(clf, X, y, alpha=alpha, score=score)
        assert len(set(sets.thresholds)) == 1
        assert abs((observed <= sets.thresholds[0]).sum() - ranks(y, alpha)) <= 2
        by_class = conformal_sets(clf, X, y, alpha=alpha, score=score, class_conditional=True)
        for k, limit in enumerate(by_class.thresholds):
            assert abs((observed[y == k] <= limit).sum() - ranks(y[y == k], alpha)) <= 2
        assert by_class.mean_size == pytest.approx(
            np.less_equal(exact, by_class.thresholds).sum(axis=1).mean(), abs=0.1
        )
        for found in (sets, by_class):
            inside = np.less_equal(of_new, found.thresholds)
            np.testing.assert_array_equal(found.predict(new).to_numpy(), inside)


@pytest.mark.parametrize("score", ["probability", "cumulative"])
@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_thresholds_are_quantiles_of_leave_one_out_scores(score, alpha):
    clf = MaxentClassifier(C=1.0).fit(X_FLOWERS, Y_FLOWERS)
    P = np.exp(leave_one_out(clf, X_FLOWERS, Y_FLOWERS).log_proba)
    S = SCORES[score](P)
    observed = np.sort(S[np.arange(150), Y_FLOWERS])
    sets = conformal_sets(clf, X_FLOWERS, Y_FLOWERS, alpha=alpha, score=score)
    limit = observed[ranks(observed, alpha) - 1]
    np.testing.assert_allclose(sets.thresholds, [limit] * 3, rtol=1e-12)
    assert sets.mean_size == pytest.approx((limit + 1e-12 >= S).sum() / 150)


@pytest.mark.parametrize("score", ["probability", "cumulative"])
def test_sets_cover_as_often_as_they_say(score):
    """Over data drawn again, by the exact binomial interval of each count.

    The rank of a new row's score among n + 1 is uniform for exchangeable scores, so that the
    probability is between 1 - α and 1 - α + 1/(n + 1).
    """
    rng, alpha, n, n_new, n_draws = np.random.default_rng(0), 0.2, 60, 5, 200
    coef = rng.normal(size=(3, 4))
    covered = 0
    for _ in range(n_draws):
        X, y = simulated(rng, n + n_new, coef)
        clf = MaxentClassifier(C=1.0).fit(X[:n], y[:n])
        sets = conformal_sets(clf, X[:n], y[:n], alpha=alpha, score=score, max_refits=0)
        covered += sets.predict(X[n:]).to_numpy()[np.arange(n_new), y[n:]].sum()
    # Rows of one draw share their fit: the variance of their mean is at most that of n_draws rows.
    interval = stats.binomtest(round(covered / n_new), n_draws).proportion_ci(0.999)
    assert interval.low <= 1.0 - alpha + 1.0 / (n + 1)
    assert interval.high >= 1.0 - alpha
    assert covered / (n_new * n_draws) == pytest.approx(1.0 - alpha, abs=0.04)


def test_class_conditional_sets_cover_rare_classes():
    rng, alpha = np.random.default_rng(3), 0.2
    coef, n, n_draws = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), 150, 60
    intercept = np.array([1.0, 1.0, -1.2])

    def draw(n):
        X = rng.normal(size=(n, 2))
        return X, (X @ coef.T + intercept + rng.gumbel(size=(n, 3))).argmax(axis=1)

    covered, rare = np.zeros(2), 0
    for _ in range(n_draws):
        X, y = draw(n)
        clf = MaxentClassifier(C=1.0).fit(X, y)
        new, of_new = draw(300)
        new = new[of_new == 2]
        rare += len(new)
        for at, by_class in enumerate([False, True]):
            sets = conformal_sets(clf, X, y, alpha=alpha, class_conditional=by_class, max_refits=0)
            covered[at] += sets.predict(new)[2].sum()
    of_all, of_class = (stats.binomtest(int(count), rare).proportion_ci(0.999) for count in covered)
    assert of_all.high < 0.3
    assert of_class.high >= 1.0 - alpha


@pytest.mark.parametrize("score", ["probability", "cumulative"])
def test_frequency_weights_and_counts_are_repeated_rows(score):
    rng = np.random.default_rng(4)
    X, y = simulated(rng, 50, np.eye(3))
    counts = rng.integers(0, 4, size=50)
    row = np.repeat(np.arange(50), counts)
    options = {"alpha": 0.25, "score": score, "max_refits": 0}
    clf = MaxentClassifier(C=1.0, tol=1e-9)
    expected = conformal_sets(clf.fit(X[row], y[row]), X[row], y[row], **options)
    weighted = conformal_sets(clf.fit(X, y, counts), X, y, counts, **options)
    np.testing.assert_allclose(weighted.thresholds, expected.thresholds, rtol=1e-5)
    assert weighted.mean_size == pytest.approx(expected.mean_size)
    table = rng.integers(0, 3, size=(50, 3))
    table[:, 0] += 1
    row, label = np.indices(table.shape).reshape(2, -1).repeat(table.ravel(), axis=1)
    expected = conformal_sets(clf.fit(X[row], label), X[row], label, **options)
    of_table = conformal_sets(clf.fit(X, table), X, table, **options)
    np.testing.assert_allclose(of_table.thresholds, expected.thresholds, rtol=1e-5)
    assert of_table.mean_size == pytest.approx(expected.mean_size)


def test_the_scale_of_sampling_weights_does_not_matter():
    X, y = simulated(np.random.default_rng(5), 80, np.eye(3))
    w = np.random.default_rng(6).uniform(0.5, 2.0, size=80)
    found = []
    for scale in (1.0, 1000.0):
        clf = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, y, scale * w)
        sets = conformal_sets(clf, X, y, scale * w, weights="probability", max_refits=0)
        found.append(sets.thresholds[0])
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    log_proba = leave_one_out(clf, X, y, scale * w, weights="probability", max_refits=0).log_proba
    scores = 1.0 - np.exp(log_proba[np.arange(80), y])
    # The smallest score with nine tenths of the weight of all rows and of a new one below it.
    order, w = np.argsort(scores), w / w.mean()
    reached = np.flatnonzero(np.cumsum(w[order]) >= 0.9 * 81.0)
    assert found[0] == pytest.approx(scores[order[reached[0]]], rel=1e-6)


def test_too_few_observations_give_all_classes():
    X, y = simulated(np.random.default_rng(7), 30, np.eye(3))
    y[y == 2] = 0
    y[:2] = 2
    clf = MaxentClassifier(C=1.0).fit(X, y)
    sets = conformal_sets(clf, X, y, alpha=0.1, class_conditional=True)
    assert sets.thresholds[2] == np.inf
    assert sets.predict(X)[2].all()
    assert conformal_sets(clf, X, y, alpha=0.03).predict(X).to_numpy().all()
    # The only observation of a class has the largest score.
    y[1] = 0
    clf.fit(X, y)
    sets = conformal_sets(clf, X, y, alpha=1.0 / 31.0)
    assert sets.thresholds.tolist() == [1.0] * 3


def test_pipelines_offsets_and_pickles():
    y = np.array(["setosa", "versicolor", "virginica"])[Y_FLOWERS]
    offset = np.random.default_rng(8).normal(size=(150, 3))
    frame = FRAME.set_axis([f"flower {i}" for i in range(150)])
    pipe = make_pipeline(StandardScaler(), MaxentClassifier(C=np.inf, tol=1e-8))
    pipe.fit(frame, y, maxentclassifier__offset=offset)
    results = infer(pipe, frame, y, offset=offset)
    sets = results.conformal(alpha=0.2)
    alone = conformal_sets(pipe, frame, y, offset=offset, alpha=0.2)
    np.testing.assert_allclose(sets.thresholds, alone.thresholds, rtol=1e-9)
    Z = StandardScaler().fit_transform(frame)
    P = softmax(pipe[-1].decision_function(Z, offset=offset), axis=1)
    table = sets.predict(frame, offset)
    np.testing.assert_array_equal(table.to_numpy(), np.less_equal(1.0 - P, sets.thresholds))
    assert table.index.equals(frame.index)
    assert table.columns.tolist() == ["setosa", "versicolor", "virginica"]
    with pytest.raises(ValueError, match="fitted with an offset"):
        sets.predict(frame)
    stored = pickle.dumps(sets)
    assert len(stored) < 10_000
    pd.testing.assert_frame_equal(pickle.loads(stored).predict(frame, offset), table)
    # Another fit of the same object does not change the sets.
    pipe.fit(frame[::2], y[::2], maxentclassifier__offset=offset[::2])
    assert pipe[-1].coef_.shape == (3, 2)
    classifier = MaxentClassifier(C=1.0).fit(frame, y)
    sets = conformal_sets(classifier, frame, y)
    before = sets.predict(frame)
    classifier.coef_[:] = 0.0
    pd.testing.assert_frame_equal(sets.predict(frame), before)


def test_formulas_and_results_of_sampling_weights():
    frame = FRAME.assign(y=Y_FLOWERS)
    w = np.random.default_rng(9).uniform(0.5, 2.0, size=150)
    clf = MaxentClassifier(C=np.inf, tol=1e-8).fit(X_FLOWERS, Y_FLOWERS, w)
    results = clf.infer(X_FLOWERS, Y_FLOWERS, w, weights="probability")
    expected = conformal_sets(clf, X_FLOWERS, Y_FLOWERS, w, weights="probability")
    np.testing.assert_allclose(results.conformal().thresholds, expected.thresholds, rtol=1e-7)
    model = from_formula("y ~ length * width", frame, C=np.inf)
    table = infer(model, frame, frame["y"]).conformal(alpha=0.3).predict(frame.head(3))
    assert table.shape == (3, 3)


def test_what_has_no_sets_is_refused():
    clf = MaxentClassifier(C=1.0).fit(X_FLOWERS, Y_FLOWERS)
    for alpha in (0.0, 1.0, -0.1, "0.1", None, np.nan):
        with pytest.raises(ValueError, match=r"alpha must be a number between 0 and 1, found"):
            conformal_sets(clf, X_FLOWERS, Y_FLOWERS, alpha=alpha)
    with pytest.raises(
        ValueError, match=r"score must be one of \['probability', 'cumulative'\], found"
    ):
        conformal_sets(clf, X_FLOWERS, Y_FLOWERS, score="lac")
    with pytest.raises(ValueError, match="class_conditional must be True or False, found 'yes'"):
        conformal_sets(clf, X_FLOWERS, Y_FLOWERS, class_conditional="yes")
    with pytest.raises(ValueError, match="class_conditional must be True or False, found array"):
        conformal_sets(clf, X_FLOWERS, Y_FLOWERS, class_conditional=np.array([True, False]))
    with pytest.raises(ValueError, match="max_refits must be"):
        conformal_sets(clf, X_FLOWERS, Y_FLOWERS, max_refits=-1)
    with pytest.raises(NotFittedError):
        conformal_sets(MaxentClassifier(), X_FLOWERS, Y_FLOWERS)
    with pytest.raises(TypeError, match="conformal_sets expects a MaxentClassifier"):
        conformal_sets(StandardScaler(), X_FLOWERS, Y_FLOWERS)
    with pytest.raises(ValueError, match=r"no rows of positive weight of the classes \[2\]"):
        conformal_sets(clf, X_FLOWERS[Y_FLOWERS < 2], Y_FLOWERS[Y_FLOWERS < 2])
    results = (
        MaxentClassifier(C=np.inf)
        .fit(X_FLOWERS, Y_FLOWERS)
        .infer(X_FLOWERS, Y_FLOWERS, features=["x0"])
    )
    with pytest.raises(ValueError, match="need all features"):
        results.conformal()
    with pytest.raises(ValueError, match="2 features"):
        conformal_sets(clf, X_FLOWERS, Y_FLOWERS).predict(X_FLOWERS[:, :1])


@pytest.mark.parametrize("score", ["probability", "cumulative"])
def test_sets_of_dask_collections_are_lazy_and_those_of_the_rows(score):
    da = pytest.importorskip("dask.array")
    dd = pytest.importorskip("dask.dataframe")
    rng = np.random.default_rng(8)
    X = rng.normal(size=(90, 3))
    y = (X + rng.gumbel(size=(90, 3))).argmax(axis=1)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    offset = rng.normal(size=(90, 3))
    clf = MaxentClassifier(C=1.0).fit(frame, y, offset=offset)
    sets = conformal_sets(
        clf, frame, y, offset=offset, alpha=0.2, class_conditional=True, score=score
    )
    expected = sets.predict(frame, offset).to_numpy()
    assert 0 < expected.sum() < expected.size
    rows = dd.from_pandas(frame, npartitions=4)
    lengths = tuple(len(rows.partitions[i]) for i in range(4))
    found = sets.predict(rows, da.from_array(offset, chunks=(lengths, 3)))
    assert isinstance(found, da.Array)
    assert found.dtype == bool
    np.testing.assert_array_equal(found.compute(), expected)
    array = MaxentClassifier(C=1.0).fit(X, y)
    sets = conformal_sets(array, X, y, score=score)
    found = sets.predict(da.from_array(X, chunks=(20, 3)))
    assert found.shape == (90, 3)
    np.testing.assert_array_equal(found.compute(), sets.predict(X).to_numpy())
