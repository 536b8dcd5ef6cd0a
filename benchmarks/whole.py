"""Whole tasks rather than single fits: grid search, predictions, threads, scaling, memory."""

import resource
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from cases import CASES, correlated, labels
from cluster import cluster
from contenders import OURS
from cross_validation import cross_validation
from limits import limits
from measure import Process, alternate, fitting, objective, save
from multilabel import multilabel
from paths import paths
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skmaxent import MaxentClassifier

# scikit-learn's tolerance at which these solvers come within 1e-6.
PEER_TOL = 1e-6


def _model(name):
    if name == OURS:
        return MaxentClassifier()
    return LogisticRegression(solver=name, tol=PEER_TOL, max_iter=1000)


def _searching(name, data):
    X, y, _ = CASES[data]()
    search = GridSearchCV(_model(name), {"C": np.logspace(-3, 3, 64)})
    return lambda _: search.fit(X, y) and None


def grid_search(repeats):
    """`GridSearchCV` with 64 candidates and 5 folds, on iris, wine and digits."""
    peers = {"tiny": ("newton-cholesky", "lbfgs"), "wine": ("newton-cholesky",)}
    times = {}
    for data in ("tiny", "wine", "digits"):
        names = (OURS, *peers.get(data, ("newton-cg",)))
        processes = [Process(name, _searching, name, data) for name in names]
        times[data] = alternate(processes, 0, 1 if data == "digits" else 2 * repeats + 1)
        print(f"grid_search {data} {times[data]}", flush=True)
    return {"case": "grid_search", "description": grid_search.__doc__, "whole": times}


def _predicting(name, data):
    X, y, C = CASES[data]()
    rows = slice(0, max(20 * int(y.max() + 1), 3000))
    model = MaxentClassifier(C=C, tol=1.0).fit(X[rows], y[rows])
    if name != OURS:
        ours, model = model, LogisticRegression(C=C)
        model.coef_, model.intercept_ = ours.coef_, ours.intercept_
        model.classes_, model.n_features_in_ = ours.classes_, X.shape[1]
    return lambda _: model.predict_proba(X) is None


def prediction(repeats):
    """`predict_proba` on the rows of the fit."""
    times = {}
    for data in ("tall", "tall_float32", "million_rows", "many_classes", "text", "tiny"):
        processes = [
            Process(name, _predicting, name, data) for name in (OURS, "LogisticRegression")
        ]
        times[data] = alternate(processes, 0, 2 * repeats + 1)
        print(f"prediction {data} {times[data]}", flush=True)
    return {"case": "prediction", "description": prediction.__doc__, "whole": times}


def long_text():
    """300,000 x 50,000 sparse, 80 words a row, 10 classes."""
    rng = np.random.default_rng(11)
    n, d, words = 300_000, 50_000, 80
    columns = np.minimum(rng.zipf(1.3, n * words) - 1, d - 1)
    X = sp.csr_matrix((np.ones(n * words), columns, np.arange(0, n * words + 1, words)), (n, d))
    X.sum_duplicates()
    return X, labels(X @ rng.normal(size=(d, 10)) / 8, rng), 1.0


def _threaded(name, data):
    X, y, C = long_text() if data == "long_text" else CASES[data]()
    model = MaxentClassifier(C=C, tol=0.1, n_jobs=int(name[0]))
    return lambda _: model.fit(X, y).coef_


def threads(repeats):
    """Fits with one and two threads.

    The difference of coefficients is the largest one, relative to the largest coefficient.
    "Reproducible" means that two fits with two threads give equal coefficients. The data of
    long_text are sparse, 300,000 x 50,000, with 80 words per row and 10 classes.
    """
    times = {}
    for data in ("tall", "many_classes", "million_rows", "long_text"):
        pair = [Process(name, _threaded, name, data) for name in ("1 thread", "2 threads")]
        one, two, again = pair[0].time(0)[3], pair[1].time(0)[3], pair[1].time(0)[3]
        times[data] = alternate(pair, 0, repeats)
        times[data]["difference"] = float(abs(one - two).max() / abs(one).max())
        times[data]["reproducible"] = bool((two == again).all())
        print(f"threads {data} {times[data]}", flush=True)
    return {"case": "threads", "description": " ".join(threads.__doc__.split()), "threads": times}


