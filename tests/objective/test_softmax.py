"""Tests of the softmax functions against exact references, properties and edge rules.

Tolerances follow from rounding, in units of the type's eps. A term exp(z_i - m) inherits the
relative error |z_i - m| eps of its argument; each sum over K classes adds at most K eps; the few
elementary operations and function calls add a handful more. Subnormal results have an absolute
error of a few times the smallest subnormal number.
"""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import sparse, special

from skmaxent._softmax import (
    cross_entropy,
    cross_entropy_coef_gradient,
    cross_entropy_gradient,
    log_softmax,
    logsumexp,
    sigmoid,
    softmax,
    softmax_jacobian,
)

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).smallest_subnormal)
INF, NAN = np.inf, np.nan

HARD_CASES = {
    "moderate": [0.3, -1.2, 2.5, 0.0],
    "one class": [3.7],
    "all equal": [5.0, 5.0, 5.0],
    "tiny differences": [1.0, 1.0 + 1e-8, 1.0 - 1e-8],
    "tiny differences far from zero": [1e8, 1e8 + 1e-7, 1e8 - 1e-7],
    "large negative offset": [-1e15, -1e15 + 1.0, -1e15 - 3.0],
    "one confident": [40.0, 0.0, -3.0],
    "two confident": [40.0, 40.0, 0.0, -3.0],
    "very confident": [700.0, 0.0],
    "subnormal probabilities": [0.0, -710.0, -740.0],
    "underflowing probabilities": [0.0, -800.0, -1e5],
    "extreme": [1e308, -1e308, 0.0],
    "extreme tie": [1e308, 1e308, -1e308],
    "near-zero logits": [1e-300, -1e-300, 5e-324],
    "many classes": list(np.linspace(-30, 30, 500)),
}
hard_cases = pytest.mark.parametrize("z", HARD_CASES.values(), ids=HARD_CASES.keys())
both_types = pytest.mark.parametrize("dtype", [np.float32, np.float64])
OF_LOGITS = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "logsumexp": logsumexp,
    "softmax_jacobian": softmax_jacobian,
    "cross_entropy": lambda z, axis=-1: cross_entropy(z, np.ones(np.shape(z)), axis),
    "cross_entropy_gradient": lambda z, axis=-1: cross_entropy_gradient(
        z, np.ones(np.shape(z)), axis
    ),
}
every_function = pytest.mark.parametrize("function", OF_LOGITS.values(), ids=OF_LOGITS.keys())

property_test = settings(deadline=None, max_examples=150)
lengths = st.integers(1, 8)
any_finite = arrays(np.float64, lengths, elements=st.floats(-1e308, 1e308))
moderate = arrays(np.float64, lengths, elements=st.floats(-50, 50))
logit_vectors = any_finite | moderate
# Multiples of 1/1024 below 2**30: sums and differences of two are exact.
dyadic = st.integers(-(2**40), 2**40).map(lambda n: n / 1024)


@pytest.fixture(autouse=True, scope="module")
def no_floating_point_warning():
    with np.errstate(all="raise"):
        yield


@pytest.fixture(autouse=True, scope="module")
def high_precision():
    with mpmath.workdps(60):
        yield


def exact_log_softmax(z):
    z = [mpmath.mpf(float(z_i)) for z_i in z]
    peak = z.index(max(z))
    rest = mpmath.fsum(mpmath.exp(z_j - z[peak]) for j, z_j in enumerate(z) if j != peak)
    return np.array([z_i - z[peak] - mpmath.log1p(rest) for z_i in z], dtype=object)


def exact_softmax(z):
    return np.array([mpmath.exp(log_p) for log_p in exact_log_softmax(z)], dtype=object)


@np.errstate(all="ignore")
def rounding(z):
    """Relative error allowed to exp(z_i - max(z)), normalised, wherever it does not underflow."""
    gap = np.minimum(np.max(z) - np.asarray(z), 800)
    return EPS * (gap + len(z) + 4)


@np.errstate(all="ignore")
def assert_allclose(actual, desired, rtol=0, atol=0):
    np.testing.assert_allclose(actual, desired, rtol, atol)


