"""Everything that this package uses of formulaic: parsing formulas, and evaluating them on frames.

Nothing else in the package imports formulaic, which is an optional dependency, and this module is
imported where a formula is used. Read it when a new version of formulaic breaks something.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from formulaic import Formula, ModelSpec, SimpleFormula
from formulaic.errors import FormulaicError
from formulaic.materializers import PandasMaterializer
from formulaic.parser.types import Factor, Term
from formulaic.transforms import TRANSFORMS, basis_spline, stateful_transform
from formulaic.transforms import C as formulaic_C
from interface_meta import override

from skmaxent._formula._factor_values import (
    check_shape,
    distinct,
    listed,
    parts_of,
    refuse_infinite,
    refuse_missing,
)
from skmaxent._formula._names import advice_on, called_functions, names_in, refuse_ambiguous
from skmaxent._warnings import MOST_LISTED

if TYPE_CHECKING:
    import pandas as pd


def categorical(
    data: Any, contrasts: Any = None, *, levels: Any = None, spans_intercept: bool = True
) -> Any:
    """Return formulaic's `C(data, ...)`, with integers as levels if all values are whole numbers.

    Raises ValueError if the data have a value that is not in `levels`; formulaic would make the
    value missing.
    """
    import pandas as pd

    # A Series, because formulaic mistakes the values of arrays of strings.
    data = pd.Series(getattr(data, "__wrapped__", data))
    present = distinct(data)
    if present and all(isinstance(value, float) and value.is_integer() for value in present):
        data = data.astype("Int64").astype(object)
    if levels is not None:
        levels = list(levels)
        other = [value for value in distinct(data) if value not in levels]
        if other:
            raise ValueError(f"levels={levels} lack the values {other[:MOST_LISTED]} of the data")
    return formulaic_C(data, contrasts, levels=levels, spans_intercept=spans_intercept)


@stateful_transform  # type: ignore[untyped-decorator, unused-ignore]
def extending_basis_spline(
    x: Any,
    df: int | None = None,
    knots: Any = None,
    degree: int = 3,
    include_intercept: bool = False,
    lower_bound: float | None = None,
    upper_bound: float | None = None,
    extrapolation: str = "extend",
    _state: dict[str, Any] | None = None,
) -> Any:
    """Return formulaic's B-splines, which extend beyond the range of the fit as those of R do.

    By default formulaic raises an error beyond the range, so that nearly every split for
    cross-validation would fail.
    """
    options = lower_bound, upper_bound, extrapolation
    return basis_spline(x, df, knots, degree, include_intercept, *options, _state=_state)


# Functions of formulas that formulaic lacks, or that differ here.
FORMULA_FUNCTIONS = {
    "C": categorical,
    "factor": categorical,
    "bs": extending_basis_spline,
    "sqrt": np.sqrt,
}


def parse(text: str, columns: Sequence[str]) -> SimpleFormula:
    """Return the terms of a formula without a response; a dot stands for all columns.

    Raises ValueError for formulas that are not valid, or have a response or an offset.
    """
    try:
        formula = Formula.from_spec(
            text,
            context={
                "__formulaic_variables_available__": list(columns),
                "__formulaic_variables_used_lhs__": [],
            },
        )
    except (FormulaicError, SyntaxError, TypeError, KeyError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]  # the next lines contain terminal colour codes
        raise ValueError(f"formula={text!r} is not a valid formula: {reason}") from error
    if not isinstance(formula, SimpleFormula):
        raise ValueError(
            f"formula={text!r} has a response or several parts; expected terms alone, such as "
            "'age + C(region)'. skmaxent.from_formula takes a formula with a response."
        )
    for factor in _factors(formula):
        if _is_code(factor) and "offset" in called_functions(factor.expr):
            raise ValueError(
                f"formula={text!r} has an offset, which is no column of coefficients. Pass the "
                "argument offset to skmaxent.from_formula or to the classifier's fit, and to "
                "predictions."
            )
    return formula


def has_intercept(formula: SimpleFormula) -> bool:
    """Return whether a formula has an intercept, that is, neither `- 1` nor `0 +`."""
    return any(term.degree == 0 for term in formula)


def variables_of(formula: SimpleFormula, columns: Sequence[str], context: Mapping[str, Any]) -> Any:
    """Return the columns that each term of a formula uses, in the order of the frame.

    Parameters
    ----------
    formula : SimpleFormula
    columns : sequence of str
        The columns of the frame.
    context : mapping
        Further names that the formula may use.

    Returns
    -------
    dict of str to list of str
        The columns by the name of the term.

    Raises
    ------
    ValueError
        If the formula uses names that are neither columns nor functions.
    """
    names = {factor.expr: _names(factor) for factor in _factors(formula)}
    every = set().union(*names.values())
    unknown = []
    for factor in _factors(formula):
        known = {*columns, *context}
        if _is_code(factor):
            known |= {*FORMULA_FUNCTIONS, *TRANSFORMS, *dir(builtins)}
            refuse_ambiguous(factor.expr, every & {*columns})
        unknown += sorted(names[factor.expr] - known)
    if unknown:
        raise ValueError(
            f"The formula uses {listed(unknown)}, which X has no column of; its columns are "
            f"{listed(columns)}.{advice_on(unknown, columns)}"
        )
    found = {}
    for term in _terms(formula):
        used = set().union(*(names[factor.expr] for factor in term.factors))
        found[str(term)] = [name for name in columns if name in used]
    return found


@dataclass(frozen=True)
class Design:
    """A formula with all that it has learned from the rows of a fit.

    Attributes
    ----------
    spec : ModelSpec
        formulaic's record: levels, knots, moments and the coding of each term.
    """

    spec: ModelSpec

    @classmethod
    def learned(
        cls,
        formula: SimpleFormula,
        data: pd.DataFrame,
        context: Mapping[str, Any],
        *,
        sparse: bool,
    ) -> tuple[Design, Any]:
        """Return the design of a formula for the rows of a fit, and its matrix for these rows.

        `data` has the columns that the formula uses, as `columns_for_formula` returns them. The
        matrix has a row for each row of `data` and no intercept; it is a CSR matrix if `sparse`.
        """
        spec = ModelSpec(formula, na_action="ignore", output="sparse" if sparse else "numpy")
        made = _evaluate(spec, data, context, None)
        design = cls(made.model_spec)
        return design, design._without_intercept(made)

    def matrix(self, data: pd.DataFrame, context: Mapping[str, Any]) -> Any:
        """Return the matrix of other rows, with the levels, knots and moments of the fit.

        Raises ValueError for missing values, levels that the fit has not seen, and columns of
        another kind than in the fit.
        """
        made = _evaluate(self.spec, data, context, self.spec)
        return self._without_intercept(made)

    @property
    def terms(self) -> dict[str, list[str]]:
        """The names of the columns of each term, without the intercept, in the formula's order."""
        return {
            str(part.term): [str(name) for name in part.columns]
            for part in self.spec.structure
            if part.term.degree
        }

    @property
    def factors(self) -> dict[str, list[str]]:
        """The factors of each term, whose product the term is, without the intercept."""
        return {
            str(part.term): [factor.expr for factor in part.term.factors]
            for part in self.spec.structure
            if part.term.degree
        }

    def _without_intercept(self, made: Any) -> Any:
        """Return a model matrix as a float64 array, or a CSR matrix, without the intercept."""
        kept = np.concatenate(
            [np.full(len(part.columns), part.term.degree > 0) for part in self.spec.structure]
            or [np.empty(0, bool)]
        )
        matrix = getattr(made, "__wrapped__", made)
        if sp.issparse(matrix):
            return sp.csr_matrix(matrix, dtype=np.float64)[:, np.flatnonzero(kept)]
        return np.asarray(matrix)[:, kept].astype(np.float64)


