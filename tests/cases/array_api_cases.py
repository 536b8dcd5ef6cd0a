"""Fits to arrays of another library, the one that ARRAY_LIBRARY names.

Run by `dispatching.run_cases` in a process of its own: SciPy wants to know of the array API before
it is imported.
"""

import importlib
import os
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine, make_multilabel_classification
from sklearn.utils._array_api import move_to
from sklearn.utils.estimator_checks import check_array_api_input

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MaxentObjective,
    MultilabelMaxentClassifier,
    SurveyDesign,
    detect_separation,
    leave_one_out,
    maxent_path,
)
from skmaxent._leverage import _leave_one_out, _leverages
from skmaxent._storage import _device_blocks, _place

NAME = os.environ["ARRAY_LIBRARY"]
xp = importlib.import_module(NAME)
DEVICES = ["cpu"] if NAME == "torch" else ["CPU_DEVICE", "device1"]
if NAME == "torch" and xp.cuda.is_available():
    DEVICES.append("cuda:0")
KINDS = [(DEVICES[0], "float64"), (DEVICES[-1], "float32")]
if DEVICES[-1] == "cuda:0":
    KINDS.append(("cuda:0", "float64"))


def device(name):
    return name if NAME == "torch" else xp.Device(name)


def put(array, name=DEVICES[-1]):
    return xp.asarray(np.asarray(array), device=device(name))


def host(array):
    with config_context(array_api_dispatch=True):
        return move_to(array, xp=np, device="cpu")


@pytest.fixture(autouse=True)
def dispatched():
    with config_context(array_api_dispatch=True):
        yield