def assert_close(actual, exact, relative, absolute=4 * TINY):
    """Compare in multiple precision, where neither difference nor tolerance can underflow."""
    assert np.shape(actual) == np.shape(exact)
    relative = np.broadcast_to(relative, np.shape(exact))
    for a, e, r in zip(np.ravel(actual), np.ravel(exact), np.ravel(relative), strict=True):
        error = abs(mpmath.mpf(float(a)) - e)
        assert error <= float(r) * abs(e) + float(absolute), (a, e)


def central_difference(function, x, step=1e-5):
    """Derivatives of function(x), one per element of x, on new last axes.

    The truncation error is about step**2 / 6 and the rounding error eps / step, both below 1e-10
    for values and third derivatives of order one.
    """
    x = np.asarray(x, dtype=np.float64)
    columns = []
    for index in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[index] = step
        columns.append((function(x + shift) - function(x - shift)) / (2 * step))
    return np.stack(columns, axis=-1).reshape(np.shape(columns[0]) + x.shape)


# Accuracy against multiple precision


@hard_cases
def test_softmax_is_accurate(z):
    assert_close(softmax(z), exact_softmax(z), rounding(z))


@hard_cases
def test_log_softmax_is_accurate(z):
    exact = exact_log_softmax(z)
    representable = np.array([abs(e) < np.finfo(np.float64).max for e in exact])
    actual = log_softmax(z)
    assert_close(actual[representable], exact[representable], rounding(z).max())
    assert np.all(actual[~representable] == -INF)


@hard_cases
def test_logsumexp_is_accurate(z):
    peak = max(z)
    exact = mpmath.mpf(float(peak)) - max(exact_log_softmax(z))
    # The sum of the maximum and the logarithm may cancel: the error is relative to the terms.
    assert_close(logsumexp(z), exact, rounding(z).max(), absolute=EPS * abs(peak) + TINY)


@hard_cases
def test_softmax_jacobian_is_accurate_with_no_cancellation_on_the_diagonal(z):
    z = z[:20]
    p = exact_softmax(z)
    exact = -np.outer(p, p)
    for i in range(len(p)):
        exact[i, i] = p[i] * mpmath.fsum(np.delete(p, i))
    per_class = rounding(z)
    pairwise = per_class[:, np.newaxis] + per_class
    # A diagonal entry is dominated by its products with the most probable other class.
    assert_close(softmax_jacobian(z), exact, pairwise.max(axis=1), absolute=4 * len(z) * TINY)


@pytest.mark.parametrize("label", [0, -1])
@hard_cases
def test_cross_entropy_gradient_is_accurate_for_a_class_index(z, label):
    exact = exact_softmax(z)
    exact[label] = -mpmath.fsum(np.delete(exact, label % len(z)))
    actual = cross_entropy_gradient(z, label % len(z))
    assert_close(actual, exact, rounding(z).max(), absolute=4 * len(z) * TINY)


@pytest.mark.parametrize("label", [0, -1])
@hard_cases
def test_cross_entropy_is_accurate_for_a_class_index(z, label):
    exact = -exact_log_softmax(z)[label]
    actual = cross_entropy(z, label % len(z))
    if exact > np.finfo(np.float64).max:
        assert actual == INF
    else:
        assert_close(actual, exact, rounding(z).max())


def test_cross_entropy_is_accurate_for_counts():
    z, counts = [1e6, 1e6 + 0.5, 1e6 - 30], [3, 0, 2]
    exact = -mpmath.fsum(n * log_p for n, log_p in zip(counts, exact_log_softmax(z), strict=True))
    assert_close(cross_entropy(z, counts), exact, rounding(z).max())


@pytest.mark.parametrize("z", [-1e308, -745.0, -740.0, -36.0, -1e-8, 0.0, 1e-300, 0.7, 40.0, 1e308])
def test_sigmoid_is_accurate_in_both_tails(z):
    exact = 1 / (1 + mpmath.exp(-mpmath.mpf(z)))
    assert_close(sigmoid(z), exact, 4 * EPS, absolute=TINY)


