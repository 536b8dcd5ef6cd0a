"""Converters of fitted classifiers to ONNX graphs, for skl2onnx.

A graph computes in double precision unless coefficients and input are both float32, as
`predict_proba` does. It uses only operators that early operator sets of ONNX have in double
precision, so that any `target_opset` from 9 on, which introduced Where, can be used.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._estimators._linear_classifier import fitted_model
from skmaxent._estimators._multilabel import MultilabelMaxentClassifier
from skmaxent._model import _prediction
from skmaxent._model._fitted_model import FittedModel
from skmaxent._model_selection._cross_validation import MaxentClassifierCV
from skmaxent._typing import Array

# Options of skl2onnx that the converters support, with their allowed values.
OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}


def register_onnx_converters() -> None:
    """Register converters for the classifiers of this package with skl2onnx.

    After this call `skl2onnx.to_onnx` and `skl2onnx.convert_sklearn` accept `MaxentClassifier`,
    `MaxentClassifierCV` and `MultilabelMaxentClassifier`, alone, in pipelines and in the
    meta-estimators that skl2onnx supports. The options `zipmap`, `nocl`, `output_class_labels` and
    `raw_scores` of skl2onnx are supported. One call in a session is enough; further calls have no
    effect.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Notes
    -----
    A graph does not check its input: features that are NaN give probabilities that are NaN. The
    conversion raises ValueError for a model that was fitted with an offset. With the option
    `raw_scores` and two classes, the scores are the logits -z and z, as in skl2onnx's converter of
    `LogisticRegression`. Label sets of `MultilabelMaxentClassifier` are a dense indicator matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from skmaxent import MaxentClassifier, register_onnx_converters
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = MaxentClassifier().fit(X, y)
    >>> register_onnx_converters()  # doctest: +SKIP
    >>> from skl2onnx import to_onnx  # doctest: +SKIP
    >>> model = to_onnx(clf, X[:1], options={"zipmap": False})  # doctest: +SKIP
    >>> from onnxruntime import InferenceSession  # doctest: +SKIP
    >>> session = InferenceSession(model.SerializeToString())  # doctest: +SKIP
    >>> labels, probabilities = session.run(None, {"X": X})  # doctest: +SKIP
    >>> bool(np.allclose(probabilities, clf.predict_proba(X)))  # doctest: +SKIP
    True
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError(
            "register_onnx_converters needs skl2onnx, which is not installed: pip install "
            '"skmaxent[onnx]".'
        ) from error
    for estimator in (MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier):
        update_registered_converter(
            estimator,
            f"Skmaxent{estimator.__name__}",
            _set_output_types,
            _convert,
            options=OPTIONS,
        )


