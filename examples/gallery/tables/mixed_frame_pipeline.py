"""
Pipeline with numeric and categorical columns
=============================================

This example fits a data frame with numbers and categories. A ``ColumnTransformer`` encodes the
columns, a pipeline joins it to the classifier, and a grid search chooses their parameters. The
numbers are in carats, percent and dollars, and the pipeline has no scaler. The data are the 53,940
diamonds that come with plotnine. The class is the quality of the cut.
"""

# %%
# The columns have very different scales: the weight is between 0.2 and 5 carats, and the price is
# between 326 and 18,823 dollars.
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
# A well-cut diamond has a ``depth`` (its height) and a ``table`` (the width of its top), both in
# percent of its width, that are neither small nor large. A linear model can describe this if its
# features include the squares and products of the numbers. The largest square is 3.5e8, and the
# solver needs no scaling. The lengths x, y and z are left out, because depth already describes the
# form.
#
# The grid search chooses the degree of the polynomials and ``C`` by the log loss in
# cross-validation. The last line of the output is the certificate of the fit: at most this share of
# the objective can still be gained.
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
        "maxentclassifier__C": [1, 100, 10_000],
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
print(f"optimality gap at most {best[-1].optimality_gap_:.1e}")

# %%
# The next figure shows, for the diamonds of each quality in the test set, the shares of the
# predicted qualities. 70 % of the errors are between neighbouring qualities, although the model
# does not know the order of the qualities.
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
# The last figure shows how the probabilities depend on the depth, for a diamond of colour G and
# clarity VS2 whose other numbers are the medians of the test set.
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
