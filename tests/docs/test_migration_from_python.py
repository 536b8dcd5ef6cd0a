"""Each row of the tables for scikit-learn and statsmodels in docs/migrating.md is true."""

import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from helpers.migration_rows import Rows
from sklearn import __version__
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.multiclass import OneVsRestClassifier
from statsmodels.iolib.summary2 import summary_col

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    compare,
)

sklearn_version = tuple(map(int, __version__.split(".")[:2]))
X, y = load_wine(return_X_y=True, as_frame=True)
X = X[["alcohol", "malic_acid"]]
Z = (X - X.mean()) / X.std()
sklearn = Rows("scikit-learn: `LogisticRegression`")
statsmodels = Rows("statsmodels: `MNLogit`")


def same(ours, theirs, atol=1e-5):
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=atol)
    np.testing.assert_allclose(ours.predict_proba(Z), theirs.predict_proba(Z), atol=atol)


def theirs(**parameters):
    parameters = {"tol": 1e-9, "max_iter": 10_000} | parameters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return LogisticRegression(**parameters).fit(Z, y)


def ours(**parameters):
    return MaxentClassifier(**{"tol": 1e-8} | parameters).fit(Z, y)


@sklearn.row(
    "`C`, `l1_ratio`, `fit_intercept`, `class_weight`, `max_iter`, `warm_start`, `verbose`",
    "`n_jobs`, without effect",
    '`random_state`, seed of `"sag"` and `"saga"`',
)
def same_parameters():
    for both in (
        {"C": 0.1},
        {"fit_intercept": False},
        {"class_weight": "balanced"},
        {"class_weight": {0: 1.0, 1: 2.0, 2: 3.0}},
    ):
        same(ours(**both), theirs(**both))
    same(ours(C=0.3, l1_ratio=0.5), theirs(C=0.3, l1_ratio=0.5, solver="saga"))
    for other in ({"max_iter": 500}, {"warm_start": True}, {"n_jobs": 1}, {"random_state": 0}):
        same(ours(**other), theirs())
    same(ours(verbose=0), theirs())


@sklearn.row("`tol`, size of the gradient")
def tolerance():
    exact = ours(C=np.inf)
    loose = ours(C=np.inf, tol=1e-2)
    errors = exact.infer(Z, y).std_errors
    contrasts = (np.delete(m.coef_ - m.coef_[:1], 0, axis=0) for m in (exact, loose))
    distance = np.abs(np.subtract(*contrasts)) / errors[:, :2]
    assert distance.max() < 1e-2


@sklearn.row("`penalty=None`")
def no_penalty():
    same(ours(C=np.inf), theirs(C=np.inf), 1e-4)
    same(ours(penalty=None), ours(C=np.inf))


@sklearn.row('`penalty="l1"`')
def lasso():
    same(ours(l1_ratio=1), theirs(l1_ratio=1, solver="saga"))
    same(ours(penalty="l1"), ours(l1_ratio=1))


@sklearn.row('`penalty="elasticnet"`')
def elastic_net():
    same(ours(penalty="elasticnet", l1_ratio=0.4), theirs(l1_ratio=0.4, solver="saga"))


@sklearn.row('`solver="lbfgs"`')
def lbfgs():
    same(ours(solver="lbfgs"), theirs())


@sklearn.row('`solver="sag"`, `"saga"`')
def stochastic_solvers():
    for solver in ("sag", "saga"):
        same(ours(solver=solver), ours(solver="auto"))


@sklearn.row('`solver="newton-cg"`, `"newton-cholesky"`')
def newton_solvers():
    for solver in ("newton-cg", "newton-cholesky"):
        same(ours(solver=solver), theirs(solver=solver))


@sklearn.row('`solver="liblinear"`')
def liblinear():
    with pytest.raises(ValueError, match="liblinear"):
        ours(solver="liblinear")


@sklearn.row("`dual`, `intercept_scaling`, `multi_class`")
def parameters_that_are_missing():
    same(
        ours(dual=False, intercept_scaling=1, multi_class="multinomial"),
        theirs(dual=False, intercept_scaling=1),
    )
    for name, value in {"dual": True, "intercept_scaling": 2, "multi_class": "ovr"}.items():
        with pytest.raises(TypeError, match=name):
            MaxentClassifier(**{name: value})


@sklearn.row("`LogisticRegressionCV(Cs=10)`: values from 1e-4 to 1e4")
def strengths_from_the_data():
    model = MaxentClassifierCV(cv=3).fit(Z, y)
    assert model.get_params()["Cs"] == 100
    assert len(model.Cs_) == 100
    larger = MaxentClassifierCV(cv=3, Cs=5).fit(10.0 * Z, y).Cs_
    assert not np.allclose(larger[0], model.Cs_[0])


@sklearn.row("`LogisticRegressionCV(scoring=None)`: accuracy in version 1.9")
def default_scores():
    model = MaxentClassifierCV(Cs=[0.1, 1.0], cv=3)
    np.testing.assert_allclose(
        model.fit(Z, y).scores_,
        MaxentClassifierCV(Cs=[0.1, 1.0], cv=3, scoring="neg_log_loss").fit(Z, y).scores_,
        atol=1e-6,
    )


