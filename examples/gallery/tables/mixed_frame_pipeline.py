"""
Pipeline with numeric and categorical columns
=============================================

This example fits a data frame with numbers and categories by a ``ColumnTransformer``, a pipeline
and a grid search. The numbers are in carats, millimetres and dollars, and no scaler is needed. The
data are the 53,940 diamonds that come with plotnine. The class is the quality of the cut.
"""

# %%
# The columns have very different scales: the price goes up to 18,823, and the depth varies by a few
# percent.
import matplotlib.pyplot as plt
import numpy as np
from plotnine.data import diamonds
from sklearn.compose import ColumnTransformer
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures

from skmaxent import MaxentClassifier

X, y = diamonds.drop(columns="cut"), diamonds["cut"].astype(str)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
print(X.describe().loc[["min", "mean", "max"]].round(1))

# %%
# A good cut has a depth and a table that are neither small nor large. A linear model can describe
# this if it has the squares and products of the numbers. They go up to 3.5e8, which the solver
# handles without scaling. The lengths x, y and z are left out, because depth already describes
# the form. The grid search chooses the degree of the polynomials and ``C``.
numbers = ["carat", "depth", "table", "price"]
prepare = ColumnTransformer(
    [
        ("numbers", PolynomialFeatures(include_bias=False), numbers),
        ("categories", OneHotEncoder(drop="first", sparse_output=False), ["color", "clarity"]),
    ],
    verbose_feature_names_out=False,
).set_output(transform="pandas")
search = GridSearchCV(
    make_pipeline(prepare, MaxentClassifier()),
    {
        "columntransformer__numbers__degree": [1, 2],
        "maxentclassifier__C": [0.01, 1, 100],
    },
    scoring="neg_log_loss",
    cv=3,
)
search.fit(X_train, y_train)
for params, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    degree, C = params.values()
    print(f"degree {degree}, C = {C:<6g} mean log loss {-score:.4f}")
best = search.best_estimator_
print(f"accuracy on test diamonds {best.score(X_test, y_test):.3f}")
print(f"upper bound on the relative gap of the objective {best[-1].optimality_gap_:.1e}")

# %%
# Most errors are between neighbouring qualities, although the model does not know their order.
cuts = ["Fair", "Good", "Very Good", "Premium", "Ideal"]
figure, ax = plt.subplots(figsize=(6, 4.8), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    y_test,
    best.predict(X_test),
    labels=cuts,
    normalize="true",
    cmap="Blues",
    values_format=".2f",
    ax=ax,
)
ax.set_title("Share of each true cut by predicted cut")

# %%
# The next figure shows the probabilities over the depth, for a diamond with the median of all other
# numbers, colour G and clarity VS2.
middle = X_test.select_dtypes("number").median().drop("depth")
depth = np.linspace(54, 70, 200)
frame = X_test.iloc[[0] * len(depth)].assign(**middle, depth=depth, color="G", clarity="VS2")
curves = best[-1].predict_proba_frame(best[:-1].transform(frame))
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for cut, color in zip(cuts, plt.colormaps["viridis"](np.linspace(0, 0.92, 5)), strict=True):
    ax.plot(depth, curves[cut], color=color, linewidth=2, label=cut)
ax.set(xlabel="depth, % of the width", ylabel="probability")
ax.set_title("Predicted probabilities of the cuts")
ax.legend(title="cut", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
