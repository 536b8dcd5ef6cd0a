"""
A forest distilled into a linear model
======================================

The probabilities of a random forest are y for a linear classifier, which so learns to answer as the
forest does: how sure it is, too, and not only which class it takes. It is a thousandth of the
forest's size. Where the labels alone are the aim, fit to the labels: the last lines show the price.
"""

# %%
# The teacher
# -----------
# What the forest says of its own training rows would be too sure: the trees that have not seen a
# row speak for it (out of bag).

import pickle

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from skmaxent import MaxentClassifier

X, digit = load_digits(return_X_y=True)
X, X_test, digit, digit_test = train_test_split(X, digit, train_size=1200, random_state=0)
forest = RandomForestClassifier(500, oob_score=True, random_state=0).fit(X, digit)
opinion = forest.oob_decision_function_
print("a row of y:", opinion[0].round(2))

# %%
# The student
# -----------

models = {
    "fitted to labels": MaxentClassifier(C=0.01).fit(X, digit),
    "fitted to the forest": MaxentClassifier(C=0.01).fit(X, opinion),
}
teacher = forest.predict_proba(X_test)
for name, clf in models.items():
    P = clf.predict_proba(X_test)
    distance = np.abs(P - teacher).sum(axis=1).mean() / 2  # total variation
    print(f"{name:20s} distance to the forest {distance:.3f}")

# %%
# What it costs, in bytes and in errors
# -------------------------------------

print(
    f"forest: {len(pickle.dumps(forest)):,} bytes, accuracy {forest.score(X_test, digit_test):.3f}"
)
for name, clf in models.items():
    size = len(pickle.dumps(clf))
    print(f"{name}: {size:,} bytes, accuracy {clf.score(X_test, digit_test):.3f}")

figure, axes = plt.subplots(1, 2, figsize=(8.5, 4.2), sharey=True, layout="constrained")
rows = np.arange(len(X_test))
for ax, (name, clf), color in zip(axes, models.items(), ("#D55E00", "#0072B2"), strict=True):
    P = clf.predict_proba(X_test)
    ax.plot(teacher[rows, digit_test], P[rows, digit_test], ".", color=color, alpha=0.4)
    ax.plot([0, 1], [0, 1], ":", color="black")
    ax.set(xlabel="forest's probability of the true digit", title=name, aspect="equal")
axes[0].set_ylabel("linear model's probability of it")
