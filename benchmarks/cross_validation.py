"""Choice of the penalty by five folds: skmaxent against cv.glmnet in R and scikit-learn."""

import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from cases import lasso
from paths import write_for_r
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifierCV, maxent_path

SCRIPT = Path(__file__).with_name("glmnet_cv.R")
N_PENALTIES, N_FOLDS = 100, 5


def _standardised(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


DATA = {
    "iris": lambda: _standardised(load_iris),
    "wine": lambda: _standardised(load_wine),
    "cancer": lambda: _standardised(load_breast_cancer),
    "digits": lambda: _standardised(load_digits),
    "dense": lambda: lasso()[:2],
}
# scikit-learn has no solver of lassos that ends within minutes here.
WITH_SKLEARN = {("iris", 0.0), ("wine", 0.0), ("cancer", 0.0), ("digits", 0.0)}


def _seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _scores(model):
    """The mean scores and their standard errors, in ascending order of C."""
    table = model.cv_results_frame().sort_values("C")
    return table["mean_score"].to_numpy(), table["standard_error"].to_numpy()


def _glmnet(folder, l1_ratio):
    """Seconds of `cv.glmnet`, and its mean log losses in the order of the penalties."""
    command = ["Rscript", str(SCRIPT), str(folder), str(l1_ratio)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(out.split()[-1]), np.fromfile(folder / "score.bin")


def _versus(name, l1_ratio, repeats):
    X, y = DATA[name]()
    folds = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(X, y))
    numbers = np.empty(len(y), np.int32)
    for i, (_, test) in enumerate(folds, 1):
        numbers[test] = i
    # As in cv.glmnet, folds have the penalties of the mean loss, and their sizes as weights.
    options = {"l1_ratios": [l1_ratio], "cv": folds, "fold_weights": "size"}
    first = MaxentClassifierCV(Cs=N_PENALTIES, **options).fit(X, y)
    Cs = first.Cs_
    alphas = 1.0 / (len(y) * Cs)
    exact = MaxentClassifierCV(alphas=alphas, cv_tol=0.0, tol=1e-6, **options).fit(X, y)
    truth, std_err = _scores(exact)
    near = truth >= truth.max() - 2.0 * std_err[truth.argmax()]

    def error(scores):
        return float((np.abs(scores - truth) / std_err)[near].max())

    def sklearn():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            LogisticRegressionCV(
                Cs=Cs,
                l1_ratios=(0.0,),
                cv=folds,
                solver="lbfgs" if name == "digits" else "newton-cholesky",
                scoring="neg_log_loss",
                max_iter=1000,
                use_legacy_attributes=False,
            ).fit(X, y)

    times = {"skmaxent": [], "path": [], "cv.glmnet": [], "scikit-learn": []}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_for_r(X, y, folder)
        numbers.tofile(folder / "fold.bin")
        np.sort(alphas)[::-1].tofile(folder / "lambda.bin")
        for _ in range(repeats):
            ours = MaxentClassifierCV(alphas=alphas, **options)
            times["skmaxent"].append(_seconds(lambda model=ours: model.fit(X, y)))
            times["path"].append(_seconds(lambda: maxent_path(X, y, Cs=Cs, l1_ratio=l1_ratio)))
            seconds, losses = _glmnet(folder, l1_ratio)
            times["cv.glmnet"].append(seconds)
            if (name, l1_ratio) in WITH_SKLEARN:
                times["scikit-learn"].append(_seconds(sklearn))
    found, _ = _scores(ours)
    medians = {key: float(np.median(values)) for key, values in times.items() if values}
    return medians | {"our error": error(found), "error of glmnet": error(-losses)}


def cross_validation(repeats):
    """`MaxentClassifierCV` with five folds and 100 penalties."""
    found = {}
    for l1_ratio, kind in ((0.0, "ridge"), (1.0, "lasso")):
        for name in DATA:
            found[f"{name}, {kind}"] = _versus(name, l1_ratio, 1 if name == "dense" else repeats)
            print(f"{name}, {kind} {found[f'{name}, {kind}']}", flush=True)
    return {
        "case": "cross_validation",
        "description": cross_validation.__doc__,
        "folds": found,
    }
