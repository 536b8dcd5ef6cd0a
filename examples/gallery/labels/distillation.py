"""
Knowledge distillation of a random forest
=========================================

In knowledge distillation a small model, the student, is fitted to the probabilities that a large
model, the teacher, predicts. In this example the teacher is a random forest and the student is a
linear classifier, whose file is three thousand times smaller. The student imitates the
probabilities of the forest. If only the accuracy matters, fit the labels instead: the last output
shows the difference.
"""

# %%
# The teacher
# -----------
# The trees of the forest know the rows that they were trained with, and predict them with too much
# confidence. The probabilities of a row are therefore the mean over the trees that were trained
# without this row (out-of-bag predictions).

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
print("the forest's probabilities of the first image:", *(f"{p:.2f}" for p in opinion[0]))

# %%
# The student
# -----------
# One student is fitted to the labels and one to the probabilities of the forest. The output is the
# mean distance between the probabilities of student and forest on test images. The distance is the
# total variation, which is half the sum of the absolute differences.

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
# Size and accuracy
# -----------------
# Each point of the figure is a test image. The student that is fitted to the forest predicts
# probabilities that are closer to those of the forest. The student that is fitted to the labels has
# the higher accuracy.

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
axes[0].set_ylabel("student's probability of the true digit")
