"""Fits that a signal interrupts, and processes forked while a fit is under way."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from skmaxent import MaxentClassifier
from skmaxent._estimators import _fit_steps
from skmaxent._storage._threads import Workers, _blas_limit

INTERRUPTED = """
import random, signal, time, warnings
import numpy as np
from threadpoolctl import ThreadpoolController
from skmaxent import MaxentClassifier

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 5))
y = (X @ rng.normal(size=(5, 3)) + rng.gumbel(size=(300, 3))).argmax(axis=1)
libraries = ThreadpoolController().select(user_api="blas").lib_controllers
for library in libraries:
    library.set_num_threads(2)
before = [library.num_threads for library in libraries]
clf = MaxentClassifier(n_jobs=N_JOBS, solver="SOLVER").fit(X, y)
start = time.perf_counter()
clf.fit(X, y)
seconds = time.perf_counter() - start
random.seed(0)
for _ in range(150):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 1.2 * seconds))
        clf.fit(X, y)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert [library.num_threads for library in libraries] == before
    assert clf.score(X, y) > 0.4
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no interval timers")
@pytest.mark.parametrize(
    "n_jobs, solver", [(None, "auto"), (2, "auto"), (2, "lbfgs"), (2, "trust-krylov")]
)
def test_an_interrupted_fit_leaves_the_threads_of_blas_as_they_were(n_jobs, solver):
    program = INTERRUPTED.replace("N_JOBS", str(n_jobs)).replace("SOLVER", solver)
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


RESAMPLED = """
import os, random, signal, subprocess, time
import numpy as np
from skmaxent import MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier

class Failed(RuntimeError):
    pass

def interrupt(*_):
    raise random.choice([KeyboardInterrupt, Failed])

def is_interruption(error):
    # Libraries answer exceptions with others: NumPy 1's norm turns any into a TypeError.
    while error is not None and not isinstance(error, (KeyboardInterrupt, Failed)):
        error = error.__cause__ or error.__context__
    return error is not None

signal.signal(signal.SIGALRM, interrupt)
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 5))
y = (X @ rng.normal(size=(5, 3)) + rng.gumbel(size=(300, 3))).argmax(axis=1)
sampled = MaxentClassifier(C=np.inf, n_jobs=N_JOBS).fit(X, y)
folds = MaxentClassifierCV(Cs=5, cv=3, l1_ratios=[0.5, 1.0], n_jobs=N_JOBS).fit(X, y)
loo = MaxentClassifierCV(Cs=5, cv="loo", n_jobs=N_JOBS).fit(X, y)
labels = MultilabelMaxentClassifier(threshold="f1_macro").fit(X, np.c_[y > 0, y > 1])
runs = [
    (sampled, lambda: sampled.infer(X, y, method="bootstrap", n_bootstrap=10)),
    (folds, lambda: folds.fit(X[:, :3], y)),
    (loo, lambda: loo.fit(X[:, :3], y)),
    (labels, lambda: labels.fit(X[:, :3], np.c_[y > 0, y == 1])),
]
random.seed(0)
for clf, run in runs[:N_RUNS]:
    fitted, n_interrupted = dict(vars(clf)), 0
    for _ in range(2):  # the first time processes are started
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
    vars(clf).clear()
    vars(clf).update(fitted)
    expected = clf.predict_proba(X)
    for _ in range(N_TRIALS):
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 0.6 * seconds))
            run()
            signal.setitimer(signal.ITIMER_REAL, 0)
            vars(clf).clear()
            vars(clf).update(fitted)
        except BaseException as error:
            if not is_interruption(error):
                raise
            n_interrupted += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert vars(clf).keys() == fitted.keys()
        assert all(vars(clf)[name] is fitted[name] for name in fitted)
        np.testing.assert_array_equal(clf.predict_proba(X), expected)
    assert n_interrupted >= N_TRIALS // 4  # a busy machine may be slower or faster
    run()
listed = ["ps", "-o", "stat=,args=", "--ppid", str(os.getpid())]
children = subprocess.run(listed, capture_output=True, text=True).stdout
assert not any(line.startswith("Z") for line in children.splitlines()), children
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ps of Linux lists child processes")
@pytest.mark.parametrize("n_jobs, n_runs, n_trials", [(None, 4, 25), (2, 1, 1)])
def test_interrupted_resampling_leaves_the_fitted_model(n_jobs, n_runs, n_trials):
    """Bootstraps, folds, leave-one-out and several labels; no process is left a zombie."""
    program = RESAMPLED.replace("N_JOBS", str(n_jobs)).replace("N_RUNS", str(n_runs))
    command = [sys.executable, "-W", "ignore", "-c", program.replace("N_TRIALS", str(n_trials))]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def blas_threads():
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    return [library.num_threads for library in libraries]


def test_a_hold_that_nobody_refers_to_is_over():
    before = blas_threads()
    workers = Workers(1)
    workers.__enter__()
    assert blas_threads() == [1] * len(before)
    del workers  # as where a signal keeps __exit__ from its first line
    assert blas_threads() == before


def test_the_last_of_overlapping_holds_restores_whichever_thread_began():
    # threadpoolctl 3.8 lets but one thread change OpenBLAS's limit.
    before = blas_threads()
    first, second = Workers(1), Workers(1)
    first.__enter__()
    entered, leave = threading.Event(), threading.Event()

    def overlap():
        with second:
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=overlap)
    thread.start()
    entered.wait(60)
    first.__exit__()
    assert blas_threads() == [1] * len(before)
    leave.set()
    thread.join()
    assert blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process")  # that it has threads is what is tested
def test_a_child_forked_during_another_threads_fit_fits_with_its_own_limits(monkeypatch):
    before = blas_threads()
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, 2, 200)
    under_way, go_on = threading.Event(), threading.Event()

    def wait(iteration):
        under_way.set()
        go_on.wait(60)

    monkeypatch.setattr(_fit_steps, "_iteration_text", wait)
    fit = threading.Thread(target=MaxentClassifier(verbose=1).fit, args=(X, y))
    fit.start()
    under_way.wait(60)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            is_restored = blas_threads() == before and not _blas_limit.n_requests
            MaxentClassifier().fit(X, y)
            code = 0 if is_restored and blas_threads() == before else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    go_on.set()
    fit.join()
    assert os.waitstatus_to_exitcode(status) == 0
    assert blas_threads() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_fit_leaves_the_last_one(error, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, 2, 200)
    clf = MaxentClassifier(verbose=1)

    def fail(iteration):
        raise error

    clf.set_params(verbose=0).fit(X, y)
    before = dict(vars(clf))
    monkeypatch.setattr(_fit_steps, "_iteration_text", fail)
    clf.verbose = before["verbose"] = 1
    with pytest.raises(error):
        clf.fit(-X[:, :2], y)
    after = vars(clf)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
