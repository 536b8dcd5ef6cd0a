"""Paths of penalties: skmaxent against glmnet in R, on the same penalties."""

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from cases import Penalty, group_lasso, group_lasso_wide, lasso, lasso_wide
from measure import objective

SCRIPT = Path(__file__).with_name("glmnet_path.R")
TOLERANCES = (3.0, 1.0, 0.3, 0.1, 1e-2, 1e-4)
# Case: data, number of penalties, ratio of the smallest to the largest.
PATHS = {
    "dense": (lasso, 100, "default"),
    "dense grouped": (group_lasso, 100, "default"),
    "sparse": (lasso_wide, 30, "0.1"),
    "sparse grouped": (group_lasso_wide, 30, "0.1"),
}


def write_for_r(X, y, folder):
    """Data in files that R reads."""
    y.astype(np.int32).tofile(folder / "y.bin")
    shape = X.shape
    if sp.issparse(X):
        X = sp.csc_matrix(X)
        X.indices.astype(np.int32).tofile(folder / "i.bin")
        X.indptr.astype(np.int32).tofile(folder / "p.bin")
        X.data.astype(float).tofile(folder / "x.bin")
        shape = *shape, X.nnz
    else:
        np.asarray(X, float).ravel(order="F").tofile(folder / "x.bin")
    folder.joinpath("shape.txt").write_text(" ".join(map(str, shape)))


def _glmnet(folder, kind, n_points, ratio):
    """Seconds, penalties and coefficients at the last of them."""
    command = ["Rscript", str(SCRIPT), str(folder), kind, str(n_points), ratio]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    coef = np.fromfile(folder / "coef.bin")
    return float(out.split()[-1]), np.fromfile(folder / "lambda.bin"), coef


def _ours(X, y, strengths, grouped, tol):
    from skmaxent import maxent_path

    start = time.perf_counter()
    path = maxent_path(X, y, Cs=1.0 / (len(y) * strengths), grouped=grouped, tol=tol)
    return time.perf_counter() - start, path


def _versus(make, n_points, ratio, repeats):
    """The fastest of our tolerances whose last objective is no higher than glmnet's, and 1e-4."""
    X, y, penalty = make()
    K = int(y.max()) + 1
    kind = "grouped" if penalty.grouped else "ungrouped"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_for_r(X, y, folder)
        _, strengths, coef = _glmnet(folder, kind, n_points, ratio)
        last = Penalty(1.0 / (len(y) * strengths[-1]), 1.0, penalty.grouped)
        coef = coef.reshape(K, -1)
        value = objective(coef[:, 1:], coef[:, 0], X, y, last)
        found = {}
        for tol in TOLERANCES:
            seconds, path = _ours(X, y, strengths, penalty.grouped, tol)
            ours = objective(path.coefs[-1], path.intercepts[-1], X, y, last)
            if ours <= value:
                found[tol] = seconds, float((value - ours) / value)
        tol = min(found, key=lambda tol: found[tol][0])
        times = {"glmnet": [], "skmaxent": [], "default tol": []}
        for _ in range(repeats):
            times["glmnet"].append(_glmnet(folder, kind, n_points, ratio)[0])
            times["skmaxent"].append(_ours(X, y, strengths, penalty.grouped, tol)[0])
            times["default tol"].append(_ours(X, y, strengths, penalty.grouped, 1e-4)[0])
    return {name: float(np.median(values)) for name, values in times.items()} | {
        "tol": tol,
        "lower by": found[tol][1],
        "points": len(strengths),
    }


def paths(repeats):
    """Lasso paths at the penalties that glmnet chose."""
    found = {}
    for name, (make, n_points, ratio) in PATHS.items():
        found[name] = _versus(make, n_points, ratio, repeats)
        print(f"path {name} {found[name]}", flush=True)
    return {"case": "paths", "description": paths.__doc__, "paths": found}
