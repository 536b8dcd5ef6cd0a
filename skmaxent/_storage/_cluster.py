"""Where Dask's graphs run: in this process, or on the workers of a cluster that may die."""

from __future__ import annotations

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

# Seconds that a computation waits for a first worker, or for one that is not paused; the setting
# `skmaxent.worker-timeout` of Dask is another.
WORKER_TIMEOUT = 30.0
# Seconds between two looks at the cluster, and that an answer of the scheduler may take.
LOOK, ANSWER = 1.0, 10.0
# Results that one task adds up.
FAN_IN = 16

# Data of up to this share of the workers' memory stay there. Of more, one task has this part of a
# worker's memory for a thread, and no less than so many bytes.
IN_MEMORY, MEMORY_SHARE, LEAST_TASK_BYTES = 0.5, 8, 1 << 24

Graph = dict[Any, Any]

# Dask's settings are global: of two threads that change one and restore what they found, the last
# may restore what the first had set.
_settings = threading.Lock()


def is_dask(array: Any) -> bool:
    """Whether it is a collection of Dask, whose import is somebody else's."""
    return hasattr(array, "__dask_graph__") and array.__dask_graph__() is not None


def has_chunks(array: Any) -> bool:
    """Whether it is a collection of Dask made of chunks: not a Delayed, which has any attribute."""
    return is_dask(array) and hasattr(type(array), "to_delayed")


def refuse_dask(what: str, *arrays: Any) -> None:
    """Raise where one of the arrays is Dask's."""
    if any(is_dask(array) for array in arrays):
        raise TypeError(
            f"{what} takes no Dask collections, found {[type(a).__name__ for a in arrays]}: "
            "MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier and maxent_path fit "
            "them; for what has to be in memory, compute() them or a part of their rows."
        )


class Scheduler(Protocol):
    """Runs graphs; what it keeps is known by handles, which stand for values in other graphs."""

    @property
    def n_threads(self) -> int:
        """Tasks that run at a time."""

    def task_bytes(self, total: int) -> int:
        """What the data of one task may take of memory, where all take so much."""

    def start(self, delayed: Sequence[Any]) -> list[Any]:
        """Handles of delayed objects, computed and kept."""

    def submit(self, graph: Graph, keys: Sequence[Any]) -> list[Any]:
        """Handles of the values of some keys."""

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        """The values of handles."""


def current_scheduler(collection: Any) -> Scheduler:
    """The one that Dask would compute a collection with."""
    from dask.base import get_scheduler

    get = get_scheduler(collections=[collection])
    client = getattr(get, "__self__", None)
    if client is not None and hasattr(client, "scatter"):
        if client.asynchronous:
            raise TypeError("fit needs a synchronous dask.distributed.Client; this one is not.")
        return ClusterScheduler(client)
    return LocalScheduler(get or collection.__dask_scheduler__)


class LocalScheduler:
    """Dask's threads, or whatever else computes in place: handles are the values."""

    def __init__(self, get: Callable[..., Any]) -> None:
        self._get = get

    @property
    def n_threads(self) -> int:
        from dask.system import CPU_COUNT

        return int(CPU_COUNT)

    def task_bytes(self, total: int) -> int:
        return total  # they are in memory anyway

    def start(self, delayed: Sequence[Any]) -> list[Any]:
        import dask

        return list(dask.compute(*delayed, scheduler=self._get))

    def submit(self, graph: Graph, keys: Sequence[Any]) -> list[Any]:
        return list(self._get(graph, list(keys)))

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        return list(handles)


@contextmanager
def forgetting_on_failure() -> Iterator[None]:
    """Leave nothing on a cluster if the body raises, even while somebody holds the error.

    Its traceback holds the frames that it went through, and their variables hold futures of chunks.
    """
    try:
        yield
    except BaseException as error:
        if "distributed" in sys.modules:
            chain: BaseException | None = error
            while chain is not None:
                traceback.clear_frames(chain.__traceback__)
                chain = chain.__cause__ or chain.__context__
        raise


