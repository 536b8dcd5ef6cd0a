"""Threads over row blocks, with BLAS held to one thread while they exist."""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import joblib
from threadpoolctl import ThreadpoolController

T = TypeVar("T")


@functools.cache
def _controller() -> ThreadpoolController:
    # Scanning the loaded libraries takes milliseconds, a change of limit microseconds.
    return ThreadpoolController().select(user_api="blas")


class _Hold:
    """Somebody's wish for one BLAS thread. It ends when nobody refers to it, if not before."""

    is_over = False

    def __init__(self) -> None:
        self.thread = threading.get_ident()

    def __del__(self) -> None:
        if not self.is_over:
            _blas_limit.release(self)


class _SharedBlasLimit:
    """One BLAS thread while anybody holds it.

    For small problems BLAS's threads only wait for each other; and after a product of many threads
    OpenBLAS's go on spinning for some 20 ms, in the way of ours.

    The limit is global to the process. Were each fit to restore what it found, two overlapping
    fits could restore each other's limit; so the first in saves, the last out restores.

    A signal's handler may raise an exception between any two lines, the first lines of a function
    that cleans up among them. So what was found is saved before it is changed, and `release` can
    be called again for what it did not finish.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._holds: dict[int, int] = {}
        self._found: list[tuple[Any, int]] = []

    @property
    def holders(self) -> int:
        return len(self._holds)

    def acquire(self, hold: _Hold) -> None:
        with self.lock:
            self._holds[id(hold)] = hold.thread
            if not self._found:
                libraries = _controller().lib_controllers
                self._found = [(library, library.num_threads or 1) for library in libraries]
            if len(self._holds) == 1:
                for library, _ in self._found:
                    _set_threads(library, 1)

    def release(self, hold: _Hold) -> None:
        with self.lock:
            self._holds.pop(id(hold), None)
            self._restore_if_free()
            hold.is_over = True

    def _restore_if_free(self) -> None:
        if not self._holds:
            for library, n_threads in self._found:
                _set_threads(library, n_threads)
            self._found = []

    def keep_own(self) -> None:
        """In the child of a fork, which has but the thread that forked it."""
        self.lock = threading.RLock()
        own = threading.get_ident()
        self._holds = {key: thread for key, thread in self._holds.items() if thread == own}
        self._restore_if_free()


def _set_threads(library: Any, n_threads: int) -> None:
    """Set the limit of a library, whichever thread set it last.

    From version 3.8 on threadpoolctl ignores all threads but the first that sets a limit of
    OpenBLAS, for as long as that one lives.
    """
    disown = getattr(library, "clear_controlling_thread", None)
    if disown is not None:
        disown(force=True)
    library.set_num_threads(n_threads)
    if disown is not None:
        disown()


_blas_limit = _SharedBlasLimit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _blas_limit.lock.acquire(),
        after_in_parent=lambda: _blas_limit.lock.release(),
        after_in_child=_blas_limit.keep_own,
    )


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
        self._hold: _Hold | None = None

    def __enter__(self) -> Workers:
        self._hold = _Hold()
        _blas_limit.acquire(self._hold)
        if self.n_threads > 1:  # it starts its threads when there is work for them
            self._executor = ThreadPoolExecutor(self.n_threads - 1)
        return self

    def __exit__(self, *exception: object) -> None:
        # What a signal keeps from being done here is done when nobody refers to these any more.
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()
        if self._hold is not None:
            _blas_limit.release(self._hold)
            self._hold = None

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
