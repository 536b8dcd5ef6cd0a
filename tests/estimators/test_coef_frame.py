"""Tables of coefficients have the names that the user knows."""

from email.message import Message

import numpy as np
import pytest
from sklearn.datasets import load_iris
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
