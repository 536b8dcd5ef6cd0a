"""Models as ONNX graphs: what onnxruntime makes of them is what the models say."""

import doctest
import sys

import numpy as np
import onnx
import pandas as pd
import pytest
import scipy.sparse as sp
from onnxruntime import InferenceSession, SessionOptions
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris, load_wine, make_multilabel_classification
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import skmaxent
from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    register_onnx_converters,
)

register_onnx_converters()

X, Y = load_wine(return_X_y=True)  # raw units: logits are sums of large terms
NAMES = np.array(["barolo", "grignolino", "barbera"])[Y]
SETS, LABELS = make_multilabel_classification(n_samples=80, n_features=6, random_state=0)
FRAME = pd.DataFrame(LABELS, columns=list("abcde"))
ARRAYS = {"zipmap": False}


def labels_of(threshold, **params):
    return MultilabelMaxentClassifier(threshold=threshold, **params)


# Constructor calls and what they are fitted to, by what is special about them.
MODELS = {
    "three classes": lambda: MaxentClassifier().fit(X, Y),
    "strings": lambda: MaxentClassifier().fit(X, NAMES),
    "two classes": lambda: MaxentClassifier().fit(X, (Y == 1) * 5),
    "two strings": lambda: MaxentClassifier().fit(X, np.where(Y == 1, "no", "yes")),
    "booleans": lambda: MaxentClassifier().fit(X, Y == 1),
    "whole floats": lambda: MaxentClassifier().fit(X, Y - 1.0),
    "small integers": lambda: MaxentClassifier().fit(X, Y.astype(np.uint8)),
    "no intercept": lambda: MaxentClassifier(fit_intercept=False).fit(X, Y),
    "two, no intercept": lambda: MaxentClassifier(fit_intercept=False).fit(X, Y == 1),
    "float32": lambda: MaxentClassifier(C=0.01).fit(X.astype(np.float32), Y),
    "sparse coefficients": lambda: MaxentClassifier(C=0.1, l1_ratio=1.0).fit(X, Y).sparsify(),
    "two, sparse": lambda: MaxentClassifier(C=0.1, l1_ratio=1.0).fit(X, Y == 1).sparsify(),
    "absent class": lambda: MaxentClassifier().fit(X, Y, sample_weight=(Y != 1).astype(float)),
    "prior correction": lambda: MaxentClassifier(
        class_weight="balanced", prior_correction=[0.8, 0.1, 0.1]
    ).fit(X, NAMES),
    "two, corrected": lambda: MaxentClassifier(prior_correction=[0.9, 0.1]).fit(X, Y == 1),
    "shares": lambda: MaxentClassifier().fit(X, pd.get_dummies(NAMES).astype(float)),
    "cross-validated": lambda: MaxentClassifierCV(Cs=4, cv=3).fit(X, NAMES),
    "relaxed": lambda: MaxentClassifierCV(Cs=4, cv=3, l1_ratios=[1.0], relax=[0.5]).fit(X, Y),
    "sigmoids of one label": lambda: labels_of("auto").fit(X, NAMES),
    "softmax of one label": lambda: labels_of("auto", link="softmax").fit(X, Y),
    "one of two labels": lambda: labels_of("auto").fit(X, Y == 1),
}
MULTILABEL = {
    "sigmoids": lambda: labels_of("auto").fit(SETS, LABELS),
    "softmax": lambda: labels_of("auto", link="softmax").fit(SETS, FRAME),
    "a threshold each": lambda: labels_of("f1_macro").fit(SETS, sp.csr_array(LABELS)),
    "high thresholds": lambda: labels_of([0.9, 0.8, 0.95, 0.85, 0.9]).fit(SETS, FRAME),
    "empty sets": lambda: labels_of(0.8, allow_empty=True).fit(SETS, LABELS),
    "two labels": lambda: labels_of(0.6).fit(SETS, LABELS[:, :2]),
    "softmax of two": lambda: labels_of(0.6, link="softmax").fit(SETS, LABELS[:, :2]),
    "float32": lambda: labels_of("f1_micro").fit(SETS.astype(np.float32), LABELS),
    "names of other types": lambda: labels_of(0.4).fit(
        SETS, FRAME.set_axis(pd.date_range("2026-01-01", periods=5), axis=1)
    ),
}


