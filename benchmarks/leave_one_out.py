"""Cost of leave-one-out in paths, and the errors of its scores against fits without each row.

The cost is the processor time of `MaxentClassifierCV(cv="loo")` with 100 values of C, divided by
that of `maxent_path`; both run by turns in one process. With --exact, a cross-validation with a
fold for each row gives exact scores, which takes as many paths as there are rows, and is left out
for texts. Errors are in standard errors: the largest one up to two standard errors from the best
score, and the largest one at larger C. Numbers of docs/penalties.md come from here.

Usage: python benchmarks/leave_one_out.py [--exact] [names of data]
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import LeaveOneOut
from sklearn.preprocessing import StandardScaler, normalize
from threadpoolctl import threadpool_limits

from skmaxent import MaxentClassifierCV, maxent_path

N_RUNS = 7
PENALTIES = {"ridge": 0.0, "lasso": 1.0}


def simulated(n: int, d: int, n_classes: int, seed: int, size: float) -> tuple:
    """Rows of independent normal columns, as in tests/model_selection/test_leave_one_out_cv.py."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    coef = size * rng.normal(size=(n_classes, d))
    return X, (X @ coef.T + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


def standardised(data) -> tuple:
    return StandardScaler().fit_transform(data.data), data.target


def texts(n: int, d: int, seed: int) -> tuple:
    """Texts of 80 words from a Zipf distribution with TF-IDF weights, in four classes."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, d + 1)
    words = rng.choice(d, n * 80, p=share / share.sum())
    X = sp.csr_matrix((np.ones(n * 80), (np.repeat(np.arange(n), 80), words)), (n, d))
    X.sum_duplicates()
    frequency = np.bincount(X.indices, minlength=d)
    X = normalize((X @ sp.diags(np.log((n + 1) / (frequency + 1)) + 1)).tocsr())
    logits = 6.0 * (X @ rng.normal(size=(d, 4)))
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


DATA = {
    "iris": load_iris(return_X_y=True),
    "wine": standardised(load_wine()),
    "cancer": standardised(load_breast_cancer()),
    "189x8": simulated(189, 8, 2, 1, 0.5),
    "60x30": simulated(60, 30, 3, 0, 0.3),
    "100x50": simulated(100, 50, 3, 11, 0.3),
    "120x15": simulated(120, 15, 3, 21, 0.5),
    "120x20": simulated(120, 20, 3, 22, 0.5),
    "120x40": simulated(120, 40, 2, 23, 0.3),
    "300x150": simulated(300, 150, 3, 12, 0.15),
    "400x200": simulated(400, 200, 2, 5, 0.1),
    "text": texts(3000, 20_000, 2),
    "text1000": texts(1000, 8000, 5),
    "digits": (load_digits().data / 16.0, load_digits().target),
}


def seconds(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def cost(cv: MaxentClassifierCV, X, y, Cs, l1_ratio: float) -> float:
    """The ratio of the median times of leave-one-out and of one path."""
    pairs = [
        (
            seconds(lambda: maxent_path(X, y, Cs=Cs, l1_ratio=l1_ratio)),
            seconds(lambda: cv.fit(X, y)),
        )
        for _ in range(N_RUNS)
    ]
    path, loo = np.median(pairs, axis=0)
    return float(loo / path)


def errors(cv: MaxentClassifierCV, X, y, l1_ratio: float) -> tuple[float, float]:
    """The largest errors of scores near the best C and at much larger C, in standard errors."""
    folds = MaxentClassifierCV(Cs=cv.Cs_, l1_ratios=[l1_ratio], cv=LeaveOneOut(), cv_tol=0.0)
    scores = folds.fit(X, y).scores_[:, 0]
    mean, std_err = scores.mean(axis=0), scores.std(axis=0, ddof=1) / np.sqrt(len(y))
    best = int(np.argmax(mean))
    error = np.abs(cv.scores_[0, 0] - mean) / std_err
    is_near = mean >= mean[best] - 2.0 * std_err[best]
    is_far = ~is_near & (np.arange(len(mean)) > best)
    return float(error[is_near].max()), float(error[is_far].max(initial=0.0))


def main(names: list[str], *, exact: bool) -> None:
    for name in names or list(DATA):
        X, y = DATA[name]
        for penalty, l1_ratio in PENALTIES.items():
            cv = MaxentClassifierCV(Cs=100, l1_ratios=[l1_ratio], cv="loo").fit(X, y)
            line = f"{name:8} {penalty}  {cost(cv, X, y, cv.Cs_, l1_ratio):5.2f} paths"
            if exact and not sp.issparse(X):
                near, far = errors(cv, X, y, l1_ratio)
                line += f"  errors {near:.3f} near the best C, {far:.2f} at larger C"
            print(line, flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    arguments = [each for each in sys.argv[1:] if each != "--exact"]
    with threadpool_limits(1):
        main(arguments, exact="--exact" in sys.argv)
