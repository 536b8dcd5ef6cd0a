"""
A lasso path and the one-standard-error rule
============================================

How strong should a lasso be? :func:`skmaxent.maxent_path` fits all strengths one after the other,
and :class:`skmaxent.MaxentClassifierCV` scores them on rows left out. The data are the 569 tumours
of the breast cancer data that come with scikit-learn.
"""

# %%
# The solver does not need scaled columns, but a lasso compares coefficients with each other: it is
# in units of standard deviations that this makes sense here.
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
# As the penalty gets weaker, coefficients become nonzero, and some of them zero again.
# ``Cs=40`` would choose a grid.
Cs = np.geomspace(0.005, 3, 40)
path = maxent_path(X, y, Cs=Cs)
for C, n in list(zip(path.Cs, path.n_nonzero, strict=True))[::6]:
    print(f"C = {C:8.4f}: {n:2d} features")

# %%
# The best score and the strongest penalty within one standard error of it. The band is one standard
# error wide to each side; fewer features do as well as can be told from 569 rows.
best = MaxentClassifierCV(Cs=Cs, l1_ratios=[1.0], cv=10).fit(X, y)
sparse = MaxentClassifierCV(Cs=Cs, l1_ratios=[1.0], cv=10, selection="one_standard_error").fit(X, y)
for name, model in {"best": best, "one standard error": sparse}.items():
    n = (model.coef_ != 0).sum()
    score = model.scores_.mean(axis=0)[0, list(model.Cs_).index(model.C_)]
    print(f"{name}: C = {model.C_:.3g}, {n} features, log loss {-score:.4f}")
display = CVCurveDisplay.from_estimator(sparse)
display.figure_.set_size_inches(7, 4.2)
n_best, n_sparse = ((model.coef_ != 0).sum() for model in (best, sparse))
display.ax_.set_title(f"{n_sparse} features score within one standard error of {n_best}")

# %%
# The paths of the coefficients, with the choice of the rule.
display = PathDisplay.from_path(path, C=sparse.C_, n_labels=7)
display.figure_.set_size_inches(8, 4.5)
display.ax_.set_title("The worst radius gives way to the radius error", pad=18)

# %%
# The coefficients that the rule leaves.
coef = sparse.coef_frame()
print(coef[(coef != 0).any(axis=1)].round(2))
