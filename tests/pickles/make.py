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


FRAME, Y = load_iris(return_X_y=True, as_frame=True)
X, NAMES = FRAME.to_numpy(), np.array(["setosa", "versicolor", "virginica"])[Y]
SETS, LABELS = make_multilabel_classification(n_samples=60, n_features=5, random_state=0)
LABEL_FRAME = pd.DataFrame(LABELS, columns=list("abcde"))

# How models are fitted, and the rows that they predict.
MODELS = {
    "three_classes": (lambda: MaxentClassifier().fit(FRAME, NAMES), FRAME[::15]),
    "two_classes": (lambda: MaxentClassifier(class_weight="balanced").fit(X, Y > 0), X[::15]),
    "float32": (lambda: MaxentClassifier(C=10.0).fit(X.astype(np.float32), Y), X[::15]),
    "sparse": (
        lambda: MaxentClassifier(C=0.05, l1_ratio=1.0).fit(X, NAMES).sparsify(),
        X[::15],
    ),
    "corrected": (
        lambda: MaxentClassifier(prior_correction=[0.6, 0.3, 0.1]).fit(X, Y),
        X[::15],
    ),
    "bounds": (lambda: MaxentClassifier(bounds=(0.0, None)).fit(X, Y), X[::15]),
    "cross_validated": (
        lambda: MaxentClassifierCV(Cs=4, l1_ratios=[0.0, 1.0]).fit(X, NAMES),
        X[::15],
    ),
    "labels": (
        lambda: MultilabelMaxentClassifier(threshold="f1_macro").fit(SETS, LABEL_FRAME),
        SETS[::6],
    ),
    "softmax_labels": (
        lambda: MultilabelMaxentClassifier(link="softmax").fit(SETS, LABELS),
        SETS[::6],
    ),
}


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    for name, (fitted, rows) in MODELS.items():
        model = fitted()
        with (directory / f"{name}.pickle").open("wb") as file:
            pickle.dump(model, file, protocol=PROTOCOL)
        expected = {
            "X": np.asarray(rows).tolist(),
            "columns": list(getattr(rows, "columns", [])),
            "predict": model.predict(rows).tolist(),
            "predict_proba": model.predict_proba(rows).astype(float).tolist(),
        }
        (directory / f"{name}.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    warnings.simplefilter("error")
    main(Path(sys.argv[1]))
