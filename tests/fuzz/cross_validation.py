"""Cross-validation: the fits of its folds, their scores, and the choice that follows from them.

The checks beside those of other kinds:

ABOVE
    `fit` said nothing of convergence, yet a fit of a fold, or the last one, is above the optimum
    of the reference for its rows.
SCORE
    A score is not the mean log-likelihood, or the accuracy, of the held-out rows by the
    coefficients of its fold; or it differs from the score of the reference's coefficients.
CHOICE
    The chosen penalty is not the one that the rule takes, for the scores or for those of the
    reference.
REFIT
    Without `refit` the coefficients are not the means over the folds that have a score.
"""

import warnings
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from skmaxent import MaxentClassifierCV

from .checks import Examination, Fit, Outcome
from .expected import active_classes
from .reference import WIDE, probabilities

# The relative rounding of a score in float64, a mean over some hundred rows. That of the logits is
# counted for each row.
ROUNDING = 500 * np.finfo(float).eps
# `score_change` is of first order: this factor covers the higher orders.
MARGIN_OF_ORDER = 2
# A change of a score within `tol` that is noted.
LARGE_CHANGE = 1e-3
# The relative difference of scores up to which `fit` counts them as equal.
EQUAL_SCORES = 1e-10
# Pivots of a matrix with a unit diagonal that rounding in extended precision may hide, and entries
# of a right-hand side, relative to the largest, that it may leave where they should be zero.
SINGULAR, FLAT = 64 * np.finfo(WIDE).eps, 1e-12


def score_change(objective, best, X, slopes, tol):
    """How much a score may change between the optimum and coefficients within `tol` of it.

    A step δ from the optimum has the length √(n / min(1, n F)) √(δᵀ H δ) in standard errors, with
    the Hessian H of the objective F and the effective number n of rows. A score with the gradient g
    changes by g·δ to first order, and thus by up to √(gᵀ H⁻¹ g) √(min(1, n F) / n) `tol`. Held-out
    rows far outside of the training rows make this large, and training rows with probabilities near
    0 and 1.

    Rounding in float64 hides a share ε of F, which may be large for a penalty that hardly depends
    on the coefficients that matter for the score. The step may then be as long as √(2 ε F).

    Parameters
    ----------
    objective : Objective
        That of the training rows.
    best : Found
        Its optimum.
    X : ndarray of shape (rows, d)
        Held-out rows.
    slopes : ndarray of shape (rows, R)
        The derivatives of the score by the logits of these rows.
    tol : float
    """
    W, R = best.coef, objective.shape[0]
    bare = (objective.ridge == 0) & (objective.l1 == 0)
    nonzero = np.broadcast_to(W.any(axis=0), W.shape) if objective.grouped else W != 0
    free = (nonzero | (objective.l1 == 0)) & (objective.lower < W) & (objective.upper > W)
    free &= ~objective._idle
    ridge = objective.ridge / objective.scale**2
    rows = objective._apart / objective.scale
    columns = (np.asarray(X, WIDE) - objective.center) / objective.scale
    if objective.fit_intercept:
        rows, columns = (np.column_stack([A, np.ones(len(A), WIDE)]) for A in (rows, columns))
        bare, free = (np.column_stack([A, np.ones(R, bool)]) for A in (bare, free))
        ridge = np.column_stack([ridge, np.zeros(R, WIDE)])
    P = probabilities(objective.logits(W, best.intercept), objective.link)
    if objective.link == "softmax":
        others = np.array([np.delete(P, k, axis=1).sum(axis=1) for k in range(R)]).T
    else:
        others = 1 - P
    H = np.zeros((R, rows.shape[1], R, rows.shape[1]), WIDE)
    share = objective.s / objective.total
    for k in range(R):
        for m in range(R):
            if k == m or objective.link == "softmax":
                curvature = share * P[:, k] * (others[:, k] if k == m else -P[:, m])
                H[k, :, m] = (rows * curvature[:, None]).T @ rows
        at = range(rows.shape[1])
        H[k, at, k, at] += ridge[k]
    if objective.grouped:
        V = W * objective.scale
        for j in np.flatnonzero(V.any(axis=0)):
            length = np.sqrt((V[:, j] ** 2).sum())
            across = np.eye(R) - np.multiply.outer(V[:, j], V[:, j]) / length**2
            H[:, j, :, j] += objective.l1[0, j] / objective.scale[j] / length * across
    if objective.link == "softmax":  # equal steps of all classes change neither loss nor score
        for j in np.flatnonzero(bare.all(axis=0)):
            H[:, j, :, j] += abs(H[:, j, :, j]).max()
    at = np.flatnonzero(free)
    g = (slopes.T @ columns).ravel()[at]
    step = solved(H.reshape(free.size, free.size)[np.ix_(at, at)], g)
    if step is None:
        return np.inf
    n = objective.total**2 / (objective.s**2).sum()
    value = objective.value(W, best.intercept)
    length = tol * np.sqrt(min(WIDE(1), n * value) / n)
    length = max(length, np.sqrt(2 * np.finfo(float).eps * value))
    return float(length * np.sqrt(max(g @ step, 0)))