SWEEPS = {
    "n": [(n, 20, 5) for n in (1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)],
    "d": [(20_000, d, 5) for d in (10, 30, 100, 300, 1000)],
    "K": [(20_000, 50, K) for K in (2, 5, 15, 50, 150, 500)],
}


def _time_to_gap(X, y, repeats, gap=1e-6):
    """Median seconds of ours and of newton-cg, each at its loosest tolerance within the gap."""
    tolerances = {OURS: (0.1, 1e-2, 1e-4), "newton-cg": (1e-4, 1e-6, 1e-8)}
    with tempfile.TemporaryDirectory() as folder:
        save(X, y, folder)
        processes = {name: Process(name, fitting, name, folder, 1.0) for name in tolerances}
        values = {
            (name, tol): objective(*process.time(tol)[3], X, y, 1.0)
            for name, process in processes.items()
            for tol in tolerances[name]
        }
        least = min(values.values())
        times = {}
        for name, process in processes.items():
            tol = next(t for t in tolerances[name] if values[name, t] - least <= gap * least)
            times[name] = float(np.median([process.time(tol)[1] for _ in range(repeats)]))
            process.stop()
    return times


def scaling(repeats):
    """Time to a gap of 1e-6 as one size grows.

    The size is rows n (with d = 20, K = 5), columns d (with n = 20,000, K = 5), or classes K (with
    n = 20,000, d = 50).
    """
    sweeps = {}
    for letter, sizes in SWEEPS.items():
        sweeps[letter] = []
        for n, d, K in sizes:
            X, y = correlated(n, d, K, np.random.default_rng(12))
            row = {"size": {"n": n, "d": d, "K": K}[letter], **_time_to_gap(X, y, repeats)}
            sweeps[letter].append(row)
            print(f"scaling {letter} {row}", flush=True)
    return {"case": "scaling", "description": " ".join(scaling.__doc__.split()), "sweeps": sweeps}


_OUT_OF_CORE = """
    import resource, sys, threading, time
    import numpy as np
    from skmaxent import MaxentClassifier

    def anonymous():
        for line in open("/proc/self/status"):
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024

    folder = sys.argv[1]
    X = np.load(folder + "/X.npy", mmap_mode="r")
    y = np.load(folder + "/y.npy")
    peak, running = [anonymous()], True

    def watch():
        while running:
            peak[0] = max(peak[0], anonymous())
            time.sleep(0.01)

    before = peak[0]
    thread = threading.Thread(target=watch)
    thread.start()
    start = time.perf_counter()
    model = MaxentClassifier().fit(X, y)
    seconds = time.perf_counter() - start
    running = False
    thread.join()
    print(seconds, before, peak[0], model.n_iter_[0], model.optimality_gap_)
"""


def out_of_core(repeats, n=10_000_000, d=50, K=3):
    """10,000,000 x 50 float32 as a read-only memory map, 3 classes."""
    rng = np.random.default_rng(10)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        X = np.lib.format.open_memmap(f"{folder}/X.npy", "w+", np.float32, (n, d))
        y = np.empty(n, np.int8)
        W = rng.normal(size=(d, K)) / np.sqrt(d)
        for start in range(0, n, 100_000):
            rows = rng.normal(size=(100_000, d)).astype(np.float32)
            X[start : start + len(rows)] = rows
            y[start : start + len(rows)] = (rows @ W + rng.gumbel(size=(len(rows), K))).argmax(1)
        X.flush()
        np.save(f"{folder}/y.npy", y)
        size = X.nbytes / 2**20
        del X
        script = textwrap.dedent(_OUT_OF_CORE)
        out = subprocess.run(
            [sys.executable, "-c", script, folder], check=True, capture_output=True, text=True
        ).stdout.split()
    seconds, before, peak, n_iter, gap = map(float, out)
    result = {
        "seconds": seconds,
        "X": size,
        "extra": peak - before,
        "n_iter": n_iter,
        "gap": gap,
        "system": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }
    print(f"out_of_core {result}", flush=True)
    return {"case": "out_of_core", "description": out_of_core.__doc__, "memory": result}


TASKS = {
    "grid_search": grid_search,
    "prediction": prediction,
    "threads": threads,
    "scaling": scaling,
    "out_of_core": out_of_core,
    "paths": paths,
    "cross_validation": cross_validation,
    "limits": limits,
    "multilabel": multilabel,
    "cluster": cluster,
}
