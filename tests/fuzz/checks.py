"""The checks of one problem, and the limits of floating point that excuse a difference.

The checks:

ABOVE
    `fit` gave no ConvergenceWarning, yet the objective at `coef_` and `intercept_` is above that of
    the reference by more than `TOLERANCE` times the objective, or times a total loss of
    `SMALLEST_TOTAL` nats if that is more.
CERTIFICATE
    The reference has a point whose value is further below than `optimality_gap_` admits.
SEPARATED
    A warning says that labels are separated, and a linear program shows that they are not, or that
    others are.
STORAGE
    The same numbers in another layout lead to another objective, or the failures above disappear.
WARM
    A warm start from a fit with other parameters or data ends at another optimum than a cold one.
PREDICT
    `predict_proba` is not the softmax or the sigmoids of the logits that the coefficients give.
RESULTS
    `infer` has other predictions than the classifier, or other standard errors than the inverse of
    the information.
NONFINITE, INPUT CHANGED, ERROR
    Coefficients or probabilities are not finite; `fit` changed the caller's arrays; an exception.
WORK
    A fit of a few thousand numbers takes more calls of Python functions than `MOST_CALLS`.

A difference that floating point explains is no failure, and is counted under the name of its limit:

"coefficients rounded"
    The objective at the coefficients of the reference, each rounded up or down to the type of
    `coef_`, is as far above the optimum. For float32 only `TOLERANCE` is excused in this way,
    because the package has to warn if rounding adds more.
"last bits of X"
    The objective at the optimum for columns whose last bits are changed at random is as far above
    the optimum: a backward stable algorithm can do no better. Or the last bits change the lead of
    the reference as much, by the bound of `rounding_of_lead`: the lead came from coefficients, huge
    and of opposite signs, of columns that are collinear but for their last bits.
"digits of X"
    The values of a column differ by so few units in the last place that `fit` takes the column for
    constant, and a warning names it.
"digits of logits"
    A warning says that predictions have few digits, because a column is far from zero. Where there
    is an `optimality_gap_`, it is 1.

These numbers are compared up to rounding, and up to no other tolerance:

- bounds: the precision of `coef_`;
- probabilities: the rounding of the logits, which are sums of known terms, and, of their sum, one
  unit in the last place for each class;
- log-likelihoods: the rounding of the logits and of the normaliser;
- standard errors: the rounding of the logits, and the condition number of the information times
  that of float64;
- scores of cross-validation: what a step of the length `tol` changes, and rounding.
"""

import ast
import hashlib
import re
import sys
import traceback
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from skmaxent import MaxentClassifier, MultilabelMaxentClassifier, maxent_path

from .expected import expected_objective, intercept_correction, penalty_factors
from .reference import WIDE, probabilities
from .separation import are_separated, is_separated
from .storages import stored

# The relative difference of objectives that the project promises for a converged fit.
TOLERANCE = 1e-6
# The relative rounding of an objective in float64, a sum over at most 5,000 rows or columns.
ROUNDING = 5_000 * np.finfo(float).eps
# The total loss in nats, in units of the largest weight, below which differences are rounding: the
# logits of certain rows have about eight digits behind the point.
SMALLEST_TOTAL = 1e-8
# The largest of some draws of a rounding error, times this number, bounds the error.
MARGIN_OF_DRAWS = 4
# λ of Hoeffding's inequality for sums of rounding errors: at most one sum in 45 is larger.
DEVIATIONS = 3
# The most calls of functions in a fit; ordinary fits take some thousand.
MOST_CALLS = 1_000_000
# Robust standard errors below DEGENERATE times those from the information are rounding, and `infer`
# says so.
DEGENERATE = 1e-3
# Columns of a smaller range, in units of the last place, are constant but for rounding.
FEW_UNITS = 4.0
# Gradients below which the values of C at which coefficients are not negligible overflow.
SMALLEST_GRADIENT = 1e-100
# Condition number of the scaled information up to which standard errors are compared.
CONDITION = 1e8


@dataclass
class Outcome:
    """The result of the checks of a problem.

    Attributes
    ----------
    failures : list of (str, str)
        The name of a check and the figures that fail.
    skipped : str or None
        Why the fit was not compared with the reference.
    notes : Counter
        How often other events occurred, such as warnings.
    """

    failures: list = field(default_factory=list)
    skipped: str | None = None
    notes: Counter = field(default_factory=Counter)

    def fail(self, check, figures):
        self.failures.append((check, figures))


class TooMuchWork(BaseException):
    """Raised inside of a fit by `limited_calls`; no Exception, so that `fit` does not catch it."""


