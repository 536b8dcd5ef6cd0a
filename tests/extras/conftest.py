"""A cluster of two processes, one for all tests that want it, and chunks that stay small."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def patience():
    """On a crowded machine a scheduler may not answer for half a minute."""
    import dask

    with dask.config.set({"skmaxent.worker-timeout": 600}):
        yield


@pytest.fixture(scope="session")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture(params=["threads", "workers"])
def scheduler(request):
    """Where Dask computes: threads of this process, or workers of a cluster."""
    import dask

    if request.param == "threads":
        with dask.config.set(scheduler="threads"):
            yield request.param
        return
    from distributed import Client

    with Client(request.getfixturevalue("cluster")):
        yield request.param


@pytest.fixture
def several_chunks(monkeypatch):
    """Chunks stay as they are, though they are small."""
    from skmaxent._input import _dask_checks

    monkeypatch.setattr(_dask_checks, "SMALL_CHUNK_BYTES", 1)
