"""The fuzz itself: its reference against finite differences, another method and scikit-learn, and
its checks against faults that are planted."""

from collections import Counter
from functools import cache

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from fuzz.bias_reduction import PenalisedLikelihood
from fuzz.checks import DEVIATIONS, TooMuchWork, limited_calls, rounding_of_lead
from fuzz.cross_validation import score_change, solved
from fuzz.examine import examine
from fuzz.expected import expected_objective
from fuzz.partial_labels import SetObjective
from fuzz.problems import KINDS, random_problem
from fuzz.reference import WIDE, Found, Objective, probabilities
from skmaxent import MaxentClassifier


def ordinary(link, seed=0, **penalty):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 4)) * [1.0, 30.0, 0.01, 1.0] + [0.0, 1000.0, 0.0, 0.0]
    Z = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=(4, 3)) + rng.gumbel(size=(60, 3))
    T = np.eye(3)[Z.argmax(axis=1)] if link == "softmax" else (Z > 0.5).astype(float)
    T = 0.9 * T + 0.1 * (1 / 3 if link == "softmax" else 1 / 2)
    return Objective(X, T, rng.random(60), link, offset=rng.normal(size=(60, 3)), **penalty)


PENALTIES = {
    "none": {},
    "ridge": {"ridge": 0.01, "target": 0.3},
    "lasso": {"l1": 0.01},
    "elastic net": {"l1": np.array([[0.02], [0.01], [0.0]]), "ridge": 0.01},
    "bounds": {"lower": np.array([0.0, -1e-3, -np.inf, 0.1]), "upper": 0.2},
    "groups": {"l1": 0.02, "ridge": 0.001, "grouped": True},
}


@pytest.mark.parametrize("link", ["softmax", "sigmoids"])
def test_gradient_of_the_loss_by_finite_differences(link):
    objective = ordinary(link)
    rng = np.random.default_rng(1)
    W = rng.normal(size=(3, 4)) * [0.5, 0.01, 10.0, 0.5]
    b = rng.normal(size=3) - W @ objective.center
    gradient, intercepts = objective.loss_gradient(W, b)
    for k in range(3):
        step = np.zeros(3)
        step[k] = 1e-6
        slope = (objective.value(W, b + step) - objective.value(W, b - step)) / 2e-6
        assert float(slope) == pytest.approx(float(intercepts[k]), abs=1e-10)
        for j in range(4):
            step = np.zeros((3, 4))
            step[k, j] = 1e-6 / objective.scale[j]
            slope = (objective.value(W + step, b) - objective.value(W - step, b)) / 2e-6
            expected = float(gradient[k, j] / objective.scale[j])
            assert float(slope) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("link", ["softmax", "sigmoids"])
def test_two_methods_agree(link, penalty):
    """Newton's method on the coefficients that move, and L-BFGS-B or proximal gradients."""
    objective = ordinary(link, **PENALTIES[penalty])
    newton = objective.polished(np.zeros((3, 4)), np.zeros(3))
    other = objective.by_first_order()
    assert newton.gain < 1e-12
    assert float(other.value) == pytest.approx(float(newton.value), rel=1e-7)
    assert float(newton.value - other.value) < 1e-12
    assert float(objective.cold().value) == pytest.approx(float(newton.value), rel=1e-13)


def test_intercepts_do_not_run_away_where_the_penalty_is_tiny():
    """A number that is added to all intercepts changes nothing, and would cost their digits."""
    X = np.array([[0.219810884], [0.219810682], [0.219810851]])
    objective = Objective(X, np.eye(3), np.ones(3), "softmax", ridge=1e-9, l1=1e-15)
    found = objective.polished(np.zeros((3, 1)), np.zeros(3))
    assert abs(found.intercept.sum()) < 1e-6 < abs(found.intercept).max() < 20.0
    assert found.gain < 1e-12


