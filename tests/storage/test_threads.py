"""Threads of a fit: what they leave behind, and what they do inside joblib's workers."""

import multiprocessing
import os
import threading

import numpy as np
import pytest
import scipy.sparse as sp
from joblib import Parallel, cpu_count, delayed
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info, threadpool_limits

from skmaxent import MaxentClassifier
from skmaxent._cached import cached_property
from skmaxent._estimators import _fit_steps
from skmaxent._storage._threads import effective_threads


def blas_limits():
    return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]


@pytest.fixture(scope="module")
def large():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30_000, 40))
    logits = X @ rng.normal(size=(40, 5)) / 3
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_array])
def test_threads_change_rounding_only_and_are_reproducible(large, convert):
    X, y = convert(large[0]), large[1]
    one, two, again = (MaxentClassifier(n_jobs=n, tol=1e-6).fit(X, y).coef_ for n in (1, 2, 2))
    np.testing.assert_allclose(one, two, rtol=1e-8, atol=1e-10)
    # The same blocks, whose sums are added in the same order.
    np.testing.assert_array_equal(two, again)


@pytest.mark.parametrize("limit", [1, 2])
def test_a_fit_leaves_threads_and_limits_as_they_were(large, limit, started):
    with threadpool_limits(limit, user_api="blas"):
        limits = blas_limits()
        clf = MaxentClassifier(n_jobs=2).fit(*large)
        clf.predict_proba(large[0])
        assert blas_limits() == limits
        assert started
        assert not any(thread.is_alive() for thread in started)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_so_does_one_that_fails(large, error, monkeypatch, started):
    def interrupt(iteration):
        raise error("stop")

    monkeypatch.setattr(_fit_steps, "_iteration_text", interrupt)
    limits = blas_limits()
    with pytest.raises(error, match="stop"):
        MaxentClassifier(n_jobs=2, verbose=1).fit(*large)
    assert blas_limits() == limits
    assert started
    assert not any(thread.is_alive() for thread in started)


def test_an_attribute_computed_in_another_thread_locks_no_other_object():
    """A process that is forked meanwhile would wait for such a lock for ever."""
    under_way, go_on = threading.Event(), threading.Event()

    class Waiting:
        waits = True

        @cached_property
        def attribute(self):
            if self.waits:
                under_way.set()
                assert go_on.wait(60)
            return object()

    class Ready(Waiting):
        waits = False

    first, second, found = Waiting(), Ready(), []
    computing = threading.Thread(target=lambda: found.append(first.attribute))
    computing.start()
    assert under_way.wait(60)
    reading = threading.Thread(target=lambda: found.append(second.attribute))
    reading.start()
    reading.join(10)
    n_found = len(found)
    go_on.set()
    computing.join()
    reading.join()
    assert n_found == 1
    assert found == [second.attribute, first.attribute]
    assert isinstance(Waiting.attribute, cached_property)


def test_overlapping_fits_restore_the_limit(large):
    limits = blas_limits()
    fits = [threading.Thread(target=MaxentClassifier(n_jobs=2).fit, args=large) for _ in range(3)]
    for fit in fits:
        fit.start()
    for fit in fits:
        fit.join()
    assert blas_limits() == limits


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_fits_inside_workers_do_not_oversubscribe(backend):
    with Parallel(n_jobs=2, backend=backend) as parallel:
        found = parallel(delayed(effective_threads)(None) for _ in range(4))
    # loky's processes share out the processors, unless the user's environment has a number of
    # threads for BLAS; threads of joblib have one each.
    share = 1
    if backend == "loky":
        share = int(os.environ.get("OPENBLAS_NUM_THREADS", max(1, cpu_count() // 2)))
    assert all(1 <= threads <= share for threads in found)


def test_a_grid_search_of_two_processes_equals_one(large):
    X, y = large[0][:3000], large[1][:3000]
    scores = [
        GridSearchCV(MaxentClassifier(), {"C": [1e-4, 1.0]}, n_jobs=n).fit(X, y).cv_results_
        for n in (1, 2)
    ]
    np.testing.assert_allclose(*(s["mean_test_score"] for s in scores), atol=1e-12)


def test_a_daemonic_process_has_threads_if_no_children():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(effective_threads, (2,)) == 2
