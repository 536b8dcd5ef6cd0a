"""FormulaTransformer: the columns of a formula as a step of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skmaxent._formula._columns import column_names, columns_for_formula, eager_frame
from skmaxent._input._frames import row_index
from skmaxent._input._interchange import in_library_of
from skmaxent._public import public
from skmaxent._sklearn import check_feature_names_in, check_parameters, output_of_transform
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

# The largest difference, relative to the largest entry of a column, that is taken for rounding when
# a row is transformed among few rows and among all rows.
SAME_COLUMNS = 1e-8
DEPENDS_ON_ROWS = "of the formula depends on which rows are transformed together"


@public
class FormulaTransformer(TransformerMixin, BaseEstimator):
    """Columns of a Wilkinson formula, as a transformer for pipelines.

    The formula is that of R, as the package formulaic implements it: ``a + b``, ``a:b``, ``a*b``,
    ``(a + b)**2``, ``a/b``, ``- 1``, ``.`` for all columns, names in backticks, and functions such
    as ``C``, ``bs``, ``cr``, ``cc``, ``poly``, ``scale``, ``center``, ``log`` and all of ``np``.
    Text and categories become dummy variables for all levels but the first, and booleans count as 0
    and 1. Levels, knots, means and scales are learned in `fit`.

    Parameters
    ----------
    formula : str
        The terms, without a response, for instance ``"age + C(region) * bs(income, 4)"``. It is
        evaluated as Python code, so that formulas from people whom you do not trust are unsafe.
    context : dict, default=None
        Further functions and values that the formula may use, by name. Pickles contain it.
    sparse_output : bool, default=False
        Whether `transform` returns a CSR matrix; its columns have no names for later steps.

    Attributes
    ----------
    terms_ : dict of str to list of str
        The names of the columns of each term, in the order of the formula. The intercept is no
        term.
    term_factors_ : dict of str to list of str
        The factors that each term is a product of.
    term_variables_ : dict of str to list of str
        The columns of the data that each term uses.
    has_intercept_ : bool
        Whether the formula has an intercept, that is, neither ``- 1`` nor ``0 +``.
    n_features_in_ : int
        Number of columns of the data in `fit`.
    feature_names_in_ : ndarray of shape (n_columns,)
        Names of these columns.

    See Also
    --------
    from_formula : Fit a classifier by a formula with a response.

    Notes
    -----
    The output has no intercept, because classifiers have their own. A formula with ``- 1`` codes
    its first factor by all its levels, as in R. For R's model, without an intercept, give the
    classifier ``fit_intercept=False``. If the classifier has an intercept and a ridge penalty, a
    formula with ``- 1`` is one-hot coding, in which no level is special.

    Two functions differ from those of formulaic. Beyond the range of the fit ``bs`` extends its
    polynomials, as in R, unless ``extrapolation`` says otherwise. ``C`` of whole numbers has
    integers as levels; ``factor`` is another name for it. Numbers are float64 when a formula is
    evaluated, as in R.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmaxent import FormulaTransformer
    >>> data = pd.DataFrame({"age": [20, 30, 40], "region": ["north", "south", "west"]})
    >>> columns = FormulaTransformer("age + C(region)").fit(data)
    >>> columns.transform(data.iloc[1:])
        age  C(region)[T.south]  C(region)[T.west]
    1  30.0                 1.0                0.0
    2  40.0                 0.0                1.0
    >>> columns.terms_
    {'age': ['age'], 'C(region)': ['C(region)[T.south]', 'C(region)[T.west]']}
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "formula": [str],
        "context": [Mapping, None],
        "sparse_output": ["boolean"],
    }
    # A `_formulaic.Design`: the formula, with the levels, knots, means and scales of the fit.
    _design: Any

    def __init__(
        self,
        formula: str,
        *,
        context: Mapping[str, Any] | None = None,
        sparse_output: bool = False,
    ) -> None:
        self.formula = formula
        self.context = context
        self.sparse_output = sparse_output

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def fit(self, X: Any, y: ArrayLike | None = None) -> FormulaTransformer:
        """Learn the levels, knots, means and scales of the formula.

        Parameters
        ----------
        X : data frame of shape (n_samples, n_columns)
            Of pandas, polars or narwhals, or a table of pyarrow. Columns that the formula does not
            use are ignored.
        y : array-like, default=None
            Ignored.

        Returns
        -------
        FormulaTransformer
            Itself.

        Raises
        ------
        ImportError
            If formulaic is not installed.
        TypeError
            If X is no data frame.
        ValueError
            For formulas that are not valid or use unknown names; for missing values; for terms that
            depend on the other rows, such as ``x - x.mean()``, where `transform` would compute
            another mean.
        """
        self._learn(X)
        return self

    def fit_transform(self, X: Any, y: ArrayLike | None = None) -> Any:
        """Fit to X and return its columns.

        Parameters
        ----------
        X : data frame of shape (n_samples, n_columns)
            As in `fit`.
        y : array-like, default=None
            Ignored.

        Returns
        -------
        DataFrame or CSR matrix of shape (n_samples, n_features_out)
            As that of `transform`.
        """
        frame, matrix = self._learn(X)
        return self._output(matrix, X, frame)

    def transform(self, X: Any) -> Any:
        """Return the columns of the formula for other rows.

        Parameters
        ----------
        X : data frame of shape (n_samples, n_columns)
            With the columns that the formula uses, in any order and beside others.

        Returns
        -------
        DataFrame or CSR matrix of shape (n_samples, n_features_out)
            A frame of the library of X with the index of X, unless `set_output` chooses another
            library; a CSR matrix with `sparse_output`. The formula ``"1"`` gives a pandas frame
            with rows and without columns, which `MaxentClassifier` fits by its intercepts.

        Raises
        ------
        ValueError
            For missing columns and values, and for levels that the fit has not seen.
        """
        check_is_fitted(self)
        frame = eager_frame(X, "X")
        data = columns_for_formula(frame, self._used_columns(frame))
        return self._output(self._design.matrix(data, self.context or {}), X, frame)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> Array:
        """Return the names of the columns that `transform` makes.

        Parameters
        ----------
        input_features : array-like of str, default=None
            The names of the columns in `fit`; others raise ValueError.

        Returns
        -------
        ndarray of shape (n_features_out,)
        """
        check_is_fitted(self)
        if input_features is not None:
            check_feature_names_in(self, input_features)
        return np.array([name for names in self.terms_.values() for name in names], dtype=object)

    def _learn(self, X: Any) -> tuple[Any, Any]:
        """Set the fitted attributes; return X as a frame of pandas or polars, and its matrix."""
        check_parameters(self)
        library = import_formulaic(type(self).__name__)
        frame = eager_frame(X, "X")
        columns, context = column_names(frame), self.context or {}
        formula = library.parse(self.formula, columns)
        variables = library.variables_of(formula, columns, context)
        used = {name for names in variables.values() for name in names}
        data = columns_for_formula(frame, [name for name in columns if name in used])
        design, matrix = library.Design.learned(formula, data, context, sparse=self.sparse_output)
        _check_rows_are_independent(design, data, matrix, context)
        validate_data(self, frame, reset=True, skip_check_array=True)
        self._design = design
        self.terms_: dict[str, list[str]] = design.terms
        self.term_factors_: dict[str, list[str]] = design.factors
        self.term_variables_: dict[str, list[str]] = variables
        self.has_intercept_: bool = library.has_intercept(formula)
        return frame, matrix

    def _used_columns(self, frame: Any) -> list[str]:
        """Return the columns of a frame that the formula uses, in the order of the frame.

        Raises ValueError if some of them are missing.
        """
        used = {name for names in self.term_variables_.values() for name in names}
        columns = column_names(frame)
        missing = sorted(used - {*columns})
        if missing:
            raise ValueError(
                f"X lacks the columns {missing}, which formula={self.formula!r} uses; its columns "
                f"are {columns}."
            )
        return [name for name in columns if name in used]

    def _output(self, matrix: Any, X: Any, frame: Any) -> Any:
        """Return the matrix of the formula for X as the type that `transform` returns.

        `frame` is X as a frame of pandas or polars.
        """
        library = output_of_transform(self)
        if self.sparse_output or library == "polars":  # scikit-learn makes the polars frame
            return matrix
        if not matrix.shape[1] and library == "default":
            library = "pandas"  # other frames without columns have no rows
        import pandas as pd

        table = pd.DataFrame(matrix, index=row_index(frame), columns=self.get_feature_names_out())
        return in_library_of(X, table) if library == "default" else table


