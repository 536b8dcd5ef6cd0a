"""
Party identification in 1996, with standard errors
==================================================

A published table of a multinomial logit, computed again by ``infer()``, with its figures. The data
are 944 voters of the American National Election Study of 1996, which come with statsmodels, as does
the model to compare with.
"""

# %%
# Seven classes, from strong Democrats to strong Republicans; the first is the reference.
import matplotlib.pyplot as plt
import numpy as np
import statsmodels.api as sm

from skmaxent import CoefficientDisplay, MarginalEffectsDisplay, MaxentClassifier

# From Democrats to Republicans as in maps of elections, in tones that the colour-blind can tell.
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
print(y.value_counts().sort_index())

# %%
# Without a penalty the estimates are those of maximum likelihood.
classifier = MaxentClassifier(C=np.inf, tol=1e-8).fit(X, y)
results = classifier.infer(X, y)
print(results)

# %%
# statsmodels has the same numbers.
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
# Every feature, in all classes jointly: ``selfLR``, where voters place themselves from the left to
# the right on a scale of seven, matters most by far.
print(results.wald_test().round(4))

# %%
# The same fit, with each party against the mean of all instead of against strong Democrats.
symmetric = classifier.infer(X, y, reference="symmetric")
display = CoefficientDisplay.from_results(symmetric)
display.ax_.set_title("selfLR orders the parties most clearly")

# %%
# Effects on probabilities are easier to read: with each step to the right on the scale,
# how much more likely is each party?
display = MarginalEffectsDisplay.from_results(results, X)
print(display.table.xs("selfLR", level="feature").round(3))
display.ax_.set_title("One step to the right: ten points fewer strong Democrats")
