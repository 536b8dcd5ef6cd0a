"""
Many classes and text
=====================

This page is for people whose features are words or characters, or who have tens to thousands of
classes. It fits a sparse matrix with thousands of columns, shows which features speak for which
class, lists the most likely classes of a row, and makes a model small.

The data are sentences in 28 languages, at most 200 of each, which come with the package
chatterbot-corpus. The class is the language.
"""

from pathlib import Path

import chatterbot_corpus
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import log_loss, top_k_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skmaxent import MaxentClassifier, coef_frame

plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

rows = []
for path in sorted(Path(chatterbot_corpus.__file__).parent.glob("data/*/*.yml")):
    for dialogue in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]:
        rows += [(path.parent.name, str(text)) for text in dialogue]
sentences = pd.DataFrame(rows, columns=["language", "text"]).drop_duplicates()
sentences = sentences.sample(frac=1, random_state=0).groupby("language").head(200)
train, test = train_test_split(
    sentences, test_size=0.25, stratify=sentences["language"], random_state=0
)
print(f"{len(train)} training sentences, {sentences['language'].nunique()} languages,")
print(f"from {sentences['language'].value_counts().min()} to", end=" ")
print(f"{sentences['language'].value_counts().max()} sentences for each")

# %%
# Text features
# -------------
#
# ``TfidfVectorizer`` of scikit-learn turns each sentence into a sparse row of
# weighted counts (TF-IDF). Here the features are
# strings of one or two characters (character n-grams); ``analyzer="word"``, its default, makes
# words. The classifier never makes the sparse matrix dense. ``optimality_gap_`` is an upper bound
# on how far the objective is above its minimum, relative to the objective.

model = make_pipeline(
    TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 2), min_df=3), MaxentClassifier(C=30)
)
model.fit(train["text"], train["language"])
features = model[:-1].transform(train["text"])
print(f"{features.shape[1]} features, {features.nnz / features.shape[0]:.0f} of them in a sentence")
print(f"{model[-1].coef_.size} coefficients, optimality gap {model[-1].optimality_gap_:.0e}")

# %%
# Accuracy and the most likely classes
# ------------------------------------
#
# With many classes, the accuracy alone says little. The top-3 accuracy is the share of rows whose
# class is among the three most likely ones. The log loss judges the probabilities.

P = model.predict_proba(test["text"])
labels = model.classes_
print(f"accuracy       {model.score(test['text'], test['language']):.3f}")
print(f"top-3 accuracy {top_k_accuracy_score(test['language'], P, k=3, labels=labels):.3f}")
print(f"log loss       {log_loss(test['language'], P, labels=labels):.3f}")

# %%
# This table has the three most likely languages of some sentences.

some = ["Where is the station?", "Waar is het station?", "¿Dónde está la estación?"]
probabilities = model.predict_proba(some)
order = np.argsort(-probabilities, axis=1)[:, :3]
pd.DataFrame(
    [[f"{labels[k]} {p[k]:.2f}" for k in o] for p, o in zip(probabilities, order, strict=True)],
    index=some,
    columns=["first", "second", "third"],
)

# %%
# Features that speak for a class
# -------------------------------
#
# ``coef_frame`` of a pipeline has a row for each n-gram, with its name, and a column for each
# class. The largest coefficients of a class are the features that raise its probability most.

table = coef_frame(model).drop("Intercept")
fig, axes = plt.subplots(1, 4, figsize=(8.6, 3.2), layout="constrained")
for ax, language in zip(axes, ["english", "dutch", "german", "swedish"], strict=True):
    top = table[language].nlargest(10).iloc[::-1]
    ax.barh([repr(name) for name in top.index], top, color="#0072B2")
    ax.set_title(language)

# %%
# Classes that are mistaken for each other
# ----------------------------------------

predicted = model.predict(test["text"])
mistakes = pd.crosstab(test["language"], predicted).rename_axis(index="class", columns="predicted")
pairs = mistakes.stack().rename("sentences").reset_index()
pairs = pairs[pairs["class"] != pairs["predicted"]].nlargest(5, "sentences")
pairs.reset_index(drop=True)

# %%
# A smaller model
# ---------------
#
# The model has a coefficient for each feature and class. Fewer features make it smaller:
# ``max_features`` keeps the most frequent ones. The table shows what that costs here.

sizes = {}
for number in (250, 1000, features.shape[1]):
    small = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 2), max_features=number),
        MaxentClassifier(C=30),
    ).fit(train["text"], train["language"])
    sizes[number] = {
        "coefficients": small[-1].coef_.size,
        "accuracy": small.score(test["text"], test["language"]),
        "log loss": log_loss(
            test["language"], small.predict_proba(test["text"]), labels=small.classes_
        ),
    }
pd.DataFrame(sizes).T.rename_axis("features").astype({"coefficients": int}).round(3)

# %%
# A lasso, ``l1_ratio=1``, keeps the features that help most instead of the most frequent ones, and
# sets the other coefficients to exactly zero; ``sparsify`` then stores only the others. If all
# classes should use the same features, ``grouped=True`` selects whole columns. The example
# :doc:`/gallery/text/text_topics` compares a lasso with a ridge.
#
# Rare classes, time and memory
# -----------------------------
#
# - A class needs at least one row in the training data. A class with few rows gets small
#   probabilities, as it should. ``class_weight="balanced"`` raises them
#   (:doc:`class weights <fit_and_predict>`).
# - The model has one coefficient for each class and feature, and a fit needs several arrays of
#   this size. With 1,000 classes and 100,000 features, one such array takes 800 MB in float64 and
#   half of that in float32. Fewer features (``max_features``, ``min_df``) or hashing help.
# - The time of a step grows with rows × features in a row × classes. The preconditioner needs no
#   matrix with a row and a column for each pair of classes and features. The
#   :doc:`benchmark </benchmark>` has cases with text and with 300 classes.
# - For rows with several labels at once, such as tags, use
#   :class:`skmaxent.MultilabelMaxentClassifier`. With ``link="softmax"`` it suits very many labels.
# - Neural embeddings of texts or images are dense features: fit the classifier to their array.
#
# What to read next
# -----------------
#
# - :doc:`/gallery/text/sentiment`: sentiment of product reviews, and the characters that decide.
# - :doc:`/gallery/text/intents`: intents of short utterances, and when not to answer.
# - :doc:`/gallery/text/text_topics`: topics of sentences by a lasso on words.
# - :doc:`/gallery/text/film_genres`: several labels per row and decision thresholds.
# - :doc:`/gallery/images/final_layer`: the last layer of a neural network.
# - :doc:`/memory`: what a fit copies, and data larger than memory.
# - :class:`skmaxent.MaxentClassifier` and :func:`skmaxent.coef_frame` in the API.