class _Evaluation(PandasMaterializer):  # type: ignore[misc, unused-ignore]
    """formulaic's evaluation of a formula on a frame, which checks the values of each factor."""

    # The `Design.spec` of the fit if other rows are evaluated; None in a fit.
    fitted: ModelSpec | None = None

    @override  # type: ignore[untyped-decorator, unused-ignore]
    def _build_model_matrix(self, spec: Any, drop_rows: Any) -> Any:
        # formulaic has evaluated all factors and not yet encoded them as columns.
        evaluated = {
            factor.expr: self.factor_cache[factor.expr]
            for factor in _factors(spec.formula)
            if factor.eval_method is not Factor.EvalMethod.LITERAL
        }
        for expression, one in evaluated.items():
            check_shape(expression, one.values, self.nrows)
        columns = {
            factor.expr: [name for name in self.data if name in _names(factor)]
            for factor in _factors(spec.formula)
        }
        values = {expression: one.values for expression, one in evaluated.items()}
        refuse_missing(values, columns, self.data)
        for expression, one in evaluated.items():
            self._check_kind(expression, one)
            self._check_levels(expression, one.values)
            refuse_infinite(expression, one.values)
        return super()._build_model_matrix(spec, drop_rows)

    def _check_kind(self, expression: str, evaluated: Any) -> None:
        """Raise ValueError for a factor with other values than numbers and categories.

        The error is also raised if the factor has numbers and had categories in the fit, or the
        reverse. `evaluated` is formulaic's record of the factor.
        """
        kind = evaluated.metadata.kind
        if kind is Factor.Kind.NUMERICAL:
            for part in parts_of(evaluated.values):
                if sp.issparse(part):
                    raise ValueError(
                        f"{expression} is a SciPy sparse matrix; expected an array or a column. "
                        "Call its method toarray()."
                    )
                # Older pandas makes an array of objects of a complete column of "boolean".
                if getattr(getattr(part, "dtype", None), "kind", "") == "b":
                    continue
                if np.asarray(part).dtype.kind not in "fiub":
                    raise ValueError(
                        f"{expression} is of the dtype {np.asarray(part).dtype}; expected numbers. "
                        "Write C(...) for categories, and convert times, for instance by "
                        "{date.dt.year}."
                    )
        known = None if self.fitted is None else self.fitted.encoder_state.get(expression)
        if known is not None and known[0] is not kind:
            raise ValueError(
                f"{expression} is {_KINDS[kind]}, and was {_KINDS[known[0]]} in the fit; expected "
                "the same kind of values."
            )

    def _check_levels(self, expression: str, values: Any) -> None:
        """Raise ValueError for levels of a factor that the fit has not seen."""
        known = None if self.fitted is None else self.fitted.encoder_state.get(expression)
        if known is None or "categories" not in known[1]:
            return
        levels = list(known[1]["categories"])
        found = [level for part in parts_of(values) for level in distinct(part)]
        unseen = [level for level in found if level not in set(levels)]
        if unseen:
            raise ValueError(
                f"{expression} has the levels {listed(unseen)}, which the fit has not seen; it "
                f"knows {listed(levels)}. Drop or recode these rows, or declare all levels before "
                "the fit, by a pandas.CategoricalDtype or by C(..., levels=[...])."
            )


