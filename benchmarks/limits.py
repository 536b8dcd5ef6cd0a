"""What the matrix products of a fit cost at least, and where the rest of its time goes.

Each fit runs in one thread under the profiler, which makes fits of few rows up to twice as long.
The time of a function of another library counts for the package of skmaxent that called it.
"""

import cProfile
import pstats
import warnings
from functools import partial
from pathlib import Path

import scipy.sparse as sp
from cases import REAL, problem
from measure import counted_passes, median_seconds, pair_seconds
from threadpoolctl import threadpool_limits

import skmaxent
from skmaxent import MaxentClassifier

PACKAGE = Path(skmaxent.__file__).parent
# Packages of skmaxent by the kind of work that they do; the others are "other".
KINDS = {
    "_storage": "products",
    "_softmax": "probabilities",
    "_objective": "probabilities",
    "_solvers": "solver",
}


def _shares(profile):
    """Return the share of the profiled time that each kind of work takes."""
    stats = pstats.Stats(profile).stats
    found = {}

    def kinds(function, seen=()):
        """Return the kinds of work that a function is called for, with weights of sum 1."""
        path = Path(function[0])
        if PACKAGE in path.parents:
            return {KINDS.get(path.relative_to(PACKAGE).parts[0], "other"): 1.0}
        if function in found:
            return found[function]
        callers = {
            caller: times[2] + 1e-12
            for caller, times in stats[function][4].items()
            if caller not in seen and caller != function
        }
        total, result = sum(callers.values()), {}
        for caller, seconds in callers.items():
            for kind, share in kinds(caller, (*seen, function)).items():
                result[kind] = result.get(kind, 0.0) + share * seconds / total
        found[function] = result or {"other": 1.0}
        return found[function]

    totals = dict.fromkeys([*dict.fromkeys(KINDS.values()), "other"], 0.0)
    for function, (_, _, seconds, _, _) in stats.items():
        for kind, share in kinds(function).items():
            totals[kind] += share * seconds
    whole = sum(totals.values())
    return {kind: seconds / whole for kind, seconds in totals.items()}


def _limit(name, repeats):
    X, y, penalty = problem(name)
    n_logits = int(y.max()) + 1 if y.max() > 1 else 1
    options = {"C": penalty.C, "l1_ratio": penalty.l1_ratio, "grouped": penalty.grouped}
    fit = partial(MaxentClassifier(**options).fit, X, y)
    profile = cProfile.Profile()
    profile.runcall(fit)
    return {
        "flop": 4.0 * (X.nnz if sp.issparse(X) else X.size) * n_logits,
        "bytes": float(X.data.nbytes + X.indices.nbytes if sp.issparse(X) else X.nbytes),
        "pair": pair_seconds(X, n_logits),
        "pairs": sum(counted_passes(MaxentClassifier(**options, verbose=1), X, y)),
        "seconds": median_seconds(fit, repeats),
        "shares": _shares(profile),
    }


def limits(repeats):
    """The least that the matrix products cost, in one thread, and where the time of a fit goes.

    A pair is one `X @ W` and one `X.T @ G`, which every gradient and every Hessian product needs.
    `pairs` is their number in a fit at the default `tol`, over all rows; products over samples of
    rows and the starting fits of a path are not in it. `limit` is the time of these pairs with
    NumPy or SciPy in the precision of X. It can be longer than the fit where skmaxent computes
    products in float32 or over merged columns. The last columns are shares of the time of the fit:
    matrix products and copies of X; probabilities and derivatives; the solver with its
    preconditioners and certificate; input checks and everything else.
    """
    found = {}
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        for name in [case.__name__ for case in REAL]:
            found[name] = _limit(name, repeats)
            print(f"limits {name} {found[name]}", flush=True)
    return {"case": "limits", "description": " ".join(limits.__doc__.split()), "limits": found}
