"""
Interpret coefficients: odds, relative risk ratios, feature importance
======================================================================

This page is for people who have fitted a model and want to say what its coefficients mean. It
explains odds and relative risk ratios, the sign with two classes, how coefficients differ from
changes of probabilities, and three measures of feature importance.

The data are 944 voters of the American National Election Study of 1996, which come with
statsmodels. The classes are the party with which a voter identifies. The features are age,
education (1 to 7), income (1 to 24), hours of television news in a week, and the position of the
voter between liberal (1) and conservative (7).
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
# Each class has a logit, which is a weighted sum of the features plus an intercept. The
# coefficients are the weights. The odds of two classes are the ratio of their probabilities. With
# the softmax they depend on the difference of two logits only:
#
# .. math::
#
#    \frac{p_k}{p_l} = e^{z_k - z_l}
#    = \exp\Bigl(b_k - b_l + \sum_j (w_{kj} - w_{lj})\,x_j\Bigr) .
#
# If feature :math:`j` rises by one unit and the other features stay the same, the odds of class
# :math:`k` rather than :math:`l` are multiplied by :math:`e^{w_{kj} - w_{lj}}`.

clf = MaxentClassifier(C=np.inf).fit(X, y)
clf.coef_frame().round(3)

# %%
# A single coefficient has no meaning, because only differences matter. Here the coefficients of a
# feature sum to zero over the classes: each is relative to the mean of all classes.
#
# Relative risk ratios
# --------------------
#
# Statisticians report coefficients relative to a reference class. Their exponentials are called
# *relative risk ratios*. ``infer`` gives them with standard errors and intervals. ``ratio`` is
# :math:`e^{w_{kj} - w_{lj}}`, where class :math:`l` is the reference.

results = clf.infer(X, y, reference="Democrat")
results.summary(exponentiate=True).round(3)

# %%
# For example, one more point towards "conservative" multiplies the odds of being a Republican
# rather than a Democrat by 4.1, and the odds of being an Independent rather than a Democrat by
# 1.75. A ratio of 1 means no relation. The reference is a choice of presentation:
# ``results.relative_to("Republican")`` has the same model and the same probabilities.

colours = [COLOURS["Independent"], COLOURS["Republican"]]
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=colours)
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
CoefficientDisplay.from_results(results, exponentiate=True, ax=ax)
ax.set_title("Relative risk ratios, Democrat as reference")

# %%
# Odds ratios of two classes
# --------------------------
#
# With two classes there is one logit, that of ``classes_[1]``, the second in sorted order. A
# positive coefficient makes the second class more likely. The exponential of the coefficient is the
# *odds ratio*.

two = y != "Independent"
logit = MaxentClassifier(C=np.inf).fit(X[two], y[two])
print("positive coefficients speak for", logit.classes_[1])
logit.infer(X[two], y[two]).summary(exponentiate=True).round(3)

# %%
# Units of the features
# ---------------------
#
# A coefficient is per unit of its feature. To have the ratio for ten years instead of one, multiply
# the coefficient by ten before you exponentiate it. To compare features with each other, multiply
# each coefficient by the standard deviation of its feature.

coefficients = clf.coef_frame().drop("Intercept")
per_deviation = coefficients.mul(X.std(), axis=0)
difference = per_deviation["Republican"] - per_deviation["Democrat"]
print(np.exp(difference).round(2).to_string())

# %%
# From odds to probabilities
# --------------------------
#
# A ratio of odds is not a ratio of probabilities, and a positive coefficient does not even imply
# that the probability of the class rises: the probability of the middle class may rise and then
# fall. ``average_slopes`` and ``average_comparisons`` give changes of probabilities, in percentage
# points after multiplication with 100. See :doc:`/effects`.

slopes = results.average_slopes("conservative")
slopes[["class", "estimate", "std_err", "lower", "upper"]].round(3)

# %%

plt.rcParams["axes.prop_cycle"] = plt.cycler(color=list(COLOURS.values()))
fig, ax = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
PredictionsDisplay.from_results(results, "conservative", ax=ax)
ax.set_title("Probability of each party over the position of the voter")

# %%
# Feature importance
# ------------------
#
# Three measures answer three questions:
#
# - *How strongly does the model use the feature?* The spread of its coefficients over the classes,
#   per standard deviation of the feature. It needs no further data.
# - *How much worse are predictions without it?* ``permutation_importance`` of scikit-learn shuffles
#   one column and measures the loss of the score. Use rows that were not used for the fit.
# - *Is it related to the classes at all?* ``likelihood_ratio_test`` fits again without the feature.
#   A small p-value is evidence of a relation, and does not mean that the relation is strong.

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
        "permutation, log loss": permuted.importances_mean,
        "p-value": tests.loc[X.columns, "p_value"],
    },
    index=X.columns,
).sort_values("spread of coefficients")
importance.iloc[::-1].round(4)

# %%

fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
for ax, column in zip(axes, importance.columns[:2], strict=True):
    ax.barh(importance.index, importance[column], color="#595959")
    ax.set_title(column)

# %%
# Two correlated features share their importance: each looks unimportant as long as the other is in
# the model. Shapley values of single rows come from the package shap, whose ``LinearExplainer``
# takes these models (:doc:`frequent questions </faq>`).
#
# Penalties and class weights
# ---------------------------
#
# - A penalty makes coefficients smaller, and ratios closer to 1. With ``C=1``, the default, this is
#   hardly visible for many rows and strong for few. Use ``C=np.inf`` where the coefficients
#   themselves are the result. A lasso has no standard errors of the usual kind.
# - Class weights change mainly the intercepts, and hence all probabilities. The coefficients keep
#   their meaning. ``infer`` gives the standard errors for weighted fits. See
#   :doc:`fit_and_predict` for class weights.
# - A dummy variable of a category has coefficients relative to the category that was left out. With
#   all categories and a ridge penalty, they are relative to the mean.
#
# What to read next
# -----------------
#
# - :doc:`/inference`: robust and clustered standard errors, tests, tables for publications.
# - :doc:`/effects`: predictions, comparisons and slopes.
# - :doc:`/gallery/statistics/election_inference` and :doc:`/gallery/statistics/beps_effects`: two
#   elections in full.
# - :class:`skmaxent.InferenceResults`: all methods of ``results``.
