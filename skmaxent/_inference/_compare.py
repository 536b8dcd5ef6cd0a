"""compare: the results of several models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skmaxent._inference._publishable import Publishable
from skmaxent._inference._published import difference_of_data, published_table
from skmaxent._inference._results import InferenceResults
from skmaxent._inference._table_formats import PublishedTable
from skmaxent._public import public
from skmaxent._warnings import warn_user


@public
@dataclass(frozen=True)
class ModelComparison(Publishable):
    """Results of several models side by side, as `compare` makes them.

    Printing shows coefficients with standard errors in parentheses, and the figures of the models.

    Attributes
    ----------
    models : tuple of InferenceResults
    names : tuple of str
        Names of the models.
    note : str or None
        A sentence that says by which figures the models are of different data; None if they may be
        of the same data.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier, compare
    >>> X, y = load_iris(return_X_y=True)
    >>> fits = X[:, [0]], X[:, [1]]
    >>> results = [MaxentClassifier(C=np.inf).fit(Z, y).infer(Z, y) for Z in fits]
    >>> compare(*results, names=["length", "width"]).names
    ('length', 'width')
    """

    models: tuple[InferenceResults, ...]
    names: tuple[str, ...]
    note: str | None

    def __str__(self) -> str:
        return self._published(False, None, False, 3).to_text()

    def _repr_html_(self) -> str:
        return self._published(False, None, False, 3).to_html()

    def _published(
        self, exponentiate: bool, conf_level: float | None, stars: bool, decimals: int
    ) -> PublishedTable:
        """Return the table that all formats show; the parameters are those of `to_markdown`."""
        return published_table(
            self.models,
            self.names,
            exponentiate=exponentiate,
            conf_level=conf_level,
            stars=stars,
            decimals=decimals,
            notes=[] if self.note is None else [self.note],
        )


def compare(*results: InferenceResults, names: Sequence[str] | None = None) -> ModelComparison:
    """Put the results of several models side by side.

    Rows are features, matched by name; columns are the outcomes of each model. Below them are the
    number of observations, the log-likelihood, AIC and BIC where they exist, and pseudo R².

    Parameters
    ----------
    *results : InferenceResults
        Two or more results of `infer`.
    names : list of str, default=None
        Names of the models; None stands for "Model 1", "Model 2", ...

    Returns
    -------
    ModelComparison

    Raises
    ------
    TypeError
        If an argument is not a result of `infer`.
    ValueError
        If there are fewer than two results, or not as many names as results.

    Warns
    -----
    UserWarning
        If the numbers of observations, the classes, the meanings of the weights or the null
        log-likelihoods differ: the likelihoods are then of different data. The printed table has
        the same sentence.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier, compare
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> X, kind = X.iloc[:, :2].set_axis(["length", "width"], axis=1), y == 2
    >>> fits = [MaxentClassifier(C=np.inf).fit(X[names], kind).infer(X[names], kind)
    ...         for names in (["width"], ["width", "length"])]
    >>> print(compare(*fits, names=["Small", "Large"]).to_markdown().splitlines()[0])
    |  | Small (reference: False) | Large (reference: False) |
    """
    wrong = [type(one).__name__ for one in results if not isinstance(one, InferenceResults)]
    if wrong:
        raise TypeError(f"compare expects results of infer, found an object of type {wrong[0]}.")
    if len(results) < 2:
        raise ValueError(f"compare expects two or more results, found {len(results)}.")
    if isinstance(names, str) or (names is not None and len(names) != len(results)):
        raise ValueError(
            f"names must be a list with a name for each of the {len(results)} results, "
            f"found {names!r}."
        )
    labels = [f"Model {i + 1}" for i in range(len(results))] if names is None else names
    shown = tuple(map(str, labels))
    note = difference_of_data(results, shown)
    if note is not None:
        warn_user(note)
    return ModelComparison(tuple(results), shown, note)
