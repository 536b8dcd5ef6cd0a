"""Execution of Dask graphs, in this process or on the workers of a cluster."""

from __future__ import annotations

import gc
import inspect
import itertools
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

# Seconds that a computation waits for a worker that accepts tasks, if Dask's setting
# `skmaxent.worker-timeout` is not set. Workers of a local cluster start within a few seconds.
WORKER_TIMEOUT = 30.0
# Seconds between two checks whether the cluster has workers.
CHECK_INTERVAL = 1.0
# Seconds that a check waits for the scheduler's answer.
ANSWER_TIMEOUT = 10.0
# Number of results that one task of a tree adds up.
FAN_IN = 16
# Data are expected to stay in memory up to this share of the memory that all workers have for data.
IN_MEMORY_SHARE = 0.5
# A task of larger data reads at most 1/8 of the memory of a thread, so that Dask can move the rest
# to disk, and at least 16 MiB, below which the cost of a task dominates.
TASK_MEMORY_PARTS, LEAST_TASK_BYTES = 8, 1 << 24

Graph = dict[Any, Any]

# Dask's settings are global to the process. Two threads that each change one and later restore the
# old value could restore the other's temporary value, so only one thread at a time changes them.
_settings_lock = threading.Lock()


def is_dask(array: Any) -> bool:
    """Return whether an object is a Dask collection, without importing Dask."""
    return hasattr(array, "__dask_graph__") and array.__dask_graph__() is not None


def has_chunks(array: Any) -> bool:
    """Return whether an object is a Dask collection of chunks, such as an array or data frame.

    A Delayed object is not such a collection. It has an attribute of every name, so the attribute
    is looked up in its class.
    """
    return is_dask(array) and hasattr(type(array), "to_delayed")


def refuse_dask(what: str, *arrays: Any) -> None:
    """Raise TypeError, with the function's name `what`, if an array is a Dask collection."""
    if any(is_dask(array) for array in arrays):
        raise TypeError(
            f"{what} does not support Dask collections, found "
            f"{[type(a).__name__ for a in arrays]}; expected arrays or data frames in memory: call "
            "compute() on the collections, or on a part of their rows. MaxentClassifier, "
            "MaxentClassifierCV, MultilabelMaxentClassifier and maxent_path can fit Dask "
            "collections."
        )


class Scheduler(Protocol):
    """Runs Dask graphs and holds their results.

    A handle represents a result, also in a graph that is submitted later.
    """

    @property
    def n_threads(self) -> int:
        """Number of tasks that run at the same time."""

    def task_bytes(self, total: int) -> int:
        """Return the most bytes that one task should read if the data have `total` bytes."""

    def start(self, delayed: Sequence[Any]) -> list[Any]:
        """Compute delayed objects and return handles of the results."""

    def submit(self, graph: Graph, keys: Sequence[Any]) -> list[Any]:
        """Compute some keys of a graph and return handles of their values."""

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        """Return the results that handles represent."""


def current_scheduler(collection: Any) -> Scheduler:
    """Return the scheduler with which Dask would compute a collection.

    Raises TypeError for an asynchronous client.
    """
    from dask.base import get_scheduler

    get = get_scheduler(collections=[collection])
    client = getattr(get, "__self__", None)
    if client is not None and hasattr(client, "scatter"):
        if client.asynchronous:
            raise TypeError(
                "the current dask.distributed.Client is asynchronous; expected a synchronous one: "
                "create it with asynchronous=False."
            )
        return ClusterScheduler(client)
    return LocalScheduler(get or collection.__dask_scheduler__)


class LocalScheduler:
    """Dask's schedulers on this machine, as a `Scheduler` whose handles are the results.

    Parameters
    ----------
    get : callable
        ``get(graph, keys)`` computes and returns the values of keys of a graph. It is one of Dask's
        functions, such as ``dask.threaded.get``.
    """

    def __init__(self, get: Callable[..., Any]) -> None:
        self._get = get

    @property
    def n_threads(self) -> int:
        from dask.system import CPU_COUNT

        return int(CPU_COUNT)

    def task_bytes(self, total: int) -> int:
        return total  # the data are in the memory of this process, however many tasks there are

    def start(self, delayed: Sequence[Any]) -> list[Any]:
        import dask

        return list(dask.compute(*delayed, scheduler=self._get))

    def submit(self, graph: Graph, keys: Sequence[Any]) -> list[Any]:
        return list(self._get(graph, list(keys)))

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        return list(handles)


