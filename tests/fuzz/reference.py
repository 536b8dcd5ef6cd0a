"""The objective in extended precision, and minimisers in plain NumPy and SciPy.

Nothing here imports the package. An objective is

    F(W, b) = 1/S Σ_i s_i loss(t_i, W x_i + b + o_i) + Σ_kj l1_kj |w_kj| + ridge_kj/2 (w_kj - m_kj)²

over coefficients within bounds; a grouped penalty has l1_j ‖w_·j‖ in the place of the absolute
values. The value is a long double, computed from the columns as the user gave them. The minimisers
work on standardised columns in float64. The value at any point that they return is an upper bound
of the optimum, whether they converged or not.

Conventions
-----------
n rows, d columns, R logits. W (R, d) and b (R,) are coefficients and intercepts in the user's
columns, V and c in the standardised ones. G (R, d) and g (R,) are gradients by V and c, Z logits
(n, R), T targets (n, R) and P probabilities (n, R).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

WIDE = np.longdouble


def losses(Z, T, link):
    """The loss of each row, accurate where it is near zero, for logits Z and targets T, (n, R)."""
    if link == "sigmoids":
        tail = np.log1p(np.exp(-abs(Z)))
        return (T * (np.maximum(-Z, 0) + tail) + (1 - T) * (np.maximum(Z, 0) + tail)).sum(axis=1)
    rows, top = np.arange(len(Z)), Z.argmax(axis=1)
    below = Z[rows, top][:, None] - Z
    others = np.exp(-below)
    others[rows, top] = 0
    return np.log1p(others.sum(axis=1)) + (T * below).sum(axis=1)


def probabilities(Z, link):
    """The probabilities of logits Z (n, R), accurate where they are near zero."""
    if link == "sigmoids":
        small = np.exp(-abs(Z))
        return np.where(Z >= 0, 1, small) / (1 + small)
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    return P / P.sum(axis=1, keepdims=True)


@dataclass
class Found:
    """Coefficients in the user's columns, the objective there, and the gain of a Newton step.

    `gain` is by how much a further step would lower the objective, relative to the objective. It is
    large if the minimiser did not converge.
    """

    coef: np.ndarray
    intercept: np.ndarray
    value: np.longdouble
    gain: float


class Objective:
    """F for n rows, d columns and R logits; two classes are one sigmoid.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    T : ndarray of shape (n, R)
        Targets, smoothed.
    s : ndarray of shape (n,)
        Weights of the rows, not negative.
    link : {"sigmoids", "softmax"}
    l1, ridge, target, lower, upper : arrays that broadcast to (R, d)
    offset : ndarray of shape (n, R), default=None
    grouped, fit_intercept : bool
    """

    def __init__(
        self,
        X,
        T,
        s,
        link,
        *,
        l1=0.0,
        ridge=0.0,
        target=0.0,
        lower=-np.inf,
        upper=np.inf,
        offset=None,
        grouped=False,
        fit_intercept=True,
    ):
        kept = np.asarray(s) > 0
        self.X, self.T = np.asarray(X, WIDE)[kept], np.asarray(T, WIDE)[kept]
        self.s = np.asarray(s, WIDE)[kept]
        self.s = self.s / self.s.max()
        self.total = self.s.sum()
        self.offset = None if offset is None else np.asarray(offset, WIDE)[kept]
        self.link, self.grouped, self.fit_intercept = link, grouped, fit_intercept
        self.shape = self.T.shape[1], self.X.shape[1]
        arrays = (l1, ridge, target, lower, upper)
        wide = [np.broadcast_to(np.asarray(array, WIDE), self.shape) for array in arrays]
        self.l1, self.ridge, self.target, self.lower, self.upper = wide
        self._standardise()

    def _standardise(self):
        share = self.s / self.total
        constant = (self.X[0] == self.X).all(axis=0) & self.fit_intercept
        # Differences from a float64 are exact, in which the columns are far from zero.
        mean = (share @ self.X).astype(float) if self.fit_intercept else np.zeros(self.shape[1])
        self.center = np.where(np.isfinite(mean), mean, 0).astype(WIDE)
        self._apart = self.X - self.center
        centered = np.where(constant, 0, self._apart)
        # Divided by the peak, because squares may overflow where long doubles are float64.
        peak = abs(centered).max(axis=0)
        peak = np.where(peak > 0, peak, 1)
        size = peak * np.sqrt(share @ (centered / peak) ** 2)
        self.scale = np.where(size > 0, size, 1)
        self._X = (centered / self.scale).astype(float)
        self._T, self._share = self.T.astype(float), share.astype(float)
        self._offset = None if self.offset is None else self.offset.astype(float)
        with np.errstate(over="ignore"):
            self._l1 = (self.l1 / self.scale).astype(float)
            self._ridge = (self.ridge / self.scale**2).astype(float)
            self._target, self._lower, self._upper = (
                (array * self.scale).astype(float)
                for array in (self.target, self.lower, self.upper)
            )
        # Coefficients of columns that change nothing: constant ones beside an intercept, and zeros.
        self._idle = (constant[None] | (size == 0)[None]) & (self._ridge == 0) & (self._l1 == 0)

    def with_columns(self, X):
        """The objective of the rows that weigh anything, for other values of the columns."""
        return self._with(X, self.T)

    def _with(self, X, T, kind=None, **more):
        """The objective with other columns and targets, of the class `kind` if one is given."""
        arrays = ("l1", "ridge", "target", "lower", "upper", "offset", "grouped", "fit_intercept")
        given = {name: getattr(self, name) for name in arrays}
        return (kind or type(self))(X, T, self.s, self.link, **given, **more)

    def _losses(self, Z, T):
        """The loss of each row with logits Z."""
        return losses(Z, T, self.link)

    def _targets(self, Z, T):
        """The targets (n, R); probabilities minus these are the derivatives of the losses by Z."""
        return T

    @property
    def is_smooth(self):
        return not self.l1.any() and np.isinf(self.lower).all() and np.isinf(self.upper).all()

    def logits(self, W, b):
        W = np.asarray(W, WIDE)
        # The shift by the centres is added to the intercept, where it is rounded once.
        Z = self._apart @ W.T + (np.asarray(b, WIDE) + W @ self.center)
        return Z if self.offset is None else Z + self.offset

    def value(self, W, b):
        """F in extended precision, from the columns as they were given."""
        W = np.asarray(W, WIDE)
        loss = self.s @ self._losses(self.logits(W, b), self.T) / self.total
        away = np.where(self.ridge > 0, W - self.target, 0)
        size = np.sqrt((W**2).sum(axis=0)) if self.grouped else abs(W)
        l1 = self.l1[0] if self.grouped else self.l1
        return loss + (self.ridge * away**2).sum() / 2 + np.where(l1 > 0, l1 * size, 0).sum()

    def loss_gradient(self, W, b):
        """The gradients of the loss without the penalty by W and by b, in extended precision."""
        P = probabilities(self.logits(W, b), self.link)
        residual = (P - self._targets(self.logits(W, b), self.T)) * (self.s / self.total)[:, None]
        return residual.T @ self.X, residual.sum(axis=0)

    # Standardised columns, float64.

    def _to_standard(self, W, b):
        W, b = np.asarray(W, WIDE), np.asarray(b, WIDE)
        V = np.clip((W * self.scale).astype(float), self._lower, self._upper)
        return V, (b + W @ self.center).astype(float) * self.fit_intercept

    def _from_standard(self, V, c, gain):
        W = np.clip(np.asarray(V, WIDE) / self.scale, self.lower, self.upper)
        b = (np.asarray(c, WIDE) - W @ self.center) * self.fit_intercept
        return Found(W, b, self.value(W, b), gain)

    def _loss(self, V, c):
        """The loss, its gradients G and g by V and c, and the probabilities."""
        Z = self._X @ V.T + c
        Z = Z if self._offset is None else Z + self._offset
        P = probabilities(Z, self.link)
        residual = (P - self._targets(Z, self._T)) * self._share[:, None]
        value = self._share @ self._losses(Z, self._T)
        return value, residual.T @ self._X, residual.sum(axis=0) * self.fit_intercept, P

    def _penalty(self, V):
        away = np.where(self._ridge > 0, V - self._target, 0)
        if self.grouped:
            l1 = (self._l1[0] * np.sqrt((V**2).sum(axis=0))).sum()
        else:
            l1 = (self._l1 * abs(V)).sum()
        return (self._ridge * away**2).sum() / 2 + l1

    def _total(self, V, c):
        return self._loss(V, c)[0] + self._penalty(V)

    def _proximal(self, A, step):
        """The minimum over V, within the bounds, of step * penalty(V) + ½‖V - A‖²."""
        ridge = step * self._ridge
        A = A + np.where(ridge > 0, ridge * self._target, 0)
        if self.grouped:
            length = np.sqrt((A**2).sum(axis=0))
            A = A * np.maximum(1 - step * self._l1[0] / np.where(length > 0, length, 1), 0)
        else:
            A = np.sign(A) * np.maximum(abs(A) - step * self._l1, 0)
        return np.clip(A / (1 + ridge), self._lower, self._upper)

    def _accelerated(self, V, c, rounds):
        """The point after `rounds` accelerated proximal gradient steps (Beck & Teboulle 2009)."""
        V = self._proximal(V, 0.0)
        value, momentum, L = self._total(V, c), 1.0, 0.5
        Y, e = V, c
        idle = 0
        for _ in range(rounds):
            loss, G, g, _ = self._loss(Y, e)
            while True:
                V1, c1 = self._proximal(Y - G / L, 1 / L), e - g / L
                after = self._loss(V1, c1)[0]
                dV, dc = V1 - Y, c1 - e
                model = loss + (G * dV).sum() + g @ dc + L / 2 * ((dV**2).sum() + dc @ dc)
                if after <= model + 1e-15 * abs(loss) or L > 1e12:
                    break
                L *= 2
            new = after + self._penalty(V1)
            if not new < value:
                momentum, idle, Y, e = 1.0, idle + 1, V, c
            else:
                idle = idle + 1 if value - new < 1e-16 * value else 0
                following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
                beta = (momentum - 1) / following
                Y, e = V1 + beta * (V1 - V), c1 + beta * (c1 - c)
                V, c, value, momentum = V1, c1, new, following
            if idle > 2:
                break
            L *= 0.95
        return V, c

    def _held(self, V, G):
        """Which coefficients stay at zero or at a bound, because their subgradient says so."""
        if self.grouped:
            held = np.broadcast_to(~V.any(axis=0), V.shape) & (self._l1[0] > 0)
        else:
            held = (V == 0) & (abs(G) <= self._l1)
            held &= self._l1 > 0
        with np.errstate(invalid="ignore"):
            slope = G + np.where(self.grouped, 0, self._l1 * np.sign(V))
        held = held | ((self._lower >= V) & (slope >= 0)) | ((self._upper <= V) & (slope <= 0))
        return held | (self._lower == self._upper) | self._idle

    def _newton_step(self, V, G, g, P, held):
        """A Newton step over the coefficients that are not held.

        G and g are gradients with the penalty. The results are the steps of V and of c, and by how
        much the quadratic model falls.
        """
        R, d = self.shape
        X = np.column_stack([self._X, np.ones(len(self._X))]) if self.fit_intercept else self._X
        w = X.shape[1]
        H = np.zeros((R, w, R, w))
        spread = P * (1 - P) if self.link == "sigmoids" else P
        if self.link == "softmax":
            Y = (X[:, None] * (P * np.sqrt(self._share)[:, None])[:, :, None]).reshape(len(X), -1)
            H -= (Y.T @ Y).reshape(H.shape)
        for k in range(R):
            H[k, :, k] += (X * (self._share * spread[:, k])[:, None]).T @ X
            H[k, range(d), k, range(d)] += self._ridge[k]
        if self.grouped:
            length = np.sqrt((V**2).sum(axis=0))
            for j in np.flatnonzero((length > 0) & (self._l1[0] > 0)):
                u = V[:, j] / length[j]
                H[:, j, :, j] += self._l1[0, j] / length[j] * (np.eye(R) - np.outer(u, u))
        free = ~held
        if self.link == "softmax":
            self._add_curvature_of_shifts(H, free)
        if self.fit_intercept:
            G, free = np.column_stack([G, g]), np.column_stack([free, np.ones((R, 1), bool)])
        step = np.zeros(free.shape)
        if not free.any():
            return step[:, :d], np.zeros(R), 0.0
        at = np.flatnonzero(free)
        H = H.reshape(R * w, R * w)[np.ix_(at, at)]
        size = np.sqrt(np.where(H.diagonal() > 0, H.diagonal(), 1))
        H = H / size[:, None] / size
        if not np.isfinite(H).all():
            return step[:, :d], np.zeros(R), np.nan
        try:
            values, Q = np.linalg.eigh(H)
        except np.linalg.LinAlgError:  # LAPACK's iterations did not converge: nothing is known
            return step[:, :d], np.zeros(R), np.nan
        q = Q.T @ (G[free] / size)
        # Along eigenvectors without curvature the loss has no slope. If the L1 penalty has one, it
        # falls until a coefficient becomes zero or meets a bound.
        solid = values > 4e-16 * len(values) * values[-1]
        slope = np.where(solid, 0, q)
        l1 = np.zeros(free.shape)
        l1[:, :d] = self._l1
        if self._l1.any() and abs(slope).max() > 1e-6 * (l1[free] / size).max():
            step[free] = -(Q @ slope) / size
            reach = self._reach(V, step[:, :d])
            if np.isfinite(reach):
                step *= reach
                gain = -(step * G).sum()
                return step[:, :d], step[:, d] if self.fit_intercept else np.zeros(R), gain
            step[:] = 0
        step[free] = -(Q @ np.where(solid, q / np.where(solid, values, 1), 0)) / size
        gain = -(step * G).sum() / 2
        return step[:, :d], step[:, d] if self.fit_intercept else np.zeros(R), gain

    def _add_curvature_of_shifts(self, H, free):
        """Give steps that add a number to all logits of H (R, w, R, w) curvature.

        They change neither the loss nor, for columns without a penalty, F. Without curvature the
        rounding of the gradient would make them large.
        """
        bare = ~(self._l1.any(axis=0) | self._ridge.any(axis=0)) & free.all(axis=0)
        for j in np.append(np.flatnonzero(bare), [self.shape[1]] * self.fit_intercept).astype(int):
            H[:, j, :, j] += abs(H[:, j, :, j]).max()

    def _reach(self, V, step):
        """The multiple of a step at which the first coefficient becomes zero or meets a bound."""
        ends = [np.where((self._l1 > 0) & (V * step < 0), -V / step, np.inf)]
        ends += [
            np.where((bound - V) * step > 0, (bound - V) / step, np.inf)
            for bound in (self._lower, self._upper)
        ]
        return np.nanmin(ends)

    def _moved(self, V, G, step):
        """V after a step; coefficients stop at bounds, and at zero if they would change sign."""
        new = np.clip(V + step, self._lower, self._upper)
        if not self.grouped:
            sign = np.where(V != 0, np.sign(V), -np.sign(G))
            new = np.where((self._l1 > 0) & (new * sign < 0), 0, new)
            new = np.clip(new, self._lower, self._upper)
        return new

    def _polished(self, V, c, rounds=60):
        """The point that Newton's method reaches, and the relative gain of a further step."""
        value = self._total(V, c)
        gain = np.inf
        for _ in range(rounds):
            if not self.is_smooth:
                V1, c1 = self._accelerated(V, c, 6)
                if self._total(V1, c1) <= value:
                    V, c = V1, c1
            loss, G, g, P = self._loss(V, c)
            value = loss + self._penalty(V)
            G = G + np.where(self._ridge > 0, self._ridge * (V - self._target), 0)
            held = self._held(V, G)
            if self.grouped:
                length = np.sqrt((V**2).sum(axis=0))
                along = G + self._l1[0] * V / np.where(length > 0, length, 1)
            else:
                along = G + self._l1 * np.where(V != 0, np.sign(V), -np.sign(G))
            step, c_step, gain = self._newton_step(V, along, g, P, held)
            if not gain > 1e-18 * value:
                gain = np.inf if np.isnan(gain) else gain
                break
            for halvings in range(40):
                t = 0.5**halvings
                V1, c1 = self._moved(V, G, t * step), c + t * c_step
                new = self._total(V1, c1)
                if new < value or (new <= value * (1 + 4e-16) and gain < 1e-13 * value):
                    break
                if t * gain < 1e-17 * value:  # smaller than the rounding of a value
                    return V, c, float(gain / value)
            else:
                break
            V, c = V1, c1
            if new >= value and gain < 1e-15 * value:
                break
        return V, c, float(gain / value) if value > 0 else 0.0

    def polished(self, W, b):
        """The `Found` at (W, b) or where Newton's method leads from there, whichever is lower."""
        with np.errstate(all="ignore"):
            start = Found(
                np.clip(np.asarray(W, WIDE), self.lower, self.upper),
                np.asarray(b, WIDE),
                self.value(np.clip(W, self.lower, self.upper), b),
                np.inf,
            )
            if not (np.isfinite(start.coef).all() and np.isfinite(start.intercept).all()):
                return start
            found = self._from_standard(*self._polished(*self._to_standard(W, b)))
        if found.value <= start.value:
            return found
        # A slightly higher end is rounding; after a much higher one nothing is known of the gain.
        start.gain = found.gain if found.value - start.value < 1e-9 * start.value else np.inf
        return start

    def cold(self):
        """The minimum from coefficients of zero, which does not depend on the package."""
        V, c = np.zeros(self.shape), np.zeros(self.shape[0])
        with np.errstate(all="ignore"):
            if self.grouped:
                V, c = self._accelerated(V, c, 400)
            elif not self.is_smooth:
                V, c = self._by_lbfgs(V, c)
            return self._from_standard(*self._polished(np.clip(V, self._lower, self._upper), c))

    def _by_lbfgs(self, V, c, max_iter=400):
        """The point that L-BFGS-B reaches.

        Each coefficient is the difference of two variables that are zero or more, so that the L1
        penalty is smooth.
        """
        R, d = self.shape
        V = np.clip(V, self._lower, self._upper)

        def split(x):
            return x[: R * d].reshape(R, d), x[R * d : 2 * R * d].reshape(R, d), x[2 * R * d :]

        def value_and_gradient(x):
            up, down, c = split(x)
            loss, G, g, _ = self._loss(up - down, c)
            away = np.where(self._ridge > 0, up - down - self._target, 0)
            G = G + self._ridge * away
            total = loss + (self._ridge * away**2).sum() / 2 + (self._l1 * (up + down)).sum()
            return total, np.concatenate([(self._l1 + G).ravel(), (self._l1 - G).ravel(), g])

        low, high = self._lower.ravel(), self._upper.ravel()
        bounds = [
            *zip(np.maximum(low, 0), np.maximum(high, 0), strict=True),
            *zip(np.maximum(-high, 0), np.maximum(-low, 0), strict=True),
            *[(-np.inf, np.inf)] * R,
        ]
        x = np.concatenate([np.maximum(V, 0).ravel(), np.maximum(-V, 0).ravel(), c])
        options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": 1e-15, "gtol": 1e-12}
        found = minimize(
            value_and_gradient, x, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        up, down, c = split(found.x)
        return up - down, c

    def by_first_order(self):
        """The minimum from zero by methods that use gradients only, unlike `polished`."""
        V, c = np.zeros(self.shape), np.zeros(self.shape[0])
        with np.errstate(all="ignore"):
            if self.grouped:
                V, c = self._accelerated(V, c, 20_000)
            else:
                V, c = self._by_lbfgs(V, c, 4000)
        return self._from_standard(V, c, np.inf)

    def information(self, W, b):
        """The second derivative of S F by the coefficients and the intercept of each logit.

        The shape is (R w, R w), with w = d, or d + 1 with an intercept. S is the sum of the weights
        divided by the largest weight.
        """
        X = np.column_stack([self.X, np.ones(len(self.X))]) if self.fit_intercept else self.X
        Z = self.logits(W, b)
        P = probabilities(Z, self.link)
        R, w = self.shape[0], X.shape[1]
        # 1 - p, computed without the cancellation for p near one.
        if self.link == "softmax":
            others = [np.delete(P, k, axis=1).sum(axis=1) for k in range(R)]
        else:
            others = list(probabilities(-Z, self.link).T)
        H = np.zeros((R, w, R, w), WIDE)
        for k in range(R):
            for m in range(R):
                if k == m or self.link == "softmax":
                    curvature = self.s * P[:, k] * (others[k] if k == m else -P[:, m])
                    H[k, :, m] = (X * curvature[:, None]).T @ X
            H[k, range(self.shape[1]), k, range(self.shape[1])] += self.ridge[k] * self.total
        return H.reshape(R * w, R * w)
