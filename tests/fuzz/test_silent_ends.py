"""Problems of the fuzz whose fits once ended above the optimum without a warning, or took too long.

Nearly collinear columns, outliers, units that differ by many decades and rows that are all but
certain, under L1 penalties, groups, bounds, priors and factors per class; and sets of labels that
leave most of the information open.
"""

import pytest
from threadpoolctl import threadpool_limits

from fuzz.examine import examine

PROBLEMS = {
    "composite": [
        2000511,
        3029406,
        31000180,
        33000024,
        2001251,
        2002711,
        2005231,
        2009556,
        1053,
        1006406,
        33000270,
        61000177,
        62004737,
        85000313,
        86000345,
        99100257,
        312000169,
        710000604,
        760004900,
        760020542,
        760028995,
        760036959,
        760056687,
        810007058,
        810007446,
        810009380,
        891000139,
    ],
    "smooth": [85005832, 300300497, 500200147, 760004446, 760048146, 760056396, 810010113],
    "multilabel": [
        1006012,
        2024952,
        5001007,
        87002906,
        99100258,
        710000110,
        713000791,
        760013233,
        760057055,
        840002333,
    ],
    "inference": [810001216],
    "path": [
        1001834,
        72000964,
        72004700,
        85003940,
        85005372,
        87001884,
        91000100,
        300200218,
        630000044,
        740000030,
        741000258,
        650000492,
        760014380,
        760026433,
        760050498,
        760058223,
        770000406,
        790200405,
        790202182,
        880001117,
        891006214,
        891013070,
    ],
    "cv": [1998, 99000749, 300100140, 400100042, 890010101, 891001136, 891011267],
    "jeffreys": [
        760019753,
        760047738,
        1103,
        7001639,
        31000268,
        31000279,
        300400865,
        500500029,
        500500133,
        680000711,
        700001432,
        710000665,
        890010287,
        891014068,
        810010316,
    ],
    "partial": [
        771000215,
        810004429,
        810005393,
        771000350,
        760043133,
        760047302,
        730000008,
        80,
        1054,
        1120,
        1561,
        2077,
        2148,
        7001206,
        31000002,
        31000223,
        33000059,
        52000710,
        72000206,
        72002222,
        72002534,
        72003150,
        72003814,
        83000878,
        85004230,
        85003254,
        87001814,
        210300350,
        220200323,
        220200965,
        870001096,
        860000235,
        840001070,
    ],
    "wide": [900004026, 900004028, 900009014],
}


@pytest.mark.parametrize(
    ("kind", "seed"), [(kind, seed) for kind, seeds in PROBLEMS.items() for seed in seeds]
)
def test_a_fit_is_at_the_optimum_or_warns(kind, seed):
    with threadpool_limits(1):
        outcome, problem = examine(kind, seed)
    assert not outcome.failures, f"{outcome.failures}: {problem}"