def run(model, rows, **settings):
    graph = to_onnx(model, rows[:1], **settings)
    return run_graph(graph, {"X": rows})


def run_graph(graph, inputs):
    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(graph.SerializeToString(), options)
    return session.run(None, inputs)


def assert_agrees(model, rows, label, scores, atol):
    expected = model.predict(rows)
    np.testing.assert_array_equal(label, expected.toarray() if sp.issparse(expected) else expected)
    np.testing.assert_allclose(scores, model.predict_proba(rows), rtol=0, atol=atol)


# Of the results, each in its own precision: well below the 1e-6 that is promised.
ATOL = {np.float64: 1e-12, np.float32: 2e-7, np.int64: 2e-7, np.int32: 2e-7, bool: 2e-7}


@pytest.mark.parametrize("dtype", ATOL)
@pytest.mark.parametrize("name", MODELS)
def test_labels_and_probabilities_are_those_of_the_model(name, dtype):
    model, rows = MODELS[name](), X.astype(dtype)
    label, scores = run(model, rows, options=ARRAYS)
    assert scores.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert label.dtype == (object if model.classes_.dtype.kind == "U" else np.int64)
    # In float32 all through, both sides round logits, which are sums of large terms here.
    is_narrow = dtype == np.float32 and model.coef_.dtype == np.float32
    assert_agrees(model, rows, label, scores, 1e-6 if is_narrow else ATOL[dtype])


@pytest.mark.parametrize("dtype", ATOL)
@pytest.mark.parametrize("name", MULTILABEL)
def test_sets_of_labels_are_those_of_the_model(name, dtype):
    model, rows = MULTILABEL[name](), SETS.astype(dtype)
    label, scores = run(model, rows, options=ARRAYS)
    assert label.dtype == np.int64
    assert label.shape == (len(rows), len(model.classes_))
    assert_agrees(model, rows, label, scores, ATOL[dtype])


def test_empty_sets_are_there_only_where_they_are_allowed():
    for allow_empty in (False, True):
        model = labels_of(0.8, allow_empty=allow_empty).fit(SETS, LABELS)
        label, _ = run(model, SETS, options=ARRAYS)
        assert (label.sum(axis=1) == 0).any() == allow_empty


def test_probabilities_far_out_keep_their_ratios():
    model = labels_of("auto").fit(X, NAMES)
    model.intercept_ = model.intercept_ - 100.0  # shares of numbers that are tiny for all classes
    assert model.decision_function(X).max() < -20.0
    _, scores = run(model, X, options=ARRAYS)
    np.testing.assert_allclose(scores, model.predict_proba(X), rtol=1e-9)
    model = MaxentClassifier().fit(X, Y == 1)
    rows = X * 5.0
    expected = model.predict_proba(rows)
    assert 0.0 < expected.min() < 1e-50
    np.testing.assert_allclose(run(model, rows, options=ARRAYS)[1], expected, rtol=1e-9)


def absent(**params):
    """Fits in which the class 1 has no weight."""
    weights = (Y != 1).astype(float)
    if "class_weight" in params:
        return MaxentClassifier(**params).fit(X, Y)
    return MaxentClassifier(**params).fit(X, Y, sample_weight=weights)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"fit_intercept": False},
        {"class_weight": {0: 1, 1: 0, 2: 1}},
        {"C": 0.1, "l1_ratio": 1.0},
        {"label_smoothing": 0.1},
    ],
)
def test_a_class_without_weight_in_the_fit(params, dtype):
    model, rows = absent(**params), X.astype(dtype)
    labels, P = run(model, rows, options={id(model): ARRAYS})
    np.testing.assert_array_equal(labels, model.predict(rows))
    np.testing.assert_allclose(
        P, model.predict_proba(rows), atol=1e-6 if dtype == np.float32 else 1e-12
    )
    assert params.get("label_smoothing") or not P[:, 1].any()
    _, Z = run(model, rows, options={id(model): ARRAYS | {"raw_scores": True}})
    assert np.isfinite(Z).all()
    assert (Z.argmin(axis=1) == 1).all() or params.get("label_smoothing")
    others = [0, 2]
    found, expected = Z[:, others], model.decision_function(rows)[:, others]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def types_in(graph):
    return {array.data_type for array in graph.graph.initializer} | {
        attribute.i
        for node in graph.graph.node
        for attribute in node.attribute
        if node.op_type == "Cast"
    }


