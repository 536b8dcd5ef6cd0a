"""Rows on the workers of dask.distributed: bytes and seconds of an evaluation, and what follows.

Chunks are read one by one here, which `fit` does with large ones only, so that their number is
known. Bytes are those that cross the loopback device, protocol included.
"""

import time
from unittest import mock

import dask
import dask.array as da
import numpy as np
import psutil
from cases import problem
from distributed import Client, LocalCluster
from scipy.optimize import minimize, nnls
from scipy.special import logsumexp
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier
from skmaxent._input import _dask_checks, _dask_labels
from skmaxent._objective._likelihood import likelihood
from skmaxent._objective._objective import MultinomialObjective
from skmaxent._objective._penalty import Ridge
from skmaxent._objective._terms import ridge_terms
from skmaxent._solvers import Options, Problem, minimise
from skmaxent._storage._cluster import IN_MEMORY_SHARE, TASK_MEMORY_PARTS
from skmaxent._storage._row_blocks import RowBlocks
from skmaxent._storage._standardisation import Standardisation
from skmaxent._storage._threads import Workers

# Rows, columns, classes, and megabytes of a chunk.
SHAPES = [
    *[(400_000, 50, 5, size) for size in (1, 4, 16)],
    *[(40_000, 500, 50, size) for size in (4, 16)],
]
# What the cost model is asked for.
ROWS, COLUMNS, CLASSES, THREADS, MEMORY = 1_000_000_000, 100, 10, 4, 16e9
# Rows by which the time of one row of these is measured.
SAMPLE = 200_000


def _chunk(i, rows, d):
    return np.random.default_rng(i).normal(size=(rows, d))


def _labels(i, rows, K):
    return np.random.default_rng(-1 - i & 0xFFFF).integers(0, K, rows)


def _lazily(n, d, K, size):
    rows = int(size * 2**20 / (8 * d))
    X, y = [], []
    for i, start in enumerate(range(0, n, rows)):
        m = min(rows, n - start)
        X.append(da.from_delayed(dask.delayed(_chunk)(i, m, d), (m, d), float))
        y.append(da.from_delayed(dask.delayed(_labels)(i, m, K), (m,), int))
    return da.concatenate(X), da.concatenate(y)


def _evaluations(objective, repeats):
    """Median seconds and loopback bytes of an evaluation."""
    theta = np.random.default_rng(0).normal(size=objective.shape) * 0.01
    theta = np.asfortranarray(theta)
    objective.at(theta)
    seconds, counted = [], []
    for _ in range(repeats):
        before, start = psutil.net_io_counters(pernic=True).get("lo"), time.perf_counter()
        objective.at(theta)
        seconds.append(time.perf_counter() - start)
        after = psutil.net_io_counters(pernic=True).get("lo")
        counted.append(after.bytes_sent - before.bytes_sent)
    return float(np.median(seconds)), float(np.median(counted))


def _in_memory(n, d, K, repeats):
    X, y = _chunk(0, n, d), _labels(0, n, K)
    with Workers(1) as workers:
        blocks = RowBlocks(X, y, n_logits=K, workers=workers)
        return _evaluations(_objective(blocks, K, d), repeats)[0]


def _objective(blocks, K, d):
    ridge, columns = Ridge(np.zeros(d)), Standardisation.of(d)
    return MultinomialObjective(blocks, likelihood(K), ridge, columns, keep_bytes=0)


def cluster(repeats):
    """A gradient over 160 MB on one and two workers, each with one thread, on one machine."""
    repeats = max(repeats, 7)
    alone = {(n, d, K): _in_memory(n, d, K, repeats) for n, d, K, _ in SHAPES}
    rows = []
    one_by_one = mock.patch.object(
        _dask_checks, "_groups_of_chunks", lambda full, summaries, scheduler: [[i] for i in full]
    )
    for n_workers in (1, 2):
        options = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": ":0"}
        with LocalCluster(**options) as workers, Client(workers), one_by_one:
            for n, d, K, size in SHAPES:
                read = _dask_labels.read(MaxentClassifier(), *_lazily(n, d, K, size), None, None)
                blocks = read.training_data(None, 0.0).storage(Workers())
                seconds, counted = _evaluations(_objective(blocks, K, d), repeats)
                rows.append(
                    {
                        "workers": n_workers,
                        "n": n,
                        "d": d,
                        "K": K,
                        "chunk MB": size,
                        "tasks": len(read.summaries),
                        "kilobytes": counted / 1e3,
                        "seconds": seconds,
                        "alone": alone[n, d, K],
                    }
                )
                print(f"cluster {rows[-1]}", flush=True)
                del blocks, read
    return {
        "case": "cluster",
        "description": cluster.__doc__,
        "cluster": rows,
        "model": _fitted(rows)
        | {"per row": _in_memory(SAMPLE, COLUMNS, CLASSES, repeats) / SAMPLE},
        "passes": passes(),
    }


