"""The intercept-only model: log shares of the classes, and R's `multinom(vote ~ 1)`."""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers.beps import DATA, ORACLES, VOTE
from scipy.optimize import minimize
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skmaxent import (
    FormulaTransformer,
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    compare,
    from_formula,
    infer,
    maxent_path,
)

R = json.loads((Path(ORACLES) / "null_model.json").read_text())
BEPS = DATA.assign(vote=VOTE)
NONE = DATA[[]]  # rows without columns
LABELS = R["levels"]


@pytest.fixture(scope="module")
def null():
    return infer(from_formula("vote ~ 1", BEPS), BEPS, VOTE)


@pytest.fixture(scope="module")
def full():
    return infer(from_formula("vote ~ age + gender + Europe", BEPS, tol=1e-10), BEPS, VOTE)


def test_estimates_are_those_of_r(null):
    expected = R["null"]
    assert null.columns == ["Intercept"]
    np.testing.assert_allclose(null.coef[:, 0], expected["coef"], rtol=1e-6)
    np.testing.assert_allclose(null.std_errors[:, 0], expected["se"], rtol=1e-6)
    assert null.log_likelihood == pytest.approx(expected["loglik"], rel=1e-10)
    assert null.aic == pytest.approx(expected["aic"], rel=1e-10)
    assert null.bic == pytest.approx(expected["bic"], rel=1e-10)
    found = null.average_predictions().set_index("class")["estimate"]
    np.testing.assert_allclose(found.loc[LABELS], expected["fitted"], rtol=1e-6)


def test_weighted_estimates_are_those_of_r():
    weights = np.resize([1.0, 2.0, 0.5], len(BEPS))
    pipe = from_formula("vote ~ 1", BEPS.assign(weight=weights), sample_weight="weight")
    found, expected = infer(pipe, BEPS, VOTE, weights), R["weighted"]
    np.testing.assert_allclose(found.coef[:, 0], expected["coef"], rtol=1e-6)
    np.testing.assert_allclose(found.std_errors[:, 0], expected["se"], rtol=1e-6)
    assert found.log_likelihood == pytest.approx(expected["loglik"], rel=1e-10)


def test_the_full_model_is_compared_with_it_as_by_anova(null, full):
    row = full.likelihood_ratio_test(null).iloc[0]
    assert row["chi2"] == pytest.approx(R["anova"]["LR stat."], rel=1e-6)
    assert row["df"] == R["anova"]["   Df"]
    assert full.null_log_likelihood == pytest.approx(null.log_likelihood, rel=1e-12)
    assert null.mcfadden_r2 == pytest.approx(0.0, abs=1e-12)
    text = str(compare(null, full, names=["Null", "Full"]))
    assert f"{R['null']['loglik']:.2f}" in text
    assert f"{R['full_loglik']:.2f}" in text


def test_coefficients_and_errors_have_a_closed_form():
    y = VOTE.to_numpy()
    n = np.array([(y == label).sum() for label in LABELS])
    found = MaxentClassifier(C=np.inf).fit(NONE, y).infer(NONE, y)
    np.testing.assert_allclose(found.coef[:, 0], np.log(n[1:] / n[0]), rtol=1e-12)
    np.testing.assert_allclose(found.cov_params(), np.diag(1 / n[1:]) + 1 / n[0], rtol=1e-10)
    share = n / n.sum()
    errors = np.sqrt(share * (1 - share) / n.sum())
    np.testing.assert_allclose(found.average_predictions()["std_err"], errors, rtol=1e-10)
    for cov_type in ("HC0", "HC1"):  # the robust covariance is the same but for its factor
        robust = MaxentClassifier(C=np.inf).fit(NONE, y).infer(NONE, y, cov_type=cov_type)
        np.testing.assert_allclose(robust.std_errors, found.std_errors, rtol=2e-3)
        assert "test" not in str(robust)