@sklearn.row("`LogisticRegressionCV(use_legacy_attributes=False)`")
def shapes_of_attributes():
    Cs, ratios = [0.1, 1.0], (0.0, 0.5)
    model = MaxentClassifierCV(Cs=Cs, l1_ratios=ratios, cv=3).fit(Z, y)
    options = {"solver": "saga", "max_iter": 5000, "scoring": "neg_log_loss"}
    other = LogisticRegressionCV(
        Cs=Cs, l1_ratios=ratios, cv=3, use_legacy_attributes=False, **options
    ).fit(Z, y)
    for name in ("scores_", "coefs_paths_", "C_", "l1_ratio_", "coef_", "intercept_"):
        assert np.shape(getattr(model, name)) == np.shape(getattr(other, name)), name


@sklearn.row("`OneVsRestClassifier(LogisticRegression())` on an indicator matrix")
def indicators():
    Y = np.column_stack([y == 0, y >= 1, X["alcohol"] > 13]).astype(int)
    model = MultilabelMaxentClassifier(tol=1e-8).fit(Z, Y)
    other = OneVsRestClassifier(LogisticRegression(tol=1e-9)).fit(Z, Y)
    expected = np.vstack([part.coef_ for part in other.estimators_])
    np.testing.assert_allclose(model.coef_, expected, atol=1e-5)


CLASSIFIER = MaxentClassifier(C=np.inf, tol=1e-9).fit(X, y)
RESULTS = CLASSIFIER.infer(X, y)
MODEL = sm.MNLogit(y, sm.add_constant(X))


def fitted(**options):
    return MODEL.fit(**{"method": "newton", "tol": 1e-12, "disp": 0} | options)


def in_our_order(values):
    """A row for each class, with the constant last, from a column for each class."""
    return np.roll(np.asarray(values), -1, axis=0).T


@statsmodels.row("`add_constant(X)`", "`.params`, a column for each class")
def coefficients():
    expected = in_our_order(fitted().params)
    np.testing.assert_allclose(RESULTS.coef, expected, rtol=1e-5)
    np.testing.assert_allclose(np.ravel(RESULTS.summary()["coef"]), expected.ravel(), rtol=1e-5)
    assert CLASSIFIER.fit_intercept
    assert RESULTS.columns[-1] == "Intercept"


@statsmodels.row("the first class is the base")
def base():
    assert RESULTS.reference == 0
    other = CLASSIFIER.infer(X, y, reference=2)
    np.testing.assert_allclose(other.coef[0], -RESULTS.coef[1], rtol=1e-5)


@statsmodels.row("`.bse`")
def errors():
    np.testing.assert_allclose(RESULTS.std_errors, in_our_order(fitted().bse), rtol=1e-5)


@statsmodels.row("`.cov_params()`")
def covariance():
    order = [1, 2, 0, 4, 5, 3]
    expected = np.asarray(fitted().cov_params())[np.ix_(order, order)]
    np.testing.assert_allclose(RESULTS.cov_params(), expected, rtol=1e-4)


@statsmodels.row("`.conf_int(alpha=0.05)`")
def intervals():
    expected = np.asarray(fitted().conf_int(alpha=0.05))[[1, 2, 0, 4, 5, 3]]
    np.testing.assert_allclose(RESULTS.conf_int(conf_level=0.95), expected, rtol=1e-4)
    profile = RESULTS.profile_conf_int(features="alcohol")
    assert profile.shape == (2, 2)


@statsmodels.row("`.summary()`")
def summary():
    assert "McFadden" in str(RESULTS)
    assert len(RESULTS.summary()) == fitted().params.size


@statsmodels.row("`.llf`, `.llnull`", "`.prsquared`, `.aic`, `.bic`", "`.df_model`, `.df_resid`")
def statistics():
    expected = fitted()
    pairs = [
        (RESULTS.log_likelihood, expected.llf),
        (RESULTS.null_log_likelihood, expected.llnull),
        (RESULTS.mcfadden_r2, expected.prsquared),
        (RESULTS.aic, expected.aic),
        (RESULTS.bic, expected.bic),
        (RESULTS.df_model, expected.df_model),
        (RESULTS.df_resid, expected.df_resid),
    ]
    for found, value in pairs:
        assert found == pytest.approx(value, rel=1e-8)


@statsmodels.row("`.get_margeff()`")
def effects():
    expected = fitted().get_margeff()
    found = RESULTS.marginal_effects(X)
    np.testing.assert_allclose(found["effect"], expected.margeff.T.ravel(), rtol=1e-4)
    np.testing.assert_allclose(found["std_err"], expected.margeff_se.T.ravel(), rtol=1e-4)
    slopes = RESULTS.average_slopes()
    np.testing.assert_allclose(slopes["estimate"], expected.margeff.ravel(), rtol=1e-4)