def _fitted(rows):
    """seconds = latency + tasks · each + bytes/bandwidth + compute/workers · factor."""
    A = np.array(
        [[1.0, row["tasks"], row["kilobytes"] * 1e3, row["alone"] / row["workers"]] for row in rows]
    )
    seconds = np.array([row["seconds"] for row in rows])
    latency, each, byte, factor = nnls(A / seconds[:, None], np.ones(len(rows)))[0]
    error = np.abs(A @ [latency, each, byte, factor] / seconds - 1.0)
    return {
        "latency": latency,
        "each": each,
        "byte": byte,
        "factor": factor,
        "error": float(np.median(error)),
        "largest error": float(error.max()),
    }


def predicted(model, n_workers):
    """Tasks, bytes and seconds of a gradient over ROWS x COLUMNS, by parts."""
    threads = n_workers * THREADS
    data = 8.0 * ROWS * COLUMNS
    tasks: float = 2 * threads
    if (
        data > n_workers * MEMORY * IN_MEMORY_SHARE
    ):  # some is on disk: a task has no more than a share
        tasks = max(tasks, data / (MEMORY / THREADS / TASK_MEMORY_PARTS))
    coef = 8.0 * (COLUMNS + 1) * CLASSES
    compute = ROWS * model["per row"]
    parts = {
        "latency": model["latency"],
        "tasks": tasks * model["each"],
        # Coefficients to each worker, sums from each task.
        "bytes": (n_workers + tasks) * coef * model["byte"],
        "compute": model["factor"] * compute / threads,
    }
    return tasks, (n_workers + tasks) * coef, parts


def passes(names=("tall", "raw_units", "imbalanced", "digits"), gap=1e-6):
    """Reads of all rows until the objective is within a gap: ours, and L-BFGS on scaled columns."""
    found = {}
    for name in names:
        X, y, penalty = problem(name)
        K, n = int(y.max()) + 1, len(y)
        with Workers(2) as workers:
            blocks = RowBlocks(X, y, n_logits=K, workers=workers)
            strength = np.full(X.shape[1], 1.0 / (penalty.C * n))
            least = minimise(
                Problem.of(blocks, likelihood(K), ridge_terms(strength), fit_intercept=True),
                Options(1e-8),
            ).value
            blocks = RowBlocks(X, y, n_logits=K, workers=workers)
            problem_ = Problem.of(blocks, likelihood(K), ridge_terms(strength), fit_intercept=True)
            solution = minimise(problem_, Options(1e-4, solver="newton-cg"))
            counter = problem_.objective.counter
        found[name] = {
            "ours": blocks.tally.rows / n,
            "gradients": counter.gradients,
            "products": counter.hessian_products,
            "our gap": (solution.value - least) / abs(least),
            "lbfgs": _lbfgs(X, y, K, penalty.C, least, gap),
        }
        print(f"passes {name} {found[name]}", flush=True)
    return found


def _lbfgs(X, y, K, C, least, gap, most=2000):
    """Evaluations of L-BFGS (memory 10) on columns of unit variance to a gap; None beyond `most`.

    The design of Spark ML (Meng et al. 2016, J. Mach. Learn. Res. 17), with its start: intercepts
    of the class shares. The objective is the same: the penalty is that of the raw coefficients.
    """
    scaler = StandardScaler().fit(X)
    S, n, d = scaler.transform(X), *X.shape
    T = np.eye(K)[y]
    weights = 1.0 / (C * n * scaler.scale_**2)
    count, reached = [0], []

    def evaluate(v):
        count[0] += 1
        theta = v.reshape(K, d + 1)
        Z = S @ theta[:, :-1].T + theta[:, -1]
        normaliser = logsumexp(Z, axis=1)
        P = np.exp(Z - normaliser[:, None]) - T
        value = float((normaliser - (Z * T).sum(axis=1)).mean())
        value += 0.5 * float((theta[:, :-1] ** 2 @ weights).sum())
        gradient = np.column_stack([P.T @ S, P.sum(axis=0)]) / n
        gradient[:, :-1] += theta[:, :-1] * weights
        if value - least <= gap * abs(least) and not reached:
            reached.append(count[0])
            raise StopIteration
        return value, gradient.ravel()

    start = np.zeros((K, d + 1))
    start[:, -1] = np.log(T.mean(axis=0))
    try:
        options = {"maxcor": 10, "maxfun": most, "maxiter": most, "ftol": 0.0, "gtol": 0.0}
        minimize(evaluate, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    except StopIteration:
        pass
    return reached[0] + 1 if reached else None  # one more for the scales of the columns
