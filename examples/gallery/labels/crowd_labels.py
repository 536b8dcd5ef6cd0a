"""
Labels from several annotators
==============================

In crowdsourcing, several annotators label each image and sometimes disagree. `fit` takes their
votes as y: a table of counts with a row for each image and a column for each class. This example
compares a fit to all votes with a fit to the labels of the majority. The images are the digits that
come with scikit-learn.
"""

# %%
# Votes
# -----
# The votes are simulated. Each of five annotators has a rate of mistakes. By mistake an annotator
# chooses a digit that looks similar, that is, to which a model with a strong penalty gives a large
# probability.

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
# A row of five votes counts as five observations. Each label of the majority therefore gets the
# weight 5. The third fit, to the true digits, is for comparison. The output is for test images
# whose digit is known.
#
# The fit to all votes has a higher accuracy than the fit to the labels of the majority, but a
# larger log loss. It predicts the probability that an annotator votes for a digit. These
# probabilities are as uncertain as the annotators, so that the calibration error is large.
# :doc:`Temperature scaling <temperature>` on 50 images whose digit is known reduces the log loss to
# 0.30 and the calibration error to 0.02.

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
# The figure shows five images on which the annotators disagreed most, with the shares of the votes
# and the probabilities of the model that was fitted to all votes.

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
