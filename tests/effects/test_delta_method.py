"""Effects and their errors against probabilities written out here, and finite differences.

`BruteForce` knows the coefficients, their covariance and the columns that the transformers make. A
quantity is a function of coefficients; its standard error follows from central differences.
"""

import numpy as np
import pandas as pd
import pytest
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


def agree(table, found, rtol=1e-6, atol=1e-9):
    np.testing.assert_allclose(table["estimate"], found[0], rtol=rtol, atol=atol)
    np.testing.assert_allclose(table["std_err"], found[1], rtol=10 * rtol, atol=atol)


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

    table = results.average_comparisons("region", comparison=comparison)
    agree(table, brute.estimate(contrast))


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
    agree(table, brute.estimate(contrast))


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

    agree(results.average_slopes(name, slope=slope), brute.estimate(derivative), rtol=1e-4)


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


def test_simulated_intervals_have_the_delta_methods_width(fitted):
    _, _, results, _ = fitted
    delta = results.average_comparisons("region")
    simulated = results.average_comparisons(
        "region", interval="simulation", n_draws=4000, random_state=0
    )
    np.testing.assert_allclose(simulated["estimate"], delta["estimate"])
    width, expected = (table["upper"] - table["lower"] for table in (simulated, delta))
    np.testing.assert_allclose(width, expected, rtol=0.1)


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
