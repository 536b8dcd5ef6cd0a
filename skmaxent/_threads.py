"""Threads over row blocks, with BLAS held to one thread while they exist."""

from __future__ import annotations

import functools
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
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

    For small problems BLAS's threads only wait for each other; and after a product of many threads
    OpenBLAS's go on spinning for some 20 ms, in the way of ours.

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


def blas_threads() -> int:
    """Threads that the caller allows BLAS at present (at least 1)."""
    return max((lib.num_threads or 1 for lib in _controller().lib_controllers), default=1)


def effective_threads(n_jobs: int | None) -> int:
    """Number of threads that `n_jobs` stands for.

    None means as many as BLAS may use, which nested parallelism (joblib's processes,
    `threadpool_limits`) already accounts for; within joblib's threads it means one.
    """
    if n_jobs is not None:
        if multiprocessing.current_process().daemon:
            # joblib knows of no parallelism there, for such processes have no children.
            with joblib.parallel_config(backend="threading"):
                return int(joblib.effective_n_jobs(n_jobs))
        return int(joblib.effective_n_jobs(n_jobs))
    backend, _ = joblib.parallel.get_active_backend()
    in_joblib_thread = backend.nesting_level and threading.current_thread() is not (
        threading.main_thread()
    )
    return 1 if in_joblib_thread else blas_threads()


@functools.cache
def small_products() -> bool:
    """Whether BLAS has kernels for small matrices that do without packing.

    OpenBLAS has them where there is AVX-512: a tall product in slices is then up to twice as fast.
    """
    architectures = ("SkylakeX", "Cooperlake", "SapphireRapids")
    return any(
        getattr(lib, "architecture", "") in architectures for lib in _controller().lib_controllers
    )


class Workers:
    """Threads for the length of a fit, the calling one among them; BLAS has one thread meanwhile.

    Enter it to have threads: none of them outlives the block. Outside, tasks run one by one.

    Parameters
    ----------
    n_threads : int
    """

    def __init__(self, n_threads: int = 1) -> None:
        self.n_threads = n_threads
        self._executor: ThreadPoolExecutor | None = None
        self._exit = ExitStack()

    def __enter__(self) -> Workers:
        self._exit.enter_context(_blas_limit.hold())
        if self.n_threads > 1:  # it starts its threads when there is work for them
            self._executor = self._exit.enter_context(ThreadPoolExecutor(self.n_threads - 1))
        return self

    def __exit__(self, *exception: object) -> None:
        self._executor = None
        self._exit.close()

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Results of `tasks` in their order."""
        if self._executor is None:
            return [task() for task in tasks]
        futures = [self._executor.submit(task) for task in tasks[1:]]
        try:
            first = tasks[0]()
        finally:
            wait(futures)
        return [first, *(future.result() for future in futures)]
