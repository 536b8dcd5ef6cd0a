"""What docs/arrays.md says of arrays in memory; `array_api_cases` have those on devices."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    detect_separation,
    maxent_path,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(600, 5))
Z = X @ rng.normal(size=(5, 3))
y = (Z + rng.gumbel(size=Z.shape)).argmax(axis=1)
weights, offset = rng.random(600), rng.normal(size=(600, 3))
several = (y[:, None] == np.arange(3)) | (rng.random((600, 3)) < 0.2)
labels = (Z > 0).astype(int)
NAMES = [f"x{j}" for j in range(5)]


def _memory_map(tmp_path):
    np.save(tmp_path / "X.npy", X)
    return np.load(tmp_path / "X.npy", mmap_mode="r")


TYPES = {
    "CSR": lambda tmp_path: sp.csr_array(X),
    "memory map": _memory_map,
    "pandas": lambda tmp_path: pd.DataFrame(X, columns=NAMES),
    "polars": lambda tmp_path: pl.DataFrame(X, schema=NAMES),
}


def fitted(rows, y=y, *given, **params):
    return MaxentClassifier(**params).fit(rows, y, *given)


def errors(rows, *, C=np.inf, l1_ratio=0.0, **options):
    return fitted(rows, C=C, l1_ratio=l1_ratio).infer(rows, y, **options).summary()["std_err"]


CAPABILITIES = {
    "fit": lambda rows: fitted(rows, y, weights, offset).coef_,
    "predict_proba": lambda rows: fitted(rows).predict_proba(rows),
    "score": lambda rows: fitted(rows).score(rows, y),
    "lasso": lambda rows: fitted(rows, l1_ratio=1.0, C=0.1).coef_,
    "groups": lambda rows: fitted(rows, l1_ratio=1.0, grouped=True, C=0.1).coef_,
    "bounds": lambda rows: fitted(rows, bounds=(0.0, np.inf)).coef_,
    "prior_coef": lambda rows: fitted(rows, prior_coef=fitted(rows)).coef_,
    "bias_reduction": lambda rows: fitted(rows, C=np.inf, bias_reduction="jeffreys").coef_,
    "counts": lambda rows: fitted(rows, several.astype(float)).coef_,
    "partial_labels": lambda rows: fitted(rows, several, partial_labels=True).coef_,
    "path": lambda rows: maxent_path(rows, y, Cs=5).coefs,
    "cross-validation": lambda rows: MaxentClassifierCV(Cs=3, cv=3).fit(rows, y).coef_,
    "scorer": lambda rows: MaxentClassifierCV(Cs=3, cv=3, scoring="accuracy").fit(rows, y).scores_,
    "multilabel": lambda rows: (
        MultilabelMaxentClassifier(threshold="f1_micro").fit(rows, labels).predict_proba(rows)
    ),
    "infer": errors,
    "clusters": lambda rows: errors(rows, cov_type="cluster", groups=np.arange(600) // 6),
    "split": lambda rows: errors(rows, C=0.1, l1_ratio=1.0, method="split"),
    "bootstrap": lambda rows: errors(rows, method="bootstrap", n_bootstrap=3),
    "separation": lambda rows: detect_separation(rows, y).kind == "none",
    "coef_frame": lambda rows: fitted(rows).coef_frame(),
    "predict_proba_frame": lambda rows: fitted(rows).predict_proba_frame(rows),
}


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("kind", TYPES)
def test_results_are_those_of_numpy(kind, capability, tmp_path):
    found = CAPABILITIES[capability](TYPES[kind](tmp_path))
    assert_allclose(found, CAPABILITIES[capability](X), atol=1e-5)
