"""Tables of average marginal effects of features, and of intervals of probabilities.

`K` is the number of classes and `d` the number of features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from skmaxent._effects._delta_method import DeltaMethod
from skmaxent._effects._estimates import check_level, normal_interval
from skmaxent._effects._rows import means_of_sums, relative_to_largest, sums_of_rows
from skmaxent._inference._fit_rows import HeldRows
from skmaxent._inference._row_sums import Signature
from skmaxent._inference._tables import index_of, z_tests
from skmaxent._input import _frames, _validation
from skmaxent._input._arguments import as_list
from skmaxent._input._interchange import in_library_of, native
from skmaxent._model._over_chunks import frame_over_chunks, sums_over_chunks
from skmaxent._storage._cluster import forgetting_on_failure, is_dask
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

_NEEDS_WEIGHTS = (
    "the rows of the fit have weights, and with Dask collections it is not known whether X has "
    "these rows: expected sample_weight, which may be 1 for equal weights."
)


@dataclass(frozen=True)
class RowWeights:
    """The weights that rows of the user get in averages.

    If the user gives no weights, the rows of the fit have the weights of the fit, and all other
    rows have equal weights.

    Attributes
    ----------
    signature : Signature or None
        Recognises the rows of the fit; None if these have equal weights.
    fit : HeldRows
        The rows of the fit, with their weights.
    """

    signature: Signature | None
    fit: HeldRows

    def of(self, rows: Any, sample_weight: ArrayLike | None) -> Array | None:
        """Return the weights of rows, divided by the largest weight; None if they are equal.

        `rows` (n_samples, d) are in memory. `sample_weight` is what the user gave, or None. The
        result has the shape (n_samples,).
        """
        if sample_weight is not None:
            return relative_to_largest(
                _validation.check_sample_weight(sample_weight, rows.shape[0])
            )
        if self.signature is None or not self.signature.matches(rows):
            return None
        if not self.signature.is_known:
            raise ValueError(_NEEDS_WEIGHTS)
        fit = self.fit.get("weights of the effects, unless sample_weight is given,")
        return relative_to_largest(fit.observations)

    def check_for_chunks(self, sample_weight: ArrayLike | None) -> None:
        """Raise ValueError if Dask collections come without the weights that they may need.

        Without `sample_weight` they might be the rows of a weighted fit, which only reading all
        chunks would show.
        """
        if sample_weight is None and self.signature is not None:
            raise ValueError(_NEEDS_WEIGHTS)


def average_effects(
    delta: DeltaMethod,
    weights: RowWeights,
    X: Any,
    at: Any,
    offset: ArrayLike | None,
    discrete: str | list[str] | tuple[str, ...],
    sample_weight: ArrayLike | None,
) -> tuple[Array, Array, float | Array]:
    """Return average effects on the probabilities, their standard errors and degrees of freedom.

    Parameters
    ----------
    delta : DeltaMethod
        The model with the covariance of its coefficients.
    weights : RowWeights
        The weights of the rows where `sample_weight` is None.
    X, at, offset, discrete, sample_weight
        The arguments of `InferenceResults.marginal_effects`.

    Returns
    -------
    effects, errors : ndarray of shape (K, d)
    df : float or ndarray of shape (K, d)
    """
    if isinstance(at, str) and at not in ("overall", "mean"):
        raise ValueError(f"at must be 'overall', 'mean' or a DataFrame, found {at!r}.")
    if not delta.names:
        raise ValueError("marginal effects are of features, and the model has intercepts alone.")
    at_mean = isinstance(at, str) and at == "mean"
    X = X if isinstance(at, str) else at
    discrete = as_list(discrete)
    unknown = [name for name in discrete if name not in delta.names]
    if unknown:
        raise ValueError(
            f"discrete has {unknown}, no features of the model; expected {delta.names}."
        )
    if is_dask(X):
        weights.check_for_chunks(sample_weight)
        with forgetting_on_failure():
            effects, J, total = _sums_over_chunks(
                delta, X, offset, sample_weight, discrete, at_mean=at_mean
            )
    else:
        rows, offset = delta.read(X, offset)
        w = weights.of(rows, sample_weight)
        if at_mean:
            *sums, total = sums_of_rows(rows, offset, w)
            rows, offset = means_of_sums(sums, total, offset is not None)
            w = None  # the one row that is left is a weighted mean already
        effects, J, total = delta.effect_sums(rows, offset, w, discrete)
    if not total > 0.0:
        raise ValueError("sample_weight must have a positive weight, found none.")
    return effects / total, *delta.errors(J / total)


def _sums_over_chunks(
    delta: DeltaMethod,
    X: Any,
    offset: ArrayLike | None,
    sample_weight: ArrayLike | None,
    discrete: list[str],
    *,
    at_mean: bool,
) -> tuple[Array, Array, Array]:
    """Return sums over the rows of a Dask collection, as `DeltaMethod.effect_sums` does in memory.

    The sums are those of the effects (K, d), of their derivatives by the coefficients and of the
    weights. With `at_mean` the sums have one term, the effects at the mean row.
    """
    arguments, columns = {"offset": offset, "sample_weight": sample_weight}, delta.model.columns
    if at_mean:
        *sums, total = sums_over_chunks(delta.chunk_means, columns, X, arguments)
        mean, mean_offset = means_of_sums(sums, total, offset is not None)
        return delta.effect_sums(mean, mean_offset, None, discrete)
    function = partial(delta.chunk_effects, discrete)
    effects, J, total = sums_over_chunks(function, columns, X, arguments)
    return effects, J, total


def effects_table(
    effects: Array,
    errors: Array,
    df: float | Array,
    delta: DeltaMethod,
    conf_level: float,
    *,
    has_tests: bool,
) -> pd.DataFrame:
    """Return a table with the effect of each feature on the probability of each class.

    Parameters
    ----------
    effects, errors : ndarray of shape (K, d)
        Effects and their standard errors.
    df : float or ndarray of shape (K, d)
        Degrees of freedom, infinite for normal intervals and tests.
    delta : DeltaMethod
        The model, with the names of classes and features.
    conf_level : float
        Confidence level of the intervals.
    has_tests : bool
        Whether the table has z or t statistics and p-values.
    """
    import pandas as pd

    effect, error = effects.ravel(), errors.ravel()
    df = df if isinstance(df, float) else df.ravel()
    table = {"effect": effect, "std_err": error}
    if has_tests:
        table |= z_tests(effect, error, delta.distribution.statistic, df)
    lower, upper = normal_interval(effect, error, conf_level, df)
    table |= {"lower": lower, "upper": upper}
    return pd.DataFrame(table, index=index_of(delta.model.classes.tolist(), delta.names))


def probability_intervals(
    delta: DeltaMethod, X: Any, conf_level: float, offset: ArrayLike | None
) -> Any:
    """Return probabilities with their intervals, a row for each row of X.

    The arguments and the result are those of `InferenceResults.predict_proba_interval`; `delta` has
    the model and the covariance of its coefficients.
    """
    import pandas as pd

    check_level(conf_level)
    classes = delta.model.classes.tolist()
    columns = pd.MultiIndex.from_product([classes, ["probability", "lower", "upper"]])
    function = partial(delta.intervals, conf_level)
    if is_dask(X):
        names = ["_".join(map(str, column)) for column in columns]
        return frame_over_chunks(
            function, delta.model.columns, names, X, offset, "predict_proba_interval"
        )
    values = function(X, offset)
    index = _frames.row_index(native(X, "X"))
    return in_library_of(X, pd.DataFrame(values, index=index, columns=columns))
