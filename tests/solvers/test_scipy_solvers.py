"""SciPy's optimisers as solvers: the same optimum, stopping rule, warnings and certificate."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import reference
from helpers.problems import datasets, fit
from scipy import optimize
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    check_sample_weight_equivalence_on_sparse_data,
)

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    maxent_path,
)
from skmaxent._objective._likelihood import likelihood
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._solvers import Problem, Status
from skmaxent._solvers._preconditioned import PreconditionedProblem
from skmaxent._solvers._preconditioner_choice import PreconditionerChoice
from skmaxent._solvers._preconditioners import KroneckerPreconditioner
from skmaxent._storage._row_blocks import RowBlocks

SOLVERS = {"lbfgs": "L-BFGS-B", "trust-krylov": "trust-krylov", "trust-ncg": "trust-ncg"}
IRIS = load_iris(return_X_y=True)
RNG = np.random.default_rng(0)
X = IRIS[0]
Y = np.where(RNG.random(150) < 0.15, (IRIS[1] + 1) % 3, IRIS[1])  # classes that overlap
WEIGHTS = RNG.uniform(0.0, 3.0, 150) * (np.arange(150) % 7 > 0)
OFFSET = RNG.normal(size=(150, 3))
PRIOR = np.outer([1.0, -2.0, 0.5], [0.1, 0.2, 0.3, 0.4])
PENALTIES = {
    "ridge": {},
    "weak ridge": {"C": 1e3},
    "strong ridge": {"C": 1e-4},
    "no penalty": {"C": np.inf},
    "no intercept": {"fit_intercept": False},
    "factors": {"C": 0.5, "penalty_factor": [0.0, 1.0, 4.0, 1.0]},
    "removed feature": {"C": 0.5, "penalty_factor": [0.0, 1.0, np.inf, 1.0]},
    "prior": {"C": 0.2, "prior_coef": PRIOR},
    "prior, a feature without penalty": {
        "C": 0.2,
        "prior_coef": PRIOR * [1.0, 1.0, 1.0, 0.0],
        "penalty_factor": [0.0, 1.0, 4.0, np.inf],
    },
    "factors per class": {"C": 0.5, "penalty_factor": np.arange(12.0).reshape(3, 4)},
    "coefficients removed": {
        "C": 0.5,
        "penalty_factor": np.where(np.arange(12.0).reshape(3, 4) % 5 == 1, np.inf, 1.0),
    },
    "smoothing": {"label_smoothing": 0.1},
    "class weights": {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}},
    "population": {"prior_correction": [0.5, 0.2, 0.3]},
}
STORED = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "CSR": sp.csr_array,
    "float32": lambda X: X.astype(np.float32),
}


def assert_same(found, expected, tolerance=1e-6):
    size = max(1.0, float(np.abs(expected.coef_).max()))
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=tolerance * size)
    np.testing.assert_allclose(found.intercept_, expected.intercept_, atol=10 * tolerance * size)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("rows", [{}, {"sample_weight": WEIGHTS}, {"offset": OFFSET}])
@pytest.mark.parametrize("name", PENALTIES)
def test_coefficients_equal_those_of_newtons_method(name, rows, solver):
    options = PENALTIES[name] | {"tol": 1e-8, "max_iter": 1000}
    expected = MaxentClassifier(**options).fit(X, Y, **rows)
    found = MaxentClassifier(solver=solver, **options).fit(X, Y, **rows)
    assert_same(found, expected)
    assert found.optimality_gap_ < 1e-6


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_in_every_storage(n_classes, name, solver, small_blocks):
    labels = Y % n_classes
    stored = STORED[name](X)
    expected = MaxentClassifier(tol=1e-8).fit(np.asarray(X, stored.dtype).astype(float), labels)
    found = MaxentClassifier(tol=1e-8, solver=solver, max_iter=1000).fit(stored, labels)
    assert found.coef_.dtype == stored.dtype
    assert_same(found, expected, 1e-5 if name == "float32" else 1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_from_a_memory_map(solver, tmp_path):
    np.save(tmp_path / "X.npy", X)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    options = {"tol": 1e-8, "solver": solver, "max_iter": 1000}
    assert_same(MaxentClassifier(**options).fit(stored, Y), MaxentClassifier(**options).fit(X, Y))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("name", datasets())
def test_the_certificate_holds_in_extended_precision(name, C, solver):
    data, labels = datasets()[name]
    strength = 1.0 / C / len(data)
    for tol in (1e-1, 1e-4, 1e-7):
        found = fit(data, labels, C, tol=tol, solver=solver, max_iter=2000)
        assert found.status in (Status.CONVERGED, Status.PRECISION)
        value = reference.objective(data, labels, found.coef, found.intercept, strength)
        excess = value - reference.optimum(data, labels, strength)
        assert excess <= found.gap * value
        # Twice the total log-likelihood to be gained is the squared distance in standard errors.
        distance = np.sqrt(2 * len(data) * max(excess, 0.0))
        said = tol if found.status is Status.CONVERGED else found.distance
        # Rounding of the logits alone moves the total log-likelihood by up to 5e-11.
        assert distance <= 3 * said + 1e-5
        # Rounding alone never says more than the default tol, on any processor.
        assert said < max(1e-4, 2 * tol)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_unscaled_data_equal_logistic_regression(load, solver):
    data, labels = load(return_X_y=True)
    found = MaxentClassifier(solver=solver, tol=1e-7, max_iter=1000).fit(data, labels)
    expected = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000)
    assert_same(found, expected.fit(data, labels))


@pytest.mark.parametrize("solver", SOLVERS)
def test_columns_far_from_zero_in_other_units_and_constant_ones(solver):
    units = 10.0 ** np.array([-6.0, 0.0, 3.0, 6.0])
    data = np.column_stack([X * units + 1e3 * units, np.full(150, 7.0)])
    options = {"tol": 1e-7, "prior_coef": np.column_stack([PRIOR / units, [0.1, 0.2, 0.3]])}
    for penalty in ({}, options):
        expected = MaxentClassifier(**({"tol": 1e-7} | penalty)).fit(data, Y)
        found = MaxentClassifier(solver=solver, **({"tol": 1e-7} | penalty)).fit(data, Y)
        sizes = np.append(units * X.std(axis=0), 1.0)
        np.testing.assert_allclose(found.coef_ * sizes, expected.coef_ * sizes, atol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_scipy_minimises_and_stops_by_our_test(solver, monkeypatch):
    calls, minimise = [], optimize.minimize

    def spy(function, x0, **options):
        calls.append((options, minimise(function, x0, **options)))
        return calls[-1][1]

    monkeypatch.setattr(optimize, "minimize", spy)
    clf = MaxentClassifier(solver=solver).fit(X, Y)
    ((options, result),) = calls
    assert options["method"] == SOLVERS[solver]
    assert options["jac"] is True and callable(options["hessp"]) == solver.startswith("trust")
    assert result.nit == clf.n_iter_[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_line_of_each_iteration_says_how_far_it_is(solver, capsys):
    clf = MaxentClassifier(solver=solver, verbose=1).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == clf.n_iter_[0] + 1
    assert lines[0].startswith("iteration   0 ")
    distances = [float(line.split("distance")[1].split()[0]) for line in lines]
    assert distances[0] > 1.0 and distances[-1] <= clf.tol < min(distances[:-1])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("max_iter", [1, 3])
def test_max_iter_is_obeyed_and_the_distance_said(max_iter, solver):
    with pytest.warns(
        ConvergenceWarning, match=f"max_iter={max_iter} was reached, about "
    ) as found:
        clf = MaxentClassifier(solver=solver, max_iter=max_iter).fit(X, Y)
    assert clf.n_iter_.tolist() == [max_iter]
    said = float(str(found[0].message).split("about ")[1].split()[0])
    best = MaxentClassifier(tol=1e-8).fit(X, Y)
    difference = total_loss(clf) - total_loss(best)
    assert said == pytest.approx(np.sqrt(2 * difference), rel=0.5)


def total_loss(clf):
    chosen = clf.predict_log_proba(X)[np.arange(150), Y]
    return -chosen.sum() + 0.5 * np.square(clf.coef_).sum() / clf.C


@pytest.mark.parametrize("solver", SOLVERS)
def test_digits_need_more_iterations_of_lbfgs_than_the_default_and_say_so(solver):
    data, labels = load_digits(return_X_y=True)
    clf = MaxentClassifier(solver=solver, C=1e-2)
    if solver == "lbfgs":
        advice = "max_iter=50 was reached, about .*: raise max_iter or set solver='auto'"
        with pytest.warns(ConvergenceWarning, match=advice):
            clf.set_params(max_iter=50).fit(data, labels)
    clf.set_params(max_iter=1000, tol=1e-6).fit(data, labels)
    assert_same(clf, MaxentClassifier(C=1e-2, tol=1e-8).fit(data, labels))


@pytest.mark.parametrize("solver", SOLVERS)
def test_separated_classes_have_the_same_warning(solver):
    cases = [(IRIS[0], IRIS[1] == 0), IRIS]
    indicator = np.arange(90) % 3 == 0
    some = np.random.default_rng(1)
    columns = np.column_stack([indicator, some.normal(size=90)])
    cases.append((columns, np.where(indicator, 2, some.integers(0, 3, 90))))
    for data, labels in cases:
        messages = []
        for name in ("auto", solver):
            with pytest.warns(ConvergenceWarning) as found:
                clf = MaxentClassifier(C=np.inf, solver=name).fit(data, labels)
            messages += [str(warning.message) for warning in found]
            assert np.isfinite(clf.coef_).all()
        assert messages[0] == messages[1] and "separated" in messages[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_aliased_features_have_the_same_warning(solver):
    data = np.column_stack([X, X[:, 0] + X[:, 1]])
    with pytest.warns(UserWarning, match="linear combinations") as found:
        clf = MaxentClassifier(C=np.inf, solver=solver).fit(data, Y)
    assert len(found) == 1
    np.testing.assert_allclose(
        clf.predict_proba(data), MaxentClassifier(C=np.inf).fit(X, Y).predict_proba(X), atol=1e-5
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_precision_allows_is_reached_without_endless_iterations(solver):
    for dtype in (np.float64, np.float32):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            clf = MaxentClassifier(solver=solver, tol=0.0, max_iter=1000)
            clf.fit(X.astype(dtype), Y)
        assert clf.n_iter_[0] < 1000  # rounding, which differs by processor, ends the fit
        assert_same(clf, MaxentClassifier(tol=1e-9).fit(X.astype(dtype).astype(float), Y), 1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "options, found",
    [
        ({"l1_ratio": 1.0}, "an L1 penalty"),
        ({"l1_ratio": 0.5}, "an L1 penalty"),
        ({"l1_ratio": 1.0, "grouped": True}, "an L1 penalty"),
        ({"bounds": (0.0, None)}, "bounds"),
        ({"bounds": (0.0, None), "C": np.inf}, "bounds"),
        ({"l1_ratio": 1.0, "max_iter": 0}, "an L1 penalty"),
    ],
)
def test_nonsmooth_objectives_are_refused(options, found, solver):
    message = f"solver='{solver}' minimises smooth objectives only, found {found}: expected"
    clf = MaxentClassifier(solver=solver).fit(X, Y)
    before = clf.coef_
    with pytest.raises(ValueError, match=message):
        clf.set_params(**options).fit(X, Y)
    assert clf.coef_ is before


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_l1_ratio_without_a_penalty_is_smooth(solver):
    options = {"C": np.inf, "l1_ratio": 1.0, "tol": 1e-8, "max_iter": 500}
    assert_same(
        MaxentClassifier(solver=solver, **options).fit(X, Y), MaxentClassifier(**options).fit(X, Y)
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_bias_reduction_is_refused(solver):
    clf = MaxentClassifier(solver=solver, C=np.inf, bias_reduction="jeffreys")
    with pytest.raises(ValueError, match="bias_reduction uses Fisher scoring"):
        clf.fit(X, Y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_paths_and_cross_validation(solver):
    options = {"tol": 1e-7, "max_iter": 1000}
    path = maxent_path(X, Y, Cs=4, l1_ratio=0.0, solver=solver, **options)
    expected = maxent_path(X, Y, Cs=4, l1_ratio=0.0, **options)
    np.testing.assert_allclose(path.Cs, expected.Cs)
    np.testing.assert_allclose(path.coefs, expected.coefs, atol=1e-5)
    unpenalised = {"penalty_factor": [0.0, 1.0, 1.0, 1.0], "Cs": 3, "l1_ratio": 0.0}
    unpenalised |= options
    found, newton = (maxent_path(X, Y, solver=name, **unpenalised) for name in (solver, "auto"))
    np.testing.assert_allclose(found.Cs, newton.Cs, rtol=1e-4)
    exact = {"Cs": 4, "cv": 3, "cv_tol": 0.0} | options
    cv, other = (MaxentClassifierCV(solver=name, **exact).fit(X, Y) for name in (solver, "auto"))
    np.testing.assert_allclose(cv.scores_, other.scores_, atol=1e-7)
    assert_same(cv, other)
    with pytest.raises(ValueError, match="minimises smooth objectives only"):
        maxent_path(X, Y, Cs=3, l1_ratio=1.0, solver=solver)
    with pytest.raises(ValueError, match="minimises smooth objectives only"):
        MaxentClassifierCV(Cs=3, cv=3, l1_ratios=[0.0, 1.0], solver=solver).fit(X, Y)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_several_labels(link, solver):
    table = np.column_stack([Y == 0, Y > 0, np.arange(150) % 2]).astype(int)
    options = {"link": link, "threshold": 0.5, "tol": 1e-8, "max_iter": 500}
    expected = MultilabelMaxentClassifier(**options).fit(X, table)
    assert_same(MultilabelMaxentClassifier(solver=solver, **options).fit(X, table), expected)


@pytest.mark.parametrize("solver", SOLVERS)
def test_sets_of_possible_classes(solver):
    sets = [{label, (label + 1) % 3} if i % 3 == 0 else {label} for i, label in enumerate(Y)]
    options = {"partial_labels": True, "tol": 1e-6}
    expected = MaxentClassifier(**options).fit(X, sets)
    assert_same(MaxentClassifier(solver=solver, **options).fit(X, sets), expected, 1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "check",
    [
        check_sample_weight_equivalence_on_dense_data,
        check_sample_weight_equivalence_on_sparse_data,
    ],
)
def test_weights_are_repeated_rows_to_many_digits_at_a_small_tol(check, solver):
    check("MaxentClassifier", MaxentClassifier(solver=solver, tol=1e-8, max_iter=500))


@pytest.mark.parametrize("solver", SOLVERS)
def test_classes_of_weight_zero(solver):
    weights = np.where(Y == 1, 0.0, 1.0)
    expected = MaxentClassifier(tol=1e-8).fit(X, Y, weights)
    assert_same(
        MaxentClassifier(tol=1e-8, solver=solver, max_iter=1000).fit(X, Y, weights), expected, 1e-6
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_fit_that_raises_leaves_the_one_before(solver, monkeypatch):
    clf = MaxentClassifier(solver=solver).fit(X, Y)
    before, at, n_calls = clf.coef_.copy(), MultinomialObjective.at, []

    def interrupted(self, theta):
        n_calls.append(1)
        if len(n_calls) == 5:
            raise KeyboardInterrupt
        return at(self, theta)

    monkeypatch.setattr(MultinomialObjective, "at", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X * 2.0, Y)
    np.testing.assert_array_equal(clf.coef_, before)


TERMS = {
    "ridge": PenaltyTerms(np.zeros((1, 4)), np.full((1, 4), 0.01)),
    "uneven": PenaltyTerms(np.zeros((1, 4)), np.array([[0.0, 1e-8, 0.1, 10.0]])),
    "none": PenaltyTerms(np.zeros((1, 4)), np.zeros((1, 4))),
    "prior": PenaltyTerms(np.zeros((1, 4)), np.full((1, 4), 0.1), target=PRIOR),
    "by class": PenaltyTerms(np.zeros((1, 4)), np.arange(12.0).reshape(3, 4) / 10),
    "removed": PenaltyTerms(
        np.zeros((1, 4)),
        np.full((1, 4), 0.1),
        lower=np.where(np.arange(12.0).reshape(3, 4) % 5 == 1, 0.0, -np.inf),
        upper=np.where(np.arange(12.0).reshape(3, 4) % 5 == 1, 0.0, np.inf),
    ),
}


def preconditioned(terms, weights=None):
    blocks = RowBlocks(X, Y, weights, n_logits=3)
    problem = Problem.of(blocks, likelihood(3), terms, fit_intercept=True)
    return PreconditionedProblem(problem, problem.null.theta)


@pytest.mark.parametrize("name", TERMS)
def test_derivatives_in_preconditioned_coordinates(name):
    function = preconditioned(TERMS[name], WEIGHTS)
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, function.size))
    gradient = function.at(u).gradient
    step = 1e-5
    ends = [function.at(u + step * sign * v) for sign in (1.0, -1.0)]
    slope = (ends[0].value - ends[1].value) / (2 * step)
    assert slope == pytest.approx(gradient @ v, rel=1e-6)
    change = (ends[0].gradient - ends[1].gradient) / (2 * step)
    np.testing.assert_allclose(function.hessian_product(function.at(u), v), change, atol=1e-7)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", ["ridge", "uneven", "none"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_root_squared_is_the_inverse_of_the_preconditioner(n_classes, name, full):
    labels = Y % n_classes
    labels[100:] = 0  # a rare class, so that curvatures differ
    blocks = RowBlocks(X, labels, n_logits=1 if n_classes == 2 else n_classes)
    problem = Problem.of(blocks, likelihood(n_classes), TERMS[name], fit_intercept=True)
    preconditioner = KroneckerPreconditioner(problem.null, problem.objective, full=full)
    root = preconditioner.root()
    G = np.random.default_rng(0).normal(size=problem.objective.shape)
    V = np.random.default_rng(1).normal(size=problem.objective.shape)
    assert np.sum(root.apply(V) * G) == pytest.approx(np.sum(V * root.apply_transposed(G)))
    found = root.apply(root.apply_transposed(G - G.mean(axis=0) * (n_classes > 2)))
    expected = preconditioner.solve(G - G.mean(axis=0) * (n_classes > 2))
    if n_classes > 2:
        found -= found.mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


def test_the_first_step_of_lbfgs_is_newtons():
    """At the model without features the Hessian is the identity in these coordinates."""
    function = preconditioned(TERMS["none"])
    start = function.at(np.zeros(function.size))
    product = function.hessian_product(start, start.gradient)
    np.testing.assert_allclose(product, start.gradient, atol=1e-9)


def test_many_sparse_features_take_a_diagonal():
    rng = np.random.default_rng(0)
    data = sp.random(300, 2500, 0.02, format="csr", random_state=1)
    labels = (data[:, :3].toarray().sum(axis=1) > 0).astype(int) + rng.integers(0, 2, 300)
    expected = MaxentClassifier(tol=1e-8).fit(data, labels)
    for solver in SOLVERS:
        found = MaxentClassifier(tol=1e-8, solver=solver, max_iter=1000).fit(data, labels)
        assert_same(found, expected)
    blocks = RowBlocks(data, labels, n_logits=3)
    terms = PenaltyTerms(np.zeros((1, 2500)), np.full((1, 2500), 0.01))
    problem = Problem.of(blocks, likelihood(3), terms, fit_intercept=True)
    preconditioner, _ = PreconditionerChoice(problem.objective, solver="newton-cg").at(
        problem.null, 0
    )
    assert preconditioner.root().mixing is None
