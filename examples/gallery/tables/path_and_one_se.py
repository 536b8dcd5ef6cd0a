"""
Lasso path and the one-standard-error rule
==========================================

This example chooses the strength of a lasso penalty. :func:`skmaxent.maxent_path` fits a model for
each of a sequence of strengths. :class:`skmaxent.MaxentClassifierCV` chooses one of them by
cross-validation. The data are the 569 tumours of the breast cancer data set that comes with
scikit-learn.
"""

# %%
# The penalty treats all coefficients alike, so that the result of a lasso depends on the units of
# the features. ``StandardScaler`` therefore divides each feature by its standard deviation, here
# over all rows. For an estimate of the loss on new data, use ``standardize=True`` instead, which
# computes the standard deviations without the rows that a fold holds out.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from skmaxent import CVCurveDisplay, MaxentClassifierCV, PathDisplay, maxent_path

plt.rcParams["axes.prop_cycle"] = plt.cycler(
    color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
)
data = load_breast_cancer(as_frame=True)
X = StandardScaler().set_output(transform="pandas").fit_transform(data.data)
y = data.target.map({0: "malignant", 1: "benign"})

# %%
# A larger ``C`` is a weaker penalty. As ``C`` grows, more coefficients become nonzero, and a few
# become zero again. The values of ``C`` are given here; ``Cs=40`` would choose 40 values from
# the data.
Cs = np.geomspace(0.005, 3, 40)
path = maxent_path(X, y, Cs=Cs)
for C, n in list(zip(path.Cs, path.n_nonzero, strict=True))[::6]:
    print(f"C = {C:8.4f}: {n:2d} features")

# %%
# The score is minus the log loss. ``selection="best"``, the default, chooses the penalty with the
# best mean score over the folds. ``"one_standard_error"`` chooses the strongest penalty whose mean
# score is at most one standard error below the best. The standard error is half the width of the
# band in the figure. The rule gives a model with fewer features and a slightly larger loss.
best = MaxentClassifierCV(Cs=Cs, l1_ratios=[1.0], cv=10).fit(X, y)
sparse = MaxentClassifierCV(Cs=Cs, l1_ratios=[1.0], cv=10, selection="one_standard_error").fit(X, y)
for name, model in {"best": best, "one standard error": sparse}.items():
    n = (model.coef_ != 0).sum()
    score = model.scores_.mean(axis=0)[0, list(model.Cs_).index(model.C_)]
    print(f"{name}: C = {model.C_:.3g}, {n} features, log loss {-score:.4f}")
display = CVCurveDisplay.from_estimator(sparse)
display.figure_.set_size_inches(7, 4.2)
n_best, n_sparse = ((model.coef_ != 0).sum() for model in (best, sparse))
display.ax_.set_title(f"{n_best} features for the best score, {n_sparse} by the rule")

# %%
# The next figure shows each coefficient as a function of ``C``. The vertical line is the choice of
# the one-standard-error rule.
display = PathDisplay.from_path(path, C=sparse.C_, n_labels=7)
display.figure_.set_size_inches(8, 4.5)
display.ax_.set_title("Coefficients of the lasso", pad=18)

# %%
# These are the nonzero coefficients of the model that the rule has chosen. A positive coefficient
# is evidence for a malignant tumour.
coef = sparse.coef_frame()
print(coef[(coef != 0).any(axis=1)].round(2))