def test_sigmoid_of_a_very_negative_logit_is_its_exponential():
    found = sigmoid(-740.0)
    assert found > 0
    assert_close(found, mpmath.exp(-740), 4 * EPS, absolute=TINY)


def test_float32_is_accurate_to_its_own_rounding():
    z = np.random.default_rng(0).normal(scale=5, size=(50, 7)).astype(np.float32)
    eps = np.finfo(np.float32).eps
    gap = z.max(axis=1, keepdims=True) - z
    np.testing.assert_array_less(
        np.abs(softmax(z) / softmax(z.astype(np.float64)) - 1), eps * (gap + 7 + 4)
    )


# Agreement with SciPy


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_agrees_with_scipy(axis):
    z = np.random.default_rng(1).normal(scale=10, size=(3, 4, 5))
    rtol = 2 * EPS * (z.max() - z.min() + 5 + 4)  # two computations
    assert_allclose(softmax(z, axis), special.softmax(z, axis), rtol)
    assert_allclose(logsumexp(z, axis), special.logsumexp(z, axis), rtol)
    # SciPy's log_softmax rounds the sum before taking its logarithm: an absolute error near zero.
    assert_allclose(log_softmax(z, axis), special.log_softmax(z, axis), rtol, atol=5 * EPS)


def test_sigmoid_agrees_with_scipy():
    z = np.linspace(-700, 40, 1001)
    assert_allclose(sigmoid(z), special.expit(z), rtol=8 * EPS)


def test_row_far_below_the_others_keeps_its_probabilities():
    p = softmax([[0, 1], [-1e4, -1e4 + 1]])
    assert_allclose(p[0], p[1], rtol=4 * EPS)
    assert_allclose(p[0], special.expit([-1.0, 1.0]), rtol=8 * EPS)


# Derivatives against finite differences


def test_jacobian_agrees_with_finite_differences():
    z = np.random.default_rng(2).normal(size=5)
    assert_allclose(softmax_jacobian(z), central_difference(softmax, z), atol=1e-9)


@pytest.mark.parametrize("targets", [2, [0, 0, 1, 0], [0.1, 0.2, 0.3, 0.4], [3, 0, 1, 2]])
def test_cross_entropy_gradient_agrees_with_finite_differences(targets):
    z = np.random.default_rng(3).normal(size=4)
    numerical = central_difference(lambda z: cross_entropy(z, targets), z)
    assert_allclose(cross_entropy_gradient(z, targets), numerical, atol=1e-9)


def linear_problem(distribution):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(8, 3)) * (rng.random((8, 3)) < 0.6)
    targets = rng.dirichlet(np.ones(4), size=8) if distribution else rng.integers(4, size=8)
    return X, targets, rng.normal(size=(4, 3)), rng.normal(size=4), rng.uniform(0.5, 2, size=8)


@pytest.mark.parametrize("distribution", [False, True])
def test_coef_gradient_agrees_with_finite_differences(distribution):
    X, targets, coef, intercept, weight = linear_problem(distribution)

    def mean_loss(coef, intercept):
        return np.average(cross_entropy(X @ coef.T + intercept, targets), weights=weight)

    d_coef, d_intercept = cross_entropy_coef_gradient(X, targets, coef, intercept, weight)
    numerical = central_difference(lambda c: mean_loss(c, intercept), coef)
    assert_allclose(d_coef, numerical, atol=1e-9)
    numerical = central_difference(lambda b: mean_loss(coef, b), intercept)
    assert_allclose(d_intercept, numerical, atol=1e-9)


@pytest.mark.parametrize(
    "container",
    [sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.coo_array, sparse.lil_matrix],
)
def test_coef_gradient_is_the_same_for_sparse_and_dense_features(container):
    X, *others = linear_problem(distribution=False)
    dense = cross_entropy_coef_gradient(X, *others)
    for actual, expected in zip(
        cross_entropy_coef_gradient(container(X), *others), dense, strict=True
    ):
        assert type(actual) is np.ndarray
        assert_allclose(actual, expected, atol=32 * EPS)  # sums of 8 terms