def solved(H, g):
    """The solution x of H x = g for a positive definite H, by elimination in extended precision.

    The result is None if H is singular in this precision, and g is not in its range.
    """
    size = np.sqrt(np.where(H.diagonal() > 0, H.diagonal(), 1))
    H, x = H / np.outer(size, size), np.array(g / size, WIDE)
    order = np.arange(len(g))
    for i in range(len(g)):
        k = i + H.diagonal()[i:].argmax()
        swap = order[[i, k]]
        order[[k, i]] = swap
        H[[i, k]], x[[i, k]] = H[[k, i]], x[[k, i]]
        H[:, [i, k]] = H[:, [k, i]]
        if not H[i, i] > SINGULAR:
            if abs(x[i:]).max() > FLAT * abs(g / size).max():
                return None
            at = range(i, len(g))
            H[i:, i:], H[at, at], x[i:] = 0, 1, 0
            break
        column = H[i + 1 :, i] / H[i, i]
        x[i + 1 :] -= column * x[i]
        H[i + 1 :, i:] -= np.multiply.outer(column, H[i, i:])
    for i in reversed(range(len(g))):
        x[i] = (x[i] - H[i, i + 1 :] @ x[i + 1 :]) / H[i, i]
    out = np.empty_like(x)
    out[order] = x
    return out / size


@dataclass
class Fold:
    """The problem of the training rows, and the held-out rows.

    Attributes
    ----------
    problem : Problem
    test : ndarray of int
        The positions of the held-out rows.
    known : ndarray of bool of shape (K,)
        The classes that the fit of the fold has seen.
    """

    problem: object
    test: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, problem, train, test):
        def of_training(array):
            return None if array is None else array[train]

        own = replace(
            problem,
            X=problem.X[train],
            y=None,
            shares=problem.shares[train],
            counts=problem.counts[train],
            sample_weight=of_training(problem.sample_weight),
            offset=of_training(problem.offset),
        )
        if not len(train) or (own.sample_weight is not None and not own.sample_weight.any()):
            return None
        # Classes without weight in the fit have no logits, unless label smoothing gives them some.
        plain = replace(own, parameters=own.parameters | {"class_weight": None})
        fitted = active_classes(own) | (own.parameters.get("label_smoothing", 0) > 0)
        return cls(own, test, active_classes(plain) & fitted)


