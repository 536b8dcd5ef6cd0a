"""
Updating a model with few new rows (prior coefficients)
=======================================================

A model can be updated when a few new rows arrive that differ somewhat from the old rows.
``prior_coef`` shrinks the new coefficients towards the coefficients of the old model instead of
towards zero. The data are the 1,797 digits that come with scikit-learn. Images that follow each
other are often by the same writer, so that the last images are mostly by other people than the
first.
"""

# %%
# The old model is fitted to the first 300 images. The new images are drawn from images 900 to
# 1,299, and the last 497 images are the test set.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skmaxent import MaxentClassifier

X, y = load_digits(return_X_y=True)
old, pool, test = slice(0, 300), np.arange(900, 1300), slice(1300, None)
earlier = MaxentClassifier(C=0.01).fit(X[old], y[old])
score = earlier.score(X[test], y[test])
print(f"old model: accuracy {score:.3f} on {len(y[test])} test images")

# %%
# For each number of new images, ten training sets with equally many images of each digit are drawn.
# A model with the prior and a model without it are fitted to each set with the same ``C``. The
# penalty on the distance from the old coefficients has the strength 1/C.
rng = np.random.default_rng(0)
sizes = [1, 2, 4, 8, 16, 32]
alone, updated = np.zeros((2, len(sizes), 10))
for i, size in enumerate(sizes):
    for j in range(10):
        rows = np.concatenate(
            [rng.choice(pool[y[pool] == digit], size, replace=False) for digit in range(10)]
        )
        for scores, prior in ((alone, None), (updated, earlier)):
            model = MaxentClassifier(C=0.01, prior_coef=prior).fit(X[rows], y[rows])
            scores[i, j] = model.score(X[test], y[test])
    print(
        f"{10 * size:3d} new images: without the prior {alone[i].mean():.3f}, "
        f"with the prior {updated[i].mean():.3f}"
    )

# %%
# With two or more images of each digit, the updated model is better than the old model, and much
# better than a model of the new images alone. With one image of each digit it is not yet better
# than the old model. A smaller ``C`` gives the old coefficients more weight. The bands in the
# figure are from the smallest to the largest accuracy of the ten sets.
figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
total = 10 * np.array(sizes)
for scores, color, name in (
    (updated, "#0072B2", "with the prior"),
    (alone, "#E69F00", "without the prior"),
):
    ax.fill_between(total, scores.min(axis=1), scores.max(axis=1), color=color, alpha=0.2, lw=0)
    ax.plot(total, scores.mean(axis=1), "o-", color=color, label=name)
ax.axhline(score, color="0.4", linestyle="--", label="old model")
ax.set_xscale("log")
ax.set_xticks(total, [str(n) for n in total])
ax.minorticks_off()
ax.set(xlabel="new images", ylabel="accuracy on test images")
ax.set_title("Accuracy by the number of new images")
ax.legend(frameon=False)