def test_coef_gradient_defaults_to_no_intercept_and_equal_weights():
    X, targets, coef, *_ = linear_problem(distribution=False)
    implicit = cross_entropy_coef_gradient(X, targets, coef)
    explicit = cross_entropy_coef_gradient(X, targets, coef, np.zeros(4), np.full(8, 3.0))
    for actual, expected in zip(implicit, explicit, strict=True):
        assert_allclose(actual, expected, atol=8 * EPS)


def test_coef_gradient_of_integer_weights_is_that_of_repeated_samples():
    X, targets, coef, intercept, _ = linear_problem(distribution=False)
    counts = np.array([1, 2, 0, 3, 1, 1, 4, 2])
    weighted = cross_entropy_coef_gradient(X, targets, coef, intercept, counts)
    repeated = cross_entropy_coef_gradient(
        np.repeat(X, counts, axis=0), np.repeat(targets, counts), coef, intercept
    )
    for actual, expected in zip(weighted, repeated, strict=True):
        assert_allclose(actual, expected, atol=32 * EPS)


# Types and memory


@both_types
@every_function
def test_floating_type_is_preserved(function, dtype):
    assert function(np.zeros((2, 3), dtype)).dtype == dtype
    assert function(np.zeros(3, dtype)).dtype == dtype


@both_types
@pytest.mark.parametrize("shape", [(), (3,)])
def test_sigmoid_preserves_the_floating_type(dtype, shape):
    assert sigmoid(np.zeros(shape, dtype)).dtype == dtype


@every_function
@pytest.mark.parametrize(
    ("given_type", "expected"),
    [(np.int32, np.float64), (np.uint8, np.float64), (bool, np.float64), (np.float16, np.float32)],
)
def test_other_real_types_are_widened(function, given_type, expected):
    z = np.array([[0, 1, 1], [1, 0, 0]], dtype=given_type)
    # The same operations on the same numbers, once they are widened.
    np.testing.assert_array_equal(function(z), function(z.astype(expected)), strict=True)


@every_function
def test_byte_order_becomes_native(function):
    z = np.array([0.5, -1.0, 2.0])
    # The same operations on the same numbers.
    np.testing.assert_array_equal(function(z.astype(z.dtype.newbyteorder())), function(z))
    assert np.asarray(function(z.astype(z.dtype.newbyteorder()))).dtype.isnative


@both_types
@pytest.mark.parametrize("targets", [[0, 2], np.eye(3)[:2], np.ones((2, 3), int)])
def test_targets_do_not_change_the_type_of_the_result(dtype, targets):
    z = np.zeros((2, 3), dtype)
    assert cross_entropy(z, targets).dtype == dtype
    assert cross_entropy_gradient(z, targets).dtype == dtype


@both_types
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_coef_gradient_preserves_the_floating_type(dtype, container):
    X, targets, coef, _, weight = linear_problem(distribution=True)
    gradients = cross_entropy_coef_gradient(
        container(X.astype(dtype)), targets, coef.astype(dtype), sample_weight=weight
    )
    assert [gradient.dtype for gradient in gradients] == [dtype, dtype]


@pytest.mark.parametrize("bad", [[1j, 0], ["a", "b"], [None, 1], [object()]])
@pytest.mark.parametrize("function", [*OF_LOGITS.values(), sigmoid])
def test_logits_that_are_not_real_numbers_raise_type_error(function, bad):
    with pytest.raises(TypeError, match="logits must hold real numbers, found dtype"):
        function(bad)


@pytest.mark.parametrize("name", ["X", "targets", "coef", "intercept", "sample_weight"])
def test_other_arguments_that_are_not_real_numbers_raise_type_error(name):
    names = ["X", "targets", "coef", "intercept", "sample_weight"]
    arguments = dict(zip(names, linear_problem(distribution=False), strict=True))
    arguments[name] = arguments[name].astype(complex)
    with pytest.raises(TypeError, match=f"{name} must hold real numbers, found dtype complex128"):
        cross_entropy_coef_gradient(**arguments)


