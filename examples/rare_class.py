"""A rare class, sampled and weighted: wrong probabilities, and right ones.

Digits against the digit 8, of which a case-control sample has as many as of the others.
"""

import numpy as np
from sklearn.datasets import load_digits

from skmaxent import MaxentClassifier

X, digit = load_digits(return_X_y=True)
y = np.where(digit == 8, "eight", "other")
share = (y == "eight").mean()

rng = np.random.default_rng(0)
eights = np.flatnonzero(y == "eight")
others = rng.choice(np.flatnonzero(y == "other"), len(eights), replace=False)
sample = np.concatenate([eights, others])

options = {"C": 0.01}
models = {
    "all rows": MaxentClassifier(**options).fit(X, y),
    "all rows, balanced": MaxentClassifier(class_weight="balanced", **options).fit(X, y),
    "  corrected": MaxentClassifier(
        class_weight="balanced", prior_correction="empirical", **options
    ).fit(X, y),
    "as many of each": MaxentClassifier(**options).fit(X[sample], y[sample]),
    "  corrected with the known share": MaxentClassifier(
        prior_correction={"eight": share, "other": 1 - share}, **options
    ).fit(X[sample], y[sample]),
}

print(f"{'eights among all digits':36s} {share:.3f}")
print("mean probability of an eight:")
for name, model in models.items():
    print(f"{name:36s} {model.predict_proba(X)[:, 0].mean():.3f}")