def noisy(n, d=5, K=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 10.0 ** np.linspace(-2, 2, d) + 3.0
    Z = (X - 3.0) / 10.0 ** np.linspace(-2, 2, d) @ rng.normal(size=(d, K))
    return X, (Z + rng.gumbel(size=(n, K))).argmax(axis=1)


IRIS, WINE = load_iris(return_X_y=True), load_wine(return_X_y=True)
MANY = noisy(40_000)
PROBLEMS = {
    "tiny": (IRIS, {}),
    "two classes": ((IRIS[0], IRIS[1] == 1), {}),
    "two rows": ((IRIS[0][[0, 60]], IRIS[1][[0, 60]]), {}),
    "units": (WINE, {}),
    "no penalty": (noisy(500), {"C": np.inf}),
    "no intercept": (noisy(9000), {"fit_intercept": False}),
    "samples": (MANY, {}),
    "samples, two classes": ((MANY[0], MANY[1] > 1), {}),
    "by products": (MANY, {"solver": "newton-cg"}),
    "by Cholesky": (noisy(9000), {"solver": "newton-cholesky"}),
    "by SciPy's quasi-Newton": (noisy(9000), {"solver": "lbfgs"}),
    "by SciPy's trust region": (noisy(500), {"solver": "trust-krylov", "C": np.inf}),
    "many classes": (noisy(9000, 30, 40), {}),
    "lasso": (MANY, {"l1_ratio": 1.0, "C": 0.01}),
    "wide lasso": (noisy(300, 500, 3), {"l1_ratio": 1.0, "C": 0.1}),
    "elastic net": (noisy(9000), {"l1_ratio": 0.5, "C": 0.01}),
    "groups": (noisy(9000), {"l1_ratio": 1.0, "grouped": True, "C": 0.01}),
    "standardised": (noisy(9000), {"standardize": True, "alpha": 0.01}),
    "standardised lasso": (MANY, {"standardize": True, "alpha": 0.01, "l1_ratio": 1.0}),
    "standardised groups": (
        noisy(500),
        {"standardize": True, "alpha": 0.01, "l1_ratio": 0.5, "grouped": True},
    ),
    "standardised huge columns": (
        (noisy(300)[0] * [1e200, 1e-200, 1.0, 1.0, 1.0], noisy(300)[1]),
        {"standardize": True, "alpha": 0.01},
    ),
    "bounds": (noisy(9000), {"bounds": (0.0, np.inf)}),
    "smoothing": (noisy(9000), {"label_smoothing": 0.1}),
    "smoothing, two classes": ((MANY[0], MANY[1] > 1), {"label_smoothing": 0.1}),
    "class weights": (noisy(9000), {"class_weight": "balanced"}),
    "population": (noisy(9000), {"prior_correction": [0.4, 0.3, 0.2, 0.1]}),
    "less bias": (noisy(200), {"bias_reduction": "jeffreys", "C": np.inf}),
    "less bias, two classes": (
        (IRIS[0], (IRIS[1] == 1).astype(int)),
        {"bias_reduction": "jeffreys", "C": np.inf},
    ),
    "huge columns": ((noisy(300)[0] * [1e200, 1e-200, 1.0, 1.0, 1.0], noisy(300)[1]), {}),
    "huge columns, many rows": ((MANY[0] * [1e200, 1e-200, 1.0, 1.0, 1.0], MANY[1]), {}),
}


def assert_same(there, here, tol=1e-8):
    scale = max(1.0, float(np.abs(here.coef_).max()))
    assert_allclose(host(there.coef_), here.coef_, rtol=tol, atol=tol * min(scale, 1e3))
    assert_allclose(host(there.intercept_), here.intercept_, rtol=tol, atol=tol * scale)
    assert there.optimality_gap_ == pytest.approx(here.optimality_gap_, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_fit_is_that_of_numpy(name):
    (X, y), params = PROBLEMS[name]
    model = MaxentClassifier(tol=1e-9, **params)
    here = clone(model).fit(X, y)
    there = clone(model).fit(put(X), put(y))
    assert_same(there, here)
    assert_allclose(host(there.predict_proba(put(X))), here.predict_proba(X), atol=1e-7)
    assert_allclose(host(there.predict_log_proba(put(X))), here.predict_log_proba(X), atol=1e-5)
    np.testing.assert_array_equal(host(there.predict(put(X))), here.predict(X))


@pytest.mark.parametrize("n", [150, 40_000])
@pytest.mark.parametrize("K", [2, 4])
def test_weights_and_offsets(n, K):
    X, y = noisy(n, K=K)
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 4, n).astype(float)
    offset = rng.normal(size=n if K == 2 else (n, K))
    model = MaxentClassifier(tol=1e-9)
    here = clone(model).fit(X, y, weights, offset)
    there = clone(model).fit(put(X), put(y), put(weights), put(offset))
    assert_same(there, here)
    P = there.predict_proba(put(X), put(offset))
    assert_allclose(host(P), here.predict_proba(X, offset), atol=1e-8)
    with pytest.raises(ValueError, match="need the offset"):
        there.predict(put(X))


def test_numbers_whose_squares_overflow_in_a_row_without_weight():
    X, y = noisy(300)
    X[5, 1:3] = 1e200
    weights = (np.arange(300) != 5).astype(float)
    model = MaxentClassifier(tol=1e-9)
    here = clone(model).fit(np.delete(X, 5, axis=0), np.delete(y, 5))
    assert_same(clone(model).fit(put(X), put(y), put(weights)), here)


def test_the_objective():
    X, y = noisy(400)
    weights = np.random.default_rng(1).random(400)
    here = MaxentObjective(X, y, sample_weight=weights)
    there = MaxentObjective(put(X), put(y), sample_weight=put(weights))
    x, v = np.random.default_rng(2).normal(size=(2, here.n_parameters)) * 0.1
    assert there.fun(x) == pytest.approx(here.fun(x), rel=1e-12)
    assert_allclose(there.grad(x), here.grad(x), rtol=1e-9, atol=1e-9)
    assert_allclose(there.hessp(x, v), here.hessp(x, v), rtol=1e-9, atol=1e-9)
    assert_allclose(there.hess(x), here.hess(x), rtol=1e-9, atol=1e-9)


def test_several_blocks(monkeypatch):
    X, y = MANY
    monkeypatch.setattr(_device_blocks, "CPU_BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(_device_blocks, "DEVICE_BLOCK_BYTES", 1 << 16)
    here = MaxentClassifier(tol=1e-9).fit(X, y)
    there = MaxentClassifier(tol=1e-9).fit(put(X), put(y))
    assert_same(there, here)
    assert_allclose(host(there.predict_proba(put(X))), here.predict_proba(X), atol=1e-8)


@pytest.mark.parametrize("sets", [False, True])
def test_tables_and_partial_labels(sets):
    X, y = noisy(600)
    rng = np.random.default_rng(0)
    table = (y[:, None] == np.arange(4)) | (rng.random((600, 4)) < 0.2)
    table = table.astype(float) if sets else table * rng.integers(1, 4, (600, 4)).astype(float)
    model = MaxentClassifier(partial_labels=sets, tol=1e-8)
    here = clone(model).fit(X, table)
    there = clone(model).fit(put(X), put(table))
    assert_same(there, here, 1e-5 if sets else 1e-8)
    assert there.score(put(X), put(table)) == pytest.approx(here.score(X, table))


@pytest.mark.parametrize(("name", "dtype"), KINDS)
def test_what_is_learned_follows_x(name, dtype):
    X, y = noisy(3000)
    there = MaxentClassifier().fit(put(X.astype(dtype), name), put(y, name))
    here = MaxentClassifier().fit(X.astype(dtype), y)
    of = [there.coef_, there.intercept_]
    of += [there.decision_function(put(X.astype(dtype), name))]
    of += [there.predict_proba(put(X.astype(dtype), name))]
    of += [there.predict_log_proba(put(X.astype(dtype), name))]
    for array in of:
        assert type(array) is type(put(X))
        assert array.dtype == getattr(xp, dtype)
        assert str(array.device) == str(device(name))
    assert there.n_iter_.dtype == xp.int32
    assert there.predict(put(X.astype(dtype), name)).dtype == put(y).dtype
    tol = 1e-8 if dtype == "float64" else 2e-3
    assert_allclose(host(there.coef_), here.coef_, rtol=tol, atol=tol)


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool"])
def test_integers_become_float64(dtype):
    X = (IRIS[0] * 10).astype(dtype)
    if dtype == "bool":
        X = IRIS[0] > IRIS[0].mean(axis=0)
    there = MaxentClassifier().fit(put(X), put(IRIS[1]))
    assert there.coef_.dtype == xp.float64
    assert_same(there, MaxentClassifier().fit(X.astype(float), IRIS[1]))


def test_labels_may_be_elsewhere_or_text():
    X, y = IRIS
    names = load_iris().target_names[y]
    there = MaxentClassifier().fit(put(X), names)
    assert isinstance(there.classes_, np.ndarray)
    np.testing.assert_array_equal(
        there.predict(put(X)),
        MaxentClassifier().fit(X, y).predict(X).choose(load_iris().target_names),
    )
    assert there.score(put(X), names) > 0.9
    there = MaxentClassifier().fit(put(X), y)
    assert isinstance(there.classes_, np.ndarray)
    assert type(there.predict(put(X))) is type(put(X))
    assert type(MaxentClassifier().fit(put(X), put(y)).classes_) is type(put(y))


def test_rows_from_elsewhere_than_those_of_the_fit_are_refused():
    X, y = IRIS
    there = MaxentClassifier().fit(put(X), put(y))
    here = MaxentClassifier().fit(X, y)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        with pytest.raises(ValueError, match=rf"MaxentClassifier\.{name}\(\) must use the same"):
            getattr(there, name)(X)
        with pytest.raises(ValueError, match=rf"MaxentClassifier\.{name}\(\) must use the same"):
            getattr(here, name)(put(X))


def test_without_dispatch_a_fitted_model_takes_numpy():
    X, y = IRIS
    there = MaxentClassifier().fit(put(X), put(y))
    with config_context(array_api_dispatch=False):
        np.testing.assert_array_equal(there.predict(X), host(there.predict(X)))
        assert_allclose(there.predict_proba(X), MaxentClassifier().fit(X, y).predict_proba(X))
        frame = there.coef_frame()
    assert frame.equals(there.coef_frame())


def test_numpy_is_untouched_by_dispatch():
    X, y = MANY
    here = MaxentClassifier().fit(X, y)
    with config_context(array_api_dispatch=False):
        plain = MaxentClassifier().fit(X, y)
    np.testing.assert_allclose(here.coef_, plain.coef_, rtol=1e-9, atol=1e-12)
    assert type(here.coef_) is np.ndarray


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite(bad):
    X, y = noisy(3000)
    there = MaxentClassifier().fit(put(X), put(y))
    X[7, 2] = bad
    with pytest.raises(ValueError, match="Input X contains"):
        MaxentClassifier().fit(put(X), put(y))
    with pytest.raises(ValueError, match="Input X contains"):
        there.predict_proba(put(X))


def test_logits_that_overflow_are_finite():
    X, y = noisy(3000)
    there, here = MaxentClassifier().fit(put(X), put(y)), MaxentClassifier().fit(X, y)
    X[5] = 1e308
    P = here.predict_proba(X)
    assert np.isfinite(P).all()
    assert_allclose(host(there.predict_proba(put(X))), P, atol=1e-12)


def test_the_same_warnings():
    X, y = noisy(3000)
    with pytest.warns(UserWarning, match="max_iter=1 was reached"):
        MaxentClassifier(max_iter=1, solver="newton-cg", tol=1e-9).fit(put(X), put(y))
    split = (X[:, 0] > np.median(X[:, 0])).astype(int)
    for rows in (slice(None), slice(0, 100)):
        with pytest.warns(UserWarning, match="perfectly separated"):
            MaxentClassifier(C=np.inf).fit(put(X[rows]), put(split[rows]))


def test_bad_input_is_named():
    X, y = put(IRIS[0]), put(IRIS[1])
    with pytest.raises(ValueError, match="sample_weight"):
        MaxentClassifier().fit(X, y, put(-np.ones(150)))
    with pytest.raises(ValueError, match="offset has the shape"):
        MaxentClassifier().fit(X, y, offset=put(np.ones((150, 2))))
    with pytest.raises(ValueError, match="only one class"):
        MaxentClassifier().fit(X, put(np.zeros(150)))
    with pytest.raises(ValueError, match="features"):
        MaxentClassifier().fit(X, y).predict(X[:, :2])
    with pytest.raises(ValueError, match="Complex data"):
        MaxentClassifier().fit(put(IRIS[0] + 1j), y)


def test_a_warm_start():
    X, y = MANY
    here, there = MaxentClassifier(warm_start=True), MaxentClassifier(warm_start=True)
    for _ in range(2):
        here.fit(X, y)
        there.fit(put(X), put(y))
        np.testing.assert_array_equal(host(there.n_iter_), here.n_iter_)


class Moved:
    """Bytes of the arrays that go to the device and from it."""

    def __init__(self, monkeypatch):
        self.there, self.back = [], []
        put, fetch = _place.Place.put, _place.Place.fetch

        def counted_put(place, array):
            self.there.append(array.nbytes)
            return put(place, array)

        def counted_fetch(place, array):
            out = fetch(place, array)
            self.back.append(out.nbytes)
            return out

        monkeypatch.setattr(_place.Place, "put", counted_put)
        monkeypatch.setattr(_place.Place, "fetch", counted_fetch)


@pytest.mark.parametrize("K", [2, 4])
def test_passes_over_the_rows_move_coefficients_alone(monkeypatch, K):
    from skmaxent._inference._bias_reduction import penalised_likelihood
    from skmaxent._input._read import read
    from skmaxent._input._settings import Settings
    from skmaxent._model._training_problem import TrainingProblem
    from skmaxent._solvers import _hessian_bounds

    X, y = noisy(40_000, K=K)
    model = MaxentClassifier(C=np.inf)
    settings, weights = Settings.of(model), np.ones(len(y))
    data = read(settings, model, put(X), put(y), weights)
    with TrainingProblem.of(data, settings) as ready:
        objective = ready.problem.objective
        theta = objective.zeros()
        moved = Moved(monkeypatch)
        point = objective.at(theta)
        point.hessian_product(np.ones_like(theta))
        size = theta.nbytes
        assert moved.there and max(moved.there) <= size
        assert moved.back and max(moved.back) <= size
        H = point.fisher_information()
        shares = ready.problem.means.shares
        _hessian_bounds.kronecker_bound(point, shares, np.zeros(objective.blocks.n_features))
        assert max(moved.there + moved.back) <= H.nbytes
        before = len(moved.there)
        for _ in range(3):
            point.hessian_product(np.ones_like(theta), exact=False)
        assert max(moved.there[before:]) <= size
        penalised_likelihood(point, 1.0, theta.shape[1])
        assert max(moved.there + moved.back) <= H.nbytes


def test_predictions_move_coefficients_alone(monkeypatch):
    X, y = MANY
    there, X = MaxentClassifier().fit(put(X), put(y)), put(X)
    moved = Moved(monkeypatch)
    there.predict(X), there.predict_proba(X), there.predict_log_proba(X), there.decision_function(X)
    assert max(moved.there + moved.back) <= host(there.coef_).nbytes


def test_a_fit_brings_a_sample_to_the_host_and_no_more(monkeypatch):
    X, y = noisy(200_000, 20)
    X, labels = put(X), put(y)
    moved = Moved(monkeypatch)
    MaxentClassifier().fit(X, labels)
    large = [size for size in moved.back if size > 8 * len(y)]
    assert sum(large) < 0.5 * 8 * len(y) * 20


def test_paths():
    X, y = noisy(3000)
    here = maxent_path(X, y, Cs=8, relax=True)
    there = maxent_path(put(X), put(y), Cs=8, relax=True)
    assert_allclose(there.Cs, here.Cs)
    assert_allclose(there.coefs, here.coefs, atol=1e-4)
    assert_allclose(there.relaxed_coefs, here.relaxed_coefs, atol=1e-4)
    np.testing.assert_array_equal(there.classes, here.classes)


@pytest.mark.parametrize(
    "params", [{}, {"scoring": "accuracy"}, {"relax": True}, {"refit": False}, {"n_jobs": 2}]
)
def test_cross_validation(params):
    X, y = noisy(600)
    weights = np.random.default_rng(0).random(600)
    model = MaxentClassifierCV(Cs=4, l1_ratios=(1.0,), cv=3, **params)
    here = clone(model).fit(X, y, weights)
    there = clone(model).fit(put(X), put(y), put(weights))
    assert_allclose(there.scores_, here.scores_, atol=1e-4)
    assert pytest.approx(here.C_) == there.C_
    assert_allclose(host(there.coef_), here.coef_, atol=1e-3)
    assert type(there.coef_) is type(put(X))
    np.testing.assert_array_equal(host(there.predict(put(X))), here.predict(X))
    found = there.score(put(X), put(y), put(weights))
    assert found == pytest.approx(here.score(X, y, weights), abs=1e-4)
    assert there.cv_results_frame().shape == here.cv_results_frame().shape


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("threshold", [0.4, "f1_micro"])
def test_multilabel(link, threshold):
    X, Y = make_multilabel_classification(300, random_state=0)
    Y[:, 0] |= ~Y.any(axis=1)
    model = MultilabelMaxentClassifier(link=link, threshold=threshold, tol=1e-9)
    here, there = clone(model).fit(X, Y), clone(model).fit(put(X), put(Y))
    assert_same(there, here)
    assert_allclose(host(there.threshold_), here.threshold_, atol=1e-6)
    assert_allclose(host(there.predict_proba(put(X))), here.predict_proba(X), atol=1e-8)
    assert_allclose(host(there.predict_log_proba(put(X))), here.predict_log_proba(X), atol=1e-7)
    np.testing.assert_array_equal(host(there.predict(put(X))), here.predict(X))
    assert there.score(put(X), put(Y)) == pytest.approx(here.score(X, Y), rel=1e-12)


def test_multilabel_with_one_label_a_row():
    X, y = IRIS
    here, there = (MultilabelMaxentClassifier().fit(*data) for data in (IRIS, (put(X), put(y))))
    np.testing.assert_array_equal(host(there.predict(put(X))), here.predict(X))
    assert_allclose(host(there.predict_proba(put(X))), here.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cov_type": "HC0"},
        {"cov_type": "HC1", "weights": "probability"},
        {"cov_type": "cluster", "groups": np.arange(3000) % 50},
        {"features": ["x1"]},
        {"method": "bootstrap", "n_bootstrap": 3},
        {"cov_type": "HC2"},
        {"cov_type": "HC3", "weights": "probability"},
        {"design": SurveyDesign(psu=np.arange(3000) % 50)},
    ],
)
def test_inference(options):
    X, y = noisy(3000)
    model = MaxentClassifier(C=np.inf, tol=1e-8)
    here = clone(model).fit(X, y).infer(X, y, **options)
    there = clone(model).fit(put(X), put(y)).infer(put(X), put(y), **options)
    assert_allclose(there.summary()["std_err"], here.summary()["std_err"], rtol=1e-5)
    assert there.log_likelihood == pytest.approx(here.log_likelihood)


def test_inference_for_counts_and_offsets():
    X, y = noisy(3000)
    K = y.max() + 1
    counts = np.eye(K)[y] + np.eye(K)[(y + np.arange(3000)) % K]
    offset = np.random.default_rng(7).normal(size=(3000, K))
    design = SurveyDesign(psu=np.arange(3000) % 50)
    model = MaxentClassifier(C=np.inf, tol=1e-8)
    here = clone(model).fit(X, counts, offset=offset)
    there = clone(model).fit(put(X), put(counts), offset=put(offset))
    for options in ({"cov_type": "HC3"}, {"design": design}):
        found = there.infer(put(X), put(counts), offset=put(offset), **options).std_errors
        expected = here.infer(X, counts, offset=offset, **options).std_errors
        assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:class_weight multiplies the rows:UserWarning")
def test_leverages_with_class_weights():
    X, y = noisy(3000)
    model = MaxentClassifier(C=np.inf, tol=1e-8, class_weight={0: 0.4})
    here = clone(model).fit(X, y).infer(X, y, cov_type="HC3")
    there = clone(model).fit(put(X), put(y)).infer(put(X), put(y), cov_type="HC3")
    assert_allclose(there.std_errors, here.std_errors, rtol=1e-5)


def test_what_is_made_of_inference():
    X, y = noisy(3000)
    model = MaxentClassifier(C=np.inf, tol=1e-8)
    here = clone(model).fit(X, y).infer(X, y)
    there = clone(model).fit(put(X), put(y)).infer(put(X), put(y))
    of_x = [results.marginal_effects(rows) for results, rows in ((there, put(X)), (here, X))]
    assert_allclose(of_x[0]["effect"], of_x[1]["effect"], atol=1e-8)
    of_x = [results.predict_proba_interval(rows) for results, rows in ((there, put(X)), (here, X))]
    assert_allclose(of_x[0], of_x[1], atol=1e-7)
    extra = np.random.default_rng(5).normal(size=(3000, 1))
    found = [results.score_test(rows) for results, rows in ((there, put(extra)), (here, extra))]
    assert_allclose(found[0]["chi2"], found[1]["chi2"], rtol=1e-6)
    tests = [results.likelihood_ratio_test() for results in (there, here)]
    assert_allclose(tests[0]["chi2"], tests[1]["chi2"], rtol=1e-6)
    nulls = [results.null_feature_test() for results in (there, here)]
    assert_allclose(nulls[0]["chi2"], nulls[1]["chi2"], rtol=1e-6)
    ends = [results.profile_conf_int(features=["x1"]) for results in (there, here)]
    assert_allclose(ends[0], ends[1], rtol=1e-5)


def test_inference_after_selection():
    X, y = noisy(3000)
    model = MaxentClassifier(l1_ratio=1.0, C=0.01)
    here = clone(model).fit(X, y).infer(X, y, method="split")
    there = clone(model).fit(put(X), put(y)).infer(put(X), put(y), method="split")
    assert_allclose(there.summary()["coef"], here.summary()["coef"], rtol=1e-4, atol=1e-5)


def test_frames_and_separation():
    X, y = IRIS
    there, here = (
        MaxentClassifier(tol=1e-9).fit(put(X), put(y)),
        MaxentClassifier(tol=1e-9).fit(X, y),
    )
    assert_allclose(there.coef_frame(), here.coef_frame(), atol=1e-8)
    assert_allclose(there.predict_proba_frame(put(X)), here.predict_proba_frame(X), atol=1e-8)
    assert detect_separation(put(X), put(y)).kind == detect_separation(X, y).kind
    prior = MaxentClassifier(prior_coef=there, tol=1e-9).fit(put(X), put(y))
    assert_same(prior, MaxentClassifier(prior_coef=here, tol=1e-9).fit(X, y))


@pytest.mark.parametrize("most_exact", [3000, 3])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_leave_one_out(monkeypatch, l1_ratio, most_exact):
    monkeypatch.setattr(_leverages, "MOST_EXACT", most_exact)
    monkeypatch.setattr(_leave_one_out, "MOST_INVERTED", most_exact)
    model = MaxentClassifier(C=0.5, l1_ratio=l1_ratio, tol=1e-9)
    expected = leave_one_out(model.fit(*IRIS), *IRIS, max_refits=1)
    X, y = put(IRIS[0]), put(IRIS[1])
    scores = leave_one_out(model.fit(X, y), X, y, max_refits=1)
    assert_allclose(scores.log_proba, expected.log_proba, rtol=1e-6, atol=1e-8)
    assert scores.n_refits == expected.n_refits


def test_a_fitted_model_is_pickled():
    X, y = put(IRIS[0]), put(IRIS[1])
    there = MaxentClassifier().fit(X, y)
    again = pickle.loads(pickle.dumps(there))
    np.testing.assert_array_equal(host(again.predict(X)), host(there.predict(X)))
    place = _place.place_of(X)
    assert pickle.loads(pickle.dumps(place)) == place


@pytest.mark.parametrize("model", [MaxentClassifier(), MultilabelMaxentClassifier()])
@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("weighted", [False, True])
def test_scikit_learns_checks(model, name, dtype, weighted):
    with config_context(array_api_dispatch=False):
        check_array_api_input(
            type(model).__name__,
            model,
            array_namespace=NAME,
            device_name=name,
            dtype_name=dtype,
            check_values=dtype == "float64",
            check_sample_weight=weighted,
        )