@contextmanager
def limited_calls(limit):
    """Raise TooMuchWork at the function call beyond the limit."""
    left = limit

    def count(frame, event, argument):
        nonlocal left
        if event == "call":
            left -= 1
            if left < 0:
                sys.setprofile(None)
                raise TooMuchWork

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)


@dataclass
class Fit:
    """A fitted estimator with its X, its active coefficients, and the messages of its warnings."""

    model: object
    X: object
    converged: bool
    coef: np.ndarray
    intercept: np.ndarray
    messages: list = field(default_factory=list)

    @property
    def has_inexact_logits(self):
        """Whether a warning says that predictions have few digits."""
        return any("so far from zero" in text for text in self.messages)

    @property
    def gap(self):
        return self.model.optimality_gap_


class Examination:
    """The checks of a problem; kinds of problems that need other checks have subclasses."""

    # Whether `optimality_gap_` bounds the distance to the optimum.
    is_certified = True

    def __init__(self, problem, outcome):
        self.problem, self.outcome = problem, outcome
        # A generator of its own: draws of the checks do not change the problem of a seed.
        self.rng = np.random.default_rng([7, problem.seed])
        self.expected = expected_objective(problem)
        self.objective = self.expected.objective
        self.limits = {}

    def run(self):
        if self.problem.kind == "path" or "path" in self.problem.tags:
            self.path()
            return
        fit = self.fitted()
        if fit is None:
            return
        self.predict(fit)
        n_failures = len(self.outcome.failures)
        if self.compare(fit, "ABOVE"):
            self.storage(fit)
            self.warm(fit)
        elif len(self.outcome.failures) > n_failures:
            self.storage_of_failure()
        if self.problem.kind == "inference":
            self.results(fit)

    # Fits

    @property
    def plain(self):
        """The storage "C", an ndarray; "frame" if parameters name columns of X, "csr" of wide X."""
        if self.problem.kind == "wide":
            return "csr"
        names = any(
            isinstance(self.problem.parameters.get(name), dict)
            for name in ("penalty_factor", "bounds")
        )
        return "frame" if names else "C"

    def estimator(self, **changes):
        kind = MultilabelMaxentClassifier if self.problem.is_multilabel else MaxentClassifier
        return kind(**(self.problem.parameters | changes))

    def arguments(self):
        """sample_weight and, where there is one, offset, as `fit` takes them."""
        problem = self.problem
        given = {}
        if problem.sample_weight is not None:
            given["sample_weight"] = problem.sample_weight
        if problem.offset is not None:
            given["offset"] = problem.offset[:, 0] if problem.n_classes == 2 else problem.offset
        return given

    def fitted(self, storage=None, model=None, what="", n_fits=1):
        """The fit, or None if it failed; failures are added to the outcome.

        `storage` and `model` replace those of the problem. `what` describes the fit in messages,
        and `n_fits` multiplies the calls of functions that the fit may make.
        """
        problem, outcome = self.problem, self.outcome
        X, arguments = stored(problem, storage), self.arguments()
        model = self.estimator() if model is None else model
        given = [X, problem.y, *arguments.values(), *map(problem.parameters.get, _ARRAYS)]
        before = [_digest(value) for value in given]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            if not self.attempt(
                lambda: model.fit(X, problem.y, **arguments), what or "fit", n_fits
            ):
                return None
        if before != [_digest(value) for value in given]:
            outcome.fail("INPUT CHANGED", f"by {what or 'fit'} in {storage or problem.storage}")
        converged = True
        for warning in said:
            if issubclass(warning.category, ConvergenceWarning):
                converged = False
            outcome.notes[_title(warning)] += 1
        coef, intercept = np.asarray(model.coef_), np.asarray(model.intercept_)
        if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
            outcome.fail("NONFINITE", f"coefficients {what}")
            return None
        if self.is_certified and not 0 <= model.optimality_gap_ <= 1:
            outcome.fail("NONFINITE", f"optimality_gap_ is {model.optimality_gap_} {what}")
            return None
        uncorrected = intercept - intercept_correction(problem)
        active = self.expected.active
        messages = [str(warning.message) for warning in said]
        return Fit(model, X, converged, coef[active].astype(WIDE), uncorrected[active], messages)

    def attempt(self, call, what, n_fits=1):
        """Whether `call` returns; exceptions are added to the outcome."""
        try:
            with limited_calls(n_fits * MOST_CALLS):
                call()
        except TooMuchWork:
            self.outcome.fail("WORK", f"{what} takes more than {n_fits * MOST_CALLS} calls")
            return False
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno}"
            text = " ".join(str(error).split())[:150]
            self.outcome.fail("ERROR", f"{what}: {type(error).__name__} at {place}: {text}")
            return False
        return True

    # Checks

    def compare(self, fit, check, what=""):
        """Whether a fit is as near to the optimum as it says.

        If it is not, a failure with the name `check` or "CERTIFICATE" is added to the outcome.
        """
        outcome, objective = self.outcome, self.objective
        value = objective.value(fit.coef, fit.intercept)
        if not np.isfinite(value):
            outcome.fail("NONFINITE", f"the objective is {value} {what}")
            return False
        outside = np.maximum(objective.lower - fit.coef, fit.coef - objective.upper)
        bound = np.where(fit.coef < objective.lower, objective.lower, objective.upper)
        # A bound has the precision of `coef_`.
        beyond = outside > np.finfo(fit.model.coef_.dtype).eps * abs(bound)
        if beyond.any():
            worst = float(outside[beyond].max())
            outcome.fail(check, f"a coefficient is beyond its bound by {worst:.3g}")
            return False
        if fit.gap >= 1 and fit.has_inexact_logits:
            outcome.skipped = "limit: digits of logits"
            return False
        if fit.gap >= 1 and not fit.converged:
            self.unconverged(fit, what)
            return True
        best = self.best(fit)
        excess = max(float(value - best.value), 0.0)
        smallest = SMALLEST_TOTAL / float(objective.total)
        scale = max(float(value), smallest)
        figures = (
            f"excess {excess / scale:.3g} claimed {fit.gap:.3g} objective {float(value):.6g} "
            f"{'converged' if fit.converged else 'with a warning'} {what}"
        )
        is_above = fit.converged and excess > TOLERANCE * scale
        is_beyond = excess > fit.gap * float(value) * (1 + ROUNDING) + ROUNDING * scale
        if is_above or is_beyond:
            limit, name = self.limit(fit, best)
            allowed = limit
            if fit.model.coef_.dtype == np.float32 and name == "coefficients rounded":
                allowed = min(limit, TOLERANCE * scale)
            if is_above and excess - allowed > TOLERANCE * scale:
                outcome.fail(check, figures)
            elif is_beyond and excess - limit > fit.gap * float(value) + ROUNDING * scale:
                outcome.fail("CERTIFICATE", figures)
            else:
                outcome.skipped = f"limit: {name}"
                outcome.notes[f"{check if is_above else 'CERTIFICATE'} within limit: {name}"] += 1
                return False
            return False
        if best.gain * float(best.value) > TOLERANCE * scale and fit.converged:
            outcome.skipped = "the reference did not settle"
            return False
        return True

    def unconverged(self, fit, what):
        """Compare what a fit says that neither converged nor has a certificate.

        Where classes are separated there is no optimum, and linear programs tell whether they are.
        Otherwise the fit says nothing that may be wrong, and whether it is at the optimum is noted.
        """
        separated = [text for text in fit.messages if "separated" in text]
        if not separated:
            value, best = self.objective.value(fit.coef, fit.intercept), self.best(fit).value
            place = "above" if value - best > TOLERANCE * value else "at"
            self.outcome.notes[f"neither converged nor certified, {place} the optimum"] += 1
        elif self.objective.link == "sigmoids":
            self.separation(separated[0], what)
        else:
            found = are_separated(self.objective)
            if found is False:
                self.outcome.fail("SEPARATED", f"the classes are not separated {what}")
            self.outcome.notes["separated classes compared"] += found is not None
            self.outcome.notes["separated classes, left open by the reference"] += found is None

    def separation(self, message, what):
        """Compare the labels that a warning calls separated with linear programs."""
        labels = self.problem.labels if self.problem.is_multilabel else [None]
        labels = range(self.objective.shape[0]) if labels is None else labels
        named = re.search(r"for the labels (\[.*?\])", message)
        found = {label: is_separated(self.objective, k) for k, label in enumerate(labels)}
        if named is None:
            if all(one is False for one in found.values()):
                self.outcome.fail("SEPARATED", f"no label is separated {what}")
        else:
            named = ast.literal_eval(named[1])
            wrong = [one for one in found if found[one] is (one not in named)]
            if wrong:
                self.outcome.fail("SEPARATED", f"{named} are named, wrong for {wrong} {what}")
        n_open = sum(one is None for one in found.values())
        self.outcome.notes["separated labels compared"] += n_open < len(found)
        self.outcome.notes["separated labels, left open by the reference"] += n_open == len(found)

    def best(self, fit):
        """The lowest point of the reference from the fit and, for some problems, from zero."""
        found = self.objective.polished(fit.coef, fit.intercept)
        if not hasattr(self, "_cold"):
            self._cold = self.objective.cold() if self.rng.random() < 0.1 else None
        known = [found] if self._cold is None else [found, self._cold]
        known = [one for one in known if np.isfinite(one.value)]
        best = min(known, key=lambda one: one.value)
        if len(known) > 1 and found.value - best.value > 1e-9 * best.value:
            self.outcome.notes["the reference is better from zero"] += 1
        return best

    def limit(self, fit, best):
        """By how much a fit may be above the optimum because of rounding, and the limit's name."""
        objective = self.objective
        dtype = fit.model.coef_.dtype
        X = self.problem.X
        span, unit = np.ptp(X, axis=0), np.spacing(abs(X).max(axis=0))
        is_narrow = (span > 0) & (span <= FEW_UNITS * unit)
        if is_narrow.any() and fit.has_inexact_logits:
            return np.inf, "digits of X"
        limits = {"coefficients rounded": 0.0, "last bits of X": 0.0}
        for _ in range(8):
            rounded = (self.rounded(array, dtype) for array in (best.coef, best.intercept))
            value = float(objective.value(*rounded) - best.value)
            limits["coefficients rounded"] = max(limits["coefficients rounded"], value)
        for _ in range(3):
            other = self.perturbed(np.finfo(self.problem.X.dtype).eps / 2)
            start = other.polished(best.coef, best.intercept)
            value = objective.value(start.coef, start.intercept)
            if np.isfinite(value):
                limits["last bits of X"] = max(limits["last bits of X"], float(value - best.value))
        limits = {name: MARGIN_OF_DRAWS * value for name, value in limits.items()}
        lead = rounding_of_lead(objective, fit, best, np.finfo(X.dtype).eps / 2)
        limits["last bits of X"] = max(limits["last bits of X"], lead)
        name = max(limits, key=limits.get)
        return limits[name], name

    def rounded(self, array, dtype):
        """Each number as one of its two neighbours in the type."""
        near = array.astype(dtype)
        other = np.nextafter(near, np.where(array > near, np.inf, -np.inf).astype(dtype))
        exact = near == array
        return np.where(exact | (self.rng.random(array.shape) < 0.5), near, other)

    def perturbed(self, unit):
        """The objective for X with each number changed at random by up to `unit` of itself."""
        objective = self.objective
        # Constant columns stay constant: a change would give them information beside an intercept.
        varies = (objective.X[0] != objective.X).any(axis=0)
        change = 1 + unit * self.rng.uniform(-1, 1, size=objective.X.shape) * varies
        return objective.with_columns(objective.X * change)

    def predict(self, fit):
        """Compare `predict_proba` with the probabilities that the coefficients give."""
        problem, model = self.problem, fit.model
        offset = {k: v for k, v in self.arguments().items() if k == "offset"}
        found = []
        if not self.attempt(
            lambda: found.append(np.asarray(model.predict_proba(fit.X, **offset))), "predict_proba"
        ):
            return
        P = found[0]
        is_distribution = not (problem.is_multilabel and model.link == "sigmoid")
        rounding = P.shape[1] * np.finfo(P.dtype).eps
        off = abs(P.sum(axis=1) - 1).max() if is_distribution else 0
        if not np.isfinite(P).all() or off > rounding:
            self.outcome.fail("NONFINITE", "probabilities")
            return
        single = problem.n_classes == 2 and not problem.is_multilabel
        Z, allowed = self.logits(fit)
        expected = probabilities(Z, "sigmoids" if single or not is_distribution else "softmax")
        if single:
            expected = np.column_stack([1 - expected, expected])
        worst = (abs(P - expected).max(axis=1) - allowed).max()
        if worst > 0:
            self.outcome.fail("PREDICT", f"probabilities are off by {float(worst):.3g}")

    def logits(self, fit):
        """The logits of all rows by the coefficients, and the rounding of those of each row."""
        problem, model = self.problem, fit.model
        W, b = model.coef_.astype(WIDE), np.asarray(model.intercept_, WIDE)
        X = problem.X.astype(WIDE)
        Z = X @ W.T + b
        size = abs(X) @ abs(W).T + abs(b)
        if problem.offset is not None:
            Z, size = Z + problem.offset, size + abs(problem.offset)
        unit = np.finfo(problem.X.dtype).eps
        return Z, unit * (8 + 2 * size.max(axis=1) * np.sqrt(X.shape[1] + 1))

    def storage(self, fit):
        """Compare with a fit to the same numbers in the plain storage."""
        if self.problem.storage == self.plain or self.rng.random() > 0.4:
            return
        plain = self.fitted(self.plain, what="as a plain array")
        if plain is None or not self.compare(plain, "ABOVE", "as a plain array"):
            return
        if plain.converged and fit.converged:
            one, other = (self.objective.value(f.coef, f.intercept) for f in (plain, fit))
            total = self.objective.total
            if abs(one - other) > TOLERANCE * max(abs(one), SMALLEST_TOTAL / total):
                self.outcome.fail("STORAGE", f"objectives {float(one):.10g}, {float(other):.10g}")
        elif plain.converged != fit.converged:
            self.outcome.notes["one storage converged, another did not"] += 1

    def storage_of_failure(self):
        """Add a failure if a fit to the same numbers in the plain storage does not fail."""
        if self.problem.storage == self.plain:
            return
        plain = Examination(self.problem, Outcome())
        fit = plain.fitted(self.plain)
        if fit is not None and fit.converged and plain.compare(fit, "ABOVE"):
            self.outcome.fail("STORAGE", "as a plain array there is no such failure")

    def warm(self, fit):
        """Compare a warm start from a fit with other parameters or data with the reference."""
        model = self.estimator()
        if "warm_start" not in model.get_params() or self.rng.random() > 0.3:
            return
        problem, arguments = self.problem, self.arguments()
        X, changes, before = stored(problem, self.plain), {}, dict(arguments)
        what = ("C", "class_weight", "offset", "units", "order")[self.rng.integers(5)]
        if what == "C":
            changes["C"] = 10.0 ** self.rng.uniform(-3, 3)
        elif what == "class_weight" and "class_weight" not in problem.parameters:
            changes["class_weight"] = {label: 1 + 9 * self.rng.random() for label in problem.labels}
        elif what == "offset" and "offset" in before:
            before["offset"] = -2.0 * before["offset"]
        elif what == "units":
            X = X * self.problem.X.dtype.type(1e3)
        else:
            X = X.iloc[::-1] if self.plain == "frame" else X[:, ::-1]
        model.set_params(warm_start=True, **changes)
        if not np.isfinite(X.data if sp.issparse(X) else np.asarray(X)).all() or (
            "prior_coef" in problem.parameters and changes.get("C")
        ):
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not self.attempt(
                lambda: model.fit(X, problem.y, **before), f"a fit before ({what})"
            ):
                return
        model.set_params(**{name: problem.parameters.get(name) for name in changes})
        again = self.fitted(self.plain, model, what=f"after another {what}")
        if again is not None:
            self.compare(again, "WARM", f"after another {what}")

    def is_refused_grid(self, n_failures):
        """Whether a grid of C was refused because its ends overflow, which is no failure then."""
        told = self.outcome.failures[n_failures:]
        objective = self.objective
        # Under an L1 penalty the first C of a grid is 1 over the largest gradient of no features.
        gradient, _ = objective.loss_gradient(
            np.zeros(objective.shape), np.zeros(objective.shape[0])
        )
        is_tiny = abs(gradient).max() < SMALLEST_GRADIENT
        if (
            told
            and is_tiny
            and all("coefficients become nonzero overflow" in one for _, one in told)
        ):
            del self.outcome.failures[n_failures:]
            self.outcome.skipped = "columns too small for a grid of C are refused"
            return True
        return False

    def path(self):
        """Compare each solution of a path with the reference for its C."""
        problem, given = self.problem, dict(self.problem.parameters)
        largest = given.pop("C")
        Cs = largest * 10.0 ** np.sort(self.rng.uniform(-3, 0, size=4))
        # A grid of C needs a feature that is penalised.
        factors = penalty_factors(problem)
        has_grid = given.get("l1_ratio", 0) > 0 and (np.isfinite(factors) & (factors > 0)).any()
        wanted = 4 if self.rng.random() < 0.3 and has_grid else Cs
        options = {"l1_ratio": given.pop("l1_ratio", 0.0), "relax": self.rng.random() < 0.3}
        X, found = stored(problem), []
        arrays = [X, problem.y, *self.arguments().values(), *map(given.get, _ARRAYS)]
        before = [_digest(value) for value in arrays]
        n_failures = len(self.outcome.failures)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            if not self.attempt(
                lambda: found.append(
                    maxent_path(X, problem.y, Cs=wanted, **options, **self.arguments(), **given)
                ),
                "maxent_path",
                n_fits=4 * (1 + options["relax"]),
            ):
                self.is_refused_grid(n_failures)
                return
        if before != [_digest(value) for value in arrays]:
            self.outcome.fail("INPUT CHANGED", f"by maxent_path in {problem.storage}")
        self.outcome.notes.update(_title(warning, "path") for warning in said)
        converged = not any(issubclass(one.category, ConvergenceWarning) for one in said)
        path = found[0]
        for i, C in enumerate(path.Cs):
            coef, intercept, gap = path.coefs[i], path.intercepts[i], path.optimality_gaps[i]
            if not (np.isfinite(coef).all() and np.isfinite(intercept).all() and 0 <= gap <= 1):
                self.outcome.fail("NONFINITE", f"coefficients or gap of a path at C={C:.6g}")
                return
            one = replace(problem, parameters=problem.parameters | {"C": float(C)})
            one = Examination(one, self.outcome)
            active = one.expected.active
            model = SimpleNamespace(coef_=coef, optimality_gap_=gap)
            fit = Fit(model, X, converged, coef[active].astype(WIDE), intercept[active])
            if not one.compare(fit, "ABOVE", f"at C={C:.6g}, number {i} of a path"):
                return

    # Inference

    def results(self, fit):
        """Compare predictions, standard errors and the log-likelihood of `infer`."""
        problem, model = self.problem, fit.model
        given = problem.parameters
        if (
            not fit.converged
            or given.get("label_smoothing")
            or not self.expected.active.all()
            or np.isinf(penalty_factors(problem)).any()
        ):
            return
        H = self.objective.information(fit.coef, fit.intercept) * self.expected.unit
        expected, condition = covariance(H, self.objective, problem.n_classes)
        kind, options = "nonrobust", {}
        if np.isinf(given["C"]) and "class_weight" not in given:
            kind = ("nonrobust", "nonrobust", "HC0", "HC1", "cluster")[self.rng.integers(5)]
            options["cov_type"] = kind
            if kind == "cluster":
                options["groups"] = self.rng.integers(8, size=len(problem.X))
                options["groups"][:2] = [0, 1]
        found = []
        arguments = self.arguments()
        has_factor = expected is not None and kind in ("HC1", "cluster")
        if has_factor and self.has_few_observations(fit, options):
            return
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            is_done = self.attempt_results(
                lambda: found.append(model.infer(fit.X, problem.y, **arguments, **options)),
                expected is None,
            )
        if not is_done:
            return
        for warning in said:
            self.outcome.notes[_title(warning, "infer")] += 1
        results = found[0]
        self.results_predict(fit, results)
        if expected is None:
            self.outcome.notes["the information is ill-conditioned"] += 1
            return
        if results.aliased:
            self.outcome.fail("RESULTS", f"{results.aliased} are not aliased")
            return
        of_information = np.sqrt(expected.diagonal())
        if kind != "nonrobust":
            expected = self.sandwich(fit, expected, kind, options.get("groups"))
        self.outcome.notes[f"standard errors compared: {kind}"] += 1
        expected = np.sqrt(np.maximum(expected.diagonal(), 0))
        if (expected < 0.5 * DEGENERATE * of_information).any():
            self.outcome.notes["robust standard errors are degenerate"] += 1
            if not any("robust standard errors" in note for note in results.notes):
                self.outcome.fail("RESULTS", "degenerate standard errors without a note")
        sound = expected > 2 * DEGENERATE * of_information
        # Rounding of the logits changes the curvature of each row relatively, and its score by as
        # much of its standard deviation. An inverse has the condition number times the rounding.
        rounding = 2 * float(self.logits(fit)[1].max()) + 16 * np.finfo(float).eps * condition
        off = abs(results.std_errors.ravel() - expected) / (expected + of_information)
        off = off[sound].max(initial=0)
        if not off <= rounding:
            self.outcome.fail(
                "RESULTS", f"standard errors ({kind}) differ by {off:.3g}, rounding {rounding:.3g}"
            )
        log_likelihood = self.log_likelihood(fit)
        if not abs(results.log_likelihood - log_likelihood) <= self.rounding_of_loss(fit):
            self.outcome.fail(
                "RESULTS",
                f"log-likelihood {results.log_likelihood:.10g}, expected {log_likelihood:.10g}",
            )

    def has_few_observations(self, fit, options):
        """Whether there are no more observations than coefficients, so that factors divide by zero.

        `infer` must then raise an error.
        """
        problem = self.problem
        logits = problem.n_classes - 1
        p = logits * (problem.X.shape[1] + bool(problem.parameters["fit_intercept"]))
        n = float(self.objective.s.sum() * self.expected.unit)
        if n > p:
            return False
        try:
            fit.model.infer(fit.X, problem.y, **self.arguments(), **options)
        except ValueError as error:
            if "more observations than the" in str(error):
                self.outcome.notes["infer refuses fewer observations than coefficients"] += 1
                return True
        self.outcome.fail("RESULTS", f"{p} coefficients of {n:.6g} observations are not refused")
        return True

    def attempt_results(self, call, is_singular):
        """Whether `call` returns; if the information is singular it may raise ValueError."""
        if not is_singular:
            return self.attempt(call, "infer")
        try:
            call()
        except ValueError:
            self.outcome.notes["infer refuses a singular information"] += 1
            return False
        return True

    def results_predict(self, fit, results):
        """Compare probabilities and effects of results with those of the classifier."""
        problem, model = self.problem, fit.model
        offset = {k: v for k, v in self.arguments().items() if k == "offset"}
        tables = []
        if not self.attempt(
            lambda: tables.append(results.predict_proba_interval(fit.X, **offset)),
            "predict_proba_interval",
        ):
            return
        has_features = len(results.aliased) < problem.X.shape[1]
        if has_features and not self.attempt(
            lambda: tables.append(results.marginal_effects(fit.X, **offset)), "marginal_effects"
        ):
            return
        tolerance = 2 * float(self.logits(fit)[1].max())
        P = model.predict_proba(fit.X, **offset)
        # A column may be a combination of others in the rows of positive weight only.
        kept = self.kept_rows() if results.aliased else np.ones(len(P), bool)
        found = np.asarray(tables[0].xs("probability", axis=1, level=1), float)
        off = abs(found - P)[kept].max()
        if not off <= tolerance:
            self.outcome.fail("RESULTS", f"predict_proba_interval differs by {off:.3g}")
        if results.aliased:  # the effects are those of a model without these columns
            return
        W = np.asarray(model.coef_, float)
        W = np.vstack([np.zeros_like(W), W]) if len(W) == 1 else W
        effects = P[:, :, None] * (W - (P @ W)[:, None])
        rows = problem.counts
        if problem.sample_weight is not None:
            rows = rows * problem.sample_weight
        effects = np.average(effects, axis=0, weights=rows)
        found = tables[1]["effect"].to_numpy().reshape(effects.shape)
        off = (abs(found - effects) / np.maximum(abs(W).max(axis=0), 1e-300)).max()
        if not off <= tolerance:
            self.outcome.fail("RESULTS", f"marginal effects differ by {off:.3g} of a coefficient")

    def sandwich(self, fit, V, kind, groups):
        """The sandwich covariance with the scores of single observations, or of clusters.

        V is the inverse of the information, and `kind` is "HC0", "HC1" or "cluster".
        """
        objective = self.objective
        P = probabilities(objective.logits(fit.coef, fit.intercept), objective.link)
        T = objective.T
        if objective.link == "sigmoids":
            P, T = (np.column_stack([1 - array, array]) for array in (P, T))
        X = objective.X
        X = np.column_stack([X, np.ones(len(X))]) if objective.fit_intercept else X
        s = objective.s * self.expected.unit
        K, n, q = P.shape[1], s.sum(), len(V)
        scores = [
            ((np.eye(K)[k] - P)[:, 1:, None] * X[:, None]).reshape(len(X), -1) for k in range(K)
        ]
        if kind == "cluster":
            kept = groups[self.kept_rows()]
            total = sum((s * T[:, k])[:, None] * scores[k] for k in range(K))
            # Clusters without a row of positive weight do not count.
            sums = np.array([total[kept == g].sum(axis=0) for g in np.unique(kept)])
            G = len(sums)
            factor = G / (G - 1) * (n - 1) / (n - q)
            return (V @ (sums.T @ sums) @ V * factor).astype(float)
        meat = sum((scores[k] * (s * T[:, k])[:, None]).T @ scores[k] for k in range(K))
        factor = n / (n - q) if kind == "HC1" else 1
        return (V @ meat @ V * factor).astype(float)

    def rounding_of_loss(self, fit):
        """How much rounding may change the log-likelihood.

        It is the rounding of the logits times the derivatives, and that of the normaliser.
        """
        objective = self.objective
        Z = objective.logits(fit.coef, fit.intercept)
        slopes = abs(probabilities(Z, objective.link) - objective.T).sum(axis=1)
        rounding = slopes * self.logits(fit)[1][self.kept_rows()]
        rounding = rounding + 4 * np.finfo(float).eps * (1 + abs(Z).max(axis=1))
        return float(self.expected.unit * (objective.s @ rounding))

    def kept_rows(self):
        """Which rows have a positive weight."""
        weights = self.problem.sample_weight
        return np.ones(len(self.problem.X), bool) if weights is None else np.asarray(weights) > 0

    def log_likelihood(self, fit):
        """The log-likelihood of the data, without the penalty, in the weights of the user."""
        objective = self.objective
        ridge = objective.ridge * (fit.coef - objective.target) ** 2 / 2
        loss = objective.value(fit.coef, fit.intercept) - ridge.sum()
        return -float(loss * objective.total * self.expected.unit)


