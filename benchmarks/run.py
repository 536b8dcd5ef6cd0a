"""Time to a relative gap of 1e-6: MaxentClassifier against scikit-learn's LogisticRegression.

    python benchmarks/run.py [case ...] [--repeats 3]

Each solver gets the loosest of its own tolerances that reaches the gap; ours is also timed at its
default. Runs alternate; times are medians. Writes docs/benchmark.md.
"""

import argparse
import os
import platform
import time
import warnings
from pathlib import Path

import numpy as np
import scipy
import sklearn
from cases import CASES
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

import skmaxent
from skmaxent import MaxentClassifier

GAP = 1e-6
OURS = (1e-1, 1e-2, 1e-4)
PEERS = dict.fromkeys(("lbfgs", "newton-cg", "newton-cholesky"), (0.0001, 1e-06, 1e-08))
# Far above the defaults; an iteration of a Newton method is many passes over the data.
MAX_ITER = {"lbfgs": 1000, "newton-cg": 100, "newton-cholesky": 100}
# Above this size the assembled Hessian of newton-cholesky takes more than 1 GB.
CHOLESKY_SIZE = 11_000


def objective(model, X, y, C):
    """The objective, apart from the code under test."""
    Z = np.asarray(X @ model.coef_.T + model.intercept_, dtype=np.float64)
    loss = logsumexp(Z, axis=1) - Z[np.arange(len(y)), y]
    return loss.mean() + 0.5 * (model.coef_**2).sum() / (C * len(y))


def timed(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model.fit(X, y)
        return time.perf_counter() - start, model


def peers(X, y, C):
    for name, tolerances in PEERS.items():
        size = X.shape[1] * (y.max() + 1)
        if name == "newton-cholesky" and size > CHOLESKY_SIZE:
            continue
        yield (
            name,
            [
                LogisticRegression(C=C, solver=name, tol=tol, max_iter=MAX_ITER[name])
                for tol in tolerances
            ],
        )


def run(name, repeats):
    X, y, C = CASES[name]()
    best = objective(timed(MaxentClassifier(C=C, tol=1e-7), X, y)[1], X, y, C)

    def reaches(model):
        return (objective(model, X, y, C) - best) / best <= GAP

    contenders = {"skmaxent, default tol": MaxentClassifier(C=C)}
    unreached = {}
    candidates = [("skmaxent", [MaxentClassifier(C=C, tol=tol) for tol in OURS])]
    for solver, models in [*candidates, *peers(X, y, C)]:
        for model in models:
            seconds, fitted = timed(model, X, y)
            if reaches(fitted):
                contenders[solver] = model
                break
            if fitted.n_iter_[0] >= model.max_iter:
                break
        if solver not in contenders:
            unreached[solver] = seconds
    times = {solver: [] for solver in contenders}
    slowest = max(timed(model, X, y)[0] for model in contenders.values())
    for _ in range(max(repeats, min(50, int(2 / slowest)))):
        for solver, model in contenders.items():
            times[solver].append(timed(model, X, y)[0])
    medians = {solver: float(np.median(values)) for solver, values in times.items()}
    tolerances = {solver: model.tol for solver, model in contenders.items()}
    print(name, medians, "gave up:", unreached, flush=True)
    return medians, tolerances, unreached


def cell(solver, medians, tolerances, unreached):
    if solver in medians:
        return f"{medians[solver]:.3g} s (tol {tolerances[solver]:g})"
    return f"gap not reached, {unreached[solver]:.3g} s" if solver in unreached else "not run"


def table(results):
    columns = ["skmaxent", "skmaxent, default tol", *PEERS]
    lines = [
        f"| case | {' | '.join(columns)} | best peer / skmaxent | best peer / default tol |",
        "|---" * (len(columns) + 3) + "|",
    ]
    ratios = []
    for name, result in results.items():
        medians = result[0]
        peer = min(medians[solver] for solver in PEERS if solver in medians)
        ratios.append([peer / medians[column] for column in columns[:2]])
        cells = [cell(column, *result) for column in columns]
        numbers = [f"{ratio:.2f}" for ratio in ratios[-1]]
        lines.append(f"| {name}: {CASES[name].__doc__} | {' | '.join(cells + numbers)} |")
    means = np.exp(np.mean(np.log(ratios), axis=0))
    return "\n".join(lines), means


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", default=[*CASES], help=", ".join(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    results = {name: run(name, arguments.repeats) for name in arguments.cases}
    lines, means = table(results)
    text = f"""# Benchmark

Time to a relative objective gap of {GAP:g}, each solver with the loosest of its tolerances that
reaches it; medians of {arguments.repeats} or more alternating runs in one process, ridge penalty
C = 1.
Written by `python benchmarks/run.py`.

{lines}

Geometric mean of the ratios: {means[0]:.2f} with the loosest tolerance that reaches the gap,
{means[1]:.2f} at our default tolerance.

{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy
{np.__version__}, SciPy {scipy.__version__}, scikit-learn {sklearn.__version__}, skmaxent
{skmaxent.__version__}; default threads for all. newton-cholesky is not run where its Hessian has
more than {CHOLESKY_SIZE} rows.
"""
    Path(__file__).parents[1].joinpath("docs", "benchmark.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
