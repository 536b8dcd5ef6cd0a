"""Multinomial logistic regression, the maximum-entropy classifier."""

from skmaxent._effects._datagrid import DataGrid, datagrid
from skmaxent._estimators._classifier import MaxentClassifier
from skmaxent._estimators._coef_frame import coef_frame
from skmaxent._estimators._conformal_sets import conformal_sets
from skmaxent._estimators._infer_pipeline import infer
from skmaxent._estimators._leave_one_out import leave_one_out
from skmaxent._estimators._maxent_objective import MaxentObjective
from skmaxent._estimators._multilabel import MultilabelMaxentClassifier
from skmaxent._export._former_modules import register_former_modules
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
from skmaxent._versions import __version__ as __version__

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

# A public class says that it lives here. Pickles, tracebacks and skops' lists of trusted types then
# name `skmaxent.MaxentClassifier`, whichever file defines it.
for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = __name__
del _name
register_former_modules()
