"""Threads over row blocks, with BLAS held to one thread while they run."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import joblib
from threadpoolctl import ThreadpoolController

T = TypeVar("T")


@functools.cache
def _controller() -> ThreadpoolController:
    # Scanning the loaded libraries takes milliseconds, a change of limit microseconds.
    return ThreadpoolController().select(user_api="blas")


class _SharedBlasLimit:
    """One BLAS thread while anybody holds it.

    The limit is global to the process. Were each fit to restore what it found, two overlapping
    fits could restore each other's limit; so the first in saves, the last out restores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._limit: Any = None

    @contextmanager
    def hold(self) -> Iterator[None]:
        with self._lock:
            if self._holders == 0:
                self._limit = _controller().limit(limits=1)
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if self._holders == 0:
                    self._limit.restore_original_limits()
                    self._limit = None


_blas_limit = _SharedBlasLimit()


def one_blas_thread() -> AbstractContextManager[None]:
    """Hold BLAS to one thread.

    For small problems its threads only wait for each other; and after a product of many threads
    OpenBLAS's go on spinning for some 20 ms, in the way of ours.
    """
    return _blas_limit.hold()


def blas_threads() -> int:
    """Threads that the caller allows BLAS at present (at least 1)."""
    return max((lib.num_threads or 1 for lib in _controller().lib_controllers), default=1)


def effective_threads(n_jobs: int | None) -> int:
    """Number of threads that `n_jobs` stands for.

    None means as many as BLAS may use, which nested parallelism (joblib's processes,
    `threadpool_limits`) already accounts for; within joblib's threads it means one.
    """
    if n_jobs is not None:
        return int(joblib.effective_n_jobs(n_jobs))
    backend, _ = joblib.parallel.get_active_backend()
    in_joblib_thread = backend.nesting_level and threading.current_thread() is not (
        threading.main_thread()
    )
    return 1 if in_joblib_thread else blas_threads()


def run(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Results of `tasks` in their order, one thread each; no thread outlives the call."""
    if len(tasks) == 1:
        return [tasks[0]()]
    with _blas_limit.hold(), ThreadPoolExecutor(len(tasks) - 1) as executor:
        # The calling thread works too: one fewer to start.
        futures = [executor.submit(task) for task in tasks[1:]]
        first = tasks[0]()
        return [first, *(future.result() for future in futures)]
