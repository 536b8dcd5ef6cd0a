"""Whether finite maximum-likelihood estimates exist, and whether they are unique."""

from skmaxent._existence._aliased_columns import (
    DEPENDENT_DISTANCE,
    MOST_COLUMNS,
    Aliased,
    aliased_columns,
    are_apart,
    qr_factor,
)
from skmaxent._existence._margins import STRICT_GAIN, RawDirection, logit_changes, rounding_scales
from skmaxent._existence._separation import Separated, separation
from skmaxent._existence._watch import (
    CLOSE_TO_OPTIMUM,
    MINIMUM_EXISTS,
    Watch,
    largest_range_of_logits,
)

__all__ = [
    "CLOSE_TO_OPTIMUM",
    "DEPENDENT_DISTANCE",
    "MINIMUM_EXISTS",
    "MOST_COLUMNS",
    "STRICT_GAIN",
    "Aliased",
    "RawDirection",
    "Separated",
    "Watch",
    "aliased_columns",
    "are_apart",
    "largest_range_of_logits",
    "logit_changes",
    "qr_factor",
    "rounding_scales",
    "separation",
]
