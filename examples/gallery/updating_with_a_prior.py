"""
Last year's model, this year's few rows
=======================================

New rows are few and not quite like the old ones. ``prior_coef`` pulls the new coefficients towards
those of the old model instead of towards zero. The digits that come with scikit-learn are sorted by
writer, so that the last images are from people whom the first have not seen.
"""

# %%
# The old model has seen 300 images. Of the last 900, 400 are to learn
# from, the others to test.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skmaxent import MaxentClassifier

X, y = load_digits(return_X_y=True)
old, pool, test = slice(0, 300), np.arange(900, 1300), slice(1300, None)
last_year = MaxentClassifier(C=0.01).fit(X[old], y[old])
score = last_year.score(X[test], y[test])
print(f"last year's model: accuracy {score:.3f} on {len(y[test])} new images")

# %%
# So many new images of each digit, drawn ten times. The penalty, which is the same for both, says
# how much to believe in the prior; 1/C is the weight of the old coefficients.
rng = np.random.default_rng(0)
sizes = [1, 2, 4, 8, 16, 32]
alone, updated = np.zeros((2, len(sizes), 10))
for i, size in enumerate(sizes):
    for j in range(10):
        rows = np.concatenate(
            [rng.choice(pool[y[pool] == digit], size, replace=False) for digit in range(10)]
        )
        for scores, prior in ((alone, None), (updated, last_year)):
            model = MaxentClassifier(C=0.01, prior_coef=prior).fit(X[rows], y[rows])
            scores[i, j] = model.score(X[test], y[test])
    print(
        f"{10 * size:3d} new images: alone {alone[i].mean():.3f}, "
        f"with the prior {updated[i].mean():.3f}"
    )

# %%
# With two images of each digit the update is better than the old model and far better than what
# the new images say alone. With one of each it is not yet: there a smaller ``C``, which trusts the
# old coefficients more, would be right.
figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
total = 10 * np.array(sizes)
for scores, color, name in ((updated, "#0072B2", "with the prior"), (alone, "#E69F00", "alone")):
    ax.fill_between(total, scores.min(axis=1), scores.max(axis=1), color=color, alpha=0.2, lw=0)
    ax.plot(total, scores.mean(axis=1), "o-", color=color, label=f"new images {name}")
ax.axhline(score, color="0.4", linestyle="--", label="last year's model")
ax.set_xscale("log")
ax.set_xticks(total, [str(n) for n in total])
ax.minorticks_off()
ax.set(xlabel="new images", ylabel="accuracy on other new images")
ax.set_title("An update needs few rows; band: range of ten draws")
ax.legend(frameon=False)
