"""Every number that a user can print has a test against an outside truth.

An outside truth is R, Stata, statsmodels, scikit-learn, marginaleffects, mpmath, finite differences
or brute force, and no other method of this package. `TRUTHS` has the tests of each public function
and of each member of a public class that returns or contains numbers. Where a member has several
tests, they are of different columns or options.
"""

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

import skmaxent

TESTS = Path(__file__).parents[1]

# Members without numbers of a computation: names, labels, settings and what the user gave. The
# members of a class follow its name, as in `TRUTHS`.
WITHOUT_NUMBERS = """
    from_formula; infer; DataGrid grid_type values; ConformalSets alpha class_conditional score;
    FormulaTransformer get_feature_names_out has_intercept_ set_output term_factors_ term_variables_
    terms_; DiagnosticsDisplay labelled_; InferenceResults aliased columns cov_type design_name
    fit_intercept has_intercept has_tests notes reference rows small_sample terms weights with_data;
    LeaveOneOutScores refitted; MaxentClassifierCV gammas_; MaxentPath feature_names l1_ratio;
    ModelComparison models names note; MultilabelMaxentClassifier multilabel_;
    Separation features kind separated; SurveyDesign combined_weights fpc lonely_psu mse nest psu
    strata weights
"""
# Members without numbers, whichever the class.
OF_ANY_CLASS = """
    ax_ axes_ classes classes_ densify feature_names_in_ figure_ fit get_metadata_routing get_params
    infer n_features_in_ penalty plot set_callbacks set_decision_function_request set_fit_request
    set_params set_predict_log_proba_request set_predict_proba_request set_predict_request
    set_score_request sparsify top_ax_
"""

STATA = "inference/test_stata_results.py::test_"
BEPS = "inference/test_inference_beps.py::test_"
BRUTE = "inference/test_figures_by_brute_force.py::test_"
TABLES = "inference/test_tables_of_statsmodels.py::test_"
COLUMNS = "inference/test_columns_of_tables.py::test_"
EFFECTS = "effects/test_effects_in_marginaleffects.py::test_"
DELTA = "effects/test_delta_method.py::test_"
DRAWN = "plotting/test_display_data.py::test_"
PATHS = "model_selection/test_paths_by_brute_force.py::test_"
REFITS = "leverage/test_refits_of_scikit_learn.py::test_"
METHODS = "estimators/test_methods_of_scikit_learn.py::test_"
OBJECTIVE = "objective/test_maxent_objective.py::test_"
SOFTMAX = "objective/test_softmax.py::test_"