_ARRAYS = ("penalty_factor", "prior_coef", "bounds", "class_weight", "prior_correction")


def rounding_of_lead(objective, fit, best, unit):
    """How much the last bits of X may change by how much `best` is lower than `fit`.

    This lead is the difference of two losses. If each number x_ij changes by δ_ij x_ij, the lead
    changes by Σ δ_ij a_ij to first order, where a_ij is x_ij times the difference of the
    derivatives by x_ij, and by Σ δ_ij² b_ij / 2 to second order, where b_ij is x_ij² times the
    difference of the second derivatives. For independent δ of mean zero with |δ| <= u, `unit`,
    Hoeffding's inequality bounds the first sum by λ u ‖a‖, but for the probability 2 exp(-λ²/2).
    The second sum is at most u² Σ |b| / 2.
    """
    share, slopes, bends = (objective.s / objective.total)[:, None], [], []
    for point in (fit, best):
        W = np.asarray(point.coef, WIDE)
        Z = objective.logits(W, point.intercept)
        P = probabilities(Z, objective.link)
        is_softmax = objective.link == "softmax"
        slopes.append(share * ((P - objective._targets(Z, objective.T)) @ W))
        spread = P if is_softmax else P * (1 - P)
        bends.append(share * (spread @ W**2 - is_softmax * (P @ W) ** 2))
    # Constant columns stay constant: a change would give them information beside an intercept.
    X = objective.X * (objective.X[0] != objective.X).any(axis=0)
    a, b = X * (slopes[0] - slopes[1]), X**2 * (bends[0] - bends[1])
    found = float(DEVIATIONS * unit * np.sqrt((a**2).sum()) + unit**2 * abs(b).sum() / 2)
    return found if np.isfinite(found) else 0.0


