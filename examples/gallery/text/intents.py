"""
Intent classification of short utterances
=========================================

A voice assistant must find out from a few words what a user wants. This example classifies
utterances such as "turn off the lamps in the kitchen" by what the user wants, their intent. It
gives no answer if the model is not certain, and it shows which words decide. The utterances are
made from sentence templates of the voice assistant of Home Assistant, which come with the package
home-assistant-intents.
"""

# %%
# Utterances
# ----------
# A template contains optional parts in square brackets, alternatives separated by bars, parts in
# any order separated by semicolons, and names of rules and lists. The code draws an utterance from
# a template by random choices. Some utterances are not good English, because the choices do not
# depend on each other.
import json
import random
import re
from importlib.util import find_spec
from pathlib import Path

import chatterbot_corpus
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from skmaxent import MaxentClassifier

folder = Path(find_spec("home_assistant_intents").submodule_search_locations[0]) / "data"
language = json.loads((folder / "en.json").read_text(encoding="utf-8"))
# Names that a user gives to rooms, devices and other things.
words = {
    "area": ["kitchen", "living room", "bedroom", "bathroom", "office", "hall"],
    "floor": ["ground", "first", "upper"],
    "name": ["ceiling fan", "front door", "thermostat", "desk lamp", "heater", "television"],
    "message": ["dinner is ready", "the film begins"],
    "search_query": ["some jazz", "the news", "the beatles"],
    "zone": ["home", "school", "work"],
    "timer_name": ["pasta", "tea", "laundry"],
    "timer_command": ["turn off the lights", "open the blinds"],
    "shopping_list_item": ["milk", "bread", "apples"],
    "todo_list_item": ["water the plants", "call the bank"],
}
draw = random.Random(0)


def value(name):
    """Draw a value of a list."""
    if name in words:
        return draw.choice(words[name])
    values = language["lists"][name]
    if "range" in values:
        span = values["range"]
        return str(draw.randrange(span["from"], span["to"] + 1, span.get("step", 1)))
    return draw.choice(values["values"])["in"]


def choice(group):
    """Draw one of the alternatives of a group without groups inside."""
    bracket, inside = group.groups()
    if bracket == "[" and draw.random() < 0.5:
        return ""
    parts = inside.split(";")
    if len(parts) > 1:
        return " ".join(draw.sample(parts, len(parts)))
    return draw.choice(inside.split("|"))


def utterance(template):
    text = template
    while re.search(r"[<{(\[]", text):
        text = re.sub(r"<(\w+)>", lambda rule: f"({language['expansion_rules'][rule[1]]})", text)
        text = re.sub(r"\{(\w+)(?::\w+)?\}", lambda slot: f"({value(slot[1])})", text)
        text = re.sub(r"([(\[])([^()\[\]]*)[)\]]", choice, text)
    return " ".join(text.split())


rows = []
for intent, contents in language["intents"].items():
    templates = [sentence for part in contents["data"] for sentence in part["sentences"]]
    if len(templates) >= 6:
        chosen = draw.choices(templates, k=150)
        rows += [
            (intent.removeprefix("Hass"), template, utterance(template)) for template in chosen
        ]
utterances = pd.DataFrame(rows, columns=["intent", "template", "text"]).drop_duplicates("text")
print(f"{len(utterances)} utterances of {utterances['intent'].nunique()} intents, such as")
utterances.groupby("intent").sample(1, random_state=3).set_index("intent")[["text"]].head(8)

# %%
# Fit and choice of C
# -------------------
# The utterances of one template are similar. All of them are therefore in the training set or all
# in the test set, and in the same fold of the cross-validation that chooses ``C``. Otherwise the
# model would be tested with sentences that it has nearly seen before.
folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
train, test = (
    utterances.iloc[part]
    for part in next(folds.split(utterances, utterances["intent"], utterances["template"]))
)
features = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+", sublinear_tf=True)
search = GridSearchCV(
    make_pipeline(features, MaxentClassifier()),
    {"maxentclassifier__C": [10, 100, 1000, 10_000]},
    scoring="neg_log_loss",
    cv=StratifiedGroupKFold(3, shuffle=True, random_state=0),
)
search.fit(train["text"], train["intent"], groups=train["template"])
model = search.best_estimator_
for C, score in zip([10, 100, 1000, 10_000], search.cv_results_["mean_test_score"], strict=True):
    print(f"C = {C:<6d} log loss in cross-validation {-score:.3f}")
