"""Checks of which statistics are valid for a kind of covariance and a meaning of the weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Validity:
    """Tells which statistics are valid for results, and raises errors for the others.

    The argument `what` is the plural name of the statistics, for the error message.

    Attributes
    ----------
    cov_type, weights, n_groups
        As in `InferenceResults`.
    """

    cov_type: str
    weights: str
    n_groups: int | None

    @property
    def has_tests(self) -> bool:
        """Whether there are p-values: not for a posterior covariance or after a bootstrap."""
        return self.cov_type not in ("laplace", "bootstrap")

    @property
    def has_independent_rows(self) -> bool:
        """Whether rows are independent observations: no sampling weights and no clusters."""
        return self.weights == "frequency" and self.n_groups is None

    def check_independent_rows(self, who_needs: str) -> None:
        """Raise ValueError unless rows are independent observations.

        `who_needs` begins the error message, such as "effective_aic needs".
        """
        if not self.has_independent_rows:
            raise ValueError(
                f"{who_needs} independent rows, which sampling weights and clusters do not have."
            )

    def check_tests(self, what: str) -> None:
        """Raise ValueError unless the results have p-values, see `has_tests`."""
        if not self.has_tests:
            raise ValueError(
                f"{what} are for fits without a penalty (C=np.inf) and without bootstrap, found "
                f"cov_type={self.cov_type!r}: shrunken coefficients do not have the distributions "
                "that these tests rely on."
            )

    def check_nonrobust_tests(self, what: str, instead: str = "wald_test") -> None:
        """Raise ValueError unless the covariance is the inverse of the information.

        `instead` names the method that the message recommends.
        """
        self.check_tests(what)
        if self.cov_type != "nonrobust":
            raise ValueError(
                f"{what} need cov_type='nonrobust' and frequency weights, found "
                f"cov_type={self.cov_type!r} and weights={self.weights!r}: where the likelihood is "
                f"not that of independent rows from the model, use {instead}, which has the robust "
                "covariance."
            )

    def check_criterion(self, what: str) -> None:
        """Raise ValueError if AIC and BIC have no meaning; `what` is "AIC" or "BIC"."""
        if self.cov_type == "laplace":
            raise ValueError(
                f"{what} counts free coefficients, and a penalty restricts coefficients; expected "
                "a fit with C=np.inf."
            )
        if not self.has_independent_rows:
            raise ValueError(
                f"{what} needs the likelihood of independent rows, which sampling weights and "
                "clusters do not have: compare nested models by wald_test."
            )
