"""Fit the models of this directory and pickle them, with what they predict: see README.md.

python tests/pickles/make.py DIRECTORY
"""

import json
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_iris, make_multilabel_classification

from skmaxent import MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier

PROTOCOL = 4


def models():
    """Fitted models by name, and the rows that they predict."""
    frame, y = load_iris(return_X_y=True, as_frame=True)
    X, names = frame.to_numpy(), np.array(["setosa", "versicolor", "virginica"])[y]
    sets, Y = make_multilabel_classification(n_samples=60, n_features=5, random_state=0)
    labels = pd.DataFrame(Y, columns=list("abcde"))
    lasso = MaxentClassifier(C=0.05, l1_ratio=1.0).fit(X, names)
    return {
        "three_classes": (MaxentClassifier().fit(frame, names), frame[::15]),
        "two_classes": (MaxentClassifier(class_weight="balanced").fit(X, y > 0), X[::15]),
        "float32": (MaxentClassifier(C=10.0).fit(X.astype(np.float32), y), X[::15]),
        "sparse": (lasso.sparsify(), X[::15]),
        "corrected": (
            MaxentClassifier(prior_correction=[0.6, 0.3, 0.1]).fit(X, y),
            X[::15],
        ),
        "bounds": (MaxentClassifier(bounds=(0.0, None)).fit(X, y), X[::15]),
        "cross_validated": (
            MaxentClassifierCV(Cs=4, l1_ratios=[0.0, 1.0]).fit(X, names),
            X[::15],
        ),
        "labels": (MultilabelMaxentClassifier(threshold="f1_macro").fit(sets, labels), sets[::6]),
        "softmax_labels": (MultilabelMaxentClassifier(link="softmax").fit(sets, Y), sets[::6]),
    }


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    for name, (model, X) in models().items():
        with (directory / f"{name}.pickle").open("wb") as file:
            pickle.dump(model, file, protocol=PROTOCOL)
        expected = {
            "X": np.asarray(X).tolist(),
            "columns": list(getattr(X, "columns", [])),
            "predict": model.predict(X).tolist(),
            "predict_proba": model.predict_proba(X).astype(float).tolist(),
        }
        (directory / f"{name}.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    warnings.simplefilter("error")
    main(Path(sys.argv[1]))
