"""
Imbalanced classes: class weights and calibrated probabilities
==============================================================

A model of a rare class is often fitted with balanced class weights, or to a sample with equally
many rows of each class. Both make the predicted probabilities of the rare class much too high.
``prior_correction`` changes the intercepts so that the probabilities agree with the shares of the
classes again. The data are the diamonds that come with plotnine. 3 % of them have a fair cut, which
is the lowest quality.
"""

# %%
# Half of the diamonds are the training set. Most fair diamonds have a smaller or a larger depth
# than nearly all others. Splines of the numbers can describe this.
import matplotlib.pyplot as plt
import numpy as np
from plotnine.data import diamonds
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import SplineTransformer

from skmaxent import MaxentClassifier, expected_calibration_error

splines = SplineTransformer(n_knots=6, knots="quantile", extrapolation="linear")
X = splines.fit_transform(diamonds[["carat", "depth", "table"]])
y = np.where(diamonds["cut"] == "Fair", "fair", "other")
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
share = np.mean(y_train == "fair")

# %%
# The balanced sample contains all fair diamonds of the training set and equally many others,
# together 6 % of the training rows. The models with balanced weights and with the balanced sample
# are fitted with and without the correction. ``prior_correction="empirical"`` takes the shares of
# the classes from the training rows. The balanced sample has lost these shares, so that they are
# given as numbers.
#
# The table is for the test diamonds. It shows the mean predicted probability of a fair cut, the
# calibration error, and the log loss. For the calibration error the diamonds are grouped by their
# probability; the error is the mean difference between the probability and the share of fair
# diamonds in a group. Without the correction the mean probability is three times too large or more.
# The correction brings it near the share, and reduces the other two numbers.
fair = np.flatnonzero(y_train == "fair")
others = np.flatnonzero(y_train == "other")
some = np.random.default_rng(0).choice(others, len(fair), replace=False)
sample = np.concatenate([fair, some])

options = {"C": 100}  # a weak penalty
known = {"fair": share, "other": 1 - share}
balanced = {"class_weight": "balanced", **options}
models = {
    "all rows": MaxentClassifier(**options).fit(X_train, y_train),
    "balanced weights": MaxentClassifier(**balanced).fit(X_train, y_train),
    "balanced weights, corrected": MaxentClassifier(**balanced, prior_correction="empirical").fit(
        X_train, y_train
    ),
    "sampled by class": MaxentClassifier(**options).fit(X_train[sample], y_train[sample]),
    "sampled by class, corrected": MaxentClassifier(prior_correction=known, **options).fit(
        X_train[sample], y_train[sample]
    ),
}
print(f"share of fair cuts among the test diamonds: {np.mean(y_test == 'fair'):.3f}")
print(f"{'':30s}{'mean p':>8s}{'calibration error':>20s}{'log loss':>10s}")
probabilities = {}
for name, model in models.items():
    P = model.predict_proba(X_test)
    probabilities[name] = P[:, 0]
    error = expected_calibration_error(y_test, P, kind="class-wise", strategy="quantile")
    loss = -np.log(np.where(y_test == "fair", P[:, 0], P[:, 1])).mean()
    print(f"{name:30s}{P[:, 0].mean():8.3f}{error:20.4f}{loss:10.4f}")


# %%
# The figure is a reliability curve. The test diamonds are divided into 25 groups of equal size by
# their predicted probability, and each group is a point. Calibrated probabilities lead to points on
# the diagonal. Groups without a fair diamond are not shown, because the axes are logarithmic.
def reliability(p: np.ndarray, n_groups: int = 25) -> tuple[list[float], list[float]]:
    groups = np.array_split(np.argsort(p), n_groups)
    return [p[g].mean() for g in groups], [np.mean(y_test[g] == "fair") for g in groups]


styles = {
    "all rows": ("0.4", "s"),
    "balanced weights": ("#E69F00", "o"),
    "balanced weights, corrected": ("#0072B2", "o"),
    "sampled by class": ("#D55E00", "^"),
    "sampled by class, corrected": ("#009E73", "^"),
}
figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
for name, (color, marker) in styles.items():
    ax.plot(*reliability(probabilities[name]), marker, color=color, markersize=5, label=name)
ax.plot([1e-4, 1], [1e-4, 1], color="0.6", linewidth=1, zorder=0)
ax.set_xscale("log")
ax.set_yscale("log")
ax.set(xlabel="mean probability of a fair cut", ylabel="share of fair cuts", xlim=(3e-4, 1.3))
ax.set_ylim(5e-4, 1.3)
ax.set_title("Reliability with and without prior correction")
ax.legend(frameon=False)