@every_function
def test_read_only_and_non_contiguous_logits_give_the_same_result(function):
    z = np.random.default_rng(5).normal(size=(4, 6))
    view = np.repeat(z, 2, axis=1)[:, ::2]
    view.flags.writeable = False
    assert_allclose(function(view), function(z), rtol=16 * EPS)
    np.testing.assert_array_equal(view, z)


@every_function
def test_memory_mapped_logits_give_a_plain_array(function, tmp_path):
    z = np.random.default_rng(6).normal(size=(4, 6))
    np.save(tmp_path / "z.npy", z)
    result = function(np.load(tmp_path / "z.npy", mmap_mode="r"))
    assert type(result) is np.ndarray
    assert_allclose(result, function(z), rtol=16 * EPS)


@every_function
@pytest.mark.parametrize("z", [[0.0, 1.0, -3.0], [INF, 0.0, -INF], [INF, INF, 0.0], [NAN, 1.0]])
def test_logits_are_never_modified(function, z):
    array = np.array(z)
    result = function(array)
    assert not np.shares_memory(result, array)
    np.testing.assert_array_equal(array, z)


def test_targets_are_never_modified():
    targets = np.array([0.0, 0.25, 0.75])
    gradient = cross_entropy_gradient([-INF, 1.0, 2.0], targets)
    cross_entropy([-INF, 1.0, 2.0], targets)
    assert not np.shares_memory(gradient, targets)
    np.testing.assert_array_equal(targets, [0.0, 0.25, 0.75])


# Infinite and NaN logits

SPECIAL_ROWS = [
    # logits, probabilities, logsumexp
    ([-INF, 0.0, 0.0], [0.0, 0.5, 0.5], np.log(2.0)),
    ([-INF, 3.0], [0.0, 1.0], 3.0),
    ([INF, 0.0, -INF], [1.0, 0.0, 0.0], INF),
    ([3e38, INF], [0.0, 1.0], INF),
    ([INF, 1.0, INF], [NAN, NAN, NAN], INF),
    ([-INF, -INF], [NAN, NAN], -INF),
    ([NAN, 0.0, 1.0], [NAN, NAN, NAN], NAN),
    ([NAN, INF], [NAN, NAN], NAN),
    ([INF], [1.0], INF),
    ([-INF], [1.0], -INF),
    ([NAN], [NAN], NAN),
    ([1e308, -1e308], [1.0, 0.0], 1e308),
]


