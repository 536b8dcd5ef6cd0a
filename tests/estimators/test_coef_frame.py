"""Tables of coefficients have the names that the user knows."""

import pickle
from email.message import Message

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    coef_frame,
)
from skmaxent._estimators import _documentation

X, y = load_iris(return_X_y=True, as_frame=True)
TEXTS = ["good film", "bad film", "good", "bad"]


def test_names_of_a_vectorizer():
    vectorizer = TfidfVectorizer().fit(TEXTS)
    words = vectorizer.get_feature_names_out()
    clf = MaxentClassifier().fit(vectorizer.transform(TEXTS), [1, 0, 1, 0])
    for names in (vectorizer, words, list(words)):
        frame = clf.coef_frame(names)
        assert frame.index.tolist() == [*words, "Intercept"]
        np.testing.assert_array_equal(frame.to_numpy()[:-1, 0], clf.coef_[0])
    with pytest.raises(ValueError, match="name for each of the 3 features, found the shape"):
        clf.coef_frame(["one"])


@pytest.mark.parametrize(
    "last", [MaxentClassifier(), MaxentClassifierCV(Cs=2, cv=2), MultilabelMaxentClassifier()]
)
def test_names_of_a_pipeline(last):
    pipe = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), last)
    frame = coef_frame(pipe.fit(X, y))
    assert frame.index.tolist() == [*pipe[:-1].get_feature_names_out(), "Intercept"]
    np.testing.assert_array_equal(frame.to_numpy()[:-1].T, pipe[-1].coef_)
    assert coef_frame(make_pipeline(last).fit(X, y)).index.tolist()[:-1] == X.columns.tolist()
    assert coef_frame(last.fit(X, y)).index.tolist()[:-1] == X.columns.tolist()


def test_other_estimators_are_named():
    with pytest.raises(TypeError, match=r"last step .* found LogisticRegression"):
        coef_frame(make_pipeline(LogisticRegression(max_iter=1000)).fit(X, y))


ESTIMATORS = [MaxentClassifier, MaxentClassifierCV, MultilabelMaxentClassifier]


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_html_links_to_the_documentation_that_the_metadata_name(kind, monkeypatch):
    urls = ["Source, https://example.org/source", "Documentation, https://example.org/docs/"]
    page = f"https://example.org/docs/generated/skmaxent.{kind.__name__}.html"
    for found, link in ((urls, page), (urls[:1], ""), (None, "")):
        _documentation.documentation_site.cache_clear()
        with monkeypatch.context() as context:
            fields = Message()
            for url in found or ():
                fields["Project-URL"] = url
            context.setattr(_documentation, "metadata", lambda name, fields=fields: fields)
            assert kind()._get_doc_link() == link
            assert (page in kind()._repr_html_()) == bool(link)
    _documentation.documentation_site.cache_clear()


def test_tables_have_the_warnings_of_the_fit_as_notes():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 2))
    labels = (rows[:, 0] > 0).astype(int)
    clf = MaxentClassifier(C=np.inf)
    for model in (clf, MultilabelMaxentClassifier(C=np.inf)):
        targets = labels if model is clf else np.eye(2, dtype=int)[labels]
        with pytest.warns(ConvergenceWarning, match="perfectly separated") as said:
            model.fit(rows, targets)
        assert model.coef_frame().attrs["notes"] == (str(said[0].message),)
    assert coef_frame(clf).attrs["notes"] == clf.coef_frame().attrs["notes"]
    assert pickle.loads(pickle.dumps(clf)).coef_frame().attrs == clf.coef_frame().attrs
    assert "notes" not in clf.set_params(C=1.0).fit(rows, labels).coef_frame().attrs


def test_the_notes_of_a_cross_validation_are_those_of_its_last_fit():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(60, 2)), rng.integers(2, size=60)
    model = MaxentClassifierCV(Cs=[10.0], cv=3, max_iter=1, tol=1e-12)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 was reached") as said:
        model.fit(rows, labels)
    assert model.coef_frame().attrs["notes"] == (str(said[-1].message),)
    assert (
        "notes" not in model.set_params(max_iter=100, tol=1e-4).fit(rows, labels).coef_frame().attrs
    )
