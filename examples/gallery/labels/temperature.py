"""
Temperature scaling and calibration
===================================

A model that is fitted to few rows with a weak penalty is overconfident: its largest probabilities
are too high. Temperature scaling divides the logits by one number, the temperature, which is fitted
to held-out rows. It corrects the probabilities and does not change the predicted classes. The data
are the digits that come with scikit-learn, with noise added to the pixels.
"""

# %%
# ``CalibratedClassifierCV`` of scikit-learn (1.8 or later) does the scaling. ``FrozenEstimator``
# keeps it from fitting the classifier again.
#
# The output is for test images. The calibration error is the mean absolute difference between
# predicted probabilities and observed shares, over groups of images with similar probabilities,
# weighted by the sizes of the groups. The top-label error compares the largest probability of an
# image with the share of correct predictions. The class-wise error compares the probability of a
# digit with the share of images that show it, and is the mean over the ten digits.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skmaxent import MaxentClassifier, expected_calibration_error, softmax

X, y = load_digits(return_X_y=True)
X = X + np.random.default_rng(0).normal(scale=4.0, size=X.shape)  # scans with noise
X_train, X_rest, y_train, y_rest = train_test_split(X, y, train_size=400, random_state=0)
X_held, X_test, y_held, y_test = train_test_split(X_rest, y_rest, random_state=0)

clf = MaxentClassifier(C=10.0).fit(X_train, y_train)
scaled = CalibratedClassifierCV(FrozenEstimator(clf), method="temperature").fit(X_held, y_held)
before, after = clf.predict_proba(X_test), scaled.predict_proba(X_test)
for name, P in (("before", before), ("after", after)):
    print(
        f"{name:7s} log loss {log_loss(y_test, P):.3f}   "
        f"top-label error {expected_calibration_error(y_test, P):.3f}   "
        f"class-wise error {expected_calibration_error(y_test, P, kind='class-wise'):.3f}"
    )

# %%
# Reliability curves
# ------------------
# In the left figure the test images are divided into eight groups by the largest probability. It
# shows the share of correct predictions in each group. The right figure shows the log loss on the
# held-out rows for each temperature. Temperature scaling chooses the temperature with the smallest
# loss.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
for name, P, color, marker in (
    ("before", before, "#D55E00", "o"),
    ("after", after, "#0072B2", "s"),
):
    right_label = P.argmax(axis=1) == y_test
    CalibrationDisplay.from_predictions(
        right_label,
        P.max(axis=1),
        n_bins=8,
        strategy="quantile",
        ax=left,
        name=name,
        color=color,
        marker=marker,
    )
left.set(xlabel="probability of the predicted class", ylabel="share of correct predictions")
left.set_title("Reliability before and after scaling")

temperatures = np.geomspace(0.5, 20, 60)
logits = clf.decision_function(X_held)
losses = [log_loss(y_held, softmax(logits / t)) for t in temperatures]
best = temperatures[int(np.argmin(losses))]
right.plot(temperatures, losses, color="#0072B2")
right.axvline(best, color="black", linestyle=":")
right.annotate(f"T = {best:.1f}", (best, max(losses)), xytext=(6, -6), textcoords="offset points")
right.set(xscale="log", xlabel="temperature T", ylabel="log loss on held-out rows")
right.set_title("Choice of the temperature")
