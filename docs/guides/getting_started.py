"""
Getting started
===============

This page is for people who know pandas and scikit-learn a little, and meet this package for the
first time. It takes about 20 minutes. You fit a classifier to a DataFrame with categories and
missing values, read its probabilities and coefficients, choose the strength of the penalty, and
save the model. Three sections show what scikit-learn does not have: standard errors, tests and
effects.

All code on this page runs when the page is built. To follow it, install the package as on the
:doc:`first page </index>`, and the data with ``.venv/bin/pip install plotnine``.

The data
--------

The rows are 344 penguins that were measured on three islands of Antarctica. We want to know the
species from the measurements. Two columns hold categories, and some values are missing.
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
# As with any classifier, a quarter of the rows is held out. They will show how well the model
# predicts penguins that it has not seen.

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
# The classifier needs numbers without gaps. A column transformer replaces missing measurements by
# the median, and missing categories by the most frequent one, and turns each category into a column
# of zeros and ones. The measurements are divided by their standard deviation. The solver does not
# need that; the penalty does, because it treats all coefficients alike.

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
# The fit comes with a certificate. ``optimality_gap_`` bounds the share of the objective that a
# better solution could still gain. A fit that is not at its optimum would have warned.

classifier = model[-1]
print(f"at most {classifier.optimality_gap_:.1e} of the objective can still be gained")
print(f"accuracy on the held-out penguins: {model.score(X_test, y_test):.3f}")

# %%
# Probabilities
# -------------
#
# A maximum-entropy classifier does more than name the most likely class: it gives a probability to
# each. ``predict_proba`` of the pipeline returns an array, and ``predict_proba_frame`` of the
# classifier a table with the names of the rows and of the classes.

probabilities = classifier.predict_proba_frame(model[:-1].transform(X_test))
probabilities.head().round(3)

# %%
# The log loss measures how good probabilities are: it is the mean, over penguins, of minus the
# logarithm of the probability that the true species got. It is zero for a perfect model. The fit
# minimises the log loss of the training rows plus the penalty. For comparison, the second number is
# that of a model without features: its probabilities are the shares of the species in the training
# rows, the same for every penguin.

shares = y_train.value_counts(normalize=True).sort_index()
print(f"log loss of the model:  {log_loss(y_test, model.predict_proba(X_test)):.3f}")
print(f"log loss of the shares: {log_loss(y_test, np.tile(shares, (len(y_test), 1))):.3f}")

# %%
# The confusion matrix shows which species are mistaken for which.

fig, ax = plt.subplots(figsize=(4.2, 3.6), layout="constrained")
ConfusionMatrixDisplay.from_estimator(model, X_test, y_test, ax=ax, colorbar=False, cmap="Blues")
ax.set_title("Held-out penguins")

# %%
# Coefficients
# ------------
#
# The *logit* of a class is a weighted sum of the columns plus an intercept, and the probabilities
# are the softmax of the logits. ``coef_frame`` has the weights.

coefficients = classifier.coef_frame()
coefficients.round(2)

# %%
# A single weight has no meaning on its own: if the same number is added to the weights of a column
# for all classes, no probability changes. (The ridge penalty chooses the weights that sum to zero
# over the classes.) What has a meaning is the difference between the weights of two classes. The
# odds of two classes are the ratio of their probabilities, and the difference is the change of the
# logarithm of the odds when the column rises by one. For a measurement, one is here one standard
# deviation. Its exponential is the factor by which the odds change, the *relative risk ratio*.

difference = coefficients["Gentoo"] - coefficients["Adelie"]
table = pd.DataFrame({"change of log odds": difference, "ratio": np.exp(difference)})
table.round(2)

# %%
# For example, a bill that is one standard deviation deeper multiplies the odds of being a Gentoo
# rather than an Adelie by 0.10, if the other columns stay the same.
#
# Choose the strength of the penalty
# ----------------------------------
#
# ``C`` is the inverse strength of the penalty: a small C pulls the coefficients towards zero.
# ``MaxentClassifierCV`` tries many values, and keeps the one with the best log loss in a
# cross-validation of the training rows. The held-out rows play no part in the choice.

search = make_pipeline(columns, MaxentClassifierCV(Cs=30, cv=5))
search.fit(X_train, y_train)
chosen = search[-1]
print(f"chosen C: {chosen.C_:.3g}")
print(f"held-out log loss: {log_loss(y_test, search.predict_proba(X_test)):.3f}")

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
CVCurveDisplay.from_estimator(chosen, ax=ax)
ax.set_title("Log loss in cross-validation over C")

# %%
# ``l1_ratios=[1.0]`` would compare lasso penalties instead, which set coefficients to exactly zero.
# scikit-learn's ``GridSearchCV`` works too, and can choose parameters of the whole pipeline.
#
# Two classes
# -----------
#
# With two classes there is a single logit, that of the second class in the order of ``classes_``. A
# positive coefficient makes the second class more likely. Adélie and Chinstrap penguins differ most
# in their bills. Without that measurement, the question is harder.

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
# Without a penalty, ``C=np.inf``, the fit is maximum likelihood, and ``infer`` gives what a
# statistician asks for. It takes the fitted pipeline and the rows of the fit.

results = infer(logit, X2, y2)
print(results)

# %%
# Among animals of the same sex, mass and bill depth, longer flippers speak for the Chinstrap: the
# interval of that coefficient is above zero. The data do not tell whether the other three variables
# matter, since their intervals include zero. ``summary(exponentiate=True)`` gives odds ratios with
# their intervals.

results.summary(exponentiate=True).round(3)

# %%
# Effects
# -------
#
# Odds ratios do not say by how much probabilities change. ``average_comparisons`` does, in the
# units of the variables as they are in the DataFrame, before any encoding: for one millimetre of
# flipper length, and for males compared with females, on average over the penguins.

effects = results.average_comparisons(variables=["flipper_length_mm", "sex"])
effects[effects["class"] == "Chinstrap"][["contrast", "estimate", "std_err", "lower", "upper"]]

# %%
# ``PredictionsDisplay`` draws the probability of each class over a variable. The other variables
# have their means, or their most frequent values.

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
PredictionsDisplay.from_results(results, "flipper_length_mm", ax=ax)
ax.set_title("Probability of each species over flipper length")

# %%
# Save and load
# -------------
#
# A fitted pipeline is saved like any scikit-learn object. ``joblib`` is the usual choice. The model
# records the versions of the packages that wrote it and warns if they differ where it is loaded.

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
# - :doc:`Migration </migrating>`: what changes if you come from scikit-learn, statsmodels or R.
# - :doc:`The softmax function </guides_built/softmax>`: what the model computes, step by step.