class CrossValidation(Examination):
    def run(self):
        problem, rng = self.problem, self.rng
        given = dict(problem.parameters)
        largest = given.pop("C")
        ratio = given.pop("l1_ratio", 0.0)
        self.splits = self.drawn_splits()
        self.folds = [Fold.of(problem, *split) for split in self.splits]
        if any(fold is None or active_classes(fold.problem).sum() < 2 for fold in self.folds):
            self.outcome.skipped = "a fold has rows of one class"
            return
        is_penalised = self.is_penalised(given)
        Cs = largest * 10.0 ** rng.permutation(rng.uniform(-3, 0, size=rng.integers(1, 5)))
        options = {
            "Cs": int(rng.integers(2, 5)) if is_penalised and rng.random() < 0.25 else Cs,
            "l1_ratios": [ratio] if rng.random() < 0.5 else rng.permutation([ratio, rng.random()]),
            "cv": self.splits,
            "selection": ("best", "one_standard_error")[rng.integers(2)],
            "refit": rng.random() < 0.8,
            # Zero fits each fold up to `tol`.
            "cv_tol": 0.0 if problem.seed % 2 == 0 else 0.05,
        }
        if not options["refit"]:
            options["selection"] = "best"
        # A ratio of one leaves nothing of a prior, and L-BFGS is for smooth problems.
        if "prior_coef" in given or given["solver"] == "lbfgs":
            options["l1_ratios"] = [ratio]
        self.has_labels = problem.counts.max() == 1 and problem.shares.max(axis=1).min() == 1
        self.has_labels &= np.ndim(problem.y) == 1
        self.has_accuracy = self.has_labels and rng.random() < 0.15
        if self.has_accuracy:
            options["scoring"] = "accuracy"
        # Elsewhere `fit` takes fits up to `tol` for any `cv_tol`.
        self.is_exact = not (options["cv_tol"] and options["refit"] and "scoring" not in options)
        self.options = options
        self.model = MaxentClassifierCV(**given, **options)
        self.is_certified = options["refit"]
        n_fits = len(self.splits) * len(options["l1_ratios"]) * 4 + 1
        fit = self.fitted(model=self.model, what="fit of a cross-validation", n_fits=n_fits)
        if fit is None:
            return
        self.predict(fit)
        n_failures = len(self.outcome.failures)
        scores = self.scores(fit)
        self.choice(fit, scores)
        if options["refit"] and len(self.outcome.failures) == n_failures:
            self.last_fit(fit)
        elif not options["refit"]:
            self.means()

    def is_penalised(self, given):
        factors = given.get("penalty_factor")
        if factors is None:
            return True
        factors = np.array(list(factors.values()) if isinstance(factors, dict) else factors)
        return bool((np.isfinite(factors) & (factors > 0)).any())

    def drawn_splits(self):
        """Folds of one of four kinds: stratified, unstratified, without a class, and resampled."""
        rng, problem = self.rng, self.problem
        n = len(problem.X)
        codes = problem.shares.argmax(axis=1)
        how = rng.integers(4)
        seed = int(rng.integers(2**31))
        if how == 0 and np.bincount(codes).min() >= 2:
            folds = StratifiedKFold(2, shuffle=True, random_state=seed)
            return list(folds.split(np.zeros(n), codes))
        if how == 1:
            return list(
                KFold(int(rng.integers(2, 5)), shuffle=True, random_state=seed).split(codes)
            )
        if how == 2:  # held-out rows have a class of their own, or most of it
            k = rng.integers(problem.n_classes)
            test = np.flatnonzero((codes == k) | (rng.random(n) < 0.2))
            first = np.setdiff1d(np.arange(n), test), test
            other = rng.permutation(n)
            return [first, (other[n // 3 :], other[: n // 3])]
        draws = [rng.integers(n, size=n) for _ in range(2)]
        pairs = [(draw, np.setdiff1d(np.arange(n), draw)) for draw in draws]
        return [(train, test) for train, test in pairs if len(test)]

    # Checks

    def scores(self, fit):
        """Compare each fit of the folds and its score with the reference.

        The result are the scores of the coefficients of the reference, or None if there are none to
        compare with, for instance because fits did not converge.
        """
        model, outcome = self.model, self.outcome
        expected, rounding = np.full((2, *model.scores_.shape), np.nan)
        names = "folds", "ratios", "Cs"
        shape = len(self.folds), len(np.atleast_1d(self.options["l1_ratios"])), len(model.Cs_)
        if model.scores_.shape != shape:
            outcome.fail("SCORE", f"scores of {dict(zip(names, model.scores_.shape, strict=True))}")
            return None
        for i, fold in enumerate(self.folds):
            for j, ratio in enumerate(model.l1_ratios_):
                for c, C in enumerate(model.Cs_):
                    here = f"fold {i} l1_ratio {ratio:.6g} C {C:.6g}"
                    coef, intercept = self.coefficients(i, j, c)
                    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
                        outcome.fail("NONFINITE", f"coefficients of {here}")
                        return None
                    found = model.scores_[i, j, c]
                    truth, allowed = self.score(fold, coef, intercept)
                    rounding[i, j, c] = allowed
                    if np.isnan(found) != np.isnan(truth) or abs(found - truth) > allowed:
                        outcome.fail("SCORE", f"{found:.10g}, expected {truth:.10g}, {here}")
                        return None
                    if fit.converged:
                        found = self.reference_fit(fold, fit, coef, intercept, ratio, C, here)
                        if found is None:
                            return None
                        one, best = found
                        optimum = self.of_all_classes(one, best, coef, intercept)
                        expected[i, j, c] = self.score(fold, *optimum)[0]
                        if abs(expected[i, j, c] - model.scores_[i, j, c]) > allowed:
                            rounding[i, j, c] += self.change_within_tol(fold, one, best, optimum)
        if not fit.converged or self.has_accuracy:
            return None
        off = abs(expected - model.scores_) - rounding
        if not self.is_exact and self.is_within_cv_tol(expected):
            return expected
        if np.nanmax(off, initial=0) > 0 and fit.has_inexact_logits:
            outcome.skipped = "limit: digits of logits"
            return None
        if np.nanmax(off, initial=0) > 0:
            outcome.fail("SCORE", f"differs by {np.nanmax(off):.3g} more than `tol` allows")
            return None
        return expected

    def is_within_cv_tol(self, expected):
        """Whether no mean score is off by more than `cv_tol` of its standard error."""
        if len(expected) < 2:
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of candidates without a score
            off = np.nanmean(abs(expected - self.model.scores_), axis=0)
            error = np.nanstd(expected, axis=0, ddof=1) / np.sqrt(len(expected))
        return bool((np.isnan(off) | (off <= self.options["cv_tol"] * error)).all())

    def coefficients(self, i, j, c):
        """The coefficients and intercepts of fold i, l1_ratio j and C number c."""
        path = self.model.coefs_paths_[i, j, c]
        if not self.problem.parameters["fit_intercept"]:
            # The package gives a class without training rows an intercept near minus infinity.
            absent = np.zeros(len(path), path.dtype)
            if len(path) > 1 and not self.problem.parameters.get("label_smoothing"):
                absent[~self.folds[i].known] = 0.99 * np.finfo(path.dtype).min
            return path, absent
        return path[:, :-1], path[:, -1]

    def reference_fit(self, fold, fit, coef, intercept, ratio, C, here):
        """The examination of a fold and the `Found` of its reference.

        The result is None if the fit is worse than it says.
        """
        parameters = fold.problem.parameters | {"C": float(C), "l1_ratio": float(ratio)}
        one = Examination(replace(fold.problem, parameters=parameters), Outcome())
        active = one.expected.active
        model = SimpleNamespace(coef_=coef, optimality_gap_=1.0)
        part = Fit(model, None, True, coef[active].astype(WIDE), intercept[active])
        good = not self.is_exact or one.compare(part, "ABOVE", here)
        self.outcome.notes.update(one.outcome.notes)
        for failure in one.outcome.failures:
            self.outcome.fail(*failure)
        if not good:
            self.outcome.skipped = self.outcome.skipped or one.outcome.skipped
            return None
        return one, one.best(part)

    def of_all_classes(self, one, best, coef, intercept):
        """The coefficients of `best`, and those of `coef` for classes that the fit has not seen."""
        W, b, active = coef.astype(WIDE), intercept.astype(WIDE), one.expected.active
        W[active], b[active] = best.coef, best.intercept
        return W, b

    def change_within_tol(self, fold, one, best, optimum):
        """How much the score of a fold may change within `tol` of the optimum."""
        active = one.expected.active
        Z, _ = self.held_out_logits(fold, *optimum)
        table = self.held_out_weights(fold)
        P = np.where(np.isfinite(Z), probabilities(Z, "softmax"), 0)
        slopes = (table - table.sum(axis=1, keepdims=True) * P) / table.sum()
        slopes = slopes[:, 1:] if len(best.intercept) == 1 else slopes[:, active]
        X = self.problem.X[fold.test]
        change = MARGIN_OF_ORDER * score_change(one.objective, best, X, slopes, self.model.tol)
        if change > LARGE_CHANGE:
            self.outcome.notes["a score depends on `tol` by much"] += 1
        return change

    def held_out_logits(self, fold, coef, intercept):
        """The logits (n, K) of the held-out rows, and the sizes of the terms of their sums."""
        problem, test = self.problem, fold.test
        W, b, X = coef.astype(WIDE), intercept.astype(WIDE), problem.X[test].astype(WIDE)
        absent = b < -1e30
        b = np.where(absent, 0, b)
        Z = X @ W.T + b
        size = abs(X) @ abs(W).T + abs(b)
        if problem.offset is not None:
            Z, size = Z + problem.offset[test], size + abs(problem.offset[test])
        single = len(intercept) == 1
        return (
            np.column_stack([np.zeros(len(Z)), Z]) if single else np.where(absent, -np.inf, Z)
        ), size

    def held_out_weights(self, fold):
        """The weights (n, K) of the classes of the held-out rows; those not known count nothing."""
        problem, test = self.problem, fold.test
        weights = np.asarray(problem.counts[test], WIDE)
        if problem.sample_weight is not None:
            weights = weights * problem.sample_weight[test]
        return weights[:, None] * problem.shares[test] * fold.known

    def score(self, fold, coef, intercept):
        """The score of the held-out rows of known classes, and how much rounding may change it."""
        problem, X = self.problem, self.problem.X
        Z, size = self.held_out_logits(fold, coef, intercept)
        table = self.held_out_weights(fold)
        rounding = np.finfo(problem.X.dtype).eps * (8 + 2 * size.max(axis=1, initial=0))
        rounding = rounding * np.sqrt(X.shape[1] + 1)
        total = table.sum()
        if not total > 0:
            return np.nan, 0.0
        if self.has_accuracy:
            hits = (table * np.equal(Z, Z.max(axis=1, keepdims=True))).sum() / total
            top = np.sort(Z, axis=1)
            close = top[:, -1] - top[:, -2] <= 4 * rounding
            return float(hits), float(table.sum(axis=1) @ close / total) + ROUNDING
        top = Z.max(axis=1, keepdims=True)
        logs = Z - top - np.log(np.exp(Z - top).sum(axis=1, keepdims=True))
        logs = np.where(table > 0, logs, 0)
        value = (table * logs).sum() / total
        allowed = 2 * (table.sum(axis=1) @ rounding) / total + ROUNDING * (1 + abs(value))
        return float(value), float(allowed)

    def choice(self, fit, expected):
        """Compare the chosen penalty with the rule, by the scores and by those of the reference."""
        model = self.model
        if not self.options["refit"]:
            return
        chosen = model.l1_ratio_, model.C_
        where = np.argwhere(
            (model.l1_ratios_[:, None] == chosen[0]) & (model.Cs_[None] == chosen[1])
        )
        if not len(where):
            self.outcome.fail("CHOICE", f"{chosen} is no candidate")
            return
        rule = self.options["selection"]
        if not np.isfinite(model.scores_).any(axis=0).any():
            self.outcome.fail("CHOICE", "no candidate has a score")
        elif not any(
            is_choice(model.scores_, model.Cs_, tuple(at), rule, EQUAL_SCORES) for at in where
        ):
            self.outcome.fail("CHOICE", f"{chosen} by {rule}, scores {model.scores_.tolist()}")
        elif expected is not None:
            # Two means are off by up to `off` each, and so are a mean and a standard error.
            off = np.nanmax(abs(expected - model.scores_), initial=0)
            self.outcome.notes["choice compared"] += 1
            if not any(
                is_choice(expected, model.Cs_, tuple(at), rule, 4 * off + EQUAL_SCORES)
                for at in where
            ):
                self.outcome.fail("CHOICE", f"{chosen} by {rule}, by the reference's scores")

    def last_fit(self, fit):
        """Compare the fit to all rows, at the chosen penalty, with the reference."""
        parameters = self.problem.parameters | {
            "C": float(self.model.C_),
            "l1_ratio": float(self.model.l1_ratio_),
        }
        one = Examination(replace(self.problem, parameters=parameters), self.outcome)
        one.compare(fit, "ABOVE", "refit")

    def means(self):
        """Compare the coefficients with the mean over folds, each at its own best penalty.

        Folds without a score do not count.
        """
        model, parts = self.model, []
        for i, fold in enumerate(model.scores_):
            if np.isnan(fold).all():
                continue
            # Of penalties with scores that are equal up to rounding, the one with the smallest C.
            order = np.argsort(model.Cs_, kind="stable")
            top = np.nanmax(fold)
            is_best = fold[:, order] >= top - EQUAL_SCORES * abs(top)
            j, c = np.unravel_index(is_best.argmax(), fold.shape)
            c = order[c]
            parts.append((model.l1_ratios_[j], model.Cs_[c], *self.coefficients(i, j, c)))
        ratios, Cs, coefs, intercepts = zip(*parts, strict=True)
        coefs, intercepts = np.array(coefs, float), np.array(intercepts, float)
        seen = intercepts > -1e30
        n = np.maximum(seen.sum(axis=0), 1)
        coef = (coefs * seen[..., None]).sum(axis=0) / n[:, None]
        intercept = np.where(seen, intercepts, 0).sum(axis=0) / n
        tolerance = 8 * np.finfo(model.coef_.dtype).eps  # of a mean over few folds
        for name, truth in {"C_": np.mean(Cs), "l1_ratio_": np.mean(ratios)}.items():
            if not np.isclose(getattr(model, name), truth, rtol=8 * np.finfo(float).eps):
                self.outcome.fail("REFIT", f"{name} is {getattr(model, name)}, expected {truth}")
        size = np.maximum(abs(coefs).max(axis=0), 1e-300)
        off = max(
            (abs(model.coef_ - coef) / size).max(),
            (abs(model.intercept_ - intercept) / np.maximum(1, abs(intercept)))[
                seen.any(axis=0)
            ].max(),
        )
        if off > tolerance:
            self.outcome.fail("REFIT", f"means differ by {off:.3g}")


def is_choice(scores, Cs, chosen, selection, margin):
    """Whether a rule of selection may choose a candidate.

    `scores` are (n_folds, n_ratios, n_Cs), `chosen` is the position (ratio, C) of the candidate,
    and means that differ by less than `margin` count as equal.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of candidates without a score
        mean = np.nanmean(scores, axis=0)
    top = np.nanmax(mean)
    margin = margin * max(1.0, abs(top))
    if selection == "best":
        return bool(mean[chosen] >= top - margin)
    for best in map(tuple, np.argwhere(mean >= top - margin)):
        own = scores[(slice(None), *best)]
        own = own[~np.isnan(own)]
        error = own.std(ddof=1) / np.sqrt(len(own)) if len(own) > 1 else 0.0
        ratio, c = chosen
        near = mean[ratio]
        stronger = Cs < Cs[c]
        if (
            ratio == best[0]
            and near[c] >= mean[best] - error - 2 * margin
            and not (near[stronger] > mean[best] - error + 2 * margin).any()
        ):
            return True
    return False