TRUTHS = {
    METHODS + "classifier": """MaxentClassifier coef_ intercept_ coef_frame decision_function
        predict predict_log_proba predict_proba predict_proba_frame score optimality_gap_ n_iter_;
        coef_frame""",
    METHODS + "several_labels": """MultilabelMaxentClassifier coef_ intercept_ coef_frame
        decision_function predict predict_log_proba predict_proba predict_proba_frame score
        optimality_gap_ n_iter_""",
    METHODS + "thresholds_are_those_with_the_best_f1_of_held_out_rows": """
        MultilabelMaxentClassifier threshold_""",
    PATHS + "cross_validation_is_that_of_the_minima_for_each_fold": """MaxentClassifierCV C_ Cs_
        alpha_ alphas_ coef_ intercept_ coef_frame coefs_paths_ cv_results_frame decision_function
        l1_ratio_ l1_ratios_ n_iter_ optimality_gap_ predict predict_log_proba predict_proba
        predict_proba_frame score scores_ scores_std_err_""",
    "model_selection/test_cv_glmnet.py::test_means_over_folds_have_the_weights_of_folds": """
        MaxentClassifierCV fold_weights_""",
    "model_selection/test_leave_one_out_cv.py::test_score_and_choice_are_those_of_refits": """
        MaxentClassifierCV n_refits_""",
    "model_selection/test_relaxed_paths.py::"
    "test_cross_validation_of_relaxed_unions_is_that_of_glmnet": """MaxentClassifierCV gamma_
        relaxed_scores_""",
    PATHS + "a_lasso_path_has_the_minima": """maxent_path; MaxentPath coefs intercepts n_nonzero
        optimality_gaps n_iter total_weight alphas coef_frame""",
    PATHS + "the_largest_penalty_is_the_largest_slope_of_the_model_of_intercepts": "MaxentPath Cs",
    PATHS + "relaxed_coefficients_are_free_and_blended_with_the_others": """MaxentPath
        relaxed_coefs relaxed_intercepts blended""",
    OBJECTIVE + "values_and_hessian_in_fifty_digits": "MaxentObjective fun grad hess",
    OBJECTIVE + "derivatives_are_those_of_finite_differences": """MaxentObjective fun_and_grad
        hessp preconditioned""",
    OBJECTIVE + "the_start_is_the_model_without_features": "MaxentObjective x0",
    OBJECTIVE + "vectors_are_coefficients_by_class_and_then_intercepts": """MaxentObjective
        flatten unflatten n_parameters""",
    STATA + "coefficients_and_their_tests": "InferenceResults summary",
    STATA + "figures_of_the_fit": """InferenceResults log_likelihood null_log_likelihood aic bic
        mcfadden_r2 df_model df_resid""",
    STATA + "covariance": "InferenceResults cov_params",
    STATA + "likelihood_ratio_against_the_intercepts_alone": """InferenceResults
        likelihood_ratio_test""",
    STATA + "effects_on_the_probabilities_of_seven_classes": "InferenceResults marginal_effects",
    TABLES + "tables_for_publication": """InferenceResults to_html to_latex to_markdown;
        ModelComparison to_html to_latex to_markdown; compare""",
    TABLES + "columns_for_maketables": "InferenceResults to_list",
    TABLES + "another_reference_is_a_fit_to_other_codes": """InferenceResults relative_to coef
        std_errors conf_int""",
    TABLES + "counts": "InferenceResults n_obs n_parameters n_columns n_groups optimality_gap",
    TABLES + "bootstrap_samples_are_fits_of_scikit_learn": """InferenceResults replicates
        replicate_counts covariance""",
    COLUMNS + "adjusted_p_values_are_of_all_slopes": "InferenceResults summary",
    COLUMNS + "odds_ratios_of_two_classes_are_those_of_statsmodels": """InferenceResults summary
        conf_int""",
    COLUMNS + "marginal_effects_have_the_columns_of_statsmodels": """InferenceResults
        marginal_effects""",
    COLUMNS + "few_clusters_have_quantiles_of_students_t": """InferenceResults hypotheses
        marginal_effects summary""",
    COLUMNS + "walds_tests_are_quadratic_forms": """InferenceResults combine_test equality_test
        linear_test wald_test""",
    COLUMNS + "walds_anova_is_a_difference_of_quadratic_forms": "InferenceResults anova",
    COLUMNS + "p_values_of_iia_are_those_of_chi_squared": "InferenceResults iia_test",
    COLUMNS + "cells_have_p_values_and_a_share_of_small_counts": """InferenceResults
        goodness_of_fit""",
    COLUMNS + "parts_of_scores_are_scores_of_recalibrated_probabilities": """InferenceResults
        score_decomposition""",
    COLUMNS + "calibration_in_bins_of_equal_width": "InferenceResults calibration",
    "inference/test_few_clusters.py::test_webbs_weights_have_six_values": """
        InferenceResults wild_bootstrap_test""",
    "inference/test_terms_and_hypotheses.py::test_anova_of_beps_is_that_of_r": """
        InferenceResults anova""",
    "inference/test_terms_and_hypotheses.py::test_linear_hypotheses_are_those_of_r": """
        InferenceResults linear_test hypotheses""",
    "inference/test_inference.py::test_tests_of_terms": "InferenceResults wald_test",
    "inference/test_hypothesis_tests.py::"
    "test_score_tests_are_those_of_the_definition_and_of_statsmodels": """
        InferenceResults score_test""",
    BRUTE + "equal_coefficients_of_the_outcomes": "InferenceResults equality_test",
    BRUTE + "outcomes_that_can_be_combined": "InferenceResults combine_test",
    BRUTE + "effective_degrees_of_freedom": "InferenceResults effective_df effective_aic",
    "inference/test_iia.py::test_hausman_and_mcfadden_as_in_r": "InferenceResults iia_test",
    "inference/test_few_clusters.py::test_the_wild_bootstrap_is_that_of_the_formula": """
        InferenceResults wild_bootstrap_test""",
    "inference/test_null_features.py::test_statistics_are_those_of_the_paper": """
        InferenceResults null_feature_test""",
    "inference/test_many_coefficients.py::test_a_caution_has_the_ratio_above_a_tenth": """
        InferenceResults cautions""",
    "inference/test_pseudo_r2.py::test_two_classes_have_the_figures_of_r": """InferenceResults
        cox_snell_r2 nagelkerke_r2 tjur_r2""",
    "inference/test_profile_intervals.py::"
    "test_intervals_of_small_samples_are_those_of_brute_force": """
        InferenceResults profile_conf_int""",
    "inference/test_goodness_of_fit.py::"
    "test_two_classes_have_the_test_of_hosmer_and_lemeshow": "InferenceResults goodness_of_fit",
    "inference/test_goodness_of_fit.py::test_murphys_parts_of_forecasts_with_few_values": """
        InferenceResults score_decomposition""",
    "inference/test_goodness_of_fit.py::test_calibration_has_wilsons_intervals": """
        InferenceResults calibration""",
    "inference/test_surveys.py::test_two_classes_are_those_of_svyglm": """InferenceResults
        df_tests; SurveyDesign df""",
    "inference/test_surveys.py::test_replicates_of_a_total_have_its_variance": """SurveyDesign
        replicate_weights rscales scale with_replicates""",
    "inference/test_results_predict.py::test_intervals_are_the_delta_method": """
        InferenceResults predict_proba_interval""",
    EFFECTS + "average_predictions": "InferenceResults average_predictions",
    EFFECTS + "predictions_of_rows_and_at_the_mean": "InferenceResults predictions",
    EFFECTS + "average_comparisons_of_all_variables": "InferenceResults average_comparisons",
    DELTA + "comparisons_of_rows": "InferenceResults comparisons",
    DELTA + "comparisons_of_a_factor": "InferenceResults average_comparisons",
    DELTA + "pairs_of_levels": "InferenceResults average_comparisons",
    DELTA + "simulated_intervals_are_quantiles_over_drawn_coefficients": """
        InferenceResults comparisons""",
    DELTA + "intervals_of_log_odds": "InferenceResults predictions",
    DELTA + "functions_of_average_predictions": "InferenceResults average_predictions",
    DELTA + "few_clusters_have_statistics_of_students_t": """InferenceResults average_comparisons
        average_predictions average_slopes""",
    EFFECTS + "average_slopes": "InferenceResults average_slopes",
    DELTA + "slopes": "InferenceResults average_slopes",
    DELTA + "slopes_of_rows": "InferenceResults slopes",
    "effects/test_effects_in_r.py::test_effects_at_means_of_the_design": "datagrid",
    "leverage/test_influence.py::test_two_classes_have_the_influence_of_statsmodels": """
        InferenceResults diagnostics dfbetas""",
    REFITS + "scores_are_those_of_the_observations": """InferenceResults loo; leave_one_out;
        LeaveOneOutScores log_proba log_score log_score_std_err accuracy accuracy_std_err n_refits
        approximation_error to_frame""",
    REFITS + "degrees_of_freedom_are_derivatives": "LeaveOneOutScores effective_df aic",
    "leverage/test_sampled_inverse.py::test_scores_are_exact_up_to_their_monte_carlo_error": """
        LeaveOneOutScores monte_carlo_error""",
    "leverage/test_leave_one_out.py::test_separated_leave_outs_are_counted": """
        LeaveOneOutScores separated""",
    REFITS + "thresholds_and_sets_are_those_of_the_held_out_scores": """InferenceResults
        conformal; conformal_sets; ConformalSets thresholds mean_size predict
        n_refits""",
    "inference/test_separation.py::test_directions_prove_separation": """detect_separation;
        Separation direction""",
    "model_selection/test_calibration.py::test_the_definitions": "expected_calibration_error",
    "formula/test_design_matrices.py::test_columns_and_terms_are_those_of_model_matrix": """
        FormulaTransformer transform fit_transform""",
    "integration/test_marginaleffects.py::test_mnlogit_of_statsmodels_is_the_same_model": """
        to_marginaleffects""",
    "extras/test_onnx.py::test_labels_and_probabilities_are_those_of_the_model": """
        register_onnx_converters""",
    DRAWN + "coefficients_and_marginal_effects_are_those_of_statsmodels": """CoefficientDisplay
        from_estimator from_results containers_; MarginalEffectsDisplay from_results containers_""",
    DRAWN + "predictions_and_effects_are_those_of_statsmodels": """PredictionsDisplay
        from_results artists_; EffectsDisplay from_results containers_""",
    DRAWN + "paths_are_minima_of_the_penalised_loss": """PathDisplay from_estimator from_path
        lines_""",
    DRAWN + "scores_are_those_of_scikit_learn": "CVCurveDisplay from_estimator lines_",
    DRAWN + "calibration_is_that_of_scikit_learn": """ClassCalibrationDisplay from_predictions
        from_results points_""",
    DRAWN + "diagnostics_are_those_of_statsmodels": "DiagnosticsDisplay from_results",
    SOFTMAX + "softmax_is_accurate": "softmax",
    SOFTMAX + "log_softmax_is_accurate": "log_softmax",
    SOFTMAX + "logsumexp_is_accurate": "logsumexp",
    SOFTMAX + "sigmoid_is_accurate_in_both_tails": "sigmoid",
    SOFTMAX + "jacobian_agrees_with_finite_differences": "softmax_jacobian",
    SOFTMAX + "cross_entropy_is_accurate_for_counts": "cross_entropy",
    SOFTMAX + "cross_entropy_gradient_agrees_with_finite_differences": "cross_entropy_gradient",
    SOFTMAX + "coef_gradient_agrees_with_finite_differences": "cross_entropy_coef_gradient",
}


