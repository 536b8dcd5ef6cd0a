"""A memory map several times larger than the memory that the process may have."""

import subprocess
import sys

import numpy as np
import pytest

from skmaxent import MaxentClassifier

resource = pytest.importorskip("resource")  # Linux and macOS

ROWS, COLUMNS, CLASSES = 600_000, 60, 3
SHARE = 5  # of X in memory at a time

SCRIPT = """
import resource, sys
import numpy as np
from skmaxent import MaxentClassifier

X = np.load(sys.argv[1], mmap_mode="r")
y = np.load(sys.argv[2])
MaxentClassifier(n_jobs=1).fit(X[:1000], y[:1000])  # libraries are loaded, their memory counted
with open("/proc/self/status") as status:
    data = next(int(line.split()[1]) for line in status if line.startswith("VmData")) * 1024
# Private memory: maps of files do not count, copies of them would.
resource.setrlimit(resource.RLIMIT_DATA, (data + int(sys.argv[4]),) * 2)
model = MaxentClassifier(n_jobs=1, tol=1e-6).fit(X, y)
np.savez(sys.argv[3], coef=model.coef_, intercept=model.intercept_, gap=model.optimality_gap_)
try:
    np.ones_like(X)
except MemoryError:
    print("the limit holds")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on private memory is Linux's")
def test_a_memory_map_larger_than_memory_gives_the_same_fit(tmp_path):
    rng = np.random.default_rng(0)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", float, (ROWS, COLUMNS))
    W = rng.normal(size=(COLUMNS, CLASSES)) / 4
    y = np.empty(ROWS, np.int8)
    for start in range(0, ROWS, 50_000):
        rows = rng.normal(size=(50_000, COLUMNS))
        X[start : start + len(rows)] = rows
        y[start : start + len(rows)] = (rows @ W + rng.gumbel(size=(len(rows), CLASSES))).argmax(1)
    X.flush()
    np.save(tmp_path / "y.npy", y)
    limit = X.nbytes // SHARE
    del X
    paths = [str(tmp_path / name) for name in ("X.npy", "y.npy", "fit.npz")]
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *paths, str(limit)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "the limit holds" in run.stdout
    found = np.load(paths[2])
    whole = MaxentClassifier(n_jobs=1, tol=1e-6).fit(np.load(paths[0]), y)
    np.testing.assert_allclose(found["coef"], whole.coef_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found["intercept"], whole.intercept_, rtol=1e-7, atol=1e-9)
    assert found["gap"] < 1e-6
