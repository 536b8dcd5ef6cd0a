"""Models in skops' format: of types that are not trusted they hold their own class alone."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io import dump, dumps, get_untrusted_types, load, loads
from skops.io.exceptions import UntrustedTypesFoundException

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    maxent_path,
)

FRAME, Y = load_iris(return_X_y=True, as_frame=True)
X = FRAME.to_numpy()
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
SETS, LABELS = make_multilabel_classification(n_samples=60, n_features=5, random_state=0)
LABEL_FRAME = pd.DataFrame(LABELS, columns=list("abcde"))

OURS = {
    MaxentClassifier: "skmaxent.MaxentClassifier",
    MaxentClassifierCV: "skmaxent.MaxentClassifierCV",
    MultilabelMaxentClassifier: "skmaxent.MultilabelMaxentClassifier",
}

# Models and what they predict.
MODELS = {
    "unfitted": lambda: (MaxentClassifier(), None),
    "two classes": lambda: (MaxentClassifier().fit(X, Y > 0), X),
    "names": lambda: (MaxentClassifier().fit(FRAME, NAMES), FRAME),
    "float32": lambda: (MaxentClassifier().fit(X.astype(np.float32), Y), X),
    "balanced": lambda: (MaxentClassifier(class_weight="balanced").fit(X, NAMES), X),
    "class weights": lambda: (
        MaxentClassifier(class_weight={"setosa": 1, "versicolor": 2.5, "virginica": 0.5}).fit(
            X, NAMES
        ),
        X,
    ),
    "absent class": lambda: (MaxentClassifier().fit(X, Y, sample_weight=(Y < 2) * 1.0), X),
    "no penalty": lambda: (MaxentClassifier(C=np.inf).fit(X[:, [1]], Y), X[:, [1]]),
    "lasso": lambda: (MaxentClassifier(C=0.1, l1_ratio=1.0, grouped=True).fit(X, Y), X),
    "factors": lambda: (
        MaxentClassifier(penalty_factor={"petal width (cm)": 0.5}).fit(FRAME, NAMES),
        FRAME,
    ),
    "bounds": lambda: (MaxentClassifier(bounds=(np.zeros(4), np.inf)).fit(X, Y), X),
    "bounds by name": lambda: (
        MaxentClassifier(bounds={"petal width (cm)": (0, None)}).fit(FRAME, Y),
        FRAME,
    ),
    "prior": lambda: (MaxentClassifier(prior_coef=np.ones((3, 4))).fit(X, Y), X),
    "prior of a model": lambda: (
        MaxentClassifier(prior_coef=MaxentClassifier().fit(FRAME, NAMES)).fit(FRAME, NAMES),
        FRAME,
    ),
    "prior of another's model": lambda: (
        MaxentClassifier(prior_coef=LogisticRegression(max_iter=1000).fit(X, Y)).fit(X, Y),
        X,
    ),
    "prior correction": lambda: (
        MaxentClassifier(prior_correction="empirical", class_weight="balanced").fit(X, NAMES),
        X,
    ),
    "prior correction by name": lambda: (
        MaxentClassifier(
            prior_correction={"setosa": 0.5, "versicolor": 0.25, "virginica": 0.25}
        ).fit(X, NAMES),
        X,
    ),
    "bias reduction": lambda: (
        MaxentClassifier(C=np.inf, bias_reduction="jeffreys").fit(X, Y),
        X,
    ),
    "smoothed shares": lambda: (
        MaxentClassifier(label_smoothing=0.1).fit(X, pd.get_dummies(NAMES).astype(float)),
        X,
    ),
    "partial labels": lambda: (
        MaxentClassifier(partial_labels=True).fit(
            X, [{a, "setosa"} if k % 2 else {a} for k, a in enumerate(NAMES.tolist())]
        ),
        X,
    ),
    "random state": lambda: (
        MaxentClassifier(random_state=np.random.RandomState(0), warm_start=True).fit(X, Y),
        X,
    ),
    "numbers of NumPy": lambda: (
        MaxentClassifier(C=np.float64(2.0), max_iter=np.int64(50)).fit(X, Y),
        X,
    ),
    "cross-validation": lambda: (
        MaxentClassifierCV(Cs=4, l1_ratios=[0.0, 1.0], relax=True).fit(FRAME, NAMES),
        FRAME,
    ),
    "cross-validation, no refit": lambda: (
        MaxentClassifierCV(Cs=[0.1, 1.0], refit=False).fit(X, Y),
        X,
    ),
    "cross-validation, scored": lambda: (
        MaxentClassifierCV(Cs=3, scoring="accuracy", class_weight="balanced").fit(X, Y > 0),
        X,
    ),
    "labels": lambda: (MultilabelMaxentClassifier().fit(SETS, LABELS), SETS),
    "named labels": lambda: (
        MultilabelMaxentClassifier(threshold="f1_macro").fit(SETS, LABEL_FRAME),
        SETS,
    ),
    "sparse labels": lambda: (
        MultilabelMaxentClassifier(link="softmax").fit(SETS, sp.csr_array(LABELS)),
        SETS,
    ),
    "one label": lambda: (MultilabelMaxentClassifier().fit(X, NAMES), X),
}


def assert_equal(one, other):
    """Values of attributes and parameters: arrays, models, containers, numbers."""
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, np.random.RandomState):
        assert_equal(one.get_state()[1], other.get_state()[1])
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_equal(value, other[key])
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    elif hasattr(one, "get_params"):
        assert_equal(vars(one), vars(other))
    else:
        assert one == other or (one != one and other != other)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_as_it_was(name):
    model, rows = MODELS[name]()
    data = dumps(model)
    types = get_untrusted_types(data=data)
    assert types == [OURS[type(model)]]
    loaded = loads(data, trusted=types)
    assert_equal(vars(model), vars(loaded))
    assert_equal(model.get_params(), loaded.get_params())
    clone(loaded)
    if rows is not None:
        np.testing.assert_allclose(
            loaded.predict_proba(rows), model.predict_proba(rows), rtol=1e-12
        )
        np.testing.assert_array_equal(as_array(loaded.predict(rows)), as_array(model.predict(rows)))
        pd.testing.assert_frame_equal(loaded.coef_frame(), model.coef_frame())


def as_array(labels):
    return labels.toarray() if sp.issparse(labels) else labels


def test_offsets_are_asked_for_as_before():
    model = MaxentClassifier().fit(X, Y > 0, offset=np.linspace(0.0, 1.0, len(X)))
    loaded = loads(dumps(model), trusted=[OURS[MaxentClassifier]])
    with pytest.raises(ValueError, match="fitted with an offset"):
        loaded.predict(X)
    np.testing.assert_allclose(loaded.predict_proba(X, 0), model.predict_proba(X, 0), rtol=1e-12)


def test_results_of_cross_validation_are_there():
    model = MaxentClassifierCV(Cs=4, relax=True).fit(FRAME, NAMES)
    loaded = loads(dumps(model), trusted=[OURS[MaxentClassifierCV]])
    pd.testing.assert_frame_equal(loaded.cv_results_frame(), model.cv_results_frame())
    assert loaded.score(FRAME, NAMES) == pytest.approx(model.score(FRAME, NAMES), rel=1e-12)


def test_a_pipeline_in_a_file(tmp_path):
    model = make_pipeline(StandardScaler(), MaxentClassifier()).fit(X, NAMES)
    dump(model, tmp_path / "model.skops")
    types = get_untrusted_types(file=tmp_path / "model.skops")
    assert types == [OURS[MaxentClassifier]]
    with pytest.raises(UntrustedTypesFoundException, match="MaxentClassifier"):
        load(tmp_path / "model.skops")
    loaded = load(tmp_path / "model.skops", trusted=types)
    np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), rtol=1e-12)


def test_paths_have_a_class_of_their_own():
    path = maxent_path(X, Y, Cs=3)
    data = dumps(path)
    types = get_untrusted_types(data=data)
    assert types == ["skmaxent.MaxentPath"]
    assert_equal(vars(loads(data, trusted=types)), vars(path))


def test_what_the_user_brings_along_is_named():
    sparse = MaxentClassifier(C=0.05, l1_ratio=1.0).fit(X, Y).sparsify()
    folds = MaxentClassifierCV(Cs=2, cv=StratifiedKFold(3)).fit(X, Y)
    for model, also in (
        (sparse, "scipy.sparse._csr.csr_matrix"),
        (folds, "sklearn.model_selection._split.StratifiedKFold"),
    ):
        data = dumps(model)
        types = get_untrusted_types(data=data)
        assert set(types) == {OURS[type(model)], also}
        loaded = loads(data, trusted=types)
        np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), rtol=1e-12)


def test_another_version_is_named(monkeypatch):
    model = MaxentClassifier().fit(X, Y)
    with monkeypatch.context() as patch:
        patch.setattr("skmaxent._versions.__version__", "0.0.1")
        data = dumps(model)
    with pytest.warns(InconsistentVersionWarning, match=r"MaxentClassifier from version 0\.0\.1"):
        loaded = loads(data, trusted=[OURS[MaxentClassifier]])
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
