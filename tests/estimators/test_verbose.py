"""`verbose` shows how far a computation is."""

import io
import re
import sys

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skmaxent import MaxentClassifier, MaxentClassifierCV, maxent_path

X, y = load_iris(return_X_y=True)
FITS = {
    "fit": (lambda: MaxentClassifier(verbose=1).fit(X, y), "iteration   0 "),
    "path": (lambda: maxent_path(X, y, Cs=3, verbose=1), "1 of 3   C "),
    "folds": (
        lambda: MaxentClassifierCV(Cs=2, cv=3, l1_ratios=[0.0, 1.0], verbose=1).fit(X, y),
        "1 of 6 paths of folds",
    ),
    "bootstrap": (
        lambda: (
            MaxentClassifier(C=1.0, verbose=1)
            .fit(X, y)
            .infer(X, y, method="bootstrap", n_bootstrap=4)
        ),
        "1 of 5 fits of the bootstrap",
    ),
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("fit", "text"), FITS.values(), ids=FITS)
def test_lines_where_there_is_no_terminal(fit, text, capsys):
    fit()
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(text) for line in lines)
    assert all(re.search(r"   [0-9.]+ s$", line) for line in lines)


@pytest.mark.parametrize(("fit", "text"), FITS.values(), ids=FITS)
def test_one_line_in_a_terminal(fit, text, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    fit()
    written = terminal.getvalue()
    assert "\r" + text in written
    assert written.endswith("\n")
    assert written.count("\n") <= 2


def test_passes_are_counted_in_the_singular_and_in_the_plural(capsys):
    MaxentClassifier(verbose=1).fit(X, y)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert "   1 gradient, 0 Hessian products   " in first
    assert "   2 gradients, " in second


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_silent_search_has_the_same_scores(n_jobs):
    shown = MaxentClassifierCV(Cs=2, cv=3, verbose=1, n_jobs=n_jobs).fit(X, y)
    silent = MaxentClassifierCV(Cs=2, cv=3).fit(X, y)
    np.testing.assert_allclose(shown.scores_, silent.scores_, rtol=1e-12)
