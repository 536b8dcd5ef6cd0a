"""Results predict as the classifier does, with errors that are those of brute force."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats
from scipy.special import softmax
from sklearn.datasets import load_wine

from skmaxent import MarginalEffectsDisplay, MaxentClassifier

WINE, LABELS = load_wine(return_X_y=True, as_frame=True)
X, Y = WINE[["alcohol", "malic_acid", "hue"]], LABELS.to_numpy()
RNG = np.random.default_rng(0)
OFFSET = RNG.normal(size=(len(X), 3))
WEIGHTS = RNG.uniform(0.5, 2.0, len(X))
TWO = (Y > 0).astype(int)
NEW, SHIFT = X[::11], OFFSET[::11]
STEP = 1e-5


class Fit:
    """A fit, its results, and rows to predict with their offsets."""

    def __init__(self, y=Y, offset=None, rows=X, new=NEW, infer=None, **params):
        self.model = MaxentClassifier(**{"C": np.inf, "tol": 1e-8, "random_state": 0} | params)
        self.model.fit(rows, y, offset=offset)
        self.given = (rows, y, None, offset)
        self.options = infer or {}
        self.new = new
        self.shift = None
        if offset is not None:
            self.shift = offset[::11]

    def results(self, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of separation and few iterations
            return self.model.infer(*self.given, **self.options | options)

    def predict_proba(self, rows=None):
        return self.model.predict_proba(self.new if rows is None else rows, self.shift)


FITS = {
    "plain": lambda: Fit(),
    "offset": lambda: Fit(offset=OFFSET),
    "corrected": lambda: Fit(prior_correction=[0.1, 0.7, 0.2]),
    "offset and corrected": lambda: Fit(offset=OFFSET, prior_correction=[0.1, 0.7, 0.2]),
    "two classes": lambda: Fit(TWO),
    "two classes, offset, corrected": lambda: Fit(
        TWO, offset=OFFSET[:, 0], prior_correction={0: 0.2, 1: 0.8}
    ),
    "no intercept": lambda: Fit(fit_intercept=False),
    "ridge": lambda: Fit(C=0.5, prior_correction=[0.1, 0.7, 0.2]),
    "factors": lambda: Fit(C=0.5, penalty_factor=[[1, 2, 3], [4, 5, 6], [0.1, 0.2, 0.3]]),
    "reduced bias": lambda: Fit(bias_reduction="mean"),
    "robust": lambda: Fit(infer={"cov_type": "HC1"}),
    "bootstrap": lambda: Fit(infer={"method": "bootstrap", "n_bootstrap": 5}),
    "lasso": lambda: Fit(C=0.5, l1_ratio=1.0, infer={"method": "bootstrap", "n_bootstrap": 5}),
    "table": lambda: Fit(np.eye(3)[Y] + RNG.integers(0, 3, (len(X), 3))),
}


@pytest.fixture(scope="module", params=FITS)
def fit(request):
    return FITS[request.param]()


def estimates(table):
    """Probabilities, lower and upper ends, each (n, K)."""
    values = table.to_numpy()
    return values[:, ::3], values[:, 1::3], values[:, 2::3]


@pytest.mark.parametrize("reference", [None, "last", "symmetric"])
def test_intervals_are_about_the_probabilities_of_the_classifier(fit, reference):
    last = fit.model.classes_[-1]
    results = fit.results(reference=last if reference == "last" else reference)
    found = results.predict_proba_interval(fit.new, offset=fit.shift)
    P, lower, upper = estimates(found)
    np.testing.assert_allclose(P, fit.predict_proba(), rtol=1e-13, atol=1e-300)
    assert ((lower <= P) & (upper >= P)).all()
    usual = estimates(fit.results().predict_proba_interval(fit.new, offset=fit.shift))
    np.testing.assert_allclose(lower, usual[1], rtol=1e-8)
    np.testing.assert_allclose(upper, usual[2], rtol=1e-8)
    # Of a class it is the same whether there is an intercept or a penalty.
    assert list(found.columns.get_level_values(0)[::3]) == fit.model.classes_.tolist()


def whole_coefficients(results):
    """Coefficients of each class against the first, flat, and their covariance."""
    assert results.reference == results.classes[0]
    return results.coef.ravel(), results.covariance


def at(fit, results, change, rows):
    """Probabilities where the reported coefficients of all but the first class are changed."""
    d = rows.shape[1]
    moved = change.reshape(len(results.rows), -1)
    log_p = np.log(fit.model.predict_proba(rows, fit.shift))
    log_p[:, 1:] += rows.to_numpy() @ moved[:, :d].T
    if results.has_intercept:
        log_p[:, 1:] += moved[:, d]
    return softmax(log_p, axis=1)


def derivative(function, size):
    """By central differences, (size, *shape of the values)."""
    unit = STEP * np.eye(size)
    return np.array([(function(u) - function(-u)) / (2 * STEP) for u in unit])


def test_intervals_are_the_delta_method(fit):
    results = fit.results()
    theta, V = whole_coefficients(results)
    slopes = derivative(
        lambda change: np.log(1.0 / at(fit, results, change, fit.new) - 1.0), len(theta)
    )
    errors = np.sqrt(np.einsum("pnk,pq,qnk->nk", slopes, V, slopes))
    _, lower, upper = estimates(results.predict_proba_interval(fit.new, 0.9, offset=fit.shift))
    odds = np.log(1.0 / fit.predict_proba() - 1.0)
    half = stats.norm.ppf(0.95) * errors
    np.testing.assert_allclose(lower, 1.0 / (1.0 + np.exp(odds + half)), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(upper, 1.0 / (1.0 + np.exp(odds - half)), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("where", ["overall", "mean"])
def test_effects_are_differences_of_the_classifiers_probabilities(fit, where):
    """Their standard errors are those of differences of differences."""
    results = fit.results()
    theta, V = whole_coefficients(results)
    weights = WEIGHTS[::11]
    rows, shift = fit.new, fit.shift
    if where == "mean":
        rows = pd.DataFrame([np.average(rows, axis=0, weights=weights)], columns=rows.columns)
        if shift is not None:
            shift = np.average(shift, axis=0, weights=weights)[None]
    point = Fit.__new__(Fit)
    point.model, point.shift = fit.model, shift
    used = weights if where == "overall" else np.ones(1)

    def effects(change):
        return np.array(
            [
                used
                @ (
                    at(point, results, change, rows + 1e-4 * unit)
                    - at(point, results, change, rows - 1e-4 * unit)
                )
                / (2e-4 * used.sum())
                for unit in np.eye(3)
            ]
        ).T

    found = results.marginal_effects(fit.new, where, offset=fit.shift, sample_weight=weights)
    shape = len(results.classes), 3
    np.testing.assert_allclose(
        found["effect"].to_numpy().reshape(shape),
        effects(np.zeros(len(theta))),
        rtol=1e-5,
        atol=1e-7,
    )
    J = derivative(effects, len(theta))
    errors = np.sqrt(np.einsum("pkj,pq,qkj->kj", J, V, J))
    np.testing.assert_allclose(
        found["std_err"].to_numpy().reshape(shape), errors, rtol=2e-4, atol=1e-7
    )


def test_differences_between_one_and_zero(fit):
    results = fit.results()
    theta, V = whole_coefficients(results)
    ends = [fit.new.assign(hue=value) for value in (1.0, 0.0)]

    def effect(change):
        high, low = (at(fit, results, change, end) for end in ends)
        return (high - low).mean(axis=0)

    found = results.marginal_effects(fit.new, offset=fit.shift, discrete="hue")
    found = found.xs("hue", level="feature")
    np.testing.assert_allclose(found["effect"], effect(np.zeros(len(theta))), atol=1e-9)
    J = derivative(effect, len(theta))
    errors = np.sqrt(np.einsum("pk,pq,qk->k", J, V, J))
    np.testing.assert_allclose(found["std_err"], errors, rtol=1e-5, atol=1e-9)


def error_of(call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    return type(caught.value), str(caught.value)


BAD = {
    "reordered": X.iloc[:, ::-1],
    "renamed": X.rename(columns={"hue": "colour"}),
    "too few": X.iloc[:, :2],
    "too many": X.assign(more=1.0),
    "text": X.assign(hue="red"),
    "one row": X.iloc[0],
    "NaN": X.assign(hue=np.nan),
    "no rows": X[:0],
}


@pytest.mark.parametrize("kind", BAD)
def test_rows_are_refused_with_the_classifiers_words(kind):
    warnings.filterwarnings("ignore", "X does not have valid feature names")
    fit = Fit()
    results, rows = fit.results(), BAD[kind]
    expected = error_of(lambda: fit.model.predict_proba(rows))
    assert error_of(lambda: results.predict_proba_interval(rows)) == expected
    assert error_of(lambda: results.marginal_effects(rows)) == expected
    assert error_of(lambda: results.marginal_effects(rows, "mean")) == expected
    assert error_of(lambda: results.marginal_effects(X, rows)) == expected
    assert error_of(lambda: MarginalEffectsDisplay.from_results(results, rows)) == expected


@pytest.mark.parametrize("offset", [None, OFFSET[:3], OFFSET[:, :2], pd.DataFrame(OFFSET)[[0, 1]]])
def test_offsets_are_demanded_and_refused_as_by_the_classifier(offset):
    fit = Fit(offset=OFFSET)
    results = fit.results()
    expected = error_of(lambda: fit.model.predict_proba(X, offset))
    assert error_of(lambda: results.predict_proba_interval(X, offset=offset)) == expected
    assert error_of(lambda: results.marginal_effects(X, offset=offset)) == expected
    assert error_of(lambda: results.marginal_effects(X, "mean", offset=offset)) == expected
    none = results.predict_proba_interval(NEW, offset=0)
    np.testing.assert_allclose(estimates(none)[0], fit.model.predict_proba(NEW, 0), rtol=1e-13)


def test_offsets_of_classes_are_found_by_name():
    fit = Fit(offset=OFFSET)
    table = pd.DataFrame(SHIFT)[[2, 0, 1]]
    found = fit.results().predict_proba_interval(NEW, offset=table)
    np.testing.assert_allclose(estimates(found)[0], fit.predict_proba(), rtol=1e-13)


def test_infer_demands_the_offset_of_the_fit():
    fit = Fit(offset=OFFSET)
    with pytest.raises(ValueError, match="was fitted with an offset: infer needs the offset"):
        fit.model.infer(X, Y)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array, sp.coo_array, sp.csc_matrix])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_storages_and_dtypes_are_the_classifiers(storage, dtype):
    rows = X.to_numpy().astype(dtype)
    fit = Fit(rows=storage(rows), new=storage(rows[::11]))
    results = fit.results()
    P = fit.predict_proba()
    found = results.predict_proba_interval(fit.new)
    assert set(found.dtypes) == {P.dtype}
    np.testing.assert_allclose(estimates(found)[0], P, rtol=1e-13)
    tolerance = 1e-8 if dtype == np.float64 else 2e-4
    for where in ("overall", "mean"):
        pd.testing.assert_frame_equal(
            results.marginal_effects(fit.new, where),
            Fit()
            .results()
            .marginal_effects(NEW, where)
            .rename({"alcohol": "x0", "malic_acid": "x1", "hue": "x2"}, level="feature"),
            rtol=tolerance,
            atol=tolerance,
        )


def test_results_do_not_follow_a_later_fit():
    fit = Fit()
    results = fit.results()
    before = results.predict_proba_interval(NEW)
    fit.model.coef_ *= 2.0
    pd.testing.assert_frame_equal(results.predict_proba_interval(NEW), before)
    fit.model.set_params(C=0.01, prior_correction="empirical").fit(X.iloc[:, :2], Y)
    pd.testing.assert_frame_equal(results.predict_proba_interval(NEW), before)


def test_extreme_probabilities_have_intervals():
    rows = np.random.default_rng(0).normal(size=(60, 1))
    y = np.random.default_rng(1).integers(0, 2, 60)
    results = MaxentClassifier(C=np.inf).fit(rows, y).infer(rows, y)
    found = results.predict_proba_interval([[-5e4], [5e4]])
    P, lower, upper = estimates(found)
    assert np.isfinite(found).all(axis=None)
    assert ((lower <= P) & (upper >= P)).all()
    assert P.max() == 1.0
    # The coefficient is not significant: so far away both classes may be certain.
    np.testing.assert_allclose(lower, 0.0, atol=1e-9)
    np.testing.assert_allclose(upper, 1.0, atol=1e-9)


def test_effects_over_counts_are_those_of_single_observations():
    counts = np.random.default_rng(1).integers(0, 6, (len(X), 3)) + 1
    weights = np.random.default_rng(2).integers(1, 4, len(X))
    row, label = np.nonzero(counts)
    times = (counts * weights[:, None])[row, label]
    row, label = np.repeat(row, times), np.repeat(label, times)
    long = X.iloc[row].reset_index(drop=True)
    one = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, counts, weights).infer(X, counts, weights)
    other = MaxentClassifier(C=np.inf, tol=1e-8).fit(long, label).infer(long, label)
    for where in ("overall", "mean"):
        options = {"at": where, "discrete": ["hue"]}
        expected = other.marginal_effects(long, **options)
        pd.testing.assert_frame_equal(one.marginal_effects(X, **options), expected, rtol=1e-6)
        # In whatever storage the same rows come.
        for same in (X.copy(), sp.csr_array(X.to_numpy()), X.to_numpy().astype(np.float32)):
            found = one.marginal_effects(same, **options)
            pd.testing.assert_frame_equal(found, expected, rtol=1e-4, atol=1e-7)
        explicit = one.marginal_effects(X, sample_weight=weights * counts.sum(axis=1), **options)
        pd.testing.assert_frame_equal(explicit, expected, rtol=1e-6)
        # Rows that are not those of the fit weigh alike, and so do all with the weight one.
        alike = one.marginal_effects(X, sample_weight=1, **options)
        half = one.marginal_effects(X[:90], **options)
        assert not np.allclose(alike["effect"], expected["effect"], rtol=1e-3)
        pd.testing.assert_frame_equal(
            half, one.marginal_effects(X[:90], sample_weight=np.ones(90), **options)
        )


def test_class_weights_do_not_weigh_effects():
    model = MaxentClassifier(C=np.inf, class_weight={0: 5.0, 1: 1.0, 2: 1.0})
    model.fit(X, Y, WEIGHTS)
    with pytest.warns(UserWarning, match="class_weight"):
        results = model.infer(X, Y, WEIGHTS)
    pd.testing.assert_frame_equal(
        results.marginal_effects(X), results.marginal_effects(X, sample_weight=WEIGHTS)
    )


@pytest.mark.parametrize("weights", [-np.ones(len(X)), np.ones(3), np.zeros(len(X)), "many"])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match=r"sample_weight|Sample weights"):
        Fit().results().marginal_effects(X, sample_weight=weights)


@pytest.mark.parametrize("discrete", ["height", ["hue", "height"], "Intercept", ["Intercept"]])
def test_what_is_no_feature_is_not_discrete(discrete):
    with pytest.raises(ValueError, match="discrete has"):
        Fit().results().marginal_effects(X, discrete=discrete)


@pytest.mark.parametrize("named", [True, False])
def test_a_split_predicts_from_all_columns(named):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(400, 6)), columns=list("abcdef"))
    y = (1.5 * rows["c"] - rows["e"] + rng.logistic(size=400) > 0).astype(int)
    rows = rows if named else rows.to_numpy()
    model = MaxentClassifier(C=0.03, l1_ratio=1.0, random_state=1).fit(rows, y)
    results = model.infer(rows, y, method="split")
    names = list("abcdef") if named else [f"x{j}" for j in range(6)]
    kept = [names.index(name) for name in results.columns[:-1]]
    assert 0 < len(kept) < 6
    part = np.asarray(rows)[:50]
    logit = part[:, kept] @ results.coef[0, :-1] + results.coef[0, -1]
    few = rows[:50]
    P, lower, upper = estimates(results.predict_proba_interval(few))
    np.testing.assert_allclose(P[:, 1], 1.0 / (1.0 + np.exp(-logit)), rtol=1e-9)
    assert ((lower < P) & (upper > P)).all()
    effects = results.marginal_effects(few, discrete=results.columns[:1]).loc[1]
    assert list(effects.index) == results.columns[:-1]
    high, low = part.copy(), part.copy()
    high[:, kept[0]], low[:, kept[0]] = 1.0, 0.0
    ends = [
        1.0 / (1.0 + np.exp(-(end[:, kept] @ results.coef[0, :-1] + results.coef[0, -1])))
        for end in (high, low)
    ]
    assert effects["effect"].iloc[0] == pytest.approx((ends[0] - ends[1]).mean())
    with pytest.raises(ValueError, match=r"names should match|is expecting 6 features"):
        results.predict_proba_interval(few.iloc[:, kept] if named else few[:, kept])


def test_some_features_cannot_predict():
    results = Fit().results(features=["hue"])
    for call in (results.predict_proba_interval, results.marginal_effects):
        with pytest.raises(ValueError, match=r"need all features: infer without features="):
            call(NEW)


@pytest.mark.parametrize("options", [{}, {"method": "bootstrap", "n_bootstrap": 5}])
@pytest.mark.parametrize("far", [1e5, 1e8])
def test_means_far_above_spreads_change_no_interval(far, options):
    """Years, time stamps, coordinates of maps: shifts that the numbers hold exactly."""
    near = (X * 64.0).round() / 64.0
    rows = near + far
    results, shifted = (
        MaxentClassifier(C=np.inf, tol=1e-10, random_state=0).fit(of, Y).infer(of, Y, **options)
        for of in (near, rows)
    )
    np.testing.assert_allclose(
        shifted.predict_proba_interval(rows), results.predict_proba_interval(near), atol=1e-5
    )
    for at in ("overall", "mean"):
        pd.testing.assert_frame_equal(
            shifted.marginal_effects(rows, at), results.marginal_effects(near, at), atol=1e-4
        )


def test_a_split_of_a_table_weighs_the_rows_that_were_given():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3))
    chances = 1.0 / (1.0 + np.exp(-rows[:, :1]))
    totals = rng.integers(1, 20, 200)
    counts = rng.binomial(totals[:, None], chances)
    counts = np.column_stack([totals[:, None] - counts, counts])
    weights = rng.uniform(0.5, 2.0, 200)
    model = MaxentClassifier(C=0.01, l1_ratio=1.0).fit(rows, counts, weights)
    results = model.infer(rows, counts, weights, method="split")
    assert results.columns == ["x0", "Intercept"]
    expected = results.marginal_effects(rows, sample_weight=totals * weights)
    pd.testing.assert_frame_equal(results.marginal_effects(rows), expected)
    b, a = results.coef[0]
    p = 1.0 / (1.0 + np.exp(-(rows[:, 0] * b + a)))
    effect = np.average(p * (1.0 - p) * b, weights=totals * weights)
    assert expected.loc[(1, "x0"), "effect"] == pytest.approx(effect)
    for part in (rows[:100], rows[::2]):  # other rows, as many as a half
        pd.testing.assert_frame_equal(
            results.marginal_effects(part), results.marginal_effects(part, sample_weight=1)
        )


def test_rows_in_lists_may_have_offsets():
    rows, offset = X.to_numpy().tolist(), OFFSET.tolist()
    model = MaxentClassifier(C=np.inf).fit(rows, Y, offset=offset)
    results = model.infer(rows, Y, offset=offset)
    expected = model.infer(X.to_numpy(), Y, offset=OFFSET)
    for found in (results, results.with_data(rows, Y, offset=offset)):
        np.testing.assert_allclose(found.std_errors, expected.std_errors, rtol=1e-9)
        table = found.predict_proba_interval(rows, offset=offset)
        np.testing.assert_allclose(
            table.xs("probability", axis=1, level=1), model.predict_proba(rows, offset=offset)
        )
