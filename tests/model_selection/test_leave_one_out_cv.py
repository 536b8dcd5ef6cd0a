"""Leave-one-out along a path of all rows, against fits without each row."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import LeaveOneOut
from sklearn.preprocessing import StandardScaler

from skmaxent import CVCurveDisplay, MaxentClassifier, MaxentClassifierCV, leave_one_out
from skmaxent._leverage import _leverages
from skmaxent._leverage._refits import Refits
from skmaxent._leverage._small_refits import SmallRefits
from skmaxent._model_selection import _path, _scores_of_path

ORACLES = Path(__file__).parents[1].joinpath("oracles")
EXACT = json.loads(ORACLES.joinpath("leave_one_out_paths.json").read_text())
EXACT_FINE = json.loads(ORACLES.joinpath("leave_one_out_fine_paths.json").read_text())


def simulated(n, d, n_classes, seed, size=0.3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    coef = size * rng.normal(size=(n_classes, d))
    return X, (X @ coef.T + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


DATA = {
    "iris": load_iris(return_X_y=True),
    "wine": (StandardScaler().fit_transform(load_wine().data), load_wine().target),
    # As many rows as birthwt of R's MASS, and about as many columns.
    "births": simulated(189, 8, 2, 1, size=0.5),
    "wide": simulated(60, 30, 3, 0),
    "half": simulated(400, 200, 2, 5, size=0.1),
}
FINE = {
    "100 x 50": simulated(100, 50, 3, 11, size=0.3),
    "120 x 15": simulated(120, 15, 3, 21, size=0.5),
    "300 x 150": simulated(300, 150, 3, 12, size=0.15),
}
SMALL = simulated(45, 3, 3, 7, size=1.0)
GRID = np.geomspace(0.01, 10.0, 7)


@pytest.mark.parametrize("name", list(EXACT))
def test_score_and_choice_are_those_of_refits(name):
    """The score is exact to a tenth of its standard error, and the C to a step of the grid."""
    exact = EXACT[name]
    of_data, penalty = name.split()
    mean, error = (np.array(exact["neg_log_loss"][key]) for key in ("mean", "std_err"))
    l1_ratio = {"ridge": 0.0, "lasso": 1.0}[penalty]
    cv = MaxentClassifierCV(Cs=exact["Cs"], l1_ratios=[l1_ratio], cv="loo").fit(*DATA[of_data])
    assert cv.scores_.shape == (1, 1, 20)
    assert cv.scores_std_err_.shape == cv.n_refits_.shape == (1, 20)
    chosen = int(np.argmax(cv.Cs_ == cv.C_))
    assert abs(chosen - int(np.argmax(mean))) <= 1
    assert cv.n_refits_[0, chosen] >= 0 and cv.n_refits_.max() <= (65 if l1_ratio == 0.0 else 50)
    # All scores that are compared with the best one have exact fits where the step is inaccurate.
    near = mean > mean.max() - 2.0 * error[np.argmax(mean)]
    assert (abs(cv.scores_[0, 0] - mean)[near] < 0.1 * error[near]).all()
    assert abs(cv.scores_[0, 0, chosen] - mean[chosen]) < 0.1 * error[chosen]
    assert cv.scores_std_err_[0, chosen] == pytest.approx(error[chosen], rel=0.05)
    # Where penalties are strong one Newton step is enough for a ridge.
    if l1_ratio == 0.0:
        strong = slice(3, chosen)
        assert (abs(cv.scores_[0, 0] - mean)[strong] < 0.1 * error[strong]).all()
    within = int(np.argmax(mean >= mean.max() - error[np.argmax(mean)]))
    rule = MaxentClassifierCV(
        Cs=exact["Cs"], l1_ratios=[l1_ratio], cv="loo", selection="one_standard_error"
    ).fit(*DATA[of_data])
    assert abs(int(np.argmax(rule.Cs_ == rule.C_)) - within) <= 1


@pytest.mark.parametrize("name", list(FINE))
def test_scores_of_few_rows_are_those_of_refits_at_all_cs_up_to_far_beyond_the_best(name):
    """Also where the score changes by more than its standard error from one C to the next."""
    exact = EXACT_FINE[name]
    mean, error = np.array(exact["mean"]), np.array(exact["std_err"])
    cv = MaxentClassifierCV(Cs=exact["Cs"], l1_ratios=[1.0], cv="loo").fit(*FINE[name])
    best = int(np.argmax(mean))
    counts = (mean > mean.max() - 2.0 * error[best]) | (np.arange(len(mean)) < best)
    assert (np.abs(np.diff(mean)) > error[1:])[counts[1:]].any()
    assert (np.abs(cv.scores_[0, 0] - mean) / error)[counts].max() < 0.1
    np.testing.assert_allclose(cv.scores_std_err_[0, counts], error[counts], rtol=0.05)
    assert abs(int(np.argmax(cv.Cs_ == cv.C_)) - best) <= 1


def test_scores_are_more_exact_with_a_smaller_cv_tol():
    exact = EXACT_FINE["120 x 15"]
    mean, std_err = np.array(exact["mean"]), np.array(exact["std_err"])
    n_refits, errors = [], []
    for cv_tol in (0.1, 0.01):
        cv = MaxentClassifierCV(Cs=exact["Cs"], l1_ratios=[1.0], cv="loo", cv_tol=cv_tol)
        cv.fit(*FINE["120 x 15"])
        n_refits.append(cv.n_refits_.sum())
        errors.append((np.abs(cv.scores_[0, 0] - mean) / std_err).max())
    assert n_refits[1] > 2 * n_refits[0]
    assert errors[0] < 0.1 and errors[1] < 0.025


@pytest.mark.parametrize("scoring", ["accuracy", "neg_brier_score"])
@pytest.mark.parametrize("name", ["iris ridge", "births ridge", "wide lasso"])
def test_other_scores_are_those_of_refits(name, scoring):
    exact = EXACT[name]
    of_data, penalty = name.split()
    l1_ratio = {"ridge": 0.0, "lasso": 1.0}[penalty]
    X, y = DATA[of_data]
    cv = MaxentClassifierCV(Cs=exact["Cs"], l1_ratios=[l1_ratio], cv="loo", scoring=scoring)
    cv.fit(X, y)
    chosen = int(np.argmax(cv.Cs_ == cv.C_))
    error = exact[scoring]["std_err"][chosen]
    assert abs(
        cv.scores_[0, 0, chosen] - exact[scoring]["mean"][chosen]
    ) < 0.1 * error + 1.01 / len(y)
    assert cv.scores_std_err_[0, chosen] == pytest.approx(error, rel=0.1)
    named = sklearn.metrics.get_scorer(scoring)
    same = clone(cv).set_params(scoring=named).fit(X, y)
    np.testing.assert_array_equal(same.scores_, cv.scores_)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy"])
def test_scores_are_means_over_the_folds_of_sklearn(scoring):
    X, y = SMALL
    parameters = {"Cs": GRID[:4], "scoring": scoring, "tol": 1e-6}
    folds = MaxentClassifierCV(cv=LeaveOneOut(), **parameters).fit(X, y)
    cv = MaxentClassifierCV(cv="loo", **parameters).fit(X, y)
    np.testing.assert_allclose(cv.scores_[0], folds.scores_.mean(axis=0), atol=2e-3)
    np.testing.assert_allclose(cv.scores_std_err_, folds.scores_std_err_, rtol=0.02)


@pytest.mark.parametrize("name", ["iris", "births", "wine"])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_scores_between_leverages_are_interpolated(monkeypatch, name, l1_ratio):
    cv = MaxentClassifierCV(Cs=100, l1_ratios=[l1_ratio], cv="loo")
    n_leverages, score = [], _scores_of_path.ScoresOfPath._score

    def counted(self, rank):
        n_leverages.append(rank)
        score(self, rank)

    monkeypatch.setattr(_scores_of_path.ScoresOfPath, "_score", counted)
    few = clone(cv).fit(*DATA[name])
    assert len(n_leverages) < 40
    monkeypatch.setattr(_scores_of_path, "STRIDE", 1)
    full = clone(cv).fit(*DATA[name])
    assert abs(int(np.argmax(few.Cs_ == few.C_)) - int(np.argmax(full.Cs_ == full.C_))) <= 1
    alike = (few.n_refits_ == 0) & (full.n_refits_ == 0)
    # Scores are compared with the best one, so that a smaller standard error does not count.
    std_err = np.maximum(full.scores_std_err_, full.scores_std_err_[:, full.Cs_ == full.C_])
    error = np.abs(few.scores_[0] - full.scores_[0]) / std_err
    assert error[alike].max() < (0.02 if l1_ratio == 0.0 else 0.2)
    ratio = few.scores_std_err_ / full.scores_std_err_
    # Where a lasso selects other features, a few scores between leverages are less exact.
    assert np.quantile(np.abs(ratio[alike] - 1.0), 0.95) < 0.05
    np.testing.assert_allclose(ratio[alike], 1.0, atol=0.05 if l1_ratio == 0.0 else 0.2)


def test_scores_near_the_best_have_no_dips_where_single_coefficients_are_zero(monkeypatch):
    data = load_breast_cancer()
    X, y = StandardScaler().fit_transform(data.data), data.target
    cv = MaxentClassifierCV(Cs=100, l1_ratios=[1.0], cv="loo")
    few = clone(cv).fit(X, y)
    monkeypatch.setattr(_scores_of_path, "STRIDE", 1)
    full = clone(cv).fit(X, y)
    scores, std_err = full.scores_[0, 0], full.scores_std_err_[0, np.argmax(full.Cs_ == full.C_)]
    is_near = scores > scores.max() - 2.0 * std_err
    error = np.abs(few.scores_[0, 0] - scores)[is_near]
    assert error.max() < 0.06 * std_err


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_simplified_newton_makes_nearly_all_exact_fits(monkeypatch, l1_ratio):
    """Its steps have factors from their differences, without which many fits need a solver."""
    by_solver, fit = [], Refits._by_solver

    def counted(self, *args):
        by_solver.append(args)
        return fit(self, *args)

    monkeypatch.setattr(Refits, "_by_solver", counted)
    monkeypatch.setattr(SmallRefits, "suits", lambda *args: False)
    cv = MaxentClassifierCV(Cs=100, l1_ratios=[l1_ratio], cv="loo").fit(*DATA["wine"])
    assert cv.n_refits_.sum() > 50
    assert len(by_solver) <= 0.1 * cv.n_refits_.sum()


@pytest.mark.parametrize("noise", [0.3, 0.6])
def test_scores_of_many_coefficients_are_those_of_the_inverse_hessian(monkeypatch, noise):
    """Random vectors estimate leverages of sparse rows with more columns than rows."""
    rng = np.random.default_rng(3)
    frequency = 1.0 / np.arange(1.0, 601.0)
    centres = frequency * np.exp(0.7 * rng.normal(size=(3, 600)))
    y = rng.integers(3, size=300)
    X = rng.poisson(40.0 * centres[y] / centres.sum(axis=1)[y, None])
    X = sp.csr_array(X / np.sqrt(np.square(X).sum(axis=1, keepdims=True)))
    y = np.where(rng.random(300) < noise, rng.integers(3, size=300), y)
    cv = MaxentClassifierCV(Cs=np.geomspace(0.01, 100.0, 20), cv="loo", cv_tol=0.0)
    exact = clone(cv).fit(X, y)
    monkeypatch.setattr(_leverages, "MOST_EXACT", 10)
    sampled = clone(cv).fit(X, y)
    chosen = int(np.argmax(exact.Cs_ == exact.C_))
    assert abs(int(np.argmax(sampled.Cs_ == sampled.C_)) - chosen) <= 1
    error = np.abs(sampled.scores_ - exact.scores_)[0, 0] / exact.scores_std_err_[0]
    assert error[: chosen + 1].max() < 0.1


def test_the_fit_is_that_of_the_path():
    X, y = DATA["wine"]
    cv = MaxentClassifierCV(Cs=20, l1_ratios=[0.5, 1.0], cv="loo", tol=1e-7).fit(X, y)
    fit = MaxentClassifier(C=cv.C_, l1_ratio=cv.l1_ratio_, tol=1e-7).fit(X, y)
    np.testing.assert_allclose(cv.coef_, fit.coef_, atol=1e-5)
    np.testing.assert_allclose(cv.intercept_, fit.intercept_, atol=1e-5)
    assert cv.optimality_gap_ < 1e-6
    assert cv.coefs_paths_.shape == (1, 2, 20, 3, 14)
    ratio, c = (int(np.argmax(at)) for at in (cv.l1_ratios_ == cv.l1_ratio_, cv.Cs_ == cv.C_))
    np.testing.assert_array_equal(cv.coefs_paths_[0, ratio, c, :, :-1], cv.coef_)
    np.testing.assert_array_equal(cv.predict(X), fit.predict(X))
    # The score of a single fit is computed by other code from the fit.
    single = leave_one_out(fit, X, y, max_refits=None)
    assert cv.scores_[0, ratio, c] == pytest.approx(
        single.log_score, abs=0.1 * single.log_score_std_err
    )


def test_table_and_curve_have_the_standard_errors_over_observations():
    plt = pytest.importorskip("matplotlib.pyplot")
    X, y = SMALL
    cv = MaxentClassifierCV(Cs=GRID, l1_ratios=[0.0, 1.0], cv="loo").fit(X, y)
    frame = cv.cv_results_frame()
    np.testing.assert_array_equal(frame["standard_error"], cv.scores_std_err_.ravel())
    np.testing.assert_array_equal(frame["mean_score"], cv.scores_[0].ravel())
    assert (cv.scores_std_err_ > 0.0).all()
    assert frame.loc[frame["chosen"], "C"].item() == cv.C_
    display = CVCurveDisplay.from_estimator(cv)
    ratio = int(np.argmax(cv.l1_ratios_ == cv.l1_ratio_))
    band = display.ax_.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx((cv.scores_[0, ratio] + cv.scores_std_err_[ratio]).max())
    circles = [line for line in display.ax_.lines if line.get_marker() == "o"]
    assert len(circles) == cv.n_refits_.any(axis=1).sum() > 0
    drawn = np.sort(np.concatenate([line.get_ydata() for line in circles]))
    np.testing.assert_array_equal(drawn, np.sort(cv.scores_[0][cv.n_refits_ > 0]))
    plt.close(display.figure_)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_weights_and_counts_are_equal_rows(monkeypatch, l1_ratio):
    # Exact fits are made for other numbers of rows.
    monkeypatch.setattr(_scores_of_path, "MOST_REFITS", 0)
    X, y = SMALL
    count = np.random.default_rng(1).integers(1, 4, size=len(y))
    cv = MaxentClassifierCV(Cs=GRID, l1_ratios=[l1_ratio], cv="loo", tol=1e-8, cv_tol=0.0)
    repeated = np.repeat(np.arange(len(y)), count)
    rows = clone(cv).fit(X[repeated], y[repeated])
    weighted = clone(cv).fit(X, y, sample_weight=count)
    table = clone(cv).fit(X, np.eye(3, dtype=int)[y] * count[:, None])
    for few in (weighted, table):
        untouched = (few.n_refits_ == 0) & (rows.n_refits_ == 0)
        assert untouched.sum() >= 3
        for name in ("scores_", "scores_std_err_"):
            ours, theirs = (getattr(model, name).reshape(1, -1) for model in (few, rows))
            np.testing.assert_allclose(ours[untouched], theirs[untouched], atol=1e-6)
        assert few.C_ == rows.C_


def test_rows_of_several_classes_are_their_observations(monkeypatch):
    monkeypatch.setattr(_scores_of_path, "MOST_REFITS", 0)
    rng = np.random.default_rng(2)
    X = rng.normal(size=(30, 2))
    counts = rng.integers(0, 3, size=(30, 3)) + (rng.random((30, 1)) < 0.5)
    counts[counts.sum(axis=1) == 0, 0] = 1
    row, code = np.nonzero(counts)
    times = counts[row, code]
    cv = MaxentClassifierCV(Cs=GRID[:4], cv="loo", tol=1e-8)
    table = clone(cv).fit(X, counts)
    rows = clone(cv).fit(X[np.repeat(row, times)], np.repeat(code, times))
    np.testing.assert_allclose(table.scores_, rows.scores_, atol=1e-4)
    np.testing.assert_allclose(table.scores_std_err_, rows.scores_std_err_, atol=1e-4)


def test_storage_and_dtype_do_not_matter():
    X, y = simulated(60, 3, 3, 5)
    X[np.abs(X) < 0.5] = 0.0
    cv = MaxentClassifierCV(Cs=GRID[:4], l1_ratios=[0.0, 1.0], cv="loo", tol=1e-6, cv_tol=0.0)
    dense = clone(cv).fit(X, y)
    for other in (sp.csr_array(X), X.astype(np.float32)):
        model = clone(cv).fit(other, y)
        np.testing.assert_allclose(model.scores_, dense.scores_, atol=2e-4)
        assert model.coef_.dtype == other.dtype
    jobs = clone(cv).set_params(n_jobs=2).fit(X, y)
    np.testing.assert_allclose(jobs.scores_, dense.scores_, atol=1e-6)


def test_alphas_are_the_cs_of_all_rows():
    X, y = SMALL
    by_C = MaxentClassifierCV(Cs=GRID, cv="loo").fit(X, y)
    by_alpha = MaxentClassifierCV(alphas=1.0 / (GRID * len(y)), cv="loo").fit(X, y)
    np.testing.assert_allclose(by_alpha.scores_, by_C.scores_, rtol=1e-6)
    assert by_alpha.alpha_ == pytest.approx(by_C.alpha_)


@pytest.mark.parametrize(
    "parameters",
    [
        {"l1_ratios": [0.0]},
        {"l1_ratios": [1.0]},
        {"l1_ratios": [0.5], "standardize": True},
        {"l1_ratios": [1.0], "class_weight": "balanced", "fit_intercept": False},
        {"l1_ratios": [1.0], "alphas": 1.0 / (GRID[::-1] * 200.0), "label_smoothing": 0.1},
    ],
)
def test_paths_of_small_data_that_are_fitted_together_are_optimal(monkeypatch, parameters):
    X, y = simulated(120, 4, 3, 6)
    rng = np.random.default_rng(2)
    rows = {"sample_weight": rng.integers(1, 4, size=120).astype(float)}
    rows["offset"] = 0.3 * rng.normal(size=(120, 3))
    monkeypatch.setattr(_path, "_fit_at", _only_repeated(_path._fit_at))
    given = {} if "alphas" in parameters else {"Cs": GRID}
    cv = MaxentClassifierCV(cv="loo", tol=1e-7, **given, **parameters).fit(X, y, **rows)
    fixed = {name: value for name, value in parameters.items() if name not in given}
    (l1_ratio,) = fixed.pop("l1_ratios")
    fixed.pop("alphas", None)
    for C, found in zip(cv.Cs_, cv.coefs_paths_[0, 0], strict=True):
        fit = MaxentClassifier(C=C, l1_ratio=l1_ratio, tol=1e-8, **fixed).fit(X, y, **rows)
        n = X.shape[1]
        np.testing.assert_allclose(found[:, :n], fit.coef_, atol=1e-5)
        if cv.fit_intercept:
            np.testing.assert_allclose(found[:, n], fit.intercept_, atol=1e-5)


def _only_repeated(fit_at):
    """Return `_fit_at` of paths for fits that are repeated; others are an error."""

    def checked(path, index, strength, training, solver, accuracy, starts):
        assert accuracy is None and starts is not None
        return fit_at(path, index, strength, training, solver, accuracy, starts)

    return checked


def test_standardize_penalises_standardised_columns():
    X, y = DATA["births"]
    X = X * np.geomspace(0.01, 100.0, X.shape[1])
    ours = MaxentClassifierCV(Cs=GRID, l1_ratios=[1.0], cv="loo", standardize=True).fit(X, y)
    Z = StandardScaler().fit_transform(X)
    theirs = MaxentClassifierCV(Cs=GRID, l1_ratios=[1.0], cv="loo").fit(Z, y)
    np.testing.assert_allclose(ours.scores_, theirs.scores_, atol=1e-3)
    assert ours.C_ == theirs.C_


def test_offsets_and_class_weights_are_part_of_the_fits_alone():
    X, y = simulated(80, 3, 2, 3)
    offset = 0.5 * X[:, 0]
    parameters = {"class_weight": {0: 2.0, 1: 1.0}, "label_smoothing": 0.1, "tol": 1e-8}
    cv = MaxentClassifierCV(Cs=[0.5], cv="loo", **parameters).fit(X, y, offset=offset)
    log_p = []
    for i in range(len(y)):
        kept = np.arange(len(y)) != i
        fit = MaxentClassifier(C=0.5, **parameters).fit(X[kept], y[kept], offset=offset[kept])
        log_p.append(fit.predict_log_proba(X[[i]], offset=offset[[i]])[0, y[i]])
    assert cv.scores_.item() == pytest.approx(np.mean(log_p), abs=1e-3)


def test_an_observation_alone_in_its_class_does_not_count():
    X, y = SMALL
    y = y.copy()
    y[3] = 9
    with pytest.warns(UserWarning, match=r"\[9\] have a single observation"):
        cv = MaxentClassifierCV(Cs=GRID[:3], cv="loo").fit(X, y)
    assert np.isfinite(cv.scores_).all()


@pytest.mark.parametrize(
    ("parameters", "arguments", "message"),
    [
        ({"relax": True}, {}, "relaxed fits"),
        ({"refit": False}, {}, "refit=False"),
        ({"max_iter": 0}, {}, "max_iter=0"),
        ({"scoring": "roc_auc_ovr"}, {}, "roc_auc_ovr"),
        ({"scoring": "balanced_accuracy"}, {}, "balanced_accuracy"),
        ({"cv": "LOO"}, {}, "cv"),
        ({}, {"groups": SMALL[1]}, "GroupKFold"),
    ],
)
def test_what_leave_one_out_cannot_do_is_refused_by_name(parameters, arguments, message):
    cv = MaxentClassifierCV(**({"Cs": GRID[:3], "cv": "loo"} | parameters))
    with pytest.raises(ValueError, match=message):
        cv.fit(*SMALL, **arguments)


def test_fits_without_nonzero_coefficients_print_nothing(capfd):
    """LAPACK writes to the standard output if it is asked to invert a matrix without rows."""
    cv = MaxentClassifierCV(Cs=8, l1_ratios=[1.0], cv="loo", fit_intercept=False).fit(*SMALL)
    assert not cv.coefs_paths_[0, 0, 0].any()
    assert capfd.readouterr() == ("", "")


def test_a_table_of_counts_with_class_weights_is_refused():
    X, y = SMALL
    table = np.eye(3)[y] + 1.0
    with pytest.raises(ValueError, match="class_weight"):
        MaxentClassifierCV(Cs=GRID[:3], cv="loo", class_weight="balanced").fit(X, table)


def test_dask_collections_are_refused():
    da = pytest.importorskip("dask.array")
    with pytest.raises(TypeError, match="Dask"):
        MaxentClassifierCV(Cs=GRID[:3], cv="loo").fit(da.from_array(SMALL[0]), SMALL[1])


def test_metadata_routing_has_no_splitter():
    X, y = SMALL
    cv = MaxentClassifierCV(Cs=GRID[:3], cv="loo")
    with sklearn.config_context(enable_metadata_routing=True):
        cv.fit(X, y)
        assert "splitter" not in str(cv.get_metadata_routing())


def test_weights_of_less_than_an_observation_are_refused():
    X, y = SMALL
    with pytest.raises(ValueError, match="needs a class with more than one observation"):
        MaxentClassifierCV(Cs=GRID[:3], cv="loo").fit(X, y, np.full(len(y), 1e-3))


def test_an_iterable_without_folds_is_refused_and_the_fit_kept():
    X, y = SMALL
    cv = MaxentClassifierCV(Cs=GRID[:3], cv="loo").fit(X, y)
    coef = cv.coef_.copy()
    with pytest.raises(ValueError, match=r"cv must have at least one fold, found \[\]"):
        cv.set_params(cv=[]).fit(X, y)
    np.testing.assert_array_equal(cv.coef_, coef)


@pytest.mark.parametrize("name", ["iris", "wine", "wide"])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_rough_fits_of_the_path_change_scores_by_less_than_cv_tol(name, l1_ratio):
    X, y = DATA[name]
    rough = MaxentClassifierCV(Cs=20, l1_ratios=[l1_ratio], cv="loo").fit(X, y)
    exact = clone(rough).set_params(cv_tol=0.0, Cs=rough.Cs_).fit(X, y)
    chosen = int(np.argmax(exact.Cs_ == exact.C_))
    assert abs(int(np.argmax(rough.Cs_ == rough.C_)) - chosen) <= 1
    error = np.abs(rough.scores_[0] - exact.scores_[0])[0, : chosen + 1]
    assert (error < 0.05 * exact.scores_std_err_[0, : chosen + 1]).all()
    # The final fit is exact in both.
    fit = MaxentClassifier(C=rough.C_, l1_ratio=l1_ratio).fit(X, y)
    np.testing.assert_allclose(rough.predict_proba(X), fit.predict_proba(X), atol=1e-3)
    assert rough.optimality_gap_ < 1e-3


def test_a_lasso_of_about_as_many_rows_as_coefficients():
    """Scores near the best C are accurate, and beyond it those of few rows do not explode.

    Steps that kept zeros made the first score 0.8 standard errors too low, and that of single rows
    -1e9 at the last C. The scores are those of fits without each of the 899 rows (tol=0.01).
    """
    X, y = load_digits(return_X_y=True)
    X, y = StandardScaler().fit_transform(X)[::2], y[::2]
    Cs = np.geomspace(0.1, 60.0, 20)
    clf = MaxentClassifierCV(Cs=Cs, l1_ratios=[1.0], cv="loo").fit(X, y)
    ranks = [9, 12, 15, 19]
    scores = clf.scores_.ravel()[ranks]
    exact = [-0.12131, -0.12427, -0.13638, -0.15707]
    errors = np.abs(scores - exact)
    limits = [0.2, 1.2, 1.5, 2.0]
    assert (errors < limits * clf.scores_std_err_.ravel()[ranks]).all()


def test_overfitted_lassos_are_not_magnified():
    """Where leverages are near one, errors of the fits of the path change scores by far more."""
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    options = {"Cs": np.geomspace(1.0, 20.0, 10), "l1_ratios": [1.0], "cv": "loo"}
    rough = MaxentClassifierCV(**options).fit(X, y)
    near = MaxentClassifierCV(cv_tol=0, **options).fit(X, y)
    assert (np.abs(rough.scores_ - near.scores_) <= 0.05 * near.scores_std_err_).all()
    assert near.scores_.min() > -2.0


@pytest.mark.parametrize(("n", "d", "seed"), [(60, 20, 0), (100, 30, 0)])
def test_scores_of_a_small_lasso_far_beyond_the_best_are_those_of_refits(n, d, seed):
    """Without most rows the classes are separated: one step made scores of -600 and -2,000,000."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = (X[:, :2] * 2.0 + rng.gumbel(size=(n, 2))).argmax(axis=1)
    Cs = np.geomspace(1e-2, 1e4, 25)
    clf = MaxentClassifierCV(Cs=Cs, l1_ratios=[1.0], cv="loo").fit(X, y)
    assert clf.C_ < 1.0
    for rank in (20, 24):
        model, exact = MaxentClassifier(C=Cs[rank], l1_ratio=1.0, tol=1e-2), []
        for i in range(n):
            rows = np.arange(n) != i
            exact.append(model.fit(X[rows], y[rows]).predict_log_proba(X[[i]])[0, y[i]])
        std_err = np.std(exact, ddof=1) / np.sqrt(n)
        assert abs(clf.scores_.ravel()[rank] - np.mean(exact)) < 0.1 * std_err
    # Scores between those with exact fits are on a curve through them.
    assert (np.diff(clf.scores_.ravel()[12:]) < 0.0).all()


def test_scores_of_a_lasso_with_many_rows_do_not_explode_beyond_the_best():
    """Exact fits that started at saturated rows were said to have converged: -770,000 at C=1e4.

    The scores are those of fits without each of the rows (tol=1e-3).
    """
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    Cs = np.geomspace(1e-2, 1e4, 25)
    clf = MaxentClassifierCV(Cs=Cs, l1_ratios=[1.0], cv="loo").fit(X, y)
    scores, std_err = clf.scores_.ravel()[[20, 24]], clf.scores_std_err_.ravel()[[20, 24]]
    exact = [-3.08181, -5.61199]
    assert (np.abs(scores - exact) < 0.1 * std_err).all()
