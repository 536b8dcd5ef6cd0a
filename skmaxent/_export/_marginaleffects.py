"""Results of `infer` as a model for Python's package marginaleffects."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from skmaxent._effects._delta_method import DeltaMethod
from skmaxent._effects._variables import Variables, has_numbers, levels_of
from skmaxent._inference._reference import Reference
from skmaxent._inference._results import InferenceResults
from skmaxent._typing import Array
from skmaxent._warnings import warn_user

if TYPE_CHECKING:
    import pandas as pd

# Names of the columns of data that have the weights and the offsets of the fit.
WEIGHTS, OFFSET = "sample_weight", "offset"
# If the mean of a column is so many times its spread, standard errors are wrong by about 0.1 %.
FAR_FROM_ZERO = 300


def to_marginaleffects(results: InferenceResults) -> Any:
    """Return results as a model that the functions of Python's package marginaleffects take.

    The model has the variables of the data that `infer` got, so that dummies, interactions and
    splines of a pipeline or a formula follow their variables. Estimates and standard errors are
    those of the methods `predictions`, `comparisons` and `slopes` of the results. Intervals and
    p-values use Student's t distribution with `df_tests` degrees of freedom, also for "CV2", where
    the results have other degrees of freedom for each estimate. marginaleffects differentiates
    numerically and gives all rows equal weights by default.

    Parameters
    ----------
    results : InferenceResults
        Results of `infer` that still hold the rows of the fit.

    Returns
    -------
    marginaleffects.classes.ModelAbstract
        A model for functions such as ``marginaleffects.avg_slopes(model)``. Groups are the classes.
        The coefficients are those of the results, named "class:feature". If the fit had weights,
        the data of the model have a column "sample_weight", for ``wts="sample_weight"``. If the fit
        had offsets, the data have a column "offset" for two classes, or a column "offset:class" for
        each of more classes; new data must have these columns too.

    Raises
    ------
    ImportError
        If marginaleffects 0.6 is not installed, which needs polars 1.
    ValueError
        For results of some features only, for results without the rows of the fit, and for results
        of data that are not held as variables. Also if two variables, or two values of a variable,
        are the same when they are converted to text.

    Warns
    -----
    UserWarning
        If columns of the model have means far above their spread. The finite differences of
        marginaleffects then give standard errors with few correct digits.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmaxent import from_formula, infer, to_marginaleffects
    >>> data = pd.DataFrame({"age": [20, 30, 40, 50] * 5, "vote": [*"abcabcbacaabcbccbaab"]})
    >>> results = infer(from_formula("vote ~ age", data), data, data["vote"])
    >>> model = to_marginaleffects(results)  # doctest: +SKIP
    >>> marginaleffects.avg_slopes(model)  # doctest: +SKIP
    """
    if not isinstance(results, InferenceResults):
        raise TypeError(f"results must be of infer, found a {type(results).__name__}.")
    model_class, vault_class, polars = _marginaleffects()
    effects = results._effects
    rows = _RowConverter(effects.variables, effects.delta)
    _warn_of_columns_far_from_zero(effects.delta)
    vault = vault_class(
        coef=results.coef.ravel(),
        coefnames=np.array([f"{row}:{name}" for row in results.rows for name in results.columns]),
        # In place of a formula, a function that returns a response and a matrix.
        formula=lambda newdata: (None, rows.design(newdata)),
        modeldata=polars.DataFrame(rows.columns_of_fit(polars)),
        package="skmaxent",
        vcov=np.asarray(results.cov_params(), float),
    )
    return model_class(results, vault, rows)


class _RowConverter:
    """Converts rows between the data frames of polars in marginaleffects and those of the model.

    Parameters
    ----------
    variables : Variables
        The variables of the model, with the rows of the fit.
    delta : DeltaMethod
        The fitted model with the covariance of its coefficients.
    """

    def __init__(self, variables: Variables, delta: DeltaMethod) -> None:
        self._variables, self._delta = variables, delta
        data = variables.rows_of_fit("models of marginaleffects")
        self._first = data.iloc[:1]
        self.names = _by_text(variables.names, "names of variables")
        self.used = [str(name) for name in variables.used]
        self._levels = {
            name: _by_text(levels_of(data[name]), f"values of {name!r}")
            for name in variables.names
            if _has_text(data[name]) and (name in variables.used or _is_plain(data[name]))
        }
        classes = delta.model.classes.tolist()
        self._offsets = [OFFSET] if len(classes) == 2 else [f"{OFFSET}:{k}" for k in classes]
        if not delta.model.expects_offset:
            self._offsets = []
        extra = [WEIGHTS] * variables.is_weighted + self._offsets
        taken = [name for name in extra if name in self.names]
        if taken:
            raise ValueError(
                f"the data have a variable {taken[0]!r}, which is the name of the column of the "
                "weights or offsets of the fit: rename the variable."
            )

    @property
    def numeric_levels(self) -> list[str]:
        """The names of variables whose values are numbers that the model treats as categories."""
        template, levels = self._variables.template, self._variables.levels
        return [str(name) for name in levels if has_numbers(template[name])]

    def columns_of_fit(self, polars: Any) -> dict[str, Any]:
        """Return the columns of the data of the fit by name, with its weights and offsets last.

        Variables that the model does not use are left out if marginaleffects cannot hold them.
        """
        variables = self._variables
        data = variables.rows_of_fit("models of marginaleffects")
        found = {}
        for text, name in self.names.items():
            if name in variables.used or _is_plain(data[name]):
                found[text] = self._to_polars(polars, data[name])
        if variables.weights is not None:
            found[WEIGHTS] = variables.weights
        if self._offsets:
            offset = np.asarray(variables.offset, float)
            offset = np.broadcast_to(offset, (len(data),)) if not offset.ndim else offset
            offset = offset.reshape(len(data), -1)
            if offset.shape[1] > len(self._offsets):  # two classes: the offset of the one logit
                offset = offset[:, 1:] - offset[:, :1]
            found |= {name: offset[:, j] for j, name in enumerate(self._offsets)}
        return found

    def design(self, newdata: Any) -> Array:
        """Return the columns of the model, ones for an intercept, and the log-probabilities.

        `newdata` is a data frame of polars with n rows. The result has the shape
        (n, n_columns + n_classes), where n_columns counts the ones too.
        """
        delta = self._delta
        frame = self._to_pandas(newdata)
        offset = None
        if self._offsets:
            missing = [name for name in self._offsets if name not in newdata.columns]
            if missing:
                raise ValueError(f"newdata needs the offsets of its rows, in columns {missing}.")
            offset = newdata.select(self._offsets).to_numpy().astype(float)
        rows, offset = delta.model_rows(self._variables.columns(frame), offset)
        rows = np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, float)
        log_P = delta.model.evaluate("log_probabilities", rows, offset)
        rows = rows if delta.positions is None else rows[:, delta.positions]
        ones = np.ones((len(rows), delta.coef.shape[1] - rows.shape[1]))
        return np.column_stack([rows, ones, log_P])

    def _to_polars(self, polars: Any, column: pd.Series) -> Any:
        """Return a column of pandas as a series of polars, text as categories."""
        if column.name not in self._levels:
            is_number = has_numbers(column) and column.isna().any()
            values = column.to_numpy(dtype=float, na_value=np.nan) if is_number else column
            return polars.Series(values=np.asarray(values))
        levels = self._levels[column.name]
        pairs = zip(column, column.isna(), strict=True)
        texts = [None if is_missing else str(value) for value, is_missing in pairs]
        return polars.Series(values=texts, dtype=polars.Enum(list(levels)))

    def _to_pandas(self, newdata: Any) -> pd.DataFrame:
        """Return a data frame of polars as a data frame of pandas with the dtypes of the fit."""
        import pandas as pd

        columns = {}
        for text, name in self.names.items():
            like = self._variables.template[name]
            if text not in newdata.columns:
                if name in self._variables.used:
                    raise ValueError(f"newdata has no column {text!r}, a variable of the model.")
                columns[name] = pd.Series([self._first[name].iloc[0]] * len(newdata))
                if not has_numbers(like):
                    columns[name] = columns[name].astype(like.dtype)
                continue
            values = newdata[text].to_list()
            if name in self._levels:
                levels = self._levels[name]
                values = [None if value is None else levels[str(value)] for value in values]
            is_number = has_numbers(like)
            columns[name] = pd.Series(values, dtype=float if is_number else like.dtype)
        return pd.DataFrame(columns, index=range(len(newdata)))


def _warn_of_columns_far_from_zero(delta: DeltaMethod) -> None:
    """Warn of columns for which standard errors are small differences of large numbers.

    Finite differences have about eight digits. If the mean of a column is m times its spread, the
    variance of its coefficients is up to m² times that of probabilities.
    """
    ratio = np.abs(delta.standardised.center / delta.standardised.scale)
    far = [name for name, one in zip(delta.names, ratio, strict=True) if one > FAR_FROM_ZERO]
    if far:
        warn_user(
            f"the columns {far} have means above {FAR_FROM_ZERO} times their spread: finite "
            "differences of marginaleffects have few correct digits of standard errors there. "
            "Subtract the means, for instance by sklearn.preprocessing.StandardScaler."
        )


def _by_text(values: list[Any], what: str) -> dict[str, Any]:
    """Return a dict of the values by their text; raise ValueError if two have the same text."""
    found = {str(value): value for value in values}
    if len(found) < len(values):
        raise ValueError(f"{what} must differ as text, found {values}.")
    return found


def _has_text(column: pd.Series) -> bool:
    """Return whether a column has neither numbers nor times, so that polars gets categories."""
    from pandas.api import types

    return not (types.is_numeric_dtype(column) or types.is_datetime64_any_dtype(column))


def _is_plain(column: pd.Series) -> bool:
    """Return whether a column has no missing values, and values that differ as text."""
    return not column.isna().any() and column.nunique() == column.astype(str).nunique()


@cache
def _marginaleffects() -> tuple[Any, Any, Any]:
    """Return the class of models, marginaleffects' class for a model's arrays, and polars."""
    try:
        import polars
        from marginaleffects.classes import ModelAbstract, ModelVault
    except ImportError as error:
        raise ImportError(
            f"to_marginaleffects needs marginaleffects 0.6 or newer ({error}): "
            "pip install 'marginaleffects>=0.6'."
        ) from error

    class SkmaxentModel(ModelAbstract):
        """Results of `infer` with the methods of ModelAbstract that marginaleffects calls."""

        def __init__(self, results: InferenceResults, vault: Any, rows: _RowConverter) -> None:
            self._rows = rows
            super().__init__(results, vault)
            # The degrees of freedom of t quantiles; infinitely many are normal quantiles.
            self.df_resid = float(results.df_tests)
            reference = Reference.of(results.reference, np.array(results.classes, object))
            # Positions of the classes with a row of coefficients, all but the reference.
            self._logits = np.arange(len(results.classes))
            if reference.position is not None:
                self._logits = np.delete(self._logits, reference.position)
            for name in rows.numeric_levels:
                self.set_variable_type(name, "character")

        def find_variables(self) -> list[str] | None:
            return list(self._rows.used) or None

        def find_predictors(self) -> list[str] | None:
            return self.find_variables()

        def find_response(self) -> None:
            return None

        def get_vcov(self, vcov: Any = True) -> Array | None:
            if not isinstance(vcov, bool):
                raise ValueError(
                    f"vcov must be True, False or a matrix, found {vcov!r}: choose the covariance "
                    "by infer(cov_type=...)."
                )
            return self.vault.vcov if vcov else None

        def get_exog(self, newdata: Any) -> Array:
            return self._rows.design(newdata)

        def get_predict(self, params: Array, newdata: Any) -> Any:
            # Logits are those of the fit, plus their change, which is linear in the parameters.
            exog = newdata if isinstance(newdata, np.ndarray) else self.get_exog(newdata)
            results: InferenceResults = self.model
            change = np.reshape(np.ravel(params) - results.coef.ravel(), results.coef.shape)
            width = change.shape[1]
            logits = exog[:, width:].copy()
            logits[:, self._logits] += exog[:, :width] @ change.T
            P, n = softmax(logits, axis=1), len(exog)
            return polars.DataFrame(
                {
                    "rowid": np.tile(np.arange(n, dtype=np.int32), len(results.classes)),
                    "group": np.repeat([str(label) for label in results.classes], n),
                    "estimate": P.T.ravel(),
                }
            )

    return SkmaxentModel, ModelVault, polars
