"""Annotations of parameters list the values that are accepted."""

from typing import get_args, get_type_hints

import pytest

from skmaxent import MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier, infer
from skmaxent._estimators import _infer_pipeline
from skmaxent._inference._covariance_types import COV_TYPES
from skmaxent._sklearn import StrOptions

ESTIMATORS = [MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier]


def literals(hint):
    """The strings that a hint allows."""
    found = set()
    for part in get_args(hint):
        found |= {part} if isinstance(part, str) else literals(part)
    return found


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_choices_of_parameters(kind):
    hints = get_type_hints(kind.__init__)
    compared = []
    for name, constraints in kind._parameter_constraints.items():
        options = [part.options for part in constraints if isinstance(part, StrOptions)]
        if options and literals(hints[name]):
            # "liblinear" is accepted only for its error.
            assert literals(hints[name]) == set(options[0]) - {"liblinear"}, name
            compared.append(name)
    assert {"penalty", "solver"} <= set(compared)


@pytest.mark.parametrize("function", [infer, MaxentClassifier.infer])
def test_choices_of_inference(function):
    # The module of MaxentClassifier imports the types of inference for type checkers alone.
    hints = get_type_hints(function, localns=vars(_infer_pipeline))
    assert literals(hints["cov_type"]) == set(COV_TYPES)
    assert literals(hints["weights"]) == {"frequency", "probability"}
    assert literals(hints["method"]) == {"bootstrap", "split"}
