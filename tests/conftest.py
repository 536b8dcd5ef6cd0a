"""Ways to store X, and blocks small enough to have many."""

import os
import threading

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import settings

from skmaxent._storage import _row_blocks

# Machines that run tests are shared; a slow moment is no failure.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


def pytest_configure(config):
    """Processes of pytest-xdist share the cores, so each has one thread."""
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def as_stored(X, how, tmp_path):
    if how == "memmap":
        np.save(tmp_path / "X.npy", X)
        return np.load(tmp_path / "X.npy", mmap_mode="r")
    return {"C": np.ascontiguousarray, "F": np.asfortranarray, "csr": sp.csr_array}[how](X)


@pytest.fixture(params=["C", "F", "csr", "memmap"])
def stored(request, tmp_path):
    return lambda X: as_stored(X, request.param, tmp_path)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(_row_blocks, "BLOCK_BYTES", 2000)


@pytest.fixture
def started(monkeypatch):
    """Threads that a test starts; other threads of the process come and go as they like."""
    threads, start, test = [], threading.Thread.start, threading.current_thread()

    def noted(thread):
        if threading.current_thread() is test:
            threads.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    return threads
