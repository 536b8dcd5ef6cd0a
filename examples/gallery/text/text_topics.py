"""
Text classification with a lasso
================================

A text has few of all the words that are features, so that the features are a sparse matrix, and
there are often more features than texts. A lasso keeps a part of the features and sets the
coefficients of all others to zero. This example classifies short sentences by topic, with words as
features, and by language, with strings of letters as features. The sentences are from dialogues
that come with the package chatterbot-corpus.
"""

# %%
# Sentences of one dialogue are similar. The split therefore puts all sentences of a dialogue into
# the training set or all into the test set.
from pathlib import Path

import chatterbot_corpus
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit
from sklearn.pipeline import make_pipeline

from skmaxent import MaxentClassifier

rows = []
for path in sorted(Path(chatterbot_corpus.__file__).parent.glob("data/*/*.yml")):
    for dialogue in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]:
        rows += [(path.parent.name, path.stem, dialogue[0], str(text)) for text in dialogue]
sentences = pd.DataFrame(rows, columns=["language", "topic", "dialogue", "text"])
sentences = sentences.drop_duplicates(["language", "text"])


def split(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    splitter = GroupShuffleSplit(test_size=0.25, random_state=0)
    train, test = next(splitter.split(frame, groups=frame["dialogue"]))
    return frame.iloc[train], frame.iloc[test]


def draw(model: MaxentClassifier, names: np.ndarray, n_rows: int, title: str) -> None:
    """Draw the largest coefficients of each class."""
    n_columns = len(model.classes_) // n_rows
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=(8.5, 2.7 * n_rows), layout="constrained"
    )
    figure.suptitle(title)
    for ax, label, coef in zip(axes.flat, model.classes_, model.coef_, strict=True):
        top = np.argsort(coef)[-8:]
        ax.barh(names[top], coef[top], color=np.where(coef[top] > 0, "tab:blue", "0.7"))
        ax.set_title(f"{label}, {np.count_nonzero(coef)} nonzero", fontsize="medium")
        ax.tick_params(labelsize="small")
        ax.spines[["top", "right"]].set_visible(False)


# %%
# The eight topics with the most English sentences are the classes. Cross-validation on the training
# dialogues chooses ``C``. The lasso keeps a third of the words. The ridge keeps all words and
# predicts slightly better here. The figure shows the words with the largest coefficients for each
# topic.
english = sentences[sentences["language"] == "english"]
train, test = split(english[english["topic"].isin(english["topic"].value_counts().index[:8])])
largest = test["topic"].value_counts(normalize=True).max()
print(f"{len(train)} training sentences; share of the largest topic {largest:.2f}")
fitted = {}
for name, l1_ratio, Cs in (("ridge", 0, [3, 10, 30]), ("lasso", 1, [1, 2, 5])):
    search = GridSearchCV(
        make_pipeline(TfidfVectorizer(min_df=2), MaxentClassifier(l1_ratio=l1_ratio)),
        {"maxentclassifier__C": Cs},
        scoring="neg_log_loss",
        cv=GroupKFold(3),
    ).fit(train["text"], train["topic"], groups=train["dialogue"])
    pipe = fitted[name] = search.best_estimator_
    used = np.count_nonzero(pipe[-1].coef_.any(axis=0))
    score = pipe.score(test["text"], test["topic"])
    print(
        f"{name}: C = {pipe[-1].C}, accuracy {score:.2f}, {used} of {pipe[-1].n_features_in_} words"
    )
vectorizer, lasso = fitted["lasso"]
draw(lasso, vectorizer.get_feature_names_out(), 2, "Words with the largest coefficients, lasso")

# %%
# For languages the features are strings of one to three letters. The figure has an underscore for a
# space.
languages = ["dutch", "english", "french", "german", "indonesian", "italian"]
languages += ["portuguese", "spanish", "turkish"]
train, test = split(sentences[sentences["language"].isin(languages)])
pipe = make_pipeline(
    TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), min_df=5),
    MaxentClassifier(C=1, l1_ratio=1),
).fit(train["text"], train["language"])
vectorizer, lasso = pipe
score = pipe.score(test["text"], test["language"])
used = np.count_nonzero(lasso.coef_.any(axis=0))
print(f"languages: accuracy {score:.2f}, {used} of {lasso.n_features_in_} strings of letters")
names = np.array([name.replace(" ", "_") for name in vectorizer.get_feature_names_out()])
draw(lasso, names, 3, f"Letters with the largest coefficients, lasso, accuracy {score:.0%}")
