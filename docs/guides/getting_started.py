"""
Getting started
===============

This page is for people who know pandas and scikit-learn a little, and are new to this package. It
takes about 20 minutes. You fit a classifier to a DataFrame with categories and missing values, read
its probabilities and coefficients, choose the strength of the penalty, compute standard errors and
effects, and save the model.

Install the package as on the :doc:`first page </index>`. The data come with the package plotnine,
which ``.venv/bin/pip install plotnine`` installs.

The data
--------

The rows are 344 penguins of three species, from three islands near Antarctica. The task is to
predict the species from the other columns. Two of these columns hold categories, the island and the
sex, and some values are missing. Five of the rows:
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from plotnine.data import penguins
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import ConfusionMatrixDisplay, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmaxent import (
    CVCurveDisplay,
    MaxentClassifier,
    MaxentClassifierCV,
    PredictionsDisplay,
    infer,
)

plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

penguins.sample(5, random_state=0)

# %%
# A quarter of the rows is held out. These rows will show how well the model predicts penguins that
# it has not seen. The output is the number of missing values in each column of ``X_train``.

y = penguins["species"].astype(str)
X = penguins.drop(columns=["species", "year"])
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.25, random_state=0, stratify=y
)
print(X_train.isna().sum().to_string())

# %%
# Fit
# ---
#
# The classifier needs numbers without missing values. A column transformer replaces missing
# measurements by the median, and missing categories by the most frequent category. It turns each
# category into a column of zeros and ones, and standardises the measurements to mean 0 and standard
# deviation 1. The solver would converge without this. The penalty needs it: the same length would
# be shrunk more in metres, where its coefficient is a larger number, than in millimetres. (If all
# columns are measurements, ``MaxentClassifier(standardize=True)`` does the same.)

measurements = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
categories = ["island", "sex"]
columns = make_column_transformer(
    (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), measurements),
    (
        make_pipeline(
            SimpleImputer(strategy="most_frequent"),
            OneHotEncoder(drop="if_binary", sparse_output=False),
        ),
        categories,
    ),
    verbose_feature_names_out=False,
).set_output(transform="pandas")

model = make_pipeline(columns, MaxentClassifier())
model.fit(X_train, y_train)

# %%
# The fit minimises the *objective*: the mean log loss of the training rows, which is explained
# below, plus a ridge (L2) penalty. No ``ConvergenceWarning`` was issued, so the solver converged.
# In addition, ``optimality_gap_`` is an upper bound on how far the objective is above its minimum,
# as a share of the objective.

classifier = model[-1]
print(f"share of the objective above its minimum: at most {classifier.optimality_gap_:.0e}")
print(f"accuracy on the held-out penguins: {model.score(X_test, y_test):.3f}")

# %%
# Probabilities
# -------------
#
# The model gives a probability to each class. ``predict_proba`` of the pipeline returns an array.
# ``predict_proba_frame`` of the classifier returns a table with the names of the rows and of the
# classes.

probabilities = classifier.predict_proba_frame(model[:-1].transform(X_test))
probabilities.head().round(3)

# %%
# The log loss measures how good probabilities are. It is the mean of :math:`-\log p`, where
# :math:`p` is the probability that the model gave to the true species of a penguin. A perfect model
# has a log loss of zero. For comparison, a model without features gives every penguin the shares of
# the species in the training rows as probabilities.

shares = y_train.value_counts(normalize=True).sort_index()
without_features = np.tile(shares, (len(y_test), 1))
print(f"log loss of the model:     {log_loss(y_test, model.predict_proba(X_test)):.3f}")
print(f"log loss without features: {log_loss(y_test, without_features):.3f}")

# %%
# The confusion matrix counts the held-out penguins by true and predicted species.

fig, ax = plt.subplots(figsize=(4.2, 3.6), layout="constrained")
ConfusionMatrixDisplay.from_estimator(model, X_test, y_test, ax=ax, colorbar=False, cmap="Blues")
ax.set_title("Held-out penguins")

# %%
# Coefficients
# ------------
#
# Each class has a *logit*: a weighted sum of the columns plus an intercept. The :doc:`softmax
# </guides_built/softmax>` turns the logits of a penguin into probabilities. The weights are the
# coefficients, and ``coef_frame`` returns them as a table.

coefficients = classifier.coef_frame()
coefficients.round(2)

# %%
# A single coefficient has no meaning on its own, because adding the same number to the coefficients
# of a column for all classes changes no probability. (The ridge penalty selects coefficients that
# sum to zero over the classes.) Only differences between classes have a meaning. The *odds* of two
# classes are the ratio of their probabilities. If a column rises by one and the others stay the
# same, the logarithm of the odds changes by the difference of the two coefficients. The exponential
# of this difference is the factor by which the odds change, the *relative risk ratio*. For a
# standardised measurement, one is one standard deviation.

difference = coefficients["Gentoo"] - coefficients["Adelie"]
table = pd.DataFrame({"change of log odds": difference, "ratio": np.exp(difference)})
table.round(2)

# %%
# For example, if a bill is one standard deviation deeper, the odds of Gentoo against Adelie are
# multiplied by 0.10.
#
# Choose the strength of the penalty
# ----------------------------------
#
# ``C`` is the inverse strength of the penalty: a smaller C shrinks the coefficients more.
# ``MaxentClassifierCV`` tries many values of C, and chooses the one with the smallest log loss in a
# cross-validation of the training rows. The held-out rows are not used for the choice.

search = make_pipeline(columns, MaxentClassifierCV(Cs=30, cv=5))
search.fit(X_train, y_train)
chosen = search[-1]
print(f"chosen C: {chosen.C_:.3g}")
print(f"held-out log loss: {log_loss(y_test, search.predict_proba(X_test)):.3f}")

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
CVCurveDisplay.from_estimator(chosen, ax=ax)
ax.set_title("Cross-validation of the training rows")

# %%
# The curve is minus the log loss, so that larger values are better. The dashed line marks the
# strongest penalty whose score is within one standard error of the best. The axis at the top counts
# the features with nonzero coefficients: with a ridge penalty all of them. ``l1_ratios=[1.0]``
# would compare lasso penalties, which set coefficients to exactly zero. To choose parameters of the
# whole pipeline, use scikit-learn's ``GridSearchCV``.
#
# Two classes
# -----------
#
# With two classes there is a single logit, that of ``classes_[1]``, the second class in sorted
# order. A positive coefficient makes this class more likely. The example compares Adélie and
# Chinstrap penguins, without a penalty (``C=np.inf``). The length of the bill is left out. With it,
# the model would separate the two species without error, and the maximum-likelihood estimate would
# not exist (see *Separation* in :doc:`Inference </inference>`).

two = penguins[penguins["species"].isin(["Adelie", "Chinstrap"])].dropna()
X2 = two[["bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex"]].astype({"sex": str})
y2 = two["species"].astype(str)
encoded = make_column_transformer(
    (OneHotEncoder(drop="first", sparse_output=False), ["sex"]),
    remainder="passthrough",
    verbose_feature_names_out=False,
).set_output(transform="pandas")
logit = make_pipeline(encoded, MaxentClassifier(C=np.inf)).fit(X2, y2)
print(f"the logit is that of {logit.classes_[1]}")
logit[-1].coef_frame().round(4)

# %%
# Standard errors and tests
# -------------------------
#
# A fit without a penalty is a maximum-likelihood estimate. For such a fit, ``infer`` computes
# standard errors, tests and confidence intervals. (For a ridge, it computes standard errors of a
# posterior, without p-values.) Its arguments are the fitted pipeline and the rows of the fit.
# Without a pipeline, ``clf.infer(X, y)`` does the same for a fitted classifier ``clf``.

results = infer(logit, X2, y2)
print(results)

# %%
# Among penguins of the same sex, mass and bill depth, those with longer flippers are more likely to
# be Chinstrap: the interval of this coefficient is above zero. The intervals of the other three
# variables include zero, so the data do not show whether these variables matter.
# ``summary(exponentiate=True)`` returns odds ratios with their intervals.

results.summary(exponentiate=True).round(3)

# %%
# Effects
# -------
#
# ``average_comparisons`` says by how much probabilities change, on average over the penguins. The
# variables are those of the DataFrame, before any encoding. The flipper length changes from half a
# millimetre below to half a millimetre above the value of each penguin, and the sex from female to
# male.

effects = results.average_comparisons(variables=["flipper_length_mm", "sex"])
effects[effects["class"] == "Chinstrap"][["contrast", "estimate", "std_err", "lower", "upper"]]

# %%
# On average, one millimetre more raises the probability of Chinstrap by 0.03.
# ``PredictionsDisplay`` draws the probability of each class over a variable. Other numbers are set
# to their means, and other categories to the most frequent one.

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
PredictionsDisplay.from_results(results, "flipper_length_mm", ax=ax)
ax.set_title("Probability of each species over flipper length")

# %%
# Save and load
# -------------
#
# A fitted pipeline is saved like any scikit-learn object, for example with ``joblib``. The file
# contains the versions of skmaxent and scikit-learn. Loading it with other versions gives a
# warning.

from pathlib import Path  # noqa: E402
from tempfile import TemporaryDirectory  # noqa: E402

import joblib  # noqa: E402

with TemporaryDirectory() as folder:
    path = Path(folder) / "penguins.joblib"
    joblib.dump(search, path)
    loaded = joblib.load(path)
print((loaded.predict(X_test) == search.predict(X_test)).all())

# %%
# What to read next
# -----------------
#
# - :doc:`Penalties </penalties>`: the lasso, groups, bounds and prior coefficients.
# - :doc:`Inference </inference>`: robust and clustered standard errors, tests, intervals.
# - :doc:`Effects </effects>`: predictions, comparisons and slopes of variables.
# - :doc:`Migration </migrating>`: changes from scikit-learn, statsmodels, R and Stata.
# - :doc:`The softmax function </guides_built/softmax>`: what the model computes, step by step.
