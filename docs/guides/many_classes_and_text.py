"""
Many classes and text
=====================

This page is for people whose features are words or characters, or who have tens to thousands of
classes. The example recognises the language of a sentence. It fits a sparse matrix with thousands
of columns, shows which features speak for which class, lists the most likely classes of a row, and
makes the model smaller.

The sentences come with the package chatterbot-corpus. This page needs
``.venv/bin/pip install chatterbot-corpus pyyaml matplotlib``. The class of a sentence is the folder
that contains it: there are 28 languages, with Chinese in two scripts counted twice. More than half
of the Swedish folder is English. Sentences that are in several folders are therefore left out, and
at most 200 of the others are used for each class.
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
sentences = sentences.drop_duplicates("text", keep=False)
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
# ``TfidfVectorizer`` of scikit-learn turns each sentence into a sparse row of weighted counts
# (TF-IDF). Here the features are strings of one or two characters (character n-grams). With
# ``analyzer="word"``, the default of ``TfidfVectorizer``, the features are words. The classifier
# never makes the sparse matrix dense. ``optimality_gap_`` is an upper bound on the relative
# distance of the objective from its minimum (:doc:`certificate </solvers>`).
#
# TF-IDF values are small and need large coefficients, which ``C=1``, the default, shrinks too much.
# On a quarter of the training sentences, after a fit to the others, the log loss was 0.85 with
# ``C=1``, 0.38 with ``C=30`` and 0.36 with ``C=100``. :doc:`Choose the penalty </penalties>` says
# how to choose ``C`` by cross-validation.

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
# The accuracy counts only the most likely class of each row. The top-3 accuracy is the share of
# rows whose class is among the three most likely classes. The log loss is the mean of −log p, where
# p is the predicted probability of the class of the row.

P = model.predict_proba(test["text"])
labels = model.classes_
print(f"accuracy       {model.score(test['text'], test['language']):.3f}")
print(f"top-3 accuracy {top_k_accuracy_score(test['language'], P, k=3, labels=labels):.3f}")
print(f"log loss       {log_loss(test['language'], P, labels=labels):.3f}")

# %%
# This table has the three most likely languages of three sentences, with their probabilities.

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
# ``coef_frame`` of a pipeline returns a table with a row for each n-gram and a column for each
# class. A unit of a feature raises the logit of a class by the coefficient, so that features with
# large coefficients speak for the class. The bars are the ten largest coefficients of four
# languages. A blank in a name is the beginning or the end of a word.

table = coef_frame(model).drop("Intercept")
fig, axes = plt.subplots(1, 4, figsize=(8.6, 3.2), layout="constrained")
for ax, language in zip(axes, ["english", "dutch", "german", "swedish"], strict=True):
    top = table[language].nlargest(10).iloc[::-1]
    ax.barh([repr(name) for name in top.index], top, color="#0072B2")
    ax.set_title(language)

# %%
# Confused classes
# ----------------
#
# The table has the five pairs of a class and a wrong prediction that occur most often in the test
# sentences. The two scripts of Chinese, which share many characters, are confused most.

predicted = model.predict(test["text"])
mistakes = pd.crosstab(test["language"], predicted).rename_axis(index="class", columns="predicted")
pairs = mistakes.stack().rename("sentences").reset_index()
pairs = pairs[pairs["class"] != pairs["predicted"]].nlargest(5, "sentences")
pairs.reset_index(drop=True)

# %%
# A smaller model
# ---------------
#
# The model has a coefficient for each feature and class, so that fewer features make it smaller.
# ``max_features`` keeps only the most frequent n-grams. The table compares the accuracy and the log
# loss on the test sentences. Its last row is the model above.

sizes = {}
for max_features in (250, 1000, None):
    small = make_pipeline(
        TfidfVectorizer(
            analyzer="char_wb", ngram_range=(1, 2), min_df=3, max_features=max_features
        ),
        MaxentClassifier(C=30),
    ).fit(train["text"], train["language"])
    sizes[small[-1].n_features_in_] = {
        "coefficients": small[-1].coef_.size,
        "accuracy": small.score(test["text"], test["language"]),
        "log loss": log_loss(
            test["language"], small.predict_proba(test["text"]), labels=small.classes_
        ),
    }
pd.DataFrame(sizes).T.rename_axis("features").astype({"coefficients": int}).round(3)

# %%
# A lasso (``l1_ratio=1``) sets many coefficients to exactly zero, and keeps the features that help
# most instead of the most frequent features. ``sparsify`` then stores only the nonzero
# coefficients. With ``grouped=True`` all classes use the same features. The example
# :doc:`/gallery/text/text_topics` compares a lasso with a ridge.
#
# Rare classes, time and memory
# -----------------------------
#
# - **Rare classes.** A class needs at least one row in the training data. A class with few rows
#   gets small probabilities, because it is rare. ``class_weight="balanced"`` raises them
#   (:doc:`class weights <fit_and_predict>`).
# - **Memory.** The coefficients are an array with a number for each class and feature. A fit to
#   sparse features needs up to 15 arrays of this size in float64, also if X is float32. With 1,000
#   classes and 100,000 features, one of these arrays takes 800 MB. ``max_features``, ``min_df`` or
#   hashing reduce the number of features.
# - **Time.** The time of an iteration grows with the number of rows, times the mean number of
#   nonzero features in a row, times the number of classes. The :doc:`benchmark </benchmark>` has
#   cases with text and with 300 classes.
# - **Several labels for each row.** For tags, for example, use
#   :class:`skmaxent.MultilabelMaxentClassifier` (:doc:`/targets`).
# - **Embeddings.** Vectors from a neural network, for texts or images, are dense features. Pass
#   their array to the classifier.
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
