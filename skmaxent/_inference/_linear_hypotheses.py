"""Linear hypotheses about coefficients: equations of their names, or matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skmaxent._effects._covariance_root import Covariance
from skmaxent._effects._equations import linear_equations
from skmaxent._effects._estimates import normal_interval, percentile_interval
from skmaxent._inference._coefficient_tables import CoefficientTables
from skmaxent._inference._tables import z_tests
from skmaxent._input._arguments import as_list
from skmaxent._input._numbers import as_floats
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# Restrictions of unit length are linearly dependent if a singular value is below this.
DEPENDENT = 1e-10


@dataclass(frozen=True)
class LinearHypotheses:
    """Restrictions R b = values of the reported coefficients b.

    Attributes
    ----------
    R : ndarray of shape (n_restrictions, n_coefficients)
        Weights of the coefficients, in the order of `InferenceResults.cov_params`.
    values : ndarray of shape (n_restrictions,)
        The right sides.
    texts : list of str
        The restrictions as equations, for tables and error messages.
    """

    R: Array
    values: Array
    texts: list[str]

    @classmethod
    def read(
        cls, hypothesis: Any, rhs: Any, rows: list[Any], columns: list[str], reference: Any
    ) -> LinearHypotheses:
        """Return the hypotheses that the arguments of `InferenceResults.linear_test` describe.

        Parameters
        ----------
        hypothesis : str, list of str or array-like
            Equations of the names of coefficients, or R of shape (n_restrictions, n_coefficients).
        rhs : float, array-like or None
            The right sides, if `hypothesis` is an array; None stands for zeros.
        rows : list
            Labels of the rows of coefficients.
        columns : list of str
            Names of the columns of coefficients.
        reference : label or None
            The class whose coefficients are zero; None with symmetric coding.
        """
        if isinstance(hypothesis, str) or (
            isinstance(hypothesis, (list, tuple, np.ndarray))
            and len(hypothesis)
            and all(isinstance(equation, str) for equation in hypothesis)
        ):
            if rhs is not None:
                raise ValueError(
                    f"rhs={rhs!r} is for hypotheses given as an array: write the value into the "
                    "equation, as in 'Labour:Europe = 0.5'."
                )
            return cls._of_equations(as_list(hypothesis), rows, columns, reference)
        return cls._of_array(hypothesis, rhs, len(rows) * len(columns))

    @classmethod
    def _of_equations(
        cls, equations: list[str], rows: list[Any], columns: list[str], reference: Any
    ) -> LinearHypotheses:
        """Return the hypotheses of equations such as ``"Labour:Europe = 0.5"``.

        The coefficient of a row and a column has the name "row:column". If there is only one row,
        which is so for two classes, "column" suffices. Coefficients of the reference class may be
        named too and count as zero. `equations` are the texts, and the other parameters are those
        of `read`.
        """
        names = [f"{row}:{column}" for row in rows for column in columns]
        n = len(names)
        if len(rows) == 1:
            names += columns
        if reference is not None:
            names += [f"{reference}:{column}" for column in columns]
        A, values, texts = linear_equations(equations, names)
        # The columns of A are those of the coefficients, then those of the short names if there is
        # one row, then those of the reference class, which are left out.
        R = A[:, :n]
        if len(rows) == 1:
            R = R + A[:, n : n + len(columns)]
        return cls(R, values, texts)

    @classmethod
    def _of_array(cls, hypothesis: Any, rhs: Any, n: int) -> LinearHypotheses:
        """Check arrays of weights, (n_restrictions, n), and of right sides; return the hypotheses.

        n is the number of reported coefficients.
        """
        try:
            R = as_floats(hypothesis)
            values = as_floats(0.0 if rhs is None else rhs)
        except (TypeError, ValueError):
            raise ValueError(
                f"hypothesis must be an equation, a list of equations or an array of numbers, and "
                f"rhs numbers; found {hypothesis!r} and {rhs!r}."
            ) from None
        R = R[None] if R.ndim == 1 else R
        if R.ndim != 2 or R.shape[1] != n or not len(R):
            raise ValueError(
                f"hypothesis has the shape {np.shape(hypothesis)}; expected (n_restrictions, {n}), "
                "with a column for each coefficient in the order of cov_params()."
            )
        if values.shape not in ((), (1,), (len(R),)):
            raise ValueError(
                f"rhs has the shape {values.shape}; expected a number for each of the {len(R)} "
                "restrictions."
            )
        if not (np.isfinite(R).all() and np.isfinite(values).all()):
            raise ValueError("hypothesis and rhs must be finite; found NaN or infinity.")
        values = np.broadcast_to(values, len(R)).copy()
        return cls(R, values, [f"R[{i}] b = {value:g}" for i, value in enumerate(values)])

    @property
    def name(self) -> str:
        """The equations, joined by commas."""
        return ", ".join(self.texts)

    def for_free_coefficients(self, contrasts: Array) -> Array:
        """Return the matrix A with A f = R b, for the free coefficients f.

        The reported coefficients b depend on each other if they sum to zero over the classes. The
        free coefficients f, n_classes - 1 for each column, do not. For each column, the reported
        coefficients are `contrasts` times the free ones. The hypothesis R b = values is then
        A f = values.

        Parameters
        ----------
        contrasts : ndarray of shape (n_rows, n_classes - 1)
            The rows are those of the reported coefficients.

        Returns
        -------
        ndarray of shape (n_restrictions, n_free)

        Raises
        ------
        ValueError
            If a restriction contains no free coefficient.
        """
        width = self.R.shape[1] // len(contrasts)
        free = self.R @ np.kron(contrasts, np.eye(width))
        for row, given, value, text in zip(free, self.R, self.values, self.texts, strict=True):
            if float(np.linalg.norm(row)) <= DEPENDENT * max(float(np.linalg.norm(given)), 1e-300):
                raise ValueError(
                    f"{text!r} {'holds' if value == 0.0 else 'fails'} whatever the coefficients "
                    "are: those of the reference class are zero, and those of symmetric coding sum "
                    "to zero over the classes."
                )
        return free

    def check_rank(self, free: Array) -> None:
        """Raise ValueError if the restrictions are linearly dependent.

        `free` is the result of `for_free_coefficients`, of shape (n_restrictions, n_free).
        """
        size = np.linalg.norm(free, axis=1, keepdims=True)
        A, values = free / size, self.values[:, None] / size
        rank = int(np.linalg.matrix_rank(A, tol=DEPENDENT))
        if rank == len(A):
            return
        scale = max(float(np.abs(values).max()), 1.0)
        whole = np.linalg.matrix_rank(np.hstack([A, values / scale]), tol=DEPENDENT)
        how = "contradict each other" if whole > rank else "follow from each other"
        raise ValueError(
            f"the hypothesis has {len(A)} restrictions of rank {rank}, which {how}: expected "
            f"{rank} independent ones. Found {self.texts}."
        )

    def table(self, tables: CoefficientTables, conf_level: float) -> pd.DataFrame:
        """Return a table of estimates with a row for each restriction.

        `tables` has the coefficients and their covariance. The column `estimate` is the left side
        of the equation minus the right side. The other columns are std_err, z or t with p_value if
        the results have tests, lower and upper.
        """
        import pandas as pd

        estimate = self.R @ tables.coef.ravel() - self.values
        error = np.sqrt(Covariance(tables.covariance, tables.root).variances(self.R))
        columns = {"estimate": estimate, "std_err": error}
        df = tables.degrees_of_freedom(self.R)
        if tables.has_tests:
            columns |= z_tests(estimate, error, tables.distribution.statistic, df)
        lower, upper = normal_interval(estimate, error, conf_level, df)
        if tables.replicates is not None:
            draws = tables.replicates.reshape(len(tables.replicates), -1) @ self.R.T - self.values
            lower, upper = percentile_interval(draws, conf_level)
        index = pd.Index(self.texts, name="hypothesis")
        return pd.DataFrame(columns | {"lower": lower, "upper": upper}, index=index)
