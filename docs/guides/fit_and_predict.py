"""
Fit and predict
===============

This page is for people who know scikit-learn's ``fit`` and ``predict``, and want class
probabilities from their own data. It shows which data :class:`skmaxent.MaxentClassifier` takes,
what it returns, what its warnings mean, and how to treat unbalanced classes. For a DataFrame with
categories and missing values, read :doc:`Getting started <getting_started>`.

The data are 178 wines made from three cultivars of grapes. Their 13 measurements are in different
units: the largest value is 1680 for proline and 1.71 for hue. The figures need matplotlib,
which ``.venv/bin/pip install matplotlib`` installs.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report, log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split

from skmaxent import MaxentClassifier

# One colour for each cultivar in all figures.
COLOURS = {"Barolo": "#0072B2", "Grignolino": "#D55E00", "Barbera": "#009E73"}
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

X, code = load_wine(return_X_y=True, as_frame=True)
y = code.map({0: "Barolo", 1: "Grignolino", 2: "Barbera"})
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
X_train.describe().T[["mean", "std", "max"]].round(2)

# %%
# Fit
# ---
#
# X is an array, a sparse matrix, or a DataFrame of pandas or polars. Its columns are numbers
# without missing values. y holds one label for each row: numbers, strings or booleans. The solver
# converges without scaling of the features, but the penalty depends on their units unless you set
# ``standardize=True``. ``optimality_gap_`` is an upper bound on the relative distance of the
# objective (the loss plus the penalty) from its minimum.

clf = MaxentClassifier().fit(X_train, y_train)
print("classes:", list(clf.classes_))
print("iterations:", clf.n_iter_[0])
print(f"relative distance of the objective from its minimum: at most {clf.optimality_gap_:.0e}")

# %%
# Predictions
# -----------
#
# ``predict`` returns the most likely class of each row. ``predict_proba`` returns an array with a
# probability for each row and class. Its columns are in the order of ``classes_``.
# ``predict_proba_frame`` returns the same probabilities as a DataFrame with the names of the rows
# and classes.

print(clf.predict(X_test.head(3)))
clf.predict_proba_frame(X_test.head(3)).round(4)

# %%
# ``predict_log_proba`` returns logarithms of the probabilities, which do not underflow.
# ``decision_function`` returns the logits: weighted sums of the features, from which the
# probabilities are computed. ``score`` returns the accuracy. The log loss measures how good the
# probabilities are.

print(f"accuracy: {clf.score(X_test, y_test):.3f}")
print(f"log loss: {log_loss(y_test, clf.predict_proba(X_test)):.3f}")
print(classification_report(y_test, clf.predict(X_test)))

# %%
# The figure shows the probabilities of a model with two of the measurements. Darker areas have a
# higher probability of their class. In white areas no class has a probability above 0.5. On the
# boundary between two classes, which is a straight line, their probabilities are equal.

two = ["alcohol", "flavanoids"]
flat = MaxentClassifier().fit(X_train[two], y_train)
alcohol, flavanoids = np.meshgrid(np.linspace(11, 15, 200), np.linspace(0, 5.2, 200))
grid = pd.DataFrame({"alcohol": alcohol.ravel(), "flavanoids": flavanoids.ravel()})
P = flat.predict_proba(grid)

fig, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
for k, name in enumerate(flat.classes_):
    ax.contourf(
        alcohol,
        flavanoids,
        P[:, k].reshape(alcohol.shape),
        levels=[0.5, 0.7, 0.9, 1.0],
        colors=[(COLOURS[name], alpha) for alpha in (0.12, 0.24, 0.42)],
    )
    points = X_train[y_train == name]
    ax.scatter(points["alcohol"], points["flavanoids"], s=14, color=COLOURS[name], label=name)
ax.set(
    xlabel="alcohol, % by volume",
    ylabel="flavanoids",
    title="Areas of probabilities above 0.5, 0.7 and 0.9",
)
ax.legend(frameon=False, loc="upper left")

# %%
# Searches and cross-validation
# -----------------------------
#
# The classifier works in pipelines, cross-validation and searches of scikit-learn. Before you
# choose ``C`` for features in different units, set ``standardize=True``. ``MaxentClassifierCV``
# chooses ``C`` faster; see :doc:`Choose the penalty </penalties>`.

scores = cross_val_score(clf, X_train, y_train, scoring="neg_log_loss")
print(f"log loss in cross-validation: {-scores.mean():.3f}")
standardized = MaxentClassifier(standardize=True)
search = GridSearchCV(standardized, {"C": [0.01, 0.1, 1, 10, 100]}, scoring="neg_log_loss")
print(search.fit(X_train, y_train).best_params_)

# %%
# ConvergenceWarning
# ------------------
#
# scikit-learn's ``LogisticRegression`` often issues a ``ConvergenceWarning`` on data in raw units,
# because its default solver, lbfgs, stops after ``max_iter`` iterations, before the optimum.
# ``MaxentClassifier`` minimises the same objective, with a preconditioner that adapts to the units.
# The output compares the coefficients of both with those of ``solver="newton-cholesky"`` and a very
# small ``tol``.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    theirs = LogisticRegression().fit(X_train, y_train)
print(caught[0].category.__name__, "after", theirs.n_iter_[0], "iterations")

exact = LogisticRegression(solver="newton-cholesky", tol=1e-10).fit(X_train, y_train)
print(f"largest error of a coefficient, lbfgs:    {abs(theirs.coef_ - exact.coef_).max():.2f}")
print(f"largest error of a coefficient, skmaxent: {abs(clf.coef_ - exact.coef_).max():.0e}")

# %%
# ``MaxentClassifier`` issues these warnings:
#
# .. list-table::
#    :header-rows: 1
#    :widths: 38 62
#
#    * - warning
#      - what to do
#    * - ``ConvergenceWarning``: max_iter was reached
#      - Raise ``max_iter``. The message says how far the optimum is, in standard errors of the
#        coefficients.
#    * - ``ConvergenceWarning``: the classes are separated
#      - Set a finite ``C`` or ``bias_reduction="jeffreys"``. Otherwise the likelihood grows with
#        the coefficients, and no finite coefficients are optimal. See *Separation* in
#        :doc:`Inference </inference>`.
#    * - ``ConvergenceWarning``: floating-point precision
#      - Rescale or centre the column that the message names, look for outliers in it, and pass
#        float64 data.
#    * - ``UserWarning``: columns are far from zero
#      - Subtract the mean from the columns that the message names. Their values are so large that
#        rounding removes the differences between rows.
#    * - ``UserWarning``: columns are linear combinations of other columns
#      - Remove the columns that the message names, or set a finite ``C``.
#
# Sample weights
# --------------
#
# The argument ``sample_weight`` of ``fit`` has a weight for each row. A row with weight 2 counts as
# two equal rows: the two fits below have the same coefficients, up to rounding.

weighted = MaxentClassifier().fit(X_train, y_train, sample_weight=np.full(len(y_train), 2.0))
repeated = MaxentClassifier().fit(pd.concat([X_train] * 2), pd.concat([y_train] * 2))
print(f"largest difference of a coefficient: {abs(weighted.coef_ - repeated.coef_).max():.0e}")

# %%
# Class weights for unbalanced classes
# ------------------------------------
#
# If one class is rare, its probability seldom exceeds one half, and ``predict`` seldom returns it.
# ``class_weight="balanced"`` gives all classes the same total weight. More rows of the rare class
# are then found, but its probabilities are too high. With ``prior_correction="empirical"``, the fit
# shifts the intercepts afterwards, so that the mean probabilities are again close to the shares of
# the classes in y. The data are simulated: 2.6 % of the rows belong to the class ``"rare"``. The
# table is computed from the rows of the fit.

rng = np.random.default_rng(0)
x = rng.normal(size=(20_000, 2))
rare = rng.random(20_000) < 1 / (1 + np.exp(4.5 - x[:, 0] - x[:, 1]))
label = np.where(rare, "rare", "usual")
models = {
    "no class weights": MaxentClassifier(),
    "balanced": MaxentClassifier(class_weight="balanced"),
    "balanced, corrected": MaxentClassifier(class_weight="balanced", prior_correction="empirical"),
}
table = pd.DataFrame(
    {
        name: {
            "rare rows that predict finds": (model.fit(x, label).predict(x) == "rare")[rare].mean(),
            "mean probability of rare": model.predict_proba(x)[:, 0].mean(),
            "share of rare rows": rare.mean(),
        }
        for name, model in models.items()
    }
).T
table.round(3)

# %%
# With the correction, ``predict`` again finds few rare rows. If you need probabilities, use no
# class weights, or use ``prior_correction``. If missing a rare row costs more than a false alarm,
# compare the probability with a threshold below one half, for example by scikit-learn's
# ``FixedThresholdClassifier``. The example :doc:`/gallery/tables/class_weights_prior` measures the
# calibration of the probabilities with real data.
#
# What to read next
# -----------------
#
# - :doc:`/parameters`: all parameters and fitted attributes.
# - :doc:`interpret`: what the coefficients mean.
# - :doc:`/gallery/tables/mixed_frame_pipeline`: numbers and categories in a pipeline.
# - :doc:`/targets`: counts, proportions, uncertain labels and several labels per row as y.
# - :doc:`/export`: how to save a model.