@both_types
@pytest.mark.parametrize(("z", "p", "total"), SPECIAL_ROWS[:-1])
def test_infinite_and_nan_logits_follow_their_limits(z, p, total, dtype):
    with np.errstate(all="ignore"):
        z = np.array(z, dtype)
        expected_log = np.log(np.array(p, dtype))
    np.testing.assert_array_equal(softmax(z), np.array(p, dtype), strict=True)
    assert_allclose(log_softmax(z), expected_log, rtol=2 * np.finfo(dtype).eps)
    assert_allclose(logsumexp(z), total, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize(("z", "p", "total"), SPECIAL_ROWS)
def test_jacobian_and_gradient_of_special_logits_follow_from_the_probabilities(z, p, total):
    p = np.array(p)
    np.testing.assert_array_equal(softmax_jacobian(z), np.diag(p) - np.outer(p, p) + p.sum() * 0)
    np.testing.assert_array_equal(cross_entropy_gradient(z, 0), p - np.eye(len(z))[0])


def test_special_rows_leave_the_other_rows_alone():
    z = np.array([[0.0, 1.0], [INF, INF], [NAN, 0.0], [-INF, -INF], [INF, 0.0], [2.0, 3.0]])
    clean = [0, 5]
    for function in (softmax, log_softmax, softmax_jacobian):
        assert_allclose(function(z)[clean], function(z[clean]), rtol=8 * EPS)


def test_infinite_logits_of_sigmoid():
    np.testing.assert_array_equal(sigmoid([-INF, INF, NAN, -1e308]), [0.0, 1.0, NAN, 0.0])


@pytest.mark.parametrize(
    ("z", "targets", "loss"),
    [
        ([-INF, 0.0, 0.0], [0.0, 0.5, 0.5], np.log(2.0)),
        ([-INF, 0.0], 1, 0.0),
        ([-INF, 0.0], 0, INF),
        ([INF, 0.0], 0, 0.0),
        ([INF, 0.0], [1.0, 0.5], INF),
        ([0.0, -1e308], [1, 0], 0.0),
        ([1e308, -1e308], [0.0, 1.0], INF),
        ([INF, INF], 0, NAN),
        ([NAN, 0.0], 1, NAN),
        ([NAN, 0.0], [0.0, 0.0], NAN),
    ],
)
def test_cross_entropy_of_special_logits(z, targets, loss):
    assert_allclose(cross_entropy(z, targets), loss, rtol=4 * EPS)


# Degenerate shapes


def test_one_class_is_certain():
    z = np.array([[-1e308], [0.0], [5.0]])
    np.testing.assert_array_equal(softmax(z), np.ones((3, 1)))
    for function in (log_softmax, cross_entropy_gradient_of_ones, softmax_jacobian):
        result = function(z)
        assert not result.any()
        assert not np.signbit(result).any()
    np.testing.assert_array_equal(logsumexp(z), z[:, 0])


def cross_entropy_gradient_of_ones(z):
    return cross_entropy_gradient(z, np.ones_like(z))


@both_types
def test_empty_class_axis(dtype):
    z = np.zeros((3, 0), dtype)
    for function in (softmax, log_softmax, OF_LOGITS["cross_entropy_gradient"]):
        np.testing.assert_array_equal(function(z), z, strict=True)
    assert softmax_jacobian(z).shape == (3, 0, 0)
    np.testing.assert_array_equal(logsumexp(z), np.full(3, -INF, dtype), strict=True)
    np.testing.assert_array_equal(cross_entropy(z, z), np.zeros(3, dtype), strict=True)


@pytest.mark.parametrize("targets", [[], np.zeros(0, int), np.zeros((0, 3))])
def test_empty_batch(targets):
    z = np.zeros((0, 3))
    assert softmax(z).shape == log_softmax(z).shape == (0, 3)
    assert softmax_jacobian(z).shape == (0, 3, 3)
    assert logsumexp(z).shape == cross_entropy(z, targets).shape == (0,)
    assert cross_entropy_gradient(z, targets).shape == (0, 3)


@every_function
@pytest.mark.parametrize("axis", [2, -3])
def test_axis_out_of_range_raises_axis_error(function, axis):
    with pytest.raises(np.exceptions.AxisError, match=f"logits: axis {axis} is out of bounds"):
        function(np.zeros((2, 3)), axis=axis)


@every_function
def test_scalar_logits_raise_value_error(function):
    with pytest.raises(ValueError, match="logits must have at least one dimension, found a scalar"):
        function(1.0)


@every_function
def test_axis_must_be_an_integer(function):
    with pytest.raises(TypeError, match="integer"):
        function(np.zeros((2, 3)), axis=1.0)


# Targets


def test_class_indices_equal_their_one_hot_distribution():
    z = np.random.default_rng(7).normal(size=(2, 4, 3))
    indices = np.random.default_rng(8).integers(4, size=(2, 3))
    one_hot = np.moveaxis(np.eye(4)[indices], -1, 1)
    for function in (cross_entropy, cross_entropy_gradient):
        assert_allclose(function(z, indices, 1), function(z, one_hot, 1), rtol=8 * EPS)


def test_integer_targets_of_the_shape_of_the_logits_are_counts():
    z = np.array([[0.5, 1.0], [2.0, -1.0]])
    counts = np.array([[1, 0], [1, 1]])
    expected = -(counts * log_softmax(z)).sum(axis=1)
    assert_allclose(cross_entropy(z, counts), expected, rtol=4 * EPS)


def test_unsigned_class_indices_are_accepted():
    assert cross_entropy([[0.0, 40.0]], np.array([1], np.uint8)) < 1e-17


@pytest.mark.parametrize("function", [cross_entropy, cross_entropy_gradient])
@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0, 3], r"targets must hold class indices from 0 to 2 .*found 3"),
        ([-1, 0], r"targets must hold class indices from 0 to 2 .*found -1"),
        ([0, 1, 2], r"targets must be integer class indices of shape \(2,\) .* shape \(3,\)"),
        ([0.0, 1.0], r"or a distribution of shape \(2, 3\), found dtype float64 and shape \(2,\)"),
        ([True, False], r"integer class indices .* found dtype bool"),
        ([[0, 1]], r"found dtype int64 and shape \(1, 2\)"),
        ([[0.5, 0.5, -0.5], [1, 0, 0]], "targets must be non-negative and finite, found -0.5"),
        ([[0.5, 0.5, NAN], [1, 0, 0]], "targets must be non-negative and finite, found nan"),
        ([[0.5, 0.5, INF], [1, 0, 0]], "targets must be non-negative and finite, found inf"),
    ],
)
def test_invalid_targets_raise_value_error(function, targets, message):
    with pytest.raises(ValueError, match=message):
        function(np.zeros((2, 3)), np.array(targets))


