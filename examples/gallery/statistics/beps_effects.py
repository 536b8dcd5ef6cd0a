"""
Multinomial logit of votes: table, predictions and slopes
=========================================================

This example fits a multinomial logit with an interaction, prints a table for a publication, and
plots predicted probabilities and average slopes. The question is whether the attitude towards
European integration matters more for voters who know the positions of the parties on it. The model
is that of Fox and Andersen (2006, *Sociol. Methodol.* 36, 225-255). The data are 1,525 voters of
the British Election Panel Study of 1997 to 2001. They are ``BEPS`` of R's package carData. This
repository has a copy in ``tests/oracles/beps.csv``.
"""

# %%
# Fit
# ---
# ``vote`` is one of three parties. ``Europe``, from 1 to 11, is the attitude towards European
# integration; a high value is a sceptical attitude. ``political.knowledge``, from 0 to 3, is the
# knowledge of the parties' positions on European integration. With the interaction of both, the
# effect of the attitude depends on the knowledge.
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures

from skmaxent import (
    CoefficientDisplay,
    EffectsDisplay,
    MaxentClassifier,
    PredictionsDisplay,
    datagrid,
    infer,
)

# One colour for each party in all figures.
colors = {"Conservative": "#0072B2", "Labour": "#D55E00", "Liberal Democrat": "#E69F00"}
folders = [Path.cwd(), *Path.cwd().parents]
data = pd.read_csv(
    next(folder for folder in folders if (folder / "tests").is_dir()) / "tests/oracles/beps.csv"
)
X, y = data.drop(columns="vote"), data["vote"]
columns = make_column_transformer(
    (OneHotEncoder(drop="first"), ["gender"]),
    (
        PolynomialFeatures(2, interaction_only=True, include_bias=False),
        ["Europe", "political.knowledge"],
    ),
    remainder="passthrough",
    verbose_feature_names_out=False,
)
model = make_pipeline(columns, MaxentClassifier(C=np.inf)).fit(X, y)
results = infer(model, X, y)

# %%
# Table
# -----
# The table has a column for each party except the reference, which is the Conservative party. A
# cell contains a relative risk ratio, which is the exponential of a coefficient, and its 95 %
# confidence interval. For example, one step more
# of the opinion on Blair multiplies the odds of Labour against the Conservatives by 2.28.
summary = results.summary()
ratios = np.exp(summary[["coef", "lower", "upper"]])
cells = ratios.apply(lambda row: "{:.2f} [{:.2f}, {:.2f}]".format(*row), axis=1)
table = cells.unstack("class").reindex(results.columns)
print(table.drop(index="Intercept").to_string())
print(f"\n{results.n_obs:.0f} voters, log-likelihood {results.log_likelihood:.1f}")
print(f"AIC {results.aic:.1f}, McFadden's pseudo R² {results.mcfadden_r2:.3f}")

# %%
# The next figure shows the same ratios on a logarithmic axis, with a line at 1.
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=[colors["Labour"], colors["Liberal Democrat"]])
display = CoefficientDisplay.from_results(results, exponentiate=True)
display.ax_.set_title("Relative risk ratios and 95 % intervals")

# %%
# Predictions
# -----------
# The ratio of an interaction is hard to interpret. Predicted probabilities are easier to read. The
# figure is for a voter with the mean of every other numeric variable and the more frequent gender.
# Without knowledge, the probabilities depend little on the attitude towards Europe. With the most
# knowledge, they depend strongly on it.
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=list(colors.values()))
display = PredictionsDisplay.from_results(results, "Europe", by="political.knowledge")
display.figure_.suptitle("Predicted probabilities by attitude and knowledge")

# %%
# The next figure averages the probabilities over all voters: each voter gets the given attitude and
# knowledge, and keeps the observed values of all other variables.
display = PredictionsDisplay.from_results(
    results,
    "Europe",
    by="political.knowledge",
    newdata=datagrid(grid_type="counterfactual", **{"political.knowledge": [0, 3]}),
    kind="stacked",
    n_points=20,
)
display.figure_.suptitle("Predicted shares of the parties without and with full knowledge")

# %%
# Slopes by knowledge
# -------------------
# The figure shows the average slope of the probabilities in ``Europe`` among the voters of each
# level of knowledge. A slope of 0.04 means that the probability rises by about 4 percentage points
# for one step of ``Europe``. The table tests whether the slope at each level of knowledge differs
# from the slope at the level before.
display = EffectsDisplay.from_results(results, "Europe", kind="slopes", by="political.knowledge")
display.ax_.set_title("Average slopes of the probabilities in the attitude")
print(
    results.average_slopes("Europe", by="political.knowledge", hypothesis="sequential")
    .round(4)
    .to_string(index=False)
)
plt.show()
