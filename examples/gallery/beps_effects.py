"""
Attitudes and votes in Britain: from the fit to a table and figures
===================================================================

How did knowledge of the parties' positions change the weight that voters gave to European
integration? The model follows Fox and Andersen (2006). The data are 1,525 voters of the British
Election Panel Study of 1997 to 2001. The data set is ``BEPS`` of R's package carData. The file
``tests/oracles/beps.csv`` of this repository holds a copy.
"""

# %%
# Fit
# ---
# ``vote`` has three values. A high value of ``Europe`` is a sceptical attitude towards European
# integration, and ``political.knowledge`` counts what a voter knows of the parties' positions on
# it, from 0 to 3. The interaction lets the weight of the attitude depend on this knowledge.
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
# The table has a column for each party except the reference, the Conservatives. Its cells are
# relative risk ratios with their 95 % intervals.
summary = results.summary()
ratios = np.exp(summary[["coef", "lower", "upper"]])
cells = ratios.apply(lambda row: "{:.2f} [{:.2f}, {:.2f}]".format(*row), axis=1)
table = cells.unstack("class").reindex(results.columns)
print(table.drop(index="Intercept").to_string())
print(f"\n{results.n_obs:.0f} voters, log-likelihood {results.log_likelihood:.1f}")
print(f"AIC {results.aic:.1f}, McFadden's pseudo R² {results.mcfadden_r2:.3f}")

# %%
# The same ratios as a figure. The axis is logarithmic and the line is at 1.
display = CoefficientDisplay.from_results(results, exponentiate=True)
display.ax_.set_title("Opinions of the leaders separate the parties")

# %%
# Predictions
# -----------
# A ratio of an interaction is hard to read. Probabilities are not: among voters without knowledge
# the attitude towards Europe hardly matters, and among those with the most it decides.
display = PredictionsDisplay.from_results(results, "Europe", by="political.knowledge")
display.figure_.suptitle("Knowledge makes the attitude towards Europe matter")

# %%
# The same as shares of all voters, if everyone had the given attitude and knowledge and was
# otherwise as observed.
display = PredictionsDisplay.from_results(
    results,
    "Europe",
    by="political.knowledge",
    newdata=datagrid(grid_type="counterfactual", **{"political.knowledge": [0, 3]}),
    kind="stacked",
    n_points=20,
)
display.figure_.suptitle("Shares of the parties without and with full knowledge")

# %%
# Slopes by knowledge
# -------------------
# The average slope of the probabilities by ``Europe`` at each level of knowledge. The table
# compares each level of knowledge with the one before.
display = EffectsDisplay.from_results(results, "Europe", kind="slopes", by="political.knowledge")
display.ax_.set_title("One step of scepticism")
print(
    results.average_slopes("Europe", by="political.knowledge", hypothesis="sequential")
    .round(4)
    .to_string(index=False)
)
plt.show()
