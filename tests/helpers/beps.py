"""The British election panel study as a data frame, and a pipeline with R's columns."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures

from skmaxent import MaxentClassifier

ORACLES = Path(__file__).parents[1] / "oracles"
R = json.loads((ORACLES / "multinom_beps.json").read_text())
NUMERIC = ["age", "economic.cond.national", "economic.cond.household", "Blair", "Hague", "Kennedy"]
DATA = pd.read_csv(ORACLES / "beps.csv")
VOTE = DATA.pop("vote")


def pipeline(**parameters):
    """The transformers of R's formula, and an unpenalised classifier."""
    product = PolynomialFeatures(2, interaction_only=True, include_bias=False)
    columns = make_column_transformer(
        (OneHotEncoder(drop="first"), ["gender"]),
        ("passthrough", NUMERIC),
        (product, ["Europe", "political.knowledge"]),
        verbose_feature_names_out=False,
    )
    return make_pipeline(columns, MaxentClassifier(**({"C": np.inf, "tol": 1e-10} | parameters)))