@contextmanager
def forgetting_on_failure() -> Iterator[None]:
    """Let a cluster free its data if the `with` block raises, even while the error is referenced.

    The traceback of an error refers to frames, and the variables of the frames to futures of
    chunks. This context manager clears the frames.
    """
    try:
        yield
    except BaseException as error:
        if "distributed" in sys.modules:
            errors, seen = [error], set()
            while errors:
                one = errors.pop()
                seen.add(id(one))
                traceback.clear_frames(one.__traceback__)
                earlier = (one.__cause__, one.__context__)
                errors += [e for e in earlier if e is not None and id(e) not in seen]
            gc.collect()  # reference cycles may hold futures too
        raise


class ClusterScheduler:
    """The workers of a dask.distributed client, as a `Scheduler` whose handles are futures.

    If a worker dies, Dask computes the lost results again on other workers. A computation raises
    RuntimeError if there is no worker for `WORKER_TIMEOUT` seconds, or if the connection to the
    scheduler or data of the fit are lost.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def n_threads(self) -> int:
        return max(sum(self._client.nthreads().values()), 1)

    def task_bytes(self, total: int) -> int:
        """Return `total` if so many bytes fit in memory, else a part of the memory of a thread."""
        workers = [w for w in self._known_workers().values() if w.get("memory_limit")]
        rooms = [_room_for_data(worker) for worker in workers]
        if total <= IN_MEMORY_SHARE * sum(rooms):
            return total
        parts = [TASK_MEMORY_PARTS * worker["nthreads"] for worker in workers]
        shares = [room // n for room, n in zip(rooms, parts, strict=True)]
        return max(min(shares, default=total), LEAST_TASK_BYTES)

    def start(self, delayed: Sequence[Any]) -> list[Any]:
        return self._finished(list(self._client.compute(list(delayed), sync=False)))

    def submit(self, graph: Graph, keys: Sequence[Any]) -> list[Any]:
        import dask

        # The coefficients are part of the graph, so that they survive the death of a worker. Dask
        # would warn that such a graph is large.
        quiet = {"distributed.admin.large-graph-warning-threshold": "1 GiB"}
        with _settings_lock, dask.config.set(quiet):
            futures = list(self._client.get(graph, list(keys), sync=False))
        return self._finished(futures)

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        self._wait(handles)
        return list(_with_explained_errors(partial(self._client.gather, list(handles))))

    def _finished(self, futures: list[Any]) -> list[Any]:
        """Wait for futures and return them; if one failed, release all and raise its error."""
        try:
            self._wait(futures)
        except BaseException:
            # The traceback refers to the futures for as long as the error is referenced.
            for future in futures:
                future.release()
            raise
        return futures

    def _wait(self, futures: Sequence[Any]) -> None:
        """Wait until all futures are done.

        Raises the error of a failed task, or RuntimeError if the cluster lost its workers, its
        scheduler or the data.
        """
        import dask
        from distributed import wait

        timeout = float(dask.config.get("skmaxent.worker-timeout", WORKER_TIMEOUT))
        last_seen = time.monotonic()  # when a worker was last known to accept tasks
        while True:
            try:
                with self._client.as_current():  # a process may have several clients
                    wait(futures, timeout=CHECK_INTERVAL)
                break
            except TimeoutError as error:
                # Dask's frame refers to the error and the error to the frames. Until this process
                # collects such a cycle, the workers would keep the data of the futures.
                error.__traceback__ = None
                if any(future.status == "error" for future in futures):
                    break
            except CancelledError as error:
                raise _lost(error) from error
            if self._has_workers() is not False:
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > timeout:
                raise RuntimeError(
                    f"the Dask cluster has had no worker that takes tasks for {timeout:g} s: its "
                    "workers died, or are paused because their memory is full. Start workers and "
                    "fit again, or wait longer with Dask's setting 'skmaxent.worker-timeout', in "
                    "seconds."
                )
        for future in futures:
            if future.status not in ("finished", "pending"):
                _with_explained_errors(future.result)

    def _has_workers(self) -> bool | None:
        """Return whether a worker accepts tasks, or None if the scheduler does not answer.

        Raises RuntimeError if the connection is lost, as when the scheduler dies.
        """
        if self._client.status != "running":
            raise RuntimeError(
                "the connection to the scheduler of the Dask cluster is lost: the status of the "
                f"client is {self._client.status!r}, expected 'running'. Connect a new client and "
                "fit again."
            )
        try:
            known = self._known_workers(ANSWER_TIMEOUT)
        except (TimeoutError, OSError):
            return None
        return any(worker.get("status") != "paused" for worker in known.values())

    def _known_workers(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the scheduler's information about each worker, by the worker's address.

        Raises TimeoutError if the answer takes more than `timeout` seconds.
        """
        identity = self._client.scheduler.identity
        # Newer versions of dask.distributed report five workers by default; -1 stands for all.
        has_limit = "n_workers" in inspect.signature(self._client.scheduler_info).parameters
        every = {"n_workers": -1} if has_limit else {}
        known = self._client.sync(identity, callback_timeout=timeout, **every)
        return dict(known["workers"])


