"""Settings: the parameters of a classifier that define its objective, and rows read for them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skmaxent._input import _dask_input, _targets, _validation
from skmaxent._input._penalty_terms import Columns, terms_of
from skmaxent._model._fit import Prepared
from skmaxent._objective._terms import PenaltyTerms
from skmaxent._storage._cluster import is_dask, refuse_dask
from skmaxent._typing import Array


@dataclass(frozen=True)
class Settings:
    """What defines the objective of a `MaxentClassifier`, as it is at some time.

    Attributes are its parameters, with C and `l1_ratio` as `penalty` changes them. A `C` of None
    stands for penalties of several strengths, in units of one.
    """

    C: float | None
    l1_ratio: float
    grouped: bool
    penalty_factor: Any
    prior_coef: Any
    bounds: Any
    bias_reduction: str | None
    fit_intercept: bool
    class_weight: Any
    label_smoothing: float
    partial_labels: bool
    n_jobs: int | None

    @classmethod
    def of(cls, estimator: Any) -> Settings:
        """The present settings of a classifier; warns of parameters that contradict each other."""
        C, l1_ratio = _validation.resolve_penalty(
            estimator.penalty, estimator.C, estimator.l1_ratio
        )
        return cls(
            C,
            l1_ratio,
            estimator.grouped,
            estimator.penalty_factor,
            estimator.prior_coef,
            estimator.bounds,
            estimator.bias_reduction,
            estimator.fit_intercept,
            estimator.class_weight,
            estimator.label_smoothing,
            estimator.partial_labels,
            estimator.n_jobs,
        )

    def for_path(self) -> Settings:
        """The same for penalties of several strengths."""
        return replace(self, C=None)

    @property
    def is_penalised(self) -> bool:
        """Whether C is finite, or to be varied."""
        return self.C is None or bool(np.isfinite(self.C))

    def read(
        self,
        reader: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        offset: Any = None,
        classes: Array | None = None,
    ) -> _targets.Given:
        """Rows as users write them, checked, with their targets, weights and offsets.

        Parameters
        ----------
        reader : estimator or FittedColumns
            An estimator in its `fit`, which learns the columns of X, or the columns of a fit.
        X, y, sample_weight, offset
            As in `MaxentClassifier.fit`.
        classes : ndarray of shape (n_classes,), default=None
            All labels, some of which may be absent from y; None is those in y.
        """
        if any(map(is_dask, (X, y, sample_weight, offset))):
            if self.partial_labels:
                refuse_dask("partial_labels=True", X, y)
            labelled = _dask_input.read(reader, X, y, sample_weight, offset, classes=classes)
            class_weight = _validation.check_class_weight(
                self.class_weight, labelled.classes, labelled.totals
            )
            return labelled.given(class_weight, self.label_smoothing)
        X, y = _targets.check_rows(reader, X, y, partial_labels=self.partial_labels)
        observed = _targets.observe(y, classes, partial_labels=self.partial_labels)
        classes = observed.classes
        sample_weight = _validation.check_sample_weight(sample_weight, X.shape[0])
        class_weight = None
        if self.class_weight is not None:
            class_weight = _validation.check_class_weight(
                self.class_weight, classes, observed.totals(sample_weight)
            )
        rows = _targets.row_targets(observed, sample_weight, class_weight, self.label_smoothing)
        logits = _validation.check_offset(offset, X.shape[0], classes, X.dtype)
        return _targets.given_in_memory(X, classes, rows, logits)

    def terms(self, given: _targets.Given, names: Array | None) -> PenaltyTerms:
        """The penalty, of strength one, and the bounds, for columns of these names."""
        return terms_of(
            l1_ratio=self.l1_ratio,
            is_penalised=self.is_penalised,
            grouped=self.grouped,
            penalty_factor=self.penalty_factor,
            prior_coef=self.prior_coef,
            bounds=self.bounds,
            columns=Columns(names, given.n_features, given.classes),
        )

    def prepared(
        self, given: _targets.Given, names: Array | None, *, as_given: bool = False
    ) -> AbstractContextManager[Prepared]:
        """The problem that rows pose with these settings, while there are threads.

        Parameters
        ----------
        given : Given
        names : ndarray of shape (n_features,) or None
            Names of the columns.
        as_given : bool, default=False
            Whether the problem has all columns, none of them shifted.
        """
        return Prepared.within_threads(
            given,
            self.terms(given, names),
            self.n_jobs,
            C=self.C,
            fit_intercept=self.fit_intercept,
            as_given=as_given,
        )
