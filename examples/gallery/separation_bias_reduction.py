"""
Separated classes
=================

Where a line separates the classes, the likelihood has no maximum: coefficients grow for as long as
the solver runs. :func:`skmaxent.detect_separation` says so, and ``bias_reduction`` gives finite
estimates with intervals. The data are Fisher's irises, of which one kind stands apart.
"""

# %%
# Two lengths tell setosa from the other two kinds without an error.
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
print(separation)

# %%
# The proof is a direction: along it no row's own kind falls behind another.
print(separation.direction.round(3))

# %%
# So with weaker and weaker penalties the coefficients grow and grow; those with bias reduction need
# no penalty. (Without both there is a ConvergenceWarning that names the reason.)
Cs = np.logspace(-1, 7, 17)
grown = [MaxentClassifier(C=C, max_iter=1000).fit(X, y).coef_ for C in Cs]
reduced = MaxentClassifier(C=np.inf, bias_reduction="jeffreys").fit(X, y)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", ConvergenceWarning)
    MaxentClassifier(C=np.inf).fit(X, y)
print(caught[0].message)

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for k, (kind, color) in enumerate(colors.items()):
    ax.plot(Cs, [coef[k, 1] for coef in grown], color=color, linewidth=2)
    ax.axhline(reduced.coef_[k, 1], color=color, linestyle="--")
    ax.annotate(
        kind,
        (Cs[-1], grown[-1][k, 1]),
        (4, 0),
        textcoords="offset points",
        color=color,
        va="center",
    )
ax.set_xscale("log")
ax.margins(x=0)
ax.set(xlabel="C (weaker penalty to the right)", ylabel="coefficient of the petal length")
ax.set_title("Coefficients grow as the ridge gets weaker; dashed: bias reduction")

# %%
# Intervals from the penalised likelihood, against versicolor. They are not symmetric: the data say
# that setosa has the shorter petals, but hardly how large the coefficient is.
results = reduced.infer(X, y, reference="versicolor")
intervals = results.profile_conf_int()
table = results.summary()[["coef", "std_err"]].join(intervals)
print(table.round(2))
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=[colors["setosa"], colors["virginica"]])
display = CoefficientDisplay(table).plot()
display.ax_.set_title("Finite estimates and intervals, per centimetre, against versicolor")
