"""
Labels from a crowd
===================

Five annotators label digits, each with their own rate of mistakes. The table of their votes is y:
a row of counts, which says both what most of them saw and how sure they are together. The fit to
all votes is compared with the fit to the majority's label.
"""

# %%
# Votes
# -----
# An annotator who errs picks a digit that looks alike: the labels that a weak model mixes up.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skmaxent import MaxentClassifier, expected_calibration_error

X, digit = load_digits(return_X_y=True)
X, X_test, digit, digit_test = train_test_split(X, digit, train_size=600, random_state=0)
rng = np.random.default_rng(0)

alike = MaxentClassifier(C=1e-4).fit(X, digit).predict_proba(X)
alike[np.arange(len(X)), digit] = 0.0
alike /= alike.sum(axis=1, keepdims=True)

votes = np.zeros((len(X), 10))
for mistakes in (0.2, 0.3, 0.4, 0.5, 0.6):
    errs = rng.random(len(X)) < mistakes
    wrong = (alike.cumsum(axis=1) > rng.random((len(X), 1))).argmax(axis=1)
    votes[np.arange(len(X)), np.where(errs, wrong, digit)] += 1

majority = votes.argmax(axis=1)
print(f"the majority is wrong for {np.mean(majority != digit):.1%} of the digits")

# %%
# Two fits
# --------
# A row of five votes is five observations, as for the majority's label with a weight of five. The
# votes lead to better predictions. Their probabilities are those of a vote, not of the truth: they
# are as spread as the crowd's, which the calibration error shows. Temperature scaling on a few
# digits whose truth is known brings them together.

models = {
    "all votes": MaxentClassifier(C=0.01).fit(X, votes),
    "majority": MaxentClassifier(C=0.01).fit(X, majority, sample_weight=np.full(len(X), 5.0)),
    "truth": MaxentClassifier(C=0.01).fit(X, digit, sample_weight=np.full(len(X), 5.0)),
}
results = {}
for name, clf in models.items():
    P = clf.predict_proba(X_test)
    results[name] = clf.score(X_test, digit_test), log_loss(digit_test, P)
    error = expected_calibration_error(digit_test, P)
    print(
        f"{name:10s} accuracy {results[name][0]:.3f}   log loss {results[name][1]:.3f}   "
        f"calibration error {error:.3f}"
    )

# %%
# What the votes keep
# -------------------
# Digits on which the crowd disagreed, with the shares of its votes and what the model says.

disputed = np.argsort(votes.max(axis=1))[:5]
P = models["all votes"].predict_proba(X[disputed])
figure, axes = plt.subplots(2, 5, figsize=(10, 4.2), layout="constrained")
for column, row in enumerate(disputed):
    image, bars = axes[:, column]
    image.imshow(X[row].reshape(8, 8), cmap="gray_r")
    image.set(xticks=[], yticks=[], title=f"a {digit[row]}")
    bars.bar(np.arange(10) - 0.2, votes[row] / 5, width=0.4, color="#0072B2", label="votes")
    bars.bar(np.arange(10) + 0.2, P[column], width=0.4, color="#E69F00", label="model")
    bars.set(xticks=range(10), ylim=(0, 1), yticks=[0, 0.5, 1])
axes[1, 0].legend(frameon=False)
axes[1, 0].set_ylabel("share")
figure.suptitle("Digits that the crowd could not agree on")