def test_precision_is_that_of_predict_proba():
    narrow = MaxentClassifier().fit(X.astype(np.float32), Y == 1)
    graph = to_onnx(narrow, X[:1].astype(np.float32), options=ARRAYS)
    assert types_in(graph) == {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    wide = MaxentClassifier().fit(X, Y == 1)
    graph = to_onnx(wide, X[:1], options=ARRAYS)
    assert types_in(graph) == {onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64}


@pytest.mark.parametrize("opset", range(9, 22))
def test_any_version_of_the_operators_will_do(opset):
    for model, rows in (
        (MaxentClassifier().fit(X, NAMES), X),
        (labels_of("auto").fit(X, Y), X),
        (labels_of(0.8).fit(SETS, LABELS), SETS),
    ):
        label, scores = run(model, rows, options=ARRAYS, target_opset=opset)
        assert_agrees(model, rows, label, scores, 1e-12)


CLASSIFIERS = {
    "strings": (lambda: MaxentClassifier().fit(X, NAMES), X),
    "booleans": (lambda: MaxentClassifier().fit(X, Y == 1), X),
    "integers": (lambda: MaxentClassifierCV(Cs=3, cv=3).fit(X, Y + 3), X),
    "sets": (lambda: labels_of("auto").fit(SETS, FRAME), SETS),
    "one label": (lambda: labels_of("auto").fit(X, NAMES), X),
}


@pytest.fixture(params=CLASSIFIERS)
def model_and_rows(request):
    fitted, rows = CLASSIFIERS[request.param]
    return fitted(), rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [None, {"zipmap": True}])
def test_dictionaries(model_and_rows, dtype, options):
    model, rows = model_and_rows
    label, dictionaries = run(model, rows.astype(dtype), options=options)
    assert list(dictionaries[0]) == model.classes_.tolist()
    scores = np.array([list(row.values()) for row in dictionaries])
    assert_agrees(model, rows.astype(dtype), label, scores, 2e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns(model_and_rows, dtype):
    model, rows = model_and_rows
    label, *columns = run(model, rows.astype(dtype), options={"zipmap": "columns"})
    assert {column.dtype for column in columns} == {np.dtype(dtype)}
    assert_agrees(model, rows.astype(dtype), label, np.transpose(columns), 2e-7)


def test_positions_instead_of_labels(model_and_rows):
    model, rows = model_and_rows
    label, scores = run(model, rows, options=ARRAYS | {"nocl": True})
    if not getattr(model, "multilabel_", False):
        assert label.dtype == np.int64
        label = model.classes_[label]
    assert_agrees(model, rows, label, scores, 1e-12)


@pytest.mark.parametrize("name", ["strings", "integers", "sets", "one label"])
def test_labels_as_a_third_output(name):
    fitted, rows = CLASSIFIERS[name]
    model = fitted()
    label, scores, labels = run(model, rows, options=ARRAYS | {"output_class_labels": True})
    assert labels.tolist() == model.classes_.tolist()
    assert_agrees(model, rows, label, scores, 1e-12)


def test_raw_scores_are_logits(model_and_rows):
    model, rows = model_and_rows
    label, scores = run(model, rows, options=ARRAYS | {"raw_scores": True})
    logits = model.decision_function(rows)
    if logits.ndim == 1:
        logits = np.column_stack([-logits, logits])
    np.testing.assert_allclose(scores, logits, rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(label, model.predict(rows))


META = {
    "pipeline": lambda: make_pipeline(StandardScaler(), MaxentClassifier()),
    "selection": lambda: make_pipeline(
        SelectFromModel(MaxentClassifier()), MaxentClassifierCV(Cs=3)
    ),
    "calibrated": lambda: CalibratedClassifierCV(MaxentClassifier()),
    "calibrated once": lambda: CalibratedClassifierCV(MaxentClassifier(), ensemble=False),
    "votes": lambda: VotingClassifier(
        [("a", MaxentClassifier()), ("b", MaxentClassifier(C=0.01))],
        voting="soft",
        flatten_transform=False,
    ),
    "stack": lambda: StackingClassifier(
        [("a", MaxentClassifier()), ("b", make_pipeline(StandardScaler(), LogisticRegression()))],
        final_estimator=MaxentClassifier(),
    ),
    "bagging": lambda: BaggingClassifier(MaxentClassifier(), n_estimators=3, random_state=0),
    "one against the rest": lambda: OneVsRestClassifier(MaxentClassifier()),
    "search": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), MaxentClassifier()), {"maxentclassifier__C": [0.1, 1.0]}
    ),
    "labels": lambda: make_pipeline(StandardScaler(), MultilabelMaxentClassifier()),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("y", [Y, Y == 1, NAMES], ids=["three", "two", "strings"])