class ClusterScheduler:
    """The workers that a client of dask.distributed knows: handles are futures.

    A worker that dies costs the scheduler what it held, computed anew elsewhere. What cannot go on
    ends in a RuntimeError: no worker for `WORKER_TIMEOUT` seconds, or no scheduler.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def n_threads(self) -> int:
        return max(sum(self._client.nthreads().values()), 1)

    def task_bytes(self, total: int) -> int:
        """A share of the memory that a worker has for each thread, unless nothing goes to disk."""
        workers = [w for w in self._known_workers().values() if w.get("memory_limit")]
        if total <= IN_MEMORY * sum(worker["memory_limit"] for worker in workers):
            return total
        rooms = [w["memory_limit"] // (MEMORY_SHARE * w["nthreads"]) for w in workers]
        return max(min(rooms, default=total), LEAST_TASK_BYTES)

    def start(self, delayed: Sequence[Any]) -> list[Any]:
        return self._finished(list(self._client.compute(list(delayed), sync=False)))

    def submit(self, graph: Graph, keys: Sequence[Any]) -> list[Any]:
        import dask

        # Coefficients may be many, and are in the graph so that no worker's death loses them.
        quiet = {"distributed.admin.large-graph-warning-threshold": "1 GiB"}
        with _settings, dask.config.set(quiet):
            futures = list(self._client.get(graph, list(keys), sync=False))
        return self._finished(futures)

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        self._wait(handles)
        return list(_in_words(partial(self._client.gather, list(handles))))

    def _finished(self, futures: list[Any]) -> list[Any]:
        try:
            self._wait(futures)
        except BaseException:
            # The error's traceback holds them, for as long as somebody holds the error.
            for future in futures:
                future.release()
            raise
        return futures

    def _wait(self, futures: Sequence[Any]) -> None:
        """Until all are done; raises what one of them raised, or what is wrong with the cluster."""
        import dask
        from distributed import wait

        patience = float(dask.config.get("skmaxent.worker-timeout", WORKER_TIMEOUT))
        seen = time.monotonic()
        while True:
            try:
                with self._client.as_current():  # several may exist
                    wait(futures, timeout=LOOK)
                break
            except TimeoutError:
                if any(future.status == "error" for future in futures):
                    break
            except CancelledError as error:
                raise _lost(error) from error
            if self._has_workers():
                seen = time.monotonic()
            elif time.monotonic() - seen > patience:
                raise RuntimeError(
                    f"the Dask cluster has had no worker that takes tasks for {patience:g} s: its "
                    "workers died, or are paused because their memory is full. Start workers and "
                    "fit again; the setting 'skmaxent.worker-timeout' of Dask is the time to wait."
                )
        for future in futures:
            if future.status not in ("finished", "pending"):
                _in_words(future.result)

    def _has_workers(self) -> bool:
        if self._client.status != "running":
            raise RuntimeError(
                "the connection to the scheduler of the Dask cluster is lost: the client is "
                f"{self._client.status!r}."
            )
        try:
            known = self._known_workers()
        except (TimeoutError, OSError):
            return False
        return any(worker.get("status") != "paused" for worker in known.values())

    def _known_workers(self) -> dict[str, Any]:
        identity = self._client.scheduler.identity
        # Of so many workers; before it had this parameter, the scheduler told of all of them.
        has_limit = "n_workers" in inspect.signature(self._client.scheduler_info).parameters
        every = {"n_workers": -1} if has_limit else {}
        known = self._client.sync(identity, callback_timeout=ANSWER, **every)
        return dict(known["workers"])


def _in_words(get: Callable[[], Any]) -> Any:
    """A result, or what became of it in words."""
    from distributed import KilledWorker

    try:
        return get()
    except KilledWorker as error:
        raise RuntimeError(
            "workers of the Dask cluster died, one after the other, while they worked on the same "
            "chunk; perhaps it does not fit their memory: smaller chunks may."
        ) from error
    except CancelledError as error:
        raise _lost(error) from error


def _lost(error: BaseException) -> RuntimeError:
    reason = " ".join(str(error).split()) or "the computation was cancelled"
    return RuntimeError(
        "the Dask cluster has lost data of the fit or the connection to its scheduler "
        f"({reason.rstrip('.')})."
    )


def unique_name(what: str) -> str:
    """A name that no other graph has."""
    return f"skmaxent-{what}-{uuid.uuid4().hex}"


def reduced(
    scheduler: Scheduler,
    function: Callable[[Any, Any], Any],
    chunks: Sequence[Any],
    argument: Any,
    together: Callable[[list[Any]], Any],
) -> Any:
    """`function(chunk, argument)` of all chunks, put `together` by a tree of the same shape always.

    The argument is one node of the graph, which workers pass on to each other.
    """
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
        graph.update({key: (together, group) for key, group in zip(keys, groups, strict=True)})
    return scheduler.gather(scheduler.submit(graph, keys))[0]


def mapped(
    scheduler: Scheduler,
    function: Callable[[Any, Any], Any],
    chunks: Sequence[Any],
    arguments: Sequence[Any],
) -> list[Any]:
    """Handles of `function(chunk, argument)`, an argument for each chunk."""
    name = unique_name(getattr(function, "__name__", "map").strip("_"))
    graph: Graph = {}
    for i, (chunk, argument) in enumerate(zip(chunks, arguments, strict=True)):
        graph[f"{name}-argument", i] = argument
        graph[name, i] = (function, chunk, (f"{name}-argument", i))
    return scheduler.submit(graph, [(name, i) for i in range(len(chunks))])
