"""Coverage of intervals and size of tests with few unequal clusters, by simulation.

Clusters have sizes from 4 to 60. Their rows share a covariate, another differs between rows, and
the outcomes of a cluster depend on each other by a Gaussian copula, so that each outcome has
exactly the probabilities of a multinomial logit and the coefficients are known. Prints the numbers
of the table of coverage in docs/inference.md.

Usage: python benchmarks/few_clusters.py [n_samples]
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict

import numpy as np
from scipy.special import softmax
from scipy.stats import norm

from skmaxent import MaxentClassifier

COEF = np.array([[0.0, 0.0, 0.0], [0.6, -0.4, 0.2], [0.3, 0.5, 0.0]])  # intercepts last
DEPENDENCE = 0.3
KINDS = {
    "`cluster` (CV1), normal": {"cov_type": "cluster"},
    "`cluster` (CV1), t": {"cov_type": "cluster", "use_t": True},
    "`CV2`, t": {"cov_type": "CV2"},
    "`CV3L`, t": {"cov_type": "CV3L"},
    "`CV3`, t": {"cov_type": "CV3"},
}


def sample(rng: np.random.Generator, n_clusters: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One sample: features, classes, clusters."""
    sizes = np.round(np.geomspace(4, 60, n_clusters)).astype(int)
    groups = np.repeat(np.arange(n_clusters), sizes)
    X = np.column_stack([rng.normal(size=n_clusters)[groups], rng.normal(size=len(groups))])
    P = softmax(np.column_stack([X, np.ones(len(X))]) @ COEF.T, axis=1)
    common, own = rng.normal(size=n_clusters)[groups], rng.normal(size=len(groups))
    u = norm.cdf(np.sqrt(DEPENDENCE) * common + np.sqrt(1.0 - DEPENDENCE) * own)
    return X, (u[:, None] > np.cumsum(P, axis=1)[:, :-1]).sum(axis=1), groups


def coverage(n_clusters: int, n_samples: int) -> tuple[dict[str, list[float]], int]:
    """Shares of intervals of both slopes and classes that have the coefficient, by kind."""
    hits, refused = defaultdict(list), 0
    rng = np.random.default_rng(n_clusters)
    for _ in range(n_samples):
        X, y, groups = sample(rng, n_clusters)
        clf = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
        found = {}
        try:
            for kind, options in KINDS.items():
                ends = clf.infer(X, y, groups=groups, **options).conf_int().to_numpy()
                found[kind] = ends.reshape(2, 3, 2)[:, :2]
        except ValueError:  # a fit without a cluster is separated
            refused += 1
            continue
        truth = COEF[1:, :2]
        for kind, ends in found.items():
            hits[kind].append((ends[..., 0] <= truth) & (truth <= ends[..., 1]))
    return {kind: np.mean(of, axis=(0, 1)).tolist() for kind, of in hits.items()}, refused


def sizes(n_clusters: int, n_samples: int) -> list[float]:
    """Shares of samples that reject a true hypothesis at 5 %: wild bootstrap, Wald with CV1."""
    rng = np.random.default_rng(5)
    rejected = []
    for seed in range(n_samples):
        X, y, groups = sample(rng, n_clusters)
        clf = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
        results = clf.infer(X, y, cov_type="cluster", groups=groups)
        wild = results.wild_bootstrap_test("1:x0 = 0.6", n_bootstrap=499, random_state=seed)
        wald = results.linear_test("1:x0 = 0.6")
        rejected.append([test["p_value"].iloc[0] <= 0.05 for test in (wild, wald)])
    return np.mean(rejected, axis=0).tolist()


def main() -> None:
    """Print the table, and the sizes of tests."""
    n_samples = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    warnings.simplefilter("ignore")
    print("| clusters | covariance | constant in clusters | varies within |\n|---|---|---|---|")
    for n_clusters in (10, 15, 20):
        shares, refused = coverage(n_clusters, n_samples)
        for kind, (between, within) in shares.items():
            print(f"| {n_clusters} | {kind} | {100 * between:.1f} % | {100 * within:.1f} % |")
        print(f"<!-- {n_clusters}: {n_samples} samples, {refused} refused -->", flush=True)
    wild, wald = sizes(12, n_samples // 4)
    print(
        f"12 clusters, rejected at 5 %: {100 * wald:.1f} % by CV1, {100 * wild:.1f} % by bootstrap"
    )


if __name__ == "__main__":
    main()
