"""
Standard errors and marginal effects: party identification in 1996
==================================================================

``infer`` computes the standard errors, tests and marginal effects of a multinomial logit. This
example compares them with statsmodels and draws figures. The data are 944 voters of the American
National Election Study of 1996, which come with statsmodels.
"""

# %%
# The seven classes range from strong Democrats to strong Republicans. The first is the reference.
import matplotlib.pyplot as plt
import numpy as np
import statsmodels.api as sm

from skmaxent import CoefficientDisplay, MarginalEffectsDisplay, MaxentClassifier

# Blue for Democrats and red for Republicans, in shades that colour-blind people can distinguish.
tones = ["#053061", "#2166AC", "#67A9CF", "#888888", "#F4A582", "#D6604D", "#67001F"]
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=tones)
data = sm.datasets.anes96.load_pandas()
parties = [
    "0 strong Democrat",
    "1 weak Democrat",
    "2 leans to Democrats",
    "3 independent",
    "4 leans to Republicans",
    "5 weak Republican",
    "6 strong Republican",
]
X = data.exog[["logpopul", "selfLR", "age", "educ", "income"]]
y = data.endog.astype(int).map(dict(enumerate(parties)))
print(y.value_counts().sort_index().to_string())

# %%
# ``C=np.inf`` fits without a penalty, so that the coefficients are maximum-likelihood estimates.
classifier = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
results = classifier.infer(X, y)
print(results)

# %%
# statsmodels computes the same numbers, up to rounding.
theirs = sm.MNLogit(data.endog, sm.add_constant(X)).fit(method="newton", tol=1e-12, disp=0)
ours = results.summary()
for name, table in {
    "coef": theirs.params,
    "std_err": theirs.bse,
    "p_value": theirs.pvalues,
}.items():
    mine = ours[name].unstack("class").loc[[*X.columns, "Intercept"]].to_numpy()
    theirs_in_order = table.loc[[*X.columns, "const"]].to_numpy()
    print(f"{name}: largest difference {np.abs(mine - theirs_in_order).max():.1e}")
print(f"log-likelihood: {results.log_likelihood:.6f} and {theirs.llf:.6f}")

# %%
# The Wald test of a feature tests its coefficients in all classes jointly. ``selfLR``, the
# position of a voter on a scale from left (1) to right (7), has by far the largest statistic.
print(results.wald_test().round(4))

# %%
# With ``reference="symmetric"`` the coefficients are relative to the mean of all classes instead
# of to strong Democrats.
symmetric = classifier.infer(X, y, reference="symmetric")
display = CoefficientDisplay.from_results(symmetric)
display.ax_.set_title("Coefficients relative to the mean of all classes")

# %%
# Marginal effects are easier to interpret. The effect of ``selfLR`` on a class is the average
# change of its probability for one step to the right on the scale.
display = MarginalEffectsDisplay.from_results(results, X)
print(display.table.xs("selfLR", level="feature").round(3))
display.ax_.set_title("Average marginal effects")