@pytest.mark.parametrize("name", META)
def test_inside_other_estimators(name, y, dtype):
    model, rows = META[name]().fit(X, y), X.astype(dtype)
    label, scores = run(model, rows, options=ARRAYS)
    assert_agrees(model, rows, label, scores, 1e-6 if dtype == np.float32 else 1e-12)


def test_a_pipeline_for_columns_of_several_kinds():
    frame, y = load_iris(return_X_y=True, as_frame=True)
    frame = frame.assign(soil=np.where(np.arange(len(y)) % 3, "clay", "sand"))
    numbers = frame.columns[:4].tolist()
    columns = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(), ["soil"]))
    model = make_pipeline(columns, MaxentClassifier()).fit(frame, y)
    graph = to_onnx(model, frame[:1], options=ARRAYS)
    inputs = {
        given.name: frame[[name]].to_numpy()
        for given, name in zip(graph.graph.input, frame, strict=True)
    }
    assert_agrees(model, frame, *run_graph(graph, inputs), 1e-12)


def test_sets_at_the_end_of_a_pipeline():
    model = make_pipeline(StandardScaler(), labels_of("f1_macro")).fit(SETS, FRAME)
    assert_agrees(model, SETS, *run(model, SETS, options=ARRAYS), 1e-12)


def test_what_has_no_graph_is_refused():
    offset = np.linspace(-1.0, 1.0, len(X))
    model = MaxentClassifier().fit(X, Y == 1, offset=offset)
    with pytest.raises(ValueError, match="MaxentClassifier was fitted with an offset"):
        to_onnx(model, X[:1], options=ARRAYS)
    with pytest.raises(NotFittedError):
        to_onnx(MaxentClassifier(), X[:1], options=ARRAYS)
    model = MaxentClassifier().fit(X, Y)
    with pytest.raises(ValueError, match="MaxentClassifier has 12 features; expected 13"):
        to_onnx(model, X[:1, 1:])
    with pytest.raises(RuntimeError, match="StringTensorType"):
        to_onnx(model, initial_types=[("X", StringTensorType([None, 13]))])
    days = np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "M8[D]")
    model = MaxentClassifier().fit(X, days[Y])
    with pytest.raises(ValueError, match=r"expected integers or strings.*nocl=True"):
        to_onnx(model, X[:1], options=ARRAYS)
    label, _ = run(model, X, options=ARRAYS | {"nocl": True})
    np.testing.assert_array_equal(days[label], model.predict(X))


def test_the_number_of_features_may_be_open():
    model = MaxentClassifier().fit(X, Y)
    for kind, dtype in ((DoubleTensorType, np.float64), (FloatTensorType, np.float32)):
        graph = to_onnx(model, initial_types=[("X", kind([None, None]))], options=ARRAYS)
        rows = X.astype(dtype)
        assert_agrees(model, rows, *run_graph(graph, {"X": rows}), 2e-7)


def test_registering_again_changes_nothing():
    model = MaxentClassifier().fit(X, NAMES)
    before = to_onnx(model, X[:1]).SerializeToString()
    register_onnx_converters()
    assert to_onnx(model, X[:1]).SerializeToString() == before


def test_the_extra_is_named_where_skl2onnx_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r'pip install "skmaxent\[onnx\]"'):
        register_onnx_converters()


def test_the_example_of_the_docstring_runs():
    # Skipped among the doctests, which run without skl2onnx too.
    text = skmaxent.register_onnx_converters.__doc__.replace("# doctest: +SKIP", "")
    example = doctest.DocTestParser().get_doctest(text, {}, "register_onnx_converters", None, 0)
    assert len(example.examples) == 12
    assert doctest.DocTestRunner().run(example).failed == 0
