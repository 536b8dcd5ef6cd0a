"""Dates and durations are refused where numbers are expected: NumPy would convert them by unit.

Integers beyond float64 are refused too, because Python does not convert them to floats.
"""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MaxentObjective,
    MultilabelMaxentClassifier,
    SurveyDesign,
    conformal_sets,
    detect_separation,
    expected_calibration_error,
    leave_one_out,
    maxent_path,
)

RNG = np.random.default_rng(0)
N = 30
X = pd.DataFrame(RNG.normal(size=(N, 3)), columns=list("abc"))
Y = np.arange(N) % 3
TWO = RNG.integers(0, 2, N)
INDICATOR = RNG.integers(0, 2, (N, 3))
DAYS = np.datetime64("2020-01-01") + np.arange(N)
SECONDS = np.arange(1, N + 1).astype("m8[s]")

TIMES = {
    "dates": DAYS,
    "durations": SECONDS,
    "Series": pd.Series(DAYS),
    "Series of a time zone": pd.Series(pd.DatetimeIndex(DAYS).tz_localize("UTC")),
    "objects": np.array(list(SECONDS), dtype=object),
    "list": list(SECONDS),
    "Python's dates": [date(2020, 1, 1)] * N,
}


@pytest.fixture(scope="module")
def fitted():
    return MaxentClassifier(C=np.inf).fit(X, TWO)


@pytest.fixture(scope="module")
def results(fitted):
    return fitted.infer(X, TWO)


def three(times):
    """Return three equal columns of times."""
    return np.column_stack([np.asarray(times, dtype=object)] * 3)


# A call for each argument that holds a number for each row.
OF_ROWS = {
    "sample_weight of fit": lambda t, f, r: MaxentClassifier().fit(X, Y, sample_weight=t),
    "sample_weight of score": lambda t, f, r: f.score(X, TWO, sample_weight=t),
    "sample_weight of infer": lambda t, f, r: f.infer(X, TWO, sample_weight=t),
    "sample_weight of effects": lambda t, f, r: r.marginal_effects(X, sample_weight=t),
    "sample_weight of labels": lambda t, f, r: MultilabelMaxentClassifier().fit(
        X, INDICATOR, sample_weight=t
    ),
    "sample_weight of a path": lambda t, f, r: maxent_path(X, Y, Cs=3, sample_weight=t),
    "sample_weight of folds": lambda t, f, r: MaxentClassifierCV(Cs=3).fit(X, Y, sample_weight=t),
    "sample_weight of leave_one_out": lambda t, f, r: leave_one_out(f, X, TWO, sample_weight=t),
    "sample_weight of separation": lambda t, f, r: detect_separation(X, Y, sample_weight=t),
    "sample_weight of calibration": lambda t, f, r: expected_calibration_error(
        TWO, f.predict_proba(X), sample_weight=t
    ),
    "offset of fit": lambda t, f, r: MaxentClassifier().fit(X, TWO, offset=t),
    "offset of predict_proba": lambda t, f, r: f.predict_proba(X, offset=t),
    "weights of SurveyDesign": lambda t, f, r: f.infer(X, TWO, design=SurveyDesign(weights=t)),
    "X of score_test": lambda t, f, r: r.score_test(t),
    "X of fit": lambda t, f, r: MaxentClassifier().fit(three(t), Y),
    "y of counts": lambda t, f, r: MaxentClassifier().fit(X, three(t)),
}


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize("argument", OF_ROWS)
def test_times_are_refused_for_rows(argument, kind, fitted, results):
    name = argument.split()[0].replace("weights", "weights|sample_weight")
    with pytest.raises((TypeError, ValueError), match=rf"({name}).*(must|holds)"):
        OF_ROWS[argument](TIMES[kind], fitted, results)


@pytest.mark.parametrize("X_of_times", [DAYS[:, None], pd.DataFrame({"when": DAYS})])
def test_X_of_times_alone_is_refused(X_of_times):
    with pytest.raises(TypeError, match="X must be numeric"):
        MaxentClassifier().fit(X_of_times, Y)
    with pytest.raises(TypeError, match="X must be numeric"):
        MaxentClassifier().fit(X[["a"]].to_numpy(), Y).predict(np.asarray(X_of_times))


def test_y_may_hold_dates_as_labels():
    labels = DAYS[Y]
    clf = MaxentClassifier().fit(X, labels)
    assert clf.classes_.tolist() == DAYS[:3].tolist()
    assert np.array_equal(clf.coef_, MaxentClassifier().fit(X, Y).coef_)


@pytest.mark.parametrize("times", [SECONDS[:3], list(SECONDS[:3]), DAYS[:3]])
@pytest.mark.parametrize("name", ["penalty_factor", "prior_coef", "bounds", "prior_correction"])
def test_times_are_refused_for_columns(name, times):
    value = (None, times) if name == "bounds" else times
    with pytest.raises(TypeError, match=rf"{name}.* must hold"):
        MaxentClassifier(**{name: value}).fit(X, Y)


