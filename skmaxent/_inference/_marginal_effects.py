"""Marginal effects and intervals of probabilities, as tables."""

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
from skmaxent._input._interchange import in_library_of, native
from skmaxent._model._over_chunks import frame_over_chunks, sums_over_chunks
from skmaxent._storage._cluster import forgetting_on_failure, is_dask
from skmaxent._typing import Array

if TYPE_CHECKING:
    import pandas as pd

_UNKNOWN_ROWS = (
    "the fit weighed its rows, and whether X has the same rows is not known of Dask collections: "
    "expected sample_weight, which may be 1 for equal weights."
)


@dataclass(frozen=True)
class RowWeights:
    """Weights of rows in a mean, where the rows of the fit keep the weights that they had there.

    Attributes
    ----------
    signature : Signature or None
        It recognises the rows of the fit; None where these have equal weights.
    fit : HeldRows
        The rows of the fit, with their weights.
    """

    signature: Signature | None
    fit: HeldRows

    def of(self, rows: Any, sample_weight: ArrayLike | None) -> Array | None:
        """Return the weights of rows in memory, divided by the largest, or None if equal."""
        if sample_weight is not None:
            return relative_to_largest(
                _validation.check_sample_weight(sample_weight, rows.shape[0])
            )
        if self.signature is None or not self.signature.matches(rows):
            return None
        if not self.signature.is_known:
            raise ValueError(_UNKNOWN_ROWS)
        fit = self.fit.get("weights of the effects, unless sample_weight is given,")
        return relative_to_largest(fit.observations)

    def check_given(self, sample_weight: ArrayLike | None) -> None:
        """Raise ValueError where Dask collections without weights may be the rows of the fit."""
        if sample_weight is None and self.signature is not None:
            raise ValueError(_UNKNOWN_ROWS)


def average_effects(
    delta: DeltaMethod,
    weights: RowWeights,
    X: Any,
    at: Any,
    offset: ArrayLike | None,
    discrete: str | list[str] | tuple[str, ...],
    sample_weight: ArrayLike | None,
) -> tuple[Array, Array, float | Array]:
    """Return average effects on the probabilities, their errors and degrees of freedom.

    The arguments from X on are those of `InferenceResults.marginal_effects`. The results have the
    shape (n_classes, n_features); degrees of freedom may be one number.
    """
    if isinstance(at, str) and at not in ("overall", "mean"):
        raise ValueError(f"at must be 'overall', 'mean' or a DataFrame, found {at!r}.")
    if not delta.names:
        raise ValueError("marginal effects are of features, and the model has intercepts alone.")
    at_mean = isinstance(at, str) and at == "mean"
    X = X if isinstance(at, str) else at
    discrete = [discrete] if isinstance(discrete, str) else list(discrete)
    unknown = [name for name in discrete if name not in delta.names]
    if unknown:
        raise ValueError(
            f"discrete has {unknown}, no features of the model; expected {delta.names}."
        )
    if is_dask(X):
        # Whether chunks hold the rows of the fit could only be seen by reading them all.
        weights.check_given(sample_weight)
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
            # The mean is one row, and its weights are in it already.
            w = None
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
    """Return the sums of `DeltaMethod.effect_sums` over the rows of a Dask collection."""
    arguments, columns = {"offset": offset, "sample_weight": sample_weight}, delta.model.columns
    if at_mean:
        *sums, total = sums_over_chunks(delta.chunk_means, columns, X, arguments)
        # A first pass gives the means, and the effects at them need no rows.
        rows, known = means_of_sums(sums, total, offset is not None)
        return delta.effect_sums(rows, known, None, discrete)
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
    """Return effects, errors and intervals by class and feature, with tests if `has_tests`."""
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
    """The frame of `InferenceResults.predict_proba_interval`."""
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