class Graph:
    """The part of an ONNX graph that a converter builds.

    Methods take and return the names of values in the graph.

    Parameters
    ----------
    scope, container : object
        The scope and the container that skl2onnx hands to a converter.
    dtype : dtype
        The floating-point type that the graph computes in.
    """

    def __init__(self, scope: Any, container: Any, dtype: DTypeLike) -> None:
        self._scope, self._container, self.dtype = scope, container, dtype

    def constant(self, array: Array) -> str:
        """Add an array as a constant and return its name."""
        name: str = self._scope.get_unique_variable_name("constant")
        entries = array.ravel().tolist()
        if array.dtype == object:
            entries = [text.encode() for text in entries]
        shape = list(array.shape)
        self._container.add_initializer(name, _tensor_type(array.dtype), shape, entries)
        return name

    def number(self, value: Any) -> str:
        """Add a number or an array as a constant of the dtype of the graph and return its name."""
        return self.constant(np.asarray(value, self.dtype))

    def add(self, operator: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """Append an operator and return the name of its output, which is `out` if given."""
        output: str = out or self._scope.get_unique_variable_name(operator.lower())
        name = self._scope.get_unique_operator_name(operator)
        self._container.add_node(operator, list(inputs), [output], name=name, **attributes)
        return output

    def cast(self, value: str, dtype: DTypeLike, out: str | None = None) -> str:
        """Append a conversion of `value` to `dtype` and return the name of its output."""
        return self.add("Cast", value, out=out, to=_tensor_type(np.dtype(dtype)))


def _tensor_type(dtype: DTypeLike) -> int:
    """Return the number of the ONNX type of a NumPy dtype."""
    from onnx.helper import np_dtype_to_tensor_dtype

    return int(np_dtype_to_tensor_dtype(dtype))


def _set_output_types(operator: Any) -> None:
    """Set the types and shapes of the outputs of a classifier (a shape calculator of skl2onnx).

    Raises ValueError for another number of features than in the fit, and for models with an offset.
    """
    from skl2onnx.common import data_types

    model = operator.raw_operator
    fitted = fitted_model(model)
    _check_input(operator, fitted.columns.n_features)
    if fitted.expects_offset:
        raise ValueError(
            f"this {type(model).__name__} was fitted with an offset, for which the ONNX graph has "
            "no input; expected a model that was fitted without an offset."
        )
    X, (label, scores) = operator.inputs[0], operator.outputs
    shape = [X.get_first_dimension(), len(model.classes_)]
    options = operator.scope_inst.get_options(model, {"nocl": False})
    if getattr(model, "multilabel_", False):
        label.set_type(data_types.Int64TensorType(shape))
    elif _labels(model.classes_, options["nocl"]).dtype == object:
        label.set_type(data_types.StringTensorType(shape[:1]))
    else:
        label.set_type(data_types.Int64TensorType(shape[:1]))
    if isinstance(X.type, data_types.DoubleTensorType) and not _become_dictionaries(operator):
        scores.set_type(data_types.DoubleTensorType(shape))
    else:
        scores.set_type(data_types.FloatTensorType(shape))


def _check_input(operator: Any, n_features: int) -> None:
    """Raise an error unless the input is one numeric tensor with `n_features` columns."""
    from skl2onnx.common import data_types
    from skl2onnx.common.utils import check_input_and_output_numbers, check_input_and_output_types

    check_input_and_output_numbers(operator, input_count_range=1, output_count_range=2)
    kinds = ("Float", "Double", "Int64", "Int32", "Boolean")
    numeric = [getattr(data_types, f"{kind}TensorType") for kind in kinds]
    check_input_and_output_types(operator, good_input_types=numeric)
    X = operator.inputs[0]
    found = X.get_second_dimension()
    # Only the shape of the graph's own input is reliable: skl2onnx 1.18 may guess wrong shapes for
    # the results of other operators.
    if X.is_root and isinstance(found, int) and found != n_features:
        raise ValueError(
            f"the input of {type(operator.raw_operator).__name__} has {found} features; expected "
            f"{n_features}, as in its fit."
        )


def _become_dictionaries(operator: Any) -> bool:
    """Return whether operator ZipMap makes dictionaries of the scores, which hold float32 only."""
    scores = operator.outputs[1]
    others = operator.scope_inst.operators.values()
    zipmaps = (other for other in others if other.type == "SklearnZipMap")
    return any(scores is value for zipmap in zipmaps for value in zipmap.inputs)


def _labels(classes: Array, as_positions: bool) -> Array:
    """Return labels of a type that ONNX has: int64, or strings in an array of objects.

    With `as_positions`, skl2onnx's option `nocl`, labels are the positions of the classes.
    """
    if as_positions:
        return np.arange(len(classes))
    entries = classes.tolist()
    if all(isinstance(label, str) for label in entries):
        return classes.astype(object)
    if all(isinstance(label, Real) and round(label) == label for label in entries):
        return np.array([round(label) for label in entries], dtype=np.int64)
    raise ValueError(
        f"classes_ are {entries}; expected integers or strings, the types of labels in "
        "ONNX. With the option nocl=True the graph returns positions in classes_ instead."
    )


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Append the operators of a classifier to the graph (a converter of skl2onnx)."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    model, (X,), (label, scores) = operator.raw_operator, operator.inputs, operator.outputs
    options = container.get_options(model, {"raw_scores": False, "nocl": False})
    of_input = np.float32 if isinstance(X.type, FloatTensorType) else np.float64
    result = np.float64 if isinstance(scores.type, DoubleTensorType) else np.float32
    fitted, is_multilabel = fitted_model(model), getattr(model, "multilabel_", False)

    graph = Graph(scope, container, np.result_type(of_input, fitted.coef.dtype))
    Z = _logits(graph, graph.cast(X.full_name, graph.dtype), fitted)
    if is_multilabel or not options["raw_scores"]:
        P = _probabilities(graph, Z, fitted)
    elif result != graph.dtype:  # the logit of an absent class would become infinite
        lowest = graph.number(_prediction.absent_logit(result))
        Z = graph.add("Where", graph.add("Less", Z, lowest), lowest, Z)
    graph.cast(Z if options["raw_scores"] else P, result, out=scores.full_name)
    if is_multilabel:
        _label_sets(graph, P, model.threshold_, model.allow_empty, out=label.full_name)
    else:
        codes = graph.add("ArgMax", Z, axis=1, keepdims=0)
        labels = graph.constant(_labels(model.classes_, options["nocl"]))
        graph.add("Gather", labels, codes, out=label.full_name)


def _logits(graph: Graph, X: str, model: FittedModel) -> str:
    """Append the logits (n, K), which are -z and z for two classes with a single logit z."""
    coef, intercept = model.coef, model.intercept
    if len(coef) < len(model.classes):
        coef, intercept = (np.concatenate([-array, array]) for array in (coef, intercept))
    return graph.add("Add", graph.add("MatMul", X, graph.number(coef.T)), graph.number(intercept))


def _probabilities(graph: Graph, Z: str, model: FittedModel) -> str:
    """Append the probabilities (n, K) of classes or labels for the logits Z of `_logits`."""
    n_classes = len(model.classes)
    if model.link == "softmax":
        # The logistic function of z is the second entry of the softmax of (-z, z)/2.
        if len(model.intercept) < n_classes:
            Z = graph.add("Mul", Z, graph.number(0.5))
        return graph.add("Softmax", Z, axis=1)
    P = _sigmoids(graph, Z)
    if model.link == "sigmoids":
        return P
    # Shares of one class a row are the probabilities of sigmoids divided by their sum, or equal
    # shares if all are zero.
    total = graph.add("MatMul", P, graph.number(np.ones((n_classes, 1))))
    is_positive = graph.add("Greater", total, graph.number(0.0))
    shares = graph.add("Div", P, total)
    return graph.add("Where", is_positive, shares, graph.number(1.0 / n_classes))


def _sigmoids(graph: Graph, Z: str) -> str:
    """Append the logistic function of Z as exp(min(z, 0))/(1 + exp(-|z|)).

    Small results are then accurate, which runtimes do not guarantee for ONNX's operator Sigmoid.
    """
    one = graph.number(1.0)
    small = graph.add("Exp", graph.add("Neg", graph.add("Abs", Z)))
    is_negative = graph.add("Less", Z, graph.number(0.0))
    numerator = graph.add("Where", is_negative, small, one)
    return graph.add("Div", numerator, graph.add("Add", one, small))


def _label_sets(graph: Graph, P: str, thresholds: Array, allow_empty: bool, *, out: str) -> None:
    """Append the indicator matrix of the predicted labels, as `_thresholds.label_sets` does.

    A row has the labels with probabilities above their thresholds. Unless `allow_empty`, a row
    without any has the label whose probability is largest relative to its threshold.
    """
    P, limits = graph.cast(P, np.float64), graph.constant(thresholds)
    sets = graph.add("Less", limits, P)
    if not allow_empty:
        ones = np.ones((len(thresholds), 1))
        count = graph.add("MatMul", graph.cast(sets, np.float64), graph.constant(ones))
        is_empty = graph.add("Less", count, graph.constant(np.array(0.5)))
        nearest = graph.add("ArgMax", graph.add("Div", P, limits), axis=1, keepdims=1)
        is_nearest = graph.add("Equal", nearest, graph.constant(np.arange(len(thresholds))))
        sets = graph.add("Or", sets, graph.add("And", is_empty, is_nearest))
    graph.cast(sets, np.int64, out=out)
