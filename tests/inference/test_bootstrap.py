"""What is resampled, what is reported of the samples, and that seeds decide alone."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from skmaxent import MaxentClassifier
from skmaxent._inference import _bootstrap
from skmaxent._input import _targets

ML = MaxentClassifier(C=np.inf, random_state=0)


def overlapping(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    logits = X @ rng.normal(size=(2, 3))
    return X, (logits + rng.gumbel(size=(n, 3))).argmax(axis=1)


def draws(n, y, weights=None, groups=None, meaning="frequency", seed=0):
    observed = _targets.observe(y)
    sampling = _bootstrap.Sampling.of(observed, weights, groups, meaning)
    return np.array([sampling.draw(np.random.default_rng([seed, i])) for i in range(n)])


def test_observations_rows_or_clusters_are_drawn():
    """Means and variances of the draws are those of the multinomial distribution."""
    y = np.array([0, 1, 2, 0, 1])
    weights = np.array([1.0, 4.0, 0.0, 3.0, 2.0])
    found = draws(2000, y, weights)
    assert (found.sum(axis=1) == 10.0).all()
    np.testing.assert_allclose(found.mean(axis=0), weights, atol=0.15)
    variance = weights * (1.0 - weights / 10.0)
    np.testing.assert_allclose(found.var(axis=0), variance, rtol=0.15, atol=1e-12)
    # Sampling weights: whole rows, of which four weigh anything.
    found = draws(2000, y, weights, meaning="probability")
    counts = np.divide(found, weights, out=np.zeros_like(found), where=weights > 0)
    assert (counts.sum(axis=1) == 4).all()
    np.testing.assert_allclose(counts.var(axis=0)[[0, 1, 3, 4]], 0.75, rtol=0.15)
    # Clusters: rows of one have one number, and that of row 2, without weight, is no cluster.
    groups = np.array([0, 0, 1, 2, 2])
    found = draws(2000, y, weights, groups)
    counts = found[:, [0, 1, 3, 4]] / weights[[0, 1, 3, 4]]
    np.testing.assert_array_equal(counts[:, 0], counts[:, 1])
    np.testing.assert_array_equal(counts[:, 2], counts[:, 3])
    assert (counts[:, 0] + counts[:, 2] == 2).all()


def test_cells_of_tables_are_drawn_as_observations():
    table = np.array([[3.0, 2.0, 0.0], [1.0, 0.0, 9.0]])
    found = draws(2000, table, np.array([2.0, 1.0]))
    expected = table * [[2.0], [1.0]]
    assert (found.sum(axis=(1, 2)) == 20.0).all()
    assert (found[:, expected == 0.0] == 0.0).all()
    np.testing.assert_allclose(found.mean(axis=0), expected, atol=0.15)
    np.testing.assert_allclose(found.var(axis=0), expected * (1 - expected / 20), rtol=0.15)


def test_tables_weights_and_single_rows_have_the_same_standard_errors():
    """Eight rows of 60 observations: far fewer rows than observations."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": np.arange(8.0)})
    table = pd.DataFrame(rng.multinomial(60, [0.2, 0.3, 0.5], size=8), columns=list("abc"))
    i, k = np.nonzero(table.to_numpy())
    counts = table.to_numpy()[i, k]
    labels = np.array(list("abc"))[k]
    whole = np.repeat(np.arange(len(i)), counts)
    clf = MaxentClassifier(C=np.inf, random_state=0)
    errors = []
    for rows, y, weights in (
        (X, table, None),
        (X.iloc[i], labels, counts),
        (X.iloc[i[whole]], labels[whole], None),
    ):
        clf.fit(rows, y, weights)
        found = clf.infer(rows, y, weights, method="bootstrap", n_bootstrap=100)
        analytic = clf.infer(rows, y, weights)
        assert found.classes == list("abc")
        assert found.n_obs == 480
        errors.append(found.std_errors)
        np.testing.assert_allclose(found.std_errors, analytic.std_errors, rtol=0.3)
    np.testing.assert_allclose(errors[1], errors[0], rtol=0.3)


