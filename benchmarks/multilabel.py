"""Several labels a row: time, objective and F1 against scikit-learn's wrappers, on yeast."""

import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.preprocessing import StandardScaler

from skmaxent import MultilabelMaxentClassifier


def _contenders():
    def wrapped(wrapper, **params):
        return lambda: wrapper(LogisticRegression(**params))

    def ours(**params):
        return lambda: MultilabelMaxentClassifier(**params)

    return {
        "skmaxent, sigmoid": ours(),
        "OneVsRest(lbfgs)": wrapped(OneVsRestClassifier, max_iter=10_000),
        "OneVsRest(lbfgs, tol=1e-6)": wrapped(OneVsRestClassifier, max_iter=10_000, tol=1e-6),
        "OneVsRest(newton-cholesky)": wrapped(OneVsRestClassifier, solver="newton-cholesky"),
        "ClassifierChain(lbfgs)": wrapped(ClassifierChain, max_iter=10_000),
        "skmaxent, sigmoid, f1_micro": ours(threshold="f1_micro"),
        "skmaxent, sigmoid, f1_macro": ours(threshold="f1_macro"),
        "skmaxent, softmax, f1_micro": ours(link="softmax"),
        "skmaxent, softmax, f1_macro": ours(link="softmax", threshold="f1_macro"),
    }


def _objective(model, X, Y):
    """Sum over labels of C = 1 logistic regressions' objectives, None for other models."""
    if isinstance(model, OneVsRestClassifier):
        coef = np.vstack([one.coef_ for one in model.estimators_])
        intercept = np.concatenate([one.intercept_ for one in model.estimators_])
    elif isinstance(model, MultilabelMaxentClassifier) and model.link == "sigmoid":
        coef, intercept = model.coef_, model.intercept_
    else:
        return None
    Z = X @ coef.T + intercept
    return float((np.logaddexp(0.0, Z) - Y * Z).sum() + 0.5 * (coef**2).sum())


def multilabel(repeats):
    """yeast (Elisseeff & Weston 2001): 103 features, 14 labels, 1,450 rows to fit, 967 to score."""
    folder = Path(find_spec("river").submodule_search_locations[0]) / "datasets"
    data = pd.read_csv(folder / "yeast.csv.gz")
    X = StandardScaler().fit_transform(data.filter(like="Att"))
    Y = data.filter(like="Class").to_numpy(int)
    X, X_test, Y, Y_test = train_test_split(X, Y, test_size=0.4, random_state=0)
    seconds, found = {}, {}
    for _ in range(max(repeats, 5)):
        for name, make in _contenders().items():
            model = make()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                start = time.perf_counter()
                model.fit(X, Y)
                seconds.setdefault(name, []).append(time.perf_counter() - start)
            found[name] = model
    values = {name: _objective(model, X, Y) for name, model in found.items()}
    least = min(value for value in values.values() if value is not None)
    rows = {}
    for name, model in found.items():
        predicted = model.predict(X_test)
        value = values[name]
        rows[name] = {
            "seconds": float(np.median(seconds[name])),
            "gap": None if value is None else (value - least) / least,
            "micro": float(f1_score(Y_test, predicted, average="micro", zero_division=0.0)),
            "macro": float(f1_score(Y_test, predicted, average="macro", zero_division=0.0)),
            "empty": int((predicted.sum(axis=1) == 0).sum()),
        }
        print(f"multilabel {name} {rows[name]}", flush=True)
    return {"case": "multilabel", "description": multilabel.__doc__, "labels": rows}
