"""
Multilabel classification and decision thresholds
=================================================

A row of a multilabel problem can have several labels. `MultilabelMaxentClassifier` fits all labels
together, with independent sigmoids or with one softmax. Thresholds turn the probabilities into
sets of labels, and this example learns the thresholds that maximise F1. The data are genes of
yeast, each with up to 11 of 14 functions.
"""

# %%
# The data are those of Elisseeff & Weston (2001), which come with the package river.

from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier

from skmaxent import MultilabelMaxentClassifier

folder = Path(find_spec("river").submodule_search_locations[0])
data = pd.read_csv(folder / "datasets" / "yeast.csv.gz")
X, Y = data.filter(like="Att"), data.filter(like="Class").astype(int)
X_train, X_test, Y_train, Y_test = train_test_split(X, Y, test_size=0.4, random_state=0)
print(f"{Y.to_numpy().sum(axis=1).mean():.1f} labels a row")

# %%
# Links and thresholds
# --------------------
# Models with a threshold of 0.5 are compared with models whose thresholds were learned for micro
# or macro F1. "Rows without label" counts the test rows for which no label is predicted.

models = {
    "one-vs-rest, 0.5": OneVsRestClassifier(LogisticRegression(max_iter=1000)),
    "sigmoid, 0.5": MultilabelMaxentClassifier(threshold=0.5),
    "sigmoid, micro F1": MultilabelMaxentClassifier(threshold="f1_micro"),
    "sigmoid, macro F1": MultilabelMaxentClassifier(threshold="f1_macro"),
    "softmax, micro F1": MultilabelMaxentClassifier(link="softmax", threshold="f1_micro"),
    "softmax, macro F1": MultilabelMaxentClassifier(link="softmax", threshold="f1_macro"),
}
scores = {}
for name, model in models.items():
    predicted = np.asarray(model.fit(X_train, Y_train).predict(X_test))
    empty = int((predicted.sum(axis=1) == 0).sum())
    micro, macro = (
        f1_score(Y_test, predicted, average=average, zero_division=0.0)
        for average in ("micro", "macro")
    )
    scores[name] = micro, macro
    print(f"{name:18s} micro F1 {micro:.3f}   macro F1 {macro:.3f}   rows without label {empty}")

# %%
# Thresholds of the labels
# ------------------------
# The left figure has a line for each label: F1 on the test rows against the threshold, with a dot
# at the threshold that was learned on the training rows. Rare labels are dark and frequent ones
# light. The right figure compares the models.

clf = models["sigmoid, macro F1"]
P = clf.predict_proba(X_test)
grid = np.linspace(0.02, 0.98, 97)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
colors = plt.colormaps["viridis"](Y_train.mean().rank(pct=True))
for k in range(14):
    curve = [f1_score(Y_test.iloc[:, k], P[:, k] > t, zero_division=0.0) for t in grid]
    at = clf.threshold_[k]
    left.plot(grid, curve, color=colors[k], linewidth=1)
    left.plot(at, np.interp(at, grid, curve), "o", color=colors[k], markersize=5)
left.axvline(0.5, color="black", linestyle=":", linewidth=1)
left.set(xlabel="threshold", ylabel="F1 of a label", title="F1 of each label by its threshold")
positions = np.arange(len(scores))
right.barh(positions - 0.2, [s[0] for s in scores.values()], 0.4, color="#0072B2", label="micro F1")
right.barh(positions + 0.2, [s[1] for s in scores.values()], 0.4, color="#E69F00", label="macro F1")
right.set(yticks=positions, yticklabels=scores, title="F1 of all labels")
right.invert_yaxis()
right.set_xlim(0, 1)
right.legend(frameon=False, loc="lower right")
