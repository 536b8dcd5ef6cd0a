"""Calls of scikit-learn's callbacks by a fit; no effect in versions that have no callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import sklearn
from numpy.typing import ArrayLike, NDArray

from skmaxent._sklearn import HAS_CALLBACKS, callback_protocol
from skmaxent._solvers import Iteration
from skmaxent._storage._place import attributes_on_devices_of


class _NoCallbacks:
    """Without `set_callbacks`, so that `hasattr` tells."""


CallbackSupport: Any = callback_protocol.CallbackSupportMixin if HAS_CALLBACKS else _NoCallbacks

Attributes = dict[str, Any]
Method = TypeVar("Method", bound=Callable[..., Any])


def with_callbacks(method: Method) -> Method:
    """Decorate a method or function of an estimator: tear down its callbacks afterwards.

    The estimator knows by its attributes of which: what restores these on failure comes later.
    """
    return callback_protocol.with_callbacks(method) if HAS_CALLBACKS else method


@dataclass(frozen=True)
class Task:
    """A task of a fit, whose estimator's callbacks hear of its begin and its end.

    `given` are the X, y and metadata that they are shown.
    """

    estimator: Any
    context: Any
    given: dict[str, Any]

    @classmethod
    def of_fit(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        *,
        name: str = "fit",
        max_subtasks: int | None,
        sequential_subtasks: bool = True,
    ) -> Task | None:
        """The whole of a fit, begun; None where there are no callbacks."""
        # Contexts cost as much as some iterations on few rows.
        if not hasattr(estimator, "_skl_callbacks"):
            return None
        context = estimator._init_callback_context(
            task_name=name, max_subtasks=max_subtasks, sequential_subtasks=sequential_subtasks
        )
        return cls(estimator, context, _given(X, y, sample_weight)).begun()

    def subtask(self, name: str, task_id: int | None = None, max_subtasks: int | None = 0) -> Task:
        """Return a part of the task, which has not begun."""
        context = self.context.subcontext(name, task_id=task_id, max_subtasks=max_subtasks)
        return Task(self.estimator, context, self.given)

    def subtasks(self, name: str, n: int, max_subtasks: int | None) -> list[Task | None]:
        """Return `n` parts of the task without rows, which may run in other processes.

        They are made before any of them runs: what is pickled for a process must not change.
        """
        without_rows = self.with_rows(None, None, None)
        return [without_rows.subtask(name, i, max_subtasks) for i in range(n)]

    def with_rows(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> Task:
        """The same task, for other rows."""
        return Task(self.estimator, self.context, _given(X, y, sample_weight))

    @contextmanager
    def passed_on_to(self, estimator: Any) -> Iterator[None]:
        """While another estimator's fit is this task."""
        with self.context.propagate_callback_context(estimator):
            yield

    def begun(self, attributes: Callable[[], Attributes] | None = None) -> Task:
        """The task, once its begin is told; attributes make a fitted estimator of the present."""
        self.context.call_on_fit_task_begin(
            estimator=self.estimator,
            reconstruction_attributes=self._present(attributes),
            **self.given,
        )
        return self

    def end(self, attributes: Attributes | Callable[[], Attributes] | None = None) -> bool:
        """Whether a callback asks to stop; attributes make a fitted estimator of the present."""
        stop = self.context.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=self._present(attributes),
            **self.given,
        )
        return bool(stop)

    def _present(
        self, attributes: Attributes | Callable[[], Attributes] | None
    ) -> Callable[[], Attributes | None]:
        """Return a function that gives the attributes on the devices of X and y."""

        def present() -> Attributes | None:
            found = attributes() if callable(attributes) else attributes
            if found is None:
                return None
            return found | attributes_on_devices_of(found, self.given["X"], self.given["y"])

        return present


class Iterations:
    """A solver's iterations as subtasks: the callback of its options.

    The first one begins at once, so that it has what comes before the solver's first report. One
    that is under way when the solver gives up ends with the fit.

    Parameters
    ----------
    task : Task
    attributes : callable
        From an iteration and its θ to the attributes of a fitted estimator.
    """

    def __init__(
        self, task: Task, attributes: Callable[[Iteration, NDArray[Any]], Attributes]
    ) -> None:
        self._task = task
        self._attributes = attributes
        self._n_done = 0
        self._current: Task | None = self._next()

    def _next(self, attributes: Callable[[], Attributes] | None = None) -> Task:
        """Begin the task of the next iteration and return it."""
        return self._task.subtask("newton-iteration").begun(attributes)

    def __call__(self, line: Iteration, theta: NDArray[Any], is_last: bool) -> bool:
        """Whether to stop before the last iteration."""
        if line.n_iter <= self._n_done or self._current is None:
            return False
        self._n_done = line.n_iter

        def attributes() -> Attributes:
            return self._attributes(line, theta)

        stop = self._current.end(attributes)
        self._current = None if is_last or stop else self._next(attributes)
        return stop and not is_last

    def close(self, attributes: Attributes) -> None:
        """End the tasks that are running. `attributes` are those that the estimator lacks."""
        if self._current is not None:
            self._current.end(attributes)


def refuse_without_support() -> None:
    """Raise where scikit-learn has no callbacks."""
    if not HAS_CALLBACKS:
        raise ImportError(
            f"callbacks needs scikit-learn 1.9 or later, found {sklearn.__version__}."
        )


def without_callbacks(estimator: Any) -> Any:
    """The estimator, whose clones' callbacks are for fits that the user asks for."""
    if HAS_CALLBACKS:
        estimator.set_callbacks()
    return estimator


def _given(X: Any, y: Any, sample_weight: ArrayLike | None) -> dict[str, Any]:
    """Return the arguments of `fit` that callbacks receive."""
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    return {"X": X, "y": y, "metadata": metadata}
