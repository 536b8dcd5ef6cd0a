"""What each value of `solver` costs, on data of scikit-learn in the units that they come in.

Prints the table of docs/solvers.md: iterations, passes over X, and CPU time relative to "auto",
which is the median of repetitions in which the solvers take turns. Run it with OMP_NUM_THREADS=1.
"""

import statistics
import time

from measure import counted_passes
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from skmaxent import MaxentClassifier

DATA = {
    "wine (178 × 13, 3 classes)": load_wine,
    "breast cancer (569 × 30, 2 classes)": load_breast_cancer,
    "digits (1,797 × 64, 10 classes)": load_digits,
}
SOLVERS = ("auto", "newton-cg", "newton-cholesky", "lbfgs", "trust-krylov", "trust-ncg")
REPETITIONS = 15


def passes_and_iterations(solver, X, y):
    """Gradients and Hessian products of a fit to the default `tol`, and its iterations."""
    clf = MaxentClassifier(solver=solver, max_iter=10_000, verbose=1)
    return *counted_passes(clf, X, y), int(clf.n_iter_[0])


def seconds(X, y):
    """Median seconds of CPU time of a fit by each solver."""
    found = {solver: [] for solver in SOLVERS}
    for repetition in range(REPETITIONS + 1):
        for solver in SOLVERS:
            start = time.process_time()
            MaxentClassifier(solver=solver, max_iter=10_000).fit(X, y)
            if repetition:  # the first is for warming up
                found[solver].append(time.process_time() - start)
    return {solver: statistics.median(times) for solver, times in found.items()}


def main():
    print("| data | `solver` | iterations | gradients | Hessian products | time / `auto` |")
    print("|---|---|---|---|---|---|")
    for name, load in DATA.items():
        X, y = load(return_X_y=True)
        times = seconds(X, y)
        for solver in SOLVERS:
            gradients, products, n_iter = passes_and_iterations(solver, X, y)
            ratio = times[solver] / times["auto"]
            print(f"| {name} | `{solver}` | {n_iter} | {gradients} | {products} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
