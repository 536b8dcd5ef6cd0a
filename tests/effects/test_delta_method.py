"""Effects and their errors against probabilities written out here, and finite differences.

`BruteForce` knows the coefficients, their covariance and the columns that the transformers make. A
quantity is a function of coefficients; its standard error follows from central differences.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit, softmax
from scipy.stats import norm, t
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)

from skmaxent import MaxentClassifier, datagrid, infer

COMPARISONS = {
    "difference": lambda a, b: a - b,
    "ratio": lambda a, b: a / b,
    "lnratio": lambda a, b: np.log(a / b),
    "lnor": lambda a, b: np.log(a / (1 - a) / (b / (1 - b))),
    "lift": lambda a, b: (a - b) / b,
}


class BruteForce:
    def __init__(self, model, results, offset=None):
        self.model, self.offset = model, offset
        self.theta, self.V = np.array(results.coef), np.array(results.covariance)

    def columns(self, frame):
        return np.asarray(self.model[:-1].transform(frame))

    def probabilities(self, frame, theta, offset=None):
        X = self.columns(frame) if isinstance(frame, pd.DataFrame) else frame
        Z = np.column_stack([np.zeros(len(X)), np.column_stack([X, np.ones(len(X))]) @ theta.T])
        if offset is not None:
            Z = Z + offset
        E = np.exp(Z - Z.max(axis=1, keepdims=True))
        return E / E.sum(axis=1, keepdims=True)

    def around(self, frame, name):
        """A step, and the columns of the model at four points around the values of a variable."""
        h = 1e-5 * frame[name].std()
        steps = (2 * h, h, -h, -2 * h)
        return h, [self.columns(frame.assign(**{name: frame[name] + s})) for s in steps]

    def slope(self, around, theta):
        h, ends = around
        P = [self.probabilities(end, theta) for end in ends]
        return (8 * (P[1] - P[2]) - (P[0] - P[3])) / (12 * h)

    def estimate(self, quantity):
        values = np.ravel(quantity(self.theta))
        jacobian = []
        for j in range(self.theta.size):
            step = np.zeros(self.theta.size)
            step[j] = 1e-5 * max(1.0, abs(self.theta.flat[j]))
            step = step.reshape(self.theta.shape)
            high, low = (np.ravel(quantity(self.theta + s)) for s in (step, -step))
            jacobian.append((high - low) / (2 * step.flat[j]))
        J = np.array(jacobian).T
        return values, np.sqrt(np.einsum("ij,jk,ik->i", J, self.V, J))


def agree(table, found, rtol=1e-6, atol=1e-9, null=0.0, level=0.95, df=np.inf):
    """Compare all columns of a table with estimates and standard errors."""
    values, errors = found
    statistic = "z" if np.isinf(df) else "t"
    half = t.ppf(0.5 + 0.5 * level, df) * errors
    np.testing.assert_allclose(table["estimate"], values, rtol=rtol, atol=atol)
    np.testing.assert_allclose(table["std_err"], errors, rtol=10 * rtol, atol=atol)
    rounding = 20 * rtol * (np.abs(values) + half)
    assert np.all(np.abs(table["lower"] - (values - half)) <= rounding)
    assert np.all(np.abs(table["upper"] - (values + half)) <= rounding)
    if statistic in table:
        ratio = (values - null) / errors
        np.testing.assert_allclose(table[statistic], ratio, rtol=20 * rtol, atol=20 * rtol)
        expected = 2.0 * t.sf(np.abs(table[statistic]), df)
        np.testing.assert_allclose(table["p_value"], expected, rtol=1e-9)
    else:  # probabilities are only tested under a hypothesis
        assert table.columns[-4:].tolist() == ["estimate", "std_err", "lower", "upper"]


def example(n_classes=3, n=160, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.uniform(20, 70, n),
            "income": np.exp(rng.normal(10, 0.5, n)),
            "region": pd.Categorical(
                rng.choice(["west", "north", "south"], n), ["north", "south", "west"]
            ),
            "owner": rng.random(n) < 0.4,
        }
    )
    logits = np.column_stack(
        [
            k * 0.4 * np.sin(frame["age"] / 9) + (frame["region"] == "south") * (k - 1) * 0.7
            for k in range(n_classes)
        ]
    )
    y = np.argmax(logits + rng.gumbel(size=(n, n_classes)), axis=1)
    return frame, np.array(list("abcd"))[y], rng


def transformers():
    return make_column_transformer(
        (SplineTransformer(n_knots=4, degree=3, include_bias=False), ["age"]),
        (make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False)), ["income"]),
        (OneHotEncoder(drop="first"), ["region"]),
        ("passthrough", ["owner"]),
    )


@pytest.fixture(scope="module", params=[2, 3, 4])
def fitted(request):
    frame, y, rng = example(request.param)
    weights = rng.integers(1, 4, len(y)).astype(float)
    model = make_pipeline(transformers(), MaxentClassifier(C=np.inf, tol=1e-10))
    model.fit(frame, y, maxentclassifier__sample_weight=weights)
    results = infer(model, frame, y, weights)
    return frame, weights, results, BruteForce(model, results)


def test_terms_are_the_variables(fitted):
    _, _, results, _ = fitted
    assert {name: len(columns) for name, columns in results.terms.items()} == {
        "age": 5,
        "income": 2,
        "region": 2,
        "owner": 1,
    }


def test_predictions_of_rows(fitted):
    frame, _, results, brute = fitted
    some = frame.head(7)
    agree(results.predictions(newdata=some), brute.estimate(lambda t: brute.probabilities(some, t)))


def test_average_predictions_weigh_rows_as_the_fit_did(fitted):
    frame, weights, results, brute = fitted

    columns = brute.columns(frame)

    def mean(theta):
        return np.average(brute.probabilities(columns, theta), axis=0, weights=weights)

    agree(results.average_predictions(), brute.estimate(mean))
    # At the optimum they are the shares of the classes.
    assert results.average_predictions()["estimate"].sum() == pytest.approx(1.0)


def test_average_predictions_by_a_factor(fitted):
    frame, weights, results, brute = fitted

    columns = brute.columns(frame)

    def means(theta):
        P = brute.probabilities(columns, theta)
        groups = [(frame["region"] == level).to_numpy() for level in ("north", "south", "west")]
        return [np.average(P[at], axis=0, weights=weights[at]) for at in groups]

    table = results.average_predictions(by="region")
    assert table["region"].tolist()[:: len(results.classes)] == ["north", "south", "west"]
    agree(table, brute.estimate(means))


@pytest.mark.parametrize("comparison", list(COMPARISONS))
def test_comparisons_of_a_factor(fitted, comparison):
    frame, weights, results, brute = fitted

    levels = [brute.columns(frame.assign(region=level)) for level in ("north", "south", "west")]

    def contrast(theta):
        ends = [np.average(brute.probabilities(level, theta), 0, weights) for level in levels]
        return [COMPARISONS[comparison](end, ends[0]) for end in ends[1:]]

    table = results.average_comparisons("region", comparison=comparison, conf_level=0.8)
    agree(table, brute.estimate(contrast), null=float(comparison == "ratio"), level=0.8)


@pytest.mark.parametrize("comparison", list(COMPARISONS))
def test_comparisons_of_rows(fitted, comparison):
    frame, _, results, brute = fitted
    some = frame.head(5)

    def contrast(theta):
        high, low = (
            brute.probabilities(some.assign(age=some["age"] + step), theta) for step in (2.5, -2.5)
        )
        return COMPARISONS[comparison](high, low)

    table = results.comparisons({"age": 5}, newdata=some, comparison=comparison)
    agree(table, brute.estimate(contrast), null=float(comparison == "ratio"))


@pytest.mark.parametrize("name", ["age", "income"])
@pytest.mark.parametrize("slope", ["dydx", "dyex", "eydx", "eyex"])
def test_slopes(fitted, name, slope):
    frame, weights, results, brute = fitted

    around, columns = brute.around(frame, name), brute.columns(frame)

    def derivative(theta):
        value = brute.slope(around, theta)
        if slope[0] == "e":
            value = value / brute.probabilities(columns, theta)
        if slope[2] == "e":
            value = value * frame[name].to_numpy()[:, None]
        return np.average(value, axis=0, weights=weights)

    agree(results.average_slopes(name, slope=slope), brute.estimate(derivative), rtol=1e-5)


@pytest.mark.parametrize("name", ["age", "income"])
def test_slopes_of_rows(fitted, name):
    frame, _, results, brute = fitted
    some = frame.loc[frame["age"].between(30, 60)].head(5)  # splines have corners at the ends
    around = brute.around(some, name)
    found = brute.estimate(lambda theta: brute.slope(around, theta))
    agree(results.slopes(name, newdata=some, conf_level=0.9), found, rtol=1e-5, level=0.9)


def test_slopes_of_rows_are_those_of_their_means(fitted):
    _, weights, results, _ = fitted
    rows = results.slopes("age")["estimate"].to_numpy().reshape(len(weights), -1)
    mean = results.average_slopes("age")["estimate"]
    np.testing.assert_allclose(np.average(rows, 0, weights), mean, rtol=1e-8)


def test_offsets_stay_in_counterfactual_rows():
    frame, y, rng = example(3)
    offset = rng.normal(size=(len(y), 3))
    model = make_pipeline(transformers(), MaxentClassifier(C=np.inf, tol=1e-10))
    model.fit(frame, y, maxentclassifier__offset=offset)
    results = infer(model, frame, y, offset=offset)
    brute = BruteForce(model, results)

    def contrast(theta):
        high, low = (
            brute.probabilities(frame.assign(owner=value), theta, offset).mean(axis=0)
            for value in (True, False)
        )
        return high - low

    agree(results.average_comparisons("owner"), brute.estimate(contrast))
    some = frame.head(3)
    table = results.predictions(newdata=some, offset=offset[:3])
    agree(table, brute.estimate(lambda t: brute.probabilities(some, t, offset[:3])))
    with pytest.raises(ValueError, match="offset"):
        results.predictions(newdata=some)


def test_simulated_intervals_are_quantiles_over_drawn_coefficients(fitted):
    """Up to the Monte Carlo error of both, about 0.011 standard errors each."""
    frame, _, results, brute = fitted
    some = frame.head(3)
    levels = [brute.columns(some.assign(region=level)) for level in ("north", "south", "west")]

    def contrast(theta):
        ends = [brute.probabilities(level, theta) for level in levels]
        return np.ravel([end - ends[0] for end in ends[1:]])

    rng, shape = np.random.default_rng(1), (-1, *brute.theta.shape)
    drawn = rng.multivariate_normal(brute.theta.ravel(), brute.V, size=40_000).reshape(shape)
    P = []
    for X in levels:
        Z = np.einsum("ij,dkj->dik", np.column_stack([X, np.ones(3)]), drawn)
        P.append(softmax(np.concatenate([np.zeros_like(Z[:, :, :1]), Z], axis=2), axis=2))
    differences = np.stack([P[1] - P[0], P[2] - P[0]], axis=1).reshape(len(drawn), -1)
    lower, upper = np.quantile(differences, [0.05, 0.95], axis=0)
    options = {"interval": "simulation", "random_state": 0, "conf_level": 0.9}
    table = results.comparisons("region", newdata=some, n_draws=40_000, **options)
    values, errors = brute.estimate(contrast)
    np.testing.assert_allclose(table["estimate"], values, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(table["std_err"], errors, rtol=1e-5)
    assert np.abs((table["lower"] - lower) / errors).max() < 0.07
    assert np.abs((table["upper"] - upper) / errors).max() < 0.07


def test_intervals_of_log_odds(fitted):
    frame, _, results, brute = fitted
    some = frame.head(7)
    p, errors = brute.estimate(lambda theta: brute.probabilities(some, theta))
    table = results.predictions(newdata=some, interval="logit", conf_level=0.9)
    half = norm.ppf(0.95) * errors / (p * (1.0 - p))
    np.testing.assert_allclose(table["lower"], expit(logit(p) - half), rtol=1e-4)
    np.testing.assert_allclose(table["upper"], expit(logit(p) + half), rtol=1e-4)


# The weights of the estimates of three groups, a row for each contrast of a class.
HYPOTHESES = {
    "pairwise": [[1, -1, 0], [1, 0, -1], [0, 1, -1]],
    "revpairwise": [[-1, 1, 0], [-1, 0, 1], [0, -1, 1]],
    "reference": [[-1, 1, 0], [-1, 0, 1]],
    "sequential": [[-1, 1, 0], [0, -1, 1]],
    "meandev": np.eye(3) - 1.0 / 3.0,
}


@pytest.mark.parametrize("hypothesis", [*HYPOTHESES, "equation", "weights", 0.3])
def test_functions_of_average_predictions(fitted, hypothesis):
    frame, weights, results, brute = fitted
    columns, n_classes = brute.columns(frame), len(results.classes)
    groups = [(frame["region"] == level).to_numpy() for level in ("north", "south", "west")]

    def function(theta):
        P = brute.probabilities(columns, theta)
        means = np.array([np.average(P[at], axis=0, weights=weights[at]) for at in groups])
        if hypothesis == "equation":
            return means.flat[0] - 2.0 * means.flat[n_classes] - 0.1
        if hypothesis == "weights":
            return [means.flat[1] + means.flat[2], 3.0 * means.flat[0]]
        return means if hypothesis == 0.3 else (HYPOTHESES[hypothesis] @ means).T

    given, null = hypothesis, 0.0
    if hypothesis == "equation":
        given = f"b0 - 2*b{n_classes} = 0.1"
    elif hypothesis == "weights":
        given = np.zeros((3 * n_classes, 2))
        given[[1, 2], 0], given[0, 1] = 1.0, 3.0
    elif hypothesis == 0.3:
        null = 0.3
    table = results.average_predictions(by="region", hypothesis=given, conf_level=0.9)
    assert "p_value" in table
    agree(table, brute.estimate(function), null=null, level=0.9)


CONTRASTS = {
    "sequential": [("south", "north"), ("west", "south")],
    "pairwise": [("south", "north"), ("west", "north"), ("west", "south")],
    "revpairwise": [("north", "south"), ("north", "west"), ("south", "west")],
    "minmax": [("west", "north")],
}


@pytest.mark.parametrize("kind", CONTRASTS)
def test_pairs_of_levels(fitted, kind):
    frame, weights, results, brute = fitted
    columns = {
        level: brute.columns(frame.assign(region=level)) for level in ("north", "south", "west")
    }

    def contrast(theta):
        mean = {
            k: np.average(brute.probabilities(X, theta), 0, weights) for k, X in columns.items()
        }
        return [mean[high] - mean[low] for high, low in CONTRASTS[kind]]

    table = results.average_comparisons({"region": kind})
    assert table["contrast"].unique().tolist() == [f"{a} - {b}" for a, b in CONTRASTS[kind]]
    agree(table, brute.estimate(contrast))


@pytest.mark.parametrize("kind", ["sd", "2sd", "iqr", "minmax"])
def test_named_contrasts_of_numbers(fitted, kind):
    frame, weights, results, brute = fitted
    age = frame["age"]
    step = np.std(age, ddof=1) * {"sd": 0.5, "2sd": 1.0}.get(kind, 0.0)
    ends = np.quantile(age, {"iqr": [0.75, 0.25], "minmax": [1.0, 0.0]}.get(kind, []))
    values = ends if len(ends) else (age + step, age - step)
    columns = [brute.columns(frame.assign(age=value)) for value in values]

    def contrast(theta):
        high, low = (np.average(brute.probabilities(X, theta), 0, weights) for X in columns)
        return high - low

    agree(results.average_comparisons({"age": kind}), brute.estimate(contrast))


def test_few_clusters_have_statistics_of_students_t():
    frame, y, _ = example(3)
    model = make_pipeline(transformers(), MaxentClassifier(C=np.inf, tol=1e-10)).fit(frame, y)
    groups = np.arange(len(y)) % 20
    results = infer(model, frame, y, cov_type="cluster", groups=groups, use_t=True)
    brute = BruteForce(model, results)
    around, columns = brute.around(frame, "age"), brute.columns(frame)
    ends = [brute.columns(frame.assign(owner=value)) for value in (True, False)]

    def difference(theta):
        return np.subtract(*(brute.probabilities(end, theta).mean(axis=0) for end in ends))

    found = brute.estimate(difference)
    agree(results.average_comparisons("owner", conf_level=0.9), found, level=0.9, df=19)
    found = brute.estimate(lambda theta: brute.slope(around, theta).mean(axis=0))
    agree(results.average_slopes("age"), found, rtol=1e-5, df=19)
    found = brute.estimate(lambda theta: brute.probabilities(columns, theta).mean(axis=0) - 0.25)
    table = results.average_predictions(hypothesis=0.25)
    agree(
        table.assign(**{c: table[c] - 0.25 for c in ("estimate", "lower", "upper")}), found, df=19
    )


def test_bootstrap_intervals_are_percentiles_of_refits():
    frame, y, _ = example(3, n=120)
    X = frame[["age", "income"]].to_numpy() / [10, 1e4]
    clf = MaxentClassifier(C=np.inf, tol=1e-8, random_state=0).fit(X, y)
    results = clf.infer(X, y, method="bootstrap", n_bootstrap=30)
    table = results.predictions(newdata=X[:2], interval="bootstrap", conf_level=0.9)
    expected = []
    for one in results.replicates:
        Z = np.column_stack([np.zeros(2), np.column_stack([X[:2], np.ones(2)]) @ one.T])
        expected.append((np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)).ravel())
    lower, upper = np.quantile(expected, [0.05, 0.95], axis=0)
    np.testing.assert_allclose(table["lower"], lower, rtol=1e-8)
    np.testing.assert_allclose(table["upper"], upper, rtol=1e-8)


def test_a_counterfactual_grid_repeats_the_rows(fitted):
    frame, weights, results, brute = fitted
    grid = datagrid(region=["north", "west"], grid_type="counterfactual")

    def means(theta):
        return [
            np.average(brute.probabilities(frame.assign(region=level), theta), 0, weights)
            for level in ("north", "west")
        ]

    agree(results.predictions(newdata=grid, by="region"), brute.estimate(means))
