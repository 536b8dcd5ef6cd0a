"""Terms of a model: the columns that stand for one variable, or for an interaction of several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from skmaxent._input._arguments import as_list


@runtime_checkable
class KnowsTerms(Protocol):
    """A fitted transformer that knows the terms of its columns, such as `FormulaTransformer`.

    Attributes
    ----------
    terms_ : dict of str to list of str
        The names of the columns of each term.
    term_factors_ : dict of str to list of str
        The factors of each term, see `Term`.
    """

    terms_: dict[str, list[str]]
    term_factors_: dict[str, list[str]]


@dataclass(frozen=True)
class Term:
    """Columns of a model that are tested together.

    Attributes
    ----------
    name : str
    columns : tuple of str
        Names of the columns, in the order of the model.
    factors : frozenset of str
        The factors whose product the term is, such as {"a", "b"} for the interaction a:b. A term is
        marginal to another term if the factors of the other term include all of its own factors.
    """

    name: str
    columns: tuple[str, ...]
    factors: frozenset[str]


@dataclass(frozen=True)
class Terms:
    """All terms of a model, in the order of their first columns."""

    terms: tuple[Term, ...]

    @classmethod
    def of_groups(
        cls,
        names: list[str],
        groups: Mapping[str, Iterable[str]],
        factors: Mapping[str, Iterable[str]] | None = None,
    ) -> Terms:
        """Return the given terms; each column outside of them is a term of its own.

        Parameters
        ----------
        names : list of str
            The columns of the model.
        groups : mapping of str to list of str
            Names of terms, and the columns of each.
        factors : mapping of str to list of str, default=None
            The factors of each term. None takes the parts of the term's name between colons.

        Raises
        ------
        TypeError
            If `groups` is not a mapping.
        ValueError
            For columns that the model does not have, and for a column in two terms.
        """
        if not isinstance(groups, Mapping):
            raise TypeError(
                f"terms must be a dict from names of terms to their columns, found {groups!r}."
            )
        term_of: dict[str, str] = {}
        for term, columns in groups.items():
            columns = as_list(columns)
            unknown = [column for column in columns if column not in names]
            if unknown or not columns:
                raise ValueError(
                    f"terms[{term!r}] has {unknown or columns}; expected names of columns of the "
                    f"model, {names}."
                )
            for column in columns:
                if term_of.setdefault(column, term) != term:
                    raise ValueError(
                        f"the column {column!r} is in two terms, {term_of[column]!r} and {term!r}."
                    )
        factors = factors or {term: term.split(":") for term in groups}
        pairs = [(term_of.get(name, name), name) for name in names]
        return cls(_grouped(pairs, {term: frozenset(parts) for term, parts in factors.items()}))

    @classmethod
    def of_formula(
        cls,
        names: list[str],
        aliased: tuple[str, ...],
        groups: Mapping[str, list[str]],
        factors: Mapping[str, list[str]] | None,
    ) -> Terms:
        """Return the terms of a formula for a model that may lack some of the formula's columns.

        Parameters
        ----------
        names : list of str
            The columns of the model.
        aliased : tuple of str
            Columns that the model lacks because they are combinations of others. Terms with such
            columns keep their other columns. A term that lacks any other column is left out.
        groups : mapping of str to list of str
            The terms of the formula and their columns.
        factors : mapping of str to list of str or None
            As in `of_groups`.
        """
        known = {*names, *aliased}
        whole = {term: columns for term, columns in groups.items() if known.issuperset(columns)}
        return cls.of_groups(names, without_columns(whole, aliased), factors)

    @classmethod
    def of_variables(cls, names: list[str], used: list[tuple[str, ...]]) -> Terms:
        """Return a term for each set of variables that some columns are computed from.

        Parameters
        ----------
        names : list of str
            The columns of the model.
        used : list of tuple of str
            For each column the variables that change it. A column that no variable changes is a
            term of its own.
        """
        pairs = [
            (":".join(variables) if variables else name, name)
            for name, variables in zip(names, used, strict=True)
        ]
        factors = {":".join(variables): frozenset(variables) for variables in used if variables}
        return cls(_grouped(pairs, factors))

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def __getitem__(self, name: str) -> Term:
        for term in self.terms:
            if term.name == name:
                return term
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(term.name == name for term in self.terms)

    @property
    def names(self) -> list[str]:
        """Names of the terms."""
        return [term.name for term in self.terms]

    def higher(self, term: Term) -> list[Term]:
        """Return the terms that contain `term`: products of its factors with other factors."""
        return [other for other in self.terms if term.factors < other.factors]


def without_columns(
    groups: Mapping[str, list[str]], aliased: tuple[str, ...]
) -> dict[str, list[str]]:
    """Return the columns of each term without the aliased ones.

    A term is left out if all its columns are aliased. A term without any columns is kept, so that
    `Terms.of_groups` can raise an error for it.
    """
    found = {}
    for term, columns in groups.items():
        listed = as_list(columns)
        kept = [column for column in listed if column not in aliased]
        if kept or not listed:
            found[term] = kept
    return found


def _grouped(
    pairs: list[tuple[str, str]], factors: Mapping[str, frozenset[str]]
) -> tuple[Term, ...]:
    """Return the terms, from pairs of the name of a term and the name of one of its columns.

    A term that `factors` does not name has itself as its only factor.
    """
    columns: dict[str, list[str]] = {}
    for term, column in pairs:
        columns.setdefault(term, []).append(column)
    return tuple(
        Term(term, tuple(names), factors.get(term, frozenset([term])))
        for term, names in columns.items()
    )