def test_counts_have_the_shares_of_their_sums():
    counts = np.random.default_rng(0).integers(0, 9, (50, 3))
    X = pd.DataFrame(index=range(50))
    found = MaxentClassifier(C=np.inf).fit(X, counts).infer(X, counts)
    n = counts.sum(axis=0)
    np.testing.assert_allclose(found.coef[:, 0], np.log(n[1:] / n[0]), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.std_errors[:, 0], np.sqrt(1 / n[1:] + 1 / n[0]), rtol=1e-10)


def test_offsets_shift_the_logits():
    rng = np.random.default_rng(1)
    y, weights = rng.integers(0, 3, 60), rng.integers(0, 4, 60)
    offset = rng.normal(size=(60, 3))

    def loss(b):
        logits = offset + np.array([0.0, *b])
        return weights @ (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(60), y])

    expected = minimize(loss, [0.0, 0.0], method="BFGS", options={"gtol": 1e-8}).x
    X = pd.DataFrame(index=range(60))
    model = MaxentClassifier(C=np.inf).fit(X, y, weights, offset)
    found = model.infer(X, y, weights, offset)
    np.testing.assert_allclose(found.coef[:, 0], expected, atol=1e-5)
    P = np.exp(offset + np.array([0.0, *expected]))
    P /= P.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X, offset=offset), P, atol=1e-5)
    means = found.average_predictions()["estimate"]
    np.testing.assert_allclose(means, weights @ P / weights.sum(), atol=1e-5)


def test_two_classes_have_the_log_odds():
    y = VOTE == "Labour"
    model = MaxentClassifier(C=np.inf).fit(NONE, y)
    np.testing.assert_allclose(model.intercept_, np.log(y.sum() / (~y).sum()), rtol=1e-12)
    assert model.coef_.shape == (1, 0)
    error = np.sqrt(1 / y.sum() + 1 / (~y).sum())
    np.testing.assert_allclose(model.infer(NONE, y).std_errors, [[error]], rtol=1e-10)


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton-cg", "trust-ncg", "trust-krylov"])
def test_every_solver_ends_at_the_shares(solver, capfd):
    model = MaxentClassifier(C=np.inf, solver=solver).fit(NONE, VOTE)
    share = VOTE.value_counts(normalize=True).loc[model.classes_]
    np.testing.assert_allclose(model.predict_proba(NONE)[0], share, rtol=1e-10)
    assert capfd.readouterr() == ("", "")  # LAPACK prints complaints


@pytest.mark.parametrize("parameters", [{}, {"l1_ratio": 1.0}, {"grouped": True, "l1_ratio": 1.0}])
def test_intercepts_are_not_penalised(parameters):
    model = MaxentClassifier(**parameters).fit(NONE, VOTE)
    share = VOTE.value_counts(normalize=True).loc[model.classes_]
    np.testing.assert_allclose(model.predict_proba(NONE)[0], share, rtol=1e-10)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_new_rows_are_predicted(null, library):
    frame = BEPS
    if library == "polars":
        frame = pytest.importorskip("polars").from_pandas(BEPS)
    pipe = pickle.loads(pickle.dumps(from_formula("vote ~ 1", frame)))
    P = pipe.predict_proba(frame[:7])
    assert P.shape == (7, 3)
    np.testing.assert_allclose(P, np.tile(R["null"]["fitted"], (7, 1)), rtol=1e-6)
    found = infer(pipe, frame, VOTE)
    pd.testing.assert_frame_equal(found.predictions("mean"), null.predictions("mean"))


def test_intervals_tables_and_pickles(null):
    assert null.profile_conf_int().shape == (2, 2)
    assert "Likelihood ratio" not in str(null)
    assert "Intercept" in null.to_latex()
    assert null.terms == {}
    loaded = pickle.loads(pickle.dumps(null))
    expected = null.predictions()
    pd.testing.assert_frame_equal(loaded.with_data(BEPS, VOTE).predictions(), expected)
    by = null.average_predictions(by="gender")
    assert by["gender"].tolist() == ["female"] * 3 + ["male"] * 3
    other = null.relative_to("Labour").summary()["coef"]
    assert other.loc["Conservative", "Intercept"] == pytest.approx(-null.coef[0, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.anova(), "intercepts alone"),
        (lambda r: r.likelihood_ratio_test(), "no features to leave out"),
        (lambda r: r.average_comparisons(), "intercepts alone"),
        (lambda r: r.average_slopes(), "intercepts alone"),
        (lambda r: r.marginal_effects(BEPS), "intercepts alone"),
        (lambda r: r.combine_test(), "expected a model with features"),
    ],
)
def test_what_needs_features_says_so(null, call, message):
    with pytest.raises(ValueError, match=message):
        call(null)