def import_formulaic(user: str) -> ModuleType:
    """Return the module that evaluates formulas; `user` is the public name that needs it.

    Raises ImportError that names the extra if formulaic is not installed.
    """
    try:
        from skmaxent._formula import _formulaic
    except ImportError as error:
        raise ImportError(
            f"{user} needs the package formulaic ({error}): pip install 'skmaxent[formula]'."
        ) from error
    return _formulaic


def _check_rows_are_independent(
    design: Any, data: pd.DataFrame, matrix: Any, context: Mapping[str, Any]
) -> None:
    """Raise ValueError if the columns of a row depend on the rows that are transformed with it.

    This happens for functions of a whole column that remember nothing of the fit, such as
    ``x - x.mean()``. `matrix` has the columns of all rows of `data`. Three rows, and one of them
    alone, are transformed again and compared with it.
    """
    largest = _dense(abs(matrix).max(axis=0))
    some = np.unique([0, len(data) // 2, len(data) - 1])[::-1]
    for rows in (some, some[len(some) // 2 :][:1]):
        try:
            found = _dense(design.matrix(data.iloc[rows].reset_index(drop=True), context))
        except ValueError as error:
            raise ValueError(f"A term {DEPENDS_ON_ROWS}: some rows alone fail. {error}") from error
        wrong = (np.abs(found - _dense(matrix[rows])) > SAME_COLUMNS * largest).any(axis=0)
        if wrong.any():
            names = [name for names in design.terms.values() for name in names]
            raise ValueError(
                f"The column {names[int(np.argmax(wrong))]!r} {DEPENDS_ON_ROWS}. Write center(x) "
                "for x - x.mean(), and scale(x), poly(x, 2) or bs(x, 4), which remember the rows "
                "of the fit; or add the column to the data before."
            )


def _dense(matrix: Any) -> Array:
    """Return a matrix as an ndarray."""
    return np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix)
