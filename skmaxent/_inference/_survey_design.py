"""SurveyDesign: how the rows were sampled, as users describe it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmaxent._inference._replicate_weights import REPLICATE_TYPES, replicates_of
from skmaxent._inference._survey_units import LONELY, Replicates, Units
from skmaxent._input._arguments import check_choice, check_flag
from skmaxent._input._numbers import as_floats, is_integer, is_number
from skmaxent._input._validation import check_codes, check_sample_weight
from skmaxent._public import public
from skmaxent._storage._place import to_host
from skmaxent._typing import Array, RandomState


@public
@dataclass(frozen=True, eq=False)
class SurveyDesign:
    """A sampling design, for the variance of estimates from a survey.

    All arrays have an entry for each row of the sample. Only the first stage of sampling counts:
    the primary sampling units within strata [1]_. ``infer(model, X, y, design=design)`` linearises
    the estimator (Taylor series, [2]_), or fits it again for each column of replicate weights.

    Parameters
    ----------
    strata : array-like of shape (n_samples,), default=None
        The stratum of each row; None is one stratum.
    psu : array-like of shape (n_samples,), default=None
        The primary sampling unit (cluster) of each row; None makes each row a unit.
    fpc : array-like of shape (n_samples,), default=None
        For the finite population correction, of sampling without replacement: the number of units
        in the stratum of each row in the population, or, where all are at most 1, the sampled share
        of these. None stands for infinitely many. It is for designs
        without `replicate_weights`.
    weights : array-like of shape (n_samples,), default=None
        The sampling weights of the fit; None stands for the `sample_weight` that `infer` gets.
    nest : bool, default=False
        Whether units of different strata with the same label are different units.
    lonely_psu : {"fail", "remove", "adjust", "average"}, default="fail"
        What a stratum of a single unit contributes to the variance, as the option
        ``survey.lonely.psu`` of R's survey. "fail" raises an error; "remove" contributes nothing,
        as "certainty" in R; "adjust" contributes the unit's deviation from the mean of all units;
        "average" contributes the mean of the other strata, of those with rows of the subpopulation.
    replicate_weights : array-like of shape (n_samples, n_replicates), default=None
        Weights of replicates. The variance is then that between fits with these weights, and not
        that between units.
    combined_weights : bool, default=True
        Whether replicate weights contain the sampling weights. If False, they are factors of the
        sampling weights.
    scale : float, default=1.0
        Factor of the sum of squares over replicates.
    rscales : array-like of shape (n_replicates,), default=None
        Factors of the square of each replicate; None stands for ones.
    mse : bool, default=False
        Whether the squares are those of differences from the estimate. If False, they are those of
        differences from the mean of the replicates.
    df : float, default=None
        Degrees of freedom of t and F tests. None is the number of units minus the number of strata,
        or the rank of the replicate weights minus one.

    References
    ----------
    .. [1] Lumley (2010), Complex Surveys: A Guide to Analysis Using R, Wiley.
    .. [2] Binder (1983), On the variances of asymptotically normal estimators from complex surveys,
       International Statistical Review 51.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skmaxent import MaxentClassifier, SurveyDesign
    >>> X, y = load_iris(return_X_y=True)
    >>> X, w = X[:, [1]], 1.0 + np.arange(150) % 3
    >>> design = SurveyDesign(psu=np.arange(150) // 5, weights=w)
    >>> clf = MaxentClassifier(C=np.inf).fit(X, y, w)
    >>> results = clf.infer(X, y, design=design)
    >>> results.df_tests
    29.0
    """

    strata: Any = None
    psu: Any = None
    fpc: Any = None
    weights: Any = None
    nest: bool = False
    lonely_psu: str = "fail"
    replicate_weights: Any = None
    combined_weights: bool = True
    scale: float = 1.0
    rscales: Any = None
    mse: bool = False
    df: float | None = None

    def __repr__(self) -> str:
        """Return one line: the numbers of units, strata and rows, and what else the design has."""
        strata, psu, fpc, weights = map(_as_list, (self.strata, self.psu, self.fpc, self.weights))
        sizes = []
        if psu:
            units = set(zip(strata, psu, strict=False)) if strata else set(psu)
            sizes.append(f"{len(units)} unit{'s' * (len(units) != 1)}")
        if strata:
            n_strata = len(set(strata))
            sizes.append(f"{n_strata} strat{'um' if n_strata == 1 else 'a'}")
        parts = [" in ".join(sizes)] if sizes else []
        n_rows = max(map(len, (strata, psu, fpc, weights)))
        parts += [f"{n_rows} rows"] if n_rows else []
        parts += ["weights"] if weights else []
        parts += ["fpc"] if fpc else []
        if self.replicate_weights is not None:
            parts.append(f"{np.shape(to_host(self.replicate_weights))[-1]} replicates")
        for name in ("nest", "lonely_psu", "combined_weights", "scale", "mse", "df"):
            value = getattr(self, name)
            parts += [] if value == getattr(SurveyDesign, name) else [f"{name}={value}"]
        return f"SurveyDesign({', '.join(parts)})"

    def with_replicates(
        self,
        kind: str,
        n_replicates: int | None = None,
        *,
        fay_rho: float = 0.0,
        random_state: RandomState = None,
    ) -> SurveyDesign:
        """Return the design with replicate weights that are made from its strata and units.

        Parameters
        ----------
        kind : {"JK1", "JKn", "BRR", "bootstrap"}
            "JK1" leaves out each unit of a design without strata, "JKn" each unit of a design with
            strata. "BRR", balanced repeated replication, keeps one of the two units of each
            stratum. "bootstrap" draws n - 1 of the n units of each stratum with replacement [1]_.
        n_replicates : int, default=None
            For "bootstrap" alone: the number of samples; None is 200.
        fay_rho : float, default=0.0
            For "BRR": Fay's method multiplies weights by 2 - rho and rho in place of 2 and 0.
        random_state : int, RandomState instance or None, default=None
            Draws the bootstrap samples.

        Returns
        -------
        SurveyDesign

        Raises
        ------
        ValueError
            For designs that the method is not for, and for arguments of other methods.

        References
        ----------
        .. [1] Rao & Wu (1988), Resampling inference with complex survey data, JASA 83.
        """
        if self.replicate_weights is not None:
            raise ValueError("the design has replicate weights: expected replicate_weights=None.")
        check_choice("kind", kind, REPLICATE_TYPES)
        if n_replicates is not None and kind != "bootstrap":
            raise ValueError(f"n_replicates is for 'bootstrap', found kind={kind!r}.")
        if fay_rho != 0.0 and kind != "BRR":
            raise ValueError(f"fay_rho is for 'BRR', found kind={kind!r}.")
        if random_state is not None and kind != "bootstrap":
            raise ValueError(f"random_state is for 'bootstrap', found kind={kind!r}.")
        self._check()
        if n_replicates is not None and not is_integer(n_replicates):
            raise ValueError(f"n_replicates must be None or an integer, found {n_replicates!r}.")
        if not is_number(fay_rho):
            raise ValueError(f"fay_rho must be a number, found {fay_rho!r}.")
        lengths = [
            np.shape(to_host(x))[0] for x in (self.psu, self.strata, self.weights) if x is not None
        ]
        if not lengths:
            raise ValueError("the design has no psu, strata or weights, and so no known length.")
        units = self._units(lengths[0])
        factors, scale, rscales = replicates_of(
            kind, units, 200 if n_replicates is None else n_replicates, fay_rho, random_state
        )
        return replace(
            self,
            fpc=None,  # rscales contain its correction
            replicate_weights=factors[units.codes],
            combined_weights=False,
            scale=scale,
            rscales=rscales,
        )

    def _check(self) -> None:
        """Raise ValueError for parameters out of range, and for those without an effect."""
        for name in ("nest", "combined_weights", "mse"):
            check_flag(name, getattr(self, name))
        if not isinstance(self.scale, Real) or not 0.0 < float(self.scale) < np.inf:
            raise ValueError(f"scale must be a positive finite number, found {self.scale!r}.")
        if self.df is not None and (
            not isinstance(self.df, Real) or isinstance(self.df, bool) or not float(self.df) > 0.0
        ):
            raise ValueError(f"df must be positive, or None, found {self.df!r}.")
        if self.replicate_weights is not None and self.fpc is not None:
            raise ValueError(
                "fpc corrects the variance between units, and replicate_weights give the variance "
                "between replicates: put the correction into scale or rscales, and leave out fpc."
            )
        if self.replicate_weights is None:
            unused = {
                "scale": self.scale != 1.0,
                "rscales": self.rscales is not None,
                "combined_weights": not self.combined_weights,
            }
            if any(unused.values()):
                found = [name for name, is_given in unused.items() if is_given]
                raise ValueError(
                    f"{found} are for designs with replicate_weights: leave them out, or pass "
                    "replicate_weights too."
                )

    def _units(self, n_samples: int) -> Units:
        """Return the units of the rows with their strata, for a sample of `n_samples` rows."""
        check_choice("lonely_psu", self.lonely_psu, LONELY)
        strata = np.zeros(n_samples, np.intp)
        if self.strata is not None:
            strata, _ = check_codes(self.strata, n_samples, "strata", "a stratum")
        codes = np.arange(n_samples)
        if self.psu is not None:
            codes, _ = check_codes(self.psu, n_samples, "psu", "a primary unit")
        pairs, first, joint = np.unique(
            np.column_stack([strata, codes]), axis=0, return_index=True, return_inverse=True
        )
        if len(pairs) > codes.max() + 1 and not self.nest:
            raise ValueError(
                "labels of psu occur in several strata: write nest=True if they are other units "
                "there."
            )
        stratum_of = strata[first]
        sizes = np.bincount(stratum_of)
        return Units(
            np.ravel(joint), stratum_of, self._unsampled(n_samples, strata, sizes), self.lonely_psu
        )

    def _unsampled(self, n_samples: int, strata: Array, sizes: Array) -> Array:
        """Return the share of the units of each stratum that were not sampled, (n_strata,).

        `strata`, (n_samples,), has the stratum of each row, and `sizes`, (n_strata,), the number of
        sampled units of each stratum.
        """
        if self.fpc is None:
            return np.ones(len(sizes))
        fpc = _numbers("fpc", self.fpc)
        if fpc.shape != (n_samples,):
            raise ValueError(f"fpc has the shape {fpc.shape}; expected ({n_samples},).")
        least, most = np.full(len(sizes), np.inf), np.full(len(sizes), -np.inf)
        np.minimum.at(least, strata, fpc)
        np.maximum.at(most, strata, fpc)
        if not (least == most).all() or not (least > 0.0).all():
            raise ValueError("fpc must be positive and equal for all rows of a stratum.")
        if (fpc <= 1.0).all():
            return np.asarray(1.0 - least)
        if (least < sizes).any():
            raise ValueError(
                "fpc must be at least the number of sampled units of the stratum, or a share: "
                f"found {float(least[least < sizes][0]):g} with {int(sizes[least < sizes][0])} "
                "units."
            )
        return np.asarray(1.0 - sizes / least)

    def _replicates(self, n_samples: int, weights: Array) -> Replicates:
        """Return the checked replicate weights as factors of the sampling weights.

        `weights`, (n_samples,), are the sampling weights.
        """
        given = _numbers("replicate_weights", self.replicate_weights)
        if given.ndim != 2 or len(given) != n_samples or given.shape[1] < 2:
            raise ValueError(
                f"replicate_weights has the shape {given.shape}; expected ({n_samples}, "
                "n_replicates) with two replicates or more."
            )
        if not (np.isfinite(given).all() and (given >= 0.0).all()):
            raise ValueError("replicate_weights must be finite and not negative.")
        rscales = np.ones(given.shape[1])
        if self.rscales is not None:
            rscales = _numbers("rscales", self.rscales)
        is_valid = np.isfinite(rscales).all() and (rscales >= 0.0).all()
        if rscales.shape != given.shape[1:] or not is_valid:
            raise ValueError(
                f"expected as rscales {given.shape[1]} numbers that are finite and not negative, "
                f"one for each replicate; found {self.rscales!r}."
            )
        if self.combined_weights:
            if (given[weights == 0.0] > 0.0).any():
                raise ValueError("rows of weight zero have positive replicate weights.")
            given = given / np.where(weights > 0.0, weights, 1.0)[:, None]
        return Replicates(given, self.scale * rscales, self.mse)


def _as_list(given: Any) -> list[Any]:
    """Return the entries of an array-like as a list, which is empty for None."""
    return [] if given is None else np.ravel(np.asarray(to_host(given), dtype=object)).tolist()


def _numbers(name: str, given: Any) -> Array:
    """Return the parameter `name` as an array of floats; raise ValueError if it is none."""
    try:
        return as_floats(to_host(given))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error


def sampling_weights(
    design: SurveyDesign, sample_weight: ArrayLike | None, n_samples: int
) -> Array:
    """Return the weights of the rows, (n_samples,), of the design or else of `sample_weight`.

    Without both all weights are ones. ValueError is raised if both are given and differ.
    """
    own = check_sample_weight(design.weights, n_samples)
    given = check_sample_weight(sample_weight, n_samples)
    if own is not None and given is not None and not np.allclose(own, given):
        raise ValueError(
            "sample_weight differs from the weights of the design: expected one of them, or both "
            "equal."
        )
    found = given if own is None else own
    return np.ones(n_samples) if found is None else found


def units_of(design: SurveyDesign, weights: Array, chosen: Array) -> Units:
    """Return the units and replicates of a design for the rows of a subpopulation.

    Parameters
    ----------
    design : SurveyDesign
        The design of the whole sample, whose arrays are checked here.
    weights : ndarray of shape (n_samples,)
        Sampling weights of the whole sample.
    chosen : ndarray of bool of shape (n_samples,)
        Whether each row is in the subpopulation.
    """
    design._check()
    if design.mse and design.replicate_weights is None:
        raise ValueError("mse=True is for designs with replicate_weights, found none.")
    units, replicates = design._units(len(weights)), None
    if design.replicate_weights is not None:
        replicates = design._replicates(len(weights), weights)
    return units.of_rows(chosen & (weights > 0.0), chosen, replicates, design.df)
