"""Random problems: the data and the parameters that an estimator gets."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .columns import COLUMNS, LABELS, SPARSE_VALUES, sparse_columns
from .expected import active_classes, penalty_factors
from .reference import WIDE
from .storages import SPARSE, STORAGES

KINDS = (
    "smooth",
    "composite",
    "multilabel",
    "inference",
    "path",
    "cv",
    "partial",
    "jeffreys",
    "wide",
)
# Kinds whose problems are ordinary data: what is compared has no meaning for all but singular ones.
ORDINARY = ("inference", "cv", "partial", "jeffreys")
# Rows, columns and classes of kinds that have their own.
SHAPES = {
    "inference": ((40, 80, 150, 300), (1, 2, 3, 5, 8), (2, 2, 3, 4)),
    "cv": ((20, 40, 80, 120), (1, 2, 3, 5), (2, 2, 3, 4)),
    "partial": ((8, 15, 30, 60, 120), (1, 2, 3, 5), (2, 3, 3, 4, 5)),
    "jeffreys": ((8, 15, 30, 60, 120), (1, 1, 2, 3, 4), (2, 2, 3, 3, 4)),
    "wide": ((5, 10, 20, 40, 80, 150, 300), (2001, 2400, 3100, 5000), (2, 2, 2, 3, 3, 4, 8)),
}


@dataclass
class Problem:
    """What is fitted.

    Attributes
    ----------
    X : ndarray of shape (n, d)
        The numbers, float64 or float32; `storage` says how the estimator gets them.
    y : what `fit` gets
    shares : ndarray of shape (n, K)
        What rows say of the classes: one-hot or shares, an indicator of several labels, or, of the
        kind "partial", equal shares of the possible classes.
    counts : ndarray of shape (n,)
        Observations that a row stands for, before sample_weight.
    sample_weight, offset : ndarray or None
        The offset has a column for each logit of the reference.
    labels : list
        Names of the classes.
    parameters : dict
        Of the estimator.
    """

    kind: str
    seed: int
    X: Any
    y: Any = None
    shares: Any = None
    counts: Any = None
    sample_weight: Any = None
    offset: Any = None
    labels: Any = None
    storage: str = "C"
    parameters: dict = field(default_factory=dict)
    tags: list = field(default_factory=list)

    @property
    def is_multilabel(self):
        return self.kind == "multilabel"

    @property
    def n_classes(self):
        return self.shares.shape[1]

    def __str__(self):
        n, d = self.X.shape
        shown = {k: v if np.ndim(v) == 0 else "array" for k, v in self.parameters.items()}
        return f"n={n} d={d} K={self.n_classes} {self.storage} {' '.join(self.tags)} {shown}"


def random_problem(kind, seed):
    """The problem of a kind with that seed; the kind "all" takes the kinds in turn."""
    if kind == "all":
        kind = KINDS[seed % len(KINDS)]
    rng = np.random.default_rng([KINDS.index(kind), seed])
    return (_WideDraw if kind == "wide" else _Draw)(kind, seed, rng).problem()


class _Draw:
    """One problem in the making: each method draws one part of it."""

    def __init__(self, kind, seed, rng):
        self.rng, self.kind = rng, kind
        self.tags = []
        self.made = Problem(kind, seed, X=None, tags=self.tags)

    @property
    def is_ordinary(self):
        return self.kind in ORDINARY

    @property
    def may_be_bounded(self):
        return self.kind in ("composite", "path", "cv", "partial", "wide")

    def chance(self, probability):
        return bool(self.rng.random() < probability)

    def pick(self, *options):
        return options[self.rng.integers(len(options))]

    def problem(self):
        made = self.made
        n, d, K = self._shape()
        X = self._columns(n, d)
        dtype = np.float32 if self.chance(0.15) else np.float64
        with np.errstate(over="ignore", under="ignore"):
            X = X.astype(dtype)
        if not np.isfinite(X).all():
            X = np.clip(X, -1e30, 1e30)
        made.X = np.ascontiguousarray(X)
        if dtype == np.float32:
            self.tags.append("float32")
        made.storage = self._storage()
        if self.kind == "multilabel":
            self._several_labels(K)
        elif self.kind == "partial":
            self._sets(K)
        else:
            self._classes(K)
        self._weights()
        if self.kind != "multilabel":
            self._offset()
            self._class_weight()
        self._penalty()
        self._options()
        return made

    def _shape(self):
        n = self.pick(2, 3, 5, 8, 15, 30, 60, 120, 250)
        d = self.pick(1, 1, 2, 3, 5, 8, 13, 20, 40)
        K = self.pick(2, 2, 2, 3, 3, 4, 5, 8, 12)
        if self.kind in SHAPES:
            n, d, K = (self.pick(*options) for options in SHAPES[self.kind])
        elif self.chance(0.03) and n <= 15:
            K = n
        K = max(2, min(n, K))
        return n, max(1, min(d, 160 // K)), K

    def _storage(self):
        return self.pick(*STORAGES) if self.chance(0.5) else "C"

    # Columns

    def _columns(self, n, d):
        style = self.pick("plain", "plain", "same", "mixed", "mixed")
        if self.is_ordinary:
            style = self.pick("plain", "plain", "plain", "same", "mixed")
        kinds = list(COLUMNS)
        one = self.pick(*kinds)
        parts, width = [], 0
        while width < d:
            name = {"plain": "normal", "same": one, "mixed": self.pick(*kinds)}[style]
            part = COLUMNS[name](self.rng, n, d - width)
            if name not in self.tags:
                self.tags.append(name)
            parts.append(part)
            width += part.shape[1]
        X = np.column_stack(parts)
        hostile = 0.3 if self.is_ordinary else 1.0
        if self.chance(0.3):
            X = X @ self.rng.normal(size=(d, d))
            self.tags.append("mixture")
        if d > 1 and self.chance(0.12 * hostile):
            j, k = self.rng.permutation(d)[:2]
            X[:, j] = X[:, k]
            self.tags.append("duplicate")
        if d > 2 and self.chance(0.15 * hostile):
            j = self.rng.integers(d)
            noise = self.pick(0.0, 1e-12, 1e-8, 1e-4)
            X[:, j] = X @ self.rng.normal(size=d)
            X[:, j] += noise * np.std(X[:, j]) * self.rng.normal(size=n)
            self.tags.append(f"collinear{noise:g}")
        if self.chance(0.1 * hostile):
            X[self.rng.integers(n)] *= 10.0 ** self.rng.integers(1, 8)
            self.tags.append("outlier-row")
        if self.chance(0.07 * hostile):
            X[self.rng.integers(n), self.rng.integers(d)] = self.pick(1e3, 1e6, -1e9)
            self.tags.append("outlier-cell")
        if self.chance(0.25):
            size = self.pick(2, 4, 8)
            X = X * 10.0 ** self.rng.uniform(-size, size, size=d)
            self.tags.append(f"units{size}")
        if self.chance(0.15):
            X = X + 10.0 ** self.rng.uniform(-1, 5, size=d) * self.rng.choice([-1, 1], size=d)
            self.tags.append("shift")
        # `infer` says that it needs columns whose squares are numbers.
        if self.chance(0.02) and not self.is_ordinary:
            X = X * 10.0 ** self.pick(-160, -120, 120, 150)
            self.tags.append("extreme")
        return X

    # Classes

    def _scores(self, K):
        X = self.made.X.astype(float)
        d = X.shape[1]
        how = self.pick("model", "model", "random", "strong", "separable")
        if self.is_ordinary and self.kind != "jeffreys":
            how = self.pick("model", "model", "random")
        self.tags.append(how)
        with np.errstate(all="ignore"):
            peak = abs(X).max(axis=0)
            X = X / np.where(peak > 0, peak, 1)
            size = X.std(axis=0)
            X = (X - X.mean(axis=0)) / np.where(size > 1e-12, size, 1)
        strength = {"model": 0.5, "random": 0.0, "strong": 3.0, "separable": 5.0}[how]
        Z = X @ self.rng.normal(size=(d, K)) * strength
        if self.chance(0.2):
            Z = Z + self.rng.normal(size=K) * (1 if self.is_ordinary else 3)
            self.tags.append("unbalanced")
        return Z if how == "separable" else Z + self.rng.gumbel(size=Z.shape)

    def _classes(self, K):
        made, rng = self.made, self.rng
        n = len(made.X)
        codes = self._scores(K).argmax(axis=1)
        if len(np.unique(codes)) < 2 or self.chance(0.5):
            codes[rng.permutation(n)[:K]] = np.arange(K)
        codes = np.unique(codes, return_inverse=True)[1]
        K = codes.max() + 1
        one_hot = np.eye(K)[codes]
        made.counts = np.ones(n)
        form = self.pick(*["labels"] * 8, "counts", "shares")
        self.tags.append(form)
        if form == "labels":
            made.shares = one_hot
            name = self.pick(*LABELS)
            made.labels = LABELS[name](K)
            made.y = np.array(made.labels)[codes]
            if self.chance(0.3):
                # scikit-learn takes objects for labels where they are text.
                how = self.pick("list", "series", *["object"] * (name == "text"))
                if how == "list":
                    made.y = [made.labels[code] for code in codes]
                else:
                    made.y = made.y.astype(object) if how == "object" else pd.Series(made.y)
            return
        if form == "counts":
            table = rng.poisson(self.pick(0.5, 3.0), size=(n, K)) + one_hot
        else:
            table = 0.7 * rng.dirichlet(np.full(K, self.pick(0.1, 1.0)), size=n) + 0.3 * one_hot
            table = table / table.sum(axis=1, keepdims=True)
        made.counts = table.sum(axis=1)
        made.shares = table / made.counts[:, None]
        made.labels = list(range(K))
        made.y = table
        how = self.pick("array", "array", "csr", "frame")
        if how == "csr":
            made.y = sp.csr_array(table)
        elif how == "frame":
            made.labels = LABELS["text"](K)
            frame = pd.DataFrame(table, columns=made.labels)
            made.y = frame[[made.labels[k] for k in rng.permutation(K)]]
        self.tags.append(f"table-{how}")

    def _several_labels(self, K):
        made, rng = self.made, self.rng
        n = len(made.X)
        link = self.pick("sigmoid", "softmax")
        Z = self._scores(K)
        Y = (Z - np.median(Z) + self.pick(0.0, -1.0) > 0).astype(int)
        if link == "sigmoid":
            for k in range(K):  # A label that all rows have, or none, has no coefficients.
                Y[rng.permutation(n)[:2], k] = [0, 1]
        else:
            Y[np.arange(K) % n, np.arange(K)] = 1
        made.shares, made.counts = Y.astype(float), np.ones(n)
        made.labels = list(range(K))
        made.parameters |= {"link": link, "threshold": 0.5}
        self.tags.append(link)
        how = self.pick("array", "array", "csr", "frame", "bool")
        made.y = {
            "array": lambda: Y,
            "csr": lambda: sp.csr_matrix(Y),
            "bool": lambda: Y.astype(bool),
            "frame": lambda: pd.DataFrame(Y),
        }[how]()

    def _sets(self, K):
        made, rng = self.made, self.rng
        n = len(made.X)
        codes = self._scores(K).argmax(axis=1)
        codes[rng.permutation(n)[:K]] = np.arange(K)
        more = self.pick(0.0, 0.1, 0.3, 0.3, 0.6)
        self.tags.append(f"sets{more:g}")
        members = (rng.random((n, K)) < more) | np.eye(K, dtype=bool)[codes]
        made.counts = np.ones(n)
        made.shares = members / members.sum(axis=1, keepdims=True)
        made.labels = list(range(K))
        how = self.pick("sets", "sets", "bool", "integers", "csr", "frame")
        if how == "sets":
            name = self.pick(*LABELS)
            made.labels = LABELS[name](K)
            made.y = [{made.labels[k] for k in np.flatnonzero(row)} for row in members]
        elif how == "frame":
            made.labels = LABELS["text"](K)
            frame = pd.DataFrame(members, columns=made.labels)
            made.y = frame[[made.labels[k] for k in rng.permutation(K)]]
        else:
            made.y = {
                "bool": lambda: members,
                "integers": lambda: members.astype(int),
                "csr": lambda: sp.csr_array(members.astype(float)),
            }[how]()
        self.tags.append(how)

    # Weights and offsets

    def _weights(self):
        made, rng = self.made, self.rng
        n = len(made.X)
        if not self.chance(0.4):
            return
        kinds = ["uniform", "zeros", "integers", "lognormal", "tiny", "huge", "wild"]
        if self.is_ordinary:
            kinds = kinds[:3]
        name = self.pick(*kinds)
        weights = {
            "uniform": lambda: rng.random(n) + 0.1,
            "zeros": lambda: (rng.random(n) + 0.1) * (rng.random(n) < 0.6),
            "integers": lambda: rng.integers(0, 5, n),
            "lognormal": lambda: np.exp(3 * rng.normal(size=n)),
            "tiny": lambda: (rng.random(n) + 0.1) * 10.0 ** -self.pick(5, 20),
            "huge": lambda: (rng.random(n) + 0.1) * 10.0 ** self.pick(5, 20),
            "wild": lambda: 10.0 ** rng.uniform(-12, 12, size=n),
        }[name]()
        if self._has_classes(weights):
            made.sample_weight = weights
            self.tags.append(f"weights-{name}")

    def _has_classes(self, weights):
        """Whether the weights leave enough to fit; mostly every class, sometimes two."""
        made = self.made
        having = (made.shares * (weights > 0)[:, None]).sum(axis=0)
        if made.is_multilabel:
            enough = (having > 0).all()
            if made.parameters["link"] == "sigmoid":
                enough &= (having < np.count_nonzero(weights)).all()
            return enough
        present = np.count_nonzero(having)
        return present == made.n_classes or (
            present >= 2 and self.kind != "inference" and self.chance(0.3)
        )

    def _offset(self):
        made = self.made
        if not self.chance(0.15):
            return
        n, K = len(made.X), made.n_classes
        size = self.pick(0.5, 3.0) if self.is_ordinary else self.pick(0.5, 3.0, 30.0)
        offset = self.rng.normal(size=(n, 1 if K == 2 else K)) * size
        # The reference has what is left of it in the type of X.
        made.offset = offset.astype(made.X.dtype).astype(float)
        self.tags.append(f"offset{size:g}")

    def _class_weight(self):
        made = self.made
        if self.kind in ("inference", "partial") or not self.chance(0.15):
            return
        value = "balanced"
        if self.chance(0.5):
            value = {label: float(self.pick(0.5, 1.0, 3.0, 1e-3, 1e3)) for label in made.labels}
            if self.chance(0.1) and made.n_classes > 2:
                value[made.labels[self.rng.integers(made.n_classes)]] = 0.0
        made.parameters["class_weight"] = value
        if active_classes(made).sum() < 2:
            del made.parameters["class_weight"]
            return
        self.tags.append("class-weight")

    # Penalty

    def _penalty(self):
        made, rng = self.made, self.rng
        d = made.X.shape[1]
        given = made.parameters
        is_strange = self.kind in ("composite", "multilabel", "path", "cv", "partial")
        C = self.pick(1.0, 1.0, 10.0 ** rng.uniform(-12, 12), 10.0 ** rng.uniform(-3, 4), np.inf)
        if self.kind == "inference":
            C = self.pick(np.inf, np.inf, 1.0, 10.0 ** rng.uniform(-2, 3))
        elif self.kind == "smooth" and self.chance(0.2):
            C = np.inf
        elif self.kind in ("cv", "partial"):
            C = self.pick(1.0, 10.0 ** rng.uniform(-2, 3), *[np.inf] * (self.kind == "partial"))
        elif self.kind == "jeffreys":
            C = np.inf
        elif self.kind == "path" and np.isinf(C):
            C = 1.0
        given["C"] = float(C)
        if self.kind == "jeffreys":
            given["bias_reduction"] = self.pick("jeffreys", "mean")
            return
        if (
            is_strange
            and np.isfinite(C)
            and self.chance(0.4 if self.kind == "multilabel" else 0.75)
        ):
            given["l1_ratio"] = float(self.pick(1.0, 1.0, rng.random(), 0.5, 1e-6, 0.999999))
            given["grouped"] = self.chance(0.35)
        R = 1 if made.n_classes == 2 and not made.is_multilabel else made.n_classes
        names = self._names()
        scale = self._column_sizes()
        if self.chance(0.2):
            per_class = self.may_be_bounded and R > 1 and not given.get("grouped")
            rows = R if per_class and self.chance(0.4) else 1
            factors = np.exp(rng.normal(size=(rows, d)))
            factors[rng.random(factors.shape) < 0.2] = 0
            if is_strange and self.chance(0.5):
                factors[rng.random(factors.shape) < 0.2] = np.inf
            if self.chance(0.2):
                factors = factors * 10.0 ** rng.integers(-6, 7)
            given["penalty_factor"] = factors if rows > 1 else factors[0]
            if names is not None and rows == 1 and self.chance(0.5):
                given["penalty_factor"] = dict(zip(names, factors[0].tolist(), strict=True))
            self.tags.append("factors")
        if self.may_be_bounded and not given.get("grouped") and self.chance(0.25):
            given["bounds"] = self._bounds(R, d, scale)
        if (
            self.may_be_bounded
            and np.isfinite(C)
            and given.get("l1_ratio", 0) < 1
            and self.chance(0.3)
        ):
            with np.errstate(over="ignore"):
                target = rng.normal(size=(R, d)) / scale
            # A coefficient that is removed is zero, which its prior must be too.
            removed = np.isinf(penalty_factors(self.made))
            target = np.where(removed, 0.0, target) if len(removed) else target
            given["prior_coef"] = np.clip(target, -1e100, 1e100)
            self.tags.append("prior")

    def _names(self):
        return [f"f{j}" for j in range(self.made.X.shape[1])] if self._is_frame else None

    @property
    def _is_frame(self):
        return self.made.storage == "frame"

    def _column_sizes(self):
        X = self.made.X.astype(WIDE)
        size = np.sqrt(((X - X.mean(axis=0)) ** 2).mean(axis=0))
        return np.where(size > 1e-10 * abs(X).max(axis=0), size, 1).astype(float)

    def _bounds(self, R, d, scale):
        rng, name = (
            self.rng,
            self.pick("positive", "negative", "box", "mixed", "fixed", "one-sided"),
        )
        rows = R if R > 1 and self.chance(0.3) else 1
        lower, upper = np.full((rows, d), -np.inf), np.full((rows, d), np.inf)
        if name == "positive":
            lower[:] = 0
        elif name == "negative":
            upper[:] = 0
        elif name == "box":
            lower[:], upper[:] = -0.3 / scale, 0.2 / scale
        elif name == "mixed":
            some = rng.random((rows, d)) < 0.5
            lower[some] = np.broadcast_to(0.1 / scale, (rows, d))[some]
            upper[~some] = np.broadcast_to(-0.05 / scale, (rows, d))[~some]
        elif name == "fixed":
            lower[:] = upper[:] = rng.normal(size=(rows, d)) / scale * 0.3
        else:
            some = rng.random((rows, d)) < 0.3
            lower[some] = 0
        factors = penalty_factors(self.made)
        removed = np.isinf(factors).any(axis=0) if len(factors) else np.zeros(d, bool)
        # A coefficient that is removed is zero, which its bounds must allow.
        lower[:, removed], upper[:, removed] = -np.inf, np.inf
        self.tags.append(f"bounds-{name}")
        if rows > 1:
            return lower, upper
        if name == "positive" and self.chance(0.5) and not removed.any():
            return 0, None
        names = self._names()
        if names is not None and self.chance(0.5):
            pairs = zip(lower[0].tolist(), upper[0].tolist(), strict=True)
            return dict(zip(names, pairs, strict=True))
        return lower[0], upper[0]

    def _options(self):
        made, rng = self.made, self.rng
        given = made.parameters
        given["fit_intercept"] = self.chance(0.8)
        solver = self.pick("auto", "auto", "newton-cg", "newton-cholesky", "lbfgs")
        is_smooth = not given.get("l1_ratio") and "bounds" not in given
        is_refused = solver == "lbfgs" and (not is_smooth or self.kind == "jeffreys")
        given["solver"] = "auto" if is_refused else solver
        if self.kind == "partial":
            given["partial_labels"] = True
        elif self.kind != "inference" and self.chance(0.15):
            given["label_smoothing"] = self.pick(0.05, 0.3, 0.9)
        elif (
            self.kind not in ("multilabel", "path", "cv", "partial")
            and given["fit_intercept"]
            and self.chance(0.1)
            and active_classes(made).all()
        ):
            shares = rng.dirichlet(np.ones(made.n_classes)) * 0.9 + 0.1 / made.n_classes
            shares = shares / shares.sum()
            given["prior_correction"] = self.pick(
                "empirical", shares, dict(zip(made.labels, shares.tolist(), strict=True))
            )
            self.tags.append("prior-correction")


class _WideDraw(_Draw):
    """A problem with thousands of columns, few of whose entries are not zero.

    Half of the problems have a ridge, others an L1 penalty, groups, bounds or a prior. Some are for
    a path; these have the tag "path".
    """

    def _shape(self):
        n, d, K = (self.pick(*options) for options in SHAPES["wide"])
        K = min(n, K)
        return min(n, 600 // K), d, K

    def _storage(self):
        return "csr" if self.chance(0.6) else self.pick("C", *SPARSE)

    def _columns(self, n, d):
        values = self.pick(*SPARSE_VALUES)
        self.tags.append(values)
        X = sparse_columns(self.rng, n, d, values)
        if self.chance(0.2):
            j, k = self.rng.integers(d, size=(2, d // 3))
            X[:, j] = X[:, k] * self.pick(1.0, 2.0, -1.0, 1e-6)
            self.tags.append("duplicate")
        if self.chance(0.3):
            size = self.pick(2, 4, 8)
            X = X * 10.0 ** self.rng.uniform(-size, size, size=d)
            self.tags.append(f"units{size}")
        return X

    def _penalty(self):
        given, rng = self.made.parameters, self.rng
        d = self.made.X.shape[1]
        given["C"] = float(self.pick(1.0, *10.0 ** rng.uniform(-4, 6, size=3)))
        form = self.pick("ridge", "ridge", "ridge", "l1", "l1", "bounds", "prior")
        if self.chance(0.15):
            self.tags.append("path")
        if form != "ridge":
            given["l1_ratio"] = float(self.pick(1.0, 0.9, 0.5, rng.random()))
            given["grouped"] = form == "l1" and self.chance(0.3)
        if self.chance(0.3):
            factors = 10.0 ** rng.uniform(-3, 3, size=d) if self.chance(0.5) else np.ones(d)
            factors[rng.integers(d, size=self.pick(0, 0, 1, 3))] = 0
            factors[rng.integers(d, size=self.pick(0, 0, 10))] = np.inf
            given["penalty_factor"] = factors
            self.tags.append("factors")
        R = 1 if self.made.n_classes == 2 else self.made.n_classes
        scale = self._column_sizes()
        if form == "bounds":
            given["bounds"] = self._bounds(R, d, scale)
        if form == "prior":
            given["l1_ratio"] = float(self.pick(0.0, 0.0, 0.5))
            target = rng.normal(size=(R, d)) / scale * (rng.random(d) < self.pick(0.01, 1.0))
            removed = np.isinf(penalty_factors(self.made))
            given["prior_coef"] = np.where(removed, 0.0, target)
            self.tags.append("prior")

    def _options(self):
        super()._options()
        given = self.made.parameters
        if "path" in self.tags:
            given.pop("prior_correction", None)
        if given["solver"] == "newton-cholesky":  # its Hessian takes minutes
            given["solver"] = "auto"
