"""Clusters that fail: real processes, really killed."""

import os
import signal
import subprocess
import sys
import time

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster

from skmaxent import MaxentClassifier, MaxentClassifierCV
from skmaxent._input import _dask_checks
from skmaxent._storage._cluster import ClusterScheduler

# Sockets of a cluster that the garbage collector finds first.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


# Seconds in which even a crowded machine has ended what does not wait for ever.
PATIENCE = 600


@pytest.fixture
def processes(tmp_path):
    """A client of a scheduler and two workers that nobody starts again, and these three."""
    file = str(tmp_path / "scheduler.json")
    started = []

    def start(module, *options):
        command = [sys.executable, "-m", module, "--no-dashboard", "--scheduler-file", file]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen([*command, *options], **quiet))
        return started[-1]

    scheduler = start("distributed.cli.dask_scheduler", "--port", "0")
    workers = [
        start("distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1") for _ in range(2)
    ]
    deadline = time.monotonic() + PATIENCE
    while not os.path.exists(file) and time.monotonic() < deadline:
        time.sleep(0.05)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "10s"}),
        Client(scheduler_file=file, timeout="60s") as client,
    ):
        client.wait_for_workers(2, timeout=PATIENCE)
        yield scheduler, workers
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setattr(_dask_checks, "SMALL_CHUNK_BYTES", 1)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8000, 10))
    y = (X @ rng.normal(size=(10, 4)) + rng.gumbel(size=(8000, 4))).argmax(axis=1)
    return X, y


def lazily(X, y):
    return da.from_array(X, chunks=(1000, -1)), da.from_array(y, chunks=1000)


def during_the_fit(monkeypatch, happens, after=6):
    """Have something happen before one of the computations of a fit."""
    submit, calls = ClusterScheduler.submit, []

    def counting(self, *args):
        calls.append(1)
        if len(calls) == after:
            happens()
        return submit(self, *args)

    monkeypatch.setattr(ClusterScheduler, "submit", counting)
    return calls


def kill(*processes):
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def test_a_worker_that_is_killed_changes_nothing(processes, data, monkeypatch):
    _, workers = processes
    undisturbed = MaxentClassifier(tol=1e-8).fit(*lazily(*data))
    calls = during_the_fit(monkeypatch, lambda: kill(workers[0]))
    disturbed = MaxentClassifier(tol=1e-8).fit(*lazily(*data))
    assert len(calls) > 12  # it went on
    assert workers[0].poll() == -signal.SIGKILL
    np.testing.assert_allclose(disturbed.coef_, undisturbed.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(disturbed.intercept_, undisturbed.intercept_, rtol=1e-9, atol=1e-12)
    in_memory = MaxentClassifier(tol=1e-8).fit(*data)
    np.testing.assert_allclose(disturbed.coef_, in_memory.coef_, atol=1e-8)


def test_a_worker_that_is_killed_changes_nothing_in_a_cross_validation(
    processes, data, monkeypatch
):
    _, workers = processes
    model = MaxentClassifierCV(Cs=3, cv=3, tol=1e-8)
    calls = during_the_fit(monkeypatch, lambda: kill(workers[0]), after=30)
    model.fit(*lazily(*data))
    assert len(calls) > 40
    in_memory = MaxentClassifierCV(Cs=3, cv=3, tol=1e-8).fit(*data)
    np.testing.assert_allclose(model.scores_, in_memory.scores_, atol=1e-8)
    np.testing.assert_allclose(model.coef_, in_memory.coef_, atol=1e-8)


def test_without_workers_a_fit_ends_with_an_error_and_the_earlier_one_stays(
    processes, data, monkeypatch
):
    _, workers = processes
    model, new = MaxentClassifier().fit(*lazily(*data)), MaxentClassifier()
    coef = model.coef_.copy()
    during_the_fit(monkeypatch, lambda: kill(*workers))
    before = time.monotonic()
    with dask.config.set({"skmaxent.worker-timeout": 3}):
        for unlucky in (new, model):
            with pytest.raises(RuntimeError, match="has had no worker that takes tasks for 3 s"):
                unlucky.fit(*lazily(*data))
    assert time.monotonic() - before < PATIENCE
    np.testing.assert_array_equal(model.coef_, coef)
    assert not hasattr(new, "coef_") and not hasattr(new, "classes_")


def test_without_scheduler_a_fit_ends_with_an_error(processes, data, monkeypatch):
    scheduler, _ = processes
    model = MaxentClassifier().fit(*data)
    coef = model.coef_.copy()
    during_the_fit(monkeypatch, lambda: kill(scheduler))
    before = time.monotonic()
    with pytest.raises(RuntimeError, match="connection"):
        model.fit(*lazily(*data))
    assert time.monotonic() - before < PATIENCE
    np.testing.assert_array_equal(model.coef_, coef)
    assert model.score(*data) > 0.5


def test_a_chunk_that_kills_its_workers_is_an_error(data):
    X, y = data

    def deadly(part):
        os._exit(1)

    chunks = [dask.delayed(X[:4000]), dask.delayed(deadly)(X[4000:])]
    lazy = da.concatenate([da.from_delayed(chunk, (4000, 10), float) for chunk in chunks])
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(**options) as cluster,
        Client(cluster),
        pytest.raises(RuntimeError, match="several workers of the Dask cluster died"),
    ):
        MaxentClassifier().fit(lazy, y)


def test_data_beyond_the_memory_of_a_worker_goes_to_disk():
    n, d, chunks = 20_000, 40, 60

    def chunk(i):
        return np.random.default_rng(i).normal(size=(n, d))

    parts = [da.from_delayed(dask.delayed(chunk)(i), (n, d), float) for i in range(chunks)]
    X = da.concatenate(parts)
    y = X.dot(np.random.default_rng(99).normal(size=(d, 3))).argmax(axis=1)
    limit = 360_000_000
    assert X.nbytes > limit
    model = MaxentClassifier(C=1e-4)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit=limit, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        model.fit(X, y)
        (worker,) = client.scheduler_info()["workers"].values()
        disk = worker["metrics"]["spilled_bytes"]["disk"]
    assert disk > 50_000_000
    whole = MaxentClassifier(C=1e-4).fit(*dask.compute(X, y, scheduler="threads"))
    np.testing.assert_allclose(model.coef_, whole.coef_, atol=1e-8)