def test_shapes_in_messages_are_those_of_the_logits_as_given():
    with pytest.raises(ValueError, match=r"shape \(3,\) or a distribution of shape \(2, 3\)"):
        cross_entropy(np.zeros((2, 3)), [0, 1], axis=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros(3)}, r"X must be two-dimensional, found shape \(3,\)"),
        ({"coef": np.zeros((4, 2))}, r"coef must have shape \(n_classes, 3\) .*found \(4, 2\)"),
        ({"coef": np.zeros(3)}, r"coef must have shape .*found \(3,\)"),
        ({"intercept": 0.0}, r"intercept must have shape \(4,\), found \(\)"),
        ({"sample_weight": [1.0]}, r"sample_weight must have shape \(8,\), found \(1,\)"),
        ({"sample_weight": [-1.0] + [1.0] * 7}, "sample_weight must be non-negative.*found -1.0"),
        ({"sample_weight": [NAN] * 8}, "sample_weight must be non-negative.*found nan"),
        ({"sample_weight": np.zeros(8)}, "sample_weight must have a positive.*found 0.0"),
        ({"sample_weight": np.full(8, 1e308)}, "sample_weight must have a positive.*found inf"),
        ({"targets": np.zeros(7, int)}, r"targets must be .*shape \(8,\).*found .*\(7,\)"),
    ],
)
def test_invalid_arguments_of_coef_gradient_raise_value_error(change, message):
    names = ["X", "targets", "coef", "intercept", "sample_weight"]
    arguments = dict(zip(names, linear_problem(distribution=False), strict=True))
    with pytest.raises(ValueError, match=message):
        cross_entropy_coef_gradient(**{**arguments, **change})


def test_mean_over_no_samples_raises_value_error():
    with pytest.raises(ValueError, match="X at least one sample"):
        cross_entropy_coef_gradient(np.zeros((0, 3)), [], np.zeros((4, 3)))


# Properties


@property_test
@given(logit_vectors)
def test_probabilities_are_between_zero_and_one_and_sum_to_one(z):
    p = softmax(z)
    assert np.all((p >= 0) & (p <= 1))
    assert abs(p.sum() - 1) <= len(z) * EPS


@property_test
@given(arrays(np.float64, lengths, elements=dyadic), dyadic)
def test_softmax_and_loss_are_unchanged_by_an_exact_shift(z, shift):
    # Less their largest, the logits are the same numbers: the same operations follow.
    np.testing.assert_array_equal(softmax(z + shift), softmax(z))
    np.testing.assert_array_equal(cross_entropy(z + shift, 0), cross_entropy(z, 0))


@property_test
@given(logit_vectors)
def test_softmax_preserves_order(z):
    p = softmax(z)[np.argsort(z)]
    # Each exponential is within one unit in the last place of the monotone exact one.
    with np.errstate(under="ignore"):  # that of a subnormal number
        unit = np.spacing(p[:-1])
    assert np.all(p[1:] >= p[:-1] - 2 * unit)


