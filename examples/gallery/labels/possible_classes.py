"""
Partial labels: sets of possible classes
========================================

Sometimes it is only known that the class of a row is one of several classes. For example, a
botanist rules out one species but cannot distinguish the other two. With ``partial_labels=True``
the likelihood of such a row is the probability of its set of possible classes. This example
compares the method with two alternatives: to leave such rows out, and to give each class of the set
an equal share of the row. The data are Fisher's irises.
"""

# %%
# About a third of the flowers keep their label. The others get a set of two or three species that
# contains the true one. ``score`` is the share of the flowers whose predicted species is in the
# set, and with the true labels it is the accuracy.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss

from skmaxent import MaxentClassifier

X, y = load_iris(return_X_y=True)
truth = y[:, None] == np.arange(3)


def sets_for(share_known, rng):
    """Return sets with the true class, and with other classes for all but a share of the rows."""
    sets = truth.copy()
    for row in np.flatnonzero(rng.random(len(y)) >= share_known):
        others = rng.permutation(np.flatnonzero(~truth[row]))
        sets[row, others[: 1 + (rng.random() < 0.2)]] = True
    return sets


rng = np.random.default_rng(0)
sets = sets_for(0.33, rng)
for row in (0, 60, 110):
    print(f"flower {row}: one of {np.flatnonzero(sets[row]).tolist()}")

clf = MaxentClassifier(partial_labels=True).fit(X, sets)
print(
    f"the predicted class is possible for {clf.score(X, sets):.1%} of the flowers, "
    f"and true for {clf.score(X, y):.1%}"
)

# %%
# Comparison of the loss
# ----------------------
# The models are fitted to half of the flowers and evaluated on the other half. The figure shows the
# mean log loss of twenty random splits. "Sets" is the fit with ``partial_labels=True``. "Spread
# evenly" and "known rows only" are the two alternatives. "All labels" is a fit to the true labels,
# which no method can be expected to beat. With sets the loss is below 0.3 even if only 5 % of
# the rows have a known class.

known = [0.05, 0.1, 0.2, 0.4, 0.8]
names = ["sets", "spread evenly", "known rows only", "all labels"]
losses = np.zeros((20, len(known), 4))
for draw in range(20):
    rng = np.random.default_rng(draw)
    order = rng.permutation(150)
    train, test = order[:75], order[75:]
    for i, share in enumerate(known):
        sets = sets_for(share, rng)[train]
        sets[:3] = truth[train][:3]
        few = sets.sum(axis=1) == 1
        fits = [
            MaxentClassifier(partial_labels=True).fit(X[train], sets),
            MaxentClassifier().fit(X[train], sets / sets.sum(axis=1, keepdims=True)),
            MaxentClassifier().fit(X[train][few], y[train][few]),
            MaxentClassifier().fit(X[train], y[train]),
        ]
        for j, fit in enumerate(fits):
            P = np.full((75, 3), 1e-6)
            P[:, fit.classes_] = fit.predict_proba(X[test])
            losses[draw, i, j] = log_loss(y[test], P / P.sum(axis=1, keepdims=True))

figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
styles = zip(names, ("#0072B2", "#E69F00", "#D55E00", "#009E73"), "osDv", strict=True)
for j, (name, color, marker) in enumerate(styles):
    axes.plot(known, losses[..., j].mean(axis=0), marker=marker, color=color, label=name)
axes.set(
    xscale="log",
    xlabel="share of rows whose class is known",
    ylabel="log loss on test flowers",
    title="Loss with partial labels",
)
axes.set_xticks(known, [f"{share:.0%}" for share in known])
axes.minorticks_off()
axes.set_ylim(0, None)
axes.legend(frameon=False)