def test_arrays_without_columns_are_refused_and_keep_the_fitted_model():
    model = MaxentClassifier(C=np.inf).fit(NONE, VOTE)
    before = model.predict_proba(NONE)
    with pytest.raises(ValueError, match="0 feature"):
        model.fit(np.empty((len(VOTE), 0)), VOTE)
    np.testing.assert_array_equal(model.predict_proba(NONE), before)
    # The fitted model has no columns to miss.
    np.testing.assert_array_equal(model.predict_proba(NONE.to_numpy()), before)
    with pytest.raises(ValueError, match="X has 1 features, but"):
        model.predict_proba(np.ones((2, 1)))
    with pytest.raises(ValueError, match="0 sample"):
        model.predict_proba(NONE.iloc[:0])


def test_what_cannot_be_without_columns():
    with pytest.raises(ValueError, match="fit_intercept=False leaves no coefficients"):
        MaxentClassifier(fit_intercept=False).fit(NONE, VOTE)
    with pytest.raises(ValueError, match="fit_intercept=False leaves no coefficients"):
        MultilabelMaxentClassifier(fit_intercept=False).fit(NONE, pd.get_dummies(VOTE))
    with pytest.raises(ValueError, match="0 sample"):
        MaxentClassifier().fit(NONE.iloc[:0], VOTE.iloc[:0])
    with pytest.raises(ValueError, match="expected bounds=None"):
        MaxentClassifier(bounds=(0, 1)).fit(NONE, VOTE)
    with pytest.raises(ValueError, match="all C have the same model"):
        maxent_path(NONE, VOTE)
    model = MaxentClassifierCV(cv=3)
    with pytest.raises(ValueError, match="all C have the same model"):
        model.fit(NONE, VOTE)
    with pytest.raises(NotFittedError):
        model.predict(NONE)
    with pytest.raises(ValueError, match="neither terms nor an intercept"):
        from_formula("vote ~ 0", BEPS)
    with pytest.raises(ValueError, match="method='split' selects features"):
        MaxentClassifier().fit(NONE, VOTE).infer(NONE, VOTE, method="split")


@pytest.mark.parametrize("convert", [pd.DataFrame, np.asarray, sp.csr_matrix])
def test_a_lone_constant_column_is_aliased(convert):
    X = convert(np.full((len(VOTE), 2), 3.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the aliased columns
        model = MaxentClassifier(C=np.inf).fit(X, VOTE)
    found = model.infer(X, VOTE)
    assert len(found.aliased) == 2
    np.testing.assert_allclose(found.coef[:, 0], R["null"]["coef"], rtol=1e-6)
    np.testing.assert_allclose(found.std_errors[:, 0], R["null"]["se"], rtol=1e-6)
    np.testing.assert_allclose(
        found.average_predictions()["estimate"], R["null"]["fitted"], rtol=1e-6
    )


def test_pipelines_are_cross_validated():
    pipe = make_pipeline(FormulaTransformer("1"), MaxentClassifier())
    scores = cross_val_score(pipe, DATA, VOTE, scoring="neg_log_loss", cv=3)
    assert scores.mean() == pytest.approx(R["null"]["loglik"] / len(VOTE), rel=1e-2)


def test_labels_have_the_log_odds_of_their_shares():
    Y = pd.get_dummies(VOTE)
    model = MultilabelMaxentClassifier().fit(NONE, Y)
    share = Y.mean()
    np.testing.assert_allclose(model.intercept_, np.log(share / (1 - share)), rtol=1e-8)


def test_null_features_need_features(null):
    """The error was one of SciPy's: ufunc 'isnan' not supported for the input types."""
    with pytest.raises(ValueError, match="the model has none"):
        null.null_feature_test()