@pytest.mark.parametrize("name", ["Cs", "alphas", "l1_ratios", "relax"])
def test_times_are_refused_for_grids(name):
    parameters = {"Cs": SECONDS[:2]} if name == "Cs" else {name: SECONDS[:1] - SECONDS[:1]}
    if name == "alphas":
        parameters = {"alphas": SECONDS[:2]}
    with pytest.raises((TypeError, ValueError), match=rf"{name} must be"):
        MaxentClassifierCV(**parameters).fit(X, Y)


@pytest.mark.parametrize("name", ["C", "alpha", "l1_ratio", "tol", "max_iter"])
@pytest.mark.parametrize("value", [np.timedelta64(1, "s"), 10**400], ids=["duration", "10**400"])
def test_parameters_beyond_float_are_named(name, value):
    for estimator, y in ((MaxentClassifier, Y), (MultilabelMaxentClassifier, INDICATOR)):
        with pytest.raises(ValueError, match=f"'{name}' parameter of {estimator.__name__} must be"):
            estimator(**{name: value}).fit(X, y)


def test_class_weight_of_durations_is_refused():
    with pytest.raises(ValueError, match=r"class_weight\[0\] .* expected a number"):
        MaxentClassifier(class_weight={0: SECONDS[0]}).fit(X, Y)


HUGE = {
    "class_weight": lambda v, f, r: MaxentClassifier(class_weight={0: v}).fit(X, Y),
    "penalty_factor": lambda v, f, r: MaxentClassifier(penalty_factor=[1, 1, v]).fit(X, Y),
    "penalty_factor of a": lambda v, f, r: MaxentClassifier(penalty_factor={"a": v}).fit(X, Y),
    "prior_coef": lambda v, f, r: MaxentClassifier(prior_coef=[1, 1, v]).fit(X, Y),
    "bounds": lambda v, f, r: MaxentClassifier(bounds=(None, v)).fit(X, Y),
    "prior_correction": lambda v, f, r: MaxentClassifier(prior_correction=[v, 1, 1]).fit(X, Y),
    "n_jobs": lambda v, f, r: MaxentClassifierCV(n_jobs=v).fit(X, Y),
    "Cs": lambda v, f, r: MaxentClassifierCV(Cs=[1, v]).fit(X, Y),
    "Cs ": lambda v, f, r: MaxentClassifierCV(Cs=v).fit(X, Y),
    "l1_ratios": lambda v, f, r: MaxentClassifierCV(l1_ratios=[0, v]).fit(X, Y),
    "cv_tol": lambda v, f, r: MaxentClassifierCV(cv_tol=v).fit(X, Y),
    "sample_weight": lambda v, f, r: MaxentClassifier().fit(X, Y, sample_weight=[v] * N),
    "sample_weight ": lambda v, f, r: MaxentClassifier().fit(X, Y, sample_weight=v),
    "offset": lambda v, f, r: MaxentClassifier().fit(X, TWO, offset=[v] * N),
    "y": lambda v, f, r: MaxentClassifier().fit(X, [[1, 1, v]] * N),
    "X": lambda v, f, r: MaxentClassifier().fit([[v, 1.0]] * N, Y),
    "threshold": lambda v, f, r: MultilabelMaxentClassifier(threshold=v).fit(X, INDICATOR),
    "y_prob": lambda v, f, r: expected_calibration_error(TWO, [[v, 0]] * N),
    "n_bins": lambda v, f, r: expected_calibration_error(TWO, f.predict_proba(X), n_bins=v),
    "n_bins ": lambda v, f, r: r.calibration(n_bins=v),
    "n_bootstrap": lambda v, f, r: f.infer(X, TWO, method="bootstrap", n_bootstrap=v),
    "conf_level": lambda v, f, r: r.conf_int(v),
    "variables": lambda v, f, r: r.comparisons(variables={"a": v}),
    "variables ": lambda v, f, r: r.comparisons(variables={"a": [0, v]}),
    "alpha": lambda v, f, r: conformal_sets(f, X, TWO, alpha=v),
    "weights": lambda v, f, r: f.infer(X, TWO, design=SurveyDesign(weights=[v] * N)),
    "coef": lambda v, f, r: MaxentObjective(X, TWO).flatten([[v, 0, 0]]),
}


@pytest.mark.parametrize("argument", HUGE)
def test_integers_beyond_float_are_refused(argument, fitted, results):
    with pytest.raises((TypeError, ValueError)) as raised:
        HUGE[argument](10**400, fitted, results)
    if argument not in ("coef", "weights"):
        assert argument.split()[0] in str(raised.value)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_a_number_of_bins_beyond_memory_is_refused(strategy, fitted, results):
    with pytest.raises(ValueError, match="n_bins must be an integer of at most 1,000,000"):
        expected_calibration_error(TWO, fitted.predict_proba(X), n_bins=10**39, strategy=strategy)
    with pytest.raises(ValueError, match="n_bins must be an integer of at most 1,000,000"):
        results.calibration(n_bins=10**39, strategy=strategy)
