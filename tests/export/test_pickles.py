"""Models that were saved: by this version, by others, and what is said about that."""

import copy
import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from helpers.saving import by_joblib, by_pickle
from pickles.make import MODELS
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import InconsistentVersionWarning

import skmaxent
from skmaxent import MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier

DIRECTORY = Path(__file__).parents[1] / "pickles"
SAVED = sorted(DIRECTORY.glob("*/*.pickle"))
X, Y = load_iris(return_X_y=True)


def assert_same(one, other):
    """Attributes, through arrays and containers."""
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif sp.issparse(one):
        assert_same(one.toarray(), other.toarray())
    else:
        assert one == other or (one != one and other != other)


@pytest.mark.parametrize("saved", [by_pickle, by_joblib, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("name", MODELS)
def test_round_trips_change_nothing(name, saved):
    fitted, rows = MODELS[name]
    model = fitted()
    loaded = saved(model)
    assert vars(loaded).keys() == vars(model).keys()
    for attribute, value in vars(model).items():
        assert_same(value, vars(loaded)[attribute])
    np.testing.assert_allclose(loaded.predict_proba(rows), model.predict_proba(rows), rtol=1e-12)


def load(path):
    with path.open("rb") as file:
        return pickle.load(file)


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*/cross_validated.pickle")))
def test_cross_validations_of_former_versions_have_their_tables(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        model = load(path)
    table = model.cv_results_frame()
    np.testing.assert_allclose(table["mean_score"], model.scores_.mean(axis=0).ravel())
    chosen = table[table["chosen"]]
    assert chosen["C"].item() == pytest.approx(model.C_)
    assert clone(model).standardize is False
    np.testing.assert_array_equal(by_pickle(model).fold_weights_, np.ones(5))


@pytest.mark.parametrize("path", SAVED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_models_of_former_versions_predict_what_they_did(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        model = load(path)
    expected = json.loads(path.with_suffix(".json").read_text())
    rows = np.array(expected["X"])
    if expected["columns"]:
        rows = pd.DataFrame(rows, columns=expected["columns"])
    np.testing.assert_array_equal(model.predict(rows), expected["predict"])
    np.testing.assert_allclose(model.predict_proba(rows), expected["predict_proba"], rtol=1e-10)
    # As from the constructor of today.
    assert model.get_params() == MODELS[path.stem][0]().get_params()
    clone(model)
    assert "Intercept" in model.coef_frame().index


def test_every_directory_has_every_model():
    names = {directory.name: set() for directory in DIRECTORY.iterdir() if directory.is_dir()}
    names.pop("__pycache__", None)
    for path in SAVED:
        names[path.parent.name].add(path.stem)
    assert set(names) >= {"0.1.0-without-versions", "0.1.0"}
    assert all(found == set(MODELS) for found in names.values())


@pytest.mark.parametrize(
    "path",
    sorted((DIRECTORY / "0.1.0-without-versions").glob("*.pickle")),
    ids=lambda path: path.stem,
)
def test_states_without_versions_are_loaded_in_silence(path):
    assert not {"_skmaxent_version", "_sklearn_version"} & vars(load(path)).keys()


@pytest.fixture(params=[MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier])
def model(request):
    return request.param().fit(X, Y)


def made_by(model, monkeypatch, package):
    """A pickle by version 0.0.1 of a package."""
    with monkeypatch.context() as patch:
        if package == "skmaxent":
            patch.setattr("skmaxent._versions.__version__", "0.0.1")
        else:
            patch.setattr(sklearn, "__version__", "0.0.1")
        return pickle.dumps(model)


@pytest.mark.parametrize(
    ("package", "then", "now"),
    [
        ("skmaxent", "0.0.1 of skmaxent", f"{skmaxent.__version__} of skmaxent"),
        ("sklearn", "0.0.1", sklearn.__version__),
    ],
)
def test_other_versions_are_named_and_the_model_predicts(model, monkeypatch, package, then, now):
    saved = made_by(model, monkeypatch, package)
    name = type(model).__name__
    with pytest.warns(InconsistentVersionWarning) as record:
        loaded = pickle.loads(saved)
    (warning,) = record
    assert f"{name} from version {then} when using version {now}." in str(warning.message)
    assert warning.message.estimator_name == name
    assert warning.message.original_sklearn_version == then
    assert warning.message.current_sklearn_version == now
    assert warning.filename == __file__
    np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), rtol=1e-12)
    assert vars(loaded).keys() == vars(model).keys()
    pickle.loads(pickle.dumps(loaded))  # it is of this version now


def test_parameters_and_attributes_that_an_older_version_had_not_have_fallbacks(model):
    state = model.__getstate__()
    for name in ("label_smoothing", "tol", "_fitted_with_offset", "_correction"):
        state.pop(name, None)
    older = type(model).__new__(type(model))
    older.__setstate__(state)
    assert older.get_params() == model.get_params()
    assert older.tol == 1e-4
    np.testing.assert_allclose(older.predict_proba(X), model.predict_proba(X), rtol=1e-12)
    assert repr(older) == repr(model)
    older.fit(X, Y)


class WithoutDefault(MaxentClassifier):
    def __init__(self, wanted, *, C=1.0):
        super().__init__(C=C)
        self.wanted = wanted


def test_parameters_without_default_are_not_invented():
    model = by_pickle(WithoutDefault(3, C=2.0))
    assert (model.wanted, model.C) == (3, 2.0)
    older = WithoutDefault.__new__(WithoutDefault)
    older.__setstate__({"C": 2.0})
    assert not hasattr(older, "wanted")


def test_paths_and_inference_are_pickled_with_what_they_need():
    path = by_pickle(skmaxent.maxent_path(X, Y, Cs=3))
    np.testing.assert_allclose(
        path.coefs, skmaxent.maxent_path(X, Y, Cs=3).coefs, rtol=1e-9, atol=1e-12
    )
    results = MaxentClassifier(C=np.inf).fit(X[:, [1]], Y).infer(X[:, [1]], Y)
    pd.testing.assert_frame_equal(by_pickle(results).summary(), results.summary())
