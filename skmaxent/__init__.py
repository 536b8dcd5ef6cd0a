"""Multinomial logistic regression, the maximum-entropy classifier.

Modules are imported when one of their public names is first used, except that of the classifier.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._export._former_modules import register_former_modules
from skmaxent._versions import __version__ as __version__

if TYPE_CHECKING:
    from skmaxent._effects._datagrid import DataGrid, datagrid
    from skmaxent._estimators._coef_frame import coef_frame
    from skmaxent._estimators._conformal_sets import conformal_sets
    from skmaxent._estimators._infer_pipeline import infer
    from skmaxent._estimators._leave_one_out import leave_one_out
    from skmaxent._estimators._maxent_objective import MaxentObjective
    from skmaxent._estimators._multilabel import MultilabelMaxentClassifier
    from skmaxent._export._marginaleffects import to_marginaleffects
    from skmaxent._export._onnx import register_onnx_converters
    from skmaxent._formula._from_formula import from_formula
    from skmaxent._formula._transformer import FormulaTransformer
    from skmaxent._inference._compare import ModelComparison, compare
    from skmaxent._inference._detect_separation import Separation, detect_separation
    from skmaxent._inference._results import InferenceResults
    from skmaxent._inference._survey_design import SurveyDesign
    from skmaxent._leverage._conformal import ConformalSets
    from skmaxent._leverage._leave_one_out import LeaveOneOutScores
    from skmaxent._model_selection._calibration import expected_calibration_error
    from skmaxent._model_selection._cross_validation import MaxentClassifierCV
    from skmaxent._model_selection._maxent_path import MaxentPath
    from skmaxent._model_selection._path import maxent_path
    from skmaxent._plotting._calibration import ClassCalibrationDisplay
    from skmaxent._plotting._diagnostics import DiagnosticsDisplay
    from skmaxent._plotting._effects import EffectsDisplay
    from skmaxent._plotting._intervals import CoefficientDisplay, MarginalEffectsDisplay
    from skmaxent._plotting._penalty_strength import CVCurveDisplay, PathDisplay
    from skmaxent._plotting._predictions import PredictionsDisplay
    from skmaxent._softmax import (
        cross_entropy,
        cross_entropy_coef_gradient,
        cross_entropy_gradient,
        log_softmax,
        logsumexp,
        sigmoid,
        softmax,
        softmax_jacobian,
    )

# The public names of each module that is imported late, as above.
_LATE_NAMES = {
    "skmaxent._effects._datagrid": ("DataGrid", "datagrid"),
    "skmaxent._estimators._coef_frame": ("coef_frame",),
    "skmaxent._estimators._conformal_sets": ("conformal_sets",),
    "skmaxent._estimators._infer_pipeline": ("infer",),
    "skmaxent._estimators._leave_one_out": ("leave_one_out",),
    "skmaxent._estimators._maxent_objective": ("MaxentObjective",),
    "skmaxent._estimators._multilabel": ("MultilabelMaxentClassifier",),
    "skmaxent._export._marginaleffects": ("to_marginaleffects",),
    "skmaxent._export._onnx": ("register_onnx_converters",),
    "skmaxent._formula._from_formula": ("from_formula",),
    "skmaxent._formula._transformer": ("FormulaTransformer",),
    "skmaxent._inference._compare": ("ModelComparison", "compare"),
    "skmaxent._inference._detect_separation": ("Separation", "detect_separation"),
    "skmaxent._inference._results": ("InferenceResults",),
    "skmaxent._inference._survey_design": ("SurveyDesign",),
    "skmaxent._leverage._conformal": ("ConformalSets",),
    "skmaxent._leverage._leave_one_out": ("LeaveOneOutScores",),
    "skmaxent._model_selection._calibration": ("expected_calibration_error",),
    "skmaxent._model_selection._cross_validation": ("MaxentClassifierCV",),
    "skmaxent._model_selection._maxent_path": ("MaxentPath",),
    "skmaxent._model_selection._path": ("maxent_path",),
    "skmaxent._plotting._calibration": ("ClassCalibrationDisplay",),
    "skmaxent._plotting._diagnostics": ("DiagnosticsDisplay",),
    "skmaxent._plotting._effects": ("EffectsDisplay",),
    "skmaxent._plotting._intervals": ("CoefficientDisplay", "MarginalEffectsDisplay"),
    "skmaxent._plotting._penalty_strength": ("CVCurveDisplay", "PathDisplay"),
    "skmaxent._plotting._predictions": ("PredictionsDisplay",),
    "skmaxent._softmax": (
        "cross_entropy",
        "cross_entropy_coef_gradient",
        "cross_entropy_gradient",
        "log_softmax",
        "logsumexp",
        "sigmoid",
        "softmax",
        "softmax_jacobian",
    ),
}

__all__ = [
    "CVCurveDisplay",
    "ClassCalibrationDisplay",
    "CoefficientDisplay",
    "ConformalSets",
    "DataGrid",
    "DiagnosticsDisplay",
    "EffectsDisplay",
    "FormulaTransformer",
    "InferenceResults",
    "LeaveOneOutScores",
    "MarginalEffectsDisplay",
    "MaxentClassifier",
    "MaxentClassifierCV",
    "MaxentObjective",
    "MaxentPath",
    "ModelComparison",
    "MultilabelMaxentClassifier",
    "PathDisplay",
    "PredictionsDisplay",
    "Separation",
    "SurveyDesign",
    "coef_frame",
    "compare",
    "conformal_sets",
    "cross_entropy",
    "cross_entropy_coef_gradient",
    "cross_entropy_gradient",
    "datagrid",
    "detect_separation",
    "expected_calibration_error",
    "from_formula",
    "infer",
    "leave_one_out",
    "log_softmax",
    "logsumexp",
    "maxent_path",
    "register_onnx_converters",
    "sigmoid",
    "softmax",
    "softmax_jacobian",
    "to_marginaleffects",
]

register_former_modules()

if not TYPE_CHECKING:  # type checkers would take any name for a public one

    def __getattr__(name: str) -> Any:
        """Import the module of a public name."""
        for module, names in _LATE_NAMES.items():
            if name in names:
                globals()[name] = value = getattr(import_module(module), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
