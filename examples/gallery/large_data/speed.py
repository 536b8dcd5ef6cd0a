"""
Solver comparison: time to a given accuracy
===========================================

This example measures how long `MaxentClassifier` and the solvers of scikit-learn's
`LogisticRegression` take until the objective is near its minimum. The tolerances of the solvers
mean different things. Therefore each solver is run with growing numbers of iterations, and the same
objective is computed after each run. The data are 10,000 of the diamonds that come with plotnine,
in their original units.
"""

# %%
# All solvers use one thread, because times with several threads depend more on the load of the
# machine.
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from plotnine.data import diamonds
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from skmaxent import MaxentClassifier, cross_entropy

frame = diamonds.sample(10_000, random_state=0)
X = pd.get_dummies(frame.drop(columns="cut"), dtype=float).to_numpy()
y = frame["cut"].astype(str).to_numpy()
print(
    f"{X.shape[0]} rows, {X.shape[1]} columns; standard deviations from {X.std(axis=0).min():.2g}"
    f" to {X.std(axis=0).max():.2g}"
)
codes = np.unique(y, return_inverse=True)[1]


def objective(model: LogisticRegression | MaxentClassifier) -> float:
    """Return the mean loss plus the penalty for C = 1."""
    loss = cross_entropy(X @ model.coef_.T + model.intercept_, codes).mean()
    return float(loss + np.square(model.coef_).sum() / (2 * len(X)))


# %%
# The solvers are stopped on purpose, so their convergence warnings are ignored.
def trajectory(make, iterations: list[int]) -> np.ndarray:
    """Return seconds and objective for each number of iterations, the fastest of three runs."""
    points = []
    for n in iterations:
        seconds = []
        for _ in range(3 if not points or points[-1][0] < 0.3 else 1):
            start = time.perf_counter()
            model = make(n).fit(X, y)
            seconds.append(time.perf_counter() - start)
        points.append((min(seconds), objective(model)))
    return np.array(points)


few, many = [1, 2, 3, 4, 6, 8, 12, 16, 24], [10, 30, 100, 300, 1000]
found = {}
with threadpool_limits(1), warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    found["MaxentClassifier"] = trajectory(
        lambda n: MaxentClassifier(max_iter=n, tol=1e-8, n_jobs=1), few
    )
    for solver, iterations in {
        "newton-cholesky": few,
        "newton-cg": few,
        "lbfgs": many,
        "saga": many[:3],
    }.items():
        found[f"LogisticRegression, {solver}"] = trajectory(
            lambda n, solver=solver: LogisticRegression(solver=solver, max_iter=n, tol=1e-12),
            iterations,
        )

# %%
# The smallest objective that any solver found is taken as the minimum. The gap is the distance of
# an objective from the minimum, divided by the minimum. The output is the time of the first run
# with a gap of at most 1e-6, and the gap and time of the run with the most iterations.
minimum = min(points[:, 1].min() for points in found.values())
for name, points in found.items():
    gap = (points[:, 1] - minimum) / minimum
    reached = points[gap <= 1e-6, 0]
    when = f"{reached.min():7.3f} s" if len(reached) else "not reached"
    print(f"{name:36s} gap of 1e-6: {when}, last gap {gap[-1]:.1e} after {points[-1, 0]:.2f} s")

# %%
# Each point is a run. Points further down and to the left are better. Points at the bottom are at
# the minimum up to rounding errors.
styles = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"]
figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
for (name, points), color, marker in zip(found.items(), styles, "os^Dv", strict=True):
    gap = np.maximum((points[:, 1] - minimum) / minimum, 1e-12)
    ax.plot(points[:, 0], gap, marker=marker, markersize=5, color=color, label=name)
ax.set_xscale("log")
ax.set_yscale("log")
ax.set(xlabel="seconds", ylabel="relative distance of the objective")
ax.set_title("Time to an accuracy, features in original units, one thread")
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
