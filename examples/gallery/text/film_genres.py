"""
Multilabel text classification: genres of films
===============================================

A film can have several genres, such as comedy and drama. `MultilabelMaxentClassifier` fits all
labels together, with a sigmoid for each label or with one softmax. It predicts a label if its
probability is above a threshold. This example learns the thresholds that maximise F1. The features
are the words of the title, the people, languages and countries, and the decade. The data are from
Wikidata and come with the package bokeh-sampledata.
"""

# %%
# A film is represented by a list of tags, such as a word of the title or the name of the director.
# The vectorizer makes a sparse matrix with a column for each tag of at least three training films.

import sqlite3
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.multiclass import OneVsRestClassifier

from skmaxent import MultilabelMaxentClassifier

folder = Path(find_spec("bokeh_sampledata").submodule_search_locations[0]) / "_data"
query = 'SELECT Title, Year, Genre, Director, Writer, "Cast", Language, Country FROM omdb'
with sqlite3.connect(folder / "movies.db") as database:
    films = pd.read_sql_query(query, database).fillna("")
films = films[films["Genre"] != ""].sample(5000, random_state=0)
Y = films["Genre"].str.get_dummies(", ")
Y = Y.loc[:, Y.mean() > 0.01]


def tags(film):
    """Return the words of the title, the names and the decade of a film."""
    names = ("Director", "Writer", "Cast", "Language", "Country")
    found = [f"{column}: {name}" for column in names for name in film[column].split(", ") if name]
    words = [f"Title: {word}" for word in film["Title"].lower().split()]
    return [*words, *found, f"{film['Year'] // 10 * 10}s"]


lists = [tags(film) for film in films.to_dict("records")]
train, test, Y_train, Y_test = train_test_split(lists, Y, test_size=0.3, random_state=0)
vectorizer = TfidfVectorizer(analyzer=list, min_df=3, binary=True)
X_train, X_test = vectorizer.fit_transform(train), vectorizer.transform(test)
print(f"{X_train.shape[0]} training films, {X_train.shape[1]} tags, {Y.shape[1]} genres,")
print(f"{Y.to_numpy().sum(axis=1).mean():.1f} genres a film")
print("a film:", ", ".join(train[0][:4]), "...")

# %%
# Links and thresholds
# --------------------
# Cross-validation on the training films chooses ``C`` by the average precision, which needs no
# thresholds. Models with a threshold of 0.5 are then compared with models whose thresholds are
# learned for micro F1 or macro F1. Macro F1 is the mean of the genres' F1, so that rare genres
# count as much as frequent ones. Micro F1 counts all pairs of a film and a genre together.
#
# "No genre" counts the test films for which no genre is predicted. `MultilabelMaxentClassifier`
# always predicts a genre: if no probability is above its threshold, it predicts the genre that is
# nearest to its threshold. With ``allow_empty=True`` it predicts none in this case.

search = GridSearchCV(
    MultilabelMaxentClassifier(threshold=0.5),
    {"C": [1, 3, 10, 30]},
    scoring="average_precision",
    cv=3,
).fit(X_train, Y_train)
for C, score in zip([1, 3, 10, 30], search.cv_results_["mean_test_score"], strict=True):
    print(f"C = {C:<3d} mean average precision {score:.3f}")
C = search.best_params_["C"]
models = {
    "one-vs-rest, 0.5": OneVsRestClassifier(LogisticRegression(C=C, max_iter=1000)),
    "sigmoid, 0.5": MultilabelMaxentClassifier(C=C, threshold=0.5),
    "sigmoid, micro F1": MultilabelMaxentClassifier(C=C, threshold="f1_micro"),
    "sigmoid, macro F1": MultilabelMaxentClassifier(C=C, threshold="f1_macro"),
    "softmax, macro F1": MultilabelMaxentClassifier(C=C, link="softmax", threshold="f1_macro"),
}
scores = {}
for name, model in models.items():
    predicted = np.asarray(model.fit(X_train, Y_train).predict(X_test))
    scores[name] = [
        f1_score(Y_test, predicted, average=average, zero_division=0.0)
        for average in ("micro", "macro")
    ]
    micro, macro = scores[name]
    empty = int((predicted.sum(axis=1) == 0).sum())
    print(f"{name:18s} micro F1 {micro:.3f}   macro F1 {macro:.3f}   no genre {empty}")

# %%
# Thresholds of the labels
# ------------------------
# The left figure has a line for each genre, which shows F1 on the test films for each threshold.
# The dot is at the threshold that was learned on the training films. The lines of rare genres are
# dark, and the lines of frequent genres are light. Rare genres need low thresholds. The right
# figure compares the models.

clf = models["sigmoid, macro F1"]
P = clf.predict_proba(X_test)
grid = np.linspace(0.02, 0.98, 49)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
colors = plt.colormaps["viridis"](Y_train.mean().rank(pct=True))
for k in range(Y.shape[1]):
    curve = [f1_score(Y_test.iloc[:, k], P[:, k] > t, zero_division=0.0) for t in grid]
    at = clf.threshold_[k]
    left.plot(grid, curve, color=colors[k], linewidth=1)
    left.plot(at, np.interp(at, grid, curve), "o", color=colors[k], markersize=5)
left.axvline(0.5, color="black", linestyle=":", linewidth=1)
left.set(xlabel="threshold", ylabel="F1 of a genre", title="F1 of each genre by its threshold")
positions = np.arange(len(scores))
right.barh(positions - 0.2, [s[0] for s in scores.values()], 0.4, color="#0072B2", label="micro F1")
right.barh(positions + 0.2, [s[1] for s in scores.values()], 0.4, color="#E69F00", label="macro F1")
right.set(yticks=positions, yticklabels=scores, title="F1 of all genres")
right.invert_yaxis()
right.set_xlim(0, 1)
right.legend(frameon=False, loc="lower right")

# %%
# Tags that speak for a genre
# ---------------------------
# The table shows the five tags with the largest coefficients for some genres.

coef = pd.DataFrame(clf.coef_, Y.columns, vectorizer.get_feature_names_out())
genres = ["Animation", "Documentary", "Horror", "War", "Western"]
pd.DataFrame({genre: coef.loc[genre].nlargest(5).index for genre in genres})
