"""FeatureNames: from the names of features and terms to positions of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skmaxent._inference._terms import Terms
from skmaxent._input._arguments import as_list
from skmaxent._typing import Array


@dataclass(frozen=True)
class FeatureNames:
    """The names of the columns of coefficients in results, in their order.

    Attributes
    ----------
    columns : list of str
        Names of the features, then "Intercept" if the results have intercepts.
    has_intercept : bool
        Whether the last column is that of the intercepts.
    chosen : ndarray of int of shape (n_columns,) or None
        Positions of the columns among all columns of the model; None if the results have all.
    groups : Terms or None
        Named terms, which may have several columns.
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
        """Return the tests that a user asks for, each a label and the positions of its columns.

        Parameters
        ----------
        features : str, list of str, list of lists of str, or None
            A name of a column or of a term stands for one test, and an inner list for a joint test
            of its names. None stands for a test of each column.
        with_intercept : bool, default=True
            Whether the intercept may be tested.

        Raises
        ------
        ValueError
            For names that no column or several columns have, and for empty lists.
        """
        if features is None:
            names = self.columns if with_intercept else self.features
            return [(name, [j]) for j, name in enumerate(names)]
        features = as_list(features)
        unnamed = [term for term in features if not isinstance(term, (str, list, tuple))]
        if unnamed:
            raise ValueError(
                f"features must be names, or lists of names of features that are tested together: "
                f"found {unnamed}; expected names among {self.columns}."
            )
        terms = [as_list(term) for term in features]
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
        """Return the positions of the columns of a term, or the position of one column.

        `name` is that of the term or the column. ValueError is raised if it is unknown, that of
        several columns, or both that of a column and that of a term with other columns.
        """
        if self.groups is None or name not in self.groups:
            return [self.position(name)]
        columns = self.groups[name].columns
        if name in self.columns and columns != (name,):
            raise ValueError(
                f"{name!r} is the name of a column and of a term with the columns "
                f"{list(columns)}: give the term another name by terms= of skmaxent.infer."
            )
        return [self.of_feature(column) for column in columns]

    def of_feature(self, name: str) -> int:
        """Return the position of a feature, which may have the name "Intercept".

        ValueError is raised unless one feature has this name.
        """
        return self.position(name, self.features)

    def position(self, name: str, among: list[str] | None = None) -> int:
        """Return the position of a column; raise ValueError unless one column has this name.

        `among` are the names of the first columns, if the column is one of them; by default, the
        names of all.
        """
        known = self.columns if among is None else among
        count = known.count(name)
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
        return known.index(name)

    def in_model(self, positions: Sequence[int]) -> list[int]:
        """Return, for positions in `columns`, those among all columns of the model."""
        return [int(j if self.chosen is None else self.chosen[j]) for j in positions]