print(f"accuracy on {len(test)} test utterances {model.score(test['text'], test['intent']):.3f}")

# %%
# Utterances without an intent
# ----------------------------
# People also say things that have none of the intents. The assistant should answer only if the
# largest probability reaches a threshold. The threshold is chosen on the training utterances, with
# predictions in cross-validation. It is the smallest threshold at which at most 1 % of the answers
# are wrong.
held_out = cross_val_predict(
    model,
    train["text"],
    train["intent"],
    groups=train["template"],
    cv=search.cv,
    method="predict_proba",
)
is_wrong = model.classes_[held_out.argmax(axis=1)] != train["intent"]
order = np.argsort(-held_out.max(axis=1))
share_wrong = is_wrong.to_numpy()[order].cumsum() / np.arange(1, len(order) + 1)
threshold = held_out.max(axis=1)[order][np.flatnonzero(share_wrong <= 0.01)[-1]]
print(f"threshold {threshold:.2f}")

# %%
# The package chatterbot-corpus has sentences without an intent, which are about other topics. With
# the threshold alone the assistant answers a quarter of them, because a single word that the model
# knows can make it certain. The second model therefore has one more class, with the sentences on
# half of the other topics. It answers 1 % of the sentences on the other half of the topics, and
# still 91 % of the utterances whose intent it recognises.
topics = {}
for path in sorted(Path(chatterbot_corpus.__file__).parent.glob("data/english/*.yml")):
    dialogues = yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]
    topics[path.stem] = {str(text) for dialogue in dialogues for text in dialogue[:1]}
other = [sorted(set.union(*(topics[name] for name in list(topics)[half::2]))) for half in (0, 1)]
wider = clone(model).fit([*train["text"], *other[0]], [*train["intent"], *["none"] * len(other[0])])


def certainties(model, texts):
    """Return the largest probability of an intent for each text, and the intents."""
    P = pd.DataFrame(model.predict_proba(texts), columns=model.classes_)
    P = P.drop(columns="none", errors="ignore")
    return P.max(axis=1), P.idxmax(axis=1)


figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
for ax, title, fitted in zip(
    axes, ("intents", "intents and a class for the rest"), (model, wider), strict=True
):
    p, intent = certainties(fitted, test["text"])
    is_right = intent == test["intent"].to_numpy()
    certain = {
        "right intent": p[is_right],
        "wrong intent": p[~is_right],
        "no intent": certainties(fitted, other[1])[0],
    }
    for (name, p), color in zip(certain.items(), ("#0072B2", "#E69F00", "#D55E00"), strict=True):
        print(f"{title}, {name}: {np.mean(p >= threshold):.1%} of {len(p)} utterances are answered")
        limits = np.linspace(0, 1, 201)
        ax.plot(limits, [np.mean(p >= limit) for limit in limits], color=color, label=name)
    ax.axvline(threshold, color="0.4", linestyle=":")
    ax.set(xlabel="threshold of the largest probability", title=f"Classes: {title}")
axes[0].set_ylabel("share of utterances answered")
axes[1].legend(frameon=False)

# %%
# Words that decide
# -----------------
# This utterance should change the brightness of lights (``LightSet``), but the model finds the
# intent to change the volume (``SetVolume``). The logit of an intent is its intercept plus a sum
# over the words and pairs of words of the utterance. Each bar is the part of a word or a pair of
# words in the difference between the logits of the two intents.
said, meant = "turn the bedroom lights down to 20 percent", "LightSet"
vectorizer, classifier = model
row = vectorizer.transform([said])
found = model.predict([said])[0]
one, two = classifier.classes_.searchsorted([found, meant])
parts = row.data * (classifier.coef_[one] - classifier.coef_[two])[row.indices]
names = vectorizer.get_feature_names_out()[row.indices]
order = np.argsort(parts)
figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
ax.barh(names[order], parts[order], color=np.where(parts[order] > 0, "#D55E00", "#0072B2"))
ax.axvline(0, color="0.4", linewidth=1)
ax.set(xlabel=f"for {meant}   ←   part of the logit   →   for {found}", title=f"“{said}”")
