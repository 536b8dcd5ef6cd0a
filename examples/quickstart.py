"""A mixed DataFrame through a pipeline, a grid search, probabilities and a table with names."""

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmaxent import MaxentClassifier


def load() -> tuple[pd.DataFrame, pd.Series]:
    """Wine: numbers in raw units, a category, and a nullable column with gaps."""
    wine = load_wine(as_frame=True)
    frame = wine.data[["alcohol", "malic_acid", "flavanoids", "proline"]].copy()
    frame["colour"] = pd.cut(wine.data["color_intensity"], 3, labels=["pale", "medium", "deep"])
    frame["magnesium"] = wine.data["magnesium"].astype("Int64").mask(wine.data.index % 9 == 0)
    cultivar = wine.target.map({0: "Barolo", 1: "Grignolino", 2: "Barbera"})
    return frame, cultivar


def main() -> None:
    X, y = load()
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

    prepare = ColumnTransformer(
        [
            ("category", OneHotEncoder(sparse_output=False), ["colour"]),
            ("gaps", SimpleImputer(), ["magnesium"]),
        ],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")

    # No scaler: the solver converges although proline is in the hundreds.
    pipeline = make_pipeline(prepare, MaxentClassifier())
    search = GridSearchCV(
        pipeline, {"maxentclassifier__C": [0.01, 0.1, 1, 10, 100]}, scoring="neg_log_loss"
    )
    search.fit(X_train, y_train)
    best = search.best_estimator_
    classifier = best[-1]

    print(f"best C {search.best_params_['maxentclassifier__C']}")
    print(f"accuracy on held-out rows {best.score(X_test, y_test):.3f}")
    print("\nprobabilities, first held-out rows")
    print(classifier.predict_proba_frame(best[:-1].transform(X_test)).head().round(3))
    print("\ncoefficients")
    print(classifier.coef_frame().round(3))
    bound = classifier.optimality_gap_
    print(f"\nrelative distance of the objective from its minimum: at most {bound:.0e}")


if __name__ == "__main__":
    main()