def names_in(text):
    """The public names in a text such as "function; Class member member"."""
    for part in text.split(";"):
        first, *members = part.split()
        yield from (f"{first}.{member}" for member in members) if members else (first,)


def attributes_in_docstring(cls):
    """The names in the section "Attributes" of a class."""
    section = re.search(r"(?s)\nAttributes\n-+\n(.*?)(\n\n\w[\w ]*\n-+\n|\Z)", inspect.getdoc(cls))
    heads = re.findall(r"(?m)^(\w[\w, ]*)(?: :.*)?$", section.group(1)) if section else []
    return {name.strip() for head in heads for name in head.split(",")}


def public_members(name):
    """The public name of a function, or the names of the public members of a class."""
    found = getattr(skmaxent, name)
    if not inspect.isclass(found):
        return {name}
    members = {m for m in dir(found) if not m.startswith("_")} | attributes_in_docstring(found)
    return {f"{name}.{m}" for m in members - set(OF_ANY_CLASS.split())}


@cache
def functions_of(path):
    """The text of a file of tests, and the names of its functions."""
    text = (TESTS / path).read_text(encoding="utf-8")
    tree = ast.parse(text)
    return text, {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_public_number_has_a_truth():
    listed = {name for text in TRUTHS.values() for name in names_in(text)}
    others = set(names_in(WITHOUT_NUMBERS))
    assert not others & listed
    public = set().union(*map(public_members, skmaxent.__all__))
    assert public - others - listed == set()
    assert others.union(listed) - public == set()


@pytest.mark.parametrize("test", TRUTHS)
def test_the_test_exists_and_its_file_names_the_members(test):
    path, function = test.split("::")
    text, functions = functions_of(path)
    assert function in functions
    for name in names_in(TRUTHS[test]):
        assert re.search(rf"\b{name.split('.')[-1]}\b", text), name


def test_docstrings_have_all_fitted_attributes():
    """`public_members` finds those of estimators in docstrings."""
    X, y = load_iris(return_X_y=True)
    for estimator in (
        skmaxent.MaxentClassifier().fit(X, y),
        skmaxent.MaxentClassifierCV(Cs=2, cv=2, l1_ratios=[1.0], relax=True).fit(X, y),
        skmaxent.MaxentClassifierCV(Cs=2, cv="loo").fit(X, y),
        skmaxent.MultilabelMaxentClassifier().fit(X, np.eye(3)[y]),
    ):
        fitted = {name for name in vars(estimator) if re.fullmatch(r"[^_]\w*_", name)}
        assert fitted <= attributes_in_docstring(type(estimator))
