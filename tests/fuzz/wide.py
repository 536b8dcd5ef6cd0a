"""The objective of wide problems, with many more columns than rows, by problems of few columns.

A ridge problem has coefficients that are combinations of the rows. With A the columns divided by
the roots of their ridges, and A = L Q for Q with orthonormal rows, it is the problem of the columns
of L, which are as many as rows, with a ridge of one. Under an L1 penalty, the columns whose
coefficients are not zero are enough; others are added until the subgradients of all allow zero.
"""

import numpy as np

from .reference import WIDE, Found, Objective

# A column is added if its gradient is above the L1 penalty by this share.
VIOLATION = 1e-9
# Most columns that are added at once, and most coefficients for Newton's method.
MOST_ADDED, MOST_COEFFICIENTS = 100, 900


class WideObjective(Objective):
    def polished(self, W, b):
        with np.errstate(all="ignore"):
            W = np.clip(np.asarray(W, WIDE), self.lower, self.upper)
            b = np.asarray(b, WIDE)
            start = Found(W, b, self.value(W, b), np.inf)
            if not (np.isfinite(W).all() and np.isfinite(b).all()):
                return start
            is_reduced = self.is_smooth and (self.ridge[0] == self.ridge).all()
            found = self._by_rows(W, b) if is_reduced else self._by_columns(W, b)
        if found.value <= start.value:
            return found
        start.gain = found.gain if found.value - start.value < 1e-9 * start.value else np.inf
        return start

    def cold(self):
        return self.polished(np.zeros(self.shape), np.zeros(self.shape[0]))

    def _by_rows(self, W, b):
        """The optimum under a ridge, by the problem of the columns of L and of those without ridge.

        Newton's method starts at the projection of (W, b).
        """
        root = np.sqrt(self.ridge[0])
        has_ridge = root > 0
        target, root = self.target[:, has_ridge], root[has_ridge]
        Q, Lt = np.linalg.qr((self.X[:, has_ridge] / root).T.astype(float))
        free = ~has_ridge & self.X.any(axis=0)
        small = Objective(
            np.hstack([Lt.T, self.X[:, free]]),
            self.T,
            self.s,
            self.link,
            ridge=np.append(np.ones(Lt.shape[1]), np.zeros(free.sum())),
            offset=(0 if self.offset is None else self.offset) + self.X[:, has_ridge] @ target.T,
            fit_intercept=self.fit_intercept,
        )
        V = ((W[:, has_ridge] - target) * root) @ Q
        found = small.polished(np.hstack([V, W[:, free]]), b)
        coef = W.copy()
        k = Lt.shape[1]
        coef[:, has_ridge] = target + (found.coef[:, :k] @ Q.T) / root
        coef[:, free] = found.coef[:, k:]
        return Found(coef, found.intercept, self.value(coef, found.intercept), found.gain)

    def _by_columns(self, W, b, rounds=10):
        """The point that descents over columns reach that are not zero, or should not be."""
        kept = W.any(axis=0) | (self.lower > 0).any(axis=0) | (self.upper < 0).any(axis=0)
        found = Found(W, b, self.value(W, b), np.inf)
        for _ in range(rounds):
            added = self._violating(found, kept)
            kept[added] = True
            if np.isfinite(found.gain) and not len(added):
                break
            if not kept.any():
                kept[0] = True
            small, coef = self._of(kept), np.zeros(self.shape, WIDE)
            if kept.sum() * self.shape[0] <= MOST_COEFFICIENTS:
                part = small.polished(found.coef[:, kept], found.intercept)
            else:
                V, c = small._to_standard(found.coef[:, kept], found.intercept)
                descend = small._accelerated if self.grouped else small._by_lbfgs
                part = small._from_standard(*descend(V, c, 200), np.inf)
            coef[:, kept] = part.coef
            found = Found(coef, part.intercept, self.value(coef, part.intercept), part.gain)
            if np.isinf(part.gain) and not len(added):
                break
        return found

    def _violating(self, found, kept):
        """Positions of columns not `kept`, at most `MOST_ADDED`, whose zeros are not optimal."""
        G, _ = self.loss_gradient(found.coef, found.intercept)
        G = G - self.ridge * self.target
        if self.grouped:
            excess = np.sqrt((G**2).sum(axis=0)) / self.l1[0]
        else:
            blocked = ((G > 0) & (self.lower >= 0)) | ((G < 0) & (self.upper <= 0))
            excess = np.where(blocked, 0, abs(G) / self.l1).max(axis=0)
        # Without penalty 0/0 is a column of zeros.
        excess = np.where(kept | np.isnan(excess), 0, excess)
        worst = np.argsort(-excess)[:MOST_ADDED]
        return worst[excess[worst] > 1 + VIOLATION]

    def _of(self, kept):
        """The objective of some columns; the coefficients of others are zero."""
        arrays = ("l1", "ridge", "target", "lower", "upper")
        given = {name: getattr(self, name)[:, kept] for name in arrays}
        return Objective(
            self.X[:, kept],
            self.T,
            self.s,
            self.link,
            offset=self.offset,
            grouped=self.grouped,
            fit_intercept=self.fit_intercept,
            **given,
        )