def _room_for_data(worker: dict[str, Any]) -> int:
    """Return the bytes of a worker's memory that Python and its packages leave for data.

    `worker` is the scheduler's information about the worker.
    """
    metrics = worker.get("metrics", {})
    spilled = metrics.get("spilled_bytes", {}).get("memory", 0)
    data = metrics.get("managed_bytes", 0) - spilled
    return int(worker["memory_limit"] - max(metrics.get("memory", 0) - data, 0))


def _with_explained_errors(get: Callable[[], Any]) -> Any:
    """Return `get()`; turn Dask's errors about lost workers or data into RuntimeError."""
    from distributed import KilledWorker

    try:
        return get()
    except KilledWorker as error:
        raise RuntimeError(
            "several workers of the Dask cluster died while they worked on the same chunk, which "
            "may be too large for their memory: rechunk X to smaller chunks, or start workers "
            "with more memory."
        ) from error
    except CancelledError as error:
        raise _lost(error) from error


def _lost(error: BaseException) -> RuntimeError:
    """Return the error for a computation that the cluster cancelled."""
    reason = " ".join(str(error).split()) or "the computation was cancelled"
    return RuntimeError(
        "the Dask cluster has lost data of the fit or the connection to its scheduler "
        f"({reason.rstrip('.')})."
    )


def unique_name(what: str) -> str:
    """Return a name for the keys of a graph that no other graph uses."""
    return f"skmaxent-{what}-{uuid.uuid4().hex}"


def reduced(
    scheduler: Scheduler,
    function: Callable[[Any, Any], Any],
    chunks: Sequence[Any],
    argument: Any,
    combine: Callable[[list[Any]], Any],
) -> Any:
    """Return the combined results of `function(chunk, argument)` for all chunks.

    `chunks` are the handles of one or more chunks. `combine` returns the combination of a list of
    results, and is applied in a tree. The tree depends on the number of chunks only, so that
    rounding errors are repeatable. The argument is one node of the graph: the calling process sends
    it once, and workers pass it on to each other. Raises ValueError if there are no chunks.
    """
    if not chunks:
        raise ValueError("chunks is empty: expected at least one chunk, whose result is returned.")
    name = unique_name(getattr(function, "__name__", "map").strip("_"))
    graph: Graph = {f"{name}-argument": argument}
    keys: list[Any] = []
    for i, chunk in enumerate(chunks):
        keys.append((name, i))
        graph[keys[-1]] = (function, chunk, f"{name}-argument")
    for level in itertools.count():
        if len(keys) == 1:
            break
        groups = [keys[i : i + FAN_IN] for i in range(0, len(keys), FAN_IN)]
        keys = [(f"{name}-{level}", i) for i in range(len(groups))]
        graph.update({key: (combine, group) for key, group in zip(keys, groups, strict=True)})
    return scheduler.gather(scheduler.submit(graph, keys))[0]


def mapped(
    scheduler: Scheduler,
    function: Callable[[Any, Any], Any],
    chunks: Sequence[Any],
    arguments: Sequence[Any],
) -> list[Any]:
    """Return handles of `function(chunk, argument)` for each chunk and its argument.

    `chunks` are handles, or lists of handles if the function takes a list of chunks.
    """
    name = unique_name(getattr(function, "__name__", "map").strip("_"))
    graph: Graph = {}
    for i, (chunk, argument) in enumerate(zip(chunks, arguments, strict=True)):
        graph[f"{name}-argument", i] = argument
        graph[name, i] = (function, chunk, (f"{name}-argument", i))
    return scheduler.submit(graph, [(name, i) for i in range(len(chunks))])
