"""Descriptions of covariances and intervals for printed results, with the software that agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skmaxent._effects._student_t import StudentT
    from skmaxent._inference._results_state import ResultsState

# By `cov_type` and the small-sample factor.
SANDWICH = {
    ("HC0", "none"): "HC0 (sandwich), as statsmodels' HC0 and R's sandwich()",
    ("HC0", "units"): "HC0 (sandwich) times n/(n−1), as Stata's vce(robust) for mlogit and logit",
    ("HC1", "coefficients"): "HC1 (sandwich), n/(n−p), as R's sandwich(adjust=TRUE)",
    ("cluster", "none"): "cluster (CV0) without small-sample factor, as R's vcovCL type='HC0', "
    "cadjust=FALSE",
    ("cluster", "units"): "cluster, G/(G−1), as Stata's vce(cluster) for mlogit and logit and R's "
    "vcovCL type='HC0'",
    ("cluster", "coefficients"): "cluster, G/(G−1)·(n−1)/(n−p), as statsmodels, Stata's "
    "regress and R's vcovCL type='HC1'",
}
CORRECTED = {
    "HC2": "HC2, residuals divided by the root of one less their leverage, as R's vcovHC",
    "HC3": "HC3, residuals divided by one less their leverage, as R's vcovHC",
    "CV2": "cluster with Bell & McCaffrey's correction (CV2), as CR2 of R's clubSandwich",
    "CV3": "cluster jackknife (CV3), fits without each cluster",
    "CV3L": "cluster jackknife by one Newton step for each cluster (CV3L)",
}
# The small-sample factor of each `cov_type` that has several, if the user names none.
DEFAULT_FACTORS = {"HC0": "none", "HC1": "coefficients", "cluster": "coefficients"}


def covariance_name(results: ResultsState) -> str:
    """Return a description of the covariance of results."""
    if results.cov_type == "nonrobust":
        return "nonrobust, inverse Fisher information"
    if results.cov_type == "laplace":
        return "laplace, the posterior's Laplace approximation under the ridge as a normal prior"
    if results.design_name is not None:
        return results.design_name
    if results.cov_type in CORRECTED:
        return CORRECTED[results.cov_type]
    if results.replicates is not None:
        return f"bootstrap, {len(results.replicates)} samples"
    factor = results.small_sample or DEFAULT_FACTORS[results.cov_type]
    return SANDWICH[results.cov_type, factor]


def interval_name(cov_type: str, conf_level: float, distribution: StudentT | None = None) -> str:
    """Return a description, in the plural, of the intervals of `conf_int`.

    `cov_type` and `distribution` are those of the results; None stands for the normal distribution.
    """
    level = f"{100 * conf_level:.10g} %"
    if cov_type == "laplace":
        return f"{level} credible intervals of the normal approximation"
    if cov_type == "bootstrap":
        return f"{level} percentile intervals of the bootstrap"
    if distribution is None or distribution.is_normal:
        return f"{level} confidence intervals of the normal distribution"
    return f"{level} confidence intervals of Student's t{degrees_name(distribution)}"


def degrees_name(distribution: StudentT) -> str:
    """Return the end of a phrase: " with … degrees of freedom".

    If each coefficient has its own number (`distribution.by_contrast`), the phrase says so.
    """
    if distribution.by_contrast is not None:
        return " with degrees of freedom of their own"
    return f" with {distribution.df:g} degrees of freedom"
