"""Time and peak memory of tasks, each in a process of its own, taking turns."""

import contextlib
import io
import multiprocessing
import re
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from contenders import CONTENDERS
from scipy.special import logsumexp

ROWS = 5000
# Fits shorter than this are repeated on the spot.
SHORT = 0.05
COUNTS = re.compile(r"(\d+) gradients?, (\d+) Hessian products?")


def objective(coef, intercept, X, y, penalty):
    """Mean loss and penalty in float64, apart from the code under test."""
    coef, intercept = np.asarray(coef, float), np.asarray(intercept, float)
    total = 0.0
    for start in range(0, len(y), ROWS):
        rows = slice(start, start + ROWS)
        Z = np.asarray(X[rows] @ coef.T + intercept)
        if Z.shape[1] == 1:
            Z = np.column_stack([np.zeros(len(Z)), Z])
        total += (logsumexp(Z, axis=1) - Z[np.arange(len(Z)), y[rows]]).sum()
    return total / len(y) + penalty.value(coef, len(y))


def save(X, y, folder):
    if sp.issparse(X):
        sp.save_npz(Path(folder) / "X.npz", X, compressed=False)
    else:
        np.save(Path(folder) / "X.npy", X)
    np.save(Path(folder) / "y.npy", y)


def load(folder):
    sparse = Path(folder) / "X.npz"
    X = sp.load_npz(sparse) if sparse.exists() else np.load(Path(folder) / "X.npy")
    return X, np.load(Path(folder) / "y.npy")


def resident(kind="VmRSS"):
    """Resident memory of this process in MB; "VmHWM" is its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) / 1024
    return np.nan


def reset_peak():
    Path("/proc/self/clear_refs").write_text("5")


def fitting(name, folder, penalty):
    """A function of tol that fits a contender to saved data."""
    fit = CONTENDERS[name][0]
    X, y = load(folder)
    # What a first call loads and allocates once is no part of a fit.
    rows = np.flatnonzero(np.isin(np.arange(len(y)), np.unique(y, return_index=True)[1]))
    rows = np.union1d(rows, np.arange(min(len(y), 200)))
    with contextlib.suppress(Exception):
        fit(X[rows], y[rows], replace(penalty, C=min(penalty.C, 1.0)), 1e-1)
    return lambda tol: fit(X, y, penalty, tol)


def _serve(connection, make, arguments):
    warnings.simplefilter("ignore")
    task = make(*arguments)
    connection.send("ready")
    while (argument := connection.recv()) is not None:
        reset_peak()
        before = resident()
        start = time.perf_counter()
        try:
            result = task(argument)
        except Exception as error:
            connection.send((type(error).__name__ + ": " + str(error)[:100], None, None, None))
            continue
        seconds = time.perf_counter() - start
        megabytes = resident("VmHWM") - before
        if seconds < SHORT:  # as inside a grid search: one after the other
            repeats = int(2 * SHORT / seconds)
            seconds = median_seconds(lambda argument=argument: task(argument), repeats)
        connection.send((None, seconds, megabytes, result))


def median_seconds(task, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def pair_seconds(X, n_logits):
    """Seconds for one X @ W and one Xᵀ @ G, the least that an evaluation can cost."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(X.shape[1], n_logits)).astype(X.dtype)
    G = rng.normal(size=(X.shape[0], n_logits)).astype(X.dtype)
    return median_seconds(lambda: (X @ W, X.T @ G), 7)


def counted_passes(model, X, y):
    """Gradients and Hessian products of a fit, which a model with `verbose=1` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        model.fit(X, y)
    gradients, products = COUNTS.findall(out.getvalue())[-1]
    return int(gradients), int(products)


class Process:
    """A process of its own for `make(*arguments)`, a function that is timed there on request."""

    def __init__(self, name, make, *arguments):
        self.name = name
        self._arguments = make, arguments
        self._process = None

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, *self._arguments), daemon=True)
        self._process.start()
        if not self._connection.poll(600):
            raise TimeoutError(f"{self.name} did not start")
        self._connection.recv()

    def time(self, argument, limit=600.0):
        """(error, seconds, extra MB, result); an error if it took over `limit` seconds."""
        if self._process is None:
            self._start()
        time.sleep(0.05)  # threads of the one before come to rest
        self._connection.send(argument)
        try:
            if self._connection.poll(limit):
                return self._connection.recv()
        except (EOFError, ConnectionError):
            self.stop()
            return "the process died", None, None, None
        self.stop()
        return f"stopped after {limit:.3g} s", None, None, None

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def alternate(processes, argument, repeats):
    """Median seconds of each process, taking turns."""
    times = {process.name: [] for process in processes}
    try:
        for _ in range(repeats):
            for process in processes:
                error, seconds, *_ = process.time(argument, 3600.0)
                if error:
                    raise RuntimeError(f"{process.name}: {error}")
                times[process.name].append(seconds)
    finally:
        for process in processes:
            process.stop()
    return {name: float(np.median(values)) for name, values in times.items()}