@property_test
@given(logit_vectors, st.randoms(use_true_random=False))
def test_softmax_is_permutation_equivariant(z, random):
    order = random.sample(range(len(z)), len(z))
    # The sum may be taken in another order.
    assert_allclose(softmax(z[order]), softmax(z)[order], rtol=(len(z) + 2) * EPS)


@property_test
@given(logit_vectors)
def test_log_softmax_is_the_logarithm_of_softmax(z):
    with np.errstate(all="ignore"):
        recovered = np.exp(log_softmax(z))
        allowed = 2 * rounding(z) * recovered + 4 * TINY  # two computations
    assert np.all(np.abs(recovered - softmax(z)) <= allowed)


@property_test
@given(st.floats(-1e308, 1e308) | st.floats(-800, 800))
def test_sigmoid_is_the_two_class_softmax(z):
    assert_allclose(sigmoid(z), softmax([0.0, z])[1], rtol=4 * EPS, atol=2 * TINY)


@property_test
@given(st.floats(-1e308, 1e308) | st.floats(-800, 800))
def test_sigmoid_of_opposite_logits_sums_to_one(z):
    assert abs(sigmoid(z) + sigmoid(-z) - 1) <= 2 * EPS


@property_test
@given(logit_vectors)
def test_jacobian_is_symmetric_positive_semidefinite_with_rows_summing_to_zero(z):
    jacobian = softmax_jacobian(z)
    np.testing.assert_array_equal(jacobian, jacobian.T)
    diagonal = np.diag(jacobian)
    with np.errstate(all="ignore"):
        assert np.all(np.abs(jacobian.sum(axis=1)) <= 2 * len(z) * EPS * diagonal + 4 * TINY)
        # The eigenvalue solver is backward stable, and the norm is at most one half.
        assert np.linalg.eigvalsh(jacobian).min() >= -4 * len(z) * EPS


@property_test
@given(logit_vectors, st.data())
def test_cross_entropy_gradient_sums_to_zero(z, data):
    counts = data.draw(arrays(np.int64, len(z), elements=st.integers(0, 1000)))
    gradient = cross_entropy_gradient(z, counts)
    assert abs(gradient.sum()) <= 4 * (len(z) + 4) * EPS * max(counts.sum(), 1)


@property_test
@given(moderate, st.data())
def test_cross_entropy_is_the_written_formula(z, data):
    t = data.draw(arrays(np.float64, len(z), elements=st.floats(0, 10)))
    with np.errstate(all="ignore"):
        written = logsumexp(z) * t.sum() - t @ z
        scale = (np.abs(z).max() + np.log(len(z))) * t.sum()  # the written formula cancels
        allowed = 4 * (len(z) + 4) * EPS * scale + 16 * TINY
    assert abs(cross_entropy(z, t) - written) <= allowed


@property_test
@given(moderate, moderate, st.floats(0, 1))
def test_cross_entropy_is_convex_in_the_logits(a, b, fraction):
    n = min(len(a), len(b))
    a, b = a[:n], b[:n]
    with np.errstate(all="ignore"):
        between = cross_entropy(fraction * a + (1 - fraction) * b, 0)
        chord = fraction * cross_entropy(a, 0) + (1 - fraction) * cross_entropy(b, 0)
    assert between <= chord + 8 * (n + 4) * EPS * 100  # differences of logits reach 100


@property_test
@given(
    arrays(np.float64, array_shapes(min_dims=2, max_dims=3, max_side=4), elements=dyadic),
    st.data(),
)
def test_any_axis_gives_what_each_vector_along_it_gives(z, data):
    axis = data.draw(st.integers(-z.ndim, z.ndim - 1))
    rtol = (z.shape[axis] + 4) * EPS
    for function in (softmax, log_softmax, logsumexp):
        each = np.apply_along_axis(function, axis, z)
        assert_allclose(function(z, axis), each, rtol=rtol)
    each = np.apply_along_axis(softmax_jacobian, -1, np.moveaxis(z, axis, -1))
    assert_allclose(softmax_jacobian(z, axis), each, rtol=2 * rtol, atol=4 * TINY)
