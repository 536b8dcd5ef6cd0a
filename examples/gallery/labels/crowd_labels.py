"""
Labels from several annotators
==============================

In crowdsourcing, several annotators label each image and sometimes disagree. Their votes can be
used as y: a table of counts with a row for each image and a column for each class. This example
compares a fit to all votes with a fit to the label of the majority.
"""

# %%
# Votes
# -----
# The votes are simulated. Each of five annotators has a rate of mistakes, and chooses by mistake
# a digit that looks similar. Digits look similar if a strongly penalised model confuses them.

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
print(f"the label of the majority is wrong for {np.mean(majority != digit):.1%} of the digits")

# %%
# Two fits
# --------
# A row of five votes counts as five observations. The label of the majority therefore gets a
# weight of five. The fit to the votes has the higher accuracy. Its probabilities are those of a
# vote and not of the true digit: they are as uncertain as the annotators, which the calibration
# error shows. Temperature scaling on a few images whose digit is known would correct this.

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
# Disputed images
# ---------------
# These are the images on which the annotators disagreed most, with the shares of the votes and the
# probabilities of the model.

disputed = np.argsort(votes.max(axis=1))[:5]
P = models["all votes"].predict_proba(X[disputed])
figure, axes = plt.subplots(2, 5, figsize=(10, 4.2), layout="constrained")
for column, row in enumerate(disputed):
    image, bars = axes[:, column]
    image.imshow(X[row].reshape(8, 8), cmap="gray_r")
    image.set(xticks=[], yticks=[], title=f"true digit {digit[row]}")
    bars.bar(np.arange(10) - 0.2, votes[row] / 5, width=0.4, color="#0072B2", label="votes")
    bars.bar(np.arange(10) + 0.2, P[column], width=0.4, color="#E69F00", label="model")
    bars.set(xticks=range(10), ylim=(0, 1), yticks=[0, 0.5, 1])
axes[1, 0].legend(frameon=False)
axes[1, 0].set_ylabel("share")
figure.suptitle("Votes and predicted probabilities of disputed digits")
