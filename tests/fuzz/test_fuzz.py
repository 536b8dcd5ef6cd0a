"""Some hundred problems of the fuzz; `python -m tests.fuzz` runs as many as there is time for."""

import pytest
from threadpoolctl import threadpool_limits

from fuzz.examine import examine

SEEDS = {
    "smooth": 60,
    "composite": 30,
    "multilabel": 30,
    "inference": 70,
    "path": 20,
    "cv": 10,
    "partial": 10,
    "jeffreys": 40,
    "wide": 10,
}
EVERYWHERE = {
    "STORAGE",
    "WARM",
    "PREDICT",
    "NONFINITE",
    "INPUT CHANGED",
    "ERROR",
    "CERTIFICATE",
    "SEPARATED",
}
CHECKS = {
    "smooth": EVERYWHERE | {"ABOVE", "WORK"},
    "composite": EVERYWHERE | {"ABOVE", "WORK"},
    "multilabel": EVERYWHERE | {"ABOVE", "WORK"},
    "inference": EVERYWHERE | {"ABOVE", "RESULTS", "WORK"},
    "path": (EVERYWHERE | {"ABOVE", "WORK"}) - {"CERTIFICATE"},
    "cv": EVERYWHERE | {"ABOVE", "SCORE", "CHOICE", "REFIT", "WORK"},
    "partial": EVERYWHERE | {"ABOVE", "START", "WORK"},
    "jeffreys": EVERYWHERE | {"ABOVE", "MAXIMUM", "WORK"},
    "wide": EVERYWHERE | {"ABOVE"},
}


@pytest.mark.parametrize(
    ("kind", "first"), [(kind, first) for kind in SEEDS for first in range(0, SEEDS[kind], 10)]
)
def test_fits_agree_with_the_reference(kind, first):
    failures, n_compared = [], 0
    with threadpool_limits(1):
        for seed in range(first, first + 10):
            outcome, problem = examine(kind, seed)
            n_compared += outcome.skipped is None
            failures += [
                f"{check}: python -m tests.fuzz --kind {kind} --seed {seed} --problems 1: "
                f"{figures}: {problem}"
                for check, figures in outcome.failures
                if check in CHECKS[kind]
            ]
    assert not failures, "\n".join(failures)
    assert n_compared >= 5
