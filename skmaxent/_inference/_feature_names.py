"""Positions of the coefficients that users name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skmaxent._inference._terms import Terms
from skmaxent._typing import Array


@dataclass(frozen=True)
class FeatureNames:
    """The names of the coefficients of a class, in their order.

    Attributes
    ----------
    columns : list of str
        Names of the features, then "Intercept" where the results have intercepts.
    has_intercept : bool
        Whether the last column is that of the intercepts.
    chosen : ndarray of shape (n_columns,) or None
        Positions of the columns among all columns of the model; None where they are all.
    groups : Terms or None
        Terms of several columns, which have names too.
    """

    columns: list[str]
    has_intercept: bool
    chosen: Array | None
    groups: Terms | None = None

    @property
    def features(self) -> list[str]:
        """The names without that of the intercept."""
        return self.columns[: len(self.columns) - self.has_intercept]

    def terms(self, features: Any, with_intercept: bool = True) -> list[tuple[str, list[int]]]:
        """Return the sets of columns to test, as pairs of a label and positions.

        Parameters
        ----------
        features : str, list of str, or list of lists of str
            A test for each name, of a column or of a term with all its columns, or inner list.
            None is each column by itself.
        with_intercept : bool, default=True
            Whether the intercept may be tested.

        Raises
        ------
        ValueError
            For names that no feature or several features have, and for empty terms.
        """
        if features is None:
            names = self.columns if with_intercept else self.features
            return [(name, [j]) for j, name in enumerate(names)]
        features = [features] if isinstance(features, str) else list(features)
        unnamed = [term for term in features if not isinstance(term, (str, list, tuple))]
        if unnamed:
            raise ValueError(
                f"features must be names, or lists of names of features that are tested together: "
                f"found {unnamed}; expected names among {self.columns}."
            )
        terms = [[term] if isinstance(term, str) else list(term) for term in features]
        if not terms or not all(terms):
            raise ValueError(f"features must name features of the model, found {features}.")
        found = []
        for term in terms:
            positions = list(dict.fromkeys(j for name in term for j in self.positions(name)))
            if not with_intercept and self.has_intercept and len(self.columns) - 1 in positions:
                raise ValueError(
                    "['Intercept'] are no features of the model, so no test leaves them out."
                )
            found.append((" + ".join(map(str, term)), positions))
        return found

    def positions(self, name: str) -> list[int]:
        """The positions of the columns of a term, or of the only column with this name.

        Raises ValueError for other names, and for a name that stands for a column and for other
        columns too.
        """
        if self.groups is None or name not in self.groups:
            return [self.position(name)]
        columns = self.groups[name].columns
        if name in self.columns and columns != (name,):
            raise ValueError(
                f"{name!r} is the name of a column and of a term with the columns "
                f"{list(columns)}: give the term another name by terms= of skmaxent.infer."
            )
        return [self.position(column) for column in columns]

    def position(self, name: str) -> int:
        """The position of the only column with this name; raises ValueError for others."""
        count = self.columns.count(name)
        if not count:
            terms = [] if self.groups is None else [*self.groups.names]
            terms = [term for term in terms if term not in self.columns]
            others = f" or of the terms {terms}" if terms else ""
            raise ValueError(
                f"{name!r} is no feature of the model; expected one of {self.columns}{others}."
            )
        if count > 1:
            raise ValueError(
                f"{count} columns are called {name!r}: rename the features, or leave features "
                "out, which gives all columns in their order."
            )
        return self.columns.index(name)

    def in_model(self, positions: Sequence[int]) -> list[int]:
        """The same positions among all columns of the model."""
        return [int(j if self.chosen is None else self.chosen[j]) for j in positions]