@pytest.mark.parametrize("penalty", ["ridge", "lasso", "elastic net", "bounds", "groups"])
def test_no_point_nearby_is_lower(penalty):
    objective = ordinary("softmax", **PENALTIES[penalty])
    found = objective.polished(np.zeros((3, 4)), np.zeros(3))
    rng = np.random.default_rng(2)
    for size in 10.0 ** np.arange(-6, 0):
        for _ in range(20):
            W = found.coef + size * rng.normal(size=(3, 4)) / objective.scale
            W = np.clip(W, objective.lower, objective.upper)
            assert objective.value(W, found.intercept + size * rng.normal(size=3)) >= found.value


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_optimum_is_that_of_scikit_learn(classes, l1_ratio):
    X, y = load_iris(return_X_y=True)
    X, y = X[y < classes], y[y < classes]
    C, n = 0.5, len(X)
    T = np.eye(classes)[y]
    strength = 1 / (C * n)
    objective = Objective(
        X,
        T[:, 1:] if classes == 2 else T,
        np.ones(n),
        "sigmoids" if classes == 2 else "softmax",
        l1=strength * l1_ratio,
        ridge=strength * (1 - l1_ratio),
    )
    # Before scikit-learn 1.8 the kind of penalty has a name.
    named = {"penalty": "l1" if l1_ratio else "l2"}
    kind = {"l1_ratio": l1_ratio} if sklearn.__version__ >= "1.8" else named
    theirs = LogisticRegression(
        C=C,
        solver="saga" if l1_ratio else "lbfgs",
        tol=1e-9 if l1_ratio else 1e-12,
        max_iter=100_000,
        random_state=0,
        **kind,
    ).fit(X, y)
    ours = objective.cold()
    value = objective.value(theirs.coef_, theirs.intercept_)
    assert -1e-14 < float(value - ours.value) < 1e-7
    np.testing.assert_allclose(ours.coef.astype(float), theirs.coef_, atol=1e-3)


def test_information_by_finite_differences_of_the_gradient():
    objective = ordinary("softmax", ridge=0.01)
    rng = np.random.default_rng(3)
    W = rng.normal(size=(3, 4)) * [0.5, 0.01, 10.0, 0.5]
    b = rng.normal(size=3) - W @ objective.center
    H = objective.information(W, b).reshape(3, 5, 3, 5) / objective.total
    for k in range(3):
        step = np.zeros(3)
        step[k] = 1e-6
        above, below = (objective.loss_gradient(W, b + sign * step) for sign in (1, -1))
        np.testing.assert_allclose(
            ((above[0] - below[0]) / 2e-6).astype(float), H[k, 4, :, :4].astype(float), rtol=1e-6
        )
        np.testing.assert_allclose(
            ((above[1] - below[1]) / 2e-6).astype(float), H[k, 4, :, 4].astype(float), rtol=1e-6
        )


def sets_of(n_classes, seed=4):
    rng = np.random.default_rng(seed)
    members = (rng.random((50, n_classes)) < 0.3) | np.eye(n_classes, dtype=bool)[
        rng.integers(n_classes, size=50)
    ]
    T = members / members.sum(axis=1, keepdims=True)
    link = "sigmoids" if n_classes == 2 else "softmax"
    even = Objective(
        rng.normal(size=(50, 3)), T[:, 1:] if n_classes == 2 else T, rng.random(50), link, ridge=0.1
    )
    return members, even, rng


@pytest.mark.parametrize("n_classes", [2, 4])
def test_loss_of_sets_by_its_definition_and_finite_differences(n_classes):
    members, even, rng = sets_of(n_classes)
    objective = SetObjective.of(even)
    W, b = rng.normal(size=objective.shape), rng.normal(size=objective.shape[0])
    Z = objective.logits(W, b)
    Z = np.column_stack([np.zeros(len(Z)), Z]) if n_classes == 2 else Z
    P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    loss = -(objective.s @ np.log((P * members).sum(axis=1))) / objective.total
    expected = loss + 0.05 * (W**2).sum()
    assert float(objective.value(W, b)) == pytest.approx(float(expected), rel=1e-12)
    gradient, intercepts = objective.loss_gradient(W, b)
    for k in range(len(W)):
        step = np.zeros(W.shape)
        step[k, 1] = 1e-6
        slope = (objective.value(W + step, b) - objective.value(W - step, b)) / 2e-6
        assert float(slope - 0.1 * W[k, 1]) == pytest.approx(float(gradient[k, 1]), abs=1e-9)
        slope = (objective.value(W, b + step[:, 1]) - objective.value(W, b - step[:, 1])) / 2e-6
        assert float(slope) == pytest.approx(float(intercepts[k]), abs=1e-9)


