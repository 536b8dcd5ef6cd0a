"""scikit-learn's progress bar, which needs rich, over fits, paths and cross-validations."""

import re

import joblib
import pytest
import rich
from sklearn.callback import ProgressBar
from sklearn.callback._progressbar import RichProgressMonitor
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.model_selection import GridSearchCV

from skmaxent import (
    MaxentClassifier,
    MaxentClassifierCV,
    MultilabelMaxentClassifier,
    maxent_path,
)

IRIS = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def wide_terminal():
    """The console of all bars is made once a process, with the width of a terminal then."""
    rich.reconfigure(width=160)
    yield
    rich.reconfigure()


@pytest.fixture
def progress(monkeypatch):
    """Shares of the work that are done, after each task."""
    shares = []
    ends = RichProgressMonitor._on_task_end

    def noting(self, task):
        ends(self, task)
        shares.append(self.root_rich_task.progress)

    monkeypatch.setattr(RichProgressMonitor, "_on_task_end", noting)
    return shares


def bars(text):
    """Descriptions of the bars, all of which must be complete."""
    found = re.findall(r"^( *)(\S.*?) +━+ +(\d+)%", text, re.MULTILINE)
    assert all(share == "100" for *_, share in found)
    return [" ".join(description.split()) for _, description, _ in found]


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_fit_has_a_bar(l1_ratio, progress, capsys):
    clf = MaxentClassifier(l1_ratio=l1_ratio, max_iter=25).set_callbacks(ProgressBar())
    clf.fit(*load_digits(return_X_y=True))
    assert bars(capsys.readouterr().out) == ["MaxentClassifier - fit"]
    n_iter = int(clf.n_iter_[0])
    # How many iterations a working set takes is not known.
    expected = [k / 25 for k in range(1, n_iter + 1)] if l1_ratio == 0.0 else [0.0] * n_iter
    assert progress == pytest.approx([*expected, 1.0])


def test_a_path_has_a_bar(progress, capsys):
    maxent_path(*IRIS, Cs=8, callbacks=[ProgressBar()])
    assert bars(capsys.readouterr().out) == ["MaxentClassifier - path"]
    assert progress == pytest.approx([*(k / 8 for k in range(1, 9)), 1.0])


@pytest.mark.parametrize("backend", ["threading", "loky"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_cross_validation_has_a_bar_for_each_path(n_jobs, backend, progress, capsys):
    clf = MaxentClassifierCV(Cs=4, cv=3, n_jobs=n_jobs).set_callbacks(ProgressBar())
    with joblib.parallel_config(backend=backend):
        clf.fit(*IRIS)
    whole, *paths, refit = bars(capsys.readouterr().out)
    assert whole == "MaxentClassifierCV - fit"
    assert sorted(paths) == [f"MaxentClassifierCV - path #{k}" for k in range(3)]
    assert refit == "MaxentClassifierCV - refit | MaxentClassifier - fit #3"
    assert progress == sorted(progress)
    # A quarter of the work for each path, a sixteenth for each C of one.
    assert progress[0] == 1 / 16
    assert 0.75 in progress
    assert progress[-1] == 1.0


def test_a_relaxed_refit_is_a_path(capsys):
    clf = MaxentClassifierCV(Cs=4, cv=3, relax=[0.0], l1_ratios=[1.0])
    clf.set_callbacks(ProgressBar()).fit(*IRIS)
    assert bars(capsys.readouterr().out)[-1] == (
        "MaxentClassifierCV - refit | MaxentClassifier - path #3"
    )


def test_several_labels_have_a_bar(capsys):
    clf = MultilabelMaxentClassifier(threshold="f1_micro").set_callbacks(ProgressBar())
    clf.fit(*make_multilabel_classification(random_state=0))
    assert bars(capsys.readouterr().out) == ["MultilabelMaxentClassifier - fit"]


def test_a_search_in_processes_has_bars_of_its_fits(capsys):
    search = GridSearchCV(MaxentClassifier(), {"C": [0.1, 1.0]}, cv=2, n_jobs=2)
    search.set_callbacks(ProgressBar()).fit(*IRIS)
    found = bars(capsys.readouterr().out)
    assert sum("MaxentClassifier - fit" in description for description in found) == 2 * 2 + 1
