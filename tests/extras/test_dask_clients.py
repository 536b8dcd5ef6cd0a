"""Clients: which one a fit uses, several fits at a time, fits in tasks, and what a fit leaves."""

import gc
import os
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster, worker_client

from skmaxent import MaxentClassifier, maxent_path
from skmaxent._storage import _cluster
from skmaxent._storage._cluster import ClusterScheduler

# Sockets of a cluster that the garbage collector finds first.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("several_chunks"),
]

THRESHOLD = "distributed.admin.large-graph-warning-threshold"


@pytest.fixture(scope="module")
def threads():
    """A cluster of one worker with two threads, in this process."""
    with LocalCluster(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture
def client(threads):
    with Client(threads) as client:
        yield client


def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 5))
    y = (X @ rng.normal(size=(5, 3)) + rng.gumbel(size=(2000, 3))).argmax(axis=1)
    return X, y


def lazily(X, y):
    return da.from_array(X, chunks=(250, -1)), da.from_array(y, chunks=250)


def assert_fits():
    ours, theirs = MaxentClassifier(tol=1e-10), MaxentClassifier(tol=1e-10).fit(*rows())
    np.testing.assert_allclose(ours.fit(*lazily(*rows())).coef_, theirs.coef_, atol=1e-12)


def assert_nothing_left(client, patience=300):
    """Within a while: releases are messages. Only a failure waits for the deadline."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        n_tasks = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
        if not n_tasks and not client.futures:
            return
        time.sleep(0.05)
    pytest.fail(f"{n_tasks} tasks at the scheduler, {len(client.futures)} futures of the client")


def test_a_client_that_is_not_the_default(threads):
    with Client(threads, set_as_default=False) as client, dask.config.set(scheduler=client):
        assert_fits()
        assert_nothing_left(client)


def test_several_fits_at_a_time_leave_nothing_but_results(client):
    before = dask.config.get(THRESHOLD)
    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(assert_fits) for _ in range(18)]:
            future.result()
    assert dask.config.get(THRESHOLD) == before
    assert_nothing_left(client)


def test_a_long_computation_leaves_nothing_to_the_garbage_collector(client, tmp_path, monkeypatch):
    checked = tmp_path / "checked"

    def chunk():
        while not checked.exists():
            time.sleep(0.01)

    has_workers = ClusterScheduler._has_workers

    def checking(self):
        checked.touch()
        return has_workers(self)

    monkeypatch.setattr(_cluster, "CHECK_INTERVAL", 0.01)
    monkeypatch.setattr(ClusterScheduler, "_has_workers", checking)
    gc.collect()
    gc.disable()
    try:
        ClusterScheduler(client).start([dask.delayed(chunk, pure=False)()])
        assert checked.exists()
        assert_nothing_left(client, patience=20)
    finally:
        gc.enable()


def test_fits_in_tasks(client):
    def task():
        with worker_client():
            assert_fits()
        return True

    assert client.submit(task, pure=False).result(timeout=600)


def test_an_error_of_a_chunk_does_not_wait_for_the_others(client, tmp_path):
    first, end = str(tmp_path / "first"), tmp_path / "end"

    def chunk(part):
        try:
            os.close(os.open(first, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            while not end.exists():
                time.sleep(0.05)
            return part
        raise KeyError("of the user")

    X, y = lazily(*rows())
    X = X.map_blocks(chunk, meta=np.empty((0, 5)))
    # Ends a fit that does wait for the others, so that the test fails instead of hanging.
    safety = threading.Timer(300, end.touch)
    safety.start()
    try:
        with pytest.raises(KeyError, match="of the user"):
            MaxentClassifier().fit(X, y)
        assert not end.exists()
    finally:
        safety.cancel()
        end.touch()
    assert_nothing_left(client)


def test_what_fails_leaves_nothing_even_while_the_error_is_held(client):
    X, y = lazily(*rows())

    def fails(part):
        raise KeyError("of the user")

    with pytest.raises(KeyError) as held:
        MaxentClassifier().fit(X.map_blocks(fails, meta=np.empty((0, 5))), y)
    assert held.tb is not None
    assert_nothing_left(client)


def infer(X, y):
    return MaxentClassifier(C=np.inf).fit(*rows()).infer(X, y)


def with_data(X, y):
    clf = MaxentClassifier(C=np.inf).fit(*rows())
    return pickle.loads(pickle.dumps(clf.infer(*rows()))).with_data(X, y)


@pytest.mark.parametrize(
    ("fit", "computation"),
    [
        (MaxentClassifier().fit, 2),
        (MaxentClassifier().fit, 4),
        (partial(maxent_path, Cs=[0.1, 1.0]), 2),
        (partial(maxent_path, Cs=[0.1, 1.0]), 4),
        (partial(maxent_path, Cs=[0.1, 1.0]), 5),
        (partial(maxent_path, Cs=4, l1_ratio=1.0), 6),
        (infer, 1),
        (infer, 3),
        (with_data, 2),
    ],
)
def test_what_fails_later_leaves_nothing_while_the_error_is_held(
    client, monkeypatch, fit, computation
):
    """The frames of the fit, which hold its chunks, are in the error's traceback."""
    submit, calls = ClusterScheduler.submit, []

    def fails(self, *args):
        calls.append(1)
        if len(calls) == computation:
            raise KeyError("later")
        return submit(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(ClusterScheduler, "submit", fails)
        with pytest.raises(KeyError) as held:
            fit(*lazily(*rows()))
    assert held.tb is not None
    assert_nothing_left(client)


def test_a_silent_scheduler_is_waited_for(client, monkeypatch, tmp_path):
    """On a machine with much to do no time is too long for an answer."""
    end, looks = tmp_path / "end", []

    def task():
        while not end.exists():
            time.sleep(0.01)
        return 7

    def silent(self, timeout=None):
        looks.append(timeout)
        if len(looks) == 3:
            end.touch()
        raise TimeoutError

    monkeypatch.setattr(ClusterScheduler, "_known_workers", silent)
    monkeypatch.setattr(_cluster, "CHECK_INTERVAL", 0.01)
    with dask.config.set({"skmaxent.worker-timeout": 0}):
        scheduler = ClusterScheduler(client)
        assert scheduler.gather(scheduler.submit({"task": (task,)}, ["task"])) == [7]
    assert len(looks) >= 3


def test_a_cluster_without_workers_is_not(client, monkeypatch):
    monkeypatch.setattr(ClusterScheduler, "_known_workers", lambda self, timeout=None: {})
    monkeypatch.setattr(_cluster, "CHECK_INTERVAL", 0.01)
    with (
        dask.config.set({"skmaxent.worker-timeout": 0}),
        pytest.raises(RuntimeError, match="no worker that takes tasks"),
    ):
        ClusterScheduler(client).submit({"slow": (time.sleep, 1)}, ["slow"])


@pytest.mark.parametrize("computation", [1, 4])
def test_an_interrupted_fit_leaves_nothing(client, monkeypatch, computation):
    submit, calls = ClusterScheduler.submit, []

    def interrupted(self, *args):
        calls.append(1)
        if len(calls) == computation:
            signal.raise_signal(signal.SIGINT)
        return submit(self, *args)

    model = MaxentClassifier().fit(*rows())
    coef = model.coef_
    # Jobs in the background of a shell ignore the signal.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr(ClusterScheduler, "submit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.fit(*lazily(*rows()))
    signal.signal(signal.SIGINT, handler)
    assert model.coef_ is coef
    assert_nothing_left(client)
    assert_fits()


def test_versions_of_distributed_that_tell_of_all_workers():
    """Whom one cannot ask for how many."""
    workers = {"tcp://a": {"memory_limit": 1 << 30, "nthreads": 2}}
    old = SimpleNamespace(
        scheduler=SimpleNamespace(identity=lambda: {"workers": workers}),
        scheduler_info=lambda **kwargs: None,
        sync=lambda function, callback_timeout, **kwargs: function(**kwargs),
    )
    assert ClusterScheduler(old).task_bytes(1 << 40) == (1 << 30) // 16
    assert ClusterScheduler(old).task_bytes(1 << 20) == 1 << 20  # nothing goes to disk


def test_tasks_have_the_memory_that_packages_leave():
    """A worker's process also holds its packages, besides data of which some are on disk."""
    metrics = {"memory": 700 << 20, "managed_bytes": 600 << 20, "spilled_bytes": {"memory": 0}}
    worker = {"memory_limit": 1 << 30, "nthreads": 1, "metrics": metrics}
    scheduler = ClusterScheduler(
        SimpleNamespace(
            scheduler=SimpleNamespace(identity=lambda: {"workers": {"tcp://a": worker}}),
            scheduler_info=lambda: None,
            sync=lambda function, callback_timeout: function(),
        )
    )
    assert scheduler.task_bytes(1 << 40) == (924 << 20) // 8
    metrics["spilled_bytes"] = {"memory": 500 << 20, "disk": 0}
    assert scheduler.task_bytes(1 << 40) == (424 << 20) // 8
    assert scheduler.task_bytes(300 << 20) == (424 << 20) // 8  # they go to disk
    metrics["memory"] = 1 << 30
    assert scheduler.task_bytes(1 << 40) == 1 << 24
