"""Metadata that cross-validation passes to its splitter and its scorer."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)


class UnexpectedArguments(TypeError, ValueError):
    """A TypeError, as for other functions, and the ValueError that scikit-learn raises."""


def routed_metadata(
    estimator: Any, method: str, sample_weight: ArrayLike | None, params: dict[str, Any]
) -> Bunch:
    """Return the metadata for the splitter and the scorer in `fit` or `score`.

    Without metadata routing the splitter gets `params`, which may contain `groups` in `fit` and
    must be empty in `score`, and the scorer gets the weights. The default score, for which
    `scoring` is None, always gets the weights, because users have no scorer to set a request of.
    """
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    if _routing_enabled() and estimator.scoring is not None:
        return process_routing(estimator, method, sample_weight=sample_weight, **params)
    if _routing_enabled():
        routed = process_routing(estimator, method, **params) if params else {}
        splitter = routed.get("splitter", Bunch(split=Bunch()))
        return Bunch(splitter=splitter, scorer=Bunch(score=weights))
    unexpected = set(params) - ({"groups"} if method == "fit" else set())
    if unexpected:
        raise UnexpectedArguments(
            f"{method}() got unexpected arguments {sorted(unexpected)}: passing them to the "
            "splitter or the scorer is only supported if enable_metadata_routing=True, set by "
            "sklearn.set_config; without it, fit passes groups to the splitter, and no more."
        )
    return Bunch(splitter=Bunch(split=params), scorer=Bunch(score=weights))


def router_of(estimator: Any, scoring: Any) -> MetadataRouter:
    """Return the routing from `fit` and `score` to the splitter and to the scorer `scoring`.

    There is no scorer if `scoring` is None.
    """
    to_splitter = MethodMapping().add(caller="fit", callee="split")
    to_scorer = MethodMapping().add(caller="fit", callee="score")
    to_scorer.add(caller="score", callee="score")
    router = MetadataRouter(owner=estimator).add_self_request(estimator)
    if not isinstance(estimator.cv, str):
        router.add(splitter=check_cv(estimator.cv, classifier=True), method_mapping=to_splitter)
    if scoring is not None:
        router.add(scorer=check_scoring(estimator, scoring=scoring), method_mapping=to_scorer)
    return router
