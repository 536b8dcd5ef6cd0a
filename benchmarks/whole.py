"""Whole tasks rather than single fits: a grid search, predictions, more rows than memory."""

import resource
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
from cases import CASES
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skmaxent import MaxentClassifier


def _alternate(tasks, repeats):
    times = {name: [] for name in tasks}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for task in tasks.values():
            task()
        for _ in range(repeats):
            for name, task in tasks.items():
                start = time.perf_counter()
                task()
                times[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in times.items()}


def grid_search(repeats):
    """GridSearchCV of 64 candidates, 5 folds, on iris, wine and digits."""
    candidates = {"C": np.logspace(-3, 3, 64)}
    times = {}
    for data in ("tiny", "wine", "digits"):
        X, y, _ = CASES[data]()
        searches = {
            "skmaxent": GridSearchCV(MaxentClassifier(), candidates),
            "newton-cholesky": GridSearchCV(
                LogisticRegression(solver="newton-cholesky"), candidates
            ),
        }
        if data == "tiny":
            searches["lbfgs"] = GridSearchCV(LogisticRegression(max_iter=10_000), candidates)
        tasks = {
            name: (lambda search=search, X=X, y=y: search.fit(X, y))
            for name, search in searches.items()
        }
        times[data] = _alternate(tasks, repeats if data == "digits" else 2 * repeats + 1)
        print(f"grid_search {data} {times[data]}", flush=True)
    return {"case": "grid_search", "description": grid_search.__doc__, "whole": times}


def prediction(repeats):
    """predict_proba on the rows of a fit."""
    times = {}
    for data in ("tall", "tall_float32", "million_rows", "many_classes", "text", "tiny"):
        X, y, C = CASES[data]()
        rows = slice(0, max(20 * int(y.max() + 1), 3000))
        ours = MaxentClassifier(C=C).fit(X[rows], y[rows])
        theirs = LogisticRegression(C=C)
        theirs.coef_, theirs.intercept_ = ours.coef_, ours.intercept_
        theirs.classes_, theirs.n_features_in_ = ours.classes_, X.shape[1]
        tasks = {
            "skmaxent": lambda X=X, ours=ours: ours.predict_proba(X),
            "LogisticRegression": lambda X=X, theirs=theirs: theirs.predict_proba(X),
        }
        times[data] = _alternate(tasks, 101 if data == "tiny" else 2 * repeats + 1)
        print(f"prediction {data} {times[data]}", flush=True)
    return {"case": "prediction", "description": prediction.__doc__, "whole": times}


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


TASKS = {"grid_search": grid_search, "prediction": prediction, "out_of_core": out_of_core}