@statsmodels.row('`.get_margeff(at="mean")`')
def effects_at_the_mean():
    expected = fitted().get_margeff(at="mean")
    found = RESULTS.marginal_effects(X, at="mean")
    np.testing.assert_allclose(found["effect"], expected.margeff.T.ravel(), rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(found["std_err"], expected.margeff_se.T.ravel(), rtol=1e-4)
    slopes = RESULTS.slopes(newdata="mean")
    np.testing.assert_allclose(slopes["estimate"], expected.margeff.ravel(), rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(slopes["std_err"], expected.margeff_se.ravel(), rtol=1e-4)


@statsmodels.row('`.get_margeff(method="eydx")`')
def elasticities():
    expected = fitted().get_margeff(method="eydx")
    found = RESULTS.average_slopes(slope="eydx")
    np.testing.assert_allclose(found["estimate"], expected.margeff.ravel(), rtol=1e-5)
    np.testing.assert_allclose(found["std_err"], expected.margeff_se.ravel(), rtol=1e-5)
    rows = RESULTS.slopes("alcohol", slope="eydx")
    dyex = RESULTS.slopes("alcohol", slope="dyex")["estimate"]
    eyex = RESULTS.slopes("alcohol", slope="eyex")["estimate"]
    x, P = np.repeat(X["alcohol"].to_numpy(), 3), CLASSIFIER.predict_proba(X).ravel()
    np.testing.assert_allclose(eyex, x * rows["estimate"], rtol=1e-8)
    np.testing.assert_allclose(dyex, x * P * rows["estimate"], rtol=1e-8)
    for kind in ("eyex", "dyex"):
        with pytest.raises(ValueError, match="broadcast"):
            fitted().get_margeff(method=kind)


@statsmodels.row("`.t_test(r)`, an array of restrictions")
def combinations():
    # Theirs have the constant first, ours last.
    expected = fitted().t_test(np.array([[0.0, 1.0, 0.0, 0.0, -1.0, 0.0]]))
    found = RESULTS.hypotheses(np.array([[1.0, 0.0, 0.0, -1.0, 0.0, 0.0]]))
    assert found["estimate"].item() == pytest.approx(expected.effect.item(), rel=1e-5)
    assert found["std_err"].item() == pytest.approx(expected.sd.item(), rel=1e-5)


@statsmodels.row("`summary_col([fit1, fit2])`, which does not support `MNLogit`")
def side_by_side():
    with pytest.raises(ValueError, match="same number of dimensions"):
        summary_col([fitted(), fitted()])
    few = X[["alcohol"]]
    small = MaxentClassifier(C=np.inf, tol=1e-9).fit(few, y).infer(few, y)
    text = str(compare(small, RESULTS))
    assert f"{fitted().llf:.2f}" in text
    assert f"{fitted().aic:.2f}" in text


@statsmodels.row("`.wald_test(np.eye(6)[[1, 4]])`")
def joint_test():
    expected = fitted().wald_test(np.eye(6)[[1, 4]], scalar=True)
    found = RESULTS.wald_test().loc["alcohol"]
    assert found["p_value"] == pytest.approx(float(expected.pvalue), rel=1e-4)


@statsmodels.row('`.fit(cov_type="HC0")`')
def robust():
    found = CLASSIFIER.infer(X, y, cov_type="HC0").std_errors
    np.testing.assert_allclose(found, in_our_order(fitted(cov_type="HC0").bse), rtol=1e-5)


@statsmodels.row('`.fit(cov_type="cluster", cov_kwds={"groups": g})`')
def clusters():
    g = np.arange(len(y)) % 20
    expected = fitted(cov_type="cluster", cov_kwds={"groups": g})
    found = CLASSIFIER.infer(X, y, cov_type="cluster", groups=g).std_errors
    np.testing.assert_allclose(found, in_our_order(expected.bse), rtol=1e-5)


@statsmodels.row("`.predict()`")
def probabilities():
    np.testing.assert_allclose(CLASSIFIER.predict_proba(X), fitted().predict(), rtol=1e-5)


@statsmodels.row('`.fit_regularized(method="l1")`')
def regularised():
    model = MaxentClassifier(l1_ratio=1.0, C=0.1).fit(Z, y)
    other = sm.MNLogit(y, sm.add_constant(Z)).fit_regularized(
        method="l1", alpha=np.repeat([[0.0], [10.0], [10.0]], 2, axis=1), disp=0
    )
    assert np.abs(model.predict_proba(Z) - other.predict()).max() > 0.01


@pytest.mark.parametrize("rows", [sklearn, statsmodels], ids=["scikit-learn", "statsmodels"])
def test_each_row_is_executed(rows):
    assert sorted(rows.checks) == sorted(rows.on_page)


# The table is of the parameters of scikit-learn 1.8 and later; those of earlier versions differ.
@pytest.mark.skipif(sklearn_version < (1, 8), reason="the table is of scikit-learn 1.8")
@pytest.mark.parametrize("first", sklearn.checks)
def test_scikit_learn(first):
    sklearn.checks[first]()


@pytest.mark.parametrize("first", statsmodels.checks)
def test_statsmodels(first):
    statsmodels.checks[first]()
