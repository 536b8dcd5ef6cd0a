"""
Separated classes and bias reduction (Firth)
============================================

If a linear function of the features separates the classes, the likelihood has no maximum, and the
coefficients of a fit without a penalty grow without limit. :func:`skmaxent.detect_separation`
detects separation, and ``bias_reduction`` gives finite estimates with intervals. The data are
Fisher's irises. The species setosa is separated from the other two species.
"""

# %%
# The features are the lengths of the sepals and petals. They separate setosa from the other two
# species, but do not separate versicolor from virginica (quasi-complete separation).
import textwrap
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from skmaxent import CoefficientDisplay, MaxentClassifier, detect_separation

colors = {"setosa": "#0072B2", "versicolor": "#E69F00", "virginica": "#009E73"}
iris = load_iris(as_frame=True)
X = iris.data[["sepal length (cm)", "petal length (cm)"]]
X.columns = ["sepal length", "petal length"]
y = iris.target.map(dict(enumerate(iris.target_names)))
separation = detect_separation(X, y)
print(textwrap.fill(str(separation), 95))

# %%
# ``direction`` contains coefficients that prove the separation. If a multiple of the direction is
# added to any coefficients, the logit of the true species of a row never decreases relative to the
# logit of another species, and for some rows it increases.
print(separation.direction.round(3))

# %%
# With a ridge penalty the coefficients are finite, but they grow as the penalty becomes weaker.
# With bias reduction they are finite without a ridge penalty. A fit with neither issues a
# ConvergenceWarning, which is printed here.
Cs = np.logspace(-1, 7, 17)
grown = [MaxentClassifier(C=C, max_iter=1000).fit(X, y).coef_ for C in Cs]
reduced = MaxentClassifier(C=np.inf, bias_reduction="jeffreys").fit(X, y)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", ConvergenceWarning)
    MaxentClassifier(C=np.inf).fit(X, y)
print(textwrap.fill(str(caught[0].message), 95))

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for k, (species, color) in enumerate(colors.items()):
    ax.plot(Cs, [coef[k, 1] for coef in grown], color=color, linewidth=2)
    ax.axhline(reduced.coef_[k, 1], color=color, linestyle="--")
    ax.annotate(
        species,
        (Cs[-1], grown[-1][k, 1]),
        (4, 0),
        textcoords="offset points",
        color=color,
        va="center",
    )
ax.set_xscale("log")
ax.margins(x=0)
ax.set(xlabel="C (weaker penalty to the right)", ylabel="coefficient of the petal length")
ax.set_title("Coefficients with a ridge penalty (solid) and bias reduction (dashed)")

# %%
# Bias reduction maximises a penalised likelihood (Firth 1993), whose profile gives the intervals.
# The reference is versicolor. The interval of setosa and the petal length is not symmetric: the
# data show that the coefficient is negative, but contain little information on how large it is.
results = reduced.infer(X, y, reference="versicolor")
intervals = results.profile_conf_int()
table = results.summary()[["coef", "std_err"]].join(intervals)
print(table.round(2))
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=[colors["setosa"], colors["virginica"]])
display = CoefficientDisplay(table).plot()
display.ax_.set_title("Bias-reduced coefficients per centimetre, versicolor as reference")
