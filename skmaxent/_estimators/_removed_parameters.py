"""Parameters that scikit-learn's logistic regression has or had, and ours does not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

Init = TypeVar("Init", bound=Callable[..., None])

REMOVED_PARAMETERS = {
    "multi_class": "the fit is always multinomial (one logit for two classes): leave it out, and "
    "for one-vs-rest use sklearn.multiclass.OneVsRestClassifier(MaxentClassifier())",
    "dual": "there is no dual formulation to choose: leave it out",
    "intercept_scaling": "the intercept is never penalised, so that it needs no scaling: "
    "leave it out",
}


def names_replacements(removed: Mapping[str, str]) -> Callable[[Init], Init]:
    """Decorate ``__init__`` so that it names what to write instead of removed parameters.

    Parameters
    ----------
    removed : mapping
        Advice by the names of parameters. `__init__` raises TypeError with it where one of them is
        given; its signature stays without them.
    """

    def decorate(init: Init) -> Init:
        @functools.wraps(init)
        def checked(self: Any, *args: Any, **parameters: Any) -> None:
            for name in parameters.keys() & removed:
                raise TypeError(
                    f"{type(self).__name__} has no parameter {name!r}: {removed[name]}."
                )
            init(self, *args, **parameters)

        return cast(Init, checked)

    return decorate
