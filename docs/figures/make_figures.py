"""Draw the figures of README and of the user guide that are not those of the benchmark.

Run it from the root of the repository: `.venv-test/bin/python docs/figures/make_figures.py`.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import statsmodels.api as sm
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import skmaxent
from skmaxent import (
    CVCurveDisplay,
    InferenceResults,
    MaxentClassifier,
    MaxentClassifierCV,
    PredictionsDisplay,
    cross_entropy,
)

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COLOURS = {"Democrat": "#0072B2", "Independent": "#E69F00", "Republican": "#D55E00"}


def certificate() -> Figure:
    """Return the certified bound and the true gap after each iteration, for the wine data."""
    X, y = load_wine(return_X_y=True)

    def objective(model: MaxentClassifier) -> float:
        loss = cross_entropy(X @ model.coef_.T + model.intercept_, y).mean()
        return float(loss + np.square(model.coef_).sum() / (2 * len(X)))

    best = objective(MaxentClassifier(tol=1e-12).fit(X, y))
    iterations = np.arange(1, 11)
    models = [MaxentClassifier(max_iter=k, tol=1e-12) for k in iterations]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # these fits are stopped early
        for model in models:
            model.fit(X, y)
    gaps = np.array([1 - best / objective(model) for model in models])
    bounds = np.array([model.optimality_gap_ for model in models])
    seen = gaps > 1e-14  # smaller gaps are rounding errors of the objective

    figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    ax.semilogy(iterations, bounds, "o-", color="#D55E00", label="optimality_gap_, an upper bound")
    ax.semilogy(iterations[seen], gaps[seen], "s--", color="#0072B2", label="true gap")
    ax.set(
        xlabel="iterations",
        ylabel="relative distance of the\nobjective from its minimum",
        title="Certificate of optimality, wine data in raw units",
    )
    ax.set_xticks(iterations)
    ax.legend(frameon=False)
    return figure


def election() -> InferenceResults:
    """Return the results for the party identification of 944 American voters."""
    data = sm.datasets.anes96.load_pandas().data
    X = data[["age", "educ", "income", "selfLR"]].rename(columns={"selfLR": "conservative"})
    y = pd.cut(data["PID"], [-1, 1, 4, 6], labels=list(COLOURS)).astype(str)
    return MaxentClassifier(C=np.inf).fit(X, y).infer(X, y)


def predictions() -> Figure:
    """Return the probabilities of the parties over the position of the voter."""
    figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    PredictionsDisplay.from_results(election(), "conservative", ax=ax)
    ax.set(xlabel="position of the voter, from liberal (1) to conservative (7)")
    ax.set(title="Party identification, United States 1996", ylabel="probability")
    return figure


def cv_curve() -> Figure:
    """Return the cross-validation curve of a lasso for the tumours of scikit-learn."""
    X, y = load_breast_cancer(return_X_y=True)
    clf = MaxentClassifierCV(
        l1_ratios=[1.0], Cs=40, standardize=True, selection="one_standard_error"
    ).fit(X, y)
    figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    CVCurveDisplay.from_estimator(clf, ax=ax)
    return figure


def leave_one_out() -> Figure:
    """Return held-out log-probabilities by one Newton step and by refits, for wide data."""
    rng = np.random.default_rng(0)
    n, d = 150, 60
    X = rng.normal(size=(n, d))
    y = (X @ rng.normal(size=(d, 3)) * 0.3 + rng.gumbel(size=(n, 3))).argmax(axis=1)
    rows = np.arange(n)
    model = MaxentClassifier(C=0.3).fit(X, y)
    refitted = np.empty(n)
    for i in rows:
        without = MaxentClassifier(C=0.3).fit(X[rows != i], y[rows != i])
        refitted[i] = without.predict_log_proba(X[[i]])[0, y[i]]
    found = {
        "Fit to all rows": model.predict_log_proba(X)[rows, y],
        "One Newton step": skmaxent.leave_one_out(model, X, y, max_refits=0).log_proba[rows, y],
    }
    figure, axes = plt.subplots(
        1, 2, figsize=(7, 3.6), sharex=True, sharey=True, layout="constrained"
    )
    for ax, (title, values) in zip(axes, found.items(), strict=True):
        ax.plot([refitted.min(), 0], [refitted.min(), 0], color="0.6", linewidth=1)
        ax.plot(refitted, values, "o", markersize=4, alpha=0.7)
        ax.set(title=title, xlabel="log-probability in the fit without the row")
    axes[0].set_ylabel("log-probability of\nthe observed class")
    return figure


def cluster() -> Figure:
    """Return the predicted time of a gradient by the number of workers, from the cost model."""
    sys.path.append(str(ROOT / "benchmarks"))
    from cluster import predicted

    model = json.loads((ROOT / "benchmarks/results/cluster.json").read_text())["model"]
    workers = (60, 100, 200, 400, 1000)
    parts = pd.DataFrame({str(n): predicted(model, n)[2] for n in workers})
    names = {
        "compute": "arithmetic",
        "tasks": "starting of tasks",
        "bytes": "transfer",
        "latency": "latency",
    }
    figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    bottom = np.zeros(len(workers))
    colours = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
    for (part, name), colour in zip(names.items(), colours, strict=True):
        ax.bar(parts.columns, parts.loc[part], bottom=bottom, color=colour, label=name)
        bottom += parts.loc[part]
    for n, total in zip(parts.columns, bottom, strict=True):
        ax.annotate(f"{total:.1f} s", (n, total), (0, 2), textcoords="offset points", ha="center")
    ax.set(xlabel="workers with 4 threads and 16 GB each", ylabel="seconds for a gradient")
    ax.set_title("Prediction for 10⁹ rows, 100 columns and 10 classes (800 GB)")
    ax.legend(frameon=False, loc="upper left")
    return figure


def callbacks() -> Figure:
    """Return the log loss on training and on test images after each iteration."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
    losses: dict[str, list[float]] = {"training images": [], "test images": []}

    class Losses:
        """Compute the loss of both sets at the end of each iteration."""

        def setup(self, estimator: Any, context: Any) -> None:
            pass

        def teardown(self, estimator: Any, context: Any) -> None:
            pass

        def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
            pass

        def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> None:
            if context.parent is not None:
                for found, rows, labels in zip(
                    losses.values(), (X_train, X_test), (y_train, y_test), strict=True
                ):
                    found.append(log_loss(labels, fitted_estimator.predict_proba(rows)))

    MaxentClassifier(solver="newton-cg").set_callbacks(Losses()).fit(X_train, y_train)
    figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for (name, found), style in zip(losses.items(), ("o-", "s--"), strict=True):
        ax.plot(range(1, len(found) + 1), found, style, label=name)
    ax.set(xlabel="iteration", ylabel="log loss", ylim=(0, None))
    ax.set_title("Digits of scikit-learn, C = 1")
    ax.legend(frameon=False)
    return figure


if __name__ == "__main__":
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    plt.rcParams["axes.prop_cycle"] = plt.cycler(color=list(COLOURS.values()))
    for draw in (certificate, predictions, cv_curve, leave_one_out, cluster, callbacks):
        draw().savefig(HERE / f"{draw.__name__}.png", dpi=140)