def test_descents_on_sets_end_at_stationary_points():
    _, even, _ = sets_of(4)
    objective = SetObjective.of(even)
    start = even.cold()
    for found in (
        objective.polished(start.coef, start.intercept),
        objective.descended(start.coef, start.intercept),
    ):
        assert found.value < objective.value(start.coef, start.intercept)
        gradient, intercepts = objective.loss_gradient(found.coef, found.intercept)
        assert abs(gradient + 0.1 * found.coef).max() < 1e-5
        assert abs(intercepts).max() < 1e-5


@pytest.mark.parametrize("link", ["softmax", "sigmoids"])
def test_penalised_likelihood_by_a_determinant_and_finite_differences(link):
    objective = ordinary("softmax")
    if link == "sigmoids":
        T = objective.T[:, 1:2]
        objective = Objective(objective.X, T, objective.s, link, offset=objective.offset[:, 1:2])
    likelihood = PenalisedLikelihood(objective, 3.0)
    rng = np.random.default_rng(5)
    W, b = rng.normal(size=objective.shape) / objective.scale, rng.normal(size=objective.shape[0])
    theta = likelihood.from_coefficients(W, b - W @ objective.center)
    size = theta.size
    H = objective.information(W, b - W @ objective.center) * 3.0
    # Against the last class, and in columns as they are: the determinant changes by a constant.
    H = H[:size, :size].astype(float)
    change = 2 * len(theta) * np.log(objective.scale.astype(float)).sum()
    loss = 3.0 * objective.total * objective.value(W, b - W @ objective.center)
    expected = float(loss) - (np.linalg.slogdet(H)[1] - change) / 2
    assert float(likelihood.value(theta)) == pytest.approx(expected, rel=1e-6)
    value, gradient = likelihood.value_and_gradient(theta)
    assert value == pytest.approx(float(likelihood.value(theta)), rel=1e-12)
    for i in range(size):
        step = np.zeros(size)
        step[i] = 1e-6
        step = step.reshape(theta.shape)
        slope = (likelihood.value(theta + step) - likelihood.value(theta - step)) / 2e-6
        assert float(slope) == pytest.approx(gradient[i], abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_problems_are_those_of_their_seeds(kind):
    for seed in range(5):
        one, other = (expected_objective(random_problem(kind, seed)).objective for _ in range(2))
        zeros = np.zeros(one.shape), np.zeros(one.shape[0])
        assert np.array_equal(one.X, other.X)
        assert one.value(*zeros) == other.value(*zeros)


def test_limited_calls_end_a_loop():
    def forever():
        while True:
            abs(float(ordinary.__name__ == "x"))
            (lambda: None)()

    with pytest.raises(TooMuchWork), limited_calls(1000):
        forever()


class Planted(MaxentClassifier):
    """A classifier with a fault."""

    fault = None

    def fit(self, X, y, sample_weight=None, offset=None):
        super().fit(X, y, sample_weight, offset)
        if self.fault == "far":
            self.coef_ = 1.1 * self.coef_
        elif self.fault == "near":
            self.coef_ = (1 + 1e-4) * self.coef_
        elif self.fault == "nan":
            self.coef_ = np.nan * self.coef_
        elif self.fault == "writes":
            X[0, 0] += 1.0
        elif self.fault == "raises":
            raise RuntimeError("planted")
        elif self.fault == "endless":
            while True:
                self.get_params()
        else:
            is_warm = self.fault == "warm" and self.warm_start
            is_other = self.fault == "layout" and not X.flags.c_contiguous
            self.coef_ = 0.9 * self.coef_ if is_warm or is_other else self.coef_
        return self

    def predict_proba(self, X, offset=None):
        P = super().predict_proba(X, offset)
        return P**1.01 / (P**1.01).sum(axis=1, keepdims=True) if self.fault == "predict" else P

    def infer(self, *arguments, **options):
        options["reference"] = self.classes_[-1] if self.fault == "infer" else None
        return super().infer(*arguments, **options)


FAULTS = {
    "far": "ABOVE",
    "near": "CERTIFICATE",
    "nan": "NONFINITE",
    "writes": "INPUT CHANGED",
    "raises": "ERROR",
    "endless": "WORK",
    "warm": "WARM",
    "layout": "STORAGE",
    "predict": "PREDICT",
    "infer": "RESULTS",
}


@cache
def plain_seeds():
    """Of some ordinary problems of inference: three or more classes, labels, a dense X."""
    tags = {"normal", "model", "random", "labels", "weights-uniform", "weights-integers"}
    plain, other = [], []
    for seed in range(2000):
        problem = random_problem("inference", seed)
        is_wide = problem.n_classes > 2 and problem.X.shape[1] > 1
        if is_wide and set(problem.tags) <= tags:
            plain += [seed] if problem.storage == "C" else []
            other += [seed] if problem.storage in ("F", "strided", "reversed") else []
    return plain[:8] + other[:2]


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_planted_faults_are_found(fault, monkeypatch):
    monkeypatch.setattr("fuzz.checks.MaxentClassifier", Planted)
    monkeypatch.setattr("fuzz.checks.MOST_CALLS", 100_000)
    monkeypatch.setattr(Planted, "fault", fault)
    found = Counter()
    for seed in plain_seeds():
        found.update(check for check, _ in examine("inference", seed)[0].failures)
    assert FAULTS[fault] in found if fault else not found


@pytest.mark.parametrize("name", ["none", "ridge", "lasso", "groups"])
@pytest.mark.parametrize("link", ["softmax", "sigmoids"])
def test_the_change_of_a_score_within_tol(link, name):
    objective = ordinary(link, **PENALTIES[name])
    best = objective.cold()
    X = objective.X[:5] * 1.5
    tol, size = 1e-3, float(objective.total**2 / (objective.s**2).sum())

    def score(W, b):
        Z = X @ W.T + b
        shift = np.log(np.exp(Z).sum(axis=1)) if link == "softmax" else np.log1p(np.exp(Z[:, 0]))
        return (Z[:, 0] - shift).mean()

    Z = X @ best.coef.T + best.intercept
    slopes = -probabilities(Z, link) / len(X)
    if link == "sigmoids":
        slopes[:, 1:] = 0
    slopes[:, 0] += 1 / len(X)
    change = score_change(objective, best, X, slopes, tol)
    # No step of the length `tol` along random directions changes the score by more, and one does so
    # by nearly as much.
    rng, most = np.random.default_rng(0), 0.0
    free = (best.coef != 0) | (objective.l1 == 0)
    assert free.any()
    start = score(best.coef, best.intercept)
    steps = rng.normal(size=(4000, 3, 5))
    for step in steps:
        W = best.coef + 1e-4 * step[:, :4] * free / objective.scale
        b = best.intercept + 1e-4 * step[:, 4] - (W - best.coef) @ objective.center
        rise = objective.value(W, b) - best.value
        length = np.sqrt(2 * size * float(rise))
        most = max(most, abs(float(score(W, b) - start)) * tol / length)
    assert 0.3 * change < most < 1.02 * change


def test_a_system_is_solved_in_extended_precision():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(6, 9)) * 10.0 ** rng.integers(-6, 6, size=(6, 1))
    A, x = A.astype(WIDE), rng.normal(size=6)
    H = A @ A.T
    np.testing.assert_allclose(solved(H, H @ x).astype(float), x, rtol=1e-8)
    A[5] = A[0] + A[1]
    H = A @ A.T
    assert solved(H, np.arange(6) + WIDE(1)) is None
    np.testing.assert_allclose((H @ solved(H, H @ x)).astype(float), (H @ x).astype(float))


@pytest.mark.parametrize("link", ["sigmoids", "softmax"])
def test_the_bound_of_a_lead_by_perturbations_of_the_columns(link):
    """Perturbations of one size and random signs, whose deviation the bound has exactly."""
    objective, rng, size = ordinary(link), np.random.default_rng(0), 1e-6
    draws = [(rng.normal(size=(3, 4)), rng.normal(size=3)) for _ in range(2)]
    points = [
        Found(W / objective.scale, b - W / objective.scale @ objective.center, 0.0, 0.0)
        for W, b in draws
    ]

    def lead(objective):
        one, other = (objective.value(point.coef, point.intercept) for point in points)
        return float(one - other)

    signs = rng.choice([-1.0, 1.0], size=(400, *objective.X.shape))
    changes = [lead(objective.with_columns(objective.X * (1 + size * s))) for s in signs]
    deviation = np.sqrt(np.mean(np.square(np.array(changes) - lead(objective))))
    found = rounding_of_lead(objective, *points, size)
    assert found == pytest.approx(DEVIATIONS * deviation, rel=0.15)