_KINDS = {
    Factor.Kind.NUMERICAL: "numbers",
    Factor.Kind.CATEGORICAL: "categories",
    Factor.Kind.CONSTANT: "a constant",
}


def _evaluate(
    spec: ModelSpec,
    data: pd.DataFrame,
    context: Mapping[str, Any],
    fitted: ModelSpec | None,
) -> Any:
    """Return formulaic's model matrix of a frame.

    `fitted` is the `Design.spec` of the fit, or None in a fit.
    """
    evaluation = _Evaluation(data, context={**FORMULA_FUNCTIONS, **context})
    evaluation.fitted = fitted
    with _explained(data):
        return evaluation.get_model_matrix(spec)


@contextmanager
def _explained(data: pd.DataFrame) -> Iterator[None]:
    """Replace errors of formulaic by ValueErrors, which name columns with missing values."""
    try:
        yield
    except FormulaicError as error:
        missing = [name for name in data if data[name].isna().any()]
        more = f" The columns {listed(missing)} have missing values." if missing else ""
        if isinstance(error.__cause__, NameError):
            more = " Functions that formulaic lacks are passed by context={'name': function}."
        elif isinstance(error.__cause__, TypeError) and "^" in str(error):
            more = " Write ** for a power: ^ is Python's exclusive or within code such as I(x^2)."
        raise ValueError(f"{error}{more}") from error


def _terms(formula: SimpleFormula) -> list[Term]:
    """Return the terms of a formula without the intercept."""
    return [term for term in formula if term.degree]


def _factors(formula: SimpleFormula) -> list[Factor]:
    """Return the factors of all terms, each once, in the order of the formula."""
    return list(dict.fromkeys(factor for term in formula for factor in term.factors))


def _is_code(factor: Factor) -> bool:
    """Return whether a factor is Python code rather than the name of a column or a number."""
    return bool(factor.eval_method is Factor.EvalMethod.PYTHON)


def _names(factor: Factor) -> set[str]:
    """Return the names in a factor that may be columns."""
    if _is_code(factor):
        return names_in(factor.expr, TRANSFORMS)
    return {factor.expr} if factor.eval_method is Factor.EvalMethod.LOOKUP else set()
