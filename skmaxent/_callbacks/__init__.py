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
    """The base class of estimators if scikit-learn has no callbacks: no `set_callbacks` method."""


# The base class of estimators that support callbacks.
CallbackSupport: Any = callback_protocol.CallbackSupportMixin if HAS_CALLBACKS else _NoCallbacks

# The attributes of a fitted estimator by name.
Attributes = dict[str, Any]
Method = TypeVar("Method", bound=Callable[..., Any])


def with_callbacks(method: Method) -> Method:
    """Decorate a method of an estimator so that the estimator's callbacks are torn down at its end.

    The callbacks are found by attributes of the estimator. Code that restores the attributes after
    a failed fit must therefore run later, outside of the decorated method.
    """
    return callback_protocol.with_callbacks(method) if HAS_CALLBACKS else method


@dataclass(frozen=True)
class Task:
    """A task of a fit. The callbacks of the estimator are called when it begins and when it ends.

    `context` is scikit-learn's callback context of the task, and `fit_arguments` are the X, y and
    metadata that the callbacks receive.
    """

    estimator: Any
    context: Any
    fit_arguments: dict[str, Any]

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
        """Begin the task that is the whole fit and return it; None if there are no callbacks."""
        # Without callbacks no context is made, which takes as long as iterations on few rows.
        if not hasattr(estimator, "_skl_callbacks"):
            return None
        context = estimator._init_callback_context(
            task_name=name, max_subtasks=max_subtasks, sequential_subtasks=sequential_subtasks
        )
        return cls(estimator, context, _fit_arguments(X, y, sample_weight)).begin()

    def subtask(self, name: str, task_id: int | None = None, max_subtasks: int | None = 0) -> Task:
        """Return a new part of the task, which has not begun."""
        context = self.context.subcontext(name, task_id=task_id, max_subtasks=max_subtasks)
        return Task(self.estimator, context, self.fit_arguments)

    def subtasks(self, name: str, n: int, max_subtasks: int | None) -> list[Task | None]:
        """Return `n` new parts of the task without rows, which may run in other processes.

        All parts are made before the first one runs, because the context must not change while it
        is pickled for a process.
        """
        without_rows = self.with_rows(None, None, None)
        return [without_rows.subtask(name, i, max_subtasks) for i in range(n)]

    def with_rows(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> Task:
        """Return the same task with other rows for the callbacks."""
        return Task(self.estimator, self.context, _fit_arguments(X, y, sample_weight))

    @contextmanager
    def propagated_to(self, estimator: Any) -> Iterator[None]:
        """Within the `with` block, make this task the whole fit of another estimator."""
        with self.context.propagate_callback_context(estimator):
            yield

    def begin(self, attributes: Callable[[], Attributes] | None = None) -> Task:
        """Tell the callbacks that the task begins, and return it; `attributes` as in `end`."""
        self.context.call_on_fit_task_begin(
            estimator=self.estimator,
            reconstruction_attributes=self._reconstruction(attributes),
            **self.fit_arguments,
        )
        return self

    def end(self, attributes: Attributes | Callable[[], Attributes] | None = None) -> bool:
        """Tell the callbacks that the task ends; return whether one of them asks to stop the fit.

        With the `attributes`, or those that the callable returns, scikit-learn makes a fitted
        estimator for callbacks that ask for one. None stands for none.
        """
        stop = self.context.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=self._reconstruction(attributes),
            **self.fit_arguments,
        )
        return bool(stop)

    def _reconstruction(
        self, attributes: Attributes | Callable[[], Attributes] | None
    ) -> Callable[[], Attributes | None]:
        """Return a function that returns the attributes, with arrays on the devices of X and y."""

        def reconstruction() -> Attributes | None:
            found = attributes() if callable(attributes) else attributes
            if found is None:
                return None
            given = self.fit_arguments
            return found | attributes_on_devices_of(found, given["X"], given["y"])

        return reconstruction


class Iterations:
    """The callback of a solver that makes each of its iterations a subtask of a fit.

    The first subtask begins at once, so that it contains the work before the solver's first report.
    A subtask that is running when the solver stops early is ended by `close`.

    Parameters
    ----------
    task : Task
        The fit.
    attributes : callable
        A function of an `Iteration` and its coefficients θ that returns the attributes of a fitted
        estimator.
    """

    def __init__(
        self, task: Task, attributes: Callable[[Iteration, NDArray[Any]], Attributes]
    ) -> None:
        self._task = task
        self._attributes = attributes
        self._n_done = 0
        self._current: Task | None = self._next()

    def _next(self, attributes: Callable[[], Attributes] | None = None) -> Task:
        """Begin the subtask of the next iteration and return it."""
        return self._task.subtask("newton-iteration").begin(attributes)

    def __call__(self, iteration: Iteration, theta: NDArray[Any], is_last: bool) -> bool:
        """End the subtask of an iteration and begin the next; return whether to stop the solver.

        `theta` are the coefficients after the iteration. After the last one, or if a callback asks
        to stop, no further subtask begins. Iterations that were reported before are ignored.
        """
        if iteration.n_iter <= self._n_done or self._current is None:
            return False
        self._n_done = iteration.n_iter

        def attributes() -> Attributes:
            return self._attributes(iteration, theta)

        stop = self._current.end(attributes)
        self._current = None if is_last or stop else self._next(attributes)
        return stop and not is_last

    def close(self, attributes: Attributes) -> None:
        """End the running subtask, if there is one, with the attributes of the fitted estimator."""
        if self._current is not None:
            self._current.end(attributes)


def check_callbacks_supported() -> None:
    """Raise ImportError if scikit-learn has no callbacks."""
    if not HAS_CALLBACKS:
        raise ImportError(
            f"callbacks needs scikit-learn 1.9 or later, found {sklearn.__version__}."
        )


def without_callbacks(estimator: Any) -> Any:
    """Remove the callbacks of an estimator, a clone for internal fits, in place and return it."""
    if HAS_CALLBACKS:
        estimator.set_callbacks()
    return estimator


def _fit_arguments(X: Any, y: Any, sample_weight: ArrayLike | None) -> dict[str, Any]:
    """Return the arguments of `fit` as the keyword arguments that callbacks receive."""
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    return {"X": X, "y": y, "metadata": metadata}
