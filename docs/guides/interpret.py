"""
Interpret coefficients: odds, relative risk ratios, feature importance
======================================================================

This page is for people who have fitted a model and want to say what its coefficients mean. It
explains odds and relative risk ratios, the sign with two classes, how coefficients differ from
changes of probabilities, and three measures of feature importance.

The data are 944 voters of the American National Election Study of 1996, which come with
statsmodels; ``.venv/bin/pip install statsmodels matplotlib`` installs what this page needs. The
classes are the parties with which voters identify. The features are the age in years, education
(levels 1 to 7), household income (levels 1 to 24), how many times per week the voter watches
television news (``TVnews``), and how the voters see themselves, from liberal (1) to conservative
(7).
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import statsmodels.api as sm
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split

from skmaxent import CoefficientDisplay, MaxentClassifier, PredictionsDisplay

# One colour for each party in all figures.
COLOURS = {"Democrat": "#0072B2", "Independent": "#E69F00", "Republican": "#D55E00"}
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

anes = sm.datasets.anes96.load_pandas().data
X = anes[["age", "educ", "income", "TVnews", "selfLR"]].rename(columns={"selfLR": "conservative"})
y = pd.cut(anes["PID"], [-1, 1, 4, 6], labels=list(COLOURS)).astype(str)
y.value_counts()

# %%
# Coefficients and odds
# ---------------------
#
# Each class :math:`k` has a logit :math:`z_k = b_k + \sum_j w_{kj} x_j`, where the intercept
# :math:`b_k` and the weights :math:`w_{kj}` are the coefficients. The odds of two classes are the
# ratio of their probabilities. They depend on the difference of the two logits only:
#
# .. math::
#
#    \frac{p_k}{p_l} = e^{z_k - z_l}
#    = \exp\Bigl(b_k - b_l + \sum_j (w_{kj} - w_{lj})\,x_j\Bigr) .
#
# If feature :math:`j` rises by one unit and the other features stay the same, the odds of class
# :math:`k` against class :math:`l` are multiplied by :math:`e^{w_{kj} - w_{lj}}`. The model is
# fitted without a penalty (``C=np.inf``):

clf = MaxentClassifier(C=np.inf).fit(X, y)
clf.coef_frame().round(3)

# %%
# A single coefficient has no meaning on its own, because only differences between classes change
# the odds. The coefficients of each feature sum to zero over the classes, so that each coefficient
# is relative to the mean of all classes.
#
# Relative risk ratios
# --------------------
#
# In statistics, coefficients are reported relative to a reference class :math:`l`. The exponentials
# of these differences, :math:`e^{w_{kj} - w_{lj}}`, are called *relative risk ratios*. The method
# ``infer`` computes them with standard errors and 95 % confidence intervals.

results = clf.infer(X, y, reference="Democrat")
results.summary(exponentiate=True).round(3)

# %%
# For example, one more point towards "conservative" multiplies the odds of Republican against
# Democrat by 4.1, and the odds of Independent against Democrat by 1.75. A ratio of 1 means that the
# feature does not change the odds. Another reference class does not change the model:
# ``results.relative_to("Republican")`` has the same probabilities.

colours = [COLOURS["Independent"], COLOURS["Republican"]]
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=colours)
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
CoefficientDisplay.from_results(results, exponentiate=True, ax=ax)
ax.set_title("Relative risk ratios, Democrat as reference")

# %%
# Odds ratios of two classes
# --------------------------
#
# With two classes there is one logit, that of ``classes_[1]``, the second class in sorted order. A
# positive coefficient makes the second class more likely. The exponential of the coefficient is the
# *odds ratio*. This example leaves out the Independents.

two = y != "Independent"
logit = MaxentClassifier(C=np.inf).fit(X[two], y[two])
print("positive coefficients make this class more likely:", logit.classes_[1])
logit.infer(X[two], y[two]).summary(exponentiate=True).round(3)

# %%
# Units of the features
# ---------------------
#
# A coefficient is per unit of its feature. For the ratio of ten years instead of one, multiply the
# coefficient of the age by ten before you exponentiate it. To compare features with each other,
# multiply each coefficient by the standard deviation of its feature. The output is the relative
# risk ratio of Republican against Democrat for one standard deviation of each feature.

coefficients = clf.coef_frame().drop("Intercept")
per_deviation = coefficients.mul(X.std(), axis=0)
difference = per_deviation["Republican"] - per_deviation["Democrat"]
print(np.exp(difference).round(2).to_string())

# %%
# From odds to probabilities
# --------------------------
#
# A ratio of odds is not a ratio of probabilities. If the odds of a class against the reference
# class rise with a feature, the probability of the class may still fall. An example is the class
# Independent: its ratio for ``conservative`` is above 1, but its probability rises and then falls,
# as the figure below shows. ``average_slopes`` returns the mean derivative of each probability by a
# feature: an estimate of 0.165 means 16.5 percentage points for one unit. :doc:`/effects` has more
# such methods.

slopes = results.average_slopes("conservative")
slopes[["class", "estimate", "std_err", "lower", "upper"]].round(3)

# %%

plt.rcParams["axes.prop_cycle"] = plt.cycler(color=list(COLOURS.values()))
fig, ax = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
PredictionsDisplay.from_results(results, "conservative", ax=ax)
ax.set(xlabel="conservative: from 1 (liberal) to 7 (conservative)")
ax.set_title("Probability of each party over the position of the voter")

# %%
# Feature importance
# ------------------
#
# Three measures answer three questions:
#
# - *How strongly does the model use the feature?* The spread of coefficients is the largest minus
#   the smallest coefficient over the classes, times the standard deviation of the feature.
# - *How much worse are predictions without its information?* ``permutation_importance`` of
#   scikit-learn shuffles one column and measures by how much the score falls. Use rows that were
#   not used for the fit. Here the score is minus the log loss. Values near or below zero mean that
#   the feature does not help on these rows.
# - *Is it related to the classes at all?* ``likelihood_ratio_test`` fits again without the feature.
#   A small p-value is evidence of a relation, which may be too weak to improve predictions, as for
#   ``educ``.

X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
permuted = permutation_importance(
    MaxentClassifier(C=np.inf).fit(X_train, y_train),
    X_test,
    y_test,
    scoring="neg_log_loss",
    n_repeats=20,
    random_state=0,
)
tests = results.likelihood_ratio_test()
importance = pd.DataFrame(
    {
        "spread of coefficients": per_deviation.max(axis=1) - per_deviation.min(axis=1),
        "permutation importance": permuted.importances_mean,
        "p-value": tests.loc[X.columns, "p_value"],
    },
    index=X.columns,
).sort_values("spread of coefficients")
importance.iloc[::-1].round(4)

# %%

fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
units = ["log odds per standard deviation", "increase of the log loss"]
for ax, column, unit in zip(axes, importance.columns[:2], units, strict=True):
    ax.barh(importance.index, importance[column], color="#595959")
    ax.set(title=column, xlabel=unit)

# %%
# Two correlated features share their importance: permutation and test find each unimportant as long
# as the other is in the model. For Shapley values of single rows, use ``LinearExplainer`` of the
# package shap (see the :doc:`frequently asked questions </faq>`).
#
# Penalties and class weights
# ---------------------------
#
# - A penalty makes coefficients smaller, and ratios closer to 1. With ``C=1``, the default, which
#   is a ridge, the effect is larger if there are few rows, and for features in units that make
#   their coefficients large. Use ``C=np.inf`` if you report coefficients. For a ridge, ``infer``
#   computes standard errors of a posterior, without p-values. For a lasso, it raises
#   ``ValueError``.
# - Class weights change mainly the intercepts, and hence all probabilities. The other coefficients
#   keep their meaning. For standard errors, pass ``weights="probability"`` to ``infer``. The guide
#   :doc:`fit_and_predict` explains class weights.
# - If one level of a category has no dummy variable, the coefficients of the other levels are
#   relative to this level. With dummy variables for all levels and a ridge penalty (without
#   ``standardize``), they are relative to the mean of the levels.
#
# What to read next
# -----------------
#
# - :doc:`/inference`: robust and clustered standard errors, tests, tables for publications.
# - :doc:`/effects`: predictions, comparisons and slopes.
# - :doc:`/gallery/statistics/election_inference` and :doc:`/gallery/statistics/beps_effects`:
#   analyses of two elections.
# - :class:`skmaxent.InferenceResults`: all methods of ``results``.
