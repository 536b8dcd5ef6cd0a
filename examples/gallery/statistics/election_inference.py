"""
Standard errors and marginal effects: party identification in 1996
==================================================================

``infer`` computes the standard errors, tests and marginal effects of a multinomial logit. This
example compares the standard errors with those of statsmodels and draws figures. The data are 944
voters of the American National Election Study of 1996, which come with statsmodels.
"""

# %%
# The seven classes range from strong Democrats (Dem) to strong Republicans (Rep). The first class
# is the reference. The features are the logarithm of the population of the voter's place, the
# voter's position on a scale from left (1) to right (7), the age, and codes of education and
# income.
import matplotlib.pyplot as plt
import numpy as np
import statsmodels.api as sm

from skmaxent import CoefficientDisplay, MarginalEffectsDisplay, MaxentClassifier

# Blue for Democrats and red for Republicans, in shades that colour-blind people can distinguish.
tones = ["#053061", "#2166AC", "#67A9CF", "#888888", "#F4A582", "#D6604D", "#67001F"]
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=tones)
data = sm.datasets.anes96.load_pandas()
parties = [
    "0 strong Dem",
    "1 weak Dem",
    "2 leans Dem",
    "3 independent",
    "4 leans Rep",
    "5 weak Rep",
    "6 strong Rep",
]
X = data.exog[["logpopul", "selfLR", "age", "educ", "income"]]
y = data.endog.astype(int).map(dict(enumerate(parties)))
print(y.value_counts().sort_index().to_string())

# %%
# ``C=np.inf`` fits without a penalty, so that the coefficients are maximum-likelihood estimates.
# A coefficient is the change of the log odds of a class against strong Democrats.
classifier = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
results = classifier.infer(X, y)
print(results)

# %%
# statsmodels computes the same numbers, up to rounding errors.
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
# The Wald test of a feature tests that its coefficients in all classes are zero. ``selfLR``, the
# position between left and right, has the largest statistic by far.
print(results.wald_test().round(4))

# %%
# With ``reference="symmetric"`` the coefficients are relative to the mean of all classes instead
# of to strong Democrats.
symmetric = classifier.infer(X, y, reference="symmetric")
display = CoefficientDisplay.from_results(symmetric)
display.ax_.set_title("Coefficients relative to the mean of all classes")

# %%
# Marginal effects are easier to interpret. The effect of ``selfLR`` on a class is the average slope
# of the probability of the class. It is approximately the change of the probability for one step to
# the right on the scale.
display = MarginalEffectsDisplay.from_results(results, X)
print(display.table.xs("selfLR", level="feature").round(3))
display.ax_.set_title("Average marginal effects")
