"""mlflow logs, describes and loads our models; no model or metric leaves the machine."""

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmaxent import MaxentClassifier

pytestmark = [
    # What mlflow has of others that they will not have for ever.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
    pytest.mark.filterwarnings("ignore:`y_pred` was renamed to `y_proba`:FutureWarning"),
]

TRUSTED = ["skmaxent.MaxentClassifier"]


@pytest.fixture(scope="module")
def data():
    X, y = load_wine(return_X_y=True, as_frame=True)
    return X, np.array(["barolo", "grignolino", "barbera"])[y]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def mlflow(store, monkeypatch):
    """mlflow with a database of its own, which takes seconds to make and is made once."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow.sklearn

    mlflow.set_tracking_uri(f"sqlite:///{store}/mlflow.db")
    if mlflow.get_experiment_by_name("wine") is None:
        mlflow.create_experiment("wine", artifact_location=(store / "artifacts").as_uri())
    mlflow.set_experiment("wine")
    return mlflow


def test_logged_models_load_as_they_were(mlflow, data):
    X, y = data
    clf = make_pipeline(StandardScaler(), MaxentClassifier()).fit(X, y)
    P = clf.predict_proba(X)
    info = mlflow.sklearn.log_model(
        clf,
        name="model",
        signature=mlflow.models.infer_signature(X, P),
        pyfunc_predict_fn="predict_proba",
        pip_requirements=["skmaxent"],
        skops_trusted_types=TRUSTED,
    )
    assert info.signature.inputs.input_names() == X.columns.tolist()
    assert [output.shape for output in info.signature.outputs.inputs] == [(-1, 3)]
    loaded = mlflow.sklearn.load_model(info.model_uri)
    np.testing.assert_allclose(loaded.predict_proba(X), P, rtol=1e-12)
    assert loaded[-1].classes_.tolist() == ["barbera", "barolo", "grignolino"]
    found = mlflow.pyfunc.load_model(info.model_uri).predict(X)
    np.testing.assert_allclose(found, P, rtol=1e-12)


def test_pickled_models_need_no_trust(mlflow, data):
    X, y = data
    clf = MaxentClassifier().fit(X, y)
    info = mlflow.sklearn.log_model(
        clf,
        name="pickled",
        signature=mlflow.models.infer_signature(X, clf.predict(X)),
        pip_requirements=["skmaxent"],
        serialization_format="cloudpickle",
    )
    loaded = mlflow.sklearn.load_model(info.model_uri)
    np.testing.assert_allclose(loaded.predict_proba(X), clf.predict_proba(X), rtol=1e-12)
    predicted = mlflow.pyfunc.load_model(info.model_uri).predict(X)
    np.testing.assert_array_equal(predicted, clf.predict(X))
    with pytest.raises(mlflow.MlflowException, match="schema"):
        mlflow.pyfunc.load_model(info.model_uri).predict(X.drop(columns="hue"))


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (
            lambda: make_pipeline(StandardScaler(), MaxentClassifier(C=3.0)),
            "maxentclassifier__C",
            "3.0",
        ),
        (lambda: GridSearchCV(MaxentClassifier(), {"C": [1e-9, 1.0]}, cv=2), "best_C", "1.0"),
    ],
    ids=["pipeline", "search"],
)
def test_autolog(mlflow, data, make, name, value):
    X, y = data
    mlflow.sklearn.autolog(log_models=False, silent=True)
    try:
        with mlflow.start_run() as run:
            clf = make().fit(X, y)
    finally:
        mlflow.sklearn.autolog(disable=True, silent=True)
    logged = mlflow.get_run(run.info.run_id).data
    assert logged.params[name] == value
    assert logged.metrics["training_accuracy_score"] == pytest.approx(clf.score(X, y), rel=1e-12)
    codes = np.searchsorted(clf.classes_, y)
    log_p = np.log(clf.predict_proba(X)[np.arange(len(y)), codes])
    assert logged.metrics["training_log_loss"] == pytest.approx(-log_p.mean(), rel=1e-9)
