"""Penalties with corners, against their definitions."""

import numpy as np
import pytest
from helpers import reference
from hypothesis import given
from hypothesis import strategies as st

from skmaxent._objective._elementwise_penalty import Elementwise
from skmaxent._objective._group_penalty import Grouped

SHAPE = (3, 4)


@st.composite
def penalties(draw):
    """A penalty, its terms by the names of the reference, and a source of numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = draw(st.sampled_from([1, SHAPE[0]]))

    def some(scale=1.0, rows=rows):
        """Numbers of which some are zero."""
        array = scale * np.abs(rng.normal(size=(rows, SHAPE[1])))
        return array * (rng.random(array.shape) < 0.8)

    if draw(st.booleans()):
        terms = {"l1": some(rows=1), "ridge": some(rows=1), "target": rng.normal(size=SHAPE)}
        return Grouped(**terms), terms | {"grouped": True}, rng
    bounds = {"lower": some(2.0), "upper": some(2.0)}
    for bound in bounds.values():
        bound[rng.random(bound.shape) < 0.4] = np.inf
    bounds["lower"] = -bounds["lower"]
    terms = {"l1": some(), "ridge": some(), "target": rng.normal(size=SHAPE)} | bounds
    return Elementwise(**terms), terms, rng


def inside(penalty, rng):
    """Coefficients of which some are zero or at a bound."""
    W = 2.0 * rng.normal(size=SHAPE) * (rng.random(SHAPE) < 0.7)
    W[:, rng.integers(SHAPE[1])] = 0.0
    return penalty.project(W)


def without_bounds(terms):
    return {name: array for name, array in terms.items() if name not in ("lower", "upper")}


@given(penalties())
def test_value_and_residual_are_those_of_the_definition(case):
    penalty, terms, rng = case
    W, G = inside(penalty, rng), rng.normal(size=SHAPE)
    assert penalty.value(W) == pytest.approx(float(reference.penalty(W, **without_bounds(terms))))
    expected = reference.kkt_residual(W, G, **terms)
    np.testing.assert_allclose(penalty.minimum_norm_subgradient(W, G), expected, atol=1e-14)


@given(penalties())
def test_the_proximal_point_is_a_minimum(case):
    penalty, terms, rng = case
    V, step = 3.0 * rng.normal(size=SHAPE), np.abs(rng.normal(size=(1, SHAPE[1]))) + 0.01
    W = penalty.prox(V, step)
    left = reference.kkt_residual(W, (W - V) / step, **terms)
    np.testing.assert_allclose(left, 0.0, atol=1e-9)
    assert (penalty.project(W) == W).all()


@given(penalties())
def test_the_conjugate_is_a_supremum_that_subgradients_reach(case):
    penalty, terms, rng = case
    V, W = rng.normal(size=SHAPE), inside(penalty, rng)
    share = penalty.dual_scaling(V)
    assert 0.0 <= share <= 1.0
    conjugate = penalty.conjugate(share * V)
    assert np.isfinite(conjugate)
    assert conjugate >= np.vdot(share * V, W) - penalty.value(W) - 1e-9
    if share < 1.0:
        assert penalty.conjugate(1.001 * share * V + np.sign(V) * 1e-9) == np.inf
    # The negative of a gradient whose residual vanishes is a subgradient.
    V = penalty.minimum_norm_subgradient(W, np.zeros(SHAPE))
    if not terms.get("grouped") and np.isfinite(penalty.conjugate(V)):
        gap = penalty.conjugate(V) + penalty.value(W) - np.vdot(V, W)
        if (np.abs(penalty.minimum_norm_subgradient(W, -V)) < 1e-12).all():
            assert gap == pytest.approx(0.0, abs=1e-8 * (1 + abs(penalty.value(W))))


@given(penalties())
def test_no_common_shift_is_better_than_recentring(case):
    penalty, _, rng = case
    W = inside(penalty, rng)
    best = penalty.recentre(W)
    shift = W - best
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], SHAPE), atol=1e-12)
    for c in [*rng.normal(size=(20, SHAPE[1])), *(1.001 * shift[:1]), *W]:
        moved = W - c
        within = (np.abs(penalty.project(moved) - moved) == 0.0).all(axis=0)
        moved = np.where(within, moved, best)
        if isinstance(penalty, Grouped) and penalty.target.any():
            continue  # groups with a target stay where they are
        assert penalty.value(best) <= penalty.value(moved) + 1e-9


def test_recentring_keeps_coefficients_within_bounds_that_rounding_would_break():
    bound = -0.0555440335
    least, most = np.full((1, 40), -np.inf), np.full((1, 40), bound)
    zero = np.zeros((1, 40))
    penalty = Elementwise(zero, zero, zero, least, most, is_coupled=True)
    W = -1e5 * np.random.default_rng(0).uniform(0.1, 1.0, size=(6, 40))
    best = penalty.recentre(W)
    assert (best <= bound).all()
    np.testing.assert_allclose(best.max(axis=0), bound, atol=1e-10)
    assert np.ptp(best - W, axis=0).max() < 1e-9


@given(penalties())
def test_the_penalty_is_smooth_along_its_manifold(case):
    penalty, _, rng = case
    W = inside(penalty, rng)
    tangent = penalty.tangent(W)
    direction = np.where(tangent.free, rng.normal(size=SHAPE), 0.0)
    h = 1e-5 * min(1.0, np.abs(W[W != 0.0]).min(initial=1.0))
    ends = [W + t * h * direction for t in (-2, -1, 0, 1, 2)]
    if any((penalty.project(end) != end).any() for end in ends):
        return
    values = [penalty.value(end) for end in ends]
    slope = (values[3] - values[1]) / (2 * h)
    size = 1.0 + abs(values[2])
    assert np.vdot(tangent.gradient, direction) == pytest.approx(slope, abs=1e-14 * size / h + 1e-4)
    gradients = [np.where(tangent.free, penalty.tangent(end).gradient, 0.0) for end in ends]
    change = (gradients[3] - gradients[1]) / (2 * h)
    curvature = np.where(tangent.free, tangent.curvature(direction), 0.0)
    np.testing.assert_allclose(change, curvature, rtol=1e-3, atol=1e-4 + 1e-13 / h)


@given(penalties())
def test_up_to_its_edge_a_step_stays_on_the_manifold(case):
    penalty, _, rng = case
    W = inside(penalty, rng)
    free = penalty.tangent(W).free
    step = np.where(free, rng.normal(size=SHAPE), 0.0)
    edge = penalty.largest_feasible_step(W, step)
    before = W + 0.999 * edge * step
    np.testing.assert_array_equal(penalty.retract(before, W), before)
    if isinstance(penalty, Elementwise) and edge < 1.0:
        after = W + edge * step
        assert (penalty.tangent(penalty.retract(after, W)).free < free).any()


@given(penalties())
def test_columns_are_independent(case):
    penalty, _, rng = case
    W = inside(penalty, rng)
    parts = [penalty.columns(np.array(index)) for index in ([0, 2], [1, 3])]
    total = parts[0].value(W[:, [0, 2]]) + parts[1].value(W[:, [1, 3]])
    assert total == pytest.approx(penalty.value(W))