def covariance(H, objective, n_classes):
    """The inverse of the information H for coefficients against the first class.

    The result are the inverse and the condition number of H with a unit diagonal, or None and
    infinity if that is above `CONDITION`.
    """
    w = objective.shape[1] + objective.fit_intercept
    H = H.astype(float)
    if n_classes > 2:
        # Logits are defined up to a constant: without a penalty add one of that direction.
        blocks = H.reshape(n_classes, w, n_classes, w)
        bare = np.append(~(objective.ridge[0] > 0), [True] * objective.fit_intercept)
        level = np.abs(np.einsum("kjkj->j", blocks)) / n_classes
        for j in np.flatnonzero(bare):
            blocks[:, j, :, j] += level[j]
    size = np.sqrt(H.diagonal())
    if not (np.isfinite(size).all() and (size > 0).all()):
        return None, np.inf
    values, Q = np.linalg.eigh(H / np.outer(size, size))
    if not values[0] * CONDITION > values[-1]:
        return None, np.inf
    V, condition = (Q / values) @ Q.T / np.outer(size, size), values[-1] / values[0]
    if n_classes == 2:
        return V, condition
    contrasts = np.column_stack([-np.ones(n_classes - 1), np.eye(n_classes - 1)])
    contrasts = np.kron(contrasts, np.eye(w))
    return contrasts @ V @ contrasts.T, condition


def _title(warning, what="fit"):
    """The beginning of the text of a warning, with "#" for numbers."""
    text = re.sub(r"[-+0-9.e]*[0-9]", "#", str(warning.message))
    return f"{what} warned: {text[:45]}"


def _digest(value):
    """A hash of all numbers and texts in a value, for comparison before and after a call."""
    found = hashlib.blake2b()
    _feed(found, value)
    return found.hexdigest()


def _feed(found, value):
    if sp.issparse(value):
        for name in ("data", "indices", "indptr", "row", "col", "rows"):
            _feed(found, getattr(value, name, None))
    elif hasattr(value, "columns"):
        _feed(found, [value.to_numpy(), list(value.columns)])
    elif isinstance(value, np.ndarray) and value.dtype != object:
        found.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        _feed(found, list(value.items()))
    elif isinstance(value, (list, tuple, np.ndarray)):
        for item in value:
            _feed(found, item)
    else:
        found.update(repr(value).encode())