def test_clusters_are_resampled_together():
    """Against the cluster-robust standard errors, where single rows give half of them."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 10)
    x = rng.normal(size=60)[groups]
    y = (x + 2.0 * rng.normal(size=60)[groups] + rng.logistic(size=600) > 0).astype(int)
    X = x[:, None]
    clf = ML.fit(X, y)
    found = clf.infer(X, y, method="bootstrap", n_bootstrap=100, groups=groups)
    robust = sm.Logit(y, sm.add_constant(X, prepend=False)).fit(
        disp=0, cov_type="cluster", cov_kwds={"groups": groups}
    )
    np.testing.assert_allclose(found.std_errors[0], robust.bse, rtol=0.3)
    single = clf.infer(X, y, method="bootstrap", n_bootstrap=30)
    assert (found.std_errors > 1.5 * single.std_errors).all()
    assert found.n_groups == 60
    assert single.n_groups is None
    names = np.array([f"cluster {g}" for g in groups])
    again = clf.infer(X, y, method="bootstrap", n_bootstrap=3, groups=names)
    np.testing.assert_allclose(again.replicates, found.replicates[:3])


def test_sampling_weights_are_resampled_by_row():
    X, y = overlapping(400)
    weights = np.random.default_rng(1).uniform(0.1, 3.0, 400)
    clf = ML.fit(X, y, weights)
    found = clf.infer(X, y, weights, method="bootstrap", weights="probability", n_bootstrap=100)
    robust = clf.infer(X, y, weights, weights="probability")
    np.testing.assert_allclose(found.std_errors, robust.std_errors, rtol=0.3)
    assert found.weights == "probability"
    assert found.n_obs == 400
    tiny = clf.infer(X, y, 1e-4 * weights, method="bootstrap", weights="probability", n_bootstrap=3)
    np.testing.assert_allclose(tiny.replicates, found.replicates[:3], rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match=r"sum to 0\.\d+, and there are 3.*weights='probability'"):
        clf.infer(X, y, 1e-4 * weights, method="bootstrap")


def test_percentiles_and_covariances_are_those_of_the_replicates():
    X, y = overlapping()
    found = ML.fit(X, y).infer(X, y, method="bootstrap", n_bootstrap=50, reference=1)
    assert found.replicates.shape == (50, 2, 3)
    samples = found.replicates.reshape(50, -1)
    np.testing.assert_allclose(found.covariance, np.cov(samples.T))
    np.testing.assert_allclose(found.std_errors.ravel(), samples.std(axis=0, ddof=1))
    interval = found.conf_int(0.8)
    np.testing.assert_allclose(interval["upper"], np.quantile(samples, 0.9, axis=0))
    assert found.rows == [0, 2]


def test_seeds_decide_and_processes_do_not():
    X, y = overlapping()
    options = {"method": "bootstrap", "n_bootstrap": 4, "groups": np.arange(300) // 5}
    one, two, other = (
        MaxentClassifier(C=np.inf, random_state=seed, n_jobs=n_jobs)
        .fit(X, y)
        .infer(X, y, **options)
        for seed, n_jobs in ((0, None), (0, 2), (1, None))
    )
    np.testing.assert_allclose(one.replicates, two.replicates, atol=1e-6)
    assert np.abs(one.replicates - other.replicates).max() > 0.01


def test_samples_that_separate_are_counted_and_said():
    """A category with four rows, one of which is of class 0: it is not drawn in a third of all."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 1))
    y = (x[:, 0] + rng.logistic(size=80) > 0).astype(int)
    rare = np.zeros(80)
    rare[:4] = 1.0
    y[:4] = [0, 1, 1, 1]
    X = np.column_stack([x, rare])
    clf = ML.fit(X, y)
    with pytest.warns(UserWarning, match=r"Of 100 bootstrap samples \d+ have separated classes"):
        found = clf.infer(X, y, method="bootstrap", n_bootstrap=100)
    n_separated = found.replicate_counts["separated"]
    # No row of class 0 is in the category, but one of class 1 is.
    n = np.array([1, 3])
    p_none = (1 - n / 80) ** 80
    assert n_separated >= 100 * (p_none[0] * (1 - p_none[1])) - 15
    assert n_separated == (np.abs(found.replicates[:, 0, 1]) > 5.0).sum()
    assert f"{n_separated} separated" in str(found)
    with pytest.warns(UserWarning, match="did not converge"):
        slow = MaxentClassifier(C=np.inf, max_iter=1, random_state=0)
        slow.set_params(max_iter=100).fit(x, y).set_params(max_iter=1)
        found = slow.infer(x, y, method="bootstrap", n_bootstrap=5)
    assert found.replicate_counts["not converged"] == 5


def test_samples_in_which_a_feature_is_constant_are_counted():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 2
    X[:, 1] = 0.0
    X[:2, 1] = 1.0  # of both classes; neither is drawn in a seventh of all samples
    with pytest.warns(UserWarning, match="have a feature that is constant"):
        found = ML.fit(X, y).infer(X, y, method="bootstrap", n_bootstrap=60)
    n_constant = found.replicate_counts["constant"]
    assert n_constant == (found.replicates[:, 0, 1] == 0.0).sum()
    assert 2 <= n_constant <= 20


def test_samples_without_a_class_are_drawn_again():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 1)), np.arange(40) % 2
    y[0] = 2
    clf = MaxentClassifier(random_state=0).fit(X, y)
    found = clf.infer(X, y, method="bootstrap", n_bootstrap=40)
    assert 5 <= found.replicate_counts["drawn again"] <= 60
    assert f"{found.replicate_counts['drawn again']} drawn again" in str(found)
    with pytest.raises(ValueError, match=r"contained every class: the class 2 is in too few rows"):
        clf.infer(X, y, np.where(y == 2, 1e-4, 1.0), method="bootstrap")


@pytest.mark.filterwarnings("error")
def test_coefficients_of_other_rows_are_noticed():
    X, y = overlapping()
    clf = ML.fit(X, y)
    clf.infer(X, y, method="bootstrap", n_bootstrap=5)
    with pytest.warns(UserWarning, match="not those of a fit to X and y"):
        clf.infer(X, y[::-1].copy(), method="bootstrap", n_bootstrap=20)
    lasso = MaxentClassifier(C=0.02, l1_ratio=1.0).fit(X, y)
    lasso.infer(X, y, method="bootstrap", n_bootstrap=5)
    corrected = MaxentClassifier(prior_correction=[0.2, 0.3, 0.5]).fit(X, y)
    corrected.infer(X, y, method="bootstrap", n_bootstrap=5)
