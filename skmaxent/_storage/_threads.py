"""Threads that work on blocks of rows, during which BLAS uses one thread."""

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

S = TypeVar("S")
T = TypeVar("T")


@functools.cache
def _controller() -> ThreadpoolController:
    """Return the controller of the BLAS libraries that the process has loaded."""
    # Cached: a scan of the loaded libraries takes milliseconds, a change of limit microseconds.
    return ThreadpoolController().select(user_api="blas")


class _LimitRequest:
    """A request to limit BLAS to one thread, from `Workers.__enter__` to `Workers.__exit__`.

    If a signal keeps `__exit__` from finishing, the request ends when the object is deleted.
    `thread` is the identifier of the thread that made the request.
    """

    is_over = False

    def __init__(self) -> None:
        self.thread = threading.get_ident()

    def __del__(self) -> None:
        if not self.is_over:
            _blas_limit.release(self)


class _SharedBlasLimit:
    """Limits BLAS to one thread while there are requests by fits of this process.

    In small products the threads of BLAS mostly wait for each other. After a product with many
    threads, OpenBLAS's threads keep spinning for some 20 ms and slow down the threads of a fit.

    The limit is global to the process. If each fit restored the limit that it found, two
    overlapping fits could restore each other's limit of one. Therefore the first request saves the
    limits, and the end of the last request restores them.

    The handler of a signal may raise an exception between any two lines, also in code that cleans
    up. Therefore limits are saved before they are changed, and `release` may be called again if it
    was interrupted.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        # The thread of each request, by the `id` of the request.
        self._requests: dict[int, int] = {}
        # The BLAS libraries with more than one thread, and their limits before the first request.
        self._saved: list[tuple[Any, int]] = []

    @property
    def n_requests(self) -> int:
        """The number of requests that are not released."""
        return len(self._requests)

    def acquire(self, request: _LimitRequest) -> None:
        """Add a request, and limit BLAS to one thread if it is the first."""
        with self.lock:
            self._requests[id(request)] = request.thread
            if not self._saved:
                found = [(lib, lib.num_threads or 1) for lib in _controller().lib_controllers]
                self._saved = [(lib, n_threads) for lib, n_threads in found if n_threads > 1]
            if len(self._requests) == 1:
                for library, _ in self._saved:
                    _set_threads(library, 1)

    def release(self, request: _LimitRequest) -> None:
        """End a request, and restore the saved limits if it was the last."""
        with self.lock:
            self._requests.pop(id(request), None)
            self._restore_if_free()
            request.is_over = True

    def _restore_if_free(self) -> None:
        """Restore the saved limits of BLAS unless there are requests left."""
        if not self._requests:
            for library, n_threads in self._saved:
                _set_threads(library, n_threads)
            self._saved = []

    def drop_requests_of_other_threads(self) -> None:
        """Drop the requests of other threads, in a forked child.

        The child has only the thread that forked it, so the other requests would never end.
        """
        self.lock = threading.RLock()
        own = threading.get_ident()
        self._requests = {key: thread for key, thread in self._requests.items() if thread == own}
        self._restore_if_free()


def _set_threads(library: Any, n_threads: int) -> None:
    """Set the number of threads of a BLAS library, from any thread.

    Since version 3.8, threadpoolctl ignores limits of OpenBLAS from threads other than the first
    that has set one, as long as that thread lives; hence the calls to clear_controlling_thread.
    """
    clear = getattr(library, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)
    library.set_num_threads(n_threads)
    if clear is not None:
        clear()


_blas_limit = _SharedBlasLimit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _blas_limit.lock.acquire(),
        after_in_parent=lambda: _blas_limit.lock.release(),
        after_in_child=_blas_limit.drop_requests_of_other_threads,
    )


def blas_threads() -> int:
    """Return the number of threads that BLAS may use at present, at least one."""
    return max((lib.num_threads or 1 for lib in _controller().lib_controllers), default=1)


def effective_threads(n_jobs: int | None) -> int:
    """Return the number of threads that `n_jobs` stands for.

    None stands for the number of threads that BLAS may use, which is already reduced in joblib's
    processes and within `threadpool_limits`. In joblib's threads, None stands for one.
    """
    if n_jobs is not None:
        if multiprocessing.current_process().daemon:
            # A daemonic process may not have children, so joblib would answer 1; threads are fine.
            with joblib.parallel_config(backend="threading"):
                return int(joblib.effective_n_jobs(n_jobs))
        return int(joblib.effective_n_jobs(n_jobs))
    backend, _ = joblib.parallel.get_active_backend()
    in_joblib_thread = backend.nesting_level and threading.current_thread() is not (
        threading.main_thread()
    )
    return 1 if in_joblib_thread else blas_threads()


@functools.cache
def has_small_matrix_routines() -> bool:
    """Return whether BLAS has routines for small matrices that do not copy their operands.

    OpenBLAS has such routines for processors with AVX-512. Products of a tall matrix are then up to
    twice as fast if the matrix is split into slices.
    """
    architectures = ("SkylakeX", "Cooperlake", "SapphireRapids")
    return any(
        getattr(lib, "architecture", "") in architectures for lib in _controller().lib_controllers
    )


class Workers:
    """A context manager that provides threads during a fit and limits BLAS to one thread.

    In the `with` block, `run` uses the threads; outside of it, tasks run one after the other. No
    thread outlives the block.

    Parameters
    ----------
    n_threads : int, default=1
        Number of threads, including the calling one.
    """

    def __init__(self, n_threads: int = 1) -> None:
        self.n_threads = n_threads
        self._executor: ThreadPoolExecutor | None = None
        self._request: _LimitRequest | None = None

    def __enter__(self) -> Workers:
        self._request = _LimitRequest()
        _blas_limit.acquire(self._request)
        if self.n_threads > 1:  # the executor starts threads when the first tasks arrive
            self._executor = ThreadPoolExecutor(self.n_threads - 1)
        return self

    def __exit__(self, *exception: object) -> None:
        # If a signal interrupts these lines, the deletion of the objects completes the work.
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()
        if self._request is not None:
            _blas_limit.release(self._request)
            self._request = None

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Run functions without arguments and return their results in order.

        The first task runs in the calling thread. If a task raises an error, the error is raised
        again after all tasks have ended.
        """
        if self._executor is None:
            return [task() for task in tasks]
        futures = [self._executor.submit(task) for task in tasks[1:]]
        try:
            first = tasks[0]()
        finally:
            wait(futures)
        return [first, *(future.result() for future in futures)]

    def for_each(self, function: Callable[[S], object], items: Sequence[S]) -> None:
        """Call a function for each item, where every thread takes an equal share of the items."""
        n = self.n_threads if self._executor is not None else 1

        def call(share: Sequence[S]) -> None:
            for item in share:
                function(item)

        self.run([functools.partial(call, items[i::n]) for i in range(min(n, len(items)))])
