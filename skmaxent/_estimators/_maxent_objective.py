"""MaxentObjective: the function that MaxentClassifier minimises, on flat vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._input._numbers import as_floats
from skmaxent._input._read import read
from skmaxent._input._settings import Settings
from skmaxent._input._training_data import TrainingData
from skmaxent._objective._moments import column_moments
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import STRONGEST, Ridge
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._public import public
from skmaxent._sklearn import check_parameters
from skmaxent._solvers import Evaluation, PreconditionedProblem, Problem
from skmaxent._storage._arrays import memory_bytes
from skmaxent._storage._standardisation import Standardisation
from skmaxent._storage._threads import Workers
from skmaxent._typing import Array


class FlatObjective(ABC):
    """A function of vectors with its derivatives, which keeps the results at the last vector.

    Attributes
    ----------
    x0 : ndarray of shape (n_parameters,)
        A start: the vector of the model without features.
    n_parameters : int
        Length of the vectors.
    """

    x0: Array
    n_parameters: int

    def __init__(self) -> None:
        self._last: Evaluation | None = None

    @abstractmethod
    def _evaluate(self, x: Array) -> Evaluation:
        """Return the value and the gradient at x, (n_parameters,)."""

    @abstractmethod
    def _product(self, at: Evaluation, v: Array) -> Array:
        """Return the Hessian at the evaluated vector times v, (n_parameters,)."""

    @abstractmethod
    def _hessian(self, at: Evaluation) -> Array:
        """Return the Hessian at the evaluated vector, (n_parameters, n_parameters)."""

    @abstractmethod
    def _coefficients(self, x: Array) -> tuple[Array, Array]:
        """Return the coefficients (n_logits, n_features) and intercepts (n_logits,) in x."""

    def _checked(self, x: ArrayLike, name: str) -> Array:
        """Return x as a float64 vector; raise ValueError if its shape is wrong."""
        vector = as_floats(x).copy()
        if vector.shape != (self.n_parameters,):
            raise ValueError(
                f"{name} has the shape {vector.shape}; expected ({self.n_parameters},), the shape "
                "of x0."
            )
        return vector

    def _at(self, x: ArrayLike) -> Evaluation:
        """Return the value and the gradient at x; they are computed once for the same x."""
        vector = self._checked(x, "x")
        if self._last is None or not np.array_equal(self._last.u, vector):
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                self._last = self._evaluate(vector)
        return self._last

    def fun(self, x: ArrayLike) -> float:
        """Return the value of the objective.

        Parameters
        ----------
        x : array-like of shape (n_parameters,)
            The vector; see `unflatten` for what it holds.

        Returns
        -------
        float
        """
        return self._at(x).value

    def grad(self, x: ArrayLike) -> Array:
        """Return the gradient of the objective.

        Parameters
        ----------
        x : array-like of shape (n_parameters,)
            The vector; see `unflatten` for what it holds.

        Returns
        -------
        ndarray of shape (n_parameters,)
        """
        return self._at(x).gradient.copy()

    def fun_and_grad(self, x: ArrayLike) -> tuple[float, Array]:
        """Return the value and the gradient, for ``scipy.optimize.minimize(..., jac=True)``.

        Parameters
        ----------
        x : array-like of shape (n_parameters,)
            The vector; see `unflatten` for what it holds.

        Returns
        -------
        value : float
        gradient : ndarray of shape (n_parameters,)
        """
        return self.fun(x), self.grad(x)

    def hessp(self, x: ArrayLike, p: ArrayLike) -> Array:
        """Return the product of the Hessian with a vector, by one pass over X.

        Parameters
        ----------
        x : array-like of shape (n_parameters,)
            Where the Hessian is taken.
        p : array-like of shape (n_parameters,)
            The vector.

        Returns
        -------
        ndarray of shape (n_parameters,)
        """
        return self._product(self._at(x), self._checked(p, "p"))

    def hess(self, x: ArrayLike) -> Array:
        """Return the Hessian, for small problems.

        Parameters
        ----------
        x : array-like of shape (n_parameters,)
            The vector; see `unflatten` for what it holds.

        Returns
        -------
        ndarray of shape (n_parameters, n_parameters)

        Raises
        ------
        MemoryError
            If the matrix and its working copies exceed the memory; the message has the bytes.
        """
        needed = 3 * 8 * self.n_parameters**2
        if needed > memory_bytes():
            raise MemoryError(
                f"the Hessian of {self.n_parameters:,} parameters needs {needed:,} bytes; this "
                f"process may use {int(memory_bytes()):,} bytes of memory. Use hessp, which needs "
                "no matrix."
            )
        return self._hessian(self._at(x))

    def unflatten(self, x: ArrayLike) -> tuple[Array, Array]:
        """Return the coefficients and intercepts of a vector.

        Parameters
        ----------
        x : array-like of shape (n_parameters,)
            The vector. For a `MaxentObjective` it holds the coefficients, class after class, and
            then the intercepts if there are any. The entries of a preconditioned vector have no
            meaning of their own.

        Returns
        -------
        coef : ndarray of shape (n_logits, n_features)
            As `MaxentClassifier.coef_`.
        intercept : ndarray of shape (n_logits,)
            As `MaxentClassifier.intercept_`; zeros where ``fit_intercept=False``.
        """
        return self._coefficients(self._checked(x, "x"))


@public
class MaxentObjective(FlatObjective):
    """The objective that `MaxentClassifier` minimises, for other optimisers.

    With S the sum of the row weights s_i, the objective is

        F(W, b) = 1/S Σ_i s_i [logsumexp(W x_i + b) - (W x_i + b)_{y_i}]
                  + alpha/2 Σ_kj f_kj (w_kj - m_kj)²  with  alpha = 1/(C S),

    the mean loss of the rows and the penalty divided by C S. With `standardize` the f_kj are
    multiplied by the variance of column j. The coefficients W belong to the
    columns of X as they are. The user guide of scikit-learn writes the objective of
    `LogisticRegression` in the same way. LIBLINEAR minimises ``C * S * F`` instead. Two classes
    have one logit, and K > 2 classes have K logits.

    The methods take a vector x, which holds the coefficients, class after class, and then the
    intercepts. F has derivatives everywhere, because there are no L1 penalty and no bounds.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        As in `MaxentClassifier.fit`, data frames and Dask collections included.
    y : array-like of shape (n_samples,), or table of shape (n_samples, n_classes)
        Class labels, or counts or shares of the classes.
    C : float, default=1.0
        Inverse strength of the ridge penalty, positive; ``np.inf`` is no penalty.
    alpha : float, default=None
        Instead of `C`, the factor 1/(C S) of the penalty, 0 or more.
    standardize : bool, default=False
        Whether the penalty is that of the coefficients of standardised columns, as in
        `MaxentClassifier`.
    penalty_factor : array-like of shape (n_features,) or (n_classes, n_features), or dict, \
            default=None
        Finite factors f of the penalty, as in `MaxentClassifier`.
    prior_coef : array-like, DataFrame or fitted model, default=None
        Coefficients m that the penalty shrinks towards, as in `MaxentClassifier`.
    fit_intercept : bool, default=True
        Whether each logit has an intercept; it is not penalised.
    class_weight : dict or "balanced", default=None
        Weights of the classes, multiplied with `sample_weight`.
    label_smoothing : float, default=0.0
        Share of each observation that is spread evenly over all classes.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    offset : array-like of shape (n_samples, n_classes), or (n_samples,) for two classes
        Known part of the logits.

    Attributes
    ----------
    x0 : ndarray of shape (n_parameters,)
        A start: coefficients of zero, and the intercepts that give the classes their shares.
    n_parameters : int
        Length of x.
    classes : ndarray of shape (n_classes,)
        Class labels, sorted.

    Raises
    ------
    ValueError
        If `MaxentClassifier` would raise for the same input, if a factor is infinite, or if a class
        has no row of positive weight.

    See Also
    --------
    MaxentClassifier : Minimises this objective.
    cross_entropy : The mean loss as a function of logits.

    Notes
    -----
    The value and the gradient together need one pass over X, and a Hessian product needs another.
    The object keeps the result for the vector that was evaluated last, so that `fun` and `grad` at
    the same x need one pass. Blocks of rows are read one after the other. Matrix products use the
    threads of BLAS.

    For weights of one, the gradient with respect to the coefficients is (P - T)ᵀ X/S plus that of
    the penalty, with P the probabilities and T the targets. F is convex. Gradient methods
    therefore converge to the minimum if their steps are short enough. Their speed depends on the
    units and the correlation of the features; `preconditioned` removes this dependence.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import check_grad, minimize
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier, MaxentObjective
    >>> X, y = load_iris(return_X_y=True)
    >>> objective = MaxentObjective(X, y)
    >>> bool(check_grad(objective.fun, objective.grad, objective.x0) < 1e-6)
    True
    >>> found = minimize(objective.fun_and_grad, objective.x0, jac=True, tol=1e-8)
    >>> coef, intercept = objective.unflatten(found.x)
    >>> bool(np.allclose(coef, MaxentClassifier().fit(X, y).coef_, atol=1e-4))
    True
    """

    def __init__(
        self,
        X: Any,
        y: ArrayLike,
        *,
        C: float = 1.0,
        alpha: float | None = None,
        standardize: bool = False,
        penalty_factor: Any = None,
        prior_coef: Any = None,
        fit_intercept: bool = True,
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> None:
        super().__init__()
        reader = MaxentClassifier(
            C=C,
            alpha=alpha,
            standardize=standardize,
            penalty_factor=penalty_factor,
            prior_coef=prior_coef,
            fit_intercept=fit_intercept,
            class_weight=class_weight,
            label_smoothing=label_smoothing,
        )
        check_parameters(reader)
        settings = Settings.of(reader)
        data = read(settings, reader, X, y, sample_weight, offset)
        terms = settings.terms(data)
        _check_terms_and_classes(terms, data)
        self.classes = data.classes
        blocks = data.storage(Workers())
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            self._moments = column_moments(blocks, data.likelihood)
        if not np.isfinite(self._moments.mean_square.sum()):
            blocks.check_finite()
        if standardize:
            terms = terms.for_standardised(self._moments.deviations)
        strength = settings.alpha
        if settings.C is not None:
            strength = min(1.0 / settings.C, STRONGEST) / data.scale / blocks.weight_sums.total
        assert strength is not None
        self._terms = terms.times(strength)
        self._penalty = self._terms.whole_penalty()
        self._loss = MultinomialObjective(
            blocks,
            data.likelihood,
            Ridge(np.zeros(blocks.n_features)),
            Standardisation.of(blocks.n_features, fit_intercept=fit_intercept),
        )
        start = self._loss.zeros()
        start[:, -1] = data.likelihood.null_intercept(self._moments.shares)
        self.x0 = self._flat(start)
        self.n_parameters = len(self.x0)

    def preconditioned(self) -> PreconditionedObjective:
        """Return the objective as a function of preconditioned vectors u, which start at zero.

        The coefficients of centred and scaled columns are θ = θ₀ + L u, and the methods take the
        vector u. θ₀ is the model without features, and L Lᵀ is the inverse of the Hessian of this
        model, or of the diagonal of that Hessian if there are more than 2,000 features. The speed
        of gradient methods then does not depend on the units of the features, nor, with the whole
        Hessian, on their correlation.

        Returns
        -------
        PreconditionedObjective
            With `fun`, `grad`, `fun_and_grad`, `hessp`, `hess`, `x0`, `n_parameters` and
            `unflatten`.

        Raises
        ------
        ValueError
            If the squares of a column are not finite.
        """
        return PreconditionedObjective(self)

    def flatten(self, coef: ArrayLike, intercept: ArrayLike = 0.0) -> Array:
        """Return the vector x of coefficients and intercepts.

        Parameters
        ----------
        coef : array-like of shape (n_logits, n_features)
            As `MaxentClassifier.coef_`.
        intercept : array-like of shape (n_logits,), default=0.0
            As `MaxentClassifier.intercept_`; zeros where ``fit_intercept=False``.

        Returns
        -------
        ndarray of shape (n_parameters,)

        Raises
        ------
        ValueError
            If `coef` or `intercept` has another shape, or an intercept is not zero with
            ``fit_intercept=False``.
        """
        theta = self._loss.zeros()
        coef = as_floats(coef)
        if coef.shape != theta[:, :-1].shape:
            raise ValueError(f"coef has the shape {coef.shape}; expected {theta[:, :-1].shape}.")
        intercept = as_floats(intercept)
        if intercept.shape not in ((), theta[:, -1].shape):
            raise ValueError(
                f"intercept has the shape {intercept.shape}; expected {theta[:, -1].shape}."
            )
        theta[:, :-1] = coef
        theta[:, -1] = intercept
        if not self._loss.fit_intercept and theta[:, -1].any():
            raise ValueError("fit_intercept=False: expected intercept=0, found other numbers.")
        return self._flat(theta)

    def _flat(self, theta: Array) -> Array:
        """Return θ, of shape (n_logits, n_features + 1), as a vector in the order of `flatten`."""
        coef = theta[:, :-1].ravel()
        return np.concatenate([coef, theta[:, -1]]) if self._loss.fit_intercept else coef

    def _theta(self, x: Array) -> Array:
        """Return θ, of shape (n_logits, n_features + 1), from a vector; inverse of `_flat`."""
        theta = self._loss.zeros()
        size = theta[:, :-1].size
        theta[:, :-1] = x[:size].reshape(theta[:, :-1].shape)
        if self._loss.fit_intercept:
            theta[:, -1] = x[size:]
        return theta

    def _coefficients(self, x: Array) -> tuple[Array, Array]:
        theta = self._theta(x)
        return np.ascontiguousarray(theta[:, :-1]), theta[:, -1].copy()

    def _evaluate(self, x: Array) -> Evaluation:
        theta = self._theta(x)
        point, penalty = self._loss.at(theta), self._penalty
        gradient = point.gradient + penalty.ridge * (theta - penalty.target)
        value = point.loss + penalty.value(theta)
        return Evaluation(x, value, self._flat(gradient), point.rounding, point)

    def _product(self, at: Evaluation, v: Array) -> Array:
        V = self._theta(v)
        return self._flat(at.point.hessian_product(V) + self._penalty.ridge * V)

    def _hessian(self, at: Evaluation) -> Array:
        R, width = self._loss.shape
        r = self._loss.likelihood.n_free
        free = at.point.fisher_information().reshape(r, width, r, width)
        # The last of K logits changes probabilities as minus the sum of the others.
        contrasts = np.eye(R, r)
        contrasts[r:] = -1.0
        H = np.einsum("ka,aibj,lb->kilj", contrasts, free, contrasts, optimize=True)
        order = self._flat(np.arange(R * width).reshape(R, width)).astype(np.intp)
        H = H.reshape(R * width, -1)[np.ix_(order, order)]
        ridge = np.broadcast_to(self._penalty.ridge, (R, width))
        H.flat[:: len(H) + 1] += self._flat(ridge)
        return np.asarray(H)


class PreconditionedObjective(FlatObjective):
    """A `MaxentObjective` as a function of preconditioned vectors u, with the start u = 0.

    `MaxentObjective.preconditioned` returns it and defines u. `unflatten` converts u to the
    coefficients of the columns of X as they are.

    Parameters
    ----------
    objective : MaxentObjective
        ValueError is raised if the squares of a column of its X are not finite.
    """

    def __init__(self, objective: MaxentObjective) -> None:
        super().__init__()
        loss, moments = objective._loss, objective._moments
        if not np.isfinite(moments.mean_square.sum()):
            raise ValueError(
                "X has columns whose squares are not finite numbers: rescale them before "
                "preconditioning."
            )
        problem = Problem.of(
            loss.blocks,
            loss.likelihood,
            objective._terms,
            moments,
            fit_intercept=loss.fit_intercept,
        )
        self._problem = problem
        self._function = PreconditionedProblem(problem, problem.null.theta)
        self.n_parameters = self._function.size
        self.x0 = np.zeros(self.n_parameters)

    def _evaluate(self, x: Array) -> Evaluation:
        return self._function.at(x)

    def _product(self, at: Evaluation, v: Array) -> Array:
        return self._function.hessian_product(at, v)

    def _hessian(self, at: Evaluation) -> Array:
        return np.stack([self._function.hessian_product(at, v) for v in np.eye(self.n_parameters)])

    def _coefficients(self, x: Array) -> tuple[Array, Array]:
        coef, intercept = self._problem.coefficients(self._function.theta(x))
        return np.ascontiguousarray(coef), np.array(intercept)


def _check_terms_and_classes(terms: PenaltyTerms, data: TrainingData) -> None:
    """Raise ValueError if a penalty factor is infinite or a class has no row of positive weight."""
    # The settings of this class have no bounds; only infinite factors make some.
    if terms.lower is not None:
        raise ValueError(
            "penalty_factor is infinite for some coefficients, which removes them: expected "
            "finite factors; leave the features out of X instead."
        )
    if data.has_absent_classes:
        absent = np.delete(data.classes, data.active).tolist()
        raise ValueError(
            f"the classes {absent} have no row of positive weight (sample_weight times "
            "class_weight): expected one or more for each class; drop the rows of these "
            "classes."
        )
